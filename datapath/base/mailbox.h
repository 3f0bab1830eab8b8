/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * mailbox - messages between control and a worker that must not be lost.
 *
 * An spsc ring, and at the sender's end a list for what does not fit the ring; order is kept.  The
 * list is heap memory, off the packet path: what is sent here is bounded by flow control (stream
 * bytes) or by the number of connections and tunnels.
 *
 * Threading: one sending thread, one receiving thread.
 */
#ifndef CLV_BASE_MAILBOX_H
#define CLV_BASE_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/base/budget.h"
#include "datapath/base/spsc.h"

struct clv_mailbox;

/* wake_fd: borrows; an eventfd that the sender writes when the receiver sleeps, or -1. */
struct clv_mailbox *clv_mailbox_new(size_t ring_bytes, int wake_fd);
void clv_mailbox_free(struct clv_mailbox *mb); /* after both threads stopped */

/*
 * Send head, followed by tail (may be NULL/0), as one record.  Both: copies.
 * Returns 0, -ENOMEM, or CLV_ERANGE when the body exceeds clv_spsc_body_max().
 */
int clv_mailbox_send(struct clv_mailbox *mb, uint32_t type, const void *head, size_t head_len,
		     const void *tail, size_t tail_len);

/*
 * The same on behalf of a holder of the sender's, which is charged while the record waits in the
 * list.  holder: borrows until the record is in the ring, or clv_mailbox_disown; NULL: nobody.
 */
int clv_mailbox_send_for(struct clv_mailbox *mb, struct clv_budget_holder *holder, uint32_t type,
			 const void *head, size_t head_len, const void *tail, size_t tail_len);
/* The holder is about to go: what still waits on its behalf is charged to nobody. */
void clv_mailbox_disown(struct clv_mailbox *mb, struct clv_budget_holder *holder);

/*
 * Move the list into the ring as far as it fits, and wake the receiver if it sleeps.  Sender calls
 * this at the end of each of its steps; nothing else wakes the receiver.
 * Returns whether the list still holds something: flush again soon, since the receiver does not
 * report that it made room.
 */
bool clv_mailbox_flush(struct clv_mailbox *mb);

/* Bytes waiting in the sender's list; for a ceiling and for status. */
size_t clv_mailbox_backlog(const struct clv_mailbox *mb);

/* Receiver: the oldest record or false; give it back with release before the next peek. */
bool clv_mailbox_peek(struct clv_mailbox *mb, struct clv_record *out);
void clv_mailbox_release(struct clv_mailbox *mb);

/*
 * Receiver: announce that it is about to sleep.  Returns false when a message arrived meanwhile: do
 * not sleep.  The next peek takes the request back.  The receiver itself reads wake_fd empty.
 */
bool clv_mailbox_may_sleep(struct clv_mailbox *mb);

#endif
