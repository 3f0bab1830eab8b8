/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/library/culvert_state.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	ADDRESSES_MAX = 8,
	PEERS_MAX = 64, /* of a node that does not listen */
};

#define DECIDE_NS (30 * CLV_SEC)

/* ---- events ---- */

static struct culvert_event event_of(struct culvert_peer *p, enum culvert_event_type type)
{
	return (struct culvert_event){
		.type = type,
		.user = p->user,
		.listen = p->listen,
		.peer = p,
	};
}

static void to_path(const struct clv_peer_link *link, struct culvert_path *out)
{
	out->is_relayed = link->is_relayed;
	text_to_address(&link->remote, &out->address);
}

static uint32_t msec_since(const struct culvert_peer *p, uint64_t ns)
{
	return (uint32_t)((p->c->now_ns - ns) / CLV_MSEC);
}

/* ---- what is known of it ---- */

static uint32_t msec_at_least_one(uint64_t from_ns, uint64_t to_ns)
{
	uint64_t msec = (to_ns - from_ns) / CLV_MSEC;

	return msec ? (uint32_t)msec : 1;
}

static void note_path(struct culvert_peer *p, bool is_relayed)
{
	if (!is_relayed && !p->life.direct_msec)
		p->life.direct_msec = msec_at_least_one(p->up_ns, p->c->now_ns);
}

static void fill_search(const struct clv_rounds *rounds, struct culvert_search *out)
{
	const struct clv_checks *checks = clv_rounds_checks(rounds);
	const uint64_t *counts = checks->counts;

	*out = (struct culvert_search){
		.pairs_answered = counts[CLV_PUNCH_PAIRS_ANSWERED],
		.pairs_silent = counts[CLV_PUNCH_PAIRS_SILENT],
		.pairs_filtered_family = counts[CLV_PUNCH_FILTERED_FAMILY],
		.pairs_filtered_policy = counts[CLV_PUNCH_FILTERED_POLICY],
		.pairs_redundant = counts[CLV_PUNCH_REDUNDANT],
		.probes_sent = counts[CLV_PUNCH_REQUESTS_SENT],
		.probes_answered = counts[CLV_PUNCH_REQUESTS_ANSWERED],
		.probes_bad_tag = clv_rounds_probes(rounds, CLV_PROBE_BAD_TAG),
		.probes_replayed = clv_rounds_probes(rounds, CLV_PROBE_REPLAYED) +
				   clv_rounds_probes(rounds, CLV_PROBE_OLD),
		.rounds_direct = counts[CLV_PUNCH_ROUNDS_DIRECT],
		.rounds_silent = counts[CLV_PUNCH_ROUNDS_SILENT],
		.rounds_refused = counts[CLV_PUNCH_ROUNDS_REFUSED],
	};
	for (unsigned i = 0; i < CULVERT_CANDIDATE_MAX; i++) {
		out->candidates_tried[i] = checks->tried[i];
		out->candidates_won[i] = checks->won[i];
		out->pairs_won += checks->won[i];
	}
}

/* What the connection knows goes with it. */
static void fill_life(const struct culvert_peer *p, const struct clv_peer *peer,
		      struct culvert_peer_info *out)
{
	const struct clv_direct *direct = clv_peer_direct(peer);
	uint64_t observed_ns = direct ? clv_direct_observed_ns(direct) : 0;

	if (observed_ns)
		out->observed_msec = msec_at_least_one(p->since_ns, observed_ns);
	if (direct)
		fill_search(clv_direct_rounds(direct), &out->search);
}

/* ---- what happens ---- */

static void release(struct object *object)
{
	free((struct culvert_peer *)object);
}

static struct culvert_peer *new_peer(struct node *node)
{
	struct culvert_peer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->object.release = release;
	p->c = node->c;
	p->node = node;
	p->since_ns = node->c->now_ns;
	node->users++;
	LIST_INSERT_HEAD(&node->c->peers, p, link);
	return p;
}

