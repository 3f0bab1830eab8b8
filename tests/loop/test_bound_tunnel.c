/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The client's side of a bound tunnel that is not joined: our client, the relay and some remotes.
 *
 *   bound tunnel - client 198.18.0.2 - wire - relay 198.18.0.1, 2001:db8::1 - wire - remotes
 */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "control/peer/bound_tunnel.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "tests/loop/fixture.h"
#include "tests/loop/hostile.h"
#include "tests/loop/remote.h"

#define DENIED "10.0.0.1:9000"

struct fixture {
	struct world *w;
	struct remote r4, s4, r6;
	struct clv_bound_tunnel *b;
	struct clv_endpoint ports[2]; /* the relay's: IPv4, IPv6 */
	unsigned opened, ended, refused;
	struct clv_endpoint last_refused;
	int refused_error;
	unsigned tunnels_refused;
	int tunnel_error;
	bool is_stuck_from_open; /* the relay, as soon as the tunnel is there */
	unsigned received;
	struct clv_endpoint last_from;
};

/* ---- what arrives ---- */

static void on_open(void *user, const struct clv_client_result *result)
{
	struct fixture *f = user;

	f->opened++;
	f->w->is_control_stuck = f->is_stuck_from_open;
	memset(f->ports, 0, sizeof(f->ports));
	for (unsigned i = 0; i < result->public_len; i++)
		f->ports[!clv_addr_is_v4(result->public_addrs[i].addr)] = result->public_addrs[i];
}

static void on_remote_refused(void *user, const struct clv_endpoint *remote, int error)
{
	struct fixture *f = user;

	f->refused++;
	f->last_refused = *remote;
	f->refused_error = error;
}

static void on_refused(void *user, int error, const struct clv_client_result *result)
{
	struct fixture *f = user;

	assert_int_equal(result->status, 0);
	f->tunnels_refused++;
	f->tunnel_error = error;
}

static void on_ended(void *user, int error)
{
	(void)error;
	((struct fixture *)user)->ended++;
}

static void on_datagram(void *user, const struct clv_endpoint *remote, const uint8_t *payload,
			size_t len)
{
	struct fixture *f = user;

	assert_int_equal(len, 5);
	assert_memory_equal(payload, "hello", 5);
	f->received++;
	f->last_from = *remote;
}

static const struct clv_bound_tunnel_ops ops = {
	.on_open = on_open,
	.on_remote_refused = on_remote_refused,
	.on_refused = on_refused,
	.on_ended = on_ended,
	.on_datagram = on_datagram,
};

/* ---- the world ---- */

static void run(struct fixture *f)
{
	world_run(f->w, 300 * CLV_MSEC, NULL);
}

struct how {
	bool is_closed, is_v4_only, is_firewall;
	uint32_t remotes_max, busy_per_sec;
	uint64_t relay_idle_ns;
	uint64_t answer_ns;
};

static struct fixture *setup(const struct how *how)
{
	struct world_params p = {
		.workers = 2,
		.clients = 1,
		.has_v6 = !how->is_v4_only,
		.answer_ns = how->answer_ns,
		.bind = { .is_offered = true,
			  .is_uncompressed = !how->is_firewall,
			  .tunnels_max = 16,
			  .contexts = { .open_max = 64, .unacked_max = 64, .id_gaps_max = 16 },
			  .context_idle_ns = how->relay_idle_ns },
	};
	struct fixture *f = calloc(1, sizeof(*f));
	struct clv_bound_tunnel_params params = {
		.is_closed = how->is_closed,
		.remotes_max = how->remotes_max ? how->remotes_max : 16,
		.busy_per_sec = how->busy_per_sec,
		.answer_ns = how->answer_ns,
		.idle_ns = 5 * CLV_SEC,
		.ops = &ops,
		.user = f,
	};

	assert_non_null(f);
	f->w = world_new(&p);
	params.now_ns = &f->w->wire.now_ns;
	remote_join(&f->r4, f->w, R4);
	remote_join(&f->s4, f->w, S4);
	remote_join(&f->r6, f->w, R6);
	assert_true(world_connect(f->w, 0));
	assert_int_equal(clv_bound_tunnel_open(&params, &f->b), 0);
	return f;
}

/* The session is up: request the tunnel, and wait until it is open. */
static void begin(struct fixture *f)
{
	clv_bound_tunnel_set_session(f->b, f->w->clients[0].session);
	run(f);
}

static void teardown(struct fixture *f)
{
	clv_bound_tunnel_close(f->b);
	run(f);
	assert_int_equal(f->w->relay.egress_held, 0);
	world_free(f->w);
	free(f);
}

