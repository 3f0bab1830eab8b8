/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/loop/raw.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/tls/tls.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/varint.h"

enum {
	RANGES_MAX = 30,
	STREAM_PIECE = 1200,
	FIRST_PN = 1000, /* above what the handshake's library used */
};

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#elif defined(__has_feature)
#define HAVE_ASAN __has_feature(address_sanitizer)
#else
#define HAVE_ASAN 0
#endif

#if HAVE_ASAN
extern size_t __sanitizer_get_current_allocated_bytes(void);
#endif

size_t raw_memory(void)
{
#if HAVE_ASAN
	return __sanitizer_get_current_allocated_bytes();
#else
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
#endif
}

/* ---- keys, taken as they go to the library ---- */

static struct raw *handshaking;

int __real_ngtcp2_conn_install_rx_key(ngtcp2_conn *conn, const uint8_t *secret, size_t len,
				      const ngtcp2_crypto_aead_ctx *aead, const uint8_t *iv,
				      size_t iv_len, const ngtcp2_crypto_cipher_ctx *hp);
int __wrap_ngtcp2_conn_install_rx_key(ngtcp2_conn *conn, const uint8_t *secret, size_t len,
				      const ngtcp2_crypto_aead_ctx *aead, const uint8_t *iv,
				      size_t iv_len, const ngtcp2_crypto_cipher_ctx *hp);
int __real_ngtcp2_conn_install_tx_key(ngtcp2_conn *conn, const uint8_t *secret, size_t len,
				      const ngtcp2_crypto_aead_ctx *aead, const uint8_t *iv,
				      size_t iv_len, const ngtcp2_crypto_cipher_ctx *hp);
int __wrap_ngtcp2_conn_install_tx_key(ngtcp2_conn *conn, const uint8_t *secret, size_t len,
				      const ngtcp2_crypto_aead_ctx *aead, const uint8_t *iv,
				      size_t iv_len, const ngtcp2_crypto_cipher_ctx *hp);

static void take_keys(struct clv_aead_keys *keys, const uint8_t *secret, size_t len)
{
	enum clv_suite suite = len == 48 ? CLV_SUITE_AES_256_GCM_SHA384
					 : CLV_SUITE_AES_128_GCM_SHA256;

	clv_aead_keys_fini(keys);
	if (clv_aead_keys_derive(clv_aead_suite(suite), NGTCP2_PROTO_VER_V1, secret, keys))
		abort();
}

int __wrap_ngtcp2_conn_install_rx_key(ngtcp2_conn *conn, const uint8_t *secret, size_t len,
				      const ngtcp2_crypto_aead_ctx *aead, const uint8_t *iv,
				      size_t iv_len, const ngtcp2_crypto_cipher_ctx *hp)
{
	if (handshaking)
		take_keys(&handshaking->rx, secret, len);
	return __real_ngtcp2_conn_install_rx_key(conn, secret, len, aead, iv, iv_len, hp);
}

int __wrap_ngtcp2_conn_install_tx_key(ngtcp2_conn *conn, const uint8_t *secret, size_t len,
				      const ngtcp2_crypto_aead_ctx *aead, const uint8_t *iv,
				      size_t iv_len, const ngtcp2_crypto_cipher_ctx *hp)
{
	if (handshaking)
		take_keys(&handshaking->tx, secret, len);
	return __real_ngtcp2_conn_install_tx_key(conn, secret, len, aead, iv, iv_len, hp);
}

/* ---- sealing ---- */

void raw_nonce(const struct clv_aead_keys *keys, uint64_t pn, uint8_t nonce[static 12])
{
	memcpy(nonce, keys->iv, 12);
	for (int i = 0; i < 8; i++)
		nonce[11 - i] ^= (uint8_t)(pn >> (8 * i));
}

