/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * signal_stream - the signal stream of one client, from its request to its end: tell the client its
 * address, keep its record, answer its look-ups, carry knocks.
 *
 * Whoever may use the relay may have one, at most one on a connection.  Without an identity, proven by a
 * TLS certificate, it can look up others and learn its own address; to publish and to knock takes one,
 * and then only as that identity.
 *
 * Wire formats: signal.h, object.h.
 * Threading: control.
 */
#ifndef CLV_PROXY_SIGNAL_STREAM_H
#define CLV_PROXY_SIGNAL_STREAM_H

#include "control/proxy/gate.h"
#include "control/proxy/signals.h"
#include "control/proxy/state.h"

struct clv_signal_stream;

/*
 * Make the signal stream of a request, which is charged to the client already (clv_requests_charge), and
 * answer it now or later.  access: takes what it names.
 */
void clv_signal_begin(struct clv_requests *rs, struct clv_http_stream *s,
		      const struct clv_gate_access *access);
/* As those of connect_udp.h. */
void clv_signal_body(struct clv_signal_stream *ss, const uint8_t *data, size_t len);
void clv_signal_finish(struct clv_signal_stream *ss);
void clv_signal_abort(struct clv_signal_stream *ss, uint64_t code);
void clv_signal_end(struct clv_signal_stream *ss);
void clv_signal_overdue(struct clv_signal_stream *ss);
void clv_signal_access_changed(struct clv_requests *rs, bool is_admitted);

/* The client has another address: tell it. */
void clv_signal_moved(struct clv_requests *rs);

/* Knocks that nobody answered in time. */
void clv_signal_expire(struct clv_signals *all, struct clv_counters *counters, uint64_t now_ns);

#endif
