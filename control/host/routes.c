/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/routes.h"

#include "control/host/fib_cache.h"
#include "control/host/neighbours.h"
#include "control/host/nic.h"
#include "control/host/rtnl.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/base/rand.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	EVENT_BUFFER = 32768,
	EVENT_BATCH = 512,   /* read in one call; fd stays readable when there are more */
	ANSWERS_MAX = 16384, /* cached FIB answers; a new target takes two */
	MOVED_MAX = 1024,    /* changed neighbours that are told one by one */
	TRIES_MAX = 16,	     /* when a list changes while it is read */
};

#define ANSWERS_NS (10 * CLV_SEC) /* learnt path MTUs change without a notification */

#define ALL_CHANGES (CLV_ROUTES_HOPS | CLV_ROUTES_ADDRESSES | CLV_ROUTES_LINKS | CLV_ROUTES_UPLINKS)

struct link {
	struct clv_nic nic;
	int number; /* of its AF_XDP sockets, or -1 */
};

/* A link with AF_XDP sockets; may be set before the kernel reports the link, and outlive it. */
struct served {
	int ifindex, number;
};

struct own {
	uint8_t addr[16];
	int ifindex;
};

struct clv_routes {
	struct mnl_socket *events, *requests;
	struct link *links;
	size_t links_len, links_room;
	struct served served[CLV_LINKS_MAX];
	size_t served_len;
	struct own *own;
	uint8_t (*own_list)[16]; /* the addresses of own, without link-local ones */
	size_t own_len, own_list_len, own_room;
	struct clv_fib_cache answers;
	uint64_t answers_until_ns;
	struct clv_neighbours neighbours;
	uint8_t moved[MOVED_MAX][16]; /* neighbours that changed, for clv_routes_moved */
	size_t moved_len;
	uint64_t seed[2];
	uint32_t mark;	     /* of what the relay sends */
	bool is_out_of_sync; /* notifications were lost, or not all state could be read */
};

/* ---- links ---- */

/* Returns the index of an interface in served, or served_len. */
static size_t served_at(const struct clv_routes *r, int ifindex)
{
	size_t i;

	for (i = 0; i < r->served_len; i++)
		if (r->served[i].ifindex == ifindex)
			break;
	return i;
}

static int number_of(const struct clv_routes *r, int ifindex)
{
	size_t i = served_at(r, ifindex);

	return i < r->served_len ? r->served[i].number : -1;
}

static struct link *find_link(const struct clv_routes *r, int ifindex)
{
	size_t i;

	for (i = 0; i < r->links_len; i++)
		if (r->links[i].nic.ifindex == ifindex)
			return (struct link *)&r->links[i];
	return NULL;
}

static int grow_links(struct clv_routes *r)
{
	size_t room = r->links_room ? 2 * r->links_room : 64;
	struct link *links = realloc(r->links, room * sizeof(*links));

	if (!links)
		return -ENOMEM;
	r->links = links;
	r->links_room = room;
	return 0;
}

static unsigned take_link(struct clv_routes *r, const struct nlmsghdr *message)
{
	const struct ifinfomsg *head = mnl_nlmsg_get_payload(message);
	const unsigned relevant = IFF_UP | IFF_LOWER_UP;
	struct link *link;
	struct clv_nic nic;
	bool is_same;

	/* A bridge reports its ports in additional messages. */
	if (clv_nic_from_message(message, &nic) || head->ifi_family == AF_BRIDGE)
		return 0;
	link = find_link(r, nic.ifindex);
	if (message->nlmsg_type == RTM_DELLINK) {
		if (!link)
			return 0;
		*link = r->links[--r->links_len];
		return CLV_ROUTES_LINKS | CLV_ROUTES_HOPS;
	}
	if (!link) {
		if (r->links_len == r->links_room && grow_links(r)) {
			clv_log(CLV_LOG_ERROR, "interface_ignored", "if=%s err=\"out of memory\"",
				nic.name);
			return 0;
		}
		r->links[r->links_len++] = (struct link){ nic, number_of(r, nic.ifindex) };
		return CLV_ROUTES_LINKS | CLV_ROUTES_HOPS;
	}
	is_same = memcmp(link->nic.mac, nic.mac, sizeof(nic.mac)) == 0 &&
		  strcmp(link->nic.name, nic.name) == 0 && link->nic.mtu == nic.mtu &&
		  link->nic.parent == nic.parent && link->nic.vlan_id == nic.vlan_id &&
		  link->nic.master == nic.master && ((link->nic.flags ^ nic.flags) & relevant) == 0;
	link->nic = nic;
	return is_same ? 0 : CLV_ROUTES_LINKS | CLV_ROUTES_HOPS;
}

