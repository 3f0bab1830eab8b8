/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvert/commands.h"
#include "tools/culvert/peer.h"

#include <jansson.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LINE_MAX_BYTES = 128, /* of a remote's address on standard input */
};

struct bind {
	struct peer peer;
	struct culvert_bound *bound;
	uv_poll_t input;
	char line[LINE_MAX_BYTES];
	size_t line_len;
	bool line_is_long;
};

/* ---- output ---- */

static void print_event(const struct bind *b, json_t *event, const char *text)
{
	if (b->peer.options->json) {
		json_dumpf(event, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		puts(text);
	}
	fflush(stdout);
	json_decref(event);
}

static void print_remote(const struct bind *b, const char *what, const struct culvert_event *e)
{
	char remote[CULVERT_ADDRESS_TEXT], port[CULVERT_ADDRESS_TEXT] = "", text[256];
	bool has_local = e->local.sa.sa_family;

	if (e->remote.sa.sa_family)
		culvert_address_format(&e->remote, remote);
	else
		strcpy(remote, "any");
	if (has_local)
		culvert_address_format(&e->local, port);
	snprintf(text, sizeof(text), "%s %s%s%s", what, remote, has_local ? " local " : "", port);
	print_event(b,
		    json_pack("{s:s,s:s,s:s*}", "event", what, "remote", remote, "local",
			      has_local ? port : NULL),
		    text);
}

static void print_public(const struct bind *b, const struct culvert_event *e)
{
	json_t *list = json_array();
	char addr[CULVERT_ADDRESS_TEXT], text[1024] = "public";
	size_t len = strlen(text);

	for (size_t i = 0; i < e->addresses_len; i++) {
		culvert_address_format(&e->addresses[i], addr);
		json_array_append_new(list, json_string(addr));
		if (len + strlen(addr) + 2 < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, " %s", addr);
	}
	print_event(b, json_pack("{s:s,s:o}", "event", "public", "addresses", list), text);
}

/* ---- events ---- */

static int status_of_refusal(const struct culvert_event *e)
{
	if (e->error == CULVERT_ETIMEOUT && !e->status)
		return STATUS_NO_ANSWER;
	return e->error == CULVERT_EFULL ? STATUS_FULL : STATUS_NO_BIND;
}

static void on_refused(struct bind *b, const struct culvert_event *e)
{
	const char *relay = b->peer.options->relay.text;

	if (peer_is_lost(&b->peer, e))
		return;
	if (peer_print_unauthorized(&b->peer, e)) {
		peer_stop(&b->peer, e->error == CULVERT_EUNAUTHORIZED ? STATUS_UNAUTHORIZED
								      : STATUS_FORBIDDEN);
		return;
	}
	if (e->status >= 200 && e->status < 300)
		fprintf(stderr, "culvert: relay %s does not offer bound tunnels\n", relay);
	else if (e->error == CULVERT_ETIMEOUT && !e->status)
		fprintf(stderr,
			"culvert: no answer from relay %s to the request for a bound tunnel within %u s\n",
			relay, b->peer.options->answer_timeout_sec);
	else
		fprintf(stderr, "culvert: relay %s refused a bound tunnel: %s (status %u%s%s)\n",
			relay, culvert_strerror(e->error), e->status, *e->detail ? ": " : "",
			e->detail);
	peer_stop(&b->peer, status_of_refusal(e));
}

static void on_event(struct peer *p, const struct culvert_event *e)
{
	struct bind *b = p->user;

	switch (e->type) {
	case CULVERT_BOUND_OPEN:
		print_public(b, e);
		break;
	case CULVERT_BOUND_REFUSED:
		on_refused(b, e);
		break;
	case CULVERT_BOUND_ENDED:
		peer_log_ended(p, e);
		break;
	case CULVERT_REMOTE:
		print_remote(b, "remote", e);
		break;
	case CULVERT_REMOTE_GONE:
		print_remote(b, "gone", e);
		break;
	case CULVERT_REMOTE_REFUSED:
		print_remote(b, "refused", e);
		break;
	default:
		break;
	}
}

/* ---- permitted remotes ---- */

static int permit_remote(struct bind *b, const char *text)
{
	union culvert_address remote;
	int err = culvert_address_parse(text, &remote);

	err = err ? err : culvert_bound_permit(b->bound, &remote);
	if (err)
		fprintf(stderr, "culvert: remote %s: %s\n", text,
			err == CULVERT_ESYNTAX ? "ADDRESS:PORT is required, not a name"
					       : culvert_strerror(err));
	return err;
}

static void parse_input(struct bind *b, const char *bytes, size_t len)
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
			permit_remote(b, b->line);
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
		parse_input(b, bytes, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		uv_poll_stop(&b->input);
}

/* Poll a pipe or a terminal; libuv cannot poll a regular file, which is read at once. */
static void read_input(struct bind *b)
{
	char bytes[512];
	ssize_t n;

	if (uv_poll_init(&b->peer.loop, &b->input, STDIN_FILENO) == 0) {
		b->input.data = b;
		uv_poll_start(&b->input, UV_READABLE, on_input);
		return;
	}
	while ((n = read(STDIN_FILENO, bytes, sizeof(bytes))) > 0)
		parse_input(b, bytes, (size_t)n);
}

/* ---- life ---- */

static int permit_remotes(struct bind *b)
{
	const struct options *o = b->peer.options;
	bool reads_input = false;

	for (unsigned i = 0; i < o->permits_len; i++) {
		if (!strcmp(o->permits[i], "-"))
			reads_input = true;
		else if (permit_remote(b, o->permits[i]))
			return STATUS_USAGE;
	}
	if (reads_input)
		read_input(b);
	return 0;
}

static int start(struct peer *p)
{
	const struct options *o = p->options;
	struct bind *b = p->user;
	const struct culvert_bound_options bo = {
		.is_joined = true,
		.app = o->app.text,
		.is_closed = o->closed,
		.no_compress = !o->compress_above,
		.remotes_max = o->remotes_max,
		.compress_above = o->compress_above,
		.idle_sec = o->idle_sec,
	};
	int err = culvert_bound_open(p->session, &bo, &b->bound);

	return err ? peer_print_failure(p, "bind", err) : permit_remotes(b);
}

static const struct peer_ops ops = { start, on_event };

static void report(const struct bind *b)
{
	struct culvert_bound_info info;

	culvert_bound_info(b->bound, &info);
	if (info.remotes_full || info.dropped)
		peer_log(&b->peer, CULVERT_LOG_WARN, "bind_dropped remotes=%llu datagrams=%llu",
			 (unsigned long long)info.remotes_full, (unsigned long long)info.dropped);
}

int bind_run(const struct options *o)
{
	struct bind b = { .bound = NULL };
	int status = peer_open(&b.peer, o, &ops, &b);

	if (!status)
		status = peer_run(&b.peer);
	if (b.bound)
		report(&b);
	peer_close(&b.peer); /* closes the handles in b too */
	return status;
}
