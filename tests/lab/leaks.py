# SPDX-License-Identifier: GPL-3.0-or-later
"""What a daemon holds of the kernel, and what of it outlives the daemon.

    held = leaks.held_by(relay.proc.pid)        # while it runs: IDs of its maps, programs, links
    before = leaks.of_host(lab["relay"])        # sockets, XDP programs, pins, namespaces
    ...
    assert leaks.remains(held) == [] and leaks.of_host(lab["relay"]) == before

The kernel's own IDs are compared, not numbers of things: other daemons may live on the machine.
"""
import json
import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import netns

KINDS = {"map_id": "map", "prog_id": "prog", "link_id": "link"}


@dataclass
class Held:
    """Kernel objects, {"map": {ids}, "prog": {ids}, "link": {ids}}, and numbers of a process."""
    ids: dict = field(default_factory=lambda: {kind: set() for kind in KINDS.values()})
    fds: int = 0
    threads: int = 0

    def add(self, other):
        for kind, ids in other.ids.items():
            self.ids[kind] |= ids


def held_by(pid):
    """What a running process holds now."""
    held = Held()
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        held.fds += 1
        try:
            text = Path(f"/proc/{pid}/fdinfo/{fd}").read_text(encoding="ascii")
        except OSError:     # closed meanwhile
            continue
        for line in text.splitlines():
            key, _, value = line.partition(":")
            # A link has its program's ID too: both are held.
            if key in KINDS:
                held.ids[KINDS[key]].add(int(value))
    held.threads = len(os.listdir(f"/proc/{pid}/task"))
    return held


def _alive(kind):
    done = subprocess.run(["bpftool", "-j", kind, "show"], capture_output=True, text=True, check=True)
    return {one["id"] for one in json.loads(done.stdout or "[]")}


def remains(held, timeout=5):
    """Which of the held objects still exist; the kernel frees some of them a little later."""
    until = time.monotonic() + timeout
    while True:
        left = [f"{kind} {number}" for kind, ids in held.ids.items() if ids
                for number in sorted(ids & _alive(kind))]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.05)


def of_host(host):
    """Everything on a host that a daemon creates; the same before it and after it."""
    links = json.loads(host.ip("-j", "link", "show"))
    sockets = host.run(["ss", "-Hna", "-f", "inet"]).stdout + host.run(["ss", "-Hna", "-f",
                                                                       "inet6"]).stdout
    return {
        "xdp": sorted(link["ifname"] for link in links if "xdp" in link),
        "sockets": sorted(" ".join(line.split()[:5]) for line in sockets.splitlines()),
        "af_xdp": len(host.run(["ss", "-Hna", "-f", "xdp"]).stdout.splitlines()),
        "pins": sorted(map(str, netns.pins_of(host.lab.name))),
        "namespaces": sorted(n for n in os.listdir(netns.NETNS)
                             if n.startswith(netns.namespace(host.lab.name, ""))),
        "processes": len(netns.processes_in([host.netns])),
    }
