/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The AF_XDP port with the real XDP program, in a network namespace of its own:
 *
 *   a peer's raw socket on pa -- veth -- ra [port under test, one memory] rb -- veth -- pb, another
 *
 * 198.51.100.1 and 2001:db8:1::1 are the relay's, 203.0.113.7 and 2001:db8:7::7 a remote's.  No
 * interface has an address: the frames come from here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "culvert.skel.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/io/packet.h"
#include "datapath/io/xsk.h"

enum {
	RING = 64,
	FRAMES = 1024,
	QUEUES = 2,
	LINK_A = 1,
	LINK_B = 2,
	WAIT_MS = 2000,
	FRAME_MAX = 2048,
};

#define LOCAL4	  "198.51.100.1:40000"
#define LOCAL6	  "[2001:db8:1::1]:40000"
#define REMOTE4	  "203.0.113.7:7000"
#define REMOTE6	  "[2001:db8:7::7]:7000"
#define STRANGER4 "203.0.113.8:7000"
#define LISTENER4 "198.51.100.1:443"

static const uint8_t peer_mac[6] = { 2, 0, 0, 0, 0, 1 }, relay_mac[6] = { 2, 0, 0, 0, 0, 2 };
static const struct clv_ref tunnel = { .slot = 5, .generation = 6, .worker = 7 };
static const struct clv_ref conn = { .slot = 8, .generation = 9, .worker = 7 };
static const struct clv_cid cid = { "\1\2\3\4\5\6\7\10" };
static const uint64_t context_id = 1234567890123;

static const char *why_not; /* the reason that all tests are skipped for */
static struct culvert_bpf *program;
static struct clv_counters counters;
static struct clv_port *port;
static int peers[3]; /* raw sockets, by link */
static uint32_t xdp_flags = XDP_FLAGS_DRV_MODE;
static uint32_t busy_poll_usec;

/* ---- the world ---- */

static const char *name_of(const char *end, uint16_t link)
{
	static char name[IFNAMSIZ];

	snprintf(name, sizeof(name), "%s%c", end, link == LINK_A ? 'a' : 'b');
	return name;
}

static int raw_socket(const char *ifname)
{
	struct sockaddr_ll sa = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = (int)if_nametoindex(ifname) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0), on = 1, bytes = 16 << 20;

	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa)))
		return -1;
	return fd;
}

static struct clv_endpoint endpoint(const char *text)
{
	struct clv_endpoint ep;

	assert_int_equal(clv_endpoint_parse(text, &ep), 0);
	return ep;
}

static int put(struct bpf_map *map, const void *key, const void *value)
{
	return bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY);
}

static int fill_maps(void)
{
	const struct clv_binding binding = { .tunnel = tunnel, .flags = CLV_BINDING_UNCOMPRESSED };
	const struct clv_context context = { .tunnel = tunnel, .context_id = context_id };
	const struct clv_listener listener = { .id = 1 };
	struct clv_endpoint ep = endpoint(LOCAL4);
	struct clv_tuple tuple = { .local = ep, .remote = endpoint(REMOTE4) };
	uint16_t link;
	int err;

	err = put(program->maps.bindings, &ep, &binding);
	err |= put(program->maps.contexts, &tuple, &context);
	ep = endpoint(LOCAL6);
	err |= put(program->maps.bindings, &ep, &binding);
	ep = endpoint(LISTENER4);
	err |= put(program->maps.listeners, &ep, &listener);
	err |= put(program->maps.conns, &cid, &conn);
	for (link = LINK_A; link <= LINK_B; link++) {
		const struct clv_link value = { .xsk_base = link * CLV_QUEUES_MAX };
		uint32_t ifindex = if_nametoindex(name_of("r", link));

		err |= put(program->maps.links, &ifindex, &value);
	}
	return err;
}

