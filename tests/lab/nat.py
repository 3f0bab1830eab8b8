# SPDX-License-Identifier: GPL-3.0-or-later
"""NAT boxes of the lab: nftables rules by kind.

Every kind keeps an inside port number while it is free outside, except "symmetric", which takes a
random one per destination.  The kinds also differ in the packets from outside that they let in:

    full-cone           from anyone, to a port an inside host has sent from
    address-restricted  from addresses that port has sent to
    port-restricted     from address and port that port has sent to (what conntrack does by itself)
    symmetric           as port-restricted, on a mapping per destination
    udp-blocked         no UDP at all; the rest as port-restricted

Linux has no mapping table apart from flows, so the cones remember (port -> inside host) in a map
of their own.  Where two inside hosts use one port, the later owns it: full cone as far as
nftables can.
"""
KINDS = ("full-cone", "address-restricted", "port-restricted", "symmetric", "udp-blocked")

CONE = """
	map owner {
		type inet_service : ipv4_addr
		flags dynamic, timeout
		timeout 5m
		size 65535
	}
	set sent_to {
		type inet_service . ipv4_addr
		flags dynamic, timeout
		timeout 5m
		size 65535
	}
	chain learn {
		type filter hook forward priority 0; policy accept;
		iifname "in" oifname "out" meta l4proto udp update @owner { udp sport : ip saddr }
		iifname "in" oifname "out" meta l4proto udp update @sent_to { udp sport . ip daddr }
	}
	chain arrive {
		type nat hook prerouting priority dstnat; policy accept;
		iifname "out" meta l4proto udp %s dnat to udp dport map @owner
	}
"""

# What hosts behind it have not asked for does not come in, as with home routers that have IPv6.
FIREWALL = """table ip6 firewall {
	chain pass {
		type filter hook forward priority 0; policy accept;
		iifname "out" ct state != { established, related } counter drop
	}
}
"""

BLOCK_UDP = """
	chain no_udp {
		type filter hook forward priority 0; policy accept;
		meta l4proto udp counter drop
	}
"""


def ruleset(kind, external):
    """The nftables text of a box of this kind; external: its address on the outside, no length."""
    if kind not in KINDS:
        raise KeyError(f"no NAT kind {kind}: {', '.join(KINDS)}")
    extra = {
        "full-cone": CONE % "",
        "address-restricted": CONE % "udp dport . ip saddr @sent_to",
        "udp-blocked": BLOCK_UDP,
    }.get(kind, "")
    flags = " fully-random" if kind == "symmetric" else ""
    # Unwanted packets die in "input", before conntrack confirms their flow: a confirmed one would
    # take the port and change the mapping of an inside host that sends to the same place later.
    return f"""table ip nat_box {{{extra}
	chain leave {{
		type nat hook postrouting priority srcnat; policy accept;
		oifname "out" snat to {external}{flags}
	}}
	chain own {{
		type filter hook input priority 0; policy accept;
		iifname "out" meta l4proto {{ tcp, udp }} counter drop
	}}
}}
"""
