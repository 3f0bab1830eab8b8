/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Prefixes either nest or are apart, so sorted by address, shorter ones first, they open and close
 * like brackets.  One pass over them makes a list of ranges that cover everything without a gap, each
 * with the innermost prefix around it; a binary search finds an address's range.
 */
#include "datapath/base/verdicts.h"

#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
	ADDR_BITS = 128,
	DEPTH_MAX = ADDR_BITS + 1, /* prefixes around one address */
	NONE = -1,
};

struct address {
	uint64_t high, low;
};

struct range {
	struct address first; /* it reaches to the next one's first */
	int32_t rule;
	bool is_denied;
};

struct clv_verdicts {
	atomic_uint refs;
	size_t len;
	struct range ranges[];
};

/* A prefix as a bracket. */
struct span {
	struct address first, last;
	int32_t rule;
	bool is_denied;
};

struct pass {
	struct clv_verdicts *out;
	const struct span *open[DEPTH_MAX];
	size_t depth;
};

static struct address address_of(const uint8_t bytes[static 16])
{
	struct address a;

	memcpy(&a.high, bytes, 8);
	memcpy(&a.low, bytes + 8, 8);
	a.high = be64toh(a.high);
	a.low = be64toh(a.low);
	return a;
}

static int compare(const struct address *a, const struct address *b)
{
	if (a->high != b->high)
		return a->high < b->high ? -1 : 1;
	if (a->low != b->low)
		return a->low < b->low ? -1 : 1;
	return 0;
}

/* The outer one first. */
static int compare_spans(const void *a, const void *b)
{
	const struct span *sa = a, *sb = b;
	int order = compare(&sa->first, &sb->first);

	return order ? order : compare(&sb->last, &sa->last);
}

static struct span span_of(const struct clv_verdicts_rule *rule, int32_t number)
{
	const unsigned rest = ADDR_BITS - rule->prefix.prefix_bits;
	struct span s = {
		.first = address_of(rule->prefix.addr),
		.rule = number,
		.is_denied = rule->verdict != CLV_VERDICT_ALLOW,
	};

	s.last = s.first;
	if (rest >= 64)
		s.last.low = UINT64_MAX;
	else
		s.last.low |= (UINT64_C(1) << rest) - 1;
	if (rest == ADDR_BITS)
		s.last.high = UINT64_MAX;
	else if (rest > 64)
		s.last.high |= (UINT64_C(1) << (rest - 64)) - 1;
	return s;
}

/* From here on it is the prefix `in`, or none. */
static void turn(struct clv_verdicts *v, const struct address *first, const struct span *in)
{
	if (!v->len || compare(&v->ranges[v->len - 1].first, first))
		v->len++;
	v->ranges[v->len - 1] = (struct range){
		.first = *first,
		.rule = in ? in->rule : NONE,
		.is_denied = in && in->is_denied,
	};
}

/* The innermost prefix ends. */
static void close_one(struct pass *p)
{
	struct address next = p->open[--p->depth]->last;

	if (!++next.low && !++next.high)
		return; /* with the last address */
	turn(p->out, &next, p->depth ? p->open[p->depth - 1] : NULL);
}

static void make_ranges(struct clv_verdicts *v, const struct span *spans, size_t len)
{
	struct pass p = { .out = v };

	turn(v, &(struct address){ 0, 0 }, NULL);
	for (size_t i = 0; i < len; i++) {
		while (p.depth && compare(&p.open[p.depth - 1]->last, &spans[i].first) < 0)
			close_one(&p);
		turn(v, &spans[i].first, &spans[i]);
		p.open[p.depth++] = &spans[i];
	}
	while (p.depth)
		close_one(&p);
}

int clv_verdicts_new(const struct clv_verdicts_rule *rules, size_t len, struct clv_verdicts **out)
{
	/* Each begins a range, and its end another; the first is there anyway. */
	struct clv_verdicts *v = malloc(sizeof(*v) + (2 * len + 1) * sizeof(v->ranges[0]));
	struct span *spans = calloc(len + 1, sizeof(*spans));

	if (!v || !spans) {
		free(v);
		free(spans);
		return -ENOMEM;
	}
	atomic_init(&v->refs, 1);
	v->len = 0;
	for (size_t i = 0; i < len; i++)
		spans[i] = span_of(&rules[i], (int32_t)i);
	qsort(spans, len, sizeof(*spans), compare_spans);
	make_ranges(v, spans, len);
	free(spans);
	*out = v;
	return 0;
}

struct clv_verdicts *clv_verdicts_ref(struct clv_verdicts *v)
{
	if (v)
		atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
	return v;
}

void clv_verdicts_unref(struct clv_verdicts *v)
{
	if (v && atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) == 1)
		free(v);
}

static const struct range *range_of(const struct clv_verdicts *v, const uint8_t addr[static 16])
{
	const struct address a = address_of(addr);
	size_t low = 0, high = v->len; /* the range is in [low, high) */

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (compare(&v->ranges[middle].first, &a) <= 0)
			low = middle;
		else
			high = middle;
	}
	return &v->ranges[low];
}

int32_t clv_verdicts_find(const struct clv_verdicts *v, const uint8_t addr[static 16])
{
	return range_of(v, addr)->rule;
}

bool clv_verdicts_denies(const struct clv_verdicts *v, const uint8_t addr[static 16])
{
	return v && range_of(v, addr)->is_denied;
}
