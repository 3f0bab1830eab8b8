/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * targets - what clients may reach: the policy in force, and the NAT64 prefix of an IPv6-only network.
 *
 * A host with IPv6 and without IPv4 asks its name servers for the prefix (RFC 7050), again every
 * minute; with one, IPv4 targets are reached through it, and the policy looks through it as through
 * those of policy.nat64.
 *
 * Threading: control.
 */
#ifndef CLV_DAEMON_TARGETS_H
#define CLV_DAEMON_TARGETS_H

#include "control/daemon/daemon.h"

/*
 * Replace the policy everywhere by that of a configuration.
 * Returns 0, or an error number with one line in daemon->error and nothing changed.
 */
int clv_targets_set_policy(struct clv_daemon *daemon, const struct clv_config *config);

/* At the start, and when addresses or routes may have changed: which families the host has. */
void clv_targets_follow_routes(struct clv_daemon *daemon, uint64_t now_ns);
/* From time to time: ask for the prefix when it is due. */
void clv_targets_tick(struct clv_daemon *daemon, uint64_t now_ns);

/* The nat64 of struct clv_host_ops. */
bool clv_targets_embed(const struct clv_daemon *daemon, const uint8_t v4[static 16],
		       uint8_t v6[static 16]);

#endif
