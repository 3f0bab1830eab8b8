# SPDX-License-Identifier: GPL-3.0-or-later
"""A client on an IPv6 link of MTU 1280, the smallest there is, alone and beside another one."""
import pytest

import topology
from daemon import endpoint, exchange, is_clean, load
from netns import wait_until

TOPOLOGY = topology.matrix(peer6_mtu=1280)
DATAPATHS = ("xdp", "generic", "sock")


@pytest.mark.parametrize("target", ["target-v4", "target-v6"])
def test_1200_bytes_pass_over_an_ipv6_link_of_mtu_1280(lab, relay, forward, targets, target):
    client = forward("peer-v6", relay, targets[target])
    client.proc.wait_line(r"^max payload 1200$")
    figures = load(lab["peer-v6"], client.address, size=1200, count=1000, rate=1000)
    assert is_clean(figures), figures
    assert exchange(lab["peer-v6"], client.address, 0, 1, 1200, 1201, 1200) == {
        "same": [0, 1, 1200, 1200], "different": [], "missing": [1201]}
    # Larger payloads were probed, and none was accepted.
    payloads = [line for line in client.proc.text().splitlines() if line.startswith("max payload")]
    assert payloads[-1] == "max payload 1200"


# An application that opens a tunnel, and counts the datagrams of 1400 bytes that come through it.
TAP = """
import socket, sys
host, _, port = sys.argv[1].rpartition(":")
host = host.strip("[]")
with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as one:
    one.connect((host, int(port)))
    one.send(sys.argv[2].encode())
    count = 0
    while True:
        count += len(one.recv(65536)) == 1400
        print("got", count, flush=True)
"""

# A target that sends COUNT datagrams of 1400 bytes to the narrow tunnel and to the wide one in turn,
# and prints the path MTU that its host has learnt.
TARGET = """
import socket, sys, time
is_v6, port, count = sys.argv[1] == "6", int(sys.argv[2]), int(sys.argv[3])
family = socket.AF_INET6 if is_v6 else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as one:
    one.bind(("::" if is_v6 else "0.0.0.0", port))
    print("ready", flush=True)
    tunnels = {}
    while len(tunnels) < 2:
        name, tunnel = one.recvfrom(65536)
        if name in (b"narrow", b"wide"):
            tunnels[name] = tunnel
    for _ in range(count):
        for name in (b"narrow", b"wide"):
            one.sendto(bytes(1400), tunnels[name])
            time.sleep(0.02)
    with socket.socket(family, socket.SOCK_DGRAM) as fresh:
        fresh.connect(tunnels[b"wide"])
        print("path mtu", fresh.getsockopt(*((41, 24) if is_v6 else (0, 14))), flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("target", ["target-v4", "target-v6"])
def test_a_narrow_client_does_not_shrink_the_target_of_a_wide_one(lab, relay, forward, target):
    count = 50
    host = lab[target]
    port = 7300 + DATAPATHS.index(relay.datapath) if relay.datapath in DATAPATHS else 7309
    is_v6 = host.addr6 is not None
    at = endpoint(host.addr6 or host.addr4, port)
    sender = host.start(["/usr/bin/python3", "-c", TARGET, "6" if is_v6 else "4", port, count],
                        name="sender")
    sender.wait_line("^ready")
    wide, narrow = forward("peer-v4", relay, at), forward("peer-v6", relay, at)
    load(lab["peer-v4"], wide.address, size=64, count=100)    # so that it finds its path's size
    wide.proc.wait_line(r"^max payload 1[4-9]\d\d$")
    before = relay.ctl("status")["counters"]

    def counted(name):
        return relay.ctl("status")["counters"].get(name, 0) - before.get(name, 0)

    apps = [lab[peer].start(["/usr/bin/python3", "-c", TAP, one.address, name], name=name)
            for peer, one, name in (("peer-v4", wide, "wide"), ("peer-v6", narrow, "narrow"))]
    assert int(sender.wait_line(r"^path mtu (\d+)$", 60).group(1)) == 1500
    apps[0].wait_line(f"^got {count}$")
    # The relay drops what the narrow path does not take, says so, and does not tell the target.
    wait_until(lambda: counted("drop_too_big_peer") == count)
    assert counted("icmp_too_big_sent") == 0
    assert counted("icmp_withheld") + counted("icmp_limited") == count
    for one in (*apps, sender):
        one.kill()
