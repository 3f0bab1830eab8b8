/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * null_tls - takes the place of control/tls in a fuzzer: a handshake without cryptography.
 *
 *   client                               server
 *   Initial: its parameters       ->
 *                                 <-     Initial: one byte; Handshake: its parameters
 *   Handshake: one byte           ->
 *
 * Parameters are those of QUIC, after their length in two bytes.  Secrets are the same every time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/tls/certs.h"
#include "control/tls/tls.h"
#include "datapath/base/err.h"
#include "datapath/crypto/aead.h"
#include "datapath/quic/conn.h"

enum {
	SECRET_LEN = 32,
	MESSAGE_MAX = 1024,
	UNEXPECTED_MESSAGE = 10, /* of TLS' alerts */
	DECODE_ERROR = 50,
};

struct clv_tls_context {
	bool is_used;
};

struct session {
	bool is_server, is_done;
	uint8_t message[MESSAGE_MAX]; /* of the peer's parameters, as far as it came */
	size_t len;
};

static const uint8_t secrets[2][SECRET_LEN] = { { 1 }, { 2 } }; /* the client's, the server's */

static int install(ngtcp2_conn *qc, const struct session *s, ngtcp2_encryption_level level,
		   bool has_rx, bool has_tx)
{
	const enum clv_suite suite = CLV_SUITE_AES_128_GCM_SHA256;

	if (has_rx && clv_aead_install_rx(qc, suite, level, secrets[!s->is_server], SECRET_LEN))
		return NGTCP2_ERR_CALLBACK_FAILURE;
	if (has_tx && clv_aead_install_tx(qc, suite, level, secrets[s->is_server], SECRET_LEN))
		return NGTCP2_ERR_CALLBACK_FAILURE;
	return 0;
}

static int send_byte(ngtcp2_conn *qc, ngtcp2_encryption_level level)
{
	return ngtcp2_conn_submit_crypto_data(qc, level, (const uint8_t *)"", 1);
}

static int send_params(ngtcp2_conn *qc, ngtcp2_encryption_level level)
{
	uint8_t message[MESSAGE_MAX];
	ngtcp2_ssize len = ngtcp2_conn_encode_local_transport_params2(qc, message + 2,
								      sizeof(message) - 2);

	if (len < 0)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	message[0] = (uint8_t)(len >> 8);
	message[1] = (uint8_t)len;
	return ngtcp2_conn_submit_crypto_data(qc, level, message, (size_t)len + 2);
}

static int fail(ngtcp2_conn *qc, uint8_t alert)
{
	ngtcp2_conn_set_tls_alert(qc, alert);
	return NGTCP2_ERR_CRYPTO;
}

/* Returns 1 when the peer's parameters are there and set, 0 when more is to come, or an error. */
static int take_params(ngtcp2_conn *qc, struct session *s, const uint8_t *data, size_t data_len)
{
	size_t len;
	int rv;

	if (data_len > sizeof(s->message) - s->len)
		return fail(qc, DECODE_ERROR);
	memcpy(s->message + s->len, data, data_len);
	s->len += data_len;
	len = s->len < 2 ? MESSAGE_MAX : (size_t)(s->message[0] << 8 | s->message[1]);
	if (s->len < len + 2)
		return 0;
	if (s->len > len + 2)
		return fail(qc, DECODE_ERROR);
	rv = ngtcp2_conn_decode_and_set_remote_transport_params(qc, s->message + 2, len);
	return rv ? rv : 1;
}

/* ---- callbacks of the connection ---- */

