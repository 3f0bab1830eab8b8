/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * host_ops - clv_host_ops of culvertd: BPF maps, rtnetlink, kernel ports, the system's resolver.
 *
 * Threading: control.
 */
#ifndef CLV_DAEMON_HOST_OPS_H
#define CLV_DAEMON_HOST_OPS_H

#include "control/host/host.h"

/* The functions take a struct clv_daemon as host.  Lives as long as the program. */
const struct clv_host_ops *clv_host_ops_of_daemon(void);

#endif
