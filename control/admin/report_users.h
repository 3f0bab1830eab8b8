/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * report_users - what each client of the relay uses and did, by the operator's name for it.
 *
 * No figure joins a client with a target or an address.
 *
 * Threading: control.
 */
#ifndef CLV_ADMIN_REPORT_USERS_H
#define CLV_ADMIN_REPORT_USERS_H

#include <stdio.h>

#include <jansson.h>

#include "control/daemon/daemon.h"

/* Handler of the command "users" (see report.h); user: the struct clv_daemon. */
json_t *clv_report_users(void *user, const json_t *request);

/*
 * Write the metrics of clients.  There are at most so many labels: the figures of all other clients
 * are added up under the empty name.
 */
enum { CLV_REPORT_USERS_LABELS_MAX = 256 };

void clv_report_users_metrics(FILE *out, const struct clv_daemon *daemon);

#endif
