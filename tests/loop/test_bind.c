/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bound tunnels from end to end: a hand-made peer, the relay, and remotes that anybody may be.
 *
 *   peer 198.18.0.1xx - wire - relay 198.18.0.1, 2001:db8::1 - wire - remotes
 *
 * Every test runs over AF_XDP's port and over kernel sockets, with one worker and with two.
 */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/session/dgram.h"
#include "tests/loop/hostile.h"

#define ANY	 "/.well-known/masque/udp/%2A/%2A/"
#define R4	 "198.18.5.1:9000"
#define R4_HEX	 "c6120501 2328"
#define S4	 "198.18.5.2:9000"
#define S4_HEX	 "c6120502 2328"
#define R6	 "[2001:db8:5::1]:9000"
#define R6_HEX	 "20010db8000500000000000000000001 2328"
#define DENIED	 "0a000001 2328" /* 10.0.0.1 */
#define REQUESTS 4

struct variant {
	const char *name;
	bool kernel_path;
	uint16_t workers;
};

static const struct variant variants[] = {
	{ "AF_XDP, one worker", false, 1 },
	{ "AF_XDP, two workers", false, 2 },
	{ "kernel sockets, one worker", true, 1 },
	{ "kernel sockets, two workers", true, 2 },
};

/* Somebody with a UDP port. */
struct remote {
	struct world *w;
	struct wire_end end;
	struct clv_endpoint endpoint, heard; /* heard: who sent last */
	unsigned received;
	char last[64]; /* its payload */
};

struct peer {
	struct raw *raw;
	unsigned datagrams;
	char last[256]; /* the last HTTP Datagram, in hexadecimal */
	size_t body_seen;
	struct clv_endpoint ports[2]; /* by the answer: IPv4, IPv6 */
};

struct fixture {
	struct world *w;
	struct peer a, b;
	struct remote r4, s4, r6;
};

static bool remote_deliver(void *self, const struct wire_packet *p)
{
	struct remote *r = self;

	if (!clv_endpoint_equal(&p->to, &r->endpoint))
		return false;
	r->received++;
	r->heard = p->from;
	snprintf(r->last, sizeof(r->last), "%.*s", (int)p->len, (const char *)p->bytes);
	return true;
}

static void remote_join(struct remote *r, struct world *w, const char *endpoint)
{
	*r = (struct remote){ .w = w, .end = { .deliver = remote_deliver, .self = r } };
	assert_int_equal(clv_endpoint_parse(endpoint, &r->endpoint), 0);
	wire_join(&w->wire, &r->end);
}

static void remote_send(struct remote *r, const struct clv_endpoint *to, const char *text)
{
	wire_send(&r->w->wire, &r->endpoint, to, 0, (const uint8_t *)text, strlen(text));
}

static void on_datagram(void *user, const uint8_t *data, size_t len)
{
	struct peer *p = user;
	struct clv_dgram d;

	assert_int_equal(clv_dgram_decode(data, len, &d), 0);
	if (d.context_id == CLV_DGRAM_CONTEXT_PROBE_SERVER)
		return;
	p->datagrams++;
	p->last[0] = '\0';
	for (size_t i = 0; i < len && i < 100; i++)
		sprintf(p->last + 2 * i, "%02x", data[i]);
}

static struct fixture *setup_limited(const struct variant *v, const struct clv_bind_settings *bind,
				     const struct clv_control_limits *limits)
{
	struct world_params p = {
		.workers = v->workers, .kernel_path = v->kernel_path, .has_v6 = true, .clients = 1
	};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	if (bind)
		p.bind = *bind;
	if (limits)
		p.limits = *limits;
	f->w = hostile_world(&p);
	remote_join(&f->r4, f->w, R4);
	remote_join(&f->s4, f->w, S4);
	remote_join(&f->r6, f->w, R6);
	return f;
}

static struct fixture *setup(const struct variant *v, const struct clv_bind_settings *bind)
{
	return setup_limited(v, bind, NULL);
}

/* Remotes that the workers know of. */
static unsigned remotes_known(const struct fixture *f)
{
	unsigned known = 0;

	for (uint16_t i = 0; i < f->w->p.workers; i++) {
		const struct clv_worker *w = f->w->relay.workers[i];
		struct clv_bound_view view;

		for (uint32_t slot = 0; slot < clv_worker_bound_slots(w); slot++)
			known += clv_worker_bound_view(w, slot, &view);
	}
	return known;
}

static void connect_peer(struct fixture *f, struct peer *p, unsigned number)
{
	p->raw = hostile_peer(f->w, number);
	p->raw->on_datagram = on_datagram;
	p->raw->user = p;
	f->w->relay.flow_worker = (uint16_t)(number % f->w->p.workers);
	assert_true(raw_connect(p->raw));
	raw_h3_start(p->raw);
}

static void run(struct fixture *f)
{
	raw_run(f->a.raw, 100 * CLV_MSEC);
	if (f->b.raw)
		raw_run(f->b.raw, 100 * CLV_MSEC);
	raw_run(f->a.raw, 100 * CLV_MSEC);
}

