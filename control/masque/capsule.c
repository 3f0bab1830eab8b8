/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/masque/capsule.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/base/varint.h"
#include "datapath/quic/h3_code.h"

/* What the next bytes are.  HEAD is zero, so that a zeroed parser starts with a capsule's type. */
enum parser_state {
	STATE_HEAD = 0, /* type or length */
	STATE_WHOLE,	/* a value that is delivered whole */
	STATE_PEEK,	/* the first bytes of a DATAGRAM that is too long */
	STATE_SKIP,	/* a value that is ignored */
};

static size_t min_size(size_t a, uint64_t b)
{
	return b < a ? (size_t)b : a;
}

void clv_capsule_parser_init(struct clv_capsule_parser *p, size_t bound)
{
	*p = (struct clv_capsule_parser){ .bound = bound };
}

/* length is the value's own until the next capsule begins. */
static void forget_value(struct clv_capsule_parser *p)
{
	if (p->value)
		clv_budget_give(p->holder, p->length);
	free(p->value);
	p->value = NULL;
}

void clv_capsule_parser_fini(struct clv_capsule_parser *p)
{
	forget_value(p);
}

void clv_capsule_parser_set_bound(struct clv_capsule_parser *p, size_t bound)
{
	p->bound = bound;
}

static bool is_context_type(uint64_t type)
{
	return type >= CLV_CAPSULE_COMPRESSION_ASSIGN && type <= CLV_CAPSULE_COMPRESSION_CLOSE;
}

/* A value of neither datagrams nor contexts. */
static int begin_other(struct clv_capsule_parser *p, const struct clv_capsule_ops *ops, void *user)
{
	size_t max = ops->value_max ? ops->value_max(user, p->type) : 0;

	if (max && p->length > max)
		return CLV_EPROTO;
	p->state = max ? STATE_WHOLE : STATE_SKIP;
	return 0;
}

static int begin_value(struct clv_capsule_parser *p, uint64_t type, uint64_t length,
		       const struct clv_capsule_ops *ops, void *user)
{
	p->head_len = 0;
	p->type = type;
	p->length = length;
	p->left = length;
	p->value_len = 0;
	if (is_context_type(type) && ops->on_context) {
		/* RFC 9297 section 3.3: no field would use the bytes beyond. */
		if (length > CLV_CAPSULE_CONTEXT_VALUE_MAX)
			return CLV_EPROTO;
		p->state = STATE_WHOLE;
	} else if (type != CLV_CAPSULE_DATAGRAM) {
		return begin_other(p, ops, user);
	} else if (!ops->on_datagram) {
		p->state = STATE_SKIP;
	} else if (length > p->bound) {
		p->state = STATE_PEEK;
	} else {
		p->state = STATE_WHOLE;
	}
	return 0;
}

/*
 * Take bytes of type and length; the state changes when both are complete.
 * Returns 0 and how many were taken in *used, or CLV_EPROTO.
 */
static int feed_head(struct clv_capsule_parser *p, const uint8_t *data, size_t len,
		     const struct clv_capsule_ops *ops, void *user, size_t *used)
{
	*used = 0;
	while (*used < len) {
		const uint8_t *at = p->head;
		const uint8_t *end;
		uint64_t type, length;

		p->head[p->head_len++] = data[(*used)++];
		end = p->head + p->head_len;
		if (clv_varint_read(&at, end, &type) == 0 &&
		    clv_varint_read(&at, end, &length) == 0)
			return begin_value(p, type, length, ops, user);
	}
	return 0;
}

/* Store bytes of a value that a chunk's end cut.  The buffer has room for all of it at once. */
static int keep(struct clv_capsule_parser *p, const uint8_t *data, size_t len)
{
	if (!p->value) {
		if (!clv_budget_take(p->holder, p->length)) {
			p->is_refused = true;
			return CLV_EFULL;
		}
		p->value = malloc((size_t)p->length);
		if (!p->value) {
			clv_budget_give(p->holder, p->length);
			return -ENOMEM;
		}
	}
	memcpy(p->value + p->value_len, data, len);
	p->value_len += len;
	return 0;
}

