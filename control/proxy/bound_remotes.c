/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/bound_remotes.h"

#include <string.h>

#include "control/proxy/reach.h"
#include "control/proxy/state.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"

enum {
	REJECTED_MAX = 3, /* contexts of ours that a client refuses before we offer no more */
};

static bool is_v6(const struct clv_endpoint *ep)
{
	return !clv_addr_is_v4(ep->addr);
}

static const struct clv_steering *steering_of(const struct clv_bound_tunnel *b)
{
	return clv_bound_config(b)->steering;
}

static void send_command(struct clv_bound_tunnel *b, enum clv_command type, const void *body,
			 size_t len)
{
	const struct clv_steering *st = steering_of(b);

	st->send(st->sender, &b->rq->ref, type, body, len);
}

/* ---- policy and routes ---- */

/*
 * Whether the tunnel may send to a remote, and by which next hop.  Fills *r.  *peer_tunnel: the
 * bound tunnel here whose port the remote is (a hairpin); else NULL.  is_first: the remote is new.
 * Returns 0, CLV_EDENIED, CLV_EUNROUTABLE or for a new one CLV_EFULL.
 */
static int find_hop(struct clv_bound_tunnel *b, const struct clv_endpoint *remote, bool is_first,
		    struct clv_remote *r, struct clv_bound_tunnel **peer_tunnel)
{
	struct clv_route route;
	bool v6 = is_v6(remote);
	const char *why;
	int err;

	*r = (struct clv_remote){ .endpoint = *remote, .remote = *remote };
	*peer_tunnel = NULL;
	if (!b->ports.is_held[v6])
		return CLV_EUNROUTABLE;
	r->local = b->ports.egress[v6].local;
	/* The port of another tunnel stands for that tunnel's client: it is no service of ours. */
	*peer_tunnel = clv_bound_tunnels_find(b->all, remote);
	if (*peer_tunnel == b)
		return CLV_EDENIED;
	if (*peer_tunnel) {
		r->flags = CLV_REMOTE_HAIRPIN;
		r->peer_tunnel = (*peer_tunnel)->rq->ref;
		return 0;
	}
	err = is_first ? clv_reach_first(b->rq->rs, r->local.addr, remote->addr, &route, &why)
		       : clv_reach(clv_bound_config(b), r->local.addr, remote->addr, &route, &why);
	if (err)
		return err;
	/* Replies arrive at the tunnel's port: a route via another datapath would miss them. */
	if (route.hop.via != b->ports.via[v6])
		return CLV_EUNROUTABLE;
	r->hop = route.hop;
	return 0;
}

/* ---- the list of remotes ---- */

static void discharge(struct clv_bound_tunnel *b)
{
	clv_accounts_give(clv_bound_config(b)->accounts, clv_requests_payer(b->rq->rs),
			  CLV_RESOURCE_REMOTES, b->rq->ref.worker);
}

static struct clv_remote_entry *add_remote(struct clv_bound_tunnel *b, const struct clv_remote *r,
					   struct clv_bound_tunnel *peer_tunnel)
{
	struct clv_requests *rs = b->rq->rs;
	struct clv_remote_entry *e;

	if (rs->remotes >= b->all->settings->remotes_per_conn) {
		clv_requests_count(rs, CLV_COUNT_REFUSED_REMOTES_CONN);
		return NULL;
	}
	if (clv_accounts_take(clv_bound_config(b)->accounts, clv_requests_payer(rs),
			      CLV_RESOURCE_REMOTES, b->rq->ref.worker))
		return NULL;
	e = clv_remote_list_add(&b->remotes, r);
	if (!e) {
		discharge(b);
		return NULL;
	}
	clv_hosts_join(steering_of(b)->hosts, &e->host, r->endpoint.addr, &b->rq->ref);
	e->peer_tunnel = peer_tunnel;
	if (peer_tunnel)
		peer_tunnel->hairpins_in++;
	rs->remotes++;
	return e;
}

static void drop_remote(struct clv_bound_tunnel *b, struct clv_remote_entry *e)
{
	if (e->peer_tunnel)
		e->peer_tunnel->hairpins_in--;
	discharge(b);
	b->rq->rs->remotes--;
	clv_remote_list_remove(&b->remotes, e);
}

static void update_remote(struct clv_bound_tunnel *b, const struct clv_remote_entry *e)
{
	const struct clv_cmd_remote cmd = { .ref = b->rq->ref, .remote = e->remote };

	send_command(b, CLV_CMD_REMOTE_ADD, &cmd, sizeof(cmd));
}

static void send_remote_remove(struct clv_bound_tunnel *b, const struct clv_endpoint *remote,
			       bool is_full)
{
	const struct clv_cmd_remote_remove cmd = {
		.ref = b->rq->ref,
		.remote = *remote,
		.is_full = is_full,
	};

	send_command(b, CLV_CMD_REMOTE_REMOVE, &cmd, sizeof(cmd));
}

