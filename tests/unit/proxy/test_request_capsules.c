/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where a tunnel's datagrams go: in frames of QUIC or in capsules, and where they wait. */
#include "tests/unit/check.h"

#include "control/masque/capsule.h"
#include "datapath/base/err.h"
#include "tests/unit/proxy/request_fixture.h"

static void test_a_request_that_overtakes_settings_waits_for_them(void **state)
{
	struct fixture *f = request_setup();

	(void)state;
	f->pipe.end[PIPE_CLIENT].hold_control = true;
	request_ask(f, UDP "8.8.8.8/53/");
	assert_int_equal(f->answer.status, 0);
	assert_int_equal(f->relay.opened, 0);
	f->pipe.end[PIPE_CLIENT].hold_control = false;
	pipe_run(&f->pipe);
	assert_int_equal(f->answer.status, 200);
	assert_false(f->relay.tunnels[0].params.spec.flags & CLV_TUNNEL_CAPSULES);
	request_teardown(f);
}

static void test_a_peer_without_datagram_frames_gets_capsules(void **state)
{
	struct fixture *f = request_setup_with(false, NULL);

	(void)state;
	request_ask(f, UDP "8.8.8.8/53/");
	assert_true(f->relay.tunnels[0].params.spec.flags & CLV_TUNNEL_CAPSULES);
	clv_connect_udp_datagram_up(f->relay.tunnels[0].rq, (const uint8_t *)"\0hello", 6);
	clv_connect_udp_datagram_up(f->relay.tunnels[0].rq, (const uint8_t *)"\0", 1);
	pipe_run(&f->pipe);
	assert_int_equal(f->answer.body_len, 11);
	assert_memory_equal(f->answer.body, "\x00\x06\x00hello\x00\x01\x00", 11);
	request_teardown(f);
}

static void test_a_slow_reader_of_capsules_loses_what_exceeds_the_backlog(void **state)
{
	struct fixture *f = request_setup_with(false, NULL);
	uint8_t datagram[1000] = { 0 };

	(void)state;
	request_ask(f, UDP "8.8.8.8/53/");
	f->pipe.end[PIPE_SERVER].hold_acks = true;
	for (int i = 0; i < 6; i++)
		clv_connect_udp_datagram_up(f->relay.tunnels[0].rq, datagram, sizeof(datagram));
	pipe_run(&f->pipe);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_CAPSULE_BACKLOG), 2);
	assert_int_equal(f->answer.body_len, 4 * 1003);
	clv_h3_acked(f->pipe.end[PIPE_SERVER].h3, 0, 4 * 1006);
	clv_connect_udp_datagram_up(f->relay.tunnels[0].rq, datagram, sizeof(datagram));
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_CAPSULE_BACKLOG), 2);
	pipe_run(&f->pipe);
	request_teardown(f);
}

static void test_datagram_capsules_reach_the_tunnel(void **state)
{
	static const char wire[] = "\x00\x06\x00hello" /* context 0 */
				   "\x17\x02xx"	       /* an unknown capsule */
				   "\x00\x01\x00"      /* an empty payload */
				   "\x00\x03\x02no"    /* a context nobody registered */
				   "\x00\x06\x00world";
	struct fixture *f = request_setup();

	(void)state;
	request_ask(f, UDP "8.8.8.8/53/");
	request_body(f, wire, sizeof(wire) - 1, false);
	assert_string_equal(f->relay.sent_text, "hello;;world;");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_UNKNOWN_CONTEXT), 1);
	request_teardown(f);
}

static void test_capsules_larger_than_the_path_mtu_are_skipped_and_counted(void **state)
{
	static const uint8_t head[] = { 0x00, 0x80, 0x01, 0x00, 0x00, 0x00 };	 /* 65536 bytes */
	static const uint8_t foreign[] = { 0x00, 0x80, 0x02, 0x00, 0x00, 0x02 }; /* context 2 */
	uint8_t zeros[4096] = { 0 };
	struct fixture *f = request_setup();

	(void)state;
	f->pipe.chunk = 1000;
	request_ask(f, UDP "8.8.8.8/53/");
	/* 65535 bytes of payload are more than any UDP packet has: that ends the tunnel. */
	request_body(f, head, sizeof(head), false);
	request_body(f, zeros, CLV_CAPSULE_PEEK_MAX, false);
	assert_int_equal(f->answer.reset_code, CLV_H3_DATAGRAM_ERROR);
	assert_int_equal(f->answer.stop_code, CLV_H3_DATAGRAM_ERROR);
	assert_int_equal(f->relay.closed, 1);

	/* A large one on an unknown context, and one that is only too large for the link. */
	request_ask(f, UDP "8.8.8.8/53/");
	request_body(f, foreign, sizeof(foreign), false);
	for (int left = 131072 - 1; left > 0; left -= (int)sizeof(zeros))
		request_body(f, zeros, left < (int)sizeof(zeros) ? (size_t)left : sizeof(zeros),
			     false);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_UNKNOWN_CONTEXT), 1);
	request_body(f, "\x00\x50\x00\x00", 4, false); /* 4096 bytes */
	request_body(f, zeros, 4095, false);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_TOO_BIG_TARGET), 1);
	request_body(f, "\x00\x03\x00ok", 5, false);
	assert_string_equal(f->relay.sent_text, "ok;");
	assert_int_equal(f->answer.reset_code, 0);
	request_teardown(f);
}

