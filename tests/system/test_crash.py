# SPDX-License-Identifier: GPL-3.0-or-later
"""A relay killed at any moment, and one without resources: what it reports and what it leaves."""
import os
import random
import re
import signal
import stat
import subprocess
import time

import pytest

import daemon
import leaks
from daemon import is_clean, load
from netns import LabError, wait_until

DATAPATHS = ("xdp", "sock")
KILLS, SEED = 8, 20260
STOP_SEC = 10    # 3 for peers, 1 for the resolver's threads, and some for a busy machine
LAB = 'policy { allow = {"198.18.0.0/15", "2001:db8::/32"} }\n'


@pytest.fixture
def place(tmp_path_factory):
    """A directory with a short name: the path of a socket has room for 107 bytes."""
    return tmp_path_factory.mktemp("c")


def culvertd(lab, folder, *wrapper, config=LAB, host="relay-v4only", timeout=60):
    """Run a daemon that is not expected to start; returns its CompletedProcess."""
    file = folder / "culvert.conf"
    if not file.exists() or config != LAB:
        file.write_text(config, encoding="ascii")
    return lab[host].run([*wrapper, lab.build / "culvertd", "--config", file, "--state-dir",
                          folder / "state", "--run-dir", folder / f"{lab.name}-crash"],
                         check=False, timeout=timeout)


def complaint(done):
    """The one line in which a daemon reports why it did not start."""
    assert done.returncode == 1, done
    lines = [line for line in done.stderr.splitlines() if line.startswith("culvertd: ")]
    assert len(lines) == 1, done.stderr
    return lines[0].removeprefix("culvertd: ")


def left_in(lab, folder, host="relay-v4only"):
    """What a daemon that did not start must not leave: pins, programs, sockets, temporary files."""
    found = leaks.of_host(lab[host])
    drafts = [str(path) for path in folder.rglob("*") if re.search(r"\.(new|tmp)", path.name)]
    return found["xdp"] + found["sockets"] + found["pins"] + drafts


# ---- killed ----

def test_a_relay_killed_under_traffic_restarts_and_works(
        lab, start_relay, forward, targets, datapath):
    moments = random.Random(SEED)
    host = lab["relay"]
    before = leaks.of_host(host)
    relay = start_relay(datapath=datapath)
    clients = [forward("peer-v4", relay, targets["target-v6"]),
            forward("peer-v6", relay, targets["target-v4"])]
    busy = [daemon.start_load(client.peer, client.address, count=10**6, rate=3000)
            for client in clients]
    held = leaks.held_by(relay.proc.pid)
    for _ in range(KILLS):
        time.sleep(moments.uniform(0, 1.2))
        held.add(leaks.held_by(relay.proc.pid))
        relay.proc.kill()
        after = leaks.of_host(host)
        assert after["xdp"] == [] and after["af_xdp"] == 0
        assert after["sockets"] == before["sockets"]
        assert lab["peer-v4"].reaches(host.addr4)    # the host's own traffic is the host's
        relay.proc = None
        relay.serving.discard(relay)
        relay.start()
    for one in busy:
        one.stop(signal.SIGKILL)
    fresh = forward("peer-v4", relay, targets["target-v4"])
    assert is_clean(load(fresh.peer, fresh.address, count=200))
    for client in clients:    # a handshake that was cut off and the waits after it take their time
        wait_until(lambda: is_clean(load(client.peer, client.address, count=20, wait=500)), 90,
                   client.proc.text)
    held.add(leaks.held_by(relay.proc.pid))
    relay.stop()
    assert leaks.remains(held) == []
    assert leaks.of_host(host) == before


def test_a_relay_killed_during_its_first_start_starts_the_next_time(lab, place):
    moments = random.Random(SEED)
    for number in range(10):
        folder = place / str(number)
        folder.mkdir()
        with pytest.raises(LabError):    # it is killed at the time limit
            culvertd(lab, folder, timeout=moments.uniform(0.02, 0.25))
        relay = daemon.Relay(lab["relay-v4only"], folder, config=LAB, log=folder / "log")
        relay.run = folder / f"{lab.name}-crash"
        relay.start()
        keys = [path for path in relay.state.rglob("*") if path.is_file()]
        assert all(path.stat().st_size for path in keys), keys
        relay.stop()
        assert left_in(lab, folder) == []


# ---- stopped ----

