/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/base/hash.h"

enum { KEY_LEN_MAX = 64 };

/* The low bits of the hash, enough to find home again without the key; marks a cell as used. */
#define TAG_USED  UINT32_C(0x80000000)
#define CELLS_MAX ((size_t)1 << 31)
#define LIMIT_MAX (CELLS_MAX / 3 * 2)

struct cell {
	uint64_t value;
	uint32_t tag; /* 0 when the cell is empty */
	uint8_t key[];
};

static struct cell *cell_at(const struct clv_table *t, size_t i)
{
	return (struct cell *)(t->cells + i * t->cell_len);
}

static uint32_t tag_of(const struct clv_table *t, const void *key)
{
	return (uint32_t)clv_hash(t->seed, key, t->key_len) | TAG_USED;
}

int clv_table_init(struct clv_table *t, size_t key_len, size_t limit, const uint64_t seed[static 2])
{
	size_t cells = 4, cell_len;
	uint8_t *memory;

	assert(key_len >= 1 && key_len <= KEY_LEN_MAX);
	if (limit > LIMIT_MAX)
		return -ENOMEM;
	while (cells < limit + limit / 2 + 1) /* at most two thirds full: probes stay short */
		cells *= 2;
	/* As small as can be: padding cells to cache lines was measured to be slower. */
	cell_len = (offsetof(struct cell, key) + key_len + 7) & ~(size_t)7;
	memory = calloc(cells, cell_len);
	if (!memory)
		return -ENOMEM;
	*t = (struct clv_table){
		.cells = memory,
		.key_len = key_len,
		.cell_len = cell_len,
		.mask = cells - 1,
		.limit = limit,
		.seed = { seed[0], seed[1] },
	};
	return 0;
}

int clv_table_grow(struct clv_table *t, size_t limit)
{
	struct clv_table larger;
	size_t i;
	int err;

	assert(limit >= t->count);
	err = clv_table_init(&larger, t->key_len, limit, t->seed);
	if (err)
		return err;
	for (i = 0; i <= t->mask; i++) {
		const struct cell *c = cell_at(t, i);

		if (c->tag)
			clv_table_insert(&larger, c->key, c->value);
	}
	clv_table_fini(t);
	*t = larger;
	return 0;
}

void clv_table_fini(struct clv_table *t)
{
	free(t->cells);
	*t = (struct clv_table){ 0 };
}

/* The cell that holds key, or the empty one where the search for it ends. */
static size_t probe(const struct clv_table *t, const void *key, uint32_t tag)
{
	size_t i = tag & t->mask;

	for (;; i = (i + 1) & t->mask) {
		const struct cell *c = cell_at(t, i);

		if (!c->tag || (c->tag == tag && !memcmp(c->key, key, t->key_len)))
			return i;
	}
}

bool clv_table_find(const struct clv_table *t, const void *key, uint64_t *value)
{
	const struct cell *c = cell_at(t, probe(t, key, tag_of(t, key)));

	if (!c->tag)
		return false;
	if (value)
		*value = c->value;
	return true;
}

int clv_table_insert(struct clv_table *t, const void *key, uint64_t value)
{
	uint32_t tag = tag_of(t, key);
	struct cell *c = cell_at(t, probe(t, key, tag));

	if (!c->tag) {
		if (t->count >= t->limit)
			return CLV_EFULL;
		t->count++;
		c->tag = tag;
		memcpy(c->key, key, t->key_len);
	}
	c->value = value;
	return 0;
}

bool clv_table_remove(struct clv_table *t, const void *key)
{
	size_t hole = probe(t, key, tag_of(t, key)), i = hole;

	if (!cell_at(t, hole)->tag)
		return false;

	/* Close the gap with a later cell of the run whose home is not after the hole. */
	for (;;) {
		const struct cell *c = cell_at(t, i = (i + 1) & t->mask);

		if (!c->tag)
			break;
		if (((i - (c->tag & t->mask)) & t->mask) >= ((i - hole) & t->mask)) {
			memcpy(cell_at(t, hole), c, t->cell_len);
			hole = i;
		}
	}
	cell_at(t, hole)->tag = 0;
	t->count--;
	return true;
}
