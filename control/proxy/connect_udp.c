/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/state.h"

#include <errno.h>
#include <stdlib.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/base/varint.h"
#include "datapath/quic/dgram.h"

enum {
	VARINT_BYTES_MAX = 8,
	EARLY_BYTES_MAX = 16384, /* capsules kept while a request waits for its tunnel */
	BOUND_PREFIX_MAX = 27,	 /* Context ID, IP version, address and port */
	V4_HEADERS = 28,	 /* IP and UDP in front of a payload */
	V6_HEADERS = 48,
};

/* ---- the life of a request ---- */

static struct clv_request *add_request(struct clv_requests *rs, struct clv_http_stream *s,
				       const struct clv_target *target, bool wants_bind)
{
	struct clv_request *rq = calloc(1, sizeof(*rq));

	if (!rq)
		return NULL;
	rq->rs = rs;
	rq->stream = s;
	rq->state = CLV_REQUEST_WAITING;
	rq->target = *target;
	rq->wants_bind = wants_bind;
	rq->next = rs->first;
	if (rs->first)
		rs->first->prev = rq;
	rs->first = rq;
	rs->count++;
	clv_capsule_parser_init(&rq->capsules, EARLY_BYTES_MAX);
	rq->capsules.budget = rs->params.config->budget;
	s->user = rq;
	return rq;
}

static void free_early(struct clv_request *rq, struct clv_request_early *e)
{
	clv_budget_give(rq->rs->params.config->budget, sizeof(*e) + e->len);
	free(e);
}

static void drop_early(struct clv_request *rq)
{
	while (rq->early) {
		struct clv_request_early *e = rq->early;

		rq->early = e->next;
		if (e->type == CLV_CAPSULE_DATAGRAM)
			clv_requests_count(rq->rs, CLV_COUNT_DROP_EARLY_EXPIRED);
		free_early(rq, e);
	}
}

/* Forget a request; its tunnel, if it had one, is gone or belongs to the session alone. */
static void free_request(struct clv_request *rq)
{
	struct clv_requests *rs = rq->rs;

	clv_bind_end(rq);
	drop_early(rq);
	rq->stream->user = NULL;
	if (rq->prev)
		rq->prev->next = rq->next;
	else
		rs->first = rq->next;
	if (rq->next)
		rq->next->prev = rq->prev;
	rs->count--;
	clv_capsule_parser_fini(&rq->capsules);
	free(rq);
}

/* Let go of everything a request holds, whatever its state. */
void clv_request_end(struct clv_request *rq)
{
	struct clv_requests *rs = rq->rs;
	const struct clv_requests_config *config = rs->params.config;

	if (rq->state == CLV_REQUEST_RESOLVING)
		config->host_ops->resolve_cancel(config->host, rq->resolve_token);
	clv_bind_end(rq);
	if (rq->state == CLV_REQUEST_OPEN)
		rs->params.ops->tunnel_close(rs->params.session, rq, &rq->ref);
	free_request(rq);
}

void clv_request_abort(struct clv_request *rq, uint64_t code)
{
	struct clv_http_stream *s = rq->stream;

	clv_request_end(rq);
	clv_http_abort(s, code);
}

/* Refuse a CONNECT-UDP request and forget it. */
static void refuse_request(struct clv_request *rq, unsigned status, struct clv_proxy_status why)
{
	struct clv_requests *rs = rq->rs;
	struct clv_http_stream *s = rq->stream;
	char host[CLV_TARGET_HOST_MAX];

	if (!why.next_hop && *rq->target.host) {
		strcpy(host, rq->target.host);
		why.next_hop = host;
	}
	clv_request_end(rq);
	clv_requests_refuse(rs, s, status, &why);
}

/* ---- opening the tunnel ---- */

/* Why none of a target's addresses would do; the most telling reason of all of them. */
struct choice {
	struct clv_proxy_status why;
	char next_hop[CLV_ADDR_TEXT_MAX];
};

static void blame(struct choice *c, enum clv_proxy_error error, const char *details,
		  const struct clv_endpoint *ep)
{
	/* An address that may be used but cannot be reached says more than one that may not. */
	if (c->why.error != CLV_PROXY_OK && error == CLV_PROXY_DESTINATION_IP_PROHIBITED)
		return;
	c->why = (struct clv_proxy_status){ .error = error, .details = details };
	clv_addr_format(ep->addr, c->next_hop, sizeof(c->next_hop));
	c->why.next_hop = c->next_hop;
}

