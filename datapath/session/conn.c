/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/session/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/session/conn_callbacks.h"
#include "datapath/session/dgram.h"

enum {
	VECTORS_MAX = 8,
	ACK_EVERY = 8, /* ack-eliciting packets; below the initial window of 10 */
	/* Bytes of a short-header packet around the body of one DATAGRAM frame: first byte, 2 bytes
	 * of packet number, frame type, 2 bytes of length, AEAD tag; the peer's ID comes on top. */
	DATAGRAM_OVERHEAD = 1 + 2 + 1 + 2 + 16,
};

#define TIMER_NS CLV_MSEC

static void sockaddr_of(const struct clv_endpoint *ep, struct sockaddr_in6 *out)
{
	memset(out, 0, sizeof(*out));
	out->sin6_family = AF_INET6;
	out->sin6_port = ep->port;
	memcpy(&out->sin6_addr, ep->addr, sizeof(out->sin6_addr));
}

/* A path in ngtcp2's form.  IPv4 stays v4-mapped: ngtcp2 only compares addresses. */
struct path {
	struct sockaddr_in6 local, remote;
	ngtcp2_path p;
};

static void path_set(struct path *out, const struct clv_endpoint *local,
		     const struct clv_endpoint *remote)
{
	sockaddr_of(local, &out->local);
	sockaddr_of(remote, &out->remote);
	out->p = (ngtcp2_path){
		.local = { (ngtcp2_sockaddr *)&out->local, sizeof(out->local) },
		.remote = { (ngtcp2_sockaddr *)&out->remote, sizeof(out->remote) },
	};
}

/*
 * Timers go off on ticks of TIMER_NS, the granularity of RFC 9002 section 6.1.2.  ngtcp2 wants an ACK
 * sent after an eighth of the round trip; on a short path that would be a packet of its own for each
 * that comes.  By the next tick one with something to say, or ACK_EVERY, has mostly taken it along.
 */
static uint64_t next_tick(uint64_t at_ns)
{
	return at_ns > UINT64_MAX - TIMER_NS ? at_ns : (at_ns + TIMER_NS - 1) / TIMER_NS * TIMER_NS;
}

/* ---- life ---- */

static void fill_settings(ngtcp2_settings *s, struct clv_conn *conn,
			  const struct clv_conn_params *p)
{
	ngtcp2_settings_default(s);
	s->initial_ts = p->now_ns;
	s->handshake_timeout = p->handshake_ns;
	s->token = p->token;
	s->tokenlen = p->token_len;
	s->token_type = p->token_is_retry ? NGTCP2_TOKEN_TYPE_RETRY : NGTCP2_TOKEN_TYPE_NEW_TOKEN;
	s->rand_ctx.native_handle = conn;
	s->ack_thresh = ACK_EVERY;
	s->cc_algo = NGTCP2_CC_ALGO_CUBIC;
	/* We shape packets ourselves (pmtu.h), so that 1200 tunnelled bytes fit from the start. */
	s->no_tx_udp_payload_size_shaping = 1;
	s->no_pmtud = 1;
	s->max_tx_udp_payload_size = CLV_CONN_UDP_PAYLOAD_MAX;
	s->max_window = p->conn_window;
	s->max_stream_window = p->stream_window;
}

static void fill_transport_params(ngtcp2_transport_params *tp, const struct clv_conn_params *p)
{
	ngtcp2_transport_params_default(tp);
	tp->initial_max_stream_data_bidi_local = p->stream_window;
	tp->initial_max_stream_data_bidi_remote = p->stream_window;
	tp->initial_max_stream_data_uni = p->stream_window;
	tp->initial_max_data = p->conn_window;
	tp->initial_max_streams_bidi = p->is_server ? p->streams_max : 0;
	tp->initial_max_streams_uni = 3; /* control and the two of QPACK (RFC 9114 section 6.2) */
	tp->max_idle_timeout = p->idle_ns;
	tp->max_udp_payload_size = 65527;
	tp->active_connection_id_limit = 4;
	tp->max_datagram_frame_size = p->no_datagrams ? 0 : 65535;
	tp->grease_quic_bit = 1;
}

