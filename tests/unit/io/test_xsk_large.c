/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Links of MTU 9001, whose frames lie in several pages: what fits a chunk comes in whole. */
#include "tests/unit/check.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/io/xsk_world.h"

enum {
	HEADERS = 42, /* Ethernet, IPv4, UDP */
	LONGEST = CLV_FRAME_BYTES_MAX - HEADERS,
};

static struct clv_count passed(enum clv_xdp_counter which)
{
	const uint32_t slot = which;
	const int cpus = libbpf_num_possible_cpus();
	struct clv_count each[cpus > 0 ? cpus : 1], sum = { 0 };

	assert_int_equal(
		bpf_map_lookup_elem(bpf_map__fd(world.program->maps.counters), &slot, each), 0);
	for (int i = 0; i < cpus; i++) {
		sum.packets += each[i].packets;
		sum.bytes += each[i].bytes;
	}
	return sum;
}

static void what_fits_a_chunk_comes_in_whole(void **state)
{
	static const size_t lens[] = { 18, 1472, 2000, 3000, 3400, 3700, LONGEST };
	struct clv_flow flow = flow_inbound(REMOTE4, LOCAL4);
	struct clv_rx rx;
	size_t l;

	(void)state;
	NEED_WORLD();
	for (l = 0; l < sizeof(lens) / sizeof(lens[0]); l++) {
		peer_inject(LINK_A, &flow, lens[l], (unsigned)l);
		if (port_receive(&rx, 1) != 1)
			fail_msg("%zu bytes did not come in", lens[l]);
		assert_received(&rx, &flow, LINK_A, lens[l], (unsigned)l);
		assert_int_equal(rx.kind, CLV_KIND_CONTEXT);
		world.port->ops->rx_done(world.port);
	}
	assert_all_frames_are_back(FRAMES);
}

static void what_does_not_is_counted_and_left_to_the_kernel(void **state)
{
	static const size_t lens[] = { LONGEST + 1, 4096, 8900 };
	struct clv_flow flow = flow_inbound(REMOTE4, LOCAL4);
	size_t l;

	(void)state;
	NEED_WORLD();
	for (l = 0; l < sizeof(lens) / sizeof(lens[0]); l++) {
		const struct clv_count before = passed(CLV_XDP_PASS_LARGE);
		struct clv_count after;

		peer_inject(LINK_A, &flow, lens[l], 0);
		port_receive_nothing();
		after = passed(CLV_XDP_PASS_LARGE);
		assert_int_equal(after.packets - before.packets, 1);
		assert_int_equal(after.bytes - before.bytes, HEADERS + lens[l]);
	}
	assert_all_frames_are_back(FRAMES);
}

static int make_large(void **state)
{
	world.mtu = 9001;
	return world_make(state);
}

static int start_generic(void **state)
{
	world.xdp_flags = XDP_FLAGS_SKB_MODE;
	return world_start(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		XSK_CASE(what_fits_a_chunk_comes_in_whole),
		XSK_CASE(what_does_not_is_counted_and_left_to_the_kernel),
		cmocka_unit_test_setup_teardown(what_fits_a_chunk_comes_in_whole, start_generic,
						world_stop),
		cmocka_unit_test_setup_teardown(what_does_not_is_counted_and_left_to_the_kernel,
						start_generic, world_stop),
	};

	return cmocka_run_group_tests(tests, make_large, world_end);
}
