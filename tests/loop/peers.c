/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/loop/peers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/peer/peers_state.h"
#include "control/tls/certgen.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

enum {
	FLOW = 7,
	PEERS_MAX = 4, /* of each identity, with has_peers */
};

/* ---- identities: made once for a program ---- */

static char *key_pem[2], *cert_pem[2];
static uint8_t ids[2][32];

static void make_identities(void)
{
	for (unsigned i = 0; i < 2 && !key_pem[i]; i++)
		if (clv_certgen_key(CLV_PROFILE_PQC, &key_pem[i]) ||
		    clv_certgen_self(key_pem[i], &cert_pem[i]) ||
		    clv_certgen_key_pin(CLV_PROFILE_PQC, key_pem[i], ids[i]))
			abort();
}

void peers_identity(unsigned index, const char **cert, const char **key, uint8_t id[static 32])
{
	make_identities();
	*cert = cert_pem[index];
	*key = key_pem[index];
	memcpy(id, ids[index], sizeof(ids[index]));
}

/* ---- the links ---- */

struct clv_peer_link peers_link_of(const struct peers *w, unsigned end, unsigned link)
{
	/* where that end sends to */
	struct clv_peer_link l = { .base = link, .is_relayed = w->links[link].is_relayed };
	const uint8_t v4[16] = { [10] = 0xff, [11] = 0xff, 198, 18, (uint8_t)link, end ? 1 : 2 };

	memcpy(l.remote.addr, v4, sizeof(v4));
	l.remote.port = htons(end ? 1000 : 2000);
	return l;
}

static double chance(struct peers *w)
{
	return (double)(clv_rand_u64(&w->rand) >> 11) / (double)(UINT64_C(1) << 53);
}

static void on_send(void *user, const struct clv_peer_link *link, const uint8_t *packet, size_t len)
{
	struct peers_end *e = user;
	struct peers *w = e->world;
	struct peers_link *l = &w->links[link->base];
	struct peers_packet *p, **at = &w->flying;

	l->sent++;
	if (!l->delay_ns || l->is_dead || (l->is_dead_to_dialler && e->index == 1) ||
	    (l->loss > 0 && chance(w) < l->loss)) {
		l->lost++;
		return;
	}
	p = malloc(sizeof(*p) + len);
	p->at_ns = w->now_ns + l->delay_ns;
	p->to = 1 - e->index;
	p->link = link->base;
	p->len = len;
	memcpy(p->bytes, packet, len);
	while (*at && (*at)->at_ns <= p->at_ns)
		at = &(*at)->next;
	p->next = *at;
	*at = p;
}

/* ---- what a connection reports ---- */

static int on_cid_added(void *user, const uint8_t *cid)
{
	(void)user;
	(void)cid;
	return 0;
}

static void on_cid_removed(void *user, const uint8_t *cid)
{
	(void)user;
	(void)cid;
}

static void on_proven(void *user, const uint8_t key[static 32], const struct clv_peer_hello *hello)
{
	struct peers_end *e = user;

	(void)hello;
	e->is_proven = true;
	memcpy(e->proven, key, sizeof(e->proven));
}

static void on_up(void *user, const struct clv_peer_hello *hello)
{
	struct peers_end *e = user;

	(void)hello;
	e->is_up = true;
}

static void on_moved(void *user, const struct clv_peerconn_move *move)
{
	struct peers_end *e = user;

	e->moves++;
	e->move = *move;
}

static void note_gap(uint64_t now_ns, uint64_t *last_ns, uint64_t *gap_ns)
{
	if (*last_ns && now_ns - *last_ns > *gap_ns)
		*gap_ns = now_ns - *last_ns;
	*last_ns = now_ns;
}

static void on_datagram(void *user, uint64_t flow, const uint8_t *data, size_t len)
{
	struct peers_end *e = user;
	uint32_t number;

	e->flow = flow;
	if (len != PEERS_PAYLOAD) {
		e->wrong++;
		return;
	}
	memcpy(&number, data, sizeof(number));
	for (size_t i = sizeof(number); i < len; i++)
		if (data[i] != (uint8_t)(number + i))
			number = PEERS_NUMBERS;
	if (number >= PEERS_NUMBERS) {
		e->wrong++;
		return;
	}
	e->doubled += e->seen[number];
	e->received += !e->seen[number];
	e->seen[number] = true;
	note_gap(e->world->now_ns, &e->last_ns, &e->gap_ns);
}

