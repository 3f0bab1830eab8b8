/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two kernel UDP ports talk over the loopback interface. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/io/sock.h"

enum {
	SOCKETS_MAX = 1024,
	WAIT_MS = 2000,
};

struct end {
	struct clv_worker_counters counters;
	struct clv_port *port;
	int fds[SOCKETS_MAX];
	struct clv_endpoint local[SOCKETS_MAX];
	uint32_t numbers[SOCKETS_MAX];
	unsigned count;
};

static struct end alice, bob;

static struct clv_endpoint endpoint(const char *text)
{
	struct clv_endpoint ep;

	assert_int_equal(clv_endpoint_parse(text, &ep), 0);
	return ep;
}

static void assert_endpoint(const struct clv_endpoint *ep, const char *addr, __be16 port)
{
	struct clv_endpoint want = endpoint(addr);
	char got[CLV_ADDR_TEXT_MAX], text[CLV_ADDR_TEXT_MAX];

	want.port = port;
	assert_string_equal(clv_endpoint_format(ep, got, sizeof(got)),
			    clv_endpoint_format(&want, text, sizeof(text)));
}

static int open_ends(void **state)
{
	struct clv_sock_params params = { .sockets_max = SOCKETS_MAX };

	(void)state;
	memset(&alice, 0, sizeof(alice));
	memset(&bob, 0, sizeof(bob));
	params.counters = &alice.counters;
	assert_int_equal(clv_sock_open(&params, &alice.port), 0);
	params.counters = &bob.counters;
	assert_int_equal(clv_sock_open(&params, &bob.port), 0);
	return 0;
}

static void close_end(struct end *end)
{
	unsigned i;

	end->port->ops->close(end->port);
	for (i = 0; i < end->count; i++)
		close(end->fds[i]);
}

static int close_ends(void **state)
{
	(void)state;
	close_end(&alice);
	close_end(&bob);
	return 0;
}

/* Returns the place of the new socket in end's arrays. */
static unsigned listen_on(struct end *end, const char *local)
{
	const struct clv_sock_bind_params params = { .local = endpoint(local),
						     .receive_bytes = 4 << 20,
						     .send_bytes = 4 << 20 };
	unsigned i = end->count;

	assert_int_equal(clv_sock_bind_udp(&params, &end->fds[i], &end->local[i]), 0);
	assert_int_equal(end->port->ops->add_socket(end->port, end->fds[i], &end->local[i],
						    &end->numbers[i]),
			 0);
	return end->count++;
}

static void send_one(struct end *end, unsigned i, const struct clv_endpoint *from,
		     const struct clv_endpoint *to, const void *data, size_t len, uint8_t ecn)
{
	struct clv_flow flow = { .local = *from, .remote = *to, .socket = end->numbers[i] };
	struct clv_tx tx;

	assert_int_equal(end->port->ops->tx_take(end->port, &tx), 0);
	assert_true(len <= tx.room);
	memcpy(tx.payload, data, len);
	end->port->ops->tx_send(end->port, &tx, len, &flow, ecn);
}

static void flush(struct end *end)
{
	end->port->ops->flush(end->port);
}

/* Waits for at least one datagram. */
static unsigned hear(struct end *end, struct clv_rx *batch, unsigned max)
{
	struct pollfd fd = { .fd = end->port->ops->poll_fd(end->port), .events = POLLIN };
	unsigned got = end->port->ops->rx(end->port, batch, max);

	if (!got) {
		end->port->ops->rx_done(end->port);
		assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
		got = end->port->ops->rx(end->port, batch, max);
	}
	assert_true(got <= max);
	return got;
}

static void heard(struct end *end)
{
	end->port->ops->rx_done(end->port);
}

static void hear_nothing(struct end *end)
{
	struct clv_rx batch[CLV_PORT_BATCH];

	assert_int_equal(end->port->ops->rx(end->port, batch, CLV_PORT_BATCH), 0);
	heard(end);
}

static uint64_t counted(const struct end *end, enum clv_counter which)
{
	return clv_count_read(&end->counters, which);
}

