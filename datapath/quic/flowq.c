/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/quic/flowq.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/base/hash.h"
#include "datapath/base/timers.h"
#include "datapath/base/varint.h"

enum {
	NOWHERE = UINT8_MAX, /* the end of a list */
	QUANTUM = 1500,	     /* bytes of a tunnel's turn: a packet of any size */
	/* CoDel leaves what one packet would take alone (RFC 8289 section 4.4). */
	CODEL_LEAVES = 1500,
	/* CoDel goes on from the rate it had reached when it stopped no longer ago than this. */
	CODEL_REMEMBERS_INTERVALS = 16,
};

struct clv_flowq_item {
	struct clv_flowq_item *next;
	uint64_t since_ns;
	size_t len;
	uint8_t bytes[];
};

struct flow {
	struct clv_flowq_item *head, *tail;
	uint64_t too_long_ns;  /* CoDel: when it will have waited too long for an interval; 0: no */
	uint64_t drop_ns;      /* CoDel: time of the next drop, or of the last while not dropping */
	uint32_t drops;	       /* CoDel: since it began */
	uint32_t drops_before; /* CoDel: drops when it began last */
	uint32_t bytes;
	int32_t deficit;
	uint8_t after; /* in its list */
	bool is_dropping;
};

struct clv_flowq_table {
	uint32_t keys[CLV_FLOWQ_FLOWS];	   /* hash of the prefix */
	uint32_t tunnels[CLV_FLOWQ_FLOWS]; /* quarter stream ID */
	struct flow flows[CLV_FLOWQ_FLOWS];
};

_Static_assert(CLV_FLOWQ_FLOWS <= 32, "one bit of used for each");

/* The first place in use from one on; CLV_FLOWQ_FLOWS: there is none. */
static uint32_t used_from(const struct clv_flowq *q, uint32_t from)
{
	uint32_t rest = from < CLV_FLOWQ_FLOWS ? q->used >> from : 0;

	return rest ? from + (uint32_t)__builtin_ctz(rest) : CLV_FLOWQ_FLOWS;
}

void clv_flowq_init(struct clv_flowq *q, const struct clv_flowq_limits *limits,
		    const uint64_t seed[static 2])
{
	*q = (struct clv_flowq){
		.limits = *limits,
		.seed = { seed[0], seed[1] },
		.fresh = { NOWHERE, NOWHERE },
		.seen = { NOWHERE, NOWHERE },
	};
}

/* ---- turns ---- */

static void append(struct clv_flowq *q, struct clv_flowq_turns *turns, uint8_t i)
{
	q->table->flows[i].after = NOWHERE;
	if (turns->tail == NOWHERE)
		turns->head = i;
	else
		q->table->flows[turns->tail].after = i;
	turns->tail = i;
}

static uint8_t shift(struct clv_flowq *q, struct clv_flowq_turns *turns)
{
	uint8_t i = turns->head;

	turns->head = q->table->flows[i].after;
	if (turns->head == NOWHERE)
		turns->tail = NOWHERE;
	return i;
}

/* ---- flows ---- */

static uint32_t flows_of_tunnel(const struct clv_flowq *q, uint32_t tunnel)
{
	uint32_t n = 0;

	for (uint32_t i = used_from(q, 0); i < CLV_FLOWQ_FLOWS; i = used_from(q, i + 1))
		n += q->table->tunnels[i] == tunnel;
	return n;
}

/* Flows of one tunnel share its turn, or opening more of them would get a tunnel more. */
static int32_t quantum(const struct clv_flowq *q, uint8_t i)
{
	return (int32_t)(QUANTUM / flows_of_tunnel(q, q->table->tunnels[i]));
}

/* The place of a flow that has none and gets none: one of its tunnel's, or any. */
static uint8_t shared_place(const struct clv_flowq *q, uint32_t key, uint32_t tunnel, uint32_t mine)
{
	uint32_t nth = mine ? key % mine : 0;

	if (!mine)
		return (uint8_t)(key % CLV_FLOWQ_FLOWS);
	for (uint32_t i = used_from(q, 0); i < CLV_FLOWQ_FLOWS; i = used_from(q, i + 1))
		if (q->table->tunnels[i] == tunnel && !nth--)
			return (uint8_t)i;
	return 0; /* not reached */
}

