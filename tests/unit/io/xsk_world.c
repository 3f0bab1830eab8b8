/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/io/xsk_world.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "datapath/base/addr.h"
#include "datapath/io/packet.h"
#include "tests/unit/check.h"

static const uint8_t peer_mac[6] = { 2, 0, 0, 0, 0, 1 }, relay_mac[6] = { 2, 0, 0, 0, 0, 2 };

const struct clv_ref world_tunnel = { .slot = 5, .generation = 6, .worker = 7 };
const struct clv_ref world_conn = { .slot = 8, .generation = 9, .worker = 7 };
const struct clv_cid world_cid = { "\1\2\3\4\5\6\7\10" };

struct xsk_world world = { .xdp_flags = XDP_FLAGS_DRV_MODE };

/* ---- the world ---- */

const char *world_link_name(const char *end, uint16_t link)
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
	const struct clv_binding binding = { .tunnel = world_tunnel,
					     .flags = CLV_BINDING_UNCOMPRESSED };
	const struct clv_context context = { .tunnel = world_tunnel, .context_id = 2 };
	const struct clv_listener listener = { .id = 1 };
	struct clv_endpoint ep = endpoint(LOCAL4);
	struct clv_tuple tuple = { .local = ep, .remote = endpoint(REMOTE4) };
	uint16_t link;
	int err;

	err = put(world.program->maps.bindings, &ep, &binding);
	err |= put(world.program->maps.contexts, &tuple, &context);
	ep = endpoint(LOCAL6);
	err |= put(world.program->maps.bindings, &ep, &binding);
	ep = endpoint(LISTENER4);
	err |= put(world.program->maps.listeners, &ep, &listener);
	err |= put(world.program->maps.conns, &world_cid, &world_conn);
	for (link = LINK_A; link <= LINK_B; link++) {
		const struct clv_link value = { .xsk_base = link * CLV_QUEUES_MAX };
		uint32_t ifindex = if_nametoindex(world_link_name("r", link));

		err |= put(world.program->maps.links, &ifindex, &value);
	}
	return err;
}

int world_make(void **state)
{
	static const char format[] =
		"sysctl -qw net.ipv6.conf.default.disable_ipv6=1 && for s in a b; do "
		"ip link add p$s mtu %u numtxqueues 2 numrxqueues 2 type veth peer name r$s "
		"mtu %u numtxqueues 2 numrxqueues 2 && ip link set p$s up && ip link set r$s up "
		"|| exit 1; done";
	const unsigned mtu = world.mtu ? world.mtu : 1500;
	char script[sizeof(format) + 16];
	uint16_t link;

	(void)state;
	snprintf(script, sizeof(script), format, mtu, mtu);
	if (unshare(CLONE_NEWNET)) {
		world.why_not = "needs the right to make network namespaces";
		return 0;
	}
	if (system(script)) {
		world.why_not = "needs veth interfaces (ip link add failed)";
		return 0;
	}
	libbpf_set_print(NULL);
	world.program = culvert_bpf__open();
	if (world.program)
		world.program->rodata->clv_has_no_metadata = world.has_no_metadata;
	if (!world.program || culvert_bpf__load(world.program)) {
		world.why_not = "needs the right to load XDP programs";
		return 0;
	}
	for (link = LINK_A; link <= LINK_B; link++) {
		world.peers[link] = raw_socket(world_link_name("p", link));
		assert_true(world.peers[link] >= 0);
	}
	assert_int_equal(fill_maps(), 0);
	return 0;
}

int world_end(void **state)
{
	(void)state;
	culvert_bpf__destroy(world.program);
	close(world.peers[LINK_A]);
	close(world.peers[LINK_B]);
	return 0;
}

void world_attach(int prog_fd, uint32_t flags)
{
	uint16_t link;

	for (link = LINK_A; link <= LINK_B; link++) {
		int ifindex = (int)if_nametoindex(world_link_name("r", link));

		assert_int_equal(bpf_xdp_attach(ifindex, prog_fd, flags, NULL), 0);
	}
}

struct clv_xsk_params world_socket(uint16_t link, uint32_t queue, enum clv_xsk_mode mode)
{
	return (struct clv_xsk_params){
		.ifname = world_link_name("r", link),
		.queue = queue,
		.link = link,
		.mode = mode,
		.strips_tags = world.strips_tags,
		.xskmap_fd = bpf_map__fd(world.program->maps.xsks),
		.xskmap_key = link * CLV_QUEUES_MAX + queue,
		.busy_poll_usec = world.busy_poll_usec,
		.busy_poll_budget_packets = CLV_PORT_BATCH,
	};
}

int world_add_socket(uint16_t link, uint32_t queue, enum clv_xsk_mode mode)
{
	const struct clv_xsk_params params = world_socket(link, queue, mode);

	return clv_xsk_add(world.port, &params);
}

void world_open_port(void)
{
	struct clv_xsk_port_params params = { .counters = &world.counters,
					      .ring_size = RING,
					      .numa_node = -1,
					      .verify_checksum = true };

	memset(&world.counters, 0, sizeof(world.counters));
	assert_int_equal(clv_xsk_open(&params, &world.port), 0);
}

