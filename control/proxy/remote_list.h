/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * remote_list - the remotes that one bound tunnel may send to, found by their endpoint.
 *
 * Threading: control.
 */
#ifndef CLV_PROXY_REMOTE_LIST_H
#define CLV_PROXY_REMOTE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/core/hosts.h"
#include "datapath/base/table.h"
#include "datapath/tunnel/messages.h"

struct clv_bound_tunnel;

struct clv_remote_entry {
	struct clv_remote remote;
	uint64_t context_id; /* 0: it uses the uncompressed context */
	struct clv_host_use host;
	bool is_resent; /* the worker got a new next hop without having asked */
	struct clv_bound_tunnel *peer_tunnel; /* hairpin: the bound tunnel here whose port it is */
};

/* Initialise with clv_remote_list_init; all else is the implementation's. */
struct clv_remote_list {
	struct clv_remote_entry **slots; /* dense: the last one fills a gap */
	uint32_t len, room;
	struct clv_table by_endpoint; /* remote.endpoint -> slot */
};

/* seed: copies; 16 random bytes.  Returns 0 or -ENOMEM. */
int clv_remote_list_init(struct clv_remote_list *r, const uint64_t seed[static 2]);
void clv_remote_list_fini(struct clv_remote_list *r);

/* The entry of a remote; NULL: it has none.  Lends until it is removed. */
struct clv_remote_entry *clv_remote_list_find(const struct clv_remote_list *r,
					      const struct clv_endpoint *remote);
/* Add a remote that is not in the list; remote->endpoint is set.  Returns NULL without memory. */
struct clv_remote_entry *clv_remote_list_add(struct clv_remote_list *r,
					     const struct clv_remote *remote);
/* e: takes. */
void clv_remote_list_remove(struct clv_remote_list *r, struct clv_remote_entry *e);

#endif
