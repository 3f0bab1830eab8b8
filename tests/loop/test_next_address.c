/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A name with several addresses, of which the first does not answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/worker/state.h"
#include "tests/loop/fixture.h"
#include "tests/loop/remote.h"

#define TRIAL_NS CLV_SEC

enum { ADDRS = 3 };

struct scene {
	struct world *w;
	struct world_app *app;
	struct remote at[ADDRS];
};

/* Open a tunnel to a name with n addresses, a host behind each. */
static void begin_with(struct scene *s, const struct world_params *p, const char *const addrs[],
		       size_t n, const char *by_kernel)
{
	struct world *w = world_new(p);

	*s = (struct scene){ .w = w, .app = &w->clients[0].apps[0] };
	for (size_t i = 0; i < n; i++) {
		remote_join(&s->at[i], w, addrs[i]);
		w->name_addrs[i] = s->at[i].endpoint;
	}
	w->name_addrs_len = n;
	if (by_kernel)
		clv_addr_parse(by_kernel, w->by_kernel);
	assert_true(world_connect(w, 0));
	assert_int_equal(world_tunnel(w, 0, 0, "name.test", 9000), 0);
	assert_true(world_run(w, 20 * CLV_SEC, world_is_answered));
	assert_int_equal(s->app->status, 200);
}

static void begin(struct scene *s, bool kernel_path, const char *const addrs[], size_t n,
		  uint64_t trial_ns)
{
	begin_with(s,
		   &(struct world_params){
			   .kernel_path = kernel_path,
			   .has_v6 = true,
			   .proxy = { .trial_ns = trial_ns },
		   },
		   addrs, n, NULL);
}

/* However it went: one port and one entry of the kernel's table, and no copies kept. */
static void end(struct scene *s)
{
	struct world *w = s->w;
	size_t contexts = 0;

	world_run(w, CLV_SEC, NULL);
	for (size_t i = 0; i < w->relay.contexts.end; i++)
		contexts += w->relay.contexts.rows[i].used;
	assert_int_equal(contexts, w->p.kernel_path ? 0 : 1);
	assert_int_equal(w->relay.egress_held, 1);
	assert_int_equal(w->relay.workers[0]->pool.stock.used, 0);
	assert_int_equal(s->app->closed, 0);
	world_free(w);
}

static struct clv_tunnel *tunnel_of(const struct scene *s)
{
	struct clv_tunnels *ts = &s->w->relay.workers[0]->tunnels;

	for (uint32_t i = 0; i < ts->max; i++)
		if (ts->slots[i].used)
			return &ts->slots[i];
	return NULL;
}

static void send_one(struct scene *s)
{
	world_app_send(s->w, 0, 0, 40, 0);
	world_run(s->w, 100 * CLV_MSEC, NULL);
}

static void report_unreachable(struct scene *s, unsigned i)
{
	struct clv_tuple tuple = { tunnel_of(s)->flow.local, s->at[i].endpoint };

	clv_control_icmp(s->w->relay.control, &tuple, 0);
	world_run(s->w, 100 * CLV_MSEC, NULL);
}

static void answer(struct scene *s, unsigned i)
{
	remote_send(&s->at[i], &s->at[i].heard, "answer");
	world_run(s->w, 100 * CLV_MSEC, NULL);
}

static void expect(const struct scene *s, unsigned first, unsigned second, unsigned third)
{
	assert_int_equal(s->at[0].received, first);
	assert_int_equal(s->at[1].received, second);
	assert_int_equal(s->at[2].received, third);
}

static const char *const three[] = { R6, R4, S4 };

