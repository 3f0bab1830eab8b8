# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of the client that are full: who has been silent longest makes room.

    resolver, strangers, caller -- culvert forward, culvert bind on a peer -- relay -- targets
"""
import json
import sys

from netns import wait_until

QUERIES = 1300
PLACES = 1024     # of a forward
REMOTES = 8

# Each query from a port of its own, as RFC 5452 section 9.2 asks, and several at a time: how many were
# answered.
RESOLVER = """
import select, socket, sys, time
host, port, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
waiting, asked, answered = {}, 0, 0
while asked < n or waiting:
    while asked < n and len(waiting) < 24:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((host, 10000 + asked))
        waiting[s] = [b"query %d" % asked, 3, 0]
        asked += 1
    for s, (text, tries, until) in list(waiting.items()):
        if time.monotonic() < until:
            continue
        if tries:
            s.sendto(text, (host, port))
            waiting[s] = [text, tries - 1, time.monotonic() + 5]
        else:
            del waiting[s]
    for s in select.select(list(waiting), [], [], 0.5)[0]:
        answered += s.recv(100) == waiting.pop(s)[0]
        s.close()
print(answered)
"""

# An application that answers callers only.
APP = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
while True:
    data, sender = s.recvfrom(2000)
    if data == b"call":
        s.sendto(b"answer", sender)
"""

# Strangers knock once each; or a caller calls until it is answered, and with it the ports it came from.
KNOCKS = """
import json, select, socket, sys, time
host, port, text = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()
answers = []
for local in map(int, sys.argv[4:]):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", local))
    for attempt in range(50 if text == b"call" else 1):
        s.sendto(text, (host, port))
        if text == b"call" and select.select([s], [], [], 0.2)[0]:
            answers.append(s.recv(100).decode())
            break
    s.close()
    time.sleep(0.02)
print(json.dumps(answers))
"""


def test_a_resolver_asks_through_a_forward_for_ever(lab, relay, forward, targets):
    client = forward("peer-v4", relay, targets["target-v4"])
    host, port = client.address.rsplit(":", 1)
    done = lab["peer-v4"].run([sys.executable, "-c", RESOLVER, host, port, QUERIES], timeout=180)
    assert int(done.stdout) == QUERIES, client.proc.text()
    assert client.proc.text().count(f"forward_full places={PLACES}") == 1
    assert relay.ctl("tunnels")["total"] <= PLACES


def test_strangers_that_knocked_once_make_room_for_a_caller(lab, relay, bind):
    app = lab["peer-v4"].start([sys.executable, "-c", APP, "5000"])
    app.wait_line("^ready")
    client = bind("peer-v4", relay, "--remotes-max", REMOTES, app="127.0.0.1:5000")
    host, port = client.public(4).rsplit(":", 1)

    def knock(text, *ports):
        done = lab["target-v4"].run([sys.executable, "-c", KNOCKS, host, port, text, *ports])
        return json.loads(done.stdout)

    assert knock("call", 21000) == ["answer"]
    knock("knock", *range(22000, 22000 + 3 * REMOTES))
    wait_until(lambda: client.proc.text().count("\ngone ") > REMOTES, what=client.proc.text)
    assert knock("call", 21001) == ["answer"]
    # whoever was answered keeps the place, and its port
    knock("knock", *range(23000, 23000 + 3 * REMOTES))
    assert knock("call", 21000) == ["answer"] and knock("call", 21001) == ["answer"]
    text = client.proc.text()
    for caller in (21000, 21001):
        assert text.count(f"remote {lab['target-v4'].addr4}:{caller} ") == 1, text
    app.kill()
