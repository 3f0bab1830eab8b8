/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvertctl/ask.h"

#include "control/admin/ctl.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	PATIENCE_SEC = 10,
};

static int say(int err, const char *run_dir, char *error, size_t error_len)
{
	switch (err) {
	case -ENOENT:
	case -ECONNREFUSED:
		snprintf(error, error_len,
			 "no culvertd runs on %s (--run names the folder of another one)", run_dir);
		break;
	case -EACCES:
	case -EPERM:
		snprintf(error, error_len,
			 "%s/%s: permission denied: run as the relay's user or root", run_dir,
			 CLV_CTL_SOCKET);
		break;
	case -EAGAIN:
		snprintf(error, error_len, "culvertd on %s gave no answer within %d s", run_dir,
			 PATIENCE_SEC);
		break;
	default:
		snprintf(error, error_len, "%s/%s: %s", run_dir, CLV_CTL_SOCKET, clv_strerror(err));
		break;
	}
	return err;
}

static int open_socket(const char *run_dir)
{
	const struct timeval patience = { PATIENCE_SEC, 0 };
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int err, fd;

	if (snprintf(to.sun_path, sizeof(to.sun_path), "%s/%s", run_dir, CLV_CTL_SOCKET) >=
	    (int)sizeof(to.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* One line; out is the caller's to free. */
static int exchange(int fd, const char *command, long limit, char **out)
{
	char request[128];
	size_t len, room = 0;
	ssize_t n;
	FILE *in;
	int copy;

	len = (size_t)snprintf(request, sizeof(request), "{\"cmd\":\"%s\",\"limit\":%ld}\n",
			       command, limit);
	n = send(fd, request, len, MSG_NOSIGNAL);
	if (n != (ssize_t)len)
		return n < 0 ? -errno : -EIO;
	copy = dup(fd);
	in = copy < 0 ? NULL : fdopen(copy, "r");
	if (!in)
		return -errno;
	errno = 0;
	n = getline(out, &room, in);
	fclose(in);
	if (n > 0)
		return 0;
	return errno ? -errno : -ECONNRESET;
}

int ask_daemon(const char *run_dir, const char *command, long limit, json_t **out, char *error,
	       size_t error_len)
{
	const char *refusal;
	char *line = NULL;
	json_t *answer;
	int err, fd;

	fd = open_socket(run_dir);
	if (fd < 0)
		return say(fd, run_dir, error, error_len);
	err = exchange(fd, command, limit, &line);
	close(fd);
	if (err) {
		free(line);
		return say(err, run_dir, error, error_len);
	}
	answer = json_loads(line, 0, NULL);
	free(line);
	refusal = json_string_value(json_object_get(answer, "error"));
	if (!answer || refusal) {
		snprintf(error, error_len, "culvertd answers: %s", refusal ? refusal : "no JSON");
		json_decref(answer);
		return CLV_ESYNTAX;
	}
	*out = answer;
	return 0;
}
