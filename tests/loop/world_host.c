/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "tests/loop/world_host.h"

static struct world_row *row_find(struct world_table *t, const void *key, size_t len)
{
	for (size_t i = 0; i < t->end; i++)
		if (t->rows[i].used && t->rows[i].key_len == len &&
		    !memcmp(t->rows[i].key, key, len))
			return &t->rows[i];
	return NULL;
}

const struct world_row *world_table_find(struct world_table *t, const void *key, size_t len)
{
	return row_find(t, key, len);
}

static int row_put(struct world_table *t, const void *key, size_t len, const struct clv_ref *ref,
		   uint64_t value)
{
	struct world_row *row = row_find(t, key, len);

	for (size_t i = 0; !row && i < WORLD_TABLE_MAX; i++)
		if (!t->rows[i].used)
			row = &t->rows[i];
	if (!row)
		return CLV_EFULL;
	memcpy(row->key, key, len);
	row->key_len = len;
	row->ref = *ref;
	row->value = value;
	row->used = true;
	if (row == &t->rows[t->end])
		t->end++;
	return 0;
}

static void row_drop(struct world_table *t, const void *key, size_t len)
{
	struct world_row *row = row_find(t, key, len);

	if (row)
		row->used = false;
	while (t->end > 0 && !t->rows[t->end - 1].used)
		t->end--;
}

static int conn_publish(void *host, const struct clv_cid *cid, const struct clv_ref *ref)
{
	struct world_relay *r = host;

	return row_put(&r->conns, cid, sizeof(*cid), ref, 0);
}

static void conn_retire(void *host, const struct clv_cid *cid)
{
	struct world_relay *r = host;

	row_drop(&r->conns, cid, sizeof(*cid));
}

static int context_publish(void *host, const struct clv_tuple *tuple,
			   const struct clv_context *context)
{
	struct world_relay *r = host;

	return row_put(&r->contexts, tuple, sizeof(*tuple), &context->tunnel, context->context_id);
}

static void context_retire(void *host, const struct clv_tuple *tuple)
{
	struct world_relay *r = host;

	row_drop(&r->contexts, tuple, sizeof(*tuple));
}

static int binding_publish(void *host, const struct clv_endpoint *local,
			   const struct clv_binding *binding)
{
	struct world_relay *r = host;

	return row_put(&r->bindings, local, sizeof(*local), &binding->tunnel, binding->flags);
}

static void binding_retire(void *host, const struct clv_endpoint *local)
{
	struct world_relay *r = host;

	row_drop(&r->bindings, local, sizeof(*local));
}

static uint16_t worker_of_flow(void *host, const struct clv_tuple *flow)
{
	struct world_relay *r = host;

	(void)flow;
	return r->flow_worker;
}

static int route(void *host, const uint8_t *local, const uint8_t remote[16], struct clv_route *out)
{
	struct world_relay *r = host;

	bool v4 = clv_addr_is_v4(remote);

	r->routed++;
	if (!v4 && !r->world->p.has_v6)
		return CLV_EUNROUTABLE;
	*out = (struct clv_route){ 0 };
	if (!local || clv_addr_is_wildcard(local))
		local = v4 ? r->world->relay_endpoint.addr : r->world->relay_endpoint6.addr;
	memcpy(out->source, local, sizeof(out->source));
	out->hop.via = r->world->p.kernel_path ? CLV_VIA_KERNEL : CLV_VIA_XSK;
	out->hop.mtu = r->world->hop_mtu;
	out->hop.state = (uint8_t)r->world->hop_state;
	if (!memcmp(remote, r->world->by_kernel, 16))
		out->hop.via = CLV_VIA_KERNEL;
	if (!memcmp(remote, r->world->no_neighbour, 16))
		out->hop.state = CLV_HOP_UNREACHABLE;
	return 0;
}

static int bind_source(void *host, bool is_v6, struct clv_route *out)
{
	struct world_relay *r = host;

	return route(host, NULL,
		     is_v6 ? r->world->relay_endpoint6.addr : r->world->relay_endpoint.addr, out);
}

