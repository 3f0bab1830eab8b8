/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The BPF programs, loaded into the kernel, and their maps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/xdp/bpf.h"
#include "control/xdp/maps.h"
#include "control/xdp/steer.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/io/sock.h"

static const struct clv_bpf_sizes sizes = {
	.conn_ids = 4,
	.contexts = 4,
	.bindings = 4,
	.listeners = 64,
	.denied = 64,
	.clients = 64,
	.guard = 64,
};

static char run_dir[] = "/tmp/clv-test-maps-XXXXXX";
static char no_bpf[256]; /* why the tests are skipped */
static struct clv_bpf *bpf;
static struct clv_maps maps;

/* A separate network namespace, in which nothing else is attached or bound. */
static int setup(void **state)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	(void)state;
	if (!mkdtemp(run_dir))
		return -1;
	if (unshare(CLONE_NEWNET)) {
		snprintf(no_bpf, sizeof(no_bpf), "needs root: %s", strerror(errno));
		return 0;
	}
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	ioctl(fd, SIOCSIFFLAGS, &lo);
	close(fd);
	if (clv_bpf_open(run_dir, &sizes, &bpf, no_bpf, sizeof(no_bpf)) == 0) {
		no_bpf[0] = 0;
		clv_maps_init(&maps, clv_bpf_maps(bpf));
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	clv_maps_fini(&maps);
	clv_bpf_close(bpf);
	rmdir(run_dir);
	return 0;
}

static void need_bpf(void)
{
	if (!*no_bpf)
		return;
	print_message("%s\n", no_bpf);
	skip();
}

static struct clv_endpoint endpoint(const char *text)
{
	struct clv_endpoint ep;

	assert_int_equal(clv_endpoint_parse(text, &ep), 0);
	return ep;
}

static unsigned count_keys(int fd)
{
	_Alignas(8) char key[64], next[64];
	const void *at = NULL;
	unsigned n = 0;

	while (bpf_map_get_next_key(fd, at, next) == 0) {
		memcpy(key, next, sizeof(key));
		at = key;
		n++;
	}
	return n;
}

static void without_maps_writing_does_nothing(void **state)
{
	const struct clv_tuple tuple = { 0 };
	const struct clv_cid cid = { 0 };
	const struct clv_ref ref = { 0 };
	struct clv_maps none;
	uint32_t queue;

	(void)state;
	clv_maps_init(&none, NULL);
	assert_int_equal(clv_maps_conn_publish(&none, &cid, &ref), 0);
	clv_maps_conn_retire(&none, &cid);
	assert_int_equal(clv_maps_set_link(&none, 1, 0, 0), 0);
	assert_int_equal(clv_maps_set_guard(&none, &(struct clv_guard_limits){ 0 }), 0);
	assert_int_equal(clv_maps_queue_of_flow(&none, &tuple, &queue), -ENOENT);
	clv_maps_fini(&none);
}

static void every_counter_has_a_name(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < CLV_XDP_COUNTER_MAX; i++) {
		const char *name = clv_xdp_counter_name((enum clv_xdp_counter)i);

		if (i < CLV_XDP_COUNTERS_END)
			assert_int_equal(strncmp(name, "xdp_", 4), 0);
		else
			assert_int_equal(strncmp(name, "held_drop_", 10), 0);
		assert_true(*clv_xdp_counter_help((enum clv_xdp_counter)i));
	}
	assert_string_equal(clv_xdp_counter_name(CLV_XDP_COUNTER_MAX), "unknown");
}

static void a_drop_is_one_by_its_action_and_by_its_name(void **state)
{
	unsigned drops = 0;

	(void)state;
	for (unsigned i = 0; i < CLV_XDP_COUNTER_MAX; i++) {
		bool is_drop = clv_xdp_counter_is_drop((enum clv_xdp_counter)i);

		assert_int_equal(is_drop,
				 i >= CLV_XDP_COUNTERS_END ||
					 !strncmp(clv_xdp_counter_name((enum clv_xdp_counter)i),
						  "xdp_drop_", 9));
		drops += is_drop;
	}
	assert_true(drops > 0);
	assert_false(clv_xdp_counter_is_drop(CLV_XDP_SEEN));
	assert_false(clv_xdp_counter_is_drop(CLV_XDP_COUNTER_MAX));
}

