/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	ROOM_MIN = 256, /* bytes beyond st_size, which is 0 for files in /proc */
};

/* Read all of fd.  Returns 0 or -errno. */
static int read_all(int fd, size_t max, size_t room, char **text, size_t *len)
{
	char *buf = NULL;
	size_t n = 0;

	for (;;) {
		char *larger = realloc(buf, room + 1);
		ssize_t got;
		int err;

		if (!larger) {
			free(buf);
			return -ENOMEM;
		}
		buf = larger;
		got = read(fd, buf + n, room - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got > 0)
			n += (size_t)got;
		if (got > 0 && n <= max) {
			if (n == room)
				room *= 2;
			continue;
		}
		if (got == 0) {
			buf[n] = '\0';
			*text = buf;
			*len = n;
			return 0;
		}
		err = got < 0 ? -errno : -EFBIG;
		explicit_bzero(buf, n);
		free(buf);
		return err;
	}
}

int clv_atomic_file_read(const char *path, size_t max, char **text, size_t *len, struct stat *st)
{
	/* Without O_NONBLOCK, opening a FIFO would wait for a writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat found;
	int err;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &found) < 0)
		err = -errno;
	else if (!S_ISREG(found.st_mode))
		err = -EINVAL;
	else if ((uint64_t)found.st_size > max)
		err = -EFBIG;
	else
		err = read_all(fd, max, (size_t)found.st_size + ROOM_MIN, text, len);
	close(fd);
	if (!err && st)
		*st = found;
	return err;
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The owner is set before the mode, since chown(2) may clear mode bits. */
static int set_owner_and_mode(int fd, const struct stat *like, mode_t mode)
{
	if (like && fchown(fd, like->st_uid, like->st_gid) < 0)
		return -errno;
	return fchmod(fd, like ? like->st_mode & 07777 : mode) < 0 ? -errno : 0;
}

/* Write the text to a new file beside path, whose name is put into draft.  Returns 0 or -errno. */
static int write_draft(const char *path, const char *text, size_t len, const struct stat *like,
		       mode_t mode, char draft[static PATH_MAX])
{
	int fd, err;

	if (snprintf(draft, PATH_MAX, "%s.XXXXXX", path) >= PATH_MAX)
		return -ENAMETOOLONG;
	fd = mkostemp(draft, O_CLOEXEC); /* with mode 0600 */
	if (fd < 0)
		return -errno;
	err = set_owner_and_mode(fd, like, mode);
	if (!err)
		err = write_all(fd, text, len);
	if (!err && fsync(fd) < 0)
		err = -errno;
	if (close(fd) < 0 && !err)
		err = -errno;
	if (err)
		unlink(draft);
	return err;
}

/* Sync the directory of path. */
static int sync_directory(const char *path)
{
	char directory[PATH_MAX] = ".";
	const char *slash = strrchr(path, '/');
	int fd, err = 0;

	if (slash)
		snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path + 1), path);
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		err = -errno;
	close(fd);
	return err;
}

int clv_atomic_file_create(const char *path, const char *text, size_t len, mode_t mode)
{
	char draft[PATH_MAX];
	int err = write_draft(path, text, len, NULL, mode, draft);

	if (err)
		return err;
	/* Unlike rename(2), link(2) never replaces: only one of several processes creates the file. */
	if (link(draft, path) < 0)
		err = -errno;
	unlink(draft);
	return err ? err : sync_directory(path);
}

int clv_atomic_file_replace(const char *path, const char *text, size_t len, const struct stat *like,
			    mode_t mode)
{
	char draft[PATH_MAX];
	int err = write_draft(path, text, len, like, mode, draft);

	if (err)
		return err;
	if (rename(draft, path) < 0) {
		err = -errno;
		unlink(draft);
		return err;
	}
	return sync_directory(path);
}
