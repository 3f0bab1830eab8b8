/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * nat - what kind of NAT one socket is behind, from the addresses at which several relays see it.
 *
 * Observations must be of one socket: a mapping belongs to a socket, and one of its own for each
 * relay would make every NAT look symmetric.  A family is judged by itself.
 *
 *   all relays, of two addresses at least, see one address and port      CONE
 *   one address, several ports                                           SYMMETRIC_PORT
 *   several addresses                                                    MULTIPLE
 *   too few answers                                                      UNKNOWN
 *
 * CONE is about the mapping alone (RFC 4787 section 4.1: endpoint-independent).  Whom the NAT lets in
 * (section 5) cannot be told by relays that answer from the address that was asked.
 *
 * Threading: pure functions; any thread.
 */
#ifndef CLV_PEER_NAT_H
#define CLV_PEER_NAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

/* As peers tell each other. */
enum clv_nat_class {
	CLV_NAT_CLASS_UNKNOWN = 0,
	CLV_NAT_CLASS_CONE = 1,
	CLV_NAT_CLASS_SYMMETRIC_PORT = 2,
	CLV_NAT_CLASS_MULTIPLE = 3,
};

/* What one relay was asked; seen.port 0: it did not answer. */
struct clv_nat_observation {
	struct clv_endpoint relay;
	struct clv_endpoint seen;
};

struct clv_nat_verdict {
	enum clv_nat_class class;
	unsigned asked, answered; /* relays of this family */
	bool has_nat;	 /* seen at another address than the socket has here; if answered */
	bool keeps_port; /* every relay sees the socket's own port; if answered */
	/*
	 * SYMMETRIC_PORT: the least and the largest difference between the ports that relays in the
	 * order of the list saw one after the other; equal: the next port can be guessed.
	 */
	int step_min, step_max;
	struct clv_endpoint seen; /* of the first answer; port 0: none */
};

/*
 * Judge a family.  local: the socket's own address and port towards these relays; port 0: not known.
 */
struct clv_nat_verdict clv_nat_judge(const struct clv_nat_observation *list, size_t len,
				     const struct clv_endpoint *local, bool is_v6);

/* "cone", "symmetric-port", "multiple" or "unknown". */
const char *clv_nat_class_name(enum clv_nat_class class);

#endif
