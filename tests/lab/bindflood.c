/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bindflood - many bound tunnels on one connection, and as many registrations as one likes.
 *
 *   bindflood --relay ADDRESS:PORT --pin HEX --tunnels N [--registrations M] [--flood]
 *            [--remote ADDRESS]
 *
 * Opens N tunnels, each with its uncompressed context, and prints a line of JSON: "opened", "refused",
 * and "ports", the public endpoints of each.  Then it registers M remotes on each, ports 1 to M of
 * --remote; with --flood again and again, never the same, as fast as the relay reads.
 *
 * SIGTERM ends it: once nothing came for QUIET_NS it prints another line, "accepted", "rejected",
 * "ended" (tunnels), and "heard": for each datagram of a new remote, the tunnel's number and the
 * remote.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "control/masque/capsule.h"
#include "control/peer/client.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"

enum {
	TUNNELS_MAX = 4096,
	BACKLOG_MAX = 64,     /* registrations of a tunnel without an answer, unless flooding */
	FLOOD_PER_TURN = 200, /* of each tunnel */
	UNCOMPRESSED_ID = 2,
	FIRST_ID = 4,
};

#define QUIET_NS (CLV_SEC / 2)

struct tunnel {
	struct load *load;
	struct clv_relay_tunnel *tunnel; /* NULL: ended */
	unsigned number;
	bool is_open;
	uint64_t next_id;
	uint32_t sent, answered;
};

struct load {
	struct clv_client *client;
	struct clv_relay_session *session;
	unsigned wanted, asked, opened, refused, ended;
	uint64_t registrations, accepted, rejected;
	uint64_t last_ns; /* when an answer or a datagram came */
	bool is_flood, is_down, is_stopping;
	struct clv_endpoint remote;
	json_t *ports, *heard;
	struct tunnel tunnels[TUNNELS_MAX];
};

static volatile sig_atomic_t is_told_to_end;

static void on_end(int number)
{
	(void)number;
	is_told_to_end = 1;
}

static void die(const char *what, int err)
{
	fprintf(stderr, "bindflood: %s%s%s\n", what, err ? ": " : "", err ? clv_strerror(err) : "");
	exit(EXIT_FAILURE);
}

static json_t *endpoint_json(const struct clv_endpoint *ep)
{
	char text[CLV_ADDR_TEXT_MAX];

	return json_string(clv_endpoint_format(ep, text, sizeof(text)));
}

/* ---- tunnels ---- */

static void on_open(void *user, const struct clv_client_result *result)
{
	struct clv_cmd_context_open open = { .context_id = UNCOMPRESSED_ID,
					     .flags = CLV_CONTEXT_UNCOMPRESSED };
	uint8_t capsule[CLV_CAPSULE_CONTEXT_MAX];
	struct tunnel *t = user;
	json_t *list = json_array();

	t->is_open = true;
	t->load->opened++;
	for (unsigned i = 0; i < result->public_len; i++)
		json_array_append_new(list, endpoint_json(&result->public_addrs[i]));
	json_array_append_new(list, json_integer(t->number));
	json_array_append_new(t->load->ports, list);
	clv_relay_tunnel_command(t->tunnel, CLV_CMD_CONTEXT_OPEN, &open, sizeof(open), NULL, 0);
	clv_relay_tunnel_send_capsule(t->tunnel, capsule,
				      clv_capsule_encode_assign(UNCOMPRESSED_ID, NULL, capsule));
}

static void on_closed(void *user, int error, const struct clv_client_result *result)
{
	struct tunnel *t = user;

	(void)error;
	(void)result;
	t->tunnel = NULL;
	if (t->is_open)
		t->load->ended++;
	else
		t->load->refused++;
	t->is_open = false;
}