static struct clv_endpoint endpoint(const char *text)
{
	struct clv_endpoint ep;

	assert_int_equal(clv_endpoint_parse(text, &ep), 0);
	return ep;
}

static void permit(struct fixture *f, const char *text)
{
	const struct clv_endpoint ep = endpoint(text);

	assert_int_equal(clv_bound_tunnel_permit(f->b, &ep), 0);
}

static void call(struct fixture *f, struct remote *r, unsigned times)
{
	while (times--)
		wire_send(&f->w->wire, &r->endpoint, &f->ports[!clv_addr_is_v4(r->endpoint.addr)],
			  0, (const uint8_t *)"hello", 5);
	run(f);
}

static void expect_from(struct fixture *f, const struct remote *r, unsigned times)
{
	assert_int_equal(f->received, times);
	if (times)
		assert_memory_equal(&f->last_from, &r->endpoint, sizeof(r->endpoint));
	f->received = 0;
}

static int answer(struct fixture *f, struct remote *r)
{
	int err = clv_bound_tunnel_send(f->b, &r->endpoint, (const uint8_t *)"hello", 5);

	run(f);
	return err;
}

static void expect_at(const struct fixture *f, struct remote *r)
{
	assert_int_equal(r->received, 1);
	assert_memory_equal(&r->heard, &f->ports[!clv_addr_is_v4(r->endpoint.addr)],
			    sizeof(r->heard));
	r->received = 0;
}

static unsigned count(const struct fixture *f, enum clv_counter which)
{
	return (unsigned)world_count(f->w, which);
}

/* ---- cases ---- */

static void test_open(void **state)
{
	struct fixture *f = setup(&(struct how){ 0 });

	(void)state;
	assert_int_equal(answer(f, &f->r4), CLV_ECLOSED);
	begin(f);
	assert_int_equal(f->opened, 1);
	call(f, &f->r4, 1);
	expect_from(f, &f->r4, 1);
	call(f, &f->r6, 1);
	expect_from(f, &f->r6, 1);
	assert_int_equal(answer(f, &f->r4), 0);
	expect_at(f, &f->r4);
	assert_int_equal(answer(f, &f->r6), 0);
	expect_at(f, &f->r6);
	assert_int_equal(f->refused + f->ended, 0);
	teardown(f);
}

static void test_closed(void **state)
{
	struct fixture *f = setup(&(struct how){ .is_closed = true });

	(void)state;
	permit(f, R4);
	begin(f);
	call(f, &f->s4, 1);
	expect_from(f, NULL, 0);
	call(f, &f->r4, 1);
	expect_from(f, &f->r4, 1);
	assert_int_equal(answer(f, &f->s4), CLV_EDENIED);
	assert_int_equal(answer(f, &f->r4), 0);
	expect_at(f, &f->r4);
	/* permitted later */
	permit(f, S4);
	run(f);
	call(f, &f->s4, 1);
	expect_from(f, &f->s4, 1);
	teardown(f);
}

static void test_permitted_stays(void **state)
{
	struct fixture *f = setup(&(struct how){ .is_closed = true, .relay_idle_ns = 2 * CLV_SEC });

	(void)state;
	permit(f, R4);
	permit(f, DENIED);
	begin(f);
	world_run(f->w, 15 * CLV_SEC, NULL);
	assert_true(count(f, CLV_COUNT_CONTEXTS_IDLE) > 3);
	call(f, &f->r4, 1);
	expect_from(f, &f->r4, 1);
	assert_int_equal(f->refused, 1); /* only the other one, and only once */
	teardown(f);
}

static void test_refused(void **state)
{
	struct fixture *f = setup(&(struct how){ .is_closed = true });

	(void)state;
	permit(f, DENIED);
	begin(f);
	assert_int_equal(f->refused, 1);
	assert_true(f->last_refused.port);
	world_run(f->w, 10 * CLV_SEC, NULL);
	assert_int_equal(f->refused, 1);
	assert_int_equal(count(f, CLV_COUNT_CONTEXT_REFUSED_POLICY), 1);
	permit(f, DENIED); /* registered once more */
	run(f);
	assert_int_equal(f->refused, 2);
	teardown(f);
}

static void test_firewall(void **state)
{
	struct fixture *f = setup(&(struct how){ .is_firewall = true });

	(void)state;
	permit(f, R4);
	begin(f);
	assert_int_equal(f->refused, 1);
	assert_int_equal(f->last_refused.port, 0); /* all other remotes */
	call(f, &f->s4, 1);
	expect_from(f, NULL, 0);
	call(f, &f->r4, 1);
	expect_from(f, &f->r4, 1);
	teardown(f);
}

