/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/request_capsules.h"

#include "control/proxy/bound_request.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/base/varint.h"
#include "datapath/io/packet.h"
#include "datapath/quic/dgram.h"

enum {
	VARINT_BYTES_MAX = 8,
	BOUND_PREFIX_MAX = 27, /* Context ID, IP version, address and port before the payload */
};

void clv_request_capsules_init(struct clv_request *rq)
{
	clv_capsule_parser_init(&rq->capsules, CLV_EARLY_BYTES_MAX);
	rq->capsules.holder = rq->rs->params.holder;
	rq->early.holder = rq->rs->params.holder;
}

void clv_request_capsules_fini(struct clv_request *rq)
{
	struct clv_early_capsule *c;

	while ((c = clv_early_take(&rq->early)) != NULL) {
		if (c->type == CLV_CAPSULE_DATAGRAM)
			clv_requests_count(rq->rs, CLV_COUNT_DROP_EARLY_EXPIRED);
		clv_early_free(&rq->early, c);
	}
	clv_capsule_parser_fini(&rq->capsules);
}

/* ---- capsules of an open tunnel ---- */

static enum clv_contexts_verdict classify(const struct clv_request *rq, uint64_t context_id)
{
	if (rq->bound)
		return clv_bound_request_classify(rq, context_id);
	return context_id == CLV_DGRAM_CONTEXT_UDP ? CLV_CONTEXTS_ZERO : CLV_CONTEXTS_UNKNOWN;
}

/* A DATAGRAM capsule's value: send its payload to the target, or to the remote of its context. */
static int send_datagram(struct clv_request *rq, const uint8_t *value, size_t len)
{
	struct clv_requests *rs = rq->rs;
	const uint8_t *p = value;
	uint64_t context_id;

	if (clv_varint_read(&p, value + len, &context_id) < 0)
		return CLV_EPROTO;
	len -= (size_t)(p - value);
	switch (classify(rq, context_id)) {
	case CLV_CONTEXTS_ZERO:
	case CLV_CONTEXTS_OPEN:
		rs->params.ops->tunnel_send(rs->params.session, &rq->ref, context_id, p, len);
		return 0;
	case CLV_CONTEXTS_CLOSED:
		clv_requests_count(rs, CLV_COUNT_DROP_CLOSED_CONTEXT);
		return 0;
	case CLV_CONTEXTS_UNKNOWN:
		clv_requests_count(rs, CLV_COUNT_DROP_UNKNOWN_CONTEXT);
		return 0;
	default: /* Context ID 0 in a tunnel without a target */
		clv_requests_count(rs, CLV_COUNT_CONTEXT_ABORT_ZERO);
		return CLV_ERANGE;
	}
}

static int handle_capsule(struct clv_request *rq, enum clv_capsule_type type, const uint8_t *value,
			  size_t len)
{
	if (type == CLV_CAPSULE_DATAGRAM)
		return send_datagram(rq, value, len);
	/* A request for a bound tunnel that got an ordinary one has no contexts. */
	return rq->bound ? clv_bound_request_capsule(rq, type, value, len) : 0;
}

/* ---- capsules as they come ---- */

static int on_capsule_datagram(void *user, const uint8_t *value, size_t len)
{
	struct clv_request *rq = user;
	enum clv_early_result result;
	const uint8_t *p = value;
	uint64_t context_id;

	if (rq->state == CLV_REQUEST_OPEN)
		return handle_capsule(rq, CLV_CAPSULE_DATAGRAM, value, len);
	if (clv_varint_read(&p, value + len, &context_id) < 0)
		return CLV_EPROTO;
	result = clv_early_keep(&rq->early, CLV_CAPSULE_DATAGRAM, value, len);
	if (result == CLV_EARLY_BUDGET)
		clv_requests_count(rq->rs, CLV_COUNT_BUFFERED_FULL);
	clv_requests_count(rq->rs, result == CLV_EARLY_KEPT ? CLV_COUNT_EARLY_HELD
							    : CLV_COUNT_DROP_EARLY_FULL);
	return 0;
}

/* Unlike a datagram it must not be lost. */
static int on_capsule_context(void *user, enum clv_capsule_type type, const uint8_t *value,
			      size_t len)
{
	struct clv_request *rq = user;
	enum clv_early_result result;

	if (rq->state == CLV_REQUEST_OPEN)
		return handle_capsule(rq, type, value, len);
	result = clv_early_keep(&rq->early, type, value, len);
	if (result == CLV_EARLY_BUDGET)
		clv_requests_count(rq->rs, CLV_COUNT_BUFFERED_FULL);
	return result == CLV_EARLY_KEPT ? 0 : CLV_EFULL;
}

/* A DATAGRAM capsule longer than datagram_max: the parser skips its value. */
static int on_capsule_skipped(void *user, uint64_t len, const uint8_t *head, size_t head_len)
{
	struct clv_request *rq = user;
	const uint8_t *p = head;
	uint64_t context_id;

	if (clv_varint_read(&p, head + head_len, &context_id) < 0)
		return CLV_EPROTO;
	len -= (uint64_t)(p - head);
	if (context_id != CLV_DGRAM_CONTEXT_UDP) {
		clv_requests_count(rq->rs, CLV_COUNT_DROP_UNKNOWN_CONTEXT);
		return 0;
	}
	if (len > CLV_DGRAM_UDP_MAX)
		return CLV_ERANGE;
	clv_requests_count(rq->rs, CLV_COUNT_DROP_TOO_BIG_TARGET);
	return 0;
}

static const struct clv_capsule_ops capsule_ops = {
	.on_datagram = on_capsule_datagram,
	.on_skipped = on_capsule_skipped,
};

static const struct clv_capsule_ops bound_capsule_ops = {
	.on_datagram = on_capsule_datagram,
	.on_skipped = on_capsule_skipped,
	.on_context = on_capsule_context,
};

int clv_request_capsules_feed(struct clv_request *rq, const uint8_t *data, size_t len)
{
	const struct clv_capsule_ops *ops = rq->wants_bound ? &bound_capsule_ops : &capsule_ops;
	int err = clv_capsule_parser_feed(&rq->capsules, data, len, ops, rq);

	if (rq->capsules.is_refused)
		clv_requests_count(rq->rs, CLV_COUNT_BUFFERED_FULL);
	return err;
}

/* ---- the tunnel opens ---- */

/*
 * The longest DATAGRAM value worth storing: a payload beyond the path MTU cannot be sent (RFC 9298
 * section 5).
 */
static size_t datagram_max(const struct clv_request *rq, const struct clv_tunnel_spec *spec)
{
	size_t headers = clv_packet_ip_udp_len(clv_addr_is_v4(spec->remote.addr));
	size_t mtu = spec->hop.mtu;

	if (rq->bound)
		return CLV_DGRAM_UDP_MAX + BOUND_PREFIX_MAX;
	if (mtu <= headers) /* a route of the kernel may come without an MTU */
		return CLV_DGRAM_UDP_MAX + VARINT_BYTES_MAX;
	return mtu - headers + VARINT_BYTES_MAX;
}

void clv_request_capsules_open(struct clv_request *rq, const struct clv_tunnel_spec *spec)
{
	clv_capsule_parser_set_bound(&rq->capsules, datagram_max(rq, spec));
}

int clv_request_capsules_replay(struct clv_request *rq)
{
	struct clv_early_capsule *c;
	int err = 0;

	while (!err && (c = clv_early_take(&rq->early)) != NULL) {
		err = handle_capsule(rq, c->type, c->value, c->len);
		clv_early_free(&rq->early, c);
	}
	return err;
}
