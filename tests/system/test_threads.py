# SPDX-License-Identifier: GPL-3.0-or-later
"""Data shared by threads, under the thread sanitizer: rings alone, and the whole daemon."""
import signal
import subprocess
import threading

import pytest

import daemon
import topology
from daemon import load_of, start_load

TOPOLOGY = topology.matrix(relay_queues=2)
DATAPATHS = ("xdp", "sock")
CONFIG = ('datapath = "%s"\nworkers = 2\nlog-level = "info"\n'
          'policy { allow = {"198.18.0.0/15", "2001:db8::/32"} }\n')
RACE = "WARNING: ThreadSanitizer"


@pytest.fixture(scope="module")
def tsan(build):
    folder = build if build.name == "tsan" else build / "tsan"
    assert (folder / "culvertd").exists(), "make check builds it"
    return folder


@pytest.mark.parametrize("program", ["base/test_spsc", "base/test_mailbox", "io/test_handoff",
                                     "tunnel/test_remotes"])
def test_rings_and_mailboxes_are_passed_between_threads_without_a_race(tsan, program):
    done = subprocess.run([tsan / "tests/unit" / program], capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert RACE not in done.stderr


def test_workers_and_control_run_without_a_data_race(
        lab, start_relay, forward, targets, datapath, tsan):
    """Handshakes, hand-overs, traffic on wrong queues, status queries, a reload and the stop."""
    relay = start_relay(config=CONFIG % datapath, program=tsan / "culvertd")
    stop_queries = threading.Event()

    def query():
        while not stop_queries.is_set():
            for what in ("status", "conns", "tunnels", "drops", "workers", "contexts"):
                relay.ctl(what)

    queries = threading.Thread(target=query)
    queries.start()
    try:
        for family, target in ((4, "target-v6"), (6, "target-v4")):
            peer = f"peer-v{family}"
            for number in range(3):
                client = forward(peer, relay, targets[target])
                loads = [start_load(client.peer, client.address, count=150, rate=150, size=600)
                         for _ in range(3)]
                if number == 1:
                    relay.proc.send(signal.SIGHUP)
                figures = [load_of(one) for one in loads]
                # How much a relay carries that is slowed down so much is not the question.
                assert all(one["received"] and daemon.is_whole(one) for one in figures), figures
                if number == 2:
                    client.proc.kill()
    finally:
        stop_queries.set()
        queries.join()
    assert RACE not in relay.proc.text(), relay.proc.text()
    log = relay.log
    relay.stop(timeout=60)    # the sanitizer changes the exit status when it saw a race
    assert RACE not in log.read_text(encoding="utf-8", errors="replace")
