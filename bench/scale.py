# SPDX-License-Identifier: GPL-3.0-or-later
"""Many tunnels, many connections, two workers; what they take of memory, and how fast they come."""
import re
from pathlib import Path

import tunnels
from cost import out
from rig import CORE, LOAD_PORTS, OTHER, PORT, BenchError, Lab, Rig, Spent, topology

TUNNELS = ((1, 1), (10, 10), (10, 100), (10, 1000))     # connections, tunnels of each
CONNS = (10, 100, 1000)
RATE_MOST, RATE_STEP, LOSS = 10**6, 20000, 0.001
IDLE_CONNS, WARM_CONNS = 1000, 50
IDLE_TUNNELS = (10, 1000)


def many_tunnels(bench):
    for conns, each in TUNNELS:
        tunnels.both(bench, f"scale_tunnels_{conns * each}", (1200,), conns=conns, tunnels=each)


def many_conns(bench):
    for conns in CONNS:
        tunnels.both(bench, f"scale_conns_{conns}", (1200,), conns=conns, tunnels=1)


def capacity(bench, size):
    """The highest rate toward targets of which less than LOSS is lost.  The load shares the machine;
    load_limited is true where it could not offer more."""
    rig = bench.rig
    with bench.scene():
        relay = rig.start_relay(config=tunnels.config("xdp"))
        far = tunnels.ends(rig, 4, 6)
        load = rig.load_tunnel(4, (6, PORT), "--conns", tunnels.CONNS, "--tunnels", 1)
        low, high, limited = 0, RATE_MOST, False
        while high - low > RATE_STEP:
            rate = (low + high) // 2
            before, spent = far.ask("count")["packets"], Spent(relay.pid, relay.workers)
            made = load.ask("send", size, rate, rig.msec)
            done = far.ask("count")["packets"] - before
            made_rate = made["offered"] * 1000 / rig.msec
            if made_rate < rate * 0.99:
                limited = True
            if made_rate >= rate * 0.99 and done >= made["offered"] * (1 - LOSS):
                low, busy = rate, spent.since()[0] / made["took_ns"]
            else:
                high = rate
        if not low:
            raise BenchError(f"capacity: not even {RATE_STEP} datagrams a second without loss")
        bench.keep(f"capacity_to_target_{size}", low, "/s", busy=round(busy, 2),
                   load_limited=limited, goodput_mbit_s=round(low * size * 8 / 1e6))


def resident(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return int(re.search(r"^Rss:\s*(\d+)", text, re.M).group(1)) * 1024


def memory(bench):
    """The memory of idle connections and idle tunnels in the relay."""
    rig = bench.rig
    with bench.scene():
        relay = rig.start_relay(config=tunnels.config("xdp"))
        for family in (4, 6):
            rig.far(family, "--xsk", LOAD_PORTS, "--drop", PORT)

        def grown(family, conns, each):
            before = resident(relay.pid)
            load = rig.load_tunnel(family, (4, PORT), "--conns", conns, "--tunnels", each)
            load.ask("listen", 300)
            return resident(relay.pid) - before, load

        _, warm = grown(6, WARM_CONNS, 1)   # objects that are made once
        warm.stop()
        conns, _ = grown(4, IDLE_CONNS, 0)
        each = max(conns / IDLE_CONNS, 0)
        bench.keep("bytes_per_idle_connection", each, "B", conns=IDLE_CONNS)
        more, _ = grown(6, *IDLE_TUNNELS)
        number = IDLE_TUNNELS[0] * IDLE_TUNNELS[1]
        bench.keep("bytes_per_idle_tunnel", max(more - IDLE_TUNNELS[0] * each, 0) / number, "B",
                   tunnels=number)


def handshakes(bench):
    """Full handshakes, each closed at once: CPU time of control.  Control has a core to itself, and
    the clients, as expensive as the relay, have the other."""
    rig = bench.rig
    with bench.scene():
        relay = rig.start_relay(config=tunnels.config("xdp"), cpu=OTHER, others=CORE)
        far = rig.far(4, "--xsk", LOAD_PORTS)
        load = rig.load_tunnel(4, (4, PORT), "--conns", 0)

        def wire():
            return (relay.ctl("status")["xdp"]["xdp_seen"]["bytes"],
                    far.ask("count")["frame_bytes"])

        load.ask("shake", 300)
        before, spent = wire(), Spent(relay.pid, relay.others)
        made = load.ask("shake", rig.msec * 2, timeout=60)
        done, cpu, after = made["handshakes"], spent.since()[0], wire()
        if made["failed"] or done < 10:
            raise BenchError(f"handshakes: {made}")
        bench.keep("handshakes_per_core_s", done * 1e9 / cpu, "/s", done=done,
                   cpu_us=round(cpu / 1000 / done, 1), failed=made["failed"],
                   per_sec=int(done * 1e9 / made["took_ns"]), client_us=round(
                       made["cpu_ns"] / 1000 / done, 1), p50_us=made["p50_us"],
                   bytes_in=(after[0] - before[0]) // done,
                   bytes_out=(after[1] - before[1]) // done)


def two_workers(bench):
    """Two queues and a worker for each, on cores that they share with the load."""
    near = bench.rig
    with Lab(topology.matrix(relay_queues=2), build=near.lab.build) as lab:
        bench.rig = rig = Rig(lab, near.folder, near.msec)
        try:
            with bench.scene():
                relay = rig.start_relay(config=tunnels.config("xdp", workers=2, busy_polls=False))
                far = tunnels.ends(rig, 4, 6)
                load = rig.load_tunnel(4, (6, PORT), "--conns", tunnels.CONNS, "--tunnels", 1,
                                       "--queues", 2)
                out(bench, "workers_2_to_target_1200", load, far, 1200, tunnels.RATES, relay.pid,
                    relay.workers, workers=2)
                shares = [Spent(relay.pid, [tid]).start[0] for tid in relay.workers]
                bench.last["shares"] = [round(one / sum(shares), 2) for one in shares]
        finally:
            bench.rig = near
