/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/masque/object.h"

#include "datapath/base/addr.h"
#include "datapath/base/bytes.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <string.h>

#define CONTEXT "culvert-object-1"

static const uint8_t magic[4] = "CLVO";

enum {
	VERSION = 1,
	HEAD_LEN = 8,	/* before the body */
	FIXED_LEN = 48, /* of the body, before its TLVs */
	TLV_HEAD_LEN = 3,
	ENDPOINT_V4_LEN = 9,
	ENDPOINT_V6_LEN = 21,
	KNOCK_FIXED_LEN = CLV_IDENTITY_LEN + CLV_OBJECT_NONCE_LEN,
	TAIL_LEN = 2 + CLV_SIGNER_SIGNATURE_LEN,
	BODY_MAX = CLV_OBJECT_MAX - HEAD_LEN - TAIL_LEN,
	V4_AT = 12, /* where an IPv4 address is in its 16-byte form */
};

enum tlv_type {
	TLV_KEY = 1,
	TLV_ENDPOINT,
	TLV_RELAY,
	TLV_CAPABILITIES,
	TLV_REGION,
	TLV_LOAD,
	TLV_NEIGHBOURS,
	TLV_KNOCK,
};

int clv_object_identity(const uint8_t key[static CLV_SIGNER_KEY_LEN], struct clv_identity *out)
{
	uint8_t spki[CLV_SIGNER_SPKI_LEN];

	clv_signer_spki(key, spki);
	return clv_identity_of(spki, sizeof(spki), out);
}

/* ---- reading ---- */

/* Of what is left of a value. */
struct input {
	const uint8_t *p, *end;
};

static size_t left(const struct input *in)
{
	return (size_t)(in->end - in->p);
}

static int read_endpoint(const uint8_t *v, size_t len, struct clv_object_endpoint *out)
{
	struct clv_object_endpoint e = { 0 };

	if (len == ENDPOINT_V4_LEN && v[2] == 4) {
		e.at.addr[10] = e.at.addr[11] = 0xff;
		memcpy(e.at.addr + V4_AT, v + 5, 4);
	} else if (len == ENDPOINT_V6_LEN && v[2] == 6) {
		memcpy(e.at.addr, v + 5, sizeof(e.at.addr));
		if (clv_addr_is_v4(e.at.addr)) /* each address has one form */
			return CLV_EPROTO;
	} else {
		return CLV_EPROTO;
	}
	e.use = v[0];
	e.protocol = v[1];
	memcpy(&e.at.port, v + 3, sizeof(e.at.port));
	if (!e.at.port || clv_addr_is_wildcard(e.at.addr))
		return CLV_EPROTO;
	*out = e;
	return 0;
}

static int add_endpoint(struct clv_object *o, const uint8_t *v, size_t len)
{
	if (o->endpoints_len == CLV_OBJECT_ENDPOINTS_MAX)
		return CLV_EPROTO;
	if (read_endpoint(v, len, &o->endpoints[o->endpoints_len]))
		return CLV_EPROTO;
	o->endpoints_len++;
	return 0;
}

/* The next TLV.  Returns its type and fills *value, or CLV_EPROTO. */
static int next_tlv(struct input *in, struct input *value)
{
	size_t len;
	int type;

	if (left(in) < TLV_HEAD_LEN)
		return CLV_EPROTO;
	type = in->p[0];
	len = clv_load_be16(in->p + 1);
	if (left(in) - TLV_HEAD_LEN < len)
		return CLV_EPROTO;
	value->p = in->p + TLV_HEAD_LEN;
	value->end = value->p + len;
	in->p = value->end;
	return type;
}

static int read_relay(struct clv_object *o, struct input v)
{
	struct clv_object_relay *r = &o->relays[o->relays_len];

	if (o->relays_len == CLV_OBJECT_RELAYS_MAX || left(&v) < CLV_IDENTITY_LEN)
		return CLV_EPROTO;
	memcpy(r->id.bytes, v.p, CLV_IDENTITY_LEN);
	v.p += CLV_IDENTITY_LEN;
	r->first = o->endpoints_len;
	while (left(&v)) {
		struct input value;
		int type = next_tlv(&v, &value);

		if (type < 0 || (type == TLV_ENDPOINT && add_endpoint(o, value.p, left(&value))))
			return CLV_EPROTO;
	}
	r->len = (uint8_t)(o->endpoints_len - r->first);
	o->relays_len++;
	return 0;
}