static int create_server(struct clv_conn *conn, const struct clv_conn_params *p,
			 const ngtcp2_cid *scid, const struct path *path)
{
	ngtcp2_callbacks cb;
	ngtcp2_settings settings;
	ngtcp2_transport_params tp;

	clv_conn_callbacks(&cb, true);
	fill_settings(&settings, conn, p);
	fill_transport_params(&tp, p);
	tp.original_dcid_present = 1;
	if (p->original_dcid.datalen) {
		tp.original_dcid = p->original_dcid;
		tp.retry_scid = p->client_dcid;
		tp.retry_scid_present = 1;
	} else {
		tp.original_dcid = p->client_dcid;
	}
	tp.stateless_reset_token_present = 1;
	clv_cid_token(conn->env.reset_secret, (const struct clv_cid *)scid->data,
		      tp.stateless_reset_token);
	return ngtcp2_conn_server_new(&conn->qc, &p->client_scid, scid, &path->p, p->version, &cb,
				      &settings, &tp, &conn->heap.mem, conn);
}

static int create_client(struct clv_conn *conn, const struct clv_conn_params *p,
			 const ngtcp2_cid *scid, const struct path *path)
{
	ngtcp2_callbacks cb;
	ngtcp2_settings settings;
	ngtcp2_transport_params tp;

	clv_conn_callbacks(&cb, false);
	fill_settings(&settings, conn, p);
	fill_transport_params(&tp, p);
	return ngtcp2_conn_client_new(&conn->qc, &p->client_dcid, scid, &path->p, p->version, &cb,
				      &settings, &tp, &conn->heap.mem, conn);
}

int clv_conn_new(const struct clv_conn_env *env, const struct clv_conn_params *p,
		 struct clv_conn **out)
{
	struct clv_conn *conn = calloc(1, sizeof(*conn));
	struct clv_cid cid;
	ngtcp2_cid scid;
	struct path path;
	int err, rv;

	if (!conn)
		return -ENOMEM;
	conn->env = *env;
	clv_heap_init(&conn->heap, env->heap);
	conn->is_server = p->is_server;
	conn->now_ns = p->now_ns;
	conn->timer.at_ns = CLV_TIMER_NEVER;
	conn->probe_stream = -1;
	conn->streams_granted = p->is_server ? p->streams_max : 0;
	conn->flow.local = p->local;
	conn->flow.remote = p->remote;
	clv_sendq_init(&conn->sendq, p->queue_packets, p->sojourn_ns);
	clv_pmtu_init(&conn->pmtu, clv_addr_is_v4(p->remote.addr), p->mtu);
	memcpy(conn->pmtu_remote, p->remote.addr, sizeof(conn->pmtu_remote));

	clv_cid_random(env->rand, &cid);
	ngtcp2_cid_init(&scid, cid.id, sizeof(cid.id));
	path_set(&path, &p->local, &p->remote);
	err = env->ops->cid_added(conn, &cid);
	if (err)
		goto free_conn;
	rv = p->is_server ? create_server(conn, p, &scid, &path)
			  : create_client(conn, p, &scid, &path);
	if (rv) {
		err = rv == NGTCP2_ERR_NOMEM ? -ENOMEM : CLV_EQUIC;
		goto remove_cid;
	}
	if (p->keepalive_ns)
		ngtcp2_conn_set_keep_alive_timeout(conn->qc, p->keepalive_ns);
	*out = conn;
	return 0;

remove_cid:
	env->ops->cid_removed(conn, &cid);
free_conn:
	free(conn);
	return err;
}

void clv_conn_set_tls(struct clv_conn *conn, void *session, const struct clv_conn_tls_ops *ops)
{
	conn->tls = session;
	conn->tls_ops = ops;
}

void clv_conn_free(struct clv_conn *conn)
{
	uint32_t dropped;

	if (!conn)
		return;
	dropped = clv_sendq_fini(&conn->sendq, conn->env.pool);
	if (dropped)
		clv_count_add(conn->env.counters, CLV_COUNT_DROP_CLOSED, dropped);
	clv_streams_fini(&conn->streams);
	ngtcp2_conn_del(conn->qc);
	if (conn->tls_ops)
		conn->tls_ops->free(conn->tls);
	free(conn);
}

void clv_conn_set_env(struct clv_conn *conn, const struct clv_conn_env *env)
{
	conn->env = *env;
	clv_heap_join(&conn->heap, env->heap);
}

/* ---- closing (RFC 9000 section 10) ---- */

