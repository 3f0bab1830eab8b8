/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/peer_capsules.h"

#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/bytes.h"
#include "datapath/base/err.h"
#include "datapath/base/varint.h"

enum {
	EXTENSION_LEN = 6,
	/* The longest HELLO: two versions, probe CID and key, three bytes, an 8-byte varint. */
	HELLO_MAX = 2 + CLV_PROBE_CID_LEN + CLV_PROBE_KEY_LEN + 3 + 8,
};

/* A value as far as it is read; a field that is missing leaves it failed. */
struct cursor {
	const uint8_t *at, *end;
	bool has_failed;
};

static uint64_t read_varint(struct cursor *c)
{
	uint64_t v = 0;

	if (clv_varint_read(&c->at, c->end, &v) < 0)
		c->has_failed = true;
	return v;
}

static void read_bytes(struct cursor *c, void *out, size_t len)
{
	if ((size_t)(c->end - c->at) < len) {
		c->has_failed = true;
		return;
	}
	memcpy(out, c->at, len);
	c->at += len;
}

static uint8_t read_byte(struct cursor *c)
{
	uint8_t byte = 0;

	read_bytes(c, &byte, 1);
	return byte;
}

/* The types that have one form for each family. */
static bool has_family(uint64_t type)
{
	return (type & ~UINT64_C(1)) == CLV_PEER_ADD_ADDRESS ||
	       (type & ~UINT64_C(1)) == CLV_PEER_PUNCH_ME_NOW ||
	       (type & ~UINT64_C(1)) == CLV_PEER_OBSERVED_ADDRESS;
}

static void read_endpoint(struct cursor *c, bool is_v6, struct clv_endpoint *out)
{
	*out = (struct clv_endpoint){ 0 };
	if (is_v6) {
		read_bytes(c, out->addr, 16);
		if (clv_addr_is_v4(out->addr))
			c->has_failed = true;
	} else {
		out->addr[10] = out->addr[11] = 0xff;
		read_bytes(c, out->addr + 12, 4);
	}
	read_bytes(c, &out->port, sizeof(out->port));
}

static void read_extension(struct cursor *c, struct clv_peer_address *out)
{
	uint8_t priority[4] = { 0 };

	if (c->at == c->end)
		return;
	out->has_extension = true;
	out->kind = read_byte(c);
	out->base = read_byte(c);
	read_bytes(c, priority, sizeof(priority));
	out->priority = clv_load_be32(priority);
}

static void read_hello(struct cursor *c, struct clv_peer_hello *out)
{
	out->version = read_byte(c);
	out->version_min = read_byte(c);
	read_bytes(c, out->probe_cid, sizeof(out->probe_cid));
	read_bytes(c, out->probe_key, sizeof(out->probe_key));
	out->nat_class = read_byte(c);
	out->privacy = read_byte(c);
	out->pairs_max = read_byte(c);
	out->dialects = read_varint(c);
}

static void read_flow(struct cursor *c, struct clv_peer_capsule *out)
{
	out->flow = read_varint(c);
	if (out->type == CLV_PEER_FLOW_CLOSE)
		return;
	out->open.mode = read_byte(c);
	if (out->open.mode > CLV_PEER_FLOW_BARE)
		c->has_failed = true;
	out->open.name_len = read_byte(c);
	read_bytes(c, out->open.name, out->open.name_len);
}

bool clv_peer_capsule_is_known(uint64_t type)
{
	return has_family(type) || type == CLV_PEER_REMOVE_ADDRESS ||
	       (type >= CLV_PEER_HELLO && type <= CLV_PEER_FLOW_CLOSE);
}

int clv_peer_capsule_decode(uint64_t type, const uint8_t *value, size_t len,
			    struct clv_peer_capsule *out)
{
	struct clv_peer_capsule capsule = {
		.type = (enum clv_peer_capsule_type)(has_family(type) ? type & ~UINT64_C(1) : type),
	};
	struct cursor c = { value, value + len, false };