/* What became of the answer's Proxy-Public-Address. */
static void read_ports(struct peer *p, int64_t stream)
{
	char value[128], *text;

	assert_true(raw_field(p->raw, stream, "proxy-public-address", value, sizeof(value)));
	for (text = strtok(value, "\", "); text; text = strtok(NULL, "\", ")) {
		struct clv_endpoint ep;

		assert_int_equal(clv_endpoint_parse(text, &ep), 0);
		p->ports[!clv_addr_is_v4(ep.addr)] = ep;
	}
}

static void bind_peer(struct fixture *f, struct peer *p, const char *path)
{
	char value[16];

	raw_connect_bind(p->raw, 0, path);
	run(f);
	assert_int_equal(raw_status(p->raw, 0), 200);
	assert_true(raw_field(p->raw, 0, "connect-udp-bind", value, sizeof(value)));
	assert_string_equal(value, "?1");
	read_ports(p, 0);
}

static struct fixture *setup_bound(const struct variant *v, const struct clv_bind_settings *bind)
{
	struct fixture *f = setup(v, bind);

	connect_peer(f, &f->a, 0);
	bind_peer(f, &f->a, ANY);
	return f;
}

static void teardown(struct fixture *f)
{
	struct world *w = f->w;

	hostile_peer_free(f->a.raw);
	if (f->b.raw)
		hostile_peer_free(f->b.raw);
	/* Whatever was held is free again when the connections are gone: idle from the last that the
	 * relay sent, which may be a probe of the path. */
	world_run(w, 90 * CLV_SEC, NULL);
	assert_int_equal(w->relay.egress_held, 0);
	for (unsigned i = 0; i < WORLD_TABLE_MAX; i++) {
		assert_false(w->relay.contexts.rows[i].used);
		assert_false(w->relay.bindings.rows[i].used);
	}
	hostile_world_free(w);
	free(f);
}

/* The capsules that came on stream 0 since the last look must be these. */
static void expect_capsules(struct peer *p, const char *hex)
{
	uint8_t body[RAW_STREAM_BYTES];
	char text[2 * RAW_STREAM_BYTES + 1] = "";
	size_t len = raw_body(p->raw, 0, body, sizeof(body));

	for (size_t i = p->body_seen; i < len; i++)
		sprintf(text + 2 * (i - p->body_seen), "%02x", body[i]);
	p->body_seen = len;
	assert_string_equal(text, hex);
}

static void say(struct fixture *f, struct peer *p, const char *hex, const char *answer)
{
	raw_capsules(p->raw, 0, hex);
	run(f);
	expect_capsules(p, answer);
}

/* A datagram of the peer; hex goes in front of the text. */
static void send_up(struct fixture *f, struct peer *p, uint64_t context, const char *hex,
		    const char *text)
{
	struct raw_bytes b = { .len = 0 };

	put_hex(&b, hex);
	put_bytes(&b, text, strlen(text));
	raw_datagram(p->raw, 0, context, b.bytes, b.len);
	run(f);
}

static void expect_at(struct remote *r, const struct clv_endpoint *from, const char *text)
{
	assert_int_equal(r->received, 1);
	assert_string_equal(r->last, text);
	assert_memory_equal(&r->heard, from, sizeof(*from));
	r->received = 0;
}

/* The one datagram that came for the peer; "" for none.  hex: quarter stream ID and so on. */
static void expect_down(struct peer *p, const char *hex)
{
	char want[256];
	size_t n = 0;

	assert_int_equal(p->datagrams, *hex ? 1 : 0);
	p->datagrams = 0;
	for (; *hex; hex++)
		if (*hex != ' ')
			want[n++] = *hex;
	want[n] = '\0';
	if (n)
		assert_string_equal(p->last, want);
}

static void come(struct fixture *f, struct remote *r, const struct clv_endpoint *to,
		 const char *text)
{
	remote_send(r, to, text);
	run(f);
}

static void expect_reset(struct fixture *f, struct peer *p, uint64_t code)
{
	struct raw_stream *s = raw_stream_of(p->raw, 0);

	run(f);
	assert_true(s->was_reset);
	assert_int_equal(s->reset_code, code);
	assert_false(p->raw->is_closed);
	assert_int_equal(f->w->relay.egress_held, 0);
}

static void expect_alive(struct peer *p)
{
	assert_false(raw_stream_of(p->raw, 0)->was_reset);
	assert_false(p->raw->is_closed);
}

#define EACH_VARIANT(v)                                                                            \
	for (const struct variant *v = variants; v < variants + COUNT(variants); v++)

/* ---- the way of datagrams ---- */