static void test_family(void **state)
{
	struct fixture *f = setup(&(struct how){ .is_v4_only = true });

	(void)state;
	permit(f, R6);
	begin(f);
	assert_int_equal(f->refused, 1);
	assert_int_equal(answer(f, &f->r6), CLV_EUNROUTABLE);
	assert_int_equal(count(f, CLV_COUNT_CONTEXT_REFUSED_FAMILY) +
				 count(f, CLV_COUNT_REMOTE_REFUSED_FAMILY),
			 0);
	assert_int_equal(answer(f, &f->r4), 0);
	expect_at(f, &f->r4);
	teardown(f);
}

/* The only context that the relay allows is free again in the next session. */
static void test_sessions(void **state)
{
	struct fixture *f = setup(&(struct how){ .remotes_max = 1, .busy_per_sec = 5 });

	(void)state;
	begin(f);
	call(f, &f->r4, 10);
	expect_from(f, &f->r4, 10);
	assert_int_equal(count(f, CLV_COUNT_CONTEXTS_OPENED), 2); /* and the uncompressed one */
	clv_bound_tunnel_set_session(f->b, NULL);
	clv_relay_session_close(f->w->clients[0].session);
	world_run(f->w, 5 * CLV_SEC, NULL);
	assert_int_equal(f->ended, 1);
	assert_int_equal(answer(f, &f->r4), CLV_ECLOSED);
	assert_true(world_connect(f->w, 0));
	begin(f);
	assert_int_equal(f->opened, 2);
	call(f, &f->s4, 10);
	expect_from(f, &f->s4, 10);
	assert_int_equal(count(f, CLV_COUNT_CONTEXTS_OPENED), 4);
	teardown(f);
}

/* Idle remotes are removed during a session, by the client or by the relay. */
static void be_idle(uint64_t relay_idle_ns)
{
	struct fixture *f = setup(&(struct how){
		.remotes_max = 1, .busy_per_sec = 5, .relay_idle_ns = relay_idle_ns });

	begin(f);
	call(f, &f->r4, 10);
	call(f, &f->s4, 10); /* no room for its context: it uses the uncompressed one */
	assert_int_equal(f->received, 20);
	assert_int_equal(count(f, CLV_COUNT_CONTEXTS_OPENED), 2);
	world_run(f->w, 12 * CLV_SEC, NULL);
	call(f, &f->s4, 10);
	assert_int_equal(f->received, 30);
	assert_int_equal(count(f, CLV_COUNT_CONTEXTS_OPENED), 3);
	teardown(f);
}

static void test_idle(void **state)
{
	static const uint64_t relay_idle_ns[] = { 0, 2 * CLV_SEC };

	(void)state;
	for (size_t i = 0; i < COUNT(relay_idle_ns); i++)
		be_idle(relay_idle_ns[i]);
}

/* The relay's worker is made to use the ID once more, as if a datagram had been long on its way. */
static void test_late(void **state)
{
	struct fixture *f = setup(&(struct how){ .relay_idle_ns = 2 * CLV_SEC });
	struct clv_cmd_context_open again = {
		.ref = { .generation = 1 }, /* the first tunnel of its worker */
		.context_id = 4,	    /* 2 is the uncompressed context */
		.remote = { .endpoint = f->s4.endpoint, .remote = f->s4.endpoint },
	};
	const struct clv_worker_counters *client = clv_worker_counters(f->w->clients[0].worker);

	(void)state;
	begin(f);
	permit(f, R4);
	run(f);
	world_run(f->w, 6 * CLV_SEC, NULL); /* the relay closes it, and gets another one */
	assert_true(count(f, CLV_COUNT_CONTEXTS_IDLE) >= 1);
	again.remote.local = f->ports[0];
	for (uint16_t i = 0; i < 2; i++) /* whichever has it */
		assert_int_equal(clv_mailbox_send(f->w->relay.commands[i], CLV_CMD_CONTEXT_OPEN,
						  &again, sizeof(again), NULL, 0),
				 0);
	run(f);
	call(f, &f->s4, 3);
	expect_from(f, NULL, 0);
	assert_int_equal(clv_count_read(client, CLV_COUNT_DROP_CLOSED_CONTEXT), 3);
	call(f, &f->r4, 1);
	expect_from(f, &f->r4, 1);
	assert_int_equal(f->ended, 0);
	teardown(f);
}

/* ---- a relay that does not respond ---- */

