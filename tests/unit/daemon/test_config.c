/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/daemon/config.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"

static struct clv_config parse(const char *text)
{
	struct clv_config c = { 0 };
	char error[300] = "";
	int err = clv_config_parse("f", text, &c, error, sizeof(error));

	if (err)
		fail_msg("%d: %s", err, error);
	return c;
}

static void an_empty_file_gives_the_defaults(void **state)
{
	struct clv_config c = parse("");

	(void)state;
	assert_int_equal(c.datapath, CLV_CONFIG_DATAPATH_AUTO);
	assert_int_equal(c.log_level, CLV_LOG_INFO);
	assert_int_equal(c.listeners_len, 1);
	assert_int_equal(c.listeners[0].port, 443);
	assert_int_equal(c.listeners[0].profile, CLV_PROFILE_PQC);
	assert_string_equal(c.listeners[0].cert_file, "");
	assert_int_equal(c.limits.conns_max, 16384);
	assert_int_equal(c.limits.queue.sojourn_ns, 50 * CLV_MSEC);
	assert_int_equal(c.proxy.tunnel_idle_ns, 120 * CLV_SEC);
	assert_int_equal(c.limits.stream_window, 64 * 1024);
	assert_int_equal(c.interfaces.len, 0);
	assert_true(c.verify_checksum);
	clv_config_fini(&c);
}

static void every_kind_of_value_is_read(void **state)
{
	struct clv_config c = parse("datapath = xdp # a comment\n"
				    "interfaces = {eth0, # a comment\n\"eth1\"}\n"
				    "workers = 3\n"
				    "proxy-name = relay.example\n"
				    "listener main { port = 8443 /* another */ }\n"
				    "listener web { port = 4443 profile = hybrid\n"
				    "  cert = /c//c.pem\n  key = \"/k#.pem\" }\n"
				    "policy { allow = {\"198.18.0.0/15\"} deny = {2001:db8::1} }\n"
				    "egress { port-min = 30000 port-max = 30001 }\n"
				    "limits { sojourn-ms = 7 capsule-backlog-kib = 5 }\n"
				    "io { verify-checksum = false }\n");

	(void)state;
	assert_int_equal(c.datapath, CLV_CONFIG_DATAPATH_XDP);
	assert_int_equal(c.interfaces.len, 2);
	assert_string_equal(c.interfaces.items[1], "eth1");
	assert_int_equal(c.workers_max, 3);
	assert_string_equal(c.proxy_name, "relay.example");
	assert_int_equal(c.listeners_len, 2);
	assert_string_equal(c.listeners[0].name, "main");
	assert_int_equal(c.listeners[0].port, 8443);
	assert_int_equal(c.listeners[1].profile, CLV_PROFILE_HYBRID);
	assert_string_equal(c.listeners[1].cert_file, "/c//c.pem");
	assert_string_equal(c.listeners[1].key_file, "/k#.pem");
	assert_int_equal(c.allow.len, 1);
	assert_string_equal(c.deny.items[0], "2001:db8::1");
	assert_int_equal(c.egress_port_max, 30001);
	assert_int_equal(c.limits.queue.sojourn_ns, 7 * CLV_MSEC);
	assert_int_equal(c.proxy.capsule_backlog, 5 * 1024);
	assert_false(c.verify_checksum);
	clv_config_fini(&c);
}

