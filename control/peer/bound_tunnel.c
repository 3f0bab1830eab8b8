/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/bound_tunnel.h"

#include "control/masque/contexts.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/rand.h"
#include "datapath/base/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	GAPS_MAX = 64, /* of the relay's Context IDs */
};

#define CHECK_NS CLV_SEC /* least time between two passes over all remotes */

/* One remote and the local port that represents it. */
struct remote {
	struct clv_endpoint endpoint; /* the remote */
	struct clv_endpoint local;    /* of fd */
	struct clv_endpoint app;      /* port 0: not known yet */
	int fd;
	bool is_permitted;
	uint64_t context_id; /* 0: none */
	bool is_acked;
	uint64_t requested_ns; /* when we registered its context */
	uint64_t acked_ns;     /* when it was acknowledged, or opened by the relay */
	bool is_refused;       /* by the relay: not registered again */
};

struct clv_bound_tunnel {
	struct clv_bound_tunnel_params p;
	struct clv_relay_session *session;
	struct clv_relay_tunnel *tunnel; /* NULL: none is open or being opened */
	bool is_open;
	bool has_port[2];    /* the relay has a public port: [0] IPv4, [1] IPv6 */
	bool is_any_pending; /* the uncompressed context is not acknowledged yet */
	uint64_t any_requested_ns;
	uint64_t check_ns;	       /* when to expire unacknowledged registrations; 0: none */
	int refusal;		       /* why a context is being closed; 0: refused by the relay */
	bool is_permitted_lost;	       /* the relay closed the context of a permitted remote */
	struct clv_contexts *contexts; /* of an open tunnel */
	struct clv_counters counters;  /* of contexts */
	struct remote **remotes;       /* dense */
	uint32_t remotes_len;
	struct clv_table by_remote, by_local; /* -> index */
	uint64_t seed[2];
	struct clv_bound_tunnel_stats stats;
};

/* ---- remotes ---- */

static struct remote *find(const struct clv_bound_tunnel *b, const struct clv_table *table,
			   const struct clv_endpoint *key)
{
	uint64_t i;

	return clv_table_find(table, key, &i) ? b->remotes[i] : NULL;
}

/* Open a free loopback port of the application's address family.  A remote of a tunnel that is not
   joined has no port, only a made-up address for the worker's table, which receives nothing. */
static int open_socket(struct clv_bound_tunnel *b, struct remote *r)
{
	static const char *const loopback[] = { "127.0.0.1:0", "[::1]:0" };
	bool is_v6 = b->p.app.port && !clv_addr_is_v4(b->p.app.addr);
	struct clv_endpoint any;
	int err;

	if (!b->p.is_joined) {
		r->fd = -1;
		r->app = r->endpoint;
		memcpy(r->local.addr, b->seed, sizeof(r->local.addr));
		return 0;
	}
	err = clv_endpoint_parse(loopback[is_v6], &any);
	return err ? err : clv_client_socket_open(b->p.client, &any, 0, &r->local, &r->fd);
}

static int add(struct clv_bound_tunnel *b, const struct clv_endpoint *remote, struct remote **out)
{
	struct remote *r;
	int err = CLV_EFULL;

	if (b->remotes_len >= b->p.remotes_max)
		goto full;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->endpoint = *remote;
	r->app = b->p.app;
	err = open_socket(b, r);
	if (err) {
		free(r);
		goto full;
	}
	b->remotes[b->remotes_len] = r;
	/* This cannot fail: the tables are as large as the list. */
	clv_table_insert(&b->by_remote, &r->endpoint, b->remotes_len);
	if (b->p.is_joined)
		clv_table_insert(&b->by_local, &r->local, b->remotes_len);
	b->remotes_len++;
	if (b->p.is_joined)
		b->p.ops->on_remote(b->p.user, &r->endpoint, &r->local);
	*out = r;
	return 0;

full:
	b->stats.remotes_full++;
	return err;
}

/* Remove it from list and tables; the last remote takes its place. */
static void unlink_remote(struct clv_bound_tunnel *b, struct remote *r)
{
	struct remote *last = b->remotes[b->remotes_len - 1];
	uint64_t i = 0;

	clv_table_find(&b->by_remote, &r->endpoint, &i);
	clv_table_remove(&b->by_remote, &r->endpoint);
	clv_table_remove(&b->by_local, &r->local);
	b->remotes_len--;
	if (last == r)
		return;
	b->remotes[i] = last;
	clv_table_insert(&b->by_remote, &last->endpoint, i);
	if (b->p.is_joined)
		clv_table_insert(&b->by_local, &last->local, i);
}

