# SPDX-License-Identifier: GPL-3.0-or-later
"""Cards as they are: other receive queues while the relay runs, a large MTU, frames that XDP cannot
hand over.  What the relay does about an interface, it says."""
import re
import subprocess
from pathlib import Path

import pytest

import netns
import topology
from daemon import MODES, endpoint, is_clean, load, load_of, start_load
from lab import port_of
from netns import wait_until
from test_fallback import assert_all_pairs_work, config, fallbacks, links, logged

TOPOLOGY = topology.matrix(relay_queues=4, mtu=9001)
TWO_WORKERS = "workers = 2\n"


def counters(relay):
    return relay.ctl("status")["counters"]


def set_queues(lab, name, count):
    """ethtool -L on an interface of the relay.  veth wants no more queues to send at the other end
    than there are to receive."""
    host = lab["relay"]
    link = host.spec.link(name)
    other = ["nsenter", f"--net={netns.NETNS / netns.namespace(lab.name, link.network)}", "ethtool", "-L",
             port_of(host.spec, link), "tx", str(count)]
    own = ["ethtool", "-L", name, "rx", str(count), "tx", str(count)]
    now = int(host.run(["ethtool", "-l", name]).stdout.rpartition("RX:")[2].split()[0])
    steps = [lambda: subprocess.run(other, check=True), lambda: host.run(own)]
    for step in steps if count < now else reversed(steps):
        step()


def pin(relay, name):
    found, = [one for one in netns.pins_named(relay.run.name) if one.name == name]
    return found


def words(number, size):
    return list(number.to_bytes(size, "little"))


def note_faults(lab, relay, name, no_socket=0, no_meta=0):
    """As the program notes what it could not hand over of an interface."""
    lab["relay"].run(["bpftool", "map", "update", "pinned", pin(relay, "faults"), "key",
                      *words(links(relay)[name]["ifindex"], 4), "value", *words(no_socket, 8),
                      *words(no_meta, 8)])


def lose_sockets(lab, relay, number):
    """Take the sockets of an interface out of the program's map."""
    for queue in range(4):
        lab["relay"].run(["bpftool", "map", "delete", "pinned", pin(relay, "xsks"), "key",
                          *words(64 * number + queue, 4)], check=False)


@pytest.mark.parametrize("wanted", ["xdp", "generic", "sock"])
def test_interfaces_of_mtu_9001_carry_tunnels(lab, start_relay, forward, targets, wanted):
    relay = start_relay(config=config(wanted))
    for link in links(relay).values():
        assert (link["mode"], link["fragments"], link["mtu"]) == (
            MODES[wanted], wanted == "xdp", 9001)
    assert_all_pairs_work(lab, relay, forward, targets)


def test_the_sockets_follow_the_receive_queues(lab, start_relay, forward, targets):
    # Only upwards: the kernel refuses to take a queue away that has an AF_XDP socket.  To those that
    # come later veth gives no program, until it is attached again.
    set_queues(lab, "v4", 2)
    relay = start_relay(config=config("auto") + TWO_WORKERS)
    client = forward("peer-v4", relay, targets["target-v4"])
    bystander = forward("peer-v6", relay, targets["target-v6"])
    assert links(relay)["v4"]["queues"] == 2
    assert is_clean(load(client.peer, client.address, count=100))

    set_queues(lab, "v4", 4)
    wait_until(lambda: links(relay)["v4"]["queues"] == 4)
    sockets = [s for w in relay.ctl("workers")["workers"] for s in w["sockets"]]
    assert sorted(s["queue"] for s in sockets if s["interface"] == "v4") == [0, 1, 2, 3]
    assert counters(relay)["datapath_reopened"] == 1
    assert 'because="it has 4 receive queues, and had 2"' in relay.proc.text()
    assert links(relay)["v4"]["mode"] == "copy"
    for one in (client, bystander):
        assert is_clean(load(one.peer, one.address, count=300))


def test_an_interface_that_gets_enough_receive_queues_is_served_by_xdp(
        lab, start_relay, forward, targets):
    set_queues(lab, "v4", 1)
    relay = start_relay(config=config("auto") + TWO_WORKERS)
    link = links(relay)["v4"]
    assert link["mode"] == "kernel" and "1 receive queue for 2 workers" in \
        link["fallbacks"][-1]["because"]
    client = forward("peer-v4", relay, targets["target-v4"])
    assert is_clean(load(client.peer, client.address, count=100))

    set_queues(lab, "v4", 4)
    wait_until(lambda: links(relay)["v4"]["mode"] == "copy")
    assert links(relay)["v4"]["queues"] == 4
    assert 'because="it has 4 receive queues now' in relay.proc.text()
    assert is_clean(load(client.peer, client.address, count=300))
    again = forward("peer-v4", relay, targets["target-v4"])
    before = relay.ctl("status")["xdp"]["xdp_steer_context"]["packets"]
    assert is_clean(load(again.peer, again.address, count=300))
    assert relay.ctl("status")["xdp"]["xdp_steer_context"]["packets"] - before >= 300


