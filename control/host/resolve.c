/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/resolve.h"

#include "control/host/dns.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/hash.h"
#include "datapath/base/rand.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum {
	NAME_LEN_MAX = 254,    /* with a dot at the end */
	TTL_MAX_SEC = 600,     /* a zone may change its mind */
	NEGATIVE_TTL_SEC = 10, /* no such name, no such addresses */
	FAILURE_TTL_SEC = 2,   /* at least 1: RFC 9520 section 3.2 */
	BUCKETS_MIN = 64,
};

#define V6_DELAY_NS (50 * CLV_MSEC) /* "Resolution Delay", RFC 8305 section 3 */

/* What is known about the addresses of one family. */
struct answer {
	uint64_t until_ns; /* 0: nothing is known */
	int err;	   /* see struct clv_dns_answer */
	const char *rcode;
	uint8_t (*addrs)[16];
	size_t n;
};

/* A name that is asked for, or whose answer is kept. */
LIST_HEAD(waiters, waiter);

struct name {
	struct name *chain;	   /* of its bucket */
	TAILQ_ENTRY(name) place;   /* in asking or resting */
	TAILQ_ENTRY(name) delayed; /* in delayed or ready */
	struct waiters waiters;
	struct clv_resolve *owner;
	struct clv_dns_question *questions[2]; /* [0] A, [1] AAAA; NULL: not open */
	struct answer answers[2];
	uint64_t hash;
	uint64_t since_ns;   /* in asking: when it was asked for */
	uint64_t delayed_ns; /* in delayed: since when */
	bool is_asking;	     /* in asking, else in resting */
	bool is_delayed, is_ready;
	bool is_late;	  /* one question is open too long to be waited for */
	bool is_starting; /* in ask, which decides afterwards */
	char text[];
};

TAILQ_HEAD(names, name);

/* A request that waits; free ones are in a list. */
struct waiter {
	LIST_ENTRY(waiter) place;
	struct name *name; /* NULL: free */
	uint32_t generation;
	clv_resolved_fn *done;
	void *user;
};

struct clv_resolve {
	struct clv_resolve_params p;
	struct clv_dns *dns;
	struct waiter *waiters; /* pending_max */
	struct waiters free;
	uint32_t pending, asking_len, resting_len;
	struct name **buckets;
	size_t buckets_mask;
	uint64_t seed[2];
	struct names asking;  /* with open questions, the oldest first */
	struct names resting; /* without, the one not used for longest first */
	struct names delayed; /* have addresses and wait for more, the oldest first */
	struct names ready;   /* their waiters are called at the next turn */
	uv_timer_t timer;     /* for the next of all these */
	bool has_ipv6;
	bool is_open; /* the timer's handle */
};

/* ---- names that are never asked for ---- */

/*
 * Whether a complete name is one that strangers may have looked up.  A single label means something
 * to the operator's network alone, and so do names of mDNS and of the host itself; the others are
 * no names of the DNS: RFC 6761, RFC 6762 section 3, RFC 7686, RFC 9476.
 */
static bool is_public(const char *text, size_t len)
{
	static const char *const others[] = { "localhost", "local", "invalid", "onion", "alt" };
	const char *label = memrchr(text, '.', len);

	if (!label || label == text)
		return false;
	label++;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strcmp(label, others[i]) == 0)
			return false;
	return true;
}

/* Bring a name into its one form.  Returns its length, or 0 when it is not to be asked for. */
static size_t normalize(const char *name, char text[static NAME_LEN_MAX + 1])
{
	size_t len = strlen(name);

	if (len > 0 && name[len - 1] == '.')
		len--;
	if (len == 0 || len >= NAME_LEN_MAX)
		return 0;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		/* Anything else could mean something to the library. */
		if (!isalnum(c) && c != '-' && c != '_' && c != '.')
			return 0;
		text[i] = (char)tolower(c);
	}
	text[len] = 0;
	return is_public(text, len) ? len : 0;
}

/* ---- the table of names ---- */

static struct name **bucket_of(struct clv_resolve *r, uint64_t hash)
{
	return &r->buckets[hash & r->buckets_mask];
}

static struct name *find_name(struct clv_resolve *r, uint64_t hash, const char *text)
{
	struct name *n;

