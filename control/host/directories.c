/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/directories.h"

#include "datapath/base/ascii.h"
#include "datapath/base/err.h"
#include "datapath/base/rand.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_FILE   "culvertd.lock"
#define SECRET_FILE "secret"

enum {
	SECRET_TEXT_LEN = 2 * CLV_SECRET_LEN,
};

int clv_directories_make(const char *path, unsigned mode)
{
	char part[PATH_MAX];
	struct stat st;
	size_t i;

	if (strlen(path) >= sizeof(part))
		return -ENAMETOOLONG;
	for (i = 1; path[i]; i++) {
		if (path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		if (mkdir(part, 0755) && errno != EEXIST)
			return -errno;
	}
	if (mkdir(path, mode) && errno != EEXIST)
		return -errno;
	if (stat(path, &st))
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

/* Whether path still names the open file: its last owner may have removed it. */
static bool is_there(const char *path, int fd)
{
	struct stat there, mine;

	return stat(path, &there) == 0 && fstat(fd, &mine) == 0 && there.st_ino == mine.st_ino &&
	       there.st_dev == mine.st_dev;
}

/* Open and lock the file at path.  Returns it, -EBUSY (another process has it), or -errno. */
static int open_locked(const char *path)
{
	int err, fd;

	for (;;) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			err = errno == EWOULDBLOCK ? -EBUSY : -errno;
			close(fd);
			return err;
		}
		if (is_there(path, fd))
			return fd;
		close(fd);
	}
}

int clv_directories_lock(const char *run_dir, char *error, size_t error_len)
{
	char path[PATH_MAX], text[24];
	int err, fd, n;

	if (snprintf(path, sizeof(path), "%s/%s", run_dir, LOCK_FILE) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open_locked(path);
	if (fd == -EBUSY)
		snprintf(error, error_len,
			 "another culvertd runs on %s: stop it, or give this one a --run-dir "
			 "and --state-dir of its own",
			 run_dir);
	else if (fd < 0)
		snprintf(error, error_len, "%s: %s", path, clv_strerror(fd));
	if (fd < 0)
		return fd;
	n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	errno = 0;
	if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)n, 0) != n) {
		err = errno ? -errno : -ENOSPC;
		snprintf(error, error_len, "%s: %s", path, clv_strerror(err));
		close(fd);
		return err;
	}
	return fd;
}

void clv_directories_unlock(const char *run_dir, int lock_fd)
{
	char path[PATH_MAX];

	if (lock_fd < 0)
		return;
	snprintf(path, sizeof(path), "%s/%s", run_dir, LOCK_FILE);
	unlink(path);
	close(lock_fd);
}

static int decode(const char *text, uint8_t secret[static CLV_SECRET_LEN])
{
	if (clv_hex_decode(text, clv_hex_value_lower, secret, CLV_SECRET_LEN))
		return CLV_ESYNTAX;
	return text[SECRET_TEXT_LEN] == '\n' ? 0 : CLV_ESYNTAX;
}

static int read_secret(const char *path, uint8_t secret[static CLV_SECRET_LEN])
{
	char text[SECRET_TEXT_LEN + 2] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text));
	close(fd);
	if (n < 0)
		return -errno;
	return n == SECRET_TEXT_LEN + 1 ? decode(text, secret) : CLV_ESYNTAX;
}

/* Write under another name first, then rename: readers see the complete file or none. */
static int write_secret(const char *path, const uint8_t secret[static CLV_SECRET_LEN])
{
	char text[SECRET_TEXT_LEN + 2], draft[PATH_MAX];
	int err = 0, fd;
	size_t i;

	for (i = 0; i < CLV_SECRET_LEN; i++)
		snprintf(text + 2 * i, 3, "%02x", secret[i]);
	text[SECRET_TEXT_LEN] = '\n';
	if (snprintf(draft, sizeof(draft), "%s.new", path) >= (int)sizeof(draft))
		return -ENAMETOOLONG;
	unlink(draft);
	fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	errno = 0;
	if (write(fd, text, SECRET_TEXT_LEN + 1) != SECRET_TEXT_LEN + 1 || fsync(fd))
		err = errno ? -errno : -ENOSPC;
	if (close(fd) && !err)
		err = -errno;
	if (!err && rename(draft, path))
		err = -errno;
	if (err)
		unlink(draft);
	return err;
}

int clv_directories_secret(const char *state_dir, uint8_t secret[static CLV_SECRET_LEN],
			   char *error, size_t error_len)
{
	uint8_t fresh[CLV_SECRET_LEN];
	struct clv_rand rand;
	char path[PATH_MAX];
	int err;

	if (snprintf(path, sizeof(path), "%s/%s", state_dir, SECRET_FILE) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	err = read_secret(path, fresh);
	if (err == -ENOENT) {
		clv_rand_init(&rand, 0);
		clv_rand_bytes(&rand, fresh, sizeof(fresh));
		explicit_bzero(&rand, sizeof(rand));
		err = write_secret(path, fresh);
	}
	if (err)
		snprintf(error, error_len, "%s: %s", path,
			 err == CLV_ESYNTAX ? "damaged; remove it, and a new one is made"
					    : clv_strerror(err));
	else
		memcpy(secret, fresh, sizeof(fresh));
	explicit_bzero(fresh, sizeof(fresh));
	return err;
}
