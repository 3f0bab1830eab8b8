/* SPDX-License-Identifier: GPL-3.0-or-later */
/* check - what every unit test includes: cmocka, and cases whose names are sentences. */
#ifndef CLV_TEST_CHECK_H
#define CLV_TEST_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* An entry of a struct CMUnitTest array. */
#define CASE(sentence, function)                                                                   \
	{                                                                                          \
		.name = (sentence), .test_func = (function)                                        \
	}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* For rows of a table: says which row failed before cmocka says where. */
#define CHECK_ROW(name, condition)                                                                 \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("%s: %s", (name), #condition);                                    \
	} while (0)

#endif
