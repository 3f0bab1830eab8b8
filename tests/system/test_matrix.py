# SPDX-License-Identifier: GPL-3.0-or-later
"""Every pair of address families: what passes, and the errors for what cannot."""
import pytest

import daemon
from daemon import is_clean, load, load_of, start_load

DATAPATHS = ("xdp", "generic", "sock")

ROWS = {
    "same_v4": ("peer-v4", "target-v4"),
    "bridge_4to6": ("peer-v4", "target-v6"),
    "bridge_6to4": ("peer-v6", "target-v4"),
    "same_v6": ("peer-v6", "target-v6"),
}
NO_ROUTE, NO_ANSWER, NO_FAMILY = 10, 11, 14    # exit codes of culvert


@pytest.fixture
def v4_only(start_relay):
    """A relay on a host that has no IPv6."""
    return start_relay("relay-v4only")


@pytest.mark.parametrize("peer, target", ROWS.values(), ids=ROWS)
def test_datagrams_cross_and_come_back_unharmed(lab, relay, forward, targets, peer, target):
    client = forward(peer, relay, targets[target])
    figures = load(lab[peer], client.address, size=1200, count=1000, rate=2000)
    assert is_clean(figures), figures
    tunnel = relay.ctl("tunnels")["tunnels"][-1]
    assert tunnel["target"] == targets[target]
    assert tunnel["local"].startswith("198.18.4.1:" if target == "target-v4" else "[2001:db8:6::1]")
    assert tunnel["via"] == ("xsk" if relay.uses_xdp else "kernel")


@pytest.mark.parametrize("peer, target", ROWS.values(), ids=ROWS)
def test_many_senders_have_a_tunnel_each(lab, relay, forward, targets, peer, target):
    client = forward(peer, relay, targets[target])
    senders = [start_load(lab[peer], client.address, count=100, size=64, seed=seed)
               for seed in range(8)]
    figures = [load_of(sender) for sender in senders]
    assert is_clean(*figures), figures
    assert relay.ctl("conns")["conns"][0]["tunnels"] == 8


def test_without_a_relay_the_families_do_not_meet(lab, targets):
    done = lab["peer-v4"].run([lab.tool("udpload"), targets["target-v6"]], check=False)
    assert done.returncode != 0
    assert "Cannot assign requested address" in done.stderr    # the peer has none of that family


def test_a_relay_in_a_family_the_peer_lacks_is_no_route(lab, targets):
    done = daemon.ping(lab["peer-v4"], "[2001:db8:6::1]:443", targets["target-v6"],
                       "sha256:" + 64 * "0")
    assert done.returncode == NO_ROUTE
    assert done.stderr == "culvert: no route to relay [2001:db8:6::1]:443\n"


def test_a_silent_relay_is_no_answer_after_ten_seconds(lab, targets):
    done = daemon.ping(lab["peer-v4"], "198.18.4.20:443", targets["target-v6"],
                       "sha256:" + 64 * "0")
    assert done.returncode == NO_ANSWER
    assert done.stderr == "culvert: no answer from relay 198.18.4.20:443 within 10 s\n"


def test_a_relay_without_the_targets_family_reports_it(lab, v4_only, targets):
    lab["relay-v4only"].set_names({"six.example": lab["target-v6"].addr6})
    for target in (targets["target-v6"], "six.example:7000"):
        done = daemon.ping(lab["peer-v4"], v4_only.address(4), target, v4_only.fingerprint)
        assert done.returncode == NO_FAMILY, done.stderr
        assert "the relay has no route to the address family of" in done.stderr
        assert "status 502" in done.stderr
    done = daemon.ping(lab["peer-v4"], v4_only.address(4), targets["target-v4"],
                       v4_only.fingerprint)
    assert done.returncode == 0, done.stderr
