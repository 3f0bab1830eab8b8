/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The metadata that a frame has on its way to a worker, and the queue recorded for flows that
 * control will see.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "no_headroom.skel.h"
#include "tests/bpf/frame.h"
#include "tests/bpf/world.h"

#define CONN .first = 0x40, .cid = known_cid, .payload_len = 60
#define IP6  .src = REMOTE6, .dst = RELAY6

static const struct meta_case {
	const char *name;
	struct frame_spec in;
	unsigned meta_len; /* what an earlier program left in front of the frame */
	struct clv_meta want;
} meta_cases[] = {
	{ "connection",
	  { CONN },
	  0,
	  { .kind = CLV_KIND_CONN, .ref = { .slot = 17, .generation = 0x01020304, .worker = 3 } } },
	{ "context",
	  { IP6, .dport = PORT_CLOSED, .payload_len = 33 },
	  0,
	  { .kind = CLV_KIND_CONTEXT, .ref = { .slot = 22, .generation = 6, .worker = 2 } } },
	{ "uncompressed",
	  { .dport = PORT_OPEN, .vlan_tags = 1, .payload_len = 33 },
	  0,
	  { .kind = CLV_KIND_UNCOMPRESSED, .ref = { .slot = 21, .generation = 5, .worker = 1 } } },
	{ "after shorter metadata",
	  { CONN },
	  8,
	  { .kind = CLV_KIND_CONN, .ref = { .slot = 17, .generation = 0x01020304, .worker = 3 } } },
	{ "after metadata of the same length",
	  { CONN },
	  sizeof(struct clv_meta),
	  { .kind = CLV_KIND_CONN, .ref = { .slot = 17, .generation = 0x01020304, .worker = 3 } } },
	{ "after longer metadata",
	  { CONN },
	  64,
	  { .kind = CLV_KIND_CONN, .ref = { .slot = 17, .generation = 0x01020304, .worker = 3 } } },
};

static void metadata_lies_right_in_front_of_an_untouched_frame(void **state)
{
	(void)state;
	need_root();
	for (size_t i = 0; i < sizeof(meta_cases) / sizeof(meta_cases[0]); i++) {
		const struct meta_case *c = &meta_cases[i];
		struct clv_meta want = c->want;
		uint8_t frame[FRAME_MAX];
		size_t len = frame_build(&c->in, frame);
		struct outcome out;

		want.magic = CLV_META_MAGIC;
		world_run(&group_world, frame, len, c->meta_len, &out);
		if (out.action != XDP_REDIRECT || out.meta_len != sizeof(want) ||
		    memcmp(out.meta, &want, sizeof(want)))
			fail_msg("%s: wrong metadata", c->name);
		assert_int_equal(out.frame_len, len);
		assert_memory_equal(out.frame, frame, len);
	}
}

static bool is_queue_recorded(const struct frame_spec *spec, uint32_t *queue)
{
	const struct clv_tuple flow = frame_tuple(spec);

	return !bpf_map__lookup_elem(group_world.skel->maps.rxq_of_flow, &flow, sizeof(flow), queue,
				     sizeof(*queue), 0);
}

static void the_queue_is_noted_for_what_control_will_see_and_nothing_else(void **state)
{
	static const struct {
		struct frame_spec in;
		bool is_noted;
	} flows[] = {
		{ { .sport = 101, .first = 0xc0, .payload_len = 1200 }, true },
		{ { .sport = 102, .payload_len = 0 }, true },
		{ { .sport = 103, .first = 0x40, .cid = unknown_cid, .payload_len = 60 }, true },
		{ { .sport = 104, .first = 0x40, .payload_len = 3 }, true },
		{ { IP6, .sport = 105, .first = 0xc0, .payload_len = 1200 }, true },
		{ { .sport = 106, CONN }, false },
		{ { .sport = 107, .dport = PORT_OPEN, .payload_len = 9 }, false },
		{ { .sport = 108, .dport = PORT_FOREIGN, .first = 0xc0, .payload_len = 9 }, false },
		{ { IP6, .sport = 109, .first = 0xc0, .payload_len = 9, .no_checksum = true },
		  false },
	};

	(void)state;
	need_root();
	for (size_t i = 0; i < sizeof(flows) / sizeof(flows[0]); i++) {
		uint8_t frame[FRAME_MAX];
		size_t len = frame_build(&flows[i].in, frame);
		uint32_t queue = 99;
		struct outcome out;

		world_run(&group_world, frame, len, 0, &out);
		assert_int_equal(is_queue_recorded(&flows[i].in, &queue), flows[i].is_noted);
		assert_int_equal(queue, flows[i].is_noted ? 0 : 99);
	}
}

