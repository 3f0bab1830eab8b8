/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "control/daemon/options.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"

enum {
	ARGS_MAX = 8,
};

static int parse(const char *const *args, struct clv_options *out, char *error, size_t error_len)
{
	char *argv[ARGS_MAX + 2] = { (char *)"culvertd" };
	int argc = 1;

	while (args[argc - 1]) {
		argv[argc] = (char *)args[argc - 1];
		argc++;
	}
	return clv_options_parse(argc, argv, out, error, error_len);
}

static void without_options_the_defaults_hold(void **state)
{
	const char *const args[] = { NULL };
	struct clv_options o;
	char error[200];

	(void)state;
	assert_int_equal(parse(args, &o, error, sizeof(error)), 0);
	assert_int_equal(o.mode, CLV_MODE_SERVE);
	assert_string_equal(o.config_file, "/etc/culvert/culvert.conf");
	assert_false(o.is_config_given);
	assert_string_equal(o.state_dir, "/var/lib/culvert");
	assert_string_equal(o.run_dir, "/run/culvert");
	assert_int_equal(o.log_level, -1);
}

static void all_values_are_taken(void **state)
{
	const char *const args[] = { "--config", "c",		"--state-dir=s", "--run-dir",
				     "r",	 "--log-level", "debug",	 NULL };
	struct clv_options o;
	char error[200];

	(void)state;
	assert_int_equal(parse(args, &o, error, sizeof(error)), 0);
	assert_string_equal(o.config_file, "c");
	assert_true(o.is_config_given);
	assert_string_equal(o.state_dir, "s");
	assert_string_equal(o.run_dir, "r");
	assert_int_equal(o.log_level, CLV_LOG_DEBUG);
}

static const struct {
	const char *option;
	enum clv_mode mode;
} modes[] = {
	{ "--check", CLV_MODE_CHECK },
	{ "--plan", CLV_MODE_PLAN },
	{ "--version", CLV_MODE_VERSION },
	{ "--help", CLV_MODE_HELP },
	{ "-V", CLV_MODE_VERSION },
	{ "-h", CLV_MODE_HELP },
	{ "--print-config", CLV_MODE_PRINT_CONFIG },
};

static void modes_are_known_and_in_the_help(void **state)
{
	struct clv_options o;
	char error[200];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		const char *const args[] = { modes[i].option, NULL };

		assert_int_equal(parse(args, &o, error, sizeof(error)), 0);
		assert_int_equal(o.mode, modes[i].mode);
		assert_non_null(strstr(clv_options_help(), modes[i].option));
	}
}

static const struct {
	const char *args[3];
	const char *error;
} refusals[] = {
	{ { "--nonsense" }, "--nonsense: unknown option" },
	{ { "--config" }, "--config: needs a value" },
	{ { "extra" }, "extra: unexpected argument" },
	{ { "--log-level", "loud" }, "--log-level: \"loud\" is not error, warn, info or debug" },
	{ { "--state-dir", "" }, "--state-dir: needs a directory" },
	{ { "--run-dir", "" }, "--run-dir: needs a directory" },
	{ { "--assume-cores", "64" }, "--assume-cores: only with --plan" },
	{ { "--assume-queues=64" }, "--assume-queues: only with --plan" },
	{ { "--assume-cores=0" }, "--assume-cores: \"0\" is not a number from 1 to 1024" },
	{ { "--assume-queues=65" }, "--assume-queues: \"65\" is not a number from 1 to 64" },
	{ { "--assume-queues=6x" }, "--assume-queues: \"6x\" is not a number from 1 to 64" },
};

static void mistakes_are_named(void **state)
{
	struct clv_options o;
	char error[200];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		assert_int_equal(parse(refusals[i].args, &o, error, sizeof(error)), CLV_ESYNTAX);
		assert_string_equal(error, refusals[i].error);
	}
}

static void old_options_are_errors_that_name_the_new_ones(void **state)
{
	const struct clv_options_rename *r;
	size_t i, k, n;

	(void)state;
	r = clv_options_renames(&n);
	assert_true(n > 0);
	for (i = 0; i < n; i++, r++) {
		char with_value[64], want[100];
		const char *const forms[][3] = { { r->old_name, "debug", NULL },
						 { r->old_name, NULL },
						 { with_value, NULL } };

		snprintf(with_value, sizeof(with_value), "%s=debug", r->old_name);
		snprintf(want, sizeof(want), "%s is now called %s", r->old_name, r->new_name);
		for (k = 0; k < sizeof(forms) / sizeof(forms[0]); k++) {
			struct clv_options o;
			char error[200] = "";

			assert_int_equal(parse(forms[k], &o, error, sizeof(error)), CLV_ESYNTAX);
			assert_string_equal(error, want);
		}
		assert_non_null(strstr(clv_options_help(), r->new_name));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_options_the_defaults_hold),
		cmocka_unit_test(all_values_are_taken),
		cmocka_unit_test(modes_are_known_and_in_the_help),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(old_options_are_errors_that_name_the_new_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
