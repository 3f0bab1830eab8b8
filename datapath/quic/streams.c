/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/quic/streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct chunk {
	struct chunk *next;
	size_t len;
	uint8_t bytes[];
};

enum { BUCKETS_MIN = 8 };

enum place { NOWHERE = 0, IN_READY, IN_UNOPENED };

struct clv_stream {
	struct clv_stream *chain;	/* of its bucket */
	struct clv_stream *next, *prev; /* of the queue it is in */
	int64_t id;
	struct chunk *head, *tail; /* from the first byte that is not acknowledged */
	size_t head_acked;	   /* bytes of head the peer has */
	struct chunk *send_chunk;  /* where sending goes on; NULL: nothing to send */
	size_t send_offset;	   /* in send_chunk */
	uint8_t place;		   /* enum place */
	bool fin, fin_sent;
	bool blocked; /* by the peer's flow control */
};

/* ---- queues ---- */

static struct clv_stream_queue *queue_of(struct clv_streams *ss, enum place place)
{
	return place == IN_READY ? &ss->ready : &ss->unopened;
}

static void leave(struct clv_streams *ss, struct clv_stream *s)
{
	struct clv_stream_queue *q = queue_of(ss, s->place);

	if (s->place == NOWHERE)
		return;
	if (s->prev)
		s->prev->next = s->next;
	else
		q->head = s->next;
	if (s->next)
		s->next->prev = s->prev;
	else
		q->tail = s->prev;
	s->next = s->prev = NULL;
	s->place = NOWHERE;
}

static void join(struct clv_streams *ss, struct clv_stream *s, enum place place)
{
	struct clv_stream_queue *q = queue_of(ss, place);

	s->prev = q->tail;
	if (q->tail)
		q->tail->next = s;
	else
		q->head = s;
	q->tail = s;
	s->place = (uint8_t)place;
}

/* ---- the table ---- */

/* IDs of one kind are numbered without gaps: their low bits spread them well enough. */
static struct clv_stream **bucket(const struct clv_streams *ss, int64_t id)
{
	return &ss->buckets[((uint64_t)id >> 2 ^ (uint64_t)id << 3) & (ss->buckets_len - 1)];
}

static struct clv_stream *find(const struct clv_streams *ss, int64_t id)
{
	struct clv_stream *s = ss->buckets_len ? *bucket(ss, id) : NULL;

	while (s && s->id != id)
		s = s->chain;
	return s;
}

static int grow(struct clv_streams *ss)
{
	struct clv_streams bigger = {
		.buckets_len = ss->buckets_len ? 2 * ss->buckets_len : BUCKETS_MIN,
	};

	bigger.buckets = calloc(bigger.buckets_len, sizeof(struct clv_stream *));
	if (!bigger.buckets)
		return -ENOMEM;
	for (size_t i = 0; i < ss->buckets_len; i++) {
		struct clv_stream *s = ss->buckets[i], *next;

		for (; s; s = next) {
			next = s->chain;
			s->chain = *bucket(&bigger, s->id);
			*bucket(&bigger, s->id) = s;
		}
	}
	free(ss->buckets);
	ss->buckets = bigger.buckets;
	ss->buckets_len = bigger.buckets_len;
	return 0;
}

static struct clv_stream *find_or_add(struct clv_streams *ss, int64_t id)
{
	struct clv_stream *s = find(ss, id);

	if (s)
		return s;
	if (ss->count == ss->buckets_len && grow(ss))
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->id = id;
	s->chain = *bucket(ss, id);
	*bucket(ss, id) = s;
	ss->count++;
	return s;
}

static void let_go(struct clv_streams *ss, uint64_t len)
{
	ss->backlog -= len;
	clv_budget_give(ss->holder, len);
}

static void drop_head_chunk(struct clv_stream *s)
{
	struct chunk *c = s->head;

	s->head = c->next;
	if (!s->head)
		s->tail = NULL;
	s->head_acked = 0;
	free(c);
}

static void free_stream(struct clv_streams *ss, struct clv_stream *s)
{
	struct clv_stream **at = bucket(ss, s->id);

	while (*at != s)
		at = &(*at)->chain;
	*at = s->chain;
	ss->count--;
	leave(ss, s);
	while (s->head) {
		let_go(ss, s->head->len - s->head_acked);
		drop_head_chunk(s);
	}
	free(s);
}

static bool has_output(const struct clv_stream *s)
{
	return s->send_chunk || (s->fin && !s->fin_sent);
}

/* Something about it changed: queue it to send, take it out of the queue, or free it. */
static void update_place(struct clv_streams *ss, struct clv_stream *s)
{
	if (s->place == IN_UNOPENED)
		return;
	if (!s->head && !has_output(s)) {
		free_stream(ss, s);
		return;
	}
	if (s->place == NOWHERE && has_output(s) && !s->blocked)
		join(ss, s, IN_READY);
	else if (s->place == IN_READY && (!has_output(s) || s->blocked))
		leave(ss, s);
}

