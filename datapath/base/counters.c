/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/counters.h"

#include <assert.h>
#include <string.h>

#define DROP_PREFIX "drop_"

static const struct {
	enum clv_counter_class class;
	const char *name, *help;
} facts[CLV_COUNTER_MAX] = {
#define X(symbol, class, name, help) [CLV_COUNT_##symbol] = { CLV_CLASS_##class, name, help },
	CLV_COUNTERS(X)
#undef X
};

enum clv_counter_class clv_counter_class(enum clv_counter which)
{
	assert(which < CLV_COUNTER_MAX);
	return facts[which].class;
}

const char *clv_counter_name(enum clv_counter which)
{
	assert(which < CLV_COUNTER_MAX);
	return facts[which].name;
}

const char *clv_counter_help(enum clv_counter which)
{
	assert(which < CLV_COUNTER_MAX);
	return facts[which].help;
}

const char *clv_counter_reason(enum clv_counter which)
{
	assert(clv_counter_class(which) == CLV_CLASS_DROP);
	return facts[which].name + strlen(DROP_PREFIX);
}
