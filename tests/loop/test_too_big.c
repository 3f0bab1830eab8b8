/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Payloads that do not fit, in both directions: counted, and reported by and to ICMP. */
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

static struct clv_tunnel *tunnel_of(struct world *w)
{
	struct clv_tunnels *ts = &w->relay.workers[0]->tunnels;

	for (uint32_t i = 0; i < ts->max; i++)
		if (ts->slots[i].used)
			return &ts->slots[i];
	return NULL;
}

static void from_target(struct world *w, size_t len)
{
	static const uint8_t payload[4000];

	wire_send(&w->wire, &w->target, &tunnel_of(w)->flow.local, 0, payload, len);
}

static void what_does_not_fit(const struct world_params *p)
{
	struct world *w = world_new(p);
	struct raw *r = hostile_peer(w, 0);
	uint32_t fits;

	assert_true(raw_tunnel(r));
	from_target(w, 2000);
	raw_run(r, 100 * CLV_MSEC);
	assert_int_equal(r->datagrams, 0);
	assert_int_equal(world_count(w, CLV_COUNT_DROP_TOO_BIG_PEER), 1);
	assert_int_equal(w->too_big.count, 1);
	assert_memory_equal(&w->too_big.tuple.remote, &w->target, sizeof(w->target));
	/* the packet as it came, cut so that the error is no longer than 576 bytes */
	assert_int_equal(w->too_big.len, 548);
	assert_int_equal(w->too_big.quote[0], 0x45);
	assert_int_equal(w->too_big.quote[2] << 8 | w->too_big.quote[3], 2028);
	assert_memory_equal(w->too_big.quote + 12, w->target.addr + 12, 4);
	assert_memory_equal(w->too_big.quote + 20, &w->target.port, 2);
	/* the reported size is exact */
	fits = w->too_big.mtu - 28;
	from_target(w, fits);
	raw_run(r, 100 * CLV_MSEC);
	assert_int_equal(r->datagrams, 1);
	from_target(w, fits + 1);
	raw_run(r, 100 * CLV_MSEC);
	assert_int_equal(r->datagrams, 1);
	assert_int_equal(w->too_big.count, 2);
	hostile_peer_free(r);
	world_free(w);
}

static void test_the_target_gets_too_big_with_the_size_that_fits(void **state)
{
	(void)state;
	what_does_not_fit(&(struct world_params){ 0 });
	what_does_not_fit(&(struct world_params){ .kernel_path = true });
}

static void test_errors_to_targets_are_limited(void **state)
{
	struct world *w = world_new(&(struct world_params){ .icmp_per_sec = 10 });
	struct raw *r = hostile_peer(w, 0);

	(void)state;
	assert_true(raw_tunnel(r));
	for (int i = 0; i < 200; i++) {
		from_target(w, 2000);
		raw_run(r, 10 * CLV_MSEC);
	}
	/* one second's worth at once, and then ten a second */
	assert_in_range(w->too_big.count, 20, 31);
	assert_int_equal(w->too_big.count + world_count(w, CLV_COUNT_ICMP_LIMITED), 200);
	assert_int_equal(world_count(w, CLV_COUNT_DROP_TOO_BIG_PEER), 200);
	hostile_peer_free(r);
	world_free(w);
}

static void report_mtu(struct world *w, const struct clv_endpoint *remote, uint32_t mtu)
{
	struct clv_tuple tuple = { .local = tunnel_of(w)->flow.local, .remote = *remote };

	clv_control_icmp(w->relay.control, &tuple, mtu);
	world_run(w, 10 * CLV_MSEC, NULL);
}

