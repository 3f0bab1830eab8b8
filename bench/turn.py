# SPDX-License-Identifier: GPL-3.0-or-later
"""A TURN allocation with one channel (RFC 8656), held for as long as the input is open.

    turn.py SERVER:PORT LOCAL:PORT TARGET:PORT

Prints the relayed port as JSON and then "ready".  ChannelData itself comes from load_raw, which sends
with the addresses of this socket.
"""
import ipaddress
import json
import os
import socket
import struct
import sys
import time

COOKIE = 0x2112A442
ALLOCATE, CHANNEL_BIND = 0x0003, 0x0009
CHANNEL_NUMBER, XOR_PEER, XOR_RELAYED, FAMILY, TRANSPORT = 0x0C, 0x12, 0x16, 0x17, 0x19
ERROR_CODE = 0x09
CHANNEL = 0x4000
TRIES = 15


def parse(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def attribute(kind, value):
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def xor_address(host, port, transaction):
    address = ipaddress.ip_address(host).packed
    mask = struct.pack("!I", COOKIE) + transaction
    return struct.pack("!BBH", 0, 1 if len(address) == 4 else 2, port ^ (COOKIE >> 16)) + bytes(
        a ^ m for a, m in zip(address, mask))


def ask(sock, kind, *attributes):
    """Send a request; returns the attributes of its success response."""
    transaction = os.urandom(12)
    body = b"".join(attribute(k, v(transaction) if callable(v) else v) for k, v in attributes)
    for _ in range(TRIES):
        try:
            sock.send(struct.pack("!HHI", kind, len(body), COOKIE) + transaction + body)
            answer = sock.recv(2048)
        except TimeoutError:
            continue
        except ConnectionRefusedError:  # it is not up yet
            time.sleep(0.2)
            continue
        found, at = {}, 20
        while at < len(answer):
            attr, length = struct.unpack_from("!HH", answer, at)
            found[attr] = answer[at + 4:at + 4 + length]
            at += 4 + length + -length % 4
        if struct.unpack_from("!H", answer)[0] == kind | 0x0100:
            return found
        sys.exit(f"turn: request {kind:#x} refused: {found.get(ERROR_CODE, b'')!r}")
    sys.exit("turn: no answer")


def main():
    server, local, target = map(parse, sys.argv[1:4])
    sock = socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET,
                         socket.SOCK_DGRAM)
    sock.bind(local)
    sock.connect(server)
    sock.settimeout(1)
    family = 2 if ":" in target[0] else 1
    relayed = ask(sock, ALLOCATE, (TRANSPORT, bytes((17, 0, 0, 0))),
                  (FAMILY, bytes((family, 0, 0, 0))))[XOR_RELAYED]
    ask(sock, CHANNEL_BIND, (CHANNEL_NUMBER, struct.pack("!HH", CHANNEL, 0)),
        (XOR_PEER, lambda transaction: xor_address(*target, transaction)))
    port = struct.unpack_from("!H", relayed, 2)[0] ^ (COOKIE >> 16)
    print(json.dumps({"port": port}))
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
