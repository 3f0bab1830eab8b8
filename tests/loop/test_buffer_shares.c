/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A hog and a bystander: what a worker keeps for all its connections, and one host with many. */
#include "tests/unit/check.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "datapath/base/clock.h"
#include "datapath/worker/state.h"
#include "tests/loop/fixture.h"
#include "tests/loop/hostile.h"

enum {
	EARLY_PER_CONN = 16,
	EARLY_TOTAL = 256,
	BUFFERS = 1024,
	HOGS = 128, /* with EARLY_PER_CONN each they want twice all buffers */
	WAITING_HOGS = 40,
	HOP_WAIT = 64, /* likewise two and a half times */
};

static const struct world_params params = {
	.limits = { .conns_max = 512, .conn_idle_ns = 3600 * CLV_SEC, .handshakes_max = 512 },
	.proxy = { .tunnel_idle_ns = 3600 * CLV_SEC,
		   .request_ns = 3600 * CLV_SEC /* the hogs send no SETTINGS */ },
	.early_per_conn = EARLY_PER_CONN,
	.early_total = EARLY_TOTAL,
	.early_ns = 1800 * CLV_SEC,
	.hop_wait_packets = HOP_WAIT,
	.buffers = BUFFERS,
};

static struct clv_pool *pool_of(struct world *w)
{
	return &w->relay.workers[0]->pool;
}

/* A connection of the hogs' host that does what act does, and is then left as it is. */
static void hog(struct world *w, uint16_t number, void (*act)(struct raw *r))
{
	struct raw *r = hostile_peer(w, 0);

	r->endpoint.port = htons((uint16_t)(20000 + number));
	act(r);
	raw_run(r, 20 * CLV_MSEC);
	hostile_peer_free(r);
}

static void send_early(struct raw *r)
{
	assert_true(raw_connect(r));
	for (int i = 0; i < EARLY_PER_CONN + 1; i++)
		raw_datagram(r, 0, 0, "early", 5);
}

static void test_early_datagrams_of_one_host_leave_room_for_others(void **state)
{
	struct world *w = world_new(&params);
	struct clv_worker *mine;
	uint8_t prefix[CLV_DGRAM_PREFIX_MAX];
	size_t len;

	(void)state;
	for (uint16_t i = 0; i < HOGS; i++)
		hog(w, i, send_early);
	assert_int_equal(pool_of(w)->stock.used, world_count(w, CLV_COUNT_EARLY_HELD));
	assert_in_range(pool_of(w)->stock.used, EARLY_TOTAL / 2, EARLY_TOTAL * 7 / 8);
	assert_int_equal(world_count(w, CLV_COUNT_EARLY_HELD) +
				 world_count(w, CLV_COUNT_DROP_EARLY_FULL),
			 HOGS * (EARLY_PER_CONN + 1));

	assert_true(world_connect(w, 0));
	mine = w->clients[0].worker;
	len = clv_dgram_encode_prefix(0, 0, prefix);
	for (uint32_t i = 0; i < mine->p.conns_max; i++)
		for (int n = 0; mine->conns[i].conn && n < EARLY_PER_CONN; n++)
			clv_conn_send_datagram(mine->conns[i].conn, &w->clients[0].sock.port,
					       prefix, len, (const uint8_t *)"early", 5,
					       w->wire.now_ns);
	world_run(w, 100 * CLV_MSEC, NULL);
	assert_int_equal(world_tunnel(w, 0, 0, "198.18.1.1", 7000), 0);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(w->target_received, EARLY_PER_CONN);
	assert_int_equal(world_count(w, CLV_COUNT_DROP_BUFFERS), 0);
	world_free(w);
}

static void let_wait(struct raw *r)
{
	assert_true(raw_tunnel(r));
	for (int i = 0; i < HOP_WAIT; i++)
		raw_datagram(r, 0, 0, "waits", 5);
}

static void test_what_waits_of_one_host_leaves_buffers_for_others(void **state)
{
	struct world *w = world_new(&params);
	struct world_app *app = &w->clients[0].apps[0];
	uint64_t drops, max;

	(void)state;
	w->hop_state = CLV_HOP_RESOLVING;
	for (uint16_t i = 0; i < WAITING_HOGS; i++)
		hog(w, i, let_wait);
	drops = world_count(w, CLV_COUNT_DROP_BUFFERS);
	assert_true(drops > 0);
	assert_int_equal(pool_of(w)->stock.used + drops, WAITING_HOGS * HOP_WAIT);
	assert_in_range(pool_of(w)->stock.used, BUFFERS / 2, BUFFERS * 7 / 8);
	assert_int_equal(clv_worker_buffers(w->relay.workers[0], &max),
			 pool_of(w)->stock.used * 2048);
	assert_int_equal(max, BUFFERS * 2048);

	world_open_tunnel(w);
	for (uint32_t i = 0; i < HOP_WAIT; i++)
		world_app_send(w, 0, 0, 50, i);
	world_run(w, 100 * CLV_MSEC, NULL);
	assert_int_equal(world_count(w, CLV_COUNT_DROP_BUFFERS), drops);
	w->hop_state = CLV_HOP_READY;
	clv_control_routes_changed(w->relay.control);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(app->received, HOP_WAIT);
	assert_int_equal(pool_of(w)->stock.used, 0);
	world_free(w);
}

static void test_early_datagrams_go_with_their_connection(void **state)
{
	struct world *w = world_new(&params);
	struct raw *r = hostile_peer(w, 0);
	/* CONNECTION_CLOSE of the application, code 0x100, no reason */
	static const uint8_t close[] = { 0x1d, 0x41, 0x00, 0x00 };

	(void)state;
	send_early(r);
	raw_run(r, 20 * CLV_MSEC);
	assert_int_equal(pool_of(w)->stock.used, EARLY_PER_CONN);
	raw_send(r, close, sizeof(close));
	raw_run(r, 10 * CLV_SEC);
	assert_int_equal(pool_of(w)->stock.used, 0);
	assert_int_equal(world_count(w, CLV_COUNT_DROP_EARLY_EXPIRED), EARLY_PER_CONN);
	hostile_peer_free(r);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_early_datagrams_of_one_host_leave_room_for_others),
		cmocka_unit_test(test_what_waits_of_one_host_leaves_buffers_for_others),
		cmocka_unit_test(test_early_datagrams_go_with_their_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
