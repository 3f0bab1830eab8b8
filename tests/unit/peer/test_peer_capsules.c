/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "control/peer/peer_capsules.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/base/varint.h"
#include "tests/unit/hex.h"

enum { WIRE_MAX = 1024 };

struct seen {
	struct clv_peer_capsule last;
	unsigned count;
	int answer;
};

static int on_capsule(void *user, const struct clv_peer_capsule *capsule)
{
	struct seen *s = user;

	s->last = *capsule;
	s->count++;
	return s->answer;
}

static struct clv_endpoint at(const char *text)
{
	struct clv_endpoint ep;

	assert_int_equal(clv_endpoint_parse(text, &ep), 0);
	return ep;
}

/* The frames of the drafts, with the length of a capsule behind the type. */
static const struct {
	const char *name, *wire;
	enum clv_peer_capsule_type type;
	uint64_t round, sequence;
	const char *endpoint;
	struct clv_peer_address extension;
} addresses[] = {
	{ "ADD_ADDRESS of IPv4",
	  "803d7e90 07 01 c0000201 1151",
	  CLV_PEER_ADD_ADDRESS,
	  0,
	  1,
	  "192.0.2.1:4433",
	  { .kind = 0 } },
	{ "ADD_ADDRESS of IPv6",
	  "803d7e91 13 02 20010db8000000000000000000000001 1151",
	  CLV_PEER_ADD_ADDRESS,
	  0,
	  2,
	  "[2001:db8::1]:4433",
	  { .kind = 0 } },
	{ "PUNCH_ME_NOW of IPv4",
	  "803d7e92 08 00 01 c6336407 c350",
	  CLV_PEER_PUNCH_ME_NOW,
	  0,
	  1,
	  "198.51.100.7:50000",
	  { .kind = 0 } },
	{ "PUNCH_ME_NOW of IPv6",
	  "803d7e93 14 00 02 20010db8000000000000000000000007 c350",
	  CLV_PEER_PUNCH_ME_NOW,
	  0,
	  2,
	  "[2001:db8::7]:50000",
	  { .kind = 0 } },
	{ "OBSERVED_ADDRESS of IPv4",
	  "809f81a6 07 00 c6336407 c350",
	  CLV_PEER_OBSERVED_ADDRESS,
	  0,
	  0,
	  "198.51.100.7:50000",
	  { .kind = 0 } },
	{ "OBSERVED_ADDRESS of IPv6",
	  "809f81a7 13 01 20010db8000000000000000000000007 c350",
	  CLV_PEER_OBSERVED_ADDRESS,
	  0,
	  1,
	  "[2001:db8::7]:50000",
	  { .kind = 0 } },
	{ "ADD_ADDRESS with the extension",
	  "803d7e90 0d 01 c0000201 1151 03 02 64ffffff",
	  CLV_PEER_ADD_ADDRESS,
	  0,
	  1,
	  "192.0.2.1:4433",
	  { .has_extension = true, .kind = 3, .base = 2, .priority = 0x64ffffff } },
	{ "PUNCH_ME_NOW with the extension",
	  "803d7e92 0f 4100 01 c6336407 c350 01 00 7effffff",
	  CLV_PEER_PUNCH_ME_NOW,
	  256,
	  1,
	  "198.51.100.7:50000",
	  { .has_extension = true, .kind = 1, .priority = 0x7effffff } },
};

static void addresses_have_the_bytes_of_the_drafts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		uint8_t wire[WIRE_MAX], again[CLV_PEER_CAPSULE_MAX];
		size_t len = unhex(addresses[i].wire, wire);
		struct clv_peer_capsule_reader r = { 0 };
		struct clv_endpoint ep = at(addresses[i].endpoint);
		struct seen s = { 0 };

		print_message("%s\n", addresses[i].name);
		assert_int_equal(clv_peer_capsule_feed(&r, wire, len, on_capsule, &s), 0);
		assert_int_equal(s.count, 1);
		assert_int_equal(s.last.type, addresses[i].type);
		assert_int_equal(s.last.round, addresses[i].round);
		assert_int_equal(s.last.sequence, addresses[i].sequence);
		assert_true(clv_endpoint_equal(&s.last.address.endpoint, &ep));
		assert_int_equal(s.last.address.has_extension,
				 addresses[i].extension.has_extension);
		assert_int_equal(s.last.address.kind, addresses[i].extension.kind);
		assert_int_equal(s.last.address.base, addresses[i].extension.base);
		assert_int_equal(s.last.address.priority, addresses[i].extension.priority);

		assert_int_equal(clv_peer_capsule_encode(&s.last, again), len);
		assert_memory_equal(again, wire, len);
	}
}

