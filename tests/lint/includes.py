#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that #include follows the tree's directions, and that quoted ones name a file of ours.

    tools, bench, tests -> anything, but
    tools/culvert       -> the public header of the library
    control             -> its own room or a room of a lower level, datapath, bpf/abi.h, bpf/guard.h
    datapath            -> its own room or a room of a lower level, bpf/abi.h, bpf/bucket.h,
                           bpf/stun.h
    bpf                 -> bpf

The levels of the rooms and the exceptions are in levels.py.

includes.py FILE...   prints a line for each #include against that, and for each exception of one of
                      these files that no longer applies, and exits 1 if there was one.
"""
import re
import sys
from pathlib import Path, PurePosixPath

import levels

INCLUDE = re.compile(r'\s*#\s*include\s+(["<])([^">]+)[">]')
OURS = ("bpf", "datapath", "control", "tools", "bench", "tests")
SHARED = {"datapath": ("bpf/abi.h", "bpf/bucket.h", "bpf/stun.h"),
          "control": ("bpf/abi.h", "bpf/guard.h")}
PUBLIC = "control/library/culvert.h"


def fault(source, target, quoted):
    """Returns what is wrong with source including target, or None."""
    if quoted and target.name.endswith(".skel.h") and len(target.parts) == 1:
        return None if source.parts[0] not in ("datapath", "bpf") else "is not for this folder"
    ours = target.parts[0] in OURS and Path(target).exists()
    if not ours:
        return "names no file from the top of the tree" if quoted else None
    if not quoted:
        return "is ours: write it in quotes" if source.parts[0] != "bpf" else None

    here, there = source.parts[0], target.parts[0]
    if here == "tools" and source.with_suffix("").parts[1] == "culvert" \
            and not target.is_relative_to("tools/culvert") and str(target) != PUBLIC:
        return f"is not for an application of the library: {PUBLIC} is"
    if here == "bpf" and there != "bpf":
        return "leaves bpf/"
    if here in SHARED and there == "bpf" and str(target) not in SHARED[here]:
        return "reaches into bpf/ beside what is shared"
    if here in SHARED and there != "bpf":
        return levels.fault(source, target)
    return None


def main():
    faults, known = 0, {pair for pair in levels.KNOWN_INCLUDES if pair[0] in sys.argv[1:]}
    for name in sys.argv[1:]:
        source = PurePosixPath(name)
        if source.parts[0] not in OURS:
            continue
        for number, line in enumerate(Path(name).read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            target = PurePosixPath(match.group(2))
            # Within bpf/ and within a test's folder a bare name may stand for a neighbour.
            beside = source.parent / target
            if source.parts[0] in ("bpf", "tests") and len(target.parts) == 1 and \
                    Path(beside).exists():
                target = beside
            what = fault(source, target, match.group(1) == '"')
            if what and (name, str(target)) in levels.KNOWN_INCLUDES:
                known.discard((name, str(target)))
            elif what:
                print(f"{name}:{number}: #include {match.group(2)} {what}", file=sys.stderr)
                faults += 1
    for name, target in sorted(known):
        print(f"{name}: #include {target} is gone: take it off KNOWN_INCLUDES in "
              "tests/lint/levels.py", file=sys.stderr)
    return 1 if faults or known else 0


if __name__ == "__main__":
    sys.exit(main())
