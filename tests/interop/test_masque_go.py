# SPDX-License-Identifier: GPL-3.0-or-later
"""An unmodified masque-go client (quic-go, Go's TLS) through the hybrid listener."""
import itertools

import pytest

import daemon

DATAPATHS = ("xdp", "sock")

PEERS = {4: "peer-v4", 6: "peer-v6"}
TARGETS = {4: "target-v4", 6: "target-v6"}
PORT = 8443

# What a request is answered with (RFC 9298 section 3; 502 with destination_ip_prohibited is what
# RFC 9209 section 2.3.5 recommends for a denied target).
ANSWERS = {
    "a good request": "status 200",
    "method GET": "status 404",
    "unknown protocol": "status 501",
    "path outside of the template": "status 404",
    "port 0": "status 400",
    "port 65536": "status 400",
    "port in words": "status 400",
    "empty host": "status 400",
    "host with a zone": "status 400",
    "loopback target": "status 502",
    "mapped loopback target": "status 502",
    "giant field section": "status 431",
    "giant field": "stream 0x200",    # more than a decoder takes, RFC 9204 section 7.4
}

# What a violation ends with.  RFC 9114 section 8.1, RFC 9204 section 6, RFC 9297 sections 2 and 3.
GENERAL, CREATION, CRITICAL, UNEXPECTED, FRAME = 0x101, 0x103, 0x104, 0x105, 0x106
EXCESSIVE, ID, SETTINGS, MISSING, INCOMPLETE, MESSAGE = 0x107, 0x108, 0x109, 0x10a, 0x10d, 0x10e
DECOMPRESSION, ENCODER, DECODER, DATAGRAM = 0x200, 0x201, 0x202, 0x33
VIOLATIONS = {
    "a second control stream": ("connection", CREATION),
    "a push stream from a client": ("connection", CREATION),
    "a control stream that ends": ("connection", CRITICAL),
    "a control stream without settings": ("connection", MISSING),
    "settings twice": ("connection", UNEXPECTED),
    "a setting of HTTP/2": ("connection", SETTINGS),
    "datagram setting of 2": ("connection", SETTINGS),
    "data on the control stream": ("connection", UNEXPECTED),
    # The library's readings: RFC 9114 has H3_ID_ERROR for two, H3_REQUEST_INCOMPLETE for two.
    "a request that never begins": ("connection", UNEXPECTED),
    "a request stream that only ends": ("connection", UNEXPECTED),
    "max push id that goes down": ("connection", FRAME),
    "cancel push never promised": ("connection", UNEXPECTED),
    "data before headers": ("connection", UNEXPECTED),
    "a frame of HTTP/2": ("connection", UNEXPECTED),
    "settings on a request stream": ("connection", UNEXPECTED),
    "a request that is cut short": ("connection", FRAME),
    "fields that refer to an empty table": ("connection", DECOMPRESSION),
    "fields that do not decode": ("connection", DECOMPRESSION),
    "rubbish on the encoder stream": ("connection", ENCODER),
    "rubbish on the decoder stream": ("connection", DECODER),
    "no path": ("stream", MESSAGE),
    "an upper case field name": ("stream", MESSAGE),
    "an empty datagram": ("connection", DATAGRAM),
    "a datagram of an impossible stream": ("connection", DATAGRAM),
    "a datagram of a stream beyond the limit": ("connection", ID),
    "a capsule cut short": ("stream", MESSAGE),
    "a datagram capsule without a context": ("stream", MESSAGE),
    "a frame of HTTP/2 in a tunnel": ("connection", UNEXPECTED),
}
# A repeated setting MAY be an error (RFC 9114 section 7.2.4).
HARMLESS = ("a setting twice", "a datagram of a stream never opened", "an unknown capsule")


def at(relay, family, port=PORT):
    return daemon.endpoint(relay.host.addr4 if family == 4 else relay.host.addr6, port)


def run(masque_go, lab, relay, command, *args, family=4):
    return lab[PEERS[family]].json(
        [masque_go, command, "-relay", at(relay, family), "-ca", relay.hybrid_ca, *args],
        timeout=110)


@pytest.mark.parametrize("client, target", itertools.product((4, 6), (4, 6)))
def test_payloads_of_all_sizes_cross_the_relay(masque_go, lab, relay, targets, client, target):
    """1200 is what a tunnelled QUIC needs; above, as much as fits the client's packets."""
    sizes = "0-64,200,500,1000-1200" if client == target else "0-4,64,512,1199,1200"
    found = run(masque_go, lab, relay, "exchange", "-target", targets[TARGETS[target]], "-sizes",
                sizes, family=client)
    assert set(found["sizes"]) == {"same"}, found
    assert len(found["sizes"]["same"]) == (268 if client == target else 9)
    assert found["group"] in ("X25519MLKEM768", "SecP256r1MLKEM768")


