/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keys in a connection of ngtcp2: put in, used, updated, and gone with it. */
#include "tests/unit/check.h"

#include "datapath/base/err.h"
#include "datapath/crypto/aead.h"
#include "tests/unit/crypto/aead_fixture.h"

struct got {
	uint8_t crypto[512];
	size_t len;
	int refuse_keys;
};

static int on_client_initial(ngtcp2_conn *qc, void *user_data)
{
	(void)qc;
	(void)user_data;
	return 0;
}

static int on_recv_client_initial(ngtcp2_conn *qc, const ngtcp2_cid *dcid, void *user_data)
{
	(void)user_data;
	assert_int_equal(clv_aead_install_initial(qc, NGTCP2_PROTO_VER_V1, dcid, 1), 0);
	return 0;
}

static int on_recv_retry(ngtcp2_conn *qc, const ngtcp2_pkt_hd *hd, void *user_data)
{
	(void)user_data;
	assert_int_equal(clv_aead_install_initial(qc, NGTCP2_PROTO_VER_V1, &hd->scid, 0), 0);
	return 0;
}

static int on_recv_crypto(ngtcp2_conn *qc, ngtcp2_encryption_level level, uint64_t offset,
			  const uint8_t *data, size_t len, void *user_data)
{
	struct got *got = user_data;

	(void)qc;
	(void)level;
	assert_true(offset + len <= sizeof(got->crypto));
	memcpy(got->crypto + offset, data, len);
	got->len = (size_t)offset + len;
	return 0;
}

