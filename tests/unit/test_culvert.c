/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/peer/culvert.h"

#define PIN "sha256:00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

/* ---- text ---- */

static void host_and_port_are_taken_apart(void **state)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
	} cases[] = {
		{ "relay.example:443", "relay.example", 443 },
		{ "192.0.2.1:7", "192.0.2.1", 7 },
		{ "[2001:db8::1]:65535", "2001:db8::1", 65535 },
		{ "[::]:0", "::", 0 },
	};
	char host[CULVERT_HOST_TEXT];
	uint16_t port;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(culvert_host_parse(cases[i].text, host, &port), 0);
		assert_string_equal(host, cases[i].host);
		assert_int_equal(port, cases[i].port);
	}
}

static void what_is_no_host_and_port_is_refused(void **state)
{
	static const char *const cases[] = {
		"",	":",   ":443",	 "relay", "relay:", "relay:https", "relay:+1", "::1:443",
		"[]:1", "[:1", "[::1:1", "[::1]", "a:b:1",  "relay:-1",	   "relay: 1", "relay:1x",
	};
	char host[CULVERT_HOST_TEXT] = "untouched", longest[CULVERT_HOST_TEXT + 8];
	uint16_t port = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(culvert_host_parse(cases[i], host, &port), CULVERT_ESYNTAX);
	assert_int_equal(culvert_host_parse("relay:65536", host, &port), CULVERT_ERANGE);
	assert_string_equal(host, "untouched");
	assert_int_equal(port, 7);

	memset(longest, 'a', sizeof(longest));
	strcpy(longest + CULVERT_HOST_TEXT, ":1");
	assert_int_equal(culvert_host_parse(longest, host, &port), CULVERT_ESYNTAX);
	assert_int_equal(culvert_host_parse(longest + 1, host, &port), 0);
	assert_int_equal(strlen(host), CULVERT_HOST_TEXT - 1);
}

static void a_pin_is_read_with_and_without_its_prefix(void **state)
{
	uint8_t sha256[CULVERT_PIN_LEN], same[CULVERT_PIN_LEN];

	(void)state;
	assert_int_equal(culvert_pin_parse(PIN, sha256), 0);
	assert_int_equal(culvert_pin_parse(strchr(PIN, ':') + 1, same), 0);
	assert_memory_equal(sha256, same, sizeof(same));
	assert_int_equal(sha256[1], 0x11);
	assert_int_equal(sha256[CULVERT_PIN_LEN - 1], 0xff);
}

static void what_is_no_pin_is_refused(void **state)
{
	static const char *const cases[] = { "",	"sha256:", "sha256:12",
					     "sha1:00", PIN "0",   "sha256:sha256:00" };
	uint8_t sha256[CULVERT_PIN_LEN];
	char bad[] = PIN;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(culvert_pin_parse(cases[i], sha256), CULVERT_ESYNTAX);
	bad[sizeof(bad) - 2] = 'g';
	assert_int_equal(culvert_pin_parse(bad, sha256), CULVERT_ESYNTAX);
}

static void addresses_survive_being_read_and_written(void **state)
{
	static const char *const cases[] = { "192.0.2.1:7", "[2001:db8::1]:443", "0.0.0.0:0" };
	union culvert_address address;
	char text[CULVERT_ADDRESS_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(culvert_address_parse(cases[i], &address), 0);
		assert_string_equal(culvert_address_format(&address, text), cases[i]);
	}
	memset(&address, 0, sizeof(address));
	assert_string_equal(culvert_address_format(&address, text), "none");
	assert_int_equal(culvert_address_parse("relay.example:443", &address), CULVERT_ESYNTAX);
	assert_int_equal(culvert_address_parse("192.0.2.1:65536", &address), CULVERT_ERANGE);
}

/* ---- looking on ---- */

static void send_to(const union culvert_address *address)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(sendto(fd, "ring", 4, 0, &address->sa, sizeof(address->in)), 4);
	close(fd);
}

/* A client that has just taken a datagram of a local sender; its relay is a port where nobody is. */
static struct culvert *take_datagram(uint32_t look_usec)
{
	const struct culvert_options options = { .look_usec = look_usec };
	const struct culvert_session_options so = { .relay = "127.0.0.1:9", .pin = PIN };
	const struct culvert_forward_options fo = { .listen = "127.0.0.1:0",
						    .target = "192.0.2.1:7" };
	struct culvert_session *session;
	struct culvert_forward *forward;
	struct culvert_forward_info info;
	struct pollfd fd;
	struct culvert *c;

	assert_int_equal(culvert_open(&options, &c), 0);
	assert_int_equal(culvert_session_open(c, &so, &session), 0);
	assert_int_equal(culvert_forward_open(session, &fo, &forward), 0);
	culvert_step(c); /* the socket is there */
	culvert_forward_info(forward, &info);
	send_to(&info.listen);
	fd = (struct pollfd){ .fd = culvert_fd(c), .events = POLLIN };
	do {
		assert_int_equal(poll(&fd, 1, 5000), 1);
		culvert_step(c);
		culvert_forward_info(forward, &info);
	} while (!info.dropped); /* there is no session yet */
	return c;
}

static void who_asked_for_it_looks_on_for_a_moment_and_then_sleeps(void **state)
{
	struct culvert *c = take_datagram(10000);
	struct culvert_stats stats;

	(void)state;
	assert_int_equal(culvert_timeout_msec(c), 0);
	for (int i = 0; culvert_deadline_ns(c) == 0; i++) {
		assert_true(i < 10000000);
		culvert_step(c);
	}
	culvert_stats(c, &stats);
	assert_true(stats.looks > 0);
	assert_true(culvert_timeout_msec(c) > 0);
	culvert_close(c);
}

static void who_did_not_ask_sleeps_at_once(void **state)
{
	struct culvert *c = take_datagram(0);
	struct culvert_stats stats;

	(void)state;
	assert_true(culvert_deadline_ns(c) > 0);
	culvert_stats(c, &stats);
	assert_int_equal(stats.looks, 0);
	culvert_close(c);
}

static void looking_on_has_a_ceiling(void **state)
{
	const struct culvert_options options = { .look_usec = 10001 };
	struct culvert *c;

	(void)state;
	assert_int_equal(culvert_open(&options, &c), CULVERT_ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_and_port_are_taken_apart),
		cmocka_unit_test(what_is_no_host_and_port_is_refused),
		cmocka_unit_test(a_pin_is_read_with_and_without_its_prefix),
		cmocka_unit_test(what_is_no_pin_is_refused),
		cmocka_unit_test(addresses_survive_being_read_and_written),
		cmocka_unit_test(who_asked_for_it_looks_on_for_a_moment_and_then_sleeps),
		cmocka_unit_test(who_did_not_ask_sleeps_at_once),
		cmocka_unit_test(looking_on_has_a_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
