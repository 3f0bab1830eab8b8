/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What plans of machines that are not here take. */
#include "tests/unit/check.h"

#include "control/daemon/datapath.h"
#include "control/daemon/estimate.h"

enum {
	CONNS = 16384,
	TUNNELS = 65536,
	MIB = 1 << 20,
};

static struct clv_daemon daemon_of(uint16_t workers, unsigned interfaces, unsigned queues)
{
	struct clv_daemon daemon = {
		.plan = { .workers_len = workers },
		.interfaces_len = interfaces,
		.options = { .assume_queues = queues },
		.config = { .ring_packets = 2048,
			    .bind = { .remotes_max = 16384 },
			    .limits = { .conns_max = CONNS,
					.conns_total = 4 * CONNS,
					.tunnels_max = TUNNELS,
					.tunnels_total = 4 * TUNNELS,
					.guard_sources = 65536 } },
	};

	return daemon;
}

static void maps_have_room_for_the_totals(void **state)
{
	static struct clv_daemon few, many;
	struct clv_bpf_sizes of_few, of_many;
	struct clv_estimate e;

	(void)state;
	few = daemon_of(2, 2, 2);
	many = daemon_of(32, 2, 32);
	of_few = clv_datapath_map_sizes(&few);
	of_many = clv_datapath_map_sizes(&many);
	assert_int_equal(of_few.conn_ids, 2 * CONNS * 8);
	assert_int_equal(of_few.bindings, 2 * TUNNELS * 2);
	/* Beyond four workers' worth the totals refuse, whatever the number of workers. */
	assert_int_equal(of_many.conn_ids, 4 * CONNS * 8);
	assert_int_equal(of_many.bindings, 4 * TUNNELS * 2);
	clv_estimate_make(&many, &e);
	assert_in_range(e.maps_bytes, 50 * MIB, 250 * MIB);
	many.config.limits.conns_total = many.config.limits.tunnels_total = 0;
	assert_int_equal(clv_datapath_map_sizes(&many).conn_ids, 32 * CONNS * 8);
}

static const struct {
	const char *name;
	uint16_t workers;
	unsigned queues, percent;
} rows[] = {
	{ "one worker has all", 1, 1, 0 },
	{ "two share", 2, 2, 50 },
	{ "one with twice as much", 2, 3, 44 },
	{ "sixty-four queues", 63, 64, 98 },
};

static void handoff_grows_with_the_workers(void **state)
{
	static struct clv_daemon daemon;
	struct clv_estimate e;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		daemon = daemon_of(rows[i].workers, 1, rows[i].queues);
		clv_estimate_make(&daemon, &e);
		CHECK_ROW(rows[i].name, e.handoff_percent == rows[i].percent);
		CHECK_ROW(rows[i].name, e.handoff_bytes == (uint64_t)rows[i].workers *
								   (rows[i].workers - 1) * MIB);
	}
}

static void packets_are_kept_for_every_queue_of_every_interface(void **state)
{
	static struct clv_daemon one, three;
	struct clv_estimate of_one, of_three;

	(void)state;
	one = daemon_of(4, 1, 4);
	three = daemon_of(4, 3, 8);
	clv_estimate_make(&one, &of_one);
	clv_estimate_make(&three, &of_three);
	assert_true(of_one.packets_bytes > 0);
	assert_int_equal(of_three.packets_bytes, 6 * of_one.packets_bytes);
	one = daemon_of(4, 0, 0); /* kernel sockets */
	clv_estimate_make(&one, &of_one);
	assert_int_equal(of_one.packets_bytes, 0);
	assert_int_equal(of_one.maps_bytes, 0);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("maps have room for what all workers have together",
		     maps_have_room_for_the_totals),
		CASE("the share that is handed over grows with the workers",
		     handoff_grows_with_the_workers),
		CASE("packets are kept for every queue of every interface",
		     packets_are_kept_for_every_queue_of_every_interface),
	};

	return cmocka_run_group_tests_name("estimate", cases, NULL, NULL);
}
