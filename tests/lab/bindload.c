/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bindload - a client with bound tunnels and very many contexts, controlled by lines of input.
 *
 *   bindload --relay ADDRESS:PORT --pin sha256:HEX [--tunnels N] [--open]
 *
 * Opens the tunnels (--open: the first with an uncompressed context) and prints one line of JSON,
 * {"public": [[addresses], ...]}.  Then each line of standard input is a command to the first
 * tunnel, answered by one line of JSON:
 *
 *   register ADDRESS:PORT N     contexts for N successive ports of ADDRESS
 *   send COUNT SIZE RATE        that many datagrams, to all open contexts in turn; the remotes echo.
 *                               Ends when all are back, or nothing came for two seconds.
 *                               "dropped": what this client had no room or time for
 *   close N                     the contexts opened last
 *   shut                        the uncompressed context
 *
 * Ends, in good order, with standard input.
 */
#include "tests/lab/udp.h"

#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <unistd.h>

#include "control/masque/contexts.h"
#include "control/peer/client.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/counters.h"
#include "datapath/base/err.h"
#include "datapath/base/table.h"

enum {
	REMOTES_MAX = 20000,
	TUNNELS_MAX = 1024,
	UNANSWERED_MAX = 256, /* registrations */
	SIZE_MAX_BYTES = 1400,
	PATIENCE_SEC = 60,
	SILENCE_SEC = 2,
};

struct remote {
	struct clv_endpoint wire;
	uint64_t id; /* 0: none */
	bool is_acked;
};

struct tunnel {
	struct clv_relay_tunnel *relay;
	struct clv_client_result result;
	bool is_open;
};

static struct {
	const char *relay, *pin;
	unsigned tunnels;
	bool is_open_to_all;
} opt = { .tunnels = 1 };

static struct clv_client *client;
static struct clv_relay_session *session;
static struct clv_contexts *contexts; /* of the first tunnel */
static struct clv_counters counters;
static struct tunnel tunnels[TUNNELS_MAX];
static struct remote remotes[REMOTES_MAX];
static unsigned remotes_len, opened, unanswered, refused, tunnels_open;
static struct clv_table by_wire;
static bool is_ending;
static uint64_t received, corrupted, misnamed, last_ns;

static void die(const char *what, int err)
{
	fprintf(stderr, "bindload: %s: %s\n", what, clv_strerror(err));
	exit(1);
}

static struct remote *find(const struct clv_endpoint *wire)
{
	uint64_t i;

	return clv_table_find(&by_wire, wire, &i) ? &remotes[i] : NULL;
}

/* ---- contexts ---- */

static int on_context_open(void *user, const struct clv_contexts_entry *e)
{
	const struct remote *r = find(&e->remote);
	struct clv_cmd_context_open cmd = {
		.context_id = e->id,
		.flags = e->is_uncompressed ? CLV_CONTEXT_UNCOMPRESSED : 0,
		/* Nothing is sent on: an address that no two have is enough. */
		.remote = { .endpoint = e->remote, .remote = e->remote },
	};

	(void)user;
	if (!e->is_uncompressed && !r)
		return CLV_EDENIED; /* a wish of the relay's */
	clv_relay_tunnel_command(tunnels[0].relay, CLV_CMD_CONTEXT_OPEN, &cmd, sizeof(cmd), NULL,
				 0);
	return 0;
}

static void on_context_acked(void *user, const struct clv_contexts_entry *e)
{
	struct remote *r = find(&e->remote);

	(void)user;
	if (!r || e->is_uncompressed)
		return;
	r->is_acked = true;
	opened++;
	unanswered--;
}

static void on_context_close(void *user, const struct clv_contexts_entry *e)
{
	struct clv_cmd_context_close cmd = { .context_id = e->id };
	struct remote *r = find(&e->remote);

	(void)user;
	clv_relay_tunnel_command(tunnels[0].relay, CLV_CMD_CONTEXT_CLOSE, &cmd, sizeof(cmd), NULL,
				 0);
	if (!r || r->id != e->id)
		return;
	if (r->is_acked) {
		opened--;
	} else {
		refused++;
		unanswered--;
	}
	r->id = 0;
	r->is_acked = false;
}

static int on_context_send(void *user, const uint8_t *capsule, size_t len, uint64_t *mark)
{
	(void)user;
	*mark = 0;
	return clv_relay_tunnel_send_capsule(tunnels[0].relay, capsule, len);
}

