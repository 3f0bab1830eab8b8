/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/core/state.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <stdlib.h>

enum {
	DATAGRAM_SHARES = 8, /* one session's part of the datagrams that wait for a worker */
};

/* ---- slots ---- */

static int slots_init(struct slots *s, uint32_t max)
{
	*s = (struct slots){ .max = max };
	s->free = calloc(max, sizeof(*s->free));
	s->generation = calloc(max, sizeof(*s->generation));
	if (!s->free || !s->generation)
		return -ENOMEM;
	while (s->free_len < max) { /* the lowest on top */
		s->free[s->free_len] = max - 1 - s->free_len;
		s->free_len++;
	}
	return 0;
}

static void slots_fini(struct slots *s)
{
	free(s->free);
	free(s->generation);
}

int slots_take(struct slots *s, struct clv_ref *ref)
{
	if (!s->free_len)
		return CLV_EFULL;
	ref->slot = s->free[--s->free_len];
	ref->generation = ++s->generation[ref->slot];
	return 0;
}

void slots_give(struct slots *s, uint32_t slot)
{
	s->free[s->free_len++] = slot;
}

/* ---- workers ---- */

int workers_open(struct clv_control *c)
{
	const struct clv_control_params *p = &c->p;

	c->workers = calloc(p->workers_len, sizeof(*c->workers));
	if (!c->workers)
		return -ENOMEM;
	for (uint16_t i = 0; i < p->workers_len; i++) {
		struct worker_side *side = &c->workers[i];

		side->w = p->workers[i];
		side->sessions = calloc(p->limits.conns_max, sizeof(*side->sessions));
		side->tunnels = calloc(p->limits.tunnels_max, sizeof(*side->tunnels));
		if (!side->sessions || !side->tunnels ||
		    slots_init(&side->conn_slots, p->limits.conns_max) ||
		    slots_init(&side->tunnel_slots, p->limits.tunnels_max))
			return -ENOMEM;
	}
	return 0;
}

void workers_close(struct clv_control *c)
{
	for (uint16_t i = 0; c->workers && i < c->p.workers_len; i++) {
		struct worker_side *side = &c->workers[i];

		slots_fini(&side->tunnel_slots);
		slots_fini(&side->conn_slots);
		free(side->tunnels);
		free(side->sessions);
	}
	free(c->workers);
}

void workers_send(struct clv_control *c, uint16_t worker, enum clv_command type, const void *head,
		  size_t head_len, const void *tail, size_t tail_len)
{
	if (clv_mailbox_send(c->workers[worker].w.commands, type, head, head_len, tail, tail_len))
		clv_count(&c->counters, CLV_COUNT_EVENT_NOMEM);
}

void workers_send_for(struct clv_control *c, struct clv_session *s, enum clv_command type,
		      const void *head, size_t head_len, const void *tail, size_t tail_len)
{
	if (clv_mailbox_send_for(c->workers[s->ref.worker].w.commands, &s->held, type, head,
				 head_len, tail, tail_len))
		clv_count(&c->counters, CLV_COUNT_EVENT_NOMEM);
}

uint64_t workers_datagrams_max(const struct clv_control *c)
{
	return c->budget.max / 4;
}

void workers_send_datagram(struct clv_control *c, struct clv_session *s, enum clv_command type,
			   const void *head, size_t head_len, const void *tail, size_t tail_len)
{
	const size_t waiting = clv_mailbox_backlog(c->workers[s->ref.worker].w.commands);
	const uint64_t max = workers_datagrams_max(c), share = max / DATAGRAM_SHARES;
	const size_t len = head_len + tail_len;

	/* What fits the ring does not wait. */
	if (waiting && (waiting + len > max || s->held.used + len > share))
		clv_count(&c->counters, CLV_COUNT_DROP_WORKER_BUSY);
	else
		workers_send_for(c, s, type, head, head_len, tail, tail_len);
}

void workers_broadcast(struct clv_control *c, enum clv_command type, const void *body, size_t len)
{
	for (uint16_t i = 0; i < c->p.workers_len; i++)
		workers_send(c, i, type, body, len, NULL, 0);
}

void workers_flush(struct clv_control *c)
{
	for (uint16_t i = 0; i < c->p.workers_len; i++)
		clv_mailbox_flush(c->workers[i].w.commands);
}
