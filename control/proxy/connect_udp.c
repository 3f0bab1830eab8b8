/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Words: The session is the client's QUIC connection; its worker, a thread of the datapath, carries
 * the datagrams of its tunnels.  The host is the machine: names, routes, ports.  The target is what
 * the client asked to be connected to, a name or an address.  A bound tunnel exchanges datagrams
 * with many remotes instead; a context registers one of them under a Context ID, and Context ID 0
 * means the target.  An early capsule arrives before the tunnel is open.
 */
#include "control/proxy/connect_udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/proxy/bound_remotes.h"
#include "control/proxy/bound_request.h"
#include "control/proxy/reach.h"
#include "control/proxy/request_capsules.h"
#include "control/proxy/respond.h"
#include "control/proxy/retarget.h"
#include "control/proxy/state.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"

/* ---- the life of a request ---- */

static struct clv_request *add_request(struct clv_requests *rs, struct clv_http_stream *s,
				       const struct clv_target *target, bool wants_bound)
{
	struct clv_request *rq = calloc(1, sizeof(*rq));

	if (!rq)
		return NULL;
	rq->kind = CLV_REQUEST_UDP;
	rq->rs = rs;
	rq->stream = s;
	rq->state = CLV_REQUEST_WAITING;
	rq->target = *target;
	rq->wants_bound = wants_bound;
	rq->next = rs->first;
	if (rs->first)
		rs->first->prev = rq;
	rs->first = rq;
	rs->count++;
	clv_request_capsules_init(rq);
	s->user = rq;
	return rq;
}

/* Forget a request whose tunnel is gone, or belongs to the session alone. */
static void free_request(struct clv_request *rq)
{
	struct clv_requests *rs = rq->rs;

	clv_bound_request_end(rq);
	clv_request_capsules_fini(rq);
	rq->stream->user = NULL;
	if (rq->prev)
		rq->prev->next = rq->next;
	else
		rs->first = rq->next;
	if (rq->next)
		rq->next->prev = rq->prev;
	rs->count--;
	clv_requests_discharge(rs);
	if (rq->grant)
		rq->grant->account->ports -= rq->ports;
	clv_gate_meter_close(rq);
	clv_gate_give(rs->params.config->gate, rq->grant);
	free(rq);
}

void clv_connect_udp_end(struct clv_request *rq)
{
	struct clv_requests *rs = rq->rs;

	if (rq->state == CLV_REQUEST_CHECKING)
		clv_gate_check_cancel(rq->check);
	if (rq->state == CLV_REQUEST_RESOLVING)
		clv_names_leave(rq->lookup);
	clv_bound_request_end(rq); /* before the tunnel that the kernel's tables name */
	if (rq->state == CLV_REQUEST_OPEN)
		rs->params.ops->tunnel_close(rs->params.session, rq, &rq->ref);
	free_request(rq);
}

void clv_connect_udp_abort(struct clv_request *rq, uint64_t code)
{
	struct clv_http_stream *s = rq->stream;

	clv_connect_udp_end(rq);
	clv_http_abort(s, code);
}

/* Refuse the request and forget it.  status 0: the one recommended for why.error. */
static void refuse(struct clv_request *rq, unsigned status, struct clv_proxy_status why)
{
	struct clv_requests *rs = rq->rs;
	struct clv_http_stream *s = rq->stream;
	char host[CLV_TARGET_HOST_MAX];

	if (!why.next_hop && *rq->target.host) {
		strcpy(host, rq->target.host);
		why.next_hop = host;
	}
	clv_connect_udp_end(rq);
	clv_respond_refusal(rs, s, status, &why);
}

/* Refuse it because of an error of the host or the session; full: the details of a CLV_EFULL. */
static void refuse_error(struct clv_request *rq, int err, const char *full, const char *next_hop)
{
	struct clv_proxy_status why = { .next_hop = next_hop };

	if (err == CLV_EFULL) {
		why.error = CLV_PROXY_CONNECTION_LIMIT_REACHED;
		why.details = full;
	} else {
		why.error = CLV_PROXY_PROXY_INTERNAL_ERROR;
	}
	refuse(rq, 0, why);
}