static void test_uncompressed(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_bound(v, NULL);

		assert_int_equal(f->w->relay.egress_held, 2);
		come(f, &f->r4, &f->a.ports[0], "early");
		expect_down(&f->a, ""); /* nobody asked for it yet */
		say(f, &f->a, "11020200", "120102");
		send_up(f, &f->a, 2, "04" R4_HEX, "up");
		expect_at(&f->r4, &f->a.ports[0], "up");
		come(f, &f->r4, &f->a.ports[0], "down");
		expect_down(&f->a, "00 02 04 c612050123 28 646f776e");
		come(f, &f->s4, &f->a.ports[0], "who?");
		expect_down(&f->a, "00 02 04 c612050223 28 77686f3f");
		send_up(f, &f->a, 2, "06" R6_HEX, "six");
		expect_at(&f->r6, &f->a.ports[1], "six");
		come(f, &f->r6, &f->a.ports[1], "6");
		expect_down(&f->a, "00 02 06 20010db8000500000000000000000001 2328 36");
		teardown(f);
	}
}

static void test_compressed(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_bound(v, NULL);

		say(f, &f->a, "11080404" R4_HEX "11140606" R6_HEX, "120104120106");
		send_up(f, &f->a, 4, "", "up");
		expect_at(&f->r4, &f->a.ports[0], "up");
		come(f, &f->r4, &f->a.ports[0], "down");
		expect_down(&f->a, "00 04 646f776e");
		send_up(f, &f->a, 6, "", "up");
		expect_at(&f->r6, &f->a.ports[1], "up");
		come(f, &f->r6, &f->a.ports[1], "down");
		expect_down(&f->a, "00 06 646f776e");
		/* the firewall: no uncompressed context, so nobody else */
		come(f, &f->s4, &f->a.ports[0], "let me in");
		expect_down(&f->a, "");
		send_up(f, &f->a, 2, "04" S4_HEX, "?");
		assert_int_equal(f->s4.received, 0);
		expect_alive(&f->a);
		teardown(f);
	}
}

static void come_sized(struct fixture *f, struct remote *r, size_t len)
{
	static const uint8_t payload[2000];

	wire_send(&f->w->wire, &r->endpoint, &f->a.ports[0], 0, payload, len);
	run(f);
}

/* What a remote is told of the size that fits is true to the byte, whatever is put in front. */
static void expect_true_size(struct fixture *f, struct remote *r)
{
	uint64_t told = f->w->too_big.count;
	size_t fits;

	come_sized(f, r, 1900);
	assert_int_equal(f->w->too_big.count, told + 1);
	assert_memory_equal(&f->w->too_big.tuple.remote, &r->endpoint, sizeof(r->endpoint));
	assert_memory_equal(&f->w->too_big.tuple.local, &f->a.ports[0], sizeof(f->a.ports[0]));
	fits = f->w->too_big.mtu - 28;
	assert_int_equal(f->a.datagrams, 0);
	come_sized(f, r, fits);
	assert_int_equal(f->a.datagrams, 1);
	come_sized(f, r, fits + 1);
	assert_int_equal(f->a.datagrams, 1);
	assert_int_equal(f->w->too_big.count, told + 2);
	f->a.datagrams = 0;
}

/* A router says that the way to a remote takes 576 bytes, of a packet. */
static void narrow(struct fixture *f, struct remote *r)
{
	struct clv_tuple tuple = { .local = f->a.ports[0], .remote = r->endpoint };
	static const uint8_t payload[600];

	clv_control_icmp(f->w->relay.control, &tuple, 576);
	run(f);
	raw_datagram(f->a.raw, 0, 4, payload, 576 - 27);
	run(f);
	assert_int_equal(r->received, 0);
	raw_datagram(f->a.raw, 0, 4, payload, 576 - 28);
	run(f);
	assert_int_equal(r->received, 1);
	r->received = 0;
}

static void test_too_big(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_bound(v, NULL);

		say(f, &f->a, "11080404" R4_HEX, "120104");
		come_sized(f, &f->s4, 1900); /* nobody asked for it: no answer either */
		assert_int_equal(f->w->too_big.count, 0);
		expect_true_size(f, &f->r4);
		narrow(f, &f->r4);
		say(f, &f->a, "11020200", "120102");
		expect_true_size(f, &f->s4);
		teardown(f);
	}
}

static void test_both(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_bound(v, NULL);

		say(f, &f->a, "11020200 11080404" R4_HEX, "120102120104");
		come(f, &f->r4, &f->a.ports[0], "x");
		expect_down(&f->a, "00 04 78");
		come(f, &f->s4, &f->a.ports[0], "x");
		expect_down(&f->a, "00 02 04 c612050223 28 78");
		/* uncompressed toward one that has a context: sent normally */
		send_up(f, &f->a, 2, "04" R4_HEX, "y");
		expect_at(&f->r4, &f->a.ports[0], "y");
		/* closing the uncompressed context leaves the other, and forgets who had none */
		send_up(f, &f->a, 2, "04" S4_HEX, "z");
		expect_at(&f->s4, &f->a.ports[0], "z");
		assert_int_equal(remotes_known(f), 2);
		say(f, &f->a, "130102", "");
		assert_int_equal(remotes_known(f), 1);
		come(f, &f->s4, &f->a.ports[0], "x");
		expect_down(&f->a, "");
		send_up(f, &f->a, 2, "04" S4_HEX, "z");
		assert_int_equal(f->s4.received, 0);
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_CLOSED_CONTEXT), 1);
		come(f, &f->r4, &f->a.ports[0], "x");
		expect_down(&f->a, "00 04 78");
		/* and again, by another ID */
		say(f, &f->a, "11020600", "120106");
		come(f, &f->s4, &f->a.ports[0], "x");
		expect_down(&f->a, "00 06 04 c612050223 28 78");
		/* who is named while it is being closed is forgotten with it */
		raw_capsules(f->a.raw, 0, "130106");
		raw_datagram(f->a.raw, 0, 6, "\x04\xc6\x12\x05\x02\x23\x28z", 8);
		run(f);
		assert_int_equal(f->s4.received, 0);
		assert_int_equal(remotes_known(f), 1);
		expect_alive(&f->a);
		teardown(f);
	}
}

