/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bound tunnels (CONNECT-UDP-bind): datagrams between a peer and its many remotes, and the commands
 * and events about them.
 */
#include "datapath/worker/state.h"

#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"

static void remote_event(struct clv_worker *w, enum clv_event type, const struct clv_tunnel *t,
			 const struct clv_endpoint *endpoint, uint64_t context_id,
			 const uint8_t *payload, size_t len)
{
	const struct clv_evt_bound evt = {
		.ref = { t->slot, t->generation, w->p.id, { 0 } },
		.remote = *endpoint,
		.context_id = context_id,
	};

	worker_event(w, type, &evt, sizeof(evt), payload, len);
}

static void entry_event(struct clv_worker *w, enum clv_event type, const struct clv_tunnel *t,
			const struct clv_remotes_entry *r)
{
	remote_event(w, type, t, &r->endpoint, clv_remotes_has_context(r) ? r->context_id : 0, NULL,
		     0);
}

static void check_busy(struct clv_worker *w, const struct clv_tunnel *t,
		       const struct clv_endpoint *endpoint)
{
	if (clv_remotes_is_busy(&w->remotes, t, endpoint, w->now_ns))
		remote_event(w, CLV_EVT_REMOTE_BUSY, t, endpoint, 0, NULL, 0);
}

/* ---- peer to remote ---- */

/* A capsule may carry more than a UDP packet, which nothing after this expects. */
static bool is_payload(struct clv_worker *w, struct clv_tunnel *t, size_t len)
{
	if (len > CLV_DGRAM_UDP_MAX)
		worker_drop(w, t, CLV_COUNT_DROP_TOO_BIG_TARGET);
	return len <= CLV_DGRAM_UDP_MAX;
}

/* To another tunnel of this relay, as if its port had received it from ours. */
static void hairpin(struct clv_worker *w, struct clv_tunnel *t, const struct clv_remotes_entry *r,
		    const uint8_t *payload, size_t len)
{
	struct clv_rx rx = {
		.local = r->endpoint,
		.remote = clv_tunnel_port_of(t, r->endpoint.addr)->advertised,
		.payload = (uint8_t *)payload, /* only read */
		.payload_len = (uint32_t)len,
		.kind = CLV_RX_HAIRPIN,
		.via = CLV_VIA_KERNEL,
		.ref = r->peer_tunnel,
	};
	struct clv_tunnel *other;

	clv_count(&w->counters, CLV_COUNT_HAIRPIN);
	if (!worker_is_owner(w, &rx))
		return;
	other = clv_tunnels_by_ref(&w->tunnels, rx.ref.slot, rx.ref.generation);
	if (other && other->flags & CLV_TUNNEL_BOUND)
		worker_bound_to_peer(w, other, &rx);
	else
		clv_count(&w->counters, CLV_COUNT_DROP_STALE);
}

static void to_remote(struct clv_worker *w, struct clv_tunnel *t, struct clv_remotes_entry *r,
		      const uint8_t *payload, size_t len)
{
	enum clv_counter why;

	if (!r->is_pending && r->flow.hop.state == CLV_HOP_READY) {
		why = CLV_COUNTER_MAX;
		if (r->is_hairpin)
			hairpin(w, t, r, payload, len);
		else
			why = worker_send(w, &r->flow, payload, len);
		if (why != CLV_COUNTER_MAX) {
			worker_drop(w, t, why);
			return;
		}
		clv_tunnel_count(&w->tunnels, t, true, len, w->now_ns);
		clv_remotes_count(&w->remotes, t, r, true, len, w->now_ns);
	} else if (!r->is_pending && r->flow.hop.state == CLV_HOP_UNREACHABLE) {
		worker_drop(w, t, CLV_COUNT_DROP_NO_ROUTE);
	} else {
		why = worker_wait(w, t, &r->wait, payload, len,
				  r->is_pending ? CLV_COUNT_DROP_REFUSED_REMOTE
						: CLV_COUNT_DROP_NO_NEIGHBOUR);
		if (why != CLV_COUNTER_MAX)
			worker_drop(w, t, why);
	}
}

