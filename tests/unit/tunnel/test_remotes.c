/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Remotes of bound tunnels: how they are found, how they come and go, what others see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/tunnel/remotes.h"
#include "datapath/tunnel/tunnel.h"

enum {
	ROOM = 8,
	TUNNELS = 4,
	WAIT = 2,
};

static const uint64_t seed[2] = { 3, 7 };
static const uint64_t now_ns = 1000 * CLV_SEC;

struct fixture {
	struct clv_remotes rs;
	struct clv_tunnels ts;
	struct clv_pool pool;
	struct clv_tunnel *t[2];
};

static struct clv_endpoint endpoint(const char *text)
{
	struct clv_endpoint ep = { 0 };

	assert_int_equal(clv_endpoint_parse(text, &ep), 0);
	return ep;
}

static struct clv_endpoint numbered(unsigned n)
{
	char text[CLV_ADDR_TEXT_MAX];

	snprintf(text, sizeof(text), "203.0.113.9:%u", 1000 + n);
	return endpoint(text);
}

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	assert_int_equal(clv_remotes_init(&f.rs, ROOM, WAIT, seed), 0);
	assert_int_equal(clv_tunnels_init(&f.ts, TUNNELS, seed), 0);
	assert_int_equal(clv_pool_init(&f.pool, 16, 2048), 0);
	for (unsigned i = 0; i < 2; i++) {
		const struct clv_cmd_tunnel_add add = {
			.ref = { .slot = i, .generation = 5 },
			.spec = { .stream_id = 4 * (int64_t)i,
				  .flags = CLV_TUNNEL_BOUND,
				  .busy_per_sec = 3 },
			.socket_fd = -1,
		};

		f.t[i] = clv_tunnels_add(&f.ts, &add, WAIT, now_ns);
		assert_non_null(f.t[i]);
	}
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 2; i++) {
		while (f->t[i]->remotes)
			clv_remotes_remove(&f->rs, f->t[i], &f->rs.slots[f->t[i]->remotes - 1],
					   &f->pool);
		assert_int_equal(f->t[i]->remotes_len, 0);
		clv_tunnels_remove(&f->ts, f->t[i], &f->pool);
	}
	assert_int_equal(f->rs.free_len, ROOM);
	assert_int_equal(f->rs.by_id.count + f->rs.by_endpoint.count + f->rs.by_tuple.count, 0);
	clv_remotes_fini(&f->rs);
	clv_tunnels_fini(&f->ts);
	clv_pool_fini(&f->pool);
	return 0;
}

/* A settled remote of tunnel n. */
static struct clv_remotes_entry *made(struct fixture *f, unsigned n, unsigned number)
{
	const struct clv_endpoint named = numbered(number);
	const struct clv_remote remote = {
		.endpoint = named,
		.local = endpoint(n ? "192.0.2.1:20001" : "192.0.2.1:20000"),
		.remote = named,
	};
	struct clv_remotes_entry *r = clv_remotes_add(&f->rs, f->t[n], &named, now_ns, 0);

	assert_non_null(r);
	assert_int_equal(clv_remotes_resolve(&f->rs, f->t[n], r, &remote, 0), 0);
	return r;
}

static void a_remote_is_found_by_each_of_its_names_in_its_tunnel_only(void **state)
{
	struct fixture *f = *state;
	struct clv_remotes_entry *a = made(f, 0, 1), *b = made(f, 1, 1);
	const struct clv_endpoint named = numbered(1);

	assert_int_equal(clv_remotes_open(&f->rs, f->t[0], a, 2, true), 0);
	assert_ptr_equal(clv_remotes_by_id(&f->rs, f->t[0], 2), a);
	assert_null(clv_remotes_by_id(&f->rs, f->t[1], 2));
	assert_ptr_equal(clv_remotes_by_endpoint(&f->rs, f->t[0], &named), a);
	assert_ptr_equal(clv_remotes_by_endpoint(&f->rs, f->t[1], &named), b);
	assert_ptr_equal(clv_remotes_by_tuple(&f->rs, &a->flow.local, &named), a);
	assert_ptr_equal(clv_remotes_by_tuple(&f->rs, &b->flow.local, &named), b);
}

static void a_pending_remote_has_no_way_yet(void **state)
{
	struct fixture *f = *state;
	const struct clv_endpoint named = numbered(1), none = { 0 };
	struct clv_remotes_entry *r = clv_remotes_add(&f->rs, f->t[0], &named, now_ns, 0);

	assert_true(r->is_pending);
	assert_null(clv_remotes_by_tuple(&f->rs, &none, &none));
}

