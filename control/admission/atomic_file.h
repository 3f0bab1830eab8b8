/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * atomic_file - read small files whole, and write them so that no reader sees a part.
 *
 * New contents are written and synced under a temporary name in the same directory and then moved
 * into place.  A crash leaves the old file or the new one.
 *
 * Threading: any thread; blocks on disk I/O, so for start-up and tools only.
 */
#ifndef CLV_ADMISSION_ATOMIC_FILE_H
#define CLV_ADMISSION_ATOMIC_FILE_H

#include <stddef.h>
#include <sys/stat.h>

/*
 * Read a regular file of at most max bytes.  text: zero-terminated; the caller frees it, and wipes
 * it first if it holds a secret.  st: filled as by fstat(2); may be NULL.
 * Returns 0, -EFBIG, -EINVAL (not a regular file), -ENOMEM or another -errno.
 */
int clv_atomic_file_read(const char *path, size_t max, char **text, size_t *len, struct stat *st);

/* Create a file that does not exist yet.  Returns 0, -EEXIST or another -errno. */
int clv_atomic_file_create(const char *path, const char *text, size_t len, mode_t mode);

/*
 * Replace or create a file.  It gets the owner, group and mode of like, or if like is NULL those of
 * the process and mode.
 * Returns 0, or -errno; the file is unchanged unless only the sync of its directory failed.
 */
int clv_atomic_file_replace(const char *path, const char *text, size_t len, const struct stat *like,
			    mode_t mode);

#endif
