/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * varint - QUIC variable-length integers.
 *
 *   two high bits of the first byte = log2 of the length: 1, 2, 4 or 8 bytes; rest big-endian
 *
 * Spec: RFC 9000 section 16.  Encodings longer than needed are legal (RFC 9297 section 1.1).
 * Threading: pure functions; any thread.
 */
#ifndef CLV_BASE_VARINT_H
#define CLV_BASE_VARINT_H

#include <stddef.h>
#include <stdint.h>

#define CLV_VARINT_MAX ((UINT64_C(1) << 62) - 1)

/*
 * Read one integer at *p and advance *p past it.  end: one past the last readable byte.
 * Returns 0, or CLV_ETRUNC with *p and *out untouched.
 */
int clv_varint_read(const uint8_t **p, const uint8_t *end, uint64_t *out);

/* Bytes the shortest encoding of v takes: 1, 2, 4 or 8; 0 when v is above CLV_VARINT_MAX. */
size_t clv_varint_len(uint64_t v);

/*
 * Write the shortest encoding of v at *p and advance *p past it.
 * Returns 0, CLV_ERANGE (v too large) or CLV_ETRUNC (no room), leaving *p untouched.
 */
int clv_varint_write(uint8_t **p, const uint8_t *end, uint64_t v);

#endif
