/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/bytes.h"
#include "datapath/base/err.h"
#include "datapath/io/packet.h"
#include "tests/unit/hex.h"

#define ETHER  "0200000000010200000000020800"
#define ETHER6 "02000000000102000000000286dd"
/* 192.0.2.10:40000 -> 198.51.100.20:443, "culvert!", ECT(1) under some DSCP; and the same in IPv6. */
#define IP4  "45b900241c46400040113178c000020ac6336414"
#define UDP4 "9c4001bb0010cc0063756c7665727421"
#define IP6  "6b9000000010113f20010db800000000000000000000000a20010db8000100000000000000000014"
/* As we send them: ECT(1) only, identification 0, DF, hop limit 64. */
#define IP4_SENT                                                                                   \
	"45010024000040004011"                                                                     \
	"4e76c000020ac6336414"
#define IP6_SENT                                                                                   \
	"6010000000101140"                                                                         \
	"20010db800000000000000000000000a20010db8000100000000000000000014"
#define UDP6 "9c4001bb00105cc263756c7665727421"

static struct clv_endpoint endpoint(const char *text)
{
	struct clv_endpoint ep;

	assert_int_equal(clv_endpoint_parse(text, &ep), 0);
	return ep;
}

static void assert_endpoint(const struct clv_endpoint *ep, const char *text)
{
	char buf[CLV_ADDR_TEXT_MAX];

	assert_string_equal(clv_endpoint_format(ep, buf, sizeof(buf)), text);
}

/* ---- checksum ---- */

/* The definition, word by word. */
static uint16_t sum_slowly(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;
	size_t i;

	for (i = 0; i < len; i++)
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)sum);
}

static void sums_agree_with_the_definition(void **state)
{
	uint8_t data[1600];
	size_t i, len, shift;

	(void)state;
	for (i = 0; i < sizeof(data); i++)
		data[i] = i % 7 ? 0xff : (uint8_t)(i * 37);
	for (len = 0; len <= 1537; len += len < 200 ? 1 : 13)
		for (shift = 0; shift < 9; shift++)
			assert_int_equal(clv_packet_fold(clv_packet_sum(data + shift, len, 0)),
					 sum_slowly(data + shift, len));
	memset(data, 0xff, sizeof(data));
	assert_int_equal(clv_packet_fold(clv_packet_sum(data, 1500, UINT64_MAX)), 0xffff);
}

static void headers_computed_elsewhere_sum_to_all_ones(void **state)
{
	static const char *const vectors[] = {
		"45000040000040003f013db1cb007101c000020a",
		"0304e3f700000578" IP4 "9c4001bb0010cc0063756c7665727421",
		IP4,
	};
	uint8_t bytes[128];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		assert_int_equal(
			clv_packet_fold(clv_packet_sum(bytes, unhex(vectors[i], bytes), 0)),
			0xffff);
}

/* Payload 0x43, a connection ID, then (7 * i + 3) for i below 40. */
static const struct {
	const char *name, *local, *remote, *cid;
	uint16_t check;
} udp_sums[] = {
	{ "IPv4", "192.0.2.10:40000", "198.51.100.20:443", "c0c1c2c3c4c5c6c7", 0xe975 },
	{ "IPv4, another ID", "192.0.2.10:40000", "198.51.100.20:443", "a1a2a3a4a5a6a7a8", 0x65f2 },
	{ "IPv4, other address", "192.0.2.10:40000", "203.0.113.5:443", "c0c1c2c3c4c5c6c7",
	  0xd7b7 },
	{ "IPv6", "[2001:db8:ffff::5]:50123", "[2001:db8:1::14]:443", "a1a2a3a4a5a6a7a8", 0xcf2d },
	{ "IPv4, ID of odd length", "192.0.2.10:40000", "198.51.100.20:443", "d1d2d3d4d5", 0xe083 },
	{ "IPv4, ID of even length", "192.0.2.10:40000", "198.51.100.20:443", "d1d2d3d4", 0x54e7 },
};

