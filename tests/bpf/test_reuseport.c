/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Three sockets share [::]:4433 on the loopback interface of a namespace of our own:
 *
 *   socks[0] control   socks[1] worker 0   socks[2] worker 1   socks[3] worker 2, not there
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "bpf/abi.h"
#include "culvert.skel.h"
#include "steer_reuseport.skel.h"
#include "tests/bpf/world.h"

enum {
	PORT = 4433,
	CONTROL = 0,
	WORKER_0 = 1,
	WORKER_1 = 2,
	N_SOCKETS = 3,
	BIG = 20000, /* such a payload lies in pages, not in the packet's linear part */
};

static struct {
	struct culvert_bpf *xdp;
	struct steer_reuseport_bpf *steer;
	int sockets[N_SOCKETS];
	int client4, client6;
} lo = { .sockets = { -1, -1, -1 }, .client4 = -1, .client6 = -1 };

static const uint8_t cid_of_0[CLV_CID_LEN] = "worker 0", cid_of_1[CLV_CID_LEN] = "worker 1",
		     cid_of_2[CLV_CID_LEN] = "worker 2", cid_of_beyond[CLV_CID_LEN] = "worker X",
		     cid_of_nobody[CLV_CID_LEN] = "worker ?";

static void publish_conn(const uint8_t cid[static CLV_CID_LEN], uint16_t worker)
{
	const struct clv_ref ref = { .slot = 1, .generation = 1, .worker = worker };

	assert_int_equal(bpf_map__update_elem(lo.xdp->maps.conns, cid, CLV_CID_LEN, &ref,
					      sizeof(ref), BPF_ANY),
			 0);
}

/* As the loader does it: the map of the XDP object serves both programs. */
static void load_programs(void)
{
	lo.xdp = culvert_bpf__open_and_load();
	assert_non_null(lo.xdp);
	lo.steer = steer_reuseport_bpf__open();
	assert_non_null(lo.steer);
	assert_int_equal(bpf_map__reuse_fd(lo.steer->maps.conns, bpf_map__fd(lo.xdp->maps.conns)),
			 0);
	assert_int_equal(steer_reuseport_bpf__load(lo.steer), 0);
}

static int bind_shared(void)
{
	const struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };
	const int one = 1, zero = 0;
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	assert_return_code(fd, errno);
	assert_return_code(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)), errno);
	assert_return_code(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), errno);
	assert_return_code(bind(fd, (const void *)&any, sizeof(any)), errno);
	return fd;
}

static int open_client4(void)
{
	const struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(PORT),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_return_code(connect(fd, (const void *)&to, sizeof(to)), errno);
	return fd;
}

static int open_client6(void)
{
	const struct sockaddr_in6 to = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(PORT),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	assert_return_code(connect(fd, (const void *)&to, sizeof(to)), errno);
	return fd;
}

static int open_lo(void **state)
{
	int program_fd;

	(void)state;
	if (geteuid() != 0)
		return 0;
	world_isolate();
	load_programs();
	for (uint32_t i = 0; i < N_SOCKETS; i++) {
		uint64_t fd;

		lo.sockets[i] = bind_shared();
		fd = (uint64_t)lo.sockets[i];
		assert_int_equal(bpf_map__update_elem(lo.steer->maps.socks, &i, sizeof(i), &fd,
						      sizeof(fd), BPF_ANY),
				 0);
	}
	program_fd = bpf_program__fd(lo.steer->progs.clv_select_socket);
	assert_return_code(setsockopt(lo.sockets[CONTROL], SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF,
				      &program_fd, sizeof(program_fd)),
			   errno);
	publish_conn(cid_of_0, 0);
	publish_conn(cid_of_1, 1);
	publish_conn(cid_of_2, 2);
	publish_conn(cid_of_beyond, CLV_WORKERS_MAX + 7);
	lo.client4 = open_client4();
	lo.client6 = open_client6();
	return 0;
}

static int close_lo(void **state)
{
	(void)state;
	for (unsigned i = 0; i < N_SOCKETS; i++)
		close(lo.sockets[i]);
	close(lo.client4);
	close(lo.client6);
	steer_reuseport_bpf__destroy(lo.steer);
	culvert_bpf__destroy(lo.xdp);
	return 0;
}

