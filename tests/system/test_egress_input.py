# SPDX-License-Identifier: GPL-3.0-or-later
"""Unexpected packets at egress ports: forged sources, wrong checksums, fragments, ICMP errors."""
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import daemon
from daemon import exchange
from netns import wait_until

DATAPATHS = ("xdp", "sock")
TARGETS = ("target-v4", "target-v6")
INJECT = Path(daemon.__file__).with_name("inject.py")

# An application that opens a tunnel and prints all that comes through it.
TAP = """
import socket, sys
host, _, port = sys.argv[1].rpartition(":")
host = host.strip("[]")
with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as one:
    one.connect((host, int(port)))
    one.send(b"hello")
    while True:
        print("got", one.recv(65536).hex(), flush=True)
"""


class Tap:
    """A tunnel from peer-v4 to a target's echo server, and the addresses that a forger needs."""

    def __init__(self, lab, relay, forward, target, address, injector):
        self.injector = injector
        self.lab, self.relay, self.target = lab, relay, lab[target]
        others = self.ports(relay)    # tunnels of the test before may not be gone yet
        self.client = forward("peer-v4", relay, address)
        self.app = lab["peer-v4"].start(["/usr/bin/python3", "-c", TAP, self.client.address],
                                        name="tap")
        self.app.wait_line(f"^got {b'hello'.hex()}$")
        (self.port,) = self.ports(relay) - others
        self.is_v6 = self.target.addr6 is not None
        self.link = "v6" if self.is_v6 else "v4"
        self.here = lab["relay"].addr6 if self.is_v6 else lab["relay"].addr4
        self.there = self.target.addr6 or self.target.addr4
        self.ip = "IPv6" if self.is_v6 else "IP"
        # The relay's packet to the target, as errors quote it.
        self.quoted = (f"{self.ip}(src={self.here!r}, dst={self.there!r})"
                       f" / UDP(sport={self.port}, dport=7000) / Raw(b'q' * 1300)")

    @staticmethod
    def ports(relay):
        return {int(tunnel["local"].rpartition(":")[2])
                for tunnel in relay.ctl("tunnels")["tunnels"]}

    def head(self, source=None):
        return f"{self.ip}(src={source or self.there!r}, dst={self.here!r})"

    def datagram(self, payload, source=None, sport=7000, **fields):
        more = "".join(f", {key}={value}" for key, value in fields.items())
        return (f"{self.head(source)} / UDP(sport={sport}, dport={self.port}{more})"
                f" / Raw({payload!r})")

    def send(self, *expressions):
        self.injector.stdin.write("\n".join(expressions) + "\n\n")
        self.injector.stdin.flush()
        assert int(self.injector.stdout.readline()) >= len(expressions)

    def marker(self):
        """Wait until everything sent before has been handled: it arrives in order."""
        mark = f"mark{time.monotonic_ns()}".encode()
        self.send(self.datagram(mark))
        self.app.wait_line(f"^got {mark.hex()}$")

    def received(self):
        return {bytes.fromhex(line[4:]) for line in self.app.text().splitlines()
                if line.startswith("got ")}

    def count(self, name):
        status = self.relay.ctl("status")
        if name.startswith(("xdp_", "held_")):
            return status["xdp"][name]["packets"]
        return status["counters"].get(name, 0)

    def kernel(self, *names):
        return sum(self.lab["relay"].counters().get(name, 0) for name in names)

    def works(self):
        assert exchange(self.lab["peer-v4"], self.client.address, 1, 500, 0) == {
            "same": [1, 500, 0], "different": [], "missing": []}


