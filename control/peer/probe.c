/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/bytes.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/rand.h"
#include "datapath/base/secret.h"
#include "datapath/crypto/aead_keys.h"

enum {
	PROBE_VERSION = 1,
	CID_AT = 1,
	NONCE_AT = CID_AT + CLV_PROBE_CID_LEN,
	SEALED_AT = NONCE_AT + CLV_AEAD_NONCE_LEN,
	OVERHEAD = SEALED_AT + CLV_AEAD_TAG_LEN,
	/* Within the sealed part. */
	ROUND_AT = 2,
	TRANSACTION_AT = 4,
	SENT_AT = 12,
	LOCAL_SEQ_AT = 16,
	REMOTE_SEQ_AT = 17,
	FAMILY_AT = 18,
	PORT_AT = 19,
	ADDR_AT = 21,
	CONTENT_MAX = ADDR_AT + 16,

	WINDOW = 256, /* transactions that are remembered */
};

_Static_assert(OVERHEAD + CONTENT_MAX == CLV_PROBE_MIN, "a response of IPv6 is the shortest probe");

/* Far below where random nonces of 96 bits become likely to repeat. */
#define USES_MAX (UINT64_C(1) << 28)
#define LIFE_NS	 (24 * 3600 * CLV_SEC)
#define GRACE_NS (60 * CLV_SEC)

/* Which probes came under a key. */
struct window {
	uint64_t transaction[WINDOW];
	uint32_t sent_ms[WINDOW];
	unsigned count, next;
	uint32_t newest_ms;
	uint32_t forgotten_ms; /* the newest of those that made room */
	bool has_forgotten;
};

/* A key of ours, which the peer seals with. */
struct own_key {
	uint8_t cid[CLV_PROBE_CID_LEN];
	uint8_t raw[CLV_PROBE_KEY_LEN];
	struct clv_aead_key *key; /* NULL: none */
	uint64_t made_ns;
	uint64_t uses;
	struct window window;
};

struct clv_probe {
	struct clv_rand *rand;
	struct own_key own[2]; /* the present one, and the one before */
	uint64_t renewed_ns;
	uint8_t peer_cid[CLV_PROBE_CID_LEN];
	struct clv_aead_key *peer_key; /* NULL: no HELLO yet */
	uint64_t peer_uses;
	uint64_t counts[CLV_PROBE_VERDICT_MAX];
};

const char *clv_probe_verdict_name(enum clv_probe_verdict verdict)
{
	static const char *const names[] = {
#define X(symbol, name, help) [CLV_PROBE_##symbol] = (name),
		CLV_PROBE_VERDICTS(X)
#undef X
	};

	return names[verdict];
}

static void drop_own(struct own_key *own)
{
	clv_aead_key_free(own->key);
	explicit_bzero(own, sizeof(*own));
}

static int make_own(struct clv_probe *probe, uint64_t now_ns, struct own_key *out)
{
	clv_rand_bytes(probe->rand, out->cid, sizeof(out->cid));
	clv_rand_bytes(probe->rand, out->raw, sizeof(out->raw));
	out->made_ns = now_ns;
	return clv_aead_key_new(out->raw, sizeof(out->raw), &out->key);
}

int clv_probe_new(struct clv_rand *rand, uint64_t now_ns, struct clv_probe **out)
{
	struct clv_probe *probe = calloc(1, sizeof(*probe));
	int err;

	if (!probe)
		return -ENOMEM;
	probe->rand = rand;
	err = make_own(probe, now_ns, &probe->own[0]);
	if (err) {
		clv_probe_free(probe);
		return err;
	}
	*out = probe;
	return 0;
}

void clv_probe_free(struct clv_probe *probe)
{
	if (!probe)
		return;
	drop_own(&probe->own[0]);
	drop_own(&probe->own[1]);
	clv_aead_key_free(probe->peer_key);
	free(probe);
}

void clv_probe_fill_hello(const struct clv_probe *probe, struct clv_peer_hello *hello)
{
	memcpy(hello->probe_cid, probe->own[0].cid, sizeof(hello->probe_cid));
	memcpy(hello->probe_key, probe->own[0].raw, sizeof(hello->probe_key));
}

int clv_probe_set_peer(struct clv_probe *probe, const struct clv_peer_hello *hello)
{
	struct clv_aead_key *key;
	int err = clv_aead_key_new(hello->probe_key, sizeof(hello->probe_key), &key);

	if (err)
		return err;
	clv_aead_key_free(probe->peer_key);
	probe->peer_key = key;
	probe->peer_uses = 0;
	memcpy(probe->peer_cid, hello->probe_cid, sizeof(probe->peer_cid));
	return 0;
}

