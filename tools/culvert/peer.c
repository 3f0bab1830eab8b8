/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvert/peer.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"

enum {
	STEPS_PER_TURN = 64,
	TUNNELS_MAX = 1024,
	HELD_PACKETS = 64,
	HELD_BYTES = 4 << 20,
	RETRY_MAX_SEC = 16,
};

/* ---- what went wrong, in words and as exit status ---- */

static int exit_of(int error)
{
	switch (error) {
	case CLV_EUNROUTABLE:
		return CULVERT_NO_FAMILY;
	case CLV_EDENIED:
		return CULVERT_DENIED;
	case CLV_ENONAME:
	case CLV_ENAMETIME:
		return CULVERT_NO_NAME;
	case CLV_EFULL:
		return CULVERT_FULL;
	default:
		return CULVERT_FAILED;
	}
}

static int session_exit(const struct peer *p, const struct clv_session_end *end)
{
	const char *relay = p->authority;

	switch (end->error) {
	case CLV_ETIMEOUT:
		fprintf(stderr, "culvert: no answer from relay %s within 10 s\n", relay);
		return CULVERT_NO_ANSWER;
	case CLV_ECLASSICAL:
		fprintf(stderr,
			"culvert: handshake with %s refused: no acceptable post-quantum key exchange "
			"or certificate (profile %s)\n",
			relay, clv_profile_name(p->options->profile));
		return CULVERT_CLASSICAL;
	case CLV_EUNTRUSTED:
		fprintf(stderr, "culvert: the certificate of relay %s is not trusted\n", relay);
		return CULVERT_UNTRUSTED;
	default:
		if (end->is_remote && !end->is_app && end->code == NGTCP2_CONNECTION_REFUSED) {
			fprintf(stderr, "culvert: relay %s takes no more connections\n", relay);
			return CULVERT_FULL;
		}
		if (!end->error) {
			fprintf(stderr, "culvert: relay %s closed the session\n", relay);
			return CULVERT_FAILED;
		}
		fprintf(stderr, "culvert: session with relay %s failed: %s (code 0x%llx)\n", relay,
			clv_strerror(end->error), (unsigned long long)end->code);
		return CULVERT_FAILED;
	}
}

static void say_refused(const struct peer *p, int error, const struct clv_client_result *r)
{
	const struct culvert_endpoint *t = &p->options->target;
	const char *details = r ? r->proxy.details : "";

	switch (error) {
	case CLV_EUNROUTABLE:
		fprintf(stderr, "culvert: the relay has no way to the address family of %s",
			t->host);
		break;
	case CLV_EDENIED:
		fprintf(stderr, "culvert: the relay's policy denies target %s", t->host);
		break;
	case CLV_ENONAME:
		fprintf(stderr, "culvert: the relay finds no such name: %s", t->host);
		break;
	case CLV_ENAMETIME:
		fprintf(stderr, "culvert: the relay's resolver did not answer for %s", t->host);
		break;
	case CLV_EFULL:
		fprintf(stderr, "culvert: the relay has no room for another tunnel");
		break;
	default:
		fprintf(stderr, "culvert: no tunnel to %s: %s", t->host, clv_strerror(error));
	}
	if (r && r->status)
		fprintf(stderr, " (status %u%s%s)", r->status, *details ? ": " : "", details);
	fputc('\n', stderr);
}

/* ---- the session ---- */

static void connect_relay(struct peer *p);
static void on_busy(uv_idle_t *idle);

static void set_session(struct peer *p, struct clv_relay_session *rs)
{
	if (p->bindpoint)
		clv_bindpoint_set_session(p->bindpoint, rs);
	else
		clv_forward_set_session(p->forward, rs);
}

static void on_up(void *user, struct clv_relay_session *rs)
{
	struct peer *p = user;
	const struct clv_tls_facts *tls = clv_relay_session_tls(rs);
	char listen[CLV_ADDR_TEXT_MAX], relay[CLV_ADDR_TEXT_MAX];

	p->session = rs;
	p->retries = 0;
	if (p->was_up)
		p->reconnects++;
	p->was_up = true;
	set_session(p, rs);
	if (p->options->command == CULVERT_FORWARD) {
		printf("ready listen=%s relay=%s group=%s certificate=%s\n",
		       clv_endpoint_format(&p->listen, listen, sizeof(listen)),
		       clv_endpoint_format(&p->addresses[p->address], relay, sizeof(relay)),
		       tls->group, tls->signature);
		fflush(stdout);
	}
	if (p->on_up)
		p->on_up(p);
}

