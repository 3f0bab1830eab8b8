/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/bpf/world.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

const uint8_t known_cid[CLV_CID_LEN] = { 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7 };
const uint8_t unknown_cid[CLV_CID_LEN] = { 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc8 };
const struct clv_ref known_conn = { .slot = 17, .generation = 0x01020304, .worker = 3 };
const struct clv_ref open_tunnel = { .slot = 21, .generation = 5, .worker = 1 };
const struct clv_ref closed_tunnel = { .slot = 22, .generation = 6, .worker = 2 };

void need_root(void)
{
	if (geteuid() == 0)
		return;
	print_message("SKIP needs root to load BPF programs\n");
	skip();
}

static void put(const struct bpf_map *map, const void *key, const void *value)
{
	assert_int_equal(bpf_map__update_elem(map, key, bpf_map__key_size(map), value,
					      bpf_map__value_size(map), BPF_ANY),
			 0);
}

static void put_prefix(const struct bpf_map *map, const char *text, unsigned bits,
		       enum clv_verdict verdict)
{
	struct clv_prefix prefix = { .prefix_bits = strchr(text, ':') ? bits : 96 + bits };

	frame_address(text, prefix.addr);
	put(map, &prefix, &verdict);
}

void world_set_client(const struct world *w, const char *text, unsigned bits,
		      enum clv_verdict verdict)
{
	put_prefix(w->skel->maps.clients, text, bits, verdict);
}

/* The same in both families. */
static void put_relay(const struct world *w, const char *relay, const char *remote)
{
	const struct clv_endpoint quic = frame_endpoint(relay, PORT_QUIC);
	const struct clv_endpoint open = frame_endpoint(relay, PORT_OPEN);
	const struct clv_endpoint closed = frame_endpoint(relay, PORT_CLOSED);
	const struct clv_listener listener = { .id = 1, .flags = CLV_LISTENER_STUN };
	const struct clv_binding open_binding = { open_tunnel, CLV_BINDING_UNCOMPRESSED };
	const struct clv_binding closed_binding = { closed_tunnel, 0 };
	const struct clv_context context = { closed_tunnel, .context_id = 2 };
	const struct clv_context open_context = { open_tunnel, .context_id = 2 };
	const struct clv_tuple at_open = {
		.local = frame_endpoint(relay, PORT_OPEN),
		.remote = frame_endpoint(remote, 7002),
	};

	put(w->skel->maps.listeners, &quic, &listener);
	put(w->skel->maps.bindings, &open, &open_binding);
	put(w->skel->maps.bindings, &closed, &closed_binding);
	put(w->skel->maps.contexts, &at_open, &open_context);
	for (uint16_t port = PORT_CLOSED; port <= PORT_UNBOUND; port++) {
		struct clv_tuple tuple = {
			.local = frame_endpoint(relay, port),
			.remote = frame_endpoint(remote, 7000),
		};

		put(w->skel->maps.contexts, &tuple, &context);
	}
}

static void put_link(struct world *w)
{
	const uint32_t ifindex = if_nametoindex("lo"), slot = WORLD_XSK_BASE;
	const struct clv_link link = { .xsk_base = WORLD_XSK_BASE, .flags = CLV_LINK_ANSWERS };

	w->xsk_fd = socket(AF_XDP, SOCK_RAW, 0);
	assert_return_code(w->xsk_fd, errno);
	put(w->skel->maps.links, &ifindex, &link);
	put(w->skel->maps.xsks, &slot, &w->xsk_fd);
}

void world_open(struct world *w)
{
	const struct clv_tuple denied_context = {
		.local = frame_endpoint("198.51.100.1", PORT_CLOSED),
		.remote = frame_endpoint("10.2.3.4", 7000),
	};
	const struct clv_context context = { closed_tunnel, .context_id = 1 };
	const uint32_t slot = 0, version = CLV_ABI_VERSION;

	w->skel = culvert_bpf__open();
	assert_non_null(w->skel);
	w->skel->rodata->clv_has_no_metadata = w->has_no_metadata;
	assert_int_equal(culvert_bpf__load(w->skel), 0);

	put(w->skel->maps.abi, &slot, &version);
	put(w->skel->maps.conns, known_cid, &known_conn);
	put_relay(w, "198.51.100.1", "203.0.113.7");
	put_relay(w, RELAY6, REMOTE6);
	put(w->skel->maps.contexts, &denied_context, &context);
	put_prefix(w->skel->maps.denied, "10.0.0.0", 8, CLV_VERDICT_DENY);
	put_prefix(w->skel->maps.denied, "10.1.0.0", 16, CLV_VERDICT_ALLOW);
	put_prefix(w->skel->maps.denied, "2001:db8:dead::", 48, CLV_VERDICT_DENY);
	put_prefix(w->skel->maps.denied, "2001:db8:dead:1::", 64, CLV_VERDICT_ALLOW);
	put_link(w);
}

