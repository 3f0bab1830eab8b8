# SPDX-License-Identifier: GPL-3.0-or-later
"""What full queues of a lab dropped, by their counters.

All hosts of a lab share a few CPUs.  Where other work delays a process, a queue in front of it
overflows: a socket buffer, an AF_XDP ring, a veth ring, a send queue of the relay.  Every such
queue has a counter.  A missing datagram that is in none of them was lost silently.

    watch = losses.Watch(lab)
    ...                                         # traffic
    assert watch.accounts_for(sent, arrived)    # arrived == sent where nothing overflowed
"""
import json
import re
import signal
import socket
from pathlib import Path

import netns

# The share of a traffic that may overflow before the machine is too busy for a result.
EXCUSED_MAX = 1 / 4
# Of the last excuses() that was refused for that: the numbers as text.
too_much = None
# A relay's drops for lack of time or room.  All others are decisions.
RELAY_OVERFLOWS = ("drop_queue_full", "drop_sojourn", "drop_no_frame", "drop_tx_ring",
                   "drop_handoff_full")
# The same of a client, as its line of drops has them.
CLIENT_OVERFLOWS = re.compile(r"\b(queue_full|sojourn|no_frame|tx_ring)=(\d+)")


def ask(run, command):
    """The answer to a command of the relay whose runtime directory is run, as culvertctl gets it;
    None where no relay answers."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
            one.settimeout(5)
            one.connect(str(Path(run) / "control.sock"))
            one.sendall(json.dumps({"cmd": command}).encode() + b"\n")
            with one.makefile("rb") as answer:
                return json.loads(answer.readline())
    except (OSError, ValueError):
        return None


def _of_sockets(lab):
    """UDP sockets of hosts without room for a datagram."""
    return {f"{host.name} {name}": n for host in lab.hosts.values()
            for name, n in host.counters().items() if name in ("Udp.RcvbufErrors",
                                                               "Udp6RcvbufErrors")}


def _of_links(lab):
    """Frames that an end of a link had no room for."""
    found = {}
    for space in lab.spaces().values():
        for line in netns.read_in(space, "dev").splitlines()[2:]:
            name, _, numbers = line.partition(":")
            words = numbers.split()
            found[f"{space} {name.strip()} rx"] = int(words[3])
            found[f"{space} {name.strip()} tx"] = int(words[11])
    return found


def _of_hops(lab):
    """Frames that came faster than an impairment hop ran."""
    found = {}
    for hop in lab.hops.values():
        if hop.proc and hop.proc.alive:
            for direction, counters in hop.stats().items():
                found[f"{hop.name} {hop.proc.pid} {direction}"] = counters["missed"]
    return found


def of_relay(status, workers):
    """The overflows of a relay, from its answers to these commands."""
    # A relay that is started again counts from 0.
    name = f"relay {status['pid']}"
    found = {f"{name} {key}": status["counters"].get(key, 0) for key in RELAY_OVERFLOWS}
    for worker in workers["workers"]:
        for number, one in enumerate(worker.get("sockets") or []):
            for key in ("rx_dropped", "rx_ring_full"):
                found[f"{name} worker {worker['id']} socket {number} {key}"] = one[key]
    return found


def _of_client(proc):
    """culvert prints its drops at SIGUSR1, once it runs; one that is stopped for a test does not."""
    runs = re.search(r"^ready\b|public|^listening\b", proc.text(), re.MULTILINE)
    if not runs or not proc.alive or netns.state(proc.pid) == "T":
        return {}
    printed = re.compile(r"^drops\b.*\n", re.MULTILINE)
    before = len(printed.findall(proc.text()))
    proc.send(signal.SIGUSR1)
    netns.wait_until(lambda: len(printed.findall(proc.text())) > before or not proc.alive,
                     what=f"{proc.name}: no line of drops")
    lines = printed.findall(proc.text())
    if len(lines) == before:    # it ended
        return {}
    line = lines[-1]
    return {f"{proc.name} {proc.pid} {reason}": int(n)
            for reason, n in CLIENT_OVERFLOWS.findall(line)}


class Watch:
    """The overflows of a lab since it was made."""

    def __init__(self, lab):
        self.lab = lab
        self.before = self._now()

    def _now(self):
        found = {**_of_sockets(self.lab), **_of_links(self.lab), **_of_hops(self.lab)}
        for run in self.lab.relays:
            status, workers = ask(run, "status"), ask(run, "workers")
            if status and workers:
                found.update(of_relay(status, workers))
        for proc in self.lab.clients:
            found.update(_of_client(proc))
        return found

    def since(self):
        """{where: how many}, without those that stood still."""
        return {where: n - self.before.get(where, 0) for where, n in self._now().items()
                if n > self.before.get(where, 0)}

    def accounts_for(self, sent, arrived):
        """Whether all that did not arrive is in a counter of a full queue, and is not too much."""
        return excuses(sent - arrived, sent, self.since())


def excuses(lost, sent, overflows):
    """Whether overflows explain that so many of sent are missing."""
    global too_much
    known = sum(overflows.values())
    is_known, is_little = 0 <= lost <= known, lost <= sent * EXCUSED_MAX
    too_much = None if is_little or not is_known else \
        f"full queues dropped {lost} of {sent} datagrams: {overflows}"
    return is_known and is_little
