# SPDX-License-Identifier: GPL-3.0-or-later
"""Bound tunnels at the relay: many of them, floods of registrations, policy, public addresses.

    bindflood, culvert bind on a peer -- relay -- targets that send to the ports of the relay
"""
import json
import re
import signal
import subprocess
import time

import pytest

import losses
from daemon import CONFIG, exchange, is_clean, load
from netns import wait_until

DATAPATHS = ("xdp", "sock")
TUNNELS = 1000
CALLS = """
import socket, sys
family, first = sys.argv[1], int(sys.argv[2])
for number, port in enumerate(sys.argv[3:]):
    host, _, port = port.rpartition(":")
    s = socket.socket(socket.AF_INET if family == "4" else socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(("", first + number))
    s.sendto(b"ring", (host.strip("[]"), int(port)))
    s.close()
"""


def count(relay, name):
    return relay.ctl("status")["counters"].get(name, 0)


class Bindflood:
    """tests/lab/bindflood.c on a peer; `first` is its line once its tunnels are open."""

    def __init__(self, lab, host, relay, *args):
        family = 4 if lab[host].addr4 else 6
        self.proc = lab[host].start([lab.tool("bindflood"), "--relay", relay.address(family),
                                     "--pin", relay.fingerprint, *args])
        self.first = json.loads(self.proc.wait_line(r'^\{"opened.*\n', 60).group(0))

    def end(self):
        """Its last line, once no more comes for it."""
        assert self.proc.stop(timeout=60) == 0, self.proc.text()
        return json.loads(self.proc.wait_line(r'^\{"accepted.*\n').group(0))


class Bind:
    """A `culvert bind` on a peer; `public` are the addresses the relay gave."""

    def __init__(self, lab, host, relay, *args, app=None):
        at = relay.address(4 if lab[host].addr4 else 6)
        words = ["--app", app] if app else []
        self.proc = lab[host].start([lab.build / "culvert", "bind", "--relay", at, "--pin",
                                     relay.fingerprint, "--json", *words, *args])
        line = self.proc.wait_line(r'^\{"event": ?"public".*\n', 60).group(0)
        self.public = json.loads(line)["addresses"]

    def stop(self):
        assert self.proc.stop() == 0, self.proc.text()


def test_a_thousand_bound_tunnels_each_get_their_own_calls(lab, start_relay, datapath):
    relay = start_relay(datapath=datapath)
    crowd = Bindflood(lab, "peer-v4", relay, "--tunnels", TUNNELS)
    assert (crowd.first["opened"], crowd.first["refused"]) == (TUNNELS, 0)
    ports = crowd.first["ports"]
    assert len({p for tunnel in ports for p in tunnel[:2]}) == 2 * TUNNELS
    assert all(p[0].startswith("198.18.4.1:") and p[1].startswith("[2001:db8:6::1]:")
               for p in ports)
    watch = losses.Watch(lab)
    for host, family, which in (("target-v4", "4", 0), ("target-v6", "6", 1)):
        lab[host].run(["python3", "-c", CALLS, family, 20000, *[p[which] for p in ports]])
    heard = {(number, caller) for number, caller in crowd.end()["heard"]}
    wanted = {(p[2], f"{caller}:{20000 + i}") for i, p in enumerate(ports)
              for caller in ("198.18.4.20", "[2001:db8:6::20]")}
    assert not heard - wanted     # no call came to another tunnel
    assert watch.accounts_for(len(wanted), len(heard)), (len(heard), watch.since())
    assert count(relay, "bound_tunnels") == TUNNELS


