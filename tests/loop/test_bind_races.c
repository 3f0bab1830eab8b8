/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bound tunnels and contexts that open and close at random while all sides send: peers on two workers,
 * remotes, and tunnels that are each other's remotes.
 *
 * Every datagram carries its source and destination, which must agree with the tunnel and context that
 * it arrives by.  No port and no Context ID is used twice, so a late datagram can be distinguished from
 * a misdirected one.  At rest, the state of workers and of the kernel's tables agrees with the capsules
 * that the peers received.
 */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "control/masque/capsule.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/varint.h"
#include "datapath/quic/dgram.h"
#include "tests/loop/fixture.h"
#include "tests/loop/hostile.h"

enum {
	PEERS = 3,
	TUNNELS = 2, /* of a peer, at a time */
	LIVES = 160, /* of tunnels, of all peers */
	REMOTES = 4,
	CONTEXTS = 96,	 /* of a life */
	BODY_MAX = 3000, /* bytes of capsules that a peer keeps for a life */
	ROUNDS = 50,	 /* from quiet to quiet */
	MOVES = 120,	 /* of a round */
	SEEDS = 4,
	UNREAD = 64, /* capsules of a life without an answer, at most */
};

struct context {
	uint64_t id;
	struct clv_endpoint remote; /* zero: uncompressed */
	bool is_open;		    /* as the peer sees it */
	bool is_answered;
	unsigned closed_in; /* round */
};

struct game;

/* One bound tunnel, from request to end. */
struct life {
	struct peer *peer;
	int64_t stream;
	struct clv_endpoint ports[2];
	bool is_alive;
	unsigned ended_in;
	uint64_t next_id;
	struct context contexts[CONTEXTS];
	unsigned contexts_len;
	size_t body_seen;
};

struct peer {
	struct game *game;
	struct raw *raw;
	int64_t next_stream;
	struct life *lives[TUNNELS];
};

struct remote {
	struct game *game;
	struct wire_end end;
	struct clv_endpoint endpoint;
};

struct game {
	struct world *w;
	struct clv_rand rand;
	struct peer peers[PEERS];
	struct remote remotes[REMOTES];
	struct life lives[LIVES];
	unsigned lives_len, round;
	uint64_t up, down, hairpins, crossed, of_relay;
};

/* What every datagram carries. */
struct cargo {
	struct clv_endpoint from, to;
};

static unsigned pick(struct game *g, unsigned n)
{
	return (unsigned)(clv_rand_u64(&g->rand) % n);
}

/* ---- what arrives ---- */

static struct life *life_of_port(struct game *g, const struct clv_endpoint *ep)
{
	for (unsigned i = 0; i < g->lives_len; i++)
		if (clv_endpoint_equal(&g->lives[i].ports[0], ep) ||
		    clv_endpoint_equal(&g->lives[i].ports[1], ep))
			return &g->lives[i];
	return NULL;
}

static bool remote_deliver(void *self, const struct wire_packet *p)
{
	struct remote *r = self;
	struct cargo cargo;

	if (!clv_endpoint_equal(&p->to, &r->endpoint))
		return false;
	assert_int_equal(p->len, sizeof(cargo));
	memcpy(&cargo, p->bytes, sizeof(cargo));
	assert_memory_equal(&cargo.to, &p->to, sizeof(cargo.to));
	assert_memory_equal(&cargo.from, &p->from, sizeof(cargo.from));
	assert_non_null(life_of_port(r->game, &p->from));
	r->game->up++;
	return true;
}

static struct context *context_by_id(struct life *l, uint64_t id)
{
	for (unsigned i = 0; i < l->contexts_len; i++)
		if (l->contexts[i].id == id)
			return &l->contexts[i];
	return NULL;
}

static struct life *life_of_stream(struct peer *p, int64_t stream)
{
	for (unsigned i = 0; i < p->game->lives_len; i++)
		if (p->game->lives[i].peer == p && p->game->lives[i].stream == stream)
			return &p->game->lives[i];
	return NULL;
}

static bool is_zero(const struct clv_endpoint *ep)
{
	return !ep->port;
}

