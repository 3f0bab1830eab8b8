/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * report_signal - the reports about signal streams and the records of peers, and their metrics.
 *
 * Threading: control.
 */
#ifndef CLV_ADMIN_REPORT_SIGNAL_H
#define CLV_ADMIN_REPORT_SIGNAL_H

#include <stdio.h>

#include <jansson.h>

#include "control/daemon/daemon.h"

/* Handlers of the commands of the same names (see report.h); user: the struct clv_daemon. */
json_t *clv_report_signal(void *user, const json_t *request);
json_t *clv_report_records(void *user, const json_t *request);

/* The gauges, in Prometheus' text format; what was counted is among the counters. */
void clv_report_signal_metrics(FILE *out, const struct clv_daemon *daemon);

#endif
