# SPDX-License-Identifier: GPL-3.0-or-later
"""The cost of forwarding a datagram: CPU time of the cheapest of several attempts."""
import contextlib

from rig import BenchError, Spent, shared_core

# Bursts of 64 with pauses as long as so many more would take: the rate depends on the machine.
FLOODS = (("flood", 64, 128), ("flood", 64, 1024))


def cheapest(bench, name, attempts, attempt, saturated=False):
    """Keep the cheapest attempt, because the rate that saturates one program overwhelms another.

    attempt(one) returns (microseconds, facts), or None when next to nothing got through.
    saturated: the program gets less time than the load needs; its cost with a core to itself is kept
    beside the sample, as `alone`."""
    with shared_core() if saturated else contextlib.nullcontext():
        found = [one for one in map(attempt, attempts) if one]
    if not found:
        raise BenchError(f"{name}: next to nothing got through")
    cost, facts = min(found, key=lambda one: one[0])
    if len(found) > 1:
        facts["tried"] = [round(one[0], 3) for one in found]
    if saturated:
        alone = attempt(attempts[-1])
        facts["alone"] = round(alone[0], 3) if alone else None
    bench.keep(name, cost, **facts)


def per_datagram(made, datagrams):
    """CPU of a load program, in us."""
    return round(made["cpu_ns"] / 1000 / max(datagrams, 1), 3)


def cost_of(spent, done, made, took_ns, **facts):
    """The result of an attempt, for cheapest."""
    if done < 100:
        return None
    total, user = spent.since()
    return total / 1000 / done, {
        "datagrams": done, "offered": made, "per_sec": int(done * 1e9 / took_ns),
        "busy": round(total / took_ns, 2),
        **({} if user is None else {"user_us": round(total / 1000 / done * user, 3),
                                    "kernel_us": round(total / 1000 / done * (1 - user), 3)}),
        **facts}


def flooded(bench, name, pid, far, load, commands=FLOODS, tids=None, counted="packets", **facts):
    """CPU of a process, or of some of its threads, for each datagram that got through.

    counted: the far end's counter of those."""
    def attempt(command):
        before, spent = far.ask("count")[counted], Spent(pid, tids)
        made = load.ask(command[0], load.rig.msec, *command[1:])
        return cost_of(spent, far.ask("count")[counted] - before, made["sent"],
                       made["took_ns"], **facts)
    cheapest(bench, name, commands, attempt, saturated=commands is FLOODS)


def out(bench, name, load, far, size, rates, pid, tids=None, saturated=False, **facts):
    """Tunnel datagrams toward targets that drop them."""
    def attempt(rate):
        before, spent = far.ask("count")["packets"], Spent(pid, tids)
        made = load.ask("send", size, rate, load.rig.msec)
        done = far.ask("count")["packets"] - before
        return cost_of(spent, done, made["offered"], made["took_ns"],
                       load_us=per_datagram(made, done), **facts)
    cheapest(bench, name, rates, attempt, saturated)


def back(bench, name, load, raw, commands, pid, tids=None, **facts):
    """Datagrams from a target, through tunnels, to a client that acknowledges them."""
    def attempt(command):
        spent = Spent(pid, tids)
        load.command("listen", load.rig.msec + 100)
        made, got = raw.ask(command[0], load.rig.msec, *command[1:]), load.answer()
        if got["corrupted"]:
            raise BenchError(f"{name}: {got['corrupted']} datagrams came corrupted")
        return cost_of(spent, got["received"], made["sent"], made["took_ns"],
                       load_us=per_datagram(got, got["received"]), **facts)
    cheapest(bench, name, commands, attempt, saturated=commands is FLOODS)
