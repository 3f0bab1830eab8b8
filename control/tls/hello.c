/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/tls/hello.h"

enum {
	CLIENT_HELLO = 1,
	SUPPORTED_GROUPS = 10,
	VERSION_AND_RANDOM = 2 + 32,
};

/* The number that comes next. */
enum step {
	HEAD, /* msg_type and length */
	SESSION_LEN,
	SUITES_LEN,
	COMPRESSION_LEN,
	EXTENSIONS_LEN,
	EXTENSION, /* type and length */
	LIST_LEN,  /* of supported_groups */
	LIST_GROUP,
	STEPS,
};

static const uint8_t number_lens[STEPS] = {
	[HEAD] = 4,	      [SESSION_LEN] = 1, [SUITES_LEN] = 2, [COMPRESSION_LEN] = 1,
	[EXTENSIONS_LEN] = 2, [EXTENSION] = 4,	 [LIST_LEN] = 2,   [LIST_GROUP] = 2,
};

void clv_hello_init(struct clv_hello *hello, const int *groups, size_t groups_len)
{
	*hello = (struct clv_hello){
		.groups = groups,
		.groups_len = groups_len,
		.step = HEAD,
		.number_len = number_lens[HEAD],
	};
}

/* Pass over so many bytes, and then read the number of a step. */
static void go_on(struct clv_hello *h, uint32_t skip, enum step step)
{
	h->skip = skip;
	h->step = step;
	h->number = 0;
	h->number_len = number_lens[step];
}

static enum clv_hello_result end(const struct clv_hello *h)
{
	if (!h->has_list)
		return CLV_HELLO_NO_LIST;
	return h->is_offered ? CLV_HELLO_OFFERED : CLV_HELLO_NOT_OFFERED;
}

static bool is_ours(const struct clv_hello *h, uint32_t group)
{
	for (size_t i = 0; i < h->groups_len; i++)
		if ((uint32_t)h->groups[i] == group)
			return true;
	return false;
}

/* Go on behind so many bytes of an extension's data, to the next extension if there is one. */
static enum clv_hello_result next_extension(struct clv_hello *h, uint32_t skip)
{
	if (skip > h->extensions_left)
		return CLV_HELLO_UNREADABLE;
	h->extensions_left -= skip;
	if (!h->extensions_left)
		return end(h);
	go_on(h, skip, EXTENSION);
	return CLV_HELLO_MORE;
}

static enum clv_hello_result read_extension(struct clv_hello *h)
{
	const uint32_t type = h->number >> 16, len = h->number & 0xffff;

	if (h->extensions_left < number_lens[EXTENSION] + len)
		return CLV_HELLO_UNREADABLE;
	h->extensions_left -= number_lens[EXTENSION];
	if (type != SUPPORTED_GROUPS)
		return next_extension(h, len);
	/* A list of whole groups, one at least; and one list. */
	if (h->has_list || len < 4 || len % 2)
		return CLV_HELLO_UNREADABLE;
	h->has_list = true;
	h->list_left = len - 2;
	h->extensions_left -= len;
	go_on(h, 0, LIST_LEN);
	return CLV_HELLO_MORE;
}

static enum clv_hello_result read_group(struct clv_hello *h)
{
	if (is_ours(h, h->number))
		h->is_offered = true;
	h->list_left -= 2;
	if (!h->list_left)
		return next_extension(h, 0);
	go_on(h, 0, LIST_GROUP);
	return CLV_HELLO_MORE;
}

/* A number is complete. */
static enum clv_hello_result take_number(struct clv_hello *h)
{
	const uint32_t n = h->number;

	switch ((enum step)h->step) {
	case HEAD:
		if (n >> 24 != CLIENT_HELLO)
			return CLV_HELLO_UNREADABLE;
		h->message_left = n & 0xffffff;
		go_on(h, VERSION_AND_RANDOM, SESSION_LEN);
		return CLV_HELLO_MORE;
	case SESSION_LEN:
		go_on(h, n, SUITES_LEN);
		return CLV_HELLO_MORE;
	case SUITES_LEN:
		go_on(h, n, COMPRESSION_LEN);
		return CLV_HELLO_MORE;
	case COMPRESSION_LEN:
		go_on(h, n, EXTENSIONS_LEN);
		return CLV_HELLO_MORE;
	case EXTENSIONS_LEN:
		h->extensions_left = n;
		/* They are the rest of the message. */
		return n == h->message_left ? next_extension(h, 0) : CLV_HELLO_UNREADABLE;
	case EXTENSION:
		return read_extension(h);
	case LIST_LEN:
		if (n != h->list_left)
			return CLV_HELLO_UNREADABLE;
		go_on(h, 0, LIST_GROUP);
		return CLV_HELLO_MORE;
	case LIST_GROUP:
		return read_group(h);
	case STEPS:
		break;
	}
	return CLV_HELLO_UNREADABLE;
}

/* Count bytes behind the head.  Returns whether the message has them. */
static bool spend(struct clv_hello *h, uint32_t n)
{
	if (h->step == HEAD)
		return true;
	if (n > h->message_left)
		return false;
	h->message_left -= n;
	return true;
}

static enum clv_hello_result step(struct clv_hello *h, const uint8_t **p, const uint8_t *last)
{
	const size_t there = (size_t)(last - *p);

	if (h->skip) {
		const uint32_t n = h->skip < there ? h->skip : (uint32_t)there;

		if (!spend(h, n))
			return CLV_HELLO_UNREADABLE;
		h->skip -= n;
		*p += n;
		return CLV_HELLO_MORE;
	}
	if (!spend(h, 1))
		return CLV_HELLO_UNREADABLE;
	h->number = h->number << 8 | *(*p)++;
	return --h->number_len ? CLV_HELLO_MORE : take_number(h);
}

enum clv_hello_result clv_hello_feed(struct clv_hello *hello, const uint8_t *data, size_t len)
{
	const uint8_t *p = data;

	/* data may be NULL when there is nothing. */
	while (len && p < data + len && hello->result == CLV_HELLO_MORE)
		hello->result = (uint8_t)step(hello, &p, data + len);
	return (enum clv_hello_result)hello->result;
}