static int on_context(void *user, enum clv_capsule_type type, const uint8_t *value, size_t len)
{
	struct tunnel *t = user;
	uint64_t id;

	if (type == CLV_CAPSULE_COMPRESSION_ASSIGN ||
	    clv_capsule_decode_context_id(value, len, &id) || id == UNCOMPRESSED_ID)
		return 0;
	t->answered++;
	t->load->last_ns = clv_clock_now_ns();
	if (type == CLV_CAPSULE_COMPRESSION_ACK)
		t->load->accepted++;
	else
		t->load->rejected++;
	return 0;
}

static void on_bound(void *user, enum clv_event type, const struct clv_evt_bound *evt,
		     const uint8_t *payload, size_t len)
{
	struct clv_cmd_remote_remove remove = { .remote = evt->remote };
	struct tunnel *t = user;

	(void)payload;
	(void)len;
	if (type != CLV_EVT_REMOTE_NEW)
		return;
	t->load->last_ns = clv_clock_now_ns();
	json_array_append_new(t->load->heard,
			      json_pack("[i,o]", (int)t->number, endpoint_json(&evt->remote)));
	clv_relay_tunnel_command(t->tunnel, CLV_CMD_REMOTE_REMOVE, &remove, sizeof(remove), NULL,
				 0);
}

static const struct clv_relay_tunnel_ops tunnel_ops = { on_open, on_closed, on_context, on_bound };

static void open_tunnels(struct load *l)
{
	while (l->session && l->asked < l->wanted) {
		struct tunnel *t = &l->tunnels[l->asked];
		const struct clv_relay_tunnel_params p = { .ops = &tunnel_ops, .user = t };
		int err;

		*t = (struct tunnel){ .load = l, .number = l->asked, .next_id = FIRST_ID };
		err = clv_relay_tunnel_open(l->session, &p, &t->tunnel);
		if (err)
			die("tunnel", err);
		l->asked++;
	}
}

/* ---- registrations ---- */

static void register_one(struct tunnel *t)
{
	uint8_t capsule[CLV_CAPSULE_CONTEXT_MAX];
	struct clv_endpoint remote = t->load->remote;

	remote.port = htons((uint16_t)(t->sent % 65535 + 1));
	t->sent++;
	clv_relay_tunnel_send_capsule(t->tunnel, capsule,
				      clv_capsule_encode_assign(t->next_id, &remote, capsule));
	t->next_id += 2;
}

/* A flood closes what it opens, or a port that comes round again would be malformed. */
static void flood(struct tunnel *t)
{
	uint8_t capsule[CLV_CAPSULE_CONTEXT_MAX];

	for (int i = 0; i < FLOOD_PER_TURN && t->is_open; i++) {
		register_one(t);
		clv_relay_tunnel_send_capsule(
			t->tunnel, capsule,
			clv_capsule_encode_context_id(CLV_CAPSULE_COMPRESSION_CLOSE, t->next_id - 2,
						      capsule));
	}
}

static void register_remotes(struct load *l)
{
	for (unsigned i = 0; i < l->asked; i++) {
		struct tunnel *t = &l->tunnels[i];

		if (t->is_open && l->is_flood)
			flood(t);
		while (t->is_open && !l->is_flood && t->sent < l->registrations &&
		       t->sent - t->answered < BACKLOG_MAX)
			register_one(t);
	}
}

/* ---- the session ---- */

static void on_up(void *user, struct clv_relay_session *rs)
{
	((struct load *)user)->session = rs;
}

static void on_down(void *user, const struct clv_session_end *end)
{
	struct load *l = user;

	l->session = NULL;
	if (l->is_stopping)
		return;
	fprintf(stderr, "bindflood: the session ended: %s (code 0x%llx)\n",
		clv_strerror(end->error), (unsigned long long)end->code);
	l->is_down = true;
}

static const struct clv_relay_session_ops session_ops = { .on_up = on_up, .on_down = on_down };

static void turn(struct load *l)
{
	struct pollfd fd = { .fd = clv_client_fd(l->client), .events = POLLIN };
	uint64_t now_ns = clv_clock_now_ns(), at_ns;
	int wait_msec;

	if (clv_client_step(l->client, now_ns) || !clv_client_may_sleep(l->client))
		return;
	at_ns = clv_client_next_ns(l->client);
	wait_msec = at_ns > now_ns ? (int)((at_ns - now_ns) / CLV_MSEC) + 1 : 0;
	poll(&fd, 1, wait_msec > 10 ? 10 : wait_msec);
}

