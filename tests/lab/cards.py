# SPDX-License-Identifier: GPL-3.0-or-later
"""Network interfaces of a relay's host that come and go."""
import contextlib

import netns


class Cards:
    """Interfaces of the relay's host whose other ends are in a namespace of nobody's."""

    def __init__(self, lab):
        self.host, self.there = lab["relay"], netns.namespace(lab.name, "net4")
        self.names = []

    def batch(self, text):
        netns.call(["ip", "-n", self.host.netns, "-batch", "-"], text)

    def add(self, name, address=None, queues=2, index=None, there=None, far=None):
        """there, far: the other end's namespace, if not nobody's, and its address."""
        there = there or self.there
        where = f"index {index} " if index else ""
        self.batch(f"link add dev {name} {where}numtxqueues {queues} numrxqueues {queues} type veth "
                   f"peer name {name}-far netns {there} numtxqueues {queues} "
                   f"numrxqueues {queues}\n" +
                   (f"addr add {address} dev {name}\n" if address else "") +
                   f"link set {name} up\n")
        netns.call(["ip", "-n", there, "-batch", "-"],
                   (f"addr add {far} dev {name}-far\n" if far else "") +
                   f"link set {name}-far up\n")
        if far:
            for space, end in ((self.host.netns, name), (there, f"{name}-far")):
                netns.call(["nsenter", f"--net={netns.NETNS / space}", "ethtool", "-K", end,
                            *"rx on tx off sg on tso off gso off gro off".split()])
        self.names.append(name)

    def remove(self, name):
        self.names.remove(name)
        self.host.ip("link", "del", name)


@contextlib.contextmanager
def cards_of(lab):
    cards = Cards(lab)
    try:
        yield cards
    finally:
        for name in list(cards.names):
            cards.remove(name)


def served(relay):
    """{name: datapath mode} of all interfaces that the relay has to do with."""
    return {one["name"]: one["mode"] for one in relay.ctl("status")["interfaces"]}


def sockets(relay):
    """The AF_XDP sockets of all workers: (worker, interface, queue)."""
    return {(worker["id"], one["interface"], one["queue"])
            for worker in relay.ctl("workers")["workers"] for one in worker["sockets"]}
