# SPDX-License-Identifier: GPL-3.0-or-later
"""From samples to medians, ratios, a table and plots."""
import json
import shutil
import statistics
import subprocess

# name: (goal, whether more is better)
GOALS = {
    "tunnel_1200_vs_masque_go": (5, True),
    "tunnel_1200_vs_coturn": (2, True),
    "tunnel_1200_vs_udp_forwarder": (1.2, True),
    "tunnel_1200_vs_xsk_floor": (0.6, True),
    "tunnel_64_vs_tunnel_1200": (1, True),
    "latency_p50_vs_direct": (2, False),
    "latency_p50_vs_udp_forwarder": (1.3, False),
    "latency_p99_vs_udp_forwarder": (1.5, False),
    "wire_overhead_1200": (0.04, False),
    "tunnels_10000_vs_1": (0.8, True),
    "handshakes_per_core_s": (1500, True),
    "bytes_per_idle_connection": (65536, False),
    "storm_p99_vs_quiet": (1.5, False),
    "cost_20pct_vs_saturated": (1.6, False),
    "idle_worker_cpu": (0.01, False),
}

# The part that a ratio needs beside floors and tunnel.
PART_OF = {
    "tunnel_1200_vs_masque_go": "masque-go",
    "tunnel_1200_vs_coturn": "coturn",
    "tunnel_1200_vs_udp_forwarder": "floors",
    "tunnel_1200_vs_xsk_floor": "floors",
    "tunnel_64_vs_tunnel_1200": "tunnel",
    "latency_p50_vs_direct": "latency",
    "latency_p50_vs_udp_forwarder": "latency",
    "latency_p99_vs_udp_forwarder": "latency",
    "wire_overhead_1200": "latency",
    "tunnels_10000_vs_1": "scale",
    "handshakes_per_core_s": "handshakes",
    "bytes_per_idle_connection": "memory",
    "storm_p99_vs_quiet": "handshakes",
    "cost_20pct_vs_saturated": "low-rate",
    "idle_worker_cpu": "low-rate",
}


def worst(*values):
    """The more expensive direction; None unless both were measured."""
    return None if None in values else max(values)


def less(a, b):
    return None if a is None or b is None else a - b


def over(a, b):
    return None if a is None or b is None or not b else a / b


def redirection(value, size, suffix=""):
    """The cost of redirecting a datagram to a client that has to acknowledge, beyond dropping it:
    veth charges it to the sender, though it is the far end's work."""
    more = less(value(f"floor_xsk_handed_{size}{suffix}"), value(f"floor_xsk_{size}{suffix}"))
    return None if more is None else max(more, 0)


def cost(value, prefix, size, suffix=""):
    """A relay's cost for each datagram: the more expensive direction, with far ends that drop."""
    back = less(value(f"{prefix}_to_peer_{size}{suffix}"), redirection(value, size, suffix))
    return worst(value(f"{prefix}_to_target_{size}{suffix}"), back)


def derived(value):
    """Figures derived from the samples of one round.  value(name): a sample of it, or None."""
    sizes = (64, 512, 1200)
    found = {f"cost_tunnel_{size}": cost(value, "tunnel", size) for size in sizes}
    found |= {f"handing_{size}": redirection(value, size) for size in sizes}
    found["cost_tunnel_1200_20pct"] = cost(value, "tunnel", 1200, "_20pct")
    for number in (1, 100, 1000, 10000):
        found[f"scale_tunnels_{number}"] = cost(value, f"scale_tunnels_{number}", 1200)
    found["cost_masque_go_1200"] = cost(value, "masque_go", 1200)
    for which in ("coturn", "coturn_newest", "nginx"):
        found[f"cost_{which}_1200"] = worst(value(f"{which}_to_target_1200"),
                                            value(f"{which}_to_peer_1200"))
    return {name: one for name, one in found.items() if one is not None}


