/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/masque/contexts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/masque/id_runs.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/table.h"
#include "datapath/base/varint.h"
#include "datapath/quic/dgram.h"

enum {
	SLOTS_FIRST = 16, /* room for contexts at first; doubled up to open_max */
	MARKS_FIRST = 16, /* the same for unacked responses */
};

struct clv_contexts {
	struct clv_contexts_params p;
	bool has_target;
	struct clv_endpoint target;
	bool is_even; /* parity of the IDs we open */
	uint64_t next_id;

	struct clv_contexts_entry **slots; /* parallel to the tables' values; NULL: free */
	uint32_t *free;			   /* stack of free slots */
	uint32_t slots_len, free_len;
	uint32_t count, ours;
	struct clv_table by_id;	    /* ID -> slot */
	struct clv_table by_remote; /* endpoint -> slot; not the uncompressed one */
	struct clv_contexts_entry *uncompressed;

	struct clv_id_runs used; /* the peer's IDs, open or closed; ID / 2 */

	uint64_t *marks; /* ring: offsets after responses not acknowledged yet, oldest first */
	uint32_t marks_first, marks_len, marks_room;
};

static void count(struct clv_contexts *m, enum clv_counter which)
{
	clv_count(m->p.counters, which);
}

static bool is_even(uint64_t id)
{
	return (id & 1) == 0;
}

/* ---- storage ---- */

static int make_room(struct clv_contexts *m, struct clv_table *t, size_t key_len, uint32_t room)
{
	return m->slots_len ? clv_table_grow(t, room) : clv_table_init(t, key_len, room, m->p.seed);
}

/* Make room for more contexts.  Nothing is lost when it fails. */
static int grow_slots(struct clv_contexts *m)
{
	uint32_t max = m->p.limits.open_max;
	uint32_t room = m->slots_len ? m->slots_len : SLOTS_FIRST / 2;
	struct clv_contexts_entry **slots;
	uint32_t *free_slots;

	room = room > max / 2 ? max : room * 2;
	slots = realloc(m->slots, room * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	m->slots = slots;
	free_slots = realloc(m->free, room * sizeof(*free_slots));
	if (!free_slots)
		return -ENOMEM;
	m->free = free_slots;
	if (make_room(m, &m->by_id, sizeof(uint64_t), room))
		return -ENOMEM;
	if (make_room(m, &m->by_remote, sizeof(struct clv_endpoint), room)) {
		if (!m->slots_len)
			clv_table_fini(&m->by_id);
		return -ENOMEM;
	}
	while (m->slots_len < room) {
		m->slots[m->slots_len] = NULL;
		m->free[m->free_len++] = m->slots_len++;
	}
	return 0;
}

/* Add a context; the caller has checked open_max. */
static int add_entry(struct clv_contexts *m, uint64_t id, const struct clv_endpoint *remote,
		     bool is_ours, struct clv_contexts_entry **out)
{
	struct clv_contexts_entry *e;
	uint32_t slot;
	int err = m->free_len ? 0 : grow_slots(m);

	if (err)
		return err;
	e = malloc(sizeof(*e));
	if (!e)
		return -ENOMEM;
	*e = (struct clv_contexts_entry){
		.id = id,
		.is_uncompressed = !remote,
		.is_ours = is_ours,
		.is_acked = !is_ours,
	};
	slot = m->free[--m->free_len];
	m->slots[slot] = e;
	clv_table_insert(&m->by_id, &e->id, slot);
	if (remote) {
		e->remote = *remote;
		clv_table_insert(&m->by_remote, &e->remote, slot);
	} else {
		m->uncompressed = e;
	}
	m->count++;
	m->ours += is_ours;
	*out = e;
	return 0;
}

static struct clv_contexts_entry *find(const struct clv_contexts *m, const struct clv_table *t,
				       const void *key)
{
	uint64_t slot;

	return clv_table_find(t, key, &slot) ? m->slots[slot] : NULL;
}

static void remove_entry(struct clv_contexts *m, struct clv_contexts_entry *e)
{
	uint64_t slot = 0;

	clv_table_find(&m->by_id, &e->id, &slot);
	clv_table_remove(&m->by_id, &e->id);
	if (e->is_uncompressed)
		m->uncompressed = NULL;
	else
		clv_table_remove(&m->by_remote, &e->remote);
	m->slots[slot] = NULL;
	m->free[m->free_len++] = (uint32_t)slot;
	m->count--;
	m->ours -= e->is_ours;
	free(e);
}

/* ---- what we send ---- */

static int grow_marks(struct clv_contexts *m)
{
	uint32_t max = m->p.limits.unacked_max;
	uint32_t room = m->marks_room ? m->marks_room : MARKS_FIRST / 2;
	uint64_t *marks;

	room = room > max / 2 ? max : room * 2;
	marks = malloc(room * sizeof(*marks));
	if (!marks)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->marks_len; i++)
		marks[i] = m->marks[(m->marks_first + i) % m->marks_room];
	free(m->marks);
	m->marks = marks;
	m->marks_room = room;
	m->marks_first = 0;
	return 0;
}

