/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvertctl/user.h"

#include "control/admission/identity.h"
#include "control/admission/password.h"
#include "control/admission/users_edit.h"
#include "control/admission/utc_date.h"
#include "control/daemon/config.h"
#include "control/daemon/links.h"
#include "control/daemon/options.h"
#include "control/host/directories.h"
#include "control/tls/pem.h"
#include "datapath/base/err.h"
#include "datapath/base/rand.h"
#include "tools/culvertctl/query.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
	EXIT_USAGE = 2,
	DAY_SEC = 86400,
	LIMITS_FIRST = 256, /* values of the options that are named after limits */
};

static const char help[] =
	"usage: culvertctl user add NAME [OPTIONS] [--password] [--key ID] [--ca ID|FILE] [LIMITS]\n"
	"       culvertctl user link NAME [OPTIONS]\n"
	"       culvertctl user list [OPTIONS] [--json]\n"
	"       culvertctl user remove NAME [OPTIONS]\n"
	"\n"
	"  add     add a user, and print the link with which a client uses the relay\n"
	"  link    print a new link for a user, or for \"default\"; earlier links stay valid\n"
	"  list    show all users\n"
	"  remove  remove a user, end its tunnels and invalidate its links\n"
	"\n"
	"  --expires TIME    until a date (2027-01-31), or for 90m, 12h, 30d; add, link\n"
	"  --password        name and password instead of a link; reads one line of standard input\n"
	"  --key ID          a TLS certificate of this key instead, as `culvert id` shows it\n"
	"  --ca ID|FILE      ... or one whose chain ends in this key, or in that of this certificate\n"
	"  --conns N, --tunnels N, --ports N\n"
	"                    connections, tunnels and bound ports at a time\n"
	"  --mbit N, --packets N\n"
	"                    Mbit/s of payload and packets a second, in each direction\n"
	"  --bytes N         bytes of payload in all (10G), since the relay started\n"
	"  --host HOST       name or address of the relay in the link\n"
	"  --config FILE     configuration of the relay (default " CLV_CONFIG_FILE_DEFAULT ")\n"
	"  --state-dir DIR   its state directory (default " CLV_STATE_DIR_DEFAULT ")\n"
	"  --run-dir DIR     its runtime directory (default " CLV_RUN_DIR_DEFAULT ")\n"
	"\n"
	"Links and the key that signs them are secrets: run as root.\n";

struct arguments {
	const char *config_file, *state_dir, *run_dir, *host, *name;
	bool is_config_given, is_json, has_password, has_certificate;
	uint64_t now_sec, expires_sec;
	char words[CLV_USERS_LINE_MAX]; /* of the user's line */
	struct clv_config config;
};

/* ---- the command line ---- */

static int complain(const char *what, const char *which)
{
	fprintf(stderr, "culvertctl: %s%s; try culvertctl user --help\n", what, which);
	return EXIT_USAGE;
}

static int add_word(struct arguments *a, const char *word, const char *value)
{
	size_t used = strlen(a->words);

	if (strpbrk(value, " \t#"))
		return complain("blanks are not allowed in the value of --", word);
	if (snprintf(a->words + used, sizeof(a->words) - used, "%s%s=%s", used ? " " : "", word,
		     value) >= (int)(sizeof(a->words) - used))
		return complain("too long: --", word);
	return 0;
}

/* A date, or a number of minutes, hours or days from now. */
static int parse_expires(const char *text, uint64_t now_sec, uint64_t *out)
{
	unsigned long long n, unit;
	char *end;

	if (clv_utc_date_parse(text, strlen(text), out) == 0)
		return *out > now_sec ? 0 : complain("that is over: ", text);
	n = strtoull(text, &end, 10);
	unit = !strcmp(end, "m") ? 60 : !strcmp(end, "h") ? 3600 : !strcmp(end, "d") ? DAY_SEC : 0;
	if (*text < '1' || *text > '9' || !unit || n > 100 * 366 * (uint64_t)DAY_SEC / unit)
		return complain("neither a date nor a time such as 30d: ", text);
	*out = now_sec + n * unit;
	return 0;
}

