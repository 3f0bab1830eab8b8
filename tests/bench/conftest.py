# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench's own modules are imported from its folder, and its lab from theirs."""
import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent / "bench"), str(TESTS / "lab")]

import netns  # noqa: E402 (the path above finds it)


@pytest.fixture(scope="session")
def root():
    if os.geteuid() != 0:
        pytest.skip("needs root: the lab makes network namespaces")
    netns.preflight()
    netns.remove_stale()
