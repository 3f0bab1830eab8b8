# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses, routes, neighbours and links change under open tunnels, on both sides of the relay."""
import contextlib
import json
import re
import time
from ipaddress import ip_address
from zlib import crc32

import pytest

import daemon
import topology
from daemon import end_load, is_clean, load, start_load
from losses import RELAY_OVERFLOWS
from netns import wait_until

# Two queues: a peer whose address changes may come in by another worker's.
TOPOLOGY = topology.matrix(relay_queues=2)
# Interfaces that the cases below make have no address of a network: the relay is to serve them all
# the same.
RELAY_CONFIG = daemon.CONFIG + \
    'interfaces = {"v4", "v6", "late", "again", "first", "second", "wide"}\n'
DATAPATHS = ("xdp", "sock")
UNCOUNTED_MAX = 60    # at 1000 a second: what was in the air, and what the lab's switch took
# Lost by a change that takes a moment, beside what is in counters.
BLINK_MAX = 500
AGE_SEC = 6           # of a tunnel that is replaced at once when it ends: culvert waits else
AFTER_LOSS = 200      # datagrams a second
FLOW = 500            # datagrams that show that traffic flows
WITHOUT_END = 10**6   # datagrams: until end_load
DENIED_CODE = 15      # of culvert: the relay refuses the target


@pytest.fixture
def client(relay, forward, targets):
    return forward("peer-v4", relay, targets["target-v6"])


def drops_of(relay):
    return {name: n for name, n in relay.ctl("drops")["total"].items() if n}


def new_drops(before, relay, *expected):
    """Drops since, other than those that are meant to happen."""
    return {name: n - before.get(name, 0) for name, n in drops_of(relay).items()
            if n != before.get(name, 0) and name not in expected}


def works(client, count=200):
    """Wait until everything comes back, then make sure that it goes on.  After a loss the congestion
    window is small, and on a busy machine the client's queue would drop what comes faster."""
    wait_until(lambda: is_clean(load(client.peer, client.address, count=10, wait=500)))
    return is_clean(load(client.peer, client.address, count=count, rate=AFTER_LOSS))


def lost_beyond_queues(figures):
    """What was lost other than by a full queue, on a machine that may be busy."""
    return max(figures["lost"] - sum(figures["overflows"].values()), 0)


# ---- the peer's side ----

@pytest.mark.parametrize("name, old, new", [
    ("peer-v4", "198.18.4.10/24", "198.18.4.111/24"),
    ("peer-v6", "2001:db8:6::10/64", "2001:db8:6::111/64"),
])
def test_a_peer_that_gets_another_address_keeps_its_tunnels(
        lab, relay, forward, targets, name, old, new):
    client = forward(name, relay, targets["target-v4" if name == "peer-v6" else "target-v6"])
    peer, dev = client.peer, lab[name].spec.links[0].name
    nodad = ["nodad"] if ":" in old else []
    assert is_clean(load(peer, client.address, count=100))
    before = relay.ctl("status")["counters"]
    for gone, come in ((old, new), (new, old)):
        peer.ip("addr", "del", gone, "dev", dev)
        peer.ip("addr", "add", come, "dev", dev, *nodad)
        assert works(client)
    after = relay.ctl("status")["counters"]
    assert after["path_changes"] - before["path_changes"] == 2
    assert after["handshakes"] == before["handshakes"]
    assert client.proc.text().count("ready") == 1


def test_a_peer_whose_new_address_is_added_first_loses_next_to_nothing(lab, relay, client,
                                                                       when_quiet):
    """As on a host that roams, with both networks up for a moment."""
    peer = client.peer
    drops = drops_of(relay)
    busy = start_load(peer, client.address, count=WITHOUT_END, rate=1000)
    lab["target-v6"].wait_heard(FLOW)
    peer.ip("addr", "add", "198.18.4.112/32", "dev", "v4")
    peer.ip("route", "replace", "198.18.4.1/32", "dev", "v4", "src", "198.18.4.112")
    try:
        wait_until(lambda: [c["peer"].rpartition(":")[0] for c in relay.ctl("conns")["conns"]]
                   == ["198.18.4.112"])
        lab["target-v6"].wait_heard(FLOW)
        result = end_load(busy)
        when_quiet(lost_beyond_queues(result) <= BLINK_MAX, result)
        assert new_drops(drops, relay, *RELAY_OVERFLOWS) == {}
    finally:
        peer.ip("route", "del", "198.18.4.1/32", "dev", "v4")
        peer.ip("addr", "del", "198.18.4.112/32", "dev", "v4")
    assert works(client)


