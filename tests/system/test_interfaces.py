# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces that come and go while a relay serves: which are served, and at whose cost."""
import time

import daemon
import topology
from cards import cards_of, served, sockets
from daemon import end_load, is_clean, start_load
from netns import wait_until

TOPOLOGY = topology.matrix(relay_queues=2)
DATAPATHS = ("xdp", "generic")
RATE = 1000           # datagrams a second
FLOW = 500            # datagrams that show that traffic flows
WITHOUT_END = 10**6   # datagrams: until end_load
PLACES = 16
CONTAINERS = 14       # that come and go
PAUSE_SEC = 0.25      # between them: the relay looks once a second


def test_containers_that_come_and_go_are_nothing_to_the_relay(lab, relay, forward, targets):
    client = forward("peer-v4", relay, targets["target-v6"])
    before = relay.proc.text()
    busy = start_load(client.peer, client.address, count=WITHOUT_END, rate=RATE)
    lab["target-v6"].wait_heard(FLOW)
    with cards_of(lab) as cards:
        for number in range(CONTAINERS):
            cards.add(f"c{number}")
            time.sleep(PAUSE_SEC)
            if number >= 3:
                cards.remove(f"c{number - 3}")
        lab["target-v6"].wait_heard(FLOW)
        assert served(relay).keys() == {"v4", "v6"}
    assert is_clean(end_load(busy))
    assert relay.proc.text() == before    # nor worth a line


def test_an_interface_that_is_served_comes_and_goes_at_no_cost_to_others(
        lab, relay, forward, targets):
    """More names than there are places, in turns, beside a tunnel that loses nothing."""
    mode, before = daemon.MODES[relay.datapath], sockets(relay)
    client = forward("peer-v4", relay, targets["target-v6"])
    busy = start_load(client.peer, client.address, count=WITHOUT_END, rate=RATE)
    lab["target-v6"].wait_heard(FLOW)
    with cards_of(lab) as cards:
        for turn in range(4):
            names = [f"s{turn}{number}" for number in range(5)]
            for number, name in enumerate(names):
                cards.add(name, f"198.19.{number}.1/24")
            wait_until(lambda: served(relay) == dict.fromkeys(["v4", "v6", *names], mode))
            assert sockets(relay) > before
            for name in names:
                cards.remove(name)
            wait_until(lambda: served(relay).keys() == {"v4", "v6"})
            assert sockets(relay) == before
    assert is_clean(end_load(busy))
    counted = relay.ctl("drops")
    assert not counted["total"].get("drop_link_gone")
    assert not [name for name, one in counted["xdp"].items() if one["packets"]]


def test_more_interfaces_than_places_are_said_and_served_when_there_is_room(lab, relay):
    mode = daemon.MODES[relay.datapath]
    with cards_of(lab) as cards:
        for number in range(PLACES + 1):    # two are taken
            cards.add(f"p{number}", f"198.19.{number}.1/24")
        wait_until(lambda: relay.ctl("status")["interfaces_left_out"] == 3)
        assert len(served(relay)) == PLACES
        relay.proc.wait_line(r'interfaces_left_out count=3 .*because="more than 16"')
        said = relay.host.run([lab.build / "culvertctl", "--run-dir", relay.run, "status"]).stdout
        assert "3 interfaces have no place" in said
        for number in range(3):
            cards.remove(f"p{number}")
        wait_until(lambda: relay.ctl("status")["interfaces_left_out"] == 0
                   and f"p{PLACES}" in served(relay))
        assert set(served(relay).values()) == {mode}


def test_an_interface_with_the_index_and_name_of_one_that_went_is_attached(lab, relay):
    with cards_of(lab) as cards:
        cards.add("twin", "198.19.1.1/24", index=4711)
        relay.proc.wait_line("datapath if=twin")
        cards.batch("link del twin\n"
                    f"link add dev twin index 4711 numtxqueues 2 numrxqueues 2 type veth "
                    f"peer name twin-far netns {cards.there}\n"
                    "addr add 198.19.1.1/24 dev twin\nlink set twin up\n")
        wait_until(lambda: relay.proc.text().count("datapath if=twin") == 2)
        assert "interface_gone if=twin" in relay.proc.text()
        assert served(relay)["twin"] == daemon.MODES[relay.datapath]
