# SPDX-License-Identifier: GPL-3.0-or-later
"""A name with an address that does not answer: the tunnel gets the next one."""
import sys

import daemon
import pytest

DATAPATHS = ("xdp", "generic", "sock")
SILENT = """
import socket, sys
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
    one.bind(("::", int(sys.argv[1])))
    print("ready", flush=True)
    while True:
        print("heard", len(one.recv(65536)), flush=True)
"""


@pytest.fixture(scope="module", autouse=True)
def names(lab):
    v4, v6 = lab["target-v4"].addr4, lab["target-v6"].addr6
    lab["relay"].set_names({
        "both.example": [v4, v6],
        "nobody.example": [v4, "2001:db8:6::99"],
    })
    daemon.echo(lab["target-v4"], 7001)
    daemon.echo(lab["target-v4"], 7002)


def moved(relay):
    counters = relay.ctl("status")["counters"]
    return counters["targets_unreachable"], counters["targets_silent"]


def exchange(lab, forward, relay, target):
    """Three datagrams, one after the other, of which the first waits for the next address."""
    client = forward("peer-v4", relay, target)
    return daemon.exchange(lab["peer-v4"], client.address, 100, 1200, 0)


def test_a_host_without_a_server_there_is_left_at_once(lab, relay, forward):
    """The IPv6 host has no socket at the port, and its kernel sends an ICMPv6 error."""
    before = moved(relay)
    found = exchange(lab, forward, relay, "both.example:7001")
    assert found["same"] == [100, 1200, 0], found
    assert moved(relay) == (before[0] + 1, before[1])


def test_a_silent_host_is_left_and_hears_no_more(lab, relay, forward):
    before = moved(relay)
    silent = lab["target-v6"].start([sys.executable, "-c", SILENT, 7002])
    silent.wait_line(r"^ready")
    found = exchange(lab, forward, relay, "both.example:7002")
    assert found["same"] == [100, 1200, 0], found
    assert moved(relay) == (before[0], before[1] + 1)
    assert silent.text().count("heard") == 1
    targets = [t["target"] for t in relay.ctl("tunnels")["tunnels"]]
    assert f"{lab['target-v4'].addr4}:7002" in targets
    silent.stop()


def test_an_address_without_a_host_is_left(lab, relay, forward):
    before = moved(relay)
    found = exchange(lab, forward, relay, "nobody.example:7001")
    assert found["same"] == [100, 1200, 0], found
    assert sum(moved(relay)) == sum(before) + 1


def test_of_two_hosts_that_answer_the_second_hears_nothing(lab, relay, forward):
    echo = daemon.echo(lab["target-v6"], 7003)
    other = lab["target-v4"].start(
        [sys.executable, "-c", SILENT.replace("INET6", "INET").replace("::", ""), 7003])
    other.wait_line(r"^ready")
    before = moved(relay)
    client = forward("peer-v4", relay, "both.example:7003")
    for _ in range(3):
        found = daemon.exchange(lab["peer-v4"], client.address, 100, 1200)
        assert found["same"] == [100, 1200], found
    assert "heard" not in other.text() and moved(relay) == before
    echo.stop()
    other.stop()