static void test_close(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_bound(v, NULL);

		say(f, &f->a, "11080404" R4_HEX, "120104");
		say(f, &f->a, "130104", "");
		send_up(f, &f->a, 4, "", "late");
		assert_int_equal(f->r4.received, 0);
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_CLOSED_CONTEXT), 1);
		come(f, &f->r4, &f->a.ports[0], "late");
		expect_down(&f->a, "");
		/* one that only the relay may open waits for nothing */
		send_up(f, &f->a, 1, "", "whose?");
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_UNKNOWN_CONTEXT), 1);
		expect_alive(&f->a);
		/* the remote may be registered anew; what comes by the old ID stays lost */
		say(f, &f->a, "11080604" R4_HEX, "120106");
		send_up(f, &f->a, 4, "", "late");
		assert_int_equal(f->r4.received, 0);
		send_up(f, &f->a, 6, "", "in time");
		expect_at(&f->r4, &f->a.ports[0], "in time");
		teardown(f);
	}
}

static void test_before_the_ack(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_bound(v, NULL);

		/* the datagram overtakes the capsule */
		raw_datagram(f->a.raw, 0, 4, "first", 5);
		say(f, &f->a, "11080404" R4_HEX, "120104");
		expect_at(&f->r4, &f->a.ports[0], "first");
		teardown(f);
	}
}

static void test_context_zero(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_bound(v, NULL);

		send_up(f, &f->a, 0, "", "x");
		expect_reset(f, &f->a, CLV_H3_DATAGRAM_ERROR);
		assert_int_equal(world_count(f->w, CLV_COUNT_CONTEXT_ABORT_ZERO), 1);
		teardown(f);
	}
}

/* Our own client, and what became of its tunnel. */
struct ours {
	bool is_open, is_closed;
	int error;
};

static void ours_on_open(void *user, const struct clv_client_result *result)
{
	struct ours *o = user;

	assert_true(result->is_bound);
	o->is_open = true;
}

static void ours_on_closed(void *user, int error, const struct clv_client_result *result)
{
	struct ours *o = user;

	assert_null(result);
	o->is_closed = true;
	o->error = error;
}

/* The relay is made to send what it never would. */
static void test_context_zero_at_the_client(void **state)
{
	static const struct clv_relay_tunnel_ops ops = {
		.on_open = ours_on_open,
		.on_closed = ours_on_closed,
	};

	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup(v, NULL);
		struct world *w = f->w;
		struct ours ours = { 0 };
		const struct clv_relay_tunnel_params params = { .ops = &ops, .user = &ours };
		struct clv_cmd_tunnel_send zero = { .context_id = 0 };
		struct clv_relay_tunnel *tunnel;

		connect_peer(f, &f->a, 0);
		w->relay.flow_worker = 0;
		assert_true(world_connect(w, 0));
		assert_int_equal(clv_relay_tunnel_open(w->clients[0].session, &params, &tunnel), 0);
		run(f);
		assert_true(ours.is_open);
		/* the first tunnel of its worker */
		zero.ref = (struct clv_ref){ .generation = 1 };
		assert_int_equal(clv_mailbox_send(w->relay.commands[0], CLV_CMD_TUNNEL_UP, &zero,
						  sizeof(zero), "x", 1),
				 0);
		run(f);
		assert_true(ours.is_closed);
		assert_int_equal(ours.error, CLV_EPROTO);
		assert_int_equal(w->relay.egress_held, 0); /* the relay was told */
		assert_false(w->clients[0].is_down);
		teardown(f);
	}
}

static void test_real_target(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup(v, NULL);

		connect_peer(f, &f->a, 0);
		bind_peer(f, &f->a, "/.well-known/masque/udp/198.18.5.1/9000/");
		send_up(f, &f->a, 0, "", "target");
		expect_at(&f->r4, &f->a.ports[0], "target");
		come(f, &f->r4, &f->a.ports[0], "answer");
		expect_down(&f->a, "00 00 616e73776572");
		come(f, &f->s4, &f->a.ports[0], "x");
		expect_down(&f->a, "");
		say(f, &f->a, "11020200 11080404" S4_HEX "11080604" R4_HEX, "120102120104130106");
		come(f, &f->s4, &f->a.ports[0], "x");
		expect_down(&f->a, "00 04 78");
		come(f, &f->r4, &f->a.ports[0], "x");
		expect_down(&f->a, "00 00 78");
		come(f, &f->r6, &f->a.ports[1], "6");
		expect_down(&f->a, "00 02 06 20010db8000500000000000000000001 2328 36");
		teardown(f);
	}
}

