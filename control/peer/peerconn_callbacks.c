/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "control/peer/peerconn_state.h"
#include "datapath/base/err.h"
#include "datapath/base/varint.h"
#include "datapath/crypto/aead.h"

/* ---- the handshake ---- */

static int on_complete(ngtcp2_conn *qc, void *user)
{
	struct clv_peerconn *c = user;
	int err = clv_tls_peer_verify(c->tls, c->proven);

	if (err) {
		c->end.error = err;
		return NGTCP2_ERR_CALLBACK_FAILURE;
	}
	c->is_complete = true;
	if (c->is_dialler) {
		if (ngtcp2_conn_open_bidi_stream(qc, &c->stream, NULL))
			return NGTCP2_ERR_CALLBACK_FAILURE;
		peerconn_put_hello(c);
		c->p.ops->proven(c->p.user, c->proven, NULL);
	}
	return 0;
}

/* ---- the control stream ---- */

static void take_hello(struct clv_peerconn *c, const struct clv_peer_hello *hello)
{
	if (clv_peer_hello_version(hello) < 0) {
		peerconn_abort(c, CLV_PEERCONN_VERSION, CLV_EPROTO);
		return;
	}
	c->has_hello = true;
	c->hello = *hello;
	if (c->is_dialler) {
		c->is_up = true;
		c->p.ops->up(c->p.user, &c->hello);
	} else {
		c->p.ops->proven(c->p.user, c->proven, &c->hello);
	}
}

static int on_capsule(void *user, const struct clv_peer_capsule *capsule)
{
	struct clv_peerconn *c = user;

	if (capsule->type == CLV_PEER_HELLO && !c->has_hello)
		take_hello(c, &capsule->hello);
	else if (c->is_up && c->p.ops->capsule)
		return c->p.ops->capsule(c->p.user, capsule);
	return 0;
}

static int on_stream_open(ngtcp2_conn *qc, int64_t id, void *user)
{
	struct clv_peerconn *c = user;

	(void)qc;
	/* the dialler's first; others are for later versions, and nobody reads them */
	if (!c->is_dialler && id == 0)
		c->stream = id;
	return 0;
}

static int on_stream_data(ngtcp2_conn *qc, uint32_t flags, int64_t id, uint64_t offset,
			  const uint8_t *data, size_t len, void *user, void *stream_user)
{
	struct clv_peerconn *c = user;

	(void)offset;
	(void)stream_user;
	ngtcp2_conn_extend_max_offset(qc, len);
	ngtcp2_conn_extend_max_stream_offset(qc, id, len);
	if (id != c->stream || c->closing)
		return 0;
	if (clv_peer_capsule_feed(&c->reader, data, len, on_capsule, c) ||
	    flags & NGTCP2_STREAM_DATA_FLAG_FIN)
		peerconn_abort(c, CLV_PEERCONN_PROTOCOL, CLV_EPROTO);
	return 0;
}

static int on_stream_acked(ngtcp2_conn *qc, int64_t id, uint64_t offset, uint64_t len, void *user,
			   void *stream_user)
{
	struct clv_peerconn *c = user;

	(void)qc;
	(void)offset;
	(void)stream_user;
	if (id == c->stream)
		peerconn_control_acked(c, len);
	return 0;
}

/* The control stream lives as long as the connection. */
static int on_stream_reset(ngtcp2_conn *qc, int64_t id, uint64_t final_size, uint64_t code,
			   void *user, void *stream_user)
{
	struct clv_peerconn *c = user;

	(void)qc;
	(void)final_size;
	(void)code;
	(void)stream_user;
	if (id == c->stream)
		peerconn_abort(c, CLV_PEERCONN_PROTOCOL, CLV_EPROTO);
	return 0;
}

static int on_stop_sending(ngtcp2_conn *qc, int64_t id, uint64_t code, void *user,
			   void *stream_user)
{
	return on_stream_reset(qc, id, 0, code, user, stream_user);
}

static int on_more_stream_data(ngtcp2_conn *qc, int64_t id, uint64_t max, void *user,
			       void *stream_user)
{
	struct clv_peerconn *c = user;

	(void)qc;
	(void)max;
	(void)stream_user;
	if (id == c->stream)
		c->is_stream_blocked = false;
	return 0;
}

/* ---- datagrams ---- */

void peerconn_deliver(struct clv_peerconn *c, const uint8_t *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t flow;

	if (clv_varint_read(&p, data + len, &flow)) {
		c->info.dropped++;
		return;
	}
	c->info.datagrams_in++;
	c->p.ops->datagram(c->p.user, flow, p, (size_t)(data + len - p));
}

