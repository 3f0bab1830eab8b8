/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The senders of a forward, with a fake clock and fake tunnels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "control/peer/forward.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

enum {
	TUNNELS_MAX = 16,
	SENDERS_MAX = 3,
	HELD_PACKETS = 4,
	HELD_BYTES = 20,
};

#define RETRY_NS (3 * CLV_SEC)

struct clv_relay_tunnel {
	struct clv_relay_tunnel_params p;
	bool is_closed;	 /* by the forward */
	char sent[64];	 /* payloads, each followed by ';' */
	unsigned sender; /* its port */
	struct clv_tunnel_stats stats;
};

static struct {
	struct clv_forward *forward;
	struct clv_relay_tunnel tunnels[TUNNELS_MAX];
	unsigned asked;
	int open_err;
	unsigned reported_open, reported_refused, reported_ended, reported_full;
	uint32_t places;
	uint64_t now_ns;
} f;

/* ---- fakes of the functions of relay_session that a forward calls ---- */

int clv_relay_tunnel_open(struct clv_relay_session *rs, const struct clv_relay_tunnel_params *p,
			  struct clv_relay_tunnel **out)
{
	struct clv_relay_tunnel *t = &f.tunnels[f.asked];

	assert_non_null(rs);
	assert_string_equal(p->host, "target.example");
	assert_int_equal(p->port, 53);
	if (f.open_err)
		return f.open_err;
	assert_true(f.asked++ < TUNNELS_MAX);
	t->p = *p;
	t->sender = ntohs(p->remote.port);
	*out = t;
	return 0;
}

void clv_relay_tunnel_close(struct clv_relay_tunnel *t)
{
	assert_false(t->is_closed);
	t->is_closed = true;
}

void clv_relay_tunnel_stats(const struct clv_relay_tunnel *t, struct clv_tunnel_stats *out)
{
	assert_false(t->is_closed);
	*out = t->stats;
}

void clv_relay_tunnel_up(struct clv_relay_tunnel *t, const uint8_t *payload, size_t len)
{
	size_t at = strlen(t->sent);

	assert_false(t->is_closed);
	snprintf(t->sent + at, sizeof(t->sent) - at, "%.*s;", (int)len, (const char *)payload);
}

/* ---- results ---- */

static void open_tunnel(unsigned i)
{
	const struct clv_client_result result = { .status = 200 };

	f.tunnels[i].p.ops->on_open(f.tunnels[i].p.user, &result);
}

static void refuse_tunnel(unsigned i)
{
	const struct clv_client_result result = { .err = CLV_EDENIED, .status = 403 };

	f.tunnels[i].p.ops->on_closed(f.tunnels[i].p.user, CLV_EDENIED, &result);
}

static void end_tunnel(unsigned i)
{
	f.tunnels[i].p.ops->on_closed(f.tunnels[i].p.user, 0, NULL);
}

static void on_open(void *user, const struct clv_client_result *result)
{
	assert_ptr_equal(user, &f);
	assert_int_equal(result->status, 200);
	f.reported_open++;
}

static void on_refused(void *user, int error, const struct clv_client_result *result)
{
	(void)user, (void)result;
	assert_int_not_equal(error, 0);
	f.reported_refused++;
}

static void on_ended(void *user, int error)
{
	(void)user, (void)error;
	f.reported_ended++;
}

static void on_full(void *user, uint32_t places)
{
	(void)user;
	f.places = places;
	f.reported_full++;
}

static const struct clv_forward_ops ops = { on_open, on_refused, on_ended, on_full };

static struct clv_relay_session *const session = (struct clv_relay_session *)&f;

static int set_up(void **state)
{
	const struct clv_forward_params p = {
		.host = "target.example",
		.port = 53,
		.senders_max = SENDERS_MAX,
		.held_packets = HELD_PACKETS,
		.held_bytes = HELD_BYTES,
		.retry_ns = RETRY_NS,
		.ops = &ops,
		.user = &f,
	};

	(void)state;
	memset(&f, 0, sizeof(f));
	f.now_ns = CLV_SEC;
	if (clv_forward_open(&p, &f.forward))
		return -1;
	clv_forward_set_now(f.forward, f.now_ns);
	clv_forward_set_session(f.forward, session);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	clv_forward_close(f.forward);
	return 0;
}

static void pass(uint64_t ns)
{
	f.now_ns += ns;
	clv_forward_set_now(f.forward, f.now_ns);
}

/* A local sender, named by its port, sends a datagram that belongs to no tunnel. */
static void send_from(unsigned port, const char *text)
{
	struct clv_evt_remote evt = { .socket = 7 };

	assert_int_equal(clv_endpoint_parse("127.0.0.1:5353", &evt.local), 0);
	assert_int_equal(clv_endpoint_parse("127.0.0.1:1", &evt.remote), 0);
	evt.remote.port = htons((uint16_t)port);
	clv_forward_new_remote(f.forward, &evt, (const uint8_t *)text, strlen(text));
}

