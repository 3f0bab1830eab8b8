/* SPDX-License-Identifier: GPL-3.0-or-later */
/* table - prints JSON answers as aligned text. */
#ifndef CLV_CULVERTCTL_TABLE_H
#define CLV_CULVERTCTL_TABLE_H

#include <jansson.h>

#include <stdio.h>

enum {
	TABLE_CELL_MAX = 192, /* bytes of a formatted number */
};

/* One column of a table: the member it shows, and its heading. */
struct table_column {
	const char *key;
	const char *title;
};

/* Print an array of objects; numbers are right-aligned.  columns: ends with a NULL key. */
void table_show(FILE *out, const json_t *rows, const struct table_column *columns);

/* Format a value; "-" if there is none.  Returns buf, or a string of the value: lends. */
const char *table_cell(const json_t *value, char buf[static TABLE_CELL_MAX]);

/* Print "title value" if the object has such a member. */
void table_show_member(FILE *out, const json_t *object, const char *key, const char *title);

/* The value of a counter: a number, or the packets of {"packets": .., "bytes": ..}. */
json_int_t table_packets(const json_t *counter);

/* Print the counters that are not zero, one per line. */
void table_show_counters(FILE *out, const json_t *counters);

#endif
