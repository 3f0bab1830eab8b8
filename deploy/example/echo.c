/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sends numbered datagrams to a UDP echo service through a relay, and counts the answers. */
#include <culvert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned count = 10, sent, received;

static int fail(struct culvert *c, const char *what, int error)
{
	fprintf(stderr, "%s: %s. %s\n", what, culvert_strerror(error), culvert_why(c));
	return EXIT_FAILURE;
}

/* One at a time: the next goes when the last was answered. */
static int send_next(struct culvert_tunnel *t)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "datagram %u", ++sent);

	return culvert_tunnel_send(t, text, (size_t)len);
}

/* Returns 0 to go on, or an error that ends the program. */
static int handle(const struct culvert_event *e, const char *target)
{
	struct culvert_tunnel_options options = { .target = target };
	struct culvert_tunnel *tunnel;

	switch (e->type) {
	case CULVERT_UP:
		return culvert_tunnel_open(e->session, &options, &tunnel);
	case CULVERT_OPEN:
		return send_next(e->tunnel);
	case CULVERT_DATAGRAM:
		printf("%.*s\n", (int)e->payload_len, (const char *)e->payload);
		received++;
		return sent < count ? send_next(e->tunnel) : 0;
	case CULVERT_CLOSED:
		fprintf(stderr, "no tunnel, status %u %s\n", e->status, e->detail);
		return e->error ? e->error : CULVERT_ECLOSED;
	case CULVERT_DOWN:
		return e->error ? e->error : CULVERT_ECLOSED;
	default:
		return 0;
	}
}

int main(int argc, char **argv)
{
	struct culvert_session_options options = { 0 };
	struct culvert_session *session;
	struct culvert_event event;
	struct culvert *c;
	int err;

	if (argc < 4) {
		fprintf(stderr, "usage: %s RELAY:PORT sha256:HEX TARGET:PORT [COUNT]\n", argv[0]);
		return EXIT_FAILURE;
	}
	if (argc > 4)
		count = (unsigned)strtoul(argv[4], NULL, 10);
	options.relay = argv[1];
	options.pin = argv[2];
	err = culvert_open(NULL, &c);
	if (err)
		return EXIT_FAILURE;
	err = culvert_session_open(c, &options, &session);
	if (err)
		return fail(c, "session", err);

	while (!err && received < count) {
		struct pollfd fd = { .fd = culvert_fd(c), .events = POLLIN };

		culvert_step(c);
		while (!err && culvert_next_event(c, &event))
			err = handle(&event, argv[3]);
		if (!err && received < count)
			poll(&fd, 1, culvert_timeout_msec(c));
	}
	if (err)
		fail(c, "echo", err);
	culvert_close(c);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
