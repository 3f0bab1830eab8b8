/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * text - names that an operator, the kernel or a peer chose, as what reports and metrics may hold.
 *
 * An interface may be called q"uo\te, and a directory any bytes; JSON and Prometheus' format want
 * UTF-8, and the latter escapes.  A byte that is not UTF-8 becomes a question mark.
 *
 * Spec: RFC 8259 section 8.1; the Prometheus text format 0.0.4.
 * Threading: pure functions; any thread.
 */
#ifndef CLV_ADMIN_TEXT_H
#define CLV_ADMIN_TEXT_H

#include <jansson.h>

#include <stddef.h>

enum { CLV_TEXT_LABEL_MAX = 512 };

/*
 * Write text as the value of a label, without the quotation marks around it: \\, \" and \n are
 * escaped.  What has no room is cut between two characters.
 * Returns out.
 */
const char *clv_text_label(const char *text, char out[static CLV_TEXT_LABEL_MAX]);

/* Text as a JSON string, which the caller owns; null for NULL; NULL when out of memory. */
json_t *clv_text_json(const char *text);

#endif
