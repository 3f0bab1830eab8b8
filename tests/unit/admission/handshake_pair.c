/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/admission/handshake_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/crypto/aead.h"

#define HALF_TRIP (10 * CLV_MSEC)

/* ---- port ---- */

static int tx_take(struct clv_port *port, struct clv_tx *tx)
{
	struct pair_port *pp = (struct pair_port *)port;

	if (pp->count == PAIR_WIRE)
		return -ENOBUFS;
	*tx = (struct clv_tx){ .payload = pp->data[pp->count], .room = PAIR_DATAGRAM };
	return 0;
}

static void tx_send(struct clv_port *port, struct clv_tx *tx, size_t len,
		    const struct clv_flow *flow, uint8_t ecn)
{
	struct pair_port *pp = (struct pair_port *)port;

	(void)tx;
	(void)flow;
	(void)ecn;
	pp->len[pp->count++] = len;
}

static void tx_give(struct clv_port *port, struct clv_tx *tx)
{
	(void)port;
	(void)tx;
}

static const struct clv_port_ops port_ops = {
	.name = "pair",
	.tx_take = tx_take,
	.tx_send = tx_send,
	.tx_give = tx_give,
};

/* ---- owner ---- */

static int on_completed(struct clv_conn *conn)
{
	struct pair *p = conn->env.owner;

	if (conn->is_server) {
		p->server_done = true;
	} else {
		p->client_done = true;
		p->client_done_after = p->flights;
	}
	return 0;
}

static int on_cid_added(struct clv_conn *conn, const struct clv_cid *cid)
{
	(void)conn;
	(void)cid;
	return 0;
}

static void on_cid_removed(struct clv_conn *conn, const struct clv_cid *cid)
{
	(void)conn;
	(void)cid;
}

static const struct clv_conn_ops conn_ops = {
	.handshake_completed = on_completed,
	.cid_added = on_cid_added,
	.cid_removed = on_cid_removed,
};

const struct clv_endpoint pair_client_end = {
	.addr = { [10] = 0xff, 0xff, 192, 0, 2, 1 },
	.port = 0x1111,
};
const struct clv_endpoint pair_server_end = {
	.addr = { [10] = 0xff, 0xff, 192, 0, 2, 2 },
	.port = 0x2222,
};

static struct clv_conn_env env_of(struct pair *p, struct pair_port *out)
{
	return (struct clv_conn_env){
		.ops = &conn_ops,
		.owner = p,
		.rand = &p->rand,
		.counters = &out->counters,
		.pool = &p->pool,
		.reset_secret = p->reset_secret,
	};
}

static struct clv_conn_params params_of(const struct pair *p, bool is_server)
{
	return (struct clv_conn_params){
		.is_server = is_server,
		.version = p->version,
		.local = is_server ? pair_server_end : pair_client_end,
		.remote = is_server ? pair_client_end : pair_server_end,
		.mtu = 1500,
		.idle_ns = 30 * CLV_SEC,
		.handshake_ns = 10 * CLV_SEC,
		.streams_max = 100,
		.stream_window = 65536,
		.conn_window = 1 << 20,
		.queue = { .packets = 16, .sojourn_ns = CLV_SEC },
		.now_ns = p->now_ns,
	};
}

void pair_init(struct pair *p, struct clv_tls_context *server_context)
{
	memset(p, 0, sizeof(*p));
	p->to_server.port = (struct clv_port){ &port_ops, &p->to_server.counters };
	p->to_client.port = (struct clv_port){ &port_ops, &p->to_client.counters };
	clv_rand_init(&p->rand, 0);
	assert_int_equal(clv_pool_init(&p->pool, 16, 2048), 0);
	p->now_ns = CLV_SEC;
	p->version = NGTCP2_PROTO_VER_V1;
	p->server_context = server_context;
}

void pair_fini(struct pair *p)
{
	clv_conn_free(p->client);
	clv_conn_free(p->server);
	clv_pool_fini(&p->pool);
	p->client = p->server = NULL;
	assert_int_equal(clv_aead_live(), 0); /* no key context outlives its connection */
}

