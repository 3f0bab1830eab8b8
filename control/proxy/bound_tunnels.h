/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bound_tunnels - all bound tunnels (CONNECT-UDP-bind) of a relay: their settings and limits, and
 * which tunnel has which port.
 *
 * Spec: draft-ietf-masque-connect-udp-listen-13.
 * Threading: control.
 */
#ifndef CLV_PROXY_BOUND_TUNNELS_H
#define CLV_PROXY_BOUND_TUNNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/masque/contexts.h"

/* Every ceiling has a counter for its refusals. */
struct clv_bound_settings {
	bool is_offered;      /* answer requests for bound tunnels */
	bool is_uncompressed; /* let clients open the uncompressed context; else only remotes with a
				 context of their own reach them */
	bool has_public[2];   /* [0] IPv4, [1] IPv6: a 1:1 NAT maps our ports to public_addr */
	uint8_t public_addr[2][16];
	uint32_t tunnels_max;		     /* at a time */
	struct clv_contexts_limits contexts; /* of one tunnel */
	uint32_t remotes_max;		/* of all tunnels of a worker, with a context and without */
	uint32_t remotes_per_conn;	/* of them, of all tunnels of a connection */
	uint32_t remotes_per_tunnel;	/* that uncompressed datagrams may name; workers hold it */
	uint32_t registrations_per_sec; /* of one connection */
	uint32_t busy_per_sec;		/* packets that make us register a remote; 0: never */
	uint64_t context_idle_ns;	/* contexts unused for so long are closed; 0: never */
	uint64_t tunnel_idle_ns;	/* 0: an idle tunnel lives as long as its connection */
};

/*
 * Take the operator's public addresses, one of a family at most.
 * Returns 0, or CLV_ESYNTAX with *bad (may be NULL) the text that is no address, or one too many; lends.
 */
int clv_bound_settings_set_public(struct clv_bound_settings *s, char *const *texts, size_t len,
				  const char **bad);

struct clv_bound_tunnels; /* all bound tunnels of a relay */

/* Returns 0 and fills *out, or -ENOMEM.  settings: borrows for life.  seed: 16 random bytes. */
int clv_bound_tunnels_new(const struct clv_bound_settings *settings, const uint64_t seed[static 2],
			  struct clv_bound_tunnels **out);
/* Every tunnel has ended. */
void clv_bound_tunnels_free(struct clv_bound_tunnels *all);
uint32_t clv_bound_tunnels_count(const struct clv_bound_tunnels *all);

/* ---- for the proxy's own files ---- */

struct clv_bound_tunnel; /* a bound tunnel */

/* Enter a tunnel with its ports, or remove it.  put returns 0 or CLV_EFULL. */
int clv_bound_tunnels_put(struct clv_bound_tunnels *all, struct clv_bound_tunnel *b);
void clv_bound_tunnels_drop(struct clv_bound_tunnels *all, struct clv_bound_tunnel *b);
/* The tunnel that has a port, by its local or advertised endpoint; NULL: none. */
struct clv_bound_tunnel *clv_bound_tunnels_find(const struct clv_bound_tunnels *all,
						const struct clv_endpoint *port);

#endif
