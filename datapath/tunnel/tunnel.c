/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/tunnel/tunnel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/shared.h"

enum {
	WAIT_SEC = 3, /* longest wait for a next hop; after that the kernel fails the neighbour */
};

struct stream_key {
	int64_t stream_id;
	uint32_t conn_slot;
	uint32_t pad;
};

int clv_tunnels_init(struct clv_tunnels *ts, uint32_t max, const uint64_t seed[static 2])
{
	int err;

	*ts = (struct clv_tunnels){ .max = max };
	ts->slots = calloc(max, sizeof(*ts->slots));
	ts->stats = calloc(max, sizeof(*ts->stats));
	if (!ts->slots || !ts->stats)
		goto nomem;
	err = clv_table_init(&ts->by_stream, sizeof(struct stream_key), max, seed);
	if (!err)
		err = clv_table_init(&ts->by_tuple, sizeof(struct clv_tuple), max, seed);
	if (!err)
		err = clv_table_init(&ts->by_local, sizeof(struct clv_endpoint),
				     (size_t)max * CLV_BOUND_PORTS, seed);
	if (!err)
		err = clv_timers_init(&ts->timers, max);
	if (!err)
		return 0;
nomem:
	clv_tunnels_fini(ts);
	return -ENOMEM;
}

void clv_tunnels_fini(struct clv_tunnels *ts)
{
	clv_timers_fini(&ts->timers);
	clv_table_fini(&ts->by_local);
	clv_table_fini(&ts->by_tuple);
	clv_table_fini(&ts->by_stream);
	free(ts->stats);
	free(ts->slots);
	*ts = (struct clv_tunnels){ 0 };
}

static struct clv_tuple tuple_of(const struct clv_tunnel *t)
{
	return (struct clv_tuple){ .local = t->flow.local, .remote = t->flow.remote };
}

/* Whether its 4-tuple finds it. */
static bool has_tuple(const struct clv_tunnel *t)
{
	return clv_tunnel_has_target(t) && !(t->flags & CLV_TUNNEL_DELIVER);
}

struct clv_tunnel *clv_tunnels_add(struct clv_tunnels *ts, const struct clv_cmd_tunnel_add *cmd,
				   uint32_t wait_packets, uint64_t now_ns)
{
	const struct clv_tunnel_spec *spec = &cmd->spec;
	struct stream_key key = { .stream_id = spec->stream_id, .conn_slot = cmd->conn.slot };
	struct clv_tunnel *t;
	struct clv_tuple tuple;

	if (cmd->ref.slot >= ts->max || ts->slots[cmd->ref.slot].used)
		return NULL;
	t = &ts->slots[cmd->ref.slot];
	*t = (struct clv_tunnel){
		.used = true,
		.generation = cmd->ref.generation,
		.slot = cmd->ref.slot,
		.conn_slot = cmd->conn.slot,
		.flags = spec->flags,
		.stream_id = spec->stream_id,
		.idle_ns = spec->idle_ns,
		.trial_ns = spec->trial_ns,
		.meter = spec->meter,
		.flow = { .local = spec->local,
			  .remote = spec->remote,
			  .hop = spec->hop,
			  .socket = spec->socket },
		.idle = { .at_ns = CLV_TIMER_NEVER },
		.uncompressed_id = CLV_DGRAM_CONTEXT_NONE,
		.busy_per_sec = spec->busy_per_sec,
		.remotes_max = spec->remotes_max,
		.context_idle_ns = spec->context_idle_ns,
	};
	t->prefix_len = (uint8_t)clv_dgram_encode_prefix(t->stream_id, CLV_DGRAM_CONTEXT_UDP,
							 t->prefix);
	clv_waitq_init(&t->wait, wait_packets, WAIT_SEC * CLV_SEC);
	clv_waitq_init(&t->tried, wait_packets, WAIT_SEC * CLV_SEC);
	tuple = tuple_of(t);
	if (clv_table_insert(&ts->by_stream, &key, t->slot))
		goto unuse;
	if (has_tuple(t) && clv_table_insert(&ts->by_tuple, &tuple, t->slot))
		goto remove_stream;
	clv_shared_clear(&ts->stats[t->slot], sizeof(ts->stats[0]));
	__atomic_store_n(&ts->stats[t->slot].last_ns, now_ns, __ATOMIC_RELAXED);
	if (t->idle_ns)
		clv_timers_set(&ts->timers, &t->idle, now_ns + t->idle_ns);
	return t;

remove_stream:
	clv_table_remove(&ts->by_stream, &key);
unuse:
	t->used = false;
	return NULL;
}

int clv_tunnels_retarget(struct clv_tunnels *ts, struct clv_tunnel *t,
			 const struct clv_tunnel_spec *spec)
{
	struct clv_tuple tuple = tuple_of(t);

	clv_table_remove(&ts->by_tuple, &tuple);
	t->flow.local = spec->local;
	t->flow.remote = spec->remote;
	t->flow.hop = spec->hop;
	t->flags = (t->flags & ~(uint32_t)CLV_TUNNEL_TRIAL) | (spec->flags & CLV_TUNNEL_TRIAL);
	t->trial_ns = spec->trial_ns;
	t->silent_at_ns = 0;
	t->is_given_up = false;
	t->path_mtu = 0;
	tuple = tuple_of(t);
	return clv_table_insert(&ts->by_tuple, &tuple, t->slot) ? CLV_EFULL : 0;
}

