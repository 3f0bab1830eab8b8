# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab itself: what the other system tests rely on."""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import daemon
import losses
import nat
import netns
import topology
from daemon import is_clean, load
from lab import Lab
from netns import wait_until

LAB = Path(netns.__file__).with_name("lab")

# A child that raises a lab with something running in it, prints its name and waits.
OWNER = """
import sys, time
sys.path.insert(0, {folder!r})
from lab import Lab
lab = Lab(build={build!r}).up()
lab["relay"].start(["sleep", "1000"])
lab["relay"].run(["mkdir", f"/sys/fs/bpf/{{lab.name}}-relay-0"])
lab["relay"].start(["sh", "-c", "trap '' TERM; sleep 1000 & wait"])
print(lab.name, flush=True)
{then}
"""


def cli(*words):
    return subprocess.run([LAB, *words], text=True, capture_output=True, timeout=60)


def start_owner(build, then="time.sleep(1000)"):
    code = OWNER.format(folder=str(LAB.parent), build=str(build), then=then)
    # a runner may have been started with signals ignored, as nohup does
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
                             preexec_fn=lambda: [signal.signal(s, signal.SIG_DFL) for s in
                                                 (signal.SIGHUP, signal.SIGTERM)] and
                             signal.signal(signal.SIGINT, signal.default_int_handler))
    return owner, owner.stdout.readline().strip()


REACH = [
    # from, to, whether
    ("peer-v4", "198.18.4.20", True),
    ("peer-v4", "198.18.4.1", True),
    ("peer-v4", "198.18.4.2", True),
    ("peer-v6", "2001:db8:6::20", True),
    ("peer-v6", "2001:db8:6::1", True),
    ("relay", "198.18.4.20", True),
    ("relay", "2001:db8:6::20", True),
    ("relay-v4only", "198.18.4.20", True),
    ("peer-v4", "2001:db8:6::20", False),
    ("peer-v6", "198.18.4.20", False),
    ("relay-v4only", "2001:db8:6::20", False),
    ("target-v4", "2001:db8:6::20", False),
    ("peer-v4", "192.0.2.1", False),
]


@pytest.mark.parametrize("host, address, whether", REACH)
def test_hosts_reach_their_own_family_only(lab, host, address, whether):
    assert lab[host].reaches(address) == whether


def test_a_full_packet_fits_and_a_larger_one_does_not(lab):
    assert lab["peer-v4"].reaches("198.18.4.20", 1472)
    assert not lab["peer-v4"].reaches("198.18.4.20", 1473)
    assert lab["peer-v6"].reaches("2001:db8:6::20", 1452)


def test_hosts_know_each_other_by_name(lab):
    assert lab["peer-v4"].run(["getent", "ahostsv4", "target-v4"]).stdout.startswith("198.18.4.20")
    lab["relay"].set_names({"both.example": ["198.18.4.20", "2001:db8:6::20"]})
    both = lab["relay"].run(["getent", "ahosts", "both.example"]).stdout
    assert "198.18.4.20" in both and "2001:db8:6::20" in both

    def seconds_to_fail():
        began = time.monotonic()
        done = lab["peer-v4"].run(["getent", "ahosts", "nobody.example"], check=False)
        assert done.returncode != 0
        return time.monotonic() - began

    # At once: a name server that did not answer would take a second or more each time.
    assert min(seconds_to_fail() for _ in range(3)) < 1


def test_ipv6_is_off_where_there_is_none(lab):
    for host in ("peer-v4", "relay-v4only", "target-v4"):
        assert lab[host].ip("-6", "addr").strip() == ""
    assert lab["relay"].ip("-6", "addr", "show", "dev", "v4").strip() == ""


def test_processes_of_a_host_share_pins_and_see_its_interfaces_only(lab):
    name = f"/sys/fs/bpf/{lab.name}"
    try:
        lab["relay"].run(["mkdir", name])
        assert lab["relay"].run(["ls", "/sys/fs/bpf"]).stdout.split().count(lab.name) == 1
        assert lab["relay"].run(["ls", "/sys/class/net"]).stdout.split() == ["lo", "v4", "v6"]
    finally:
        lab["relay"].run(["rmdir", name])


