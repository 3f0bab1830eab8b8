# SPDX-License-Identifier: GPL-3.0-or-later
"""Culvert's programs on lab hosts, and traffic through them."""
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import losses
import netns
from netns import LabError

# The lab uses special-use addresses, which the default policy refuses as targets.
CONFIG = """\
datapath = "%(datapath)s"
user = "nobody"
policy {
	allow = {"198.18.0.0/15", "2001:db8::/32"}
}
"""

# Relays of the lab ask for no credentials, except where a test's configuration says otherwise.
OPEN = "access { mode = open }\n"

# For a relay whose heap is measured: freed memory in a thread's own cache counts as used, and would
# look like a slow leak for minutes.
EXACT_HEAP = ("env", "GLIBC_TUNABLES=glibc.malloc.tcache_count=0")

# The datapath that a test's configuration asks for, and the mode that the lab's veth then get.
MODES = {"xdp": "copy", "generic": "generic", "sock": "kernel"}


def chosen_datapath():
    """The data path that CULVERT_DATAPATH has the whole suite run on, or None."""
    chosen = os.environ.get("CULVERT_DATAPATH") or None
    if chosen and chosen not in MODES:
        raise LabError(f"CULVERT_DATAPATH={chosen}: not one of {', '.join(MODES)}")
    return chosen


def endpoint(address, port):
    """"198.18.4.20:7000" or "[2001:db8:6::20]:7000"."""
    return f"[{address}]:{port}" if ip_address(address).version == 6 else f"{address}:{port}"


def names_of(certificate):
    """The DNS names and addresses of the first certificate in a PEM file, as text."""
    text = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-ext",
                           "subjectAltName"], capture_output=True, text=True, check=True).stdout
    return [found.lower() for found in re.findall(r"(?:DNS|IP Address):([^,\s]+)", text)]


class Relay:
    """A culvertd on a lab host.  start() returns when it serves, stop() when it ended cleanly."""
    numbers = itertools.count()
    serving = set()

    def __init__(self, host, folder, config=None, datapath=None, args=(), log=None, port=443,
                 wrapper=(), program=None):
        """config: text of its file; None for the lab's; False for no file at all, and then the
        relay wants credentials.
        datapath: what the lab's configuration asks for; None: the suite's, or else xdp.
        wrapper: words before its command line, e.g. ("prlimit", "--nofile=64").
        program: another build of culvertd.
        folder: the parent of its state and runtime directories."""
        self.host, self.args, self.port, self.wrapper = host, args, port, wrapper
        self.program = program or host.lab.build / "culvertd"
        self.datapath = datapath or chosen_datapath() or "xdp"
        self.uses_xdp = self.datapath != "sock"
        self.log = log
        self.state = Path(folder) / "state"
        # The name of the runtime directory is unique on this machine: it also names the pins.
        self.run = Path(folder) / f"{host.lab.name}-{host.name}-{next(self.numbers)}"
        self.config = None
        if config is not False:
            self.config = Path(folder) / "culvert.conf"
            self.configure(config or CONFIG % {"datapath": self.datapath})
        self.proc = self.fingerprint = None

    def configure(self, text):
        """Write its configuration, which is that of an open relay that stays what it was started
        as unless the text says otherwise."""
        self.config.write_text(text + ("" if "access {" in text else OPEN)
                               + ("" if "user = " in text else 'user = ""\n'), encoding="ascii")

    def user(self, *words, check=True, **options):
        """Run culvertctl user WORDS; returns its CompletedProcess."""
        config = ["--config", self.config] if self.config else []
        return self.host.run([self.host.lab.build / "culvertctl", "user", *words, *config,
                              "--state-dir", self.state, "--run-dir", self.run], check=check,
                             **options)

    def user_list(self):
        return json.loads(self.user("list", "--json").stdout)["users"]

    def reload(self):
        """SIGHUP; returns when it is done."""
        done = self.proc.text().count("reloaded file=")
        self.proc.send(signal.SIGHUP)
        netns.wait_until(lambda: self.proc.text().count("reloaded file=") > done,
                         what="no reload")

    def wait_counter(self, name, at_least, timeout=30):
        netns.wait_until(lambda: self.ctl("status")["counters"][name] >= at_least, timeout,
                         f"{name} is below {at_least}")

    def link(self, family, name="default"):
        """A new link for a user."""
        at = self.host.addr4 if family == 4 else self.host.addr6
        return self.user("link", name, "--host", at).stdout.strip()

    def start(self, timeout=60):
        config = ["--config", self.config] if self.config else []
        self.proc = self.host.start(
            [*self.wrapper, self.program, *config, "--state-dir", self.state,
             "--run-dir", self.run, *self.args], log=self.log)
        self.proc.wait_line(r"^ready\b", timeout)
        found = self.proc.wait_line(r"\bpin: (sha256:[0-9a-fA-F]{64})", 0)
        self.fingerprint = found.group(1)
        self.serving.add(self)
        self.host.lab.relays.add(self.run)
        return self

    def address(self, family):
        """Where clients reach it over IPv4 (4) or IPv6 (6)."""
        return endpoint(self.host.addr4 if family == 4 else self.host.addr6, self.port)

    def ctl(self, *words):
        """What culvertctl WORDS --json prints, parsed."""
        return self.host.json([self.host.lab.build / "culvertctl", "--run-dir", self.run, *words,
                               "--json"])

    def left_behind(self):
        """What a stopped relay must not leave: attached XDP programs and pins under its name.

        Where another relay serves on the host, programs are taken to be that one's."""
        links = json.loads(self.host.ip("-j", "link", "show"))
        shared = any(other.host is self.host for other in self.serving - {self})
        found = [f"XDP on {link['ifname']}" for link in links if "xdp" in link and not shared]
        return found + [str(p) for p in netns.pins_named(self.run.name)]

    def stop(self, timeout=30):
        """SIGTERM; LabError unless it ends with 0 in time and leaves nothing."""
        if self.proc is None:
            return
        proc, self.proc = self.proc, None
        self.serving.discard(self)
        self.host.lab.relays.discard(self.run)
        code = proc.stop(signal.SIGTERM, timeout)
        if code != 0:
            raise LabError(f"{proc.name} ended with {code}; its output:\n{proc.text()[-4000:]}")
        left = self.left_behind()
        if left:
            raise LabError(f"{proc.name} left behind: {', '.join(left)}")


