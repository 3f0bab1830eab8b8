/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvert/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SECOND_NS UINT64_C(1000000000)

static const char usage[] =
	"usage: culvert forward --relay RELAY --listen ADDR:PORT --target HOST:PORT\n"
	"       culvert ping    --relay RELAY --target HOST:PORT\n"
	"                       [--count N] [--size BYTES] [--interval SECONDS] [--json]\n"
	"       culvert bind    --relay RELAY [--app ADDR:PORT] [--permit ADDR:PORT]...\n"
	"                       [--closed] [--remotes-max N] [--idle SECONDS] [--compress-above N]\n"
	"                       [--json]\n"
	"       culvert listen  --relay RELAY --app ADDR:PORT [--accept ID]... [--json]\n"
	"       culvert connect TICKET|ID --listen ADDR:PORT [--relay RELAY] [--at ADDR:PORT]...\n"
	"                       [--json]\n"
	"       culvert id      [--identity FILE] [--json]\n"
	"       culvert nat     --relay RELAY... [--json]\n"
	"RELAY, one of:\n"
	"  culvert://...              link of `culvertctl user link`, with pin and token\n"
	"  HOST:PORT                  and how to authenticate the relay, one of:\n"
	"  --ca FILE                  certificate authority of the relay, PEM\n"
	"  --pin sha256:HEX           pin of its key, which the relay prints when it starts\n"
	"two peers, each with an identity of `culvert id`:\n"
	"  --accept ID                a peer that may connect; may be repeated (everyone)\n"
	"  --at ADDR:PORT             where the peer listens (asked of the relay)\n"
	"  --privacy relay-only|reflexive|open\n"
	"                             what the peer learns: relays alone, then no path is direct; where\n"
	"                             our packets come from; also our interfaces' addresses (reflexive)\n"
	"  --identity FILE            our identity (that of `culvert id`, made if there is none)\n"
	"options of forward, ping, bind and listen:\n"
	"  --identity FILE            of `culvert id`: present it to a relay that asks for one\n"
	"  --profile pqc|hybrid       accepted handshakes (pqc)\n"
	"  --server-name NAME         name in the relay's certificate (the host of --relay)\n"
	"  --capsules                 send datagrams in capsules: reliable and in order, but slower\n"
	"  --answer-timeout SECONDS   longest wait for the relay's response to a request (15)\n"
	"  --spin USEC                busy-poll for this long before sleeping (50; 0: never)\n"
	"  --log-level error|warn|info|debug\n"
	"                             verbosity on standard error (warn)\n"
	"  --help, --version\n";

enum {
	OPT_RELAY = 1,
	OPT_LISTEN,
	OPT_TARGET,
	OPT_CA,
	OPT_PIN,
	OPT_IDENTITY,
	OPT_PROFILE,
	OPT_SERVER_NAME,
	OPT_COUNT,
	OPT_SIZE,
	OPT_INTERVAL,
	OPT_JSON,
	OPT_CAPSULES,
	OPT_APP,
	OPT_PERMIT,
	OPT_CLOSED,
	OPT_REMOTES_MAX,
	OPT_IDLE,
	OPT_COMPRESS_ABOVE,
	OPT_ACCEPT,
	OPT_AT,
	OPT_PRIVACY,
	OPT_ANSWER_TIMEOUT,
	OPT_SPIN,
	OPT_LOG_LEVEL,
	OPT_HELP,
	OPT_VERSION,
	OPT_RENAMED,
	PING_SIZE_MIN = 16, /* sequence number and time */
	PING_SIZE_MAX = 1472,
};

/* X(old name, new name): using an old one is an error that names the new one. */
#define RENAMED_OPTIONS(X)                                                                         \
	X("answer", "answer-timeout")                                                              \
	X("log", "log-level")                                                                      \
	X("look", "spin")                                                                          \
	X("name", "server-name")                                                                   \
	X("peer", "permit")                                                                        \
	X("remotes", "remotes-max")