static int on_capsule(void *user, const struct clv_peer_capsule *capsule)
{
	struct peers_end *e = user;

	if (capsule->type != CLV_PEER_FLOW_OPEN || capsule->flow != e->stream_received)
		e->wrong++;
	e->stream_received++;
	note_gap(e->world->now_ns, &e->stream_last_ns, &e->stream_gap_ns);
	return 0;
}

static void on_ask(void *user, const struct clv_peer_link *link)
{
	struct peers_end *e = user;
	struct peers *w = e->world;

	e->asked++;
	for (unsigned i = 0; i < PEERS_LINKS; i++) {
		struct clv_peer_link l = peers_link_of(w, e->index, i);

		if (w->links[i].delay_ns && !w->links[i].is_dead && (!link || link->base == i))
			clv_peerconn_link_heard(e->conn, &l, w->now_ns + 1);
	}
}

static void on_down(void *user, const struct clv_peerconn_end *end)
{
	struct peers_end *e = user;

	e->is_down = true;
	e->end = *end;
}

static const struct clv_peerconn_ops ops = {
	.send = on_send,
	.cid_added = on_cid_added,
	.cid_removed = on_cid_removed,
	.proven = on_proven,
	.up = on_up,
	.moved = on_moved,
	.datagram = on_datagram,
	.capsule = on_capsule,
	.down = on_down,
};

static const struct clv_peerconn_ops ops_with_prober = {
	.send = on_send,
	.cid_added = on_cid_added,
	.cid_removed = on_cid_removed,
	.proven = on_proven,
	.up = on_up,
	.moved = on_moved,
	.datagram = on_datagram,
	.capsule = on_capsule,
	.ask = on_ask,
	.down = on_down,
};

/* ---- what peers report ---- */

static void on_peer_incoming(void *user, struct clv_peer *peer)
{
	struct peers_end *e = user;

	e->is_proven = true;
	memcpy(e->proven, clv_peer_id(peer)->bytes, sizeof(e->proven));
	e->peer = peer;
	if (e->accepts)
		clv_peer_accept(peer);
}

static void on_peer_up(void *user, struct clv_peer *peer)
{
	(void)peer;
	on_up(user, NULL);
}

static void on_peer_moved(void *user, struct clv_peer *peer, const struct clv_peerconn_move *move)
{
	(void)peer;
	on_moved(user, move);
}

static void on_peer_datagram(void *user, struct clv_peer *peer, uint64_t flow, const uint8_t *data,
			     size_t len)
{
	(void)peer;
	on_datagram(user, flow, data, len);
}

static void on_peer_down(void *user, struct clv_peer *peer, const struct clv_peerconn_end *end)
{
	struct peers_end *e = user;

	on_down(user, end);
	if (e->peer == peer)
		e->peer = NULL;
}

static const struct clv_peers_ops peers_ops = {
	.send = on_send,
	.incoming = on_peer_incoming,
	.up = on_peer_up,
	.moved = on_peer_moved,
	.datagram = on_peer_datagram,
	.down = on_peer_down,
};

/* ---- life ---- */

void peers_open(struct peers *w, uint64_t seed)
{
	char error[256];

	make_identities();
	memset(w, 0, sizeof(*w));
	clv_rand_init(&w->rand, seed + 1);
	w->now_ns = CLV_SEC;
	w->tick_ns = CLV_MSEC;
	w->next_tick_ns = w->now_ns;
	for (unsigned i = 0; i < 2; i++) {
		const struct clv_tls_peer_params tp = {
			.is_server = i == 1,
			.cert_pem = cert_pem[i],
			.key_pem = key_pem[i],
			.identity_name = "test",
		};
		struct peers_end *e = &w->ends[i];

		e->world = w;
		e->index = i;
		e->accepts = true;
		memcpy(e->id, ids[i], sizeof(e->id));
		if (clv_tls_peer_context(&tp, &e->tls, error, sizeof(error))) {
			fprintf(stderr, "peers: %s\n", error);
			abort();
		}
	}
}

void peers_close(struct peers *w)
{
	for (unsigned i = 0; i < 2; i++) {
		clv_peerconn_free(w->ends[i].conn);
		clv_peers_close(w->ends[i].peers);
		clv_tls_context_free(w->ends[i].tls);
	}
	while (w->flying) {
		struct peers_packet *p = w->flying;

		w->flying = p->next;
		free(p);
	}
}