static int read_region(struct clv_object *o, struct input v)
{
	size_t len = left(&v);

	if (!len || len > CLV_OBJECT_REGION_MAX)
		return CLV_EPROTO;
	for (size_t i = 0; i < len; i++)
		if (v.p[i] <= ' ' || v.p[i] > '~')
			return CLV_EPROTO;
	memcpy(o->region, v.p, len);
	return 0;
}

static int read_knock(struct clv_object *o, struct input v)
{
	if (left(&v) < KNOCK_FIXED_LEN)
		return CLV_EPROTO;
	memcpy(o->to.bytes, v.p, CLV_IDENTITY_LEN);
	memcpy(o->nonce, v.p + CLV_IDENTITY_LEN, CLV_OBJECT_NONCE_LEN);
	o->has_knock = true;
	return read_endpoint(v.p + KNOCK_FIXED_LEN, left(&v) - KNOCK_FIXED_LEN, &o->from);
}

/* A TLV of a type that occurs once. */
static int read_single(struct clv_object *o, int type, struct input v)
{
	size_t len = left(&v);

	switch (type) {
	case TLV_KEY:
		o->key = v.p;
		return len == CLV_SIGNER_KEY_LEN ? 0 : CLV_EPROTO;
	case TLV_CAPABILITIES:
		if (len != 4)
			return CLV_EPROTO;
		o->capabilities = clv_load_be32(v.p);
		return 0;
	case TLV_REGION:
		return read_region(o, v);
	case TLV_LOAD:
		if (len != 2)
			return CLV_EPROTO;
		o->has_load = true;
		o->load_percent = v.p[0];
		o->rate_class = v.p[1];
		return 0;
	case TLV_NEIGHBOURS:
		o->neighbours = v.p;
		o->neighbours_len = (uint16_t)(len / CLV_OBJECT_PREFIX_LEN);
		return len % CLV_OBJECT_PREFIX_LEN ? CLV_EPROTO : 0;
	case TLV_KNOCK:
		return read_knock(o, v);
	default:
		return 0;
	}
}

/* Own endpoints come first in *o, so they are read before those of relays. */
static int read_tlvs(struct clv_object *o, struct input body)
{
	uint32_t seen = 0;
	struct input in = body, value;
	int type, err = 0;

	while (!err && left(&in)) {
		type = next_tlv(&in, &value);
		if (type < 0)
			return CLV_EPROTO;
		if (type == TLV_ENDPOINT) {
			err = add_endpoint(o, value.p, left(&value));
		} else if (type != TLV_RELAY && type <= TLV_KNOCK) {
			err = seen & 1u << type ? CLV_EPROTO : read_single(o, type, value);
			seen |= 1u << type;
		}
	}
	o->own_len = o->endpoints_len;
	for (in = body; !err && left(&in);)
		if (next_tlv(&in, &value) == TLV_RELAY)
			err = read_relay(o, value);
	return err;
}

/* A knock is nothing without whom it is for, and nothing else is a knock. */
static bool is_complete(const struct clv_object *o)
{
	return (o->kind == CLV_OBJECT_KNOCK) == o->has_knock;
}

int clv_object_read(const uint8_t *bytes, size_t len, struct clv_object *out)
{
	struct clv_object o = { .bytes = bytes };
	const uint8_t *p = bytes + HEAD_LEN;
	size_t body_len;

	if (len > CLV_OBJECT_MAX)
		return CLV_EPROTO;
	if (len < HEAD_LEN + FIXED_LEN + TAIL_LEN)
		return CLV_ETRUNC;
	if (memcmp(bytes, magic, sizeof(magic)) != 0)
		return CLV_EPROTO;
	if (bytes[4] != VERSION)
		return bytes[4] ? CLV_ERANGE : CLV_EPROTO;
	o.kind = bytes[5];
	body_len = clv_load_be16(bytes + 6);
	if (HEAD_LEN + body_len + TAIL_LEN > len)
		return CLV_ETRUNC;
	if (HEAD_LEN + body_len + TAIL_LEN < len || body_len < FIXED_LEN || !o.kind)
		return CLV_EPROTO;
	memcpy(o.id.bytes, p, CLV_IDENTITY_LEN);
	o.seq = clv_load_be64(p + 32);
	o.issued_sec = clv_load_be32(p + 40);
	o.lifetime_sec = clv_load_be16(p + 44);
	o.flags = clv_load_be16(p + 46);
	o.signed_len = HEAD_LEN + body_len;
	if (clv_load_be16(bytes + o.signed_len) != CLV_SIGNER_SIGNATURE_LEN)
		return CLV_EPROTO;
	o.signature = bytes + o.signed_len + 2;
	/* 0 means none where sequences are remembered. */
	if (!o.seq || read_tlvs(&o, (struct input){ p + FIXED_LEN, bytes + HEAD_LEN + body_len }) ||
	    !is_complete(&o))
		return CLV_EPROTO;
	*out = o;
	return 0;
}

