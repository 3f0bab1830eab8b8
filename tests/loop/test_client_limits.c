/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The rates and the total of bytes of a client: a hog that sends more than it may, and a bystander
 * that loses nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/admission/bearer.h"
#include "control/admission/users.h"
#include "control/proxy/gate.h"
#include "datapath/base/clock.h"
#include "datapath/worker/state.h"
#include "tests/loop/fixture.h"

enum {
	LEN = 100,	/* bytes of a datagram */
	PER_SEC = 1000, /* datagrams that a client sends */
};

static const uint8_t token_key[CLV_BEARER_KEY_LEN] = { 5 };

/* A relay with credentials. */
static struct {
	struct clv_access access;
	struct clv_users *users;
	struct world *w;
} t;

/* The value of Proxy-Authorization for a client with these limits. */
static const char *credential(unsigned i, const char *name, const char *limits)
{
	static char texts[WORLD_CLIENTS_MAX][CLV_BEARER_TEXT_MAX + 8];
	struct clv_bearer b = { .issued_sec = 1 };
	const char *why;

	strcpy(b.name, name);
	assert_int_equal(clv_client_limits_parse(limits, strlen(limits), &b.limits, &why), 0);
	strcpy(texts[i], "Bearer ");
	assert_int_equal(clv_bearer_make(token_key, &b, texts[i] + 7), 0);
	return texts[i];
}

/* Two clients with a tunnel each; client 1 is on the last worker. */
static struct world *open_world(uint16_t workers, const char *const authorization[2])
{
	struct clv_access_params ap = { .failures = { .host = clv_rate_of(1, 3) }, .sources = 16 };
	const struct world_params p = {
		.workers = workers,
		.clients = 2,
		.access = &t.access,
		.authorization = { authorization[0], authorization[1] },
		.seed = 77,
	};

	memcpy(ap.token_key, token_key, sizeof(token_key));
	assert_int_equal(clv_access_init(&t.access, &ap), 0);
	t.users = NULL;
	t.w = world_new(&p);
	for (unsigned i = 0; i < 2; i++) {
		t.w->relay.flow_worker = (uint16_t)(i * (workers - 1u));
		assert_true(world_connect(t.w, i));
		assert_int_equal(world_tunnel(t.w, i, 0, "198.18.1.1", 7000), 0);
		world_run(t.w, CLV_SEC, NULL);
		assert_true(t.w->clients[i].apps[0].opened);
	}
	return t.w;
}

static void close_world(void)
{
	world_free(t.w);
	clv_access_fini(&t.access);
	clv_users_free(t.users);
}

/* Both clients send for some seconds; what the target returns comes back to them. */
static void send_for(unsigned sec, bool both)
{
	for (uint32_t n = 0; n < sec * PER_SEC; n++) {
		world_app_send(t.w, 0, 0, LEN, n);
		if (both)
			world_app_send(t.w, 1, 0, LEN, n);
		world_run(t.w, CLV_SEC / PER_SEC, NULL);
		if (n % PER_SEC == 0)
			clv_proxy_renew_access(t.w->relay.proxy, false);
	}
	world_run(t.w, CLV_SEC, NULL);
}

static uint64_t got(unsigned client)
{
	return t.w->clients[client].apps[0].received;
}

static void find(void *user, const struct clv_gate_account *a)
{
	const struct clv_gate_account **out = user;

	if (strcmp(a->name, (*out)->name) == 0)
		*out = a;
}

static struct clv_meters_sum sum_of(const char *name)
{
	struct clv_gate_account wanted = { .next = NULL };
	const struct clv_gate_account *a = &wanted;
	struct clv_meters_sum sum;

	strcpy(wanted.name, name);
	clv_proxy_each_client(t.w->relay.proxy, find, &a);
	assert_ptr_not_equal(a, &wanted);
	clv_meters_sum(&a->meters, &sum);
	return sum;
}