static int send_id(struct clv_contexts *m, enum clv_capsule_type type, uint64_t id, uint64_t *mark)
{
	uint8_t capsule[CLV_CAPSULE_CONTEXT_MAX];
	size_t len = clv_capsule_encode_context_id(type, id, capsule);

	return m->p.ops->send(m->p.user, capsule, len, mark);
}

/*
 * Respond to an ASSIGN.  Responses pile up when a peer registers without reading them (draft section
 * 3.1), so they are limited.  A CLOSE on our own initiative needs no limit: its context was open.
 */
static int respond(struct clv_contexts *m, enum clv_capsule_type type, uint64_t id)
{
	uint64_t mark = 0;
	int err;

	if (m->marks_len >= m->p.limits.unacked_max) {
		count(m, CLV_COUNT_CONTEXT_ABORT_ANSWERS);
		return CLV_EFULL;
	}
	err = m->marks_len < m->marks_room ? 0 : grow_marks(m);
	if (!err)
		err = send_id(m, type, id, &mark);
	if (err)
		return err;
	m->marks[(m->marks_first + m->marks_len) % m->marks_room] = mark;
	m->marks_len++;
	return 0;
}

void clv_contexts_delivered(struct clv_contexts *m, uint64_t mark)
{
	while (m->marks_len && m->marks[m->marks_first] <= mark) {
		m->marks_first = (m->marks_first + 1) % m->marks_room;
		m->marks_len--;
	}
}

/* Remove an open context, then send the CLOSE. */
static int close_entry(struct clv_contexts *m, struct clv_contexts_entry *e)
{
	uint64_t id = e->id, mark;

	m->p.ops->close(m->p.user, e);
	remove_entry(m, e);
	count(m, CLV_COUNT_CONTEXTS_CLOSED);
	return send_id(m, CLV_CAPSULE_COMPRESSION_CLOSE, id, &mark);
}

/* ---- capsules of the peer ---- */

static int refuse(struct clv_contexts *m, uint64_t id, enum clv_counter why)
{
	count(m, why);
	return respond(m, CLV_CAPSULE_COMPRESSION_CLOSE, id);
}

static enum clv_counter refusal_of(int err)
{
	switch (err) {
	case CLV_EDENIED:
		return CLV_COUNT_CONTEXT_REFUSED_POLICY;
	case CLV_EUNROUTABLE:
		return CLV_COUNT_CONTEXT_REFUSED_FAMILY;
	case CLV_EFULL:
		return CLV_COUNT_CONTEXT_REFUSED_FULL;
	default:
		return CLV_COUNT_CONTEXT_REFUSED_ERROR;
	}
}

/* Whether a remote can have a context of its own. */
static bool is_usable(const struct clv_contexts *m, const struct clv_endpoint *remote)
{
	if (remote->port == 0 || clv_addr_is_any(remote->addr))
		return false;
	/* The target has Context ID 0, which no capsule can close. */
	return !(m->has_target && clv_endpoint_equal(remote, &m->target));
}

/* Add the mapping, and only then acknowledge it. */
static int accept_assign(struct clv_contexts *m, uint64_t id, const struct clv_endpoint *remote)
{
	struct clv_contexts_entry *e;
	int err = add_entry(m, id, remote, false, &e);

	if (err)
		return err;
	err = m->p.ops->open(m->p.user, e);
	if (err) {
		remove_entry(m, e);
		return refuse(m, id, refusal_of(err));
	}
	count(m, CLV_COUNT_CONTEXTS_OPENED);
	return respond(m, CLV_CAPSULE_COMPRESSION_ACK, id);
}

