/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bpf - the time the XDP program takes for one frame, by BPF_PROG_TEST_RUN with repeat: the program
 * alone, without driver, redirect and socket, with tables as full as a busy relay's; and that of the
 * sk_lookup program for one datagram that the kernel delivers, the host's own included.  Needs root.
 */
#include "bench/micro/micro.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert.skel.h"
#include "held.skel.h"
#include "datapath/base/stun.h"
#include "datapath/io/packet.h"

enum {
	REPEAT = 100000,
	TABLE_FILL = 50000,
	FRAME_MAX = 2048,
};

static const uint8_t cid[CLV_CID_LEN] = "culvert!";
static struct culvert_bpf *skel;

struct path {
	const char *name;
	const char *local, *remote;
	uint8_t first;	 /* byte of the UDP payload; 0: nothing of QUIC */
	uint32_t action; /* what the program must decide, else another path would be timed */
};

#define OPEN_PORT "192.0.2.1:20001"

static const struct path paths[] = {
	{ "connection IPv4", "192.0.2.1:443", "198.51.100.7:4000", 0x40, XDP_REDIRECT },
	{ "connection IPv6", "[2001:db8::1]:443", "[2001:db8:7::7]:4000", 0x40, XDP_REDIRECT },
	{ "context IPv4", "192.0.2.1:20000", "198.51.100.7:53", 0, XDP_REDIRECT },
	{ "context IPv6", "[2001:db8::1]:20000", "[2001:db8:7::7]:53", 0, XDP_REDIRECT },
	{ "unknown remote", "192.0.2.1:20000", "198.51.100.7:54", 0, XDP_PASS },
	{ "open port", OPEN_PORT, "198.51.100.7:54", 0, XDP_REDIRECT },
	{ "long header", "192.0.2.1:443", "198.51.100.7:4000", 0xc0, XDP_PASS },
	{ "somebody else's", "192.0.2.1:9999", "198.51.100.7:53", 0, XDP_PASS },
};

static struct clv_endpoint endpoint(const char *text)
{
	struct clv_endpoint ep = { 0 };

	if (clv_endpoint_parse(text, &ep))
		abort();
	return ep;
}

static void put(struct bpf_map *map, const void *key, size_t key_len, const void *value, size_t len)
{
	if (bpf_map__update_elem(map, key, key_len, value, len, BPF_ANY)) {
		perror(bpf_map__name(map));
		exit(1);
	}
}

static void put_context(const struct clv_endpoint *local, const struct clv_endpoint *remote)
{
	const struct clv_tuple tuple = { .local = *local, .remote = *remote };
	const struct clv_context context = { .context_id = 4 };

	put(skel->maps.contexts, &tuple, sizeof(tuple), &context, sizeof(context));
}

/* Where redirected frames would go: an AF_XDP socket that only fills its slot. */
static void put_link(void)
{
	const uint32_t ifindex = if_nametoindex("lo"), slot = 0; /* of test runs */
	const struct clv_link link = { .flags = CLV_LINK_ANSWERS };
	int fd = socket(AF_XDP, SOCK_RAW, 0);

	if (fd < 0) {
		perror("AF_XDP socket");
		exit(1);
	}
	put(skel->maps.links, &ifindex, sizeof(ifindex), &link, sizeof(link));
	put(skel->maps.xsks, &slot, sizeof(slot), &fd, sizeof(fd));
}

static void fill(void)
{
	const struct clv_listener listener = { .flags = CLV_LISTENER_STUN };
	const struct clv_binding binding = { 0 };
	const struct clv_binding open = { .flags = CLV_BINDING_UNCOMPRESSED };
	const struct clv_endpoint open_port = endpoint(OPEN_PORT);
	const struct clv_ref ref = { 0 };
	uint8_t other[CLV_CID_LEN] = "fill";

	for (uint32_t i = 0; i < TABLE_FILL; i++) {
		struct clv_endpoint local = endpoint("203.0.113.1:1"),
				    remote = endpoint("203.0.113.2:53");

		memcpy(&local.port, &i, sizeof(local.port));
		memcpy(other + 4, &i, sizeof(i));
		put_context(&local, &remote);
		put(skel->maps.conns, other, sizeof(other), &ref, sizeof(ref));
	}
	put(skel->maps.conns, cid, sizeof(cid), &ref, sizeof(ref));
	put(skel->maps.bindings, &open_port, sizeof(open_port), &open, sizeof(open));
	for (size_t i = 0; i < 2; i++) {
		struct clv_endpoint at = endpoint(paths[i].local),
				    port = endpoint(paths[2 + i].local),
				    remote = endpoint(paths[2 + i].remote);

		put(skel->maps.listeners, &at, sizeof(at), &listener, sizeof(listener));
		put(skel->maps.bindings, &port, sizeof(port), &binding, sizeof(binding));
		put_context(&port, &remote);
	}
}

static size_t build(const struct path *p, size_t len, uint8_t *buffer, uint8_t **frame)
{
	struct clv_flow flow = { .local = endpoint(p->remote), .remote = endpoint(p->local) };
	uint8_t *payload = buffer + CLV_PACKET_HEADERS_MAX;
	size_t headers;

	memset(payload, 0x5a, len);
	if (p->first) {
		payload[0] = p->first;
		memcpy(payload + 1, cid, sizeof(cid));
	}
	headers = clv_packet_encode(payload, len, &flow, 0);
	*frame = payload - headers;
	return headers + len;
}

