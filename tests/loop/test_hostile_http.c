/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A peer that breaks the rules of HTTP/3 and QPACK: each breach ends in the connection or stream error
 * that the RFC names, and the relay serves the next client.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/clock.h"
#include "datapath/base/varint.h"
#include "datapath/quic/h3_code.h"
#include "tests/loop/fixture.h"
#include "tests/loop/hostile.h"

enum {
	QPACK_DECOMPRESSION_FAILED = 0x0200,
	QPACK_ENCODER_STREAM_ERROR = 0x0201,
	QPACK_DECODER_STREAM_ERROR = 0x0202,

	CONTROL = 2,
	ENCODER = 6,
	DECODER = 10,
	TUNNEL = 0,
	REQUEST = 4,
};

/* ---- what breaks the connection ---- */

enum start {
	NO_STREAMS,   /* no stream is open yet */
	WITH_CONTROL, /* control stream and SETTINGS */
	WITH_TUNNEL,  /* QPACK streams too, and a tunnel on stream 0 */
};

static const struct conn_case {
	const char *name;
	enum start start;
	int64_t stream;
	const char *bytes; /* hexadecimal */
	bool fin;
	uint64_t code;
	const char *section;
} conn_cases[] = {
	{ "HEADERS on the control stream", WITH_TUNNEL, CONTROL, "01 00", false,
	  CLV_H3_FRAME_UNEXPECTED, "RFC 9114 7.2.2" },
	{ "DATA on the control stream", WITH_TUNNEL, CONTROL, "00 00", false,
	  CLV_H3_FRAME_UNEXPECTED, "RFC 9114 7.2.1" },
	{ "SETTINGS twice", WITH_TUNNEL, CONTROL, "04 00", false, CLV_H3_FRAME_UNEXPECTED,
	  "RFC 9114 7.2.4" },
	{ "PUSH_PROMISE from a client", WITH_TUNNEL, CONTROL, "05 01 00", false,
	  CLV_H3_FRAME_UNEXPECTED, "RFC 9114 7.2.5" },
	{ "HTTP/2's PRIORITY", WITH_TUNNEL, CONTROL, "02 00", false, CLV_H3_FRAME_UNEXPECTED,
	  "RFC 9114 7.2.8" },
	{ "HTTP/2's PING", WITH_TUNNEL, CONTROL, "06 00", false, CLV_H3_FRAME_UNEXPECTED,
	  "RFC 9114 7.2.8" },
	{ "HTTP/2's WINDOW_UPDATE", WITH_TUNNEL, CONTROL, "08 00", false, CLV_H3_FRAME_UNEXPECTED,
	  "RFC 9114 7.2.8" },
	{ "HTTP/2's CONTINUATION", WITH_TUNNEL, CONTROL, "09 00", false, CLV_H3_FRAME_UNEXPECTED,
	  "RFC 9114 7.2.8" },
	{ "CANCEL_PUSH of a push never promised", WITH_TUNNEL, CONTROL, "03 01 00", false,
	  CLV_H3_FRAME_UNEXPECTED, "RFC 9114 7.2.3: or H3_ID_ERROR" },
	{ "MAX_PUSH_ID that goes down", WITH_TUNNEL, CONTROL, "0d 01 05 0d 01 04", false,
	  CLV_H3_FRAME_ERROR, "RFC 9114 7.2.7: or H3_ID_ERROR" },
	{ "GOAWAY that goes up", WITH_TUNNEL, CONTROL, "07 01 04 07 01 08", false, CLV_H3_ID_ERROR,
	  "RFC 9114 7.2.6" },
	{ "MAX_PUSH_ID cut in its ID", WITH_TUNNEL, CONTROL, "0d 01 40", false, CLV_H3_FRAME_ERROR,
	  "RFC 9114 7.1" },
	{ "the control stream ends", WITH_TUNNEL, CONTROL, "", true, CLV_H3_CLOSED_CRITICAL_STREAM,
	  "RFC 9114 6.2.1" },
	{ "the encoder stream ends", WITH_TUNNEL, ENCODER, "", true, CLV_H3_CLOSED_CRITICAL_STREAM,
	  "RFC 9204 4.2" },
	{ "no SETTINGS first", NO_STREAMS, CONTROL, "00 0d 01 00", false, CLV_H3_MISSING_SETTINGS,
	  "RFC 9114 6.2.1" },
	{ "H3_DATAGRAM=2", NO_STREAMS, CONTROL, "00 04 02 33 02", false, CLV_H3_SETTINGS_ERROR,
	  "RFC 9297 2.1.1" },
	{ "a setting of HTTP/2", NO_STREAMS, CONTROL, "00 04 02 02 00", false,
	  CLV_H3_SETTINGS_ERROR, "RFC 9114 7.2.4.1" },
	{ "SETTINGS cut in a value", NO_STREAMS, CONTROL, "00 04 01 33", false, CLV_H3_FRAME_ERROR,
	  "RFC 9114 7.1" },
	{ "a second control stream", WITH_CONTROL, ENCODER, "00", false,
	  CLV_H3_STREAM_CREATION_ERROR, "RFC 9114 6.2.1" },
	{ "a push stream from a client", WITH_CONTROL, ENCODER, "01 00", false,
	  CLV_H3_STREAM_CREATION_ERROR, "RFC 9114 6.2.2" },
	{ "DATA before HEADERS", WITH_TUNNEL, REQUEST, "00 00", false, CLV_H3_FRAME_UNEXPECTED,
	  "RFC 9114 4.1" },
	{ "SETTINGS on a request stream", WITH_TUNNEL, REQUEST, "04 00", false,
	  CLV_H3_FRAME_UNEXPECTED, "RFC 9114 7.2.4" },
	{ "MAX_PUSH_ID on a request stream", WITH_TUNNEL, REQUEST, "0d 01 00", false,
	  CLV_H3_FRAME_UNEXPECTED, "RFC 9114 7.2.7" },
	{ "GOAWAY on a request stream", WITH_TUNNEL, REQUEST, "07 01 00", false,
	  CLV_H3_FRAME_UNEXPECTED, "RFC 9114 7.2.6" },
	{ "CANCEL_PUSH on a request stream", WITH_TUNNEL, REQUEST, "03 01 00", false,
	  CLV_H3_FRAME_UNEXPECTED, "RFC 9114 7.2.3" },
	{ "PUSH_PROMISE on a request stream", WITH_TUNNEL, REQUEST, "05 01 00", false,
	  CLV_H3_FRAME_UNEXPECTED, "RFC 9114 7.2.5" },
	{ "HEADERS cut by the stream's end", WITH_TUNNEL, REQUEST, "01 05 00", true,
	  CLV_H3_FRAME_ERROR, "RFC 9114 7.1" },
	{ "HEADERS inside a tunnel", WITH_TUNNEL, TUNNEL, "01 04 00 00 d1 d7", false,
	  CLV_H3_FRAME_UNEXPECTED, "RFC 9114 4.4" },
	{ "SETTINGS inside a tunnel", WITH_TUNNEL, TUNNEL, "04 00", false, CLV_H3_FRAME_UNEXPECTED,
	  "RFC 9114 4.4" },
	{ "PUSH_PROMISE inside a tunnel", WITH_TUNNEL, TUNNEL, "05 01 00", false,
	  CLV_H3_FRAME_UNEXPECTED, "RFC 9114 4.4" },
	{ "a field of a dynamic table that is none", WITH_TUNNEL, REQUEST, "01 03 02 00 80", false,
	  QPACK_DECOMPRESSION_FAILED, "RFC 9204 4.5.1.1" },
	{ "a field past the static table", WITH_TUNNEL, REQUEST, "01 04 00 00 ff 40", false,
	  QPACK_DECOMPRESSION_FAILED, "RFC 9204 3.1" },
	{ "a Huffman code that ends badly", WITH_TUNNEL, REQUEST, "01 06 00 00 29 00 81 00", false,
	  QPACK_DECOMPRESSION_FAILED, "RFC 9204 4.1.2" },
	{ "a dynamic table larger than allowed", WITH_TUNNEL, ENCODER, "3f e1 1f", false,
	  QPACK_ENCODER_STREAM_ERROR, "RFC 9204 4.3.1" },
	{ "an insertion into no table", WITH_TUNNEL, ENCODER, "c0 01 61", false,
	  QPACK_ENCODER_STREAM_ERROR, "RFC 9204 3.2.2" },
	{ "Insert Count Increment of 0", WITH_TUNNEL, DECODER, "00", false,
	  QPACK_DECODER_STREAM_ERROR, "RFC 9204 4.4.3" },
	{ "Insert Count Increment past what was sent", WITH_TUNNEL, DECODER, "01", false,
	  QPACK_DECODER_STREAM_ERROR, "RFC 9204 4.4.3" },
	{ "Section Acknowledgment of a section without references", WITH_TUNNEL, DECODER, "84",
	  false, QPACK_DECODER_STREAM_ERROR, "RFC 9204 4.4.1" },
};

