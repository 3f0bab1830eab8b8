# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may use a relay: links, their end, addresses, and what a stranger learns."""
import json
import re
import signal
import subprocess
import sys

import pytest

import daemon
from daemon import is_clean, load

DATAPATHS = ("xdp", "sock")
PEER, TARGET = "peer-v4", "target-v4"
UNAUTHORIZED, NO_ANSWER, FORBIDDEN = 20, 11, 21
USERS = """\
datapath = "%s"
user = "nobody"
policy { allow = {"198.18.0.0/15", "2001:db8::/32"} }
access { users = "%s" %s }
"""


@pytest.fixture
def guarded(start_relay, tmp_path_factory, datapath):
    """guarded("clients = {...}") is a relay with a users file of its own, and with these keys."""
    def start(more="", listener=""):
        folder = tmp_path_factory.mktemp("u")
        relay = start_relay("relay-v4only", config=USERS % (datapath, folder / "users", more) + listener,
                            datapath=datapath, folder=folder)
        relay.users = folder / "users"
        return relay

    return start


def drops(relay):
    return relay.ctl("status")["counters"]


def ping(lab, relay_at, targets, *more):
    return daemon.ping(lab[PEER], relay_at, targets[TARGET], *more)


def test_a_relay_wants_a_credential_and_a_link_is_one(lab, guarded, targets):
    relay = guarded()
    done = ping(lab, relay.address(4), targets, relay.fingerprint)
    assert done.returncode == UNAUTHORIZED, done.stderr
    assert "requires a credential" in done.stderr and "407" in done.stderr
    assert drops(relay)["refused_no_credentials"] == 1

    done = ping(lab, relay.link(4), targets)
    assert done.returncode == 0, done.stderr
    assert relay.ctl("status")["access"] == {
        "mode": "token", "open": False, "client_prefixes": 0, "users": 0}


def test_forward_and_bind_work_with_a_link_and_end_without(lab, guarded, forward, targets):
    relay = guarded()
    link = relay.link(4)
    client = forward(PEER, relay, targets[TARGET], relay_at=link)
    assert is_clean(load(lab[PEER], client.address, count=20))
    binding = lab[PEER].start([lab.build / "culvert", "bind", "--relay", link], name="bind",
                              stdin=subprocess.PIPE)
    binding.wait_line(r"^public ", 30)
    assert binding.stop() == 0

    # The secret is in neither the list of processes nor any log.
    token = link.partition("token=")[2]
    seen = lab[PEER].run(["ps", "axww", "-o", "args"]).stdout
    assert "culvert forward" in seen and token not in seen
    assert token not in relay.log.read_text() and token not in client.proc.text()

    stranger = lab[PEER].start([lab.build / "culvert", "bind", "--relay", relay.address(4),
                                "--pin", relay.fingerprint], name="bind")
    assert stranger.popen.wait(30) == UNAUTHORIZED, stranger.text()


def test_a_user_lives_from_add_to_remove(lab, guarded, forward, targets):
    relay = guarded()
    host = ["--host", relay.host.addr4]
    assert "may not find" in relay.user("link", "default", "--host", "relay").stderr
    assert not relay.user("link", "default", *host).stderr
    link = relay.user("add", "alice", *host).stdout.strip()
    assert re.fullmatch(r"culvert://\S+\?pin=sha256:[0-9a-f]{64}&token=\S+", link)
    assert relay.user("add", "alice", *host, check=False).returncode == 1
    client = forward(PEER, relay, targets[TARGET], relay_at=link)
    assert is_clean(load(lab[PEER], client.address, count=20))

    # Its tunnels end with it, at once; what was issued before is invalid for good.
    relay.user("remove", "alice")
    relay.wait_counter("access_ended", 1)
    assert load(lab[PEER], client.address, count=10, wait=200, first=False)["received"] == 0
    assert client.proc.popen.wait(30) == UNAUTHORIZED, client.proc.text()
    assert relay.user("link", "alice", *host, check=False).returncode == 1
    assert ping(lab, link, targets).returncode == UNAUTHORIZED
    assert drops(relay)["refused_revoked"] >= 1

    again = relay.user("add", "alice", *host).stdout.strip()
    assert ping(lab, again, targets).returncode == 0
    assert ping(lab, link, targets).returncode == UNAUTHORIZED
    assert [user["name"] for user in relay.user_list()] == ["default", "alice"]


