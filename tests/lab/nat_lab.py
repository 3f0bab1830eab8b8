#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""nat_lab.py [--out FILE] [--only KIND]... [--delay MS]   two peers behind NATs of each kind.

Each kind of NAT against each, and hosts that have IPv6 alone, both dialling: `culvert listen` and
`culvert connect` at one relay, and datagrams there and back while the connection leaves the relay, if
it can.  Prints the matrix and what was measured, and writes FILE (build/nat.json):

    {"pairs": [{"a": listener's kind, "b": dialler's, "expected": "D" or "R", "got": the same or "-",
                "first_byte_ms", "direct_ms" (after up; null: none), "sent", "lost"}, ...]}

D: the connection is direct within 5 s; R: it stays with the relay; -: it was never up.  Exit status 1
when anything is not as expected.
"""
import argparse
import json
import re
import sys
import tempfile
import time
from pathlib import Path

import daemon
import topology
from lab import Lab, build_folder
from netns import LabError

KINDS = ("open", "full-cone", "address-restricted", "port-restricted", "symmetric", "cgnat",
         *topology.IPV6_KINDS)
RELAYED = {frozenset(pair) for pair in (("symmetric",), ("symmetric", "port-restricted"),
                                        ("symmetric", "cgnat"))}
LIMIT_SEC = 5


def expected(a, b):
    one_family = (a in topology.IPV6_KINDS) == (b in topology.IPV6_KINDS)
    return "D" if one_family and frozenset((a, b)) not in RELAYED else "R"


def path_of(client):
    """The path that a connection moved to last, as "direct 198.18.4.101:40000"; None: to none."""
    found = re.findall(r"^path \S+ by (\S+ \S+),", client.proc.text(), re.M)
    return found[-1] if found else None


def wait_direct(client, since):
    """Milliseconds until the connection was direct; None: it is not within the limit."""
    while time.monotonic() - since < LIMIT_SEC:
        if (path_of(client) or "").startswith("direct "):
            return round((time.monotonic() - since) * 1000)
        time.sleep(0.01)
    return None


def meet(lab, relay, folder, listener, dialler):
    """What became of a connection: got, first_byte_ms, direct_ms, sent, lost."""
    ids = {side: folder / side for side in ("a", "b")}
    for side, file in ids.items():
        lab[f"peer-{side}"].run([lab.build / "culvert", "id", "--identity", file])
    echo = daemon.echo(lab[f"peer-{listener}"])
    server = daemon.Listen(lab[f"peer-{listener}"], relay, ids[listener], "127.0.0.1:7000").wait()
    client = daemon.Connect(lab[f"peer-{dialler}"], server.ticket, ids[dialler], *server.at)
    try:
        up = client.proc.wait_line(r"^up .* after (\d+) ms$", 20)
        since = time.monotonic()
        client.wait()
        busy = daemon.start_load(client.peer, client.address, size=400, count=1200, rate=300)
        direct = wait_direct(client, since)
        figures = daemon.load_of(busy)
        return {"got": "R" if direct is None else "D", "first_byte_ms": int(up.group(1)),
                "direct_ms": direct, "sent": figures["sent"], "lost": figures["lost"]}
    except LabError as error:
        return {"got": "-", "first_byte_ms": None, "direct_ms": None, "sent": 0, "lost": 0,
                "why": str(error).splitlines()[0]}
    finally:
        client.stop()
        server.stop()
        echo.stop()


def run_pair(a, b, delay):
    """Both of them dialling."""
    hop = ("--delay", str(delay)) if delay else None
    with tempfile.TemporaryDirectory() as folder, \
            Lab(topology.nat_pair(a, b, hop), build=build_folder()) as lab:
        relay = daemon.Relay(lab["relay"], Path(folder)).start()
        try:
            for listener, dialler, kinds in (("a", "b", (a, b)), ("b", "a", (b, a))):
                yield {"a": kinds[0], "b": kinds[1], "expected": expected(a, b),
                       **meet(lab, relay, Path(folder), listener, dialler)}
        finally:
            relay.stop()


def print_matrix(pairs, kinds):
    got = {(p["a"], p["b"]): p for p in pairs}
    print(f"\n{'listener, dialler:':20}" + "".join(f"{k:>20}" for k in kinds))
    for a in kinds:
        cells = []
        for b in kinds:
            p = got[a, b]
            ms = "" if p["direct_ms"] is None else f" {p['direct_ms']} ms"
            cells.append(f"{p['got']}{ms}{'' if p['got'] == p['expected'] else ' !'}")
        print(f"{a:20}" + "".join(f"{cell:>20}" for cell in cells))


def print_figures(pairs):
    direct = sorted(p["direct_ms"] for p in pairs if p["direct_ms"] is not None)
    first = sorted(p["first_byte_ms"] for p in pairs if p["first_byte_ms"] is not None)
    lost, sent = sum(p["lost"] for p in pairs), sum(p["sent"] for p in pairs)
    wrong = [p for p in pairs if p["got"] != p["expected"]]
    for name, found in (("first byte", first), ("direct", direct)):
        if found:
            print(f"{name}: p50 {found[len(found) // 2]} ms, p95 {found[len(found) * 95 // 100]} ms, "
                  f"max {found[-1]} ms")
    print(f"{len(direct)} of {len(pairs)} direct, {len(wrong)} not as expected, "
          f"{lost} of {sent} datagrams lost")
    for p in wrong:
        print(f"  {p['b']} dials {p['a']}: {p['got']}, not {p['expected']} {p.get('why', '')}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=build_folder() / "nat.json")
    parser.add_argument("--only", action="append", choices=KINDS)
    parser.add_argument("--delay", type=int, default=20, help="milliseconds at each peer, one way")
    args = parser.parse_args()
    kinds = args.only or KINDS
    pairs = []
    for i, a in enumerate(kinds):
        for b in kinds[i:]:
            for pair in run_pair(a, b, args.delay):
                pairs.append(pair)
                print(f"{pair['b']} dials {pair['a']}: {pair['got']}"
                      + (f" after {pair['direct_ms']} ms" if pair["direct_ms"] else ""), flush=True)
    args.out.write_text(json.dumps({"pairs": pairs}, indent=1) + "\n", encoding="ascii")
    print_matrix(pairs, kinds)
    print_figures(pairs)
    return any(p["got"] != p["expected"] for p in pairs)


if __name__ == "__main__":
    sys.exit(main())
