# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay tells who asks by STUN at which address it sees them, on every rung by the same rules."""
import json
import sys
from pathlib import Path

import pytest

import daemon
from daemon import is_clean, load
from prometheus_client.parser import text_string_to_metric_families
from test_metrics import get

ASK = Path(daemon.__file__).with_name("stun_ask.py")
DATAPATHS = ("xdp", "sock")
BURST = 20
PER_SEC = 10
# (who answers, data path, key in the configuration)
RUNGS = {
    "native": ("xdp", "xdp", 'reflect { xdp = "always" }'),
    "native-veth": ("control", "xdp", ""),
    "generic": ("xdp", "generic", ""),
    "generic-never": ("control", "generic", 'reflect { xdp = "never" }'),
    "sock": ("control", "sock", ""),
}
CONFIG = daemon.CONFIG + 'metrics { listen = "127.0.0.1:9845" }\n'


class Rung:
    """A relay on one rung."""

    def __init__(self, relay, name):
        self.relay, self.name = relay, name
        self.by = RUNGS[name][0]

    def count(self, what):
        """answered, limited or malformed, wherever."""
        names = {"answered": ("stun_answers", "xdp_answer_stun"),
                 "limited": ("drop_stun_limit", "xdp_drop_stun_limit"),
                 "malformed": ("drop_stun_malformed", "xdp_drop_stun_malformed")}[what]
        status = self.relay.ctl("status")
        return (status["counters"][names[0]],
                status["xdp"][names[1]]["packets"] if status["xdp"] else 0)


@pytest.fixture(scope="module", params=RUNGS)
def rung(request, lab, build, logs, tmp_path_factory):
    _, datapath, keys = RUNGS[request.param]
    chosen = daemon.chosen_datapath()
    if chosen and chosen != datapath:
        pytest.skip(f"on {datapath} only")
    if request.param == "native":    # see pass.bpf.c
        spaces = lab.spaces()
        for network, port in (("net4", "relay"), ("net6", "relay")):
            daemon.netns.call(["ip", "-n", spaces[network], "link", "set", "dev", port, "xdp",
                               "object", build / "bpf/pass.bpf.o", "section", "xdp"])
    relay = daemon.Relay(lab["relay"], tmp_path_factory.mktemp("r"), datapath=datapath,
                         config=CONFIG % {"datapath": datapath} + keys + "\n",
                         log=logs / f"culvertd-{request.param}.log")
    relay.start()
    yield Rung(relay, request.param)
    relay.stop()
    if request.param == "native":
        for network, port in (("net4", "relay"), ("net6", "relay")):
            daemon.netns.call(["ip", "-n", spaces[network], "link", "set", "dev", port, "xdp",
                               "off"])


def ask(host, rung, *options, at=None):
    at = at or rung.relay.address(4 if host.addr4 else 6)
    said = host.json([sys.executable, ASK, *options, at])
    assert said["bad"] == []
    return said


@pytest.mark.parametrize("peer", ("peer-v4", "peer-v6"))
@pytest.mark.parametrize("fingerprint", (False, True))
def test_who_asks_learns_the_address_it_is_seen_at(lab, rung, peer, fingerprint):
    before = rung.count("answered")
    said = ask(lab[peer], rung, *["--fingerprint"][:fingerprint])
    assert said["seen"] == [said["local"]]
    after = rung.count("answered")
    by_control, by_xdp = (b - a for a, b in zip(before, after))
    assert (by_control, by_xdp) == ((0, 1) if rung.by == "xdp" else (1, 0))


def test_ip_options_are_no_matter(lab, rung):
    said = ask(lab["peer-v4"], rung, "--ip-options")
    assert said["seen"] == [said["local"]]


def test_what_is_not_a_bare_request_is_counted(lab, rung):
    header = "2112a442" + 12 * "ab"
    before = sum(rung.count("malformed"))
    for raw in ("0011" "0000" + header, "0001" "0008" + header + "0003000400000006",
                "0101" "0000" + header, "0001" "0008" + header + "8028000400000000"):
        assert ask(lab["target-v4"], rung, "--raw", raw)["answers"] == []
    assert sum(rung.count("malformed")) == before + 4


def test_a_tagged_frame_is_answered_with_its_tag(lab, rung):
    if rung.by != "xdp":
        pytest.skip("the kernel here has no VLAN devices")
    links = json.loads(lab["relay"].ip("-j", "link", "show", "v4"))
    said = ask(lab["peer-v4"], rung, "--vlan", 7, "--mac", links[0]["address"], "--interface",
               "v4", "--from", lab["peer-v4"].addr4 + ":40007")
    assert said["seen"] == [[lab["peer-v4"].addr4, 40007]] and said["tags"] == [7]


def flood(host, rung, seconds, rate=1000000):
    return host.start(["nice", "-n", "19", host.lab.tool("storm"), "--kind", "stun", "--rate", rate,
                       "--seconds", seconds, rung.relay.address(4 if host.addr4 else 6)],
                      name="storm")


def test_a_flood_is_answered_within_its_bucket_and_a_tunnel_loses_nothing(
        lab, rung, forward, targets):
    """The hog floods the tunnel's own port; the bystander's STUN is answered all the same."""
    hog, bystander = lab["peer-v6"], lab["target-v4"]
    client = forward("peer-v4", rung.relay, targets["target-v4"])
    assert is_clean(load(client.peer, client.address, count=50))
    before = {what: sum(rung.count(what)) for what in ("answered", "limited")}
    seconds = 4
    storm = flood(hog, rung, seconds)
    figures = load(client.peer, client.address, rate=1000, count=2000, size=600, wait=1000)
    said = ask(bystander, rung)
    seen = daemon.result_of(storm)
    assert is_clean(figures), figures
    assert said["seen"] == [said["local"]]
    grown = {what: sum(rung.count(what)) - n for what, n in before.items()}
    print(f"{rung.name}: of {seen['started']} in {seen['seconds']} s {seen['answers']} answered; "
          f"{grown}")
    assert 0 < seen["answers"] <= BURST + PER_SEC * (seen["seconds"] + 1)
    assert seen["answers"] <= grown["answered"] - 1 <= BURST + PER_SEC * (seen["seconds"] + 1)
    assert grown["limited"] > 10 * grown["answered"]
    assert rung.relay.ctl("status")["counters"]["handshakes"] >= 1


def test_metrics_have_answers_of_xdp_and_of_control(lab, rung):
    ask(lab["target-v6"], rung)
    text = get(rung.relay.host)[2]
    found = {s.labels["result"]: s.value for family in text_string_to_metric_families(text)
             for s in family.samples if s.name == "culvert_reflect_answers_total"}
    assert found == {"stun": sum(rung.count("answered")), "limited": sum(rung.count("limited")),
                     "malformed": sum(rung.count("malformed"))}
    assert found["stun"] > 0


def test_it_can_be_switched_off(lab, start_relay, datapath):
    relay = start_relay("relay-v4only", datapath=datapath,
                        config=daemon.CONFIG % {"datapath": datapath}
                        + "reflect { stun = false }\n")
    said = lab["peer-v4"].json([sys.executable, ASK, relay.address(4)])
    assert said["answers"] == []
    assert relay.ctl("status")["counters"]["drop_unknown"] == 1