static void two_remotes_cannot_have_one_conversation(void **state)
{
	struct fixture *f = *state;
	struct clv_remotes_entry *a = made(f, 0, 1), *b;
	const struct clv_endpoint other = numbered(2);
	const struct clv_remote remote = {
		.endpoint = other,
		.local = a->flow.local,
		.remote = a->flow.remote,
	};

	b = clv_remotes_add(&f->rs, f->t[1], &other, now_ns, 0);
	assert_int_equal(clv_remotes_resolve(&f->rs, f->t[0], b, &remote, 0), CLV_EFULL);
	assert_true(b->is_pending);
	assert_ptr_equal(clv_remotes_by_tuple(&f->rs, &remote.local, &remote.remote), a);
}

static void a_closed_id_leads_nowhere_and_another_may_come(void **state)
{
	struct fixture *f = *state;
	struct clv_remotes_entry *r = made(f, 0, 1);

	assert_int_equal(clv_remotes_open(&f->rs, f->t[0], r, 1, true), 0);
	assert_ptr_equal(clv_remotes_close(&f->rs, f->t[0], 1), r);
	assert_false(r->may_send || clv_remotes_has_context(r));
	assert_null(clv_remotes_by_id(&f->rs, f->t[0], 1));
	assert_null(clv_remotes_close(&f->rs, f->t[0], 1));
	assert_int_equal(clv_remotes_open(&f->rs, f->t[0], r, 200, false), 0);
	assert_ptr_equal(clv_remotes_by_id(&f->rs, f->t[0], 200), r);
	assert_true(r->context_id == 200 && !r->may_send && r->prefix_len == 3);
}

static void an_id_is_acknowledged_by_opening_it_again(void **state)
{
	struct fixture *f = *state;
	struct clv_remotes_entry *r = made(f, 0, 1);

	assert_int_equal(clv_remotes_open(&f->rs, f->t[0], r, 1, false), 0);
	assert_int_equal(clv_remotes_open(&f->rs, f->t[0], r, 1, true), 0);
	assert_true(r->may_send);
	assert_int_equal(f->rs.by_id.count, 1);
	assert_int_equal(r->prefix_len, 2);
}

static void a_second_id_for_one_remote_is_refused(void **state)
{
	struct fixture *f = *state;
	struct clv_remotes_entry *r = made(f, 0, 1);

	assert_int_equal(clv_remotes_open(&f->rs, f->t[0], r, 1, true), 0);
	assert_int_equal(clv_remotes_open(&f->rs, f->t[0], r, 2, true), CLV_EFULL);
	assert_null(clv_remotes_by_id(&f->rs, f->t[0], 2));
	assert_true(r->context_id == 1 && r->may_send);
}

static void there_is_room_for_so_many_and_again_when_some_go(void **state)
{
	struct fixture *f = *state;
	const struct clv_endpoint one_more = numbered(99);
	unsigned i;

	for (i = 0; i < ROOM; i++)
		made(f, i % 2, i);
	assert_null(clv_remotes_add(&f->rs, f->t[0], &one_more, now_ns, 0));
	clv_remotes_remove(&f->rs, f->t[0], &f->rs.slots[f->t[0]->remotes - 1], &f->pool);
	assert_non_null(clv_remotes_add(&f->rs, f->t[0], &one_more, now_ns, 0));
}

static void removing_says_how_many_datagrams_waited(void **state)
{
	struct fixture *f = *state;
	struct clv_remotes_entry *r = made(f, 0, 1);
	const uint8_t byte = 1;

	for (unsigned i = 0; i < WAIT; i++)
		assert_int_equal(
			clv_waitq_push(&r->wait, &f->pool, NULL, &byte, 1, NULL, 0, now_ns), 0);
	assert_int_equal(clv_waitq_push(&r->wait, &f->pool, NULL, &byte, 1, NULL, 0, now_ns),
			 CLV_EFULL);
	assert_int_equal(clv_remotes_remove(&f->rs, f->t[0], r, &f->pool), WAIT);
}

static void a_remote_is_busy_once_a_second_when_it_crosses_the_line(void **state)
{
	struct fixture *f = *state;
	const struct clv_endpoint named = numbered(1), other = numbered(2);
	unsigned told = 0;

	for (unsigned i = 0; i < 10; i++) /* the line is 3 */
		told += clv_remotes_is_busy(&f->rs, f->t[0], &named, now_ns + i);
	assert_int_equal(told, 1);
	assert_false(clv_remotes_is_busy(&f->rs, f->t[0], &other, now_ns));
	assert_false(clv_remotes_is_busy(&f->rs, f->t[1], &named, now_ns));
	for (unsigned i = 0; i < 10; i++) /* two a second are not many */
		assert_false(clv_remotes_is_busy(&f->rs, f->t[0], &named,
						 now_ns + CLV_SEC * (2 + i / 2)));
}

