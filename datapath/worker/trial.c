/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A target whose name has other addresses is on trial until something comes from it.  UDP has no
 * handshake: that a host is not there shows by an ICMP error, by a neighbour that does not answer, or
 * by silence after the first datagrams.  Then control chooses another address, and gets the tunnel to
 * send it what the first one did not answer.
 */
#include "datapath/worker/state.h"

#include "datapath/base/clock.h"

#define ERRORS_NS (3 * CLV_SEC) /* how long an error is waited for, where silence means nothing */

void worker_trial_start(struct clv_worker *w, struct clv_tunnel *t)
{
	t->silent_at_ns = w->now_ns + (t->trial_ns ? t->trial_ns : ERRORS_NS);
	/* The timer of the idle time looks at both. */
	if (t->silent_at_ns < t->idle.at_ns)
		clv_timers_set(&w->tunnels.timers, &t->idle, t->silent_at_ns);
}

bool worker_trial_keep(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *payload,
		       size_t len)
{
	if (!t->silent_at_ns)
		worker_trial_start(w, t);
	/* Copies take no room that others may need soon: without one it is sent once, like any other. */
	if (w->pool.stock.used > w->pool.count / 2)
		return false;
	return !clv_waitq_push(&t->tried, &w->pool, &w->conns[t->conn_slot].buffers, payload, len,
			       NULL, 0, w->now_ns);
}

void worker_trial_end(struct clv_worker *w, struct clv_tunnel *t)
{
	t->flags &= ~(uint32_t)CLV_TUNNEL_TRIAL;
	t->is_given_up = false;
	clv_waitq_fini(&t->tried, &w->pool);
}

void worker_trial_expire(struct clv_worker *w, struct clv_tunnel *t)
{
	if (t->trial_ns)
		worker_trial_fail(w, t, false);
	else
		worker_trial_end(w, t);
	t->silent_at_ns = CLV_TIMER_NEVER;
}

bool worker_trial_fail(struct clv_worker *w, struct clv_tunnel *t, bool is_unreachable)
{
	const struct clv_evt_target dead = {
		.ref = { t->slot, t->generation, w->p.id, { 0 } },
		.is_unreachable = is_unreachable,
	};

	if (!worker_is_trial(t) || t->is_leaving)
		return false;
	if (t->is_given_up)
		return true;
	t->is_given_up = true;
	t->is_unreachable = is_unreachable;
	worker_event(w, CLV_EVT_TARGET_DEAD, &dead, sizeof(dead), NULL, 0);
	return true;
}
