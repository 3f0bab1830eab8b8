# SPDX-License-Identifier: GPL-3.0-or-later
"""soak.py [SECONDS]   a relay at half load for a long time, among peers that come, move and die.

    peer-v4, peer-v6 and peer-n (behind a NAT box)  ->  relay, two queues  ->  targets of both families

All the time: a tunnel of each peer with datagrams of several sizes, one of them in capsules, at
about half of what one tunnel carries here.  In turns: peers that open tunnels, use them and leave;
peers that are killed under traffic; the NAT forgets its flows; unknown sources send Initials that
lead to nothing, and packets of connections that do not exist.

Checked at the end: every datagram is accounted for (balance.py), nothing was dropped for a reason
that is not expected, no payload was changed, and memory, descriptors and kernel objects are those
after the first round.  Prints figures as JSON; exit 1 when something is wrong.
"""
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import balance
import daemon
import leaks
import losses
import topology
from lab import Lab
from netns import LabError, wait_until

CONFIG = """\
datapath = "%s"
limits { conn-idle-sec = 8  tunnel-idle-sec = 8 }
policy { allow = {"198.18.0.0/15", "2001:db8::/32"} }
"""
SIZES = (64, 600, 1200)
ROUND_SEC = 8             # at most, with the wait for those who left
ROUNDS_MIN = 4            # on a busy machine they take longer
HEAP_MARGIN = 256 << 10   # bytes; a connection keeps what its packets in flight once needed
# Drops to be expected here, and why.
EXPECTED = {
    "drop_closed": "a peer left or was killed, and its target still answers",
    "drop_closing": "the same, seen as packets",
    "drop_stale": "the same, seen in between",
    "drop_wrong_remote": "a target answers to a port that has another tunnel since",
    "held_drop_unknown_remote": "the same, seen at the socket that holds the port",
    "drop_unknown": "packets of connections that do not exist",
    "drop_reset_limit": "the same, beyond the rate of resets",
    "drop_quic": "packets of a peer that died, or that crossed with a key or path",
    "drop_not_initial": "garbage of unknown sources",
    "drop_initial_short": "garbage of unknown sources",
    "drop_malformed": "garbage of unknown sources",
    "drop_connections_full": "Initials of unknown sources",
    "drop_source_full": "Initials of unknown sources",
    "drop_guard": "Initials of unknown sources",
    "xdp_drop_guard": "Initials of unknown sources",
    "drop_retry_limit": "Initials of unknown sources",
    "drop_queue_full": "a peer's window is closed while it moves, or it is dead",
    "drop_sojourn": "the same",
    "drop_early_full": "a tunnel's first datagrams, before it is open",
    "drop_early_expired": "the same",
    "drop_unknown_stream": "datagrams of a tunnel that was just closed",
}
# Malformed Initials, and short headers of no connection; to a relay at argv[1], argv[2] of them.
UNKNOWN_SOURCE = """
import os, socket, sys, time
host, _, port = sys.argv[1].rpartition(":")
host = host.strip("[]")
s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
for i in range(int(sys.argv[2])):
    initial = b"\\xc3\\0\\0\\0\\1\\x08" + os.urandom(8) + b"\\x08" + os.urandom(8) + b"\\0\\x44\\xa0"
    s.sendto(initial + os.urandom(1200 - len(initial)), (host, int(port)))
    s.sendto(b"\\x40" + os.urandom(60), (host, int(port)))
    time.sleep(1 / 300)
"""


def network():
    """The matrix with two queues, and a peer behind a NAT that takes a random port each time."""
    base = topology.matrix(relay_queues=2)
    box = topology.Host("nat-n", (topology.Link("in", "lan-n", "198.19.9.1/24"),
                                  topology.Link("out", "net4", "198.18.4.109/24")),
                        forwards=True, nat="symmetric")
    peer = topology.Host("peer-n", (topology.Link("v4", "lan-n", "198.19.9.10/24"),),
                         (("default", "198.19.9.1"),))
    return topology.Topology("soak", (*base.networks, topology.Network("lan-n")),
                             (*base.hosts, box, peer))