# ---- the relay's addresses ----

def is_listened_on(relay, address):
    """Whether XDP has the address as one of the listener."""
    pin = next(path for path in daemon.netns.pins_named(relay.run.name) if path.name == "listeners")
    rows = json.loads(relay.host.run(["bpftool", "-j", "map", "dump", "pinned", pin]).stdout)
    mapped = bytes(10) + b"\xff\xff" + ip_address(address).packed
    return any(bytes(row["formatted"]["key"]["addr"]) == mapped for row in rows)


def test_an_address_added_to_the_relay_is_served_at_once(lab, relay, forward, targets):
    host = lab["relay"]
    host.ip("addr", "add", "198.18.4.77/24", "dev", "v4")
    try:
        client = forward("peer-v4", relay, targets["target-v6"], relay_at="198.18.4.77:443")
        assert is_clean(load(client.peer, client.address, count=300))
        assert not relay.uses_xdp or is_listened_on(relay, "198.18.4.77")
    finally:
        host.ip("addr", "del", "198.18.4.77/24", "dev", "v4")
    wait_until(lambda: not relay.uses_xdp or not is_listened_on(relay, "198.18.4.77"))


# ---- the route to the target ----

@contextlib.contextmanager
def target_of_two(lab):
    """An address that lives on two hosts, and a route of the relay to the first of them."""
    hosts = [lab["target-v4"], lab["relay-v4only"]]
    echoes = []
    for host in hosts:
        host.ip("addr", "add", "198.18.20.9/32", "dev", "lo")
        echoes.append(daemon.echo(host, 7009))
    lab["relay"].ip("route", "add", "198.18.20.9/32", "via", hosts[0].addr4)
    try:
        yield hosts
    finally:
        lab["relay"].ip("route", "flush", "198.18.20.9/32")
        for host, echo in zip(hosts, echoes):
            echo.stop()
            host.ip("addr", "del", "198.18.20.9/32", "dev", "lo")


def test_a_route_that_changes_is_followed_by_open_tunnels(lab, relay, forward, when_quiet):
    with target_of_two(lab) as (first, second):
        client = forward("peer-v4", relay, "198.18.20.9:7009")
        assert is_clean(load(client.peer, client.address, count=100))
        drops = drops_of(relay)
        busy = start_load(client.peer, client.address, count=WITHOUT_END, rate=1000)
        first.wait_heard(FLOW)
        lab["relay"].ip("route", "replace", "198.18.20.9/32", "via", second.addr4)
        second.wait_heard(FLOW)
        result = end_load(busy)
        # a slow neighbour's, beyond limits.neighbour-queue-packets
        dropped = new_drops(drops, relay, *RELAY_OVERFLOWS)
        assert dropped.keys() <= {"drop_no_neighbour"}
        when_quiet(lost_beyond_queues(result) <= BLINK_MAX + sum(dropped.values()),
                   (result, dropped))

        lab["relay"].ip("route", "del", "198.18.20.9/32")
        result = load(client.peer, client.address, count=50, rate=500, wait=300)
        assert result["received"] == 0
        assert new_drops(drops, relay, *RELAY_OVERFLOWS).keys() <= {
            "drop_no_neighbour", "drop_no_route", "drop_send_error"}
        lab["relay"].ip("route", "add", "198.18.20.9/32", "via", first.addr4)
        assert works(client)


