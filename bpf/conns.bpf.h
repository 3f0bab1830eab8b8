/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * conns - the connection IDs we issued, and how a UDP payload is matched against them.
 *
 * Shared by both programs; the loader gives them one map (bpf_map__reuse_fd).
 *
 *   short header:  0 | 7 bits we may not read | destination connection ID, 8 bytes | protected rest
 *
 * Spec: RFC 8999 section 5: the header form bit and the connection ID are all that may be read; the
 * Fixed Bit is no invariant.
 */
#ifndef CLV_CONNS_BPF_H
#define CLV_CONNS_BPF_H

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"

/* Only control writes it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, struct clv_cid);
	__type(value, struct clv_ref);
} conns SEC(".maps");

enum {
	CLV_QUIC_LONG_HEADER = 0x80, /* of the first byte: RFC 8999 section 5.1 */
};

/* The start of a short header packet to us. */
struct clv_quic_short {
	__u8 first;
	struct clv_cid dcid;
};

/*
 * The connection that a short header packet names, or NULL: no such connection ID.
 * packet: borrows.  The value lives on in the map; copy it at once.
 */
static __always_inline const struct clv_ref *clv_conns_find(const struct clv_quic_short *packet)
{
	struct clv_cid dcid;

	__builtin_memcpy(&dcid, &packet->dcid, sizeof(dcid)); /* keys of a map lie aligned */
	return bpf_map_lookup_elem(&conns, &dcid);
}

#endif
