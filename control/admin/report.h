/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * report - what culvertctl and other tools may ask of a running relay, as JSON.
 *
 * Commands: status workers conns tunnels contexts bindings drops policy listeners.  conns, tunnels,
 * contexts and bindings take "limit" (default 1000, 0: all) and say the "total"; contexts and
 * bindings take "tunnel", a reference of tunnels, too.
 * Clients are in conns, targets in tunnels; only their references join the two.
 *
 * Threading: control.
 */
#ifndef CLV_ADMIN_REPORT_H
#define CLV_ADMIN_REPORT_H

#include "control/daemon/daemon.h"

/* Start to answer on RUN/control.sock.  Returns 0, or -errno with one line in daemon->error. */
int clv_report_open(struct clv_daemon *daemon);
void clv_report_close(struct clv_daemon *daemon);

#endif
