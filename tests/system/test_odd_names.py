# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces and hosts with names that mean something to JSON, to Prometheus or to a terminal."""
import re
import sys

import pytest

import daemon
from daemon import exchange
from prometheus_client.parser import text_string_to_metric_families

DATAPATHS = ("xdp",)
NAMES = ('q"uo\\te', "averyveryverylo", "ünï-eth", "we}ird{a=b")
HOST_NAMES = {"odd": 'h"ö st\\x', "long": "a" * 64}
RENAMED = ("unshare", "--uts", "sh", "-c",
           'printf %s "$0" > /proc/sys/kernel/hostname && exec "$@"')
CONFIG = daemon.CONFIG + 'metrics { listen = "127.0.0.1:9845" }\n'
GET = ("import sys, urllib.request\n"
       "sys.stdout.write(urllib.request.urlopen('http://127.0.0.1:9845/metrics').read().decode())")


@pytest.fixture(scope="module")
def interfaces(lab):
    host = lab["relay-v4only"]
    for i, name in enumerate(NAMES):
        host.ip("link", "add", f"odd{i}", "type", "veth", "peer", "name", f"even{i}")
        host.ip("link", "set", f"odd{i}", "name", name)
        host.ip("addr", "add", f"198.19.{i}.1/24", "dev", name)    # else it is not for the relay
        host.ip("link", "set", "dev", name, "up")
    yield set(NAMES)
    for name in NAMES:
        host.ip("link", "del", "dev", name)


def test_reports_and_metrics_have_every_interface(start_relay, interfaces, datapath):
    relay = start_relay("relay-v4only", config=CONFIG % {"datapath": "auto"})
    status = relay.ctl("status")
    assert {nic["name"] for nic in status["interfaces"]} >= interfaces
    for words in ("workers", "drops", "listeners", "policy"):
        relay.ctl(words)    # which parses it as JSON
    text = relay.host.run([sys.executable, "-c", GET]).stdout
    labels = {sample.labels["interface"] for family in text_string_to_metric_families(text)
              for sample in family.samples if "interface" in sample.labels}
    assert labels >= interfaces


def test_a_line_of_the_log_stays_one_line_of_pairs(start_relay, interfaces, datapath):
    relay = start_relay("relay-v4only", config=CONFIG % {"datapath": "auto"})
    with open(relay.log, encoding="utf-8") as log:
        lines = [line for line in log.read().splitlines() if " datapath_fallback if=" in line]
    pairs = re.compile(r'\w+ datapath_fallback( \w+=("[^"]*"|[^" ]\S*))+')
    assert lines and all(pairs.fullmatch(line) for line in lines), lines


@pytest.mark.parametrize("name", HOST_NAMES)
def test_a_host_may_have_any_name(start_relay, forward, targets, name, datapath):
    relay = start_relay("relay-v4only", wrapper=(*RENAMED, HOST_NAMES[name]))
    client = forward("peer-v4", relay, targets["target-v4"])
    assert exchange(client.peer, client.address, 100)["same"] == [100]
    done = daemon.ping(client.peer, relay.address(4), "127.0.0.1:9", relay.fingerprint)
    assert done.returncode == 15 and "policy denies" in done.stderr, done.stderr