static int make_world(void **state)
{
	static const char script[] =
		"sysctl -qw net.ipv6.conf.default.disable_ipv6=1 && for s in a b; do "
		"ip link add p$s numtxqueues 2 numrxqueues 2 type veth peer name r$s "
		"numtxqueues 2 numrxqueues 2 && ip link set p$s up && ip link set r$s up "
		"|| exit 1; done";
	uint16_t link;

	(void)state;
	if (unshare(CLONE_NEWNET)) {
		why_not = "needs the right to make network namespaces";
		return 0;
	}
	if (system(script)) {
		why_not = "needs veth interfaces (ip link add failed)";
		return 0;
	}
	libbpf_set_print(NULL);
	program = culvert_bpf__open_and_load();
	if (!program) {
		why_not = "needs the right to load XDP programs";
		return 0;
	}
	for (link = LINK_A; link <= LINK_B; link++) {
		peers[link] = raw_socket(name_of("p", link));
		assert_true(peers[link] >= 0);
	}
	assert_int_equal(fill_maps(), 0);
	return 0;
}

static int end_world(void **state)
{
	(void)state;
	culvert_bpf__destroy(program);
	close(peers[LINK_A]);
	close(peers[LINK_B]);
	return 0;
}

static void attach(int prog_fd, uint32_t flags)
{
	uint16_t link;

	for (link = LINK_A; link <= LINK_B; link++) {
		int ifindex = (int)if_nametoindex(name_of("r", link));

		assert_int_equal(bpf_xdp_attach(ifindex, prog_fd, flags, NULL), 0);
	}
}

static int add(uint16_t link, uint32_t queue, enum clv_xsk_mode mode)
{
	const struct clv_xsk_params params = {
		.ifname = name_of("r", link),
		.queue = queue,
		.link = link,
		.mode = mode,
		.xskmap_fd = bpf_map__fd(program->maps.xsks),
		.xskmap_key = link * CLV_QUEUES_MAX + queue,
		.busy_poll_usec = busy_poll_usec,
		.busy_poll_budget_packets = CLV_PORT_BATCH,
	};

	return clv_xsk_add(port, &params);
}

static void open_port(uint32_t frames)
{
	struct clv_xsk_port_params params = { .counters = &counters,
					      .ring_size = RING,
					      .verify_checksum = true };

	memset(&counters, 0, sizeof(counters));
	assert_int_equal(clv_umem_open(&params.umem, frames, -1), 0);
	assert_int_equal(clv_xsk_open(&params, &port), 0);
}

/* A port with both queues of both links, under whichever kind of XDP. */
static int start(void **state)
{
	uint16_t link;
	uint32_t queue;
	uint8_t byte;

	(void)state;
	if (why_not) {
		print_message("skipped: %s\n", why_not);
		return 0;
	}
	attach(bpf_program__fd(program->progs.clv_ingress), xdp_flags);
	open_port(FRAMES);
	for (link = LINK_A; link <= LINK_B; link++) {
		for (queue = 0; queue < QUEUES; queue++)
			assert_int_equal(add(link, queue, CLV_XSK_COPY), 0);
		while (recv(peers[link], &byte, 1, 0) > 0)
			;
	}
	return 0;
}

static int stop(void **state)
{
	(void)state;
	if (why_not)
		return 0;
	port->ops->close(port);
	attach(-1, xdp_flags);
	return 0;
}

#define NEED_WORLD()                                                                               \
	do {                                                                                       \
		if (why_not)                                                                       \
			skip();                                                                    \
	} while (0)

/* ---- traffic ---- */

static uint64_t counted(enum clv_counter which)
{
	return clv_count_read(&counters, which);
}

static uint8_t byte_of(size_t i, unsigned seed)
{
	return (uint8_t)(i * 31 + (i >> 8) + seed * 101);
}

/* As the peer sees it: from remote to local. */
static struct clv_flow inbound(const char *remote, const char *local)
{
	struct clv_flow flow = { .local = endpoint(remote), .remote = endpoint(local) };

	memcpy(flow.hop.l2.dst_mac, relay_mac, 6);
	memcpy(flow.hop.l2.src_mac, peer_mac, 6);
	return flow;
}

/* Returns the length of the frame that starts at *start within buf. */
static size_t build(const struct clv_flow *flow, size_t len, unsigned seed, uint8_t *buf,
		    uint8_t **start)
{
	uint8_t *payload = buf + CLV_PACKET_HEADERS_MAX;
	size_t headers, i;

	for (i = 0; i < len; i++)
		payload[i] = byte_of(i, seed);
	headers = clv_packet_encode(payload, len, flow, seed & 3);
	assert_true(headers > 0);
	*start = payload - headers;
	return headers + len;
}