void clv_streams_fini(struct clv_streams *ss)
{
	for (size_t i = 0; i < ss->buckets_len; i++)
		while (ss->buckets[i])
			free_stream(ss, ss->buckets[i]);
	free(ss->buckets);
	ss->buckets = NULL;
	ss->buckets_len = 0;
}

int clv_streams_write(struct clv_streams *ss, int64_t id, const uint8_t *data, size_t len, bool fin)
{
	struct clv_stream *s = find_or_add(ss, id);
	struct chunk *c;

	if (!s)
		return -ENOMEM;
	if (len) {
		c = malloc(sizeof(*c) + len);
		if (!c) {
			update_place(ss, s);
			return -ENOMEM;
		}
		c->next = NULL;
		c->len = len;
		memcpy(c->bytes, data, len);
		if (s->tail)
			s->tail->next = c;
		else
			s->head = c;
		s->tail = c;
		if (!s->send_chunk) {
			s->send_chunk = c;
			s->send_offset = 0;
		}
		ss->backlog += len;
		clv_budget_charge(ss->holder, len);
	}
	s->fin |= fin;
	update_place(ss, s);
	return 0;
}

/* Returns whether the stream is open now. */
static bool try_open(ngtcp2_conn *qc, struct clv_stream *s)
{
	int64_t got = -1;
	int rv = s->id & 2 ? ngtcp2_conn_open_uni_stream(qc, &got, NULL)
			   : ngtcp2_conn_open_bidi_stream(qc, &got, NULL);

	return rv == 0 && got == s->id;
}

int clv_streams_open(struct clv_streams *ss, ngtcp2_conn *qc, int64_t id)
{
	struct clv_stream *s = find_or_add(ss, id);

	if (!s)
		return -ENOMEM;
	leave(ss, s);
	join(ss, s, IN_UNOPENED);
	clv_streams_retry_open(ss, qc);
	return 0;
}

void clv_streams_retry_open(struct clv_streams *ss, ngtcp2_conn *qc)
{
	bool stuck[2] = { false, false }; /* bidirectional, unidirectional: IDs go out in order */
	struct clv_stream *s = ss->unopened.head, *next;

	for (; s && !(stuck[0] && stuck[1]); s = next) {
		int kind = s->id & 2 ? 1 : 0;

		next = s->next;
		if (stuck[kind])
			continue;
		if (!try_open(qc, s)) {
			stuck[kind] = true;
			continue;
		}
		leave(ss, s);
		update_place(ss, s);
	}
}

int clv_streams_next(struct clv_streams *ss, int64_t *id, ngtcp2_vec *vec, int max, bool *fin)
{
	const struct clv_stream *s = ss->ready.head;
	struct chunk *c;
	size_t offset;
	int n = 0;

	if (!s)
		return -1;
	offset = s->send_offset;
	for (c = s->send_chunk; c && n < max; c = c->next, offset = 0) {
		vec[n].base = c->bytes + offset;
		vec[n].len = c->len - offset;
		n++;
	}
	*id = s->id;
	*fin = s->fin && !c;
	return n;
}

void clv_streams_sent(struct clv_streams *ss, int64_t id, size_t len, bool fin)
{
	struct clv_stream *s = find(ss, id);

	if (!s)
		return;
	while (s->send_chunk && len >= s->send_chunk->len - s->send_offset) {
		len -= s->send_chunk->len - s->send_offset;
		s->send_chunk = s->send_chunk->next;
		s->send_offset = 0;
	}
	s->send_offset += len;
	if (fin && !s->send_chunk)
		s->fin_sent = true;
	leave(ss, s); /* and to the end of the queue, if there is more */
	update_place(ss, s);
}

void clv_streams_block(struct clv_streams *ss, int64_t id)
{
	struct clv_stream *s = find(ss, id);

	if (!s)
		return;
	s->blocked = true;
	update_place(ss, s);
}

void clv_streams_unblock(struct clv_streams *ss, int64_t id)
{
	struct clv_stream *s = find(ss, id);

	if (!s)
		return;
	s->blocked = false;
	update_place(ss, s);
}

void clv_streams_acked(struct clv_streams *ss, int64_t id, uint64_t len)
{
	struct clv_stream *s = find(ss, id);

	while (s && s->head && len) {
		size_t left = s->head->len - s->head_acked;

		if (len < left) {
			s->head_acked += len;
			let_go(ss, len);
			return;
		}
		len -= left;
		let_go(ss, left);
		if (s->send_chunk == s->head) { /* an ack never runs ahead of sending */
			s->send_chunk = s->head->next;
			s->send_offset = 0;
		}
		drop_head_chunk(s);
	}
	if (s)
		update_place(ss, s);
}

void clv_streams_drop(struct clv_streams *ss, int64_t id)
{
	struct clv_stream *s = find(ss, id);

	if (s)
		free_stream(ss, s);
}
