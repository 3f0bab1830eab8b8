# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether other work uses the machine, in which case measured times and rates mean nothing."""
import contextlib
import os
import time
from pathlib import Path

import netns

LOOK_SEC = 0.4
BUSY_MAX = 0.3    # of one CPU


def _spent():
    """Ticks that all CPUs together were not idle, time stolen by a hypervisor included."""
    words = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, words)
    return user + nice + system + irq + softirq + steal


def _of_labs():
    """Ticks of each process in a lab of this process, {process ID: ticks}."""
    prefixes = tuple(netns.namespace(record["name"], "") for record in netns.records()
                     if record["owner"] == os.getpid())
    spaces = [name for name in os.listdir(netns.NETNS) if name.startswith(prefixes)]
    found = {}
    for pid in netns.processes_in(spaces) if prefixes else ():
        with contextlib.suppress(OSError):    # it ended
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
            fields = stat.rpartition(")")[2].split()
            found[pid] = int(fields[11]) + int(fields[12])
    return found


def busy(seconds=LOOK_SEC):
    """How many CPUs work uses that is not of a lab of this process."""
    labs, spent, began = _of_labs(), _spent(), time.monotonic()
    time.sleep(seconds)
    took = (_spent() - spent) / os.sysconf("SC_CLK_TCK")
    own = sum(ticks - labs.get(pid, 0) for pid, ticks in _of_labs().items())
    return max(took - own / os.sysconf("SC_CLK_TCK"), 0) / (time.monotonic() - began)


def why_not():
    """Why times measured now mean nothing, or None on a quiet machine."""
    used = busy()
    if used <= BUSY_MAX:
        return None
    return f"needs a quiet machine: other work uses {used:.1f} of {os.cpu_count()} CPUs"
