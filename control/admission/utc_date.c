/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/utc_date.h"

#include "datapath/base/err.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

#define LAST_SEC UINT64_C(253402300799) /* 9999-12-31T23:59:59Z */

enum {
	DAY_SEC = 86400,
	DATE_LEN = sizeof("2027-01-31") - 1,
	DATE_TIME_LEN = sizeof("2027-01-31T12:00:00Z") - 1,
};

/* Whether text has the shape of a pattern, in which '0' stands for any digit. */
static bool has_shape(const char *text, const char *shape)
{
	for (; *shape; shape++, text++)
		if (*shape == '0' ? *text < '0' || *text > '9' : *text != *shape)
			return false;
	return true;
}

static int number(const char *text, int digits)
{
	int value = 0;

	while (digits--)
		value = value * 10 + *text++ - '0';
	return value;
}

int clv_utc_date_parse(const char *text, size_t len, uint64_t *sec)
{
	bool has_time = len == DATE_TIME_LEN;
	struct tm read = { 0 }, meant;
	time_t at;

	if (len != DATE_LEN && !has_time)
		return CLV_ESYNTAX;
	if (!has_shape(text, "0000-00-00") ||
	    (has_time && !has_shape(text + DATE_LEN, "T00:00:00Z")))
		return CLV_ESYNTAX;
	read.tm_year = number(text, 4) - 1900;
	read.tm_mon = number(text + 5, 2) - 1;
	read.tm_mday = number(text + 8, 2);
	if (has_time) {
		read.tm_hour = number(text + 11, 2);
		read.tm_min = number(text + 14, 2);
		read.tm_sec = number(text + 17, 2);
	}
	if (read.tm_year < 70)
		return CLV_ESYNTAX;
	/* timegm() takes February 30th for March: a date that exists comes back as it was. */
	meant = read;
	at = timegm(&meant);
	if (meant.tm_mon != read.tm_mon || meant.tm_mday != read.tm_mday ||
	    meant.tm_hour != read.tm_hour || meant.tm_min != read.tm_min ||
	    meant.tm_sec != read.tm_sec)
		return CLV_ESYNTAX;
	*sec = (uint64_t)at;
	return 0;
}

const char *clv_utc_date_format(uint64_t sec, char buf[static CLV_UTC_DATE_TEXT_MAX])
{
	time_t at = (time_t)(sec < LAST_SEC ? sec : LAST_SEC);
	struct tm tm;

	gmtime_r(&at, &tm);
	strftime(buf, CLV_UTC_DATE_TEXT_MAX, at % DAY_SEC ? "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%d", &tm);
	return buf;
}