static struct clv_peerconn_params params_of(struct peers *w, unsigned end)
{
	struct clv_peerconn_params p = {
		.tls = w->ends[end].tls,
		.hello = { .version = CLV_PEER_VERSION, .version_min = CLV_PEER_VERSION },
		.needs_proof = w->needs_proof,
		.rand = &w->rand,
		.ops = w->has_prober ? &ops_with_prober : &ops,
		.user = &w->ends[end],
		.now_ns = w->now_ns,
	};

	clv_rand_bytes(&w->rand, p.hello.probe_cid, sizeof(p.hello.probe_cid));
	clv_rand_bytes(&w->rand, p.hello.probe_key, sizeof(p.hello.probe_key));
	return p;
}

static void open_peers(struct peers *w)
{
	char error[256];

	for (unsigned i = 0; i < 2; i++) {
		const struct clv_peers_params p = {
			.cert_pem = cert_pem[i],
			.key_pem = key_pem[i],
			.identity_name = "test",
			.peers_max = PEERS_MAX,
			.handshakes_max = PEERS_MAX,
			.rand = &w->rand,
			.ops = &peers_ops,
			.user = &w->ends[i],
		};

		if (clv_peers_open(&p, &w->ends[i].peers, error, sizeof(error))) {
			fprintf(stderr, "peers: %s\n", error);
			abort();
		}
	}
	clv_peers_listen(w->ends[1].peers, true);
}

void peers_dial(struct peers *w, unsigned mask, const uint8_t *key)
{
	struct peers_end *e = &w->ends[0];
	struct clv_peer_link links[PEERS_LINKS];
	struct clv_peerconn_params p;
	struct clv_identity id;
	size_t n = 0;
	int err;

	key = key ? key : w->ends[1].id;
	for (unsigned i = 0; i < PEERS_LINKS; i++)
		if (mask & 1u << i)
			links[n++] = peers_link_of(w, 0, i);
	if (w->has_peers) {
		open_peers(w);
		memcpy(id.bytes, key, sizeof(id.bytes));
		err = clv_peers_dial(e->peers, &id, links, n, e, w->now_ns, &e->peer);
	} else {
		p = params_of(w, 0);
		p.key = key;
		err = clv_peerconn_dial(&p, links, n, &e->conn);
	}
	if (err)
		abort();
	peers_flush(w, 0);
}

void peers_accept(struct peers *w)
{
	struct clv_peerconn_params p;

	if (w->has_peers) {
		clv_peer_accept(w->ends[1].peer);
		return;
	}
	p = params_of(w, 1);
	clv_peerconn_accept_peer(w->ends[1].conn, &p.hello);
}

struct clv_peerconn *peers_conn_of(const struct peers *w, unsigned end)
{
	const struct peers_end *e = &w->ends[end];

	if (!w->has_peers)
		return e->conn;
	return e->peer && e->peer->conn ? e->peer->conn->pc : NULL;
}

void peers_add_link(struct peers *w, unsigned link)
{
	struct clv_peer_link l = peers_link_of(w, 0, link);

	if (w->has_peers)
		clv_peer_link_add(w->ends[0].peer, &l);
	else
		clv_peerconn_link_add(w->ends[0].conn, &l);
}

void peers_flush(struct peers *w, unsigned end)
{
	if (w->has_peers)
		clv_peers_step(w->ends[end].peers, w->now_ns);
	else
		clv_peerconn_flush(w->ends[end].conn, w->now_ns);
}

/* ---- the clock ---- */

static int send_datagram(struct peers_end *e, const uint8_t *data, size_t len)
{
	if (e->world->has_peers)
		return clv_peer_send(e->peer, FLOW, data, len);
	return clv_peerconn_send(e->conn, FLOW, data, len);
}

static void tick(struct peers *w)
{
	uint8_t data[PEERS_PAYLOAD];

	for (unsigned i = 0; i < 2; i++) {
		struct peers_end *e = &w->ends[i];
		struct clv_peer_capsule open = { .type = CLV_PEER_FLOW_OPEN,
						 .flow = e->stream_sent };
		struct clv_peerconn *conn;

		if (!e->is_up || e->is_down || e->sent >= PEERS_NUMBERS)
			continue;
		memcpy(data, &e->sent, sizeof(e->sent));
		for (size_t k = sizeof(e->sent); k < sizeof(data); k++)
			data[k] = (uint8_t)(e->sent + k);
		if (send_datagram(e, data, sizeof(data)) == 0)
			e->sent++;
		else
			e->refused++;
		conn = peers_conn_of(w, i);
		if (conn && clv_peerconn_send_capsule(conn, &open) == 0)
			e->stream_sent++;
		peers_flush(w, i);
	}
}