/* Late is what was closed in this round; anything older must not come. */
static void on_datagram(void *user, const uint8_t *data, size_t len)
{
	struct peer *p = user;
	struct clv_endpoint from;
	struct context *c;
	struct cargo cargo;
	struct clv_dgram d;
	struct life *l;
	size_t used = 0;

	assert_int_equal(clv_dgram_decode(data, len, &d), 0);
	if (d.context_id == CLV_DGRAM_CONTEXT_PROBE_SERVER)
		return;
	l = life_of_stream(p, d.stream_id);
	assert_non_null(l);
	assert_true(l->is_alive || l->ended_in == p->game->round);
	c = context_by_id(l, d.context_id);
	assert_non_null(c); /* the relay sends by no ID of its own before the peer's ACK */
	assert_true(c->is_open || c->closed_in == p->game->round);
	from = c->remote;
	if (is_zero(&from)) {
		used = clv_dgram_decode_remote(d.payload, d.payload_len, &from);
		assert_true(used > 0);
	}
	assert_int_equal(d.payload_len - used, sizeof(cargo));
	memcpy(&cargo, d.payload + used, sizeof(cargo));
	assert_memory_equal(&cargo.from, &from, sizeof(from));
	assert_memory_equal(&cargo.to, &l->ports[!clv_addr_is_v4(from.addr)], sizeof(cargo.to));
	p->game->down++;
	p->game->hairpins += life_of_port(p->game, &from) != NULL;
}

/* ---- what is sent ---- */

static void send_id(struct life *l, enum clv_capsule_type type, uint64_t id)
{
	uint8_t frame[2 + CLV_CAPSULE_CONTEXT_MAX];
	size_t len = clv_capsule_encode_context_id(type, id, frame + 2);

	frame[0] = 0;
	frame[1] = (uint8_t)len;
	raw_stream(l->peer->raw, l->stream, frame, 2 + len, false);
}

static void close_context(struct life *l, struct context *c)
{
	c->is_open = false;
	c->closed_in = l->peer->game->round;
}

static struct context *add_context(struct life *l, uint64_t id, const struct clv_endpoint *remote)
{
	struct context *c = &l->contexts[l->contexts_len++];

	assert_true(l->contexts_len <= CONTEXTS);
	*c = (struct context){ .id = id, .is_open = true };
	if (remote)
		c->remote = *remote;
	return c;
}

/* remote: NULL, the uncompressed one. */
static void register_remote(struct life *l, const struct clv_endpoint *remote)
{
	uint8_t frame[2 + CLV_CAPSULE_CONTEXT_MAX];
	uint64_t id = l->next_id;
	size_t len;

	if (l->contexts_len > CONTEXTS / 2)
		return;
	for (unsigned i = 0; i < l->contexts_len; i++) {
		const struct context *c = &l->contexts[i];

		if (c->is_open && !(c->id & 1) &&
		    (remote ? clv_endpoint_equal(&c->remote, remote) : is_zero(&c->remote)))
			return;
	}
	l->next_id += 2;
	add_context(l, id, remote);
	len = clv_capsule_encode_assign(id, remote, frame + 2);
	frame[0] = 0;
	frame[1] = (uint8_t)len;
	raw_stream(l->peer->raw, l->stream, frame, 2 + len, false);
}

/* Somebody to talk to: a remote, or a tunnel's port. */
static struct clv_endpoint any_remote(struct game *g)
{
	const struct peer *p = &g->peers[pick(g, PEERS)];

	if (pick(g, 2))
		return g->remotes[pick(g, REMOTES)].endpoint;
	return p->lives[pick(g, TUNNELS)]->ports[pick(g, 2)];
}

static void send_up(struct life *l, const struct context *c, const struct clv_endpoint *to)
{
	struct cargo cargo = { .from = l->ports[!clv_addr_is_v4(to->addr)], .to = *to };
	uint8_t bytes[CLV_DGRAM_REMOTE_MAX + sizeof(cargo)];
	size_t used = is_zero(&c->remote) ? clv_dgram_encode_remote(to, bytes) : 0;

	memcpy(bytes + used, &cargo, sizeof(cargo));
	raw_datagram(l->peer->raw, l->stream, c->id, bytes, used + sizeof(cargo));
}

