/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * early - capsules that arrived on a request stream before its tunnel was open, kept in order.
 *
 * RFC 9298 lets a client send right after its request.  What is kept is bounded for each request,
 * and for all of them by the budget of their connection's holder.
 *
 * Threading: control.
 */
#ifndef CLV_PROXY_EARLY_H
#define CLV_PROXY_EARLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/masque/capsule.h"
#include "datapath/base/budget.h"

enum {
	CLV_EARLY_BYTES_MAX = 16384, /* of one request, headers of ours included */
};

struct clv_early_capsule {
	struct clv_early_capsule *next;
	enum clv_capsule_type type;
	size_t len;
	uint8_t value[];
};

/* Zeroed but for holder: empty. */
struct clv_early {
	struct clv_early_capsule *first, *last;
	size_t bytes;
	struct clv_budget_holder *holder; /* borrows; charged; NULL: no limit */
};

enum clv_early_result {
	CLV_EARLY_KEPT = 0,
	CLV_EARLY_FULL,	  /* of this request, or no memory */
	CLV_EARLY_BUDGET, /* of the connection's holder */
};

/* Keep a capsule.  value: copies. */
enum clv_early_result clv_early_keep(struct clv_early *q, enum clv_capsule_type type,
				     const uint8_t *value, size_t len);
/* Take the oldest one out; NULL: none is left.  The caller gives it to clv_early_free. */
struct clv_early_capsule *clv_early_take(struct clv_early *q);
void clv_early_free(struct clv_early *q, struct clv_early_capsule *c);

#endif
