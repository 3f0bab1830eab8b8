/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/masque/capsule.h"
#include "control/masque/signal.h"
#include "control/masque/template.h"
#include "control/peer/answer.h"
#include "datapath/base/err.h"
#include "datapath/base/varint.h"
#include "datapath/quic/dgram.h"

enum {
	VARINT_BYTES_MAX = 8,
};

enum client_state {
	CLIENT_WAITING = 1, /* for the relay's SETTINGS; no stream yet */
	CLIENT_REQUESTED,
	CLIENT_OPEN,
};

struct clv_client_request {
	struct clv_client_requests *cs;
	struct clv_http_stream *stream; /* NULL while WAITING */
	struct clv_client_request *prev, *next;
	struct clv_client_request *younger, *older; /* among the unanswered, by age */
	uint64_t until_ns; /* of those: when it is cancelled; 0: not known yet */
	void *user;
	enum client_state state;
	struct clv_template_uri uri;
	struct clv_capsule_parser capsules;
	bool wants_bound; /* asks for a bound tunnel */
	bool is_signal;	  /* asks for a signal stream */
	bool busy;	  /* inside a call of the ops: close leaves the memory to the caller */
	bool gone;	  /* closed inside that call */
};

struct clv_client_requests {
	struct clv_client_requests_params params;
	struct clv_client_request *first;
	struct clv_client_request *oldest, *youngest; /* unanswered */
	uint32_t count;
	char uri_template[CLV_TEMPLATE_URI_MAX];
};

/* ---- the life of a request ---- */

static void join_unanswered(struct clv_client_request *rq)
{
	struct clv_client_requests *cs = rq->cs;

	rq->older = cs->youngest;
	if (rq->older)
		rq->older->younger = rq;
	else
		cs->oldest = rq;
	cs->youngest = rq;
}

/* It is answered, or over.  Of one that is not in the list nothing is done. */
static void leave_unanswered(struct clv_client_request *rq)
{
	struct clv_client_requests *cs = rq->cs;

	if (!rq->older && cs->oldest != rq)
		return;
	if (rq->older)
		rq->older->younger = rq->younger;
	else
		cs->oldest = rq->younger;
	if (rq->younger)
		rq->younger->older = rq->older;
	else
		cs->youngest = rq->older;
	rq->older = rq->younger = NULL;
}

static void unlink_request(struct clv_client_request *rq)
{
	struct clv_client_requests *cs = rq->cs;

	leave_unanswered(rq);
	if (rq->stream)
		rq->stream->user = NULL;
	rq->stream = NULL;
	if (rq->prev)
		rq->prev->next = rq->next;
	else
		cs->first = rq->next;
	if (rq->next)
		rq->next->prev = rq->prev;
	cs->count -= !rq->is_signal;
}

static void free_request(struct clv_client_request *rq)
{
	clv_capsule_parser_fini(&rq->capsules);
	free(rq);
}

/* Give the owner the result.  Returns false when the owner closed the request in the call. */
static bool notify_result(struct clv_client_request *rq, const struct clv_client_result *result)
{
	bool was_busy = rq->busy;

	rq->busy = true;
	rq->cs->params.ops->on_result(rq->cs->params.user, rq, result);
	rq->busy = was_busy;
	return !rq->gone;
}

/* Report the end of a request that had its result, and free it. */
static void finish(struct clv_client_request *rq, int err)
{
	struct clv_client_requests *cs = rq->cs;

	unlink_request(rq);
	cs->params.ops->on_closed(cs->params.user, rq, err);
	free_request(rq);
}

/* The same for a request that may have no result yet: it is reported first. */
static void end_request(struct clv_client_request *rq, const struct clv_client_result *result)
{
	if (rq->state != CLIENT_OPEN && !notify_result(rq, result)) {
		free_request(rq);
		return;
	}
	finish(rq, result->err);
}

static void end_err(struct clv_client_request *rq, int err)
{
	end_request(rq, &(struct clv_client_result){
				.err = err, .stream_id = rq->stream ? rq->stream->id : -1 });
}

