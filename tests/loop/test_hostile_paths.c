/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Packets of unknown sources for an established connection, and valid and forged stateless resets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/worker/state.h"
#include "tests/loop/fixture.h"
#include "tests/loop/hostile.h"

enum { RESET_LEN = 43 };

static struct clv_conn *relay_conn(struct world *w)
{
	for (uint32_t i = 0; i < w->relay.workers[0]->p.conns_max; i++)
		if (w->relay.workers[0]->conns[i].conn)
			return w->relay.workers[0]->conns[i].conn;
	return NULL;
}

static struct clv_endpoint unknown_source(void)
{
	struct clv_endpoint ep;

	assert_int_equal(clv_endpoint_parse("198.18.2.99:4444", &ep), 0);
	return ep;
}

static void send_as(struct raw *r, const struct clv_endpoint *from, const uint8_t *bytes,
		    size_t len)
{
	wire_send(&r->w->wire, from, &r->w->relay_endpoint, 0, bytes, len);
}

static void test_a_packet_that_does_not_decrypt_changes_no_path(void **state)
{
	static const uint8_t ping[] = { 0x01, 0, 0, 0 };
	struct world *w = world_new(&(struct world_params){ 0 });
	struct raw *r = hostile_peer(w, 0);
	struct clv_endpoint from = unknown_source();
	struct clv_paths paths;
	struct clv_flow flow;
	uint8_t packet[1500];
	uint64_t dropped;
	size_t len;

	(void)state;
	assert_true(raw_tunnel(r));
	flow = relay_conn(w)->flow;
	paths = relay_conn(w)->paths;
	dropped = world_count(w, CLV_COUNT_DROP_QUIC);

	/* forged: a known connection ID and noise */
	len = raw_seal(r, ping, sizeof(ping), packet);
	packet[len - 1] ^= 1;
	send_as(r, &from, packet, len);
	raw_run(r, 50 * CLV_MSEC);
	assert_memory_equal(&relay_conn(w)->paths, &paths, sizeof(paths));
	assert_int_equal(world_count(w, CLV_COUNT_DROP_QUIC), dropped + 1);

	/* a copy of a packet that the relay has already */
	len = raw_seal(r, ping, sizeof(ping), packet);
	raw_send_bytes(r, packet, len);
	raw_run(r, 50 * CLV_MSEC);
	send_as(r, &from, packet, len);
	raw_run(r, 50 * CLV_MSEC);
	assert_memory_equal(&relay_conn(w)->paths, &paths, sizeof(paths));
	assert_int_equal(world_count(w, CLV_COUNT_DROP_QUIC), dropped + 2);
	assert_memory_equal(&relay_conn(w)->flow, &flow, sizeof(flow));

	/* the peer's own from elsewhere is noted, but nothing moves before the path is proven */
	len = raw_seal(r, ping, sizeof(ping), packet);
	send_as(r, &from, packet, len);
	raw_run(r, 50 * CLV_MSEC);
	assert_int_equal(relay_conn(w)->paths.known, 1);
	assert_memory_equal(&relay_conn(w)->flow, &flow, sizeof(flow));
	paths = relay_conn(w)->paths;
	from.port = htons(5555);
	packet[len - 1] ^= 1;
	send_as(r, &from, packet, len);
	raw_run(r, 50 * CLV_MSEC);
	assert_memory_equal(&relay_conn(w)->paths, &paths, sizeof(paths));
	hostile_peer_free(r);
	world_free(w);
}

/* The relay uses a connection ID of ours that came with a token. */
static void give_token(struct raw *r, uint8_t token[static CLV_CID_TOKEN_LEN])
{
	struct raw_bytes b = { .len = 0 };

	clv_rand_bytes(&r->rand, token, CLV_CID_TOKEN_LEN);
	clv_cid_random(&r->rand, &r->scid);
	put_hex(&b, "18 0a 0a 08"); /* NEW_CONNECTION_ID number 10, which retires all before */
	put_bytes(&b, r->scid.id, sizeof(r->scid.id));
	put_bytes(&b, token, CLV_CID_TOKEN_LEN);
	raw_send(r, b.bytes, b.len);
	raw_run(r, 100 * CLV_MSEC);
}

