/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * tls_fixture - certificates of two relays, and handshakes between client and server with them.
 *
 * Each relay has a CA that the other's clients do not trust.  The names of both are relay.example,
 * 192.0.2.7 and 2001:db8::7.
 */
#ifndef CLV_TEST_TLS_TLS_FIXTURE_H
#define CLV_TEST_TLS_TLS_FIXTURE_H

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "control/tls/certgen.h"
#include "control/tls/certs.h"
#include "control/tls/tls.h"
#include "tests/unit/admission/handshake_pair.h"

extern struct clv_certs tls_certs[2][2]; /* by relay, by enum clv_profile */

/* Of a group of cases. */
int tls_make_certificates(void **state);
int tls_remove_certificates(void **state);

/* Returns a path in the directory of a relay; lends, until the next call but one. */
const char *tls_file(int relay, const char *name);
const char *tls_ca_file(int relay, enum clv_profile profile);

/* Contexts: of relay 0, and of a client that trusts ca, a file, or pin; NULL for the other. */
struct clv_tls_context *tls_server(enum clv_profile profile);
struct clv_tls_context *tls_client(enum clv_profile profile, const char *ca, const uint8_t *pin);

/* Of the certificate at index in a file. */
void tls_sha256_of(const char *path, size_t index, uint8_t out[32]);

/* Replace a client's session by one that offers only these groups. */
void tls_offer(struct clv_conn *conn, struct clv_tls_context *context, int share, int *groups,
	       int groups_len);
/* set_encryption_secrets of a server without the checks that precede the keys. */
int tls_lax_secrets(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL level, const uint8_t *rx,
		    const uint8_t *tx, size_t len);

void tls_assert_completed(struct pair *p, const char *group, const char *signature);
/* why: the result of the client's clv_tls_failure. */
void tls_assert_refused(struct pair *p, int why);
/* Run one handshake; expected: 0, or the reason for which it is refused. */
void tls_shake(struct clv_tls_context *server, struct clv_tls_context *client, const char *name,
	       int expected, const char *group, const char *signature);

#endif
