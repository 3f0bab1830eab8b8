/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * paths - the 4-tuples that a connection may have to send to besides the one in use.
 *
 * A packet from a new address proves nothing until it is decrypted, and nothing about its address
 * until that address answers a challenge.  So what is recorded here only is how to send to a
 * 4-tuple; clv_conn replaces the one in use after validation.  A peer that sends from many
 * addresses only overwrites entries that nothing waits for: a path that is being validated keeps
 * its entry.
 *
 * Spec: RFC 9000 sections 8.2 and 9.
 * Threading: the owner of the connection.
 */
#ifndef CLV_QUIC_PATHS_H
#define CLV_QUIC_PATHS_H

#include <ngtcp2/ngtcp2.h>
#include <stdbool.h>
#include <stdint.h>

#include "datapath/io/port.h"

enum {
	CLV_PATHS_MAX = 4,
};

struct clv_paths {
	struct clv_flow flow[CLV_PATHS_MAX];
	uint8_t known;	    /* bit for each flow: it is set */
	uint8_t validating; /* index + 1 of the flow that must answer a challenge, 0 = none */
	uint8_t asked;	    /* index + 1 of the flow a challenge is sent to, 0 = none */
	uint8_t next;	    /* to be overwritten next */
};

/* Whether an ngtcp2 path (IPv6 socket addresses, IPv4 mapped) is that of a flow. */
bool clv_path_is(const ngtcp2_path *path, const struct clv_flow *flow);

/* The flow of a path, or NULL.  Lends, until the next note or keep. */
struct clv_flow *clv_paths_find(struct clv_paths *p, const ngtcp2_path *path);
/*
 * Record how to send to the sender of rx.  like: the flow in use; it gives what rx does not have.
 */
void clv_paths_record(struct clv_paths *p, const struct clv_rx *rx, const struct clv_flow *like);
/* Record a flow: the one that is being replaced. */
void clv_paths_keep(struct clv_paths *p, const struct clv_flow *flow);
/*
 * A challenge is sent on path; NULL: on none.  must_answer: the path is not used before it is
 * answered.  ngtcp2 validates one path at a time.
 */
void clv_paths_challenge(struct clv_paths *p, const ngtcp2_path *path, bool must_answer);
bool clv_paths_is_validating(const struct clv_paths *p, const struct clv_flow *flow);

#endif
