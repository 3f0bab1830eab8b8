/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/signal_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/host/host.h"
#include "control/masque/signal.h"
#include "control/proxy/respond.h"
#include "datapath/base/bucket.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

enum signal_state {
	SIGNAL_CHECKING = 1, /* the client's password is being checked */
	SIGNAL_OPEN,	     /* answered with success */
};

struct clv_signal_stream {
	enum clv_request_kind kind; /* first, see state.h */
	enum signal_state state;
	struct clv_requests *rs;
	struct clv_http_stream *stream;
	struct clv_gate_check *check; /* CHECKING */
	struct clv_gate_grant *grant; /* what it rests on; NULL: nothing */
	struct clv_capsule_parser capsules;
	bool has_hello;
	bool is_over_bytes; /* what comes now is beyond bytes_per_sec */
	__u64 publish_full_ns, lookups_full_ns, knocks_full_ns, knocks_to_full_ns, bytes_full_ns;
	struct clv_peer_record *record; /* published on it; NULL: none */
	struct clv_knocks_end knocks;
	uint64_t observed_seq; /* of the next OBSERVED_ADDRESS */
};

static struct clv_signals *all_of(const struct clv_signal_stream *ss)
{
	return ss->rs->params.config->signals;
}

static uint64_t now_of(const struct clv_signal_stream *ss)
{
	return *ss->rs->params.config->now_ns;
}

static void count(const struct clv_signal_stream *ss, enum clv_counter which)
{
	clv_requests_count(ss->rs, which);
}

/* The identity that the client has proven; NULL: none. */
static const uint8_t *proven(const struct clv_signal_stream *ss)
{
	const struct clv_tls_facts *tls = ss->rs->params.ops->tls(ss->rs->params.session);

	return tls->has_client_key ? tls->client_key : NULL;
}

static bool is_proven(const struct clv_signal_stream *ss, const struct clv_identity *id)
{
	const uint8_t *key = proven(ss);

	return key && memcmp(key, id->bytes, CLV_IDENTITY_LEN) == 0;
}

/* ---- sending ---- */

/* Send a capsule.  Returns 0, or CLV_EFULL: counted, the client reads too slowly; or CLV_ECLOSED. */
static int send_capsule(struct clv_signal_stream *ss, const struct clv_signal *s)
{
	uint8_t head[CLV_SIGNAL_MAX - CLV_OBJECT_MAX];
	size_t head_len = clv_signal_write(s, head);

	if (clv_http_stream_backlog(ss->stream) + head_len + s->object_len >
	    all_of(ss)->settings.backlog) {
		count(ss, CLV_COUNT_SIGNAL_BACKLOG);
		return CLV_EFULL;
	}
	return clv_http_send(ss->stream, head, head_len, s->object, s->object_len, false)
		       ? CLV_ECLOSED
		       : 0;
}

static void answer(struct clv_signal_stream *ss, const uint8_t *request,
		   enum clv_signal_status status, const uint8_t *object, size_t len)
{
	struct clv_signal s = {
		.type = CLV_SIGNAL_ANSWER,
		.status = (uint8_t)status,
		.object = object,
		.object_len = len,
	};

	memcpy(s.request, request, sizeof(s.request));
	send_capsule(ss, &s);
}

static void refuse(struct clv_signal_stream *ss, const struct clv_signal *s,
		   enum clv_signal_status status, enum clv_counter why)
{
	count(ss, why);
	answer(ss, s->request, status, NULL, 0);
}

static void send_hello(struct clv_signal_stream *ss)
{
	const struct clv_tls_facts *tls = ss->rs->params.ops->tls(ss->rs->params.session);
	struct clv_signal s = {
		.type = CLV_SIGNAL_HELLO,
		.version = CLV_SIGNAL_VERSION,
		.version_min = CLV_SIGNAL_VERSION,
		.role = CLV_SIGNAL_RELAY,
	};

	memcpy(s.id.bytes, tls->server_key, sizeof(s.id.bytes));
	send_capsule(ss, &s);
}

static void send_observed(struct clv_signal_stream *ss)
{
	const struct clv_signal s = {
		.type = CLV_SIGNAL_OBSERVED,
		.sequence = ss->observed_seq++,
		.observed = *ss->rs->params.ops->peer(ss->rs->params.session),
	};

	if (!send_capsule(ss, &s))
		count(ss, CLV_COUNT_SIGNAL_OBSERVED);
}

