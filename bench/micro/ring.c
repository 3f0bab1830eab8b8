/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ring - the time to pass bytes between threads; both ends on one core, so without cache misses. */
#include "bench/micro/micro.h"

#include "datapath/base/mailbox.h"
#include "datapath/base/spsc.h"
#include "datapath/io/handoff.h"

enum {
	RING_BYTES = 1 << 20,
	BATCH = 32,
};

struct subject {
	struct clv_spsc *ring;
	struct clv_mailbox *mailbox;
	struct clv_handoff *handoff;
	struct clv_worker_counters counters;
	struct clv_rx rx;
	uint8_t bytes[2048];
	size_t len;
};

static uint64_t through_ring(void *arg, uint64_t n)
{
	struct subject *s = arg;
	struct clv_record r;
	uint64_t sum = 0;

	for (; n >= BATCH; n -= BATCH) {
		for (int i = 0; i < BATCH; i++) {
			memcpy(clv_spsc_reserve(s->ring, 1, s->len), s->bytes, s->len);
			clv_spsc_commit(s->ring);
		}
		while (clv_spsc_peek(s->ring, &r)) {
			sum += r.len;
			clv_spsc_release(s->ring);
		}
	}
	return sum;
}

static uint64_t through_mailbox(void *arg, uint64_t n)
{
	struct subject *s = arg;
	struct clv_record r;
	uint64_t sum = 0;

	for (; n >= BATCH; n -= BATCH) {
		for (int i = 0; i < BATCH; i++)
			sum += (uint64_t)clv_mailbox_send(s->mailbox, 1, s->bytes, 16, s->bytes,
							  s->len);
		clv_mailbox_flush(s->mailbox);
		while (clv_mailbox_peek(s->mailbox, &r)) {
			sum += r.len;
			clv_mailbox_release(s->mailbox);
		}
	}
	return sum;
}

static uint64_t through_handoff(void *arg, uint64_t n)
{
	struct subject *s = arg;
	struct clv_rx rx;
	uint64_t sum = 0;

	for (; n >= BATCH; n -= BATCH) {
		for (int i = 0; i < BATCH; i++)
			sum += clv_handoff_send(s->handoff, 0, 1, &s->rx, &s->counters);
		clv_handoff_flush(s->handoff, 0);
		while (clv_handoff_peek(s->handoff, 1, &rx)) {
			sum += rx.payload_len;
			clv_handoff_release(s->handoff, 1);
		}
	}
	return sum;
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = { 64, 512, 1200 };
	static const int no_fds[] = { -1, -1 };
	static struct subject s;
	char name[64];

	s.ring = clv_spsc_new(RING_BYTES);
	s.mailbox = clv_mailbox_new(RING_BYTES, -1);
	s.handoff = clv_handoff_new(2, RING_BYTES, no_fds);
	if (!s.ring || !s.mailbox || !s.handoff)
		abort();
	for (size_t i = 0; i < 3; i++) {
		s.len = sizes[i];
		s.rx = (struct clv_rx){ .payload = s.bytes, .payload_len = (uint32_t)s.len };
		snprintf(name, sizeof(name), "ring/spsc %zu", s.len);
		micro(argc, argv, name, through_ring, &s);
		snprintf(name, sizeof(name), "ring/mailbox %zu", s.len);
		micro(argc, argv, name, through_mailbox, &s);
		snprintf(name, sizeof(name), "ring/hand-off %zu", s.len);
		micro(argc, argv, name, through_handoff, &s);
	}
	clv_handoff_free(s.handoff);
	clv_mailbox_free(s.mailbox);
	clv_spsc_free(s.ring);
	return 0;
}