def test_bound_tunnels_beyond_the_ceiling_are_refused(lab, start_relay, datapath):
    relay = start_relay(config=CONFIG % {"datapath": datapath}
                        + "bind { tunnels = 10 }\nlimits { source-shares = 1 }\n")
    crowd = Bindflood(lab, "peer-v4", relay, "--tunnels", 15)
    assert (crowd.first["opened"], crowd.first["refused"]) == (10, 5)
    crowd.end()
    assert count(relay, "bind_refused") == 5
    # A closed connection is remembered for a moment.
    wait_until(lambda: not relay.ctl("tunnels")["total"])
    again = Bindflood(lab, "peer-v4", relay, "--tunnels", 10)
    assert again.first["opened"] == 10
    again.end()


def test_many_registrations_are_all_accepted(lab, start_relay, datapath):
    relay = start_relay(datapath=datapath)
    crowd = Bindflood(lab, "peer-v4", relay, "--tunnels", 20, "--registrations", 100)
    # and an uncompressed one each
    wait_until(lambda: count(relay, "contexts_opened") == 2000 + 20)
    done = crowd.end()
    assert (done["accepted"], done["rejected"], done["ended"]) == (2000, 0, 0)


def test_a_flood_of_registrations_is_refused_and_harms_no_other_tunnel(
        lab, start_relay, forward, targets, datapath):
    relay = start_relay(config=CONFIG % {"datapath": datapath}
                        + "bind { registrations-per-sec = 500 }\n")
    client = forward("peer-v6", relay, targets["target-v4"])
    assert is_clean(load(lab["peer-v6"], client.address, count=50))
    began = time.monotonic()
    flood = Bindflood(lab, "peer-v4", relay, "--tunnels", 2, "--flood")
    wait_until(lambda: count(relay, "context_refused_rate") > 0)
    figures = load(lab["peer-v6"], client.address, count=600, rate=300)
    done = flood.end()
    assert done["rejected"] > 0
    # a second's worth at once, then the rate
    assert done["accepted"] <= 500 * (time.monotonic() - began + 2)
    assert is_clean(figures), figures
    assert is_clean(load(lab["peer-v6"], client.address, count=50))


def test_the_policy_applies_to_registrations(lab, start_relay, datapath):
    relay = start_relay(datapath=datapath)
    crowd = Bindflood(lab, "peer-v4", relay, "--registrations", 10, "--remote", "10.0.0.1")
    wait_until(lambda: count(relay, "context_refused_policy") == 10)
    done = crowd.end()
    assert (done["accepted"], done["rejected"]) == (0, 10)
    own = Bindflood(lab, "peer-v4", relay, "--registrations", 10, "--remote", "198.18.4.1")
    wait_until(lambda: count(relay, "context_refused_policy") == 20)
    assert own.end()["accepted"] == 0


def test_the_policy_applies_to_permitted_remotes(lab, start_relay, datapath):
    relay = start_relay(datapath=datapath)
    bind = Bind(lab, "peer-v4", relay, "--permit", "10.0.0.1:7000")
    bind.proc.wait_line(r"refused.*10\.0\.0\.1:7000")
    bind.stop()
    assert count(relay, "context_refused_policy") > 0


def test_a_new_policy_closes_the_contexts_it_denies(lab, start_relay, datapath):
    relay = start_relay(config=CONFIG % {"datapath": datapath})
    crowd = Bindflood(lab, "peer-v4", relay, "--tunnels", 5, "--registrations", 10)
    wait_until(lambda: count(relay, "contexts_opened") == 55)
    relay.config.write_text(relay.config.read_text().replace(
        "policy {", 'policy { deny = {"198.18.4.20/32"}'))
    relay.proc.send(signal.SIGHUP)
    relay.proc.wait_line(r"\breloaded\b")
    wait_until(lambda: count(relay, "remotes_revoked") == 50)
    done = crowd.end()
    assert (done["accepted"], done["rejected"], done["ended"]) == (50, 50, 0)


