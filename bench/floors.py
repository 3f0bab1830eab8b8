# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine takes for moving a UDP datagram from one link of the relay to the other, without
a relay: in XDP, by AF_XDP, by sockets.  And plain forwarding by others than us."""
import re
import shutil
import subprocess
import sys
from pathlib import Path

import newer
from rig import CORE, LOAD_PORTS, NICE, PORT, BenchError, Spent, daemon, prefer, set_cpu

# Bursts of 64, with pauses as long as so many more would take: how much comes is up to the machine.
FLOODS = (("flood", 64, 128), ("flood", 64, 1024))
STABLE = "bookworm"     # Debian's release that Culvert is for; newer.SUITE is the one after
MASQUE_GO_RATES = (30000, 60000, 100000)
PEER_PORT, OUT_PORT, TURN_PORT, QUIC_PORT = 9000, 9001, 3478, 8443


def cheapest(bench, name, attempts, attempt):
    """The sample of the attempt that cost least: what saturates one program drowns another.

    attempt(one) returns (microseconds, facts), or None when next to nothing got through."""
    found = [one for one in map(attempt, attempts) if one]
    if not found:
        raise BenchError(f"{name}: next to nothing got through")
    cost, facts = min(found, key=lambda one: one[0])
    if len(found) > 1:
        facts["tried"] = [round(one[0], 3) for one in found]
    bench.keep(name, cost, **facts)


def per_datagram(made, datagrams):
    """CPU of a load program, in us."""
    return round(made["cpu_ns"] / 1000 / max(datagrams, 1), 3)


def cost_of(spent, done, made, took_ns, **facts):
    """What an attempt returns to cheapest."""
    if done < 100:
        return None
    total, user = spent.since()
    return total / 1000 / done, {
        "datagrams": done, "offered": made, "per_sec": int(done * 1e9 / took_ns),
        "busy": round(total / took_ns, 2),
        **({} if user is None else {"user_us": round(total / 1000 / done * user, 3),
                                    "kernel_us": round(total / 1000 / done * (1 - user), 3)}),
        **facts}


def flooded(bench, name, pid, far, load, commands=FLOODS, tids=None, counted="packets", **facts):
    """CPU of a process, or of some of its threads, for each datagram that got through.

    counted: which of the far end's counters says that."""
    def attempt(command):
        before, spent = far.ask("count")[counted], Spent(pid, tids)
        made = load.ask(command[0], load.rig.msec, *command[1:])
        return cost_of(spent, far.ask("count")[counted] - before, made["sent"],
                       made["took_ns"], **facts)
    cheapest(bench, name, commands, attempt)


# ---- XDP alone ----

def xdp(bench):
    """Drop, redirect, and 4->6 with redirect: time of the program itself, by the kernel's count."""
    rig = bench.rig
    for what in ("drop", "redirect", "rewrite"):
        with bench.scene():
            rig.far(6, "--drop", PORT)
            floor = rig.start(rig.relay_host, rig.tools / "xdp_floor", what, "v4", "v6",
                              rig.mac("target-v6", 6))
            load = rig.load_raw(4, "peer-v4", PEER_PORT, PORT, 64, cpu=CORE)
            before = floor.ask("count")
            made = load.ask("flood", rig.msec, 64, 0)
            after = floor.ask("count")
            done = after["packets"] - before["packets"]
            bench.keep(f"floor_xdp_{what}", made["cpu_ns"] / 1000 / done, datagrams=done,
                       program_us=round((after["run_ns"] - before["run_ns"]) / 1000 / done, 4))


# ---- AF_XDP and sockets ----

