# SPDX-License-Identifier: GPL-3.0-or-later
"""What the functions of libculvert promise: an application calls them as its input says.

    tests/lab/apidrive.c on a peer -- relay -- echo servers on targets
"""
import errno
import json
import re
import signal
import subprocess

import pytest

import daemon
from netns import wait_until

DATAPATHS = ("xdp", "sock")
EDENIED, ECLOSED, EUNTRUSTED = -2007, -2017, -2014


class Drive:
    """An apidrive on a host."""

    def __init__(self, host, log):
        self.proc = host.start([host.lab.tool("apidrive")], name="apidrive", log=log,
                               stdin=subprocess.PIPE)
        self.read = 0    # lines of its output that were read

    def lines(self):
        return [json.loads(line) for line in self.proc.text().split("\n")[:-1]]

    def wait(self, timeout=60, **wanted):
        """The next line with all of these members; lines before it are skipped."""
        def found():
            alive = self.proc.alive
            for number, line in enumerate(self.lines()[self.read:], self.read):
                if wanted.items() <= line.items():
                    self.read = number + 1
                    return line
            assert alive, self.proc.text()[-500:]
            return None

        return wait_until(found, timeout, lambda: f"no {wanted} in {self.lines()[self.read:]}")

    def at_once(self, *lines):
        """Call functions without a step in between.  Returns what they returned."""
        text = "".join(" ".join(map(str, words)) + "\n" for words in lines)
        self.proc.popen.stdin.write(text.encode())
        self.proc.popen.stdin.flush()
        return [self.wait(did=words[0])["error"] for words in lines]

    def call(self, *words):
        return self.at_once(words)[0]

    def until(self, *words, answer=0):
        """Call a function until it returns answer."""
        wait_until(lambda: self.call(*words) == answer)

    def open_session(self, relay, *words):
        self.at = relay.address(4), relay.fingerprint
        assert self.call("session", *self.at, *words) == 0
        self.wait(event="up")
        return self

    def open_tunnel(self, name, target):
        assert self.call("tunnel", name, target) == 0
        self.wait(event="open", name=name)

    def open_bound(self, name, *words):
        assert self.call("bound", name, *words) == 0
        return self.wait(event="bound_open", name=name)["addresses"]

    def none(self, **unwanted):
        """Assert that no such line came since the last one waited for."""
        assert not [line for line in self.lines()[self.read:] if unwanted.items() <= line.items()]

    def end(self):
        self.proc.popen.stdin.close()
        assert self.proc.popen.wait(60) == 0, self.proc.text()[-2000:]


@pytest.fixture
def drive(lab, logs, request):
    """drive("peer-v4") is an application there; it must end well."""
    started = []

    def start(host="peer-v4"):
        log = logs / f"{request.node.name.replace('/', '_')}-{len(started)}.log"
        started.append(Drive(lab[host], log))
        return started[-1]

    yield start
    for one in started:
        one.end()


def test_each_tunnel_receives_its_own_replies(drive, relay, targets):
    app = drive().open_session(relay)
    for name in ("one", "two", "three"):
        app.open_tunnel(name, targets["target-v4" if name == "two" else "target-v6"])
    for name in ("one", "two", "three"):
        assert app.call("send", name, f"to-{name}") == 0
        assert app.wait(event="datagram", name=name)["text"] == f"to-{name}"


def test_the_largest_datagram_is_sent_and_a_larger_one_is_refused(drive, relay, targets):
    app = drive().open_session(relay)
    app.open_tunnel("t", targets["target-v4"])

    def largest():
        return max((line["max"] for line in app.lines() if line.get("event") == "payload_max"),
                   default=0)

    wait_until(lambda: app.call("size", "t", largest() + 1))    # the path's MTU is searched for
    most = largest()
    assert app.call("size", "t", most) == 0
    app.wait(event="datagram", len=most)
    assert app.call("size", "t", most + 1) == -errno.EMSGSIZE
    assert app.call("size", "t", 0) == 0
    app.wait(event="datagram", len=0)