static void connect_relay(struct load *l, const char *relay, const char *pin)
{
	const struct clv_client_params cp = { .tunnels_max = TUNNELS_MAX,
					      .remotes_max = 65536,
					      .keepalive_ns = 10 * CLV_SEC,
					      .user = l };
	struct clv_client_connect c = {
		.authority = relay, .server_name = "relay", .ops = &session_ops, .user = l
	};
	struct clv_tls_client_params tp = { .profile = CLV_PROFILE_PQC };
	static uint8_t digest[32];
	struct clv_relay_session *rs;
	char error[256] = "";
	int err;

	for (size_t i = 0; i < sizeof(digest); i++)
		if (sscanf(pin + 2 * i, "%2hhx", &digest[i]) != 1)
			die("--pin wants 64 hexadecimal digits", 0);
	tp.ca_sha256 = digest;
	if (clv_tls_client_context(&tp, &c.tls, error, sizeof(error)))
		die(error, 0);
	if (clv_endpoint_parse(relay, &c.relay))
		die("--relay wants ADDRESS:PORT", 0);
	err = clv_client_open(&cp, &l->client);
	if (!err)
		err = clv_client_connect(l->client, &c, clv_clock_now_ns(), &rs);
	if (err)
		die("connect", err);
}

static void print(json_t *line)
{
	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(line);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "relay", required_argument, NULL, 'r' },
		{ "pin", required_argument, NULL, 'p' },
		{ "tunnels", required_argument, NULL, 'n' },
		{ "registrations", required_argument, NULL, 'm' },
		{ "remote", required_argument, NULL, 'a' },
		{ "flood", no_argument, NULL, 'f' },
		{ 0 },
	};
	static struct load l = { .wanted = 1 };
	const char *relay = "", *pin = "", *remote = "198.18.4.20";
	const struct sigaction end = { .sa_handler = on_end };
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'r':
			relay = optarg;
			break;
		case 'p':
			pin = strchr(optarg, ':') ? strchr(optarg, ':') + 1 : optarg;
			break;
		case 'n':
			l.wanted = (unsigned)atoi(optarg);
			break;
		case 'm':
			l.registrations = (uint64_t)atoll(optarg);
			break;
		case 'a':
			remote = optarg;
			break;
		case 'f':
			l.is_flood = true;
			break;
		default:
			return EXIT_FAILURE;
		}
	}
	if (l.wanted > TUNNELS_MAX || clv_addr_parse(remote, l.remote.addr))
		die("a bad number or address", 0);
	sigaction(SIGTERM, &end, NULL);
	clv_log_set_level(CLV_LOG_WARN);
	l.ports = json_array();
	l.heard = json_array();
	connect_relay(&l, relay, pin);
	while (!l.is_down && l.opened + l.refused < l.wanted) {
		turn(&l);
		open_tunnels(&l);
	}
	print(json_pack("{s:i,s:i,s:O}", "opened", (int)l.opened, "refused", (int)l.refused,
			"ports", l.ports));
	while (!l.is_down && !is_told_to_end) {
		turn(&l);
		register_remotes(&l);
	}
	l.last_ns = clv_clock_now_ns();
	while (!l.is_down && !l.is_flood && clv_clock_now_ns() < l.last_ns + QUIET_NS)
		turn(&l);
	print(json_pack("{s:I,s:I,s:i,s:O}", "accepted", (json_int_t)l.accepted, "rejected",
			(json_int_t)l.rejected, "ended", (int)l.ended, "heard", l.heard));
	l.is_stopping = true;
	clv_client_stop(l.client, clv_clock_now_ns());
	for (int i = 0; i < 200 && !clv_client_is_stopped(l.client); i++)
		turn(&l);
	return l.is_down ? EXIT_FAILURE : EXIT_SUCCESS;
}