/* Which socket gets payload[0..len) sent by client; -1 when none does, or the wrong bytes. */
static int receiver_of(int client, const uint8_t *payload, size_t len)
{
	struct pollfd fds[N_SOCKETS];
	static uint8_t got[BIG + 1];

	for (unsigned i = 0; i < N_SOCKETS; i++)
		fds[i] = (struct pollfd){ .fd = lo.sockets[i], .events = POLLIN };
	assert_int_equal(send(client, payload, len, 0), len);
	assert_int_equal(poll(fds, N_SOCKETS, 2000), 1);
	for (int i = 0; i < N_SOCKETS; i++) {
		if (!fds[i].revents)
			continue;
		assert_int_equal(recv(fds[i].fd, got, sizeof(got), 0), len);
		return memcmp(got, payload, len) ? -1 : i;
	}
	return -1;
}

static const struct select_case {
	const char *name;
	uint8_t first;
	const uint8_t *cid;
	size_t len;
	int receiver;
} cases[] = {
	{ "connection of worker 0", 0x40, cid_of_0, 60, WORKER_0 },
	{ "connection of worker 1", 0x40, cid_of_1, 60, WORKER_1 },
	{ "Fixed Bit greased", 0x00, cid_of_1, 60, WORKER_1 },
	{ "every bit set that the peer may set", 0x7f, cid_of_1, 60, WORKER_1 },
	{ "nine bytes, the least", 0x40, cid_of_1, 9, WORKER_1 },
	{ "eight bytes", 0x40, cid_of_1, 8, CONTROL },
	{ "one byte", 0x40, cid_of_1, 1, CONTROL },
	{ "an empty datagram", 0x40, cid_of_1, 0, CONTROL },
	{ "nobody's connection", 0x40, cid_of_nobody, 60, CONTROL },
	{ "long header", 0xc0, cid_of_1, 1200, CONTROL },
	{ "worker without a socket", 0x40, cid_of_2, 60, CONTROL },
	{ "worker beyond the table", 0x40, cid_of_beyond, 60, CONTROL },
	{ "payload in pages", 0x40, cid_of_1, BIG, WORKER_1 },
	{ "long header in pages", 0xc0, cid_of_1, BIG, CONTROL },
};

static void check_cases(int client)
{
	static uint8_t payload[BIG];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct select_case *c = &cases[i];
		int receiver;

		payload[0] = c->first;
		memcpy(payload + 1, c->cid, CLV_CID_LEN);
		receiver = receiver_of(client, payload, c->len);
		if (receiver != c->receiver)
			fail_msg("%s: socket %d, not %d", c->name, receiver, c->receiver);
	}
}

static void each_datagram_reaches_its_socket_over_ipv4(void **state)
{
	(void)state;
	need_root();
	check_cases(lo.client4);
}

static void each_datagram_reaches_its_socket_over_ipv6(void **state)
{
	(void)state;
	need_root();
	check_cases(lo.client6);
}

static void a_retired_connection_goes_to_control(void **state)
{
	uint8_t payload[60] = { 0x40 };

	(void)state;
	need_root();
	memcpy(payload + 1, cid_of_0, CLV_CID_LEN);
	assert_int_equal(receiver_of(lo.client6, payload, sizeof(payload)), WORKER_0);
	bpf_map__delete_elem(lo.xdp->maps.conns, cid_of_0, CLV_CID_LEN, 0);
	assert_int_equal(receiver_of(lo.client6, payload, sizeof(payload)), CONTROL);
	publish_conn(cid_of_0, 0);
}

/* From many ports, as the kernel's own choice would differ between them. */
static void a_worker_without_a_socket_leaves_every_flow_to_control(void **state)
{
	uint8_t payload[60] = { 0x40 };

	(void)state;
	need_root();
	memcpy(payload + 1, cid_of_2, CLV_CID_LEN);
	for (unsigned flow = 0; flow < 32; flow++) {
		int client = flow % 2 ? open_client4() : open_client6();

		assert_int_equal(receiver_of(client, payload, sizeof(payload)), CONTROL);
		close(client);
	}
}

/* A closed socket leaves the map by itself. */
static void a_worker_that_is_gone_leaves_its_datagrams_to_control(void **state)
{
	uint8_t payload[60] = { 0x40 };

	(void)state;
	need_root();
	memcpy(payload + 1, cid_of_1, CLV_CID_LEN);
	close(lo.sockets[WORKER_1]);
	lo.sockets[WORKER_1] = -1;
	assert_int_equal(receiver_of(lo.client4, payload, sizeof(payload)), CONTROL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_datagram_reaches_its_socket_over_ipv4),
		cmocka_unit_test(each_datagram_reaches_its_socket_over_ipv6),
		cmocka_unit_test(a_retired_connection_goes_to_control),
		cmocka_unit_test(a_worker_without_a_socket_leaves_every_flow_to_control),
		cmocka_unit_test(a_worker_that_is_gone_leaves_its_datagrams_to_control),
	};

	return cmocka_run_group_tests(tests, open_lo, close_lo);
}