def test_capsules_are_limited_only_by_the_size_of_a_udp_payload(drive, relay, targets):
    app = drive().open_session(relay, "capsules")
    app.open_tunnel("t", targets["target-v4"])
    assert app.call("size", "t", 65528) == -errno.EMSGSIZE
    assert app.call("size", "t", 1400) == 0
    app.wait(event="datagram", len=1400)


def test_sending_without_stepping_returns_eagain(drive, relay, targets):
    app = drive().open_session(relay)
    app.open_tunnel("t", targets["target-v4"])
    assert app.call("flood", "t", 1000) == 256    # then -EAGAIN

    def comes_back():
        assert app.call("send", "t", "after") == 0
        return any(line.get("text") == "after" for line in app.lines())

    wait_until(comes_back)    # the flood may still be on its way


@pytest.mark.parametrize("size", (0, 1000))
def test_received_datagrams_that_nobody_reads_are_bounded_and_counted(drive, relay, targets, size):
    app = drive().open_session(relay)
    app.open_tunnel("t", targets["target-v4"])
    count = 40000 if size == 0 else 8000
    assert app.call("pour", "t", count, size) == count
    app.call("send", "t", "last")
    app.wait(event="datagram", text="last", timeout=60)
    datagrams = [line for line in app.lines() if line.get("event") == "datagram"]
    app.at_once(("stats",))
    stats = next(line for line in app.lines() if "received_dropped" in line)
    assert stats["received_dropped"] > 0
    assert len(datagrams) - 1 <= (4 << 20) / (size + 128)


def test_a_refused_tunnel_reports_the_reason_and_leaves_the_others(drive, relay, targets):
    app = drive().open_session(relay)
    app.open_tunnel("good", targets["target-v4"])
    assert app.call("tunnel", "bad", "127.0.0.1:7") == 0
    closed = app.wait(event="closed", name="bad")
    assert (closed["error"], closed["was_open"], closed["status"]) == (EDENIED, False, 502)
    assert app.call("send", "bad", "x") == ECLOSED
    assert app.call("send", "good", "x") == 0
    app.wait(event="datagram", name="good")


def test_an_untrusted_session_goes_down_and_stays_down(drive, relay):
    app = drive()
    assert app.call("session", relay.address(4), "sha256:" + 64 * "0", "reconnect") == 0
    assert app.wait(event="down")["error"] == EUNTRUSTED
    assert app.call("tunnel", "t", "192.0.2.1:7") == ECLOSED


def test_tunnels_may_be_closed_from_their_own_events(drive, relay, targets):
    app = drive().open_session(relay)
    app.open_tunnel("stays", targets["target-v4"])
    app.at_once(("tunnel", "early", targets["target-v4"]), ("mute", "early"))
    app.wait(event="open", name="early")
    app.open_tunnel("late", targets["target-v6"])
    assert app.call("mute", "late") == 0
    assert app.call("flood", "late", 20) == 20
    app.wait(event="datagram", name="late")
    assert app.call("send", "stays", "x") == 0
    app.wait(event="datagram", name="stays")
    app.none(name="late")
    app.open_tunnel("late", targets["target-v6"])
    assert app.call("send", "late", "x") == 0
    app.wait(event="datagram", name="late", text="x")


def test_drops_inside_the_client_have_a_reason(lab, forward, relay, targets):
    client = forward("peer-v4", relay, targets["target-v4"], "--log-level", "info")
    figures = daemon.load(lab["peer-v4"], client.address, size=1472, count=7, wait=200)
    assert figures["received"] == 0
    client.proc.send(signal.SIGUSR1)
    client.proc.wait_line(r"^drops .*\btoo_big\w*=7\b")
    client.stop()
    dropped, = re.findall(r"^info dropped reason=(\w+) count=7 meaning=", client.proc.text(), re.M)
    assert "too_big" in dropped


def test_a_client_opens_a_session_after_it_closed_another(drive, relay, targets):
    app = drive()
    for _ in range(10):    # more than it can have at a time
        app.open_session(relay)
        app.open_tunnel("t", targets["target-v4"])
        assert app.call("send", "t", "x") == 0
        app.wait(event="datagram", name="t")
        assert app.call("close", "session") == 0
        app.none(event="down")


