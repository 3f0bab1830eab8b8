# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of a newer Debian release, or of this one, unpacked into a directory and never installed.

The archive and its keyring are those the machine's own apt has; lists, cache and package database
are private.
"""
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import unquote

SUITE = "trixie"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
TRIES = 6  # an archive may list a version that it does not serve

CONFIG = """\
Dir::State "{apt}/state";
Dir::State::status "{apt}/state/status";
Dir::Cache "{apt}/cache";
Dir::Etc::sourcelist "{apt}/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "{apt}/preferences.d";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
APT::Architectures {{ "amd64"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
"""


class NotAvailable(Exception):
    """The archive does not give it; the text says why, without naming the archive."""


def last_words(text):
    lines = [line for line in text.splitlines() if line.startswith(("E:", "W:"))] or ["?"]
    return re.sub(r"\w+://\S+", "...", lines[-1])


def archive():
    """The address of the Debian archive that the machine's apt uses."""
    if not shutil.which("apt-get"):
        raise NotAvailable("no apt here")
    said = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages",
         "Origin: Debian"], capture_output=True, text=True, check=False).stdout.split()
    if not said:  # no lists yet
        for file in (Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*.sources")):
            text = file.read_text(encoding="utf-8") if file.exists() else ""
            said += re.findall(r"^URIs:\s*(\S+)", text, re.M)
            said += re.findall(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)", text, re.M)
    said = [uri for uri in said if "security" not in uri]
    if not said:
        raise NotAvailable("no Debian archive in the machine's apt sources")
    return said[0]


class PrivateApt:
    """apt-get with lists, cache and database below a folder.  seconds: for all that is asked of it."""

    def __init__(self, folder, suites=(SUITE,), seconds=600):
        self.folder = Path(folder).resolve()
        self.seconds, self.until = seconds, time.monotonic() + seconds
        for name in ("state/lists/partial", "cache/archives/partial", "preferences.d"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "state/status").write_text("")
        uri = archive()
        (self.folder / "sources.list").write_text("".join(
            f"deb [signed-by={KEYRING}] {uri} {suite} main\n" for suite in suites))
        self.config = self.folder / "apt.conf"
        self.config.write_text(CONFIG.format(apt=self.folder))
        self("apt-get", "update")

    def run(self, *words, **options):
        try:
            return subprocess.run(
                words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
                timeout=max(self.until - time.monotonic(), 1), **options,
                env={**os.environ, "APT_CONFIG": str(self.config), "LC_ALL": "C",
                     "DEBIAN_FRONTEND": "noninteractive"})
        except subprocess.TimeoutExpired:
            raise NotAvailable(f"the archive took more than {self.seconds} s") from None

    def __call__(self, *words, **options):
        done = self.run(*words, **options)
        if done.returncode:
            raise NotAvailable(last_words(done.stdout + done.stderr))
        return done.stdout

    def pin_away(self, said):
        """Have apt choose another version of what was listed and not served; False if nothing."""
        files = set(re.findall(r"Failed to fetch \S*/(\S+)_(\S+)_\w+\.deb", said))
        with open(self.folder / "preferences.d/not-served", "a", encoding="ascii") as out:
            for name, version in files:
                out.write(f"Package: {name}\nPin: version *{unquote(version)}\n"
                          "Pin-Priority: -1\n\n")
        return bool(files)

    def download(self, *packages):
        """The .deb files of packages and of all they need."""
        for _ in range(TRIES):
            done = self.run("apt-get", "install", "--download-only", "-y", *packages)
            if done.returncode == 0:
                return sorted((self.folder / "cache/archives").glob("*.deb"))
            if not self.pin_away(done.stdout + done.stderr):
                break
        raise NotAvailable(last_words(done.stdout + done.stderr))


def unpack(folder, *packages, suite=SUITE):
    """Packages and what they need, unpacked below folder/root, which is returned; once."""
    folder = Path(folder)
    root, done = folder / "root", folder / "done"
    wanted = " ".join(packages)
    if done.exists() and done.read_text() == wanted:
        return root
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for deb in PrivateApt(folder / "apt", (suite,)).download(*packages):
        subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
    shutil.rmtree(folder / "apt")
    done.write_text(wanted)
    return root


def command(root, program):
    """The words that run a program of root with the libraries of root."""
    # Releases before the newer one have libraries of the base system apart.
    folders = [root / place for place in (LIBRARIES, LIBRARIES.removeprefix("usr/"))]
    loader = next(path for path in (f / "ld-linux-x86-64.so.2" for f in folders) if path.exists())
    return [loader, "--library-path", ":".join(map(str, folders)), root / program]
