/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/masque/signal.h"

#include "control/masque/capsule.h"
#include "datapath/base/addr.h"
#include "datapath/base/bytes.h"
#include "datapath/base/err.h"
#include "datapath/base/varint.h"

#include <string.h>

enum {
	OBSERVED_V6 = CLV_SIGNAL_OBSERVED + 1,
	HELLO_MAX = 512, /* with what later versions add */
	OBSERVED_MAX = 64,
	V4_AT = 12, /* where an IPv4 address is in its 16-byte form */
};

_Static_assert(2 + CLV_SIGNAL_REASON_MAX <= CLV_SIGNAL_VALUE_MAX - CLV_OBJECT_MAX,
	       "a value without its object fits in one buffer");

size_t clv_signal_value_max(uint64_t type)
{
	switch (type) {
	case CLV_SIGNAL_HELLO:
		return HELLO_MAX;
	case CLV_SIGNAL_PUBLISH:
	case CLV_SIGNAL_LOOKUP:
	case CLV_SIGNAL_ANSWER:
	case CLV_SIGNAL_KNOCK:
		return CLV_SIGNAL_VALUE_MAX;
	case CLV_SIGNAL_GOING:
		return 2 + CLV_SIGNAL_REASON_MAX;
	case CLV_SIGNAL_OBSERVED:
	case OBSERVED_V6:
		return OBSERVED_MAX;
	default:
		return 0;
	}
}

/* ---- reading ---- */

/* A value as far as it is read; a field that is missing leaves it failed. */
struct cursor {
	const uint8_t *p, *end;
	bool has_failed;
};

/* Returns where the bytes are, or NULL. */
static const uint8_t *take(struct cursor *c, size_t len)
{
	const uint8_t *p = c->p;

	if ((size_t)(c->end - c->p) < len) {
		c->has_failed = true;
		return NULL;
	}
	c->p += len;
	return p;
}

static void take_bytes(struct cursor *c, void *out, size_t len)
{
	const uint8_t *p = take(c, len);

	if (p)
		memcpy(out, p, len);
}

static uint8_t take_byte(struct cursor *c)
{
	const uint8_t *p = take(c, 1);

	return p ? *p : 0;
}

static void take_varint(struct cursor *c, uint64_t *out)
{
	if (clv_varint_read(&c->p, c->end, out) < 0)
		c->has_failed = true;
}

static void take_hello(struct cursor *c, struct clv_signal *s)
{
	s->version = take_byte(c);
	s->version_min = take_byte(c);
	s->role = take_byte(c);
	take_bytes(c, s->id.bytes, sizeof(s->id.bytes));
	take_varint(c, &s->features);
	if (!s->version_min || s->version_min > s->version)
		c->has_failed = true;
}

static void take_object(struct cursor *c, struct clv_signal *s)
{
	s->object_len = (size_t)(c->end - c->p);
	s->object = s->object_len ? c->p : NULL;
	c->p = c->end;
	if (s->object_len > CLV_OBJECT_MAX)
		c->has_failed = true;
}

static void take_path(struct cursor *c, struct clv_signal *s)
{
	s->path_len = take_byte(c);
	if (s->path_len > CLV_SIGNAL_PATH_MAX)
		c->has_failed = true;
	else
		s->path = take(c, (size_t)s->path_len * CLV_OBJECT_PREFIX_LEN);
}

static void take_observed(struct cursor *c, bool is_v6, struct clv_signal *s)
{
	take_varint(c, &s->sequence);
	if (is_v6) {
		take_bytes(c, s->observed.addr, 16);
		if (clv_addr_is_v4(s->observed.addr)) /* each address has one form */
			c->has_failed = true;
	} else {
		s->observed.addr[10] = s->observed.addr[11] = 0xff;
		take_bytes(c, s->observed.addr + V4_AT, 4);
	}
	take_bytes(c, &s->observed.port, sizeof(s->observed.port));
	if (!s->observed.port || clv_addr_is_wildcard(s->observed.addr))
		c->has_failed = true;
}

static void take_going(struct cursor *c, struct clv_signal *s)
{
	const uint8_t *seconds = take(c, 2);

	if (!seconds)
		return;
	s->seconds = clv_load_be16(seconds);
	s->reason = c->p;
	s->reason_len = (size_t)(c->end - c->p);
	c->p = c->end;
	if (s->reason_len > CLV_SIGNAL_REASON_MAX)
		c->has_failed = true;
}

/* Whether what follows the known fields is for later versions; else nothing may. */
static bool may_grow(enum clv_signal_type type)
{
	return type == CLV_SIGNAL_HELLO || type == CLV_SIGNAL_OBSERVED;
}

