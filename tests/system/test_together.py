# SPDX-License-Identifier: GPL-3.0-or-later
"""Two peers with bound tunnels reach each other, across families and across relays."""
import pytest

import apps
import daemon
import losses
import topology
from daemon import dropped_by, echo, endpoint, exchange, is_clean, is_count_of, load
from netns import wait_until

TOPOLOGY = topology.together()
DATAPATHS = ("xdp", "sock")

FAMILIES = {"peer-v4": 4, "peer-v6": 6}
# The peer that serves, the peer that connects.
PAIRS = [("peer-v4", "peer-v6"), ("peer-v6", "peer-v4")]


@pytest.fixture(scope="module")
def other(lab, relay, logs, tmp_path_factory):
    """A second relay, on the same data path."""
    other = daemon.Relay(lab["relay-2"], tmp_path_factory.mktemp("r2"), datapath=relay.datapath,
                         log=logs / f"relay-2-{relay.datapath}.log").start()
    yield other
    other.stop()


@pytest.fixture(params=("one", "two"), ids=("one-relay", "two-relays"))
def relays(request, relay):
    """The relay of the peer that serves, and that of the peer that connects."""
    return relay, relay if request.param == "one" else request.getfixturevalue("other")


@pytest.fixture
def echoes(lab):
    """echoes("peer-v4") serves on port 7100 there; its address."""
    started = []

    def start(name):
        started.append(echo(lab[name], 7100))
        return app_at(lab[name], 7100)

    yield start
    for one in started:
        one.stop()


def app_at(host, port):
    return endpoint(host.addr4 or host.addr6, port)


def meet(bind, relays, pair, app):
    """Bind both; returns the loopback address at which the second peer finds the server."""
    server, client = pair
    serving = bind(server, relays[0], "--log-level", "info", app=app)
    # The relays are on both networks: either family will do between them.
    public = serving.public(FAMILIES[client])
    coming = bind(client, relays[1], "--permit", public, "--log-level", "info")
    return serving, coming, coming.local(public)


@pytest.mark.parametrize("pair", PAIRS, ids="->".join)
def test_a_quic_application_crosses_between_two_bound_peers(lab, relays, bind, tmp_path, pair):
    host = lab[pair[0]]
    server = apps.serve_quic(host, tmp_path / "quic", size=1 << 19)
    _, _, address = meet(bind, relays, pair, app_at(host, 4433))
    found = apps.fetch(lab[pair[1]], address, tmp_path / "quic", times=2)
    server.stop()
    assert found["received"] == found["sent"] == 2, found


@pytest.mark.parametrize("pair", PAIRS, ids="->".join)
def test_iperf_crosses_between_two_bound_peers(lab, relays, bind, pair):
    host = lab[pair[0]]
    server = apps.serve_iperf(host)
    *both, address = meet(bind, relays, pair, "127.0.0.1:5001" if host.addr4 else "[::1]:5001")
    watch = losses.Watch(lab)
    found = apps.iperf(lab[pair[1]], address, server, megabits=5, seconds=1, size=1150)
    server.stop()
    # iperf's socket is small, and may lose some on a busy machine.
    arrived = found["received"] + sum(map(dropped_by, both))
    assert found["sent"] > 250 and watch.accounts_for(found["sent"], arrived), (
        found, arrived, watch.since())


@pytest.mark.parametrize("pair", PAIRS, ids="->".join)
def test_datagrams_between_two_bound_peers_arrive_unchanged(lab, relays, bind, pair, echoes):
    app = echoes(pair[0])
    _, _, address = meet(bind, relays, pair, app)
    assert exchange(lab[pair[1]], address, 1, 64, 1000, 1150)["same"] == [1, 64, 1000, 1150]
    assert is_clean(load(lab[pair[1]], address, size=800, count=500, rate=2000))


def test_traffic_between_tunnels_of_one_relay_stays_inside(lab, relay, bind, echoes):
    app = echoes("peer-v4")
    _, _, address = meet(bind, (relay, relay), ("peer-v4", "peer-v6"), app)
    exchange(lab["peer-v6"], address, 100)
    before = relay.ctl("status")["counters"]
    figures = load(lab["peer-v6"], address, size=500, count=400, rate=2000)
    assert is_clean(figures), figures
    after = relay.ctl("status")["counters"]
    there = after["hairpin_packets"] - before["hairpin_packets"] - figures["received"]
    assert is_count_of(figures, there)
    for name in ("tx_target_packets", "rx_target_packets"):
        assert after[name] == before[name]


@pytest.mark.parametrize("target", ("target-v4", "target-v6"))
def test_an_ordinary_host_reaches_a_bound_peer(lab, relay, bind, target, echoes):
    app = echoes("peer-v4")
    serving = bind("peer-v4", relay, app=app)
    public = serving.public(4 if target == "target-v4" else 6)
    found = exchange(lab[target], public, 10, 1150)
    assert found["same"] == [10, 1150], found


def test_a_closed_peer_is_reached_only_by_permitted_remotes(lab, relay, bind, echoes):
    app = echoes("peer-v4")
    friend = bind("peer-v6", relay)
    serving = bind("peer-v4", relay, "--closed", "--permit", friend.public(6),
                   app=app)
    unknown = exchange(lab["target-v6"], serving.public(6), 100)
    assert unknown["missing"] == [100]
    # The permitted peer sends first.
    coming = bind("peer-v6", relay, "--permit", serving.public(6))
    assert exchange(lab["peer-v6"], coming.local(serving.public(6)), 100)["missing"] == [100]
    drops = relay.ctl("status")
    name = "drop_unknown_remote"
    found = drops["counters"][name] + (drops["xdp"] or {}).get(f"held_{name}", {}).get("packets", 0)
    assert found >= 2