/* No port is shared here. */
static int egress_take(void *host, const struct clv_route *route,
		       const struct clv_egress_wish *wish, struct clv_egress *out)
{
	struct world_relay *r = host;

	if (r->egress_held >= r->world->egress_max || wish->no_new)
		return CLV_EFULL;
	/* The number is of no descriptor that a port here uses. */
	*out = (struct clv_egress){ .fd = 1000000, .is_new = true };
	memcpy(out->local.addr, route->source, 16);
	r->egress_owners[r->next_port] = wish->owner;
	out->local.port = htons(r->next_port++);
	r->egress_held++;
	return 0;
}

static void *egress_give(void *host, struct clv_egress *egress)
{
	struct world_relay *r = host;

	r->egress_held--;
	return r->egress_owners[ntohs(egress->local.port)];
}

static int resolve(void *host, const char *name, clv_resolved_fn *done, void *user, uint64_t *token)
{
	struct world_relay *r = host;

	(void)name;
	for (uint64_t i = 0;
	     r->world->name_addrs_len && i < sizeof(r->lookups) / sizeof(*r->lookups); i++) {
		if (r->lookups[i].done)
			continue;
		r->lookups[i] = (struct world_lookup){ done, user };
		*token = i;
		return 0;
	}
	return CLV_EFULL;
}

static void resolve_cancel(void *host, uint64_t token)
{
	struct world_relay *r = host;

	r->lookups[token].done = NULL;
}

unsigned world_host_answer(struct world_relay *r)
{
	const struct clv_resolved result = { .addrs = r->world->name_addrs,
					     .n = r->world->name_addrs_len };
	unsigned n = 0;

	for (size_t i = 0; i < sizeof(r->lookups) / sizeof(*r->lookups); i++) {
		const struct world_lookup l = r->lookups[i];

		if (!l.done)
			continue;
		r->lookups[i].done = NULL;
		l.done(l.user, &result);
		n++;
	}
	return n;
}

static bool is_own_address(void *host, const uint8_t addr[16])
{
	struct world_relay *r = host;

	return !memcmp(addr, r->world->relay_endpoint.addr, 16) || !memcmp(addr, r->floating, 16) ||
	       !memcmp(addr, r->world->relay_endpoint6.addr, 16);
}

static uint64_t wall_sec(void *host)
{
	struct world_relay *r = host;

	return 1700000000 + r->world->wire.now_ns / 1000000000 + (uint64_t)r->world->wall_skew_sec;
}

static void too_big(void *host, const struct clv_tuple *tuple, uint32_t mtu, const uint8_t *quote,
		    size_t len)
{
	struct world_relay *r = host;
	struct world *w = r->world;

	w->too_big.count++;
	w->too_big.tuple = *tuple;
	w->too_big.mtu = mtu;
	w->too_big.len = len < sizeof(w->too_big.quote) ? len : sizeof(w->too_big.quote);
	memcpy(w->too_big.quote, quote, w->too_big.len);
}

const struct clv_host_ops world_host_ops = {
	.conn_publish = conn_publish,
	.conn_retire = conn_retire,
	.context_publish = context_publish,
	.context_retire = context_retire,
	.binding_publish = binding_publish,
	.binding_retire = binding_retire,
	.worker_of_flow = worker_of_flow,
	.route = route,
	.bind_source = bind_source,
	.egress_take = egress_take,
	.egress_give = egress_give,
	.resolve = resolve,
	.resolve_cancel = resolve_cancel,
	.is_own_address = is_own_address,
	.too_big = too_big,
	.wall_sec = wall_sec,
};

/* ---- the client's machine: a kernel route to everywhere ---- */

static int client_route(void *host, const uint8_t *local, const uint8_t remote[16],
			struct clv_route *out)
{
	struct world_client *c = host;

	(void)local, (void)remote;
	*out = (struct clv_route){ .hop = { .via = CLV_VIA_KERNEL, .mtu = 1500 } };
	memcpy(out->source, c->endpoint.addr, 16);
	return 0;
}

const struct clv_host_ops world_client_host_ops = {
	.route = client_route,
};
