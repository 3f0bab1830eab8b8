# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets given by name: the relay resolves them and chooses an address it can reach."""
import daemon
import pytest

NO_FAMILY, DENIED, NO_NAME = 14, 15, 16


@pytest.fixture(autouse=True)
def names(lab):
    v4, v6 = lab["target-v4"].addr4, lab["target-v6"].addr6
    for host in ("relay", "relay-v4only"):
        lab[host].set_names({
            "four.example": [v4],
            "six.example": [v6],
            "both.example": [v4, v6],
            "inside.example": ["127.0.0.1"],
        })


def ping(lab, relay, name, peer="peer-v4"):
    return lab[peer].run(
        [lab.build / "culvert", "ping", "--relay", relay.address(4), "--pin", relay.fingerprint,
         "--target", f"{name}:7000", "--count", 5, "--interval", 0.01], check=False)


@pytest.mark.parametrize("name", ["four.example", "six.example", "both.example"])
def test_a_name_is_resolved_by_the_relay(lab, relay, targets, name):
    done = ping(lab, relay, name)
    assert done.returncode == 0 and "received 5 loss 0.0% wrong 0" in done.stdout, done


def test_a_relay_of_one_family_takes_the_address_it_can_reach(lab, targets, start_relay):
    relay = start_relay("relay-v4only")
    done = ping(lab, relay, "both.example")
    assert done.returncode == 0 and "received 5 loss 0.0% wrong 0" in done.stdout, done
    done = ping(lab, relay, "six.example")
    assert done.returncode == NO_FAMILY and "family" in done.stderr, done


def test_a_name_that_does_not_exist_is_reported(lab, relay):
    done = ping(lab, relay, "nobody.example")
    assert done.returncode == NO_NAME and "nobody.example" in done.stderr, done


def test_a_name_of_a_loopback_address_is_denied(lab, relay):
    done = ping(lab, relay, "inside.example")
    assert done.returncode == DENIED and "denies" in done.stderr, done


def test_an_unknown_relay_is_distinguished_from_an_unreachable_one(lab):
    culvert = lab.build / "culvert"
    pin = "sha256:" + "0" * 64
    unknown = lab["peer-v4"].run(
        [culvert, "ping", "--relay", "relay.invalid:443", "--pin", pin, "--target", "192.0.2.1:7"],
        check=False)
    assert unknown.returncode == 18 and "no such relay" in unknown.stderr
    unreachable = lab["peer-v4"].run(
        [culvert, "ping", "--relay", "[2001:db8:6::1]:443", "--pin", pin, "--target", "192.0.2.1:7"],
        check=False)
    assert unreachable.returncode == 10 and "no route" in unreachable.stderr
    silent = lab["peer-v4"].run(
        [culvert, "ping", "--relay", daemon.endpoint(lab["target-v4"].addr4, 4444), "--pin", pin,
         "--target", "192.0.2.1:7"], check=False)
    assert silent.returncode == 11 and "10 s" in silent.stderr


def test_an_ipv6_only_relay_reaches_ipv4_by_the_networks_nat64(lab, start_relay, datapath):
    """Host relay plays the NAT64: what it translates an address to is one of its own."""
    host, inside = lab["target-v6"], "2001:db8:6:64::c612:414"
    host.set_names({"ipv4only.arpa": "2001:db8:6:64::c000:aa"})
    lab["relay"].ip("-6", "addr", "add", f"{inside}/128", "dev", "lo")
    host.ip("-6", "route", "add", "2001:db8:6:64::/96", "via", lab["relay"].addr6)
    echo = lab["relay"].start([lab.build / "lab/udpecho", "--port", 7064, "--quiet"])
    try:
        relay = start_relay("target-v6", datapath=datapath)
        relay.proc.wait_line(r"\bnat64 prefix=2001:db8:6:64::/96")
        done = daemon.ping(lab["peer-v6"], relay.address(6), "198.18.4.20:7064", relay.fingerprint)
        assert done.returncode == 0, done
        denied = daemon.ping(lab["peer-v6"], relay.address(6), "10.0.0.1:7064", relay.fingerprint)
        assert denied.returncode == DENIED, denied
    finally:
        echo.stop()
        lab["relay"].ip("-6", "addr", "del", f"{inside}/128", "dev", "lo")