static void connection_ids_come_and_go_and_have_a_ceiling(void **state)
{
	struct clv_ref ref = { .slot = 3, .generation = 9, .worker = 1 }, got;
	struct clv_cid cid = { { 1, 2, 3 } };
	unsigned i;
	int err = 0;

	(void)state;
	need_bpf();
	assert_int_equal(clv_maps_conn_publish(&maps, &cid, &ref), 0);
	assert_int_equal(bpf_map_lookup_elem(maps.fds.conns, &cid, &got), 0);
	assert_memory_equal(&got, &ref, sizeof(ref));
	clv_maps_conn_retire(&maps, &cid);
	clv_maps_conn_retire(&maps, &cid);
	assert_int_equal(bpf_map_lookup_elem(maps.fds.conns, &cid, &got), -ENOENT);

	/* The kernel may allow a few more than configured, but not many. */
	for (i = 0; i < 256 && !err; i++) {
		cid.id[0] = (uint8_t)i;
		err = clv_maps_conn_publish(&maps, &cid, &ref);
	}
	assert_int_equal(err, CLV_EFULL);
	for (i = 0; i < 256; i++) {
		cid.id[0] = (uint8_t)i;
		clv_maps_conn_retire(&maps, &cid);
	}
	assert_int_equal(count_keys(maps.fds.conns), 0);
}

static void contexts_and_bindings_come_and_go(void **state)
{
	const struct clv_context context = { .tunnel = { .slot = 5 }, .context_id = 2 };
	const struct clv_binding binding = { .flags = CLV_BINDING_UNCOMPRESSED };
	struct clv_tuple tuple = { endpoint("192.0.2.1:20000"), endpoint("[2001:db8::1]:53") };
	struct clv_context got;
	struct clv_binding bound;

	(void)state;
	need_bpf();
	assert_int_equal(clv_maps_context_publish(&maps, &tuple, &context), 0);
	assert_int_equal(clv_maps_binding_publish(&maps, &tuple.local, &binding), 0);
	assert_int_equal(bpf_map_lookup_elem(maps.fds.contexts, &tuple, &got), 0);
	assert_int_equal(got.context_id, 2);
	assert_int_equal(bpf_map_lookup_elem(maps.fds.bindings, &tuple.local, &bound), 0);
	assert_int_equal(bound.flags, CLV_BINDING_UNCOMPRESSED);
	clv_maps_context_retire(&maps, &tuple);
	clv_maps_binding_retire(&maps, &tuple.local);
	assert_int_equal(count_keys(maps.fds.contexts), 0);
	assert_int_equal(count_keys(maps.fds.bindings), 0);
}

/* Every address with every port, numbered by port. */
static int set_listeners(const uint8_t (*addrs)[16], size_t addrs_len, const uint16_t *ports,
			 size_t ports_len)
{
	struct clv_maps_listener list[128] = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < addrs_len; i++)
		for (size_t k = 0; k < ports_len; k++, n++) {
			memcpy(list[n].local.addr, addrs[i], 16);
			list[n].local.port = htons(ports[k]);
			list[n].id = (uint32_t)k;
		}
	return clv_maps_set_listeners(&maps, list, n);
}

