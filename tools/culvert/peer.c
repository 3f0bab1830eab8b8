/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvert/peer.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- errors: messages and exit status ---- */

void peer_log(const struct peer *p, enum culvert_log level, const char *fmt, ...)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	struct pollfd may_write = { .fd = STDERR_FILENO, .events = POLLOUT };
	char text[512];
	va_list args;

	if (level > p->options->log_level)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	/* Nobody may read it: packets must not wait for that. */
	if (poll(&may_write, 1, 0) == 1)
		fprintf(stderr, "%s %s\n", names[level], text);
}

static int status_of(int error)
{
	switch (error) {
	case CULVERT_ESYNTAX:
	case CULVERT_ERANGE:
		return STATUS_USAGE;
	case CULVERT_EUNROUTABLE:
		return STATUS_NO_FAMILY;
	case CULVERT_EDENIED:
		return STATUS_DENIED;
	case CULVERT_ENONAME:
	case CULVERT_ENAMETIME:
		return STATUS_NO_NAME;
	case CULVERT_EFULL:
		return STATUS_FULL;
	case CULVERT_EUNAUTHORIZED:
		return STATUS_UNAUTHORIZED;
	default:
		return STATUS_FAILED;
	}
}

int peer_print_failure(const struct peer *p, const char *what, int error)
{
	const char *why = culvert_why(p->culvert);

	if (*why)
		fprintf(stderr, "culvert: %s\n", why);
	else
		fprintf(stderr, "culvert: %s: %s\n", what, culvert_strerror(error));
	return status_of(error);
}

/* Print why the session could not be requested.  Returns a status. */
static int session_failed(const struct peer *p, int error)
{
	char what[300];

	snprintf(what, sizeof(what), "relay %s", p->options->relay.text);
	peer_print_failure(p, what, error);
	switch (error) {
	case CULVERT_ENONAME:
		return STATUS_NO_RELAY_NAME;
	case CULVERT_EUNROUTABLE:
		return STATUS_NO_ROUTE;
	case CULVERT_ESYNTAX:
		return STATUS_USAGE;
	default:
		return STATUS_FAILED;
	}
}

static int print_down(const struct peer *p, const struct culvert_event *e)
{
	static const char *const profiles[] = { [CULVERT_PQC] = "pqc", [CULVERT_HYBRID] = "hybrid" };
	const char *relay = p->options->relay.text;
	struct culvert_session_info info;

	culvert_session_info(p->session, &info);
	switch (e->error) {
	case 0:
		fprintf(stderr, "culvert: relay %s closed the session\n", relay);
		return STATUS_FAILED;
	case CULVERT_ETIMEOUT:
		fprintf(stderr, "culvert: no answer from relay %s within 10 s\n", relay);
		return STATUS_NO_ANSWER;
	case CULVERT_ECLASSICAL:
		fprintf(stderr,
			"culvert: handshake with %s refused: no acceptable post-quantum key exchange "
			"or certificate (profile %s)%s%s\n",
			relay, profiles[info.profile], *e->detail ? ": " : "", e->detail);
		return STATUS_CLASSICAL;
	case CULVERT_EUNTRUSTED:
		fprintf(stderr, "culvert: the certificate of relay %s is not trusted%s%s\n", relay,
			*e->detail ? ": " : "", e->detail);
		return STATUS_UNTRUSTED;
	case CULVERT_EUNAUTHORIZED:
		fprintf(stderr, "culvert: relay %s refuses the certificate of %s (alert %u)\n",
			relay, p->options->identity, (unsigned)(e->code & 0xff));
		return STATUS_UNAUTHORIZED;
	case CULVERT_EUNROUTABLE:
		fprintf(stderr, "culvert: no route to relay %s\n", relay);
		return STATUS_NO_ROUTE;
	case CULVERT_EFULL:
		fprintf(stderr, "culvert: relay %s accepts no more connections\n", relay);
		return STATUS_FULL;
	default:
		fprintf(stderr, "culvert: session with relay %s failed: %s (code 0x%llx)\n", relay,
			culvert_strerror(e->error), (unsigned long long)e->code);
		return STATUS_FAILED;
	}
}

bool peer_is_lost(const struct peer *p, const struct culvert_event *e)
{
	struct culvert_session_info info;

	culvert_session_info(p->session, &info);
	return e->error == CULVERT_ECLOSED && !info.is_up;
}