def test_a_host_can_be_pinned_to_a_cpu(lab):
    lab["peer-v4"].pin_cpu = 0
    try:
        assert lab["peer-v4"].run(["taskset", "-cp", "self"], check=False).returncode != 0
        status = lab["peer-v4"].run(["cat", "/proc/self/status"]).stdout
        assert "\nCpus_allowed_list:\t0\n" in status
    finally:
        lab["peer-v4"].pin_cpu = None


def test_an_interface_can_have_queues(root, build):
    with Lab(topology.matrix(relay_queues=2), build=build) as lab:
        said = json.loads(lab["relay"].ip("-d", "-j", "link", "show", "v4"))[0]
        assert (said["num_rx_queues"], said["num_tx_queues"]) == (2, 2)


# An XDP program that redirects every frame to an interface: r1 = it, r2 = 0, call redirect, exit.
REDIRECT = """
import ctypes, os, platform, struct, sys
bpf = {"x86_64": 321, "aarch64": 280}[platform.machine()]
call = ctypes.CDLL(None, use_errno=True).syscall
def run(command, *attr):
    attr = ctypes.create_string_buffer(struct.pack(*attr), 128)
    fd = call(bpf, command, attr, 128)
    if fd < 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    return fd
code = ctypes.create_string_buffer(struct.pack(
    "<BBhiBBhiBBhiBBhi", 0xb4, 1, 0, int(sys.argv[1]), 0xb4, 2, 0, 0, 0x85, 0, 0, 23,
    0x95, 0, 0, 0))
licence, path = (ctypes.create_string_buffer(t.encode()) for t in ("GPL", sys.argv[2]))
fd = run(5, "<IIQQ", 6, 4, ctypes.addressof(code), ctypes.addressof(licence))
run(6, "<QI", ctypes.addressof(path), fd)
"""


def test_redirected_frames_arrive_beyond_the_relays_links(lab):
    relay, pin = lab["relay"], f"/sys/fs/bpf/{lab.name}-redirect"

    def received():
        return json.loads(lab["target-v6"].ip("-s", "-j", "link", "show", "v6"))[0][
            "stats64"]["rx"]["bytes"]

    index = json.loads(relay.ip("-j", "link", "show", "v6"))[0]["ifindex"]
    try:
        relay.run(["/usr/bin/python3", "-c", REDIRECT, index, pin])
        relay.run(["ip", "link", "set", "dev", "v4", "xdpdrv", "pinned", pin])
        before = received()
        # Broadcast, so that the other side's switch brings them to everyone.
        lab["peer-v4"].ip("neigh", "replace", "198.18.4.99", "lladdr", "ff:ff:ff:ff:ff:ff", "dev",
                          "v4")
        load(lab["peer-v4"], "198.18.4.99:9", oneway=True, count=100, size=1200)
        wait_until(lambda: received() - before >= 100 * 1242)
    finally:
        relay.run(["ip", "link", "set", "dev", "v4", "xdpdrv", "off"])
        relay.run(["rm", "-f", pin])


SEND_BAD_CHECKSUM = """
import socket, struct, sys
mac = bytes.fromhex(sys.argv[1].replace(":", ""))
own = open("/sys/class/net/v4/address").read().strip()
ip = bytearray(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 32, 0, 0, 64, 17, 0,
                           socket.inet_aton("198.18.4.1"), socket.inet_aton("198.18.4.20")))
total = sum(struct.unpack("!10H", ip))
ip[10:12] = struct.pack("!H", ~((total & 0xffff) + (total >> 16)) & 0xffff)
frame = mac + bytes.fromhex(own.replace(":", "")) + b"\\x08\\x00" + ip
frame += struct.pack("!HHHH", 9, 9999, 12, 0x1234) + b"data"
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("v4", 0))
wire.send(frame)
"""


def test_a_wrong_udp_checksum_is_noticed(lab):
    target = lab["target-v4"]
    mac = target.run(["cat", "/sys/class/net/v4/address"]).stdout.strip()
    before = target.counters()["Udp.InCsumErrors"]
    # Where no socket listens no checksum is looked at, except before the refusal is sent.
    echo = target.start([lab.tool("udpecho"), "--port", 9999])
    echo.wait_line("^ready")
    lab["relay"].run(["/usr/bin/python3", "-c", SEND_BAD_CHECKSUM, mac])
    wait_until(lambda: target.counters()["Udp.InCsumErrors"] == before + 1)
    echo.stop()
    assert '"received": 0' in echo.text()


