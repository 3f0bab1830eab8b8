/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/core/ports.h"

#include "datapath/base/addr.h"
#include "datapath/base/err.h"

/* Ports of the two families do not compete: [0] IPv4, [1] IPv6. */
static int family_of(const uint8_t addr[static 16])
{
	return !clv_addr_is_v4(addr);
}

int clv_ports_take(const struct clv_ports *p, struct clv_account *account,
		   const struct clv_route *route, const struct clv_endpoint *remote,
		   struct clv_egress *out)
{
	const int family = family_of(route->source);
	struct clv_egress_wish wish = { .remote = remote, .owner = account };
	int err;

	if (p->accounts)
		wish.no_new = clv_accounts_ask(p->accounts, account, CLV_RESOURCE_PORTS, family) !=
			      CLV_ACCOUNTS_OK;
	err = p->host_ops->egress_take(p->host, route, &wish, out);
	if (err) {
		if (wish.no_new) /* counts that it is refused */
			clv_accounts_take(p->accounts, account, CLV_RESOURCE_PORTS, family);
		return err;
	}
	if (out->is_new) /* there was room above */
		clv_accounts_take(p->accounts, account, CLV_RESOURCE_PORTS, family);
	return 0;
}

void clv_ports_give(const struct clv_ports *p, struct clv_egress *egress)
{
	const int family = family_of(egress->local.addr);
	struct clv_account *owner = p->host_ops->egress_give(p->host, egress);

	if (owner)
		clv_accounts_give(p->accounts, owner, CLV_RESOURCE_PORTS, family);
}
