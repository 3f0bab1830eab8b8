/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/bpf/frame.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

enum {
	ETH_LEN = 14,
	VLAN_LEN = 4,
	IP4_LEN = 20,
	IP6_LEN = 40,
	EXTENSION_LEN = 8,
	UDP_LEN = 8,
	PROTO_UDP = 17,
};

static const char *source_of(const struct frame_spec *s)
{
	return s->src ? s->src : "203.0.113.7";
}

static const char *destination_of(const struct frame_spec *s)
{
	return s->dst ? s->dst : "198.51.100.1";
}

static bool is_ip6(const struct frame_spec *s)
{
	return strchr(destination_of(s), ':');
}

static unsigned ip_header_len(const struct frame_spec *s)
{
	if (is_ip6(s))
		return IP6_LEN + (s->extension ? EXTENSION_LEN : 0);
	return s->ihl > 5 ? s->ihl * 4u : IP4_LEN;
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t sum16(const uint8_t *bytes, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void frame_address(const char *text, uint8_t out[static 16])
{
	int parsed;

	memset(out, 0, 16);
	if (strchr(text, ':')) {
		parsed = inet_pton(AF_INET6, text, out);
	} else {
		out[10] = out[11] = 0xff;
		parsed = inet_pton(AF_INET, text, out + 12);
	}
	assert(parsed == 1);
}

struct clv_endpoint frame_endpoint(const char *text, uint16_t port)
{
	struct clv_endpoint ep = { .port = htons(port) };

	frame_address(text, ep.addr);
	return ep;
}

struct clv_tuple frame_tuple(const struct frame_spec *s)
{
	return (struct clv_tuple){
		.local = frame_endpoint(destination_of(s), s->dport ? s->dport : 443),
		.remote = frame_endpoint(source_of(s), s->sport ? s->sport : 7000),
	};
}

size_t frame_payload_at(const struct frame_spec *s)
{
	return ETH_LEN + s->vlan_tags * VLAN_LEN + ip_header_len(s) + UDP_LEN;
}

static uint8_t *put_link(const struct frame_spec *s, uint8_t *at)
{
	static const uint8_t macs[12] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 };
	unsigned ethertype = s->ethertype ? s->ethertype : is_ip6(s) ? 0x86dd : 0x0800;

	memcpy(at, macs, sizeof(macs));
	at += sizeof(macs);
	for (unsigned i = 0; i < s->vlan_tags; i++) {
		put16(at, s->vlan_tags > 1 && i == 0 ? 0x88a8 : 0x8100);
		put16(at + 2, 100 + i);
		at += VLAN_LEN;
	}
	put16(at, ethertype);
	return at + 2;
}

static uint8_t *put_ip4(const struct frame_spec *s, uint8_t *at, const struct clv_tuple *tuple)
{
	unsigned len = ip_header_len(s);
	unsigned total_len = len + UDP_LEN + s->payload_len;

	memset(at, 1, len); /* no-operation, where options are */
	memset(at, 0, IP4_LEN);
	at[0] = (uint8_t)((s->version ? s->version : 4) << 4 | (s->ihl ? s->ihl : 5));
	put16(at + 2, total_len + (unsigned)s->ip_len_off);
	put16(at + 6, s->frag);
	at[8] = 64;
	at[9] = s->proto ? s->proto : PROTO_UDP;
	memcpy(at + 12, tuple->remote.addr + 12, 4);
	memcpy(at + 16, tuple->local.addr + 12, 4);
	put16(at + 10, fold(sum16(at, len, 0)));
	return at + len;
}

static uint8_t *put_ip6(const struct frame_spec *s, uint8_t *at, const struct clv_tuple *tuple)
{
	uint8_t proto = s->proto ? s->proto : PROTO_UDP;
	unsigned len = ip_header_len(s) - IP6_LEN + UDP_LEN + s->payload_len;

	memset(at, 0, ip_header_len(s));
	at[0] = (uint8_t)((s->version ? s->version : 6) << 4);
	put16(at + 4, len + (unsigned)s->ip_len_off);
	at[6] = s->extension ? (uint8_t)s->extension : proto;
	at[7] = 64;
	memcpy(at + 8, tuple->remote.addr, 16);
	memcpy(at + 24, tuple->local.addr, 16);
	if (s->extension)
		at[IP6_LEN] = proto;
	return at + ip_header_len(s);
}

static void put_udp(const struct frame_spec *s, uint8_t *at, const struct clv_tuple *tuple)
{
	uint8_t *payload = at + UDP_LEN;
	unsigned len = UDP_LEN + s->payload_len;
	uint32_t sum;

	for (unsigned i = 0; i < s->payload_len; i++)
		payload[i] = (uint8_t)(7 * i + 3);
	if (s->payload_len)
		payload[0] = s->first;
	for (unsigned i = 0; s->cid && i < CLV_CID_LEN && 1 + i < s->payload_len; i++)
		payload[1 + i] = s->cid[i];

	memcpy(at, &tuple->remote.port, 2);
	memcpy(at + 2, &tuple->local.port, 2);
	put16(at + 4, len + (unsigned)s->udp_len_off);
	put16(at + 6, 0);
	if (s->no_checksum)
		return;
	/* The prefix ::ffff counts 0xffff per address: nothing in this arithmetic. */
	sum = sum16(tuple->remote.addr, 16, PROTO_UDP + len);
	sum = sum16(tuple->local.addr, 16, sum);
	sum = fold(sum16(at, len, sum));
	put16(at + 6, sum ? sum : 0xffff);
}

size_t frame_build(const struct frame_spec *s, uint8_t out[static FRAME_MAX])
{
	const struct clv_tuple tuple = frame_tuple(s);
	size_t len = frame_payload_at(s) + s->payload_len;
	uint8_t *at;

	assert(len + s->padding <= FRAME_MAX);
	assert(is_ip6(s) == !!strchr(source_of(s), ':'));

	at = put_link(s, out);
	at = is_ip6(s) ? put_ip6(s, at, &tuple) : put_ip4(s, at, &tuple);
	put_udp(s, at, &tuple);
	memset(out + len, 0x2e, s->padding); /* no long header, should it be read as payload */
	return len + s->padding;
}