/* A peer that cannot take DATAGRAM frames. */
static void connect_without_datagrams(struct fixture *f, struct peer *p, unsigned number)
{
	struct raw_bytes control = { .len = 0 };

	p->raw = hostile_peer(f->w, number);
	p->raw->on_datagram = on_datagram;
	p->raw->user = p;
	assert_true(raw_connect(p->raw));
	put_hex(&control, "00 04 02 33 00");
	raw_stream(p->raw, 2, control.bytes, control.len, false);
}

static void test_capsules(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup(v, NULL);

		connect_without_datagrams(f, &f->a, 0);
		bind_peer(f, &f->a, ANY);
		say(f, &f->a, "11020200 11080404" R4_HEX, "120102120104");
		say(f, &f->a, "0003046869", ""); /* "hi" */
		expect_at(&f->r4, &f->a.ports[0], "hi");
		say(f, &f->a, "000a0204" S4_HEX "6869", "");
		expect_at(&f->s4, &f->a.ports[0], "hi");
		come(f, &f->r4, &f->a.ports[0], "x");
		expect_capsules(&f->a, "00020478");
		come(f, &f->s4, &f->a.ports[0], "x");
		expect_capsules(&f->a, "00090204c612050223"
				       "2878");
		assert_int_equal(f->a.datagrams, 0);
		say(f, &f->a, "0003006869", "");
		expect_reset(f, &f->a, CLV_H3_DATAGRAM_ERROR);
		teardown(f);
	}
}

/* ---- the relay's own contexts ---- */

static const struct clv_bind_settings eager = {
	.is_offered = true,
	.is_uncompressed = true,
	.tunnels_max = 16,
	.contexts = { .open_max = 64, .answers_max = 64, .gaps_max = 16 },
	.busy_per_sec = 5,
	.context_idle_ns = 3 * CLV_SEC,
};

static void make_busy(struct fixture *f, struct remote *r)
{
	for (int i = 0; i < 10; i++)
		remote_send(r, &f->a.ports[0], "b");
	send_up(f, &f->a, 2, "04" R4_HEX, "b");
	for (int i = 0; i < 10; i++) {
		struct raw_bytes b = { .len = 0 };

		put_hex(&b, "04" R4_HEX "62");
		raw_datagram(f->a.raw, 0, 2, b.bytes, b.len);
	}
	run(f);
	r->received = 0;
	f->a.datagrams = 0;
}

static void test_busy(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_bound(v, &eager);

		say(f, &f->a, "11020200", "120102");
		make_busy(f, &f->r4);
		expect_capsules(&f->a, "11080104c61205012328");
		/* not acknowledged: the relay sends by the uncompressed one, and takes both */
		come(f, &f->r4, &f->a.ports[0], "x");
		expect_down(&f->a, "00 02 04 c612050123 28 78");
		send_up(f, &f->a, 1, "", "by yours");
		expect_at(&f->r4, &f->a.ports[0], "by yours");
		say(f, &f->a, "120101", "");
		come(f, &f->r4, &f->a.ports[0], "x");
		expect_down(&f->a, "00 01 78");
		/* crossing */
		say(f, &f->a, "11080404" R4_HEX, "130101120104");
		come(f, &f->r4, &f->a.ports[0], "x");
		expect_down(&f->a, "00 04 78");
		send_up(f, &f->a, 1, "", "late");
		assert_int_equal(f->r4.received, 0);
		expect_alive(&f->a);
		teardown(f);
	}
}

static void test_no_own_contexts_behind_the_firewall(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_bound(v, &eager);

		say(f, &f->a, "11080404" R4_HEX, "120104");
		for (int i = 0; i < 20; i++)
			remote_send(&f->r4, &f->a.ports[0], "b");
		run(f);
		expect_capsules(&f->a, "");
		teardown(f);
	}
}

static void test_idle(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_bound(v, &eager);

		say(f, &f->a, "11020200 11080404" R4_HEX "11080604" S4_HEX, "120102120104120106");
		for (int i = 0; i < 4; i++) {
			raw_run(f->a.raw, CLV_SEC);
			come(f, &f->s4, &f->a.ports[0], "x");
		}
		expect_capsules(&f->a, "130104");
		f->a.datagrams = 0;
		come(f, &f->r4, &f->a.ports[0], "x"); /* as one of many now */
		expect_down(&f->a, "00 02 04 c612050123 28 78");
		assert_int_equal(world_count(f->w, CLV_COUNT_CONTEXTS_IDLE), 1);
		teardown(f);
	}
}

/* ---- policy ---- */

