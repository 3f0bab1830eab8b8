# SPDX-License-Identifier: GPL-3.0-or-later
"""culvert nat: the kind of NAT by three relays, one of which is dead."""
import json

import pytest

import daemon
import topology
from lab import Lab

DEAD = "198.18.4.99:443"    # nobody has this address
COLD = "198.18.4.20:444"    # a host that has nothing there, and says so
PAIRS = (("full-cone", "address-restricted"), ("port-restricted", "symmetric"),
         ("cgnat", "udp-blocked"))
# kind: (class, exit status)
KINDS = {"full-cone": ("cone", 0), "address-restricted": ("cone", 0),
         "port-restricted": ("cone", 0), "cgnat": ("cone", 0), "symmetric": ("symmetric-port", 3),
         "udp-blocked": ("unknown", 4)}


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def natted(request, root, build, logs, tmp_path_factory):
    """(lab, kinds, addresses of its two relays)"""
    with Lab(topology.nat_pair(*request.param), build=build) as lab:
        relays = [daemon.Relay(lab[host], tmp_path_factory.mktemp("r"), datapath="sock",
                               log=logs / f"culvertd-{host}.log").start()
                  for host in ("relay", "target-v4")]
        yield lab, dict(zip("ab", request.param)), [relay.address(4) for relay in relays]
        for relay in relays:
            relay.stop()


def nat(host, *relays, options=("--json",), timeout=30):
    words = [word for relay in relays for word in ("--relay", relay)]
    return host.run([host.lab.build / "culvert", "nat", *words, *options], check=False,
                    timeout=timeout)


@pytest.mark.parametrize("side", "ab")
def test_the_class_is_right_though_one_relay_is_dead(natted, side):
    lab, kinds, relays = natted
    expected, status = KINDS[kinds[side]]
    done = nat(lab[f"peer-{side}"], relays[0], DEAD, relays[1])
    said = json.loads(done.stdout)
    print(kinds[side], said)
    assert (said["ipv4"]["class"], done.returncode) == (expected, status), done.stderr
    assert said["ipv6"] is None and said["foreign"] == 0
    assert [one["relay"] for one in said["relays"]] == [relays[0], DEAD, relays[1]]
    dead = said["relays"][1]
    assert dead["seen"] is None and dead["tries"] == 3 and "no answer" in dead["error"]
    if expected == "unknown":
        assert said["ipv4"]["answered"] == 0
        return
    number = {"a": 1, "b": 2}[side]
    answered = [said["relays"][0], said["relays"][2]]
    for one in answered:
        assert one["seen"].startswith(f"198.18.4.{100 + number}:") and one["error"] is None
        assert one["tries"] == 1 and 0 < one["ms"] < 1000
    assert said["ipv4"]["nat"] is True and said["ipv4"]["seen"] == answered[0]["seen"]
    assert said["ipv4"]["local"].startswith(f"198.19.{number}.10:")
    same = answered[0]["seen"] == answered[1]["seen"]
    assert same == (expected == "cone")
    if expected == "cone":    # the boxes of the lab keep a port that is free
        assert said["ipv4"]["keeps_port"] is True


def test_one_relay_proves_nothing(natted):
    lab, kinds, relays = natted
    done = nat(lab["peer-a"], relays[0])
    assert done.returncode == 4 and json.loads(done.stdout)["ipv4"]["class"] == "unknown"
    assert json.loads(done.stdout)["ipv4"]["answered"] == 1


@pytest.mark.parametrize("natted", PAIRS[0:1], ids="-".join, indirect=True)
def test_a_box_with_several_addresses_is_multiple(natted):
    lab, _, relays = natted
    box = lab["nat-a"]
    box.ip("addr", "add", "198.18.4.150/24", "dev", "out")
    box.run(["nft", "-f", "-"], text="""table ip other {
	chain leave {
		type nat hook postrouting priority 90; policy accept;
		oifname "out" ip daddr 198.18.4.20 snat to 198.18.4.150
	}
}
""")
    try:
        done = nat(lab["peer-a"], *relays, DEAD)
        assert done.returncode == 3
        assert json.loads(done.stdout)["ipv4"]["class"] == "multiple"
    finally:
        box.run(["nft", "delete", "table", "ip", "other"])
        box.ip("addr", "del", "198.18.4.150/24", "dev", "out")


@pytest.mark.parametrize("natted", PAIRS[1:2], ids="-".join, indirect=True)
def test_people_get_a_table_and_a_verdict_in_one_line(natted):
    lab, _, relays = natted
    done = nat(lab["peer-b"], *relays, COLD, options=())
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["RELAY", "SEEN", "MS", "TRIES"]
    assert [line.split()[0] for line in lines[1:4]] == [*relays, COLD]
    assert lines[4].startswith("NAT: IPv4 symmetric-port (a port for each remote")
    assert done.returncode == 3 and len(lines) == 5


@pytest.mark.parametrize("natted", PAIRS[2:3], ids="-".join, indirect=True)
def test_names_are_resolved_together_and_one_that_is_unknown_is_evidence(natted):
    lab, _, relays = natted
    # In the hosts files of the lab: relay and target-v4; no other name resolves.
    done = nat(lab["peer-a"], "relay:443", "target-v4:443", "no-such-name.invalid:443")
    said = json.loads(done.stdout)
    assert said["ipv4"]["class"] == "cone" and done.returncode == 0
    assert said["relays"][-1]["relay"] == "no-such-name.invalid:443"
    assert "name" in said["relays"][-1]["error"]
    done = nat(lab["peer-a"], "no-such-name.invalid:443", options=())
    assert done.returncode == 18 and "no-such-name.invalid" in done.stderr


def test_without_a_relay_it_is_a_usage_error(natted):
    assert nat(natted[0]["peer-a"]).returncode == 2


class TestWithoutNat:
    """Both families, by two relays; a third is dead."""

    @pytest.fixture(scope="class")
    def two(self, root, build, logs, tmp_path_factory):
        with Lab(topology.together(), build=build) as lab:
            relays = [daemon.Relay(lab[host], tmp_path_factory.mktemp("r"), datapath=datapath,
                                   log=logs / f"culvertd-{host}.log").start()
                      for host, datapath in (("relay", "generic"), ("relay-2", "sock"))]
            yield lab, relays
            for relay in relays:
                relay.stop()

    @pytest.mark.parametrize("family", (4, 6))
    def test_no_nat_is_a_cone(self, two, family):
        lab, relays = two
        peer = lab[f"peer-v{family}"]
        dead = {4: DEAD, 6: "[2001:db8:6::99]:443"}[family]
        done = nat(peer, *(relay.address(family) for relay in relays), dead)
        said = json.loads(done.stdout)
        one = said[f"ipv{family}"]
        assert (one["class"], one["nat"], one["keeps_port"]) == ("cone", False, True)
        assert done.returncode == 0 and one["seen"] == one["local"]

    def test_a_family_that_this_host_lacks_is_no_route(self, two):
        lab, relays = two
        done = nat(lab["peer-v4"], *(relay.address(family) for relay in relays
                                     for family in (4, 6)))
        said = json.loads(done.stdout)
        assert said["ipv4"]["class"] == "cone" and done.returncode == 0
        assert said["ipv6"]["class"] == "unknown" and said["ipv6"]["answered"] == 0
        errors = [one["error"] for one in said["relays"] if one["relay"].startswith("[")]
        assert len(errors) == 2 and all("route" in error for error in errors)
