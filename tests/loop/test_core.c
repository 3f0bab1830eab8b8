/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The control core with a protocol of this test's own over its sessions: no HTTP, no proxy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "tests/loop/world.h"

enum {
	OVERLOAD_CODE = 0x71,
	INTERNAL_CODE = 0x72,
	CLOSE_CODE = 0x73,
	CANCEL_CODE = 0x74,
	CANCELS_PER_SEC = 10,
	STREAMS = 256,
};

/* One end's view of its session.  The relay's end answers each stream with what it received. */
struct end {
	struct clv_session *session; /* NULL before and after */
	int refuses;		     /* what established returns */
	bool is_ended;
	struct clv_session_end why;
	char received[64];
	size_t received_len;
	bool has_fin;
	uint64_t acked;
	unsigned closed_streams;
	struct clv_control_env env; /* the relay's */
	unsigned opened, route_changes;
	int tunnel_error;
};

struct fixture {
	struct world w;
	struct end relay, client;
};

/* ---- the protocol ---- */

static int established(void *app, struct clv_session *s)
{
	struct end *e = app;

	e->session = s;
	return e->refuses;
}

static void write_text(struct clv_session *s, int64_t id, const char *text)
{
	assert_int_equal(
		clv_session_stream_ops.write(s, id, (const uint8_t *)text, strlen(text), true), 0);
}

static void take(struct end *e, struct clv_session *s, const struct clv_stream_event *event)
{
	assert_true(e->received_len + event->len <= sizeof(e->received));
	if (event->len)
		memcpy(e->received + e->received_len, event->data, event->len);
	e->received_len += event->len;
	e->has_fin |= event->code == 1;
	clv_session_stream_ops.consumed(s, event->id, event->len);
}

static void stream(void *app, struct clv_session *s, const struct clv_stream_event *event)
{
	struct end *e = app;

	switch (event->type) {
	case CLV_STREAM_DATA:
		take(e, s, event);
		break;
	case CLV_STREAM_ACKED:
		e->acked += event->code;
		break;
	case CLV_STREAM_CLOSED:
		e->closed_streams++;
		break;
	default:
		break;
	}
}

static void stream_of_relay(void *app, struct clv_session *s, const struct clv_stream_event *event)
{
	stream(app, s, event);
	if (event->type == CLV_STREAM_DATA && event->code == 1)
		write_text(s, event->id, "answer");
}

static void ended(void *app, struct clv_session *s, const struct clv_session_end *why)
{
	struct end *e = app;

	(void)s;
	e->session = NULL;
	e->is_ended = true;
	e->why = *why;
}

static int opened(void *app, const struct clv_control_env *env)
{
	struct end *e = app;

	e->env = *env;
	e->opened++;
	return 0;
}

static void routes_changed(void *app)
{
	struct end *e = app;

	e->route_changes++;
}

static const struct clv_session_app_ops relay_ops = {
	.overload_code = OVERLOAD_CODE,
	.internal_code = INTERNAL_CODE,
	.opened = opened,
	.established = established,
	.stream = stream_of_relay,
	.ended = ended,
	.routes_changed = routes_changed,
};

static const struct clv_session_app_ops client_ops = {
	.established = established,
	.stream = stream,
	.ended = ended,
};

/* ---- the world ---- */

static struct fixture *open_world(void)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct world_params p = {
		.accept_ops = &relay_ops,
		.limits = { .stream_cancels_per_sec = CANCELS_PER_SEC },
	};

	assert_non_null(f);
	p.accept_app = &f->relay;
	world_open(&f->w, &p);
	return f;
}

static void close_world(struct fixture *f)
{
	world_close(&f->w);
	free(f);
}

static void connect_client(struct fixture *f)
{
	const struct clv_control_connect connect = {
		.local = f->w.clients[0].endpoint,
		.remote = f->w.relay_endpoint,
		.tls = f->w.client_tls,
		.profile = CLV_PROFILE_PQC,
		.server_name = "relay.test",
		.app_ops = &client_ops,
		.app = &f->client,
	};
	struct clv_session *s;

	assert_int_equal(
		clv_control_connect(f->w.clients[0].control, &connect, f->w.wire.now_ns, &s), 0);
	world_run(&f->w, 200 * CLV_MSEC, NULL);
}

static struct fixture *setup(void)
{
	struct fixture *f = open_world();

	connect_client(f);
	assert_non_null(f->client.session);
	assert_non_null(f->relay.session);
	return f;
}

static int64_t open_stream(struct fixture *f)
{
	int64_t id;

	assert_int_equal(clv_session_stream_ops.open_bidi(f->client.session, &id), 0);
	return id;
}

/* ---- cases ---- */

static void test_streams(void **state)
{
	struct fixture *f = setup();

	(void)state;
	write_text(f->client.session, open_stream(f), "question");
	world_run(&f->w, 200 * CLV_MSEC, NULL);
	assert_int_equal(f->relay.received_len, strlen("question"));
	assert_memory_equal(f->relay.received, "question", strlen("question"));
	assert_true(f->relay.has_fin);
	assert_int_equal(f->client.received_len, strlen("answer"));
	assert_memory_equal(f->client.received, "answer", strlen("answer"));
	assert_true(f->client.has_fin);
	assert_int_equal(f->client.acked, strlen("question"));
	assert_int_equal(f->relay.closed_streams, 1);
	assert_int_equal(f->client.closed_streams, 1);
	close_world(f);
}

