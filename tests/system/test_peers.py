# SPDX-License-Identifier: GPL-3.0-or-later
"""Two peers behind NATs reach each other by `culvert listen` and `culvert connect`."""
import json
import re

import pytest

import apps
import daemon
import losses
import topology
from daemon import is_clean, load, load_of, loads, start_load
from netns import wait_until

TOPOLOGY = topology.nat_pair("port-restricted", "symmetric")
DATAPATHS = ("xdp", "sock")

# Tells each sender its port.
PORTS = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 7001))
print("ready", flush=True)
while True:
    data, sender = s.recvfrom(2048)
    s.sendto(b"%d" % sender[1], sender)
"""

# Asks from so many ports, the first of which is given, one after the other; prints the last answer.
ASK = """
import socket, sys
host, port = sys.argv[1].rsplit(":", 1)
for i in range(int(sys.argv[3])):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", int(sys.argv[2]) + i))
    s.settimeout(10)
    s.sendto(b"?", (host, int(port)))
    answer = s.recv(2048).decode()
    s.close()
print(answer)
"""

NO_PEER, WRONG_PEER, REFUSED = 22, 23, 24


@pytest.fixture(scope="module")
def identities(lab, tmp_path_factory):
    """Files and ids of a few identities: {"a": (file, id), ...}."""
    folder = tmp_path_factory.mktemp("ids")
    made = {}
    for name in ("a", "b", "c"):
        said = lab["peer-a"].run([lab.build / "culvert", "id", "--identity", folder / name]).stdout
        made[name] = folder / name, said.split()[-1]
    return made


@pytest.fixture(scope="module")
def echo(lab):
    daemon.echo(lab["peer-a"])


@pytest.fixture
def listen(lab, logs, request, relay, identities):
    """listen("127.0.0.1:7000", *args) on peer-a is open when it returns."""
    started = []

    def start(app, *args):
        log = logs / f"{daemon.slug(request.node.name)}-listen-{len(started)}.log"
        started.append(daemon.Listen(lab["peer-a"], relay, identities["a"][0], app, *args, log=log))
        return started[-1].wait()

    yield start
    for one in started:
        assert one.stop() == 0, one.proc.text()


@pytest.fixture
def connect(lab, logs, request, identities):
    """connect(listen, *args) on peer-b, with identity b, is ready when it returns."""
    started = []

    def start(to, *args, identity="b", ticket=None, wait=True):
        log = logs / f"{daemon.slug(request.node.name)}-connect-{len(started)}.log"
        one = daemon.Connect(lab["peer-b"], ticket or to.ticket, identities[identity][0], *args,
                             log=log)
        started.append(one)
        return one.wait() if wait else one

    yield start
    for one in started:
        if one.proc.alive:
            assert one.stop() == 0, one.proc.text()


def test_datagrams_of_all_sizes_come_back_once_and_intact(lab, listen, connect, echo):
    client = connect(listen("127.0.0.1:7000"))
    for size in (64, 500, 1200):
        assert is_clean(load(client.peer, client.address, size=size, count=500, rate=500)), size
    figures = loads(client.peer, client.address, 3, size=300, count=300, rate=300)
    assert is_clean(*figures), figures


def test_both_ends_say_who_is_there_and_how(lab, listen, connect, echo, identities):
    server = listen("127.0.0.1:7000")
    client = connect(server)
    client.proc.wait_line(rf"^up {identities['a'][1]} by relay 198\.18\.4\.1:\d+ after \d+ ms$")
    server.proc.wait_line(rf"^incoming {identities['b'][1]}$")
    server.proc.wait_line(rf"^up {identities['b'][1]} by relay 198\.18\.4\.102:\d+ after \d+ ms$")
    assert client.stop() == 0
    server.proc.wait_line(rf"^down {identities['b'][1]}: closed by the peer$")


def test_peers_of_two_identities_are_served_at_a_time(lab, listen, connect, echo):
    server = listen("127.0.0.1:7000")
    clients = [connect(server, identity=name) for name in ("b", "c")]
    busy = [start_load(one.peer, one.address, size=400, count=500, rate=500) for one in clients]
    assert is_clean(*map(load_of, busy))


def test_a_peer_of_many_senders_displaces_none_of_others(lab, listen, connect):
    app = lab["peer-a"].start(["python3", "-c", PORTS], name="ports")
    app.wait_line("^ready")
    server = listen("127.0.0.1:7001")
    bystander, hog = [connect(server, identity=name) for name in ("b", "c")]

    def ask(client, first, count):
        argv = ["python3", "-c", ASK, client.address, first, count]
        return client.peer.run(argv).stdout.strip()

    port = ask(bystander, 30000, 1)
    ask(hog, 31000, 300)
    assert ask(bystander, 30000, 1) == port
    app.stop()


def test_a_peer_that_is_not_accepted_hears_so(lab, listen, connect, echo, identities):
    server = listen("127.0.0.1:7000", "--accept", identities["b"][1])
    refused = connect(server, identity="c", wait=False)
    wait_until(lambda: not refused.proc.alive)
    assert refused.proc.popen.returncode == REFUSED
    server.proc.wait_line(rf"^refused {identities['c'][1]}$")
    client = connect(server)
    assert is_clean(load(client.peer, client.address, count=50, rate=500))


def test_who_has_another_identity_is_not_taken_for_the_peer(lab, listen, connect, echo, identities):
    server = listen("127.0.0.1:7000")
    client = connect(server, *server.at, ticket=identities["c"][1], wait=False)
    wait_until(lambda: not client.proc.alive)
    assert client.proc.popen.returncode == WRONG_PEER
    assert "up" not in server.proc.text().split()


@pytest.mark.parametrize("by", ("ticket", "address"))
def test_a_peer_that_is_gone_is_given_up(lab, listen, connect, echo, by):
    server = listen("127.0.0.1:7000")
    assert server.stop() == 0
    client = connect(server, *(server.at if by == "address" else ()), wait=False)
    wait_until(lambda: not client.proc.alive)
    assert client.proc.popen.returncode == NO_PEER, client.proc.text()


def test_a_peer_that_went_and_came_back_is_found_by_its_ticket(lab, listen, connect, echo):
    server = listen("127.0.0.1:7000")
    client = connect(server)
    assert is_clean(load(client.peer, client.address, count=50, rate=500))
    assert server.stop() == 0
    client.proc.wait_line(r"^down \S+: closed by the peer$")
    again = listen("127.0.0.1:7000")
    assert again.ticket == server.ticket and again.at != server.at
    wait_until(lambda: len(re.findall(r"^up ", client.proc.text(), re.M)) == 2)
    assert is_clean(load(client.peer, client.address, count=50, rate=500))
    assert client.proc.text().count("ready") == 1


def test_known_addresses_need_no_session_with_the_relay(lab, listen, connect, echo, relay):
    server = listen("127.0.0.1:7000")
    wait_until(lambda: len(relay.ctl("conns")["conns"]) == 1)    # those of other tests have ended
    client = connect(server, *server.at)
    assert is_clean(load(client.peer, client.address, count=50, rate=500))
    assert len(relay.ctl("conns")["conns"]) == 1


def test_a_busy_stream_of_iperf_arrives(lab, listen, connect):
    server = apps.serve_iperf(lab["peer-a"])
    client = connect(listen("127.0.0.1:5001"))
    watch = losses.Watch(lab)
    found = apps.iperf(client.peer, client.address, server, megabits=4, seconds=2, size=1000)
    server.stop()
    assert found["sent"] > 500 and watch.accounts_for(found["sent"], found["received"]), (
        found, watch.since())


def test_names_are_looked_up_in_a_peers_name_server(lab, listen, connect):
    records = {"six.example": "2001:db8:6::77", "four.example": "192.0.2.77"}
    host = lab["peer-a"]
    server = apps.serve_dns(host, records)
    client = connect(listen(daemon.endpoint(host.addr4, 53)))
    found = apps.lookup(client.peer, client.address, records, times=3)
    server.stop()
    assert found["received"] == found["sent"] == 6, found


def test_a_quic_client_downloads_a_file_of_a_peer(lab, listen, connect, tmp_path):
    host = lab["peer-a"]
    server = apps.serve_quic(host, tmp_path / "quic")
    client = connect(listen(daemon.endpoint(host.addr4, 4433)))
    found = apps.fetch(client.peer, client.address, tmp_path / "quic", times=2)
    server.stop()
    assert found["received"] == found["sent"] == 2, found


def test_a_terminal_shows_how_the_peer_is_reached_now(lab, listen, echo, identities, logs):
    server = listen("127.0.0.1:7000")
    words = [str(lab.build / "culvert"), "connect", f"'{server.ticket}'", "--listen", "127.0.0.1:0",
             "--identity", str(identities["b"][0])]
    shown = lab["peer-b"].start(["script", "-qefc", " ".join(words), "/dev/null"], name="script",
                                log=logs / "terminal.log")
    shown.wait_line(r"relay 198\.18\.4\.1:\d+, round trip [\d.]+ ms, lost \d+, in 0, out 0, moves 0")
    shown.stop()


def test_json_has_one_object_for_each_event(lab, listen, connect, echo, identities, relay, logs):
    server = daemon.Listen(lab["peer-a"], relay, identities["c"][0], "127.0.0.1:7000", "--json",
                           log=logs / "json-listen.log")
    server.proc.wait_line(r'"listening"')
    said = json.loads(server.proc.text().splitlines()[0])
    assert said["id"] == identities["c"][1] and said["ticket"].startswith("culvert1:")
    assert len(said["addresses"]) == 1
    client = daemon.Connect(lab["peer-b"], said["ticket"], identities["b"][0], "--json",
                            log=logs / "json-connect.log")
    client.proc.wait_line(r'"ready"')
    events = [json.loads(line) for line in client.proc.text().splitlines()]
    assert [e["event"] for e in events] == ["up", "ready"]
    assert events[0]["method"] == "relay" and events[0]["id"] == identities["c"][1]
    assert client.stop() == 0 and server.stop() == 0
