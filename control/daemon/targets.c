/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/targets.h"

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/base/nat64.h"

#include <stdio.h>
#include <string.h>

#define AGAIN_NS (60 * CLV_SEC) /* the resolver keeps the answer for its TTL */
#define SOON_NS	 (3 * CLV_SEC)	/* when there was no answer */

/* ---- the policy ---- */

/* The kernel's table first: it only sees packets to drop. */
int clv_targets_set_policy(struct clv_daemon *daemon, const struct clv_config *config)
{
	struct clv_policy *policy;
	int err;

	err = clv_config_policy(config, &policy, daemon->error, sizeof(daemon->error));
	if (err)
		return err;
	if (daemon->nat64.is_used)
		err = clv_policy_add_nat64_prefix(policy, &daemon->nat64.prefix);
	err = err ? err : clv_maps_set_policy(&daemon->maps, policy);
	if (err) {
		snprintf(daemon->error, sizeof(daemon->error), "map denied: %s", clv_strerror(err));
		clv_policy_free(policy);
		return err;
	}
	clv_proxy_set_policy(daemon->proxy, policy);
	clv_policy_free(daemon->policy);
	daemon->policy = policy;
	return 0;
}

/* ---- NAT64 ---- */

static bool is_same(const struct clv_prefix *a, const struct clv_prefix *b)
{
	return a->prefix_bits == b->prefix_bits && memcmp(a->addr, b->addr, sizeof(a->addr)) == 0;
}

/* found: NULL when there is no NAT64.  Without a policy that knows the prefix it is not used. */
static void use_prefix(struct clv_daemon *daemon, const struct clv_prefix *found)
{
	char text[CLV_ADDR_TEXT_MAX];

	if (daemon->nat64.is_used == (found != NULL) &&
	    (!found || is_same(found, &daemon->nat64.prefix)))
		return;
	daemon->nat64.is_used = found != NULL;
	if (found)
		daemon->nat64.prefix = *found;
	if (clv_targets_set_policy(daemon, &daemon->config)) {
		daemon->nat64.is_used = false;
		clv_log(CLV_LOG_ERROR, "nat64_unused", "err=\"%s\"", daemon->error);
	} else if (found) {
		clv_log(CLV_LOG_INFO, "nat64", "prefix=%s/%u",
			clv_addr_format(found->addr, text, sizeof(text)), found->prefix_bits);
	} else {
		clv_log(CLV_LOG_INFO, "nat64", "prefix=none");
	}
}

static void on_answer(void *user, const struct clv_resolved *result)
{
	struct clv_daemon *daemon = user;
	struct clv_prefix prefix;

	daemon->nat64.is_asked = false;
	if (!daemon->nat64.is_wanted)
		return;
	for (size_t i = 0; i < result->n; i++) {
		if (clv_addr_is_v4(result->addrs[i].addr) ||
		    !clv_nat64_find(result->addrs[i].addr, &prefix))
			continue;
		use_prefix(daemon, &prefix);
		return;
	}
	if (result->is_partial) /* nothing is known: what there was stays */
		daemon->nat64.again_ns = clv_clock_now_ns() + SOON_NS;
	else
		use_prefix(daemon, NULL);
}

void clv_targets_follow_routes(struct clv_daemon *daemon, uint64_t now_ns)
{
	uint8_t source[16];
	bool has_ipv6 = clv_routes_source(daemon->routes, true, source) == 0;

	clv_resolve_set_ipv6(daemon->resolve, has_ipv6);
	daemon->nat64.is_wanted = has_ipv6 && clv_routes_source(daemon->routes, false, source) < 0;
	daemon->nat64.again_ns = now_ns;
	if (!daemon->nat64.is_wanted)
		use_prefix(daemon, NULL);
	clv_targets_tick(daemon, now_ns);
}

void clv_targets_tick(struct clv_daemon *daemon, uint64_t now_ns)
{
	uint64_t token;

	if (!daemon->nat64.is_wanted || daemon->nat64.is_asked || now_ns < daemon->nat64.again_ns)
		return;
	daemon->nat64.again_ns = now_ns + AGAIN_NS;
	daemon->nat64.is_asked = clv_resolve_start(daemon->resolve, CLV_NAT64_NAME, on_answer,
						   daemon, &token) == 0;
	if (!daemon->nat64.is_asked)
		daemon->nat64.again_ns = now_ns + SOON_NS;
}

bool clv_targets_embed(const struct clv_daemon *daemon, const uint8_t v4[static 16],
		       uint8_t v6[static 16])
{
	if (!daemon->nat64.is_used)
		return false;
	clv_nat64_embed(&daemon->nat64.prefix, v4, v6);
	return true;
}
