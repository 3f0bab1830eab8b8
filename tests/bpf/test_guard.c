/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How many packets of no connection a source, and its prefix, may send to control. */
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bpf/guard.h"
#include "tests/bpf/frame.h"
#include "tests/bpf/world.h"

#define PAYLOAD 1200

static struct clv_rate rate(uint32_t per_sec, uint32_t burst)
{
	return clv_rate_of(per_sec, burst);
}

/* A token an hour. */
static struct clv_rate slow(uint32_t burst)
{
	return (struct clv_rate){ 3600 * CLV_BUCKET_SEC_NS, 3600 * CLV_BUCKET_SEC_NS * burst };
}

static void set_limits(struct clv_rate host, struct clv_rate net)
{
	const struct clv_guard_limits limits = { .host = host, .net = net };
	const uint32_t zero = 0;
	struct clv_guard_key key;
	int fd = bpf_map__fd(group_world.skel->maps.guard);

	while (bpf_map_get_next_key(fd, NULL, &key) == 0)
		assert_int_equal(bpf_map_delete_elem(fd, &key), 0);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(group_world.skel->maps.guard_limits),
					     &zero, &limits, BPF_ANY),
			 0);
}

/* version 0: none written. */
static enum clv_xdp_counter send_packet(const char *src, const char *dst, uint8_t first,
					uint32_t version)
{
	const struct frame_spec spec = {
		.src = src, .dst = dst, .first = first, .payload_len = PAYLOAD
	};
	const uint8_t wire[4] = { version >> 24, version >> 16, version >> 8, version };
	uint8_t frame[FRAME_MAX];
	size_t len = frame_build(&spec, frame);
	struct outcome out;

	if (version)
		memcpy(frame + frame_payload_at(&spec) + 1, wire, sizeof(wire));
	world_run(&group_world, frame, len, 0, &out);
	assert_int_equal(out.action, out.counted == CLV_XDP_DROP_GUARD ? XDP_DROP : XDP_PASS);
	return out.counted;
}

static enum clv_xdp_counter initial4(const char *src)
{
	return send_packet(src, "198.51.100.1", 0xc0, 1);
}

static enum clv_xdp_counter initial6(const char *src)
{
	return send_packet(src, RELAY6, 0xc0, 1);
}

/* How many of so many were passed to control. */
static unsigned passed(enum clv_xdp_counter (*fn)(const char *), const char *src, unsigned n)
{
	unsigned up = 0;

	while (n--)
		up += fn(src) == CLV_XDP_PASS_LONG_HEADER;
	return up;
}

static void without_limits_everything_goes_up_and_nothing_is_remembered(void **state)
{
	struct clv_guard_key key;

	(void)state;
	need_root();
	set_limits(rate(0, 1), rate(0, 1));
	assert_int_equal(passed(initial4, "203.0.113.7", 50), 50);
	assert_int_not_equal(
		bpf_map_get_next_key(bpf_map__fd(group_world.skel->maps.guard), NULL, &key), 0);
}

static void an_ipv4_address_has_its_burst_and_no_more(void **state)
{
	(void)state;
	need_root();
	set_limits(slow(3), rate(0, 1));
	assert_int_equal(passed(initial4, "203.0.113.7", 10), 3);
	assert_int_equal(passed(initial4, "203.0.113.8", 10), 3);
}

static void an_ipv4_24_shares_a_wider_one(void **state)
{
	(void)state;
	need_root();
	set_limits(slow(3), slow(5));
	assert_int_equal(passed(initial4, "203.0.113.7", 10), 3);
	assert_int_equal(passed(initial4, "203.0.113.200", 10), 2);
	assert_int_equal(passed(initial4, "203.0.114.7", 10), 3);
}

static void ipv6_shares_by_64_and_by_48(void **state)
{
	(void)state;
	need_root();
	set_limits(slow(3), slow(5));
	assert_int_equal(passed(initial6, "2001:db8:7:1::1", 2), 2);
	assert_int_equal(passed(initial6, "2001:db8:7:1:ffff::2", 10), 1); /* of the same /64 */
	assert_int_equal(passed(initial6, "2001:db8:7:2::1", 10), 2);	   /* of the same /48 */
	assert_int_equal(passed(initial6, "2001:db8:8:1::1", 10), 3);
}

