/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * resolve - names to addresses without blocking: questions to name servers, and their answers kept.
 *
 * A name is taken as it stands, as a complete name of the DNS; the host's own names (hosts file,
 * search list, single labels, mDNS) are nobody else's business.  A and AAAA are asked for at a time.
 * An answer with IPv6 addresses is given at once; one with IPv4 addresses alone waits shortly for
 * the other.  Requests for a name that is being asked for share its questions.  Answers are kept for
 * their TTL, failures for a few seconds; the name that was not asked for longest makes room.
 *
 * Order: 1. open  2. start, cancel, any number  3. close, then run the loop until is_idle  4. free
 * Spec: RFC 8305 section 3, RFC 6761, RFC 9520.
 * Threading: control.
 */
#ifndef CLV_HOST_RESOLVE_H
#define CLV_HOST_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "control/host/host.h"

struct clv_resolve;

struct clv_resolve_params {
	uv_loop_t *loop;       /* borrows for life */
	uint32_t pending_max;  /* requests that wait for a name, and names asked for, at a time */
	uint32_t cache_max;    /* names whose answers are kept */
	uint64_t wait_ns;      /* how long a request may wait */
	const char *conf_path; /* NULL: /etc/resolv.conf */
	const char *servers;   /* NULL: those of conf_path; see dns.h */
};

/* Returns 0 and fills *out, -EINVAL (servers) or -ENOMEM. */
int clv_resolve_open(const struct clv_resolve_params *params, struct clv_resolve **out);

/*
 * Resolve a name.  done is called once, from a later turn of the loop, unless cancelled.  name:
 * copies; letters, digits, '-', '_' and dots, with or without one at the end.
 * Returns 0 and fills *token (never 0), CLV_EFULL (too many pending), CLV_ENONAME (such names are
 * never asked for: single labels, and those that are no names of the DNS) or -ENOMEM.
 */
int clv_resolve_start(struct clv_resolve *r, const char *name, clv_resolved_fn *done, void *user,
		      uint64_t *token);
/* After this done is not called any more.  A token that is over is fine. */
void clv_resolve_cancel(struct clv_resolve *r, uint64_t token);

/* Whether the host can send IPv6: without it no answer waits for the AAAA question.  At first: true. */
void clv_resolve_set_ipv6(struct clv_resolve *r, bool has_ipv6);

struct clv_resolve_figures {
	uint32_t pending, pending_max; /* requests that wait */
	uint32_t asking;	       /* names with open questions */
	uint32_t cached, cache_max;
	uint64_t memory_bytes; /* of the DNS library */
};
struct clv_resolve_figures clv_resolve_figures(const struct clv_resolve *r);

/* Cancel everything. */
void clv_resolve_close(struct clv_resolve *r);
/* Whether all handles of the loop are closed: free it then. */
bool clv_resolve_is_idle(const struct clv_resolve *r);
void clv_resolve_free(struct clv_resolve *r);

#endif
