/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/resolve.h"

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

/*
 * One name in work.  It outlives its answer: the resolver's thread cannot be stopped, and the timer
 * is closed in a turn of its own.  Freed when neither holds it any more.
 */
struct query {
	struct clv_resolve *owner;
	struct query *prev, *next;
	uint64_t token;
	clv_resolved_fn *done; /* NULL once told or cancelled */
	void *user;
	uv_getaddrinfo_t work;
	uv_timer_t timer;
	bool is_working, is_timing;
};

struct clv_resolve {
	uv_loop_t *loop;
	uint32_t pending, pending_max;
	uint64_t wait_ns;
	uint64_t last_token;
	struct query *queries;
};

int clv_resolve_open(uv_loop_t *loop, uint32_t pending_max, uint64_t wait_ns,
		     struct clv_resolve **out)
{
	struct clv_resolve *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->loop = loop;
	r->pending_max = pending_max;
	r->wait_ns = wait_ns;
	*out = r;
	return 0;
}

static void free_if_over(struct query *q)
{
	if (q->is_working || q->is_timing)
		return;
	if (q->prev)
		q->prev->next = q->next;
	else
		q->owner->queries = q->next;
	if (q->next)
		q->next->prev = q->prev;
	q->owner->pending--;
	free(q);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct query *q = handle->data;

	q->is_timing = false;
	free_if_over(q);
}

static void stop_timer(struct query *q)
{
	if (!uv_is_closing((uv_handle_t *)&q->timer))
		uv_close((uv_handle_t *)&q->timer, on_timer_closed);
}

static void tell(struct query *q, int err, const struct clv_endpoint *addrs, size_t n)
{
	clv_resolved_fn *done = q->done;

	q->done = NULL;
	if (done)
		done(q->user, err, addrs, n);
}

/* Too late for whoever asked.  The thread is let go on; its slot counts until it returns. */
static void on_timeout(uv_timer_t *timer)
{
	struct query *q = timer->data;

	stop_timer(q);
	uv_cancel((uv_req_t *)&q->work);
	tell(q, CLV_ENAMETIME, NULL, 0);
}

static int translate(int status)
{
	switch (status) {
	case UV_EAI_NONAME:
	case UV_EAI_NODATA:
	case UV_EAI_ADDRFAMILY:
	case UV_EAI_FAIL:
		return CLV_ENONAME;
	case UV_EAI_AGAIN: /* no name server answered */
		return CLV_ENAMETIME;
	case UV_EAI_MEMORY:
		return -ENOMEM;
	default:
		return CLV_ENONAME;
	}
}

static size_t collect(const struct addrinfo *list, struct clv_endpoint out[static CLV_RESOLVE_MAX])
{
	const struct addrinfo *a;
	size_t i, n = 0;

	for (a = list; a && n < CLV_RESOLVE_MAX; a = a->ai_next) {
		if (clv_endpoint_from_sockaddr(a->ai_addr, &out[n]))
			continue;
		out[n].port = 0;
		for (i = 0; i < n; i++)
			if (clv_endpoint_equal(&out[i], &out[n]))
				break;
		if (i == n)
			n++;
	}
	return n;
}

static void on_resolved(uv_getaddrinfo_t *work, int status, struct addrinfo *list)
{
	struct clv_endpoint addrs[CLV_RESOLVE_MAX];
	struct query *q = work->data;
	size_t n;

	q->is_working = false;
	if (q->done) {
		n = status == 0 ? collect(list, addrs) : 0;
		if (status == 0 && n == 0)
			status = UV_EAI_NODATA;
		tell(q, status ? translate(status) : 0, n ? addrs : NULL, n);
	}
	uv_freeaddrinfo(list);
	stop_timer(q);
	free_if_over(q);
}

int clv_resolve_start(struct clv_resolve *r, const char *name, clv_resolved_fn *done, void *user,
		      uint64_t *token)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_DGRAM, /* else each address comes once for each type */
	};
	struct query *q;
	int err;

	if (r->pending >= r->pending_max)
		return CLV_EFULL;
	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->owner = r;
	q->done = done;
	q->user = user;
	q->work.data = q;
	q->timer.data = q;
	/* libuv refuses names that are too long or not text at once: the answer is the same. */
	err = uv_getaddrinfo(r->loop, &q->work, on_resolved, name, NULL, &hints);
	if (err) {
		free(q);
		return err == UV_ENOMEM ? -ENOMEM : CLV_ENONAME;
	}
	q->is_working = true;
	q->is_timing = true;
	uv_timer_init(r->loop, &q->timer);
	uv_timer_start(&q->timer, on_timeout, r->wait_ns / CLV_MSEC, 0);

	q->token = ++r->last_token;
	q->next = r->queries;
	if (q->next)
		q->next->prev = q;
	r->queries = q;
	r->pending++;
	*token = q->token;
	return 0;
}

static void cancel(struct query *q)
{
	q->done = NULL;
	stop_timer(q);
	uv_cancel((uv_req_t *)&q->work);
}

void clv_resolve_cancel(struct clv_resolve *r, uint64_t token)
{
	struct query *q;

	for (q = r->queries; q; q = q->next)
		if (q->token == token)
			break;
	if (q)
		cancel(q);
}

void clv_resolve_close(struct clv_resolve *r)
{
	struct query *q;

	if (!r)
		return;
	for (q = r->queries; q;
	     q = q->next) /* handles close in a later turn: nothing is freed here */
		cancel(q);
}

bool clv_resolve_is_idle(const struct clv_resolve *r)
{
	return !r || !r->queries;
}

void clv_resolve_free(struct clv_resolve *r)
{
	free(r);
}
