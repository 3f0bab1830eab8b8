/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two peers that meet at a relay and find a direct path: they return to it, and learn where they are. */
#include "control/peer/peers.h"
#include "tests/loop/peers.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"

#define DIRECT_NS  (5 * CLV_MSEC)
#define RELAYED_NS (20 * CLV_MSEC)

enum { TUNNEL = 1 }; /* the listener's base for what comes through the relay */

struct packet {
	struct packet *next;
	uint64_t at_ns;
	struct clv_peer_link from;
	unsigned to;
	size_t len;
	uint8_t bytes[];
};

struct world;

struct end {
	struct world *world;
	struct clv_peers *peers;
	struct clv_identity id;
	struct clv_endpoint socket; /* as all others see it */
	struct clv_peer *peer;
	bool is_direct; /* the last move was to the direct path */
	unsigned downs;
};

/* The listener, and who dials its port at a relay. */
struct world {
	uint64_t now_ns;
	struct clv_rand rand;
	struct end ends[2];
	struct clv_endpoint bound;
	struct packet *flying;
	struct clv_endpoint permitted; /* by the listener's NAT: where it sent to last */
	bool is_direct_cut, is_cut;
};

static void put(struct world *w, unsigned to, const struct clv_peer_link *from, uint64_t delay_ns,
		const uint8_t *packet, size_t len)
{
	struct packet *p = malloc(sizeof(*p) + len), **at = &w->flying;

	*p = (struct packet){ .at_ns = w->now_ns + delay_ns, .from = *from, .to = to, .len = len };
	memcpy(p->bytes, packet, len);
	while (*at && (*at)->at_ns <= p->at_ns)
		at = &(*at)->next;
	p->next = *at;
	*at = p;
}

static void on_send(void *user, const struct clv_peer_link *link, const uint8_t *packet, size_t len)
{
	struct end *e = user;
	struct world *w = e->world;
	unsigned to = e == &w->ends[0];
	struct clv_peer_link from = { .remote = e->socket };

	if (w->is_cut)
		return;
	if (clv_endpoint_equal(&link->remote, &w->bound)) {
		from.base = TUNNEL;
		from.is_relayed = true;
		put(w, 0, &from, RELAYED_NS, packet, len);
	} else if (link->base == TUNNEL && clv_endpoint_equal(&link->remote, &w->ends[1].socket)) {
		from.remote = w->bound;
		put(w, 1, &from, RELAYED_NS, packet, len);
	} else if (clv_endpoint_equal(&link->remote, &w->ends[to].socket) && !w->is_direct_cut) {
		if (e == &w->ends[0])
			w->permitted = link->remote;
		if (to == 1 || clv_endpoint_equal(&w->permitted, &e->socket))
			put(w, to, &from, DIRECT_NS, packet, len);
	}
}

static void on_incoming(void *user, struct clv_peer *peer)
{
	((struct end *)user)->peer = peer;
	clv_peer_accept(peer);
}

static void on_up(void *user, struct clv_peer *peer)
{
	(void)user;
	(void)peer;
}

static void on_moved(void *user, struct clv_peer *peer, const struct clv_peerconn_move *move)
{
	(void)peer;
	((struct end *)user)->is_direct = !move->to.is_relayed;
}

static void on_datagram(void *user, struct clv_peer *peer, uint64_t flow, const uint8_t *data,
			size_t len)
{
	struct end *e = user;

	if (e == &e->world->ends[0])
		clv_peer_send(peer, flow, data, len);
}

static void on_down(void *user, struct clv_peer *peer, const struct clv_peerconn_end *end)
{
	struct end *e = user;

	(void)peer;
	(void)end;
	e->downs++;
	e->peer = NULL;
}

static const struct clv_peers_ops ops = {
	.send = on_send,
	.incoming = on_incoming,
	.up = on_up,
	.moved = on_moved,
	.datagram = on_datagram,
	.down = on_down,
};

static struct clv_endpoint address(uint8_t last, uint16_t port)
{
	const uint8_t v4[16] = { [10] = 0xff, [11] = 0xff, 198, 51, 100, last };
	struct clv_endpoint ep = { .port = htons(port) };

	memcpy(ep.addr, v4, sizeof(v4));
	return ep;
}