static void udp_checksums_equal_those_computed_elsewhere(void **state)
{
	uint8_t buf[256];
	uint8_t *payload = buf + CLV_PACKET_HEADERS_MAX;
	size_t i, k, len;

	(void)state;
	for (i = 0; i < sizeof(udp_sums) / sizeof(udp_sums[0]); i++) {
		struct clv_flow flow = { .local = endpoint(udp_sums[i].local),
					 .remote = endpoint(udp_sums[i].remote) };

		payload[0] = 0x43;
		len = 1 + unhex(udp_sums[i].cid, payload + 1);
		for (k = 0; k < 40; k++)
			payload[len++] = (uint8_t)(7 * k + 3);
		print_message("%s\n", udp_sums[i].name);
		assert_true(clv_packet_encode(payload, len, &flow, 0) > 0);
		assert_int_equal(clv_load_be16(payload - 2), udp_sums[i].check);
	}
}

static void a_checksum_of_zero_is_sent_as_all_ones(void **state)
{
	struct clv_flow flow = { .local = endpoint("192.0.2.10:40000"),
				 .remote = endpoint("198.51.100.20:443") };
	uint8_t buf[CLV_PACKET_HEADERS_MAX + 2];
	uint8_t *payload = buf + CLV_PACKET_HEADERS_MAX;
	uint16_t check;

	(void)state;
	memset(payload, 0, 2);
	assert_true(clv_packet_encode(payload, 2, &flow, 0) > 0);
	check = clv_load_be16(payload - 2);
	/* The payload word that brings the sum to all ones is the checksum of the rest. */
	clv_store_be16(payload, check);
	assert_true(clv_packet_encode(payload, 2, &flow, 0) > 0);
	assert_int_equal(clv_load_be16(payload - 2), 0xffff);
}

/* ---- decode ---- */

static void frames_are_read_field_by_field(void **state)
{
	static const struct {
		const char *hex, *local, *remote;
		uint16_t vlan[2];
	} cases[] = {
		{ ETHER IP4 UDP4, "198.51.100.20:443", "192.0.2.10:40000", { 0, 0 } },
		{ ETHER6 IP6 UDP6, "[2001:db8:1::14]:443", "[2001:db8::a]:40000", { 0, 0 } },
		{ "0200000000010200000000028100e0050800" IP4 UDP4,
		  "198.51.100.20:443",
		  "192.0.2.10:40000",
		  { 5, 0 } },
		{ "02000000000102000000000288a8006481000fff86dd" IP6 UDP6,
		  "[2001:db8:1::14]:443",
		  "[2001:db8::a]:40000",
		  { 100, 4095 } },
		{ "0200000000010200000000028100e0000800" IP4 UDP4,
		  "198.51.100.20:443",
		  "192.0.2.10:40000",
		  { 0, 0 } }, /* priority only */
		{ ETHER IP4 UDP4 "000000000000",
		  "198.51.100.20:443",
		  "192.0.2.10:40000",
		  { 0, 0 } }, /* padded by the link */
	};
	size_t i, len;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct clv_rx rx = { .kind = 9, .link = 7 };
		uint8_t frame[256];

		len = unhex(cases[i].hex, frame);
		assert_int_equal(clv_packet_decode(frame, len, &rx), 0);
		assert_endpoint(&rx.local, cases[i].local);
		assert_endpoint(&rx.remote, cases[i].remote);
		assert_int_equal(rx.payload_len, 8);
		assert_memory_equal(rx.payload, "culvert!", 8);
		assert_int_equal(rx.ecn, 1);
		assert_memory_equal(rx.l2.dst_mac, "\2\0\0\0\0\2", 6);
		assert_memory_equal(rx.l2.src_mac, "\2\0\0\0\0\1", 6);
		assert_int_equal(rx.l2.vlan_id[0], cases[i].vlan[0]);
		assert_int_equal(rx.l2.vlan_id[1], cases[i].vlan[1]);
		assert_int_equal(rx.kind, 9); /* the port's fields stay */
		assert_int_equal(rx.link, 7);
		assert_true(clv_packet_checksum_ok(&rx));
	}
}

