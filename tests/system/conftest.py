# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the system tests: a lab, a relay in it, forwarders, echo servers.

A test module may set
    TOPOLOGY = topology.matrix(relay_queues=2)     what `lab` raises, instead of the plain matrix
    DATAPATHS = ("xdp", "sock")                    run its tests once on each; else on xdp
    RELAY_CONFIG = 'datapath = "%(datapath)s" ...' of `relay`, instead of the lab's
which applies to the tests with a `relay` or a `datapath`.  CULVERT_DATAPATH=generic, or another of
daemon.MODES, runs all tests with a relay on that one instead, except those that ask for one.

BUILD names the build directory (default: build in the repository).  The output of every daemon is
kept under BUILD/test-logs/MODULE/.
"""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

import daemon  # noqa: E402 (the path above finds them)
import losses  # noqa: E402
import netns  # noqa: E402
import quiet  # noqa: E402
import topology  # noqa: E402
from lab import Lab  # noqa: E402
from lab_fixtures import build, root  # noqa: E402, F401


def pytest_generate_tests(metafunc):
    chosen = daemon.chosen_datapath()
    datapaths = (chosen,) if chosen else getattr(metafunc.module, "DATAPATHS", ("xdp",))
    if "relay" in metafunc.fixturenames:
        metafunc.parametrize("relay", datapaths, indirect=True, scope="module")
    elif "datapath" in metafunc.fixturenames:
        metafunc.parametrize("datapath", datapaths, scope="module")


def pytest_collection_modifyitems(config, items):
    """A run on one data path has only the tests with a relay."""
    if not daemon.chosen_datapath():
        return
    spared = [i for i in items if not {"relay", "start_relay", "datapath"} & set(i.fixturenames)]
    config.hook.pytest_deselected(items=spared)
    items[:] = [item for item in items if item not in spared]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A case that failed because full queues dropped too much is skipped on a machine that other work
    keeps busy: it showed nothing."""
    if call.when == "setup":
        losses.too_much = None
    report = (yield).get_result()
    if call.when == "call" and report.failed and losses.too_much:
        reason = quiet.why_not()
        if reason:
            report.outcome = "skipped"
            report.longrepr = (str(item.path), 0, f"Skipped: {reason}; {losses.too_much}")


@pytest.fixture(scope="module")
def logs(build, request):
    """The directory for this module's logs."""
    folder = build / "test-logs" / request.module.__name__
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def lab(root, build, request):
    """A raised lab."""
    with Lab(getattr(request.module, "TOPOLOGY", None) or topology.matrix(), build=build) as lab:
        yield lab


@pytest.fixture(scope="module")
def relay(lab, logs, request, tmp_path_factory):
    """A relay on host relay, for all tests of the module."""
    datapath = request.param
    config = getattr(request.module, "RELAY_CONFIG", daemon.CONFIG) % {"datapath": datapath}
    relay = daemon.Relay(lab["relay"], tmp_path_factory.mktemp("relay"), datapath=datapath,
                         config=config, log=logs / f"culvertd-{datapath}.log")
    relay.start()
    yield relay
    relay.stop()


@pytest.fixture
def start_relay(lab, logs, request, tmp_path_factory):
    """start_relay("relay-v4only", config=..., args=...) starts another, for one test."""
    started = []

    def start(host="relay", folder=None, **options):
        # short: a socket's path has room for 107 bytes
        folder = folder or tmp_path_factory.mktemp("r")
        log = logs / f"{daemon.slug(request.node.name)}-{host}-{len(started)}.log"
        relay = daemon.Relay(lab[host], folder, log=log, **options)
        try:
            relay.start()
        except netns.LabError:
            if relay.proc:
                relay.proc.kill()
            raise
        started.append(relay)
        return relay

    yield start
    for relay in reversed(started):
        relay.stop()


@pytest.fixture
def forward(lab, logs, request):
    """forward("peer-v4", relay, "198.18.4.20:7000") is ready when it returns; stopped after."""
    started = []

    def start(peer, relay, target, *args, relay_at=None):
        at = relay_at or relay.address(4 if lab[peer].addr4 else 6)
        log = logs / f"{daemon.slug(request.node.name)}-forward-{len(started)}.log"
        pin = None if at.startswith("culvert:") else relay.fingerprint
        one = daemon.Forward(lab[peer], at, target, pin, args, log)
        started.append(one)
        return one.wait()

    yield start
    for one in started:
        if one.proc.alive:
            assert one.stop() == 0, one.proc.text()


@pytest.fixture
def bind(lab, logs, request):
    """bind("peer-v4", relay, app="127.0.0.1:7000") has its public addresses; stopped after."""
    started = []

    def start(peer, relay, *args, wait=True, **options):
        log = logs / f"{daemon.slug(request.node.name)}-bind-{len(started)}.log"
        one = daemon.Bind(lab[peer], relay, *args, log=log, **options)
        started.append(one)
        return one.wait() if wait else one

    yield start
    for one in reversed(started):
        if one.proc.alive:
            assert one.stop() == 0, one.proc.text()


@pytest.fixture
def when_quiet():
    """when_quiet(condition, what) asserts a condition on times or rates.  Where it does not hold
    while other work uses the machine, the case is skipped for that reason: it shows nothing."""
    def check(condition, what):
        reason = None if condition else quiet.why_not()
        if reason:
            pytest.skip(f"{reason}; {what}")
        assert condition, what

    return check


@pytest.fixture(scope="module")
def targets(lab):
    return daemon.echo_targets(lab)