static bool start(struct raw *r, enum start how)
{
	struct raw_bytes control = { .len = 0 };

	if (how == WITH_TUNNEL)
		return raw_tunnel(r);
	if (!raw_connect(r))
		return false;
	if (how == WITH_CONTROL) {
		put_hex(&control, "00 04 02 33 01");
		raw_stream(r, CONTROL, control.bytes, control.len, false);
	}
	return true;
}

static bool run_conn_case(struct world *w, const struct conn_case *c)
{
	struct raw *r = hostile_peer(w, 0);
	struct raw_bytes b = { .len = 0 };
	bool ok;

	assert_true(start(r, c->start));
	put_hex(&b, c->bytes);
	raw_stream(r, c->stream, b.bytes, b.len, c->fin);
	raw_run(r, 200 * CLV_MSEC);
	ok = r->is_closed && r->close_is_app && r->close_code == c->code;
	if (!ok)
		hostile_report(c->name, c->section, r, c->stream, c->code);
	raw_run(r, 5 * CLV_SEC);
	hostile_peer_free(r);
	return ok;
}

static void test_breaches_of_the_connection(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	unsigned failed = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(conn_cases) / sizeof(conn_cases[0]); i++)
		failed += !run_conn_case(w, &conn_cases[i]);
	assert_int_equal(failed, 0);
	hostile_assert_serves(w);
	world_free(w);
}

