/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/proxy.h"

#include "control/core/control.h"
#include "control/http/deadlines.h"
#include "control/http/h3.h"
#include "control/proxy/bound_remotes.h"
#include "control/proxy/connect_udp.h"
#include "control/proxy/gate.h"
#include "control/proxy/names.h"
#include "control/proxy/reach.h"
#include "control/proxy/request.h"
#include "control/proxy/signal_stream.h"
#include "datapath/base/err.h"
#include "datapath/base/rand.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One session of a client, and its requests. */
struct proxy_session {
	struct clv_proxy *proxy;
	struct clv_session *session;
	struct clv_requests *requests;
	struct clv_h3 *h3; /* owned by requests */
	struct proxy_session *next, *prev;
};

struct clv_proxy {
	struct clv_proxy_params p;
	char name[256];
	struct clv_control *control;
	struct clv_rand *rand;
	struct clv_requests_config config;
	struct proxy_session *sessions;
	struct clv_deadlines deadlines; /* of requests */
};

/* ---- tunnels ---- */

static void on_tunnel_gone(void *user, int error)
{
	clv_connect_udp_tunnel_gone(user, error);
}

static void on_datagram_up(void *user, const uint8_t *data, size_t len)
{
	clv_connect_udp_datagram_up(user, data, len);
}

static void on_bound(void *user, enum clv_event type, const struct clv_evt_bound *evt,
		     const uint8_t *payload, size_t len)
{
	(void)payload; /* only a client's tunnels deliver payloads to control */
	(void)len;
	clv_connect_udp_remote_event(user, type, evt);
}

static void on_moved(void *user, const struct clv_host_use *use)
{
	clv_bound_remotes_moved(user, use);
}

static void on_target_dead(void *user, bool is_unreachable)
{
	clv_connect_udp_target_dead(user, is_unreachable);
}

static const struct clv_session_tunnel_ops tunnel_ops = {
	.target_dead = on_target_dead,
	.gone = on_tunnel_gone,
	.datagram_up = on_datagram_up,
	.bound = on_bound,
	.moved = on_moved,
};

static int tunnel_open(void *session, struct clv_request *rq, const struct clv_session_tunnel *t,
		       struct clv_ref *ref)
{
	struct proxy_session *ps = session;
	const struct clv_proxy_params *p = &ps->proxy->p;
	struct clv_session_tunnel tunnel = *t;
	int err;

	tunnel.spec.idle_ns = t->spec.flags & CLV_TUNNEL_BOUND ? p->bind.tunnel_idle_ns
							       : p->limits.tunnel_idle_ns;
	tunnel.ops = &tunnel_ops;
	tunnel.user = rq;
	err = clv_gate_meter_open(rq, clv_session_worker(ps->session), &tunnel.spec.meter);
	if (err)
		return err;
	return clv_session_tunnel_open(ps->session, &tunnel, ref);
}

static int tunnel_retarget(void *session, const struct clv_session_tunnel *tunnel,
			   const struct clv_ref *ref)
{
	struct proxy_session *ps = session;

	return clv_session_tunnel_retarget(ps->session, ref, tunnel);
}

static void tunnel_stay(void *session, const struct clv_ref *ref)
{
	struct proxy_session *ps = session;

	clv_session_tunnel_stay(ps->session, ref);
}

static void tunnel_close(void *session, struct clv_request *rq, const struct clv_ref *ref)
{
	struct proxy_session *ps = session;

	(void)rq;
	clv_session_tunnel_close(ps->session, ref);
}

static void tunnel_send(void *session, const struct clv_ref *ref, uint64_t context_id,
			const uint8_t *payload, size_t len)
{
	struct proxy_session *ps = session;

	clv_session_tunnel_send(ps->session, ref, context_id, payload, len);
}

static const struct clv_endpoint *peer(void *session)
{
	const struct proxy_session *ps = session;

	return clv_session_peer(ps->session);
}

static struct clv_account *account(void *session)
{
	const struct proxy_session *ps = session;

	return clv_session_account(ps->session);
}

static const struct clv_tls_facts *tls(void *session)
{
	const struct proxy_session *ps = session;

	return clv_session_tls(ps->session);
}

static const struct clv_request_ops request_ops = {
	.peer = peer,
	.account = account,
	.tls = tls,
	.tunnel_open = tunnel_open,
	.tunnel_retarget = tunnel_retarget,
	.tunnel_stay = tunnel_stay,
	.tunnel_close = tunnel_close,
	.tunnel_send = tunnel_send,
};

/* ---- sessions ---- */

