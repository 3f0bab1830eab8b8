# SPDX-License-Identifier: GPL-3.0-or-later
"""Listeners and trust: a post-quantum one, a hybrid one beside it, and who may talk to which."""
import re

import daemon
import netns
import pytest

DATAPATHS = ("xdp", "sock")
CONFIG = """\
datapath = "%s"
listener main { port = 443 profile = pqc }
listener web { port = 8443 profile = hybrid }
policy { allow = {"198.18.0.0/15", "2001:db8::/32"} }
certificate-names = {"198.18.4.1"}
"""
CLASSICAL, UNTRUSTED = 12, 13


@pytest.fixture(scope="module")
def two_listeners(lab, logs, tmp_path_factory, datapath):
    relay = daemon.Relay(lab["relay"], tmp_path_factory.mktemp("relay"), config=CONFIG % datapath,
                         datapath=datapath, log=logs / f"culvertd-{datapath}.log")
    relay.start()
    found = relay.proc.wait_line(r"hybrid pin: (sha256:[0-9a-f]{64})", 0)
    relay.hybrid_fingerprint = found.group(1)
    yield relay
    relay.stop()


def ping(lab, relay, port, *args):
    at = re.sub(r":\d+$", f":{port}", relay.address(4))
    return lab["peer-v4"].run(
        [lab.build / "culvert", "ping", "--relay", at, "--target",
         daemon.endpoint(lab["target-v6"].addr6, 7000), "--count", 20, "--interval", 0.01, *args],
        check=False)


def test_a_tunnel_through_the_hybrid_listener(lab, targets, two_listeners):
    done = ping(lab, two_listeners, 8443, "--profile", "hybrid", "--pin",
                two_listeners.hybrid_fingerprint)
    assert done.returncode == 0, done
    assert "sent 20 received 20 loss 0.0% wrong 0" in done.stdout


def test_the_listing_distinguishes_hybrid_from_post_quantum_connections(
        lab, targets, two_listeners):
    clients = [daemon.Forward(lab["peer-v4"], f"198.18.4.1:{port}", targets["target-v6"], pin, args)
            for port, pin, args in (
                (443, two_listeners.fingerprint, ()),
                (8443, two_listeners.hybrid_fingerprint, ("--profile", "hybrid")))]
    for client in clients:
        client.wait()
    groups = {conn["profile"]: conn["group"] for conn in two_listeners.ctl("conns")["conns"]}
    for client in clients:
        assert client.stop() == 0
    assert groups["pqc"] == "MLKEM768"
    assert groups["hybrid"] in ("X25519MLKEM768", "SecP256r1MLKEM768")


def test_a_tunnel_through_the_post_quantum_listener(lab, targets, two_listeners):
    done = ping(lab, two_listeners, 443, "--pin", two_listeners.fingerprint)
    assert done.returncode == 0, done
    assert "sent 20 received 20 loss 0.0% wrong 0" in done.stdout


def test_a_hybrid_client_is_refused_by_the_post_quantum_listener(lab, two_listeners):
    done = ping(lab, two_listeners, 443, "--profile", "hybrid", "--pin", two_listeners.fingerprint)
    assert done.returncode == CLASSICAL and "post-quantum" in done.stderr, done


def test_a_post_quantum_client_refuses_the_hybrid_listener(lab, two_listeners):
    done = ping(lab, two_listeners, 8443, "--pin", two_listeners.hybrid_fingerprint)
    assert done.returncode == CLASSICAL and "post-quantum" in done.stderr, done


def test_another_fingerprint_is_not_trusted(lab, two_listeners):
    done = ping(lab, two_listeners, 443, "--pin", "sha256:" + "0" * 64)
    assert done.returncode == UNTRUSTED and "not trusted" in done.stderr, done


def test_the_ca_file_is_trusted_for_the_relays_name(lab, targets, two_listeners):
    ca = two_listeners.state / "tls" / "ca.pem"
    done = ping(lab, two_listeners, 443, "--ca", ca)
    assert done.returncode == 0, done
    done = ping(lab, two_listeners, 443, "--ca", ca, "--server-name",
                "somebody.else.example")
    assert done.returncode == UNTRUSTED, done


def test_handshakes_that_failed_are_counted_and_leave_nothing(lab, two_listeners):
    before = two_listeners.ctl("status")
    ping(lab, two_listeners, 443, "--profile", "hybrid", "--pin", two_listeners.fingerprint)
    after = two_listeners.ctl("status")
    assert after["counters"]["handshakes_failed"] == before["counters"]["handshakes_failed"] + 1
    assert after["handshaking"] == 0


ONE_ADDRESS = """\
metrics { listen = "" }
datapath = "%s"
policy { allow = {"198.18.0.0/15"} }
"""
HOST = "relay-v4only"   # the other one's port 443 is taken, on every address


@pytest.fixture
def addresses(lab):
    """Two addresses of one interface."""
    first = lab[HOST].addr4
    second = first.rsplit(".", 1)[0] + ".99"
    device = lab[HOST].ip("-o", "addr", "show", "to", first).split()[1]
    lab[HOST].ip("addr", "add", f"{second}/24", "dev", device)
    yield first, second
    lab[HOST].ip("addr", "del", f"{second}/24", "dev", device)


def test_two_listeners_share_a_port_on_two_addresses(lab, targets, start_relay, datapath, addresses):
    first, second = addresses
    relay = start_relay(HOST, datapath=datapath, config=ONE_ADDRESS % datapath + f"""\
listener one {{ address = "{first}" }}
listener two {{ address = "{second}" profile = hybrid }}
""")
    hybrid = relay.proc.wait_line(r"hybrid pin: (sha256:[0-9a-f]{64})", 0).group(1)
    for at, pin, profile in ((first, relay.fingerprint, "pqc"), (second, hybrid, "hybrid")):
        client = daemon.Forward(lab["peer-v4"], f"{at}:443", targets["target-v4"], pin,
                                ("--profile", profile))
        client.wait()
        assert daemon.is_clean(daemon.load(lab["peer-v4"], client.address, count=50))
        assert profile in [c["profile"] for c in relay.ctl("conns")["conns"]]
        assert client.stop() == 0
    wrong = daemon.ping(lab["peer-v4"], f"{second}:443", targets["target-v4"], relay.fingerprint)
    assert wrong.returncode in (CLASSICAL, UNTRUSTED), wrong
    listed = {one["name"]: one["address"] for one in relay.ctl("listeners")["listeners"]}
    assert listed == {"one": first, "two": second}


def test_two_relays_share_a_port_on_two_addresses(lab, targets, start_relay, datapath, addresses):
    """The second has no XDP: an interface has room for one program."""
    relays = {at: start_relay(HOST, datapath=mode, config=ONE_ADDRESS % mode +
                              f'listener main {{ address = "{at}" }}\n')
              for at, mode in zip(addresses, (datapath, "sock"))}
    clients = []
    for at, relay in relays.items():
        client = daemon.Forward(lab["peer-v4"], f"{at}:443", targets["target-v4"],
                                relay.fingerprint)
        client.wait()
        clients.append(client)
    for client, relay in zip(clients, relays.values()):
        assert daemon.is_clean(daemon.load(lab["peer-v4"], client.address, count=50))
        assert len(relay.ctl("conns")["conns"]) == 1
    for client in clients:
        assert client.stop() == 0


def test_an_address_that_the_host_lacks_is_an_error_at_the_start(lab, start_relay):
    with pytest.raises(netns.LabError, match=r"UDP 198\.18\.4\.77:443"):
        start_relay(HOST, config='listener main { address = "198.18.4.77" }\n')
