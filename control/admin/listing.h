/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * listing - lists in responses of the control socket, and the values in their rows.
 *
 * A request has "limit" (default 1000, 0: all) and, where rows belong to tunnels, "tunnel".
 *
 * Threading: control; culvertctl also uses the values, for pinned maps.
 */
#ifndef CLV_ADMIN_LISTING_H
#define CLV_ADMIN_LISTING_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "bpf/abi.h"
#include "control/daemon/daemon.h"
#include "control/xdp/bpf.h"

/* A list that stops at the requested limit, but counts all rows. */
struct clv_listing {
	const struct clv_daemon *daemon;
	json_t *items;
	json_int_t limit, total;
	const char *tunnel; /* borrows from the request; NULL: of all tunnels */
};

void clv_listing_start(struct clv_listing *l, const struct clv_daemon *daemon,
		       const json_t *request);
/* Whether rows of this tunnel are requested. */
bool clv_listing_wants(const struct clv_listing *l, const struct clv_ref *tunnel);
/* Count a row.  Returns whether to append it to items. */
bool clv_listing_has_room(struct clv_listing *l);
/* Returns the response: {name: items, "total": ..}. */
json_t *clv_listing_end(struct clv_listing *l, const char *name);

json_t *clv_listing_endpoint(const struct clv_endpoint *ep);
/* Returns "worker.slot.generation", the same in all responses. */
json_t *clv_listing_ref(const struct clv_ref *ref);
json_int_t clv_listing_seconds_since(uint64_t since_ns);
/*
 * Returns the XDP program's counters, {"xdp_seen": {"packets": 1, "bytes": 60}, ..}, or only drops;
 * NULL when there is no program.
 */
json_t *clv_listing_xdp(const struct clv_bpf_maps *maps, bool drops_only);

#endif
