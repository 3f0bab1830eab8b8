/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * listing - lists in the answers of the control socket, and the pieces their rows are made of.
 *
 * A request has "limit" (default 1000, 0: all) and, where rows belong to tunnels, "tunnel".
 *
 * Threading: control; the pieces also culvertctl, which reads pinned maps.
 */
#ifndef CLV_ADMIN_LISTING_H
#define CLV_ADMIN_LISTING_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "bpf/abi.h"
#include "control/xdp/load.h"
#include "control/daemon/daemon.h"

/* A list that stops at the asked limit, but counts on. */
struct clv_listing {
	const struct clv_daemon *daemon;
	json_t *items;
	json_int_t limit, total;
	const char *tunnel; /* borrows from the request; NULL: rows of all */
};

void clv_listing_start(struct clv_listing *l, const struct clv_daemon *daemon,
		       const json_t *request);
/* Whether rows of this tunnel are asked for. */
bool clv_listing_wants(const struct clv_listing *l, const struct clv_ref *tunnel);
/* Count a row.  Returns whether to append it to items. */
bool clv_listing_has_room(struct clv_listing *l);
/* The answer: {name: items, "total": ..}. */
json_t *clv_listing_end(struct clv_listing *l, const char *name);

json_t *clv_listing_endpoint(const struct clv_endpoint *ep);
/* "worker.slot.generation", the same in every answer. */
json_t *clv_listing_ref(const struct clv_ref *ref);
json_int_t clv_listing_seconds_since(uint64_t since_ns);
/*
 * The XDP program's counters, {"xdp_seen": {"packets": 1, "bytes": 60}, ..}, or those of drops alone.
 * Returns NULL when there is no program.
 */
json_t *clv_listing_xdp(const struct clv_bpf_maps *maps, bool drops_only);

/* What answers the commands of the same names; user: the struct clv_daemon.  See report.h. */
json_t *clv_report_tunnels(void *user, const json_t *request);
json_t *clv_report_contexts(void *user, const json_t *request);
json_t *clv_report_bindings(void *user, const json_t *request);

#endif
