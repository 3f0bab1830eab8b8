# SPDX-License-Identifier: GPL-3.0-or-later
"""The balance of a relay's counters: every datagram received is sent, or in a counter of drops.

    before = balance.take(relay)
    ...                                    # traffic, until no queue holds anything
    assert balance.errors(before, balance.take(relay)) == []

Three equations over the difference of two readings:

    frames      XDP passes, steers or drops each frame that it sees, and counts the verdict.
    steered     Frames that XDP steered reach a worker, or the kernel counts a full ring.
    datagrams   Datagrams from peers and targets go to targets and peers, or are dropped.

A counter that belongs to two equations, or that also counts other things than datagrams, cannot be
exact: at most as much as these counters show may be missing.  Where they did not move, as is usual,
the equation is exact.
"""

# Each counts tunnelled datagrams and nothing else.
DATAGRAM_DROPS = (
    "drop_wrong_remote", "drop_datagram_malformed", "drop_unknown_stream", "drop_unknown_context",
    "drop_closed_context", "drop_bad_remote", "drop_unknown_remote", "drop_refused_remote",
    "drop_remotes_full", "drop_early_full", "drop_early_expired", "drop_too_big_peer",
    "drop_too_big_target", "drop_queue_full", "drop_sojourn", "drop_closed", "drop_no_neighbour")
# Count datagrams, but also QUIC packets, or datagrams that are counted elsewhere.
DATAGRAM_MAYBE = ("drop_no_frame", "drop_no_route", "drop_stale", "drop_capsule_backlog",
                  "drop_link_gone")
STEERED_MAYBE = ("drop_stale", "drop_malformed", "drop_checksum", "drop_handoff_full",
                 "drop_unknown", "drop_link_gone")


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
    """xdp_seen = the sum of all verdicts"""
    verdicts = sum(n for name, n in d["xdp"].items()
                   if name.startswith("xdp_") and name != "xdp_seen")
    return d["xdp"].get("xdp_seen", 0) - verdicts, 0


def _steered(d):
    """steered = packets from peers and targets, less those from kernel sockets
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
    received = r["datagrams_in"] + r["capsules_in"] + r["rx_target_packets"]
    sent = r["datagrams_out"] + r["capsules_out"] + r["tx_target_packets"]
    return received - sent - sum(r[name] for name in DATAGRAM_DROPS), \
        sum(r[name] for name in DATAGRAM_MAYBE)


def datagram_errors(moved):
    """The third equation alone, over the counters of a client."""
    missing, maybe = _datagrams({"relay": moved})
    return [] if 0 <= missing <= maybe else [f"datagrams: {missing} missing, {maybe} may be"]


EQUATIONS = {"frames": _frames, "steered": _steered, "datagrams": _datagrams}


def errors(before, after):
    """The equations that do not hold, as text; empty when all is accounted for."""
    d = difference(before, after)
    found = []
    for name, equation in EQUATIONS.items():
        missing, maybe = equation(d)
        if not 0 <= missing <= maybe:
            moved = {key: n for part in d.values() for key, n in part.items() if n}
            found.append(f"{name}: {missing} missing, {maybe} may be elsewhere; {moved}")
    return found
