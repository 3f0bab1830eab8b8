/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where this host may be reached: the addresses of its interfaces, and where the relays of its sessions
 * see the socket for peers.  Each node is told, within its privacy.
 */
#include "control/host/rtnl.h"
#include "control/library/culvert_state.h"
#include "control/peer/nat.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"

#include <errno.h>
#include <string.h>

enum {
	HOST_ADDRS_MAX = 64,
};

#define LOOK_NS (5 * CLV_SEC)  /* at the interfaces */
#define ASK_NS	(25 * CLV_SEC) /* the relays; it keeps the socket's port at a NAT, too */

void direct_open(struct culvert *c)
{
	c->direct.nl = clv_rtnl_open(); /* without it, only what relays see is known */
	c->direct.look_ns = c->direct.ask_ns = 0;
}

void direct_close(struct culvert *c)
{
	if (c->direct.nl)
		mnl_socket_close(c->direct.nl);
	c->direct.nl = NULL;
}

void direct_give(struct node *node)
{
	struct clv_direct_local local = node->c->direct.local;

	local.privacy = node->privacy;
	clv_peers_set_local(node->peers, &local, node->c->now_ns);
}

/* ---- what is known ---- */

static void add_host(struct culvert *c, struct clv_direct_local *local)
{
	struct clv_host_addr addrs[HOST_ADDRS_MAX];
	bool is_v6 = !clv_addr_is_v4(c->peer_local.addr);
	__be16 port = c->peer_local.port;
	int n;

	n = c->direct.nl ? clv_host_addresses_read(c->direct.nl, addrs, HOST_ADDRS_MAX) : 0;
	if (n <= 0) {
		local->has_v4 = true; /* not known better */
		return;
	}
	clv_candidates_gather(&local->candidates, addrs, (size_t)n, port, is_v6 ? port : 0);
	for (unsigned i = 0; i < local->candidates.count; i++)
		local->has_v4 |= clv_addr_is_v4(local->candidates.list[i].endpoint.addr);
}

static void add_seen(const struct culvert *c, struct clv_direct_local *local)
{
	for (unsigned i = 0; i < 2; i++) {
		struct clv_candidate seen = { .kind = CLV_CANDIDATE_REFLEXIVE,
					      .base = CLV_BASE_SOCKET,
					      .endpoint = c->direct.seen[i] };

		seen.priority = clv_candidate_priority(seen.kind, seen.endpoint.addr, 0);
		if (seen.endpoint.port)
			clv_candidates_add(&local->candidates, &seen);
	}
}

size_t direct_relays(const struct culvert *c, struct clv_endpoint *out, size_t max)
{
	const struct culvert_session *s;
	size_t n = 0;

	LIST_FOREACH(s, &c->sessions, link)
		for (unsigned i = 0; i < s->addresses_len && n < max; i++)
			out[n++] = s->addresses[i];
	return n;
}

/* Look at the host, and tell the nodes if anything is another now. */
static void look(struct culvert *c)
{
	struct clv_direct_local local;
	struct node *node;

	memset(&local, 0, sizeof(local)); /* compared as a whole */
	local.nat_class = c->direct.nat_class;
	add_host(c, &local);
	add_seen(c, &local);
	local.relay_count = (unsigned)direct_relays(c, local.relays, CLV_ROUND_RELAYS_MAX);
	c->direct.look_ns = c->now_ns + LOOK_NS;
	if (memcmp(&local, &c->direct.local, sizeof(local)) == 0)
		return;
	memcpy(&c->direct.local, &local, sizeof(local));
	LIST_FOREACH(node, &c->nodes, link)
		direct_give(node);
}

/* ---- what relays see ---- */

static void ask(struct culvert *c)
{
	struct clv_endpoint relays[CLV_REFLECT_RELAYS_MAX] = { 0 };
	size_t n = direct_relays(c, relays, CLV_REFLECT_RELAYS_MAX);

	clv_reflect_start(&c->direct.reflect, &c->rand, relays, n, c->now_ns);
	c->direct.ask_ns = c->now_ns + (n ? ASK_NS : CLV_SEC);
}

/*
 * An address that nobody sees any more is kept: it was right, and is asked for again.  While a round of
 * questions is under way, less is known than after the one before: nothing that was known changes, or else
 * peers would take each round for another network, and try everything again.
 */
static void judge(struct culvert *c)
{
	struct clv_nat_observation list[CLV_REFLECT_RELAYS_MAX];
	const struct clv_reflect *r = &c->direct.reflect;
	bool is_done = clv_reflect_is_done(r);

	for (size_t i = 0; i < r->relays_len; i++)
		list[i] = (struct clv_nat_observation){ r->relays[i].relay, r->relays[i].seen };
	for (unsigned is_v6 = 0; is_v6 < 2; is_v6++) {
		struct clv_endpoint unknown = { .port = 0 };
		struct clv_nat_verdict v = clv_nat_judge(list, r->relays_len, &unknown, is_v6);

		if (v.seen.port && (is_done || !c->direct.seen[is_v6].port))
			c->direct.seen[is_v6] = v.seen;
		if (!is_v6 && is_done)
			c->direct.nat_class = (uint8_t)v.class;
	}
	look(c);
}

static void send_requests(struct culvert *c)
{
	struct clv_reflect *r = &c->direct.reflect;
	uint8_t request[CLV_STUN_HEADER_LEN];
	bool was_done = clv_reflect_is_done(r);
	int i;

	while ((i = clv_reflect_next(r, c->now_ns, request)) >= 0) {
		struct sockaddr_storage sa;
		socklen_t len = clv_endpoint_to_sockaddr(&r->relays[i].relay,
							 !clv_addr_is_v4(c->peer_local.addr), &sa);

		if (sendto(c->peer_fd, request, sizeof(request), 0, (struct sockaddr *)&sa, len) <
		    0)
			clv_reflect_fail(r, i, -errno);
	}
	if (!was_done && clv_reflect_is_done(r))
		judge(c); /* who has not answered does not */
}

bool direct_take(struct culvert *c, const struct clv_endpoint *from, const uint8_t *payload,
		 size_t len)
{
	if (!clv_stun_matches(payload, len))
		return false;
	if (clv_reflect_take(&c->direct.reflect, from, payload, len, c->now_ns) == 0)
		judge(c);
	return true;
}

void direct_step(struct culvert *c)
{
	if (c->peer_fd < 0 || LIST_EMPTY(&c->nodes))
		return;
	if (c->now_ns >= c->direct.ask_ns)
		ask(c);
	send_requests(c);
	if (c->now_ns >= c->direct.look_ns)
		look(c);
}

uint64_t direct_next_ns(const struct culvert *c)
{
	uint64_t at_ns = clv_reflect_next_ns(&c->direct.reflect);

	if (c->peer_fd < 0 || LIST_EMPTY(&c->nodes))
		return UINT64_MAX;
	if (c->direct.ask_ns < at_ns)
		at_ns = c->direct.ask_ns;
	return c->direct.look_ns < at_ns ? c->direct.look_ns : at_ns;
}