static void expect(uint64_t held, uint64_t dropped)
{
	assert_int_equal(clv_forward_stats(f.forward)->held, held);
	assert_int_equal(clv_forward_stats(f.forward)->dropped, dropped);
}

/* ---- cases ---- */

static void datagrams_before_the_tunnel_is_open_are_sent_in_order(void **state)
{
	(void)state;
	send_from(1, "a");
	send_from(1, "b");
	send_from(1, "c");
	assert_int_equal(f.asked, 1);
	assert_string_equal(f.tunnels[0].sent, "");
	open_tunnel(0);
	assert_string_equal(f.tunnels[0].sent, "a;b;c;");
	assert_int_equal(f.reported_open, 1);
	/* one that left the worker before the tunnel was open */
	send_from(1, "d");
	assert_string_equal(f.tunnels[0].sent, "a;b;c;d;");
	assert_int_equal(f.asked, 1);
	expect(3, 0);
}

static void each_sender_has_its_own_tunnel(void **state)
{
	(void)state;
	send_from(1, "a");
	send_from(2, "b");
	assert_int_equal(f.asked, 2);
	open_tunnel(1);
	open_tunnel(0);
	assert_string_equal(f.tunnels[0].sent, "a;");
	assert_string_equal(f.tunnels[1].sent, "b;");
	assert_int_equal(f.tunnels[0].sender, 1);
	assert_int_equal(f.tunnels[1].sender, 2);
}

static void the_queue_is_limited_and_what_exceeds_it_is_counted(void **state)
{
	(void)state;
	for (int i = 0; i < HELD_PACKETS + 2; i++)
		send_from(1, "x");
	expect(HELD_PACKETS, 2);
	/* of all senders together: 20 bytes, of which 4 are used */
	send_from(2, "sixteen bytes...");
	expect(HELD_PACKETS + 1, 2);
	send_from(3, "y");
	expect(HELD_PACKETS + 1, 3);
	/* and they are returned */
	open_tunnel(1);
	send_from(3, "z");
	expect(HELD_PACKETS + 2, 3);
	open_tunnel(2);
	assert_string_equal(f.tunnels[2].sent, "z;");
}

static void a_refused_sender_waits_before_the_next_request(void **state)
{
	(void)state;
	send_from(1, "a");
	refuse_tunnel(0);
	assert_int_equal(f.reported_refused, 1);
	expect(1, 1);
	pass(RETRY_NS - 1);
	send_from(1, "b");
	assert_int_equal(f.asked, 1);
	expect(1, 2);
	send_from(2, "others do not wait");
	assert_int_equal(f.asked, 2);
	pass(1);
	send_from(1, "c");
	assert_int_equal(f.asked, 3);
	open_tunnel(2);
	assert_string_equal(f.tunnels[2].sent, "c;");
}

static void a_tunnel_that_cannot_be_requested_counts_as_refused(void **state)
{
	(void)state;
	f.open_err = CLV_EFULL;
	send_from(1, "a");
	assert_int_equal(f.reported_refused, 1);
	expect(1, 1);
	f.open_err = 0;
	send_from(1, "b");
	assert_int_equal(f.asked, 0);
	pass(RETRY_NS);
	send_from(1, "c");
	assert_int_equal(f.asked, 1);
}

static void a_tunnel_that_ended_is_requested_again_for_the_next_datagram(void **state)
{
	(void)state;
	send_from(1, "a");
	open_tunnel(0);
	pass(RETRY_NS);
	end_tunnel(0);
	assert_int_equal(f.reported_ended, 1);
	send_from(1, "b");
	assert_int_equal(f.asked, 2);
	open_tunnel(1);
	assert_string_equal(f.tunnels[1].sent, "b;");
}

static void a_tunnel_that_ends_as_soon_as_it_is_open_is_not_requested_at_once(void **state)
{
	(void)state;
	send_from(1, "a");
	open_tunnel(0);
	pass(RETRY_NS - 1);
	end_tunnel(0);
	send_from(1, "b");
	assert_int_equal(f.asked, 1);
	pass(RETRY_NS);
	send_from(1, "c");
	assert_int_equal(f.asked, 2);
}

static void a_full_table_replaces_a_sender_without_a_tunnel(void **state)
{
	(void)state;
	for (unsigned port = 1; port <= SENDERS_MAX; port++) {
		send_from(port, "x");
		open_tunnel(port - 1);
	}
	pass(RETRY_NS);
	end_tunnel(1);
	send_from(4, "y");
	assert_int_equal(f.asked, SENDERS_MAX + 1);
	open_tunnel(SENDERS_MAX);
	assert_string_equal(f.tunnels[SENDERS_MAX].sent, "y;");
	assert_int_equal(clv_forward_stats(f.forward)->evicted, 0);
	assert_int_equal(f.reported_full, 0);
}

