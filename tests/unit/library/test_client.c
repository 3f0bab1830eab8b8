/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/library/culvert.h"

#define PIN "sha256:00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

/* ---- text ---- */

static void host_and_port_are_parsed(void **state)
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

static void a_malformed_host_and_port_is_an_error(void **state)
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

static void a_malformed_pin_is_an_error(void **state)
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

static void addresses_are_formatted_as_they_were_parsed(void **state)
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

/* ---- busy-polling ---- */

static void send_to(const union culvert_address *address)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(sendto(fd, "ring", 4, 0, &address->sa, sizeof(address->in)), 4);
	close(fd);
}

/* A client that has just received a datagram from a local sender; its relay does not exist. */
static struct culvert *take_datagram(uint32_t spin_usec)
{
	const struct culvert_options options = { .spin_usec = spin_usec };
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
	culvert_step(c); /* opens the socket */
	culvert_forward_info(forward, &info);
	send_to(&info.listen);
	fd = (struct pollfd){ .fd = culvert_fd(c), .events = POLLIN };
	do {
		assert_int_equal(poll(&fd, 1, 5000), 1);
		culvert_step(c);
		culvert_forward_info(forward, &info);
	} while (!info.dropped); /* the session is not up */
	return c;
}

static void with_spin_usec_a_client_busy_polls_before_it_sleeps(void **state)
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
	assert_true(stats.spins > 0);
	assert_true(culvert_timeout_msec(c) > 0);
	culvert_close(c);
}

static void without_spin_usec_a_client_sleeps_at_once(void **state)
{
	struct culvert *c = take_datagram(0);
	struct culvert_stats stats;

	(void)state;
	assert_true(culvert_deadline_ns(c) > 0);
	culvert_stats(c, &stats);
	assert_int_equal(stats.spins, 0);
	culvert_close(c);
}

/* ---- misuse, limits and leaks ---- */

static void options_above_their_limits_are_errors(void **state)
{
	static const struct culvert_options cases[] = {
		{ .spin_usec = 10001 },
		{ .tunnels_max = (1 << 20) + 1 },
		{ .remotes_max = UINT32_MAX },
		{ .receive_bytes = UINT32_MAX },
	};
	struct culvert *c;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(culvert_open(&cases[i], &c), CULVERT_ERANGE);
}

static struct culvert *open_with(const struct culvert_options *options,
				 struct culvert_session **session)
{
	const struct culvert_session_options so = { .relay = "127.0.0.1:9", .pin = PIN };
	struct culvert *c;

	assert_int_equal(culvert_open(options, &c), 0);
	assert_int_equal(culvert_session_open(c, &so, session), 0);
	return c;
}

static void a_session_that_cannot_be_requested_is_an_error_with_a_reason(void **state)
{
	static const struct {
		struct culvert_session_options options;
		int error;
		const char *why;
	} cases[] = {
		{ { .pin = PIN }, CULVERT_ESYNTAX, "relay" },
		{ { .relay = "relay.example", .pin = PIN }, CULVERT_ESYNTAX, "relay.example" },
		{ { .relay = "127.0.0.1:0", .pin = PIN }, CULVERT_ESYNTAX, "port" },
		{ { .relay = "127.0.0.1:9" }, CULVERT_ESYNTAX, "exactly one of CA file and pin" },
		{ { .relay = "127.0.0.1:9", .pin = PIN, .ca_file = "x" },
		  CULVERT_ESYNTAX,
		  "exactly one of CA file and pin" },
		{ { .relay = "127.0.0.1:9", .pin = "sha256:12" }, CULVERT_ESYNTAX, "sha256:12" },
		{ { .relay = "127.0.0.1:9", .ca_file = "/nowhere" }, 0, "/nowhere" },
		{ { .relay = "127.0.0.1:9", .pin = PIN, .uri_template = "{}" },
		  CULVERT_ESYNTAX,
		  "URI template" },
	};
	struct culvert_session *session;
	struct culvert *c;
	int err;

	(void)state;
	assert_int_equal(culvert_open(NULL, &c), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err = culvert_session_open(c, &cases[i].options, &session);
		assert_true(cases[i].error ? err == cases[i].error : err < 0);
		if (!strstr(culvert_why(c), cases[i].why))
			fail_msg("case %zu: %s", i, culvert_why(c));
	}
	culvert_close(c);
}