static void enter_draining(struct clv_conn *conn, uint64_t now_ns)
{
	const ngtcp2_ccerr *e = ngtcp2_conn_get_ccerr2(conn->qc);

	if (e) {
		conn->close_code = e->error_code;
		conn->close_is_app = e->type == NGTCP2_CCERR_TYPE_APPLICATION;
	}
	if (conn->close_code != 0 && !(conn->close_is_app && conn->close_code == 0x0100))
		conn->close_error = CLV_EPROTO;
	conn->close_is_remote = true;
	conn->closing = CLV_CONN_DRAINING;
	conn->close_until_ns = now_ns + 3 * ngtcp2_conn_get_pto2(conn->qc);
}

/* Our side found an error: say so with the code that belongs to ngtcp2's number. */
static void fail(struct clv_conn *conn, int rv, uint64_t now_ns)
{
	ngtcp2_ccerr ccerr;

	switch (rv) {
	case NGTCP2_ERR_DRAINING:
		enter_draining(conn, now_ns);
		return;
	case NGTCP2_ERR_CLOSING:
	case NGTCP2_ERR_DROP_CONN:
	case NGTCP2_ERR_RETRY:
		conn->wants_retry = rv == NGTCP2_ERR_RETRY;
		conn->closing = CLV_CONN_DEAD;
		conn->close_error = conn->close_error ? conn->close_error : CLV_EQUIC;
		return;
	case NGTCP2_ERR_IDLE_CLOSE:
		conn->closing = CLV_CONN_DEAD;
		conn->close_error = CLV_ETIMEOUT;
		return;
	case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
		conn->closing = CLV_CONN_DEAD;
		conn->close_error = CLV_ETIMEOUT;
		return;
	default:
		break;
	}
	if (conn->closing)
		return;
	ngtcp2_ccerr_default(&ccerr);
	if (rv == NGTCP2_ERR_CRYPTO)
		ngtcp2_ccerr_set_tls_alert(&ccerr, ngtcp2_conn_get_tls_alert2(conn->qc), NULL, 0);
	else
		ngtcp2_ccerr_set_liberr(&ccerr, rv, NULL, 0);
	conn->close_code = ccerr.error_code;
	conn->close_is_app = false;
	conn->close_error = rv == NGTCP2_ERR_CRYPTO ? CLV_ETLS : CLV_EQUIC;
	conn->closing = CLV_CONN_CLOSING;
	conn->close_wanted = true;
}

void clv_conn_close(struct clv_conn *conn, bool is_app, uint64_t code, const char *reason,
		    uint64_t now_ns)
{
	(void)now_ns;
	if (conn->closing)
		return;
	conn->closing = CLV_CONN_CLOSING;
	conn->close_wanted = true;
	conn->close_is_app = is_app;
	conn->close_code = code;
	strncpy(conn->close_reason, reason ? reason : "", sizeof(conn->close_reason) - 1);
}

/* ---- paths (RFC 9000 section 9) ---- */

/* An address of its own has a path of its own; another port of it is the same way. */
static void follow_pmtu(struct clv_conn *conn, const struct clv_flow *flow)
{
	if (!memcmp(conn->pmtu_remote, flow->remote.addr, sizeof(conn->pmtu_remote)))
		return;
	memcpy(conn->pmtu_remote, flow->remote.addr, sizeof(conn->pmtu_remote));
	clv_pmtu_move(&conn->pmtu, clv_addr_is_v4(flow->remote.addr), flow->hop.mtu, conn->now_ns);
}

static void use_flow(struct clv_conn *conn, const struct clv_flow *other)
{
	const struct clv_flow now = *other;

	clv_paths_keep(&conn->paths, &conn->flow);
	conn->flow = now;
	clv_count(conn->env.counters, CLV_COUNT_PATH_CHANGES);
	if (conn->env.ops->path_changed)
		conn->env.ops->path_changed(conn);
}

/*
 * ngtcp2 sends to the peer's newest address at once, within the limits for an unvalidated one, and
 * goes back when that does not answer a challenge.  The flow in use, and with it what control knows,
 * changes only when it does; an address that was validated not long ago is not asked again.
 */
static void follow_path(struct clv_conn *conn)
{
	const ngtcp2_path *path;
	struct clv_flow *other;

	if (!conn->paths.known || conn->closing)
		return;
	path = ngtcp2_conn_get_path2(conn->qc);
	if (clv_path_is(path, &conn->flow)) {
		follow_pmtu(conn, &conn->flow);
		return;
	}
	other = clv_paths_find(&conn->paths, path);
	if (!other)
		return;
	follow_pmtu(conn, other);
	if (!clv_paths_is_validating(&conn->paths, other))
		use_flow(conn, other);
}

