/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/reflect.h"

#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

/* When each request is sent, and when its relay is given up, from the begin of the round. */
static const uint64_t due_ns[CLV_REFLECT_TRIES_MAX + 1] = {
	0,
	200 * CLV_MSEC,
	600 * CLV_MSEC,
	1600 * CLV_MSEC,
};

static struct clv_reflect_relay *find(struct clv_reflect *r, const struct clv_endpoint *relay)
{
	for (size_t i = 0; i < r->relays_len; i++)
		if (clv_endpoint_equal(&r->relays[i].relay, relay))
			return &r->relays[i];
	return NULL;
}

int clv_reflect_start(struct clv_reflect *r, struct clv_rand *rand,
		      const struct clv_endpoint *relays, size_t len, uint64_t now_ns)
{
	if (len > CLV_REFLECT_RELAYS_MAX)
		return CLV_EFULL;
	*r = (struct clv_reflect){ .rand = rand, .began_ns = now_ns };
	for (size_t i = 0; i < len; i++) {
		struct clv_reflect_relay *one;

		if (find(r, &relays[i]))
			continue;
		one = &r->relays[r->relays_len++];
		one->relay = relays[i];
		if (!relays[i].port) {
			one->error = CLV_ERANGE;
			one->is_over = true;
		}
	}
	return 0;
}

static uint64_t due_of(const struct clv_reflect *r, const struct clv_reflect_relay *one)
{
	return one->is_over ? UINT64_MAX : r->began_ns + due_ns[one->tries];
}

int clv_reflect_next(struct clv_reflect *r, uint64_t now_ns,
		     uint8_t request[static CLV_STUN_HEADER_LEN])
{
	for (size_t i = 0; i < r->relays_len; i++) {
		struct clv_reflect_relay *one = &r->relays[i];

		if (due_of(r, one) > now_ns)
			continue;
		if (one->tries == CLV_REFLECT_TRIES_MAX) {
			one->error = CLV_ETIMEOUT;
			one->is_over = true;
			continue;
		}
		clv_rand_bytes(r->rand, one->ids[one->tries], CLV_STUN_TRANSACTION_LEN);
		one->sent_ns[one->tries] = now_ns;
		clv_stun_request(one->ids[one->tries++], request);
		return (int)i;
	}
	return -1;
}

void clv_reflect_fail(struct clv_reflect *r, int relay, int error)
{
	r->relays[relay].error = error;
	r->relays[relay].is_over = true;
}

/* Returns the try that an ID belongs to, or -1. */
static int try_of(const struct clv_reflect_relay *one, const uint8_t *id)
{
	for (unsigned i = 0; i < one->tries; i++)
		if (!memcmp(one->ids[i], id, CLV_STUN_TRANSACTION_LEN))
			return (int)i;
	return -1;
}

int clv_reflect_take(struct clv_reflect *r, const struct clv_endpoint *from, const uint8_t *payload,
		     size_t len, uint64_t now_ns)
{
	struct clv_reflect_relay *one = find(r, from);
	struct clv_stun_response response;
	int err, which;

	err = clv_stun_response_read(payload, len, &response);
	if (err) {
		r->malformed++;
		return err;
	}
	which = one && !one->is_over ? try_of(one, response.transaction) : -1;
	if (which < 0) {
		/* A second answer to a request that was repeated is nobody's guess. */
		r->foreign += !one || try_of(one, response.transaction) < 0;
		return CLV_EDENIED;
	}
	one->is_over = true;
	one->rtt_ns = now_ns - one->sent_ns[which];
	if (response.error) {
		one->error = CLV_EPROTO;
		one->status = response.error;
	} else if (clv_addr_is_v4(response.seen.addr) != clv_addr_is_v4(one->relay.addr)) {
		one->error = CLV_EPROTO; /* it saw a packet of the other family */
	} else {
		one->seen = response.seen;
	}
	return 0;
}

uint64_t clv_reflect_next_ns(const struct clv_reflect *r)
{
	uint64_t at = UINT64_MAX;

	for (size_t i = 0; i < r->relays_len; i++) {
		uint64_t due = due_of(r, &r->relays[i]);

		at = due < at ? due : at;
	}
	return at;
}

bool clv_reflect_is_done(const struct clv_reflect *r)
{
	return clv_reflect_next_ns(r) == UINT64_MAX;
}