def switch_offset(code):
    """Where in an object file the program has its switch for drivers without metadata."""
    def readelf(option):
        return subprocess.run(["readelf", "-W", option, code], capture_output=True, text=True,
                              check=True).stdout

    symbol, = (line.split() for line in readelf("-s").splitlines()
               if line.endswith(" clv_has_no_metadata"))
    section = re.search(rf"\[ *{symbol[6]}\] \.rodata +PROGBITS +\w+ (\w+)", readelf("-S"))
    return int(section.group(1), 16) + int(symbol[1], 16)


def without_metadata(build, folder):
    """A copy of culvertd whose XDP programs do as on a driver without metadata."""
    program = bytearray((build / "culvertd").read_bytes())
    for code in (build / "bpf").glob("culvert*.bpf.o"):
        at = program.index(code.read_bytes()) + switch_offset(code)
        assert program[at] == 0
        program[at] = 1
    copy = folder / "culvertd"
    copy.write_bytes(program)
    copy.chmod(0o755)
    return copy


def constants_of_program(relay):
    """Of the program that a relay has loaded: what bpftool shows of its read-only data."""
    maps = [info.read_text() for info in (Path("/proc") / str(relay.proc.pid) / "fdinfo").iterdir()]
    ids = [found.group(1) for found in (re.search(r"^map_id:\s*(\d+)$", one, re.M) for one in maps
                                        if re.search(r"^frozen:\s*1$", one, re.M)) if found]
    return "".join(relay.host.run(["bpftool", "map", "dump", "id", one]).stdout for one in ids)


@pytest.mark.parametrize("wanted", ["xdp", "generic"])
def test_a_driver_without_metadata_carries_tunnels(
        lab, start_relay, forward, targets, tmp_path, wanted):
    relay = start_relay(config=config(wanted), program=without_metadata(lab.build, tmp_path))
    assert re.search(r'"clv_has_no_metadata": (true|1)\b', constants_of_program(relay))
    assert_all_pairs_work(lab, relay, forward, targets)
    xdp = relay.ctl("status")["xdp"]
    assert xdp["xdp_steer_conn"]["packets"] > 300 and xdp["xdp_steer_context"]["packets"] > 300
    assert not xdp["xdp_pass_no_meta"]["packets"]
    assert {link["mode"] for link in links(relay).values()} == {MODES[wanted]}


def test_rx_vlan_offload_is_said_and_followed(lab, start_relay, forward, targets):
    relay = start_relay(config=config("auto"))
    client = forward("peer-v4", relay, targets["target-v4"])
    assert not any(link["rx_vlan_offload"] for link in links(relay).values())
    lab["relay"].run(["ethtool", "-K", "v4", "rxvlan", "on"])
    wait_until(lambda: links(relay)["v4"]["rx_vlan_offload"])
    assert 'because="its rx-vlan-offload is on now"' in relay.proc.text()
    said = lab["relay"].run([lab.build / "culvertctl", "--run-dir", relay.run, "status"]).stdout
    assert "v4: rx-vlan-offload is on" in said and "v6: rx-vlan-offload" not in said
    assert is_clean(load(client.peer, client.address, count=300))
    lab["relay"].run(["ethtool", "-K", "v4", "rxvlan", "off"])
    wait_until(lambda: not links(relay)["v4"]["rx_vlan_offload"])


def test_frames_without_room_for_metadata_make_the_interface_fall_back(
        lab, start_relay, forward, targets):
    relay = start_relay(config=config("auto"))
    bystander = forward("peer-v6", relay, targets["target-v6"])
    for number, (mode, way) in enumerate(
            (("generic", ("copy", "generic")), ("kernel", ("generic", "kernel"))), 1):
        client = forward("peer-v4", relay, targets["target-v4"])
        assert is_clean(load(client.peer, client.address, count=100))
        busy = start_load(client.peer, client.address, count=1500, size=600, rate=500)
        note_faults(lab, relay, "v4", no_meta=10 * number)
        wait_until(lambda: links(relay)["v4"]["mode"] == mode)
        link = links(relay)["v4"]
        assert fallbacks(link)[-1] == way
        assert "without room for metadata" in link["fallbacks"][-1]["because"]
        assert f'from={way[0]} to={way[1]} because="' in logged(relay, "v4")[-1]
        assert counters(relay)["datapath_stepped_down"] == number
        load_of(busy)
        client = forward("peer-v4", relay, targets["target-v4"])
        assert is_clean(load(client.peer, client.address, count=300))
    assert links(relay)["v6"]["mode"] == "copy"
    assert is_clean(load(bystander.peer, bystander.address, count=300))


