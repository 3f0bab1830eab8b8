# SPDX-License-Identifier: GPL-3.0-or-later
"""Payloads of every possible size arrive unchanged; larger ones do not arrive at all."""
import pytest

from daemon import exchange, is_clean, is_count_of, load
from test_matrix import ROWS

DATAPATHS = ("xdp", "generic", "sock")


def max_payload(client, at_least=1400):
    """The largest payload that `culvert forward` reports, after traffic started the search."""
    load(client.peer, client.address, size=64, count=100)
    client.proc.wait_line(r"^max payload 1[4-9]\d\d$")
    said = [line for line in client.proc.text().splitlines() if line.startswith("max payload ")]
    largest = int(said[-1].split()[-1])
    assert at_least <= largest <= 1472
    return largest


@pytest.mark.parametrize("peer, target", ROWS.values(), ids=ROWS)
def test_payloads_of_all_sizes_return_unchanged(
        lab, relay, forward, targets, peer, target):
    client = forward(peer, relay, targets[target])
    largest = max_payload(client)
    sizes = [0, 1, 2, 7, 64, 1199, 1200, 1201, largest - 1, largest, 0, 1]
    assert exchange(lab[peer], client.address, *sizes) == {
        "same": sizes, "different": [], "missing": []}


@pytest.mark.parametrize("peer, target", ROWS.values(), ids=ROWS)
def test_only_a_payload_beyond_the_largest_is_lost(lab, relay, forward, targets, peer, target):
    client = forward(peer, relay, targets[target])
    largest = max_payload(client)
    assert exchange(lab[peer], client.address, 1, largest + 1, largest) == {
        "same": [1, largest], "different": [], "missing": [largest + 1]}


def test_datagrams_before_their_tunnel_is_open_are_kept(lab, relay, forward, targets):
    client = forward("peer-v4", relay, targets["target-v6"])
    figures = load(lab["peer-v4"], client.address, count=16, rate=10**6, first=False)
    assert is_clean(figures), figures


@pytest.mark.parametrize("size", [0, 1, 8, 1200])
def test_a_thousand_of_one_size_arrive_once_each(lab, relay, forward, targets, size):
    client = forward("peer-v4", relay, targets["target-v6"])
    figures = load(lab["peer-v4"], client.address, size=size, count=1000, rate=2000)
    assert is_clean(figures), figures
    tunnel = relay.ctl("tunnels")["tunnels"][-1]
    for direction in ("to_target", "to_peer"):
        assert is_count_of(figures, tunnel[f"{direction}_packets"])
        assert tunnel[f"{direction}_bytes"] == tunnel[f"{direction}_packets"] * size


def test_a_peer_without_datagram_frames_is_served_by_capsules(lab, relay, forward, targets):
    client = forward("peer-v4", relay, targets["target-v6"], "--capsules")
    sizes = [0, 1, 64, 1200, 1400]
    assert exchange(lab["peer-v4"], client.address, *sizes) == {
        "same": sizes, "different": [], "missing": []}
    assert is_clean(load(lab["peer-v4"], client.address, size=500, count=500, rate=500))
    assert relay.ctl("tunnels")["tunnels"][-1]["capsules"]
