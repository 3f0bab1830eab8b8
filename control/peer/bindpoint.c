/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/bindpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/masque/contexts.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/rand.h"
#include "datapath/base/table.h"

enum {
	GAPS_MAX = 64, /* of the relay's Context IDs */
};

#define LOOK_NS CLV_SEC /* between two looks at all remotes */

/* One remote and the port that stands for it. */
struct remote {
	struct clv_endpoint wire;
	struct clv_endpoint local; /* of fd */
	struct clv_endpoint app;   /* port 0: not known yet */
	int fd;
	bool is_named;
	uint64_t context_id; /* 0: none */
	bool is_acked;
	uint64_t asked_ns; /* of a context of ours */
	uint64_t acked_ns; /* or opened by the relay */
	bool is_refused;   /* by the relay: not offered again */
};

struct clv_bindpoint {
	struct clv_bindpoint_params p;
	struct clv_relay_session *session;
	struct clv_relay_tunnel *tunnel; /* NULL: none is open or being opened */
	bool is_open;
	bool has_port[2];  /* the relay's for us: [0] IPv4, [1] IPv6 */
	bool is_any_asked; /* the uncompressed context, and no answer came */
	uint64_t any_asked_ns;
	uint64_t look_ns;   /* when to look for registrations without an answer; 0: none */
	int refusal;	    /* why a context is being closed; 0: the relay refused */
	bool is_named_lost; /* the relay closed a context of a named remote */
	struct clv_contexts *contexts; /* of an open tunnel */
	struct clv_counters counters;  /* of contexts */
	struct remote **remotes;       /* dense */
	uint32_t remotes_len;
	struct clv_table by_wire, by_local; /* -> index */
	uint64_t seed[2];
	struct clv_bindpoint_stats stats;
};

/* ---- remotes ---- */

static struct remote *find(const struct clv_bindpoint *b, const struct clv_table *table,
			   const struct clv_endpoint *key)
{
	uint64_t i;

	return clv_table_find(table, key, &i) ? b->remotes[i] : NULL;
}

/* A free loopback port of the application's family.  Without an application, no port but a name of
   our own for the worker's table, which no datagram comes to. */
static int open_socket(struct clv_bindpoint *b, struct remote *r)
{
	static const char *const loopback[] = { "127.0.0.1:0", "[::1]:0" };
	bool is_v6 = b->p.app.port && !clv_addr_is_v4(b->p.app.addr);
	struct clv_endpoint any;
	int err;

	if (!b->p.is_joined) {
		r->fd = -1;
		r->app = r->wire;
		memcpy(r->local.addr, b->seed, sizeof(r->local.addr));
		return 0;
	}
	err = clv_endpoint_parse(loopback[is_v6], &any);
	return err ? err : clv_client_socket_open(b->p.client, &any, 0, &r->local, &r->fd);
}

static int add(struct clv_bindpoint *b, const struct clv_endpoint *wire, struct remote **out)
{
	struct remote *r;
	int err = CLV_EFULL;

	if (b->remotes_len >= b->p.remotes_max)
		goto full;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->wire = *wire;
	r->app = b->p.app;
	err = open_socket(b, r);
	if (err) {
		free(r);
		goto full;
	}
	b->remotes[b->remotes_len] = r;
	/* There is room: the tables are as large as the list. */
	clv_table_insert(&b->by_wire, &r->wire, b->remotes_len);
	if (b->p.is_joined)
		clv_table_insert(&b->by_local, &r->local, b->remotes_len);
	b->remotes_len++;
	if (b->p.is_joined)
		b->p.ops->on_remote(b->p.user, &r->wire, &r->local);
	*out = r;
	return 0;

full:
	b->stats.remotes_full++;
	return err;
}

/* The last one takes its place. */
static void unlink_remote(struct clv_bindpoint *b, struct remote *r)
{
	struct remote *last = b->remotes[b->remotes_len - 1];
	uint64_t i = 0;

	clv_table_find(&b->by_wire, &r->wire, &i);
	clv_table_remove(&b->by_wire, &r->wire);
	clv_table_remove(&b->by_local, &r->local);
	b->remotes_len--;
	if (last == r)
		return;
	b->remotes[i] = last;
	clv_table_insert(&b->by_wire, &last->wire, i);
	if (b->p.is_joined)
		clv_table_insert(&b->by_local, &last->local, i);
}

