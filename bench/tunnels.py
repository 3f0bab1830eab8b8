# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay's cost for each datagram: both directions, sizes, families, ports, rates."""
import time

from cost import FLOODS, back, cheapest, cost_of, out, per_datagram
from rig import LOAD_PORTS, OTHER, PORT, BenchError, Spent, daemon

RATES = (400000, 600000, 1000000)    # the last is more than the load can send on its core
CONNS = 10
IDLE_SEC = 4
HAIRPIN_PORT, HAIRPIN_RATES = 7200, (50000, 200000)
PLAIN_HEADERS = 14 + 20 + 8  # of a datagram of IPv4, on Ethernet
PLAIN_HEADERS6 = 14 + 40 + 8


# Handshakes of unvalidated sources are limited, and those of one source, which all loads share.
UNGUARDED = """\
guard { host-per-sec = 0  net-per-sec = 0 }
limits { conns-per-host = 100000  conns-per-net = 100000  source-shares = 1 }
"""


def config(datapath, workers=1, busy_polls=True):
    """busy_polls=False: an unsaturated worker sleeps at once, so that its CPU time is work."""
    text = daemon.CONFIG % {"datapath": datapath} + UNGUARDED + f"workers = {workers}\n"
    return text if busy_polls else text + "io { spin-usec = 0 }\n"


def ports_file(rig, target_family):
    """A file of the relay's ports toward the targets, one per line."""
    tunnels = rig.relay.ctl("tunnels")["tunnels"]
    path = rig.folder / f"ports-{target_family}"
    path.write_text("".join(one["local"].rpartition(":")[2] + "\n" for one in tunnels))
    return path


def ends(rig, family, target):
    """The far ends of a pair of families.  Returns the one that counts datagrams to targets."""
    if family == target:
        return rig.far(family, "--xsk", LOAD_PORTS, "--drop", PORT)
    rig.far(family, "--xsk", LOAD_PORTS)
    return rig.far(target, "--drop", PORT)


def both(bench, prefix, sizes, family=4, target=6, datapath="xdp", conns=CONNS, tunnels=1,
         rates=None, directions=("to_target", "to_peer")):
    """Samples PREFIX_DIRECTION_SIZE.  rates: {suffix: (datagrams/s, ...)} instead of saturation."""
    rig = bench.rig
    with bench.scene():
        relay = rig.start_relay(config=config(datapath, busy_polls=bool(rates)), datapath=datapath)
        far = ends(rig, family, target)
        load = rig.load_tunnel(family, (target, PORT), "--conns", conns, "--tunnels", tunnels)
        tids = relay.workers
        facts = {"port": datapath, "conns": conns, "tunnels": conns * tunnels}
        for size in sizes:
            for suffix, tries in (rates or {"": RATES}).items():
                name = f"{prefix}_to_target_{size}{suffix}"
                if "to_target" in directions:
                    out(bench, name, load, far, size, tries, relay.pid, tids,
                        saturated=not rates, **facts)
            if "to_peer" not in directions:
                continue
            raw = rig.load_raw(target, f"target-v{target}", PORT, 9, size, "--ports",
                               ports_file(rig, target))
            for suffix, tries in (rates or {"": None}).items():
                name = f"{prefix}_to_peer_{size}{suffix}"
                commands = [("pace", rate) for rate in tries] if tries else FLOODS
                back(bench, name, load, raw, commands, relay.pid, tids, **facts)
            raw.stop()


def echo(bench, size):
    """Both directions at the same time: the cost of each of the two datagrams."""
    rig = bench.rig
    with bench.scene():
        relay = rig.start_relay(config=config("xdp", busy_polls=False))
        rig.far(4, "--xsk", LOAD_PORTS)
        far = rig.far(6, "--echo", PORT)
        load = rig.load_tunnel(4, (6, PORT), "--conns", CONNS, "--tunnels", 1)

        def attempt(rate):
            before, spent = far.ask("count")["packets"], Spent(relay.pid, relay.workers)
            made = load.ask("send", size, rate, rig.msec)
            if made["corrupted"]:
                raise BenchError(f"echo: {made['corrupted']} datagrams came corrupted")
            done = far.ask("count")["packets"] - before + made["received"]
            return cost_of(spent, done, made["offered"], made["took_ns"],
                           load_us=per_datagram(made, done))
        cheapest(bench, f"tunnel_echo_{size}", RATES, attempt)


