/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * sandbox - a seccomp filter that allows what serving takes.
 *
 * A system call outside of it is logged with its name and ends the process with status 159
 * (128 + SIGSYS), as a crash would: nothing goes on in a state nobody foresaw.
 *
 * Threading: start-up, one thread; holds for the calling thread and those it makes.
 */
#ifndef CLV_HOST_SANDBOX_H
#define CLV_HOST_SANDBOX_H

#include <stddef.h>

/*
 * Close it, for good.  Returns 0, or -errno with one line in error; -EOPNOTSUPP in a build with
 * sanitizers, which make calls of their own.
 */
int clv_sandbox_close(char *error, size_t error_len);

#endif