/* Whether one address will do. */
static bool try_address(const struct clv_requests_config *config, const struct clv_endpoint *ep,
			struct clv_route *route, struct choice *c)
{
	const char *why = NULL;

	if (clv_policy_check(config->policy, ep->addr, clv_requests_is_own_address,
			     (void *)(uintptr_t)config, &why) < 0) {
		blame(c, CLV_PROXY_DESTINATION_IP_PROHIBITED, why, ep);
		return false;
	}
	if (config->host_ops->route(config->host, ep->addr, route) < 0) {
		blame(c, CLV_PROXY_DESTINATION_IP_UNROUTABLE,
		      clv_addr_is_v4(ep->addr) ? "no IPv4 route" : "no IPv6 route", ep);
		return false;
	}
	if (route->hop.state == CLV_HOP_UNREACHABLE) {
		blame(c, CLV_PROXY_DESTINATION_UNAVAILABLE, "the next hop does not answer", ep);
		return false;
	}
	return true;
}

/* The first address that policy allows and a route leads to, IPv6 before IPv4; NULL: see *c. */
static const struct clv_endpoint *choose_address(const struct clv_request *rq,
						 struct clv_route *route, struct choice *c)
{
	for (int v4 = 0; v4 <= 1; v4++) {
		for (size_t i = 0; i < rq->addrs_len; i++) {
			const struct clv_endpoint *ep = &rq->addrs[i];

			if (clv_addr_is_v4(ep->addr) != v4)
				continue;
			if (try_address(rq->rs->params.config, ep, route, c))
				return ep;
		}
	}
	return NULL;
}

static enum clv_contexts_verdict judge(const struct clv_request *rq, uint64_t context_id)
{
	if (rq->bind)
		return clv_bind_judge(rq, context_id);
	return context_id == CLV_DGRAM_CONTEXT_UDP ? CLV_CONTEXTS_ZERO : CLV_CONTEXTS_UNKNOWN;
}

static int send_to_tunnel(struct clv_request *rq, const uint8_t *value, size_t len)
{
	struct clv_requests *rs = rq->rs;
	const uint8_t *p = value;
	uint64_t context_id;

	if (clv_varint_read(&p, value + len, &context_id) < 0)
		return CLV_EPROTO;
	len -= (size_t)(p - value);
	switch (judge(rq, context_id)) {
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
	default:
		clv_requests_count(rs, CLV_COUNT_CONTEXT_ABORT_ZERO);
		return CLV_ERANGE;
	}
}

/* A longer payload than the way to the target carries need not be stored, RFC 9298 section 5. */
static size_t capsule_bound(const struct clv_route *route, const struct clv_endpoint *target)
{
	size_t headers = clv_addr_is_v4(target->addr) ? V4_HEADERS : V6_HEADERS;

	/* The kernel's way may not say its MTU. */
	if (route->hop.mtu <= headers)
		return CLV_DGRAM_UDP_MAX + VARINT_BYTES_MAX;
	return route->hop.mtu - headers + VARINT_BYTES_MAX;
}

/* A capsule of an open tunnel.  Returns as the parser's callbacks. */
static int handle_capsule(struct clv_request *rq, enum clv_capsule_type type, const uint8_t *value,
			  size_t len)
{
	if (type == CLV_CAPSULE_DATAGRAM)
		return send_to_tunnel(rq, value, len);
	/* A tunnel that fell back to an ordinary one has no contexts. */
	return rq->bind ? clv_bind_capsule(rq, type, value, len) : 0;
}

/* Hand over what came in capsules before the tunnel was there. */
static int replay_early(struct clv_request *rq)
{
	int err = 0;

	while (rq->early && !err) {
		struct clv_request_early *e = rq->early;

		rq->early = e->next;
		err = handle_capsule(rq, e->type, e->value, e->len);
		free_early(rq, e);
	}
	if (!rq->early)
		rq->early_last = NULL;
	rq->early_bytes = 0;
	return err;
}

