/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/core/ports.h"
#include "control/core/state.h"
#include "datapath/base/err.h"

#include <string.h>

/* ---- open and close ---- */

static struct clv_tunnel_entry *entry_of(struct clv_control *c, const struct clv_ref *ref)
{
	struct worker_side *side;
	struct clv_tunnel_entry *e;

	if (ref->worker >= c->p.workers_len)
		return NULL;
	side = &c->workers[ref->worker];
	if (ref->slot >= side->tunnel_slots.max)
		return NULL;
	e = &side->tunnels[ref->slot];
	return e->used && e->generation == ref->generation ? e : NULL;
}

static void give_egress(struct clv_control *c, struct clv_tunnel_entry *e)
{
	const struct clv_ports ports = { c->p.host_ops, c->p.host, &c->accounts };

	if (e->egress.fd >= 0)
		clv_ports_give(&ports, &e->egress);
	e->egress.fd = -1;
	if (e->is_moving)
		clv_ports_give(&ports, &e->former.egress);
	e->is_moving = false;
	for (int i = 0; i < 2; i++) {
		if (e->bound_egress[i].fd >= 0)
			clv_ports_give(&ports, &e->bound_egress[i]);
		e->bound_egress[i].fd = -1;
	}
}

/* Charge a tunnel to a session and take a slot.  Returns 0 and fills *ref, or CLV_EFULL. */
static int take_slot(struct clv_session *s, struct clv_ref *ref)
{
	struct clv_control *c = s->control;
	uint16_t worker = s->ref.worker;

	if (clv_accounts_take(&c->accounts, session_payer(s), CLV_RESOURCE_TUNNELS, worker))
		return CLV_EFULL;
	if (slots_take(&c->workers[worker].tunnel_slots, ref)) {
		clv_accounts_give(&c->accounts, session_payer(s), CLV_RESOURCE_TUNNELS, worker);
		return CLV_EFULL;
	}
	ref->worker = worker;
	return 0;
}

/* The worker has removed a tunnel, or never had it: it is charged to nobody any more. */
static void discharge(struct clv_control *c, struct clv_tunnel_entry *e, uint16_t worker)
{
	clv_accounts_give(&c->accounts, e->account, CLV_RESOURCE_TUNNELS, worker);
	e->account = NULL;
	e->used = false;
}

int clv_session_tunnel_open(struct clv_session *s, const struct clv_session_tunnel *t,
			    struct clv_ref *out)
{
	struct clv_control *c = s->control;
	struct clv_cmd_tunnel_add cmd = {
		.conn = s->ref,
		.spec = t->spec,
		/* AF_XDP needs no socket: the egress only reserves the port. */
		.socket_fd = t->spec.hop.via == CLV_VIA_KERNEL ? t->egress.fd : -1,
	};
	struct clv_tunnel_entry *e;
	int err;

	if (s->state != SESSION_LIVE || s->closing)
		return CLV_ECLOSED;
	err = take_slot(s, &cmd.ref);
	if (err)
		return err;
	e = &c->workers[cmd.ref.worker].tunnels[cmd.ref.slot];
	*e = (struct clv_tunnel_entry){
		.session = s,
		.ops = t->ops,
		.user = t->user,
		.account = session_payer(s),
		.generation = cmd.ref.generation,
		.used = true,
		.spec = t->spec,
		.egress = t->egress,
		.bound_egress = { { .fd = -1 }, { .fd = -1 } },
		.since_ns = c->now_ns,
	};
	err = clv_steering_open_tunnel(&c->steering, &cmd, t->ports, &e->target);
	if (err) {
		e->session = NULL;
		e->egress.fd = -1; /* stays the caller's, like the ports */
		return err;
	}
	for (int i = 0; t->ports && i < 2; i++)
		if (t->ports->is_held[i])
			e->bound_egress[i] = t->ports->egress[i];
	if (t->spec.remote.port)
		clv_hosts_join(&c->hosts, &e->host, t->spec.remote.addr, &cmd.ref);
	s->tunnels++;
	*out = cmd.ref;
	return 0;
}

void clv_session_tunnel_close(struct clv_session *s, const struct clv_ref *ref)
{
	struct clv_control *c = s->control;
	struct clv_tunnel_entry *e = entry_of(c, ref);

	if (!e || !e->session)
		return;
	e->session = NULL;
	clv_hosts_leave(&e->host);
	s->tunnels--;
	/* The egress port and the slot are free again when the worker has removed it. */
	clv_steering_retire_tunnel(&c->steering, &e->former.target);
	clv_steering_close_tunnel(&c->steering, ref, &e->target);
}