def test_an_expired_link_ends_its_tunnels(lab, guarded, forward, targets):
    relay = guarded()
    host = ["--host", relay.host.addr4]
    relay.user("add", "bob", *host)
    soon = relay.host.run(["date", "-u", "-d", "+6 seconds", "+%Y-%m-%dT%H:%M:%SZ"]).stdout.strip()
    link = relay.user("link", "bob", *host, "--expires", soon).stdout.strip()
    client = forward(PEER, relay, targets[TARGET], relay_at=link)
    assert is_clean(load(lab[PEER], client.address, count=20))
    relay.wait_counter("access_ended", 1)
    done = ping(lab, link, targets)
    assert done.returncode == UNAUTHORIZED, done.stderr
    assert drops(relay)["refused_expired"] >= 1
    client.proc.kill()


def test_only_listed_addresses_get_an_answer(lab, guarded, forward, targets):
    relay = guarded('clients = {"203.0.113.0/24"}')
    done = ping(lab, relay.link(4), targets)
    assert done.returncode == NO_ANSWER, done.stderr
    if relay.uses_xdp:  # before the kernel's network stack sees it
        assert relay.ctl("drops")["xdp"]["xdp_drop_client_address"]["packets"] > 0
        assert drops(relay)["drop_client_address"] == 0
    else:
        assert drops(relay)["drop_client_address"] > 0
    assert relay.ctl("status")["connections"] == relay.ctl("status")["handshaking"] == 0

    relay.configure(relay.config.read_text().replace("203.0.113.0/24", f"{lab[PEER].addr4}/32"))
    relay.reload()
    assert ping(lab, relay.link(4), targets).returncode == 0

    # Who is left out of the list loses its tunnels, too.
    client = forward(PEER, relay, targets[TARGET], relay_at=relay.link(4))
    assert is_clean(load(lab[PEER], client.address, count=20))
    relay.configure(relay.config.read_text().replace(f"{lab[PEER].addr4}/32", "203.0.113.0/24"))
    relay.reload()
    relay.wait_counter("access_ended", 1)
    client.proc.kill()


def test_without_the_users_file_revoked_links_stay_revoked(lab, guarded, targets):
    relay = guarded()
    relay.user("add", "alice", "--host", relay.host.addr4)
    link = relay.link(4, "alice")
    assert ping(lab, link, targets).returncode == 0
    relay.user("remove", "alice")
    assert ping(lab, link, targets).returncode == UNAUTHORIZED
    text = relay.users.read_text()
    relay.users.unlink()
    relay.proc.send(signal.SIGHUP)
    relay.proc.wait_line(r"^error reload_refused .*is gone", 30)
    assert ping(lab, link, targets).returncode == UNAUTHORIZED
    relay.users.write_text(text)
    relay.reload()
    assert ping(lab, link, targets).returncode == UNAUTHORIZED


def test_a_reload_changes_all_or_nothing(lab, guarded, targets):
    relay = guarded()
    if not relay.uses_xdp:
        pytest.skip("only the kernel's table of denied prefixes can be full")
    many = ", ".join(f'"11.{i >> 16}.{i >> 8 & 255}.{i & 255}"' for i in range(66000))
    text = relay.config.read_text()
    relay.configure(text.replace("access {", "access { mode = open ")
                    .replace("policy {", "policy { deny = {%s} " % many))
    relay.proc.send(signal.SIGHUP)
    relay.proc.wait_line("^error reload_refused .*nothing was changed", 30)
    assert "warn open_relay" not in relay.proc.text()
    done = ping(lab, relay.address(4), targets, relay.fingerprint)
    assert done.returncode == UNAUTHORIZED, done.stderr
    relay.configure(text)
    relay.reload()
    assert ping(lab, relay.link(4), targets).returncode == 0


def test_an_open_relay_says_so_loudly(lab, guarded, targets, start_relay):
    relay = guarded("mode = open")
    assert ping(lab, relay.address(4), targets, relay.fingerprint).returncode == 0
    assert "OPEN RELAY" in relay.ctl("status")["access"]["warning"]
    assert re.search(r"^warn open_relay ", relay.log.read_text(), re.M)
    status = relay.host.run([lab.build / "culvertctl", "--run-dir", relay.run, "status"]).stdout
    assert re.search(r"^WARNING +OPEN RELAY", status, re.M), status


