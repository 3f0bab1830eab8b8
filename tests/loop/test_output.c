/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A hog and a bystander on a slow link between client and relay: one sender offers several times
 * what the link takes, and others, through the same connection, hardly notice.
 *
 *   client 198.18.0.2 - link, 20 Mbit/s - relay - remotes: the hog, the bystander
 */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "control/peer/bound_tunnel.h"
#include "datapath/base/clock.h"
#include "tests/loop/fixture.h"
#include "tests/loop/remote.h"

#define LINK_BITS_PER_SEC UINT64_C(20000000)
#define DELAY_NS	  (10 * CLV_MSEC)
/* The round trip while the link's buffer is full. */
#define ROUND_TRIP_NS (2 * DELAY_NS + BUFFER_BYTES * 8 * CLV_SEC / LINK_BITS_PER_SEC)

enum {
	BUFFER_BYTES = 50000, /* what the link takes in a round trip */
	HOG = 0,	      /* applications, and tunnels of theirs */
	BYSTANDER = 1,
	ASKING = 2,
	HOG_BYTES = 1200,
	BYSTANDER_BYTES = 200,
	BYSTANDER_EVERY_MSEC = 10,
	WARM_UP_MSEC = 1000,
	SECONDS = 10,
};

struct fixture {
	struct world *w;
	struct remote hog, bystander; /* the remotes */
	struct clv_bound_tunnel *bound;
	struct clv_endpoint bound_port;
	unsigned bound_received; /* from the bystander */
	bool is_up;		 /* from the client to the relay, not from the remotes to it */
	uint64_t credit;	 /* bits that the hog may still send this millisecond */
	unsigned sent;		 /* by the bystander */
	uint32_t number;
};

/* ---- the world ---- */

static struct fixture *setup(bool is_up)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct wire *wire;

	assert_non_null(f);
	f->is_up = is_up;
	f->w = world_new(&(struct world_params){
		.limits = { .queue = { .packets = 256, .sojourn_ns = 50 * CLV_MSEC } } });
	remote_join(&f->hog, f->w, R4);
	remote_join(&f->bystander, f->w, S4);
	wire = &f->w->wire;
	wire->delay_ns = DELAY_NS;
	memcpy(wire->slow_host, f->w->clients[0].endpoint.addr, sizeof(wire->slow_host));
	wire->to_slow = wire->from_slow = (struct wire_link){
		.bits_per_sec = LINK_BITS_PER_SEC,
		.buffer = BUFFER_BYTES,
	};
	assert_true(world_connect(f->w, 0));
	return f;
}

static void teardown(struct fixture *f)
{
	world_free(f->w);
	free(f);
}

/* Both have a tunnel, and the remotes know the relay's ports. */
static struct fixture *setup_tunnels(bool is_up)
{
	struct fixture *f = setup(is_up);
	const struct world_app *apps = f->w->clients[0].apps;

	assert_int_equal(world_tunnel(f->w, 0, HOG, "198.18.5.1", 9000), 0);
	assert_int_equal(world_tunnel(f->w, 0, BYSTANDER, "198.18.5.2", 9000), 0);
	world_run(f->w, CLV_SEC, NULL);
	assert_true(apps[HOG].opened && apps[BYSTANDER].opened);
	world_app_send(f->w, 0, HOG, 10, 0);
	world_app_send(f->w, 0, BYSTANDER, 10, 0);
	world_run(f->w, CLV_SEC, NULL);
	assert_int_equal(f->hog.received + f->bystander.received, 2);
	return f;
}

static void on_bound_open(void *user, const struct clv_client_result *result)
{
	((struct fixture *)user)->bound_port = result->public_addrs[0];
}

static void on_bound_datagram(void *user, const struct clv_endpoint *remote, const uint8_t *payload,
			      size_t len)
{
	struct fixture *f = user;

	(void)payload;
	(void)len;
	f->bound_received += !memcmp(remote, &f->bystander.endpoint, sizeof(*remote));
}

static void bound_nothing(void *user, const struct clv_endpoint *remote, int error)
{
	(void)user;
	(void)remote;
	(void)error;
}

static void bound_refused(void *user, int error, const struct clv_client_result *result)
{
	(void)user;
	(void)result;
	assert_int_equal(error, 0);
}

static void bound_ended(void *user, int error)
{
	(void)user;
	(void)error;
}

static const struct clv_bound_tunnel_ops bound_ops = {
	.on_open = on_bound_open,
	.on_remote_refused = bound_nothing,
	.on_refused = bound_refused,
	.on_ended = bound_ended,
	.on_datagram = on_bound_datagram,
};

