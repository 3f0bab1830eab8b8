# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the mark of what the relay sends hold for it in every mode."""
import pytest

import daemon
from netns import LabError, wait_until

DATAPATHS = ("xdp", "generic", "sock")
RELAY_CONFIG = daemon.CONFIG + "mark = 7\n"
MARK, TABLE = 7, 201


@pytest.fixture(scope="module", autouse=True)
def targets(lab):
    return daemon.echo_targets(lab)


@pytest.mark.parametrize("family", (4, 6))
def test_a_rule_about_the_mark_is_followed(lab, relay, forward, targets, family):
    """A table that leads nowhere, for packets with a mark."""
    host, name = lab["relay"], f"target-v{family}"
    target = f"{lab[name].addr4 or lab[name].addr6}/{32 if family == 4 else 128}"
    rule, route = (f"-{family}", "rule"), (f"-{family}", "route")
    client = forward("peer-v4", relay, targets[name])

    def flows():
        return daemon.exchange(lab["peer-v4"], client.address, 100)["same"] == [100]

    assert flows()
    host.ip(*route, "add", "blackhole", target, "table", TABLE)
    host.ip(*rule, "add", "fwmark", MARK + 1, "to", target, "lookup", TABLE, "pref", 90)
    try:
        assert flows()
        host.ip(*rule, "add", "fwmark", MARK, "to", target, "lookup", TABLE, "pref", 91)
        wait_until(lambda: not flows())
        host.ip(*rule, "del", "pref", 91)
        wait_until(flows)
    finally:
        host.ip(*rule, "del", "pref", 90)
        host.ip(*route, "flush", "table", TABLE)


@pytest.mark.parametrize("family", (4, 6))
def test_what_is_sent_to_clients_has_the_mark_too(lab, relay, family):
    host, peer = lab["relay"], lab[f"peer-v{family}"]
    address = f"{peer.addr4 or peer.addr6}/{32 if family == 4 else 128}"
    rule, route = (f"-{family}", "rule"), (f"-{family}", "route")
    target = daemon.endpoint(lab[f"target-v{family}"].addr4 or lab[f"target-v{family}"].addr6, 7000)

    def serves(timeout=60):
        try:
            done = daemon.ping(peer, relay.address(family), target, relay.fingerprint,
                               timeout=timeout)
        except LabError:
            return False
        return done.returncode == 0

    assert serves()
    host.ip(*route, "add", "blackhole", address, "table", TABLE)
    host.ip(*rule, "add", "fwmark", MARK, "to", address, "lookup", TABLE, "pref", 91)
    try:
        assert not serves(timeout=3)    # it would give up after 10 s
    finally:
        host.ip(*rule, "del", "pref", 91)
        host.ip(*route, "flush", "table", TABLE)
    assert serves()