static bool has_ipv6(void)
{
	const struct clv_sock_bind_params params = { .local = endpoint("[::1]:0") };
	int fd;

	if (clv_sock_bind_udp(&params, &fd, NULL))
		return false;
	close(fd);
	return true;
}

/* ---- addresses ---- */

static const struct {
	const char *name, *bob, *alice, *to, *from;
	bool v6;
} address_cases[] = {
	{ "IPv4, bound to one address", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0",
	  false },
	{ "IPv4 wildcard reports and sets addresses", "0.0.0.0:0", "0.0.0.0:0", "127.0.0.3:0",
	  "127.0.0.2:0", false },
	{ "IPv6, bound to one address", "[::1]:0", "[::1]:0", "[::1]:0", "[::1]:0", true },
	{ "dual-stack sockets speak IPv6", "[::]:0", "[::]:0", "[::1]:0", "[::1]:0", true },
	{ "dual-stack sockets speak IPv4", "[::]:0", "[::]:0", "127.0.0.3:0", "127.0.0.2:0", true },
	{ "dual-stack hears plain IPv4", "[::]:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0",
	  true },
};

static void both_ends_see_the_addresses_of_the_wire(void **state)
{
	struct clv_rx rx;
	size_t i;

	for (i = 0; i < sizeof(address_cases) / sizeof(address_cases[0]); i++) {
		struct clv_endpoint to, from;
		unsigned a, b;
		uint8_t ecn;

		if (address_cases[i].v6 && !has_ipv6()) {
			print_message("no IPv6 here: not tried: %s\n", address_cases[i].name);
			continue;
		}
		print_message("%s\n", address_cases[i].name);
		close_ends(state);
		open_ends(state);
		b = listen_on(&bob, address_cases[i].bob);
		a = listen_on(&alice, address_cases[i].alice);
		to = endpoint(address_cases[i].to);
		to.port = bob.local[b].port;
		from = endpoint(address_cases[i].from);
		from.port = alice.local[a].port;
		for (ecn = 0; ecn < 4; ecn++) {
			send_one(&alice, a, &from, &to, "one", 3, ecn);
			flush(&alice);
			assert_int_equal(hear(&bob, &rx, 1), 1);
			assert_endpoint(&rx.remote, address_cases[i].from, from.port);
			assert_endpoint(&rx.local, address_cases[i].to, to.port);
			assert_int_equal(rx.ecn, ecn);
			assert_int_equal(rx.kind, CLV_KIND_UNKNOWN);
			assert_int_equal(rx.via, CLV_VIA_KERNEL);
			assert_int_equal(rx.socket, bob.numbers[b]);
			assert_int_equal(rx.payload_len, 3);
			assert_memory_equal(rx.payload, "one", 3);
			/* The answer goes out from where the question went to. */
			send_one(&bob, b, &rx.local, &rx.remote, "two", 3, ecn);
			heard(&bob);
			flush(&bob);
			assert_int_equal(hear(&alice, &rx, 1), 1);
			assert_endpoint(&rx.remote, address_cases[i].to, to.port);
			assert_memory_equal(rx.payload, "two", 3);
			heard(&alice);
		}
	}
}

/* ---- coalescing ---- */

/* Sizes of the datagrams of one batch; each starts with its number, where it has room. */
static const struct {
	const char *name;
	uint16_t len[CLV_PORT_BATCH];
	unsigned count;
} size_cases[] = {
	{ "one empty", { 0 }, 1 },
	{ "empty ones between others", { 0, 100, 0, 0, 100, 100, 0 }, 7 },
	{ "single bytes", { 1, 1, 1, 1, 1, 1, 1 }, 7 },
	{ "equal", { 1200, 1200, 1200, 1200, 1200 }, 5 },
	{ "a shorter last one", { 1472, 1472, 1472, 1 }, 4 },
	{ "shorter, then longer", { 1200, 1200, 700, 1200, 1200, 1300, 1300, 9 }, 8 },
	{ "all mixed", { 1472, 0, 1, 1200, 1200, 1, 1, 0, 1472, 1472, 1471, 4000, 4096 }, 13 },
	{ "growing", { 2, 3, 4, 5, 6, 7, 8 }, 7 },
};

