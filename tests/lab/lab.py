# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: hosts as network namespaces, for the demo, the system tests and the benchmarks.

    with Lab(topology.matrix()) as lab:
        echo = lab["target-v4"].start([lab.tool("udpecho"), "--port", "7000"])
        echo.wait_line("^ready")
        figures = lab["peer-v4"].json([lab.tool("udpload"), "198.18.4.20:7000"])

A lab guarantees usable addresses (no duplicate address detection), complete checksums in every
frame (veth would pass partial ones), no segmentation or receive offload on the hosts' ends, and
bridge-side ends that accept redirected XDP frames.  Everything is removed on close, at exit and on
SIGTERM; after kill -9 by `lab down --stale`.
"""
import argparse
import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nat
import netns
import topology
from netns import LabError, Proc

REPOSITORY = Path(__file__).resolve().parents[2]
OFFLOADS = "rx on tx off sg on tso off gso off gro off tx-udp-segmentation off txvlan off rxvlan off"


def build_folder():
    return Path(os.environ.get("BUILD") or REPOSITORY / "build").resolve()


class LabHost:
    """A host of a raised lab, which runs programs in its namespace."""

    def __init__(self, lab, spec):
        self.lab, self.spec, self.name = lab, spec, spec.name
        self.netns = netns.namespace(lab.name, spec.name)
        self.folder = lab.folder / spec.name
        self.addr4, self.addr6 = spec.address(4), spec.address(6)
        self.pin_cpu = None     # CPU list such as "0" or "0,1" for programs started from now on
        self.name_server = None
        self.preempts = False   # programs started from now on preempt all others on their CPU

    def command(self, argv):
        """The machine's command line that runs a command on this host, with the same process ID."""
        pin = ["taskset", "-c", str(self.pin_cpu)] if self.pin_cpu is not None else []
        priority = ["chrt", "-f", "10"] if self.preempts else []
        return [*priority, *pin, "nsenter", f"--net={netns.NETNS / self.netns}",
                "unshare", "--mount", "--propagation", "slave",
                "sh", "-c", netns.ENTER, "lab", str(self.folder), *map(str, argv)]

    def popen(self, argv, **options):
        """subprocess.Popen on this host, in a process group of its own, killed on close."""
        options.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(self.command(argv), start_new_session=True, **options)
        self.lab.started.append(process)
        return process

    def start(self, argv, name=None, log=None, **options):
        """Start a program that keeps running; its output goes to a file.  Returns a Proc."""
        name = name or Path(str(argv[0])).name
        log = Path(log) if log else self.lab.log_path(f"{self.name}-{name}")
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "wb") as out:
            process = self.popen(argv, stdout=out, stderr=subprocess.STDOUT, **options)
        return Proc(process, f"{name} on {self.name}", log)

    def run(self, argv, check=True, timeout=60, text=None, **options):
        """Run a command to its end; returns a CompletedProcess with text output."""
        process = self.popen(argv, stdin=subprocess.PIPE if text else subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
        try:
            out, err = process.communicate(text, timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name}: {argv} ran for {timeout} s") from None
        finally:
            netns.kill_group(process)
            self.lab.started.remove(process)
        done = subprocess.CompletedProcess(argv, process.returncode, out, err)
        if check and done.returncode:
            raise LabError(f"{self.name}: {' '.join(map(str, argv))}: exit {done.returncode}\n"
                           f"{out}{err}")
        return done

    def json(self, argv, **options):
        """Run a command that prints one JSON value."""
        return json.loads(self.run(argv, **options).stdout)

    def ip(self, *words):
        """ip(8) on this host, e.g. host.ip("addr", "add", "203.0.113.9/32", "dev", "lo")."""
        return netns.call(["ip", "-n", self.netns, *map(str, words)])

    def reaches(self, address, size=56):
        """Whether one ping of these payload bytes, never fragmented, comes back."""
        return self.run(["ping", "-n", "-c1", "-W1", "-Mdo", f"-s{size}", address],
                        check=False).returncode == 0

    def set_names(self, names):
        """Put names into this host's /etc/hosts beside the lab's own, {name: address or list of
        addresses}, and have its name server answer by it; they apply at once."""
        self.write_names(names)
        if self.name_server:
            netns.kill_group(self.name_server.popen)
        self.name_server = self.start(
            ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--user=root",
             "--pid-file", "--bind-interfaces", "--listen-address", "127.0.0.1",
             "--local=/#/"])
        self.name_server.wait_line(r"\bstarted\b")

    def write_names(self, names):
        """Only the file."""
        lines = [f"{address} {name}\n" for name, value in {**self.lab.names(), **names}.items()
                 for address in ([value] if isinstance(value, str) else value)]
        # In place: running processes have this very file mounted.
        (self.folder / "etc/hosts").write_text(
            "127.0.0.1 localhost\n::1 localhost\n" + "".join(lines), encoding="ascii")

    def write_users(self):
        """Let its programs find the user culvert, which `make install` makes, on any machine."""
        users = Path("/etc/passwd").read_text(encoding="utf-8")
        if "\nculvert:" not in users:
            users += "culvert:x:64997:64997:Culvert relay:/nonexistent:/usr/sbin/nologin\n"
        (self.folder / "etc/passwd").write_text(users, encoding="utf-8")

    def heard(self):
        """How many datagrams its sockets received."""
        counters = self.counters()
        return counters["Udp.InDatagrams"] + counters.get("Udp6InDatagrams", 0)

    def wait_heard(self, more, timeout=60):
        """Wait until its sockets received so many more datagrams."""
        enough = self.heard() + more
        netns.wait_until(lambda: self.heard() >= enough, timeout,
                         f"{self.name} did not receive {more} datagrams")

    def counters(self):
        """The host kernel's IP, UDP and ICMP counters, {"Udp.InDatagrams": n, "Udp6In...": n}."""
        text = netns.read_in(self.netns, "snmp", "snmp6")
        found, header = {}, None
        for line in text.splitlines():
            words = line.split()
            if words[0].endswith(":"):
                if header and header[0] == words[0]:
                    found.update((words[0][:-1] + "." + key, int(value))
                                 for key, value in zip(header[1:], words[1:]))
                    header = None
                else:
                    header = words
            else:
                found[words[0]] = int(words[1])
        return found