static void remove_remote(struct clv_bound_tunnel *b, struct remote *r)
{
	if (b->p.is_joined) {
		b->p.ops->on_remote_gone(b->p.user, &r->endpoint, &r->local);
		clv_client_socket_close(b->p.client, r->fd, &r->local);
	}
	unlink_remote(b, r);
	free(r);
}

/* ---- commands to the worker ---- */

static struct clv_remote worker_remote(const struct remote *r)
{
	return (struct clv_remote){
		.endpoint = r->endpoint,
		.local = r->local,
		.remote = r->app,
		/* Until the application is known, datagrams to it are queued, up to a limit. */
		.hop = { .via = CLV_VIA_KERNEL,
			 .state = r->app.port ? CLV_HOP_READY : CLV_HOP_RESOLVING },
	};
}

/* Send the worker the remote's addresses, with its context if it has one. */
static void update_worker(struct clv_bound_tunnel *b, struct remote *r)
{
	struct clv_cmd_context_open open = {
		.context_id = r->context_id,
		.flags = r->is_acked || b->p.is_closed ? 0 : CLV_CONTEXT_UNACKED,
		.remote = worker_remote(r),
	};
	struct clv_cmd_remote add = { .remote = open.remote };

	if (r->context_id)
		clv_relay_tunnel_command(b->tunnel, CLV_CMD_CONTEXT_OPEN, &open, sizeof(open), NULL,
					 0);
	else
		clv_relay_tunnel_command(b->tunnel, CLV_CMD_REMOTE_ADD, &add, sizeof(add), NULL, 0);
}

/* ---- contexts ---- */

/* A registration was sent: it must be acknowledged in time. */
static void schedule_check(struct clv_bound_tunnel *b)
{
	if (b->p.answer_ns && !b->check_ns)
		b->check_ns = *b->p.now_ns + b->p.answer_ns;
}

static int on_context_open(void *user, const struct clv_contexts_entry *e)
{
	struct clv_bound_tunnel *b = user;
	struct clv_cmd_context_open open = {
		.context_id = e->id,
		.flags = CLV_CONTEXT_UNCOMPRESSED,
	};
	struct remote *r;
	int err;

	if (e->is_uncompressed) {
		clv_relay_tunnel_command(b->tunnel, CLV_CMD_CONTEXT_OPEN, &open, sizeof(open), NULL,
					 0);
		b->is_any_pending = true;
		b->any_requested_ns = *b->p.now_ns;
		schedule_check(b);
		return 0;
	}
	r = find(b, &b->by_remote, &e->remote);
	if (!r) {
		/* The relay opened a context for a remote that sends to us. */
		err = b->p.is_closed ? CLV_EDENIED : add(b, &e->remote, &r);
		if (err)
			return err;
	}
	r->context_id = e->id;
	r->is_acked = !e->is_ours;
	r->requested_ns = r->acked_ns = *b->p.now_ns;
	if (e->is_ours)
		schedule_check(b);
	update_worker(b, r);
	return 0;
}

static void on_context_acked(void *user, const struct clv_contexts_entry *e)
{
	struct clv_bound_tunnel *b = user;
	struct remote *r = e->is_uncompressed ? NULL : find(b, &b->by_remote, &e->remote);

	if (e->is_uncompressed)
		b->is_any_pending = false;
	if (!r || r->context_id != e->id)
		return;
	r->is_acked = true;
	r->acked_ns = *b->p.now_ns;
	update_worker(b, r);
}

/* A context that is closed right after it was acknowledged counts as refused too: otherwise we
   would register it again for ever. */
static bool is_refusal(const struct clv_bound_tunnel *b, const struct remote *r)
{
	return !r->is_acked || (r->is_permitted && *b->p.now_ns - r->acked_ns < CLV_SEC);
}