static void inject_bytes(uint16_t link, const uint8_t *frame, size_t len)
{
	assert_int_equal(send(peers[link], frame, len, 0), len);
}

static void inject(uint16_t link, const struct clv_flow *flow, size_t len, unsigned seed)
{
	uint8_t buf[CLV_PACKET_HEADERS_MAX + FRAME_MAX], *frame;
	size_t bytes = build(flow, len, seed, buf, &frame);

	inject_bytes(link, frame, bytes);
}

/* Waits for something to come; the batch must be given back. */
static unsigned receive(struct clv_rx *batch, unsigned max)
{
	struct pollfd fd = { .fd = port->ops->poll_fd(port), .events = POLLIN };
	unsigned got = port->ops->rx(port, batch, max);

	while (!got) {
		port->ops->rx_done(port);
		if (port->ops->may_sleep(port) && poll(&fd, 1, WAIT_MS) != 1)
			return 0;
		got = port->ops->rx(port, batch, max);
	}
	return got;
}

/* Lets the kernel finish what it has, and says what is not for us. */
static void receive_nothing(void)
{
	const struct timespec moment = { .tv_nsec = 3000000 };
	struct clv_rx batch[CLV_PORT_BATCH];
	unsigned i;

	for (i = 0; i < 3; i++) {
		nanosleep(&moment, NULL);
		assert_int_equal(port->ops->rx(port, batch, CLV_PORT_BATCH), 0);
		port->ops->rx_done(port);
	}
}

static void transmit(uint16_t link, const char *local, const char *remote, size_t len,
		     unsigned seed)
{
	struct clv_flow flow = { .local = endpoint(local), .remote = endpoint(remote) };
	struct clv_tx tx;
	size_t i;

	flow.hop = (struct clv_nexthop){ .via = CLV_VIA_XSK, .link = link, .mtu = 1500 };
	memcpy(flow.hop.l2.dst_mac, peer_mac, 6);
	memcpy(flow.hop.l2.src_mac, relay_mac, 6);
	assert_int_equal(port->ops->tx_take(port, &tx), 0);
	assert_true(len <= tx.room);
	for (i = 0; i < len; i++)
		tx.payload[i] = byte_of(i, seed);
	port->ops->tx_send(port, &tx, len, &flow, seed & 3);
}

/* The next frame the peer gets is what transmit() asked for, byte for byte. */
static void assert_arrives(uint16_t link, const char *local, const char *remote, size_t len,
			   unsigned seed)
{
	uint8_t buf[CLV_PACKET_HEADERS_MAX + FRAME_MAX], got[FRAME_MAX], *want;
	struct clv_flow flow = { .local = endpoint(local), .remote = endpoint(remote) };
	struct pollfd fd = { .fd = peers[link], .events = POLLIN };
	size_t bytes;

	memcpy(flow.hop.l2.dst_mac, peer_mac, 6);
	memcpy(flow.hop.l2.src_mac, relay_mac, 6);
	bytes = build(&flow, len, seed, buf, &want);
	assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
	assert_int_equal(recv(peers[link], got, sizeof(got), 0), bytes);
	assert_memory_equal(got, want, bytes);
}

static void assert_silence(uint16_t link)
{
	struct pollfd fd = { .fd = peers[link], .events = POLLIN };

	assert_int_equal(poll(&fd, 1, 20), 0);
}

/* Every frame is in the pool or with the kernel; waits for what is being sent. */
static void assert_all_frames_are_back(uint32_t frames)
{
	const struct timespec moment = { .tv_nsec = 1000000 };
	struct clv_xsk_census census;
	int i;

	for (i = 0; i < WAIT_MS; i++) {
		clv_xsk_census(port, &census);
		assert_int_equal(census.pool + census.receiving + census.sending, frames);
		if (!census.sending)
			return;
		nanosleep(&moment, NULL);
	}
	fail_msg("%u frames never completed", census.sending);
}

/* ---- receiving ---- */

