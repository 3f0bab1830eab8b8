/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * options - parse the command line of culvertd.
 *
 * Threading: start-up, one thread (getopt_long keeps state of its own).
 */
#ifndef CLV_DAEMON_OPTIONS_H
#define CLV_DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#define CLV_CONFIG_FILE_DEFAULT "/etc/culvert/culvert.conf"
#define CLV_STATE_DIR_DEFAULT	"/var/lib/culvert"
#define CLV_RUN_DIR_DEFAULT	"/run/culvert"

enum clv_mode {
	CLV_MODE_SERVE = 0,
	CLV_MODE_CHECK,	       /* validate the configuration and exit */
	CLV_MODE_PLAN,	       /* print what each core would do, and why */
	CLV_MODE_PRINT_CONFIG, /* print a configuration file with every key and its default */
	CLV_MODE_VERSION,
	CLV_MODE_HELP,
};

/* Strings point into argv or are constants. */
struct clv_options {
	enum clv_mode mode;
	const char *config_file;
	bool is_config_given; /* a missing file is an error only then */
	const char *state_dir;
	const char *run_dir;
	int log_level; /* enum clv_log_level, or -1: as configured */
	/* For --plan, of a machine that is not here; 0: of this one. */
	unsigned assume_cores, assume_queues;
};

/*
 * Read the command line.  argv: borrows, as long as *out is used.
 * Returns 0 and fills *out, or CLV_ESYNTAX with one line in error.
 */
int clv_options_parse(int argc, char *const argv[], struct clv_options *out, char *error,
		      size_t error_len);

/* An option that was renamed.  The old name is an error that names the new one. */
struct clv_options_rename {
	const char *old_name, *new_name; /* with their dashes */
};

/* All of them; lives as long as the program. */
const struct clv_options_rename *clv_options_renames(size_t *len);

/* The text that --help prints; lives as long as the program. */
const char *clv_options_help(void);

/* Returns the level of a name ("error", "warn", "info", "debug"), or -1. */
int clv_log_level_parse(const char *text);

#endif
