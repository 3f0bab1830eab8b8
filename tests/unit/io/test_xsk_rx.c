/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What comes in through the AF_XDP port, and what does not. */
#include "tests/unit/check.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <time.h>
#include <unistd.h>

#include "datapath/base/addr.h"
#include "datapath/io/packet.h"
#include "tests/unit/io/xsk_world.h"

static void every_byte_and_the_metadata_come_in(void **state)
{
	static const struct {
		const char *remote, *local;
		uint8_t kind;
	} flows[] = {
		{ UNKNOWN4, LOCAL4, CLV_KIND_UNCOMPRESSED },
		{ REMOTE4, LOCAL4, CLV_KIND_CONTEXT },
		{ REMOTE6, LOCAL6, CLV_KIND_UNCOMPRESSED },
	};
	static const size_t lens[] = { 0, 1, 17, 18, 19, 63, 64, 512, 1200, 1201, 1452 };
	uint16_t link;
	size_t f, l;

	(void)state;
	NEED_WORLD();
	for (link = LINK_A; link <= LINK_B; link++)
		for (f = 0; f < sizeof(flows) / sizeof(flows[0]); f++)
			for (l = 0; l < sizeof(lens) / sizeof(lens[0]); l++) {
				struct clv_flow flow = flow_inbound(flows[f].remote,
								    flows[f].local);
				struct clv_rx rx;

				peer_inject(link, &flow, lens[l], (unsigned)(f + l));
				assert_int_equal(port_receive(&rx, 1), 1);
				assert_received(&rx, &flow, link, lens[l], (unsigned)(f + l));
				assert_int_equal(rx.kind, flows[f].kind);
				assert_false(rx.lacks_tags);
				assert_memory_equal(&rx.ref, &world_tunnel, sizeof(world_tunnel));
				world.port->ops->rx_done(world.port);
			}
	assert_all_frames_are_back(FRAMES);
}

static void checksums_are_left_to_the_reader_unless_the_packet_proves_itself(void **state)
{
	struct clv_flow flow = flow_inbound(UNKNOWN4, LOCAL4);
	struct clv_flow quic = flow_inbound(REMOTE4, LISTENER4);
	uint8_t buf[CLV_PACKET_HEADERS_MAX + FRAME_MAX], *frame;
	struct clv_rx rx;
	size_t len;

	(void)state;
	NEED_WORLD();
	len = frame_build(&flow, 100, 1, buf, &frame);
	for (int is_wrong = 0; is_wrong < 2; is_wrong++) {
		frame[60] ^= is_wrong;
		peer_inject_bytes(LINK_A, frame, len);
		assert_int_equal(port_receive(&rx, 1), 1);
		assert_true(rx.is_unverified);
		assert_int_equal(clv_packet_checksum_ok(&rx), !is_wrong);
		world.port->ops->rx_done(world.port);
	}

	len = frame_build(&quic, 100, 1, buf, &frame);
	frame[42] = 0x40;
	memcpy(frame + 43, world_cid.id, CLV_CID_LEN); /* so the checksum is wrong */
	peer_inject_bytes(LINK_A, frame, len);
	assert_int_equal(port_receive(&rx, 1), 1);
	assert_int_equal(rx.kind, CLV_KIND_CONN);
	assert_memory_equal(&rx.ref, &world_conn, sizeof(world_conn));
	assert_false(rx.is_unverified);
	world.port->ops->rx_done(world.port);
	assert_all_frames_are_back(FRAMES);
}

static int start_stripping(void **state)
{
	world.strips_tags = true;
	return world_start(state);
}

static int stop_stripping(void **state)
{
	world.strips_tags = false;
	return world_stop(state);
}

static void a_card_that_takes_tags_off_is_known_by_what_comes_in(void **state)
{
	struct clv_flow flow = flow_inbound(REMOTE4, LOCAL4);
	struct clv_rx rx;

	(void)state;
	NEED_WORLD();
	peer_inject(LINK_A, &flow, 64, 0);
	assert_int_equal(port_receive(&rx, 1), 1);
	assert_true(rx.lacks_tags);
	world.port->ops->rx_done(world.port);
}

