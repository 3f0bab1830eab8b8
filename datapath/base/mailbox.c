/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/mailbox.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath/base/err.h"

enum { LINE = 64 };

/* A record that the ring had no room for. */
struct waiting {
	struct waiting *next;
	struct clv_budget_holder *holder; /* charged for it; NULL: nobody */
	uint32_t type;
	size_t len;
	uint8_t body[];
};

struct clv_mailbox {
	struct clv_spsc *ring;
	int wake_fd;

	/* Of the sender. */
	_Alignas(LINE) struct waiting *first, **end;
	size_t backlog;		     /* bytes of bodies in the list */
	uint32_t woken;		     /* value of naps the receiver was last woken from */
	bool unannounced;	     /* the ring got records since the last flush */
	_Atomic(uint32_t) announced; /* counts flushes that added records */

	/* Of the receiver.  Odd while it is asleep or about to be; counts, so that one nap gets one
	 * wake-up however often the sender flushes meanwhile. */
	_Alignas(LINE) _Atomic(uint32_t) naps;
};

struct clv_mailbox *clv_mailbox_new(size_t ring_bytes, int wake_fd)
{
	struct clv_mailbox *mb = aligned_alloc(LINE, sizeof(*mb));

	if (!mb)
		return NULL;
	*mb = (struct clv_mailbox){ .ring = clv_spsc_new(ring_bytes), .wake_fd = wake_fd };
	if (!mb->ring) {
		free(mb);
		return NULL;
	}
	mb->end = &mb->first;
	return mb;
}

void clv_mailbox_free(struct clv_mailbox *mb)
{
	struct waiting *w;

	if (!mb)
		return;
	while ((w = mb->first)) {
		mb->first = w->next;
		free(w);
	}
	clv_spsc_free(mb->ring);
	free(mb);
}

static void join(uint8_t *to, const void *head, size_t head_len, const void *tail, size_t tail_len)
{
	if (head_len)
		memcpy(to, head, head_len);
	if (tail_len)
		memcpy(to + head_len, tail, tail_len);
}

static bool send_now(struct clv_mailbox *mb, uint32_t type, const void *head, size_t head_len,
		     const void *tail, size_t tail_len)
{
	uint8_t *body = clv_spsc_reserve(mb->ring, type, head_len + tail_len);

	if (!body)
		return false;
	join(body, head, head_len, tail, tail_len);
	clv_spsc_commit(mb->ring);
	mb->unannounced = true;
	return true;
}

/* Returns whether the list is empty now. */
static bool move_list(struct clv_mailbox *mb)
{
	struct waiting *w;

	while ((w = mb->first)) {
		if (!send_now(mb, w->type, w->body, w->len, NULL, 0))
			return false;
		mb->backlog -= w->len;
		clv_budget_give(w->holder, sizeof(*w) + w->len);
		mb->first = w->next;
		free(w);
	}
	mb->end = &mb->first;
	return true;
}

int clv_mailbox_send_for(struct clv_mailbox *mb, struct clv_budget_holder *holder, uint32_t type,
			 const void *head, size_t head_len, const void *tail, size_t tail_len)
{
	size_t len = head_len + tail_len;
	struct waiting *w;

	if (head_len > clv_spsc_body_max(mb->ring) ||
	    tail_len > clv_spsc_body_max(mb->ring) - head_len)
		return CLV_ERANGE;
	if (move_list(mb) && send_now(mb, type, head, head_len, tail, tail_len))
		return 0;

	w = malloc(sizeof(*w) + len);
	if (!w)
		return -ENOMEM;
	*w = (struct waiting){ .holder = holder, .type = type, .len = len };
	join(w->body, head, head_len, tail, tail_len);
	*mb->end = w;
	mb->end = &w->next;
	mb->backlog += len;
	clv_budget_charge(holder, sizeof(*w) + len);
	return 0;
}

int clv_mailbox_send(struct clv_mailbox *mb, uint32_t type, const void *head, size_t head_len,
		     const void *tail, size_t tail_len)
{
	return clv_mailbox_send_for(mb, NULL, type, head, head_len, tail, tail_len);
}

void clv_mailbox_disown(struct clv_mailbox *mb, struct clv_budget_holder *holder)
{
	for (struct waiting *w = mb->first; w; w = w->next) {
		if (w->holder != holder)
			continue;
		clv_budget_give(holder, sizeof(*w) + w->len);
		w->holder = NULL;
	}
}

/*
 * Either the receiver sees our records before it sleeps, or we see that it sleeps: each side first
 * stores its own word, then loads the other's, all four in one order (memory_order_seq_cst).
 */
static void announce(struct clv_mailbox *mb)
{
	static const uint64_t one = 1;
	uint32_t announced = atomic_load_explicit(&mb->announced, memory_order_relaxed), naps;
	ssize_t written;

	atomic_store(&mb->announced, announced + 1);
	naps = atomic_load(&mb->naps);
	if (naps % 2 == 0 || naps == mb->woken)
		return;
	mb->woken = naps;
	if (mb->wake_fd < 0)
		return;
	written = write(mb->wake_fd, &one, sizeof(one));
	(void)written; /* EAGAIN: the descriptor is readable already, which is all we want */
}

bool clv_mailbox_flush(struct clv_mailbox *mb)
{
	bool waits = !move_list(mb);

	if (mb->unannounced) {
		mb->unannounced = false;
		announce(mb);
	}
	return waits;
}

size_t clv_mailbox_backlog(const struct clv_mailbox *mb)
{
	return mb->backlog;
}

static void set_napping(struct clv_mailbox *mb, bool napping)
{
	uint32_t naps = atomic_load_explicit(&mb->naps, memory_order_relaxed);

	if (naps % 2 != napping)
		atomic_store(&mb->naps, naps + 1);
}

bool clv_mailbox_peek(struct clv_mailbox *mb, struct clv_record *out)
{
	set_napping(mb, false);
	return clv_spsc_peek(mb->ring, out);
}

void clv_mailbox_release(struct clv_mailbox *mb)
{
	clv_spsc_release(mb->ring);
}

bool clv_mailbox_may_sleep(struct clv_mailbox *mb)
{
	set_napping(mb, true);
	(void)atomic_load(&mb->announced); /* for its place in the order, not for its value */
	if (clv_spsc_is_empty(mb->ring))
		return true;
	set_napping(mb, false);
	return false;
}