int world_start(void **state)
{
	uint16_t link;
	uint32_t queue;
	uint8_t byte;

	(void)state;
	if (world.why_not) {
		print_message("skipped: %s\n", world.why_not);
		return 0;
	}
	world_attach(bpf_program__fd(world.mtu ? world.program->progs.clv_ingress_frags
					       : world.program->progs.clv_ingress),
		     world.xdp_flags);
	world_open_port();
	for (link = LINK_A; link <= LINK_B; link++) {
		for (queue = 0; queue < QUEUES; queue++)
			assert_int_equal(world_add_socket(link, queue, CLV_XSK_COPY), 0);
		while (recv(world.peers[link], &byte, 1, 0) > 0)
			;
	}
	return 0;
}

int world_stop(void **state)
{
	(void)state;
	if (world.why_not)
		return 0;
	world.port->ops->close(world.port);
	world_attach(-1, world.xdp_flags);
	return 0;
}

/* ---- traffic ---- */

uint64_t world_counted(enum clv_counter which)
{
	return clv_count_read(&world.counters, which);
}

static uint8_t byte_of(size_t i, unsigned seed)
{
	return (uint8_t)(i * 31 + (i >> 8) + seed * 101);
}

struct clv_flow flow_inbound(const char *remote, const char *local)
{
	struct clv_flow flow = { .local = endpoint(remote), .remote = endpoint(local) };

	memcpy(flow.hop.l2.dst_mac, relay_mac, 6);
	memcpy(flow.hop.l2.src_mac, peer_mac, 6);
	return flow;
}

size_t frame_build(const struct clv_flow *flow, size_t len, unsigned seed, uint8_t *buf,
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

void peer_inject_bytes(uint16_t link, const uint8_t *frame, size_t len)
{
	assert_int_equal(send(world.peers[link], frame, len, 0), len);
}

void peer_inject(uint16_t link, const struct clv_flow *flow, size_t len, unsigned seed)
{
	uint8_t buf[CLV_PACKET_HEADERS_MAX + FRAME_MAX], *frame;
	size_t bytes = frame_build(flow, len, seed, buf, &frame);

	peer_inject_bytes(link, frame, bytes);
}

unsigned port_receive(struct clv_rx *batch, unsigned max)
{
	struct pollfd fd = { .fd = world.port->ops->poll_fd(world.port), .events = POLLIN };
	unsigned got = world.port->ops->rx(world.port, batch, max);

	while (!got) {
		world.port->ops->rx_done(world.port);
		if (world.port->ops->may_sleep(world.port) && poll(&fd, 1, WAIT_MS) != 1)
			return 0;
		got = world.port->ops->rx(world.port, batch, max);
	}
	return got;
}

void port_receive_nothing(void)
{
	const struct timespec moment = { .tv_nsec = 3000000 };
	struct clv_rx batch[CLV_PORT_BATCH];
	unsigned i;

	for (i = 0; i < 3; i++) {
		nanosleep(&moment, NULL);
		assert_int_equal(world.port->ops->rx(world.port, batch, CLV_PORT_BATCH), 0);
		world.port->ops->rx_done(world.port);
	}
}

void port_transmit(uint16_t link, const char *local, const char *remote, size_t len, unsigned seed)
{
	struct clv_flow flow = { .local = endpoint(local), .remote = endpoint(remote) };
	struct clv_tx tx = { .link = world.expected_link ? world.expected_link : link };
	size_t i;

	flow.hop = (struct clv_nexthop){ .via = CLV_VIA_XSK, .link = link, .mtu = 1500 };
	memcpy(flow.hop.l2.dst_mac, peer_mac, 6);
	memcpy(flow.hop.l2.src_mac, relay_mac, 6);
	assert_int_equal(world.port->ops->tx_take(world.port, &tx), 0);
	assert_true(len <= tx.room);
	for (i = 0; i < len; i++)
		tx.payload[i] = byte_of(i, seed);
	world.port->ops->tx_send(world.port, &tx, len, &flow, seed & 3);
}

void peer_expect(uint16_t link, const char *local, const char *remote, size_t len, unsigned seed)
{
	uint8_t buf[CLV_PACKET_HEADERS_MAX + FRAME_MAX], got[FRAME_MAX], *want;
	struct clv_flow flow = { .local = endpoint(local), .remote = endpoint(remote) };
	struct pollfd fd = { .fd = world.peers[link], .events = POLLIN };
	size_t bytes;

	memcpy(flow.hop.l2.dst_mac, peer_mac, 6);
	memcpy(flow.hop.l2.src_mac, relay_mac, 6);
	bytes = frame_build(&flow, len, seed, buf, &want);
	assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
	assert_int_equal(recv(world.peers[link], got, sizeof(got), 0), bytes);
	assert_memory_equal(got, want, bytes);
}

void peer_expect_silence(uint16_t link)
{
	struct pollfd fd = { .fd = world.peers[link], .events = POLLIN };

	assert_int_equal(poll(&fd, 1, 20), 0);
}

void assert_all_frames_are_back(uint32_t frames)
{
	const struct timespec moment = { .tv_nsec = 1000000 };
	struct clv_xsk_accounting accounting;
	int i;

	for (i = 0; i < WAIT_MS; i++) {
		clv_xsk_accounting(world.port, &accounting);
		assert_int_equal(accounting.pool + accounting.receiving + accounting.sending,
				 frames);
		if (!accounting.sending)
			return;
		nanosleep(&moment, NULL);
	}
	fail_msg("%u frames never completed", accounting.sending);
}

void assert_received(const struct clv_rx *rx, const struct clv_flow *flow, uint16_t link,
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