/* ---- judging ---- */

int clv_object_verify(const struct clv_object *o, const uint8_t *key)
{
	struct clv_identity id;

	if (o->key)
		key = o->key;
	if (!key)
		return -ENOKEY;
	if (clv_object_identity(key, &id) || memcmp(&id, &o->id, sizeof(id)) != 0)
		return CLV_EUNTRUSTED;
	return clv_signer_verify(key, CONTEXT, o->bytes, o->signed_len, o->signature);
}

int clv_object_check_time(const struct clv_object *o, uint64_t now_sec)
{
	if (!o->lifetime_sec || o->lifetime_sec > CLV_OBJECT_LIFETIME_MAX_SEC ||
	    o->issued_sec > now_sec + CLV_OBJECT_SKEW_SEC)
		return CLV_ERANGE;
	if (now_sec >= (uint64_t)o->issued_sec + o->lifetime_sec + CLV_OBJECT_SKEW_SEC)
		return CLV_ETIMEOUT;
	return 0;
}

uint64_t clv_object_seen_seq(const struct clv_object_seen *seen, const struct clv_identity *id)
{
	for (size_t i = 0; i < CLV_OBJECT_SEEN; i++)
		if (seen->entries[i].seq && memcmp(&seen->entries[i].id, id, sizeof(*id)) == 0)
			return seen->entries[i].seq;
	return 0;
}

bool clv_object_is_new(struct clv_object_seen *seen, const struct clv_object *o)
{
	struct clv_object_seen_entry *e;

	for (size_t i = 0; i < CLV_OBJECT_SEEN; i++) {
		e = &seen->entries[i];
		if (!e->seq || memcmp(&e->id, &o->id, sizeof(e->id)) != 0)
			continue;
		if (o->seq <= e->seq)
			return false;
		e->seq = o->seq;
		return true;
	}
	e = &seen->entries[seen->next++ % CLV_OBJECT_SEEN];
	*e = (struct clv_object_seen_entry){ .id = o->id, .seq = o->seq };
	return true;
}

/* ---- writing ---- */

/* Where an object is written; len also counts what did not fit. */
struct output {
	uint8_t *buf;
	size_t len, room;
};

static void put(struct output *out, const void *bytes, size_t len)
{
	if (out->len + len <= out->room)
		memcpy(out->buf + out->len, bytes, len);
	out->len += len;
}

static void put_number(struct output *out, uint64_t value, size_t len)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(value >> 8 * (len - 1 - i));
	put(out, bytes, len);
}

static void put_tlv(struct output *out, enum tlv_type type, size_t len)
{
	put_number(out, type, 1);
	put_number(out, len, 2);
}

static size_t endpoint_len(const struct clv_object_endpoint *e)
{
	return clv_addr_is_v4(e->at.addr) ? ENDPOINT_V4_LEN : ENDPOINT_V6_LEN;
}

static void put_endpoint(struct output *out, const struct clv_object_endpoint *e)
{
	bool is_v4 = clv_addr_is_v4(e->at.addr);

	put_number(out, e->use, 1);
	put_number(out, e->protocol, 1);
	put_number(out, is_v4 ? 4 : 6, 1);
	put(out, &e->at.port, sizeof(e->at.port));
	put(out, e->at.addr + (is_v4 ? V4_AT : 0), is_v4 ? 4 : 16);
}

static void put_endpoints(struct output *out, const struct clv_object_endpoint *e, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		put_tlv(out, TLV_ENDPOINT, endpoint_len(&e[i]));
		put_endpoint(out, &e[i]);
	}
}

static void put_relay(struct output *out, const struct clv_object *o,
		      const struct clv_object_relay *r)
{
	size_t len = CLV_IDENTITY_LEN;

	for (unsigned i = 0; i < r->len; i++)
		len += TLV_HEAD_LEN + endpoint_len(&o->endpoints[r->first + i]);
	put_tlv(out, TLV_RELAY, len);
	put(out, r->id.bytes, CLV_IDENTITY_LEN);
	put_endpoints(out, o->endpoints + r->first, r->len);
}

