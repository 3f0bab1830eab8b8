/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/reach.h"

#include <string.h>

#include "control/proxy/state.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"

/* The is_own of clv_policy_check. */
static bool is_own_address(void *user, const uint8_t addr[16])
{
	const struct clv_requests_config *config = user;
	const struct clv_bound_settings *s = config->bound;
	bool v6 = !clv_addr_is_v4(addr);

	if (s->has_public[v6] && memcmp(s->public_addr[v6], addr, 16) == 0)
		return true;
	return config->host_ops->is_own_address(config->host, addr);
}

int clv_reach_judge(const struct clv_requests_config *config, const uint8_t addr[16],
		    const char **why)
{
	return clv_policy_check(config->policy, addr, is_own_address, (void *)(uintptr_t)config,
				why);
}

static int find_route(const struct clv_requests_config *config, const uint8_t *local,
		      const uint8_t addr[16], struct clv_route *route, const char **why)
{
	if (config->host_ops->route(config->host, local, addr, route) == 0)
		return 0;
	*why = clv_addr_is_v4(addr) ? "no IPv4 route" : "no IPv6 route";
	return CLV_EUNROUTABLE;
}

int clv_reach(const struct clv_requests_config *config, const uint8_t *local,
	      const uint8_t addr[16], struct clv_route *route, const char **why)
{
	int err = clv_reach_judge(config, addr, why);

	return err ? err : find_route(config, local, addr, route, why);
}

static bool may_look_up(struct clv_requests *rs, const uint8_t *local, const uint8_t addr[16])
{
	const struct clv_requests_config *config = rs->params.config;

	return !config->host_ops->is_new_neighbour ||
	       !config->host_ops->is_new_neighbour(config->host, local, addr) ||
	       clv_accounts_may_look_up(config->accounts, clv_requests_payer(rs), *config->now_ns);
}

int clv_reach_first(struct clv_requests *rs, const uint8_t *local, const uint8_t addr[16],
		    struct clv_route *route, const char **why)
{
	const struct clv_requests_config *config = rs->params.config;
	int err = clv_reach_judge(config, addr, why);

	if (err)
		return err;
	if (may_look_up(rs, local, addr))
		return find_route(config, local, addr, route, why);
	*why = "too many new neighbours";
	clv_requests_count(rs, CLV_COUNT_REFUSED_NEIGHBOURS);
	return CLV_EFULL;
}

static void blame(struct clv_reach_failure *f, enum clv_proxy_error error, const char *details,
		  const struct clv_endpoint *ep)
{
	/* That an allowed address is out of reach says more than that another is prohibited. */
	if (f->why.error != CLV_PROXY_OK && error == CLV_PROXY_DESTINATION_IP_PROHIBITED)
		return;
	f->why = (struct clv_proxy_status){ .error = error, .details = details };
	/* Where a name leads inside is nobody's business: the target stands as it was asked for. */
	if (error == CLV_PROXY_DESTINATION_IP_PROHIBITED)
		return;
	clv_addr_format(ep->addr, f->next_hop, sizeof(f->next_hop));
	f->why.next_hop = f->next_hop;
}

static bool is_reachable(struct clv_requests *rs, const struct clv_endpoint *ep,
			 struct clv_route *route, struct clv_reach_failure *f)
{
	const char *why = NULL;
	int err = clv_reach_first(rs, NULL, ep->addr, route, &why);

	if (err == CLV_EFULL)
		blame(f, CLV_PROXY_CONNECTION_LIMIT_REACHED, why, ep);
	else if (err == CLV_EUNROUTABLE)
		blame(f, CLV_PROXY_DESTINATION_IP_UNROUTABLE, why, ep);
	else if (err)
		blame(f, CLV_PROXY_DESTINATION_IP_PROHIBITED, why, ep);
	else if (route->hop.state == CLV_HOP_UNREACHABLE)
		blame(f, CLV_PROXY_DESTINATION_UNAVAILABLE, "the next hop does not answer", ep);
	else
		return true;
	return false;
}

_Static_assert(CLV_RESOLVE_MAX <= 32, "a bit of *seen for each address");

const struct clv_endpoint *clv_reach_choose(struct clv_requests *rs,
					    const struct clv_endpoint *addrs, size_t len,
					    bool wants_v4, uint32_t *seen, struct clv_route *route,
					    struct clv_reach_failure *failure)
{
	for (int other = 0; other <= 1; other++)
		for (size_t i = 0; i < len; i++) {
			if (*seen & 1u << i || clv_addr_is_v4(addrs[i].addr) != (wants_v4 != other))
				continue;
			*seen |= 1u << i;
			if (is_reachable(rs, &addrs[i], route, failure))
				return &addrs[i];
		}
	return NULL;
}