class Soak:
    def __init__(self, lab, folder, seconds, datapath="xdp", seed=1):
        self.lab, self.seconds, self.folder = lab, seconds, Path(folder)
        self.random = random.Random(seed)
        self.relay = daemon.Relay(lab["relay"], folder, config=CONFIG % datapath,
                                  log=self.folder / "culvertd.log", wrapper=daemon.EXACT_HEAP)
        self.targets = {4: daemon.endpoint(lab["target-v4"].addr4, 7000),
                        6: daemon.endpoint(lab["target-v6"].addr6, 7000)}
        self.steady, self.events = [], {"rounds": 0, "killed": 0, "left": 0, "rebindings": 0}
        self.wrong = []

    # ---- the parts ----

    def forward(self, peer, family, *args):
        host = self.lab[peer]
        return daemon.Forward(host, self.relay.address(4 if host.addr4 else 6),
                              self.targets[family], self.relay.fingerprint,
                              ("--log-level", "info", *args)).wait()

    def capacity(self):
        """Datagrams per second that one tunnel carries there and back with a limited window."""
        client = self.forward("peer-v4", 6)
        figures = daemon.load(client.peer, client.address, count=20000, rate=0, size=600, wait=300)
        client.stop()
        return figures["received"] / figures["seconds"]

    def start_steady(self, rate):
        plan = (("peer-v4", 6, ()), ("peer-v6", 4, ()), ("peer-n", 6, ()),
                ("peer-v4", 4, ("--capsules",)))
        for number, (peer, family, args) in enumerate(plan):
            client = self.forward(peer, family, *args)
            share = rate / len(plan) / (10 if args else 1)
            # Until the end, which comes late on a busy machine: a silent session would idle out.
            load = daemon.start_load(client.peer, client.address, size=SIZES[number % len(SIZES)],
                                     rate=int(share), count=int(share * 10 * self.seconds) + 10**6)
            self.steady.append((client, load, bool(args)))

    def visitors(self):
        """Peers that open tunnels, use them and leave; one of them is killed instead."""
        pairs = (("peer-v4", 6), ("peer-v6", 4), ("peer-n", 4))
        clients = [self.forward(*self.random.choice(pairs)) for _ in range(3)]
        loads = [daemon.start_load(client.peer, client.address, count=100, rate=400, wait=200,
                                   size=self.random.choice(SIZES))
                 for client in clients for _ in range(3)]
        time.sleep(self.random.uniform(0.1, 0.4))
        clients[0].proc.kill()
        self.events["killed"] += 1
        for one in loads[3:]:
            figures = daemon.load_of(one)
            if figures["corrupted"] or figures["duplicated"]:
                self.wrong.append(f"a visitor's payloads: {figures}")
        for one in loads[:3]:
            one.stop()
        for client in clients[1:]:
            client.stop()
            self.events["left"] += 1

    def rebind(self):
        self.lab["nat-n"].run([sys.executable, Path(__file__).with_name("conntrack.py")])
        self.events["rebindings"] += 1

    def unknown_source(self):
        peer = self.lab["peer-v6"]
        peer.run([sys.executable, "-c", UNKNOWN_SOURCE, self.relay.address(6), 300])

    def holds(self):
        """What the relay holds when only the steady peers are left."""
        wait_until(lambda: len(self.relay.ctl("conns")["conns"]) <= len(self.steady))
        held = leaks.held_by(self.relay.proc.pid)
        status = self.relay.ctl("status")
        return {"fds": held.fds, "threads": held.threads, "maps": len(held.ids["map"]),
                "programs": len(held.ids["prog"]), "connections": status["connections"],
                "tunnels": status["tunnels"], "heap_bytes": status["heap_bytes"]}

    def round(self):
        self.rebind()
        self.visitors()
        if self.events["rounds"] % 3 == 0:
            self.unknown_source()
        self.events["rounds"] += 1

    # ---- the whole ----

    def run(self):
        for name in ("target-v4", "target-v6"):
            daemon.echo(self.lab[name])
        self.relay.start()
        capacity = self.capacity()
        self.round()    # for objects that are made once
        before, watch = balance.take(self.relay), losses.Watch(self.lab)
        self.start_steady(capacity / 2)
        began = time.monotonic()
        self.round()
        first = self.holds()
        while self.events["rounds"] < ROUNDS_MIN or \
                time.monotonic() - began < self.seconds - ROUND_SEC:
            self.round()
        last = self.holds()
        figures = [self.end_of(*one) for one in self.steady]
        self.empty()
        after = balance.take(self.relay)
        self.check(first, last, before, after)
        self.check_losses(figures, sum(balance.drops(before, after).values()),
                          sum(watch.since().values()))
        self.relay.stop()
        return {**self.events, "capacity_per_sec": int(capacity), "seconds": self.seconds,
                "steady": figures, "first": first, "last": last,
                "drops": balance.drops(before, after), "wrong": self.wrong}

    def end_of(self, client, load, is_capsules):
        figures = daemon.end_load(load)
        if figures["corrupted"] or figures["duplicated"] or not figures["received"]:
            self.wrong.append(f"payloads of a steady tunnel: {figures}")
        if client.proc.text().count("ready") != 1:
            self.wrong.append(f"a steady session was lost: {client.proc.text()}")
        client.stop()
        return {"capsules": is_capsules, **{k: figures[k] for k in ("sent", "received", "lost")}}

    def check_losses(self, figures, dropped, overflows):
        """Where all hosts share few cores, others delay the relay, and datagrams that waited too
        long are dropped and counted.  The rest was in flight during a rebinding."""
        sent, lost = (sum(one[name] for one in figures) for name in ("sent", "lost"))
        if lost - dropped - overflows > sent / 50 + 100:
            self.wrong.append(f"{lost} of {sent} lost: {dropped} dropped by the relay, {overflows} "
                              "by full queues")
        for one in figures:
            if one["received"] < one["sent"] / 4:
                self.wrong.append(f"a steady tunnel lost too much: {one}")

    def empty(self):
        """Wait until no connection is left: those of killed peers idle out."""
        def is_empty():
            status = self.relay.ctl("status")
            return not (status["connections"] or status["tunnels"] or status["handshaking"])

        try:
            wait_until(is_empty)
        except LabError:
            self.wrong.append("connections that do not end")
        if self.relay.ctl("status")["egress_ports"]:
            self.wrong.append("egress ports are held though there are no tunnels")

    def check(self, first, last, before, after):
        self.wrong += balance.errors(before, after)
        for name, count in balance.drops(before, after).items():
            if name not in EXPECTED:
                self.wrong.append(f"{count} {name}: no reason for it here")
        for name, was in first.items():
            limit = was + (HEAP_MARGIN if name == "heap_bytes" else 0)
            if last[name] > limit:
                self.wrong.append(f"{name} grew from {was} to {last[name]}")
        if after["relay"]["events_lost"]:
            self.wrong.append("messages between threads were lost")


def main(seconds=None):
    seconds = int(seconds or os.environ.get("SOAK_SECONDS") or 600)
    try:
        with Lab(network()) as lab, tempfile.TemporaryDirectory(dir=lab.folder) as folder:
            report = Soak(lab, folder, seconds, os.environ.get("CULVERT_DATAPATH") or "xdp").run()
    except LabError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report, indent=1))
    return 1 if report["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
