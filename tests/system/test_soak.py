# SPDX-License-Identifier: GPL-3.0-or-later
"""A short soak: `make soak` is the long one."""
import balance
import daemon
import soak
from lab import Lab

SECONDS = 30


def test_at_half_load_all_bytes_are_accounted_for_and_nothing_grows(root, build, tmp_path):
    with Lab(soak.network(), build=build) as lab:
        report = soak.Soak(lab, tmp_path, SECONDS, daemon.chosen_datapath() or "xdp").run()
    assert report["wrong"] == [], "\n".join([*report["wrong"], str(report)])
    assert report["rounds"] == report["killed"] >= soak.ROUNDS_MIN
    steady = report["steady"]
    assert all(one["received"] for one in steady) and any(one["capsules"] for one in steady)


def test_the_balance_notices_missing_datagrams():
    names = {*balance.DATAGRAM_DROPS, *balance.DATAGRAM_MAYBE, *balance.STEERED_MAYBE,
             "datagrams_in", "datagrams_out", "capsules_in", "capsules_out", "rx_peer_packets",
             "rx_target_packets", "tx_target_packets", "rx_kernel_packets"}

    def reading(xdp=None, **relay):
        return {"relay": {name: relay.get(name, 0) for name in names}, "xdp": xdp or {},
                "sockets": {}}

    nothing = reading()
    came = {"datagrams_in": 10, "rx_target_packets": 10, "rx_kernel_packets": 10}
    all_out = reading(**came, tx_target_packets=8, datagrams_out=10, drop_sojourn=2)
    one_short = reading(**came, tx_target_packets=8, datagrams_out=9, drop_sojourn=2)
    perhaps = reading(**came, tx_target_packets=8, datagrams_out=9, drop_sojourn=2, drop_stale=1)
    twice = reading(**came, tx_target_packets=11, datagrams_out=10)
    assert balance.errors(nothing, all_out) == balance.errors(nothing, perhaps) == []
    for wrong in (one_short, twice):
        assert [text.partition(":")[0] for text in balance.errors(nothing, wrong)] == ["datagrams"]
    steered = reading({"xdp_seen": 3, "xdp_steer_conn": 2, "xdp_pass_not_ip": 1},
                      rx_peer_packets=1)
    assert [text.partition(":")[0] for text in balance.errors(nothing, steered)] == ["steered"]
    unseen = reading({"xdp_seen": 3, "xdp_pass_not_ip": 1})
    assert [text.partition(":")[0] for text in balance.errors(nothing, unseen)] == ["frames"]
