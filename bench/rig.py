# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as a test bench: far ends at the switches, loads controlled by lines, and CPU accounting.

Far ends and loads are on the switch's side of the relay's links, so that only one veth pair is between
them and the relay.  They use the addresses of the lab's hosts, whose kernels answer ARP and neighbour
solicitations for them.
"""
import contextlib
import glob
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "lab"))

import daemon  # noqa: E402 (the path above finds them)
import netns  # noqa: E402
import topology  # noqa: E402
from lab import Lab, LabHost, build_folder  # noqa: E402

PORT = 7000             # of the target
PEER_PORT = 9000        # of a peer without a tunnel
LOAD_PORTS = "30000-31999"  # of load_tunnel's connections
CORE, OTHER = 0, 1      # the measured program has a core to itself; the rest shares the other
NICE = -5               # of measured programs and loads: other work on the machine is noise
NICE_WAITED_FOR = -15   # of programs that latency depends on
NETS = {4: "net4", 6: "net6"}


class BenchError(Exception):
    """A measurement that could not be made; the text has the reason."""


def set_thread(tid, cpu, batch=False):
    """Pin a thread; batch: it does not preempt others when it wakes."""
    os.sched_setaffinity(tid, {cpu})
    if batch:
        os.sched_setscheduler(tid, os.SCHED_BATCH, os.sched_param(0))


def prefer(pid, nice=NICE_WAITED_FOR):
    """Give a process of ours precedence over other work.  Programs of the bench are sessions of their
    own, and sessions share the machine where the kernel groups them."""
    for task in os.listdir(f"/proc/{pid}/task"):
        os.setpriority(os.PRIO_PROCESS, int(task), nice)
    with contextlib.suppress(OSError):  # no groups
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))


def set_cpu(pid, cpu, batch=False):
    """The same for all threads of a process."""
    for task in os.listdir(f"/proc/{pid}/task"):
        set_thread(int(task), cpu, batch)


class Spent:
    """CPU time of threads, in ns, since it was made: of all, in user space, in the kernel."""
    TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")

    def __init__(self, pid, tids=None):
        self.pid = pid
        self.tids = tids
        self.start = self.now()

    def now(self):
        total = user = system = 0
        tids = self.tids or [int(t) for t in os.listdir(f"/proc/{self.pid}/task")]
        for tid in tids:
            base = Path(f"/proc/{self.pid}/task/{tid}")
            try:
                total += int((base / "schedstat").read_text().split()[0])
                fields = (base / "stat").read_text().rpartition(")")[2].split()
            except OSError:     # a thread that ended
                continue
            user += int(fields[11]) * self.TICK_NS
            system += int(fields[12]) * self.TICK_NS
        return total, user, system

    def since(self):
        """(all, share of user space in it)"""
        total, user, system = (now - then for now, then in zip(self.now(), self.start))
        return total, user / (user + system) if user + system else None


SPIN = """
import time
until = time.monotonic() + 60
while time.monotonic() < until:
    pass
