/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/core/control.h"

#include "control/core/state.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	PACKETS_PER_STEP = 4,	/* batches of CLV_PORT_BATCH */
	HANDSHAKE_CIDS = 4,	/* connection IDs to expect for each connection */
	HTTP_MEMORY_SHARES = 8, /* one connection's part of the memory for requests */
};

/* ---- limits ---- */

/* total 0: only the limit of each worker holds. */
static uint32_t most(uint32_t of_worker, uint16_t workers, uint32_t total)
{
	uint64_t all = (uint64_t)of_worker * workers;

	if (total && total < all)
		return total;
	return all < UINT32_MAX ? (uint32_t)all : UINT32_MAX;
}

uint32_t clv_control_conns_most(const struct clv_control_limits *limits, uint16_t workers)
{
	return most(limits->conns_max, workers, limits->conns_total);
}

uint32_t clv_control_tunnels_most(const struct clv_control_limits *limits, uint16_t workers)
{
	return most(limits->tunnels_max, workers, limits->tunnels_total);
}

/* ---- life ---- */

static void send_command(void *control, const struct clv_ref *ref, enum clv_command type,
			 const void *body, size_t len)
{
	workers_send(control, ref->worker, type, body, len, NULL, 0);
}

static void set_ceilings(struct clv_control *c)
{
	const struct clv_control_limits *l = &c->p.limits;
	struct clv_accounts *a = &c->accounts;

	clv_accounts_set_max(a, CLV_RESOURCE_HANDSHAKES, l->handshakes_max);
	clv_accounts_set_max(a, CLV_RESOURCE_CONNS, l->conns_total);
	clv_accounts_set_part_max(a, CLV_RESOURCE_CONNS, l->conns_max, c->p.workers_len);
	clv_accounts_set_source_max(a, CLV_RESOURCE_CONNS, l->conns_per_host, l->conns_per_net);
	clv_accounts_set_max(a, CLV_RESOURCE_TUNNELS, l->tunnels_total);
	clv_accounts_set_part_max(a, CLV_RESOURCE_TUNNELS, l->tunnels_max, c->p.workers_len);
}

/* Introduce control to the app that accepts its sessions. */
static int accept_open(struct clv_control *c)
{
	const struct clv_control_env env = {
		.control = c,
		.host_ops = c->p.host_ops,
		.host = c->p.host,
		.counters = &c->counters,
		.accounts = &c->accounts,
		.workers_len = c->p.workers_len,
		.rand = &c->rand,
		.steering = &c->steering,
		.now_ns = &c->now_ns,
	};

	set_ceilings(c);
	if (!c->p.accept_ops || !c->p.accept_ops->opened)
		return 0;
	return c->p.accept_ops->opened(c->p.accept_app, &env);
}

int clv_control_open(const struct clv_control_params *params, struct clv_control **out)
{
	struct clv_control *c = aligned_alloc(64, (sizeof(*c) + 63) & ~(size_t)63);
	size_t ids = (size_t)clv_control_conns_most(&params->limits, params->workers_len) *
			     HANDSHAKE_CIDS +
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
	clv_rand_init(&c->rand, params->rand_seed);
	seed[0] = clv_rand_u64(&c->rand);
	seed[1] = clv_rand_u64(&c->rand);
	clv_admit_init(&c->admit, params->secret, &params->limits.responses, &c->guard, &c->rand,
		       &c->counters);
	guard = clv_control_guard_limits(&params->limits);
	c->steering = (struct clv_steering){ params->host_ops, params->host, send_command, c,
					     &c->hosts };
	c->budget.max = params->limits.buffered;
	c->http_memory.max = params->limits.http_memory ? params->limits.http_memory : UINT64_MAX;
	c->http_memory.holder_max = params->limits.http_memory / HTTP_MEMORY_SHARES;
	c->heap = (struct clv_heap){ .max = params->limits.quic_memory,
				     .counters = &c->counters.worker };
	if (params->port)
		params->port->counters = &c->counters.worker;
	if (clv_hosts_init(&c->hosts, seed) || clv_hosts_init(&c->peers, seed) ||
	    clv_guard_init(&c->guard, &guard, params->limits.guard_sources, seed) ||
	    clv_accounts_init(&c->accounts, params->limits.shares, seed) || workers_open(c) ||
	    clv_table_init(&c->cids, CLV_CID_LEN, ids, seed) ||
	    clv_table_init(&c->tokens, CLV_CID_TOKEN_LEN, ids, seed) ||
	    clv_table_init(&c->initials, INITIAL_KEY_LEN, ids, seed) ||
	    clv_timers_init(&c->timers, params->limits.handshakes_max + 1) || accept_open(c)) {
		clv_control_close(c);
		return -ENOMEM;
	}
	*out = c;
	return 0;
}