static const struct refusal {
	const char *text;
	const char *error; /* its beginning */
	int err;
} refusals[] = {
	{ "\nnonsense = 1\n", "f:2: no such option 'nonsense'", CLV_ESYNTAX },
	{ "limits { nonsense = 1 }\n", "f:1: no such option 'nonsense'", CLV_ESYNTAX },
	{ "workers = many\n", "f:1: ", CLV_ESYNTAX },
	{ "\n\nworkers = 65\n", "f:3: workers = 65 is outside 0 to 64", CLV_ERANGE },
	{ "workers = -1\n", "f:1: workers = -1 is outside 0 to 64", CLV_ERANGE },
	{ "workers = 99999999999999999999\n", "f:1: ", CLV_ESYNTAX },
	{ "datapath = fast\n", "f:1: datapath = fast is none of auto|zerocopy|xdp|generic|sock",
	  CLV_ESYNTAX },
	{ "io { verify-checksum = maybe }\n", "f:1: ", CLV_ESYNTAX },
	{ "limits {\n\tsojourn-ms = 0\n}\n", "f:2: sojourn-ms = 0 is outside 1 to 10000",
	  CLV_ERANGE },
	{ "limits {\n", "f: a section or comment is not closed", CLV_ESYNTAX },
	{ "workers = 1\n/* none\n", "f: a section or comment is not closed", CLV_ESYNTAX },
	{ "workers =", "f:", CLV_ESYNTAX },
	/* Lines of comments are counted once, in all forms and places. */
	{ "# one\n#\n// three\n/* four\nfive */\nworkers = 65\n",
	  "f:6: workers = 65 is outside 0 to 64", CLV_ERANGE },
	{ "io { # one\n\t# two\n\tring-packets = 1\n}\n", "f:3: ring-packets = 1 is outside",
	  CLV_ERANGE },
	{ "interfaces = {a, # one\n/* two */ b} // two\nworkers = 65\n", "f:3: workers",
	  CLV_ERANGE },
	{ "listener a { cert = /a//b key = \"/*#\" }\nworkers = 65\n", "f:2: workers", CLV_ERANGE },
	{ "proxy-name = \"\\\"#\"\nworkers = 65 # 'one\n", "f:2: workers", CLV_ERANGE },
	{ "proxy-name = a#b\nworkers = 65\n", "f:2: workers", CLV_ERANGE },
	{ "certificate-names = {a,", "f:", CLV_ESYNTAX },
	{ "proxy-name = \"a", "f:", CLV_ESYNTAX },
	{ "}", "f:1: ", CLV_ESYNTAX },
	{ "workers 3\n", "f:1: ", CLV_ESYNTAX },
	{ "egress { port-min = 9 port-max = 8 }\n", "f:1: egress: port-min 9 is above port-max 8",
	  CLV_ERANGE },
	{ "\nio {\n ring-packets = 1000\n}\n", "f:4: io: ring-packets = 1000 is not a power of two",
	  CLV_ERANGE },
	{ "listener a { port = 1 }\nlistener b { port = 1 }\n",
	  "f:2: listeners a and b have the same port 1", CLV_ESYNTAX },
	{ "listener a { port = 1 }\nlistener b { port = 1 address = 192.0.2.1 }\n",
	  "f:2: listeners a and b have the same port 1 on the same address", CLV_ESYNTAX },
	{ "listener a { address = \"2001:db8::1\" }\nlistener b { address = \"2001:DB8:0::1\" }\n",
	  "f:2: listeners a and b have the same port 443 on the same address", CLV_ESYNTAX },
	{ "listener a { address = relay.example }\n",
	  "f:1: listener a: address = relay.example is no local address", CLV_ESYNTAX },
	{ "listener a { address = \"0.0.0.0\" }\n",
	  "f:1: listener a: address = 0.0.0.0 is no local address", CLV_ESYNTAX },
	{ "listener a { address = \"::\" }\n", "f:1: listener a: address = :: is no local address",
	  CLV_ESYNTAX },
	{ "listener a { cert = c }\n", "f:1: listener a has cert without key", CLV_ESYNTAX },
	{ "listener a { key = k }\n", "f:1: listener a has key without cert", CLV_ESYNTAX },
	{ "listener a { port = 20000 }\n",
	  "f:1: listener a: port 20000 lies in the egress range 20000 to 59999", CLV_ERANGE },
	{ "listener a { }\nlistener a { }\n", "f:2: ", CLV_ESYNTAX },
	{ "listener a { profile = classical }\n", "f:1: profile = classical is none of pqc|hybrid",
	  CLV_ESYNTAX },
	{ "policy { allow = {\"10.0.0.0/33\"} }\n", "f:1: policy: ", CLV_ESYNTAX },
	{ "proxy-name = \"a b\"\n", "f: proxy-name may have printable ASCII only", CLV_ESYNTAX },
	{ "interfaces = {\"name-that-is-far-too-long\"}\n", "f: interfaces: ", CLV_ESYNTAX },
	{ "certificate-names = {\"\"}\n", "f: certificate-names: ", CLV_ESYNTAX },
};

