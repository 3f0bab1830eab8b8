/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * certificates - the certificate and TLS context of each listener.
 *
 * A listener without a configured certificate gets one that is made at the first start and kept in
 * the state directory.  Reading needs the privileges of the start, later the keeper has them
 * (keeper.h); installing what was read needs none.
 *
 * Threading: control; read also in the keeper's process.
 */
#ifndef CLV_DAEMON_CERTIFICATES_H
#define CLV_DAEMON_CERTIFICATES_H

#include "control/daemon/daemon.h"

/* A listener's certificate chain and key as they are in their files. */
struct clv_certificate {
	char *cert_pem, *key_pem; /* zero-terminated; owned */
};

/*
 * Load the certificates that the configuration names, to report what a start would fail on, or one
 * that is not valid today.
 * Returns 0, or an error number with one line in daemon->error.
 */
int clv_certificates_check(struct clv_daemon *daemon);

/*
 * Load or make each listener's certificate, open its TLS context and print what clients know it by.
 * A listener whose certificate cannot be made before the clock is set has no context until then.
 * Returns as clv_certificates_check.
 */
int clv_certificates_open(struct clv_daemon *daemon);
void clv_certificates_close(struct clv_daemon *daemon);

/*
 * Look at the host's addresses: those that strangers can reach are names in certificates that the
 * relay makes itself.  *has_more: whether there is one that was not there at the last call.
 * Returns as clv_certificates_check.
 */
int clv_certificates_find_addresses(struct clv_daemon *daemon, bool *has_more);

/*
 * Read a listener's files; its own certificate is made or renewed before when that is due.
 * Returns 0 and fills *out, or an error number with one line in daemon->error: -EAGAIN when a
 * certificate has to wait for the clock (clv_certs_ensure).
 */
int clv_certificates_read(struct clv_daemon *daemon, size_t index, struct clv_certificate *out);
void clv_certificates_free(struct clv_certificate *c);

/*
 * Serve a listener's new connections with what was read; connections that are there keep theirs.
 * On failure the listener goes on with what it has.  Returns as clv_certificates_check.
 */
int clv_certificates_install(struct clv_daemon *daemon, size_t index,
			     const struct clv_certificate *c);

/*
 * Look at the dates of a listener's certificate and log what is wrong with them, at once and then
 * daily.  Returns whether the relay made the certificate itself and has to renew it.
 */
bool clv_certificates_watch(struct clv_daemon *daemon, size_t index, uint64_t now_ns);

#endif
