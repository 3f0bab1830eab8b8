/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/peerconn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/peer/peerconn_state.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

#define INITIAL_RTT_NS	  (100 * CLV_MSEC)
#define HANDSHAKE_NS	  (10 * CLV_SEC)
#define IDLE_NS		  (30 * CLV_SEC)
#define KEEPALIVE_NS	  (10 * CLV_SEC)
#define KEEPALIVE_BUSY_NS (250 * CLV_MSEC) /* while the application sends or receives */
#define BUSY_NS		  (5 * CLV_SEC)
#define SILENCE_MAX_NS	  (10 * CLV_SEC)  /* then the peer is gone */
#define STALL_MIN_NS	  CLV_SEC	  /* see find_stall */
#define RETRY_NS	  (50 * CLV_MSEC) /* after a move that QUIC refused */

enum {
	WINDOW = 1 << 16,
	IDS_MAX = 8, /* as many as ngtcp2 takes: each move needs one */
	STREAMS_MAX = 4,
};

/* ---- life ---- */

static void fill_settings(ngtcp2_settings *s, struct clv_peerconn *c)
{
	ngtcp2_settings_default(s);
	s->initial_ts = c->p.now_ns;
	s->initial_rtt = c->p.initial_rtt_ns ? c->p.initial_rtt_ns : INITIAL_RTT_NS;
	s->handshake_timeout = c->p.handshake_ns ? c->p.handshake_ns : HANDSHAKE_NS;
	s->rand_ctx.native_handle = c;
	s->cc_algo = NGTCP2_CC_ALGO_CUBIC;
	s->no_pmtud = 1;
	s->no_tx_udp_payload_size_shaping = 1;
	s->max_tx_udp_payload_size = CLV_PEERCONN_PACKET_MAX;
	s->max_window = s->max_stream_window = WINDOW;
}

static void fill_transport_params(ngtcp2_transport_params *tp, bool is_server)
{
	ngtcp2_transport_params_default(tp);
	tp->initial_max_stream_data_bidi_local = WINDOW;
	tp->initial_max_stream_data_bidi_remote = WINDOW;
	tp->initial_max_data = WINDOW;
	tp->initial_max_streams_bidi = is_server ? STREAMS_MAX : 0;
	tp->max_idle_timeout = IDLE_NS;
	tp->active_connection_id_limit = IDS_MAX;
	tp->max_datagram_frame_size = 65535;
	/* the fixed bit tells QUIC from STUN on one socket (RFC 9443): no greasing of it */
}

struct path {
	struct sockaddr_in6 local, remote;
	ngtcp2_path p;
};

static void path_set(const struct clv_peerconn *c, uint32_t number, struct path *out)
{
	clv_pathset_addresses(&c->paths, number, &out->local, &out->remote);
	out->p = (ngtcp2_path){
		.local = { (ngtcp2_sockaddr *)&out->local, sizeof(out->local) },
		.remote = { (ngtcp2_sockaddr *)&out->remote, sizeof(out->remote) },
	};
}

static struct clv_peerconn *new_conn(const struct clv_peerconn_params *p, bool is_dialler)
{
	struct clv_peerconn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->waiting = malloc(PEERCONN_WAITING_MAX * sizeof(*c->waiting));
	if (!c->waiting) {
		free(c);
		return NULL;
	}
	c->p = *p;
	if (p->key) {
		memcpy(c->key, p->key, sizeof(c->key));
		c->p.key = c->key;
	}
	c->now_ns = p->now_ns;
	c->is_dialler = is_dialler;
	c->stream = -1;
	clv_pathset_init(&c->paths, is_dialler, p->now_ns);
	c->paths.can_ask = p->ops->ask != NULL;
	c->paths.needs_proof = p->needs_proof && !is_dialler;
	c->info.since_ns = p->now_ns;
	return c;
}