def test_a_target_that_becomes_the_relays_own_address_loses_its_tunnel(lab, relay, forward):
    with target_of_two(lab):
        client = forward("peer-v4", relay, "198.18.20.9:7009")
        assert is_clean(load(client.peer, client.address, count=50))
        assert relay.ctl("tunnels")["tunnels"]
        lab["relay"].ip("addr", "add", "198.18.20.9/32", "dev", "lo")
        try:
            wait_until(lambda: not relay.ctl("tunnels")["tunnels"])
            done = daemon.ping(client.peer, relay.address(4), "198.18.20.9:7009", relay.fingerprint)
            assert done.returncode == DENIED_CODE and "own address" in done.stderr, done.stderr
        finally:
            lab["relay"].ip("addr", "del", "198.18.20.9/32", "dev", "lo")
        assert works(client)


def test_a_target_with_another_link_address_is_found_again(lab, relay, forward, targets):
    target = lab["target-v4"]
    client = forward("peer-v4", relay, targets["target-v4"])
    assert is_clean(load(client.peer, client.address, count=100))
    for address in ("02:00:00:00:99:01", "02:00:00:00:99:02"):
        target.ip("link", "set", "v4", "down")
        target.ip("link", "set", "v4", "address", address)
        target.ip("link", "set", "v4", "up")
        target.reaches(lab["relay"].addr4)    # it speaks up, as a host that was booted does
        assert works(client)


def test_a_target_that_was_gone_is_found_again(lab, relay, forward, targets):
    target = lab["target-v6"]
    client = forward("peer-v4", relay, targets["target-v6"])
    assert is_clean(load(client.peer, client.address, count=100))
    target.ip("link", "set", "v6", "down")
    load(client.peer, client.address, count=300, rate=200, wait=100)
    target.ip("link", "set", "v6", "up")
    target.ip("addr", "add", "2001:db8:6::20/64", "dev", "v6", "nodad")
    assert works(client)    # the kernel's own patience with a neighbour is in it


# ---- the relay's links ----

def test_an_interface_that_goes_down_and_up_takes_its_tunnels_with_it(lab, relay, forward, targets):
    """The interface to the peers; their sessions survive."""
    client = forward("peer-v4", relay, targets["target-v6"])
    other = forward("peer-v6", relay, targets["target-v6"])
    assert is_clean(load(client.peer, client.address, count=100))
    handshakes = relay.ctl("status")["counters"]["handshakes"]
    for _ in range(2):
        lab["relay"].ip("link", "set", "v4", "down")
        assert is_clean(load(other.peer, other.address, count=300))    # which the other side is
        lab["relay"].ip("link", "set", "v4", "up")
        assert works(client)
    assert relay.ctl("status")["counters"]["handshakes"] == handshakes
    if relay.uses_xdp:
        assert {one["mode"] for one in relay.ctl("status")["interfaces"] if one["ifindex"]} == \
            {daemon.MODES[relay.datapath]}


def test_the_targets_interface_goes_down_and_up(lab, relay, forward, targets):
    """Its IPv6 addresses are removed and added again."""
    client = forward("peer-v4", relay, targets["target-v6"])
    assert is_clean(load(client.peer, client.address, count=100))
    drops = drops_of(relay)
    busy = start_load(client.peer, client.address, count=WITHOUT_END, rate=1000)
    lab["target-v6"].wait_heard(FLOW)
    lab["relay"].ip("link", "set", "v6", "down")
    wait_until(lambda: sum(new_drops(drops, relay).values()) >= FLOW)
    lab["relay"].ip("link", "set", "v6", "up")
    lab["relay"].ip("addr", "add", "2001:db8:6::1/64", "dev", "v6", "nodad")
    lab["target-v6"].wait_heard(FLOW)
    result = end_load(busy)
    # Counted, not lost silently: all but what the switch had yet to learn.
    dropped = sum(new_drops(drops, relay, *RELAY_OVERFLOWS).values())
    assert dropped >= lost_beyond_queues(result) - UNCOUNTED_MAX, (dropped, result)
    assert works(client)


def payload_of(client):
    return int(re.findall(r"^max payload (\d+)", client.proc.text(), re.M)[-1])


