/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * tls_memory - how much memory wolfSSL holds: contexts, and all of each handshake.
 *
 * A server's TLS ends with its handshake, so that nearly all of it belongs to half-open connections.
 *
 * Order: 1. count, before the process uses wolfSSL  2. held, at any time
 * Threading: count: before there are other threads.  held: any thread.
 */
#ifndef CLV_TLS_TLS_MEMORY_H
#define CLV_TLS_TLS_MEMORY_H

#include <stdint.h>

/* Count from now on.  Without it held is 0. */
void clv_tls_memory_count(void);
/* Bytes that are allocated and not freed, by all threads. */
uint64_t clv_tls_memory_held(void);

#endif
