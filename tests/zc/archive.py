# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU, busybox and a newer Debian kernel, from the archive that the machine's apt is set up for.

They are unpacked in a folder of ours and never installed.  A private apt, with lists and a package
database of its own, asks the archive that serves the machine, for a newer release.
"""
import fcntl
import lzma
import os
import re
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

RELEASE = "trixie"    # of Debian: its QEMU has igb, its backports a kernel with igb's zero-copy
PROGRAMS = ("qemu-system-x86", "busybox-static", "libc6")
MODULES = re.compile(r"/(virtio(_ring|_pci|_pci_modern_dev|_pci_legacy_dev|_net|_console)?|failover"
                     r"|net_failover|dca|i2c-algo-bit|igb)\.ko(\.xz)?$")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DOWNLOAD_SEC = 240    # for all of it
TRIES = 6             # an archive may list what it does not serve (any more)
SETTINGS = """\
Dir::State "{apt}/state";
Dir::State::status "{apt}/status";
Dir::Cache "{apt}/cache";
Dir::Etc::sourcelist "{apt}/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "{apt}/preferences.d";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
APT::Architectures {{ "amd64"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
"""


class Missing(Exception):
    """The packages cannot be had; the text says why."""


def own_archive():
    """Where the machine's apt gets Debian itself from."""
    try:
        listed = subprocess.run(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)",
                                 "Created-By: Packages"], text=True, capture_output=True).stdout
    except FileNotFoundError:
        raise Missing("there is no apt") from None
    rows = [line.split("|", 2) for line in listed.splitlines()]
    for origin, label, address in rows:
        if (origin, label) == ("Debian", "Debian"):
            return address
    for _, _, address in rows:    # before the first apt-get update nothing else is known
        if address.rstrip("/").endswith("/debian"):
            return address
    raise Missing("apt is set up for no Debian archive")


class Archive:
    """The private apt."""

    def __init__(self, folder):
        self.apt = folder.resolve() / "apt"
        self.until = time.monotonic() + DOWNLOAD_SEC
        self.environment = dict(os.environ, APT_CONFIG=str(self.apt / "apt.conf"), LC_ALL="C",
                                DEBIAN_FRONTEND="noninteractive")
        shutil.rmtree(self.apt, ignore_errors=True)
        for name in ("state/lists/partial", "cache/archives/partial", "preferences.d"):
            (self.apt / name).mkdir(parents=True)
        (self.apt / "status").touch()
        (self.apt / "apt.conf").write_text(SETTINGS.format(apt=self.apt))
        (self.apt / "sources.list").write_text("".join(
            f"deb [signed-by={KEYRING}] {own_archive()} {suite} main\n"
            for suite in (RELEASE, f"{RELEASE}-backports")))

    def call(self, *words, cwd=None):
        """Run an apt program; returns whether it went well, and what it said."""
        try:
            done = subprocess.run(words, env=self.environment, cwd=cwd, text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT,
                                  timeout=max(self.until - time.monotonic(), 1))
        except subprocess.TimeoutExpired:
            raise Missing(f"the archive took more than {DOWNLOAD_SEC} s") from None
        return done.returncode == 0, done.stdout

    def give_up(self, what, said):
        errors = [line for line in said.splitlines() if line.startswith("E:")]
        words = re.sub(r"\w+://\S+/", "", errors[0]) if errors else "no reason given"
        raise Missing(f"{what}: {words}")

    def update(self):
        good, said = self.call("apt-get", "update")
        if not good:
            self.give_up("the lists of packages", said)

    def leave_out(self, said):
        """Never choose again what could not be fetched; returns whether there was any."""
        files = set(re.findall(r"^E: Failed to fetch \S*/([^/ ]+)\.deb", said, re.MULTILINE))
        with open(self.apt / "preferences.d" / "not-served", "a", encoding="ascii") as out:
            for name, version in (file.split("_")[:2] for file in files):
                version = re.sub("%(..)", lambda m: chr(int(m[1], 16)), version)
                out.write(f"Package: {name}\nPin: version *{version}\nPin-Priority: -1\n\n")
        return bool(files)

    def programs(self):
        """Fetch QEMU and busybox with all they depend on; returns the files."""
        for _ in range(TRIES):
            good, said = self.call("apt-get", "install", "--download-only", "-y", *PROGRAMS)
            if good:
                return sorted((self.apt / "cache/archives").glob("*.deb"))
            if not self.leave_out(said):
                break
        return self.give_up("QEMU", said)

    def kernel(self):
        """Fetch the newest kernel that is served; returns the files of image and modules."""
        names = self.call("apt-cache", "pkgnames", "linux-modules-")[1].split()
        releases = [found[1] for found in (
            re.fullmatch(r"linux-modules-([\d.]+\+deb13-amd64)", name) for name in names) if found]
        releases.sort(key=lambda release: [int(n) for n in re.findall(r"\d+", release)])
        said = "E: none is listed"
        for release in releases[:-TRIES - 1:-1]:
            pair = (f"linux-binary-{release}", f"linux-modules-{release}")
            good, said = self.call("apt-get", "download", *pair, cwd=self.apt)
            if good:
                return [next(self.apt.glob(f"{name}_*.deb")) for name in pair]
        return self.give_up("a kernel", said)


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
    """Have all of it in a folder: root/ with the programs, vmlinuz, modules/.  Missing if not."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = folder / "complete"
        if complete.exists():
            return
        for name in ("root", "modules"):
            shutil.rmtree(folder / name, ignore_errors=True)
        archive = Archive(folder)
        archive.update()
        programs, kernel = archive.programs(), archive.kernel()
        (folder / "root").mkdir()
        for package in programs:
            subprocess.run(["dpkg-deb", "-x", package, folder / "root"], check=True)
        unpack_kernel(*kernel, folder)
        shutil.rmtree(archive.apt)
        complete.touch()
