/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/err.h"

#include <limits.h>
#include <string.h>

const char *clv_strerror(int err)
{
	const char *text;

	switch (err) {
#define X(symbol, number, text)                                                                    \
	case symbol:                                                                               \
		return text;
		CLV_ERRORS(X)
#undef X
	}
	/* strerror(3) would write into a buffer that the next caller overwrites. */
	text = strerrordesc_np(err < 0 && err != INT_MIN ? -err : err);
	return text ? text : "unknown error";
}