static void tokens_come_back_with_time(void **state)
{
	struct clv_guard_key key;
	uint64_t full_ns;
	int fd;

	(void)state;
	need_root();
	set_limits(slow(3), rate(0, 1));
	fd = bpf_map__fd(group_world.skel->maps.guard);
	assert_int_equal(passed(initial4, "203.0.113.7", 10), 3);
	/* as if two hours had passed */
	assert_int_equal(bpf_map_get_next_key(fd, NULL, &key), 0);
	assert_int_equal(bpf_map_lookup_elem(fd, &key, &full_ns), 0);
	full_ns -= 2 * 3600 * CLV_BUCKET_SEC_NS;
	assert_int_equal(bpf_map_update_elem(fd, &key, &full_ns, BPF_EXIST), 0);
	assert_int_equal(passed(initial4, "203.0.113.7", 10), 2);
}

static void each_kind_has_buckets_of_its_own(void **state)
{
	static const struct {
		const char *what;
		uint8_t first;
		uint32_t version;
		bool initial;
	} cases[] = {
		{ "Initial, version 1", 0xc0, 1, true },
		{ "Initial, version 2", 0xd0, 0x6b3343cf, true },
		{ "unknown version", 0xf0, 0x1a2a3a4a, true },
		{ "0-RTT, version 1", 0xd0, 1, false },
		{ "Handshake, version 1", 0xe0, 1, false },
		{ "Retry, version 2", 0xc0, 0x6b3343cf, false },
		{ "short header", 0x40, 0, false },
	};
	const struct clv_guard_limits one = { .host = slow(1) };

	(void)state;
	need_root();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum clv_xdp_counter initial, unknown;

		set_limits(one.host, one.net);
		assert_int_not_equal(send_packet("203.0.113.7", "198.51.100.1", cases[i].first,
						 cases[i].version),
				     CLV_XDP_DROP_GUARD);
		initial = initial4("203.0.113.7");
		unknown = send_packet("203.0.113.7", "198.51.100.1", 0x40, 0);
		if ((initial == CLV_XDP_DROP_GUARD) != cases[i].initial ||
		    (unknown == CLV_XDP_DROP_GUARD) == cases[i].initial)
			fail_msg("%s is of the wrong kind", cases[i].what);
	}
}

static void packets_of_connections_and_of_tunnels_are_never_charged(void **state)
{
	static const struct frame_spec known[] = {
		{ .first = 0x40, .cid = known_cid, .payload_len = 60 },
		{ .dport = PORT_CLOSED, .payload_len = 60 },
		{ .dport = PORT_OPEN, .payload_len = 60 },
		{ .dport = PORT_FOREIGN, .payload_len = 60 },
	};
	struct clv_guard_key key;

	(void)state;
	need_root();
	set_limits(slow(1), slow(1));
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		uint8_t frame[FRAME_MAX];
		size_t len = frame_build(&known[i], frame);
		struct outcome out;

		for (int n = 0; n < 20; n++) {
			world_run(&group_world, frame, len, 0, &out);
			assert_int_not_equal(out.counted, CLV_XDP_DROP_GUARD);
		}
	}
	assert_int_not_equal(
		bpf_map_get_next_key(bpf_map__fd(group_world.skel->maps.guard), NULL, &key), 0);
}

/* All clients of a carrier's NAT reconnect at once: 250 addresses, 8 Initials each. */
static void a_24_of_honest_clients_is_let_in_by_the_defaults(void **state)
{
	char src[32];

	(void)state;
	need_root();
	set_limits(rate(500, 2000), rate(4000, 16000));
	for (unsigned host = 1; host <= 250; host++) {
		snprintf(src, sizeof(src), "203.0.113.%u", host);
		assert_int_equal(passed(initial4, src, 8), 8);
	}
	assert_int_equal(passed(initial4, "203.0.113.251", 1900),
			 1900); /* and many clients at one address */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_limits_everything_goes_up_and_nothing_is_remembered),
		cmocka_unit_test(an_ipv4_address_has_its_burst_and_no_more),
		cmocka_unit_test(an_ipv4_24_shares_a_wider_one),
		cmocka_unit_test(ipv6_shares_by_64_and_by_48),
		cmocka_unit_test(tokens_come_back_with_time),
		cmocka_unit_test(each_kind_has_buckets_of_its_own),
		cmocka_unit_test(packets_of_connections_and_of_tunnels_are_never_charged),
		cmocka_unit_test(a_24_of_honest_clients_is_let_in_by_the_defaults),
	};

	return cmocka_run_group_tests(tests, group_open, group_close);
}
