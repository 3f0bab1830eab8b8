/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A peer that breaks QUIC's rules inside an established connection: each breach ends in the
 * connection error that the RFC names, and the relay serves the next client as before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/clock.h"
#include "tests/loop/fixture.h"
#include "tests/loop/hostile.h"

enum { /* RFC 9000 section 20.1 */
       FLOW_CONTROL_ERROR = 0x03,
       STREAM_LIMIT_ERROR = 0x04,
       STREAM_STATE_ERROR = 0x05,
       FINAL_SIZE_ERROR = 0x06,
       FRAME_ENCODING_ERROR = 0x07,
       CONNECTION_ID_LIMIT_ERROR = 0x09,
       PROTOCOL_VIOLATION = 0x0a,
       CRYPTO_BUFFER_EXCEEDED = 0x0d,
       CRYPTO_ERROR = 0x0100, /* and a TLS alert in the low byte */
       UNEXPECTED_MESSAGE = 10,
};

/* Frames sent in one packet over a connection with a tunnel on stream 0. */
static const struct quic_case {
	const char *name;
	const char *frames; /* hexadecimal */
	uint64_t code;
	const char *section;
} cases[] = {
	{ "unknown frame type", "21", FRAME_ENCODING_ERROR, "RFC 9000 12.4" },
	{ "packet without frames", "", PROTOCOL_VIOLATION, "RFC 9000 12.4" },
	{ "STREAM cut in its ID", "0e 40", FRAME_ENCODING_ERROR, "RFC 9000 19.8" },
	{ "STREAM longer than its packet", "0e 04 00 05 ff", FRAME_ENCODING_ERROR,
	  "RFC 9000 19.8" },
	{ "STREAM past offset 2^62-1", "0e 04 ffffffffffffffff 01 00", FLOW_CONTROL_ERROR,
	  "RFC 9000 19.8: or FRAME_ENCODING_ERROR" },
	{ "STREAM on a stream only the relay sends on", "0a 03 01 00", STREAM_STATE_ERROR,
	  "RFC 9000 19.8" },
	{ "STREAM on a stream the relay never opened", "0a 01 01 00", STREAM_STATE_ERROR,
	  "RFC 9000 19.8" },
	{ "STREAM beyond MAX_STREAMS, bidirectional", "0a 80010000 01 00", STREAM_LIMIT_ERROR,
	  "RFC 9000 4.6" },
	{ "STREAM beyond MAX_STREAMS, unidirectional", "0a 4402 01 00", STREAM_LIMIT_ERROR,
	  "RFC 9000 4.6" },
	{ "STREAM beyond the stream's window", "0e 04 80100000 01 00", FLOW_CONTROL_ERROR,
	  "RFC 9000 4.1" },
	{ "RESET_STREAM beyond the stream's window", "04 04 00 80100000", FLOW_CONTROL_ERROR,
	  "RFC 9000 4.5" },
	{ "data beyond a final size", "0f 04 00 01 00 0e 04 05 01 00", FINAL_SIZE_ERROR,
	  "RFC 9000 4.5" },
	{ "a final size below what was sent", "0e 04 00 05 0040000000 04 04 00 02",
	  FINAL_SIZE_ERROR, "RFC 9000 4.5" },
	{ "a final size that changes", "04 04 00 05 04 04 00 06", FINAL_SIZE_ERROR,
	  "RFC 9000 4.5" },
	{ "RESET_STREAM on a stream only the relay sends on", "04 03 00 00", PROTOCOL_VIOLATION,
	  "RFC 9000 19.4, and 11 for a generic code" },
	{ "RESET_STREAM cut short", "04 04 00", FRAME_ENCODING_ERROR, "RFC 9000 19.4" },
	{ "STOP_SENDING on a stream only we send on", "05 02 00", STREAM_STATE_ERROR,
	  "RFC 9000 19.5" },
	{ "STOP_SENDING on a stream the relay never opened", "05 01 00", STREAM_STATE_ERROR,
	  "RFC 9000 19.5" },
	{ "MAX_STREAM_DATA on a stream only we send on", "11 02 00", STREAM_STATE_ERROR,
	  "RFC 9000 19.10" },
	{ "MAX_STREAM_DATA on a stream the relay never opened", "11 01 00", STREAM_STATE_ERROR,
	  "RFC 9000 19.10" },
	{ "STREAM_DATA_BLOCKED on a stream only the relay sends on", "15 03 00", STREAM_STATE_ERROR,
	  "RFC 9000 19.13" },
	{ "MAX_STREAMS above 2^60", "12 d000000000000001", FRAME_ENCODING_ERROR, "RFC 9000 19.11" },
	{ "STREAMS_BLOCKED above 2^60", "16 d000000000000001", FRAME_ENCODING_ERROR,
	  "RFC 9000 19.14" },
	{ "ACK of a packet never sent", "02 80100000 00 00 00", PROTOCOL_VIOLATION,
	  "RFC 9000 13.1" },
	{ "ACK range below packet number 0", "02 00 00 00 05", FRAME_ENCODING_ERROR,
	  "RFC 9000 19.3.1" },
	{ "ACK cut in its ranges", "02 05 00 03 00", FRAME_ENCODING_ERROR, "RFC 9000 19.3" },
	{ "NEW_TOKEN from a client", "07 01 00", PROTOCOL_VIOLATION, "RFC 9000 19.7" },
	{ "HANDSHAKE_DONE from a client", "1e", PROTOCOL_VIOLATION, "RFC 9000 19.20" },
	{ "NEW_CONNECTION_ID of no bytes", "18 01 00 00 000102030405060708090a0b0c0d0e0f",
	  FRAME_ENCODING_ERROR, "RFC 9000 19.15" },
	{ "NEW_CONNECTION_ID of 21 bytes",
	  "18 01 00 15 000102030405060708090a0b0c0d0e0f1011121314"
	  "000102030405060708090a0b0c0d0e0f",
	  FRAME_ENCODING_ERROR, "RFC 9000 19.15" },
	{ "NEW_CONNECTION_ID that retires itself",
	  "18 05 06 08 0001020304050607 000102030405060708090a0b0c0d0e0f", FRAME_ENCODING_ERROR,
	  "RFC 9000 19.15" },
	{ "one sequence number for two connection IDs",
	  "18 01 00 08 1011121314151617 000102030405060708090a0b0c0d0e0f", PROTOCOL_VIOLATION,
	  "RFC 9000 19.15" },
	{ "more connection IDs than active_connection_id_limit",
	  "18 09 00 08 0901020304050607 090102030405060708090a0b0c0d0e0f",
	  CONNECTION_ID_LIMIT_ERROR, "RFC 9000 5.1.1" },
	{ "RETIRE_CONNECTION_ID of one never issued", "19 40ff", PROTOCOL_VIOLATION,
	  "RFC 9000 19.16" },
	{ "RETIRE_CONNECTION_ID of the one in use", "19 00", PROTOCOL_VIOLATION, "RFC 9000 19.16" },
	{ "CRYPTO past what is buffered", "06 80100000 01 00", CRYPTO_BUFFER_EXCEEDED,
	  "RFC 9000 7.5" },
	{ "CRYPTO past offset 2^62-1", "06 ffffffffffffffff 01 00", FRAME_ENCODING_ERROR,
	  "RFC 9000 19.6" },
	{ "a TLS KeyUpdate", "06 00 05 1800000100", CRYPTO_ERROR | UNEXPECTED_MESSAGE,
	  "RFC 9001 6" },
	{ "PATH_CHALLENGE cut short", "1a 00010203", FRAME_ENCODING_ERROR, "RFC 9000 19.17" },
	{ "DATAGRAM longer than its packet", "31 05 00", FRAME_ENCODING_ERROR, "RFC 9221 4" },
	{ "CONNECTION_CLOSE with a reason longer than its packet", "1d 00 40ff 00",
	  FRAME_ENCODING_ERROR, "RFC 9000 19.19" },
};

