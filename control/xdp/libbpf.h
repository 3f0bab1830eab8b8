/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * libbpf - what every user of libbpf needs: its messages in our log, and errors in one line.
 *
 * Threading: control.
 */
#ifndef CLV_XDP_LIBBPF_H
#define CLV_XDP_LIBBPF_H

#include <stddef.h>

struct bpf_object_skeleton;

/* Write libbpf's messages to our log, and forget earlier ones. */
void clv_libbpf_begin(void);

/* Raise the limit of locked memory, which older kernels charge programs and maps against. */
void clv_libbpf_raise_memlock(void);

/*
 * Whether an object can have as many descriptors as it needs to load.  Where they run out midway,
 * libbpf goes on without what it takes for optional, and the kernel refuses the rest as invalid.
 * Returns 0 or -EMFILE or the like.
 */
int clv_libbpf_check_descriptors(const struct bpf_object_skeleton *object);

/*
 * Write one line to error: what failed, err, and the first message of libbpf since begin.
 * Returns err.
 */
int clv_libbpf_explain(int err, const char *what, char *error, size_t error_len);

#endif