static int deliver(const struct clv_capsule_parser *p, const uint8_t *value, size_t len,
		   const struct clv_capsule_ops *ops, void *user)
{
	if (p->type == CLV_CAPSULE_DATAGRAM)
		return ops->on_datagram(user, value, len);
	if (is_context_type(p->type) && ops->on_context)
		return ops->on_context(user, (enum clv_capsule_type)p->type, value, len);
	return ops->on_value(user, p->type, value, len);
}

static int feed_whole(struct clv_capsule_parser *p, const uint8_t *data, size_t len,
		      const struct clv_capsule_ops *ops, void *user)
{
	int err = 0;

	p->left -= len;
	if (p->left == 0 && p->value_len == 0) {
		p->state = STATE_HEAD;
		return deliver(p, data, len, ops, user);
	}
	if (len > 0)
		err = keep(p, data, len);
	if (err < 0 || p->left > 0)
		return err;

	p->state = STATE_HEAD;
	err = deliver(p, p->value, p->value_len, ops, user);
	forget_value(p);
	return err;
}

/* The head of the value goes where type and length were: both are known by now. */
static int feed_peek(struct clv_capsule_parser *p, const uint8_t *data, size_t len,
		     const struct clv_capsule_ops *ops, void *user)
{
	memcpy(p->head + p->value_len, data, len);
	p->value_len += len;
	p->left -= len;
	if (p->left > 0 && p->value_len < CLV_CAPSULE_PEEK_MAX)
		return 0;
	p->state = p->left > 0 ? STATE_SKIP : STATE_HEAD;
	return ops->on_skipped(user, p->length, p->head, p->value_len);
}

int clv_capsule_parser_feed(struct clv_capsule_parser *p, const uint8_t *data, size_t len,
			    const struct clv_capsule_ops *ops, void *user)
{
	while (len > 0) {
		size_t used = 0;
		int err = 0;

		if (p->state == STATE_HEAD) {
			err = feed_head(p, data, len, ops, user, &used);
			if (err < 0)
				return err;
			data += used;
			len -= used;
		}
		/* A value may be empty, so it is looked at even when the chunk ends here. */
		used = min_size(len, p->left);
		switch (p->state) {
		case STATE_WHOLE:
			err = feed_whole(p, data, used, ops, user);
			break;
		case STATE_PEEK:
			used = min_size(used, CLV_CAPSULE_PEEK_MAX - p->value_len);
			err = feed_peek(p, data, used, ops, user);
			break;
		case STATE_SKIP:
			p->left -= used;
			if (p->left == 0)
				p->state = STATE_HEAD;
			break;
		default:
			used = 0;
			break;
		}
		if (err < 0)
			return err;
		data += used;
		len -= used;
	}
	return 0;
}

uint64_t clv_capsule_h3_error(int err)
{
	switch (err) {
	case CLV_ERANGE:
		/* RFC 9298 section 5: no UDP payload is that long; or Context ID 0 without a target. */
		return CLV_H3_DATAGRAM_ERROR;
	case CLV_EPROTO:
		return CLV_H3_MESSAGE_ERROR;
	case CLV_EFULL:
		return CLV_H3_EXCESSIVE_LOAD;
	default:
		return CLV_H3_INTERNAL_ERROR;
	}
}

int clv_capsule_parser_end(const struct clv_capsule_parser *p)
{
	return p->state == STATE_HEAD && p->head_len == 0 ? 0 : CLV_EPROTO;
}

size_t clv_capsule_encode_head(uint64_t type, size_t value_len,
			       uint8_t buf[static CLV_CAPSULE_HEAD_MAX])
{
	uint8_t *p = buf;

	/* Neither write can fail: no buffer in memory is 2^62 bytes long. */
	clv_varint_write(&p, buf + CLV_CAPSULE_HEAD_MAX, type);
	clv_varint_write(&p, buf + CLV_CAPSULE_HEAD_MAX, value_len);
	return (size_t)(p - buf);
}

