/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "control/core/hosts.h"

static const uint8_t here[16] = { 1 }, there[16] = { 2 };

static bool count(void *user, const struct clv_host_use *use)
{
	uint32_t *seen = user;

	*seen += use->tunnel.slot;
	return false;
}

static uint32_t sum(const struct clv_hosts *h, const uint8_t *addr)
{
	uint32_t seen = 0;

	assert_false(clv_hosts_any(h, addr, count, &seen));
	return seen;
}

static void lists_those_of_a_host(void **state)
{
	struct clv_host_use uses[3] = { 0 };
	struct clv_hosts h;

	(void)state;
	assert_int_equal(clv_hosts_init(&h, (const uint64_t[2]){ 1, 2 }), 0);
	clv_hosts_join(&h, &uses[0], here, &(struct clv_ref){ .slot = 1 });
	clv_hosts_join(&h, &uses[1], there, &(struct clv_ref){ .slot = 10 });
	clv_hosts_join(&h, &uses[2], here, &(struct clv_ref){ .slot = 100 });
	assert_int_equal(sum(&h, here), 101);
	assert_int_equal(sum(&h, there), 10);
	clv_hosts_leave(&uses[0]);
	clv_hosts_leave(&uses[0]); /* a second time does nothing */
	assert_int_equal(sum(&h, here), 100);
	clv_hosts_leave(&uses[2]);
	clv_hosts_leave(&uses[1]);
	assert_int_equal(sum(&h, here) + sum(&h, there), 0);
	clv_hosts_join(NULL, &uses[0], here, &(struct clv_ref){ .slot = 1 });
	clv_hosts_leave(&uses[0]);
	clv_hosts_fini(&h);
}

static void looks_at_a_bounded_number(void **state)
{
	enum { MANY = 1000 };
	struct clv_host_use *uses = calloc(MANY, sizeof(*uses));
	struct clv_hosts h;
	uint32_t seen = 0;

	(void)state;
	assert_non_null(uses);
	assert_int_equal(clv_hosts_init(&h, (const uint64_t[2]){ 1, 2 }), 0);
	for (int i = 0; i < MANY; i++)
		clv_hosts_join(&h, &uses[i], here, &(struct clv_ref){ .slot = 1 });
	assert_true(clv_hosts_any(&h, here, count, &seen)); /* none is, but who knows of the rest */
	assert_in_range(seen, 1, MANY / 2);
	clv_hosts_fini(&h);
	free(uses);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("those that use a host are in its list until they leave",
		     lists_those_of_a_host),
		CASE("a host with too many uses is not walked through", looks_at_a_bounded_number),
	};

	return cmocka_run_group_tests_name("hosts", cases, NULL, NULL);
}