/* Remove a remote that has no context. */
static void forget_remote(struct clv_bound_tunnel *b, struct clv_remote_entry *e)
{
	send_remote_remove(b, &e->remote.endpoint, false);
	drop_remote(b, e);
}

/* ---- contexts ---- */

/* remote: NULL for the uncompressed context. */
static int open_context(struct clv_bound_tunnel *b, const struct clv_contexts_entry *e,
			const struct clv_remote *remote)
{
	struct clv_cmd_context_open cmd = { .ref = b->rq->ref, .context_id = e->id };

	if (e->is_uncompressed)
		cmd.flags |= CLV_CONTEXT_UNCOMPRESSED;
	if (!e->is_acked)
		cmd.flags |= CLV_CONTEXT_UNACKED;
	if (remote)
		cmd.remote = *remote;
	return clv_steering_open_context(steering_of(b), &cmd, &b->ports);
}

static void close_context(struct clv_bound_tunnel *b, uint64_t id, const struct clv_remote *remote)
{
	clv_steering_close_context(steering_of(b), &b->rq->ref, id, remote, &b->ports);
}

static int open_uncompressed(struct clv_bound_tunnel *b, const struct clv_contexts_entry *e)
{
	int err;

	if (!b->all->settings->is_uncompressed)
		return CLV_EDENIED;
	err = open_context(b, e, NULL);
	if (err)
		close_context(b, e->id, NULL);
	return err;
}

int clv_bound_remotes_context_open(void *user, const struct clv_contexts_entry *e)
{
	struct clv_bound_tunnel *b = user, *peer_tunnel;
	struct clv_remote_entry *known;
	struct clv_remote r;
	int err;

	if (e->is_uncompressed)
		return open_uncompressed(b, e);
	err = find_hop(b, &e->remote, true, &r, &peer_tunnel);
	if (err)
		return err;
	known = clv_remote_list_find(&b->remotes, &e->remote);
	if (!known)
		known = add_remote(b, &r, peer_tunnel);
	if (!known)
		return CLV_EFULL;
	err = open_context(b, e, &r);
	if (err) {
		close_context(b, e->id, &r);
		drop_remote(b, known);
		return err;
	}
	known->remote.hop = r.hop;
	known->context_id = e->id;
	return 0;
}

void clv_bound_remotes_context_acked(void *user, const struct clv_contexts_entry *e)
{
	struct clv_bound_tunnel *b = user;
	const struct clv_remote_entry *known = clv_remote_list_find(&b->remotes, &e->remote);

	/* No call of the context manager is allowed here: clv_bound_remotes_undo closes it. */
	if (open_context(b, e, &known->remote))
		b->undo_id = e->id;
}

static void close_uncompressed(struct clv_bound_tunnel *b, const struct clv_contexts_entry *e)
{
	close_context(b, e->id, NULL);
	for (uint32_t i = b->remotes.len; i-- > 0;)
		if (!b->remotes.slots[i]->context_id)
			forget_remote(b, b->remotes.slots[i]);
}

void clv_bound_remotes_context_close(void *user, const struct clv_contexts_entry *e)
{
	struct clv_bound_tunnel *b = user;
	struct clv_remote_entry *known;

	if (e->is_uncompressed) {
		close_uncompressed(b, e);
		return;
	}
	known = clv_remote_list_find(&b->remotes, &e->remote);
	close_context(b, e->id, &known->remote);
	drop_remote(b, known);
}

void clv_bound_remotes_undo(struct clv_bound_tunnel *b)
{
	uint64_t id = b->undo_id;

	b->undo_id = 0;
	if (id)
		clv_contexts_close(b->contexts, id);
}

/* Remove a remote, and its context with it.  A stream that takes no capsule is ending anyway. */
static void close_remote(struct clv_bound_tunnel *b, struct clv_remote_entry *e)
{
	if (e->context_id)
		clv_contexts_close(b->contexts, e->context_id);
	else
		forget_remote(b, e);
}

/* ---- events of the worker ---- */

static void on_remote_new(struct clv_bound_tunnel *b, const struct clv_evt_bound *evt)
{
	struct clv_remote_entry *known = clv_remote_list_find(&b->remotes, &evt->remote);
	enum clv_counter why = CLV_COUNT_REMOTE_REFUSED_FULL;
	struct clv_bound_tunnel *peer_tunnel;
	struct clv_remote r;
	int err;

	/* The uncompressed context was closed since: the worker forgot its remotes with it. */
	if (!known && !clv_contexts_uncompressed(b->contexts))
		return;
	if (!known && !clv_bucket_take(&b->rq->rs->registrations, *clv_bound_config(b)->now_ns)) {
		why = CLV_COUNT_REMOTE_REFUSED_RATE;
	} else if (!known) {
		err = find_hop(b, &evt->remote, true, &r, &peer_tunnel);
		if (!err)
			known = add_remote(b, &r, peer_tunnel);
		else
			why = err == CLV_EDENIED ? CLV_COUNT_REMOTE_REFUSED_POLICY
			      : err == CLV_EFULL ? CLV_COUNT_REMOTE_REFUSED_RATE
						 : CLV_COUNT_REMOTE_REFUSED_FAMILY;
	}
	/* It may have got a context in the meantime; the response is the same. */
	if (known) {
		update_remote(b, known);
		return;
	}
	clv_bound_count(b, why);
	send_remote_remove(b, &evt->remote, why == CLV_COUNT_REMOTE_REFUSED_FULL);
}

