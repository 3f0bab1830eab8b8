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

const struct clv_interface *clv_daemon_interface_at(const struct clv_daemon *daemon,
						    uint16_t number)
{
	size_t i;

	for (i = 0; i < daemon->interfaces_len; i++)
		if (daemon->interfaces[i].number == number)
			return &daemon->interfaces[i];
	return NULL;
}

const char *clv_daemon_host_name(void)
{
	static char name[256];

	/* A host may have a name that no certificate may contain. */
	if (gethostname(name, sizeof(name) - 1) || !clv_certgen_is_dns_name(name))
		return "culvert";
	return name;
}
