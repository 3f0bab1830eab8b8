/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * certificates - the certificate and TLS context of each listener.
 *
 * A listener without a configured certificate gets one that is made at the first start and kept in
 * the state directory.
 *
 * Threading: control.
 */
#ifndef CLV_DAEMON_CERTIFICATES_H
#define CLV_DAEMON_CERTIFICATES_H

#include "control/daemon/daemon.h"

/*
 * Load the certificates that the configuration names, to report what a start would fail on.
 * Returns 0, or an error number with one line in daemon->error.
 */
int clv_certificates_check(struct clv_daemon *daemon);

/*
 * Load or make each listener's certificate, open its TLS context and print its CA's fingerprint.
 * Returns as clv_certificates_check.
 */
int clv_certificates_open(struct clv_daemon *daemon);
void clv_certificates_close(struct clv_daemon *daemon);

#endif
