/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/core/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/core/state.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/quic/cid.h"

enum {
	EVENTS_PER_STEP = 4096, /* of one worker; then the others get their turn */
	PACKETS_PER_STEP = 4,	/* batches of CLV_PORT_BATCH */
	HANDSHAKE_CIDS = 4,	/* IDs a connection may have alive, for the size of the table */
	RESET_LEN_MIN = 21,	/* RFC 9000 section 10.3 */
};

/* ---- life ---- */

static int open_workers(struct clv_control *c, const struct clv_control_params *p)
{
	c->workers = calloc(p->workers_len, sizeof(*c->workers));
	if (!c->workers)
		return -ENOMEM;
	for (uint16_t i = 0; i < p->workers_len; i++) {
		struct worker_side *side = &c->workers[i];

		side->w = p->workers[i];
		side->sessions = calloc(p->limits.conns_max, sizeof(*side->sessions));
		side->tunnels = calloc(p->limits.tunnels_max, sizeof(*side->tunnels));
		if (!side->sessions || !side->tunnels ||
		    slots_init(&side->conn_slots, p->limits.conns_max) ||
		    slots_init(&side->tunnel_slots, p->limits.tunnels_max))
			return -ENOMEM;
	}
	return 0;
}

int clv_control_open(const struct clv_control_params *params, struct clv_control **out)
{
	struct clv_control *c = aligned_alloc(64, (sizeof(*c) + 63) & ~(size_t)63);
	size_t ids = (size_t)params->limits.conns_max * params->workers_len * HANDSHAKE_CIDS +
		     params->limits.handshakes_max;
	struct clv_guard_limits guard;
	uint64_t seed[2];

	if (!c)
		return -ENOMEM;
	memset(c, 0, sizeof(*c));
	c->p = *params;
	if (c->p.listeners_len > CLV_LISTENERS_MAX)
		c->p.listeners_len = CLV_LISTENERS_MAX;
	if (c->p.listeners_len)
		memcpy(c->listeners, params->listeners,
		       c->p.listeners_len * sizeof(c->listeners[0]));
	strncpy(c->proxy_name, params->proxy_name ? params->proxy_name : "culvert",
		sizeof(c->proxy_name) - 1);
	clv_rand_init(&c->rand, params->rand_seed);
	seed[0] = clv_rand_u64(&c->rand);
	seed[1] = clv_rand_u64(&c->rand);
	clv_admit_init(&c->admit, params->secret, &params->limits.answers, &c->guard, &c->rand,
		       &c->counters);
	guard = clv_control_guard_limits(&params->limits);
	c->requests = (struct clv_requests_config){
		.host_ops = params->host_ops,
		.host = params->host,
		.policy = params->policy,
		.proxy_name = c->proxy_name,
		.counters = &c->counters,
		.tunnels_per_conn = params->limits.tunnels_per_conn,
		.request_rate = clv_rate_of(params->limits.requests_per_sec,
					    params->limits.requests_burst),
		.budget = &c->budget,
		.capsule_backlog = params->limits.capsule_backlog,
		.bind = &c->bind,
		.now_ns = &c->now_ns,
	};
	c->budget.max = params->limits.buffered;
	c->heap = (struct clv_heap){ .max = params->limits.quic_memory, .counters = &c->counters };
	c->bind = params->bind;
	c->bind.remotes_max = params->limits.remotes_max;
	c->bind.remotes_per_conn = params->limits.remotes_per_conn;
	if (params->port)
		params->port->counters = &c->counters;
	if (clv_guard_init(&c->guard, &guard, params->limits.guard_sources, seed) ||
	    clv_sources_init(&c->sources, params->limits.conns_per_host,
			     params->limits.conns_per_net,
			     (size_t)params->limits.conns_max * params->workers_len, seed) ||
	    open_workers(c, params) || clv_table_init(&c->cids, CLV_CID_LEN, ids, seed) ||
	    clv_table_init(&c->tokens, CLV_CID_TOKEN_LEN, ids, seed) ||
	    clv_table_init(&c->initials, INITIAL_KEY_LEN, ids, seed) ||
	    clv_timers_init(&c->timers, params->limits.handshakes_max + 1) ||
	    clv_binds_new(&c->bind, seed, &c->binds)) {
		clv_control_close(c);
		return -ENOMEM;
	}
	c->requests.binds = c->binds;
	*out = c;
	return 0;
}

