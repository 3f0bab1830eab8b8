/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/http/deadlines.h"

#include <stddef.h>

void clv_deadlines_init(struct clv_deadlines *ds, uint64_t limit_ns, const uint64_t *now_ns)
{
	TAILQ_INIT(&ds->queue);
	ds->limit_ns = limit_ns;
	ds->now_ns = now_ns;
}

void clv_deadlines_start(struct clv_deadlines *ds, struct clv_deadline *d)
{
	d->at_ns = *ds->now_ns + ds->limit_ns;
	TAILQ_INSERT_TAIL(&ds->queue, d, link);
}

void clv_deadlines_stop(struct clv_deadlines *ds, struct clv_deadline *d)
{
	if (!d->at_ns)
		return;
	TAILQ_REMOVE(&ds->queue, d, link);
	d->at_ns = 0;
}

uint64_t clv_deadlines_next_ns(const struct clv_deadlines *ds)
{
	return TAILQ_EMPTY(&ds->queue) ? UINT64_MAX : TAILQ_FIRST(&ds->queue)->at_ns;
}

void clv_deadlines_run(struct clv_deadlines *ds)
{
	struct clv_deadline *d;

	while ((d = TAILQ_FIRST(&ds->queue)) && d->at_ns <= *ds->now_ns) {
		clv_deadlines_stop(ds, d);
		d->expired(d);
	}
}
