/* SPDX-License-Identifier: GPL-3.0-or-later */
/* show - JSON answers as aligned text for people. */
#ifndef CLV_CULVERTCTL_SHOW_H
#define CLV_CULVERTCTL_SHOW_H

#include <stdio.h>

#include <jansson.h>

/* One column of a table: the member it shows, and its heading. */
struct show_column {
	const char *key;
	const char *title;
};

/* Print an array of objects; numbers stand right.  columns: ends with a NULL key. */
void show_table(FILE *out, const json_t *rows, const struct show_column *columns);

void show_status(FILE *out, const json_t *answer);
void show_workers(FILE *out, const json_t *answer);
void show_drops(FILE *out, const json_t *answer);

#endif
