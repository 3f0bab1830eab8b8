/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Capsules of bound tunnels: datagrams in them, early ones, malformed ones; and tunnels that meet. */
#include "tests/unit/check.h"

#include "tests/unit/proxy/bound_fixture.h"

static void test_capsule_datagrams(void **state)
{
	struct fixture *f = bound_setup_uncompressed();

	(void)state;
	bound_send(f, "11080404" G4_HEX);
	bound_forget(f);
	bound_send(
		f,
		"0003046869 000302 6869"); /* compressed; uncompressed, for the worker to judge */
	EXPECT(f, "", "send4 send2 ");
	bound_send(f, "0003086869");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_UNKNOWN_CONTEXT), 1);
	bound_send(f, "130104 0003046869");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_CLOSED_CONTEXT), 1);
	assert_int_equal(f->answer.reset_code, 0);
	bound_send(f, "0003006869");
	assert_int_equal(f->answer.reset_code, CLV_H3_DATAGRAM_ERROR);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXT_ABORT_ZERO), 1);
	assert_int_equal(f->relay.closed, 1);
	request_teardown(f);
}

static void test_context_zero_told_by_worker(void **state)
{
	struct fixture *f = bound_setup_open();

	(void)state;
	bound_event(f, 0, CLV_EVT_CONTEXT_ZERO, NULL, 0);
	assert_int_equal(f->answer.reset_code, CLV_H3_DATAGRAM_ERROR);
	assert_int_equal(f->relay.closed, 1);
	request_teardown(f);
}

static void test_real_target(void **state)
{
	struct fixture *f = bound_setup();

	(void)state;
	bound_ask(f, UDP "8.8.8.8/53/");
	assert_string_equal(f->answer.bind, "?1");
	assert_string_equal(f->answer.public_address,
			    "\"198.18.0.1:40000\", \"[2001:db8::a]:40001\"");
	EXPECT(f, "", "+tunnel " PORTS);
	bound_send(f, "0003006869");
	assert_string_equal(f->relay.sent_text, "hi;");
	bound_send(f, "11080204" G4_HEX); /* its target's datagrams have an ID: 0 */
	EXPECT(f, "130102", "");
	bound_send(f, "11080404" H4_HEX);
	EXPECT(f, "120104", "+ctx4=" H4 " +map " H4 "=4 ");
	assert_int_equal(f->answer.reset_code, 0);
	request_teardown(f);
}

static void test_early(void **state)
{
	struct fixture *f = bound_setup();

	(void)state;
	bound_ask(f, UDP "t.example/53/");
	bound_send(f, "11020200 0003026869 11080404" H4_HEX "130104");
	EXPECT(f, "", "");
	fake_relay_resolved(&f->relay, 0, "8.8.8.8");
	pipe_run(&f->pipe);
	assert_int_equal(f->answer.status, 200);
	EXPECT(f, "120102120104",
	       "+tunnel " PORTS "+ctx2* +port4* +port6* send2 +ctx4=" H4 " +map " H4 "=4 -map " H4
	       " -ctx4 ");
	/* what is wrong ends the stream then */
	bound_ask(f, UDP "t.example/53/");
	bound_send(f, "11020100");
	fake_relay_resolved(&f->relay, 0, "8.8.8.8");
	pipe_run(&f->pipe);
	assert_int_equal(f->answer.reset_code, CLV_H3_MESSAGE_ERROR);
	/* registrations are not lost for want of room: the stream is */
	bound_ask(f, UDP "t.example/53/");
	for (int i = 0; i < 1000 && !f->answer.reset_code; i++)
		bound_send(f, "11020200");
	assert_int_equal(f->answer.reset_code, CLV_H3_EXCESSIVE_LOAD);
	request_teardown(f);
}