/* The route is known, or changed: send what waited. */
static void send_waiting(struct clv_worker *w, struct clv_tunnel *t, struct clv_remotes_entry *r)
{
	uint32_t old = clv_waitq_expire(&r->wait, &w->pool, w->now_ns);
	const uint8_t *data;
	size_t len;

	clv_count_add(&w->counters, CLV_COUNT_DROP_NO_NEIGHBOUR, old);
	if (r->is_pending || r->flow.hop.state == CLV_HOP_RESOLVING)
		return;
	while (clv_waitq_peek(&r->wait, &data, &len)) {
		to_remote(w, t, r, data, len);
		clv_waitq_pop(&r->wait, &w->pool);
	}
}

/* The only function that adds to the table.  NULL: it is full. */
static struct clv_remotes_entry *remote_put(struct clv_worker *w, struct clv_tunnel *t,
					    const struct clv_endpoint *endpoint)
{
	struct clv_remotes_entry *r = clv_remotes_add(&w->remotes, t, endpoint, w->now_ns, w->p.id);

	if (r)
		w->conns[t->conn_slot].remotes++;
	return r;
}

static void remote_remove(struct clv_worker *w, struct clv_tunnel *t, struct clv_remotes_entry *r)
{
	enum clv_counter why = r->is_pending ? CLV_COUNT_DROP_REFUSED_REMOTE : CLV_COUNT_DROP_STALE;

	if (t->purge_at == r->slot + 1)
		t->purge_at = r->next;
	w->conns[t->conn_slot].remotes--;
	clv_count_add(&w->counters, why, clv_remotes_remove(&w->remotes, t, r, &w->pool));
}

/* The remote in a table's entry, or NULL; one that is stale is removed and is none. */
static struct clv_remotes_entry *fresh(struct clv_worker *w, struct clv_tunnel *t,
				       struct clv_remotes_entry *r)
{
	if (!r || !clv_remotes_is_stale(t, r))
		return r;
	remote_remove(w, t, r);
	return NULL;
}

static struct clv_remotes_entry *remote_at(struct clv_worker *w, struct clv_tunnel *t,
					   const struct clv_endpoint *endpoint)
{
	return fresh(w, t, clv_remotes_by_endpoint(&w->remotes, t, endpoint));
}

/* The tunnel's longest silent remote that never answered makes room.  Returns whether there was one. */
static bool make_room(struct clv_worker *w, struct clv_tunnel *t)
{
	struct clv_remotes_entry *r = clv_remotes_silent(&w->remotes, t);

	if (!r)
		return false;
	clv_count(&w->counters, CLV_COUNT_REMOTES_EVICTED);
	entry_event(w, CLV_EVT_REMOTE_IDLE, t, r);
	remote_remove(w, t, r);
	return true;
}

/*
 * The peer names it for the first time: control decides.  Returns NULL when there is no room, not even
 * of one that never answered: whoever has a context or answered is spared.
 */
static struct clv_remotes_entry *new_remote(struct clv_worker *w, struct clv_tunnel *t,
					    const struct clv_endpoint *endpoint)
{
	const uint32_t of_tunnel = t->remotes_max ? t->remotes_max : w->p.remotes_per_tunnel;
	struct clv_remotes_entry *r = NULL;

	if (w->conns[t->conn_slot].remotes >= w->p.remotes_per_conn && !make_room(w, t)) {
		worker_drop(w, t, CLV_COUNT_DROP_REMOTES_CONN);
		return NULL;
	}
	if (t->remotes_len < of_tunnel || make_room(w, t))
		r = remote_put(w, t, endpoint);
	if (!r && t->remotes_len < of_tunnel &&
	    make_room(w, t)) /* the worker's own table is full */
		r = remote_put(w, t, endpoint);
	if (r)
		entry_event(w, CLV_EVT_REMOTE_NEW, t, r);
	else
		worker_drop(w, t, CLV_COUNT_DROP_REMOTES_FULL);
	return r;
}

