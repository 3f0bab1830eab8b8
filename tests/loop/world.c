/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/loop/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/admission/admit.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/io/handoff.h"
#include "datapath/quic/cid.h"
#include "tests/loop/world_host.h"
#include "tests/loop/world_tls.h"

enum {
	RELAY_PORT = 443,
	FIRST_EGRESS_PORT = 20000,
	MAILBOX_BYTES = 1 << 20,
	HANDOFF_BYTES = 1 << 18,
};

bool world_in_worker;

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "world: %s failed\n", what);
	abort();
}

static struct clv_endpoint endpoint(const char *text)
{
	struct clv_endpoint ep;

	must(clv_endpoint_parse(text, &ep) == 0, text);
	return ep;
}

/* ---- the target ---- */

static bool target_deliver(void *self, const struct wire_packet *p)
{
	struct world *w = self;

	if (!clv_endpoint_equal(&p->to, &w->target))
		return false;
	w->target_received++;
	w->target_heard = p->from;
	if (!w->target_is_silent)
		wire_send(&w->wire, &w->target, &p->from, 0, p->bytes, p->len);
	return true;
}

/* ---- the relay ---- */

static bool is_denied(struct world_relay *r, const uint8_t addr[16])
{
	bool denied = clv_verdicts_denies(clv_policy_verdicts(r->denied), addr);

	r->xdp_denied += denied;
	return denied;
}

/* What the kernel has a socket for. */
static bool to_socket(struct world_relay *r, const struct wire_packet *p)
{
	int socket = -1;

	for (uint16_t i = 0; i < r->world->p.workers && socket < 0; i++) {
		socket = wire_port_socket(&r->sock[i], &p->to);
		if (socket >= 0)
			wire_port_push(&r->sock[i], p, (uint32_t)socket, CLV_KIND_UNKNOWN, NULL);
	}
	return socket >= 0;
}

/* Steer a frame as XDP does, or without XDP the kernel's reuseport program. */
static bool relay_deliver(void *self, const struct wire_packet *p)
{
	struct world_relay *r = self;
	struct world *w = r->world;
	struct wire_port *arrival = &r->xsk[r->arrival];
	const struct world_row *row;
	struct clv_tuple tuple = { .local = p->to, .remote = p->from };

	if (memcmp(p->to.addr, w->relay_endpoint.addr, 16) &&
	    memcmp(p->to.addr, w->relay_endpoint6.addr, 16))
		return false;
	if (p->to.port == w->relay_endpoint.port) {
		row = p->len > CLV_CID_LEN && !(p->bytes[0] & 0x80)
			      ? world_table_find(&r->conns, p->bytes + 1, CLV_CID_LEN)
			      : NULL;
		if (!row) {
			r->to_kernel++;
			wire_port_push(&r->control_port, p, 0, CLV_KIND_UNKNOWN, NULL);
		} else if (w->p.kernel_path) {
			wire_port_push(&r->sock[row->ref.worker], p, 0, CLV_KIND_UNKNOWN, NULL);
		} else {
			wire_port_push(arrival, p, 0, CLV_KIND_CONN, &row->ref);
		}
		return true;
	}
	if (w->p.kernel_path)
		return to_socket(r, p);
	row = world_table_find(&r->contexts, &tuple, sizeof(tuple));
	if (row) {
		if (is_denied(r, p->from.addr))
			return true;
		wire_port_push(arrival, p, 0, CLV_KIND_CONTEXT, &row->ref);
		return true;
	}
	row = world_table_find(&r->bindings, &p->to, sizeof(p->to));
	if (!row || !(row->value & CLV_BINDING_UNCOMPRESSED))
		return to_socket(r, p); /* of a route that XDP does not serve */
	if (is_denied(r, p->from.addr))
		return true;
	wire_port_push(arrival, p, 0, CLV_KIND_UNCOMPRESSED, &row->ref);
	return true;
}