void world_close(struct world *w)
{
	culvert_bpf__destroy(w->skel);
	close(w->xsk_fd);
	*w = (struct world){ .xsk_fd = -1 };
}

struct world group_world;

int group_open(void **state)
{
	(void)state;
	if (geteuid() == 0)
		world_open(&group_world);
	return 0;
}

int group_close(void **state)
{
	(void)state;
	if (group_world.skel)
		world_close(&group_world);
	return 0;
}

void world_isolate(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	assert_return_code(unshare(CLONE_NEWNET), errno);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_return_code(fd, errno);
	assert_return_code(ioctl(fd, SIOCSIFFLAGS, &lo), errno);
	close(fd);
}

struct clv_count world_count(const struct world *w, enum clv_xdp_counter counter)
{
	const int cpus = libbpf_num_possible_cpus();
	struct clv_count each[cpus > 0 ? cpus : 1], sum = { 0 };
	const uint32_t slot = counter;

	assert_return_code(cpus, errno);
	assert_int_equal(bpf_map__lookup_elem(w->skel->maps.counters, &slot, sizeof(slot), each,
					      sizeof(each), 0),
			 0);
	for (int i = 0; i < cpus; i++) {
		sum.packets += each[i].packets;
		sum.bytes += each[i].bytes;
	}
	return sum;
}

static const uint32_t action_of[] = {
#define X(symbol, action, name, help) [CLV_XDP_##symbol] = XDP_##action,
	CLV_XDP_VERDICTS(X)
#undef X
};

static enum clv_xdp_counter find_counted(const struct world *w, const struct clv_count *before,
					 size_t frame_len)
{
	enum clv_xdp_counter counted = CLV_XDP_SEEN;
	unsigned ways_out = 0;

	for (unsigned c = 0; c < CLV_XDP_COUNTER_MAX; c++) {
		struct clv_count now = world_count(w, c);

		if (now.packets == before[c].packets) {
			assert_int_equal(now.bytes, before[c].bytes);
			continue;
		}
		assert_int_equal(now.packets - before[c].packets, 1);
		assert_int_equal(now.bytes - before[c].bytes, frame_len);
		if (c != CLV_XDP_SEEN) {
			counted = c;
			ways_out++;
		}
	}
	assert_int_equal(world_count(w, CLV_XDP_SEEN).packets - before[CLV_XDP_SEEN].packets, 1);
	assert_int_equal(ways_out, 1);
	return counted;
}

void world_run(const struct world *w, const uint8_t *frame, size_t len, unsigned meta_len,
	       struct outcome *out)
{
	uint8_t in[sizeof(out->meta) + FRAME_MAX] = { 0 };
	uint8_t back[sizeof(out->meta) + sizeof(out->frame)];
	struct xdp_md ctx_in = { .data = meta_len, .data_end = (uint32_t)(meta_len + len) };
	struct xdp_md ctx_out;
	struct clv_count before[CLV_XDP_COUNTER_MAX];
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = in, .data_out = back, .ctx_in = &ctx_in,
		    .ctx_out = &ctx_out, .data_size_in = (uint32_t)(meta_len + len),
		    .data_size_out = sizeof(back), .ctx_size_in = sizeof(ctx_in),
		    .ctx_size_out = sizeof(ctx_out), .repeat = 1);

	memset(in, 0xdd, meta_len);
	memcpy(in + meta_len, frame, len);
	for (unsigned c = 0; c < CLV_XDP_COUNTER_MAX; c++)
		before[c] = world_count(w, c);

	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(w->skel->progs.clv_ingress), &run),
			 0);

	out->action = run.retval;
	out->counted = find_counted(w, before, len);
	assert_int_equal(out->action, action_of[out->counted]);
	out->meta_len = ctx_out.data;
	out->frame_len = run.data_size_out - ctx_out.data;
	assert_true(out->meta_len <= sizeof(out->meta) && out->frame_len <= sizeof(out->frame));
	memcpy(out->meta, back, out->meta_len);
	memcpy(out->frame, back + out->meta_len, out->frame_len);
}
