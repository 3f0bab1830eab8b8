/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/masque/template.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"

#define P   "/.well-known/masque/udp/"
#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define L61 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *path;
	int err;
	enum clv_target_kind kind;
	const char *host;
	uint16_t port;
} paths[] = {
	{ P "192.0.2.6/443/", 0, CLV_TARGET_ADDRESS, "192.0.2.6", 443 },
	{ P "2001%3Adb8%3A%3A42/53/", 0, CLV_TARGET_ADDRESS, "2001:db8::42", 53 },
	{ P "2001%3adb8%3a%3a42/53/", 0, CLV_TARGET_ADDRESS, "2001:db8::42", 53 },
	{ P "%3A%3A1/1/", 0, CLV_TARGET_ADDRESS, "::1", 1 },
	{ P "target.example/65535/", 0, CLV_TARGET_NAME, "target.example", 65535 },
	{ P "target%2Eexample./1/", 0, CLV_TARGET_NAME, "target.example.", 1 },
	{ P "_x-y.EXAMPLE/%34%343/", 0, CLV_TARGET_NAME, "_x-y.EXAMPLE", 443 },
	{ P "1.example/1/", 0, CLV_TARGET_NAME, "1.example", 1 },
	{ P "0x.example/00053/", 0, CLV_TARGET_NAME, "0x.example", 53 },
	{ P L63 "." L63 "." L63 "." L61 "/1/", 0, CLV_TARGET_NAME, L63 "." L63 "." L63 "." L61, 1 },
	{ P "*/*/", 0, CLV_TARGET_ANY, "", 0 },
	{ P "%2A/%2a/", 0, CLV_TARGET_ANY, "", 0 },

	{ "", CLV_ENONAME, 0, 0, 0 },
	{ "/", CLV_ENONAME, 0, 0, 0 },
	{ "/.well-known/masque/udp", CLV_ENONAME, 0, 0, 0 },
	{ P, CLV_ENONAME, 0, 0, 0 },
	{ P "a", CLV_ENONAME, 0, 0, 0 },
	{ P "a/1", CLV_ENONAME, 0, 0, 0 },
	{ P "a/1/x", CLV_ENONAME, 0, 0, 0 },
	{ P "a/1//", CLV_ENONAME, 0, 0, 0 },
	{ P "a/1/?x=y", CLV_ENONAME, 0, 0, 0 },
	{ "/.well-known/masque/ip/a/1/", CLV_ENONAME, 0, 0, 0 },
	{ "/.WELL-KNOWN/masque/udp/a/1/", CLV_ENONAME, 0, 0, 0 },

	{ P "/443/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a//", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a/0/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a/00000/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a/65536/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a/99999/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a/000443/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a/184467440737095516/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a/-1/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a/+1/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a/0x50/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a/4 3/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a/http/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a/*/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "*/1/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "2001:db8::42/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "[2001%3Adb8%3A%3A42]/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "%5B2001%3Adb8%3A%3A42%5D/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "fe80%3A%3A1%25eth0/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a%25eth0/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "2001%3Adb8%3A%3Axyz/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a%3A1/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a%2/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a%/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a%zz/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a%00/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a%2Fb/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a%20b/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "b%C3%BCcher.example/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a..b/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P ".a/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "./53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P L63 "a.example/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P L63 "." L63 "." L63 "." L63 "/1/", CLV_ESYNTAX, 0, 0, 0 },
	{ P L63 "." L63 "." L63 "." L63 "." L63 "/1/", CLV_ESYNTAX, 0, 0, 0 },
	/* what a resolver would take for an address */
	{ P "127.1/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "2130706433/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "0x7f000001/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "0x/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "127.0.0.0x1/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "0177.0.0.1/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "127.0.0.1./53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "256.0.0.1/53/", CLV_ESYNTAX, 0, 0, 0 },
	{ P "a.example.5/53/", CLV_ESYNTAX, 0, 0, 0 },
	/* IPv4 in an IPv6 coat */
	{ P "%3A%3Affff%3A192.0.2.6/53/", CLV_EDENIED, 0, 0, 0 },
	{ P "0%3A0%3A0%3A0%3A0%3AFFFF%3A7f00%3A1/53/", CLV_EDENIED, 0, 0, 0 },
};

static void test_request_targets_are_read_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		/* Not zero-terminated, and in memory of its own size. */
		size_t len = strlen(paths[i].path);
		char *path = malloc(len ? len : 1);
		struct clv_target t = { .port = 4711 };
		const char *why = NULL;
		uint8_t addr[16];
		int err;

		memcpy(path, paths[i].path, len);
		err = clv_target_parse(path, len, &t, &why);
		free(path);
		if (err != paths[i].err)
			fail_msg("%s: %d, not %d", paths[i].path, err, paths[i].err);
		if (err < 0) {
			assert_int_equal(t.port, 4711);
			if (err != CLV_ENONAME)
				assert_non_null(why);
			continue;
		}
		assert_int_equal(t.kind, paths[i].kind);
		assert_string_equal(t.host, paths[i].host);
		assert_int_equal(t.port, paths[i].port);
		if (t.kind == CLV_TARGET_ADDRESS) {
			assert_int_equal(clv_addr_parse(t.host, addr), 0);
			assert_memory_equal(t.addr, addr, sizeof(addr));
		}
	}
}