static void fill(uint8_t *data, size_t len, unsigned number)
{
	size_t i;

	for (i = 0; i < len; i++)
		data[i] = (uint8_t)(number * 7 + i * (i >> 8 | 1));
}

static void assert_filled(const struct clv_rx *rx, size_t len, unsigned number)
{
	static uint8_t want[CLV_SOCK_PAYLOAD_MAX];

	assert_int_equal(rx->payload_len, len);
	fill(want, len, number);
	assert_memory_equal(rx->payload, want, len);
}

static void sizes_and_order_survive_coalescing(void **state)
{
	struct clv_rx batch[CLV_PORT_BATCH];
	uint8_t data[CLV_SOCK_PAYLOAD_MAX];
	size_t i;

	(void)state;
	listen_on(&alice, "127.0.0.1:0");
	listen_on(&bob, "127.0.0.1:0");
	for (i = 0; i < sizeof(size_cases) / sizeof(size_cases[0]); i++) {
		unsigned n, got, k;

		print_message("%s\n", size_cases[i].name);
		for (n = 0; n < size_cases[i].count; n++) {
			fill(data, size_cases[i].len[n], n);
			send_one(&alice, 0, &alice.local[0], &bob.local[0], data,
				 size_cases[i].len[n], 0);
		}
		flush(&alice);
		for (n = 0; n < size_cases[i].count; n += got) {
			got = hear(&bob, batch, CLV_PORT_BATCH);
			for (k = 0; k < got; k++)
				assert_filled(&batch[k], size_cases[i].len[n + k], n + k);
			heard(&bob);
		}
		assert_int_equal(n, size_cases[i].count);
		hear_nothing(&bob);
	}
}

static void a_coalesced_message_is_given_out_in_pieces(void **state)
{
	struct pollfd fd = { .events = POLLIN };
	struct clv_rx batch[7];
	uint8_t data[100];
	unsigned n, got, k;

	(void)state;
	listen_on(&alice, "127.0.0.1:0");
	listen_on(&bob, "127.0.0.1:0");
	for (n = 0; n < 50; n++) {
		fill(data, sizeof(data), n);
		send_one(&alice, 0, &alice.local[0], &bob.local[0], data, sizeof(data), 0);
	}
	flush(&alice);
	fd.fd = bob.port->ops->poll_fd(bob.port);
	for (n = 0; n < 50; n += got) {
		got = hear(&bob, batch, 7);
		for (k = 0; k < got; k++)
			assert_filled(&batch[k], sizeof(data), n + k);
		heard(&bob);
		/* What is read and not given out would not wake a sleeper. */
		assert_true(n + got == 50 || !bob.port->ops->may_sleep(bob.port) ||
			    poll(&fd, 1, 0) == 1);
	}
	hear_nothing(&bob);
	assert_true(bob.port->ops->may_sleep(bob.port));
}

static void interleaved_flows_keep_their_orders(void **state)
{
	enum { FLOWS = 12, EACH = 15 };
	struct clv_rx batch[CLV_PORT_BATCH];
	unsigned next[FLOWS] = { 0 }, total = 0, n, f, k, got;
	uint8_t data[400];

	(void)state;
	listen_on(&alice, "127.0.0.1:0");
	for (f = 0; f < FLOWS; f++)
		listen_on(&bob, "127.0.0.1:0");
	for (n = 0; n < EACH; n++) {
		for (f = 0; f < FLOWS; f++) {
			size_t len = 200 + (n * 13 + f) % 5 / 4 * 100;

			fill(data, len, n * FLOWS + f);
			send_one(&alice, 0, &alice.local[0], &bob.local[f], data, len, 0);
		}
	}
	flush(&alice);
	while (total < FLOWS * EACH) {
		got = hear(&bob, batch, CLV_PORT_BATCH);
		for (k = 0; k < got; k++) {
			for (f = 0; bob.numbers[f] != batch[k].socket; f++)
				;
			n = next[f]++;
			assert_filled(&batch[k], 200 + (n * 13 + f) % 5 / 4 * 100, n * FLOWS + f);
		}
		total += got;
		heard(&bob);
	}
	hear_nothing(&bob);
}

