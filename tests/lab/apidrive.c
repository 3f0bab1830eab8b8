/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * apidrive - an application of libculvert that runs commands from standard input, one per line:
 *
 *   session RELAY PIN [reconnect] [capsules]      tunnel NAME TARGET
 *   bound NAME [closed]                           permit NAME REMOTE
 *   send NAME TEXT                                sendto NAME REMOTE TEXT
 *   size NAME BYTES                               flood NAME COUNT
 *   close NAME | session                          mute NAME (close it while its next event is read)
 *   pour NAME COUNT BYTES (then step for a while  stats
 *        without reading events)
 *
 * Prints a line of JSON for each command, {"did": ..., "error": ...}, and for each event, with
 * "event" and the "name" of its object.  Exits at the end of standard input.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "control/library/culvert.h"

enum {
	WORDS_MAX = 6,
	THINGS_MAX = 32,
	SIZE_MAX_BYTES = 65535,
	POUR_AT_ONCE = 16,
	POUR_QUIET = 20, /* times 10 ms without an event end it */
};

/* A tunnel or a bound tunnel. */
struct thing {
	char name[32]; /* "": free */
	struct culvert_tunnel *tunnel;
	struct culvert_bound *bound;
	bool is_mute;
};

static struct culvert *client;
static struct culvert_session *session;
static struct thing things[THINGS_MAX];

static struct thing *find(const char *name)
{
	for (int i = 0; i < THINGS_MAX; i++)
		if (!strcmp(things[i].name, name))
			return &things[i];
	fprintf(stderr, "apidrive: no %s\n", *name ? name : "room");
	exit(1);
}

static struct thing *new_thing(const char *name)
{
	struct thing *t = find("");

	snprintf(t->name, sizeof(t->name), "%s", name);
	return t;
}

static void close_thing(struct thing *t)
{
	culvert_tunnel_close(t->tunnel);
	culvert_bound_close(t->bound);
	*t = (struct thing){ .tunnel = NULL };
}

static void print_json(json_t *line)
{
	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(line);
}

/* ---- events ---- */

static const char *const events[] = {
	[CULVERT_UP] = "up",
	[CULVERT_LOST] = "lost",
	[CULVERT_DOWN] = "down",
	[CULVERT_PAYLOAD_MAX] = "payload_max",
	[CULVERT_OPEN] = "open",
	[CULVERT_CLOSED] = "closed",
	[CULVERT_DATAGRAM] = "datagram",
	[CULVERT_BOUND_OPEN] = "bound_open",
	[CULVERT_BOUND_REFUSED] = "bound_refused",
	[CULVERT_BOUND_ENDED] = "bound_ended",
	[CULVERT_REMOTE_REFUSED] = "remote_refused",
};

static void tell(const struct culvert_event *e)
{
	json_t *line = json_pack("{s:s,s:i,s:i,s:b}", "event", events[e->type], "error", e->error,
				 "status", (int)e->status, "was_open", e->was_open);
	char text[CULVERT_ADDRESS_TEXT];
	json_t *list;

	if (e->tunnel || e->bound)
		json_object_set_new(line, "name", json_string(((struct thing *)e->user)->name));
	if (e->type == CULVERT_DATAGRAM) {
		json_object_set_new(line, "len", json_integer((json_int_t)e->payload_len));
		json_object_set_new(line, "text",
				    json_stringn((const char *)e->payload, e->payload_len));
	}
	if (e->remote.sa.sa_family)
		json_object_set_new(line, "remote",
				    json_string(culvert_address_format(&e->remote, text)));
	if (e->type == CULVERT_PAYLOAD_MAX)
		json_object_set_new(line, "max", json_integer(e->payload_max));
	if (e->type == CULVERT_BOUND_OPEN) {
		list = json_array();
		for (size_t i = 0; i < e->addresses_len; i++)
			json_array_append_new(
				list, json_string(culvert_address_format(&e->addresses[i], text)));
		json_object_set_new(line, "addresses", list);
	}
	print_json(line);
}

static void handle(const struct culvert_event *e)
{
	struct thing *t = e->user;

	tell(e);
	if (t && t->is_mute)
		close_thing(t);
}

/* ---- commands ---- */

static bool has(char **words, const char *word)
{
	for (int i = 2; i < WORDS_MAX && words[i]; i++)
		if (!strcmp(words[i], word))
			return true;
	return false;
}

static int open_session(char **words)
{
	const struct culvert_session_options o = {
		.relay = words[1],
		.pin = words[2],
		.reconnect = has(words, "reconnect"),
		.capsules = has(words, "capsules"),
	};

	return culvert_session_open(client, &o, &session);
}

static int open_tunnel(char **words)
{
	struct thing *t = new_thing(words[1]);
	const struct culvert_tunnel_options o = { .target = words[2], .user = t };
	int err = culvert_tunnel_open(session, &o, &t->tunnel);

	if (err)
		t->name[0] = '\0';
	return err;
}

