/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * sources - how many connections each source prefix has: the widths of bpf/guard.h.
 *
 * Only addresses that are proven are counted: nobody can use up another's share by spoofing.  A
 * connection stays on the account of the address it was made from.
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

/* conns: most connections there can be.  seed: copies.  Returns 0 or -ENOMEM. */
int clv_sources_init(struct clv_sources *s, uint32_t host_max, uint32_t net_max, size_t conns,
		     const uint64_t seed[static 2]);
void clv_sources_fini(struct clv_sources *s);

/* Whether one more from addr is within both ceilings. */
bool clv_sources_has_room(const struct clv_sources *s, const uint8_t addr[static 16]);
/* Count one more.  Returns 0 or CLV_EFULL, leaving the counts. */
int clv_sources_add(struct clv_sources *s, const uint8_t addr[static 16]);
/* One that was added is gone. */
void clv_sources_remove(struct clv_sources *s, const uint8_t addr[static 16]);

#endif
