/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/library/culvert.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/library/culvert_state.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"

enum {
	STEPS_PER_TURN = 64, /* then the caller's loop has its turn */
	TUNNELS_MAX = 1024,
	REMOTES_MAX = 1024,
	RECEIVE_BYTES = 4 << 20,
	ANSWER_SEC = 15,
	ANSWER_MAX_SEC = 3600,
	UDP_PAYLOAD_MAX = 65527,
	RECEIVE_BYTES_MIN = 1 << 20, /* room for the largest datagram in a quarter of the ring */
	LOOK_MAX_USEC = 10000,
	OBJECTS_CEILING = 1 << 20, /* that tunnels_max and remotes_max may ask for */
	RECEIVE_BYTES_CEILING = 1 << 30,
	LOOK_PER_SEC = 15000, /* where more comes, looking on only costs */
};

#define KEEPALIVE_NS (20 * CLV_SEC)
#define USEC_NS	     UINT64_C(1000)

#define SAME(name) _Static_assert((int)CULVERT_##name == (int)CLV_##name, #name)
SAME(EPROTO);
SAME(ERANGE);
SAME(ESYNTAX);
SAME(EFULL);
SAME(EDENIED);
SAME(EUNROUTABLE);
SAME(ENONAME);
SAME(ENAMETIME);
SAME(ETLS);
SAME(EQUIC);
SAME(EHTTP);
SAME(EUNTRUSTED);
SAME(ECLASSICAL);
SAME(ECLOSED);
SAME(ETIMEOUT);
SAME(LOG_ERROR);
SAME(LOG_DEBUG);
_Static_assert(CULVERT_ADDRESS_TEXT == (int)CLV_ADDR_TEXT_MAX, "room for an address");

const char *culvert_strerror(int error)
{
	return clv_strerror(error);
}

const char *culvert_version(void)
{
	return CLV_VERSION;
}

/* ---- addresses ---- */

void api_address(const struct clv_endpoint *ep, union culvert_address *out)
{
	struct sockaddr_storage sa;
	socklen_t len = clv_endpoint_to_sockaddr(ep, false, &sa);

	memset(out, 0, sizeof(*out));
	memcpy(out, &sa, len);
}

int culvert_address_parse(const char *text, union culvert_address *out)
{
	struct clv_endpoint ep;
	int err = clv_endpoint_parse(text, &ep);

	if (!err)
		api_address(&ep, out);
	return err;
}

const char *culvert_address_format(const union culvert_address *address,
				   char buf[CULVERT_ADDRESS_TEXT])
{
	struct clv_endpoint ep;

	if (clv_endpoint_from_sockaddr(&address->sa, &ep)) {
		strcpy(buf, "none");
		return buf;
	}
	return clv_endpoint_format(&ep, buf, CULVERT_ADDRESS_TEXT);
}

/* ---- what else is given as text ---- */

int culvert_host_parse(const char *text, char host[CULVERT_HOST_TEXT], uint16_t *port)
{
	const char *colon = strrchr(text, ':'), *begin = text, *end = colon;
	unsigned long number;
	char *rest;

	if (!colon)
		return CULVERT_ESYNTAX;
	if (*text == '[') {
		begin = text + 1;
		end = colon - 1;
		if (*end != ']')
			return CULVERT_ESYNTAX;
	} else if (memchr(text, ':', (size_t)(colon - text))) {
		return CULVERT_ESYNTAX; /* an IPv6 address wants brackets */
	}
	if (end <= begin || end - begin >= CULVERT_HOST_TEXT)
		return CULVERT_ESYNTAX;
	number = strtoul(colon + 1, &rest, 10);
	if (colon[1] < '0' || colon[1] > '9' || *rest)
		return CULVERT_ESYNTAX;
	if (number > UINT16_MAX)
		return CULVERT_ERANGE;
	memcpy(host, begin, (size_t)(end - begin));
	host[end - begin] = '\0';
	*port = (uint16_t)number;
	return 0;
}

int culvert_pin_parse(const char *text, uint8_t sha256[CULVERT_PIN_LEN])
{
	static const char prefix[] = "sha256:";

	if (!strncmp(text, prefix, sizeof(prefix) - 1))
		text += sizeof(prefix) - 1;
	if (strlen(text) != 2 * CULVERT_PIN_LEN ||
	    strspn(text, "0123456789abcdefABCDEF") != 2 * CULVERT_PIN_LEN)
		return CULVERT_ESYNTAX;
	for (int i = 0; i < CULVERT_PIN_LEN; i++)
		sscanf(text + 2 * i, "%2hhx", &sha256[i]);
	return 0;
}