static int open_bound(char **words)
{
	struct thing *t = new_thing(words[1]);
	const struct culvert_bound_options o = { .is_closed = has(words, "closed"), .user = t };

	return culvert_bound_open(session, &o, &t->bound);
}

static int send_to(char **words)
{
	union culvert_address remote;
	int err = culvert_address_parse(words[2], &remote);

	if (err)
		return err;
	if (!strcmp(words[0], "permit"))
		return culvert_bound_permit(find(words[1])->bound, &remote);
	return culvert_bound_send(find(words[1])->bound, &remote, words[3], strlen(words[3]));
}

static int send_size(char **words)
{
	static const uint8_t zeros[SIZE_MAX_BYTES];

	return culvert_tunnel_send(find(words[1])->tunnel, zeros, strtoul(words[2], NULL, 10));
}

/* Send without a step in between.  Returns how many were accepted before the first error. */
static int flood(char **words)
{
	int count = atoi(words[2]), taken = 0;

	while (taken < count && !culvert_tunnel_send(find(words[1])->tunnel, "flood", 5))
		taken++;
	return taken;
}

static int close_it(char **words)
{
	if (strcmp(words[1], "session")) {
		close_thing(find(words[1]));
		return 0;
	}
	culvert_session_close(session); /* and everything opened on it */
	memset(things, 0, sizeof(things));
	return 0;
}

static int print_stats(char **words)
{
	struct culvert_stats stats;

	(void)words;
	culvert_stats(client, &stats);
	print_json(json_pack("{s:I,s:I,s:I}", "received_dropped",
			     (json_int_t)stats.received_dropped, "packets_in",
			     (json_int_t)stats.packets_in, "packets_out",
			     (json_int_t)stats.packets_out));
	return 0;
}

/* Returns how many were sent. */
static int pour(char **words)
{
	static const uint8_t zeros[SIZE_MAX_BYTES];
	struct pollfd fd = { .fd = culvert_fd(client), .events = POLLIN };
	int count = atoi(words[2]), sent = 0, quiet = 0;

	while (sent < count || quiet < POUR_QUIET) {
		struct culvert_tunnel *t = find(words[1])->tunnel;

		for (int i = 0; i < POUR_AT_ONCE && sent < count; i++)
			sent += !culvert_tunnel_send(t, zeros, strtoul(words[3], NULL, 10));
		culvert_step(client);
		quiet = poll(&fd, 1, 10) ? 0 : quiet + 1;
	}
	return sent;
}

static int mute(char **words)
{
	find(words[1])->is_mute = true;
	return 0;
}

static int do_send(char **words)
{
	return culvert_tunnel_send(find(words[1])->tunnel, words[2], strlen(words[2]));
}

static const struct {
	const char *word;
	int words; /* at least */
	int (*run)(char **words);
} commands[] = {
	{ "session", 3, open_session },
	{ "tunnel", 3, open_tunnel },
	{ "bound", 2, open_bound },
	{ "permit", 3, send_to },
	{ "sendto", 4, send_to },
	{ "send", 3, do_send },
	{ "size", 3, send_size },
	{ "flood", 3, flood },
	{ "close", 2, close_it },
	{ "mute", 2, mute },
	{ "pour", 4, pour },
	{ "stats", 1, print_stats },
};

static void run(char *line)
{
	char *words[WORDS_MAX + 1] = { NULL }, *rest = line;
	int n = 0;

	while (n < WORDS_MAX && (words[n] = strtok_r(NULL, " \n", &rest)))
		n++;
	for (size_t i = 0; n && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(words[0], commands[i].word) || n < commands[i].words)
			continue;
		print_json(
			json_pack("{s:s,s:i}", "did", words[0], "error", commands[i].run(words)));
		return;
	}
	fprintf(stderr, "apidrive: what is %s\n", line);
	exit(1);
}

/* ---- the loop ---- */

/* Returns false at the end of standard input. */
static bool read_commands(void)
{
	static char buffer[65536];
	static size_t len;
	char *end;
	ssize_t n = read(STDIN_FILENO, buffer + len, sizeof(buffer) - 1 - len);

	if (n <= 0)
		return false;
	len += (size_t)n;
	buffer[len] = '\0';
	while ((end = strchr(buffer, '\n'))) {
		*end = '\0';
		run(buffer);
		len -= (size_t)(end + 1 - buffer);
		memmove(buffer, end + 1, len + 1);
	}
	return true;
}

int main(void)
{
	struct pollfd fds[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .events = POLLIN } };
	struct culvert_event e;
	bool goes_on = true;
	int err = culvert_open(NULL, &client);

	if (err) {
		fprintf(stderr, "apidrive: %s\n", culvert_strerror(err));
		return 1;
	}
	fds[1].fd = culvert_fd(client);
	while (goes_on) {
		culvert_step(client);
		while (culvert_next_event(client, &e))
			handle(&e);
		poll(fds, 2, culvert_timeout_msec(client));
		if (fds[0].revents)
			goes_on = read_commands();
	}
	culvert_close(client);
	return 0;
}