/*
 * Returns the AF_XDP link that carries the frames of an interface, with their VLAN tags there, or
 * -1 when the kernel sends them.  An outer tag must be a service tag; workers write no other.
 */
static int xdp_link(const struct clv_routes *r, const struct link *link,
		    uint16_t vlan_id[static CLV_VLAN_TAGS_MAX])
{
	uint16_t tags[CLV_VLAN_TAGS_MAX] = { 0 };
	unsigned depth = 0;

	while (link && link->number < 0 && link->nic.parent && depth < CLV_VLAN_TAGS_MAX) {
		if (link->nic.vlan_protocol != (depth ? ETH_P_8021AD : ETH_P_8021Q))
			return -1;
		memmove(tags + 1, tags, sizeof(tags) - sizeof(tags[0]));
		tags[0] = link->nic.vlan_id;
		depth++;
		link = find_link(r, link->nic.parent);
	}
	if (!link || link->number < 0 || link->nic.arp_type != ARPHRD_ETHER)
		return -1;
	memcpy(vlan_id, tags, sizeof(tags));
	return link->number;
}

void clv_routes_set_link(struct clv_routes *r, int ifindex, int number)
{
	struct link *link = find_link(r, ifindex);
	size_t i = served_at(r, ifindex);

	if (number >= 0 && i < CLV_LINKS_MAX) {
		r->served[i] = (struct served){ ifindex, number };
		r->served_len += i == r->served_len;
	} else if (number < 0 && i < r->served_len) {
		r->served[i] = r->served[--r->served_len];
	}
	if (link)
		link->number = number_of(r, ifindex);
}

/* ---- our own addresses ---- */

static bool is_link_local(const uint8_t addr[static 16])
{
	return addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80;
}

/* Rebuild the list that callers get, without duplicates: an address may be on two interfaces. */
static void list_own(struct clv_routes *r)
{
	size_t i, k;

	r->own_list_len = 0;
	for (i = 0; i < r->own_len; i++) {
		for (k = 0; k < r->own_list_len; k++)
			if (memcmp(r->own_list[k], r->own[i].addr, 16) == 0)
				break;
		if (k == r->own_list_len && !is_link_local(r->own[i].addr))
			memcpy(r->own_list[r->own_list_len++], r->own[i].addr, 16);
	}
}

static int grow_own(struct clv_routes *r)
{
	size_t room = r->own_room ? 2 * r->own_room : 64;
	struct own *own = realloc(r->own, room * sizeof(*own));
	uint8_t(*list)[16];

	if (!own)
		return -ENOMEM;
	r->own = own;
	list = realloc(r->own_list, room * sizeof(*list));
	if (!list)
		return -ENOMEM;
	r->own_list = list;
	r->own_room = room;
	return 0;
}

static unsigned take_addr(struct clv_routes *r, const struct nlmsghdr *message)
{
	struct clv_addr_facts facts;
	size_t i;

	if (clv_rtnl_read_addr(message, &facts))
		return 0;
	for (i = 0; i < r->own_len; i++)
		if (r->own[i].ifindex == facts.ifindex &&
		    memcmp(r->own[i].addr, facts.addr, sizeof(facts.addr)) == 0)
			break;
	if (facts.is_gone == (i == r->own_len))
		return 0; /* known already: lifetimes and flags are reported the same way */
	if (facts.is_gone) {
		r->own[i] = r->own[--r->own_len];
	} else {
		if (r->own_len == r->own_room && grow_own(r)) {
			clv_log(CLV_LOG_ERROR, "address_ignored", "err=\"out of memory\"");
			return 0;
		}
		memcpy(r->own[r->own_len].addr, facts.addr, sizeof(facts.addr));
		r->own[r->own_len++].ifindex = facts.ifindex;
	}
	list_own(r);
	return CLV_ROUTES_ADDRESSES | CLV_ROUTES_HOPS;
}

/* A linear search: a relay has few addresses, and this runs once per request. */
bool clv_routes_is_own(const struct clv_routes *r, const uint8_t addr[static 16])
{
	size_t i;

	for (i = 0; i < r->own_len; i++)
		if (memcmp(r->own[i].addr, addr, 16) == 0)
			return true;
	return false;
}

