# SPDX-License-Identifier: GPL-3.0-or-later
"""The lint of lengths, on files made for it."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import lengths  # noqa: E402 (the path above finds it)

SOURCE = Path("control/http/a.c")


def function(lines, comment="", head="static int\nlong_one(int a,\n\t int b)"):
    """A function of that many lines, its head included."""
    body = lines - len(head.splitlines()) - 2
    return f"int before;\n\n{comment}{head}\n{{\n" + "\twork();\n" * body + "}\n"


def test_a_file_has_at_most_700_lines():
    assert lengths.faults(SOURCE, "int x;\n" * 700) == []
    assert lengths.faults(SOURCE, "int x;\n" * 701) == [
        "control/http/a.c: 701 lines, more than 700"]
    assert len(lengths.faults(Path("tests/lab/a.py"), "x = 1\n" * 701)) == 1


def test_a_function_has_at_most_80_lines_with_its_head():
    assert lengths.faults(SOURCE, function(80)) == []
    found = lengths.faults(SOURCE, function(81))
    assert len(found) == 1 and found[0].startswith(
        "control/http/a.c:3: long_one has 81 lines, more than 80")


def test_a_comment_right_above_may_give_the_reason():
    for comment in ("/* Long: one table. */\n", "/*\n * Does it.\n *\n * Long: one table.\n */\n"):
        assert lengths.faults(SOURCE, function(200, comment)) == []
    for comment in ("/* Does it. */\n", "/* Long: one table. */\n\n", "/* Long: */\n"):
        assert len(lengths.faults(SOURCE, function(200, comment))) == 1, comment


def test_each_function_is_measured_by_itself():
    long, short = function(90, head="void first(void)"), function(20, head="void second(void)")
    assert [line.split()[1] for line in lengths.faults(SOURCE, long + "\n" + short + "\n" + long)] \
        == ["first", "first"]


def test_what_is_not_a_function_may_be_longer():
    table = "static const int table[] = {\n" + "\t1,\n" * 200 + "};\n"
    structure = "struct thing {\n" + "\tint member;\n" * 200 + "};\n"
    assert lengths.faults(SOURCE, table + "\n" + structure) == []