static void listeners_follow_addresses(void **state)
{
	const uint16_t ports[] = { 443, 4443 };
	struct clv_endpoint a = endpoint("192.0.2.1:443"), b = endpoint("[2001:db8::1]:4443");
	struct clv_listener listener;
	uint8_t addrs[2][16];

	(void)state;
	need_bpf();
	memcpy(addrs[0], a.addr, 16);
	memcpy(addrs[1], b.addr, 16);
	assert_int_equal(set_listeners((const uint8_t(*)[16])addrs, 2, ports, 2), 0);
	assert_int_equal(count_keys(maps.fds.listeners), 4);
	assert_int_equal(bpf_map_lookup_elem(maps.fds.listeners, &b, &listener), 0);
	assert_int_equal(listener.id, 1);

	assert_int_equal(set_listeners((const uint8_t(*)[16])addrs, 1, ports, 2), 0);
	assert_int_equal(count_keys(maps.fds.listeners), 2);
	assert_int_equal(bpf_map_lookup_elem(maps.fds.listeners, &b, &listener), -ENOENT);
	assert_int_equal(bpf_map_lookup_elem(maps.fds.listeners, &a, &listener), 0);
	assert_int_equal(set_listeners(NULL, 0, ports, 2), 0);
	assert_int_equal(count_keys(maps.fds.listeners), 0);
}

static uint32_t verdict_of(const char *addr)
{
	struct clv_prefix prefix = { .prefix_bits = 128 };
	uint32_t verdict = CLV_VERDICT_ALLOW;

	assert_int_equal(clv_addr_parse(addr, prefix.addr), 0);
	bpf_map_lookup_elem(maps.fds.denied, &prefix, &verdict);
	return verdict;
}

static void the_policy_is_in_the_kernel_too(void **state)
{
	const char *const allow[] = { "10.1.0.0/16" }, *const deny[] = { "9.9.9.9" };
	struct clv_policy *policy, *other;
	char error[200];

	(void)state;
	need_bpf();
	assert_int_equal(clv_policy_new(allow, 1, deny, 1, &policy, error, sizeof(error)), 0);
	assert_int_equal(clv_policy_new(NULL, 0, NULL, 0, &other, error, sizeof(error)), 0);

	assert_int_equal(clv_maps_set_policy(&maps, policy), 0);
	assert_int_equal(verdict_of("10.2.0.1"), CLV_VERDICT_DENY);
	assert_int_equal(verdict_of("10.1.0.1"), CLV_VERDICT_ALLOW);
	assert_int_equal(verdict_of("9.9.9.9"), CLV_VERDICT_DENY);
	assert_int_equal(verdict_of("9.9.9.8"), CLV_VERDICT_ALLOW);
	assert_int_equal(verdict_of("::1"), CLV_VERDICT_DENY);

	assert_int_equal(clv_maps_set_policy(&maps, other), 0);
	assert_int_equal(verdict_of("10.1.0.1"), CLV_VERDICT_DENY);
	assert_int_equal(verdict_of("9.9.9.9"), CLV_VERDICT_ALLOW);
	clv_policy_free(policy);
	clv_policy_free(other);
}

enum {
	MANY = 96, /* more than fit */
};

static void a_policy_that_does_not_fit_changes_nothing(void **state)
{
	const char *const few[] = { "9.9.9.9", "5.0.7.7" };
	char text[MANY][20], error[200];
	struct clv_policy *small, *large;
	const char *many[MANY];
	unsigned i, before;

	(void)state;
	need_bpf();
	for (i = 0; i < MANY; i++) {
		snprintf(text[i], sizeof(text[i]), "5.0.%u.0/24", i);
		many[i] = text[i];
	}
	assert_int_equal(clv_policy_new(NULL, 0, few, 2, &small, error, sizeof(error)), 0);
	/* A rule that both have, with another verdict. */
	many[0] = "9.9.9.9";
	assert_int_equal(clv_policy_new(many, MANY, NULL, 0, &large, error, sizeof(error)), 0);
	assert_int_equal(clv_maps_set_policy(&maps, small), 0);
	before = count_keys(maps.fds.denied);
	assert_int_equal(clv_maps_set_policy(&maps, large), CLV_EFULL);
	assert_int_equal(count_keys(maps.fds.denied), before);
	assert_int_equal(verdict_of("9.9.9.9"), CLV_VERDICT_DENY);
	assert_int_equal(verdict_of("5.0.7.7"), CLV_VERDICT_DENY);
	assert_int_equal(verdict_of("5.0.7.8"), CLV_VERDICT_ALLOW);
	assert_int_equal(clv_maps_set_policy(&maps, small), 0);
	clv_policy_free(small);
	clv_policy_free(large);
}

