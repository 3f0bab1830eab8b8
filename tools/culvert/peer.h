/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * peer - a client on a libuv loop: finds the relay, keeps a session with it, forwards a local port.
 *
 * Order: 1. open  2. run, until it is told to stop or gives up  3. close
 * Threading: one thread.
 */
#ifndef CULVERT_PEER_H
#define CULVERT_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "control/peer/bindpoint.h"
#include "control/peer/client.h"
#include "control/peer/forward.h"
#include "tools/culvert/options.h"

enum {
	PEER_ADDRESSES_MAX = 8, /* of the relay's name */
};

struct peer {
	const struct culvert_options *options;
	uv_loop_t loop;
	uv_poll_t poll;
	uv_timer_t timer, retry;
	uv_idle_t busy;
	uv_signal_t term, interrupt;
	struct clv_client *client;
	struct clv_forward *forward;	 /* of forward and ping */
	struct clv_bindpoint *bindpoint; /* of bind; takes */
	struct clv_tls_context *tls;
	struct clv_relay_session *session;
	struct clv_endpoint addresses[PEER_ADDRESSES_MAX];
	unsigned addresses_len, address; /* in use */
	struct clv_endpoint listen;	 /* bound */
	char authority[300];
	bool was_up, stopping;
	unsigned retries;
	uint64_t reconnects;
	int exit_code;
	uint32_t max_payload;
	/* The session is up; called once for each time. */
	void (*on_up)(struct peer *p);
	/* A tunnel was refused: what the exit code would be. */
	void (*on_refused)(struct peer *p, int exit_code);
	void *user;
};

/* Resolve, open sockets and certificates.  Returns 0, or an exit code after saying why on stderr. */
int peer_open(struct peer *p, const struct culvert_options *o);
/* Returns the exit code. */
int peer_run(struct peer *p);
void peer_stop(struct peer *p, int exit_code);
void peer_close(struct peer *p);

#endif
