/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relay_signal - the signal stream on a session with a relay: a signal_session over a request.
 *
 * It is opened by clv_relay_session_signal (relay_session.h).  Calls: relay_session > relay_signal >
 * signal_session, request.
 *
 * Threading: control.
 */
#ifndef CLV_PEER_RELAY_SIGNAL_H
#define CLV_PEER_RELAY_SIGNAL_H

#include "control/peer/request.h"
#include "control/peer/signal_session.h"

struct clv_relay_signal;

struct clv_relay_signal_params {
	/* send is not called, and may be NULL. */
	const struct clv_signal_session_ops *ops;
	/*
	 * The relay refused the stream (result: why), or it ended (result NULL).  Last call; after it,
	 * or clv_relay_signal_close, the object is gone.
	 */
	void (*on_closed)(void *user, int error, const struct clv_client_result *result);
	void *user;
	struct clv_signer *signer; /* borrows until it is gone; NULL: without an identity */
	struct clv_rand *rand;	   /* likewise */
	uint64_t (*wall_ms)(void); /* since 1970 */
};

/* Ask for the stream.  Returns 0 and fills *out, or an error of clv_client_request_signal. */
int clv_relay_signal_open(struct clv_client_requests *requests,
			  const struct clv_relay_signal_params *p, struct clv_relay_signal **out);
/* Its ops are not called again.  Not from inside of them. */
void clv_relay_signal_close(struct clv_relay_signal *r);

/* For publish, look_up, knock and answer; not before on_hello.  Lends. */
struct clv_signal_session *clv_relay_signal_session(struct clv_relay_signal *r);

void clv_relay_signal_step(struct clv_relay_signal *r, uint64_t now_ns);
uint64_t clv_relay_signal_next_ns(const struct clv_relay_signal *r);

/* Events of its request, see struct clv_client_request_ops. */
void clv_relay_signal_result(struct clv_relay_signal *r, const struct clv_client_result *result);
int clv_relay_signal_value(struct clv_relay_signal *r, uint64_t type, const uint8_t *value,
			   size_t len);
void clv_relay_signal_ended(struct clv_relay_signal *r, int err);

#endif
