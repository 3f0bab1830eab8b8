/* SPDX-License-Identifier: GPL-3.0-or-later */
/* remote - hosts with a UDP port each, which exchange datagrams with bound tunnels. */
#ifndef LOOP_REMOTE_H
#define LOOP_REMOTE_H

#include "tests/loop/world.h"

/* Endpoints of remotes, and two of them as a COMPRESSION_ASSIGN capsule has them. */
#define R4     "198.18.5.1:9000"
#define R4_HEX "c6120501 2328"
#define S4     "198.18.5.2:9000"
#define S4_HEX "c6120502 2328"
#define R6     "[2001:db8:5::1]:9000"
#define R6_HEX "20010db8000500000000000000000001 2328"

struct remote {
	struct world *w;
	struct wire_end end;
	struct clv_endpoint endpoint, heard; /* heard: the sender of the last datagram */
	unsigned received;
	uint8_t ecn;   /* marks of all that came */
	char last[64]; /* its payload */
};

/* Put a remote on the wire. */
void remote_join(struct remote *r, struct world *w, const char *endpoint);
/* Send text to an endpoint; the world does not move on. */
void remote_send(struct remote *r, const struct clv_endpoint *to, const char *text);
/* Assert that it received one datagram since the last call, from there and this. */
void remote_expect(struct remote *r, const struct clv_endpoint *from, const char *text);

#endif