static void start_contexts(void)
{
	static const struct clv_contexts_ops ops = {
		.open = on_context_open,
		.acked = on_context_acked,
		.close = on_context_close,
		.send = on_context_send,
	};
	const struct clv_contexts_params params = {
		.role = CLV_CONTEXTS_CLIENT,
		.limits = { .open_max = 2 * REMOTES_MAX,
			    .unacked_max = UINT32_MAX,
			    .id_gaps_max = 64 },
		.ops = &ops,
		.counters = &counters,
		.seed = { 1, 2 },
	};
	int err = clv_contexts_new(&params, &contexts);

	if (!err && opt.is_open_to_all)
		err = clv_contexts_open(contexts, NULL, NULL);
	if (err)
		die("contexts", err);
}

/* ---- tunnels and session ---- */

static void on_open(void *user, const struct clv_client_result *result)
{
	struct tunnel *t = user;

	t->result = *result;
	t->is_open = true;
	tunnels_open++;
	if (t == tunnels)
		start_contexts();
}

static void on_closed(void *user, int error, const struct clv_client_result *result)
{
	(void)user;
	fprintf(stderr, "bindload: a tunnel ended: %s (status %u)\n", clv_strerror(error),
		result ? result->status : 0);
	exit(1);
}

static int on_capsule(void *user, enum clv_capsule_type type, const uint8_t *value, size_t len)
{
	int err;

	if (user != tunnels)
		return CLV_EPROTO;
	err = clv_contexts_capsule(contexts, type, value, len, clv_clock_now_ns());
	clv_contexts_delivered(contexts, 0);
	return err;
}

/* The content identifies the remote that it was sent to. */
static void fill(uint8_t *payload, size_t len, uint32_t remote)
{
	for (size_t i = 0; i < len; i++)
		payload[i] = (uint8_t)(remote * 7 + i * 13);
	memcpy(payload, &remote, sizeof(remote));
}

static void on_bound(void *user, enum clv_event type, const struct clv_evt_bound *evt,
		     const uint8_t *payload, size_t len)
{
	uint8_t want[SIZE_MAX_BYTES];
	uint32_t i;

	(void)user;
	if (type != CLV_EVT_DELIVERY)
		return;
	received++;
	last_ns = clv_clock_now_ns();
	if (len < sizeof(i) || len > sizeof(want)) {
		corrupted++;
		return;
	}
	memcpy(&i, payload, sizeof(i));
	fill(want, len, i);
	if (i >= remotes_len || memcmp(want, payload, len))
		corrupted++;
	else if (memcmp(&remotes[i].wire, &evt->remote, sizeof(evt->remote)) ||
		 remotes[i].id != evt->context_id)
		misnamed++;
}

static const struct clv_relay_tunnel_ops tunnel_ops = {
	.on_open = on_open,
	.on_closed = on_closed,
	.on_context = on_capsule,
	.on_bound = on_bound,
};

static void on_up(void *user, struct clv_relay_session *rs)
{
	(void)user;
	session = rs;
}

static void on_down(void *user, const struct clv_session_end *end)
{
	(void)user;
	if (!is_ending)
		die("the session ended", end->error);
}

static const struct clv_relay_session_ops session_ops = { .on_up = on_up, .on_down = on_down };

/* ---- time ---- */

/* Step until done returns true.  Returns whether it did before until_ns. */
static bool run(bool (*done)(void), uint64_t until_ns)
{
	for (;;) {
		uint64_t now_ns = clv_clock_now_ns(), at_ns;
		struct pollfd wait = { .fd = clv_client_fd(client), .events = POLLIN };
		int msec;

		while (clv_client_step(client, now_ns))
			now_ns = clv_clock_now_ns();
		if (done())
			return true;
		if (now_ns >= until_ns)
			return false;
		if (!clv_client_may_sleep(client))
			continue;
		at_ns = clv_client_next_ns(client);
		if (at_ns > until_ns)
			at_ns = until_ns;
		msec = at_ns > now_ns ? (int)((at_ns - now_ns) / CLV_MSEC + 1) : 0;
		poll(&wait, 1, msec < 100 ? msec : 100);
	}
}

static void must(bool (*done)(void), const char *what)
{
	if (!run(done, clv_clock_now_ns() + PATIENCE_SEC * CLV_SEC))
		die(what, CLV_ETIMEOUT);
}

static bool is_up(void)
{
	return session;
}

static bool are_open(void)
{
	return tunnels_open == opt.tunnels;
}

static bool never(void)
{
	return false;
}

static bool has_room(void)
{
	return unanswered < UNANSWERED_MAX;
}

static bool all_answered(void)
{
	return !unanswered;
}

