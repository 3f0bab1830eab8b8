/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/masque/id_runs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"

enum {
	ROOM_FIRST = 4,
};

void clv_id_runs_fini(struct clv_id_runs *set)
{
	free(set->runs);
	*set = (struct clv_id_runs){ 0 };
}

/* The index of the first run that ends at id or after it. */
static uint32_t find_run(const struct clv_id_runs *set, uint64_t id)
{
	uint32_t low = 0, high = set->len;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (set->runs[mid].last < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool clv_id_runs_has(const struct clv_id_runs *set, uint64_t id)
{
	uint32_t i = find_run(set, id);

	return i < set->len && set->runs[i].first <= id;
}

/* Insert a run of one number at index i. */
static int insert_run(struct clv_id_runs *set, uint32_t i, uint64_t id, uint32_t max)
{
	if (set->len >= max)
		return CLV_EFULL;
	if (set->len == set->room) {
		uint32_t room = set->room ? set->room * 2 : ROOM_FIRST;
		struct clv_id_run *runs = realloc(set->runs, room * sizeof(*runs));

		if (!runs)
			return -ENOMEM;
		set->runs = runs;
		set->room = room;
	}
	memmove(&set->runs[i + 1], &set->runs[i], (set->len - i) * sizeof(set->runs[0]));
	set->runs[i] = (struct clv_id_run){ id, id };
	set->len++;
	return 0;
}

int clv_id_runs_add(struct clv_id_runs *set, uint64_t id, uint32_t max)
{
	uint32_t i = find_run(set, id);
	bool joins_before = i > 0 && set->runs[i - 1].last + 1 == id;
	bool joins_after = i < set->len && set->runs[i].first == id + 1;

	if (joins_before && joins_after) {
		set->runs[i - 1].last = set->runs[i].last;
		memmove(&set->runs[i], &set->runs[i + 1],
			(set->len - i - 1) * sizeof(set->runs[0]));
		set->len--;
	} else if (joins_before) {
		set->runs[i - 1].last = id;
	} else if (joins_after) {
		set->runs[i].first = id;
	} else {
		return insert_run(set, i, id, max);
	}
	return 0;
}