class Forward:
    """A `culvert forward` on a peer: a local UDP port that is forwarded to a target."""
    ports = itertools.count(17000)

    def __init__(self, peer, relay_at, target, pin=None, args=(), log=None):
        """relay_at, target: HOST:PORT as the command line takes it; pin: sha256:HEX."""
        self.peer = peer
        self.address = endpoint("127.0.0.1" if peer.addr4 else "::1", next(self.ports))
        trust = ["--pin", pin] if pin else []
        self.proc = peer.start(
            [peer.lab.build / "culvert", "forward", "--relay", relay_at, "--listen", self.address,
             "--target", target, *trust, *args], name="forward", log=log)
        peer.lab.clients.append(self.proc)

    def wait(self, timeout=60):
        self.proc.wait_line(r"^ready\b", timeout)
        return self

    def stop(self):
        return self.proc.stop()


class Bind:
    """A `culvert bind` on a peer: a port at a relay for a local application."""

    def __init__(self, peer, relay, *args, app=None, family=None, log=None):
        """app: ADDRESS:PORT of the application; None: the first sender."""
        self.peer = peer
        at = relay.address(family or (4 if peer.addr4 else 6))
        self.proc = peer.start(
            [peer.lab.build / "culvert", "bind", "--relay", at, "--pin", relay.fingerprint,
             *(("--app", app) if app else ()), *args], name="bind", log=log,
            stdin=subprocess.PIPE)
        peer.lab.clients.append(self.proc)

    def name_remote(self, address):
        """For one that was started with --permit -."""
        self.proc.popen.stdin.write(f"{address}\n".encode())
        self.proc.popen.stdin.flush()

    def wait(self, timeout=60):
        self.proc.wait_line(r"^public ", timeout)
        return self

    def public(self, family):
        """The public endpoint at the relay for peers of a family."""
        last = re.findall(r"^public (.*)", self.proc.text(), re.M)[-1].split()
        return next(p for p in last if (p[0] == "[") == (family == 6))

    def local(self, remote, timeout=30):
        """The loopback port that stands for a remote."""
        found = self.proc.wait_line(rf"^remote {re.escape(remote)} local (\S+)", timeout)
        return found.group(1)

    def stop(self):
        return self.proc.stop()


class Listen:
    """A `culvert listen` on a peer: a local application that other peers reach."""

    def __init__(self, peer, relay, identity, app, *args, log=None):
        self.peer = peer
        self.proc = peer.start(
            [peer.lab.build / "culvert", "listen", "--relay", relay.address(4 if peer.addr4 else 6),
             "--pin", relay.fingerprint, "--identity", identity, "--app", app, *args],
            name="listen", log=log)
        peer.lab.clients.append(self.proc)

    def wait(self, timeout=60):
        """Its ticket, and its addresses at the relay."""
        found = self.proc.wait_line(r"^listening (\S+)((?: --at \S+)*)$", timeout)
        self.ticket, self.at = found.group(1), found.group(2).split()
        return self

    def stop(self):
        return self.proc.stop()


class Connect:
    """A `culvert connect` on a peer: a local UDP port that leads to another peer's application."""

    def __init__(self, peer, ticket, identity, *args, log=None):
        self.peer = peer
        self.address = endpoint("127.0.0.1" if peer.addr4 else "::1", next(Forward.ports))
        self.proc = peer.start([peer.lab.build / "culvert", "connect", ticket, "--listen",
                                self.address, "--identity", identity, *args],
                               name="connect", log=log)
        peer.lab.clients.append(self.proc)

    def wait(self, timeout=60):
        self.proc.wait_line(r"^ready\b", timeout)
        return self

    def stop(self):
        return self.proc.stop()


