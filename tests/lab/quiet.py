# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether other work uses the machine, in which case measured times and rates mean nothing."""
import os
import time
from pathlib import Path

LOOK_SEC = 0.4
BUSY_MAX = 0.3    # of one CPU


def _spent():
    """Seconds that all CPUs together were not idle, time stolen by a hypervisor included."""
    words = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, words)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def busy(seconds=LOOK_SEC):
    """How many CPUs other work uses; the caller's own is to be idle meanwhile."""
    spent, began = _spent(), time.monotonic()
    time.sleep(seconds)
    return (_spent() - spent) / (time.monotonic() - began)


def why_not():
    """Why times measured now mean nothing, or None on a quiet machine."""
    used = busy()
    if used <= BUSY_MAX:
        return None
    return f"needs a quiet machine: other work uses {used:.1f} of {os.cpu_count()} CPUs"