def test_a_smaller_link_mtu_is_discovered_and_the_payload_reported(lab, relay, forward, targets):
    client = forward("peer-v4", relay, targets["target-v6"])
    # The search takes an open tunnel.
    assert is_clean(load(client.peer, client.address, count=10))
    wait_until(lambda: payload_of(client) == 1440)
    assert is_clean(load(client.peer, client.address, count=100, size=1400))
    host = lab["relay"]
    try:
        host.ip("link", "set", "v4", "mtu", "1400")
        if relay.uses_xdp:
            wait_until(lambda: shown(relay, "v4", "mtu") == 1400)
        busy = start_load(client.peer, client.address, count=WITHOUT_END, rate=200, size=1430)
        wait_until(lambda: payload_of(client) < 1400 - 28)
        busy.kill()
        wait_until(lambda: 1400 - 28 - 32 - 16 <= payload_of(client) <= 1400 - 28 - 32)
        assert is_clean(load(client.peer, client.address, count=200, rate=AFTER_LOSS,
                             size=payload_of(client)))
    finally:
        host.ip("link", "set", "v4", "mtu", "1500")
    assert works(client)


def test_a_smaller_mtu_of_the_peers_own_link_is_reported_at_once(lab, relay, forward, targets):
    client = forward("peer-v4", relay, targets["target-v6"])
    assert is_clean(load(client.peer, client.address, count=10))
    wait_until(lambda: payload_of(client) == 1440)
    try:
        client.peer.ip("link", "set", "v4", "mtu", "1300")
        wait_until(lambda: payload_of(client) == 1300 - 28 - 32)
        assert is_clean(load(client.peer, client.address, count=200, size=1200))
    finally:
        client.peer.ip("link", "set", "v4", "mtu", "1500")
    wait_until(lambda: payload_of(client) == 1440)
    assert is_clean(load(client.peer, client.address, count=200, size=1400))


# ---- interfaces that were not there at the start ----

def plug(lab, name, network, address, host="relay", queues=2):
    """A new interface of a host, on a switch of the lab.

    A name always has the same link address, as a card that is unplugged and plugged in again."""
    space = daemon.netns.namespace(lab.name, network)
    port = f"{name}-port"
    card = "02:99:" + crc32(name.encode()).to_bytes(4, "big").hex(":")
    daemon.netns.call(["ip", "-batch", "-"], f"""\
link add dev {name} address {card} netns {lab[host].netns} numtxqueues {queues} \
numrxqueues {queues} type veth peer name {port} netns {space} numtxqueues 2 numrxqueues 2
""")
    off = "rx on tx off sg on tso off gso off gro off tx-udp-segmentation off".split()
    for where, end in ((lab[host].netns, name), (space, port)):
        daemon.netns.call(["nsenter", f"--net={daemon.netns.NETNS / where}", "ethtool", "-K", end,
                           *off])
    daemon.netns.call(["ip", "-n", space, "link", "set", "dev", port, "master", "br0", "up"])
    if address:
        lab[host].ip("addr", "add", address, "dev", name)
    lab[host].ip("link", "set", name, "up")
    daemon.netns.call(["nsenter", f"--net={daemon.netns.NETNS / space}", "ethtool", "-K", port,
                       "gro", "on"])
    return port


def shown(relay, name, what="mode"):
    """What the status shows of an interface, or None."""
    found = [one for one in relay.ctl("status")["interfaces"] if one["name"] == name]
    return found[0][what] if found else None


