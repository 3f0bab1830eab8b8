/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/loop/hostile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "datapath/base/clock.h"
#include "tests/loop/fixture.h"

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

void hostile_report(const char *name, const char *section, const struct raw *r, int64_t id,
		    uint64_t wanted)
{
	const struct raw_stream *s = &r->streams[id / 4 % RAW_STREAMS_MAX];

	print_error("%s (%s): closed=%d app=%d code=0x%lx, reset=%d 0x%lx, stopped=%d 0x%lx, "
		    "status=%u; not 0x%lx\n",
		    name, section, r->is_closed, r->close_is_app, (unsigned long)r->close_code,
		    s->was_reset, (unsigned long)s->reset_code, s->was_stopped,
		    (unsigned long)s->stop_code, id & 3 ? 0 : raw_status(r, id),
		    (unsigned long)wanted);
}

void hostile_assert_serves(struct world *w)
{
	struct world_app *app = &w->clients[0].apps[0];
	uint64_t before = app->received;

	if (!w->clients[0].is_up) {
		*app = (struct world_app){ 0 };
		world_open_tunnel(w);
		before = 0;
	}
	world_app_send(w, 0, 0, 1000, 1);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(app->received, before + 1);
	assert_int_equal(app->wrong, 0);
}
