/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Any bytes as the capsules of a stream.  The first two bytes choose the bound and where chunks
 * end; the outcome must not hang on the latter.
 */
#include <string.h>

#include "control/masque/capsule.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "tests/fuzz/fuzz.h"

enum {
	BOUND_UNIT = 8,
};

/* A running digest of everything reported. */
struct seen {
	size_t bound;
	uint64_t digest;
};

static void mix(struct seen *s, const uint8_t *data, size_t len, uint64_t kind)
{
	s->digest = s->digest * 31 + kind;
	for (size_t i = 0; i < len; i++)
		s->digest = s->digest * 31 + data[i];
}

static int on_datagram(void *user, const uint8_t *value, size_t len)
{
	struct seen *s = user;

	CHECK(len <= s->bound);
	mix(s, value, len, 1 + len);
	/* An empty value stands for a layer above that gives up. */
	return len == 0 ? CLV_EPROTO : 0;
}

static int on_skipped(void *user, uint64_t len, const uint8_t *head, size_t head_len)
{
	struct seen *s = user;

	CHECK(len > s->bound);
	CHECK(head_len == (len < CLV_CAPSULE_PEEK_MAX ? len : CLV_CAPSULE_PEEK_MAX));
	mix(s, head, head_len, 2 + len);
	return 0;
}

/* What decodes must encode to a value that decodes to the same. */
static int on_context(void *user, enum clv_capsule_type type, const uint8_t *value, size_t len)
{
	struct seen *s = user;
	uint8_t again[CLV_CAPSULE_CONTEXT_MAX];
	struct clv_capsule_assign a, b;
	uint64_t id, other;
	size_t again_len;

	CHECK(len <= CLV_CAPSULE_CONTEXT_VALUE_MAX);
	mix(s, value, len, 3 + type);
	if (type == CLV_CAPSULE_COMPRESSION_ASSIGN) {
		if (clv_capsule_decode_assign(value, len, &a) < 0)
			return CLV_EPROTO;
		/* Only what is never registered comes back as something else: IPv4 as IPv6. */
		if (a.ip_version == 6 && clv_addr_is_v4(a.remote.addr))
			return 0;
		again_len = clv_capsule_encode_assign(a.context_id, a.ip_version ? &a.remote : NULL,
						      again);
		CHECK(again_len <= len + 2);
		CHECK(clv_capsule_decode_assign(again + 2, again_len - 2, &b) == 0);
		CHECK(memcmp(&a, &b, sizeof(a)) == 0);
		return 0;
	}
	if (clv_capsule_decode_context_id(value, len, &id) < 0)
		return CLV_EPROTO;
	again_len = clv_capsule_encode_context_id(type, id, again);
	CHECK(clv_capsule_decode_context_id(again + 2, again_len - 2, &other) == 0 && other == id);
	return 0;
}

static const struct clv_capsule_ops ops = {
	.on_datagram = on_datagram,
	.on_skipped = on_skipped,
	.on_context = on_context,
};

/* seed 0: all at once; else pieces of 1 to 8 bytes. */
static int parse(const uint8_t *data, size_t size, uint32_t seed, struct seen *s)
{
	struct clv_capsule_parser p;
	int err = 0;

	clv_capsule_parser_init(&p, s->bound);
	for (size_t at = 0; at < size && err == 0;) {
		size_t piece = size - at;

		if (seed) {
			seed = seed * 1103515245 + 12345;
			if ((seed >> 16) % 8 + 1 < piece)
				piece = (seed >> 16) % 8 + 1;
		}
		uint8_t *copy = malloc(piece);

		CHECK(copy);
		memcpy(copy, data + at, piece);
		err = clv_capsule_parser_feed(&p, copy, piece, &ops, s);
		free(copy);
		at += piece;
		CHECK(p.value == NULL || p.value_len <= s->bound ||
		      p.value_len <= CLV_CAPSULE_CONTEXT_VALUE_MAX);
	}
	if (err == 0)
		err = clv_capsule_parser_end(&p);
	clv_capsule_parser_fini(&p);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole, pieces;

	if (size < 2)
		return 0;
	whole = pieces = (struct seen){ .bound = (size_t)data[0] * BOUND_UNIT };
	CHECK(parse(data + 2, size - 2, 0, &whole) ==
	      parse(data + 2, size - 2, data[1] + 1u, &pieces));
	CHECK(whole.digest == pieces.digest);
	return 0;
}
