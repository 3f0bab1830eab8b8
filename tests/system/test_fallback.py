# SPDX-License-Identifier: GPL-3.0-or-later
"""Datapath modes: each interface falls back by itself, with a reason, and then carries traffic."""
import sys

import pytest

import topology
from daemon import is_clean, load
from netns import LabError
from test_matrix import ROWS

TOPOLOGY = topology.matrix(relay_queues=2)
CONFIG = ('datapath = "%s"\ninterfaces = {%s}\nlistener main { port = %d }\n'
          'metrics { listen = "127.0.0.1:%d" }\n'
          'policy { allow = {"198.18.0.0/15", "2001:db8::/32"} }\n')
RAISED = ["setpriv", "--bounding-set=-sys_resource,-ipc_lock", "prlimit", "--memlock=1048576"]
UNPRIVILEGED = ["setpriv", "--bounding-set=-sys_admin,-bpf,-perfmon,-net_admin"]

# Holds one queue of an interface, as another AF_XDP program would, until it is killed.
HOLD = """
import ctypes, mmap, socket, struct, sys, time
AF_XDP, SOL_XDP, XDP_COPY = 44, 283, 2
RX_RING, UMEM_REG, FILL_RING, COMPLETION_RING = 2, 4, 5, 6
memory = mmap.mmap(-1, 16 * 4096)
start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
holder = socket.socket(AF_XDP, socket.SOCK_RAW)
holder.setsockopt(SOL_XDP, UMEM_REG, struct.pack("=QQIIII", start, len(memory), 4096, 0, 0, 0))
for ring in (FILL_RING, COMPLETION_RING, RX_RING):
    holder.setsockopt(SOL_XDP, ring, struct.pack("=I", 16))
where = struct.pack("=HHIII", AF_XDP, XDP_COPY, socket.if_nametoindex(sys.argv[1]),
                    int(sys.argv[2]), 0)
if ctypes.CDLL(None, use_errno=True).bind(holder.fileno(), where, len(where)):
    sys.exit(f"bind: error {ctypes.get_errno()}")
print("ready", flush=True)
time.sleep(600)
"""

READ = """
import sys, urllib.request
print(urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/metrics", timeout=60).read().decode())
"""


def config(datapath, interfaces=("v4", "v6"), port=443):
    return CONFIG % (datapath, ", ".join(f'"{name}"' for name in interfaces), port, 9000 + port)


def links(relay):
    return {link["name"]: link for link in relay.ctl("status")["interfaces"]}


def fallbacks(link):
    return [(one["from"], one["to"]) for one in link["fallbacks"]]


def logged(relay, name):
    """The log lines of an interface's fallbacks, in order."""
    return [line for line in relay.proc.text().splitlines()
            if "datapath_fallback" in line and f"if={name} " in line]


def metrics(relay):
    """{line up to its value: value}"""
    text = relay.host.run([sys.executable, "-c", READ, 9000 + relay.port]).stdout
    return dict(line.rsplit(" ", 1) for line in text.splitlines()
                if line and not line.startswith("#"))


def assert_every_fallback_is_reported(lab, relay):
    reported = metrics(relay)
    assert reported["culvert_xdp_loaded"] == "1"
    said = lab["relay"].run([lab.build / "culvertctl", "--run-dir", relay.run, "status"]).stdout
    for name, link in links(relay).items():
        for mode in ("zerocopy", "copy", "generic", "kernel"):
            assert reported[f'culvert_interface_mode{{interface="{name}",mode="{mode}"}}'] == \
                str(int(mode == link["mode"]))
        assert len(logged(relay, name)) == len(link["fallbacks"])
        for one, line in zip(link["fallbacks"], logged(relay, name)):
            assert f'from={one["from"]} to={one["to"]} because="{one["because"]}"' in line
            change = f'from {one["from"]} to {one["to"]}: {one["because"]}\n'
            assert f"{name}: fell back {change}" in said


def assert_all_pairs_work(lab, relay, forward, targets):
    for peer, target in ROWS.values():
        client = forward(peer, relay, targets[target])
        figures = load(lab[peer], client.address, size=1000, count=300, rate=3000)
        assert is_clean(figures), (peer, target, figures)
        client.stop()


def test_a_driver_without_zero_copy_leaves_its_interface_on_copy(lab, start_relay):
    relay = start_relay(config=config("auto"))
    for link in links(relay).values():
        assert (link["mode"], link["queues"]) == ("copy", 2)
        assert fallbacks(link) == [("zerocopy", "copy")]
        assert "the driver takes no zero-copy socket" in link["fallbacks"][0]["because"]
    assert_every_fallback_is_reported(lab, relay)


@pytest.fixture
def without_native_xdp(lab):
    """An interface of the relay's whose driver has no native XDP, with addresses of its own."""
    host = lab["relay"]
    host.ip("link", "add", "mac0", "link", "v4", "type", "macvlan", "mode", "private")
    host.run(["ethtool", "-K", "mac0", "tx", "off", "gro", "off"], check=False)
    host.ip("addr", "del", f"{host.addr4}/24", "dev", "v4")
    host.ip("addr", "add", f"{host.addr4}/24", "dev", "mac0")
    host.ip("link", "set", "mac0", "up")
    yield "mac0"
    host.ip("link", "del", "mac0")
    host.ip("addr", "add", f"{host.addr4}/24", "dev", "v4")
    for peer in ("peer-v4", "target-v4"):
        lab[peer].ip("neigh", "flush", "dev", "v4")


