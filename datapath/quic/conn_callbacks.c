/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/quic/conn_callbacks.h"

#include <string.h>

#include "datapath/crypto/aead.h"
#include "datapath/quic/conn.h"
#include "datapath/quic/conn_output.h"
#include "datapath/quic/h3_code.h"

/* ---- handshake: passed to the TLS stack ---- */

static int on_client_initial(ngtcp2_conn *qc, void *user_data)
{
	struct clv_conn *conn = user_data;

	return conn->tls_ops->client_initial(qc, user_data);
}

static int on_recv_client_initial(ngtcp2_conn *qc, const ngtcp2_cid *dcid, void *user_data)
{
	struct clv_conn *conn = user_data;

	return conn->tls_ops->recv_client_initial(qc, dcid, user_data);
}

static int on_recv_retry(ngtcp2_conn *qc, const ngtcp2_pkt_hd *hd, void *user_data)
{
	struct clv_conn *conn = user_data;

	return conn->tls_ops->recv_retry(qc, hd, user_data);
}

static int on_recv_crypto_data(ngtcp2_conn *qc, ngtcp2_encryption_level level, uint64_t offset,
			       const uint8_t *data, size_t len, void *user_data)
{
	struct clv_conn *conn = user_data;

	return conn->tls_ops->recv_crypto_data(qc, level, offset, data, len, user_data);
}

static int on_handshake_completed(ngtcp2_conn *qc, void *user_data)
{
	struct clv_conn *conn = user_data;

	(void)qc;
	if (conn->env.ops->handshake_completed && conn->env.ops->handshake_completed(conn))
		return NGTCP2_ERR_CALLBACK_FAILURE;
	return 0;
}

/* ---- streams ---- */

static int on_stream_data(ngtcp2_conn *qc, uint32_t flags, int64_t id, uint64_t offset,
			  const uint8_t *data, size_t len, void *user_data, void *stream_user_data)
{
	struct clv_conn *conn = user_data;

	(void)qc;
	(void)offset;
	(void)stream_user_data;
	conn->env.ops->stream_data(conn, id, data, len, flags & NGTCP2_STREAM_DATA_FLAG_FIN);
	return 0;
}

static int on_stream_acked(ngtcp2_conn *qc, int64_t id, uint64_t offset, uint64_t len,
			   void *user_data, void *stream_user_data)
{
	struct clv_conn *conn = user_data;

	(void)qc;
	(void)offset;
	(void)stream_user_data;
	clv_streams_acked(&conn->streams, id, len);
	conn->env.ops->stream_acked(conn, id, len);
	return 0;
}

static int on_stream_reset(ngtcp2_conn *qc, int64_t id, uint64_t final_size, uint64_t code,
			   void *user_data, void *stream_user_data)
{
	struct clv_conn *conn = user_data;

	(void)qc;
	(void)final_size;
	(void)stream_user_data;
	conn->env.ops->stream_reset(conn, id, code);
	return 0;
}

static int on_stop_sending(ngtcp2_conn *qc, int64_t id, uint64_t code, void *user_data,
			   void *stream_user_data)
{
	struct clv_conn *conn = user_data;

	(void)qc;
	(void)stream_user_data;
	conn->env.ops->stream_stop(conn, id, code);
	return 0;
}

static int on_stream_close(ngtcp2_conn *qc, uint32_t flags, int64_t id, uint64_t code,
			   void *user_data, void *stream_user_data)
{
	struct clv_conn *conn = user_data;

	(void)stream_user_data;
	if (!(flags & NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET))
		code = CLV_H3_NO_ERROR;
	clv_streams_drop(&conn->streams, id);
	/*
	 * The peer may open another in its place; a request stream only when control is done with
	 * this one, else streams that are opened and cancelled at once would pile up in the
	 * mailbox.
	 */
	if (!ngtcp2_conn_is_local_stream2(qc, id) && id & 2)
		ngtcp2_conn_extend_max_streams_uni(qc, 1);
	conn->env.ops->stream_closed(conn, id, code);
	return 0;
}

static int on_more_streams(ngtcp2_conn *qc, uint64_t max, void *user_data)
{
	struct clv_conn *conn = user_data;

	(void)max;
	clv_streams_retry_open(&conn->streams, qc);
	return 0;
}

static int on_more_stream_data(ngtcp2_conn *qc, int64_t id, uint64_t max, void *user_data,
			       void *stream_user_data)
{
	struct clv_conn *conn = user_data;

	(void)qc;
	(void)max;
	(void)stream_user_data;
	clv_streams_unblock(&conn->streams, id);
	return 0;
}

/* ---- datagrams ---- */

static int on_datagram(ngtcp2_conn *qc, uint32_t flags, const uint8_t *data, size_t len,
		       void *user_data)
{
	struct clv_conn *conn = user_data;

	(void)qc;
	(void)flags;
	conn->env.ops->datagram(conn, data, len);
	return 0;
}

static int on_datagram_acked(ngtcp2_conn *qc, uint64_t id, void *user_data)
{
	(void)qc;
	conn_datagram_fate(user_data, id, false);
	return 0;
}

static int on_datagram_lost(ngtcp2_conn *qc, uint64_t id, void *user_data)
{
	(void)qc;
	conn_datagram_fate(user_data, id, true);
	return 0;
}

/* ---- connection IDs, paths, keys ---- */

static void on_rand(uint8_t *dest, size_t len, const ngtcp2_rand_ctx *ctx)
{
	struct clv_conn *conn = ctx->native_handle; /* its rand changes with its owner */

	clv_rand_bytes(conn->env.rand, dest, len);
}

