/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bound_fixture - bound tunnels from end to end: hand-made peers, the relay, and remotes that anybody
 * may be.
 *
 *   peer 198.18.0.1xx - wire - relay 198.18.0.1, 2001:db8::1 - wire - remotes
 *
 * Every test runs over AF_XDP's port and over kernel sockets, with one worker and with two.
 */
#ifndef LOOP_BOUND_FIXTURE_H
#define LOOP_BOUND_FIXTURE_H

#include "tests/loop/raw.h"
#include "tests/loop/remote.h"
#include "tests/loop/world.h"

#define ANY "/.well-known/masque/udp/%2A/%2A/"

enum { BOUND_VARIANTS = 4 };

struct variant {
	const char *name;
	bool kernel_path;
	uint16_t workers;
};

extern const struct variant bound_variants[BOUND_VARIANTS];

#define EACH_VARIANT(v)                                                                            \
	for (const struct variant *v = bound_variants; v < bound_variants + BOUND_VARIANTS; v++)

/* The relay offers everything and does nothing by itself. */
struct clv_bind_settings bound_settings(void);
/* The relay opens contexts for busy remotes soon, and closes idle ones soon. */
extern const struct clv_bind_settings bound_eager;

struct peer {
	struct raw *raw;
	unsigned datagrams;
	char last[256]; /* the last HTTP Datagram, in hexadecimal */
	size_t body_seen;
	struct clv_endpoint ports[2]; /* by the answer: IPv4, IPv6 */
};

struct fixture {
	struct world *w;
	struct peer a, b;
	struct remote r4, s4, r6;
};

/* The world with its remotes; no peer is connected.  bind: NULL for the defaults. */
struct fixture *bound_setup(const struct variant *v, const struct clv_bind_settings *bind);
/* And peer a has a bound tunnel, on stream 0. */
struct fixture *bound_setup_peer(const struct variant *v, const struct clv_bind_settings *bind);
/* Whatever was held must be free when the connections are gone. */
void bound_teardown(struct fixture *f);
/* Until everybody has had a word. */
void bound_run(struct fixture *f);
/* Remotes that the workers know of. */
unsigned bound_remotes(const struct fixture *f);

void peer_connect(struct fixture *f, struct peer *p, unsigned number);
/* A peer that cannot take DATAGRAM frames. */
void peer_connect_without_datagrams(struct fixture *f, struct peer *p, unsigned number);
/* Ask for a bound tunnel, on stream 0; it must be given. */
void peer_bind(struct fixture *f, struct peer *p, const char *path);
/* What became of the answer's Proxy-Public-Address. */
void peer_read_ports(struct peer *p, int64_t stream);
/* Capsules there and, as the answer, back. */
void peer_say(struct fixture *f, struct peer *p, const char *hex, const char *answer);
/* A datagram of the peer; hex goes in front of the text. */
void peer_send(struct fixture *f, struct peer *p, uint64_t context, const char *hex,
	       const char *text);
/* The capsules that came on stream 0 since the last look must be these. */
void peer_expect_capsules(struct peer *p, const char *hex);
/* The one datagram that came for the peer; "" for none.  hex: quarter stream ID and so on. */
void peer_expect(struct peer *p, const char *hex);
void peer_expect_reset(struct fixture *f, struct peer *p, uint64_t code);
void peer_expect_alive(struct peer *p);

/* A remote sends, and the world moves on. */
void remote_come(struct fixture *f, struct remote *r, const struct clv_endpoint *to,
		 const char *text);

#endif