def ratios_of(value):
    """All ratios of one round.  value(name): a sample or derived figure of it, or None."""
    ours = value("cost_tunnel_1200")
    return {
        "tunnel_1200_vs_masque_go": over(value("cost_masque_go_1200"), ours),
        "tunnel_1200_vs_coturn": over(value("cost_coturn_1200"), ours),
        "tunnel_1200_vs_udp_forwarder": over(value("floor_udp_1200"), ours),
        "tunnel_1200_vs_xsk_floor": over(value("floor_xsk_1200"), ours),
        "tunnel_64_vs_tunnel_1200": over(ours, value("cost_tunnel_64")),
        "latency_p50_vs_direct": over(value("latency_relayed_p50"), value("latency_direct_p50")),
        "latency_p50_vs_udp_forwarder": over(value("latency_relayed_p50"),
                                             value("latency_forwarder_p50")),
        "latency_p99_vs_udp_forwarder": over(value("latency_relayed_p99"),
                                             value("latency_forwarder_p99")),
        "wire_overhead_1200": value("wire_overhead_1200"),
        "tunnels_10000_vs_1": over(value("scale_tunnels_1"), value("scale_tunnels_10000")),
        "handshakes_per_core_s": value("handshakes_per_core_s"),
        "bytes_per_idle_connection": value("bytes_per_idle_connection"),
        "storm_p99_vs_quiet": over(value("storm_p99"), value("quiet_p99")),
        "cost_20pct_vs_saturated": over(value("cost_tunnel_1200_20pct"), ours),
        "idle_worker_cpu": value("idle_worker_cpu"),
    }