static uint32_t client_verdict(const char *addr)
{
	struct clv_prefix prefix = { .prefix_bits = 128 };
	uint32_t verdict = UINT32_MAX;

	assert_int_equal(clv_addr_parse(addr, prefix.addr), 0);
	bpf_map_lookup_elem(maps.fds.clients, &prefix, &verdict);
	return verdict;
}

static void clients_are_those_of_the_list_or_all(void **state)
{
	struct clv_prefix list[65] = { { .prefix_bits = 96 + 24 }, { .prefix_bits = 32 } };

	(void)state;
	need_bpf();
	assert_int_equal(clv_addr_parse("203.0.113.0", list[0].addr), 0);
	assert_int_equal(clv_addr_parse("2001:db8::", list[1].addr), 0);
	assert_int_equal(clv_maps_set_clients(&maps, NULL, 0), 0);
	assert_int_equal(client_verdict("192.0.2.1"), CLV_VERDICT_ALLOW);
	assert_int_equal(clv_maps_set_clients(&maps, list, 2), 0);
	assert_int_equal(client_verdict("203.0.113.77"), CLV_VERDICT_ALLOW);
	assert_int_equal(client_verdict("2001:db8:5::1"), CLV_VERDICT_ALLOW);
	assert_int_equal(client_verdict("203.0.114.77"), CLV_VERDICT_DENY);
	assert_int_equal(client_verdict("2001:db9::1"), CLV_VERDICT_DENY);

	/* More than fit change nothing. */
	for (int i = 0; i < 65; i++)
		list[i] = (struct clv_prefix){ .prefix_bits = 128, .addr = { (uint8_t)i, 1 } };
	assert_int_equal(clv_maps_set_clients(&maps, list, 65), CLV_EFULL);
	assert_int_equal(client_verdict("203.0.113.77"), CLV_VERDICT_ALLOW);
	assert_int_equal(client_verdict("203.0.114.77"), CLV_VERDICT_DENY);
	/* Everybody may be listed, too. */
	list[0] = (struct clv_prefix){ 0 };
	assert_int_equal(clv_maps_set_clients(&maps, list, 1), 0);
	assert_int_equal(client_verdict("203.0.114.77"), CLV_VERDICT_ALLOW);
	assert_int_equal(count_keys(maps.fds.clients), 1);
}

static void listeners_that_do_not_fit_change_nothing(void **state)
{
	static const uint16_t ports[] = { 443, 8443 };
	uint8_t addrs[64][16] = { 0 };
	unsigned i;

	(void)state;
	need_bpf();
	for (i = 0; i < 64; i++)
		addrs[i][15] = (uint8_t)(i + 1);
	assert_int_equal(set_listeners(addrs, 3, ports, 2), 0);
	assert_int_equal(count_keys(maps.fds.listeners), 6);
	assert_int_equal(set_listeners(addrs + 2, 62, ports, 2), CLV_EFULL);
	assert_int_equal(count_keys(maps.fds.listeners), 6);
	assert_int_equal(set_listeners(addrs + 2, 1, ports, 2), 0);
	assert_int_equal(count_keys(maps.fds.listeners), 2);
	assert_int_equal(set_listeners(NULL, 0, ports, 2), 0);
}

static void the_queue_of_a_flow_is_read(void **state)
{
	struct clv_tuple flow = { endpoint("192.0.2.1:443"), endpoint("192.0.2.9:999") };
	uint32_t queue = 3;

	(void)state;
	need_bpf();
	assert_int_equal(clv_maps_queue_of_flow(&maps, &flow, &queue), -ENOENT);
	assert_int_equal(bpf_map_update_elem(maps.fds.rxq_of_flow, &flow, &queue, BPF_ANY), 0);
	queue = 0;
	assert_int_equal(clv_maps_queue_of_flow(&maps, &flow, &queue), 0);
	assert_int_equal(queue, 3);
}

