/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/bpf/frame.h"
#include "tests/bpf/world.h"

#define CONN .first = 0x40, .cid = known_cid, .payload_len = 60
#define IP6  .src = REMOTE6, .dst = RELAY6

/* The verdict of the program, and the action of the kernel. */
struct verdict {
	uint32_t action;
	enum clv_xdp_counter counted;
};
#define PASS(why) XDP_PASS, CLV_XDP_PASS_##why
#define DROP(why) XDP_DROP, CLV_XDP_DROP_##why
#define STEER(to) XDP_REDIRECT, CLV_XDP_STEER_##to

static const struct steer_case {
	const char *name;
	struct frame_spec in;
	struct verdict out;
} cases[] = {
	/* Link layer. */
	{ "ARP is the kernel's", { .ethertype = 0x0806 }, { PASS(NOT_IP) } },
	{ "IPv6 announced as PPPoE is not IP",
	  { IP6, .ethertype = 0x8864, CONN },
	  { PASS(NOT_IP) } },
	{ "no tag", { CONN }, { STEER(CONN) } },
	{ "one VLAN tag", { CONN, .vlan_tags = 1 }, { STEER(CONN) } },
	{ "two VLAN tags", { CONN, .vlan_tags = 2 }, { STEER(CONN) } },
	{ "three VLAN tags are more than we read", { CONN, .vlan_tags = 3 }, { PASS(NOT_IP) } },
	{ "one VLAN tag, IPv6", { IP6, CONN, .vlan_tags = 1 }, { STEER(CONN) } },
	{ "two VLAN tags, IPv6", { IP6, CONN, .vlan_tags = 2 }, { STEER(CONN) } },
	{ "three VLAN tags, IPv6", { IP6, CONN, .vlan_tags = 3 }, { PASS(NOT_IP) } },

	/* IPv4. */
	{ "one word of IPv4 options", { CONN, .ihl = 6 }, { PASS(OPTIONS) } },
	{ "ten words of IPv4 options", { CONN, .ihl = 15 }, { PASS(OPTIONS) } },
	{ "first fragment", { CONN, .frag = 0x2000 }, { PASS(FRAGMENT) } },
	{ "middle fragment", { CONN, .frag = 0x2000 | 185 }, { PASS(FRAGMENT) } },
	{ "last fragment", { CONN, .frag = 185 }, { PASS(FRAGMENT) } },
	{ "last fragment at the largest offset", { CONN, .frag = 0x1fff }, { PASS(FRAGMENT) } },
	{ "Don't Fragment is no fragment", { CONN, .frag = 0x4000 }, { STEER(CONN) } },
	{ "the reserved flag is no fragment", { CONN, .frag = 0x8000 }, { STEER(CONN) } },
	{ "ssh to the relay's address",
	  { .proto = 6, .dport = 22, .payload_len = 40 },
	  { PASS(NOT_UDP) } },
	{ "TCP to the relay's QUIC port", { .proto = 6, CONN }, { PASS(NOT_UDP) } },
	{ "ICMP", { .proto = 1, .payload_len = 56 }, { PASS(NOT_UDP) } },
	{ "IPv4 header of four words", { CONN, .ihl = 4 }, { PASS(MALFORMED) } },
	{ "IPv4 header of one word", { CONN, .ihl = 1 }, { PASS(MALFORMED) } },
	{ "version 6 in an IPv4 frame", { CONN, .version = 6 }, { PASS(MALFORMED) } },
	{ "IPv4 length one beyond the frame", { CONN, .ip_len_off = 1 }, { PASS(MALFORMED) } },
	{ "IPv4 length far beyond the frame", { CONN, .ip_len_off = 60000 }, { PASS(MALFORMED) } },
	{ "IPv4 length below its own header", { CONN, .ip_len_off = -69 }, { PASS(MALFORMED) } },
	{ "IPv4 length zero", { CONN, .ip_len_off = -88 }, { PASS(MALFORMED) } },
	{ "IPv4 length cuts the UDP length", { CONN, .ip_len_off = -1 }, { PASS(MALFORMED) } },
	{ "fragment with a wrong length is malformed first",
	  { CONN, .frag = 0x2000, .ip_len_off = 1 },
	  { PASS(MALFORMED) } },

	/* IPv6. */
	{ "hop-by-hop options", { IP6, CONN, .extension = FRAME_HOP_BY_HOP }, { PASS(OPTIONS) } },
	{ "routing header", { IP6, CONN, .extension = 43 }, { PASS(OPTIONS) } },
	{ "destination options", { IP6, CONN, .extension = 60 }, { PASS(OPTIONS) } },
	{ "authentication header", { IP6, CONN, .extension = 51 }, { PASS(OPTIONS) } },
	{ "mobility header", { IP6, CONN, .extension = 135 }, { PASS(OPTIONS) } },
	{ "fragment header", { IP6, CONN, .extension = 44 }, { PASS(FRAGMENT) } },
	{ "TCP over IPv6", { IP6, CONN, .proto = 6 }, { PASS(NOT_UDP) } },
	{ "neighbour discovery", { IP6, .proto = 58, .payload_len = 24 }, { PASS(NOT_UDP) } },
	{ "no next header", { IP6, .proto = 59 }, { PASS(NOT_UDP) } },
	{ "version 4 in an IPv6 frame", { IP6, CONN, .version = 4 }, { PASS(MALFORMED) } },
	{ "IPv6 length one beyond the frame", { IP6, CONN, .ip_len_off = 1 }, { PASS(MALFORMED) } },
	{ "IPv6 length cuts the UDP length", { IP6, CONN, .ip_len_off = -1 }, { PASS(MALFORMED) } },
	{ "IPv6 length zero, as jumbograms have",
	  { IP6, CONN, .ip_len_off = -68 },
	  { PASS(MALFORMED) } },

	/* UDP. */
	{ "UDP length one beyond the IP length", { CONN, .udp_len_off = 1 }, { PASS(MALFORMED) } },
	{ "UDP length beyond the IP length, into padding",
	  { CONN, .udp_len_off = 4, .padding = 20 },
	  { PASS(MALFORMED) } },
	{ "UDP length below its own header", { CONN, .udp_len_off = -61 }, { PASS(MALFORMED) } },
	{ "UDP length zero", { CONN, .udp_len_off = -68 }, { PASS(MALFORMED) } },
	{ "UDP length zero over IPv6", { IP6, CONN, .udp_len_off = -68 }, { PASS(MALFORMED) } },
	{ "UDP length below the IP length is legal", { CONN, .udp_len_off = -20 }, { STEER(CONN) } },
	{ "UDP header cut off by the IP length",
	  { .payload_len = 0, .ip_len_off = -1, .padding = 10 },
	  { PASS(MALFORMED) } },

	/* QUIC. */
	{ "Initial", { .first = 0xc3, .payload_len = 1200 }, { PASS(LONG_HEADER) } },
	{ "Initial over IPv6", { IP6, .first = 0xc3, .payload_len = 1200 }, { PASS(LONG_HEADER) } },
	{ "long header with a known connection ID where a short one has it",
	  { .first = 0x80, .cid = known_cid, .payload_len = 60 },
	  { PASS(LONG_HEADER) } },
	{ "long header of one byte", { .first = 0xff, .payload_len = 1 }, { PASS(LONG_HEADER) } },
	{ "empty datagram to the QUIC port", { .payload_len = 0 }, { PASS(LONG_HEADER) } },
	{ "empty datagram in Ethernet padding",
	  { .payload_len = 0, .padding = 18 },
	  { PASS(LONG_HEADER) } },
	{ "known connection", { CONN }, { STEER(CONN) } },
	{ "known connection over IPv6", { IP6, CONN }, { STEER(CONN) } },
	{ "known connection from a new address",
	  { CONN, .src = "203.0.113.99", .sport = 1 },
	  { STEER(CONN) } },
	{ "known connection, Fixed Bit greased",
	  { .first = 0x00, .cid = known_cid, .payload_len = 60 },
	  { STEER(CONN) } },
	{ "known connection, every bit set that the peer may set",
	  { .first = 0x7f, .cid = known_cid, .payload_len = 60 },
	  { STEER(CONN) } },
	{ "known connection from a denied address: policy is about targets",
	  { CONN, .src = "10.2.3.4" },
	  { STEER(CONN) } },
	{ "short header of nine bytes, the least",
	  { .first = 0x40, .cid = known_cid, .payload_len = 9 },
	  { STEER(CONN) } },
	{ "short header of eight bytes",
	  { .first = 0x40, .cid = known_cid, .payload_len = 8 },
	  { PASS(UNKNOWN_CID) } },
	{ "connection ID that ends in padding is no connection ID",
	  { .first = 0x40, .cid = known_cid, .payload_len = 60, .udp_len_off = -52 },
	  { PASS(UNKNOWN_CID) } },
	{ "short header of one byte", { .first = 0x40, .payload_len = 1 }, { PASS(UNKNOWN_CID) } },
	{ "connection ID of nobody, one bit off",
	  { .first = 0x40, .cid = unknown_cid, .payload_len = 60 },
	  { PASS(UNKNOWN_CID) } },
	{ "known connection ID at a port of a tunnel is payload",
	  { CONN, .dport = PORT_OPEN },
	  { STEER(UNCOMPRESSED) } },
	{ "known connection ID at a foreign port is nobody's business",
	  { CONN, .dport = PORT_FOREIGN },
	  { PASS(FOREIGN) } },
	{ "QUIC port of an address that does not listen",
	  { CONN, .dst = "198.51.100.2" },
	  { PASS(FOREIGN) } },

	/* Targets. */
	{ "remote with a context",
	  { .dport = PORT_CLOSED, .payload_len = 100 },
	  { STEER(CONTEXT) } },
	{ "remote with a context, IPv6",
	  { IP6, .dport = PORT_CLOSED, .payload_len = 100 },
	  { STEER(CONTEXT) } },
	{ "remote with a context, two tags",
	  { .dport = PORT_CLOSED, .payload_len = 100, .vlan_tags = 2 },
	  { STEER(CONTEXT) } },
	{ "remote with a context, empty datagram", { .dport = PORT_CLOSED }, { STEER(CONTEXT) } },
	{ "remote with a context needs no binding",
	  { .dport = PORT_UNBOUND, .payload_len = 9 },
	  { STEER(CONTEXT) } },
	{ "remote with a context, another port of it",
	  { .dport = PORT_CLOSED, .sport = 7001, .payload_len = 9 },
	  { PASS(UNKNOWN_REMOTE) } },
	{ "unknown remote at a closed port",
	  { .dport = PORT_CLOSED, .src = "203.0.113.8", .payload_len = 9 },
	  { PASS(UNKNOWN_REMOTE) } },
	{ "unknown remote at a closed port, IPv6",
	  { .dst = RELAY6, .src = "2001:db8:7::8", .dport = PORT_CLOSED, .payload_len = 9 },
	  { PASS(UNKNOWN_REMOTE) } },
	{ "denied remote at a closed port is unknown first",
	  { .dport = PORT_CLOSED, .src = "10.9.9.9", .payload_len = 9 },
	  { PASS(UNKNOWN_REMOTE) } },
	{ "any remote at an open port",
	  { .dport = PORT_OPEN, .payload_len = 9 },
	  { STEER(UNCOMPRESSED) } },
	{ "any remote at an open port, IPv6",
	  { IP6, .dport = PORT_OPEN, .payload_len = 9 },
	  { STEER(UNCOMPRESSED) } },
	{ "remote with a context at an open port comes by its context",
	  { .dport = PORT_OPEN, .sport = 7002, .payload_len = 9 },
	  { STEER(CONTEXT) } },
	{ "remote with a context at an open port comes by its context, IPv6",
	  { IP6, .dport = PORT_OPEN, .sport = 7002, .payload_len = 9 },
	  { STEER(CONTEXT) } },
	{ "remote with a context at one port has none at another",
	  { .dport = PORT_CLOSED, .sport = 7002, .payload_len = 9 },
	  { PASS(UNKNOWN_REMOTE) } },
	{ "long header at an open port is payload",
	  { .dport = PORT_OPEN, .first = 0xc0, .payload_len = 1200 },
	  { STEER(UNCOMPRESSED) } },

	/* Policy. */
	{ "denied remote at an open port",
	  { .dport = PORT_OPEN, .src = "10.2.3.4", .payload_len = 9 },
	  { PASS(DENIED) } },
	{ "last address of the denied prefix",
	  { .dport = PORT_OPEN, .src = "10.255.255.255", .payload_len = 9 },
	  { PASS(DENIED) } },
	{ "first address after the denied prefix",
	  { .dport = PORT_OPEN, .src = "11.0.0.0", .payload_len = 9 },
	  { STEER(UNCOMPRESSED) } },
	{ "allowed inside denied",
	  { .dport = PORT_OPEN, .src = "10.1.3.4", .payload_len = 9 },
	  { STEER(UNCOMPRESSED) } },
	{ "denied remote at an open port, IPv6",
	  { .dst = RELAY6, .src = "2001:db8:dead::1", .dport = PORT_OPEN, .payload_len = 9 },
	  { PASS(DENIED) } },
	{ "allowed inside denied, IPv6",
	  { .dst = RELAY6, .src = "2001:db8:dead:1::1", .dport = PORT_OPEN, .payload_len = 9 },
	  { STEER(UNCOMPRESSED) } },
	{ "denied remote that a tunnel has a context for",
	  { .dport = PORT_CLOSED, .src = "10.2.3.4", .payload_len = 9 },
	  { DROP(DENIED) } },

	/* The host's own. */
	{ "DNS reply to an ephemeral port",
	  { .sport = 53, .dport = PORT_FOREIGN, .payload_len = 120 },
	  { PASS(FOREIGN) } },
	{ "DNS reply to an ephemeral port, IPv6",
	  { IP6, .sport = 53, .dport = PORT_FOREIGN, .payload_len = 120 },
	  { PASS(FOREIGN) } },
	{ "DHCP broadcast",
	  { .src = "0.0.0.0",
	    .dst = "255.255.255.255",
	    .sport = 68,
	    .dport = 67,
	    .payload_len = 300 },
	  { PASS(FOREIGN) } },
	{ "denied addresses are policy of the relay, not of the host",
	  { .src = "10.2.3.4", .dport = PORT_FOREIGN, .payload_len = 9 },
	  { PASS(FOREIGN) } },
	{ "another host's address, tunnel's port number",
	  { .dst = "198.51.100.2", .dport = PORT_OPEN, .payload_len = 9 },
	  { PASS(FOREIGN) } },

	/* Checksum zero. */
	{ "IPv4 without checksum, QUIC", { CONN, .no_checksum = true }, { STEER(CONN) } },
	{ "IPv4 without checksum, target",
	  { .dport = PORT_CLOSED, .payload_len = 9, .no_checksum = true },
	  { STEER(CONTEXT) } },
	{ "IPv6 without checksum, QUIC",
	  { IP6, CONN, .no_checksum = true },
	  { DROP(ZERO_CHECKSUM6) } },
	{ "IPv6 without checksum, long header",
	  { IP6, .first = 0xc0, .payload_len = 1200, .no_checksum = true },
	  { DROP(ZERO_CHECKSUM6) } },
	{ "IPv6 without checksum, context",
	  { IP6, .dport = PORT_CLOSED, .payload_len = 9, .no_checksum = true },
	  { DROP(ZERO_CHECKSUM6) } },
	{ "IPv6 without checksum, closed port",
	  { IP6, .dport = PORT_CLOSED, .sport = 1, .payload_len = 9, .no_checksum = true },
	  { PASS(UNKNOWN_REMOTE) } },
	{ "IPv6 without checksum, open port",
	  { IP6, .dport = PORT_OPEN, .payload_len = 9, .no_checksum = true },
	  { DROP(ZERO_CHECKSUM6) } },
	{ "IPv6 without checksum, foreign port",
	  { IP6, .dport = PORT_FOREIGN, .payload_len = 9, .no_checksum = true },
	  { PASS(FOREIGN) } },
};
#define N_CASES (sizeof(cases) / sizeof(cases[0]))

