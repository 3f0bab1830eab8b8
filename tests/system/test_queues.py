# SPDX-License-Identifier: GPL-3.0-or-later
"""Two receive queues and two workers: a packet on the wrong queue still reaches its worker."""
import itertools
import os
import subprocess
import time

import pytest

import losses
import topology
from cards import cards_of, served, sockets
from daemon import MODES, is_clean, load_of, start_load
from netns import wait_until
from test_matrix import ROWS

TOPOLOGY = topology.matrix(relay_queues=2)
DATAPATHS = ("xdp", "generic", "sock")
CONFIG = ('datapath = "%s"\nworkers = 2\n'
          'policy { allow = {"198.18.0.0/15", "2001:db8::/32"} }\n')


def test_every_pair_of_families_works_over_two_workers_at_once(
        lab, start_relay, forward, targets, datapath):
    relay = start_relay(config=CONFIG % datapath)
    clients = [forward(peer, relay, targets[target]) for peer, target in ROWS.values()]
    senders = [start_load(client.peer, client.address, count=300, size=600, rate=500, seed=seed)
               for client in clients for seed in range(4)]
    figures = [load_of(sender) for sender in senders]
    assert is_clean(*figures), figures
    workers = relay.ctl("workers")["workers"]
    assert len(workers) == 2
    sent, lost = (sum(one[name] for one in figures) for name in ("sent", "lost"))
    assert sent - lost <= sum(w["counters"]["datagrams_in"] for w in workers) <= sent
    dropped = {name for name, n in relay.ctl("drops")["total"].items() if n}
    assert dropped <= set(losses.RELAY_OVERFLOWS)
    assert relay.ctl("tunnels")["total"] == len(senders)


def free_files(pid, count):
    """The limit of open files with which a process can open so many more."""
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    free = (number for number in itertools.count() if number not in used)
    return next(itertools.islice(free, count, None))


def test_an_interface_that_comes_when_descriptors_are_short_is_attached_later(
        lab, start_relay, datapath):
    if datapath == "sock":
        pytest.skip("attaches to none")
    relay = start_relay(config=CONFIG % datapath)
    pid = relay.ctl("status")["pid"]
    soft = int(subprocess.run(["prlimit", f"--pid={pid}", "--nofile", "--output=SOFT",
                               "--noheadings"], check=True, capture_output=True, text=True).stdout)
    with cards_of(lab) as cards:
        subprocess.run(["prlimit", f"--pid={pid}", f"--nofile={free_files(pid, 4)}:"], check=True)
        try:
            cards.add("late", "198.19.1.1/24", queues=4)
            relay.proc.wait_line("datapath if=late mode=kernel")
            time.sleep(3)    # looks of the relay
        finally:
            subprocess.run(["prlimit", f"--pid={pid}", f"--nofile={soft}:"], check=True)
        assert relay.proc.text().count("datapath if=late") == 1    # and said once
        wait_until(lambda: served(relay)["late"] == MODES[datapath])
        assert 'because="there are file descriptors again"' in relay.proc.text()
        assert {s for s in sockets(relay) if s[1] == "late"}


def test_xdp_stays_while_there_are_no_descriptors_to_look_at_queues_with(lab, start_relay, datapath):
    relay = start_relay(config=CONFIG % datapath)
    before = relay.ctl("status")
    log = relay.log

    def limit(count):
        subprocess.run(["prlimit", f"--pid={before['pid']}", f"--nofile={count}:"], check=True)

    def looks():
        return log.read_text(encoding="utf-8").count("interfaces_not_followed")

    own = len(os.listdir(f"/proc/{before['pid']}/fd"))
    soft = int(subprocess.run(["prlimit", f"--pid={before['pid']}", "--nofile", "--output=SOFT",
                               "--noheadings"], check=True, capture_output=True, text=True).stdout)
    limit(own // 2)
    try:
        if datapath != "sock":
            # A link that comes has it look, and look again: it says that it cannot, once a second.
            lab["relay"].run(["ip", "link", "add", "late", "type", "veth"])
            wait_until(lambda: looks() > 2, what="no ticks")
    finally:
        limit(soft)
        lab["relay"].run(["ip", "link", "del", "late"], check=False)
    after = relay.ctl("status")
    assert ([(i["name"], i["mode"], i["queues"]) for i in after["interfaces"]]
            == [(i["name"], i["mode"], i["queues"]) for i in before["interfaces"]])
    assert not after["counters"]["datapath_reopened"]


def test_the_way_to_the_internet_is_that_of_packets_with_the_relays_mark(lab, start_relay, datapath):
    """A rule leads them to a bridge, which nothing else has the relay serve."""
    host = lab["relay"]
    host.ip("link", "add", "br7", "type", "bridge")
    try:
        host.ip("addr", "add", "198.19.77.1/24", "dev", "br7")
        host.ip("link", "set", "br7", "up")
        host.ip("route", "add", "default", "via", "198.19.77.2", "dev", "br7", "table", "107")
        host.ip("rule", "add", "fwmark", "7", "lookup", "107")
        config = CONFIG % ("auto" if datapath == "xdp" else datapath)
        names = served(start_relay(config=config + "mark = 7\n")).keys()
        assert names == (set() if datapath == "sock" else {"v4", "v6", "br7"})
    finally:
        host.run(["ip", "rule", "del", "fwmark", "7"], check=False)
        host.run(["ip", "link", "del", "br7"], check=False)
