# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors name their cause, and each kind has an exit status of its own."""
import re

import pytest

import apps
import daemon
from lab import REPOSITORY
from netns import LabError

NO_REPLY, NO_ANSWER, CLASSICAL, UNTRUSTED, NO_NAME, NO_RELAY_NAME = 3, 11, 12, 13, 16, 18
PIN = "sha256:" + 64 * "0"


# ---- culvert ----

def test_another_fingerprint_than_the_relays_is_not_trusted(lab, relay, targets):
    done = daemon.ping(lab["peer-v4"], relay.address(4), targets["target-v4"], PIN)
    assert done.returncode == UNTRUSTED
    assert done.stderr == (f"culvert: the certificate of relay {relay.address(4)} is not trusted: "
                           "neither its certificate nor one of its chain is the pinned one\n")


def test_a_certificate_authority_from_a_file_is_trusted_and_another_is_not(
        lab, relay, start_relay, targets):
    # The lab's addresses are private, so its name alone is in the certificate.
    name, = daemon.names_of(relay.state / "tls" / "pqc.pem")
    words = [lab.build / "culvert", "ping", "--relay", relay.address(4), "--target",
             targets["target-v4"], "--count", 1, "--server-name", name]
    authorities = [path for path in relay.state.rglob("*") if path.is_file()
                   and b"BEGIN CERTIFICATE" in path.read_bytes()]
    good = [lab["peer-v4"].run([*words, "--ca", path], check=False).returncode == 0
            for path in authorities]
    assert any(good)
    other = start_relay("relay-v4only")
    for path in other.state.rglob("*"):
        if path.is_file() and b"BEGIN CERTIFICATE" in path.read_bytes():
            done = lab["peer-v4"].run([*words, "--ca", path], check=False)
            assert done.returncode == UNTRUSTED, done.stderr


def test_a_classical_server_is_refused_as_classical(lab, tmp_path, targets):
    server = apps.serve_quic(lab["target-v4"], tmp_path / "quic", size=16)
    for profile in ("pqc", "hybrid"):
        done = daemon.ping(lab["peer-v4"], "198.18.4.20:4433", targets["target-v6"], PIN,
                           "--profile", profile)
        assert done.returncode == CLASSICAL, done.stderr
        assert "no acceptable post-quantum key exchange or certificate" in done.stderr
    server.stop()


def test_a_classical_client_is_refused_at_once_and_not_asked_for_another_group(
        lab, start_relay):
    """GnuTLS as Debian has it knows no post-quantum group, and says which alert it got."""
    relay = start_relay("relay-v4only", config='datapath = "sock"\n'
                        "listener main { port = 443 }\n"
                        "listener web { port = 8443 profile = hybrid }\n")
    host = relay.host.addr4
    for port in (443, 8443):
        done = lab["peer-v4"].run(
            [apps.QUIC_CLIENT, "--no-http-dump", "--timeout=10s", host, port,
             f"https://{host}/"], check=False, timeout=30)
        said = done.stdout + done.stderr
        assert re.search(r"CONNECTION_CLOSE\(0x1c\) error_code=CRYPTO_ERROR\(0x128\)", said), said
    assert relay.ctl("status")["counters"]["handshakes_failed"] == 2


def test_a_name_that_does_not_exist_is_not_found(lab, relay, targets):
    # The relay's name server, which the lab's hosts look for at home.
    server = lab["relay"].start(
        ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
         "--user=root", "--pid-file", "--bind-interfaces", "--listen-address=127.0.0.1",
         "--local=/example/"])
    server.wait_line(r"\bstarted\b")
    done = daemon.ping(lab["peer-v4"], relay.address(4), "nobody.example:7000", relay.fingerprint)
    server.stop()
    assert done.returncode == NO_NAME
    assert "culvert: the relay cannot find the name nobody.example" in done.stderr


def test_an_unreachable_name_server_is_distinguished_from_an_unknown_name(lab, relay):
    done = daemon.ping(lab["peer-v4"], relay.address(4), "unreached.example:7000", relay.fingerprint)
    assert done.returncode == NO_NAME
    assert "resolver did not answer for unreached.example (status 504" in done.stderr