/* Give ngtcp2's half its keys.  Returns 0, or an error: c is freed. */
static int finish_new(struct clv_peerconn *c, int rv, struct clv_peerconn **out)
{
	int err = rv == NGTCP2_ERR_NOMEM ? -ENOMEM : CLV_EQUIC;

	if (rv) {
		c->qc = NULL;
	} else {
		err = clv_tls_peer_attach(c->p.tls, c->qc, c->p.key, &c->tls);
	}
	if (err) {
		clv_peerconn_free(c);
		return err;
	}
	c->keepalive_ns = KEEPALIVE_NS;
	ngtcp2_conn_set_keep_alive_timeout(c->qc, c->keepalive_ns);
	*out = c;
	return 0;
}

/* A first ID of ours. */
static int first_id(struct clv_peerconn *c, ngtcp2_cid *out)
{
	uint8_t id[CLV_PATHSET_CID_LEN];

	clv_rand_bytes(c->p.rand, id, sizeof(id));
	ngtcp2_cid_init(out, id, sizeof(id));
	return c->p.ops->cid_added(c->p.user, id);
}

int clv_peerconn_dial(const struct clv_peerconn_params *p, const struct clv_peer_link *links,
		      size_t links_len, struct clv_peerconn **out)
{
	struct clv_peerconn *c;
	uint8_t random[CLV_PATHSET_CID_LEN];
	ngtcp2_transport_params tp;
	ngtcp2_settings settings;
	ngtcp2_cid dcid, scid;
	ngtcp2_callbacks cb;
	struct path path;
	int err;

	if (!links_len)
		return CLV_ERANGE;
	c = new_conn(p, true);
	if (!c)
		return -ENOMEM;
	for (size_t i = 0; i < links_len; i++)
		clv_pathset_add(&c->paths, &links[i]); /* beyond the table: not raced */
	err = first_id(c, &scid);
	if (err) {
		clv_peerconn_free(c);
		return err;
	}
	clv_rand_bytes(p->rand, random, sizeof(random));
	ngtcp2_cid_init(&dcid, random, sizeof(random));
	peerconn_callbacks(&cb, false);
	fill_settings(&settings, c);
	fill_transport_params(&tp, false);
	path_set(c, c->paths.current, &path);
	return finish_new(c,
			  ngtcp2_conn_client_new(&c->qc, &dcid, &scid, &path.p, NGTCP2_PROTO_VER_V1,
						 &cb, &settings, &tp, NULL, c),
			  out);
}

int clv_peerconn_accept(const struct clv_peerconn_params *p, const struct clv_peer_link *link,
			const uint8_t *packet, size_t len, struct clv_peerconn **out)
{
	struct clv_peerconn *c;
	ngtcp2_transport_params tp;
	ngtcp2_settings settings;
	ngtcp2_callbacks cb;
	ngtcp2_pkt_hd hd;
	ngtcp2_cid scid;
	struct path path;
	int err;

	/* IDs of another length than ours are of nobody who speaks this protocol. */
	if (ngtcp2_accept(&hd, packet, len) || hd.version != NGTCP2_PROTO_VER_V1 ||
	    hd.dcid.datalen != CLV_PATHSET_CID_LEN || hd.scid.datalen != CLV_PATHSET_CID_LEN)
		return CLV_ESYNTAX;
	c = new_conn(p, false);
	if (!c)
		return -ENOMEM;
	clv_pathset_add(&c->paths, link);
	err = first_id(c, &scid);
	if (!err)
		err = p->ops->cid_added(p->user, hd.dcid.data); /* until the handshake is over */
	if (err) {
		clv_peerconn_free(c);
		return err;
	}
	peerconn_callbacks(&cb, true);
	fill_settings(&settings, c);
	fill_transport_params(&tp, true);
	tp.original_dcid_present = 1;
	tp.original_dcid = hd.dcid;
	path_set(c, c->paths.current, &path);
	return finish_new(c,
			  ngtcp2_conn_server_new(&c->qc, &hd.scid, &scid, &path.p, hd.version, &cb,
						 &settings, &tp, NULL, c),
			  out);
}

