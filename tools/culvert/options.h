/* SPDX-License-Identifier: GPL-3.0-or-later */
/* options - the command line of culvert. */
#ifndef CULVERT_OPTIONS_H
#define CULVERT_OPTIONS_H

#include "control/library/culvert.h"

#include <stdbool.h>
#include <stdint.h>

enum command {
	COMMAND_FORWARD,
	COMMAND_PING,
	COMMAND_BIND,
	COMMAND_ID,
	COMMAND_LISTEN,
	COMMAND_CONNECT,
	COMMAND_NAT
};

enum {
	OPTIONS_PERMITS_MAX = 256, /* --permit options */
	OPTIONS_ACCEPTS_MAX = 256, /* --accept options */
	OPTIONS_AT_MAX = 8,	   /* --at options */
	OPTIONS_RELAYS_MAX = 16,   /* --relay options of nat */
};

/* Exit status: one for each cause that a script may need to distinguish. */
enum status {
	STATUS_OK = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
	STATUS_NO_REPLY = 3,			/* ping: the target did not answer */
	STATUS_NAT_SYMMETRIC = STATUS_NO_REPLY, /* nat: another port or address for each remote */
	STATUS_NAT_UNKNOWN = 4,			/* nat: too few relays answered */
	STATUS_NO_ROUTE = 10,			/* to the relay */
	STATUS_NO_ANSWER = 11,	   /* from the relay, to the handshake or to a request */
	STATUS_CLASSICAL = 12,	   /* the handshake was refused as not post-quantum */
	STATUS_UNTRUSTED = 13,	   /* certificate */
	STATUS_NO_FAMILY = 14,	   /* the relay has no route to the target's address family */
	STATUS_DENIED = 15,	   /* the relay's policy refuses the target */
	STATUS_NO_NAME = 16,	   /* the target's name does not exist */
	STATUS_FULL = 17,	   /* a limit of the relay is reached */
	STATUS_NO_RELAY_NAME = 18, /* the relay's name does not exist */
	STATUS_NO_BIND = 19,	   /* the relay refused the bound tunnel */
	STATUS_UNAUTHORIZED = 20,  /* the relay requires a valid credential: a link with a token */
	STATUS_FORBIDDEN = 21,	   /* the relay does not serve this client */
	STATUS_NO_PEER = 22,	   /* connect: the peer does not answer */
	STATUS_WRONG_PEER = 23,	   /* connect: somebody else answers in its place */
	STATUS_REFUSED = 24,	   /* connect: the peer refuses this identity */
};

/* HOST:PORT, as given and parsed. */
struct endpoint {
	const char *text;
	char host[CULVERT_HOST_TEXT]; /* without brackets */
	uint16_t port;		      /* host order */
};

struct options {
	enum command command;
	struct endpoint relay, listen, target; /* relay.text: without secrets */
	const char *link;		       /* --relay as a link, which is secret; NULL: none */
	bool link_has_pin;
	struct endpoint relays[OPTIONS_RELAYS_MAX]; /* nat: all of them; text: not set */
	unsigned relays_len;
	enum culvert_profile profile;
	const char *ca_file, *pin;
	const char *identity; /* file; NULL: none, or the user's own for id, listen and connect */
	const char *server_name; /* NULL: the relay's host */
	uint32_t count, size;
	uint64_t interval_ns;
	bool json;
	bool capsules;
	/* bind */
	struct endpoint app;
	const char *permits[OPTIONS_PERMITS_MAX]; /* ADDRESS:PORT, or "-": read standard input */
	unsigned permits_len;
	bool closed;
	/* listen */
	enum culvert_privacy privacy;
	const char *accepts[OPTIONS_ACCEPTS_MAX]; /* ids */
	unsigned accepts_len;
	/* connect */
	const char *to; /* ticket or id */
	const char *at[OPTIONS_AT_MAX];
	unsigned at_len;
	uint32_t remotes_max, compress_above;
	uint32_t idle_sec;
	uint32_t answer_timeout_sec;
	uint32_t spin_usec;
	enum culvert_log log_level;
};

/*
 * Parse argv.  Returns 0; 1 after printing --help or --version on stdout; -1 after printing an
 * error on stderr.
 */
int options_parse(int argc, char **argv, struct options *out);

#endif