/* ---- small things ---- */

static bool level_is_set;

void culvert_log_level(enum culvert_log level)
{
	__atomic_store_n(&level_is_set, true, __ATOMIC_RELAXED);
	clv_log_set_level((enum clv_log_level)level);
}

int api_fail(struct culvert *c, int error, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(c->why, sizeof(c->why), fmt, args);
	va_end(args);
	return error;
}

const char *culvert_why(const struct culvert *c)
{
	return c->why;
}

int api_may_send(struct culvert_session *s, size_t len)
{
	struct culvert *c = s->c;
	/* capsules have no such bound but UDP's own */
	size_t max = s->capsules || !s->payload_max ? UDP_PAYLOAD_MAX : s->payload_max;

	if (len > max)
		return -EMSGSIZE;
	if (c->sends >= CULVERT_SENDS_MAX || clv_client_is_backlogged(c->client))
		return -EAGAIN;
	c->sends++;
	api_hurry(c);
	return 0;
}

void api_hurry(struct culvert *c)
{
	c->next_ns = 0;
}

int api_parse(struct culvert *c, const char *what, const char *text, struct target *out)
{
	int err = text ? culvert_host_parse(text, out->host, &out->port) : CULVERT_ESYNTAX;

	if (!err)
		return 0;
	return api_fail(c, CULVERT_ESYNTAX, "%s is not HOST:PORT, IPv6 in brackets: %s", what,
			text ? text : "nothing given");
}

/* ---- events ---- */

/* What an event is about: the innermost object it names. */
static struct object *subject_of(const struct culvert_event *e)
{
	if (e->tunnel)
		return &e->tunnel->object;
	if (e->forward)
		return &e->forward->object;
	if (e->bound)
		return &e->bound->object;
	return &e->session->object;
}

static void release(const struct culvert_event *e)
{
	if (e->tunnel)
		api_tunnel_release(e->tunnel);
	else if (e->forward)
		api_forward_release(e->forward);
	else if (e->bound)
		api_bound_release(e->bound);
	else
		api_session_release(e->session);
}

/* An empty datagram takes memory too. */
static size_t cost_of(size_t payload_len)
{
	return sizeof(struct culvert_event) + payload_len;
}

void api_tell(struct culvert *c, const struct culvert_event *e, const void *tail, size_t len)
{
	struct object *subject = subject_of(e);

	if (subject->is_closed || c->is_closing)
		return;
	if (e->type == CULVERT_DATAGRAM && c->waiting_bytes + cost_of(len) > c->receive_bytes) {
		c->received_dropped++;
		return;
	}
	if (clv_mailbox_send(c->events, e->type, e, sizeof(*e), tail, len)) {
		c->received_dropped += e->type == CULVERT_DATAGRAM;
		return;
	}
	if (e->type == CULVERT_DATAGRAM)
		c->waiting_bytes += cost_of(len);
	subject->events++;
	c->events_len++;
}

void api_tell_refusal(struct culvert *c, struct culvert_event *e,
		      const struct clv_client_result *result)
{
	const char *detail = result ? result->proxy.details : "";

	e->status = result ? result->status : 0;
	api_tell(c, e, detail, strlen(detail) + 1);
}

/* What its tail is depends on the event. */
static void set_tail(struct culvert_event *e, const void *tail, size_t len)
{
	e->detail = "";
	if (e->type == CULVERT_DATAGRAM) {
		e->payload = tail;
		e->payload_len = len;
	} else if (e->type == CULVERT_BOUND_OPEN) {
		e->addresses = tail;
		e->addresses_len = len / sizeof(*e->addresses);
	} else if (len) {
		e->detail = tail;
	}
}

static void give_back(struct culvert *c)
{
	if (c->is_lending)
		clv_mailbox_release(c->events);
	c->is_lending = false;
}

bool culvert_next_event(struct culvert *c, struct culvert_event *out)
{
	struct clv_record r;
	struct culvert_event e;
	struct object *subject;
	const uint8_t *tail;
	bool is_closed;

	for (;;) {
		give_back(c);
		clv_mailbox_flush(c->events);
		if (!clv_mailbox_peek(c->events, &r))
			return false;
		c->is_lending = true;
		c->events_len--;
		memcpy(&e, r.body, sizeof(e));
		tail = (const uint8_t *)r.body + sizeof(e);
		set_tail(&e, tail, r.len - sizeof(e));
		if (e.type == CULVERT_DATAGRAM)
			c->waiting_bytes -= cost_of(e.payload_len);
		subject = subject_of(&e);
		is_closed = subject->is_closed;
		subject->events--;
		if (is_closed) {
			release(&e);
			continue;
		}
		*out = e;
		return true;
	}
}

