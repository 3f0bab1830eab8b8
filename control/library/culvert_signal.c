/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/library/culvert_state.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum {
	AGAIN_MAX_SEC = 60,
};

static uint64_t wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / CLV_MSEC;
}

/* ---- look-ups ---- */

static void answer(struct signals_lookup *l, int error, const struct clv_object *record)
{
	struct signals_lookup asked = *l;

	*l = (struct signals_lookup){ .user = NULL }; /* the answer may ask again */
	asked.found(asked.user, error, record);
}

static void fail_lookups(struct culvert_session *s, int error)
{
	for (unsigned i = 0; i < SIGNAL_LOOKUPS_MAX; i++)
		if (s->signal.lookups[i].user)
			answer(&s->signal.lookups[i], error, NULL);
}

static void ask(struct culvert_session *s, struct signals_lookup *l)
{
	int err = clv_signal_session_look_up(clv_relay_signal_session(s->signal.stream), &l->id,
					     &l->number);

	l->is_asked = !err;
	if (err)
		answer(l, err, NULL);
}

static void ask_all(struct culvert_session *s)
{
	for (unsigned i = 0; i < SIGNAL_LOOKUPS_MAX; i++)
		if (s->signal.lookups[i].user && !s->signal.lookups[i].is_asked)
			ask(s, &s->signal.lookups[i]);
}

static int error_of(enum clv_signal_result result)
{
	switch (result) {
	case CLV_SIGNAL_DONE:
		return 0;
	case CLV_SIGNAL_NOBODY:
		return CULVERT_ENOPEER;
	case CLV_SIGNAL_LATER:
		return CULVERT_EFULL;
	case CLV_SIGNAL_DENIED:
		return CULVERT_EDENIED;
	case CLV_SIGNAL_NO_REPLY:
		return CULVERT_ETIMEOUT;
	default:
		return CULVERT_EIDENTITY;
	}
}

/* ---- what the stream reports ---- */

static void on_hello(void *user, const struct clv_identity *relay)
{
	struct culvert_session *s = user;

	s->signal.is_ready = true;
	s->signal.agains = 0;
	s->signal.relay = *relay;
	if (s->signal.has_record)
		clv_signal_session_publish(clv_relay_signal_session(s->signal.stream),
					   &s->signal.record);
	ask_all(s);
}

static void on_observed(void *user, const struct clv_endpoint *at, uint64_t sequence)
{
	struct culvert_session *s = user;

	(void)sequence; /* the stream has told the newer one */
	s->signal.observed = *at;
}

static void published(struct culvert_session *s, int error)
{
	if (s->signal.has_record && s->signal.on_published)
		s->signal.on_published(s, error);
}

static void on_published(void *user, enum clv_signal_result result)
{
	published(user, error_of(result));
}

static void on_found(void *user, uint32_t number, enum clv_signal_result result,
		     const struct clv_object *record)
{
	struct culvert_session *s = user;

	for (unsigned i = 0; i < SIGNAL_LOOKUPS_MAX; i++) {
		struct signals_lookup *l = &s->signal.lookups[i];

		if (!l->user || !l->is_asked || l->number != number)
			continue;
		answer(l, error_of(result), record);
		return;
	}
}

static void on_knocked(void *user, uint32_t number, enum clv_signal_result result,
		       const struct clv_object *record)
{
	(void)user; /* we do not knock: a bound port takes everyone's first packet */
	(void)number;
	(void)result;
	(void)record;
}

static void on_knock(void *user, const uint8_t request[static CLV_SIGNAL_REQUEST_LEN],
		     const struct clv_object *knock)
{
	struct culvert_session *s = user;

	(void)knock; /* who it is is told by the handshake that follows */
	clv_signal_session_answer(clv_relay_signal_session(s->signal.stream), request,
				  s->signal.has_record ? CLV_SIGNAL_OK : CLV_SIGNAL_UNKNOWN, true);
}

static void on_going(void *user, uint16_t seconds)
{
	(void)user; /* the session's end is reported when it comes */
	(void)seconds;
}