static void set_ceilings(const struct clv_proxy *p, const struct clv_control_env *env)
{
	const struct clv_proxy_limits *l = &p->p.limits;
	const struct clv_rate each = clv_rate_of(l->neighbours_per_source_per_sec,
						 l->neighbours_per_source_per_sec);
	const struct clv_rate all = clv_rate_of(l->neighbours_per_sec, l->neighbours_per_sec);
	struct clv_accounts *a = env->accounts;

	clv_accounts_set_lookups(a, &each, &all);
	clv_accounts_set_max(a, CLV_RESOURCE_BOUND_TUNNELS, p->p.bind.tunnels_max);
	clv_accounts_set_part_max(a, CLV_RESOURCE_REMOTES, p->p.bind.remotes_max, env->workers_len);
	clv_accounts_set_max(a, CLV_RESOURCE_REQUESTS, l->requests_max);
	clv_accounts_set_max(a, CLV_RESOURCE_NAMES, l->names_pending);
	clv_accounts_set_max(a, CLV_RESOURCE_RECORDS, p->p.signal.records_max);
	clv_accounts_set_max(a, CLV_RESOURCE_KNOCKS, p->p.signal.knocks_max);
	if (l->egress_ports)
		clv_accounts_set_part_max(a, CLV_RESOURCE_PORTS, l->egress_ports, 2);
}

static void send_meter(void *user, uint16_t worker, const struct clv_cmd_meter *cmd)
{
	const struct clv_proxy *p = user;

	clv_control_set_meter(p->control, worker, cmd);
}

static int opened(void *app, const struct clv_control_env *env)
{
	struct clv_proxy *p = app;
	const struct clv_proxy_limits *l = &p->p.limits;
	const uint64_t seed[2] = { clv_rand_u64(env->rand), clv_rand_u64(env->rand) };
	int err;

	set_ceilings(p, env);
	p->control = env->control;
	p->rand = env->rand;
	clv_deadlines_init(&p->deadlines, l->request_ns, env->now_ns);
	p->config = (struct clv_requests_config){
		.host_ops = env->host_ops,
		.host = env->host,
		.steering = env->steering,
		.policy = p->p.policy,
		.proxy_name = p->name,
		.counters = env->counters,
		.tunnels_per_conn = l->tunnels_per_conn,
		.trial_ns = l->trial_ns,
		.request_rate = clv_rate_of(l->requests_per_sec, l->requests_burst),
		.accounts = env->accounts,
		.capsule_backlog = l->capsule_backlog,
		.bound = &p->p.bind,
		.now_ns = env->now_ns,
	};
	if (p->p.access) {
		const struct clv_gate_params gate = {
			.access = p->p.access,
			.host_ops = env->host_ops,
			.host = env->host,
			.counters = env->counters,
			.now_ns = env->now_ns,
			.meters = { send_meter, p },
		};

		err = clv_gate_new(&gate, &p->config.gate);
		if (err)
			return err;
	}
	err = clv_names_new(env->host_ops, env->host, env->accounts, &p->config.names);
	if (!err && p->p.signal.is_offered)
		err = clv_signals_new(&p->p.signal, env->accounts, seed, &p->config.signals);
	if (err)
		return err;
	return clv_bound_tunnels_new(&p->p.bind, seed, &p->config.bound_tunnels);
}

static void closed(void *app)
{
	struct clv_proxy *p = app;

	clv_names_free(p->config.names);
	p->config.names = NULL;
	clv_signals_free(p->config.signals);
	p->config.signals = NULL;
}

static bool admits(void *app, const uint8_t addr[16])
{
	const struct clv_proxy *p = app;

	return !p->p.access || clv_access_admits(p->p.access, addr);
}

static int established(void *app, struct clv_session *s)
{
	struct clv_proxy *p = app;
	struct proxy_session *ps = calloc(1, sizeof(*ps));
	const struct clv_h3_params h3_params = {
		.role = CLV_H3_SERVER,
		.transport_ops = &clv_session_stream_ops,
		.transport = s,
		.quic_datagrams = clv_session_has_datagrams(s),
		.streams_max = p->p.limits.tunnels_per_conn,
		.rand = p->rand,
		.deadlines = &p->deadlines,
		.counters = p->config.counters,
		.memory = clv_session_http_memory(s),
		.unfinished_max = p->p.limits.unfinished_max,
	};
	struct clv_requests_params params = {
		.config = &p->config,
		.ops = &request_ops,
		.session = ps,
		.rand = p->rand,
		.holder = clv_session_holder(s),
		.memory = clv_session_http_memory(s),
	};
	int err = ps ? clv_h3_new(&h3_params, &ps->h3) : -ENOMEM;

	if (!err) {
		params.http = clv_h3_http(ps->h3);
		err = clv_requests_new(&params, &ps->requests);
	}

	if (err) {
		free(ps);
		return err;
	}
	ps->proxy = p;
	ps->session = s;
	ps->next = p->sessions;
	if (ps->next)
		ps->next->prev = ps;
	p->sessions = ps;
	clv_session_set_user(s, ps);
	return clv_h3_start(ps->h3);
}

