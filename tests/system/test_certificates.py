# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates are reloaded, renewed and watched while the relay serves, without its privileges."""
import datetime
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import daemon
from daemon import exchange
from netns import wait_until

CONFIG = ('datapath = "sock"\nuser = "nobody"\n'
          'access { mode = open }\n'
          'policy { allow = {"198.18.0.0/15", "2001:db8::/32"} }\n')


UNTRUSTED = 13
NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


def make(folder, name, since=NOW - DAY, until=NOW + 30 * DAY):
    """A self-signed certificate in the files of a listener, readable by root alone."""
    key, cert = folder / "relay.key", folder / "relay.pem"
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
    made = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
            .public_key(private.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(since).not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("relay.example")]), False)
            .sign(private, hashes.SHA256()))
    new = folder / "new"
    for path, data in ((key, private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption())), (cert, made.public_bytes(serialization.Encoding.PEM))):
        new.write_bytes(data)
        new.chmod(0o600)
        new.rename(path)
    return cert, key


@pytest.fixture
def hybrid(start_relay, tmp_path):
    folder = tmp_path / "private"
    folder.mkdir(0o700)
    cert, key = make(folder, "first")
    return start_relay("relay-v4only", config=CONFIG +
                       'listener main { port = 443 profile = hybrid '
                       f'cert = "{cert}" key = "{key}" }}\n')


def reload(relay):
    relay.proc.popen.send_signal(signal.SIGHUP)


def pinging(lab, relay, target, cert):
    der = x509.load_pem_x509_certificate(cert.read_bytes())
    pin = der.fingerprint(hashes.SHA256()).hex()
    return daemon.ping(lab["peer-v4"], relay.address(4), target, f"sha256:{pin}",
                       "--profile", "hybrid")


def logged(relay, *words):
    return wait_until(lambda: [line for line in relay.proc.text().splitlines()
                               if all(word in line for word in words)])


def test_a_renewed_certificate_is_served_after_a_reload_and_old_connections_live_on(
        lab, hybrid, forward, targets, tmp_path):
    client = forward("peer-v4", hybrid, targets["target-v4"], "--profile", "hybrid")
    assert exchange(client.peer, client.address, 1200)["same"] == [1200]
    cert, _ = make(tmp_path / "private", "second")
    reload(hybrid)
    logged(hybrid, "certificate ", "listener=main")
    done = pinging(lab, hybrid, targets["target-v4"], cert)
    assert done.returncode == 0, done.stderr
    assert exchange(client.peer, client.address, 1200)["same"] == [1200]


def test_a_broken_new_file_keeps_the_old_certificate_and_is_named(lab, hybrid, targets, tmp_path):
    kept = tmp_path / "kept.pem"
    served = tmp_path / "private" / "relay.pem"
    kept.write_bytes(served.read_bytes())
    served.write_text("garbage", encoding="ascii")
    reload(hybrid)
    line, = logged(hybrid, "certificate_refused")
    assert "relay.pem" in line and "the one before stays" in line
    assert pinging(lab, hybrid, targets["target-v4"], kept).returncode == 0
    served.unlink()
    reload(hybrid)
    wait_until(lambda: hybrid.proc.text().count("certificate_refused") == 2)
    assert pinging(lab, hybrid, targets["target-v4"], kept).returncode == 0


def keeper_of(relay):
    """The process ID of the keeper: it is nobody's child, but serves the same files."""
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/comm", encoding="ascii") as comm:
                if comm.read() != "culvertd-keeper\n":
                    continue
            with open(f"/proc/{name}/cmdline", encoding="utf-8") as line:
                if str(relay.run) in line.read().split("\0"):
                    return int(name)
        except OSError:
            continue
    return None


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        return dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)


