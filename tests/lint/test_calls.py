# SPDX-License-Identifier: GPL-3.0-or-later
"""The lint of calls, on objects made for it: what it refuses, what it allows, what it asks to remove."""
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import calls  # noqa: E402 (the path above finds them)
import levels  # noqa: E402


@pytest.fixture
def lint(tmp_path, monkeypatch):
    """lint({source: text}, known, circles) compiles the sources and returns the lines of the lint."""
    def run(sources, known=(), circles=None):
        monkeypatch.setattr(levels, "KNOWN_CALLS", set(known))
        monkeypatch.setattr(levels, "CIRCLES", circles or {})
        objects = []
        for name, text in sources.items():
            objects.append(str((tmp_path / name).with_suffix(".o")))
            Path(objects[-1]).parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cc", "-x", "c", "-c", "-o", objects[-1], "-"], input=text, text=True,
                           check=True)
        return calls.check(str(tmp_path), objects)
    return run


CALL = "void callee(void); void caller(void); void caller(void) { callee(); }"
DEFINE = "void callee(void); void callee(void) { }"


def test_a_call_of_a_lower_room_is_allowed(lint):
    assert lint({"control/masque/a.c": CALL, "control/http/b.c": DEFINE}) == []
    assert lint({"control/http/a.c": CALL, "datapath/worker/b.c": DEFINE}) == []


@pytest.mark.parametrize("caller, callee, direction", [
    ("control/http", "control/core", "up"),
    ("control/http", "control/tls", "sideways"),
    ("datapath/quic", "datapath/worker", "up"),
    ("datapath/worker", "control/host", "up"),
])
def test_a_call_of_a_room_that_is_not_lower_is_a_fault(lint, caller, callee, direction):
    assert lint({f"{caller}/a.c": CALL, f"{callee}/b.c": DEFINE}) == [
        f"{caller}/a.c: callee of {callee}/b.c goes {direction} from {caller} to {callee}"]


def test_a_lower_room_that_is_kept_apart_is_a_fault(lint):
    assert lint({"control/core/a.c": CALL, "control/http/b.c": DEFINE}) == [
        "control/core/a.c: callee of control/http/b.c is not for control/core: "
        "sessions carry any protocol"]


def test_a_library_of_another_room_is_a_fault(lint):
    use = "void nghttp3_conn_del(void); void end(void); void end(void) { nghttp3_conn_del(); }"
    assert lint({"control/http/a.c": use}) == []
    assert lint({"control/core/a.c": use}) == [
        "control/core/a.c: nghttp3_conn_del is for control/http alone"]


def test_a_variable_is_like_a_function(lint):
    use = "extern int shared; int get(void); int get(void) { return shared; }"
    assert lint({"control/http/a.c": use, "control/core/b.c": "int shared = 1;"}) == [
        "control/http/a.c: shared of control/core/b.c goes up from control/http to control/core"]


def test_a_function_that_is_handed_down_as_a_pointer_is_no_call(lint):
    lower = "void run(void (*step)(void)); void run(void (*step)(void)) { step(); }"
    upper = ("void run(void (*step)(void)); static void step(void) { }"
             "void start(void); void start(void) { run(step); }")
    assert lint({"control/http/a.c": lower, "control/masque/b.c": upper}) == []


def test_a_room_without_a_level_is_a_fault(lint):
    faults = lint({"control/attic/a.c": CALL, "control/http/b.c": DEFINE})
    assert len(faults) == 1 and "control/attic is no room" in faults[0]


def test_a_known_call_is_allowed_as_long_as_it_is_made(lint):
    known = {("control/http/a.c", "callee")}
    assert lint({"control/http/a.c": CALL, "control/core/b.c": DEFINE}, known) == []
    faults = lint({"control/masque/a.c": CALL, "control/http/b.c": DEFINE}, known)
    assert len(faults) == 1 and "no longer a fault" in faults[0]


def ring(*names):
    """Sources of control/http of which each calls the next, and the last the first."""
    return {f"control/http/{name}.c": f"void {after}(void); void {name}(void);"
                                      f"void {name}(void) {{ {after}(); }}"
            for name, after in zip(names, (*names[1:], names[0]))}


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c")])
def test_files_of_a_room_that_call_each_other_in_a_circle_are_a_fault(lint, names):
    faults = lint(ring(*names))
    files = " ".join(f"control/http/{name}.c" for name in names)
    assert faults[0] == f"{files}: these call each other in a circle"
    assert len(faults) == 1 + len(names) and "    control/http/a.c -> control/http/b.c: b" in faults


def test_a_chain_of_calls_is_no_circle(lint):
    chain = {name: text for name, text in ring("a", "b", "c").items() if not name.endswith("c.c")}
    assert lint({**chain, "control/http/c.c": "void c(void); void c(void) { }"}) == []


def test_a_listed_circle_is_allowed_as_long_as_there_is_one(lint):
    listed = {("control/http", "a.c b.c c.c"): "a reason"}
    assert lint(ring("a", "b", "c"), circles=listed) == []
    assert lint(ring("a", "b"), circles=listed) == []
    assert len(lint(ring("a", "b", "d"), circles=listed)) == 1 + 3 + 1
    faults = lint({"control/masque/a.c": CALL, "control/http/b.c": DEFINE}, circles=listed)
    assert len(faults) == 1 and "no longer a circle" in faults[0]
