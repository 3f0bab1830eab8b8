/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * base64 - base64 in the three forms that credentials use.
 *
 * The decoder is strict, so that each byte string has exactly one text: it takes no white space,
 * padding only where the form has it, and no unused bits that are set.
 *
 * Spec: RFC 4648 sections 3.5, 4 and 5.   Threading: pure functions; any thread.
 */
#ifndef CLV_ADMISSION_BASE64_H
#define CLV_ADMISSION_BASE64_H

#include <stddef.h>
#include <stdint.h>

enum clv_base64_form {
	CLV_BASE64_PADDED,   /* the standard alphabet with padding, as in Basic credentials */
	CLV_BASE64_UNPADDED, /* the standard alphabet without padding, as in password hashes */
	CLV_BASE64_URL,	     /* '-' and '_', without padding, as in tokens */
};

/* The length of the text of so many bytes, without padding. */
#define CLV_BASE64_LEN(bytes) (((bytes)*4 + 2) / 3)

/*
 * Encode in[0..len).  out: room for 4 * ((len + 2) / 3) + 1.
 * Returns the length of the text without its terminating zero.
 */
size_t clv_base64_encode(enum clv_base64_form form, const uint8_t *in, size_t len, char *out);

/*
 * Decode text[0..len) into out, which has room for out_max bytes.
 * Returns 0 and the number of bytes in *out_len, or, leaving *out_len untouched:
 *   CLV_ESYNTAX  not base64 of that form; out may be partly written
 *   CLV_ERANGE   more than out_max bytes; out may be partly written
 */
int clv_base64_decode(enum clv_base64_form form, const char *text, size_t len, uint8_t *out,
		      size_t out_max, size_t *out_len);

#endif
