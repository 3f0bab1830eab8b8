/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Names, with name servers of the test's own: what is asked, what is answered, what is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/host/dns.h"
#include "control/host/resolve.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "tests/unit/host/name_server.h"

enum {
	MANY = 2000, /* names in flight */
};

struct outcome {
	unsigned calls;
	int err;
	char rcode[16];
	char addrs[1024]; /* with blanks between */
	bool is_partial;
	uint64_t at_ns;
};

static uv_loop_t loop;
static struct server server;
static struct clv_resolve *resolver;

static const struct server_record records[] = {
	{ .name = "four.example", .type = 1, .addrs = "192.0.2.4", .ttl_sec = 60 },
	{ .name = "six.example", .type = 28, .addrs = "2001:db8::6", .ttl_sec = 60 },
	{ .name = "both.example", .addrs = "192.0.2.4 2001:db8::6", .ttl_sec = 60 },
	{ .name = "alias.example", .addrs = "192.0.2.9", .ttl_sec = 60, .alias = "a.b.example" },
	{ .name = "dangling.example", .ttl_sec = 60, .alias = "a.b.example" },
	{ .name = "many.example", .type = 1, .count = 40, .ttl_sec = 60 },
	{ .name = "empty.example", .ttl_sec = 60 },
	{ .name = "short.example", .addrs = "192.0.2.4", .ttl_sec = 1 },
	{ .name = "now.example", .addrs = "192.0.2.4", .ttl_sec = 0 },
	{ .name = "fails.example", .rcode = SERVER_SERVFAIL },
	{ .name = "refused.example", .rcode = SERVER_REFUSED },
	{ .name = "strange.example", .rcode = SERVER_FORMERR },
	{ .name = "damaged.example", .addrs = "192.0.2.4", .is_damaged = true },
	{ .name = "dead.example", .is_silent = true },
	{ .name = "dead2.example", .is_silent = true },
	{ .name = "half.example", .type = 1, .addrs = "192.0.2.4", .ttl_sec = 60 },
	{ .name = "half.example", .type = 28, .is_silent = true },
	{ .name = "slow6.example", .type = 1, .addrs = "192.0.2.4", .ttl_sec = 60 },
	{ .name = "slow6.example", .type = 28, .addrs = "2001:db8::6", .delay_ms = 10 },
	{ .name = "slow4.example", .type = 1, .is_silent = true },
	{ .name = "slow4.example", .type = 28, .addrs = "2001:db8::6", .ttl_sec = 60 },
	{ .name = "mixed.example", .type = 1, .rcode = SERVER_SERVFAIL },
	{ .name = "mixed.example", .type = 28, .ttl_sec = 60 },
	{ .name = "x.search.example", .addrs = "192.0.2.66" },
};

static struct clv_resolve *open_with(const struct clv_resolve_params *params)
{
	struct clv_resolve *r;

	assert_int_equal(clv_resolve_open(params, &r), 0);
	assert_false(clv_resolve_is_idle(r));
	return r;
}

static struct clv_resolve *open_resolve(uint32_t pending_max, uint32_t cache_max, uint64_t wait_ns)
{
	char servers[64];

	snprintf(servers, sizeof(servers), "127.0.0.1:%u", server.port);
	return open_with(&(struct clv_resolve_params){
		.loop = &loop,
		.pending_max = pending_max,
		.cache_max = cache_max,
		.wait_ns = wait_ns,
		.servers = servers,
	});
}

static int setup(void **state)
{
	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	server_open(&loop, &server, 0, records, sizeof(records) / sizeof(records[0]));
	resolver = open_resolve(64, 64, 5 * CLV_SEC);
	return 0;
}

static void close_resolve(struct clv_resolve *r)
{
	clv_resolve_close(r);
	while (!clv_resolve_is_idle(r))
		uv_run(&loop, UV_RUN_ONCE);
	clv_resolve_free(r);
}

static int teardown(void **state)
{
	(void)state;
	close_resolve(resolver);
	server_close(&server);
	/* Not to the end: a test that failed leaves handles open. */
	uv_run(&loop, UV_RUN_NOWAIT);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_int_equal(clv_dns_memory(), 0);
	return 0;
}

