/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * conn - the time a datagram takes through QUIC in memory: sealed by one connection, opened by
 * another.
 *
 * Two connections of the data path, as in the relay, but without TLS: their handshake exchanges
 * transport parameters and takes fixed secrets for its keys.  Each burst is acknowledged, as the
 * peer of a relay does, so that the result includes its share of ACKs.
 */
#include "bench/micro/micro.h"

#include <errno.h>

#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/crypto/aead.h"
#include "datapath/quic/conn.h"

enum {
	BURST = 32,
	PACKETS_MAX = 2 * BURST,
	PACKET_ROOM = 2048,
	SECRET_LEN = 32,
	PREFIX_LEN = 2,
	STEP_NS = 100000, /* between bursts, on the connections' clock */
	HANDSHAKE_STEPS = 50,
};

/* One end; its port keeps packets in memory until the other end takes them. */
struct end {
	struct clv_port port;
	struct clv_worker_counters counters;
	struct clv_conn *conn;
	struct end *other;
	bool is_server;
	uint8_t message[1 + UINT8_MAX]; /* handshake message received so far: length, bytes */
	size_t message_len;
	uint8_t packets[PACKETS_MAX][PACKET_ROOM];
	size_t lens[PACKETS_MAX], len;
	uint64_t received, bytes;
};

struct pair {
	struct end client, server;
	struct clv_rand rand; /* both connections keep a pointer to it */
	uint64_t now_ns;
	uint8_t payload[1200];
	size_t payload_len;
	struct clv_endpoint addresses[2];
};

static void must(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "conn: %s: %s\n", what, clv_strerror(err));
	exit(EXIT_FAILURE);
}

/* ---- the port ---- */

static struct end *end_of(struct clv_port *port)
{
	return (struct end *)port; /* its first member */
}

static int tx_take(struct clv_port *port, struct clv_tx *tx)
{
	struct end *e = end_of(port);

	if (e->len == PACKETS_MAX)
		return -ENOBUFS;
	*tx = (struct clv_tx){ .payload = e->packets[e->len], .room = CLV_CONN_UDP_PAYLOAD_MAX };
	return 0;
}

static void tx_send(struct clv_port *port, struct clv_tx *tx, size_t len,
		    const struct clv_flow *flow, uint8_t ecn)
{
	struct end *e = end_of(port);

	(void)tx;
	(void)flow;
	(void)ecn;
	e->lens[e->len++] = len;
}

static void tx_give(struct clv_port *port, struct clv_tx *tx)
{
	(void)port;
	(void)tx;
}

static const struct clv_port_ops port_ops = {
	.name = "memory",
	.tx_take = tx_take,
	.tx_send = tx_send,
	.tx_give = tx_give,
};

/* ---- a handshake without TLS ---- */

static int install(struct end *e, ngtcp2_conn *qc, ngtcp2_encryption_level level, bool is_rx)
{
	uint8_t secret[SECRET_LEN];

	/* One for each level and direction. */
	memset(secret, (int)level * 2 + (e->is_server == is_rx), sizeof(secret));
	return is_rx ? clv_aead_install_rx(qc, CLV_SUITE_AES_128_GCM_SHA256, level, secret,
					   SECRET_LEN)
		     : clv_aead_install_tx(qc, CLV_SUITE_AES_128_GCM_SHA256, level, secret,
					   SECRET_LEN);
}

static int install_both(struct end *e, ngtcp2_conn *qc, ngtcp2_encryption_level level)
{
	return install(e, qc, level, true) || install(e, qc, level, false);
}

/* ngtcp2 borrows them until they are acknowledged. */
static int submit_params(ngtcp2_conn *qc, ngtcp2_encryption_level level)
{
	static uint8_t messages[2][1 + UINT8_MAX];
	uint8_t *m = messages[ngtcp2_conn_is_server2(qc)];
	ngtcp2_ssize n = ngtcp2_conn_encode_local_transport_params(qc, m + 1, UINT8_MAX);

	if (n < 0)
		return CLV_EQUIC;
	m[0] = (uint8_t)n;
	return ngtcp2_conn_submit_crypto_data(qc, level, m, 1 + (size_t)n);
}

