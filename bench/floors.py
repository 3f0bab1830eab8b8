# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's cost of moving a UDP datagram from one link of the relay to the other without a relay:
in XDP, over AF_XDP, over sockets."""
import re

from cost import FLOODS, flooded
from rig import CORE, NICE, PEER_PORT, PORT, daemon, prefer, set_cpu

OUT_PORT = 9001         # of the forwarder, toward the target


# ---- XDP alone ----

def xdp(bench):
    """Drop, redirect, and 4->6 with redirect: the run time of the program by the kernel's count."""
    rig = bench.rig
    for what in ("drop", "redirect", "rewrite"):
        with bench.scene():
            rig.far(6, "--drop", PORT)
            floor = rig.start(rig.relay_host, rig.tools / "floor/xdp_floor", what, "v4", "v6",
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
    """handed: the far end redirects datagrams to an AF_XDP socket, as for a load that has to
    acknowledge.  veth charges that to the sender; the difference to dropping is its cost."""
    rig = bench.rig
    with bench.scene():
        far = rig.far(6, *(("--xsk", f"{PORT}-{PORT}", "--drain") if handed
                           else ("--drop", PORT)))
        forwarder = rig.relay_host.start(
            [rig.tools / "floor/xsk_forward", "-b", 64, "v4", rig.mac("peer-v4", 4), "v6",
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
            host, rig.tools / "floor/udp_forward", *(["--gso"] if gso else []),
            daemon.endpoint(host.addr4, PORT), daemon.endpoint(host.addr6, OUT_PORT),
            daemon.endpoint(rig.lab["target-v6"].addr6, PORT), cpu=CORE, batch=True)
        load = rig.load_raw(4, "peer-v4", PEER_PORT, PORT, size)
        before = forwarder.ask("count")
        flooded(bench, name or f"floor_udp{'_gso' if gso else ''}_{size}", forwarder.pid, far,
                load, commands)
        after = forwarder.ask("count")
        bench.last["batch"] = round((after["to_target"] - before["to_target"])
                                    / max(after["batches"] - before["batches"], 1), 1)