/* ---- life ---- */

static void on_new_remote(void *user, const struct clv_evt_remote *evt, const uint8_t *payload,
			  size_t len)
{
	struct culvert *c = user;
	struct culvert_session *s = c->sessions;

	while (s && !api_forwards_new_remote(s, evt, payload, len) &&
	       !api_bounds_new_remote(s, evt, payload, len))
		s = s->next;
}

static bool are_in_range(const struct culvert_options *o)
{
	return o->tunnels_max <= OBJECTS_CEILING && o->remotes_max <= OBJECTS_CEILING &&
	       o->receive_bytes <= RECEIVE_BYTES_CEILING && o->look_usec <= LOOK_MAX_USEC &&
	       o->answer_sec <= ANSWER_MAX_SEC;
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
		.answer_ns = (o->answer_sec ? o->answer_sec : ANSWER_SEC) * CLV_SEC,
		.on_new_remote = on_new_remote,
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
		.look_ns = o->look_usec * USEC_NS,
		.look_per_sec = LOOK_PER_SEC,
	};
	if (!__atomic_load_n(&level_is_set, __ATOMIC_RELAXED))
		culvert_log_level(CULVERT_LOG_ERROR);
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
	while (c->sessions)
		culvert_session_close(c->sessions);
	clv_client_stop(c->client, clv_clock_now_ns());
	for (int i = 0; i < STEPS_PER_TURN && !clv_client_is_stopped(c->client); i++)
		clv_client_step(c->client, clv_clock_now_ns());
	clv_client_close(c->client); /* and with it what is left of sessions: their memory too */
	while (culvert_next_event(c, &skipped))
		; /* the last that kept closed objects alive */
	clv_mailbox_free(c->events);
	free(c);
}

int culvert_fd(const struct culvert *c)
{
	return clv_client_fd(c->client);
}

/* ---- the step ---- */

/* Whether there is nothing to do now; if so, when there will be. */
static bool step_once(struct culvert *c)
{
	uint64_t next_ns, pause_ns;
	unsigned work;

	c->now_ns = clv_clock_now_ns();
	api_sessions_step(c);
	work = clv_client_step(c->client, c->now_ns);
	c->is_looking = clv_pace_next(&c->pace, work, c->now_ns, &pause_ns) == CLV_PACE_STEP;
	if (work || !clv_client_may_sleep(c->client))
		return false;
	c->next_ns = clv_client_next_ns(c->client);
	next_ns = api_sessions_next_ns(c);
	if (next_ns < c->next_ns)
		c->next_ns = next_ns;
	return true;
}

void culvert_step(struct culvert *c)
{
	give_back(c);
	if (c->is_looking)
		sched_yield(); /* who else has something to do goes first */
	c->sends = 0;
	c->next_ns = 0;
	for (int i = 0; i < STEPS_PER_TURN; i++)
		if (step_once(c))
			return;
}

uint64_t culvert_deadline_ns(const struct culvert *c)
{
	return c->events_len || c->is_looking ? 0 : c->next_ns;
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
	const struct clv_counters *n = clv_client_counters(c->client);

	*out = (struct culvert_stats){
		.received_dropped = c->received_dropped,
		.packets_in = n->slot[CLV_COUNT_RX_PEER],
		.packets_out = n->slot[CLV_COUNT_TX_PEER],
		.looks = c->pace.looks,
		.looks_found = c->pace.looks_found,
	};
}

bool culvert_drop(const struct culvert *c, unsigned index, struct culvert_drop *out)
{
	static const char prefix[] = "drop_";

	for (unsigned i = 0; i < CLV_COUNTER_MAX; i++) {
		enum clv_counter which = (enum clv_counter)i;
		const char *name = clv_counter_name(which);
		uint64_t count = clv_client_count(c->client, which);

		if (!count || strncmp(name, prefix, sizeof(prefix) - 1) || index-- > 0)
			continue;
		*out = (struct culvert_drop){
			.reason = name + sizeof(prefix) - 1,
			.meaning = clv_counter_help(which),
			.count = count,
		};
		return true;
	}
	return false;
}
