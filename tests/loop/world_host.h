/* SPDX-License-Identifier: GPL-3.0-or-later */
/* world_host - what control asks of the machine, answered from memory. */
#ifndef LOOP_WORLD_HOST_H
#define LOOP_WORLD_HOST_H

#include "tests/loop/world.h"

extern const struct clv_host_ops world_host_ops;	/* host: struct world_relay */
extern const struct clv_host_ops world_client_host_ops; /* host: struct world_client */

const struct world_row *world_table_find(struct world_table *t, const void *key, size_t len);

#endif