def test_a_stop_closes_every_session_and_ends_in_time(lab, start_relay, forward, targets, datapath):
    relay = start_relay(datapath=datapath)
    clients = [forward(peer, relay, targets["target-v6"]) for peer in ("peer-v4", "peer-v6") * 4]
    for client in clients:
        assert is_clean(load(client.peer, client.address, count=5))
    # One of them is frozen and acknowledges nothing.
    os.kill(clients[0].proc.pid, signal.SIGSTOP)
    began = time.monotonic()
    relay.stop(timeout=STOP_SEC)
    assert time.monotonic() - began < STOP_SEC
    for client in clients[1:]:
        said = client.proc.wait_line(r"relay_lost .*").group()
        assert "closed by the relay" in said
    os.kill(clients[0].proc.pid, signal.SIGCONT)


def test_a_second_relay_on_an_interface_reports_the_conflict(lab, start_relay, place, datapath):
    if datapath == "sock":
        config = f'datapath = "sock"\n{LAB}'
        said = "UDP port 443: Address already in use"
    else:
        config = f'datapath = "xdp"\nlistener main {{ port = 4443 }}\n{LAB}'
        said = "another XDP program is attached to it"
    start_relay("relay-v4only", datapath=datapath)
    before = leaks.of_host(lab["relay-v4only"])
    assert said in complaint(culvertd(lab, place, config=config))
    assert leaks.of_host(lab["relay-v4only"]) == before


def test_closed_standard_files_are_not_taken_by_others(lab, place, datapath):
    """Or its log would go to whatever it opened in their place."""
    relay = daemon.Relay(lab["relay-v4only"], place, config=f'datapath = "{datapath}"\n{LAB}',
                         log=place / "log",
                         wrapper=("sh", "-c", 'exec "$@" 0<&- 2>&-', "sh"))
    relay.start()
    files = {number: os.readlink(f"/proc/{relay.proc.pid}/fd/{number}") for number in (0, 2)}
    assert files == {0: "/dev/null", 2: "/dev/null"}
    assert relay.ctl("status")["state"] == "serving"
    relay.stop()
    assert left_in(lab, place) == []


# ---- no room ----

def outcome_with(lab, folder, config, *limits):
    """"served" for a relay that starts under these limits of prlimit, or its output."""
    folder.mkdir()
    relay = daemon.Relay(lab["relay-v4only"], folder, config=config, log=folder / "log",
                         wrapper=("prlimit", *limits))
    try:
        relay.start()
    except LabError:
        outcome = relay.proc.text()
        assert relay.proc.popen.wait(60) in (1, 127), outcome    # 127: the dynamic linker's
    else:
        relay.stop()
        outcome = "served"
    assert left_in(lab, folder) == []
    return outcome


def assert_refused_up_to_a_limit(outcomes):
    """Every limit from hopeless to enough: no limit works that is below one that does not."""
    served = [outcome == "served" for outcome in outcomes]
    assert not served[0] and served[-1] and served == sorted(served), outcomes


def test_with_few_descriptors_it_works_or_reports_the_limit(lab, place, datapath):
    config = f'datapath = "{datapath}"\n{LAB}'
    outcomes = [outcome_with(lab, place / str(limit), config, f"--nofile={limit}:{limit}")
                for limit in range(4, 60, 4)]
    assert_refused_up_to_a_limit(outcomes)
    for outcome in outcomes:
        assert outcome == "served" or "error while loading shared libraries" in outcome or re.search(
            "(?im)^culvertd: .*(open files|descriptor)", outcome), outcome


def test_with_little_memory_it_works_or_reports_the_lack(lab, place, datapath):
    config = f'datapath = "{datapath}"\n{LAB}'
    outcomes = [outcome_with(lab, place / str(mib), config, f"--as={mib << 20}")
                for mib in (48, 64, 96, 128, 160, 192, 256, 384, 1024)]
    assert outcomes[0] != "served" and outcomes[-1] == "served", outcomes
    for outcome in outcomes:
        assert outcome == "served" or re.search(
            "(?i)cannot allocate memory|out of memory|resource temporarily", outcome), outcome


@pytest.fixture
def small_disk(place):
    """small_disk("size=8k") mounts a file system of that size; returns its folder."""
    mounted = []

    def mount(options):
        folder = place / f"disk{len(mounted)}"
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "culvert-test", folder], check=True)
        mounted.append(folder)
        return folder

    yield mount
    for folder in reversed(mounted):
        subprocess.run(["umount", "-l", folder], check=True)


def started_at(lab, state, folder):
    """Start a daemon with this state directory: None when it served and was stopped, or its error."""
    relay = daemon.Relay(lab["relay-v4only"], folder, config='datapath = "sock"\n' + LAB,
                         log=folder / "log")
    relay.state = state
    try:
        relay.start()
    except LabError:
        assert relay.proc.popen.wait(60) == 1
        return [line for line in relay.proc.text().splitlines() if line.startswith("culvertd: ")][-1]
    relay.stop()
    return None