void clv_conn_set_hop(struct clv_conn *conn, const struct clv_nexthop *hop, uint64_t now_ns)
{
	struct clv_nexthop *mine = &conn->flow.hop;
	const uint16_t mtu = mine->mtu;

	if (hop->state == CLV_HOP_RESOLVING && mine->state == CLV_HOP_READY &&
	    hop->via == mine->via && hop->link == mine->link)
		mine->mtu = hop->mtu; /* the peer's own frames said where it is */
	else
		*mine = *hop;
	if (mine->mtu != mtu)
		clv_pmtu_move(&conn->pmtu, clv_addr_is_v4(conn->flow.remote.addr), mine->mtu,
			      now_ns);
}

int clv_conn_migrate(struct clv_conn *conn, const struct clv_endpoint *local, uint64_t now_ns)
{
	struct clv_flow flow = conn->flow;
	struct path path;
	int rv;

	conn->now_ns = now_ns;
	flow.local = *local;
	path_set(&path, &flow.local, &flow.remote);
	rv = ngtcp2_conn_initiate_immediate_migration(conn->qc, &path.p, now_ns);
	if (rv == NGTCP2_ERR_INVALID_STATE || rv == NGTCP2_ERR_CONN_ID_BLOCKED)
		return -EAGAIN;
	if (rv)
		return CLV_EQUIC;
	use_flow(conn, &flow);
	/* The relay's address is the same, the way to it need not be. */
	clv_pmtu_move(&conn->pmtu, clv_addr_is_v4(flow.remote.addr), flow.hop.mtu, now_ns);
	return 0;
}

/* ---- input ---- */

uint64_t clv_conn_received(const struct clv_conn *conn)
{
	ngtcp2_conn_info info;

	ngtcp2_conn_get_conn_info2(conn->qc, &info);
	return info.pkt_recv;
}

static void count_discarded(struct clv_conn *conn)
{
	ngtcp2_conn_info info;

	ngtcp2_conn_get_conn_info2(conn->qc, &info);
	clv_count_add(conn->env.counters, CLV_COUNT_DROP_QUIC,
		      info.pkt_discarded - conn->discarded);
	conn->discarded = info.pkt_discarded;
}

static bool is_path_in_use(const struct clv_conn *conn, const struct clv_rx *rx)
{
	return clv_endpoint_equal(&rx->remote, &conn->flow.remote) &&
	       clv_endpoint_equal(&rx->local, &conn->flow.local);
}

static int read_packet(struct clv_conn *conn, const struct clv_rx *rx)
{
	ngtcp2_pkt_info pi = { .ecn = rx->ecn };
	struct path path;

	path_set(&path, &rx->local, &rx->remote);
	return ngtcp2_conn_read_pkt(conn->qc, &path.p, &pi, rx->payload, rx->payload_len,
				    conn->now_ns);
}

/*
 * ngtcp2 may answer within the call, so the path is noted before it; a packet that was not the
 * peer's, or a copy of one that was, must not leave a trace of where it came from.
 */
static int read_from_other_path(struct clv_conn *conn, const struct clv_rx *rx)
{
	const struct clv_paths paths = conn->paths;
	uint64_t received = clv_conn_received(conn);
	int rv;

	clv_paths_note(&conn->paths, rx, &conn->flow);
	rv = read_packet(conn, rx);
	if (clv_conn_received(conn) == received)
		conn->paths = paths;
	return rv;
}

void clv_conn_input(struct clv_conn *conn, const struct clv_rx *rx, uint64_t now_ns)
{
	int rv;

	conn->now_ns = now_ns;
	if (conn->closing) {
		/* one answer for the 1st, 2nd, 4th, 8th... packet (RFC 9000 section 10.2.1) */
		conn->close_seen++;
		if (conn->closing == CLV_CONN_CLOSING &&
		    !(conn->close_seen & (conn->close_seen - 1)))
			conn->close_answer = true;
		clv_count(conn->env.counters, CLV_COUNT_DROP_CLOSING);
		return;
	}
	if (!conn->unanswered++)
		conn->answer_ns = next_tick(now_ns + 1);
	conn->is_reading = true;
	rv = is_path_in_use(conn, rx) ? read_packet(conn, rx) : read_from_other_path(conn, rx);
	conn->is_reading = false;
	if (rv)
		fail(conn, rv, now_ns);
	follow_path(conn);
}

