# SPDX-License-Identifier: GPL-3.0-or-later
"""Listeners and trust: a post-quantum one, a hybrid one beside it, and who may talk to which."""
import re

import daemon
import pytest

DATAPATHS = ("xdp", "sock")
CONFIG = """\
datapath = "%s"
listener main { port = 443 profile = pqc }
listener web { port = 8443 profile = hybrid }
policy { allow = {"198.18.0.0/15", "2001:db8::/32"} }
"""
CLASSICAL, UNTRUSTED = 12, 13


@pytest.fixture(scope="module")
def two_listeners(lab, logs, tmp_path_factory, datapath):
    relay = daemon.Relay(lab["relay"], tmp_path_factory.mktemp("relay"), config=CONFIG % datapath,
                         datapath=datapath, log=logs / f"culvertd-{datapath}.log")
    relay.start()
    found = relay.proc.wait_line(r"hybrid ca fingerprint: (sha256:[0-9a-f]{64})", 0)
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
    assert done.returncode == 0, done  # the certificate carries the relay's addresses
    done = ping(lab, two_listeners, 443, "--ca", ca, "--server-name",
                "somebody.else.example")
    assert done.returncode == UNTRUSTED, done


def test_handshakes_that_failed_are_counted_and_leave_nothing(lab, two_listeners):
    before = two_listeners.ctl("status")
    ping(lab, two_listeners, 443, "--profile", "hybrid", "--pin", two_listeners.fingerprint)
    after = two_listeners.ctl("status")
    assert after["counters"]["handshakes_failed"] == before["counters"]["handshakes_failed"] + 1
    assert after["handshaking"] == 0
