#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks on compiled objects that calls go downward, and that no files call each other in a circle.

    calls.py FOLDER OBJECT...

FOLDER/control/http/fields.o is the object of control/http/fields.c.  A reference to a function or a
variable of another room must lead to a room of a lower level (levels.py), and among the files of one
room no chain of references may return to its start.  Some libraries are for one room alone.  The
exceptions are in levels.py.  Prints a line for each fault, and for each exception that no longer
applies, and exits 1 if there was one.
"""
import subprocess
import sys
from collections import defaultdict
from pathlib import PurePosixPath

import levels

UNDEFINED = {"U", "w", "v"}


def read_symbols(folder, objects):
    """Returns who defines what, {symbol: source}, and who uses what, {source: {symbol}}."""
    defined, used = {}, defaultdict(set)
    # One line each: "FILE: SYMBOL TYPE VALUE SIZE".
    listing = subprocess.run(["nm", "--print-file-name", "--extern-only", "--format=posix",
                              *objects], capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        name, symbol, kind = line.split()[:3]
        source = PurePosixPath(name.rstrip(":")).relative_to(folder).with_suffix(".c")
        if kind in UNDEFINED:
            used[source].add(symbol)
        else:
            defined[symbol] = source
    return defined, used


def references(defined, used):
    """Returns {(source, definer): {symbol}} of all references from one of the files to another."""
    found = defaultdict(set)
    for source, symbols in used.items():
        for symbol in symbols:
            if symbol in defined and defined[symbol] != source:
                found[source, defined[symbol]].add(symbol)
    return found


def circles(edges):
    """Returns the sets of files that reach each other, each sorted; edges: pairs of files."""
    below = defaultdict(set)
    for source, target in edges:
        below[source].add(target)

    def reachable(start):
        seen, todo = set(), [start]
        while todo:
            for target in below[todo.pop()] - seen:
                seen.add(target)
                todo.append(target)
        return seen

    reach = {source: reachable(source) for source in list(below)}
    found = {tuple(sorted([source, *(other for other in reach[source]
                                     if other != source and source in reach.get(other, ()))]))
             for source in reach if source in reach[source]}
    return sorted(found)


def check_levels(found):
    """Returns the faults among references between rooms."""
    faults, known = [], set()
    for (source, target), symbols in sorted(found.items()):
        what = levels.fault(source, target)
        if not what:
            continue
        for symbol in sorted(symbols):
            if (str(source), symbol) in levels.KNOWN_CALLS:
                known.add((str(source), symbol))
            else:
                faults.append(f"{source}: {symbol} of {target} {what}")
    return faults + [f"{source}: {symbol} is no longer a fault: take it off KNOWN_CALLS in "
                     "tests/lint/levels.py" for source, symbol in sorted(levels.KNOWN_CALLS - known)]


def check_libraries(used):
    """Returns the faults among references to the libraries of one room."""
    return [f"{source}: {symbol} is for {room} alone"
            for source, symbols in sorted(used.items()) for symbol in sorted(symbols)
            for prefix, room in levels.LIBRARIES.items()
            if symbol.startswith(prefix) and levels.room(source) != room]


def listed_circle(files):
    """Returns the entry of levels.CIRCLES that covers these files, or None."""
    for room, names in levels.CIRCLES:
        if {f"{room}/{name}" for name in names.split()} >= {str(file) for file in files}:
            return room, names
    return None


def check_circles(found):
    """Returns the faults among the files of each room."""
    inside = [pair for pair in found if levels.room(pair[0]) == levels.room(pair[1])]
    faults, known = [], set()
    for files in circles(inside):
        entry = listed_circle(files)
        if entry:
            known.add(entry)
            continue
        faults.append(f"{' '.join(map(str, files))}: these call each other in a circle")
        for (source, target), symbols in sorted(found.items()):
            if source in files and target in files:
                faults.append(f"    {source} -> {target}: {' '.join(sorted(symbols))}")
    return faults + [f"{room}: {names}: no longer a circle: take it off CIRCLES in "
                     "tests/lint/levels.py" for room, names in sorted(set(levels.CIRCLES) - known)]


def check(folder, objects):
    """Returns one line for each fault."""
    defined, used = read_symbols(folder, objects)
    found = references(defined, used)
    return check_levels(found) + check_libraries(used) + check_circles(found)


def main():
    faults = check(sys.argv[1], sys.argv[2:])
    for line in faults:
        print(line, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
