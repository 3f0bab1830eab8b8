/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * h3_internal - what the files of one HTTP/3 connection share.  Each uses only those below it:
 *
 *   h3.c         the connection: new, free, start, and the events of its transport
 *   h3_read.c    bytes of the peer, through nghttp3, become events
 *   h3_write.c   requests, responses and bodies, through nghttp3, become writes; stop and abort
 *   h3_stream.c  the table of request streams; closing the connection
 */
#ifndef CLV_HTTP_H3_INTERNAL_H
#define CLV_HTTP_H3_INTERNAL_H

#include <nghttp3/nghttp3.h>

#include "control/http/h3.h"
#include "datapath/base/counted_heap.h"
#include "datapath/base/table.h"

/* Body bytes between clv_http_send and the transport. */
struct clv_h3_chunk {
	struct clv_h3_chunk *next;
	size_t len;
	size_t done; /* bytes the transport has copied */
	uint8_t data[];
};

/* A header section while it comes in.  Texts are named by offset: the memory grows and moves. */
struct clv_h3_section {
	struct {
		size_t name, value, value_len;
	} fields[CLV_HTTP_FIELDS_MAX];
	size_t len;
	size_t counted; /* bytes as SETTINGS_MAX_FIELD_SECTION_SIZE counts them */
	bool too_large;
	char *text;
	size_t text_len, text_room;
};

struct clv_h3_stream {
	struct clv_http_stream http;
	struct clv_h3_stream *prev, *next;
	struct clv_h3_section *section; /* NULL when none is coming in */
	struct clv_h3_chunk *head, *tail;
	struct clv_h3_chunk *unread; /* first one nghttp3 has not seen */
	bool fin;		     /* no more will be sent */
	bool write_closed;	     /* our half is reset, or the peer wants no more */
	bool read_closed;	     /* nothing more is reported */
	bool is_unfinished;	     /* server: its first field section is not whole */
	bool is_refused;	     /* server: by on_begin */
	bool is_forgotten;	     /* reset, and nghttp3 knows nothing of it any more */
	struct clv_deadline answer_due;
};

struct clv_h3 {
	struct clv_http http; /* once is_closed, nghttp3 must not be called any more */
	nghttp3_conn *conn;
	struct clv_h3_params params;
	nghttp3_mem mem; /* over heap */
	struct clv_counted_heap heap;
	bool is_out_of_memory;	  /* heap refused some because of its limit */
	struct clv_table streams; /* id to struct clv_h3_stream */
	struct clv_h3_stream *first;
	uint64_t streams_granted;
	uint32_t unfinished; /* streams that are */
	struct clv_deadline settings_due;
	bool started;
	bool goaway_received;
	bool busy; /* inside nghttp3: what is to be sent waits until it returns */
};

_Static_assert(offsetof(struct clv_h3_stream, http) == 0 && offsetof(struct clv_h3, http) == 0,
	       "what http.h lends is cast back");

static inline struct clv_h3 *h3_of(struct clv_http *http)
{
	return (struct clv_h3 *)http;
}

static inline struct clv_h3_stream *h3_stream_of(struct clv_http_stream *s)
{
	return (struct clv_h3_stream *)s;
}

/* ---- h3_stream.c ---- */

/* NULL when there is none. */
struct clv_h3_stream *h3_find_stream(const struct clv_h3 *h, int64_t id);
/* NULL when there are streams_max, or no memory.  The time limit of a request starts. */
struct clv_h3_stream *h3_add_stream(struct clv_h3 *h, int64_t id);
void h3_remove_stream(struct clv_h3_stream *s);
/* The request is whole, or never will be. */
void h3_finish_stream(struct clv_h3_stream *s);
/* It has its response, or will have none: the time limit ends. */
void h3_settle_stream(struct clv_h3_stream *s);
/*
 * Reset both halves of a request that is not whole, and free what nghttp3 keeps of it.  Not from
 * inside of nghttp3.
 */
void h3_forget_stream(struct clv_h3_stream *s, uint64_t code);
/* Forget a header section that is coming in; none is fine. */
void h3_free_section(struct clv_h3_stream *s);
/* nghttp3 gave up on the connection: close it with the code that fits.  Returns CLV_EHTTP. */
int h3_fail(struct clv_h3 *h, int liberr);

/* ---- h3_write.c ---- */

/* Move everything nghttp3 has to send into the transport; inside of nghttp3 it is put off. */
void h3_flush(struct clv_h3 *h);
/* nghttp3 forgets what it keeps of the stream's input and drops what still comes. */
void h3_shutdown_read(struct clv_h3 *h, int64_t id);
void h3_set_write_callbacks(nghttp3_callbacks *callbacks);
/* The functions of http.h. */
int h3_request(struct clv_http *http, const struct clv_http_field *fields, size_t len,
	       struct clv_http_stream **out);
int h3_respond(struct clv_http_stream *stream, unsigned status, const struct clv_http_field *fields,
	       size_t len, bool end);
int h3_send(struct clv_http_stream *stream, const uint8_t *a, size_t a_len, const uint8_t *b,
	    size_t b_len, bool fin);
void h3_stop(struct clv_http_stream *stream, uint64_t code);
void h3_abort(struct clv_http_stream *stream, uint64_t code);

/* ---- h3_read.c ---- */

void h3_set_read_callbacks(nghttp3_callbacks *callbacks);

#endif
