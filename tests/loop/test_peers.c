/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The peers of an identity: diallers are accepted, limited and told apart; connections are replaced. */
#include "control/peer/peers.h"
#include "tests/loop/peers.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

#define DELAY_NS (10 * CLV_MSEC)

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
	struct clv_endpoint address;
	struct clv_peer *peer; /* the last */
	unsigned incoming, ups, downs, datagrams;
	struct clv_peerconn_end end;
};

/* Two ends that dial a listener, which is the first; all sends go by one wire. */
struct world {
	uint64_t now_ns;
	struct clv_rand rand;
	struct end ends[3];
	struct packet *flying;
	bool is_cut, is_deaf; /* nothing passes; nothing passes to those that dial */
};

static void on_send(void *user, const struct clv_peer_link *link, const uint8_t *packet, size_t len)
{
	struct end *e = user;
	struct world *w = e->world;
	struct packet *p, **at = &w->flying;
	unsigned to = 0;

	while (to < 3 && memcmp(&w->ends[to].address, &link->remote, sizeof(link->remote)) != 0)
		to++;
	if (to == 3 || w->is_cut || (w->is_deaf && to))
		return;
	p = malloc(sizeof(*p) + len);
	*p = (struct packet){ .at_ns = w->now_ns + DELAY_NS, .to = to, .len = len };
	p->from = (struct clv_peer_link){ .is_relayed = true, .remote = e->address };
	memcpy(p->bytes, packet, len);
	while (*at && (*at)->at_ns <= p->at_ns)
		at = &(*at)->next;
	p->next = *at;
	*at = p;
}

static void on_incoming(void *user, struct clv_peer *peer)
{
	struct end *e = user;

	e->incoming++;
	e->peer = peer;
	clv_peer_accept(peer);
}

static void on_up(void *user, struct clv_peer *peer)
{
	((struct end *)user)->ups++;
	(void)peer;
}

static void on_moved(void *user, struct clv_peer *peer, const struct clv_peerconn_move *move)
{
	(void)user;
	(void)peer;
	(void)move;
}

static void on_datagram(void *user, struct clv_peer *peer, uint64_t flow, const uint8_t *data,
			size_t len)
{
	struct end *e = user;

	e->datagrams += len == 4 && !memcmp(data, "ping", 4) && flow == 3;
	if (e == &e->world->ends[0])
		clv_peer_send(peer, flow, data, len);
}

static void on_down(void *user, struct clv_peer *peer, const struct clv_peerconn_end *end)
{
	struct end *e = user;

	e->downs++;
	e->end = *end;
	if (e->peer == peer)
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

static void open_end(struct world *w, unsigned i, unsigned identity, uint32_t peers_max)
{
	const uint8_t v4[16] = { [10] = 0xff, [11] = 0xff, 198, 18, 0, (uint8_t)(i + 1) };
	struct clv_peers_params p = {
		.identity_name = "test",
		.peers_max = peers_max,
		.handshakes_max = 6,
		.rand = &w->rand,
		.ops = &ops,
		.user = &w->ends[i],
	};
	char error[256];

	peers_identity(identity, &p.cert_pem, &p.key_pem, w->ends[i].id.bytes);
	w->ends[i].world = w;
	memcpy(w->ends[i].address.addr, v4, sizeof(v4));
	w->ends[i].address.port = htons(1000);
	assert_int_equal(clv_peers_open(&p, &w->ends[i].peers, error, sizeof(error)), 0);
}

static struct world *open_world(uint32_t peers_max)
{
	struct world *w = calloc(1, sizeof(*w));

	clv_rand_init(&w->rand, 5);
	w->now_ns = CLV_SEC;
	open_end(w, 0, 0, peers_max);
	open_end(w, 1, 1, 16);
	open_end(w, 2, 1, 16);
	clv_peers_listen(w->ends[0].peers, true);
	return w;
}

static void close_world(struct world *w)
{
	for (unsigned i = 0; i < 3; i++)
		clv_peers_close(w->ends[i].peers);
	while (w->flying) {
		struct packet *p = w->flying;

		w->flying = p->next;
		free(p);
	}
	free(w);
}

static int dial(struct world *w, unsigned from)
{
	const struct clv_peer_link link = { .is_relayed = true, .remote = w->ends[0].address };
	struct end *e = &w->ends[from];

	return clv_peers_dial(e->peers, &w->ends[0].id, &link, 1, e, w->now_ns, &e->peer);
}

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
		for (unsigned i = 0; i < 3; i++)
			clv_peers_step(w->ends[i].peers, w->now_ns);
	}
}

static void ping(struct world *w, unsigned from)
{
	assert_int_equal(clv_peer_send(w->ends[from].peer, 3, "ping", 4), 0);
}

static void a_dialler_is_accepted_and_both_speak(void **state)
{
	struct world *w = open_world(4);

	(void)state;
	assert_int_equal(dial(w, 1), 0);
	run(w, 200 * CLV_MSEC);
	assert_int_equal(w->ends[0].incoming, 1);
	assert_int_equal(w->ends[0].ups, 1);
	assert_int_equal(w->ends[1].ups, 1);
	assert_memory_equal(clv_peer_id(w->ends[0].peer), &w->ends[1].id, 32);
	ping(w, 1);
	run(w, 100 * CLV_MSEC);
	assert_int_equal(w->ends[0].datagrams, 1);
	assert_int_equal(w->ends[1].datagrams, 1);
	clv_peer_close(w->ends[1].peer, CLV_PEERCONN_NO_ERROR);
	run(w, CLV_SEC);
	assert_int_equal(w->ends[0].downs, 1);
	assert_int_equal(w->ends[0].end.error, 0);
	assert_true(clv_peers_are_idle(w->ends[0].peers));
	assert_true(clv_peers_are_idle(w->ends[1].peers));
	close_world(w);
}

