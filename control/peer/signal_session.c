/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/signal_session.h"

#include "datapath/base/clock.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <string.h>

#define MS_PER_SEC UINT64_C(1000)

void clv_signal_session_init(struct clv_signal_session *s, const struct clv_signal_session_ops *ops,
			     void *user, struct clv_rand *rand, struct clv_signer *signer)
{
	memset(s, 0, sizeof(*s));
	s->ops = ops;
	s->user = user;
	s->rand = rand;
	s->publish_ns = UINT64_MAX;
	/* A key that has no identity cannot be: its hash was made before. */
	if (signer && !clv_object_identity(clv_signer_key(signer), &s->id))
		s->signer = signer;
}

void clv_signal_session_fini(struct clv_signal_session *s)
{
	memset(s, 0, sizeof(*s));
}

/* ---- sending ---- */

static int send_capsule(struct clv_signal_session *s, const struct clv_signal *signal)
{
	size_t len = clv_signal_write(signal, s->capsule);

	if (signal->object_len)
		memcpy(s->capsule + len, signal->object, signal->object_len);
	return s->ops->send(s->user, s->capsule, len + signal->object_len);
}

int clv_signal_session_start(struct clv_signal_session *s)
{
	const struct clv_signal hello = {
		.type = CLV_SIGNAL_HELLO,
		.version = CLV_SIGNAL_VERSION,
		.version_min = CLV_SIGNAL_VERSION,
		.role = CLV_SIGNAL_PEER,
		.id = s->id,
	};

	s->is_started = true;
	return send_capsule(s, &hello);
}

/* Fill what all objects of ours have, and sign it into s->object. */
static int sign(struct clv_signal_session *s, struct clv_object *o, enum clv_object_kind kind,
		uint16_t lifetime_sec, size_t *len)
{
	o->kind = (uint8_t)kind;
	o->seq = s->wall_ms > s->last_seq ? s->wall_ms : s->last_seq + 1;
	o->issued_sec = (uint32_t)(s->wall_ms / MS_PER_SEC);
	o->lifetime_sec = lifetime_sec;
	s->last_seq = o->seq;
	return clv_object_sign(o, s->signer, s->object, len);
}

/* Send a request with a new number, whose answer is waited for. */
static int ask(struct clv_signal_session *s, struct clv_signal *signal, uint32_t *number)
{
	struct clv_signal_waiting *w = s->waiting;
	int err;

	if (!s->is_started)
		return CLV_ECLOSED;
	while (w < s->waiting + CLV_SIGNAL_WAITING_MAX && w->type)
		w++;
	if (w == s->waiting + CLV_SIGNAL_WAITING_MAX)
		return CLV_EFULL;
	clv_rand_bytes(s->rand, signal->request, sizeof(signal->request));
	*w = (struct clv_signal_waiting){
		.type = signal->type,
		.number = ++s->last_number,
		.id = signal->id,
		.until_ns = s->now_ns + CLV_SIGNAL_ANSWER_SEC * CLV_SEC,
	};
	memcpy(w->request, signal->request, sizeof(w->request));
	err = send_capsule(s, signal);
	if (err) {
		w->type = 0;
		return err;
	}
	if (number)
		*number = w->number;
	return 0;
}

/* ---- our record ---- */

static void publish_again(struct clv_signal_session *s, uint64_t sec)
{
	s->publish_ns = s->has_record ? s->now_ns + sec * CLV_SEC : UINT64_MAX;
}

static void send_record(struct clv_signal_session *s)
{
	struct clv_object o = s->record;
	struct clv_signal signal = { .type = CLV_SIGNAL_PUBLISH, .object = s->object };
	int err = sign(s, &o, CLV_OBJECT_RECORD, CLV_OBJECT_RECORD_SEC, &signal.object_len);

	if (!err)
		err = ask(s, &signal, NULL);
	publish_again(s, err ? CLV_SIGNAL_RETRY_SEC : CLV_OBJECT_RECORD_AGAIN_SEC);
}

int clv_signal_session_publish(struct clv_signal_session *s, const struct clv_object *record)
{
	if (!s->signer)
		return -ENOKEY;
	s->record = *record;
	s->has_record = true;
	s->publish_ns = 0;
	if (s->has_hello)
		send_record(s);
	return 0;
}

