# SPDX-License-Identifier: GPL-3.0-or-later
"""Echoes every datagram on each of many ports: manyecho.py ADDRESS FIRST-PORT COUNT."""
import resource
import select
import socket
import sys
from ipaddress import ip_address


def main():
    address, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 64, count + 64))
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    ready = select.epoll()
    sockets = {}
    for port in range(first, first + count):
        one = socket.socket(family, socket.SOCK_DGRAM)
        one.setblocking(False)
        one.bind((address, port))
        sockets[one.fileno()] = one
        ready.register(one.fileno(), select.EPOLLIN)
    print("ready", count, flush=True)
    while True:
        for number, _ in ready.poll():
            try:
                while True:
                    data, sender = sockets[number].recvfrom(65536)
                    sockets[number].sendto(data, sender)
            except BlockingIOError:
                pass


main()