	for (n = *bucket_of(r, hash); n; n = n->chain)
		if (n->hash == hash && strcmp(n->text, text) == 0)
			return n;
	return NULL;
}

static void free_name(struct name *n)
{
	struct clv_resolve *r = n->owner;
	struct name **at = bucket_of(r, n->hash);

	while (*at != n)
		at = &(*at)->chain;
	*at = n->chain;
	if (n->is_asking) {
		TAILQ_REMOVE(&r->asking, n, place);
		r->asking_len--;
	} else {
		TAILQ_REMOVE(&r->resting, n, place);
		r->resting_len--;
	}
	if (n->is_ready)
		TAILQ_REMOVE(&r->ready, n, delayed);
	if (n->is_delayed)
		TAILQ_REMOVE(&r->delayed, n, delayed);
	free(n->answers[0].addrs);
	free(n->answers[1].addrs);
	free(n);
}

/* Those with waiters stay, if only until the next turn. */
static void make_room(struct clv_resolve *r)
{
	struct name *n, *next;

	for (n = TAILQ_FIRST(&r->resting); n && r->resting_len > r->p.cache_max; n = next) {
		next = TAILQ_NEXT(n, place);
		if (LIST_EMPTY(&n->waiters))
			free_name(n);
	}
}

static struct name *add_name(struct clv_resolve *r, uint64_t hash, const char *text, size_t len)
{
	struct name *n = calloc(1, sizeof(*n) + len + 1);

	if (!n)
		return NULL;
	memcpy(n->text, text, len + 1);
	n->owner = r;
	n->hash = hash;
	LIST_INIT(&n->waiters);
	n->chain = *bucket_of(r, hash);
	*bucket_of(r, hash) = n;
	TAILQ_INSERT_TAIL(&r->resting, n, place);
	r->resting_len++;
	return n;
}

static void set_asking(struct name *n, bool is_asking)
{
	struct clv_resolve *r = n->owner;

	if (n->is_asking) {
		TAILQ_REMOVE(&r->asking, n, place);
		r->asking_len--;
	} else {
		TAILQ_REMOVE(&r->resting, n, place);
		r->resting_len--;
	}
	n->is_asking = is_asking;
	if (is_asking) {
		TAILQ_INSERT_TAIL(&r->asking, n, place);
		r->asking_len++;
	} else {
		TAILQ_INSERT_TAIL(&r->resting, n, place);
		r->resting_len++;
	}
}

/* ---- what a name waits for ---- */

static void on_timer(uv_timer_t *timer);

static void set_timer(struct clv_resolve *r)
{
	const struct name *n;
	uint64_t now_ns = clv_clock_now_ns(), at_ns = UINT64_MAX;

	if (!TAILQ_EMPTY(&r->ready))
		at_ns = 0;
	n = TAILQ_FIRST(&r->delayed);
	if (n && n->delayed_ns + V6_DELAY_NS < at_ns)
		at_ns = n->delayed_ns + V6_DELAY_NS;
	n = TAILQ_FIRST(&r->asking);
	if (n && n->since_ns + r->p.wait_ns < at_ns)
		at_ns = n->since_ns + r->p.wait_ns;
	if (at_ns == UINT64_MAX) {
		uv_timer_stop(&r->timer);
		return;
	}
	uv_update_time(r->p.loop);
	uv_timer_start(&r->timer, on_timer,
		       at_ns > now_ns ? (at_ns - now_ns + CLV_MSEC - 1) / CLV_MSEC : 0, 0);
}

static void set_delayed(struct name *n, bool is_delayed)
{
	struct clv_resolve *r = n->owner;

	if (n->is_delayed == is_delayed)
		return;
	n->is_delayed = is_delayed;
	if (is_delayed) {
		n->delayed_ns = clv_clock_now_ns();
		TAILQ_INSERT_TAIL(&r->delayed, n, delayed);
	} else {
		TAILQ_REMOVE(&r->delayed, n, delayed);
	}
}

static void set_ready(struct name *n)
{
	set_delayed(n, false);
	if (n->is_ready)
		return;
	n->is_ready = true;
	TAILQ_INSERT_TAIL(&n->owner->ready, n, delayed);
}