class Hop:
    """The impairment hop of a link.  Direction out leads away from the host, in toward it."""

    def __init__(self, lab, host, link):
        self.lab, self.name = lab, f"hop-{host}-{link.name}"
        self.host = LabHost(lab, topology.Host(self.name, ()))
        self.proc, self.options = None, link.hop

    def set(self, *options):
        """Impair from now on: hop.set("--loss", 0.1, "--delay", 20).  Loses the frames it holds."""
        self.cut()
        self.options = options
        log = self.lab.folder / "log" / f"{self.name}.log"
        self.proc = self.host.start([self.lab.tool("hop"), *options, "host", "net"], "hop", log)
        self.proc.wait_line("^ready")

    def cut(self):
        """Stop carrying frames, as a cable pulled out somewhere between the ends."""
        if self.proc:
            self.proc.stop()
            self.proc = None

    def stats(self):
        """Counters since the last set(): {"out": {...}, "in": {...}}."""
        before = self.proc.text().count("\n")
        self.proc.send(signal.SIGUSR1)
        line = self.proc.wait_line(r"\A(?:.*\n){%d}(\{.*\})\n" % before).group(1)
        both = json.loads(line)
        return {"out": both["a_to_b"], "in": both["b_to_a"]}


class Lab:
    """Hosts of one topology.  A context manager; lab["peer-v4"] is a LabHost."""

    def __init__(self, spec=None, name=None, build=None):
        self.spec = spec or topology.matrix()
        self.name = netns.new_name(name)
        self.build = Path(build).resolve() if build else build_folder()
        self.owner = os.getpid()
        self.folder = netns.STATE / self.name
        self.started = []
        self.relays = set()     # runtime directories of the relays started in it
        self.clients = []       # processes of the clients started in it
        self.hosts = {h.name: LabHost(self, h) for h in self.spec.hosts}
        self.hops = {(h.name, l.name): Hop(self, h.name, l)
                     for h in self.spec.hosts for l in h.links if l.hop is not None}

    def __getitem__(self, host):
        return self.hosts[host]

    def __enter__(self):
        return self.up()

    def __exit__(self, *_):
        self.close()

    def tool(self, name):
        """Path of one of the lab's own programs."""
        path = self.build / "lab" / name
        if not path.exists():
            raise LabError(f"{path} is not built")
        return path

    def log_path(self, stem):
        """An unused file name in this lab's log directory."""
        folder = self.folder / "log"
        taken = 0
        while (folder / f"{stem}.{taken}.log").exists():
            taken += 1
        return folder / f"{stem}.{taken}.log"

    def hop(self, host, link):
        return self.hops[host, link]

    def up(self):
        netns.preflight()
        if self.hops:
            self.tool("hop")
        with netns.locked():
            netns.claim(self._record())
        _close_with_the_process(self)
        try:
            self._raise()
        except BaseException:
            self.close()
            raise
        return self

    def keep(self):
        """Let the lab outlive this process: only `lab down` removes it."""
        self.owner = 0
        netns.write_record(self._record())
        _open_labs.discard(self)

    def close(self):
        """Stop every process started here, by SIGTERM first, and remove the lab."""
        for process in self.started:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
        until = time.monotonic() + 0.7
        while time.monotonic() < until and any(p.poll() is None for p in self.started):
            time.sleep(0.01)
        for process in self.started:
            netns.kill_group(process)
        self.started.clear()
        netns.remove(self.name)
        _open_labs.discard(self)

    def spaces(self):
        """Namespace of every host, network and hop, by its short name."""
        names = [*self.hosts, *(n.name for n in self.spec.networks),
                 *(hop.name for hop in self.hops.values())]
        return {name: netns.namespace(self.name, name) for name in names}

    def names(self):
        return {host.name: [a for a in (host.addr4, host.addr6) if a]
                for host in self.hosts.values()}

    def _record(self):
        return {"name": self.name, "topology": self.spec.name, "hosts": self.names(),
                "owner": self.owner,
                "owner_start": netns.start_time(self.owner) if self.owner else 0}

    def _raise(self):
        spaces = self.spaces()
        self._write_files()
        with netns.locked():
            netns.mount_bpffs()
            netns.call(["ip", "-batch", "-"], "".join(f"netns add {n}\n" for n in spaces.values()))

        def each(script):
            netns.call_each([(["nsenter", f"--net={netns.NETNS / space}", "sh", "-e"],
                              script(name)) for name, space in spaces.items()])

        each(self._settings)
        netns.call(["ip", "-batch", "-"], "".join(self._wires(spaces)))
        each(self._interfaces)
        each(self._settled)
        for hop in self.hops.values():
            hop.set(*hop.options)

    def _write_files(self):
        (self.folder / "log").mkdir(parents=True)
        for host in [*self.hosts.values(), *(hop.host for hop in self.hops.values())]:
            (host.folder / "etc").mkdir(parents=True)
            (host.folder / "sys").mkdir()
            host.write_names({})
            host.write_users()
            # No server answers there: names that are not in the file fail at once.
            (host.folder / "etc/resolv.conf").write_text(
                "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n", encoding="ascii")

    def _settings(self, name):
        """Settings that interfaces inherit, so they come before them."""
        host = self.hosts.get(name)
        v6 = host and any(l.v6 for l in host.spec.links)
        # An interface answers ARP for its own addresses only: neighbours would remember one that
        # answered for another, and keep sending to it after it was unplugged.
        values = {"net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.default.rp_filter": 0,
                  "net.ipv4.conf.all.arp_ignore": 1}
        for scope in ("all", "default"):
            base = f"net.ipv6.conf.{scope}"
            values |= {f"{base}.accept_dad": 0, f"{base}.dad_transmits": 0,
                       f"{base}.accept_ra": 0, f"{base}.autoconf": 0,
                       f"{base}.router_solicitations": 0}
            if not v6:
                values[f"{base}.disable_ipv6"] = 1
        if host and host.spec.forwards:
            values["net.ipv4.ip_forward"] = 1
            if v6:
                values["net.ipv6.conf.all.forwarding"] = 1
        return "sysctl -qw " + " ".join(f"{k}={v}" for k, v in values.items()) + "\n"

    def _wires(self, spaces):
        for host in self.spec.hosts:
            for link in host.links:
                rest = f"mtu {link.mtu} numtxqueues {link.queues} numrxqueues {link.queues}"
                port = port_of(host, link)
                ends = [(spaces[host.name], link.name), (spaces[link.network], port)]
                if link.hop is not None:
                    hop = spaces[self.hops[host.name, link.name].name]
                    ends[1:1] = [(hop, "host"), (hop, "net")]
                for (space, end), (peer_space, peer) in zip(ends[::2], ends[1::2]):
                    yield (f"link add dev {end} netns {space} {rest} type veth "
                           f"peer name {peer} netns {peer_space} {rest}\n")

    def _interfaces(self, name):
        ip, shell = ["link set lo up"], []
        host = self.hosts.get(name)
        if host:
            for link in host.spec.links:
                shell.append(f"ethtool -K {link.name} {OFFLOADS}")
                if not link.v6 and any(l.v6 for l in host.spec.links):
                    shell.append(f"sysctl -qw net.ipv6.conf.{link.name}.disable_ipv6=1")
                ip += [f"addr add {a} dev {link.name}" for a in (link.v4,) if a]
                ip += [f"addr add {a} dev {link.name} nodad" for a in (link.v6,) if a]
                ip.append(f"link set dev {link.name} up")
            ip += [f"route add {prefix} via {gateway}" for prefix, gateway in host.spec.routes]
        elif any(name == network.name for network in self.spec.networks):
            ip.append("link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
            for owner in self.spec.hosts:
                for link in owner.links:
                    if link.network == name:
                        shell.append(f"ethtool -K {port_of(owner, link)} {OFFLOADS}")
                        ip.append(f"link set dev {port_of(owner, link)} master br0 up")
            ip.append("link set br0 up")
        else:
            for end in ("host", "net"):
                shell.append(f"ethtool -K {end} {OFFLOADS}")
                ip.append(f"link set dev {end} promisc on up")
        rules = nat.FIREWALL if host and host.spec.firewall else ""
        if host and host.spec.nat:
            external = host.spec.link("out").v4.partition("/")[0]
            rules += nat.ruleset(host.spec.nat, external)
        if rules:
            rules = f"nft -f - <<'RULES'\n{rules}RULES\n"
        return "\n".join(shell) + "\nip -batch - <<'IP'\n" + "\n".join(ip) + "\nIP\n" + rules

    def _settled(self, name):
        """Settings that come after every link is up, and the wait until every link is usable."""
        host = self.hosts.get(name)
        if host:
            ends = [link.name for link in host.spec.links]
        elif any(name == network.name for network in self.spec.networks):
            ends = [port_of(h, l) for h in self.spec.hosts for l in h.links if l.network == name]
        else:
            ends = ["host", "net"]
        # A veth end takes redirected XDP frames only with NAPI, which receive offload turns on;
        # the kernel notifies the other end only if this happens while both are up.
        poll = "" if host else "\n".join(f"ethtool -K {end} gro on" for end in ends)
        # The kernel may delay the event that a link is up by a second, and a bridge port stays
        # closed until then; a query of the link's state makes it report at once.
        ask = "; ".join(f"ethtool {end} >/dev/null" for end in ends)
        return f"""{poll}
tries=0
while {ask}; ip -br link | grep -q DOWN || bridge link | grep -q 'state disabled'
do
	tries=$((tries + 1))
	[ $tries -lt 200 ] || {{ echo "links stay down:"; ip -br link; exit 1; }}
	sleep 0.01
done
"""


def port_of(host, link):
    """The name of the switch-side end of a link."""
    others = [l for l in host.links if l.network == link.network]
    return (host.name if len(others) == 1 else f"{host.name}.{link.name}")[:15]


_open_labs = set()


def _close_all(number=None, _frame=None):
    for lab in list(_open_labs):
        if lab.owner == os.getpid():    # a forked child inherits this set, not the labs
            lab.close()
    if number is not None:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _close_with_the_process(lab):
    if not _open_labs:
        atexit.register(_close_all)
        for number in (signal.SIGTERM, signal.SIGHUP):
            with contextlib.suppress(ValueError):    # not the main thread
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, _close_all)
    _open_labs.add(lab)