/* Both sides opened a context for one remote: the relay's is closed (draft section 3). */
static int on_crossing(struct clv_contexts *m, struct clv_contexts_entry *ours, uint64_t id,
		       const struct clv_endpoint *remote)
{
	int err;

	count(m, CLV_COUNT_CONTEXTS_CROSSED);
	if (m->p.role == CLV_CONTEXTS_CLIENT)
		return respond(m, CLV_CAPSULE_COMPRESSION_CLOSE, id);
	err = close_entry(m, ours);
	return err ? err : accept_assign(m, id, remote);
}

/* What makes an ASSIGN malformed, beyond its bytes. */
static int check_assign(const struct clv_contexts *m, const struct clv_capsule_assign *a)
{
	const struct clv_contexts_entry *e;

	if (is_even(a->context_id) == m->is_even || clv_id_runs_has(&m->used, a->context_id / 2))
		return CLV_EPROTO;
	if (a->ip_version == 0)
		return m->p.role == CLV_CONTEXTS_CLIENT || m->uncompressed ? CLV_EPROTO : 0;
	e = clv_contexts_by_remote(m, &a->remote);
	return e && !e->is_ours ? CLV_EPROTO : 0;
}

static int on_assign(struct clv_contexts *m, const uint8_t *value, size_t len, uint64_t now_ns)
{
	struct clv_contexts_entry *ours;
	struct clv_capsule_assign a;
	int err = clv_capsule_decode_assign(value, len, &a);

	if (!err && a.ip_version == 6 && clv_addr_is_v4(a.remote.addr)) {
		/* An IPv4-mapped address must not match an IPv4 remote: replace it by one that no
		 * entry can have. */
		memset(a.remote.addr, 0, sizeof(a.remote.addr));
	}
	if (!err)
		err = check_assign(m, &a);
	if (err)
		return err;
	err = clv_id_runs_add(&m->used, a.context_id / 2, m->p.limits.id_gaps_max);
	if (err) {
		if (err == CLV_EFULL)
			count(m, CLV_COUNT_CONTEXT_ABORT_GAPS);
		return err;
	}
	if (m->p.rate && !clv_bucket_take(m->p.rate, now_ns))
		return refuse(m, a.context_id, CLV_COUNT_CONTEXT_REFUSED_RATE);
	/* These IDs are of our path MTU probes. */
	if (a.context_id >= CLV_DGRAM_CONTEXT_PROBE_CLIENT)
		return refuse(m, a.context_id, CLV_COUNT_CONTEXT_REFUSED_ERROR);
	if (a.ip_version != 0 && !is_usable(m, &a.remote))
		return refuse(m, a.context_id, CLV_COUNT_CONTEXT_REFUSED_ADDRESS);
	ours = a.ip_version ? find(m, &m->by_remote, &a.remote) : NULL;
	if (ours)
		return on_crossing(m, ours, a.context_id, &a.remote);
	if (m->count >= m->p.limits.open_max)
		return refuse(m, a.context_id, CLV_COUNT_CONTEXT_REFUSED_FULL);
	return accept_assign(m, a.context_id, a.ip_version ? &a.remote : NULL);
}

static int on_ack(struct clv_contexts *m, const uint8_t *value, size_t len)
{
	struct clv_contexts_entry *e;
	uint64_t id;
	int err = clv_capsule_decode_context_id(value, len, &id);

	if (err)
		return err;
	if (is_even(id) != m->is_even || id >= m->next_id)
		return CLV_EPROTO;
	/* If it is closed, the ACK crossed our CLOSE. */
	e = find(m, &m->by_id, &id);
	if (e && !e->is_acked) {
		e->is_acked = true;
		m->p.ops->acked(m->p.user, e);
	}
	return 0;
}

static int on_close(struct clv_contexts *m, const uint8_t *value, size_t len)
{
	struct clv_contexts_entry *e;
	uint64_t id;
	int err = clv_capsule_decode_context_id(value, len, &id);

	if (err)
		return err;
	e = find(m, &m->by_id, &id);
	if (!e)
		return 0;
	count(m,
	      e->is_ours && !e->is_acked ? CLV_COUNT_CONTEXTS_REJECTED : CLV_COUNT_CONTEXTS_CLOSED);
	m->p.ops->close(m->p.user, e);
	remove_entry(m, e);
	return 0;
}

int clv_contexts_capsule(struct clv_contexts *m, enum clv_capsule_type type, const uint8_t *value,
			 size_t len, uint64_t now_ns)
{
	int err;

	switch (type) {
	case CLV_CAPSULE_COMPRESSION_ASSIGN:
		err = on_assign(m, value, len, now_ns);
		break;
	case CLV_CAPSULE_COMPRESSION_ACK:
		err = on_ack(m, value, len);
		break;
	case CLV_CAPSULE_COMPRESSION_CLOSE:
		err = on_close(m, value, len);
		break;
	default:
		return 0;
	}
	if (err == CLV_EPROTO)
		count(m, CLV_COUNT_CONTEXT_ABORT_MALFORMED);
	return err;
}