bool clv_probe_has_peer(const struct clv_probe *probe)
{
	return probe->peer_key != NULL;
}

bool clv_probe_is_due(const struct clv_probe *probe, uint64_t now_ns)
{
	const struct own_key *own = &probe->own[0];

	return own->uses >= USES_MAX || now_ns - own->made_ns >= LIFE_NS;
}

int clv_probe_renew(struct clv_probe *probe, uint64_t now_ns)
{
	struct own_key *fresh = calloc(1, sizeof(*fresh));
	int err;

	if (!fresh)
		return -ENOMEM;
	err = make_own(probe, now_ns, fresh);
	if (!err) {
		drop_own(&probe->own[1]);
		probe->own[1] = probe->own[0];
		probe->own[0] = *fresh;
		probe->renewed_ns = now_ns;
	}
	explicit_bzero(fresh, sizeof(*fresh));
	free(fresh);
	return err;
}

/* ---- sealing ---- */

static void write_observed(uint8_t *content, const struct clv_probe_message *message)
{
	const struct clv_endpoint *ep = &message->observed;
	bool is_v4 = clv_addr_is_v4(ep->addr);

	if (!message->has_observed)
		return;
	content[FAMILY_AT] = is_v4 ? 4 : 6;
	memcpy(content + PORT_AT, &ep->port, sizeof(ep->port));
	memcpy(content + ADDR_AT, ep->addr + (is_v4 ? 12 : 0), is_v4 ? 4 : 16);
}

int clv_probe_seal(struct clv_probe *probe, const struct clv_probe_message *message,
		   uint8_t buf[static CLV_PROBE_MAX])
{
	size_t content_len;
	uint8_t *content = buf + SEALED_AT;
	int err;

	if (message->size < CLV_PROBE_MIN || message->size > CLV_PROBE_MAX)
		return CLV_ERANGE;
	if (!probe->peer_key || probe->peer_uses >= USES_MAX)
		return CLV_ECLOSED;
	probe->peer_uses++;
	content_len = message->size - (size_t)OVERHEAD;

	clv_rand_bytes(probe->rand, buf, 1);
	buf[0] = (uint8_t)(0x40 | (buf[0] & 0x3f));
	memcpy(buf + CID_AT, probe->peer_cid, CLV_PROBE_CID_LEN);
	clv_rand_bytes(probe->rand, buf + NONCE_AT, CLV_AEAD_NONCE_LEN);

	memset(content, 0, content_len);
	content[0] = (uint8_t)message->type;
	content[1] = PROBE_VERSION;
	clv_store_be16(content + ROUND_AT, message->round);
	clv_store_be64(content + TRANSACTION_AT, message->transaction);
	clv_store_be32(content + SENT_AT, message->sent_ms);
	content[LOCAL_SEQ_AT] = message->local_seq;
	content[REMOTE_SEQ_AT] = message->remote_seq;
	write_observed(content, message);

	err = clv_aead_key_seal(probe->peer_key, content, content, content_len, buf + NONCE_AT, buf,
				SEALED_AT);
	return err ? err : message->size;
}

/* ---- opening ---- */

/* Both keys are compared, whatever the first says. */
static struct own_key *key_of(struct clv_probe *probe, const uint8_t *cid)
{
	bool is_present = clv_secret_equal(probe->own[0].cid, cid, CLV_PROBE_CID_LEN);
	bool is_former = clv_secret_equal(probe->own[1].cid, cid, CLV_PROBE_CID_LEN);

	if (is_present)
		return &probe->own[0];
	return is_former && probe->own[1].key ? &probe->own[1] : NULL;
}

bool clv_probe_is_ours(const struct clv_probe *probe, const uint8_t *datagram, size_t len)
{
	return len >= NONCE_AT && (datagram[0] & 0xc0) == 0x40 &&
	       key_of((struct clv_probe *)probe, datagram + CID_AT) != NULL;
}

static bool is_before(uint32_t a_ms, uint32_t b_ms)
{
	return (int32_t)(a_ms - b_ms) < 0;
}

