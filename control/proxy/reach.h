/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * reach - whether the relay may send to an address, and by which route; and which address of a
 * target to use.
 *
 * Threading: control.
 */
#ifndef CLV_PROXY_REACH_H
#define CLV_PROXY_REACH_H

#include <stdbool.h>
#include <stdint.h>

#include "control/masque/proxy_status.h"
#include "control/proxy/request.h"
#include "datapath/base/addr.h"

/*
 * The one question whether an address may be reached, asked for new targets and remotes and again
 * whenever policy, addresses or routes changed.  Denied is what the policy denies, and what is this
 * machine's own, as it is or as a 1:1 NAT in front of the relay advertises it.
 * Returns 0, or CLV_EDENIED with *why as of clv_reach.
 */
int clv_reach_judge(const struct clv_requests_config *config, const uint8_t addr[16],
		    const char **why);

/*
 * Ask the policy about an address, and for the route to it.  local: of the port that sends there;
 * NULL: there is none yet, it will be on the route's source.  The route's next hop may be
 * unreachable.
 * Returns 0 and fills *route; or CLV_EDENIED or CLV_EUNROUTABLE, with *why a text for Proxy-Status
 * (lives as long as the policy).
 */
int clv_reach(const struct clv_requests_config *config, const uint8_t *local,
	      const uint8_t addr[16], struct clv_route *route, const char **why);
/*
 * The same for what a client asks for the first time: if a neighbour on the link has to be looked
 * for, the client is charged.  Also returns CLV_EFULL, counted: there are too many such look-ups.
 */
int clv_reach_first(struct clv_requests *rs, const uint8_t *local, const uint8_t addr[16],
		    struct clv_route *route, const char **why);

/* Why none of a target's addresses can be used: the most informative reason among them. */
struct clv_reach_failure {
	struct clv_proxy_status why; /* next_hop names the address, if it is not prohibited */
	char next_hop[CLV_ADDR_TEXT_MAX];
};

/*
 * The next of a target's addresses that can be reached now.  Of two families, the one that is wanted
 * comes first.  seen: a bit for each address that was looked at, which are left out; more are set.
 * failure: zeroed.
 * Returns it with its route in *route; or NULL and fills *failure.
 */
const struct clv_endpoint *clv_reach_choose(struct clv_requests *rs,
					    const struct clv_endpoint *addrs, size_t len,
					    bool wants_v4, uint32_t *seen, struct clv_route *route,
					    struct clv_reach_failure *failure);

#endif
