# SPDX-License-Identifier: GPL-3.0-or-later
"""deploy/tune-nic on a veth pair: prints what it would do, does it, and undoes it."""
import re
import subprocess
from pathlib import Path

import pytest

import topology

TOPOLOGY = topology.matrix(relay_queues=2)
TUNE = Path(__file__).resolve().parents[2] / "deploy" / "tune-nic"


@pytest.fixture
def tune(lab, tmp_path):
    def run(*args, check=True):
        return lab["relay"].run(["env", f"TUNE_NIC_STATE={tmp_path}", TUNE, *args], check=check)
    return run


def queues(lab):
    said = lab["relay"].run(["ethtool", "-l", "v4"]).stdout.split("Current hardware settings")[1]
    return {name: int(n) for name, n in re.findall(r"(RX|TX|Combined):\s+(\d+)", said)}


def deferred(lab):
    return lab["relay"].run(["cat", "/sys/class/net/v4/napi_defer_hard_irqs"]).stdout.strip()


def test_without_apply_it_only_prints_what_it_would_do(lab, tune, tmp_path):
    before = queues(lab), deferred(lab)
    said = tune("--busy-poll", "v4").stdout
    assert "nothing was changed" in said and "would   deferred interrupts: 0 -> 2" in said
    assert (queues(lab), deferred(lab)) == before and not list(tmp_path.iterdir())


def test_undo_reverts_what_was_applied(lab, tune):
    before = deferred(lab)
    said = tune("--apply", "--busy-poll", "v4").stdout
    assert "set     deferred interrupts: 0 -> 2" in said and deferred(lab) == "2"
    again = tune("--apply", "--busy-poll", "v4").stdout
    assert "ok      deferred interrupts: 2" in again
    undone = tune("--undo", "v4").stdout
    assert "undone" in undone and deferred(lab) == before
    assert tune("--undo", "v4", check=False).returncode == 1    # nothing is left to undo


def test_settings_the_driver_lacks_are_skipped(tune):
    said = tune("v4").stdout
    assert "skip    interrupts: the device has none" in said
    assert "skip    ring rx" in said


@pytest.mark.parametrize("args", [
    [], ["--nonsense", "v4"], ["v4", "v6"], ["nobody"], ["--queues", "0", "v4"], ["--queues"],
    ["--queues", "2; reboot", "v4"], ["--cpus", "a,b", "v4"], ["../../etc"], ["v4;true"]])
def test_wrong_usage_changes_nothing(lab, tune, args):
    before = queues(lab), deferred(lab)
    assert tune(*args, check=False).returncode == 2
    assert (queues(lab), deferred(lab)) == before


def test_the_script_is_sound_shell():
    assert subprocess.run(["bash", "-n", TUNE], check=False).returncode == 0
