/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What goes out through the AF_XDP port, and what is relayed from one link to the other. */
#include "tests/unit/check.h"

#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/io/xsk_world.h"

static void every_byte_goes_out(void **state)
{
	static const char *const ends[][2] = { { LOCAL4, REMOTE4 }, { LOCAL6, REMOTE6 } };
	static const size_t lens[] = { 0, 1, 64, 1200, 1452 };
	uint16_t link;
	size_t e, l;

	(void)state;
	NEED_WORLD();
	for (link = LINK_A; link <= LINK_B; link++) {
		for (e = 0; e < 2; e++)
			for (l = 0; l < sizeof(lens) / sizeof(lens[0]); l++)
				port_transmit(link, ends[e][0], ends[e][1], lens[l], (unsigned)l);
		peer_expect_silence(link); /* nothing leaves before flush */
		world.port->ops->flush(world.port);
		for (e = 0; e < 2; e++)
			for (l = 0; l < sizeof(lens) / sizeof(lens[0]); l++)
				peer_expect(link, ends[e][0], ends[e][1], lens[l], (unsigned)l);
	}
	peer_expect_silence(LINK_A);
	peer_expect_silence(LINK_B);
	assert_all_frames_are_back(FRAMES);
}

static void a_full_batch_leaves_with_one_flush(void **state)
{
	unsigned round, i;

	(void)state;
	NEED_WORLD();
	for (round = 0; round < 40; round++) {
		for (i = 0; i < RING; i++)
			port_transmit(LINK_B, LOCAL4, REMOTE4, 900 + i, round + i);
		world.port->ops->flush(world.port);
		assert_true(world.port->ops->may_sleep(world.port));
		for (i = 0; i < RING; i++)
			peer_expect(LINK_B, LOCAL4, REMOTE4, 900 + i, round + i);
	}
	peer_expect_silence(LINK_B);
	assert_all_frames_are_back(FRAMES);
}

static void a_full_ring_is_submitted_within_a_batch(void **state)
{
	unsigned i, sent = 3 * RING + 9, before = (unsigned)world_counted(CLV_COUNT_DROP_TX_RING);

	(void)state;
	NEED_WORLD();
	for (i = 0; i < sent; i++)
		port_transmit(LINK_A, LOCAL4, REMOTE4, 100, i);
	world.port->ops->flush(world.port);
	assert_int_equal(world_counted(CLV_COUNT_DROP_TX_RING), before);
	for (i = 0; i < sent; i++)
		peer_expect(LINK_A, LOCAL4, REMOTE4, 100, i);
	peer_expect_silence(LINK_A);
	assert_all_frames_are_back(FRAMES);
}

static void set_link(const char *end, uint16_t link, const char *state)
{
	char command[64];

	snprintf(command, sizeof(command), "ip link set %s %s", world_link_name(end, link), state);
	assert_int_equal(system(command), 0);
}

static void a_full_ring_that_nobody_takes_drops_and_counts(void **state)
{
	unsigned i;

	(void)state;
	NEED_WORLD();
	set_link("r", LINK_A, "down");
	for (i = 0; i < RING + 9; i++)
		port_transmit(LINK_A, LOCAL4, REMOTE4, 100, i);
	assert_int_equal(world_counted(CLV_COUNT_DROP_TX_RING), 9);
	world.port->ops->flush(world.port);
	set_link("r", LINK_A, "up");
	/* what comes next has it taken, though the ring is full */
	port_transmit(LINK_A, LOCAL4, REMOTE4, 100, RING);
	world.port->ops->flush(world.port);
	assert_int_equal(world_counted(CLV_COUNT_DROP_TX_RING), 9);
	for (i = 0; i <= RING; i++)
		peer_expect(LINK_A, LOCAL4, REMOTE4, 100, i);
	assert_all_frames_are_back(FRAMES);
}

/* As when a path is probed: written for one link, sent by another. */
static void what_leaves_by_another_link_than_expected_is_the_same(void **state)
{
	unsigned i;

	(void)state;
	NEED_WORLD();
	for (i = 0; i < 3 * RING; i++) {
		world.expected_link = i % 3 ? LINK_A : CLV_LINKS_MAX + 1;
		port_transmit(LINK_B, LOCAL4, REMOTE4, 1000, i);
		world.port->ops->flush(world.port);
		peer_expect(LINK_B, LOCAL4, REMOTE4, 1000, i);
	}
	world.expected_link = 0;
	assert_all_frames_are_back(FRAMES);
}

