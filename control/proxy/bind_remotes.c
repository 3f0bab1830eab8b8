/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Order everywhere: a worker hears of a mapping before the kernel's tables name it, and the tables
 * forget it before the worker does; so no datagram is steered to what is not there.
 */
#include "control/proxy/bind_remotes.h"

#include <string.h>

#include "control/proxy/reach.h"
#include "control/proxy/state.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"

enum {
	REJECTED_MAX = 3, /* after so many the peer does not want contexts of ours */
};

static bool is_v6(const struct clv_endpoint *ep)
{
	return !clv_addr_is_v4(ep->addr);
}

static void tell(struct clv_bind *b, enum clv_command type, const void *head, size_t head_len)
{
	const struct clv_requests_params *p = &b->rq->rs->params;

	p->ops->tunnel_command(p->session, &b->rq->ref, type, head, head_len);
}

/* ---- the kernel's tables ---- */

/* A hairpin never comes by the wire, and what the kernel receives is not in the tables either. */
static bool is_steered(const struct clv_bind *b, const struct clv_remote *r)
{
	return !(r->flags & CLV_REMOTE_HAIRPIN) && b->ports.via[is_v6(&r->wire)] == CLV_VIA_XSK;
}

static struct clv_tuple tuple_of(const struct clv_remote *r)
{
	return (struct clv_tuple){ .local = r->local, .remote = r->remote };
}

static int publish_context(struct clv_bind *b, const struct clv_remote *r, uint64_t id)
{
	const struct clv_requests_config *config = clv_bind_config(b);
	const struct clv_context context = { .tunnel = b->rq->ref, .context_id = id };
	const struct clv_tuple tuple = tuple_of(r);

	return is_steered(b, r) ? config->host_ops->context_publish(config->host, &tuple, &context)
				: 0;
}

static void retire_context(struct clv_bind *b, const struct clv_remote *r)
{
	const struct clv_requests_config *config = clv_bind_config(b);
	const struct clv_tuple tuple = tuple_of(r);

	if (is_steered(b, r))
		config->host_ops->context_retire(config->host, &tuple);
}

int clv_bind_publish_ports(struct clv_bind *b, uint32_t flags)
{
	const struct clv_requests_config *config = clv_bind_config(b);
	const struct clv_binding binding = { .tunnel = b->rq->ref, .flags = flags };
	int err = 0;

	for (int i = 0; i < 2 && !err; i++)
		if (b->ports.is_held[i] && b->ports.via[i] == CLV_VIA_XSK)
			err = config->host_ops->binding_publish(
				config->host, &b->ports.egress[i].local, &binding);
	return err;
}

void clv_bind_retire_ports(struct clv_bind *b)
{
	const struct clv_requests_config *config = clv_bind_config(b);

	for (int i = 0; i < 2; i++)
		if (b->ports.is_held[i] && b->ports.via[i] == CLV_VIA_XSK)
			config->host_ops->binding_retire(config->host, &b->ports.egress[i].local);
}

/* ---- ways ---- */

/*
 * Whether the tunnel may send to an address, and how.  Fills *r; *far: the tunnel here whose port it
 * is, or NULL.  Returns 0, CLV_EDENIED or CLV_EUNROUTABLE.
 */
static int find_way(struct clv_bind *b, const struct clv_endpoint *wire, struct clv_remote *r,
		    struct clv_bind **far)
{
	struct clv_route route;
	bool v6 = is_v6(wire);
	const char *why;
	int err;

	*r = (struct clv_remote){ .wire = *wire, .remote = *wire };
	*far = NULL;
	if (!b->ports.is_held[v6])
		return CLV_EUNROUTABLE;
	r->local = b->ports.egress[v6].local;
	/* A port of a tunnel here is as good as its peer: no address of ours is a target by that. */
	*far = clv_binds_find(b->all, wire);
	if (*far == b)
		return CLV_EDENIED;
	if (*far) {
		r->flags = CLV_REMOTE_HAIRPIN;
		r->far = (*far)->rq->ref;
		return 0;
	}
	err = clv_reach(clv_bind_config(b), wire->addr, &route, &why);
	if (err)
		return err;
	/* The port is where the worker listens for answers; a route via elsewhere is none. */
	if (route.hop.via != b->ports.via[v6])
		return CLV_EUNROUTABLE;
	r->hop = route.hop;
	return 0;
}

/* ---- the remotes' list ---- */

static struct clv_remote_entry *add_remote(struct clv_bind *b, const struct clv_remote *r,
					   struct clv_bind *far)
{
	uint32_t *of_worker = &b->all->remotes[b->rq->ref.worker];
	struct clv_requests *rs = b->rq->rs;
	struct clv_remote_entry *e;

	if (*of_worker >= b->all->settings->remotes_max)
		return NULL;
	if (rs->remotes >= b->all->settings->remotes_per_conn) {
		clv_requests_count(rs, CLV_COUNT_REFUSED_REMOTES_CONN);
		return NULL;
	}
	e = clv_remote_list_add(&b->remotes, r);
	if (!e)
		return NULL;
	e->far = far;
	if (far)
		far->hairpins_in++;
	(*of_worker)++;
	rs->remotes++;
	return e;
}

