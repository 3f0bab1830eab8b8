/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/loop/nat_world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/nat64.h"
#include "datapath/base/timers.h"

enum { QUEUE_MAX = 8192, START_SEC = 1000 };

const char *const end_kind_names[END_KINDS] = {
	"open",	       "full-cone", "address-restricted", "port-restricted", "symmetric", "cgnat",
	"udp-blocked", "v6-open",   "v6-firewall",	  "v6-nat64",
};

static const struct clv_prefix nat64_prefix = {
	.prefix_bits = 96,
	.addr = { 0x20, 0x01, 0x0d, 0xb8, 0, 0x64 },
};

/* ---- NATs ---- */

static struct nat_mapping *find_inside(struct nat *n, const struct clv_endpoint *inside,
				       const struct clv_endpoint *remote)
{
	for (unsigned i = 0; i < n->count; i++)
		if (clv_endpoint_equal(&n->list[i].inside, inside) &&
		    (!n->is_symmetric || clv_endpoint_equal(&n->list[i].remote, remote)))
			return &n->list[i];
	return NULL;
}

/* A packet to the outside.  Returns whether it passes; src is where it seems to come from. */
static bool pass_out(struct nat *n, struct clv_endpoint *src, const struct clv_endpoint *dst)
{
	struct nat_mapping *m = find_inside(n, src, dst);

	if (n->is_blocked)
		return false;
	if (!m) {
		assert_true(n->count < NAT_MAPPINGS);
		m = &n->list[n->count++];
		*m = (struct nat_mapping){ .inside = *src, .outside = *src, .remote = *dst };
		if (!n->is_firewall) {
			memcpy(m->outside.addr, n->outside, 16);
			n->next_port = (uint16_t)(n->next_port + 7);
			m->outside.port = htons(n->next_port);
		}
	}
	for (unsigned i = 0; i <= m->permitted_count; i++) {
		if (i == m->permitted_count) {
			assert_true(i < NAT_PERMITTED);
			m->permitted[m->permitted_count++] = *dst;
		}
		if (clv_endpoint_equal(&m->permitted[i], dst))
			break;
	}
	*src = m->outside;
	return true;
}

static bool permits(const struct nat *n, const struct nat_mapping *m,
		    const struct clv_endpoint *src)
{
	for (unsigned i = 0; i < m->permitted_count; i++)
		if (memcmp(m->permitted[i].addr, src->addr, 16) == 0 &&
		    (n->filter == FROM_ADDRESS || m->permitted[i].port == src->port))
			return true;
	return n->filter == FROM_ANY;
}

static bool pass_in(struct nat *n, const struct clv_endpoint *src, struct clv_endpoint *dst)
{
	if (n->is_blocked)
		return false;
	for (unsigned i = 0; i < n->count; i++) {
		struct nat_mapping *m = &n->list[i];

		if (!clv_endpoint_equal(&m->outside, dst) || !permits(n, m, src))
			continue;
		if (n->is_symmetric && !clv_endpoint_equal(&m->remote, src))
			continue;
		*dst = m->inside;
		return true;
	}
	return false;
}

/* ---- the way of a datagram ---- */

/*
 * Through the NATs of its end.  Fills src and dst as the core sees them.  Returns whether it gets there.
 */
static bool go_out(struct end *e, struct clv_endpoint *src, struct clv_endpoint *dst)
{
	bool is_v4 = clv_addr_is_v4(dst->addr);
	struct nat **chain = is_v4 ? e->v4_chain : e->v6_chain;
	unsigned len = is_v4 ? e->v4_chain_len : e->v6_chain_len;
	const uint8_t *own = is_v4 ? e->v4 : e->v6;
	struct clv_endpoint inner;

	if (clv_addr_is_any(own))
		return false;
	memcpy(src->addr, own, 16);
	src->port = e->port;
	if (e->nat64 && clv_nat64_extract(&nat64_prefix, dst->addr, inner.addr)) {
		memcpy(dst->addr, inner.addr, 16);
		return pass_out(e->nat64, src, dst);
	}
	for (unsigned i = 0; i < len; i++)
		if (!pass_out(chain[i], src, dst))
			return false;
	return true;
}