static void on_done(void *user, const struct clv_resolved *result)
{
	struct outcome *o = user;
	char text[CLV_ADDR_TEXT_MAX];

	o->calls++;
	o->err = result->err;
	o->is_partial = result->is_partial;
	o->at_ns = clv_clock_now_ns();
	snprintf(o->rcode, sizeof(o->rcode), "%s", result->rcode ? result->rcode : "");
	*o->addrs = 0;
	for (size_t i = 0; i < result->n; i++) {
		assert_int_equal(result->addrs[i].port, 0);
		clv_addr_format(result->addrs[i].addr, text, sizeof(text));
		snprintf(o->addrs + strlen(o->addrs), sizeof(o->addrs) - strlen(o->addrs), "%s%s",
			 i ? " " : "", text);
	}
}

static void await(const struct outcome *o)
{
	while (!o->calls)
		uv_run(&loop, UV_RUN_ONCE);
}

/* Resolve a name to the end. */
static struct outcome look_up_at(struct clv_resolve *r, const char *name)
{
	struct outcome o = { 0 };
	uint64_t token;

	assert_int_equal(clv_resolve_start(r, name, on_done, &o, &token), 0);
	assert_true(token != 0);
	assert_int_equal(o.calls, 0); /* not from within the call */
	await(&o);
	assert_int_equal(o.calls, 1);
	return o;
}

static struct outcome look_up(const char *name)
{
	return look_up_at(resolver, name);
}

static unsigned asked(void)
{
	return server.questions[0] + server.questions[1];
}

static void run_for(unsigned msec)
{
	uint64_t until_ns = clv_clock_now_ns() + msec * CLV_MSEC;

	while (clv_clock_now_ns() < until_ns) {
		uv_run(&loop, UV_RUN_NOWAIT);
		usleep(1000);
	}
}

/* ---- answers ---- */