static void an_interface_is_attached_once(void **state)
{
	struct clv_bpf_attachment first, second;
	int lo = (int)if_nametoindex("lo");
	char why[200] = "";

	(void)state;
	need_bpf();
	assert_int_not_equal(
		clv_bpf_attach(bpf, lo, CLV_XDP_NATIVE, 65536, &first, why, sizeof(why)), 0);
	assert_string_equal(why, "the driver has no native XDP");
	assert_int_equal(clv_bpf_attach(bpf, lo, CLV_XDP_GENERIC, 65536, &first, why, sizeof(why)),
			 0);
	assert_int_equal(clv_bpf_attach(bpf, lo, CLV_XDP_GENERIC, 65536, &second, why, sizeof(why)),
			 -EBUSY);
	assert_string_equal(why, "another XDP program is attached to it");
	clv_bpf_detach(first.link_fd);
	assert_int_equal(clv_bpf_attach(bpf, lo, CLV_XDP_GENERIC, 65536, &second, why, sizeof(why)),
			 0);
	clv_bpf_detach(second.link_fd);
}

static void the_counters_are_summed(void **state)
{
	struct clv_count counts[CLV_XDP_COUNTER_MAX];
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
	int fd, lo = (int)if_nametoindex("lo");
	struct clv_bpf_attachment link;
	char why[200];

	(void)state;
	need_bpf();
	assert_int_equal(clv_bpf_attach(bpf, lo, CLV_XDP_GENERIC, 65536, &link, why, sizeof(why)),
			 0);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
	close(fd);
	assert_int_equal(clv_maps_counters(clv_bpf_maps(bpf), counts), 0);
	assert_true(counts[CLV_XDP_SEEN].packets >= 1);
	assert_true(counts[CLV_XDP_SEEN].bytes >= 43);
	assert_true(counts[CLV_XDP_PASS_FOREIGN].packets >= 1);
	clv_bpf_detach(link.link_fd);
}

static void pinned_maps_open_again_and_check_the_version(void **state)
{
	const struct clv_bpf_maps *own;
	const uint32_t zero = 0, wrong = CLV_ABI_VERSION + 1, right = CLV_ABI_VERSION;
	char path[CLV_PINS_PATH_MAX];
	struct clv_bpf_maps opened;
	const struct clv_cid cid = { { 7 } };
	struct clv_ref ref = { .slot = 1 };

	(void)state;
	need_bpf();
	own = clv_bpf_maps(bpf);
	assert_int_equal(clv_pins_path(run_dir, path), 0);
	assert_string_equal(path, clv_bpf_pins(bpf)->path);
	assert_int_equal(clv_bpf_open_pinned(path, &opened), 0);
	assert_int_equal(clv_maps_conn_publish(&maps, &cid, &ref), 0);
	assert_int_equal(bpf_map_lookup_elem(opened.conns, &cid, &ref), 0);
	clv_maps_conn_retire(&maps, &cid);
	clv_bpf_close_pinned(&opened);

	assert_int_equal(bpf_map_update_elem(own->abi, &zero, &wrong, BPF_ANY), 0);
	assert_int_equal(clv_bpf_open_pinned(path, &opened), CLV_EABI);
	assert_int_equal(bpf_map_update_elem(own->abi, &zero, &right, BPF_ANY), 0);
	assert_int_equal(clv_bpf_open_pinned("/sys/fs/bpf/nothing-here", &opened), -ENOENT);
	assert_int_equal(clv_pins_path("/nonexistent/x", path), -ENOENT);
}

/* SIGKILL leaves pins, which the next daemon with the same run directory replaces. */
static void pins_of_the_dead_are_replaced(void **state)
{
	char error[300] = "";
	struct clv_bpf *next;

	(void)state;
	need_bpf();
	assert_int_equal(clv_bpf_open(run_dir, &sizes, &next, error, sizeof(error)), 0);
	assert_int_equal(access(clv_bpf_pins(next)->path, F_OK), 0);
	clv_bpf_close(next);
	assert_int_equal(access(clv_bpf_pins(bpf)->path, F_OK), -1);
}