static void test_reset_of_a_critical_stream_closes_the_connection(void **state)
{
	static const int64_t streams[] = { CONTROL, ENCODER, DECODER };
	struct world *w = world_new(&(struct world_params){ 0 });

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		struct raw *r = hostile_peer(w, (unsigned)i);
		struct raw_bytes b = { .len = 0 };

		assert_true(raw_tunnel(r));
		if (i < 3) { /* RESET_STREAM of ours; STOP_SENDING of the relay's */
			put_varint(&b, 0x04);
			put_varint(&b, (uint64_t)streams[i]);
			put_hex(&b, "00 10");
		} else {
			put_varint(&b, 0x05);
			put_varint(&b, (uint64_t)streams[i - 3] + 1);
			put_hex(&b, "00");
		}
		raw_send(r, b.bytes, b.len);
		raw_run(r, 200 * CLV_MSEC);
		assert_true(r->is_closed && r->close_is_app);
		assert_int_equal(r->close_code, CLV_H3_CLOSED_CRITICAL_STREAM);
		hostile_peer_free(r);
	}
	world_free(w);
}

/* ---- what breaks one request ---- */

enum { FIELDS_MAX = 9 };

static const struct request_case {
	const char *name;
	const char *fields[FIELDS_MAX];
	unsigned status; /* 0: the stream is reset with code */
	uint64_t code;
	const char *section;
} request_cases[] = {
#define METHOD	  ":method: CONNECT"
#define PROTOCOL  ":protocol: connect-udp"
#define SCHEME	  ":scheme: https"
#define AUTHORITY ":authority: relay.test"
#define PATH	  ":path: /.well-known/masque/udp/198.18.1.1/7000/"
	{ "an upper-case name",
	  { METHOD, PROTOCOL, SCHEME, AUTHORITY, PATH, "Foo: bar" },
	  0,
	  CLV_H3_MESSAGE_ERROR,
	  "RFC 9114 4.2" },
	{ "no :path",
	  { METHOD, PROTOCOL, SCHEME, AUTHORITY },
	  0,
	  CLV_H3_MESSAGE_ERROR,
	  "RFC 9220 3" },
	{ "an empty :path",
	  { METHOD, PROTOCOL, SCHEME, AUTHORITY, ":path: " },
	  0,
	  CLV_H3_MESSAGE_ERROR,
	  "RFC 9114 4.3.1" },
	{ "no :scheme",
	  { METHOD, PROTOCOL, AUTHORITY, PATH },
	  0,
	  CLV_H3_MESSAGE_ERROR,
	  "RFC 9220 3" },
	{ "no :authority",
	  { METHOD, PROTOCOL, SCHEME, PATH },
	  0,
	  CLV_H3_MESSAGE_ERROR,
	  "RFC 9114 4.3.1" },
	{ "no :method",
	  { PROTOCOL, SCHEME, AUTHORITY, PATH },
	  0,
	  CLV_H3_MESSAGE_ERROR,
	  "RFC 9114 4.3.1" },
	{ ":method twice",
	  { METHOD, METHOD, PROTOCOL, SCHEME, AUTHORITY, PATH },
	  0,
	  CLV_H3_MESSAGE_ERROR,
	  "RFC 9114 4.3.1" },
	{ "an unknown pseudo-header field",
	  { METHOD, PROTOCOL, SCHEME, AUTHORITY, PATH, ":foo: bar" },
	  0,
	  CLV_H3_MESSAGE_ERROR,
	  "RFC 9114 4.3" },
	{ ":status in a request",
	  { METHOD, PROTOCOL, SCHEME, AUTHORITY, PATH, ":status: 200" },
	  0,
	  CLV_H3_MESSAGE_ERROR,
	  "RFC 9114 4.3" },
	{ "a pseudo-header field after others",
	  { METHOD, PROTOCOL, SCHEME, AUTHORITY, "foo: bar", PATH },
	  0,
	  CLV_H3_MESSAGE_ERROR,
	  "RFC 9114 4.3" },
	{ "connection",
	  { METHOD, PROTOCOL, SCHEME, AUTHORITY, PATH, "connection: close" },
	  0,
	  CLV_H3_MESSAGE_ERROR,
	  "RFC 9114 4.2" },
	{ "transfer-encoding",
	  { METHOD, PROTOCOL, SCHEME, AUTHORITY, PATH, "transfer-encoding: chunked" },
	  0,
	  CLV_H3_MESSAGE_ERROR,
	  "RFC 9114 4.2" },
	{ "te other than trailers",
	  { METHOD, PROTOCOL, SCHEME, AUTHORITY, PATH, "te: gzip" },
	  0,
	  CLV_H3_MESSAGE_ERROR,
	  "RFC 9114 4.2" },
	{ ":protocol without CONNECT",
	  { ":method: GET", PROTOCOL, SCHEME, AUTHORITY, ":path: /" },
	  0,
	  CLV_H3_MESSAGE_ERROR,
	  "RFC 9220 3" },
	{ "content-length",
	  { METHOD, PROTOCOL, SCHEME, AUTHORITY, PATH, "content-length: 5" },
	  0,
	  CLV_H3_MESSAGE_ERROR,
	  "RFC 9298 3.4" },
	{ "content-type",
	  { METHOD, PROTOCOL, SCHEME, AUTHORITY, PATH, "content-type: a/b" },
	  0,
	  CLV_H3_MESSAGE_ERROR,
	  "RFC 9298 3.4" },
	{ "two content-lengths that differ",
	  { ":method: GET", SCHEME, AUTHORITY, ":path: /", "content-length: 1",
	    "content-length: 2" },
	  0,
	  CLV_H3_MESSAGE_ERROR,
	  "RFC 9114 4.1.2" },
	{ "an unknown :protocol",
	  { METHOD, ":protocol: connect-ip", SCHEME, AUTHORITY, PATH },
	  501,
	  0,
	  "RFC 9220 3" },
	{ "CONNECT to a TCP port",
	  { METHOD, ":authority: example.org:443" },
	  501,
	  0,
	  "RFC 9114 4.4" },
	{ "port 0",
	  { METHOD, PROTOCOL, SCHEME, AUTHORITY, ":path: /.well-known/masque/udp/198.18.1.1/0/" },
	  400,
	  0,
	  "RFC 9298 3" },
	{ "a zone identifier",
	  { METHOD, PROTOCOL, SCHEME, AUTHORITY,
	    ":path: /.well-known/masque/udp/fe80%3A%3A1%25eth0/53/" },
	  400,
	  0,
	  "RFC 9298 3" },
	{ "a target of its own",
	  { METHOD, PROTOCOL, SCHEME, AUTHORITY, ":path: /.well-known/masque/udp/127.0.0.1/53/" },
	  502,
	  0,
	  "RFC 9298 7" },
	{ "a path of another template",
	  { METHOD, PROTOCOL, SCHEME, AUTHORITY, ":path: /udp/198.18.1.1/53" },
	  404,
	  0,
	  "RFC 9298 3" },
};