static bool is_verdict(const struct outcome *got, const struct verdict *want)
{
	return got->action == want->action && got->counted == want->counted;
}

static void every_frame_leaves_as_the_table_says(void **state)
{
	unsigned wrong = 0;

	(void)state;
	need_root();
	for (size_t i = 0; i < N_CASES; i++) {
		uint8_t frame[FRAME_MAX];
		size_t len = frame_build(&cases[i].in, frame);
		struct outcome out;

		world_run(&group_world, frame, len, 0, &out);
		if (is_verdict(&out, &cases[i].out))
			continue;
		print_error("%s: action %u counter %u, not %u and %u\n", cases[i].name, out.action,
			    out.counted, cases[i].out.action, cases[i].out.counted);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

/* The kernel runs no frame below an Ethernet header, so cuts begin after it. */
static void a_frame_cut_anywhere_is_malformed_until_its_ip_packet_is_whole(void **state)
{
	unsigned wrong = 0;

	(void)state;
	need_root();
	for (size_t i = 0; i < N_CASES; i++) {
		const struct steer_case *c = &cases[i];
		uint8_t frame[FRAME_MAX];
		size_t len = frame_build(&c->in, frame), whole = len - c->in.padding;

		if (c->out.counted == CLV_XDP_PASS_NOT_IP) /* decided by what is in front of IP */
			whole = 14 + 4 * (c->in.vlan_tags < 2 ? c->in.vlan_tags : 2);
		for (size_t cut = 14; cut < len; cut++) {
			struct verdict want = { PASS(MALFORMED) };
			struct outcome out;

			if (cut >= whole)
				want = c->out;
			world_run(&group_world, frame, cut, 0, &out);
			if (is_verdict(&out, &want))
				continue;
			print_error("%s, cut to %zu of %zu: action %u counter %u\n", c->name, cut,
				    len, out.action, out.counted);
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
}

/* world_run asserts what must hold: one verdict, the right bytes.  Same seed, same frames. */
static void no_mutated_frame_is_lost_or_counted_twice(void **state)
{
	uint32_t random = 2463534242u;

	(void)state;
	need_root();
	for (unsigned round = 0; round < 20000; round++) {
		uint8_t frame[FRAME_MAX];
		size_t len = frame_build(&cases[round % N_CASES].in, frame);
		struct outcome out;

		for (unsigned flips = 0; flips <= round % 4; flips++) {
			random ^= random << 13;
			random ^= random >> 17;
			random ^= random << 5;
			frame[12 + random % (len < 76 ? len - 12 : 64)] ^= (uint8_t)(random >> 24);
		}
		world_run(&group_world, frame, len, 0, &out);
		assert_true(out.action == XDP_PASS || out.action == XDP_DROP ||
			    out.action == XDP_REDIRECT);
	}
}

static void passed_and_dropped_frames_are_untouched(void **state)
{
	(void)state;
	need_root();
	for (size_t i = 0; i < N_CASES; i++) {
		uint8_t frame[FRAME_MAX];
		size_t len = frame_build(&cases[i].in, frame);
		struct outcome out;

		if (cases[i].out.action == XDP_REDIRECT)
			continue;
		world_run(&group_world, frame, len, 12, &out);
		assert_int_equal(out.meta_len, 12);
		assert_int_equal(out.frame_len, len);
		assert_memory_equal(out.frame, frame, len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_frame_leaves_as_the_table_says),
		cmocka_unit_test(a_frame_cut_anywhere_is_malformed_until_its_ip_packet_is_whole),
		cmocka_unit_test(no_mutated_frame_is_lost_or_counted_twice),
		cmocka_unit_test(passed_and_dropped_frames_are_untouched),
	};

	return cmocka_run_group_tests(tests, group_open, group_close);
}
