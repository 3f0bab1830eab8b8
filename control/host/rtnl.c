/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/rtnl.h"

#include "datapath/base/addr.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum {
	MESSAGE_BYTES = 32768, /* the kernel's largest message */
	EVENT_BYTES = 4 << 20, /* socket buffer for notifications */
	RESPONSE_MSEC = 500,   /* the kernel responds within the call; this only prevents a hang */
};

static const unsigned char zero_mac[6];

const uint8_t clv_rtnl_internet[2][16] = {
	{ [10] = 0xff, [11] = 0xff, [12] = 198, [13] = 41, [14] = 0, [15] = 4 },
	{ 0x20, 0x01, 0x05, 0x03, 0xba, 0x3e, [13] = 0x02, [15] = 0x30 },
};

/* ---- sockets ---- */

struct mnl_socket *clv_rtnl_open(void)
{
	const struct timeval timeout = { 0, RESPONSE_MSEC * 1000 };
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);

	if (!nl)
		return NULL;
	setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) == 0)
		return nl;
	mnl_socket_close(nl);
	return NULL;
}

struct mnl_socket *clv_rtnl_open_events(void)
{
	static const int groups[] = {
		RTNLGRP_LINK,	     RTNLGRP_NEIGH,	 RTNLGRP_IPV4_IFADDR,
		RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
		RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE,	 RTNLGRP_NEXTHOP,
	};
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int room = EVENT_BYTES;
	size_t i;

	if (!nl)
		return NULL;
	if (setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID))
		goto close;
	for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		int group = groups[i];

		/* Older kernels have no nexthop objects. */
		if (mnl_socket_setsockopt(nl, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) &&
		    group != RTNLGRP_NEXTHOP)
			goto close;
	}
	return nl;

close:
	mnl_socket_close(nl);
	return NULL;
}

/* Whether a response ends in buffer[0..len). */
static bool has_end(const struct nlmsghdr *message, int len, bool is_acked)
{
	for (; mnl_nlmsg_ok(message, len); message = mnl_nlmsg_next(message, &len))
		if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR ||
		    !(message->nlmsg_flags & NLM_F_MULTI || is_acked))
			return true;
	return false;
}

/*
 * Responses are always read to the end: what is left would precede the next response, and the
 * kernel does not start a second dump while one is being read.
 */
int clv_rtnl_request(struct mnl_socket *nl, struct nlmsghdr *request, mnl_cb_t fn, void *user)
{
	static unsigned sequence;
	char buffer[MESSAGE_BYTES];
	const struct nlmsghdr *first = (const struct nlmsghdr *)buffer;
	bool is_over = false;
	int ret = MNL_CB_OK, err = 0;
	ssize_t n;

	request->nlmsg_seq = ++sequence;
	if (mnl_socket_sendto(nl, request, request->nlmsg_len) < 0)
		return -errno;
	while (!is_over) {
		n = mnl_socket_recvfrom(nl, buffer, sizeof(buffer));
		if (n < 0)
			return -errno;
		if (!mnl_nlmsg_ok(first, (int)n) || first->nlmsg_seq != sequence)
			continue; /* a late response to a request that timed out */
		if (ret > MNL_CB_STOP)
			ret = mnl_cb_run(buffer, (size_t)n, sequence, mnl_socket_get_portid(nl), fn,
					 user);
		if (ret < 0 && !err)
			err = errno ? -errno : -EIO;
		is_over = has_end(first, (int)n, request->nlmsg_flags & NLM_F_ACK);
	}
	return err;
}

int clv_rtnl_dump(struct mnl_socket *nl, uint16_t type, mnl_cb_t fn, void *user)
{
	char buffer[256];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);

	request->nlmsg_type = type;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	/* ifinfomsg is the longer of the two headers; a zero family requests all. */
	mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
	return clv_rtnl_request(nl, request, fn, user);
}

/* ---- addresses in attributes ---- */

static int family_of(const uint8_t addr[static 16])
{
	return clv_addr_is_v4(addr) ? AF_INET : AF_INET6;
}

static void put_addr(struct nlmsghdr *message, uint16_t type, const uint8_t addr[static 16])
{
	if (clv_addr_is_v4(addr))
		mnl_attr_put(message, type, 4, addr + 12);
	else
		mnl_attr_put(message, type, 16, addr);
}

static bool get_addr(const void *data, size_t len, uint8_t out[static 16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (len == 16) {
		memcpy(out, data, 16);
		return true;
	}
	if (len != 4)
		return false;
	memcpy(out, mapped, sizeof(mapped));
	memcpy(out + 12, data, 4);
	return true;
}

static bool attr_addr(const struct nlattr *attr, uint8_t out[static 16])
{
	return get_addr(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr), out);
}

static uint32_t attr_u32(const struct nlattr *attr)
{
	return mnl_attr_validate(attr, MNL_TYPE_U32) == 0 ? mnl_attr_get_u32(attr) : 0;
}

/* ---- routes ---- */