size_t raw_seal(struct raw *r, const uint8_t *frames, size_t len, uint8_t out[static 1500])
{
	uint64_t pn = r->next_pn++;
	uint8_t nonce[12], mask[16], *at = out;
	size_t head_len;

	*at++ = (uint8_t)((0x40 | (RAW_PN_LEN - 1)) ^ r->first_bits);
	memcpy(at, r->dcid, CLV_CID_LEN);
	at += CLV_CID_LEN;
	for (int i = RAW_PN_LEN - 1; i >= 0; i--)
		*at++ = (uint8_t)(pn >> (8 * i));
	head_len = (size_t)(at - out);
	raw_nonce(&r->tx, pn, nonce);
	if (clv_aead_key_seal(r->tx.aead, at, frames, len, nonce, out, head_len))
		abort();
	/* the sample begins where a packet number of 4 bytes ends (RFC 9001 section 5.4.2) */
	clv_hp_key_mask(r->tx.hp, mask, at);
	out[0] ^= mask[0] & 0x1f;
	for (int i = 0; i < RAW_PN_LEN; i++)
		out[1 + CLV_CID_LEN + i] ^= mask[1 + i];
	return head_len + len + CLV_AEAD_TAG_LEN;
}

void raw_send_bytes(struct raw *r, const uint8_t *bytes, size_t len)
{
	wire_send(&r->w->wire, &r->endpoint, &r->w->relay_endpoint, r->ecn, bytes, len);
}

void raw_send(struct raw *r, const uint8_t *frames, size_t len)
{
	uint8_t packet[1500];

	raw_send_bytes(r, packet, raw_seal(r, frames, len, packet));
}

void put_varint(struct raw_bytes *b, uint64_t value)
{
	uint8_t *p = b->bytes + b->len;

	if (clv_varint_write(&p, b->bytes + sizeof(b->bytes), value))
		abort();
	b->len = (size_t)(p - b->bytes);
}

void put_bytes(struct raw_bytes *b, const void *bytes, size_t len)
{
	if (len > sizeof(b->bytes) - b->len)
		abort();
	if (len)
		memcpy(b->bytes + b->len, bytes, len);
	b->len += len;
}

void put_hex(struct raw_bytes *b, const char *hex)
{
	while (*hex) {
		unsigned byte;

		if (*hex == ' ') {
			hex++;
			continue;
		}
		if (sscanf(hex, "%2x", &byte) != 1)
			abort();
		put_bytes(b, &(uint8_t){ (uint8_t)byte }, 1);
		hex += 2;
	}
}

struct raw_stream *raw_stream_of(struct raw *r, int64_t id)
{
	struct raw_stream *s = &r->streams[(id / 4) % RAW_STREAMS_MAX];

	if (s->id != id)
		*s = (struct raw_stream){ .id = id };
	return s;
}

static uint64_t *sent_of(struct raw *r, int64_t id)
{
	static uint64_t uni[RAW_STREAMS_MAX]; /* of the one that sends; set anew by raw_connect */

	if (id & 2)
		return &uni[(id / 4) % RAW_STREAMS_MAX];
	return &raw_stream_of(r, id)->sent;
}

void raw_stream(struct raw *r, int64_t id, const void *bytes, size_t len, bool fin)
{
	uint64_t *sent = sent_of(r, id);
	const uint8_t *p = bytes ? bytes : (const void *)"";

	do {
		size_t piece = len < STREAM_PIECE ? len : STREAM_PIECE;
		struct raw_bytes b = { .len = 0 };

		put_varint(&b, 0x0e | (fin && piece == len)); /* with offset and length */
		put_varint(&b, (uint64_t)id);
		put_varint(&b, *sent);
		put_varint(&b, piece);
		put_bytes(&b, p, piece);
		raw_send(r, b.bytes, b.len);
		*sent += piece;
		p += piece;
		len -= piece;
	} while (len);
}

/* ---- acknowledging ---- */

