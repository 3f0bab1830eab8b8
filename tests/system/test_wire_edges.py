# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network may legally put around a datagram, and the ways it may come: all arrive, on every data
path alike.

The matrix, and a relay with a third link that it does not serve:   back ===== relay
"""
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

import daemon
import losses
import topology
from daemon import exchange, is_clean, load
from netns import wait_until
from test_bound import wake_ups
from test_egress_input import INJECT, TAP, TARGETS, Tap, injectors, tap  # noqa: F401 (fixtures)

DATAPATHS = ("xdp", "generic", "sock")
SLOW_PATH = 50    # datagrams a second to one tunnel
RELAY_CONFIG = daemon.CONFIG + (
    f'interfaces = {{"v4", "v6"}}\nlimits {{ slow-path-per-sec = {SLOW_PATH} }}\n')


def with_back_door():
    one = topology.matrix()
    relay = one.host("relay")
    hosts = (replace(relay, links=(*relay.links,
                                   topology.Link("back", "yard", "198.18.5.1/24", "2001:db8:5::1/64"))),
             topology.Host("back", (topology.Link("out", "yard", "198.18.5.2/24",
                                                  "2001:db8:5::2/64"),)))
    return replace(one, name="back-door", networks=(*one.networks, topology.Network("yard")),
                   hosts=(*hosts, *(h for h in one.hosts if h.name != "relay")))


TOPOLOGY = with_back_door()

# name: (target, what to do with the expression of a plain datagram)
AROUND = {
    "padding of the link": ("target-v4", lambda d: f"{d} / Padding(b'garbage of a link')"),
    "UDP options behind the UDP length": (
        "target-v4", lambda d: d.replace("dport=", "chksum=0, len=16, dport=") + " / Raw(bytes(8))"),
    "VLAN 0": ("target-v4", lambda d: f"Dot1Q(vlan=0, prio=5) / {d}"),
    "VLAN 0, IPv6": ("target-v6", lambda d: f"Dot1Q(vlan=0, prio=5) / {d}"),
    "TTL 1": ("target-v4", lambda d: d.replace("IP(", "IP(ttl=1, ")),
    "ECN and DSCP": ("target-v4", lambda d: d.replace("IP(", "IP(tos=0xb9, ")),
    "IPv4 no-operation options": (
        "target-v4", lambda d: d.replace("IP(", "IP(options=[IPOption_NOP()] * 8, ")),
    "IPv4 router alert": (
        "target-v4", lambda d: d.replace("IP(", "IP(options=[IPOption_Router_Alert()], ")),
    "IPv6 destination options": (
        "target-v6", lambda d: d.replace(" / UDP", " / IPv6ExtHdrDestOpt(options=[PadN()]) / UDP")),
    "IPv6 hop-by-hop options": (
        "target-v6", lambda d: d.replace(" / UDP", " / IPv6ExtHdrHopByHop(options=[PadN()]) / UDP")),
    "IPv4 fragments": ("target-v4", lambda d: f"fragment({d}, 8)"),
    "IPv6 fragments": (
        "target-v6",
        lambda d: f"fragment6({d.replace(' / UDP', ' / IPv6ExtHdrFragment() / UDP')}, 64)"),
}


def errors_to(target):
    counters = target.counters()
    return counters["Icmp.InDestUnreachs"] + counters.get("Icmp6InDestUnreachs", 0)


@pytest.mark.parametrize("name", AROUND)
def test_a_datagram_arrives_whatever_is_around_it(tap, name):  # noqa: F811
    target, put = AROUND[name]
    one = tap(target)
    before, payload = errors_to(one.target), b"8 bytes!"
    if name == "IPv6 fragments":
        payload *= 10    # scapy leaves alone what fits
    one.send(put(one.datagram(payload)))
    one.app.wait_line(f"^got {payload.hex()}$")
    assert errors_to(one.target) == before
    one.works()


def in_fragments(one, payload, source=None):
    datagram = one.datagram(payload, source=source)
    if one.is_v6:
        return f"fragment6({datagram.replace(' / UDP', ' / IPv6ExtHdrFragment() / UDP')}, 1280)"
    return f"fragment({datagram}, 1200)"


def drops(relay, name):
    status = relay.ctl("status")
    return status["counters"].get(name, 0) + (status["xdp"] or {}).get(name, {}).get("packets", 0)


@pytest.mark.parametrize("target", TARGETS)
def test_a_long_answer_comes_through_capsules(lab, relay, forward, targets, injectors,  # noqa: F811
                                              target):
    """As a resolver sends to who announced 4,096 bytes (EDNS)."""
    payload = bytes(i % 251 for i in range(3907))
    capsules = lambda *args: forward(*args, "--capsules")    # noqa: E731
    one = Tap(lab, relay, capsules, target, targets[target], injectors[target])
    one.send(in_fragments(one, payload))
    one.app.wait_line(f"^got {payload.hex()}$")
    one.app.kill()


def test_what_a_datagram_frame_has_no_room_for_is_counted(tap, relay):  # noqa: F811
    one = tap("target-v4")
    before = drops(relay, "drop_too_big_peer")
    one.send(in_fragments(one, bytes(3907)))
    wait_until(lambda: drops(relay, "drop_too_big_peer") == before + 1)
    one.works()


@pytest.fixture
def back(lab):
    """An injector on a host behind the link that the relay does not serve."""
    shown = lab["relay"].ip("link", "show", "dev", "back")
    mac = re.search(r"link/ether (\S+)", shown).group(1)
    injector = lab["back"].popen([sys.executable, INJECT, "out", mac], text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert injector.stdout.readline() == "ready\n"
    yield injector
    injector.kill()


@pytest.mark.parametrize("target", TARGETS)
def test_answers_may_come_by_another_interface(lab, tap, relay, back, target):  # noqa: F811
    one = tap(target)
    for name in ("all", "back"):    # who filters by the reverse path does not want them
        lab["relay"].run(["sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter=0"])
    before = drops(relay, "held_drop_unknown_remote" if relay.uses_xdp else "drop_wrong_remote")
    one.injector = back
    forger = "2001:db8:6::99" if one.is_v6 else "198.18.4.99"
    one.send(one.datagram(b"forged", source=forger), one.datagram(b"roundabout"))
    one.app.wait_line(f"^got {b'roundabout'.hex()}$")
    assert b"forged" not in one.received()
    assert drops(relay, "held_drop_unknown_remote" if relay.uses_xdp
                 else "drop_wrong_remote") == before + 1


def test_the_slow_path_has_a_ceiling_for_each_tunnel(tap, relay):  # noqa: F811
    if not relay.uses_xdp:
        pytest.skip("kernel sockets have one path alone")
    hog, bystander = tap("target-v4"), tap("target-v6")
    before = drops(relay, "held_drop_rate")
    flood = AROUND["IPv4 no-operation options"][1](hog.datagram(b"flood"))
    hog.send(f"[{flood}] * {20 * SLOW_PATH}")
    assert drops(relay, "held_drop_rate") > before
    bystander.send(AROUND["IPv6 destination options"][1](bystander.datagram(b"in between")))
    bystander.app.wait_line(f"^got {b'in between'.hex()}$")
    hog.works()    # the fast path has no such ceiling
    time.sleep(1)
    hog.send(AROUND["IPv4 no-operation options"][1](hog.datagram(b"later")))
    hog.app.wait_line(f"^got {b'later'.hex()}$")


def test_what_a_stopped_worker_has_no_room_for_is_counted(lab, relay, start_relay, forward, targets,
                                                          injectors):  # noqa: F811
    """Fragments and kernel sockets alike wait in a buffer of the kernel."""
    own = start_relay("relay-v4only", datapath=relay.datapath, config=daemon.CONFIG % {
        "datapath": relay.datapath} + "limits { slow-path-per-sec = 0 }\n"
        "io { socket-buffer-kib = 16 }\n")
    client = forward("peer-v4", own, targets["target-v4"])
    app = lab["peer-v4"].start(["/usr/bin/python3", "-c", TAP, client.address], name="tap")
    app.wait_line(f"^got {b'hello'.hex()}$")
    port = int(own.ctl("tunnels")["tunnels"][0]["local"].rpartition(":")[2])
    here, there = lab["relay-v4only"].addr4, lab["target-v4"].addr4
    shown = lab["relay-v4only"].ip("link", "show", "dev", "v4")
    mac = re.search(r"link/ether (\S+)", shown).group(1)
    injector = lab["target-v4"].popen([sys.executable, INJECT, "v4", mac], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert injector.stdout.readline() == "ready\n"

    def send(payload, count):
        injector.stdin.write(f"[IP(src={there!r}, dst={here!r}, options=[IPOption_NOP()] * 4)"
                             f" / UDP(sport=7000, dport={port}) / Raw({payload!r})] * {count}\n\n")
        injector.stdin.flush()
        assert int(injector.stdout.readline()) == count
        sent.append(count)

    sent = []
    name, count = "held_drop_full" if own.uses_xdp else "drop_socket_full", 400
    pid = own.ctl("status")["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        send(b"w" * 1000, count)
    finally:
        os.kill(pid, signal.SIGCONT)

    def is_marked():    # what comes later brings the kernel's count along, where sockets have one
        send(b"mark", 1)
        return b"mark".hex() in app.text()

    app.wait_line(f"^got {(b'w' * 1000).hex()}$")
    wait_until(is_marked)

    def missing():
        """Those that are in no counter."""
        arrived = len(re.findall(r"^got (?:77){1000}$|^got 6d61726b$", app.text(), re.M))
        return sum(sent) - arrived - drops(own, name) - sum(
            drops(own, why) for why in losses.RELAY_OVERFLOWS)

    wait_until(lambda: missing() == 0, what=missing)
    assert drops(own, name) > 0
    app.kill()
    injector.kill()


def test_strangers_in_fragments_wake_no_worker(lab, tap, relay, when_quiet):  # noqa: F811
    one = tap("target-v4")
    name = "held_drop_unknown_remote" if relay.uses_xdp else "drop_wrong_remote"
    before, count = drops(relay, name), 300
    watch, woken, started = losses.Watch(lab), wake_ups(relay), time.monotonic()
    stranger = f"fragment({one.datagram(b's' * 1000, source='198.18.4.99')}, 600)"
    one.send(f"{stranger} * {count}")
    wait_until(lambda: watch.accounts_for(count, drops(relay, name) - before))
    took, woken = time.monotonic() - started, wake_ups(relay) - woken
    if relay.uses_xdp:
        before = wake_ups(relay)
        time.sleep(took)
        quiet = wake_ups(relay) - before
        when_quiet(woken <= quiet + 50, f"{woken} wake-ups, {quiet} without")
    one.works()


# A peer's path that takes each of its QUIC packets to pieces, or adds IP options.
ROUGH_PATH = """
import socket, struct, sys
here, relay, how = sys.argv[1:]
near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
near.bind(("127.0.0.1", 4433))
far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
far.bind((here, 0))
far.connect((relay, 443))
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
number, client = 0, None

