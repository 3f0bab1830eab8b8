/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "control/masque/capsule.h"
#include "control/masque/signal.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "tests/unit/hex.h"

static const uint8_t path[2 * CLV_OBJECT_PREFIX_LEN] = { 1, 2, 3 };
static const uint8_t object[] = "an object";

/* One of each type. */
static size_t all(struct clv_signal out[static 9])
{
	const struct clv_signal made[] = {
		{ .type = CLV_SIGNAL_HELLO,
		  .version = 1,
		  .version_min = 1,
		  .role = CLV_SIGNAL_PEER },
		{ .type = CLV_SIGNAL_HELLO,
		  .version = 9,
		  .version_min = 1,
		  .role = 77,
		  .features = CLV_OBJECT_MAX },
		{ .type = CLV_SIGNAL_PUBLISH, .object = object, .object_len = sizeof(object) },
		{ .type = CLV_SIGNAL_LOOKUP, .hops = 4, .path = path, .path_len = 2 },
		{ .type = CLV_SIGNAL_ANSWER, .status = CLV_SIGNAL_UNKNOWN },
		{ .type = CLV_SIGNAL_ANSWER, .object = object, .object_len = sizeof(object) },
		{ .type = CLV_SIGNAL_KNOCK,
		  .hops = 3,
		  .path = path,
		  .path_len = 1,
		  .object = object,
		  .object_len = sizeof(object) },
		{ .type = CLV_SIGNAL_GOING,
		  .seconds = 30,
		  .reason = (const uint8_t *)"stop",
		  .reason_len = 4 },
		{ .type = CLV_SIGNAL_OBSERVED, .sequence = 70000 },
	};

	memcpy(out, made, sizeof(made));
	for (size_t i = 0; i < COUNT(made); i++) {
		if (out[i].type == CLV_SIGNAL_HELLO || out[i].type == CLV_SIGNAL_LOOKUP ||
		    out[i].type == CLV_SIGNAL_KNOCK)
			memset(out[i].id.bytes, 5, CLV_IDENTITY_LEN);
		if (out[i].type >= CLV_SIGNAL_PUBLISH && out[i].type <= CLV_SIGNAL_KNOCK)
			memset(out[i].request, 6, CLV_SIGNAL_REQUEST_LEN);
	}
	assert_int_equal(clv_endpoint_parse("[2001:db8::1]:4433", &out[8].observed), 0);
	return COUNT(made);
}

/* What a stream delivers, for one capsule. */
struct got {
	struct clv_signal signal;
	uint8_t value[CLV_SIGNAL_VALUE_MAX];
	unsigned count;
	int err;
};

static size_t value_max(void *user, uint64_t type)
{
	(void)user;
	return clv_signal_value_max(type);
}

static int on_value(void *user, uint64_t type, const uint8_t *value, size_t len)
{
	struct got *got = user;

	memcpy(got->value, value, len);
	got->count++;
	got->err = clv_signal_read(type, got->value, len, &got->signal);
	return got->err;
}

static const struct clv_capsule_ops ops = { .value_max = value_max, .on_value = on_value };

static void assert_same(const struct clv_signal *a, const struct clv_signal *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->version, b->version);
	assert_int_equal(a->version_min, b->version_min);
	assert_int_equal(a->role, b->role);
	assert_int_equal(a->features, b->features);
	assert_memory_equal(&a->id, &b->id, sizeof(a->id));
	assert_memory_equal(a->request, b->request, sizeof(a->request));
	assert_int_equal(a->hops, b->hops);
	assert_int_equal(a->path_len, b->path_len);
	if (a->path_len)
		assert_memory_equal(a->path, b->path, (size_t)a->path_len * CLV_OBJECT_PREFIX_LEN);
	assert_int_equal(a->status, b->status);
	assert_int_equal(a->object_len, b->object_len);
	if (a->object_len)
		assert_memory_equal(a->object, b->object, a->object_len);
	assert_int_equal(a->seconds, b->seconds);
	assert_int_equal(a->reason_len, b->reason_len);
	if (a->reason_len)
		assert_memory_equal(a->reason, b->reason, a->reason_len);
	assert_int_equal(a->sequence, b->sequence);
	assert_memory_equal(&a->observed, &b->observed, sizeof(a->observed));
}

/* A whole capsule, its object behind what is written. */
static size_t write_whole(const struct clv_signal *s, uint8_t *buf)
{
	size_t len = clv_signal_write(s, buf);

	if (s->object_len)
		memcpy(buf + len, s->object, s->object_len);
	return len + s->object_len;
}

static void each_capsule_is_written_and_read(void **state)
{
	struct clv_signal made[9];
	size_t n = all(made);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		uint8_t bytes[CLV_SIGNAL_MAX];
		size_t len = write_whole(&made[i], bytes);
		static struct got got;
		struct clv_capsule_parser p;

		got.count = 0;
		clv_capsule_parser_init(&p, 0);
		/* Byte by byte, so that the parser has to keep what came. */
		for (size_t k = 0; k < len; k++)
			assert_int_equal(clv_capsule_parser_feed(&p, bytes + k, 1, &ops, &got), 0);
		assert_int_equal(got.count, 1);
		assert_same(&got.signal, &made[i]);
		assert_int_equal(clv_capsule_parser_end(&p), 0);
		clv_capsule_parser_fini(&p);
	}
}

