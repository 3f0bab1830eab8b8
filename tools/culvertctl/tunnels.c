/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvertctl/command.h"

static const struct table_column columns[] = {
	{ "ref", "tunnel" },
	{ "conn", "conn" },
	{ "local", "local" },
	{ "target", "target" },
	{ "bound", "bound" },
	{ "via", "via" },
	{ "hop", "next hop" },
	{ "age_sec", "age s" },
	{ "idle_sec", "idle s" },
	{ "to_target_packets", "to target" },
	{ "to_peer_packets", "to peer" },
	{ "drops", "drops" },
	{ NULL, NULL },
};

const struct command tunnels_command = {
	.name = "tunnels",
	.source = FROM_DAEMON,
	.array = "tunnels",
	.columns = columns,
};