int clv_signal_read(uint64_t type, const uint8_t *value, size_t len, struct clv_signal *out)
{
	struct clv_signal s = { .type = (enum clv_signal_type)(
					type == OBSERVED_V6 ? CLV_SIGNAL_OBSERVED : type) };
	struct cursor c = { value, value + len, false };

	if (!clv_signal_value_max(type))
		return CLV_EPROTO;
	switch (s.type) {
	case CLV_SIGNAL_HELLO:
		take_hello(&c, &s);
		break;
	case CLV_SIGNAL_PUBLISH:
		take_bytes(&c, s.request, sizeof(s.request));
		take_object(&c, &s);
		break;
	case CLV_SIGNAL_LOOKUP:
	case CLV_SIGNAL_KNOCK:
		take_bytes(&c, s.request, sizeof(s.request));
		s.hops = take_byte(&c);
		take_bytes(&c, s.id.bytes, sizeof(s.id.bytes));
		take_path(&c, &s);
		if (s.type == CLV_SIGNAL_KNOCK)
			take_object(&c, &s);
		break;
	case CLV_SIGNAL_ANSWER:
		take_bytes(&c, s.request, sizeof(s.request));
		s.status = take_byte(&c);
		take_object(&c, &s);
		break;
	case CLV_SIGNAL_GOING:
		take_going(&c, &s);
		break;
	case CLV_SIGNAL_OBSERVED:
		take_observed(&c, type == OBSERVED_V6, &s);
		break;
	}
	if (c.has_failed || (c.p != c.end && !may_grow(s.type)))
		return CLV_EPROTO;
	*out = s;
	return 0;
}

uint8_t clv_signal_version(const struct clv_signal *hello)
{
	if (hello->version_min > CLV_SIGNAL_VERSION)
		return 0;
	return hello->version < CLV_SIGNAL_VERSION ? hello->version : CLV_SIGNAL_VERSION;
}

/* ---- writing ---- */

static uint8_t *put(uint8_t *p, const void *bytes, size_t len)
{
	if (len)
		memcpy(p, bytes, len);
	return p + len;
}

static uint8_t *put_varint(uint8_t *p, uint64_t value)
{
	clv_varint_write(&p, p + 8, value);
	return p;
}

static uint8_t *put_request(uint8_t *p, const struct clv_signal *s)
{
	p = put(p, s->request, sizeof(s->request));
	if (s->type == CLV_SIGNAL_PUBLISH)
		return p;
	*p++ = s->type == CLV_SIGNAL_ANSWER ? s->status : s->hops;
	if (s->type == CLV_SIGNAL_ANSWER)
		return p;
	p = put(p, s->id.bytes, sizeof(s->id.bytes));
	*p++ = s->path_len;
	return put(p, s->path, (size_t)s->path_len * CLV_OBJECT_PREFIX_LEN);
}

static uint8_t *put_value(uint8_t *p, const struct clv_signal *s)
{
	bool is_v4 = clv_addr_is_v4(s->observed.addr);

	switch (s->type) {
	case CLV_SIGNAL_HELLO:
		*p++ = s->version;
		*p++ = s->version_min;
		*p++ = s->role;
		p = put(p, s->id.bytes, sizeof(s->id.bytes));
		return put_varint(p, s->features);
	case CLV_SIGNAL_GOING:
		clv_store_be16(p, s->seconds);
		return put(p + 2, s->reason, s->reason_len);
	case CLV_SIGNAL_OBSERVED:
		p = put_varint(p, s->sequence);
		p = put(p, s->observed.addr + (is_v4 ? V4_AT : 0), is_v4 ? 4 : 16);
		return put(p, &s->observed.port, sizeof(s->observed.port));
	default:
		return put_request(p, s);
	}
}

size_t clv_signal_write(const struct clv_signal *s,
			uint8_t buf[static CLV_SIGNAL_MAX - CLV_OBJECT_MAX])
{
	uint8_t value[CLV_SIGNAL_VALUE_MAX - CLV_OBJECT_MAX] = { 0 };
	size_t value_len = (size_t)(put_value(value, s) - value), head_len;
	bool is_v6 = s->type == CLV_SIGNAL_OBSERVED && !clv_addr_is_v4(s->observed.addr);

	head_len = clv_capsule_encode_head((uint64_t)s->type + is_v6, value_len + s->object_len,
					   buf);
	memcpy(buf + head_len, value, value_len);
	return head_len + value_len;
}