/* From the core.  Fills src and dst as the end sees them.  Returns whether it is for the end. */
static bool go_in(struct end *e, struct clv_endpoint *src, struct clv_endpoint *dst)
{
	bool is_v4 = clv_addr_is_v4(dst->addr);
	struct nat **chain = is_v4 ? e->v4_chain : e->v6_chain;
	unsigned len = is_v4 ? e->v4_chain_len : e->v6_chain_len;
	uint8_t v4_as_v6[16];

	if (e->nat64 && memcmp(e->nat64->outside, dst->addr, 16) == 0) {
		if (!pass_in(e->nat64, src, dst))
			return false;
		clv_nat64_embed(&nat64_prefix, src->addr, v4_as_v6);
		memcpy(src->addr, v4_as_v6, 16);
		return true;
	}
	while (len > 0)
		if (!pass_in(chain[--len], src, dst))
			return false;
	return memcmp(is_v4 ? e->v4 : e->v6, dst->addr, 16) == 0 && dst->port == e->port;
}

static void push(struct nat_world *w, struct end *to, uint64_t after_ns, bool is_capsule,
		 const struct clv_endpoint *from, const uint8_t *bytes, size_t len)
{
	struct nat_event *ev = &w->queue[w->queue_len++];

	assert_true(w->queue_len < QUEUE_MAX && len <= sizeof(ev->bytes));
	*ev = (struct nat_event){ .at_ns = w->now_ns + after_ns,
				  .order = w->order++,
				  .to = to,
				  .is_capsule = is_capsule,
				  .len = len };
	if (from)
		ev->from = *from;
	memcpy(ev->bytes, bytes, len);
}

static bool is_inside(const struct end *e, const struct clv_endpoint *dst)
{
	return memcmp(dst->addr, clv_addr_is_v4(dst->addr) ? e->v4 : e->v6, 16) == 0 &&
	       clv_addr_scope(dst->addr) == CLV_SCOPE_PRIVATE;
}

void nat_world_send(struct end *e, const struct clv_endpoint *to, const uint8_t *bytes, size_t len)
{
	struct nat_world *w = e->world;
	struct end *other = &w->ends[e == &w->ends[0]];
	struct clv_endpoint src = { .port = e->port }, dst = *to;
	uint8_t copy[CLV_PROBE_MAX];

	memcpy(copy, bytes, len);
	if (clv_rand_u64(&w->rand) % 100 < w->loss_percent || w->is_cut)
		return;
	if (other->lan == e->lan && is_inside(other, to)) {
		memcpy(src.addr, clv_addr_is_v4(to->addr) ? e->v4 : e->v6, 16);
		push(w, other, w->hop_ns / 20, false, &src, copy, len);
		return;
	}
	if (!go_out(e, &src, &dst) || (w->mtu && len > w->mtu))
		return;
	if (w->on_wire && !w->on_wire(w, e, &src, &dst, copy, &len))
		return;
	/* A NAT does not send back to its own inside. */
	if (go_in(other, &src, &dst) &&
	    !(e->v4_chain_len && other->v4_chain_len &&
	      e->v4_chain[e->v4_chain_len - 1] == other->v4_chain[other->v4_chain_len - 1] &&
	      clv_addr_is_v4(to->addr)))
		push(w, other, 2 * w->hop_ns, false, &src, copy, len);
}

/* ---- ends ---- */

static void on_send(void *user, uint32_t base, const struct clv_endpoint *to,
		    const uint8_t *datagram, size_t len)
{
	struct end *e = user;
	unsigned i = 0;

	assert_int_equal(base, CLV_BASE_SOCKET);
	e->datagrams++;
	e->bytes += (unsigned)len;
	while (i < e->seen_count && !clv_endpoint_equal(&e->seen[i], to))
		i++;
	if (i == e->seen_count && i < 256)
		e->seen[e->seen_count++] = *to;
	nat_world_send(e, to, datagram, len);
}