static void a_ninth_session_is_refused(void **state)
{
	const struct culvert_session_options so = { .relay = "127.0.0.1:9", .pin = PIN };
	struct culvert_session *session;
	struct culvert *c = open_with(NULL, &session);

	(void)state;
	for (int i = 1; i < 8; i++)
		assert_int_equal(culvert_session_open(c, &so, &session), 0);
	assert_int_equal(culvert_session_open(c, &so, &session), CULVERT_EFULL);
	culvert_close(c);
}

static void what_needs_a_session_that_is_up_fails_without_one(void **state)
{
	const struct culvert_tunnel_options to = { .target = "192.0.2.1:7" };
	const struct culvert_tunnel_options bad = { .target = "192.0.2.1" };
	const struct culvert_bound_options bo = { 0 };
	union culvert_address remote;
	struct culvert_tunnel *tunnel;
	struct culvert_bound *bound;
	struct culvert_session *session;
	struct culvert *c = open_with(NULL, &session);

	(void)state;
	assert_int_equal(culvert_tunnel_open(session, &bad, &tunnel), CULVERT_ESYNTAX);
	assert_non_null(strstr(culvert_why(c), "target"));
	assert_int_equal(culvert_tunnel_open(session, &to, &tunnel), CULVERT_ECLOSED);
	assert_string_equal(culvert_why(c), "");
	assert_int_equal(culvert_bound_open(session, &bo, &bound), 0);
	culvert_address_parse("192.0.2.1:7", &remote);
	assert_int_equal(culvert_bound_send(bound, &remote, "x", 1), CULVERT_ECLOSED);
	culvert_close(c);
}

static void invalid_remotes_are_errors(void **state)
{
	static const char *const cases[] = { "192.0.2.1:0", "0.0.0.0:7", "[::]:7" };
	const struct culvert_options options = { .remotes_max = 2 };
	const struct culvert_bound_options joined = { .is_joined = true };
	const struct culvert_bound_options bad_app = { .is_joined = true, .app = "here:7" };
	const struct culvert_bound_options too_many = { .remotes_max = 3 };
	union culvert_address remote;
	struct culvert_bound_info info;
	struct culvert_bound *bound;
	struct culvert_session *session;
	struct culvert *c = open_with(&options, &session);

	(void)state;
	assert_int_equal(culvert_bound_open(session, &bad_app, &bound), CULVERT_ESYNTAX);
	assert_int_equal(culvert_bound_open(session, &too_many, &bound), CULVERT_ERANGE);
	assert_int_equal(culvert_bound_open(session, &joined, &bound), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(culvert_address_parse(cases[i], &remote), 0);
		assert_int_equal(culvert_bound_permit(bound, &remote), CULVERT_ERANGE);
	}
	memset(&remote, 0, sizeof(remote));
	assert_int_equal(culvert_bound_permit(bound, &remote), CULVERT_ERANGE);
	culvert_address_parse("192.0.2.1:7", &remote);
	assert_int_equal(culvert_bound_send(bound, &remote, "x", 1), CULVERT_ERANGE); /* joined */
	for (unsigned port = 1; port <= 3; port++) {
		remote.in.sin_port = (in_port_t)(port << 8);
		assert_int_equal(culvert_bound_permit(bound, &remote),
				 port <= 2 ? 0 : CULVERT_EFULL);
	}
	assert_int_equal(culvert_bound_permit(bound, &remote), CULVERT_EFULL);
	culvert_bound_info(bound, &info);
	assert_int_equal(info.remotes_full, 2);
	culvert_close(c);
}

static unsigned descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(folder))
		n++;
	closedir(folder);
	return n;
}

static void sockets_are_limited_and_returned(void **state)
{
	const struct culvert_options options = { .remotes_max = 1 };
	const struct culvert_forward_options fo = { .listen = "127.0.0.1:0",
						    .target = "192.0.2.1:7" };
	struct culvert_forward *forwards[100];
	struct culvert_session *session;
	struct culvert *c = open_with(&options, &session);
	int n = 0, err;

	(void)state;
	while (n < 100 && !(err = culvert_forward_open(session, &fo, &forwards[n])))
		n++;
	assert_int_equal(n, 65);
	assert_int_equal(err, CULVERT_EFULL);
	culvert_forward_close(forwards[--n]);
	culvert_step(c);
	assert_int_equal(culvert_forward_open(session, &fo, &forwards[n]), 0);
	culvert_close(c);
}