@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 15, 16, 17, 1200, 1472, 9000, 65507])
def test_echo_and_load_agree_on_every_size(lab, targets, size):
    for peer, target in (("peer-v4", "target-v4"), ("peer-v6", "target-v6")):
        figures = load(lab[peer], targets[target], size=size, count=50, rate=2000)
        assert is_clean(figures), figures
        assert figures["sent"] == 50
        assert (figures["p50_us"] is None) == (size < 8)


MANGLER = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 7001))
print("ready", flush=True)
n = 0
while True:
    data, peer = s.recvfrom(65536)
    n += 1
    if n == 3:
        data = data[:500] + bytes([data[500] ^ 1]) + data[501:]
    if n == 5:
        data = data[:-1]
    if n == 7:
        continue
    for _ in range(2 if n == 9 else 1):
        s.sendto(data, peer)
"""


def test_load_notices_every_kind_of_harm(lab):
    lab["target-v4"].start(["/usr/bin/python3", "-c", MANGLER]).wait_line("^ready")
    figures = load(lab["peer-v4"], "198.18.4.20:7001", count=20, wait=500)
    assert (figures["corrupted"], figures["duplicated"], figures["lost"]) == (2, 1, 3), figures


# Has room for a few datagrams and takes none before a line comes.
SLOW_READER = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(sys.argv[1]))
s.bind(("", 7003))
print("ready", flush=True)
sys.stdin.readline()
s.setblocking(False)
n = 0
try:
    while True:
        s.recv(65536)
        n += 1
except BlockingIOError:
    print("got", n, flush=True)
"""


@pytest.mark.parametrize("count, is_excused", [(60, True), (400, False)])
def test_what_overflows_a_socket_is_excused_up_to_a_quarter(lab, count, is_excused):
    reader = lab["target-v4"].start(["/usr/bin/python3", "-c", SLOW_READER, 20000],
                                    stdin=subprocess.PIPE)
    reader.wait_line("^ready")
    watch = losses.Watch(lab)
    load(lab["peer-v4"], "198.18.4.20:7003", oneway=True, count=count, size=100)
    wait_until(watch.since)
    reader.popen.stdin.write(b"\n")
    reader.popen.stdin.flush()
    got = int(reader.wait_line(r"^got (\d+)").group(1))
    assert 0 < got < count and sum(watch.since().values()) == count - got
    assert watch.accounts_for(count, got) == is_excused
    assert not watch.accounts_for(count, got - 1) and not watch.accounts_for(count, count + 1)


def test_what_vanishes_without_a_counter_is_not_excused(lab):
    """Dropped by a packet filter, which stands for any way to lose a datagram silently."""
    target = lab["target-v4"]
    echo = daemon.echo(target, 7004)
    target.run(["nft", "-f", "-"], text="table ip lose { chain c { type filter hook input priority"
               " 0; udp dport 7004 numgen inc mod 50 == 0 drop; }; }\n")
    try:
        figures = load(lab["peer-v4"], "198.18.4.20:7004", count=100, wait=500)
    finally:
        target.run(["nft", "delete", "table", "ip", "lose"])
        echo.stop()
    assert figures["lost"] == 2 and not is_clean(figures), figures


def test_a_sink_checks_what_is_sent_one_way(lab):
    sink = lab["target-v6"].start([lab.tool("udpload"), "--sink", "--count", 500, "7002"])
    sink.wait_line("^ready")
    sent = load(lab["peer-v6"], "[2001:db8:6::20]:7002", oneway=True, count=500)
    got = json.loads(sink.wait_line(r"^\{.*\}$").group(0))
    assert sent["sent"] == 500 and sent["received"] == 0
    assert (got["received"], got["lost"], got["corrupted"]) == (500, 0, 0)
    assert got["p50_us"] > 0


def test_a_dead_target_is_distinguished_from_a_silent_one(lab):
    figures = load(lab["peer-v4"], "198.18.4.20:7999", count=5, wait=500)
    assert figures["refused"] > 0 and figures["lost"] == 5


SEND_TAGGED = """
import socket
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("v4", 0))
wire.send(b"\\xff" * 6 + b"\\x02" * 6 + b"\\x81\\0\\0\\x05\\x88\\xb5" + b"tagged".ljust(60))
"""

# The kernel removes the tag and passes it beside the frame (struct tpacket_auxdata).
RECEIVE_TAG = """
import socket, struct
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.setsockopt(263, 8, 1)
print("ready", flush=True)
frame = b""
while frame[12:14] != b"\\x88\\xb5":
    frame, beside, _, _ = wire.recvmsg(2048, 256)
tag = struct.unpack("IIIHHHH", beside[0][2])[5]
print(tag, frame[14:].decode().strip(), flush=True)
"""


