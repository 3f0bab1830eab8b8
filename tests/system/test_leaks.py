# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel and the process hold before, during and after a relay's work."""
import itertools
import signal
import time

import pytest

import daemon
import leaks
from daemon import is_clean, loads
from netns import wait_until

DATAPATHS = ("xdp", "sock")
FOLDERS = itertools.count()


@pytest.fixture
def reachable(lab):
    """A directory that the user whom the relay becomes can reach, as /run is."""
    folder = lab.folder / f"r{next(FOLDERS)}"    # short: a socket's path has room for 107 bytes
    folder.mkdir()
    return folder


def test_a_relay_that_worked_and_stopped_leaves_nothing_in_the_kernel(
        lab, start_relay, forward, targets, datapath, reachable):
    before = leaks.of_host(lab["relay"])
    relay = start_relay(datapath=datapath, folder=reachable)
    held = leaks.held_by(relay.proc.pid)
    # Without XDP, the program that finds a worker is held by the sockets alone, and holds a map.
    assert held.ids["map"]
    assert bool(held.ids["prog"]) == bool(held.ids["link"]) == relay.uses_xdp
    clients = [forward("peer-v4", relay, targets["target-v6"]),
            forward("peer-v6", relay, targets["target-v4"])]
    for client in clients:
        assert is_clean(*loads(client.peer, client.address, 4, count=200))
    held.add(leaks.held_by(relay.proc.pid))
    relay.stop()
    assert leaks.remains(held) == []
    assert leaks.of_host(lab["relay"]) == before
    assert [path.name for path in relay.run.iterdir()] == []


def test_tunnels_that_come_and_go_leave_the_relay_as_it_was(
        lab, start_relay, forward, targets, datapath):
    relay = start_relay(datapath=datapath, wrapper=daemon.EXACT_HEAP)

    def round_of_traffic():
        """Until all of it is over."""
        client = forward("peer-v4", relay, targets["target-v6"])
        assert is_clean(*loads(lab["peer-v4"], client.address, 8, count=50))
        assert client.stop() == 0
        wait_until(lambda: not relay.ctl("conns")["conns"])

    def heap():
        """Allocated bytes, not pages: rings and tables are touched bit by bit."""
        return relay.ctl("status")["heap_bytes"]

    def at_rest():
        """What the relay holds once it has seen the end of culvertctl, too."""
        held = leaks.held_by(relay.proc.pid)
        time.sleep(0.3)
        return held if held == leaks.held_by(relay.proc.pid) else None

    for _ in range(4):    # what is made once: resolver threads, caches, the allocator's own
        round_of_traffic()
    first, first_heap = wait_until(at_rest), heap()
    for _ in range(4):
        round_of_traffic()
    wait_until(lambda: leaks.held_by(relay.proc.pid) == first,
               what=lambda: f"{first}, now {leaks.held_by(relay.proc.pid)}")
    assert heap() <= first_heap + (4 << 10)    # a tunnel kept is more


@pytest.fixture
def asan(build):
    """The daemon with the address sanitizer in it, which finds what is still allocated at exit."""
    program = build / "asan" / "culvertd"
    assert program.exists(), "make check builds it"
    return program


def test_the_heap_is_empty_when_a_relay_ends(
        lab, start_relay, forward, targets, datapath, asan, reachable):
    relay = start_relay(datapath=datapath, program=asan, folder=reachable)
    client = forward("peer-v4", relay, targets["target-v6"])
    assert is_clean(*loads(lab["peer-v4"], client.address, 4, count=50, rate=100))
    for target in ("10.0.0.1:7", "nobody.example:7", "127.0.0.1:7"):
        assert daemon.ping(lab["peer-v4"], relay.address(4), target,
                           relay.fingerprint).returncode != 0
    good = relay.config.read_text(encoding="ascii")
    for text, said in ((good.replace("allow", "deny"), "reloaded"),
                       (good.replace("2001:db8::/32", "no prefix"), "reload_refused"),
                       (good + "nonsense = 1\n", "unknown|no such|nonsense")):
        relay.config.write_text(text, encoding="ascii")
        relay.proc.send(signal.SIGHUP)
        relay.proc.wait_line(rf"\b({said})\b")
    relay.stop(timeout=60)      # LeakSanitizer changes the exit status and reports what leaked
    assert "Sanitizer" not in relay.log.read_text(encoding="utf-8", errors="replace")
