/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/io/handoff.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath/base/spsc.h"

enum {
	RECORD_TYPE = 1,
};

/* Body of a record: this, then the payload. */
struct record {
	struct clv_rx rx; /* payload pointer meaningless until it is peeked */
};

/* One worker as an owner; a cache line of its own, since all others read is_asleep. */
struct owner {
	_Alignas(64) uint32_t is_asleep; /* written by the owner, cleared by its waker */
	int wake_fd;
	uint16_t next_sender;	/* owner only: whose turn it is */
	uint16_t peeked_sender; /* owner only: whose record is lent */
	bool is_lent;		/* owner only */
};

/* What one worker sent since its flush: a bit for each owner. */
struct sender {
	_Alignas(64) uint64_t sent_to;
};
_Static_assert(CLV_WORKERS_MAX <= 64, "a bit for each worker");

struct clv_handoff {
	uint16_t workers;
	struct owner owners[CLV_WORKERS_MAX];
	struct sender senders[CLV_WORKERS_MAX];
	struct clv_spsc *rings[]; /* [from * workers + to]; NULL on the diagonal */
};

static struct clv_spsc *ring_of(const struct clv_handoff *h, uint16_t from, uint16_t to)
{
	return h->rings[(size_t)from * h->workers + to];
}

struct clv_handoff *clv_handoff_new(uint16_t workers, size_t ring_bytes, const int *wake_fds)
{
	size_t count = (size_t)workers * workers, i;
	struct clv_handoff *h;

	if (!workers || workers > CLV_WORKERS_MAX)
		return NULL;
	if (posix_memalign((void **)&h, 64, sizeof(*h) + count * sizeof(h->rings[0])))
		return NULL;
	memset(h, 0, sizeof(*h) + count * sizeof(h->rings[0]));
	h->workers = workers;
	for (i = 0; i < workers; i++)
		h->owners[i].wake_fd = wake_fds[i];
	/* A record may be a quarter of its ring. */
	if (ring_bytes < 4 * (CLV_HANDOFF_PAYLOAD_MAX + sizeof(struct record)))
		ring_bytes = 4 * (CLV_HANDOFF_PAYLOAD_MAX + sizeof(struct record));
	for (i = 0; i < count; i++) {
		if (i / workers == i % workers)
			continue;
		h->rings[i] = clv_spsc_new(ring_bytes);
		if (!h->rings[i]) {
			clv_handoff_free(h);
			return NULL;
		}
	}
	return h;
}

void clv_handoff_free(struct clv_handoff *h)
{
	size_t i;

	if (!h)
		return;
	for (i = 0; i < (size_t)h->workers * h->workers; i++)
		clv_spsc_free(h->rings[i]);
	free(h);
}

bool clv_handoff_send(struct clv_handoff *h, uint16_t from, uint16_t to, const struct clv_rx *rx,
		      struct clv_worker_counters *counters)
{
	struct record *record = NULL;

	assert(from < h->workers && to < h->workers && from != to);
	if (rx->payload_len <= CLV_HANDOFF_PAYLOAD_MAX)
		record = clv_spsc_reserve(ring_of(h, from, to), RECORD_TYPE,
					  sizeof(*record) + rx->payload_len);
	if (!record) {
		clv_count(counters, CLV_COUNT_DROP_HANDOFF_FULL);
		return false;
	}
	record->rx = *rx;
	memcpy(record + 1, rx->payload, rx->payload_len);
	clv_spsc_commit(ring_of(h, from, to));
	h->senders[from].sent_to |= UINT64_C(1) << to;
	clv_count(counters, CLV_COUNT_HANDOFF_OUT);
	return true;
}

static void wake(struct owner *owner)
{
	const uint64_t one = 1;

	/* Two senders may both do this: the second write finds a worker awake, and costs nothing. */
	if (!__atomic_load_n(&owner->is_asleep, __ATOMIC_RELAXED))
		return;
	__atomic_store_n(&owner->is_asleep, 0, __ATOMIC_RELAXED);
	if (owner->wake_fd >= 0 && write(owner->wake_fd, &one, sizeof(one)) < 0)
		return; /* only when the count is at its end: then it is readable already */
}

void clv_handoff_flush(struct clv_handoff *h, uint16_t from)
{
	uint64_t todo = h->senders[from].sent_to;

	if (!todo)
		return;
	h->senders[from].sent_to = 0;
	/*
	 * Pairs with the fence in may_sleep: either we see the owner asleep, or it sees the record
	 * we committed before.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (; todo; todo &= todo - 1)
		wake(&h->owners[__builtin_ctzll(todo)]);
}

bool clv_handoff_peek(struct clv_handoff *h, uint16_t me, struct clv_rx *out)
{
	struct owner *owner = &h->owners[me];
	struct clv_record found;
	uint16_t turns, sender = owner->next_sender;

	assert(!owner->is_lent);
	if (__atomic_load_n(&owner->is_asleep, __ATOMIC_RELAXED))
		__atomic_store_n(&owner->is_asleep, 0, __ATOMIC_RELAXED);
	for (turns = 0; turns < h->workers; turns++) {
		uint16_t at = sender;
		struct clv_spsc *ring = ring_of(h, at, me);

		sender = sender + 1 < h->workers ? sender + 1 : 0;
		if (!ring || !clv_spsc_peek(ring, &found))
			continue;
		*out = ((const struct record *)found.body)->rx;
		/* The bytes are in our ring and ours to overwrite until release. */
		out->payload = (uint8_t *)(uintptr_t)found.body + sizeof(struct record);
		owner->next_sender = sender;
		owner->peeked_sender = at;
		owner->is_lent = true;
		return true;
	}
	return false;
}

void clv_handoff_release(struct clv_handoff *h, uint16_t me)
{
	struct owner *owner = &h->owners[me];

	assert(owner->is_lent);
	clv_spsc_release(ring_of(h, owner->peeked_sender, me));
	owner->is_lent = false;
}

bool clv_handoff_may_sleep(struct clv_handoff *h, uint16_t me)
{
	struct owner *owner = &h->owners[me];
	uint16_t from;

	__atomic_store_n(&owner->is_asleep, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (from = 0; from < h->workers; from++) {
		const struct clv_spsc *ring = ring_of(h, from, me);

		if (ring && !clv_spsc_is_empty(ring)) {
			__atomic_store_n(&owner->is_asleep, 0, __ATOMIC_RELAXED);
			return false;
		}
	}
	return true;
}