bool clv_routes_is_tagged(const struct clv_routes *r, const uint8_t addr[static 16])
{
	for (size_t i = 0; i < r->own_len; i++) {
		const struct link *link = find_link(r, r->own[i].ifindex);

		if (link && link->nic.vlan_id && memcmp(r->own[i].addr, addr, 16) == 0)
			return true;
	}
	return false;
}

bool clv_routes_is_served(const struct clv_routes *r, const uint8_t addr[static 16])
{
	uint16_t tags[CLV_VLAN_TAGS_MAX];
	size_t i;

	for (i = 0; i < r->own_len; i++)
		if (memcmp(r->own[i].addr, addr, 16) == 0 &&
		    xdp_link(r, find_link(r, r->own[i].ifindex), tags) >= 0)
			return true;
	return false;
}

size_t clv_routes_own(const struct clv_routes *r, const uint8_t (**out)[16])
{
	*out = (const uint8_t(*)[16])r->own_list;
	return r->own_list_len;
}

/* ---- lookup ---- */

/* local: NULL or a wildcard: the kernel chooses. */
static int query_fib(struct clv_routes *r, const uint8_t *local, const uint8_t remote[static 16],
		     struct clv_fib_answer *out)
{
	struct clv_fib_query query = { .mark = r->mark };
	const struct clv_fib_answer *known;

	memcpy(query.remote, remote, sizeof(query.remote));
	if (local && !clv_addr_is_wildcard(local))
		memcpy(query.local, local, sizeof(query.local));
	known = clv_fib_cache_find(&r->answers, &query);
	if (known) {
		*out = *known;
		return out->is_usable ? 0 : CLV_EUNROUTABLE;
	}
	if (clv_rtnl_route(r->requests, &query, out))
		return CLV_EUNROUTABLE; /* not cached: clients must not fill the table with such targets */
	clv_fib_cache_put(&r->answers, &query, out);
	return out->is_usable ? 0 : CLV_EUNROUTABLE;
}

/*
 * The way of packets from local, or without it from the source that the kernel chooses: once chosen,
 * rules about sources apply to it, as for a socket that is connected.
 */
static int find_way(struct clv_routes *r, const uint8_t *local, const uint8_t remote[static 16],
		    struct clv_fib_answer *out)
{
	struct clv_fib_answer choice;
	int err;

	if (local && !clv_addr_is_wildcard(local))
		return query_fib(r, local, remote, out);
	err = query_fib(r, NULL, remote, &choice);
	return err ? err : query_fib(r, choice.source, remote, out);
}

bool clv_routes_is_host(struct clv_routes *r, const uint8_t addr[static 16])
{
	struct clv_fib_answer answer = { 0 };

	if (clv_routes_is_own(r, addr))
		return true;
	/* Answers that are not usable are filled in, too. */
	query_fib(r, NULL, addr, &answer);
	return answer.is_host;
}

static bool is_public(const uint8_t addr[static 16])
{
	static const uint8_t loopback[16] = { [15] = 1 };

	if (clv_addr_is_v4(addr))
		return addr[12] != 127 && !(addr[12] == 169 && addr[13] == 254);
	return !is_link_local(addr) && memcmp(addr, loopback, sizeof(loopback)) != 0;
}

int clv_routes_source(struct clv_routes *r, bool is_v6, uint8_t addr[static 16])
{
	struct clv_fib_answer answer;
	const uint8_t *found = NULL;

	if (query_fib(r, NULL, clv_rtnl_internet[is_v6], &answer) == 0 &&
	    clv_routes_is_own(r, answer.source) && is_public(answer.source)) {
		memcpy(addr, answer.source, 16);
		return 0;
	}
	for (size_t i = 0; i < r->own_list_len; i++) {
		const uint8_t *own = r->own_list[i];

		if (clv_addr_is_v4(own) == is_v6 || !is_public(own))
			continue;
		if (!found || (!clv_routes_is_served(r, found) && clv_routes_is_served(r, own)))
			found = own;
	}
	if (!found)
		return CLV_EUNROUTABLE;
	memcpy(addr, found, 16);
	return 0;
}

static uint8_t hop_state(const struct clv_neigh *n)
{
	if (n->state == CLV_NEIGH_RESOLVING)
		return CLV_HOP_RESOLVING;
	return n->state == CLV_NEIGH_READY ? CLV_HOP_READY : CLV_HOP_UNREACHABLE;
}

