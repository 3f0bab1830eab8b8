/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/clock.h"

#include <time.h>

uint64_t clv_clock_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * CLV_SEC + (uint64_t)ts.tv_nsec;
}