static void call(struct game *g, const struct life *l, unsigned times)
{
	const struct remote *r = &g->remotes[pick(g, REMOTES)];
	struct cargo cargo = {
		.from = r->endpoint,
		.to = l->ports[!clv_addr_is_v4(r->endpoint.addr)],
	};

	while (times--)
		wire_send(&g->w->wire, &cargo.from, &cargo.to, 0, (const uint8_t *)&cargo,
			  sizeof(cargo));
}

/* ---- the relay's capsules and datagrams ---- */

static void on_assign(struct life *l, const uint8_t *value, size_t len)
{
	struct game *g = l->peer->game;
	struct clv_capsule_assign a;

	assert_int_equal(clv_capsule_decode_assign(value, len, &a), 0);
	assert_true(a.context_id & 1 && a.ip_version && !context_by_id(l, a.context_id));
	g->of_relay++;
	/* Of two that cross the relay's goes: it closes it by itself. */
	for (unsigned i = 0; i < l->contexts_len; i++) {
		const struct context *c = &l->contexts[i];

		if (c->is_open && clv_endpoint_equal(&c->remote, &a.remote)) {
			assert_int_equal(c->id & 1, 0);
			g->crossed++;
		}
	}
	add_context(l, a.context_id, &a.remote)->is_answered = true;
	if (pick(g, 5)) {
		send_id(l, CLV_CAPSULE_COMPRESSION_ACK, a.context_id);
	} else {
		close_context(l, &l->contexts[l->contexts_len - 1]);
		send_id(l, CLV_CAPSULE_COMPRESSION_CLOSE, a.context_id);
	}
}

static void on_capsule(struct life *l, uint8_t type, const uint8_t *value, size_t len)
{
	struct context *c;
	uint64_t id;

	if (type == CLV_CAPSULE_COMPRESSION_ASSIGN) {
		on_assign(l, value, len);
		return;
	}
	assert_int_equal(clv_capsule_decode_context_id(value, len, &id), 0);
	c = context_by_id(l, id);
	assert_non_null(c);
	c->is_answered = true;
	if (type == CLV_CAPSULE_COMPRESSION_CLOSE && c->is_open)
		close_context(l, c);
}

/* Capsules are short here: type and length take a byte each. */
static void read_capsules(struct life *l)
{
	uint8_t body[RAW_STREAM_BYTES];
	size_t len = raw_body(l->peer->raw, l->stream, body, sizeof(body));

	while (l->body_seen + 2 <= len && l->body_seen + 2 + body[l->body_seen + 1] <= len) {
		const uint8_t *capsule = body + l->body_seen;

		l->body_seen += 2u + capsule[1];
		on_capsule(l, capsule[0], capsule + 2, capsule[1]);
	}
}

static void run(struct game *g, uint64_t duration_ns)
{
	for (unsigned i = 0; i < PEERS; i++) {
		raw_run(g->peers[i].raw, duration_ns / PEERS + 1);
		for (unsigned n = 0; n < TUNNELS; n++)
			if (g->peers[i].lives[n])
				read_capsules(g->peers[i].lives[n]);
	}
}

/* ---- lives ---- */

static void begin_life(struct peer *p, unsigned n)
{
	struct game *g = p->game;
	struct life *l = &g->lives[g->lives_len++];
	char value[128], *text;

	assert_true(g->lives_len <= LIVES);
	*l = (struct life){ .peer = p, .stream = p->next_stream, .is_alive = true, .next_id = 2 };
	p->next_stream += 4;
	raw_connect_bind(p->raw, l->stream, "/.well-known/masque/udp/%2A/%2A/");
	for (int i = 0; i < 20 && !raw_status(p->raw, l->stream); i++)
		raw_run(p->raw, 10 * CLV_MSEC);
	assert_int_equal(raw_status(p->raw, l->stream), 200);
	assert_true(raw_field(p->raw, l->stream, "proxy-public-address", value, sizeof(value)));
	for (text = strtok(value, "\", "); text; text = strtok(NULL, "\", ")) {
		struct clv_endpoint ep;

		assert_int_equal(clv_endpoint_parse(text, &ep), 0);
		l->ports[!clv_addr_is_v4(ep.addr)] = ep;
	}
	p->lives[n] = l;
}