/* ---- output ---- */

static const struct clv_flow *flow_of(struct clv_conn *conn, const ngtcp2_path *path)
{
	return clv_path_is(path, &conn->flow) ? &conn->flow : clv_paths_find(&conn->paths, path);
}

/* A path may lead through another port than the one in use: carry the packet over. */
static struct clv_port *change_port(struct clv_conn *conn, struct clv_port *port, struct clv_tx *tx,
				    size_t len, const struct clv_flow *flow)
{
	struct clv_port *other = port;
	struct clv_tx moved;

	if (flow != &conn->flow && conn->env.ops->port_of)
		other = conn->env.ops->port_of(conn, flow);
	if (other == port)
		return port;
	if (other->ops->tx_take(other, &moved) == 0) {
		memcpy(moved.payload, tx->payload, len);
		port->ops->tx_give(port, tx);
		*tx = moved;
		return other;
	}
	port->ops->tx_give(port, tx);
	return NULL;
}

/* Send a packet ngtcp2 wrote into tx, or give the frame back. */
static void send_written(struct clv_conn *conn, struct clv_port *port, struct clv_tx *tx,
			 ngtcp2_ssize n, const ngtcp2_path *path, const ngtcp2_pkt_info *pi)
{
	const struct clv_flow *flow = n > 0 ? flow_of(conn, path) : NULL;

	if (!flow) {
		port->ops->tx_give(port, tx);
		if (n > 0)
			clv_count(conn->env.counters, CLV_COUNT_DROP_NO_ROUTE);
		return;
	}
	port = change_port(conn, port, tx, (size_t)n, flow);
	if (!port) {
		clv_count(conn->env.counters, CLV_COUNT_DROP_NO_FRAME);
		return;
	}
	port->ops->tx_send(port, tx, (size_t)n, flow, pi->ecn);
	clv_count(conn->env.counters, CLV_COUNT_TX_PEER);
}

enum written { WROTE_PACKET, WROTE_NOTHING, WRITE_FAILED };

/*
 * One packet with the datagram prefix || payload.  size: of the packet's buffer, in bytes.
 * *accepted says whether the datagram went in; a packet may go out without it.
 */
static enum written write_datagram(struct clv_conn *conn, struct clv_port *port,
				   const ngtcp2_vec *vec, size_t vecs, size_t size, uint64_t id,
				   uint32_t flags, int *accepted)
{
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	ngtcp2_ssize n;
	struct clv_tx tx;

	assert(!conn->is_reading);
	*accepted = 0;
	if (port->ops->tx_take(port, &tx))
		return WROTE_NOTHING;
	if (size > tx.room)
		size = tx.room;
	ngtcp2_path_storage_zero(&ps);
	n = ngtcp2_conn_writev_datagram(conn->qc, &ps.path, &pi, tx.payload, size, accepted, flags,
					id, vec, vecs, conn->now_ns);
	send_written(conn, port, &tx, n, &ps.path, &pi);
	if (n < 0) {
		if (n != NGTCP2_ERR_INVALID_ARGUMENT && n != NGTCP2_ERR_INVALID_STATE)
			fail(conn, (int)n, conn->now_ns);
		return WRITE_FAILED;
	}
	return n > 0 ? WROTE_PACKET : WROTE_NOTHING;
}

static void flush_queue(struct clv_conn *conn, struct clv_port *port)
{
	const uint8_t *data;
	uint32_t old;
	size_t len;

	old = clv_sendq_expire(&conn->sendq, conn->env.pool, conn->now_ns);
	if (old)
		clv_count_add(conn->env.counters, CLV_COUNT_DROP_SOJOURN, old);
	while (!conn->closing && clv_sendq_peek(&conn->sendq, &data, &len)) {
		ngtcp2_vec vec = { (uint8_t *)data, len };
		int accepted;
		enum written w = write_datagram(conn, port, &vec, 1, conn->pmtu.confirmed, len, 0,
						&accepted);

		if (accepted)
			clv_count(conn->env.counters, CLV_COUNT_DGRAM_OUT);
		else if (w == WRITE_FAILED || len > clv_conn_datagram_room(conn))
			clv_count(conn->env.counters, CLV_COUNT_DROP_TOO_BIG_PEER);
		else if (w == WROTE_NOTHING)
			return;
		else
			continue;
		clv_sendq_pop(&conn->sendq, conn->env.pool);
	}
}

