# SPDX-License-Identifier: GPL-3.0-or-later
"""What culvertctl reports agrees with the traffic."""
import json
import re
import subprocess

import pytest

import daemon
from daemon import load
from netns import wait_until

DATAPATHS = ("xdp", "sock")

COMMANDS = ("status", "workers", "conns", "tunnels", "contexts", "bindings", "guard", "drops",
            "policy", "listeners")
SIZES = {"target-v4": 700, "target-v6": 1200}
COUNTS = {"target-v4": 400, "target-v6": 300}


@pytest.fixture(scope="module")
def traffic(lab, relay, targets):
    """A peer with two tunnels on two connections, and known traffic on them."""
    peer, clients = lab["peer-v4"], {}
    for target, address in targets.items():
        client = daemon.Forward(peer, relay.address(4), address, relay.fingerprint).wait()
        # So few at a time that no queue overflows: the counters are exact.
        figures = load(peer, client.address, size=SIZES[target], count=COUNTS[target], rate=0,
                       window=8)
        assert daemon.is_clean(figures) and not figures["lost"], figures
        clients[target] = client
    yield targets
    for client in clients.values():
        client.stop()


def tunnel_to(relay, address):
    tunnel, = (t for t in relay.ctl("tunnels")["tunnels"] if t["target"] == address)
    return tunnel


def drops(relay):
    answer = relay.ctl("drops")
    found = dict(answer["total"])
    for name, count in (answer["xdp"] or {}).items():
        found[name] = count["packets"]
    return {name: count for name, count in found.items() if count}


@pytest.mark.parametrize("target", SIZES)
def test_a_tunnel_has_counted_what_was_sent_through_it(relay, traffic, target):
    tunnel = tunnel_to(relay, traffic[target])
    assert tunnel["to_target_packets"] == tunnel["to_peer_packets"] == COUNTS[target]
    assert tunnel["to_target_bytes"] == tunnel["to_peer_bytes"] == COUNTS[target] * SIZES[target]
    assert tunnel["drops"] == 0 and tunnel["hop"] == "ready" and tunnel["capsules"] is False


def test_nothing_was_dropped(relay, traffic):
    assert drops(relay) == {}


def test_a_connection_is_listed_with_its_peer_and_cipher(lab, relay, traffic):
    answer = relay.ctl("conns")
    assert answer["total"] == len(answer["conns"]) == 2
    for conn in answer["conns"]:
        assert conn["peer"].startswith("198.18.4.10:") and conn["local"] == "198.18.4.1:443"
        assert (conn["group"], conn["signature"]) == ("MLKEM768", "ML-DSA-65")
        assert conn["profile"] == "pqc" and conn["handshaking"] is False
        assert conn["tunnels"] == 1 and conn["max_payload"] >= 1200
    tunnels = {t["conn"] for t in relay.ctl("tunnels")["tunnels"]}
    assert tunnels == {c["ref"] for c in answer["conns"]}


def test_the_kernels_maps_agree_with_the_daemon(relay, traffic):
    tunnels = {t["ref"]: t for t in relay.ctl("tunnels")["tunnels"]}
    contexts = relay.ctl("contexts", *(["--maps"] if relay.uses_xdp else []))["contexts"]
    bindings = relay.ctl("bindings")["bindings"]
    assert len(contexts) == len(bindings) == len(tunnels) == 2
    for context in contexts:
        tunnel = tunnels[context["tunnel"]]
        assert (context["local"], context["remote"]) == (tunnel["local"], tunnel["target"])
        assert context["context_id"] == 0
    for binding in bindings:
        assert binding["uncompressed"] is False
        if not relay.uses_xdp:
            assert binding["local"] == tunnels[binding["tunnel"]]["local"]
    # With XDP, tunnels to different targets may share a port: it belongs to none of them.
    assert {b["local"] for b in bindings} == {t["local"] for t in tunnels.values()}
    assert not relay.uses_xdp or {b["tunnel"] for b in bindings} == {None}


