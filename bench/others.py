# SPDX-License-Identifier: GPL-3.0-or-later
"""The alternatives to Culvert on the same work, each configured for speed as its documentation says."""
import re
import shutil
import subprocess
import sys
from pathlib import Path

import newer
from cost import FLOODS, back, flooded, out
from rig import CORE, LOAD_PORTS, NICE, PEER_PORT, PORT, BenchError, daemon, prefer, set_cpu

STABLE = "bookworm"     # the Debian release that Culvert targets; newer.SUITE is the next one
MASQUE_GO_RATES = (30000, 60000, 100000)
TURN_PORT, PROXY_PORT, QUIC_PORT = 3478, 3479, 8443


def both(bench, name, size, pid, to_target, relayed_port):
    """Both directions, for a peer without a tunnel.  relayed_port(): the port that the target sends
    to, which exists after a datagram of the peer."""
    rig = bench.rig
    set_cpu(pid, CORE, batch=True)
    prefer(pid, NICE)
    far4, far6 = rig.far(4, "--drop", PEER_PORT), rig.far(6, "--drop", PORT)
    flooded(bench, f"{name}_to_target_{size}", pid, far6, to_target)
    to_peer = rig.load_raw(6, "target-v6", PORT, relayed_port(), size)
    flooded(bench, f"{name}_to_peer_{size}", pid, far4, to_peer)


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


def coturn(bench, size, name="coturn", suite=STABLE):
    """ChannelData in both directions, one relay thread, no authentication, no logging: its fastest."""
    rig = bench.rig
    program = bench.once(f"coturn-{suite}", coturn_program(suite))
    host, peer = rig.relay_host, rig.lab["peer-v4"]
    with bench.scene():
        server = host.start(
            [*program, "-n", "--no-auth", "--no-tls", "--no-dtls", "--no-cli", "--no-rfc5780",
             "--no-stdout-log", "--log-file", "/dev/null", "--listening-ip", host.addr4,
             "--relay-ip", host.addr4, "--relay-ip", host.addr6, "--listening-port", TURN_PORT,
             "--relay-threads", 1, "--pidfile", rig.folder / "turn.pid",
             "--userdb", rig.folder / "turndb"], name="turnserver")
        try:
            turn = rig.start(
                peer, sys.executable, Path(__file__).with_name("turn.py"),
                daemon.endpoint(host.addr4, TURN_PORT), daemon.endpoint(peer.addr4, PEER_PORT),
                daemon.endpoint(rig.lab["target-v6"].addr6, PORT))
            to_target = rig.load_raw(4, "peer-v4", PEER_PORT, TURN_PORT, size + 4, "--hex",
                                     f"4000{size:04x}")
            both(bench, name, size, server.popen.pid, to_target, lambda: turn.preamble[0]["port"])
        finally:
            server.kill()


# ---- nginx ----

# One process with a socket for each peer, its only mode.
NGINX = """\
load_module %(modules)s/ngx_stream_module.so;
daemon off;
master_process off;
pid %(folder)s/nginx.pid;
error_log /dev/null crit;
events { worker_connections 1024; }
stream {
	server {
		listen %(listen)s udp;
		proxy_pass %(target)s;
	}
}
"""


def nginx_program(bench):
    try:
        root = newer.unpack(bench.rig.tools / "nginx", "nginx-core", "libnginx-mod-stream",
                            suite=STABLE)
    except newer.NotAvailable as error:
        raise BenchError(f"nginx: {error}") from None
    program = newer.command(root, root / "usr/sbin/nginx")
    said = subprocess.run([*program, "-v"], capture_output=True, text=True, check=False)
    bench.versions["nginx"] = (said.stdout + said.stderr).strip()[-40:]
    return root, program


def nginx(bench, size):
    """Its UDP proxy, without encryption."""
    rig = bench.rig
    root, program = bench.once("nginx", nginx_program)
    host = rig.relay_host
    conf = rig.folder / "nginx.conf"
    conf.write_text(NGINX % {
        "modules": root / "usr/lib/nginx/modules", "folder": rig.folder,
        "listen": daemon.endpoint(host.addr4, PROXY_PORT),
        "target": daemon.endpoint(rig.lab["target-v6"].addr6, PORT)})
    with bench.scene():
        proxy = host.start([*program, "-p", rig.folder, "-e", "/dev/null", "-c", conf], name="nginx")
        try:
            to_target = rig.load_raw(4, "peer-v4", PEER_PORT, PROXY_PORT, size)
            both(bench, "nginx", size, proxy.popen.pid, to_target,
                 lambda: udp_ports(host, proxy.popen.pid, PROXY_PORT)[0])
        finally:
            proxy.kill()


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
            out(bench, f"masque_go_to_target_{size}{suffix}", load, far6, size, rates, proxy.pid,
                saturated=not paces)
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