/* ---- commands ---- */

static void do_register(const char *text, unsigned n)
{
	uint64_t begun_ns = clv_clock_now_ns();
	struct clv_endpoint wire;
	int err = clv_endpoint_parse(text, &wire);

	if (err || remotes_len + n > REMOTES_MAX)
		die(text, err ? err : CLV_EFULL);
	for (unsigned i = 0; i < n; i++) {
		struct remote *r = &remotes[remotes_len];

		r->wire = wire;
		clv_table_insert(&by_wire, &wire, remotes_len++);
		must(has_room, "registrations are not answered");
		unanswered++;
		err = clv_contexts_open(contexts, &wire, &r->id);
		if (err)
			die("register", err);
		wire.port = htons(ntohs(wire.port) + 1);
	}
	must(all_answered, "registrations are not answered");
	printf("{\"open\": %u, \"refused\": %u, \"ms\": %llu}\n", opened, refused,
	       (unsigned long long)((clv_clock_now_ns() - begun_ns) / CLV_MSEC));
}

static void do_close(unsigned n)
{
	for (unsigned i = remotes_len; i-- > 0 && n;) {
		if (!remotes[i].id)
			continue;
		clv_contexts_close(contexts, remotes[i].id);
		n--;
		run(never, clv_clock_now_ns());
	}
	run(never, clv_clock_now_ns() + CLV_SEC / 2); /* a close is not answered */
	printf("{\"open\": %u}\n", opened);
}

static void do_shut(void)
{
	const struct clv_contexts_entry *e = clv_contexts_uncompressed(contexts);

	if (e)
		clv_contexts_close(contexts, e->id);
	run(never, clv_clock_now_ns() + CLV_SEC / 10);
	printf("{\"open\": %u}\n", opened);
}

static void send_one(uint32_t i, size_t size)
{
	struct clv_cmd_remote_send cmd = { .remote = remotes[i].wire };
	uint8_t payload[SIZE_MAX_BYTES];

	fill(payload, size, i);
	clv_relay_tunnel_command(tunnels[0].relay, CLV_CMD_REMOTE_SEND, &cmd, sizeof(cmd), payload,
				 size);
}

/* All datagrams that this client dropped. */
static uint64_t dropped(void)
{
	const struct clv_worker_counters *c = clv_client_counters(client);
	uint64_t sum = 0;

	for (int i = 0; i < CLV_WORKER_COUNTER_MAX; i++)
		if (clv_counter_class(i) == CLV_CLASS_DROP)
			sum += clv_count_read(c, i);
	return sum;
}

static void do_send(unsigned count, unsigned size, unsigned rate)
{
	uint64_t begun_ns = clv_clock_now_ns();
	uint64_t come = received, lost = dropped();
	uint32_t at = 0;

	if (size < sizeof(uint32_t) || size > SIZE_MAX_BYTES || !rate || !opened)
		die("send", CLV_ERANGE);
	for (unsigned i = 0; i < count; at = (at + 1) % remotes_len) {
		if (!remotes[at].is_acked)
			continue;
		send_one(at, size);
		i++;
		run(never, begun_ns + i * CLV_SEC / rate);
	}
	last_ns = clv_clock_now_ns();
	while (received - come < count && clv_clock_now_ns() < last_ns + SILENCE_SEC * CLV_SEC)
		run(never, clv_clock_now_ns() + 10 * CLV_MSEC);
	printf("{\"sent\": %u, \"received\": %llu, \"corrupted\": %llu, \"misnamed\": %llu, "
	       "\"dropped\": %llu}\n",
	       count, (unsigned long long)(received - come), (unsigned long long)corrupted,
	       (unsigned long long)misnamed, (unsigned long long)(dropped() - lost));
}

static void command(const char *line)
{
	char text[CLV_ADDR_TEXT_MAX + 1];
	unsigned a, b, c;

	if (sscanf(line, "register %63s %u", text, &a) == 2)
		do_register(text, a);
	else if (sscanf(line, "send %u %u %u", &a, &b, &c) == 3)
		do_send(a, b, c);
	else if (sscanf(line, "close %u", &a) == 1)
		do_close(a);
	else if (!strcmp(line, "shut"))
		do_shut();
	else
		die(line, CLV_ESYNTAX);
	fflush(stdout);
}

