/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admin/memory.h"

#include "control/daemon/datapath.h"

static struct clv_memory of_budget(const char *of, const struct clv_budget *b)
{
	return (struct clv_memory){ of, b->used, b->max, b->refused };
}

size_t clv_memory_figures(const struct clv_daemon *daemon, struct clv_memory out[CLV_MEMORY_MAX])
{
	size_t n = 0;

	out[n++] = of_budget("buffered", clv_control_buffered(daemon->control));
	out[n++] = of_budget("http", clv_control_http_memory(daemon->control));
	return n;
}
