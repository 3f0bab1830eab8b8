/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * id_runs - a set of numbers that come mostly in order, kept as the runs of consecutive ones.
 *
 * A peer that counts without gaps costs one run, however many numbers it used.
 *
 * Threading: its owner.
 */
#ifndef CLV_MASQUE_ID_RUNS_H
#define CLV_MASQUE_ID_RUNS_H

#include <stdbool.h>
#include <stdint.h>

struct clv_id_run {
	uint64_t first, last; /* both are in the set */
};

/* Zeroed: empty. */
struct clv_id_runs {
	struct clv_id_run *runs; /* ascending; between two of them a number is missing */
	uint32_t len, room;
};

void clv_id_runs_fini(struct clv_id_runs *set);

bool clv_id_runs_has(const struct clv_id_runs *set, uint64_t id);
/* Add a number that is not in the set.  Returns 0, CLV_EFULL (max runs) or -ENOMEM. */
int clv_id_runs_add(struct clv_id_runs *set, uint64_t id, uint32_t max);

#endif
