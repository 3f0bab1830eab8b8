# SPDX-License-Identifier: GPL-3.0-or-later
"""Two peers behind NATs whose connection leaves the relay: `culvert listen` and `culvert connect`."""
import json
import re

import pytest

import apps
import daemon
import topology
from daemon import is_clean, load, load_of, start_load

OUTSIDE = {"a": "198.18.4.101", "b": "198.18.4.102"}  # of the peers, as others see them
TOPOLOGY = topology.nat_pair("port-restricted", "cgnat")
DATAPATHS = ("xdp", "sock")


@pytest.fixture(scope="module")
def identities(lab, tmp_path_factory):
    """Files of an identity for each peer."""
    folder = tmp_path_factory.mktemp("ids")
    for name in ("a", "b"):
        lab[f"peer-{name}"].run([lab.build / "culvert", "id", "--identity", folder / name])
    return folder


@pytest.fixture(scope="module")
def echo(lab):
    for name in ("peer-a", "peer-b"):
        daemon.echo(lab[name])


@pytest.fixture
def meet(lab, logs, request, relay, identities, echo):
    """meet(listener, dialler, *args): a Listen and a Connect, ready; the first leads to an echo
    server."""
    started = []

    def start(listener, dialler, *args, connect=None):
        name = f"{daemon.slug(request.node.name)}-{len(started)}"
        server = daemon.Listen(lab[f"peer-{listener}"], relay, identities / listener,
                               "127.0.0.1:7000", *args, log=logs / f"{name}-listen.log")
        started.append(server)
        server.wait()
        client = daemon.Connect(lab[f"peer-{dialler}"], server.ticket, identities / dialler,
                                *server.at, *(connect or args), log=logs / f"{name}-connect.log")
        started.append(client)
        return server, client.wait()

    yield start
    for one in started:
        assert one.stop() == 0, one.proc.text()


@pytest.mark.parametrize("listener, dialler", [("a", "b"), ("b", "a")])
def test_the_connection_moves_to_a_direct_path_and_loses_nothing(lab, meet, listener, dialler):
    server, client = meet(listener, dialler)
    busy = start_load(client.peer, client.address, size=500, count=1500, rate=500)
    client.proc.wait_line(r"^path \S+ by direct 198\.18\.4\.\d+:\d+, before by relay \(better\)")
    server.proc.wait_line(r"^path \S+ by direct 198\.18\.4\.\d+:\d+, before by relay \(peer\)")
    assert is_clean(load_of(busy))


def test_it_returns_to_the_relay_when_the_direct_path_is_cut(lab, meet, when_quiet):
    server, client = meet("a", "b")
    client.proc.wait_line(r"^path \S+ by direct ")
    found = re.search(r"^path \S+ by direct (\S+):\d+,", client.proc.text(), re.M)
    box = lab["nat-a"]
    cut = ["nft", "add", "table", "ip", "cut", ";", "add", "chain", "ip", "cut", "c",
           "{ type filter hook forward priority -10; }", ";", "add", "rule", "ip", "cut", "c",
           "ip", "saddr", OUTSIDE["b"], "drop", ";", "add", "rule", "ip", "cut", "c",
           "ip", "daddr", OUTSIDE["b"], "drop"]
    assert found.group(1) == OUTSIDE["a"]
    busy = start_load(client.peer, client.address, size=300, count=2000, rate=400)
    box.run(cut)
    try:
        client.proc.wait_line(r"^path \S+ by relay \S+, before by direct \(silent\)")
        # What was on its way is lost, and what was sent until the silence was noticed.
        figures = load_of(busy)
        assert not figures["corrupted"] and not figures["duplicated"], figures
        assert is_clean(load(client.peer, client.address, size=300, count=200, rate=400))
        when_quiet(figures["received"] > 1200, f"received {figures['received']} of 2000")
    finally:
        box.run(["nft", "delete", "table", "ip", "cut"])


