/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * log - one line for each event: level, fixed event name, then key=value.
 *
 *   warn xsk_copy_mode if=eth2 queue=3 err=EOPNOTSUPP hint="driver lacks zero-copy"
 *
 * Only the quotation marks of fmt are in a line; those of a value become apostrophes, so that a name
 * that somebody else chose cannot look like another pair.
 *
 * No line joins a client's address with its target.  Nothing per packet.
 * Threading: any thread; a line is written by one call, which never waits (output.h).  When lines
 * were lost because nobody read them, the next one that is written says how many.
 */
#ifndef CLV_BASE_LOG_H
#define CLV_BASE_LOG_H

#include <stdbool.h>

enum clv_log_level { CLV_LOG_ERROR, CLV_LOG_WARN, CLV_LOG_INFO, CLV_LOG_DEBUG };

void clv_log_set_level(enum clv_log_level level);
bool clv_log_enabled(enum clv_log_level level);
/* event: one word; fmt: the key=value pairs, may be "". */
void clv_log(enum clv_log_level level, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