static const struct option long_options[] = {
	{ "relay", required_argument, NULL, OPT_RELAY },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "target", required_argument, NULL, OPT_TARGET },
	{ "ca", required_argument, NULL, OPT_CA },
	{ "pin", required_argument, NULL, OPT_PIN },
	{ "identity", required_argument, NULL, OPT_IDENTITY },
	{ "profile", required_argument, NULL, OPT_PROFILE },
	{ "server-name", required_argument, NULL, OPT_SERVER_NAME },
	{ "count", required_argument, NULL, OPT_COUNT },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "interval", required_argument, NULL, OPT_INTERVAL },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "capsules", no_argument, NULL, OPT_CAPSULES },
	{ "app", required_argument, NULL, OPT_APP },
	{ "permit", required_argument, NULL, OPT_PERMIT },
	{ "closed", no_argument, NULL, OPT_CLOSED },
	{ "remotes-max", required_argument, NULL, OPT_REMOTES_MAX },
	{ "idle", required_argument, NULL, OPT_IDLE },
	{ "compress-above", required_argument, NULL, OPT_COMPRESS_ABOVE },
	{ "accept", required_argument, NULL, OPT_ACCEPT },
	{ "at", required_argument, NULL, OPT_AT },
	{ "privacy", required_argument, NULL, OPT_PRIVACY },
	{ "answer-timeout", required_argument, NULL, OPT_ANSWER_TIMEOUT },
	{ "spin", required_argument, NULL, OPT_SPIN },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
#define X(old_name, new_name) { old_name, optional_argument, NULL, OPT_RENAMED },
	RENAMED_OPTIONS(X)
#undef X
		{ 0 },
};

static const struct {
	const char *old_name, *new_name;
} renamed[] = {
#define X(old_name, new_name) { old_name, new_name },
	RENAMED_OPTIONS(X)
#undef X
};

static int parse_endpoint(const char *text, struct endpoint *out)
{
	out->text = text;
	return culvert_host_parse(text, out->host, &out->port);
}

/* HOST:PORT, or a link, which disappears from the list of processes: it holds a secret. */
static int parse_relay(char *text, struct options *o)
{
	static char link[2048], shown[CULVERT_HOST_TEXT + 10];
	size_t len = strlen(text);

	if (strncasecmp(text, "culvert:", 8))
		return parse_endpoint(text, &o->relay) || !o->relay.port;
	if (len >= sizeof(link) ||
	    culvert_link_parse(text, o->relay.host, &o->relay.port, &o->link_has_pin)) {
		memset(text + 8, 0, len - 8);
		return -1;
	}
	memcpy(link, text, len + 1);
	memset(text + 8, 0, len - 8);
	snprintf(shown, sizeof(shown), strchr(o->relay.host, ':') ? "[%s]:%u" : "%s:%u",
		 o->relay.host, o->relay.port);
	o->relay.text = shown;
	o->link = link;
	return 0;
}