static void on_event(void *user, enum clv_pair_event event, const struct clv_pair *pair)
{
	struct end *e = user;

	if (event == CLV_PAIR_IS_ALIVE)
		e->alive = pair->remote;
	if (event == CLV_PAIR_IS_PROVEN) {
		assert_true(pair->rtt_ns > 0);
		if (!e->proven_ns)
			e->proven_ns = e->world->now_ns;
		e->is_proven = true;
		e->path = pair->remote;
	} else if (event == CLV_PAIR_IS_LOST && clv_endpoint_equal(&pair->remote, &e->path)) {
		e->is_proven = false;
		e->lost_ns = e->world->now_ns;
	}
}

static void on_observed(void *user, uint32_t base, const struct clv_endpoint *address)
{
	(void)user;
	(void)base;
	assert_int_not_equal(address->port, 0);
}

static int on_signal(void *user, const struct clv_peer_capsule *capsule)
{
	struct end *e = user;
	uint8_t wire[CLV_PEER_CAPSULE_MAX];
	int len = clv_peer_capsule_encode(capsule, wire);

	assert_true(len > 0);
	e->capsule_bytes += (unsigned)len;
	push(e->world, &e->world->ends[e == &e->world->ends[0]], 2 * e->world->hop_ns, true, NULL,
	     wire, (size_t)len);
	return 0;
}

static const struct clv_rounds_ops ops = {
	.checks = { .send = on_send, .event = on_event, .observed = on_observed },
	.signal = on_signal,
};

static int on_capsule(void *user, const struct clv_peer_capsule *capsule)
{
	struct end *e = user;

	return clv_rounds_take(e->rounds, capsule, e->world->now_ns);
}

static void add(struct clv_candidates *set, enum clv_candidate_kind kind,
		const struct clv_endpoint *ep, uint8_t bits)
{
	struct clv_candidate c = { .kind = kind,
				   .endpoint = *ep,
				   .base = kind == CLV_CANDIDATE_RELAYED ? 1 : CLV_BASE_SOCKET,
				   .prefix_bits = bits,
				   .priority = clv_candidate_priority(kind, ep->addr, 0) };

	clv_candidates_add(set, &c);
}

/* What a relay sees of the end; as the end reaches it. */
static void add_reflexive(struct end *e, struct clv_candidates *set,
			  const struct clv_endpoint *relay)
{
	struct clv_endpoint src = { .port = 0 }, dst = *relay;

	if (clv_addr_is_v4(relay->addr) && e->nat64)
		clv_nat64_embed(&nat64_prefix, relay->addr, dst.addr);
	if (go_out(e, &src, &dst))
		add(set, CLV_CANDIDATE_REFLEXIVE, &src, 0);
}

void nat_world_gather(struct end *e)
{
	struct nat_world *w = e->world;
	struct clv_candidates set = { .count = 0 };
	struct clv_endpoint ep = { .port = e->port };

	memcpy(ep.addr, e->v4, 16);
	if (!clv_addr_is_any(e->v4))
		add(&set, CLV_CANDIDATE_HOST, &ep, e->v4_bits);
	memcpy(ep.addr, e->v6, 16);
	if (!clv_addr_is_any(e->v6))
		add(&set, CLV_CANDIDATE_HOST, &ep, 64);
	add_reflexive(e, &set, &w->relays[0]);
	add_reflexive(e, &set, &w->relays[1]);
	ep = w->relays[0];
	ep.port = htons(e->is_dialler ? 40000 : 40001);
	add(&set, CLV_CANDIDATE_RELAYED, &ep, 0);
	assert_int_equal(clv_rounds_set_local(e->rounds, &set, !clv_addr_is_any(e->v4),
					      e->nat64 ? &nat64_prefix : NULL, w->now_ns),
			 0);
}

static void parse(const char *text, uint8_t out[16])
{
	assert_int_equal(clv_addr_parse(text, out), 0);
}

