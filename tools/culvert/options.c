/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvert/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)

static const char usage[] =
	"usage: culvert forward --relay HOST:PORT --listen ADDR:PORT --target HOST:PORT TRUST\n"
	"       culvert ping    --relay HOST:PORT --target HOST:PORT TRUST\n"
	"                       [--count N] [--size BYTES] [--interval SECONDS] [--json]\n"
	"       culvert bind    --relay HOST:PORT TRUST [--app ADDR:PORT] [--peer ADDR:PORT]...\n"
	"                       [--closed] [--remotes N] [--idle SECONDS] [--compress-above N] [--json]\n"
	"TRUST: --ca FILE          certificate authority of the relay, PEM\n"
	"       --pin sha256:HEX   fingerprint that the relay printed at its start\n"
	"more:  --capsules          datagrams in capsules: reliable and in order, slower\n"
	"       --answer SECONDS    longest wait for the relay's answer to a request (15)\n"
	"       --look USEC         look on so long for more before a sleep (50; 0: never)\n"
	"       --profile pqc|hybrid   --name SERVERNAME   --log error|warn|info|debug\n"
	"       --help   --version\n";

enum {
	OPT_RELAY = 1,
	OPT_LISTEN,
	OPT_TARGET,
	OPT_CA,
	OPT_PIN,
	OPT_PROFILE,
	OPT_NAME,
	OPT_COUNT,
	OPT_SIZE,
	OPT_INTERVAL,
	OPT_JSON,
	OPT_CAPSULES,
	OPT_APP,
	OPT_PEER,
	OPT_CLOSED,
	OPT_REMOTES,
	OPT_IDLE,
	OPT_COMPRESS_ABOVE,
	OPT_ANSWER,
	OPT_LOOK,
	OPT_LOG,
	OPT_HELP,
	OPT_VERSION,
	PING_SIZE_MIN = 16, /* sequence and time */
	PING_SIZE_MAX = 1472,
};

static const struct option long_options[] = {
	{ "relay", required_argument, NULL, OPT_RELAY },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "target", required_argument, NULL, OPT_TARGET },
	{ "ca", required_argument, NULL, OPT_CA },
	{ "pin", required_argument, NULL, OPT_PIN },
	{ "profile", required_argument, NULL, OPT_PROFILE },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "count", required_argument, NULL, OPT_COUNT },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "interval", required_argument, NULL, OPT_INTERVAL },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "capsules", no_argument, NULL, OPT_CAPSULES },
	{ "app", required_argument, NULL, OPT_APP },
	{ "peer", required_argument, NULL, OPT_PEER },
	{ "closed", no_argument, NULL, OPT_CLOSED },
	{ "remotes", required_argument, NULL, OPT_REMOTES },
	{ "idle", required_argument, NULL, OPT_IDLE },
	{ "compress-above", required_argument, NULL, OPT_COMPRESS_ABOVE },
	{ "answer", required_argument, NULL, OPT_ANSWER },
	{ "look", required_argument, NULL, OPT_LOOK },
	{ "log", required_argument, NULL, OPT_LOG },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

static int parse_endpoint(const char *text, struct endpoint *out)
{
	out->text = text;
	return culvert_host_parse(text, out->host, &out->port);
}

static int parse_pin(const char *text, const char **out)
{
	uint8_t sha256[CULVERT_PIN_LEN];

	*out = text;
	return culvert_pin_parse(text, sha256);
}

static int parse_number(const char *text, unsigned long min, unsigned long max, uint32_t *out)
{
	char *rest;
	unsigned long n = strtoul(text, &rest, 10);

	if (*text < '0' || *text > '9' || *rest || n < min || n > max)
		return -1;
	*out = (uint32_t)n;
	return 0;
}

static int parse_interval(const char *text, uint64_t *out)
{
	char *rest;
	double sec = strtod(text, &rest);

	if (rest == text || *rest || !(sec >= 0.001 && sec <= 3600))
		return -1;
	*out = (uint64_t)(sec * SECOND_NS);
	return 0;
}

/* Which of the words it is. */
static int parse_word(const char *text, const char *const *words, int len)
{
	for (int i = 0; i < len; i++)
		if (!strcmp(text, words[i]))
			return i;
	return -1;
}

static int parse_profile(const char *text, enum culvert_profile *out)
{
	static const char *const words[] = { "pqc", "hybrid" };
	int i = parse_word(text, words, 2);

	*out = i == 1 ? CULVERT_HYBRID : CULVERT_PQC;
	return i < 0;
}

static int parse_level(const char *text, enum culvert_log *out)
{
	static const char *const words[] = { "error", "warn", "info", "debug" };
	int i = parse_word(text, words, 4);

	*out = i < 0 ? CULVERT_LOG_WARN : (enum culvert_log)i;
	return i < 0;
}