/* ---- contexts of our own ---- */

static int may_open(const struct clv_contexts *m, const struct clv_endpoint *remote)
{
	bool is_relay = m->p.role == CLV_CONTEXTS_RELAY;

	if (is_relay && (!remote || !m->uncompressed))
		return CLV_EDENIED;
	if (remote ? !is_usable(m, remote) || clv_contexts_by_remote(m, remote)
		   : m->uncompressed != NULL)
		return CLV_ERANGE;
	if (m->count >= m->p.limits.open_max || m->next_id > CLV_VARINT_MAX)
		return CLV_EFULL;
	/* Unknown sources make the relay open contexts; half of the room is the client's. */
	if (is_relay && m->ours >= m->p.limits.open_max / 2)
		return CLV_EFULL;
	return 0;
}

int clv_contexts_open(struct clv_contexts *m, const struct clv_endpoint *remote, uint64_t *id)
{
	uint8_t capsule[CLV_CAPSULE_CONTEXT_MAX];
	struct clv_contexts_entry *e;
	uint64_t mark, new_id = m->next_id;
	int err = may_open(m, remote);

	if (err)
		return err;
	err = add_entry(m, new_id, remote, true, &e);
	if (err)
		return err;
	err = m->p.ops->open(m->p.user, e);
	if (err) {
		remove_entry(m, e);
		return err;
	}
	m->next_id += 2;
	err = m->p.ops->send(m->p.user, capsule, clv_capsule_encode_assign(new_id, remote, capsule),
			     &mark);
	if (err) {
		m->p.ops->close(m->p.user, e);
		remove_entry(m, e);
		return err;
	}
	count(m, CLV_COUNT_CONTEXTS_OFFERED);
	if (id)
		*id = new_id;
	return 0;
}

int clv_contexts_close(struct clv_contexts *m, uint64_t id)
{
	struct clv_contexts_entry *e = find(m, &m->by_id, &id);

	return e ? close_entry(m, e) : 0;
}

/* ---- the manager ---- */

int clv_contexts_new(const struct clv_contexts_params *params, struct clv_contexts **out)
{
	struct clv_contexts *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->p = *params;
	m->is_even = params->role == CLV_CONTEXTS_CLIENT;
	m->next_id = m->is_even ? 2 : 1;
	if (params->target) {
		m->has_target = true;
		m->target = *params->target;
		m->p.target = NULL; /* the caller's */
	}
	if (grow_slots(m) < 0) {
		clv_contexts_free(m);
		return -ENOMEM;
	}
	*out = m;
	return 0;
}

void clv_contexts_free(struct clv_contexts *m)
{
	if (!m)
		return;
	for (uint32_t i = 0; i < m->slots_len; i++)
		free(m->slots[i]);
	free(m->slots);
	free(m->free);
	clv_id_runs_fini(&m->used);
	free(m->marks);
	clv_table_fini(&m->by_id);
	clv_table_fini(&m->by_remote);
	free(m);
}

const struct clv_contexts_entry *clv_contexts_by_id(const struct clv_contexts *m, uint64_t id)
{
	return find(m, &m->by_id, &id);
}

const struct clv_contexts_entry *clv_contexts_by_remote(const struct clv_contexts *m,
							const struct clv_endpoint *remote)
{
	return find(m, &m->by_remote, remote);
}

const struct clv_contexts_entry *clv_contexts_uncompressed(const struct clv_contexts *m)
{
	return m->uncompressed;
}

uint32_t clv_contexts_count(const struct clv_contexts *m)
{
	return m->count;
}

enum clv_contexts_verdict clv_contexts_classify(const struct clv_contexts *m, uint64_t id)
{
	bool is_used;

	if (id == 0)
		return m->has_target ? CLV_CONTEXTS_ZERO : CLV_CONTEXTS_ABORT;
	if (clv_table_find(&m->by_id, &id, NULL))
		return CLV_CONTEXTS_OPEN;
	is_used = is_even(id) == m->is_even ? id < m->next_id : clv_id_runs_has(&m->used, id / 2);
	return is_used ? CLV_CONTEXTS_CLOSED : CLV_CONTEXTS_UNKNOWN;
}
