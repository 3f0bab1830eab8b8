/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * privs - drop the privileges that only set-up needs: user, groups and capabilities.
 *
 * The capabilities that serving needs are kept (listed in privs.c).  The rest are dropped for good,
 * with the bounding set, and cannot be regained by execve.
 *
 * Order: 1. find  2. own, for files that must be removed later  3. drop, before any thread is
 *        created: it applies to the calling thread and those it creates
 * Threading: start-up, one thread.
 */
#ifndef CLV_HOST_PRIVS_H
#define CLV_HOST_PRIVS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

enum {
	CLV_PRIVS_USER_MAX = 64,
	CLV_PRIVS_TEXT_MAX = 512,
};

struct clv_privs {
	uid_t uid; /* the user to run as */
	gid_t gid;
	bool is_change; /* it is not the current user */
	/* Set by drop: the user's name; effective capabilities, as "net_admin, bpf" or "none". */
	char user[CLV_PRIVS_USER_MAX], capabilities[CLV_PRIVS_TEXT_MAX];
};

/* Whether the lines of a uid_map or gid_map (user_namespaces(7)) map a number. */
bool clv_privs_is_mapped(FILE *map_file, unsigned id);

/*
 * Find the user to run as.  user: its name or number, or "" for the current one.  If this process may
 * not change to the user, or the user namespace does not have it, that is logged and the current
 * user stays.  Where there are no users at all, a name stands for user 65534.
 * Returns 0, or -ENOENT or another -errno (there is no such user) with one line in error.
 */
int clv_privs_find(const char *user, struct clv_privs *out, char *error, size_t error_len);

/*
 * Give a directory and its entries (not deeper) to that user, so that they can be removed after the
 * drop.  Returns 0 or -errno.
 */
int clv_privs_own(const struct clv_privs *privs, const char *directory);

/*
 * Become that user and keep only the capabilities that serving needs, as far as they are there.
 * low_ports: whether ports below 1024 will still be opened.
 * Returns 0, or -EPERM or another -errno with one line in error; the process must not go on then.
 */
int clv_privs_drop(struct clv_privs *privs, bool low_ports, char *error, size_t error_len);

/*
 * Keep this user, and of the capabilities only what opens files of any owner.
 * Returns as clv_privs_drop.
 */
int clv_privs_keep_files(char *error, size_t error_len);

#endif