void clv_peerconn_free(struct clv_peerconn *c)
{
	if (!c)
		return;
	ngtcp2_conn_del(c->qc);
	clv_tls_ops.free(c->tls);
	free(c->waiting);
	free(c->held);
	explicit_bzero(c, sizeof(*c)); /* probe keys: both HELLOs, and as they were on the stream */
	free(c);
}

/* ---- where the connection goes ---- */

/* Take over which path ngtcp2 uses. */
static void follow_path(struct clv_peerconn *c)
{
	const ngtcp2_path *path = ngtcp2_conn_get_path2(c->qc);

	clv_pathset_set_current(&c->paths, clv_pathset_path_of((const void *)path->remote.addr));
}

static bool is_same_link(const struct clv_peer_link *a, const struct clv_peer_link *b)
{
	return a->base == b->base && !memcmp(&a->remote, &b->remote, sizeof(a->remote));
}

/* A packet came in on link: if that is a new one in use, say so. */
static void report_move(struct clv_peerconn *c, int link)
{
	const struct clv_pathset_link *now = clv_pathset_in_use(&c->paths);
	struct clv_peerconn_move move = { .why = c->is_dialler ? c->move_why : CLV_PATH_PEER };

	if (link < 0 || !now || now != &c->paths.links[link] || c->paths.is_racing)
		return;
	if (c->has_used && is_same_link(&c->used, &now->link))
		return;
	move.from = c->used;
	move.to = now->link;
	move.gap_ns = c->now_ns - c->heard_ns;
	c->used = now->link;
	c->info.since_ns = c->now_ns;
	if (!c->has_used) {
		c->has_used = true;
		return;
	}
	c->info.moves++;
	if (c->p.ops->moved)
		c->p.ops->moved(c->p.user, &move);
}

static int move(struct clv_peerconn *c, const struct clv_pathset_order *order)
{
	uint32_t number = clv_pathset_prepare_move(&c->paths, order->link);
	struct path path;
	int rv;

	path_set(c, number, &path);
	if (order->is_at_once)
		rv = ngtcp2_conn_initiate_immediate_migration(c->qc, &path.p, c->now_ns);
	else
		rv = ngtcp2_conn_initiate_migration(c->qc, &path.p, c->now_ns);
	if (rv) { /* not confirmed yet, or no ID to spare */
		c->retry_ns = c->now_ns + RETRY_NS;
		return -EAGAIN;
	}
	c->move_why = order->why;
	clv_pathset_moved(&c->paths, order->link, c->now_ns);
	follow_path(c);
	return 0;
}

static void step_paths(struct clv_peerconn *c)
{
	struct clv_pathset_order order;
	ngtcp2_conn_info info;

	ngtcp2_conn_get_conn_info2(c->qc, &info);
	clv_pathset_step(&c->paths, c->is_complete && info.bytes_in_flight > 0, info.smoothed_rtt,
			 c->now_ns, &order);
	if (order.action == CLV_PATHSET_ASK && c->p.ops->ask)
		c->p.ops->ask(c->p.user, NULL);
	if (order.action == CLV_PATHSET_MOVE && c->now_ns >= c->retry_ns)
		move(c, &order);
}

/* ---- received packets ---- */

static uint64_t received(const struct clv_peerconn *c)
{
	ngtcp2_conn_info info;

	ngtcp2_conn_get_conn_info2(c->qc, &info);
	return info.pkt_recv;
}

/* One answer for the 1st, 2nd, 4th, 8th... packet (RFC 9000 section 10.2.1). */
static void receive_closing(struct clv_peerconn *c)
{
	c->close_seen++;
	if (c->closing == PEERCONN_CLOSING && !(c->close_seen & (c->close_seen - 1)))
		c->close_answer = true;
}

