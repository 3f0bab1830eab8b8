/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * secret - constant-time comparison, so that timing does not reveal how much of a guess is right.
 *
 * Threading: pure functions; any thread.
 */
#ifndef CLV_BASE_SECRET_H
#define CLV_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether a and b have the same len bytes; takes the same time wherever they differ. */
static inline bool clv_secret_equal(const void *a, const void *b, size_t len)
{
	const volatile uint8_t *x = a, *y = b;
	uint8_t difference = 0;

	for (size_t i = 0; i < len; i++)
		difference |= x[i] ^ y[i];
	return difference == 0;
}

#endif