def test_the_keeper_holds_files_alone_and_ends_with_the_relay(start_relay):
    relay = start_relay("relay-v4only", config=CONFIG)
    keeper = keeper_of(relay)
    found = status_of(keeper)
    assert int(found["CapEff"], 16) & ~(1 << 1 | 1 << 2) == 0    # dac_override, dac_read_search
    assert found["NoNewPrivs"] == "1" and found["Seccomp"] == "2" and found["Threads"] == "1"
    links = {os.readlink(f"/proc/{keeper}/fd/{fd}") for fd in os.listdir(f"/proc/{keeper}/fd")
             if int(fd) > 2}
    assert len(links) == 1 and links.pop().startswith("socket:")
    relay.stop()
    wait_until(lambda: not os.path.exists(f"/proc/{keeper}"))


def test_a_relay_without_its_keeper_serves_on(lab, hybrid, forward, targets):
    os.kill(keeper_of(hybrid), signal.SIGKILL)
    logged(hybrid, "keeper_lost")
    client = forward("peer-v4", hybrid, targets["target-v4"], "--profile", "hybrid")
    assert exchange(client.peer, client.address, 100)["same"] == [100]
    # The configuration is in a folder of root's.
    reload(hybrid)
    logged(hybrid, "reload_refused", "Permission denied", "nothing was changed")
    assert exchange(client.peer, client.address, 100)["same"] == [100]


def test_a_certificate_out_of_its_dates_is_an_error_at_check_and_loud_at_run_time(
        lab, start_relay, tmp_path):
    for dates, says, event, tells in (
            ((NOW - 90 * DAY, NOW - DAY), "has expired", "certificate_expired",
             "its certificate expired on"),
            ((NOW + DAY, NOW + 90 * DAY), "is not valid yet", "certificate_not_yet_valid",
             "its certificate is not valid before")):
        cert, key = make(tmp_path, "dated", *dates)
        config = CONFIG + ('listener main { port = 443 profile = hybrid '
                           f'cert = "{cert}" key = "{key}" }}\n')
        path = tmp_path / "check.conf"
        path.write_text(config, encoding="ascii")
        done = lab["relay-v4only"].run([lab.build / "culvertd", "--config", path, "--check"],
                                       check=False)
        assert done.returncode == 1 and says in done.stderr and str(cert) in done.stderr
        relay = start_relay("relay-v4only", config=config)
        assert f"{event} listener=main" in relay.proc.text()
        done = pinging(lab, relay, "198.18.4.20:7000", cert)
        assert done.returncode == UNTRUSTED and tells in done.stderr, done.stderr
        assert "the clock here says" in done.stderr
        relay.stop()


def test_a_client_tells_a_name_from_an_issuer_and_an_algorithm(lab, hybrid, targets, tmp_path):
    at, cert = hybrid.address(4), tmp_path / "private" / "relay.pem"
    other, _ = make(tmp_path, "other")
    for words, code, says in (
            (("--ca", cert, "--server-name", "relay.example"), 0, ""),
            (("--ca", cert), UNTRUSTED, f"is for relay.example, not for {hybrid.host.addr4}"),
            (("--ca", other, "--server-name", "relay.example"), UNTRUSTED,
             'the issuer "first", which is not among the 1 trusted roots')):
        done = daemon.ping(lab["peer-v4"], at, targets["target-v4"], None, "--profile", "hybrid",
                           *words)
        assert done.returncode == code and says in done.stderr, done.stderr
    done = daemon.ping(lab["peer-v4"], at, targets["target-v4"], None, "--ca", cert)
    assert done.returncode != 0 and "(ECDSA); profile pqc takes ML-DSA-65 only" in done.stderr


class Clock:
    """A wall clock that runs ahead, for programs that are started with its environment."""

    def __init__(self, folder):
        self.file, library = folder / "ahead", folder / "shift_clock.so"
        self.set(datetime.timedelta())
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-o", library,
                        Path(__file__).with_name("shift_clock.c")], check=True)
        self.wrapper = ("env", f"LD_PRELOAD={library}", f"SHIFT_CLOCK={self.file}")

    def set(self, ahead):
        # In place and of one length: programs have it mapped.
        with open(self.file, "r+b" if self.file.exists() else "wb") as out:
            out.write(f"{int(ahead.total_seconds()):<32}".encode())