static void test_policy(void **state)
{
	static const char *const allow[] = { "198.18.0.0/15", "2001:db8::/32" };
	static const char *const deny = "198.18.5.1";
	struct clv_policy *policy;
	char error[128];

	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_bound(v, NULL);

		say(f, &f->a, "11020200 11080404" DENIED "11080604" R4_HEX, "120102130104120106");
		send_up(f, &f->a, 2, "04" DENIED, "x");
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_REFUSED_REMOTE), 1);
		assert_int_equal(world_count(f->w, CLV_COUNT_REMOTE_REFUSED_POLICY), 1);
		send_up(f, &f->a, 2, "04" S4_HEX, "x");
		expect_at(&f->s4, &f->a.ports[0], "x");
		send_up(f, &f->a, 6, "", "x");
		expect_at(&f->r4, &f->a.ports[0], "x");
		/* an address is denied while it is in use, with a context and without */
		send_up(f, &f->a, 2, "06" R6_HEX, "x");
		f->r6.received = 0;
		assert_int_equal(clv_policy_new(allow, 1, &deny, 1, &policy, error, sizeof(error)),
				 0);
		clv_control_set_policy(f->w->relay.control, policy);
		run(f);
		expect_capsules(&f->a, "130106");
		send_up(f, &f->a, 6, "", "x");
		send_up(f, &f->a, 2, "04" R4_HEX, "x");
		assert_int_equal(f->r4.received, 0);
		send_up(f, &f->a, 2, "06" R6_HEX, "x");
		assert_int_equal(f->r6.received, 0);
		send_up(f, &f->a, 2, "04" S4_HEX, "x");
		expect_at(&f->s4, &f->a.ports[0], "x");
		expect_alive(&f->a);
		clv_control_set_policy(f->w->relay.control, f->w->policy);
		teardown(f);
		clv_policy_free(policy);
	}
}

/* ---- what is wrong ---- */

static const struct {
	const char *name, *wire;
} wrong[] = {
	{ "ASSIGN of Context ID 0", "11020000" },
	{ "IP version 5", "11080405000000000050" },
	{ "a byte too many", "1103020000" },
	{ "a truncated address", "11050404cb0071" },
	{ "CLOSE of Context ID 0", "130100" },
	{ "ACK of what was never assigned", "120108" },
	{ "an odd ID of the client", "11020100" },
	{ "a second uncompressed context", "11020200 11020400" },
	{ "an ID twice", "11020200 130102 11020200" },
	{ "a remote twice", "11080204" R4_HEX "11080404" R4_HEX },
};

static void test_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		const struct variant *v = &variants[i % COUNT(variants)];
		struct fixture *f = setup_bound(v, NULL);

		raw_capsules(f->a.raw, 0, wrong[i].wire);
		run(f);
		CHECK_ROW(wrong[i].name, raw_stream_of(f->a.raw, 0)->was_reset);
		expect_reset(f, &f->a, CLV_H3_MESSAGE_ERROR);
		assert_int_equal(world_count(f->w, CLV_COUNT_CONTEXT_ABORT_MALFORMED), 1);
		teardown(f);
	}
}

/* Uncompressed datagrams that name nobody are lost, and nothing else happens. */
static void test_bad_uncompressed(void **state)
{
	static const char *const bad[] = {
		"",
		"04",
		"04 c612",
		"05 c6120501 2328",
		"04 c6120501 0000",
		"06 00000000000000000000ffffc6120501 2328",
		"06 20010db8",
	};

	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_bound(v, NULL);

		say(f, &f->a, "11020200", "120102");
		for (size_t i = 0; i < COUNT(bad); i++) {
			send_up(f, &f->a, 2, bad[i], "");
			assert_int_equal(world_count(f->w, CLV_COUNT_DROP_BAD_REMOTE), i + 1);
		}
		expect_alive(&f->a);
		teardown(f);
	}
}

/* ---- ceilings ---- */

static void test_registration_rate(void **state)
{
	static const struct clv_bind_settings slow = {
		.is_offered = true,
		.is_uncompressed = true,
		.tunnels_max = 16,
		.contexts = { .open_max = 64, .answers_max = 64, .gaps_max = 16 },
		.registrations_per_sec = 2,
	};

	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_bound(v, &slow);

		say(f, &f->a, "11020200 11080404" R4_HEX "11080604" S4_HEX "11080804 c6120503 0001",
		    "120102120104130106130108");
		assert_int_equal(world_count(f->w, CLV_COUNT_CONTEXT_REFUSED_RATE), 2);
		raw_run(f->a.raw, CLV_SEC);
		say(f, &f->a, "11080a04" S4_HEX, "12010a");
		expect_alive(&f->a);
		teardown(f);
	}
}

static void test_unread_answers(void **state)
{
	static const struct clv_bind_settings few = {
		.is_offered = true,
		.is_uncompressed = true,
		.tunnels_max = 16,
		.contexts = { .open_max = 64, .answers_max = 8, .gaps_max = 16 },
	};

	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_bound(v, &few);
		struct raw_stream *s = raw_stream_of(f->a.raw, 0);

		/* as many as it likes, if it reads */
		for (unsigned id = 100; id < 140; id += 2) {
			char hex[64], answer[16];

			snprintf(hex, sizeof(hex), "110940%02x04c61205%02x0001", id, id);
			snprintf(answer, sizeof(answer), "120240%02x", id);
			say(f, &f->a, hex, answer);
		}
		f->a.raw->never_acks = true;
		for (unsigned id = 2; id < 60 && !s->was_reset; id += 2) {
			char hex[64];

			snprintf(hex, sizeof(hex), "1108%02x04c61205%02x0001", id, id);
			raw_capsules(f->a.raw, 0, hex);
			raw_run(f->a.raw, 20 * CLV_MSEC);
		}
		assert_true(s->was_reset);
		assert_int_equal(s->reset_code, CLV_H3_EXCESSIVE_LOAD);
		assert_int_equal(world_count(f->w, CLV_COUNT_CONTEXT_ABORT_ANSWERS), 1);
		teardown(f);
	}
}

