/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/quic/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/quic/conn_callbacks.h"
#include "datapath/quic/conn_close.h"
#include "datapath/quic/conn_output.h"

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
 * Timers go off on ticks of CONN_TICK_NS, the granularity of RFC 9002 section 6.1.2.  ngtcp2 wants an
 * ACK sent after an eighth of the round trip; on a short path that would be a packet of its own for
 * each that comes.  By the next tick a packet with data, or CONN_ACK_EVERY, has mostly carried it.
 */
static uint64_t next_tick(uint64_t at_ns)
{
	return at_ns > UINT64_MAX - CONN_TICK_NS
		       ? at_ns
		       : (at_ns + CONN_TICK_NS - 1) / CONN_TICK_NS * CONN_TICK_NS;
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
	s->ack_thresh = CONN_ACK_EVERY;
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
	uint64_t seed[2];
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
	seed[0] = clv_rand_u64(env->rand);
	seed[1] = clv_rand_u64(env->rand);
	clv_flowq_init(&conn->flowq, &p->queue, seed);
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
	dropped = clv_flowq_fini(&conn->flowq, conn->env.pool);
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

/* ---- paths (RFC 9000 section 9) ---- */

/* Another address is another path; another port of the same address is not. */
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
		mine->mtu = hop->mtu; /* learned from the peer's own frames */
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
	/* The relay's address is the same, the route to it need not be. */
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

	clv_paths_record(&conn->paths, rx, &conn->flow);
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
		conn_fail(conn, rv, now_ns);
	follow_path(conn);
}

/* ---- timers ---- */

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
		conn_fail(conn, rv, now_ns);
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
	queue = clv_flowq_next_ns(&conn->flowq);
	/* A probe that is due but could not go (window, no datagrams) waits for the next output. */
	probe = clv_pmtu_next_ns(&conn->pmtu);
	if (conn->probe_stream >= 0 && probe > conn->now_ns && probe < at)
		at = probe;
	if (queue < at)
		at = queue;
	if (conn->flowq.count && conn->pace_ns > conn->now_ns && next_tick(conn->pace_ns) < at)
		at = next_tick(conn->pace_ns);
	return at;
}
