# SPDX-License-Identifier: GPL-3.0-or-later
"""A client on an IPv6 link of MTU 1280, the smallest there is."""
import pytest

import topology
from daemon import exchange, is_clean, load

TOPOLOGY = topology.matrix(peer6_mtu=1280)
DATAPATHS = ("xdp", "generic", "sock")


@pytest.mark.parametrize("target", ["target-v4", "target-v6"])
def test_1200_bytes_pass_over_an_ipv6_link_of_mtu_1280(lab, relay, forward, targets, target):
    client = forward("peer-v6", relay, targets[target])
    client.proc.wait_line(r"^max payload 1200$")
    figures = load(lab["peer-v6"], client.address, size=1200, count=1000, rate=1000)
    assert is_clean(figures), figures
    assert exchange(lab["peer-v6"], client.address, 0, 1, 1200, 1201, 1200) == {
        "same": [0, 1, 1200, 1200], "different": [], "missing": [1201]}
    # Larger payloads were probed, and none was accepted.
    payloads = [line for line in client.proc.text().splitlines() if line.startswith("max payload")]
    assert payloads[-1] == "max payload 1200"