/* A capsule could not be taken: give the stream up with the code that says why. */
static int respond_success(struct clv_request *rq, const struct clv_endpoint *target)
{
	struct clv_requests *rs = rq->rs;
	char next_hop[CLV_ADDR_TEXT_MAX], text[CLV_PROXY_STATUS_MAX];
	char public_text[CLV_BIND_PUBLIC_MAX];
	struct clv_proxy_status ps = { .error = CLV_PROXY_OK };
	struct clv_http_field fields[4] = { clv_http_field_text("capsule-protocol", "?1") };
	size_t len = 1;

	if (target)
		ps.next_hop = clv_addr_format(target->addr, next_hop, sizeof(next_hop));
	if (clv_proxy_status_write(rs->params.config->proxy_name, &ps, text, sizeof(text)) > 0)
		fields[len++] = clv_http_field_text("proxy-status", text);
	if (rq->bind) {
		clv_bind_write_public(rq, public_text);
		fields[len++] = clv_http_field_text("connect-udp-bind", "?1");
		fields[len++] = clv_http_field_text("proxy-public-address", public_text);
	}
	clv_requests_count(rs, CLV_COUNT_REQUESTS);
	return clv_http_respond(rq->stream, 200, fields, len, false);
}

/* The session refused the tunnel, or there is no port for it. */
static void refuse_tunnel(struct clv_request *rq, int err, const char *full, const char *next_hop)
{
	struct clv_proxy_status why = { .next_hop = next_hop };

	if (err == CLV_EFULL) {
		why.error = CLV_PROXY_CONNECTION_LIMIT_REACHED;
		why.details = full;
	} else {
		why.error = CLV_PROXY_PROXY_INTERNAL_ERROR;
	}
	refuse_request(rq, 0, why);
}

/* Give back what was taken for a tunnel that did not come to be. */
static void give_back(struct clv_request *rq, struct clv_request_tunnel *tunnel)
{
	const struct clv_requests_config *config = rq->rs->params.config;

	if (rq->bind)
		clv_bind_cancel(rq);
	else
		config->host_ops->egress_give(config->host, &tunnel->egress);
}

/* Take the port toward the target, or those of a bound tunnel. */
static int take_ports(struct clv_request *rq, struct clv_request_tunnel *tunnel, bool has_target)
{
	const struct clv_requests_config *config = rq->rs->params.config;
	int err;

	if (rq->wants_bind) {
		err = has_target ? clv_bind_new(rq, &tunnel->target, &tunnel->route)
				 : clv_bind_new(rq, NULL, NULL);
		if (!err) {
			bool v6 = has_target ? !clv_addr_is_v4(tunnel->target.addr)
					     : !clv_bind_ports(rq)->is_held[0];

			tunnel->bind = clv_bind_ports(rq);
			tunnel->egress = tunnel->bind->egress[v6];
			tunnel->egress.fd = -1;
			return 0;
		}
		clv_requests_count(rq->rs, CLV_COUNT_BIND_REFUSED);
		if (!has_target)
			return err;
		/* With a real target an ordinary tunnel is an acceptable answer.  The host expects
		 * to be asked for the way before the port. */
		err = config->host_ops->route(config->host, tunnel->target.addr, &tunnel->route);
		if (err)
			return err;
	}
	return config->host_ops->egress_take(config->host, tunnel->route.source, &tunnel->egress);
}

/* The tunnel is there: make it known, answer, and go on with what waited. */
static void start(struct clv_request *rq, const struct clv_request_tunnel *tunnel, bool has_target)
{
	int err;

	rq->state = CLV_REQUEST_OPEN;
	err = rq->bind ? clv_bind_start(rq) : 0;
	if (err) {
		rq->rs->params.ops->tunnel_close(rq->rs->params.session, rq, &rq->ref);
		rq->state = CLV_REQUEST_WAITING;
		refuse_tunnel(rq, err, "too many bound tunnels", NULL);
		return;
	}
	clv_capsule_parser_set_bound(&rq->capsules,
				     rq->bind ? CLV_DGRAM_UDP_MAX + BOUND_PREFIX_MAX
					      : capsule_bound(&tunnel->route, &tunnel->target));
	if (respond_success(rq, has_target ? &tunnel->target : NULL) < 0) {
		clv_request_abort(rq, CLV_H3_INTERNAL_ERROR);
		return;
	}
	err = replay_early(rq);
	if (err)
		clv_request_abort(rq, clv_capsule_h3_error(err));
}

