/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * dns - questions to the name servers of resolv.conf, by c-ares on sockets of the event loop.
 *
 * A name is asked for as it stands: no search list, no hosts file.  A server that fails or refuses
 * leaves the question to the next one.  resolv.conf is read again when it changed.  Questions share
 * a c-ares channel, and with it a source port, in groups of at most 64.
 *
 * Order: 1. open  2. ask, forget, any number  3. close, then run the loop until is_idle  4. free
 * Spec: RFC 1034, RFC 1035, RFC 6891; for the random ports RFC 5452.
 * Threading: control.
 */
#ifndef CLV_HOST_DNS_H
#define CLV_HOST_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "control/host/host.h"

struct clv_dns;
struct clv_dns_question; /* from ask to its answer, or to forget */

/*
 * The answer for one name and family.
 *   err 0               n addresses, n > 0, that may be used for ttl_sec
 *   CLV_ENONAME         rcode says what the server answered: "NXDOMAIN", "NOERROR" (the name exists,
 *                       and has no such addresses), "SERVFAIL", "REFUSED", ...
 *   CLV_ENAMETIME       no server answered in time
 *   another error       no server can be reached, no memory, ...; rcode is NULL
 */
struct clv_dns_answer {
	int err;
	const char *rcode; /* lives as long as the program */
	uint32_t ttl_sec;
	const uint8_t (*addrs)[16]; /* borrows */
	size_t n;		    /* at most CLV_RESOLVE_MAX */
};

typedef void clv_dns_fn(void *user, bool is_v6, const struct clv_dns_answer *answer);

/*
 * loop: borrows for life.  conf_path: copies; like /etc/resolv.conf.  servers: NULL, or a list like
 * "127.0.0.1:5353,[::1]:5353" that replaces those of the file.
 * Returns 0 and fills *out, -EINVAL (servers) or -ENOMEM.
 */
int clv_dns_open(uv_loop_t *loop, const char *conf_path, const char *servers, struct clv_dns **out);

/*
 * Ask for the addresses of a name.  done is called once, unless the question is forgotten; it may be
 * called before ask returns, and may not call dns.  *slot names the question while it is open, and
 * is NULL when done is called.  name: copies; letters, digits, '-', '_' and dots.
 * Returns 0 or -ENOMEM.
 */
int clv_dns_ask(struct clv_dns *dns, const char *name, bool is_v6, clv_dns_fn *done, void *user,
		struct clv_dns_question **slot);
/* done is not called any more; *slot becomes NULL. */
void clv_dns_forget(struct clv_dns_question **slot);

/* Questions that name servers have, forgotten ones included. */
uint32_t clv_dns_questions(const struct clv_dns *dns);
/* Bytes that c-ares holds, in the whole process. */
size_t clv_dns_memory(void);

void clv_dns_close(struct clv_dns *dns);
/* Whether all handles are closed: free it then. */
bool clv_dns_is_idle(const struct clv_dns *dns);
void clv_dns_free(struct clv_dns *dns);

#endif