/* ---- opening the tunnel ---- */

/* The 200 response.  Returns as clv_http_respond. */
static int respond_success(struct clv_request *rq, const struct clv_endpoint *target)
{
	struct clv_requests *rs = rq->rs;
	char next_hop[CLV_ADDR_TEXT_MAX], text[CLV_PROXY_STATUS_MAX];
	char public_text[CLV_BOUND_PUBLIC_MAX];
	struct clv_proxy_status ps = { .error = CLV_PROXY_OK };
	struct clv_http_field fields[4] = { clv_http_field_text("capsule-protocol", "?1") };
	size_t len = 1;

	if (target)
		ps.next_hop = clv_addr_format(target->addr, next_hop, sizeof(next_hop));
	if (clv_proxy_status_write(rs->params.config->proxy_name, &ps, text, sizeof(text)) > 0)
		fields[len++] = clv_http_field_text("proxy-status", text);
	if (rq->bound) {
		clv_bound_request_write_public(rq, public_text);
		fields[len++] = clv_http_field_text("connect-udp-bind", "?1");
		fields[len++] = clv_http_field_text("proxy-public-address", public_text);
	}
	clv_requests_count(rs, CLV_COUNT_REQUESTS);
	return clv_http_respond(rq->stream, 200, fields, len, false);
}

/* Take the ports of a bound tunnel.  route: to its target; NULL: it has none. */
static int take_bound_ports(struct clv_request *rq, struct clv_session_tunnel *tunnel,
			    const struct clv_route *route)
{
	const struct clv_bound_settings *settings = rq->rs->params.config->bound;
	struct clv_tunnel_spec *spec = &tunnel->spec;
	bool v6;
	int err = clv_bound_request_new(rq, route ? &spec->remote : NULL, route);

	if (err) {
		clv_requests_count(rq->rs, CLV_COUNT_BIND_REFUSED);
		return err;
	}
	tunnel->ports = clv_bound_request_ports(rq);
	if (rq->grant) {
		rq->ports = (uint32_t)tunnel->ports->is_held[0] + tunnel->ports->is_held[1];
		rq->grant->account->ports += rq->ports;
	}
	v6 = route ? !clv_addr_is_v4(spec->remote.addr) : !tunnel->ports->is_held[0];
	spec->local = tunnel->ports->egress[v6].local;
	spec->flags |= CLV_TUNNEL_BOUND;
	spec->busy_per_sec = settings->busy_per_sec;
	spec->context_idle_ns = settings->context_idle_ns;
	return 0;
}

static int take_ports(struct clv_request *rq, struct clv_session_tunnel *tunnel,
		      const struct clv_route *route)
{
	const struct clv_ports ports = clv_requests_ports(rq->rs->params.config);
	int err;

	if (rq->wants_bound) {
		err = take_bound_ports(rq, tunnel, route);
		if (!err || !route)
			return err;
		/* With a target an ordinary tunnel is an acceptable answer. */
	}
	err = clv_ports_take(&ports, clv_requests_payer(rq->rs), route, &tunnel->spec.remote,
			     &tunnel->egress);
	if (!err)
		tunnel->spec.local = tunnel->egress.local;
	return err;
}

/* Give back the ports of a tunnel that could not be opened. */
static void give_ports(struct clv_request *rq, struct clv_session_tunnel *tunnel)
{
	const struct clv_ports ports = clv_requests_ports(rq->rs->params.config);

	if (rq->bound)
		clv_bound_request_cancel(rq);
	else
		clv_ports_give(&ports, &tunnel->egress);
}

