# SPDX-License-Identifier: GPL-3.0-or-later
"""After its set-up the daemon runs as nobody with three capabilities and a system call filter."""
import os
import pwd
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

import daemon
from daemon import exchange
from netns import wait_until

DATAPATHS = ("xdp", "sock")

KEPT = {"net_admin": 12, "net_raw": 13, "bpf": 39}
# For the packet memory of later interfaces, where the limit of locked memory cannot be lifted.
IPC_LOCK = {"ipc_lock": 14}
LAB = 'datapath = "%s"\npolicy { allow = {"198.18.0.0/15", "2001:db8::/32"} }\n'
SERVICE = Path(__file__).resolve().parents[2] / "deploy" / "culvertd.service"


def kept_by(relay):
    limits = Path(f"/proc/{relay.proc.popen.pid}/limits").read_text(encoding="ascii")
    locked, = [line.split() for line in limits.splitlines() if line.startswith("Max locked memory")]
    return KEPT if locked[3] == "unlimited" else KEPT | IPC_LOCK


def threads_of(relay):
    """The status file of each thread, as a dict."""
    found = []
    for task in Path(f"/proc/{relay.proc.popen.pid}/task").iterdir():
        lines = (task / "status").read_text(encoding="ascii").splitlines()
        found.append(dict(line.split(":\t", 1) for line in lines if ":\t" in line))
    return found


def test_every_thread_runs_as_the_user_with_the_capabilities_that_serving_takes(relay):
    nobody = pwd.getpwnam("nobody")
    # A thread names itself once it runs.
    wait_until(lambda: {t["Name"] for t in threads_of(relay)} >= {"culvertd", "clv-worker-0"})
    threads = threads_of(relay)
    for thread in threads:
        assert thread["Uid"].split() == [str(nobody.pw_uid)] * 4
        assert thread["Gid"].split() == [str(nobody.pw_gid)] * 4
        assert thread["Groups"].strip() == ""
        mask = sum(1 << bit for bit in kept_by(relay).values())
        assert int(thread["CapEff"], 16) == int(thread["CapPrm"], 16) == mask
        assert int(thread["CapInh"], 16) == int(thread["CapBnd"], 16) == 0
        assert int(thread["CapAmb"], 16) == 0
        assert thread["NoNewPrivs"] == "1" and thread["Seccomp"] == "2"


def test_status_shows_the_user_the_capabilities_and_the_sandbox(relay):
    found = relay.ctl("status")["privileges"]
    assert found["user"] == "nobody" and found["sandbox"] is True
    assert set(found["capabilities"].split(", ")) == set(kept_by(relay))
    text = relay.host.run([relay.host.lab.build / "culvertctl", "--run-dir", relay.run, "status"]).stdout
    assert "net_admin" in text and "nobody" in text


def test_a_user_that_does_not_exist_is_an_error_at_the_start_and_at_the_check(lab, tmp_path):
    config = tmp_path / "culvert.conf"
    config.write_text('user = "no-such-user"\n', encoding="ascii")
    for words in (["--check"], ["--state-dir", tmp_path / "state", "--run-dir", tmp_path / "run"]):
        done = lab["relay-v4only"].run([lab.build / "culvertd", "--config", config, *words],
                                       check=False)
        assert done.returncode == 1, done.stderr
        assert "culvertd: user = no-such-user: there is no such user: make it" in done.stderr
    assert not (tmp_path / "state").exists()


def test_without_a_user_capabilities_are_dropped_all_the_same(start_relay, forward, targets):
    relay = start_relay("relay-v4only", config=LAB % "xdp" + 'user = ""\n')
    for thread in threads_of(relay):
        assert thread["Uid"].split() == ["0"] * 4
        assert int(thread["CapEff"], 16) == sum(1 << bit for bit in kept_by(relay).values())
        assert int(thread["CapBnd"], 16) == 0
    client = forward("peer-v4", relay, targets["target-v4"])
    assert exchange(client.peer, client.address, 1200)["same"] == [1200]


def test_low_egress_ports_keep_the_capability_for_them(start_relay, forward, targets):
    relay = start_relay("relay-v4only", config=LAB % "sock" + 'user = "nobody"\n'
                        'egress { port-min = 900 port-max = 910 }\nlistener m { port = 443 }\n')
    assert "net_bind_service" in relay.ctl("status")["privileges"]["capabilities"]
    client = forward("peer-v4", relay, targets["target-v4"])
    assert exchange(client.peer, client.address, 100)["same"] == [100]
    tunnel, = relay.ctl("tunnels")["tunnels"]
    assert 900 <= int(tunnel["local"].rsplit(":", 1)[1]) <= 910