static void assert_received(const struct clv_rx *rx, const struct clv_flow *flow, uint16_t link,
			    size_t len, unsigned seed)
{
	size_t i;

	assert_true(clv_endpoint_equal(&rx->local, &flow->remote));
	assert_true(clv_endpoint_equal(&rx->remote, &flow->local));
	assert_int_equal(rx->via, CLV_VIA_XSK);
	assert_int_equal(rx->link, link);
	assert_int_equal(rx->ecn, seed & 3);
	assert_memory_equal(rx->l2.dst_mac, peer_mac, 6);
	assert_memory_equal(rx->l2.src_mac, relay_mac, 6);
	assert_int_equal(rx->payload_len, len);
	for (i = 0; i < len; i++)
		assert_int_equal(rx->payload[i], byte_of(i, seed));
}

static void every_byte_and_the_metadata_come_in(void **state)
{
	static const struct {
		const char *remote, *local;
		uint8_t kind;
	} flows[] = {
		{ STRANGER4, LOCAL4, CLV_KIND_UNCOMPRESSED },
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
				struct clv_flow flow = inbound(flows[f].remote, flows[f].local);
				struct clv_rx rx;

				inject(link, &flow, lens[l], (unsigned)(f + l));
				assert_int_equal(receive(&rx, 1), 1);
				assert_received(&rx, &flow, link, lens[l], (unsigned)(f + l));
				assert_int_equal(rx.kind, flows[f].kind);
				assert_memory_equal(&rx.ref, &tunnel, sizeof(tunnel));
				assert_true(rx.context_id ==
					    (rx.kind == CLV_KIND_CONTEXT ? context_id : 0));
				port->ops->rx_done(port);
			}
	assert_all_frames_are_back(FRAMES);
}

static void wrong_checksums_are_dropped_unless_the_tunnel_proves_itself(void **state)
{
	struct clv_flow flow = inbound(STRANGER4, LOCAL4);
	struct clv_flow quic = inbound(REMOTE4, LISTENER4);
	uint8_t buf[CLV_PACKET_HEADERS_MAX + FRAME_MAX], *frame;
	struct clv_rx rx;
	size_t len;

	(void)state;
	NEED_WORLD();
	len = build(&flow, 100, 1, buf, &frame);
	frame[60] ^= 1;
	inject_bytes(LINK_A, frame, len);
	receive_nothing();
	assert_int_equal(counted(CLV_COUNT_DROP_CHECKSUM), 1);

	len = build(&quic, 100, 1, buf, &frame);
	frame[42] = 0x40;
	memcpy(frame + 43, cid.id, CLV_CID_LEN); /* and so no longer what the checksum says */
	inject_bytes(LINK_A, frame, len);
	assert_int_equal(receive(&rx, 1), 1);
	assert_int_equal(rx.kind, CLV_KIND_CONN);
	assert_memory_equal(&rx.ref, &conn, sizeof(conn));
	port->ops->rx_done(port);
	assert_int_equal(counted(CLV_COUNT_DROP_CHECKSUM), 1);
	assert_all_frames_are_back(FRAMES);
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
		  .imm = bpf_map__fd(program->maps.xsks) },
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
	struct clv_flow flow = inbound(STRANGER4, LOCAL4);
	static struct clv_tx held[FRAMES];
	unsigned count = 0, i;
	struct clv_rx rx;
	size_t at;
	int fd;

	(void)state;
	NEED_WORLD();
	fd = load_bare_program();
	assert_true(fd >= 0);
	attach(fd, xdp_flags);
	/* Write it into every frame of the pool, while the kernel uses up those it has. */
	while (!port->ops->tx_take(port, &held[count])) {
		for (at = 0; at + sizeof(forged) <= 256; at += sizeof(forged))
			memcpy(held[count].payload + at, &forged, sizeof(forged));
		count++;
	}
	for (i = 0; i < RING / 2; i++) {
		inject(LINK_A, &flow, 50, 0);
		assert_int_equal(receive(&rx, 1), 1);
		port->ops->rx_done(port);
	}
	while (count)
		port->ops->tx_give(port, &held[--count]);
	/* Now receive into them. */
	for (i = 0; i < 3 * RING; i++) {
		inject(LINK_A, &flow, 50, 0);
		assert_int_equal(receive(&rx, 1), 1);
		assert_received(&rx, &flow, LINK_A, 50, 0);
		assert_int_equal(rx.kind, CLV_KIND_UNKNOWN);
		assert_int_equal(rx.ref.slot, 0);
		port->ops->rx_done(port);
	}
	/* Such a program also lets through what is no datagram. */
	inject_bytes(LINK_A, (const uint8_t *)"\2\0\0\0\0\2\2\0\0\0\0\1\10\6 not an IP packet", 32);
	receive_nothing();
	assert_int_equal(counted(CLV_COUNT_DROP_MALFORMED), 1);
	close(fd);
	assert_all_frames_are_back(FRAMES);
}