void pair_client(struct pair *p, struct clv_tls_context *context, const char *server_name)
{
	struct clv_conn_env env = env_of(p, &p->to_server);
	struct clv_conn_params params = params_of(p, false);

	params.client_dcid.datalen = CLV_CID_LEN;
	clv_rand_bytes(&p->rand, params.client_dcid.data, CLV_CID_LEN);
	assert_int_equal(clv_conn_new(&env, &params, &p->client), 0);
	assert_int_equal(clv_tls_attach(context, p->client, server_name), 0);
}

void pair_server(struct pair *p, const struct clv_conn_params *params)
{
	struct clv_conn_env env = env_of(p, &p->to_client);
	struct clv_conn_params full = params_of(p, true);

	full.version = params->version;
	full.client_dcid = params->client_dcid;
	full.client_scid = params->client_scid;
	full.original_dcid = params->original_dcid;
	full.token = params->token;
	full.token_len = params->token_len;
	full.token_is_retry = params->token_is_retry;
	assert_int_equal(clv_conn_new(&env, &full, &p->server), 0);
	assert_int_equal(clv_tls_attach(p->server_context, p->server, NULL), 0);
	if (p->tamper_server)
		p->tamper_server(p->server);
}

static void accept_first(struct pair *p, const uint8_t *packet, size_t len)
{
	struct clv_conn_params params = { 0 };
	ngtcp2_version_cid vc;

	assert_int_equal(ngtcp2_pkt_decode_version_cid(&vc, packet, len, CLV_CID_LEN), 0);
	params.version = vc.version;
	ngtcp2_cid_init(&params.client_dcid, vc.dcid, vc.dcidlen);
	ngtcp2_cid_init(&params.client_scid, vc.scid, vc.scidlen);
	pair_server(p, &params);
}

static void record(struct pair *p, const struct pair_port *sent)
{
	if (p->flights == PAIR_FLIGHTS)
		return;
	for (unsigned i = 0; i < sent->count; i++)
		p->flight[p->flights].bytes += sent->len[i];
	p->flight[p->flights++].datagrams = sent->count;
}

/* Deliver all that is in flight one way.  Returns whether there was anything. */
static bool deliver(struct pair *p, struct pair_port *from, bool to_server)
{
	bool any = from->count > 0;

	record(p, from);
	p->now_ns += HALF_TRIP;
	for (unsigned i = 0; i < from->count; i++) {
		struct clv_rx rx = {
			.local = to_server ? pair_server_end : pair_client_end,
			.remote = to_server ? pair_client_end : pair_server_end,
			.payload = from->data[i],
			.payload_len = (uint32_t)from->len[i],
		};

		if (to_server && !p->server)
			accept_first(p, rx.payload, rx.payload_len);
		clv_conn_input(to_server ? p->server : p->client, &rx, p->now_ns);
	}
	from->count = 0;
	return any;
}

static bool is_over(const struct clv_conn *conn)
{
	return conn && conn->closing >= CLV_CONN_DRAINING;
}

/* Move time to the next timer.  Returns false when that is far away. */
static bool wait_for_timer(struct pair *p)
{
	uint64_t at = clv_conn_next_ns(p->client);

	if (p->server && clv_conn_next_ns(p->server) < at)
		at = clv_conn_next_ns(p->server);
	if (at > p->now_ns + 5 * CLV_SEC || (p->client_done && p->server_done))
		return false;
	if (at > p->now_ns)
		p->now_ns = at;
	clv_conn_expire(p->client, p->now_ns);
	if (p->server)
		clv_conn_expire(p->server, p->now_ns);
	return true;
}

void pair_run(struct pair *p)
{
	for (int round = 0; round < 100; round++) {
		bool any;

		clv_conn_output(p->client, &p->to_server.port, p->now_ns);
		any = deliver(p, &p->to_server, true);
		if (p->server)
			clv_conn_output(p->server, &p->to_client.port, p->now_ns);
		any |= deliver(p, &p->to_client, false);
		if (is_over(p->client) || is_over(p->server))
			return;
		if (!any && !wait_for_timer(p))
			return;
	}
}
