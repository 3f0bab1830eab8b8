/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A driver without XDP metadata (ena, gve, sfc, mvneta, ...), by a switch in the program: over real
 * AF_XDP sockets the worker finds our metadata at the start of the frame.
 */
#include "tests/unit/check.h"

#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include "datapath/io/packet.h"
#include "tests/unit/io/xsk_world.h"

static void check_kinds(uint16_t link)
{
	static const struct {
		const char *remote, *local;
		uint8_t kind;
	} flows[] = {
		{ UNKNOWN4, LOCAL4, CLV_KIND_UNCOMPRESSED },
		{ REMOTE4, LOCAL4, CLV_KIND_CONTEXT },
		{ REMOTE6, LOCAL6, CLV_KIND_UNCOMPRESSED },
	};
	static const size_t lens[] = { 0, 1, 17, 18, 64, 1200, 1452 };
	struct clv_rx rx;
	size_t f, l;

	for (f = 0; f < sizeof(flows) / sizeof(flows[0]); f++)
		for (l = 0; l < sizeof(lens) / sizeof(lens[0]); l++) {
			struct clv_flow flow = flow_inbound(flows[f].remote, flows[f].local);

			peer_inject(link, &flow, lens[l], (unsigned)(f + l));
			assert_int_equal(port_receive(&rx, 1), 1);
			assert_received(&rx, &flow, link, lens[l], (unsigned)(f + l));
			assert_int_equal(rx.kind, flows[f].kind);
			assert_memory_equal(&rx.ref, &world_tunnel, sizeof(world_tunnel));
			world.port->ops->rx_done(world.port);
		}
}

static void metadata_at_the_start_of_the_frame_is_found_and_taken_off(void **state)
{
	uint16_t link;

	(void)state;
	NEED_WORLD();
	for (link = LINK_A; link <= LINK_B; link++)
		check_kinds(link);
	assert_all_frames_are_back(FRAMES);
}

static void a_connection_is_found_as_well(void **state)
{
	struct clv_flow quic = flow_inbound(REMOTE4, LISTENER4);
	uint8_t buf[CLV_PACKET_HEADERS_MAX + FRAME_MAX], *frame;
	size_t len = frame_build(&quic, 100, 1, buf, &frame);
	struct clv_rx rx;

	(void)state;
	NEED_WORLD();
	frame[42] = 0x40;
	memcpy(frame + 43, world_cid.id, CLV_CID_LEN);
	peer_inject_bytes(LINK_A, frame, len);
	assert_int_equal(port_receive(&rx, 1), 1);
	assert_int_equal(rx.kind, CLV_KIND_CONN);
	assert_memory_equal(&rx.ref, &world_conn, sizeof(world_conn));
	assert_int_equal(rx.payload_len, 100);
	world.port->ops->rx_done(world.port);
	assert_all_frames_are_back(FRAMES);
}

/* What the relay sent from a chunk before must not be taken for the metadata of what it receives. */
static void what_a_chunk_held_before_never_passes_for_metadata(void **state)
{
	const struct clv_meta forged = { .magic = CLV_META_MAGIC,
					 .kind = CLV_KIND_CONN,
					 .ref = { .slot = 99 } };
	struct clv_flow flow = flow_inbound(UNKNOWN4, LOCAL4);
	static struct clv_tx held[FRAMES];
	unsigned count = 0, i;
	struct clv_rx rx;
	size_t at;

	(void)state;
	NEED_WORLD();
	while (!world.port->ops->tx_take(world.port, &held[count])) {
		for (at = 0; at + sizeof(forged) <= 256; at += 4)
			memcpy(held[count].payload + at, &forged, sizeof(forged));
		count++;
	}
	for (i = 0; i < RING / 2; i++) {
		peer_inject(LINK_A, &flow, 50, 0);
		assert_int_equal(port_receive(&rx, 1), 1);
		world.port->ops->rx_done(world.port);
	}
	while (count)
		world.port->ops->tx_give(world.port, &held[--count]);
	for (i = 0; i < 3 * RING; i++) {
		peer_inject(LINK_A, &flow, 50, 0);
		assert_int_equal(port_receive(&rx, 1), 1);
		assert_received(&rx, &flow, LINK_A, 50, 0);
		assert_int_equal(rx.kind, CLV_KIND_UNCOMPRESSED);
		assert_memory_equal(&rx.ref, &world_tunnel, sizeof(world_tunnel));
		world.port->ops->rx_done(world.port);
	}
	assert_all_frames_are_back(FRAMES);
}

static int make_without_metadata(void **state)
{
	world.has_no_metadata = true;
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
		XSK_CASE(metadata_at_the_start_of_the_frame_is_found_and_taken_off),
		XSK_CASE(a_connection_is_found_as_well),
		XSK_CASE(what_a_chunk_held_before_never_passes_for_metadata),
		cmocka_unit_test_setup_teardown(
			metadata_at_the_start_of_the_frame_is_found_and_taken_off, start_generic,
			world_stop),
	};

	return cmocka_run_group_tests(tests, make_without_metadata, world_end);
}
