/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * dates - certificates' dates, and a clock that cannot be right.
 *
 * Threading: any thread.
 */
#ifndef CLV_TLS_DATES_H
#define CLV_TLS_DATES_H

#include <stdbool.h>
#include <time.h>

enum {
	CLV_DATE_TEXT_MAX = 32,
};

/* The time as wolfSSL knows it, which tests may set. */
time_t clv_dates_now(void);

/* Whether the clock is before the day this program was built. */
bool clv_dates_is_clock_early(void);

/* Write "2026-11-29T17:56:00Z".  Returns text. */
const char *clv_dates_format(time_t date, char text[static CLV_DATE_TEXT_MAX]);

#endif