uint32_t clv_tunnels_remove(struct clv_tunnels *ts, struct clv_tunnel *t, struct clv_pool *pool)
{
	struct stream_key key = { .stream_id = t->stream_id, .conn_slot = t->conn_slot };
	struct clv_tuple tuple = tuple_of(t);
	uint32_t dropped = clv_waitq_fini(&t->wait, pool);

	clv_waitq_fini(&t->tried, pool); /* copies: nothing is lost */
	clv_timers_set(&ts->timers, &t->idle, CLV_TIMER_NEVER);
	clv_table_remove(&ts->by_stream, &key);
	if (has_tuple(t))
		clv_table_remove(&ts->by_tuple, &tuple);
	for (int i = 0; i < CLV_BOUND_PORTS; i++)
		if (t->ports[i].used)
			clv_table_remove(&ts->by_local, &t->ports[i].local);
	t->used = false;
	return dropped;
}

struct clv_tunnel *clv_tunnels_by_ref(struct clv_tunnels *ts, uint32_t slot, uint32_t generation)
{
	struct clv_tunnel *t;

	if (slot >= ts->max)
		return NULL;
	t = &ts->slots[slot];
	return t->used && t->generation == generation ? t : NULL;
}

struct clv_tunnel *clv_tunnels_by_stream(struct clv_tunnels *ts, uint32_t conn_slot,
					 int64_t stream_id)
{
	struct stream_key key = { .stream_id = stream_id, .conn_slot = conn_slot };
	uint64_t slot;

	return clv_table_find(&ts->by_stream, &key, &slot) ? &ts->slots[slot] : NULL;
}

struct clv_tunnel *clv_tunnels_by_tuple(struct clv_tunnels *ts, const struct clv_endpoint *local,
					const struct clv_endpoint *remote)
{
	struct clv_tuple tuple = { .local = *local, .remote = *remote };
	uint64_t slot;

	return clv_table_find(&ts->by_tuple, &tuple, &slot) ? &ts->slots[slot] : NULL;
}

struct clv_tunnel *clv_tunnels_by_local(struct clv_tunnels *ts, const struct clv_endpoint *local)
{
	uint64_t slot;

	return clv_table_find(&ts->by_local, local, &slot) ? &ts->slots[slot] : NULL;
}

bool clv_tunnel_has_target(const struct clv_tunnel *t)
{
	return !(t->flags & CLV_TUNNEL_BOUND) || t->flow.remote.port;
}

struct clv_bound_port *clv_tunnel_port_of(struct clv_tunnel *t, const uint8_t addr[static 16])
{
	return &t->ports[clv_addr_is_v4(addr) ? 0 : 1];
}

int clv_tunnels_bind(struct clv_tunnels *ts, struct clv_tunnel *t,
		     const struct clv_cmd_tunnel_bind *cmd, uint32_t socket)
{
	struct clv_bound_port *port = clv_tunnel_port_of(t, cmd->local.addr);

	if (port->used || clv_tunnels_by_local(ts, &cmd->local) ||
	    clv_table_insert(&ts->by_local, &cmd->local, t->slot))
		return CLV_EFULL;
	*port = (struct clv_bound_port){
		.used = true,
		.own_socket = cmd->socket_fd >= 0,
		.socket = socket,
		.local = cmd->local,
		.advertised = cmd->advertised,
	};
	if (clv_endpoint_equal(&t->flow.local, &cmd->local))
		t->flow.socket = socket;
	return 0;
}

static void bump(uint64_t *value, uint64_t n)
{
	__atomic_store_n(value, *value + n, __ATOMIC_RELAXED);
}

void clv_tunnel_count(struct clv_tunnels *ts, struct clv_tunnel *t, bool to_target, size_t len,
		      uint64_t now_ns)
{
	struct clv_tunnel_stats *s = &ts->stats[t->slot];

	bump(to_target ? &s->to_target_packets : &s->to_peer_packets, 1);
	bump(to_target ? &s->to_target_bytes : &s->to_peer_bytes, len);
	__atomic_store_n(&s->last_ns, now_ns, __ATOMIC_RELAXED);
}

void clv_tunnel_count_drop(struct clv_tunnels *ts, struct clv_tunnel *t)
{
	bump(&ts->stats[t->slot].drops, 1);
}

void clv_tunnel_count_uncompressed(struct clv_tunnels *ts, struct clv_tunnel *t, bool to_remote,
				   size_t len)
{
	struct clv_tunnel_stats *s = &ts->stats[t->slot];

	bump(to_remote ? &s->uncompressed_to_remote_packets : &s->uncompressed_to_peer_packets, 1);
	bump(to_remote ? &s->uncompressed_to_remote_bytes : &s->uncompressed_to_peer_bytes, len);
}

void clv_tunnel_set_uncompressed(struct clv_tunnels *ts, struct clv_tunnel *t, uint64_t id,
				 bool may_send)
{
	t->uncompressed_id = id;
	t->uncompressed_may_send = may_send;
	__atomic_store_n(&ts->stats[t->slot].uncompressed_id, id == CLV_DGRAM_CONTEXT_NONE ? 0 : id,
			 __ATOMIC_RELAXED);
}