void tunnel_gone(struct clv_control *c, const struct clv_evt_tunnel *evt)
{
	struct clv_tunnel_entry *e = entry_of(c, &evt->ref);
	struct clv_session *s;

	if (!e)
		return;
	s = e->session;
	clv_hosts_leave(&e->host);
	clv_steering_retire_tunnel(&c->steering, &e->former.target);
	clv_steering_retire_tunnel(&c->steering, &e->target);
	give_egress(c, e);
	discharge(c, e, evt->ref.worker);
	slots_give(&c->workers[evt->ref.worker].tunnel_slots, evt->ref.slot);
	if (s) {
		s->tunnels--;
		e->ops->gone(e->user, evt->error);
	}
}

/* ---- another target ---- */

/* What control knows of the target that a tunnel has now. */
static void set_target(struct clv_control *c, const struct clv_ref *ref, struct clv_tunnel_entry *e,
		       const struct clv_endpoint *local, const struct clv_endpoint *remote,
		       const struct clv_nexthop *hop)
{
	e->spec.local = *local;
	e->spec.remote = *remote;
	e->spec.hop = *hop;
	clv_hosts_leave(&e->host);
	clv_hosts_join(&c->hosts, &e->host, remote->addr, ref);
}

/*
 * Until the worker has the command, what comes from the former target is still the tunnel's.  So both
 * are in the tables, and both ports are held, until it says which one the tunnel has.
 */
int clv_session_tunnel_retarget(struct clv_session *s, const struct clv_ref *ref,
				const struct clv_session_tunnel *t)
{
	struct clv_control *c = s->control;
	struct clv_tunnel_entry *e = entry_of(c, ref);
	struct clv_cmd_tunnel_add cmd = {
		.ref = *ref,
		.conn = s->ref,
		.spec = t->spec,
		.socket_fd = t->spec.hop.via == CLV_VIA_KERNEL ? t->egress.fd : -1,
	};

	if (!e || !e->session || e->is_moving)
		return CLV_ECLOSED;
	e->is_moving = true;
	e->former.local = e->spec.local;
	e->former.remote = e->spec.remote;
	e->former.hop = e->spec.hop;
	e->former.target = e->target;
	e->former.egress = e->egress;
	e->egress = t->egress;
	set_target(c, ref, e, &t->spec.local, &t->spec.remote, &t->spec.hop);
	return clv_steering_retarget(&c->steering, &cmd, &e->target);
}

void clv_session_tunnel_stay(struct clv_session *s, const struct clv_ref *ref)
{
	const struct clv_cmd_ref cmd = { .ref = *ref };

	workers_send(s->control, ref->worker, CLV_CMD_TUNNEL_STAY, &cmd, sizeof(cmd), NULL, 0);
}

void tunnel_target_dead(struct clv_control *c, const struct clv_evt_target *evt)
{
	struct clv_tunnel_entry *e = entry_of(c, &evt->ref);

	if (e && e->session && e->ops->target_dead)
		e->ops->target_dead(e->user, evt->is_unreachable);
}

/* ---- datagrams by capsule ---- */

static void tunnel_payload(struct clv_session *s, enum clv_command type, const struct clv_ref *ref,
			   uint64_t context_id, const uint8_t *payload, size_t len)
{
	struct clv_cmd_tunnel_send cmd = { .ref = *ref, .context_id = context_id };

	workers_send_datagram(s->control, s, type, &cmd, sizeof(cmd), payload, len);
}

void clv_session_tunnel_send(struct clv_session *s, const struct clv_ref *ref, uint64_t context_id,
			     const uint8_t *payload, size_t len)
{
	tunnel_payload(s, CLV_CMD_TUNNEL_SEND, ref, context_id, payload, len);
}

void clv_session_tunnel_up(struct clv_session *s, const struct clv_ref *ref, const uint8_t *payload,
			   size_t len)
{
	tunnel_payload(s, CLV_CMD_TUNNEL_UP, ref, 0, payload, len);
}

