# SPDX-License-Identifier: GPL-3.0-or-later
"""Unmodified UDP programs for the lab: iperf 2, dig with dnsmasq, ngtcp2's QUIC client and server.

Servers run on targets, clients on peers, toward the address of a daemon.Forward.  Each client
returns what it measured as a dict: sent, received, and round-trip times in microseconds.
"""
import filecmp
import math
import re
import time

from netns import LabError, wait_until

IPERF = ["stdbuf", "-oL", "iperf", "-u"]
QUIC_SERVER = "/usr/sbin/gtlsserver"    # Debian's ngtcp2-server, the client is in ngtcp2-client
QUIC_CLIENT = "gtlsclient"


def split(address):
    """The host and port words of "127.0.0.1:17000" or "[::1]:17000"."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), port


def percentile(values, percent):
    """Nearest rank; None of no values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else None


def figures(sent, times_us, **more):
    """A result of as many answers as there are times."""
    return {"sent": sent, "received": len(times_us), "p50_us": percentile(times_us, 50),
            "p99_us": percentile(times_us, 99), **more}


def serve_iperf(host, port=5001):
    family = ["-V"] if host.addr6 else []
    # Its histogram, of times one way, has bins of 10 us.
    server = host.start([*IPERF, "-s", *family, "-p", port, "-e", "--histograms=10u,100000"],
                        name="iperf-server")
    server.wait_line(r"^UDP buffer size")
    return server


def iperf(peer, address, server, megabits=20, seconds=2, size=1200):
    """iperf 2 from a peer to its server: what the server counted, and times one way."""
    host, port = split(address)
    family = ["-V"] if ":" in host else []
    before = server.text().count("PDF:")
    said = peer.run([*IPERF, "-c", host, *family, "-p", port, "-b", f"{megabits}M", "-t", seconds,
                     "-l", size, "-e", "--trip-times"], timeout=seconds + 15).stdout
    report = re.search(r"Server Report:\n.*\n.*?([\d.]+) ([KMG]?)bits/sec.* (\d+)/ *(\d+) \(", said)
    if not report:
        raise LabError(f"iperf got no report of its server:\n{said}")
    histogram = re.compile(r"PDF:.*?cnt\(\d+\)=([\d:,]+)", re.DOTALL)
    wait_until(lambda: len(histogram.findall(server.text())) > before, what="iperf's histogram")
    bins = histogram.findall(server.text())[-1]
    times = []
    for one in bins.strip(",").split(","):
        number, count = map(int, one.split(":"))
        times += [number * 10] * count
    rate = float(report.group(1)) * {"": 1, "K": 1e3, "M": 1e6, "G": 1e9}[report.group(2)]
    lost, total = int(report.group(3)), int(report.group(4))
    return {"sent": total, "received": total - lost, "p50_us": percentile(times, 50),
            "p99_us": percentile(times, 99), "bits_per_sec": int(rate)}


def serve_dns(host, records, port=53):
    """dnsmasq on a host's own address; records: {name: address}."""
    server = host.start(
        ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
         "--user=root", "--pid-file", "--bind-interfaces", "--port", port,
         "--listen-address", host.addr6 or host.addr4,
         *(f"--host-record={name},{address}" for name, address in records.items())])
    server.wait_line(r"\bstarted\b")
    return server


def lookup(peer, address, records, times=1):
    """dig each name that many times; received counts the right answers."""
    host, port = split(address)
    sent, took = 0, []
    for name, wanted in records.items():
        kind = "AAAA" if ":" in wanted else "A"
        said = peer.run(["dig", f"@{host}", "-p", port, "-u", "+tries=1", "+time=5", "+noall",
                         "+answer", "+stats", *[name, kind] * times], check=False,
                        timeout=5 * times + 5).stdout
        answers = [line.split()[-1] for line in said.splitlines()
                   if line.startswith(f"{name}.") and f"\t{kind}\t" in line]
        waits = [int(usec) for usec in re.findall(r"Query time: (\d+) usec", said)]
        sent += times
        took += [usec for usec, answer in zip(waits, answers) if answer == wanted]
    return figures(sent, took)


def serve_quic(host, folder, size=1 << 20, port=4433):
    """ngtcp2's HTTP/3 server with one file of pseudo-random content; folder: for its files."""
    (folder / "www").mkdir(parents=True)
    with open("/dev/urandom", "rb") as noise:
        (folder / "www/file").write_bytes(noise.read(size))
    host.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
              "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=quic.example",
              "-days", "2", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"])
    server = host.start([QUIC_SERVER, "-q", "-d", folder / "www", host.addr6 or host.addr4, port,
                         folder / "key.pem", folder / "cert.pem"])
    server.wait_line(r"^Using document root")
    return server


def fetch(peer, address, folder, times=1):
    """Download that file over QUIC, each time on a new connection; received counts equal copies."""
    host, port = split(address)
    took, size = [], (folder / "www/file").stat().st_size
    for number in range(times):
        down = folder / f"down-{number}"
        down.mkdir()
        began = time.monotonic()
        done = peer.run([QUIC_CLIENT, "-q", "--no-quic-dump", "--no-http-dump", "--timeout=10s",
                         "--exit-on-all-streams-close", "--download", down, host, port,
                         "https://quic.example/file"], check=False, timeout=30)
        spent = time.monotonic() - began
        if done.returncode == 0 and (down / "file").exists() and \
                filecmp.cmp(folder / "www/file", down / "file", shallow=False):
            took.append(spent * 1e6)
    return figures(times, took, bytes=size * len(took))