static void let_go(struct clv_bindpoint *b, struct remote *r)
{
	if (b->p.is_joined) {
		b->p.ops->on_remote_gone(b->p.user, &r->wire, &r->local);
		clv_client_socket_close(b->p.client, r->fd, &r->local);
	}
	unlink_remote(b, r);
	free(r);
}

/* ---- what the worker is told ---- */

static struct clv_remote way_of(const struct remote *r)
{
	return (struct clv_remote){
		.wire = r->wire,
		.local = r->local,
		.remote = r->app,
		/* Without an application yet its datagrams wait, within bounds. */
		.hop = { .via = CLV_VIA_KERNEL,
			 .state = r->app.port ? CLV_HOP_READY : CLV_HOP_RESOLVING },
	};
}

/* Tell the worker the remote's way, by its context if it has one. */
static void tell_way(struct clv_bindpoint *b, struct remote *r)
{
	struct clv_cmd_context_open open = {
		.context_id = r->context_id,
		.flags = r->is_acked || b->p.is_closed ? 0 : CLV_CONTEXT_UNACKED,
		.remote = way_of(r),
	};
	struct clv_cmd_remote add = { .remote = open.remote };

	if (r->context_id)
		clv_relay_tunnel_command(b->tunnel, CLV_CMD_CONTEXT_OPEN, &open, sizeof(open), NULL,
					 0);
	else
		clv_relay_tunnel_command(b->tunnel, CLV_CMD_REMOTE_ADD, &add, sizeof(add), NULL, 0);
}

/* ---- contexts ---- */

/* A registration of ours goes out. */
static void wait_for_answer(struct clv_bindpoint *b)
{
	if (b->p.answer_ns && !b->look_ns)
		b->look_ns = *b->p.now_ns + b->p.answer_ns;
}

static int on_context_open(void *user, const struct clv_contexts_entry *e)
{
	struct clv_bindpoint *b = user;
	struct clv_cmd_context_open open = {
		.context_id = e->id,
		.flags = CLV_CONTEXT_UNCOMPRESSED,
	};
	struct remote *r;
	int err;

	if (e->is_uncompressed) {
		clv_relay_tunnel_command(b->tunnel, CLV_CMD_CONTEXT_OPEN, &open, sizeof(open), NULL,
					 0);
		b->is_any_asked = true;
		b->any_asked_ns = *b->p.now_ns;
		wait_for_answer(b);
		return 0;
	}
	r = find(b, &b->by_wire, &e->remote);
	if (!r) {
		/* The relay's wish, for one that sends to us. */
		err = b->p.is_closed ? CLV_EDENIED : add(b, &e->remote, &r);
		if (err)
			return err;
	}
	r->context_id = e->id;
	r->is_acked = !e->is_ours;
	r->asked_ns = r->acked_ns = *b->p.now_ns;
	if (e->is_ours)
		wait_for_answer(b);
	tell_way(b, r);
	return 0;
}

static void on_context_acked(void *user, const struct clv_contexts_entry *e)
{
	struct clv_bindpoint *b = user;
	struct remote *r = e->is_uncompressed ? NULL : find(b, &b->by_wire, &e->remote);

	if (e->is_uncompressed)
		b->is_any_asked = false;
	if (!r || r->context_id != e->id)
		return;
	r->is_acked = true;
	r->acked_ns = *b->p.now_ns;
	tell_way(b, r);
}

/* Closed at once is refused, too: else a relay that goes on like that would never be left alone. */
static bool is_refusal(const struct clv_bindpoint *b, const struct remote *r)
{
	return !r->is_acked || (r->is_named && *b->p.now_ns - r->acked_ns < CLV_SEC);
}

static void on_context_close(void *user, const struct clv_contexts_entry *e)
{
	struct clv_bindpoint *b = user;
	struct clv_cmd_context_close close = { .context_id = e->id };
	struct remote *r = e->is_uncompressed ? NULL : find(b, &b->by_wire, &e->remote);

	clv_relay_tunnel_command(b->tunnel, CLV_CMD_CONTEXT_CLOSE, &close, sizeof(close), NULL, 0);
	if (e->is_uncompressed) {
		b->is_any_asked = false;
		b->p.ops->on_remote_refused(b->p.user, &e->remote, b->refusal);
	}
	if (!r || r->context_id != e->id)
		return;
	r->is_refused = is_refusal(b, r);
	if (r->is_named && r->is_refused)
		b->p.ops->on_remote_refused(b->p.user, &r->wire, b->refusal);
	b->is_named_lost |= r->is_named && !r->is_refused;
	r->context_id = 0;
	r->is_acked = false;
	/* Without a port nothing else is kept of it. */
	if (!b->p.is_joined && !r->is_named && !r->is_refused)
		let_go(b, r);
}

