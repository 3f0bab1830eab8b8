/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * privs - from the user who may set everything up to the one who only serves.
 *
 * What serving still takes (see privs.c for why) is kept, all else is given up for good: user,
 * groups, capabilities with their bounding set, and gaining any by execve.
 *
 * Order: 1. find  2. own, for what will have to be removed  3. drop, before any thread is made: it holds for the calling thread and
 *        those it makes
 * Threading: start-up, one thread.
 */
#ifndef CLV_HOST_PRIVS_H
#define CLV_HOST_PRIVS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
	CLV_PRIVS_USER_MAX = 64,
	CLV_PRIVS_TEXT_MAX = 512,
};

struct clv_privs {
	uid_t uid; /* whom to run as */
	gid_t gid;
	bool is_change; /* another user than now */
	/* after drop, for people: the user's name; effective capabilities as "net_admin, bpf", "none" */
	char user[CLV_PRIVS_USER_MAX], capabilities[CLV_PRIVS_TEXT_MAX];
};

/*
 * Find out whom to run as.  user: "" for whoever runs this.  A user that does not exist, or another
 * one that this process may not become, is logged and means the same as "".
 */
void clv_privs_find(const char *user, struct clv_privs *out);

/*
 * Give a folder and what is in it (not deeper) to that user, so that it can be emptied and removed
 * after the drop.  Returns 0 or -errno.
 */
int clv_privs_own(const struct clv_privs *privs, const char *folder);

/*
 * Become that user with the capabilities that serving takes, of those there are.
 * low_ports: whether ports below 1024 will still be opened.
 * Returns 0, or with one line in error -EPERM or another -errno: then nothing may be relied on.
 */
int clv_privs_drop(struct clv_privs *privs, bool low_ports, char *error, size_t error_len);

#endif
