/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * folders - the state and run folders: made, locked, and the secret kept in them.
 *
 *   STATE/secret         32 random bytes, hexadecimal; tokens and stateless resets depend on it
 *   RUN/culvertd.lock    locked while a daemon lives; holds its process ID
 *   RUN/control.sock     made by ctl
 *
 * Threading: start-up, one thread.
 */
#ifndef CLV_HOST_FOLDERS_H
#define CLV_HOST_FOLDERS_H

#include <stddef.h>
#include <stdint.h>

enum {
	CLV_SECRET_LEN = 32, /* bytes */
};

/*
 * Make a folder and those above it.  mode: of the last one, when it is new.
 * Returns 0 or -errno.
 */
int clv_folders_make(const char *path, unsigned mode);

/*
 * Lock run_dir for this process; the kernel unlocks it when the process ends, however it ends.
 * Returns the descriptor to close at the end, or, with one line in error:
 *   -EBUSY   another culvertd runs on run_dir
 *   -errno   anything else
 */
int clv_folders_lock(const char *run_dir, char *error, size_t error_len);

/* Remove the lock file; before its descriptor is closed. */
void clv_folders_unlock(const char *run_dir, int lock_fd);

/*
 * Read the secret of state_dir, or make and store one, readable by the owner alone.
 * Returns 0, or with one line in error CLV_ESYNTAX (a damaged file, left alone) or -errno.
 */
int clv_folders_secret(const char *state_dir, uint8_t secret[static CLV_SECRET_LEN], char *error,
		       size_t error_len);

#endif
