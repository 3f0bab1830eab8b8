/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the kernel delivers to ports of tunnels, by real sockets on the loopback interface of a
 * namespace of our own.  Held by a socket that only holds them, at 127.0.0.1 and ::1:
 *
 *   40000   open to all: worker 0      40001   closed; a context of worker 1 for each client
 *
 * 127.0.0.2 and worker 7, which has no socket, show what is left over.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "bpf/abi.h"
#include "datapath/base/bucket.h"
#include "control/xdp/held.h"
#include "control/xdp/maps.h"
#include "datapath/base/addr.h"
#include "datapath/io/sock.h"
#include "tests/bpf/world.h"

enum {
	WORKERS = 2,
	WORKER_ABSENT = 7,
	PER_SEC = 20,
	BIG = 20000, /* such a payload comes in pages */
};

static struct {
	struct world world;
	struct clv_bpf_maps fds;
	struct clv_maps maps;
	struct clv_held *held;
	int workers[WORKERS];
	int holders[4];
	unsigned holders_len;
} lo;

static struct clv_endpoint at(const char *addr, uint16_t port)
{
	return frame_endpoint(addr, port);
}

static void hold(const char *addr, uint16_t port, uint16_t worker, uint32_t flags)
{
	const struct clv_binding binding = { { .slot = port, .worker = worker }, .flags = flags };
	const struct clv_endpoint local = at(addr, port);

	assert_int_equal(clv_sock_reserve(&local, clv_held_filter(lo.held),
					  &lo.holders[lo.holders_len++], NULL),
			 0);
	assert_int_equal(clv_maps_binding_publish(&lo.maps, &local, &binding), 0);
}

static int open_lo(void **state)
{
	const struct clv_rate rate = clv_rate_of(PER_SEC, PER_SEC);
	char why[256];

	(void)state;
	if (geteuid() != 0)
		return 0;
	world_isolate();
	world_open(&lo.world);
	memset(&lo.fds, -1, sizeof(lo.fds));
	lo.fds.contexts = bpf_map__fd(lo.world.skel->maps.contexts);
	lo.fds.bindings = bpf_map__fd(lo.world.skel->maps.bindings);
	lo.fds.denied = bpf_map__fd(lo.world.skel->maps.denied);
	lo.fds.counters = bpf_map__fd(lo.world.skel->maps.counters);
	clv_maps_init(&lo.maps, &lo.fds);
	assert_int_equal(clv_held_open(&lo.fds, &rate, &lo.held, why, sizeof(why)), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		struct clv_endpoint got;

		assert_int_equal(clv_sock_open_any(1 << 20, &lo.workers[i], &got), 0);
	}
	assert_int_equal(clv_held_attach(lo.held, lo.workers, WORKERS, why, sizeof(why)), 0);
	hold("127.0.0.1", PORT_OPEN, 0, CLV_BINDING_UNCOMPRESSED);
	hold("127.0.0.1", PORT_CLOSED, 0, 0);
	hold("::1", PORT_OPEN, 0, CLV_BINDING_UNCOMPRESSED);
	hold("::1", PORT_CLOSED, 0, 0);
	return 0;
}

static int close_lo(void **state)
{
	(void)state;
	if (!lo.held)
		return 0;
	clv_held_close(lo.held);
	for (unsigned i = 0; i < lo.holders_len; i++)
		close(lo.holders[i]);
	for (unsigned i = 0; i < WORKERS; i++)
		close(lo.workers[i]);
	clv_maps_fini(&lo.maps);
	world_close(&lo.world);
	return 0;
}

/* A client's socket, connected; *own: its endpoint. */
static int client_of(const char *from, const char *to, uint16_t port, struct clv_endpoint *own)
{
	const struct clv_sock_bind_params params = { .local = at(from, 0) };
	const struct clv_endpoint remote = at(to, port);
	struct sockaddr_storage sa;
	socklen_t len = clv_endpoint_to_sockaddr(&remote, strchr(to, ':'), &sa);
	int fd;

	assert_int_equal(clv_sock_bind_udp(&params, &fd, own), 0);
	assert_return_code(connect(fd, (const void *)&sa, len), errno);
	return fd;
}

