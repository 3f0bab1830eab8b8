/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvertctl/table.h"

#include <stdbool.h>
#include <string.h>

enum {
	COLUMNS_MAX = 24,
};

const char *table_cell(const json_t *value, char buf[static TABLE_CELL_MAX])
{
	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		return json_string_value(value);
	case JSON_INTEGER:
		snprintf(buf, TABLE_CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		return buf;
	case JSON_TRUE:
		return "yes";
	case JSON_FALSE:
		return "no";
	default:
		return "-";
	}
}

static bool is_number_column(const json_t *rows, const char *key)
{
	return json_is_integer(json_object_get(json_array_get(rows, 0), key));
}

/* The width of the longest cell; negative, as printf has it, for a left-aligned column. */
static int width_of(const json_t *rows, const struct table_column *column)
{
	int width = (int)strlen(column->title);
	char buf[TABLE_CELL_MAX];

	for (size_t r = 0; r < json_array_size(rows); r++) {
		const json_t *row = json_array_get(rows, r);
		int len = (int)strlen(table_cell(json_object_get(row, column->key), buf));

		if (len > width)
			width = len;
	}
	return is_number_column(rows, column->key) ? width : -width;
}

/* A left-aligned last column is not padded. */
static void show_cell(FILE *out, const char *text, int width, bool is_last)
{
	fprintf(out, "%*s%s", is_last && width < 0 ? 0 : width, text, is_last ? "\n" : "  ");
}

void table_show(FILE *out, const json_t *rows, const struct table_column *columns)
{
	int width[COLUMNS_MAX];
	char buf[TABLE_CELL_MAX];
	size_t i, r, n;

	for (n = 0; n < COLUMNS_MAX && columns[n].key; n++)
		width[n] = width_of(rows, &columns[n]);
	for (i = 0; i < n; i++)
		show_cell(out, columns[i].title, width[i], i + 1 == n);
	for (r = 0; r < json_array_size(rows); r++) {
		const json_t *row = json_array_get(rows, r);

		for (i = 0; i < n; i++)
			show_cell(out, table_cell(json_object_get(row, columns[i].key), buf),
				  width[i], i + 1 == n);
	}
}

void table_show_member(FILE *out, const json_t *object, const char *key, const char *title)
{
	const json_t *value = json_object_get(object, key);
	char buf[TABLE_CELL_MAX];

	if (value)
		fprintf(out, "%-14s %s\n", title, table_cell(value, buf));
}

json_int_t table_packets(const json_t *counter)
{
	return json_integer_value(json_is_object(counter) ? json_object_get(counter, "packets")
							  : counter);
}

void table_show_counters(FILE *out, const json_t *counters)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)counters, name, value) {
		json_int_t packets = table_packets(value);

		if (packets)
			fprintf(out, "  %-32s %" JSON_INTEGER_FORMAT "\n", name, packets);
	}
}
