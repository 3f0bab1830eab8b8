/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/options.h"

#include "bpf/abi.h"
#include "datapath/base/ascii.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum {
	OPT_CONFIG = 'c',
	OPT_HELP = 'h',
	OPT_VERSION = 'V',
	OPT_STATE = 256,
	OPT_RUN,
	OPT_CHECK,
	OPT_PLAN,
	OPT_ASSUME_CORES,
	OPT_ASSUME_QUEUES,
	OPT_PRINT_CONFIG,
	OPT_LOG,
	OPT_RENAMED,
	CORES_MAX = 1024,
};

static const struct option long_options[] = {
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "state-dir", required_argument, NULL, OPT_STATE },
	{ "run-dir", required_argument, NULL, OPT_RUN },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "plan", no_argument, NULL, OPT_PLAN },
	{ "assume-cores", required_argument, NULL, OPT_ASSUME_CORES },
	{ "assume-queues", required_argument, NULL, OPT_ASSUME_QUEUES },
	{ "print-config", no_argument, NULL, OPT_PRINT_CONFIG },
	{ "log-level", required_argument, NULL, OPT_LOG },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	/* Renamed options, which getopt would otherwise accept as abbreviations of the new ones. */
	{ "state", optional_argument, NULL, OPT_RENAMED },
	{ "run", optional_argument, NULL, OPT_RENAMED },
	{ "log", optional_argument, NULL, OPT_RENAMED },
	{ 0 },
};

static const struct clv_options_rename renames[] = {
	{ "--state", "--state-dir" },
	{ "--run", "--run-dir" },
	{ "--log", "--log-level" },
};

static const char help[] =
	"usage: culvertd [options]\n"
	"\n"
	"The Culvert relay.  Without a configuration file it serves on all interfaces with\n"
	"all features; a file is for limits, addresses and certificates.\n"
	"\n"
	"  -c, --config FILE  configuration (default " CLV_CONFIG_FILE_DEFAULT ", if there)\n"
	"      --state-dir DIR\n"
	"                     keys, certificates, secrets (default " CLV_STATE_DIR_DEFAULT ")\n"
	"      --run-dir DIR  control socket and lock; also names the directory of the pinned maps\n"
	"                     (default " CLV_RUN_DIR_DEFAULT ")\n"
	"      --log-level LEVEL\n"
	"                     error, warn, info or debug; overrides the configuration\n"
	"      --check        validate the configuration and exit\n"
	"      --plan         print what each core would do, and why, and the memory that is taken at\n"
	"                     the start, and exit\n"
	"      --assume-cores N, --assume-queues N\n"
	"                     with --plan: for a machine of so many cores, whose interfaces have so\n"
	"                     many receive queues each\n"
	"      --print-config print a file with every key, its meaning and its default, and exit\n"
	"  -V, --version\n"
	"  -h, --help\n"
	"\n"
	"Signals: TERM and INT close all connections and stop; HUP reads the configuration again.\n";

int clv_log_level_parse(const char *text)
{
	static const char *const names[] = {
		[CLV_LOG_ERROR] = "error",
		[CLV_LOG_WARN] = "warn",
		[CLV_LOG_INFO] = "info",
		[CLV_LOG_DEBUG] = "debug",
	};
	int i;

	for (i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++)
		if (strcmp(text, names[i]) == 0)
			return i;
	return -1;
}

static int read_number(const char *option, const char *text, unsigned max, unsigned *out,
		       char *error, size_t error_len)
{
	unsigned long number = 0;
	const char *c;

	for (c = text; clv_is_digit(*c) && number <= max; c++)
		number = 10 * number + (unsigned)(*c - '0');
	if (*c || !number || number > max) {
		snprintf(error, error_len, "--%s: \"%s\" is not a number from 1 to %u", option,
			 text, max);
		return CLV_ESYNTAX;
	}
	*out = (unsigned)number;
	return 0;
}