static void publish(const char *to, uint16_t port, const struct clv_endpoint *remote, uint32_t slot,
		    uint16_t worker)
{
	const struct clv_tuple tuple = { .local = at(to, port), .remote = *remote };
	const struct clv_context context = { .tunnel = { .slot = slot, .worker = worker } };

	assert_int_equal(clv_maps_context_publish(&lo.maps, &tuple, &context), 0);
}

static uint64_t counted(enum clv_xdp_counter which)
{
	return world_count(&lo.world, which).packets;
}

/* Which worker gets a datagram of len bytes sent by fd; -1: none, and a counter says so. */
static int receiver_of(int fd, size_t len)
{
	static uint8_t bytes[BIG];
	struct pollfd fds[WORKERS];
	uint64_t before = 0, now = 0;

	for (unsigned c = CLV_XDP_COUNTERS_END; c < CLV_XDP_COUNTER_MAX; c++)
		before += counted(c);
	assert_int_equal(send(fd, bytes, len, 0), len); /* the loopback delivers at once */
	for (unsigned i = 0; i < WORKERS; i++)
		fds[i] = (struct pollfd){ .fd = lo.workers[i], .events = POLLIN };
	poll(fds, WORKERS, 0);
	for (unsigned c = CLV_XDP_COUNTERS_END; c < CLV_XDP_COUNTER_MAX; c++)
		now += counted(c);
	for (int i = 0; i < WORKERS; i++) {
		if (!fds[i].revents)
			continue;
		assert_int_equal(recv(fds[i].fd, bytes, sizeof(bytes), 0), len);
		assert_int_equal(now, before);
		return i;
	}
	assert_int_equal(now, before + 1);
	assert_int_equal(send(fd, bytes, 0, MSG_DONTWAIT), 0); /* no ICMP error is pending */
	return -1;
}

static void check_family(const char *host)
{
	struct clv_endpoint own;
	uint64_t strangers = counted(CLV_XDP_HELD_UNKNOWN_REMOTE);
	int fd = client_of(host, host, PORT_CLOSED, &own);

	assert_int_equal(receiver_of(fd, 100), -1);
	assert_true(counted(CLV_XDP_HELD_UNKNOWN_REMOTE) > strangers);
	publish(host, PORT_CLOSED, &own, 5, 1);
	assert_int_equal(receiver_of(fd, 0), 1);
	assert_int_equal(receiver_of(fd, 100), 1);
	assert_int_equal(receiver_of(fd, BIG), 1);
	close(fd);

	fd = client_of(host, host, PORT_OPEN, &own);
	assert_int_equal(receiver_of(fd, 100), 0);
	publish(host, PORT_OPEN, &own, 6, 1);
	assert_int_equal(receiver_of(fd, 100), 1);
	close(fd);
}

static void datagrams_reach_the_worker_of_their_tunnel_or_nobody(void **state)
{
	(void)state;
	need_root();
	check_family("127.0.0.1");
	check_family("::1");
}

static void the_worker_learns_both_endpoints(void **state)
{
	struct clv_sock_params params = { .sockets_max = 1 };
	struct clv_worker_counters counters = { 0 };
	struct clv_endpoint own, any;
	struct clv_rx batch[4];
	struct clv_port *port;
	uint32_t number;

	(void)state;
	need_root();
	params.counters = &counters;
	assert_int_equal(clv_sock_open(&params, &port), 0);
	any = at("127.0.0.1", 1);
	assert_int_equal(port->ops->add_socket(port, lo.workers[0], &any, &number), 0);
	for (unsigned v6 = 0; v6 < 2; v6++) {
		const char *host = v6 ? "::1" : "127.0.0.1";
		const struct clv_endpoint local = at(host, PORT_OPEN);
		int fd = client_of(host, host, PORT_OPEN, &own);

		assert_int_equal(send(fd, "hello", 5, 0), 5);
		assert_int_equal(port->ops->rx(port, batch, 4), 1);
		assert_memory_equal(&batch[0].local, &local, sizeof(local));
		assert_memory_equal(&batch[0].remote, &own, sizeof(own));
		assert_int_equal(batch[0].payload_len, 5);
		port->ops->rx_done(port);
		close(fd);
	}
	port->ops->remove_socket(port, number);
	port->ops->close(port);
}

