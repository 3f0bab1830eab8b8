/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admin/text.h"

#include "datapath/base/utf8.h"

#include <stdlib.h>
#include <string.h>

const char *clv_text_label(const char *text, char out[static CLV_TEXT_LABEL_MAX])
{
	const char *part;
	size_t n, used = 0;

	for (; *text; text += n ? n : 1) {
		size_t part_len;

		n = clv_utf8_len(text);
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
		n = clv_utf8_len(copy + i);
		if (!n)
			copy[i] = '?';
	}
	string = copy ? json_string(copy) : NULL;
	free(copy);
	return string;
}