/* nat asks several relays, and needs no more than their addresses. */
static int add_relay(char *text, struct options *o)
{
	if (parse_relay(text, o))
		return -1;
	if (o->command != COMMAND_NAT)
		return 0;
	if (o->relays_len == OPTIONS_RELAYS_MAX)
		return -1;
	o->relays[o->relays_len] = o->relay;
	o->relays[o->relays_len++].text = NULL;
	return 0;
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

/* Returns the index of text in choices, or -1. */
static int parse_choice(const char *text, const char *const *choices, int len)
{
	for (int i = 0; i < len; i++)
		if (!strcmp(text, choices[i]))
			return i;
	return -1;
}

static int parse_profile(const char *text, enum culvert_profile *out)
{
	static const char *const choices[] = { "pqc", "hybrid" };
	int i = parse_choice(text, choices, 2);

	*out = i == 1 ? CULVERT_HYBRID : CULVERT_PQC;
	return i < 0;
}

static int parse_level(const char *text, enum culvert_log *out)
{
	static const char *const choices[] = { "error", "warn", "info", "debug" };
	int i = parse_choice(text, choices, 4);

	*out = i < 0 ? CULVERT_LOG_WARN : (enum culvert_log)i;
	return i < 0;
}

static int parse_privacy(const char *text, enum culvert_privacy *out)
{
	static const struct {
		const char *name;
		enum culvert_privacy privacy;
	} modes[] = {
		{ "relay-only", CULVERT_PRIVACY_RELAY_ONLY },
		{ "reflexive", CULVERT_PRIVACY_REFLEXIVE },
		{ "open", CULVERT_PRIVACY_OPEN },
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (!strcmp(text, modes[i].name)) {
			*out = modes[i].privacy;
			return 0;
		}
	}
	return -1;
}

static int parse_accept(const char *text, struct options *o)
{
	if (o->accepts_len == OPTIONS_ACCEPTS_MAX || strlen(text) != CULVERT_ID_TEXT - 1 ||
	    strncmp(text, "clv1", 4))
		return -1;
	o->accepts[o->accepts_len++] = text;
	return 0;
}

static int parse_at(const char *text, struct options *o)
{
	union culvert_address address;

	if (o->at_len == OPTIONS_AT_MAX || culvert_address_parse(text, &address))
		return -1;
	o->at[o->at_len++] = text;
	return 0;
}

static int parse_value(int opt, char *arg, struct options *o)
{
	switch (opt) {
	case OPT_RELAY:
		return add_relay(arg, o);
	case OPT_LISTEN: /* port 0: any */
		return parse_endpoint(arg, &o->listen);
	case OPT_TARGET:
		return parse_endpoint(arg, &o->target) || !o->target.port;
	case OPT_CA:
		o->ca_file = arg;
		return 0;
	case OPT_PIN:
		return parse_pin(arg, &o->pin);
	case OPT_IDENTITY:
		o->identity = arg;
		return 0;
	case OPT_PROFILE:
		return parse_profile(arg, &o->profile);
	case OPT_SERVER_NAME:
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
	case OPT_PERMIT:
		if (o->permits_len == OPTIONS_PERMITS_MAX)
			return -1;
		o->permits[o->permits_len++] = arg;
		return 0;
	case OPT_CLOSED:
		o->closed = true;
		return 0;
	case OPT_REMOTES_MAX:
		return parse_number(arg, 1, 65536, &o->remotes_max);
	case OPT_IDLE:
		return parse_number(arg, 1, 86400, &o->idle_sec);
	case OPT_COMPRESS_ABOVE:
		return parse_number(arg, 0, 1000000, &o->compress_above);
	case OPT_ACCEPT:
		return parse_accept(arg, o);
	case OPT_AT:
		return parse_at(arg, o);
	case OPT_PRIVACY:
		return parse_privacy(arg, &o->privacy);
	case OPT_ANSWER_TIMEOUT:
		return parse_number(arg, 1, 3600, &o->answer_timeout_sec);
	case OPT_SPIN:
		return parse_number(arg, 0, 10000, &o->spin_usec);
	default:
		return parse_level(arg, &o->log_level);
	}
}

static int complain(const char *what, const char *which)
{
	fprintf(stderr, "culvert: %s%s\n%s", what, which, usage);
	return -1;
}

static int print_info(int opt)
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

	/* getopt does not move past a group of short options; values of long options are below ' ' */
	return complain("unknown or incomplete option: ", optopt > ' ' ? letter : argv[optind - 1]);
}

static int complain_renamed(const char *name)
{
	unsigned i = 0;

	while (strcmp(renamed[i].old_name, name))
		i++;
	fprintf(stderr, "culvert: --%s is now called --%s\n", name, renamed[i].new_name);
	return -1;
}

static bool is_for(int opt, enum command command)
{
	if (command == COMMAND_ID)
		return opt == OPT_IDENTITY || opt == OPT_JSON;
	if (command == COMMAND_CONNECT)
		return opt != OPT_TARGET && opt != OPT_COUNT && opt != OPT_SIZE &&
		       opt != OPT_INTERVAL && opt != OPT_APP && opt != OPT_PERMIT &&
		       opt != OPT_CLOSED && opt != OPT_REMOTES_MAX && opt != OPT_IDLE &&
		       opt != OPT_COMPRESS_ABOVE && opt != OPT_ACCEPT && opt != OPT_CAPSULES;
	if (command == COMMAND_NAT)
		return opt == OPT_RELAY || opt == OPT_JSON || opt == OPT_LOG_LEVEL;
	switch (opt) {
	case OPT_LISTEN:
		return command == COMMAND_FORWARD;
	case OPT_TARGET:
		return command != COMMAND_BIND && command != COMMAND_LISTEN;
	case OPT_ACCEPT:
	case OPT_PRIVACY:
		return command == COMMAND_LISTEN;
	case OPT_AT:
		return false;
	case OPT_COUNT:
	case OPT_SIZE:
	case OPT_INTERVAL:
		return command == COMMAND_PING;
	case OPT_JSON:
		return command != COMMAND_FORWARD;
	case OPT_APP:
		return command == COMMAND_BIND || command == COMMAND_LISTEN;
	case OPT_PERMIT:
	case OPT_CLOSED:
	case OPT_REMOTES_MAX:
	case OPT_IDLE:
	case OPT_COMPRESS_ABOVE:
		return command == COMMAND_BIND;
	default:
		return true;
	}
}