def test_the_sandbox_can_be_disabled_and_status_shows_it(start_relay):
    relay = start_relay("relay-v4only", config=LAB % "xdp" + "sandbox = false\n")
    found = relay.ctl("status")["privileges"]
    assert found["sandbox"] is False and found["no_sandbox_because"] == "sandbox = false"
    assert all(thread["Seccomp"] == "0" for thread in threads_of(relay))


def test_the_default_user_is_culvert(start_relay):
    relay = start_relay("relay-v4only", config=LAB % "sock" + "# user = default\n")
    assert relay.ctl("status")["privileges"]["user"] == "culvert"


def test_a_reload_reads_files_of_root_alone(lab, start_relay, targets, datapath):
    """The configuration and the users file: read by the keeper, which still may."""
    relay = start_relay("relay-v4only", datapath=datapath)
    for secret in (relay.config, relay.config.parent):
        secret.chmod(0o700)
    assert relay.config.owner() == "root"
    text = relay.config.read_text(encoding="ascii")
    relay.config.write_text(text.replace("policy {", 'policy { deny = {"198.18.4.20/32"}'),
                            encoding="ascii")
    relay.reload()
    assert relay.ctl("status")["privileges"]["user"] == "nobody"
    done = daemon.ping(lab["peer-v4"], relay.address(4), targets["target-v4"], relay.fingerprint)
    assert done.returncode == 15 and "policy denies" in done.stderr, done.stderr
    relay.config.write_text("colour = blue\n", encoding="ascii")
    relay.proc.send(signal.SIGHUP)
    relay.proc.wait_line(r"reload_refused .*:1: no such option 'colour'")
    relay.config.unlink()
    relay.proc.send(signal.SIGHUP)
    relay.proc.wait_line(r"reload_refused .*No such file")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes a user, in mounts of its own")
def test_make_user_makes_the_user_once(tmp_path):
    """In a copy of the machine's users; mounts of its own, or the machine would have the user."""
    copies = [tmp_path / name for name in ("passwd", "group", "shadow", "gshadow")]
    for copy in copies:
        kept = [line for line in Path("/etc", copy.name).read_text(encoding="utf-8").splitlines()
                if not line.startswith("culvert:")]
        copy.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    etc = tmp_path / "etc"
    subprocess.run(["cp", "-a", "/etc", etc], check=True)
    for copy in copies:
        copy.replace(etc / copy.name)
    script = ('mount --bind "$1" /etc && "$2" "$3" && id culvert && "$2" "$3" && '
              'getent passwd culvert')
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", etc,
                           SERVICE.parent / "make-user", SERVICE.parent / "sysusers.d/culvert.conf"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "/nonexistent:" in done.stdout and done.stdout.rstrip().endswith("nologin")


