/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/early.h"

#include <stdlib.h>
#include <string.h>

enum clv_early_result clv_early_keep(struct clv_early *q, enum clv_capsule_type type,
				     const uint8_t *value, size_t len)
{
	struct clv_early_capsule *c;

	if (q->bytes + len > CLV_EARLY_BYTES_MAX)
		return CLV_EARLY_FULL;
	if (!clv_budget_take(q->holder, sizeof(*c) + len))
		return CLV_EARLY_BUDGET;
	c = malloc(sizeof(*c) + len);
	if (!c) {
		clv_budget_give(q->holder, sizeof(*c) + len);
		return CLV_EARLY_FULL;
	}
	c->next = NULL;
	c->type = type;
	c->len = len;
	memcpy(c->value, value, len);
	if (q->last)
		q->last->next = c;
	else
		q->first = c;
	q->last = c;
	/* Our header counts too, so that empty payloads do not come for free. */
	q->bytes += sizeof(*c) + len;
	return CLV_EARLY_KEPT;
}

struct clv_early_capsule *clv_early_take(struct clv_early *q)
{
	struct clv_early_capsule *c = q->first;

	if (!c)
		return NULL;
	q->first = c->next;
	if (!q->first)
		q->last = NULL;
	q->bytes -= sizeof(*c) + c->len;
	return c;
}

void clv_early_free(struct clv_early *q, struct clv_early_capsule *c)
{
	clv_budget_give(q->holder, sizeof(*c) + c->len);
	free(c);
}