static void on_context_close(void *user, const struct clv_contexts_entry *e)
{
	struct clv_bound_tunnel *b = user;
	struct clv_cmd_context_close close = { .context_id = e->id };
	struct remote *r = e->is_uncompressed ? NULL : find(b, &b->by_remote, &e->remote);

	clv_relay_tunnel_command(b->tunnel, CLV_CMD_CONTEXT_CLOSE, &close, sizeof(close), NULL, 0);
	if (e->is_uncompressed) {
		b->is_any_pending = false;
		b->p.ops->on_remote_refused(b->p.user, &e->remote, b->refusal);
	}
	if (!r || r->context_id != e->id)
		return;
	r->is_refused = is_refusal(b, r);
	if (r->is_permitted && r->is_refused)
		b->p.ops->on_remote_refused(b->p.user, &r->endpoint, b->refusal);
	b->is_permitted_lost |= r->is_permitted && !r->is_refused;
	r->context_id = 0;
	r->is_acked = false;
	/* Without a local port there is nothing else to keep. */
	if (!b->p.is_joined && !r->is_permitted && !r->is_refused)
		remove_remote(b, r);
}

static int on_context_send(void *user, const uint8_t *capsule, size_t len, uint64_t *mark)
{
	struct clv_bound_tunnel *b = user;

	*mark = 0; /* unused: the backlog of the stream limits what the relay has not read */
	return clv_relay_tunnel_send_capsule(b->tunnel, capsule, len);
}

static const struct clv_contexts_ops contexts_ops = {
	.open = on_context_open,
	.acked = on_context_acked,
	.close = on_context_close,
	.send = on_context_send,
};

static bool has_port_for(const struct clv_bound_tunnel *b, const struct clv_endpoint *remote)
{
	return b->has_port[!clv_addr_is_v4(remote->addr)];
}

/* Register the context of a permitted remote, unless the relay has no port of its family. */
static int open_one(struct clv_bound_tunnel *b, struct remote *r)
{
	r->is_refused = !has_port_for(b, &r->endpoint);
	if (!r->is_refused)
		return clv_contexts_open(b->contexts, &r->endpoint, NULL);
	b->p.ops->on_remote_refused(b->p.user, &r->endpoint, 0);
	return 0;
}

/* Register a context for each permitted remote that has none and was not refused. */
static int open_permitted(struct clv_bound_tunnel *b)
{
	int err = 0;

	b->is_permitted_lost = false;
	for (uint32_t i = 0; i < b->remotes_len && !err; i++) {
		struct remote *r = b->remotes[i];

		if (r->is_permitted && !r->context_id && !r->is_refused)
			err = open_one(b, r);
	}
	return err;
}

static int on_capsule(void *user, enum clv_capsule_type type, const uint8_t *value, size_t len)
{
	struct clv_bound_tunnel *b = user;
	int err;

	if (!b->contexts)
		return CLV_EPROTO;
	err = clv_contexts_capsule(b->contexts, type, value, len, *b->p.now_ns);
	clv_contexts_delivered(b->contexts, 0);
	/* The relay closes idle contexts, but a permitted remote may send at any time. */
	if (!err && b->is_permitted_lost)
		err = open_permitted(b);
	return err;
}

/* ---- events from the worker ---- */

static void on_remote_new(struct clv_bound_tunnel *b, const struct clv_endpoint *remote)
{
	struct clv_cmd_remote_remove refuse = { .remote = *remote };
	struct remote *r = find(b, &b->by_remote, remote);

	if (r || !add(b, remote, &r))
		update_worker(b, r);
	else
		clv_relay_tunnel_command(b->tunnel, CLV_CMD_REMOTE_REMOVE, &refuse, sizeof(refuse),
					 NULL, 0);
}

/* A remote was idle, or the worker's table full: close its context; without one it is gone. */
static void on_remote_idle(struct clv_bound_tunnel *b, const struct clv_endpoint *remote,
			   uint64_t context_id)
{
	struct remote *r = find(b, &b->by_remote, remote);

	if (r && r->is_permitted)
		return;
	if (context_id)
		clv_contexts_close(b->contexts, context_id);
	r = find(b, &b->by_remote, remote); /* closing its context may have removed it */
	if (r)
		remove_remote(b, r);
}

static void on_bound(void *user, enum clv_event type, const struct clv_evt_bound *evt,
		     const uint8_t *payload, size_t len)
{
	struct clv_bound_tunnel *b = user;
	const struct remote *r = find(b, &b->by_remote, &evt->remote);

	if (!b->is_open)
		return;
	switch (type) {
	case CLV_EVT_REMOTE_NEW:
		on_remote_new(b, &evt->remote);
		break;
	case CLV_EVT_REMOTE_BUSY:
		/* A refused context is not registered again; the uncompressed context remains. */
		if (r ? !r->context_id && !r->is_refused : !b->p.is_joined)
			clv_contexts_open(b->contexts, &evt->remote, NULL);
		break;
	case CLV_EVT_REMOTE_IDLE:
		on_remote_idle(b, &evt->remote, evt->context_id);
		break;
	default: /* CLV_EVT_DELIVERY */
		b->p.ops->on_datagram(b->p.user, &evt->remote, payload, len);
	}
}