	switch (capsule.type) {
	case CLV_PEER_HELLO:
		read_hello(&c, &capsule.hello);
		break;
	case CLV_PEER_PUNCH_ME_NOW:
		capsule.round = read_varint(&c);
		/* fallthrough */
	case CLV_PEER_ADD_ADDRESS:
	case CLV_PEER_OBSERVED_ADDRESS:
		capsule.sequence = read_varint(&c);
		read_endpoint(&c, type & 1, &capsule.address.endpoint);
		if (capsule.type != CLV_PEER_OBSERVED_ADDRESS)
			read_extension(&c, &capsule.address);
		break;
	case CLV_PEER_REMOVE_ADDRESS:
		capsule.sequence = read_varint(&c);
		break;
	case CLV_PEER_PATH_WISH:
		capsule.wish.reason = read_byte(&c);
		capsule.wish.local_seq = read_byte(&c);
		capsule.wish.remote_seq = read_byte(&c);
		break;
	case CLV_PEER_FLOW_OPEN:
	case CLV_PEER_FLOW_CLOSE:
		read_flow(&c, &capsule);
		break;
	default:
		return CLV_EPROTO;
	}
	if (c.has_failed)
		return CLV_EPROTO;
	*out = capsule;
	return 0;
}

/* ---- writing ---- */

/* Room is enough by the size of the caller's buffer; a number that has no encoding fails. */
struct writer {
	uint8_t *at, *end;
	bool has_failed;
};

static void write_varint(struct writer *w, uint64_t v)
{
	if (clv_varint_write(&w->at, w->end, v) < 0)
		w->has_failed = true;
}

static void write_bytes(struct writer *w, const void *bytes, size_t len)
{
	memcpy(w->at, bytes, len);
	w->at += len;
}

static void write_byte(struct writer *w, uint8_t byte)
{
	*w->at++ = byte;
}

static void write_endpoint(struct writer *w, const struct clv_endpoint *ep)
{
	bool is_v4 = clv_addr_is_v4(ep->addr);

	write_bytes(w, ep->addr + (is_v4 ? 12 : 0), is_v4 ? 4 : 16);
	write_bytes(w, &ep->port, sizeof(ep->port));
}

static void write_extension(struct writer *w, const struct clv_peer_address *address)
{
	uint8_t priority[4];

	if (!address->has_extension)
		return;
	clv_store_be32(priority, address->priority);
	write_byte(w, address->kind);
	write_byte(w, address->base);
	write_bytes(w, priority, sizeof(priority));
}

static void write_hello(struct writer *w, const struct clv_peer_hello *hello)
{
	write_byte(w, hello->version);
	write_byte(w, hello->version_min);
	write_bytes(w, hello->probe_cid, sizeof(hello->probe_cid));
	write_bytes(w, hello->probe_key, sizeof(hello->probe_key));
	write_byte(w, hello->nat_class);
	write_byte(w, hello->privacy);
	write_byte(w, hello->pairs_max);
	write_varint(w, hello->dialects);
}

static void write_value(struct writer *w, const struct clv_peer_capsule *capsule)
{
	switch (capsule->type) {
	case CLV_PEER_HELLO:
		write_hello(w, &capsule->hello);
		break;
	case CLV_PEER_PUNCH_ME_NOW:
		write_varint(w, capsule->round);
		/* fallthrough */
	case CLV_PEER_ADD_ADDRESS:
	case CLV_PEER_OBSERVED_ADDRESS:
		write_varint(w, capsule->sequence);
		write_endpoint(w, &capsule->address.endpoint);
		if (capsule->type != CLV_PEER_OBSERVED_ADDRESS)
			write_extension(w, &capsule->address);
		break;
	case CLV_PEER_REMOVE_ADDRESS:
		write_varint(w, capsule->sequence);
		break;
	case CLV_PEER_PATH_WISH:
		write_byte(w, capsule->wish.reason);
		write_byte(w, capsule->wish.local_seq);
		write_byte(w, capsule->wish.remote_seq);
		break;
	case CLV_PEER_FLOW_OPEN:
		write_varint(w, capsule->flow);
		write_byte(w, capsule->open.mode);
		write_byte(w, capsule->open.name_len);
		write_bytes(w, capsule->open.name, capsule->open.name_len);
		break;
	case CLV_PEER_FLOW_CLOSE:
		write_varint(w, capsule->flow);
		break;
	}
}

