/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Contexts and remotes of a bound tunnel: when they open and close, and who is informed. */
#include "tests/unit/check.h"

#include "control/proxy/bound_remotes.h"
#include "control/proxy/state.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "tests/unit/proxy/bound_fixture.h"

#define PRIV "0a000001 0035" /* 10.0.0.1 */

static void test_contexts(void **state)
{
	struct fixture *f = bound_setup_open();

	(void)state;
	/* worker, kernel, peer: in that order; and back in the other */
	bound_send(f, "11080404" G4_HEX);
	EXPECT(f, "120104", "+ctx4=" G4 " +map " G4 "=4 ");
	bound_send(f, "11140606" G6_HEX);
	EXPECT(f, "120106", "+ctx6=" G6 " +map " G6 "=6 ");
	bound_send(f, "130104");
	EXPECT(f, "", "-map " G4 " -ctx4 ");
	bound_send(f, "11020800");
	EXPECT(f, "120108", "+ctx8* +port4* +port6* ");
	bound_send(f, "130108");
	EXPECT(f, "", PORTS "-ctx8 ");
	clv_http_abort(f->stream, CLV_H3_REQUEST_CANCELLED);
	pipe_run(&f->pipe);
	EXPECT(f, "", "-port4 -port6 -map " G6 " -tunnel ");
	request_teardown(f);
}

static void test_kernel_path(void **state)
{
	struct fixture *f = bound_setup();

	(void)state;
	f->relay.via = CLV_VIA_KERNEL;
	bound_ask(f, ANY);
	EXPECT(f, "", "+tunnel ");
	bound_send(f, "11020200 11080404" G4_HEX);
	EXPECT(f, "120102120104", "+ctx2* +ctx4=" G4 " ");
	/* a route via an interface that the port is not on */
	f->relay.via = CLV_VIA_XSK;
	bound_send(f, "11080604" H4_HEX);
	EXPECT(f, "130106", "");
	bound_send(f, "130104");
	EXPECT(f, "", "-ctx4 ");
	request_teardown(f);
}

static void test_policy(void **state)
{
	struct fixture *f = bound_setup_uncompressed();

	(void)state;
	bound_send(f, "11080404" PRIV);
	EXPECT(f, "130104", "");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXT_REFUSED_POLICY), 1);
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, "10.0.0.1:53", 0);
	EXPECT(f, "", "-remote=10.0.0.1:53 ");
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, "[64:ff9b::a00:1]:53", 0);
	EXPECT(f, "", "-remote=[64:ff9b::a00:1]:53 ");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REMOTE_REFUSED_POLICY), 2);
	request_teardown(f);
}

static void test_policy_reload(void **state)
{
	static const char *const deny = "8.8.8.0/24";
	struct fixture *f = bound_setup_uncompressed();
	struct clv_policy *policy;
	char error[128];

	(void)state;
	bound_send(f, "11080404" G4_HEX);
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, "8.8.8.9:1", 0);
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, H4, 0);
	bound_forget(f);
	assert_int_equal(clv_policy_new(NULL, 0, &deny, 1, &policy, error, sizeof(error)), 0);
	f->relay.config.policy = policy;
	clv_connect_udp_recheck(f->relay.requests);
	pipe_run(&f->pipe);
	EXPECT(f, "130104", "-remote=8.8.8.9:1 -map " G4 " -ctx4 ");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REMOTES_REVOKED), 2);
	f->relay.config.policy = f->relay.policy;
	clv_policy_free(policy);
	/* one that becomes an address of the relay's own, too */
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, "1.1.1.2:1", 0);
	bound_forget(f);
	clv_addr_parse("1.1.1.2", f->relay.own);
	clv_connect_udp_recheck(f->relay.requests);
	EXPECT(f, "", "-remote=1.1.1.2:1 ");
	request_teardown(f);
}

static void test_routes(void **state)
{
	struct fixture *f = bound_setup_uncompressed();

	(void)state;
	bound_send(f, "11080404" G4_HEX);
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, H4, 0);
	bound_forget(f);
	clv_connect_udp_recheck(f->relay.requests);
	EXPECT(f, "", "");
	f->relay.has_v4 = false;
	clv_connect_udp_recheck(f->relay.requests);
	EXPECT(f, "", "+remote=" H4 "? +remote=" G4 "? ");
	f->relay.has_v4 = true;
	clv_connect_udp_recheck(f->relay.requests);
	EXPECT(f, "", "+remote=" H4 " +remote=" G4 " ");
	/* that one was idle meanwhile, and is there again: it must not be there unknown to us */
	bound_event(f, 0, CLV_EVT_REMOTE_IDLE, H4, 0);
	EXPECT(f, "", "-remote=" H4 " ");
	request_teardown(f);
}

