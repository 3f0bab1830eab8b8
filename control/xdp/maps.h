/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * maps - update the BPF maps; nothing else writes to them.
 *
 * Writing to a map that does not exist (-1: kernel sockets only, no XDP) succeeds and does nothing.
 *
 * Threading: control.
 */
#ifndef CLV_XDP_MAPS_H
#define CLV_XDP_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "control/admission/policy.h"
#include "control/xdp/bpf.h"

/* A row of `denied` or `clients`. */
struct clv_maps_rule {
	struct clv_prefix prefix;
	uint32_t verdict;
};

/* A row of `listeners`. */
struct clv_maps_listener {
	struct clv_endpoint local;
	uint32_t id;
	uint32_t flags; /* enum clv_listener_flag */
};

struct clv_maps {
	struct clv_bpf_maps fds;	/* borrows the descriptors */
	struct clv_endpoint *listeners; /* the current contents of the map */
	size_t listeners_len;
	struct clv_maps_rule *denied, *clients; /* likewise; sorted by prefix */
	size_t denied_len, clients_len;
};

/* fds: borrows the descriptors; NULL: no maps. */
void clv_maps_init(struct clv_maps *m, const struct clv_bpf_maps *fds);
void clv_maps_fini(struct clv_maps *m);

/* Publish returns 0, CLV_EFULL (the map is full) or -errno.  Retire accepts missing entries. */
int clv_maps_conn_publish(struct clv_maps *m, const struct clv_cid *cid, const struct clv_ref *ref);
void clv_maps_conn_retire(struct clv_maps *m, const struct clv_cid *cid);
int clv_maps_context_publish(struct clv_maps *m, const struct clv_tuple *tuple,
			     const struct clv_context *context);
void clv_maps_context_retire(struct clv_maps *m, const struct clv_tuple *tuple);
int clv_maps_binding_publish(struct clv_maps *m, const struct clv_endpoint *local,
			     const struct clv_binding *binding);
void clv_maps_binding_retire(struct clv_maps *m, const struct clv_endpoint *local);

/*
 * Set the listeners to list (copied).  New entries are added before old ones are removed.
 * Returns 0, or CLV_EFULL or -errno with nothing changed.
 */
int clv_maps_set_listeners(struct clv_maps *m, const struct clv_maps_listener *list, size_t len);

/*
 * Set `denied` to the policy's rules.  Writes only rules that are new, changed or removed.
 * Returns as set_listeners.
 */
int clv_maps_set_policy(struct clv_maps *m, const struct clv_policy *policy);

/*
 * Set `clients`: packets of no connection are passed from these prefixes alone; with none, from all.
 * prefixes: copies.  Returns as set_listeners.
 */
int clv_maps_set_clients(struct clv_maps *m, const struct clv_prefix *prefixes, size_t len);

/* Set the rate limits of packets with unknown connections.  Returns 0 or -errno. */
int clv_maps_set_guard(struct clv_maps *m, const struct clv_guard_limits *limits);

/* Say whether the host forwards the packets of others.  Returns 0 or -errno. */
int clv_maps_set_forwards(struct clv_maps *m, bool forwards);

/*
 * Set the index in xsks of an interface's first socket, and enum clv_link_flag, or remove both.
 * Returns 0 or -errno.
 */
int clv_maps_set_link(struct clv_maps *m, int ifindex, uint32_t xsk_base, uint32_t flags);
void clv_maps_unset_link(struct clv_maps *m, int ifindex);

/* Read what the program could not hand over of an interface; zeros if nothing. */
void clv_maps_faults(const struct clv_maps *m, int ifindex, struct clv_faults *out);

/* Look up the receive queue of a flow.  Returns 0, or -ENOENT if none is recorded. */
int clv_maps_queue_of_flow(const struct clv_maps *m, const struct clv_tuple *flow, uint32_t *queue);

/* Sum the XDP program's counters over all CPUs.  Returns 0 or -errno. */
int clv_maps_counters(const struct clv_bpf_maps *fds, struct clv_count out[CLV_XDP_COUNTER_MAX]);
/* Exported name and help of an XDP counter; live as long as the program. */
const char *clv_xdp_counter_name(enum clv_xdp_counter which);
const char *clv_xdp_counter_help(enum clv_xdp_counter which);
/* Whether the kernel drops the frames that it counts. */
bool clv_xdp_counter_is_drop(enum clv_xdp_counter which);

#endif
