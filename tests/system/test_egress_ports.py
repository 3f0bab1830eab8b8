# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels to different targets share the relay's ports: there may be more tunnels than ports."""
import daemon
from daemon import endpoint, exchange
from netns import wait_until

PORTS = range(30000, 30004)
TARGETS = range(7000, 7010)
CONFIG = daemon.CONFIG % {"datapath": "xdp"} + (
    f"egress {{ port-min = {PORTS[0]}  port-max = {PORTS[-1]} }}\n"
    "limits { source-shares = 1  tunnel-idle-sec = 600 }\n")

# A datagram from a fresh port to each of the relay's.
STRANGER = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    for port in sys.argv[2:]:
        s.sendto(b"stranger", (sys.argv[1], int(port)))
"""


def dropped(relay):
    return relay.ctl("status")["xdp"]["held_drop_unknown_remote"]["packets"]


def test_more_tunnels_than_ports(lab, start_relay, forward):
    relay = start_relay(config=CONFIG, datapath="xdp")
    peer, target = lab["peer-v4"], lab["target-v4"]
    clients = []
    for port in TARGETS:
        daemon.echo(target, port)
        clients.append(forward("peer-v4", relay, endpoint(target.addr4, port)))
    for i, client in enumerate(clients):
        size = 100 + i
        assert exchange(peer, client.address, size) == {
            "same": [size], "different": [], "missing": []}
    tunnels = relay.ctl("tunnels")["tunnels"]
    used = {int(t["local"].rpartition(":")[2]) for t in tunnels}
    assert len(tunnels) == len(TARGETS) and used <= set(PORTS)
    assert relay.ctl("status")["egress_ports"] == len(used) == len(PORTS) // 2

    # Strangers reach nobody, also after some of a port's tunnels have ended.
    before = dropped(relay)
    for client in clients[::2]:
        client.stop()
    wait_until(lambda: relay.ctl("tunnels")["total"] == len(TARGETS) // 2)
    used = {int(t["local"].rpartition(":")[2]) for t in relay.ctl("tunnels")["tunnels"]}
    target.run(["python3", "-c", STRANGER, lab["relay"].addr4, *used])
    wait_until(lambda: dropped(relay) == before + len(used))
    assert exchange(peer, clients[1].address, 700)["same"] == [700]

    for client in clients[1::2]:
        client.stop()
    wait_until(lambda: relay.ctl("status")["egress_ports"] == 0)
    ceilings = {c["resource"]: c for c in relay.ctl("status")["ceilings"]}
    assert ceilings["ports"]["used"] == ceilings["tunnels"]["used"] == 0
