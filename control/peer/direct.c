/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/direct.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/base/timers.h"

struct clv_direct {
	struct clv_direct_params p;
	struct clv_direct_local local;
	struct clv_peerconn *conn; /* NULL: none yet, or gone */
	struct clv_rounds *rounds;
	struct clv_endpoint observed[2]; /* ours, as the peer told: of IPv4, of IPv6; port 0: not */
	uint64_t observed_ns;		 /* the first time; 0: never */
	uint64_t observed_seq;		 /* of the next OBSERVED_ADDRESS that is accepted */
	bool is_up;
	uint64_t now_ns; /* of the call in progress */
	uint64_t next_ns;
	uint8_t cids[2][CLV_PROBE_CID_LEN]; /* of probes to us: the present one, the one before */
	unsigned cid_count;
};

/* Probes through a tunnel go to relayed addresses. */
static struct clv_peer_link link_of(uint32_t base, const struct clv_endpoint *remote,
				    bool is_relayed)
{
	return (struct clv_peer_link){ .base = base,
				       .is_relayed = is_relayed || base != CLV_BASE_SOCKET,
				       .remote = *remote };
}

/* ---- what rounds want ---- */

static void on_send(void *user, uint32_t base, const struct clv_endpoint *to,
		    const uint8_t *datagram, size_t len)
{
	struct clv_direct *d = user;
	struct clv_peer_link link = link_of(base, to, false);

	d->p.send(d->p.user, &link, datagram, len);
}

static void on_event(void *user, enum clv_pair_event event, const struct clv_pair *pair)
{
	struct clv_direct *d = user;
	struct clv_peer_link link = link_of(pair->base, &pair->remote, pair->is_given);

	if (!d->conn)
		return;
	switch (event) {
	case CLV_PAIR_IS_ALIVE:
		clv_peerconn_link_heard(d->conn, &link, d->now_ns);
		/*
		 * The listener follows the dialler to wherever it answers.  A path that the dialler left
		 * in a silence is good again once it answers, but not by what comes in alone: the way
		 * there may be the dead one.
		 */
		if (pair->answered_ns == d->now_ns &&
		    (!d->p.is_dialler || pair->state == CLV_PAIR_PROVEN))
			clv_peerconn_link_validated(d->conn, &link, pair->rtt_ns, d->now_ns);
		break;
	case CLV_PAIR_IS_PROVEN:
		clv_peerconn_link_validated(d->conn, &link, pair->rtt_ns, d->now_ns);
		break;
	case CLV_PAIR_IS_LOST:
		clv_peerconn_link_remove(d->conn, &link);
		break;
	}
}

/* What a relay and the peer see is told by others; see clv_direct_capsule. */
static void on_observed(void *user, uint32_t base, const struct clv_endpoint *address)
{
	(void)user;
	(void)base;
	(void)address;
}

/* A HELLO may also be repeated for something else. */
static int note_cid(struct clv_direct *d, const uint8_t *cid)
{
	int err;

	if (memcmp(d->cids[0], cid, CLV_PROBE_CID_LEN) == 0)
		return 0;
	err = d->p.cid_added(d->p.user, cid);
	if (err)
		return err;
	if (d->cid_count == 2)
		d->p.cid_removed(d->p.user, d->cids[1]);
	memcpy(d->cids[1], d->cids[0], CLV_PROBE_CID_LEN);
	memcpy(d->cids[0], cid, CLV_PROBE_CID_LEN);
	d->cid_count += d->cid_count < 2;
	return 0;
}

static int on_signal(void *user, const struct clv_peer_capsule *capsule)
{
	struct clv_direct *d = user;

	if (!d->conn)
		return CLV_ECLOSED;
	if (capsule->type == CLV_PEER_HELLO && note_cid(d, capsule->hello.probe_cid))
		return CLV_EFULL;
	return clv_peerconn_send_capsule(d->conn, capsule);
}

static const struct clv_rounds_ops ops = {
	.checks = { .send = on_send, .event = on_event, .observed = on_observed },
	.signal = on_signal,
};

/* ---- life ---- */

int clv_direct_new(const struct clv_direct_params *params, uint64_t now_ns, struct clv_direct **out)
{
	struct clv_direct *d = calloc(1, sizeof(*d));
	struct clv_peer_hello hello;
	struct clv_rounds_params rp = {
		.is_dialler = params->is_dialler,
		.privacy = params->local->privacy,
		.nat_class = params->local->nat_class,
		.rand = params->rand,
		.ops = &ops,
		.user = d,
		.relays = params->local->relays,
		.relay_count = params->local->relay_count,
	};
	int err;

	if (!d)
		return -ENOMEM;
	d->p = *params;
	d->local = *params->local;
	d->p.local = NULL;
	d->next_ns = CLV_TIMER_NEVER;
	err = clv_rounds_new(&rp, now_ns, &d->rounds);
	if (!err) {
		clv_rounds_hello(d->rounds, &hello);
		err = note_cid(d, hello.probe_cid);
		explicit_bzero(&hello, sizeof(hello));
	}
	if (err) {
		clv_direct_free(d);
		return err;
	}
	*out = d;
	return 0;
}

void clv_direct_free(struct clv_direct *d)
{
	if (!d)
		return;
	for (unsigned i = 0; i < d->cid_count; i++)
		d->p.cid_removed(d->p.user, d->cids[i]);
	clv_rounds_free(d->rounds);
	free(d);
}

void clv_direct_fill_hello(const struct clv_direct *d, struct clv_peer_hello *hello)
{
	clv_rounds_hello(d->rounds, hello);
}

void clv_direct_set_conn(struct clv_direct *d, struct clv_peerconn *conn)
{
	if (d)
		d->conn = conn;
}