static int on_context_send(void *user, const uint8_t *capsule, size_t len, uint64_t *mark)
{
	struct clv_bindpoint *b = user;

	*mark = 0; /* what the relay has not read is bounded by the stream's backlog */
	return clv_relay_tunnel_send_capsule(b->tunnel, capsule, len);
}

static const struct clv_contexts_ops contexts_ops = {
	.open = on_context_open,
	.acked = on_context_acked,
	.close = on_context_close,
	.send = on_context_send,
};

static bool has_port_for(const struct clv_bindpoint *b, const struct clv_endpoint *wire)
{
	return b->has_port[!clv_addr_is_v4(wire->addr)];
}

/* Ask for a named remote's context, unless the relay could only refuse it. */
static int open_one(struct clv_bindpoint *b, struct remote *r)
{
	r->is_refused = !has_port_for(b, &r->wire);
	if (!r->is_refused)
		return clv_contexts_open(b->contexts, &r->wire, NULL);
	b->p.ops->on_remote_refused(b->p.user, &r->wire, 0);
	return 0;
}

/* A context for every named remote that has none and was not refused. */
static int open_named(struct clv_bindpoint *b)
{
	int err = 0;

	b->is_named_lost = false;
	for (uint32_t i = 0; i < b->remotes_len && !err; i++) {
		struct remote *r = b->remotes[i];

		if (r->is_named && !r->context_id && !r->is_refused)
			err = open_one(b, r);
	}
	return err;
}

static int on_capsule(void *user, enum clv_capsule_type type, const uint8_t *value, size_t len)
{
	struct clv_bindpoint *b = user;
	int err;

	if (!b->contexts)
		return CLV_EPROTO;
	err = clv_contexts_capsule(b->contexts, type, value, len, *b->p.now_ns);
	clv_contexts_delivered(b->contexts, 0);
	/* The relay closes what it finds idle; a named remote may come in at any time. */
	if (!err && b->is_named_lost)
		err = open_named(b);
	return err;
}

/* ---- what the worker tells ---- */

static void on_remote_new(struct clv_bindpoint *b, const struct clv_endpoint *wire)
{
	struct clv_cmd_remote_remove refuse = { .wire = *wire };
	struct remote *r = find(b, &b->by_wire, wire);

	if (r || !add(b, wire, &r))
		tell_way(b, r);
	else
		clv_relay_tunnel_command(b->tunnel, CLV_CMD_REMOTE_REMOVE, &refuse, sizeof(refuse),
					 NULL, 0);
}

/* Out of room in the worker or idle: a context goes in good order, the rest is gone already. */
static void on_remote_idle(struct clv_bindpoint *b, const struct clv_endpoint *wire,
			   uint64_t context_id)
{
	struct remote *r = find(b, &b->by_wire, wire);

	if (r && r->is_named)
		return;
	if (context_id)
		clv_contexts_close(b->contexts, context_id);
	r = find(b, &b->by_wire, wire); /* it may have gone with its context */
	if (r)
		let_go(b, r);
}

static void on_bound(void *user, enum clv_event type, const struct clv_evt_bound *evt,
		     const uint8_t *payload, size_t len)
{
	struct clv_bindpoint *b = user;
	const struct remote *r = find(b, &b->by_wire, &evt->wire);

	if (!b->is_open)
		return;
	switch (type) {
	case CLV_EVT_REMOTE_NEW:
		on_remote_new(b, &evt->wire);
		break;
	case CLV_EVT_REMOTE_BUSY:
		/* A refusal is not asked for again; the uncompressed context goes on. */
		if (r ? !r->context_id && !r->is_refused : !b->p.is_joined)
			clv_contexts_open(b->contexts, &evt->wire, NULL);
		break;
	case CLV_EVT_REMOTE_IDLE:
		on_remote_idle(b, &evt->wire, evt->context_id);
		break;
	default: /* CLV_EVT_DELIVERY */
		b->p.ops->on_datagram(b->p.user, &evt->wire, payload, len);
	}
}

/* ---- the tunnel ---- */

