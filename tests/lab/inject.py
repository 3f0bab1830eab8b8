# SPDX-License-Identifier: GPL-3.0-or-later
"""inject.py INTERFACE MAC   send forged and malformed packets: one scapy expression per line of stdin.

Each is put behind an Ethernet header to MAC and leaves by INTERFACE.  Prints how many went.
"""
import json
import sys

from scapy.all import (  # noqa: F401 (the expressions use them)
    ICMP, IP, UDP, Ether, ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6ParamProblem,
    ICMPv6TimeExceeded, ICMPv6Unknown, IPv6, IPv6ExtHdrFragment, Raw, conf, fragment, fragment6)


def main(interface, mac):
    socket = conf.L2socket(iface=interface)
    sent = 0
    for line in sys.stdin:
        made = eval(line)    # written by the test that runs us
        for packet in made if isinstance(made, list) else [made]:
            socket.send(Ether(dst=mac) / packet)
            sent += 1
    print(json.dumps(sent))


if __name__ == "__main__":
    main(*sys.argv[1:])
