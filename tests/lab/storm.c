/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * storm - packets, handshakes and requests of unknown sources to a relay, at a rate.
 *
 *   storm --kind KIND --rate N --seconds N [--stay SECONDS] [--pin HEX] HOST:PORT
 *
 *   initials    datagrams that look like a client's first and hold noise
 *   stun        STUN Binding requests; counts the answers
 *   halfopen    the first flight of a real handshake, and nothing after it
 *   handshakes  whole handshakes, checked against the pin, each closed at once
 *   sections    handshakes, and on each connection, until it has stayed as long as it may, requests
 *               whose field section announces much and never ends
 *   waiting     the same with requests that wait for SETTINGS, and a capsule that announces much
 *
 * rate: Initials or STUN requests per second, or handshakes (of four Initials and more each).  Ends after the seconds
 * or at SIGTERM, and prints one line of JSON.  Exit 0 when it ran, whatever the relay answered.
 */
#include "tests/lab/udp.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

#include "control/tls/tls.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/rand.h"
#include "datapath/base/stun.h"
#include "datapath/quic/conn.h"

enum {
	SLOTS = 128, /* handshakes at a time */
	DATAGRAM = 1500,
	INITIAL_LEN = 1200,
	REQUESTS_AT_ONCE = 100, /* begun for each packet that comes */
	CID_LEN = 8,
};

#define GIVE_UP_NS (5 * CLV_SEC)

enum kind { INITIALS, STUN, HALFOPEN, HANDSHAKES, SECTIONS, WAITING, KINDS };

static const char *const kinds[] = { "initials",   "stun",     "halfopen",
				     "handshakes", "sections", "waiting" };

static struct {
	enum kind kind;
	uint64_t rate, seconds, stay;
	uint8_t pin[32];
	struct sockaddr_storage remote;
	socklen_t remote_len;
} opt = { .rate = 300, .seconds = 10 };

static struct {
	uint64_t datagrams, initials, started, completed, refused, late, skipped, requests, closed,
		answers;
} result;

/* A port that only sends, on the socket of the handshake whose turn it is. */
static struct {
	struct clv_port port;
	struct clv_worker_counters counters;
	uint8_t buffer[DATAGRAM];
	int fd;
} out;

static struct slot {
	struct clv_conn *conn;
	int fd;
	uint64_t since_ns;
	bool completed;
	bool has_begun; /* its requests */
} slots[SLOTS];

static struct clv_tls_context *tls;
static struct clv_rand rnd;
static struct clv_endpoint remote;
static uint8_t reset_secret[CLV_CID_SECRET_LEN];

/* ---- the port ---- */

static int tx_take(struct clv_port *port, struct clv_tx *tx)
{
	(void)port;
	*tx = (struct clv_tx){ .payload = out.buffer, .room = sizeof(out.buffer) };
	return 0;
}

static void send_datagram(const uint8_t *bytes, size_t len)
{
	if (sendto(out.fd, bytes, len, 0, (struct sockaddr *)&opt.remote, opt.remote_len) < 0)
		return;
	result.datagrams++;
	if ((bytes[0] & 0xf0) == 0xc0)
		result.initials++;
}

static void tx_send(struct clv_port *port, struct clv_tx *tx, size_t len,
		    const struct clv_flow *flow, uint8_t ecn)
{
	(void)port, (void)flow, (void)ecn;
	send_datagram(tx->payload, len);
}

static void tx_give(struct clv_port *port, struct clv_tx *tx)
{
	(void)port, (void)tx;
}

static const struct clv_port_ops port_ops = {
	.name = "storm",
	.tx_take = tx_take,
	.tx_send = tx_send,
	.tx_give = tx_give,
};

/* ---- connections ---- */

static int on_completed(struct clv_conn *conn)
{
	struct slot *s = conn->env.owner;
	struct clv_tls_facts facts;

	if (clv_tls_verify_profile(conn, &facts))
		return -1;
	s->completed = true;
	return 0;
}

static int on_cid_added(struct clv_conn *conn, const struct clv_cid *cid)
{
	(void)conn, (void)cid;
	return 0;
}

static void on_cid_removed(struct clv_conn *conn, const struct clv_cid *cid)
{
	(void)conn, (void)cid;
}

static void on_stream_data(struct clv_conn *conn, int64_t id, const uint8_t *data, size_t len,
			   bool fin)
{
	(void)data, (void)fin;
	ngtcp2_conn_extend_max_stream_offset(conn->qc, id, len);
	ngtcp2_conn_extend_max_offset(conn->qc, len);
}