@pytest.fixture(scope="module")
def injectors(lab):
    """inject.py on each target, toward the relay: scapy takes seconds to start."""
    started = {}
    for target in TARGETS:
        link = lab[target].spec.links[0].name
        shown = lab["relay"].ip("link", "show", "dev", link)
        mac = re.search(r"link/ether (\S+)", shown).group(1)
        started[target] = lab[target].popen([sys.executable, INJECT, link, mac], text=True,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for injector in started.values():
        assert injector.stdout.readline() == "ready\n"
    return started


@pytest.fixture
def tap(lab, relay, forward, targets, injectors):
    made = []

    def make(target):
        made.append(Tap(lab, relay, forward, target, targets[target], injectors[target]))
        return made[-1]

    yield make
    for one in made:
        one.app.kill()
    for family in "-4", "-6":    # the kernel keeps the reduced path MTUs, too
        lab["relay"].ip(family, "route", "flush", "cache")


@pytest.mark.parametrize("target", TARGETS)
def test_a_wrong_checksum_is_dropped_and_counted(tap, relay, target):
    one = tap(target)
    counted = (lambda: one.count("drop_checksum")) if relay.uses_xdp else (
        lambda: one.kernel("Udp6InCsumErrors" if one.is_v6 else "Udp.InCsumErrors"))
    before = counted()
    one.send(one.datagram(b"wrong", chksum=0x1234), one.datagram(b"wronger", chksum=1))
    one.marker()
    assert counted() == before + 2
    assert not one.received() & {b"wrong", b"wronger"}


def test_no_checksum_is_legal_over_ipv4(tap):
    one = tap("target-v4")
    one.send(one.datagram(b"unsummed", chksum=0))
    one.marker()
    assert b"unsummed" in one.received()


def test_no_checksum_over_ipv6_is_dropped_and_counted(tap, relay):
    one = tap("target-v6")
    counted = (lambda: one.count("xdp_drop_zero_checksum6")) if relay.uses_xdp else (
        lambda: one.kernel("Udp6InErrors"))
    before = counted()
    one.send(one.datagram(b"unsummed", chksum=0))
    one.marker()
    assert counted() == before + 1
    assert b"unsummed" not in one.received()


@pytest.mark.parametrize("target", TARGETS)
def test_only_the_target_itself_reaches_the_tunnel(tap, relay, target):
    one = tap(target)
    name = "held_drop_unknown_remote" if relay.uses_xdp else "drop_wrong_remote"
    before = one.count(name)
    forger = "2001:db8:6::99" if one.is_v6 else "198.18.4.99"
    forged = [b"port", b"address", b"both"]
    one.send(one.datagram(forged[0], sport=7001), one.datagram(forged[1], source=forger),
             one.datagram(forged[2], source=forger, sport=53))
    one.marker()
    assert one.count(name) == before + 3
    assert not one.received() & set(forged)


@pytest.mark.parametrize("target", TARGETS)
def test_a_datagram_in_fragments_arrives(tap, target):
    """The kernel reassembles it on every data path, and must not answer "port unreachable"."""
    one = tap(target)
    name = "Icmp6InDestUnreachs" if one.is_v6 else "Icmp.InDestUnreachs"
    came = "Ip6ReasmOKs" if one.is_v6 else "Ip.ReasmOKs"
    before, whole = one.target.counters()[name], one.kernel(came)
    datagram = one.datagram(b"f" * 1400)
    if one.is_v6:
        datagram = datagram.replace(") / UDP", ") / IPv6ExtHdrFragment() / UDP")
        one.send(f"fragment6({datagram}, 700)")
    else:
        one.send(f"fragment({datagram}, 700)")
    one.app.wait_line(f"^got {(b'f' * 1400).hex()}$")    # a packet that is whole may overtake it
    one.marker()
    one.works()
    assert one.kernel(came) == whole + 1
    assert one.target.counters()[name] == before


def test_packets_to_ipv4_targets_must_not_be_fragmented(lab, relay, forward, targets):
    client = forward("peer-v4", relay, targets["target-v4"])
    daemon.load(lab["peer-v4"], client.address, size=64, count=100)
    client.proc.wait_line(r"^max payload 1[4-9]\d\d$")    # the largest fits once the path is known
    watch = lab["target-v4"].start(
        ["tcpdump", "-nlv", "--immediate-mode", "-Q", "in", "-c", "3", "-i", "v4",
         "udp and dst port 7000"], name="tcpdump")
    watch.wait_line("listening on")
    result = daemon.load(lab["peer-v4"], client.address, size=1200, count=50)
    assert result["received"], (result, relay.ctl("drops")["total"])
    watch.wait_line(r"(?s)(flags \[DF\].*){3}")
    watch.stop()


# From here on the relay assumes a reduced path MTU to the targets, for all tunnels.
def icmp_of_every_kind(one):
    """Every type with every defined code, about the tunnel and about others, also truncated."""
    if one.is_v6:
        for kind in range(256):
            yield f"{one.head()} / ICMPv6Unknown(type={kind}, code=0) / Raw(bytes(4)) / {one.quoted}"
        for make in ("ICMPv6DestUnreach", "ICMPv6TimeExceeded", "ICMPv6ParamProblem",
                     "ICMPv6PacketTooBig"):
            for code in range(8):
                yield f"{one.head()} / {make}(code={code}) / {one.quoted}"
        whole = f"bytes(ICMPv6DestUnreach(code=4) / {one.quoted})"
        for length in range(0, 60):
            yield f"{one.head()} / Raw({whole}[:{length}])"
        yield f"IPv6(src={one.there!r}, dst={one.here!r}, nh=58) / Raw({whole}[:30])"
        return
    for kind in range(256):
        yield f"{one.head()} / ICMP(type={kind}, code=0) / {one.quoted}"
    for code in range(16):
        yield f"{one.head()} / ICMP(type=3, code={code}, nexthopmtu=1200) / {one.quoted}"
    for length in range(0, 40):
        yield (f"IP(src={one.there!r}, dst={one.here!r}, proto=1)"
               f" / Raw(bytes(ICMP(type=3, code=3) / {one.quoted})[:{length}])")
    yield f"{one.head()} / ICMP(type=3, code=4, chksum=1, nexthopmtu=600) / {one.quoted}"


@pytest.mark.parametrize("target", TARGETS)
def test_icmp_of_every_kind_does_no_harm(tap, target):
    one = tap(target)
    before = one.count("icmp_unreachable")
    said = list(icmp_of_every_kind(one))
    for at in range(0, len(said), 50):    # within the limit for each second
        one.send(*said[at:at + 50])
        time.sleep(0.6)
    one.marker()
    one.works()
    assert one.count("icmp_unreachable") > before
    assert one.relay.proc.alive


@pytest.mark.parametrize("target", TARGETS)
def test_a_reduced_path_mtu_to_the_target_is_counted(tap, target):
    one = tap(target)
    # What the relay does then is tested in tests/loop, where ten minutes pass at once.
    too_big = "ICMPv6PacketTooBig(mtu=1280)" if one.is_v6 else "ICMP(type=3, code=4, nexthopmtu=700)"
    before = one.count("icmp_too_big")
    one.send(f"{one.head()} / {too_big} / {one.quoted}")
    wait_until(lambda: one.count("icmp_too_big") > before)
    assert one.count("icmp_too_big") == before + 1
    one.marker()
    one.works()


PROBE = """
import socket, sys, time
is_v6, port = sys.argv[1] == "6", int(sys.argv[2])
family = socket.AF_INET6 if is_v6 else socket.AF_INET
level = socket.IPPROTO_IPV6 if is_v6 else socket.IPPROTO_IP
discover, mtu = (23, 24) if is_v6 else (10, 14)

def path_mtu(relay):    # a connected socket keeps its former path MTU
    with socket.socket(family, socket.SOCK_DGRAM) as fresh:
        fresh.connect(relay)
        return fresh.getsockopt(level, mtu)

with socket.socket(family, socket.SOCK_DGRAM) as one:
    one.bind(("::" if is_v6 else "0.0.0.0", port))
    print("ready", flush=True)
    said = b""
    while said != b"hello":
        said, relay = one.recvfrom(65536)
    one.connect(relay)
    one.setsockopt(level, discover, 2)    # never fragment, and remember
    headers = 48 if is_v6 else 28
    one.send(bytes(1500 - headers))
    until = time.monotonic() + 60
    while path_mtu(relay) == 1500 and time.monotonic() < until:
        time.sleep(0.02)
    fits = path_mtu(relay) - headers
    print("fits", fits, flush=True)
    try:
        one.send(b"f" * fits)
    except OSError:    # a pending error
        one.send(b"f" * fits)
    time.sleep(1)
"""


@pytest.mark.parametrize("target", TARGETS)
def test_icmp_too_big_reports_the_payload_that_fits_the_tunnel(lab, relay, forward, target):
    host = lab[target]
    port = 7200 + (DATAPATHS.index(relay.datapath) if relay.datapath in DATAPATHS else 2)
    is_v6 = host.addr6 is not None
    host.ip("-6" if is_v6 else "-4", "route", "flush", "cache")    # what it learned before
    before = relay.ctl("status")["counters"].get("icmp_too_big_sent", 0)
    probe = host.start(["/usr/bin/python3", "-c", PROBE, "6" if is_v6 else "4", port], name="probe")
    probe.wait_line("^ready")
    client = forward("peer-v4", relay, daemon.endpoint(host.addr6 or host.addr4, port))
    # Before the path MTU is known, IPv6 could only be given its minimum.
    daemon.load(lab["peer-v4"], client.address, size=64, count=100)
    client.proc.wait_line(r"^max payload 1[4-9]\d\d$")
    app = lab["peer-v4"].start(["/usr/bin/python3", "-c", TAP, client.address], name="tap")
    fits = int(probe.wait_line(r"^fits (\d+)$", 90).group(1))
    headers = 48 if is_v6 else 28
    assert 1200 <= fits < 1500 - headers
    # The reported size is right: a datagram of that size comes through.
    app.wait_line(f"^got {(b'f' * fits).hex()}$")
    assert relay.ctl("status")["counters"]["icmp_too_big_sent"] > before
    app.kill()
