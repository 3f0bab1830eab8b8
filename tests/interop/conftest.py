# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for clients of other projects, against a relay in the lab."""
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "lab"))

import daemon  # noqa: E402 (the path above finds them)
import topology  # noqa: E402
from lab import Lab  # noqa: E402
from lab_fixtures import build, root  # noqa: E402, F401

CONFIG = """\
datapath = "%s"
user = "nobody"
listener main { port = 443 profile = pqc }
listener web { port = 8443 profile = hybrid }
policy { allow = {"198.18.0.0/15", "2001:db8::/32"} }
certificate-names = {"%s", "%s"}
"""


def pytest_generate_tests(metafunc):
    if "relay" in metafunc.fixturenames:
        datapaths = getattr(metafunc.module, "DATAPATHS", ("xdp",))
        metafunc.parametrize("relay", datapaths, indirect=True, scope="module")


@pytest.fixture(scope="module")
def lab(root, build):
    with Lab(topology.matrix(), build=build) as lab:
        yield lab


@pytest.fixture(scope="module")
def relay(lab, build, request, tmp_path_factory):
    """A relay with a post-quantum listener on port 443 and a hybrid one on 8443."""
    logs = build / "test-logs" / request.module.__name__
    logs.mkdir(parents=True, exist_ok=True)
    relay = daemon.Relay(lab["relay"], tmp_path_factory.mktemp("relay"),
                         config=CONFIG % (request.param, lab["relay"].addr4, lab["relay"].addr6),
                         datapath=request.param,
                         log=logs / f"culvertd-{request.param}.log")
    relay.start()
    relay.hybrid_ca = relay.state / "tls" / "hybrid-ca.pem"
    relay.pqc_ca = relay.state / "tls" / "ca.pem"
    yield relay
    relay.stop()


@pytest.fixture(scope="module")
def targets(lab):
    return daemon.echo_targets(lab)


def find_go(needed):
    """The Go tool, at least as new as needed ("1.26"); skips with the reason without one."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if not go:
        pytest.skip("no Go toolchain (the program is fetched and built by the Go module tool)")
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True,
                          check=True).stdout
    have = tuple(map(int, re.findall(r"\d+", said)[:2]))
    if have < tuple(map(int, needed.split("."))):
        pytest.skip(f"Go {said.strip()} is older than {needed}")
    return go


@pytest.fixture(scope="session")
def masque_go(build):
    """The path of our program on masque-go and quic-go."""
    go, source = find_go("1.26"), Path(__file__).with_name("masque-go")
    fetched = subprocess.run([go, "mod", "download"], cwd=source, capture_output=True, text=True,
                             check=False, timeout=300)
    if fetched.returncode:
        pytest.skip("the Go module tool cannot fetch masque-go here: "
                    + fetched.stderr.strip().splitlines()[-1].split("://")[0][:120])
    program = build / "interop" / "masque-go"
    subprocess.run([go, "build", "-mod=readonly", "-o", program, "."], cwd=source, check=True,
                   timeout=600)
    return program
