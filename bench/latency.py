# SPDX-License-Identifier: GPL-3.0-or-later
"""Round trips of an application: direct, through a plain forwarder, through a tunnel of our client.

    core 0: the peer's host (application and client), the relay's control
    core 1: the relay's worker or the forwarder, and the target

A switch between cores costs about as much as all the rest, so each path has the same number of them.
Nothing spins except for what the programs do by themselves.
"""
import contextlib
import time

import tunnels
from rig import PORT, BenchError, Lab, Rig, daemon, prefer, topology

PEER_CORE, RELAY_CORE = 0, 1
SIZE, RATE = 200, 1000
ECHO_PORT, FORWARD_PORT, OUT_PORT = 7100, 7101, 7102
WARM_UP_MSEC = 300
LONGER = 4              # than other measurements: p99.9 wants samples
QUANTILES = ("p50", "p90", "p99", "p999")
DELAY_MS = 5
STORM_RATE, STORM_PAIRS, STORM_RISE_SEC = 400, 3, 0.5   # handshakes a second; of phases


def measure(bench, name, address, times=LONGER):
    rig = bench.rig
    app = rig.start(rig.lab["peer-v4"], rig.tools / "load/load_udp", address, cpu=PEER_CORE)
    prefer(app.pid)
    app.ask("send", SIZE, RATE, WARM_UP_MSEC)
    got = app.ask("send", SIZE, RATE, rig.msec * times, timeout=60)
    app.stop()
    if not got["received"] or got["corrupted"]:
        raise BenchError(f"{name}: {got}")
    for quantile in QUANTILES:
        bench.keep(f"{name}_{quantile}", got[f"{quantile}_us"],
                   **({"lost": got["sent"] - got["received"], "late_us": got["late_us"],
                       "max_us": got["max_us"]} if quantile == "p50" else {}))


def echo(rig):
    """The target, on the relay's core."""
    host = rig.lab["target-v4"]
    host.pin_cpu = RELAY_CORE
    proc = daemon.echo(host, ECHO_PORT)
    host.pin_cpu = None
    prefer(proc.popen.pid)
    return proc, daemon.endpoint(host.addr4, ECHO_PORT)


def tunnel(rig, target):
    """Our client on the application's core.  Returns it; the application sends to its address."""
    peer = rig.lab["peer-v4"]
    peer.pin_cpu = PEER_CORE
    client = daemon.Forward(peer, rig.relay.address(4), target, rig.relay.fingerprint).wait()
    peer.pin_cpu = None
    prefer(client.proc.popen.pid)
    return client


def start_relay(rig):
    relay = rig.start_relay(config=tunnels.config("xdp"), cpu=RELAY_CORE, others=PEER_CORE,
                            batch=False)
    prefer(relay.pid)


def direct(bench, suffix=""):
    with bench.scene():
        target, address = echo(bench.rig)
        measure(bench, f"latency_direct{suffix}", address)
        target.stop()


def forwarder(bench, suffix=""):
    rig = bench.rig
    host = rig.relay_host
    with bench.scene():
        target, address = echo(rig)
        one = rig.start(
            host, rig.tools / "floor/udp_forward", daemon.endpoint(host.addr4, FORWARD_PORT),
            daemon.endpoint(host.addr4, OUT_PORT), address, cpu=RELAY_CORE)
        prefer(one.pid)
        measure(bench, f"latency_forwarder{suffix}", daemon.endpoint(host.addr4, FORWARD_PORT))
        target.stop()


def relayed(bench, suffix=""):
    rig = bench.rig
    with bench.scene():
        target, address = echo(rig)
        start_relay(rig)
        client = tunnel(rig, address)
        measure(bench, f"latency_relayed{suffix}", client.address)
        client.stop()
        target.stop()


def loaded(bench, rate, suffix=""):
    """With so many datagrams of 1200 bytes per second in ten other tunnels, whose load shares the
    peer's core."""
    rig = bench.rig
    with bench.scene():
        target, address = echo(rig)
        start_relay(rig)
        tunnels.ends(rig, 4, 6)
        load = rig.load_tunnel(4, (6, PORT), "--conns", tunnels.CONNS, "--tunnels", 1,
                               cpu=PEER_CORE)
        client = tunnel(rig, address)
        load.command("send", 1200, rate, rig.msec * LONGER + 3000)
        measure(bench, f"latency_loaded{suffix}", client.address)
        load.answer()
        client.stop()
        target.stop()


def storm(bench):
    """p99 of a tunnel, alternately without and with a storm of handshakes by another peer.  The
    tunnel's ends stand for other machines, so they take precedence on the core shared with control."""
    rig = bench.rig
    peer, attacker = rig.lab["peer-v4"], rig.lab["peer-v6"]
    with bench.scene():
        peer.preempts = True
        try:
            target, address = echo(rig)
            relay = rig.start_relay(config=tunnels.config("xdp"), cpu=RELAY_CORE,
                                    others=PEER_CORE, batch=False)
            prefer(relay.pid)
            client = tunnel(rig, address)
            app = rig.start(peer, rig.tools / "load/load_udp", client.address, cpu=PEER_CORE)
        finally:
            peer.preempts = False
        app.ask("send", SIZE, RATE, WARM_UP_MSEC)
        for _ in range(STORM_PAIRS):
            got = app.ask("send", SIZE, RATE, rig.msec, timeout=60)
            bench.keep("quiet_p99", got["p99_us"], lost=got["sent"] - got["received"])
            attacker.pin_cpu = PEER_CORE
            flood = attacker.start(
                ["nice", "-n", "19", rig.lab.tool("storm"), "--kind", "handshakes", "--rate",
                 STORM_RATE, "--seconds", round(rig.msec / 1000) + 2, "--pin",
                 relay.fingerprint.partition(":")[2], relay.address(6)], name="storm")
            attacker.pin_cpu = None
            time.sleep(STORM_RISE_SEC)
            before, start = rig.counters()["handshakes"], time.monotonic()
            got = app.ask("send", SIZE, RATE, rig.msec, timeout=60)
            made = (rig.counters()["handshakes"] - before) / (time.monotonic() - start)
            bench.keep("storm_p99", got["p99_us"], lost=got["sent"] - got["received"],
                       handshakes_per_sec=round(made))
            daemon.result_of(flood)
        app.stop()
        client.stop()
        target.stop()


def paths(bench, rate, suffix=""):
    direct(bench, suffix)
    forwarder(bench, suffix)
    relayed(bench, suffix)
    loaded(bench, rate, suffix)


@contextlib.contextmanager
def far_away(bench):
    """Within it, the peer has a link of 5 ms in each direction."""
    near = bench.rig
    spec = topology.matrix().tuned("peer-v4", "v4", hop=("--delay", DELAY_MS))
    with Lab(spec, build=near.lab.build) as lab:
        bench.rig = Rig(lab, near.folder, near.msec)
        prefer(lab.hop("peer-v4", "v4").proc.popen.pid)
        try:
            yield
        finally:
            bench.rig = near