static int start_contexts(struct clv_bindpoint *b)
{
	const struct clv_contexts_params params = {
		.role = CLV_CONTEXTS_CLIENT,
		.limits = { .open_max = 2 * b->p.remotes_max + 1,
			    .answers_max = UINT32_MAX,
			    .gaps_max = GAPS_MAX },
		.ops = &contexts_ops,
		.user = b,
		.counters = &b->counters,
		.seed = { b->seed[0], b->seed[1] },
	};
	int err = clv_contexts_new(&params, &b->contexts);

	if (!err && !b->p.is_closed)
		err = clv_contexts_open(b->contexts, NULL, NULL);
	return err ? err : open_named(b);
}

/* Ports that outlived a session: the worker must know them to find out which are idle. */
static void tell_others(struct clv_bindpoint *b)
{
	for (uint32_t i = 0; i < b->remotes_len; i++)
		if (!b->remotes[i]->is_named)
			tell_way(b, b->remotes[i]);
}

static void forget_tunnel(struct clv_bindpoint *b)
{
	clv_contexts_free(b->contexts);
	b->contexts = NULL;
	b->tunnel = NULL;
	b->is_open = false;
	b->is_any_asked = false;
	b->look_ns = 0;
	/* From behind: the last takes the place of one that goes. */
	for (uint32_t i = b->remotes_len; i-- > 0;) {
		struct remote *r = b->remotes[i];

		r->context_id = 0;
		r->is_acked = r->is_refused = false;
		if (!b->p.is_joined && !r->is_named)
			let_go(b, r);
	}
}

static void on_open(void *user, const struct clv_client_result *result)
{
	struct clv_bindpoint *b = user;
	struct clv_relay_tunnel *tunnel = b->tunnel;
	int err;

	b->is_open = true;
	b->has_port[0] = b->has_port[1] = false;
	for (unsigned i = 0; i < result->public_len; i++)
		b->has_port[!clv_addr_is_v4(result->public_addrs[i].addr)] = true;
	b->p.ops->on_open(b->p.user, result);
	err = start_contexts(b);
	if (!err) {
		tell_others(b);
		return;
	}
	forget_tunnel(b);
	clv_relay_tunnel_close(tunnel);
	b->p.ops->on_ended(b->p.user, err);
}

static void on_closed(void *user, int error, const struct clv_client_result *result)
{
	struct clv_bindpoint *b = user;
	bool was_open = b->is_open;

	forget_tunnel(b);
	if (was_open)
		b->p.ops->on_ended(b->p.user, error);
	else
		b->p.ops->on_refused(b->p.user, error, result);
}

static const struct clv_relay_tunnel_ops tunnel_ops = {
	.on_open = on_open,
	.on_closed = on_closed,
	.on_context = on_capsule,
	.on_bound = on_bound,
};

/* ---- public ---- */

int clv_bindpoint_open(const struct clv_bindpoint_params *params, struct clv_bindpoint **out)
{
	struct clv_bindpoint *b = aligned_alloc(64, (sizeof(*b) + 63) & ~(size_t)63);
	struct clv_rand rand;

	if (!b)
		return -ENOMEM;
	memset(b, 0, sizeof(*b));
	b->p = *params;
	clv_rand_init(&rand, 0);
	b->seed[0] = clv_rand_u64(&rand);
	b->seed[1] = clv_rand_u64(&rand);
	b->remotes = calloc(params->remotes_max, sizeof(struct remote *));
	if (!b->remotes ||
	    clv_table_init(&b->by_wire, sizeof(struct clv_endpoint), params->remotes_max,
			   b->seed) ||
	    clv_table_init(&b->by_local, sizeof(struct clv_endpoint), params->remotes_max,
			   b->seed)) {
		clv_bindpoint_close(b);
		return -ENOMEM;
	}
	*out = b;
	return 0;
}

void clv_bindpoint_close(struct clv_bindpoint *b)
{
	if (!b)
		return;
	if (b->tunnel)
		clv_relay_tunnel_close(b->tunnel);
	clv_contexts_free(b->contexts);
	for (uint32_t i = 0; i < b->remotes_len; i++) {
		if (b->p.is_joined)
			clv_client_socket_close(b->p.client, b->remotes[i]->fd,
						&b->remotes[i]->local);
		free(b->remotes[i]);
	}
	clv_table_fini(&b->by_wire);
	clv_table_fini(&b->by_local);
	free(b->remotes);
	free(b);
}