static void test_no_uncompressed(void **state)
{
	struct fixture *f = bound_setup();

	(void)state;
	f->relay.settings.is_uncompressed = false;
	bound_ask(f, ANY);
	EXPECT(f, "", "+tunnel " PORTS);
	bound_send(f, "11020200");
	EXPECT(f, "130102", "");
	bound_send(f, "11080404" G4_HEX);
	EXPECT(f, "120104", "+ctx4=" G4 " +map " G4 "=4 ");
	bound_event(f, 0, CLV_EVT_REMOTE_BUSY, G4, 0);
	EXPECT(f, "", "");
	request_teardown(f);
}

static void test_uncompressed_remotes(void **state)
{
	struct fixture *f = bound_setup_uncompressed();

	(void)state;
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, G4, 0);
	EXPECT(f, "", "+remote=" G4 " ");
	/* once more: the answer got lost in a crossing */
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, G4, 0);
	EXPECT(f, "", "+remote=" G4 " ");
	/* it gets a context */
	bound_send(f, "11080404" G4_HEX);
	EXPECT(f, "120104", "+ctx4=" G4 " +map " G4 "=4 ");
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, H4, 0);
	EXPECT(f, "", "+remote=" H4 " ");
	bound_event(f, 0, CLV_EVT_REMOTE_IDLE, H4, 0); /* the worker forgot it */
	EXPECT(f, "", "");
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, H4, 0);
	EXPECT(f, "", "+remote=" H4 " ");
	/* with the context that they came by they go; others stay */
	bound_send(f, "130102");
	EXPECT(f, "", PORTS "-ctx2 -remote=" H4 " ");
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, H4, 0); /* crossed with it */
	EXPECT(f, "", "");
	bound_send(f, "130104");
	EXPECT(f, "", "-map " G4 " -ctx4 ");
	request_teardown(f);
}

static void test_ceiling_of_remotes(void **state)
{
	struct fixture *f = bound_setup_uncompressed();

	(void)state;
	clv_accounts_set_max(&f->relay.accounts, CLV_RESOURCE_REMOTES, 1);
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, G4, 0);
	EXPECT(f, "", "+remote=" G4 " ");
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, H4, 0);
	EXPECT(f, "", "-remote=" H4 ",full ");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REMOTE_REFUSED_FULL), 1);
	bound_send(f, "11080404" H4_HEX);
	EXPECT(f, "130104", "");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXT_REFUSED_FULL), 1);
	/* one that is there already may have its context */
	bound_send(f, "11080604" G4_HEX);
	EXPECT(f, "120106", "+ctx6=" G4 " +map " G4 "=6 ");
	request_teardown(f);
}

static void test_a_changed_neighbour_of_a_remote(void **state)
{
	struct fixture *f = bound_setup_uncompressed();
	struct clv_bound_tunnel *b = f->relay.tunnels[0].rq->bound;
	struct clv_endpoint remote;

	(void)state;
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, G4, 0);
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, H4, 0);
	EXPECT(f, "", "+remote=" G4 " +remote=" H4 " ");
	assert_int_equal(clv_endpoint_parse(G4, &remote), 0);
	f->relay.hop_state = CLV_HOP_UNREACHABLE;
	clv_bound_remotes_moved(f->relay.tunnels[0].rq,
				&clv_remote_list_find(&b->remotes, &remote)->host);
	EXPECT(f, "", "+remote=" G4 "? ");
	request_teardown(f);
}

static void test_full_map(void **state)
{
	struct fixture *f = bound_setup_uncompressed();

	(void)state;
	f->relay.publish_err = CLV_EFULL;
	bound_send(f, "11080404" G4_HEX);
	EXPECT(f, "130104", "+ctx4=" G4 " -map " G4 " -ctx4 ");
	/* ours, where it shows only when the peer has accepted */
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, H4, 0);
	bound_event(f, 0, CLV_EVT_REMOTE_BUSY, H4, 0);
	EXPECT(f, "11080104090909090035", "+remote=" H4 " +ctx1~=" H4 " ");
	bound_send(f, "120101");
	EXPECT(f, "130101", "+ctx1=" H4 " -map " H4 " -ctx1 ");
	f->relay.publish_err = 0;
	request_teardown(f);
}

static void test_busy(void **state)
{
	struct fixture *f = bound_setup_uncompressed();

	(void)state;
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, G4, 0);
	bound_event(f, 0, CLV_EVT_REMOTE_BUSY, G4, 0);
	EXPECT(f, "11080104080808080035", "+remote=" G4 " +ctx1~=" G4 " ");
	bound_event(f, 0, CLV_EVT_REMOTE_BUSY, G4, 0);
	EXPECT(f, "", "");
	bound_send(f, "120101");
	EXPECT(f, "", "+ctx1=" G4 " +map " G4 "=1 ");
	/* crossing: the client's comes in its place */
	bound_send(f, "11080404" G4_HEX);
	EXPECT(f, "130101120104", "-map " G4 " -ctx1 +ctx4=" G4 " +map " G4 "=4 ");
	request_teardown(f);
}