static int client_initial(ngtcp2_conn *qc, void *user_data)
{
	uint32_t version = ngtcp2_conn_get_client_chosen_version2(qc);

	(void)user_data;
	if (clv_aead_install_initial(qc, version, ngtcp2_conn_get_dcid2(qc), 0) ||
	    clv_aead_install_retry(qc, version))
		return NGTCP2_ERR_CALLBACK_FAILURE;
	return send_params(qc, NGTCP2_ENCRYPTION_LEVEL_INITIAL);
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

static int serve(ngtcp2_conn *qc, struct session *s, ngtcp2_encryption_level level,
		 const uint8_t *data, size_t len)
{
	int rv;

	if (level == NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE) {
		rv = install(qc, s, NGTCP2_ENCRYPTION_LEVEL_1RTT, true, false);
		s->is_done = true;
		if (!rv)
			ngtcp2_conn_tls_handshake_completed(qc);
		return rv;
	}
	rv = take_params(qc, s, data, len);
	if (rv != 1)
		return rv;
	rv = install(qc, s, NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE, true, true);
	if (!rv)
		rv = send_byte(qc, NGTCP2_ENCRYPTION_LEVEL_INITIAL);
	if (!rv)
		rv = send_params(qc, NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE);
	return rv ? rv : install(qc, s, NGTCP2_ENCRYPTION_LEVEL_1RTT, false, true);
}

static int answer(ngtcp2_conn *qc, struct session *s, ngtcp2_encryption_level level,
		  const uint8_t *data, size_t len)
{
	int rv;

	if (level == NGTCP2_ENCRYPTION_LEVEL_INITIAL)
		return install(qc, s, NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE, true, true);
	rv = take_params(qc, s, data, len);
	if (rv != 1)
		return rv;
	rv = install(qc, s, NGTCP2_ENCRYPTION_LEVEL_1RTT, true, true);
	if (!rv)
		rv = send_byte(qc, NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE);
	s->is_done = true;
	if (!rv)
		ngtcp2_conn_tls_handshake_completed(qc);
	return rv;
}

static int recv_crypto_data(ngtcp2_conn *qc, ngtcp2_encryption_level level, uint64_t offset,
			    const uint8_t *data, size_t len, void *user_data)
{
	struct session *s = ngtcp2_conn_get_tls_native_handle2(qc);

	(void)offset;
	(void)user_data;
	if (s->is_done || level == NGTCP2_ENCRYPTION_LEVEL_1RTT)
		return fail(qc, UNEXPECTED_MESSAGE);
	return s->is_server ? serve(qc, s, level, data, len) : answer(qc, s, level, data, len);
}

const struct clv_conn_tls_ops clv_tls_ops = {
	.client_initial = client_initial,
	.recv_client_initial = recv_client_initial,
	.recv_retry = recv_retry,
	.recv_crypto_data = recv_crypto_data,
	.free = free,
};

/* ---- control/tls/tls.h and what the world uses of certs.h ---- */

int clv_certs_ensure(enum clv_profile profile, const char *state_dir, const char *const *names,
		     size_t names_len, struct clv_certs *out, char *error, size_t error_len)
{
	(void)profile, (void)state_dir, (void)names, (void)names_len, (void)error, (void)error_len;
	memset(out, 0, sizeof(*out));
	return 0;
}

static int make_context(struct clv_tls_context **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

int clv_tls_server_context(const struct clv_tls_server_params *p, struct clv_tls_context **out,
			   char *error, size_t error_len)
{
	(void)p, (void)error, (void)error_len;
	return make_context(out);
}

int clv_tls_client_context(const struct clv_tls_client_params *p, struct clv_tls_context **out,
			   char *error, size_t error_len)
{
	(void)p, (void)error, (void)error_len;
	return make_context(out);
}

void clv_tls_server_ask(struct clv_tls_context *ctx, bool asks_clients)
{
	(void)ctx;
	(void)asks_clients;
}

int clv_tls_attach(struct clv_tls_context *ctx, struct clv_conn *conn, const char *server_name)
{
	struct session *s = calloc(1, sizeof(*s));

	(void)server_name;
	if (!s)
		return -ENOMEM;
	ctx->is_used = true;
	s->is_server = conn->is_server;
	ngtcp2_conn_set_tls_native_handle(conn->qc, s);
	clv_conn_set_tls(conn, s, &clv_tls_ops);
	return 0;
}

int clv_tls_verify_profile(const struct clv_conn *conn, struct clv_tls_facts *facts)
{
	(void)conn;
	*facts = (struct clv_tls_facts){ .group = "none", .suite = "none", .signature = "none" };
	return 0;
}

int clv_tls_failure(const struct clv_conn *conn)
{
	(void)conn;
	return 0;
}

const char *clv_tls_why(const struct clv_conn *conn)
{
	(void)conn;
	return "";
}
