# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's firewall and what XDP carries: what applies, and what the relay says of it."""
import daemon
import pytest

DATAPATHS = ("xdp", "generic", "sock")

# No datagram to targets, and none from them.
RULES = """
table inet firewall {
  chain out { type filter hook output priority 0; udp dport 7000 drop; }
  chain in { type filter hook input priority 0; policy accept; udp sport 7000 drop; }
  chain empty { type filter hook postrouting priority 0; policy accept; }
  chain through { type filter hook forward priority 0; policy drop; }
}
"""


@pytest.fixture
def rules(lab):
    relay = lab["relay"]
    relay.run(["nft", "-f", "-"], text=RULES)
    yield
    relay.run(["nft", "delete", "table", "inet", "firewall"], check=False)


def shown(relay):
    done = relay.host.run([relay.host.lab.build / "culvertctl", "--run-dir", relay.run, "status"])
    return done.stdout


def test_a_firewall_is_shown_if_it_does_not_apply(lab, start_relay, forward, rules, datapath):
    echo = daemon.echo(lab["target-v4"])
    relay = start_relay(datapath=datapath)
    status = relay.ctl("status")["netfilter"]
    assert status["bypassed"] is (datapath != "sock") and "unknown_because" not in status
    found = {(c["family"], c["table"], c["chain"], c["hook"]) for c in status["chains"]}
    assert found == {("inet", "firewall", "out", "output"), ("inet", "firewall", "in", "input")}
    assert {c["rules"] for c in status["chains"]} == {1} and status["chains_total"] == 2
    assert ("do not apply" in shown(relay)) is (datapath != "sock")
    assert ("netfilter_bypassed chains=2" in relay.proc.text()) is (datapath != "sock")

    plan = relay.host.run([lab.build / "culvertd", "--plan"]).stdout
    assert "not applied: chain inet firewall out, output, 1 rule\n" in plan
    assert "forward" not in plan

    # and it is true
    client = forward("peer-v4", relay, "198.18.4.20:7000")
    found = daemon.exchange(lab["peer-v4"], client.address, 100)
    assert found["same"] == ([100] if datapath != "sock" else []), found
    echo.stop()


def test_a_reload_looks_again_also_without_root(lab, start_relay, datapath):
    relay = start_relay(datapath=datapath, config=daemon.CONFIG % {"datapath": datapath}
                        + 'user = "nobody"\n')
    assert relay.ctl("status")["netfilter"]["chains"] == []
    assert "do not apply" not in shown(relay)
    lab["relay"].run(["nft", "-f", "-"], text=RULES)
    try:
        relay.reload()
        status = relay.ctl("status")["netfilter"]
        assert "unknown_because" not in status and len(status["chains"]) == 2, status
    finally:
        lab["relay"].run(["nft", "delete", "table", "inet", "firewall"])
    relay.reload()
    assert relay.ctl("status")["netfilter"]["chains"] == []


def test_an_interface_that_comes_later_has_it_said(lab, start_relay, rules, datapath):
    if datapath != "xdp":
        pytest.skip("starts without an interface")
    host = lab["relay"]
    relay = start_relay(config='datapath = auto\ninterfaces = {"late"}\n')
    assert "netfilter_bypassed" not in relay.proc.text()
    assert relay.ctl("status")["netfilter"]["bypassed"] is False
    host.ip("link", "add", "late", "type", "veth", "peer", "name", "late-peer")
    try:
        for name in ("late", "late-peer"):
            host.ip("link", "set", name, "up")
        relay.proc.wait_line("netfilter_bypassed chains=2")
        assert relay.ctl("status")["netfilter"]["bypassed"] is True
    finally:
        host.ip("link", "del", "late")


STATEFUL = """
table inet firewall {
  chain in {
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state established,related accept
    udp dport 443 accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    %s
  }
}
"""


@pytest.mark.parametrize("lets_errors_in", [False, True])
def test_connection_tracking_does_not_know_what_xdp_carries(lab, start_relay, forward, datapath,
                                                            lets_errors_in):
    """Relaying goes on behind a stateful firewall, but errors about it are not "related"."""
    errors = "icmpv6 type destination-unreachable accept" if lets_errors_in else ""
    host = lab["relay"]
    host.set_names({"both.example": [lab["target-v4"].addr4, lab["target-v6"].addr6]})
    host.run(["nft", "-f", "-"], text=STATEFUL % errors)
    echo = daemon.echo(lab["target-v4"], 7005)
    try:
        relay = start_relay(datapath=datapath)
        # the IPv6 host of the name has no server there, and says so
        client = forward("peer-v4", relay, "both.example:7005")
        found = daemon.exchange(lab["peer-v4"], client.address, 100, 1200)
        assert found["same"] == [100, 1200], found
        counters = relay.ctl("status")["counters"]
        is_seen = lets_errors_in or datapath == "sock"
        assert counters["targets_unreachable"] == is_seen, counters
        assert counters["targets_silent"] == (not is_seen), counters
    finally:
        host.run(["nft", "delete", "table", "inet", "firewall"])
        echo.stop()