/* Both are remotes of one bound tunnel. */
static struct fixture *setup_bound(bool is_up)
{
	struct fixture *f = setup(is_up);
	const struct clv_bound_tunnel_params p = {
		.remotes_max = 16,
		.idle_ns = 60 * CLV_SEC,
		.ops = &bound_ops,
		.user = f,
		.now_ns = &f->w->wire.now_ns,
	};

	assert_int_equal(clv_bound_tunnel_open(&p, &f->bound), 0);
	clv_bound_tunnel_set_session(f->bound, f->w->clients[0].session);
	world_run(f->w, CLV_SEC, NULL);
	assert_int_not_equal(f->bound_port.port, 0);
	return f;
}

static void teardown_bound(struct fixture *f)
{
	clv_bound_tunnel_close(f->bound);
	world_run(f->w, CLV_SEC, NULL);
	teardown(f);
}

/* ---- the load ---- */

static void offer(struct fixture *f, struct remote *r, unsigned app, size_t len)
{
	static const uint8_t payload[HOG_BYTES];

	if (f->is_up && f->bound)
		clv_bound_tunnel_send(f->bound, &r->endpoint, payload, len);
	else if (f->is_up)
		world_app_send(f->w, 0, app, len, f->number++);
	else
		wire_send(&f->w->wire, &r->endpoint, f->bound ? &f->bound_port : &r->heard, 0,
			  payload, len);
}

static uint64_t arrived(const struct fixture *f)
{
	if (f->is_up)
		return f->bystander.received;
	return f->bound ? f->bound_received : f->w->clients[0].apps[BYSTANDER].received;
}

/* The hog offers percent of the link for msec milliseconds; the bystander sends at its pace. */
static void load(struct fixture *f, unsigned percent, unsigned msec)
{
	for (unsigned i = 0; i < msec; i++) {
		f->credit += LINK_BITS_PER_SEC / 1000 * percent / 100;
		for (; f->credit >= HOG_BYTES * 8; f->credit -= HOG_BYTES * 8)
			offer(f, &f->hog, HOG, HOG_BYTES);
		if (i % BYSTANDER_EVERY_MSEC == 0) {
			offer(f, &f->bystander, BYSTANDER, BYSTANDER_BYTES);
			f->sent++;
		}
		world_run(f->w, CLV_MSEC, NULL);
	}
}

static void expect_bystander_served(struct fixture *f, unsigned percent)
{
	uint64_t before;

	load(f, percent, WARM_UP_MSEC);
	world_run(f->w, CLV_SEC, NULL);
	f->sent = 0;
	before = arrived(f);
	load(f, percent, SECONDS * 1000);
	world_run(f->w, CLV_SEC, NULL);
	print_message("%u %% of the link %s: %u of %u\n", percent, f->is_up ? "up" : "down",
		      (unsigned)(arrived(f) - before), f->sent);
	assert_in_range(arrived(f) - before, f->sent * 99 / 100, f->sent);
}

/* ---- cases ---- */

static const unsigned loads[] = { 150, 500 };

static void test_second_tunnel(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2 * COUNT(loads); i++) {
		struct fixture *f = setup_tunnels(i & 1);

		expect_bystander_served(f, loads[i / 2]);
		teardown(f);
	}
}

static void test_second_remote(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2 * COUNT(loads); i++) {
		struct fixture *f = setup_bound(i & 1);

		expect_bystander_served(f, loads[i / 2]);
		teardown_bound(f);
	}
}

static void test_request(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct fixture *f = setup_tunnels(i);
		struct world_app *app = &f->w->clients[0].apps[ASKING];
		unsigned worst = 0;

		load(f, 500, WARM_UP_MSEC);
		for (unsigned k = 0; k < 50; k++) {
			unsigned msec = 0;

			assert_int_equal(world_tunnel(f->w, 0, ASKING, "198.18.1.1", 7000), 0);
			for (; !app->opened && msec < 5000; msec++)
				load(f, 500, 1);
			if (msec > worst)
				worst = msec;
			clv_relay_tunnel_close(app->tunnel);
			load(f, 500, 100);
		}
		print_message("%s: the worst took %u ms\n", f->is_up ? "up" : "down", worst);
		assert_in_range(worst, 1, 3 * ROUND_TRIP_NS / CLV_MSEC);
		teardown(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("a second tunnel keeps 99 % while the first floods the link",
		     test_second_tunnel),
		CASE("so does a second remote of one bound tunnel", test_second_remote),
		CASE("a request is answered within three round trips under five times overload",
		     test_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