static void what_the_kernel_drops_shows_in_its_statistics(void **state)
{
	enum { SENT = QUEUES * RING + 100 };
	struct clv_flow flow = inbound(STRANGER4, LOCAL4);
	const struct timespec moment = { .tv_nsec = 20000000 };
	struct clv_rx batch[CLV_PORT_BATCH];
	struct clv_xsk_info info;
	uint64_t lost = 0, got = 0;
	unsigned i, n;

	(void)state;
	NEED_WORLD();
	for (i = 0; i < SENT; i++)
		inject(LINK_A, &flow, 100, i);
	nanosleep(&moment, NULL);
	/* Refilled while it reads: only what came before the first rx is lost. */
	do {
		n = port->ops->rx(port, batch, CLV_PORT_BATCH);
		port->ops->rx_done(port);
		got += n;
	} while (n);
	for (i = 0; !clv_xsk_info(port, i, &info); i++) {
		assert_int_equal(info.mode, CLV_XSK_COPY);
		lost += info.rx_dropped + info.rx_ring_full;
	}
	assert_int_equal(i, 2 * QUEUES);
	assert_true(got >= RING);
	assert_true(lost > 0);
	assert_int_equal(got + lost, SENT);
	assert_all_frames_are_back(FRAMES);
}

/* ---- sending ---- */

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
				transmit(link, ends[e][0], ends[e][1], lens[l], (unsigned)l);
		assert_silence(link); /* nothing leaves before flush */
		port->ops->flush(port);
		for (e = 0; e < 2; e++)
			for (l = 0; l < sizeof(lens) / sizeof(lens[0]); l++)
				assert_arrives(link, ends[e][0], ends[e][1], lens[l], (unsigned)l);
	}
	assert_silence(LINK_A);
	assert_silence(LINK_B);
	assert_all_frames_are_back(FRAMES);
}

static void a_full_batch_leaves_with_one_flush(void **state)
{
	unsigned round, i;

	(void)state;
	NEED_WORLD();
	for (round = 0; round < 40; round++) {
		for (i = 0; i < RING; i++)
			transmit(LINK_B, LOCAL4, REMOTE4, 900 + i, round + i);
		port->ops->flush(port);
		assert_true(port->ops->may_sleep(port));
		for (i = 0; i < RING; i++)
			assert_arrives(LINK_B, LOCAL4, REMOTE4, 900 + i, round + i);
	}
	assert_silence(LINK_B);
	assert_all_frames_are_back(FRAMES);
}

static void a_full_ring_drops_and_counts(void **state)
{
	unsigned i;

	(void)state;
	NEED_WORLD();
	for (i = 0; i < RING + 9; i++)
		transmit(LINK_A, LOCAL4, REMOTE4, 100, i);
	assert_int_equal(counted(CLV_COUNT_DROP_TX_RING), 9);
	port->ops->flush(port);
	for (i = 0; i < RING; i++)
		assert_arrives(LINK_A, LOCAL4, REMOTE4, 100, i);
	assert_silence(LINK_A);
	assert_all_frames_are_back(FRAMES);
}

