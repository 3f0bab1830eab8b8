/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admin/ctl.h"

#include "control/admin/text.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * One connection.  It is not read while a response is written, so one response is pending at most.
 */
struct client {
	struct clv_ctl *ctl; /* NULL: closing */
	uv_pipe_t pipe;
	uv_write_t write;
	char *answer; /* being written */
	char line[CLV_CTL_REQUEST_MAX + 1];
	size_t len;
	uint64_t since; /* number of the connection; the oldest is replaced */
	bool is_last;	/* close after this response */
};

struct clv_ctl {
	uv_pipe_t pipe;
	char path[PATH_MAX];
	const struct clv_ctl_command *commands;
	size_t commands_len;
	void *user;
	uint64_t accepted;
	struct client *clients[CLV_CTL_CLIENTS_MAX];
};

/* ---- responses ---- */

static char *dump(json_t *answer)
{
	char *text, *line;
	size_t len;

	text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	json_decref(answer);
	if (!text)
		return NULL;
	len = strlen(text);
	line = realloc(text, len + 2);
	if (!line) {
		free(text);
		return NULL;
	}
	memcpy(line + len, "\n", 2);
	return line;
}

static char *dump_error(const char *what)
{
	return dump(json_pack("{s:o}", "error", clv_text_json(what)));
}

char *clv_ctl_answer(const struct clv_ctl_command *commands, size_t commands_len, void *user,
		     const char *line, size_t len)
{
	json_t *answer = NULL, *request;
	const char *name;
	json_error_t why;
	char text[JSON_ERROR_TEXT_LENGTH + 32];
	size_t i;

	request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	if (!request) {
		snprintf(text, sizeof(text), "not JSON: %s", why.text);
		return dump_error(text);
	}
	name = json_string_value(json_object_get(request, "cmd"));
	for (i = 0; name && i < commands_len; i++)
		if (strcmp(commands[i].name, name) == 0)
			break;
	if (!name || i == commands_len) {
		json_decref(request);
		return dump_error(name ? "unknown command" : "no \"cmd\" in it");
	}
	answer = commands[i].answer(user, request);
	json_decref(request);
	return dump(answer);
}

/* ---- clients ---- */

static void on_client_closed(uv_handle_t *handle)
{
	struct client *client = handle->data;

	free(client->answer);
	free(client);
}

static void close_client(struct client *client)
{
	size_t i;

	if (!client->ctl)
		return;
	for (i = 0; i < CLV_CTL_CLIENTS_MAX; i++)
		if (client->ctl->clients[i] == client)
			client->ctl->clients[i] = NULL;
	client->ctl = NULL;
	uv_close((uv_handle_t *)&client->pipe, on_client_closed);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct client *client = handle->data;

	(void)suggested;
	buf->base = client->line + client->len;
	buf->len = sizeof(client->line) - client->len;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);
static bool answer_line(struct client *client);

static void on_written(uv_write_t *write, int status)
{
	struct client *client = write->data;

	free(client->answer);
	client->answer = NULL;
	if (status || client->is_last) {
		close_client(client);
		return;
	}
	if (client->ctl && !answer_line(client) &&
	    uv_read_start((uv_stream_t *)&client->pipe, on_room, on_read))
		close_client(client);
}

static void send_answer(struct client *client, char *answer)
{
	uv_buf_t buf;

	if (!answer) {
		close_client(client);
		return;
	}
	client->answer = answer;
	client->write.data = client;
	buf = uv_buf_init(answer, (unsigned)strlen(answer));
	uv_read_stop((uv_stream_t *)&client->pipe);
	if (uv_write(&client->write, (uv_stream_t *)&client->pipe, &buf, 1, on_written))
		close_client(client);
}

/* Respond to the first complete line; what follows it waits until the response is written. */
static bool answer_line(struct client *client)
{
	char *end = memchr(client->line, '\n', client->len);
	const struct clv_ctl *ctl = client->ctl;
	size_t len;
	char *answer;

	if (!end)
		return false;
	len = (size_t)(end - client->line);
	answer = clv_ctl_answer(ctl->commands, ctl->commands_len, ctl->user, client->line, len);
	client->len -= len + 1;
	memmove(client->line, end + 1, client->len);
	send_answer(client, answer);
	return true;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct client *client = stream->data;

	(void)buf;
	if (n < 0) {
		close_client(client);
		return;
	}
	client->len += (size_t)n;
	if (!answer_line(client) && client->len >= CLV_CTL_REQUEST_MAX) {
		client->is_last = true;
		send_answer(client, dump_error("request too long"));
	}
}

/* Returns the slot for a new client; closes the oldest one if none is free. */
static size_t make_place(struct clv_ctl *ctl)
{
	size_t i, oldest = 0;

	for (i = 0; i < CLV_CTL_CLIENTS_MAX; i++) {
		if (!ctl->clients[i])
			return i;
		if (ctl->clients[i]->since < ctl->clients[oldest]->since)
			oldest = i;
	}
	close_client(ctl->clients[oldest]);
	return oldest;
}

static void on_connection(uv_stream_t *server, int status)
{
	struct clv_ctl *ctl = server->data;
	struct client *client;

	if (status)
		return;
	client = calloc(1, sizeof(*client));
	if (!client)
		return;
	uv_pipe_init(server->loop, &client->pipe, 0);
	client->pipe.data = client;
	client->ctl = ctl;
	client->since = ++ctl->accepted;
	if (uv_accept(server, (uv_stream_t *)&client->pipe)) {
		close_client(client);
		return;
	}
	ctl->clients[make_place(ctl)] = client;
	if (uv_read_start((uv_stream_t *)&client->pipe, on_room, on_read))
		close_client(client);
}

/* ---- open and close ---- */

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

int clv_ctl_open(uv_loop_t *loop, const char *run_dir, const struct clv_ctl_command *commands,
		 size_t commands_len, void *user, struct clv_ctl **out)
{
	struct clv_ctl *ctl = calloc(1, sizeof(*ctl));
	mode_t mask;
	int err;

	if (!ctl)
		return -ENOMEM;
	if (snprintf(ctl->path, sizeof(ctl->path), "%s/%s", run_dir, CLV_CTL_SOCKET) >=
	    (int)sizeof(((struct sockaddr_un *)0)->sun_path)) {
		free(ctl);
		return -ENAMETOOLONG;
	}
	ctl->commands = commands;
	ctl->commands_len = commands_len;
	ctl->user = user;
	uv_pipe_init(loop, &ctl->pipe, 0);
	ctl->pipe.data = ctl;
	unlink(ctl->path);
	mask = umask(0177); /* others can never connect, not even before a chmod */
	err = uv_pipe_bind(&ctl->pipe, ctl->path);
	umask(mask);
	err = err ? err : uv_listen((uv_stream_t *)&ctl->pipe, CLV_CTL_CLIENTS_MAX, on_connection);
	if (err) {
		uv_close((uv_handle_t *)&ctl->pipe, on_closed);
		return err; /* libuv's errors are -errno */
	}
	*out = ctl;
	return 0;
}

void clv_ctl_close(struct clv_ctl *ctl)
{
	size_t i;

	if (!ctl)
		return;
	for (i = 0; i < CLV_CTL_CLIENTS_MAX; i++)
		if (ctl->clients[i])
			close_client(ctl->clients[i]);
	unlink(ctl->path);
	uv_close((uv_handle_t *)&ctl->pipe, on_closed);
}
