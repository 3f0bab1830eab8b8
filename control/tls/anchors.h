/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * anchors - the certificates of authorities that a client trusts, from a file of one or a bundle.
 *
 * A bundle, such as that of an operating system, holds roots that a profile does not take, or whose
 * algorithms the TLS library does not know: those are left out and counted.
 *
 * Spec: RFC 5280 section 6.1.1 (d).
 * Threading: loaded by one thread; then read by any.  ref and unref by any thread.
 */
#ifndef CLV_TLS_ANCHORS_H
#define CLV_TLS_ANCHORS_H

#include <stddef.h>

#include "control/tls/pem.h"
#include "control/tls/tls.h"

struct clv_anchors;

/*
 * Read a PEM file.  error: filled with one line on failure.
 * Returns 0 and fills *out with one reference, or -errno (file), CLV_ESYNTAX (not a file of
 * certificates, or none that the profile takes).
 */
int clv_anchors_load(enum clv_profile profile, const char *path, struct clv_anchors **out,
		     char *error, size_t error_len);

struct clv_anchors *clv_anchors_ref(struct clv_anchors *anchors);
/* NULL is fine. */
void clv_anchors_unref(struct clv_anchors *anchors);

/* How many there are, and how many of the file were left out. */
size_t clv_anchors_len(const struct clv_anchors *anchors);
size_t clv_anchors_left_out(const struct clv_anchors *anchors);

/*
 * The next anchor after *at, which starts at 0, whose subject is issuer; NULL when there is no other.
 * The signature is not looked at.  Lends cert and *facts.
 */
const struct clv_der *clv_anchors_next(const struct clv_anchors *anchors,
				       const uint8_t issuer[static CLV_CERT_NAME_HASH_LEN],
				       size_t *at, const struct clv_cert_facts **facts);

#endif
