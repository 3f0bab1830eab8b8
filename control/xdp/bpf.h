/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bpf - load the XDP program, pin its maps, and attach it to interfaces.
 *
 * Attachments are BPF links held by descriptor only: when the process ends, in any way, the kernel
 * detaches them.  The maps are pinned (see pins.h) for culvertctl.
 *
 * Order: 1. open  2. attach, for each interface  3. detach, after its sockets are closed  4. close
 * Threading: control.
 */
#ifndef CLV_XDP_BPF_H
#define CLV_XDP_BPF_H

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
	uint32_t clients;
	uint32_t guard;
};

/*
 * What the kernel locks for maps of these sizes from the first second, in bytes, about: `contexts`,
 * `denied` and `clients` grow as they fill, by about 130 bytes for each entry.
 */
uint64_t clv_bpf_sizes_bytes(const struct clv_bpf_sizes *sizes);

/* Descriptors of the maps; -1 where the program is not loaded. */
struct clv_bpf_maps {
	int listeners, conns, contexts, bindings, denied, rxq_of_flow, xsks, links, counters, abi,
		host;
	int guard, guard_limits, clients, faults;
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
/* Detach, remove the pins, and free.  Accepts NULL. */
void clv_bpf_close(struct clv_bpf *bpf);

/* Both lend. */
const struct clv_bpf_maps *clv_bpf_maps(const struct clv_bpf *bpf);
const struct clv_pins *clv_bpf_pins(const struct clv_bpf *bpf);

/* The program on one interface. */
struct clv_bpf_attachment {
	int link_fd;	    /* of the kernel's link; -1: none */
	bool has_fragments; /* frames may be longer than one page of the driver */
};

/*
 * Attach the program to an interface.  mtu: bytes; a large one (native mode) needs a driver and a
 * kernel (5.18) whose frames may lie in several pages; what the driver takes is tried.
 * Returns 0 and fills *out, or with the reason in error -EBUSY (another XDP program is attached),
 * -EOPNOTSUPP (the driver has no native XDP), or -errno.
 */
int clv_bpf_attach(struct clv_bpf *bpf, int ifindex, enum clv_xdp_mode mode, uint32_t mtu,
		   struct clv_bpf_attachment *out, char *error, size_t error_len);
/* Accepts -1. */
void clv_bpf_detach(int link_fd);
/* Whether the interface is still there that the program was attached to. */
bool clv_bpf_is_attached(int link_fd);

/* What the program cannot do on this host: why, and what would help. */
struct clv_bpf_gap {
	char because[256];
	const char *hint;
};

/* That it asks the kernel's connection tracking; NULL: it does.  Lends. */
const struct clv_bpf_gap *clv_bpf_no_conntrack(const struct clv_bpf *bpf);

/* ---- pinned maps, for culvertctl ---- */

/*
 * Open the pinned maps of a running relay; close them with clv_bpf_close_pinned.
 * Returns 0 and fills *out, CLV_EABI (another version), -ENOENT (none) or -errno.
 */
int clv_bpf_open_pinned(const char *pin_dir, struct clv_bpf_maps *out);
void clv_bpf_close_pinned(struct clv_bpf_maps *maps);

#endif