static void deliver(struct peers *w, const struct peers_packet *p)
{
	struct peers_end *e = &w->ends[p->to];
	struct clv_peer_link from = peers_link_of(w, p->to, p->link);
	struct clv_peerconn_params params;

	if (w->links[p->link].is_dead)
		return;
	if (w->has_peers) {
		clv_peers_receive(e->peers, &from, p->bytes, p->len, w->now_ns);
		return;
	}
	if (!e->conn && p->to == 1) {
		params = params_of(w, 1);
		if (clv_peerconn_accept(&params, &from, p->bytes, p->len, &e->conn))
			return;
	}
	if (!e->conn)
		return;
	clv_peerconn_receive(e->conn, &from, p->bytes, p->len, w->now_ns);
	if (p->to == 1 && e->is_proven && e->accepts)
		peers_accept(w);
	clv_peerconn_flush(e->conn, w->now_ns);
	/* one that began in the middle of a ClientHello: the next packet starts another */
	if (clv_peerconn_is_over(e->conn) && !e->is_proven) {
		clv_peerconn_free(e->conn);
		e->conn = NULL;
		e->is_down = false;
	}
}

/* When an end is to be stepped; UINT64_MAX: never. */
static uint64_t next_of(const struct peers_end *e)
{
	if (e->world->has_peers)
		return clv_peers_next_ns(e->peers);
	return e->conn && !clv_peerconn_is_over(e->conn) ? clv_peerconn_next_ns(e->conn)
							 : UINT64_MAX;
}

static uint64_t next_event(const struct peers *w)
{
	uint64_t at_ns = w->tick_ns ? w->next_tick_ns : UINT64_MAX;

	if (w->flying && w->flying->at_ns < at_ns)
		at_ns = w->flying->at_ns;
	for (unsigned i = 0; i < 2; i++) {
		uint64_t next_ns = next_of(&w->ends[i]);

		if (next_ns < at_ns)
			at_ns = next_ns;
	}
	return at_ns < w->now_ns ? w->now_ns : at_ns;
}

static void turn(struct peers *w)
{
	if (w->tick_ns && w->now_ns >= w->next_tick_ns) {
		w->next_tick_ns = w->now_ns + w->tick_ns;
		tick(w);
	}
	while (w->flying && w->flying->at_ns <= w->now_ns) {
		struct peers_packet *p = w->flying;

		w->flying = p->next;
		deliver(w, p);
		free(p);
	}
	for (unsigned i = 0; i < 2; i++) {
		if (next_of(&w->ends[i]) > w->now_ns)
			continue;
		if (!w->has_peers)
			clv_peerconn_step(w->ends[i].conn, w->now_ns);
		peers_flush(w, i);
	}
}

bool peers_run(struct peers *w, uint64_t duration_ns, bool (*done)(struct peers *w))
{
	uint64_t until_ns = w->now_ns + duration_ns, last_ns = 0, next_ns;
	unsigned same = 0;

	for (;;) {
		turn(w);
		if (done && done(w))
			return true;
		next_ns = next_event(w);
		same = next_ns == last_ns ? same + 1 : 0;
		if (same > 10000) {
			fprintf(stderr, "peers: the clock stands still\n");
			abort();
		}
		last_ns = next_ns;
		if (next_ns >= until_ns) {
			w->now_ns = until_ns;
			return false;
		}
		w->now_ns = next_ns;
	}
}

/* ---- questions ---- */

bool peers_are_up(struct peers *w)
{
	return w->ends[0].is_up && w->ends[1].is_up;
}

void peers_validate(struct peers *w, unsigned link)
{
	struct clv_peer_link l = peers_link_of(w, 0, link);

	clv_peerconn_link_validated(w->ends[0].conn, &l, 2 * w->links[link].delay_ns, w->now_ns);
	clv_peerconn_flush(w->ends[0].conn, w->now_ns);
}

int peers_link_in_use(const struct peers *w, unsigned end)
{
	struct clv_peerconn_info info;

	clv_peerconn_info(peers_conn_of(w, end), &info);
	return info.has_link ? (int)info.link.base : -1;
}

uint32_t peers_missing(const struct peers *w, unsigned from, uint32_t first, uint32_t end)
{
	uint32_t missing = 0;

	for (uint32_t i = first; i < end; i++)
		missing += !w->ends[1 - from].seen[i];
	return missing;
}

void peers_mark(struct peers *w)
{
	for (unsigned i = 0; i < 2; i++)
		w->ends[i].gap_ns = w->ends[i].stream_gap_ns = 0;
}
