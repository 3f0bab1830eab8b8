/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * wire - a lossy network in memory on a fake clock, and the ports that hang on it.
 *
 * Every datagram sent is copied, delayed, perhaps lost, doubled or held back, and delivered to the
 * end that accepts its destination.  The same seed gives the same run.
 */
#ifndef LOOP_WIRE_H
#define LOOP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/base/rand.h"
#include "datapath/io/port.h"

/* Above 0 while the wire itself runs: what it allocates is the test's own. */
extern volatile unsigned wire_depth; /* volatile: malloc reads it behind the compiler's back */

struct wire_packet {
	struct wire_packet *next;
	uint64_t at_ns;
	uint64_t order; /* ties keep the order of sending */
	struct clv_endpoint from, to;
	uint8_t ecn;
	size_t len;
	uint8_t bytes[];
};

/* Somebody on the wire. */
struct wire_end {
	struct wire_end *next;
	/* Take a datagram for `to`.  Returns false when it is for somebody else. */
	bool (*deliver)(void *self, const struct wire_packet *p);
	void *self;
};

/* One direction of a slow link: packets wait in front of it, in order, and those beyond are lost. */
struct wire_link {
	uint64_t bits_per_sec; /* 0: it is not slow */
	size_t buffer;	       /* bytes that may wait */
	uint64_t free_ns;      /* when all that waits has left */
	uint64_t lost;
};

struct wire {
	uint64_t now_ns;
	struct clv_rand rand;
	struct wire_packet *flying; /* in order of arrival */
	struct wire_end *ends;
	uint64_t sent, lost, delivered, unclaimed;
	uint64_t delay_ns, jitter_ns;
	unsigned loss_permille, duplicate_permille;
	size_t mtu;	       /* largest UDP payload that passes; 0 any */
	uint8_t slow_host[16]; /* address of a host behind a slow link */
	struct wire_link to_slow, from_slow;
	/* A NAT in front of one host: its endpoint is seen as nat_outside, when that has a port.
	 * nat_former still leads back in: a box keeps a mapping for a while. */
	struct clv_endpoint nat_inside, nat_outside, nat_former;
	/* Of another family: then the far end the host speaks to has another address, too. */
	struct clv_endpoint nat_far_inside, nat_far_outside;
	/* See every datagram before it flies; return false to swallow it.  May be NULL. */
	bool (*tap)(void *user, const struct wire_packet *p);
	void *tap_user;
};

void wire_init(struct wire *w, uint64_t seed);
void wire_fini(struct wire *w);
void wire_join(struct wire *w, struct wire_end *end);
void wire_send(struct wire *w, const struct clv_endpoint *from, const struct clv_endpoint *to,
	       uint8_t ecn, const uint8_t *bytes, size_t len);
/* Deliver what has arrived by now_ns. */
void wire_run(struct wire *w);
/* When the next datagram arrives; UINT64_MAX none. */
uint64_t wire_next_ns(const struct wire *w);

enum {
	WIRE_SOCKETS_MAX = 4096,
	WIRE_QUEUE_MAX = 1024,
};

/* A port of our side: received datagrams wait in a queue, sent ones go onto the wire. */
struct wire_port {
	struct clv_port port;
	struct wire *wire;
	unsigned head, len;
	unsigned batch; /* of the last rx */
	uint64_t overflows;
	uint32_t sockets_end;  /* all from here on are free */
	bool refuse_frames;    /* tx_take fails */
	unsigned ring, queued; /* packets between two flushes, then they drop; 0: any */
	unsigned taken;	       /* frames held by a reader; must be 0 in the end */
	/* Not cleared by wire_port_init: they are large, and used as far as len and sockets_end say. */
	struct clv_rx queue[WIRE_QUEUE_MAX];
	struct clv_endpoint sockets[WIRE_SOCKETS_MAX]; /* port 0: free */
};

void wire_port_init(struct wire_port *p, struct wire *w);
/* Queue a datagram as received. kind and ref as XDP would have set them. */
void wire_port_push(struct wire_port *p, const struct wire_packet *packet, uint32_t socket,
		    enum clv_kind kind, const struct clv_ref *ref);
/* Number of the socket bound to an endpoint (or to its port on any address), or -1. */
int wire_port_socket(const struct wire_port *p, const struct clv_endpoint *local);

#endif