/* What a relay that wants another credential says about the one that it got. */
static const char *credential_fault(const struct options *o)
{
	if (o->link && strstr(o->link, "token="))
		return "does not accept the token of this link";
	if (o->identity)
		return "does not know the certificate of --identity";
	return o->link ? "requires a credential, and this link has no token: is it for a client with "
			 "an --identity?"
		       : "requires a credential: use a link of its operator";
}

bool peer_print_unauthorized(const struct peer *p, const struct culvert_event *e)
{
	if (e->error == CULVERT_EUNAUTHORIZED)
		fprintf(stderr, "culvert: relay %s %s (status %u)\n", p->options->relay.text,
			credential_fault(p->options), e->status);
	else if (e->error == CULVERT_EDENIED && e->status == 403)
		fprintf(stderr, "culvert: relay %s does not serve this client (status 403%s%s)\n",
			p->options->relay.text, *e->detail ? ": " : "", e->detail);
	else
		return false;
	return true;
}

int peer_print_refused(const struct peer *p, const struct culvert_event *e)
{
	const char *target = p->options->target.host;

	if (e->error == CULVERT_ETIMEOUT && !e->status) {
		fprintf(stderr, "culvert: no answer from the relay for target %s within %u s\n",
			target, p->options->answer_timeout_sec);
		return STATUS_NO_ANSWER;
	}
	if (peer_print_unauthorized(p, e))
		return e->error == CULVERT_EUNAUTHORIZED ? STATUS_UNAUTHORIZED : STATUS_FORBIDDEN;
	switch (e->error) {
	case CULVERT_EUNROUTABLE:
		fprintf(stderr, "culvert: the relay has no route to the address family of %s",
			target);
		break;
	case CULVERT_EDENIED:
		fprintf(stderr, "culvert: the relay's policy denies target %s", target);
		break;
	case CULVERT_ENONAME:
		fprintf(stderr, "culvert: the relay cannot find the name %s", target);
		break;
	case CULVERT_ENAMETIME:
		fprintf(stderr, "culvert: the relay's resolver did not answer for %s", target);
		break;
	case CULVERT_EFULL:
		fprintf(stderr, "culvert: the relay has reached a limit of tunnels");
		break;
	default:
		fprintf(stderr, "culvert: no tunnel to %s: %s", target, culvert_strerror(e->error));
	}
	if (e->status)
		fprintf(stderr, " (status %u%s%s)", e->status, *e->detail ? ": " : "", e->detail);
	fputc('\n', stderr);
	return status_of(e->error);
}

void peer_log_ended(const struct peer *p, const struct culvert_event *e)
{
	/* A bound tunnel may have other public addresses afterwards: worth a warning. */
	peer_log(p, e->bound ? CULVERT_LOG_WARN : CULVERT_LOG_INFO, "tunnel_ended err=\"%s\"",
		 e->error ? culvert_strerror(e->error) : "closed by the relay");
}

/* ---- events ---- */

static void log_lost(const struct peer *p, const struct culvert_event *e)
{
	struct culvert_session_info info;

	culvert_session_info(p->session, &info);
	peer_log(p, CULVERT_LOG_WARN,
		 "relay_lost relay=%s err=\"%s%s%s\" again_sec=%u reconnects=%llu",
		 p->options->relay.text,
		 e->error ? culvert_strerror(e->error) : "closed by the relay",
		 *e->detail ? ": " : "", e->detail, e->again_sec,
		 (unsigned long long)info.reconnects);
}

static void handle(struct peer *p, const struct culvert_event *e)
{
	if (p->stopping)
		return;
	if (e->type == CULVERT_LOST)
		log_lost(p, e);
	else if (e->type == CULVERT_DOWN)
		peer_stop(p, print_down(p, e));
	if (p->ops->event)
		p->ops->event(p, e);
}

/* ---- the loop ---- */

static void on_nothing(uv_idle_t *idle)
{
	(void)idle;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	(void)poll, (void)status, (void)events; /* the step before the next sleep handles it */
}

static void on_timer(uv_timer_t *timer)
{
	(void)timer; /* likewise */
}

/* Before the loop sleeps: a step, what came of it, and how long it may sleep. */
static void on_prepare(uv_prepare_t *prepare)
{
	struct peer *p = prepare->data;
	struct culvert_event e;
	int msec;

	culvert_step(p->culvert);
	while (culvert_next_event(p->culvert, &e))
		handle(p, &e);
	msec = culvert_timeout_msec(p->culvert);
	uv_timer_stop(&p->timer);
	if (msec > 0)
		uv_timer_start(&p->timer, on_timer, (uint64_t)msec, 0);
	if (msec)
		uv_idle_stop(&p->busy);
	else
		uv_idle_start(&p->busy, on_nothing);
}

