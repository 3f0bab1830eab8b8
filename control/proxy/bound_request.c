/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/bound_request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/proxy/bound_remotes.h"
#include "control/proxy/state.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"

/* ---- ports ---- */

static int take_port(struct clv_requests *rs, const struct clv_route *route,
		     struct clv_tunnel_ports *ports)
{
	const struct clv_requests_config *config = rs->params.config;
	const struct clv_bound_settings *s = config->bound;
	const struct clv_ports from = clv_requests_ports(config);
	int i = !clv_addr_is_v4(route->source);
	int err = clv_ports_take(&from, clv_requests_payer(rs), route, NULL, &ports->egress[i]);

	if (err)
		return err;
	ports->is_held[i] = true;
	ports->via[i] = (enum clv_nexthop_via)route->hop.via;
	ports->advertised[i] = ports->egress[i].local;
	/* A 1:1 NAT translates the address and leaves the port. */
	if (s->has_public[i])
		memcpy(ports->advertised[i].addr, s->public_addr[i],
		       sizeof(ports->advertised[i].addr));
	return 0;
}

static void give_ports(const struct clv_requests_config *config, struct clv_tunnel_ports *ports)
{
	const struct clv_ports to = clv_requests_ports(config);

	for (int i = 0; i < 2; i++) {
		if (ports->is_held[i])
			clv_ports_give(&to, &ports->egress[i]);
		ports->is_held[i] = false;
	}
}

/* A port of each family the relay has.  route: to the real target, NULL without one. */
static int take_ports(struct clv_requests *rs, const struct clv_route *route,
		      struct clv_tunnel_ports *ports)
{
	const struct clv_requests_config *config = rs->params.config;
	int err = CLV_EUNROUTABLE, last;

	/* The port of the target's family is on its route, which is known to work. */
	if (route) {
		err = take_port(rs, route, ports);
		if (err)
			return err;
	}
	for (int i = 0; i < 2; i++) {
		struct clv_route source;

		if (ports->is_held[i])
			continue;
		last = config->host_ops->bind_source(config->host, i == 1, &source);
		if (!last)
			last = take_port(rs, &source, ports);
		/* One family is enough.  Without any, lack of ports is the better reason. */
		if (!last || (err && last != CLV_EUNROUTABLE))
			err = last;
	}
	return ports->is_held[0] || ports->is_held[1] ? 0 : err;
}

/* ---- life ---- */

static int send_capsule(void *user, const uint8_t *capsule, size_t len, uint64_t *mark)
{
	struct clv_request *rq = ((struct clv_bound_tunnel *)user)->rq;
	int err = clv_http_send(rq->stream, capsule, len, NULL, 0, false);

	*mark = clv_http_stream_written(rq->stream);
	return err;
}

static const struct clv_contexts_ops contexts_ops = {
	.open = clv_bound_remotes_context_open,
	.acked = clv_bound_remotes_context_acked,
	.close = clv_bound_remotes_context_close,
	.send = send_capsule,
};

static void free_tunnel(struct clv_bound_tunnel *b)
{
	struct clv_requests *rs = b->rq->rs;

	clv_accounts_give(rs->params.config->accounts, clv_requests_payer(rs),
			  CLV_RESOURCE_BOUND_TUNNELS, CLV_ACCOUNTS_WHOLE);
	clv_contexts_free(b->contexts);
	clv_remote_list_fini(&b->remotes);
	free(b);
}

static int make_contexts(struct clv_bound_tunnel *b, const struct clv_endpoint *target)
{
	struct clv_requests *rs = b->rq->rs;
	struct clv_contexts_params p = {
		.role = CLV_CONTEXTS_RELAY,
		.target = target,
		.limits = b->all->settings->contexts,
		.rate = &rs->registrations,
		.ops = &contexts_ops,
		.user = b,
		.counters = rs->params.config->counters,
	};
	uint64_t seed[2] = { clv_rand_u64(rs->params.rand), clv_rand_u64(rs->params.rand) };
	int err = clv_remote_list_init(&b->remotes, seed);

	memcpy(p.seed, seed, sizeof(p.seed));
	return err ? err : clv_contexts_new(&p, &b->contexts);
}