static void answer(unsigned tunnel)
{
	f.tunnels[tunnel].stats.to_target_packets++;
	f.tunnels[tunnel].stats.last_ns = f.now_ns;
}

static void open_all(void)
{
	for (unsigned port = 1; port <= SENDERS_MAX; port++) {
		pass(CLV_MSEC);
		send_from(port, "x");
		open_tunnel(port - 1);
	}
}

static void the_longest_silent_sender_makes_room(void **state)
{
	(void)state;
	open_all();
	pass(CLV_MSEC);
	answer(0); /* so that the second is the longest silent */
	pass(CLV_MSEC);
	send_from(4, "y");
	assert_int_equal(f.asked, SENDERS_MAX + 1);
	assert_false(f.tunnels[0].is_closed);
	assert_true(f.tunnels[1].is_closed);
	assert_false(f.tunnels[2].is_closed);
	open_tunnel(SENDERS_MAX);
	assert_string_equal(f.tunnels[SENDERS_MAX].sent, "y;");
	send_from(5, "z");
	assert_true(f.tunnels[2].is_closed);
	assert_int_equal(clv_forward_stats(f.forward)->evicted, 2);
	assert_int_equal(clv_forward_stats(f.forward)->dropped, 0);
	assert_int_equal(f.reported_full, 1);
	assert_int_equal(f.places, SENDERS_MAX);
}

/* One sender asks and is answered for longer than any query; then each place is asked for often. */
static void a_conversation_is_spared_while_queries_come_and_go(void **state)
{
	(void)state;
	open_all();
	pass(3 * CLV_SEC);
	answer(0);
	for (unsigned port = 4; port < 4 + TUNNELS_MAX - SENDERS_MAX; port++) {
		pass(CLV_SEC);
		send_from(port, "q");
		open_tunnel(port - 1);
		answer(port - 1);
		assert_string_equal(f.tunnels[port - 1].sent, "q;");
	}
	assert_false(f.tunnels[0].is_closed);
	assert_int_equal(clv_forward_stats(f.forward)->evicted, TUNNELS_MAX - SENDERS_MAX);
}

static void a_relay_with_fewer_places_is_not_asked_for_more(void **state)
{
	const struct clv_client_result full = { .err = CLV_EFULL, .status = 503 };

	(void)state;
	send_from(1, "a");
	open_tunnel(0);
	pass(CLV_MSEC);
	send_from(2, "b");
	f.tunnels[1].p.ops->on_closed(f.tunnels[1].p.user, CLV_EFULL, &full);
	pass(CLV_MSEC);
	send_from(3, "c");
	assert_true(f.tunnels[0].is_closed);
	assert_int_equal(f.places, 1);
	open_tunnel(2);
	assert_string_equal(f.tunnels[2].sent, "c;");
}

static void without_a_session_nothing_is_requested_and_the_next_one_starts_at_once(void **state)
{
	(void)state;
	send_from(1, "a");
	open_tunnel(0);
	f.tunnels[0].p.ops->on_closed(f.tunnels[0].p.user, CLV_ECLOSED, NULL);
	clv_forward_set_session(f.forward, NULL);
	send_from(1, "b");
	send_from(2, "c");
	assert_int_equal(f.asked, 1);
	assert_int_equal(f.reported_refused, 0); /* the session reports the reason */
	clv_forward_set_session(f.forward, session);
	send_from(1, "d");
	send_from(2, "e");
	assert_int_equal(f.asked, 3);
}

static void closing_ends_open_and_requested_tunnels(void **state)
{
	(void)state;
	send_from(1, "a");
	open_tunnel(0);
	send_from(2, "kept");
	clv_forward_close(f.forward);
	f.forward = NULL;
	assert_true(f.tunnels[0].is_closed && f.tunnels[1].is_closed);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(datagrams_before_the_tunnel_is_open_are_sent_in_order),
		CASE(each_sender_has_its_own_tunnel),
		CASE(the_queue_is_limited_and_what_exceeds_it_is_counted),
		CASE(a_refused_sender_waits_before_the_next_request),
		CASE(a_tunnel_that_cannot_be_requested_counts_as_refused),
		CASE(a_tunnel_that_ended_is_requested_again_for_the_next_datagram),
		CASE(a_tunnel_that_ends_as_soon_as_it_is_open_is_not_requested_at_once),
		CASE(a_full_table_replaces_a_sender_without_a_tunnel),
		CASE(the_longest_silent_sender_makes_room),
		CASE(a_conversation_is_spared_while_queries_come_and_go),
		CASE(a_relay_with_fewer_places_is_not_asked_for_more),
		CASE(without_a_session_nothing_is_requested_and_the_next_one_starts_at_once),
		CASE(closing_ends_open_and_requested_tunnels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
