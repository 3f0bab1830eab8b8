/* SPDX-License-Identifier: GPL-3.0-or-later */
/* culvert: the client for peers, written on libculvert like any application. */
#include "tools/culvert/commands.h"

#include <signal.h>

int main(int argc, char **argv)
{
	struct options o;
	int code = options_parse(argc, argv, &o);

	if (code)
		return code > 0 ? STATUS_OK : STATUS_USAGE;
	signal(SIGPIPE, SIG_IGN);
	culvert_log_level(o.log_level);
	switch (o.command) {
	case COMMAND_PING:
		return ping_run(&o);
	case COMMAND_BIND:
		return bind_run(&o);
	case COMMAND_ID:
		return id_run(&o);
	case COMMAND_LISTEN:
		return listen_run(&o);
	case COMMAND_CONNECT:
		return connect_run(&o);
	case COMMAND_NAT:
		return nat_run(&o);
	default:
		return forward_run(&o);
	}
}