int clv_bound_request_new(struct clv_request *rq, const struct clv_endpoint *target,
			  const struct clv_route *route)
{
	const struct clv_requests_config *config = rq->rs->params.config;
	struct clv_account *payer = clv_requests_payer(rq->rs);
	struct clv_bound_tunnel *b;
	int err;

	if (clv_accounts_take(config->accounts, payer, CLV_RESOURCE_BOUND_TUNNELS,
			      CLV_ACCOUNTS_WHOLE))
		return CLV_EFULL;
	b = calloc(1, sizeof(*b));
	if (!b) {
		clv_accounts_give(config->accounts, payer, CLV_RESOURCE_BOUND_TUNNELS,
				  CLV_ACCOUNTS_WHOLE);
		return -ENOMEM;
	}
	b->rq = rq;
	b->all = config->bound_tunnels;
	err = make_contexts(b, target);
	if (!err)
		err = take_ports(rq->rs, route, &b->ports);
	if (err) {
		free_tunnel(b);
		return err;
	}
	rq->bound = b;
	return 0;
}

const struct clv_tunnel_ports *clv_bound_request_ports(const struct clv_request *rq)
{
	return &rq->bound->ports;
}

void clv_bound_request_cancel(struct clv_request *rq)
{
	struct clv_bound_tunnel *b = rq->bound;

	give_ports(clv_bound_config(b), &b->ports);
	rq->bound = NULL;
	free_tunnel(b);
}

int clv_bound_request_start(struct clv_request *rq)
{
	struct clv_bound_tunnel *b = rq->bound;
	const struct clv_steering *st = clv_bound_config(b)->steering;
	int err = clv_steering_publish_ports(st, &rq->ref, &b->ports, 0);

	/* Room was seen when it was made, and no other has come since. */
	if (!err)
		err = clv_bound_tunnels_put(b->all, b);
	if (!err) {
		clv_bound_count(b, CLV_COUNT_BOUND_TUNNELS);
		return 0;
	}
	clv_steering_retire_ports(st, &b->ports);
	rq->bound = NULL; /* the ports are the session's by now */
	free_tunnel(b);
	return err;
}

void clv_bound_request_end(struct clv_request *rq)
{
	struct clv_bound_tunnel *b = rq->bound;

	if (!b)
		return;
	clv_bound_remotes_retire(b);
	rq->bound = NULL;
	free_tunnel(b);
}

/* ---- the answer ---- */

void clv_bound_request_write_public(const struct clv_request *rq,
				    char buf[static CLV_BOUND_PUBLIC_MAX])
{
	const struct clv_tunnel_ports *ports = &rq->bound->ports;
	size_t used = 0;

	buf[0] = '\0';
	for (int i = 0; i < 2; i++) {
		char text[CLV_ADDR_TEXT_MAX];

		if (!ports->is_held[i])
			continue;
		clv_endpoint_format(&ports->advertised[i], text, sizeof(text));
		used += (size_t)snprintf(buf + used, CLV_BOUND_PUBLIC_MAX - used, "%s\"%s\"",
					 used ? ", " : "", text);
	}
}

/* ---- capsules ---- */

/* A peer that refuses what we offer, again and again, is not asked any more. */
static void note_rejection(struct clv_bound_tunnel *b, const uint8_t *value, size_t len)
{
	const struct clv_contexts_entry *e;
	uint64_t id;

	if (clv_capsule_decode_context_id(value, len, &id))
		return;
	e = clv_contexts_by_id(b->contexts, id);
	if (e && e->is_ours && !e->is_acked)
		b->rejected++;
}

int clv_bound_request_capsule(struct clv_request *rq, enum clv_capsule_type type,
			      const uint8_t *value, size_t len)
{
	struct clv_bound_tunnel *b = rq->bound;
	int err;

	clv_contexts_delivered(b->contexts, clv_http_stream_delivered(rq->stream));
	if (type == CLV_CAPSULE_COMPRESSION_CLOSE)
		note_rejection(b, value, len);
	err = clv_contexts_capsule(b->contexts, type, value, len, *clv_bound_config(b)->now_ns);
	if (!err)
		clv_bound_remotes_undo(b);
	return err;
}

enum clv_contexts_verdict clv_bound_request_classify(const struct clv_request *rq,
						     uint64_t context_id)
{
	return clv_contexts_classify(rq->bound->contexts, context_id);
}