static const struct bad_case {
	const char *name, *hex;
	size_t at; /* byte to change */
	uint8_t value;
	int err;
} bad[] = {
	{ "to a group MAC", ETHER IP4 UDP4, 0, 0x01, CLV_EPROTO },
	{ "from a group MAC", ETHER IP4 UDP4, 6, 0x03, CLV_EPROTO },
	{ "ARP", ETHER IP4 UDP4, 13, 0x06, CLV_EPROTO },
	{ "IPv4 with options", ETHER IP4 UDP4, 14, 0x46, CLV_EPROTO },
	{ "IPv4 with a short header", ETHER IP4 UDP4, 14, 0x44, CLV_EPROTO },
	{ "version 6 as IPv4", ETHER IP4 UDP4, 14, 0x65, CLV_EPROTO },
	{ "total length below a header", ETHER IP4 UDP4, 17, 19, CLV_EPROTO },
	{ "total length beyond the frame", ETHER IP4 UDP4, 17, 37, CLV_ETRUNC },
	{ "total length without room for UDP", ETHER IP4 UDP4, 17, 27, CLV_ETRUNC },
	{ "first fragment", ETHER IP4 UDP4, 20, 0x20, CLV_EPROTO },
	{ "later fragment", ETHER IP4 UDP4, 21, 0x01, CLV_EPROTO },
	{ "TCP", ETHER IP4 UDP4, 23, 6, CLV_EPROTO },
	{ "UDP length below its header", ETHER IP4 UDP4, 39, 7, CLV_EPROTO },
	{ "UDP length beyond the packet", ETHER IP4 UDP4, 39, 17, CLV_ETRUNC },
	{ "version 4 as IPv6", ETHER6 IP6 UDP6, 14, 0x4b, CLV_EPROTO },
	{ "IPv6 with an extension header", ETHER6 IP6 UDP6, 20, 0, CLV_EPROTO },
	{ "IPv6 payload beyond the frame", ETHER6 IP6 UDP6, 19, 17, CLV_ETRUNC },
	{ "IPv6 payload without room for UDP", ETHER6 IP6 UDP6, 19, 7, CLV_ETRUNC },
	{ "IPv6 UDP length zero", ETHER6 IP6 UDP6, 59, 0, CLV_EPROTO },
	{ "three tags", "02000000000102000000000288a80001810000028100000308004500", 0, 2,
	  CLV_EPROTO },
};

/* Make the IPv4 header's checksum right again, so that the changed byte decides. */
static void repair_header(uint8_t *frame)
{
	uint16_t check;

	if (clv_load_be16(frame + 12) != 0x0800)
		return;
	memset(frame + 24, 0, 2);
	check = (uint16_t)~clv_packet_fold(clv_packet_sum(frame + 14, 20, 0));
	memcpy(frame + 24, &check, 2);
}

static void frames_that_contradict_themselves_are_refused(void **state)
{
	size_t i, len;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct clv_rx untouched = { .payload_len = 77 };
		struct clv_rx rx = untouched;
		uint8_t frame[256];

		len = unhex(bad[i].hex, frame);
		frame[bad[i].at] = bad[i].value;
		repair_header(frame);
		print_message("%s\n", bad[i].name);
		assert_int_equal(clv_packet_decode(frame, len, &rx), bad[i].err);
		assert_memory_equal(&rx, &untouched, sizeof(rx));
	}
}