static struct nat *add_nat(struct nat_world *w, const char *outside)
{
	struct nat *n = &w->nats[w->nat_count++];

	*n = (struct nat){ .filter = FROM_ENDPOINT,
			   .next_port = (uint16_t)(10000 + clv_rand_u64(&w->rand) % 20000) };
	parse(outside, n->outside);
	return n;
}

static void place(struct nat_world *w, struct end *e, enum end_kind kind, unsigned i)
{
	static const char *const outside[] = { "198.51.100.2", "198.51.100.130" };
	static const char *const inside[] = { "192.168.1.10", "192.168.2.10" };
	static const char *const provider[] = { "100.64.1.2", "100.64.2.2" };
	static const char *const v6[] = { "2001:db8:a::2", "2001:db8:b::2" };

	e->lan = i;
	e->port = htons((uint16_t)(50000 + i));
	e->v4_bits = 120;
	if (kind >= END_V6_OPEN) {
		parse(v6[i], e->v6);
		if (kind == END_V6_FIREWALL) {
			e->v6_chain[e->v6_chain_len++] = add_nat(w, v6[i]);
			e->v6_chain[0]->is_firewall = true;
		}
		if (kind == END_V6_NAT64) {
			e->nat64 = add_nat(w, outside[i]);
			e->nat64->is_nat64 = true;
		}
		return;
	}
	if (kind == END_OPEN) {
		parse(outside[i], e->v4);
		return;
	}
	parse(inside[i], e->v4);
	e->v4_chain[e->v4_chain_len++] = add_nat(w, kind == END_CGNAT ? provider[i] : outside[i]);
	if (kind == END_CGNAT)
		e->v4_chain[e->v4_chain_len++] = add_nat(w, outside[i]);
	e->v4_chain[0]->is_symmetric = kind == END_SYMMETRIC;
	e->v4_chain[0]->is_blocked = kind == END_BLOCKED;
	if (kind == END_FULL_CONE)
		e->v4_chain[0]->filter = FROM_ANY;
	if (kind == END_ADDRESS_RESTRICTED)
		e->v4_chain[0]->filter = FROM_ADDRESS;
}

void nat_world_open(struct nat_world *w, enum end_kind dialler, enum end_kind listener,
		    uint64_t seed)
{
	*w = (struct nat_world){ .now_ns = START_SEC * CLV_SEC, .hop_ns = 20 * CLV_MSEC };
	clv_rand_init(&w->rand, seed);
	w->queue = calloc(QUEUE_MAX, sizeof(*w->queue));
	assert_non_null(w->queue);
	assert_int_equal(clv_endpoint_parse("203.0.113.1:443", &w->relays[0]), 0);
	assert_int_equal(clv_endpoint_parse("[2001:db8:ffff::1]:443", &w->relays[1]), 0);
	for (unsigned i = 0; i < 2; i++) {
		w->ends[i] = (struct end){ .world = w,
					   .is_dialler = i == 0,
					   .privacy = CLV_PRIVACY_OPEN,
					   .next_ns = CLV_TIMER_NEVER };
		place(w, &w->ends[i], i ? listener : dialler, i);
	}
}

void nat_world_same_nat(struct nat_world *w, bool is_same_lan)
{
	struct end *a = &w->ends[0], *b = &w->ends[1];

	b->v4_chain[b->v4_chain_len - 1] = a->v4_chain[a->v4_chain_len - 1];
	if (!is_same_lan)
		return;
	b->v4_chain_len = a->v4_chain_len;
	memcpy(b->v4_chain, a->v4_chain, sizeof(a->v4_chain));
	memcpy(b->v4, a->v4, 16);
	b->v4[15]++;
	b->lan = a->lan;
}