static void test_remotes_of_a_tunnel(void **state)
{
	static const struct clv_control_limits limits = { .remotes_per_tunnel = 1 };

	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_limited(v, NULL, &limits);

		connect_peer(f, &f->a, 0);
		bind_peer(f, &f->a, ANY);
		say(f, &f->a, "11020200", "120102");
		send_up(f, &f->a, 2, "04" R4_HEX, "x");
		expect_at(&f->r4, &f->a.ports[0], "x");
		send_up(f, &f->a, 2, "04" S4_HEX, "x");
		assert_int_equal(f->s4.received, 0);
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_REMOTES_FULL), 1);
		expect_alive(&f->a);
		teardown(f);
	}
}

/* ---- two peers of one relay ---- */

static void assign_hex(char out[static 64], unsigned id, const struct clv_endpoint *ep)
{
	bool v4 = clv_addr_is_v4(ep->addr);
	size_t n = (size_t)sprintf(out, "11%02x%02x%02x", v4 ? 8 : 20, id, v4 ? 4 : 6);

	for (int i = v4 ? 12 : 0; i < 16; i++)
		n += (size_t)sprintf(out + n, "%02x", ep->addr[i]);
	sprintf(out + n, "%04x", ntohs(ep->port));
}

static void test_hairpin(void **state)
{
	char hex[64];

	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_bound(v, NULL);

		connect_peer(f, &f->b, 1);
		bind_peer(f, &f->b, ANY);
		for (int family = 0; family < 2; family++) {
			char id[16], down[32];

			/* A knows B's port, B does not want A yet */
			assign_hex(hex, 2 + 2 * (unsigned)family, &f->b.ports[family]);
			snprintf(id, sizeof(id), "1201%02x", 2 + 2 * family);
			say(f, &f->a, hex, id);
			send_up(f, &f->a, 2 + 2 * (uint64_t)family, "", "hello");
			expect_down(&f->b, "");
			assert_int_equal(world_count(f->w, CLV_COUNT_DROP_UNKNOWN_REMOTE),
					 (unsigned)family + 1);
			/* now it does */
			assign_hex(hex, 6 + 2 * (unsigned)family, &f->a.ports[family]);
			snprintf(id, sizeof(id), "1201%02x", 6 + 2 * family);
			say(f, &f->b, hex, id);
			send_up(f, &f->a, 2 + 2 * (uint64_t)family, "", "hello");
			snprintf(down, sizeof(down), "00 %02x 68656c6c6f", 6 + 2 * family);
			expect_down(&f->b, down);
			send_up(f, &f->b, 6 + 2 * (uint64_t)family, "", "there");
			snprintf(down, sizeof(down), "00 %02x 7468657265", 2 + 2 * family);
			expect_down(&f->a, down);
		}
		/* B ends: A is told, and keeps its tunnel */
		raw_stream(f->b.raw, 0, NULL, 0, true);
		run(f);
		expect_capsules(&f->a, "130104130102");
		expect_alive(&f->a);
		teardown(f);
	}
}

/* Behind a NAT tunnels know each other by the addresses it shows. */
static void test_hairpin_behind_a_nat(void **state)
{
	struct clv_bind_settings shown = eager;
	char hex[64];

	(void)state;
	shown.has_public[0] = true;
	assert_int_equal(clv_addr_parse("192.0.2.99", shown.public_addr[0]), 0);
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_bound(v, &shown);

		connect_peer(f, &f->b, 1);
		bind_peer(f, &f->b, ANY);
		assert_memory_equal(f->a.ports[0].addr, shown.public_addr[0], 16);
		assign_hex(hex, 2, &f->b.ports[0]);
		say(f, &f->a, hex, "120102");
		assign_hex(hex, 4, &f->a.ports[0]);
		say(f, &f->b, hex, "120104");
		send_up(f, &f->a, 2, "", "hello");
		expect_down(&f->b, "00 04 68656c6c6f");
		send_up(f, &f->b, 4, "", "there");
		expect_down(&f->a, "00 02 7468657265");
		teardown(f);
	}
}