static uint16_t smaller_mtu(uint32_t link_mtu, uint16_t route_mtu)
{
	uint16_t mtu = link_mtu > UINT16_MAX ? UINT16_MAX : (uint16_t)link_mtu;

	return route_mtu && route_mtu < mtu ? route_mtu : mtu;
}

bool clv_routes_is_new(struct clv_routes *r, const uint8_t *local, const uint8_t remote[static 16])
{
	uint16_t tags[CLV_VLAN_TAGS_MAX];
	struct clv_fib_answer answer;

	if (find_way(r, local, remote, &answer) || answer.is_local || answer.is_tunnelled ||
	    xdp_link(r, find_link(r, answer.oif), tags) < 0)
		return false; /* the kernel looks up neighbours itself, or there are none */
	return !clv_neighbours_is_known(&r->neighbours, &answer);
}

int clv_routes_lookup(struct clv_routes *r, const uint8_t *local, const uint8_t remote[static 16],
		      struct clv_route *out)
{
	struct clv_fib_answer answer;
	struct clv_route route = { 0 };
	const struct link *link;
	const struct clv_neigh *n;
	int err, number;

	err = find_way(r, local, remote, &answer);
	if (err)
		return err;
	/* A host with only link-local addresses has no connectivity of that family. */
	if (clv_addr_is_any(answer.source) ||
	    (is_link_local(answer.source) && !is_link_local(remote)))
		return CLV_EUNROUTABLE;
	link = find_link(r, answer.oif);
	memcpy(route.source, answer.source, sizeof(route.source));
	route.hop.mtu = smaller_mtu(link ? link->nic.mtu : UINT16_MAX, answer.mtu);

	number = answer.is_local || answer.is_tunnelled ? -1
							: xdp_link(r, link, route.hop.l2.vlan_id);
	if (number < 0) {
		route.hop.via = CLV_VIA_KERNEL; /* which resolves neighbours itself */
		route.hop.state = CLV_HOP_READY;
		*out = route;
		return 0;
	}
	route.hop.via = CLV_VIA_XSK;
	route.hop.link = (uint16_t)number;
	memcpy(route.hop.l2.src_mac, link->nic.mac, sizeof(route.hop.l2.src_mac));
	if ((link->nic.flags & (IFF_UP | IFF_LOWER_UP)) != (IFF_UP | IFF_LOWER_UP)) {
		route.hop.state = CLV_HOP_UNREACHABLE;
	} else {
		n = clv_neighbours_lookup(&r->neighbours, &answer);
		route.hop.state = hop_state(n);
		if (route.hop.state == CLV_HOP_READY)
			memcpy(route.hop.l2.dst_mac, n->mac, sizeof(route.hop.l2.dst_mac));
	}
	*out = route;
	return 0;
}

/* ---- changes ---- */

struct taking {
	struct clv_routes *r;
	unsigned changes;
};

static unsigned take_neighbour(struct clv_routes *r, const struct nlmsghdr *message)
{
	struct clv_neigh_change change;

	if (!clv_neighbours_take(&r->neighbours, message, &change))
		return 0;
	if (change.is_gateway || r->moved_len == MOVED_MAX)
		return CLV_ROUTES_HOPS;
	memcpy(r->moved[r->moved_len++], change.addr, sizeof(change.addr));
	return CLV_ROUTES_NEIGHBOURS;
}

uint64_t clv_routes_evicted(const struct clv_routes *r)
{
	return r->neighbours.evicted;
}

size_t clv_routes_moved(struct clv_routes *r, const uint8_t (**out)[16])
{
	size_t len = r->moved_len;

	*out = (const uint8_t(*)[16])r->moved;
	r->moved_len = 0;
	return len;
}

static bool is_default(const struct nlmsghdr *message)
{
	const struct rtmsg *head = mnl_nlmsg_get_payload(message);

	return message->nlmsg_len >= mnl_nlmsg_size(sizeof(*head)) && !head->rtm_dst_len;
}

static int take(const struct nlmsghdr *message, void *user)
{
	struct taking *t = user;

	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		t->changes |= take_link(t->r, message);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		t->changes |= take_addr(t->r, message);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		t->changes |= take_neighbour(t->r, message);
		return MNL_CB_OK; /* does not affect routes */
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		t->changes |= CLV_ROUTES_HOPS | (is_default(message) ? CLV_ROUTES_UPLINKS : 0);
		break;
	default: /* rules, nexthops */
		t->changes |= CLV_ROUTES_HOPS | CLV_ROUTES_UPLINKS;
		break;
	}
	if (t->changes & ~(unsigned)CLV_ROUTES_NEIGHBOURS)
		clv_fib_cache_forget(&t->r->answers);
	return MNL_CB_OK;
}