static void drop_remote(struct clv_bind *b, struct clv_remote_entry *e)
{
	if (e->far)
		e->far->hairpins_in--;
	b->all->remotes[b->rq->ref.worker]--;
	b->rq->rs->remotes--;
	clv_remote_list_remove(&b->remotes, e);
}

static void send_remote(struct clv_bind *b, const struct clv_remote_entry *e)
{
	const struct clv_cmd_remote cmd = { .ref = b->rq->ref, .remote = e->remote };

	tell(b, CLV_CMD_REMOTE_ADD, &cmd, sizeof(cmd));
}

static void refuse_remote(struct clv_bind *b, const struct clv_endpoint *wire)
{
	const struct clv_cmd_remote_remove cmd = { .ref = b->rq->ref, .wire = *wire };

	tell(b, CLV_CMD_REMOTE_REMOVE, &cmd, sizeof(cmd));
}

/* Forget one that has no context. */
static void forget_remote(struct clv_bind *b, struct clv_remote_entry *e)
{
	refuse_remote(b, &e->remote.wire);
	drop_remote(b, e);
}

/* ---- contexts ---- */

static void send_context(struct clv_bind *b, const struct clv_contexts_entry *e,
			 const struct clv_remote *r)
{
	struct clv_cmd_context_open cmd = { .ref = b->rq->ref, .context_id = e->id };

	if (e->is_uncompressed)
		cmd.flags |= CLV_CONTEXT_UNCOMPRESSED;
	if (!e->is_acked)
		cmd.flags |= CLV_CONTEXT_UNACKED;
	if (r)
		cmd.remote = *r;
	tell(b, CLV_CMD_CONTEXT_OPEN, &cmd, sizeof(cmd));
}

static void send_context_close(struct clv_bind *b, uint64_t id)
{
	const struct clv_cmd_context_close cmd = { .ref = b->rq->ref, .context_id = id };

	tell(b, CLV_CMD_CONTEXT_CLOSE, &cmd, sizeof(cmd));
}

static int open_uncompressed(struct clv_bind *b, const struct clv_contexts_entry *e)
{
	int err;

	if (!b->all->settings->is_uncompressed)
		return CLV_EDENIED;
	send_context(b, e, NULL);
	err = clv_bind_publish_ports(b, CLV_BINDING_UNCOMPRESSED);
	if (err) {
		clv_bind_publish_ports(b, 0);
		send_context_close(b, e->id);
	}
	return err;
}

int clv_bind_context_open(void *user, const struct clv_contexts_entry *e)
{
	struct clv_bind *b = user, *far;
	struct clv_remote_entry *known;
	struct clv_remote r;
	int err;

	if (e->is_uncompressed)
		return open_uncompressed(b, e);
	err = find_way(b, &e->remote, &r, &far);
	if (err)
		return err;
	known = clv_remote_list_find(&b->remotes, &e->remote);
	if (!known)
		known = add_remote(b, &r, far);
	if (!known)
		return CLV_EFULL;
	send_context(b, e, &r);
	err = e->is_acked ? publish_context(b, &r, e->id) : 0;
	if (err) {
		send_context_close(b, e->id);
		drop_remote(b, known);
		return err;
	}
	known->remote.hop = r.hop;
	known->context_id = e->id;
	return 0;
}

void clv_bind_context_acked(void *user, const struct clv_contexts_entry *e)
{
	struct clv_bind *b = user;
	const struct clv_remote_entry *known = clv_remote_list_find(&b->remotes, &e->remote);

	send_context(b, e, &known->remote);
	/* The manager must not be called from here. */
	if (publish_context(b, &known->remote, e->id))
		b->undo_id = e->id;
}

static void close_uncompressed(struct clv_bind *b, const struct clv_contexts_entry *e)
{
	clv_bind_publish_ports(b, 0);
	send_context_close(b, e->id);
	for (uint32_t i = b->remotes.len; i-- > 0;)
		if (!b->remotes.slots[i]->context_id)
			forget_remote(b, b->remotes.slots[i]);
}

void clv_bind_context_close(void *user, const struct clv_contexts_entry *e)
{
	struct clv_bind *b = user;
	struct clv_remote_entry *known;

	if (e->is_uncompressed) {
		close_uncompressed(b, e);
		return;
	}
	known = clv_remote_list_find(&b->remotes, &e->remote);
	retire_context(b, &known->remote);
	send_context_close(b, e->id);
	drop_remote(b, known);
}

void clv_bind_undo(struct clv_bind *b)
{
	uint64_t id = b->undo_id;

	b->undo_id = 0;
	if (id)
		clv_contexts_close(b->contexts, id);
}

