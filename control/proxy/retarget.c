/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/retarget.h"

#include "control/proxy/reach.h"
#include "datapath/base/err.h"

static bool has_more(const struct clv_request *rq)
{
	return rq->candidates.seen != (uint32_t)((UINT64_C(1) << rq->addrs_len) - 1);
}

static void use(struct clv_request *rq, const struct clv_endpoint *target,
		struct clv_tunnel_spec *spec, bool is_trial)
{
	rq->candidates.now = (uint8_t)(target - rq->addrs);
	rq->candidates.tried |= 1u << rq->candidates.now;
	spec->remote = *target;
	spec->flags &= ~(uint32_t)CLV_TUNNEL_TRIAL;
	if (is_trial)
		spec->flags |= CLV_TUNNEL_TRIAL;
	spec->trial_ns = rq->rs->params.config->trial_ns;
}

void clv_retarget_begin(struct clv_request *rq, const struct clv_endpoint *target,
			struct clv_tunnel_spec *spec)
{
	use(rq, target, spec, !rq->wants_bound && has_more(rq));
}

/*
 * All were tried.  An address that the tunnel had, and that no error was about: the earliest, which
 * the name server or the family prefers.
 */
static const struct clv_endpoint *first_silent(struct clv_request *rq, struct clv_route *route)
{
	uint32_t others = ~(rq->candidates.tried & ~rq->candidates.dead);
	struct clv_reach_failure failure = { 0 };

	return clv_reach_choose(rq->rs, rq->addrs, rq->addrs_len, false, &others, route, &failure);
}

/* Returns 0; CLV_EFULL and the like: there is no port, and nothing has changed; else the tunnel ends. */
static int move(struct clv_request *rq, const struct clv_endpoint *target,
		const struct clv_route *route, bool is_trial)
{
	const struct clv_requests_config *config = rq->rs->params.config;
	const struct clv_ports ports = clv_requests_ports(config);
	struct clv_session_tunnel tunnel = { .spec.hop = route->hop, .egress.fd = -1 };
	int err = clv_ports_take(&ports, clv_requests_payer(rq->rs), route, target, &tunnel.egress);

	if (err) {
		rq->rs->params.ops->tunnel_stay(rq->rs->params.session, &rq->ref);
		return 0;
	}
	use(rq, target, &tunnel.spec, is_trial);
	tunnel.spec.local = tunnel.egress.local;
	err = rq->rs->params.ops->tunnel_retarget(rq->rs->params.session, &tunnel, &rq->ref);
	if (err == CLV_ECLOSED)
		clv_ports_give(&ports, &tunnel.egress);
	return err;
}

int clv_retarget(struct clv_request *rq, bool is_unreachable)
{
	struct clv_requests *rs = rq->rs;
	struct clv_candidates *c = &rq->candidates;
	const bool was_v4 = clv_addr_is_v4(rq->addrs[c->now].addr);
	struct clv_reach_failure failure = { 0 };
	const struct clv_endpoint *target;
	struct clv_route route;
	bool is_trial = true;

	if (is_unreachable)
		c->dead |= 1u << c->now;
	target = clv_reach_choose(rs, rq->addrs, rq->addrs_len, !was_v4, &c->seen, &route,
				  &failure);
	if (!target) {
		is_trial = false;
		target = first_silent(rq, &route);
	}
	if (!target || target == &rq->addrs[c->now]) {
		rs->params.ops->tunnel_stay(rs->params.session, &rq->ref);
		return 0;
	}
	return move(rq, target, &route, is_trial);
}