static bool run_request_case(struct raw *r, int64_t id, const struct request_case *c)
{
	const struct raw_stream *s = raw_stream_of(r, id);
	struct raw_bytes b = { .len = 0 };
	size_t n = 0;
	bool ok;

	while (n < FIELDS_MAX && c->fields[n])
		n++;
	put_headers(&b, c->fields, n);
	raw_stream(r, id, b.bytes, b.len, false);
	raw_run(r, 100 * CLV_MSEC);
	ok = !r->is_closed && (c->status ? raw_status(r, id) == c->status && s->fin
					 : s->was_reset && s->reset_code == c->code);
	if (!ok)
		hostile_report(c->name, c->section, r, id, c->status ? c->status : c->code);
	return ok;
}

static void test_malformed_requests_end_their_stream_alone(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	struct raw *r = hostile_peer(w, 0);
	uint64_t before;
	unsigned failed = 0;

	(void)state;
	assert_true(raw_tunnel(r));
	for (size_t i = 0; i < sizeof(request_cases) / sizeof(request_cases[0]); i++)
		failed += !run_request_case(r, 4 + 4 * (int64_t)i, &request_cases[i]);
	assert_int_equal(failed, 0);
	/* the tunnel beside them lives on */
	before = r->datagrams;
	raw_datagram(r, TUNNEL, 0, "hello", 5);
	raw_run(r, 100 * CLV_MSEC);
	assert_int_equal(r->datagrams, before + 1);
	assert_int_equal(w->relay.egress_held, 1);
	hostile_peer_free(r);
	world_free(w);
}