@pytest.mark.parametrize("target", SIZES)
def test_the_target_of_a_tunnel_is_its_context_0(relay, traffic, target):
    tunnel = tunnel_to(relay, traffic[target])
    answer = relay.ctl("--tunnel", tunnel["ref"], "contexts")
    context, = answer["contexts"]
    assert answer["total"] == 1 and len(relay.ctl("contexts")["contexts"]) == 2
    assert (context["remote"], context["local"]) == (tunnel["target"], tunnel["local"])
    assert context["family"] == {"target-v4": "ipv4", "target-v6": "ipv6"}[target]
    assert (context["context_id"], context["opened_by"], context["state"]) == (0, "request", "open")
    assert context["to_remote_packets"] == context["to_peer_packets"] == COUNTS[target]
    assert context["to_remote_bytes"] == COUNTS[target] * SIZES[target]
    own_ports = 0 if relay.uses_xdp else 1
    assert relay.ctl("--tunnel", tunnel["ref"], "bindings")["total"] == own_ports
    assert relay.ctl("--tunnel", "9.9.9", "contexts")["contexts"] == []


def test_a_watch_repeats_the_command(lab, relay, traffic):
    words = [lab.build / "culvertctl", "--run-dir", relay.run, "--json", "--watch=1", "contexts"]
    with lab["relay"].popen(words, stdout=subprocess.PIPE, text=True) as watch:
        try:
            answers = [json.loads(watch.stdout.readline()) for _ in range(2)]
        finally:
            watch.terminate()
    assert [answer["total"] for answer in answers] == [2, 2]


@pytest.mark.parametrize("words", [("--watch=0", "status"), ("--limit", "x", "conns"),
                                   ("--tunnel", "0.0.1", "conns"), ("--maps", "tunnels")])
def test_a_wrong_option_is_named(lab, words):
    done = lab["relay"].run([lab.build / "culvertctl", *words], check=False)
    assert done.returncode == 2 and words[0].split("=")[0] in done.stderr


@pytest.mark.parametrize("words", [["--run"], ["--run", "/run/culvert"], ["--run=/run/culvert"]])
def test_the_former_run_option_is_an_error_that_names_the_new_one(lab, words):
    done = lab["relay"].run([lab.build / "culvertctl", *words, "status"], check=False)
    assert done.returncode == 2
    assert done.stderr == "culvertctl: --run is now called --run-dir\n"


def test_the_sums_agree_with_the_tunnels(relay, traffic):
    status, total = relay.ctl("status"), sum(COUNTS.values())
    assert (status["connections"], status["tunnels"], status["egress_ports"]) == (2, 2, 2)
    counters = status["counters"]
    assert counters["handshakes"] == counters["requests"] == 2
    assert counters["datagrams_in"] == counters["datagrams_out"] == total
    assert counters["tx_target_packets"] == counters["rx_target_packets"] == total
    workers = relay.ctl("workers")["workers"]
    assert sum(w["counters"]["datagrams_in"] for w in workers) == total
    if relay.uses_xdp:
        xdp = {name: count["packets"] for name, count in status["xdp"].items()}
        assert xdp["xdp_steer_context"] == total
        # Packets before the kernel knew the connection reached the worker by the socket.
        assert total <= xdp["xdp_steer_conn"] <= counters["rx_peer_packets"]
        assert xdp.pop("xdp_seen") == sum(n for name, n in xdp.items() if name[:4] == "xdp_")


def test_the_policy_is_listed_with_its_reasons(relay, traffic):
    answer = relay.ctl("policy")
    rules = {rule["prefix"]: rule for rule in answer["rules"]}
    assert answer["total"] == len(rules)
    for prefix in ("198.18.0.0/15", "2001:db8::/32"):
        assert (rules[prefix]["verdict"], rules[prefix]["why"]) == ("allow", "operator")
    assert rules["127.0.0.0/8"]["verdict"] == "deny"
    assert all(rule["why"] for rule in rules.values())


