/* SPDX-License-Identifier: GPL-3.0-or-later */
/* world_host - clv_host_ops over tables in memory and one flat network. */
#ifndef LOOP_WORLD_HOST_H
#define LOOP_WORLD_HOST_H

#include "tests/loop/world.h"

extern const struct clv_host_ops world_host_ops;	/* host: struct world_relay */
extern const struct clv_host_ops world_client_host_ops; /* host: struct world_client */

/* Answer the names that were looked up.  Returns how many. */
unsigned world_host_answer(struct world_relay *r);

const struct world_row *world_table_find(struct world_table *t, const void *key, size_t len);

#endif