/* ---- limits ---- */

static void frames_run_out_only_when_all_are_held(void **state)
{
	static struct clv_tx held[CLV_SOCK_FRAMES];
	struct clv_rx batch[CLV_PORT_BATCH];
	struct clv_tx more;
	unsigned i, total = 0;

	(void)state;
	for (i = 0; i < CLV_SOCK_FRAMES; i++)
		assert_int_equal(alice.port->ops->tx_take(alice.port, &held[i]), 0);
	assert_int_equal(alice.port->ops->tx_take(alice.port, &more), -ENOBUFS);
	for (i = 0; i < CLV_SOCK_FRAMES; i++)
		alice.port->ops->tx_give(alice.port, &held[i]);

	/* More than all frames in one batch: the port sends in between. */
	listen_on(&alice, "127.0.0.1:0");
	listen_on(&bob, "127.0.0.1:0");
	for (i = 0; i < 3 * CLV_SOCK_FRAMES / 2; i++)
		send_one(&alice, 0, &alice.local[0], &bob.local[0], "x", 1, 0);
	flush(&alice);
	while (total < 3 * CLV_SOCK_FRAMES / 2) {
		total += hear(&bob, batch, CLV_PORT_BATCH);
		heard(&bob);
	}
	hear_nothing(&bob);
}

static void a_thousand_sockets_are_all_heard(void **state)
{
	enum { SOCKETS = 1000 };
	struct rlimit files = { 4096, 4096 };
	static uint8_t seen[SOCKETS_MAX];
	struct clv_rx batch[CLV_PORT_BATCH];
	unsigned i, k, got, total = 0;

	(void)state;
	if (setrlimit(RLIMIT_NOFILE, &files)) {
		getrlimit(RLIMIT_NOFILE, &files);
		if (files.rlim_cur < SOCKETS + 50) {
			print_message("needs %d descriptors\n", SOCKETS + 50);
			skip();
		}
	}
	memset(seen, 0, sizeof(seen));
	listen_on(&alice, "127.0.0.1:0");
	for (i = 0; i < SOCKETS; i++)
		listen_on(&bob, "127.0.0.1:0");
	for (i = 0; i < SOCKETS; i++)
		send_one(&alice, 0, &alice.local[0], &bob.local[i], &i, sizeof(i), 0);
	flush(&alice);
	while (total < SOCKETS) {
		got = hear(&bob, batch, CLV_PORT_BATCH);
		for (k = 0; k < got; k++) {
			memcpy(&i, batch[k].payload, sizeof(i));
			assert_int_equal(batch[k].socket, bob.numbers[i]);
			assert_int_equal(seen[i]++, 0);
		}
		total += got;
		heard(&bob);
	}
	hear_nothing(&bob);
	for (i = 0; i < SOCKETS; i++)
		bob.port->ops->remove_socket(bob.port, bob.numbers[i]);
}

static void a_flooded_socket_does_not_starve_others(void **state)
{
	struct clv_rx batch[CLV_PORT_BATCH];
	bool heard_quiet = false;
	unsigned i, k, got, rounds = 0;
	uint8_t data[64];

	(void)state;
	listen_on(&alice, "127.0.0.1:0");
	listen_on(&bob, "127.0.0.1:0");
	listen_on(&bob, "127.0.0.1:0");
	for (i = 0; i < 600; i++) {
		fill(data, sizeof(data), i);
		/* Growing sizes do not coalesce: each is a message of its own. */
		send_one(&alice, 0, &alice.local[0], &bob.local[0], data, 1 + i % 64, 0);
	}
	send_one(&alice, 0, &alice.local[0], &bob.local[1], "me", 2, 0);
	flush(&alice);
	for (rounds = 0; !heard_quiet && rounds < 3; rounds++) {
		got = hear(&bob, batch, CLV_PORT_BATCH);
		for (k = 0; k < got; k++)
			heard_quiet |= batch[k].socket == bob.numbers[1];
		heard(&bob);
	}
	assert_true(heard_quiet);
}