void clv_direct_stop(struct clv_direct *d)
{
	if (!d)
		return;
	d->conn = NULL;
	d->is_up = false;
}

void clv_direct_give(struct clv_direct *d, const struct clv_peer_link *link, uint64_t now_ns)
{
	clv_rounds_give(d->rounds, link->base, &link->remote, now_ns);
}

/* ---- candidates ---- */

static void give_candidates(struct clv_direct *d)
{
	struct clv_candidates set = d->local.candidates;

	for (unsigned i = 0; i < 2; i++) {
		struct clv_candidate c = { .kind = CLV_CANDIDATE_REFLEXIVE,
					   .endpoint = d->observed[i],
					   .base = CLV_BASE_SOCKET };

		c.priority = clv_candidate_priority(c.kind, c.endpoint.addr, 0);
		if (c.endpoint.port)
			clv_candidates_add(&set, &c);
	}
	clv_rounds_set_local(d->rounds, &set, d->local.has_v4,
			     d->local.has_nat64 ? &d->local.nat64 : NULL, d->now_ns);
}

/* The dialler's packets came to our relay from this address. */
static void tell_observed(struct clv_direct *d, const struct clv_endpoint *address)
{
	struct clv_peer_capsule c = { .type = CLV_PEER_OBSERVED_ADDRESS,
				      .address.endpoint = *address };

	clv_peerconn_send_capsule(d->conn, &c);
}

/* A hint: whoever lies about it only makes us name an address at which we are not. */
static void take_observed(struct clv_direct *d, const struct clv_peer_capsule *capsule)
{
	const struct clv_endpoint *ep = &capsule->address.endpoint;

	if (!d->p.is_dialler || capsule->sequence < d->observed_seq || !ep->port ||
	    clv_addr_scope(ep->addr) == CLV_SCOPE_NONE)
		return;
	d->observed_seq = capsule->sequence + 1;
	if (!d->observed_ns)
		d->observed_ns = d->now_ns;
	d->observed[!clv_addr_is_v4(ep->addr)] = *ep;
	give_candidates(d);
}

void clv_direct_set_local(struct clv_direct *d, const struct clv_direct_local *local,
			  uint64_t now_ns)
{
	bool is_other = d->local.privacy != local->privacy;

	d->now_ns = now_ns;
	d->local = *local;
	if (is_other)
		clv_rounds_set_privacy(d->rounds, local->privacy, now_ns);
	clv_rounds_set_class(d->rounds, local->nat_class, now_ns);
	give_candidates(d);
	d->next_ns = 0;
}

/* ---- the connection ---- */

/* What was found on a connection before this one. */
static void tell_proven(struct clv_direct *d)
{
	unsigned n;
	const struct clv_pair *pairs = clv_rounds_pairs(d->rounds, &n);

	for (unsigned i = 0; i < n; i++)
		if (pairs[i].state == CLV_PAIR_PROVEN && !pairs[i].is_given)
			on_event(d, CLV_PAIR_IS_PROVEN, &pairs[i]);
}

void clv_direct_up(struct clv_direct *d, const struct clv_peer_hello *hello,
		   const struct clv_peer_link *link, uint64_t now_ns)
{
	struct clv_peer_capsule capsule = { .type = CLV_PEER_HELLO, .hello = *hello };

	d->now_ns = now_ns;
	d->is_up = true;
	d->observed_seq = 0; /* each connection counts its own */
	if (link->is_relayed)
		clv_rounds_give(d->rounds, link->base, &link->remote, now_ns);
	if (link->is_relayed && link->base != CLV_BASE_SOCKET && !d->p.is_dialler)
		tell_observed(d, &link->remote);
	clv_rounds_take(d->rounds, &capsule, now_ns);
	explicit_bzero(&capsule, sizeof(capsule));
	give_candidates(d);
	clv_rounds_start(d->rounds);
	tell_proven(d);
	d->next_ns = 0;
}

int clv_direct_capsule(struct clv_direct *d, const struct clv_peer_capsule *capsule,
		       uint64_t now_ns)
{
	d->now_ns = now_ns;
	d->next_ns = 0;
	if (capsule->type == CLV_PEER_OBSERVED_ADDRESS) {
		take_observed(d, capsule);
		return 0;
	}
	return clv_rounds_take(d->rounds, capsule, now_ns);
}

void clv_direct_ask(struct clv_direct *d, const struct clv_peer_link *link, uint64_t now_ns)
{
	d->now_ns = now_ns;
	d->next_ns = 0;
	if (link)
		clv_rounds_check(d->rounds, link->base, &link->remote, now_ns);
	else
		clv_rounds_ask(d->rounds, now_ns);
}

bool clv_direct_receive(struct clv_direct *d, const struct clv_peer_link *link,
			const uint8_t *packet, size_t len, uint64_t now_ns)
{
	if (!clv_rounds_is_ours(d->rounds, packet, len))
		return false;
	if (!d->is_up)
		return true;
	d->now_ns = now_ns;
	d->next_ns = 0;
	clv_rounds_datagram(d->rounds, link->base, &link->remote, packet, len, now_ns);
	return true;
}

void clv_direct_step(struct clv_direct *d, uint64_t now_ns)
{
	d->now_ns = now_ns;
	if (!d->is_up)
		return;
	d->next_ns = clv_rounds_step(d->rounds, now_ns);
}

uint64_t clv_direct_next_ns(const struct clv_direct *d)
{
	return d->is_up ? d->next_ns : CLV_TIMER_NEVER;
}

const struct clv_rounds *clv_direct_rounds(const struct clv_direct *d)
{
	return d->rounds;
}

uint64_t clv_direct_observed_ns(const struct clv_direct *d)
{
	return d->observed_ns;
}
