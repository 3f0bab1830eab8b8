/* SPDX-License-Identifier: GPL-3.0-or-later */
/* STUN Binding requests answered by the XDP program. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/bucket.h"
#include "datapath/base/stun.h"
#include "tests/bpf/frame.h"
#include "tests/bpf/world.h"

#define RELAY4 "198.51.100.1"

enum {
	IP4_LEN = 20,
	IP6_LEN = 40,
	UDP_LEN = 8,
};

/* RFC 8489: header with transaction ID "abcdefghijkl". */
#define HEADER(type, len)                                                                          \
	0, type, 0, len, 0x21, 0x12, 0xa4, 0x42, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', \
		'k', 'l'
#define SOFTWARE 0x80, 0x22, 0, 5, 't', 'e', 's', 't', 's', 0, 0, 0

static const uint8_t bare[] = { HEADER(1, 0) };

/* A checksum of its own, bit by bit, so that the program is not compared with itself. */
static uint32_t crc32_of(const uint8_t *p, size_t len)
{
	uint32_t crc = ~0u;

	while (len--) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? 0xedb88320 ^ crc >> 1 : crc >> 1;
	}
	return ~crc;
}

static size_t add_fingerprint(uint8_t *m, size_t len)
{
	uint32_t sum;

	m[3] = (uint8_t)(m[3] + 8);
	sum = htonl(crc32_of(m, len) ^ 0x5354554e);
	memcpy(m + len, "\x80\x28\0\4", 4);
	memcpy(m + len + 4, &sum, 4);
	return len + 8;
}

static uint16_t ones_sum(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void set_limit(struct clv_rate stun)
{
	const struct clv_guard_limits limits = { .stun = stun };
	const uint32_t zero = 0;
	struct clv_guard_key key;
	int fd = bpf_map__fd(group_world.skel->maps.guard);

	while (bpf_map_get_next_key(fd, NULL, &key) == 0)
		assert_int_equal(bpf_map_delete_elem(fd, &key), 0);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(group_world.skel->maps.guard_limits),
					     &zero, &limits, BPF_ANY),
			 0);
}

static void set_listener(const char *relay, uint32_t flags)
{
	const struct clv_endpoint at = frame_endpoint(relay, PORT_QUIC);
	const struct clv_listener listener = { .id = 1, .flags = flags };

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(group_world.skel->maps.listeners), &at,
					     &listener, BPF_ANY),
			 0);
}

static void set_link(uint32_t flags)
{
	const uint32_t ifindex = if_nametoindex("lo");
	const struct clv_link link = { .xsk_base = WORLD_XSK_BASE, .flags = flags };

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(group_world.skel->maps.links), &ifindex,
					     &link, BPF_ANY),
			 0);
}

/* Every case starts with everything on, and no limit. */
static int reset(void **state)
{
	(void)state;
	if (!group_world.skel)
		return 0;
	set_limit(clv_rate_of(0, 1));
	set_listener(RELAY4, CLV_LISTENER_STUN);
	set_listener(RELAY6, CLV_LISTENER_STUN);
	set_link(CLV_LINK_ANSWERS);
	return 0;
}

/* Sends m[0..len) as the payload of spec; in front of it meta bytes of metadata. */
static enum clv_xdp_counter ask_with(struct frame_spec spec, const uint8_t *m, size_t len,
				     unsigned meta, uint8_t frame[static FRAME_MAX],
				     struct outcome *out)
{
	size_t frame_len;

	spec.payload_len = (unsigned)len;
	frame_len = frame_build(&spec, frame);
	memcpy(frame + frame_payload_at(&spec), m, len);
	world_run(&group_world, frame, frame_len, meta, out);
	return out->counted;
}

static enum clv_xdp_counter ask(struct frame_spec spec, const uint8_t *m, size_t len)
{
	uint8_t frame[FRAME_MAX];
	struct outcome out;

	return ask_with(spec, m, len, 0, frame, &out);
}