static void on_retry(uv_timer_t *timer)
{
	connect_relay(timer->data);
}

/* A session that was up is not given up: ask again, less and less often. */
static void retry_later(struct peer *p, int error)
{
	unsigned sec = p->retries < 4 ? 1u << p->retries : RETRY_MAX_SEC;

	p->retries++;
	clv_log(CLV_LOG_WARN, "relay_lost", "relay=%s err=\"%s\" again_sec=%u reconnects=%llu",
		p->authority, error ? clv_strerror(error) : "closed by the relay", sec,
		(unsigned long long)p->reconnects);
	uv_timer_start(&p->retry, on_retry, sec * 1000, 0);
}

static void on_down(void *user, const struct clv_session_end *end)
{
	struct peer *p = user;

	p->session = NULL;
	set_session(p, NULL);
	if (p->stopping)
		return;
	/* a name may have an address that does not work from here: try the next */
	if (!p->was_up && p->address + 1 < p->addresses_len &&
	    (end->error == CLV_ETIMEOUT || end->error == CLV_EUNROUTABLE)) {
		p->address++;
		uv_timer_start(&p->retry, on_retry, 0, 0);
		return;
	}
	if (!p->was_up || p->options->command == CULVERT_PING) {
		peer_stop(p, session_exit(p, end));
		return;
	}
	if (!end->was_established) /* another address may do better */
		p->address = (p->address + 1) % p->addresses_len;
	retry_later(p, end->error);
}

static void on_max_payload(void *user, uint32_t len)
{
	struct peer *p = user;

	p->max_payload = len;
	if (p->options->command == CULVERT_FORWARD) {
		printf("max payload %u\n", len);
		fflush(stdout);
	}
}

static const struct clv_relay_session_ops session_ops = { on_up, on_down, on_max_payload };

static void connect_relay(struct peer *p)
{
	struct clv_client_connect c = {
		.relay = p->addresses[p->address],
		.authority = p->authority,
		.server_name = p->options->server_name ? p->options->server_name
						       : p->options->relay.host,
		.tls = p->tls,
		.profile = p->options->profile,
		.no_datagrams = p->options->capsules,
		.ops = &session_ops,
		.user = p,
	};
	struct clv_relay_session *rs;
	int err = CLV_EUNROUTABLE;

	for (; p->address < p->addresses_len; p->address++) {
		c.relay = p->addresses[p->address];
		err = clv_client_connect(p->client, &c, clv_clock_now_ns(), &rs);
		if (!err) {
			uv_idle_start(&p->busy, on_busy);
			return;
		}
		if (err != CLV_EUNROUTABLE)
			break;
	}
	p->address = 0;
	if (p->was_up) {
		retry_later(p, err);
		return;
	}
	if (err == CLV_EUNROUTABLE)
		fprintf(stderr, "culvert: no route to relay %s\n", p->authority);
	else
		fprintf(stderr, "culvert: relay %s: %s\n", p->authority, clv_strerror(err));
	peer_stop(p, err == CLV_EUNROUTABLE ? CULVERT_NO_ROUTE : CULVERT_FAILED);
}

/* ---- forwarding ---- */

static void on_forward_refused(void *user, int error, const struct clv_client_result *result)
{
	struct peer *p = user;

	if (p->stopping)
		return;
	say_refused(p, error, result);
	/* a request lost with its session: on_down knows why */
	if (p->on_refused && error != CLV_ECLOSED)
		p->on_refused(p, exit_of(error));
}

static void on_forward_ended(void *user, int error)
{
	(void)user;
	clv_log(CLV_LOG_INFO, "tunnel_ended", "err=\"%s\"",
		error ? clv_strerror(error) : "closed by the relay");
}