/* The relay broke the protocol on this stream. */
static void abort_malformed(struct clv_client_request *rq, uint64_t code)
{
	clv_http_abort(rq->stream, code);
	end_err(rq, CLV_EPROTO);
}

/* ---- sending the request ---- */

static int send_request(struct clv_client_request *rq)
{
	const char *authorization = rq->cs->params.authorization;
	struct clv_http_field fields[8] = {
		clv_http_field_text(":method", "CONNECT"),
		clv_http_field_text(":protocol",
				    rq->is_signal ? CLV_SIGNAL_PROTOCOL : "connect-udp"),
		clv_http_field_text(":scheme", rq->uri.scheme),
		clv_http_field_text(":authority", rq->uri.authority),
		clv_http_field_text(":path", rq->uri.path),
		clv_http_field_text("capsule-protocol", "?1"),
	};
	size_t n = 6;
	int err;

	if (rq->wants_bound)
		fields[n++] = clv_http_field_text("connect-udp-bind", "?1");
	if (authorization)
		fields[n++] = clv_http_field_text("proxy-authorization", authorization);
	err = clv_http_request(rq->cs->params.http, fields, n, &rq->stream);
	if (err < 0)
		return err;
	rq->state = CLIENT_REQUESTED;
	rq->stream->user = rq;
	return 0;
}

static void on_settings(void *user, const struct clv_http_settings *settings)
{
	struct clv_client_requests *cs = user;
	struct clv_client_request *rq;
	int err;

	/*
	 * The list is searched anew each time, because the owner of one that failed may close
	 * others.  Every turn takes one request out of WAITING.
	 */
	do {
		for (rq = cs->first; rq && rq->state != CLIENT_WAITING; rq = rq->next)
			;
		if (!rq)
			break;
		err = settings->extended_connect ? send_request(rq) : CLV_EPROTO;
		if (err < 0)
			end_err(rq, err);
	} while (true);
}

/* ---- the answer ---- */

static void on_headers(void *user, struct clv_http_stream *s, const struct clv_http_head *head)
{
	struct clv_client_requests *cs = user;
	struct clv_client_request *rq = s->user;
	const struct clv_http_settings *settings = clv_http_peer_settings(cs->params.http);
	struct clv_client_result result = {
		.status = head->status,
		.stream_id = s->id,
		.capsules = !(settings && settings->datagrams),
	};

	if (!rq || head->status < 200)
		return;
	if (clv_answer_is_malformed(head)) {
		abort_malformed(rq, CLV_H3_MESSAGE_ERROR);
		return;
	}
	if (clv_answer_read(head, rq->wants_bound, &result)) {
		clv_http_abort(s, head->status < 300 ? CLV_H3_MESSAGE_ERROR
						     : CLV_H3_REQUEST_CANCELLED);
		end_request(rq, &result);
		return;
	}
	rq->state = CLIENT_OPEN;
	leave_unanswered(rq);
	if (!notify_result(rq, &result))
		free_request(rq);
}

/* ---- capsules ---- */

static int on_capsule_datagram(void *user, const uint8_t *value, size_t len)
{
	struct clv_client_request *rq = user;
	const uint8_t *p = value;
	uint64_t context_id;

	if (clv_varint_read(&p, value + len, &context_id) < 0)
		return CLV_EPROTO;
	rq->cs->params.ops->on_datagram(rq->cs->params.user, rq, context_id, p,
					len - (size_t)(p - value));
	return rq->gone ? CLV_ECLOSED : 0;
}

static int on_capsule_skipped(void *user, uint64_t len, const uint8_t *head, size_t head_len)
{
	struct clv_client_request *rq = user;
	const uint8_t *p = head;
	uint64_t context_id;

	if (clv_varint_read(&p, head + head_len, &context_id) < 0)
		return CLV_EPROTO;
	if (context_id == CLV_DGRAM_CONTEXT_UDP && len - (uint64_t)(p - head) > CLV_DGRAM_UDP_MAX)
		return CLV_ERANGE;
	clv_count(rq->cs->params.counters, CLV_COUNT_DROP_UNKNOWN_CONTEXT);
	return 0;
}

