/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ticket - one line with which a peer is reached: who it is, and at which relays.
 *
 *   culvert1:IDENTITY?r=HOST:PORT[,sha256:HEX][,hybrid][&r=...]
 *
 * IDENTITY is the text of identity.h.  Each r names a relay, one at least, CLV_TICKET_RELAYS_MAX at most:
 * HOST is a name, an IPv4 address or an IPv6 address in brackets; sha256 is the pin of the relay's key,
 * and hybrid the profile of its listener, else it is pqc.  Nothing is percent-encoded, nothing may be
 * left out or added.  A ticket holds no secret: whoever has it may ask for the peer, which decides whom
 * it accepts.
 *
 * Threading: pure functions; any thread.
 */
#ifndef CLV_PEER_TICKET_H
#define CLV_PEER_TICKET_H

#include <stdbool.h>
#include <stddef.h>

#include "control/admission/identity.h"
#include "control/admission/relay_link.h"

enum {
	CLV_TICKET_RELAYS_MAX = 4,
	/* Characters of a ticket, with the terminating zero: of each relay its host and 100 more. */
	CLV_TICKET_MAX = 9 + CLV_IDENTITY_TEXT_LEN +
			 CLV_TICKET_RELAYS_MAX * (CLV_RELAY_LINK_HOST_MAX + 100) + 1,
};

struct clv_ticket {
	struct clv_identity id;
	struct clv_relay_link relays[CLV_TICKET_RELAYS_MAX]; /* without tokens */
	unsigned relays_len;
};

/* Whether text begins as a ticket of any version does, which no identity and no link does. */
bool clv_ticket_is(const char *text);

/*
 * Parse a ticket of len characters.  why: set to a constant text on error.
 * Returns 0, or CLV_ESYNTAX or CLV_ERANGE (too long, too many relays, a port that is none), leaving *out
 * untouched.
 */
int clv_ticket_parse(const char *text, size_t len, struct clv_ticket *out, const char **why);

/*
 * Write a ticket with its terminating zero; tokens of its relays are left out.
 * Returns 0, CLV_ERANGE (buf is too short; CLV_TICKET_MAX characters suffice, or there are no or too many
 * relays) or CLV_ESYNTAX (a host or port that is none).
 */
int clv_ticket_format(const struct clv_ticket *ticket, char *buf, size_t buf_len);

#endif
