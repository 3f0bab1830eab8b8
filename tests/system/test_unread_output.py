# SPDX-License-Identifier: GPL-3.0-or-later
"""Who reads the log stands still, or leaves: the relay goes on, and counts the lines that were lost."""
import fcntl
import os
import signal

import pytest

from daemon import exchange
from netns import wait_until

DATAPATHS = ("xdp", "sock")
TO_PIPE = ("sh", "-c", 'pipe=$1; shift; exec "$@" 2>"$pipe"', "sh")
PIPE_BYTES = 4096


class Reader:
    """The end of a pipe as small as it gets, which is not read unless take() is called."""
    def __init__(self, path):
        os.mkfifo(path)
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def take(self):
        try:
            return os.read(self.fd, PIPE_BYTES).decode()
        except BlockingIOError:
            return ""

    def leave(self):
        if self.fd is not None:
            os.close(self.fd)
        self.fd = None


@pytest.fixture
def reader(tmp_path):
    one = Reader(tmp_path / "log")
    yield one
    one.leave()


def lose_a_line(relay):
    """Reload, which logs a line each time, until more lines were lost."""
    def is_lost():
        relay.proc.send(signal.SIGHUP)
        return relay.ctl("status")["counters"]["log_lines_lost"] > before

    before = relay.ctl("status")["counters"]["log_lines_lost"]
    wait_until(is_lost, what="no line was lost")


def test_a_log_that_nobody_reads_delays_nothing(start_relay, forward, targets, reader, datapath):
    relay = start_relay("relay-v4only", datapath=datapath, wrapper=(*TO_PIPE, str(reader.path)))
    old = forward("peer-v4", relay, targets["target-v4"])
    assert exchange(old.peer, old.address, 100)["same"] == [100]
    lose_a_line(relay)
    assert exchange(old.peer, old.address, 100)["same"] == [100]
    new = forward("peer-v4", relay, targets["target-v4"])
    assert exchange(new.peer, new.address, 100)["same"] == [100]
    # It is read again: the next line comes, and before it how many are missing.
    assert "privileges user=" in reader.take()
    relay.proc.send(signal.SIGHUP)
    said = []
    wait_until(lambda: said.append(reader.take()) or "\ninfo reloaded " in "".join(said),
               what="no line after the pipe was emptied")
    assert "warn log_lines_lost lines=" in "".join(said)


def test_a_reader_that_leaves_takes_nothing_with_it(start_relay, forward, targets, reader,
                                                    datapath):
    relay = start_relay("relay-v4only", datapath=datapath, wrapper=(*TO_PIPE, str(reader.path)))
    reader.leave()
    lose_a_line(relay)
    client = forward("peer-v4", relay, targets["target-v4"])
    assert exchange(client.peer, client.address, 100)["same"] == [100]
    relay.stop()    # asserts exit 0
