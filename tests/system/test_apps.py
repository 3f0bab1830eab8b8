# SPDX-License-Identifier: GPL-3.0-or-later
"""Unmodified programs talk through the relay from IPv4 to IPv6 and back."""
import pytest

import apps
import losses
from daemon import dropped_by, endpoint

DATAPATHS = ("xdp", "sock")

WAYS = [("peer-v4", "target-v6"), ("peer-v6", "target-v4")]


@pytest.mark.parametrize("peer, target", WAYS)
def test_iperf_sends_datagrams_to_its_server(lab, relay, forward, peer, target):
    host = lab[target]
    server = apps.serve_iperf(host)
    client = forward(peer, relay, endpoint(host.addr4 or host.addr6, 5001), "--log-level", "info")
    watch = losses.Watch(lab)
    found = apps.iperf(lab[peer], client.address, server, megabits=10, seconds=1)
    server.stop()
    assert relay.ctl("tunnels")["tunnels"][-1]["to_target_packets"] >= found["received"]
    # iperf's socket is small, and iperf does not wait until the tunnel is open.
    arrived = found["received"] + dropped_by(client)
    assert found["sent"] > 500 and watch.accounts_for(found["sent"], arrived), (
        found, arrived, watch.since())


@pytest.mark.parametrize("peer, target", WAYS)
def test_names_are_looked_up_in_a_name_server_of_the_other_family(
        lab, relay, forward, peer, target):
    host = lab[target]
    records = {"six.example": "2001:db8:6::77", "four.example": "192.0.2.77"}
    server = apps.serve_dns(host, records)
    client = forward(peer, relay, endpoint(host.addr4 or host.addr6, 53))
    found = apps.lookup(lab[peer], client.address, records, times=3)
    server.stop()
    assert found["received"] == found["sent"] == 6, found


@pytest.mark.parametrize("peer, target", WAYS)
def test_a_quic_client_downloads_a_file_from_a_quic_server(
        lab, relay, forward, tmp_path, peer, target):
    host = lab[target]
    server = apps.serve_quic(host, tmp_path / "quic")
    client = forward(peer, relay, endpoint(host.addr4 or host.addr6, 4433))
    found = apps.fetch(lab[peer], client.address, tmp_path / "quic", times=2)
    server.stop()
    assert found["received"] == found["sent"] == 2, found