void clv_control_close(struct clv_control *c)
{
	if (!c)
		return;
	while (c->sessions)
		session_free(c->sessions);
	tunnels_close(c);
	if (c->p.accept_ops && c->p.accept_ops->closed)
		c->p.accept_ops->closed(c->p.accept_app);
	workers_close(c);
	clv_hosts_fini(&c->peers);
	clv_hosts_fini(&c->hosts);
	clv_timers_fini(&c->timers);
	clv_accounts_fini(&c->accounts);
	clv_guard_fini(&c->guard);
	clv_table_fini(&c->initials);
	clv_table_fini(&c->tokens);
	clv_table_fini(&c->cids);
	free(c);
}

/* ---- the step ---- */

static void receive_all(struct clv_control *c)
{
	struct clv_rx batch[CLV_PORT_BATCH];
	struct clv_port *port = c->p.port;
	unsigned n;

	for (int i = 0; i < PACKETS_PER_STEP; i++) {
		n = port->ops->rx(port, batch, CLV_PORT_BATCH);
		/* Events are handled between receiving packets and processing them: a worker reports a
		 * connection ID before it sends it to the peer, so a packet with that ID finds it. */
		events_drain(c);
		for (unsigned k = 0; k < n; k++) {
			packets_receive(c, &batch[k]);
			overload_relieve(c);
			/* A handshake packet may cost a signature: a batch of them must not delay the
			 * requests of live connections. */
			if (c->handshaking)
				events_drain(c);
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

		handshake_expire(conn->env.owner);
		c->work++;
	}
	if (c->p.accept_ops && c->p.accept_ops->next_ns &&
	    c->p.accept_ops->next_ns(c->p.accept_app) <= now_ns) {
		c->p.accept_ops->expire(c->p.accept_app);
		c->work++;
	}
	overload_relieve(c);
	c->p.port->ops->flush(c->p.port);
	workers_flush(c);
	return c->work;
}

uint64_t clv_control_next_ns(const struct clv_control *c)
{
	uint64_t at = clv_timers_next_ns(&c->timers);

	if (c->p.accept_ops && c->p.accept_ops->next_ns) {
		uint64_t app_ns = c->p.accept_ops->next_ns(c->p.accept_app);

		at = app_ns < at ? app_ns : at;
	}

	for (uint16_t i = 0; i < c->p.workers_len; i++) {
		/* A worker does not report that its mailbox has room again: retry soon. */
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
		handshake_pump(s);
	}
	workers_broadcast(c, CLV_CMD_STOP, NULL, 0);
	workers_flush(c);
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

/* A relay keeps the address that a client connected to; a client follows its own new address. */
static void migrate(struct clv_control *c, struct clv_session *s, const struct clv_route *route)
{
	struct clv_cmd_conn_migrate cmd = { .ref = s->ref, .local = s->local };

	memcpy(cmd.local.addr, route->source, sizeof(cmd.local.addr));
	workers_send(c, s->ref.worker, CLV_CMD_CONN_MIGRATE, &cmd, sizeof(cmd), NULL, 0);
}

static void reroute_session(struct clv_control *c, struct clv_session *s)
{
	struct clv_route route;

	if (s->state != SESSION_LIVE || session_route(s, &route))
		return;
	if (!s->is_server && memcmp(route.source, s->local.addr, 16))
		migrate(c, s, &route);
	if (memcmp(&route.hop, &s->hop, sizeof(s->hop)))
		session_set_hop(s, &route.hop);
}

/* The peer is a neighbour that changed. */
static void follow_peer(void *user, const struct clv_host_use *use)
{
	struct clv_session *s = (struct clv_session *)((char *)(uintptr_t)use -
						       offsetof(struct clv_session, peer));

	reroute_session(user, s);
}

void clv_control_set_meter(struct clv_control *c, uint16_t worker, const struct clv_cmd_meter *cmd)
{
	workers_send(c, worker, CLV_CMD_METER, cmd, sizeof(*cmd), NULL, 0);
}

void clv_control_routes_changed(struct clv_control *c)
{
	tunnels_routes_changed(c);
	if (c->p.accept_ops && c->p.accept_ops->routes_changed)
		c->p.accept_ops->routes_changed(c->p.accept_app);
	for (struct clv_session *s = c->sessions; s; s = s->next)
		reroute_session(c, s);
}

void clv_control_neighbours_changed(struct clv_control *c, const uint8_t (*addrs)[16], size_t len)
{
	for (size_t i = 0; i < len; i++) {
		tunnels_neighbour_changed(c, addrs[i]);
		clv_hosts_each(&c->peers, addrs[i], follow_peer, c);
	}
}

void clv_control_set_verdicts(struct clv_control *c, struct clv_verdicts *verdicts)
{
	for (uint16_t i = 0; i < c->p.workers_len; i++) {
		const struct clv_cmd_policy cmd = { clv_verdicts_ref(verdicts) };

		if (!clv_mailbox_send(c->workers[i].w.commands, CLV_CMD_POLICY, &cmd, sizeof(cmd),
				      NULL, 0))
			continue;
		clv_verdicts_unref(cmd.verdicts);
		clv_count(&c->counters, CLV_COUNT_EVENT_NOMEM);
	}
}

void clv_control_set_tls(struct clv_control *c, size_t listener, struct clv_tls_context *tls)
{
	if (listener < c->p.listeners_len)
		c->listeners[listener].tls = tls;
}

int clv_control_connect(struct clv_control *c, const struct clv_control_connect *p, uint64_t now_ns,
			struct clv_session **out)
{
	struct handshake_params n = {
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
	err = handshake_new(c, &n, out);
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

	workers_broadcast(c, CLV_CMD_SOCKET_OPEN, &cmd, sizeof(cmd));
}

void clv_control_socket_close(struct clv_control *c, int fd, const struct clv_endpoint *local)
{
	struct clv_cmd_socket cmd = { .socket_fd = fd, .local = *local };

	workers_send(c, 0, CLV_CMD_SOCKET_CLOSE, &cmd, sizeof(cmd), NULL, 0);
}

struct clv_guard_limits clv_control_guard_limits(const struct clv_control_limits *l)
{
	return (struct clv_guard_limits){
		.host = clv_rate_of(l->guard_host_per_sec, l->guard_host_burst),
		.net = clv_rate_of(l->guard_net_per_sec, l->guard_net_burst),
		.stun = clv_rate_of(l->reflect.stun ? l->reflect.per_sec : 0, l->reflect.burst),
	};
}

const struct clv_guard *clv_control_guard(const struct clv_control *c)
{
	return &c->guard;
}

void clv_control_icmp(struct clv_control *c, const struct clv_tuple *tuple, uint32_t mtu)
{
	const struct clv_cmd_icmp cmd = { .tuple = *tuple, .mtu = mtu };

	workers_broadcast(c, CLV_CMD_ICMP, &cmd, sizeof(cmd));
}

const struct clv_counters *clv_control_counters(const struct clv_control *c)
{
	return &c->counters;
}

const struct clv_accounts *clv_control_accounts(const struct clv_control *c)
{
	return &c->accounts;
}

struct clv_counters *clv_control_own_counters(struct clv_control *c)
{
	return &c->counters;
}
