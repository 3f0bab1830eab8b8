/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * certs - generate the relay's certificates on first start, and keep them in the state directory.
 *
 *   STATE/tls/ca.pem  ca.key  pqc.pem  pqc.key   ML-DSA-65 CA and leaf
 *   STATE/tls/hybrid-ca.pem  hybrid-ca.key  hybrid.pem  hybrid.key   ECDSA P-256, for hybrid
 *   listeners without configured files
 *
 * Files are written atomically; keys are 0600, the directory 0700.
 * Threading: one thread at a time.
 */
#ifndef CLV_TLS_CERTS_H
#define CLV_TLS_CERTS_H

#include <stddef.h>
#include <stdint.h>

#include "control/tls/tls.h"

struct clv_certs {
	char cert_file[512]; /* chain: leaf, then CA */
	char key_file[512];
	uint8_t ca_sha256[32]; /* of the CA certificate's DER */
	uint8_t pin[32];       /* of the leaf's key (clv_cert_pin): renewing keeps it */
};

/*
 * Make sure that CA, leaf and keys of a profile exist in state_dir.  Generates what is missing, and
 * a new leaf for the old key when names changed or less than a third of its lifetime is left.
 * names: DNS names and IP literals for the subject alternative names; copies.
 * error: filled with one line on failure.
 * Returns 0 and fills *out, or -errno, CLV_ETLS, CLV_ESYNTAX (a file is damaged; it is not
 * replaced).
 * -EAGAIN: the clock is before the day this program was built, so certificates generated now would
 * be wrong for everybody else; the leaf's key exists, and out->pin is filled.
 */
int clv_certs_ensure(enum clv_profile profile, const char *state_dir, const char *const *names,
		     size_t names_len, struct clv_certs *out, char *error, size_t error_len);

#endif
