# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets that the policy denies, in all spellings: refused, and no packet is sent to them."""
import re
import signal

import pytest

import daemon
from daemon import is_clean, load
from sniff import Watch

DATAPATHS = ("xdp", "sock")

# The lab's configuration allows 198.18.0.0/15 and 2001:db8::/32 and nothing else.
DENIED = [
    # of the relay itself
    "127.0.0.1", "127.8.9.10", "[::1]", "198.18.4.1", "[2001:db8:6::1]",
    "0.0.0.0", "[::]",
    # of its neighbourhood
    "169.254.7.7", "[fe80::1]", "[fec0::1]",
    # of many
    "224.0.0.1", "239.1.2.3", "255.255.255.255", "[ff02::1]", "[ff05::2]", "[ff0e::7]",
    # private, shared, reserved, documentation
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "192.0.0.8", "240.0.0.1", "203.0.113.7",
    "[fc00::1]", "[fd12:3456::1]", "[100::1]", "[3fff::1]", "[5f00::1]",
    # denied IPv4 addresses in IPv6 clothes: mapped, compatible
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]", "[::ffff:198.18.4.1]",
    "[::127.0.0.1]", "[::a00:1]",
    # 6to4, NAT64 (well-known and local), Teredo (the address of the client is inverted)
    "[2002:7f00:1::1]", "[2002:a00:1::1]", "[2002:c0a8:1::]", "[2002:a9fe:707::1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::10.0.0.1]", "[64:ff9b::a9fe:707]", "[64:ff9b::e000:1]",
    "[64:ff9b::198.18.4.1]", "[64:ff9b:1::7f00:1]", "[64:ff9b:1:7f00:0:100::]",
    "[2001:0:c633:6401:0:0:80ff:fffe]", "[2001:0:c633:6401::f5ff:fffe]",
    # SIIT; ISATAP behind an allowed prefix; what IANA does not allocate
    "[::ffff:0:127.0.0.1]", "[2001:db8:6::5efe:127.0.0.1]", "[2001:db8:6::200:5efe:10.0.0.1]",
    "[4000::1]", "[200::1]", "[64:ff9b:2::1]",
]
# Refused for whatever reason, as long as it is refused: broadcast of a subnet, odd spellings.
REFUSED = ["198.18.4.255", "2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1",
           "[fe80::1%v6]", "[::1%lo]"]
DENIED_CODE, NO_NAME = 15, 16


@pytest.fixture(scope="module")
def watch(lab, relay, logs):
    one = Watch(lab, "relay", logs)
    yield one
    one.stop()


def ask(lab, relay, target):
    """Ask for a target through the relay, from a peer that cannot reach it directly."""
    return daemon.ping(lab["peer-v6"], relay.address(6), f"{target}:7000", relay.fingerprint)


def test_the_watch_sees_what_leaves_the_relay(lab, relay, targets, logs):
    one = Watch(lab, "relay", logs)
    assert one.leaked() == []
    done = daemon.ping(lab["peer-v6"], relay.address(6), targets["target-v4"], relay.fingerprint)
    assert done.returncode == 0, done.stderr
    assert len(one.leaked()) == 2
    one.stop()


@pytest.mark.parametrize("target", DENIED)
def test_a_denied_target_is_refused_and_nothing_is_sent(lab, relay, watch, target):
    done = ask(lab, relay, target)
    assert done.returncode == DENIED_CODE, done.stderr
    bare = target.strip("[]")
    said = f"culvert: the relay's policy denies target {bare} (status 502"
    assert done.stderr.startswith(said)
    assert watch.leaked() == []


@pytest.mark.parametrize("target", REFUSED)
def test_a_nonsensical_target_is_refused_and_nothing_is_sent(lab, relay, watch, target):
    done = ask(lab, relay, target)
    assert done.returncode not in (0, 3), done.stdout
    assert done.stderr.startswith("culvert: ")
    assert watch.leaked() == []


def test_a_name_is_evaluated_by_its_address(lab, relay, watch):
    lab["relay"].set_names({"own.example": "198.18.4.1", "inside.example": "127.0.0.1",
                            "mapped.example": "::ffff:10.0.0.1",
                            "both.example": ["10.0.0.1", "::1"]})
    for name in ("own.example", "inside.example", "both.example"):
        done = ask(lab, relay, name)
        assert done.returncode == DENIED_CODE, done.stderr
        # Where it leads is nobody's business: only the name is named.
        assert f"target {name} (status 502" in done.stderr
        assert not re.search(r"198\.18|127\.0|10\.0|::1", done.stderr), done.stderr
    assert ask(lab, relay, "mapped.example").returncode in (DENIED_CODE, NO_NAME)
    assert watch.leaked() == []


def test_names_of_the_relays_own_network_are_nobodys(lab, relay, watch):
    lab["relay"].set_names({"intranet": "198.18.4.20", "printer.local": "198.18.4.20"})
    for name in ("relay", "localhost", "intranet", "printer.local"):
        done = ask(lab, relay, name)
        assert done.returncode == NO_NAME, done.stderr
    assert watch.leaked() == []


def test_a_longer_prefix_decides(lab, start_relay, targets):
    relay = start_relay("relay-v4only", config='policy { allow = {"198.18.0.0/15"}\n'
                                               'deny = {"198.18.4.20/32"} }\n')
    done = daemon.ping(lab["peer-v4"], relay.address(4), targets["target-v4"], relay.fingerprint)
    assert done.returncode == DENIED_CODE, done.stderr
    rules = {rule["prefix"]: rule for rule in relay.ctl("policy")["rules"]}
    assert rules["198.18.0.0/15"] == {"prefix": "198.18.0.0/15", "verdict": "allow",
                                      "why": "operator"}
    assert rules["198.18.4.20/32"]["verdict"] == "deny"


def test_a_reload_applies_to_open_tunnels_too(lab, start_relay, forward, targets):
    relay = start_relay("relay-v4only", config='policy { allow = {"198.18.4.20/32"} }\n')
    client = forward("peer-v4", relay, targets["target-v4"])
    assert is_clean(load(lab["peer-v4"], client.address, count=10))

    relay.configure('policy { allow = {"2001:db8::/32"} deny = {"198.18.4.20/32"} }\n')
    relay.proc.send(signal.SIGHUP)
    relay.proc.wait_line(r"\breloaded\b")
    figures = load(lab["peer-v4"], client.address, count=10, wait=200)
    assert figures["received"] == 0
    done = daemon.ping(lab["peer-v4"], relay.address(4), targets["target-v4"], relay.fingerprint)
    assert done.returncode == DENIED_CODE, done.stderr

    relay.configure("policy { allow = {\"no prefix\"} }\n")
    relay.proc.send(signal.SIGHUP)
    relay.proc.wait_line(r"\breload_refused\b")
    assert [r["prefix"] for r in relay.ctl("policy")["rules"] if r["why"] == "operator"]
