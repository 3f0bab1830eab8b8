/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvertctl/command.h"

static const struct table_column columns[] = {
	{ "ref", "conn" },
	{ "peer", "peer" },
	{ "group", "group" },
	{ "signature", "certificate" },
	{ "handshaking", "handshaking" },
	{ "tunnels", "tunnels" },
	{ "age_sec", "age s" },
	{ "rtt_us", "rtt us" },
	{ "max_payload", "payload" },
	{ "rx_packets", "rx" },
	{ "tx_packets", "tx" },
	{ "lost_packets", "lost" },
	{ NULL, NULL },
};

const struct command conns_command = {
	.name = "conns",
	.source = FROM_DAEMON,
	.array = "conns",
	.columns = columns,
};