static void a_noted_queue_follows_the_flow(void **state)
{
	const struct frame_spec spec = { .sport = 120, .first = 0xc0, .payload_len = 1200 };
	const struct clv_tuple flow = frame_tuple(&spec);
	uint8_t frame[FRAME_MAX];
	size_t len = frame_build(&spec, frame);
	uint32_t queue = 5;
	struct outcome out;

	(void)state;
	need_root();
	bpf_map__update_elem(group_world.skel->maps.rxq_of_flow, &flow, sizeof(flow), &queue,
			     sizeof(queue), BPF_ANY);
	world_run(&group_world, frame, len, 0, &out);
	assert_true(is_queue_recorded(&spec, &queue));
	assert_int_equal(queue, 0);
}

static void a_retired_connection_id_goes_to_control_again(void **state)
{
	const uint8_t retired[CLV_CID_LEN] = "retired";
	const struct frame_spec spec = { .first = 0x40, .cid = retired, .payload_len = 60 };
	uint8_t frame[FRAME_MAX];
	size_t len = frame_build(&spec, frame);
	struct outcome out;

	(void)state;
	need_root();
	bpf_map__update_elem(group_world.skel->maps.conns, retired, CLV_CID_LEN, &known_conn,
			     sizeof(known_conn), BPF_ANY);
	world_run(&group_world, frame, len, 0, &out);
	assert_int_equal(out.counted, CLV_XDP_STEER_CONN);

	bpf_map__delete_elem(group_world.skel->maps.conns, retired, CLV_CID_LEN, 0);
	world_run(&group_world, frame, len, 0, &out);
	assert_int_equal(out.counted, CLV_XDP_PASS_UNKNOWN_CID);
}

static struct clv_faults faults_of_lo(void)
{
	const uint32_t lo = 1;
	struct clv_faults found = { 0 };

	bpf_map__lookup_elem(group_world.skel->maps.faults, &lo, sizeof(lo), &found, sizeof(found),
			     0);
	return found;
}

/* Of a connection or a tunnel, it is left to the kernel as it came, and noted. */
static void expect_no_socket(void)
{
	static const struct frame_spec conn = { CONN };
	static const struct frame_spec context = { IP6, .dport = PORT_CLOSED, .payload_len = 33 };
	const struct clv_faults before = faults_of_lo();
	uint8_t frame[FRAME_MAX];
	size_t len = frame_build(&conn, frame);
	struct outcome out;

	world_run(&group_world, frame, len, 0, &out);
	assert_int_equal(out.counted, CLV_XDP_PASS_NO_SOCKET);
	assert_int_equal(out.meta_len, 0);
	assert_int_equal(out.frame_len, len);
	assert_memory_equal(out.frame, frame, len);

	len = frame_build(&context, frame);
	world_run(&group_world, frame, len, 0, &out);
	assert_int_equal(out.counted, CLV_XDP_PASS_NO_SOCKET);
	assert_int_equal(out.frame_len, len);
	assert_memory_equal(out.frame, frame, len);
	assert_int_equal(faults_of_lo().no_socket - before.no_socket, 2);
	assert_int_equal(faults_of_lo().no_meta, before.no_meta);
}

static void without_a_socket_or_a_link_the_kernel_gets_the_frame(void **state)
{
	const struct frame_spec spec = { CONN };
	const uint32_t slot = WORLD_XSK_BASE, lo = 1;
	const struct clv_link here = { .xsk_base = WORLD_XSK_BASE },
			      beyond = { .xsk_base = CLV_XSKS_MAX };
	const struct bpf_map *links = group_world.skel ? group_world.skel->maps.links : NULL;
	uint8_t frame[FRAME_MAX];
	size_t len = frame_build(&spec, frame);
	struct outcome out;

	(void)state;
	need_root();
	bpf_map__update_elem(links, &lo, sizeof(lo), &beyond, sizeof(beyond), BPF_ANY);
	expect_no_socket();

	bpf_map__delete_elem(links, &lo, sizeof(lo), 0);
	expect_no_socket();

	bpf_map__update_elem(links, &lo, sizeof(lo), &here, sizeof(here), BPF_ANY);
	bpf_map__delete_elem(group_world.skel->maps.xsks, &slot, sizeof(slot), 0);
	expect_no_socket();

	bpf_map__update_elem(group_world.skel->maps.xsks, &slot, sizeof(slot), &group_world.xsk_fd,
			     sizeof(group_world.xsk_fd), BPF_ANY);
	world_run(&group_world, frame, len, 0, &out);
	assert_int_equal(out.action, XDP_REDIRECT);
}