int clv_bindpoint_add(struct clv_bindpoint *b, const struct clv_endpoint *wire)
{
	struct remote *r = find(b, &b->by_wire, wire);
	int err = r ? 0 : add(b, wire, &r);

	if (err)
		return err;
	r->is_named = true;
	return b->is_open && !r->context_id ? open_one(b, r) : 0;
}

void clv_bindpoint_set_session(struct clv_bindpoint *b, struct clv_relay_session *rs)
{
	const struct clv_relay_tunnel_params params = {
		.deliver = !b->p.is_joined,
		.busy_per_sec = b->p.busy_per_sec,
		.context_idle_ns = b->p.idle_ns,
		.ops = &tunnel_ops,
		.user = b,
	};
	int err;

	b->session = rs;
	if (!rs)
		return; /* its tunnels were closed by it */
	err = clv_relay_tunnel_open(rs, &params, &b->tunnel);
	if (err)
		b->p.ops->on_refused(b->p.user, err, NULL);
}

int clv_bindpoint_send(struct clv_bindpoint *b, const struct clv_endpoint *wire,
		       const uint8_t *payload, size_t len)
{
	struct clv_cmd_remote_send send = { .wire = *wire };
	const struct remote *r;

	if (!b->is_open)
		return CLV_ECLOSED;
	if (!has_port_for(b, wire))
		return CLV_EUNROUTABLE;
	r = find(b, &b->by_wire, wire);
	if (b->p.is_closed && (!r || !r->context_id))
		return CLV_EDENIED;
	clv_relay_tunnel_command(b->tunnel, CLV_CMD_REMOTE_SEND, &send, sizeof(send), payload, len);
	return 0;
}

/* The remote may be let go with it. */
static void give_up(struct clv_bindpoint *b, uint64_t id)
{
	b->refusal = CLV_ETIMEOUT;
	clv_contexts_close(b->contexts, id);
	b->refusal = 0;
}

void clv_bindpoint_step(struct clv_bindpoint *b)
{
	const uint64_t now_ns = *b->p.now_ns;
	uint64_t next_ns = UINT64_MAX, until_ns;

	if (!b->look_ns || now_ns < b->look_ns)
		return;
	/* From behind: the last takes the place of one that goes. */
	for (uint32_t i = b->remotes_len; i-- > 0;) {
		const struct remote *r = b->remotes[i];

		until_ns = r->asked_ns + b->p.answer_ns;
		if (!r->context_id || r->is_acked)
			continue;
		if (until_ns <= now_ns)
			give_up(b, r->context_id);
		else if (until_ns < next_ns)
			next_ns = until_ns;
	}
	until_ns = b->any_asked_ns + b->p.answer_ns;
	if (b->is_any_asked && until_ns <= now_ns)
		give_up(b, clv_contexts_uncompressed(b->contexts)->id);
	else if (b->is_any_asked && until_ns < next_ns)
		next_ns = until_ns;
	if (next_ns < now_ns + LOOK_NS)
		next_ns = now_ns + LOOK_NS;
	b->look_ns = next_ns == UINT64_MAX ? 0 : next_ns;
}

uint64_t clv_bindpoint_next_ns(const struct clv_bindpoint *b)
{
	return b->look_ns ? b->look_ns : UINT64_MAX;
}

bool clv_bindpoint_has(const struct clv_bindpoint *b, const struct clv_endpoint *local)
{
	return clv_table_find(&b->by_local, local, NULL);
}

/* The application, or another socket of it, speaks to a remote's port. */
void clv_bindpoint_new_remote(struct clv_bindpoint *b, const struct clv_evt_remote *evt,
			      const uint8_t *payload, size_t len)
{
	struct remote *r = find(b, &b->by_local, &evt->local);
	struct clv_cmd_remote_send send;

	if (!r || !b->is_open || (b->p.is_closed && !r->context_id) || !has_port_for(b, &r->wire)) {
		b->stats.dropped++;
		return;
	}
	r->app = evt->remote;
	tell_way(b, r);
	send = (struct clv_cmd_remote_send){ .wire = r->wire };
	clv_relay_tunnel_command(b->tunnel, CLV_CMD_REMOTE_SEND, &send, sizeof(send), payload, len);
}

const struct clv_bindpoint_stats *clv_bindpoint_stats(const struct clv_bindpoint *b)
{
	return &b->stats;
}