def send(payload):
    global number
    number = number % 65535 + 1
    udp = struct.pack("!HHHH", far.getsockname()[1], 443, 8 + len(payload), 0) + payload
    cut = len(udp) // 16 * 8 if how == "fragments" else len(udp)
    for at, part in ((0, udp[:cut]), (cut, udp[cut:])):
        if not part:
            continue
        more = 0x2000 if at + len(part) < len(udp) else 0
        options = b"\\x01" * 4 if how == "options" else b""
        head = struct.pack("!BBHHHBBH4s4s", 0x45 + len(options) // 4, 0,
                           20 + len(options) + len(part), number, at // 8 | more, 64, 17, 0,
                           socket.inet_aton(here), socket.inet_aton(relay))
        try:
            raw.sendto(head + options + part, (relay, 0))
        except OSError:    # a probe of what the path takes: not with options as well
            pass

import select
print("ready", flush=True)
while True:
    for one in select.select([near, far], [], [])[0]:
        if one is near:
            payload, client = near.recvfrom(65536)
            send(payload)
        else:
            near.sendto(far.recv(65536), client)
"""


@pytest.fixture(params=("fragments", "options"))
def rough_path(lab, request):
    peer = lab["peer-v4"]
    path = peer.start(["/usr/bin/python3", "-c", ROUGH_PATH, peer.addr4, lab["relay"].addr4,
                       request.param], name="rough-path")
    path.wait_line("^ready")
    yield "127.0.0.1:4433"
    path.kill()


def test_a_clients_packets_arrive_in_fragments_and_with_options(lab, relay, forward, targets,
                                                                rough_path):
    peer = lab["peer-v4"]
    before = relay.ctl("status")["counters"]["rx_kernel_packets"]
    client = forward("peer-v4", relay, targets["target-v6"], relay_at=rough_path)
    assert exchange(peer, client.address, 100, 1000)["same"] == [100, 1000]
    figures = load(peer, client.address, count=200, rate=500, size=600)
    assert daemon.is_whole(figures) and figures["received"] >= 150, figures    # a path in Python
    assert relay.ctl("status")["counters"]["rx_kernel_packets"] - before >= 100    # some share one
    client.stop()


@pytest.mark.parametrize("family", (4, 6))
def test_a_client_may_come_by_an_interface_that_is_not_served(lab, relay, forward, targets, family):
    """Its packets come through the kernel, and what its target answers by AF_XDP."""
    at = "198.18.5.1:443" if family == 4 else "[2001:db8:5::1]:443"
    client = forward("back", relay, targets[f"target-v{10 - family}"], relay_at=at)
    assert is_clean(load(lab["back"], client.address, count=200, rate=1000, size=1000))
    client.stop()