static int compare_ns(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* The frame becomes its answer, so each run is one call, and the cost of timing it is in the result. */
static void measure_stun(const char *name, const char *local, const char *remote)
{
	enum { RUNS = 5001 };
	struct path p = { name, local, remote, 0, XDP_TX };
	uint8_t buffer[FRAME_MAX], *frame, id[CLV_STUN_TRANSACTION_LEN] = "transaction";
	size_t len = build(&p, CLV_STUN_HEADER_LEN, buffer, &frame);
	static uint32_t ns[RUNS];

	clv_stun_request(id, frame + len - CLV_STUN_HEADER_LEN);
	for (int i = 0; i < RUNS; i++) {
		uint8_t out[FRAME_MAX];
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = (uint32_t)len,
			    .data_out = out, .data_size_out = sizeof(out), .repeat = 1);

		if (bpf_prog_test_run_opts(bpf_program__fd(skel->progs.clv_ingress), &run) ||
		    run.retval != XDP_TX) {
			fprintf(stderr, "bpf: %s: action %u\n", name, run.retval);
			exit(1);
		}
		ns[i] = run.duration;
	}
	qsort(ns, RUNS, sizeof(ns[0]), compare_ns);
	printf("bpf/%-26s %8u ns  best %6u  of one call\n", name, ns[RUNS / 2], ns[0]);
}

/* What the kernel made of the program, functions that are called apart included. */
static void print_size(void)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);

	if (bpf_prog_get_info_by_fd(bpf_program__fd(skel->progs.clv_ingress), &info, &len))
		return;
	printf("bpf/instructions %u in the entry, %u in all; the verifier looked at %u\n",
	       (unsigned)bpf_program__insn_cnt(skel->progs.clv_ingress),
	       info.xlated_prog_len / (unsigned)sizeof(struct bpf_insn), info.verified_insns);
}

static void measure(const struct path *p, int argc, char **argv)
{
	uint8_t buffer[FRAME_MAX], *frame;
	size_t len = build(p, 1200, buffer, &frame);
	double ns[MICRO_ROUNDS];
	char name[64];

	snprintf(name, sizeof(name), "bpf/%s", p->name);
	if (argc > 1 && !strstr(name, argv[1]))
		return;
	for (int i = 0; i < MICRO_ROUNDS; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = (uint32_t)len,
			    .repeat = REPEAT);

		if (bpf_prog_test_run_opts(bpf_program__fd(skel->progs.clv_ingress), &run)) {
			perror("BPF_PROG_TEST_RUN");
			exit(1);
		}
		if (run.retval != p->action) {
			fprintf(stderr, "bpf: %s: action %u\n", p->name, run.retval);
			exit(1);
		}
		ns[i] = run.duration;
	}
	micro_print(name, ns);
}

static struct held_bpf *load_held(void)
{
	struct held_bpf *held = held_bpf__open();

	if (!held || bpf_map__reuse_fd(held->maps.contexts, bpf_map__fd(skel->maps.contexts)) ||
	    bpf_map__reuse_fd(held->maps.bindings, bpf_map__fd(skel->maps.bindings)) ||
	    bpf_map__reuse_fd(held->maps.denied, bpf_map__fd(skel->maps.denied)) ||
	    bpf_map__reuse_fd(held->maps.counters, bpf_map__fd(skel->maps.counters)) ||
	    held_bpf__load(held)) {
		perror("held: load");
		exit(1);
	}
	return held;
}

static void measure_lookup(const struct held_bpf *held, const struct path *p, int argc, char **argv)
{
	const struct clv_endpoint local = endpoint(p->local), remote = endpoint(p->remote);
	struct bpf_sk_lookup ctx = {
		.family = AF_INET,
		.protocol = IPPROTO_UDP,
		.remote_port = remote.port,
		.local_port = ntohs(local.port),
	};
	double ns[MICRO_ROUNDS];
	char name[64];

	snprintf(name, sizeof(name), "bpf/lookup, %s", p->name);
	if (argc > 1 && !strstr(name, argv[1]))
		return;
	memcpy(&ctx.local_ip4, local.addr + 12, sizeof(ctx.local_ip4));
	memcpy(&ctx.remote_ip4, remote.addr + 12, sizeof(ctx.remote_ip4));
	for (int i = 0; i < MICRO_ROUNDS; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &ctx, .ctx_size_in = sizeof(ctx),
			    .repeat = REPEAT);

		if (bpf_prog_test_run_opts(bpf_program__fd(held->progs.clv_find_worker), &run)) {
			perror("BPF_PROG_TEST_RUN");
			exit(1);
		}
		ns[i] = run.duration;
	}
	micro_print(name, ns);
}

int main(int argc, char **argv)
{
	struct held_bpf *held;

	if (geteuid()) {
		fprintf(stderr, "bpf: needs root, to load the program\n");
		return 77;
	}
	skel = culvert_bpf__open_and_load();
	if (!skel) {
		perror("bpf: load");
		return 1;
	}
	put_link();
	fill();
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		measure(&paths[i], argc, argv);
	held = load_held();
	measure_lookup(held, &paths[2], argc, argv); /* of a context */
	measure_lookup(held, &paths[4], argc, argv); /* of a stranger */
	measure_lookup(held, &paths[7], argc, argv); /* somebody else's */
	held_bpf__destroy(held);
	if (argc < 2 || strstr("bpf/STUN", argv[1])) {
		measure_stun("STUN IPv4", paths[0].local, paths[0].remote);
		measure_stun("STUN IPv6", paths[1].local, paths[1].remote);
	}
	print_size();
	culvert_bpf__destroy(skel);
	return 0;
}
