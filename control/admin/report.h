/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * report - the reports of a running relay, as JSON, for culvertctl and other tools.
 *
 * Commands: status workers conns tunnels contexts bindings drops policy listeners guard signal
 * records.  Those
 * that list rows take "limit" (default 1000, 0: all) and return the "total"; contexts and bindings
 * also take "tunnel", a reference from tunnels. Clients are in conns, targets in tunnels; only
 * their references join the two.
 *
 * Threading: control.
 */
#ifndef CLV_ADMIN_REPORT_H
#define CLV_ADMIN_REPORT_H

#include "control/daemon/daemon.h"

/* Serve RUN/control.sock.  Returns 0, or -errno with one line in daemon->error. */
int clv_report_open(struct clv_daemon *daemon);
void clv_report_close(struct clv_daemon *daemon);

#endif