static void removed_sockets_leave_nothing_behind(void **state)
{
	struct clv_rx batch[CLV_PORT_BATCH];
	unsigned i, total = 0, got;

	(void)state;
	listen_on(&alice, "127.0.0.1:0");
	listen_on(&bob, "127.0.0.1:0");
	listen_on(&bob, "127.0.0.1:0");
	for (i = 0; i < 20; i++) {
		send_one(&alice, 0, &alice.local[0], &bob.local[0], "gone", 4, 0);
		send_one(&alice, 0, &alice.local[0], &bob.local[1], "stay", 4, 0);
	}
	flush(&alice);
	got = hear(&bob, batch, 1);
	total += !memcmp(batch[0].payload, "stay", 4);
	heard(&bob);
	bob.port->ops->remove_socket(bob.port, bob.numbers[0]);
	while (total < 20) {
		got = hear(&bob, batch, CLV_PORT_BATCH);
		for (i = 0; i < got; i++)
			assert_memory_equal(batch[i].payload, "stay", 4);
		total += got;
		heard(&bob);
	}
	hear_nothing(&bob);
	/* Either read already and counted, or left in the kernel's socket. */
	assert_true(counted(&bob, CLV_COUNT_DROP_CLOSED) <= 20);

	/* Sending by its number is a counted drop, and the number is given out again. */
	send_one(&bob, 0, &bob.local[0], &alice.local[0], "late", 4, 0);
	flush(&bob);
	assert_int_equal(counted(&bob, CLV_COUNT_DROP_STALE), 1);
	hear_nothing(&alice);
	assert_int_equal(bob.numbers[listen_on(&bob, "127.0.0.1:0")], bob.numbers[0]);
}

static void numbers_run_out_with_an_error(void **state)
{
	const struct clv_sock_params params = { .counters = &bob.counters, .sockets_max = 1 };
	struct clv_port *small;
	uint32_t number;

	(void)state;
	listen_on(&alice, "127.0.0.1:0");
	assert_int_equal(clv_sock_open(&params, &small), 0);
	assert_int_equal(small->ops->add_socket(small, alice.fds[0], &alice.local[0], &number), 0);
	assert_int_equal(small->ops->add_socket(small, alice.fds[0], &alice.local[0], &number),
			 CLV_EFULL);
	small->ops->close(small);
}

/* ---- errors ---- */

static void a_closed_destination_harms_nobody_else(void **state)
{
	struct clv_endpoint dead = endpoint("127.0.0.1:9");
	struct sockaddr_storage sa;
	struct clv_rx rx;
	unsigned i;

	(void)state;
	listen_on(&alice, "127.0.0.1:0");
	listen_on(&bob, "127.0.0.1:0");
	/* A connected socket is told of ICMP errors, and has them reported by the next call. */
	assert_int_equal(connect(alice.fds[0], (struct sockaddr *)&sa,
				 clv_endpoint_to_sockaddr(&dead, false, &sa)),
			 0);
	for (i = 0; i < 10; i++) {
		send_one(&alice, 0, &alice.local[0], &dead, "nobody", 6, 0);
		flush(&alice);
		hear_nothing(&alice);
	}
	send_one(&alice, 0, &alice.local[0], &dead, "nobody", 6, 0);
	send_one(&alice, 0, &alice.local[0], &bob.local[0], "somebody", 8, 0);
	flush(&alice);
	assert_int_equal(hear(&bob, &rx, 1), 1);
	assert_memory_equal(rx.payload, "somebody", 8);
	heard(&bob);
}

static void wrong_families_are_counted(void **state)
{
	struct clv_endpoint v6 = endpoint("[::1]:9");

	(void)state;
	listen_on(&alice, "127.0.0.1:0");
	send_one(&alice, 0, &alice.local[0], &v6, "x", 1, 0);
	flush(&alice);
	assert_int_equal(counted(&alice, CLV_COUNT_DROP_SEND_ERROR), 1);
}