static void put_tlvs(struct output *out, const struct clv_object *o)
{
	if (o->key) {
		put_tlv(out, TLV_KEY, CLV_SIGNER_KEY_LEN);
		put(out, o->key, CLV_SIGNER_KEY_LEN);
	}
	put_endpoints(out, o->endpoints, o->own_len);
	for (unsigned i = 0; i < o->relays_len; i++)
		put_relay(out, o, &o->relays[i]);
	if (o->capabilities) {
		put_tlv(out, TLV_CAPABILITIES, 4);
		put_number(out, o->capabilities, 4);
	}
	if (*o->region) {
		put_tlv(out, TLV_REGION, strlen(o->region));
		put(out, o->region, strlen(o->region));
	}
	if (o->has_load) {
		put_tlv(out, TLV_LOAD, 2);
		put_number(out, o->load_percent, 1);
		put_number(out, o->rate_class, 1);
	}
	if (o->neighbours) {
		put_tlv(out, TLV_NEIGHBOURS, (size_t)o->neighbours_len * CLV_OBJECT_PREFIX_LEN);
		put(out, o->neighbours, (size_t)o->neighbours_len * CLV_OBJECT_PREFIX_LEN);
	}
	if (o->has_knock) {
		put_tlv(out, TLV_KNOCK, KNOCK_FIXED_LEN + endpoint_len(&o->from));
		put(out, o->to.bytes, CLV_IDENTITY_LEN);
		put(out, o->nonce, CLV_OBJECT_NONCE_LEN);
		put_endpoint(out, &o->from);
	}
}

/* Whether its relays name only endpoints that there are, behind the own ones. */
static bool are_relays_in_range(const struct clv_object *o)
{
	if (o->endpoints_len > CLV_OBJECT_ENDPOINTS_MAX || o->own_len > o->endpoints_len ||
	    o->relays_len > CLV_OBJECT_RELAYS_MAX)
		return false;
	for (unsigned i = 0; i < o->relays_len; i++)
		if (o->relays[i].first < o->own_len ||
		    o->relays[i].first + o->relays[i].len > o->endpoints_len)
			return false;
	return true;
}

int clv_object_write(const struct clv_object *o, uint8_t buf[static CLV_OBJECT_MAX], size_t *len)
{
	struct output out = { .buf = buf, .room = CLV_OBJECT_MAX - TAIL_LEN };
	size_t body_len;

	if (!o->kind || !o->seq || !is_complete(o) || !are_relays_in_range(o))
		return CLV_EPROTO;
	put(&out, magic, sizeof(magic));
	put_number(&out, VERSION, 1);
	put_number(&out, o->kind, 1);
	put_number(&out, 0, 2); /* the body's length, known below */
	put(&out, o->id.bytes, CLV_IDENTITY_LEN);
	put_number(&out, o->seq, 8);
	put_number(&out, o->issued_sec, 4);
	put_number(&out, o->lifetime_sec, 2);
	put_number(&out, o->flags, 2);
	put_tlvs(&out, o);
	if (out.len > out.room)
		return CLV_ERANGE;
	body_len = out.len - HEAD_LEN;
	buf[6] = (uint8_t)(body_len >> 8);
	buf[7] = (uint8_t)body_len;
	*len = out.len;
	return 0;
}

int clv_object_sign(const struct clv_object *o, struct clv_signer *signer,
		    uint8_t buf[static CLV_OBJECT_MAX], size_t *len)
{
	struct clv_object made = *o, check;
	size_t signed_len;
	int err;

	made.key = clv_signer_key(signer);
	err = clv_object_identity(made.key, &made.id);
	if (!err)
		err = clv_object_write(&made, buf, &signed_len);
	if (err)
		return err;
	buf[signed_len] = CLV_SIGNER_SIGNATURE_LEN >> 8;
	buf[signed_len + 1] = CLV_SIGNER_SIGNATURE_LEN & 0xff;
	err = clv_signer_sign(signer, CONTEXT, buf, signed_len, buf + signed_len + 2);
	if (err)
		return err;
	/* Nobody is sent what nobody could read. */
	if (clv_object_read(buf, signed_len + TAIL_LEN, &check))
		return CLV_EPROTO;
	*len = signed_len + TAIL_LEN;
	return 0;
}