/* ---- field sections without end ---- */

static void test_the_limit_of_a_field_section_is_said_in_settings(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	struct raw *r = hostile_peer(w, 0);
	const uint8_t *p, *end;
	uint64_t id, value, max = 0, capacity = UINT64_MAX, blocked = UINT64_MAX;

	(void)state;
	assert_true(raw_connect(r));
	p = r->control;
	end = p + r->control_len;
	assert_false(clv_varint_read(&p, end, &id));
	assert_int_equal(id, 0x00);
	assert_false(clv_varint_read(&p, end, &id));
	assert_int_equal(id, 0x04);
	assert_false(clv_varint_read(&p, end, &value));
	assert_true(value <= (uint64_t)(end - p));
	end = p + value;
	capacity = blocked = 0; /* the values of settings left out, RFC 9204 section 5 */
	while (!clv_varint_read(&p, end, &id) && !clv_varint_read(&p, end, &value)) {
		max = id == 0x06 ? value : max;
		capacity = id == 0x01 ? value : capacity;
		blocked = id == 0x07 ? value : blocked;
	}
	assert_int_equal(max, 16384);
	assert_int_equal(capacity, 0);
	assert_int_equal(blocked, 0);
	hostile_peer_free(r);
	world_free(w);
}

/* A request with a field section of so many fields of so many bytes. */
static void big_request(struct raw *r, int64_t id, size_t fields, size_t value_len)
{
	static const char *const head[] = { METHOD, PROTOCOL, SCHEME, AUTHORITY, PATH };
	struct raw_bytes frame = { .len = 0 }, start = { .len = 0 };
	uint8_t field[RAW_PACKET_MAX];
	size_t field_len = 0;

	put_headers(&frame, head, 5);
	/* type and length are put anew: one byte each, or two of length */
	field[field_len++] = 0x23; /* name of 3 bytes */
	memcpy(field + field_len, "foo", 3);
	field_len += 3;
	assert_in_range(value_len, 127 + 128, 1200);
	field[field_len++] = 0x7f;
	field[field_len++] = (uint8_t)(0x80 | ((value_len - 127) & 0x7f));
	field[field_len++] = (uint8_t)((value_len - 127) >> 7);
	memset(field + field_len, 'a', value_len);
	field_len += value_len;
	put_varint(&start, 0x01);
	put_varint(&start, frame.len - 3 + fields * field_len);
	raw_stream(r, id, start.bytes, start.len, false);
	raw_stream(r, id, frame.bytes + 3, frame.len - 3, false);
	for (size_t i = 0; i < fields; i++)
		raw_stream(r, id, field, field_len, false);
}