static void closing_a_client_closes_its_descriptors(void **state)
{
	const struct culvert_forward_options fo = { .listen = "127.0.0.1:0",
						    .target = "192.0.2.1:7" };
	const struct culvert_bound_options bo = { .is_joined = true };
	struct culvert_forward *kept, *closed;
	struct culvert_bound *bound;
	struct culvert_session *session;
	union culvert_address remote;
	unsigned before = descriptors();

	(void)state;
	for (int stepped = 0; stepped < 2; stepped++) {
		struct culvert *c = open_with(NULL, &session);

		assert_int_equal(culvert_forward_open(session, &fo, &kept), 0);
		assert_int_equal(culvert_forward_open(session, &fo, &closed), 0);
		assert_int_equal(culvert_bound_open(session, &bo, &bound), 0);
		culvert_address_parse("192.0.2.1:7", &remote);
		assert_int_equal(culvert_bound_permit(bound, &remote), 0);
		if (stepped)
			culvert_step(c);
		culvert_forward_close(closed);
		culvert_close(c);
		assert_int_equal(descriptors(), before);
	}
}

/* Objects are not freed while a queued event refers to them. */
static void closing_an_object_discards_its_queued_events(void **state)
{
	const struct culvert_bound_options bo = { .is_joined = true };
	union culvert_address remote;
	struct culvert_event event;
	struct culvert_bound *bound;
	struct culvert_session *session;
	struct culvert *c = open_with(NULL, &session);

	(void)state;
	assert_int_equal(culvert_bound_open(session, &bo, &bound), 0);
	culvert_address_parse("192.0.2.1:7", &remote);
	assert_int_equal(culvert_bound_permit(bound, &remote), 0);
	remote.in.sin_port = htons(8);
	assert_int_equal(culvert_bound_permit(bound, &remote), 0);
	assert_true(culvert_next_event(c, &event));
	assert_int_equal(event.type, CULVERT_REMOTE);
	assert_ptr_equal(event.bound, bound);
	culvert_bound_close(bound);
	assert_false(culvert_next_event(c, &event));
	culvert_session_close(session);
	assert_false(culvert_next_event(c, &event));
	culvert_close(c);
}

/* ---- peers ---- */

static char folder[] = "/tmp/culvert-peers-XXXXXX", identity[64];

static void make_identity(char id[CULVERT_ID_TEXT])
{
	if (!*identity) {
		assert_non_null(mkdtemp(folder));
		snprintf(identity, sizeof(identity), "%s/id", folder);
		assert_int_equal(culvert_identity_make(identity, id), 0);
	}
	assert_int_equal(culvert_identity_read(identity, id), 0);
}

static void remove_identity(void)
{
	unlink(identity);
	rmdir(folder);
}

static void a_peer_that_cannot_be_dialled_is_an_error_with_a_reason(void **state)
{
	static const char *const good[] = { "192.0.2.1:7" }, *const bad[] = { "192.0.2.1" };
	char id[CULVERT_ID_TEXT];
	const struct {
		struct culvert_peer_options options;
		int error;
		const char *why;
	} cases[] = {
		{ { .identity = identity, .addresses = good, .addresses_len = 1 },
		  CULVERT_ESYNTAX,
		  "ticket or id" },
		{ { .peer = "clv1abc", .identity = identity, .addresses = good, .addresses_len = 1 },
		  CULVERT_ESYNTAX,
		  "peer" },
		{ { .peer = "culvert1:x",
		    .identity = identity,
		    .addresses = good,
		    .addresses_len = 1 },
		  CULVERT_ESYNTAX,
		  "peer" },
		{ { .peer = id, .identity = identity }, CULVERT_ENOPEER, "address" },
		{ { .peer = id, .identity = identity, .addresses = bad, .addresses_len = 1 },
		  CULVERT_ESYNTAX,
		  "192.0.2.1" },
		{ { .peer = id, .identity = "/nowhere", .addresses = good, .addresses_len = 1 },
		  -ENOENT,
		  "/nowhere" },
		{ { .peer = id, .addresses = good, .addresses_len = 1 },
		  CULVERT_ESYNTAX,
		  "identity" },
	};
	struct culvert_peer *peer = NULL;
	struct culvert *c;

	(void)state;
	make_identity(id);
	assert_int_equal(culvert_open(NULL, &c), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(culvert_peer_open(c, &cases[i].options, &peer), cases[i].error);
		assert_null(peer);
		if (!strstr(culvert_why(c), cases[i].why))
			fail_msg("case %zu: %s", i, culvert_why(c));
	}
	culvert_close(c);
	remove_identity();
}

