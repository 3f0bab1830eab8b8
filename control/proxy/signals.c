/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/signals.h"

#include "datapath/base/bucket.h"

#include <errno.h>
#include <stdlib.h>

int clv_signals_new(const struct clv_signal_settings *settings, struct clv_accounts *accounts,
		    const uint64_t seed[static 2], struct clv_signals **out)
{
	const struct clv_signal_settings *s = settings;
	struct clv_signals *ss = calloc(1, sizeof(*ss));
	int err;

	if (!ss)
		return -ENOMEM;
	ss->settings = *s;
	ss->publish = (struct clv_rate){ .interval_ns = s->publish_every_ns,
					 .burst_ns = s->publish_every_ns * s->publish_burst };
	ss->lookups = clv_rate_of(s->lookups_per_sec, s->lookups_per_sec);
	ss->knock = clv_rate_of(s->knocks_per_sec, s->knocks_per_sec);
	ss->knocks_to = clv_rate_of(s->knocks_to_per_sec, s->knocks_to_per_sec);
	ss->bytes = clv_rate_of(s->bytes_per_sec, 2 * s->bytes_per_sec);
	err = clv_records_init(&ss->records, s->records_max, accounts, seed);
	if (err)
		goto free_signals;
	err = clv_knocks_init(&ss->knocks, s->knocks_max, s->knock_ns, accounts, seed);
	if (err)
		goto fini_records;
	*out = ss;
	return 0;

fini_records:
	clv_records_fini(&ss->records);
free_signals:
	free(ss);
	return err;
}

void clv_signals_free(struct clv_signals *ss)
{
	if (!ss)
		return;
	clv_knocks_fini(&ss->knocks);
	clv_records_fini(&ss->records);
	free(ss);
}