/* What comes out of a connection goes into the same one again, while it is being read. */
static void test_hairpin_within_a_connection(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_bound(v, NULL);
		struct peer other = { .raw = f->a.raw };

		raw_connect_bind(f->a.raw, 4, ANY);
		run(f);
		assert_int_equal(raw_status(f->a.raw, 4), 200);
		read_ports(&other, 4);
		for (unsigned family = 0; family < 2; family++) {
			char hex[64];
			uint64_t id = 2 + 2 * family;

			assign_hex(hex, (unsigned)id, &other.ports[family]);
			raw_capsules(f->a.raw, 0, hex);
			assign_hex(hex, (unsigned)id, &f->a.ports[family]);
			raw_capsules(f->a.raw, 4, hex);
			run(f);
			for (unsigned i = 0; i < 20; i++)
				raw_datagram(f->a.raw, 0, id, (const uint8_t *)"hello", 5);
			run(f);
			assert_int_equal(f->a.datagrams, 20);
			assert_string_equal(f->a.last,
					    family ? "010468656c6c6f" : "010268656c6c6f");
			raw_datagram(f->a.raw, 4, id, (const uint8_t *)"there", 5);
			run(f);
			assert_int_equal(f->a.datagrams, 21);
			assert_string_equal(f->a.last,
					    family ? "00047468657265" : "00027468657265");
			f->a.datagrams = 0;
		}
		expect_alive(&f->a);
		teardown(f);
	}
}

/* The longest capsules carry more than a UDP packet can: they end at the other tunnel's door. */
static void test_hairpin_of_the_longest(void **state)
{
	enum { LONGEST = 65527 + 27 };
	static uint8_t capsule[5 + 1 + 4 + LONGEST];
	struct raw_bytes head = { .len = 0 };
	char hex[64];

	(void)state;
	put_hex(&head, "00 80010017 00 80010012 04"); /* DATA; DATAGRAM capsule; Context ID */
	memcpy(capsule, head.bytes, head.len);
	EACH_VARIANT(v)
	{
		struct fixture *f = setup(v, NULL);

		connect_without_datagrams(f, &f->a, 0);
		bind_peer(f, &f->a, ANY);
		connect_without_datagrams(f, &f->b, 1);
		bind_peer(f, &f->b, ANY);
		/* everything in front of what B gets is as long as can be */
		say(f, &f->b, "1109c10000000000000200", "1208c100000000000002");
		assign_hex(hex, 4, &f->b.ports[1]);
		say(f, &f->a, hex, "120104");
		raw_stream(f->a.raw, 0, capsule, sizeof(capsule), false);
		run(f);
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_TOO_BIG_TARGET), 1);
		expect_capsules(&f->b, "");
		expect_alive(&f->a);
		expect_alive(&f->b);
		teardown(f);
	}
}

/* ---- life ---- */

static void test_ports_are_held(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = setup_bound(v, NULL);

		say(f, &f->a, "11020200", "120102");
		/* longer than an ordinary tunnel may be silent; the connection is kept alive */
		for (int i = 0; i < 20; i++) {
			raw_send(f->a.raw, (const uint8_t[]){ 0x01, 0, 0, 0 }, 4);
			raw_run(f->a.raw, 10 * CLV_SEC);
		}
		come(f, &f->r4, &f->a.ports[0], "still there?");
		assert_int_equal(f->a.datagrams, 1);
		expect_alive(&f->a);
		/* the request ends, and with it the ports */
		raw_stream(f->a.raw, 0, NULL, 0, true);
		run(f);
		assert_int_equal(f->w->relay.egress_held, 0);
		teardown(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("by the uncompressed context anybody is reached, and reaches the peer",
		     test_uncompressed),
		CASE("by compressed contexts alone nobody else gets in", test_compressed),
		CASE("a remote hears what size fits, and that is true", test_too_big),
		CASE("a remote with a context uses it, others the uncompressed one", test_both),
		CASE("what comes by a closed context is discarded without a word", test_close),
		CASE("a datagram may overtake the capsule that registers it", test_before_the_ack),
		CASE("Context ID 0 without a target aborts the stream", test_context_zero),
		CASE("Context ID 0 without a target aborts the stream at the client, too",
		     test_context_zero_at_the_client),
		CASE("a real target keeps Context ID 0", test_real_target),
		CASE("a peer without DATAGRAM frames uses capsules", test_capsules),
		CASE("the relay opens contexts for busy remotes, and gives way to the client's",
		     test_busy),
		CASE("without an uncompressed context the relay opens none",
		     test_no_own_contexts_behind_the_firewall),
		CASE("an idle context is closed", test_idle),
		CASE("policy holds for every registration and every datagram, also a new one",
		     test_policy),
		CASE("a malformed capsule resets the stream and frees the ports", test_wrong),
		CASE("an uncompressed datagram that names nobody is dropped",
		     test_bad_uncompressed),
		CASE("registrations that come too fast are refused", test_registration_rate),
		CASE("a peer that does not read the answers loses its tunnel", test_unread_answers),
		CASE("a tunnel has so many remotes and no more", test_remotes_of_a_tunnel),
		CASE("two peers of one relay meet inside it, by both families", test_hairpin),
		CASE("behind a NAT they meet by the addresses it shows", test_hairpin_behind_a_nat),
		CASE("two tunnels of one connection meet, too", test_hairpin_within_a_connection),
		CASE("what no UDP packet can carry does not pass between tunnels",
		     test_hairpin_of_the_longest),
		CASE("ports are held as long as the request lives", test_ports_are_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
