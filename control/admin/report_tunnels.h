/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * report_tunnels - the reports about tunnels, their contexts and their bound ports.
 *
 * Threading: control.
 */
#ifndef CLV_ADMIN_REPORT_TUNNELS_H
#define CLV_ADMIN_REPORT_TUNNELS_H

#include <jansson.h>

/* Handlers of the commands of the same names (see report.h); user: the struct clv_daemon. */
json_t *clv_report_tunnels(void *user, const json_t *request);
json_t *clv_report_contexts(void *user, const json_t *request);
json_t *clv_report_bindings(void *user, const json_t *request);

#endif
