/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/firewall.h"

#include "datapath/base/log.h"

#include <stdio.h>
#include <string.h>

enum {
	LISTED_MAX = 8, /* chains in one line of the log */
};

bool clv_firewall_is_bypassed(const struct clv_daemon *daemon)
{
	for (size_t i = 0; i < daemon->interfaces_len; i++)
		if (daemon->interfaces[i].mode < CLV_DATAPATH_KERNEL)
			return true;
	return false;
}

static bool is_same(const struct clv_netfilter *a, const struct clv_netfilter *b)
{
	if (a->total != b->total)
		return false;
	for (size_t i = 0; i < a->len; i++)
		if (strcmp(a->chains[i].hook, b->chains[i].hook) ||
		    strcmp(a->chains[i].family, b->chains[i].family) ||
		    strcmp(a->chains[i].table, b->chains[i].table) ||
		    strcmp(a->chains[i].name, b->chains[i].name))
			return false;
	return true;
}

static void log_chains(const struct clv_netfilter *n)
{
	char text[512] = "";
	size_t at = 0;

	for (size_t i = 0; i < n->len && i < LISTED_MAX && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s %s %s (%s)",
				       at ? ", " : "", n->chains[i].family, n->chains[i].table,
				       n->chains[i].name, n->chains[i].hook);
	clv_log(CLV_LOG_WARN, "netfilter_bypassed",
		"chains=%zu first=\"%s\" hint=\"they do not apply to what XDP carries: "
		"policy says what may be reached\"",
		n->total, text);
}

void clv_firewall_look(struct clv_daemon *daemon)
{
	const struct clv_netfilter before = daemon->netfilter;
	const bool was_bypassed = daemon->is_netfilter_bypassed;

	clv_netfilter_read(&daemon->netfilter);
	daemon->is_netfilter_bypassed = clv_firewall_is_bypassed(daemon);
	if (daemon->netfilter.total && daemon->is_netfilter_bypassed &&
	    (!was_bypassed || !is_same(&before, &daemon->netfilter)))
		log_chains(&daemon->netfilter);
}