void nat_world_start(struct nat_world *w)
{
	for (unsigned i = 0; i < 2; i++) {
		struct end *e = &w->ends[i];
		struct clv_peer_capsule hello = { .type = CLV_PEER_HELLO };
		struct clv_rounds_params p = {
			.is_dialler = e->is_dialler,
			.privacy = e->privacy,
			.rand = &w->rand,
			.ops = &ops,
			.user = e,
			.relays = w->relays,
			.relay_count = 2,
		};

		assert_int_equal(clv_rounds_new(&p, w->now_ns, &e->rounds), 0);
		clv_rounds_hello(e->rounds, &hello.hello);
		on_signal(e, &hello);
		nat_world_gather(e);
		assert_int_equal(clv_rounds_start(e->rounds), 0);
		e->next_ns = w->now_ns;
	}
}

void nat_world_close(struct nat_world *w)
{
	clv_rounds_free(w->ends[0].rounds);
	clv_rounds_free(w->ends[1].rounds);
	free(w->queue);
}

void nat_world_inject(struct end *e, const struct clv_endpoint *from, const uint8_t *bytes,
		      size_t len)
{
	if (clv_rounds_is_ours(e->rounds, bytes, len)) {
		clv_rounds_datagram(e->rounds, CLV_BASE_SOCKET, from, bytes, len, e->world->now_ns);
		e->next_ns = e->world->now_ns;
	}
}

void nat_world_tell(struct end *e, const struct clv_peer_capsule *capsule)
{
	uint8_t wire[CLV_PEER_CAPSULE_MAX];
	struct clv_peer_capsule_reader reader = { 0 };
	int len = clv_peer_capsule_encode(capsule, wire);

	assert_true(len > 0);
	e->err = clv_peer_capsule_feed(&reader, wire, (size_t)len, on_capsule, e);
	e->next_ns = e->world->now_ns;
}

/* ---- time ---- */

static void deliver(struct nat_world *w, unsigned at)
{
	struct nat_event ev = w->queue[at];
	struct clv_peer_capsule_reader reader = { 0 };

	w->queue[at] = w->queue[--w->queue_len];
	if (!ev.is_capsule) {
		nat_world_inject(ev.to, &ev.from, ev.bytes, ev.len);
		return;
	}
	ev.to->err = clv_peer_capsule_feed(&reader, ev.bytes, ev.len, on_capsule, ev.to);
	assert_int_equal(ev.to->err, 0);
	ev.to->next_ns = w->now_ns;
}

static bool is_sooner(const struct nat_event *a, const struct nat_event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

/* Do the next thing that happens until end_ns.  Returns whether there was one. */
static bool do_next(struct nat_world *w, uint64_t end_ns)
{
	unsigned soonest = 0;
	uint64_t at_ns = end_ns;
	struct end *due = NULL;

	for (unsigned i = 1; i < w->queue_len; i++)
		if (is_sooner(&w->queue[i], &w->queue[soonest]))
			soonest = i;
	if (w->queue_len && w->queue[soonest].at_ns < at_ns)
		at_ns = w->queue[soonest].at_ns;
	for (unsigned i = 0; i < 2; i++) {
		if (w->ends[i].next_ns < at_ns) {
			at_ns = w->ends[i].next_ns;
			due = &w->ends[i];
		}
	}
	if (at_ns == end_ns && !(w->queue_len && w->queue[soonest].at_ns == end_ns)) {
		w->now_ns = end_ns;
		return false;
	}
	w->now_ns = at_ns > w->now_ns ? at_ns : w->now_ns;
	if (due) {
		uint64_t next_ns = clv_rounds_step(due->rounds, w->now_ns);

		assert_true(next_ns > w->now_ns);
		due->next_ns = next_ns;
	} else {
		deliver(w, soonest);
	}
	return true;
}

void nat_world_run(struct nat_world *w, uint64_t ns)
{
	uint64_t end_ns = w->now_ns + ns;

	while (do_next(w, end_ns))
		;
}

bool nat_world_run_direct(struct nat_world *w, uint64_t ns)
{
	uint64_t end_ns = w->now_ns + ns;

	while (!(w->ends[0].is_proven && w->ends[1].is_proven) && do_next(w, end_ns))
		;
	return w->ends[0].is_proven && w->ends[1].is_proven;
}
