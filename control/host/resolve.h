/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * resolve - names to addresses without blocking: the system's resolver on libuv's threads.
 *
 * Order: 1. open  2. start, cancel, any number  3. close, then run the loop until is_idle  4. free
 * Threading: control.
 */
#ifndef CLV_HOST_RESOLVE_H
#define CLV_HOST_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "control/host/host.h"

struct clv_resolve;

/*
 * loop: borrows.  pending_max: ceiling of names in work.  wait_ns: how long one may take.
 * Returns 0 and fills *out, or -ENOMEM.
 */
int clv_resolve_open(uv_loop_t *loop, uint32_t pending_max, uint64_t wait_ns,
		     struct clv_resolve **out);

/*
 * Resolve name; a literal address is its own answer.  done is called once, from a later turn of the
 * loop, unless cancelled.  name: copies.
 * Returns 0 and fills *token (never 0), CLV_EFULL (too many pending), CLV_ENONAME (no name at all) or
 * -ENOMEM.
 */
int clv_resolve_start(struct clv_resolve *r, const char *name, clv_resolved_fn *done, void *user,
		      uint64_t *token);
/* After this done is not called any more.  A token that is over is fine. */
void clv_resolve_cancel(struct clv_resolve *r, uint64_t token);

/* Cancel everything. */
void clv_resolve_close(struct clv_resolve *r);
/* Whether no thread works for it any more: free it then. */
bool clv_resolve_is_idle(const struct clv_resolve *r);
void clv_resolve_free(struct clv_resolve *r);

#endif
