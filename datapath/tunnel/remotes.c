/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/tunnel/remotes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/hash.h"
#include "datapath/tunnel/tunnel.h"

enum {
	WAIT_SEC = 3,	  /* longest wait for control's decision or a next hop */
	RATES_LEN = 4096, /* a power of two */
};

struct id_key {
	uint64_t context_id;
	uint32_t tunnel;
	uint32_t pad;
};

struct endpoint_key {
	struct clv_endpoint endpoint;
	uint32_t tunnel;
};

/* ---- life ---- */

int clv_remotes_init(struct clv_remotes *rs, uint32_t max, uint32_t wait_packets,
		     const uint64_t seed[static 2])
{
	size_t room = max ? max : 1;

	*rs = (struct clv_remotes){
		.max = max,
		.wait_packets = wait_packets,
		.seed = { seed[0], seed[1] },
	};
	rs->slots = calloc(room, sizeof(*rs->slots));
	rs->published = calloc(room, sizeof(*rs->published));
	rs->rates = calloc(RATES_LEN, sizeof(*rs->rates));
	rs->free = calloc(room, sizeof(*rs->free));
	if (!rs->slots || !rs->published || !rs->rates || !rs->free ||
	    clv_table_init(&rs->by_id, sizeof(struct id_key), room, seed) ||
	    clv_table_init(&rs->by_endpoint, sizeof(struct endpoint_key), room, seed) ||
	    clv_table_init(&rs->by_tuple, sizeof(struct clv_tuple), room, seed) ||
	    clv_timers_init(&rs->timers, room)) {
		clv_remotes_fini(rs);
		return -ENOMEM;
	}
	while (rs->free_len < max) { /* lowest on top */
		rs->free[rs->free_len] = max - 1 - rs->free_len;
		rs->free_len++;
	}
	return 0;
}

void clv_remotes_fini(struct clv_remotes *rs)
{
	clv_timers_fini(&rs->timers);
	clv_table_fini(&rs->by_tuple);
	clv_table_fini(&rs->by_endpoint);
	clv_table_fini(&rs->by_id);
	free(rs->free);
	free(rs->rates);
	free(rs->published);
	free(rs->slots);
	*rs = (struct clv_remotes){ 0 };
}

/* ---- views for other threads ---- */

/* A view is copied word by word, so that a reader on another thread only ever sees whole words. */
enum {
	VIEW_WORDS = sizeof(struct clv_remotes_view) / sizeof(uint64_t),
};
_Static_assert(sizeof(struct clv_remotes_view) % sizeof(uint64_t) == 0, "copied by words");

static void store_words(struct clv_remotes_view *to, const struct clv_remotes_view *from)
{
	const uint64_t *in = (const uint64_t *)from;
	uint64_t *out = (uint64_t *)to;

	for (size_t i = 0; i < VIEW_WORDS; i++)
		__atomic_store_n(&out[i], in[i], __ATOMIC_RELAXED);
}

static void load_words(struct clv_remotes_view *to, const struct clv_remotes_view *from)
{
	const uint64_t *in = (const uint64_t *)from;
	uint64_t *out = (uint64_t *)to;

	for (size_t i = 0; i < VIEW_WORDS; i++)
		out[i] = __atomic_load_n(&in[i], __ATOMIC_RELAXED);
}

