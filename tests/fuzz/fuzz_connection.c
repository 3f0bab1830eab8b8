/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Any sequence of a client's actions against a whole relay, control and worker, on the fake clock.
 *
 * A peer shakes hands and starts HTTP/3; then each step of the input is an action: requests and
 * capsules well and badly made, raw frames, raw packets, resets, moves, silence, time.  Afterwards
 * the relay must have counted every datagram, have stayed below its ceiling of memory, hold nothing
 * of the peer any more once it has idled out, and serve another client.
 *
 * Cryptography would take most of the time and hide packets from the fuzzer: null_tls.c and
 * null_keys.c stand in for it.  A fuzzer tries many inputs on one relay, each with a new peer, and
 * lets the other client connect now and then; a rerun of a corpus gives each input a relay of its own.
 */
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "tests/loop/raw.h"
#include "tests/fuzz/fuzz.h"

extern const size_t fuzz_cuts_max;
const size_t fuzz_cuts_max = 0; /* an input takes long; every prefix of each would take too long */

extern const bool fuzz_is_replay __attribute__((weak));

enum {
	INPUTS_PER_WORLD = 1024,
	INPUTS_PER_CLIENT = 32,
	ACTIONS_MAX = 64,
	STREAMS = 16, /* that actions choose from */
	MEMORY_MAX = 8 << 20,
	CONN_IDLE_SEC = 4,
	/* An idle connection may last three probe timeouts (RFC 9000 section 10.1): long for a peer whose
	 * acknowledgements took long.  Its actions take up to ACTIONS_MAX times three seconds. */
	GONE_SEC = 3600,
};

struct input {
	const uint8_t *p, *end;
};

