# SPDX-License-Identifier: GPL-3.0-or-later
"""Start and stop: what a relay leaves, how peers return, and several relays on one host."""
import signal

import pytest

import daemon
import netns
from daemon import is_clean, is_count_of, load, load_of, start_load
from netns import LabError

DATAPATHS = ("xdp", "sock")
BOTH = ('datapath = "%s"\ninterfaces = {"%s"}\nlistener main { port = %d }\n'
        'metrics { listen = "127.0.0.1:%d" }\n'
        'policy { allow = {"198.18.0.0/15", "2001:db8::/32"} }\n')


def test_a_relay_stopped_under_traffic_leaves_nothing(
        lab, start_relay, forward, targets, datapath):
    relay = start_relay(datapath=datapath)
    client = forward("peer-v4", relay, targets["target-v6"])
    busy = start_load(lab["peer-v4"], client.address, count=10**6, rate=5000)
    assert is_clean(load(lab["peer-v4"], client.address, count=500))
    relay.stop()    # asserts exit 0, no XDP program, no pin
    busy.kill()
    assert not netns.processes_in([lab["relay"].netns])
    # Nor a socket: the port is free for anyone.
    echo = daemon.echo(lab["relay"], 443)
    assert is_clean(load(lab["peer-v4"], "198.18.4.1:443", count=10))
    echo.stop()


def test_a_peer_comes_back_to_a_relay_that_was_restarted(lab, start_relay, forward, targets):
    relay = start_relay()
    client = forward("peer-v4", relay, targets["target-v6"])
    assert is_clean(load(lab["peer-v4"], client.address, count=10))
    fingerprint = relay.fingerprint
    relay.stop()
    relay.start()
    assert relay.fingerprint == fingerprint    # the state directory keeps it
    client.proc.wait_line(r"\A(?s:.*)^ready(?s:.*)^ready", 20)
    assert is_clean(load(lab["peer-v4"], client.address, count=100))


def test_a_killed_relay_starts_again_over_its_remains(lab, start_relay, forward, targets):
    relay = start_relay()
    relay.proc.kill()
    relay.proc = None
    relay.start()
    client = forward("peer-v6", relay, targets["target-v4"])
    assert is_clean(load(lab["peer-v6"], client.address, count=100))


def test_a_restarted_relay_sends_stateless_resets_and_peers_reconnect(
        lab, start_relay, forward, targets, datapath):
    relay = start_relay(datapath=datapath)
    peer = lab["peer-v4"]
    client = forward("peer-v4", relay, targets["target-v6"])
    assert is_clean(load(peer, client.address, count=10))
    relay.proc.kill()
    relay.proc = None
    relay.start()
    # Without a stateless reset the peer would wait for its idle timeout of a minute.
    load(peer, client.address, count=50, rate=50)
    client.proc.wait_line(r"\A(?s:.*)^ready(?s:.*)^ready", 20)
    assert is_clean(load(peer, client.address, count=100))
    assert relay.ctl("status")["counters"]["stateless_resets"] > 0


def test_a_ping_slower_than_the_idle_timeout_reopens_its_tunnel(lab, start_relay, targets):
    relay = start_relay(config=daemon.CONFIG % {"datapath": "xdp"}
                        + "limits { tunnel-idle-sec = 5 }\n")
    done = daemon.ping(lab["peer-v4"], relay.address(4), targets["target-v6"], relay.fingerprint,
                       "--interval", 8, "--log-level", "info")
    assert done.stdout.splitlines()[-2].startswith("relayed sent 2 received 2"), done.stdout
    assert "info tunnel_ended" in done.stderr
    assert done.returncode == 0


def test_a_runtime_directory_in_use_is_refused(lab, start_relay):
    relay = start_relay()
    done = lab["relay"].run([lab.build / "culvertd", "--config", relay.config, "--state-dir",
                             relay.state, "--run-dir", relay.run], check=False)
    assert done.returncode != 0
    assert str(relay.run) in done.stderr
    assert relay.ctl("status")["state"] == "serving"


def test_a_port_in_use_is_refused(lab, start_relay):
    echo = daemon.echo(lab["relay-v4only"], 443)
    with pytest.raises(LabError, match="(?i)address already in use|port 443"):
        start_relay("relay-v4only")
    echo.stop()


def test_two_relays_live_on_one_host(lab, start_relay, forward, targets, datapath):
    one = start_relay(config=BOTH % (datapath, "v4", 443, 9845))
    two = start_relay(config=BOTH % (datapath, "v6", 4443, 9846), port=4443)
    assert one.fingerprint != two.fingerprint
    clients = [forward("peer-v4", one, targets["target-v4"]),
            forward("peer-v6", two, targets["target-v6"])]
    # Both relays at a time; each counts its own.
    busy = [start_load(client.peer, client.address, count=500) for client in clients]
    figures = [load_of(one) for one in busy]
    assert is_clean(*figures), figures
    for relay, sent in zip((one, two), figures):
        tunnel, = relay.ctl("tunnels")["tunnels"]
        assert is_count_of(sent, tunnel["to_target_packets"])
        assert is_count_of(sent, tunnel["to_peer_packets"])
    two.stop()
    assert is_clean(load(lab["peer-v4"], clients[0].address, count=100))


def test_an_interrupt_stops_it_too(lab, start_relay):
    relay = start_relay("relay-v4only")
    assert relay.proc.stop(signal.SIGINT) == 0
    relay.proc = None
    assert relay.left_behind() == []
