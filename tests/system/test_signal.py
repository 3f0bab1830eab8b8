# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator sees of signal streams, and that the relay may do without them."""
import pytest

import daemon
from netns import wait_until
from test_metrics import get

DATAPATHS = ("sock",)
PEER, TARGET = "peer-v4", "target-v4"
CONFIG = 'datapath = "sock"\nuser = "nobody"\naccess { mode = open }\n' \
         'policy { allow = {"198.18.0.0/15", "2001:db8::/32"} }\n%s\n'


@pytest.fixture
def relay_with(start_relay):
    return lambda more: start_relay("relay-v4only", config=CONFIG % more, datapath="sock")


def gauges(relay):
    """The metrics, {name with its labels: value}."""
    return dict(line.split(" ") for line in get(relay.host)[2].splitlines()
                if line.startswith("culvert_") and line.count(" ") == 1)


def test_a_relay_says_what_its_signal_streams_have(relay_with):
    relay = relay_with("signal { records = 77  knocks = 5 }")
    answer = relay.ctl("signal")
    assert answer["offered"] is True
    assert (answer["streams"], answer["peers"], answer["records"], answer["records_max"],
            answer["knocks_waiting"], answer["knocks_max"]) == (0, 0, 0, 77, 0, 5)
    assert set(answer["counts"].values()) == {0}
    assert {"lookups_hit", "lookups_miss", "knocks", "signal_publish_busy"} <= set(answer["counts"])
    assert relay.ctl("records") == {"records": [], "total": 0}
    found = gauges(relay)
    assert found["culvert_records"] == "0" and found["culvert_records_max"] == "77"
    for name in ("lookups_hit", "lookups_miss", "knocks", "records_published"):
        assert found[f'culvert_{name}_total{{thread="control"}}'] == "0"


def test_clients_with_and_without_an_identity_are_served(lab, relay_with, targets, tmp_path):
    relay = relay_with("")
    identity = tmp_path / "id"
    lab[PEER].run([lab.build / "culvert", "id", "--identity", identity])
    for more in ((), ("--identity", identity)):
        done = daemon.ping(lab[PEER], relay.address(4), targets[TARGET], relay.fingerprint, *more)
        assert done.returncode == 0, done.stderr


def make_identity(lab, path):
    """Its file and its id."""
    said = lab[PEER].run([lab.build / "culvert", "id", "--identity", path]).stdout
    return path, said.strip()


def test_who_listens_has_a_record_while_it_listens(lab, relay_with, logs, tmp_path):
    relay = relay_with("")
    mine, other = (make_identity(lab, tmp_path / name) for name in ("mine", "other"))
    listen = daemon.Listen(lab[PEER], relay, mine[0], "127.0.0.1:7000",
                           log=logs / "signal-listen.log").wait()
    wait_until(lambda: relay.ctl("records")["total"] == 1)
    record, = relay.ctl("records")["records"]
    assert record["id"] == mine[1] and 0 < record["bytes"] <= 8192
    assert 900 <= record["expires_sec"] + record["age_sec"] <= 1200
    found = relay.ctl("signal")
    assert (found["streams"], found["peers"], found["records"]) == (1, 1, 1)
    assert found["record_bytes"] == record["bytes"]
    assert gauges(relay)["culvert_records"] == "1"
    # The id stands in no metric.
    assert mine[1] not in get(relay.host)[2]

    connect = daemon.Connect(lab[PEER], listen.ticket, other[0],
                             log=logs / "signal-connect.log").wait()
    counts = relay.ctl("signal")["counts"]
    assert counts["lookups_hit"] == 1 and counts["lookups_miss"] == 0
    assert counts["records_published"] >= 1 and counts["observed_addresses"] >= 2
    assert connect.stop() == 0 and listen.stop() == 0
    wait_until(lambda: relay.ctl("records")["total"] == 0)


def test_a_relay_that_does_not_offer_them_says_so(lab, relay_with, targets):
    relay = relay_with("signal { offered = false }")
    assert relay.ctl("signal")["offered"] is False
    said = lab["relay-v4only"].run([lab.build / "culvertctl", "--run-dir", relay.run, "signal"])
    assert "not offered" in said.stdout
    assert relay.ctl("records")["total"] == 0
    done = daemon.ping(lab[PEER], relay.address(4), targets[TARGET], relay.fingerprint)
    assert done.returncode == 0, done.stderr
