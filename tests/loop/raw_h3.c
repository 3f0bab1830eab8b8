/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/loop/raw.h"

#include <nghttp3/nghttp3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/base/varint.h"

void raw_h3_start(struct raw *r)
{
	struct raw_bytes control = { .len = 0 };

	put_hex(&control, "00 04 02 33 01");
	raw_stream(r, 2, control.bytes, control.len, false);
	raw_stream(r, 6, "\x02", 1, false);
	raw_stream(r, 10, "\x03", 1, false);
}

/* An integer with a prefix of so many bits (RFC 7541 section 5.1). */
static void put_prefixed(struct raw_bytes *b, uint8_t first, unsigned bits, size_t value)
{
	size_t max = (1u << bits) - 1;

	if (value < max) {
		put_bytes(b, &(uint8_t){ (uint8_t)(first | value) }, 1);
		return;
	}
	put_bytes(b, &(uint8_t){ (uint8_t)(first | max) }, 1);
	for (value -= max; value >= 0x80; value >>= 7)
		put_bytes(b, &(uint8_t){ (uint8_t)(0x80 | value) }, 1);
	put_bytes(b, &(uint8_t){ (uint8_t)value }, 1);
}

void put_headers(struct raw_bytes *b, const char *const *fields, size_t len)
{
	struct raw_bytes section = { .len = 0 };

	put_hex(&section, "00 00");
	for (size_t i = 0; i < len; i++) {
		bool pseudo = fields[i][0] == ':' && fields[i][1] != ' ';
		const char *colon = strstr(fields[i] + pseudo, ": ");
		size_t name = (size_t)(colon - fields[i]);

		put_prefixed(&section, 0x20, 3, name); /* literal field line with literal name */
		put_bytes(&section, fields[i], name);
		put_prefixed(&section, 0x00, 7, strlen(colon + 2));
		put_bytes(&section, colon + 2, strlen(colon + 2));
	}
	put_varint(b, 0x01);
	put_varint(b, section.len);
	put_bytes(b, section.bytes, section.len);
}

void raw_connect_udp(struct raw *r, int64_t id, const char *host, uint16_t port)
{
	struct raw_bytes b = { .len = 0 };
	char path[256];
	const char *fields[] = { ":method: CONNECT",
				 ":protocol: connect-udp",
				 ":scheme: https",
				 ":authority: relay.test",
				 path,
				 "capsule-protocol: ?1" };

	snprintf(path, sizeof(path), ":path: /.well-known/masque/udp/%s/%u/", host, port);
	put_headers(&b, fields, sizeof(fields) / sizeof(fields[0]));
	raw_stream(r, id, b.bytes, b.len, false);
}

void raw_connect_bind(struct raw *r, int64_t id, const char *path)
{
	struct raw_bytes b = { .len = 0 };
	char line[256];
	const char *fields[] = { ":method: CONNECT",
				 ":protocol: connect-udp",
				 ":scheme: https",
				 ":authority: relay.test",
				 line,
				 "capsule-protocol: ?1",
				 "connect-udp-bind: ?1" };

	snprintf(line, sizeof(line), ":path: %s", path);
	put_headers(&b, fields, sizeof(fields) / sizeof(fields[0]));
	raw_stream(r, id, b.bytes, b.len, false);
}

void raw_capsules(struct raw *r, int64_t id, const char *hex)
{
	struct raw_bytes capsules = { .len = 0 }, frame = { .len = 0 };

	put_hex(&capsules, hex);
	put_varint(&frame, 0x00);
	put_varint(&frame, capsules.len);
	put_bytes(&frame, capsules.bytes, capsules.len);
	raw_stream(r, id, frame.bytes, frame.len, false);
}

static void decode_field(const uint8_t *section, size_t len, const char *name, char *value,
			 size_t value_len)
{
	nghttp3_qpack_decoder *decoder;
	nghttp3_qpack_stream_context *context;
	nghttp3_qpack_nv nv;
	uint8_t flags = 0;

	if (nghttp3_qpack_decoder_new(&decoder, 0, 0, nghttp3_mem_default()) ||
	    nghttp3_qpack_stream_context_new(&context, 0, nghttp3_mem_default()))
		abort();
	while (!(flags & NGHTTP3_QPACK_DECODE_FLAG_FINAL)) {
		nghttp3_ssize n = nghttp3_qpack_decoder_read_request(decoder, context, &nv, &flags,
								     section, len, 1);

		if (n < 0)
			abort();
		section += n;
		len -= (size_t)n;
		if (!(flags & NGHTTP3_QPACK_DECODE_FLAG_EMIT))
			continue;
		if (strcmp((const char *)nghttp3_rcbuf_get_buf(nv.name).base, name) == 0)
			snprintf(value, value_len, "%s",
				 (const char *)nghttp3_rcbuf_get_buf(nv.value).base);
		nghttp3_rcbuf_decref(nv.name);
		nghttp3_rcbuf_decref(nv.value);
	}
	nghttp3_qpack_stream_context_del(context);
	nghttp3_qpack_decoder_del(decoder);
}

bool raw_field(const struct raw *r, int64_t id, const char *name, char *value, size_t value_len)
{
	const struct raw_stream *s = &r->streams[(id / 4) % RAW_STREAMS_MAX];
	const uint8_t *p = s->bytes, *end = p + s->len;
	uint64_t type, len;

	value[0] = '\0';
	if (s->id != id)
		return false;
	while (!clv_varint_read(&p, end, &type) && !clv_varint_read(&p, end, &len) &&
	       len <= (uint64_t)(end - p)) {
		if (type == 0x01) {
			decode_field(p, len, name, value, value_len);
			break;
		}
		p += len;
	}
	return value[0] != '\0';
}

unsigned raw_status(const struct raw *r, int64_t id)
{
	char value[8];

	return raw_field(r, id, ":status", value, sizeof(value)) ? (unsigned)atoi(value) : 0;
}

size_t raw_body(const struct raw *r, int64_t id, uint8_t *out, size_t out_len)
{
	const struct raw_stream *s = &r->streams[(id / 4) % RAW_STREAMS_MAX];
	const uint8_t *p = s->bytes, *end = p + s->len;
	uint64_t type, len;
	size_t used = 0;

	if (s->id != id)
		return 0;
	while (!clv_varint_read(&p, end, &type) && !clv_varint_read(&p, end, &len) &&
	       len <= (uint64_t)(end - p)) {
		if (type == 0x00 && len <= out_len - used) {
			memcpy(out + used, p, len);
			used += len;
		}
		p += len;
	}
	return used;
}

void raw_datagram(struct raw *r, int64_t id, uint64_t context_id, const void *payload, size_t len)
{
	struct raw_bytes b = { .len = 0 };

	put_varint(&b, 0x30);
	put_varint(&b, (uint64_t)id / 4);
	put_varint(&b, context_id);
	put_bytes(&b, payload, len);
	raw_send(r, b.bytes, b.len);
}

bool raw_tunnel(struct raw *r)
{
	if (!raw_connect(r))
		return false;
	raw_h3_start(r);
	raw_connect_udp(r, 0, "198.18.1.1", 7000);
	raw_run(r, 200 * CLV_MSEC);
	return raw_status(r, 0) == 200;
}
