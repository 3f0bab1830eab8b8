/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * nat_world - two ends of a peer connection in a simulated Internet with NATs and firewalls of each kind,
 * on a simulated clock.  What the ends tell each other goes through a relay, reliably.
 *
 *   end - [network inside - NAT] - [provider's network - NAT] - core - relay (of both families)
 */
#ifndef LOOP_NAT_WORLD_H
#define LOOP_NAT_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/peer/rounds.h"
#include "datapath/base/rand.h"

enum end_kind {
	END_OPEN,
	END_FULL_CONE,
	END_ADDRESS_RESTRICTED,
	END_PORT_RESTRICTED,
	END_SYMMETRIC,
	END_CGNAT,
	END_BLOCKED,
	END_V6_OPEN,
	END_V6_FIREWALL,
	END_V6_NAT64,
	END_KINDS
};

extern const char *const end_kind_names[END_KINDS];

enum { NAT_MAPPINGS = 512, NAT_PERMITTED = 64, NAT_CHAIN_MAX = 2 };

struct nat_mapping {
	struct clv_endpoint inside, outside;
	struct clv_endpoint remote;		      /* of a symmetric one */
	struct clv_endpoint permitted[NAT_PERMITTED]; /* have been sent to */
	unsigned permitted_count;
};

struct nat {
	bool is_symmetric, is_blocked, is_firewall, is_nat64;
	enum { FROM_ANY, FROM_ADDRESS, FROM_ENDPOINT } filter;
	uint8_t outside[16];
	uint16_t next_port;
	struct nat_mapping list[NAT_MAPPINGS];
	unsigned count;
};

struct end {
	struct nat_world *world;
	bool is_dialler;
	enum clv_privacy privacy;
	uint8_t v4[16], v6[16]; /* all zero: not there */
	uint8_t v4_bits;
	__be16 port;
	unsigned lan; /* ends of the same one reach each other inside */
	struct nat *v4_chain[NAT_CHAIN_MAX], *v6_chain[NAT_CHAIN_MAX];
	unsigned v4_chain_len, v6_chain_len;
	struct nat *nat64;
	struct clv_rounds *rounds;
	uint64_t next_ns;
	/* what happened */
	bool is_proven;			 /* now */
	uint64_t proven_ns;		 /* the first time */
	uint64_t lost_ns;		 /* the last time */
	struct clv_endpoint path, alive; /* the pairs of the last such events */
	unsigned datagrams, bytes;	 /* sent */
	unsigned capsule_bytes;
	struct clv_endpoint seen[256]; /* all that it sent to */
	unsigned seen_count;
	int err; /* of clv_rounds_take */
};

struct nat_event {
	uint64_t at_ns, order;
	struct end *to;
	bool is_capsule;
	struct clv_endpoint from;
	size_t len;
	uint8_t bytes[CLV_PROBE_MAX];
};

struct nat_world {
	struct clv_rand rand;
	uint64_t now_ns, order;
	uint64_t hop_ns; /* from an end to the core */
	unsigned loss_percent;
	bool is_cut;	    /* nothing passes between ends but by the relay */
	size_t mtu;	    /* of the core: longer datagrams are lost; 0: none is */
	struct end ends[2]; /* the dialler, the listener */
	struct nat nats[6];
	unsigned nat_count;
	struct clv_endpoint relays[2]; /* v4, v6 */
	struct nat_event *queue;
	unsigned queue_len;
	/* Called before a datagram travels; may change it.  Returns whether it does.  NULL: all do. */
	bool (*on_wire)(struct nat_world *w, struct end *from, const struct clv_endpoint *src,
			const struct clv_endpoint *dst, uint8_t *bytes, size_t *len);
};

/* Make a world with two ends; they are connected when start is called. */
void nat_world_open(struct nat_world *w, enum end_kind dialler, enum end_kind listener,
		    uint64_t seed);
void nat_world_close(struct nat_world *w);
/* Both ends behind the same NAT, of the same network or not. */
void nat_world_same_nat(struct nat_world *w, bool is_same_lan);
void nat_world_start(struct nat_world *w);

/* Run until a time after the start; or until both have a proven direct path.  Returns whether. */
void nat_world_run(struct nat_world *w, uint64_t ns);
bool nat_world_run_direct(struct nat_world *w, uint64_t ns);

/* Give an end's candidates anew, as after a change of its network. */
void nat_world_gather(struct end *e);
/* Send from an end by its own address, as from its socket. */
void nat_world_send(struct end *e, const struct clv_endpoint *to, const uint8_t *bytes, size_t len);
/* Let a datagram arrive at an end, from wherever. */
void nat_world_inject(struct end *e, const struct clv_endpoint *from, const uint8_t *bytes,
		      size_t len);
/* Let a capsule arrive at an end, from the other. */
void nat_world_tell(struct end *e, const struct clv_peer_capsule *capsule);

#endif