static void from_peer_uncompressed(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *data,
				   size_t len)
{
	struct clv_endpoint endpoint;
	struct clv_remotes_entry *r;
	size_t used = clv_dgram_decode_remote(data, len, &endpoint);

	if (!used) {
		worker_drop(w, t, CLV_COUNT_DROP_BAD_REMOTE);
		return;
	}
	if (!is_payload(w, t, len - used))
		return;
	clv_tunnel_count_uncompressed(&w->tunnels, t, true, len - used);
	r = remote_at(w, t, &endpoint);
	if (t->flags & CLV_TUNNEL_DELIVER) {
		clv_tunnel_count(&w->tunnels, t, true, len - used, w->now_ns);
		remote_event(w, CLV_EVT_DELIVERY, t, &endpoint, t->uncompressed_id, data + used,
			     len - used);
	} else {
		if (!r)
			r = new_remote(w, t, &endpoint);
		if (!r)
			return;
		to_remote(w, t, r, data + used, len - used);
	}
	if (!r || !clv_remotes_has_context(r))
		check_busy(w, t, &endpoint);
}

static void context_zero(struct clv_worker *w, struct clv_tunnel *t)
{
	struct clv_evt_tunnel evt = { .ref = { t->slot, t->generation, w->p.id, { 0 } } };

	worker_drop(w, t, CLV_COUNT_DROP_UNKNOWN_CONTEXT);
	if (!t->is_zero_told)
		worker_event(w, CLV_EVT_CONTEXT_ZERO, &evt, sizeof(evt), NULL, 0);
	t->is_zero_told = true;
}

bool worker_bound_from_peer(struct clv_worker *w, struct clv_tunnel *t, uint64_t context_id,
			    const uint8_t *data, size_t len)
{
	const struct clv_conn *conn = w->conns[t->conn_slot].conn;
	struct clv_remotes_entry *r;

	if (context_id == CLV_DGRAM_CONTEXT_UDP) {
		if (clv_tunnel_has_target(t))
			worker_to_target(w, t, data, len);
		else
			context_zero(w, t);
		return true;
	}
	if (context_id == t->uncompressed_id) {
		from_peer_uncompressed(w, t, data, len);
		return true;
	}
	r = clv_remotes_by_id(&w->remotes, t, context_id);
	if (r && !is_payload(w, t, len))
		return true;
	if (r && t->flags & CLV_TUNNEL_DELIVER) {
		clv_tunnel_count(&w->tunnels, t, true, len, w->now_ns);
		clv_remotes_count(&w->remotes, t, r, true, len, w->now_ns);
		remote_event(w, CLV_EVT_DELIVERY, t, &r->endpoint, context_id, data, len);
	} else if (r) {
		to_remote(w, t, r, data, len);
	} else if (context_id <= t->highest_id[context_id & 1]) {
		worker_drop(w, t, CLV_COUNT_DROP_CLOSED_CONTEXT);
	} else if ((context_id & 1) == conn->is_server) {
		worker_drop(w, t,
			    CLV_COUNT_DROP_UNKNOWN_CONTEXT); /* ours to open, and we did not */
	} else {
		return false;
	}
	return true;
}

/* ---- remote to peer ---- */

static void seal_uncompressed(struct clv_worker *w, struct clv_tunnel *t,
			      const struct clv_endpoint *endpoint, const uint8_t *payload,
			      size_t len)
{
	uint8_t prefix[CLV_BOUND_PREFIX_MAX];
	size_t prefix_len = clv_dgram_encode_prefix(t->stream_id, t->uncompressed_id, prefix);

	prefix_len += clv_dgram_encode_remote(endpoint, prefix + prefix_len);
	worker_seal(w, t, prefix, prefix_len, payload, len);
	clv_tunnel_count_uncompressed(&w->tunnels, t, false, len);
	check_busy(w, t, endpoint);
}

