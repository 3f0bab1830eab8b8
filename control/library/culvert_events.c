/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/library/culvert_state.h"

#include <errno.h>
#include <string.h>

enum {
	UDP_PAYLOAD_MAX = 65527,
};

/* ---- objects ---- */

/* The innermost object that the event names. */
static struct object *subject_of(struct culvert *c, const struct culvert_event *e)
{
	if (e->peer)
		return &e->peer->object;
	if (e->listen)
		return &e->listen->object;
	if (!e->session)
		return &c->object;
	if (e->tunnel)
		return &e->tunnel->object;
	if (e->forward)
		return &e->forward->object;
	if (e->bound)
		return &e->bound->object;
	return &e->session->object;
}

static void release_if_unused(struct object *object)
{
	if (object->is_closed && !object->events)
		object->release(object);
}

void object_close(struct object *object)
{
	object->is_closed = true;
	release_if_unused(object);
}

/* ---- writing ---- */

/* Memory that a queued datagram is charged for: also an empty one takes some. */
static size_t cost_of(size_t payload_len)
{
	return sizeof(struct culvert_event) + payload_len;
}

void emit_event(struct culvert *c, const struct culvert_event *e, const void *tail, size_t len)
{
	struct object *subject = subject_of(c, e);

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

void emit_refusal(struct culvert *c, struct culvert_event *e,
		  const struct clv_client_result *result)
{
	const char *detail = result ? result->proxy.details : "";

	e->status = result ? result->status : 0;
	emit_event(c, e, detail, strlen(detail) + 1);
}

/* ---- reading ---- */

/* What follows the event in its record depends on its type. */
static void set_tail(struct culvert_event *e, const void *tail, size_t len)
{
	e->detail = "";
	if (e->type == CULVERT_DATAGRAM) {
		e->payload = tail;
		e->payload_len = len;
	} else if (e->type == CULVERT_BOUND_OPEN) {
		e->addresses = tail;
		e->addresses_len = len / sizeof(*e->addresses);
	} else if (e->type == CULVERT_NET_REPORT) {
		e->report = tail;
		e->answers = (const void *)(e->report + 1);
		e->answers_len = (len - sizeof(*e->report)) / sizeof(*e->answers);
	} else if (len) {
		e->detail = tail;
	}
}

void events_give_back(struct culvert *c)
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

	for (;;) {
		events_give_back(c);
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
		subject = subject_of(c, &e);
		subject->events--;
		if (!subject->is_closed) {
			*out = e;
			return true;
		}
		release_if_unused(subject);
	}
}

/* ---- the next step ---- */

void wake_now(struct culvert *c)
{
	c->next_ns = 0;
}

int may_send(struct culvert_session *s, size_t len)
{
	struct culvert *c = s->c;
	/* Capsules are limited only by UDP itself. */
	size_t max = s->capsules || !s->payload_max ? UDP_PAYLOAD_MAX : s->payload_max;

	if (len > max)
		return -EMSGSIZE;
	if (c->sends >= CULVERT_SENDS_MAX || clv_client_is_backlogged(c->client))
		return -EAGAIN;
	c->sends++;
	wake_now(c);
	return 0;
}