static void test_a_giant_field_section_is_refused_and_not_kept(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	struct raw *r = hostile_peer(w, 0);
	size_t before;

	(void)state;
	assert_true(raw_tunnel(r));
	before = raw_memory();
	for (int64_t id = 4; id < 4 + 4 * 20; id += 4) {
		big_request(r, id, 40, 1000); /* far beyond the limit */
		raw_run(r, 50 * CLV_MSEC);
		assert_false(r->is_closed);
		assert_int_equal(raw_status(r, id), 431);
	}
	assert_in_range(r->memory_peak, 0, before + (512 << 10));
	/* sections that never end, on many streams at once */
	for (int64_t id = 104; id < 104 + 4 * 40; id += 4) {
		struct raw_bytes b = { .len = 0 };

		put_hex(&b, "01 bfffffff 0000 27 00"); /* a name of 7 bytes, then one without end */
		put_hex(&b, "2f ff ff 03");
		raw_stream(r, id, b.bytes, b.len, false);
	}
	raw_run(r, 200 * CLV_MSEC);
	assert_in_range(r->memory_peak, 0, before + (1 << 20));
	hostile_assert_serves(w);
	hostile_peer_free(r);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_breaches_of_the_connection),
		cmocka_unit_test(test_reset_of_a_critical_stream_closes_the_connection),
		cmocka_unit_test(test_malformed_requests_end_their_stream_alone),
		cmocka_unit_test(test_the_limit_of_a_field_section_is_said_in_settings),
		cmocka_unit_test(test_a_giant_field_section_is_refused_and_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
