/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "datapath/base/err.h"
#include "datapath/quic/cid.h"

static const uint8_t secret[CLV_CID_SECRET_LEN] = { 0,	1,  2,	3,  4,	5,  6,	7,  8,	9,  10,
						    11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
						    22, 23, 24, 25, 26, 27, 28, 29, 30, 31 };

/* python3: hmac.new(bytes(range(32)), bytes.fromhex("8394c8f03e515708"), "sha256") */
static void token_is_hmac(void **state)
{
	static const struct clv_cid cid = { { 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08 } };
	static const uint8_t expected[CLV_CID_TOKEN_LEN] = { 0x50, 0xb5, 0xd2, 0x56, 0x60, 0x7b,
							     0xa9, 0xfa, 0x76, 0x86, 0xff, 0x5c,
							     0xea, 0x8c, 0x78, 0xc9 };
	uint8_t token[CLV_CID_TOKEN_LEN];

	(void)state;
	clv_cid_token(secret, &cid, token);
	assert_memory_equal(token, expected, sizeof(token));
}

static void ids_differ(void **state)
{
	struct clv_rand r;
	struct clv_cid a, b;

	(void)state;
	clv_rand_init(&r, 0);
	clv_cid_random(&r, &a);
	clv_cid_random(&r, &b);
	assert_memory_not_equal(&a, &b, sizeof(a));
}

/* Else a packet of a connection could be taken for STUN. */
static void no_id_has_the_cookie_of_stun(void **state)
{
	static const uint8_t cookie[CLV_CID_LEN] = { 1, 2, 3, 0x21, 0x12, 0xa4, 0x42, 4 };
	static const uint8_t next[CLV_CID_LEN] = { 1, 2, 3, 0x21, 0x12, 0xa4, 0x43, 4 };
	struct clv_rand r;
	struct clv_cid id;

	(void)state;
	clv_rand_init(&r, 1);
	r.used = sizeof(r.buf) - 2 * CLV_CID_LEN;
	memcpy(r.buf + r.used, cookie, sizeof(cookie));
	memcpy(r.buf + r.used + CLV_CID_LEN, next, sizeof(next));
	clv_cid_random(&r, &id);
	assert_memory_equal(id.id, next, sizeof(next));
}

static void decodes_long(void **state)
{
	static const uint8_t packet[] = { 0xc3, 0x6b, 0x33, 0x43, 0xcf, 3,
					  'a',	'b',  'c',  2,	  'd',	'e' };
	struct clv_quic_header h, before;

	(void)state;
	assert_int_equal(clv_quic_header_decode(packet, sizeof(packet), &h), 0);
	assert_true(h.is_long && h.first == 0xc3 && h.version == 0x6b3343cf);
	assert_true(h.dcid == packet + 6 && h.dcid_len == 3);
	assert_true(h.scid == packet + 10 && h.scid_len == 2);

	memset(&h, 0x5a, sizeof(h));
	before = h;
	for (size_t len = 0; len < sizeof(packet); len++) {
		assert_int_equal(clv_quic_header_decode(packet, len, &h), CLV_ETRUNC);
		assert_memory_equal(&h, &before, sizeof(h));
	}
}

/* RFC 8999 section 5.1 allows IDs of 255 bytes; version 1 does not, but that is not for us. */
static void decodes_longest_ids(void **state)
{
	uint8_t packet[1 + 4 + 1 + 255 + 1 + 255] = { 0x80 };
	struct clv_quic_header h;

	(void)state;
	packet[5] = packet[5 + 1 + 255] = 255;
	assert_int_equal(clv_quic_header_decode(packet, sizeof(packet), &h), 0);
	assert_true(h.version == 0 && h.dcid_len == 255 && h.scid_len == 255);
	assert_ptr_equal(h.scid + h.scid_len, packet + sizeof(packet));
	assert_int_equal(clv_quic_header_decode(packet, sizeof(packet) - 1, &h), CLV_ETRUNC);
	packet[5] = packet[6] = 0;
	assert_int_equal(clv_quic_header_decode(packet, 7, &h), 0);
	assert_true(h.dcid_len == 0 && h.scid_len == 0);
}

static void decodes_short(void **state)
{
	static const uint8_t packet[] = { 0x41, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	struct clv_quic_header h;

	(void)state;
	assert_int_equal(clv_quic_header_decode(packet, sizeof(packet), &h), 0);
	assert_true(!h.is_long && h.first == 0x41 && !h.scid && !h.scid_len);
	assert_true(h.dcid == packet + 1 && h.dcid_len == CLV_CID_LEN);
	assert_int_equal(clv_quic_header_decode(packet, 9, &h), 0);
	assert_int_equal(clv_quic_header_decode(packet, 8, &h), CLV_ETRUNC);
}

static void resets_are_shorter(void **state)
{
	uint8_t token[CLV_CID_TOKEN_LEN], out[1500];
	bool seen[1500] = { false };
	size_t lengths = 0;
	struct clv_rand r;

	(void)state;
	clv_rand_init(&r, 9);
	memset(token, 0xee, sizeof(token));
	for (size_t trigger = 0; trigger <= 1500; trigger++) {
		size_t len = clv_stateless_reset_write(&r, token, trigger, out, sizeof(out));

		if (trigger < 22) {
			assert_int_equal(len, 0);
			continue;
		}
		assert_in_range(len, 21, trigger - 1);
		if (trigger <= 43)
			assert_int_equal(len, trigger - 1);
		assert_int_equal(out[0] & 0xc0, 0x40);
		assert_memory_equal(out + len - sizeof(token), token, sizeof(token));
		lengths += !seen[len];
		seen[len] = true;
	}
	assert_in_range(lengths, 40, 80); /* no one length gives resets away */
}

static void resets_keep_to_their_room(void **state)
{
	uint8_t token[CLV_CID_TOKEN_LEN] = { 0 }, out[64];
	struct clv_rand r;

	(void)state;
	clv_rand_init(&r, 9);
	for (size_t room = 0; room < 40; room++) {
		memset(out, 0x5a, sizeof(out));
		assert_int_equal(clv_stateless_reset_write(&r, token, 1200, out, room),
				 room < 21 ? 0 : room);
		assert_int_equal(out[room], 0x5a);
	}
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("the reset token is a keyed hash of the ID", token_is_hmac),
		CASE("no two fresh IDs agree", ids_differ),
		CASE("no fresh ID has the cookie of STUN", no_id_has_the_cookie_of_stun),
		CASE("a long header gives version and both IDs, cut nowhere", decodes_long),
		CASE("IDs of 255 bytes and of none are read", decodes_longest_ids),
		CASE("a short header gives an ID of our length", decodes_short),
		CASE("a reset is shorter than its trigger and ends in the token",
		     resets_are_shorter),
		CASE("a reset keeps to its room", resets_keep_to_their_room),
	};

	return cmocka_run_group_tests_name("cid", cases, NULL, NULL);
}