/* A packet comes, but nothing of what waits has left for longer than a loss takes to be noticed (R4). */
static void find_stall(struct clv_peerconn *c)
{
	uint64_t limit_ns = 3 * ngtcp2_conn_get_pto2(c->qc);

	limit_ns = limit_ns > STALL_MIN_NS ? limit_ns : STALL_MIN_NS;
	if (c->is_dialler || !c->stalled_ns || c->now_ns - c->stalled_ns < limit_ns)
		return;
	c->stalled_ns = c->now_ns;
	clv_pathset_renew(&c->paths);
}

void clv_peerconn_receive(struct clv_peerconn *c, const struct clv_peer_link *from,
			  const uint8_t *packet, size_t len, uint64_t now_ns)
{
	int link = clv_pathset_find(&c->paths, from->base, &from->remote), rv;
	ngtcp2_pkt_info pi = { 0 };
	uint64_t before;
	struct path path;
	bool is_genuine;

	c->now_ns = now_ns;
	if (c->closing) {
		receive_closing(c);
		return;
	}
	c->info.bytes_in += len;
	c->info.relayed_in += link >= 0 ? c->paths.links[link].link.is_relayed : from->is_relayed;
	c->heard_ns = c->paths.heard_ns;
	find_stall(c);
	path_set(c, clv_pathset_receive(&c->paths, link, from, packet, len), &path);
	before = received(c);
	rv = ngtcp2_conn_read_pkt(c->qc, &path.p, &pi, packet, len, now_ns);
	is_genuine = received(c) != before;
	link = clv_pathset_taken(&c->paths, is_genuine, now_ns);
	if (!is_genuine)
		c->info.discarded++;
	else
		c->info.stalls += c->paths.pending_renews;
	if (rv) {
		peerconn_fail(c, rv);
		return;
	}
	follow_path(c);
	if (is_genuine && link < 0 && c->is_up && c->p.ops->ask)
		c->p.ops->ask(c->p.user, from); /* the peer's, from where it was not known to be */
	report_move(c, link);
	step_paths(c);
}

/* ---- timers ---- */

/* While data flows, a silence is to be noticed also by the end that only receives. */
static void adjust_keepalive(struct clv_peerconn *c)
{
	bool is_busy = c->data_ns && c->now_ns - c->data_ns < BUSY_NS;
	uint64_t keepalive_ns = is_busy ? KEEPALIVE_BUSY_NS : KEEPALIVE_NS;

	if (keepalive_ns == c->keepalive_ns)
		return;
	c->keepalive_ns = keepalive_ns;
	ngtcp2_conn_set_keep_alive_timeout(c->qc, keepalive_ns);
}

void clv_peerconn_step(struct clv_peerconn *c, uint64_t now_ns)
{
	int rv;

	c->now_ns = now_ns;
	if (c->closing) {
		if (now_ns >= c->close_until_ns && !c->close_wanted)
			c->closing = PEERCONN_OVER;
		return;
	}
	adjust_keepalive(c);
	if (ngtcp2_conn_get_expiry2(c->qc) <= now_ns) {
		rv = ngtcp2_conn_handle_expiry(c->qc, now_ns);
		if (rv) {
			peerconn_fail(c, rv);
			return;
		}
		follow_path(c);
	}
	step_paths(c);
	if (clv_pathset_silence_ns(&c->paths, now_ns) >= SILENCE_MAX_NS)
		peerconn_fail(c, NGTCP2_ERR_IDLE_CLOSE);
}

uint64_t clv_peerconn_next_ns(const struct clv_peerconn *c)
{
	uint64_t at_ns, paths_ns;

	if (c->closing == PEERCONN_OVER || c->close_wanted || c->close_answer)
		return 0;
	if (c->closing)
		return c->close_until_ns;
	at_ns = ngtcp2_conn_get_expiry2(c->qc);
	paths_ns = clv_pathset_next_ns(&c->paths);
	if (c->retry_ns > c->now_ns && c->retry_ns < at_ns)
		at_ns = c->retry_ns;
	return paths_ns < at_ns ? paths_ns : at_ns;
}

bool clv_peerconn_is_over(const struct clv_peerconn *c)
{
	return c->closing == PEERCONN_OVER;
}

