/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * names - resolve the names of targets, and charge each look-up to the client until it is over.
 *
 * A look-up that its request has left goes on, and is charged all the same: a client that asks for
 * names whose servers are silent, and cancels, would otherwise have any number of them under way.
 *
 * Threading: control.
 */
#ifndef CLV_PROXY_NAMES_H
#define CLV_PROXY_NAMES_H

#include "control/admission/accounts.h"
#include "control/host/host.h"

struct clv_names;
struct clv_lookup;

/*
 * host_ops, host, accounts: borrow for life.  accounts: its ceiling of NAMES is set; NULL: no limit.
 * Returns 0 and fills *out, or -ENOMEM.
 */
int clv_names_new(const struct clv_host_ops *host_ops, void *host, struct clv_accounts *accounts,
		  struct clv_names **out);
/* Cancels what is under way; no request waits any more. */
void clv_names_free(struct clv_names *names);

/*
 * Resolve a name.  done is called once, from a later turn of the loop, unless the request leaves.
 * Returns 0 and fills *out; CLV_EFULL; or as resolve of struct clv_host_ops.
 */
int clv_names_resolve(struct clv_names *names, struct clv_account *account, const char *name,
		      clv_resolved_fn *done, void *user, struct clv_lookup **out);
/* After this done is not called any more. */
void clv_names_leave(struct clv_lookup *lookup);

#endif