static struct clv_control_limits limits_of(const struct world_params *p)
{
	struct clv_control_limits l = p->limits;

#define FALLBACK(member, value) l.member = l.member ? l.member : (value)
	FALLBACK(conns_max, 64);
	FALLBACK(conns_total, 1 << 20);
	FALLBACK(conns_per_host, 1 << 20);
	FALLBACK(conns_per_net, 1 << 20);
	FALLBACK(handshakes_max, 64);
	FALLBACK(retry_above, 1000);
	FALLBACK(tunnels_max, 1024);
	FALLBACK(tunnels_total, 1 << 20);
	FALLBACK(tunnels_per_conn, 256);
	FALLBACK(queue.packets, 64);
	FALLBACK(queue.sojourn_ns, 100 * CLV_MSEC);
	FALLBACK(queue.target_ns, 5 * CLV_MSEC);
	FALLBACK(queue.interval_ns, 100 * CLV_MSEC);
	FALLBACK(conn_idle_ns, 30 * CLV_SEC);
	FALLBACK(handshake_ns, 10 * CLV_SEC);
	FALLBACK(stream_window, 1 << 18);
	FALLBACK(conn_window, 1 << 20);
	FALLBACK(buffered, 1 << 26);
	FALLBACK(responses.resets_per_sec, 100);
	FALLBACK(responses.retries_per_sec, 1000);
	FALLBACK(responses.version_negotiations_per_sec, 100);
	FALLBACK(responses.refusals_per_sec, 100);
	FALLBACK(stream_cancels_per_sec, 1000);
	FALLBACK(handover_packets, 16);
	if (p->always_retry)
		l.retry_above = 0;
	return l;
}

static struct clv_proxy_limits proxy_limits_of(const struct world_params *p)
{
	struct clv_proxy_limits l = p->proxy;

	FALLBACK(tunnels_per_conn, limits_of(p).tunnels_per_conn);
	FALLBACK(capsule_backlog, 1 << 16);
	FALLBACK(tunnel_idle_ns, 120 * CLV_SEC);
	FALLBACK(requests_max, 1 << 20);
	FALLBACK(names_pending, 64);
	FALLBACK(request_ns, 10 * CLV_SEC);
	FALLBACK(unfinished_max, 64);
	return l;
}

static struct clv_bound_settings bind_of(const struct world_params *p)
{
	static const struct clv_bound_settings ample = {
		.is_offered = true,
		.is_uncompressed = true,
		.tunnels_max = 256,
		.contexts = { .open_max = 512, .unacked_max = 1024, .id_gaps_max = 64 },
	};
	struct clv_bound_settings l = p->bind.tunnels_max ? p->bind : ample;

	FALLBACK(remotes_max, 1024);
	FALLBACK(remotes_per_conn, 1024);
	FALLBACK(remotes_per_tunnel, 512);
#undef FALLBACK
	return l;
}

static struct clv_signal_settings signal_of(const struct world_params *p)
{
	static const struct clv_signal_settings usual = {
		.is_offered = true,
		.records_max = 1024,
		.knocks_max = 256,
		.knock_ns = 10 * CLV_SEC,
		.publish_every_ns = 10 * CLV_SEC,
		.publish_burst = 5,
		.lookups_per_sec = 5,
		.knocks_per_sec = 2,
		.knocks_to_per_sec = 20,
		.bytes_per_sec = 65536,
		.backlog = 65536,
	};

	return p->signal.records_max ? p->signal : usual;
}

static struct clv_worker_params worker_params(const struct world *w, uint16_t id)
{
	struct clv_control_limits l = limits_of(&w->p);
	struct clv_bound_settings bind = bind_of(&w->p);

	return (struct clv_worker_params){
		.id = id,
		.workers = w->p.workers,
		.conns_max = l.conns_max,
		.tunnels_max = l.tunnels_max,
		.remotes_max = bind.remotes_max,
		.remotes_per_conn = bind.remotes_per_conn,
		.remotes_per_tunnel = bind.remotes_per_tunnel,
		.buffers = w->p.buffers ? w->p.buffers : 1024,
		.buffered_max = l.buffered,
		.quic_memory_max = l.quic_memory,
		.listener_sockets = 1,
		.early_per_conn = w->p.early_per_conn ? w->p.early_per_conn : 16,
		.early_total = w->p.early_total ? w->p.early_total : 128,
		.early_ns = w->p.early_ns ? w->p.early_ns : 300 * CLV_MSEC,
		.hop_wait_packets = w->p.hop_wait_packets ? w->p.hop_wait_packets : 8,
		.icmp_per_sec = w->p.icmp_per_sec ? w->p.icmp_per_sec : 100,
		.icmp_source_per_sec = w->p.icmp_source_per_sec,
		.icmp_mtu_min4 = 1280,
		.rand_seed = w->p.seed + 100 + id,
	};
}

