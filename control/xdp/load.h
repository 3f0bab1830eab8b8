/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bpf_load - the BPF programs in the kernel: loaded, pinned, attached, and gone with the process.
 *
 * Attachments are BPF links that are held by descriptor only: when the process ends, however it
 * ends, the kernel detaches.  The maps are pinned (see pins) for culvertctl.
 *
 * Order: 1. open  2. attach, for each interface  3. detach, after its sockets are closed  4. close
 * Threading: control.
 */
#ifndef CLV_XDP_LOAD_H
#define CLV_XDP_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "control/xdp/pins.h"

/* Sizes of the maps. */
struct clv_bpf_sizes {
	uint32_t conn_ids;
	uint32_t contexts;
	uint32_t bindings;
	uint32_t listeners;
	uint32_t denied;
	uint32_t guard;
};

/* Descriptors of the maps; -1 where the program is not loaded. */
struct clv_bpf_maps {
	int listeners, conns, contexts, bindings, denied, rxq_of_flow, xsks, links, counters, abi;
	int guard, guard_limits;
};

enum clv_xdp_mode {
	CLV_XDP_NATIVE = 0,
	CLV_XDP_GENERIC = 1,
};

struct clv_bpf;

/*
 * Load the XDP program and pin its maps.  run_dir: must exist and be locked by the caller.
 * Returns 0 and fills *out, or with one line in error CLV_EABI or -errno (-EPERM: not privileged).
 */
int clv_bpf_open(const char *run_dir, const struct clv_bpf_sizes *sizes, struct clv_bpf **out,
		 char *error, size_t error_len);
/* Detach what is attached, remove the pins, free.  NULL is fine. */
void clv_bpf_close(struct clv_bpf *bpf);

/* lends. */
const struct clv_bpf_maps *clv_bpf_maps(const struct clv_bpf *bpf);
const struct clv_pins *clv_bpf_pins(const struct clv_bpf *bpf);

/*
 * Attach the program to an interface.
 * Returns 0 and fills *link_fd, or with the reason in error -EBUSY (another XDP program is there),
 * -EOPNOTSUPP (the driver has no native XDP), or -errno.
 */
int clv_bpf_attach(struct clv_bpf *bpf, int ifindex, enum clv_xdp_mode mode, int *link_fd,
		   char *error, size_t error_len);
/* -1 is fine. */
void clv_bpf_detach(int link_fd);

/* ---- the program that chooses among the sockets on a listener's port ---- */

struct clv_steer;

/*
 * Load one, for one listener port.  conns_fd: the map to look connection IDs up in; copies; -1: it
 * brings its own, with room for conn_ids, see clv_steer_conns_fd.
 * Returns 0 and fills *out, or with one line in error -EPERM (not privileged) or another -errno.
 */
int clv_steer_open(int conns_fd, uint32_t conn_ids, struct clv_steer **out, char *error,
		   size_t error_len);
/*
 * Attach it to a reuseport group.  socks: socks[0] is control's, socks[1 + w] worker w's; borrows.
 * Returns 0, or with one line in error -errno.
 */
int clv_steer_attach(struct clv_steer *steer, const int *socks, size_t socks_len, char *error,
		     size_t error_len);
void clv_steer_close(struct clv_steer *steer);
/* The map it looks connection IDs up in; lends. */
int clv_steer_conns_fd(const struct clv_steer *steer);

/*
 * Without the privilege for it: long headers to the first socket of the group, all else to the
 * second.  fd: any of the group.  Returns 0 or -errno.
 */
int clv_steer_classic(int fd);

/* ---- what culvertctl needs, too ---- */

/*
 * Open the pinned maps of a running relay.  The descriptors are the caller's, clv_bpf_close_pinned
 * closes them.  Returns 0 and fills *out, CLV_EABI (another version), -ENOENT (none) or -errno.
 */
int clv_bpf_open_pinned(const char *pin_dir, struct clv_bpf_maps *out);
void clv_bpf_close_pinned(struct clv_bpf_maps *maps);

#endif
