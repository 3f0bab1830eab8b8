# SPDX-License-Identifier: GPL-3.0-or-later
"""The balance of a relay's counters: every datagram in is out, or in a counter that says why not.

    before = balance.take(relay)
    ...                                    # traffic, and then quiet: nothing waits in a queue
    assert balance.errors(before, balance.take(relay)) == []

Three equations over the difference of two readings:

    frames      XDP sees a frame and leaves by one way: passed, steered, or dropped with a reason.
    steered     What XDP steered arrives at a worker, or the kernel says that its ring was full.
    datagrams   What came from peers and targets went to targets and peers, or was dropped.

A counter that a term of two equations may have moved, or that also counts things which are no
datagram, cannot be exact: what is missing may be as much as these counters say, and not more.
Where they did not move, and mostly they do not, the equation is exact.
"""

# Each is of one tunnelled datagram, and of nothing else.
DATAGRAM_DROPS = (
    "drop_wrong_remote", "drop_datagram_malformed", "drop_unknown_stream", "drop_unknown_context",
    "drop_closed_context", "drop_bad_remote", "drop_unknown_remote", "drop_refused_remote",
    "drop_remotes_full", "drop_early_full", "drop_early_expired", "drop_too_big_peer",
    "drop_too_big_target", "drop_queue_full", "drop_sojourn", "drop_closed", "drop_no_neighbour")
# Of datagrams, but also of QUIC packets or of what is counted as in or out elsewhere.
DATAGRAM_MAYBE = ("drop_no_frame", "drop_no_route", "drop_stale", "drop_capsule_backlog")
STEERED_MAYBE = ("drop_stale", "drop_malformed", "drop_checksum", "drop_handoff_full",
                 "drop_unknown")


def take(relay):
    """A reading: counters of the relay, of XDP, and of the kernel's AF_XDP sockets; and the names of
    those that are drops."""
    status, sockets = relay.ctl("status"), {"rx_dropped": 0, "rx_ring_full": 0}
    dropped = relay.ctl("drops")
    for worker in relay.ctl("workers")["workers"]:
        for one in worker.get("sockets") or []:
            for name in sockets:
                sockets[name] += one[name]
    return {"relay": status["counters"], "sockets": sockets,
            "xdp": {name: one["packets"] for name, one in (status["xdp"] or {}).items()},
            "drops": {*dropped["total"], *(dropped["xdp"] or {})}}


def difference(before, after):
    return {part: {name: n - before[part].get(name, 0) for name, n in after[part].items()}
            for part in after if part != "drops"}


def drops(before, after):
    """What was dropped in between, {"drop_sojourn": 3, "xdp_drop_denied": 1}."""
    both = difference(before, after)
    return {name: n for part in ("relay", "xdp") for name, n in both[part].items()
            if n and name in after["drops"]}


def _frames(d):
    """xdp_seen = the sum of all ways out"""
    ways = sum(n for name, n in d["xdp"].items() if name != "xdp_seen")
    return d["xdp"].get("xdp_seen", 0) - ways, 0


def _steered(d):
    """steered = packets from peers and targets, less those that came by a kernel socket
                 + frames the kernel dropped before a socket"""
    if not d["xdp"]:
        return 0, 0
    r = d["relay"]
    steered = sum(n for name, n in d["xdp"].items() if name.startswith("xdp_steer_"))
    taken = r["rx_peer_packets"] + r["rx_target_packets"] - r["rx_kernel_packets"] + \
        sum(d["sockets"].values())
    return steered - taken, sum(r[name] for name in STEERED_MAYBE)


def _datagrams(d):
    """from peers + from targets = to peers + to targets + drops"""
    r = d["relay"]
    came = r["datagrams_in"] + r["capsules_in"] + r["rx_target_packets"]
    went = r["datagrams_out"] + r["capsules_out"] + r["tx_target_packets"]
    return came - went - sum(r[name] for name in DATAGRAM_DROPS), \
        sum(r[name] for name in DATAGRAM_MAYBE)


def datagram_errors(moved):
    """The third equation alone, over counters of what is no relay but a client on its modules."""
    missing, maybe = _datagrams({"relay": moved})
    return [] if 0 <= missing <= maybe else [f"datagrams: {missing} missing, {maybe} may be"]


EQUATIONS = {"frames": _frames, "steered": _steered, "datagrams": _datagrams}


def errors(before, after):
    """The equations that do not hold, in words; empty when all is accounted for."""
    d = difference(before, after)
    found = []
    for name, equation in EQUATIONS.items():
        missing, maybe = equation(d)
        if not 0 <= missing <= maybe:
            moved = {key: n for part in d.values() for key, n in part.items() if n}
            found.append(f"{name}: {missing} missing, {maybe} may be elsewhere; {moved}")
    return found
