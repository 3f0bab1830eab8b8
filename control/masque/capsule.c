/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/masque/capsule.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/base/varint.h"

/* What the bytes now coming in are.  HEAD is zero: a zeroed parser starts with a capsule's type. */
enum parser_state {
	STATE_HEAD = 0, /* type or length */
	STATE_DATAGRAM, /* a value that is delivered whole */
	STATE_PEEK,	/* the first bytes of a DATAGRAM that is too long */
	STATE_SKIP,	/* a value nobody wants */
};

static size_t min_size(size_t a, uint64_t b)
{
	return b < a ? (size_t)b : a;
}

void clv_capsule_parser_init(struct clv_capsule_parser *p, size_t bound)
{
	*p = (struct clv_capsule_parser){ .bound = bound };
}

void clv_capsule_parser_fini(struct clv_capsule_parser *p)
{
	free(p->value);
	p->value = NULL;
}

void clv_capsule_parser_set_bound(struct clv_capsule_parser *p, size_t bound)
{
	p->bound = bound;
}

static void begin_value(struct clv_capsule_parser *p, uint64_t type, uint64_t length)
{
	p->head_len = 0;
	p->length = length;
	p->left = length;
	p->value_len = 0;
	if (type != CLV_CAPSULE_DATAGRAM)
		p->state = STATE_SKIP;
	else if (length > p->bound)
		p->state = STATE_PEEK;
	else
		p->state = STATE_DATAGRAM;
}

/* Take bytes of type and length.  Returns how many; the state changes when both are complete. */
static size_t feed_head(struct clv_capsule_parser *p, const uint8_t *data, size_t len)
{
	size_t used = 0;

	while (used < len) {
		const uint8_t *at = p->head;
		const uint8_t *end;
		uint64_t type, length;

		p->head[p->head_len++] = data[used++];
		end = p->head + p->head_len;
		if (clv_varint_read(&at, end, &type) == 0 &&
		    clv_varint_read(&at, end, &length) == 0) {
			begin_value(p, type, length);
			break;
		}
	}
	return used;
}

/* Store bytes of a value that a chunk's end cut.  The buffer has room for all of it at once. */
static int keep(struct clv_capsule_parser *p, const uint8_t *data, size_t len)
{
	if (!p->value) {
		p->value = malloc((size_t)p->length);
		if (!p->value)
			return -ENOMEM;
	}
	memcpy(p->value + p->value_len, data, len);
	p->value_len += len;
	return 0;
}

static int feed_datagram(struct clv_capsule_parser *p, const uint8_t *data, size_t len,
			 const struct clv_capsule_ops *ops, void *user)
{
	int err = 0;

	p->left -= len;
	if (p->left == 0 && p->value_len == 0) {
		p->state = STATE_HEAD;
		return ops->on_datagram(user, data, len);
	}
	if (len > 0)
		err = keep(p, data, len);
	if (err < 0 || p->left > 0)
		return err;

	p->state = STATE_HEAD;
	err = ops->on_datagram(user, p->value, p->value_len);
	free(p->value);
	p->value = NULL;
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
			used = feed_head(p, data, len);
			data += used;
			len -= used;
		}
		/* A value may be empty, so it is looked at even when the chunk ends here. */
		used = min_size(len, p->left);
		switch (p->state) {
		case STATE_DATAGRAM:
			err = feed_datagram(p, data, used, ops, user);
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

int clv_capsule_parser_end(const struct clv_capsule_parser *p)
{
	return p->state == STATE_HEAD && p->head_len == 0 ? 0 : CLV_EPROTO;
}

size_t clv_capsule_encode_datagram_head(size_t value_len, uint8_t buf[static CLV_CAPSULE_HEAD_MAX])
{
	uint8_t *p = buf;

	/* Neither write can fail: the type is 0, and no buffer in memory is 2^62 bytes long. */
	clv_varint_write(&p, buf + CLV_CAPSULE_HEAD_MAX, CLV_CAPSULE_DATAGRAM);
	clv_varint_write(&p, buf + CLV_CAPSULE_HEAD_MAX, value_len);
	return (size_t)(p - buf);
}
