/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * held - programs for the datagrams of tunnels that come through the kernel, see bpf/held.bpf.c.
 *
 * They find a datagram's worker by the maps of the XDP program, and drop and count the others at the
 * sockets that hold the tunnels' ports.
 *
 * Order: 1. open  2. attach, once the workers' sockets are there  3. close
 * Threading: control.
 */
#ifndef CLV_XDP_HELD_H
#define CLV_XDP_HELD_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "control/xdp/bpf.h"

struct clv_held;

/*
 * Load the programs.  maps: of the XDP program; copies.  rate: of datagrams to one tunnel.
 * Returns 0 and fills *out, or with one line in error -errno.
 */
int clv_held_open(const struct clv_bpf_maps *maps, const struct clv_rate *rate,
		  struct clv_held **out, char *error, size_t error_len);
/* Accepts NULL.  Sockets keep their filter. */
void clv_held_close(struct clv_held *held);

/* Lends the program that drops and counts, for clv_sock_reserve. */
int clv_held_filter(const struct clv_held *held);

/*
 * Deliver the datagrams of worker w's tunnels to socks[w], of clv_sock_open_any; borrows until close.
 * To be called once.
 * Returns 0, or with one line in error -EOPNOTSUPP (the kernel has no sk_lookup) or another -errno.
 */
int clv_held_attach(struct clv_held *held, const int *socks, size_t socks_len, char *error,
		    size_t error_len);

#endif