class Manager:
    """Systemd's end of the notify socket: what the daemon sent, in order."""

    def __init__(self, folder, watchdog_usec):
        self.received, self.environment = [], {
            "NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": str(watchdog_usec)}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.environment["NOTIFY_SOCKET"])

    def listen(self, seconds, until=lambda received: False):
        """Receive for so long, or until what was received is enough."""
        end = time.monotonic() + seconds
        while not until(self.received) and (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                self.received.append(self.socket.recv(200).decode())
            except TimeoutError:
                break
        return self.received


@pytest.fixture
def manager(tmp_path, monkeypatch):
    manager = Manager(tmp_path, 2_000_000)
    for name, value in manager.environment.items():
        monkeypatch.setenv(name, value)
    yield manager
    manager.socket.close()


def test_the_service_manager_is_notified_of_ready_alive_and_stopping(lab, manager, tmp_path):
    relay = daemon.Relay(lab["relay-v4only"], tmp_path).start()
    manager.listen(60, lambda received: received.count("WATCHDOG=1") >= 2)
    relay.stop()
    received = manager.listen(60, lambda received: "STOPPING=1" in received)
    assert received[0] == "READY=1" and received[-1] == "STOPPING=1"
    assert received.count("WATCHDOG=1") >= 2 and set(received[1:-1]) == {"WATCHDOG=1"}


def test_a_stuck_worker_stops_the_watchdog_notifications(lab, manager, tmp_path):
    relay = daemon.Relay(lab["relay-v4only"], tmp_path).start()
    try:
        # A thread names itself once it runs.
        worker, = wait_until(lambda: [t["Pid"] for t in threads_of(relay)
                                      if t["Name"] == "clv-worker-0"])
        freezer = subprocess.Popen([lab.tool("freeze"), worker], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        assert freezer.stdout.readline() == "ready\n"
        relay.proc.wait_line(r"worker_stuck worker=0")
        manager.listen(0.5)
        before = len(manager.received)
        assert manager.listen(4)[before:] == []
        freezer.communicate("", timeout=60)
        assert freezer.returncode == 0
        assert "WATCHDOG=1" in manager.listen(60, lambda received: len(received) > before)[before:]
    finally:
        relay.stop()


def test_systemd_accepts_the_service_file_and_rates_it_hardened(build, tmp_path):
    text = SERVICE.read_text(encoding="ascii")
    text = text.replace("@PREFIX@/sbin/culvertd", str(build / "culvertd"))
    text = text.replace("@PREFIX@", "/usr/local")
    unit = tmp_path / "culvertd.service"
    unit.write_text(text, encoding="ascii")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    # Its exposure is a number from 0 (none) to 100.
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=35",
                           "--no-pager", unit], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def demanded(key):
    """The words after key= in all lines of the service file."""
    lines = SERVICE.read_text(encoding="ascii").splitlines()
    return " ".join(line.partition("=")[2] for line in lines if line.startswith(key + "=")).split()


def members(group, seen):
    """The system calls in a group of systemd's, "@system-service"."""
    if group in seen:
        return set()
    seen.add(group)
    text = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", group],
                          capture_output=True, text=True, check=True).stdout
    words = [line.strip() for line in text.splitlines()[1:]]
    return set().union(*(members(word, seen) if word.startswith("@") else {word}
                         for word in words if word and not word.startswith("#")))


def test_the_service_file_allows_every_system_call_of_a_relay(
        lab, start_relay, forward, targets, tmp_path, datapath):
    """From its start to its end, the calls of its libraries included."""
    calls = tmp_path / "calls"
    relay = start_relay("relay-v4only", config=LAB % datapath + 'user = "nobody"\n',
                        wrapper=("strace", "-D", "-f", "-qq", "-o", calls))
    client = forward("peer-v4", relay, targets["target-v4"])
    assert exchange(client.peer, client.address, 1200)["same"] == [1200]
    assert daemon.ping(lab["peer-v4"], relay.address(4), "nobody.example:7",
                       relay.fingerprint).returncode != 0    # the resolver's threads
    relay.stop()
    lines = [line.split(None, 1)[1] for line in
             calls.read_text(encoding="utf-8", errors="replace").splitlines()]
    done = {found.group(1) for found in map(re.compile(r"(\w+)\(").match, lines) if found}
    assert {"bpf", "seccomp", "socket", "setresuid"} <= done    # strace saw it all

    words = demanded("SystemCallFilter")
    allowed = set().union(*(members(word, set()) if word.startswith("@") else {word}
                            for word in words))
    assert done - allowed == set()
    families = {found.group(1) for found in map(re.compile(r"socket\((\w+)").match, lines) if found}
    assert families - set(demanded("RestrictAddressFamilies")) == set()
    assert not [line for line in lines if "PROT_WRITE|PROT_EXEC" in line]   # MemoryDenyWriteExecute


def test_the_capabilities_of_the_service_file_are_enough(
        start_relay, forward, targets, datapath):
    bounds = "".join(f",+{name.removeprefix('CAP_').lower()}"
                     for name in demanded("CapabilityBoundingSet"))
    relay = start_relay("relay-v4only", config=LAB % datapath + 'user = "nobody"\n',
                        wrapper=("setpriv", f"--bounding-set=-all{bounds}", "--no-new-privs"))
    assert {one["mode"] for one in relay.ctl("status")["interfaces"]} == \
        ({daemon.MODES[datapath]} if datapath != "sock" else set())
    assert relay.ctl("status")["privileges"]["user"] == "nobody"
    client = forward("peer-v4", relay, targets["target-v4"])
    assert exchange(client.peer, client.address, 1200)["same"] == [1200]