/* ---- the tunnel ---- */

static int start_contexts(struct clv_bound_tunnel *b)
{
	const struct clv_contexts_params params = {
		.role = CLV_CONTEXTS_CLIENT,
		.limits = { .open_max = 2 * b->p.remotes_max + 1,
			    .unacked_max = UINT32_MAX,
			    .id_gaps_max = GAPS_MAX },
		.ops = &contexts_ops,
		.user = b,
		.counters = &b->counters,
		.seed = { b->seed[0], b->seed[1] },
	};
	int err = clv_contexts_new(&params, &b->contexts);

	if (!err && !b->p.is_closed)
		err = clv_contexts_open(b->contexts, NULL, NULL);
	return err ? err : open_permitted(b);
}

/* Ports that outlived a session: the worker must know their remotes to detect idle ones. */
static void restore_remotes(struct clv_bound_tunnel *b)
{
	for (uint32_t i = 0; i < b->remotes_len; i++)
		if (!b->remotes[i]->is_permitted)
			update_worker(b, b->remotes[i]);
}

static void reset_tunnel(struct clv_bound_tunnel *b)
{
	clv_contexts_free(b->contexts);
	b->contexts = NULL;
	b->tunnel = NULL;
	b->is_open = false;
	b->is_any_pending = false;
	b->check_ns = 0;
	/* Backwards: the last remote takes the place of a removed one. */
	for (uint32_t i = b->remotes_len; i-- > 0;) {
		struct remote *r = b->remotes[i];

		r->context_id = 0;
		r->is_acked = r->is_refused = false;
		if (!b->p.is_joined && !r->is_permitted)
			remove_remote(b, r);
	}
}

static void on_open(void *user, const struct clv_client_result *result)
{
	struct clv_bound_tunnel *b = user;
	struct clv_relay_tunnel *tunnel = b->tunnel;
	int err;

	b->is_open = true;
	b->has_port[0] = b->has_port[1] = false;
	for (unsigned i = 0; i < result->public_len; i++)
		b->has_port[!clv_addr_is_v4(result->public_addrs[i].addr)] = true;
	b->p.ops->on_open(b->p.user, result);
	err = start_contexts(b);
	if (!err) {
		restore_remotes(b);
		return;
	}
	reset_tunnel(b);
	clv_relay_tunnel_close(tunnel);
	b->p.ops->on_ended(b->p.user, err);
}

static void on_closed(void *user, int error, const struct clv_client_result *result)
{
	struct clv_bound_tunnel *b = user;
	bool was_open = b->is_open;

	reset_tunnel(b);
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

int clv_bound_tunnel_open(const struct clv_bound_tunnel_params *params,
			  struct clv_bound_tunnel **out)
{
	struct clv_bound_tunnel *b = aligned_alloc(64, (sizeof(*b) + 63) & ~(size_t)63);
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
	    clv_table_init(&b->by_remote, sizeof(struct clv_endpoint), params->remotes_max,
			   b->seed) ||
	    clv_table_init(&b->by_local, sizeof(struct clv_endpoint), params->remotes_max,
			   b->seed)) {
		clv_bound_tunnel_close(b);
		return -ENOMEM;
	}
	*out = b;
	return 0;
}

void clv_bound_tunnel_close(struct clv_bound_tunnel *b)
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
	clv_table_fini(&b->by_remote);
	clv_table_fini(&b->by_local);
	free(b->remotes);
	free(b);
}

int clv_bound_tunnel_permit(struct clv_bound_tunnel *b, const struct clv_endpoint *remote)
{
	struct remote *r = find(b, &b->by_remote, remote);
	int err = r ? 0 : add(b, remote, &r);

	if (err)
		return err;
	r->is_permitted = true;
	return b->is_open && !r->context_id ? open_one(b, r) : 0;
}

