/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whose packets of no connection reach control when there is a list of clients. */
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/bpf/frame.h"
#include "tests/bpf/world.h"

#define LISTED	"203.0.113.200"
#define OTHER	"203.0.114.1"
#define LISTED6 "2001:db8:7::9"
#define OTHER6	"2001:db8:8::9"
#define INITIAL .first = 0xc3, .payload_len = 1200

static enum clv_xdp_counter send_frame(const struct frame_spec *spec)
{
	uint8_t frame[FRAME_MAX];
	size_t len = frame_build(spec, frame);
	struct outcome out;

	world_run(&group_world, frame, len, 0, &out);
	if (out.counted == CLV_XDP_DROP_CLIENT_ADDRESS)
		assert_int_equal(out.action, XDP_DROP);
	return out.counted;
}

static void without_rules_everybody_is_passed(void **state)
{
	(void)state;
	need_root();
	assert_int_equal(send_frame(&(struct frame_spec){ .src = OTHER, INITIAL }),
			 CLV_XDP_PASS_LONG_HEADER);
	assert_int_equal(send_frame(&(struct frame_spec){ .src = OTHER6, .dst = RELAY6, INITIAL }),
			 CLV_XDP_PASS_LONG_HEADER);
}

static void only_listed_addresses_reach_control(void **state)
{
	static const struct {
		const char *what;
		struct frame_spec in;
		enum clv_xdp_counter out;
	} cases[] = {
		{ "Initial, listed", { .src = LISTED, INITIAL }, CLV_XDP_PASS_LONG_HEADER },
		{ "Initial, not listed", { .src = OTHER, INITIAL }, CLV_XDP_DROP_CLIENT_ADDRESS },
		{ "Initial, denied inside the list",
		  { .src = "203.0.113.9", INITIAL },
		  CLV_XDP_DROP_CLIENT_ADDRESS },
		{ "Initial, IPv6, listed",
		  { .src = LISTED6, .dst = RELAY6, INITIAL },
		  CLV_XDP_PASS_LONG_HEADER },
		{ "Initial, IPv6, not listed",
		  { .src = OTHER6, .dst = RELAY6, INITIAL },
		  CLV_XDP_DROP_CLIENT_ADDRESS },
		{ "empty datagram, not listed",
		  { .src = OTHER, .payload_len = 0 },
		  CLV_XDP_DROP_CLIENT_ADDRESS },
		{ "unknown connection, listed",
		  { .src = LISTED, .first = 0x40, .cid = unknown_cid, .payload_len = 60 },
		  CLV_XDP_PASS_UNKNOWN_CID },
		{ "unknown connection, not listed",
		  { .src = OTHER, .first = 0x40, .cid = unknown_cid, .payload_len = 60 },
		  CLV_XDP_DROP_CLIENT_ADDRESS },
		{ "known connection that moved to where it may not begin",
		  { .src = OTHER, .first = 0x40, .cid = known_cid, .payload_len = 60 },
		  CLV_XDP_STEER_CONN },
		{ "target, not listed",
		  { .src = OTHER, .dport = PORT_OPEN, .payload_len = 9 },
		  CLV_XDP_STEER_UNCOMPRESSED },
		{ "the host's own, not listed",
		  { .src = OTHER, .dport = PORT_FOREIGN, .payload_len = 9 },
		  CLV_XDP_PASS_FOREIGN },
	};
	unsigned wrong = 0;

	(void)state;
	need_root();
	world_set_client(&group_world, "::", 0, CLV_VERDICT_DENY);
	world_set_client(&group_world, "203.0.113.0", 24, CLV_VERDICT_ALLOW);
	world_set_client(&group_world, "203.0.113.9", 32, CLV_VERDICT_DENY);
	world_set_client(&group_world, "2001:db8:7::", 48, CLV_VERDICT_ALLOW);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum clv_xdp_counter out = send_frame(&cases[i].in);

		if (out == cases[i].out)
			continue;
		print_error("%s: counter %u, not %u\n", cases[i].what, out, cases[i].out);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_rules_everybody_is_passed),
		cmocka_unit_test(only_listed_addresses_reach_control),
	};

	return cmocka_run_group_tests(tests, group_open, group_close);
}