/* A padded DATAGRAM on a Context ID that nobody allocates: the peer drops it, its ACK tells. */
static void probe_path(struct clv_conn *conn, struct clv_port *port)
{
	uint16_t size = clv_pmtu_probe(&conn->pmtu, conn->now_ns);
	uint8_t prefix[CLV_DGRAM_PREFIX_MAX];
	ngtcp2_vec vec = { prefix, 0 };
	int accepted;

	if (!size || conn->probe_stream < 0 || conn->sendq.head || !clv_conn_has_datagrams(conn))
		return;
	vec.len = clv_dgram_encode_prefix(conn->probe_stream,
					  conn->is_server ? CLV_DGRAM_CONTEXT_PROBE_SERVER
							  : CLV_DGRAM_CONTEXT_PROBE_CLIENT,
					  prefix);
	write_datagram(conn, port, &vec, 1, size, CLV_CONN_PROBE_ID | size,
		       NGTCP2_WRITE_DATAGRAM_FLAG_PADDING, &accepted);
	if (accepted)
		clv_pmtu_sent(&conn->pmtu);
}

static size_t vec_total(const ngtcp2_vec *vec, int vecs)
{
	size_t total = 0;

	for (int i = 0; i < vecs; i++)
		total += vec[i].len;
	return total;
}

/* One packet with stream bytes, or with whatever ngtcp2 itself has to say. */
static enum written write_stream(struct clv_conn *conn, struct clv_port *port)
{
	ngtcp2_vec vec[VECTORS_MAX];
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	ngtcp2_ssize n, taken;
	struct clv_tx tx;
	int64_t id;
	int vecs;

	assert(!conn->is_reading);
	if (port->ops->tx_take(port, &tx)) {
		clv_count(conn->env.counters, CLV_COUNT_DROP_NO_FRAME);
		return WROTE_NOTHING;
	}
	for (;;) {
		uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_MORE;
		bool fin = false;

		id = -1;
		taken = -1;
		vecs = clv_streams_next(&conn->streams, &id, vec, VECTORS_MAX, &fin);
		if (vecs < 0) {
			vecs = 0;
			id = -1;
			flags = NGTCP2_WRITE_STREAM_FLAG_NONE;
		}
		if (fin)
			flags |= NGTCP2_WRITE_STREAM_FLAG_FIN;
		ngtcp2_path_storage_zero(&ps);
		n = ngtcp2_conn_writev_stream(conn->qc, &ps.path, &pi, tx.payload,
					      conn->pmtu.confirmed, &taken, flags, id, vec,
					      (size_t)vecs, conn->now_ns);
		if (taken >= 0 && id >= 0)
			clv_streams_sent(&conn->streams, id, (size_t)taken,
					 fin && (size_t)taken == vec_total(vec, vecs));
		if (n == NGTCP2_ERR_WRITE_MORE)
			continue;
		if (n == NGTCP2_ERR_STREAM_DATA_BLOCKED)
			clv_streams_block(&conn->streams, id);
		else if (n == NGTCP2_ERR_STREAM_SHUT_WR || n == NGTCP2_ERR_STREAM_NOT_FOUND)
			clv_streams_drop(&conn->streams, id);
		else
			break;
	}
	send_written(conn, port, &tx, n, &ps.path, &pi);
	if (n < 0) {
		fail(conn, (int)n, conn->now_ns);
		return WRITE_FAILED;
	}
	return n > 0 ? WROTE_PACKET : WROTE_NOTHING;
}

/* Write CONNECTION_CLOSE and keep it to be repeated. */
static size_t write_close(struct clv_conn *conn, uint8_t *buf)
{
	const uint8_t *reason = (const uint8_t *)conn->close_reason;
	size_t reason_len = strlen(conn->close_reason);
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	ngtcp2_ccerr ccerr;
	ngtcp2_ssize n;

	ngtcp2_ccerr_default(&ccerr);
	if (conn->close_is_app)
		ngtcp2_ccerr_set_application_error(&ccerr, conn->close_code, reason, reason_len);
	else
		ngtcp2_ccerr_set_transport_error(&ccerr, conn->close_code, reason, reason_len);
	ngtcp2_path_storage_zero(&ps);
	n = ngtcp2_conn_write_connection_close(conn->qc, &ps.path, &pi, buf, conn->pmtu.confirmed,
					       &ccerr, conn->now_ns);
	conn->close_until_ns = conn->now_ns + 3 * ngtcp2_conn_get_pto2(conn->qc);
	if (n <= 0)
		return 0;
	/* One that is padded for the handshake does not fit, and is not repeated. */
	if ((size_t)n <= sizeof(conn->close_packet)) {
		memcpy(conn->close_packet, buf, (size_t)n);
		conn->close_len = (size_t)n;
	}
	return (size_t)n;
}