def test_an_interface_that_appears_is_attached_and_serves(lab, relay, forward, targets, when_quiet):
    old = forward("peer-v6", relay, targets["target-v4"])
    assert is_clean(load(old.peer, old.address, count=100))
    busy = start_load(old.peer, old.address, count=WITHOUT_END, rate=1000)
    plug(lab, "late", "net4", "198.18.4.88/32")
    try:
        if relay.uses_xdp:
            wait_until(lambda: shown(relay, "late") == daemon.MODES[relay.datapath])
        lab["relay"].ip("route", "replace", "198.18.4.10/32", "dev", "late", "src", "198.18.4.88")
        client = forward("peer-v4", relay, targets["target-v6"], relay_at="198.18.4.88:443")
        assert works(client)
        if relay.uses_xdp:    # and it is AF_XDP that carries it
            before = relay.ctl("status")["counters"]["rx_kernel_packets"]
            assert is_clean(load(client.peer, client.address, count=500))
            assert relay.ctl("status")["counters"]["rx_kernel_packets"] - before < 50
        result = end_load(busy)
        # The workers stood still for a moment, which others on this machine may make longer.
        when_quiet(lost_beyond_queues(result) <= BLINK_MAX, result)
        assert works(old)
    finally:
        lab["relay"].ip("link", "del", "late")    # and its route
    if relay.uses_xdp:
        wait_until(lambda: shown(relay, "late") == "kernel")
        assert works(old)


def test_an_interface_that_is_deleted_and_made_again_is_attached_again(
        lab, relay, forward, targets):
    plug(lab, "again", "net4", None)
    try:
        for _ in range(3):
            if relay.uses_xdp:
                wait_until(lambda: shown(relay, "again") == daemon.MODES[relay.datapath])
            client = forward("peer-v4", relay, targets["target-v6"])
            assert is_clean(load(client.peer, client.address, count=200))
            lab["relay"].ip("link", "del", "again")
            if relay.uses_xdp:
                wait_until(lambda: shown(relay, "again") == "kernel")
            assert works(client)
            plug(lab, "again", "net4", None)
        if relay.uses_xdp:
            wait_until(lambda: shown(relay, "again") == daemon.MODES[relay.datapath])
            assert len([one for one in relay.ctl("status")["interfaces"]
                        if one["name"] == "again"]) == 1
    finally:
        lab["relay"].ip("link", "del", "again")


def test_a_renamed_interface_keeps_its_datapath_mode_when_others_appear(
        lab, relay, forward, targets):
    """Sockets are bound by name."""
    host = lab["relay"]
    plug(lab, "first", "net4", None)
    try:
        if relay.uses_xdp:
            wait_until(lambda: shown(relay, "first") == daemon.MODES[relay.datapath])
        host.ip("link", "set", "first", "down")
        host.ip("link", "set", "first", "name", "renamed")
        host.ip("link", "set", "renamed", "up")
        if relay.uses_xdp:
            wait_until(lambda: shown(relay, "renamed") == daemon.MODES[relay.datapath])
            assert shown(relay, "first") is None
        plug(lab, "second", "net4", None)
        if relay.uses_xdp:
            wait_until(lambda: shown(relay, "second") == daemon.MODES[relay.datapath])
            assert shown(relay, "renamed") == daemon.MODES[relay.datapath]
        client = forward("peer-v4", relay, targets["target-v6"])
        assert works(client)
    finally:
        for name in ("first", "renamed", "second"):
            host.run(["ip", "link", "del", name], check=False)


def test_a_route_that_leaves_by_an_interface_without_af_xdp_is_followed(lab, relay, forward):
    """It has too many receive queues: kernel sockets serve it.  No tunnel stays on the old one."""
    plug(lab, "wide", "net4", "198.18.4.89/32", queues=65)
    try:
        if relay.uses_xdp:
            wait_until(lambda: shown(relay, "wide") == "kernel")
        with target_of_two(lab) as (first, second):
            client = forward("peer-v4", relay, "198.18.20.9:7009")
            assert is_clean(load(client.peer, client.address, count=100))
            busy = start_load(client.peer, client.address, count=WITHOUT_END, rate=1000)
            first.wait_heard(FLOW)
            time.sleep(AGE_SEC)
            lab["relay"].ip("route", "replace", "198.18.20.9/32", "via", second.addr4, "dev",
                            "wide", "onlink", "src", "198.18.4.89")
            second.wait_heard(FLOW)    # by another tunnel, which had to be opened
            busy.kill()
            assert works(client)
    finally:
        lab["relay"].ip("link", "del", "wide")
