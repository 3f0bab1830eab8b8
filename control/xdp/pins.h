/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pins - the folder on bpffs where a relay's maps have names: /sys/fs/bpf/culvert/RUN.
 *
 * RUN is the run folder's path, so each has its own.  What a dead daemon left there is removed by
 * the next one, which holds the lock of the run folder.  The folder above is held open: it can be
 * cleared by a process that may no longer walk there.
 *
 * Threading: control.
 */
#ifndef CLV_XDP_PINS_H
#define CLV_XDP_PINS_H

#include <stddef.h>
#include <sys/types.h>

#define CLV_PINS_TOP "/sys/fs/bpf/culvert"

enum {
	CLV_PINS_PATH_MAX = 288,
};

struct clv_pins {
	int top_fd; /* of CLV_PINS_TOP */
	char path[CLV_PINS_PATH_MAX];
};

/*
 * The folder that the maps of run_dir are pinned in, whether it is there or not.
 * Returns 0, or -ENAMETOOLONG, or -errno when run_dir does not exist.
 */
int clv_pins_path(const char *run_dir, char out[static CLV_PINS_PATH_MAX]);

/*
 * Make it, empty; mounts bpffs where there is none.  run_dir: locked by the caller.
 * Returns 0 and fills *out, or -errno with one line in error.
 */
int clv_pins_open(const char *run_dir, struct clv_pins *out, char *error, size_t error_len);
/* Remove the folder and what is in it. */
void clv_pins_close(struct clv_pins *pins);

/* Make a user able to close it.  Returns 0 or -errno. */
int clv_pins_own(const struct clv_pins *pins, uid_t uid, gid_t gid);

#endif