static void an_empty_pool_says_so(void **state)
{
	struct clv_tx *held = calloc(FRAMES, sizeof(*held));
	struct clv_rx rx;
	struct clv_flow flow = inbound(STRANGER4, LOCAL4);
	unsigned taken = 0, i;

	(void)state;
	if (why_not) {
		free(held);
		skip();
	}
	while (!port->ops->tx_take(port, &held[taken]))
		taken++;
	assert_int_equal(taken, FRAMES - 2 * QUEUES * RING);
	assert_int_equal(port->ops->tx_take(port, &held[taken]), -ENOBUFS);
	/* Receiving goes on with what the kernel has, and recovers when frames come back. */
	for (i = 0; i < RING / 2; i++) {
		inject(LINK_A, &flow, 200, i);
		assert_int_equal(receive(&rx, 1), 1);
		port->ops->rx_done(port);
	}
	while (taken)
		port->ops->tx_give(port, &held[--taken]);
	free(held);
	for (i = 0; i < 3 * RING; i++) {
		inject(LINK_A, &flow, 200, i);
		assert_int_equal(receive(&rx, 1), 1);
		port->ops->rx_done(port);
	}
	assert_all_frames_are_back(FRAMES);
}

static void what_cannot_go_is_counted_by_reason(void **state)
{
	(void)state;
	NEED_WORLD();
	transmit(LINK_A, LOCAL4, REMOTE4, 1473, 0);
	transmit(LINK_A, LOCAL6, REMOTE6, 1453, 0);
	assert_int_equal(counted(CLV_COUNT_DROP_MTU), 2);
	transmit(3, LOCAL4, REMOTE4, 10, 0);
	transmit(CLV_LINKS_MAX, LOCAL4, REMOTE4, 10, 0);
	transmit(LINK_A, LOCAL4, REMOTE6, 10, 0);
	assert_int_equal(counted(CLV_COUNT_DROP_NO_ROUTE), 3);
	port->ops->flush(port);
	assert_silence(LINK_A);
	assert_all_frames_are_back(FRAMES);
}

/* ---- both ---- */

static void relayed_traffic_is_complete_both_ways(void **state)
{
	enum { ROUNDS = 60, EACH = 40 };
	struct clv_flow from_a = inbound(REMOTE4, LOCAL4), from_b = inbound(REMOTE6, LOCAL6);
	struct clv_rx batch[CLV_PORT_BATCH];
	unsigned round, i, total, got;

	(void)state;
	NEED_WORLD();
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < EACH; i++) {
			inject(LINK_A, &from_a, 1000 + i, i);
			inject(LINK_B, &from_b, 20 + i, i);
		}
		for (total = 0; total < 2 * EACH; total += got) {
			got = receive(batch, CLV_PORT_BATCH);
			assert_true(got > 0);
			for (i = 0; i < got; i++) {
				bool is_a = batch[i].link == LINK_A;
				unsigned n = batch[i].payload_len - (is_a ? 1000 : 20);

				assert_received(&batch[i], is_a ? &from_a : &from_b, batch[i].link,
						batch[i].payload_len, n);
				/* Out on the other link, in the other family. */
				transmit(is_a ? LINK_B : LINK_A, is_a ? LOCAL6 : LOCAL4,
					 is_a ? REMOTE6 : REMOTE4, batch[i].payload_len, n);
			}
			port->ops->rx_done(port);
			port->ops->flush(port);
		}
		for (i = 0; i < EACH; i++) {
			assert_arrives(LINK_B, LOCAL6, REMOTE6, 1000 + i, i);
			assert_arrives(LINK_A, LOCAL4, REMOTE4, 20 + i, i);
		}
	}
	assert_int_equal(counted(CLV_COUNT_DROP_TX_RING), 0);
	assert_all_frames_are_back(FRAMES);
}

static void under_generic_xdp_it_is_complete_too(void **state)
{
	NEED_WORLD();
	stop(state);
	xdp_flags = XDP_FLAGS_SKB_MODE;
	start(state);
	relayed_traffic_is_complete_both_ways(state);
	a_full_ring_drops_and_counts(state);
	stop(state);
	xdp_flags = XDP_FLAGS_DRV_MODE;
	start(state);
}

static void busy_polled_it_is_complete_too(void **state)
{
	NEED_WORLD();
	stop(state);
	busy_poll_usec = 20;
	start(state);
	relayed_traffic_is_complete_both_ways(state);
	stop(state);
	busy_poll_usec = 0;
	start(state);
}

/* ---- making ---- */