def test_closing_an_open_relay_ends_its_tunnels(lab, guarded, forward, targets):
    relay = guarded("mode = open")
    client = forward(PEER, relay, targets[TARGET])
    assert is_clean(load(lab[PEER], client.address, count=20))
    relay.configure(relay.config.read_text().replace("mode = open", "mode = token"))
    relay.reload()
    assert load(lab[PEER], client.address, count=10, wait=200, first=False)["received"] == 0
    assert client.proc.popen.wait(30) == UNAUTHORIZED


def test_secrets_are_readable_by_their_owner_alone(lab, guarded):
    relay = guarded()
    relay.user("add", "carol", "--password", text="correct horse\n")
    assert (relay.state / "token.key").stat().st_mode & 0o777 == 0o600
    assert relay.users.stat().st_mode & 0o777 == 0o640
    assert "correct horse" not in relay.users.read_text()
    assert {"name": "carol", "proof": "password", "expires": "never", "limits": ""} \
        in relay.user_list()


def make_identity(lab, path):
    """Make an identity on the peer; returns its id."""
    done = lab[PEER].run([lab.build / "culvert", "id", "--identity", path])
    assert re.fullmatch(r"clv1[a-z2-7]{52}\n", done.stdout)
    return done.stdout.strip()


def test_mode_certificate_serves_known_keys_alone(lab, guarded, forward, targets, tmp_path):
    relay = guarded("mode = certificate")
    mine, other = tmp_path / "mine", tmp_path / "other"
    known = make_identity(lab, mine)
    assert mine.stat().st_mode & 0o777 == 0o600
    assert known == make_identity(lab, mine) != make_identity(lab, other)
    done = lab[PEER].run([lab.build / "culvert", "id", "--identity", mine, "--json"])
    assert json.loads(done.stdout) == {"id": known, "file": str(mine), "is_new": False}
    link = relay.user("add", "alice", "--key", known, "--host", relay.host.addr4).stdout.strip()
    assert "pin=" in link and "token" not in link

    client = forward(PEER, relay, targets[TARGET], "--identity", mine, relay_at=link)
    assert is_clean(load(lab[PEER], client.address, count=20))
    assert relay.ctl("status")["access"]["mode"] == "certificate"

    # Neither a stranger's key, nor none, nor a token is one.
    for more in ((), ("--identity", other)):
        done = ping(lab, link, targets, None, *more)
        assert done.returncode == FORBIDDEN and "certificate" in done.stderr, done.stderr
    assert drops(relay)["refused_no_credentials"] == 1
    assert drops(relay)["refused_credentials"] == 1

    # The end of its user is that of its tunnels.
    relay.user("remove", "alice")
    relay.wait_counter("access_ended", 1)
    assert load(lab[PEER], client.address, count=10, wait=200, first=False)["received"] == 0
    assert client.proc.popen.wait(30) == FORBIDDEN, client.proc.text()


def test_a_certificate_is_a_credential_beside_links(lab, guarded, targets, tmp_path):
    relay = guarded()
    key = tmp_path / "key"
    known = make_identity(lab, key)
    # The relay asks for certificates from the moment on in which it knows one.
    link = relay.user("add", "bob", "--key", known, "--host", relay.host.addr4).stdout.strip()
    assert ping(lab, link, targets, None, "--identity", key).returncode == 0
    assert ping(lab, relay.link(4), targets).returncode == 0
    done = ping(lab, link, targets)
    assert done.returncode == UNAUTHORIZED and "no token" in done.stderr, done.stderr
    other = tmp_path / "other"
    make_identity(lab, other)
    done = ping(lab, link, targets, None, "--identity", other)
    assert done.returncode == UNAUTHORIZED and "certificate" in done.stderr, done.stderr
    assert {"name": "bob", "proof": "key", "expires": "never", "limits": ""} in relay.user_list()


def test_an_identity_that_others_can_read_is_not_used(lab, guarded, targets, tmp_path):
    relay = guarded("mode = certificate")
    key = tmp_path / "key"
    make_identity(lab, key)
    key.chmod(0o644)
    done = ping(lab, relay.address(4), targets, relay.fingerprint, "--identity", key)
    assert done.returncode != 0 and "chmod 600" in done.stderr
    assert lab[PEER].run([lab.build / "culvert", "id", "--identity", key],
                         check=False).returncode == 1