static uint8_t take(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

/* As many bytes as the next one gives, or what is left. */
static size_t take_bytes(struct input *in, const uint8_t **bytes)
{
	size_t len = take(in);

	if (len > (size_t)(in->end - in->p))
		len = (size_t)(in->end - in->p);
	*bytes = in->p;
	in->p += len;
	return len;
}

static int64_t take_stream(struct input *in)
{
	return 4 * (int64_t)(take(in) % STREAMS);
}

/* ---- actions ---- */

static void open_tunnel(struct raw *r, struct input *in)
{
	static const char *const hosts[] = { "198.18.1.1", "127.0.0.1", "198.18.9.9", "a.test" };
	int64_t id = take_stream(in);

	raw_connect_udp(r, id, hosts[take(in) % 4], 7000);
}

static void send_headers(struct raw *r, struct input *in)
{
	static const char *const fields[] = {
		":method: GET",
		":method: CONNECT",
		":protocol: connect-udp",
		":scheme: https",
		":scheme: http",
		":authority: r",
		":path: /",
		"foo: bar",
		"capsule-protocol: ?1",
		"content-length: 3",
		"Foo: bar",
		"te: gzip",
		":path: /.well-known/masque/udp/198.18.1.1/7000/",
		"priority: u=1",
		"connection: close",
		"cookie: a=b",
	};
	const char *chosen[16];
	struct raw_bytes b = { .len = 0 };
	int64_t id = take_stream(in);
	size_t n = take(in) % 16;

	for (size_t i = 0; i < n; i++)
		chosen[i] = fields[take(in) % (sizeof(fields) / sizeof(fields[0]))];
	put_headers(&b, chosen, n);
	raw_stream(r, id, b.bytes, b.len, take(in) & 1);
}

/* A DATA frame, or no frame at all, of these bytes. */
static void send_body(struct raw *r, struct input *in)
{
	int64_t id = take_stream(in);
	uint8_t how = take(in);
	struct raw_bytes b = { .len = 0 };
	const uint8_t *bytes;
	size_t len = take_bytes(in, &bytes);

	if (how & 1) {
		put_varint(&b, 0);
		put_varint(&b, len);
	}
	put_bytes(&b, bytes, len);
	raw_stream(r, id, b.bytes, b.len, how & 2);
}

static void send_datagram(struct raw *r, struct input *in)
{
	static const uint8_t payload[1300];
	int64_t id = take_stream(in);
	uint64_t context = take(in) % 4;

	raw_datagram(r, id, context, payload, (size_t)take(in) * 5);
}

static void send_frames(struct raw *r, struct input *in)
{
	const uint8_t *bytes;
	size_t len = take_bytes(in, &bytes);

	raw_send(r, bytes, len);
}

/* RESET_STREAM or STOP_SENDING */
static void give_up(struct raw *r, struct input *in, bool reset)
{
	struct raw_bytes b = { .len = 0 };
	int64_t id = take_stream(in);

	put_varint(&b, reset ? 0x04 : 0x05);
	put_varint(&b, (uint64_t)id);
	put_varint(&b, 0x010c);
	if (reset)
		put_varint(&b, raw_stream_of(r, id)->sent);
	raw_send(r, b.bytes, b.len);
}

static void send_uni(struct raw *r, struct input *in)
{
	int64_t id = 2 + 4 * (int64_t)(take(in) % 3);
	const uint8_t *bytes;
	size_t len = take_bytes(in, &bytes);

	raw_stream(r, id, bytes, len, false);
}

static void send_packet(struct raw *r, struct input *in)
{
	const uint8_t *bytes;
	size_t len = take_bytes(in, &bytes);

	raw_send_bytes(r, bytes, len);
}

/* A good packet of which one byte is not. */
static void send_broken(struct raw *r, struct input *in)
{
	static const uint8_t frames[] = { 0x01, 0, 0, 0, 0, 0, 0, 0 };
	uint8_t packet[1500];
	size_t len = raw_seal(r, frames, sizeof(frames), packet);

	packet[take(in) % len] ^= (uint8_t)(take(in) | 1);
	raw_send_bytes(r, packet, len);
}

static void move(struct raw *r, struct input *in)
{
	r->endpoint.port = htons((uint16_t)(30000 + take(in) % 8));
}

static void retire(struct raw *r, struct input *in)
{
	struct raw_bytes b = { .len = 0 };
	unsigned i = take(in) % 8;

	if (i >= r->cids_len)
		return;
	put_varint(&b, 0x19);
	put_varint(&b, take(in) & 1 ? 0 : r->cids[i].seq);
	memcpy(r->dcid, r->cids[r->cids_len - 1].id, sizeof(r->dcid));
	raw_send(r, b.bytes, b.len);
}

/* A packet of the target or of an unknown source to the first egress ports. */
static void from_target(struct raw *r, struct input *in)
{
	static const uint8_t payload[1400];
	struct clv_endpoint to = r->w->relay_endpoint, from = r->w->target;

	to.port = htons((uint16_t)(20000 + take(in) % 4));
	if (take(in) & 1)
		from.port++;
	wire_send(&r->w->wire, &from, &to, 0, payload, (size_t)take(in) * 5);
}

static void act(struct raw *r, struct input *in)
{
	switch (take(in) % 17) {
	case 0:
		open_tunnel(r, in);
		break;
	case 1:
		send_headers(r, in);
		break;
	case 2:
		send_body(r, in);
		break;
	case 3:
		send_datagram(r, in);
		break;
	case 4:
		send_frames(r, in);
		break;
	case 5:
		raw_stream(r, take_stream(in), NULL, 0, true);
		break;
	case 6:
		give_up(r, in, true);
		break;
	case 7:
		give_up(r, in, false);
		break;
	case 8:
		send_uni(r, in);
		break;
	case 9:
		send_packet(r, in);
		break;
	case 10:
		send_broken(r, in);
		break;
	case 11:
		move(r, in);
		break;
	case 12:
		retire(r, in);
		break;
	case 13:
		from_target(r, in);
		break;
	case 14:
		r->never_acks = !r->never_acks;
		break;
	case 15:
		raw_run(r, take(in) * CLV_MSEC);
		break;
	default:
		raw_run(r, (take(in) % 4) * CLV_SEC);
	}
}

/* ---- what must hold afterwards ---- */

static bool app0_answered(struct world *w)
{
	return w->clients[0].apps[0].opened || w->clients[0].apps[0].closed;
}

static bool is_down(struct world *w)
{
	return w->clients[0].is_down;
}

static size_t keys_before; /* those of no peer */

static bool is_gone(struct world *w)
{
	return clv_aead_live() == keys_before && w->relay.egress_held == 0;
}

static void check_serves(struct world *w)
{
	struct world_app *app = &w->clients[0].apps[0];

	w->p.clients = 1;
	CHECK(world_connect(w, 0));
	CHECK(world_tunnel(w, 0, 0, "198.18.1.1", 7000) == 0);
	CHECK(world_run(w, 5 * CLV_SEC, app0_answered) && app->opened);
	world_app_send(w, 0, 0, 1000, 1);
	world_run(w, CLV_SEC, NULL);
	CHECK(app->received == 1 && app->wrong == 0);
	clv_relay_session_close(w->clients[0].session);
	CHECK(world_run(w, CONN_IDLE_SEC * CLV_SEC, is_down));
}

/*
 * Datagrams received, and those sent or in a counter of drops.  Other packets' drops are among these, so
 * each input is judged by itself: those of a thousand would hide any datagram that is not counted.
 */
static void count_datagrams(const struct world *w, uint64_t *in, uint64_t *out)
{
	*in = world_count(w, CLV_COUNT_DGRAM_IN) + world_count(w, CLV_COUNT_RX_TARGET);
	*out = world_count(w, CLV_COUNT_TX_TARGET) + world_count(w, CLV_COUNT_DGRAM_OUT);
	for (int i = CLV_COUNT_DROP_MALFORMED; i <= CLV_COUNT_DROP_NOT_INITIAL; i++)
		*out += world_count(w, (enum clv_counter)i);
}

static void check_counted(const struct world *w, uint64_t in_before, uint64_t out_before)
{
	uint64_t in, out;

	count_datagrams(w, &in, &out);
	CHECK(in - in_before <= out - out_before);
	CHECK(world_count(w, CLV_COUNT_EVENT_NOMEM) == 0);
}

/* ---- relays ---- */

/*
 * The stacks of allocations took a third of the time, and freed memory that is kept from use until it
 * is cold in the caches much of the rest: what is kept is still more than an input frees.
 * ASAN_OPTIONS brings both back for a finding.
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "malloc_context_size=1:quarantine_size_mb=8:thread_local_quarantine_size_kb=512:"
	       "max_malloc_fill_size=256";
}

/* One with XDP and one on kernel sockets. */
static struct kept {
	struct world *w;
	unsigned inputs;
} kept[2];

static void close_world(struct kept *k)
{
	check_serves(k->w);
	world_close(k->w);
	free(k->w);
	*k = (struct kept){ 0 };
	CHECK(kept[0].w || kept[1].w || clv_aead_live() == 0);
}

static struct kept *world_for(bool kernel_path)
{
	const struct world_params p = {
		.kernel_path = kernel_path,
		.limits = { .conn_idle_ns = CONN_IDLE_SEC * CLV_SEC, .tunnels_per_conn = 12 },
	};
	struct kept *k = &kept[kernel_path];

	if (k->w)
		return k;
	k->w = malloc(sizeof(*k->w));
	CHECK(k->w);
	world_open(k->w, &p);
	return k;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct raw peer;
	struct kept *k = world_for(size && data[size - 1] & 1);
	struct world *w = k->w;
	struct raw *r = &peer;
	struct input in = { data, data + size };
	uint64_t datagrams_in, datagrams_out;
	size_t before;

	keys_before = clv_aead_live();
	count_datagrams(w, &datagrams_in, &datagrams_out);
	w->p.clients = 0; /* asleep: its steps cost as much as the relay's */
	raw_open(r, w, 0);
	CHECK(raw_connect(r));
	before = raw_memory();
	raw_h3_start(r);
	for (int i = 0; i < ACTIONS_MAX && in.p < in.end; i++)
		act(r, &in);
	raw_run(r, CLV_SEC);
	CHECK(r->memory_peak < before + MEMORY_MAX);
	raw_close(r);
	/* the peer is silent: the connection times out, and its tunnels with it */
	CHECK(world_run(w, GONE_SEC * CLV_SEC, is_gone));
	check_counted(w, datagrams_in, datagrams_out);
	k->inputs++;
	if (&fuzz_is_replay || k->inputs == INPUTS_PER_WORLD)
		close_world(k);
	else if (k->inputs % INPUTS_PER_CLIENT == 0)
		check_serves(w);
	return 0;
}