def _find(name):
    """The record of a lab by name, or of the only one raised by hand."""
    found = [r for r in netns.records() if r["name"] == name or (not name and not r["owner"])]
    if len(found) != 1:
        raise LabError("no such lab" if not found else
                       "several labs: name one of " + ", ".join(r["name"] for r in found))
    return found[0]


def _cli_up(args):
    spec = topology.by_name(args.topology)
    for text in args.hop:
        end, _, options = text.partition("=")
        host, _, link = end.partition(":")
        spec = spec.tuned(host, link, hop=tuple(options.split()))
    netns.remove_stale()
    lab = Lab(spec, args.name).up()
    lab.keep()
    print(lab.name)
    return 0


def _cli_down(args):
    if args.stale:
        for name in netns.remove_stale():
            print(f"removed {name}")
        return 0
    netns.remove(_find(args.name)["name"])
    return 0


def _cli_exec(args):
    record = _find(args.name)
    if args.host not in record["hosts"]:
        raise LabError(f"no host {args.host}: " + ", ".join(record["hosts"]))
    argv = args.argv[1:] if args.argv[:1] == ["--"] else args.argv
    if not argv:
        raise LabError("no command")
    here = SimpleNamespace(name=record["name"], folder=netns.STATE / record["name"])
    line = LabHost(here, topology.Host(args.host, ())).command(argv)
    os.execvp(line[0], line)


