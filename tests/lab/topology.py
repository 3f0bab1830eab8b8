# SPDX-License-Identifier: GPL-3.0-or-later
"""Topologies of the lab, as data.

    matrix                                          nat_pair(a, b)

    peer-v4  target-v4  relay-v4only                 peer-a            peer-b
        |        |           |                         | lan-a           | lan-b
      ==+========+===========+==== net4              nat-a             nat-b
                         | v4      198.18.4.0/24       | out             | out
                       relay                         ==+=======+=======+=+====== net4
                         | v6                                  | v4    |
      ==+========+=======+======== net6                      relay   target-v4
        |        |       2001:db8:6::/64
    peer-v6  target-v6

    two_uplinks()

      ==+=======+=========+===========+==== net    198.18.4.0/24, 2001:db8:4::/64
      peer    target      | net       | net
                     provider-a  provider-b
                          | cust      | cust
                          | ua        | ub        198.18.1.0/24, 2001:db8:1::/64; .2., :2:
                          +-- relay --+

A network is a switch: a bridge in a namespace of its own.  A host reaches it by a link, one veth
pair, whose end inside the host carries the link's name.  No route joins the families or leaves
the lab.  All addresses are from 198.18.0.0/15 and 2001:db8::/32.
"""
from dataclasses import dataclass, replace
from ipaddress import ip_interface

IPV6_KINDS = ("v6-open", "v6-firewall")    # of nat_pair()


@dataclass(frozen=True)
class Network:
    """A switch.  Its addresses are its hosts' business; it has none itself."""
    name: str


@dataclass(frozen=True)
class Link:
    """An interface of a host and the veth pair behind it."""
    name: str                  # interface name inside the host
    network: str
    v4: str | None = None      # address/prefix length; the family is off on the link without one
    v6: str | None = None
    mtu: int = 1500            # of both ends
    queues: int = 1            # receive and transmit queues of both ends
    hop: tuple | None = None   # arguments of the impairment hop; () is a hop that does nothing yet


@dataclass(frozen=True)
class Host:
    name: str
    links: tuple
    routes: tuple = ()         # (prefix or "default", gateway)
    forwards: bool = False     # routes between its links
    nat: str | None = None     # a kind of nat.KINDS; needs links named "in" and "out"
    firewall: bool = False     # a stateful firewall, nat.FIREWALL; needs the same links

    def link(self, name):
        for link in self.links:
            if link.name == name:
                return link
        raise KeyError(f"host {self.name} has no link {name}")

    def address(self, family):
        """First address of a family (4 or 6), without prefix length, or None."""
        for link in self.links:
            value = link.v4 if family == 4 else link.v6
            if value:
                return str(ip_interface(value).ip)
        return None


@dataclass(frozen=True)
class Topology:
    name: str
    networks: tuple
    hosts: tuple

    def host(self, name):
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(f"topology {self.name} has no host {name}")

    def tuned(self, host, link, **options):
        """The same topology with options of one link changed: mtu, queues, hop, v4, v6."""
        old = self.host(host)
        old.link(link)
        links = tuple(replace(l, **options) if l.name == link else l for l in old.links)
        hosts = tuple(replace(h, links=links) if h.name == host else h for h in self.hosts)
        return replace(self, hosts=hosts)


def matrix(peer6_mtu=1500, relay_queues=1, mtu=1500):
    """Peers and targets of both families, a relay between them and one on the IPv4 side only.

    mtu: of all links that have no other.

    peer6_mtu other than 1500 puts peer-v6 behind a router whose link to it has that MTU, so that
    larger packets come back as ICMPv6 too-big, as they would on a real path.
    """
    def side(name, network, v4=None, v6=None, queues=1, routes=()):
        family = "v4" if v4 else "v6"
        return Host(name, (Link(family, network, v4, v6, mtu, queues),), routes)

    networks = [Network("net4"), Network("net6")]
    to_edge = ()
    peer6 = side("peer-v6", "net6", v6="2001:db8:6::10/64")
    extra = []
    if peer6_mtu != 1500:
        networks.append(Network("edge6"))
        to_edge = (("2001:db8:61::/64", "2001:db8:6::fe"),)
        peer6 = Host("peer-v6",
                     (Link("v6", "edge6", v6="2001:db8:61::10/64", mtu=peer6_mtu),),
                     (("default", "2001:db8:61::fe"),))
        extra.append(Host("edge6-gw",
                          (Link("net", "net6", v6="2001:db8:6::fe/64"),
                           Link("edge", "edge6", v6="2001:db8:61::fe/64", mtu=peer6_mtu)),
                          forwards=True))
    relay = Host("relay",
                 (Link("v4", "net4", v4="198.18.4.1/24", mtu=mtu, queues=relay_queues),
                  Link("v6", "net6", v6="2001:db8:6::1/64", mtu=mtu, queues=relay_queues)),
                 to_edge)
    return Topology("matrix", tuple(networks), (
        relay,
        side("relay-v4only", "net4", v4="198.18.4.2/24", queues=relay_queues),
        side("peer-v4", "net4", v4="198.18.4.10/24"),
        side("target-v4", "net4", v4="198.18.4.20/24"),
        peer6,
        side("target-v6", "net6", v6="2001:db8:6::20/64", routes=to_edge),
        *extra))


def together():
    """The matrix with a second relay of both families beside the first."""
    one = matrix()
    relay = Host("relay-2", (Link("v4", "net4", v4="198.18.4.3/24"),
                             Link("v6", "net6", v6="2001:db8:6::3/64")))
    return replace(one, name="together", hosts=(*one.hosts, relay))