/* A dialler may send before the listener has accepted it; nothing of it is delivered before. */
static void hold(struct clv_peerconn *c, const uint8_t *data, size_t len)
{
	struct peerconn_datagram *d;

	if (!c->held)
		c->held = malloc(PEERCONN_HELD_MAX * sizeof(*c->held));
	if (!c->held || c->held_len == PEERCONN_HELD_MAX || len > sizeof(d->bytes)) {
		c->info.dropped++;
		return;
	}
	d = &c->held[c->held_len++];
	d->len = (uint16_t)len;
	memcpy(d->bytes, data, len);
}

static int on_datagram(ngtcp2_conn *qc, uint32_t flags, const uint8_t *data, size_t len, void *user)
{
	struct clv_peerconn *c = user;

	(void)qc;
	(void)flags;
	if (c->closing)
		return 0;
	c->data_ns = c->now_ns;
	if (c->is_dialler || c->is_accepted)
		peerconn_deliver(c, data, len);
	else
		hold(c, data, len);
	return 0;
}

/* ---- connection IDs and paths ---- */

static void on_rand(uint8_t *dest, size_t len, const ngtcp2_rand_ctx *ctx)
{
	struct clv_peerconn *c = ctx->native_handle;

	clv_rand_bytes(c->p.rand, dest, len);
}

static int on_new_cid(ngtcp2_conn *qc, ngtcp2_cid *cid, ngtcp2_stateless_reset_token *token,
		      size_t len, void *user)
{
	struct clv_peerconn *c = user;
	uint8_t id[CLV_PATHSET_CID_LEN];

	(void)qc;
	(void)len;
	clv_rand_bytes(c->p.rand, id, sizeof(id));
	clv_rand_bytes(c->p.rand, token->data, sizeof(token->data)); /* we send no resets */
	ngtcp2_cid_init(cid, id, sizeof(id));
	return c->p.ops->cid_added(c->p.user, id) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_remove_cid(ngtcp2_conn *qc, const ngtcp2_cid *cid, void *user)
{
	struct clv_peerconn *c = user;

	(void)qc;
	if (cid->datalen == CLV_PATHSET_CID_LEN)
		c->p.ops->cid_removed(c->p.user, cid->data);
	return 0;
}

static int on_path_challenge(ngtcp2_conn *qc, ngtcp2_path_challenge_data *data, void *user)
{
	struct clv_peerconn *c = user;

	(void)qc;
	clv_rand_bytes(c->p.rand, data->data, sizeof(data->data));
	return 0;
}

static int on_begin_validation(ngtcp2_conn *qc, uint32_t flags, const ngtcp2_path *path,
			       const ngtcp2_path *fallback, void *user)
{
	struct clv_peerconn *c = user;

	(void)qc;
	(void)flags;
	(void)fallback;
	if (c->is_dialler)
		clv_pathset_set_validating(&c->paths,
					   clv_pathset_path_of((const void *)path->remote.addr));
	return 0;
}

static int on_validation(ngtcp2_conn *qc, uint32_t flags, const ngtcp2_path *path,
			 const ngtcp2_path *fallback, ngtcp2_path_validation_result result,
			 void *user)
{
	struct clv_peerconn *c = user;
	uint32_t number = clv_pathset_path_of((const void *)path->remote.addr);

	(void)qc;
	(void)flags;
	(void)fallback;
	(void)result; /* the connection asks ngtcp2 which path it uses now */
	if (c->paths.validating == number)
		clv_pathset_set_validating(&c->paths, 0);
	return 0;
}

void peerconn_callbacks(ngtcp2_callbacks *cb, bool is_server)
{
	*cb = (ngtcp2_callbacks){
		.recv_crypto_data = clv_tls_ops.recv_crypto_data,
		.handshake_completed = on_complete,
		.stream_open = on_stream_open,
		.recv_stream_data = on_stream_data,
		.acked_stream_data_offset = on_stream_acked,
		.stream_reset = on_stream_reset,
		.recv_stop_sending = on_stop_sending,
		.extend_max_stream_data = on_more_stream_data,
		.recv_datagram = on_datagram,
		.rand = on_rand,
		.get_new_connection_id2 = on_new_cid,
		.remove_connection_id = on_remove_cid,
		.get_path_challenge_data2 = on_path_challenge,
		.begin_path_validation = on_begin_validation,
		.path_validation = on_validation,
	};
	clv_aead_callbacks(cb);
	if (is_server) {
		cb->recv_client_initial = clv_tls_ops.recv_client_initial;
	} else {
		cb->client_initial = clv_tls_ops.client_initial;
		cb->recv_retry = clv_tls_ops.recv_retry;
	}
}