/* What the kernel says a map holds, in bytes. */
static uint64_t held_by(int fd)
{
	unsigned long long bytes = 0;
	char path[64], line[128];
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "r");
	assert_non_null(info);
	while (fgets(line, sizeof(line), info))
		if (sscanf(line, "memlock: %llu", &bytes) == 1)
			break;
	fclose(info);
	return bytes;
}

static void the_estimate_is_what_the_kernel_holds(void **state)
{
	static const struct clv_bpf_sizes large = { .conn_ids = 65536,
						    .contexts = 65536,
						    .bindings = 65536,
						    .listeners = 4096,
						    .denied = 4096,
						    .clients = 4096,
						    .guard = 65536 };
	char other_dir[] = "/tmp/clv-test-maps-XXXXXX", error[300] = "";
	const struct clv_bpf_maps *fds;
	struct clv_bpf *other = NULL;
	uint64_t estimate = clv_bpf_sizes_bytes(&large), held;

	(void)state;
	need_bpf();
	assert_non_null(mkdtemp(other_dir));
	assert_int_equal(clv_bpf_open(other_dir, &large, &other, error, sizeof(error)), 0);
	fds = clv_bpf_maps(other);
	held = held_by(fds->conns) + held_by(fds->contexts) + held_by(fds->bindings) +
	       held_by(fds->listeners) + held_by(fds->guard) + held_by(fds->rxq_of_flow);
	clv_bpf_close(other);
	rmdir(other_dir);
	assert_in_range(held, estimate * 9 / 10, estimate * 11 / 10);
}

/* A map that is too large for the kernel: the error names it, and no pins are left. */
static void tables_beyond_the_kernels_means_are_named(void **state)
{
	static const struct {
		const char *name;
		struct clv_bpf_sizes sizes;
	} cases[] = {
		{ "conns", { UINT32_MAX, 4, 4, 64, 64, 64, 64 } },
		{ "contexts", { 4, UINT32_MAX, 4, 64, 64, 64, 64 } },
		{ "bindings", { 4, 4, UINT32_MAX, 64, 64, 64, 64 } },
	};
	char other_dir[] = "/tmp/clv-test-maps-XXXXXX", path[CLV_PINS_PATH_MAX];
	struct clv_bpf *none = NULL;
	size_t i;

	(void)state;
	need_bpf();
	assert_non_null(mkdtemp(other_dir));
	assert_int_equal(clv_pins_path(other_dir, path), 0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char error[300] = "";

		assert_true(clv_bpf_open(other_dir, &cases[i].sizes, &none, error, sizeof(error)) <
			    0);
		assert_null(none);
		assert_non_null(strstr(error, cases[i].name));
		assert_int_equal(access(path, F_OK), -1);
	}
	rmdir(other_dir);
}

/* ---- steering among kernel sockets ---- */

enum {
	SOCKS = 3,
};

static void open_group(int socks[SOCKS], struct clv_endpoint *local)
{
	struct clv_sock_bind_params params = { .local = endpoint("127.0.0.1:0"),
					       .reuse_port = true };
	int i;

	for (i = 0; i < SOCKS; i++) {
		assert_int_equal(clv_sock_bind_udp(&params, &socks[i], local), 0);
		params.local = *local;
	}
}

/* The index of the socket that gets a datagram, or -1. */
static int receiver_of(const int socks[SOCKS], const struct clv_endpoint *local, const void *data,
		       size_t len)
{
	struct sockaddr_storage to;
	socklen_t to_len = clv_endpoint_to_sockaddr(local, false, &to);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), i, got = -1;
	char buf[64];

	assert_int_equal(sendto(fd, data, len, 0, (struct sockaddr *)&to, to_len), (ssize_t)len);
	close(fd);
	for (i = 0; i < SOCKS; i++)
		if (recv(socks[i], buf, sizeof(buf), MSG_DONTWAIT) >= 0)
			got = i;
	return got;
}

