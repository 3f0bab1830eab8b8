/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/privs.h"

#include "datapath/base/ascii.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"

#include <cap-ng.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	OVERFLOW_ID = 65534, /* "nobody" wherever it has a number, and owner of nothing */
};

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

/* Whether a user namespace maps a number; map_file has lines "first inside, first outside, count". */
bool clv_privs_is_mapped(FILE *map_file, unsigned id)
{
	unsigned first, outside, count;

	while (fscanf(map_file, "%u %u %u", &first, &outside, &count) == 3)
		if (id >= first && id - first < count)
			return true;
	return false;
}

/* Without /proc nothing is known, and changing the user will tell. */
static bool is_mapped(const char *map, unsigned id)
{
	FILE *file = fopen(map, "re");
	bool is;

	if (!file)
		return true;
	is = clv_privs_is_mapped(file, id);
	fclose(file);
	return is;
}

/* A user namespace that its owner made without help may not drop groups (user_namespaces(7)). */
static bool may_drop_groups(void)
{
	char text[8] = "";
	FILE *file = fopen("/proc/self/setgroups", "re");

	if (!file)
		return true;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	fclose(file);
	return strncmp(text, "deny", strlen("deny")) != 0;
}

/* An image without /etc/passwd has no users, and root is one of every system that has. */
static bool has_users(void)
{
	return getpwuid(0) != NULL;
}

/* A number as its own user and group, for images that have no names.  Returns whether it is one. */
static bool read_number(const char *user, struct clv_privs *out)
{
	unsigned long number;
	char *end;

	if (!clv_is_digit(*user))
		return false;
	errno = 0;
	number = strtoul(user, &end, 10);
	if (*end || errno || number >= UINT32_MAX)
		return false;
	*out = (struct clv_privs){ .uid = (uid_t)number, .gid = (gid_t)number };
	return true;
}

/* Find the numbers of a user.  Returns as find. */
static int look_up(const char *user, struct clv_privs *out, char *error, size_t error_len)
{
	const struct passwd *pw;
	int err;

	errno = 0;
	pw = getpwnam(user);
	err = pw ? 0 : errno ? -errno : -ENOENT;
	if (pw) {
		*out = (struct clv_privs){ .uid = pw->pw_uid, .gid = pw->pw_gid };
		return 0;
	}
	if (read_number(user, out))
		return 0;
	if (!has_users()) {
		*out = (struct clv_privs){ .uid = OVERFLOW_ID, .gid = OVERFLOW_ID };
		clv_log(CLV_LOG_WARN, "user_by_number",
			"user=%s uid=%d because=\"there are no users in /etc/passwd\" "
			"hint=\"user = NUMBER takes another\"",
			user, OVERFLOW_ID);
		return 0;
	}
	snprintf(
		error, error_len,
		"user = %s: %s: make it (useradd --system %s), set its number, or set user = \"\" to "
		"run as the user that starts the relay",
		user, err == -ENOENT ? "there is no such user" : clv_strerror(err), user);
	return err;
}

int clv_privs_find(const char *user, struct clv_privs *out, char *error, size_t error_len)
{
	struct clv_privs wanted;
	int err;

	*out = (struct clv_privs){ .uid = geteuid(), .gid = getegid() };
	if (!*user)
		return 0;
	if (!may_change_user()) {
		const struct passwd *pw = getpwnam(user);

		if (!pw || pw->pw_uid != out->uid)
			clv_log(CLV_LOG_INFO, "user_kept",
				"user=%s because=\"not started as root\"", user);
		return 0;
	}
	err = look_up(user, &wanted, error, error_len);
	if (err || wanted.uid == out->uid)
		return err;
	if (!is_mapped("/proc/self/uid_map", wanted.uid) ||
	    !is_mapped("/proc/self/gid_map", wanted.gid)) {
		clv_log(CLV_LOG_WARN, "user_kept",
			"user=%s because=\"the user namespace maps no user %u and group %u\" "
			"hint=\"map a range of users to the container, or set user = \\\"\\\"\"",
			user, (unsigned)wanted.uid, (unsigned)wanted.gid);
		return 0;
	}
	*out = wanted;
	out->is_change = true;
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
static int apply(const struct clv_privs *privs, bool has_setpcap)
{
	bool drops_groups = !privs->is_change || may_drop_groups();
	int err;

	if (!drops_groups)
		clv_log(CLV_LOG_WARN, "groups_kept",
			"because=\"setgroups is denied in this user namespace\"");
	if (privs->is_change)
		err = capng_change_id((int)privs->uid, (int)privs->gid,
				      (drops_groups ? CAPNG_DROP_SUPP_GRP : CAPNG_NO_FLAG) |
					      (has_setpcap ? CAPNG_CLEAR_BOUNDING : CAPNG_NO_FLAG));
	else
		err = capng_apply(has_setpcap ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS);
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
	err = apply(&same_user, false);
	if (err) {
		snprintf(error, error_len, "capabilities cannot be dropped (libcap-ng %d)", err);
		return -EPERM;
	}
	return allow_no_new(error, error_len);
}

int clv_privs_drop(struct clv_privs *privs, bool low_ports, char *error, size_t error_len)
{
	bool has_setpcap;
	int err;

	capng_get_caps_process();
	has_setpcap = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	choose(low_ports);
	err = apply(privs, has_setpcap);
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