static void test_a_full_size_payload_passes_where_the_link_allows(void **state)
{
	static uint8_t capsule[5 + 65528] = { 0x00, 0x80, 0x00, 0xff, 0xf8, 0x00, 'x' };
	struct fixture *f = request_setup();

	(void)state;
	f->pipe.chunk = 5000;
	f->relay.mtu = 0; /* a route of the kernel without an MTU */
	request_ask(f, UDP "8.8.8.8/53/");
	request_body(f, capsule, sizeof(capsule), false);
	assert_int_equal(f->relay.sent, 1);
	assert_int_equal(f->relay.last_sent_len, 65527);
	assert_int_equal(f->relay.last_sent[0], 'x');
	request_teardown(f);
}

static void test_capsules_before_the_tunnel_are_kept_within_a_bound(void **state)
{
	uint8_t big[9003] = { 0x00, 0x63, 0x28 }; /* 9000 bytes */
	struct fixture *f = request_setup();

	(void)state;
	request_ask(f, UDP "t.example/53/");
	request_body(f, "\x00\x03\x00hi\x00\x06\x00there", 13, false);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_EARLY_HELD), 2);
	request_body(f, big, sizeof(big), false);
	request_body(f, big, sizeof(big), false);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_EARLY_HELD), 3);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_EARLY_FULL), 1);
	assert_int_equal(f->relay.sent, 0);
	fake_relay_resolved(&f->relay, 0, "8.8.8.8");
	pipe_run(&f->pipe);
	assert_int_equal(f->relay.sent, 3);
	assert_string_equal(f->relay.sent_text, "hi;there;");

	/* Without a tunnel they are counted as lost. */
	request_ask(f, UDP "t.example/53/");
	request_body(f, "\x00\x03\x00hi", 5, false);
	fake_relay_resolved(&f->relay, CLV_ENONAME, "");
	pipe_run(&f->pipe);
	assert_int_equal(f->answer.status, 502);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_EARLY_EXPIRED), 1);
	request_teardown(f);
}

static void test_bytes_that_wait_draw_on_one_budget(void **state)
{
	uint8_t capsule[403] = { 0x00, 0x41, 0x90 }; /* 400 bytes */
	struct fixture *f = request_setup();
	struct clv_budget *budget = &f->relay.budget;

	(void)state;
	f->pipe.chunk = 1000;
	budget->max = 300;
	/* for a tunnel to come */
	request_ask(f, UDP "t.example/53/");
	request_body(f, "\x00\x03\x00hi", 5, false);
	assert_true(budget->used > 0);
	request_body(f, capsule, sizeof(capsule), false);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_BUFFERED_FULL), 1);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_EARLY_FULL), 1);
	fake_relay_resolved(&f->relay, 0, "8.8.8.8");
	pipe_run(&f->pipe);
	assert_string_equal(f->relay.sent_text, "hi;");
	assert_int_equal(budget->used, 0);
	/* for its own rest: room for 200 bytes, not for 400 */
	request_body(f, "\x00\x40\xc8\x00x", 5, false);
	assert_int_equal(budget->used, 200);
	request_ask(f, UDP "8.8.8.8/53/");
	request_body(f, capsule, 5, false);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_BUFFERED_FULL), 2);
	assert_int_equal(f->answer.reset_code, CLV_H3_EXCESSIVE_LOAD);
	assert_int_equal(budget->used, 200); /* the other's, which goes on */
	assert_int_equal(clv_requests_tunnels(f->relay.requests), 1);
	clv_requests_free(f->relay.requests);
	f->relay.requests = NULL;
	f->pipe.end[PIPE_SERVER].h3 = NULL;
	assert_int_equal(budget->used, 0);
	request_teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_request_that_overtakes_settings_waits_for_them),
		cmocka_unit_test(test_a_peer_without_datagram_frames_gets_capsules),
		cmocka_unit_test(test_a_slow_reader_of_capsules_loses_what_exceeds_the_backlog),
		cmocka_unit_test(test_datagram_capsules_reach_the_tunnel),
		cmocka_unit_test(test_capsules_larger_than_the_path_mtu_are_skipped_and_counted),
		cmocka_unit_test(test_a_full_size_payload_passes_where_the_link_allows),
		cmocka_unit_test(test_capsules_before_the_tunnel_are_kept_within_a_bound),
		cmocka_unit_test(test_bytes_that_wait_draw_on_one_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