int clv_signal_session_withdraw(struct clv_signal_session *s)
{
	struct clv_signal signal = { .type = CLV_SIGNAL_PUBLISH, .object = s->object };
	struct clv_object o = { 0 };
	int err;

	s->has_record = false;
	s->publish_ns = UINT64_MAX;
	if (!s->signer)
		return -ENOKEY;
	err = sign(s, &o, CLV_OBJECT_REMOVAL, CLV_OBJECT_RECORD_SEC, &signal.object_len);
	return err ? err : ask(s, &signal, NULL);
}

/* ---- requests ---- */

int clv_signal_session_look_up(struct clv_signal_session *s, const struct clv_identity *id,
			       uint32_t *number)
{
	struct clv_signal signal = { .type = CLV_SIGNAL_LOOKUP,
				     .hops = CLV_SIGNAL_HOPS,
				     .id = *id };

	return ask(s, &signal, number);
}

int clv_signal_session_knock(struct clv_signal_session *s, const struct clv_identity *to,
			     const struct clv_object_endpoint *from, uint32_t *number)
{
	struct clv_signal signal = {
		.type = CLV_SIGNAL_KNOCK,
		.hops = CLV_SIGNAL_HOPS,
		.id = *to,
		.object = s->object,
	};
	struct clv_object o = { .has_knock = true, .to = *to, .from = *from };
	int err;

	if (!s->signer)
		return -ENOKEY;
	clv_rand_bytes(s->rand, o.nonce, sizeof(o.nonce));
	err = sign(s, &o, CLV_OBJECT_KNOCK, CLV_OBJECT_KNOCK_SEC, &signal.object_len);
	return err ? err : ask(s, &signal, number);
}

int clv_signal_session_answer(struct clv_signal_session *s,
			      const uint8_t request[static CLV_SIGNAL_REQUEST_LEN],
			      enum clv_signal_status status, bool with_record)
{
	struct clv_signal signal = { .type = CLV_SIGNAL_ANSWER, .status = (uint8_t)status };
	struct clv_object o = s->record;

	if (!s->is_started)
		return CLV_ECLOSED;
	memcpy(signal.request, request, sizeof(signal.request));
	if (with_record && s->has_record &&
	    !sign(s, &o, CLV_OBJECT_RECORD, CLV_OBJECT_RECORD_SEC, &signal.object_len))
		signal.object = s->object;
	return send_capsule(s, &signal);
}

/* ---- what comes ---- */

static uint64_t wall_sec(const struct clv_signal_session *s)
{
	return s->wall_ms / MS_PER_SEC;
}

/*
 * Read what is to be a record of somebody.  The same may be seen twice, an earlier one may not: who
 * withholds the newest could else lead us to an address that was given up.
 */
static bool read_record(struct clv_signal_session *s, const struct clv_signal *signal,
			const struct clv_identity *id, struct clv_object *o)
{
	return !clv_object_read(signal->object, signal->object_len, o) &&
	       o->kind == CLV_OBJECT_RECORD && memcmp(&o->id, id, sizeof(*id)) == 0 &&
	       !clv_object_check_time(o, wall_sec(s)) && !clv_object_verify(o, NULL) &&
	       (clv_object_is_new(&s->records, o) ||
		clv_object_seen_seq(&s->records, &o->id) == o->seq);
}

static enum clv_signal_result result_of(uint8_t status)
{
	switch (status) {
	case CLV_SIGNAL_OK:
		return CLV_SIGNAL_DONE;
	case CLV_SIGNAL_UNKNOWN:
		return CLV_SIGNAL_NOBODY;
	case CLV_SIGNAL_BUSY:
		return CLV_SIGNAL_LATER;
	default:
		return CLV_SIGNAL_DENIED;
	}
}

/* A request has its result.  record: NULL if none came. */
static void finish(struct clv_signal_session *s, struct clv_signal_waiting *w,
		   enum clv_signal_result result, const struct clv_object *record)
{
	const struct clv_signal_waiting done = *w;

	w->type = 0;
	switch (done.type) {
	case CLV_SIGNAL_PUBLISH:
		if (result != CLV_SIGNAL_DONE)
			publish_again(s, CLV_SIGNAL_RETRY_SEC);
		s->ops->on_published(s->user, result);
		break;
	case CLV_SIGNAL_LOOKUP:
		s->ops->on_found(s->user, done.number, result, record);
		break;
	default:
		s->ops->on_knocked(s->user, done.number, result, record);
	}
}

