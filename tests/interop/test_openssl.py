# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenSSL 3.5's QUIC client, which knows ML-KEM and ML-DSA, against both listeners.

Debian 12 has an older one: the program comes from the next release and is unpacked, not installed.
"""
import pytest

import daemon
import newer

PQC, HYBRID = 443, 8443
MLDSA = ("-sigalgs", "mldsa65")

# Groups, further options, port: none of these may get in.
REFUSED = {
    "a classical key exchange": ("X25519", MLDSA, PQC),
    "every classical key exchange": ("X25519:P-256:P-384:P-521:x448:ffdhe2048", MLDSA, PQC),
    "a hybrid key exchange": ("X25519MLKEM768", MLDSA, PQC),
    "a smaller module": ("MLKEM512", MLDSA, PQC),
    "a larger module": ("MLKEM1024", MLDSA, PQC),
    "classical signatures only": ("MLKEM768", ("-sigalgs", "ecdsa_secp256r1_sha256:ed25519:"
                                               "rsa_pss_rsae_sha256"), PQC),
    "a smaller signature": ("MLKEM768", ("-sigalgs", "mldsa44"), PQC),
    "a larger signature": ("MLKEM768", ("-sigalgs", "mldsa87"), PQC),
    "another protocol": ("MLKEM768", (*MLDSA, "-alpn", "hq-interop"), PQC),
    "a classical key exchange at the hybrid listener": ("X25519", (), HYBRID),
    "P-256 at the hybrid listener": ("P-256", (), HYBRID),
    "ML-KEM alone at the hybrid listener": ("MLKEM768", (), HYBRID),
}


@pytest.fixture(scope="session")
def openssl(build):
    """The words that run it."""
    try:
        root = newer.unpack(build / "interop" / "openssl", "openssl", "libc6")
    except newer.NotAvailable as why:
        pytest.skip(f"OpenSSL 3.5 cannot be had here: {why}")
    return newer.command(root, "usr/bin/openssl")


@pytest.fixture(scope="module")
def classical(openssl, lab, tmp_path_factory):
    """Key and certificate of a client, on P-256."""
    folder = tmp_path_factory.mktemp("client")
    lab["peer-v4"].run([*openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=client", "-days", 1,
                        "-keyout", folder / "key", "-out", folder / "cert", "-config",
                        "/dev/null"])
    return "-key", folder / "key", "-cert", folder / "cert"


def shake(openssl, lab, relay, port, *options, family=4):
    """Connect, and say what s_client said and what the relay counted."""
    peer = lab[f"peer-v{family}"]
    at = daemon.endpoint(relay.host.addr4 if family == 4 else relay.host.addr6, port)
    before = relay.ctl("status")["counters"]
    alpn = () if "-alpn" in options else ("-alpn", "h3")
    said = peer.run(["sh", "-c", 'echo Q | "$@"', "s_client", *openssl, "s_client", "-quic",
                     "-connect", at, "-verify_return_error", *alpn, *options], check=False)
    after = relay.ctl("status")["counters"]
    counted = {name: after[name] - before[name]
               for name in ("handshakes", "handshakes_failed", "requests")}
    return said, counted


@pytest.mark.parametrize("family", (4, 6))
def test_openssls_post_quantum_client_connects_and_verifies_the_chain(
        openssl, lab, relay, family):
    said, counted = shake(openssl, lab, relay, PQC, "-groups", "MLKEM768", *MLDSA, "-CAfile",
                          relay.pqc_ca, family=family)
    assert said.returncode == 0 and "Verification: OK" in said.stdout
    assert "Peer signature type: mldsa65" in said.stdout and "ALPN protocol: h3" in said.stdout
    assert "Protocol: QUICv1" in said.stdout
    assert counted == {"handshakes": 1, "handshakes_failed": 0, "requests": 0}


@pytest.mark.parametrize("groups", ("X25519:MLKEM768", "MLKEM768:X25519",
                                    "X25519MLKEM768:MLKEM768"))
def test_a_client_that_offers_more_groups_gets_the_post_quantum_one(openssl, lab, relay, groups):
    said, counted = shake(openssl, lab, relay, PQC, "-groups", groups, *MLDSA, "-CAfile",
                          relay.pqc_ca)
    assert said.returncode == 0 and counted["handshakes"] == 1, said


def test_openssls_hybrid_client_connects_to_the_hybrid_listener(openssl, lab, relay):
    said, counted = shake(openssl, lab, relay, HYBRID, "-groups", "X25519MLKEM768", "-CAfile",
                          relay.hybrid_ca)
    assert said.returncode == 0 and "Verification: OK" in said.stdout
    assert counted["handshakes"] == 1


@pytest.mark.parametrize("name", REFUSED)
def test_weaker_handshakes_are_refused_before_any_request(openssl, lab, relay, name):
    groups, options, port = REFUSED[name]
    said, counted = shake(openssl, lab, relay, port, "-groups", groups, *options)
    assert said.returncode != 0
    assert counted == {"handshakes": 0, "handshakes_failed": 1, "requests": 0}


@pytest.mark.parametrize("groups", ("X25519", "X25519MLKEM768", "MLKEM768"))
def test_a_client_with_a_classical_certificate_is_no_exception(
        openssl, lab, relay, classical, groups):
    """The relay asks no client for a certificate: one changes nothing."""
    said, counted = shake(openssl, lab, relay, PQC, "-groups", groups, *MLDSA, "-CAfile",
                          relay.pqc_ca, *classical)
    if groups == "MLKEM768":
        assert said.returncode == 0 and "No client certificate CA names sent" in said.stdout
    else:
        assert said.returncode != 0 and counted["handshakes_failed"] == 1
    assert counted["requests"] == 0