/* The session has the tunnel: publish a bound tunnel's ports, answer, and replay early capsules. */
static void start(struct clv_request *rq, const struct clv_tunnel_spec *spec, bool has_target)
{
	int err;

	rq->state = CLV_REQUEST_OPEN;
	err = rq->bound ? clv_bound_request_start(rq) : 0;
	if (err) {
		rq->rs->params.ops->tunnel_close(rq->rs->params.session, rq, &rq->ref);
		rq->state = CLV_REQUEST_WAITING;
		refuse_error(rq, err, "too many bound tunnels", NULL);
		return;
	}
	clv_request_capsules_open(rq, spec);
	if (respond_success(rq, has_target ? &spec->remote : NULL) < 0) {
		clv_connect_udp_abort(rq, CLV_H3_INTERNAL_ERROR);
		return;
	}
	err = clv_request_capsules_replay(rq);
	if (err)
		clv_connect_udp_abort(rq, clv_capsule_h3_error(err));
}

/* On an IPv6-only network IPv4 addresses are replaced by those that its NAT64 has for them. */
static void translate_addrs(struct clv_request *rq)
{
	const struct clv_requests_config *config = rq->rs->params.config;
	uint8_t v6[16];

	for (size_t i = 0; config->host_ops->nat64 && i < rq->addrs_len; i++)
		if (clv_addr_is_v4(rq->addrs[i].addr) &&
		    config->host_ops->nat64(config->host, rq->addrs[i].addr, v6))
			memcpy(rq->addrs[i].addr, v6, sizeof(v6));
}

/* The target's addresses and the peer's SETTINGS are known: open the tunnel or refuse. */
static void open_tunnel(struct clv_request *rq)
{
	struct clv_requests *rs = rq->rs;
	struct clv_session_tunnel tunnel = { .spec.stream_id = rq->stream->id, .egress.fd = -1 };
	struct clv_route route;
	struct clv_reach_failure failure = { 0 };
	bool has_target = rq->target.kind != CLV_TARGET_ANY;
	char next_hop_text[CLV_ADDR_TEXT_MAX], *next_hop = NULL;
	int err;

	if (has_target) {
		const struct clv_endpoint *target;

		translate_addrs(rq);
		target = clv_reach_choose(rs, rq->addrs, rq->addrs_len, false, &rq->candidates.seen,
					  &route, &failure);

		if (!target) {
			refuse(rq, 0, failure.why);
			return;
		}
		tunnel.spec.remote = *target;
		tunnel.spec.hop = route.hop;
		clv_retarget_begin(rq, target, &tunnel.spec);
		clv_addr_format(target->addr, next_hop_text, sizeof(next_hop_text));
		next_hop = next_hop_text;
	}
	if (!clv_http_peer_settings(rs->http)->datagrams)
		tunnel.spec.flags = CLV_TUNNEL_CAPSULES;
	err = take_ports(rq, &tunnel, has_target ? &route : NULL);
	if (err < 0) {
		refuse_error(rq, err, "no free port", next_hop);
		return;
	}
	err = rs->params.ops->tunnel_open(rs->params.session, rq, &tunnel, &rq->ref);
	if (err < 0) {
		give_ports(rq, &tunnel);
		if (err == CLV_EFULL)
			clv_requests_count(rs, CLV_COUNT_REFUSED_TUNNELS);
		refuse_error(rq, err, "too many tunnels", next_hop);
		return;
	}
	start(rq, &tunnel.spec, has_target);
}

/*
 * Whether a tunnel uses DATAGRAM frames or capsules depends on the peer's SETTINGS, which may still
 * be under way; no peer may hold them back (RFC 9114 section 7.2.4.2).
 */
static void open_when_settings_known(struct clv_request *rq)
{
	rq->state = CLV_REQUEST_WAITING;
	if (clv_http_peer_settings(rq->rs->http))
		open_tunnel(rq);
}

void clv_connect_udp_settings_known(struct clv_requests *rs)
{
	struct clv_request *next;

	for (struct clv_request *rq = rs->first; rq; rq = next) {
		next = rq->next;
		if (rq->state == CLV_REQUEST_WAITING)
			open_tunnel(rq);
	}
}

