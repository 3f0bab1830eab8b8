/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/tls/tls_session.h"
#include "datapath/base/err.h"
#include "datapath/base/varint.h"
#include "datapath/crypto/aead.h"

#include <stdlib.h>
#include <string.h>
#include <wolfssl/quic.h>

/*
 * Two transport parameters of ours; servers ignore those they do not know (RFC 9000 section 7.4.2).
 *
 * PADDING, one of the reserved ones, makes a pqc client's ClientHello long: three times what it
 * sent has to cover the relay's first flight, 11.1 kB with a leaf of ML-DSA-65.  1.5 kB of
 * ClientHello and this make four datagrams.
 *
 * SEND_ROOT, empty, asks a relay for the root behind its leaf.  A root of ML-DSA-65 is 5.6 kB, more
 * than the first congestion window has left, so only clients get it that know it by fingerprint.
 */
enum {
	PADDING_ID = 27 + 31 * 59,
	PADDING_LEN = 2400,
	SEND_ROOT_ID = 0x36d2e94b,
	PARAMS_MAX = 512, /* all others together */
};

_Static_assert((SEND_ROOT_ID - 27) % 31 != 0, "a reserved parameter means nothing");

/* ---- profile ---- */

static const struct {
	const char *library_name;
	const char *name;
	bool in_profile[2]; /* by enum clv_profile */
} groups[] = {
	{ "ML_KEM_768", "MLKEM768", { [CLV_PROFILE_PQC] = true } },
	{ "X25519MLKEM768", "X25519MLKEM768", { [CLV_PROFILE_HYBRID] = true } },
	{ "SecP256r1MLKEM768", "SecP256r1MLKEM768", { [CLV_PROFILE_HYBRID] = true } },
};

/* Record the negotiated group.  Returns whether the profile allows it. */
static bool record_group(struct clv_tls_session *s)
{
	const char *used = wolfSSL_get_curve_name(s->ssl);

	for (size_t i = 0; used && i < sizeof(groups) / sizeof(groups[0]); i++) {
		if (strcmp(groups[i].library_name, used) != 0)
			continue;
		s->facts.group = groups[i].name;
		s->facts.is_post_quantum_group = true;
		return groups[i].in_profile[s->profile];
	}
	return false;
}

/* Record the negotiated suite.  Returns it, or 0 for one that we never offered. */
static enum clv_suite record_suite(struct clv_tls_session *s)
{
	enum clv_suite suite = (enum clv_suite)wolfSSL_get_current_cipher_suite(s->ssl);

	switch (suite) {
	case CLV_SUITE_AES_128_GCM_SHA256:
		s->facts.suite = "TLS_AES_128_GCM_SHA256";
		return suite;
	case CLV_SUITE_AES_256_GCM_SHA384:
		s->facts.suite = "TLS_AES_256_GCM_SHA384";
		return suite;
	default:
		return 0;
	}
}

/* Whether both ends agreed on our protocol; QUIC requires that they agree on one (RFC 9001 8.1). */
static bool is_protocol_ours(struct clv_tls_session *s)
{
	char *name = NULL;
	unsigned short len = 0;

	return wolfSSL_ALPN_GetProtocol(s->ssl, &name, &len) == WOLFSSL_SUCCESS &&
	       len == strlen(s->alpn) && memcmp(name, s->alpn, len) == 0;
}

void clv_tls_record_alert(struct clv_tls_session *s, uint8_t alert)
{
	if (s->has_alert)
		return;
	s->has_alert = true;
	s->alert = alert;
	ngtcp2_conn_set_tls_alert(s->qc, alert);
}

void clv_tls_record_why(struct clv_tls_session *s, const char *why)
{
	if (!s->why)
		s->why = strdup(why);
}

/* Check, before the first protected byte, the key exchange and the protocol. */
static bool accept_hello(struct clv_tls_session *s)
{
	if (!record_group(s)) {
		s->is_classical = true;
		clv_tls_record_alert(s, CLV_ALERT_HANDSHAKE_FAILURE);
		return false;
	}
	/* A client gets the protocol one message later, in EncryptedExtensions. */
	if (s->is_server && !is_protocol_ours(s)) {
		clv_tls_record_alert(s, CLV_ALERT_NO_APPLICATION_PROTOCOL);
		return false;
	}
	return true;
}