void clv_signal_moved(struct clv_requests *rs)
{
	if (rs->signal && rs->signal->has_hello)
		send_observed(rs->signal);
}

/* ---- what the client sends ---- */

static int on_hello(struct clv_signal_stream *ss, const struct clv_signal *s)
{
	static const struct clv_identity nobody;

	if (ss->has_hello)
		return CLV_EPROTO;
	if (memcmp(&s->id, &nobody, sizeof(nobody)) != 0 && !is_proven(ss, &s->id)) {
		count(ss, CLV_COUNT_SIGNAL_NO_IDENTITY);
		return CLV_EPROTO;
	}
	send_hello(ss);
	if (!clv_signal_version(s))
		return CLV_ECLOSED; /* ours tells it what we speak */
	ss->has_hello = true;
	send_observed(ss);
	return 0;
}

/* Read an object of the client's own and judge all but its signature.  Returns false: s is refused. */
static bool read_own(struct clv_signal_stream *ss, const struct clv_signal *s, struct clv_object *o)
{
	const struct clv_requests_config *config = ss->rs->params.config;

	if (clv_object_read(s->object, s->object_len, o))
		refuse(ss, s, CLV_SIGNAL_REFUSED, CLV_COUNT_SIGNAL_OBJECTS_MALFORMED);
	else if (!is_proven(ss, &o->id))
		refuse(ss, s, CLV_SIGNAL_REFUSED, CLV_COUNT_SIGNAL_NO_IDENTITY);
	else if (clv_object_check_time(o, config->host_ops->wall_sec(config->host)))
		refuse(ss, s, CLV_SIGNAL_REFUSED, CLV_COUNT_SIGNAL_OBJECTS_EXPIRED);
	else
		return true;
	return false;
}

/* When a record that is valid now stops to be for those who are given it. */
static uint64_t expiry_of(const struct clv_signal_stream *ss, const struct clv_object *o)
{
	const struct clv_requests_config *config = ss->rs->params.config;
	uint64_t end_sec = (uint64_t)o->issued_sec + o->lifetime_sec + CLV_OBJECT_SKEW_SEC;

	return now_of(ss) + (end_sec - config->host_ops->wall_sec(config->host)) * CLV_SEC;
}

static void keep_record(struct clv_signal_stream *ss, const struct clv_signal *s,
			const struct clv_object *o)
{
	const struct clv_records_put put = {
		.object = o,
		.len = s->object_len,
		.owner = ss,
		.slot = &ss->record,
		.account = clv_requests_payer(ss->rs),
		.memory = ss->rs->params.memory,
		.now_ns = now_of(ss),
		.until_ns = expiry_of(ss, o),
	};

	switch (clv_records_put(&all_of(ss)->records, &put)) {
	case 0:
		count(ss, CLV_COUNT_RECORDS_PUBLISHED);
		answer(ss, s->request, CLV_SIGNAL_OK, NULL, 0);
		break;
	case -EALREADY:
		refuse(ss, s, CLV_SIGNAL_REFUSED, CLV_COUNT_SIGNAL_OBJECTS_REPLAYED);
		break;
	default:
		refuse(ss, s, CLV_SIGNAL_BUSY, CLV_COUNT_SIGNAL_FULL);
	}
}

/* The client's record is void. */
static void remove_record(struct clv_signal_stream *ss, const struct clv_signal *s,
			  const struct clv_object *o)
{
	if (ss->record && o->seq <= ss->record->seq) {
		refuse(ss, s, CLV_SIGNAL_REFUSED, CLV_COUNT_SIGNAL_OBJECTS_REPLAYED);
		return;
	}
	if (ss->record)
		clv_records_remove(&all_of(ss)->records, ss->record);
	answer(ss, s->request, CLV_SIGNAL_OK, NULL, 0);
}

/* A record or a removal.  It has its key, so that whoever is given it can verify it alone. */
static void on_publish(struct clv_signal_stream *ss, const struct clv_signal *s)
{
	struct clv_object o;

	if (ss->is_over_bytes ||
	    !clv_rate_take(&all_of(ss)->publish, &ss->publish_full_ns, now_of(ss)))
		refuse(ss, s, CLV_SIGNAL_BUSY, CLV_COUNT_SIGNAL_PUBLISH_BUSY);
	else if (!read_own(ss, s, &o))
		return;
	else if (!o.key || (o.kind != CLV_OBJECT_RECORD && o.kind != CLV_OBJECT_REMOVAL))
		refuse(ss, s, CLV_SIGNAL_REFUSED, CLV_COUNT_SIGNAL_OBJECTS_MALFORMED);
	else if (clv_object_verify(&o, NULL))
		refuse(ss, s, CLV_SIGNAL_REFUSED, CLV_COUNT_SIGNAL_OBJECTS_FORGED);
	else if (o.kind == CLV_OBJECT_RECORD)
		keep_record(ss, s, &o);
	else
		remove_record(ss, s, &o);
}