void clv_bound_tunnel_set_session(struct clv_bound_tunnel *b, struct clv_relay_session *rs)
{
	const struct clv_relay_tunnel_params params = {
		.deliver = !b->p.is_joined,
		.busy_per_sec = b->p.busy_per_sec,
		.remotes_max = b->p.remotes_max,
		.context_idle_ns = b->p.idle_ns,
		.ops = &tunnel_ops,
		.user = b,
	};
	int err;

	b->session = rs;
	if (!rs)
		return; /* it has closed its tunnels */
	err = clv_relay_tunnel_open(rs, &params, &b->tunnel);
	if (err)
		b->p.ops->on_refused(b->p.user, err, NULL);
}

int clv_bound_tunnel_send(struct clv_bound_tunnel *b, const struct clv_endpoint *remote,
			  const uint8_t *payload, size_t len)
{
	struct clv_cmd_remote_send send = { .remote = *remote };
	const struct remote *r;

	if (!b->is_open)
		return CLV_ECLOSED;
	if (!has_port_for(b, remote))
		return CLV_EUNROUTABLE;
	r = find(b, &b->by_remote, remote);
	if (b->p.is_closed && (!r || !r->context_id))
		return CLV_EDENIED;
	clv_relay_tunnel_command(b->tunnel, CLV_CMD_REMOTE_SEND, &send, sizeof(send), payload, len);
	return 0;
}

/* Close a context that was not acknowledged in time.  This may remove its remote. */
static void expire(struct clv_bound_tunnel *b, uint64_t id)
{
	b->refusal = CLV_ETIMEOUT;
	clv_contexts_close(b->contexts, id);
	b->refusal = 0;
}

void clv_bound_tunnel_step(struct clv_bound_tunnel *b)
{
	const uint64_t now_ns = *b->p.now_ns;
	uint64_t next_ns = UINT64_MAX, until_ns;

	if (!b->check_ns || now_ns < b->check_ns)
		return;
	/* Backwards: the last remote takes the place of a removed one. */
	for (uint32_t i = b->remotes_len; i-- > 0;) {
		const struct remote *r = b->remotes[i];

		until_ns = r->requested_ns + b->p.answer_ns;
		if (!r->context_id || r->is_acked)
			continue;
		if (until_ns <= now_ns)
			expire(b, r->context_id);
		else if (until_ns < next_ns)
			next_ns = until_ns;
	}
	until_ns = b->any_requested_ns + b->p.answer_ns;
	if (b->is_any_pending && until_ns <= now_ns)
		expire(b, clv_contexts_uncompressed(b->contexts)->id);
	else if (b->is_any_pending && until_ns < next_ns)
		next_ns = until_ns;
	if (next_ns < now_ns + CHECK_NS)
		next_ns = now_ns + CHECK_NS;
	b->check_ns = next_ns == UINT64_MAX ? 0 : next_ns;
}

uint64_t clv_bound_tunnel_next_ns(const struct clv_bound_tunnel *b)
{
	return b->check_ns ? b->check_ns : UINT64_MAX;
}

bool clv_bound_tunnel_has(const struct clv_bound_tunnel *b, const struct clv_endpoint *local)
{
	return clv_table_find(&b->by_local, local, NULL);
}

/* Whether from may speak for a remote: an application that was named, else any local sender. */
static bool is_app(const struct clv_bound_tunnel *b, const struct clv_endpoint *from)
{
	return !b->p.app.port || memcmp(from, &b->p.app, sizeof(*from)) == 0;
}

/* The first datagram from the application, or from another of its sockets, to a remote's port. */
void clv_bound_tunnel_new_remote(struct clv_bound_tunnel *b, const struct clv_evt_remote *evt,
				 const uint8_t *payload, size_t len)
{
	struct remote *r = find(b, &b->by_local, &evt->local);
	struct clv_cmd_remote_send send;

	if (!is_app(b, &evt->remote)) {
		clv_client_count_drop(b->p.client, CLV_COUNT_DROP_WRONG_REMOTE);
		return;
	}
	if (!r || !b->is_open || (b->p.is_closed && !r->context_id) ||
	    !has_port_for(b, &r->endpoint)) {
		b->stats.dropped++;
		return;
	}
	r->app = evt->remote;
	update_worker(b, r);
	send = (struct clv_cmd_remote_send){ .remote = r->endpoint };
	clv_relay_tunnel_command(b->tunnel, CLV_CMD_REMOTE_SEND, &send, sizeof(send), payload, len);
}

const struct clv_bound_tunnel_stats *clv_bound_tunnel_stats(const struct clv_bound_tunnel *b)
{
	return &b->stats;
}
