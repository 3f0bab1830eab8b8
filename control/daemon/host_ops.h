/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * host_ops - culvertd's implementation of clv_host_ops: BPF maps, rtnetlink, ports, DNS.
 *
 * Threading: control.
 */
#ifndef CLV_DAEMON_HOST_OPS_H
#define CLV_DAEMON_HOST_OPS_H

#include "control/host/host.h"

/* Their host is a struct clv_daemon.  Lives as long as the program. */
const struct clv_host_ops *clv_host_ops_of_daemon(void);

#endif