static const struct clv_forward_ops forward_ops = { NULL, on_forward_refused, on_forward_ended };

static void on_new_remote(void *user, const struct clv_evt_remote *evt, const uint8_t *payload,
			  size_t len)
{
	struct peer *p = user;

	if (p->bindpoint)
		clv_bindpoint_new_remote(p->bindpoint, evt, payload, len);
	else
		clv_forward_new_remote(p->forward, evt, payload, len);
}

/* ---- the loop ---- */

static void pump(struct peer *p);

static void on_readable(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	pump(poll->data);
}

static void on_timer(uv_timer_t *timer)
{
	pump(timer->data);
}

static void on_busy(uv_idle_t *idle)
{
	pump((struct peer *)((char *)idle - offsetof(struct peer, busy)));
}

/* Step until there is nothing to do, then sleep until the next datagram or timer. */
static void pump(struct peer *p)
{
	uint64_t now_ns, at_ns;

	for (int i = 0; i < STEPS_PER_TURN; i++) {
		now_ns = clv_clock_now_ns();
		if (p->forward)
			clv_forward_set_now(p->forward, now_ns);
		if (clv_client_step(p->client, now_ns))
			continue;
		if (!clv_client_may_sleep(p->client))
			continue;
		uv_idle_stop(&p->busy);
		at_ns = clv_client_next_ns(p->client);
		if (at_ns != CLV_TIMER_NEVER)
			uv_timer_start(&p->timer, on_timer,
				       at_ns > now_ns ? (at_ns - now_ns) / CLV_MSEC + 1 : 0, 0);
		return;
	}
	uv_idle_start(&p->busy, on_busy);
}

/* From the loop, never from inside a step: stopping steps too. */
static void on_stop(uv_timer_t *timer)
{
	struct peer *p = timer->data;

	clv_client_stop(p->client, clv_clock_now_ns());
	for (int i = 0; i < STEPS_PER_TURN && !clv_client_is_stopped(p->client); i++)
		clv_client_step(p->client, clv_clock_now_ns());
	uv_stop(&p->loop);
}

void peer_stop(struct peer *p, int exit_code)
{
	if (p->stopping)
		return;
	p->stopping = true;
	p->exit_code = exit_code;
	uv_timer_start(&p->retry, on_stop, 0, 0);
}

static void on_signal(uv_signal_t *signal, int number)
{
	(void)number;
	peer_stop(signal->data, CULVERT_OK);
}

/* ---- life ---- */

static int resolve_relay(struct peer *p)
{
	const struct culvert_endpoint *r = &p->options->relay;
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM }, *found, *a;
	char port[8];

	snprintf(port, sizeof(port), "%u", r->port);
	if (getaddrinfo(r->host, port, &hints, &found)) {
		fprintf(stderr, "culvert: no such relay: %s\n", r->host);
		return CULVERT_NO_RELAY_NAME;
	}
	for (a = found; a && p->addresses_len < PEER_ADDRESSES_MAX; a = a->ai_next)
		if (!clv_endpoint_from_sockaddr(a->ai_addr, &p->addresses[p->addresses_len]))
			p->addresses_len++;
	freeaddrinfo(found);
	snprintf(p->authority, sizeof(p->authority), strchr(r->host, ':') ? "[%s]:%u" : "%s:%u",
		 r->host, r->port);
	return p->addresses_len ? 0 : CULVERT_NO_RELAY_NAME;
}

static int open_tls(struct peer *p)
{
	const struct culvert_options *o = p->options;
	struct clv_tls_client_params tp = {
		.profile = o->profile,
		.ca_file = o->ca_file,
		.ca_sha256 = o->has_pin ? o->pin : NULL,
	};
	char error[256] = "";

	if (!clv_tls_client_context(&tp, &p->tls, error, sizeof(error)))
		return 0;
	fprintf(stderr, "culvert: %s\n", error);
	return CULVERT_FAILED;
}