static void on_send(void *user, const struct clv_peer_link *link, const uint8_t *packet, size_t len)
{
	struct node *node = user;
	struct culvert *c = node->c;
	struct sockaddr_storage sa;
	socklen_t sa_len;

	if (link->base) {
		if (node->listen && node->listen->base == link->base)
			clv_bound_tunnel_send(node->listen->tunnel, &link->remote, packet, len);
		return;
	}
	sa_len = clv_endpoint_to_sockaddr(&link->remote, !clv_addr_is_v4(c->peer_local.addr), &sa);
	if (sendto(c->peer_fd, packet, len, 0, (struct sockaddr *)&sa, sa_len) < 0)
		clv_client_count_drop(c->client, CLV_COUNT_DROP_SEND_ERROR);
}

static void on_incoming(void *user, struct clv_peer *peer)
{
	struct node *node = user;
	struct culvert_peer *p = node->listen ? new_peer(node) : NULL;
	char id[CULVERT_ID_TEXT];
	struct culvert_event e;

	if (!p) {
		clv_peer_close(peer, CLV_PEERCONN_BUSY);
		return;
	}
	p->listen = node->listen;
	p->user = node->listen->user;
	p->peer = peer;
	p->id = *clv_peer_id(peer);
	p->decide_ns = p->c->now_ns + DECIDE_NS;
	clv_peer_set_user(peer, p);
	e = event_of(p, CULVERT_INCOMING);
	emit_event(p->c, &e, clv_identity_format(&p->id, id), sizeof(id));
}

static void on_up(void *user, struct clv_peer *peer)
{
	struct culvert_peer *p = clv_peer_user(peer);
	struct culvert_event e = event_of(p, CULVERT_PEER_UP);
	struct clv_peerconn_info info;

	(void)user;
	p->was_up = true;
	clv_peer_info(peer, &info);
	to_path(&info.link, &e.path);
	e.msec = msec_since(p, p->since_ns);
	p->up_ns = p->c->now_ns;
	p->life.setup_msec = msec_at_least_one(p->since_ns, p->up_ns);
	p->life.setup_is_relayed = e.path.is_relayed;
	note_path(p, e.path.is_relayed);
	emit_event(p->c, &e, NULL, 0);
}

static void on_moved(void *user, struct clv_peer *peer, const struct clv_peerconn_move *move)
{
	static const enum culvert_path_why whys[] = {
		[CLV_PATH_FIRST] = CULVERT_PATH_BETTER,	 [CLV_PATH_BETTER] = CULVERT_PATH_BETTER,
		[CLV_PATH_SILENT] = CULVERT_PATH_SILENT, [CLV_PATH_GONE] = CULVERT_PATH_GONE,
		[CLV_PATH_PEER] = CULVERT_PATH_PEER,
	};
	struct culvert_peer *p = clv_peer_user(peer);
	struct culvert_event e = event_of(p, CULVERT_PEER_PATH);

	(void)user;
	if (!p->was_up)
		return;
	to_path(&move->from, &e.path_before);
	to_path(&move->to, &e.path);
	e.why = whys[move->why];
	e.msec = (uint32_t)(move->gap_ns / CLV_MSEC);
	note_path(p, e.path.is_relayed);
	p->life.moves_by[e.why]++;
	if (e.msec > p->life.gap_max_msec)
		p->life.gap_max_msec = e.msec;
	emit_event(p->c, &e, NULL, 0);
}

static void on_datagram(void *user, struct clv_peer *peer, uint64_t flow, const uint8_t *data,
			size_t len)
{
	struct culvert_peer *p = clv_peer_user(peer);
	struct culvert_event e = event_of(p, CULVERT_DATAGRAM);

	(void)user;
	e.flow = flow;
	emit_event(p->c, &e, data, len);
}

static void on_down(void *user, struct clv_peer *peer, const struct clv_peerconn_end *end)
{
	struct culvert_peer *p = clv_peer_user(peer);
	struct culvert_event e = event_of(p, CULVERT_PEER_DOWN);

	(void)user;
	if (!p)
		return;
	fill_life(p, peer, &p->life);
	p->peer = NULL;
	p->decide_ns = 0;
	e.was_open = p->was_up;
	e.by_relay = false;
	e.error = end->error;
	e.code = end->code;
	if (end->error == CLV_EUNTRUSTED && !end->is_remote)
		e.error = CULVERT_EIDENTITY;
	else if (end->error == CLV_EDENIED)
		e.error = CULVERT_EREFUSED;
	else if (end->is_app && end->code == CLV_PEERCONN_BUSY)
		e.error = CULVERT_EFULL;
	emit_event(p->c, &e, NULL, 0);
}