static void send_close(struct clv_conn *conn, struct clv_port *port)
{
	struct clv_tx tx = { 0 };
	size_t len;

	if (!conn->close_wanted && !conn->close_answer)
		return;
	if (port->ops->tx_take(port, &tx)) {
		conn->close_until_ns = conn->now_ns + CLV_SEC;
		clv_count(conn->env.counters, CLV_COUNT_DROP_NO_FRAME);
		len = 0;
	} else if (conn->close_wanted) {
		len = write_close(conn, tx.payload);
	} else {
		len = conn->close_len;
		memcpy(tx.payload, conn->close_packet, len);
	}
	if (len) {
		port->ops->tx_send(port, &tx, len, &conn->flow, 0);
		clv_count(conn->env.counters, CLV_COUNT_TX_PEER);
	} else if (tx.payload) {
		port->ops->tx_give(port, &tx);
	}
	conn->close_wanted = false;
	conn->close_answer = false;
}

/* Bytes of a short-header packet around the body of one DATAGRAM frame. */
static size_t datagram_overhead(const struct clv_conn *conn)
{
	return DATAGRAM_OVERHEAD + ngtcp2_conn_get_dcid2(conn->qc)->datalen;
}

void conn_datagram_fate(struct clv_conn *conn, uint64_t id, bool is_lost)
{
	size_t size = (size_t)(id & 0xffff);

	if (id & CLV_CONN_PROBE_ID) {
		if (size != conn->pmtu.candidate)
			return; /* of a search that is over */
		if (is_lost)
			clv_pmtu_lost(&conn->pmtu, conn->now_ns);
		else
			clv_pmtu_acked(&conn->pmtu, conn->now_ns);
	} else if (is_lost) {
		clv_pmtu_data_lost(&conn->pmtu, size + datagram_overhead(conn), conn->now_ns);
	} else {
		clv_pmtu_data_acked(&conn->pmtu, size + datagram_overhead(conn));
	}
}

static void report_payload(struct clv_conn *conn)
{
	size_t room = clv_conn_datagram_room(conn);
	uint32_t payload = room > 2 ? (uint32_t)room - 2 : 0; /* one byte for each varint */

	if (payload == conn->last_payload || !ngtcp2_conn_get_handshake_completed2(conn->qc))
		return;
	conn->last_payload = payload;
	if (conn->env.ops->max_payload)
		conn->env.ops->max_payload(conn, payload);
}

/* Whether all there can be to say is an ACK, for which it is early: see next_tick. */
static bool may_wait(const struct clv_conn *conn)
{
	return conn->env.pool && conn->unanswered && conn->unanswered < ACK_EVERY &&
	       conn->now_ns < conn->answer_ns && !conn->streams.ready.head &&
	       ngtcp2_conn_get_handshake_completed2(conn->qc);
}

static void answer(struct clv_conn *conn, struct clv_port *port)
{
	while (!conn->closing && write_stream(conn, port) == WROTE_PACKET)
		;
	conn->unanswered = 0;
}

void clv_conn_output(struct clv_conn *conn, struct clv_port *port, uint64_t now_ns)
{
	conn->now_ns = now_ns;
	count_discarded(conn);
	if (!conn->closing) {
		bool has_expired = conn->has_expired;

		/* What ngtcp2 may send beyond the window asks whether anything comes through: were it
		 * a datagram that the path no longer carries, nothing would ever be found out. */
		if (has_expired)
			write_stream(conn, port);
		conn->has_expired = false;
		flush_queue(conn, port);
		if (has_expired || !may_wait(conn))
			answer(conn, port);
	}
	if (!conn->closing)
		probe_path(conn, port);
	if (!conn->closing)
		report_payload(conn);
	if (conn->closing == CLV_CONN_CLOSING)
		send_close(conn, port);
}

