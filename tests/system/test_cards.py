# SPDX-License-Identifier: GPL-3.0-or-later
"""Cards as they are: other receive queues while the relay runs, a large MTU, frames that XDP cannot
hand over.  What the relay does about an interface, it says."""
import subprocess

import pytest

import netns
import topology
from daemon import MODES, is_clean, load, load_of, start_load
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

    lose_sockets(lab, relay, 0)
    assert is_clean(load(client.peer, client.address, count=50))    # by the kernel's sockets
    wait_until(lambda: counters(relay)["datapath_reopened"] == 1)
    assert relay.ctl("status")["xdp"]["xdp_pass_no_socket"]["packets"] > 0
    assert links(relay)["v4"]["mode"] == "copy"
    assert is_clean(load(client.peer, client.address, count=300))

    lose_sockets(lab, relay, 0)
    load(client.peer, client.address, count=50, wait=300)
    wait_until(lambda: links(relay)["v4"]["mode"] == "generic")
    assert fallbacks(links(relay)["v4"])[-1] == ("copy", "generic")
    assert "without an AF_XDP socket" in links(relay)["v4"]["fallbacks"][-1]["because"]
    assert is_clean(load(client.peer, client.address, count=300))
    assert is_clean(load(bystander.peer, bystander.address, count=300))
    assert not [name for name, n in relay.ctl("drops")["xdp"].items() if n["packets"]]
