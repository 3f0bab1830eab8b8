/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * h3_pipe - two HTTP/3 ends joined by arrays instead of QUIC streams.
 *
 * It behaves as QUIC does: bytes in order, a half that is finished or reset takes no more,
 * STOP_SENDING is answered with RESET_STREAM, a stream is closed at both ends when both halves are done.
 */
#ifndef CLV_TEST_HTTP_H3_PIPE_H
#define CLV_TEST_HTTP_H3_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/http/h3.h"

enum {
	PIPE_CLIENT = 0,
	PIPE_SERVER = 1,
	PIPE_STREAMS = 256,
	PIPE_LOG = 1024,
	PIPE_LIMIT_SEC = 10,
};

struct pipe_event;
struct pipe;

struct pipe_end {
	struct pipe *pipe;
	int side;
	struct clv_h3 *h3;		/* made by pipe_make */
	struct pipe_event *head, *tail; /* in flight to the other end */
	int64_t next_bidi, next_uni;
	bool hold_acks;		     /* the other end's acknowledgements are lost */
	bool write_fails;	     /* no memory */
	bool hold_control;	     /* our control and QPACK streams do not get through yet */
	uint64_t received, consumed; /* bytes handed to the h3, and bytes it gave credit for */
	bool closed;
	uint64_t close_code;
	char log[PIPE_LOG]; /* "reset ID CODE;stop ID CODE;" in hexadecimal, as this end asked */
};

struct pipe {
	struct pipe_end end[2];
	size_t chunk; /* most bytes of one delivery */
	uint64_t now_ns;
	struct clv_deadlines deadlines; /* of the server's requests: PIPE_LIMIT_SEC */
	struct {
		bool used, done[2], closed;
	} streams[PIPE_STREAMS]; /* by ID */
};

void pipe_init(struct pipe *p, size_t chunk);
void pipe_fini(struct pipe *p);
/* The HTTP/3 connection of one end, still to be started.  Freed by what takes its events. */
struct clv_http *pipe_make(struct pipe *p, int side, bool quic_datagrams, uint32_t streams_max,
			   struct clv_rand *rand);
/* Deliver everything both ways until nothing moves. */
void pipe_run(struct pipe *p);
/* Let time pass for the server. */
void pipe_wait(struct pipe *p, uint64_t duration_ns);
/* Send GOAWAY, which our ends receive but never send by themselves. */
void pipe_goaway(struct clv_h3 *h);
/* Put raw bytes into a stream as if the end had sent them. */
void pipe_inject(struct pipe_end *e, int64_t id, const void *data, size_t len, bool fin);

#endif