static void relay_open(struct world *w)
{
	struct world_relay *r = &w->relay;
	struct clv_control_listener listener = { .port = RELAY_PORT,
						 .tls = w->server_tls,
						 .profile = CLV_PROFILE_PQC };
	struct clv_control_worker sides[WORLD_WORKERS_MAX];
	int wake[WORLD_WORKERS_MAX] = { -1, -1, -1, -1 };
	struct clv_control_params cp = {
		.host_ops = &world_host_ops,
		.host = r,
		.port = &r->control_port.port,
		.listeners = &listener,
		.listeners_len = 1,
		.workers = sides,
		.workers_len = w->p.workers,
		.limits = limits_of(&w->p),
		.accept_ops = &clv_proxy_app_ops,
		.rand_seed = w->p.seed,
		.secret = { 7 },
	};
	const struct clv_proxy_params pp = {
		.policy = w->policy,
		.access = w->p.access,
		.limits = proxy_limits_of(&w->p),
		.bind = bind_of(&w->p),
		.signal = signal_of(&w->p),
	};

	r->world = w;
	r->denied = w->policy;
	r->next_port = FIRST_EGRESS_PORT;
	wire_port_init(&r->control_port, &w->wire);
	must(r->control_port.port.ops->add_socket(&r->control_port.port, -1, &w->relay_endpoint,
						  &(uint32_t){ 0 }) == 0,
	     "listener");
	if (w->p.workers > 1)
		r->handoff = clv_handoff_new(w->p.workers, HANDOFF_BYTES, wake);
	for (uint16_t i = 0; i < w->p.workers; i++) {
		struct clv_worker_params wp = worker_params(w, i);
		uint32_t number;

		r->commands[i] = clv_mailbox_new(MAILBOX_BYTES, -1);
		r->events[i] = clv_mailbox_new(MAILBOX_BYTES, -1);
		wire_port_init(&r->xsk[i], &w->wire);
		wire_port_init(&r->sock[i], &w->wire);
		must(r->sock[i].port.ops->add_socket(&r->sock[i].port, -1, &w->relay_endpoint,
						     &number) == 0 &&
			     number == CLV_WORKER_LISTENER_SOCKET,
		     "worker's listener");
		wp.sock = &r->sock[i].port;
		wp.xsk = w->p.kernel_path ? NULL : &r->xsk[i].port;
		wp.commands = r->commands[i];
		wp.events = r->events[i];
		wp.handoff = r->handoff;
		wp.verdicts = clv_policy_verdicts(w->policy);
		clv_admit_reset_secret(cp.secret, wp.reset_secret);
		must(clv_worker_open(&wp, &r->workers[i]) == 0, "worker");
		sides[i] = (struct clv_control_worker){ r->commands[i], r->events[i],
							r->workers[i] };
	}
	if (w->p.accept_ops) {
		cp.accept_ops = w->p.accept_ops;
		cp.accept_app = w->p.accept_app;
	} else {
		must(clv_proxy_new(&pp, &r->proxy) == 0, "proxy");
		cp.accept_app = r->proxy;
	}
	must(clv_control_open(&cp, &r->control) == 0, "control");
	r->end = (struct wire_end){ .deliver = relay_deliver, .self = r };
	wire_join(&w->wire, &r->end);
}

/* ---- a client ---- */

static uint8_t pattern(uint32_t number, size_t i)
{
	return (uint8_t)(number * 31 + i * 7 + (i >> 8));
}