static void acknowledge(struct raw *r)
{
	struct raw_bytes ack = { .len = 0 };
	uint64_t first[RANGES_MAX], last[RANGES_MAX];
	unsigned n = 0;

	for (int64_t pn = (int64_t)r->largest_pn; pn >= 0 && n < RANGES_MAX; pn--) {
		if (!r->seen[pn])
			continue;
		last[n] = (uint64_t)pn;
		while (pn > 0 && r->seen[pn - 1])
			pn--;
		first[n++] = (uint64_t)pn;
	}
	r->has_news = false;
	if (!n)
		return;
	put_varint(&ack, 0x02);
	put_varint(&ack, last[0]);
	put_varint(&ack, 0);
	put_varint(&ack, n - 1);
	put_varint(&ack, last[0] - first[0]);
	for (unsigned i = 1; i < n; i++) {
		put_varint(&ack, first[i - 1] - last[i] - 2);
		put_varint(&ack, last[i] - first[i]);
	}
	raw_send(r, ack.bytes, ack.len);
}

static bool deliver(void *self, const struct wire_packet *p)
{
	struct raw *r = self;

	if (!clv_endpoint_equal(&p->to, &r->endpoint))
		return false;
	if (r->conn) {
		wire_port_push(&r->port, p, 0, CLV_KIND_UNKNOWN, NULL);
		return true;
	}
	r->packets++;
	r->bytes += p->len;
	if (r->rx.aead)
		raw_read(r, p);
	return true;
}

/* ---- the handshake ---- */

static int on_completed(struct clv_conn *conn)
{
	struct raw *r = conn->env.owner;

	r->handshake_done = true;
	return 0;
}

static int on_cid_added(struct clv_conn *conn, const struct clv_cid *cid)
{
	struct raw *r = conn->env.owner;

	if (!conn->qc) /* the first of them: the one that stays */
		r->scid = *cid;
	return 0;
}

static void on_cid_removed(struct clv_conn *conn, const struct clv_cid *cid)
{
	(void)conn;
	(void)cid;
}

/* The relay opens its control stream as soon as it may: that is while the library still listens. */
static void on_stream_data(struct clv_conn *conn, int64_t id, const uint8_t *data, size_t len,
			   bool fin)
{
	struct raw *r = conn->env.owner;

	(void)fin;
	if (id != 3 || len > sizeof(r->control) - r->control_len)
		return;
	memcpy(r->control + r->control_len, data, len);
	r->control_len += len;
}

static void on_number(struct clv_conn *conn, int64_t id, uint64_t number)
{
	(void)conn;
	(void)id;
	(void)number;
}

static const struct clv_conn_ops conn_ops = {
	.handshake_completed = on_completed,
	.cid_added = on_cid_added,
	.cid_removed = on_cid_removed,
	.stream_data = on_stream_data,
	.stream_acked = on_number,
	.stream_reset = on_number,
	.stream_stop = on_number,
	.stream_closed = on_number,
};

void raw_open(struct raw *r, struct world *w, unsigned number)
{
	char text[32];

	memset(r, 0, offsetof(struct raw, port));
	r->w = w;
	snprintf(text, sizeof(text), "198.18.2.%u:%u", 1 + number, 30000 + number);
	if (clv_endpoint_parse(text, &r->endpoint))
		abort();
	for (unsigned i = 0; i < RAW_STREAMS_MAX; i++)
		r->streams[i].id = -1;
	/* another peer at the same address is not to choose the same connection IDs */
	clv_rand_init(&r->rand, w->p.seed + 5000 + number + w->wire.now_ns);
	wire_port_init(&r->port, &w->wire);
	r->port.port.counters = &r->counters;
	r->end = (struct wire_end){ .deliver = deliver, .self = r };
	wire_join(&w->wire, &r->end);
}