/* Datagrams come from it, and none goes there: the relay has not been asked about it before. */
static void test_busy_caller(void **state)
{
	struct fixture *f = bound_setup_uncompressed();

	(void)state;
	bound_event(f, 0, CLV_EVT_REMOTE_BUSY, G4, 0);
	EXPECT(f, "11080104080808080035", "+ctx1~=" G4 " ");
	bound_event(f, 0, CLV_EVT_REMOTE_BUSY, "10.0.0.1:53", 0);
	EXPECT(f, "", "");
	request_teardown(f);
}

static void test_rejected(void **state)
{
	struct fixture *f = bound_setup_uncompressed();

	(void)state;
	for (unsigned id = 1; id <= 5; id += 2) {
		char close[8];

		bound_event(f, 0, CLV_EVT_REMOTE_NEW, G4, 0);
		bound_event(f, 0, CLV_EVT_REMOTE_BUSY, G4, 0);
		assert_string_not_equal(bound_capsules(f), "");
		snprintf(close, sizeof(close), "1301%02x", id);
		bound_send(f, close);
		f->answer.body_len = 0;
	}
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, G4, 0);
	f->relay.trace[0] = '\0';
	bound_event(f, 0, CLV_EVT_REMOTE_BUSY, G4, 0);
	EXPECT(f, "", "");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXTS_REJECTED), 3);
	request_teardown(f);
}

static void test_idle(void **state)
{
	struct fixture *f = bound_setup_open();

	(void)state;
	bound_send(f, "11080404" G4_HEX);
	EXPECT(f, "120104", "+ctx4=" G4 " +map " G4 "=4 ");
	bound_event(f, 0, CLV_EVT_REMOTE_IDLE, G4, 6); /* of one that was before */
	EXPECT(f, "", "");
	bound_event(f, 0, CLV_EVT_REMOTE_IDLE, G4, 4);
	EXPECT(f, "130104", "-map " G4 " -ctx4 ");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXTS_IDLE), 1);
	request_teardown(f);
}

/* Register contexts of one remote, one after the other, with even IDs from first on. */
static void open_and_close(struct fixture *f, unsigned first, unsigned end)
{
	for (unsigned id = first; id < end; id += 2) {
		char hex[32];

		snprintf(hex, sizeof(hex), "110940%02x04" G4_HEX, id);
		bound_send(f, hex);
		snprintf(hex, sizeof(hex), "130240%02x", id);
		bound_send(f, hex);
	}
}

static void test_rate(void **state)
{
	struct fixture *f = bound_setup();

	(void)state;
	for (int tunnel = 0; tunnel < 2; tunnel++) {
		bound_ask(f, ANY);
		open_and_close(f, 4, 64);
	}
	/* 60 on two tunnels of one connection, at one moment */
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXTS_OPENED), 40);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXT_REFUSED_RATE), 20);
	f->relay.now_ns += 100000000;
	bound_forget(f);
	open_and_close(f, 64, 128);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXTS_OPENED), 44);
	/* a remote without a context is as much work */
	f->relay.now_ns += 50000000;
	bound_send(f, "1103408000");
	bound_forget(f);
	bound_event(f, 1, CLV_EVT_REMOTE_NEW, G4, 0);
	bound_event(f, 1, CLV_EVT_REMOTE_NEW, H4, 0);
	EXPECT(f, "", "+remote=" G4 " -remote=" H4 " ");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REMOTE_REFUSED_RATE), 1);
	request_teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("contexts reach worker, kernel and peer in order", test_contexts),
		CASE("over kernel sockets there is nothing to steer", test_kernel_path),
		CASE("policy is asked for every registration and every uncompressed remote",
		     test_policy),
		CASE("a new policy closes what it denies", test_policy_reload),
		CASE("next hops follow the routes", test_routes),
		CASE("the operator may forbid the uncompressed context", test_no_uncompressed),
		CASE("remotes without a context come and go with the uncompressed context",
		     test_uncompressed_remotes),
		CASE("remotes have a ceiling", test_ceiling_of_remotes),
		CASE("a changed neighbour concerns its remote alone",
		     test_a_changed_neighbour_of_a_remote),
		CASE("a full kernel table is a refusal", test_full_map),
		CASE("a busy remote gets a context of the relay's", test_busy),
		CASE("a remote that calls and is not answered may be busy, too", test_busy_caller),
		CASE("registrations have a rate, over all tunnels of a connection", test_rate),
		CASE("a peer that refuses contexts is not asked for ever", test_rejected),
		CASE("an idle context is closed", test_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