/* r: NULL when the remote is not one of the table. */
static void from_remote(struct clv_worker *w, struct clv_tunnel *t, struct clv_remotes_entry *r,
			const struct clv_endpoint *endpoint, const uint8_t *payload, size_t len)
{
	if (r && r->may_send) {
		worker_seal(w, t, r->prefix, r->prefix_len, payload, len);
	} else if (t->uncompressed_id != CLV_DGRAM_CONTEXT_NONE && t->uncompressed_may_send) {
		seal_uncompressed(w, t, endpoint, payload, len);
	} else {
		worker_drop(w, t, CLV_COUNT_DROP_UNKNOWN_REMOTE);
		return;
	}
	if (r)
		clv_remotes_count(&w->remotes, t, r, false, len, w->now_ns);
}

/* Bytes in front of a remote's payload; r as for from_remote. */
static size_t prefix_len_of(const struct clv_tunnel *t, const struct clv_remotes_entry *r,
			    const struct clv_endpoint *endpoint)
{
	uint8_t prefix[CLV_BOUND_PREFIX_MAX];

	if (r && r->may_send)
		return r->prefix_len;
	return clv_dgram_encode_prefix(t->stream_id, t->uncompressed_id, prefix) +
	       clv_dgram_encode_remote(endpoint, prefix);
}

/*
 * XDP has checked the packets it passes, and control the remotes it added; what a kernel socket
 * receives from other sources is checked here.
 */
static bool is_denied(const struct clv_worker *w, const struct clv_remotes_entry *r,
		      const struct clv_rx *rx)
{
	return rx->kind == CLV_KIND_UNKNOWN && (!r || r->is_pending) &&
	       clv_verdicts_denies(w->p.verdicts, rx->remote.addr);
}

/* As from_remote, for a received packet: its sender gets an ICMP error when it does not fit. */
static void from_wire(struct clv_worker *w, struct clv_tunnel *t, struct clv_remotes_entry *r,
		      const struct clv_endpoint *endpoint, const struct clv_rx *rx)
{
	bool may_send = (r && r->may_send) ||
			(t->uncompressed_id != CLV_DGRAM_CONTEXT_NONE && t->uncompressed_may_send);

	if (may_send && is_denied(w, r, rx)) {
		worker_drop(w, t, CLV_COUNT_DROP_DENIED);
		return;
	}
	if (!may_send || rx->kind == CLV_RX_HAIRPIN ||
	    worker_fits(w, t, &rx->local, &rx->remote, prefix_len_of(t, r, endpoint), rx->payload,
			rx->payload_len))
		from_remote(w, t, r, endpoint, rx->payload, rx->payload_len);
}

/* What XDP found is not trusted: tunnel and context may have changed since. */
void worker_bound_to_peer(struct clv_worker *w, struct clv_tunnel *t, const struct clv_rx *rx)
{
	const struct clv_bound_port *port = clv_tunnel_port_of(t, rx->local.addr);
	struct clv_remotes_entry *r;

	if (clv_tunnel_has_target(t) && clv_endpoint_equal(&rx->remote, &t->flow.remote) &&
	    clv_endpoint_equal(&rx->local, &t->flow.local)) {
		worker_to_peer(w, t, rx->payload, rx->payload_len);
		return;
	}
	if (port->used &&
	    (clv_endpoint_equal(&port->local, &rx->local) ||
	     (rx->kind == CLV_RX_HAIRPIN && clv_endpoint_equal(&port->advertised, &rx->local)))) {
		r = remote_at(w, t, &rx->remote);
		from_wire(w, t, r, &rx->remote, rx);
		return;
	}
	r = clv_remotes_by_tuple(&w->remotes, &rx->local, &rx->remote);
	if (r && r->tunnel == t->slot)
		r = fresh(w, t, r);
	else
		r = NULL;
	if (r)
		from_wire(w, t, r, &r->endpoint, rx);
	else
		worker_drop(w, t, CLV_COUNT_DROP_WRONG_REMOTE);
}

/* ---- commands of control ---- */