/* Find the place of a datagram's flow, or make one. */
static uint8_t place_of(struct clv_flowq *q, const uint8_t *prefix, size_t prefix_len)
{
	struct clv_flowq_table *t = q->table;
	uint32_t key = (uint32_t)clv_hash(q->seed, prefix, prefix_len), tunnel, mine = 0;
	const uint8_t *p = prefix;
	uint64_t quarter = 0;
	uint8_t i;

	clv_varint_read(&p, prefix + prefix_len, &quarter);
	tunnel = (uint32_t)quarter;
	for (uint32_t at = used_from(q, 0); at < CLV_FLOWQ_FLOWS; at = used_from(q, at + 1)) {
		if (t->keys[at] == key && t->tunnels[at] == tunnel)
			return (uint8_t)at;
		mine += t->tunnels[at] == tunnel;
	}
	if (q->used == UINT32_MAX || mine >= CLV_FLOWQ_TUNNEL_FLOWS)
		return shared_place(q, key, tunnel, mine);
	i = (uint8_t)__builtin_ctz(~q->used);
	q->used |= UINT32_C(1) << i;
	t->keys[i] = key;
	t->tunnels[i] = tunnel;
	t->flows[i] = (struct flow){ .deficit = quantum(q, i) };
	append(q, &q->fresh, i);
	return i;
}

static struct clv_flowq_item *unlink_head(struct clv_flowq *q, struct flow *f)
{
	struct clv_flowq_item *item = f->head;

	f->head = item->next;
	f->bytes -= (uint32_t)item->len;
	q->count--;
	return item;
}

static void drop_head(struct clv_flowq *q, struct clv_pool *pool, struct flow *f)
{
	clv_pool_give(pool, unlink_head(q, f));
}

/* After some left: without datagrams there is no table. */
static void settle(struct clv_flowq *q, struct clv_pool *pool)
{
	if (q->count || !q->table)
		return;
	clv_pool_give(pool, q->table);
	clv_flowq_init(q, &q->limits, q->seed);
}

uint32_t clv_flowq_fini(struct clv_flowq *q, struct clv_pool *pool)
{
	uint32_t dropped = q->count;

	for (uint32_t i = used_from(q, 0); i < CLV_FLOWQ_FLOWS; i = used_from(q, i + 1))
		while (q->table->flows[i].head)
			drop_head(q, pool, &q->table->flows[i]);
	settle(q, pool);
	return dropped;
}

/* ---- in ---- */

static uint32_t bytes_of_tunnel(const struct clv_flowq *q, uint32_t tunnel)
{
	uint32_t n = 0;

	for (uint32_t i = used_from(q, 0); i < CLV_FLOWQ_FLOWS; i = used_from(q, i + 1))
		if (q->table->tunnels[i] == tunnel)
			n += q->table->flows[i].bytes;
	return n;
}

/* The oldest datagram of the longest tunnel's longest flow gives its buffer; NULL: none waits. */
static struct clv_flowq_item *take_from_longest(struct clv_flowq *q)
{
	struct flow *longest = NULL;
	uint32_t most = 0;

	for (uint32_t i = used_from(q, 0); i < CLV_FLOWQ_FLOWS; i = used_from(q, i + 1)) {
		struct flow *f = &q->table->flows[i];
		uint32_t bytes = bytes_of_tunnel(q, q->table->tunnels[i]);

		if (f->head &&
		    (!longest || bytes > most || (bytes == most && f->bytes > longest->bytes))) {
			longest = f;
			most = bytes;
		}
	}
	return longest ? unlink_head(q, longest) : NULL;
}

int clv_flowq_push(struct clv_flowq *q, struct clv_pool *pool, struct clv_share *share,
		   const uint8_t *prefix, size_t prefix_len, const uint8_t *payload,
		   size_t payload_len, uint64_t now_ns)
{
	struct clv_flowq_item *item = NULL;
	struct flow *f;
	int err = 0;

	if (!q->limits.packets || !pool)
		return CLV_EFULL;
	if (sizeof(*item) + prefix_len + payload_len > pool->buf_len ||
	    sizeof(*q->table) > pool->buf_len)
		return CLV_ERANGE;
	if (!q->table)
		q->table = clv_pool_take(pool, share);
	if (!q->table)
		return -ENOBUFS;
	if (q->count >= q->limits.packets)
		err = CLV_EFULL;
	else if (!(item = clv_pool_take(pool, share)))
		err = -ENOBUFS;
	if (err)
		item = take_from_longest(q);
	if (!item) {
		settle(q, pool);
		return err;
	}
	item->next = NULL;
	item->since_ns = now_ns;
	item->len = prefix_len + payload_len;
	memcpy(item->bytes, prefix, prefix_len);
	if (payload_len)
		memcpy(item->bytes + prefix_len, payload, payload_len);
	f = &q->table->flows[place_of(q, prefix, prefix_len)];
	if (f->head)
		f->tail->next = item;
	else
		f->head = item;
	f->tail = item;
	f->bytes += (uint32_t)item->len;
	q->count++;
	return err;
}

uint32_t clv_flowq_expire(struct clv_flowq *q, struct clv_pool *pool, uint64_t now_ns)
{
	uint32_t before = q->count;

	for (uint32_t i = used_from(q, 0); i < CLV_FLOWQ_FLOWS; i = used_from(q, i + 1)) {
		struct flow *f = &q->table->flows[i];

		while (f->head && now_ns >= f->head->since_ns + q->limits.sojourn_ns)
			drop_head(q, pool, f);
	}
	before -= q->count;
	settle(q, pool);
	return before;
}

