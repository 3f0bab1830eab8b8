# SPDX-License-Identifier: GPL-3.0-or-later
"""conntrack.py   run on a NAT: forget every flow, as a NAT does that was restarted.

The conntrack tool's -F in one ctnetlink message.
"""
import os
import socket
import struct

NETLINK_NETFILTER, CTNETLINK, CT_DELETE = 12, 1, 2
REQUEST_ACK = 1 | 4


def flush():
    body = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)
    head = struct.pack("=IHHII", 16 + len(body), CTNETLINK << 8 | CT_DELETE, REQUEST_ACK, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as netlink:
        netlink.sendto(head + body, (0, 0))
        error, = struct.unpack_from("=i", netlink.recv(4096), 16)
        if error:
            raise OSError(-error, os.strerror(-error))


if __name__ == "__main__":
    flush()