static void stream(void *app, struct clv_session *s, const struct clv_stream_event *e)
{
	struct proxy_session *ps = clv_session_user(s);

	(void)app;
	clv_h3_stream_event(ps->h3, e);
}

/* Free all that is kept for a session, and end its tunnels. */
static void given_up(void *app, struct clv_session *s)
{
	struct proxy_session *ps = clv_session_user(s);
	struct clv_proxy *p = app;

	if (!ps)
		return; /* the handshake failed, or there was no memory for requests */
	clv_session_set_user(s, NULL);
	clv_requests_free(ps->requests);
	if (ps->prev)
		ps->prev->next = ps->next;
	else
		p->sessions = ps->next;
	if (ps->next)
		ps->next->prev = ps->prev;
	free(ps);
}

static void ended(void *app, struct clv_session *s, const struct clv_session_end *end)
{
	(void)end;
	given_up(app, s);
}

static bool is_denied(void *user, const struct clv_endpoint *target)
{
	struct clv_proxy *p = user;
	const char *why;

	return clv_reach_judge(&p->config, target->addr, &why) != 0;
}

/*
 * Policy, addresses or routes changed, and with them what may be reached.  Tunnels are checked
 * first, whose end removes their remotes; then the remotes of the tunnels that stay.
 */
static void recheck(struct clv_proxy *p)
{
	clv_control_end_tunnels(p->control, is_denied, p, CLV_EDENIED);
	for (struct proxy_session *ps = p->sessions; ps; ps = ps->next)
		clv_connect_udp_recheck(ps->requests);
}

static void routes_changed(void *app)
{
	recheck(app);
}

static void moved(void *app, struct clv_session *s)
{
	struct proxy_session *ps = clv_session_user(s);

	(void)app;
	if (ps)
		clv_signal_moved(ps->requests);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_ns(void *app)
{
	const struct clv_proxy *p = app;
	const struct clv_signals *signals = p->config.signals;
	uint64_t at_ns = clv_deadlines_next_ns(&p->deadlines);

	if (!signals)
		return at_ns;
	at_ns = earlier(at_ns, clv_records_next_ns(&signals->records));
	return earlier(at_ns, clv_knocks_next_ns(&signals->knocks));
}

static void expire(void *app)
{
	struct clv_proxy *p = app;

	clv_deadlines_run(&p->deadlines);
	if (p->config.signals)
		clv_signal_expire(p->config.signals, p->config.counters, *p->config.now_ns);
}

const struct clv_session_app_ops clv_proxy_app_ops = {
	.overload_code = CLV_H3_EXCESSIVE_LOAD,
	.internal_code = CLV_H3_INTERNAL_ERROR,
	.opened = opened,
	.closed = closed,
	.admits = admits,
	.established = established,
	.stream = stream,
	.ended = ended,
	.given_up = given_up,
	.moved = moved,
	.routes_changed = routes_changed,
	.next_ns = next_ns,
	.expire = expire,
};

/* ---- the proxy ---- */

int clv_proxy_new(const struct clv_proxy_params *params, struct clv_proxy **out)
{
	struct clv_proxy *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->p = *params;
	strncpy(p->name, params->name ? params->name : "culvert", sizeof(p->name) - 1);
	*out = p;
	return 0;
}

void clv_proxy_free(struct clv_proxy *p)
{
	if (!p)
		return;
	clv_gate_free(p->config.gate);
	clv_bound_tunnels_free(p->config.bound_tunnels);
	free(p);
}

/* Workers first, so that no datagram of a remote that is removed below adds it again. */
void clv_proxy_set_policy(struct clv_proxy *p, const struct clv_policy *policy)
{
	p->config.policy = policy;
	clv_control_set_verdicts(p->control, clv_policy_verdicts(policy));
	recheck(p);
}

const struct clv_signals *clv_proxy_signals(const struct clv_proxy *p)
{
	return p->config.signals;
}

void clv_proxy_each_client(const struct clv_proxy *p,
			   void (*fn)(void *user, const struct clv_gate_account *account),
			   void *user)
{
	clv_gate_each(p->config.gate, fn, user);
}

static void end_denied(struct clv_requests *requests, bool is_admitted)
{
	clv_connect_udp_access_changed(requests, is_admitted);
	clv_signal_access_changed(requests, is_admitted);
}

void clv_proxy_renew_access(struct clv_proxy *p, bool is_changed)
{
	if (!p->config.gate)
		return;
	clv_gate_tick(p->config.gate);
	if (!clv_gate_renew(p->config.gate, is_changed) && !is_changed)
		return;
	/* The list of clients may have changed as well. */
	for (struct proxy_session *ps = p->sessions; ps; ps = ps->next)
		end_denied(ps->requests, admits(p, peer(ps)->addr));
}
