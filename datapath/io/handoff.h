/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * handoff - pass received datagrams to the worker that owns their connection or tunnel.
 *
 * One ring for each ordered pair of workers, so each has one sender and one receiver.  Lossy: a
 * full ring drops, counted, as a full receive queue of a NIC would.
 *
 * Order: sender: 1. send, any number  2. flush, at the end of its step.
 *        owner:  1. peek  2. use  3. release, until peek returns false; may_sleep before it sleeps
 * Threading: `from` is the calling worker in send and flush, `me` in the others; each worker calls
 * with its own number only.  new and free while no worker runs.
 */
#ifndef CLV_IO_HANDOFF_H
#define CLV_IO_HANDOFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/io/port.h"

enum {
	CLV_HANDOFF_PAYLOAD_MAX = 9216, /* bytes; a jumbo frame's worth */
};

struct clv_handoff;

/*
 * Make the rings for workers workers, of ring_bytes each (at least enough for a few large packets).
 * wake_fds: copies; for each worker the eventfd that wakes it, or -1; the caller closes them.
 * Returns NULL when out of memory.
 */
struct clv_handoff *clv_handoff_new(uint16_t workers, size_t ring_bytes, const int *wake_fds);
void clv_handoff_free(struct clv_handoff *h);

/*
 * Pass a datagram on.  rx: copies, payload included; its l2 and link stay valid (links are the same
 * for all workers), its socket number does not.
 * Returns true and counts HANDOFF_OUT, or false and counts DROP_HANDOFF_FULL.
 */
bool clv_handoff_send(struct clv_handoff *h, uint16_t from, uint16_t to, const struct clv_rx *rx,
		      struct clv_worker_counters *counters);
/* Wake the owners that sleep and were sent something since the last flush. */
void clv_handoff_flush(struct clv_handoff *h, uint16_t from);

/*
 * The oldest datagram of the next sender that has one; senders take turns.
 * Returns whether there is one; lends out->payload, writable, until release.
 */
bool clv_handoff_peek(struct clv_handoff *h, uint16_t me, struct clv_rx *out);
void clv_handoff_release(struct clv_handoff *h, uint16_t me);

/*
 * Request a wake-up.  Returns false, without the request, when a datagram waits: do not sleep. The
 * next peek cancels the request.
 */
bool clv_handoff_may_sleep(struct clv_handoff *h, uint16_t me);

#endif
