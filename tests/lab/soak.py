# SPDX-License-Identifier: GPL-3.0-or-later
"""soak.py [SECONDS]   a relay at half load for a long time, among peers that come, move and die.

    peer-v4, peer-v6 and peer-n (behind a NAT box)  ->  relay, two queues  ->  targets of both families
                                                          |
                                    an interface that comes and goes, and a target behind it

All the time: a tunnel of each peer with datagrams of several sizes, one of them in capsules, at
about half of what one tunnel carries here, or at SOAK_RATE datagrams a second.  In turns: peers that open tunnels, use them and leave;
peers that are killed under traffic; the NAT forgets its flows; unknown sources send Initials that
lead to nothing, and packets of connections that do not exist.  And every two seconds an interface of
the relay comes and goes, under another name each time, with a tunnel that ends behind it.

Checked at the end: every datagram is accounted for (balance.py), nothing was dropped for a reason
that is not expected, no payload was changed, and memory, descriptors and kernel objects are those
after the first round.  Peers with one address lose nothing but what full queues dropped: what the
interface loses when it goes is its own tunnel's.  At a low rate no queue is full, and that is 0.
Prints figures as JSON; exit 1 when something is wrong.
"""
import json
import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

import balance
import daemon
import leaks
import losses
import topology
from cards import Cards, served
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
CHURN_SEC = 2             # from one interface to the next
CHURN_RATE = 100          # datagrams a second to the target behind it
CHURN_SILENT = 10         # of them on the link when it goes
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
    "drop_link_gone": "in the rings of the interface that goes",
    "drop_no_route": "to the target behind it while it is gone",
    "drop_no_neighbour": "the same, while the target is looked for",
    "drop_send_error": "the same, when the kernel sends them",
    "drop_tx_ring": "the same, until the relay knows",
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


class Churn(threading.Thread):
    """An interface of the relay that comes and goes; whoever holds `still` finds it gone."""

    def __init__(self, lab, relay):
        super().__init__(daemon=True)
        self.cards, self.relay, self.there = Cards(lab), relay, lab["target-v4"].netns
        self.still, self.is_over = threading.Lock(), threading.Event()
        self.came = self.attached = 0

    def is_attached(self, name):
        mode = served(self.relay).get(name)
        return mode is not None and mode != "kernel"

    def once(self):
        name, until = f"ch{self.came}", time.monotonic() + CHURN_SEC * 3 / 4
        self.cards.add(name, "198.19.200.1/24", there=self.there, far="198.19.200.20/24")
        self.came += 1
        while time.monotonic() < until:
            time.sleep(0.1)
        self.attached += self.is_attached(name)
        self.cards.remove(name)

    def run(self):
        while not self.is_over.is_set():
            began = time.monotonic()
            with self.still:
                self.once()
            self.is_over.wait(max(began + CHURN_SEC - time.monotonic(), 0.1))

    def end(self):
        self.is_over.set()
        self.join()


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
        self.churn, self.uses_xdp = Churn(lab, self.relay), datapath != "sock"

    # ---- the parts ----

    def forward(self, peer, family, *args):
        host = self.lab[peer]
        return daemon.Forward(host, self.relay.address(4 if host.addr4 else 6),
                              self.targets[family], self.relay.fingerprint,
                              ("--log-level", "info", *args)).wait()

    def start_churn(self):
        """And a tunnel to the target behind it, whose losses are its own."""
        peer = self.lab["peer-v4"]
        client = daemon.Forward(peer, self.relay.address(4), "198.19.200.20:7000",
                                self.relay.fingerprint, ("--log-level", "info"),
                                self.folder / "churn.log").wait()
        self.churn.start()
        return client, daemon.start_load(peer, client.address, size=600, rate=CHURN_RATE,
                                         count=10**6, first=False)

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
        """What the relay holds when only the steady peers are left, and the one of the churn."""
        wait_until(lambda: len(self.relay.ctl("conns")["conns"]) <= len(self.steady) + 1)
        with self.churn.still:
            wait_until(lambda: not any(name.startswith("ch") for name in served(self.relay)))
            return self.held()

    def held(self):
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
        self.start_steady(int(os.environ.get("SOAK_RATE") or capacity / 2))
        churner, churning = self.start_churn()
        began = time.monotonic()
        self.round()
        first = self.holds()
        while self.events["rounds"] < ROUNDS_MIN or \
                time.monotonic() - began < self.seconds - ROUND_SEC:
            self.round()
        last = self.holds()
        figures = [self.end_of(*one) for one in self.steady]
        self.churn.end()
        behind = daemon.end_load(churning)
        behind["dropped_by_peer"] = daemon.dropped_by(churner)
        self.empty()
        after = balance.take(self.relay)
        self.check(first, last, before, after)
        self.check_losses(figures, sum(balance.drops(before, after).values()),
                          sum(watch.since().values()))
        churn = self.check_churn(figures, behind, watch.since(),
                                 sum(balance.drops(before, after).values()))
        self.relay.stop()
        return {**self.events, "capacity_per_sec": int(capacity), "seconds": self.seconds,
                "churn": churn, "steady": figures, "first": first, "last": last,
                "drops": balance.drops(before, after), "wrong": self.wrong}

    def end_of(self, client, load, is_capsules):
        figures = daemon.end_load(load)
        if figures["corrupted"] or figures["duplicated"] or not figures["received"]:
            self.wrong.append(f"payloads of a steady tunnel: {figures}")
        if client.proc.text().count("ready") != 1:
            self.wrong.append(f"a steady session was lost: {client.proc.text()}")
        client.stop()
        return {"peer": client.peer.name, "capsules": is_capsules, **{k: figures[k] for k in ("sent", "received", "lost")}}

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

    def check_churn(self, figures, behind, overflows, dropped):
        """What peers lost that never change their address, beyond what full queues dropped.  In a
        tunnel of capsules nothing is lost silently, but the client gives up what waits too long."""
        lost = sum(one["lost"] for one in figures if one["peer"] != "peer-n")
        beyond = max(lost - sum(overflows.values()), 0)
        churn = {"came": self.churn.came, "attached": self.churn.attached, "lost": lost,
                 "overflows": sum(overflows.values()), "lost_beyond": beyond,
                 "behind_it": {k: behind[k] for k in ("sent", "received", "lost",
                                                       "dropped_by_peer")}}
        if beyond:
            self.wrong.append(f"lost to an interface of others: {churn}")
        if self.uses_xdp and self.churn.attached < self.churn.came / 2:
            self.wrong.append(f"too few of the interfaces that came were attached: {churn}")
        # What was on the link when it went is in no counter.
        silent = behind["lost"] - behind["dropped_by_peer"] - dropped - sum(overflows.values())
        if silent > CHURN_SILENT * self.churn.came:
            self.wrong.append(f"{silent} lost silently behind the interface: {churn}")
        if not behind["received"]:
            self.wrong.append(f"nothing came from behind the interface: {churn}")
        return churn

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