static int on_capsule_context(void *user, enum clv_capsule_type type, const uint8_t *value,
			      size_t len)
{
	struct clv_client_request *rq = user;
	int err = rq->cs->params.ops->on_context(rq->cs->params.user, rq, type, value, len);

	return rq->gone ? CLV_ECLOSED : err;
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

static size_t signal_value_max(void *user, uint64_t type)
{
	(void)user;
	return clv_signal_value_max(type);
}

static int on_capsule_signal(void *user, uint64_t type, const uint8_t *value, size_t len)
{
	struct clv_client_request *rq = user;
	int err = rq->cs->params.ops->on_signal(rq->cs->params.user, rq, type, value, len);

	return rq->gone ? CLV_ECLOSED : err;
}

static const struct clv_capsule_ops signal_capsule_ops = {
	.value_max = signal_value_max,
	.on_value = on_capsule_signal,
};

static const struct clv_capsule_ops *ops_of(const struct clv_client_request *rq)
{
	if (rq->is_signal)
		return &signal_capsule_ops;
	return rq->wants_bound ? &bound_capsule_ops : &capsule_ops;
}

static void on_body(void *user, struct clv_http_stream *s, const uint8_t *data, size_t len)
{
	struct clv_client_request *rq = s->user;
	int err;

	(void)user;
	if (!rq || rq->state != CLIENT_OPEN)
		return;
	rq->busy = true;
	err = clv_capsule_parser_feed(&rq->capsules, data, len, ops_of(rq), rq);
	rq->busy = false;
	if (rq->gone)
		free_request(rq);
	else if (err < 0) {
		clv_http_abort(rq->stream, clv_capsule_h3_error(err));
		end_err(rq, err == -ENOMEM ? err : CLV_EPROTO);
	}
}

/* ---- the end of the stream ---- */

static void on_end(void *user, struct clv_http_stream *s)
{
	struct clv_client_request *rq = s->user;

	(void)user;
	if (!rq)
		return;
	if (rq->state != CLIENT_OPEN || clv_capsule_parser_end(&rq->capsules) < 0) {
		abort_malformed(rq, CLV_H3_MESSAGE_ERROR);
		return;
	}
	if (clv_http_finish(s) < 0)
		clv_http_abort(s, CLV_H3_REQUEST_CANCELLED);
	finish(rq, 0);
}

static void on_reset(void *user, struct clv_http_stream *s, uint64_t code)
{
	struct clv_client_request *rq = s->user;

	(void)user;
	(void)code;
	if (!rq)
		return;
	clv_http_abort(s, CLV_H3_REQUEST_CANCELLED);
	end_err(rq, CLV_ECLOSED);
}

/* STOP_SENDING may precede a refusal that is still to come: RFC 9114 section 4.1. */
static void on_stop(void *user, struct clv_http_stream *s, uint64_t code)
{
	struct clv_client_request *rq = s->user;

	if (!rq || (code == CLV_H3_NO_ERROR && rq->state == CLIENT_REQUESTED))
		return;
	on_reset(user, s, code);
}

static void on_closed(void *user, struct clv_http_stream *s, uint64_t code)
{
	struct clv_client_request *rq = s->user;

	(void)user;
	(void)code;
	if (rq)
		end_err(rq, CLV_ECLOSED);
}

static const struct clv_http_event_ops event_ops = {
	.on_settings = on_settings,
	.on_headers = on_headers,
	.on_body = on_body,
	.on_end = on_end,
	.on_reset = on_reset,
	.on_stop = on_stop,
	.on_closed = on_closed,
};

/* ---- public ---- */

static int set_template(struct clv_client_requests *cs)
{
	const struct clv_client_requests_params *params = &cs->params;
	struct clv_template_uri uri;
	const char *why;
	int n;

	if (params->uri_template)
		n = snprintf(cs->uri_template, sizeof(cs->uri_template), "%s",
			     params->uri_template);
	else
		n = snprintf(cs->uri_template, sizeof(cs->uri_template), "https://%s%s",
			     params->authority, CLV_TEMPLATE_DEFAULT_PATH);
	if (n < 0 || (size_t)n >= sizeof(cs->uri_template))
		return CLV_ESYNTAX;
	/* Expand it for any target, to find out whether the template is valid. */
	if (clv_template_expand(cs->uri_template, "192.0.2.1", 1, &uri, &why) < 0)
		return CLV_ESYNTAX;
	return 0;
}

int clv_client_requests_new(const struct clv_client_requests_params *params,
			    struct clv_client_requests **out)
{
	struct clv_client_requests *cs = calloc(1, sizeof(*cs));
	int err;

	if (!cs) {
		clv_http_free(params->http);
		return -ENOMEM;
	}
	cs->params = *params;
	err = set_template(cs);
	if (err < 0) {
		clv_http_free(params->http);
		free(cs);
		return err;
	}
	clv_http_set_events(params->http, &event_ops, cs);
	*out = cs;
	return 0;
}

void clv_client_requests_free(struct clv_client_requests *cs)
{
	if (!cs)
		return;
	clv_http_free(cs->params.http); /* ends every request that has a stream */
	while (cs->first)
		end_err(cs->first, CLV_ECLOSED);
	free(cs);
}

/* A request that is not sent yet.  Returns 0 and fills *out, CLV_ECLOSED, CLV_EPROTO or -ENOMEM. */
static int make_request(struct clv_client_requests *cs, void *user, struct clv_client_request **out)
{
	const struct clv_http_settings *settings = clv_http_peer_settings(cs->params.http);
	struct clv_client_request *rq;

	if (cs->params.http->is_closed)
		return CLV_ECLOSED;
	if (settings && !settings->extended_connect)
		return CLV_EPROTO;
	rq = calloc(1, sizeof(*rq));
	if (!rq)
		return -ENOMEM;
	rq->cs = cs;
	rq->user = user;
	rq->state = CLIENT_WAITING;
	*out = rq;
	return 0;
}

/* Send it, or let it wait for the relay's SETTINGS.  rq: takes.  Returns 0 or an error. */
static int begin_request(struct clv_client_request *rq, struct clv_client_request **out)
{
	struct clv_client_requests *cs = rq->cs;
	int err = clv_http_peer_settings(cs->params.http) ? send_request(rq) : 0;

	if (err < 0) {
		free(rq);
		return err;
	}
	rq->next = cs->first;
	if (cs->first)
		cs->first->prev = rq;
	cs->first = rq;
	cs->count += !rq->is_signal;
	join_unanswered(rq);
	*out = rq;
	return 0;
}

/* host NULL: a bound tunnel. */
static int open_request(struct clv_client_requests *cs, const char *host, uint16_t port, void *user,
			struct clv_client_request **out)
{
	struct clv_client_request *rq;
	const char *why;
	int err = make_request(cs, user, &rq);

	if (err)
		return err;
	if (cs->count >= cs->params.streams_max)
		err = CLV_EFULL;
	else
		err = clv_template_expand(cs->uri_template, host, port, &rq->uri, &why);
	if (err < 0) {
		free(rq);
		return err;
	}
	rq->wants_bound = !host;
	clv_capsule_parser_init(&rq->capsules,
				CLV_DGRAM_UDP_MAX + VARINT_BYTES_MAX +
					(rq->wants_bound ? CLV_DGRAM_REMOTE_MAX : 0));
	return begin_request(rq, out);
}

int clv_client_request_open(struct clv_client_requests *cs, const char *host, uint16_t port,
			    void *user, struct clv_client_request **out)
{
	return open_request(cs, host, port, user, out);
}

int clv_client_request_bind(struct clv_client_requests *cs, void *user,
			    struct clv_client_request **out)
{
	return open_request(cs, NULL, 0, user, out);
}

int clv_client_request_signal(struct clv_client_requests *cs, void *user,
			      struct clv_client_request **out)
{
	struct clv_client_request *rq;
	const char *why;
	int err = make_request(cs, user, &rq);

	if (err)
		return err;
	/* At the origin of the tunnels: of their URI all but the path. */
	err = clv_template_expand(cs->uri_template, NULL, 0, &rq->uri, &why);
	if (err < 0) {
		free(rq);
		return err;
	}
	rq->is_signal = true;
	strcpy(rq->uri.path, CLV_SIGNAL_PATH);
	clv_capsule_parser_init(&rq->capsules, 0);
	return begin_request(rq, out);
}

bool clv_client_request_is_signal(const struct clv_client_request *rq)
{
	return rq->is_signal;
}

void *clv_client_request_user(const struct clv_client_request *rq)
{
	return rq->user;
}

/* Those made since the last step are at the young end: set their time limit. */
static void set_times(struct clv_client_requests *cs, uint64_t now_ns)
{
	for (struct clv_client_request *rq = cs->youngest; rq && !rq->until_ns; rq = rq->older)
		rq->until_ns = now_ns + cs->params.answer_ns;
}

void clv_client_requests_step(struct clv_client_requests *cs, uint64_t now_ns)
{
	if (!cs->params.answer_ns)
		return;
	set_times(cs, now_ns);
	while (cs->oldest && cs->oldest->until_ns <= now_ns) {
		struct clv_client_request *rq = cs->oldest;

		leave_unanswered(rq);
		if (rq->stream)
			clv_http_abort(rq->stream, CLV_H3_REQUEST_CANCELLED);
		end_err(rq, CLV_ETIMEOUT);
		set_times(cs, now_ns);
	}
}

uint64_t clv_client_requests_next_ns(const struct clv_client_requests *cs)
{
	return cs->params.answer_ns && cs->oldest ? cs->oldest->until_ns : UINT64_MAX;
}

void clv_client_request_close(struct clv_client_request *rq)
{
	struct clv_http_stream *s = rq->stream;
	bool was_open = rq->state == CLIENT_OPEN;

	unlink_request(rq);
	rq->gone = true;
	if (!rq->busy)
		free_request(rq);
	if (!s)
		return;
	if (was_open && clv_http_finish(s) == 0)
		clv_http_stop(s, CLV_H3_NO_ERROR);
	else
		clv_http_abort(s, CLV_H3_REQUEST_CANCELLED);
}

void clv_client_request_abort(struct clv_client_request *rq, uint64_t code)
{
	abort_malformed(rq, code);
}

int clv_client_request_send_capsule(struct clv_client_request *rq, const uint8_t *capsule,
				    size_t len)
{
	struct clv_client_requests *cs = rq->cs;

	if (rq->state != CLIENT_OPEN)
		return CLV_ECLOSED;
	if (clv_http_stream_backlog(rq->stream) + len > cs->params.capsule_backlog)
		return CLV_EFULL;
	return clv_http_send(rq->stream, capsule, len, NULL, 0, false);
}

void clv_client_request_send(struct clv_client_request *rq, uint64_t context_id,
			     const uint8_t *payload, size_t len)
{
	struct clv_client_requests *cs = rq->cs;
	uint8_t head[CLV_CAPSULE_HEAD_MAX + VARINT_BYTES_MAX];
	size_t context_len = clv_varint_len(context_id);
	size_t head_len = clv_capsule_encode_datagram_head(context_len + len, head);
	uint8_t *p = head + head_len;

	if (rq->state != CLIENT_OPEN || clv_varint_write(&p, head + sizeof(head), context_id) < 0) {
		clv_count(cs->params.counters, CLV_COUNT_DROP_CLOSED);
		return;
	}
	head_len += context_len;
	if (clv_http_stream_backlog(rq->stream) + head_len + len > cs->params.capsule_backlog) {
		clv_count(cs->params.counters, CLV_COUNT_DROP_CAPSULE_BACKLOG);
		return;
	}
	if (clv_http_send(rq->stream, head, head_len, payload, len, false) < 0)
		clv_count(cs->params.counters, CLV_COUNT_DROP_CLOSED);
}