/* A name that leads to no address.  Its error is the name server's, or there was no answer. */
static void refuse_name(struct clv_request *rq, int err, const char *rcode, const char *details)
{
	struct clv_proxy_status why = { .error = CLV_PROXY_DNS_ERROR, .details = details };

	if (err == CLV_ENAMETIME || err == -ECONNREFUSED)
		why.error = CLV_PROXY_DNS_TIMEOUT;
	else if (err == CLV_ENONAME)
		why.rcode = rcode;
	if (err == -ECONNREFUSED)
		why.details = "no name server can be reached";
	if (rcode && strcmp(rcode, "NOERROR") == 0)
		why.details = "the name has no addresses";
	refuse(rq, 0, why);
}

static void on_resolved(void *user, const struct clv_resolved *result)
{
	struct clv_request *rq = user;

	rq->state = CLV_REQUEST_WAITING; /* nothing is left to cancel */
	if (result->err) {
		refuse_name(rq, result->err, result->rcode, NULL);
		return;
	}
	rq->addrs_len = result->n < CLV_RESOLVE_MAX ? result->n : CLV_RESOLVE_MAX;
	for (size_t i = 0; i < rq->addrs_len; i++) {
		rq->addrs[i] = result->addrs[i];
		rq->addrs[i].port = htons(rq->target.port);
	}
	open_when_settings_known(rq);
}

static void resolve_target(struct clv_request *rq)
{
	struct clv_requests *rs = rq->rs;
	int err = clv_names_resolve(rs->params.config->names, clv_requests_payer(rs),
				    rq->target.host, on_resolved, rq, &rq->lookup);

	switch (err) {
	case 0:
		rq->state = CLV_REQUEST_RESOLVING;
		break;
	case CLV_ENONAME:
		refuse_name(rq, err, "NXDOMAIN", "not a public name");
		break;
	case CLV_EFULL:
		clv_requests_count(rs, CLV_COUNT_REFUSED_NAMES);
		/* fall through */
	default:
		refuse_error(rq, err, "too many names being resolved", NULL);
	}
}

/* The client may use the relay: resolve the target if it is a name. */
static void begin(struct clv_request *rq)
{
	struct clv_proxy_status why = { .error = CLV_PROXY_HTTP_REQUEST_ERROR };

	why.details = clv_gate_charge(rq->rs, rq->grant, rq->wants_bound);
	if (why.details) {
		refuse(rq, 429, why);
		return;
	}
	switch (rq->target.kind) {
	case CLV_TARGET_ANY:
		open_when_settings_known(rq);
		break;
	case CLV_TARGET_ADDRESS:
		memcpy(rq->addrs[0].addr, rq->target.addr, sizeof(rq->addrs[0].addr));
		rq->addrs[0].port = htons(rq->target.port);
		rq->addrs_len = 1;
		open_when_settings_known(rq);
		break;
	default:
		resolve_target(rq);
	}
}

static void on_checked(void *user, enum clv_access_result result, struct clv_gate_grant *grant)
{
	struct clv_request *rq = user;
	struct clv_requests *rs = rq->rs;
	struct clv_http_stream *s = rq->stream;

	rq->state = CLV_REQUEST_WAITING; /* nothing is left to cancel */
	rq->check = NULL;
	rq->grant = grant;
	if (result == CLV_ACCESS_GRANTED) {
		begin(rq);
		return;
	}
	clv_connect_udp_end(rq);
	clv_gate_refuse(rs, s, result);
}

static void check_password(struct clv_request *rq, struct clv_gate_check *check)
{
	struct clv_requests *rs = rq->rs;
	struct clv_http_stream *s = rq->stream;

	rq->state = CLV_REQUEST_CHECKING;
	rq->check = check;
	if (clv_gate_check_start(check, on_checked, rq) == 0)
		return;
	rq->state = CLV_REQUEST_WAITING;
	clv_connect_udp_end(rq);
	clv_gate_refuse(rs, s, CLV_ACCESS_BUSY);
}

void clv_connect_udp_begin(struct clv_requests *rs, struct clv_http_stream *s,
			   const struct clv_target *target, bool wants_bound,
			   const struct clv_gate_access *access)
{
	const struct clv_proxy_status no_memory = { .error = CLV_PROXY_PROXY_INTERNAL_ERROR };
	struct clv_request *rq = add_request(rs, s, target, wants_bound);

	if (!rq) {
		clv_requests_discharge(rs);
		clv_gate_forget(rs->params.config->gate, access);
		clv_respond_refusal(rs, s, 0, &no_memory);
		return;
	}
	rq->grant = access->grant;
	if (access->check)
		check_password(rq, access->check);
	else
		begin(rq);
}

