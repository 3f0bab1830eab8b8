# SPDX-License-Identifier: GPL-3.0-or-later
"""The rooms of control/ and datapath/ and their levels: each uses only itself and lower ones.

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

# Still to be cut: includes that go up, and are known.
KNOWN = {
    ("control/core/state.h", "control/proxy/request.h"),
    ("control/core/control.h", "control/proxy/bind.h"),
}


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
    if (str(source), str(target)) in KNOWN or here == there or LEVELS[there] < LEVELS[here]:
        return None
    direction = "up" if LEVELS[there] > LEVELS[here] else "sideways"
    return f"goes {direction} from {here} to {there}"