class TestHop:
    @pytest.fixture(scope="class")
    def lab(self, root, build):
        spec = topology.matrix().tuned("peer-v4", "v4", hop=()).tuned("peer-v6", "v6", hop=())
        with Lab(spec, build=build) as lab:
            daemon.echo(lab["target-v4"])
            daemon.echo(lab["target-v6"])
            yield lab

    def load(self, lab, *options, peer="peer-v4", **load_options):
        """Figures of a run under these impairments, and the hop's."""
        hop = lab.hop(peer, peer[-2:])
        hop.set(*options)
        at = "198.18.4.20:7000" if peer == "peer-v4" else "[2001:db8:6::20]:7000"
        return load(lab[peer], at, **{"wait": 500, **load_options}), hop.stats()

    def test_carries_everything_without_options(self, lab):
        figures, hop = self.load(lab, count=5000, rate=10000)
        assert is_clean(figures), figures
        assert hop["out"]["forwarded"] >= 5000 and hop["in"]["forwarded"] >= 5000

    def test_loses_the_same_frames_for_the_same_seed(self, lab):
        # Static neighbours: an ARP frame more or less would move the dice.
        for host, other in (("peer-v4", "target-v4"), ("target-v4", "peer-v4")):
            mac = lab[other].run(["cat", "/sys/class/net/v4/address"]).stdout.strip()
            lab[host].ip("neigh", "replace", lab[other].addr4, "lladdr", mac, "dev", "v4",
                         "nud", "permanent")
        def run(seed):
            """One in which the hop saw every frame: one more or less would move the dice, too."""
            while True:
                figures, hop = self.load(lab, "--loss", 0.1, "--seed", seed, count=2000, rate=4000)
                if not figures["overflows"]:
                    return figures, hop["out"]["lost"], hop["in"]["lost"]

        runs = [run(seed) for seed in (7, 7, 8)]
        assert runs[0][1:] == runs[1][1:] != runs[2][1:]
        for figures, out, back in runs:
            assert 130 < out < 270 and 130 < back < 270
            assert figures["lost"] == out + back and figures["corrupted"] == 0

    def test_delays_by_the_configured_time(self, lab, when_quiet):
        figures, _ = self.load(lab, "--delay", 20, count=200)
        assert is_clean(figures), figures
        assert figures["p50_us"] >= 40_000
        when_quiet(figures["p50_us"] < 60_000, figures)

    def test_jitter_keeps_the_order(self, lab):
        figures, hop = self.load(lab, "--delay", 10, "--jitter", 5, count=500)
        assert is_clean(figures), figures
        assert hop["out"]["reordered"] == hop["in"]["reordered"] == 0

    def test_reorders_and_duplicates(self, lab):
        figures, hop = self.load(lab, "--reorder", 0.1, "--duplicate", 0.05, count=1000)
        twice = hop["out"]["duplicated"] + hop["in"]["duplicated"]
        overflows = figures["overflows"]
        assert losses.excuses(figures["lost"], 1000, overflows) and not figures["corrupted"]
        # The load does not wait for copies of the last ones.
        assert twice - 5 - sum(overflows.values()) <= figures["duplicated"] <= twice
        assert twice > 50
        assert hop["out"]["reordered"] > 50

    def test_has_a_bottleneck_and_a_bounded_queue(self, lab, when_quiet):
        figures, hop = self.load(lab, "--rate", "8M", "--queue", 20, count=1000, rate=2000)
        full = hop["out"]["queue_full"]
        assert full > 300 and losses.excuses(figures["lost"] - full, 1000, figures["overflows"])
        assert figures["goodput_bps"] < 8.1e6
        when_quiet(figures["goodput_bps"] > 6e6, figures)

    @pytest.mark.parametrize("peer, head", [("peer-v4", 28), ("peer-v6", 48)])
    def test_drops_frames_above_its_mtu_and_sends_too_big_if_configured(self, lab, peer, head):
        mtu = 1300
        for size, clean in ((mtu - head, True), (mtu - head + 1, False)):
            figures, hop = self.load(lab, "--mtu", mtu, peer=peer, size=size, count=10, df=True)
            assert is_clean(figures) == clean
            assert hop["out"]["over_mtu"] == (0 if clean else 10)
        # The first is answered by too-big, after which the kernel refuses the rest.
        figures, hop = self.load(lab, "--mtu", mtu, "--icmp", peer=peer, size=1400, count=10,
                                 df=True)
        assert 0 < hop["out"]["icmp_sent"] < 10
        assert hop["out"]["icmp_sent"] + figures["send_errors"] == 10
        lab[peer].ip("-6" if peer == "peer-v6" else "-4", "route", "flush", "cache")

    def test_cuts_a_link(self, lab):
        lab.hop("peer-v4", "v4").cut()
        assert not lab["peer-v4"].reaches("198.18.4.20")
        lab.hop("peer-v4", "v4").set()
        assert lab["peer-v4"].reaches("198.18.4.20")

    def test_carries_jumbo_frames_and_vlan_tags(self, root, build):
        spec = topology.matrix()
        for host in ("peer-v4", "target-v4"):
            spec = spec.tuned(host, "v4", mtu=9000)
        with Lab(spec.tuned("peer-v4", "v4", mtu=9000, hop=()), build=build) as lab:
            assert lab["peer-v4"].reaches("198.18.4.20", 8972)
            got = lab["target-v4"].start(["/usr/bin/python3", "-c", RECEIVE_TAG])
            got.wait_line("^ready")
            lab["peer-v4"].run(["/usr/bin/python3", "-c", SEND_TAGGED])
            got.wait_line("^5 tagged")

    @pytest.mark.parametrize("options", [["--loss", "2"], ["--delay", "x"], ["--bogus"], []])
    def test_refuses_bad_options(self, lab, options):
        done = lab["relay"].run([lab.tool("hop"), *options, "v4"], check=False)
        assert done.returncode == 2 and done.stderr