static void on_stream_number(struct clv_conn *conn, int64_t id, uint64_t number)
{
	(void)conn, (void)id, (void)number;
}

static void on_datagram(struct clv_conn *conn, const uint8_t *data, size_t len)
{
	(void)conn, (void)data, (void)len;
}

static const struct clv_conn_ops conn_ops = {
	.datagram = on_datagram,
	.stream_data = on_stream_data,
	.stream_acked = on_stream_number,
	.stream_reset = on_stream_number,
	.stream_stop = on_stream_number,
	.stream_closed = on_stream_number,
	.handshake_completed = on_completed,
	.cid_added = on_cid_added,
	.cid_removed = on_cid_removed,
};

static struct clv_conn *new_conn(struct slot *slot, uint64_t now_ns)
{
	const struct clv_conn_env env = {
		.ops = &conn_ops,
		.owner = slot,
		.rand = &rnd,
		.counters = &out.counters,
		.reset_secret = reset_secret,
	};
	struct clv_conn_params params = {
		.version = NGTCP2_PROTO_VER_V1,
		.local = { .addr = { [10] = 0xff, 0xff, 127, 0, 0, 1 }, .port = htons(1) },
		.remote = remote,
		.mtu = 1500,
		.idle_ns = 30 * CLV_SEC,
		.handshake_ns = 10 * CLV_SEC,
		.stream_window = 65536,
		.conn_window = 1 << 20,
		.queue = { .packets = 16, .sojourn_ns = CLV_SEC },
		.now_ns = now_ns,
	};
	struct clv_conn *conn;

	params.client_dcid.datalen = CID_LEN;
	clv_rand_bytes(&rnd, params.client_dcid.data, CID_LEN);
	if (clv_conn_new(&env, &params, &conn))
		return NULL;
	if (clv_tls_attach(tls, conn, "relay")) {
		clv_conn_free(conn);
		return NULL;
	}
	return conn;
}