@pytest.mark.parametrize("command", COMMANDS)
def test_the_human_readable_text_has_the_same_content(lab, relay, traffic, command):
    said = lab["relay"].run([lab.build / "culvertctl", "--run-dir", relay.run, command]).stdout
    assert said.strip() and "{" not in said
    if command in ("tunnels", "contexts"):
        for address in traffic.values():
            assert re.search(rf"(^|\s){re.escape(address)}(\s|$)", said)


def test_a_limit_cuts_the_list_and_reports_it(lab, relay, traffic):
    answer = relay.ctl("--limit", "1", "tunnels")
    assert len(answer["tunnels"]) == 1 and answer["total"] == 2
    said = lab["relay"].run([lab.build / "culvertctl", "--run-dir", relay.run, "--limit", 1,
                             "tunnels"]).stdout
    assert "1 of 2" in said


def test_a_datagram_from_an_unknown_source_is_dropped_and_counted(lab, relay, traffic):
    host, port = tunnel_to(relay, traffic["target-v4"])["local"].rsplit(":", 1)
    before = drops(relay)
    # From another port of the target, and from another host.
    for sender in ("target-v4", "relay-v4only"):
        load(lab[sender], f"{host}:{port}", size=64, count=50, oneway=True)
    after = drops(relay)
    new = {name: after[name] - before.get(name, 0) for name in after
           if after[name] != before.get(name, 0)}
    if relay.uses_xdp:
        assert new == {"held_drop_unknown_remote": 100}
        said = lab["relay"].run([lab.build / "culvertctl", "--run-dir", relay.run, "drops"]).stdout
        assert re.search(r"^  held_drop_unknown_remote +\d+  [a-z]", said, re.M), said
    # The kernel's connected sockets receive nothing from other sources in the first place.
    assert tunnel_to(relay, traffic["target-v4"])["to_peer_packets"] == COUNTS["target-v4"]


def test_a_closed_tunnel_is_no_longer_listed(lab, relay, forward, traffic):
    client = forward("peer-v6", relay, traffic["target-v4"])
    assert daemon.is_clean(load(lab["peer-v6"], client.address, count=10))
    assert relay.ctl("tunnels")["total"] == 3
    assert client.stop() == 0
    for name in ("tunnels", "contexts", "bindings", "conns"):
        # A closed connection drains for a while, three times its probe timeout.
        wait_until(lambda: relay.ctl(name)["total"] == 2, what=lambda: relay.ctl(name))


def test_the_kernels_tables_are_listed_without_a_daemon(lab, start_relay, forward, targets):
    relay = start_relay("relay-v4only", datapath="xdp")
    client = forward("peer-v4", relay, targets["target-v4"])
    assert daemon.is_clean(load(client.peer, client.address, count=10))
    before = {name: relay.ctl(name) for name in ("bindings", "ids", "guard")}
    relay.proc.kill()
    try:
        for name, answer in before.items():
            assert answer["total"] and relay.ctl(name)["total"] == answer["total"], name
        dropped = relay.ctl("drops")["xdp"]
        assert dropped and all(re.match("(xdp|held)_drop_", name) for name in dropped)
        done = lab["relay-v4only"].run([lab.build / "culvertctl", "--run-dir", relay.run, "status"],
                                       check=False)
        assert done.returncode == 1 and done.stderr.startswith("culvertctl: ")
    finally:
        relay.proc = None
        relay.start()


def test_a_relay_that_does_not_run_is_named(lab, tmp_path):
    for command in COMMANDS:
        done = lab["relay"].run([lab.build / "culvertctl", "--run-dir", tmp_path / "none", command],
                                check=False)
        assert done.returncode == 1 and str(tmp_path / "none") in done.stderr, done.stderr
    done = lab["relay"].run([lab.build / "culvertctl", "everything"], check=False)
    assert done.returncode == 2 and "unknown command everything" in done.stderr