/* A relay that refuses is not asked again on this session; one that ended it is, later. */
static void on_closed(void *user, int error, const struct clv_client_result *result)
{
	struct culvert_session *s = user;
	unsigned sec = s->signal.agains < 6 ? 1u << s->signal.agains : AGAIN_MAX_SEC;

	s->signal.stream = NULL;
	s->signal.is_ready = false;
	fail_lookups(s, error ? error : CULVERT_ECLOSED);
	published(s, error ? error : CULVERT_ECLOSED);
	if (result && result->status >= 400 && result->status < 500)
		return;
	s->signal.agains++;
	s->signal.again_ns = s->c->now_ns + sec * CLV_SEC;
}

static const struct clv_signal_session_ops ops = {
	.on_hello = on_hello,
	.on_observed = on_observed,
	.on_published = on_published,
	.on_found = on_found,
	.on_knocked = on_knocked,
	.on_knock = on_knock,
	.on_going = on_going,
};

/* ---- the stream ---- */

static void open_stream(struct culvert_session *s)
{
	const struct clv_relay_signal_params p = {
		.ops = &ops,
		.on_closed = on_closed,
		.user = s,
		.signer = s->signal.signer,
		.rand = &s->c->rand,
		.wall_ms = wall_ms,
	};
	int err;

	if (!s->signal.is_wanted || s->signal.stream || !s->relay || !s->is_up)
		return;
	err = clv_relay_session_signal(s->relay, &p, &s->signal.stream);
	if (err) {
		s->signal.stream = NULL;
		fail_lookups(s, err);
		published(s, err);
	}
}

void signals_set_session(struct culvert_session *s, struct clv_relay_session *relay)
{
	s->signal.again_ns = 0;
	if (relay) {
		open_stream(s);
		return;
	}
	/* The stream ended with the session; what was asked is asked again of the next. */
	s->signal.stream = NULL;
	s->signal.is_ready = false;
	for (unsigned i = 0; i < SIGNAL_LOOKUPS_MAX; i++)
		s->signal.lookups[i].is_asked = false;
}

void signals_end(struct culvert_session *s, int error)
{
	fail_lookups(s, error);
}

void signals_step(struct culvert_session *s, uint64_t now_ns)
{
	if (!s->signal.again_ns || now_ns < s->signal.again_ns)
		return;
	s->signal.again_ns = 0;
	open_stream(s);
}

uint64_t signals_next_ns(const struct culvert_session *s)
{
	return s->signal.again_ns ? s->signal.again_ns : UINT64_MAX;
}

/* ---- what the library wants of it ---- */

void signals_publish(struct culvert_session *s, const struct clv_object *record,
		     void (*on_published)(struct culvert_session *s, int error))
{
	s->signal.on_published = on_published;
	s->signal.record = *record;
	s->signal.has_record = true;
	s->signal.is_wanted = true;
	if (s->signal.is_ready)
		clv_signal_session_publish(clv_relay_signal_session(s->signal.stream),
					   &s->signal.record);
	else
		open_stream(s);
}

void signals_withdraw(struct culvert_session *s)
{
	if (s->signal.has_record && s->signal.is_ready)
		clv_signal_session_withdraw(clv_relay_signal_session(s->signal.stream));
	s->signal.has_record = false;
}

int signals_look_up(struct culvert_session *s, const struct clv_identity *id, signals_found *found,
		    void *user)
{
	unsigned i = 0;

	while (i < SIGNAL_LOOKUPS_MAX && s->signal.lookups[i].user)
		i++;
	if (i == SIGNAL_LOOKUPS_MAX)
		return CULVERT_EFULL;
	s->signal.lookups[i] = (struct signals_lookup){ .id = *id, .found = found, .user = user };
	s->signal.is_wanted = true;
	if (s->signal.is_ready)
		ask(s, &s->signal.lookups[i]);
	else
		open_stream(s);
	return 0;
}

void signals_forget(struct culvert_session *s, const void *user)
{
	for (unsigned i = 0; i < SIGNAL_LOOKUPS_MAX; i++)
		if (s->signal.lookups[i].user == user)
			s->signal.lookups[i] = (struct signals_lookup){ .user = NULL };
}