static void each_outcome_is_told_apart(void **state)
{
	static const struct {
		const char *name;
		int err;
		const char *rcode, *addrs;
	} cases[] = {
		{ "four.example", 0, "", "192.0.2.4" },
		{ "six.example", 0, "", "2001:db8::6" },
		{ "both.example", 0, "", "2001:db8::6 192.0.2.4" },
		{ "FOUR.Example.", 0, "", "192.0.2.4" },
		{ "alias.example", 0, "", "192.0.2.9" },
		{ "dangling.example", CLV_ENONAME, "NOERROR", "" },
		{ "empty.example", CLV_ENONAME, "NOERROR", "" },
		{ "none.example", CLV_ENONAME, "NXDOMAIN", "" },
		{ "fails.example", CLV_ENONAME, "SERVFAIL", "" },
		{ "refused.example", CLV_ENONAME, "REFUSED", "" },
		{ "strange.example", CLV_ENONAME, "FORMERR", "" },
		{ "mixed.example", CLV_ENONAME, "SERVFAIL", "" },
		{ "damaged.example", CLV_ESYNTAX, "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct outcome o = look_up(cases[i].name);

		if (o.err != cases[i].err)
			print_error("%s: %d\n", cases[i].name, o.err);
		assert_int_equal(o.err, cases[i].err);
		assert_string_equal(o.rcode, cases[i].rcode);
		if (strcmp(o.addrs, cases[i].addrs) != 0)
			assert_string_equal(o.addrs, cases[i].addrs);
	}
}

static void what_is_not_known_yet_is_told_from_what_is_not_there(void **state)
{
	static const struct {
		const char *name;
		bool is_partial;
	} cases[] = {
		{ "four.example", false }, { "empty.example", false }, { "none.example", false },
		{ "fails.example", true }, { "mixed.example", true },  { "half.example", true },
		{ "slow4.example", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (look_up(cases[i].name).is_partial != cases[i].is_partial)
			fail_msg("%s", cases[i].name);
}

static void a_silent_server_is_a_timeout(void **state)
{
	struct clv_resolve *r = open_resolve(8, 8, 300 * CLV_MSEC);
	uint64_t start_ns = clv_clock_now_ns();
	struct outcome o = look_up_at(r, "dead.example");

	(void)state;
	assert_int_equal(o.err, CLV_ENAMETIME);
	assert_string_equal(o.rcode, "");
	assert_true(o.at_ns >= start_ns + 300 * CLV_MSEC);
	close_resolve(r);
}

static void a_missing_server_is_no_timeout(void **state)
{
	struct clv_resolve *r = open_with(&(struct clv_resolve_params){
		.loop = &loop,
		.pending_max = 8,
		.cache_max = 8,
		.wait_ns = 20 * CLV_SEC,
		.servers = "127.0.0.1:1",
	});
	struct outcome o = look_up_at(r, "four.example");

	(void)state;
	assert_int_equal(o.err, -ECONNREFUSED);
	close_resolve(r);
}

static void of_many_addresses_some_are_given(void **state)
{
	struct outcome o = look_up("many.example");
	size_t blanks = 0;

	(void)state;
	assert_int_equal(o.err, 0);
	for (const char *p = o.addrs; *p; p++)
		blanks += *p == ' ';
	assert_int_equal(blanks + 1, CLV_RESOLVE_MAX);
}

/* ---- which names are asked for ---- */

static void a_name_is_asked_for_as_it_stands(void **state)
{
	(void)state;
	/* Whatever the search list of this machine's resolv.conf and the environment say. */
	setenv("LOCALDOMAIN", "search.example", 1);
	setenv("RES_OPTIONS", "ndots:5", 1);
	assert_int_equal(look_up("x.none").err, CLV_ENONAME);
	assert_string_equal(server.last, "x.none");
	assert_int_equal(asked(), 2);
	unsetenv("LOCALDOMAIN");
	unsetenv("RES_OPTIONS");
}

static void internal_names_are_never_asked_for(void **state)
{
	static const char *const names[] = {
		"",	     "intranet", "localhost", "localhost.", "a.localhost", "printer.local",
		"x.invalid", "x.onion",	 "x.alt",     ".",	    "a b.example", "a\\.b.example",
		"X.LOCAL.",  ".example",
	};
	char long_name[400];
	struct outcome o = { 0 };
	uint64_t token;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(clv_resolve_start(resolver, names[i], on_done, &o, &token),
				 CLV_ENONAME);
	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = 0;
	long_name[200] = '.';
	assert_int_equal(clv_resolve_start(resolver, long_name, on_done, &o, &token), CLV_ENONAME);
	run_for(20);
	assert_int_equal(asked(), 0);
	assert_int_equal(o.calls, 0);
}

static void the_hosts_file_answers_nobody(void **state)
{
	char folder[] = "/tmp/hostsXXXXXX", path[64];
	FILE *f;

	(void)state;
	/* The library's own way to name another hosts file. */
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/hosts", folder);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "192.0.2.1 none.example\n");
	fclose(f);
	setenv("CARES_HOSTS", path, 1);
	assert_int_equal(look_up("none.example").err, CLV_ENONAME);
	assert_true(asked() >= 2);
	unsetenv("CARES_HOSTS");
	unlink(path);
	rmdir(folder);
}

/* ---- races ---- */

static void ipv6_is_given_at_once(void **state)
{
	struct outcome o = look_up("slow4.example");

	(void)state;
	assert_int_equal(o.err, 0);
	assert_string_equal(o.addrs, "2001:db8::6");
}

static void ipv4_waits_shortly_for_ipv6(void **state)
{
	struct outcome o;
	uint64_t start_ns = clv_clock_now_ns();

	(void)state;
	assert_string_equal(look_up("slow6.example").addrs, "2001:db8::6 192.0.2.4");
	start_ns = clv_clock_now_ns();
	o = look_up("half.example");
	assert_string_equal(o.addrs, "192.0.2.4");
	assert_true(o.at_ns >= start_ns + 50 * CLV_MSEC);
	assert_true(o.at_ns < start_ns + 4 * CLV_SEC);
}

static void without_ipv6_ipv4_does_not_wait(void **state)
{
	(void)state;
	clv_resolve_set_ipv6(resolver, false);
	assert_string_equal(look_up("slow6.example").addrs, "192.0.2.4");
}

/* ---- the cache ---- */

static void answers_are_kept_for_their_ttl(void **state)
{
	(void)state;
	look_up("short.example");
	assert_int_equal(asked(), 2);
	look_up("Short.Example.");
	assert_int_equal(asked(), 2);
	/* That there is no IPv6 address is kept for longer. */
	run_for(1100);
	look_up("short.example");
	assert_int_equal(asked(), 3);

	look_up("now.example");
	assert_int_equal(asked(), 5);
	look_up("now.example");
	assert_int_equal(asked(), 6);
	/* Failures too, shortly. */
	assert_int_equal(look_up("none.example").err, CLV_ENONAME);
	assert_int_equal(look_up("none.example").err, CLV_ENONAME);
	assert_int_equal(asked(), 8);
}

static void the_name_not_used_for_longest_makes_room(void **state)
{
	struct clv_resolve *r = open_resolve(8, 2, CLV_SEC);

	(void)state;
	look_up_at(r, "four.example");
	look_up_at(r, "six.example");
	look_up_at(r, "four.example");
	look_up_at(r, "both.example");
	assert_int_equal(asked(), 6);
	assert_int_equal(clv_resolve_figures(r).cached, 2);
	look_up_at(r, "four.example");
	assert_int_equal(asked(), 6);
	look_up_at(r, "six.example");
	assert_int_equal(asked(), 8);
	close_resolve(r);

	r = open_resolve(8, 0, CLV_SEC);
	look_up_at(r, "four.example");
	assert_int_equal(clv_resolve_figures(r).cached, 0);
	close_resolve(r);
}

static void requests_for_one_name_share_its_questions(void **state)
{
	struct outcome o[8] = { 0 };
	uint64_t token;

	(void)state;
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(
			clv_resolve_start(resolver, "both.example", on_done, &o[i], &token), 0);
	for (size_t i = 0; i < 8; i++) {
		await(&o[i]);
		assert_string_equal(o[i].addrs, "2001:db8::6 192.0.2.4");
	}
	assert_int_equal(asked(), 2);
}

/* ---- ceilings ---- */

static void cancelled_names_are_not_told(void **state)
{
	struct outcome o[2] = { 0 };
	uint64_t token[2];

	(void)state;
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(
			clv_resolve_start(resolver, "four.example", on_done, &o[i], &token[i]), 0);
	clv_resolve_cancel(resolver, token[0]);
	clv_resolve_cancel(resolver, token[0]);
	clv_resolve_cancel(resolver, token[1] + 1);
	clv_resolve_cancel(resolver, 0);
	clv_resolve_cancel(resolver, UINT64_MAX);
	await(&o[1]);
	clv_resolve_cancel(resolver, token[1]);
	assert_int_equal(o[0].calls, 0);
	assert_int_equal(o[1].calls, 1);
}

static void cancelled_names_give_their_place_back(void **state)
{
	struct clv_resolve *r = open_resolve(2, 8, 60 * CLV_SEC);
	struct outcome o = { 0 };
	uint64_t token[3];

	(void)state;
	assert_int_equal(clv_resolve_start(r, "dead.example", on_done, &o, &token[0]), 0);
	assert_int_equal(clv_resolve_start(r, "dead2.example", on_done, &o, &token[1]), 0);
	assert_int_equal(clv_resolve_start(r, "four.example", on_done, &o, &token[2]), CLV_EFULL);
	assert_int_equal(clv_resolve_figures(r).pending, 2);
	clv_resolve_cancel(r, token[0]);
	clv_resolve_cancel(r, token[1]);
	assert_int_equal(clv_resolve_figures(r).pending, 0);
	assert_int_equal(clv_resolve_figures(r).asking, 0);
	assert_string_equal(look_up_at(r, "four.example").addrs, "192.0.2.4");
	assert_int_equal(o.calls, 0);
	close_resolve(r);
}

static void names_beyond_the_ceiling_are_refused(void **state)
{
	struct clv_resolve *r = open_resolve(2, 8, 5 * CLV_SEC);
	struct outcome o = { 0 };
	uint64_t token;

	(void)state;
	assert_int_equal(clv_resolve_start(r, "four.example", on_done, &o, &token), 0);
	assert_int_equal(clv_resolve_start(r, "six.example", on_done, &o, &token), 0);
	assert_int_equal(clv_resolve_start(r, "both.example", on_done, &o, &token), CLV_EFULL);
	while (o.calls < 2)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(clv_resolve_start(r, "both.example", on_done, &o, &token), 0);
	while (o.calls < 3)
		uv_run(&loop, UV_RUN_ONCE);
	close_resolve(r);
}

/* A hog whose names' servers are silent, and a bystander. */
static void dead_names_delay_no_other(void **state)
{
	static const struct server_record all[] = {
		{ .name = "good.example", .addrs = "192.0.2.4", .ttl_sec = 60 },
		{ .name = "*", .is_silent = true },
	};
	static struct outcome dead[MANY];
	struct server busy;
	struct clv_resolve *r;
	char text[64];
	struct outcome o;
	uint64_t token;

	(void)state;
	memset(dead, 0, sizeof(dead));
	server_open(&loop, &busy, 0, all, 2);
	snprintf(text, sizeof(text), "127.0.0.1:%u", busy.port);
	r = open_with(&(struct clv_resolve_params){
		.loop = &loop,
		.pending_max = MANY + 1,
		.cache_max = 64,
		.wait_ns = 5 * CLV_SEC,
		.servers = text,
	});
	for (size_t i = 0; i < MANY; i++) {
		if (i % 8 == 0) /* the server reads 32 datagrams in a turn */
			uv_run(&loop, UV_RUN_NOWAIT);
		snprintf(text, sizeof(text), "n%zu.dead.example", i);
		assert_int_equal(clv_resolve_start(r, text, on_done, &dead[i], &token), 0);
	}
	o = look_up_at(r, "good.example");
	assert_string_equal(o.addrs, "192.0.2.4");
	assert_int_equal(clv_resolve_figures(r).pending, MANY); /* none was given up meanwhile */
	assert_true(clv_resolve_figures(r).memory_bytes < 32u << 20);
	for (size_t i = 0; i < MANY; i++) {
		await(&dead[i]);
		assert_int_equal(dead[i].err, CLV_ENAMETIME);
	}
	/* Nobody can guess the port that one question came from from another's. */
	assert_true(busy.client_ports_len > MANY / 64);
	assert_int_equal(clv_resolve_figures(r).pending, 0);
	close_resolve(r);
	server_close(&busy);
}

static void closing_forgets_what_is_pending(void **state)
{
	struct clv_resolve *r = open_resolve(64, 64, CLV_SEC);
	struct outcome o = { 0 };
	uint64_t token;
	char name[32];

	(void)state;
	for (int i = 0; i < 32; i++) {
		snprintf(name, sizeof(name), "n%d.example", i);
		assert_int_equal(clv_resolve_start(r, name, on_done, &o, &token), 0);
	}
	close_resolve(r);
	assert_int_equal(o.calls, 0);
	clv_resolve_close(NULL);
	assert_true(clv_resolve_is_idle(NULL));
	clv_resolve_free(NULL);
}

/* ---- name servers ---- */

static void a_server_that_fails_leaves_the_question_to_the_next(void **state)
{
	static const struct server_record failing[] = {
		{ .name = "*", .rcode = SERVER_REFUSED },
	};
	struct server first;
	struct clv_resolve *r;
	char text[64];

	(void)state;
	server_open(&loop, &first, 0, failing, 1);
	snprintf(text, sizeof(text), "127.0.0.1:%u,127.0.0.1:%u", first.port, server.port);
	r = open_with(&(struct clv_resolve_params){ .loop = &loop,
						    .pending_max = 8,
						    .cache_max = 8,
						    .wait_ns = 5 * CLV_SEC,
						    .servers = text });
	assert_string_equal(look_up_at(r, "four.example").addrs, "192.0.2.4");
	assert_string_equal(look_up_at(r, "none.example").rcode, "NXDOMAIN");
	assert_string_equal(look_up_at(r, "fails.example").rcode, "SERVFAIL");
	assert_true(first.questions[0] >= 3);
	close_resolve(r);
	server_close(&first);
}

static void servers_that_are_no_addresses_are_refused(void **state)
{
	struct clv_resolve *r;

	(void)state;
	assert_int_equal(clv_resolve_open(&(struct clv_resolve_params){ .loop = &loop,
									.pending_max = 8,
									.servers = "nobody" },
					  &r),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(each_outcome_is_told_apart),
		TEST(what_is_not_known_yet_is_told_from_what_is_not_there),
		TEST(a_silent_server_is_a_timeout),
		TEST(a_missing_server_is_no_timeout),
		TEST(of_many_addresses_some_are_given),
		TEST(a_name_is_asked_for_as_it_stands),
		TEST(internal_names_are_never_asked_for),
		TEST(the_hosts_file_answers_nobody),
		TEST(ipv6_is_given_at_once),
		TEST(ipv4_waits_shortly_for_ipv6),
		TEST(without_ipv6_ipv4_does_not_wait),
		TEST(answers_are_kept_for_their_ttl),
		TEST(the_name_not_used_for_longest_makes_room),
		TEST(requests_for_one_name_share_its_questions),
		TEST(cancelled_names_are_not_told),
		TEST(cancelled_names_give_their_place_back),
		TEST(names_beyond_the_ceiling_are_refused),
		TEST(dead_names_delay_no_other),
		TEST(closing_forgets_what_is_pending),
		TEST(a_server_that_fails_leaves_the_question_to_the_next),
		TEST(servers_that_are_no_addresses_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