static int parse_command(int argc, char **argv, enum command *out)
{
	static const char *const commands[] = {
		[COMMAND_FORWARD] = "forward", [COMMAND_PING] = "ping",
		[COMMAND_BIND] = "bind",       [COMMAND_ID] = "id",
		[COMMAND_LISTEN] = "listen",   [COMMAND_CONNECT] = "connect",
		[COMMAND_NAT] = "nat",
	};

	if (argc < 2)
		return complain("a command is missing", "");
	if (!strcmp(argv[1], "--help"))
		return print_info(OPT_HELP);
	if (!strcmp(argv[1], "--version"))
		return print_info(OPT_VERSION);
	if (*argv[1] == '-')
		return complain("the command must precede its options: ", argv[1]);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i]))
			continue;
		*out = (enum command)i;
		return 0;
	}
	return complain("no such command: ", argv[1]);
}

/* The relay of a ticket, unless the command line names one or the peer's addresses. */
static int take_ticket(struct options *o)
{
	static char link[CULVERT_TICKET_TEXT];
	char id[CULVERT_ID_TEXT];

	if (o->at_len || o->relay.port || !o->to || strncmp(o->to, "culvert1:", 9))
		return 0;
	if (culvert_ticket_read(o->to, 0, id, link))
		return complain("not a ticket: ", o->to);
	return parse_relay(link, o);
}

static int check_connect(const struct options *o)
{
	union culvert_address address;

	if (!o->to)
		return complain("a peer's TICKET or ID is required", "");
	if (!o->listen.text || culvert_address_parse(o->listen.text, &address))
		return complain("--listen ADDR:PORT is required", "");
	if (!o->at_len && !o->relay.port)
		return complain("a ticket, --relay or --at is required", "");
	if (o->relay.port && !o->link_has_pin && !o->ca_file == !o->pin)
		return complain("exactly one of --ca FILE and --pin sha256:HEX is required", "");
	return 0;
}

static int check(const struct options *o)
{
	union culvert_address address;

	if (o->command == COMMAND_ID)
		return 0;
	if (o->command == COMMAND_CONNECT)
		return check_connect(o);
	if (!o->relay.port)
		return complain("--relay LINK or HOST:PORT is required", "");
	if (o->command == COMMAND_NAT)
		return 0;
	if (o->command == COMMAND_LISTEN && !o->app.text)
		return complain("--app ADDR:PORT is required", "");
	if (!o->target.port && o->command != COMMAND_BIND && o->command != COMMAND_LISTEN)
		return complain("--target HOST:PORT is required", "");
	if (o->command == COMMAND_FORWARD && !*o->listen.host)
		return complain("--listen ADDR:PORT is required", "");
	if (o->listen.text && culvert_address_parse(o->listen.text, &address))
		return complain("--listen requires ADDR:PORT: ", o->listen.text);
	if (o->app.text && (culvert_address_parse(o->app.text, &address) || !o->app.port))
		return complain("--app requires ADDR:PORT: ", o->app.text);
	if (!o->link_has_pin && !o->ca_file == !o->pin)
		return complain("exactly one of --ca FILE and --pin sha256:HEX is required", "");
	return 0;
}

int options_parse(int argc, char **argv, struct options *o)
{
	int opt, index, code;

	*o = (struct options){
		.count = 10,
		.size = 64,
		.interval_ns = SECOND_NS / 5,
		.remotes_max = 1024,
		.compress_above = 20,
		.idle_sec = 120,
		.answer_timeout_sec = 15,
		.spin_usec = 50,
		.log_level = CULVERT_LOG_WARN,
	};
	code = parse_command(argc, argv, &o->command);
	if (code)
		return code;
	argc--;
	argv++;
	if (o->command == COMMAND_CONNECT && argc > 1 && *argv[1] != '-') {
		o->to = argv[1];
		argc--;
		argv++;
	}
	opterr = 0;
	optind = 0;
	while ((opt = getopt_long(argc, argv, "+", long_options, &index)) != -1) {
		if (opt == OPT_HELP || opt == OPT_VERSION)
			return print_info(opt);
		if (opt == '?')
			return complain_option(argv);
		if (opt == OPT_RENAMED)
			return complain_renamed(long_options[index].name);
		if (!is_for(opt, o->command))
			return complain("not an option of this command: --",
					long_options[index].name);
		if (parse_value(opt, optarg, o)) {
			fprintf(stderr, "culvert: bad value for --%s: %s\n",
				long_options[index].name, optarg);
			return -1;
		}
	}
	if (optind < argc)
		return complain("unexpected argument: ", argv[optind]);
	if (o->command == COMMAND_CONNECT && take_ticket(o))
		return -1;
	return check(o);
}
