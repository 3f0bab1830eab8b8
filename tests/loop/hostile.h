/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hostile - what the tests of broken and hostile peers share.  Aborts the test when something fails. */
#ifndef LOOP_HOSTILE_H
#define LOOP_HOSTILE_H

#include "tests/loop/raw.h"

/* A hand-made peer, not connected. */
struct raw *hostile_peer(struct world *w, unsigned number);
void hostile_peer_free(struct raw *r);
/* Print what became of a case, its stream and its connection; wanted: the code it should have. */
void hostile_report(const char *name, const char *section, const struct raw *r, int64_t id,
		    uint64_t wanted);
/* The relay is as good as new: client 0 connects, opens a tunnel and gets its bytes back. */
void hostile_assert_serves(struct world *w);

#endif
