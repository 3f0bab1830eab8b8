/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * maps - the only writer of the BPF maps.
 *
 * Where a map does not exist (-1: sockets only, no XDP) writing to it succeeds and does nothing.
 *
 * Threading: control.
 */
#ifndef CLV_XDP_MAPS_H
#define CLV_XDP_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "control/xdp/load.h"
#include "control/admission/policy.h"

/* A row of `denied`. */
struct clv_maps_rule {
	struct clv_prefix prefix;
	uint32_t verdict;
};

struct clv_maps {
	struct clv_bpf_maps fds;	/* borrows the descriptors */
	struct clv_endpoint *listeners; /* what is in the map now */
	size_t listeners_len;
	struct clv_maps_rule *denied; /* the same; sorted by prefix */
	size_t denied_len;
};

/* fds: borrows the descriptors, NULL for none at all. */
void clv_maps_init(struct clv_maps *m, const struct clv_bpf_maps *fds);
void clv_maps_fini(struct clv_maps *m);

/* Each returns 0, CLV_EFULL (map full) or -errno.  Retiring what is not there is fine. */
int clv_maps_conn_publish(struct clv_maps *m, const struct clv_cid *cid, const struct clv_ref *ref);
void clv_maps_conn_retire(struct clv_maps *m, const struct clv_cid *cid);
int clv_maps_context_publish(struct clv_maps *m, const struct clv_tuple *tuple,
			     const struct clv_context *context);
void clv_maps_context_retire(struct clv_maps *m, const struct clv_tuple *tuple);
int clv_maps_binding_publish(struct clv_maps *m, const struct clv_endpoint *local,
			     const struct clv_binding *binding);
void clv_maps_binding_retire(struct clv_maps *m, const struct clv_endpoint *local);

/*
 * Make the listeners exactly every one of addrs (16 bytes each) with every one of ports (host
 * order).  New ones come in before old ones go.  Returns 0, or CLV_EFULL or -errno when all is as it
 * was.
 */
int clv_maps_set_listeners(struct clv_maps *m, const uint8_t (*addrs)[16], size_t addrs_len,
			   const uint16_t *ports, size_t ports_len);

/*
 * Make `denied` exactly the policy's rules, by as few writes as rules are new, other or gone.
 * Returns as set_listeners.
 */
int clv_maps_set_policy(struct clv_maps *m, const struct clv_policy *policy);

/* Limit what strangers send up to control.  Returns 0 or -errno. */
int clv_maps_set_guard(struct clv_maps *m, const struct clv_guard_limits *limits);

/* Say where the sockets of an interface start, or that it has none.  Returns 0 or -errno. */
int clv_maps_set_link(struct clv_maps *m, int ifindex, uint32_t xsk_base);
void clv_maps_unset_link(struct clv_maps *m, int ifindex);

/* The receive queue that a flow came in by.  Returns 0, or -ENOENT when none was noted. */
int clv_maps_queue_of_flow(const struct clv_maps *m, const struct clv_tuple *flow, uint32_t *queue);

/* Sum the XDP program's counters over all CPUs.  Returns 0 or -errno. */
int clv_maps_counters(const struct clv_bpf_maps *fds, struct clv_count out[CLV_XDP_COUNTER_MAX]);
/* Exported name and help of an XDP counter; live as long as the program. */
const char *clv_xdp_counter_name(enum clv_xdp_counter which);
const char *clv_xdp_counter_help(enum clv_xdp_counter which);
/* Whether the kernel drops the frames that it counts. */
bool clv_xdp_counter_is_drop(enum clv_xdp_counter which);

#endif