static void after_an_error(bool kernel_path, uint64_t trial_ns)
{
	struct scene s;

	begin(&s, kernel_path, three, 3, trial_ns);
	send_one(&s);
	send_one(&s);
	expect(&s, 2, 0, 0);
	report_unreachable(&s, 0);
	expect(&s, 2, 2, 0); /* at once, and what was sent so far */
	answer(&s, 1);
	assert_int_equal(s.app->received, 1);
	report_unreachable(&s, 1); /* it has answered: the error may be forged */
	send_one(&s);
	world_run(s.w, 10 * CLV_SEC, NULL);
	expect(&s, 2, 3, 0);
	assert_int_equal(world_count(s.w, CLV_COUNT_TARGETS_UNREACHABLE), 1);
	assert_int_equal(world_count(s.w, CLV_COUNT_TARGETS_SILENT), 0);
	assert_int_equal(world_count(s.w, CLV_COUNT_TARGET_AGAIN), 2);
	assert_int_equal(world_drops(s.w), 0);
	end(&s);
}

static void test_an_error_about_the_first_address_leads_to_the_next(void **state)
{
	(void)state;
	after_an_error(false, TRIAL_NS);
	after_an_error(true, TRIAL_NS);
	after_an_error(false, 0);
}

static void after_silence(bool kernel_path)
{
	struct scene s;

	begin(&s, kernel_path, three, 3, TRIAL_NS);
	world_run(s.w, 5 * CLV_SEC, NULL); /* the time runs from the first datagram */
	send_one(&s);
	world_run(s.w, 800 * CLV_MSEC, NULL);
	expect(&s, 1, 0, 0);
	world_run(s.w, 200 * CLV_MSEC, NULL);
	expect(&s, 1, 1, 0);
	answer(&s, 1);
	assert_int_equal(s.app->received, 1);
	answer(&s, 0); /* too late: the tunnel has one target */
	assert_int_equal(s.app->received, 1);
	send_one(&s);
	world_run(s.w, 10 * CLV_SEC, NULL);
	expect(&s, 1, 2, 0);
	assert_int_equal(world_count(s.w, CLV_COUNT_TARGETS_SILENT), 1);
	end(&s);
}

static void test_silence_after_the_first_datagrams_leads_to_the_next(void **state)
{
	(void)state;
	after_silence(false);
	after_silence(true);
}

static void test_a_target_that_answers_is_kept_and_no_other_hears_anything(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, false, three, 3, TRIAL_NS);
	send_one(&s);
	world_run(s.w, 700 * CLV_MSEC, NULL);
	answer(&s, 0);
	for (int i = 0; i < 5; i++) {
		send_one(&s);
		world_run(s.w, CLV_SEC, NULL);
	}
	report_unreachable(&s, 0);
	world_run(s.w, 10 * CLV_SEC, NULL);
	expect(&s, 6, 0, 0);
	assert_int_equal(s.app->received, 1);
	end(&s);
}

static void test_an_answer_that_comes_before_the_move_keeps_the_target(void **state)
{
	(void)state;
	for (int kernel_path = 0; kernel_path <= 1; kernel_path++) {
		struct scene s;

		begin(&s, kernel_path, three, 3, TRIAL_NS);
		send_one(&s);
		s.w->is_control_stuck = true;
		world_run(s.w, 2 * CLV_SEC, NULL); /* the worker has asked for another */
		answer(&s, 0);
		s.w->is_control_stuck = false;
		world_run(s.w, CLV_SEC, NULL);
		assert_int_equal(s.app->received, 1);
		send_one(&s);
		answer(&s, 0);
		assert_int_equal(s.app->received, 2);
		expect(&s, 2, 0, 0);
		assert_int_equal(world_count(s.w, CLV_COUNT_TARGETS_SILENT), 0);
		assert_int_equal(world_drops(s.w), 0);
		end(&s);
	}
}

/* The first target answers while the command to leave it is under way. */
static void test_until_the_move_both_ports_are_held(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, false, three, 3, TRIAL_NS);
	send_one(&s);
	s.w->is_control_stuck = true;
	world_run(s.w, 2 * CLV_SEC, NULL);
	clv_control_step(s.w->relay.control, s.w->wire.now_ns); /* it decides */
	assert_int_equal(s.w->relay.egress_held, 2);
	s.w->is_control_stuck = false;
	world_run(s.w, CLV_SEC, NULL);
	end(&s);
}

