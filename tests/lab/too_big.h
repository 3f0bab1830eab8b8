/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * too_big - ICMP "fragmentation needed" and ICMPv6 "packet too big", in the name of the destination
 * of the packet they are about.
 *
 * Spec: RFC 792 and RFC 1191 section 4; RFC 4443 section 3.2.
 */
#ifndef CLV_LAB_TOO_BIG_H
#define CLV_LAB_TOO_BIG_H

#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
	TOO_BIG_QUOTE_V4 = 548, /* whole reply stays within 576 bytes: RFC 1812 section 4.3.2.3 */
	TOO_BIG_MAX = 1280,	/* and within the minimum MTU of IPv6: RFC 4443 section 3.2 */
};

static inline uint32_t too_big_sum(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (; len > 1; p += 2, len -= 2)
		sum += (uint32_t)p[0] << 8 | p[1];
	return len ? sum + ((uint32_t)p[0] << 8) : sum;
}

static inline uint16_t too_big_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/*
 * Write the reply to an IPv4 packet of len bytes that exceeds mtu; ip and out aligned to 4 bytes.
 * Returns its length, or 0 where none is due: the packet may be fragmented, or is no packet.
 */
static inline size_t too_big_v4(size_t mtu, const struct iphdr *ip, size_t len, uint8_t *out)
{
	size_t quote = len < TOO_BIG_QUOTE_V4 ? len : TOO_BIG_QUOTE_V4;
	struct iphdr *reply = (void *)out;
	struct icmphdr *icmp = (void *)(reply + 1);

	if (len < sizeof(*ip) || !(ip->frag_off & htons(IP_DF)))
		return 0;
	*reply = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tot_len = htons((uint16_t)(sizeof(*reply) + sizeof(*icmp) + quote)),
		.ttl = 64,
		.protocol = IPPROTO_ICMP,
		.saddr = ip->daddr,
		.daddr = ip->saddr,
	};
	reply->check = too_big_fold(too_big_sum(0, reply, sizeof(*reply)));
	*icmp = (struct icmphdr){
		.type = ICMP_DEST_UNREACH,
		.code = ICMP_FRAG_NEEDED,
		.un.frag.mtu = htons((uint16_t)mtu),
	};
	memcpy(icmp + 1, ip, quote);
	icmp->checksum = too_big_fold(too_big_sum(0, icmp, sizeof(*icmp) + quote));
	return sizeof(*reply) + sizeof(*icmp) + quote;
}

/* The same for an IPv6 packet. */
static inline size_t too_big_v6(size_t mtu, const struct ip6_hdr *ip, size_t len, uint8_t *out)
{
	const size_t head = sizeof(struct ip6_hdr) + sizeof(struct icmp6_hdr);
	size_t quote = len < TOO_BIG_MAX - head ? len : TOO_BIG_MAX - head;
	size_t payload = sizeof(struct icmp6_hdr) + quote;
	struct ip6_hdr *reply = (void *)out;
	struct icmp6_hdr *icmp = (void *)(reply + 1);

	if (len < sizeof(*ip))
		return 0;
	*reply = (struct ip6_hdr){
		.ip6_flow = htonl(6u << 28),
		.ip6_plen = htons((uint16_t)payload),
		.ip6_nxt = IPPROTO_ICMPV6,
		.ip6_hlim = 64,
		.ip6_src = ip->ip6_dst,
		.ip6_dst = ip->ip6_src,
	};
	*icmp = (struct icmp6_hdr){ .icmp6_type = ICMP6_PACKET_TOO_BIG };
	icmp->icmp6_mtu = htonl((uint32_t)mtu);
	memcpy(icmp + 1, ip, quote);
	/* Pseudo-header: both addresses, length, next header. */
	icmp->icmp6_cksum = too_big_fold(
		too_big_sum(too_big_sum((uint32_t)payload + IPPROTO_ICMPV6, &reply->ip6_src, 32),
			    icmp, payload));
	return head + quote;
}

#endif