def test_a_certificate_that_is_not_for_clients_is_refused_at_once(lab, guarded, targets, tmp_path):
    relay = guarded("mode = certificate")
    # One of the same kind, but for servers: the relay's own.
    wrong = tmp_path / "wrong"
    wrong.write_text((relay.state / "tls/pqc.key").read_text() +
                     (relay.state / "tls/pqc.pem").read_text())
    wrong.chmod(0o600)
    done = ping(lab, relay.address(4), targets, relay.fingerprint, "--identity", wrong)
    assert done.returncode == UNAUTHORIZED and "refuses the certificate" in done.stderr
    assert drops(relay)["handshakes_failed"] >= 1
    # A forward does not try again and again.
    relay.user("add", "corp", "--ca", relay.state / "tls/ca.pem", "--host", relay.host.addr4)
    assert [user["proof"] for user in relay.user_list() if user["name"] == "corp"] == ["ca"]
    stays = daemon.Forward(lab[PEER], relay.address(4), targets[TARGET], relay.fingerprint,
                           ["--identity", wrong])
    assert stays.proc.popen.wait(30) == UNAUTHORIZED, stays.proc.text()


def figures_of(relay, name):
    return next(user for user in relay.ctl("users")["users"] if user["name"] == name)


METRICS = """
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:9845/metrics", timeout=60).read().decode())
"""


def test_rates_of_a_user_hold_and_are_reported(lab, guarded, forward, targets):
    relay = guarded(listener='metrics { listen = "127.0.0.1:9845" }\n')
    host = ["--host", relay.host.addr4]
    slow = relay.user("add", "slow", "--packets", "50", *host).stdout.strip()
    fast = relay.user("add", "fast", "--mbit", "1000", *host).stdout.strip()
    hog = forward(PEER, relay, targets[TARGET], relay_at=slow)
    bystander = forward(PEER, relay, targets[TARGET], relay_at=fast)
    # 500 in about 2.5 s: 125 at most, and a burst.
    got = load(lab[PEER], hog.address, count=500, rate=200, size=200)["received"]
    assert 50 <= got <= 250
    assert is_clean(load(lab[PEER], bystander.address, count=500, rate=200, size=200))

    figures = figures_of(relay, "slow")
    assert figures["to_client_datagrams"] == got and figures["to_client_bytes"] == 200 * got
    assert figures["to_target_datagrams"] + figures["to_target_dropped"] == 500
    assert figures["connections"] == figures["tunnels"] == 1 and figures["ports"] == 0
    assert figures["limits"] == "packets=50"
    assert drops(relay)["drop_client_rate"] == \
        figures["to_target_dropped"] + figures["to_client_dropped"]
    assert figures_of(relay, "fast")["to_target_dropped"] == 0
    table = relay.host.run([lab.build / "culvertctl", "--run-dir", relay.run, "users"]).stdout
    assert re.search(r"^slow +1 +1 +0 ", table, re.M), table
    metrics = relay.host.run([sys.executable, "-c", METRICS]).stdout
    mine = [line for line in metrics.splitlines() if 'client="slow"' in line]
    assert f'culvert_client_datagrams_total{{client="slow",direction="to_client"}} {got}' in mine
    assert 'culvert_client_tunnels{client="slow"} 1' in mine
    for address in (targets[TARGET].partition(":")[0], lab[PEER].addr4):
        assert address not in table and address not in metrics


def test_bytes_of_a_user_run_out(lab, guarded, forward, targets):
    relay = guarded()
    link = relay.user("add", "metered", "--bytes", "20K", "--host",
                      relay.host.addr4).stdout.strip()
    client = forward(PEER, relay, targets[TARGET], relay_at=link)
    # 200 bytes there and back for each, 50 times.
    got = load(lab[PEER], client.address, count=200, rate=500, size=200)["received"]
    assert 45 <= got <= 50
    figures = figures_of(relay, "metered")
    assert figures["to_target_bytes"] + figures["to_client_bytes"] == 20000
    assert drops(relay)["drop_client_bytes"] > 0
    assert ping(lab, link, targets).returncode != 0
    assert drops(relay)["refused_client_limit"] >= 1


def test_a_link_of_a_hybrid_relay_says_so(lab, guarded, targets):
    relay = guarded(listener="listener main { port = 443 profile = hybrid }\n")
    link = relay.link(4)
    assert "&profile=hybrid&" in link
    done = ping(lab, link, targets)
    assert done.returncode == 0, done.stderr
    assert "X25519MLKEM768" in {conn["group"] for conn in relay.ctl("conns")["conns"]} or \
        drops(relay)["handshakes_failed"] == 0
    assert ping(lab, link.replace("&profile=hybrid", ""), targets).returncode == 12