int worker_bound_bind(struct clv_worker *w, struct clv_tunnel *t,
		      const struct clv_cmd_tunnel_bind *cmd)
{
	struct clv_port *sock = w->p.sock;
	uint32_t socket = 0;
	int err = 0;

	if (cmd->socket_fd >= 0)
		err = sock->ops->add_socket(sock, cmd->socket_fd, &cmd->local, &socket);
	if (err)
		return err;
	err = clv_tunnels_bind(&w->tunnels, t, cmd, socket);
	if (err && cmd->socket_fd >= 0)
		sock->ops->remove_socket(sock, socket);
	return err;
}

/* The number of the socket that sends from a local endpoint; AF_XDP needs none. */
static uint32_t socket_of(struct clv_worker *w, struct clv_tunnel *t,
			  const struct clv_endpoint *local)
{
	const struct clv_bound_port *port = clv_tunnel_port_of(t, local->addr);
	uint64_t number;

	if (port->used && clv_endpoint_equal(&port->local, local))
		return port->socket;
	return clv_table_find(&w->open_by_local, local, &number) ? (uint32_t)number : port->socket;
}

/* The remote that control names, added if it is new; NULL when it cannot be. */
static struct clv_remotes_entry *remote_of(struct clv_worker *w, struct clv_tunnel *t,
					   const struct clv_remote *remote)
{
	struct clv_remotes_entry *r = remote_at(w, t, &remote->endpoint);

	if (!r)
		r = remote_put(w, t, &remote->endpoint);
	if (!r)
		return NULL;
	if (!clv_remotes_resolve(&w->remotes, t, r, remote, socket_of(w, t, &remote->local))) {
		if (t->context_idle_ns)
			clv_timers_set(&w->remotes.timers, &r->idle,
				       w->now_ns + t->context_idle_ns);
		return r;
	}
	if (!clv_remotes_has_context(r))
		remote_remove(w, t, r);
	return NULL;
}

/* What control requested cannot be done, and it must know. */
static void refuse(struct clv_worker *w, const struct clv_tunnel *t,
		   const struct clv_remote *remote, uint64_t context_id)
{
	clv_count(&w->counters, CLV_COUNT_DROP_REMOTES_FULL);
	remote_event(w, CLV_EVT_REMOTE_IDLE, t, &remote->endpoint, context_id, NULL, 0);
}

bool worker_bound_open(struct clv_worker *w, struct clv_tunnel *t,
		       const struct clv_cmd_context_open *cmd)
{
	bool may_send = !(cmd->flags & CLV_CONTEXT_UNACKED);
	uint64_t id = cmd->context_id, *highest = &t->highest_id[id & 1];
	struct clv_remotes_entry *r;

	if (id > *highest)
		*highest = id;
	if (cmd->flags & CLV_CONTEXT_UNCOMPRESSED) {
		clv_tunnel_set_uncompressed(&w->tunnels, t, id, may_send);
		return true;
	}
	r = remote_of(w, t, &cmd->remote);
	if (!r || clv_remotes_open(&w->remotes, t, r, id, may_send)) {
		refuse(w, t, &cmd->remote, id);
		return false;
	}
	send_waiting(w, t, r);
	return true;
}

/* Without the uncompressed context only remotes with one of their own can be reached. */
static void uncompressed_close(struct clv_worker *w, struct clv_tunnel *t)
{
	clv_tunnel_set_uncompressed(&w->tunnels, t, CLV_DGRAM_CONTEXT_NONE, false);
	t->uncompressed_closed++;
	t->purge_at = t->remotes; /* new ones come before it */
	if (!t->is_purging)
		TAILQ_INSERT_TAIL(&w->purging, t, purging);
	t->is_purging = true;
}

/* Returns whether none is left. */
static bool purge_some(struct clv_worker *w, struct clv_tunnel *t)
{
	for (; t->purge_at && w->removals_left; w->removals_left--) {
		struct clv_remotes_entry *r = &w->remotes.slots[t->purge_at - 1];

		t->purge_at = r->next;
		fresh(w, t, r);
	}
	return !t->purge_at;
}