/* Read commands; between them the client goes on. */
static void obey(void)
{
	static char buf[512];
	size_t len = 0;

	for (;;) {
		struct pollfd wait = { .fd = STDIN_FILENO, .events = POLLIN };
		char *end;
		ssize_t n;

		run(never, clv_clock_now_ns() + 5 * CLV_MSEC);
		if (poll(&wait, 1, 0) <= 0)
			continue;
		n = read(STDIN_FILENO, buf + len, sizeof(buf) - 1 - len);
		if (n <= 0)
			return;
		len += (size_t)n;
		buf[len] = '\0';
		while ((end = strchr(buf, '\n'))) {
			*end = '\0';
			command(buf);
			len -= (size_t)(end + 1 - buf);
			memmove(buf, end + 1, len + 1);
		}
	}
}

/* ---- life ---- */

static void open_session(void)
{
	const struct clv_client_params params = {
		.tunnels_max = TUNNELS_MAX,
		.remotes_max = REMOTES_MAX,
		.keepalive_ns = 5 * CLV_SEC,
	};
	char name[CLV_ADDR_TEXT_MAX];
	struct clv_client_connect connect = {
		.authority = opt.relay,
		.server_name = name,
		.profile = CLV_PROFILE_PQC,
		.ops = &session_ops,
	};
	struct clv_tls_client_params tls = { .profile = CLV_PROFILE_PQC };
	struct clv_relay_session *rs;
	uint8_t pin[32];
	char error[256] = "";
	int err = clv_endpoint_parse(opt.relay, &connect.relay);

	if (!err)
		clv_addr_format(connect.relay.addr, name, sizeof(name));
	for (size_t i = 0; i < sizeof(pin); i++)
		if (strlen(opt.pin) != 7 + 2 * sizeof(pin) ||
		    sscanf(opt.pin + 7 + 2 * i, "%2hhx", &pin[i]) != 1)
			die("--pin", CLV_ESYNTAX);
	tls.ca_sha256 = pin;
	if (!err && clv_tls_client_context(&tls, &connect.tls, error, sizeof(error)))
		die(error, CLV_ETLS);
	if (!err)
		err = clv_client_open(&params, &client);
	if (!err)
		err = clv_client_connect(client, &connect, clv_clock_now_ns(), &rs);
	if (err)
		die(opt.relay, err);
	must(is_up, "the session");
}

static void open_tunnels(void)
{
	for (unsigned i = 0; i < opt.tunnels; i++) {
		const struct clv_relay_tunnel_params p = {
			.deliver = true,
			.ops = &tunnel_ops,
			.user = &tunnels[i],
		};
		int err = clv_relay_tunnel_open(session, &p, &tunnels[i].relay);

		if (err)
			die("a tunnel", err);
	}
	must(are_open, "the tunnels");
	printf("{\"public\": [");
	for (unsigned i = 0; i < opt.tunnels; i++) {
		const struct clv_client_result *r = &tunnels[i].result;
		char text[CLV_ADDR_TEXT_MAX];

		printf("%s[", i ? ", " : "");
		for (unsigned k = 0; k < r->public_len; k++)
			printf("%s\"%s\"", k ? ", " : "",
			       clv_endpoint_format(&r->public_addrs[k], text, sizeof(text)));
		printf("]");
	}
	printf("]}\n");
	fflush(stdout);
}

static bool is_stopped(void)
{
	return clv_client_is_stopped(client);
}

int main(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "relay", required_argument, NULL, 'r' },
		{ "pin", required_argument, NULL, 'p' },
		{ "tunnels", required_argument, NULL, 't' },
		{ "open", no_argument, NULL, 'o' },
		{ 0 },
	};
	const uint64_t seed[2] = { 3, 4 };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'r')
			opt.relay = optarg;
		else if (c == 'p')
			opt.pin = optarg;
		else if (c == 't')
			opt.tunnels = (unsigned)udp_number("tunnels", optarg, TUNNELS_MAX);
		else if (c == 'o')
			opt.is_open_to_all = true;
		else
			return 2;
	}
	if (!opt.relay || !opt.pin || !opt.tunnels || optind != argc) {
		fprintf(stderr, "usage: bindload --relay ADDRESS:PORT --pin sha256:HEX "
				"[--tunnels N] [--open]\n");
		return 2;
	}
	if (clv_table_init(&by_wire, sizeof(struct clv_endpoint), REMOTES_MAX, seed))
		die("memory", -ENOMEM);
	open_session();
	open_tunnels();
	obey();
	for (unsigned i = 0; i < opt.tunnels; i++)
		clv_relay_tunnel_close(tunnels[i].relay);
	is_ending = true;
	clv_client_stop(client, clv_clock_now_ns());
	run(is_stopped, clv_clock_now_ns() + CLV_SEC);
	return 0;
}