static void check_ip(const uint8_t *ip, const struct frame_spec *spec, size_t udp_len,
		     const struct clv_tuple *tuple)
{
	bool is_v6 = spec->src && strchr(spec->src, ':');
	size_t at = is_v6 ? 8 : 12, addr_len = is_v6 ? 16 : 4, ip_len = is_v6 ? IP6_LEN : IP4_LEN;
	const uint8_t *udp = ip + ip_len;
	uint16_t sum;

	assert_memory_equal(ip + at, tuple->local.addr + 16 - addr_len, addr_len);
	assert_memory_equal(ip + at + addr_len, tuple->remote.addr + 16 - addr_len, addr_len);
	if (is_v6) {
		assert_int_equal(ip[0] >> 4, 6);
		assert_int_equal(ip[4] << 8 | ip[5], udp_len);
		assert_int_equal(ip[6], 17);
		assert_int_equal(ip[7], 64);
	} else {
		assert_int_equal(ip[0], 0x45);
		assert_int_equal(ip[2] << 8 | ip[3], IP4_LEN + udp_len);
		assert_int_equal(ip[8], 64);
		assert_int_equal(ip[9], 17);
		assert_int_equal(ones_sum(0, ip, IP4_LEN), 0xffff);
	}
	assert_memory_equal(udp, &tuple->local.port, 2);
	assert_memory_equal(udp + 2, &tuple->remote.port, 2);
	assert_int_equal(udp[4] << 8 | udp[5], udp_len);
	assert_true(udp[6] || udp[7]);
	sum = ones_sum(17 + (uint32_t)udp_len, ip + at, 2 * addr_len);
	assert_int_equal(ones_sum(sum, udp, udp_len), 0xffff);
}

/* The answer to m, byte by byte: written here, and as user space writes it. */
static void check_stun(const uint8_t *got, size_t len, const uint8_t *m, size_t m_len,
		       const struct clv_tuple *tuple, bool is_v6, bool has_fingerprint)
{
	size_t addr_len = is_v6 ? 16 : 4, expected_len = 28 + addr_len;
	uint8_t expected[CLV_STUN_ANSWER_MAX] = { 1, 1, 0, (uint8_t)(8 + addr_len) };
	uint8_t ours[CLV_STUN_ANSWER_MAX];
	const uint8_t *addr = tuple->remote.addr + 16 - addr_len;

	memcpy(expected + 4, m + 4, 16);
	expected[21] = 0x20;
	expected[23] = (uint8_t)(4 + addr_len);
	expected[25] = is_v6 ? 2 : 1;
	memcpy(expected + 26, &tuple->remote.port, 2);
	memcpy(expected + 28, addr, addr_len);
	for (size_t i = 0; i < 2; i++)
		expected[26 + i] ^= m[4 + i];
	for (size_t i = 0; i < addr_len; i++)
		expected[28 + i] ^= m[4 + i];
	if (has_fingerprint)
		expected_len = add_fingerprint(expected, expected_len);
	assert_int_equal(len, expected_len);
	assert_memory_equal(got, expected, len);
	assert_int_equal(clv_stun_answer(m, m_len, &tuple->remote, ours), len);
	assert_memory_equal(ours, expected, len);
}

static void check_answer(struct frame_spec spec, const uint8_t *m, size_t m_len, unsigned meta,
			 bool has_fingerprint)
{
	bool is_v6 = spec.src && strchr(spec.src, ':');
	size_t l2 = 14 + 4 * spec.vlan_tags, ip_len = is_v6 ? IP6_LEN : IP4_LEN, len;
	struct clv_tuple tuple = frame_tuple(&spec);
	uint8_t frame[FRAME_MAX];
	struct outcome out;

	assert_int_equal(ask_with(spec, m, m_len, meta, frame, &out), CLV_XDP_ANSWER_STUN);
	assert_int_equal(out.action, XDP_TX);
	assert_memory_equal(out.frame, frame + 6, 6);
	assert_memory_equal(out.frame + 6, frame, 6);
	assert_memory_equal(out.frame + 12, frame + 12, l2 - 12);
	assert_true(out.frame_len > l2 + ip_len + UDP_LEN);
	len = out.frame_len - l2 - ip_len - UDP_LEN;
	check_ip(out.frame + l2, &spec, UDP_LEN + len, &tuple);
	check_stun(out.frame + l2 + ip_len + UDP_LEN, len, m, m_len, &tuple, is_v6,
		   has_fingerprint);
}

