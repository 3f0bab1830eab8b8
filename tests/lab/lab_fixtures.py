# SPDX-License-Identifier: GPL-3.0-or-later
"""The pytest fixtures of all suites that raise labs; their conftest.py imports them."""
import os

import pytest

import netns
from lab import build_folder


@pytest.fixture(scope="session")
def root():
    """The privilege and the programs to make network namespaces."""
    if os.geteuid() != 0:
        pytest.skip("needs root: the lab makes network namespaces")
    netns.preflight()
    netns.remove_stale()


@pytest.fixture(scope="session")
def build():
    return build_folder()