"""


@contextlib.contextmanager
def shared_core():
    """A spinning process takes half of the measured core, so that a program has less than any load
    needs."""
    with subprocess.Popen([sys.executable, "-c", SPIN], start_new_session=True) as spin:
        try:
            set_cpu(spin.pid, CORE)
            prefer(spin.pid, NICE)
            yield
        finally:
            spin.kill()


class Talk:
    """A program of the bench on a host, which answers lines of its input in JSON."""

    def __init__(self, rig, host, argv, cpu=OTHER, batch=False, ready=90):
        self.rig, self.name, self.buffer = rig, Path(str(argv[0])).name, b""
        self.log = open(host.lab.log_path(f"{host.name}-{self.name}"), "w+b")
        host.pin_cpu = cpu
        self.popen = host.popen(list(map(str, argv)), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=self.log)
        host.pin_cpu = None
        self.pid = self.popen.pid
        rig.running.append(self)
        self.preamble = []
        while (line := self.line(ready)) != "ready":
            self.preamble.append(json.loads(line))
        prefer(self.pid, NICE)
        if batch:
            set_cpu(self.pid, cpu, batch=True)

    def line(self, timeout):
        until = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            left = until - time.monotonic()
            ready = left > 0 and select.select([self.popen.stdout], [], [], left)[0]
            data = os.read(self.popen.stdout.fileno(), 65536) if ready else b""
            if not data:
                self.log.seek(0)
                raise BenchError(f"{self.name} {'ended' if ready else 'is late'}: "
                                 + " ".join(self.log.read().decode(errors="replace").split())[-300:])
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode()

    def command(self, *words):
        self.popen.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.popen.stdin.flush()

    def answer(self, timeout=30):
        found = json.loads(self.line(timeout))
        if "error" in found:
            raise BenchError(f"{self.name}: {found['error']}")
        return found

    def ask(self, *words, timeout=30):
        self.command(*words)
        return self.answer(timeout)

    def stop(self):
        if self.popen.poll() is None:
            self.popen.stdin.close()
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                netns.kill_group(self.popen)


class Rig:
    """A lab and what runs in it for one measurement, each of which takes msec."""

    def __init__(self, lab, folder, msec):
        self.lab, self.folder, self.msec = lab, Path(folder), msec
        self.tools = lab.build / "bench"
        self.relay_host = lab["relay"]
        self.running, self.relay, self.switches = [], None, {}
        self.commands = []
        for link in ("v4", "v6"):   # without it, a veth end takes no frame of XDP's for the kernel
            self.relay_host.run(["ethtool", "-K", link, "gro", "on"])

    def switch(self, family):
        """The network's own namespace, as a host."""
        name = NETS[family]
        if name not in self.switches:
            host = LabHost(self.lab, topology.Host(name, ()))
            (host.folder / "etc").mkdir(parents=True)
            (host.folder / "sys").mkdir()
            host.set_names({})
            self.switches[name] = host
        return self.switches[name]

    @staticmethod
    def mac_of(host, interface):
        return host.json(["ip", "-j", "link", "show", interface])[0]["address"]

    def mac(self, host, family):
        return self.mac_of(self.lab[host], f"v{family}")

    def start(self, host, *argv, **options):
        self.commands.append(" ".join(map(str, (Path(str(argv[0])).name, *argv[1:]))))
        return Talk(self, host, argv, **options)

    def far(self, family, *options):
        return self.start(self.switch(family), self.tools / "load/far", "relay", *options)

    def start_relay(self, config=None, datapath="xdp", cpu=CORE, others=OTHER, batch=True, args=()):
        """cpu: of the worker, where there is one; others: of control.
        batch: the worker does not preempt a load when it wakes."""
        relay = daemon.Relay(self.relay_host, self.folder, log=self.lab.build / "bench.log",
                             config=config, datapath=datapath, args=args)
        self.relay = relay
        relay.start()
        relay.pid = relay.ctl("status")["pid"]
        tasks = {int(Path(t).name): Path(t, "comm").read_text()
                 for t in glob.glob(f"/proc/{relay.pid}/task/*")}
        relay.workers = [tid for tid, name in tasks.items() if name.startswith("clv-worker")]
        relay.others = [tid for tid in tasks if tid not in relay.workers]
        for tid in relay.others:
            set_thread(tid, others)
        prefer(relay.pid, NICE)
        if len(relay.workers) == 1:
            set_thread(relay.workers[0], cpu, batch)
        return relay

    def address(self, host, family):
        return self.lab[host].addr4 if family == 4 else self.lab[host].addr6

    def load_tunnel(self, family, to, *options, trust=None, at=None, **how):
        """load_tunnel with the addresses of peer-vFAMILY.  to: (family, port) of the target.
        at: another relay than the running one."""
        peer = f"peer-v{family}"
        at = at or self.relay.address(family)
        trust = trust or ["--pin", self.relay.fingerprint]
        target = daemon.endpoint(self.address(f"target-v{to[0]}", to[0]), to[1])
        return self.start(
            self.switch(family), self.tools / "load/load_tunnel", "--if", "relay",
            "--from", f"{self.mac(peer, family)},{self.address(peer, family)}",
            "--relay", f"{self.mac('relay', family)},{at}", "--target", target, *trust, *options,
            **how)

    def load_raw(self, family, sender, from_port, to_port, size, *options, **how):
        """load_raw with the addresses of a host, toward the relay."""
        return self.start(
            self.switch(family), self.tools / "load/load_raw", "relay",
            "--from", f"{self.mac(sender, family)},"
                      f"{daemon.endpoint(self.address(sender, family), from_port)}",
            "--to", f"{self.mac('relay', family)},"
                    f"{daemon.endpoint(self.address('relay', family), to_port)}",
            "--size", size, *options, **how)

    def counters(self):
        return self.relay.ctl("status")["counters"]

    def clear(self):
        """Stop the programs of a measurement."""
        for talk in reversed(self.running):
            talk.stop()
        self.running.clear()
        relay, self.relay = self.relay, None
        if relay:
            relay.stop()
