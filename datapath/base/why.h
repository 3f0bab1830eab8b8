/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * why - an error with a sentence for whoever wrote what was parsed.
 *
 * Threading: pure functions; any thread.
 */
#ifndef CLV_BASE_WHY_H
#define CLV_BASE_WHY_H

/* Set *why, unless why is NULL, to text, which lives as long as the program.  Returns err. */
static inline int clv_fail(const char **why, const char *text, int err)
{
	if (why)
		*why = text;
	return err;
}

#endif