def test_a_client_link_of_1280_bytes_answers_too_big(root, build):
    with Lab(topology.matrix(peer6_mtu=1280), build=build) as lab:
        peer, target = lab["peer-v6"], lab["target-v6"]
        assert peer.reaches("2001:db8:6::1", 1232) and not peer.reaches("2001:db8:6::1", 1233)
        assert not target.reaches(peer.addr6, 1233)
        assert "mtu 1280" in target.ip("-6", "route", "get", peer.addr6)
        assert target.reaches(peer.addr6, 1232)


STUN = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 5000))
s.settimeout(1)
for host in ("198.18.4.20", "198.18.4.1"):
    s.sendto(b"x", (host, 6000))
try:
    while True:
        print(s.recvfrom(2048)[0].decode(), flush=True)
except TimeoutError:
    print("done", flush=True)
"""

# Answers from the port asked and from another; prints who asked.
ANSWER = """
import socket
s, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
s.bind(("", 6000))
other.bind(("", 6001))
print("ready", flush=True)
peer = s.recvfrom(2048)[1]
print("asked by", *peer, flush=True)
s.sendto(b"same port", peer)
other.sendto(b"other port", peer)
"""

SPEAK = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b"unknown", ("198.18.4.101", 5000))
"""

NAT_KINDS = [
    # kind, received inside, one mapping for all destinations
    ("full-cone", {"same port", "other port", "unknown"}, True),
    ("address-restricted", {"same port", "other port"}, True),
    ("port-restricted", {"same port"}, True),
    ("symmetric", {"same port"}, False),
    ("cgnat", {"same port"}, True),
    ("udp-blocked", set(), None),
]


@pytest.mark.parametrize("kind, received, one_mapping", NAT_KINDS)
def test_nat_boxes_are_of_their_kind(root, build, kind, received, one_mapping):
    assert {k for k, *_ in NAT_KINDS} - {"cgnat"} == set(nat.KINDS)
    with Lab(topology.nat_pair(kind, "port-restricted"), build=build) as lab:
        answers = [lab[h].start(["/usr/bin/python3", "-c", ANSWER]) for h in ("target-v4", "relay")]
        for answer in answers:
            answer.wait_line("^ready")
        peer = lab["peer-a"].start(["/usr/bin/python3", "-c", STUN])
        if received:
            for answer in answers:
                answer.wait_line("^asked")
        lab["nat-b"].run(["/usr/bin/python3", "-c", SPEAK])
        peer.wait_line("^done")
        assert set(peer.text().splitlines()) - {"done"} == received
        if received:
            asked = [a.wait_line(r"^asked by (\S+) (\d+)$").groups() for a in answers]
            assert {address for address, _ in asked} == {"198.18.4.101"}
            assert (asked[0] == asked[1]) == one_mapping
        assert lab["peer-a"].reaches("198.18.4.20")
        assert not lab["target-v4"].reaches("198.19.1.10")


