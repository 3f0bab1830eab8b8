# SPDX-License-Identifier: GPL-3.0-or-later
"""Bound tunnels at scale: ten thousand contexts, and datagrams of remotes without a permission."""
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import daemon
import losses
from daemon import is_count_of, load
from netns import wait_until
from sniff import Watch

DATAPATHS = ("xdp", "sock")
RELAY_CONFIG = daemon.CONFIG + "bind {\n\tregistrations-per-sec = 0\n}\n"

CONTEXTS = 10000
FIRST_PORT = 20000


class BindLoad:
    """A bindload on a peer."""

    def __init__(self, peer, relay, *args, log=None):
        self.proc = peer.start([peer.lab.tool("bindload"), "--relay", relay.address(4),
                                "--pin", relay.fingerprint, *args],
                               name="bindload", log=log, stdin=subprocess.PIPE)
        self.answers = 1
        self.proc.wait_line(r"^\{", timeout=60)
        self.public = json.loads(self.lines()[0])["public"]

    def lines(self):
        return [line for line in self.proc.text().splitlines() if line.startswith("{")]

    def ask(self, *words, timeout=120):
        """Send it a command; returns its answer."""
        self.proc.popen.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.proc.popen.stdin.flush()
        wait_until(lambda: len(self.lines()) > self.answers or not self.proc.alive, timeout,
                   self.proc.text)
        assert self.proc.alive, self.proc.text()
        self.answers += 1
        return json.loads(self.lines()[self.answers - 1])

    def port(self, family, tunnel=0):
        """Its address at the relay."""
        return next(p for p in self.public[tunnel] if (p[0] == "[") == (family == 6))

    def stop(self):
        self.proc.popen.stdin.close()
        return self.proc.popen.wait(60)


@pytest.fixture
def client(lab, relay, logs, request):
    """client(*args) is a bindload on peer-v4; stopped after."""
    started = []

    def start(*args):
        log = logs / f"{daemon.slug(request.node.name)}-{len(started)}.log"
        started.append(BindLoad(lab["peer-v4"], relay, *args, log=log))
        return started[-1]

    yield start
    for one in started:
        assert one.stop() == 0, one.proc.text()


@pytest.fixture
def many(lab):
    """Echo on FIRST_PORT and as many more of both targets as make CONTEXTS; their addresses."""
    script = Path(daemon.__file__).with_name("manyecho.py")
    started, each = [], CONTEXTS // 2
    addresses = []
    for name in ("target-v4", "target-v6"):
        address = lab[name].addr4 or lab[name].addr6
        proc = lab[name].start([sys.executable, script, address, FIRST_PORT, each])
        proc.wait_line(r"^ready", timeout=60)
        started.append(proc)
        addresses.append(daemon.endpoint(address, FIRST_PORT))
    yield addresses
    for proc in started:
        proc.stop()


def contexts_of(relay, tunnel, *args):
    return relay.ctl("--limit", 0, "--tunnel", tunnel["ref"], *args, "contexts")


def bound_tunnel(relay, client):
    tunnel, = (t for t in relay.ctl("tunnels")["tunnels"] if client.port(4) in t["ports"])
    return tunnel


def drops(relay, name):
    status = relay.ctl("status")
    held = (status["xdp"] or {}).get(f"held_{name}", {}).get("packets", 0)
    return status["counters"].get(name, 0), held


def all_came(watch, found):
    """Whether what a bindload sent came back, but for what full queues lost, its own included."""
    return watch.accounts_for(found["sent"], found["received"] + found["dropped"])


def test_ten_thousand_contexts_of_one_tunnel_each_carry_their_own_datagrams(
        lab, relay, client, many):
    peer = client()
    for address in many:
        answer = peer.ask("register", address, CONTEXTS // 2)
        assert answer["refused"] == 0, answer
    assert answer["open"] == CONTEXTS
    tunnel = bound_tunnel(relay, peer)

    watch = losses.Watch(lab)
    found = peer.ask("send", CONTEXTS, 700, 2000)
    assert found["corrupted"] == found["misnamed"] == 0, found
    assert all_came(watch, found), (found, watch.since())

    listed = contexts_of(relay, tunnel)["contexts"]
    assert len(listed) == CONTEXTS
    assert {c["opened_by"] for c in listed} == {"client"}
    assert {c["state"] for c in listed} == {"open"}
    assert len({c["context_id"] for c in listed}) == len({c["remote"] for c in listed}) == CONTEXTS
    assert sum(c["family"] == "ipv6" for c in listed) == CONTEXTS // 2
    # One datagram in each direction on each.
    assert max(c["to_remote_packets"] for c in listed) == 1
    assert sum(c["to_remote_packets"] for c in listed) >= found["received"]
    assert sum(c["to_peer_packets"] for c in listed) >= found["received"]
    assert {c["to_peer_bytes"] for c in listed} <= {0, 700}
    if relay.uses_xdp:
        in_map = contexts_of(relay, tunnel, "--maps")["contexts"]
        assert {c["remote"]: c["context_id"] for c in in_map} == \
            {c["remote"]: c["context_id"] for c in listed}

    assert peer.ask("close", CONTEXTS // 2)["open"] == CONTEXTS // 2
    assert contexts_of(relay, tunnel)["total"] == CONTEXTS // 2
    if relay.uses_xdp:
        assert contexts_of(relay, tunnel, "--maps")["total"] == CONTEXTS // 2
    watch = losses.Watch(lab)
    found = peer.ask("send", 500, 100, 2000)
    assert all_came(watch, found) and found["misnamed"] == 0, (found, watch.since())


def wake_ups(relay):
    """How often the worker threads went to sleep."""
    total, pid = 0, relay.ctl("status")["pid"]
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text(encoding="ascii").startswith("clv-worker"):
            status = (task / "status").read_text(encoding="ascii")
            total += int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.M).group(1))
    assert total
    return total


