/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/loop/bound_fixture.h"

#include <stdlib.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/quic/dgram.h"
#include "tests/loop/fixture.h"
#include "tests/loop/hostile.h"
#include "tests/unit/check.h"

const struct variant bound_variants[BOUND_VARIANTS] = {
	{ "AF_XDP, one worker", false, 1 },
	{ "AF_XDP, two workers", false, 2 },
	{ "kernel sockets, one worker", true, 1 },
	{ "kernel sockets, two workers", true, 2 },
};

#define OFFERED                                                                                    \
	.is_offered = true, .is_uncompressed = true, .tunnels_max = 16,                            \
	.contexts = { .open_max = 64, .unacked_max = 64, .id_gaps_max = 16 }

const struct clv_bound_settings bound_eager = {
	OFFERED,
	.busy_per_sec = 5,
	.context_idle_ns = 3 * CLV_SEC,
};

struct clv_bound_settings bound_settings(void)
{
	return (struct clv_bound_settings){ OFFERED };
}

/* ---- remotes ---- */

void remote_send_run(struct fixture *f, struct remote *r, const struct clv_endpoint *to,
		     const char *text)
{
	remote_send(r, to, text);
	bound_run(f);
}

/* ---- the world ---- */

struct fixture *bound_setup(const struct variant *v, const struct clv_bound_settings *bind)
{
	struct world_params p = {
		.workers = v->workers, .kernel_path = v->kernel_path, .has_v6 = true, .clients = 1
	};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	if (bind)
		p.bind = *bind;
	f->w = world_new(&p);
	remote_join(&f->r4, f->w, R4);
	remote_join(&f->s4, f->w, S4);
	remote_join(&f->r6, f->w, R6);
	return f;
}

struct fixture *bound_setup_peer(const struct variant *v, const struct clv_bound_settings *bind)
{
	struct fixture *f = bound_setup(v, bind);

	peer_connect(f, &f->a, 0);
	peer_bind(f, &f->a, ANY);
	return f;
}

void bound_teardown(struct fixture *f)
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
	world_free(w);
	free(f);
}

void bound_run(struct fixture *f)
{
	raw_run(f->a.raw, 100 * CLV_MSEC);
	if (f->b.raw)
		raw_run(f->b.raw, 100 * CLV_MSEC);
	raw_run(f->a.raw, 100 * CLV_MSEC);
}

unsigned bound_remotes(const struct fixture *f)
{
	unsigned known = 0;

	for (uint16_t i = 0; i < f->w->p.workers; i++) {
		const struct clv_worker *w = f->w->relay.workers[i];
		struct clv_remotes_view view;

		for (uint32_t slot = 0; slot < clv_worker_remote_slots(w); slot++)
			known += clv_worker_remote_view(w, slot, &view);
	}
	return known;
}

/* ---- peers ---- */

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

void peer_connect(struct fixture *f, struct peer *p, unsigned number)
{
	p->raw = hostile_peer(f->w, number);
	p->raw->on_datagram = on_datagram;
	p->raw->user = p;
	f->w->relay.flow_worker = (uint16_t)(number % f->w->p.workers);
	assert_true(raw_connect(p->raw));
	raw_h3_start(p->raw);
}

void peer_connect_without_datagrams(struct fixture *f, struct peer *p, unsigned number)
{
	struct raw_bytes control = { .len = 0 };

	p->raw = hostile_peer(f->w, number);
	p->raw->on_datagram = on_datagram;
	p->raw->user = p;
	assert_true(raw_connect(p->raw));
	put_hex(&control, "00 04 02 33 00");
	raw_stream(p->raw, 2, control.bytes, control.len, false);
}

void peer_read_ports(struct peer *p, int64_t stream)
{
	char value[128], *text;

	assert_true(raw_field(p->raw, stream, "proxy-public-address", value, sizeof(value)));
	for (text = strtok(value, "\", "); text; text = strtok(NULL, "\", ")) {
		struct clv_endpoint ep;

		assert_int_equal(clv_endpoint_parse(text, &ep), 0);
		p->ports[!clv_addr_is_v4(ep.addr)] = ep;
	}
}

void peer_bind(struct fixture *f, struct peer *p, const char *path)
{
	char value[16];

	raw_connect_bind(p->raw, 0, path);
	bound_run(f);
	assert_int_equal(raw_status(p->raw, 0), 200);
	assert_true(raw_field(p->raw, 0, "connect-udp-bind", value, sizeof(value)));
	assert_string_equal(value, "?1");
	peer_read_ports(p, 0);
}

void peer_exchange(struct fixture *f, struct peer *p, const char *hex, const char *answer)
{
	raw_capsules(p->raw, 0, hex);
	bound_run(f);
	peer_expect_capsules(p, answer);
}

void peer_send(struct fixture *f, struct peer *p, uint64_t context, const char *hex,
	       const char *text)
{
	struct raw_bytes b = { .len = 0 };

	put_hex(&b, hex);
	put_bytes(&b, text, strlen(text));
	raw_datagram(p->raw, 0, context, b.bytes, b.len);
	bound_run(f);
}

void peer_expect_capsules(struct peer *p, const char *hex)
{
	uint8_t body[RAW_STREAM_BYTES];
	char text[2 * RAW_STREAM_BYTES + 1] = "";
	size_t len = raw_body(p->raw, 0, body, sizeof(body));

	for (size_t i = p->body_seen; i < len; i++)
		sprintf(text + 2 * (i - p->body_seen), "%02x", body[i]);
	p->body_seen = len;
	assert_string_equal(text, hex);
}

void peer_expect(struct peer *p, const char *hex)
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

void peer_expect_reset(struct fixture *f, struct peer *p, uint64_t code)
{
	struct raw_stream *s = raw_stream_of(p->raw, 0);

	bound_run(f);
	assert_true(s->was_reset);
	assert_int_equal(s->reset_code, code);
	assert_false(p->raw->is_closed);
	assert_int_equal(f->w->relay.egress_held, 0);
}

void peer_expect_alive(struct peer *p)
{
	assert_false(raw_stream_of(p->raw, 0)->was_reset);
	assert_false(p->raw->is_closed);
}
