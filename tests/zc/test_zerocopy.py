# SPDX-License-Identifier: GPL-3.0-or-later
"""AF_XDP zero-copy: culvertd in an emulated machine whose network drivers have it.

The guest takes the place of the lab's relay; peers and targets are the lab's.  TCG is slow and its
rates mean nothing: the tests show which path packets take, that all arrive, and that the guest's
kernel survives start, stop and death of the daemon.
"""
import os
import platform
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

import archive  # noqa: E402 (the path above finds them)
import daemon  # noqa: E402
import losses  # noqa: E402
import machine  # noqa: E402
import netns  # noqa: E402
import quiet  # noqa: E402
import topology  # noqa: E402
from daemon import exchange, is_clean, load, start_load  # noqa: E402
from lab import Lab, build_folder  # noqa: E402
from netns import LabError  # noqa: E402

ROWS = {
    "same_v4": ("peer-v4", "target-v4"),
    "bridge_4to6": ("peer-v4", "target-v6"),
    "bridge_6to4": ("peer-v6", "target-v4"),
    "same_v6": ("peer-v6", "target-v6"),
}
RELAY4, RELAY6 = "198.18.4.1", "2001:db8:6::1"
SIZES = (0, 1, 17, 64, 511, 1000, 1200)
# Drivers take frames to fill and to send by the first two, the copying modes call the last two.
ZEROCOPY = ("xp_alloc_batch", "xsk_tx_peek_release_desc_batch")
COPY = ("__xsk_rcv", "__xsk_generic_xmit")
# Without the IOMMU's addresses the driver has zero-copy, and refuses every socket that asks for it.
VIRTIO = "virtio-net-pci,disable-legacy=on,iommu_platform=%s,rx_queue_size=1024"
CONFIG = """\
datapath = %s
interfaces = {%s}
workers = %d
limits { conns = 64 tunnels = 64 tunnels-per-conn = 64 buffers = 1024 }
io { ring-packets = 1024 }
metrics { listen = "" }
policy { allow = {"198.18.0.0/15", "2001:db8::/32"} }
access { mode = open }
user = ""
"""


class GuestRelay:
    """The culvertd in a guest, its folders kept from one start to the next."""

    def __init__(self, guest):
        self.guest, self.fingerprint = guest, None

    def log(self):
        return self.guest.run("cat /run/log")

    def start(self, datapath="zerocopy", interfaces=("eth0", "eth1"), workers=1):
        """Returns when it serves; LabError with its output when it does not."""
        text = CONFIG % (datapath, ", ".join(f'"{name}"' for name in interfaces), workers)
        text = text.replace("\n", "\\n")
        self.guest.run(f"printf '{text}' >/etc/culvert.conf; : >/run/log")
        self.guest.run(
            "(sh -c 'echo $$ >/run/pid; exec culvertd --config /etc/culvert.conf --run-dir /run/culvert"
            " --state-dir /var/lib/culvert'; echo ended with $?) >/run/log 2>&1 &")
        said = self.wait_log("^(ready|ended with)")
        if "ended with" in said:
            raise LabError(said)
        self.fingerprint = re.search(r"pin: (sha256:\w+)", said)[1]
        # An igb starts anew for XDP, and its link is down meanwhile.
        self.guest.run("while grep -q 0 /sys/class/net/eth[01]/carrier; do usleep 100000; done")

    def wait_log(self, pattern, timeout=300):
        netns.wait_until(lambda: re.search(pattern, self.log(), re.MULTILINE), timeout,
                         lambda: f"culvertd in the guest: no {pattern!r}:\n{self.log()}")
        return self.log()

    def end(self, signal):
        """Signal it; returns its exit code."""
        self.guest.run(f"kill -{signal} $(cat /run/pid)")
        return int(re.search(r"ended with (\d+)", self.wait_log("^ended with"))[1])

    def ctl(self, *words):
        return self.guest.json(f"culvertctl --run-dir /run/culvert {' '.join(words)} --json")

    def interface_modes(self):
        return {link["name"]: link["mode"] for link in self.ctl("status")["interfaces"]}

    def socket_modes(self):
        return [(s["interface"], s["queue"], s["mode"])
                for worker in self.ctl("workers")["workers"] for s in worker["sockets"]]

    def overflows(self):
        """What full queues of the relay dropped, as losses.Watch has it of relays in the lab."""
        return losses.of_relay(self.ctl("status"), self.ctl("workers"))

    def address(self, peer):
        return daemon.endpoint(RELAY4 if peer.addr4 else RELAY6, 443)


def calls(guest):
    """How often the kernel's functions were called since boot, by the probes on them."""
    rows = guest.run("cat /sys/kernel/tracing/kprobe_profile").split("\n")
    return {row.split()[0]: int(row.split()[1]) for row in rows if row.strip()}