static bool is_open(const struct name *n)
{
	return n->questions[0] || n->questions[1];
}

/* Something is known that was not before: call the waiters now, soon, or later. */
static void decide(struct name *n)
{
	bool has_v4 = !n->questions[0] && n->answers[0].n,
	     has_v6 = !n->questions[1] && n->answers[1].n;

	if (!is_open(n)) {
		if (n->is_asking)
			set_asking(n, false);
		set_ready(n);
	} else if (n->is_late || (n->owner->has_ipv6 ? has_v6 : has_v4)) {
		set_ready(n);
	} else if (has_v4 || has_v6) {
		set_delayed(n, true);
	}
}

/* Whether a server said that there is nothing, and not that it does not know. */
static bool says_none(const char *rcode)
{
	return rcode && (!strcmp(rcode, "NXDOMAIN") || !strcmp(rcode, "NOERROR"));
}

static void keep_answer(struct name *n, bool is_v6, const struct clv_dns_answer *from)
{
	struct answer *a = &n->answers[is_v6];
	uint32_t ttl_sec = FAILURE_TTL_SEC;
	int err = from->err;

	free(a->addrs);
	a->addrs = NULL;
	a->n = 0;
	if (from->n) {
		a->addrs = malloc(from->n * sizeof(*a->addrs));
		if (a->addrs) {
			memcpy(a->addrs, from->addrs, from->n * sizeof(*a->addrs));
			a->n = from->n;
			ttl_sec = from->ttl_sec < TTL_MAX_SEC ? from->ttl_sec : TTL_MAX_SEC;
		} else {
			err = -ENOMEM;
		}
	} else if (says_none(from->rcode)) {
		ttl_sec = NEGATIVE_TTL_SEC;
	}
	a->err = err;
	a->rcode = from->rcode;
	a->until_ns = clv_clock_now_ns() + ttl_sec * CLV_SEC;
}

static void on_answer(void *user, bool is_v6, const struct clv_dns_answer *answer)
{
	struct name *n = user;

	keep_answer(n, is_v6, answer);
	if (n->is_starting)
		return;
	decide(n);
	set_timer(n->owner);
}

/* Ask for what is not known or too old. */
static int ask(struct name *n)
{
	uint64_t now_ns = clv_clock_now_ns();
	int err = 0;

	n->is_starting = true;
	for (int v6 = 0; v6 <= 1; v6++)
		if (!n->questions[v6] && n->answers[v6].until_ns <= now_ns && !err)
			err = clv_dns_ask(n->owner->dns, n->text, v6, on_answer, n,
					  &n->questions[v6]);
	n->is_starting = false;
	if (is_open(n) && !n->is_asking) {
		n->since_ns = now_ns;
		n->is_late = false;
		set_asking(n, true);
	}
	return err;
}

/* ---- waiters ---- */

/* How much an error says about a name: of two families, the greater one is told. */
static int weight(const struct answer *a)
{
	if (!a->rcode)
		return a->err == CLV_ENAMETIME ? 1 : 2;
	if (strcmp(a->rcode, "NOERROR") == 0)
		return 0;
	return strcmp(a->rcode, "NXDOMAIN") == 0 ? 4 : 3;
}

/* While a question is open, what was known before is too old. */
static size_t count_of(const struct name *n, bool is_v6)
{
	return n->questions[is_v6] ? 0 : n->answers[is_v6].n;
}

/* IPv6 first.  Each family has half of the room, and what the other does not need. */
static size_t collect(const struct name *n, struct clv_endpoint out[static CLV_RESOLVE_MAX])
{
	const size_t half = CLV_RESOLVE_MAX / 2;
	size_t len = 0;

	for (int v6 = 1; v6 >= 0; v6--) {
		size_t other = count_of(n, !v6),
		       room = other < half ? CLV_RESOLVE_MAX - other : half;

		for (size_t i = 0; i < count_of(n, v6) && i < room; i++) {
			out[len] = (struct clv_endpoint){ 0 };
			memcpy(out[len++].addr, n->answers[v6].addrs[i], 16);
		}
	}
	return len;
}

