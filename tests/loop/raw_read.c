/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/loop/raw.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/varint.h"
#include "datapath/quic/dgram.h"

struct reader {
	const uint8_t *p, *end;
	bool failed;
};

static uint64_t get(struct reader *f)
{
	uint64_t value = 0;

	if (clv_varint_read(&f->p, f->end, &value))
		f->failed = true;
	return value;
}

static const uint8_t *skip(struct reader *f, uint64_t len)
{
	const uint8_t *at = f->p;

	if (len > (uint64_t)(f->end - f->p)) {
		f->failed = true;
		f->p = f->end;
		return at;
	}
	f->p += len;
	return at;
}

static void read_ack(struct reader *f, bool with_ecn)
{
	uint64_t ranges;

	get(f);
	get(f);
	ranges = get(f);
	get(f);
	for (uint64_t i = 0; i < ranges && !f->failed; i++) {
		get(f);
		get(f);
	}
	for (int i = 0; with_ecn && i < 3; i++)
		get(f);
}

static void read_stream(struct raw *r, struct reader *f, uint64_t type)
{
	int64_t id = (int64_t)get(f);
	uint64_t offset = type & 4 ? get(f) : 0;
	uint64_t len = type & 2 ? get(f) : (uint64_t)(f->end - f->p);
	const uint8_t *bytes = skip(f, len);
	struct raw_stream *s;

	if (f->failed || id & 3)
		return;
	s = raw_stream_of(r, id);
	if (offset + len <= sizeof(s->bytes)) {
		memcpy(s->bytes + offset, bytes, len);
		s->len = offset + len > s->len ? offset + len : s->len;
	}
	s->fin |= type & 1;
}

static void read_new_cid(struct raw *r, struct reader *f)
{
	struct raw_cid c = { .seq = get(f) };
	uint64_t len;

	get(f);
	len = *skip(f, 1);
	memcpy(c.id, skip(f, len), len < sizeof(c.id) ? len : sizeof(c.id));
	memcpy(c.token, skip(f, sizeof(c.token)), sizeof(c.token));
	if (!f->failed && r->cids_len < RAW_CIDS_MAX)
		r->cids[r->cids_len++] = c;
}

static void read_close(struct raw *r, struct reader *f, uint64_t type)
{
	r->is_closed = true;
	r->close_is_app = type & 1;
	r->close_code = get(f);
	if (!r->close_is_app)
		get(f);
	skip(f, get(f));
}

static void read_challenge(struct raw *r, struct reader *f)
{
	struct raw_bytes b = { .len = 0 };

	r->challenges++;
	put_varint(&b, 0x1b);
	put_bytes(&b, skip(f, 8), 8);
	raw_send(r, b.bytes, b.len);
}

/* Frames about a stream other than STREAM. */
static void read_stream_news(struct raw *r, struct reader *f, uint64_t type)
{
	int64_t id = (int64_t)get(f);
	uint64_t code = get(f);
	struct raw_stream *s;

	if (type == 0x04)
		get(f);
	if (type == 0x11 || id & 3)
		return;
	s = raw_stream_of(r, id);
	if (type == 0x04) {
		s->was_reset = true;
		s->reset_code = code;
	} else {
		s->was_stopped = true;
		s->stop_code = code;
	}
}

/* One that only tries how much the path takes is none for a test. */
static void read_datagram(struct raw *r, struct reader *f, uint64_t len)
{
	const uint8_t *data = skip(f, len);
	struct reader body = { data, f->p, f->failed };

	get(&body);
	if (get(&body) == CLV_DGRAM_CONTEXT_PROBE_SERVER)
		return;
	r->datagrams++;
	if (!f->failed && r->on_datagram)
		r->on_datagram(r->user, data, (size_t)len);
}

