/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * sources - count the connections of each source prefix, of the lengths in bpf/guard.h.
 *
 * Only validated addresses are counted: nobody can use up the share of another by spoofing.  A
 * connection is always counted for the address from which it was made.
 *
 * Threading: control.
 */
#ifndef CLV_ADMISSION_SOURCES_H
#define CLV_ADMISSION_SOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/base/table.h"

struct clv_sources {
	struct clv_table counts;    /* prefix -> connections */
	uint32_t host_max, net_max; /* IPv4 /32 and IPv6 /64; IPv4 /24 and IPv6 /48 */
};

/* conns: the maximum number of connections.  seed: copies.  Returns 0 or -ENOMEM. */
int clv_sources_init(struct clv_sources *s, uint32_t host_max, uint32_t net_max, size_t conns,
		     const uint64_t seed[static 2]);
void clv_sources_fini(struct clv_sources *s);

/* Whether one more connection from addr is within both limits. */
bool clv_sources_has_room(const struct clv_sources *s, const uint8_t addr[static 16]);
/* Count one more connection.  Returns 0, or CLV_EFULL without counting it. */
int clv_sources_add(struct clv_sources *s, const uint8_t addr[static 16]);
/* A connection that was added is closed. */
void clv_sources_remove(struct clv_sources *s, const uint8_t addr[static 16]);

#endif