static void a_value_that_is_cut_anywhere_is_malformed(void **state)
{
	struct clv_signal made[9], out;
	size_t n = all(made);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		uint8_t bytes[CLV_SIGNAL_MAX];
		size_t object_len = made[i].object_len, len;
		uint64_t type = (uint64_t)made[i].type + (made[i].type == CLV_SIGNAL_OBSERVED);
		const uint8_t *value = bytes + 5; /* behind type and length, a byte below 64 */

		made[i].object_len = 0; /* may have any length */
		made[i].reason_len = 0;
		len = clv_signal_write(&made[i], bytes);
		if (bytes[4] & 0x40)
			value++;
		len -= (size_t)(value - bytes);
		for (size_t cut = 0; cut < len; cut++)
			assert_int_equal(clv_signal_read(type, value, cut, &out), CLV_EPROTO);
		assert_int_equal(clv_signal_read(type, value, len, &out), 0);
		made[i].object_len = object_len;
	}
}

static void values_are_read_or_refused(void **state)
{
	static const struct {
		const char *name;
		uint64_t type;
		const char *hex;
		int err;
	} rows[] = {
		{ "an unknown type", 0x1c766c05, "00", CLV_EPROTO },
		{ "the type that is never used", 0x1c766c14, "00", CLV_EPROTO },
		{ "observed", 0x9f81a6, "05 c0000201 1151", 0 },
		{ "observed, and what a later version adds", 0x9f81a6, "05 c0000201 1151 00", 0 },
		{ "observed port 0", 0x9f81a6, "05 c0000201 0000", CLV_EPROTO },
		{ "observed 0.0.0.0", 0x9f81a6, "05 00000000 1151", CLV_EPROTO },
		{ "observed IPv4 as IPv6", 0x9f81a7, "05 00000000000000000000ffffc0000201 1151",
		  CLV_EPROTO },
		{ "going", CLV_SIGNAL_GOING, "001e", 0 },
		{ "going, cut", CLV_SIGNAL_GOING, "00", CLV_EPROTO },
		{ "a lookup with a path of 9", CLV_SIGNAL_LOOKUP,
		  "00000000000000000000000000000000 04"
		  "0000000000000000000000000000000000000000000000000000000000000000 09",
		  CLV_EPROTO },
		{ "a lookup with bytes behind it", CLV_SIGNAL_LOOKUP,
		  "00000000000000000000000000000000 04"
		  "0000000000000000000000000000000000000000000000000000000000000000 00 00",
		  CLV_EPROTO },
		{ "a hello whose lowest version is above its highest", CLV_SIGNAL_HELLO,
		  "01 02 01 0000000000000000000000000000000000000000000000000000000000000000 00",
		  CLV_EPROTO },
		{ "a hello of version 0", CLV_SIGNAL_HELLO,
		  "00 00 01 0000000000000000000000000000000000000000000000000000000000000000 00",
		  CLV_EPROTO },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint8_t value[256];
		struct clv_signal out;
		size_t len = unhex(rows[i].hex, value);

		CHECK_ROW(rows[i].name,
			  clv_signal_read(rows[i].type, value, len, &out) == rows[i].err);
	}
}

static void the_highest_common_version_is_spoken(void **state)
{
	struct clv_signal hello = { .version = 255, .version_min = 1 };

	(void)state;
	assert_int_equal(clv_signal_version(&hello), 1);
	hello.version = 1;
	assert_int_equal(clv_signal_version(&hello), 1);
	hello.version = hello.version_min = 255;
	assert_int_equal(clv_signal_version(&hello), 0);
}

/* A stream of any other use is as before; one of signals skips what it does not know. */
static void what_is_too_long_is_malformed_and_what_is_unknown_skipped(void **state)
{
	struct clv_capsule_parser p;
	uint8_t head[CLV_CAPSULE_HEAD_MAX];
	static struct got got;
	size_t len;

	(void)state;
	got.count = 0;
	clv_capsule_parser_init(&p, 0);
	len = clv_capsule_encode_head(0x29, UINT64_C(1) << 40, head);
	assert_int_equal(clv_capsule_parser_feed(&p, head, len, &ops, &got), 0);
	assert_int_equal(clv_capsule_parser_feed(&p, head, sizeof(head), &ops, &got), 0);
	assert_null(p.value);
	clv_capsule_parser_fini(&p);

	clv_capsule_parser_init(&p, 0);
	len = clv_capsule_encode_head(CLV_CAPSULE_DATAGRAM, 3, head);
	memcpy(head + len, "abc", 3);
	assert_int_equal(clv_capsule_parser_feed(&p, head, len + 3, &ops, &got), 0);
	len = clv_capsule_encode_head(CLV_SIGNAL_PUBLISH, CLV_SIGNAL_VALUE_MAX + 1, head);
	assert_int_equal(clv_capsule_parser_feed(&p, head, len, &ops, &got), CLV_EPROTO);
	clv_capsule_parser_fini(&p);
	assert_int_equal(got.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("each capsule is written and read", each_capsule_is_written_and_read),
		CASE("a value that is cut anywhere is malformed",
		     a_value_that_is_cut_anywhere_is_malformed),
		CASE("values are read or refused", values_are_read_or_refused),
		CASE("the highest common version is spoken", the_highest_common_version_is_spoken),
		CASE("what is too long is malformed, and what is unknown skipped",
		     what_is_too_long_is_malformed_and_what_is_unknown_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
