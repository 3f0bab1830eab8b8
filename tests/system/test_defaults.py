# SPDX-License-Identifier: GPL-3.0-or-later
"""Without a configuration file all features are on, clients need a link, and only public targets
are allowed."""
from pathlib import Path

import pytest

import daemon
from daemon import is_clean, load

# Globally routable addresses; no route leads out of the lab.
WORLD4, WORLD6 = "45.66.77.88", "2a00:6666::88"
DENIED = 15


@pytest.fixture
def world(lab):
    """Public addresses on the target hosts, and the relay's routes to them."""
    lab["target-v4"].ip("addr", "replace", f"{WORLD4}/32", "dev", "lo")
    lab["target-v6"].ip("addr", "replace", f"{WORLD6}/128", "dev", "lo")
    lab["relay"].ip("route", "replace", f"{WORLD4}/32", "via", lab["target-v4"].addr4)
    lab["relay"].ip("-6", "route", "replace", f"{WORLD6}/128", "via", lab["target-v6"].addr6)
    return {"target-v4": f"{WORLD4}:7000", "target-v6": f"[{WORLD6}]:7000"}


@pytest.fixture
def plain(start_relay):
    if Path("/etc/culvert/culvert.conf").exists():
        pytest.skip("this machine has a configuration of its own, /etc/culvert/culvert.conf")
    if Path("/etc/culvert/users").exists():
        pytest.skip("this machine has users of its own, /etc/culvert/users")
    return start_relay("relay", config=False)


def test_a_relay_without_configuration_bridges_to_the_world_and_refuses_the_lab(
        lab, plain, forward, targets, world):
    lab["relay"].set_names({"four.example": lab["target-v4"].addr4,
                            "six.example": lab["target-v6"].addr6})
    for peer in ("peer-v4", "peer-v6"):
        link = plain.link(4 if peer == "peer-v4" else 6)
        for target, address in world.items():
            client = forward(peer, plain, address, relay_at=link)
            figures = load(lab[peer], client.address, size=1200, count=300)
            assert is_clean(figures), (peer, target, figures)
        for address in [*targets.values(), "four.example:7000", "six.example:7000"]:
            done = daemon.ping(lab[peer], link, address)
            assert done.returncode == DENIED, (address, done.stderr)


def test_a_relay_without_configuration_has_everything_on(plain):
    status = plain.ctl("status")
    assert [link["name"] for link in status["interfaces"]] == ["v4", "v6"]
    assert [link["mode"] for link in status["interfaces"]] == ["copy", "copy"]
    listener, = status["listeners"]
    assert (listener["port"], listener["profile"], listener["families"]) == (443, "pqc", "both")
    assert "sha256:" + listener["pin"] == plain.fingerprint
    allowed = [r for r in plain.ctl("policy")["rules"] if r["verdict"] != "deny"]
    assert {r["why"] for r in allowed} == {"global unicast"}
    assert {r["prefix"] for r in allowed} == {"0.0.0.0/0", "2000::/3", "64:ff9b::/96"}