def dropped_by(client):
    """What a Forward or Bind with --log-level info has dropped for lack of room or time, or before a
    tunnel was open.  Stops it: it reports that at its end."""
    assert client.stop() == 0, client.proc.text()
    return sum(map(int, re.findall(
        r"^(?:info dropped reason=\w*(?:queue_full|sojourn|no_frame|tx_ring) count"
        r"|warn (?:forward|bind)_dropped (?:remotes=\d+ )?datagrams)=(\d+)",
        client.proc.text(), re.M)))


def ping(peer, relay_at, target, pin=None, *args, timeout=60):
    """Run `culvert ping` to its end; returns its CompletedProcess, also of a failure.
    relay_at: HOST:PORT with a pin, or a link."""
    trust = ["--pin", pin] if pin else []
    return peer.run([peer.lab.build / "culvert", "ping", "--relay", relay_at, "--target", target,
                     *trust, "--interval", "0.01", "--count", 2, *args], check=False,
                    timeout=timeout)


def exchange(host, address, *sizes, port=0):
    """One random payload of each size to an echo server and back.  A dict of lists of sizes."""
    return host.json([sys.executable, Path(__file__).with_name("exchange.py"), address, port,
                      *sizes], timeout=60 + 2 * len(sizes))


def echo(host, port=7000, *args):
    """Start a UDP echo server; returns its Proc once it serves."""
    proc = host.start([host.lab.tool("udpecho"), "--port", port, *args])
    proc.wait_line(r"^ready\b")
    return proc


def echo_targets(lab, port=7000):
    """Echo servers on the targets of a lab: {"target-v4": "198.18.4.20:7000", ...}."""
    found = {}
    for name in ("target-v4", "target-v6"):
        echo(lab[name], port)
        found[name] = endpoint(lab[name].addr4 or lab[name].addr6, port)
    return found


def load(host, address, timeout=120, **options):
    """Run udpload: load(peer, "198.18.4.20:7000", size=1200, count=500, df=True).  Its figures, and
    as "overflows" what full queues of the lab dropped meanwhile."""
    return load_of(start_load(host, address, **options), timeout)


def start_load(host, address, **options):
    """Start udpload; load_of(proc) waits for its figures, end_load(proc) has it send no more.

    At a port of `culvert forward`, the first datagram is sent alone (first=False: it is not): the
    client keeps only so many until their tunnel is open, however long that takes."""
    if not options.get("oneway") and re.match(r"127\.|\[::1\]", address):
        options.setdefault("first", True)
    flags = [word for name, value in options.items()
             for word in ([f"--{name}"] if value is True else [f"--{name}", value])
             if value is not False]
    watch = losses.Watch(host.lab)
    proc = host.start([host.lab.tool("udpload"), *flags, address])
    proc.watch = watch
    return proc


def result_of(proc, timeout=120):
    """The line of JSON that a program ends with."""
    try:
        code = proc.popen.wait(timeout)
    except subprocess.TimeoutExpired:
        raise LabError(f"{proc.name} still runs after {timeout} s: {proc.text()}") from None
    if code:
        raise LabError(f"{proc.name} ended with {code}: {proc.text()}")
    return json.loads(proc.text().splitlines()[-1])


def load_of(proc, timeout=120):
    """The figures of a load of start_load, once it ended."""
    return {**result_of(proc, timeout), "overflows": proc.watch.since()}


def end_load(proc):
    """Have a load of start_load send no more; its figures once what it sent came back."""
    proc.send(signal.SIGTERM)
    return load_of(proc)


def loads(host, address, senders, **options):
    """As many udploads at a time, each a tunnel of its own; the list of their figures."""
    return [load_of(one) for one in [start_load(host, address, **options) for _ in range(senders)]]


def is_whole(figures):
    """Whether nothing that was sent came back twice, changed, or as an error."""
    return figures["sent"] > 0 and not any(
        figures[bad] for bad in ("duplicated", "corrupted", "refused", "send_errors"))


def is_clean(*figures):
    """Whether all that was sent came back once and intact, except for datagrams that full queues of
    the lab dropped: hosts of a busy machine may lack the time to empty them.
    figures: of loads that ran at the same time."""
    if not all(map(is_whole, figures)):
        losses.too_much = None    # not for that reason
        return False
    sent, lost = (sum(one[name] for one in figures) for name in ("sent", "lost"))
    overflows = {}
    for one in figures:
        for where, n in one["overflows"].items():
            overflows[where] = max(n, overflows.get(where, 0))
    return losses.excuses(lost, sent, overflows)


def is_count_of(figures, counted):
    """Whether counted agrees with a load, as the number of its datagrams in one direction."""
    return figures["sent"] - figures["lost"] <= counted <= figures["sent"]


def slug(text):
    """A text as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip("-")