const struct clv_peers_ops peer_ops = {
	.send = on_send,
	.incoming = on_incoming,
	.up = on_up,
	.moved = on_moved,
	.datagram = on_datagram,
	.down = on_down,
};

/* ---- those that dialled ---- */

void culvert_incoming_accept(struct culvert_peer *p)
{
	if (!p->decide_ns)
		return;
	p->decide_ns = 0;
	p->since_ns = p->c->now_ns;
	clv_peer_accept(p->peer);
	wake_now(p->c);
}

static void end_peer(struct culvert_peer *p, enum clv_peerconn_code code)
{
	if (p->peer) {
		fill_life(p, p->peer, &p->life);
		clv_peer_close(p->peer, code);
	}
	p->peer = NULL;
	p->decide_ns = 0;
}

void culvert_incoming_refuse(struct culvert_peer *p)
{
	end_peer(p, CLV_PEERCONN_REFUSED);
	culvert_peer_close(p);
}

void peers_step(struct culvert *c)
{
	struct culvert_peer *p;

	LIST_FOREACH(p, &c->peers, link) {
		struct culvert_event e = event_of(p, CULVERT_PEER_DOWN);

		if (!p->decide_ns || c->now_ns < p->decide_ns)
			continue;
		end_peer(p, CLV_PEERCONN_REFUSED);
		e.error = CULVERT_ETIMEOUT;
		emit_event(c, &e, NULL, 0);
	}
}

uint64_t peers_next_ns(const struct culvert *c)
{
	const struct culvert_peer *p;
	uint64_t at_ns = UINT64_MAX;

	LIST_FOREACH(p, &c->peers, link)
		if (p->decide_ns && p->decide_ns < at_ns)
			at_ns = p->decide_ns;
	return at_ns;
}

void peers_end_of(struct culvert_listen *l)
{
	struct culvert_peer *p;

	LIST_FOREACH(p, &l->node->c->peers, link) {
		struct culvert_event e = event_of(p, CULVERT_PEER_DOWN);

		if (p->listen != l)
			continue;
		e.listen = p->listen = NULL;
		if (!p->peer)
			continue;
		end_peer(p, CLV_PEERCONN_NO_ERROR);
		e.was_open = p->was_up;
		e.error = CULVERT_ECLOSED;
		emit_event(p->c, &e, NULL, 0);
	}
}

/* ---- dialling ---- */

/* Who is to be dialled: a ticket or an identity. */
static int read_peer(struct culvert *c, const char *text, struct clv_identity *id)
{
	struct clv_ticket ticket;
	const char *why = "neither a ticket nor an id";

	if (!text)
		return text_set_why(c, CULVERT_ESYNTAX, "a peer's ticket or id is required");
	if (clv_ticket_is(text)) {
		if (!clv_ticket_parse(text, strlen(text), &ticket, &why)) {
			*id = ticket.id;
			return 0;
		}
	} else if (!clv_identity_parse(text, strlen(text), id)) {
		return 0;
	}
	return text_set_why(c, CULVERT_ESYNTAX, "peer: %s", why);
}

static int read_addresses(struct culvert *c, const struct culvert_peer_options *o,
			  struct clv_peer_link links[static ADDRESSES_MAX])
{
	if (!o->addresses_len)
		return text_set_why(c, CULVERT_ENOPEER, "no address of the peer is known");
	if (o->addresses_len > ADDRESSES_MAX)
		return text_set_why(c, CULVERT_ERANGE, "more than %d addresses", ADDRESSES_MAX);
	for (size_t i = 0; i < o->addresses_len; i++) {
		links[i] = (struct clv_peer_link){ .base = 0, .is_relayed = true };
		if (clv_endpoint_parse(o->addresses[i], &links[i].remote) || !links[i].remote.port)
			return text_set_why(c, CULVERT_ESYNTAX, "not ADDRESS:PORT: %s",
					    o->addresses[i]);
	}
	return 0;
}

