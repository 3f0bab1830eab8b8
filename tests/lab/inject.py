# SPDX-License-Identifier: GPL-3.0-or-later
"""inject.py INTERFACE MAC   send forged and malformed packets: one scapy expression per line of stdin.

Each leaves by INTERFACE with an Ethernet header to MAC.  Prints "ready" first, and at every empty
line how many packets were sent since the last one.
"""
import sys

from scapy.all import (  # noqa: F401 (the expressions use them)
    ICMP, IP, UDP, Dot1Q, Ether, ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6ParamProblem,
    ICMPv6TimeExceeded, ICMPv6Unknown, IPOption_NOP, IPOption_Router_Alert, IPv6,
    IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, Padding, PadN, Raw, conf, fragment,
    fragment6, get_if_hwaddr)


def main(interface, mac):
    socket = conf.L2socket(iface=interface)
    own = get_if_hwaddr(interface)
    print("ready", flush=True)
    sent = 0
    for line in sys.stdin:
        if not line.strip():
            print(sent, flush=True)
            sent = 0
            continue
        made = eval(line)    # written by the test that runs us
        for packet in made if isinstance(made, list) else [made]:
            socket.send(Ether(src=own, dst=mac) / packet)
            sent += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