@pytest.fixture
def clock(tmp_path):
    if not shutil.which("cc"):
        pytest.skip("no C compiler for the clock")
    return Clock(tmp_path)


def not_after(relay):
    listener, = relay.ctl("listeners")["listeners"]
    return listener["not_after"]


@pytest.mark.parametrize("profile", ("pqc", "hybrid"))
def test_a_relay_renews_its_own_certificate_while_it_serves(
        lab, start_relay, forward, targets, clock, profile):
    relay = start_relay("relay-v4only", wrapper=clock.wrapper, config=CONFIG +
                        f"listener main {{ port = 443 profile = {profile} }}\n")
    words = ("--profile", profile)
    client = forward("peer-v4", relay, targets["target-v4"], *words)
    first = not_after(relay)
    # Two thirds of its year are over, later all of it.
    for ahead, least in ((200 * DAY, 0), (260 * DAY, 250), (700 * DAY, 690)):
        clock.set(ahead)
        wait_until(lambda: (not_after(relay) - first) // 86400 >= least)
        assert (not_after(relay) == first) == (least == 0)
        done = lab["peer-v4"].run([*clock.wrapper, lab.build / "culvert", "ping", "--relay",
                                   relay.address(4), "--target", targets["target-v4"], "--pin",
                                   relay.fingerprint, "--count", 1, *words], check=False)
        assert done.returncode == 0, done.stderr
    assert exchange(client.peer, client.address, 1200)["same"] == [1200]


def test_a_client_whose_clock_is_wrong_is_told_so(lab, start_relay, targets, clock):
    relay = start_relay("relay-v4only", config=CONFIG)
    for ahead, says in ((-20000 * DAY, "before this program was built"),
                        (400 * DAY, "its certificate expired on")):
        clock.set(ahead)
        done = lab["peer-v4"].run([*clock.wrapper, lab.build / "culvert", "ping", "--relay",
                                   relay.address(4), "--target", targets["target-v4"], "--pin",
                                   relay.fingerprint], check=False)
        assert done.returncode == UNTRUSTED and says in done.stderr, done.stderr
        assert "the clock here says" in done.stderr


def test_the_metric_tells_when_a_certificate_expires(start_relay):
    relay = start_relay("relay-v4only", config=CONFIG + 'metrics { listen = "127.0.0.1:9464" }\n')
    text = relay.host.run(["curl", "-s", "http://127.0.0.1:9464/metrics"]).stdout
    line, = [line for line in text.splitlines()
             if line.startswith("culvert_certificate_not_after_seconds{")]
    listener, = relay.ctl("listeners")["listeners"]
    assert int(line.split()[1]) == listener["not_after"] > 0


def test_the_relays_own_certificate_tells_nobody_its_private_addresses(lab, start_relay):
    host = lab["relay"]
    host.ip("addr", "replace", "45.66.77.99/32", "dev", "lo")
    host.ip("addr", "replace", "10.9.8.7/32", "dev", "lo")
    host.ip("addr", "replace", "fd00:9::7/128", "dev", "lo")
    try:
        for more, expected in (("", {"45.66.77.99"}),
                               ('access { mode = open host = "relay.example" }\n'
                                f'listener main {{ port = 443 address = "{host.addr4}" }}\n',
                                {"45.66.77.99", "relay.example", host.addr4}),
                               ('certificate-names = {"10.9.8.7"}\n', {"10.9.8.7"})):
            relay = start_relay("relay", config='datapath = "sock"\nuser = "nobody"\n' + more)
            names = set(daemon.names_of(relay.state / "tls" / "pqc.pem"))
            # The host's name is one of them unless they are given.
            assert names >= expected and len(names - expected) == ("certificate" not in more)
            assert all(name.count(".") != 3 and ":" not in name for name in names - expected)
            relay.stop()
    finally:
        for address in ("45.66.77.99/32", "10.9.8.7/32", "fd00:9::7/128"):
            host.ip("addr", "del", address, "dev", "lo")
