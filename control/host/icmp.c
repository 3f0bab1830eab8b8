/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/icmp.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/base/addr.h"
#include "datapath/base/bucket.h"
#include "datapath/base/bytes.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/io/packet.h"

enum {
	HEAD_LEN = 8,
	IP4_LEN = 20,
	IP6_LEN = 40,
	PORTS_LEN = 4, /* the part of the quoted UDP header that is read */
	IP4_OFFSET_MASK = 0x1fff,
	MESSAGES_MAX = 64, /* read in one call */
	MESSAGE_MAX = 1500,
	RECEIVE_BYTES = 1 << 18,
};

/* ICMP_FILTER of <linux/icmp.h>, which conflicts with <netinet/ip_icmp.h>. */
enum { RAW_ICMP_FILTER = 1 };

struct clv_icmp {
	int fd4, fd6;		    /* -1: the host lacks the family */
	struct clv_bucket messages; /* that are looked at; no limit: none is */
	struct clv_counters *counters;
};

/* ---- reading ---- */

/* RFC 1191 section 7.1: the next common MTU below, for routers that do not report theirs. */
static uint32_t plateau_below(uint32_t packet_len)
{
	static const uint16_t plateaus[] = { 32000, 17914, 8166, 4352, 2002, 1492, 1006 };

	for (size_t i = 0; i < sizeof(plateaus) / sizeof(plateaus[0]); i++)
		if (plateaus[i] < packet_len)
			return plateaus[i];
	return CLV_ICMP_MTU_MIN4;
}

/* Set the MTU of an error about size.  An MTU that the packet fits is forged or wrong. */
static int set_mtu(struct clv_icmp_error *e, uint32_t mtu, uint32_t least, uint32_t packet_len)
{
	e->mtu = mtu < least ? least : mtu;
	return e->mtu < packet_len ? 0 : CLV_EPROTO;
}

static int decode4(const uint8_t *message, size_t len, struct clv_icmp_error *e)
{
	const uint8_t *ip = message + HEAD_LEN;
	size_t header_len;
	uint32_t mtu, packet_len;

	if (len < HEAD_LEN + IP4_LEN + PORTS_LEN ||
	    clv_packet_fold(clv_packet_sum(message, len, 0)) != 0xffff)
		return CLV_EPROTO;
	header_len = (size_t)(ip[0] & 0x0f) * 4;
	if (ip[0] >> 4 != 4 || header_len < IP4_LEN || ip[9] != IPPROTO_UDP ||
	    clv_load_be16(ip + 6) & IP4_OFFSET_MASK || len < HEAD_LEN + header_len + PORTS_LEN)
		return CLV_EPROTO;
	e->tuple.local.addr[10] = e->tuple.local.addr[11] = 0xff;
	e->tuple.remote.addr[10] = e->tuple.remote.addr[11] = 0xff;
	memcpy(e->tuple.local.addr + 12, ip + 12, 4);
	memcpy(e->tuple.remote.addr + 12, ip + 16, 4);
	memcpy(&e->tuple.local.port, ip + header_len, 2);
	memcpy(&e->tuple.remote.port, ip + header_len + 2, 2);
	if (message[0] == ICMP_TIME_EXCEEDED || message[0] == ICMP_PARAMETERPROB)
		return 0;
	if (message[0] != ICMP_DEST_UNREACH)
		return CLV_EPROTO;
	if (message[1] != ICMP_UNREACH_NEEDFRAG)
		return 0;
	packet_len = clv_load_be16(ip + 2);
	mtu = clv_load_be16(message + 6);
	return set_mtu(e, mtu ? mtu : plateau_below(packet_len), CLV_ICMP_MTU_MIN4, packet_len);
}

