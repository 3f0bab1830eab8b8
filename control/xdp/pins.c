/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/xdp/pins.h"

#include "datapath/base/err.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BPFFS "/sys/fs/bpf"

static const char *name_of(const struct clv_pins *pins)
{
	return pins->path + strlen(CLV_PINS_TOP "/");
}

int clv_pins_path(const char *run_dir, char out[static CLV_PINS_PATH_MAX])
{
	static const char hex[] = "0123456789abcdef";
	char real[PATH_MAX], name[NAME_MAX + 1];
	const unsigned char *c;
	size_t n = 0;

	if (!realpath(run_dir, real))
		return -errno;
	/* bpffs allows no dots; '-' stands for '/', so '-' itself is escaped. */
	for (c = (const unsigned char *)real + 1; *c; c++) {
		if (n + 4 > NAME_MAX)
			return -ENAMETOOLONG;
		if (isalnum(*c)) {
			name[n++] = (char)*c;
		} else if (*c == '/') {
			name[n++] = '-';
		} else {
			name[n++] = '_';
			name[n++] = hex[*c >> 4];
			name[n++] = hex[*c & 15];
		}
	}
	name[n] = 0;
	snprintf(out, CLV_PINS_PATH_MAX, CLV_PINS_TOP "/%s", name);
	return 0;
}

static bool is_bpffs(const char *path)
{
	struct statfs st;

	return statfs(path, &st) == 0 && (unsigned long)st.f_type == BPF_FS_MAGIC;
}

static int open_own(const struct clv_pins *pins)
{
	return openat(pins->top_fd, name_of(pins), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Remove our directory with all in it.  fd: takes; of that directory, or -1 where there is none. */
static void clear(const struct clv_pins *pins, int fd)
{
	const struct dirent *entry;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlinkat(fd, entry->d_name, 0);
	closedir(dir);
	unlinkat(pins->top_fd, name_of(pins), AT_REMOVEDIR);
}

/* Returns 0, or -errno with *what naming the path that failed. */
static int make(struct clv_pins *pins, const char **what)
{
	*what = BPFFS;
	if (!is_bpffs(BPFFS) && mount("bpf", BPFFS, "bpf", 0, "mode=0700"))
		return -errno;
	*what = CLV_PINS_TOP;
	if (mkdir(CLV_PINS_TOP, 0700) && errno != EEXIST)
		return -errno;
	pins->top_fd = open(CLV_PINS_TOP, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (pins->top_fd < 0)
		return -errno;
	/*
	 * Relays of several users share it, sticky as /tmp: each may remove only its own entries.
	 */
	if (fchmod(pins->top_fd, 01777) && errno != EPERM)
		return -errno;
	clear(pins, open_own(pins)); /* left by a killed daemon */
	*what = pins->path;
	if (mkdirat(pins->top_fd, name_of(pins), 0700))
		return -errno;
	/* Held from now on, because a process that is out of descriptors must clean up, too. */
	pins->own_fd = open_own(pins);
	if (pins->own_fd < 0) {
		int err = -errno;

		unlinkat(pins->top_fd, name_of(pins), AT_REMOVEDIR);
		return err;
	}
	return 0;
}

int clv_pins_open(const char *run_dir, struct clv_pins *out, char *error, size_t error_len)
{
	struct clv_pins pins = { .top_fd = -1, .own_fd = -1 };
	const char *what = run_dir;
	int err;

	err = clv_pins_path(run_dir, pins.path);
	err = err ? err : make(&pins, &what);
	if (err) {
		snprintf(error, error_len, "%s: %s", what, clv_strerror(err));
		if (pins.top_fd >= 0)
			close(pins.top_fd);
		out->top_fd = out->own_fd = -1;
		return err;
	}
	*out = pins;
	return 0;
}

void clv_pins_close(struct clv_pins *pins)
{
	if (pins->top_fd < 0)
		return;
	clear(pins, pins->own_fd);
	close(pins->top_fd);
	pins->top_fd = pins->own_fd = -1;
}

int clv_pins_own(const struct clv_pins *pins, uid_t uid, gid_t gid)
{
	if (pins->top_fd < 0)
		return 0;
	if (fchownat(pins->top_fd, name_of(pins), uid, gid, AT_SYMLINK_NOFOLLOW))
		return -errno;
	return 0;
}