void clv_control_close(struct clv_control *c)
{
	if (!c)
		return;
	while (c->sessions)
		session_free(c->sessions);
	for (uint16_t i = 0; c->workers && i < c->p.workers_len; i++) {
		struct worker_side *side = &c->workers[i];

		if (side->tunnels)
			tunnels_fini(c, side);
		slots_fini(&side->tunnel_slots);
		slots_fini(&side->conn_slots);
		free(side->tunnels);
		free(side->sessions);
	}
	free(c->workers);
	clv_binds_free(c->binds);
	clv_timers_fini(&c->timers);
	clv_sources_fini(&c->sources);
	clv_guard_fini(&c->guard);
	clv_table_fini(&c->initials);
	clv_table_fini(&c->tokens);
	clv_table_fini(&c->cids);
	free(c);
}

void control_command(struct clv_control *c, uint16_t worker, enum clv_command type,
		     const void *head, size_t head_len, const void *tail, size_t tail_len)
{
	if (clv_mailbox_send(c->workers[worker].w.commands, type, head, head_len, tail, tail_len))
		clv_count(&c->counters, CLV_COUNT_EVENT_NOMEM);
}

/* ---- packets ---- */

static struct clv_session *session_by_packet(struct clv_control *c, const struct clv_quic_header *h)
{
	uint8_t key[INITIAL_KEY_LEN] = { 0 };
	uint64_t s;

	if (h->dcid_len == CLV_CID_LEN && clv_table_find(&c->cids, h->dcid, &s))
		return (struct clv_session *)(uintptr_t)s;
	if (!h->is_long || h->dcid_len >= INITIAL_KEY_LEN)
		return NULL;
	key[0] = (uint8_t)h->dcid_len;
	memcpy(key + 1, h->dcid, h->dcid_len);
	return clv_table_find(&c->initials, key, &s) ? (struct clv_session *)(uintptr_t)s : NULL;
}

/*
 * In a client: the session with whoever sent it.  A stateless reset carries no ID of ours; only the
 * connection can tell it by its token (RFC 9000 section 10.3.1).
 */
static struct clv_session *session_by_relay(struct clv_control *c, const struct clv_rx *rx)
{
	struct clv_session *s = c->p.listeners_len ? NULL : c->sessions;

	while (s && !clv_endpoint_equal(&s->remote, &rx->remote))
		s = s->next;
	return s;
}

/*
 * In a relay: the session whose peer lost its state and says so.  Whether the token belongs to the
 * address it came from the connection itself checks (RFC 9000 section 10.3.1).
 */
static struct clv_session *session_by_token(struct clv_control *c, const struct clv_rx *rx)
{
	uint64_t s;

	if (rx->payload_len < RESET_LEN_MIN ||
	    !clv_table_find(&c->tokens, rx->payload + rx->payload_len - CLV_CID_TOKEN_LEN, &s))
		return NULL;
	return (struct clv_session *)(uintptr_t)s;
}

static const struct clv_control_listener *listener_of(const struct clv_control *c,
						      const struct clv_rx *rx)
{
	for (size_t i = 0; i < c->p.listeners_len; i++)
		if (c->listeners[i].port == ntohs(rx->local.port))
			return &c->listeners[i];
	return NULL;
}

static void send_answer(struct clv_control *c, const struct clv_rx *rx, const uint8_t *answer,
			size_t len)
{
	struct clv_flow flow = {
		.local = rx->local,
		.remote = rx->remote,
		.socket = rx->socket,
	};
	struct clv_port *port = c->p.port;
	struct clv_tx tx;

	if (port->ops->tx_take(port, &tx)) {
		clv_count(&c->counters, CLV_COUNT_DROP_NO_FRAME);
		return;
	}
	memcpy(tx.payload, answer, len);
	port->ops->tx_send(port, &tx, len, &flow, 0);
}