void tunnel_datagram_up(struct clv_control *c, const struct clv_evt_tunnel *evt,
			const uint8_t *data, size_t len)
{
	struct clv_tunnel_entry *e = entry_of(c, &evt->ref);

	if (e && e->session && e->ops->datagram_up)
		e->ops->datagram_up(e->user, data, len);
	else
		clv_count(&c->counters, CLV_COUNT_DROP_STALE);
}

/* ---- bound tunnels ---- */

void clv_session_tunnel_command(struct clv_session *s, const struct clv_ref *ref,
				enum clv_command type, const void *head, size_t head_len,
				const void *tail, size_t tail_len)
{
	workers_send(s->control, ref->worker, type, head, head_len, tail, tail_len);
}

void tunnel_bound_event(struct clv_control *c, enum clv_event type, const struct clv_evt_bound *evt,
			const uint8_t *payload, size_t len)
{
	struct clv_tunnel_entry *e = entry_of(c, &evt->ref);

	if (e && e->session && e->ops->bound)
		e->ops->bound(e->user, type, evt, payload, len);
	else if (type == CLV_EVT_DELIVERY)
		clv_count(&c->counters, CLV_COUNT_DROP_STALE);
}

/* ---- the size that fits ---- */

struct narrow {
	struct clv_control *control;
	const struct clv_session *session;
	uint32_t room;
};

static bool has_more_room(void *user, const struct clv_host_use *use)
{
	const struct narrow *narrow = user;
	const struct clv_tunnel_entry *e = entry_of(narrow->control, &use->tunnel);

	if (!e || !e->session || e->session == narrow->session)
		return false;
	/* capsules have room for any datagram */
	return e->spec.flags & CLV_TUNNEL_CAPSULES || e->session->payload_max > narrow->room;
}

void tunnel_too_big(struct clv_control *c, const struct clv_evt_too_big *evt, const uint8_t *quote,
		    size_t len)
{
	const struct clv_tunnel_entry *e = entry_of(c, &evt->ref);
	struct narrow narrow = { .control = c, .room = evt->room };

	if (!c->p.host_ops->too_big || !e || !e->session)
		return;
	narrow.session = e->session;
	if (clv_hosts_any(&c->hosts, evt->tuple.remote.addr, has_more_room, &narrow))
		clv_count(&c->counters, CLV_COUNT_ICMP_WITHHELD);
	else
		c->p.host_ops->too_big(c->p.host, &evt->tuple, evt->mtu, quote, len);
}

/* ---- changes of routes and policy ---- */

/* Close a tunnel that cannot go on, and notify its user. */
static void end_tunnel(const struct clv_ref *ref, struct clv_tunnel_entry *e, int error)
{
	clv_session_tunnel_close(e->session, ref);
	e->ops->gone(e->user, error);
}

static void reroute(struct clv_control *c, const struct clv_ref *ref, struct clv_tunnel_entry *e,
		    void *arg)
{
	struct clv_cmd_hop cmd = { .ref = *ref };
	struct clv_route route = { .hop = e->spec.hop };

	(void)arg;
	if (!e->spec.remote.port)
		return; /* a bound tunnel without a target */
	if (e->is_moving)
		return; /* tunnel_retargeted looks again */
	if (c->p.host_ops->route(c->p.host, e->spec.local.addr, e->spec.remote.addr, &route)) {
		route.hop = e->spec.hop;
		route.hop.state = CLV_HOP_UNREACHABLE;
	}
	/*
	 * A tunnel keeps the port it was opened with, and with it the datapath of its socket or table
	 * entries.  Through the kernel it works on any route.  Through AF_XDP it would send to a hop
	 * that is no longer right: the tunnel ends and the client opens another.  A bound tunnel has
	 * more remotes than its target: it waits until a route via AF_XDP is back.
	 */
	if (route.hop.via != e->spec.hop.via) {
		if (e->spec.hop.via != CLV_VIA_XSK)
			return;
		if (!(e->spec.flags & CLV_TUNNEL_BOUND)) {
			end_tunnel(ref, e, CLV_EUNROUTABLE);
			return;
		}
		route.hop = e->spec.hop;
		route.hop.state = CLV_HOP_UNREACHABLE;
	}
	if (!memcmp(&route.hop, &e->spec.hop, sizeof(route.hop)))
		return;
	e->spec.hop = route.hop;
	cmd.hop = route.hop;
	workers_send(c, ref->worker, CLV_CMD_TUNNEL_HOP, &cmd, sizeof(cmd), NULL, 0);
}