/* Client: check the server before sending Finished. */
static bool accept_server(struct clv_tls_session *s)
{
	if (!is_protocol_ours(s)) {
		clv_tls_record_alert(s, CLV_ALERT_NO_APPLICATION_PROTOCOL);
		return false;
	}
	/* The library has asked about the certificates before; nothing else stands for them. */
	if (!s->is_trusted) {
		s->is_untrusted = true;
		clv_tls_record_alert(s, CLV_ALERT_UNKNOWN_CA);
		return false;
	}
	return true;
}

/* ---- transport parameters ---- */

static bool set_remote_params(struct clv_tls_session *s)
{
	const uint8_t *params;
	size_t len;
	int rv;

	wolfSSL_get_peer_quic_transport_params(s->ssl, &params, &len);
	if (!params) {
		clv_tls_record_alert(s, CLV_ALERT_MISSING_EXTENSION); /* RFC 9001 section 8.2 */
		return false;
	}
	rv = ngtcp2_conn_decode_and_set_remote_transport_params(s->qc, params, len);
	if (rv)
		ngtcp2_conn_set_tls_error(s->qc, rv);
	return rv == 0;
}

/*
 * Whether the client requests the root, by a parameter of ours.  ngtcp2 has validated the encoding.
 */
static bool wants_root(struct clv_tls_session *s)
{
	const uint8_t *p, *end;
	uint64_t id, param_len;
	size_t len;

	wolfSSL_get_peer_quic_transport_params(s->ssl, &p, &len);
	end = p + len;
	while (p < end) {
		if (clv_varint_read(&p, end, &id) || clv_varint_read(&p, end, &param_len) ||
		    param_len > (uint64_t)(end - p))
			return false;
		if (id == SEND_ROOT_ID)
			return true;
		p += param_len;
	}
	return false;
}

/* Choose the chain to send, before the Certificate message is written. */
static bool choose_chain(struct clv_tls_session *s)
{
	if (!s->ctx_with_root || !wants_root(s))
		return true;
	return wolfSSL_set_SSL_CTX(s->ssl, s->ctx_with_root) == s->ctx_with_root;
}

/* Append a parameter of zeros; there must be room.  Returns the new length. */
static size_t put_zeros(uint8_t *buf, size_t len, size_t room, uint64_t id, size_t zeros)
{
	uint8_t *p = buf + len, *const end = buf + room;

	if (clv_varint_write(&p, end, id) || clv_varint_write(&p, end, zeros) ||
	    zeros > (size_t)(end - p))
		return len;
	memset(p, 0, zeros);
	return (size_t)(p - buf) + zeros;
}

static bool set_local_params(struct clv_tls_session *s)
{
	uint8_t buf[PARAMS_MAX + PADDING_LEN + 32];
	ngtcp2_ssize n;
	size_t len;

	n = ngtcp2_conn_encode_local_transport_params2(s->qc, buf, PARAMS_MAX);
	if (n < 0)
		return false;
	len = (size_t)n;
	if (s->is_pinned && !s->is_peer)
		len = put_zeros(buf, len, sizeof(buf), SEND_ROOT_ID, 0);
	if (!s->is_server && s->profile == CLV_PROFILE_PQC)
		len = put_zeros(buf, len, sizeof(buf), PADDING_ID, PADDING_LEN);
	return wolfSSL_set_quic_transport_params(s->ssl, buf, len) == WOLFSSL_SUCCESS;
}

/* ---- callbacks of wolfSSL ---- */

static ngtcp2_encryption_level level_of(WOLFSSL_ENCRYPTION_LEVEL level)
{
	switch (level) {
	case wolfssl_encryption_initial:
		return NGTCP2_ENCRYPTION_LEVEL_INITIAL;
	case wolfssl_encryption_early_data:
		return NGTCP2_ENCRYPTION_LEVEL_0RTT;
	case wolfssl_encryption_handshake:
		return NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE;
	default:
		return NGTCP2_ENCRYPTION_LEVEL_1RTT;
	}
}