/* Let a remote go, and its context with it.  A stream that cannot be told is ending anyway. */
static void close_remote(struct clv_bind *b, struct clv_remote_entry *e)
{
	if (e->context_id)
		clv_contexts_close(b->contexts, e->context_id);
	else
		forget_remote(b, e);
}

/* ---- what the worker tells ---- */

static void on_remote_new(struct clv_bind *b, const struct clv_evt_bound *evt)
{
	struct clv_remote_entry *known = clv_remote_list_find(&b->remotes, &evt->wire);
	enum clv_counter why = CLV_COUNT_REMOTE_REFUSED_FULL;
	struct clv_bind *far;
	struct clv_remote r;
	int err;

	/* The context it came by was closed meanwhile: the worker forgot the remote with it. */
	if (!known && !clv_contexts_uncompressed(b->contexts))
		return;
	if (!known &&
	    !clv_contexts_rate_take(&b->rq->rs->registrations, *clv_bind_config(b)->now_ns)) {
		why = CLV_COUNT_REMOTE_REFUSED_RATE;
	} else if (!known) {
		err = find_way(b, &evt->wire, &r, &far);
		if (!err)
			known = add_remote(b, &r, far);
		else
			why = err == CLV_EDENIED ? CLV_COUNT_REMOTE_REFUSED_POLICY
						 : CLV_COUNT_REMOTE_REFUSED_FAMILY;
	}
	/* One that has a context by now crossed with this: the answer is the same. */
	if (known) {
		send_remote(b, known);
		return;
	}
	clv_bind_count(b, why);
	refuse_remote(b, &evt->wire);
}

static void on_remote_busy(struct clv_bind *b, const struct clv_evt_bound *evt)
{
	const struct clv_remote_entry *known = clv_remote_list_find(&b->remotes, &evt->wire);

	if ((known && known->context_id) || b->rejected >= REJECTED_MAX)
		return;
	/* It may be one that only ever sent to us.  Where there is no room it stays uncompressed. */
	if (clv_contexts_open(b->contexts, &evt->wire, NULL) == CLV_EFULL)
		clv_bind_count(b, CLV_COUNT_CONTEXTS_NOT_OFFERED);
}

/* Silent for long, or the worker had no room for it. */
static void on_remote_idle(struct clv_bind *b, const struct clv_evt_bound *evt)
{
	struct clv_remote_entry *known = clv_remote_list_find(&b->remotes, &evt->wire);

	if (!known || known->context_id != evt->context_id)
		return;
	if (!known->context_id) {
		/* The worker has forgotten it already; unless another way for it crossed with this,
		 * which made it anew. */
		if (known->is_resent)
			forget_remote(b, known);
		else
			drop_remote(b, known);
		return;
	}
	clv_bind_count(b, CLV_COUNT_CONTEXTS_IDLE);
	close_remote(b, known);
}

void clv_bind_remote_event(struct clv_bind *b, enum clv_event type, const struct clv_evt_bound *evt)
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

/* ---- the world changes ---- */

void clv_bind_recheck_remotes(struct clv_bind *b)
{
	struct clv_bind *far;
	struct clv_remote r;

	/* From behind: closing one puts the last in its place. */
	for (uint32_t i = b->remotes.len; i-- > 0;) {
		struct clv_remote_entry *e = b->remotes.slots[i];

		if (find_way(b, &e->remote.wire, &r, &far) != CLV_EDENIED)
			continue;
		clv_bind_count(b, CLV_COUNT_REMOTES_REVOKED);
		close_remote(b, e);
	}
}

void clv_bind_reroute_remotes(struct clv_bind *b)
{
	for (uint32_t i = 0; i < b->remotes.len; i++) {
		struct clv_remote_entry *e = b->remotes.slots[i];
		struct clv_bind *far;
		struct clv_remote r;

		if (e->far)
			continue;
		if (find_way(b, &e->remote.wire, &r, &far)) {
			r.hop = e->remote.hop;
			r.hop.state = CLV_HOP_UNREACHABLE;
		}
		if (memcmp(&r.hop, &e->remote.hop, sizeof(r.hop)) == 0)
			continue;
		e->remote.hop = r.hop;
		e->is_resent = true;
		send_remote(b, e);
	}
}

/* Other tunnels' remotes that are ports of this one lead nowhere now. */
static void drop_hairpins(struct clv_bind *gone)
{
	for (struct clv_bind *b = gone->all->first; b && gone->hairpins_in; b = b->next)
		for (uint32_t i = b->remotes.len; i-- > 0;)
			if (b->remotes.slots[i]->far == gone)
				close_remote(b, b->remotes.slots[i]);
}

void clv_bind_retire(struct clv_bind *b)
{
	clv_bind_retire_ports(b);
	for (uint32_t i = b->remotes.len; i-- > 0;) {
		struct clv_remote_entry *e = b->remotes.slots[i];

		if (e->context_id)
			retire_context(b, &e->remote);
		drop_remote(b, e);
	}
	clv_binds_drop(b->all, b);
	drop_hairpins(b);
}
