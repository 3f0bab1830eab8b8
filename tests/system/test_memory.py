# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that make the relay keep as much as it will: its memory has a ceiling, and a tunnel beside
them goes on as before."""
import re
import time
from pathlib import Path

import pytest

import daemon
from daemon import is_clean, load
from netns import wait_until

DATAPATHS = ("xdp", "sock")
BUFFERED = 16 << 20
RELAY_CONFIG = daemon.CONFIG + f"limits {{ buffered-kib = {BUFFERED >> 10} }}\n"
CONNECTIONS = 3
STAY_SEC = 8
# 64 unfinished requests of a connection with 64 KiB each, and as much again for everything else.
SECTIONS_MAX = CONNECTIONS * 64 * (64 << 10) * 2


def rss(relay):
    status = Path(f"/proc/{relay.proc.pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) << 10


def held(relay):
    """What is used of each limit on memory."""
    return {m["of"]: m for m in relay.ctl("status")["memory"]}


def hoard(lab, relay, kind):
    return lab["peer-v6"].start(
        [lab.tool("storm"), "--kind", kind, "--rate", CONNECTIONS, "--seconds", 1, "--stay",
         STAY_SEC, "--pin", relay.fingerprint.partition(":")[2], relay.address(6)], name="storm")


@pytest.fixture
def client(relay, forward, targets):
    one = forward("peer-v4", relay, targets["target-v4"])
    one.requests = lambda: forward("peer-v4", relay, targets["target-v4"])
    return one


def beside(client, relay, storm):
    """The largest RSS while the storm goes on, beside which the tunnel and new ones work."""
    peak = rss(relay)
    while storm.alive:
        figures = load(client.peer, client.address, rate=200, count=100, size=600, wait=1000)
        assert is_clean(figures), figures
        peak = max(peak, rss(relay))
    client.requests()
    return peak


def test_field_sections_that_never_end_stay_below_a_ceiling(lab, relay, client):
    before, refused = rss(relay), relay.ctl("status")["counters"].get("refused_unfinished", 0)
    storm = hoard(lab, relay, "sections")
    peak = beside(client, relay, storm)
    seen = daemon.result_of(storm)
    counters = relay.ctl("status")["counters"]
    print(f"{seen}: RSS {before >> 20} MiB, at most {peak >> 20}")
    quic = held(relay)["quic"]
    assert 0 < quic["used_bytes"] < quic["max_bytes"]
    assert seen["requests"] >= 1000
    assert counters["refused_unfinished"] > refused
    assert peak - before < SECTIONS_MAX


def test_requests_that_wait_for_settings_end_their_own_connection(lab, relay, client):
    before, began = rss(relay), time.monotonic()
    storm = hoard(lab, relay, "waiting")
    peak = beside(client, relay, storm)
    seen = daemon.result_of(storm)
    print(f"{seen} in {time.monotonic() - began:.1f} s: RSS {before >> 20} MiB, at most {peak >> 20}")
    assert seen["requests"] >= BUFFERED // 12000
    assert seen["closed"] >= 1
    assert held(relay)["buffered"]["refused"] >= 1
    wait_until(lambda: held(relay)["buffered"]["used_bytes"] == 0,
               what="something still waits")
    assert client.proc.alive