static void on_lookup(struct clv_signal_stream *ss, const struct clv_signal *s)
{
	const struct clv_peer_record *r;

	if (ss->is_over_bytes ||
	    !clv_rate_take(&all_of(ss)->lookups, &ss->lookups_full_ns, now_of(ss))) {
		refuse(ss, s, CLV_SIGNAL_BUSY, CLV_COUNT_SIGNAL_LOOKUPS_BUSY);
		return;
	}
	r = clv_records_find(&all_of(ss)->records, &s->id, now_of(ss));
	if (r) {
		count(ss, CLV_COUNT_LOOKUPS_HIT);
		answer(ss, s->request, CLV_SIGNAL_OK, r->bytes, r->len);
	} else {
		refuse(ss, s, CLV_SIGNAL_UNKNOWN, CLV_COUNT_LOOKUPS_MISS);
	}
}

/* Pass a knock on to the stream of whom it is for. */
static void deliver(struct clv_signal_stream *ss, struct clv_signal_stream *to,
		    const struct clv_signal *s)
{
	struct clv_signals *all = all_of(ss);

	if (!clv_rate_take(&all->knocks_to, &to->knocks_to_full_ns, now_of(ss))) {
		refuse(ss, s, CLV_SIGNAL_BUSY, CLV_COUNT_SIGNAL_KNOCKS_TO_BUSY);
		return;
	}
	if (clv_knocks_add(&all->knocks, s->request, &ss->knocks, &to->knocks, now_of(ss))) {
		refuse(ss, s, CLV_SIGNAL_BUSY, CLV_COUNT_SIGNAL_FULL);
		return;
	}
	if (send_capsule(to, s)) {
		clv_knocks_remove(&all->knocks,
				  clv_knocks_find(&all->knocks, s->request, &to->knocks));
		answer(ss, s->request, CLV_SIGNAL_BUSY, NULL, 0);
		return;
	}
	count(ss, CLV_COUNT_KNOCKS);
}

/*
 * Who knocks is proven; the signature is for the peer to verify, which trusts the relay with nothing.
 */
static void on_knock(struct clv_signal_stream *ss, const struct clv_signal *s)
{
	const struct clv_peer_record *r;
	struct clv_object o;

	if (ss->is_over_bytes ||
	    !clv_rate_take(&all_of(ss)->knock, &ss->knocks_full_ns, now_of(ss))) {
		refuse(ss, s, CLV_SIGNAL_BUSY, CLV_COUNT_SIGNAL_KNOCKS_BUSY);
		return;
	}
	if (!read_own(ss, s, &o))
		return;
	if (o.kind != CLV_OBJECT_KNOCK || memcmp(&o.to, &s->id, sizeof(o.to)) != 0) {
		refuse(ss, s, CLV_SIGNAL_REFUSED, CLV_COUNT_SIGNAL_OBJECTS_MALFORMED);
		return;
	}
	r = clv_records_find(&all_of(ss)->records, &s->id, now_of(ss));
	if (r)
		deliver(ss, r->owner, s);
	else
		refuse(ss, s, CLV_SIGNAL_UNKNOWN, CLV_COUNT_KNOCKS_MISSED);
}

static struct clv_signal_stream *stream_of(struct clv_knocks_end *end)
{
	return (struct clv_signal_stream *)((char *)end -
					    offsetof(struct clv_signal_stream, knocks));
}

/* The answer to a knock: it goes back where that came from. */
static void on_answer(struct clv_signal_stream *ss, const struct clv_signal *s)
{
	struct clv_knocks *knocks = &all_of(ss)->knocks;
	struct clv_knock *k = clv_knocks_find(knocks, s->request, &ss->knocks);
	struct clv_signal_stream *from;

	if (!k || ss->is_over_bytes) {
		count(ss, CLV_COUNT_SIGNAL_STRAY);
		return;
	}
	from = stream_of(k->from);
	clv_knocks_remove(knocks, k);
	send_capsule(from, s);
}

static size_t value_max(void *user, uint64_t type)
{
	(void)user;
	return clv_signal_value_max(type);
}