static void start_handshake(struct raw *r)
{
	struct clv_conn_env env = {
		.ops = &conn_ops,
		.owner = r,
		.rand = &r->rand,
		.counters = &r->counters,
		.reset_secret = r->reset_secret,
	};
	struct clv_conn_params p = {
		.version = NGTCP2_PROTO_VER_V1,
		.local = r->endpoint,
		.remote = r->w->relay_endpoint,
		.mtu = 1500,
		.idle_ns = 60 * CLV_SEC,
		.handshake_ns = 10 * CLV_SEC,
		.stream_window = 1 << 20,
		.conn_window = 1 << 20,
		.now_ns = r->w->wire.now_ns,
	};

	p.client_dcid.datalen = CLV_CID_LEN;
	clv_rand_bytes(&r->rand, p.client_dcid.data, CLV_CID_LEN);
	if (clv_conn_new(&env, &p, &r->conn))
		abort();
	if (r->frame_max) { /* not what our own client would offer; TLS has not read it yet */
		const ngtcp2_transport_params *tp = ngtcp2_conn_get_local_transport_params2(
			r->conn->qc);

		((ngtcp2_transport_params *)tp)->max_datagram_frame_size = r->frame_max;
	}
	if (clv_tls_attach(r->w->client_tls, r->conn, "relay.test"))
		abort();
}

static void step_handshake(struct raw *r)
{
	struct clv_rx batch[CLV_PORT_BATCH];
	unsigned n = r->port.port.ops->rx(&r->port.port, batch, CLV_PORT_BATCH);
	uint64_t now = r->w->wire.now_ns;

	handshaking = r;
	for (unsigned i = 0; i < n; i++)
		clv_conn_input(r->conn, &batch[i], now);
	r->port.port.ops->rx_done(&r->port.port);
	if (clv_conn_next_ns(r->conn) <= now)
		clv_conn_expire(r->conn, now);
	clv_conn_output(r->conn, &r->port.port, now);
	handshaking = NULL;
}

bool raw_connect(struct raw *r)
{
	uint64_t until = r->w->wire.now_ns + 5 * CLV_SEC;
	uint64_t settled = UINT64_MAX;

	for (int64_t id = 2; id < 4 * RAW_STREAMS_MAX; id += 4)
		*sent_of(r, id) = 0;
	start_handshake(r);
	while (r->w->wire.now_ns < until && r->w->wire.now_ns < settled && !r->conn->closing) {
		uint64_t now = r->w->wire.now_ns, next;

		wire_run(&r->w->wire); /* what is due has to be there before the step */
		step_handshake(r);
		if (r->handshake_done && settled == UINT64_MAX)
			settled = now + 200 * CLV_MSEC; /* HANDSHAKE_DONE and ACKs */
		next = clv_conn_next_ns(r->conn);
		if (next > settled)
			next = settled;
		if (next > until)
			next = until;
		world_turn(r->w, next > now ? next - now : 0);
	}
	memcpy(r->dcid, ngtcp2_conn_get_dcid2(r->conn->qc)->data, CLV_CID_LEN);
	r->next_pn = FIRST_PN;
	/* the numbers the library has seen and acknowledged are not known here: go on from zero */
	clv_conn_free(r->conn);
	r->conn = NULL;
	return r->handshake_done;
}

void raw_half_open(struct raw *r, uint64_t duration_ns)
{
	uint64_t until = r->w->wire.now_ns + duration_ns;

	start_handshake(r);
	while (r->w->wire.now_ns < until) {
		step_handshake(r);
		world_turn(r->w, CLV_MSEC);
	}
	clv_conn_free(r->conn);
	r->conn = NULL;
}

void raw_close(struct raw *r)
{
	struct wire_end **at = &r->w->wire.ends;

	while (*at != &r->end)
		at = &(*at)->next;
	*at = r->end.next;
	r->port.port.ops->close(&r->port.port);
	clv_conn_free(r->conn);
	clv_aead_keys_fini(&r->tx);
	clv_aead_keys_fini(&r->rx);
}

void raw_run(struct raw *r, uint64_t duration_ns)
{
	uint64_t until = r->w->wire.now_ns + duration_ns;

	while (r->w->wire.now_ns < until) {
		size_t memory;

		world_turn(r->w, until - r->w->wire.now_ns);
		memory = raw_memory();
		if (memory > r->memory_peak)
			r->memory_peak = memory;
		if (r->has_news && !r->never_acks && !r->is_closed)
			acknowledge(r);
	}
}