/* Returns whether the connection was closed as it should be. */
static bool run_case(struct world *w, const struct quic_case *c)
{
	struct raw *r = hostile_peer(w, 0);
	struct raw_bytes b = { .len = 0 };
	bool ok;

	assert_true(raw_tunnel(r));
	put_hex(&b, c->frames);
	raw_send(r, b.bytes, b.len);
	raw_run(r, 200 * CLV_MSEC);
	ok = r->is_closed && !r->close_is_app && r->close_code == c->code;
	if (!ok)
		print_error("%s (%s): closed=%d app=%d code=0x%lx, not 0x%lx\n", c->name,
			    c->section, r->is_closed, r->close_is_app, (unsigned long)r->close_code,
			    (unsigned long)c->code);
	raw_run(r, 5 * CLV_SEC); /* the closing period */
	assert_int_equal(w->relay.egress_held, 0);
	hostile_peer_free(r);
	return ok;
}

static void test_each_breach_ends_in_the_error_the_rfc_names(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	unsigned failed = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		failed += !run_case(w, &cases[i]);
	assert_int_equal(failed, 0);
	hostile_assert_serves(w);
	world_free(w);
}

static void test_reserved_bits_are_a_protocol_violation(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	struct raw *r = hostile_peer(w, 0);

	(void)state;
	assert_true(raw_tunnel(r));
	r->first_bits = 0x18; /* RFC 9000 section 17.3.1 */
	raw_send(r, (const uint8_t[]){ 0x01 }, 1);
	raw_run(r, 200 * CLV_MSEC);
	assert_true(r->is_closed);
	assert_int_equal(r->close_code, PROTOCOL_VIOLATION);
	hostile_peer_free(r);
	world_free(w);
}

static void test_a_peer_that_forgot_connects_anew_from_the_same_port(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct raw *r = hostile_peer(w, 0);

		assert_true(raw_tunnel(r));
		hostile_peer_free(r);
	}
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_breach_ends_in_the_error_the_rfc_names),
		cmocka_unit_test(test_reserved_bits_are_a_protocol_violation),
		cmocka_unit_test(test_a_peer_that_forgot_connects_anew_from_the_same_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