def nat_pair(a="port-restricted", b="port-restricted", hop=None):
    """Two peers, each behind a NAT box of a kind (nat.KINDS, "cgnat": a box behind a box, or "open":
    none), or with IPv6 alone: "v6-open", or "v6-firewall" (nat.FIREWALL); the relay has IPv6 where a
    peer has.  hop: of the links of both peers."""
    sides = (("a", a, 1), ("b", b, 2))
    networks, relay_links, six = [Network("net4")], [Link("v4", "net4", "198.18.4.1/24")], ()
    if a in IPV6_KINDS or b in IPV6_KINDS:
        networks.append(Network("net6"))
        relay_links.append(Link("v6", "net6", v6="2001:db8:6::1/64"))
        six = tuple((f"2001:db8:6{number}::/64", f"2001:db8:6::{100 + number}")
                    for _, kind, number in sides if kind == "v6-firewall")
    hosts = [
        Host("relay", tuple(relay_links), six),
        Host("target-v4", (Link("v4", "net4", "198.18.4.20/24"),)),
    ]
    for side, kind, number in sides:
        build = _ipv6_side if kind in IPV6_KINDS else _nat_side
        more_networks, more_hosts = build(side, kind, number, hop, six)
        networks += more_networks
        hosts += more_hosts
    return Topology(f"nat:{a}:{b}", tuple(networks), tuple(hosts))


def _ipv6_side(side, kind, number, hop, routes):
    """Networks and hosts of a peer with IPv6 alone; routes: to what is behind firewalls on net6."""
    if kind == "v6-open":
        link = Link("v6", "net6", v6=f"2001:db8:6::{110 + number}/64", hop=hop)
        return [], [Host(f"peer-{side}", (link,), routes)]
    lan, prefix = f"lan-{side}", f"2001:db8:6{number}:"
    outside = f"2001:db8:6::{100 + number}"
    return [Network(lan)], [
        Host(f"firewall-{side}", (Link("in", lan, v6=f"{prefix}:1/64"),
                                  Link("out", "net6", v6=f"{outside}/64")),
             tuple(route for route in routes if route[1] != outside), forwards=True, firewall=True),
        Host(f"peer-{side}", (Link("v6", lan, v6=f"{prefix}:10/64", hop=hop),),
             (("default", f"{prefix}:1"),))]


def _nat_side(side, kind, number, hop, _routes):
    """Networks and hosts of a peer of net4, behind the boxes of a kind."""
    networks, hosts = [], []
    if kind == "open":
        link = Link("v4", "net4", f"198.18.4.{110 + number}/24", hop=hop)
        return [], [Host(f"peer-{side}", (link,))]
    lan, outside, up = f"lan-{side}", "net4", f"198.18.4.{100 + number}/24"
    home = kind
    if kind == "cgnat":
        home, isp = "port-restricted", f"isp-{side}"
        networks.append(Network(isp))
        hosts.append(Host(f"cgn-{side}",
                          (Link("in", isp, f"198.19.{100 + number}.1/24"),
                           Link("out", "net4", up)),
                          forwards=True, nat="port-restricted"))
        outside, up = isp, f"198.19.{100 + number}.10/24"
    networks.append(Network(lan))
    routes = (("default", f"198.19.{100 + number}.1"),) if kind == "cgnat" else ()
    hosts.append(Host(f"nat-{side}",
                      (Link("in", lan, f"198.19.{number}.1/24"), Link("out", outside, up)),
                      routes, forwards=True, nat=home))
    hosts.append(Host(f"peer-{side}", (Link("v4", lan, f"198.19.{number}.10/24", hop=hop),),
                      (("default", f"198.19.{number}.1"),)))
    return networks, hosts


def two_uplinks():
    """A relay with an uplink and addresses of two providers.  Its default routes are by provider-a;
    the others reach the addresses of each provider by it."""
    there = tuple((f"198.18.{n}.0/24", f"198.18.4.{10 + n}") for n in (1, 2)) + tuple(
        (f"2001:db8:{n}::/64", f"2001:db8:4::{10 + n}") for n in (1, 2))

    def outside(name, number):
        return Host(name, (Link("net", "net", f"198.18.4.{number}/24", f"2001:db8:4::{number}/64"),),
                    there)

    def provider(letter, n):
        return Host(f"provider-{letter}",
                    (Link("net", "net", f"198.18.4.{10 + n}/24", f"2001:db8:4::{10 + n}/64"),
                     Link("cust", f"uplink-{letter}", f"198.18.{n}.1/24", f"2001:db8:{n}::1/64")),
                    forwards=True)

    relay = Host("relay", (Link("ua", "uplink-a", "198.18.1.2/24", "2001:db8:1::2/64"),
                           Link("ub", "uplink-b", "198.18.2.2/24", "2001:db8:2::2/64")),
                 (("default", "198.18.1.1"), ("default", "2001:db8:1::1")))
    return Topology("two-uplinks", tuple(map(Network, ("net", "uplink-a", "uplink-b"))), (
        relay, provider("a", 1), provider("b", 2), outside("peer", 30), outside("target", 20)))


def by_name(name):
    """A topology from its command-line name: matrix, matrix-1280, matrix-2q, nat:KIND:KIND."""
    if name == "matrix":
        return matrix()
    if name == "matrix-1280":
        return matrix(peer6_mtu=1280)
    if name == "matrix-2q":
        return matrix(relay_queues=2)
    kind, _, rest = name.partition(":")
    sides = rest.split(":")
    if kind == "nat" and len(sides) == 2:
        return nat_pair(*sides)
    raise KeyError(f"no topology {name}: matrix, matrix-1280, matrix-2q or nat:KIND:KIND")