def test_queues_without_a_socket_get_new_ones_and_then_the_interface_falls_back(
        lab, start_relay, forward, targets):
    relay = start_relay(config=config("auto"))
    client = forward("peer-v4", relay, targets["target-v4"])
    bystander = forward("peer-v6", relay, targets["target-v6"])
    assert is_clean(load(client.peer, client.address, count=100))

    # Both ways lead through the kernel in the meantime; what is lost was to leave by AF_XDP while the
    # sockets were opened.
    lose_sockets(lab, relay, 0)
    figures = load(client.peer, client.address, count=600, rate=300)
    assert figures["lost"] <= sum(relay.ctl("drops")["total"].values()) + \
        sum(figures["overflows"].values()), figures
    assert figures["received"] > 400, figures
    wait_until(lambda: counters(relay)["datapath_reopened"] == 1)
    xdp = relay.ctl("status")["xdp"]
    assert xdp["xdp_pass_no_socket"]["packets"] > 0 and counters(relay)["rx_kernel_packets"] > 0
    assert links(relay)["v4"]["mode"] == "copy"
    assert is_clean(load(client.peer, client.address, count=300))

    lose_sockets(lab, relay, 0)
    assert load(client.peer, client.address, count=100, wait=300)["received"] > 0
    wait_until(lambda: links(relay)["v4"]["mode"] == "generic")
    assert fallbacks(links(relay)["v4"])[-1] == ("copy", "generic")
    assert "without an AF_XDP socket" in links(relay)["v4"]["fallbacks"][-1]["because"]
    assert is_clean(load(client.peer, client.address, count=300))
    assert is_clean(load(bystander.peer, bystander.address, count=300))
    assert not any(n["packets"] for n in relay.ctl("drops")["xdp"].values())


# A target that hears of a tunnel, sends it datagrams of 8000 bytes, and then small ones.
LARGE = """
import socket, sys, time
is_v6, port = sys.argv[1] == "6", int(sys.argv[2])
with socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM) as one:
    one.bind(("::" if is_v6 else "0.0.0.0", port))
    one.setsockopt(*((41, 23, 2) if is_v6 else (0, 10, 2)))    # never in fragments
    print("ready", flush=True)
    one.connect(one.recvfrom(65536)[1])
    for payload in (*[bytes(8000)] * 20, *[b"last"] * 3):
        try:
            one.send(payload)
        except OSError:    # that of the path, once from ICMP and then for each
            pass
        time.sleep(0.05)
    print("path mtu", one.getsockopt(*((41, 24) if is_v6 else (0, 14))), flush=True)
    time.sleep(60)
"""
SAY = """
import socket, sys
host, _, port = sys.argv[1].rpartition(":")
host = host.strip("[]")
with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as one:
    one.connect((host, int(port)))
    one.send(b"here")
    print("got", one.recv(65536), flush=True)
"""


@pytest.mark.parametrize("wanted", ["xdp", "generic", "sock"])
@pytest.mark.parametrize("target", ["target-v4", "target-v6"])
def test_what_no_worker_can_hold_is_answered_with_icmp_too_big(
        lab, start_relay, forward, wanted, target):
    relay = start_relay(config=config(wanted))
    host, port = lab[target], 7400 + ["xdp", "generic", "sock"].index(wanted)
    is_v6 = host.addr6 is not None
    sender = host.start(["/usr/bin/python3", "-c", LARGE, "6" if is_v6 else "4", port],
                        name="sender")
    sender.wait_line("^ready")
    client = forward("peer-v4", relay, endpoint(host.addr6 or host.addr4, port))
    app = client.peer.start(["/usr/bin/python3", "-c", SAY, client.address], name="app")
    try:
        assert 1200 < int(sender.wait_line(r"^path mtu (\d+)$", 60).group(1)) <= 1500
        app.wait_line("^got b'last'")
        now = counters(relay)
        assert now["drop_too_big_peer"] >= 1 and now["icmp_too_big_sent"] >= 1
        if wanted != "sock":
            xdp = relay.ctl("status")["xdp"]
            assert xdp["xdp_pass_large"]["packets"] == now["drop_too_big_peer"]
    finally:
        for one in (app, sender):
            one.kill()
        host.run(["ip", "-6" if is_v6 else "-4", "route", "flush", "cache"])
