/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/quic/conn_output.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/quic/conn.h"
#include "datapath/quic/conn_close.h"
#include "datapath/quic/dgram.h"

enum {
	VECTORS_MAX = 8,
	/* Bytes of a short-header packet around the body of one DATAGRAM frame: first byte, 2 bytes
	 * of packet number, frame type, 2 bytes of length, AEAD tag; the peer's ID comes on top. */
	DATAGRAM_OVERHEAD = 1 + 2 + 1 + 2 + 16,
	/* Bytes of streams that go before datagrams that wait: some responses, or capsules. */
	STREAMS_FIRST = 16 * 1024,
	PACING_GAIN_PERCENT = 125, /* RFC 9002 section 7.7 */
};

/* ---- packets ---- */

static const struct clv_flow *flow_of(struct clv_conn *conn, const ngtcp2_path *path)
{
	return clv_path_is(path, &conn->flow) ? &conn->flow : clv_paths_find(&conn->paths, path);
}

/* A path may lead through another port than the one in use: carry the packet over. */
static struct clv_port *change_port(struct clv_conn *conn, struct clv_port *port, struct clv_tx *tx,
				    size_t len, const struct clv_flow *flow)
{
	struct clv_port *other = port;
	struct clv_tx moved = { .link = flow->hop.link };

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
 * *accepted: whether the packet has the datagram; one may be sent without it.
 */
static enum written write_datagram(struct clv_conn *conn, struct clv_port *port,
				   const ngtcp2_vec *vec, size_t vecs, size_t size, uint64_t id,
				   uint32_t flags, int *accepted)
{
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	ngtcp2_ssize n;
	struct clv_tx tx = { .link = conn->flow.hop.link };

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
			conn_fail(conn, (int)n, conn->now_ns);
		return WRITE_FAILED;
	}
	return n > 0 ? WROTE_PACKET : WROTE_NOTHING;
}

static size_t vec_total(const ngtcp2_vec *vec, int vecs)
{
	size_t total = 0;

	for (int i = 0; i < vecs; i++)
		total += vec[i].len;
	return total;
}

/* One packet with stream bytes if wanted, or with what ngtcp2 itself has to send. */
static enum written write_stream(struct clv_conn *conn, struct clv_port *port, bool with_streams)
{
	ngtcp2_vec vec[VECTORS_MAX];
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	ngtcp2_ssize n, taken;
	struct clv_tx tx = { .link = conn->flow.hop.link };
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
		vecs = with_streams ? clv_streams_next(&conn->streams, &id, vec, VECTORS_MAX, &fin)
				    : -1;
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
		conn_fail(conn, (int)n, conn->now_ns);
		return WRITE_FAILED;
	}
	return n > 0 ? WROTE_PACKET : WROTE_NOTHING;
}

/* ---- datagrams ---- */

/* Bytes of a short-header packet around the body of one DATAGRAM frame. */
static size_t datagram_overhead(const struct clv_conn *conn)
{
	return DATAGRAM_OVERHEAD + ngtcp2_conn_get_dcid2(conn->qc)->datalen;
}

size_t clv_conn_path_room(const struct clv_conn *conn)
{
	return conn->pmtu.confirmed - datagram_overhead(conn);
}