static int listen_local(struct peer *p)
{
	const struct culvert_endpoint *l = &p->options->listen;
	struct clv_endpoint local = { .port = htons(l->port) };
	int err;

	if (p->options->command == CULVERT_PING) {
		if (clv_endpoint_parse("127.0.0.1:0", &local))
			return CULVERT_FAILED;
	} else if (clv_addr_parse(l->host, local.addr)) {
		fprintf(stderr, "culvert: --listen wants an address: %s\n", l->host);
		return CULVERT_USAGE;
	}
	err = clv_client_listen(p->client, &local, &p->listen);
	if (!err)
		return 0;
	fprintf(stderr, "culvert: cannot listen on %s port %u: %s\n", l->host, l->port,
		clv_strerror(err));
	return CULVERT_FAILED;
}

static int open_client(struct peer *p)
{
	struct clv_client_params cp = {
		.tunnels_max = TUNNELS_MAX,
		.remotes_max = p->options->command == CULVERT_BIND ? p->options->remotes : 0,
		.keepalive_ns = 20 * CLV_SEC,
		.on_new_remote = on_new_remote,
		.user = p,
	};
	struct clv_forward_params fp = {
		.host = p->options->target.host,
		.port = p->options->target.port,
		.senders_max = TUNNELS_MAX,
		.held_packets = HELD_PACKETS,
		.held_bytes = HELD_BYTES,
		.retry_ns = 3 * CLV_SEC,
		.ops = &forward_ops,
		.user = p,
	};
	int err = clv_client_open(&cp, &p->client);

	if (!err && p->options->command != CULVERT_BIND)
		err = clv_forward_open(&fp, &p->forward);
	if (!err)
		return 0;
	fprintf(stderr, "culvert: %s\n", clv_strerror(err));
	return CULVERT_FAILED;
}

static void open_loop(struct peer *p)
{
	uv_loop_init(&p->loop);
	uv_poll_init(&p->loop, &p->poll, clv_client_fd(p->client));
	uv_timer_init(&p->loop, &p->timer);
	uv_timer_init(&p->loop, &p->retry);
	uv_idle_init(&p->loop, &p->busy);
	uv_signal_init(&p->loop, &p->term);
	uv_signal_init(&p->loop, &p->interrupt);
	p->poll.data = p->timer.data = p->retry.data = p;
	p->term.data = p->interrupt.data = p;
	uv_poll_start(&p->poll, UV_READABLE, on_readable);
	uv_signal_start(&p->term, on_signal, SIGTERM);
	uv_signal_start(&p->interrupt, on_signal, SIGINT);
}

int peer_open(struct peer *p, const struct culvert_options *o)
{
	int err;

	*p = (struct peer){ .options = o };
	err = resolve_relay(p);
	if (!err)
		err = open_tls(p);
	if (!err)
		err = open_client(p);
	if (!err && o->command != CULVERT_BIND)
		err = listen_local(p);
	if (!err)
		open_loop(p);
	return err;
}

int peer_run(struct peer *p)
{
	connect_relay(p);
	if (!p->stopping)
		pump(p);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	return p->exit_code;
}

static void close_handle(uv_handle_t *handle, void *user)
{
	(void)user;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

/* What could not be kept for a tunnel to come is said, not lost in silence. */
static void report_drops(const struct peer *p)
{
	const struct clv_forward_stats *s = p->forward ? clv_forward_stats(p->forward) : NULL;

	if (s && s->dropped)
		clv_log(CLV_LOG_WARN, "forward_dropped",
			"datagrams=%llu hint=\"sent before their tunnel was open, or refused\"",
			(unsigned long long)s->dropped);
}

void peer_close(struct peer *p)
{
	report_drops(p);
	if (p->loop.data || p->poll.data) {
		uv_walk(&p->loop, close_handle, NULL);
		uv_run(&p->loop, UV_RUN_DEFAULT);
		uv_loop_close(&p->loop);
	}
	p->stopping = true;
	if (p->bindpoint) {
		clv_bindpoint_close(p->bindpoint);
		clv_client_step(p->client,
				clv_clock_now_ns()); /* lets go of the remotes' sockets */
	}
	clv_client_close(p->client); /* ends the session, and with it the tunnels of forward */
	clv_forward_close(p->forward);
	clv_tls_context_free(p->tls);
}