void clv_conn_expire(struct clv_conn *conn, uint64_t now_ns)
{
	int rv;

	conn->now_ns = now_ns;
	if (conn->closing) {
		if (now_ns >= conn->close_until_ns && !conn->close_wanted)
			conn->closing = CLV_CONN_DEAD;
		return;
	}
	if (ngtcp2_conn_get_expiry2(conn->qc) > now_ns)
		return;
	conn->has_expired = true;
	rv = ngtcp2_conn_handle_expiry(conn->qc, now_ns);
	if (rv)
		fail(conn, rv, now_ns);
	follow_path(conn); /* a challenge may have gone unanswered for too long */
}

uint64_t clv_conn_next_ns(const struct clv_conn *conn)
{
	uint64_t at, queue, probe;

	if (conn->closing == CLV_CONN_DEAD)
		return 0;
	if (conn->closing)
		return conn->close_wanted || conn->close_answer ? 0 : conn->close_until_ns;
	at = next_tick(ngtcp2_conn_get_expiry2(conn->qc));
	if (conn->unanswered && conn->answer_ns < at)
		at = conn->answer_ns;
	queue = clv_sendq_next_ns(&conn->sendq);
	/* A probe that is due but could not go (window, no datagrams) waits for the next output. */
	probe = clv_pmtu_next_ns(&conn->pmtu);
	if (conn->probe_stream >= 0 && probe > conn->now_ns && probe < at)
		at = probe;
	return queue < at ? queue : at;
}

/* ---- datagrams ---- */

size_t clv_conn_datagram_room(const struct clv_conn *conn)
{
	const ngtcp2_transport_params *tp = ngtcp2_conn_get_remote_transport_params2(conn->qc);
	size_t overhead = datagram_overhead(conn);
	size_t room = conn->pmtu.confirmed - overhead;

	if (!tp || tp->max_datagram_frame_size <= 3)
		return 0;
	if (tp->max_udp_payload_size < conn->pmtu.confirmed)
		room = (size_t)tp->max_udp_payload_size - overhead;
	return tp->max_datagram_frame_size - 3 < room ? (size_t)tp->max_datagram_frame_size - 3
						      : room;
}

bool clv_conn_has_datagrams(const struct clv_conn *conn)
{
	return clv_conn_datagram_room(conn) > CLV_DGRAM_PREFIX_MAX;
}

static void queue_datagram(struct clv_conn *conn, const uint8_t *prefix, size_t prefix_len,
			   const uint8_t *payload, size_t payload_len)
{
	int err = clv_sendq_push(&conn->sendq, conn->env.pool, prefix, prefix_len, payload,
				 payload_len, conn->now_ns);

	if (err)
		clv_count(conn->env.counters,
			  err == -ENOBUFS ? CLV_COUNT_DROP_NO_FRAME : CLV_COUNT_DROP_QUEUE_FULL);
}

void clv_conn_send_datagram(struct clv_conn *conn, struct clv_port *port, const uint8_t *prefix,
			    size_t prefix_len, const uint8_t *payload, size_t payload_len,
			    uint64_t now_ns)
{
	ngtcp2_vec vec[2] = {
		{ (uint8_t *)prefix, prefix_len },
		{ (uint8_t *)payload, payload_len },
	};
	enum written w;
	int accepted;

	conn->now_ns = now_ns;
	if (conn->closing) {
		clv_count(conn->env.counters, CLV_COUNT_DROP_CLOSED);
		return;
	}
	if (prefix_len + payload_len > clv_conn_datagram_room(conn)) {
		clv_count(conn->env.counters, CLV_COUNT_DROP_TOO_BIG_PEER);
		return;
	}
	/* Keep the order; and ngtcp2 must not be asked to write from inside one of its callbacks,
	 * as when two bound tunnels of one connection talk to each other. */
	if (conn->sendq.head || conn->is_reading) {
		queue_datagram(conn, prefix, prefix_len, payload, payload_len);
		return;
	}
	do {
		w = write_datagram(conn, port, vec, payload_len ? 2 : 1, conn->pmtu.confirmed,
				   prefix_len + payload_len, 0, &accepted);
	} while (!accepted && w == WROTE_PACKET && !conn->closing);
	if (accepted)
		clv_count(conn->env.counters, CLV_COUNT_DGRAM_OUT);
	else if (w == WRITE_FAILED)
		clv_count(conn->env.counters, CLV_COUNT_DROP_CLOSED);
	else
		queue_datagram(conn, prefix, prefix_len, payload, payload_len);
}