static void bad_files_are_refused_with_their_name_and_line(void **state)
{
	struct clv_config c;
	char error[300];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		const struct refusal *r = &refusals[i];
		int err;

		error[0] = 0;
		err = clv_config_parse("f", r->text, &c, error, sizeof(error));
		if (err != r->err || strncmp(error, r->error, strlen(r->error)) != 0)
			fail_msg("%s: %d %s", r->text, err, error);
	}
}

/* With any value, the error has the line of the old key, and the new key. */
static void old_keys_are_errors_that_name_the_new_ones(void **state)
{
	static const char *const values[] = { "5", "true", "word", "\"\"", "{}", "{\"a\"}" };
	const struct clv_config_rename *r;
	size_t i, k, n;

	(void)state;
	r = clv_config_renames(&n);
	assert_true(n > 0);
	for (i = 0; i < n; i++, r++) {
		for (k = 0; k < sizeof(values) / sizeof(values[0]); k++) {
			char text[200], want[200], error[300] = "";
			struct clv_config c;

			snprintf(text, sizeof(text), "# first\n%s%s%s = %s\n%s",
				 r->section ? r->section : "", r->section ? " {\n" : "\n",
				 r->old_name, values[k], r->section ? "}\n" : "");
			snprintf(want, sizeof(want), "f:3: %s is now called %s", r->old_name,
				 r->new_name);
			assert_int_equal(clv_config_parse("f", text, &c, error, sizeof(error)),
					 CLV_ESYNTAX);
			assert_string_equal(error, want);
		}
	}
}

/* The new key must work, and no key may have two meanings. */
static void new_names_are_options_and_old_ones_are_not(void **state)
{
	const struct clv_config_option *o;
	const struct clv_config_rename *r;
	size_t i, k, n, options;

	(void)state;
	o = clv_config_options(&options);
	r = clv_config_renames(&n);
	for (i = 0; i < n; i++) {
		unsigned old_names = 0, new_names = 0;

		for (k = 0; k < options; k++) {
			if (o[k].section != r[i].section &&
			    (!o[k].section || !r[i].section ||
			     strcmp(o[k].section, r[i].section) != 0))
				continue;
			old_names += strcmp(o[k].name, r[i].old_name) == 0;
			new_names += strcmp(o[k].name, r[i].new_name) == 0;
		}
		if (old_names || new_names != 1)
			fail_msg("%s -> %s: %u, %u", r[i].old_name, r[i].new_name, old_names,
				 new_names);
	}
}

static void more_listeners_than_fit_are_refused(void **state)
{
	struct clv_config c;
	char text[1024] = "", error[300];
	int i;

	(void)state;
	for (i = 0; i <= CLV_LISTENERS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "listener l%d { port = %d }\n", i, 1000 + i);
	assert_int_equal(clv_config_parse("f", text, &c, error, sizeof(error)), CLV_ERANGE);
	assert_string_equal(error, "f:9: more than 8 listeners");
}

/* ---- the documentation ---- */

static char *printed(void)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	clv_config_print(out);
	fclose(out);
	return text;
}

static void the_shipped_file_is_what_the_table_says(void **state)
{
	char *want, *got = NULL;
	size_t room = 0;
	ssize_t n;
	FILE *in = fopen("deploy/culvert.conf", "r");

	(void)state;
	if (!in) {
		print_message("run in the top directory of the source\n");
		skip();
	}
	n = getdelim(&got, &room, 0, in);
	fclose(in);
	assert_true(n > 0);
	want = printed();
	assert_string_equal(got, want);
	free(got);
	free(want);
}