/* Whether the servers have said what addresses of a family the name has, if only that it has none. */
static bool is_settled(const struct name *n, bool is_v6)
{
	return !n->questions[is_v6] && (n->answers[is_v6].n || says_none(n->answers[is_v6].rcode));
}

static void free_waiter(struct clv_resolve *r, struct waiter *w)
{
	LIST_REMOVE(w, place);
	w->name = NULL;
	w->generation++;
	LIST_INSERT_HEAD(&r->free, w, place);
	r->pending--;
}

/* done may start and cancel others, of the same name too. */
static void call_waiters(struct name *n)
{
	struct clv_endpoint addrs[CLV_RESOLVE_MAX];
	struct clv_resolved result = { .addrs = addrs,
				       .n = collect(n, addrs),
				       .is_partial = !is_settled(n, false) ||
						     !is_settled(n, true) };
	const struct answer *a = &n->answers[0];
	struct clv_resolve *r = n->owner;
	struct waiters now;
	struct waiter *w;

	if (!result.n) {
		if (weight(&n->answers[1]) > weight(a))
			a = &n->answers[1];
		result.err = a->err ? a->err : CLV_ENONAME;
		result.rcode = a->rcode;
	}
	LIST_INIT(&now);
	while ((w = LIST_FIRST(&n->waiters)) != NULL) {
		LIST_REMOVE(w, place);
		LIST_INSERT_HEAD(&now, w, place);
	}
	while ((w = LIST_FIRST(&now)) != NULL) {
		clv_resolved_fn *done = w->done;
		void *user = w->user;

		free_waiter(r, w);
		done(user, &result);
	}
}

/* Give up what is asked for a name. */
static void forget_questions(struct name *n)
{
	clv_dns_forget(&n->questions[0]);
	clv_dns_forget(&n->questions[1]);
	set_delayed(n, false);
	if (n->is_asking)
		set_asking(n, false);
}

static void expire(struct name *n)
{
	const struct clv_dns_answer none = { .err = CLV_ENAMETIME };
	bool was_open[2] = { n->questions[0], n->questions[1] };

	forget_questions(n);
	for (int v6 = 0; v6 <= 1; v6++)
		if (was_open[v6])
			keep_answer(n, v6, &none);
	set_ready(n);
}

static void on_timer(uv_timer_t *timer)
{
	struct clv_resolve *r = timer->data;
	uint64_t now_ns = clv_clock_now_ns();
	struct names ready;
	struct name *n;

	while ((n = TAILQ_FIRST(&r->asking)) && n->since_ns + r->p.wait_ns <= now_ns)
		expire(n);
	while ((n = TAILQ_FIRST(&r->delayed)) && n->delayed_ns + V6_DELAY_NS <= now_ns) {
		n->is_late = true;
		set_ready(n);
	}
	/* What becomes ready meanwhile has its turn later. */
	TAILQ_INIT(&ready);
	TAILQ_CONCAT(&ready, &r->ready, delayed);
	while ((n = TAILQ_FIRST(&ready)) != NULL) {
		TAILQ_REMOVE(&ready, n, delayed);
		n->is_ready = false;
		call_waiters(n);
	}
	make_room(r);
	set_timer(r);
}

/* ---- requests ---- */

static struct waiter *add_waiter(struct clv_resolve *r, struct name *n, clv_resolved_fn *done,
				 void *user)
{
	struct waiter *w = LIST_FIRST(&r->free);

	LIST_REMOVE(w, place);
	LIST_INSERT_HEAD(&n->waiters, w, place);
	w->name = n;
	w->done = done;
	w->user = user;
	r->pending++;
	return w;
}

static bool is_known(const struct name *n, uint64_t now_ns)
{
	return n->answers[0].until_ns > now_ns && n->answers[1].until_ns > now_ns;
}