def summary_of(command):
    """What a Listen or Connect with --json sums up at its end.  Stops it."""
    assert command.stop() == 0, command.proc.text()
    lines = [line for line in command.proc.text().splitlines() if '"summary"' in line]
    assert len(lines) == 1, command.proc.text()
    assert not re.search(r"clv1|\d+\.\d+\.\d+\.\d+", lines[0]), "an address or an id"
    return json.loads(lines[0])


@pytest.mark.parametrize("privacy", ["open", "relay-only"])
def test_a_summary_tells_how_the_peer_was_reached(lab, relay, identities, echo, logs, privacy):
    words = ["--json", "--privacy", privacy]
    server = daemon.Listen(lab["peer-a"], relay, identities / "a", "127.0.0.1:7000", *words,
                           log=logs / f"summary-{privacy}-listen.log")
    server.proc.wait_line(r'"listening"')
    ticket = json.loads(server.proc.text().splitlines()[0])["ticket"]
    client = daemon.Connect(lab["peer-b"], ticket, identities / "b", *words,
                            log=logs / f"summary-{privacy}-connect.log")
    client.proc.wait_line(r'"ready"')
    if privacy == "open":
        for one in (client, server):
            one.proc.wait_line(r'"event":"path".*"method":"direct"')
    assert is_clean(load(client.peer, client.address, size=300, count=100, rate=400))
    dialler, listener = summary_of(client), summary_of(server)
    assert dialler["method"] == "relay" and dialler["setup_ms"] > 0
    for one in (dialler, listener):
        assert one["probes"]["bad_tag"] == one["probes"]["replayed"] == 0
        if privacy == "relay-only":
            assert one["direct_ms"] is None and not one["candidates"]
            assert not one["probes"]["sent"] and not one["pairs"]["won"]
            continue
        assert one["direct_ms"] > 0 and one["pairs"]["won"] >= 1
        assert one["pairs"]["answered"] >= one["pairs"]["won"]
        assert one["pairs"]["won"] == sum(k["won"] for k in one["candidates"].values())
        assert one["probes"]["sent"] >= one["probes"]["answered"] > 0
        assert one["rounds"]["direct"] + one["rounds"]["silent"] >= 1
    if privacy == "open":
        assert dialler["moves"]["better"] >= 1 and listener["moves"]["peer"] >= 1
        assert dialler["observed_ms"] > 0 and listener["observed_ms"] is None


@pytest.mark.parametrize("shy", ["a", "b"])
def test_with_relay_only_nothing_leaves_for_the_peer(lab, meet, shy):
    box = lab["nat-a" if shy == "a" else "cgn-b"]
    other = OUTSIDE["b" if shy == "a" else "a"]
    watch = box.start(["tcpdump", "-n", "-i", "out", "--immediate-mode", "-l", "udp", "and", "host",
                       other], name="tcpdump")
    watch.wait_line("listening on")
    modes = [("--privacy", "relay-only" if who == shy else "open") for who in ("a", "b")]
    server, client = meet("a", "b", *modes[0], connect=modes[1])
    assert is_clean(load(client.peer, client.address, size=300, count=400, rate=100))
    watch.stop()
    assert "by direct" not in client.proc.text() + server.proc.text()
    assert not re.search(r"^[\d:.]+ IP ", watch.text(), re.M), watch.text()


def test_downloads_by_a_ticket_are_whole_while_the_path_moves(lab, relay, identities, tmp_path,
                                                              logs):
    host = lab["peer-a"]
    http = apps.serve_quic(host, tmp_path / "quic")
    server = daemon.Listen(host, relay, identities / "a", daemon.endpoint(host.addr4, 4433),
                           log=logs / f"download-{relay.datapath}-listen.log").wait()
    client = daemon.Connect(lab["peer-b"], server.ticket, identities / "b",
                            log=logs / f"download-{relay.datapath}-connect.log").wait()
    found = apps.fetch(client.peer, client.address, tmp_path / "quic", times=3)
    client.proc.wait_line(r"^path \S+ by direct ")
    assert found["received"] == found["sent"] == 3, found
    assert client.stop() == 0 and server.stop() == 0
    http.stop()