static int decode6(const uint8_t *message, size_t len, struct clv_icmp_error *e)
{
	const uint8_t *ip = message + HEAD_LEN;

	if (len < HEAD_LEN + IP6_LEN + PORTS_LEN || ip[0] >> 4 != 6 || ip[6] != IPPROTO_UDP)
		return CLV_EPROTO;
	memcpy(e->tuple.local.addr, ip + 8, 16);
	memcpy(e->tuple.remote.addr, ip + 24, 16);
	memcpy(&e->tuple.local.port, ip + IP6_LEN, 2);
	memcpy(&e->tuple.remote.port, ip + IP6_LEN + 2, 2);
	switch (message[0]) {
	case ICMP6_PACKET_TOO_BIG:
		return set_mtu(e, clv_load_be32(message + 4), CLV_ICMP_MTU_MIN6,
			       IP6_LEN + clv_load_be16(ip + 4));
	case ICMP6_DST_UNREACH:
	case ICMP6_TIME_EXCEEDED:
	case ICMP6_PARAM_PROB:
		return 0;
	default:
		return CLV_EPROTO;
	}
}

int clv_icmp_decode(bool is_v6, const uint8_t *message, size_t len, struct clv_icmp_error *out)
{
	struct clv_icmp_error e = { 0 };
	int err = is_v6 ? decode6(message, len, &e) : decode4(message, len, &e);

	if (!err)
		*out = e;
	return err;
}

/* ---- sockets ---- */

static int open_socket(int family, int protocol, int level, int option, const void *filter,
		       socklen_t filter_len, int *out)
{
	int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	int bytes = RECEIVE_BYTES;

	*out = -1;
	if (fd < 0)
		return errno == EAFNOSUPPORT ? 0 : -errno;
	if (setsockopt(fd, level, option, filter, filter_len)) {
		int err = -errno;

		close(fd);
		return err;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	*out = fd;
	return 0;
}

int clv_icmp_open(uint32_t per_sec, struct clv_counters *counters, struct clv_icmp **out)
{
	struct clv_icmp *icmp = calloc(1, sizeof(*icmp));
	uint32_t filter4 = ~(1u << ICMP_DEST_UNREACH | 1u << ICMP_TIME_EXCEEDED |
			     1u << ICMP_PARAMETERPROB);
	struct icmp6_filter filter6;
	int err;

	if (!icmp)
		return -ENOMEM;
	icmp->fd4 = icmp->fd6 = -1;
	icmp->messages = clv_bucket_of(per_sec, per_sec);
	icmp->counters = counters;
	ICMP6_FILTER_SETBLOCKALL(&filter6);
	ICMP6_FILTER_SETPASS(ICMP6_DST_UNREACH, &filter6);
	ICMP6_FILTER_SETPASS(ICMP6_PACKET_TOO_BIG, &filter6);
	ICMP6_FILTER_SETPASS(ICMP6_TIME_EXCEEDED, &filter6);
	ICMP6_FILTER_SETPASS(ICMP6_PARAM_PROB, &filter6);
	err = open_socket(AF_INET, IPPROTO_ICMP, SOL_RAW, RAW_ICMP_FILTER, &filter4,
			  sizeof(filter4), &icmp->fd4);
	if (!err)
		err = open_socket(AF_INET6, IPPROTO_ICMPV6, IPPROTO_ICMPV6, ICMP6_FILTER, &filter6,
				  sizeof(filter6), &icmp->fd6);
	if (err) {
		clv_icmp_close(icmp);
		return err;
	}
	*out = icmp;
	return 0;
}

void clv_icmp_close(struct clv_icmp *icmp)
{
	if (!icmp)
		return;
	if (icmp->fd4 >= 0)
		close(icmp->fd4);
	if (icmp->fd6 >= 0)
		close(icmp->fd6);
	free(icmp);
}

int clv_icmp_fd(const struct clv_icmp *icmp, int family)
{
	if (!icmp)
		return -1;
	return family == 4 ? icmp->fd4 : icmp->fd6;
}

static bool is_within_limit(struct clv_icmp *icmp, uint64_t now_ns)
{
	if (clv_bucket_has_limit(&icmp->messages) && clv_bucket_take(&icmp->messages, now_ns))
		return true;
	clv_count(icmp->counters, CLV_COUNT_ICMP_LIMITED);
	return false;
}

/* An IPv4 raw socket also delivers the IP header, which the kernel has checked. */
static const uint8_t *skip_ip4(const uint8_t *bytes, size_t *len)
{
	size_t header_len = *len ? (size_t)(bytes[0] & 0x0f) * 4 : 0;

	if (header_len > *len)
		header_len = *len;
	*len -= header_len;
	return bytes + header_len;
}

static void receive(struct clv_icmp *icmp, bool is_v6, uint64_t now_ns,
		    void (*on_error)(void *user, const struct clv_icmp_error *error), void *user)
{
	const int fd = is_v6 ? icmp->fd6 : icmp->fd4;
	uint8_t bytes[MESSAGE_MAX];
	struct clv_icmp_error error;

	for (int i = 0; i < MESSAGES_MAX && fd >= 0; i++) {
		const uint8_t *message = bytes;
		ssize_t got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC);
		size_t len = (size_t)got;

		if (got < 0)
			return;
		if (!is_within_limit(icmp, now_ns))
			continue;
		if (len <= sizeof(bytes) && !is_v6)
			message = skip_ip4(bytes, &len);
		if (len > sizeof(bytes) || clv_icmp_decode(is_v6, message, len, &error)) {
			clv_count(icmp->counters, CLV_COUNT_ICMP_IGNORED);
			continue;
		}
		clv_count(icmp->counters, CLV_COUNT_ICMP_SEEN);
		on_error(user, &error);
	}
}