static int on_value(void *user, uint64_t type, const uint8_t *value, size_t len)
{
	struct clv_signal_stream *ss = user;
	struct clv_signal s;
	int err = clv_signal_read(type, value, len, &s);

	if (err)
		return err;
	if (s.type == CLV_SIGNAL_HELLO)
		return on_hello(ss, &s);
	if (!ss->has_hello)
		return CLV_EPROTO;
	switch (s.type) {
	case CLV_SIGNAL_PUBLISH:
		on_publish(ss, &s);
		break;
	case CLV_SIGNAL_LOOKUP:
		on_lookup(ss, &s);
		break;
	case CLV_SIGNAL_KNOCK:
		on_knock(ss, &s);
		break;
	case CLV_SIGNAL_ANSWER:
		on_answer(ss, &s);
		break;
	default: /* a relay's to send */
		break;
	}
	return 0;
}

static const struct clv_capsule_ops capsule_ops = {
	.value_max = value_max,
	.on_value = on_value,
};

/* ---- the life of a stream ---- */

static void end_knocks(struct clv_signal_stream *ss)
{
	struct clv_knocks *knocks = &all_of(ss)->knocks;
	struct clv_knock *k;

	while ((k = LIST_FIRST(&ss->knocks.sent)))
		clv_knocks_remove(knocks, k);
	while ((k = LIST_FIRST(&ss->knocks.received))) {
		answer(stream_of(k->from), k->request, CLV_SIGNAL_UNKNOWN, NULL, 0);
		clv_knocks_remove(knocks, k);
	}
}

void clv_signal_end(struct clv_signal_stream *ss)
{
	struct clv_requests *rs = ss->rs;
	struct clv_signals *all = all_of(ss);

	if (ss->check)
		clv_gate_check_cancel(ss->check);
	end_knocks(ss);
	if (ss->record)
		clv_records_remove(&all->records, ss->record);
	if (ss->state == SIGNAL_OPEN) {
		all->streams--;
		all->peers -= proven(ss) != NULL;
	}
	clv_capsule_parser_fini(&ss->capsules);
	ss->stream->user = NULL;
	rs->signal = NULL;
	clv_requests_discharge(rs);
	clv_gate_release(rs->params.config->gate, ss->grant);
	free(ss);
}

void clv_signal_abort(struct clv_signal_stream *ss, uint64_t code)
{
	struct clv_http_stream *s = ss->stream;

	clv_signal_end(ss);
	clv_http_abort(s, code);
}

/* End the stream in order. */
static void leave(struct clv_signal_stream *ss)
{
	struct clv_http_stream *s = ss->stream;
	bool was_open = ss->state == SIGNAL_OPEN;

	clv_signal_end(ss);
	if (was_open && clv_http_finish(s) == 0)
		clv_http_stop(s, CLV_H3_NO_ERROR);
	else
		clv_http_abort(s, CLV_H3_REQUEST_CANCELLED);
}

void clv_signal_finish(struct clv_signal_stream *ss)
{
	if (!clv_capsule_parser_end(&ss->capsules)) {
		leave(ss);
		return;
	}
	count(ss, CLV_COUNT_SIGNAL_ABORTED);
	clv_signal_abort(ss, CLV_H3_MESSAGE_ERROR);
}

/* Take tokens for so many bytes from a bucket that holds a token for each. */
static bool take_bytes(const struct clv_rate *rate, __u64 *full_ns, uint64_t now_ns, size_t len)
{
	uint64_t from_ns = *full_ns > now_ns ? *full_ns : now_ns;

	if (!rate->interval_ns)
		return true;
	*full_ns = from_ns + rate->interval_ns * len;
	if (*full_ns <= now_ns + rate->burst_ns)
		return true;
	*full_ns = now_ns + rate->burst_ns; /* empty; no debt */
	return false;
}

void clv_signal_body(struct clv_signal_stream *ss, const uint8_t *data, size_t len)
{
	int err = CLV_EPROTO; /* nothing may come before the answer */

	ss->is_over_bytes = !take_bytes(&all_of(ss)->bytes, &ss->bytes_full_ns, now_of(ss), len);
	if (ss->state == SIGNAL_OPEN)
		err = clv_capsule_parser_feed(&ss->capsules, data, len, &capsule_ops, ss);
	if (ss->capsules.is_refused)
		count(ss, CLV_COUNT_BUFFERED_FULL);
	if (err == CLV_ECLOSED) {
		leave(ss);
	} else if (err) {
		count(ss, CLV_COUNT_SIGNAL_ABORTED);
		clv_signal_abort(ss, clv_capsule_h3_error(err));
	}
}