def test_a_full_disk_leaves_nothing_half_made(lab, place, small_disk):
    """Every size from none to enough: the files left by a refusal are complete, and used later."""
    outcomes = []
    for kib in range(4, 60, 4):
        folder = place / f"k{kib}"
        folder.mkdir()
        disk = small_disk(f"size={kib}k")
        said = started_at(lab, disk / "state", folder)
        outcomes.append("served" if said is None else "refused")
        if said:
            assert "No space left on device" in said
            assert str(disk / "state") in said
        assert not [path for path in disk.rglob("*") if path.is_file() and not path.stat().st_size]
        assert left_in(lab, disk) == []
        subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        assert started_at(lab, disk / "state", folder) is None    # there is room now
    assert outcomes[0] == "refused" and outcomes[-1] == "served", outcomes
    assert outcomes == sorted(outcomes)


def test_a_disk_without_inodes_leaves_nothing_half_made(lab, place, small_disk):
    outcomes = []
    for inodes in range(2, 12):
        folder = place / f"i{inodes}"
        folder.mkdir()
        disk = small_disk(f"size=1m,nr_inodes={inodes}")
        said = started_at(lab, disk / "state", folder)
        outcomes.append("served" if said is None else "refused")
        assert said is None or "No space left on device" in said
        assert left_in(lab, disk) == []
    assert outcomes[0] == "refused" and outcomes[-1] == "served", outcomes


@pytest.mark.parametrize("is_old", [False, True], ids=["empty", "in use before"])
def test_a_read_only_state_directory_serves_if_it_is_complete(
        lab, place, small_disk, is_old):
    disk = small_disk("size=1m")
    if is_old:
        assert started_at(lab, disk / "state", place) is None
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    said = started_at(lab, disk / "state", place)
    if is_old:
        assert said is None
    else:
        assert "Read-only file system" in said and str(disk / "state") in said


def test_a_runtime_directory_that_cannot_be_written_is_named(lab, place, small_disk):
    disk = small_disk("size=1m")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    relay = daemon.Relay(lab["relay-v4only"], place, config=LAB, log=place / "log")
    relay.run = disk / "run"
    with pytest.raises(LabError):
        relay.start()
    assert f"culvertd: {disk / 'run'}" in relay.proc.text()
    assert "Read-only file system" in relay.proc.text()


# ---- files ----

@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_keys_and_secrets_are_private_whatever_the_umask(lab, place, umask):
    relay = daemon.Relay(lab["relay-v4only"], place, config=LAB, log=place / "log",
                         wrapper=("sh", "-c", f'umask {umask:o}; exec "$@"', "sh"))
    relay.start()
    relay.stop()
    secrets = 0
    for path in relay.state.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert mode == 0o700, path
            continue
        content = path.read_bytes()
        if b"PRIVATE KEY" in content or path.name == "secret":
            secrets += 1
            assert mode == 0o600, path
        else:
            assert not mode & 0o022, path    # nobody else writes it
    assert secrets == 3    # keys of the authority and the relay, and the token secret
    assert stat.S_IMODE(relay.state.stat().st_mode) == 0o700


def test_keys_are_private_in_a_world_writable_state_directory(lab, place):
    (place / "state").mkdir(mode=0o777)
    os.chmod(place / "state", 0o777)
    relay = daemon.Relay(lab["relay-v4only"], place, config=LAB, log=place / "log")
    relay.start()
    relay.stop()
    secrets = [path for path in relay.state.rglob("*") if path.is_file()
               and (b"PRIVATE KEY" in path.read_bytes() or path.name == "secret")]
    assert len(secrets) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


def test_a_state_file_is_replaced_whole_or_not_at_all(lab, place):
    """A reader sees the old file or the new one: a file is never written under its final name."""
    relay = daemon.Relay(lab["relay-v4only"], place, config=LAB, log=place / "log",
                         wrapper=("strace", "-D", "-f", "-o", place / "calls", "-e",
                                  "trace=openat,open,creat,rename,renameat,renameat2,link,linkat,"
                                  "fsync"))
    relay.start()
    relay.stop()
    calls = (place / "calls").read_text(encoding="utf-8", errors="replace")
    final = {str(path) for path in relay.state.rglob("*") if path.is_file()}
    assert final
    for path in final:
        opened = [line for line in calls.splitlines() if f'"{path}"' in line and "open" in line]
        assert not [line for line in opened if re.search("O_WRONLY|O_RDWR", line)], path
        # a link never replaces, for what several processes may make at the same time
        assert re.search(rf'(rename|link)\w*\(.*"{re.escape(path)}"', calls), path
    assert calls.count("fsync(") >= len(final)