static void checksums_are_judged(void **state)
{
	struct clv_rx rx = { 0 };
	uint8_t frame[256];
	size_t len = unhex(ETHER IP4 UDP4, frame);

	(void)state;
	frame[22] ^= 1; /* TTL: the header's own checksum is wrong now */
	assert_int_equal(clv_packet_decode(frame, len, &rx), CLV_EPROTO);

	len = unhex(ETHER IP4 UDP4, frame);
	frame[45] ^= 0x10; /* payload */
	assert_int_equal(clv_packet_decode(frame, len, &rx), 0);
	assert_false(clv_packet_checksum_ok(&rx));
	memset(frame + 40, 0, 2); /* IPv4 may go without */
	assert_int_equal(clv_packet_decode(frame, len, &rx), 0);
	assert_true(clv_packet_checksum_ok(&rx));

	len = unhex(ETHER6 IP6 UDP6, frame);
	frame[65] ^= 0x10;
	assert_int_equal(clv_packet_decode(frame, len, &rx), 0);
	assert_false(clv_packet_checksum_ok(&rx));
	memset(frame + 60, 0, 2); /* IPv6 may not */
	assert_int_equal(clv_packet_decode(frame, len, &rx), CLV_EPROTO);
}

/* An IPv6 packet between v4-mapped addresses would pass for IPv4 everywhere after the decoder. */
static void mapped_addresses_inside_ipv6_are_refused(void **state)
{
	struct clv_flow flow = { .local = endpoint("[2001:db8::a]:1"),
				 .remote = endpoint("[2001:db8::b]:2") };
	uint8_t buf[CLV_PACKET_HEADERS_MAX + 4] = { 0 };
	uint8_t *payload = buf + CLV_PACKET_HEADERS_MAX;
	size_t headers = clv_packet_encode(payload, 4, &flow, 0);
	struct clv_rx rx;

	(void)state;
	memset(payload - 8 - 32, 0, 10); /* the source */
	memset(payload - 8 - 32 + 10, 0xff, 2);
	assert_int_equal(clv_packet_decode(payload - headers, headers + 4, &rx), CLV_EPROTO);
}

static void every_cut_is_noticed(void **state)
{
	static const char *const whole[] = { ETHER IP4 UDP4, ETHER6 IP6 UDP6,
					     "0200000000010200000000028100e0050800" IP4 UDP4 };
	uint8_t frame[256];
	struct clv_rx rx;
	size_t i, len, cut;

	(void)state;
	for (i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		len = unhex(whole[i], frame);
		for (cut = 0; cut < len; cut++) {
			/* A block of its own, so that a sanitizer sees a read past it. */
			uint8_t *exact = malloc(cut ? cut : 1);

			memcpy(exact, frame, cut);
			assert_int_equal(clv_packet_decode(exact, cut, &rx), CLV_ETRUNC);
			free(exact);
		}
	}
}

/* ---- encode ---- */

static void headers_are_written_byte_for_byte(void **state)
{
	static const struct {
		const char *hex, *local, *remote;
		uint16_t vlan[2];
	} cases[] = {
		{ ETHER IP4_SENT UDP4, "192.0.2.10:40000", "198.51.100.20:443", { 0, 0 } },
		{ ETHER6 IP6_SENT UDP6, "[2001:db8::a]:40000", "[2001:db8:1::14]:443", { 0, 0 } },
		{ "0200000000010200000000028100000586dd" IP6_SENT UDP6,
		  "[2001:db8::a]:40000",
		  "[2001:db8:1::14]:443",
		  { 5, 0 } },
		{ "02000000000102000000000288a8006481000fff0800" IP4_SENT UDP4,
		  "192.0.2.10:40000",
		  "198.51.100.20:443",
		  { 100, 4095 } },
	};
	size_t i, len, headers;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct clv_flow flow = {
			.local = endpoint(cases[i].local),
			.remote = endpoint(cases[i].remote),
			.hop.l2 = { .dst_mac = { 2, 0, 0, 0, 0, 1 },
				    .src_mac = { 2, 0, 0, 0, 0, 2 },
				    .vlan_id = { cases[i].vlan[0], cases[i].vlan[1] } },
		};
		uint8_t want[256], buf[128];
		uint8_t *payload = buf + CLV_PACKET_HEADERS_MAX;

		len = unhex(cases[i].hex, want);
		memcpy(payload, "culvert!", 8);
		headers = clv_packet_encode(payload, 8, &flow, 0xfd); /* only two bits count */
		assert_int_equal(headers + 8, len);
		assert_memory_equal(payload - headers, want, len);
		assert_int_equal(clv_packet_ip_len(&flow, 8),
				 len - 14 - 4 * !!cases[i].vlan[0] - 4 * !!cases[i].vlan[1]);
	}
}

