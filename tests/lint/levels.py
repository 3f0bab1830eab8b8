# SPDX-License-Identifier: GPL-3.0-or-later
"""The rooms of control/ and datapath/ and their levels: a room uses only itself and lower ones.

control/   main > admin > { library, daemon } > { peer, proxy } > { core, masque, xdp }
                > { http, tls, admission, host } > datapath/
datapath/  worker > tunnel > quic > { io, crypto } > base

Rooms of one level do not know each other.
"""

LEVELS = {
    "datapath/base": 0,
    "datapath/io": 1, "datapath/crypto": 1,
    "datapath/quic": 2,
    "datapath/tunnel": 3,
    "datapath/worker": 4,
    "control/host": 10, "control/tls": 10, "control/admission": 10, "control/http": 10,
    "control/masque": 11, "control/core": 11, "control/xdp": 11,
    "control/proxy": 12, "control/peer": 12,
    "control/daemon": 13, "control/library": 13,
    "control/admin": 14,
    "control": 15,
}

# Lower rooms that a room must not use all the same: {(room, lower room): why}.
APART = {
    ("control/core", "control/http"): "sessions carry any protocol",
}
# Libraries that one room has for itself: {prefix of its symbols: room}.
LIBRARIES = {
    "nghttp3_": "control/http",
}

# Known faults that are still to be removed; the lints fail when an entry no longer applies.
# Includes of a room that is not lower: (file, included file).
KNOWN_INCLUDES = set()
# Calls of a room that is not lower: (file, symbol).
KNOWN_CALLS = set()
# Files of one room that call each other in a circle: {(room, files): the reason it has to be so}.
# A smaller circle among the same files counts as the same one.
CIRCLES = {}


def room(path):
    """The room of a file, as "control/http"; path: from the top of the tree."""
    return "/".join(path.parts[:-1][:2])


def fault(source, target):
    """Returns what is wrong with source using target, both files of control/ or datapath/, or
    None."""
    here, there = room(source), room(target)
    for name in (here, there):
        if name not in LEVELS:
            return f"has no level: {name} is no room that tests/lint/levels.py knows"
    if (here, there) in APART:
        return f"is not for {here}: {APART[here, there]}"
    if here == there or LEVELS[there] < LEVELS[here]:
        return None
    direction = "up" if LEVELS[there] > LEVELS[here] else "sideways"
    return f"goes {direction} from {here} to {there}"