/* One address is reached by XDP, the other by the kernel. */
static void from_datapath_to_datapath(const char *by_kernel, unsigned contexts)
{
	struct scene s;
	size_t found = 0;

	begin_with(&s, &(struct world_params){ .has_v6 = true, .proxy = { .trial_ns = TRIAL_NS } },
		   three, 2, by_kernel);
	send_one(&s);
	world_run(s.w, CLV_SEC, NULL);
	expect(&s, 1, 1, 0);
	answer(&s, 1);
	assert_int_equal(s.app->received, 1);
	for (int i = 0; i < 3; i++)
		send_one(&s);
	answer(&s, 1);
	assert_int_equal(s.app->received, 2);
	expect(&s, 1, 4, 0);
	for (size_t i = 0; i < s.w->relay.contexts.end; i++)
		found += s.w->relay.contexts.rows[i].used;
	assert_int_equal(found, contexts);
	assert_int_equal(s.w->relay.egress_held, 1);
	assert_int_equal(world_drops(s.w), 0);
	world_free(s.w);
}

static void test_the_next_address_may_be_of_the_other_datapath(void **state)
{
	(void)state;
	from_datapath_to_datapath("198.18.5.1", 0);
	from_datapath_to_datapath("2001:db8:5::1", 1);
}

/* A name with many addresses is no way around the limits. */
static void test_what_is_sent_again_counts_for_the_clients_limits(void **state)
{
	static struct clv_meter meter;
	struct scene s;

	(void)state;
	begin(&s, false, three, 3, TRIAL_NS);
	meter = (struct clv_meter){ .limits.bytes_max = 100 };
	tunnel_of(&s)->meter = &meter;
	send_one(&s);
	send_one(&s);
	assert_int_equal(meter.bytes[CLV_METER_TO_TARGET], 80);
	meter.limits.bytes_max = 120;
	report_unreachable(&s, 0);
	expect(&s, 2, 1, 0);
	assert_int_equal(meter.bytes[CLV_METER_TO_TARGET], 120);
	assert_int_equal(world_count(s.w, CLV_COUNT_DROP_CLIENT_BYTES), 1);
	tunnel_of(&s)->meter = NULL;
	answer(&s, 1);
	end(&s);
}

static void lose_hop(struct scene *s)
{
	const struct clv_nexthop unknown = { .state = CLV_HOP_RESOLVING };

	worker_tunnel_hop(s->w->relay.workers[0], tunnel_of(s), &unknown);
}

/* What waits for its next hop has been charged; what left before it is charged for each address. */
static void test_what_left_is_charged_again_though_others_wait(void **state)
{
	static struct clv_meter meter;
	struct scene s;

	(void)state;
	begin(&s, false, three, 3, TRIAL_NS);
	meter = (struct clv_meter){ .limits.bytes_max = 1000 };
	tunnel_of(&s)->meter = &meter;
	send_one(&s);
	send_one(&s);
	lose_hop(&s);
	send_one(&s);
	expect(&s, 2, 0, 0);
	assert_int_equal(meter.bytes[CLV_METER_TO_TARGET], 3 * 40);
	report_unreachable(&s, 0);
	expect(&s, 2, 3, 0);
	assert_int_equal(meter.bytes[CLV_METER_TO_TARGET], 5 * 40);
	tunnel_of(&s)->meter = NULL;
	answer(&s, 1);
	assert_int_equal(world_drops(s.w), 0);
	end(&s);
}