size_t clv_conn_datagram_room(const struct clv_conn *conn)
{
	const ngtcp2_transport_params *tp = ngtcp2_conn_get_remote_transport_params2(conn->qc);
	size_t overhead = datagram_overhead(conn);
	size_t room = clv_conn_path_room(conn);

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

/* Whether streams have bytes to send that the peer's flow control allows. */
static bool streams_wait(const struct clv_conn *conn)
{
	return conn->streams.ready.head && ngtcp2_conn_get_max_data_left2(conn->qc) > 0;
}

static void queue_datagram(struct clv_conn *conn, const uint8_t *prefix, size_t prefix_len,
			   const uint8_t *payload, size_t payload_len)
{
	int err;

	if (!conn->flowq.count)
		conn->streams_first = STREAMS_FIRST;
	err = clv_flowq_push(&conn->flowq, conn->env.pool, conn->env.share, prefix, prefix_len,
			     payload, payload_len, conn->now_ns);
	if (err)
		clv_count(conn->env.counters,
			  err == -ENOBUFS ? CLV_COUNT_DROP_BUFFERS : CLV_COUNT_DROP_QUEUE_FULL);
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
	/* Those that wait are first, streams too, for which output makes room; and ngtcp2 must not be
	 * asked to write from inside one of its callbacks, as when two bound tunnels of one
	 * connection talk to each other. */
	if (conn->flowq.count || conn->is_reading || streams_wait(conn)) {
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

/* The datagram whose turn it is.  Returns whether there may be another. */
static bool write_waiting(struct clv_conn *conn, struct clv_port *port)
{
	const uint8_t *data;
	uint32_t dropped;
	enum written w;
	ngtcp2_vec vec;
	int accepted;
	bool is_next;
	size_t len;

	is_next = clv_flowq_next(&conn->flowq, conn->env.pool, conn->now_ns, &data, &len, &dropped);
	clv_count_add(conn->env.counters, CLV_COUNT_DROP_SOJOURN, dropped);
	if (!is_next)
		return false;
	vec = (ngtcp2_vec){ (uint8_t *)data, len };
	w = write_datagram(conn, port, &vec, 1, conn->pmtu.confirmed, len, 0, &accepted);
	if (accepted)
		clv_count(conn->env.counters, CLV_COUNT_DGRAM_OUT);
	else if (w == WRITE_FAILED || len > clv_conn_datagram_room(conn))
		clv_count(conn->env.counters, CLV_COUNT_DROP_TOO_BIG_PEER);
	else
		return w == WROTE_PACKET;
	if (conn->streams_first < STREAMS_FIRST)
		conn->streams_first += (int32_t)len;
	clv_flowq_pop(&conn->flowq, conn->env.pool);
	return true;
}

/* Bytes were sent: the time until the next, so that a window takes most of a round trip. */
static void pace(struct clv_conn *conn, uint64_t bytes)
{
	ngtcp2_conn_info info;

	ngtcp2_conn_get_conn_info2(conn->qc, &info);
	conn->pace_ns += bytes * info.smoothed_rtt * 100 / PACING_GAIN_PERCENT / info.cwnd;
}

/*
 * Datagrams that wait, and streams: these first within a budget, since a response is worth more than
 * the datagrams that it delays; then both alike.  One ACK covers many packets, so the window opens
 * by leaps: without pacing as many packets would leave at once, and overflow a short buffer on the
 * path.
 */
static void send_waiting(struct clv_conn *conn, struct clv_port *port)
{
	uint32_t old = clv_flowq_expire(&conn->flowq, conn->env.pool, conn->now_ns);
	bool may_write_streams = true; /* until there is no more, or flow control forbids it */

	clv_count_add(conn->env.counters, CLV_COUNT_DROP_SOJOURN, old);
	if (conn->pace_ns + CONN_TICK_NS < conn->now_ns)
		conn->pace_ns = conn->now_ns - CONN_TICK_NS;
	while (!conn->closing && conn->flowq.count && conn->pace_ns <= conn->now_ns) {
		uint64_t window = ngtcp2_conn_get_cwnd_left2(conn->qc), left;

		if (!window)
			return;
		if (may_write_streams && conn->streams_first > 0 && conn->streams.ready.head) {
			may_write_streams = write_stream(conn, port, true) == WROTE_PACKET;
			conn->streams_first -= conn->pmtu.confirmed;
		} else if (!write_waiting(conn, port)) {
			return;
		}
		left = ngtcp2_conn_get_cwnd_left2(conn->qc);
		pace(conn, window > left ? window - left : 0);
	}
}

/* ---- probes of the path (pmtu.h) ---- */

/*
 * A padded DATAGRAM with a Context ID that is never allocated: the peer drops it, but acknowledges
 * it.
 */
static void probe_path(struct clv_conn *conn, struct clv_port *port)
{
	uint16_t size = clv_pmtu_probe(&conn->pmtu, conn->now_ns);
	uint8_t prefix[CLV_DGRAM_PREFIX_MAX];
	ngtcp2_vec vec = { prefix, 0 };
	int accepted;

	if (!size || conn->probe_stream < 0 || conn->flowq.count || !clv_conn_has_datagrams(conn))
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

/* ---- everything that waits to be sent ---- */

static void count_discarded(struct clv_conn *conn)
{
	ngtcp2_conn_info info;

	ngtcp2_conn_get_conn_info2(conn->qc, &info);
	clv_count_add(conn->env.counters, CLV_COUNT_DROP_QUIC,
		      info.pkt_discarded - conn->discarded);
	conn->discarded = info.pkt_discarded;
}

/* Whether there can only be an ACK to send, and it is early for that: see next_tick in conn.c. */
static bool may_wait(const struct clv_conn *conn)
{
	return conn->env.pool && conn->unanswered && conn->unanswered < CONN_ACK_EVERY &&
	       conn->now_ns < conn->answer_ns && (!conn->streams.ready.head || conn->flowq.count) &&
	       ngtcp2_conn_get_handshake_completed2(conn->qc);
}

static void answer(struct clv_conn *conn, struct clv_port *port)
{
	/* While datagrams wait, streams have had their turn. */
	while (!conn->closing && write_stream(conn, port, !conn->flowq.count) == WROTE_PACKET)
		;
	conn->unanswered = 0;
}

void clv_conn_output(struct clv_conn *conn, struct clv_port *port, uint64_t now_ns)
{
	conn->now_ns = now_ns;
	count_discarded(conn);
	if (!conn->closing) {
		bool has_expired = conn->has_expired;

		/*
		 * What ngtcp2 may send beyond the window probes whether the path still works: a
		 * datagram too large for the path would never be acknowledged.
		 */
		if (has_expired)
			write_stream(conn, port, !conn->flowq.count);
		conn->has_expired = false;
		if (conn->flowq.count)
			send_waiting(conn, port);
		if (has_expired || !may_wait(conn))
			answer(conn, port);
	}
	if (!conn->closing)
		probe_path(conn, port);
	if (!conn->closing)
		report_payload(conn);
	if (conn->closing == CLV_CONN_CLOSING)
		conn_send_close(conn, port);
}