static int take(int opt, const char *arg, struct options *o)
{
	switch (opt) {
	case OPT_RELAY:
		return parse_endpoint(arg, &o->relay) || !o->relay.port;
	case OPT_LISTEN: /* port 0: any */
		return parse_endpoint(arg, &o->listen);
	case OPT_TARGET:
		return parse_endpoint(arg, &o->target) || !o->target.port;
	case OPT_CA:
		o->ca_file = arg;
		return 0;
	case OPT_PIN:
		return parse_pin(arg, &o->pin);
	case OPT_PROFILE:
		return parse_profile(arg, &o->profile);
	case OPT_NAME:
		o->server_name = arg;
		return 0;
	case OPT_COUNT:
		return parse_number(arg, 1, 1000000, &o->count);
	case OPT_SIZE:
		return parse_number(arg, PING_SIZE_MIN, PING_SIZE_MAX, &o->size);
	case OPT_INTERVAL:
		return parse_interval(arg, &o->interval_ns);
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_CAPSULES:
		o->capsules = true;
		return 0;
	case OPT_APP:
		return parse_endpoint(arg, &o->app);
	case OPT_PEER:
		if (o->peers_len == OPTIONS_PEERS_MAX)
			return -1;
		o->peers[o->peers_len++] = arg;
		return 0;
	case OPT_CLOSED:
		o->closed = true;
		return 0;
	case OPT_REMOTES:
		return parse_number(arg, 1, 65536, &o->remotes);
	case OPT_IDLE:
		return parse_number(arg, 1, 86400, &o->idle_sec);
	case OPT_COMPRESS_ABOVE:
		return parse_number(arg, 0, 1000000, &o->compress_above);
	case OPT_ANSWER:
		return parse_number(arg, 1, 3600, &o->answer_sec);
	case OPT_LOOK:
		return parse_number(arg, 0, 10000, &o->look_usec);
	default:
		return parse_level(arg, &o->log_level);
	}
}

static int complain(const char *what, const char *which)
{
	fprintf(stderr, "culvert: %s%s\n%s", what, which, usage);
	return -1;
}

static int answer(int opt)
{
	if (opt == OPT_HELP)
		fputs(usage, stdout);
	else
		printf("culvert %s\n", culvert_version());
	return 1;
}

static int complain_option(char **argv)
{
	char letter[] = { '-', (char)optopt, '\0' };

	/* getopt has not moved past a word of several letters; values of long options are below ' ' */
	return complain("unknown or incomplete option: ", optopt > ' ' ? letter : argv[optind - 1]);
}

static bool is_for(int opt, enum command command)
{
	switch (opt) {
	case OPT_LISTEN:
		return command == COMMAND_FORWARD;
	case OPT_TARGET:
		return command != COMMAND_BIND;
	case OPT_COUNT:
	case OPT_SIZE:
	case OPT_INTERVAL:
		return command == COMMAND_PING;
	case OPT_JSON:
		return command != COMMAND_FORWARD;
	case OPT_APP:
	case OPT_PEER:
	case OPT_CLOSED:
	case OPT_REMOTES:
	case OPT_IDLE:
	case OPT_COMPRESS_ABOVE:
		return command == COMMAND_BIND;
	default:
		return true;
	}
}

static int parse_command(int argc, char **argv, enum command *out)
{
	if (argc < 2)
		return complain("a command is missing", "");
	if (!strcmp(argv[1], "--help"))
		return answer(OPT_HELP);
	if (!strcmp(argv[1], "--version"))
		return answer(OPT_VERSION);
	if (*argv[1] == '-')
		return complain("the command comes before its options: ", argv[1]);
	if (!strcmp(argv[1], "forward"))
		*out = COMMAND_FORWARD;
	else if (!strcmp(argv[1], "ping"))
		*out = COMMAND_PING;
	else if (!strcmp(argv[1], "bind"))
		*out = COMMAND_BIND;
	else
		return complain("no such command: ", argv[1]);
	return 0;
}

static int check(const struct options *o)
{
	union culvert_address address;

	if (!o->relay.port)
		return complain("say which relay: --relay HOST:PORT", "");
	if (!o->target.port && o->command != COMMAND_BIND)
		return complain("say which target: --target HOST:PORT", "");
	if (o->command == COMMAND_FORWARD && !*o->listen.host)
		return complain("say where to listen: --listen ADDR:PORT", "");
	if (o->listen.text && culvert_address_parse(o->listen.text, &address))
		return complain("--listen wants an address: ", o->listen.text);
	if (o->app.text && (culvert_address_parse(o->app.text, &address) || !o->app.port))
		return complain("--app wants ADDRESS:PORT: ", o->app.text);
	if (!o->ca_file == !o->pin)
		return complain("say whom to trust, by one of --ca FILE and --pin sha256:HEX", "");
	return 0;
}

int options_parse(int argc, char **argv, struct options *o)
{
	int opt, index, code;

	*o = (struct options){
		.count = 10,
		.size = 64,
		.interval_ns = SECOND_NS / 5,
		.remotes = 1024,
		.compress_above = 20,
		.idle_sec = 120,
		.answer_sec = 15,
		.look_usec = 50,
		.log_level = CULVERT_LOG_WARN,
	};
	code = parse_command(argc, argv, &o->command);
	if (code)
		return code;
	argc--;
	argv++;
	opterr = 0;
	optind = 0;
	while ((opt = getopt_long(argc, argv, "+", long_options, &index)) != -1) {
		if (opt == OPT_HELP || opt == OPT_VERSION)
			return answer(opt);
		if (opt == '?')
			return complain_option(argv);
		if (!is_for(opt, o->command))
			return complain("not an option of this command: --",
					long_options[index].name);
		if (take(opt, optarg, o)) {
			fprintf(stderr, "culvert: bad value for --%s: %s\n",
				long_options[index].name, optarg);
			return -1;
		}
	}
	if (optind < argc)
		return complain("one word too many: ", argv[optind]);
	return check(o);
}