static int submit_empty(ngtcp2_conn *qc, ngtcp2_encryption_level level)
{
	static const uint8_t empty = 0;

	return ngtcp2_conn_submit_crypto_data(qc, level, &empty, sizeof(empty));
}

static int client_initial(ngtcp2_conn *qc, void *user_data)
{
	uint32_t version = ngtcp2_conn_get_client_chosen_version2(qc);

	(void)user_data;
	return clv_aead_install_initial(qc, version, ngtcp2_conn_get_dcid2(qc), 0) ||
			       clv_aead_install_retry(qc, version) ||
			       submit_params(qc, NGTCP2_ENCRYPTION_LEVEL_INITIAL)
		       ? NGTCP2_ERR_CALLBACK_FAILURE
		       : 0;
}

static int recv_client_initial(ngtcp2_conn *qc, const ngtcp2_cid *dcid, void *user_data)
{
	(void)user_data;
	return clv_aead_install_initial(qc, ngtcp2_conn_get_client_chosen_version2(qc), dcid, 1)
		       ? NGTCP2_ERR_CALLBACK_FAILURE
		       : 0;
}

static int recv_retry(ngtcp2_conn *qc, const ngtcp2_pkt_hd *hd, void *user_data)
{
	(void)qc;
	(void)hd;
	(void)user_data;
	return NGTCP2_ERR_CALLBACK_FAILURE; /* nobody sends one */
}

/* The server has the client's parameters: it answers. */
static int answer(struct end *e, ngtcp2_conn *qc)
{
	return install_both(e, qc, NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE) ||
	       install(e, qc, NGTCP2_ENCRYPTION_LEVEL_1RTT, false) ||
	       submit_empty(qc, NGTCP2_ENCRYPTION_LEVEL_INITIAL) ||
	       submit_params(qc, NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE);
}

static int take_message(struct end *e, ngtcp2_conn *qc, ngtcp2_encryption_level level)
{
	int err = 0;

	if (e->message[0])
		err = ngtcp2_conn_decode_and_set_remote_transport_params(qc, e->message + 1,
									 e->message[0]);
	if (err)
		return err;
	if (level == NGTCP2_ENCRYPTION_LEVEL_INITIAL)
		return e->is_server ? answer(e, qc)
				    : install_both(e, qc, NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE);
	if (e->is_server)
		err = install(e, qc, NGTCP2_ENCRYPTION_LEVEL_1RTT, true);
	else
		err = install_both(e, qc, NGTCP2_ENCRYPTION_LEVEL_1RTT) ||
		      submit_empty(qc, NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE);
	if (!err)
		ngtcp2_conn_tls_handshake_completed(qc);
	return err;
}