static void whom_the_policy_denies_is_dropped_with_that_reason(void **state)
{
	const struct clv_prefix prefix = { .prefix_bits = 128,
					   .addr = { [10] = 0xff, [11] = 0xff, 127, 0, 0, 66 } };
	const uint32_t deny = CLV_VERDICT_DENY;
	struct clv_endpoint own;
	uint64_t before;

	(void)state;
	need_root();
	assert_int_equal(bpf_map_update_elem(lo.fds.denied, &prefix, &deny, BPF_ANY), 0);
	before = counted(CLV_XDP_HELD_DENIED);
	for (uint16_t port = PORT_OPEN; port <= PORT_CLOSED; port++) {
		int fd = client_of("127.0.0.66", "127.0.0.1", port, &own);

		if (port == PORT_CLOSED)
			publish("127.0.0.1", port, &own, 8, 0);
		assert_int_equal(receiver_of(fd, 10), -1);
		close(fd);
	}
	assert_true(counted(CLV_XDP_HELD_DENIED) >= before + 2);
}

static void a_tunnel_whose_worker_has_no_socket_is_said_to_be_unread(void **state)
{
	struct clv_endpoint own;
	uint64_t before;
	int fd;

	(void)state;
	need_root();
	before = counted(CLV_XDP_HELD_UNREAD);
	fd = client_of("127.0.0.1", "127.0.0.1", PORT_CLOSED, &own);
	publish("127.0.0.1", PORT_CLOSED, &own, 9, WORKER_ABSENT);
	assert_int_equal(receiver_of(fd, 10), -1);
	assert_true(counted(CLV_XDP_HELD_UNREAD) > before);
	close(fd);
}

static void one_tunnel_has_a_ceiling_and_another_is_served(void **state)
{
	struct clv_endpoint own, other;
	uint64_t before;
	int hog, bystander, got = 0;

	(void)state;
	need_root();
	before = counted(CLV_XDP_HELD_RATE);
	hog = client_of("127.0.0.1", "127.0.0.1", PORT_CLOSED, &own);
	bystander = client_of("::1", "::1", PORT_CLOSED, &other);
	publish("127.0.0.1", PORT_CLOSED, &own, 10, 0);
	publish("::1", PORT_CLOSED, &other, 11, 0);
	for (int i = 0; i < 10 * PER_SEC; i++)
		if (receiver_of(hog, 10) == 0)
			got++;
	assert_in_range(got, PER_SEC, 10 * PER_SEC - 1);
	assert_true(counted(CLV_XDP_HELD_RATE) > before);
	assert_int_equal(receiver_of(bystander, 10), 0);
	close(hog);
	close(bystander);
}

static uint32_t dropped_by(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(info);

	assert_return_code(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len), errno);
	return info[SK_MEMINFO_DROPS];
}

