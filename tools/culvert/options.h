/* SPDX-License-Identifier: GPL-3.0-or-later */
/* options - the command line of culvert. */
#ifndef CULVERT_OPTIONS_H
#define CULVERT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "control/handshake/tls.h"
#include "datapath/base/log.h"

enum culvert_command { CULVERT_FORWARD, CULVERT_PING, CULVERT_BIND };

enum {
	CULVERT_PEERS_MAX = 256, /* --peer options */
};

/* Exit status, one for each cause that a script may want to tell apart. */
enum culvert_exit {
	CULVERT_OK = 0,
	CULVERT_FAILED = 1,
	CULVERT_USAGE = 2,
	CULVERT_NO_REPLY = 3,	    /* ping: the target did not answer */
	CULVERT_NO_ROUTE = 10,	    /* to the relay */
	CULVERT_NO_ANSWER = 11,	    /* of the relay, within 10 s */
	CULVERT_CLASSICAL = 12,	    /* the handshake was refused as not post-quantum */
	CULVERT_UNTRUSTED = 13,	    /* certificate */
	CULVERT_NO_FAMILY = 14,	    /* the relay has no way to the target's family */
	CULVERT_DENIED = 15,	    /* the relay's policy refuses the target */
	CULVERT_NO_NAME = 16,	    /* the target's name does not exist */
	CULVERT_FULL = 17,	    /* the relay has no room */
	CULVERT_NO_RELAY_NAME = 18, /* the relay's name does not exist */
	CULVERT_NO_BIND = 19,	    /* the relay gives no bound tunnel */
};

struct culvert_endpoint {
	char host[256]; /* without brackets */
	uint16_t port;	/* host order */
};

struct culvert_options {
	enum culvert_command command;
	struct culvert_endpoint relay, listen, target;
	enum clv_profile profile;
	const char *ca_file;
	bool has_pin;
	uint8_t pin[32];
	const char *server_name; /* NULL: the relay's host */
	uint32_t count, size;
	uint64_t interval_ns;
	bool json;
	bool capsules;
	/* bind */
	struct culvert_endpoint app;
	const char *peers[CULVERT_PEERS_MAX]; /* ADDRESS:PORT, or "-": more on standard input */
	unsigned peers_len;
	bool closed;
	uint32_t remotes, compress_above;
	uint64_t idle_ns;
	enum clv_log_level log_level;
};

/*
 * Parse argv.  Returns 0; 1 when --help or --version was answered on stdout; -1 after saying on
 * stderr what is wrong.
 */
int culvert_options_parse(int argc, char **argv, struct culvert_options *out);

/* "HOST:PORT", "[v6]:PORT".  Returns 0 or -1. */
int culvert_endpoint_parse(const char *text, struct culvert_endpoint *out);

#endif