static void test_close(void **state)
{
	struct fixture *f = setup();

	(void)state;
	clv_session_close(f->client.session, true, CLOSE_CODE, "done");
	world_run(&f->w, CLV_SEC, NULL);
	assert_true(f->relay.is_ended && f->client.is_ended);
	assert_true(f->relay.why.is_remote && f->relay.why.is_app);
	assert_int_equal(f->relay.why.code, CLOSE_CODE);
	assert_true(f->relay.why.was_established);
	assert_false(f->client.why.is_remote);
	close_world(f);
}

/* Closed by control itself, with the code that the app has for it. */
static void expect_closed_by_relay(const struct fixture *f, uint64_t code)
{
	assert_true(f->relay.is_ended && f->client.is_ended);
	assert_true(f->client.why.is_remote && f->client.why.is_app);
	assert_int_equal(f->client.why.code, code);
}

static void test_refused(void **state)
{
	struct fixture *f = open_world();

	(void)state;
	f->relay.refuses = -1;
	connect_client(f);
	world_run(&f->w, CLV_SEC, NULL);
	expect_closed_by_relay(f, INTERNAL_CODE);
	close_world(f);
}

static void test_cancelled_streams(void **state)
{
	struct fixture *f = setup();

	(void)state;
	/* the allowance of ten seconds may be used at once, and not more */
	for (unsigned i = 0; i < 2 * 10 * CANCELS_PER_SEC && f->client.session; i++) {
		int64_t id = open_stream(f);

		clv_session_stream_ops.reset(f->client.session, id, CANCEL_CODE);
		clv_session_stream_ops.stop(f->client.session, id, CANCEL_CODE);
		world_run(&f->w, CLV_MSEC, NULL);
	}
	world_run(&f->w, CLV_SEC, NULL);
	expect_closed_by_relay(f, OVERLOAD_CODE);
	assert_int_equal(world_count(&f->w, CLV_COUNT_STREAM_FLOODS), 1);
	close_world(f);
}

static void on_tunnel_gone(void *user, int error)
{
	struct end *e = user;

	e->tunnel_error = error;
}

static const struct clv_session_tunnel_ops tunnel_ops = { .gone = on_tunnel_gone };

static bool is_target(void *user, const struct clv_endpoint *target)
{
	const struct fixture *f = user;

	return clv_endpoint_equal(target, &f->w.target);
}

static void test_tunnel_is_ended(void **state)
{
	struct fixture *f = setup();
	struct clv_session_tunnel tunnel = {
		.spec.remote = f->w.target,
		.ops = &tunnel_ops,
		.user = &f->relay,
	};
	const struct clv_control_env *env = &f->relay.env;
	const struct clv_egress_wish wish = { .remote = &f->w.target };
	struct clv_route route;
	struct clv_ref ref;

	(void)state;
	assert_int_equal(env->host_ops->route(env->host, NULL, f->w.target.addr, &route), 0);
	tunnel.spec.hop = route.hop;
	assert_int_equal(env->host_ops->egress_take(env->host, &route, &wish, &tunnel.egress), 0);
	tunnel.spec.local = tunnel.egress.local;
	assert_int_equal(clv_session_tunnel_open(f->relay.session, &tunnel, &ref), 0);
	world_run(&f->w, 10 * CLV_MSEC, NULL);
	clv_control_end_tunnels(env->control, is_target, f, CLV_EDENIED);
	assert_int_equal(f->relay.tunnel_error, CLV_EDENIED);
	world_run(&f->w, 10 * CLV_MSEC, NULL);
	assert_int_equal(f->w.relay.egress_held, 0);
	close_world(f);
}

static void test_app_is_told_of_the_machine(void **state)
{
	struct fixture *f = setup();

	(void)state;
	assert_int_equal(f->relay.opened, 1);
	assert_ptr_equal(f->relay.env.control, f->w.relay.control);
	assert_int_equal(*f->relay.env.now_ns, f->w.last_turn_ns);
	clv_control_routes_changed(f->w.relay.control);
	assert_int_equal(f->relay.route_changes, 1);
	close_world(f);
}

int main(void)
{
#define CASE(name, fn)                                                                             \
	{                                                                                          \
		name, fn, NULL, NULL, NULL                                                         \
	}
	const struct CMUnitTest tests[] = {
		CASE("bytes of a stream pass both ways, and its end", test_streams),
		CASE("a session closes with the code of its app", test_close),
		CASE("an app that refuses a session closes it", test_refused),
		CASE("too many cancelled streams close the session", test_cancelled_streams),
		CASE("tunnels are ended by their targets", test_tunnel_is_ended),
		CASE("the accepting app gets the environment and route changes",
		     test_app_is_told_of_the_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
