# SPDX-License-Identifier: GPL-3.0-or-later
"""A relay with two uplinks, each with an address of its provider, which drops foreign sources.

    peer, target -- provider-a (198.18.1.0/24) -- ua \\
                 \\                                    relay, default routes by provider-a
                  - provider-b (198.18.2.0/24) -- ub /

Rules send what comes from an address by the uplink that it belongs to (ip-rule(8), RFC 8028).
"""
import re
import sys

import pytest

import daemon
import topology
from daemon import CONFIG, exchange, ping
from netns import wait_until

TOPOLOGY = topology.two_uplinks()
DATAPATHS = ("xdp", "generic", "sock")
RELAY_CONFIG = CONFIG + 'bind { local = {"198.18.2.2", "2001:db8:2::2"} }\n'
SECOND = {4: "198.18.2.2", 6: "2001:db8:2::2"}
TARGET = {4: "198.18.4.20:7000", 6: "[2001:db8:4::20]:7000"}
FILTER = """
table inet provider {
	chain customers {
		type filter hook forward priority 0
		iifname cust ip saddr != 198.18.%(n)d.0/24 counter drop
		iifname cust ip6 saddr != 2001:db8:%(n)d::/64 counter drop
	}
}
"""
# Calls that must come back from where they were sent to.
CALL = """
import socket, sys
host, _, port = sys.argv[1].rpartition(":")
with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as one:
    one.settimeout(2)
    one.connect((host.strip("[]"), int(port)))
    for n in range(20):
        one.send(b"call%d" % n)
        assert one.recv(100) == b"call%d" % n
"""


def rule(lab, verb, family):
    lab["relay"].ip(f"-{family}", "rule", verb, "from", SECOND[family], "lookup", 200, "pref", 100)


@pytest.fixture(scope="module", autouse=True)
def uplinks(lab):
    for n, letter in enumerate("ab", 1):
        lab[f"provider-{letter}"].run(["nft", "-f", "-"], text=FILTER % {"n": n})
    relay = lab["relay"]
    for family, net, gateway in ((4, "198.18.2.0/24", "198.18.2.1"),
                                 (6, "2001:db8:2::/64", "2001:db8:2::1")):
        relay.ip(f"-{family}", "route", "add", net, "dev", "ub", "table", 200)
        relay.ip(f"-{family}", "route", "add", "default", "via", gateway, "table", 200)
        rule(lab, "add", family)
    daemon.echo(lab["target"])
    daemon.echo(lab["peer"], 7100)


def foreign(lab, provider):
    """Packets of foreign sources that a provider has dropped."""
    said = lab[provider].run(["nft", "list", "table", "inet", "provider"]).stdout
    return sum(map(int, re.findall(r"counter packets (\d+)", said)))


@pytest.mark.parametrize("family", (4, 6))
@pytest.mark.parametrize("uplink", ("ua", "ub"))
def test_clients_are_answered_by_the_uplink_of_the_address_they_came_to(lab, relay, uplink, family):
    link = lab["relay"].spec.link(uplink)
    at = daemon.endpoint((link.v4 if family == 4 else link.v6).split("/")[0], 443)
    dropped = foreign(lab, "provider-a")
    done = ping(lab["peer"], at, TARGET[family], relay.fingerprint)
    assert done.returncode == 0, done.stderr
    assert foreign(lab, "provider-a") == dropped


@pytest.mark.parametrize("family", (4, 6))
def test_a_tunnel_leaves_by_the_uplink_of_the_source_that_its_route_prefers(
        lab, relay, forward, family):
    """The route is by provider-a, with the source of provider-b, whose rule decides then."""
    prefix, gateway = {4: ("198.18.4.20/32", "198.18.1.1"),
                       6: ("2001:db8:4::20/128", "2001:db8:1::1")}[family]
    words = (f"-{family}", "route")
    lab["relay"].ip(*words, "add", prefix, "via", gateway, "src", SECOND[family])
    dropped = foreign(lab, "provider-a")
    try:
        client = forward("peer", relay, TARGET[family])
        assert exchange(lab["peer"], client.address, 1, 500, 1200)["same"] == [1, 500, 1200]
        sources = {tunnel["local"].rpartition(":")[0].strip("[]")
                   for tunnel in relay.ctl("tunnels")["tunnels"]}
        assert SECOND[family] in sources
        assert foreign(lab, "provider-a") == dropped
        assert client.stop() == 0
    finally:
        lab["relay"].ip(*words, "del", prefix)


@pytest.mark.parametrize("family", (4, 6))
def test_a_port_bound_on_the_second_uplink_answers_its_callers(lab, relay, bind, family):
    client = bind("peer", relay, app="127.0.0.1:7100")
    public = client.public(family)
    assert public.rpartition(":")[0].strip("[]") == SECOND[family]
    dropped = foreign(lab, "provider-a")
    lab["target"].run([sys.executable, "-c", CALL, public])
    assert foreign(lab, "provider-a") == dropped


@pytest.mark.parametrize("family", (4, 6))
def test_a_rule_that_changes_is_followed(lab, relay, forward, bind, family):
    client = forward("peer", relay, TARGET[family],
                     relay_at=daemon.endpoint(SECOND[family], 443))
    public = bind("peer", relay, app="127.0.0.1:7100").public(family)

    def flows():
        return exchange(lab["peer"], client.address, 100)["same"] == [100]

    def calls():
        return lab["target"].run([sys.executable, "-c", CALL, public],
                                 check=False).returncode == 0

    assert flows() and calls()
    for asks in (flows, calls):
        dropped = foreign(lab, "provider-a")
        rule(lab, "del", family)
        try:
            # Then it leaves by the default route, and provider-a has none of it.
            wait_until(lambda: not asks() and foreign(lab, "provider-a") > dropped)
        finally:
            rule(lab, "add", family)
        wait_until(asks)
