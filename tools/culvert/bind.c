/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvert/bind.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

enum {
	LINE_MAX_BYTES = 128, /* of what names a remote on standard input */
	SECOND_MSEC = 1000,
};

struct bind {
	struct peer *peer;
	struct clv_bindpoint *point;
	uv_poll_t input;
	uv_timer_t again; /* the tunnel ended though the session goes on */
	char line[LINE_MAX_BYTES];
	size_t line_len;
	bool line_is_long;
};

/* ---- what is said on standard output ---- */

static void say(const struct bind *b, json_t *event, const char *text)
{
	if (b->peer->options->json) {
		json_dumpf(event, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		puts(text);
	}
	fflush(stdout);
	json_decref(event);
}

static void say_remote(const struct bind *b, const char *what, const struct clv_endpoint *wire,
		       const struct clv_endpoint *local)
{
	char remote[CLV_ADDR_TEXT_MAX], port[CLV_ADDR_TEXT_MAX] = "", text[256];

	clv_endpoint_format(wire, remote, sizeof(remote));
	if (local)
		clv_endpoint_format(local, port, sizeof(port));
	snprintf(text, sizeof(text), "%s %s%s%s", what, remote, local ? " local " : "", port);
	say(b,
	    json_pack("{s:s,s:s,s:s*}", "event", what, "remote", remote, "local",
		      local ? port : NULL),
	    text);
}

static void on_open(void *user, const struct clv_client_result *result)
{
	const struct bind *b = user;
	json_t *list = json_array();
	char addr[CLV_ADDR_TEXT_MAX], text[CLV_CLIENT_PUBLIC_MAX * CLV_ADDR_TEXT_MAX + 16];
	size_t len;

	len = (size_t)snprintf(text, sizeof(text), "public");
	for (unsigned i = 0; i < result->public_len; i++) {
		clv_endpoint_format(&result->public_addrs[i], addr, sizeof(addr));
		json_array_append_new(list, json_string(addr));
		len += (size_t)snprintf(text + len, sizeof(text) - len, " %s", addr);
	}
	say(b, json_pack("{s:s,s:o}", "event", "public", "addresses", list), text);
}

static void on_remote(void *user, const struct clv_endpoint *wire, const struct clv_endpoint *local)
{
	say_remote(user, "remote", wire, local);
}

static void on_remote_gone(void *user, const struct clv_endpoint *wire,
			   const struct clv_endpoint *local)
{
	say_remote(user, "gone", wire, local);
}

static void on_remote_refused(void *user, const struct clv_endpoint *wire)
{
	say_remote(user, "refused", wire, NULL);
}

/* ---- when it does not work ---- */

static void on_refused(void *user, int error, const struct clv_client_result *result)
{
	const struct bind *b = user;

	if (b->peer->stopping || error == CLV_ECLOSED)
		return; /* lost with its session, which says why */
	if (result && result->status >= 200 && result->status < 300)
		fprintf(stderr, "culvert: relay %s does not offer bound tunnels\n",
			b->peer->authority);
	else
		fprintf(stderr, "culvert: relay %s refused a bound tunnel: %s (status %u)\n",
			b->peer->authority, clv_strerror(error), result ? result->status : 0);
	peer_stop(b->peer, error == CLV_EFULL ? CULVERT_FULL : CULVERT_NO_BIND);
}

static void on_again(uv_timer_t *timer)
{
	struct bind *b = timer->data;

	if (b->peer->session)
		clv_bindpoint_set_session(b->point, b->peer->session);
}

static void on_ended(void *user, int error)
{
	struct bind *b = user;

	if (b->peer->stopping)
		return;
	clv_log(CLV_LOG_WARN, "tunnel_ended", "err=\"%s\"",
		error ? clv_strerror(error) : "closed by the relay");
	uv_timer_start(&b->again, on_again, SECOND_MSEC, 0);
}

static const struct clv_bindpoint_ops ops = {
	.on_open = on_open,
	.on_remote = on_remote,
	.on_remote_gone = on_remote_gone,
	.on_remote_refused = on_remote_refused,
	.on_refused = on_refused,
	.on_ended = on_ended,
};

/* ---- remotes named in advance ---- */

static int name_remote(struct bind *b, const char *text)
{
	struct clv_endpoint wire;
	int err = clv_endpoint_parse(text, &wire);

	if (!err && !wire.port)
		err = CLV_ERANGE;
	err = err ? err : clv_bindpoint_add(b->point, &wire);
	if (err)
		fprintf(stderr, "culvert: remote %s: %s\n", text,
			err == CLV_ESYNTAX ? "ADDRESS:PORT is wanted, not a name"
					   : clv_strerror(err));
	return err;
}

static void take_input(struct bind *b, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != '\n') {
			if (b->line_len + 1 < sizeof(b->line))
				b->line[b->line_len++] = bytes[i];
			else
				b->line_is_long = true;
			continue;
		}
		b->line[b->line_len] = '\0';
		if (b->line_is_long)
			fprintf(stderr, "culvert: a line of standard input is too long\n");
		else if (b->line_len)
			name_remote(b, b->line);
		b->line_len = 0;
		b->line_is_long = false;
	}
}