int clv_resolve_start(struct clv_resolve *r, const char *name, clv_resolved_fn *done, void *user,
		      uint64_t *token)
{
	char text[NAME_LEN_MAX + 1];
	size_t len = normalize(name, text);
	struct waiter *w;
	struct name *n;
	uint64_t hash;

	if (!len)
		return CLV_ENONAME;
	if (LIST_EMPTY(&r->free))
		return CLV_EFULL;
	hash = clv_hash(r->seed, text, len);
	n = find_name(r, hash, text);
	/* Questions that nobody wants any more count until the library is done with them. */
	if (!(n && (is_open(n) || is_known(n, clv_clock_now_ns()))) &&
	    clv_dns_questions(r->dns) + 2 > 2 * r->p.pending_max)
		return CLV_EFULL;
	if (!n)
		n = add_name(r, hash, text, len);
	if (!n)
		return -ENOMEM;
	if (ask(n))
		return -ENOMEM;
	if (!n->is_asking)
		set_asking(n, false); /* used last */
	w = add_waiter(r, n, done, user);
	*token = (uint64_t)w->generation << 32 | (uint64_t)(w - r->waiters + 1);
	decide(n);
	set_timer(r);
	return 0;
}

void clv_resolve_cancel(struct clv_resolve *r, uint64_t token)
{
	uint64_t at = (token & UINT32_MAX) - 1;
	struct waiter *w;
	struct name *n;

	if (at >= r->p.pending_max)
		return;
	w = &r->waiters[at];
	n = w->name;
	if (!n || w->generation != token >> 32)
		return;
	free_waiter(r, w);
	if (LIST_EMPTY(&n->waiters))
		forget_questions(n);
	set_timer(r);
}

void clv_resolve_set_ipv6(struct clv_resolve *r, bool has_ipv6)
{
	r->has_ipv6 = has_ipv6;
}

struct clv_resolve_figures clv_resolve_figures(const struct clv_resolve *r)
{
	return (struct clv_resolve_figures){
		.pending = r->pending,
		.pending_max = r->p.pending_max,
		.asking = r->asking_len,
		.cached = r->resting_len,
		.cache_max = r->p.cache_max,
		.memory_bytes = clv_dns_memory(),
	};
}

/* ---- life ---- */

int clv_resolve_open(const struct clv_resolve_params *params, struct clv_resolve **out)
{
	struct clv_resolve *r = calloc(1, sizeof(*r));
	size_t buckets = BUCKETS_MIN;
	struct clv_rand rand;
	int err = -ENOMEM;

	if (!r)
		return -ENOMEM;
	r->p = *params;
	r->has_ipv6 = true;
	TAILQ_INIT(&r->asking);
	TAILQ_INIT(&r->resting);
	TAILQ_INIT(&r->delayed);
	TAILQ_INIT(&r->ready);
	clv_rand_init(&rand, 0);
	clv_rand_bytes(&rand, r->seed, sizeof(r->seed));
	while (buckets < (size_t)params->cache_max + params->pending_max)
		buckets *= 2;
	r->buckets_mask = buckets - 1;
	r->buckets = calloc(buckets, sizeof(*r->buckets));
	r->waiters = calloc(params->pending_max, sizeof(*r->waiters));
	if (!r->buckets || !r->waiters)
		goto free_all;
	for (uint32_t i = params->pending_max; i-- > 0;)
		LIST_INSERT_HEAD(&r->free, &r->waiters[i], place);
	err = clv_dns_open(params->loop, params->conf_path ? params->conf_path : "/etc/resolv.conf",
			   params->servers, &r->dns);
	if (err)
		goto free_all;
	uv_timer_init(params->loop, &r->timer);
	r->timer.data = r;
	r->is_open = true;
	*out = r;
	return 0;

free_all:
	free(r->waiters);
	free(r->buckets);
	free(r);
	return err;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct clv_resolve *r = handle->data;

	r->is_open = false;
}

void clv_resolve_close(struct clv_resolve *r)
{
	struct name *n;

	if (!r || uv_is_closing((uv_handle_t *)&r->timer))
		return;
	while ((n = TAILQ_FIRST(&r->asking)) != NULL)
		forget_questions(n);
	clv_dns_close(r->dns);
	uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}

bool clv_resolve_is_idle(const struct clv_resolve *r)
{
	return !r || (!r->is_open && clv_dns_is_idle(r->dns));
}

void clv_resolve_free(struct clv_resolve *r)
{
	struct name *n;

	if (!r)
		return;
	while ((n = TAILQ_FIRST(&r->resting)) != NULL)
		free_name(n);
	clv_dns_free(r->dns);
	free(r->waiters);
	free(r->buckets);
	free(r);
}
