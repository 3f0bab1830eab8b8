/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/io/packet.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "datapath/base/addr.h"
#include "datapath/base/bytes.h"
#include "datapath/base/err.h"

enum {
	ETH_LEN = 14,
	VLAN_LEN = 4,
	IP4_LEN = 20,
	IP6_LEN = 40,
	UDP_LEN = 8,
	UDP_CHECK_OFFSET = 6,
	IP4_VERSION_IHL = 0x45, /* version 4, five words of header */
	IP4_DF = 0x4000,
	IP4_FRAGMENT_MASK = 0x3fff, /* more-fragments and the offset; not DF, not the reserved bit */
	VLAN_ID_MASK = 0x0fff,
};

/* ---- checksum ---- */

/* At most 7 bytes more than a multiple of 8, and whatever the wide loops left. */
static uint64_t sum_scalar(const uint8_t *p, size_t len, uint64_t sum)
{
	uint64_t carry_lo = 0, carry_hi = 0, word = 0;

	/* Two 32-bit halves in 64-bit sums cannot overflow below 16 GiB of data. */
	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&word, p, 8);
		carry_lo += word & 0xffffffff;
		carry_hi += word >> 32;
	}
	word = 0;
	memcpy(&word, p, len);
	carry_lo += word & 0xffffffff;
	carry_hi += word >> 32;
	sum = (sum & 0xffffffff) + (sum >> 32);
	return sum + carry_lo + carry_hi;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t sum_avx2(const uint8_t *p, size_t len, uint64_t sum)
{
	const __m256i low = _mm256_set1_epi64x(0xffffffff);
	__m256i acc[4] = { _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
			   _mm256_setzero_si256() };
	uint64_t lane[4];

	for (; len >= 64; p += 64, len -= 64) {
		__m256i a = _mm256_loadu_si256((const __m256i *)p);
		__m256i b = _mm256_loadu_si256((const __m256i *)(p + 32));

		acc[0] = _mm256_add_epi64(acc[0], _mm256_and_si256(a, low));
		acc[1] = _mm256_add_epi64(acc[1], _mm256_srli_epi64(a, 32));
		acc[2] = _mm256_add_epi64(acc[2], _mm256_and_si256(b, low));
		acc[3] = _mm256_add_epi64(acc[3], _mm256_srli_epi64(b, 32));
	}
	acc[0] = _mm256_add_epi64(_mm256_add_epi64(acc[0], acc[1]),
				  _mm256_add_epi64(acc[2], acc[3]));
	_mm256_storeu_si256((__m256i *)lane, acc[0]);
	sum = (sum & 0xffffffff) + (sum >> 32);
	return sum_scalar(p, len, sum + lane[0] + lane[1] + lane[2] + lane[3]);
}
#endif

uint64_t clv_packet_sum(const uint8_t *data, size_t len, uint64_t sum)
{
#if defined(__x86_64__)
	if (len >= 128 && __builtin_cpu_supports("avx2"))
		return sum_avx2(data, len, sum);
#endif
	return sum_scalar(data, len, sum);
}

/*
 * What both pseudo-headers and the UDP header without its checksum add: addresses, protocol, ports,
 * and the length twice.  For IPv4 only the last four bytes of each address count.
 */
static uint64_t sum_pseudo(const struct clv_endpoint *src, const struct clv_endpoint *dst,
			   bool is_v4, size_t udp_len)
{
	const uint8_t *a = src->addr, *b = dst->addr;
	uint32_t word_a, word_b;
	uint64_t sum = 0;
	size_t i;

	for (i = is_v4 ? 12 : 0; i < 16; i += 4) {
		memcpy(&word_a, a + i, 4);
		memcpy(&word_b, b + i, 4);
		sum += (uint64_t)word_a + word_b;
	}
	return sum + src->port + dst->port + htons(IPPROTO_UDP) +
	       2 * (uint64_t)htons((uint16_t)udp_len);
}

/* ---- decode ---- */

struct cursor {
	uint8_t *p;
	size_t left;
};

