/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * signals - what the signal streams of a relay share: their limits, the records and the knocks.
 *
 * Threading: control.
 */
#ifndef CLV_PROXY_SIGNALS_H
#define CLV_PROXY_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

#include "control/proxy/knocks.h"
#include "control/proxy/records.h"

/* Each limit has a counter of what it refused. */
struct clv_signal_settings {
	bool is_offered;
	uint32_t records_max;
	uint32_t knocks_max; /* that wait for an answer */
	uint64_t knock_ns;   /* how long one waits */
	/* Of one stream. */
	uint64_t publish_every_ns; /* at most one in this time, */
	uint32_t publish_burst;	   /* and so many at once */
	uint32_t lookups_per_sec, knocks_per_sec;
	uint32_t knocks_to_per_sec; /* that reach one peer, from all */
	uint32_t bytes_per_sec;	    /* received; twice as many in a burst */
	uint64_t backlog;	    /* bytes that may wait for a peer that reads slowly */
};

struct clv_signals {
	struct clv_signal_settings settings;
	struct clv_rate publish, lookups, knock, knocks_to, bytes; /* of each stream */
	struct clv_records records;
	struct clv_knocks knocks;
	uint32_t streams, peers; /* open; of them with an identity */
};

/* Returns 0 and fills *out, or -ENOMEM.  settings: copies.  accounts: borrows for life. */
int clv_signals_new(const struct clv_signal_settings *settings, struct clv_accounts *accounts,
		    const uint64_t seed[static 2], struct clv_signals **out);
/* Every stream has ended.  Accepts NULL. */
void clv_signals_free(struct clv_signals *ss);

#endif