/* The client expires unacknowledged registrations in time, as culvert_step does. */
static void wait(struct fixture *f, unsigned msec)
{
	const uint64_t until_ns = f->w->wire.now_ns + msec * CLV_MSEC;
	uint64_t next_ns;

	while (f->w->wire.now_ns < until_ns) {
		clv_bound_tunnel_step(f->b);
		next_ns = clv_bound_tunnel_next_ns(f->b);
		if (next_ns > until_ns)
			next_ns = until_ns;
		assert_true(next_ns > f->w->wire.now_ns);
		world_run(f->w, next_ns - f->w->wire.now_ns, NULL);
	}
	clv_bound_tunnel_step(f->b);
}

static void test_silence_to_a_request(void **state)
{
	struct fixture *f = setup(&(struct how){ .answer_ns = 2 * CLV_SEC });
	struct world_app *app = &f->w->clients[0].apps[0];

	(void)state;
	f->w->is_control_stuck = true;
	begin(f);
	assert_int_equal(world_tunnel(f->w, 0, 0, "198.18.1.1", 7000), 0);
	wait(f, 1600);
	assert_int_equal(f->tunnels_refused + (unsigned)app->closed, 0);
	wait(f, 500);
	assert_int_equal(f->tunnels_refused, 1);
	assert_int_equal(f->tunnel_error, CLV_ETIMEOUT);
	assert_int_equal(app->closed, 1);
	assert_int_equal(app->error, CLV_ETIMEOUT);
	assert_true(f->w->clients[0].is_up);
	/* the late response is ignored; that to a new request is not */
	f->w->is_control_stuck = false;
	begin(f);
	wait(f, 5000);
	assert_int_equal(f->opened, 1);
	assert_int_equal(f->tunnels_refused, 1);
	assert_int_equal(f->w->relay.egress_held, 2);
	call(f, &f->r4, 1);
	expect_from(f, &f->r4, 1);
	teardown(f);
}

static void test_silence_to_a_registration(void **state)
{
	struct fixture *f = setup(&(struct how){ .is_closed = true, .answer_ns = 2 * CLV_SEC });

	(void)state;
	permit(f, S4);
	begin(f);
	f->w->is_control_stuck = true;
	permit(f, R4);
	wait(f, 1900);
	assert_int_equal(f->refused, 0);
	wait(f, 1100); /* checked once a second */
	assert_int_equal(f->refused, 1);
	assert_int_equal(f->refused_error, CLV_ETIMEOUT);
	assert_memory_equal(&f->last_refused, &f->r4.endpoint, sizeof(f->last_refused));
	assert_int_equal(answer(f, &f->r4), CLV_EDENIED);
	/* a late acknowledgement is harmless; the other remote is unaffected */
	f->w->is_control_stuck = false;
	wait(f, 5000);
	assert_int_equal(f->refused, 1);
	call(f, &f->r4, 1);
	expect_from(f, NULL, 0);
	call(f, &f->s4, 1);
	expect_from(f, &f->s4, 1);
	permit(f, R4); /* registered once more */
	wait(f, 5000);
	call(f, &f->r4, 1);
	expect_from(f, &f->r4, 1);
	assert_int_equal(f->refused + f->ended, 1);
	teardown(f);
}

static void test_silence_to_the_uncompressed_context(void **state)
{
	struct fixture *f = setup(&(struct how){ .answer_ns = 2 * CLV_SEC });

	(void)state;
	f->is_stuck_from_open = true;
	begin(f);
	wait(f, 3000);
	assert_int_equal(f->opened, 1);
	assert_int_equal(f->refused, 1);
	assert_int_equal(f->refused_error, CLV_ETIMEOUT);
	assert_int_equal(f->last_refused.port, 0);
	f->w->is_control_stuck = false;
	wait(f, 3000);
	assert_int_equal(f->refused + f->ended, 1);
	call(f, &f->r4, 1);
	expect_from(f, NULL, 0);
	teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("every remote can send to an open tunnel, and gets replies", test_open),
		CASE("only permitted remotes can send to a closed tunnel", test_closed),
		CASE("a permitted remote is kept however long it is idle", test_permitted_stays),
		CASE("a permitted remote that the relay denies is reported once", test_refused),
		CASE("a relay that accepts permitted remotes only is reported", test_firewall),
		CASE("no remote is registered in a family without a port", test_family),
		CASE("a new session starts with permitted remotes only", test_sessions),
		CASE("an idle remote is removed", test_idle),
		CASE("a late datagram of a closed context is dropped at the client", test_late),
		CASE("a request without a response expires", test_silence_to_a_request),
		CASE("a registration without a response expires", test_silence_to_a_registration),
		CASE("so does that of the uncompressed context",
		     test_silence_to_the_uncompressed_context),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