static void what_cannot_be_added_says_why(void **state)
{
	const struct clv_xsk_params nowhere = { .ifname = "nowhere", .link = 5, .xskmap_fd = -1 };
	struct clv_xsk_port_params odd = { .ring_size = 100 };
	struct clv_port *none;

	(void)state;
	NEED_WORLD();
	assert_int_equal(clv_xsk_open(&odd, &none), CLV_ERANGE);
	assert_int_equal(add(CLV_LINKS_MAX, 0, CLV_XSK_COPY), CLV_ERANGE);
	assert_int_equal(add(LINK_A, 0, CLV_XSK_COPY), -EBUSY);
	assert_int_equal(clv_xsk_add(port, &nowhere), -ENODEV);
	port->ops->close(port);
	open_port(FRAMES);
	assert_int_equal(add(LINK_A, 0, CLV_XSK_ZEROCOPY), -EOPNOTSUPP); /* veth has none */
	assert_all_frames_are_back(FRAMES);
	assert_int_equal(add(LINK_A, 0, CLV_XSK_AUTO), 0); /* the next step of the ladder */
	assert_all_frames_are_back(FRAMES);
}

static void a_closed_port_frees_its_queues(void **state)
{
	struct clv_flow flow = inbound(STRANGER4, LOCAL4);
	struct clv_rx rx;
	int i;

	NEED_WORLD();
	for (i = 0; i < 5; i++) {
		inject(LINK_A, &flow, 100, 0);
		assert_int_equal(receive(&rx, 1), 1);
		port->ops->rx_done(port);
		transmit(LINK_B, LOCAL4, REMOTE4, 100, 0);
		port->ops->flush(port);
		stop(state);
		start(state);
	}
}

static void whether_a_queue_was_let_go_can_be_waited_for(void **state)
{
	NEED_WORLD();
	assert_int_equal(clv_xsk_wait_unbound(name_of("r", LINK_A), 0), -EBUSY);
	stop(state);
	assert_int_equal(clv_xsk_wait_unbound(name_of("r", LINK_A), 0), 0);
	assert_int_equal(clv_xsk_wait_unbound("nowhere", 0), -ENODEV);
	start(state); /* asking took nothing */
}

static void it_sleeps_only_when_nothing_waits(void **state)
{
	struct pollfd fd = { .events = POLLIN };
	struct clv_flow flow = inbound(STRANGER4, LOCAL4);
	const struct timespec moment = { .tv_nsec = 5000000 };
	struct clv_rx batch[CLV_PORT_BATCH];

	(void)state;
	NEED_WORLD();
	fd.fd = port->ops->poll_fd(port);
	assert_true(port->ops->may_sleep(port));
	assert_int_equal(poll(&fd, 1, 0), 0);
	inject(LINK_B, &flow, 100, 0);
	assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
	nanosleep(&moment, NULL);
	assert_false(port->ops->may_sleep(port));
	assert_int_equal(port->ops->rx(port, batch, CLV_PORT_BATCH), 1);
	port->ops->rx_done(port);
	assert_true(port->ops->may_sleep(port));
	assert_int_equal(poll(&fd, 1, 0), 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		CASE(every_byte_and_the_metadata_come_in),
		CASE(wrong_checksums_are_dropped_unless_the_tunnel_proves_itself),
		CASE(old_payload_never_passes_for_metadata),
		CASE(what_the_kernel_drops_shows_in_its_statistics),
		CASE(every_byte_goes_out),
		CASE(a_full_batch_leaves_with_one_flush),
		CASE(a_full_ring_drops_and_counts),
		CASE(an_empty_pool_says_so),
		CASE(what_cannot_go_is_counted_by_reason),
		CASE(relayed_traffic_is_complete_both_ways),
		CASE(under_generic_xdp_it_is_complete_too),
		CASE(busy_polled_it_is_complete_too),
		CASE(what_cannot_be_added_says_why),
		CASE(a_closed_port_frees_its_queues),
		CASE(whether_a_queue_was_let_go_can_be_waited_for),
		CASE(it_sleeps_only_when_nothing_waits),
	};

	return cmocka_run_group_tests(tests, make_world, end_world);
}
