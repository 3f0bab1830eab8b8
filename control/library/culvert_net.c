/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/library/culvert_state.h"
#include "control/peer/nat.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"

#include <errno.h>
#include <string.h>

_Static_assert((int)CULVERT_NAT_UNKNOWN == (int)CLV_NAT_CLASS_UNKNOWN, "classes");
_Static_assert((int)CULVERT_NAT_CONE == (int)CLV_NAT_CLASS_CONE, "classes");
_Static_assert((int)CULVERT_NAT_SYMMETRIC_PORT == (int)CLV_NAT_CLASS_SYMMETRIC_PORT, "classes");
_Static_assert((int)CULVERT_NAT_MULTIPLE == (int)CLV_NAT_CLASS_MULTIPLE, "classes");

/* A record of the event queue: what set_tail of culvert_events.c reads. */
struct record {
	struct culvert_net_report report;
	struct culvert_net_answer answers[CLV_REFLECT_RELAYS_MAX];
};

_Static_assert(offsetof(struct record, answers) == sizeof(struct culvert_net_report),
	       "answers follow the report at once");

const char *culvert_nat_name(enum culvert_nat nat)
{
	return clv_nat_class_name((enum clv_nat_class)nat);
}

/* ---- asking ---- */

/* Returns how many of the options' relays there are, or an error. */
static int list_relays(const struct culvert_net_options *o,
		       struct clv_endpoint out[CLV_REFLECT_RELAYS_MAX])
{
	if (o->relays_len > CLV_REFLECT_RELAYS_MAX)
		return CULVERT_EFULL;
	for (size_t i = 0; i < o->relays_len; i++) {
		if (clv_endpoint_from_sockaddr(&o->relays[i].sa, &out[i]) || !out[i].port)
			return CULVERT_ERANGE;
	}
	return (int)o->relays_len;
}

int culvert_net_report(struct culvert *c, const struct culvert_net_options *options)
{
	static const struct culvert_net_options defaults;
	const struct culvert_net_options *o = options ? options : &defaults;
	struct clv_endpoint relays[CLV_REFLECT_RELAYS_MAX];
	int len, err;

	text_clear_why(c);
	len = o->relays ? list_relays(o, relays)
			: (int)direct_relays(c, relays, CLV_REFLECT_RELAYS_MAX);
	if (len <= 0)
		return len ? len : CULVERT_ERANGE;
	err = clv_client_reflect(c->client, relays, (size_t)len, clv_clock_now_ns());
	if (err)
		return err;
	c->net_user = o->user;
	wake_now(c);
	return 0;
}

/* ---- the report ---- */

static void judge(struct culvert *c, const struct clv_reflect *round, bool is_v6,
		  struct culvert_net_family *out)
{
	struct clv_nat_observation list[CLV_REFLECT_RELAYS_MAX];
	struct clv_endpoint local = { .port = 0 };
	struct clv_nat_verdict v;

	for (size_t i = 0; i < round->relays_len; i++) {
		const struct clv_reflect_relay *r = &round->relays[i];

		list[i] = (struct clv_nat_observation){ r->relay, r->seen };
		if (!local.port && clv_addr_is_v4(r->relay.addr) != is_v6)
			clv_client_local(c->client, r->relay.addr, &local);
	}
	v = clv_nat_judge(list, round->relays_len, &local, is_v6);
	*out = (struct culvert_net_family){
		.nat = (enum culvert_nat)v.class,
		.asked = v.asked,
		.answered = v.answered,
		.has_nat = v.has_nat,
		.keeps_port = v.keeps_port,
		.step_min = v.step_min,
		.step_max = v.step_max,
	};
	if (local.port)
		text_to_address(&local, &out->local);
	if (v.seen.port)
		text_to_address(&v.seen, &out->seen);
}

void net_reflected(void *culvert, const struct clv_reflect *round)
{
	struct culvert *c = culvert;
	struct culvert_event e = { .type = CULVERT_NET_REPORT, .user = c->net_user };
	struct record record = { .report.foreign = (uint32_t)round->foreign };

	judge(c, round, false, &record.report.v4);
	judge(c, round, true, &record.report.v6);
	for (size_t i = 0; i < round->relays_len; i++) {
		const struct clv_reflect_relay *r = &round->relays[i];
		struct culvert_net_answer *a = &record.answers[i];

		a->error = r->error;
		a->status = r->status;
		a->tries = r->tries;
		a->rtt_usec = (uint32_t)(r->rtt_ns / 1000);
		text_to_address(&r->relay, &a->relay);
		if (r->seen.port)
			text_to_address(&r->seen, &a->seen);
	}
	emit_event(c, &e, &record,
		   sizeof(record.report) + round->relays_len * sizeof(record.answers[0]));
}