/* Returns whether the frame wants an acknowledgement. */
static bool read_frame(struct raw *r, struct reader *f)
{
	uint64_t type = get(f);

	switch (type) {
	case 0x00:
		return false;
	case 0x02:
	case 0x03:
		read_ack(f, type == 0x03);
		return false;
	case 0x1c:
	case 0x1d:
		read_close(r, f, type);
		return false;
	case 0x04:
	case 0x05:
	case 0x11:
		read_stream_news(r, f, type);
		break;
	case 0x06:
		get(f);
		skip(f, get(f));
		break;
	case 0x07:
		skip(f, get(f));
		break;
	case 0x10:
		r->max_data = get(f);
		break;
	case 0x12:
		r->max_streams_bidi = get(f);
		break;
	case 0x13:
	case 0x14:
	case 0x16:
	case 0x17:
	case 0x19:
		get(f);
		break;
	case 0x15:
		get(f);
		get(f);
		break;
	case 0x18:
		read_new_cid(r, f);
		break;
	case 0x1a:
		read_challenge(r, f);
		break;
	case 0x1b:
		r->responses++;
		skip(f, 8);
		break;
	case 0x30:
		read_datagram(r, f, (uint64_t)(f->end - f->p));
		break;
	case 0x31:
		read_datagram(r, f, get(f));
		break;
	case 0x01:
	case 0x1e:
		break;
	default:
		if (type < 0x08 || type > 0x0f)
			f->failed = true;
		else
			read_stream(r, f, type);
	}
	return true;
}

static bool is_reset(const struct raw *r, const struct wire_packet *p)
{
	for (unsigned i = 0; p->len >= 21 && i < r->cids_len; i++)
		if (!memcmp(p->bytes + p->len - CLV_CID_TOKEN_LEN, r->cids[i].token,
			    CLV_CID_TOKEN_LEN))
			return true;
	return false;
}

void raw_read(struct raw *r, const struct wire_packet *p)
{
	uint8_t head[1 + CLV_CID_LEN + RAW_PN_LEN], plain[2048], mask[16], nonce[12];
	const uint8_t *pn_at = p->bytes + 1 + CLV_CID_LEN;
	struct reader f = { plain, plain, false };
	uint64_t pn = 0, window;
	size_t pn_len, sealed;

	if (p->len < sizeof(head) + CLV_AEAD_TAG_LEN || p->bytes[0] & 0x80)
		return;
	clv_hp_key_mask(r->rx.hp, mask, pn_at + RAW_PN_LEN);
	memcpy(head, p->bytes, sizeof(head));
	head[0] ^= mask[0] & 0x1f;
	pn_len = (head[0] & 3) + 1u;
	for (size_t i = 0; i < pn_len; i++) {
		head[1 + CLV_CID_LEN + i] ^= mask[1 + i];
		pn = pn << 8 | head[1 + CLV_CID_LEN + i];
	}
	/* RFC 9000 appendix A.3 */
	window = UINT64_C(1) << (8 * pn_len);
	pn |= (r->largest_pn + 1) & ~(window - 1);
	if (pn + window / 2 <= r->largest_pn + 1)
		pn += window;
	else if (pn > r->largest_pn + 1 + window / 2 && pn >= window)
		pn -= window;
	raw_nonce(&r->rx, pn, nonce);
	sealed = p->len - 1 - CLV_CID_LEN - pn_len;
	if (memcmp(head + 1, r->scid.id, CLV_CID_LEN) ||
	    clv_aead_key_open(r->rx.aead, plain, pn_at + pn_len, sealed - CLV_AEAD_TAG_LEN, nonce,
			      head, 1 + CLV_CID_LEN + pn_len)) {
		if (is_reset(r, p))
			r->resets++;
		else
			r->undecodable++;
		return;
	}
	if (pn >= RAW_PACKETS_MAX)
		abort();
	r->seen[pn] = 1;
	r->largest_pn = pn > r->largest_pn ? pn : r->largest_pn;
	f.end = plain + sealed - CLV_AEAD_TAG_LEN;
	while (f.p < f.end && !f.failed)
		r->has_news |= read_frame(r, &f);
	if (f.failed)
		abort(); /* the relay itself sends frames that cannot be read */
}
