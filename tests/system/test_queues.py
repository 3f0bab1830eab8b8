# SPDX-License-Identifier: GPL-3.0-or-later
"""Two receive queues and two workers: a packet that lands on the wrong one still gets home."""
import topology
from test_matrix import ROWS

TOPOLOGY = topology.matrix(relay_queues=2)
DATAPATHS = ("xdp", "generic", "sock")
CONFIG = ('datapath = "%s"\nworkers = 2\n'
          'policy { allow = {"198.18.0.0/15", "2001:db8::/32"} }\n')


def test_every_pair_of_families_works_over_two_workers_at_once(
        lab, start_relay, forward, targets, datapath):
    relay = start_relay(config=CONFIG % datapath)
    ways = [forward(peer, relay, targets[target]) for peer, target in ROWS.values()]
    senders = [way.peer.start([lab.tool("udpload"), "--count", 300, "--size", 600, "--rate", 500,
                               "--seed", seed, way.address])
               for way in ways for seed in range(4)]
    for sender in senders:
        assert sender.popen.wait(30) == 0, sender.text()
        for part in ('"received": 300,', '"duplicated": 0,', '"corrupted": 0,'):
            assert part in sender.text(), sender.text()
    workers = relay.ctl("workers")["workers"]
    assert len(workers) == 2
    assert sum(w["counters"]["datagrams_in"] for w in workers) == 300 * len(senders)
    dropped = {name: n for name, n in relay.ctl("drops")["total"].items() if n}
    assert dropped == {}
    assert relay.ctl("tunnels")["total"] == len(senders)