/* So that what is left of the socket's drops, without the filter's, is what it had no room for. */
static void the_socket_counts_as_many_drops_as_its_filter(void **state)
{
	enum { JOINED = 10, LEN = 100 };
	static const uint8_t bytes[JOINED * LEN];
	struct clv_sock_params params = { .sockets_max = 1 };
	struct clv_worker_counters counters = { 0 };
	const struct clv_endpoint any = at("127.0.0.1", 1);
	const int segment = LEN;
	struct clv_endpoint own;
	struct clv_port *port;
	uint32_t number, before;
	uint8_t got[LEN];
	uint64_t limited;
	int fd;

	(void)state;
	need_root();
	params.counters = &counters;
	assert_int_equal(clv_sock_open(&params, &port), 0);
	assert_int_equal(port->ops->add_socket(port, lo.workers[0], &any, &number), 0);
	fd = client_of("127.0.0.1", "127.0.0.1", PORT_CLOSED, &own);
	publish("127.0.0.1", PORT_CLOSED, &own, 13, 0);
	if (setsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment)))
		skip();
	limited = counted(CLV_XDP_HELD_RATE);
	before = dropped_by(lo.workers[0]);
	for (int i = 0; i < PER_SEC; i++)
		assert_int_equal(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	limited = counted(CLV_XDP_HELD_RATE) - limited;
	assert_true(limited > PER_SEC);
	assert_int_equal(dropped_by(lo.workers[0]) - before, limited);
	while (recv(lo.workers[0], got, sizeof(got), MSG_DONTWAIT) > 0)
		;
	port->ops->remove_socket(port, number);
	port->ops->close(port);
	close(fd);
}

/* For a socket with UDP_GRO the kernel joins datagrams to one packet. */
static void datagrams_in_one_packet_take_a_token_each(void **state)
{
	enum { JOINED = 10, LEN = 100 };
	static const uint8_t bytes[JOINED * LEN];
	const int segment = LEN, on = 1, off = 0;
	struct clv_endpoint own;
	uint64_t before, dropped;
	uint8_t got[sizeof(bytes)];
	int fd, read = 0;

	(void)state;
	need_root();
	fd = client_of("127.0.0.1", "127.0.0.1", PORT_CLOSED, &own);
	publish("127.0.0.1", PORT_CLOSED, &own, 12, 0);
	if (setsockopt(lo.workers[0], SOL_UDP, UDP_GRO, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment)))
		skip();
	before = counted(CLV_XDP_HELD_RATE);
	for (int i = 0; i < PER_SEC; i++)
		assert_int_equal(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	while (recv(lo.workers[0], got, sizeof(got), MSG_DONTWAIT) == sizeof(got))
		read += JOINED;
	dropped = counted(CLV_XDP_HELD_RATE) - before;
	assert_true(read >= JOINED);
	assert_true(dropped > 0);
	assert_int_equal(read + dropped, PER_SEC * JOINED);
	setsockopt(lo.workers[0], SOL_UDP, UDP_GRO, &off, sizeof(off));
	close(fd);
}

static void what_is_to_no_port_of_a_tunnel_is_left_alone(void **state)
{
	struct clv_endpoint own, got;
	const struct clv_sock_bind_params params = { .local = at("127.0.0.1", 0) };
	int server, fd;
	char bytes[8];

	(void)state;
	need_root();
	assert_int_equal(clv_sock_bind_udp(&params, &server, &got), 0);
	fd = client_of("127.0.0.1", "127.0.0.1", ntohs(got.port), &own);
	assert_int_equal(send(fd, "mine", 4, 0), 4);
	assert_int_equal(recv(server, bytes, sizeof(bytes), 0), 4);
	close(fd);
	close(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(datagrams_reach_the_worker_of_their_tunnel_or_nobody),
		cmocka_unit_test(the_worker_learns_both_endpoints),
		cmocka_unit_test(whom_the_policy_denies_is_dropped_with_that_reason),
		cmocka_unit_test(a_tunnel_whose_worker_has_no_socket_is_said_to_be_unread),
		cmocka_unit_test(one_tunnel_has_a_ceiling_and_another_is_served),
		cmocka_unit_test(the_socket_counts_as_many_drops_as_its_filter),
		cmocka_unit_test(datagrams_in_one_packet_take_a_token_each),
		cmocka_unit_test(what_is_to_no_port_of_a_tunnel_is_left_alone),
	};

	return cmocka_run_group_tests(tests, open_lo, close_lo);
}
