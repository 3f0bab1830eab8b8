/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * table - a hash table of fixed-size keys to 64-bit values; memory is reserved at init.
 *
 * Open addressing with linear probing and backward-shift deletion; keyed hash (hash.h), so that a
 * sender who chooses keys cannot choose collisions.
 *
 * Threading: its owner.
 */
#ifndef CLV_BASE_TABLE_H
#define CLV_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clv_table {
	uint8_t *cells;	 /* each: value, tag, key */
	size_t key_len;	 /* bytes */
	size_t cell_len; /* bytes */
	size_t mask;	 /* cells - 1 */
	size_t count;
	size_t limit; /* entries that fit */
	uint64_t seed[2];
};

/*
 * Reserve room for limit entries of key_len bytes (1 to 64).  seed: copies; 16 random bytes.
 * Returns 0 or -ENOMEM.
 */
int clv_table_init(struct clv_table *t, size_t key_len, size_t limit,
		   const uint64_t seed[static 2]);
/*
 * Make room for limit entries, not fewer than there are; what is in stays in.  Allocates: not for the
 * data path.  Returns 0, or -ENOMEM with nothing changed.
 */
int clv_table_grow(struct clv_table *t, size_t limit);
void clv_table_fini(struct clv_table *t);

/* Find key.  Returns true and fills *value (may be NULL), or false leaving it untouched. */
bool clv_table_find(const struct clv_table *t, const void *key, uint64_t *value);

/*
 * Insert key or replace its value.
 * Returns 0, or CLV_EFULL when the table holds limit entries; count the refusal.
 */
int clv_table_insert(struct clv_table *t, const void *key, uint64_t value);

/* Remove key.  Returns whether it was there. */
bool clv_table_remove(struct clv_table *t, const void *key);

#endif