/* A datagram to a local application, from its tunnel. */
static bool app_deliver(struct world_client *c, const struct wire_packet *p)
{
	for (unsigned a = 0; a < WORLD_APPS_MAX; a++) {
		struct world_app *app = &c->apps[a];
		uint32_t number = 0;

		if (!app->endpoint.port || !clv_endpoint_equal(&p->to, &app->endpoint))
			continue;
		app->received++;
		app->last_len = p->len;
		if (p->len >= sizeof(number))
			memcpy(&number, p->bytes, sizeof(number));
		for (size_t i = sizeof(number); i < p->len; i++)
			if (p->bytes[i] != pattern(number, i)) {
				app->wrong++;
				break;
			}
		return true;
	}
	return false;
}

static bool client_deliver(void *self, const struct wire_packet *p)
{
	struct world_client *c = self;
	int socket;

	/* Addresses of the loopback network belong to each client for itself. */
	if (app_deliver(c, p))
		return true;
	socket = wire_port_socket(&c->sock, &p->to);
	if (socket < 0)
		return false;
	wire_port_push(&c->sock, p, (uint32_t)socket, CLV_KIND_UNKNOWN, NULL);
	return true;
}

static void on_up(void *user, struct clv_relay_session *rs)
{
	struct world_client *c = user;

	(void)rs;
	c->is_up = true;
}

static void on_down(void *user, const struct clv_session_end *end)
{
	struct world_client *c = user;

	c->is_up = false;
	c->is_down = true;
	c->down = *end;
	c->session = NULL;
}

static void on_max_payload(void *user, uint32_t len)
{
	struct world_client *c = user;

	c->max_payload = len;
}

static const struct clv_relay_session_ops session_ops = { on_up, on_down, on_max_payload };

static void client_open(struct world *w, unsigned i)
{
	struct world_client *c = &w->clients[i];
	struct clv_worker_params wp = worker_params(w, 0);
	struct clv_control_worker side;
	struct clv_control_params cp = {
		.host_ops = &world_client_host_ops,
		.host = c,
		.port = &c->control_port.port,
		.workers = &side,
		.workers_len = 1,
		.limits = limits_of(&w->p),
		.rand_seed = w->p.seed + 1000 + i,
		.secret = { 9 },
	};
	char text[64];
	uint32_t number;

	c->world = w;
	snprintf(text, sizeof(text), "198.18.0.%u:%u", 2 + i, 40000 + i);
	c->endpoint = endpoint(text);
	snprintf(text, sizeof(text), "127.0.0.%u:5000", 2 + i);
	c->listen = endpoint(text);
	clv_rand_init(&c->rand, w->p.seed + 2000 + i);
	c->commands = clv_mailbox_new(MAILBOX_BYTES, -1);
	c->events = clv_mailbox_new(MAILBOX_BYTES, -1);
	wire_port_init(&c->control_port, &w->wire);
	wire_port_init(&c->sock, &w->wire);
	must(c->sock.port.ops->add_socket(&c->sock.port, -1, &c->endpoint, &number) == 0 &&
		     number == CLV_WORKER_LISTENER_SOCKET,
	     "client socket");
	wp.workers = 1;
	wp.rand_seed += 50 + i;
	wp.sock = &c->sock.port;
	wp.commands = c->commands;
	wp.events = c->events;
	must(clv_worker_open(&wp, &c->worker) == 0, "client worker");
	side = (struct clv_control_worker){ c->commands, c->events, c->worker };
	must(clv_control_open(&cp, &c->control) == 0, "client control");
	clv_control_socket_open(c->control, -1, &c->listen);
	c->end = (struct wire_end){ .deliver = client_deliver, .self = c };
	wire_join(&w->wire, &c->end);
}

void world_connect_start(struct world *w, unsigned i)
{
	struct world_client *c = &w->clients[i];
	struct clv_relay_session_params p = {
		.control = c->control,
		.connect = {
			.local = c->endpoint,
			.remote = w->relay_endpoint,
			.tls = w->identity_tls[i] ? w->identity_tls[i] : w->client_tls,
			.profile = CLV_PROFILE_PQC,
			.server_name = "relay.test",
			.no_datagrams = w->p.no_datagrams,
		},
		.authority = "relay.test:443",
		.tunnels_max = 256,
		.capsule_backlog = 1 << 16,
		.authorization = w->p.authorization[i],
		.answer_ns = w->p.answer_ns,
		.rand = &c->rand,
		.counters = &c->counters,
		.ops = &session_ops,
		.user = c,
	};

	c->is_up = c->is_down = false;
	must(clv_relay_session_open(&p, w->wire.now_ns, &c->session) == 0, "connect");
}