static void run_without_headroom(const struct frame_spec *spec, enum clv_xdp_counter counted,
				 uint32_t action)
{
	enum { TAIL = 208 };
	const struct clv_count before = world_count(&group_world, counted);
	const struct clv_faults noted = faults_of_lo();
	struct no_headroom_bpf *front = no_headroom_bpf__open_and_load();
	uint8_t frame[FRAME_MAX], out[FRAME_MAX];
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_out = out,
		    .data_size_out = sizeof(out), .repeat = 1);
	int ingress_fd = bpf_program__fd(group_world.skel->progs.clv_ingress);
	const uint32_t slot = 0;
	struct clv_count after;

	assert_non_null(front);
	assert_int_equal(bpf_map__update_elem(front->maps.next, &slot, sizeof(slot), &ingress_fd,
					      sizeof(ingress_fd), BPF_ANY),
			 0);
	run.data_size_in = (uint32_t)frame_build(spec, frame);
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(front->progs.eat_headroom), &run),
			 0);
	assert_int_equal(run.retval, action);
	assert_int_equal(run.data_size_out, run.data_size_in + TAIL);
	assert_memory_equal(out, frame, run.data_size_in);
	after = world_count(&group_world, counted);
	assert_int_equal(after.packets - before.packets, 1);
	assert_int_equal(after.bytes - before.bytes, run.data_size_in + TAIL);
	assert_int_equal(faults_of_lo().no_meta - noted.no_meta, 1);
	no_headroom_bpf__destroy(front);
}

/* A program before it leaves 8 bytes of headroom, and 208 bytes after the frame. */
static void without_room_for_metadata_the_kernel_gets_the_frame(void **state)
{
	const struct frame_spec conn = { .first = 0x40, .cid = known_cid, .payload_len = 20 };
	const struct frame_spec open = { .dport = PORT_OPEN, .payload_len = 20 };

	(void)state;
	need_root();
	run_without_headroom(&conn, CLV_XDP_PASS_NO_META, XDP_PASS);
	run_without_headroom(&open, CLV_XDP_PASS_NO_META, XDP_PASS);
}

/* As on ena, gve, sfc, mvneta: there metadata is the start of the frame itself. */
static void without_metadata_in_the_driver_the_frame_carries_it(void **state)
{
	static struct world without = { .has_no_metadata = true };
	const uint32_t slot = WORLD_XSK_BASE;

	(void)state;
	need_root();
	world_open(&without);
	for (size_t i = 0; i < 3; i++) {
		const struct meta_case *c = &meta_cases[i];
		struct clv_meta want = c->want;
		uint8_t frame[FRAME_MAX];
		size_t len = frame_build(&c->in, frame);
		struct outcome out;

		want.magic = CLV_META_MAGIC;
		world_run(&without, frame, len, 0, &out);
		assert_int_equal(out.action, XDP_REDIRECT);
		assert_int_equal(out.meta_len, 0);
		assert_int_equal(out.frame_len, sizeof(want) + len);
		assert_memory_equal(out.frame, &want, sizeof(want));
		assert_memory_equal(out.frame + sizeof(want), frame, len);

		/* Taken off again where no socket is: the kernel gets the frame as it came. */
		bpf_map__delete_elem(without.skel->maps.xsks, &slot, sizeof(slot), 0);
		world_run(&without, frame, len, 0, &out);
		assert_int_equal(out.counted, CLV_XDP_PASS_NO_SOCKET);
		assert_int_equal(out.frame_len, len);
		assert_memory_equal(out.frame, frame, len);
		bpf_map__update_elem(without.skel->maps.xsks, &slot, sizeof(slot), &without.xsk_fd,
				     sizeof(without.xsk_fd), BPF_ANY);
	}
	world_close(&without);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(metadata_lies_right_in_front_of_an_untouched_frame),
		cmocka_unit_test(the_queue_is_noted_for_what_control_will_see_and_nothing_else),
		cmocka_unit_test(a_noted_queue_follows_the_flow),
		cmocka_unit_test(a_retired_connection_id_goes_to_control_again),
		cmocka_unit_test(without_a_socket_or_a_link_the_kernel_gets_the_frame),
		cmocka_unit_test(without_room_for_metadata_the_kernel_gets_the_frame),
		cmocka_unit_test(without_metadata_in_the_driver_the_frame_carries_it),
	};

	return cmocka_run_group_tests(tests, group_open, group_close);
}
