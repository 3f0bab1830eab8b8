/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvertctl/command.h"

static const struct table_column columns[] = {
	{ "prefix", "prefix" },
	{ "verdict", "verdict" },
	{ "why", "why" },
	{ NULL, NULL },
};

const struct command policy_command = {
	.name = "policy",
	.source = FROM_DAEMON,
	.array = "rules",
	.columns = columns,
};
