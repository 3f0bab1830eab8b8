/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * sandbox - a seccomp filter that allows only the system calls that serving needs.
 *
 * Files are opened for reading only, and never created, truncated or appended to; no memory becomes
 * executable.
 * Any other call is logged by name and ends the process with status 159 (128 + SIGSYS), as a crash
 * would, instead of letting it continue in an unforeseen state.
 *
 * Threading: start-up, one thread; applies to the calling thread and those it creates.
 */
#ifndef CLV_HOST_SANDBOX_H
#define CLV_HOST_SANDBOX_H

#include <stddef.h>

/*
 * Install the filter; it cannot be removed.  Returns 0, or -errno with one line in error;
 * -EOPNOTSUPP in a build with sanitizers, which make other calls.
 */
int clv_sandbox_close(char *error, size_t error_len);

/*
 * The same for a process that reads and writes files and answers on a descriptor it has: no sockets,
 * no BPF, no threads.
 */
int clv_sandbox_close_keeper(char *error, size_t error_len);

#endif