def xsk(bench, size, handed=False, commands=FLOODS, suffix=""):
    """handed: the far end hands what comes to an AF_XDP socket, as it does for a load that has to
    acknowledge.  veth bills that to the sender; the difference to dropping is how much."""
    rig = bench.rig
    with bench.scene():
        far = rig.far(6, *(("--xsk", f"{PORT}-{PORT}", "--drain") if handed
                           else ("--drop", PORT)))
        forwarder = rig.relay_host.start(
            [rig.tools / "xsk_forward", "-b", 64, "v4", rig.mac("peer-v4", 4), "v6",
             rig.mac("target-v6", 6)])
        forwarder.wait_line("forwarding")
        set_cpu(forwarder.popen.pid, CORE, batch=True)
        prefer(forwarder.popen.pid, NICE)
        load = rig.load_raw(4, "peer-v4", PEER_PORT, PORT, size)
        name = f"floor_xsk{'_handed' if handed else ''}_{size}{suffix}"
        flooded(bench, name, forwarder.popen.pid, far, load, commands,
                counted="handed" if handed else "packets")
        forwarder.stop()
        batch = re.search(r"packets_per_batch=([\d.]+)", forwarder.text())
        bench.last["batch"] = float(batch.group(1)) if batch else None


def udp(bench, size, gso=False, commands=FLOODS, name=None):
    rig = bench.rig
    host = rig.relay_host
    with bench.scene():
        far = rig.far(6, "--drop", PORT)
        forwarder = rig.start(
            host, rig.tools / "udp_forward", *(["--gso"] if gso else []),
            daemon.endpoint(host.addr4, PORT), daemon.endpoint(host.addr6, OUT_PORT),
            daemon.endpoint(rig.lab["target-v6"].addr6, PORT), cpu=CORE, batch=True)
        load = rig.load_raw(4, "peer-v4", PEER_PORT, PORT, size)
        before = forwarder.ask("count")
        flooded(bench, name or f"floor_udp{'_gso' if gso else ''}_{size}", forwarder.pid, far,
                load, commands)
        after = forwarder.ask("count")
        bench.last["batch"] = round((after["to_target"] - before["to_target"])
                                    / max(after["batches"] - before["batches"], 1), 1)


# ---- coturn ----

def coturn_program(suite):
    """coturn of a Debian release, unpacked and not installed."""
    def make(bench):
        try:
            root = newer.unpack(bench.rig.tools / f"coturn-{suite}", "coturn", suite=suite)
            program = newer.command(root, root / "usr/bin/turnserver")
        except newer.NotAvailable as error:
            raise BenchError(f"coturn of {suite}: {error}") from None
        said = subprocess.run([*program, "--version"], capture_output=True, text=True, check=False)
        bench.versions[f"coturn of {suite}"] = (said.stdout + said.stderr).strip()[-40:]
        return program
    return make


def coturn(bench, size, name="coturn", suite=STABLE, commands=None):
    """ChannelData both ways, one relay thread, no authentication and no logging: its fastest."""
    rig = bench.rig
    program = bench.once(f"coturn-{suite}", coturn_program(suite))
    host = rig.relay_host
    with bench.scene():
        log = host.start(
            [*program, "-n", "--no-auth", "--no-tls", "--no-dtls", "--no-cli", "--no-rfc5780",
             "--no-stdout-log", "--log-file", "/dev/null", "--listening-ip", host.addr4,
             "--relay-ip", host.addr4, "--relay-ip", host.addr6, "--listening-port", TURN_PORT,
             "--relay-threads", 1, "--pidfile", rig.folder / "turn.pid",
             "--userdb", rig.folder / "turndb"], name="turnserver")
        try:
            coturn_carries(bench, name, size, log.popen.pid, commands or {"": FLOODS})
        finally:
            log.kill()


def coturn_carries(bench, name, size, pid, commands):
    rig = bench.rig
    host, peer = rig.relay_host, rig.lab["peer-v4"]
    turn = rig.start(peer, sys.executable, Path(__file__).with_name("turn.py"),
                     daemon.endpoint(host.addr4, TURN_PORT), daemon.endpoint(peer.addr4, PEER_PORT),
                     daemon.endpoint(rig.lab["target-v6"].addr6, PORT))
    set_cpu(pid, CORE, batch=True)
    prefer(pid, NICE)
    far4, far6 = rig.far(4, "--drop", PEER_PORT), rig.far(6, "--drop", PORT)
    to_target = rig.load_raw(4, "peer-v4", PEER_PORT, TURN_PORT, size + 4, "--hex",
                             f"4000{size:04x}")
    to_peer = rig.load_raw(6, "target-v6", PORT, turn.said[0]["port"], size)
    for suffix, tries in commands.items():
        flooded(bench, f"{name}_to_target_{size}{suffix}", pid, far6, to_target, tries)
        flooded(bench, f"{name}_to_peer_{size}{suffix}", pid, far4, to_peer, tries)