/* The ceiling that a new connection from remote is beyond; CLV_COUNTER_MAX: none. */
static enum clv_counter full_ceiling(const struct clv_control *c, const struct clv_endpoint *remote)
{
	const struct clv_control_limits *l = &c->p.limits;

	if (c->stopping || c->handshaking >= l->handshakes_max ||
	    (uint64_t)c->connected + c->handshaking >= l->conns_total)
		return CLV_COUNT_DROP_CONNS_FULL;
	if (!clv_sources_has_room(&c->sources, remote->addr))
		return CLV_COUNT_DROP_SOURCE_FULL;
	return CLV_COUNTER_MAX;
}

/* Make a connection of what was admitted, or change the verdict. */
static void accept_session(struct clv_control *c, const struct clv_control_listener *l,
			   const struct clv_rx *rx, uint8_t answer[static UDP_PAYLOAD_MAX],
			   struct clv_admit_result *a)
{
	struct session_new p = {
		.admitted = a,
		.local = rx->local,
		.remote = rx->remote,
		.socket = rx->socket,
		.tls = l->tls,
		.profile = l->profile,
		.app_ops = &serve_app,
		.app = c,
	};
	enum clv_counter full = full_ceiling(c, &rx->remote);
	struct clv_session *s;

	if (full == CLV_COUNTER_MAX && session_new(c, &p, &s))
		full = CLV_COUNT_DROP_CONNS_FULL;
	if (full != CLV_COUNTER_MAX) {
		clv_admit_refuse(&c->admit, full, c->now_ns, answer, a);
		return;
	}
	if (session_first_packet(s, rx))
		clv_admit_retry(&c->admit, rx, c->now_ns, c->p.host_ops->wall_sec(c->p.host),
				answer, a);
}

static void receive(struct clv_control *c, struct clv_rx *rx)
{
	const struct clv_control_listener *l;
	uint8_t answer[UDP_PAYLOAD_MAX];
	struct clv_admit_result a;
	struct clv_quic_header h;
	struct clv_session *s;

	if (clv_quic_header_decode(rx->payload, rx->payload_len, &h)) {
		clv_count(&c->counters, CLV_COUNT_DROP_MALFORMED);
		return;
	}
	s = session_by_packet(c, &h);
	if (!s)
		s = session_by_relay(c, rx);
	if (!s)
		s = session_by_token(c, rx);
	if (s) {
		session_packet(s, rx);
		return;
	}
	l = listener_of(c, rx);
	if (!l) {
		clv_count(&c->counters, CLV_COUNT_DROP_UNKNOWN);
		return;
	}
	clv_admit_judge(&c->admit, rx, c->handshaking >= c->p.limits.retry_above, c->now_ns,
			c->p.host_ops->wall_sec(c->p.host), answer, &a);
	if (a.verdict == CLV_ADMIT_ACCEPT)
		accept_session(c, l, rx, answer, &a);
	if (a.verdict == CLV_ADMIT_ANSWER)
		send_answer(c, rx, answer, a.answer_len);
}

/* ---- workers' events ---- */

static struct clv_session *session_of(struct clv_control *c, const struct clv_ref *ref)
{
	struct worker_side *side = &c->workers[ref->worker];
	struct clv_session *s = side->sessions[ref->slot];

	return s && s->ref.generation == ref->generation ? s : NULL;
}

static void path_changed(struct clv_control *c, struct clv_session *s,
			 const struct clv_evt_path *evt)
{
	struct clv_cmd_hop cmd = { .ref = s->ref };
	struct clv_route route;

	s->local = evt->local;
	s->remote = evt->remote;
	if (c->p.host_ops->route(c->p.host, s->remote.addr, &route))
		return;
	s->hop = route.hop;
	cmd.hop = route.hop;
	control_command(c, s->ref.worker, CLV_CMD_CONN_HOP, &cmd, sizeof(cmd), NULL, 0);
}

