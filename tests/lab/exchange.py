# SPDX-License-Identifier: GPL-3.0-or-later
"""exchange.py HOST:PORT FROM SIZE...   one random payload of each size to an echo server and back.

All from one socket on port FROM (0: any), one after the other; each answer is compared byte by byte.
Prints the sizes by their outcome as JSON: {"same": [...], "different": [...], "missing": [...]}.
"""
import json
import os
import socket
import sys

WAIT_SEC = 2


def main(address, port_from, *sizes):
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    found = {"same": [], "different": [], "missing": []}
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET,
                       socket.SOCK_DGRAM) as one:
        one.bind(("", int(port_from)))
        one.connect((host, int(port)))
        one.settimeout(WAIT_SEC)
        for size in map(int, sizes):
            payload = os.urandom(size)
            one.send(payload)
            try:
                found["same" if one.recv(65536) == payload else "different"].append(size)
            except TimeoutError:
                found["missing"].append(size)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
