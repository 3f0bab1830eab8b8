# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs of the NAT lab of which one or both have IPv6 alone; `make nat-lab` has all."""
import pytest

import nat_lab


@pytest.mark.parametrize("a, b, ends", [
    ("v6-firewall", "v6-firewall", "D"),
    ("v6-open", "v6-firewall", "D"),
    ("port-restricted", "v6-open", "R"),    # the relay is between the families
])
def test_peers_with_ipv6_reach_each_other(root, build, when_quiet, a, b, ends):
    met = list(nat_lab.run_pair(a, b, delay=20))
    assert len(met) == 2, met    # each dials once
    for one in met:
        assert one["got"] != "-" and one["sent"], one
        assert ends == one["expected"], one
        when_quiet(one["got"] == ends and not one["lost"], one)