/* Add the id of a key: text itself, or that of the certificate in the file of this name. */
static int add_identity(struct arguments *a, const char *word, const char *text, bool may_be_file)
{
	char formatted[CLV_IDENTITY_TEXT_LEN + 1];
	struct clv_identity id;
	struct clv_pem_file file;
	int err = clv_identity_parse(text, strlen(text), &id);

	a->has_certificate = true;
	if (err && may_be_file) {
		err = clv_pem_load(text, &file);
		if (!err) {
			err = clv_cert_pin(&file.certs[0], id.bytes);
			clv_pem_free(&file);
		}
		if (err) {
			fprintf(stderr,
				"culvertctl: %s: neither an identity nor a certificate: %s\n", text,
				clv_pem_error(err));
			return EXIT_USAGE;
		}
	}
	if (err)
		return complain("not an identity such as `culvert id` shows: ", text);
	return add_word(a, word, clv_identity_format(&id, formatted));
}

static int take_option(struct arguments *a, int opt, const char *value)
{
	switch (opt) {
	case 'k':
		return add_identity(a, "key", value, false);
	case 'a':
		return add_identity(a, "ca", value, true);
	case 'c':
		a->config_file = value;
		a->is_config_given = true;
		return 0;
	case 's':
		a->state_dir = value;
		return 0;
	case 'r':
		a->run_dir = value;
		return 0;
	case 'o':
		a->host = value;
		return 0;
	case 'j':
		a->is_json = true;
		return 0;
	case 'p':
		a->has_password = true;
		return 0;
	case 'e':
		return parse_expires(value, a->now_sec, &a->expires_sec);
	default:
		return add_word(a,
				clv_client_limits_name((enum clv_client_limit)(opt - LIMITS_FIRST)),
				value);
	}
}

static int parse_options(int argc, char *argv[], struct arguments *a)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "state-dir", required_argument, NULL, 's' },
		{ "run-dir", required_argument, NULL, 'r' },
		{ "host", required_argument, NULL, 'o' },
		{ "expires", required_argument, NULL, 'e' },
		{ "password", no_argument, NULL, 'p' },
		{ "key", required_argument, NULL, 'k' },
		{ "ca", required_argument, NULL, 'a' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
#define X(symbol, word, maximum, text)                                                             \
	{ word, required_argument, NULL, LIMITS_FIRST + CLV_LIMIT_##symbol },
		CLV_CLIENT_LIMITS(X)
#undef X
			{ 0 },
	};
	int opt, err;

	optind = 0;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (opt == 'h') {
			fputs(help, stdout);
			exit(EXIT_SUCCESS);
		}
		if (opt == '?')
			return EXIT_USAGE; /* getopt has printed the error */
		err = take_option(a, opt, optarg);
		if (err)
			return err;
	}
	return 0;
}

/* ---- the pieces ---- */

static int fail(const struct arguments *a, const char *error, int err)
{
	fprintf(stderr, "culvertctl: %s%s%s\n", a->name ? a->name : "", a->name ? ": " : "",
		*error ? error : clv_strerror(err));
	return EXIT_FAILURE;
}

/* The users file; *out NULL if there is none. */
static int load_users(const struct arguments *a, struct clv_users **out)
{
	const uint64_t seed[2] = { 0, 0 };
	char error[512] = "";
	int err = clv_users_load(a->config.access_users, seed, out, error, sizeof(error));

	if (err == -ENOENT)
		*out = NULL;
	else if (err)
		return fail(a, error, err);
	return 0;
}

/* A new file must be readable by the user the relay runs as.  It holds no clear passwords. */
static void give_to_relay(const struct arguments *a)
{
	const struct passwd *pw = *a->config.user ? getpwnam(a->config.user) : NULL;

	if (pw && chown(a->config.access_users, (uid_t)-1, pw->pw_gid))
		fprintf(stderr, "culvertctl: %s: %s: the relay may be unable to read it\n",
			a->config.access_users, strerror(errno));
}

static void make_parent(const char *path)
{
	char folder[PATH_MAX], *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash && slash != folder) {
		*slash = '\0';
		clv_directories_make(folder, 0755);
	}
}