static void remember(struct window *w, uint64_t transaction, uint32_t sent_ms)
{
	if (w->count == WINDOW) {
		uint32_t leaving_ms = w->sent_ms[w->next];

		if (!w->has_forgotten || is_before(w->forgotten_ms, leaving_ms))
			w->forgotten_ms = leaving_ms;
		w->has_forgotten = true;
	} else {
		w->count++;
	}
	if (w->count == 1 || is_before(w->newest_ms, sent_ms))
		w->newest_ms = sent_ms;
	w->transaction[w->next] = transaction;
	w->sent_ms[w->next] = sent_ms;
	w->next = (w->next + 1) % WINDOW;
}

/* A request and its response have one transaction and go opposite ways: never under one key. */
static enum clv_probe_verdict check_window(const struct window *w, uint64_t transaction,
					   uint32_t sent_ms)
{
	for (unsigned i = 0; i < w->count; i++)
		if (w->transaction[i] == transaction)
			return CLV_PROBE_REPLAYED;
	if (w->count && (int32_t)(w->newest_ms - sent_ms) > CLV_PROBE_AGE_MAX_MS)
		return CLV_PROBE_OLD;
	if (w->has_forgotten && !is_before(w->forgotten_ms, sent_ms))
		return CLV_PROBE_OLD;
	return CLV_PROBE_OPENED;
}

static bool read_observed(const uint8_t *content, struct clv_probe_message *out)
{
	struct clv_endpoint *ep = &out->observed;

	switch (content[FAMILY_AT]) {
	case 0:
		return true;
	case 4:
		ep->addr[10] = ep->addr[11] = 0xff;
		memcpy(ep->addr + 12, content + ADDR_AT, 4);
		break;
	case 6:
		memcpy(ep->addr, content + ADDR_AT, 16);
		if (clv_addr_is_v4(ep->addr))
			return false;
		break;
	default:
		return false;
	}
	memcpy(&ep->port, content + PORT_AT, sizeof(ep->port));
	out->has_observed = true;
	return true;
}

static bool read_content(const uint8_t *content, struct clv_probe_message *out)
{
	if (content[0] != CLV_PROBE_REQUEST && content[0] != CLV_PROBE_RESPONSE)
		return false;
	if (content[1] != PROBE_VERSION)
		return false;
	out->type = (enum clv_probe_type)content[0];
	out->round = clv_load_be16(content + ROUND_AT);
	out->transaction = clv_load_be64(content + TRANSACTION_AT);
	out->sent_ms = clv_load_be32(content + SENT_AT);
	out->local_seq = content[LOCAL_SEQ_AT];
	out->remote_seq = content[REMOTE_SEQ_AT];
	return read_observed(content, out);
}

static enum clv_probe_verdict judge(struct clv_probe *probe, const uint8_t *datagram, size_t len,
				    uint64_t now_ns, struct clv_probe_message *out)
{
	struct clv_probe_message message = { .size = (uint16_t)len };
	uint8_t content[CLV_PROBE_MAX];
	enum clv_probe_verdict verdict;
	struct own_key *own;

	if (!clv_probe_is_ours(probe, datagram, len))
		return CLV_PROBE_FOREIGN;
	if (len < CLV_PROBE_MIN || len > CLV_PROBE_MAX)
		return CLV_PROBE_BAD_SIZE;
	own = key_of(probe, datagram + CID_AT);
	if (own == &probe->own[1] && now_ns - probe->renewed_ns > GRACE_NS)
		return CLV_PROBE_FOREIGN;
	if (clv_aead_key_open(own->key, content, datagram + SEALED_AT, len - OVERHEAD,
			      datagram + NONCE_AT, datagram, SEALED_AT))
		return CLV_PROBE_BAD_TAG;
	own->uses++;
	if (!read_content(content, &message))
		return CLV_PROBE_BAD_CONTENT;
	verdict = check_window(&own->window, message.transaction, message.sent_ms);
	if (verdict != CLV_PROBE_OPENED)
		return verdict;
	remember(&own->window, message.transaction, message.sent_ms);
	*out = message;
	return CLV_PROBE_OPENED;
}

enum clv_probe_verdict clv_probe_open(struct clv_probe *probe, const uint8_t *datagram, size_t len,
				      uint64_t now_ns, struct clv_probe_message *out)
{
	enum clv_probe_verdict verdict = judge(probe, datagram, len, now_ns, out);

	probe->counts[verdict]++;
	return verdict;
}

uint64_t clv_probe_count(const struct clv_probe *probe, enum clv_probe_verdict verdict)
{
	return probe->counts[verdict];
}
