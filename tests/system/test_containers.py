# SPDX-License-Identifier: GPL-3.0-or-later
"""What containers take away: the relay steps down from it, says so in one line, and serves."""
import os
import shutil
import sys
import tempfile

import pytest

import daemon
from daemon import exchange

DATAPATHS = ("auto",)
PORT = 4443     # a user namespace has no right to the low ports of the lab's network namespace
CONFIG = daemon.CONFIG % {"datapath": "auto"} + "listener main { port = %d }\n" % PORT

# The capabilities that docker and podman leave to root.
DEFAULT = ("chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
           "net_bind_service", "net_raw", "sys_chroot", "mknod", "audit_write", "setfcap")
INSIDE = 100000     # user 0 of a namespace with a range of users, seen from outside

# A parent writes the maps of its child's user namespace, and stays in front of it for signals.
RANGE = """
import ctypes, os, signal, sys
made, mapped = os.pipe(), os.pipe()
child = os.fork()
if not child:
    assert not ctypes.CDLL(None).unshare(0x10000000)    # CLONE_NEWUSER
    os.write(made[1], b"1")
    os.read(mapped[0], 1)
    os.setgid(0)
    os.setuid(0)
    os.execvp(sys.argv[2], sys.argv[2:])
os.read(made[0], 1)
for name, text in (("setgroups", sys.argv[1]), ("uid_map", "0 %d 65536"), ("gid_map", "0 %d 65536")):
    with open(f"/proc/{child}/{name}", "w") as file:
        file.write(text)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda number, frame: os.kill(child, number))
os.write(mapped[1], b"1")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""" % (INSIDE, INSIDE)


def with_capabilities(*names):
    sets = ",".join(["-all", *(f"+{name}" for name in names)])
    return ("setpriv", f"--bounding-set={sets}", f"--inh-caps={sets}")


def with_mount(what):
    return ("unshare", "--mount", "sh", "-c", what + ' && exec "$@"', "sh")


NO_XDP = r"^warn datapath_fallback from=xdp to=kernel because=.*CAP_BPF"
KINDS = {
    "default capabilities": (with_capabilities(*DEFAULT), NO_XDP),
    "one capability": (with_capabilities("net_bind_service"), NO_XDP),
    "no capability": (with_capabilities(), r"^info user_kept user=nobody"),
    "a user without a name": (("setpriv", f"--reuid={INSIDE}", f"--regid={INSIDE}",
                               "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"),
                              r"^info privileges user=%d " % INSIDE),
    "a user namespace of one user": (("unshare", "--user", "--map-root-user"),
                                     r"^warn user_kept .* maps no user 65534 and group \d+"),
    "a user namespace of many": ((sys.executable, "-c", RANGE, "allow"),
                                 r"^info privileges user=nobody "),
    "a user namespace that keeps groups": ((sys.executable, "-c", RANGE, "deny"),
                                           r"^warn groups_kept because=.*setgroups"),
    "no users": (with_mount("mount -t tmpfs none /etc"),
                 r"^warn user_by_number user=nobody uid=65534 "),
    "no /sys": (with_mount("mount -t tmpfs none /sys"), r"^warn maps_not_pinned because="),
    "no bpffs": (with_mount("mount -t tmpfs none /sys/fs"), r"^warn maps_not_pinned because="),
    "/sys read-only": (with_mount("mount -o remount,bind,ro /sys"), r"^ready"),
    "no /proc": (with_mount("mount -t tmpfs none /proc"), r"^ready"),
    "one CPU": (("taskset", "-c", "0"), r"^ready"),
    "few descriptors": (("prlimit", "--nofile=80:80"), r"^ready"),
    "no locked memory": (("prlimit", "--memlock=0:0"), r"^ready"),
}


@pytest.fixture
def folder(request):
    """One that other users reach, as a volume; those of pytest are for root alone."""
    path = tempfile.mkdtemp(prefix="clv-box-")
    owner = INSIDE if "INSIDE" in request.param else 0
    os.chown(path, owner, owner)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("kind, folder",
                         [(kind, "INSIDE" if str(INSIDE) in str(wrapper) else "root")
                          for kind, (wrapper, _) in KINDS.items()], indirect=["folder"])
def test_it_serves_and_says_what_it_lacks(start_relay, forward, targets, folder, kind, datapath):
    wrapper, line = KINDS[kind]
    relay = start_relay("relay-v4only", config=CONFIG, wrapper=wrapper, folder=folder, port=PORT)
    relay.proc.wait_line(line, 0)
    client = forward("peer-v4", relay, targets["target-v4"])
    assert exchange(client.peer, client.address, 100, 1200)["same"] == [100, 1200]
    relay.stop()    # asserts exit 0, no XDP program, no pin


def test_without_bpffs_xdp_is_used_all_the_same(start_relay, datapath):
    relay = start_relay("relay-v4only", config=CONFIG, wrapper=KINDS["no bpffs"][0], port=PORT)
    status = relay.ctl("status")
    assert {nic["mode"] for nic in status["interfaces"]} == {"copy"}, status["interfaces"]


def test_a_user_may_be_a_number(start_relay, datapath):
    relay = start_relay("relay-v4only", port=PORT,
                        config=CONFIG.replace('user = "nobody"', 'user = "12345"'))
    assert relay.ctl("status")["privileges"]["user"] == "12345"