@pytest.mark.parametrize("family", (4, 6))
def test_datagrams_of_unpermitted_remotes_are_dropped_on_arrival(
        lab, relay, client, targets, family, when_quiet):
    target = lab[f"target-v{family}"]
    friend = targets[f"target-v{family}"]
    peer = client()
    assert peer.ask("register", friend, 1)["open"] == 1
    assert peer.ask("send", 10, 100, 1000)["received"] == 10

    # How often workers wake without a flood in the time that it takes.
    count, rate = 6000, 3000
    before = wake_ups(relay)
    time.sleep(count / rate + 1)
    quiet = wake_ups(relay) - before

    dropped, before = drops(relay, "drop_unknown_remote"), wake_ups(relay)
    watch = losses.Watch(lab)
    load(target, peer.port(family), size=200, count=count, rate=rate, oneway=True)

    def new():
        return [now - was for now, was in zip(drops(relay, "drop_unknown_remote"), dropped)]

    wait_until(lambda: watch.accounts_for(count, sum(new())), what=lambda: (new(), watch.since()))
    woken = wake_ups(relay) - before
    worker, held = new()
    if relay.uses_xdp:
        assert worker == 0
        when_quiet(woken <= quiet + 50, f"{woken} wake-ups, {quiet} without a flood")
    else:
        assert held == 0
    # The permitted remote is served as before.
    assert peer.ask("send", 10, 100, 1000)["received"] == 10


def test_the_uncompressed_context_admits_any_remote_until_it_is_closed(lab, relay, client, targets):
    peer, friend = client("--open"), targets["target-v4"]
    assert peer.ask("register", friend, 1)["open"] == 1
    tunnel = bound_tunnel(relay, peer)

    def listed():
        return {c["remote"]: c for c in contexts_of(relay, tunnel)["contexts"]}

    def uncompressed():
        answer = relay.ctl("--tunnel", tunnel["ref"], "bindings")
        return [binding["uncompressed"] for binding in answer["bindings"]]

    assert set(listed()) == {"any", friend} and uncompressed() == [True, True]
    watch = losses.Watch(lab)
    load(lab["target-v4"], peer.port(4), size=200, count=100, rate=1000, oneway=True)
    load(lab["target-v6"], peer.port(6), size=200, count=50, rate=1000, oneway=True)
    wait_until(lambda: watch.accounts_for(150, listed()["any"]["to_peer_packets"]), what=listed)
    assert listed()["any"]["to_peer_bytes"] == listed()["any"]["to_peer_packets"] * 200

    peer.ask("shut")
    assert set(listed()) == {friend} and uncompressed() == [False, False]
    before, watch = sum(drops(relay, "drop_unknown_remote")), losses.Watch(lab)
    load(lab["target-v4"], peer.port(4), size=200, count=100, rate=1000, oneway=True)
    wait_until(lambda: watch.accounts_for(100, sum(drops(relay, "drop_unknown_remote")) - before))
    assert peer.ask("send", 10, 100, 1000)["received"] == 10


@pytest.mark.parametrize("family", (4, 6))
def test_no_packet_leaves_the_relay_between_two_of_its_tunnels(lab, relay, bind, logs,
                                                                         family):
    echo = daemon.echo(lab["peer-v4"], 7100)
    serving = bind("peer-v4", relay, app=daemon.endpoint(lab["peer-v4"].addr4, 7100))
    coming = bind("peer-v6", relay, "--permit", serving.public(family))
    address = coming.local(serving.public(family))
    assert daemon.exchange(lab["peer-v6"], address, 100)["same"] == [100]

    def hairpins():
        return [c for c in relay.ctl("contexts")["contexts"] if c["hairpin"]]

    # Contexts have figures of their own, so both remotes must be busy enough to have one.
    wait_until(lambda: load(lab["peer-v6"], address, size=900, count=200, rate=2000)
               and len(hairpins()) == 2, what=hairpins)
    bytes_before = sum(c["to_remote_bytes"] for c in hairpins())
    watch = Watch(lab, "relay", logs)
    before = relay.ctl("status")["counters"]
    figures = load(lab["peer-v6"], address, size=900, count=500, rate=2000)
    after, leaked = relay.ctl("status")["counters"], watch.leaked()
    watch.stop()
    echo.stop()
    assert daemon.is_clean(figures), figures
    assert leaked == []
    there = after["hairpin_packets"] - before["hairpin_packets"] - figures["received"]
    assert is_count_of(figures, there)
    assert {c["family"] for c in hairpins()} == {f"ipv{family}"}
    assert (sum(c["to_remote_bytes"] for c in hairpins()) - bytes_before
            >= 2 * figures["received"] * 900)


def test_an_open_port_drops_remotes_that_the_policy_denies(lab, start_relay, datapath):
    config = (RELAY_CONFIG % {"datapath": datapath}).replace("policy {",
                                                       'policy { deny = {"198.18.4.20/32"}')
    relay = start_relay("relay-v4only", config=config, datapath=datapath)
    peer = BindLoad(lab["peer-v4"], relay, "--open")
    tunnel = bound_tunnel(relay, peer)
    watch = losses.Watch(lab)
    load(lab["target-v4"], peer.port(4), size=200, count=300, rate=1000, oneway=True)
    wait_until(lambda: watch.accounts_for(300, sum(drops(relay, "drop_denied"))))
    worker, xdp = drops(relay, "drop_denied")
    assert (worker if relay.uses_xdp else xdp) == 0
    anybody, = contexts_of(relay, tunnel)["contexts"]
    assert (anybody["remote"], anybody["to_peer_packets"]) == ("any", 0)
    assert peer.stop() == 0
