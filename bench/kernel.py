# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's work for the relay outside its threads: the XDP program and receiving, which under veth
run on the sender's core."""
import contextlib
from pathlib import Path

import tunnels
from rig import LOAD_PORTS, PORT, BenchError

STATS = Path("/proc/sys/kernel/bpf_stats_enabled")
GENTLE = ("flood", 64, 1024)    # no more than the relay can process
RATE = 100000


@contextlib.contextmanager
def program_times():
    """Have the kernel measure the run time of BPF programs, which costs about 20 ns each time."""
    was = STATS.read_text(encoding="ascii")
    STATS.write_text("1", encoding="ascii")
    try:
        yield
    finally:
        STATS.write_text(was, encoding="ascii")


def runs(rig, device):
    """(times, ns) of the XDP program on a link of the relay."""
    link = rig.relay_host.json(["ip", "-j", "link", "show", device])[0]
    found = rig.relay_host.json(["bpftool", "-j", "prog", "show", "id", link["xdp"]["prog"]["id"]])
    return found.get("run_cnt", 0), found.get("run_time_ns", 0)


def sender(load, msec):
    """CPU of a flood for each frame, in us."""
    made = load.ask(GENTLE[0], msec, *GENTLE[1:])
    return made["cpu_ns"] / 1000 / max(made["sent"], 1)


def shares(bench, size):
    """Samples xdp_conn (from peers), xdp_context (from targets), receive_elsewhere."""
    rig = bench.rig
    with bench.scene():
        rig.start(rig.relay_host, rig.tools / "load/far", "v6", "--drop", 9)
        nothing = sender(rig.load_raw(6, "target-v6", PORT, 9, size), rig.msec)
    with bench.scene():
        rig.start_relay(config=tunnels.config("xdp", busy_polls=False))
        rig.far(4, "--xsk", LOAD_PORTS)
        rig.far(6, "--drop", PORT)
        load = rig.load_tunnel(4, (6, PORT), "--conns", tunnels.CONNS, "--tunnels", 1)
        raw = rig.load_raw(6, "target-v6", PORT, 9, size, "--ports", tunnels.ports_file(rig, 6))

        def to_target():
            load.ask("send", size, RATE, rig.msec)

        def to_peer():
            load.command("listen", rig.msec + 300)
            raw.ask("pace", rig.msec, RATE)
            load.answer()

        with program_times():
            for name, device, direction in (("conn", "v4", to_target), ("context", "v6", to_peer)):
                before = runs(rig, device)
                direction()
                count, took = (b - a for a, b in zip(before, runs(rig, device)))
                if not count:
                    raise BenchError("the kernel does not count the run time of XDP programs")
                bench.keep(f"xdp_{name}_{size}", took / 1000 / count, datagrams=count)
        load.command("listen", rig.msec + 300)
        there = sender(raw, rig.msec)
        load.answer()
    bench.keep(f"receive_elsewhere_{size}", max(there - nothing, 0), sender_us=round(there, 3),
               dropped_us=round(nothing, 3))