def _cli_status(_args):
    for record in netns.records():
        owner = f"owner {record['owner']}" if record["owner"] else "no owner"
        if not netns.owner_lives(record):
            owner += " is dead: lab down --stale"
        print(f"{record['name']}  {record['topology']}  {owner}")
        for host, addresses in record["hosts"].items():
            print(f"  {host:14} {' '.join(addresses)}")
    return 0


def main(argv=None):
    parser = argparse.ArgumentParser(prog="lab", description="Namespaces as hosts.")
    commands = parser.add_subparsers(dest="verb", required=True)
    up = commands.add_parser("up", help="raise a lab that stays; prints its name")
    up.add_argument("topology", nargs="?", default="matrix",
                    help="matrix (default), matrix-1280, matrix-2q, nat:KIND:KIND")
    up.add_argument("--name", help="default: made up")
    up.add_argument("--hop", action="append", default=[], metavar="HOST:LINK=OPTIONS",
                    help="impair a link, e.g. --hop 'peer-v4:v4=--loss 0.1 --delay 20'")
    up.set_defaults(call=_cli_up)
    down = commands.add_parser("down", help="remove a lab")
    down.add_argument("name", nargs="?", help="default: the only one raised by hand")
    down.add_argument("--stale", action="store_true", help="all whose owner is dead instead")
    down.set_defaults(call=_cli_down)
    run = commands.add_parser("exec", help="run a command on a host")
    run.add_argument("--name", help="of the lab; default: the only one raised by hand")
    run.add_argument("host")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    run.set_defaults(call=_cli_exec)
    status = commands.add_parser("status", help="labs, their hosts and addresses")
    status.set_defaults(call=_cli_status)
    args = parser.parse_args(argv)
    try:
        return args.call(args)
    except (LabError, KeyError) as error:
        print(f"lab: {error.args[0]}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