static const struct frame_spec from4 = { .src = "203.0.113.9", .sport = 40123 };
static const struct frame_spec from6 = { .src = REMOTE6, .dst = RELAY6, .sport = 40123 };

static void a_request_is_answered_with_the_address_it_came_from(void **state)
{
	(void)state;
	need_root();
	check_answer(from4, bare, sizeof(bare), 0, false);
	check_answer(from6, bare, sizeof(bare), 0, false);
}

static void a_fingerprint_is_answered_by_one(void **state)
{
	uint8_t m[64] = { HEADER(1, 0) };
	size_t len = add_fingerprint(m, sizeof(bare));

	(void)state;
	need_root();
	check_answer(from4, m, len, 0, true);
	check_answer(from6, m, len, 0, true);
}

static void what_may_be_ignored_is_and_the_answer_may_be_shorter(void **state)
{
	uint8_t m[160] = { HEADER(1, 96), SOFTWARE, 0xc0, 0x57, 0, 4, 1, 2, 3, 4 };

	(void)state;
	need_root();
	m[40] = 0x80; /* of 72 bytes */
	m[41] = 0x22;
	m[43] = 72;
	check_answer(from4, m, 116, 0, false);
	check_answer(from6, m, 116, 0, false);
	check_answer(from4, m, add_fingerprint(m, 116), 0, true);
}

static void tags_metadata_and_padding_are_no_matter(void **state)
{
	struct frame_spec spec4 = from4, spec6 = from6;

	(void)state;
	need_root();
	for (spec4.vlan_tags = 0; spec4.vlan_tags <= 2; spec4.vlan_tags++) {
		spec6.vlan_tags = spec4.vlan_tags;
		for (spec4.padding = 0; spec4.padding < 40; spec4.padding += 13) {
			spec6.padding = spec4.padding;
			check_answer(spec4, bare, sizeof(bare), 0, false);
			check_answer(spec6, bare, sizeof(bare), 0, false);
		}
	}
	check_answer(from4, bare, sizeof(bare), 8, false);
	check_answer(from6, bare, sizeof(bare), 32, false);
}

static void every_port_and_address_comes_back(void **state)
{
	static const char *const sources[] = { "1.2.3.4", "223.255.255.255", "33.18.164.66",
					       "2001:db8::1", "2112:a442::" };

	(void)state;
	need_root();
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		struct frame_spec spec = { .src = sources[i],
					   .dst = strchr(sources[i], ':') ? RELAY6 : NULL };

		for (unsigned port = 1; port < 65536; port += 4093) {
			spec.sport = (uint16_t)port;
			check_answer(spec, bare, sizeof(bare), 0, false);
		}
	}
}

static void anything_but_a_bare_request_is_dropped(void **state)
{
	static const struct {
		const char *what;
		size_t len;
		uint8_t m[64];
	} cases[] = {
		{ "an indication", 20, { HEADER(0x11, 0) } },
		{ "another method", 20, { HEADER(3, 0) } },
		{ "length beyond the packet", 20, { HEADER(1, 4) } },
		{ "length short of the packet", 24, { HEADER(1, 0) } },
		{ "length of no whole words", 22, { HEADER(1, 2) } },
		{ "an attribute cut short", 24, { HEADER(1, 4), 0x80, 0x22, 0, 1 } },
		{ "CHANGE-REQUEST", 28, { HEADER(1, 8), 0, 3, 0, 4, 0, 0, 0, 6 } },
		{ "MESSAGE-INTEGRITY", 44, { HEADER(1, 24), 0, 8, 0, 20 } },
		{ "USERNAME", 28, { HEADER(1, 8), 0, 6, 0, 4, 'u', ':', 'v', 'w' } },
		{ "wrong FINGERPRINT", 28, { HEADER(1, 8), 0x80, 0x28, 0, 4, 1, 2, 3, 4 } },
	};
	uint8_t m[160] = { HEADER(1, 0) };
	uint8_t many[88] = { HEADER(1, 17 * 4) };
	size_t len;

	(void)state;
	need_root();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (ask(from4, cases[i].m, cases[i].len) != CLV_XDP_DROP_STUN_MALFORMED)
			fail_msg("%s", cases[i].what);
	for (size_t i = 0; i < 17; i++)
		memcpy(many + 20 + 4 * i, "\x80\x22\0\0", 4);
	assert_int_equal(ask(from4, many, sizeof(many)), CLV_XDP_DROP_STUN_MALFORMED);
	len = add_fingerprint(m, 20);
	memcpy(m + len, "\x80\x22\0\0", 4); /* not the last one */
	m[3] = 12;
	assert_int_equal(ask(from4, m, len + 4), CLV_XDP_DROP_STUN_MALFORMED);
	m[3] = 152 - 20;
	memcpy(m + 20, "\x80\x22\0\x80", 4);
	assert_int_equal(ask(from4, m, 152), CLV_XDP_DROP_STUN_MALFORMED);
}