/* Have a running relay read the file.  Returns the exit code. */
static int reload(const struct arguments *a)
{
	static const struct command command = { .name = "reload-users", .source = FROM_DAEMON };
	const struct query q = { .command = &command, .run_dir = a->run_dir };
	json_t *answer = NULL;
	char error[512] = "";
	int err = query_daemon(&q, &answer, error, sizeof(error));

	json_decref(answer);
	if (!err || err == -ENOENT || err == -ECONNREFUSED)
		return EXIT_SUCCESS;
	fprintf(stderr,
		"culvertctl: the file was changed, but the relay still uses the old one: %s\n",
		error);
	return EXIT_FAILURE;
}

/* Read a password without echo and add its hash to the words. */
static int take_password(struct arguments *a)
{
	char password[CLV_PASSWORD_MAX + 2] = "", encoded[CLV_PASSWORD_TEXT_MAX];
	uint8_t salt[CLV_PASSWORD_SALT_LEN];
	struct termios saved, quiet;
	bool is_terminal = tcgetattr(STDIN_FILENO, &saved) == 0;
	struct clv_rand rand;
	int err;

	if (is_terminal) {
		fprintf(stderr, "password of %s: ", a->name);
		quiet = saved;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	err = fgets(password, sizeof(password), stdin) ? 0 : CLV_ERANGE;
	if (is_terminal) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved);
		fputc('\n', stderr);
	}
	password[strcspn(password, "\r\n")] = '\0';
	clv_rand_init(&rand, 0);
	clv_rand_bytes(&rand, salt, sizeof(salt));
	err = err ? err : clv_password_hash(password, strlen(password), salt, encoded);
	explicit_bzero(password, sizeof(password));
	if (err)
		return fail(a, err == CLV_ERANGE ? "a password has 1 to 256 bytes" : "", err);
	return add_word(a, "password", encoded);
}

static int print_link(const struct arguments *a)
{
	struct clv_links_request request = {
		.config = &a->config,
		.state_dir = a->state_dir,
		.host = a->host,
		.name = a->name,
		.wall_sec = a->now_sec,
		.expires_sec = a->expires_sec,
		.is_public = a->has_certificate,
	};
	char link[CLV_RELAY_LINK_MAX], error[512] = "";
	struct clv_users *users;
	int err = load_users(a, &users);

	if (err)
		return err;
	request.users = users;
	err = clv_links_make(&request, link, error, sizeof(error));
	clv_users_free(users);
	if (err)
		return fail(a, error, err);
	printf("%s\n", link);
	explicit_bzero(link, sizeof(link));
	if (clv_links_is_local_host(clv_links_host(&request)))
		fprintf(stderr,
			"culvertctl: clients elsewhere may not find \"%s\": --host HOST, or access.host "
			"in the configuration, sets the relay's name or address\n",
			clv_links_host(&request));
	return EXIT_SUCCESS;
}

/* ---- the commands ---- */

static int add(struct arguments *a)
{
	const char *path = a->config.access_users;
	bool is_new = access(path, F_OK) != 0;
	char error[512] = "", date[CLV_UTC_DATE_TEXT_MAX];
	int err = 0;

	if (a->expires_sec)
		err = add_word(a, "expires", clv_utc_date_format(a->expires_sec, date));
	if (!err && a->has_password)
		err = take_password(a);
	if (err)
		return err;
	/* A removed user's line without any word would still be that of a removed user. */
	if (!*a->words)
		err = add_word(a, "tunnels", "unlimited");
	if (err)
		return err;
	make_parent(path);
	err = clv_users_add(path, a->name, a->words, error, sizeof(error));
	explicit_bzero(a->words, sizeof(a->words));
	if (err)
		return fail(a, err == -EEXIST ? "there is such a user already" : error, err);
	if (is_new)
		give_to_relay(a);
	err = reload(a);
	if (err || a->has_password ||
	    (!a->has_certificate && a->config.access_mode != CLV_ACCESS_TOKEN))
		return err;
	a->expires_sec = 0; /* the user's line says it */
	return print_link(a);
}

