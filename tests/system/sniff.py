# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host really sends, captured at the switches: captures on the host miss AF_XDP frames."""
import os
import subprocess

import netns
from lab import port_of


class Watch:
    """UDP packets that leave a host, other than from port 443, and those on its loopback."""

    def __init__(self, lab, host, logs):
        self.host, self.procs = lab[host], []
        wanted = "(udp and not src port 443) or icmp[0] == 8 or (icmp6 and ip6[40] == 128)"
        loopback = "(udp and not port 53) or icmp[0] == 8"    # the host asks its name server
        for link in self.host.spec.links:
            space = netns.NETNS / netns.namespace(lab.name, link.network)
            neighbour = next(h for h in lab.spec.hosts if h is not self.host.spec
                             and any(other.network == link.network for other in h.links))
            self._start(lab, ["nsenter", f"--net={space}"], port_of(self.host.spec, link), "in",
                        wanted, logs / f"sniff-{link.name}.log",
                        neighbour.address(4 if link.v4 else 6))
        self._start(lab, self.host.command([]), "lo", "inout", loopback, logs / "sniff-lo.log",
                    "127.0.0.1")

    def _start(self, lab, prefix, interface, direction, wanted, log, beyond):
        """beyond: an address that a ping of the host crosses this interface to."""
        with open(log, "wb") as out:
            process = subprocess.Popen(
                [*prefix, "tcpdump", "-nltq", "--immediate-mode", "-Q", direction,
                 "-i", interface, wanted],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True, env=dict(os.environ, LC_ALL="C"))
        lab.started.append(process)
        proc = netns.Proc(process, f"tcpdump on {interface}", log)
        proc.wait_line("^listening on")
        self.procs.append([proc, beyond, 0])

    def leaked(self):
        """The packets since the last call, one line of text each."""
        found = []
        for watched in self.procs:
            proc, beyond, reported = watched
            # Whatever the host sent before this ping is in the capture before it.
            pings = proc.text().count("echo request")
            self.host.run(["ping", "-n", "-c1", "-W2", beyond])
            netns.wait_until(lambda: proc.text().count("echo request") > pings, what=proc.text)
            lines = [line for line in proc.text().splitlines() if "UDP" in line]
            found += lines[reported:]
            watched[2] = len(lines)
        return found

    def stop(self):
        for proc, _, _ in self.procs:
            proc.stop()
