/* SPDX-License-Identifier: GPL-3.0-or-later */
/* dgram - the time to encode and decode the prefix of a payload in an HTTP datagram. */
#include "bench/micro/micro.h"

#include "datapath/base/addr.h"
#include "datapath/quic/dgram.h"

struct subject {
	int64_t stream_id;
	uint64_t context_id;
	struct clv_endpoint remote;
	uint8_t bytes[64];
	size_t len;
};

static uint64_t encode(void *arg, uint64_t n)
{
	struct subject *s = arg;
	uint64_t sum = 0;

	while (n--) {
		sum += clv_dgram_encode_prefix(s->stream_id, s->context_id, s->bytes);
		MICRO_USE(s->bytes);
	}
	return sum;
}

static uint64_t decode(void *arg, uint64_t n)
{
	struct subject *s = arg;
	struct clv_dgram d;
	uint64_t sum = 0;

	while (n--) {
		sum += (uint64_t)clv_dgram_decode(s->bytes, sizeof(s->bytes), &d) + d.context_id;
		MICRO_USE(&d);
	}
	return sum;
}

static uint64_t encode_remote(void *arg, uint64_t n)
{
	struct subject *s = arg;
	uint64_t sum = 0;

	while (n--) {
		sum += clv_dgram_encode_remote(&s->remote, s->bytes);
		MICRO_USE(s->bytes);
	}
	return sum;
}

static uint64_t decode_remote(void *arg, uint64_t n)
{
	struct subject *s = arg;
	struct clv_endpoint ep;
	uint64_t sum = 0;

	while (n--) {
		sum += clv_dgram_decode_remote(s->bytes, sizeof(s->bytes), &ep);
		MICRO_USE(&ep);
	}
	return sum;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int64_t stream_id;
		uint64_t context_id;
	} prefixes[] = {
		{ "of 2 bytes", 44, 0 },
		{ "of 6 bytes", 40000, 16400 },
	};
	static const struct {
		const char *name, *text;
	} remotes[] = {
		{ "IPv4", "192.0.2.42:50000" },
		{ "IPv6", "[2001:db8::1234]:54321" },
	};
	static struct subject s;
	char name[64];

	for (size_t i = 0; i < 2; i++) {
		s.stream_id = prefixes[i].stream_id;
		s.context_id = prefixes[i].context_id;
		snprintf(name, sizeof(name), "dgram/encode prefix %s", prefixes[i].name);
		micro(argc, argv, name, encode, &s);
		encode(&s, 1);
		snprintf(name, sizeof(name), "dgram/decode prefix %s", prefixes[i].name);
		micro(argc, argv, name, decode, &s);
	}
	for (size_t i = 0; i < 2; i++) {
		if (clv_endpoint_parse(remotes[i].text, &s.remote))
			abort();
		snprintf(name, sizeof(name), "dgram/encode remote %s", remotes[i].name);
		micro(argc, argv, name, encode_remote, &s);
		encode_remote(&s, 1);
		snprintf(name, sizeof(name), "dgram/decode remote %s", remotes[i].name);
		micro(argc, argv, name, decode_remote, &s);
	}
	return 0;
}
