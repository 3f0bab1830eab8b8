# SPDX-License-Identifier: GPL-3.0-or-later
"""Half a minute of load, below and above the relay's capacity: speed does not matter here, only that
every datagram arrives or is in a counter of drops.  `make bench-quick` runs it.

    load_tunnel (ten connections, fifty tunnels)  ->  relay  ->  far: drops, or sends back
                                                             <-  load_raw
"""
import json
import re
import time

import balance
import pytest
import tunnels
from netns import wait_until
from rig import LOAD_PORTS, PORT, Rig, build_folder, topology
from lab import Lab

ECHO_PORT = 7001
CONNS, TUNNELS = 10, 5
CALM, TOO_MUCH = 20000, 10**6   # datagrams a second
MSEC = 400
UDP_GRO_MOST = 64               # datagrams that the kernel counts as one when a socket is full
REST_SEC = 0.25                 # longer than any datagram waits in a queue


@pytest.fixture(scope="module", params=("xdp", "sock"))
def rig(root, request, tmp_path_factory):
    """A relay with far ends; what an end or a link loses is in losses()."""
    with Lab(topology.matrix(), build=build_folder()) as lab:
        rig = Rig(lab, tmp_path_factory.mktemp("r"), MSEC)
        try:
            rig.start_relay(config=tunnels.config(request.param), datapath=request.param)
            rig.far4 = rig.far(4, "--xsk", LOAD_PORTS)
            rig.far6 = rig.far(6, "--drop", PORT, "--echo", ECHO_PORT)
            yield rig
        finally:
            rig.clear()


@pytest.fixture(scope="module")
def load(rig):
    return rig.load_tunnel(4, (6, PORT), "--conns", CONNS, "--tunnels", TUNNELS)


@pytest.fixture(scope="module")
def echoed(rig, load):
    """Another load client, whose targets answer."""
    load.stop()
    return rig.load_tunnel(4, (6, ECHO_PORT), "--conns", CONNS, "--tunnels", TUNNELS)


def losses(rig, family):
    """Packets that a link of the relay or its sockets dropped, by their counters."""
    lost = 0
    for end, device in ((rig.relay_host, f"v{family}"), (rig.switch(family), "relay")):
        said = end.run(["sh", "-c", f"ip -s -j link show {device}; ethtool -S {device}"]).stdout
        link, _, more = said.partition("NIC statistics:")
        stats = json.loads(link)[0]["stats64"]
        lost += stats["rx"]["dropped"] + stats["tx"]["dropped"]
        lost += sum(int(n) for n in re.findall(r"_(?:xdp_xmit|tx)_err\w*: (\d+)", more))
    full = rig.relay_host.counters()["Udp.RcvbufErrors" if family == 4 else "Udp6RcvbufErrors"]
    return lost + full * UDP_GRO_MOST


def take(rig, load):
    """A reading, once all counters stand still."""
    seen = []

    def is_at_rest():
        seen.append((balance.take(rig.relay), rig.far6.ask("count"), load.ask("count")))
        time.sleep(REST_SEC)
        return len(seen) > 1 and seen[-1] == seen[-2]

    wait_until(is_at_rest)
    client = load.ask("count")
    return {"relay": balance.take(rig.relay), "far": rig.far6.ask("count"),
            "lost": {"4": losses(rig, 4) + client.pop("lost_before_us"), "6": losses(rig, 6)},
            "load": client}


def between(what, sent, came, lost):
    """An error, unless came is what was sent, less at most the known losses."""
    return [] if 0 <= sent - came <= lost else [f"{what}: {sent} sent, {came} came, {lost} lost"]


def errors(before, after, raw_sent=0, is_echo=False):
    """The sums that do not agree, as text."""
    wrong = balance.errors(before["relay"], after["relay"])
    relay = balance.difference(before["relay"], after["relay"])["relay"]
    d = balance.difference({k: before[k] for k in ("far", "lost", "load")},
                           {k: after[k] for k in ("far", "lost", "load")})
    load, lost = d["load"], d["lost"]
    wrong += [f"load, {text}" for text in balance.datagram_errors(load)]
    wrong += between("packets to the relay", load["tx_peer_packets"], relay["rx_peer_packets"],
                     lost["4"])
    wrong += between("packets to the client", relay["tx_peer_packets"], load["rx_peer_packets"],
                     lost["4"])
    wrong += between("datagrams to the relay", load["datagrams_out"], relay["datagrams_in"],
                     load["tx_peer_packets"] - relay["rx_peer_packets"] + relay["drop_quic"])
    wrong += between("datagrams to the client", relay["datagrams_out"], load["datagrams_in"],
                     relay["tx_peer_packets"] - load["rx_peer_packets"] + load["drop_quic"])
    wrong += between("datagrams to targets", relay["tx_target_packets"], d["far"]["packets"],
                     lost["6"])
    came_from = d["far"]["packets"] if is_echo else raw_sent
    wrong += between("datagrams from targets", came_from, relay["rx_target_packets"], lost["6"])
    return wrong


def all_reached_applications(before, after):
    """Whether what the client opened is what its applications got, whole.  What a busy machine
    delays comes after the load has reported, but before the counters stand still."""
    load = balance.difference({"load": before["load"]}, {"load": after["load"]})["load"]
    return load["received"] == load["datagrams_in"] and not load["corrupted"]


@pytest.mark.parametrize("rate", (CALM, TOO_MUCH))
def test_toward_targets_every_datagram_arrives_or_is_counted(rig, load, rate):
    before = take(rig, load)
    offered = sum(load.ask("send", size, rate, MSEC)["offered"] for size in (64, 512, 1200))
    after = take(rig, load)
    assert errors(before, after) == []
    assert after["load"]["rx_target_packets"] - before["load"]["rx_target_packets"] == offered
    assert after["far"]["packets"] > before["far"]["packets"]


@pytest.mark.parametrize("command", (("pace", CALM), ("flood", 64, 128)))
def test_toward_peers_every_datagram_arrives_or_is_counted(rig, load, command):
    ports = tunnels.ports_file(rig, 6)
    for size in (64, 1200):
        raw = rig.load_raw(6, "target-v6", PORT, 9, size, "--ports", ports)
        before = take(rig, load)
        load.command("listen", MSEC + 500)
        sent, got = raw.ask(command[0], MSEC, *command[1:])["sent"], load.answer()
        after = take(rig, load)
        raw.stop()
        assert errors(before, after, sent) == []
        assert got["received"] and all_reached_applications(before, after)


@pytest.mark.parametrize("rate", (CALM, TOO_MUCH))
def test_every_echoed_datagram_returns_intact_or_is_counted(rig, echoed, rate):
    before = take(rig, echoed)
    for size in (64, 512, 1200):
        assert echoed.ask("send", size, rate, MSEC)["received"]
    after = take(rig, echoed)
    assert errors(before, after, is_echo=True) == []
    assert all_reached_applications(before, after)


def test_no_message_between_threads_was_lost(rig):
    assert rig.counters()["events_lost"] == 0
