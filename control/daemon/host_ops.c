/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/host_ops.h"

#include "control/daemon/daemon.h"
#include "control/daemon/targets.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int conn_publish(void *host, const struct clv_cid *cid, const struct clv_ref *ref)
{
	struct clv_daemon *daemon = host;

	return clv_maps_conn_publish(&daemon->maps, cid, ref);
}

static void conn_retire(void *host, const struct clv_cid *cid)
{
	struct clv_daemon *daemon = host;

	clv_maps_conn_retire(&daemon->maps, cid);
}

static int context_publish(void *host, const struct clv_tuple *tuple,
			   const struct clv_context *context)
{
	struct clv_daemon *daemon = host;

	return clv_maps_context_publish(&daemon->maps, tuple, context);
}

static void context_retire(void *host, const struct clv_tuple *tuple)
{
	struct clv_daemon *daemon = host;

	clv_maps_context_retire(&daemon->maps, tuple);
}

static int binding_publish(void *host, const struct clv_endpoint *local,
			   const struct clv_binding *binding)
{
	struct clv_daemon *daemon = host;

	return clv_maps_binding_publish(&daemon->maps, local, binding);
}

static void binding_retire(void *host, const struct clv_endpoint *local)
{
	struct clv_daemon *daemon = host;

	clv_maps_binding_retire(&daemon->maps, local);
}

static uint16_t worker_of_flow(void *host, const struct clv_tuple *flow)
{
	struct clv_daemon *daemon = host;
	uint32_t queue;

	if (clv_maps_queue_of_flow(&daemon->maps, flow, &queue) == 0)
		return (uint16_t)(queue % daemon->xdp_workers); /* as datapath.c distributes them */
	if (daemon->xdp_workers == daemon->workers_len)
		return daemon->workers_len;
	/* The others could not send by an interface that XDP serves. */
	return daemon->next_worker++ % daemon->xdp_workers;
}

static int route(void *host, const uint8_t *local, const uint8_t remote[16], struct clv_route *out)
{
	struct clv_daemon *daemon = host;

	return clv_routes_lookup(daemon->routes, local, remote, out);
}

static bool is_new_neighbour(void *host, const uint8_t *local, const uint8_t remote[16])
{
	struct clv_daemon *daemon = host;

	return clv_routes_is_new(daemon->routes, local, remote);
}

static int bind_source(void *host, bool is_v6, struct clv_route *out)
{
	struct clv_daemon *daemon = host;
	const uint8_t *wanted = daemon->bind_local[is_v6];
	struct clv_route route = { 0 };
	int err = 0;

	if (daemon->has_bind_local[is_v6])
		memcpy(route.source, wanted, sizeof(route.source));
	else
		err = clv_routes_source(daemon->routes, is_v6, route.source);
	if (err)
		return err;
	if (!clv_routes_is_own(daemon->routes, route.source))
		return CLV_EUNROUTABLE;
	route.hop.via = clv_routes_is_served(daemon->routes, route.source) ? CLV_VIA_XSK
									   : CLV_VIA_KERNEL;
	*out = route;
	return 0;
}

/* A port that may be shared has a binding from its first tunnel to its last. */
static void *egress_give(void *host, struct clv_egress *egress)
{
	struct clv_daemon *daemon = host;
	void *owner = NULL;

	if (clv_egress_give(daemon->egress, egress, &owner) && egress->remote.port)
		clv_maps_binding_retire(&daemon->maps, &egress->local);
	return owner;
}

static int egress_take(void *host, const struct clv_route *route,
		       const struct clv_egress_wish *wish, struct clv_egress *out)
{
	const struct clv_binding knows_nobody = { .flags = 0 };
	struct clv_daemon *daemon = host;
	int err;

	err = clv_egress_take(daemon->egress, route->source, route->hop.via == CLV_VIA_XSK, wish,
			      out);
	if (err || !out->is_new || !out->remote.port)
		return err;
	err = clv_maps_binding_publish(&daemon->maps, &out->local, &knows_nobody);
	if (err)
		egress_give(daemon, out);
	return err;
}

static int resolve(void *host, const char *name, clv_resolved_fn *done, void *user, uint64_t *token)
{
	struct clv_daemon *daemon = host;

	return clv_resolve_start(daemon->resolve, name, done, user, token);
}

static void resolve_cancel(void *host, uint64_t token)
{
	struct clv_daemon *daemon = host;

	clv_resolve_cancel(daemon->resolve, token);
}

struct work {
	uv_work_t work;
	void (*run)(void *job), (*done)(void *job);
	void *job;
};

static void on_work(uv_work_t *handle)
{
	struct work *w = handle->data;

	w->run(w->job);
}

static void on_worked(uv_work_t *handle, int status)
{
	struct work *w = handle->data;

	(void)status; /* nothing is ever cancelled */
	w->done(w->job);
	free(w);
}

static int offload(void *host, void (*run)(void *job), void (*done)(void *job), void *job)
{
	struct clv_daemon *daemon = host;
	struct work *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	*w = (struct work){ .run = run, .done = done, .job = job };
	w->work.data = w;
	err = uv_queue_work(&daemon->loop.loop, &w->work, on_work, on_worked);
	if (err)
		free(w);
	return err;
}

static bool nat64(void *host, const uint8_t v4[16], uint8_t v6[16])
{
	return clv_targets_embed(host, v4, v6);
}

static bool is_own_address(void *host, const uint8_t addr[16])
{
	struct clv_daemon *daemon = host;

	return clv_routes_is_host(daemon->routes, addr);
}

static void too_big(void *host, const struct clv_tuple *tuple, uint32_t mtu, const uint8_t *quote,
		    size_t len)
{
	struct clv_daemon *daemon = host;

	if (daemon->icmp)
		clv_icmp_send_too_big(daemon->icmp, tuple, mtu, quote, len);
}

static uint64_t wall_sec(void *host)
{
	(void)host;
	return (uint64_t)time(NULL);
}

const struct clv_host_ops *clv_host_ops_of_daemon(void)
{
	static const struct clv_host_ops ops = {
		.conn_publish = conn_publish,
		.conn_retire = conn_retire,
		.context_publish = context_publish,
		.context_retire = context_retire,
		.binding_publish = binding_publish,
		.binding_retire = binding_retire,
		.worker_of_flow = worker_of_flow,
		.route = route,
		.is_new_neighbour = is_new_neighbour,
		.bind_source = bind_source,
		.egress_take = egress_take,
		.egress_give = egress_give,
		.resolve = resolve,
		.resolve_cancel = resolve_cancel,
		.offload = offload,
		.nat64 = nat64,
		.is_own_address = is_own_address,
		.too_big = too_big,
		.wall_sec = wall_sec,
	};

	return &ops;
}
