/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bind - CONNECT-UDP-bind at the relay: what all bound tunnels share.
 *
 * Spec: draft-ietf-masque-connect-udp-listen-13.
 * Threading: control.
 */
#ifndef CLV_PROXY_BIND_H
#define CLV_PROXY_BIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/masque/contexts.h"

/* Every ceiling has a counter for its refusals. */
struct clv_bind_settings {
	bool is_offered;      /* answer requests for bound tunnels */
	bool is_uncompressed; /* let clients open the uncompressed context; else they are reached by
				 registered remotes alone */
	bool has_public[2];   /* [0] IPv4, [1] IPv6: a 1:1 NAT shows our ports at public_addr */
	uint8_t public_addr[2][16];
	uint32_t tunnels_max;		     /* bound at a time */
	struct clv_contexts_limits contexts; /* of one tunnel */
	uint32_t remotes_max;		/* of all tunnels of a worker, with a context and without */
	uint32_t remotes_per_conn;	/* of them, of all tunnels of a connection */
	uint32_t remotes_per_tunnel;	/* that uncompressed datagrams may name; workers hold it */
	uint32_t registrations_per_sec; /* of one connection */
	uint32_t busy_per_sec;		/* packets that make us register a remote; 0: never */
	uint64_t context_idle_ns;	/* contexts unused for so long are closed; 0: never */
	uint64_t tunnel_idle_ns;	/* 0: a silent tunnel lives as long as its connection */
};

/*
 * Take the operator's public addresses, one of a family at most.
 * Returns 0, or CLV_ESYNTAX with *bad (may be NULL) the text that is none, or one too many; lends.
 */
int clv_bind_settings_set_public(struct clv_bind_settings *s, char *const *texts, size_t len,
				 const char **bad);

struct clv_binds; /* all bound tunnels of a relay: whose port is whose, how many remotes there are */

/* Returns 0 and fills *out, or -ENOMEM.  settings: borrows for life.  seed: 16 random bytes. */
int clv_binds_new(const struct clv_bind_settings *settings, const uint64_t seed[static 2],
		  struct clv_binds **out);
/* Every tunnel has ended. */
void clv_binds_free(struct clv_binds *all);
uint32_t clv_binds_count(const struct clv_binds *all);

/* ---- for the proxy's own files ---- */

struct clv_bind; /* a bound tunnel */

/* Enter a tunnel with its ports, or remove it.  put returns 0 or CLV_EFULL. */
int clv_binds_put(struct clv_binds *all, struct clv_bind *b);
void clv_binds_drop(struct clv_binds *all, struct clv_bind *b);
/* The tunnel whose port an endpoint is; NULL: it is nobody's. */
struct clv_bind *clv_binds_find(const struct clv_binds *all, const struct clv_endpoint *port);

#endif