static const struct {
	const char *uri_template, *host;
	uint16_t port;
	int err;
	const char *authority, *path;
} templates[] = {
	{ "https://r.example" CLV_TEMPLATE_DEFAULT_PATH, "192.0.2.6", 443, 0, "r.example",
	  P "192.0.2.6/443/" },
	{ "https://[2001:db8::1]:8443" CLV_TEMPLATE_DEFAULT_PATH, "2001:db8::42", 1, 0,
	  "[2001:db8::1]:8443", P "2001%3Adb8%3A%3A42/1/" },
	{ "HTTPS://r.example/a{target_host}b{target_port}", "t_1.example", 65535, 0, "r.example",
	  "/at_1.exampleb65535" },
	{ "https://r/{target_host,target_port}", "a", 5, 0, "r", "/a,5" },
	{ "https://r/p{?target_host,target_port}", "::1", 5, 0, "r",
	  "/p?target_host=%3A%3A1&target_port=5" },
	{ "https://r/p?x=1{&target_host,other,target_port}{missing}", "a", 5, 0, "r",
	  "/p?x=1&target_host=a&target_port=5" },
	{ "https://r/{other}{target_host}/{target_port}", "a", 5, 0, "r", "/a/5" },
	{ "https://r/{target_host}/{target_port}", "::ffff:192.0.2.1", 5, 0, "r",
	  "/%3A%3Affff%3A192.0.2.1/5" },

	{ "https://r/{target_host}/{target_port}", "a", 0, CLV_ERANGE, 0, 0 },
	{ "https://r/{target_host}/{target_port}", "", 5, CLV_ERANGE, 0, 0 },
	{ "https://r/{target_host}/{target_port}", "[::1]", 5, CLV_ERANGE, 0, 0 },
	{ "https://r/{target_host}/{target_port}", "fe80::1%eth0", 5, CLV_ERANGE, 0, 0 },
	{ "https://r/{target_host}/{target_port}", "a b", 5, CLV_ERANGE, 0, 0 },
	{ "https://r/{target_host}/{target_port}", L63 L63 L63 L63 L63, 5, CLV_ERANGE, 0, 0 },
	{ "http://r/{target_host}/{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "/{target_host}/{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https:///{target_host}/{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r?{target_host}{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://{target_host}/{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://u@r/{target_host}/{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r/{target_host}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r/{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r/{+target_host}/{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r/{#target_host}/{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r/{.target_host}/{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r/{/target_host}/{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r/{;target_host}/{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r/{=target_host}/{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r/{target_host:3}/{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r/{target_host*}/{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r/{target_host/{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r/{target_host}/{target_port", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r/}{target_host}/{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r/{}{target_host}/{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r/{target_host,}/{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r/{target_host}/{target_port}#x", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r/{target_host}/ {target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
	{ "https://r/{target_host}/\xc3\xbc{target_port}", "a", 5, CLV_ESYNTAX, 0, 0 },
};

static void test_templates_expand_or_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(templates) / sizeof(templates[0]); i++) {
		struct clv_template_uri uri = { .scheme = "x" };
		const char *why = NULL;
		int err = clv_template_expand(templates[i].uri_template, templates[i].host,
					      templates[i].port, &uri, &why);

		if (err != templates[i].err)
			fail_msg("%s with %s: %d, not %d", templates[i].uri_template,
				 templates[i].host, err, templates[i].err);
		if (err < 0) {
			assert_non_null(why);
			assert_string_equal(uri.scheme, "x");
			continue;
		}
		assert_string_equal(uri.scheme, "https");
		assert_string_equal(uri.authority, templates[i].authority);
		assert_string_equal(uri.path, templates[i].path);
	}
}

static void test_an_expansion_that_is_too_long_is_refused(void **state)
{
	char text[3 * CLV_TEMPLATE_URI_MAX];
	struct clv_template_uri uri;
	const char *why;
	size_t used = (size_t)sprintf(text, "https://r/{target_host}/{target_port}/");

	(void)state;
	memset(text + used, 'x', sizeof(text) - used - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(clv_template_expand(text, "a", 5, &uri, &why), CLV_ERANGE);
	text[used + CLV_TEMPLATE_URI_MAX - 10] = '\0';
	assert_int_equal(clv_template_expand(text, "a", 5, &uri, &why), 0);
}

static void test_what_the_client_writes_the_relay_reads(void **state)
{
	static const char *const hosts[] = { "192.0.2.6", "2001:db8::42", "a-b.example", "::1" };
	struct clv_template_uri uri;
	struct clv_target t;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		assert_int_equal(clv_template_expand("https://r" CLV_TEMPLATE_DEFAULT_PATH,
						     hosts[i], 4433, &uri, &why),
				 0);
		assert_int_equal(clv_target_parse(uri.path, strlen(uri.path), &t, &why), 0);
		assert_string_equal(t.host, hosts[i]);
		assert_int_equal(t.port, 4433);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_targets_are_read_or_refused),
		cmocka_unit_test(test_templates_expand_or_are_refused),
		cmocka_unit_test(test_an_expansion_that_is_too_long_is_refused),
		cmocka_unit_test(test_what_the_client_writes_the_relay_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