static int read_once(struct clv_routes *r)
{
	struct taking t = { .r = r };
	int err;

	r->links_len = 0;
	r->own_len = 0;
	clv_neighbours_forget(&r->neighbours);
	clv_fib_cache_forget(&r->answers);
	err = clv_rtnl_dump(r->requests, RTM_GETLINK, take, &t);
	err = err ? err : clv_rtnl_dump(r->requests, RTM_GETADDR, take, &t);
	list_own(r);
	return err;
}

/* Read the complete state from the kernel. */
static int read_all(struct clv_routes *r)
{
	int err, tries = 0;

	do
		err = read_once(r);
	while (err == -EINTR && ++tries < TRIES_MAX);
	r->is_out_of_sync = err != 0;
	return err;
}

/* Process waiting notifications.  Returns whether none are left. */
static bool take_notifications(struct clv_routes *r, struct taking *t)
{
	char buffer[EVENT_BUFFER];
	unsigned i;
	ssize_t n;

	for (i = 0; i < EVENT_BATCH; i++) {
		n = mnl_socket_recvfrom(r->events, buffer, sizeof(buffer));
		if (n > 0) {
			mnl_cb_run(buffer, (size_t)n, 0, 0, take, t);
		} else if (n < 0 && errno == ENOBUFS) {
			clv_log(CLV_LOG_WARN, "routes_resync", "cause=\"notifications lost\"");
			r->is_out_of_sync = true;
		} else if (n == 0 || errno != EINTR) {
			return true;
		}
	}
	return false;
}

unsigned clv_routes_process(struct clv_routes *r)
{
	struct taking t = { .r = r };
	int err;

	/*
	 * After a loss the kernel drops all notifications, without another error, until none wait.
	 */
	if (!take_notifications(r, &t) || !r->is_out_of_sync)
		return t.changes;
	err = read_all(r);
	if (err)
		clv_log(CLV_LOG_ERROR, "routes_resync_failed",
			"err=\"%s\" hint=\"retried in a second\"", clv_strerror(err));
	return ALL_CHANGES;
}

unsigned clv_routes_tick(struct clv_routes *r, uint64_t now_ns)
{
	unsigned changes = 0;

	if (r->is_out_of_sync)
		changes = clv_routes_process(r);
	if (now_ns >= r->answers_until_ns) {
		clv_fib_cache_forget(&r->answers);
		r->answers_until_ns = now_ns + ANSWERS_NS;
	}
	clv_neighbours_retry(&r->neighbours, now_ns);
	return changes;
}

int clv_routes_fd(const struct clv_routes *r)
{
	return mnl_socket_get_fd(r->events);
}

/* ---- open and close ---- */

static int reserve(struct clv_routes *r)
{
	struct clv_rand rand;
	int err;

	clv_rand_init(&rand, 0);
	clv_rand_bytes(&rand, r->seed, sizeof(r->seed));
	err = clv_fib_cache_init(&r->answers, ANSWERS_MAX, r->seed);
	return err ? err
		   : clv_neighbours_init(&r->neighbours, r->requests, CLV_NEIGHBOURS_MAX, r->seed);
}

int clv_routes_open(struct clv_routes **out)
{
	struct clv_routes *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->requests = clv_rtnl_open();
	/* Subscribe before the dump, so that no change is missed in between. */
	r->events = r->requests ? clv_rtnl_open_events() : NULL;
	err = r->events ? reserve(r) : -errno;
	err = err ? err : read_all(r);
	if (err)
		clv_routes_close(r);
	else
		*out = r;
	return err;
}

void clv_routes_set_mark(struct clv_routes *r, uint32_t mark)
{
	r->mark = mark;
}

void clv_routes_close(struct clv_routes *r)
{
	if (!r)
		return;
	clv_neighbours_fini(&r->neighbours);
	if (r->events)
		mnl_socket_close(r->events);
	if (r->requests)
		mnl_socket_close(r->requests);
	clv_fib_cache_fini(&r->answers);
	free(r->links);
	free(r->own);
	free(r->own_list);
	free(r);
}