/* Nothing answers at 127.0.0.1:1. */
static void a_report_of_the_network_names_who_did_not_answer(void **state)
{
	union culvert_address relays[2];
	struct culvert_net_options o = { .relays = relays, .relays_len = 2, .user = state };
	struct culvert_event e = { .error = 0 };
	struct pollfd fd;
	struct culvert *c;

	assert_int_equal(culvert_open(NULL, &c), 0);
	assert_int_equal(culvert_net_report(c, NULL), CULVERT_ERANGE); /* no session, no relay */
	assert_int_equal(culvert_address_parse("127.0.0.1:1", &relays[0]), 0);
	assert_int_equal(culvert_address_parse("127.0.0.2:0", &relays[1]), 0);
	assert_int_equal(culvert_net_report(c, &o), CULVERT_ERANGE); /* no port */
	o.relays_len = 1;
	assert_int_equal(culvert_net_report(c, &o), 0);
	assert_int_equal(culvert_net_report(c, &o), -EBUSY);
	fd = (struct pollfd){ .fd = culvert_fd(c), .events = POLLIN };
	do {
		culvert_step(c);
		poll(&fd, 1, culvert_timeout_msec(c));
	} while (!culvert_next_event(c, &e));
	assert_int_equal(e.type, CULVERT_NET_REPORT);
	assert_ptr_equal(e.user, state);
	assert_null(e.session);
	assert_int_equal(e.answers_len, 1);
	assert_memory_equal(&e.answers[0].relay, &relays[0], sizeof(relays[0]));
	assert_int_equal(e.answers[0].seen.sa.sa_family, AF_UNSPEC);
	assert_int_equal(e.answers[0].error, CULVERT_ETIMEOUT);
	assert_int_equal(e.answers[0].tries, 3);
	assert_int_equal(e.report->v4.asked, 1);
	assert_int_equal(e.report->v4.answered, 0);
	assert_int_equal(e.report->v6.asked, 0);
	assert_int_equal(e.report->v4.nat, CULVERT_NAT_UNKNOWN);
	assert_string_equal(culvert_nat_name(e.report->v4.nat), "unknown");
	/* Another one can be made, and a client be closed while it is. */
	assert_int_equal(culvert_net_report(c, &o), 0);
	culvert_close(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_report_of_the_network_names_who_did_not_answer),
		cmocka_unit_test(host_and_port_are_parsed),
		cmocka_unit_test(a_malformed_host_and_port_is_an_error),
		cmocka_unit_test(a_pin_is_read_with_and_without_its_prefix),
		cmocka_unit_test(a_malformed_pin_is_an_error),
		cmocka_unit_test(addresses_are_formatted_as_they_were_parsed),
		cmocka_unit_test(with_spin_usec_a_client_busy_polls_before_it_sleeps),
		cmocka_unit_test(without_spin_usec_a_client_sleeps_at_once),
		cmocka_unit_test(options_above_their_limits_are_errors),
		cmocka_unit_test(a_session_that_cannot_be_requested_is_an_error_with_a_reason),
		cmocka_unit_test(a_ninth_session_is_refused),
		cmocka_unit_test(what_needs_a_session_that_is_up_fails_without_one),
		cmocka_unit_test(invalid_remotes_are_errors),
		cmocka_unit_test(sockets_are_limited_and_returned),
		cmocka_unit_test(closing_a_client_closes_its_descriptors),
		cmocka_unit_test(closing_an_object_discards_its_queued_events),
		cmocka_unit_test(a_peer_that_cannot_be_dialled_is_an_error_with_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
