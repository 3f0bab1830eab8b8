# SPDX-License-Identifier: GPL-3.0-or-later
"""/metrics, read by the Prometheus project's parser, agrees with what culvertctl reports."""
import sys

import pytest

import daemon
from daemon import load
from prometheus_client.parser import text_string_to_metric_families

DATAPATHS = ("xdp", "sock")
COUNT = 300
# Names of labels.  The number of their values does not grow with clients, targets or tunnels.
LABELS = {"thread", "reason", "verdict", "interface", "listener", "queue", "mode", "version", "aead",
          "datapath", "resource", "because", "of", "result",
          # of the operator's names for clients, at most 256 of them
          "client", "direction"}

GET = """
import sys, urllib.error, urllib.request
request = urllib.request.Request("http://127.0.0.1:9845" + sys.argv[2], method=sys.argv[1])
try:
    answer = urllib.request.urlopen(request, timeout=60)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.headers["Content-Type"], flush=True)
sys.stdout.write(answer.read().decode())
"""


def get(host, path="/metrics", method="GET"):
    """Status, content type and text of an answer."""
    said = host.run([sys.executable, "-c", GET, method, path]).stdout
    first, _, text = said.partition("\n")
    status, _, kind = first.partition(" ")
    return int(status), kind, text


@pytest.fixture(scope="module")
def traffic(lab, relay, targets):
    client = daemon.Forward(lab["peer-v4"], relay.address(4), targets["target-v6"],
                         relay.fingerprint).wait()
    # So few at a time that no queue overflows: the counters are exact.
    figures = load(client.peer, client.address, count=COUNT, rate=0, window=8)
    assert daemon.is_clean(figures) and not figures["lost"], figures
    yield targets
    client.stop()


@pytest.fixture
def samples(relay, traffic):
    """{(name, labels as a sorted tuple): value}"""
    status, kind, text = get(relay.host)
    assert status == 200 and kind.startswith("text/plain; version=0.0.4")
    return {(s.name, tuple(sorted(s.labels.items()))): s.value
            for family in text_string_to_metric_families(text) for s in family.samples}


def total(samples, name, **labels):
    return sum(value for (n, found), value in samples.items()
               if n == name and set(labels.items()) <= set(found))


def test_counters_are_those_of_culvertctl(relay, samples):
    for name, value in relay.ctl("status")["counters"].items():
        if name.startswith("drop_"):
            found = total(samples, "culvert_drops_total", reason=name.removeprefix("drop_"))
        else:
            found = total(samples, f"culvert_{name}_total")
        # Between the two answers a path probe or an acknowledgement may have come.
        assert 0 <= value - found <= (5 if name in ("rx_peer_packets", "tx_peer_packets") else 0), name


def test_the_counters_contain_the_traffic(relay, samples):
    assert total(samples, "culvert_tx_target_packets_total") == COUNT
    assert total(samples, "culvert_tunnels") == total(samples, "culvert_connections") == 1
    assert total(samples, "culvert_egress_ports") == 1
    if relay.datapath == "xdp":
        assert total(samples, "culvert_xdp_frames_total", verdict="steer_context") == COUNT


def test_each_interface_has_one_datapath_mode(relay, samples):
    links = relay.ctl("status")["interfaces"]
    assert [link["name"] for link in links] == (["v4", "v6"] if relay.uses_xdp else [])
    for link in links:
        mine = {dict(labels)["mode"]: value for (name, labels), value in samples.items()
                if name == "culvert_interface_mode" and ("interface", link["name"]) in labels}
        assert mine[link["mode"]] == 1 and sum(mine.values()) == 1 and len(mine) == 4


def test_labels_are_bounded_and_name_neither_clients_nor_targets(lab, relay, samples, traffic):
    text = get(relay.host)[2]
    for host in ("peer-v4", "target-v6"):
        assert (lab[host].addr4 or lab[host].addr6) not in text
    assert {name for _, labels in samples for name, _ in labels} <= LABELS
    assert len(samples) < 1000


@pytest.mark.parametrize("method, path, status", [
    ("HEAD", "/metrics", 200), ("GET", "/", 404), ("GET", "/metrics/x", 404),
    ("POST", "/metrics", 405), ("DELETE", "/metrics", 405)])
def test_other_requests_get_404_or_405(relay, method, path, status):
    assert get(relay.host, path, method)[0] == status


# Many at a time, some of which send something; the rest wait in the kernel's queue.
TALK = """
import socket, sys, time
kept = [socket.socket() for _ in range(40)]
for one in kept:
    one.setblocking(False)
    one.connect_ex(("127.0.0.1", 9845))
time.sleep(0.2)
for one in kept[:6]:
    one.send(b"GARBAGE " * 1000 if len(sys.argv) > 1 else b"GET /met")
time.sleep(0.3)
"""


@pytest.mark.parametrize("garbage", [[], ["yes"]])
def test_slow_and_malformed_clients_do_not_block_others(relay, garbage):
    relay.host.run([sys.executable, "-c", TALK, *garbage])
    assert get(relay.host)[0] == 200


def test_an_address_in_use_is_a_start_error_that_names_it(relay, lab, logs, tmp_path):
    other = daemon.Relay(lab["relay"], tmp_path, log=logs / "taken.log", config=(
        'datapath = "sock"\nlistener m { port = 4443 }\n'))
    done = lab["relay"].run([lab.build / "culvertd", "--config", other.config, "--state-dir",
                             other.state, "--run-dir", other.run], check=False)
    assert done.returncode == 1
    assert "metrics: listen = 127.0.0.1:9845: Address already in use" in done.stderr


def test_without_an_address_nothing_listens(start_relay):
    relay = start_relay(host="relay-v4only", config='datapath = "sock"\nmetrics { listen = "" }\n')
    assert ":9845" not in relay.host.run(["ss", "-Hltn"]).stdout