/* A message may arrive in pieces. */
static int recv_crypto(ngtcp2_conn *qc, ngtcp2_encryption_level level, uint64_t offset,
		       const uint8_t *data, size_t len, void *user_data)
{
	struct end *e = ngtcp2_conn_get_tls_native_handle2(qc);

	(void)offset;
	(void)user_data;
	if (len > sizeof(e->message) - e->message_len)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	memcpy(e->message + e->message_len, data, len);
	e->message_len += len;
	if (e->message_len < 1u + e->message[0])
		return 0;
	e->message_len = 0;
	return take_message(e, qc, level) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static void free_nothing(void *session)
{
	(void)session;
}

static const struct clv_conn_tls_ops tls_ops = {
	.client_initial = client_initial,
	.recv_client_initial = recv_client_initial,
	.recv_retry = recv_retry,
	.recv_crypto_data = recv_crypto,
	.free = free_nothing,
};

/* ---- the connections ---- */

static int agree(struct clv_conn *conn)
{
	(void)conn;
	return 0;
}

static int keep_cid(struct clv_conn *conn, const struct clv_cid *cid)
{
	(void)conn;
	(void)cid;
	return 0;
}

static void forget_cid(struct clv_conn *conn, const struct clv_cid *cid)
{
	(void)conn;
	(void)cid;
}

static void on_datagram(struct clv_conn *conn, const uint8_t *data, size_t len)
{
	struct end *e = conn->env.owner;

	MICRO_USE(data);
	e->received++;
	e->bytes += len;
}

static const struct clv_conn_ops conn_ops = {
	.handshake_completed = agree,
	.cid_added = keep_cid,
	.cid_removed = forget_cid,
	.datagram = on_datagram,
};

static void open_end(struct pair *p, struct end *e, struct clv_conn_params *params)
{
	static const uint8_t reset_secret[CLV_CID_SECRET_LEN];
	const struct clv_conn_env env = {
		.ops = &conn_ops,
		.owner = e,
		.rand = &p->rand,
		.counters = &e->counters,
		.reset_secret = reset_secret,
	};

	e->port = (struct clv_port){ .ops = &port_ops, .counters = &e->counters };
	e->is_server = params->is_server = e == &p->server;
	params->local = p->addresses[e->is_server];
	params->remote = p->addresses[!e->is_server];
	must(clv_conn_new(&env, params, &e->conn), "connection");
	clv_conn_set_tls(e->conn, e, &tls_ops);
	ngtcp2_conn_set_tls_native_handle(e->conn->qc, e);
}

/* Hand to e what the other end has sent. */
static void take(struct pair *p, struct end *e)
{
	struct end *from = e->other;

	for (size_t i = 0; i < from->len; i++) {
		struct clv_rx rx = {
			.local = p->addresses[e->is_server],
			.remote = p->addresses[!e->is_server],
			.payload = from->packets[i],
			.payload_len = (uint32_t)from->lens[i],
		};

		clv_conn_input(e->conn, &rx, p->now_ns);
	}
	from->len = 0;
	clv_conn_output(e->conn, &e->port, p->now_ns);
}

static void step(struct pair *p)
{
	p->now_ns += STEP_NS;
	take(p, &p->server);
	take(p, &p->client);
}

static void open_pair(struct pair *p)
{
	struct clv_conn_params params = {
		.version = NGTCP2_PROTO_VER_V1,
		.mtu = 1500,
		.idle_ns = 60 * CLV_SEC,
		.handshake_ns = 60 * CLV_SEC,
		.streams_max = 1,
		.stream_window = 65536,
		.conn_window = 65536,
		.now_ns = CLV_SEC,
	};
	struct clv_cid cid;

	p->now_ns = CLV_SEC;
	clv_rand_init(&p->rand, 1);
	for (int i = 0; i < 2; i++)
		p->addresses[i] = (struct clv_endpoint){
			.addr = { 0x20, 0x01, 0x0d, 0xb8, [15] = (uint8_t)i },
			.port = 443,
		};
	clv_cid_random(&p->rand, &cid);
	ngtcp2_cid_init(&params.client_dcid, cid.id, sizeof(cid.id));
	p->client.other = &p->server;
	p->server.other = &p->client;
	open_end(p, &p->client, &params);
	ngtcp2_conn_get_scid2(p->client.conn->qc, &params.client_scid);
	open_end(p, &p->server, &params);
	clv_conn_output(p->client.conn, &p->client.port, p->now_ns);
	for (int i = 0; i < HANDSHAKE_STEPS; i++)
		step(p);
	if (!clv_conn_has_datagrams(p->client.conn) || !clv_conn_has_datagrams(p->server.conn))
		must(CLV_EQUIC, "handshake");
}

static uint64_t exchange(void *arg, uint64_t n)
{
	static const uint8_t prefix[PREFIX_LEN];
	struct pair *p = arg;
	uint64_t want = p->server.received + n;

	while (p->server.received < want) {
		for (unsigned i = 0; i < BURST; i++)
			clv_conn_send_datagram(p->client.conn, &p->client.port, prefix, PREFIX_LEN,
					       p->payload, p->payload_len, p->now_ns);
		clv_conn_output(p->client.conn, &p->client.port, p->now_ns);
		step(p);
	}
	return p->server.bytes;
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = { 64, 512, 1200 };
	static struct pair p;
	char name[64];

	open_pair(&p);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		p.payload_len = sizes[i];
		snprintf(name, sizeof(name), "conn/seal and open %zu", sizes[i]);
		micro(argc, argv, name, exchange, &p);
	}
	clv_conn_free(p.client.conn);
	clv_conn_free(p.server.conn);
	return 0;
}