def hairpin(bench, size):
    """Between two bound tunnels of the relay, one of a peer of each family; the load is culvert
    bind, which is far slower than the relay."""
    rig = bench.rig
    server, client = rig.lab["peer-v6"], rig.lab["peer-v4"]
    with bench.scene():
        relay = rig.start_relay(config=config("xdp", busy_polls=False))
        for host in (server, client):
            host.pin_cpu = OTHER
        sink = daemon.echo(server, HAIRPIN_PORT, "--sink")
        binds = [daemon.Bind(server, relay, app=daemon.endpoint(server.addr6, HAIRPIN_PORT)).wait()]
        public = binds[0].public(4)
        binds.append(daemon.Bind(client, relay, "--permit", public).wait())
        address = binds[1].local(public)

        def attempt(rate):
            before, spent = relay.ctl("status")["counters"], Spent(relay.pid, relay.workers)
            daemon.load(client, address, oneway=True, rate=rate, size=size,
                        count=int(rate * rig.msec / 1000))
            after = relay.ctl("status")["counters"]
            done = after["hairpin_packets"] - before["hairpin_packets"]
            return cost_of(spent, done, int(rate * rig.msec / 1000), rig.msec * 10**6)
        cheapest(bench, f"tunnel_hairpin_{size}", HAIRPIN_RATES, attempt)
        for host in (server, client):
            host.pin_cpu = None
        for one in (sink, *binds):
            one.stop()


def idle(bench):
    """The share of a core that a worker with connections and tunnels uses without traffic."""
    rig = bench.rig
    with bench.scene():
        relay = rig.start_relay(config=config("xdp"))
        ends(rig, 4, 6)
        rig.load_tunnel(4, (6, PORT), "--conns", CONNS, "--tunnels", 1)
        time.sleep(1)   # after the handshakes
        spent, start = Spent(relay.pid, relay.workers), time.monotonic_ns()
        time.sleep(IDLE_SEC)
        bench.keep("idle_worker_cpu", spent.since()[0] / (time.monotonic_ns() - start), "cores",
                   conns=CONNS, tunnels=CONNS)


def wire(bench, size, rate):
    """What tunnelling adds on the peer's link, acknowledgements included, for each byte of payload,
    beyond the headers of the same datagrams without a tunnel.  The more expensive direction."""
    rig = bench.rig
    with bench.scene():
        relay = rig.start_relay(config=config("xdp"))
        near, far = rig.far(4, "--xsk", LOAD_PORTS), rig.far(6, "--drop", PORT)
        load = rig.load_tunnel(4, (6, PORT), "--conns", 1, "--tunnels", 1)
        raw = rig.load_raw(6, "target-v6", PORT, 9, size, "--ports", ports_file(rig, 6))

        def to_target():
            before = far.ask("count")["packets"]
            load.ask("send", size, rate, rig.msec)
            return far.ask("count")["packets"] - before

        def to_peer():
            load.command("listen", rig.msec + 300)
            raw.ask("pace", rig.msec, rate)
            return load.answer()["received"]

        def frame_bytes():
            """Both ways, by the XDP programs at both ends; nothing else comes to the relay but
            what raw sends."""
            came = relay.ctl("status")["xdp"]["xdp_seen"]["bytes"]
            return came + near.ask("count")["frame_bytes"]

        found = {}
        for direction, elsewhere in ((to_target, 0), (to_peer, size + PLAIN_HEADERS6)):
            before = frame_bytes()
            done = direction()
            if not done:
                raise BenchError("wire overhead: nothing got through")
            added = frame_bytes() - before - done * (size + PLAIN_HEADERS + elsewhere)
            found[direction.__name__] = round(added / (done * size), 4)
        bench.keep(f"wire_overhead_{size}", max(found.values()), "", rate=rate, **found)
