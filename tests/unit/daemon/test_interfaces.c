/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How many workers the queues of the interfaces allow, on a machine of 64 cores. */
#include "tests/unit/check.h"

#include <errno.h>
#include <string.h>

#include "control/daemon/interfaces.h"

static const struct plan_case {
	const char *name;
	enum clv_config_datapath datapath;
	uint32_t queues[3]; /* of each interface; 0: it is not there */
	uint16_t workers;
} cases[] = {
	{ "a bridge with one queue takes no worker away", CLV_CONFIG_DATAPATH_AUTO, { 1, 16 }, 16 },
	{ "whichever comes first", CLV_CONFIG_DATAPATH_AUTO, { 16, 1, 8 }, 16 },
	{ "where XDP is required on all, the fewest queues decide",
	  CLV_CONFIG_DATAPATH_XDP,
	  { 16, 8 },
	  8 },
	{ "likewise of the generic kind", CLV_CONFIG_DATAPATH_GENERIC, { 2, 8 }, 2 },
	{ "an interface that is not there does not count", CLV_CONFIG_DATAPATH_XDP, { 0, 8 }, 8 },
	{ "before the network is there, the cores decide", CLV_CONFIG_DATAPATH_AUTO, { 0 }, 63 },
};

static void the_queues_decide_on_the_workers(void **state)
{
	static struct clv_daemon daemon;
	size_t c, i;

	(void)state;
	for (c = 0; c < COUNT(cases); c++) {
		daemon = (struct clv_daemon){
			.options = { .assume_cores = 64 },
			.config = { .datapath = cases[c].datapath },
			.interfaces_len = COUNT(cases[c].queues),
		};
		for (i = 0; i < daemon.interfaces_len; i++)
			daemon.interfaces[i] = (struct clv_interface){
				.nic = { .ifindex = cases[c].queues[i] ? (int)i + 1 : 0,
					 .rx_queues = cases[c].queues[i],
					 .numa_node = -1 },
				.number = (uint16_t)i,
			};
		assert_int_equal(clv_interfaces_plan(&daemon), 0);
		CHECK_ROW(cases[c].name, daemon.plan.workers_len == cases[c].workers);
	}
}

static void an_interface_is_named_once(void **state)
{
	static struct clv_daemon daemon;
	char lo[] = "lo", missing[] = "not-there", again[] = "lo";
	char *names[] = { lo, missing, again };

	(void)state;
	daemon = (struct clv_daemon){ .config.interfaces = { names, 2 } };
	assert_int_equal(clv_interfaces_choose(&daemon), 0);
	assert_int_equal(daemon.interfaces_len, 2);
	daemon.config.interfaces.len = 3;
	assert_int_equal(clv_interfaces_choose(&daemon), -EINVAL);
	assert_string_equal(daemon.error, "interfaces: lo is there twice");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_queues_decide_on_the_workers),
		cmocka_unit_test(an_interface_is_named_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
