/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * culvert_tracked - the XDP entry, which also asks connection tracking whose an answer is that comes
 * to a port open to all.  The same programs and maps as culvert.bpf.c: the loader takes this object
 * where the kernel does.
 */
#define CLV_ASKS_CONNTRACK

#include "culvert.bpf.c"
