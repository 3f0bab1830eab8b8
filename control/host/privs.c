/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/privs.h"

#include "datapath/base/err.h"
#include "datapath/base/log.h"

#include <cap-ng.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* The capabilities that serving needs. */
static const unsigned kept[] = {
	CAP_NET_ADMIN, /* probe neighbours, attach to interfaces that appear later */
	CAP_NET_RAW,   /* AF_XDP sockets of such interfaces */
	CAP_BPF,       /* older kernels require it for every map update */
};

static bool may_change_user(void)
{
	capng_get_caps_process();
	return capng_have_capability(CAPNG_EFFECTIVE, CAP_SETUID) &&
	       capng_have_capability(CAPNG_EFFECTIVE, CAP_SETGID);
}

int clv_privs_find(const char *user, struct clv_privs *out, char *error, size_t error_len)
{
	const struct passwd *pw;
	int err;

	*out = (struct clv_privs){ .uid = geteuid(), .gid = getegid() };
	if (!*user)
		return 0;
	errno = 0;
	pw = getpwnam(user);
	err = pw ? 0 : errno ? -errno : -ENOENT;
	if (pw && pw->pw_uid == out->uid)
		return 0;
	if (!may_change_user()) {
		clv_log(CLV_LOG_INFO, "user_kept", "user=%s because=\"not started as root\"", user);
		return 0;
	}
	if (err) {
		snprintf(
			error, error_len,
			"user = %s: %s: make it (useradd --system %s), or set user = \"\" to run as "
			"the user that starts the relay",
			user, err == -ENOENT ? "there is no such user" : clv_strerror(err), user);
		return err;
	}
	*out = (struct clv_privs){ .uid = pw->pw_uid, .gid = pw->pw_gid, .is_change = true };
	return 0;
}

int clv_privs_own(const struct clv_privs *privs, const char *directory)
{
	const struct dirent *entry;
	int err = 0;
	DIR *dir;

	if (!privs->is_change)
		return 0;
	dir = opendir(directory);
	if (!dir)
		return -errno;
	while (!err && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (fchownat(dirfd(dir), entry->d_name, privs->uid, privs->gid,
			     AT_SYMLINK_NOFOLLOW))
			err = -errno;
	}
	if (!err && fchown(dirfd(dir), privs->uid, privs->gid))
		err = -errno;
	closedir(dir);
	return err;
}

/*
 * Sockets of interfaces that appear later lock packet memory, which needs no capability without a
 * limit.
 */
static bool is_lock_limited(void)
{
	struct rlimit now;

	return getrlimit(RLIMIT_MEMLOCK, &now) || now.rlim_cur != RLIM_INFINITY;
}

/* Select, of the capabilities we have, those that serving needs. */
static void choose(bool low_ports)
{
	bool has[CAP_LAST_CAP + 1] = { false };
	unsigned i;

	capng_get_caps_process();
	for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		has[kept[i]] = capng_have_capability(CAPNG_PERMITTED, kept[i]);
	has[CAP_IPC_LOCK] = is_lock_limited() &&
			    capng_have_capability(CAPNG_PERMITTED, CAP_IPC_LOCK);
	has[CAP_NET_BIND_SERVICE] = low_ports &&
				    capng_have_capability(CAPNG_PERMITTED, CAP_NET_BIND_SERVICE);
	capng_clear(CAPNG_SELECT_BOTH);
	for (i = 0; i <= CAP_LAST_CAP; i++)
		if (has[i])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, i);
}

/* Emptying the bounding set needs CAP_SETPCAP; without execve the set grants nothing anyway. */
static int apply(const struct clv_privs *privs)
{
	bool may_bound = capng_have_capability(CAPNG_BOUNDING_SET, CAP_SETPCAP) && geteuid() == 0;
	int err;

	if (privs->is_change)
		err = capng_change_id((int)privs->uid, (int)privs->gid,
				      CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING);
	else
		err = capng_apply(may_bound ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS);
	return err;
}

static void describe(struct clv_privs *privs)
{
	const struct passwd *pw = getpwuid(geteuid());
	char *list;

	if (pw)
		snprintf(privs->user, sizeof(privs->user), "%s", pw->pw_name);
	else
		snprintf(privs->user, sizeof(privs->user), "%u", (unsigned)geteuid());
	capng_get_caps_process();
	list = capng_print_caps_text(CAPNG_PRINT_BUFFER, CAPNG_EFFECTIVE);
	snprintf(privs->capabilities, sizeof(privs->capabilities), "%s", list ? list : "?");
	free(list);
}

static int allow_no_new(char *error, size_t error_len)
{
	int err;

	if (!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return 0;
	err = -errno;
	snprintf(error, error_len, "no_new_privs: %s", clv_strerror(err));
	return err;
}

int clv_privs_keep_files(char *error, size_t error_len)
{
	static const unsigned files[] = { CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH };
	const struct clv_privs same_user = { .is_change = false };
	bool has[sizeof(files) / sizeof(files[0])];
	size_t i;
	int err;

	capng_get_caps_process();
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		has[i] = capng_have_capability(CAPNG_PERMITTED, files[i]);
	capng_clear(CAPNG_SELECT_BOTH);
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (has[i])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, files[i]);
	err = apply(&same_user);
	if (err) {
		snprintf(error, error_len, "capabilities cannot be dropped (libcap-ng %d)", err);
		return -EPERM;
	}
	return allow_no_new(error, error_len);
}

int clv_privs_drop(struct clv_privs *privs, bool low_ports, char *error, size_t error_len)
{
	int err;

	choose(low_ports);
	err = apply(privs);
	if (err) {
		snprintf(error, error_len, "capabilities cannot be dropped (libcap-ng %d)", err);
		return -EPERM;
	}
	err = allow_no_new(error, error_len);
	if (err)
		return err;
#if defined(__SANITIZE_ADDRESS__)
	/*
	 * Changing the user makes a process undumpable, and the leak checker must trace it at exit.
	 */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
#endif
	describe(privs);
	return 0;
}