/* All is known: choose the address, take a port, open the tunnel, answer. */
void clv_request_open_tunnel(struct clv_request *rq)
{
	struct clv_requests *rs = rq->rs;
	struct clv_request_tunnel tunnel = { .stream_id = rq->stream->id };
	struct choice choice = { .why = { .error = CLV_PROXY_OK } };
	bool has_target = rq->target.kind != CLV_TARGET_ANY;
	char next_hop_text[CLV_ADDR_TEXT_MAX], *next_hop = NULL;
	int err;

	if (has_target) {
		const struct clv_endpoint *target = choose_address(rq, &tunnel.route, &choice);

		if (!target) {
			refuse_request(rq, 0, choice.why);
			return;
		}
		tunnel.target = *target;
		clv_addr_format(target->addr, next_hop_text, sizeof(next_hop_text));
		next_hop = next_hop_text;
	}
	tunnel.capsules = !clv_http_peer_settings(rs->http)->datagrams;
	err = take_ports(rq, &tunnel, has_target);
	if (err < 0) {
		refuse_tunnel(rq, err, "no free port", next_hop);
		return;
	}
	err = rs->params.ops->tunnel_open(rs->params.session, rq, &tunnel, &rq->ref);
	if (err < 0) {
		give_back(rq, &tunnel);
		if (err == CLV_EFULL)
			clv_requests_count(rs, CLV_COUNT_REFUSED_TUNNELS);
		refuse_tunnel(rq, err, "too many tunnels", next_hop);
		return;
	}
	start(rq, &tunnel, has_target);
}

/*
 * Addresses are known.  Whether the tunnel uses DATAGRAM frames or capsules hangs on the peer's
 * SETTINGS, which may still be on their way; no peer may hold them back (RFC 9114 section 7.2.4.2).
 */
static void open_when_settled(struct clv_request *rq)
{
	rq->state = CLV_REQUEST_WAITING;
	if (clv_http_peer_settings(rq->rs->http))
		clv_request_open_tunnel(rq);
}

static void on_resolved(void *user, int err, const struct clv_endpoint *addrs, size_t n)
{
	struct clv_request *rq = user;
	struct clv_proxy_status why = { .error = CLV_PROXY_DNS_ERROR };

	rq->state = CLV_REQUEST_WAITING; /* nothing left to cancel */
	if (err < 0 || n == 0) {
		if (err == CLV_ENAMETIME)
			why.error = CLV_PROXY_DNS_TIMEOUT;
		else
			why.rcode = err == 0 || err == CLV_ENONAME ? "NXDOMAIN" : "SERVFAIL";
		refuse_request(rq, 0, why);
		return;
	}
	rq->addrs_len = n < CLV_RESOLVE_MAX ? n : CLV_RESOLVE_MAX;
	for (size_t i = 0; i < rq->addrs_len; i++) {
		rq->addrs[i] = addrs[i];
		rq->addrs[i].port = htons(rq->target.port);
	}
	open_when_settled(rq);
}

void clv_request_begin(struct clv_requests *rs, struct clv_http_stream *s,
		       const struct clv_target *target, bool wants_bind)
{
	const struct clv_requests_config *config = rs->params.config;
	struct clv_request *rq = add_request(rs, s, target, wants_bind);
	int err;

	if (!rq) {
		clv_requests_refuse(
			rs, s, 0,
			&(struct clv_proxy_status){ .error = CLV_PROXY_PROXY_INTERNAL_ERROR });
		return;
	}
	if (target->kind == CLV_TARGET_ANY) {
		open_when_settled(rq);
		return;
	}
	if (target->kind == CLV_TARGET_ADDRESS) {
		memcpy(rq->addrs[0].addr, target->addr, sizeof(rq->addrs[0].addr));
		rq->addrs[0].port = htons(target->port);
		rq->addrs_len = 1;
		open_when_settled(rq);
		return;
	}
	err = config->host_ops->resolve(config->host, rq->target.host, on_resolved, rq,
					&rq->resolve_token);
	if (err == CLV_EFULL)
		clv_requests_count(rs, CLV_COUNT_REFUSED_NAMES);
	if (err < 0)
		refuse_tunnel(rq, err, "too many names being resolved", NULL);
	else
		rq->state = CLV_REQUEST_RESOLVING;
}

/* ---- capsules ---- */