void clv_connect_udp_overdue(struct clv_request *rq)
{
	struct clv_requests *rs = rq->rs;
	struct clv_http_stream *s = rq->stream;

	if (rq->state == CLV_REQUEST_RESOLVING) {
		refuse_name(rq, CLV_ENAMETIME, NULL, "the name took too long");
	} else if (rq->state == CLV_REQUEST_CHECKING) {
		clv_connect_udp_end(rq);
		clv_gate_refuse(rs, s, CLV_ACCESS_BUSY);
	} else {
		clv_connect_udp_abort(rq, CLV_H3_REQUEST_CANCELLED);
	}
}

/* ---- the request's body ---- */

void clv_connect_udp_body(struct clv_request *rq, const uint8_t *data, size_t len)
{
	int err = clv_request_capsules_feed(rq, data, len);

	if (err)
		clv_connect_udp_abort(rq, clv_capsule_h3_error(err));
}

void clv_connect_udp_finish(struct clv_request *rq)
{
	struct clv_http_stream *s = rq->stream;
	bool was_open = rq->state == CLV_REQUEST_OPEN;

	if (clv_capsule_parser_end(&rq->capsules) < 0) {
		clv_connect_udp_abort(rq, CLV_H3_MESSAGE_ERROR);
		return;
	}
	/* Socket and request stream live and die together, RFC 9298 section 3.1. */
	clv_connect_udp_end(rq);
	if (!was_open || clv_http_finish(s) < 0)
		clv_http_abort(s, CLV_H3_REQUEST_CANCELLED);
}

/* ---- events of the tunnel ---- */

void clv_connect_udp_tunnel_gone(struct clv_request *rq, int err)
{
	struct clv_http_stream *s = rq->stream;
	bool is_orderly = err == 0 || err == CLV_ETIMEOUT;

	free_request(rq);
	if (is_orderly && clv_http_finish(s) == 0)
		clv_http_stop(s, CLV_H3_NO_ERROR);
	else
		clv_http_abort(s, CLV_H3_CONNECT_ERROR);
}

void clv_connect_udp_target_dead(struct clv_request *rq, bool is_unreachable)
{
	if (clv_retarget(rq, is_unreachable))
		clv_connect_udp_abort(rq, CLV_H3_CONNECT_ERROR);
}

void clv_connect_udp_datagram_up(struct clv_request *rq, const uint8_t *data, size_t len)
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

void clv_connect_udp_remote_event(struct clv_request *rq, enum clv_event type,
				  const struct clv_evt_bound *evt)
{
	if (type == CLV_EVT_CONTEXT_ZERO) {
		/* The receiver of Context ID 0 aborts a stream without a target: draft section 3. */
		clv_requests_count(rq->rs, CLV_COUNT_CONTEXT_ABORT_ZERO);
		clv_connect_udp_abort(rq, CLV_H3_DATAGRAM_ERROR);
		return;
	}
	clv_bound_remotes_event(rq->bound, type, evt);
}

/* ---- changes of credentials, policy and routes ---- */

void clv_connect_udp_access_changed(struct clv_requests *rs, bool is_admitted)
{
	struct clv_request *next;

	for (struct clv_request *rq = rs->first; rq; rq = next) {
		next = rq->next;
		if (is_admitted && (!rq->grant || !rq->grant->is_over))
			continue;
		clv_requests_count(rs, CLV_COUNT_ACCESS_ENDED);
		clv_connect_udp_abort(rq, CLV_H3_CONNECT_ERROR);
	}
}

void clv_connect_udp_recheck(struct clv_requests *rs)
{
	for (struct clv_request *rq = rs->first; rq; rq = rq->next)
		if (rq->bound && rq->state == CLV_REQUEST_OPEN)
			clv_bound_remotes_recheck(rq->bound);
}