/* Every "#key" becomes a setting; what is "# text" or "\t# text" stays a comment. */
static void uncomment(char *text)
{
	char *line, *out = text;
	bool is_start = true;

	for (line = text; *line; line++) {
		bool is_setting = is_start && line[0] == '#' && line[1] != ' ' && line[1] != '\n';

		is_start = *line == '\n';
		if (!is_setting)
			*out++ = *line;
	}
	*out = 0;
}

static void documented_defaults_are_the_defaults(void **state)
{
	const struct clv_config_option *o;
	struct clv_config written, defaults = parse("");
	char *text = printed();
	size_t i, n;

	(void)state;
	uncomment(text);
	assert_non_null(strstr(text, "\ndatapath = auto\n"));
	written = parse(text);
	o = clv_config_options(&n);
	for (i = 0; i < n; i++, o++)
		if (!clv_config_is_same(o, &written, &defaults))
			fail_msg("%s", o->name);
	clv_config_fini(&written);
	clv_config_fini(&defaults);
	free(text);
}

static void options_that_differ_are_found(void **state)
{
	struct clv_config a = parse("workers = 1\nlistener a { }\npolicy { deny = {1.1.1.1} }");
	struct clv_config b = parse("workers = 2\nlistener a { port = 1 }\n");
	const struct clv_config_option *o;
	size_t i, n, differ = 0;

	(void)state;
	o = clv_config_options(&n);
	for (i = 0; i < n; i++)
		differ += !clv_config_is_same(&o[i], &a, &b);
	assert_int_equal(differ, 3);
	clv_config_fini(&a);
	clv_config_fini(&b);
}

/* ---- files ---- */

static void a_missing_file_is_an_error_only_when_asked_for(void **state)
{
	struct clv_config c;
	char error[300];

	(void)state;
	assert_int_equal(clv_config_load("/nonexistent/c", true, &c, error, sizeof(error)),
			 -ENOENT);
	assert_non_null(strstr(error, "/nonexistent/c: "));
	assert_int_equal(clv_config_load("/nonexistent/c", false, &c, error, sizeof(error)), 0);
	assert_int_equal(c.listeners_len, 1);
	clv_config_fini(&c);
}

static void a_file_is_read_and_errors_name_it(void **state)
{
	char path[] = "/tmp/clv-test-config-XXXXXX", error[300], want[64];
	int fd = mkstemp(path);
	struct clv_config c;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "workers = 5\n", 12), 12);
	assert_int_equal(clv_config_load(path, true, &c, error, sizeof(error)), 0);
	assert_int_equal(c.workers_max, 5);
	clv_config_fini(&c);

	assert_int_equal(write(fd, "worker = 5\n", 11), 11);
	assert_int_equal(clv_config_load(path, true, &c, error, sizeof(error)), CLV_ESYNTAX);
	snprintf(want, sizeof(want), "%s:2: ", path);
	assert_int_equal(strncmp(error, want, strlen(want)), 0);

	assert_int_equal(pwrite(fd, "\0", 1, 0), 1);
	assert_int_equal(clv_config_load(path, true, &c, error, sizeof(error)), CLV_ESYNTAX);
	assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
	assert_int_equal(clv_config_load(path, true, &c, error, sizeof(error)), CLV_ERANGE);
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_file_gives_the_defaults),
		cmocka_unit_test(every_kind_of_value_is_read),
		cmocka_unit_test(bad_files_are_refused_with_their_name_and_line),
		cmocka_unit_test(old_keys_are_errors_that_name_the_new_ones),
		cmocka_unit_test(new_names_are_options_and_old_ones_are_not),
		cmocka_unit_test(more_listeners_than_fit_are_refused),
		cmocka_unit_test(the_shipped_file_is_what_the_table_says),
		cmocka_unit_test(documented_defaults_are_the_defaults),
		cmocka_unit_test(options_that_differ_are_found),
		cmocka_unit_test(a_missing_file_is_an_error_only_when_asked_for),
		cmocka_unit_test(a_file_is_read_and_errors_name_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