static void what_is_written_can_be_read_at_every_size(void **state)
{
	static const char *const ends[][2] = {
		{ "192.0.2.10:1", "203.0.113.255:65535" },
		{ "[2001:db8::a]:65535", "[2001:db8:ffff::b]:1" },
	};
	static uint8_t buf[CLV_PACKET_HEADERS_MAX + 65536];
	uint8_t *payload = buf + CLV_PACKET_HEADERS_MAX;
	size_t len, i, headers;

	(void)state;
	for (i = 0; i < 65536; i++)
		payload[i] = (uint8_t)(i * 31 + (i >> 8));
	for (i = 0; i < 2; i++) {
		struct clv_flow flow = { .local = endpoint(ends[i][0]),
					 .remote = endpoint(ends[i][1]) };

		for (len = 0; len <= CLV_PACKET_PAYLOAD_MAX; len += len < 1600 ? 1 : 997) {
			struct clv_rx rx = { 0 };

			headers = clv_packet_encode(payload, len, &flow, len & 3);
			assert_int_not_equal(headers, 0);
			assert_int_equal(clv_packet_decode(payload - headers, headers + len, &rx),
					 0);
			assert_true(clv_packet_checksum_ok(&rx));
			assert_ptr_equal(rx.payload, payload);
			assert_int_equal(rx.payload_len, len);
			assert_int_equal(rx.ecn, len & 3);
			assert_true(clv_endpoint_equal(&rx.remote, &flow.local));
			assert_true(clv_endpoint_equal(&rx.local, &flow.remote));
		}
	}
}

static void impossible_flows_are_not_written(void **state)
{
	static uint8_t buf[CLV_PACKET_HEADERS_MAX + 65536];
	uint8_t *payload = buf + CLV_PACKET_HEADERS_MAX;
	struct clv_flow mixed = { .local = endpoint("192.0.2.10:1"),
				  .remote = endpoint("[2001:db8::b]:2") };
	struct clv_flow plain = { .local = endpoint("192.0.2.10:1"),
				  .remote = endpoint("192.0.2.11:2") };

	(void)state;
	assert_int_equal(clv_packet_encode(payload, 8, &mixed, 0), 0);
	assert_int_equal(clv_packet_encode(payload, CLV_PACKET_PAYLOAD_MAX + 1, &plain, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_agree_with_the_definition),
		cmocka_unit_test(headers_computed_elsewhere_sum_to_all_ones),
		cmocka_unit_test(udp_checksums_equal_those_computed_elsewhere),
		cmocka_unit_test(a_checksum_of_zero_is_sent_as_all_ones),
		cmocka_unit_test(frames_are_read_field_by_field),
		cmocka_unit_test(frames_that_contradict_themselves_are_refused),
		cmocka_unit_test(checksums_are_judged),
		cmocka_unit_test(mapped_addresses_inside_ipv6_are_refused),
		cmocka_unit_test(every_cut_is_noticed),
		cmocka_unit_test(headers_are_written_byte_for_byte),
		cmocka_unit_test(what_is_written_can_be_read_at_every_size),
		cmocka_unit_test(impossible_flows_are_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
