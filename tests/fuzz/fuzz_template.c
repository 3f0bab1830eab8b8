/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Any bytes as a :path after the template's prefix, and as a URI template.  A target that is read
 * can be written again and is read as the same.
 */
#include <string.h>

#include "control/masque/template.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "tests/fuzz/fuzz.h"

static const char prefix[] = "/.well-known/masque/udp/";

static void check_target(const struct clv_target *t)
{
	struct clv_template_uri uri;
	struct clv_target again;
	const char *why = NULL;

	if (t->kind == CLV_TARGET_ANY)
		return;
	CHECK(t->port > 0);
	CHECK(*t->host && !strpbrk(t->host, "%/[]*"));
	CHECK(t->kind == CLV_TARGET_ADDRESS || !strchr(t->host, ':'));
	CHECK(clv_template_expand("https://r" CLV_TEMPLATE_DEFAULT_PATH, t->host, t->port, &uri,
				  &why) == 0);
	CHECK(clv_target_parse(uri.path, strlen(uri.path), &again, &why) == 0);
	CHECK(memcmp(&again, t, sizeof(again)) == 0);
}

static void fuzz_path(const uint8_t *data, size_t size)
{
	size_t len = sizeof(prefix) - 1 + size;
	char *path = malloc(len);
	struct clv_target t;
	const char *why = NULL;
	int err;

	CHECK(path);
	memset(&t, 0, sizeof(t));
	memcpy(path, prefix, sizeof(prefix) - 1);
	memcpy(path + sizeof(prefix) - 1, data, size);
	err = clv_target_parse(path, len, &t, &why);
	free(path);
	if (err == 0)
		check_target(&t);
	else
		CHECK(err == CLV_ENONAME || why);
}

static void fuzz_uri_template(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct clv_template_uri uri;
	const char *why = NULL;

	CHECK(text);
	memcpy(text, data, size);
	text[size] = '\0';
	if (clv_template_expand(text, "2001:db8::1", 443, &uri, &why) == 0) {
		CHECK(uri.path[0] == '/' && *uri.authority);
		CHECK(strstr(uri.path, "2001%3Adb8%3A%3A1") && strstr(uri.path, "443"));
		CHECK(!strpbrk(uri.path, " {}#"));
	} else {
		CHECK(why);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_path(data, size);
	fuzz_uri_template(data, size);
	return 0;
}
