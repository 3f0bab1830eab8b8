/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * memory - the limits on memory, and what is held of each: for metrics and reports.
 *
 * Threading: control.
 */
#ifndef CLV_ADMIN_MEMORY_H
#define CLV_ADMIN_MEMORY_H

#include <stddef.h>
#include <stdint.h>

struct clv_daemon;

enum {
	CLV_MEMORY_MAX = 8,
};

struct clv_memory {
	const char *of;	    /* what is kept in it */
	uint64_t used, max; /* bytes; max 0: what is kept there is limited by number */
	uint64_t refused;   /* connections closed and memory denied because of the limit */
};

/* Returns how many there are. */
size_t clv_memory_figures(const struct clv_daemon *daemon, struct clv_memory out[CLV_MEMORY_MAX]);

#endif
