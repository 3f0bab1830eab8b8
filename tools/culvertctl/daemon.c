/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admin/ctl.h"
#include "datapath/base/err.h"
#include "tools/culvertctl/query.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	TIMEOUT_SEC = 10,
};

/* Write what err means for the operator to error.  Returns err. */
static int describe(int err, const char *run_dir, char *error, size_t error_len)
{
	switch (err) {
	case -ENOENT:
	case -ECONNREFUSED:
		snprintf(
			error, error_len,
			"no culvertd is running in %s (--run-dir selects another runtime directory)",
			run_dir);
		break;
	case -EACCES:
	case -EPERM:
		snprintf(error, error_len,
			 "%s/%s: permission denied: run as the relay's user or root", run_dir,
			 CLV_CTL_SOCKET);
		break;
	case -EAGAIN:
		snprintf(error, error_len, "culvertd in %s did not answer within %d s", run_dir,
			 TIMEOUT_SEC);
		break;
	default:
		snprintf(error, error_len, "%s/%s: %s", run_dir, CLV_CTL_SOCKET, clv_strerror(err));
		break;
	}
	return err;
}

static int open_socket(const char *run_dir)
{
	const struct timeval timeout = { TIMEOUT_SEC, 0 };
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int err, fd;

	if (snprintf(to.sun_path, sizeof(to.sun_path), "%s/%s", run_dir, CLV_CTL_SOCKET) >=
	    (int)sizeof(to.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int send_line(int fd, const json_t *request)
{
	char line[CLV_CTL_REQUEST_MAX];
	size_t len = json_dumpb(request, line, sizeof(line) - 1, JSON_COMPACT);
	ssize_t n;

	if (len >= sizeof(line))
		return -EMSGSIZE;
	line[len++] = '\n';
	n = send(fd, line, len, MSG_NOSIGNAL);
	if (n == (ssize_t)len)
		return 0;
	return n < 0 ? -errno : -EIO;
}

/* Send the request and read one line.  *out: the caller frees it, also on an error. */
static int exchange(int fd, const struct query *q, char **out)
{
	json_t *request = json_pack("{s:s,s:I,s:s*}", "cmd", q->command->name, "limit",
				    (json_int_t)q->limit, "tunnel", q->tunnel);
	int err, copy;
	size_t room = 0;
	ssize_t n;
	FILE *in;

	if (!request)
		return -ENOMEM;
	err = send_line(fd, request);
	json_decref(request);
	if (err)
		return err;
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

int query_daemon(const struct query *q, json_t **out, char *error, size_t error_len)
{
	const char *refusal;
	char *line = NULL;
	json_t *answer;
	int err, fd;

	fd = open_socket(q->run_dir);
	if (fd < 0)
		return describe(fd, q->run_dir, error, error_len);
	err = exchange(fd, q, &line);
	close(fd);
	if (err) {
		free(line);
		return describe(err, q->run_dir, error, error_len);
	}
	answer = json_loads(line, 0, NULL);
	free(line);
	refusal = json_string_value(json_object_get(answer, "error"));
	if (!answer || refusal) {
		snprintf(error, error_len, "culvertd: %s",
			 refusal ? refusal : "the answer is not JSON");
		json_decref(answer);
		return CLV_ESYNTAX;
	}
	*out = answer;
	return 0;
}