static void test_a_reduced_path_mtu_to_the_target_lasts_ten_minutes(void **state)
{
	struct world *w = world_new(
		&(struct world_params){ .limits = { .conn_idle_ns = 3600 * CLV_SEC },
					.proxy = { .tunnel_idle_ns = 3600 * CLV_SEC } });
	struct raw *r = hostile_peer(w, 0);
	static const uint8_t payload[1300];
	struct clv_endpoint other;

	(void)state;
	assert_true(raw_tunnel(r));
	other = w->target;
	other.port++;
	report_mtu(w, &other, 1000);	 /* about no tunnel of ours */
	report_mtu(w, &w->target, 0);	 /* unreachable: counted, and that is all */
	report_mtu(w, &w->target, 9000); /* larger than it is */
	raw_datagram(r, 0, 0, payload, 1200);
	raw_run(r, 100 * CLV_MSEC);
	assert_int_equal(w->target_received, 1);
	assert_int_equal(world_count(w, CLV_COUNT_ICMP_UNREACHABLE), 1);

	report_mtu(w, &w->target, 1000);
	assert_int_equal(world_count(w, CLV_COUNT_ICMP_TOO_BIG), 2);
	raw_datagram(r, 0, 0, payload, 1000 - 28);
	raw_datagram(r, 0, 0, payload, 1000 - 27);
	raw_run(r, 100 * CLV_MSEC);
	assert_int_equal(w->target_received, 2);
	assert_int_equal(world_count(w, CLV_COUNT_DROP_TOO_BIG_TARGET), 1);

	for (int i = 0; i < 31; i++) { /* ten minutes: RFC 1191 section 6.3 */
		raw_send(r, (const uint8_t[]){ 0x01 }, 1);
		raw_run(r, 20 * CLV_SEC);
	}
	raw_datagram(r, 0, 0, payload, 1200);
	raw_run(r, 100 * CLV_MSEC);
	assert_int_equal(w->target_received, 3);
	hostile_peer_free(r);
	world_free(w);
}

/* ---- clients of one target ---- */

static void send_to(struct world *w, struct raw *r, size_t len)
{
	static const uint8_t payload[4000];
	struct clv_tunnels *ts = &w->relay.workers[0]->tunnels;

	for (uint32_t i = 0; i < ts->max; i++) {
		struct clv_tunnel *t = &ts->slots[i];
		struct clv_conn *conn = t->used ? w->relay.workers[0]->conns[t->conn_slot].conn
						: NULL;

		if (conn && clv_endpoint_equal(&conn->flow.remote, &r->endpoint))
			wire_send(&w->wire, &t->flow.remote, &t->flow.local, 0, payload, len);
	}
	raw_run(r, 50 * CLV_MSEC);
}

/* A client with a tunnel to port 7000 of host. */
static struct raw *client_of(struct world *w, unsigned number, const char *host, uint64_t frame_max,
			     bool is_wide)
{
	struct raw *r = hostile_peer(w, number);

	r->frame_max = frame_max;
	r->never_acks = !is_wide; /* so the probes of its path are lost */
	assert_true(raw_connect(r));
	raw_h3_start(r);
	raw_connect_udp(r, 0, host, 7000);
	raw_run(r, CLV_SEC);
	assert_int_equal(raw_status(r, 0), 200);
	return r;
}