static void session_event(struct clv_control *c, const struct clv_record *r, const uint8_t *body)
{
	const struct clv_evt_stream *stream = (const void *)body;
	/* every event about a connection begins with its ref */
	struct clv_session *s = session_of(c, (const struct clv_ref *)body);

	if (!s)
		return;
	switch (r->type) {
	case CLV_EVT_CID_ADDED:
		session_cid_added(s, &((const struct clv_evt_cid *)body)->cid);
		break;
	case CLV_EVT_CID_REMOVED:
		session_cid_removed(s, &((const struct clv_evt_cid *)body)->cid);
		break;
	case CLV_EVT_NEW_TOKEN:
		clv_tokens_put(&c->known, &s->remote, body + sizeof(struct clv_cmd_ref),
			       r->len - sizeof(struct clv_cmd_ref));
		break;
	case CLV_EVT_PEER_TOKEN:
		session_peer_token(s, (const void *)body);
		break;
	case CLV_EVT_CONN_GONE:
		session_gone(s, (const void *)body);
		break;
	case CLV_EVT_PATH_CHANGED:
		path_changed(c, s, (const void *)body);
		break;
	case CLV_EVT_MAX_PAYLOAD:
		s->payload_max = ((const struct clv_evt_payload *)body)->payload_len;
		if (s->app_ops->max_payload)
			s->app_ops->max_payload(s->app, s, s->payload_max);
		break;
	default:
		session_stream_event(s, r->type, stream->stream_id, stream->code,
				     body + sizeof(*stream), r->len - sizeof(*stream));
	}
}

static void stray(struct clv_control *c, const struct clv_evt_stray *evt, const uint8_t *payload,
		  size_t len)
{
	struct clv_rx rx = {
		.local = evt->local,
		.remote = evt->remote,
		.payload = (uint8_t *)payload, /* ours until the record is released */
		.payload_len = (uint32_t)len,
		.ecn = evt->ecn,
	};

	receive(c, &rx);
}

static void too_big(struct clv_control *c, const struct clv_evt_too_big *evt, const uint8_t *quote,
		    size_t len)
{
	if (c->p.host_ops->too_big)
		c->p.host_ops->too_big(c->p.host, &evt->tuple, evt->mtu, quote, len);
}

static void event(struct clv_control *c, struct worker_side *side, const struct clv_record *r)
{
	const uint8_t *body = r->body;

	switch (r->type) {
	case CLV_EVT_TUNNEL_GONE:
		tunnel_gone(c, (const void *)body);
		break;
	case CLV_EVT_DATAGRAM_UP:
		tunnel_datagram_up(c, (const void *)body, body + sizeof(struct clv_evt_tunnel),
				   r->len - sizeof(struct clv_evt_tunnel));
		break;
	case CLV_EVT_NEW_REMOTE:
		if (c->p.on_new_remote)
			c->p.on_new_remote(c->p.client, (const void *)body,
					   body + sizeof(struct clv_evt_remote),
					   r->len - sizeof(struct clv_evt_remote));
		break;
	case CLV_EVT_REMOTE_NEW:
	case CLV_EVT_REMOTE_BUSY:
	case CLV_EVT_REMOTE_IDLE:
	case CLV_EVT_DELIVERY:
		tunnel_bound_event(c, (enum clv_event)r->type, (const void *)body,
				   body + sizeof(struct clv_evt_bound),
				   r->len - sizeof(struct clv_evt_bound));
		break;
	case CLV_EVT_CONTEXT_ZERO:
		tunnel_bound_event(c, CLV_EVT_CONTEXT_ZERO,
				   &(struct clv_evt_bound){
					   .ref = ((const struct clv_evt_tunnel *)body)->ref },
				   NULL, 0);
		break;
	case CLV_EVT_SOCKET_CLOSED:
		if (c->p.on_socket_closed)
			c->p.on_socket_closed(c->p.client,
					      ((const struct clv_cmd_socket *)body)->socket_fd);
		break;
	case CLV_EVT_TOO_BIG:
		too_big(c, (const void *)body, body + sizeof(struct clv_evt_too_big),
			r->len - sizeof(struct clv_evt_too_big));
		break;
	case CLV_EVT_STRAY:
		stray(c, (const void *)body, body + sizeof(struct clv_evt_stray),
		      r->len - sizeof(struct clv_evt_stray));
		break;
	case CLV_EVT_STOPPED:
		side->stopped = true;
		break;
	default:
		session_event(c, r, body);
	}
}