static void nobody_is_answered_who_cannot_have_asked(void **state)
{
	static const struct frame_spec from[] = {
		{ .src = "127.0.0.1" },
		{ .src = "0.1.2.3" },
		{ .src = "224.0.0.1" },
		{ .src = "255.255.255.255" },
		{ .src = "::1", .dst = RELAY6 },
		{ .src = "::", .dst = RELAY6 },
		{ .src = "ff02::1", .dst = RELAY6 },
	};

	(void)state;
	need_root();
	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++)
		assert_int_equal(ask(from[i], bare, sizeof(bare)), CLV_XDP_DROP_STUN_MALFORMED);
}

static void a_connection_comes_first(void **state)
{
	static const uint8_t cookie_cid[CLV_CID_LEN] = { 0, 0, 0, 0x21, 0x12, 0xa4, 0x42, 'a' };
	uint8_t greased[40] = { 0 }, cookie[20] = { 0 };
	int fd;

	(void)state;
	need_root();
	memcpy(greased + 1, known_cid, sizeof(known_cid));
	assert_int_equal(ask(from4, greased, sizeof(greased)), CLV_XDP_STEER_CONN);

	memcpy(cookie + 1, cookie_cid, sizeof(cookie_cid));
	fd = bpf_map__fd(group_world.skel->maps.conns);
	assert_int_equal(bpf_map_update_elem(fd, cookie_cid, &known_conn, BPF_ANY), 0);
	assert_int_equal(ask(from4, cookie, sizeof(cookie)), CLV_XDP_STEER_CONN);
	assert_int_equal(bpf_map_delete_elem(fd, cookie_cid), 0);
	assert_int_not_equal(ask(from4, cookie, sizeof(cookie)), CLV_XDP_STEER_CONN);
}

static void an_ipv6_packet_is_not_answered_as_ipv4(void **state)
{
	struct frame_spec spec = { .src = "::ffff:203.0.113.9", .dst = RELAY6, .sport = 40123 };

	(void)state;
	need_root();
	assert_int_equal(ask(spec, bare, sizeof(bare)), CLV_XDP_DROP_STUN_MALFORMED);
	spec.dst = "::ffff:" RELAY4;
	assert_int_equal(ask(spec, bare, sizeof(bare)), CLV_XDP_DROP_STUN_MALFORMED);
}

static void what_is_not_stun_goes_where_it_went(void **state)
{
	uint8_t m[40] = { HEADER(1, 0) };

	(void)state;
	need_root();
	m[0] = 0x40;
	assert_int_equal(ask(from4, m, 20), CLV_XDP_PASS_UNKNOWN_CID);
	m[0] = 0xc0;
	assert_int_equal(ask(from4, m, 20), CLV_XDP_PASS_LONG_HEADER);
	m[0] = 0;
	m[7] ^= 1;
	assert_int_equal(ask(from4, m, 20), CLV_XDP_PASS_UNKNOWN_CID);
	m[7] ^= 1;
	assert_int_equal(ask(from4, m, 19), CLV_XDP_PASS_UNKNOWN_CID);
	assert_int_equal(ask((struct frame_spec){ .dport = PORT_FOREIGN }, m, 20),
			 CLV_XDP_PASS_FOREIGN);
	assert_int_equal(ask((struct frame_spec){ .ihl = 7 }, m, 20), CLV_XDP_PASS_OPTIONS);
	set_listener(RELAY4, 0);
	assert_int_equal(ask(from4, m, 20), CLV_XDP_PASS_UNKNOWN_CID);
}

