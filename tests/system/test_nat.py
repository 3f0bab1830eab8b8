# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers behind NATs that forget their mappings or change their address, under traffic."""
import sys
from pathlib import Path

import pytest

import daemon
import topology
from daemon import end_load, is_clean, load, start_load
from losses import RELAY_OVERFLOWS
from netns import wait_until

TOPOLOGY = topology.nat_pair("port-restricted", "symmetric")
DATAPATHS = ("xdp", "sock")
CONNTRACK = Path(daemon.__file__).with_name("conntrack.py")
TARGET = "198.18.4.20:7000"
# At 1000 a second: what was on its way to a mapping that is no more, on a machine that may be busy.
# A relay that waited for a probe to time out would lose a second's.
LOST_PER_MOVE = 150
FLOW = 300            # datagrams that show that traffic flows
WITHOUT_END = 10**6   # datagrams: until end_load


@pytest.fixture(scope="module")
def echo(lab):
    daemon.echo(lab["target-v4"])


@pytest.fixture
def client(relay, forward, echo):
    return forward("peer-b", relay, TARGET)


def forget(lab):
    """The NAT of peer-b forgets its flows: the next packet gets another port."""
    lab["nat-b"].run([sys.executable, CONNTRACK])


def move_box(lab, old, new):
    box = lab["nat-b"]
    rules = box.run(["nft", "list", "table", "ip", "nat_box"]).stdout
    box.ip("addr", "del", f"{old}/24", "dev", "out")
    box.ip("addr", "add", f"{new}/24", "dev", "out")
    box.run(["nft", "-f", "-"], text="delete table ip nat_box\n" + rules.replace(old, new))
    forget(lab)


def figures(relay):
    """What moves and drops there were."""
    counters = relay.ctl("status")["counters"]
    drops = {name: n for name, n in relay.ctl("drops")["total"].items() if n}
    return counters["path_changes"], counters["handshakes"], drops


def difference(before, after):
    """Drops in between, other than by a full queue."""
    return {name: n - before.get(name, 0) for name, n in after.items()
            if n != before.get(name, 0) and name not in RELAY_OVERFLOWS}


def lost_beyond_queues(result):
    return result["lost"] - sum(result["overflows"].values())


def test_a_nat_that_forgets_costs_only_datagrams_in_flight(lab, relay, client):
    assert is_clean(load(client.peer, client.address, count=100))
    moves, handshakes, drops = figures(relay)
    busy = start_load(client.peer, client.address, count=WITHOUT_END, rate=1000)
    for move in range(4):
        lab["target-v4"].wait_heard(FLOW)
        forget(lab)
        wait_until(lambda: figures(relay)[0] > moves + move)
    lab["target-v4"].wait_heard(FLOW)
    result = end_load(busy)
    assert lost_beyond_queues(result) <= 4 * LOST_PER_MOVE, result
    assert not result["corrupted"] and not result["duplicated"]
    after = figures(relay)
    assert 4 <= after[0] - moves <= 8    # a packet in flight may be seen as one more move
    assert after[1] == handshakes
    assert difference(drops, after[2]) == {}    # the relay lost nothing
    assert is_clean(load(client.peer, client.address, count=500))
    assert client.proc.text().count("ready") == 1


def test_a_silent_peer_is_found_again_when_it_speaks(lab, relay, client):
    """The mapping expires while nothing is sent, as with most NATs after half a minute."""
    assert is_clean(load(client.peer, client.address, count=10))
    moves = figures(relay)[0]
    forget(lab)
    assert is_clean(load(client.peer, client.address, count=200))
    assert figures(relay)[0] == moves + 1
    assert client.proc.text().count("ready") == 1


def test_a_nat_with_a_new_address_keeps_its_peers_sessions(lab, relay, client):
    assert is_clean(load(client.peer, client.address, count=100))
    moves, handshakes, drops = figures(relay)
    busy = start_load(client.peer, client.address, count=WITHOUT_END, rate=1000)
    lab["target-v4"].wait_heard(FLOW)
    move_box(lab, "198.18.4.102", "198.18.4.150")
    wait_until(lambda: figures(relay)[0] > moves)
    lab["target-v4"].wait_heard(FLOW)
    result = end_load(busy)
    move_box(lab, "198.18.4.150", "198.18.4.102")
    # the box was without rules for a moment
    assert lost_beyond_queues(result) <= 2 * LOST_PER_MOVE, result
    after = figures(relay)
    assert after[0] - moves >= 1 and after[1] == handshakes
    assert difference(drops, after[2]) == {}
    assert is_clean(load(client.peer, client.address, count=500))
    peers = {one["peer"].rpartition(":")[0] for one in relay.ctl("conns")["conns"]}
    assert peers == {"198.18.4.102"}
    assert client.proc.text().count("ready") == 1