static int on_key(ngtcp2_conn *qc, ngtcp2_encryption_level level, void *user_data)
{
	struct got *got = user_data;

	(void)qc;
	(void)level;
	return got->refuse_keys ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static void on_rand(uint8_t *dest, size_t len, const ngtcp2_rand_ctx *ctx)
{
	(void)ctx;
	memset(dest, 0x77, len);
}

static int on_new_cid(ngtcp2_conn *qc, ngtcp2_cid *cid, ngtcp2_stateless_reset_token *token,
		      size_t len, void *user_data)
{
	(void)qc;
	(void)user_data;
	memset(cid->data, 0x66, len);
	cid->datalen = len;
	memset(token, 0x55, sizeof(*token));
	return 0;
}

static int on_path_challenge(ngtcp2_conn *qc, ngtcp2_path_challenge_data *data, void *user_data)
{
	(void)qc;
	(void)user_data;
	memset(data, 0x44, sizeof(*data));
	return 0;
}

static struct sockaddr_in6 here = { .sin6_family = AF_INET6, .sin6_port = 1 };
static const ngtcp2_path path = { .local = { (ngtcp2_sockaddr *)&here, sizeof(here) },
				  .remote = { (ngtcp2_sockaddr *)&here, sizeof(here) } };

static ngtcp2_conn *make_conn(bool is_server, struct got *got)
{
	static const ngtcp2_cid ours = { 8, { 1, 2, 3, 4, 5, 6, 7, 8 } };
	static const ngtcp2_cid none = { 0, { 0 } };
	ngtcp2_callbacks cb = {
		.client_initial = on_client_initial,
		.recv_client_initial = on_recv_client_initial,
		.recv_crypto_data = on_recv_crypto,
		.recv_retry = on_recv_retry,
		.recv_rx_key = on_key,
		.recv_tx_key = on_key,
		.rand = on_rand,
		.get_new_connection_id2 = on_new_cid,
		.get_path_challenge_data2 = on_path_challenge,
	};
	ngtcp2_transport_params tp;
	ngtcp2_settings settings;
	ngtcp2_conn *qc = NULL;

	clv_aead_callbacks(&cb);
	ngtcp2_settings_default(&settings);
	settings.initial_ts = 1;
	ngtcp2_transport_params_default(&tp);
	if (is_server) {
		tp.original_dcid = aead_dcid;
		tp.original_dcid_present = 1;
		assert_int_equal(ngtcp2_conn_server_new(&qc, &none, &ours, &path,
							NGTCP2_PROTO_VER_V1, &cb, &settings, &tp,
							NULL, got),
				 0);
	} else {
		assert_int_equal(ngtcp2_conn_client_new(&qc, &aead_dcid, &ours, &path,
							NGTCP2_PROTO_VER_V1, &cb, &settings, &tp,
							NULL, got),
				 0);
	}
	return qc;
}

/* RFC 9001 A.2 as a server gets it: read by ngtcp2 through our keys. */
static void reads_the_initial_of_rfc_9001(void **state)
{
	size_t live = clv_aead_live();
	struct got got = { 0 };
	ngtcp2_conn *qc = make_conn(true, &got);
	uint8_t packet[1200], expected[300];
	ngtcp2_pkt_info pi = { 0 };
	size_t len;

	(void)state;
	aead_client_packet(packet);
	packet[1199] ^= 1;
	assert_int_equal(ngtcp2_conn_read_pkt(qc, &path, &pi, packet, sizeof(packet), 2),
			 NGTCP2_ERR_DROP_CONN);
	assert_int_equal(got.len, 0);
	ngtcp2_conn_del(qc);
	assert_int_equal(clv_aead_live(), live);

	qc = make_conn(true, &got);
	aead_client_packet(packet);
	assert_int_equal(ngtcp2_conn_read_pkt(qc, &path, &pi, packet, sizeof(packet), 2), 0);
	len = aead_unhex(aead_client_hello, expected) - 4; /* frame type, offset, length */
	assert_int_equal(got.len, len);
	assert_memory_equal(got.crypto, expected + 4, len);
	assert_int_equal(clv_aead_live(), live + 4);
	ngtcp2_conn_del(qc);
	assert_int_equal(clv_aead_live(), live);
}

static void installs_every_level(void **state)
{
	static const uint8_t secret[48] = { 1 };
	size_t live = clv_aead_live();

	(void)state;
	for (int is_server = 0; is_server < 2; is_server++) {
		for (size_t i = 0; i < AEAD_SUITES; i += 2) {
			enum clv_suite id = aead_suites[i].id;
			size_t len = clv_aead_secret_len(clv_aead_suite(id));
			struct got got = { 0 };
			ngtcp2_conn *qc = make_conn(is_server, &got);
			const ngtcp2_crypto_ctx *ctx;

			assert_int_equal(clv_aead_install_initial(qc, NGTCP2_PROTO_VER_V1,
								  &aead_dcid, is_server),
					 0);
			/* once more, as after Retry */
			assert_int_equal(clv_aead_install_initial(qc, NGTCP2_PROTO_VER_V1,
								  &aead_dcid, is_server),
					 0);
			if (!is_server)
				assert_int_equal(clv_aead_install_retry(qc, NGTCP2_PROTO_VER_V1),
						 0);
			assert_int_equal(clv_aead_live(), live + 4 + !is_server);

			for (int l = 0; l < 2; l++) {
				ngtcp2_encryption_level level =
					l ? NGTCP2_ENCRYPTION_LEVEL_1RTT
					  : NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE;

				assert_int_equal(clv_aead_install_rx(qc, id, level, secret, len),
						 0);
				assert_int_equal(clv_aead_install_tx(qc, id, level, secret, len),
						 0);
			}
			assert_int_equal(clv_aead_live(), live + 12 + !is_server);

			ctx = ngtcp2_conn_get_crypto_ctx2(qc);
			assert_int_equal(ctx->aead.max_overhead, 16);
			assert_true(ctx->max_encryption == 1 << 23);
			assert_true(ctx->max_decryption_failure == UINT64_C(1) << 52);
			ngtcp2_conn_del(qc);
			assert_int_equal(clv_aead_live(), live);
		}
	}
}

static void refuses_bad_installation(void **state)
{
	static const uint8_t secret[48] = { 1 };
	const enum clv_suite id = CLV_SUITE_AES_128_GCM_SHA256;
	const ngtcp2_encryption_level level = NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE;
	size_t live = clv_aead_live();
	struct got got = { .refuse_keys = 1 };
	ngtcp2_conn *qc = make_conn(true, &got);

	(void)state;
	assert_int_equal(clv_aead_install_rx(qc, id, level, secret, 48), CLV_ETLS);
	assert_int_equal(clv_aead_install_rx(qc, id, NGTCP2_ENCRYPTION_LEVEL_INITIAL, secret, 32),
			 CLV_EQUIC);
	assert_int_equal(clv_aead_install_tx(qc, id, NGTCP2_ENCRYPTION_LEVEL_0RTT, secret, 32),
			 CLV_EQUIC);
	assert_int_equal(clv_aead_install_rx(qc, id, level, secret, 32), CLV_EQUIC);
	assert_int_equal(clv_aead_install_tx(qc, id, NGTCP2_ENCRYPTION_LEVEL_1RTT, secret, 32),
			 CLV_EQUIC);
	assert_int_equal(clv_aead_live(), live);
	ngtcp2_conn_del(qc);
	assert_int_equal(clv_aead_live(), live);
}

static void updates_keys(void **state)
{
	size_t live = clv_aead_live();

	(void)state;
	for (size_t i = 0; i < AEAD_SUITES; i += 2) {
		size_t len = clv_aead_secret_len(clv_aead_suite(aead_suites[i].id));
		uint8_t rx[48] = { 1 }, tx[48] = { 2 }, new_rx[48], new_tx[48];
		struct clv_aead_keys new_keys[2] = { { 0 }, { 0 } };
		ngtcp2_crypto_aead_ctx rx_ctx, tx_ctx;
		struct got got = { 0 };
		ngtcp2_conn *qc = make_conn(false, &got);
		ngtcp2_crypto_ctx ctx;
		ngtcp2_callbacks cb;
		struct stock s;

		clv_aead_crypto_ctx(aead_suites[i].id, &ctx);
		ngtcp2_conn_set_crypto_ctx(qc, &ctx);
		clv_aead_callbacks(&cb);
		assert_int_equal(cb.update_key(qc, new_rx, new_tx, &rx_ctx, new_keys[0].iv, &tx_ctx,
					       new_keys[1].iv, rx, tx, len, NULL),
				 0);
		new_keys[0].aead = rx_ctx.native_handle;
		new_keys[1].aead = tx_ctx.native_handle;
		stock_derive(&s, aead_suites[i].id, NGTCP2_PROTO_VER_V1, new_rx, len);
		stock_compare_seal(&s, &new_keys[0]);
		stock_derive(&s, aead_suites[i].id, NGTCP2_PROTO_VER_V1, new_tx, len);
		stock_compare_seal(&s, &new_keys[1]);
		cb.delete_crypto_aead_ctx(qc, &rx_ctx, NULL);
		cb.delete_crypto_aead_ctx(qc, &tx_ctx, NULL);
		assert_null(rx_ctx.native_handle);
		cb.delete_crypto_aead_ctx(qc, &rx_ctx, NULL);
		ngtcp2_conn_del(qc);
	}
	assert_int_equal(clv_aead_live(), live);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("ngtcp2 reads the client Initial of RFC 9001", reads_the_initial_of_rfc_9001),
		CASE("keys of every level live and die with their connection",
		     installs_every_level),
		CASE("what cannot be installed leaves nothing behind", refuses_bad_installation),
		CASE("a key update gives the keys of the next secret", updates_keys),
	};

	return cmocka_run_group_tests_name("aead_conn", cases, NULL, NULL);
}