def new_calls(guest, before):
    return {name: n - before[name] for name, n in calls(guest).items()}


@pytest.fixture(scope="session")
def files():
    """The guest's parts: fetched at the first use, kept in the build folder."""
    if os.geteuid() != 0:
        pytest.skip("needs root: the lab makes network namespaces")
    if platform.machine() != "x86_64":
        pytest.skip("the emulated machine is an x86-64 one and runs this machine's programs")
    if not Path("/dev/net/tun").exists():
        pytest.skip("there is no /dev/net/tun, by which the emulated machine reaches the lab")
    # Emulation takes minutes of a CPU of its own; with less, its time limits fail.
    if (used := quiet.busy(2)) > os.cpu_count() / 2:
        pytest.skip(f"needs a quiet machine: other work uses {used:.1f} of {os.cpu_count()} CPUs")
    folder = build_folder() / "zc"
    try:
        archive.fetch(folder)
    except archive.NotAvailable as missing:
        pytest.skip(f"the packages of the emulated machine cannot be had: {missing}")
    return folder


@pytest.fixture(scope="module")
def initramfs(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guest")
    machine.build_initramfs(files, build_folder(), folder, folder / "initramfs")
    return folder / "initramfs"


@pytest.fixture(scope="module")
def lab(files):
    netns.preflight()
    netns.remove_stale()
    whole = topology.matrix()
    hosts = tuple(host for host in whole.hosts if not host.name.startswith("relay"))
    with Lab(replace(whole, hosts=hosts), build=build_folder()) as lab:
        yield lab


@pytest.fixture(scope="module")
def targets(lab):
    return daemon.echo_targets(lab)


@pytest.fixture(scope="module")
def boot(lab, files, initramfs):
    """boot(device, ...) is a guest with eth0 in the IPv4 network and eth1 in the IPv6 one."""
    logs = build_folder() / "test-logs" / "test_zerocopy"
    logs.mkdir(parents=True, exist_ok=True)
    guests = []

    def start(device, unplugged=None, queues=1, cpus=1):
        while guests:    # one at a time
            guests.pop().close()
        log = logs / f"console-{device.split('-')[0]}-{cpus}.log"
        guest = machine.Machine(files, initramfs, log, cpus)
        guests.append(guest)
        guest.add_interface(device, lab, "net4", queues)
        guest.add_interface(device, lab, "net6", queues)
        if unplugged:
            guest.add_interface(unplugged, lab, None)
        guest.boot()
        guest.run(f"ip addr add {RELAY4}/24 dev eth0; ip addr add {RELAY6}/64 dev eth1")
        # QEMU's igb makes fragments where segments were asked for.  Only the handshake meets it.
        guest.run("cd /sys/class/net && for nic in eth*; do ip link set $nic up;"
                  " ethtool -K $nic tx-udp-segmentation off || true; done")
        guest.run("cd /sys/kernel/tracing && " + " && ".join(
            f"echo p:zc/{name} {name} >>kprobe_events" for name in ZEROCOPY + COPY)
            + " && echo 1 >events/zc/enable")
        return guest

    yield start
    for guest in guests:
        guest.close()


@pytest.fixture(scope="module", params=["virtio", "igb"])
def guest(boot, request):
    """A guest with one kind of driver."""
    return boot("igb" if request.param == "igb" else VIRTIO % "on", unplugged=VIRTIO % "off")


@pytest.fixture(scope="module")
def relay(guest):
    """A culvertd on zero-copy, and nothing less."""
    relay = GuestRelay(guest)
    relay.start()
    return relay


@pytest.fixture
def forward(lab, request):
    started = []

    def start(peer, relay, target):
        log = lab.log_path(f"forward-{peer}")
        one = daemon.Forward(lab[peer], relay.address(lab[peer]), target, relay.fingerprint, log=log)
        started.append(one)
        return one.wait(300)

    yield start
    for one in started:
        one.stop()


def assert_row(lab, relay, forward, targets, row, count=300):
    peer, target = ROWS[row]
    client = forward(peer, relay, targets[target])
    found = exchange(lab[peer], client.address, *SIZES)
    assert found == {"same": list(SIZES), "different": [], "missing": []}
    before = relay.overflows()
    figures = load(lab[peer], client.address, size=1200, count=count, rate=400, wait=5000)
    figures["overflows"] |= {where: n - before.get(where, 0)
                             for where, n in relay.overflows().items()}
    assert is_clean(figures), figures
    return client


def test_every_socket_is_a_zero_copy_one(relay):
    assert relay.interface_modes() == {"eth0": "zerocopy", "eth1": "zerocopy"}
    assert all(not link["fallbacks"] for link in relay.ctl("status")["interfaces"])
    assert relay.socket_modes() == [("eth0", 0, "zerocopy"), ("eth1", 0, "zerocopy")]


@pytest.mark.parametrize("row", ROWS)
def test_every_byte_crosses_and_comes_back_without_being_copied(
        lab, guest, relay, forward, targets, row):
    before, steered = calls(guest), relay.ctl("status")["xdp"]
    assert_row(lab, relay, forward, targets, row)
    came = new_calls(guest, before)
    assert set(came) == {*ZEROCOPY, *COPY}
    assert all(came[name] > 0 for name in ZEROCOPY), came
    assert all(came[name] == 0 for name in COPY), came
    # And it was these packets that took that path.
    after = relay.ctl("status")["xdp"]
    for name in ("xdp_steer_conn", "xdp_steer_context"):
        assert after[name]["packets"] - steered[name]["packets"] >= 300


def test_a_driver_that_refuses_zero_copy_sockets_falls_back_to_copy(relay):
    assert relay.end("TERM") == 0
    with pytest.raises(LabError, match="datapath = zerocopy, but eth2 only supports copy; "
                                       "the driver takes no zero-copy socket: Invalid argument"):
        relay.start(interfaces=("eth2",))
    relay.start("auto", interfaces=("eth0", "eth1", "eth2"))
    assert relay.interface_modes() == {"eth0": "zerocopy", "eth1": "zerocopy", "eth2": "copy"}
    assert relay.end("TERM") == 0
    relay.start()


def end_under_traffic(lab, relay, forward, peer, target, address, signal):
    """Returns the exit code of a daemon that was signalled while a tunnel carried traffic."""
    client = forward(peer, relay, address)
    busy = start_load(lab[peer], client.address, count=10**6, rate=500)
    lab[target].wait_heard(100)
    code = relay.end(signal)
    busy.kill()
    client.stop()
    return code


def test_the_daemon_stops_under_traffic_and_restarts_repeatedly(
        lab, guest, relay, forward, targets):
    for _ in range(3):
        assert end_under_traffic(lab, relay, forward, "peer-v4", "target-v6", targets["target-v6"],
                                 "TERM") == 0
        assert "xsk_unbind" not in relay.log()
        assert guest.run("ls /sys/fs/bpf/culvert").strip() == ""
        relay.start()
        assert set(relay.interface_modes().values()) == {"zerocopy"}
    assert_row(lab, relay, forward, targets, "bridge_4to6")
    assert guest.complaints() == []


def test_a_daemon_killed_under_traffic_leaves_working_drivers(
        lab, guest, relay, forward, targets):
    for _ in range(2):
        assert end_under_traffic(lab, relay, forward, "peer-v6", "target-v4", targets["target-v4"],
                                 "KILL") == 137
        relay.start()
        assert set(relay.interface_modes().values()) == {"zerocopy"}
    assert_row(lab, relay, forward, targets, "bridge_6to4")
    assert relay.end("TERM") == 0
    assert guest.complaints() == []
    relay.start()


def test_queues_that_exist_only_under_xdp_use_copy_mode(
        lab, boot, forward, targets):
    guest = boot(VIRTIO % "on" + ",mq=on,vectors=10", queues=4, cpus=2)
    for nic in ("eth0", "eth1"):
        guest.run(f"ethtool -L {nic} combined 2")
    relay = GuestRelay(guest)
    with pytest.raises(LabError, match="datapath = zerocopy, but eth0 only supports copy; 2 of the 4 "
                                       "receive queues exist only while XDP is attached: "
                                       "ethtool -L"):
        relay.start(workers=2)
    relay.start("auto", workers=2)
    assert sorted(relay.socket_modes()) == [(nic, queue, "copy") for nic in ("eth0", "eth1")
                                     for queue in range(4)]
    for row in ROWS:
        assert_row(lab, relay, forward, targets, row, count=100)
    assert relay.end("TERM") == 0

    for nic in ("eth0", "eth1"):
        guest.run(f"ethtool -L {nic} combined 4")
    relay.start(workers=2)
    assert sorted(relay.socket_modes()) == [(nic, queue, "zerocopy") for nic in ("eth0", "eth1")
                                     for queue in range(4)]
    before = calls(guest)
    for row in ROWS:
        assert_row(lab, relay, forward, targets, row, count=100)
    assert all(new_calls(guest, before)[name] == 0 for name in COPY)
    assert relay.end("TERM") == 0
    relay.start(workers=2)
    assert set(relay.interface_modes().values()) == {"zerocopy"}
    assert_row(lab, relay, forward, targets, "same_v4", count=100)
    assert guest.complaints() == []