static void a_link_that_cannot_send_back_leaves_it_to_control(void **state)
{
	struct frame_spec tagged = from4;

	(void)state;
	need_root();
	set_link(0);
	assert_int_equal(ask(from4, bare, sizeof(bare)), CLV_XDP_PASS_STUN);
	set_link(CLV_LINK_ANSWERS);
	set_listener(RELAY4, CLV_LISTENER_STUN | CLV_LISTENER_TAGGED);
	assert_int_equal(ask(from4, bare, sizeof(bare)), CLV_XDP_PASS_STUN);
	tagged.vlan_tags = 1;
	check_answer(tagged, bare, sizeof(bare), 0, false);
}

static void a_source_has_a_bucket_of_its_own(void **state)
{
	struct frame_spec other4 = from4, other6 = from6;
	unsigned answered = 0;

	(void)state;
	need_root();
	/* A token an hour. */
	set_limit((struct clv_rate){ 3600 * CLV_BUCKET_SEC_NS, 20 * 3600 * CLV_BUCKET_SEC_NS });
	for (int i = 0; i < 30; i++) {
		enum clv_xdp_counter way = ask(from4, bare, sizeof(bare));

		assert_true(way == CLV_XDP_ANSWER_STUN || way == CLV_XDP_DROP_STUN_LIMIT);
		answered += way == CLV_XDP_ANSWER_STUN;
	}
	assert_int_equal(answered, 20);
	other4.src = "203.0.113.10";
	assert_int_equal(ask(other4, bare, sizeof(bare)), CLV_XDP_ANSWER_STUN);
	for (int i = 0; i < 20; i++)
		assert_int_equal(ask(from6, bare, sizeof(bare)), CLV_XDP_ANSWER_STUN);
	other6.src = "2001:db8:7::ffff"; /* of the same /64 */
	assert_int_equal(ask(other6, bare, sizeof(bare)), CLV_XDP_DROP_STUN_LIMIT);
	/* Handshakes do not pay for it. */
	assert_int_equal(ask(from4, (const uint8_t *)"\xc0\0\0\0\1", 5), CLV_XDP_PASS_LONG_HEADER);
}

static void only_clients_are_answered(void **state)
{
	(void)state;
	need_root();
	world_set_client(&group_world, "203.0.113.9", 32, CLV_VERDICT_DENY);
	assert_int_equal(ask(from4, bare, sizeof(bare)), CLV_XDP_DROP_CLIENT_ADDRESS);
	world_set_client(&group_world, "203.0.113.9", 32, CLV_VERDICT_ALLOW);
	assert_int_equal(ask(from4, bare, sizeof(bare)), CLV_XDP_ANSWER_STUN);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(name, reset)
	const struct CMUnitTest tests[] = {
		CASE(a_request_is_answered_with_the_address_it_came_from),
		CASE(a_fingerprint_is_answered_by_one),
		CASE(what_may_be_ignored_is_and_the_answer_may_be_shorter),
		CASE(tags_metadata_and_padding_are_no_matter),
		CASE(every_port_and_address_comes_back),
		CASE(anything_but_a_bare_request_is_dropped),
		CASE(nobody_is_answered_who_cannot_have_asked),
		CASE(a_connection_comes_first),
		CASE(an_ipv6_packet_is_not_answered_as_ipv4),
		CASE(what_is_not_stun_goes_where_it_went),
		CASE(a_link_that_cannot_send_back_leaves_it_to_control),
		CASE(a_source_has_a_bucket_of_its_own),
		CASE(only_clients_are_answered),
	};

	return cmocka_run_group_tests(tests, group_open, group_close);
}
