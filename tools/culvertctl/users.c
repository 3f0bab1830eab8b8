/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvertctl/command.h"

static const struct table_column columns[] = {
	{ "name", "name" },
	{ "connections", "conns" },
	{ "tunnels", "tunnels" },
	{ "ports", "ports" },
	{ "to_target_datagrams", "to target" },
	{ "to_target_bytes", "bytes" },
	{ "to_client_datagrams", "to client" },
	{ "to_client_bytes", "bytes" },
	{ "to_target_dropped", "dropped" },
	{ "to_client_dropped", "dropped" },
	{ "limits", "limits" },
	{ NULL, NULL },
};

const struct command users_command = {
	.name = "users",
	.source = FROM_DAEMON,
	.array = "users",
	.columns = columns,
};