static void end_life(struct life *l)
{
	struct game *g = l->peer->game;

	raw_stream(l->peer->raw, l->stream, NULL, 0, true);
	l->is_alive = false;
	l->ended_in = g->round;
	for (unsigned i = 0; i < l->contexts_len; i++)
		if (l->contexts[i].is_open)
			close_context(l, &l->contexts[i]);
}

/* One that is open; NULL: there is none. */
static struct context *any_context(struct game *g, struct life *l)
{
	unsigned from = l->contexts_len ? pick(g, l->contexts_len) : 0;

	for (unsigned i = 0; i < l->contexts_len; i++) {
		struct context *c = &l->contexts[(from + i) % l->contexts_len];

		if (c->is_open)
			return c;
	}
	return NULL;
}

static void move(struct game *g)
{
	struct peer *p = &g->peers[pick(g, PEERS)];
	unsigned n = pick(g, TUNNELS);
	struct life *l = p->lives[n];
	struct context *c = any_context(g, l);
	struct clv_endpoint to = any_remote(g);

	switch (pick(g, 12)) {
	case 0:
	case 1:
		register_remote(l, &to);
		break;
	case 2:
		register_remote(l, NULL);
		break;
	case 3:
		if (c) {
			close_context(l, c);
			send_id(l, CLV_CAPSULE_COMPRESSION_CLOSE, c->id);
		}
		break;
	case 4:
	case 5:
	case 6:
		if (c)
			send_up(l, c, is_zero(&c->remote) ? &to : &c->remote);
		break;
	case 7:
	case 8:
		call(g, l, 1);
		break;
	case 9:
		call(g, l, 8); /* busy */
		break;
	case 10:
		run(g, pick(g, 20) * CLV_MSEC);
		break;
	default:
		if (g->lives_len < LIVES &&
		    (!pick(g, 8) || l->body_seen > BODY_MAX || l->contexts_len > CONTEXTS / 2)) {
			end_life(l);
			begin_life(p, n);
		}
	}
}

/* ---- when all is quiet ---- */

static const struct context *open_context(struct game *g, const struct clv_endpoint *local,
					  const struct clv_endpoint *remote)
{
	struct life *l = life_of_port(g, local);

	for (unsigned i = 0; l && i < l->contexts_len; i++)
		if (l->contexts[i].is_open && clv_endpoint_equal(&l->contexts[i].remote, remote))
			return &l->contexts[i];
	return NULL;
}

/* Contexts that peers see open, compressed; *steered: those with a remote outside. */
static unsigned count_open(struct game *g, unsigned *steered)
{
	unsigned open = 0;

	*steered = 0;
	for (unsigned i = 0; i < g->lives_len; i++) {
		const struct life *l = &g->lives[i];

		for (unsigned n = 0; n < l->contexts_len; n++) {
			const struct context *c = &l->contexts[n];

			if (!c->is_open || is_zero(&c->remote))
				continue;
			assert_true(l->is_alive && c->is_answered);
			open++;
			*steered += !life_of_port(g, &c->remote);
		}
	}
	return open;
}

static void check_tables(struct game *g, unsigned steered)
{
	unsigned rows = 0;

	for (unsigned i = 0; i < WORLD_TABLE_MAX; i++) {
		const struct world_row *row = &g->w->relay.contexts.rows[i];
		const struct context *c;
		struct clv_tuple tuple;

		if (!row->used)
			continue;
		memcpy(&tuple, row->key, sizeof(tuple));
		c = open_context(g, &tuple.local, &tuple.remote);
		assert_non_null(c);
		assert_int_equal(c->id, row->value);
		rows++;
	}
	assert_int_equal(rows, g->w->p.kernel_path ? 0 : steered);
}

/* Contexts that the workers know. */
static unsigned count_known(const struct game *g)
{
	unsigned known = 0;

	for (uint16_t i = 0; i < g->w->p.workers; i++) {
		const struct clv_worker *w = g->w->relay.workers[i];
		struct clv_remotes_view view;

		for (uint32_t slot = 0; slot < clv_worker_remote_slots(w); slot++) {
			if (!clv_worker_remote_view(w, slot, &view))
				continue;
			assert_false(view.is_pending);
			known += view.context_id != CLV_DGRAM_CONTEXT_NONE;
		}
	}
	return known;
}