static const struct {
	const char *name, *wire;
	struct clv_peer_capsule capsule;
} others[] = {
	{ "REMOVE_ADDRESS", "803d7e94 01 01", { .type = CLV_PEER_REMOVE_ADDRESS, .sequence = 1 } },
	{ "HELLO",
	  "9c766c10 2e 01 01 0102030405060708"
	  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 02 01 0a 01",
	  { .type = CLV_PEER_HELLO,
	    .hello = { .version = 1,
		       .version_min = 1,
		       .probe_cid = { 1, 2, 3, 4, 5, 6, 7, 8 },
		       .probe_key = { 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
				      11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
				      22, 23, 24, 25, 26, 27, 28, 29, 30, 31 },
		       .nat_class = 2,
		       .privacy = 1,
		       .pairs_max = 10,
		       .dialects = CLV_PEER_DIALECT_02 } } },
	{ "PATH_WISH",
	  "9c766c11 03 03 04 05",
	  { .type = CLV_PEER_PATH_WISH,
	    .wish = { .reason = CLV_PEER_WISH_BETTER, .local_seq = 4, .remote_seq = 5 } } },
	{ "FLOW_OPEN",
	  "9c766c12 05 07 01 02 6f6b",
	  { .type = CLV_PEER_FLOW_OPEN,
	    .flow = 7,
	    .open = { .mode = CLV_PEER_FLOW_BARE, .name_len = 2, .name = "ok" } } },
	{ "FLOW_CLOSE", "9c766c13 01 07", { .type = CLV_PEER_FLOW_CLOSE, .flow = 7 } },
};

static void the_other_capsules_come_back_as_they_went(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		uint8_t wire[WIRE_MAX], again[CLV_PEER_CAPSULE_MAX];
		size_t len = unhex(others[i].wire, wire);
		struct clv_peer_capsule_reader r = { 0 };
		struct seen s = { 0 };

		print_message("%s\n", others[i].name);
		assert_int_equal(clv_peer_capsule_encode(&others[i].capsule, again), len);
		assert_memory_equal(again, wire, len);
		for (size_t k = 0; k < len; k++) {
			assert_int_equal(s.count, 0);
			assert_int_equal(clv_peer_capsule_end(&r), k ? CLV_EPROTO : 0);
			assert_int_equal(clv_peer_capsule_feed(&r, wire + k, 1, on_capsule, &s), 0);
		}
		assert_int_equal(s.count, 1);
		assert_int_equal(clv_peer_capsule_end(&r), 0);
		assert_memory_equal(&s.last, &others[i].capsule, sizeof(s.last));
	}
}

static void the_longest_values_fit(void **state)
{
	struct clv_peer_capsule open = {
		.type = CLV_PEER_FLOW_OPEN,
		.flow = CLV_VARINT_MAX,
		.open = { .name_len = CLV_PEER_FLOW_NAME_MAX },
	};
	struct clv_peer_capsule_reader r = { 0 };
	uint8_t wire[CLV_PEER_CAPSULE_MAX];
	struct seen s = { 0 };
	int len;

	(void)state;
	memset(open.open.name, 'n', CLV_PEER_FLOW_NAME_MAX);
	len = clv_peer_capsule_encode(&open, wire);
	assert_in_range(len, 256, CLV_PEER_CAPSULE_MAX);
	assert_int_equal(clv_peer_capsule_feed(&r, wire, (size_t)len, on_capsule, &s), 0);
	assert_memory_equal(&s.last, &open, sizeof(open));

	open.flow++;
	assert_int_equal(clv_peer_capsule_encode(&open, wire), CLV_ERANGE);
}