/* Redirects everything and writes no metadata, as a foreign program would. */
static int load_bare_program(void)
{
	const struct bpf_insn insns[] = {
		/* r2 = ctx->rx_queue_index + queues of links before LINK_A */
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1, .off = 16 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K,
		  .dst_reg = 2,
		  .imm = LINK_A * CLV_QUEUES_MAX },
		{ .code = BPF_LD | BPF_DW | BPF_IMM,
		  .dst_reg = 1,
		  .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = bpf_map__fd(world.program->maps.xsks) },
		{ 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = 0 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "bare", "GPL", insns,
			     sizeof(insns) / sizeof(insns[0]), NULL);
}

static void old_payload_never_passes_for_metadata(void **state)
{
	const struct clv_meta forged = { .magic = CLV_META_MAGIC, .kind = CLV_KIND_CONN };
	struct clv_flow flow = flow_inbound(UNKNOWN4, LOCAL4);
	static struct clv_tx held[FRAMES];
	unsigned count = 0, i;
	struct clv_rx rx;
	size_t at;
	int fd;

	(void)state;
	NEED_WORLD();
	fd = load_bare_program();
	assert_true(fd >= 0);
	world_attach(fd, world.xdp_flags);
	for (i = 0; i < FRAMES; i++)
		held[i].link = LINK_A;
	/* Write it into every frame of the pool, while the kernel uses up those it has. */
	while (!world.port->ops->tx_take(world.port, &held[count])) {
		for (at = 0; at + sizeof(forged) <= 256; at += sizeof(forged))
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
	/* Now receive into them. */
	for (i = 0; i < 3 * RING; i++) {
		peer_inject(LINK_A, &flow, 50, 0);
		assert_int_equal(port_receive(&rx, 1), 1);
		assert_received(&rx, &flow, LINK_A, 50, 0);
		assert_int_equal(rx.kind, CLV_KIND_UNKNOWN);
		assert_int_equal(rx.ref.slot, 0);
		world.port->ops->rx_done(world.port);
	}
	/* Such a program also lets through what is no datagram. */
	peer_inject_bytes(LINK_A, (const uint8_t *)"\2\0\0\0\0\2\2\0\0\0\0\1\10\6 not an IP packet",
			  32);
	port_receive_nothing();
	assert_int_equal(world_counted(CLV_COUNT_DROP_MALFORMED), 1);
	close(fd);
	assert_all_frames_are_back(FRAMES);
}

static void what_the_kernel_drops_shows_in_its_statistics(void **state)
{
	enum { SENT = QUEUES * RING + 100 };
	struct clv_flow flow = flow_inbound(UNKNOWN4, LOCAL4);
	const struct timespec moment = { .tv_nsec = 20000000 };
	struct clv_rx batch[CLV_PORT_BATCH];
	struct clv_xsk_info info;
	uint64_t lost = 0, got = 0;
	unsigned i, n;

	(void)state;
	NEED_WORLD();
	for (i = 0; i < SENT; i++)
		peer_inject(LINK_A, &flow, 100, i);
	nanosleep(&moment, NULL);
	/* Refilled while it reads: only what came before the first rx is lost. */
	do {
		n = world.port->ops->rx(world.port, batch, CLV_PORT_BATCH);
		world.port->ops->rx_done(world.port);
		got += n;
	} while (n);
	for (i = 0; !clv_xsk_info(world.port, i, &info); i++) {
		assert_int_equal(info.mode, CLV_XSK_COPY);
		lost += info.rx_dropped + info.rx_ring_full;
	}
	assert_int_equal(i, 2 * QUEUES);
	assert_true(got >= RING);
	assert_true(lost > 0);
	assert_int_equal(got + lost, SENT);
	assert_all_frames_are_back(FRAMES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		XSK_CASE(every_byte_and_the_metadata_come_in),
		XSK_CASE(checksums_are_left_to_the_reader_unless_the_packet_proves_itself),
		cmocka_unit_test_setup_teardown(
			a_card_that_takes_tags_off_is_known_by_what_comes_in, start_stripping,
			stop_stripping),
		XSK_CASE(old_payload_never_passes_for_metadata),
		XSK_CASE(what_the_kernel_drops_shows_in_its_statistics),
	};

	return cmocka_run_group_tests(tests, world_make, world_end);
}
