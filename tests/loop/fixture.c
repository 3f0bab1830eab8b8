/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/loop/fixture.h"

#include <stdlib.h>

#include "datapath/base/clock.h"
#include "tests/unit/check.h"

struct world *world_new(const struct world_params *p)
{
	struct world *w = malloc(sizeof(*w));

	assert_non_null(w);
	world_open(w, p);
	return w;
}

void world_free(struct world *w)
{
	world_close(w);
	free(w);
}

bool world_is_answered(struct world *w)
{
	return w->clients[0].apps[0].opened || w->clients[0].apps[0].closed;
}

void world_open_tunnel(struct world *w)
{
	assert_true(world_connect(w, 0));
	assert_int_equal(world_tunnel(w, 0, 0, "198.18.1.1", 7000), 0);
	assert_true(world_run(w, 20 * CLV_SEC, world_is_answered));
	assert_int_equal(w->clients[0].apps[0].opened, 1);
}

struct world *world_with_tunnel(const struct world_params *p)
{
	struct world *w = world_new(p);

	world_open_tunnel(w);
	return w;
}

void world_app_send_many(struct world *w, unsigned n, size_t len)
{
	for (uint32_t i = 0; i < n; i++) {
		world_app_send(w, 0, 0, len, i);
		world_run(w, CLV_MSEC, NULL);
	}
}
