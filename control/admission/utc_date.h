/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * utc_date - RFC 3339 dates in UTC: "2027-01-31" and "2027-01-31T12:00:00Z".
 *
 * A date without a time stands for the beginning of that day.
 *
 * Spec: RFC 3339 section 5.6, full-date and date-time, with "Z" and whole seconds only.
 * Threading: pure functions; any thread.
 */
#ifndef CLV_ADMISSION_UTC_DATE_H
#define CLV_ADMISSION_UTC_DATE_H

#include <stddef.h>
#include <stdint.h>

enum {
	CLV_UTC_DATE_TEXT_MAX = 24, /* "9999-12-31T23:59:59Z" and its terminating zero */
};

/* Read a date of the years 1970 to 9999 as seconds since 1970.  Returns 0 or CLV_ESYNTAX. */
int clv_utc_date_parse(const char *text, size_t len, uint64_t *sec);

/* Write a date, without the time if that is midnight.  sec: at most the year 9999.  Returns buf. */
const char *clv_utc_date_format(uint64_t sec, char buf[static CLV_UTC_DATE_TEXT_MAX]);

#endif