/* Run the checks, and set the transport parameters, that precede the keys of a level. */
static bool before_keys(struct clv_tls_session *s, ngtcp2_encryption_level level, bool has_rx)
{
	if (level == NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE && !s->has_handshake_keys) {
		if (!accept_hello(s))
			return false;
		/*
		 * The client's parameters determine the version, and with it the labels of the
		 * keys.
		 */
		if (s->is_server && !ngtcp2_conn_get_negotiated_version2(s->qc) &&
		    (!set_remote_params(s) || !choose_chain(s)))
			return false;
		s->has_handshake_keys = true;
	}
	if (level == NGTCP2_ENCRYPTION_LEVEL_1RTT && has_rx && !s->is_server)
		return accept_server(s) && set_remote_params(s);
	return true;
}

static int on_secrets(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL wolf_level, const uint8_t *rx_secret,
		      const uint8_t *tx_secret, size_t len)
{
	struct clv_tls_session *s = wolfSSL_get_app_data(ssl);
	ngtcp2_encryption_level level = level_of(wolf_level);
	enum clv_suite suite = record_suite(s);

	if (level == NGTCP2_ENCRYPTION_LEVEL_0RTT)
		return 1; /* never offered, never accepted */
	if (!suite || !before_keys(s, level, rx_secret != NULL))
		return 0;
	if (rx_secret && clv_aead_install_rx(s->qc, suite, level, rx_secret, len))
		return 0;
	if (tx_secret && clv_aead_install_tx(s->qc, suite, level, tx_secret, len))
		return 0;
	/* EncryptedExtensions, which comes next, carries them. */
	if (tx_secret && s->is_server && level == NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE)
		return set_local_params(s);
	return 1;
}

static int on_handshake_data(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL level, const uint8_t *data,
			     size_t len)
{
	struct clv_tls_session *s = wolfSSL_get_app_data(ssl);
	int rv = ngtcp2_conn_submit_crypto_data(s->qc, level_of(level), data, len);

	if (rv)
		ngtcp2_conn_set_tls_error(s->qc, rv);
	return rv == 0;
}

static int on_flush(WOLFSSL *ssl)
{
	(void)ssl; /* ngtcp2 sends when packets are requested */
	return 1;
}

static int on_alert(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL level, uint8_t alert)
{
	(void)level;
	clv_tls_record_alert(wolfSSL_get_app_data(ssl), alert);
	return 1;
}

const WOLFSSL_QUIC_METHOD clv_tls_quic_method = {
	.set_encryption_secrets = on_secrets,
	.add_handshake_data = on_handshake_data,
	.flush_flight = on_flush,
	.send_alert = on_alert,
};

/* ---- callbacks of the connection ---- */

/* Returns the error that ngtcp2 closes with after wolfSSL or one of our callbacks failed. */
static int crypto_error(struct clv_tls_session *s)
{
	int rv = ngtcp2_conn_get_tls_error2(s->qc);

	if (rv)
		return rv;
	clv_tls_record_alert(s, CLV_ALERT_INTERNAL_ERROR); /* unless there is an alert already */
	return NGTCP2_ERR_CRYPTO;
}

static bool wants_more(struct clv_tls_session *s, int rv)
{
	int error = wolfSSL_get_error(s->ssl, rv);

	return error == WOLFSSL_ERROR_WANT_READ || error == WOLFSSL_ERROR_WANT_WRITE;
}

/* Free a server's TLS state, 18 kB per connection: it sends nothing after the handshake. */
static void end_tls(struct clv_tls_session *s)
{
	wolfSSL_free(s->ssl);
	wolfSSL_CTX_free(s->ctx_with_root);
	s->ssl = NULL;
	s->ctx_with_root = NULL;
}

/* Let wolfSSL process what it has received.  Returns 0 or as crypto_error. */
static int advance(struct clv_tls_session *s)
{
	int rv;

	if (!ngtcp2_conn_get_handshake_completed2(s->qc)) {
		rv = wolfSSL_quic_do_handshake(s->ssl);
		if (rv != WOLFSSL_SUCCESS)
			return wants_more(s, rv) ? 0 : crypto_error(s);
		ngtcp2_conn_tls_handshake_completed(s->qc);
		if (s->is_server) {
			end_tls(s);
			return 0;
		}
	}
	rv = wolfSSL_process_quic_post_handshake(s->ssl);
	if (rv != WOLFSSL_SUCCESS && !wants_more(s, rv))
		return crypto_error(s);
	return 0;
}

