/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * firewall - says which rules of the host do not apply to what XDP carries.
 *
 * Threading: control.
 */
#ifndef CLV_DAEMON_FIREWALL_H
#define CLV_DAEMON_FIREWALL_H

#include "control/daemon/daemon.h"

/*
 * Read the rules of the host and log what is new of them: at the start, at each reload, and when
 * interfaces came.
 */
void clv_firewall_look(struct clv_daemon *daemon);
/* Whether any interface runs XDP, whose packets the rules do not see. */
bool clv_firewall_is_bypassed(const struct clv_daemon *daemon);

#endif
