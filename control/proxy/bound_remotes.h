/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bound_remotes - the remotes of a bound tunnel: which it may send to and by which next hop, what its
 * worker and the kernel's tables know of them, and hairpins, which are ports of other bound tunnels
 * here.
 *
 * Threading: control.
 */
#ifndef CLV_PROXY_BOUND_REMOTES_H
#define CLV_PROXY_BOUND_REMOTES_H

#include "control/masque/contexts.h"
#include "control/proxy/request.h"

struct clv_bound_tunnel; /* a bound tunnel */
struct clv_host_use;

/* The context manager's ops open, acked and close; user: the struct clv_bound_tunnel. */
int clv_bound_remotes_context_open(void *user, const struct clv_contexts_entry *e);
void clv_bound_remotes_context_acked(void *user, const struct clv_contexts_entry *e);
void clv_bound_remotes_context_close(void *user, const struct clv_contexts_entry *e);
/* Close the context that acked could not complete; after every call of the manager. */
void clv_bound_remotes_undo(struct clv_bound_tunnel *b);

/* Remove everything that names this tunnel from the kernel's tables and from other tunnels. */
void clv_bound_remotes_retire(struct clv_bound_tunnel *b);

/* The neighbour changed by which the remote with this use of a host is reached. */
void clv_bound_remotes_moved(struct clv_request *rq, const struct clv_host_use *use);

/* CLV_EVT_REMOTE_* of the tunnel's worker.  evt: borrows. */
void clv_bound_remotes_event(struct clv_bound_tunnel *b, enum clv_event type,
			     const struct clv_evt_bound *evt);

/*
 * Policy, addresses or routes changed: close the remotes that are denied now, and send the worker the
 * next hops of the others that are different now.
 */
void clv_bound_remotes_recheck(struct clv_bound_tunnel *b);

#endif
