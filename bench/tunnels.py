# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay's cost for each datagram: both directions, sizes, families, ports, rates."""
import time

from floors import FLOODS, back, out
from rig import LOAD_PORTS, PORT, Spent, daemon

RATES = (400000, 600000, 1000000)    # the last is more than the load makes on its core
CONNS = 10
IDLE_SEC = 4


def config(datapath, workers=1, looks_on=True):
    """looks_on=False: a worker that is not saturated sleeps at once, so that its CPU time is work."""
    text = daemon.CONFIG % {"datapath": datapath} + f"workers = {workers}\n"
    return text if looks_on else text + "io { look-usec = 0 }\n"


def ports_file(rig, target_family):
    """The relay's ports toward the targets, one a line."""
    tunnels = rig.relay.ctl("tunnels")["tunnels"]
    path = rig.folder / f"ports-{target_family}"
    path.write_text("".join(one["local"].rpartition(":")[2] + "\n" for one in tunnels))
    return path


def ends(rig, family, target):
    """The far ends of a pair of families.  Returns the one that counts what targets get."""
    if family == target:
        return rig.far(family, "--xsk", LOAD_PORTS, "--drop", PORT)
    rig.far(family, "--xsk", LOAD_PORTS)
    return rig.far(target, "--drop", PORT)


def both(bench, prefix, sizes, family=4, target=6, datapath="xdp", conns=CONNS, tunnels=1,
         rates=None, directions=("to_target", "to_peer")):
    """Samples PREFIX_DIRECTION_SIZE.  rates: {suffix: (datagrams/s, ...)} instead of saturation."""
    rig = bench.rig
    with bench.scene():
        relay = rig.start_relay(config=config(datapath, looks_on=bool(rates)), datapath=datapath)
        far = ends(rig, family, target)
        load = rig.load_tunnel(family, (target, PORT), "--conns", conns, "--tunnels", tunnels)
        tids = relay.workers
        facts = {"port": datapath, "conns": conns, "tunnels": conns * tunnels}
        for size in sizes:
            for suffix, tries in (rates or {"": RATES}).items():
                name = f"{prefix}_to_target_{size}{suffix}"
                if "to_target" in directions:
                    out(bench, name, load, far, size, tries, relay.pid, tids, **facts)
            if "to_peer" not in directions:
                continue
            raw = rig.load_raw(target, f"target-v{target}", PORT, 9, size, "--ports",
                               ports_file(rig, target))
            for suffix, tries in (rates or {"": None}).items():
                name = f"{prefix}_to_peer_{size}{suffix}"
                commands = [("pace", rate) for rate in tries] if tries else FLOODS
                back(bench, name, load, raw, commands, relay.pid, tids, **facts)
            raw.stop()


def idle(bench):
    """Share of a core that a worker with connections and tunnels takes when nothing comes."""
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