SILENT_SERVER = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 53))
print("ready", flush=True)
time.sleep(60)
"""


def test_a_request_without_a_timely_answer_is_cancelled(lab, relay):
    server = lab["relay"].start(["python3", "-c", SILENT_SERVER])
    server.wait_line(r"^ready")
    done = daemon.ping(lab["peer-v4"], relay.address(4), "silent.example:7000", relay.fingerprint,
                       "--answer-timeout", "1")
    server.stop()
    assert done.returncode == NO_ANSWER
    assert done.stderr == "culvert: no answer from the relay for target silent.example within 1 s\n"


def test_a_relay_name_that_does_not_exist_is_not_found(lab, targets):
    done = daemon.ping(lab["peer-v4"], "nobody.example:443", targets["target-v4"], PIN)
    assert done.returncode == NO_RELAY_NAME
    assert done.stderr == "culvert: no such relay: nobody.example\n"


def test_a_silent_target_is_no_error_of_the_relay(lab, relay):
    done = daemon.ping(lab["peer-v6"], relay.address(6), "198.18.4.20:9", relay.fingerprint)
    assert done.returncode == NO_REPLY
    assert done.stderr == ""


USAGE = [
    ([], "a command is missing"),
    (["fly"], "no such command: fly"),
    (["ping"], "--relay LINK or HOST:PORT is required"),
    (["ping", "--relay", "r:1"], "--target HOST:PORT is required"),
    (["forward", "--relay", "r:1", "--target", "t:1", "--pin", PIN],
     "--listen ADDR:PORT is required"),
    (["ping", "--relay", "r:1", "--target", "t:1"],
     "exactly one of --ca FILE and --pin sha256:HEX is required"),
    (["ping", "--relay", "r", "--target", "t:1", "--pin", PIN], "bad value for --relay: r"),
    (["ping", "--relay", "::1:443"], "bad value for --relay: ::1:443"),
    (["ping", "--relay", "r:1", "--target", "t:1", "--pin", "sha256:12"], "bad value for --pin"),
    (["ping", "--count", "0"], "bad value for --count: 0"),
    (["ping", "--answer-timeout", "0"], "bad value for --answer-timeout: 0"),
    (["ping", "--profile", "classical"], "bad value for --profile: classical"),
    (["listen", "--privacy", "some"], "bad value for --privacy: some"),
    (["ping", "--fast"], "unknown or incomplete option: --fast"),
    (["ping", "--relay", "r:1", "more"], "unexpected argument: more"),
]


RENAMED = [("answer", "answer-timeout"), ("log", "log-level"), ("look", "spin"),
           ("name", "server-name"), ("peer", "permit"), ("remotes", "remotes-max")]


@pytest.mark.parametrize("old, new", RENAMED)
@pytest.mark.parametrize("form", ["--{}", "--{}=1", "--{} 1"])
def test_a_former_option_is_an_error_that_names_the_new_one(lab, old, new, form):
    words = form.format(old).split()
    done = lab["peer-v4"].run([lab.build / "culvert", "bind", *words], check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"culvert: --{old} is now called --{new}\n"


@pytest.mark.parametrize("words, said", USAGE)
def test_culvert_reports_what_is_wrong_with_its_command_line(lab, words, said):
    done = lab["peer-v4"].run([lab.build / "culvert", *words], check=False)
    assert done.returncode == 2
    assert said in done.stderr and done.stdout == ""


# ---- culvertd ----

CONFIG = [
    ("colour = blue\n", ":1: no such option 'colour'"),
    ("\nlistener main {\n\tport = 70000\n}\n", ":3: port = 70000 is outside 1 to 65535"),
    ("listener main { profile = classical }\n", ":1: profile = classical is none of"),
    ("\n\ndatapath = fast\n", ":3: datapath = fast is none of"),
    # The line where the section ends, in which they are seen together.
    ('policy {\n\tallow = {"198.18.0.0/45"}\n}\n', ":3: policy: 198.18.0.0/45: not an"),
    ("limits { conns = -1 }\n", ":1: conns = -1 is outside"),
    ("\negress { port-min = 3000 port-max = 2000 }\n", ":2: egress: port-min 3000 is above"),
    ("policy {\n", ": a section or comment is not closed"),
]


@pytest.mark.parametrize("text, said", CONFIG)
def test_culvertd_reports_what_is_wrong_with_its_configuration_and_where(lab, tmp_path, text, said):
    path = tmp_path / "bad.conf"
    path.write_text(text)
    for words in (["--check"], ["--state-dir", tmp_path / "state", "--run-dir", tmp_path / "run"]):
        done = lab["relay-v4only"].run([lab.build / "culvertd", "--config", path, *words],
                                       check=False)
        assert done.returncode == 1, done.stderr
        assert f"culvertd: {path}{said}" in done.stderr
        assert "ready" not in done.stdout
    assert not (tmp_path / "state").exists()


def test_a_missing_configuration_file_is_an_error(lab, tmp_path):
    done = lab["relay"].run([lab.build / "culvertd", "--config", tmp_path / "none", "--check"],
                            check=False)
    assert done.returncode == 1 and str(tmp_path / "none") in done.stderr


def test_the_shipped_configuration_is_the_default_one(lab):
    done = lab["relay"].run([lab.build / "culvertd", "--print-config"])
    shipped = daemon.Path(__file__).resolve().parents[2] / "deploy/culvert.conf"
    assert done.stdout == shipped.read_text()
    done = lab["relay"].run([lab.build / "culvertd", "--config", shipped, "--check"])
    assert done.stdout.endswith(": ok\n")


def test_a_data_path_the_host_lacks_is_a_start_error_when_it_is_asked_for(
        lab, start_relay, tmp_path):
    with pytest.raises(LabError, match="zero-copy"):
        start_relay("relay-v4only", datapath="zerocopy")
    relay = daemon.Relay(lab["relay-v4only"], tmp_path)
    assert relay.left_behind() == []


# ---- the manual page ----

def test_the_manual_page_has_every_option_and_every_exit_status(lab):
    page = (REPOSITORY / "deploy/man/culvert.1.scd").read_text()
    usage = lab["peer-v4"].run([lab.build / "culvert", "--help"]).stdout
    assert set(re.findall(r"--[a-z-]+", usage)) == set(re.findall(r"^\*(--[a-z-]+)\*", page, re.M)) \
        | set(re.findall(r"^\*--help\*, \*(--version)\*", page, re.M))
    header = (REPOSITORY / "tools/culvert/options.h").read_text()
    status = re.search(r"enum status \{(.*?)\};", header, re.S).group(1)
    assert re.findall(r"STATUS_\w+ = (\d+)", status) \
        == re.findall(r"^\|[\[ ] \*(\d+)\*", page, re.M)