void clv_icmp_receive(struct clv_icmp *icmp, uint64_t now_ns,
		      void (*on_error)(void *user, const struct clv_icmp_error *error), void *user)
{
	receive(icmp, false, now_ns, on_error, user);
	receive(icmp, true, now_ns, on_error, user);
}

/* ---- sending ---- */

static void put_source(struct msghdr *header, const uint8_t source[16], bool is_v4)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(header);
	struct in6_pktinfo info6 = { 0 };
	struct in_pktinfo info4 = { 0 };

	if (is_v4)
		memcpy(&info4.ipi_spec_dst, source + 12, 4);
	else
		memcpy(&info6.ipi6_addr, source, 16);
	c->cmsg_level = is_v4 ? IPPROTO_IP : IPPROTO_IPV6;
	c->cmsg_type = is_v4 ? IP_PKTINFO : IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(is_v4 ? sizeof(info4) : sizeof(info6));
	memcpy(CMSG_DATA(c), is_v4 ? (const void *)&info4 : (const void *)&info6,
	       is_v4 ? sizeof(info4) : sizeof(info6));
	header->msg_controllen = CMSG_SPACE(is_v4 ? sizeof(info4) : sizeof(info6));
}

/* The kernel adds the IP header, and for ICMPv6 the checksum, which covers a pseudo-header. */
static void fill_head(uint8_t head[HEAD_LEN], bool is_v4, uint32_t mtu, const uint8_t *quote,
		      size_t len)
{
	uint16_t check;

	memset(head, 0, HEAD_LEN);
	if (!is_v4) {
		head[0] = ICMP6_PACKET_TOO_BIG;
		clv_store_be32(head + 4, mtu);
		return;
	}
	head[0] = ICMP_DEST_UNREACH;
	head[1] = ICMP_UNREACH_NEEDFRAG;
	clv_store_be16(head + 6, (uint16_t)mtu);
	check = (uint16_t)~clv_packet_fold(
		clv_packet_sum(quote, len, clv_packet_sum(head, HEAD_LEN, 0)));
	memcpy(head + 2, &check, sizeof(check));
}

void clv_icmp_send_too_big(struct clv_icmp *icmp, const struct clv_tuple *tuple, uint32_t mtu,
			   const uint8_t *quote, size_t len)
{
	const bool is_v4 = clv_addr_is_v4(tuple->remote.addr);
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = { 0 };
	struct clv_endpoint to = tuple->remote;
	uint8_t head[HEAD_LEN];
	struct sockaddr_storage sa;
	struct iovec iov[] = { { head, sizeof(head) }, { (void *)(uintptr_t)quote, len } };
	struct msghdr header = {
		.msg_name = &sa,
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};

	to.port = 0;
	header.msg_namelen = clv_endpoint_to_sockaddr(&to, !is_v4, &sa);
	put_source(&header, tuple->local.addr, is_v4);
	fill_head(head, is_v4, mtu, quote, len);
	if (sendmsg(is_v4 ? icmp->fd4 : icmp->fd6, &header, MSG_DONTWAIT) < 0)
		clv_count(icmp->counters, CLV_COUNT_DROP_SEND_ERROR);
	else
		clv_count(icmp->counters, CLV_COUNT_ICMP_TOO_BIG_SENT);
}
