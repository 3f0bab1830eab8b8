/* SPDX-License-Identifier: GPL-3.0-or-later */
/* culvert: the client of a peer. */
#include "tools/culvert/bind.h"
#include "tools/culvert/ping.h"

#include <signal.h>

#include "datapath/base/log.h"

int main(int argc, char **argv)
{
	struct culvert_options options;
	struct peer peer;
	int code = culvert_options_parse(argc, argv, &options);

	if (code)
		return code > 0 ? CULVERT_OK : CULVERT_USAGE;
	signal(SIGPIPE, SIG_IGN);
	clv_log_set_level(options.log_level);
	code = peer_open(&peer, &options);
	if (!code && options.command == CULVERT_PING)
		return ping_run(&peer);
	if (!code && options.command == CULVERT_BIND)
		return bind_run(&peer);
	if (!code)
		code = peer_run(&peer);
	peer_close(&peer);
	return code;
}