static int take(struct clv_options *o, int opt, const char *value, char *error, size_t error_len)
{
	switch (opt) {
	case OPT_CONFIG:
		o->config_file = value;
		o->is_config_given = true;
		break;
	case OPT_STATE:
		o->state_dir = value;
		break;
	case OPT_RUN:
		o->run_dir = value;
		break;
	case OPT_CHECK:
		o->mode = CLV_MODE_CHECK;
		break;
	case OPT_PLAN:
		o->mode = CLV_MODE_PLAN;
		break;
	case OPT_ASSUME_CORES:
		return read_number("assume-cores", value, CORES_MAX, &o->assume_cores, error,
				   error_len);
	case OPT_ASSUME_QUEUES:
		return read_number("assume-queues", value, CLV_QUEUES_MAX, &o->assume_queues, error,
				   error_len);
	case OPT_PRINT_CONFIG:
		o->mode = CLV_MODE_PRINT_CONFIG;
		break;
	case OPT_LOG:
		o->log_level = clv_log_level_parse(value);
		if (o->log_level >= 0)
			break;
		snprintf(error, error_len, "--log-level: \"%s\" is not error, warn, info or debug",
			 value);
		return CLV_ESYNTAX;
	case OPT_VERSION:
		o->mode = CLV_MODE_VERSION;
		break;
	default:
		o->mode = CLV_MODE_HELP;
		break;
	}
	return 0;
}

/* arg: as written, with or without "=VALUE". */
static int refuse_renamed(const char *arg, char *error, size_t error_len)
{
	size_t i, len = strcspn(arg, "=");

	for (i = 0; i < sizeof(renames) / sizeof(renames[0]); i++)
		if (strlen(renames[i].old_name) == len &&
		    strncmp(arg, renames[i].old_name, len) == 0)
			snprintf(error, error_len, "%s is now called %s", renames[i].old_name,
				 renames[i].new_name);
	return CLV_ESYNTAX;
}

int clv_options_parse(int argc, char *const argv[], struct clv_options *out, char *error,
		      size_t error_len)
{
	struct clv_options o = {
		.config_file = CLV_CONFIG_FILE_DEFAULT,
		.state_dir = CLV_STATE_DIR_DEFAULT,
		.run_dir = CLV_RUN_DIR_DEFAULT,
		.log_level = -1,
	};
	int err, opt;

	opterr = 0; /* we print the messages */
	optind = 0; /* reset the state of an earlier parse */
	while ((opt = getopt_long(argc, argv, ":c:hV", long_options, NULL)) != -1) {
		if (opt == OPT_RENAMED)
			return refuse_renamed(argv[optind - 1], error, error_len);
		if (opt == ':' || opt == '?') {
			snprintf(error, error_len, "%s: %s", argv[optind - 1],
				 opt == ':' ? "needs a value" : "unknown option");
			return CLV_ESYNTAX;
		}
		err = take(&o, opt, optarg, error, error_len);
		if (err)
			return err;
	}
	if (optind < argc) {
		snprintf(error, error_len, "%s: unexpected argument", argv[optind]);
		return CLV_ESYNTAX;
	}
	if (o.mode != CLV_MODE_PLAN && (o.assume_cores || o.assume_queues)) {
		snprintf(error, error_len, "%s: only with --plan",
			 o.assume_cores ? "--assume-cores" : "--assume-queues");
		return CLV_ESYNTAX;
	}
	if (!*o.state_dir || !*o.run_dir) {
		snprintf(error, error_len, "%s: needs a directory",
			 *o.run_dir ? "--state-dir" : "--run-dir");
		return CLV_ESYNTAX;
	}
	*out = o;
	return 0;
}

const struct clv_options_rename *clv_options_renames(size_t *len)
{
	*len = sizeof(renames) / sizeof(renames[0]);
	return renames;
}

const char *clv_options_help(void)
{
	return help;
}
