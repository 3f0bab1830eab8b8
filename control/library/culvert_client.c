/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/library/culvert.h"
#include "control/library/culvert_state.h"
#include "datapath/base/clock.h"
#include "datapath/base/log.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum {
	STEPS_PER_TURN = 64, /* before culvert_step returns to the application's loop */
	TUNNELS_MAX = 1024,
	REMOTES_MAX = 1024,
	RECEIVE_BYTES = 4 << 20,
	ANSWER_TIMEOUT_SEC = 15,
	ANSWER_TIMEOUT_MAX_SEC = 3600,
	RECEIVE_BYTES_MIN = 1 << 20, /* a quarter of the ring holds the largest datagram */
	SPIN_MAX_USEC = 10000,
	OBJECTS_CEILING = 1 << 20, /* of tunnels_max and remotes_max */
	RECEIVE_BYTES_CEILING = 1 << 30,
	SPIN_PER_SEC = 15000, /* rate of work above which spinning only costs CPU time */
};

#define KEEPALIVE_NS (20 * CLV_SEC)
#define USEC_NS	     UINT64_C(1000)

_Static_assert((int)CULVERT_LOG_ERROR == (int)CLV_LOG_ERROR, "log levels");
_Static_assert((int)CULVERT_LOG_DEBUG == (int)CLV_LOG_DEBUG, "log levels");

static bool level_is_set;

void culvert_log_level(enum culvert_log level)
{
	__atomic_store_n(&level_is_set, true, __ATOMIC_RELAXED);
	clv_log_set_level((enum clv_log_level)level);
}

/* ---- life ---- */

static void on_new_remote(void *user, const struct clv_evt_remote *evt, const uint8_t *payload,
			  size_t len)
{
	struct culvert *c = user;
	struct culvert_session *s;

	if (nodes_new_remote(c, evt, payload, len))
		return;
	LIST_FOREACH(s, &c->sessions, link)
		if (forwards_new_remote(s, evt, payload, len) ||
		    bounds_new_remote(s, evt, payload, len))
			return;
}

static bool are_in_range(const struct culvert_options *o)
{
	return o->tunnels_max <= OBJECTS_CEILING && o->remotes_max <= OBJECTS_CEILING &&
	       o->receive_bytes <= RECEIVE_BYTES_CEILING && o->spin_usec <= SPIN_MAX_USEC &&
	       o->answer_timeout_sec <= ANSWER_TIMEOUT_MAX_SEC;
}

int culvert_open(const struct culvert_options *options, struct culvert **out)
{
	static const struct culvert_options defaults;
	const struct culvert_options *o = options ? options : &defaults;
	struct culvert *c = calloc(1, sizeof(*c));
	struct clv_client_params cp = {
		.tunnels_max = o->tunnels_max ? o->tunnels_max : TUNNELS_MAX,
		.remotes_max = o->remotes_max ? o->remotes_max : REMOTES_MAX,
		.keepalive_ns = KEEPALIVE_NS,
		.answer_ns = (o->answer_timeout_sec ? o->answer_timeout_sec : ANSWER_TIMEOUT_SEC) *
			     CLV_SEC,
		.on_new_remote = on_new_remote,
		.on_reflected = net_reflected,
		.user = c,
	};
	int err = -ENOMEM;

	if (!are_in_range(o)) {
		free(c);
		return CULVERT_ERANGE;
	}
	if (!c)
		return -ENOMEM;
	c->pace.p = (struct clv_pace_params){
		.spin_ns = o->spin_usec * USEC_NS,
		.spin_per_sec = SPIN_PER_SEC,
	};
	if (!__atomic_load_n(&level_is_set, __ATOMIC_RELAXED))
		culvert_log_level(CULVERT_LOG_ERROR);
	c->peer_fd = -1;
	clv_rand_init(&c->rand, 0);
	c->remotes_max = cp.remotes_max;
	c->answer_ns = cp.answer_ns;
	c->receive_bytes = o->receive_bytes ? o->receive_bytes : RECEIVE_BYTES;
	if (c->receive_bytes < RECEIVE_BYTES_MIN)
		c->receive_bytes = RECEIVE_BYTES_MIN;
	c->events = clv_mailbox_new(c->receive_bytes, -1);
	if (c->events)
		err = clv_client_open(&cp, &c->client);
	if (err) {
		clv_mailbox_free(c->events);
		free(c);
		return err;
	}
	*out = c;
	return 0;
}

