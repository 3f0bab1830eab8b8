/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvertctl/command.h"

const struct table_column listener_columns[] = {
	{ "name", "listener" },	  { "address", "address" },   { "port", "port" },
	{ "profile", "profile" }, { "families", "families" }, { "pin", "pin (sha256)" },
	{ NULL, NULL },
};

const struct command listeners_command = {
	.name = "listeners",
	.source = FROM_DAEMON,
	.array = "listeners",
	.columns = listener_columns,
};
