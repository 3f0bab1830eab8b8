/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Any bytes as the capsules of a signal stream, whole and in pieces: what is read does not hang on the
 * pieces, and written again it is read as the same.
 */
#include <string.h>

#include "control/masque/capsule.h"
#include "control/masque/signal.h"
#include "datapath/base/err.h"
#include "tests/fuzz/fuzz.h"

/* A running digest of everything read. */
struct seen {
	uint64_t digest;
	unsigned count;
};

static void mix(struct seen *s, const void *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		s->digest = s->digest * 31 + ((const uint8_t *)data)[i];
}

static size_t value_max(void *user, uint64_t type)
{
	(void)user;
	return clv_signal_value_max(type);
}

static void check_again(const struct clv_signal *s)
{
	uint8_t bytes[CLV_SIGNAL_MAX - CLV_OBJECT_MAX], value[CLV_SIGNAL_VALUE_MAX];
	size_t len = clv_signal_write(s, bytes), head_len;
	struct clv_signal again;
	uint8_t head[CLV_CAPSULE_HEAD_MAX];
	uint64_t type = (uint64_t)s->type;

	/* The head says how long the value is: try both families of an address. */
	for (int family = 0; family < 2; family++) {
		for (size_t value_len = 0; value_len <= len; value_len++) {
			head_len = clv_capsule_encode_head(type + (uint64_t)family,
							   value_len + s->object_len, head);
			if (head_len + value_len != len || memcmp(head, bytes, head_len) != 0)
				continue;
			memcpy(value, bytes + head_len, value_len);
			if (s->object_len)
				memcpy(value + value_len, s->object, s->object_len);
			CHECK(clv_signal_read(type + (uint64_t)family, value,
					      value_len + s->object_len, &again) == 0);
			CHECK(again.type == s->type && again.status == s->status);
			CHECK(memcmp(&again.id, &s->id, sizeof(s->id)) == 0);
			CHECK(memcmp(again.request, s->request, sizeof(s->request)) == 0);
			CHECK(again.path_len == s->path_len && again.hops == s->hops);
			CHECK(again.object_len == s->object_len && again.sequence == s->sequence);
			CHECK(memcmp(&again.observed, &s->observed, sizeof(s->observed)) == 0);
			return;
		}
	}
	CHECK(!"a head that encode wrote");
}

static int on_value(void *user, uint64_t type, const uint8_t *value, size_t len)
{
	struct seen *seen = user;
	struct clv_signal s;
	int err;

	CHECK(len <= clv_signal_value_max(type));
	err = clv_signal_read(type, value, len, &s);
	CHECK(err == 0 || err == CLV_EPROTO);
	if (err)
		return err;
	CHECK(s.path_len <= CLV_SIGNAL_PATH_MAX && s.object_len <= CLV_OBJECT_MAX);
	seen->count++;
	mix(seen, &type, sizeof(type));
	mix(seen, value, len);
	check_again(&s);
	return 0;
}

static const struct clv_capsule_ops ops = { .value_max = value_max, .on_value = on_value };

static int parse(const uint8_t *data, size_t size, size_t piece, struct seen *seen)
{
	struct clv_capsule_parser p;
	int err = 0;

	clv_capsule_parser_init(&p, 0);
	for (size_t at = 0; at < size && !err; at += piece)
		err = clv_capsule_parser_feed(&p, data + at, size - at < piece ? size - at : piece,
					      &ops, seen);
	if (!err)
		err = clv_capsule_parser_end(&p);
	clv_capsule_parser_fini(&p);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole = { 0 }, pieces = { 0 };

	CHECK(parse(data, size, size + 1, &whole) == parse(data, size, 7, &pieces));
	CHECK(whole.digest == pieces.digest && whole.count == pieces.count);
	return 0;
}
