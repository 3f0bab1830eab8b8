/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pins - the bpffs directory in which a relay's maps are pinned: /sys/fs/bpf/culvert/RUN.
 *
 * RUN is derived from the path of the run directory, so each relay has its own.  Pins that a killed
 * daemon left are removed by the next one, which holds the lock of the run directory.  The parent
 * directory is held open, so that pins can be removed after privileges are dropped.
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
	int own_fd; /* of path */
	char path[CLV_PINS_PATH_MAX];
};

/*
 * Write the path of the directory for the maps of run_dir, whether it exists or not.
 * Returns 0, or -ENAMETOOLONG, or -errno when run_dir does not exist.
 */
int clv_pins_path(const char *run_dir, char out[static CLV_PINS_PATH_MAX]);

/*
 * Make it, empty; mount bpffs if it is not mounted.  run_dir: locked by the caller.
 * Returns 0 and fills *out, or -errno with one line in error and *out for close and own to accept,
 * which then do nothing.
 */
int clv_pins_open(const char *run_dir, struct clv_pins *out, char *error, size_t error_len);
/* Remove the directory and its entries. */
void clv_pins_close(struct clv_pins *pins);

/* Let a user close it.  Returns 0 or -errno. */
int clv_pins_own(const struct clv_pins *pins, uid_t uid, gid_t gid);

#endif