@pytest.mark.parametrize("client", (4, 6))
def test_fifty_tunnels_on_one_connection_close_and_reopen(masque_go, lab, relay, targets, client):
    found = run(masque_go, lab, relay, "many", "-targets", ",".join(targets.values()), "-count",
                50, family=client)
    assert found["same"] == [50, 25, 50]


@pytest.fixture(scope="module")
def outcomes(masque_go, lab, relay, targets):
    """What each wrong thing came to, all tried in one run."""
    return run(masque_go, lab, relay, "wrong", "-target", targets["target-v6"])


@pytest.mark.parametrize("name", ANSWERS)
def test_a_request_is_answered_with_the_right_status(outcomes, name):
    assert outcomes[name] == ANSWERS[name]


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_ends_with_the_error_the_rfc_names(outcomes, name):
    how, code = VIOLATIONS[name]
    assert outcomes[name] == f"{how} 0x{code:x}"


@pytest.mark.parametrize("name", HARMLESS)
def test_what_may_be_ignored_is_ignored(outcomes, name):
    assert outcomes[name] in ("goes on", "stream end")


def test_every_outcome_is_expected_by_some_test(outcomes):
    assert set(outcomes) == set(ANSWERS) | set(VIOLATIONS) | set(HARMLESS)


def test_the_relay_still_serves_afterwards(masque_go, lab, relay, targets, outcomes):
    found = run(masque_go, lab, relay, "exchange", "-target", targets["target-v4"], "-sizes",
                "1200")
    assert found["sizes"] == {"same": [1200]}


# ---- no classical key exchange with any client ----

CLASSICAL = ("X25519", "P256", "P384", "P521", "X25519,P256,P384,P521")
HYBRID = ("X25519MLKEM768", "SecP256r1MLKEM768")
# TLS alert 40 (RFC 9001 section 4.8), handshake_failure, is the relay's.  A client that was asked for a
# group which it never listed would say 47, illegal_parameter (RFC 8446 section 4.2.8).
REFUSED = "transport 0x128"


def shake(masque_go, lab, relay, port, groups, *args):
    ca = relay.pqc_ca if port == 443 else relay.hybrid_ca
    before = relay.ctl("status")["counters"]
    found = lab["peer-v4"].json([masque_go, "handshake", "-relay", at(relay, 4, port), "-ca", ca,
                                 "-groups", groups, *args], timeout=30)
    after = relay.ctl("status")["counters"]
    found["requests"] = after["requests"] - before["requests"]
    found["failed"] = after["handshakes_failed"] - before["handshakes_failed"]
    found["completed"] = after["handshakes"] - before["handshakes"]
    return found


@pytest.mark.parametrize("args", ([], ["-cert"]), ids=("", "with-a-classical-certificate"))
@pytest.mark.parametrize("groups", CLASSICAL + HYBRID + ("X25519MLKEM768,X25519",))
def test_the_post_quantum_listener_refuses_any_other_key_exchange(
        masque_go, lab, relay, groups, args):
    found = shake(masque_go, lab, relay, 443, groups, *args)
    assert found.pop("error") == REFUSED
    assert found.pop("failed") >= 1    # an Initial that was sent again meanwhile is another
    assert found == {"done": False, "requests": 0, "completed": 0}


@pytest.mark.parametrize("groups", CLASSICAL)
def test_the_hybrid_listener_never_negotiates_a_classical_group(masque_go, lab, relay, groups):
    found = shake(masque_go, lab, relay, PORT, groups)
    assert found.pop("error") == REFUSED
    assert found.pop("failed") >= 1    # an Initial that was sent again meanwhile is another
    assert found == {"done": False, "requests": 0, "completed": 0}


@pytest.mark.parametrize("groups", HYBRID + ("X25519,P256,X25519MLKEM768", "X25519,SecP256r1MLKEM768"))
def test_the_hybrid_listener_takes_a_hybrid_group_from_among_others(masque_go, lab, relay, groups):
    found = shake(masque_go, lab, relay, PORT, groups)
    assert found["done"] and found["group"] in HYBRID and found["group"] in groups
    assert found["alpn"] == "h3" and found["version"] == "TLS 1.3" and found["failed"] == 0