void clv_signal_access_changed(struct clv_requests *rs, bool is_admitted)
{
	struct clv_signal_stream *ss = rs->signal;

	if (!ss || (is_admitted && (!ss->grant || !ss->grant->is_over)))
		return;
	clv_requests_count(rs, CLV_COUNT_ACCESS_ENDED);
	clv_signal_abort(ss, CLV_H3_CONNECT_ERROR);
}

/* The client may use the relay: answer with success. */
static void open_stream(struct clv_signal_stream *ss)
{
	const struct clv_http_field field = clv_http_field_text("capsule-protocol", "?1");
	struct clv_requests *rs = ss->rs;
	struct clv_http_stream *s = ss->stream;
	struct clv_proxy_status why = { .error = CLV_PROXY_HTTP_REQUEST_ERROR };

	why.details = clv_gate_charge(rs, ss->grant, false);
	if (why.details) {
		clv_signal_end(ss);
		clv_respond_refusal(rs, s, 429, &why);
		return;
	}
	ss->state = SIGNAL_OPEN;
	all_of(ss)->streams++;
	all_of(ss)->peers += proven(ss) != NULL;
	clv_requests_count(rs, CLV_COUNT_REQUESTS);
	if (clv_http_respond(s, 200, &field, 1, false) < 0)
		clv_signal_abort(ss, CLV_H3_INTERNAL_ERROR);
}

static void on_checked(void *user, enum clv_access_result result, struct clv_gate_grant *grant)
{
	struct clv_signal_stream *ss = user;
	struct clv_requests *rs = ss->rs;
	struct clv_http_stream *s = ss->stream;

	ss->check = NULL;
	ss->grant = grant;
	clv_gate_hold(grant);
	if (result == CLV_ACCESS_GRANTED) {
		open_stream(ss);
		return;
	}
	clv_signal_end(ss);
	clv_gate_refuse(rs, s, result);
}

static void check_password(struct clv_signal_stream *ss, struct clv_gate_check *check)
{
	struct clv_requests *rs = ss->rs;
	struct clv_http_stream *s = ss->stream;

	ss->check = check;
	if (clv_gate_check_start(check, on_checked, ss) == 0)
		return;
	ss->check = NULL;
	clv_signal_end(ss);
	clv_gate_refuse(rs, s, CLV_ACCESS_BUSY);
}

void clv_signal_overdue(struct clv_signal_stream *ss)
{
	struct clv_requests *rs = ss->rs;
	struct clv_http_stream *s = ss->stream;

	clv_signal_end(ss); /* only the check of a password takes time */
	clv_gate_refuse(rs, s, CLV_ACCESS_BUSY);
}

void clv_signal_begin(struct clv_requests *rs, struct clv_http_stream *s,
		      const struct clv_gate_access *access)
{
	const struct clv_proxy_status no_memory = { .error = CLV_PROXY_PROXY_INTERNAL_ERROR };
	struct clv_signal_stream *ss = calloc(1, sizeof(*ss));

	if (!ss) {
		clv_requests_discharge(rs);
		clv_gate_forget(rs->params.config->gate, access);
		clv_respond_refusal(rs, s, 0, &no_memory);
		return;
	}
	ss->kind = CLV_REQUEST_SIGNAL;
	ss->state = SIGNAL_CHECKING;
	ss->rs = rs;
	ss->stream = s;
	ss->grant = access->grant;
	clv_gate_hold(ss->grant);
	clv_capsule_parser_init(&ss->capsules, 0);
	ss->capsules.holder = rs->params.holder;
	clv_knocks_end_init(&ss->knocks, clv_requests_payer(rs));
	s->user = ss;
	rs->signal = ss;
	if (access->check)
		check_password(ss, access->check);
	else
		open_stream(ss);
}

void clv_signal_expire(struct clv_signals *all, struct clv_counters *counters, uint64_t now_ns)
{
	struct clv_knock *k;

	clv_records_expire(&all->records, now_ns);
	while ((k = clv_knocks_overdue(&all->knocks, now_ns))) {
		clv_count(counters, CLV_COUNT_KNOCKS_UNANSWERED);
		answer(stream_of(k->from), k->request, CLV_SIGNAL_UNKNOWN, NULL, 0);
		clv_knocks_remove(&all->knocks, k);
	}
}
