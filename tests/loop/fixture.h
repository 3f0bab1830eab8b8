/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fixture - a world on the heap, and a tunnel in it.  Aborts the test when something fails. */
#ifndef LOOP_FIXTURE_H
#define LOOP_FIXTURE_H

#include "tests/loop/world.h"

struct world *world_new(const struct world_params *p);
void world_free(struct world *w);

/* Whether application 0 of client 0 has its tunnel, or was refused one; for world_run. */
bool world_is_answered(struct world *w);
/* Connect client 0 and open a tunnel to the target for its application 0. */
void world_open_tunnel(struct world *w);
/* A new world with that tunnel. */
struct world *world_with_tunnel(const struct world_params *p);
/* That application sends n datagrams of len bytes, one each millisecond. */
void world_app_send_many(struct world *w, unsigned n, size_t len);

#endif