static void a_client_gets_its_packets_a_second_and_a_bystander_all(void **state)
{
	const char *const who[] = { credential(0, "hog", "packets=100"),
				    credential(1, "bystander", "") };
	struct clv_meters_sum hog, bystander;

	(void)state;
	open_world(1, who);
	send_for(4, true);
	assert_in_range(got(0), 400, 430);
	assert_int_equal(got(1), 4 * PER_SEC);
	hog = sum_of("hog");
	bystander = sum_of("bystander");
	assert_int_equal(hog.packets[CLV_METER_TO_PEER], got(0));
	assert_int_equal(hog.packets[CLV_METER_TO_TARGET] + hog.dropped[CLV_METER_TO_TARGET],
			 4 * PER_SEC);
	assert_int_equal(hog.bytes[CLV_METER_TO_PEER], LEN * got(0));
	assert_int_equal(bystander.packets[CLV_METER_TO_TARGET], 4 * PER_SEC);
	assert_int_equal(bystander.dropped[CLV_METER_TO_TARGET], 0);
	/* Each drop has its reason, once. */
	assert_int_equal(world_count(t.w, CLV_COUNT_DROP_CLIENT_RATE),
			 hog.dropped[CLV_METER_TO_TARGET] + hog.dropped[CLV_METER_TO_PEER]);
	close_world();
}

static void a_client_gets_its_mbit(void **state)
{
	/* 1 Mbit/s: 125,000 bytes a second of 400,000. */
	const char *const who[] = { credential(0, "hog", "mbit=1"), credential(1, "other", "") };

	(void)state;
	open_world(1, who);
	for (uint32_t n = 0; n < 4 * PER_SEC; n++) {
		world_app_send(t.w, 0, 0, 4 * LEN, n);
		world_run(t.w, CLV_SEC / PER_SEC, NULL);
	}
	world_run(t.w, CLV_SEC, NULL);
	assert_in_range(got(0) * 4 * LEN, 4 * 125000 - 1000, 4 * 125000 + 66000);
	close_world();
}

static void workers_divide_the_rate_of_one_client(void **state)
{
	const char *const who[] = { credential(0, "both", "packets=200"),
				    credential(1, "both", "packets=200") };

	(void)state;
	open_world(2, who);
	assert_int_not_equal(t.w->relay.workers[0]->tunnels.slots[0].used, 0);
	assert_int_not_equal(t.w->relay.workers[1]->tunnels.slots[0].used, 0);
	send_for(4, true);
	assert_in_range(got(0), 400, 420);
	assert_in_range(got(1), 400, 420);
	close_world();
}

static void the_total_of_bytes_ends_datagrams_and_refuses_tunnels(void **state)
{
	/* 100 each way of 100 bytes. */
	const char *const who[] = { credential(0, "hog", "bytes=20K"), credential(1, "other", "") };
	struct clv_meters_sum hog;
	struct world_app *late;

	(void)state;
	open_world(1, who);
	send_for(2, true);
	hog = sum_of("hog");
	assert_int_equal(hog.bytes[0] + hog.bytes[1], 20000);
	assert_in_range(got(0), 85, 100); /* some were still on their way back */
	assert_int_equal(got(1), 2 * PER_SEC);
	assert_true(world_count(t.w, CLV_COUNT_DROP_CLIENT_BYTES) > PER_SEC);

	late = &t.w->clients[0].apps[1];
	world_tunnel(t.w, 0, 1, "198.18.1.1", 7001);
	world_run(t.w, CLV_SEC, NULL);
	assert_int_equal(late->opened, 0);
	assert_true(late->status >= 400);
	close_world();
}

static void new_limits_reach_open_tunnels(void **state)
{
	static const char text[] = "hog packets=100\n";
	const uint64_t seed[2] = { 1, 2 };
	const char *const who[] = { credential(0, "hog", ""), credential(1, "other", "") };
	uint64_t before;
	char error[128];

	(void)state;
	open_world(1, who);
	send_for(1, false);
	before = got(0);
	assert_int_equal(before, PER_SEC);
	assert_int_equal(
		clv_users_parse("users", text, strlen(text), seed, &t.users, error, sizeof(error)),
		0);
	clv_access_set_users(&t.access, t.users);
	clv_proxy_renew_access(t.w->relay.proxy, true);
	send_for(2, false);
	assert_in_range(got(0) - before, 200, 220);
	/* And are lifted again. */
	clv_access_set_users(&t.access, NULL);
	clv_proxy_renew_access(t.w->relay.proxy, true);
	before = got(0);
	send_for(1, false);
	assert_int_equal(got(0) - before, PER_SEC);
	close_world();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_gets_its_packets_a_second_and_a_bystander_all),
		cmocka_unit_test(a_client_gets_its_mbit),
		cmocka_unit_test(workers_divide_the_rate_of_one_client),
		cmocka_unit_test(the_total_of_bytes_ends_datagrams_and_refuses_tunnels),
		cmocka_unit_test(new_limits_reach_open_tunnels),
	};

	return cmocka_run_group_tests_name("client_limits", tests, NULL, NULL);
}