static void an_empty_pool_says_so(void **state)
{
	struct clv_tx *held = calloc(FRAMES, sizeof(*held));
	struct clv_rx rx;
	struct clv_flow flow = flow_inbound(UNKNOWN4, LOCAL4);
	unsigned taken = 0, i;

	(void)state;
	if (world.why_not) {
		free(held);
		skip();
	}
	for (i = 0; i < FRAMES; i++)
		held[i].link = LINK_A;
	while (!world.port->ops->tx_take(world.port, &held[taken]))
		taken++;
	assert_int_equal(taken, SOCKET_FRAMES - RING);
	assert_int_equal(world.port->ops->tx_take(world.port, &held[taken]), -ENOBUFS);
	/* Receiving goes on with what the kernel has, and recovers when frames come back. */
	for (i = 0; i < RING / 2; i++) {
		peer_inject(LINK_A, &flow, 200, i);
		assert_int_equal(port_receive(&rx, 1), 1);
		world.port->ops->rx_done(world.port);
	}
	while (taken)
		world.port->ops->tx_give(world.port, &held[--taken]);
	free(held);
	for (i = 0; i < 3 * RING; i++) {
		peer_inject(LINK_A, &flow, 200, i);
		assert_int_equal(port_receive(&rx, 1), 1);
		world.port->ops->rx_done(world.port);
	}
	assert_all_frames_are_back(FRAMES);
}

static void what_cannot_go_is_counted_by_reason(void **state)
{
	(void)state;
	NEED_WORLD();
	port_transmit(LINK_A, LOCAL4, REMOTE4, 1473, 0);
	port_transmit(LINK_A, LOCAL6, REMOTE6, 1453, 0);
	assert_int_equal(world_counted(CLV_COUNT_DROP_MTU), 2);
	port_transmit(3, LOCAL4, REMOTE4, 10, 0);
	port_transmit(CLV_LINKS_MAX, LOCAL4, REMOTE4, 10, 0);
	port_transmit(LINK_A, LOCAL4, REMOTE6, 10, 0);
	assert_int_equal(world_counted(CLV_COUNT_DROP_NO_ROUTE), 3);
	world.port->ops->flush(world.port);
	peer_expect_silence(LINK_A);
	assert_all_frames_are_back(FRAMES);
}

static void relayed_traffic_is_complete_both_ways(void **state)
{
	enum { ROUNDS = 60, EACH = 40 };
	struct clv_flow from_a = flow_inbound(REMOTE4, LOCAL4),
			from_b = flow_inbound(REMOTE6, LOCAL6);
	struct clv_rx batch[CLV_PORT_BATCH];
	unsigned round, i, total, got;

	(void)state;
	NEED_WORLD();
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < EACH; i++) {
			peer_inject(LINK_A, &from_a, 1000 + i, i);
			peer_inject(LINK_B, &from_b, 20 + i, i);
		}
		for (total = 0; total < 2 * EACH; total += got) {
			got = port_receive(batch, CLV_PORT_BATCH);
			assert_true(got > 0);
			for (i = 0; i < got; i++) {
				bool is_a = batch[i].link == LINK_A;
				unsigned n = batch[i].payload_len - (is_a ? 1000 : 20);

				assert_received(&batch[i], is_a ? &from_a : &from_b, batch[i].link,
						batch[i].payload_len, n);
				/* Out on the other link, in the other family. */
				port_transmit(is_a ? LINK_B : LINK_A, is_a ? LOCAL6 : LOCAL4,
					      is_a ? REMOTE6 : REMOTE4, batch[i].payload_len, n);
			}
			world.port->ops->rx_done(world.port);
			world.port->ops->flush(world.port);
		}
		for (i = 0; i < EACH; i++) {
			peer_expect(LINK_B, LOCAL6, REMOTE6, 1000 + i, i);
			peer_expect(LINK_A, LOCAL4, REMOTE4, 20 + i, i);
		}
	}
	assert_int_equal(world_counted(CLV_COUNT_DROP_TX_RING), 0);
	assert_all_frames_are_back(FRAMES);
}

static void under_generic_xdp_it_is_complete_too(void **state)
{
	NEED_WORLD();
	world_stop(state);
	world.xdp_flags = XDP_FLAGS_SKB_MODE;
	world_start(state);
	relayed_traffic_is_complete_both_ways(state);
	a_full_ring_is_submitted_within_a_batch(state);
	world_stop(state);
	world.xdp_flags = XDP_FLAGS_DRV_MODE;
	world_start(state);
}

static void busy_polled_it_is_complete_too(void **state)
{
	NEED_WORLD();
	world_stop(state);
	world.busy_poll_usec = 20;
	world_start(state);
	relayed_traffic_is_complete_both_ways(state);
	world_stop(state);
	world.busy_poll_usec = 0;
	world_start(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		XSK_CASE(every_byte_goes_out),
		XSK_CASE(a_full_batch_leaves_with_one_flush),
		XSK_CASE(a_full_ring_is_submitted_within_a_batch),
		XSK_CASE(a_full_ring_that_nobody_takes_drops_and_counts),
		XSK_CASE(what_leaves_by_another_link_than_expected_is_the_same),
		XSK_CASE(an_empty_pool_says_so),
		XSK_CASE(what_cannot_go_is_counted_by_reason),
		XSK_CASE(relayed_traffic_is_complete_both_ways),
		XSK_CASE(under_generic_xdp_it_is_complete_too),
		XSK_CASE(busy_polled_it_is_complete_too),
	};

	return cmocka_run_group_tests(tests, world_make, world_end);
}
