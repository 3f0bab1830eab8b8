/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/addresses.h"

#include "control/host/rtnl.h"
#include "datapath/base/addr.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum {
	LINKS_MAX = 256,
	TRIES = 5, /* a list that changes while it is read is read again */
};

struct link {
	int ifindex;
	bool is_virtual;
	bool has_default[2]; /* of IPv4, IPv6 */
};

struct reading {
	struct link links[LINKS_MAX]; /* that are up, and not loopback */
	unsigned link_count;
	struct clv_host_addr *out;
	size_t max, count;
};

static struct link *find_link(struct reading *r, int ifindex)
{
	for (unsigned i = 0; i < r->link_count; i++)
		if (r->links[i].ifindex == ifindex)
			return &r->links[i];
	return NULL;
}

/* ---- links ---- */

/* Interfaces of other kinds are cards, or carry a card's frames (bonds, VLANs). */
static bool is_virtual_kind(const char *kind)
{
	static const char *const kinds[] = { "bridge", "tun",	 "wireguard", "veth",  "ipip",
					     "sit",    "gre",	 "gretap",    "vxlan", "geneve",
					     "dummy",  "ip6tnl", "ip6gre",    "vti",   "xfrm" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kind, kinds[i]) == 0)
			return true;
	return false;
}

static int read_kind(const struct nlattr *attr, void *user)
{
	struct link *link = user;

	if (mnl_attr_get_type(attr) == IFLA_INFO_KIND &&
	    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0)
		link->is_virtual = is_virtual_kind(mnl_attr_get_str(attr));
	return MNL_CB_OK;
}

static int read_link_attr(const struct nlattr *attr, void *user)
{
	if (mnl_attr_get_type(attr) == IFLA_LINKINFO)
		mnl_attr_parse_nested(attr, read_kind, user);
	return MNL_CB_OK;
}

static int read_link(const struct nlmsghdr *message, void *user)
{
	const struct ifinfomsg *head = mnl_nlmsg_get_payload(message);
	struct reading *r = user;
	struct link link;

	if (message->nlmsg_type != RTM_NEWLINK ||
	    message->nlmsg_len < mnl_nlmsg_size(sizeof(*head)) || !(head->ifi_flags & IFF_UP) ||
	    head->ifi_flags & IFF_LOOPBACK || r->link_count == LINKS_MAX)
		return MNL_CB_OK;
	link = (struct link){ .ifindex = head->ifi_index,
			      .is_virtual = head->ifi_flags & IFF_POINTOPOINT };
	mnl_attr_parse(message, sizeof(*head), read_link_attr, &link);
	r->links[r->link_count++] = link;
	return MNL_CB_OK;
}

/* ---- default routes ---- */

struct route {
	struct reading *reading;
	bool is_v6;
};

static void add_default(const struct route *route, int ifindex)
{
	struct link *link = find_link(route->reading, ifindex);

	if (link)
		link->has_default[route->is_v6] = true;
}

static void read_next_hops(const struct nlattr *attr, const struct route *route)
{
	const struct rtnexthop *hop = mnl_attr_get_payload(attr);
	int left = mnl_attr_get_payload_len(attr);

	for (; RTNH_OK(hop, left); left -= NLMSG_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop))
		add_default(route, hop->rtnh_ifindex);
}

static int read_route_attr(const struct nlattr *attr, void *user)
{
	if (mnl_attr_get_type(attr) == RTA_OIF && mnl_attr_validate(attr, MNL_TYPE_U32) == 0)
		add_default(user, (int)mnl_attr_get_u32(attr));
	else if (mnl_attr_get_type(attr) == RTA_MULTIPATH)
		read_next_hops(attr, user);
	return MNL_CB_OK;
}

static int read_route(const struct nlmsghdr *message, void *user)
{
	const struct rtmsg *head = mnl_nlmsg_get_payload(message);
	struct route route = { .reading = user };

	if (message->nlmsg_type != RTM_NEWROUTE ||
	    message->nlmsg_len < mnl_nlmsg_size(sizeof(*head)) || head->rtm_dst_len != 0 ||
	    head->rtm_type != RTN_UNICAST ||
	    (head->rtm_family != AF_INET && head->rtm_family != AF_INET6))
		return MNL_CB_OK;
	route.is_v6 = head->rtm_family == AF_INET6;
	mnl_attr_parse(message, sizeof(*head), read_route_attr, &route);
	return MNL_CB_OK;
}

/* ---- addresses ---- */

static int read_flags(const struct nlattr *attr, void *user)
{
	if (mnl_attr_get_type(attr) == IFA_FLAGS && mnl_attr_validate(attr, MNL_TYPE_U32) == 0)
		*(uint32_t *)user = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static int read_addr(const struct nlmsghdr *message, void *user)
{
	const struct ifaddrmsg *head = mnl_nlmsg_get_payload(message);
	struct clv_addr_facts facts;
	struct reading *r = user;
	const struct link *link;
	struct clv_host_addr *a;
	uint32_t flags;

	if (clv_rtnl_read_addr(message, &facts) || facts.is_gone || r->count == r->max)
		return MNL_CB_OK;
	link = find_link(r, facts.ifindex);
	if (!link)
		return MNL_CB_OK;
	flags = head->ifa_flags;
	mnl_attr_parse(message, sizeof(*head), read_flags, &flags);
	a = &r->out[r->count++];
	*a = (struct clv_host_addr){
		.prefix_bits = (uint8_t)(head->ifa_prefixlen +
					 (clv_addr_is_v4(facts.addr) ? 96u : 0u)),
		.ifindex = facts.ifindex,
		.has_default_route = link->has_default[!clv_addr_is_v4(facts.addr)],
		.is_virtual = link->is_virtual,
		.is_deprecated = flags & (IFA_F_DEPRECATED | IFA_F_TENTATIVE | IFA_F_DADFAILED) &&
				 !(flags & IFA_F_OPTIMISTIC),
	};
	memcpy(a->addr, facts.addr, sizeof(a->addr));
	return MNL_CB_OK;
}

int clv_host_addresses_read(struct mnl_socket *nl, struct clv_host_addr *out, size_t max)
{
	struct reading r = { .out = out, .max = max };
	int err = -EINTR;

	for (int i = 0; i < TRIES && err == -EINTR; i++) {
		r.link_count = 0;
		r.count = 0;
		err = clv_rtnl_dump(nl, RTM_GETLINK, read_link, &r);
		err = err ? err : clv_rtnl_dump(nl, RTM_GETROUTE, read_route, &r);
		err = err ? err : clv_rtnl_dump(nl, RTM_GETADDR, read_addr, &r);
	}
	return err ? err : (int)r.count;
}