def test_two_closed_peers_that_permit_each_other_talk(lab, relay, bind, echoes):
    app = echoes("peer-v4")
    one = bind("peer-v4", relay, "--closed", "--permit", "-", app=app)
    two = bind("peer-v6", relay, "--closed", "--permit", "-")
    one.name_remote(two.public(4))
    two.name_remote(one.public(4))
    one.local(two.public(4))
    address = two.local(one.public(4))
    found = exchange(lab["peer-v6"], address, 100, 1150, 1150)
    assert len(found["same"]) >= 2, found   # the first may cross with the registrations
    for tunnel in (one, two):
        assert "refused" not in tunnel.proc.text()


def test_a_busy_remote_gets_a_context_of_its_own(lab, relay, bind, echoes):
    app = echoes("peer-v4")
    serving = bind("peer-v4", relay, "--compress-above", 20, app=app)
    before = relay.ctl("status")["counters"]["contexts_opened"]
    assert is_clean(load(lab["target-v4"], serving.public(4), size=300, count=300, rate=500))
    after = relay.ctl("status")["counters"]["contexts_opened"]
    assert after == before + 1


def test_a_silent_remote_is_forgotten_and_may_return(lab, relay, bind, echoes):
    app = echoes("peer-v4")
    serving = bind("peer-v4", relay, "--idle", 1, app=app)
    assert exchange(lab["target-v4"], serving.public(4), 100)["same"] == [100]
    serving.proc.wait_line(r"^remote 198\.18\.4\.20:\d+ local ")
    serving.proc.wait_line(r"^gone 198\.18\.4\.20:\d+ local ")
    assert exchange(lab["target-v4"], serving.public(4), 100)["same"] == [100]


def test_a_permitted_remote_is_never_forgotten(lab, bind, start_relay, echoes):
    relay = start_relay("relay-v4only", config=daemon.CONFIG % {"datapath": "sock"}
                        + "bind { context-idle-sec = 2 }\n")
    app = echoes("peer-v4")
    remote = endpoint(lab["target-v4"].addr4, 7300)
    serving = bind("peer-v4", relay, "--closed", "--permit", remote, app=app)
    wait_until(lambda: relay.ctl("status")["counters"].get("contexts_idle", 0) >= 2)
    assert exchange(lab["target-v4"], serving.public(4), 100, 100, 100, port=7300)["same"]
    assert "refused" not in serving.proc.text()


def test_a_remote_that_is_silent_after_a_reconnect_is_forgotten(lab, bind, start_relay, echoes):
    relay = start_relay("relay-v4only")
    app = echoes("peer-v4")
    serving = bind("peer-v4", relay, "--idle", 5, app=app)
    assert exchange(lab["target-v4"], serving.public(4), 100)["same"] == [100]
    relay.stop()
    relay.start()
    serving.proc.wait_line(r"(?s)public .*public ", 60)
    serving.proc.wait_line(r"^gone 198\.18\.4\.20:\d+ local ")


def test_the_port_returns_after_a_restart_of_the_relay(lab, bind, start_relay, echoes):
    relay = start_relay("relay-v4only")
    app = echoes("peer-v4")
    serving = bind("peer-v4", relay, app=app)
    assert exchange(lab["target-v4"], serving.public(4), 100)["same"] == [100]
    relay.stop()
    relay.start()
    serving.proc.wait_line(r"(?s)public .*public ", 60)
    assert exchange(lab["target-v4"], serving.public(4), 100)["same"] == [100]


def test_a_relay_of_one_family_gives_a_port_of_that_family(lab, bind, start_relay):
    relay = start_relay("relay-v4only")
    serving = bind("peer-v4", relay)
    said = serving.proc.text()
    assert serving.public(4).startswith("198.18.4.2:") and "public [" not in said
    # The client does not even request one of the other family.
    other = bind("peer-v4", relay, "--permit", "[2001:db8:6::20]:9")
    other.proc.wait_line(r"^refused \[2001:db8:6::20\]:9$")
    assert relay.ctl("status")["counters"].get("context_refused_family", 0) == 0


def test_a_denied_remote_is_reported_as_refused(lab, relay, bind):
    serving = bind("peer-v4", relay, "--permit", "127.0.0.1:9")
    serving.proc.wait_line(r"^refused 127\.0\.0\.1:9$")


@pytest.mark.parametrize("args, words", [
    (["--app", "nonsense"], "bad value for --app"),
    (["--app", "example:53"], "--app requires ADDR:PORT"),
    (["--permit", "name.example:53"], "ADDRESS:PORT is required"),
    (["--permit", "192.0.2.1:0"], "192.0.2.1:0"),
    (["--target", "192.0.2.1:9"], "not an option of this command: --target"),
    (["--remotes-max", "0"], "bad value for --remotes-max"),
])
def test_invalid_arguments_are_reported_and_nothing_starts(lab, relay, args, words):
    done = lab["peer-v4"].run([lab.build / "culvert", "bind", "--relay", relay.address(4), "--pin",
                               relay.fingerprint, *args], check=False)
    assert done.returncode == 2 and words in done.stderr, done
