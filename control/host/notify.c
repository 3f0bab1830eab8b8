/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/notify.h"

#include "datapath/base/err.h"
#include "datapath/base/log.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Returns a connected socket, or -errno. */
static int connect_to(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int err, fd;

	if (len < 2 || (*path != '/' && *path != '@') || len >= sizeof(sa.sun_path))
		return -EINVAL;
	memcpy(sa.sun_path, path, len);
	if (*path == '@')
		sa.sun_path[0] = 0; /* the abstract name space */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static uint64_t read_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	if (!usec || (pid && strtoul(pid, NULL, 10) != (unsigned long)getpid()))
		return 0;
	return strtoull(usec, NULL, 10) * 1000;
}

void clv_notify_open(struct clv_notify *out)
{
	const char *path = getenv("NOTIFY_SOCKET");
	int fd;

	*out = (struct clv_notify){ .fd = -1 };
	if (!path)
		return;
	fd = connect_to(path);
	if (fd < 0) {
		clv_log(CLV_LOG_WARN, "no_notify", "socket=%s err=\"%s\"", path, clv_strerror(fd));
	} else {
		out->fd = fd;
		out->watchdog_ns = read_watchdog();
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void clv_notify_close(struct clv_notify *notify)
{
	if (notify->fd >= 0)
		close(notify->fd);
	notify->fd = -1;
}

void clv_notify(const struct clv_notify *notify, const char *state)
{
	if (notify->fd >= 0 && send(notify->fd, state, strlen(state), MSG_NOSIGNAL) < 0)
		clv_log(CLV_LOG_WARN, "no_notify", "err=\"%s\"", clv_strerror(-errno));
}

void clv_notify_alive(struct clv_notify *notify, uint64_t now_ns)
{
	if (!notify->watchdog_ns || now_ns - notify->last_ns < notify->watchdog_ns / 2)
		return;
	notify->last_ns = now_ns;
	clv_notify(notify, "WATCHDOG=1");
}