static void who_does_not_listen_answers_nobody(void **state)
{
	struct world *w = open_world(4);

	(void)state;
	clv_peers_listen(w->ends[0].peers, false);
	assert_int_equal(dial(w, 1), 0);
	run(w, 12 * CLV_SEC);
	assert_int_equal(w->ends[1].downs, 1);
	assert_int_equal(w->ends[1].end.error, CLV_ETIMEOUT);
	assert_true(clv_peers_stats(w->ends[0].peers)->unknown > 0);
	close_world(w);
}

static void a_source_of_many_handshakes_does_not_keep_others_out(void **state)
{
	struct world *w = open_world(16);

	(void)state;
	w->is_deaf = true; /* the hog begins handshakes and never goes on */
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(dial(w, 1), 0);
	run(w, 100 * CLV_MSEC);
	assert_true(clv_peers_stats(w->ends[0].peers)->refused > 0);
	w->is_deaf = false;
	clv_peers_close(w->ends[1].peers);
	w->ends[1].peers = NULL;
	open_end(w, 1, 1, 16);
	assert_int_equal(dial(w, 2), 0);
	run(w, CLV_SEC);
	assert_int_equal(w->ends[2].ups, 1);
	close_world(w);
}

static void a_peer_too_many_hears_that_the_listener_is_busy(void **state)
{
	struct world *w = open_world(1);

	(void)state;
	assert_int_equal(dial(w, 1), 0);
	run(w, 200 * CLV_MSEC);
	assert_int_equal(dial(w, 2), 0);
	run(w, CLV_SEC);
	assert_int_equal(w->ends[2].ups, 0);
	assert_int_equal(w->ends[2].downs, 1);
	assert_int_equal(w->ends[2].end.code, CLV_PEERCONN_BUSY);
	ping(w, 1);
	run(w, 100 * CLV_MSEC);
	assert_int_equal(w->ends[1].datagrams, 1);
	close_world(w);
}

static void two_diallers_of_one_identity_are_two_peers(void **state)
{
	struct world *w = open_world(4);

	(void)state;
	assert_int_equal(dial(w, 1), 0);
	assert_int_equal(dial(w, 2), 0);
	run(w, 500 * CLV_MSEC);
	assert_int_equal(w->ends[0].incoming, 2);
	ping(w, 1);
	ping(w, 2);
	run(w, 100 * CLV_MSEC);
	assert_int_equal(w->ends[1].datagrams, 1);
	assert_int_equal(w->ends[2].datagrams, 1);
	close_world(w);
}

static void a_silence_of_some_seconds_is_survived_by_another_connection(void **state)
{
	struct world *w = open_world(4);

	(void)state;
	assert_int_equal(dial(w, 1), 0);
	run(w, 200 * CLV_MSEC);
	w->is_cut = true;
	ping(w, 1); /* lost, and not answered */
	run(w, 5 * CLV_SEC);
	w->is_cut = false;
	run(w, 3 * CLV_SEC);
	assert_int_equal(w->ends[0].downs + w->ends[1].downs, 0);
	assert_int_equal(w->ends[0].incoming, 1);
	assert_int_equal(w->ends[1].ups, 1);
	assert_int_equal(clv_peers_stats(w->ends[1].peers)->replaced, 1);
	w->ends[1].datagrams = 0;
	ping(w, 1);
	run(w, 100 * CLV_MSEC);
	assert_int_equal(w->ends[1].datagrams, 1);
	close_world(w);
}

static void a_listener_that_began_anew_is_found_again(void **state)
{
	struct world *w = open_world(4);

	(void)state;
	assert_int_equal(dial(w, 1), 0);
	run(w, 200 * CLV_MSEC);
	clv_peers_close(w->ends[0].peers); /* it crashed */
	open_end(w, 0, 0, 4);
	clv_peers_listen(w->ends[0].peers, true);
	ping(w, 1);
	run(w, 5 * CLV_SEC);
	assert_int_equal(w->ends[1].downs, 0);
	assert_int_equal(w->ends[0].incoming, 2);
	w->ends[1].datagrams = 0;
	ping(w, 1);
	run(w, 100 * CLV_MSEC);
	assert_int_equal(w->ends[1].datagrams, 1);
	close_world(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dialler_is_accepted_and_both_speak),
		cmocka_unit_test(who_does_not_listen_answers_nobody),
		cmocka_unit_test(a_source_of_many_handshakes_does_not_keep_others_out),
		cmocka_unit_test(a_peer_too_many_hears_that_the_listener_is_busy),
		cmocka_unit_test(two_diallers_of_one_identity_are_two_peers),
		cmocka_unit_test(a_silence_of_some_seconds_is_survived_by_another_connection),
		cmocka_unit_test(a_listener_that_began_anew_is_found_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