static void drain_events(struct clv_control *c)
{
	struct clv_record r;

	for (uint16_t i = 0; i < c->p.workers_len; i++) {
		struct worker_side *side = &c->workers[i];

		for (int n = 0; n < EVENTS_PER_STEP && clv_mailbox_peek(side->w.events, &r); n++) {
			event(c, side, &r);
			clv_mailbox_release(side->w.events);
			c->work++;
		}
	}
}

/* ---- the step ---- */

static void receive_all(struct clv_control *c)
{
	struct clv_rx batch[CLV_PORT_BATCH];
	struct clv_port *port = c->p.port;
	unsigned n;

	for (int i = 0; i < PACKETS_PER_STEP; i++) {
		n = port->ops->rx(port, batch, CLV_PORT_BATCH);
		/* Events between taking packets and using them: a packet with a connection ID that a
		 * worker issued finds it known, since the ID was announced before it was sent. */
		drain_events(c);
		for (unsigned k = 0; k < n; k++) {
			receive(c, &batch[k]);
			/* A handshake's packet may cost a signature: a batch of them must not keep
			 * the requests of live connections waiting. */
			if (c->handshaking)
				drain_events(c);
		}
		port->ops->rx_done(port);
		c->work += n;
		if (n < CLV_PORT_BATCH)
			return;
	}
}

unsigned clv_control_step(struct clv_control *c, uint64_t now_ns)
{
	struct clv_timer *timer;

	c->now_ns = now_ns;
	c->work = 0;
	receive_all(c);
	while ((timer = clv_timers_expire(&c->timers, now_ns))) {
		struct clv_conn *conn = (struct clv_conn *)((char *)timer -
							    offsetof(struct clv_conn, timer));

		session_expire(conn->env.owner);
		c->work++;
	}
	c->p.port->ops->flush(c->p.port);
	for (uint16_t i = 0; i < c->p.workers_len; i++)
		clv_mailbox_flush(c->workers[i].w.commands);
	return c->work;
}

uint64_t clv_control_next_ns(const struct clv_control *c)
{
	uint64_t at = clv_timers_next_ns(&c->timers);

	for (uint16_t i = 0; i < c->p.workers_len; i++) {
		/* a worker makes room without saying so: look again soon */
		if (clv_mailbox_backlog(c->workers[i].w.commands) && c->now_ns + CLV_MSEC < at)
			at = c->now_ns + CLV_MSEC;
	}
	return at;
}

void clv_control_stop(struct clv_control *c, uint64_t now_ns)
{
	struct clv_session *s = c->sessions, *next;

	if (c->stopping)
		return;
	c->stopping = true;
	c->now_ns = now_ns;
	for (; s; s = next) {
		next = s->next;
		if (s->state != SESSION_HANDSHAKE)
			continue;
		clv_session_close(s, false, NGTCP2_CONNECTION_REFUSED, "shutting down");
		session_pump(s);
	}
	for (uint16_t i = 0; i < c->p.workers_len; i++) {
		control_command(c, i, CLV_CMD_STOP, NULL, 0, NULL, 0);
		clv_mailbox_flush(c->workers[i].w.commands);
	}
	c->p.port->ops->flush(c->p.port);
}

bool clv_control_is_stopped(const struct clv_control *c)
{
	if (!c->stopping)
		return false;
	for (uint16_t i = 0; i < c->p.workers_len; i++)
		if (!c->workers[i].stopped)
			return false;
	return true;
}

/* A relay answers from where it was asked; a client whose address is another goes on from there. */
static void migrate(struct clv_control *c, struct clv_session *s, const struct clv_route *route)
{
	struct clv_cmd_conn_migrate cmd = { .ref = s->ref, .local = s->local };

	memcpy(cmd.local.addr, route->source, sizeof(cmd.local.addr));
	control_command(c, s->ref.worker, CLV_CMD_CONN_MIGRATE, &cmd, sizeof(cmd), NULL, 0);
}

