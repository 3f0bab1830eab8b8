# SPDX-License-Identifier: GPL-3.0-or-later
"""Where tunnel packets go, and that nothing else of the host goes there."""
import json

import pytest

import apps
import daemon
from daemon import endpoint, is_clean, is_count_of, load
from test_matrix import ROWS

DATAPATHS = ("xdp", "generic", "sock")

COUNT = 2000
SEGMENTS_MAX = 64


def udp(host):
    """What the host's kernel has received and sent over UDP, of both families."""
    counters = host.counters()
    return {name: counters[name] for name in (
        "Udp.InDatagrams", "Udp.NoPorts", "Udp.InErrors", "Udp.OutDatagrams",
        "Udp6InDatagrams", "Udp6NoPorts", "Udp6InErrors", "Udp6OutDatagrams")}


def steered(relay):
    xdp = relay.ctl("status")["xdp"]
    return [xdp[name]["packets"] for name in ("xdp_steer_conn", "xdp_steer_context")]


def sender(peer):
    return "[::1]:16999" if peer.addr6 else "127.0.0.1:16999"


@pytest.mark.parametrize("peer, target", ROWS.values(), ids=ROWS)
def test_tunnel_packets_take_the_data_path_that_was_asked_for(
        lab, relay, forward, targets, peer, target):
    client = forward(peer, relay, targets[target])
    one = {"bind": sender(lab[peer]), "size": 1200}
    assert is_clean(load(lab[peer], client.address, count=200, rate=1000, **one))

    kernel = udp(lab["relay"])
    before = steered(relay) if relay.uses_xdp else None
    figures = load(lab[peer], client.address, count=COUNT, rate=2000, **one)
    assert is_clean(figures), figures
    if relay.uses_xdp:
        assert udp(lab["relay"]) == kernel    # it stood still
        conn, context = (after - b for after, b in zip(steered(relay), before))
        assert conn >= figures["received"] and is_count_of(figures, context)
    else:
        after = udp(lab["relay"])
        came = sum(after[k] - kernel[k] for k in ("Udp.InDatagrams", "Udp6InDatagrams"))
        left = sum(after[k] - kernel[k] for k in ("Udp.OutDatagrams", "Udp6OutDatagrams"))
        # Several may leave in one call (UDP_SEGMENT), and count once.
        assert came >= 2 * figures["received"] and left >= figures["received"] / SEGMENTS_MAX
        assert relay.ctl("status")["xdp"] is None


def test_each_interface_reports_its_datapath_mode(relay):
    status = relay.ctl("status")
    links = {link["name"]: link for link in status["interfaces"]}
    if relay.uses_xdp:
        assert sorted(links) == ["v4", "v6"]
        for link in links.values():
            assert (link["mode"], link["xdp"], [s["from"] for s in link["fallbacks"]]) == (
                ("copy", "native", ["zerocopy"]) if relay.datapath == "xdp" else
                ("generic", "generic", []))
            assert all(one["because"] for one in link["fallbacks"])
        sockets = [s["interface"] for w in relay.ctl("workers")["workers"] for s in w["sockets"]]
        assert sorted(sockets) == ["v4", "v6"]
    else:
        assert all(link["xdp"] == "none" for link in links.values())
    assert status["steered"] is True


@pytest.mark.parametrize("peer", ["peer-v4", "peer-v6"])
def test_udp_to_other_ports_reaches_the_host(lab, relay, peer):
    host = lab["relay"]
    echo = daemon.echo(host, 9000)
    address = endpoint(host.addr4 if lab[peer].addr4 else host.addr6, 9000)
    for size in (0, 64, 1200, 4000):    # the last in fragments
        figures = load(lab[peer], address, size=size, count=200, rate=2000)
        assert is_clean(figures), (size, figures)
    echo.stop()


@pytest.mark.parametrize("target", ["target-v4", "target-v6"])
def test_the_hosts_own_udp_from_the_egress_port_range_reaches_the_host(
        lab, relay, forward, targets, target):
    # While a tunnel leads to the very same target.
    client = forward("peer-v4", relay, targets[target])
    assert is_clean(load(lab["peer-v4"], client.address, count=10))
    host = lab["relay"]
    own = endpoint(host.addr4 if target == "target-v4" else host.addr6, 0)
    for port in (20000, 40001, 59999, 0):
        figures = load(host, targets[target], bind=own[:-1] + str(port), count=200, rate=2000)
        assert is_clean(figures), (port, figures)
    assert is_clean(load(lab["peer-v4"], client.address, count=10))


@pytest.mark.parametrize("target", ["target-v4", "target-v6"])
def test_the_hosts_own_name_lookups_are_answered(lab, relay, target):
    host, records = lab[target], {"six.example": "2001:db8:6::77", "four.example": "192.0.2.77"}
    server = apps.serve_dns(host, records)
    found = apps.lookup(lab["relay"], endpoint(host.addr4 or host.addr6, 53), records, times=5)
    server.stop()
    assert found["received"] == found["sent"] == 10


SERVE = """
import socket
listener = socket.create_server(("::", 2222), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    one, _ = listener.accept()
    with one:
        while data := one.recv(65536):
            one.sendall(data)
"""
TALK = """
import json, os, socket, sys
data, got = os.urandom(1 << 20), b""
with socket.create_connection((sys.argv[1], 2222), timeout=60) as one:
    for i in range(0, len(data), 65536):
        one.sendall(data[i:i + 65536])
        while len(got) < i + 65536:
            got += one.recv(65536)
print(json.dumps(got == data))
"""


@pytest.mark.parametrize("peer", ["peer-v4", "peer-v6"])
def test_tcp_reaches_the_host(lab, relay, peer):
    host = lab["relay"]
    server = host.start(["/usr/bin/python3", "-c", SERVE], name="tcp")
    server.wait_line("^ready")
    address = host.addr4 if lab[peer].addr4 else host.addr6
    done = lab[peer].run(["/usr/bin/python3", "-c", TALK, address])
    assert json.loads(done.stdout) is True
    server.stop()
    assert lab[peer].reaches(address, 1400)
