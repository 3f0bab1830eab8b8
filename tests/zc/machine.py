# SPDX-License-Identifier: GPL-3.0-or-later
"""An emulated machine with our programs in it and its network interfaces in a lab's networks."""
import fcntl
import json
import os
import re
import selectors
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

import netns
from netns import LabError

BOOT_SEC = 600
COMMAND_SEC = 120
TUNSETIFF, IFF_TAP, IFF_MULTI_QUEUE, IFF_NO_PI, IFF_VNET_HDR = 0x400454ca, 2, 0x100, 0x1000, 0x4000
PR_SET_PDEATHSIG = 1
KERNEL_LINE = "console=ttyS0 quiet loglevel=4 panic=1 mitigations=off nokaslr audit=0 net.ifnames=0"
PROGRAMS = ("culvertd", "culvertctl")


def libraries(program):
    """The files that the dynamic linker loads for a program, itself among them."""
    said = subprocess.run(["ldd", program], text=True, capture_output=True, check=True).stdout
    return set(re.findall(r"(/\S+) \(0x", said))


def build_initramfs(files, build, folder, out):
    """Pack busybox, drivers, our programs, ethtool and their libraries.  files: of archive."""
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("bin", "etc", "lib64", "usr/bin"):
        (tree / name).mkdir(parents=True)
    shutil.copy(files / "root/usr/bin/busybox", tree / "bin")
    shutil.copytree(files / "modules", tree / "modules")
    shutil.copy(Path(__file__).with_name("init"), tree)
    ethtool = shutil.which("ethtool", path="/usr/sbin:/sbin:/usr/bin")
    needed = libraries(ethtool)
    shutil.copy(ethtool, tree / "usr/bin")
    for name in PROGRAMS:
        subprocess.run(["strip", "-o", tree / "usr/bin" / name, build / name], check=True)
        needed |= libraries(build / name)
    for path in needed:
        (tree / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tree / path[1:])
    (tree / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nculvert:x:990:990::/:/bin/false\n")
    (tree / "etc/group").write_text("root:x:0:\nculvert:x:990:\n")
    names = subprocess.run(["find", "."], cwd=tree, capture_output=True, check=True).stdout
    packed = subprocess.run([tree / "bin/busybox", "cpio", "-o", "-H", "newc"], input=names,
                            cwd=tree, capture_output=True, check=True).stdout
    out.write_bytes(packed)
    shutil.rmtree(tree)


def open_tap(namespace, name, queues):
    """A tap device on the bridge of a lab's network: descriptors, one for each queue."""
    flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (IFF_MULTI_QUEUE if queues > 1 else 0)
    fds = []
    with netns.inside(namespace):
        for _ in range(queues):
            fds.append(os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK))
            fcntl.ioctl(fds[-1], TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    netns.call(["ip", "-n", namespace, "link", "set", name, "master", "br0", "up"])
    return fds


def die_with_parent():
    netns.LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Machine:
    """A running guest.  run() has it do a command; interface n of it is ethN."""

    def __init__(self, files, initramfs, log, cpus=1):
        self.files, self.initramfs, self.log, self.cpus = files, initramfs, Path(log), cpus
        self.devices, self.fds = [], []
        self.process, self.said = None, b""

    def add_interface(self, device, lab, network, queues=1):
        """device: QEMU's device with its options.  network: of the lab; None for one unplugged."""
        number = len(self.devices)
        port, device = f"port{number}", f"{device},netdev=net{number},romfile="
        backend = f"hubport,id=net{number},hubid={number}"
        if network:
            fds = open_tap(netns.namespace(lab.name, network), f"vm{number}", queues)
            self.fds += fds
            numbers = ":".join(map(str, fds))
            backend = f"tap,id=net{number}," + (f"fds={numbers}" if queues > 1 else f"fd={fds[0]}")
        # A port for each: an igb's virtual functions take the slots after it.
        self.devices.append(["-device", f"pcie-root-port,id={port},slot={number + 1},"
                             f"chassis={number + 1}", "-netdev", backend,
                             "-device", f"{device},bus={port},mac=02:7a:63:00:00:{number:02x}"])

    def boot(self):
        root = self.files / "root"
        command = [root / "usr/lib64/ld-linux-x86-64.so.2",
                   "--library-path", root / "usr/lib/x86_64-linux-gnu",
                   root / "usr/bin/qemu-system-x86_64",
                   "-L", root / "usr/share/qemu", "-L", root / "usr/share/seabios",
                   "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                   "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "768",
                   "-smp", str(self.cpus), "-kernel", self.files / "vmlinuz",
                   "-initrd", self.initramfs, "-append", KERNEL_LINE,
                   "-serial", f"file:{self.log}", "-chardev", "stdio,id=agent,signal=off",
                   # Not a serial line: the guest's driver for those loses what comes too fast.
                   "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent",
                   *(w for words in self.devices for w in words)]
        with open(self.log.with_suffix(".qemu"), "wb") as errors:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=errors, pass_fds=self.fds, start_new_session=True,
                preexec_fn=die_with_parent)
        for fd in self.fds:
            os.close(fd)
        self.fds = []
        os.set_blocking(self.process.stdout.fileno(), False)
        self._answer("boot", BOOT_SEC)
        return self

    def _answer(self, what, limit_sec):
        """What came until the next END, and its code."""
        until = time.monotonic() + limit_sec
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not (end := re.search(rb"(?:^|\n)END (\d+)\n", self.said)):
                selector.select(0.2)
                data = self.process.stdout.read()
                if data == b"" or time.monotonic() > until:
                    raise LabError(f"guest: {what}: no answer after {limit_sec} s; its console:\n"
                                   + self.console()[-3000:]
                                   + self.log.with_suffix(".qemu").read_text()[-1000:])
                self.said += data or b""
        text, self.said = self.said[:end.start()], self.said[end.end():]
        return text.decode(errors="replace"), int(end[1])

    def run(self, command, check=True, timeout=COMMAND_SEC):
        """Run one line of shell; returns what it said, and with check=False its exit code too."""
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        text, code = self._answer(command, timeout)
        if not check:
            return text, code
        if code:
            raise LabError(f"guest: {command}: exit {code}\n{text}\n{self.console()[-2000:]}")
        return text

    def json(self, command):
        return json.loads(self.run(command))

    def console(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def complaints(self):
        """What the guest's kernel says that a healthy one does not."""
        bad = r"WARNING:|BUG:|Oops|Call Trace|general protection|refcount|hung task|Kernel panic"
        return [line for line in (self.run("dmesg") + self.console()).splitlines()
                if re.search(bad, line)]

    def close(self):
        for fd in self.fds:
            os.close(fd)
        if self.process:
            netns.kill_group(self.process)
            self.process.stdin.close()
            self.process.stdout.close()
