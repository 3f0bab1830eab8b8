/* SPDX-License-Identifier: GPL-3.0-or-later */
/* packet - the time to decode and encode the frame of one datagram. */
#include "bench/micro/micro.h"

#include "datapath/io/packet.h"

enum {
	FRAME_MAX = 2048,
	HEADROOM = CLV_PACKET_HEADERS_MAX,
};

struct subject {
	struct clv_flow flow;
	uint8_t buffer[FRAME_MAX];
	uint8_t *frame;
	size_t len, payload_len;
	struct clv_rx rx;
};

static uint64_t decode(void *arg, uint64_t n)
{
	struct subject *s = arg;
	uint64_t sum = 0;

	while (n--) {
		sum += (uint64_t)clv_packet_decode(s->frame, s->len, &s->rx);
		MICRO_USE(&s->rx);
	}
	return sum;
}

static uint64_t checksum(void *arg, uint64_t n)
{
	struct subject *s = arg;
	uint64_t good = 0;

	while (n--) {
		good += clv_packet_checksum_ok(&s->rx);
		MICRO_USE(s->frame);
	}
	return good;
}

static uint64_t encode(void *arg, uint64_t n)
{
	struct subject *s = arg;
	uint64_t sum = 0;

	while (n--) {
		sum += clv_packet_encode(s->buffer + HEADROOM, s->payload_len, &s->flow, 0);
		MICRO_USE(s->buffer);
	}
	return sum;
}

static void prepare(struct subject *s, const char *local, const char *remote, size_t len)
{
	size_t headers;

	memset(s, 0, sizeof(*s));
	memset(s->buffer, 0x5a, sizeof(s->buffer));
	s->payload_len = len;
	if (clv_endpoint_parse(local, &s->flow.local) ||
	    clv_endpoint_parse(remote, &s->flow.remote))
		abort();
	headers = clv_packet_encode(s->buffer + HEADROOM, len, &s->flow, 0);
	s->frame = s->buffer + HEADROOM - headers;
	s->len = headers + len;
	if (clv_packet_decode(s->frame, s->len, &s->rx) || !clv_packet_checksum_ok(&s->rx))
		abort();
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name, *local, *remote;
	} families[] = {
		{ "IPv4", "192.0.2.1:443", "198.51.100.7:4000" },
		{ "IPv6", "[2001:db8::1]:443", "[2001:db8:7::7]:4000" },
	};
	static const size_t sizes[] = { 64, 512, 1200 };
	static const struct {
		const char *name;
		micro_fn *fn;
	} acts[] = { { "decode", decode }, { "checksum", checksum }, { "encode", encode } };
	struct subject s;
	char name[64];

	for (size_t a = 0; a < 3; a++)
		for (size_t f = 0; f < 2; f++)
			for (size_t i = 0; i < 3; i++) {
				prepare(&s, families[f].local, families[f].remote, sizes[i]);
				snprintf(name, sizeof(name), "packet/%s %zu %s", acts[a].name,
					 sizes[i], families[f].name);
				micro(argc, argv, name, acts[a].fn, &s);
			}
	return 0;
}