def test_a_firewall_lets_in_answers_alone(root, build):
    with Lab(topology.nat_pair("v6-firewall", "v6-open"), build=build) as lab:
        inside, outside = lab["peer-a"], lab["peer-b"]
        daemon.echo(inside)
        daemon.echo(outside)
        answered = daemon.exchange(inside, daemon.endpoint(outside.addr6, 7000), 100)
        unasked = daemon.exchange(outside, daemon.endpoint(inside.addr6, 7000), 100)
        assert answered["same"] == [100] and unasked["missing"] == [100]


def test_two_labs_at_once_do_not_meet(lab, root, build):
    with Lab(build=build) as other:
        other["target-v4"].ip("addr", "add", "198.18.4.77/24", "dev", "v4")
        assert other["peer-v4"].reaches("198.18.4.77")
        assert not lab["peer-v4"].reaches("198.18.4.77")
    assert lab["peer-v4"].reaches("198.18.4.20")


def test_removing_ends_stubborn_processes_and_leaves_nothing(root, build):
    lab = Lab(build=build).up()
    assert netns.left_of(lab.name)
    stubborn = lab["relay"].start(["sh", "-c", "trap '' TERM; echo ready; sleep 1000 & wait"])
    stubborn.wait_line("^ready")
    lab.close()
    assert not netns.left_of(lab.name) and not stubborn.alive
    lab.close()


def test_leaves_nothing_when_raising_fails(root, build):
    spec = topology.matrix().tuned("peer-v6", "v6", v6="2001:db8:6::nonsense/64")
    with pytest.raises(ValueError):
        Lab(spec, build=build)
    broken = Lab(topology.matrix().tuned("peer-v6", "v6", mtu=7), build=build)
    with pytest.raises(netns.LabError, match="mtu|MTU|Error|argument"):
        broken.up()
    assert not netns.left_of(broken.name)


@pytest.mark.parametrize("end", ["return", "exception", "TERM", "HUP", "INT"])
def test_leaves_nothing_however_its_owner_ends(root, build, end):
    then = {"return": "", "exception": "raise SystemError"}.get(end, "time.sleep(1000)")
    owner, name = start_owner(build, then)
    if then.startswith("time"):
        assert netns.left_of(name)
        owner.send_signal(getattr(signal, f"SIG{end}"))
    owner.wait(60)
    assert not netns.left_of(name)
    if end in ("TERM", "HUP"):
        assert owner.returncode == -getattr(signal, f"SIG{end}")


def test_a_killed_owners_lab_is_removed_as_stale_and_no_other(lab, root, build):
    owner, name = start_owner(build)
    owner.kill()
    owner.wait()
    left = netns.left_of(name)
    assert any(line.startswith("pid") for line in left) and len(left) > 10
    assert f"/sys/fs/bpf/{name}-relay-0" in left
    assert "is dead: lab down --stale" in cli("status").stdout
    done = cli("down", "--stale")
    assert done.returncode == 0 and f"removed {name}" in done.stdout, done
    assert not netns.left_of(name)
    assert lab["peer-v4"].reaches("198.18.4.20")


def test_a_lab_raised_by_hand_stays_until_lab_down(root):
    name = f"t{os.getpid()}"
    try:
        assert cli("up", "--name", name).stdout == name + "\n"
        assert cli("up", "--name", name).returncode == 1
        assert cli("down", "--stale").returncode == 0
        done = cli("exec", "--name", name, "peer-v6", "--", "sh", "-c", "ping -c1 target-v6; exit 7")
        assert done.returncode == 7 and "1 received" in done.stdout
        assert cli("exec", "--name", name, "nobody", "--", "true").returncode == 1
        assert name in cli("status").stdout
    finally:
        assert cli("down", name).returncode == 0
    assert not netns.left_of(name)
    assert cli("down", name).returncode == 1


def test_the_lab_reports_that_it_needs_root(root):
    # The capability is for a tree in a directory that only root may enter.
    done = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups",
                           "--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search",
                           LAB, "up"], text=True, capture_output=True, timeout=60)
    assert done.returncode == 1 and "needs root" in done.stderr
