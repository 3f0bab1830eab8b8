/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admin/metrics_http.h"

#include "datapath/base/addr.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CONNECTIONS_MAX = 8,
	CONNECTIONS_PER_ADDRESS = 6, /* so that another address finds room */
	TIMEOUT_SEC = 10,
	MEMORY_MAX = 16 << 10, /* bytes for the request of one connection */
};

struct clv_metrics_http {
	struct MHD_Daemon *daemon;
	uv_poll_t poll;
	uv_timer_t timer;
	clv_metrics_fn *text;
	void *user;
	unsigned open_handles;
};

/* ---- responses ---- */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, char *text,
			      size_t len, const char *type)
{
	struct MHD_Response *response;
	enum MHD_Result queued;

	response = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	queued = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return queued;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, const char *why)
{
	char *text = strdup(why);

	return text ? answer(connection, status, text, strlen(text), "text/plain") : MHD_NO;
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *body,
				  size_t *body_len, void **state)
{
	struct clv_metrics_http *http = user;
	static int is_begun; /* only its address is used */
	size_t len;
	char *text;

	(void)version, (void)body;
	/* First call: the headers are complete.  A response now closes connections with a body. */
	if (!*state) {
		*state = &is_begun;
		return MHD_YES;
	}
	*body_len = 0;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET only\n");
	if (strcmp(url, "/metrics") != 0)
		return refuse(connection, MHD_HTTP_NOT_FOUND, "figures are at /metrics\n");
	text = http->text(http->user, &len);
	if (!text)
		return MHD_NO;
	return answer(connection, MHD_HTTP_OK, text, len,
		      "text/plain; version=0.0.4; charset=utf-8");
}

/* ---- the loop ---- */

static void on_timer(uv_timer_t *timer);

static unsigned connections(const struct clv_metrics_http *http)
{
	return MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)
		->num_connections;
}

static void run(struct clv_metrics_http *http)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;
	unsigned before;

	/*
	 * At its limit the library stops accepting, and resumes only in the run after a slot is
	 * free.
	 */
	do {
		before = connections(http);
		MHD_run(http->daemon);
	} while (connections(http) < before);
	if (MHD_get_timeout(http->daemon, &wait_ms) == MHD_YES)
		uv_timer_start(&http->timer, on_timer, wait_ms, 0);
	else
		uv_timer_stop(&http->timer);
}

static void on_timer(uv_timer_t *timer)
{
	run(timer->data);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	(void)status, (void)events;
	run(poll->data);
}

/* ---- open and close ---- */

/* Returns a listening socket or -errno. */
static int open_socket(const struct clv_endpoint *listen_at)
{
	struct sockaddr_storage sa;
	socklen_t len = clv_endpoint_to_sockaddr(listen_at, false, &sa);
	const int one = 1;
	int err, fd;

	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&sa, len) || listen(fd, CONNECTIONS_MAX)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* fd: takes.  Returns 0 and fills http->daemon, or -errno. */
static int start_daemon(struct clv_metrics_http *http, int fd)
{
	int err;

	errno = 0; /* the library reports no reason of its own */
	http->daemon = MHD_start_daemon(
		MHD_USE_EPOLL, 0, NULL, NULL, on_request, http, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)CONNECTIONS_PER_ADDRESS,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_SEC,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_MAX, MHD_OPTION_END);

	if (http->daemon)
		return 0;
	err = errno ? -errno : -ENOMEM;
	close(fd);
	return err;
}

int clv_metrics_http_open(uv_loop_t *loop, const struct clv_endpoint *listen, clv_metrics_fn *text,
			  void *user, struct clv_metrics_http **out)
{
	const union MHD_DaemonInfo *info;
	struct clv_metrics_http *http;
	int fd, err;

	fd = open_socket(listen);
	if (fd < 0)
		return fd;
	http = calloc(1, sizeof(*http));
	if (!http) {
		close(fd);
		return -ENOMEM;
	}
	http->text = text;
	http->user = user;
	err = start_daemon(http, fd);
	info = err ? NULL : MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info) {
		if (!err)
			MHD_stop_daemon(http->daemon);
		free(http);
		return err ? err : -ENOMEM;
	}
	uv_poll_init(loop, &http->poll, info->epoll_fd);
	uv_timer_init(loop, &http->timer);
	http->poll.data = http->timer.data = http;
	http->open_handles = 2;
	uv_poll_start(&http->poll, UV_READABLE, on_readable);
	*out = http;
	return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct clv_metrics_http *http = handle->data;

	if (--http->open_handles == 0)
		free(http);
}

void clv_metrics_http_close(struct clv_metrics_http *http)
{
	if (!http)
		return;
	uv_close((uv_handle_t *)&http->poll, on_handle_closed);
	uv_close((uv_handle_t *)&http->timer, on_handle_closed);
	MHD_stop_daemon(http->daemon);
}
