#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that source files begin with the licence tag of their part of the tree.

spdx.py FILE...   prints one line per file that does not, and exits 1.
"""
import sys
from pathlib import Path

KERNEL = "SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause"
CULVERT = "SPDX-License-Identifier: GPL-3.0-or-later"
CHECKED = {".c", ".h", ".py", ".sh", ".awk", ".list", ".service", ".conf", ".scd", ""}
UNTAGGED = {"LICENSE", ".gitignore", ".gitattributes", ".editorconfig"}


def is_checked(path):
    if path.name in UNTAGGED or "corpus" in path.parts or "debian" in path.parts:
        return False
    if path.suffix == "" and path.name != "Makefile":
        with path.open("rb") as file:  # scripts go without a suffix
            return file.read(2) == b"#!"
    return path.suffix in CHECKED


def fault(path):
    """Returns what is wrong with this file, or None."""
    lines = path.read_text(errors="replace").splitlines()[:2] + ["", ""]
    first = lines[1] if lines[0].startswith("#!") else lines[0]
    in_kernel = path.parts[0] == "bpf" or path.name.endswith((".bpf.c", ".bpf.h"))
    tag = KERNEL if in_kernel else CULVERT
    wanted = f"/* {tag} */" if path.suffix in (".c", ".h") else tag
    if wanted not in first:
        return f"{path}:1: the first line is not \"{wanted}\""
    return None


def main():
    paths = [Path(name) for name in sys.argv[1:]]
    faults = [fault(path) for path in paths if path.is_file() and is_checked(path)]
    faults = [line for line in faults if line]
    for line in faults:
        print(line, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
