/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/daemon.h"

#include "control/tls/certgen.h"
#include "datapath/base/err.h"

#include <stdio.h>
#include <unistd.h>

int clv_daemon_fail(struct clv_daemon *daemon, int err, const char *what)
{
	if (err)
		snprintf(daemon->error, sizeof(daemon->error), "%s: %s", what, clv_strerror(err));
	return err;
}

const char *clv_daemon_host_name(void)
{
	static char name[256];

	/* A host may have a name that no certificate may contain. */
	if (gethostname(name, sizeof(name) - 1) || !clv_certgen_is_dns_name(name))
		return "culvert";
	return name;
}