static struct clv_tls_session *session_of(ngtcp2_conn *qc)
{
	return ngtcp2_conn_get_tls_native_handle2(qc);
}

static int client_initial(ngtcp2_conn *qc, void *user_data)
{
	struct clv_tls_session *s = session_of(qc);
	uint32_t version = ngtcp2_conn_get_client_chosen_version2(qc);

	(void)user_data;
	if (clv_aead_install_initial(qc, version, ngtcp2_conn_get_dcid2(qc), 0) ||
	    clv_aead_install_retry(qc, version) || !set_local_params(s) || advance(s))
		return NGTCP2_ERR_CALLBACK_FAILURE;
	return 0;
}

static int recv_client_initial(ngtcp2_conn *qc, const ngtcp2_cid *dcid, void *user_data)
{
	uint32_t version = ngtcp2_conn_get_client_chosen_version2(qc);

	(void)user_data;
	return clv_aead_install_initial(qc, version, dcid, 1) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int recv_retry(ngtcp2_conn *qc, const ngtcp2_pkt_hd *hd, void *user_data)
{
	uint32_t version = ngtcp2_conn_get_client_chosen_version2(qc);

	(void)user_data;
	return clv_aead_install_initial(qc, version, &hd->scid, 0) ? NGTCP2_ERR_CALLBACK_FAILURE
								   : 0;
}

static WOLFSSL_ENCRYPTION_LEVEL wolf_level_of(ngtcp2_encryption_level level)
{
	switch (level) {
	case NGTCP2_ENCRYPTION_LEVEL_INITIAL:
		return wolfssl_encryption_initial;
	case NGTCP2_ENCRYPTION_LEVEL_0RTT:
		return wolfssl_encryption_early_data;
	case NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE:
		return wolfssl_encryption_handshake;
	default:
		return wolfssl_encryption_application;
	}
}

/*
 * Server: whether the ClientHello, as far as it is here, may go on to the library.  That would answer
 * one that lists none of our groups by requesting a group which the client does not have.
 */
static bool accept_offer(struct clv_tls_session *s, const uint8_t *data, size_t len)
{
	switch (clv_hello_feed(&s->hello, data, len)) {
	case CLV_HELLO_NOT_OFFERED:
		s->is_classical = true;
		clv_tls_record_alert(s, CLV_ALERT_HANDSHAKE_FAILURE);
		return false;
	case CLV_HELLO_NO_LIST:
		s->is_classical = true;
		clv_tls_record_alert(s, CLV_ALERT_MISSING_EXTENSION);
		return false;
	default:
		return true;
	}
}

static int recv_crypto_data(ngtcp2_conn *qc, ngtcp2_encryption_level level, uint64_t offset,
			    const uint8_t *data, size_t data_len, void *user_data)
{
	struct clv_tls_session *s = session_of(qc);

	(void)offset;
	(void)user_data;
	if (!s->ssl) {
		/* A client sends nothing after Finished: QUIC has no KeyUpdate (RFC 9001 section
		 * 6), and we request no certificate later. */
		clv_tls_record_alert(s, CLV_ALERT_UNEXPECTED_MESSAGE);
		return crypto_error(s);
	}
	if (s->is_server && level == NGTCP2_ENCRYPTION_LEVEL_INITIAL &&
	    !accept_offer(s, data, data_len))
		return crypto_error(s);
	if (data_len && wolfSSL_provide_quic_data(s->ssl, wolf_level_of(level), data, data_len) !=
				WOLFSSL_SUCCESS)
		return crypto_error(s);
	return advance(s);
}

static void session_free(void *session)
{
	struct clv_tls_session *s = session;

	if (!s)
		return;
	end_tls(s);
	clv_anchors_unref(s->anchors);
	free(s->name);
	free(s->why);
	free(s);
}

const struct clv_conn_tls_ops clv_tls_ops = {
	.client_initial = client_initial,
	.recv_client_initial = recv_client_initial,
	.recv_retry = recv_retry,
	.recv_crypto_data = recv_crypto_data,
	.free = session_free,
};
