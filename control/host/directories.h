/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * directories - make and lock the state and run directories, and keep the secret in them.
 *
 *   STATE/secret         32 random bytes, hexadecimal; tokens and stateless resets depend on it
 *   RUN/culvertd.lock    locked while a daemon runs; holds its process ID
 *   RUN/control.sock     made by control/admin/ctl
 *
 * Threading: start-up, one thread.
 */
#ifndef CLV_HOST_DIRECTORIES_H
#define CLV_HOST_DIRECTORIES_H

#include <stddef.h>
#include <stdint.h>

enum {
	CLV_SECRET_LEN = 32, /* bytes */
};

/*
 * Make a directory and its missing parents.  mode: permissions of the last one, if it is new.
 * Returns 0 or -errno.
 */
int clv_directories_make(const char *path, unsigned mode);

/*
 * Lock run_dir for this process; the kernel unlocks it when the process ends, however it ends.
 * Returns the descriptor to close at the end, or, with one line in error:
 *   -EBUSY   another culvertd runs on run_dir
 *   -errno   anything else
 */
int clv_directories_lock(const char *run_dir, char *error, size_t error_len);

/* Remove the lock file, then close its descriptor. */
void clv_directories_unlock(const char *run_dir, int lock_fd);

/*
 * Read the secret of state_dir, or make and store one, readable by the owner alone.
 * Returns 0, or with one line in error CLV_ESYNTAX (a damaged file, left alone) or -errno.
 */
int clv_directories_secret(const char *state_dir, uint8_t secret[static CLV_SECRET_LEN],
			   char *error, size_t error_len);

#endif