/* ---- CoDel (RFC 8289) ---- */

static uint32_t square_root(uint32_t x)
{
	uint32_t root = 0;

	for (uint32_t bit = UINT32_C(1) << 15; bit; bit >>= 1)
		if ((uint64_t)(root + bit) * (root + bit) <= x)
			root += bit;
	return root;
}

/* The time from one drop to the next: an interval divided by the root of the drops so far. */
static uint64_t drop_gap(const struct clv_flowq *q, uint32_t drops)
{
	enum { FRACTION = 16 }; /* bits, of which the root has half */

	if (drops >= UINT32_C(1) << FRACTION)
		drops = (UINT32_C(1) << FRACTION) - 1;
	return (q->limits.interval_ns << FRACTION / 2) / square_root(drops << FRACTION);
}

/* Whether the flow's datagrams have all waited longer than the target for an interval. */
static bool waits_too_long(const struct clv_flowq *q, struct flow *f, uint64_t now_ns)
{
	if (!f->head || now_ns < f->head->since_ns + q->limits.target_ns ||
	    f->bytes <= CODEL_LEAVES) {
		f->too_long_ns = 0;
		return false;
	}
	if (!f->too_long_ns)
		f->too_long_ns = now_ns + q->limits.interval_ns;
	return now_ns >= f->too_long_ns;
}

static void begin_dropping(const struct clv_flowq *q, struct flow *f, uint64_t now_ns)
{
	const uint64_t remembered_ns = CODEL_REMEMBERS_INTERVALS * q->limits.interval_ns;
	uint32_t reached = f->drops - f->drops_before;

	f->is_dropping = true;
	f->drops = reached > 1 && now_ns < f->drop_ns + remembered_ns ? reached : 1;
	f->drops_before = f->drops;
	f->drop_ns = now_ns + drop_gap(q, f->drops);
}

/* Drop from the head of a flow what CoDel wants dropped. */
static void codel(struct clv_flowq *q, struct clv_pool *pool, struct flow *f, uint64_t now_ns)
{
	bool too_long;

	if (!q->limits.interval_ns)
		return;
	too_long = waits_too_long(q, f, now_ns);
	if (!f->is_dropping && too_long) {
		drop_head(q, pool, f);
		waits_too_long(q, f, now_ns);
		begin_dropping(q, f, now_ns);
		return;
	}
	f->is_dropping = f->is_dropping && too_long;
	while (f->is_dropping && now_ns >= f->drop_ns) {
		drop_head(q, pool, f);
		f->drops++;
		f->is_dropping = waits_too_long(q, f, now_ns);
		if (f->is_dropping)
			f->drop_ns += drop_gap(q, f->drops);
	}
}

/* ---- out ---- */

/* A flow that is empty leaves; one that never waited its turn waits it now, or it would come back
 * as a new one at once (RFC 8290 section 4.2). */
static void leave(struct clv_flowq *q, struct clv_flowq_turns *turns)
{
	uint8_t i = shift(q, turns);

	if (turns == &q->fresh && q->seen.head != NOWHERE)
		append(q, &q->seen, i);
	else
		q->used &= ~(UINT32_C(1) << i);
}

bool clv_flowq_next(struct clv_flowq *q, struct clv_pool *pool, uint64_t now_ns,
		    const uint8_t **data, size_t *len, uint32_t *dropped)
{
	uint32_t before = q->count;
	struct flow *f = NULL;

	while (q->count) {
		struct clv_flowq_turns *turns = q->fresh.head != NOWHERE ? &q->fresh : &q->seen;

		q->current = turns->head;
		f = &q->table->flows[q->current];
		if (f->deficit <= 0) {
			f->deficit += quantum(q, q->current);
			append(q, &q->seen, shift(q, turns));
			continue;
		}
		codel(q, pool, f, now_ns);
		if (f->head)
			break;
		leave(q, turns);
	}
	*dropped = before - q->count;
	settle(q, pool);
	if (!q->count)
		return false;
	*data = f->head->bytes;
	*len = f->head->len;
	return true;
}

void clv_flowq_pop(struct clv_flowq *q, struct clv_pool *pool)
{
	struct flow *f = &q->table->flows[q->current];

	f->deficit -= (int32_t)f->head->len;
	drop_head(q, pool, f);
	settle(q, pool);
}

uint64_t clv_flowq_next_ns(const struct clv_flowq *q)
{
	uint64_t at = CLV_TIMER_NEVER;

	for (uint32_t i = used_from(q, 0); i < CLV_FLOWQ_FLOWS; i = used_from(q, i + 1)) {
		const struct flow *f = &q->table->flows[i];

		if (f->head && f->head->since_ns + q->limits.sojourn_ns < at)
			at = f->head->since_ns + q->limits.sojourn_ns;
	}
	return at;
}