bool world_connect(struct world *w, unsigned i)
{
	struct world_client *c = &w->clients[i];
	uint64_t until = w->wire.now_ns + 15 * CLV_SEC;

	world_connect_start(w, i);
	while (!c->is_up && !c->is_down && w->wire.now_ns < until)
		world_turn(w, until - w->wire.now_ns);
	return c->is_up;
}

static void on_tunnel_open(void *user, const struct clv_client_result *result)
{
	struct world_app *app = user;

	app->opened++;
	app->status = result->status;
}

static void on_tunnel_closed(void *user, int error, const struct clv_client_result *result)
{
	struct world_app *app = user;

	app->closed++;
	app->error = error;
	if (result)
		app->status = result->status;
	app->tunnel = NULL;
}

static const struct clv_relay_tunnel_ops tunnel_ops = { .on_open = on_tunnel_open,
							.on_closed = on_tunnel_closed };

int world_tunnel(struct world *w, unsigned i, unsigned a, const char *host, uint16_t port)
{
	struct world_client *c = &w->clients[i];
	struct world_app *app = &c->apps[a];
	struct clv_relay_tunnel_params p = {
		.host = host,
		.port = port,
		.local = c->listen,
		.ops = &tunnel_ops,
		.user = app,
	};
	char text[64];
	int socket = wire_port_socket(&c->sock, &c->listen);

	must(socket >= 0, "listening socket");
	snprintf(text, sizeof(text), "127.0.0.%u:%u", 2 + i, 6000 + a);
	*app = (struct world_app){ .endpoint = endpoint(text) };
	p.remote = app->endpoint;
	p.socket = (uint32_t)socket;
	return clv_relay_tunnel_open(c->session, &p, &app->tunnel);
}

void world_app_send(struct world *w, unsigned i, unsigned a, size_t len, uint32_t number)
{
	struct world_client *c = &w->clients[i];
	struct wire_packet *p = calloc(1, sizeof(*p) + len);

	must(p != NULL, "memory");
	for (size_t k = 0; k < len; k++)
		p->bytes[k] = pattern(number, k);
	memcpy(p->bytes, &number, len < sizeof(number) ? len : sizeof(number));
	p->from = c->apps[a].endpoint;
	p->to = c->listen;
	p->len = len;
	client_deliver(c, p); /* over the client's loopback, without loss */
	free(p);
}

/* ---- time ---- */