/* headers: of IP and UDP. */
static void a_narrow_a_hostile_and_a_wide_client(const char *host, size_t headers, bool kernel_path)
{
	struct world *w = world_new(&(struct world_params){
		.has_v6 = true, .kernel_path = kernel_path, .icmp_source_per_sec = 5 });
	struct raw *hostile = client_of(w, 0, host, 64, false), *narrow, *wide;

	/* what only a parameter forbids is dropped, and the target is not told */
	send_to(w, hostile, 1000);
	assert_int_equal(world_count(w, CLV_COUNT_DROP_TOO_BIG_PEER), 1);
	assert_int_equal(w->too_big.count, 0);
	/* what the path forbids is told, but never less than 1280 */
	send_to(w, hostile, 1400);
	assert_int_equal(w->too_big.count, 1);
	assert_int_equal(w->too_big.mtu, 1280);
	send_to(w, hostile, 1280 - headers);
	assert_int_equal(w->too_big.count, 1);
	assert_int_equal(world_count(w, CLV_COUNT_DROP_TOO_BIG_PEER), 3);
	/* and not as often as it likes */
	for (int i = 0; i < 20; i++)
		send_to(w, hostile, 1400);
	assert_in_range(w->too_big.count, 5, 11);
	assert_int_equal(w->too_big.count + world_count(w, CLV_COUNT_ICMP_LIMITED), 21);

	/* a narrow client: as long as it is alone with the hostile one, the target is told */
	narrow = client_of(w, 1, host, 0, false);
	w->too_big.count = 0;
	send_to(w, narrow, 1400);
	assert_int_equal(w->too_big.count, 1);
	assert_int_equal(w->too_big.mtu, 1280);

	/* with a wide one it is not, and the wide one gets all */
	wide = client_of(w, 2, host, 0, true);
	w->too_big.count = 0;
	raw_run(narrow, 5 * CLV_SEC);
	for (int i = 0; i < 5; i++) {
		send_to(w, narrow, 1400);
		send_to(w, hostile, 1400);
		send_to(w, wide, 1400);
	}
	assert_int_equal(w->too_big.count, 0);
	assert_int_equal(world_count(w, CLV_COUNT_ICMP_WITHHELD), 10);
	assert_int_equal(wide->datagrams, 5);
	hostile_peer_free(wide);
	hostile_peer_free(narrow);
	hostile_peer_free(hostile);
	world_free(w);
}

/* The wide client has the target's host as a remote of a bound tunnel. */
static void test_a_remote_of_a_bound_tunnel_is_not_shrunk_either(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	struct raw *narrow = client_of(w, 0, "198.18.1.1", 0, false), *wide = hostile_peer(w, 1);

	(void)state;
	send_to(w, narrow, 1400);
	assert_int_equal(w->too_big.count, 1);
	assert_true(raw_connect(wide));
	raw_h3_start(wide);
	raw_connect_bind(wide, 0, "/.well-known/masque/udp/%2A/%2A/");
	raw_run(wide, CLV_SEC);
	assert_int_equal(raw_status(wide, 0), 200);
	raw_capsules(wide, 0, "11080404 c6120101 0009"); /* Context ID 4: 198.18.1.1:9 */
	raw_run(wide, CLV_SEC);
	send_to(w, narrow, 1400);
	assert_int_equal(w->too_big.count, 1);
	assert_int_equal(world_count(w, CLV_COUNT_ICMP_WITHHELD), 1);
	raw_capsules(wide, 0, "130104"); /* it closes the context */
	raw_run(wide, CLV_SEC);
	send_to(w, narrow, 1400);
	assert_int_equal(w->too_big.count, 2);
	hostile_peer_free(wide);
	hostile_peer_free(narrow);
	world_free(w);
}

static void test_a_narrow_or_hostile_client_does_not_shrink_a_shared_target(void **state)
{
	(void)state;
	a_narrow_a_hostile_and_a_wide_client("198.18.1.1", 28, false);
	a_narrow_a_hostile_and_a_wide_client("198.18.1.1", 28, true);
	a_narrow_a_hostile_and_a_wide_client("2001%3Adb8%3A1%3A%3A1", 48, false);
	a_narrow_a_hostile_and_a_wide_client("2001%3Adb8%3A1%3A%3A1", 48, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_target_gets_too_big_with_the_size_that_fits),
		cmocka_unit_test(test_errors_to_targets_are_limited),
		cmocka_unit_test(test_a_remote_of_a_bound_tunnel_is_not_shrunk_either),
		cmocka_unit_test(test_a_narrow_or_hostile_client_does_not_shrink_a_shared_target),
		cmocka_unit_test(test_a_reduced_path_mtu_to_the_target_lasts_ten_minutes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