size_t clv_capsule_encode_datagram_head(size_t value_len, uint8_t buf[static CLV_CAPSULE_HEAD_MAX])
{
	return clv_capsule_encode_head(CLV_CAPSULE_DATAGRAM, value_len, buf);
}

/* ---- contexts of a bound tunnel ---- */

enum {
	V4_BYTES = 4,
	V6_BYTES = 16,
	PORT_BYTES = 2,
	V4_AT = 12, /* where an IPv4 address is in its 16-byte form */
};

int clv_capsule_decode_context_id(const uint8_t *value, size_t len, uint64_t *out)
{
	const uint8_t *p = value, *const end = value + len;
	uint64_t id;

	if (clv_varint_read(&p, end, &id) < 0 || p != end || id == 0)
		return CLV_EPROTO;
	*out = id;
	return 0;
}

int clv_capsule_decode_assign(const uint8_t *value, size_t len, struct clv_capsule_assign *out)
{
	const uint8_t *p = value, *const end = value + len;
	struct clv_capsule_assign a = { 0 };

	if (clv_varint_read(&p, end, &a.context_id) < 0 || p == end || a.context_id == 0)
		return CLV_EPROTO;
	a.ip_version = *p++;
	switch (a.ip_version) {
	case 0:
		break;
	case 4:
		if (end - p != V4_BYTES + PORT_BYTES)
			return CLV_EPROTO;
		a.remote.addr[10] = a.remote.addr[11] = 0xff;
		memcpy(a.remote.addr + V4_AT, p, V4_BYTES);
		p += V4_BYTES;
		break;
	case 6:
		if (end - p != V6_BYTES + PORT_BYTES)
			return CLV_EPROTO;
		memcpy(a.remote.addr, p, V6_BYTES);
		p += V6_BYTES;
		break;
	default:
		return CLV_EPROTO;
	}
	if (a.ip_version != 0) {
		memcpy(&a.remote.port, p, PORT_BYTES);
		p += PORT_BYTES;
	}
	if (p != end)
		return CLV_EPROTO;
	*out = a;
	return 0;
}

/* Type and length of a context capsule; all of them are below 64 and take a byte each. */
static uint8_t *write_head(uint8_t *buf, enum clv_capsule_type type, size_t value_len)
{
	*buf++ = (uint8_t)type;
	*buf++ = (uint8_t)value_len;
	return buf;
}

size_t clv_capsule_encode_assign(uint64_t context_id, const struct clv_endpoint *remote,
				 uint8_t buf[static CLV_CAPSULE_CONTEXT_MAX])
{
	bool is_v4 = remote && clv_addr_is_v4(remote->addr);
	size_t addr_len = !remote ? 0 : is_v4 ? V4_BYTES : V6_BYTES;
	size_t value_len = clv_varint_len(context_id) + 1 + (remote ? addr_len + PORT_BYTES : 0);
	uint8_t *p = write_head(buf, CLV_CAPSULE_COMPRESSION_ASSIGN, value_len);

	clv_varint_write(&p, buf + CLV_CAPSULE_CONTEXT_MAX, context_id);
	*p++ = !remote ? 0 : is_v4 ? 4 : 6;
	if (remote) {
		memcpy(p, remote->addr + (is_v4 ? V4_AT : 0), addr_len);
		memcpy(p + addr_len, &remote->port, PORT_BYTES);
		p += addr_len + PORT_BYTES;
	}
	return (size_t)(p - buf);
}

size_t clv_capsule_encode_context_id(enum clv_capsule_type type, uint64_t context_id,
				     uint8_t buf[static CLV_CAPSULE_CONTEXT_MAX])
{
	uint8_t *p = write_head(buf, type, clv_varint_len(context_id));

	clv_varint_write(&p, buf + CLV_CAPSULE_CONTEXT_MAX, context_id);
	return (size_t)(p - buf);
}