static void a_view_shows_names_ids_and_figures(void **state)
{
	struct fixture *f = *state;
	struct clv_remotes_entry *r = made(f, 1, 4);
	struct clv_remotes_view v;

	assert_int_equal(clv_remotes_open(&f->rs, f->t[1], r, 6, true), 0);
	clv_remotes_count(&f->rs, f->t[0], r, true, 100, now_ns + 1);
	clv_remotes_count(&f->rs, f->t[0], r, false, 7, now_ns + 2);
	assert_int_equal(clv_remotes_seen(&f->rs), r->slot + 1);
	assert_true(clv_remotes_view(&f->rs, r->slot, &v));
	assert_int_equal(v.tunnel.slot, 1);
	assert_int_equal(v.tunnel.generation, 5);
	assert_memory_equal(&v.remote, &r->endpoint, sizeof(v.remote));
	assert_true(v.context_id == 6 && v.may_send && !v.is_pending);
	assert_true(v.to_remote_packets == 1 && v.to_remote_bytes == 100);
	assert_true(v.to_peer_packets == 1 && v.to_peer_bytes == 7);
	assert_true(v.last_ns == now_ns + 2);
	clv_remotes_remove(&f->rs, f->t[1], r, &f->pool);
	assert_false(clv_remotes_view(&f->rs, r->slot, &v));
	assert_false(clv_remotes_view(&f->rs, ROOM, &v));
}

/* ---- another thread looks while remotes come and go ---- */

static atomic_bool must_end;

static void *look(void *arg)
{
	struct fixture *f = arg;
	struct clv_remotes_view v;
	uintptr_t wrong = 0;

	while (!atomic_load(&must_end))
		for (uint32_t slot = 0; slot < ROOM; slot++)
			/* the port says which tunnel it is: a torn view would mix two */
			if (clv_remotes_view(&f->rs, slot, &v) &&
			    (v.remote.port == numbered(2).port) != (v.tunnel.slot == 1))
				wrong++;
	return (void *)wrong;
}

static void a_view_is_never_half_of_one_remote_and_half_of_another(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;
	void *wrong;

	atomic_store(&must_end, false);
	assert_int_equal(pthread_create(&thread, NULL, look, f), 0);
	for (unsigned i = 0; i < 20000; i++) {
		struct clv_remotes_entry *r = made(f, i % 2, 1 + i % 2);

		clv_remotes_remove(&f->rs, f->t[i % 2], r, &f->pool);
	}
	atomic_store(&must_end, true);
	pthread_join(thread, &wrong);
	assert_null(wrong);
}

/* Who has a context or was heard is spared; of the others, the one that came first goes first. */
static void the_longest_silent_that_never_answered_may_make_room(void **state)
{
	struct fixture *f = *state;
	const struct clv_endpoint asked = numbered(9);
	struct clv_remotes_entry *r[4], *other = made(f, 1, 1);

	for (unsigned i = 0; i < 4; i++)
		r[i] = made(f, 0, i);
	assert_non_null(clv_remotes_add(&f->rs, f->t[0], &asked, now_ns, 0)); /* pending: never */
	assert_ptr_equal(clv_remotes_silent(&f->rs, f->t[0]), r[0]);
	assert_ptr_equal(clv_remotes_silent(&f->rs, f->t[1]), other);
	clv_remotes_count(&f->rs, f->t[0], r[0], true, 1, now_ns + 1); /* still no answer */
	assert_ptr_equal(clv_remotes_silent(&f->rs, f->t[0]), r[0]);
	clv_remotes_count(&f->rs, f->t[0], r[0], false, 1, now_ns + 2);
	clv_remotes_count(&f->rs, f->t[0], r[0], false, 1, now_ns + 3);
	assert_ptr_equal(clv_remotes_silent(&f->rs, f->t[0]), r[1]);
	assert_int_equal(clv_remotes_open(&f->rs, f->t[0], r[2], 2, true), 0);
	clv_remotes_remove(&f->rs, f->t[0], r[1], &f->pool);
	assert_ptr_equal(clv_remotes_silent(&f->rs, f->t[0]), r[3]);
	clv_remotes_count(&f->rs, f->t[0], r[3], false, 1, now_ns + 4);
	assert_null(clv_remotes_silent(&f->rs, f->t[0]));
	assert_ptr_equal(clv_remotes_silent(&f->rs, f->t[1]), other);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_remote_is_found_by_each_of_its_names_in_its_tunnel_only),
		CASE(a_pending_remote_has_no_way_yet),
		CASE(two_remotes_cannot_have_one_conversation),
		CASE(a_closed_id_leads_nowhere_and_another_may_come),
		CASE(an_id_is_acknowledged_by_opening_it_again),
		CASE(a_second_id_for_one_remote_is_refused),
		CASE(there_is_room_for_so_many_and_again_when_some_go),
		CASE(removing_says_how_many_datagrams_waited),
		CASE(the_longest_silent_that_never_answered_may_make_room),
		CASE(a_remote_is_busy_once_a_second_when_it_crosses_the_line),
		CASE(a_view_shows_names_ids_and_figures),
		CASE(a_view_is_never_half_of_one_remote_and_half_of_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
