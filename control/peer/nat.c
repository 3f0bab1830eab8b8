/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/nat.h"

#include <string.h>

#include "datapath/base/addr.h"

static bool is_same_addr(const struct clv_endpoint *a, const struct clv_endpoint *b)
{
	return memcmp(a->addr, b->addr, sizeof(a->addr)) == 0;
}

/* What the answers of a family have in common. */
struct tally {
	const struct clv_nat_observation *first, *last;
	bool has_addrs, has_ports; /* several of them were seen */
	bool has_relays;	   /* relays of several addresses answered */
};

static void note_step(struct clv_nat_verdict *v, const struct clv_nat_observation *a,
		      const struct clv_nat_observation *b, bool is_first)
{
	int step = ntohs(b->seen.port) - ntohs(a->seen.port);

	v->step_min = is_first || step < v->step_min ? step : v->step_min;
	v->step_max = is_first || step > v->step_max ? step : v->step_max;
}

static void count_answer(struct clv_nat_verdict *v, struct tally *t,
			 const struct clv_nat_observation *o)
{
	if (t->first) {
		note_step(v, t->last, o, v->answered == 1);
		t->has_addrs |= !is_same_addr(&o->seen, &t->first->seen);
		t->has_ports |= o->seen.port != t->first->seen.port;
		t->has_relays |= !is_same_addr(&o->relay, &t->first->relay);
	} else {
		t->first = o;
	}
	t->last = o;
	v->answered++;
}

static enum clv_nat_class class_of(const struct tally *t)
{
	if (t->has_addrs)
		return CLV_NAT_CLASS_MULTIPLE;
	if (t->has_ports)
		return CLV_NAT_CLASS_SYMMETRIC_PORT;
	/* A mapping may be of one remote address and all its ports: one address proves nothing. */
	return t->has_relays ? CLV_NAT_CLASS_CONE : CLV_NAT_CLASS_UNKNOWN;
}

struct clv_nat_verdict clv_nat_judge(const struct clv_nat_observation *list, size_t len,
				     const struct clv_endpoint *local, bool is_v6)
{
	struct clv_nat_verdict v = { .keeps_port = true };
	struct tally t = { 0 };

	for (size_t i = 0; i < len; i++) {
		if (clv_addr_is_v4(list[i].relay.addr) == is_v6)
			continue;
		v.asked++;
		if (!list[i].seen.port)
			continue;
		count_answer(&v, &t, &list[i]);
		v.has_nat |= !is_same_addr(&list[i].seen, local);
		v.keeps_port &= list[i].seen.port == local->port;
	}
	if (!t.first)
		return (struct clv_nat_verdict){ .asked = v.asked };
	v.class = class_of(&t);
	v.seen = t.first->seen;
	if (v.class != CLV_NAT_CLASS_SYMMETRIC_PORT)
		v.step_min = v.step_max = 0;
	return v;
}

const char *clv_nat_class_name(enum clv_nat_class class)
{
	static const char *const names[] = { "unknown", "cone", "symmetric-port", "multiple" };

	return (unsigned)class < sizeof(names) / sizeof(names[0]) ? names[class] : names[0];
}