static void purge_end(struct clv_worker *w, struct clv_tunnel *t)
{
	TAILQ_REMOVE(&w->purging, t, purging);
	t->is_purging = false;
}

void worker_bound_purge_some(struct clv_worker *w)
{
	struct clv_tunnel *t;

	while ((t = TAILQ_FIRST(&w->purging))) {
		w->work++;
		if (!purge_some(w, t))
			return;
		purge_end(w, t);
	}
}

void worker_bound_close(struct clv_worker *w, struct clv_tunnel *t, uint64_t context_id)
{
	struct clv_remotes_entry *r;

	if (context_id == t->uncompressed_id) {
		uncompressed_close(w, t);
		return;
	}
	r = clv_remotes_close(&w->remotes, t, context_id);
	if (r)
		remote_remove(w, t, r);
}

void worker_bound_remote_add(struct clv_worker *w, struct clv_tunnel *t,
			     const struct clv_remote *remote)
{
	struct clv_remotes_entry *r = NULL;

	if (t->uncompressed_id != CLV_DGRAM_CONTEXT_NONE || remote_at(w, t, &remote->endpoint))
		r = remote_of(w, t, remote);
	if (r)
		send_waiting(w, t, r);
	else
		refuse(w, t, remote, 0);
}

void worker_bound_remote_remove(struct clv_worker *w, struct clv_tunnel *t,
				const struct clv_cmd_remote_remove *cmd)
{
	struct clv_remotes_entry *r = remote_at(w, t, &cmd->remote);

	if (r && !clv_remotes_has_context(r))
		remote_remove(w, t, r);
	if (cmd->is_full)
		make_room(w, t); /* for the peer's next try */
}

void worker_bound_remote_send(struct clv_worker *w, struct clv_tunnel *t,
			      const struct clv_endpoint *endpoint, const uint8_t *payload,
			      size_t len)
{
	from_remote(w, t, remote_at(w, t, endpoint), endpoint, payload, len);
}

bool worker_bound_release_some(struct clv_worker *w, struct clv_tunnel *t)
{
	for (; t->remotes && w->removals_left; w->removals_left--)
		remote_remove(w, t, &w->remotes.slots[t->remotes - 1]);
	return !t->remotes;
}

void worker_bound_release(struct clv_worker *w, struct clv_tunnel *t)
{
	if (t->is_purging)
		purge_end(w, t);
	while (t->remotes)
		remote_remove(w, t, &w->remotes.slots[t->remotes - 1]);
	for (int i = 0; i < CLV_BOUND_PORTS; i++)
		if (t->ports[i].used && t->ports[i].own_socket)
			w->p.sock->ops->remove_socket(w->p.sock, t->ports[i].socket);
}

void worker_remotes_expire(struct clv_worker *w)
{
	struct clv_timer *timer;

	for (int i = 0; i < WORKER_EXPIRED_PER_STEP; i++) {
		struct clv_remotes_entry *r;
		struct clv_tunnel *t;
		uint64_t at;

		timer = clv_timers_expire(&w->remotes.timers, w->now_ns);
		if (!timer)
			return;
		r = (struct clv_remotes_entry *)((char *)timer -
						 offsetof(struct clv_remotes_entry, idle));
		t = &w->tunnels.slots[r->tunnel];
		at = clv_remotes_last_ns(&w->remotes, r) + t->context_idle_ns;
		w->work++;
		/* a datagram does not move the timer: check when it fires */
		if (at > w->now_ns) {
			clv_timers_set(&w->remotes.timers, timer, at);
			continue;
		}
		entry_event(w, CLV_EVT_REMOTE_IDLE, t, r);
		if (clv_remotes_has_context(r)) /* control closes it, or is reminded */
			clv_timers_set(&w->remotes.timers, timer, w->now_ns + t->context_idle_ns);
		else
			remote_remove(w, t, r);
	}
}
