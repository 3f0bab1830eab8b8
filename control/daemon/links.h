/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * links - make the link with which a client uses this relay: host, port, pin and a bearer token.
 *
 * The link leads to the first listener of profile pqc, or else to the first listener.
 *
 * Threading: start-up and tools; blocks on disk I/O.
 */
#ifndef CLV_DAEMON_LINKS_H
#define CLV_DAEMON_LINKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/admission/relay_link.h"
#include "control/admission/users.h"
#include "control/daemon/config.h"

/* The credential that a relay has without any users file; a tombstone of the name ends it. */
#define CLV_LINKS_DEFAULT_NAME "default"

struct clv_links_request {
	const struct clv_config *config;
	const char *state_dir;
	const char *host;		/* NULL: as configured */
	const struct clv_users *users;	/* may be NULL */
	const char *name;		/* of the user */
	uint64_t wall_sec, expires_sec; /* seconds since 1970; expires_sec 0: never */
	bool is_public;			/* without a token: for clients with a certificate */
};

/* Write the path of the key that signs tokens. */
void clv_links_key_path(const char *state_dir, char *path, size_t path_len);

/* The host of the link; lends.  Strangers find it by the DNS only if it has a dot or is an address. */
const char *clv_links_host(const struct clv_links_request *request);
bool clv_links_is_local_host(const char *host);

/*
 * Make a link.  Its token, if it is to have one, is a secret, and valid from now on also after an
 * earlier revocation.
 * Returns 0, or with one line in error
 *   -ENOENT   there is no such user
 *   CLV_ERANGE, CLV_ESYNTAX, -errno, CLV_ETLS  time, host, key or certificate
 */
int clv_links_make(const struct clv_links_request *request, char out[static CLV_RELAY_LINK_MAX],
		   char *error, size_t error_len);

#endif
