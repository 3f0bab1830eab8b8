/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/counters.h"

#include <assert.h>

static const struct {
	const char *name, *help;
} texts[CLV_COUNTER_MAX] = {
#define X(symbol, name, help) [CLV_COUNT_##symbol] = { name, help },
	CLV_COUNTERS(X)
#undef X
};

const char *clv_counter_name(enum clv_counter which)
{
	assert(which < CLV_COUNTER_MAX);
	return texts[which].name;
}

const char *clv_counter_help(enum clv_counter which)
{
	assert(which < CLV_COUNTER_MAX);
	return texts[which].help;
}
