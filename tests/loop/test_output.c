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
#include "datapath/worker/state.h"
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
	SECONDS = 4,
	MANY = 200, /* senders of a flood */
};

struct fixture {
	struct world *w;
	struct remote hog, bystander; /* the remotes */
	struct clv_bound_tunnel *bound;
	struct clv_endpoint bound_port;
	unsigned bound_received; /* from the bystander */
	bool is_up;		 /* from the client to the relay, not from the remotes to it */
	bool is_many;		 /* the hog sends from many addresses, to the bound tunnel's port */
	uint64_t credit;	 /* bits that the hog may still send this millisecond */
	unsigned sent;		 /* by the bystander */
	uint32_t number;	 /* of datagrams of the hog */
	unsigned msec;		 /* under load */
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
static void open_tunnels(struct fixture *f)
{
	const struct world_app *apps = f->w->clients[0].apps;

	assert_int_equal(world_tunnel(f->w, 0, HOG, "198.18.5.1", 9000), 0);
	assert_int_equal(world_tunnel(f->w, 0, BYSTANDER, "198.18.5.2", 9000), 0);
	world_run(f->w, CLV_SEC, NULL);
	assert_true(apps[HOG].opened && apps[BYSTANDER].opened);
	world_app_send(f->w, 0, HOG, 10, 0);
	world_app_send(f->w, 0, BYSTANDER, 10, 0);
	world_run(f->w, CLV_SEC, NULL);
	assert_int_equal(f->hog.received + f->bystander.received, 2);
}

static struct fixture *setup_tunnels(bool is_up)
{
	struct fixture *f = setup(is_up);

	open_tunnels(f);
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
	struct clv_endpoint from = r->endpoint;

	if (f->is_many && app == HOG) {
		from.addr[15] = (uint8_t)(f->number++ % MANY);
		wire_send(&f->w->wire, &from, &f->bound_port, 0, payload, len);
	} else if (f->is_many) {
		wire_send(&f->w->wire, &from, &r->heard, 0, payload, len);
	} else if (f->is_up && f->bound) {
		clv_bound_tunnel_send(f->bound, &r->endpoint, payload, len);
	} else if (f->is_up) {
		world_app_send(f->w, 0, app, len, f->number++);
	} else {
		wire_send(&f->w->wire, &from, f->bound ? &f->bound_port : &r->heard, 0, payload,
			  len);
	}
}

static uint64_t arrived(const struct fixture *f)
{
	if (f->is_up)
		return f->bystander.received;
	return f->bound && !f->is_many ? f->bound_received
				       : f->w->clients[0].apps[BYSTANDER].received;
}

/* The hog offers percent of the link for msec milliseconds; the bystander sends at its pace. */
static void load(struct fixture *f, unsigned percent, unsigned msec)
{
	for (unsigned i = 0; i < msec; i++) {
		f->credit += LINK_BITS_PER_SEC / 1000 * percent / 100;
		for (; f->credit >= HOG_BYTES * 8; f->credit -= HOG_BYTES * 8)
			offer(f, &f->hog, HOG, HOG_BYTES);
		if (f->msec++ % BYSTANDER_EVERY_MSEC == 0) {
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

/* Anybody can, from any address, to a bound tunnel's port. */
static void test_many_senders(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT(loads); i++) {
		struct fixture *f = setup_bound(false);

		open_tunnels(f);
		f->is_many = true;
		expect_bystander_served(f, loads[i]);
		teardown_bound(f);
	}
}

/* The relay's side of the client's connection. */
static struct clv_conn *conn_of(struct fixture *f)
{
	const struct clv_worker *worker = f->w->relay.workers[0];

	for (uint32_t i = 0; i < worker->p.conns_max; i++)
		if (worker->conns[i].conn)
			return worker->conns[i].conn;
	fail_msg("no connection");
	return NULL;
}

/* On the request stream of the hog's tunnel, where the client skips it: a capsule without end. */
static void fill_stream(struct clv_conn *conn, bool is_first)
{
	static const uint8_t head[] = { 0x00, 0xc0, 0, 0, 1, 0, 0, 0, 9,   /* DATA */
					0x17, 0xc0, 0, 0, 1, 0, 0, 0, 0 }; /* reserved type */
	static const uint8_t bytes[16384];

	if (is_first)
		assert_int_equal(clv_streams_write(&conn->streams, 0, head, sizeof(head), false),
				 0);
	while (conn->streams.backlog < 16 * sizeof(bytes))
		assert_int_equal(clv_streams_write(&conn->streams, 0, bytes, sizeof(bytes), false),
				 0);
}

static void test_big_stream(void **state)
{
	struct fixture *f = setup_tunnels(false);
	struct clv_conn *conn = conn_of(f);
	const struct world_app *apps = f->w->clients[0].apps;
	uint64_t hog, bystander, link = LINK_BITS_PER_SEC * SECONDS / 8;

	(void)state;
	load(f, 500, WARM_UP_MSEC);
	hog = apps[HOG].received;
	bystander = apps[BYSTANDER].received;
	f->sent = 0;
	for (unsigned i = 0; i < SECONDS * 1000; i++) {
		fill_stream(conn, !i);
		load(f, 500, 1);
	}
	print_message("of the link: %u %% datagrams\n",
		      (unsigned)((apps[HOG].received - hog) * HOG_BYTES * 100 / link));
	assert_in_range((apps[HOG].received - hog) * HOG_BYTES, link * 40 / 100, link * 55 / 100);
	assert_in_range(apps[BYSTANDER].received - bystander, f->sent * 99 / 100,
			f->sent + 2); /* some were on the way */
	assert_false(apps[HOG].closed);
	teardown(f);
}

/* A window that opens by leaps overflows a buffer that is short for the path, unless it is paced. */
static void test_short_buffer(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct fixture *f = setup_tunnels(i);
		struct wire *wire = &f->w->wire;
		uint64_t before, bytes;

		wire->delay_ns = 50 * CLV_MSEC;
		wire->to_slow.buffer = wire->from_slow.buffer = 12500; /* a tenth of a round trip */
		load(f, 150, 2 * WARM_UP_MSEC);
		before = f->is_up ? f->hog.received : f->w->clients[0].apps[HOG].received;
		load(f, 150, SECONDS * 1000);
		bytes = f->is_up ? f->hog.received : f->w->clients[0].apps[HOG].received;
		bytes = (bytes - before) * HOG_BYTES;
		print_message("%u %% of the link\n",
			      (unsigned)(bytes * 800 / (LINK_BITS_PER_SEC * SECONDS)));
		assert_in_range(bytes * 8, LINK_BITS_PER_SEC * SECONDS / 2,
				LINK_BITS_PER_SEC * SECONDS);
		teardown(f);
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
		CASE("so does a tunnel while many senders flood another", test_many_senders),
		CASE("a stream without end and a flood of datagrams share the link",
		     test_big_stream),
		CASE("a flood fills a long path with a short buffer", test_short_buffer),
		CASE("a request is answered within three round trips under five times overload",
		     test_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