# ---- masque-go ----

def masque_go_program(bench):
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if not go:
        raise BenchError("masque-go: no Go toolchain")
    program = bench.rig.tools / "masque-go"
    built = subprocess.run(
        [go, "build", "-mod=readonly", "-o", program, "."], capture_output=True, text=True,
        cwd=Path(__file__).with_name("peers") / "masque-go", check=False, timeout=600)
    if built.returncode:
        words = (built.stderr.strip().splitlines() or ["?"])[-1]
        raise BenchError("masque-go: not built: " + words.split("://")[0][:120])
    wanted = (Path(__file__).parent / "peers/masque-go/go.mod").read_text(encoding="ascii")
    bench.versions |= dict(re.findall(r"(masque-go|quic-go) (v[\d.]+)", wanted))
    return program


def masque_go(bench, size, paces=None):
    """Its proxy under our load client: X25519MLKEM768, an ECDSA certificate."""
    rig = bench.rig
    program = bench.once("masque_go", masque_go_program)
    host = rig.relay_host
    with bench.scene():
        listen = daemon.endpoint(host.addr4, QUIC_PORT)
        ca = rig.folder / "masque-go-ca.pem"
        proxy = rig.start(host, program, "-listen", listen, "-ca", ca, cpu=CORE, batch=True)
        far6 = rig.far(6, "--drop", PORT)
        rig.far(4, "--xsk", LOAD_PORTS)
        load = rig.load_tunnel(4, (6, PORT), "--conns", 10, "--tunnels", 1, "--profile", "hybrid",
                               at=listen, trust=["--ca", ca])
        set_cpu(proxy.pid, CORE, batch=True)
        for suffix, rates in (paces or {"": MASQUE_GO_RATES}).items():
            out(bench, f"masque_go_to_target_{size}{suffix}", load, far6, size, rates, proxy.pid)
        ports = rig.folder / "masque-go-ports"
        ports.write_text("\n".join(udp_ports(host, proxy.pid, QUIC_PORT)) + "\n")
        raw = rig.load_raw(6, "target-v6", PORT, 9, size, "--ports", ports)
        for suffix, rates in (paces or {"": None}).items():
            commands = [("pace", rate) for rate in rates] if rates else FLOODS
            back(bench, f"masque_go_to_peer_{size}{suffix}", load, raw, commands, proxy.pid)


def udp_ports(host, pid, besides):
    """Ports that a process has toward its targets."""
    lines = host.run(["ss", "-Hunap"]).stdout.splitlines()
    found = [line.split()[3].rpartition(":")[2] for line in lines if f"pid={pid}," in line]
    return sorted(port for port in found if int(port) != besides)


def out(bench, name, load, far, size, rates, pid, tids=None, **facts):
    """Tunnel datagrams toward targets that drop them."""
    def attempt(rate):
        before, spent = far.ask("count")["packets"], Spent(pid, tids)
        made = load.ask("send", size, rate, load.rig.msec)
        done = far.ask("count")["packets"] - before
        return cost_of(spent, done, made["offered"], made["took_ns"],
                       load_us=per_datagram(made, done), **facts)
    cheapest(bench, name, rates, attempt)


def back(bench, name, load, raw, commands, pid, tids=None, **facts):
    """Datagrams from a target, through tunnels, to a client that acknowledges them."""
    def attempt(command):
        spent = Spent(pid, tids)
        load.tell("listen", load.rig.msec + 100)
        made, got = raw.ask(command[0], load.rig.msec, *command[1:]), load.answer()
        if got["corrupted"]:
            raise BenchError(f"{name}: {got['corrupted']} datagrams came corrupted")
        return cost_of(spent, got["received"], made["sent"], made["took_ns"],
                       load_us=per_datagram(got, got["received"]), **facts)
    cheapest(bench, name, commands, attempt)
