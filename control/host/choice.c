/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/choice.h"

#include "control/host/rtnl.h"
#include "datapath/base/addr.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

enum {
	TRIES_MAX = 16,	 /* when a list changes while it is read */
	LEVELS_MAX = 4,	 /* of VLAN devices above each other */
	HOST_BITS4 = 32, /* of a prefix that is one address */
	HOST_BITS6 = 128,
};

/* ---- reading ---- */

struct reading {
	struct clv_choice *choice;
	uint8_t own[CLV_CHOICE_ADDRESSES_MAX][16];
	size_t own_len;
};

static int take_address(const struct nlmsghdr *message, void *user)
{
	const struct ifaddrmsg *head = mnl_nlmsg_get_payload(message);
	struct reading *r = user;
	struct clv_choice *c = r->choice;
	struct clv_addr_facts facts;

	if (clv_rtnl_read_addr(message, &facts) || facts.is_gone ||
	    head->ifa_scope != RT_SCOPE_UNIVERSE)
		return MNL_CB_OK;
	if (r->own_len < CLV_CHOICE_ADDRESSES_MAX)
		memcpy(r->own[r->own_len++], facts.addr, sizeof(facts.addr));
	if (head->ifa_prefixlen < (clv_addr_is_v4(facts.addr) ? HOST_BITS4 : HOST_BITS6) &&
	    c->addressed_len < CLV_CHOICE_ADDRESSES_MAX)
		c->addressed[c->addressed_len++] = facts.ifindex;
	return MNL_CB_OK;
}

/* local: NULL: from whatever address the kernel chooses. */
static void ask_uplink(struct clv_choice *c, struct mnl_socket *nl, const uint8_t *local,
		       bool is_v6, uint32_t mark)
{
	struct clv_fib_query query = { .mark = mark };
	struct clv_fib_answer answer;

	memcpy(query.remote, clv_rtnl_internet[is_v6], sizeof(query.remote));
	if (local)
		memcpy(query.local, local, sizeof(query.local));
	if (clv_rtnl_route(nl, &query, &answer) || !answer.is_usable || answer.is_host)
		return;
	if (c->uplinks_len < sizeof(c->uplinks) / sizeof(c->uplinks[0]))
		c->uplinks[c->uplinks_len++] = answer.oif;
}

int clv_choice_read(uint32_t mark, struct clv_choice *out)
{
	struct mnl_socket *nl = clv_rtnl_open();
	struct reading *r = calloc(1, sizeof(*r));
	int err = nl && r ? 0 : -ENOMEM, n, tries = 0;
	size_t i;

	memset(out, 0, sizeof(*out));
	if (err)
		goto close;
	n = clv_nic_list(&out->nics);
	if (n < 0) {
		err = n;
		goto close;
	}
	out->nics_len = (size_t)n;
	r->choice = out;
	do {
		r->own_len = out->addressed_len = 0;
		err = clv_rtnl_dump(nl, RTM_GETADDR, take_address, r);
	} while (err == -EINTR && ++tries < TRIES_MAX);
	if (err)
		goto close;
	ask_uplink(out, nl, NULL, false, mark);
	ask_uplink(out, nl, NULL, true, mark);
	for (i = 0; i < r->own_len; i++)
		ask_uplink(out, nl, r->own[i], !clv_addr_is_v4(r->own[i]), mark);
close:
	if (err)
		clv_choice_fini(out);
	free(r);
	if (nl)
		mnl_socket_close(nl);
	return err;
}

void clv_choice_fini(struct clv_choice *choice)
{
	free(choice->nics);
	memset(choice, 0, sizeof(*choice));
}

/* ---- judging ---- */

bool clv_choice_is_candidate(const struct clv_nic *nic)
{
	return nic->flags & IFF_UP && !(nic->flags & IFF_LOOPBACK) &&
	       nic->arp_type == ARPHRD_ETHER && !nic->parent && !nic->master;
}

static const struct clv_nic *find(const struct clv_choice *c, int ifindex)
{
	size_t i;

	for (i = 0; i < c->nics_len; i++)
		if (c->nics[i].ifindex == ifindex)
			return &c->nics[i];
	return NULL;
}

/* Whether one of a list is the interface, or a VLAN device above it. */
static bool has(const struct clv_choice *c, const int *list, size_t len, int ifindex)
{
	size_t i;

	for (i = 0; i < len; i++) {
		const struct clv_nic *nic = find(c, list[i]);
		unsigned level = 0;

		while (nic && nic->parent && level++ < LEVELS_MAX)
			nic = find(c, nic->parent);
		if (nic && nic->ifindex == ifindex)
			return true;
	}
	return false;
}

static bool is_bond(const struct clv_nic *nic)
{
	return strcmp(nic->kind, "bond") == 0 || strcmp(nic->kind, "team") == 0;
}

static bool has_member_with_device(const struct clv_choice *c, int master)
{
	size_t i;

	for (i = 0; i < c->nics_len; i++)
		if (c->nics[i].master == master && c->nics[i].has_device)
			return true;
	return false;
}

static bool is_without_devices(const struct clv_choice *c)
{
	size_t i;

	for (i = 0; i < c->nics_len; i++)
		if (c->nics[i].has_device)
			return false;
	return true;
}

bool clv_choice_takes(const struct clv_choice *choice, const struct clv_nic *nic)
{
	if (!clv_choice_is_candidate(nic))
		return false;
	if (nic->has_device || (is_bond(nic) && has_member_with_device(choice, nic->ifindex)))
		return true;
	if (has(choice, choice->uplinks, choice->uplinks_len, nic->ifindex))
		return true;
	return strcmp(nic->kind, "veth") == 0 && is_without_devices(choice) &&
	       has(choice, choice->addressed, choice->addressed_len, nic->ifindex);
}