static int on_new_token(ngtcp2_conn *qc, const uint8_t *token, size_t len, void *user_data)
{
	struct clv_conn *conn = user_data;

	(void)qc;
	if (conn->env.ops->new_token)
		conn->env.ops->new_token(conn, token, len);
	return 0;
}

static int on_new_cid(ngtcp2_conn *qc, ngtcp2_cid *cid, ngtcp2_stateless_reset_token *token,
		      size_t len, void *user_data)
{
	struct clv_conn *conn = user_data;
	struct clv_cid id;

	(void)qc;
	(void)len; /* always CLV_CID_LEN: that of our first one */
	clv_cid_random(conn->env.rand, &id);
	ngtcp2_cid_init(cid, id.id, sizeof(id.id));
	clv_cid_token(conn->env.reset_secret, &id, token->data);
	return conn->env.ops->cid_added(conn, &id) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_remove_cid(ngtcp2_conn *qc, const ngtcp2_cid *cid, void *user_data)
{
	struct clv_conn *conn = user_data;
	struct clv_cid id;

	(void)qc;
	if (cid->datalen != CLV_CID_LEN)
		return 0;
	memcpy(id.id, cid->data, sizeof(id.id));
	conn->env.ops->cid_removed(conn, &id);
	return 0;
}

static int on_dcid_status(ngtcp2_conn *qc, ngtcp2_connection_id_status_type type, uint64_t seq,
			  const ngtcp2_cid *cid, const ngtcp2_stateless_reset_token *token,
			  void *user_data)
{
	struct clv_conn *conn = user_data;

	(void)qc;
	(void)seq;
	(void)cid;
	if (token && conn->env.ops->peer_token)
		conn->env.ops->peer_token(conn, token->data,
					  type == NGTCP2_CONNECTION_ID_STATUS_TYPE_ACTIVATE);
	return 0;
}

static int on_path_challenge(ngtcp2_conn *qc, ngtcp2_path_challenge_data *data, void *user_data)
{
	struct clv_conn *conn = user_data;

	(void)qc;
	clv_rand_bytes(conn->env.rand, data->data, sizeof(data->data));
	return 0;
}

/* Without a fallback it is the path that was left, which ngtcp2 asks for its own sake. */
static int on_begin_path_validation(ngtcp2_conn *qc, uint32_t flags, const ngtcp2_path *path,
				    const ngtcp2_path *fallback, void *user_data)
{
	struct clv_conn *conn = user_data;

	(void)qc;
	(void)flags;
	if (clv_path_is(path, &conn->flow))
		clv_paths_keep(&conn->paths, &conn->flow); /* it is about to be left */
	clv_paths_challenge(&conn->paths, path, fallback != NULL);
	return 0;
}

static int on_path_validation(ngtcp2_conn *qc, uint32_t flags, const ngtcp2_path *path,
			      const ngtcp2_path *fallback, ngtcp2_path_validation_result result,
			      void *user_data)
{
	struct clv_conn *conn = user_data;

	(void)qc;
	(void)flags;
	(void)path;
	(void)fallback;
	(void)result; /* the connection asks ngtcp2 which path it uses now */
	clv_paths_challenge(&conn->paths, NULL, false);
	return 0;
}

/* ngtcp2 asks for the next keys ahead of need: once at the start, then after each update. */
static int on_update_key(ngtcp2_conn *qc, uint8_t *rx_secret, uint8_t *tx_secret,
			 ngtcp2_crypto_aead_ctx *rx_ctx, uint8_t *rx_iv,
			 ngtcp2_crypto_aead_ctx *tx_ctx, uint8_t *tx_iv, const uint8_t *rx_current,
			 const uint8_t *tx_current, size_t secret_len, void *user_data)
{
	struct clv_conn *conn = user_data;
	ngtcp2_callbacks aead = { 0 };

	if (conn->key_generations++)
		clv_count(conn->env.counters, CLV_COUNT_KEY_UPDATES);
	clv_aead_callbacks(&aead);
	return aead.update_key(qc, rx_secret, tx_secret, rx_ctx, rx_iv, tx_ctx, tx_iv, rx_current,
			       tx_current, secret_len, user_data);
}

void clv_conn_callbacks(ngtcp2_callbacks *cb, bool is_server)
{
	*cb = (ngtcp2_callbacks){
		.recv_crypto_data = on_recv_crypto_data,
		.handshake_completed = on_handshake_completed,
		.recv_stream_data = on_stream_data,
		.acked_stream_data_offset = on_stream_acked,
		.stream_close = on_stream_close,
		.stream_reset = on_stream_reset,
		.recv_stop_sending = on_stop_sending,
		.extend_max_local_streams_bidi = on_more_streams,
		.extend_max_local_streams_uni = on_more_streams,
		.extend_max_stream_data = on_more_stream_data,
		.recv_datagram = on_datagram,
		.ack_datagram = on_datagram_acked,
		.lost_datagram = on_datagram_lost,
		.rand = on_rand,
		.get_new_connection_id2 = on_new_cid,
		.remove_connection_id = on_remove_cid,
		.dcid_status2 = on_dcid_status,
		.get_path_challenge_data2 = on_path_challenge,
		.begin_path_validation = on_begin_path_validation,
		.path_validation = on_path_validation,
	};
	clv_aead_callbacks(cb);
	cb->update_key = on_update_key;
	if (is_server) {
		cb->recv_client_initial = on_recv_client_initial;
	} else {
		cb->recv_new_token = on_new_token;
		cb->client_initial = on_client_initial;
		cb->recv_retry = on_recv_retry;
	}
}
