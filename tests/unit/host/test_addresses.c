/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The addresses of a network namespace with a card's stand-in, a bridge and a tunnel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/host/addresses.h"
#include "control/host/rtnl.h"
#include "datapath/base/addr.h"

static char why_not[128];
static struct mnl_socket *nl;

/* An ifb stands for a card. */
static const char network[] = "link set lo up\n"
			      "link add name wan type ifb\n"
			      "link add name lan type bridge\n"
			      "link add name idle type ifb\n"
			      "link set wan up\n"
			      "link set lan up\n"
			      "addr add 192.0.2.5/24 dev wan\n"
			      "addr add 198.51.100.5/25 dev wan\n"
			      "addr add 2001:db8::5/64 dev wan nodad\n"
			      "addr add 2001:db8::6/64 dev wan nodad preferred_lft 0\n"
			      "addr add 172.17.0.1/16 dev lan\n"
			      "addr add 10.9.9.9/8 dev idle\n"
			      "route add default via 192.0.2.1 dev wan\n";

static int setup(void **state)
{
	FILE *batch;

	(void)state;
	if (unshare(CLONE_NEWNET)) {
		snprintf(why_not, sizeof(why_not), "needs root: %s", strerror(errno));
		return 0;
	}
	batch = popen("ip -batch -", "w");
	assert_non_null(batch);
	fputs(network, batch);
	if (pclose(batch))
		snprintf(why_not, sizeof(why_not), "no ifb or bridge can be made here");
	nl = clv_rtnl_open();
	return nl ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	if (nl)
		mnl_socket_close(nl);
	return 0;
}

static const struct clv_host_addr *find(const struct clv_host_addr *list, int n, const char *text)
{
	uint8_t addr[16];

	assert_int_equal(clv_addr_parse(text, addr), 0);
	for (int i = 0; i < n; i++)
		if (memcmp(list[i].addr, addr, sizeof(addr)) == 0)
			return &list[i];
	return NULL;
}

static void every_usable_address_is_read_with_its_network(void **state)
{
	struct clv_host_addr list[64];
	const struct clv_host_addr *a;
	int n;

	(void)state;
	if (*why_not) {
		print_message("%s\n", why_not);
		skip();
	}
	n = clv_host_addresses_read(nl, list, 64);
	assert_in_range(n, 5, 8); /* and link-local ones */

	a = find(list, n, "192.0.2.5");
	assert_non_null(a);
	assert_int_equal(a->prefix_bits, 120);
	assert_true(a->has_default_route && !a->is_virtual && !a->is_deprecated);
	a = find(list, n, "198.51.100.5");
	assert_non_null(a);
	assert_int_equal(a->prefix_bits, 121);
	a = find(list, n, "2001:db8::5");
	assert_non_null(a);
	assert_int_equal(a->prefix_bits, 64);
	assert_true(!a->has_default_route && !a->is_deprecated);
	a = find(list, n, "2001:db8::6");
	assert_true(a && a->is_deprecated);
	a = find(list, n, "172.17.0.1");
	assert_true(a && a->is_virtual && !a->has_default_route);

	assert_null(find(list, n, "127.0.0.1"));
	assert_null(find(list, n, "10.9.9.9"));
	assert_int_equal(clv_host_addresses_read(nl, list, 2), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_usable_address_is_read_with_its_network),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