/* Runs in a namespace whose loopback interface takes 1280 bytes.  Returns an exit status. */
static int on_a_narrow_link(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_mtu = 1280 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct clv_rx batch[CLV_PORT_BATCH];
	uint8_t data[2000] = { 0 };
	unsigned i, got;

	if (fd < 0 || ioctl(fd, SIOCSIFMTU, &ifr))
		return 2;
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr))
		return 2;
	close(fd);
	listen_on(&alice, "127.0.0.1:0");
	listen_on(&bob, "127.0.0.1:0");
	send_one(&alice, 0, &alice.local[0], &bob.local[0], data, 1252, 0);
	send_one(&alice, 0, &alice.local[0], &bob.local[0], data, 1253, 0);
	for (i = 0; i < 3; i++)
		send_one(&alice, 0, &alice.local[0], &bob.local[0], data, 1400, 0);
	send_one(&alice, 0, &alice.local[0], &bob.local[0], data, 1252, 0);
	flush(&alice);
	got = hear(&bob, batch, CLV_PORT_BATCH);
	heard(&bob);
	if (got != 2 || batch[0].payload_len != 1252 || batch[1].payload_len != 1252)
		return 3;
	if (counted(&alice, CLV_COUNT_DROP_MTU) != 4 ||
	    counted(&alice, CLV_COUNT_DROP_SEND_ERROR) != 0)
		return 4;
	return 0;
}

static void too_large_for_the_link_is_counted_never_fragmented(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (!child) {
		if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
			_exit(77);
		_exit(on_a_narrow_link());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("needs a network namespace of its own: %s\n", strerror(EPERM));
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- binding ---- */

static void a_reserved_port_is_taken_and_silent(void **state)
{
	const char *const locals[] = { "127.0.0.1:0", "0.0.0.0:0", "[::]:0" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(locals) / sizeof(locals[0]); i++) {
		struct clv_endpoint want = endpoint(locals[i]), got, peer = endpoint("127.0.0.1:0");
		struct sockaddr_storage sa;
		struct clv_sock_bind_params second = { 0 };
		int fd, other, sender;
		char byte;

		assert_int_equal(clv_sock_reserve(&want, -1, &fd, &got), 0);
		assert_int_not_equal(got.port, 0);
		second.local = got;
		assert_int_equal(clv_sock_bind_udp(&second, &other, NULL), -EADDRINUSE);

		peer.port = got.port;
		sender = socket(AF_INET, SOCK_DGRAM, 0);
		assert_int_equal(connect(sender, (struct sockaddr *)&sa,
					 clv_endpoint_to_sockaddr(&peer, false, &sa)),
				 0);
		assert_int_equal(send(sender, "x", 1, 0), 1);
		usleep(1000);
		assert_int_equal(send(sender, "x", 1, 0), 1); /* no ICMP came back */
		assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
		assert_int_equal(errno, EAGAIN);
		close(sender);
		close(fd);
	}
}

static void several_sockets_share_an_endpoint_when_asked(void **state)
{
	struct clv_sock_bind_params params = { .local = endpoint("127.0.0.1:0"),
					       .reuse_port = true };
	int first, second;

	(void)state;
	assert_int_equal(clv_sock_bind_udp(&params, &first, &params.local), 0);
	assert_int_equal(clv_sock_bind_udp(&params, &second, NULL), 0);
	close(first);
	close(second);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, open_ends, close_ends)
	const struct CMUnitTest tests[] = {
		CASE(both_ends_see_the_addresses_of_the_wire),
		CASE(sizes_and_order_survive_coalescing),
		CASE(a_coalesced_message_is_given_out_in_pieces),
		CASE(interleaved_flows_keep_their_orders),
		CASE(frames_run_out_only_when_all_are_held),
		CASE(a_thousand_sockets_are_all_heard),
		CASE(a_flooded_socket_does_not_starve_others),
		CASE(removed_sockets_leave_nothing_behind),
		CASE(numbers_run_out_with_an_error),
		CASE(a_closed_destination_harms_nobody_else),
		CASE(wrong_families_are_counted),
		CASE(too_large_for_the_link_is_counted_never_fragmented),
		CASE(a_reserved_port_is_taken_and_silent),
		CASE(several_sockets_share_an_endpoint_when_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
