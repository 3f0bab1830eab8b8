# SPDX-License-Identifier: GPL-3.0-or-later
"""Relays that start before their network, or on hosts with interfaces that are not for them."""
import contextlib

import daemon
import topology
from cards import cards_of, served, sockets
from daemon import is_clean, load
from netns import wait_until

TOPOLOGY = topology.matrix(relay_queues=2)
DATAPATHS = ("xdp", "generic")
AUTO = 'datapath = "auto"\npolicy { allow = {"198.18.0.0/15", "2001:db8::/32"} }\n'
FLOW = 500    # datagrams that show that traffic flows


@contextlib.contextmanager
def network_is_off(host):
    for name in ("v4", "v6"):
        host.ip("link", "set", name, "down")
        host.ip("addr", "flush", "dev", name)
    try:
        yield
    finally:
        host.ip("addr", "add", f"{host.addr4}/24", "dev", "v4")
        host.ip("addr", "add", f"{host.addr6}/64", "dev", "v6", "nodad")
        for name in ("v4", "v6"):
            host.ip("link", "set", name, "up")


def test_a_relay_that_starts_before_the_network_serves_it_when_it_comes(
        lab, start_relay, forward, targets, datapath):
    with network_is_off(lab["relay"]):
        relay = start_relay(config=daemon.CONFIG % {"datapath": datapath})
        assert "no_interface" in relay.proc.text() and served(relay) == {}
    wait_until(lambda: served(relay) == dict.fromkeys(("v4", "v6"), daemon.MODES[datapath]))
    for peer, target in (("peer-v4", "target-v6"), ("peer-v6", "target-v4")):
        client = forward(peer, relay, targets[target])
        wait_until(lambda: is_clean(load(client.peer, client.address, count=20)))
        before = relay.ctl("status")["counters"]["rx_kernel_packets"]
        assert is_clean(load(client.peer, client.address, count=FLOW))
        assert relay.ctl("status")["counters"]["rx_kernel_packets"] - before < FLOW / 10


def test_when_the_first_interface_that_comes_has_few_queues_so_many_workers_serve(
        lab, start_relay, forward, targets, datapath):
    with cards_of(lab) as cards, network_is_off(lab["relay"]):
        relay = start_relay(config=daemon.CONFIG % {"datapath": datapath} + "workers = 2\n")
        cards.add("narrow", "198.19.1.1/24", queues=1)
        wait_until(lambda: served(relay) == {"narrow": daemon.MODES[datapath]})
        assert "workers_idle used=1 of=2" in relay.proc.text()
    wait_until(lambda: served(relay) == dict.fromkeys(("v4", "v6"), daemon.MODES[datapath]))
    assert {worker for worker, _, _ in sockets(relay)} == {0}
    client = forward("peer-v4", relay, targets["target-v6"])
    assert is_clean(load(client.peer, client.address, count=FLOW))
    idle = relay.ctl("workers")["workers"][1]["counters"]
    assert idle["rx_peer_packets"] == idle["datagrams_in"] == 0


def test_a_name_that_no_interface_has_yet_is_said(lab, start_relay, datapath):
    relay = start_relay(config=daemon.CONFIG % {"datapath": datapath} +
                        'interfaces = {"v4", "soon"}\n')
    assert "interface_missing if=soon" in relay.proc.text()
    assert [one["present"] for one in relay.ctl("status")["interfaces"]] == [True, False]
    said = lab["relay"].run([lab.build / "culvertctl", "--run-dir", relay.run, "status"]).stdout
    assert "soon: not there; it is served when it comes" in said
    with cards_of(lab) as cards:
        cards.add("soon")
        wait_until(lambda: served(relay) == dict.fromkeys(("v4", "soon"), daemon.MODES[datapath]))
    wait_until(lambda: not relay.ctl("status")["interfaces"][1]["present"])


def test_an_interface_with_few_queues_takes_no_worker_from_the_others(
        lab, start_relay, forward, targets, datapath):
    with cards_of(lab) as cards:
        cards.add("narrow", "198.19.1.1/24", queues=1)
        relay = start_relay(config=AUTO + "workers = 2\n")
        assert served(relay) == {"v4": "copy", "v6": "copy", "narrow": "kernel"}
        narrow, = [one for one in relay.ctl("status")["interfaces"] if one["name"] == "narrow"]
        assert "1 receive queue for 2 workers: with workers = 1" in \
            narrow["fallbacks"][-1]["because"]
        assert len(relay.ctl("workers")["workers"]) == 2
        client = forward("peer-v4", relay, targets["target-v6"])
        assert is_clean(load(client.peer, client.address, count=100))
        relay.stop()
        relay = start_relay(config=daemon.CONFIG % {"datapath": datapath} + "workers = 2\n")
        assert set(served(relay).values()) == {daemon.MODES[datapath]}
        assert len(relay.ctl("workers")["workers"]) == 1


def test_a_bridge_is_served_only_when_it_leads_out(lab, start_relay):
    host = lab["relay"]
    host.ip("link", "add", "br7", "type", "bridge")
    try:
        host.ip("addr", "add", "198.19.7.1/24", "dev", "br7")
        host.ip("link", "set", "br7", "up")
        relay = start_relay(config=AUTO)
        assert served(relay).keys() == {"v4", "v6"}
        assert "interfaces_not_chosen count=1 names=br7" in relay.proc.text()
        host.ip("route", "add", "default", "via", "198.19.7.2", "dev", "br7", "onlink")
        wait_until(lambda: served(relay).get("br7") == "generic")
    finally:
        host.ip("link", "del", "br7")
    wait_until(lambda: served(relay).keys() == {"v4", "v6"})


def test_an_address_that_comes_later_is_in_the_relays_own_certificate(lab, start_relay):
    host = lab["relay"]
    relay = start_relay(config=daemon.CONFIG % {"datapath": "sock"})
    chain = relay.state / "tls" / "pqc.pem"
    assert "45.66.77.98" not in daemon.names_of(chain)
    host.ip("addr", "add", "45.66.77.98/32", "dev", "lo")
    try:
        wait_until(lambda: "45.66.77.98" in daemon.names_of(chain))
        relay.proc.wait_line(r"^info certificate listener=")
        done = daemon.ping(lab["peer-v4"], relay.address(4), "198.18.4.20:7", relay.fingerprint)
        assert "pin" not in done.stderr    # renewed for the same key
    finally:
        host.ip("addr", "del", "45.66.77.98/32", "dev", "lo")