void culvert_close(struct culvert *c)
{
	struct culvert_event skipped;

	if (!c)
		return;
	c->is_closing = true;
	while (!LIST_EMPTY(&c->peers))
		culvert_peer_close(LIST_FIRST(&c->peers));
	nodes_step(c); /* their goodbye, while there are tunnels */
	while (!LIST_EMPTY(&c->sessions))
		culvert_session_close(LIST_FIRST(&c->sessions));
	clv_client_stop(c->client, clv_clock_now_ns());
	for (int i = 0; i < STEPS_PER_TURN && !clv_client_is_stopped(c->client); i++)
		clv_client_step(c->client, clv_clock_now_ns());
	nodes_fini(c);
	direct_close(c);
	clv_client_close(c->client); /* also ends and frees the remaining sessions */
	while (culvert_next_event(c, &skipped))
		; /* releases closed objects that queued events refer to */
	clv_mailbox_free(c->events);
	free(c);
}

int culvert_fd(const struct culvert *c)
{
	return clv_client_fd(c->client);
}

/* ---- the step ---- */

/* Returns whether there is nothing to do now, and then sets next_ns. */
static bool step_once(struct culvert *c)
{
	uint64_t next_ns, pause_ns;
	unsigned work;

	c->now_ns = clv_clock_now_ns();
	sessions_step(c);
	peers_step(c);
	direct_step(c);
	nodes_step(c);
	work = clv_client_step(c->client, c->now_ns);
	c->is_spinning = clv_pace_next(&c->pace, work, c->now_ns, &pause_ns) == CLV_PACE_STEP;
	if (work || !clv_client_may_sleep(c->client))
		return false;
	c->next_ns = clv_client_next_ns(c->client);
	next_ns = sessions_next_ns(c);
	if (next_ns < c->next_ns)
		c->next_ns = next_ns;
	next_ns = nodes_next_ns(c);
	if (direct_next_ns(c) < next_ns)
		next_ns = direct_next_ns(c);
	if (peers_next_ns(c) < next_ns)
		next_ns = peers_next_ns(c);
	if (next_ns < c->next_ns)
		c->next_ns = next_ns;
	return true;
}

void culvert_step(struct culvert *c)
{
	events_give_back(c);
	if (c->is_spinning)
		sched_yield(); /* let other threads run first */
	c->sends = 0;
	c->next_ns = 0;
	for (int i = 0; i < STEPS_PER_TURN; i++)
		if (step_once(c))
			return;
}

uint64_t culvert_deadline_ns(const struct culvert *c)
{
	return c->events_len || c->is_spinning ? 0 : c->next_ns;
}

int culvert_timeout_msec(const struct culvert *c)
{
	uint64_t at_ns = culvert_deadline_ns(c), now_ns, msec;

	if (at_ns == UINT64_MAX)
		return -1;
	now_ns = clv_clock_now_ns();
	if (at_ns <= now_ns)
		return 0;
	msec = (at_ns - now_ns) / CLV_MSEC + 1;
	return msec > INT32_MAX ? INT32_MAX : (int)msec;
}

void culvert_stats(const struct culvert *c, struct culvert_stats *out)
{
	const struct clv_worker_counters *n = clv_client_counters(c->client);

	*out = (struct culvert_stats){
		.received_dropped = c->received_dropped,
		.packets_in = clv_count_read(n, CLV_COUNT_RX_PEER),
		.packets_out = clv_count_read(n, CLV_COUNT_TX_PEER),
		.spins = c->pace.spins,
		.spins_useful = c->pace.spins_useful,
	};
}

bool culvert_drop(const struct culvert *c, unsigned index, struct culvert_drop *out)
{
	for (unsigned i = 0; i < CLV_COUNTER_MAX; i++) {
		enum clv_counter which = (enum clv_counter)i;
		uint64_t count = clv_client_count(c->client, which);

		if (!count || clv_counter_class(which) != CLV_CLASS_DROP || index-- > 0)
			continue;
		*out = (struct culvert_drop){
			.reason = clv_counter_reason(which),
			.meaning = clv_counter_help(which),
			.count = count,
		};
		return true;
	}
	return false;
}