void peer_stop(struct peer *p, int status)
{
	if (p->stopping)
		return;
	p->stopping = true;
	p->status = status;
	uv_stop(&p->loop);
}

static void on_signal(uv_signal_t *signal, int number)
{
	(void)number;
	peer_stop(signal->data, STATUS_OK);
}

/* SIGUSR1: print what was dropped so far, on one line. */
static void on_user1(uv_signal_t *signal, int number)
{
	const struct peer *p = signal->data;
	struct culvert_drop drop;
	char line[1024] = "drops";
	size_t len = strlen(line);

	(void)number;
	for (unsigned i = 0; len < sizeof(line) && culvert_drop(p->culvert, i, &drop); i++)
		len += (size_t)snprintf(line + len, sizeof(line) - len, " %s=%llu", drop.reason,
					(unsigned long long)drop.count);
	fprintf(stderr, "%s\n", line);
}

/* ---- life ---- */

static void open_loop(struct peer *p)
{
	uv_loop_init(&p->loop);
	uv_prepare_init(&p->loop, &p->prepare);
	uv_poll_init(&p->loop, &p->poll, culvert_fd(p->culvert));
	uv_timer_init(&p->loop, &p->timer);
	uv_idle_init(&p->loop, &p->busy);
	uv_signal_init(&p->loop, &p->term);
	uv_signal_init(&p->loop, &p->interrupt);
	uv_signal_init(&p->loop, &p->user1);
	p->prepare.data = p->term.data = p->interrupt.data = p->user1.data = p;
	uv_prepare_start(&p->prepare, on_prepare);
	uv_poll_start(&p->poll, UV_READABLE, on_readable);
	uv_signal_start(&p->term, on_signal, SIGTERM);
	uv_signal_start(&p->interrupt, on_signal, SIGINT);
	uv_signal_start(&p->user1, on_user1, SIGUSR1);
}

int peer_open(struct peer *p, const struct options *o, const struct peer_ops *ops, void *user)
{
	const struct culvert_options co = {
		.remotes_max = o->remotes_max,
		.answer_timeout_sec = o->answer_timeout_sec,
		.spin_usec = o->spin_usec,
	};
	int err;

	*p = (struct peer){ .options = o, .ops = ops, .user = user };
	err = culvert_open(&co, &p->culvert);
	if (err) {
		fprintf(stderr, "culvert: %s\n", culvert_strerror(err));
		return STATUS_FAILED;
	}
	open_loop(p);
	return 0;
}

static int start(struct peer *p)
{
	const struct options *o = p->options;
	const struct culvert_session_options so = {
		.relay = o->link ? o->link : o->relay.text,
		.ca_file = o->ca_file,
		.pin = o->pin,
		.server_name = o->server_name,
		.identity = o->identity,
		.profile = o->profile,
		.capsules = o->capsules,
		.reconnect = o->command != COMMAND_PING,
		.user = p,
	};
	int err = 0;

	if (o->relay.port && o->command != COMMAND_NAT) /* connect has none, nat needs no session */
		err = culvert_session_open(p->culvert, &so, &p->session);
	if (err)
		return session_failed(p, err);
	return p->ops->start ? p->ops->start(p) : 0;
}

int peer_run(struct peer *p)
{
	int status = start(p);

	if (status)
		return status;
	uv_run(&p->loop, UV_RUN_DEFAULT);
	return p->status;
}

static void close_handle(uv_handle_t *handle, void *user)
{
	(void)user;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void report(const struct peer *p)
{
	struct culvert_stats stats;
	struct culvert_drop drop;

	for (unsigned i = 0; culvert_drop(p->culvert, i, &drop); i++)
		peer_log(p, CULVERT_LOG_INFO, "dropped reason=%s count=%llu meaning=\"%s\"",
			 drop.reason, (unsigned long long)drop.count, drop.meaning);
	culvert_stats(p->culvert, &stats);
	peer_log(p, CULVERT_LOG_INFO, "end packets_in=%llu packets_out=%llu spins=%llu useful=%llu",
		 (unsigned long long)stats.packets_in, (unsigned long long)stats.packets_out,
		 (unsigned long long)stats.spins, (unsigned long long)stats.spins_useful);
}

void peer_close(struct peer *p)
{
	if (!p->culvert)
		return;
	report(p);
	uv_walk(&p->loop, close_handle, NULL);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	uv_loop_close(&p->loop);
	culvert_close(p->culvert);
}