def test_an_interface_without_native_xdp_runs_the_generic_kind(
        lab, start_relay, forward, targets, without_native_xdp):
    for peer in ("peer-v4", "target-v4"):
        lab[peer].ip("neigh", "flush", "dev", "v4")
    relay = start_relay(config=config("auto", (without_native_xdp, "v6")))
    found = links(relay)
    assert {name: link["mode"] for name, link in found.items()} == {"mac0": "generic", "v6": "copy"}
    assert fallbacks(found["mac0"]) == [("zerocopy", "generic")]
    assert "no native XDP" in found["mac0"]["fallbacks"][0]["because"]
    assert_every_fallback_is_reported(lab, relay)
    assert_all_pairs_work(lab, relay, forward, targets)
    relay.stop()
    with pytest.raises(LabError, match="datapath = xdp, but mac0 only supports generic; "
                                       "the driver has no native XDP"):
        start_relay(config=config("xdp", (without_native_xdp,)))


def test_an_interface_with_another_xdp_program_falls_back_to_kernel_sockets(
        lab, start_relay, forward, targets):
    start_relay(config=config("xdp", ("v4",)))
    relay = start_relay(config=config("auto", port=4443), port=4443)
    found = links(relay)
    assert {name: link["mode"] for name, link in found.items()} == {"v4": "kernel", "v6": "copy"}
    assert fallbacks(found["v4"]) == [("zerocopy", "generic"), ("generic", "kernel")]
    assert all("another XDP program" in s["because"] for s in found["v4"]["fallbacks"])
    assert_every_fallback_is_reported(lab, relay)
    assert_all_pairs_work(lab, relay, forward, targets)
    for datapath in ("zerocopy", "xdp", "generic"):
        with pytest.raises(LabError, match=f"datapath = {datapath}, but v4 only supports kernel; "
                                           "another XDP program is attached to it"):
            start_relay(config=config(datapath, port=4444), port=4444)
    assert is_clean(load(lab["peer-v4"], forward("peer-v4", relay, targets["target-v6"]).address,
                         count=100))


def test_without_lockable_packet_memory_the_relay_uses_kernel_sockets(
        lab, start_relay, forward, targets):
    relay = start_relay(config=config("auto"), wrapper=RAISED)
    for link in links(relay).values():
        assert link["mode"] == "kernel" and link["fallbacks"][-1]["to"] == "kernel"
        assert "1024 KiB of packet memory may be locked (RLIMIT_MEMLOCK" in \
            link["fallbacks"][-1]["because"]
    assert_every_fallback_is_reported(lab, relay)
    assert_all_pairs_work(lab, relay, forward, targets)
    relay.stop()
    with pytest.raises(LabError, match="datapath = xdp, but v4 only supports .*RLIMIT_MEMLOCK"):
        start_relay(config=config("xdp"), wrapper=RAISED)


def test_a_relay_that_may_not_load_programs_falls_back_to_kernel_sockets(
        lab, start_relay, forward, targets):
    relay = start_relay(config=config("auto"), wrapper=UNPRIVILEGED)
    status = relay.ctl("status")
    assert status["interfaces"] == [] and "CAP_BPF" in status["no_xdp_because"]
    said = lab["relay"].run([lab.build / "culvertctl", "--run-dir", relay.run, "status"]).stdout
    assert f'no XDP:        {status["no_xdp_because"]}' in said
    assert metrics(relay)["culvert_xdp_loaded"] == "0"
    assert relay.proc.text().count("datapath_fallback") == 1
    assert_all_pairs_work(lab, relay, forward, targets)
    relay.stop()
    for datapath in ("zerocopy", "xdp", "generic"):
        with pytest.raises(LabError, match="culvertd: .*CAP_BPF"):
            start_relay(config=config(datapath), wrapper=UNPRIVILEGED)


def test_a_queue_held_by_another_program_makes_the_whole_interface_fall_back(
        lab, start_relay, forward, targets):
    holder = lab["relay"].start([sys.executable, "-c", HOLD, "v6", 1], name="holder")
    holder.wait_line("^ready")
    relay = start_relay(config=config("auto"))
    found = links(relay)
    assert {name: link["mode"] for name, link in found.items()} == {"v4": "copy", "v6": "kernel"}
    assert fallbacks(found["v6"]) == [("zerocopy", "copy"), ("copy", "generic"), ("generic", "kernel")]
    assert "queue 1: Device or resource busy" in found["v6"]["fallbacks"][1]["because"]
    assert_every_fallback_is_reported(lab, relay)
    # No socket of the first try is left to swallow what now is the kernel's.
    assert_all_pairs_work(lab, relay, forward, targets)
    relay.stop()
    holder.kill()
    assert {link["mode"] for link in links(start_relay(config=config("auto"))).values()} == {"copy"}
