# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench's modules are imported from its directory, and the lab from the lab's."""
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent / "bench"), str(TESTS / "lab")]

from lab_fixtures import root  # noqa: E402, F401 (the path above finds it)