static void test_what_waits_without_a_copy_is_counted_when_it_is_lost(void **state)
{
	struct scene s;

	(void)state;
	begin_with(&s,
		   &(struct world_params){ .has_v6 = true,
					   .buffers = 8,
					   .hop_wait_packets = 100,
					   .proxy = { .trial_ns = TRIAL_NS } },
		   three, 3, NULL);
	world_app_send(s.w, 0, 0, 40, 0);
	send_one(&s);
	lose_hop(&s);
	for (int i = 0; i < 4; i++)
		world_app_send(s.w, 0, 0, 40, 0);
	send_one(&s);
	expect(&s, 2, 0, 0);
	report_unreachable(&s, 0);
	assert_true(s.at[1].received > 2);
	assert_true(world_drops(s.w) > 0);
	assert_int_equal(s.at[1].received + world_drops(s.w), 7);
	answer(&s, 1);
	end(&s);
}

/* Copies leave half of the buffers to what has to wait. */
static void test_copies_are_kept_as_long_as_there_is_room(void **state)
{
	struct scene s;

	(void)state;
	begin_with(&s,
		   &(struct world_params){ .has_v6 = true,
					   .buffers = 8,
					   .hop_wait_packets = 100,
					   .proxy = { .trial_ns = TRIAL_NS } },
		   three, 3, NULL);
	for (int i = 0; i < 8; i++)
		world_app_send(s.w, 0, 0, 40, 0);
	world_run(s.w, 100 * CLV_MSEC, NULL);
	expect(&s, 8, 0, 0);
	assert_in_range(s.w->relay.workers[0]->pool.stock.used, 4, 5);
	world_run(s.w, CLV_SEC, NULL);
	assert_in_range(s.at[1].received, 4, 5);
	answer(&s, 1);
	assert_int_equal(world_drops(s.w), 0);
	end(&s);
}

static void when_all_are_silent(uint64_t trial_ns, unsigned sent[ADDRS])
{
	struct scene s;

	begin(&s, false, three, 3, trial_ns);
	send_one(&s);
	world_run(s.w, 10 * CLV_SEC, NULL);
	expect(&s, sent[0], sent[1], sent[2]);
	send_one(&s);
	world_run(s.w, 10 * CLV_SEC, NULL);
	expect(&s, sent[0] + 1, sent[1], sent[2]);
	end(&s);
}

static void test_when_all_are_silent_the_first_is_kept(void **state)
{
	(void)state;
	/* what is three seconds old is not sent again */
	when_all_are_silent(TRIAL_NS, (unsigned[]){ 1, 1, 1 });
	when_all_are_silent(TRIAL_NS / 2, (unsigned[]){ 2, 1, 1 });
	/* without a time for silence no datagram is sent twice */
	when_all_are_silent(0, (unsigned[]){ 1, 0, 0 });
}

static void test_an_address_with_an_error_is_not_returned_to(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, false, three, 3, TRIAL_NS);
	send_one(&s);
	report_unreachable(&s, 0);
	world_run(s.w, 10 * CLV_SEC, NULL);
	expect(&s, 1, 2, 1);
	send_one(&s);
	expect(&s, 1, 3, 1); /* R4 is the first that no error was about */
	end(&s);
}

static void test_the_policy_and_own_addresses_hold_for_each_address(void **state)
{
	/* denied; the relay's own; allowed */
	static const char *const addrs[] = { R6, "10.0.0.1:9000", "198.18.0.1:9000" };
	struct scene s;

	(void)state;
	begin(&s, false, addrs, 3, TRIAL_NS);
	send_one(&s);
	report_unreachable(&s, 0);
	world_run(s.w, 10 * CLV_SEC, NULL);
	expect(&s, 1, 0, 0); /* there is no other: it stays */
	send_one(&s);
	expect(&s, 2, 0, 0);
	assert_int_equal(world_count(s.w, CLV_COUNT_TARGETS_UNREACHABLE), 0);
	end(&s);
}