class Report:
    def __init__(self, about, samples, missing):
        """samples: {name: [{"value", "unit", "round", ...}]}; missing: {part: why}."""
        self.about, self.missing = about, missing
        self.samples = {name: list(found) for name, found in samples.items()}
        self.rounds = 1 + max((one["round"] for found in samples.values() for one in found),
                              default=0)
        for number in range(self.rounds):
            for name, value in derived(lambda name, n=number: self._value(name, n)).items():
                self.samples.setdefault(name, []).append(
                    {"value": round(value, 4), "unit": "us", "round": number, "derived": True})
        self.medians = {name: statistics.median(one["value"] for one in found)
                        for name, found in self.samples.items()}
        self.ratios = self._ratios()

    def _ratios(self):
        """Medians of the ratios of each round, whose figures were measured within minutes."""
        by_round = [ratios_of(lambda name, r=r: self._value(name, r)) for r in range(self.rounds)]
        found = {}
        for name, (goal, more) in GOALS.items():
            values = [one[name] for one in by_round if one[name] is not None]
            if not values:
                found[name] = {"value": None, "goal": goal, "met": None, "reason": self._why(name)}
                continue
            value = statistics.median(values)
            found[name] = {"value": round(value, 4), "goal": goal, "at_least": more,
                           "met": value >= goal if more else value <= goal,
                           "rounds": [round(v, 4) for v in values]}
        return found

    def _value(self, name, number):
        found = [one["value"] for one in self.samples.get(name, ()) if one["round"] == number]
        return statistics.median(found) if found else None

    def _why(self, name):
        part = PART_OF.get(name)
        return "not measured: " + self.missing.get(part, f"part {part} was not chosen")

    def json(self):
        # Other programs read the values alone; goals and rounds are beside them.
        return {"about": self.about,
                "ratios": {name: one["value"] for name, one in self.ratios.items()},
                "goals": self.ratios, "not_measured": self.missing,
                "medians": {name: {"median": round(value, 4),
                                   "least": min(one["value"] for one in self.samples[name]),
                                   "most": max(one["value"] for one in self.samples[name]),
                                   "unit": self.samples[name][0]["unit"]}
                            for name, value in self.medians.items()},
                "samples": self.samples}

    # ---- text ----

    def table(self):
        lines = ["# What was measured", "", f"{self.about['culvertd']}, kernel "
                 f"{self.about['kernel']}, {self.about['cores']} x {self.about['cpu']}, "
                 f"{self.rounds} rounds, {self.about['when']}", "",
                 "| ratio | value | goal | |", "| --- | ---: | ---: | --- |"]
        for name, one in self.ratios.items():
            sign = ">=" if GOALS[name][1] else "<="
            shown = "not measured" if one["value"] is None else f"{one['value']:.6g}"
            verdict = {True: "met", False: "missed", None: one.get("reason", "")}[one["met"]]
            lines.append(f"| {name} | {shown} | {sign} {GOALS[name][0]} | {verdict} |")
        lines += ["", "| figure | median | spread | unit | |", "| --- | ---: | ---: | --- | --- |"]
        for name, found in self.samples.items():
            values = [one["value"] for one in found]
            facts = " ".join(f"{key}={value}" for key, value in found[-1].items()
                             if key not in ("value", "unit", "round") and value is not None)
            lines.append(f"| {name} | {self.medians[name]:.6g} | {min(values):.6g} to "
                         f"{max(values):.6g} | {found[0]['unit']} | {facts} |")
        lines += ["", *(f"Not measured: {part}: {why}" for part, why in self.missing.items())]
        return "\n".join(lines) + "\n"

    # ---- plots ----

    def bars(self, title, names, unit="us", log_from=None):
        """A gnuplot program for bars of medians with their spread; None without any.

        log_from: where a logarithmic axis begins, for figures that differ by powers of ten."""
        names = [name for name in names if name in self.samples]
        if not names:
            return None
        rows = []
        for number, name in enumerate(names):
            values = [one["value"] for one in self.samples[name]]
            label = name.replace("_", " ")
            rows.append(f'{number} {self.medians[name]:.5g} {min(values):.5g} {max(values):.5g} '
                        f'"{label}"')
        return (f'set title "{title}"\nset ylabel "{unit}"\n'
                + (f"set logscale y\nset yrange [{log_from}:*]\n" if log_from
                   else "set yrange [0:*]\n") +
                "set boxwidth 0.7\nset style fill solid 0.6\nset grid ytics\n"
                "set xtics rotate by -35\nset bmargin 9\nset rmargin 12\nunset key\n"
                "$data << EOD\n" + "\n".join(rows) + "\nEOD\n"
                "plot $data using 1:2:xtic(5) with boxes lc rgb '#4878a8', "
                "$data using 1:2:3:4 with yerrorbars lc rgb '#303030' pt 0\n")

    def plots(self):
        """{file stem: gnuplot program}"""
        sizes = (64, 512, 1200)
        lines = {
            "cost": self.bars("CPU for each relayed datagram of 1200 bytes", [
                "floor_xsk_1200", "floor_udp_gso_1200", "floor_udp_1200", "cost_tunnel_1200",
                "tunnel_to_target_1200", "tunnel_to_peer_1200", "coturn_to_target_1200",
                "coturn_to_peer_1200", "coturn_newest_to_target_1200",
                "nginx_to_target_1200", "nginx_to_peer_1200", "masque_go_to_target_1200",
                "masque_go_to_peer_1200"]),
            "sizes": self.bars("CPU for each datagram, by size", [
                f"{what}_{size}" for what in ("floor_xsk", "floor_udp", "tunnel_to_target",
                                              "tunnel_to_peer") for size in sizes]),
            "families": self.bars("Families of peer and target, 1200 bytes", [
                f"families_{a}{b}_{direction}_1200" for a in (4, 6) for b in (4, 6)
                for direction in ("to_target", "to_peer")]),
            "scale": self.bars("CPU for each datagram, by number of tunnels", [
                f"scale_tunnels_{n}" for n in (1, 100, 1000, 10000)]),
            "conns": self.bars("CPU for each datagram, by number of connections", [
                f"scale_conns_{n}_{direction}_1200" for n in (10, 100, 1000)
                for direction in ("to_target", "to_peer")]),
            "latency": self.bars("Round trip of 200 bytes", [
                f"latency_{path}_{p}" for path in ("direct", "forwarder", "relayed", "loaded")
                for p in ("p50", "p90", "p99", "p999")], log_from=10),
        }
        return {stem: text for stem, text in lines.items() if text}

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps(self.json(), indent=1) + "\n")
        (folder / "table.md").write_text(self.table())
        if not shutil.which("gnuplot"):
            print("no gnuplot: no plots", flush=True)
            return
        for stem, text in self.plots().items():
            head = f"set terminal svg size 960,520 dynamic\nset output '{folder / stem}.svg'\n"
            subprocess.run(["gnuplot"], input=head + text, text=True, check=True)
