# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench's report: ratios within a round, goals, table and plots."""
import importlib.machinery
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"

import report  # noqa: E402 (the path above finds it)

ABOUT = {"culvertd": "culvertd 0", "kernel": "6.1", "cpu": "a processor", "cores": 2,
         "when": "2026-01-01 00:00"}
# In two rounds, the second on a machine that is busier by half: costs in us.
COSTS = {
    "floor_xsk_64": 0.6, "floor_xsk_handed_64": 1.0, "tunnel_to_target_64": 1.2,
    "tunnel_to_peer_64": 1.5, "floor_xsk_1200": 0.8, "floor_xsk_handed_1200": 1.6,
    "tunnel_to_target_1200": 1.5, "tunnel_to_peer_1200": 2.4, "floor_udp_1200": 2.0,
    "coturn_to_target_1200": 3.0, "coturn_to_peer_1200": 3.2, "masque_go_to_target_1200": 8.0,
    "masque_go_to_peer_1200": 7.0,
}


def made_of(costs, missing=None, slower=(1, 1.5)):
    samples = {name: [{"value": cost * factor, "unit": "us", "round": number}
                      for number, factor in enumerate(slower)] for name, cost in costs.items()}
    return report.Report(ABOUT, samples, missing or {})


def test_ratios_compare_what_one_round_measured():
    """A machine that is slower in one round is slower for all, which no ratio shows."""
    ratios = made_of(COSTS).json()["ratios"]
    ours = 2.4 - (1.6 - 0.8)    # toward the peer, less what handing over costs
    assert ratios["tunnel_1200_vs_udp_forwarder"] == pytest.approx(2.0 / ours, abs=1e-3)
    assert ratios["tunnel_1200_vs_xsk_floor"] == pytest.approx(0.8 / ours, abs=1e-3)
    assert ratios["tunnel_1200_vs_coturn"] == pytest.approx(3.2 / ours, abs=1e-3)
    assert ratios["tunnel_1200_vs_masque_go"] == pytest.approx(8.0 / ours, abs=1e-3)
    assert ratios["tunnel_64_vs_tunnel_1200"] == pytest.approx(ours / 1.2, abs=1e-3)


def test_a_goal_reports_whether_it_is_met():
    goals = made_of(COSTS).json()["goals"]
    assert goals["tunnel_1200_vs_udp_forwarder"]["met"] is True
    assert goals["tunnel_1200_vs_xsk_floor"]["met"] is False
    assert goals["tunnel_1200_vs_xsk_floor"]["goal"] == 0.6


def test_what_was_not_measured_has_a_reason_and_no_value():
    made = made_of({k: v for k, v in COSTS.items() if "coturn" not in k},
                   {"coturn": "coturn: no apt here"})
    assert made.json()["ratios"]["tunnel_1200_vs_coturn"] is None
    assert "no apt here" in made.json()["goals"]["tunnel_1200_vs_coturn"]["reason"]
    assert "not measured: coturn: no apt here" in made.table()
    assert "part latency was not chosen" in made.json()["goals"]["latency_p50_vs_direct"]["reason"]


def test_every_ratio_has_a_goal_and_names_its_part_of_the_bench():
    assert set(report.ratios_of(lambda name: None)) == set(report.GOALS) == set(report.PART_OF)
    loader = importlib.machinery.SourceFileLoader("bench_run", str(BENCH / "run"))
    run = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_run", loader))
    loader.exec_module(run)
    assert set(report.PART_OF.values()) <= set(run.PARTS)


def test_medians_come_with_their_spread():
    found = made_of(COSTS, slower=(1, 3, 2)).json()["medians"]["floor_udp_1200"]
    assert (found["least"], found["median"], found["most"]) == (2.0, 4.0, 6.0)


def test_results_table_and_pictures_are_files(tmp_path):
    made_of(COSTS).write(tmp_path)
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["about"] == ABOUT and found["samples"]["floor_udp_1200"][1]["round"] == 1
    table = (tmp_path / "table.md").read_text()
    assert all(name in table for name in (*report.GOALS, *COSTS))
    if shutil.which("gnuplot"):
        assert "<svg" in (tmp_path / "cost.svg").read_text()


def test_the_command_line_knows_its_parts():
    def run(*words):
        return subprocess.run([sys.executable, BENCH / "run", *words], capture_output=True,
                              text=True, check=False)
    assert run("--help").returncode == 0
    assert "no such part: nonsense" in run("nonsense").stderr


def test_a_short_run_measures_the_tunnel_and_reports_it(root, tmp_path):
    done = subprocess.run(
        [sys.executable, BENCH / "run", "--rounds", "1", "--seconds", "0.1", "--sizes", "1200",
         "--out", tmp_path, "tunnel"], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["not_measured"] == {}, done.stdout
    assert set(found["ratios"]) == set(report.GOALS)
    assert 0 < found["ratios"]["tunnel_1200_vs_xsk_floor"] < 10
    for direction in ("to_target", "to_peer"):
        assert found["medians"][f"tunnel_{direction}_1200"]["median"] > 0
        # at saturation it shares its core; its cost alone is beside it
        (one,) = found["samples"][f"tunnel_{direction}_1200"]
        assert one["alone"] > 0
    assert found["about"]["commands"]
