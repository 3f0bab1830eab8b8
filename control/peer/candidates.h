/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * candidates - addresses at which one end of a peer connection may be reached: what kind they are,
 * which come first, and which nobody may be made to send to.
 *
 *   kind   how its owner knows the address: it is an interface's, a relay saw it, ...
 *   scope  from where the address means anything
 *   base   the socket or bound tunnel its owner sends from; CLV_BASE_SOCKET is the one socket that the
 *          relay sessions, probes and direct paths share
 *
 * Spec: RFC 8445 sections 5.1.1 and 5.1.2 (the priorities), with other types: v6 before v4, and unique
 * local addresses behind those of everywhere.
 * Threading: pure functions; any thread.
 */
#ifndef CLV_PEER_CANDIDATES_H
#define CLV_PEER_CANDIDATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "control/host/addresses.h"

enum {
	CLV_CANDIDATES_MAX = 16, /* of one side */
	CLV_BASE_SOCKET = 0,
};

/* On the wire, in the extension of ADD_ADDRESS and PUNCH_ME_NOW; 0 is not known. */
enum clv_candidate_kind {
	CLV_CANDIDATE_UNKNOWN = 0,
	CLV_CANDIDATE_HOST = 1,		  /* of an interface */
	CLV_CANDIDATE_REFLEXIVE = 2,	  /* a relay saw our packets come from it */
	CLV_CANDIDATE_MAPPED = 3,	  /* our NAT gave it to us on request */
	CLV_CANDIDATE_PEER_REFLEXIVE = 4, /* the peer saw our probes come from it */
	CLV_CANDIDATE_RELAYED = 5,	  /* a bound port at a relay */
	CLV_CANDIDATE_KIND_MAX
};

enum clv_scope {
	CLV_SCOPE_NONE,	   /* loopback, multicast, broadcast, unspecified, reserved, translated */
	CLV_SCOPE_LINK,	   /* needs an interface beside it, and is told to nobody */
	CLV_SCOPE_PRIVATE, /* RFC 1918, unique local */
	CLV_SCOPE_SHARED,  /* 100.64.0.0/10: between a provider's NAT and its customers */
	CLV_SCOPE_GLOBAL,
};

/* Who may know which of our addresses. */
enum clv_privacy {
	CLV_PRIVACY_RELAY_ONLY =
		0, /* the peer sees relayed addresses alone, and no probe is answered */
	CLV_PRIVACY_REFLEXIVE = 1, /* all but those of our interfaces */
	CLV_PRIVACY_OPEN = 2,
};

struct clv_candidate {
	struct clv_endpoint endpoint;
	enum clv_candidate_kind kind;
	uint8_t base;
	uint32_t priority;
	uint64_t sequence; /* by which its owner names it */
	uint32_t scope_id; /* the interface of a CLV_SCOPE_LINK one; else 0 */
	/* Of an interface without a default route that is no host's own (a bridge, a tunnel): used only
	 * for a peer in its prefix. */
	bool is_local_only;
	uint8_t prefix_bits; /* of a HOST one: its network, counted in 16 bytes; else 0 */
};

/* A set without doubles, best first. */
struct clv_candidates {
	struct clv_candidate list[CLV_CANDIDATES_MAX];
	unsigned count;
};

enum clv_scope clv_addr_scope(const uint8_t addr[static 16]);

/* Whether two addresses have their first bits in common. */
bool clv_addr_is_within(const uint8_t addr[static 16], const uint8_t net[static 16],
			unsigned prefix_bits);

/*
 * The priority of a candidate.  order: 0 for the interface that is tried first, at most 255.
 */
uint32_t clv_candidate_priority(enum clv_candidate_kind kind, const uint8_t addr[static 16],
				unsigned order);

/* The priority of a pair; the dialler is the controlling side (RFC 8445 section 6.1.2.3). */
uint64_t clv_pair_priority(uint32_t dialler, uint32_t listener);

/*
 * Add a candidate.  copies.  Returns 0, -EEXIST (it is known as this kind; the higher priority stays),
 * CLV_EDENIED (scope NONE, or port 0) or CLV_EFULL (of a full set the worst makes room for a better
 * one; else).
 */
int clv_candidates_add(struct clv_candidates *set, const struct clv_candidate *candidate);

/* Remove the candidate of a sequence, if it is there. */
void clv_candidates_remove(struct clv_candidates *set, uint64_t sequence);

/* Whether both are one address of one kind and base, whatever their priorities. */
bool clv_candidate_equal(const struct clv_candidate *a, const struct clv_candidate *b);

/*
 * Add the addresses of this host's interfaces, those with a default route first.  port_v4, port_v6: of
 * the socket; 0 where it has not the family.  Without loopback addresses and deprecated ones.
 */
void clv_candidates_gather(struct clv_candidates *set, const struct clv_host_addr *addrs, size_t n,
			   __be16 port_v4, __be16 port_v6);

/* Whether the peer may be told of a candidate. */
bool clv_candidate_is_told(const struct clv_candidate *candidate, enum clv_privacy privacy);

/* ---- what a peer may make us send to ---- */

/* X(symbol, exported name, help): why an address of the peer's is not probed. */
#define CLV_TARGET_VERDICTS(X)                                                                     \
	X(OK, "ok", "may be probed")                                                               \
	X(PORT, "port", "port 0")                                                                  \
	X(SCOPE, "scope", "loopback, multicast, broadcast, link-local, reserved or translated")    \
	X(FOREIGN_LAN, "foreign_lan", "of a private network that we are not in")                   \
	X(FOREIGN_NAT, "foreign_nat", "inside a NAT that is not ours")                             \
	X(RELAY, "relay", "a relay's own")

enum clv_target_verdict {
#define X(symbol, name, help) CLV_TARGET_##symbol,
	CLV_TARGET_VERDICTS(X)
#undef X
		CLV_TARGET_VERDICT_MAX
};

const char *clv_target_verdict_name(enum clv_target_verdict verdict);

/* What decides about the peer's addresses. */
struct clv_target_rules {
	const struct clv_candidates *local;  /* borrows; all of ours, told or not */
	const struct clv_candidates *remote; /* borrows; all that the peer told */
	const struct clv_endpoint *relays;   /* borrows; where our relays listen */
	unsigned relay_count;
};

/*
 * Whether we send to an address that the peer named.  A private one only within the network of one of
 * our interfaces, and one that a relay saw inside a provider's NAT only when both of us have the same
 * address outside.
 */
enum clv_target_verdict clv_target_check(const struct clv_target_rules *rules,
					 const struct clv_endpoint *target,
					 enum clv_candidate_kind kind);

#endif
