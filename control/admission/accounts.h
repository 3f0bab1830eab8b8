/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * accounts - what each source holds of the relay's ceilings, and whether it may have more.
 *
 * A source is an IPv4 address or an IPv6 /64, its network the /24 or /48 around it (bpf/guard.h).
 * Each has one account; what a source takes is charged to both.  Only proven addresses have charges:
 * nobody can use up the share of another by spoofing.  What a client with an unproven address takes
 * is nobody's.
 *
 * The rule.  Each ceiling is divided into `shares` equal parts, by default eight.
 *   - While more than two shares of the ceiling are free, everybody may take what there is.
 *   - The last two are for sources that hold less than one share, and less than is free.
 *   - The last one is moreover for networks that hold less than one share, and less than is free.
 *   - Nobody's charges stay out of the last two.
 * So a source that takes all it can leaves a quarter, the second of its kind leaves an eighth, the
 * third a sixteenth, and somebody who holds little always gets some.  A single client without
 * competition gets three quarters.  With shares 0 or 1, or a ceiling below `shares`, there are none:
 * whoever comes first is served.
 *
 * Ceilings are of the whole relay, and some of each part of it as well, a worker or an address
 * family: there the rule holds for the part's ceiling, too, against what the source holds of all.
 *
 * Threading: control.
 */
#ifndef CLV_ADMISSION_ACCOUNTS_H
#define CLV_ADMISSION_ACCOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "datapath/base/bucket.h"
#include "datapath/base/table.h"

/* X(symbol, exported name, what is counted) */
#define CLV_RESOURCES(X)                                                                           \
	X(HANDSHAKES, "handshakes", "half-open connections")                                       \
	X(CONNS, "connections", "connections, half-open ones included")                            \
	X(REQUESTS, "requests", "requests that have a tunnel or wait for one")                     \
	X(TUNNELS, "tunnels", "open tunnels")                                                      \
	X(BOUND_TUNNELS, "bound_tunnels", "open bound tunnels")                                    \
	X(PORTS, "ports", "local ports for packets to targets")                                    \
	X(NAMES, "names", "requests that wait for a name")                                         \
	X(REMOTES, "remotes", "remotes of bound tunnels")                                          \
	X(RECORDS, "records", "records of peers")                                                  \
	X(KNOCKS, "knocks", "knocks that wait for an answer")

enum clv_resource {
#define X(symbol, name, help) CLV_RESOURCE_##symbol,
	CLV_RESOURCES(X)
#undef X
		CLV_RESOURCE_MAX
};

enum {
	CLV_ACCOUNTS_WHOLE = -1, /* the unit belongs to no part, or not yet */
	CLV_ACCOUNTS_PARTS_MAX = CLV_WORKERS_MAX,
};

enum clv_accounts_verdict {
	CLV_ACCOUNTS_OK = 0,
	CLV_ACCOUNTS_FULL,   /* the ceiling is reached */
	CLV_ACCOUNTS_SOURCE, /* the source has its share, or a limit of its own is reached */
};

/* Of a source or a network.  Lives as long as it has references or charges. */
struct clv_account {
	struct clv_guard_key prefix;
	struct clv_account *net; /* NULL: this is a network */
	uint32_t refs;
	uint32_t used[CLV_RESOURCE_MAX];
	__u64 lookups_full_ns; /* bucket of clv_accounts.lookups_each */
};

struct clv_ceiling {
	uint32_t used, max;
	bool is_set; /* else there is no limit */
};

/* Initialise with clv_accounts_init, then set the ceilings; all else is read only. */
struct clv_accounts {
	struct clv_table by_prefix; /* -> struct clv_account */
	uint32_t shares;
	struct clv_ceiling ceilings[CLV_RESOURCE_MAX];
	struct clv_ceiling of_part[CLV_RESOURCE_MAX][CLV_ACCOUNTS_PARTS_MAX];
	uint32_t host_max[CLV_RESOURCE_MAX], net_max[CLV_RESOURCE_MAX]; /* 0: no such limit */
	uint64_t refused_full[CLV_RESOURCE_MAX], refused_source[CLV_RESOURCE_MAX];
	/* How often neighbours on the link may be looked for, for one source and for all. */
	struct clv_rate lookups_each, lookups_all;
	__u64 lookups_full_ns; /* bucket of lookups_all */
};

/* seed: copies; 16 random bytes.  Returns 0 or -ENOMEM. */
int clv_accounts_init(struct clv_accounts *a, uint32_t shares, const uint64_t seed[static 2]);
/* Every account was closed, and every charge given back. */
void clv_accounts_fini(struct clv_accounts *a);

/* Set the ceiling of the whole relay. */
void clv_accounts_set_max(struct clv_accounts *a, enum clv_resource resource, uint64_t max);
/* Set it to parts times max, if it is above that, and each part's to max. */
void clv_accounts_set_part_max(struct clv_accounts *a, enum clv_resource resource, uint32_t max,
			       uint16_t parts);
/* Limit one source and one network, whatever else is free.  0: no limit. */
void clv_accounts_set_source_max(struct clv_accounts *a, enum clv_resource resource,
				 uint32_t host_max, uint32_t net_max);

/*
 * The account of an address, made if it has none.  clv_accounts_close it.
 * Returns NULL when out of memory.
 */
struct clv_account *clv_accounts_open(struct clv_accounts *a, const uint8_t addr[static 16]);
/* account: NULL is fine. */
void clv_accounts_close(struct clv_accounts *a, struct clv_account *account);

/* Whether take would succeed now.  Counts nothing. */
enum clv_accounts_verdict clv_accounts_ask(const struct clv_accounts *a,
					   const struct clv_account *account,
					   enum clv_resource resource, int part);
/* Count a refusal that ask was the reason for; why: what it returned. */
void clv_accounts_refused(struct clv_accounts *a, enum clv_resource resource,
			  enum clv_accounts_verdict why);
/*
 * Charge one unit.  a: NULL takes without limit or charge.  account: borrows until give; NULL:
 * nobody's.  part: number of the worker or family whose ceiling counts too, or CLV_ACCOUNTS_WHOLE.
 * A refusal is counted.
 */
enum clv_accounts_verdict clv_accounts_take(struct clv_accounts *a, struct clv_account *account,
					    enum clv_resource resource, int part);
/* Give one unit back, with the account and part it was taken with. */
void clv_accounts_give(struct clv_accounts *a, struct clv_account *account,
		       enum clv_resource resource, int part);

/* Limit how often neighbours on the link are looked for.  At first there is no limit. */
void clv_accounts_set_lookups(struct clv_accounts *a, const struct clv_rate *each,
			      const struct clv_rate *all);
/* Charge a look-up.  a: NULL allows all.  Returns whether it is within both rates. */
bool clv_accounts_may_look_up(struct clv_accounts *a, struct clv_account *account, uint64_t now_ns);

/* Whether nobody's charges are refused, though the ceiling is not reached. */
bool clv_accounts_must_prove(const struct clv_accounts *a, enum clv_resource resource);

/* Exported name and help text; live as long as the program. */
const char *clv_accounts_resource_name(enum clv_resource resource);
const char *clv_accounts_resource_help(enum clv_resource resource);

#endif
