/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Any bytes as a structured field value: as a list, as a Boolean item and as Proxy-Status.  Text
 * that was read can be written again and is read as the same.
 */
#include <string.h>

#include "control/http/fields.h"
#include "control/masque/proxy_status.h"
#include "tests/fuzz/fuzz.h"

enum {
	TEXT = 256,
};

static void check_item(const struct clv_item *item, const char *value, size_t size)
{
	char text[TEXT], quoted[2 * TEXT + 2], again[TEXT];
	struct clv_fields_cursor c;
	struct clv_item read;
	int n;

	CHECK(item->type >= CLV_ITEM_BOOLEAN && item->type <= CLV_ITEM_DISPLAY);
	if (item->type != CLV_ITEM_STRING && item->type != CLV_ITEM_TOKEN)
		return;
	CHECK(item->text >= value && item->text + item->text_len <= value + size);
	CHECK(clv_fields_copy_text(item, text, sizeof(text)) == strlen(text));
	n = clv_fields_write_string(text, quoted, sizeof(quoted));
	CHECK(n >= 2);
	c = (struct clv_fields_cursor){ quoted, quoted + n, false };
	CHECK(clv_fields_read_member(&c, &read) == 1 && read.type == CLV_ITEM_STRING);
	clv_fields_copy_text(&read, again, sizeof(again));
	CHECK(strcmp(text, again) == 0);
}

/* Returns the number of members, or negative. */
static int read_list(const char *value, size_t size, struct clv_item *first)
{
	struct clv_fields_cursor c = { value, value + size, false };
	struct clv_item item;
	const char *key;
	size_t key_len;
	int members = 0, r;

	while ((r = clv_fields_read_member(&c, &item)) > 0) {
		check_item(&item, value, size);
		if (members++ == 0)
			*first = item;
		while ((r = clv_fields_read_parameter(&c, &key, &key_len, &item)) > 0) {
			CHECK(key_len > 0 && key >= value && key + key_len <= value + size);
			check_item(&item, value, size);
		}
		if (r < 0)
			return r;
	}
	return r < 0 ? r : members;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct clv_proxy_status_read ps;
	struct clv_item first = { .boolean = false };
	char *value = malloc(size ? size : 1);
	int members;

	CHECK(value);
	if (size > 0)
		memcpy(value, data, size);
	members = read_list(value, size, &first);
	CHECK(clv_fields_is_true(value, size) ==
	      (members == 1 && first.type == CLV_ITEM_BOOLEAN && first.boolean));
	CHECK((clv_proxy_status_parse(value, size, &ps) == 0) == (members >= 0));
	free(value);
	return 0;
}