static int new_socket(void)
{
	int fd = socket(opt.remote.ss_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	if (fd < 0)
		udp_die("socket");
	return fd;
}

static void take_answers(void)
{
	uint8_t m[DATAGRAM];

	while (recv(out.fd, m, sizeof(m), MSG_DONTWAIT) > 0)
		result.answers++;
}

static void ask_stun(void)
{
	uint8_t m[CLV_STUN_HEADER_LEN], id[CLV_STUN_TRANSACTION_LEN];

	clv_rand_bytes(&rnd, id, sizeof(id));
	clv_stun_request(id, m);
	if (sendto(out.fd, m, sizeof(m), 0, (struct sockaddr *)&opt.remote, opt.remote_len) > 0)
		result.started++;
	take_answers();
}

static void start_noise(void)
{
	/* long header, Initial, version 1 | DCID | SCID | no token | length | noise */
	uint8_t packet[INITIAL_LEN];

	clv_rand_bytes(&rnd, packet, sizeof(packet));
	memcpy(packet, "\xc3\0\0\0\1\x08", 6);
	packet[14] = CID_LEN;
	memcpy(packet + 23, "\0\x44\x96", 3);
	result.started++;
	send_datagram(packet, sizeof(packet));
}

static void start_halfopen(uint64_t now_ns)
{
	struct clv_conn *conn = new_conn(NULL, now_ns);

	if (!conn)
		return;
	result.started++;
	clv_conn_output(conn, &out.port, now_ns);
	clv_conn_free(conn);
}

static void start_handshake(uint64_t now_ns)
{
	struct slot *s = slots;

	while (s < slots + SLOTS && s->conn)
		s++;
	if (s == slots + SLOTS) {
		result.skipped++;
		return;
	}
	*s = (struct slot){ .fd = new_socket(), .since_ns = now_ns };
	s->conn = new_conn(s, now_ns);
	if (!s->conn) {
		close(s->fd);
		return;
	}
	result.started++;
	out.fd = s->fd;
	clv_conn_output(s->conn, &out.port, now_ns);
}

/* ---- requests ---- */

/* HEADERS of 1 GiB; of a field named foo the length 65535, and its first bytes. */
static const uint8_t section[] = { 0x01, 0xbf, 0xff, 0xff, 0xff, 0x00, 0x00, 0x23, 'f',
				   'o',	 'o',  0x7f, 0x80, 0xff, 0x03, 'b',  'a',  'r' };

/*
 * CONNECT-UDP to 198.18.4.20:7000 by names of the static table, and a DATAGRAM capsule of 12,000
 * bytes that has begun.
 */
static const uint8_t waiting[] = "\x01\x40\x49" /* HEADERS of 73 bytes */
				 "\x00\x00\xcf\xd7\x50\x01r"
				 "\x51\x29/.well-known/masque/udp/198.18.4.20/7000/"
				 "\x27\x02:protocol\x0b"
				 "connect-udp"
				 "\x00\x04\x00\x6e\xe0\x00";

static void begin_requests(struct slot *s)
{
	static const uint8_t settings[] = { 0x00, 0x04, 0x02, 0x33, 0x01 };
	const bool is_waiting = opt.kind == WAITING;
	struct clv_conn *conn = s->conn;
	int64_t id;

	if (!s->has_begun && !is_waiting && !ngtcp2_conn_open_uni_stream(conn->qc, &id, NULL))
		clv_streams_write(&conn->streams, id, settings, sizeof(settings), false);
	s->has_begun = true;
	for (int i = 0; i < REQUESTS_AT_ONCE; i++) {
		if (ngtcp2_conn_open_bidi_stream(conn->qc, &id, NULL))
			return;
		clv_streams_write(&conn->streams, id, is_waiting ? waiting : section,
				  is_waiting ? sizeof(waiting) - 1 : sizeof(section), false);
		result.requests++;
	}
}

/* ---- the end of one ---- */

static void end_handshake(struct slot *s)
{
	clv_conn_free(s->conn);
	close(s->fd);
	*s = (struct slot){ 0 };
}

static void receive(struct slot *s, uint64_t now_ns)
{
	uint8_t packet[DATAGRAM];
	struct clv_rx rx = {
		.local = s->conn->flow.local,
		.remote = remote,
		.payload = packet,
	};
	ssize_t n;

	while ((n = recv(s->fd, packet, sizeof(packet), 0)) > 0) {
		rx.payload_len = (uint32_t)n;
		clv_conn_input(s->conn, &rx, now_ns);
	}
}

static void advance(struct slot *s, uint64_t now_ns)
{
	receive(s, now_ns);
	if (clv_conn_next_ns(s->conn) <= now_ns)
		clv_conn_expire(s->conn, now_ns);
	out.fd = s->fd;
	if (s->completed && !s->conn->closing && opt.kind >= SECTIONS)
		begin_requests(s);
	clv_conn_output(s->conn, &out.port, now_ns);
	if (s->completed && s->conn->closing) {
		result.completed++;
		result.closed++;
		end_handshake(s);
	} else if (s->completed && now_ns - s->since_ns < opt.stay * CLV_SEC) {
		return;
	} else if (s->completed) {
		result.completed++;
		clv_conn_close(s->conn, true, 0x0100, "", now_ns);
		clv_conn_output(s->conn, &out.port, now_ns);
		end_handshake(s);
	} else if (s->conn->closing) {
		result.refused++;
		end_handshake(s);
	} else if (now_ns - s->since_ns > GIVE_UP_NS) {
		result.late++;
		end_handshake(s);
	}
}

/* ---- the whole ---- */

static void wait_until(uint64_t at_ns)
{
	struct pollfd fds[SLOTS];
	struct slot *of[SLOTS];
	nfds_t n = 0;
	uint64_t now_ns = udp_clock_ns();
	struct timespec wait = { 0 };

	for (struct slot *s = slots; s < slots + SLOTS; s++) {
		if (!s->conn)
			continue;
		if (clv_conn_next_ns(s->conn) < at_ns)
			at_ns = clv_conn_next_ns(s->conn);
		fds[n] = (struct pollfd){ .fd = s->fd, .events = POLLIN };
		of[n++] = s;
	}
	if (at_ns > now_ns)
		wait = (struct timespec){ (time_t)((at_ns - now_ns) / CLV_SEC),
					  (long)((at_ns - now_ns) % CLV_SEC) };
	if (ppoll(fds, n, &wait, NULL) < 0) {
		if (errno != EINTR) /* a signal ends the storm, which is no failure */
			udp_die("ppoll");
		return;
	}
	now_ns = udp_clock_ns();
	for (nfds_t i = 0; i < n; i++)
		if (fds[i].revents || clv_conn_next_ns(of[i]->conn) <= now_ns)
			advance(of[i], now_ns);
}

static bool is_busy(void)
{
	for (int i = 0; i < SLOTS; i++)
		if (slots[i].conn)
			return true;
	return false;
}

static volatile sig_atomic_t is_told_to_end;

static void on_end(int number)
{
	(void)number;
	is_told_to_end = 1;
}

static double run(void)
{
	uint64_t began_ns = udp_clock_ns(), end_ns = began_ns + opt.seconds * CLV_SEC, now_ns;
	int fd = new_socket();
	double took;

	for (uint64_t n = 0; (now_ns = udp_clock_ns()) < end_ns && !is_told_to_end; n++) {
		uint64_t due_ns = began_ns + n * CLV_SEC / opt.rate;

		while ((now_ns = udp_clock_ns()) < due_ns && !is_told_to_end)
			wait_until(due_ns);
		out.fd = fd;
		if (opt.kind == INITIALS)
			start_noise();
		else if (opt.kind == STUN)
			ask_stun();
		else if (opt.kind == HALFOPEN)
			start_halfopen(now_ns);
		else
			start_handshake(now_ns);
	}
	took = (double)(now_ns - began_ns) / 1e9;
	while (is_busy())
		wait_until(udp_clock_ns() + CLV_SEC);
	close(fd);
	return took;
}

static void open_tls(void)
{
	const struct clv_tls_client_params params = { .ca_sha256 = opt.pin };
	char error[256];

	if (!clv_tls_client_context(&params, &tls, error, sizeof(error)))
		return;
	fprintf(stderr, "storm: %s\n", error);
	exit(1);
}

static void usage(void)
{
	fputs("usage: storm --kind initials|stun|halfopen|handshakes|sections|waiting\n"
	      "             [--rate N] [--seconds N] [--stay SECONDS] [--pin HEX] HOST:PORT\n",
	      stderr);
	exit(2);
}

static void parse_pin(const char *hex)
{
	for (int i = 0; i < 32; i++)
		if (sscanf(hex + 2 * i, "%2hhx", &opt.pin[i]) != 1)
			usage();
}

static void parse_options(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "kind", 1, NULL, 'k' }, { "rate", 1, NULL, 'r' }, { "seconds", 1, NULL, 's' },
		{ "pin", 1, NULL, 'p' },  { "stay", 1, NULL, 't' }, { NULL, 0, NULL, 0 },
	};
	int c, kind = -1;

	while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		switch (c) {
		case 'k':
			for (kind = KINDS - 1; kind >= 0 && strcmp(optarg, kinds[kind]) != 0;
			     kind--)
				;
			break;
		case 'r':
			opt.rate = udp_number("rate", optarg, 1000000);
			break;
		case 's':
			opt.seconds = udp_number("seconds", optarg, 3600);
			break;
		case 't':
			opt.stay = udp_number("stay", optarg, 3600);
			break;
		case 'p':
			parse_pin(optarg);
			break;
		default:
			usage();
		}
	}
	if (kind < 0 || argc - optind != 1 || !opt.rate)
		usage();
	opt.kind = (enum kind)kind;
	opt.remote_len = udp_resolve(argv[optind], 0, &opt.remote);
}

int main(int argc, char **argv)
{
	const struct sigaction end = { .sa_handler = on_end };
	double took;

	parse_options(argc, argv);
	sigaction(SIGTERM, &end, NULL);
	clv_rand_init(&rnd, 0);
	clv_endpoint_from_sockaddr((struct sockaddr *)&opt.remote, &remote);
	out.port = (struct clv_port){ &port_ops, &out.counters };
	open_tls();
	took = run();
	clv_tls_context_free(tls);
	printf("{\"datagrams\": %llu, \"initials\": %llu, \"started\": %llu, \"completed\": %llu, "
	       "\"refused\": %llu, \"late\": %llu, \"skipped\": %llu, \"requests\": %llu, "
	       "\"closed\": %llu, \"answers\": %llu, \"seconds\": %.3f}\n",
	       (unsigned long long)result.datagrams, (unsigned long long)result.initials,
	       (unsigned long long)result.started, (unsigned long long)result.completed,
	       (unsigned long long)result.refused, (unsigned long long)result.late,
	       (unsigned long long)result.skipped, (unsigned long long)result.requests,
	       (unsigned long long)result.closed, (unsigned long long)result.answers, took);
	return 0;
}