static void on_remote_busy(struct clv_bound_tunnel *b, const struct clv_evt_bound *evt)
{
	const struct clv_remote_entry *known = clv_remote_list_find(&b->remotes, &evt->remote);

	if ((known && known->context_id) || b->rejected >= REJECTED_MAX)
		return;
	/* It may be unknown, having only sent to us.  Without room it stays uncompressed. */
	if (clv_contexts_open(b->contexts, &evt->remote, NULL) == CLV_EFULL)
		clv_bound_count(b, CLV_COUNT_CONTEXTS_NOT_OFFERED);
}

/* It was silent for long, or the worker had no room for it. */
static void on_remote_idle(struct clv_bound_tunnel *b, const struct clv_evt_bound *evt)
{
	struct clv_remote_entry *known = clv_remote_list_find(&b->remotes, &evt->remote);

	if (!known || known->context_id != evt->context_id)
		return;
	if (!known->context_id) {
		/* The worker removed it, unless a new next hop crossed the event and added it again. */
		if (known->is_resent)
			forget_remote(b, known);
		else
			drop_remote(b, known);
		return;
	}
	clv_bound_count(b, CLV_COUNT_CONTEXTS_IDLE);
	close_remote(b, known);
}

void clv_bound_remotes_event(struct clv_bound_tunnel *b, enum clv_event type,
			     const struct clv_evt_bound *evt)
{
	switch (type) {
	case CLV_EVT_REMOTE_NEW:
		on_remote_new(b, evt);
		break;
	case CLV_EVT_REMOTE_BUSY:
		on_remote_busy(b, evt);
		break;
	default:
		on_remote_idle(b, evt);
	}
}

/* ---- changes of policy and routes ---- */

/* Its next hop changed, or there is none. */
static void reroute(struct clv_bound_tunnel *b, struct clv_remote_entry *e, int err,
		    const struct clv_nexthop *hop)
{
	struct clv_nexthop now = err ? e->remote.hop : *hop;

	if (err)
		now.state = CLV_HOP_UNREACHABLE;
	if (memcmp(&now, &e->remote.hop, sizeof(now)) == 0)
		return;
	e->remote.hop = now;
	e->is_resent = true;
	update_remote(b, e);
}

void clv_bound_remotes_recheck(struct clv_bound_tunnel *b)
{
	struct clv_bound_tunnel *peer_tunnel;
	struct clv_remote r;

	/* Backwards: the last one takes the place of one that is closed. */
	for (uint32_t i = b->remotes.len; i-- > 0;) {
		struct clv_remote_entry *e = b->remotes.slots[i];
		int err = find_hop(b, &e->remote.endpoint, false, &r, &peer_tunnel);

		if (err == CLV_EDENIED) {
			clv_bound_count(b, CLV_COUNT_REMOTES_REVOKED);
			close_remote(b, e);
		} else if (!e->peer_tunnel) {
			reroute(b, e, err, &r.hop);
		}
	}
}

void clv_bound_remotes_moved(struct clv_request *rq, const struct clv_host_use *use)
{
	struct clv_bound_tunnel *b = rq->bound;
	struct clv_remote_entry *e = (struct clv_remote_entry *)((char *)(uintptr_t)use -
								 offsetof(struct clv_remote_entry,
									  host));
	struct clv_bound_tunnel *peer_tunnel;
	struct clv_remote r;

	/* If more than the neighbour changed, clv_bound_remotes_recheck follows. */
	if (b && !e->peer_tunnel && !find_hop(b, &e->remote.endpoint, false, &r, &peer_tunnel) &&
	    !peer_tunnel)
		reroute(b, e, 0, &r.hop);
}

/* Close other tunnels' remotes that are ports of this one. */
static void close_hairpins(struct clv_bound_tunnel *gone)
{
	for (struct clv_bound_tunnel *b = gone->all->first; b && gone->hairpins_in; b = b->next)
		for (uint32_t i = b->remotes.len; i-- > 0;)
			if (b->remotes.slots[i]->peer_tunnel == gone)
				close_remote(b, b->remotes.slots[i]);
}

void clv_bound_remotes_retire(struct clv_bound_tunnel *b)
{
	clv_steering_retire_ports(steering_of(b), &b->ports);
	for (uint32_t i = b->remotes.len; i-- > 0;) {
		struct clv_remote_entry *e = b->remotes.slots[i];

		if (e->context_id)
			clv_steering_retire_context(steering_of(b), &e->remote, &b->ports);
		drop_remote(b, e);
	}
	clv_bound_tunnels_drop(b->all, b);
	close_hairpins(b);
}
