# SPDX-License-Identifier: GPL-3.0-or-later
"""The lint of #include, on a tree made for it."""
import subprocess
import sys
from pathlib import Path

import pytest

LINT = Path(__file__).parent / "includes.py"
FILES = ("bpf/abi.h", "bpf/maps.bpf.h", "datapath/base/a.h", "datapath/quic/b.h", "control/http/c.h",
         "control/tls/d.h", "control/proxy/e.h", "control/library/culvert.h", "tools/culvert/f.h")


@pytest.fixture
def lint(tmp_path):
    """lint(source, include) returns the faults of a file with that one #include."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")

    def run(source, include):
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / source).write_text(f"#include {include}\n")
        done = subprocess.run([sys.executable, LINT, source], cwd=tmp_path, capture_output=True,
                              text=True, check=False)
        assert done.returncode == (1 if done.stderr else 0)
        return done.stderr.strip()
    return run


@pytest.mark.parametrize("source, include", [
    ("datapath/quic/x.c", '"datapath/base/a.h"'),
    ("datapath/quic/x.c", '"datapath/quic/b.h"'),
    ("datapath/base/x.h", '"bpf/abi.h"'),
    ("control/proxy/x.c", '"control/http/c.h"'),
    ("control/http/x.c", '"datapath/quic/b.h"'),
    ("control/main.c", '"control/proxy/e.h"'),
    ("tools/culvert/x.c", '"control/library/culvert.h"'),
    ("tests/unit/x.c", '"control/proxy/e.h"'),
    ("control/http/x.c", "<stdio.h>"),
])
def test_an_include_of_something_lower_is_allowed(lint, source, include):
    assert lint(source, include) == ""


@pytest.mark.parametrize("source, include, what", [
    ("datapath/base/x.c", '"datapath/quic/b.h"', "goes up"),
    ("control/http/x.c", '"control/proxy/e.h"', "goes up"),
    ("control/http/x.c", '"control/tls/d.h"', "goes sideways"),
    ("datapath/quic/x.c", '"control/tls/d.h"', "goes up"),
    ("control/attic/x.c", '"control/tls/d.h"', "is no room"),
    ("control/http/x.c", '"bpf/maps.bpf.h"', "reaches into bpf/"),
    ("bpf/x.bpf.h", '"datapath/base/a.h"', "leaves bpf/"),
    ("tools/culvert/x.c", '"control/proxy/e.h"', "is not for an application"),
    ("control/http/x.c", '"control/http/gone.h"', "names no file"),
    ("control/http/x.c", "<control/http/c.h>", "write it in quotes"),
])
def test_any_other_include_is_a_fault(lint, source, include, what):
    fault = lint(source, include)
    assert fault.startswith(f"{source}:1: ") and what in fault, fault