void clv_control_routes_changed(struct clv_control *c)
{
	tunnels_routes_changed(c);
	for (struct clv_session *s = c->sessions; s; s = s->next) {
		struct clv_cmd_hop cmd = { .ref = s->ref };
		struct clv_route route;

		if (s->state != SESSION_LIVE ||
		    c->p.host_ops->route(c->p.host, s->remote.addr, &route))
			continue;
		if (!s->is_server && memcmp(route.source, s->local.addr, 16))
			migrate(c, s, &route);
		if (!memcmp(&route.hop, &s->hop, sizeof(s->hop)))
			continue;
		s->hop = route.hop;
		cmd.hop = route.hop;
		control_command(c, s->ref.worker, CLV_CMD_CONN_HOP, &cmd, sizeof(cmd), NULL, 0);
	}
}

/* Before the remotes that it denies are taken away: no datagram of theirs makes them known anew. */
static void send_policy(struct clv_control *c, uint16_t worker)
{
	const struct clv_cmd_policy cmd = { clv_verdicts_ref(clv_policy_verdicts(c->p.policy)) };

	if (!clv_mailbox_send(c->workers[worker].w.commands, CLV_CMD_POLICY, &cmd, sizeof(cmd),
			      NULL, 0))
		return;
	clv_verdicts_unref(cmd.verdicts);
	clv_count(&c->counters, CLV_COUNT_EVENT_NOMEM);
}

void clv_control_set_policy(struct clv_control *c, const struct clv_policy *policy)
{
	c->p.policy = policy;
	c->requests.policy = policy;
	for (uint16_t i = 0; i < c->p.workers_len; i++)
		send_policy(c, i);
	tunnels_policy_changed(c);
}

int clv_control_connect(struct clv_control *c, const struct clv_control_connect *p, uint64_t now_ns,
			struct clv_session **out)
{
	struct session_new n = {
		.local = p->local,
		.remote = p->remote,
		.socket = p->socket,
		.tls = p->tls,
		.profile = p->profile,
		.server_name = p->server_name,
		.keepalive_ns = p->keepalive_ns,
		.no_datagrams = p->no_datagrams,
		.app_ops = p->app_ops,
		.app = p->app,
	};
	int err;

	c->now_ns = now_ns;
	if (c->stopping)
		return CLV_ECLOSED;
	if (c->handshaking >= c->p.limits.handshakes_max)
		return CLV_EFULL;
	err = session_new(c, &n, out);
	if (err)
		return err;
	clv_conn_output((*out)->conn, c->p.port, now_ns);
	clv_timers_set(&c->timers, &(*out)->conn->timer, clv_conn_next_ns((*out)->conn));
	c->p.port->ops->flush(c->p.port);
	return 0;
}

void clv_control_socket_open(struct clv_control *c, int fd, const struct clv_endpoint *local)
{
	struct clv_cmd_socket cmd = { .socket_fd = fd, .local = *local };

	for (uint16_t i = 0; i < c->p.workers_len; i++)
		control_command(c, i, CLV_CMD_SOCKET_OPEN, &cmd, sizeof(cmd), NULL, 0);
}

void clv_control_socket_close(struct clv_control *c, int fd, const struct clv_endpoint *local)
{
	struct clv_cmd_socket cmd = { .socket_fd = fd, .local = *local };

	control_command(c, 0, CLV_CMD_SOCKET_CLOSE, &cmd, sizeof(cmd), NULL, 0);
}

struct clv_guard_limits clv_control_guard_limits(const struct clv_control_limits *l)
{
	return (struct clv_guard_limits){
		.host = clv_rate_of(l->guard_host_per_sec, l->guard_host_burst),
		.net = clv_rate_of(l->guard_net_per_sec, l->guard_net_burst),
	};
}

const struct clv_guard *clv_control_guard(const struct clv_control *c)
{
	return &c->guard;
}

void clv_control_icmp(struct clv_control *c, const struct clv_tuple *tuple, uint32_t mtu)
{
	const struct clv_cmd_icmp cmd = { .tuple = *tuple, .mtu = mtu };

	for (uint16_t i = 0; i < c->p.workers_len; i++)
		control_command(c, i, CLV_CMD_ICMP, &cmd, sizeof(cmd), NULL, 0);
}

const struct clv_counters *clv_control_counters(const struct clv_control *c)
{
	return &c->counters;
}

struct clv_counters *clv_control_own_counters(struct clv_control *c)
{
	return &c->counters;
}