static int decode_ethernet(struct cursor *c, struct clv_l2 *l2, uint16_t *ethertype)
{
	unsigned seen, kept = 0;

	if (c->left < ETH_LEN)
		return CLV_ETRUNC;
	if ((c->p[0] | c->p[6]) & 1) /* to a group, or from one: nothing that could be answered */
		return CLV_EPROTO;
	memcpy(l2->dst_mac, c->p + 6, 6);
	memcpy(l2->src_mac, c->p, 6);
	*ethertype = clv_load_be16(c->p + 12);
	c->p += ETH_LEN;
	c->left -= ETH_LEN;

	for (seen = 0; *ethertype == ETH_P_8021Q || *ethertype == ETH_P_8021AD; seen++) {
		uint16_t id;

		if (seen == CLV_VLAN_TAGS_MAX)
			return CLV_EPROTO;
		if (c->left < VLAN_LEN)
			return CLV_ETRUNC;
		id = clv_load_be16(c->p) & VLAN_ID_MASK;
		if (id) /* 0 is a priority tag, no VLAN: answers need none */
			l2->vlan_id[kept++] = id;
		*ethertype = clv_load_be16(c->p + 2);
		c->p += VLAN_LEN;
		c->left -= VLAN_LEN;
	}
	return 0;
}

/* Leaves the cursor on the UDP header, with the IP payload's length. */
static int decode_ip4(struct cursor *c, struct clv_rx *rx)
{
	const uint8_t *ip = c->p;
	size_t total;

	if (c->left < IP4_LEN)
		return CLV_ETRUNC;
	total = clv_load_be16(ip + 2);
	if (ip[0] != IP4_VERSION_IHL || clv_load_be16(ip + 6) & IP4_FRAGMENT_MASK ||
	    ip[9] != IPPROTO_UDP || total < IP4_LEN)
		return CLV_EPROTO;
	if (total > c->left)
		return CLV_ETRUNC;
	if (clv_packet_fold(sum_scalar(ip, IP4_LEN, 0)) != 0xffff)
		return CLV_EPROTO;
	rx->ecn = ip[1] & 3;
	rx->remote.addr[10] = rx->remote.addr[11] = 0xff;
	rx->local.addr[10] = rx->local.addr[11] = 0xff;
	memcpy(rx->remote.addr + 12, ip + 12, 4);
	memcpy(rx->local.addr + 12, ip + 16, 4);
	c->p += IP4_LEN;
	c->left = total - IP4_LEN;
	return 0;
}

static int decode_ip6(struct cursor *c, struct clv_rx *rx)
{
	const uint8_t *ip = c->p;
	size_t payload_len;

	if (c->left < IP6_LEN)
		return CLV_ETRUNC;
	payload_len = clv_load_be16(ip + 4);
	if (ip[0] >> 4 != 6 || ip[6] != IPPROTO_UDP)
		return CLV_EPROTO;
	if (payload_len > c->left - IP6_LEN)
		return CLV_ETRUNC;
	/* A v4-mapped address on the wire would be taken for IPv4 by everything after this. */
	if (clv_addr_is_v4(ip + 8) || clv_addr_is_v4(ip + 24))
		return CLV_EPROTO;
	rx->ecn = ip[1] >> 4 & 3;
	memcpy(rx->remote.addr, ip + 8, 16);
	memcpy(rx->local.addr, ip + 24, 16);
	c->p += IP6_LEN;
	c->left = payload_len;
	return 0;
}

static int decode_udp(struct cursor *c, bool is_v4, struct clv_rx *rx)
{
	uint8_t *udp = c->p;
	size_t udp_len;

	if (c->left < UDP_LEN)
		return CLV_ETRUNC;
	udp_len = clv_load_be16(udp + 4);
	if (udp_len < UDP_LEN)
		return CLV_EPROTO;
	if (udp_len > c->left)
		return CLV_ETRUNC;
	/* RFC 6935 section 5: without a checksum UDP over IPv6 is discarded. */
	if (!is_v4 && !(udp[UDP_CHECK_OFFSET] | udp[UDP_CHECK_OFFSET + 1]))
		return CLV_EPROTO;
	memcpy(&rx->remote.port, udp, 2);
	memcpy(&rx->local.port, udp + 2, 2);
	rx->payload = udp + UDP_LEN;
	rx->payload_len = (uint32_t)(udp_len - UDP_LEN);
	return 0;
}

int clv_packet_decode(uint8_t *frame, size_t len, struct clv_rx *out)
{
	struct cursor c = { frame, len };
	struct clv_rx rx = { 0 };
	uint16_t ethertype;
	int err;

	err = decode_ethernet(&c, &rx.l2, &ethertype);
	if (err)
		return err;
	if (ethertype == ETH_P_IP)
		err = decode_ip4(&c, &rx);
	else if (ethertype == ETH_P_IPV6)
		err = decode_ip6(&c, &rx);
	else
		err = CLV_EPROTO;
	if (err)
		return err;
	err = decode_udp(&c, ethertype == ETH_P_IP, &rx);
	if (err)
		return err;

	out->local = rx.local;
	out->remote = rx.remote;
	out->payload = rx.payload;
	out->payload_len = rx.payload_len;
	out->ecn = rx.ecn;
	out->l2 = rx.l2;
	return 0;
}

