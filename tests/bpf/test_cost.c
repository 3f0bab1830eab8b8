/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What one frame costs on each main path, by BPF_PROG_TEST_RUN: the program alone, without driver,
 * redirect and socket.  The tables hold as many entries as a busy relay's, and each path is measured
 * with one frame over and over (warm caches).  Machines differ, so each is held against the first,
 * whose frame is looked at and passed: some take nine times as long.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/bpf/frame.h"
#include "tests/bpf/world.h"

enum {
	ROUNDS = 5,
	REPEAT = 200000,
	TIMES_MAX = 30, /* the cost of the first path */
	TABLE_FILL = 50000,
};

static struct world world;

static const struct path {
	const char *name;
	struct frame_spec in;
	uint32_t action;
} paths[] = {
	{ "ARP", { .ethertype = 0x0806, .payload_len = 20 }, XDP_PASS },
	{ "TCP", { .proto = 6, .payload_len = 1200 }, XDP_PASS },
	{ "foreign UDP", { .dport = PORT_FOREIGN, .payload_len = 1200 }, XDP_PASS },
	{ "QUIC long header", { .first = 0xc0, .payload_len = 1200 }, XDP_PASS },
	{ "connection", { .first = 0x40, .cid = known_cid, .payload_len = 1200 }, XDP_REDIRECT },
	{ "connection, IPv6",
	  { .src = REMOTE6, .dst = RELAY6, .first = 0x40, .cid = known_cid, .payload_len = 1200 },
	  XDP_REDIRECT },
	{ "context", { .dport = PORT_CLOSED, .payload_len = 1200 }, XDP_REDIRECT },
	{ "context, IPv6",
	  { .src = REMOTE6, .dst = RELAY6, .dport = PORT_CLOSED, .payload_len = 1200 },
	  XDP_REDIRECT },
	{ "open port", { .dport = PORT_OPEN, .payload_len = 1200 }, XDP_REDIRECT },
	{ "unknown remote", { .dport = PORT_CLOSED, .sport = 9, .payload_len = 1200 }, XDP_DROP },
};

static int fill_tables(void)
{
	const struct clv_context context = { closed_tunnel, .context_id = 9 };

	for (uint32_t i = 0; i < TABLE_FILL; i++) {
		struct clv_tuple tuple = {
			.local = frame_endpoint("198.51.100.1", (uint16_t)i),
			.remote = frame_endpoint("192.0.2.1", 53),
		};
		uint8_t cid[CLV_CID_LEN] = "fill";

		memcpy(cid + 4, &i, sizeof(i));
		if (bpf_map__update_elem(world.skel->maps.contexts, &tuple, sizeof(tuple), &context,
					 sizeof(context), BPF_ANY) ||
		    bpf_map__update_elem(world.skel->maps.conns, cid, sizeof(cid), &known_conn,
					 sizeof(known_conn), BPF_ANY))
			return -1;
	}
	return 0;
}

static int open_world(void **state)
{
	(void)state;
	if (geteuid())
		return 0;
	world_open(&world);
	return fill_tables();
}

static int close_world(void **state)
{
	(void)state;
	if (world.skel)
		world_close(&world);
	return 0;
}

/* Nanoseconds per frame, of the best round. */
static uint32_t cost_of(const struct path *path)
{
	uint32_t best_ns = UINT32_MAX;
	uint8_t frame[FRAME_MAX];
	size_t len = frame_build(&path->in, frame);

	for (unsigned round = 0; round < ROUNDS; round++) {
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = (uint32_t)len,
			    .repeat = REPEAT);

		assert_int_equal(bpf_prog_test_run_opts(
					 bpf_program__fd(world.skel->progs.clv_ingress), &run),
				 0);
		assert_int_equal(run.retval, path->action);
		if (run.duration < best_ns)
			best_ns = run.duration;
	}
	return best_ns;
}

static void no_path_costs_more_than_its_share(void **state)
{
	uint32_t least = 0;

	(void)state;
	need_root();
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		uint32_t ns = cost_of(&paths[i]);

		print_message("%-18s %4u ns\n", paths[i].name, ns);
		least = least ? least : ns + !ns;
		assert_true(ns <= TIMES_MAX * least);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_path_costs_more_than_its_share),
	};

	return cmocka_run_group_tests(tests, open_world, close_world);
}