def test_peers_are_given_the_configured_public_address(lab, start_relay, datapath):
    relay = start_relay(config=CONFIG % {"datapath": datapath}
                        + 'bind { public = {"203.0.113.5"} }\n')
    bind = Bind(lab, "peer-v4", relay)
    assert re.fullmatch(r"203\.0\.113\.5:\d+", bind.public[0])
    assert re.fullmatch(r"\[2001:db8:6::1\]:\d+", bind.public[1])
    bind.stop()


def test_only_the_named_application_speaks_for_a_remote(lab, relay, targets):
    app, stranger = 5000, 5001
    bind = Bind(lab, "peer-v4", relay, "--permit", targets["target-v4"], app=f"127.0.0.1:{app}")
    line = bind.proc.wait_line(r'^\{"event": ?"remote".*\n').group(0)
    local = json.loads(line)["local"]
    # The relay may not have acknowledged the context yet.
    wait_until(lambda: exchange(lab["peer-v4"], local, 64, port=app)["same"])
    sizes = [65, 66, 67]
    for _ in range(2):
        taken = exchange(lab["peer-v4"], local, *sizes, port=stranger)
        assert taken == {"same": [], "different": [], "missing": sizes}
        mine = exchange(lab["peer-v4"], local, *sizes, port=app)
        assert mine == {"same": sizes, "different": [], "missing": []}
    bind.proc.send(signal.SIGUSR1)
    bind.proc.wait_line(r"^drops .*\bwrong_remote=6\b")
    bind.stop()


def test_without_a_named_application_the_last_sender_speaks_for_a_remote(lab, relay, targets):
    bind = Bind(lab, "peer-v4", relay, "--permit", targets["target-v4"])
    line = bind.proc.wait_line(r'^\{"event": ?"remote".*\n').group(0)
    local = json.loads(line)["local"]
    for port in (5000, 5001, 5000):
        wait_until(lambda: exchange(lab["peer-v4"], local, 64, port=port)["same"])
    bind.stop()


def test_a_relay_with_one_family_lists_one(lab, start_relay, datapath):
    relay = start_relay("relay-v4only", datapath=datapath)
    bind = Bind(lab, "peer-v4", relay)
    assert len(bind.public) == 1 and bind.public[0].startswith("198.18.4.2:")
    bind.stop()
    crowd = Bindflood(lab, "peer-v4", relay, "--registrations", 5, "--remote", "2001:db8:6::20")
    wait_until(lambda: count(relay, "context_refused_family") == 5)
    done = crowd.end()
    assert (done["accepted"], done["rejected"]) == (0, 5)


def test_a_relay_without_uncompressed_contexts_refuses_unknown_remotes(
        lab, start_relay, targets, datapath):
    relay = start_relay(config=CONFIG % {"datapath": datapath} + "bind { uncompressed = false }\n")
    bind = Bind(lab, "peer-v4", relay, "--permit", targets["target-v4"])
    bind.proc.wait_line(r'^\{"event": ?"refused", ?"remote": ?"any"\}\n')
    assert bind.proc.text().count("refused") == 1
    bind.stop()
    assert count(relay, "context_refused_policy") == 1


def test_a_relay_may_refuse_bound_tunnels(lab, start_relay, datapath):
    relay = start_relay(config=CONFIG % {"datapath": datapath} + "bind { offered = false }\n")
    done = lab["peer-v4"].run([lab.build / "culvert", "bind", "--relay", relay.address(4),
                               "--pin", relay.fingerprint], check=False)
    assert done.returncode != 0
    assert "refused a bound tunnel" in done.stderr


@pytest.mark.parametrize("text, said", [
    ('bind { public = {"203.0.113.5", "203.0.113.6"} }', 'public = "203.0.113.6"'),
    ('bind { local = {"relay"} }', 'local = "relay"'),
])
def test_a_bad_address_is_found_by_the_check_of_the_configuration(build, tmp_path, text, said):
    config = tmp_path / "culvert.conf"
    config.write_text(text + "\n")
    done = subprocess.run([build / "culvertd", "--check", "--config", config],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert said in done.stderr
