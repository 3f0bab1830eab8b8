/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * words - split a line of text at its spaces and tabs.
 *
 * Threading: pure functions; any thread.
 */
#ifndef CLV_BASE_WORDS_H
#define CLV_BASE_WORDS_H

#include <stdbool.h>
#include <stddef.h>

struct clv_words {
	const char *at, *end; /* what is left; borrows the line */
};

static inline bool clv_words_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Take the next word, never an empty one.  Returns false at the end of the line. */
static inline bool clv_words_next(struct clv_words *w, const char **word, size_t *len)
{
	const char *start;

	while (w->at < w->end && clv_words_is_blank(*w->at))
		w->at++;
	start = w->at;
	while (w->at < w->end && !clv_words_is_blank(*w->at))
		w->at++;
	if (w->at == start)
		return false;
	*word = start;
	*len = (size_t)(w->at - start);
	return true;
}

#endif
