/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/core/state.h"

static void give_up(struct clv_session *s, enum clv_counter which)
{
	clv_count(&s->control->counters, which);
	clv_session_close(s, true, s->app_ops->overload_code, "too many bytes wait");
	if (s->state == SESSION_HANDSHAKE)
		handshake_pump(s); /* frees it */
	else if (s->app_ops->given_up)
		s->app_ops->given_up(s->app, s);
}

#define SESSION_OF(holder, member)                                                                 \
	((struct clv_session *)((char *)(holder)-offsetof(struct clv_session, member)))

void overload_relieve(struct clv_control *c)
{
	struct clv_budget_holder *h;

	while ((h = clv_budget_give_up(&c->budget)))
		give_up(SESSION_OF(h, held), CLV_COUNT_BUFFERED_FULL);
	while ((h = clv_budget_give_up(&c->http_memory)))
		give_up(SESSION_OF(h, http_memory), CLV_COUNT_HTTP_MEMORY_FULL);
}
