/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bound_fixture - bound tunnels from end to end: hand-made peers, the relay, and remotes.
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

/* The relay offers every feature, and opens or closes no context by itself. */
struct clv_bound_settings bound_settings(void);
/* The relay opens contexts for busy remotes soon, and closes idle ones soon. */
extern const struct clv_bound_settings bound_eager;

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
struct fixture *bound_setup(const struct variant *v, const struct clv_bound_settings *bind);
/* And peer a has a bound tunnel, on stream 0. */
struct fixture *bound_setup_peer(const struct variant *v, const struct clv_bound_settings *bind);
/* Assert that everything is freed once the connections are gone. */
void bound_teardown(struct fixture *f);
/* Run until all peers have received and answered what is in flight. */
void bound_run(struct fixture *f);
/* The number of remotes that the workers know. */
unsigned bound_remotes(const struct fixture *f);

void peer_connect(struct fixture *f, struct peer *p, unsigned number);
/* A peer that cannot take DATAGRAM frames. */
void peer_connect_without_datagrams(struct fixture *f, struct peer *p, unsigned number);
/* Request a bound tunnel on stream 0, and assert that it is opened. */
void peer_bind(struct fixture *f, struct peer *p, const char *path);
/* Read the ports from the Proxy-Public-Address field of a response. */
void peer_read_ports(struct peer *p, int64_t stream);
/* Send capsules, and assert which capsules come as the answer. */
void peer_exchange(struct fixture *f, struct peer *p, const char *hex, const char *answer);
/* Send an HTTP Datagram from the peer: bytes in hexadecimal, then text. */
void peer_send(struct fixture *f, struct peer *p, uint64_t context, const char *hex,
	       const char *text);
/* Assert which capsules came on stream 0 since the last call. */
void peer_expect_capsules(struct peer *p, const char *hex);
/* Assert that this datagram alone came for the peer, from its quarter stream ID on; "": none. */
void peer_expect(struct peer *p, const char *hex);
void peer_expect_reset(struct fixture *f, struct peer *p, uint64_t code);
void peer_expect_alive(struct peer *p);

/* A remote sends, and the world moves on. */
void remote_send_run(struct fixture *f, struct remote *r, const struct clv_endpoint *to,
		     const char *text);

#endif
