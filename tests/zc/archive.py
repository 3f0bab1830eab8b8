# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU, busybox and a newer Debian kernel, from the archive that the machine's apt is set up for.

They are unpacked in a folder of ours and never installed.
"""
import fcntl
import lzma
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from newer import NotAvailable, PrivateApt, last_words

RELEASE = "trixie"    # of Debian: its QEMU has igb, its backports a kernel with igb's zero-copy
PROGRAMS = ("qemu-system-x86", "busybox-static", "libc6")
MODULES = re.compile(r"/(virtio(_ring|_pci|_pci_modern_dev|_pci_legacy_dev|_net|_console)?|failover"
                     r"|net_failover|dca|i2c-algo-bit|igb)\.ko(\.xz)?$")
DOWNLOAD_SEC = 240    # for all of it
KERNELS = 6           # an archive may list what it does not serve (any more)


def kernel(apt):
    """Fetch the newest kernel that is served; returns the files of image and modules."""
    names = apt("apt-cache", "pkgnames", "linux-modules-").split()
    releases = [found[1] for found in (
        re.fullmatch(r"linux-modules-([\d.]+\+deb13-amd64)", name) for name in names) if found]
    releases.sort(key=lambda release: [int(n) for n in re.findall(r"\d+", release)])
    said = "E: no kernel is listed"
    for release in releases[:-KERNELS - 1:-1]:
        pair = (f"linux-binary-{release}", f"linux-modules-{release}")
        done = apt.run("apt-get", "download", *pair, cwd=apt.folder)
        if done.returncode == 0:
            return [next(apt.folder.glob(f"{name}_*.deb")) for name in pair]
        said = done.stdout + done.stderr
    raise NotAvailable(last_words(said))


def members(package):
    """The files in a package, as (name, open file)."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as pipe:
        with tarfile.open(fileobj=pipe.stdout, mode="r|") as tar:
            for member in tar:
                if member.isfile():
                    yield member.name, tar.extractfile(member)


def unpack_kernel(image, modules, folder):
    for name, file in members(image):
        if "/vmlinuz" in name:
            (folder / "vmlinuz").write_bytes(file.read())
    (folder / "modules").mkdir()
    for name, file in members(modules):
        if MODULES.search(name):
            data = file.read()
            if name.endswith(".xz"):
                name, data = name[:-3], lzma.decompress(data)
            (folder / "modules" / Path(name).name).write_bytes(data)


def fetch(folder):
    """Fetch everything: root/ with the programs, vmlinuz, modules/.  Raises NotAvailable."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = folder / "complete"
        if complete.exists():
            return
        for name in ("root", "modules"):
            shutil.rmtree(folder / name, ignore_errors=True)
        shutil.rmtree(folder / "apt", ignore_errors=True)
        apt = PrivateApt(folder / "apt", (RELEASE, f"{RELEASE}-backports"), DOWNLOAD_SEC)
        programs, pair = apt.download(*PROGRAMS), kernel(apt)
        (folder / "root").mkdir()
        for package in programs:
            subprocess.run(["dpkg-deb", "-x", package, folder / "root"], check=True)
        unpack_kernel(*pair, folder)
        shutil.rmtree(apt.folder)
        complete.touch()
