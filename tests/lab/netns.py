# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces, processes in them, and the records by which labs are found and removed.

A lab NAME owns the namespaces clv-NAME-*, the directory /run/clv-lab/NAME and the record
/run/clv-lab/NAME.json.  The record is written before the first namespace is made, so the remains
of a killed owner can be found and removed by any process: remove(NAME), remove_stale().
"""
import contextlib
import ctypes
import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

STATE = Path("/run/clv-lab")
NETNS = Path("/run/netns")
BPFFS = Path("/sys/fs/bpf")
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
TOOLS = ("ip", "bridge", "nft", "ethtool", "sysctl", "nsenter", "unshare", "taskset")


class LabError(Exception):
    """The lab cannot be raised, or a command in it failed; the text has the reason."""


# In a mount namespace of its own: /sys of this network namespace, with the machine's bpffs and
# cgroups kept, and the host's own hosts and resolv.conf.  All bpffs mounts are the same one, so
# that pins made by one process of a host are seen by the next.
ENTER = """set -e
d=$1; shift
mount -t sysfs sysfs "$d/sys"
mount --bind /sys/fs/bpf "$d/sys/fs/bpf"
mount --rbind /sys/fs/cgroup "$d/sys/fs/cgroup"
mount --move "$d/sys" /sys
for f in "$d"/etc/*; do mount --bind "$f" "/etc/${f##*/}"; done
exec "$@"
"""


def preflight():
    """Raise LabError unless this process has the privileges and programs for a lab."""
    if os.geteuid() != 0:
        raise LabError("the lab needs root: it makes network namespaces")
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        raise LabError("missing programs: %s (Debian: iproute2 nftables ethtool procps util-linux)"
                       % ", ".join(missing))


def call(argv, text=None):
    """Run a set-up command on the machine; LabError with its output when it fails."""
    done = subprocess.run(argv, input=text, text=True, stdin=None if text else subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise LabError(f"{' '.join(argv)}: {done.stdout.strip()}\n{text or ''}")
    return done.stdout


def call_each(commands):
    """Run several set-up commands, (argv, stdin text) pairs, at the same time."""
    running = [(argv, text, subprocess.Popen(argv, text=True, stdin=subprocess.PIPE,
                                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
               for argv, text in commands]
    failed = []
    for argv, text, process in running:
        output, _ = process.communicate(text)
        if process.returncode:
            failed.append(f"{' '.join(argv)}: {output.strip()}\n{text}")
    if failed:
        raise LabError("\n".join(failed))


def mount_bpffs():
    """Mount bpffs at its usual place if it is not mounted; it stays."""
    with open("/proc/self/mountinfo", encoding="ascii", errors="replace") as mounts:
        if any(f" {BPFFS} " in line and " - bpf " in line for line in mounts):
            return
    call(["mount", "-t", "bpf", "bpf", str(BPFFS)])


@contextlib.contextmanager
def locked():
    """One lab at a time makes or removes namespaces: ip sets up /run/netns itself at first use."""
    STATE.mkdir(mode=0o755, exist_ok=True)
    with open(STATE / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def start_time(pid):
    """When a process started, in clock ticks since boot; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


def state(pid):
    """The state letter of a process, "T" for a stopped one; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[0]


def new_name(wanted=None):
    """A name for a lab.  Wanted names start with a letter, so that no prefix is another's."""
    if wanted is None:
        return f"{os.getpid()}-{secrets.token_hex(3)}"
    if not re.fullmatch(r"[a-z][a-z0-9]{0,31}", wanted):
        raise LabError(f"lab name {wanted!r}: small letters and digits, a letter first")
    return wanted


def namespace(lab, host):
    return f"clv-{lab}-{host}"


def claim(record):
    """Write the record of a new lab.  The caller holds the lock."""
    if (STATE / f"{record['name']}.json").exists():
        raise LabError(f"a lab {record['name']} exists already: lab down {record['name']}")
    write_record(record)


def write_record(record):
    path = STATE / f"{record['name']}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1) + "\n", encoding="ascii")
    part.rename(path)


def records():
    """The records of all labs on this machine."""
    found = []
    for path in sorted(STATE.glob("*.json")):
        with contextlib.suppress(OSError, ValueError):
            found.append(json.loads(path.read_text(encoding="ascii")))
    return found


def owner_lives(record):
    """Whether the process that raised a lab still runs; labs without an owner always live."""
    return record["owner"] == 0 or start_time(record["owner"]) == record["owner_start"]