int clv_peer_capsule_encode(const struct clv_peer_capsule *capsule,
			    uint8_t buf[static CLV_PEER_CAPSULE_MAX])
{
	uint8_t value[CLV_PEER_CAPSULE_MAX];
	struct writer inner = { value, value + sizeof(value), false };
	struct writer w = { buf, buf + CLV_PEER_CAPSULE_MAX, false };
	uint64_t type = (uint64_t)capsule->type;

	_Static_assert(16 + 8 + 2 + CLV_PEER_FLOW_NAME_MAX <= CLV_PEER_CAPSULE_MAX &&
			       16 + HELLO_MAX <= CLV_PEER_CAPSULE_MAX,
		       "every capsule that we write has room");
	write_value(&inner, capsule);
	if (inner.has_failed)
		return CLV_ERANGE;
	if (has_family(type) && !clv_addr_is_v4(capsule->address.endpoint.addr))
		type |= 1;
	write_varint(&w, type);
	write_varint(&w, (uint64_t)(inner.at - value));
	write_bytes(&w, value, (size_t)(inner.at - value));
	return (int)(w.at - buf);
}

int clv_peer_hello_version(const struct clv_peer_hello *hello)
{
	if (hello->version == 0 || hello->version_min > hello->version)
		return CLV_EPROTO;
	if (hello->version_min > CLV_PEER_VERSION)
		return CLV_ERANGE;
	return hello->version < CLV_PEER_VERSION ? hello->version : CLV_PEER_VERSION;
}

/* ---- the stream ---- */

/* Take bytes of type and length, until both are complete or the chunk ends. */
static void feed_head(struct clv_peer_capsule_reader *r, const uint8_t **p, const uint8_t *end)
{
	while (*p < end && !r->is_in_value) {
		const uint8_t *at = r->head, *head_end;

		r->head[r->head_len++] = *(*p)++;
		head_end = r->head + r->head_len;
		if (clv_varint_read(&at, head_end, &r->type) == 0 &&
		    clv_varint_read(&at, head_end, &r->left) == 0) {
			r->is_in_value = true;
			r->head_len = 0;
			r->value_len = 0;
		}
	}
}

static void feed_value(struct clv_peer_capsule_reader *r, const uint8_t **p, const uint8_t *end)
{
	size_t taken = (size_t)(end - *p), kept = sizeof(r->value) - r->value_len;

	if (taken > r->left)
		taken = (size_t)r->left;
	if (kept > taken)
		kept = taken;
	memcpy(r->value + r->value_len, *p, kept);
	r->value_len = (uint16_t)(r->value_len + kept);
	r->left -= taken;
	*p += taken;
}

int clv_peer_capsule_feed(struct clv_peer_capsule_reader *reader, const uint8_t *data, size_t len,
			  clv_peer_capsule_fn *fn, void *user)
{
	const uint8_t *p = data, *end = data + len;

	while (p < end) {
		struct clv_peer_capsule capsule;
		int err;

		feed_head(reader, &p, end);
		if (!reader->is_in_value)
			break;
		/* A value may be empty, so it is looked at even where the chunk ends here. */
		feed_value(reader, &p, end);
		if (reader->left > 0)
			break;
		reader->is_in_value = false;
		if (!clv_peer_capsule_is_known(reader->type))
			continue;
		err = clv_peer_capsule_decode(reader->type, reader->value, reader->value_len,
					      &capsule);
		if (!err)
			err = fn(user, &capsule);
		if (err)
			return err;
	}
	return 0;
}

int clv_peer_capsule_end(const struct clv_peer_capsule_reader *reader)
{
	return reader->is_in_value || reader->head_len > 0 ? CLV_EPROTO : 0;
}