static void check_quiet(struct game *g)
{
	unsigned steered, open = count_open(g, &steered);

	/* One may be found idle at this very moment; the peer knows soon. */
	for (int i = 0; i < 5 && count_known(g) != open; i++) {
		run(g, 20 * CLV_MSEC);
		open = count_open(g, &steered);
	}
	assert_int_equal(count_known(g), open);
	check_tables(g, steered);
	assert_int_equal(g->w->relay.egress_held, 2 * PEERS * TUNNELS);
	for (unsigned i = 0; i < PEERS; i++)
		assert_false(g->peers[i].raw->is_closed);
}

/* ---- the game ---- */

static void open_game(struct game *g, uint64_t seed, bool kernel_path)
{
	static const char *const remotes[REMOTES] = { "198.18.5.1:9000", "198.18.5.2:9000",
						      "[2001:db8:5::1]:9000", "198.18.5.1:9001" };
	const struct world_params p = {
		.workers = 2,
		.kernel_path = kernel_path,
		.has_v6 = true,
		.clients = 1,
		.bind = { .is_offered = true,
			  .is_uncompressed = true,
			  .tunnels_max = 64,
			  .contexts = { .open_max = 64, .unacked_max = UNREAD, .id_gaps_max = 4 },
			  .busy_per_sec = 5,
			  .context_idle_ns = 2 * CLV_SEC },
		.seed = seed,
	};

	*g = (struct game){ .w = world_new(&p) };
	clv_rand_init(&g->rand, seed);
	for (unsigned i = 0; i < REMOTES; i++) {
		struct remote *r = &g->remotes[i];

		*r = (struct remote){ .game = g, .end = { .deliver = remote_deliver, .self = r } };
		assert_int_equal(clv_endpoint_parse(remotes[i], &r->endpoint), 0);
		wire_join(&g->w->wire, &r->end);
	}
	for (unsigned i = 0; i < PEERS; i++) {
		struct peer *peer = &g->peers[i];

		*peer = (struct peer){ .game = g, .raw = hostile_peer(g->w, i) };
		peer->raw->on_datagram = on_datagram;
		peer->raw->user = peer;
		g->w->relay.flow_worker = (uint16_t)(i % 2);
		assert_true(raw_connect(peer->raw));
		raw_h3_start(peer->raw);
		for (unsigned n = 0; n < TUNNELS; n++)
			begin_life(peer, n);
	}
}

static void play(uint64_t seed, bool kernel_path)
{
	struct game *g = malloc(sizeof(*g));

	assert_non_null(g);
	open_game(g, seed, kernel_path);
	for (g->round = 1; g->round <= ROUNDS; g->round++) {
		for (unsigned i = 0; i < MOVES; i++)
			move(g);
		for (unsigned i = 0; i < 4; i++)
			run(g, 100 * CLV_MSEC);
		check_quiet(g);
		if (!pick(g, 8)) { /* long enough to be idle */
			for (unsigned i = 0; i < 6; i++)
				run(g, CLV_SEC);
			check_quiet(g);
		}
	}
	print_message(
		"%s seed %u: up %u, down %u, hairpins %u, the relay's %u, crossed %u, lives %u\n",
		kernel_path ? "kernel" : "xsk", (unsigned)seed, (unsigned)g->up, (unsigned)g->down,
		(unsigned)g->hairpins, (unsigned)g->of_relay, (unsigned)g->crossed, g->lives_len);
	assert_true(g->up > 100 && g->down > 100 && g->hairpins > 10 && g->of_relay > 10);
	for (unsigned i = 0; i < PEERS; i++)
		hostile_peer_free(g->peers[i].raw);
	world_free(g->w);
	free(g);
}

static void test_xsk(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= SEEDS; seed++)
		play(seed, false);
}

static void test_kernel(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= SEEDS; seed++)
		play(100 + seed, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("no datagram is misdirected while tunnels and contexts change, over AF_XDP",
		     test_xsk),
		CASE("no datagram is misdirected while tunnels and contexts change, over kernel sockets",
		     test_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