@contextlib.contextmanager
def inside(name):
    """Within it, this thread is in a network namespace: what it opens belongs to that one."""
    def enter(space):
        if LIBC.setns(space.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {space.name}")

    with open("/proc/thread-self/ns/net", "rb") as own, open(NETNS / name, "rb") as there:
        enter(there)
        try:
            yield
        finally:
            enter(own)


def read_in(name, *files):
    """Text of files under /proc/net as a namespace has them, one after the other: read_in(name,
    "snmp").  A file that is not there reads as empty."""
    with inside(name):
        paths = [Path("/proc/thread-self/net", file) for file in files]
        return "".join(path.read_text(encoding="ascii") for path in paths if path.exists())


def wait_until(question, timeout=60, what="late"):
    """Wait until question() is true, and return what it returned; LabError when that takes longer.
    what: words for the error, or a function that returns them."""
    until = time.monotonic() + timeout
    while not (answer := question()):
        if time.monotonic() > until:
            raise LabError(f"after {timeout} s: {what() if callable(what) else what}")
        time.sleep(0.02)
    return answer


def processes_in(namespaces):
    """IDs of all processes whose network namespace is one of these names."""
    wanted = set()
    for name in namespaces:
        with contextlib.suppress(OSError):
            wanted.add(os.stat(NETNS / name).st_ino)
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{entry}/ns/net").st_ino in wanted:
                    found.append(int(entry))
    return found


def pins_of(lab):
    """Pins of a lab's daemons, which have its generated name in theirs.

    A name given by hand may be part of another's, so it has none."""
    if "-" not in lab:
        return []
    return pins_named(f"{lab}-")


def pins_named(text):
    """Pinned directories and their contents, by a part of the runtime directory's name, sorted.

    culvertd encodes '-' and the characters that bpffs does not allow."""
    spelt = "".join(c if c.isalnum() else f"_{ord(c):02x}" for c in text)
    return sorted(p for p in BPFFS.rglob("*") if spelt in str(p) or text in str(p))


def left_of(lab):
    """All that exists of a lab: namespaces, files, pins, processes.  Empty when it is removed."""
    prefix = namespace(lab, "")
    spaces = [n for n in (os.listdir(NETNS) if NETNS.is_dir() else []) if n.startswith(prefix)]
    files = [str(p) for p in (STATE / lab, STATE / f"{lab}.json") if p.exists()]
    files += map(str, pins_of(lab))
    return spaces + files + [f"pid {pid}" for pid in processes_in(spaces)]


def remove(lab):
    """Kill the processes of a lab and remove it.  Does nothing where nothing is left."""
    prefix = namespace(lab, "")
    spaces = [n for n in (os.listdir(NETNS) if NETNS.is_dir() else []) if n.startswith(prefix)]
    for _ in range(50):
        left = processes_in(spaces)
        if not left:
            break
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    if spaces:
        with locked():
            # -force: two may remove one stale lab at the same time.
            call(["ip", "-force", "-batch", "-"], "".join(f"netns del {n}\n" for n in spaces
                                                          if (NETNS / n).exists()) or "\n")
    for pin in pins_of(lab):
        if pin.is_dir():
            shutil.rmtree(pin, ignore_errors=True)
        else:
            pin.unlink(missing_ok=True)
    shutil.rmtree(STATE / lab, ignore_errors=True)
    (STATE / f"{lab}.json").unlink(missing_ok=True)


def remove_stale():
    """Remove every lab whose owner is dead; returns their names."""
    gone = [record["name"] for record in records() if not owner_lives(record)]
    for lab in gone:
        remove(lab)
    return gone


class Proc:
    """A process on a lab host, with its output in a file.  It leads its own process group."""

    def __init__(self, popen, name, log):
        self.popen, self.name, self.log = popen, name, Path(log)
        self.pid = popen.pid

    @property
    def alive(self):
        return self.popen.poll() is None

    def text(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_line(self, pattern, timeout=30):
        """Wait for a line that matches; returns the match.  LabError when it dies or is late."""
        until = time.monotonic() + timeout
        wanted = re.compile(pattern, re.MULTILINE)
        while True:
            alive = self.alive
            found = wanted.search(self.text())
            if found:
                return found
            if not alive or time.monotonic() > until:
                why = "is late" if alive else f"ended with {self.popen.returncode}"
                raise LabError(f"{self.name} {why}, no line {pattern!r}; its output:\n"
                               + self.text()[-4000:])
            time.sleep(0.01)

    def send(self, number):
        if self.alive:
            self.popen.send_signal(number)

    def stop(self, number=signal.SIGTERM, timeout=20):
        """Signal it and wait; returns its exit code.  Killed, and LabError, when that is late."""
        self.send(number)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise LabError(f"{self.name} did not stop within {timeout} s of signal {number}; "
                           f"its output:\n{self.text()[-4000:]}") from None

    def kill(self):
        kill_group(self.popen)


def kill_group(popen):
    """Kill a process that leads its group, and the group, and reap it."""
    if popen.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
    popen.wait()