def test_tunnels_and_ports_return_after_a_reconnect(drive, start_relay, targets, datapath):
    relay = start_relay("relay-v4only", datapath=datapath)
    app = drive().open_session(relay, "reconnect")
    app.open_tunnel("t", targets["target-v4"])
    app.open_bound("b", "closed")
    assert app.call("permit", "b", targets["target-v4"]) == 0
    app.until("sendto", "b", targets["target-v4"], "before")
    app.wait(event="datagram", name="b")
    relay.stop()
    assert app.wait(event="closed", name="t")["was_open"]
    app.wait(event="lost")
    assert app.call("tunnel", "u", targets["target-v4"]) == ECLOSED
    assert app.call("sendto", "b", targets["target-v4"], "x") == ECLOSED
    relay.start()
    app.wait(event="up")
    app.wait(event="bound_open", name="b")
    app.none(event="closed", name="t")
    assert app.call("close", "t") == 0
    app.open_tunnel("t", targets["target-v4"])
    assert app.call("send", "t", "again") == 0
    app.wait(event="datagram", name="t", text="again")
    app.until("sendto", "b", targets["target-v4"], "after")    # permitted as before
    app.wait(event="datagram", name="b", text="after")


def test_without_reconnect_a_lost_session_stays_down(drive, start_relay, targets, datapath):
    relay = start_relay("relay-v4only", datapath=datapath)
    app = drive().open_session(relay)
    app.open_tunnel("t", targets["target-v4"])
    relay.stop()
    app.wait(event="closed", name="t")
    app.wait(event="down")
    assert app.call("tunnel", "u", targets["target-v4"]) == ECLOSED
    assert app.call("send", "t", "x") == ECLOSED


@pytest.mark.parametrize("family", (4, 6))
def test_a_bound_port_receives_from_unknown_remotes_and_answers_them(drive, relay, family):
    app, other = drive().open_session(relay), drive().open_session(relay)
    public = next(a for a in app.open_bound("b") if (a[0] == "[") == (family == 6))
    known = other.open_bound("s")
    other.until("sendto", "s", public, "ring")
    came = app.wait(event="datagram", name="b", text="ring")
    assert came["remote"] in known
    for i in range(50):    # enough for contexts to be opened meanwhile
        assert app.call("sendto", "b", came["remote"], f"answer-{i}") == 0
        assert other.wait(event="datagram", text=f"answer-{i}")["remote"] == public


@pytest.mark.parametrize("family", (4, 6))
def test_a_closed_port_talks_only_with_permitted_remotes(drive, relay, targets, family):
    remote, other = (targets[f"target-v{family}"],
                     targets[f"target-v{10 - family}"])
    app = drive().open_session(relay)
    app.open_bound("b", "closed")
    assert app.call("sendto", "b", remote, "early") == EDENIED
    assert app.call("permit", "b", remote) == 0
    app.until("sendto", "b", remote, "ring")    # the relay agreed
    assert app.wait(event="datagram", name="b")["remote"] == remote
    assert app.call("sendto", "b", other, "x") == EDENIED


def test_a_remote_that_the_relay_denies_is_reported(drive, relay):
    app = drive().open_session(relay)
    app.open_bound("b", "closed")
    assert app.call("permit", "b", "10.0.0.1:7") == 0
    assert app.wait(event="remote_refused", name="b")["remote"] == "10.0.0.1:7"
    assert app.call("sendto", "b", "10.0.0.1:7", "x") == EDENIED


def test_a_bound_port_may_be_closed_at_any_time(drive, relay, targets):
    app = drive().open_session(relay)
    assert app.at_once(("bound", "early"), ("close", "early")) == [0, 0]
    app.open_bound("b")
    assert app.call("mute", "b") == 0
    for _ in range(5):
        app.call("sendto", "b", targets["target-v4"], "x")
        if app.lines()[-1].get("event") == "datagram":
            break
    app.wait(event="datagram", name="b")
    app.open_bound("b")    # its name is free: it was closed
    app.none(name="early")
