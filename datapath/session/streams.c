/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/session/streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct chunk {
	struct chunk *next;
	size_t len;
	uint8_t bytes[];
};

struct clv_stream {
	struct clv_stream *next;
	int64_t id;
	struct chunk *head, *tail; /* from the first byte that is not acknowledged */
	size_t head_acked;	   /* bytes of head the peer has */
	struct chunk *send_chunk;  /* where sending goes on; NULL: nothing to send */
	size_t send_offset;	   /* in send_chunk */
	bool fin, fin_sent;
	bool blocked;  /* by the peer's flow control */
	bool unopened; /* ours, waiting for the peer to allow another stream */
};

static struct clv_stream *find(const struct clv_streams *ss, int64_t id)
{
	struct clv_stream *s = ss->head;

	while (s && s->id != id)
		s = s->next;
	return s;
}

static struct clv_stream *find_or_add(struct clv_streams *ss, int64_t id)
{
	struct clv_stream **end = &ss->head, *s = find(ss, id);

	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->id = id;
	while (*end) /* in order, so that streams we open wait in the order of their IDs */
		end = &(*end)->next;
	*end = s;
	return s;
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
	while (s->head) {
		ss->backlog -= s->head->len - s->head_acked;
		drop_head_chunk(s);
	}
	free(s);
}

void clv_streams_fini(struct clv_streams *ss)
{
	while (ss->head) {
		struct clv_stream *s = ss->head;

		ss->head = s->next;
		free_stream(ss, s);
	}
	ss->cursor = NULL;
}

int clv_streams_write(struct clv_streams *ss, int64_t id, const uint8_t *data, size_t len, bool fin)
{
	struct clv_stream *s = find_or_add(ss, id);
	struct chunk *c;

	if (!s)
		return -ENOMEM;
	if (len) {
		c = malloc(sizeof(*c) + len);
		if (!c)
			return -ENOMEM;
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
	}
	s->fin |= fin;
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
	s->unopened = true;
	clv_streams_retry_open(ss, qc);
	return 0;
}

void clv_streams_retry_open(struct clv_streams *ss, ngtcp2_conn *qc)
{
	bool stuck[2] = { false, false }; /* bidirectional, unidirectional: IDs go out in order */

	for (struct clv_stream *s = ss->head; s; s = s->next) {
		int kind = s->id & 2 ? 1 : 0;

		if (!s->unopened || stuck[kind])
			continue;
		if (try_open(qc, s))
			s->unopened = false;
		else
			stuck[kind] = true;
	}
}

static bool has_output(const struct clv_stream *s)
{
	return !s->blocked && !s->unopened && (s->send_chunk || (s->fin && !s->fin_sent));
}

int clv_streams_next(struct clv_streams *ss, int64_t *id, ngtcp2_vec *vec, int max, bool *fin)
{
	struct clv_stream *s = ss->cursor ? ss->cursor : ss->head, *first = s;
	struct chunk *c;
	size_t offset;
	int n = 0;

	if (!s)
		return -1;
	while (!has_output(s)) {
		s = s->next ? s->next : ss->head;
		if (s == first)
			return -1;
	}
	ss->cursor = s;
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
	if (ss->cursor == s)
		ss->cursor = s->next; /* round robin; NULL starts over */
}

void clv_streams_block(struct clv_streams *ss, int64_t id)
{
	struct clv_stream *s = find(ss, id);

	if (s)
		s->blocked = true;
}

void clv_streams_unblock(struct clv_streams *ss, int64_t id)
{
	struct clv_stream *s = find(ss, id);

	if (s)
		s->blocked = false;
}

void clv_streams_acked(struct clv_streams *ss, int64_t id, uint64_t len)
{
	struct clv_stream *s = find(ss, id);

	while (s && s->head && len) {
		size_t left = s->head->len - s->head_acked;

		if (len < left) {
			s->head_acked += len;
			ss->backlog -= len;
			return;
		}
		len -= left;
		ss->backlog -= left;
		if (s->send_chunk == s->head) { /* an ack never runs ahead of sending */
			s->send_chunk = s->head->next;
			s->send_offset = 0;
		}
		drop_head_chunk(s);
	}
}

void clv_streams_drop(struct clv_streams *ss, int64_t id)
{
	struct clv_stream **at = &ss->head, *s;

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	s = *at;
	if (!s)
		return;
	*at = s->next;
	if (ss->cursor == s)
		ss->cursor = NULL;
	free_stream(ss, s);
}