/* Publish a slot: view, or an empty slot when it is NULL. */
static void publish(struct clv_remotes_published *s, const struct clv_remotes_view *view)
{
	__atomic_store_n(&s->sequence, s->sequence + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	if (view)
		store_words(&s->view, view);
	__atomic_store_n(&s->used, view != NULL, __ATOMIC_RELAXED);
	__atomic_store_n(&s->sequence, s->sequence + 1, __ATOMIC_RELEASE);
}

static void publish_entry(struct clv_remotes *rs, const struct clv_remotes_entry *r)
{
	struct clv_remotes_view view = rs->published[r->slot].view; /* we alone write it */

	view.context_id = r->context_id;
	view.is_pending = r->is_pending;
	view.may_send = r->may_send;
	view.is_hairpin = r->is_hairpin;
	publish(&rs->published[r->slot], &view);
}

uint32_t clv_remotes_seen(const struct clv_remotes *rs)
{
	return __atomic_load_n(&rs->seen, __ATOMIC_ACQUIRE);
}

bool clv_remotes_view(const struct clv_remotes *rs, uint32_t slot, struct clv_remotes_view *out)
{
	const struct clv_remotes_published *s;
	uint32_t before, after;
	bool used;

	if (slot >= rs->max)
		return false;
	s = &rs->published[slot];
	do {
		before = __atomic_load_n(&s->sequence, __ATOMIC_ACQUIRE);
		used = __atomic_load_n(&s->used, __ATOMIC_RELAXED);
		load_words(out, &s->view);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		after = __atomic_load_n(&s->sequence, __ATOMIC_RELAXED);
	} while (before != after || before & 1);
	return used;
}

/* ---- finding ---- */

static struct clv_remotes_entry *at(struct clv_remotes *rs, const struct clv_table *table,
				    const void *key)
{
	uint64_t slot;

	return clv_table_find(table, key, &slot) ? &rs->slots[slot] : NULL;
}

struct clv_remotes_entry *clv_remotes_by_id(struct clv_remotes *rs, const struct clv_tunnel *t,
					    uint64_t context_id)
{
	const struct id_key key = { .context_id = context_id, .tunnel = t->slot };

	return at(rs, &rs->by_id, &key);
}

struct clv_remotes_entry *clv_remotes_by_endpoint(struct clv_remotes *rs,
						  const struct clv_tunnel *t,
						  const struct clv_endpoint *endpoint)
{
	const struct endpoint_key key = { .endpoint = *endpoint, .tunnel = t->slot };

	return at(rs, &rs->by_endpoint, &key);
}

struct clv_remotes_entry *clv_remotes_by_tuple(struct clv_remotes *rs,
					       const struct clv_endpoint *local,
					       const struct clv_endpoint *remote)
{
	const struct clv_tuple key = { .local = *local, .remote = *remote };

	return at(rs, &rs->by_tuple, &key);
}

/* ---- who may make room ---- */

/* The last one to make room: it came last. */
static void join_unanswered(struct clv_remotes *rs, struct clv_tunnel *t,
			    struct clv_remotes_entry *r)
{
	r->is_unanswered = true;
	r->newer = 0;
	r->older = t->unanswered_newest;
	if (r->older)
		rs->slots[r->older - 1].newer = r->slot + 1;
	else
		t->unanswered_oldest = r->slot + 1;
	t->unanswered_newest = r->slot + 1;
}

static void leave_unanswered(struct clv_remotes *rs, struct clv_tunnel *t,
			     struct clv_remotes_entry *r)
{
	if (!r->is_unanswered)
		return;
	r->is_unanswered = false;
	if (r->older)
		rs->slots[r->older - 1].newer = r->newer;
	else
		t->unanswered_oldest = r->newer;
	if (r->newer)
		rs->slots[r->newer - 1].older = r->older;
	else
		t->unanswered_newest = r->older;
}

struct clv_remotes_entry *clv_remotes_silent(struct clv_remotes *rs, const struct clv_tunnel *t)
{
	return t->unanswered_oldest ? &rs->slots[t->unanswered_oldest - 1] : NULL;
}

/* ---- coming and going ---- */

struct clv_remotes_entry *clv_remotes_add(struct clv_remotes *rs, struct clv_tunnel *t,
					  const struct clv_endpoint *endpoint,
					  uint64_t worker_now_ns, uint16_t worker_id)
{
	const struct endpoint_key key = { .endpoint = *endpoint, .tunnel = t->slot };
	struct clv_remotes_view view = {
		.tunnel = { t->slot, t->generation, worker_id, { 0 } },
		.remote = *endpoint,
		.context_id = CLV_DGRAM_CONTEXT_NONE,
		.is_pending = true,
		.last_ns = worker_now_ns,
	};
	struct clv_remotes_entry *r;
	uint32_t slot;

	if (!rs->free_len)
		return NULL;
	slot = rs->free[rs->free_len - 1];
	if (clv_table_insert(&rs->by_endpoint, &key, slot))
		return NULL;
	rs->free_len--;
	r = &rs->slots[slot];
	*r = (struct clv_remotes_entry){
		.used = true,
		.is_pending = true,
		.slot = slot,
		.tunnel = t->slot,
		.next = t->remotes,
		.since_close = t->uncompressed_closed,
		.context_id = CLV_DGRAM_CONTEXT_NONE,
		.endpoint = *endpoint,
		.idle = { .at_ns = CLV_TIMER_NEVER },
	};
	clv_waitq_init(&r->wait, rs->wait_packets, WAIT_SEC * CLV_SEC);
	if (r->next)
		rs->slots[r->next - 1].prev = slot + 1;
	t->remotes = slot + 1;
	t->remotes_len++;
	publish(&rs->published[slot], &view);
	if (slot >= rs->seen)
		__atomic_store_n(&rs->seen, slot + 1, __ATOMIC_RELEASE);
	return r;
}

static struct clv_tuple tuple_of(const struct clv_remotes_entry *r)
{
	return (struct clv_tuple){ .local = r->flow.local, .remote = r->flow.remote };
}

int clv_remotes_resolve(struct clv_remotes *rs, struct clv_tunnel *t, struct clv_remotes_entry *r,
			const struct clv_remote *remote, uint32_t socket)
{
	const struct clv_tuple before = tuple_of(r);
	const struct clv_tuple after = { .local = remote->local, .remote = remote->remote };

	if (r->is_pending || memcmp(&before, &after, sizeof(before))) {
		if (clv_remotes_by_tuple(rs, &remote->local, &remote->remote) ||
		    clv_table_insert(&rs->by_tuple, &after, r->slot))
			return CLV_EFULL;
		if (!r->is_pending)
			clv_table_remove(&rs->by_tuple, &before);
	}
	if (r->is_pending && !rs->published[r->slot].view.to_peer_packets)
		join_unanswered(rs, t, r);
	r->is_pending = false;
	r->is_hairpin = remote->flags & CLV_REMOTE_HAIRPIN;
	r->peer_tunnel = remote->peer_tunnel;
	r->flow = (struct clv_flow){
		.local = remote->local,
		.remote = remote->remote,
		.socket = socket,
		.hop = remote->hop,
	};
	publish_entry(rs, r);
	return 0;
}

bool clv_remotes_is_stale(const struct clv_tunnel *t, const struct clv_remotes_entry *r)
{
	return !clv_remotes_has_context(r) && r->since_close != t->uncompressed_closed;
}

uint32_t clv_remotes_remove(struct clv_remotes *rs, struct clv_tunnel *t,
			    struct clv_remotes_entry *r, struct clv_pool *pool)
{
	const struct endpoint_key key = { .endpoint = r->endpoint, .tunnel = t->slot };
	const struct clv_tuple tuple = tuple_of(r);

	if (clv_remotes_has_context(r))
		clv_remotes_close(rs, t, r->context_id);
	leave_unanswered(rs, t, r);
	if (r->prev)
		rs->slots[r->prev - 1].next = r->next;
	else
		t->remotes = r->next;
	if (r->next)
		rs->slots[r->next - 1].prev = r->prev;
	t->remotes_len--;
	clv_timers_set(&rs->timers, &r->idle, CLV_TIMER_NEVER);
	clv_table_remove(&rs->by_endpoint, &key);
	if (!r->is_pending)
		clv_table_remove(&rs->by_tuple, &tuple);
	r->used = false;
	rs->free[rs->free_len++] = r->slot;
	publish(&rs->published[r->slot], NULL);
	return clv_waitq_fini(&r->wait, pool);
}

/* ---- Context IDs ---- */

int clv_remotes_open(struct clv_remotes *rs, struct clv_tunnel *t, struct clv_remotes_entry *r,
		     uint64_t context_id, bool may_send)
{
	const struct id_key key = { .context_id = context_id, .tunnel = t->slot };

	if (r->context_id != context_id) {
		if (clv_remotes_has_context(r) || clv_table_insert(&rs->by_id, &key, r->slot))
			return CLV_EFULL;
		r->context_id = context_id;
		r->prefix_len = (uint8_t)clv_dgram_encode_prefix(t->stream_id, context_id,
								 r->prefix);
		leave_unanswered(rs, t, r);
	}
	r->may_send = may_send;
	publish_entry(rs, r);
	return 0;
}

struct clv_remotes_entry *clv_remotes_close(struct clv_remotes *rs, const struct clv_tunnel *t,
					    uint64_t context_id)
{
	const struct id_key key = { .context_id = context_id, .tunnel = t->slot };
	struct clv_remotes_entry *r = at(rs, &rs->by_id, &key);

	if (!r)
		return NULL;
	clv_table_remove(&rs->by_id, &key);
	r->context_id = CLV_DGRAM_CONTEXT_NONE;
	r->may_send = false;
	publish_entry(rs, r);
	return r;
}

/* ---- figures ---- */

static void bump(uint64_t *value, uint64_t n)
{
	__atomic_store_n(value, *value + n, __ATOMIC_RELAXED);
}

void clv_remotes_count(struct clv_remotes *rs, struct clv_tunnel *t, struct clv_remotes_entry *r,
		       bool to_remote, size_t len, uint64_t now_ns)
{
	struct clv_remotes_view *v = &rs->published[r->slot].view;

	if (!to_remote)
		leave_unanswered(rs, t, r);
	bump(to_remote ? &v->to_remote_packets : &v->to_peer_packets, 1);
	bump(to_remote ? &v->to_remote_bytes : &v->to_peer_bytes, len);
	__atomic_store_n(&v->last_ns, now_ns, __ATOMIC_RELAXED);
}

uint64_t clv_remotes_last_ns(const struct clv_remotes *rs, const struct clv_remotes_entry *r)
{
	return rs->published[r->slot].view.last_ns;
}

bool clv_remotes_is_busy(struct clv_remotes *rs, const struct clv_tunnel *t,
			 const struct clv_endpoint *endpoint, uint64_t now_ns)
{
	const struct endpoint_key key = { .endpoint = *endpoint, .tunnel = t->slot };
	uint64_t hash;
	struct clv_remotes_rate *rate;

	if (!t->busy_per_sec)
		return false;
	hash = clv_hash(rs->seed, &key, sizeof(key));
	rate = &rs->rates[hash % RATES_LEN];
	if (rate->key != hash || now_ns - rate->since_ns >= CLV_SEC)
		*rate = (struct clv_remotes_rate){ .key = hash, .since_ns = now_ns };
	return ++rate->packets == t->busy_per_sec;
}