void tunnel_retargeted(struct clv_control *c, const struct clv_evt_tunnel *evt)
{
	const struct clv_ports ports = { c->p.host_ops, c->p.host, &c->accounts };
	struct clv_tunnel_entry *e = entry_of(c, &evt->ref);
	struct clv_steered unused;
	struct clv_egress free;

	if (!e || !e->is_moving)
		return;
	unused = e->former.target;
	free = e->former.egress;
	if (evt->error) {
		unused = e->target;
		free = e->egress;
		e->target = e->former.target;
		e->egress = e->former.egress;
	}
	e->is_moving = false;
	e->former.target = (struct clv_steered){ 0 };
	clv_steering_retire_tunnel(&c->steering, &unused);
	clv_ports_give(&ports, &free);
	if (!e->session)
		return;
	if (evt->error)
		set_target(c, &evt->ref, e, &e->former.local, &e->former.remote, &e->former.hop);
	reroute(c, &evt->ref, e, NULL);
}

/*
 * The neighbour that a tunnel sends to changed.  If more than that did, tunnels_routes_changed follows.
 * Ends no tunnel.
 */
static void follow_neighbour(void *user, const struct clv_host_use *use)
{
	struct clv_control *c = user;
	struct clv_tunnel_entry *e = entry_of(c, &use->tunnel);
	struct clv_cmd_hop cmd = { .ref = use->tunnel };
	struct clv_route route;

	if (!e || !e->session || e->is_moving)
		return;
	if (use != &e->host) {
		if (e->ops->moved)
			e->ops->moved(e->user, use);
		return;
	}
	if (c->p.host_ops->route(c->p.host, e->spec.local.addr, e->spec.remote.addr, &route) ||
	    route.hop.via != e->spec.hop.via ||
	    !memcmp(&route.hop, &e->spec.hop, sizeof(route.hop)))
		return;
	e->spec.hop = route.hop;
	cmd.hop = route.hop;
	workers_send(c, cmd.ref.worker, CLV_CMD_TUNNEL_HOP, &cmd, sizeof(cmd), NULL, 0);
}

void tunnels_neighbour_changed(struct clv_control *c, const uint8_t addr[static 16])
{
	clv_hosts_each(&c->hosts, addr, follow_neighbour, c);
}

static void each_tunnel(struct clv_control *c,
			void (*fn)(struct clv_control *, const struct clv_ref *,
				   struct clv_tunnel_entry *, void *arg),
			void *arg)
{
	for (uint16_t w = 0; w < c->p.workers_len; w++) {
		struct worker_side *side = &c->workers[w];

		for (uint32_t i = 0; i < side->tunnel_slots.max; i++) {
			struct clv_tunnel_entry *e = &side->tunnels[i];
			struct clv_ref ref = { i, e->generation, w, { 0 } };

			if (e->used && e->session)
				fn(c, &ref, e, arg);
		}
	}
}

void tunnels_routes_changed(struct clv_control *c)
{
	each_tunnel(c, reroute, NULL);
}

struct ending {
	bool (*must_end)(void *user, const struct clv_endpoint *target);
	void *user;
	int error;
};

static void end_if(struct clv_control *c, const struct clv_ref *ref, struct clv_tunnel_entry *e,
		   void *arg)
{
	const struct ending *ending = arg;

	(void)c;
	if (!e->session->is_server || !e->spec.remote.port)
		return;
	if (ending->must_end(ending->user, &e->spec.remote) ||
	    (e->is_moving && ending->must_end(ending->user, &e->former.remote)))
		end_tunnel(ref, e, ending->error);
}

void clv_control_end_tunnels(struct clv_control *c,
			     bool (*must_end)(void *user, const struct clv_endpoint *target),
			     void *user, int error)
{
	struct ending ending = { must_end, user, error };

	each_tunnel(c, end_if, &ending);
}

void tunnels_close(struct clv_control *c)
{
	for (uint16_t w = 0; c->workers && w < c->p.workers_len; w++) {
		struct worker_side *side = &c->workers[w];

		for (uint32_t i = 0; side->tunnels && i < side->tunnel_slots.max; i++) {
			struct clv_tunnel_entry *e = &side->tunnels[i];

			if (!e->used)
				continue;
			clv_steering_retire_tunnel(&c->steering, &e->former.target);
			clv_steering_retire_tunnel(&c->steering, &e->target);
			give_egress(c, e);
			discharge(c, e, w);
		}
	}
}