static void send_reset(struct raw *r, const uint8_t *token)
{
	uint8_t reset[RESET_LEN];

	clv_rand_bytes(&r->rand, reset, sizeof(reset));
	reset[0] = (reset[0] & 0x3f) | 0x40;
	memcpy(reset + sizeof(reset) - CLV_CID_TOKEN_LEN, token, CLV_CID_TOKEN_LEN);
	raw_send_bytes(r, reset, sizeof(reset));
}

static void reset_ends(const struct world_params *p)
{
	struct world *w = world_new(p);
	struct raw *r = hostile_peer(w, 0);
	uint8_t token[CLV_CID_TOKEN_LEN];
	uint64_t packets;

	assert_true(raw_tunnel(r));
	give_token(r, token);
	assert_false(r->is_closed);
	assert_int_equal(w->relay.egress_held, 1);
	packets = r->packets;
	r->never_acks = true;
	send_reset(r, token);
	raw_run(r, 5 * CLV_SEC);
	assert_null(relay_conn(w));
	assert_int_equal(w->relay.egress_held, 0);
	assert_int_equal(r->packets, packets); /* RFC 9000 section 10.3.1: not one more */
	hostile_assert_serves(w);
	hostile_peer_free(r);
	world_free(w);
}

static void test_a_stateless_reset_ends_the_connection(void **state)
{
	(void)state;
	reset_ends(&(struct world_params){ 0 });
	reset_ends(&(struct world_params){ .kernel_path = true });
}

static void test_noise_and_old_tokens_reset_nothing(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	struct raw *r = hostile_peer(w, 0);
	uint8_t token[CLV_CID_TOKEN_LEN], old[CLV_CID_TOKEN_LEN];
	struct clv_endpoint from = unknown_source();
	uint8_t reset[RESET_LEN] = { 0x40 };
	uint64_t datagrams;

	(void)state;
	assert_true(raw_tunnel(r));
	give_token(r, token);
	memcpy(old, token, sizeof(old));
	old[0] ^= 1;
	send_reset(r, old);
	memcpy(reset + sizeof(reset) - CLV_CID_TOKEN_LEN, token, CLV_CID_TOKEN_LEN);
	/* right, but not from where the relay sends to */
	send_as(r, &from, reset, sizeof(reset));
	raw_run(r, CLV_SEC);
	assert_non_null(relay_conn(w));
	datagrams = r->datagrams;
	raw_datagram(r, 0, 0, "hello", 5);
	raw_run(r, 100 * CLV_MSEC);
	assert_int_equal(r->datagrams, datagrams + 1);
	hostile_peer_free(r);
	world_free(w);
}

static void test_resets_to_and_fro_come_to_an_end(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	struct raw *r = hostile_peer(w, 0);
	uint8_t unknown[1200] = { 0x40 };
	size_t len = sizeof(unknown);
	unsigned rounds = 0;

	(void)state;
	while (len && rounds < 2000) { /* answer each reset with one of its own size */
		uint64_t packets = r->packets, bytes = r->bytes;

		raw_send_bytes(r, unknown, len);
		raw_run(r, 20 * CLV_MSEC);
		if (r->packets == packets)
			break;
		assert_true(r->bytes - bytes < len);
		len = r->bytes - bytes;
		rounds++;
	}
	assert_in_range(rounds, 1, 1200 - 21);
	assert_int_equal(world_count(w, CLV_COUNT_RESET_SENT), rounds);
	hostile_peer_free(r);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_packet_that_does_not_decrypt_changes_no_path),
		cmocka_unit_test(test_a_stateless_reset_ends_the_connection),
		cmocka_unit_test(test_noise_and_old_tokens_reset_nothing),
		cmocka_unit_test(test_resets_to_and_fro_come_to_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