static const struct {
	const char *name, *wire;
	unsigned count;
	int err;
} streams[] = {
	{ "unknown types are skipped, also the greasing code",
	  "9c766c14 02 aabb 4017 00 9c766c13 01 07", 1, 0 },
	{ "what follows the known fields is skipped", "9c766c13 03 07 aaaa 803d7e94 01 01", 2, 0 },
	{ "a flow without a number", "9c766c13 00", 0, CLV_EPROTO },
	{ "a number that is cut", "9c766c13 01 40", 0, CLV_EPROTO },
	{ "an address that is cut", "803d7e90 06 01 c0000201 11", 0, CLV_EPROTO },
	{ "an IPv6 address that is cut", "803d7e91 07 01 c0000201 1151", 0, CLV_EPROTO },
	{ "an extension that is cut", "803d7e90 0c 01 c0000201 1151 03 02 64ffff", 0, CLV_EPROTO },
	{ "an IPv4 address in an IPv6 field",
	  "803d7e91 13 02 00000000000000000000ffffc0000201 1151", 0, CLV_EPROTO },
	{ "a name that is longer than the value", "9c766c12 05 07 01 03 6f6b", 0, CLV_EPROTO },
	{ "a mode that is none", "9c766c12 05 07 02 02 6f6b", 0, CLV_EPROTO },
	{ "a HELLO without dialects",
	  "9c766c10 2d 01 01 0102030405060708"
	  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 02 01 0a",
	  0, CLV_EPROTO },
	{ "nothing after an error", "9c766c13 01 07 9c766c13 00 9c766c13 01 07", 1, CLV_EPROTO },
};

static void malformed_capsules_are_told_from_later_versions(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
		uint8_t wire[WIRE_MAX];
		size_t len = unhex(streams[i].wire, wire);
		struct clv_peer_capsule_reader r = { 0 };
		struct seen s = { 0 };

		print_message("%s\n", streams[i].name);
		assert_int_equal(clv_peer_capsule_feed(&r, wire, len, on_capsule, &s),
				 streams[i].err);
		assert_int_equal(s.count, streams[i].count);
	}
}

static void a_value_longer_than_any_field_costs_no_memory(void **state)
{
	struct clv_peer_capsule_reader r = { 0 };
	struct seen s = { 0 };
	uint8_t head[WIRE_MAX], chunk[1000] = { 7 };
	size_t len = unhex("9c766c13 80100000", head);

	(void)state;
	assert_int_equal(clv_peer_capsule_feed(&r, head, len, on_capsule, &s), 0);
	for (size_t left = 0x100000; left > 0;) {
		size_t n = left < sizeof(chunk) ? left : sizeof(chunk);

		assert_int_equal(s.count, 0);
		assert_int_equal(clv_peer_capsule_feed(&r, chunk, n, on_capsule, &s), 0);
		left -= n;
	}
	assert_int_equal(s.count, 1);
	assert_int_equal(s.last.flow, 7);
}

static void the_callers_refusal_ends_the_parse(void **state)
{
	struct clv_peer_capsule_reader r = { 0 };
	struct seen s = { .answer = CLV_EDENIED };
	uint8_t wire[WIRE_MAX];
	size_t len = unhex("9c766c13 01 07 9c766c13 01 08", wire);

	(void)state;
	assert_int_equal(clv_peer_capsule_feed(&r, wire, len, on_capsule, &s), CLV_EDENIED);
	assert_int_equal(s.count, 1);
}

static void both_ends_find_the_same_version(void **state)
{
	static const struct {
		uint8_t version, min;
		int found;
	} offers[] = {
		{ 1, 1, 1 },	      { 255, 1, 1 },	    { 2, 0, 1 }, { 255, 2, CLV_ERANGE },
		{ 0, 0, CLV_EPROTO }, { 1, 2, CLV_EPROTO },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
		struct clv_peer_hello h = { .version = offers[i].version,
					    .version_min = offers[i].min };

		assert_int_equal(clv_peer_hello_version(&h), offers[i].found);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_have_the_bytes_of_the_drafts),
		cmocka_unit_test(the_other_capsules_come_back_as_they_went),
		cmocka_unit_test(the_longest_values_fit),
		cmocka_unit_test(malformed_capsules_are_told_from_later_versions),
		cmocka_unit_test(a_value_longer_than_any_field_costs_no_memory),
		cmocka_unit_test(the_callers_refusal_ends_the_parse),
		cmocka_unit_test(both_ends_find_the_same_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
