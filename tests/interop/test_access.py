# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials of an unmodified masque-go client: tokens and passwords, right and wrong."""
import base64
import statistics

import pytest

import daemon

CONFIG = """\
datapath = "sock"
user = "nobody"
listener main { port = 443 profile = pqc }
listener web { port = 8443 profile = hybrid }
policy { allow = {"198.18.0.0/15", "2001:db8::/32"} }
certificate-names = {"%s"}
access { users = "%s"  failures-burst = %d  password-checks = 8 }
"""
PASSWORD = "correct horse"


@pytest.fixture
def guarded(lab, build, request, tmp_path_factory):
    """guarded(burst) is a relay with the user alice, who has a password."""
    started = []

    def start(burst=1000):
        folder = tmp_path_factory.mktemp("u")
        for one in (folder, *folder.parents[:2]):
            one.chmod(0o755)
        relay = daemon.Relay(lab["relay"], tmp_path_factory.mktemp("r"), datapath="sock",
                             config=CONFIG % (lab["relay"].addr4, folder / "users", burst),
                             log=build / "test-logs" / f"{request.node.name}.log")
        started.append(relay.start())
        relay.user("add", "alice", "--password", text=PASSWORD + "\n")
        return relay

    yield start
    for relay in started:
        relay.stop()


def basic(name, password, field="Proxy-Authorization"):
    return f"{field}: Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def bearer(relay, field="Proxy-Authorization"):
    return f"{field}: Bearer " + relay.link(4).partition("token=")[2]


def present(masque_go, lab, relay, targets, *fields):
    """What each of these fields was answered with, "" being a request without credentials."""
    return lab["peer-v4"].json(
        [masque_go, "access", "-relay", daemon.endpoint(relay.host.addr4, 8443), "-ca",
         relay.state / "tls" / "hybrid-ca.pem", "-target", targets["target-v4"], "-fields",
         "\n".join(fields)], timeout=110)


def test_tokens_and_passwords_open_tunnels(masque_go, lab, guarded, targets):
    relay = guarded()
    for answer in present(masque_go, lab, relay, targets, bearer(relay),
                          bearer(relay, "Authorization"), basic("alice", PASSWORD),
                          basic("alice", PASSWORD, "Authorization"), basic("alice", PASSWORD)):
        assert (answer["status"], answer.get("echo")) == (200, "same"), answer


def test_a_refusal_tells_no_stranger_why(masque_go, lab, guarded, targets):
    """An unknown name, a wrong password, a removed user and a forged token look the same."""
    relay = guarded()
    relay.user("add", "bob", "--password", text="battery staple\n")
    relay.user("remove", "bob")
    token = bearer(relay)
    wrong = [basic("alice", "wrong"), basic("nobody-of-that-name", "wrong"),
             basic("bob", "battery staple"), token[:-1] + ("A" if token[-1] != "A" else "B"),
             "Proxy-Authorization: Digest x", "Proxy-Authorization: Basic !", ""]
    answers = present(masque_go, lab, relay, targets, *wrong)
    assert {answer["status"] for answer in answers} == {407}
    assert {answer["body"] for answer in answers} == {""}
    heads = {tuple(answer["head"]) for answer in answers}
    assert heads == {(
        'Proxy-Authenticate: Basic realm="culvert", charset="UTF-8" | Bearer realm="culvert"',)}


def test_an_unknown_name_costs_as_much_as_a_wrong_password(masque_go, lab, guarded, targets):
    relay = guarded()
    answers = present(masque_go, lab, relay, targets, *(
        basic(name, f"wrong {i}") for i in range(12) for name in ("alice", "mallory")))
    known, unknown = (statistics.median(answer["usec"] for answer in answers[i::2])
                      for i in (0, 1))
    # A hash takes tens of milliseconds; without one, an answer takes less than one.
    assert known > 5000 and unknown > 5000, (known, unknown)
    assert 1 / 3 < known / unknown < 3, (known, unknown)


def test_passwords_cannot_be_tried_for_ever_and_tokens_still_pass(masque_go, lab, guarded, targets):
    relay = guarded(burst=5)
    answers = present(masque_go, lab, relay, targets,
                      *(basic("alice", f"wrong {i}") for i in range(30)), bearer(relay))
    statuses = [answer["status"] for answer in answers]
    assert statuses[0] == 407 and 429 in statuses and statuses[-1] == 200, statuses
    assert relay.ctl("status")["counters"]["refused_failed_attempts"] >= statuses.count(429)


def test_a_request_for_a_certificate_disturbs_no_client_without_one(masque_go, lab, guarded, targets):
    relay = guarded()
    relay.user("add", "bob", "--key", "clv1" + "a" * 52)
    for answer in present(masque_go, lab, relay, targets, bearer(relay), basic("alice", PASSWORD)):
        assert (answer["status"], answer.get("echo")) == (200, "same"), answer
    assert [answer["status"] for answer in present(masque_go, lab, relay, targets, "")] == [407]
