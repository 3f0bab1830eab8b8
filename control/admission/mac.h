/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * mac - HMAC-SHA-256 over one buffer.
 *
 * Spec: RFC 2104, FIPS 180-4.   Threading: pure functions; any thread.
 */
#ifndef CLV_ADMISSION_MAC_H
#define CLV_ADMISSION_MAC_H

#include <stddef.h>
#include <stdint.h>

enum {
	CLV_MAC_KEY_LEN = 32, /* bytes */
	CLV_MAC_LEN = 32,
};

/* Returns 0 and fills out, or CLV_ETLS, with undefined contents of out. */
int clv_mac(const uint8_t key[static CLV_MAC_KEY_LEN], const void *data, size_t len,
	    uint8_t out[static CLV_MAC_LEN]);

#endif
