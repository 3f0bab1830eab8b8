# SPDX-License-Identifier: GPL-3.0-or-later
"""A relay on a host that also masquerades for others: containers, virtual machines, a home.

The matrix, and behind the relay's host one that it masquerades:   inside ===== relay

Masquerading keeps a flow's port where it can, whatever sockets the host has.
"""
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import daemon
import topology
from daemon import endpoint
from netns import wait_until

DATAPATHS = ("xdp", "generic", "sock")
PORTS = range(30000, 30010)
CONFIG = daemon.CONFIG + f"egress {{ port-min = {PORTS[0]}  port-max = {PORTS[-1]} }}\n"
MASQUERADE = """
table ip host_nat {
	chain leave {
		type nat hook postrouting priority srcnat;
		ip saddr 198.19.9.0/24 oifname "v4" masquerade
	}
}
"""

# As a kernel without BTF of its own.
NO_BTF = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh"]


def with_inside():
    one = topology.matrix()
    relay = one.host("relay")
    relay = replace(relay, forwards=True, links=(
        *relay.links, topology.Link("lan", "lan", "198.19.9.1/24")))
    inside = topology.Host("inside", (topology.Link("v4", "lan", "198.19.9.2/24"),),
                           (("default", "198.19.9.1"),))
    return replace(one, name="host-nat", networks=(*one.networks, topology.Network("lan")),
                   hosts=(relay, inside, *(h for h in one.hosts if h.name != "relay")))


TOPOLOGY = with_inside()

# Sockets that each send a datagram to argv[1] at every line of stdin; prints how many were answered.
# Ports of them: argv[2:], 0 for any.
TALK = """
import select, socket, sys, time
host, _, port = sys.argv[1].rpartition(":")
talks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in sys.argv[2:]]
for one, own in zip(talks, sys.argv[2:]):
    one.bind(("", int(own)))
    one.connect((host, int(port)))
print("ready", flush=True)
for line in sys.stdin:
    missing = {one: b"%d %s" % (i, line.strip().encode()) for i, one in enumerate(talks)}
    for _ in range(10):
        for one, payload in missing.items():
            one.send(payload)
        until = time.monotonic() + 1
        while missing and time.monotonic() < until:
            for one in select.select(list(missing), [], [], 0.1)[0]:
                if one.recv(100) == missing[one]:
                    del missing[one]
        if not missing:
            break
    print(len(talks) - len(missing), flush=True)
"""


@pytest.fixture(scope="module")
def masquerade(lab, targets):
    """Returns the address of another service of target-v4."""
    daemon.echo(lab["target-v4"], 7001)
    lab["relay"].run(["nft", "-f", "-"], text=MASQUERADE)
    return endpoint(lab["target-v4"].addr4, 7001)


@pytest.fixture(params=("all", "each"))
def switch(lab, request):
    """The host forwards by the switch for all, or, as systemd-networkd has it, by those of interfaces."""
    def turn(*values):
        lab["relay"].run(["sysctl", "-qw", *(f"net.{one}" for one in values)])

    if request.param == "each":
        turn("ipv6.conf.all.forwarding=0", "ipv4.conf.all.forwarding=0",
             "ipv4.conf.v4.forwarding=1", "ipv4.conf.lan.forwarding=1")
    yield
    turn("ipv4.conf.all.forwarding=1", "ipv6.conf.all.forwarding=1")


@pytest.fixture(scope="module")
def apps(lab):
    daemon.echo(lab["peer-v4"], 7002)
    return "127.0.0.1:7002"


@pytest.fixture
def talk(lab):
    started = []

    def start(host, address, ports):
        one = lab[host].popen([sys.executable, "-c", TALK, address, *map(str, ports)], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert one.stdout.readline() == "ready\n"
        started.append(one)

        def answered(word):
            one.stdin.write(f"{word}\n")
            one.stdin.flush()
            return json.loads(one.stdout.readline())

        return answered

    yield start
    for one in started:
        one.kill()


def test_ports_that_are_open_to_all_leave_them_alone(
        switch, start_relay, bind, apps, masquerade, talk, datapath):
    relay = start_relay(config=CONFIG % {"datapath": datapath}, datapath=datapath)
    serving = [bind("peer-v4", relay, app=apps) for _ in range(4)]
    own = talk("inside", masquerade, PORTS)
    assert own("first") == len(PORTS)
    anybody = [talk("target-v4", one.public(4), [0]) for one in serving]
    assert [one("hello") for one in anybody] == [1] * len(serving)
    assert own("again") == len(PORTS)


def test_flows_that_the_host_masquerades_are_its_own(
        start_relay, forward, targets, masquerade, talk, datapath):
    """They have the ports of tunnels to another target."""
    relay = start_relay(config=CONFIG % {"datapath": datapath}, datapath=datapath)
    client = forward("peer-v4", relay, targets["target-v4"])
    tunnels = talk("peer-v4", client.address, [0] * 8)
    assert tunnels("before") == 8
    own = talk("inside", masquerade, PORTS)
    assert own("first") == len(PORTS)
    assert own("again") == len(PORTS)
    assert tunnels("after") == 8


def test_where_connection_tracking_cannot_be_asked_the_log_says_why(lab, start_relay):
    """And warns from when the host forwards."""
    def forwarding(on):
        lab["relay"].run(["sysctl", "-qw", f"net.ipv4.conf.all.forwarding={on}",
                          f"net.ipv6.conf.all.forwarding={on}"])

    def lines():
        return re.findall(r"^(\w+) no_xdp_conntrack (.*)", relay.proc.text(), re.M)

    if not Path("/sys/kernel/btf/vmlinux").exists():
        pytest.skip("the kernel has no BTF of its own to hide")
    forwarding(0)
    try:
        relay = start_relay(config=CONFIG % {"datapath": "generic"}, datapath="generic",
                            wrapper=NO_BTF)
        (level, said), = lines()
        assert level == "info" and 'hint="a kernel with BTF of its own' in said
    finally:
        forwarding(1)
    wait_until(lambda: len(lines()) == 2, what="a warning that the host forwards now")
    level, said = lines()[1]
    assert level == "warn" and 'hint="a kernel with BTF of its own' in said and "egress" in said