bool clv_packet_checksum_ok(const struct clv_rx *rx)
{
	bool is_v4 = clv_addr_is_v4(rx->remote.addr);
	uint16_t check;
	uint64_t sum;

	memcpy(&check, rx->payload - 2, 2);
	if (!check)
		return is_v4;
	sum = sum_pseudo(&rx->remote, &rx->local, is_v4, rx->payload_len + UDP_LEN) + check;
	return clv_packet_fold(clv_packet_sum(rx->payload, rx->payload_len, sum)) == 0xffff;
}

/* ---- encode: each writes in front of p and returns where its header starts ---- */

static uint8_t *encode_udp(uint8_t *p, size_t len, const struct clv_flow *flow, bool is_v4)
{
	uint64_t sum = sum_pseudo(&flow->local, &flow->remote, is_v4, len + UDP_LEN);
	uint16_t check = (uint16_t)~clv_packet_fold(clv_packet_sum(p, len, sum));

	if (!check)
		check = 0xffff;
	p -= UDP_LEN;
	memcpy(p, &flow->local.port, 2);
	memcpy(p + 2, &flow->remote.port, 2);
	clv_store_be16(p + 4, (uint16_t)(len + UDP_LEN));
	memcpy(p + UDP_CHECK_OFFSET, &check, 2);
	return p;
}

static uint8_t *encode_ip4(uint8_t *p, size_t payload_len, const struct clv_flow *flow, uint8_t ecn)
{
	uint16_t check;

	p -= IP4_LEN;
	p[0] = IP4_VERSION_IHL;
	p[1] = ecn;
	clv_store_be16(p + 2, (uint16_t)(payload_len + IP4_LEN));
	clv_store_be16(p + 4, 0);
	clv_store_be16(p + 6, IP4_DF);
	p[8] = CLV_HOP_LIMIT;
	p[9] = IPPROTO_UDP;
	clv_store_be16(p + 10, 0);
	memcpy(p + 12, flow->local.addr + 12, 4);
	memcpy(p + 16, flow->remote.addr + 12, 4);
	check = (uint16_t)~clv_packet_fold(sum_scalar(p, IP4_LEN, 0));
	memcpy(p + 10, &check, 2);
	return p;
}

static uint8_t *encode_ip6(uint8_t *p, size_t payload_len, const struct clv_flow *flow, uint8_t ecn)
{
	p -= IP6_LEN;
	clv_store_be32(p, 6u << 28 | (uint32_t)ecn << 20);
	clv_store_be16(p + 4, (uint16_t)payload_len);
	p[6] = IPPROTO_UDP;
	p[7] = CLV_HOP_LIMIT;
	memcpy(p + 8, flow->local.addr, 16);
	memcpy(p + 24, flow->remote.addr, 16);
	return p;
}

static uint8_t *encode_ethernet(uint8_t *p, const struct clv_l2 *l2, uint16_t ethertype)
{
	unsigned i;

	for (i = CLV_VLAN_TAGS_MAX; i-- > 0;) {
		if (!l2->vlan_id[i])
			continue;
		p -= VLAN_LEN;
		clv_store_be16(p, l2->vlan_id[i] & VLAN_ID_MASK);
		clv_store_be16(p + 2, ethertype);
		/* IEEE 802.1Q: a tag around another is a service tag with its own type. */
		ethertype = ethertype == ETH_P_8021Q ? ETH_P_8021AD : ETH_P_8021Q;
	}
	p -= ETH_LEN;
	memcpy(p, l2->dst_mac, 6);
	memcpy(p + 6, l2->src_mac, 6);
	clv_store_be16(p + 12, ethertype);
	return p;
}

size_t clv_packet_encode(uint8_t *payload, size_t len, const struct clv_flow *flow, uint8_t ecn)
{
	bool is_v4 = clv_addr_is_v4(flow->remote.addr);
	uint8_t *p;

	if (clv_addr_is_v4(flow->local.addr) != is_v4 || len > CLV_PACKET_PAYLOAD_MAX)
		return 0;
	p = encode_udp(payload, len, flow, is_v4);
	if (is_v4)
		p = encode_ip4(p, len + UDP_LEN, flow, ecn & 3);
	else
		p = encode_ip6(p, len + UDP_LEN, flow, ecn & 3);
	p = encode_ethernet(p, &flow->hop.l2, is_v4 ? ETH_P_IP : ETH_P_IPV6);
	return (size_t)(payload - p);
}