static void on_answer(struct clv_signal_session *s, const struct clv_signal *signal)
{
	enum clv_signal_result result = result_of(signal->status);
	struct clv_object o, *record = NULL;
	struct clv_signal_waiting *w = NULL;

	for (size_t i = 0; i < CLV_SIGNAL_WAITING_MAX && !w; i++)
		if (s->waiting[i].type &&
		    memcmp(s->waiting[i].request, signal->request, sizeof(signal->request)) == 0)
			w = &s->waiting[i];
	if (!w)
		return; /* late, or to nothing */
	if (result == CLV_SIGNAL_DONE && w->type != CLV_SIGNAL_PUBLISH &&
	    (signal->object_len || w->type == CLV_SIGNAL_LOOKUP)) {
		if (read_record(s, signal, &w->id, &o))
			record = &o;
		else
			result = CLV_SIGNAL_BAD;
	}
	finish(s, w, result, record);
}

/* A relay that passes on what is not good is told so, as if the peer had refused. */
static void on_knock(struct clv_signal_session *s, const struct clv_signal *signal)
{
	struct clv_object o;

	if (!s->signer || memcmp(&signal->id, &s->id, sizeof(s->id)) != 0 ||
	    clv_object_read(signal->object, signal->object_len, &o) || o.kind != CLV_OBJECT_KNOCK ||
	    memcmp(&o.to, &s->id, sizeof(s->id)) != 0 || clv_object_check_time(&o, wall_sec(s)) ||
	    clv_object_verify(&o, NULL) || !clv_object_is_new(&s->knocks, &o)) {
		clv_signal_session_answer(s, signal->request, CLV_SIGNAL_REFUSED, false);
		return;
	}
	s->ops->on_knock(s->user, signal->request, &o);
}

static int on_hello(struct clv_signal_session *s, const struct clv_signal *hello)
{
	if (s->has_hello || !clv_signal_version(hello))
		return CLV_EPROTO;
	s->has_hello = true;
	if (s->has_record)
		send_record(s);
	s->ops->on_hello(s->user, &hello->id); /* what it publishes is sent at once */
	return 0;
}

int clv_signal_session_value(struct clv_signal_session *s, uint64_t type, const uint8_t *value,
			     size_t len)
{
	struct clv_signal signal;
	int err = clv_signal_read(type, value, len, &signal);

	if (err)
		return err;
	if (signal.type == CLV_SIGNAL_HELLO)
		return on_hello(s, &signal);
	if (!s->has_hello)
		return CLV_EPROTO;
	switch (signal.type) {
	case CLV_SIGNAL_OBSERVED:
		s->ops->on_observed(s->user, &signal.observed, signal.sequence);
		break;
	case CLV_SIGNAL_ANSWER:
		on_answer(s, &signal);
		break;
	case CLV_SIGNAL_KNOCK:
		on_knock(s, &signal);
		break;
	case CLV_SIGNAL_GOING:
		s->ops->on_going(s->user, signal.seconds);
		break;
	default: /* a peer's to send */
		break;
	}
	return 0;
}

/* ---- time ---- */

void clv_signal_session_step(struct clv_signal_session *s, uint64_t now_ns, uint64_t wall_ms)
{
	s->now_ns = now_ns;
	s->wall_ms = wall_ms;
	for (size_t i = 0; i < CLV_SIGNAL_WAITING_MAX; i++)
		if (s->waiting[i].type && s->waiting[i].until_ns <= now_ns)
			finish(s, &s->waiting[i], CLV_SIGNAL_NO_REPLY, NULL);
	if (s->has_hello && s->publish_ns <= now_ns)
		send_record(s);
}

uint64_t clv_signal_session_next_ns(const struct clv_signal_session *s)
{
	uint64_t at_ns = s->has_hello ? s->publish_ns : UINT64_MAX;

	for (size_t i = 0; i < CLV_SIGNAL_WAITING_MAX; i++)
		if (s->waiting[i].type && s->waiting[i].until_ns < at_ns)
			at_ns = s->waiting[i].until_ns;
	return at_ns;
}
