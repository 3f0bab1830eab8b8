/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admin/text.h"

#include "datapath/base/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Returns the length of the UTF-8 character at text, or 0 if there is none. */
static size_t character_len(const char *text)
{
	struct clv_utf8 utf8 = { 0 };
	size_t i;

	for (i = 0; text[i] && clv_utf8_take(&utf8, (uint8_t)text[i]); i++)
		if (!utf8.left)
			return i + 1;
	return 0;
}

const char *clv_text_label(const char *text, char out[static CLV_TEXT_LABEL_MAX])
{
	const char *part;
	size_t n, used = 0;

	for (; *text; text += n ? n : 1) {
		size_t part_len;

		n = character_len(text);
		part = !n	       ? "?"
		       : *text == '\n' ? "\\n"
		       : *text == '"'  ? "\\\""
		       : *text == '\\' ? "\\\\"
				       : text;
		part_len = part == text ? n : strlen(part);
		if (used + part_len >= CLV_TEXT_LABEL_MAX)
			break;
		memcpy(out + used, part, part_len);
		used += part_len;
	}
	out[used] = '\0';
	return out;
}

json_t *clv_text_json(const char *text)
{
	json_t *string;
	char *copy;
	size_t i, n;

	if (!text)
		return json_null();
	string = json_string(text);
	if (string)
		return string;
	/* It has bytes that are not UTF-8, or there is no memory for the copy either. */
	copy = strdup(text);
	for (i = 0; copy && copy[i]; i += n ? n : 1) {
		n = character_len(copy + i);
		if (!n)
			copy[i] = '?';
	}
	string = copy ? json_string(copy) : NULL;
	free(copy);
	return string;
}