static void test_a_neighbour_that_does_not_answer_is_left(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, false, three, 3, TRIAL_NS);
	memcpy(s.w->no_neighbour, s.at[0].endpoint.addr, 16);
	clv_control_routes_changed(s.w->relay.control);
	world_run(s.w, 10 * CLV_MSEC, NULL);
	send_one(&s);
	expect(&s, 0, 1, 0);
	answer(&s, 1);
	assert_int_equal(s.app->received, 1);
	assert_int_equal(world_drops(s.w), 0);
	end(&s);
}

static void test_without_another_address_what_waits_is_dropped_and_counted(void **state)
{
	static const char *const addrs[] = { R6, "10.0.0.1:9000" };
	struct scene s;

	(void)state;
	begin(&s, false, addrs, 2, TRIAL_NS);
	memcpy(s.w->no_neighbour, s.at[0].endpoint.addr, 16);
	clv_control_routes_changed(s.w->relay.control);
	world_run(s.w, 10 * CLV_MSEC, NULL);
	send_one(&s);
	send_one(&s);
	expect(&s, 0, 0, 0);
	assert_int_equal(world_drops(s.w), 2);
	end(&s);
}

static void test_one_address_is_not_on_trial(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, false, three, 1, TRIAL_NS);
	assert_false(worker_is_trial(tunnel_of(&s)));
	send_one(&s);
	assert_int_equal(s.w->relay.workers[0]->pool.stock.used, 0);
	end(&s);
}

static void test_without_a_port_for_the_next_the_tunnel_stays(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, false, three, 3, TRIAL_NS);
	s.w->egress_max = 1;
	send_one(&s);
	world_run(s.w, 10 * CLV_SEC, NULL);
	expect(&s, 1, 0, 0);
	answer(&s, 0);
	assert_int_equal(s.app->received, 1);
	end(&s);
}

static void test_a_tunnel_that_ends_on_the_way_gives_both_ports_back(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, true, three, 3, TRIAL_NS);
	send_one(&s);
	clv_control_icmp(s.w->relay.control,
			 &(struct clv_tuple){ tunnel_of(&s)->flow.local, s.at[0].endpoint }, 0);
	clv_relay_tunnel_close(s.app->tunnel);
	world_run(s.w, CLV_SEC, NULL);
	assert_int_equal(s.w->relay.egress_held, 0);
	assert_int_equal(s.w->relay.workers[0]->pool.stock.used, 0);
	world_free(s.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_error_about_the_first_address_leads_to_the_next),
		cmocka_unit_test(test_silence_after_the_first_datagrams_leads_to_the_next),
		cmocka_unit_test(test_a_target_that_answers_is_kept_and_no_other_hears_anything),
		cmocka_unit_test(test_an_answer_that_comes_before_the_move_keeps_the_target),
		cmocka_unit_test(test_until_the_move_both_ports_are_held),
		cmocka_unit_test(test_the_next_address_may_be_of_the_other_datapath),
		cmocka_unit_test(test_what_is_sent_again_counts_for_the_clients_limits),
		cmocka_unit_test(test_what_left_is_charged_again_though_others_wait),
		cmocka_unit_test(test_what_waits_without_a_copy_is_counted_when_it_is_lost),
		cmocka_unit_test(test_copies_are_kept_as_long_as_there_is_room),
		cmocka_unit_test(test_when_all_are_silent_the_first_is_kept),
		cmocka_unit_test(test_an_address_with_an_error_is_not_returned_to),
		cmocka_unit_test(test_the_policy_and_own_addresses_hold_for_each_address),
		cmocka_unit_test(test_a_neighbour_that_does_not_answer_is_left),
		cmocka_unit_test(test_without_another_address_what_waits_is_dropped_and_counted),
		cmocka_unit_test(test_one_address_is_not_on_trial),
		cmocka_unit_test(test_without_a_port_for_the_next_the_tunnel_stays),
		cmocka_unit_test(test_a_tunnel_that_ends_on_the_way_gives_both_ports_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