uint64_t clv_peerconn_silence_ns(const struct clv_peerconn *c, uint64_t now_ns)
{
	return c->closing ? 0 : clv_pathset_silence_ns(&c->paths, now_ns);
}

/* ---- what the owner decides ---- */

void clv_peerconn_accept_peer(struct clv_peerconn *c, const struct clv_peer_hello *hello)
{
	if (c->is_accepted || c->closing || !c->has_hello)
		return;
	c->is_accepted = true;
	c->p.hello = *hello;
	peerconn_put_hello(c);
	c->is_up = true;
	c->p.ops->up(c->p.user, &c->hello);
	for (unsigned i = 0; i < c->held_len && !c->closing; i++)
		peerconn_deliver(c, c->held[i].bytes, c->held[i].len);
	free(c->held);
	c->held = NULL;
	c->held_len = 0;
}

void clv_peerconn_close(struct clv_peerconn *c, enum clv_peerconn_code code)
{
	c->is_ended = true; /* its owner knows */
	if (c->closing)
		return;
	c->end = (struct clv_peerconn_end){ .code = code, .is_app = true };
	c->closing = PEERCONN_CLOSING;
	c->close_wanted = true;
}

int clv_peerconn_link_add(struct clv_peerconn *c, const struct clv_peer_link *link)
{
	int i = clv_pathset_add(&c->paths, link);

	return i < 0 ? i : 0;
}

void clv_peerconn_link_validated(struct clv_peerconn *c, const struct clv_peer_link *link,
				 uint64_t rtt_ns, uint64_t now_ns)
{
	int i = clv_pathset_add(&c->paths, link);

	c->now_ns = now_ns;
	if (i < 0 || c->closing)
		return;
	clv_pathset_validated(&c->paths, (unsigned)i, rtt_ns, now_ns);
	step_paths(c);
}

void clv_peerconn_link_heard(struct clv_peerconn *c, const struct clv_peer_link *link,
			     uint64_t now_ns)
{
	int i = clv_pathset_find(&c->paths, link->base, &link->remote);

	if (i >= 0)
		clv_pathset_heard(&c->paths, (unsigned)i, now_ns);
}

int clv_peerconn_move(struct clv_peerconn *c, const struct clv_peer_link *link, bool at_once,
		      uint64_t now_ns)
{
	int i = clv_pathset_find(&c->paths, link->base, &link->remote);
	struct clv_pathset_order order = {
		.action = CLV_PATHSET_MOVE,
		.link = (unsigned)i,
		.is_at_once = at_once,
		.why = CLV_PATH_GONE,
	};

	c->now_ns = now_ns;
	if (c->closing)
		return CLV_ECLOSED;
	if (!c->is_dialler || i < 0 || clv_pathset_in_use(&c->paths) == &c->paths.links[i])
		return CLV_ERANGE;
	if (c->paths.is_racing || !clv_pathset_may_move(&c->paths, now_ns))
		return -EAGAIN;
	clv_pathset_leave(&c->paths, now_ns);
	return move(c, &order);
}

void clv_peerconn_link_remove(struct clv_peerconn *c, const struct clv_peer_link *link)
{
	int i = clv_pathset_find(&c->paths, link->base, &link->remote);

	if (i >= 0)
		clv_pathset_remove(&c->paths, (unsigned)i);
}

void clv_peerconn_info(const struct clv_peerconn *c, struct clv_peerconn_info *out)
{
	const struct clv_pathset_link *l = clv_pathset_in_use(&c->paths);
	ngtcp2_conn_info info;

	ngtcp2_conn_get_conn_info2(c->qc, &info);
	*out = c->info;
	out->is_up = c->is_up;
	out->is_dialler = c->is_dialler;
	out->has_link = l != NULL;
	if (l)
		out->link = l->link;
	out->rtt_ns = info.smoothed_rtt;
	out->heard_ns = c->paths.heard_ns;
	out->lost = info.pkt_lost;
}
