/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/loop/hostile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "datapath/base/clock.h"

struct world *hostile_world(const struct world_params *p)
{
	struct world *w = malloc(sizeof(*w));

	assert_non_null(w);
	world_open(w, p);
	return w;
}

void hostile_world_free(struct world *w)
{
	world_close(w);
	free(w);
}

struct raw *hostile_peer(struct world *w, unsigned number)
{
	struct raw *r = malloc(sizeof(*r));

	assert_non_null(r);
	raw_open(r, w, number);
	return r;
}

void hostile_peer_free(struct raw *r)
{
	raw_close(r);
	free(r);
}

static bool app0_answered(struct world *w)
{
	return w->clients[0].apps[0].opened || w->clients[0].apps[0].closed;
}

void hostile_assert_serves(struct world *w)
{
	struct world_app *app = &w->clients[0].apps[0];
	uint64_t before = app->received;

	if (!w->clients[0].is_up) {
		*app = (struct world_app){ 0 };
		assert_true(world_connect(w, 0));
		assert_int_equal(world_tunnel(w, 0, 0, "198.18.1.1", 7000), 0);
		assert_true(world_run(w, 5 * CLV_SEC, app0_answered));
		before = 0;
	}
	world_app_send(w, 0, 0, 1000, 1);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(app->received, before + 1);
	assert_int_equal(app->wrong, 0);
}