static int remove_user(struct arguments *a)
{
	const char *path = a->config.access_users;
	bool is_new = access(path, F_OK) != 0, was_there;
	char error[512] = "";
	int err;

	make_parent(path);
	err = clv_users_remove(path, a->name, a->now_sec, &was_there, error, sizeof(error));
	if (err)
		return fail(a, error, err);
	if (is_new)
		give_to_relay(a);
	if (!was_there && strcmp(a->name, CLV_LINKS_DEFAULT_NAME) != 0)
		fprintf(stderr,
			"culvertctl: %s: no such user; links of that name are invalid now\n",
			a->name);
	return reload(a);
}

/* One user for display; holds no secret. */
static json_t *from_user(const struct clv_user *user)
{
	char limits[CLV_CLIENT_LIMITS_TEXT_MAX], date[CLV_UTC_DATE_TEXT_MAX];
	const char *proof = user->password  ? "password"
			    : user->has_key ? "key"
			    : user->has_ca  ? "ca"
					    : "link";

	if (clv_user_is_tombstone(user))
		proof = "removed";
	return json_pack("{s:s,s:s,s:s,s:s}", "name", user->name, "proof", proof, "expires",
			 user->expires_sec ? clv_utc_date_format(user->expires_sec, date) : "never",
			 "limits", clv_client_limits_format(&user->limits, limits));
}

static int list(struct arguments *a)
{
	static const struct table_column columns[] = {
		{ "name", "name" },	{ "proof", "proof" }, { "expires", "expires" },
		{ "limits", "limits" }, { NULL, NULL },
	};
	const struct clv_user *all;
	struct clv_users *users;
	json_t *rows = json_array();
	int err = load_users(a, &users);
	size_t i, n;

	if (err) {
		json_decref(rows);
		return err;
	}
	if (!clv_users_find(users, CLV_LINKS_DEFAULT_NAME, strlen(CLV_LINKS_DEFAULT_NAME)))
		json_array_append_new(rows,
				      json_pack("{s:s,s:s,s:s,s:s}", "name", CLV_LINKS_DEFAULT_NAME,
						"proof", "link", "expires", "never", "limits", ""));
	n = clv_users_all(users, &all);
	for (i = 0; i < n; i++)
		json_array_append_new(rows, from_user(&all[i]));
	clv_users_free(users);
	if (a->is_json) {
		json_t *answer = json_pack("{s:o}", "users", rows);

		json_dumpf(answer, stdout, JSON_INDENT(2));
		printf("\n");
		json_decref(answer);
	} else {
		table_show(stdout, rows, columns);
		json_decref(rows);
	}
	return EXIT_SUCCESS;
}

static const struct {
	const char *word;
	bool has_name;
	int (*run)(struct arguments *a);
} commands[] = {
	{ "add", true, add },
	{ "link", true, NULL },
	{ "list", false, list },
	{ "remove", true, remove_user },
};

static int run(struct arguments *a, const char *word, int words)
{
	char error[512] = "";
	size_t i;
	int err;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].word, word) == 0)
			break;
	if (i == sizeof(commands) / sizeof(commands[0]))
		return complain("unknown command: user ", word);
	if (words != 1 + commands[i].has_name)
		return complain(commands[i].has_name ? "exactly one NAME is required by user "
						     : "no NAME is taken by user ",
				word);
	err = clv_config_load(a->config_file, a->is_config_given, &a->config, error, sizeof(error));
	if (err) {
		fprintf(stderr, "culvertctl: %s\n", error);
		return EXIT_FAILURE;
	}
	err = commands[i].run ? commands[i].run(a) : print_link(a);
	clv_config_fini(&a->config);
	return err;
}

int user_main(int argc, char *argv[])
{
	struct arguments a = {
		.config_file = CLV_CONFIG_FILE_DEFAULT,
		.state_dir = CLV_STATE_DIR_DEFAULT,
		.run_dir = CLV_RUN_DIR_DEFAULT,
		.now_sec = (uint64_t)time(NULL),
	};
	int err = parse_options(argc, argv, &a);

	if (err)
		return err;
	if (optind == argc) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	a.name = optind + 1 < argc ? argv[optind + 1] : NULL;
	return run(&a, argv[optind], argc - optind);
}
