/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvert/commands.h"

#include <jansson.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Make a folder that only the user may enter; its parent exists. */
static bool make_folder(const char *path)
{
	return mkdir(path, 0700) == 0 || errno == EEXIST;
}

/* The user's own identity: identity in $XDG_CONFIG_HOME/culvert, or in ~/.config/culvert. */
static bool default_path(char path[static PATH_MAX])
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char folder[PATH_MAX - sizeof("/culvert/identity")];
	bool fits;

	if (config && *config == '/')
		fits = snprintf(folder, sizeof(folder), "%s", config) < (int)sizeof(folder);
	else
		fits = home && *home == '/' &&
		       snprintf(folder, sizeof(folder), "%s/.config", home) < (int)sizeof(folder);
	if (!fits) {
		fprintf(stderr, "culvert: no home directory: use --identity FILE\n");
		return false;
	}
	snprintf(path, PATH_MAX, "%s/culvert", folder);
	if (make_folder(folder) && make_folder(path)) {
		strcat(path, "/identity");
		return true;
	}
	fprintf(stderr, "culvert: %s: %s\n", path, strerror(errno));
	return false;
}

static void print_json(const char *id, const char *file, bool is_new)
{
	json_t *all = json_pack("{s:s, s:s, s:b}", "id", id, "file", file, "is_new", is_new);

	json_dumpf(all, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(all);
}

/* Read the id in a file, which is made if there is none.  Returns 0 or a status. */
static int read_or_make(const char *file, char id[CULVERT_ID_TEXT], bool *is_new)
{
	int err = culvert_identity_read(file, id);

	if (err == -ENOENT) {
		err = culvert_identity_make(file, id);
		*is_new = !err;
		/* Another process may have been faster: its identity counts. */
		if (err == -EEXIST)
			err = culvert_identity_read(file, id);
		if (*is_new)
			fprintf(stderr, "culvert: made a new identity: use it by --identity %s\n",
				file);
	}
	if (!err)
		return 0;
	fprintf(stderr, "culvert: %s: %s\n", file,
		err == -EPERM ? "accessible to other users: chmod 600 it, or make another "
				"if it has leaked"
			      : culvert_strerror(err));
	return STATUS_FAILED;
}

const char *id_file(const struct options *o, char path[static PATH_MAX])
{
	const char *file = o->identity;
	char id[CULVERT_ID_TEXT];
	bool is_new = false;

	if (!file) {
		if (!default_path(path))
			return NULL;
		file = path;
	}
	return read_or_make(file, id, &is_new) ? NULL : file;
}

int id_run(const struct options *o)
{
	char path[PATH_MAX], id[CULVERT_ID_TEXT];
	const char *file = o->identity;
	bool is_new = false;
	int status;

	if (!file) {
		if (!default_path(path))
			return STATUS_FAILED;
		file = path;
	}
	status = read_or_make(file, id, &is_new);
	if (status)
		return status;
	if (o->json)
		print_json(id, file, is_new);
	else
		printf("%s\n", id);
	return STATUS_OK;
}
