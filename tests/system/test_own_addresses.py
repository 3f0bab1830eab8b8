# SPDX-License-Identifier: GPL-3.0-or-later
"""What the relay's host takes itself is no target and no remote: no client reaches its services.

    peer-v6 -- relay: 198.18.4.1, 198.18.60.1 on lo, 198.18.50.0/24 and 2001:db8:50::/64 local by routes
                      alone, and 198.18.55.5 for a 1:1 NAT in front of it
"""
import re

import pytest

import daemon
from daemon import CONFIG, ping
from netns import wait_until
from sniff import Watch

DATAPATHS = ("xdp", "generic", "sock")
RELAY_CONFIG = CONFIG + 'bind { public = {"198.18.55.5"} }\n'
DENIED_CODE = 15
OWN = ["198.18.4.1", "[2001:db8:6::1]", "198.18.60.1", "198.18.50.5", "[2001:db8:50::5]",
       "198.18.4.255", "198.18.55.5", "127.0.0.1", "[::1]"]
PORT = 7060     # where a service of the host listens


@pytest.fixture(scope="module", autouse=True)
def service(lab):
    relay = lab["relay"]
    relay.ip("addr", "add", "198.18.60.1/32", "dev", "lo")
    relay.ip("route", "add", "local", "198.18.50.0/24", "dev", "lo")
    relay.ip("-6", "route", "add", "local", "2001:db8:50::/64", "dev", "lo")
    daemon.echo(relay, PORT)


@pytest.fixture(scope="module")
def watch(lab, relay, logs):
    one = Watch(lab, "relay", logs)
    yield one
    one.stop()


def ask(lab, relay, target):
    return ping(lab["peer-v6"], relay.address(6), f"{target}:{PORT}", relay.fingerprint)


@pytest.mark.parametrize("target", OWN)
def test_an_address_of_the_host_is_no_target(lab, relay, watch, target):
    done = ask(lab, relay, target)
    assert done.returncode == DENIED_CODE, done
    assert target in ("127.0.0.1", "[::1]") or "own address" in done.stderr, done.stderr
    assert watch.leaked() == []


def test_an_address_of_the_host_is_no_remote_of_a_bound_tunnel(lab, relay, bind, watch):
    words = [word for own in OWN for word in ("--permit", f"{own}:{PORT}")]
    client = bind("peer-v6", relay, *words)
    for own in OWN:
        client.proc.wait_line(rf"^refused {re.escape(own)}:{PORT}\b")
    assert client.stop() == 0
    assert watch.leaked() == []


@pytest.mark.parametrize("words", (("addr", "{0}/32", "dev", "lo"),
                                   ("route", "local", "{0}/32", "dev", "lo")), ids=lambda w: w[0])
def test_what_becomes_an_address_of_the_host_is_given_up(lab, relay, forward, bind, targets, words):
    """An address of a target moves to the relay's host while a tunnel and a remote have it."""
    target, host, moves = lab["target-v4"], lab["relay"], "198.18.61.1"
    kind, *rest = [word.format(moves) for word in words]
    target.ip("addr", "add", f"{moves}/32", "dev", "lo")
    host.ip("route", "add", f"{moves}/32", "via", target.addr4)
    ended = relay.ctl("status")["counters"]["remotes_revoked"]
    client = forward("peer-v6", relay, f"{moves}:7000")
    assert daemon.exchange(lab["peer-v6"], client.address, 100)["same"] == [100]
    permitted = bind("peer-v6", relay, "--permit", f"{moves}:{PORT}")
    permitted.local(f"{moves}:{PORT}")
    try:
        host.ip(kind, "add", *rest)
        wait_until(lambda: relay.ctl("status")["counters"]["remotes_revoked"] > ended)
        wait_until(lambda: not any(tunnel["target"] == f"{moves}:7000"
                                   for tunnel in relay.ctl("tunnels")["tunnels"]))
        assert ask(lab, relay, moves).returncode == DENIED_CODE
    finally:
        host.ip(kind, "del", *rest)
        host.ip("route", "del", f"{moves}/32", "via", target.addr4)
        target.ip("addr", "del", f"{moves}/32", "dev", "lo")