static void on_input(uv_poll_t *poll, int status, int events)
{
	struct bind *b = poll->data;
	char bytes[512];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

	(void)status, (void)events;
	if (n > 0)
		take_input(b, bytes, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		uv_poll_stop(&b->input);
}

/* A pipe or a terminal is followed; what is in a file is there at once. */
static void read_input(struct bind *b)
{
	char bytes[512];
	ssize_t n;

	if (uv_poll_init(&b->peer->loop, &b->input, STDIN_FILENO) == 0) {
		b->input.data = b;
		uv_poll_start(&b->input, UV_READABLE, on_input);
		return;
	}
	while ((n = read(STDIN_FILENO, bytes, sizeof(bytes))) > 0)
		take_input(b, bytes, (size_t)n);
}

/* ---- life ---- */

static int open_point(struct bind *b)
{
	const struct culvert_options *o = b->peer->options;
	struct clv_bindpoint_params params = {
		.client = b->peer->client,
		.is_joined = true,
		.is_closed = o->closed,
		.remotes_max = o->remotes,
		.busy_per_sec = o->compress_above,
		.idle_ns = o->idle_ns,
		.ops = &ops,
		.user = b,
	};
	int err;

	if (*o->app.host && (clv_addr_parse(o->app.host, params.app.addr) || !o->app.port)) {
		fprintf(stderr, "culvert: --app wants ADDRESS:PORT\n");
		return CULVERT_USAGE;
	}
	params.app.port = htons(o->app.port);
	err = clv_bindpoint_open(&params, &b->point);
	if (!err)
		return 0;
	fprintf(stderr, "culvert: %s\n", clv_strerror(err));
	return CULVERT_FAILED;
}

static int name_remotes(struct bind *b)
{
	const struct culvert_options *o = b->peer->options;
	bool wants_input = false;

	for (unsigned i = 0; i < o->peers_len; i++) {
		if (!strcmp(o->peers[i], "-"))
			wants_input = true;
		else if (name_remote(b, o->peers[i]))
			return CULVERT_USAGE;
	}
	if (wants_input)
		read_input(b);
	return 0;
}

static void report(const struct bind *b)
{
	const struct clv_bindpoint_stats *s = clv_bindpoint_stats(b->point);

	if (s->remotes_full || s->dropped)
		clv_log(CLV_LOG_WARN, "bind_dropped", "remotes=%llu datagrams=%llu",
			(unsigned long long)s->remotes_full, (unsigned long long)s->dropped);
}

int bind_run(struct peer *p)
{
	struct bind b = { .peer = p };
	int code;

	uv_timer_init(&p->loop, &b.again);
	b.again.data = &b;
	code = open_point(&b);
	p->bindpoint = b.point;
	if (!code)
		code = name_remotes(&b);
	if (!code)
		code = peer_run(p);
	if (b.point)
		report(&b);
	peer_close(p); /* the handles in b are closed by it */
	return code;
}
