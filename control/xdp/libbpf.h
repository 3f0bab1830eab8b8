/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * libbpf - what every user of libbpf needs: its messages in our log, and errors in one line.
 *
 * Threading: control.
 */
#ifndef CLV_XDP_LIBBPF_H
#define CLV_XDP_LIBBPF_H

#include <stddef.h>

/* Write libbpf's messages to our log, and forget earlier ones. */
void clv_libbpf_begin(void);

/* Raise the limit of locked memory, which older kernels charge programs and maps against. */
void clv_libbpf_raise_memlock(void);

/*
 * Write one line to error: what failed, err, and the first message of libbpf since begin.
 * Returns err.
 */
int clv_libbpf_explain(int err, const char *what, char *error, size_t error_len);

#endif
