/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/loop/signal_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"

struct world *world;
struct signal_peer peers[WORLD_CLIENTS_MAX];

uint64_t signal_wall_ms(void)
{
	return 1700000000000 + world->wire.now_ns / CLV_MSEC;
}

static void on_hello(void *user, const struct clv_identity *relay)
{
	struct signal_peer *p = user;

	p->hellos++;
	p->relay = *relay;
}

static void on_observed(void *user, const struct clv_endpoint *at, uint64_t sequence)
{
	struct signal_peer *p = user;

	assert_true(!p->observed || sequence > p->sequence);
	p->observed++;
	p->at = *at;
	p->sequence = sequence;
}

static void on_published(void *user, enum clv_signal_result result)
{
	struct signal_peer *p = user;

	p->published[result]++;
}

static void on_found(void *user, uint32_t number, enum clv_signal_result result,
		     const struct clv_object *record)
{
	struct signal_peer *p = user;

	(void)number;
	assert_int_equal(result == CLV_SIGNAL_DONE, record != NULL);
	p->found[result]++;
	if (record) {
		p->found_seq = record->seq;
		p->found_port = ntohs(record->endpoints[0].at.port);
	}
}

static void on_knocked(void *user, uint32_t number, enum clv_signal_result result,
		       const struct clv_object *record)
{
	struct signal_peer *p = user;

	(void)number;
	p->knocked[result]++;
	if (record)
		p->found_port = ntohs(record->endpoints[0].at.port);
}

static void on_knock(void *user, const uint8_t request[static CLV_SIGNAL_REQUEST_LEN],
		     const struct clv_object *knock)
{
	struct signal_peer *p = user;

	p->knocks++;
	p->knocker = knock->id;
	p->knock_port = ntohs(knock->from.at.port);
	memcpy(p->request, request, sizeof(p->request));
	if (!p->is_silent)
		clv_signal_session_answer(clv_relay_signal_session(p->signal), request, p->reply,
					  p->replies_with_record);
}

static void on_going(void *user, uint16_t seconds)
{
	(void)user;
	(void)seconds;
}

static void on_closed(void *user, int error, const struct clv_client_result *result)
{
	struct signal_peer *p = user;

	p->closed++;
	p->error = error;
	p->status = result ? result->status : 0;
	p->signal = NULL;
}

static const struct clv_signal_session_ops ops = {
	.on_hello = on_hello,
	.on_observed = on_observed,
	.on_published = on_published,
	.on_found = on_found,
	.on_knocked = on_knocked,
	.on_knock = on_knock,
	.on_going = on_going,
};

void signal_open(unsigned i)
{
	struct signal_peer *p = &peers[i];
	const struct clv_relay_signal_params params = {
		.ops = &ops,
		.on_closed = on_closed,
		.user = p,
		.signer = p->signer,
		.rand = &world->clients[i].rand,
		.wall_ms = signal_wall_ms,
	};

	p->observed = 0; /* sequences are those of a stream */
	assert_int_equal(clv_relay_session_signal(world->clients[i].session, &params, &p->signal),
			 0);
}

void signal_run(uint64_t duration_ns)
{
	world_run(world, duration_ns, NULL);
}

void signal_start(struct world_params p, unsigned clients, unsigned without)
{
	p.clients = (uint16_t)clients;
	for (unsigned i = 0; i < clients; i++)
		p.has_identity[i] = !(without & 1u << i);
	memset(peers, 0, sizeof(peers));
	world = world_new(&p);
	for (unsigned i = 0; i < clients; i++) {
		if (p.has_identity[i]) {
			assert_int_equal(clv_signer_new(world_identity(i), &peers[i].signer), 0);
			assert_int_equal(
				clv_object_identity(clv_signer_key(peers[i].signer), &peers[i].id),
				0);
		}
		assert_true(world_connect(world, i));
		signal_open(i);
	}
	signal_run(CLV_SEC);
}

void signal_stop(void)
{
	world_free(world);
	for (unsigned i = 0; i < WORLD_CLIENTS_MAX; i++)
		clv_signer_free(peers[i].signer);
}

struct clv_signal_session *signal_session(unsigned i)
{
	assert_non_null(peers[i].signal);
	return clv_relay_signal_session(peers[i].signal);
}

struct clv_object_endpoint signal_at(uint16_t port)
{
	struct clv_object_endpoint e = { CLV_OBJECT_USE_BOUND, CLV_OBJECT_QUIC, { .port = 0 } };

	assert_int_equal(clv_endpoint_parse("192.0.2.1:1", &e.at), 0);
	e.at.port = htons(port);
	return e;
}

void signal_publish(unsigned i, uint16_t port)
{
	struct clv_object record = { .endpoints = { signal_at(port) },
				     .endpoints_len = 1,
				     .own_len = 1 };

	assert_int_equal(clv_signal_session_publish(signal_session(i), &record), 0);
}

void signal_look_up(unsigned i, unsigned whom)
{
	assert_int_equal(clv_signal_session_look_up(signal_session(i), &peers[whom].id, NULL), 0);
}

void signal_knock(unsigned i, unsigned whom, uint16_t port)
{
	const struct clv_object_endpoint from = signal_at(port);

	assert_int_equal(clv_signal_session_knock(signal_session(i), &peers[whom].id, &from, NULL),
			 0);
}

const struct clv_signals *signal_at_relay(void)
{
	return clv_proxy_signals(world->relay.proxy);
}