static int read_metric(const struct nlattr *attr, void *user)
{
	uint32_t mtu = mnl_attr_get_type(attr) == RTAX_MTU ? attr_u32(attr) : 0;

	if (mtu)
		*(uint16_t *)user = mtu > UINT16_MAX ? UINT16_MAX : (uint16_t)mtu;
	return MNL_CB_OK;
}

struct route_reading {
	const uint8_t *local; /* that was asked for; NULL: the kernel chooses */
	struct clv_fib_answer answer;
	bool has_source;
};

static int read_route_attr(const struct nlattr *attr, void *user)
{
	struct route_reading *r = user;
	const struct rtvia *via;

	switch (mnl_attr_get_type(attr)) {
	case RTA_OIF:
		r->answer.oif = (int)attr_u32(attr);
		break;
	case RTA_PREFSRC:
		r->has_source = attr_addr(attr, r->answer.source);
		break;
	case RTA_GATEWAY:
		r->answer.has_gateway = attr_addr(attr, r->answer.next);
		break;
	case RTA_VIA: /* an IPv6 gateway of an IPv4 route */
		via = mnl_attr_get_payload(attr);
		if (mnl_attr_get_payload_len(attr) > sizeof(*via))
			r->answer.has_gateway = get_addr(
				via->rtvia_addr, mnl_attr_get_payload_len(attr) - sizeof(*via),
				r->answer.next);
		break;
	case RTA_METRICS:
		mnl_attr_parse_nested(attr, read_metric, &r->answer.mtu);
		break;
	case RTA_ENCAP:
		r->answer.is_tunnelled = true;
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

static int read_route(const struct nlmsghdr *message, void *user)
{
	struct route_reading *r = user;
	const struct rtmsg *head = mnl_nlmsg_get_payload(message);

	if (message->nlmsg_type != RTM_NEWROUTE ||
	    message->nlmsg_len < mnl_nlmsg_size(sizeof(*head)))
		return MNL_CB_OK;
	mnl_attr_parse(message, sizeof(*head), read_route_attr, r);
	/* Then the kernel names none (IPv4), or the one it would have chosen (IPv6). */
	if (r->local) {
		memcpy(r->answer.source, r->local, sizeof(r->answer.source));
		r->has_source = true;
	}
	r->answer.is_local = head->rtm_type == RTN_LOCAL;
	r->answer.is_host = head->rtm_type == RTN_LOCAL || head->rtm_type == RTN_BROADCAST ||
			    head->rtm_type == RTN_ANYCAST;
	r->answer.is_usable = r->has_source && r->answer.oif &&
			      (head->rtm_type == RTN_UNICAST || head->rtm_type == RTN_LOCAL);
	return MNL_CB_STOP;
}

int clv_rtnl_route(struct mnl_socket *nl, const struct clv_fib_query *query,
		   struct clv_fib_answer *out)
{
	const bool has_local = !clv_addr_is_wildcard(query->local);
	struct route_reading reading = { 0 };
	struct nlmsghdr *request;
	struct rtmsg *head;
	char buffer[256];
	int err;

	if (has_local && clv_addr_is_v4(query->local) != clv_addr_is_v4(query->remote))
		return -EAFNOSUPPORT;
	request = mnl_nlmsg_put_header(buffer);
	request->nlmsg_type = RTM_GETROUTE;
	request->nlmsg_flags = NLM_F_REQUEST;
	head = mnl_nlmsg_put_extra_header(request, sizeof(*head));
	head->rtm_family = (unsigned char)family_of(query->remote);
	head->rtm_dst_len = clv_addr_is_v4(query->remote) ? 32 : 128;
	put_addr(request, RTA_DST, query->remote);
	if (has_local) {
		head->rtm_src_len = head->rtm_dst_len;
		put_addr(request, RTA_SRC, query->local);
		reading.local = query->local;
	}
	mnl_attr_put_u8(request, RTA_IP_PROTO, IPPROTO_UDP);
	if (query->mark)
		mnl_attr_put_u32(request, RTA_MARK, query->mark);

	memcpy(reading.answer.next, query->remote, sizeof(reading.answer.next));
	err = clv_rtnl_request(nl, request, read_route, &reading);
	if (!err)
		*out = reading.answer;
	return err;
}

/* ---- neighbours ---- */

static int read_neigh_attr(const struct nlattr *attr, void *user)
{
	struct clv_neigh_facts *facts = user;

	if (mnl_attr_get_type(attr) == NDA_DST) {
		if (!attr_addr(attr, facts->addr))
			return MNL_CB_ERROR;
	} else if (mnl_attr_get_type(attr) == NDA_LLADDR &&
		   mnl_attr_get_payload_len(attr) == sizeof(facts->mac)) {
		memcpy(facts->mac, mnl_attr_get_payload(attr), sizeof(facts->mac));
	}
	return MNL_CB_OK;
}

static enum clv_neigh_state state_of(uint16_t nud)
{
	if (nud & (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP))
		return CLV_NEIGH_READY;
	if (nud & NUD_INCOMPLETE)
		return CLV_NEIGH_RESOLVING;
	return nud & NUD_FAILED ? CLV_NEIGH_FAILED : CLV_NEIGH_NONE;
}

int clv_rtnl_read_neigh(const struct nlmsghdr *message, struct clv_neigh_facts *out)
{
	const struct ndmsg *head = mnl_nlmsg_get_payload(message);
	struct clv_neigh_facts facts = { 0 };

	if (message->nlmsg_len < mnl_nlmsg_size(sizeof(*head)) ||
	    (head->ndm_family != AF_INET && head->ndm_family != AF_INET6))
		return CLV_ESYNTAX;
	if (mnl_attr_parse(message, sizeof(*head), read_neigh_attr, &facts) < 0)
		return CLV_ESYNTAX;
	facts.ifindex = head->ndm_ifindex;
	facts.is_stale = head->ndm_state & NUD_STALE;
	if (message->nlmsg_type == RTM_NEWNEIGH)
		facts.state = state_of(head->ndm_state);
	/* The state promises a link address, but there is none that Ethernet could use. */
	if (facts.state == CLV_NEIGH_READY && memcmp(facts.mac, zero_mac, sizeof(zero_mac)) == 0)
		facts.state = CLV_NEIGH_NONE;
	*out = facts;
	return 0;
}

static int read_one_neigh(const struct nlmsghdr *message, void *user)
{
	return clv_rtnl_read_neigh(message, user) == 0 ? MNL_CB_STOP : MNL_CB_OK;
}

static struct nlmsghdr *neigh_request(char *buffer, uint16_t type, int ifindex,
				      const uint8_t addr[static 16])
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ndmsg *head = mnl_nlmsg_put_extra_header(request, sizeof(*head));

	request->nlmsg_type = type;
	request->nlmsg_flags = NLM_F_REQUEST;
	head->ndm_family = (uint8_t)family_of(addr);
	head->ndm_ifindex = ifindex;
	put_addr(request, NDA_DST, addr);
	return request;
}

int clv_rtnl_neigh(struct mnl_socket *nl, int ifindex, const uint8_t addr[static 16],
		   struct clv_neigh_facts *out)
{
	struct clv_neigh_facts facts = { 0 };
	char buffer[256];
	int err;

	err = clv_rtnl_request(nl, neigh_request(buffer, RTM_GETNEIGH, ifindex, addr),
			       read_one_neigh, &facts);
	if (!err)
		*out = facts;
	return err;
}

static int use_neigh(struct mnl_socket *nl, int ifindex, const uint8_t addr[static 16],
		     bool is_managed)
{
	char buffer[256];
	struct nlmsghdr *request = neigh_request(buffer, RTM_NEWNEIGH, ifindex, addr);
	struct ndmsg *head = mnl_nlmsg_get_payload(request);

	request->nlmsg_flags |= NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
	head->ndm_state = NUD_NONE;
	head->ndm_flags = NTF_USE;
	if (is_managed)
		mnl_attr_put_u32(request, NDA_FLAGS_EXT, NTF_EXT_MANAGED);
	return clv_rtnl_request(nl, request, NULL, NULL);
}

int clv_rtnl_resolve(struct mnl_socket *nl, int ifindex, const uint8_t addr[static 16], bool keep)
{
	int err = use_neigh(nl, ifindex, addr, keep);

	/* Kernels before 5.16 have no managed neighbours. */
	return err == -EINVAL && keep ? use_neigh(nl, ifindex, addr, false) : err;
}

/* ---- addresses ---- */

struct addr_reading {
	uint8_t local[16], address[16];
	bool has_local, has_address;
};

static int read_addr_attr(const struct nlattr *attr, void *user)
{
	struct addr_reading *r = user;

	if (mnl_attr_get_type(attr) == IFA_LOCAL)
		r->has_local = attr_addr(attr, r->local);
	else if (mnl_attr_get_type(attr) == IFA_ADDRESS)
		r->has_address = attr_addr(attr, r->address);
	return MNL_CB_OK;
}

int clv_rtnl_read_addr(const struct nlmsghdr *message, struct clv_addr_facts *out)
{
	const struct ifaddrmsg *head = mnl_nlmsg_get_payload(message);
	struct addr_reading reading = { 0 };

	if (message->nlmsg_len < mnl_nlmsg_size(sizeof(*head)) ||
	    (message->nlmsg_type != RTM_NEWADDR && message->nlmsg_type != RTM_DELADDR))
		return CLV_ESYNTAX;
	mnl_attr_parse(message, sizeof(*head), read_addr_attr, &reading);
	if (!reading.has_local && !reading.has_address)
		return CLV_ESYNTAX;
	/* On point-to-point links IFA_ADDRESS is the other end. */
	out->ifindex = (int)head->ifa_index;
	memcpy(out->addr, reading.has_local ? reading.local : reading.address, sizeof(out->addr));
	out->is_gone = message->nlmsg_type == RTM_DELADDR;
	return 0;
}