/* knows: its own address, as relays of its own tell it. */
static void open_end(struct world *w, unsigned i, bool knows)
{
	struct end *e = &w->ends[i];
	struct clv_direct_local local = { .has_v4 = true, .privacy = CLV_PRIVACY_REFLEXIVE };
	struct clv_candidate seen = { .kind = CLV_CANDIDATE_REFLEXIVE };
	struct clv_peers_params p = {
		.identity_name = "test",
		.peers_max = 4,
		.handshakes_max = 4,
		.rand = &w->rand,
		.ops = &ops,
		.user = e,
	};
	char error[256];

	e->world = w;
	e->socket = address((uint8_t)(i + 1), 1000);
	peers_identity(i, &p.cert_pem, &p.key_pem, e->id.bytes);
	assert_int_equal(clv_peers_open(&p, &e->peers, error, sizeof(error)), 0);
	seen.endpoint = e->socket;
	if (knows)
		clv_candidates_add(&local.candidates, &seen);
	clv_peers_set_local(e->peers, &local, w->now_ns);
}

static struct world *open_world(bool dialler_knows)
{
	struct clv_peer_link link = { .is_relayed = true };
	struct world *w = calloc(1, sizeof(*w));

	clv_rand_init(&w->rand, 5);
	w->now_ns = CLV_SEC;
	w->bound = address(9, 9000);
	open_end(w, 0, true);
	open_end(w, 1, dialler_knows);
	clv_peers_listen(w->ends[0].peers, true);
	link.remote = w->bound;
	assert_int_equal(clv_peers_dial(w->ends[1].peers, &w->ends[0].id, &link, 1, &w->ends[1],
					w->now_ns, &w->ends[1].peer),
			 0);
	return w;
}

static void close_world(struct world *w)
{
	assert_int_equal(w->ends[0].downs + w->ends[1].downs, 0);
	for (unsigned i = 0; i < 2; i++)
		clv_peers_close(w->ends[i].peers);
	while (w->flying) {
		struct packet *p = w->flying;

		w->flying = p->next;
		free(p);
	}
	free(w);
}

/* The dialler sends a datagram each 20 ms, which comes back. */
static void run(struct world *w, uint64_t duration_ns)
{
	uint64_t until_ns = w->now_ns + duration_ns;

	for (; w->now_ns < until_ns; w->now_ns += CLV_MSEC) {
		while (w->flying && w->flying->at_ns <= w->now_ns) {
			struct packet *p = w->flying;

			w->flying = p->next;
			clv_peers_receive(w->ends[p->to].peers, &p->from, p->bytes, p->len,
					  w->now_ns);
			free(p);
		}
		if (w->now_ns % (20 * CLV_MSEC) == 0)
			clv_peer_send(w->ends[1].peer, 1, "ping", 4);
		for (unsigned i = 0; i < 2; i++)
			clv_peers_step(w->ends[i].peers, w->now_ns);
	}
}

static bool is_direct(const struct world *w)
{
	return w->ends[0].is_direct && w->ends[1].is_direct;
}

static void a_dead_direct_path_is_left_and_taken_again_when_it_lives(void **state)
{
	(void)state;
	/* Some are over before the path counts as lost, some are not. */
	for (uint64_t ms = 700; ms <= 5500; ms += 800) {
		struct world *w = open_world(true);

		run(w, 2 * CLV_SEC);
		assert_true(is_direct(w));
		w->is_direct_cut = true;
		run(w, ms * CLV_MSEC);
		/* That so much is sent puts off QUIC's own timers, but not this. */
		assert_false(w->ends[0].is_direct || w->ends[1].is_direct);
		w->is_direct_cut = false;
		run(w, 40 * CLV_SEC);
		if (!is_direct(w))
			fail_msg("after an outage of %llu ms: relayed", (unsigned long long)ms);
		close_world(w);
	}
}

static void each_connection_tells_the_dialler_where_it_is(void **state)
{
	struct world *w = open_world(false);

	(void)state;
	run(w, 2 * CLV_SEC);
	assert_true(is_direct(w));
	/* Everything is silent until another connection is made, and the dialler has moved. */
	w->is_cut = true;
	run(w, 4 * CLV_SEC);
	w->ends[1].socket = address(7, 7000);
	w->is_cut = false;
	run(w, 20 * CLV_SEC);
	assert_int_equal(clv_peers_stats(w->ends[1].peers)->replaced, 1);
	assert_true(is_direct(w));
	close_world(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dead_direct_path_is_left_and_taken_again_when_it_lives),
		cmocka_unit_test(each_connection_tells_the_dialler_where_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