static int dial(struct culvert_peer *p, const struct clv_peer_link *links, size_t len)
{
	return clv_peers_dial(p->node->peers, &p->id, links, len, p, p->c->now_ns, &p->peer);
}

/* What a peer's record says about where it is.  Returns how many links. */
static size_t links_of(const struct clv_object *record,
		       struct clv_peer_link links[static ADDRESSES_MAX])
{
	size_t n = 0;

	for (unsigned i = 0; i < record->own_len && n < ADDRESSES_MAX; i++) {
		const struct clv_object_endpoint *e = &record->endpoints[i];

		if (e->protocol != CLV_OBJECT_QUIC || e->use != CLV_OBJECT_USE_BOUND)
			continue;
		links[n++] = (struct clv_peer_link){ .is_relayed = true, .remote = e->at };
	}
	return n;
}

static void on_found(void *user, int error, const struct clv_object *record)
{
	struct clv_peer_link links[ADDRESSES_MAX];
	struct culvert_peer *p = user;
	struct culvert_event e = event_of(p, CULVERT_PEER_DOWN);
	size_t n = error ? 0 : links_of(record, links);

	p->asks = NULL;
	if (!error && !n)
		error = CULVERT_ENOPEER;
	if (!error)
		error = dial(p, links, n);
	if (!error)
		return;
	e.error = error;
	emit_event(p->c, &e, NULL, 0);
}

int culvert_peer_open(struct culvert *c, const struct culvert_peer_options *o,
		      struct culvert_peer **out)
{
	struct clv_peer_link links[ADDRESSES_MAX];
	struct culvert_peer *p;
	struct clv_identity id;
	struct node *node;
	int err;

	text_clear_why(c);
	err = read_peer(c, o->peer, &id);
	if (!err && (o->addresses_len || !o->session))
		err = read_addresses(c, o, links);
	if (!err)
		err = node_open(c, o->identity, PEERS_MAX, o->privacy, &peer_ops, &node);
	if (err)
		return err;
	c->now_ns = clv_clock_now_ns();
	p = new_peer(node);
	node_close(node); /* p uses it now */
	if (!p)
		return -ENOMEM;
	p->user = o->user;
	p->id = id;
	if (o->addresses_len) {
		err = dial(p, links, o->addresses_len);
	} else {
		p->asks = o->session; /* before: the answer may come at once */
		err = signals_look_up(o->session, &id, on_found, p);
	}
	if (err) {
		culvert_peer_close(p);
		return err;
	}
	wake_now(c);
	*out = p;
	return 0;
}

void culvert_peer_close(struct culvert_peer *p)
{
	if (!p)
		return;
	end_peer(p, p->decide_ns ? CLV_PEERCONN_REFUSED : CLV_PEERCONN_NO_ERROR);
	if (p->asks)
		signals_forget(p->asks, p);
	LIST_REMOVE(p, link);
	node_close(p->node);
	wake_now(p->c);
	object_close(&p->object);
}

int culvert_peer_send(struct culvert_peer *p, uint64_t flow, const void *data, size_t len)
{
	int err = p->asks ? -EAGAIN : CULVERT_ECLOSED;

	if (len > CULVERT_PEER_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (p->peer)
		err = clv_peer_send(p->peer, flow, data, len);
	if (!err)
		wake_now(p->c);
	return err;
}

void culvert_peer_info(const struct culvert_peer *p, struct culvert_peer_info *out)
{
	struct clv_peerconn_info info = { .is_up = false };

	*out = p->life;
	out->is_dialler = !p->listen;
	clv_identity_format(&p->id, out->id);
	if (!p->peer)
		return;
	fill_life(p, p->peer, out);
	clv_peer_info(p->peer, &info);
	out->is_up = info.is_up;
	out->is_dialler = info.is_dialler;
	if (info.has_link)
		to_path(&info.link, &out->path);
	out->rtt_usec = info.rtt_ns / 1000;
	out->since_msec = (p->c->now_ns - info.since_ns) / CLV_MSEC;
	out->moves = info.moves;
	out->datagrams_in = info.datagrams_in;
	out->datagrams_out = info.datagrams_out;
	out->bytes_in = info.bytes_in;
	out->bytes_out = info.bytes_out;
	out->packets_lost = info.lost;
}
