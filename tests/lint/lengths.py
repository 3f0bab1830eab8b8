#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that files have at most 700 lines, and functions in C at most 80.

A function may be longer when the comment right above it has a line that begins with "Long:" and says
why, for instance because it is one table or one sequence of steps.  The layout of .clang-format is
relied on: the braces of a function's body stand in the first column.

lengths.py FILE...   prints one line for each file and function that is too long, and exits 1.
"""
import re
import sys
from pathlib import Path

FILE_LINES, FUNCTION_LINES = 700, 80
NAME = re.compile(r"([A-Za-z_]\w*)\(")
REASON = re.compile(r"[\s/*]*Long: \w")


def functions(lines):
    """Yields (first line, last line, name) of each function; lines count from 0."""
    opened = None
    for number, line in enumerate(lines):
        if line == "{":
            opened = number
        elif line == "}" and opened is not None:
            first = opened
            while first > 0 and is_signature(lines[first - 1]):
                first -= 1
            name = NAME.search(" ".join(lines[first:opened]))
            yield first, number, name.group(1) if name else "?"
            opened = None


def is_signature(line):
    """Whether this line, above the body of a function, belongs to its head."""
    return bool(line) and line not in ("}", "};") and not line.startswith(("#", "/*", "//", " *"))


def has_reason(lines, first):
    """Whether the comment that ends above line first says why the function is long."""
    above = first - 1
    while above >= 0 and lines[above].startswith(("/*", " *", "//")):
        if REASON.match(lines[above]):
            return True
        above -= 1
    return False


def faults(path, text):
    """Returns a line for each thing in this file that is too long."""
    lines = text.splitlines()
    found = []
    if len(lines) > FILE_LINES:
        found.append(f"{path}: {len(lines)} lines, more than {FILE_LINES}")
    if path.suffix in (".c", ".h"):
        for first, last, name in functions(lines):
            length = last - first + 1
            if length > FUNCTION_LINES and not has_reason(lines, first):
                found.append(f"{path}:{first + 1}: {name} has {length} lines, more than "
                             f"{FUNCTION_LINES}; shorten it, or say why in a comment: \"Long: ...\"")
    return found


def main():
    found = [line for name in sys.argv[1:]
             for line in faults(Path(name), Path(name).read_text(errors="replace"))]
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
