/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bind_internal - one bound tunnel, as its files share it.
 *
 *   bind.c          settings, and the table of all bound tunnels
 *   bind_request.c  the request: ports, answer, capsules, end
 *   bind_remotes.c  remotes: policy, ways, hairpins, what workers tell about them
 */
#ifndef CLV_PROXY_BIND_INTERNAL_H
#define CLV_PROXY_BIND_INTERNAL_H

#include "control/proxy/bind.h"
#include "control/proxy/remote_list.h"
#include "control/proxy/state.h"

struct clv_binds {
	const struct clv_bind_settings *settings;
	struct clv_table by_endpoint; /* bound endpoint, local and shown -> struct clv_bind */
	struct clv_bind *first;
	uint32_t count;
	uint32_t remotes[CLV_WORKERS_MAX];
};

struct clv_bind {
	struct clv_request *rq;
	struct clv_binds *all;
	struct clv_bind *prev, *next;
	struct clv_bind_ports ports;
	struct clv_contexts *contexts;
	struct clv_remote_list remotes;
	uint32_t hairpins_in; /* remotes of other tunnels that are our ports */
	uint32_t rejected;    /* contexts of ours that the peer refused */
	uint64_t undo_id;     /* a context that could not be completed, to be closed; 0: none */
};

static inline const struct clv_requests_config *clv_bind_config(const struct clv_bind *b)
{
	return b->rq->rs->params.config;
}

static inline void clv_bind_count(const struct clv_bind *b, enum clv_counter which)
{
	clv_requests_count(b->rq->rs, which);
}

/* ---- bind.c ---- */

/* Put a tunnel with its ports in, or take it out.  put returns 0 or CLV_EFULL. */
int clv_binds_put(struct clv_binds *all, struct clv_bind *b);
void clv_binds_drop(struct clv_binds *all, struct clv_bind *b);
/* Whose port an endpoint is; NULL: nobody's. */
struct clv_bind *clv_binds_find(const struct clv_binds *all, const struct clv_endpoint *wire);

/* ---- bind_remotes.c ---- */

/* The manager's, for bind_request.c; user: the struct clv_bind. */
int clv_bind_context_open(void *user, const struct clv_contexts_entry *e);
void clv_bind_context_acked(void *user, const struct clv_contexts_entry *e);
void clv_bind_context_close(void *user, const struct clv_contexts_entry *e);

/* Say to the kernel's table whether the uncompressed context is open.  Returns 0 or an error. */
int clv_bind_publish_ports(struct clv_bind *b, uint32_t flags);
void clv_bind_retire_ports(struct clv_bind *b);
/* Take everything that names this tunnel out of the kernel's tables and out of other tunnels. */
void clv_bind_retire(struct clv_bind *b);
/* Close what undo_id names. */
void clv_bind_undo(struct clv_bind *b);

#endif
