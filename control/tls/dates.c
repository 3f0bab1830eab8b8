/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/tls/dates.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn_public.h>

#ifndef CLV_BUILD_TIME
#define CLV_BUILD_TIME 0 /* seconds since 1970; no clock can be right that is before it */
#endif

time_t clv_dates_now(void)
{
	return wc_Time(NULL);
}

bool clv_dates_is_clock_early(void)
{
	return wc_Time(NULL) < (time_t)CLV_BUILD_TIME;
}

const char *clv_dates_format(time_t date, char text[static CLV_DATE_TEXT_MAX])
{
	struct tm tm;

	if (!gmtime_r(&date, &tm) || !strftime(text, CLV_DATE_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm))
		*text = 0;
	return text;
}