static uint64_t min_ns(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static unsigned step_all(struct world *w)
{
	uint64_t now = w->wire.now_ns;
	unsigned work = w->is_control_stuck ? 0
					    : world_host_answer(&w->relay) +
						      clv_control_step(w->relay.control, now);

	world_in_worker = true;
	for (uint16_t i = 0; i < w->p.workers; i++)
		work += clv_worker_step(w->relay.workers[i],
					w->p.late_workers ? w->last_turn_ns : now);
	world_in_worker = false;
	for (uint16_t i = 0; i < w->p.clients; i++) {
		if (w->clients[i].session)
			clv_relay_session_step(w->clients[i].session, now);
		work += clv_control_step(w->clients[i].control, now);
		work += clv_worker_step(w->clients[i].worker, now);
	}
	w->last_turn_ns = now;
	return work;
}

void world_turn(struct world *w, uint64_t step_ns)
{
	uint64_t at;
	int rounds = 0;

	wire_run(&w->wire);
	while (step_all(w))
		must(++rounds < 10000, "settling: work without end");
	at = min_ns(wire_next_ns(&w->wire), w->wire.now_ns + step_ns);
	if (!w->is_control_stuck)
		at = min_ns(at, clv_control_next_ns(w->relay.control));
	for (uint16_t i = 0; i < w->p.workers; i++)
		at = min_ns(at, clv_worker_next_ns(w->relay.workers[i]));
	for (uint16_t i = 0; i < w->p.clients; i++) {
		if (w->clients[i].session)
			at = min_ns(at, clv_relay_session_next_ns(w->clients[i].session));
		at = min_ns(at, clv_control_next_ns(w->clients[i].control));
		at = min_ns(at, clv_worker_next_ns(w->clients[i].worker));
	}
	/* A timer that is due again at once still advances the clock by a tick. */
	w->wire.now_ns = at > w->wire.now_ns ? at : w->wire.now_ns + 1000;
}

bool world_run(struct world *w, uint64_t duration_ns, bool (*done)(struct world *w))
{
	uint64_t until = w->wire.now_ns + duration_ns;

	while (w->wire.now_ns < until) {
		world_turn(w, until - w->wire.now_ns);
		if (done && done(w))
			return true;
	}
	return false;
}

/* ---- the world ---- */

void world_open(struct world *w, const struct world_params *p)
{
	static const char *const allow[] = { "198.18.0.0/15", "2001:db8::/32" };
	char error[128] = "";

	memset(w, 0, sizeof(*w));
	w->p = *p;
	w->p.workers = p->workers ? p->workers : 1;
	w->p.clients = p->clients ? p->clients : 1;
	w->p.seed = p->seed ? p->seed : 1;
	w->egress_max = 1024;
	wire_init(&w->wire, w->p.seed);
	w->relay_endpoint = endpoint("198.18.0.1:443");
	w->relay_endpoint6 = endpoint("[2001:db8::1]:443");
	w->hop_mtu = 1500;
	w->target = endpoint("198.18.1.1:7000");
	world_tls_make(w);
	must(clv_policy_new(allow, 2, NULL, 0, &w->policy, error, sizeof(error)) == 0, error);
	relay_open(w);
	for (unsigned i = 0; i < w->p.clients; i++)
		client_open(w, i);
	w->target_end = (struct wire_end){ .deliver = target_deliver, .self = w };
	wire_join(&w->wire, &w->target_end);
}

static void close_client(struct world_client *c)
{
	clv_control_close(c->control);
	clv_worker_close(c->worker);
	clv_mailbox_free(c->commands);
	clv_mailbox_free(c->events);
}

static void relay_close(struct world *w)
{
	struct world_relay *r = &w->relay;

	clv_control_close(r->control);
	for (uint16_t i = 0; i < w->p.workers; i++) {
		clv_worker_close(r->workers[i]);
		clv_mailbox_free(r->commands[i]);
		clv_mailbox_free(r->events[i]);
	}
	clv_proxy_free(r->proxy);
	clv_handoff_free(r->handoff);
}

void world_relay_crash(struct world *w)
{
	struct wire_end **at = &w->wire.ends;

	relay_close(w);
	while (*at != &w->relay.end)
		at = &(*at)->next;
	*at = w->relay.end.next;
	memset(&w->relay, 0, sizeof(w->relay));
	relay_open(w);
}

void world_set_policy(struct world *w, const struct clv_policy *policy)
{
	w->relay.denied = policy;
	clv_proxy_set_policy(w->relay.proxy, policy);
}

void world_close(struct world *w)
{
	for (unsigned i = 0; i < w->p.clients; i++)
		close_client(&w->clients[i]);
	relay_close(w);
	clv_policy_free(w->policy);
	wire_fini(&w->wire);
}

uint64_t world_count(const struct world *w, enum clv_counter which)
{
	uint64_t sum = clv_count_read(clv_control_counters(w->relay.control), which);

	for (uint16_t i = 0; i < w->p.workers; i++)
		sum += clv_count_read(clv_worker_counters(w->relay.workers[i]), which);
	return sum;
}

uint64_t world_drops(const struct world *w)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < CLV_COUNTER_MAX; i++)
		if (clv_counter_class((enum clv_counter)i) == CLV_CLASS_DROP)
			sum += world_count(w, (enum clv_counter)i);
	return sum;
}