static void short_headers_go_to_their_worker_and_all_else_to_control(void **state)
{
	const uint8_t packet[] = { 0x40, 1, 2, 3, 4, 5, 6, 7, 8, 0xff };
	const uint8_t initial[] = { 0xc0, 0, 0, 0, 1, 8, 1, 2, 3 };
	struct clv_ref ref = { .worker = 1 };
	struct clv_endpoint local;
	struct clv_steer *steer;
	struct clv_cid cid;
	char error[300];
	int i, socks[SOCKS];

	(void)state;
	need_bpf();
	open_group(socks, &local);
	assert_int_equal(clv_steer_open(maps.fds.conns, 4, &steer, error, sizeof(error)), 0);
	assert_int_equal(clv_steer_attach(steer, socks, SOCKS, error, sizeof(error)), 0);

	assert_int_equal(receiver_of(socks, &local, packet, sizeof(packet)), 0);
	memcpy(cid.id, packet + 1, sizeof(cid.id));
	assert_int_equal(clv_maps_conn_publish(&maps, &cid, &ref), 0);
	assert_int_equal(receiver_of(socks, &local, packet, sizeof(packet)), 2);
	ref.worker = 0;
	assert_int_equal(clv_maps_conn_publish(&maps, &cid, &ref), 0);
	assert_int_equal(receiver_of(socks, &local, packet, sizeof(packet)), 1);
	assert_int_equal(receiver_of(socks, &local, initial, sizeof(initial)), 0);
	assert_int_equal(receiver_of(socks, &local, packet, 5), 0);
	assert_int_equal(receiver_of(socks, &local, packet, 0), 0);

	clv_maps_conn_retire(&maps, &cid);
	clv_steer_close(steer);
	for (i = 0; i < SOCKS; i++)
		close(socks[i]);
}

static void without_privilege_long_headers_go_to_control(void **state)
{
	const uint8_t packet[] = { 0x40, 1, 2 }, initial[] = { 0xc0, 0, 0 };
	struct clv_endpoint local;
	int i, socks[SOCKS];

	(void)state;
	open_group(socks, &local);
	assert_int_equal(clv_steer_classic(socks[0]), 0);
	assert_int_equal(receiver_of(socks, &local, packet, sizeof(packet)), 1);
	assert_int_equal(receiver_of(socks, &local, initial, sizeof(initial)), 0);
	assert_int_equal(receiver_of(socks, &local, packet, 0), 0);
	for (i = 0; i < SOCKS; i++)
		close(socks[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_maps_writing_does_nothing),
		cmocka_unit_test(every_counter_has_a_name),
		cmocka_unit_test(a_drop_is_one_by_its_action_and_by_its_name),
		cmocka_unit_test(connection_ids_come_and_go_and_have_a_ceiling),
		cmocka_unit_test(contexts_and_bindings_come_and_go),
		cmocka_unit_test(listeners_follow_addresses),
		cmocka_unit_test(the_policy_is_in_the_kernel_too),
		cmocka_unit_test(a_policy_that_does_not_fit_changes_nothing),
		cmocka_unit_test(clients_are_those_of_the_list_or_all),
		cmocka_unit_test(listeners_that_do_not_fit_change_nothing),
		cmocka_unit_test(the_queue_of_a_flow_is_read),
		cmocka_unit_test(an_interface_is_attached_once),
		cmocka_unit_test(the_counters_are_summed),
		cmocka_unit_test(pinned_maps_open_again_and_check_the_version),
		cmocka_unit_test(short_headers_go_to_their_worker_and_all_else_to_control),
		cmocka_unit_test(without_privilege_long_headers_go_to_control),
		cmocka_unit_test(pins_of_the_dead_are_replaced),
		cmocka_unit_test(the_estimate_is_what_the_kernel_holds),
		cmocka_unit_test(tables_beyond_the_kernels_means_are_named),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
