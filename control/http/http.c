/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/http/http.h"

const struct clv_http_field *clv_http_find_field(const struct clv_http_head *head, const char *name,
						 const struct clv_http_field *after)
{
	for (size_t i = after ? (size_t)(after - head->fields) + 1 : 0; i < head->len; i++)
		if (strcmp(head->fields[i].name, name) == 0)
			return &head->fields[i];
	return NULL;
}

const struct clv_http_field *clv_http_find_only(const struct clv_http_head *head, const char *name)
{
	const struct clv_http_field *f = clv_http_find_field(head, name, NULL);

	return f && !clv_http_find_field(head, name, f) ? f : NULL;
}