static const struct {
	const char *name, *wire;
	uint64_t code;
} wrong[] = {
	{ "ASSIGN of Context ID 0", "11020000", CLV_H3_MESSAGE_ERROR },
	{ "IP version 5", "1108040500000000 0050", CLV_H3_MESSAGE_ERROR },
	{ "a byte too many", "1103020000", CLV_H3_MESSAGE_ERROR },
	{ "a truncated address", "11050404cb0071", CLV_H3_MESSAGE_ERROR },
	{ "CLOSE of Context ID 0", "130100", CLV_H3_MESSAGE_ERROR },
	{ "ACK of what was never assigned", "120108", CLV_H3_MESSAGE_ERROR },
	{ "an odd ID of the client", "11020100", CLV_H3_MESSAGE_ERROR },
	{ "two uncompressed contexts", "11020200 11020400", CLV_H3_MESSAGE_ERROR },
	{ "an ID twice", "11020200 130102 11020200", CLV_H3_MESSAGE_ERROR },
	{ "a remote twice", "11080204" G4_HEX "11080404" G4_HEX, CLV_H3_MESSAGE_ERROR },
	{ "an ASSIGN of 28 bytes", "111c02", CLV_H3_MESSAGE_ERROR },
};

static void test_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct fixture *f = bound_setup_open();

		bound_send(f, wrong[i].wire);
		CHECK_ROW(wrong[i].name, f->answer.reset_code == wrong[i].code);
		CHECK_ROW(wrong[i].name, f->relay.closed == 1);
		CHECK_ROW(wrong[i].name, !f->pipe.end[PIPE_SERVER].closed);
		request_teardown(f);
	}
}

static void test_hairpin(void **state)
{
	struct fixture *f = bound_setup();
	struct clv_http_stream *first;

	(void)state;
	bound_ask(f, ANY);
	first = f->stream;
	bound_ask(f, ANY); /* 198.18.0.1:40002, [2001:db8::a]:40003 */
	EXPECT(f, "", "+tunnel " PORTS "+tunnel " PORTS);
	/* the relay's own address is no target, but for the port of a tunnel */
	bound_send(f, "11080204 c6120001 9c40");
	EXPECT(f, "120102", "+ctx2=198.18.0.1:40000! ");
	bound_send(f, "11080404 c6120001 9c4a");
	EXPECT(f, "130104", "");
	bound_send(f, "11080604 c6120001 9c42"); /* nor is its own */
	EXPECT(f, "130106", "");
	bound_send(f, "11020800");
	EXPECT(f, "120108", "+ctx8* +port4* +port6* ");
	bound_event(f, 1, CLV_EVT_REMOTE_NEW, "[2001:db8::a]:40001", 0);
	EXPECT(f, "", "+remote=[2001:db8::a]:40001! ");
	/* the far tunnel goes: what led there goes too */
	clv_http_abort(first, CLV_H3_REQUEST_CANCELLED);
	pipe_run(&f->pipe);
	EXPECT(f, "130102", "-port4 -port6 -remote=[2001:db8::a]:40001 -ctx2 -tunnel ");
	request_teardown(f);
}

/* A connection is lost whose two tunnels are each other's remotes. */
static void test_hairpin_of_a_lost_connection(void **state)
{
	struct fixture *f = bound_setup();
	struct clv_http_stream *second;

	(void)state;
	bound_ask(f, ANY);
	bound_send(f, "11020200");
	second = f->stream;
	bound_ask(f, ANY);
	bound_send(f, "11080204 c6120001 9c40");
	assert_string_equal(bound_capsules(f), "120102");
	f->stream = second;
	bound_send(f, "11080404 c6120001 9c42");
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, "[2001:db8::a]:40003", 0);
	request_teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("datagrams in capsules are judged by their Context ID",
		     test_capsule_datagrams),
		CASE("a worker's word on Context ID 0 ends the stream",
		     test_context_zero_told_by_worker),
		CASE("with a real target Context ID 0 keeps its meaning", test_real_target),
		CASE("capsules that overtake the tunnel wait for it", test_early),
		CASE("what is malformed resets the stream and nothing else", test_wrong),
		CASE("ports of two tunnels of one relay meet inside", test_hairpin),
		CASE("a lost connection takes tunnels that meet with it",
		     test_hairpin_of_a_lost_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