/* Returns whether there was room. */
static bool keep_early(struct clv_request *rq, enum clv_capsule_type type, const uint8_t *value,
		       size_t len)
{
	struct clv_budget *budget = rq->rs->params.config->budget;
	struct clv_request_early *e;

	if (rq->early_bytes + len > EARLY_BYTES_MAX)
		return false;
	if (!clv_budget_take(budget, sizeof(*e) + len)) {
		clv_requests_count(rq->rs, CLV_COUNT_BUFFERED_FULL);
		return false;
	}
	e = malloc(sizeof(*e) + len);
	if (!e) {
		clv_budget_give(budget, sizeof(*e) + len);
		return false;
	}
	e->next = NULL;
	e->type = type;
	e->len = len;
	memcpy(e->value, value, len);
	if (rq->early_last)
		rq->early_last->next = e;
	else
		rq->early = e;
	rq->early_last = e;
	/* The head counts too: empty payloads must not come for free. */
	rq->early_bytes += sizeof(*e) + len;
	return true;
}

static int on_capsule_datagram(void *user, const uint8_t *value, size_t len)
{
	struct clv_request *rq = user;
	const uint8_t *p = value;
	uint64_t context_id;

	if (rq->state == CLV_REQUEST_OPEN)
		return handle_capsule(rq, CLV_CAPSULE_DATAGRAM, value, len);
	if (clv_varint_read(&p, value + len, &context_id) < 0)
		return CLV_EPROTO;
	if (keep_early(rq, CLV_CAPSULE_DATAGRAM, value, len))
		clv_requests_count(rq->rs, CLV_COUNT_EARLY_HELD);
	else
		clv_requests_count(rq->rs, CLV_COUNT_DROP_EARLY_FULL);
	return 0;
}

/* Unlike a datagram it must not be lost. */
static int on_capsule_context(void *user, enum clv_capsule_type type, const uint8_t *value,
			      size_t len)
{
	struct clv_request *rq = user;

	if (rq->state == CLV_REQUEST_OPEN)
		return handle_capsule(rq, type, value, len);
	return keep_early(rq, type, value, len) ? 0 : CLV_EFULL;
}

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

void clv_request_body(struct clv_request *rq, const uint8_t *data, size_t len)
{
	const struct clv_capsule_ops *ops = rq->wants_bind ? &bound_capsule_ops : &capsule_ops;
	int err = clv_capsule_parser_feed(&rq->capsules, data, len, ops, rq);

	if (rq->capsules.is_refused)
		clv_requests_count(rq->rs, CLV_COUNT_BUFFERED_FULL);
	if (err)
		clv_request_abort(rq, clv_capsule_h3_error(err));
}

/* ---- how it ends ---- */

void clv_request_finish(struct clv_request *rq)
{
	struct clv_http_stream *s = rq->stream;
	bool was_open = rq->state == CLV_REQUEST_OPEN;

	if (clv_capsule_parser_end(&rq->capsules) < 0) {
		clv_request_abort(rq, CLV_H3_MESSAGE_ERROR);
		return;
	}
	/* Socket and request stream live and die together, RFC 9298 section 3.1. */
	clv_request_end(rq);
	if (!was_open || clv_http_finish(s) < 0)
		clv_http_abort(s, CLV_H3_REQUEST_CANCELLED);
}

void clv_request_tunnel_gone(struct clv_request *rq, int err)
{
	struct clv_http_stream *s = rq->stream;

	free_request(rq);
	if (err != 0 && err != CLV_ETIMEOUT) {
		clv_http_abort(s, CLV_H3_CONNECT_ERROR);
		return;
	}
	if (clv_http_finish(s) < 0)
		clv_http_abort(s, CLV_H3_CONNECT_ERROR);
	else
		clv_http_stop(s, CLV_H3_NO_ERROR);
}

void clv_request_datagram_up(struct clv_request *rq, const uint8_t *data, size_t len)
{
	struct clv_requests *rs = rq->rs;
	uint8_t head[CLV_CAPSULE_HEAD_MAX];
	size_t head_len = clv_capsule_encode_datagram_head(len, head);

	if (clv_http_stream_backlog(rq->stream) + head_len + len >
	    rs->params.config->capsule_backlog) {
		clv_requests_count(rs, CLV_COUNT_DROP_CAPSULE_BACKLOG);
		return;
	}
	if (clv_http_send(rq->stream, head, head_len, data, len, false) < 0)
		clv_requests_count(rs, CLV_COUNT_DROP_CLOSED);
}
