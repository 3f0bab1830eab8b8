/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <errno.h>
#include <limits.h>

#include "datapath/base/err.h"

static void describes(void **state)
{
	static const struct {
		int err;
		const char *text;
	} rows[] = {
		{ CLV_EPROTO, "the peer broke the protocol" },
		{ CLV_ETIMEOUT, "no answer in time" },
		{ -ENOENT, "No such file or directory" },
		{ ENOENT, "No such file or directory" },
		{ 0, "Success" },
		{ -4000, "unknown error" },
		{ 4000, "unknown error" },
		{ INT_MIN, "unknown error" },
		{ INT_MAX, "unknown error" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(clv_strerror(rows[i].err), rows[i].text);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("every number of either kind has a text", describes),
	};

	return cmocka_run_group_tests_name("err", cases, NULL, NULL);
}
