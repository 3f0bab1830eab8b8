/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The kernel's routing tables in the test's own network namespaces:
 *
 *   us: a0 198.18.0.1/24, 2001:db8:0:1::1/64 ---- b0 .2, ::2 :them
 *       a0.7 (VLAN 7 on a0) 198.18.7.1/24
 *       default routes by .2 and ::2;  2001:db8:0:9::/64 unreachable;  198.18.9.0/24 MTU 1400
 *       a1 198.18.2.1/24, 2001:db8:0:2::1/64 ---- b1 .2, ::2 :them, a second uplink
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/host/nic.h"
#include "control/host/routes.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

static char why_not[256];
static int their_ns = -1, our_ns = -1;
static struct clv_routes *routes;
static int a0;
static bool has_vlan; /* the kernel knows VLAN devices */

static void run(const char *command)
{
	if (system(command) != 0 && !*why_not)
		snprintf(why_not, sizeof(why_not), "failed: %s", command);
}

__attribute__((format(printf, 1, 2))) static void runf(const char *format, ...)
{
	char command[200];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	run(command);
}

static void enter(int ns)
{
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
}

static int new_namespace(void)
{
	if (unshare(CLONE_NEWNET))
		return -1;
	return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

static int setup(void **state)
{
	char command[128];

	(void)state;
	their_ns = new_namespace();
	our_ns = their_ns < 0 ? -1 : new_namespace();
	if (our_ns < 0) {
		snprintf(why_not, sizeof(why_not), "needs root: %s", strerror(errno));
		return 0;
	}
	snprintf(command, sizeof(command),
		 "ip link add a0 type veth peer name b0 netns /proc/%d/fd/%d", (int)getpid(),
		 their_ns);
	run(command);
	run("ip addr add 198.18.0.1/24 dev a0");
	run("ip addr add 2001:db8:0:1::1/64 dev a0 nodad");
	snprintf(command, sizeof(command),
		 "ip link add a1 type veth peer name b1 netns /proc/%d/fd/%d", (int)getpid(),
		 their_ns);
	run(command);
	run("ip addr add 198.18.2.1/24 dev a1 && ip addr add 2001:db8:0:2::1/64 dev a1 nodad");
	run("ip link set lo up && ip link set a0 up && ip link set a1 up mtu 1440");
	has_vlan = system("ip link add link a0 name a0.7 type vlan id 7 2>/dev/null") == 0;
	if (has_vlan)
		run("ip link set a0.7 up && ip addr add 198.18.7.1/24 dev a0.7");
	enter(their_ns);
	run("ip link set b0 address 02:00:00:00:00:02 && ip link set b0 up");
	run("ip addr add 198.18.0.2/24 dev b0 && ip addr add 2001:db8:0:1::2/64 dev b0 nodad");
	run("ip link set b1 address 02:00:00:00:00:12 && ip link set b1 up");
	run("ip addr add 198.18.2.2/24 dev b1 && ip addr add 2001:db8:0:2::2/64 dev b1 nodad");
	enter(our_ns);
	run("ip route add default via 198.18.0.2");
	run("ip -6 route add default via 2001:db8:0:1::2");
	run("ip -6 route add unreachable 2001:db8:0:9::/64");
	run("ip route add 198.18.9.0/24 via 198.18.0.2 mtu 1400");
	if (!*why_not && clv_routes_open(&routes))
		snprintf(why_not, sizeof(why_not), "no rtnetlink");
	a0 = (int)if_nametoindex("a0");
	if (routes) {
		clv_routes_set_link(routes, a0, 3);
		clv_routes_set_link(routes, (int)if_nametoindex("a1"), 4);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	clv_routes_close(routes);
	close(their_ns);
	close(our_ns);
	return 0;
}

static void need_routes(void)
{
	if (routes)
		return;
	print_message("%s\n", why_not);
	skip();
}

static int look_from(const char *local, const char *remote, struct clv_route *out)
{
	uint8_t addr[16], from[16];

	assert_int_equal(clv_addr_parse(remote, addr), 0);
	if (local)
		assert_int_equal(clv_addr_parse(local, from), 0);
	return clv_routes_lookup(routes, local ? from : NULL, addr, out);
}

static int look(const char *remote, struct clv_route *out)
{
	return look_from(NULL, remote, out);
}

static void assert_source(const struct clv_route *route, const char *want)
{
	char text[CLV_ADDR_TEXT_MAX];

	assert_string_equal(clv_addr_format(route->source, text, sizeof(text)), want);
}

/* Process notifications until `want` is among the changes, for msec at most. */
static unsigned wait_changes(unsigned want, int msec)
{
	uint64_t until_ns = clv_clock_now_ns() + (uint64_t)msec * CLV_MSEC;
	struct pollfd fd = { .fd = clv_routes_fd(routes), .events = POLLIN };
	unsigned changes = 0;

	while (!(changes & want) && clv_clock_now_ns() < until_ns) {
		poll(&fd, 1, 20);
		changes |= clv_routes_process(routes);
	}
	return changes;
}

static bool becomes(const char *remote, uint8_t state, struct clv_route *route)
{
	uint64_t until_ns = clv_clock_now_ns() + 6 * CLV_SEC;

	while (clv_clock_now_ns() < until_ns) {
		if (look(remote, route) == 0 && route->hop.state == state)
			return true;
		wait_changes(CLV_ROUTES_HOPS | CLV_ROUTES_NEIGHBOURS, 500);
	}
	return false;
}

static const uint8_t their_mac[6] = { 2, 0, 0, 0, 0, 2 };

static const struct {
	const char *remote, *source;
	uint16_t mtu;
	uint16_t vlan;
} ways[] = {
	{ "198.18.0.2", "198.18.0.1", 1500, 0 }, /* on the link */
	{ "8.8.8.8", "198.18.0.1", 1500, 0 },	 /* via the gateway */
	{ "198.18.9.9", "198.18.0.1", 1400, 0 }, /* the route's MTU */
	{ "2001:db8:0:1::2", "2001:db8:0:1::1", 1500, 0 },
	{ "2606:4700::1111", "2001:db8:0:1::1", 1500, 0 },
};

static void neighbours_are_resolved_and_named(void **state)
{
	struct clv_route route;
	struct clv_nic *nics = NULL;
	int i, k, n;

	(void)state;
	need_routes();
	n = clv_nic_list(&nics);
	for (k = 0; k < n - 1 && nics[k].ifindex != a0;)
		k++;
	for (i = 0; i < (int)(sizeof(ways) / sizeof(ways[0])); i++) {
		assert_true(becomes(ways[i].remote, CLV_HOP_READY, &route));
		assert_int_equal(route.hop.via, CLV_VIA_XSK);
		assert_int_equal(route.hop.link, 3);
		assert_int_equal(route.hop.mtu, ways[i].mtu);
		assert_memory_equal(route.hop.l2.dst_mac, their_mac, 6);
		assert_memory_equal(route.hop.l2.src_mac, nics[k].mac, 6);
		assert_int_equal(route.hop.l2.vlan_id[0], 0);
		assert_source(&route, ways[i].source);
	}
	free(nics);
}

static void a_rule_about_the_source_is_followed(void **state)
{
	static const struct {
		const char *ip, *remote, *first, *from, *to;
	} families[] = {
		{ "ip", "8.8.8.8", "198.18.0.1", "198.18.2.1", "198.18.2.2" },
		{ "ip -6", "2606:4700::1111", "2001:db8:0:1::1", "2001:db8:0:2::1",
		  "2001:db8:0:2::2" },
	};
	struct clv_route route;

	(void)state;
	need_routes();
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		const char *ip = families[i].ip, *remote = families[i].remote;
		const char *first = families[i].first, *from = families[i].from;

		/* Without a rule, all goes by the default route. */
		clv_routes_process(routes);
		assert_int_equal(look_from(from, remote, &route), 0);
		assert_int_equal(route.hop.link, 3);
		assert_source(&route, from);

		runf("%s route add default via %s table 77", ip, families[i].to);
		clv_routes_process(routes);
		runf("%s rule add from %s lookup 77 pref 100", ip, from);
		assert_true(wait_changes(CLV_ROUTES_HOPS, 2000) & CLV_ROUTES_HOPS);
		assert_int_equal(look_from(from, remote, &route), 0);
		assert_int_equal(route.hop.via, CLV_VIA_XSK);
		assert_int_equal(route.hop.link, 4);
		assert_int_equal(route.hop.mtu, 1440);
		assert_source(&route, from);
		/* Others keep theirs, and so does what has no source yet. */
		assert_int_equal(look_from(first, remote, &route), 0);
		assert_int_equal(route.hop.link, 3);
		assert_int_equal(route.hop.mtu, 1500);
		assert_int_equal(look(remote, &route), 0);
		assert_int_equal(route.hop.link, 3);
		assert_source(&route, first);

		/* The source that the host chooses is subject to the rules in turn. */
		runf("%s rule add from %s lookup 77 pref 101", ip, first);
		assert_true(wait_changes(CLV_ROUTES_HOPS, 2000) & CLV_ROUTES_HOPS);
		assert_int_equal(look(remote, &route), 0);
		assert_int_equal(route.hop.link, 4);
		assert_source(&route, first);

		runf("%s rule del pref 100 && %s rule del pref 101", ip, ip);
		assert_true(wait_changes(CLV_ROUTES_HOPS, 2000) & CLV_ROUTES_HOPS);
		clv_routes_process(routes);
		assert_int_equal(look_from(from, remote, &route), 0);
		assert_int_equal(route.hop.link, 3);
		runf("%s route del default table 77", ip);
		wait_changes(CLV_ROUTES_HOPS, 2000);
	}
	/* The source is of the other family, or not ours. */
	assert_int_equal(look_from("2001:db8:0:1::1", "8.8.8.8", &route), CLV_EUNROUTABLE);
	assert_int_equal(look_from("198.18.0.2", "8.8.8.8", &route), CLV_EUNROUTABLE);
}

static void an_unknown_neighbour_is_resolving_then_unreachable(void **state)
{
	struct clv_route route;

	(void)state;
	need_routes();
	assert_int_equal(look("198.18.0.77", &route), 0);
	assert_int_equal(route.hop.state, CLV_HOP_RESOLVING);
	assert_true(becomes("198.18.0.77", CLV_HOP_UNREACHABLE, &route));

	/* It comes up later, and is found when resolution is retried. */
	enter(their_ns);
	run("ip addr add 198.18.0.77/24 dev b0");
	enter(our_ns);
	clv_routes_tick(routes, clv_clock_now_ns());
	clv_routes_tick(routes, clv_clock_now_ns() + 6 * CLV_SEC);
	assert_true(becomes("198.18.0.77", CLV_HOP_READY, &route));
}

static void what_has_no_route_says_so(void **state)
{
	static const char *const remotes[] = { "2001:db8:0:9::1", "224.0.0.1", "255.255.255.255",
					       "198.18.0.255" };
	struct clv_route route;
	size_t i;

	(void)state;
	need_routes();
	for (i = 0; i < sizeof(remotes) / sizeof(remotes[0]); i++)
		assert_int_equal(look(remotes[i], &route), CLV_EUNROUTABLE);
}

static void our_own_addresses_are_the_kernels(void **state)
{
	struct clv_route route;
	uint8_t addr[16];

	(void)state;
	need_routes();
	assert_int_equal(look("198.18.0.1", &route), 0);
	assert_int_equal(route.hop.via, CLV_VIA_KERNEL);
	assert_int_equal(look("127.0.0.1", &route), 0);
	assert_int_equal(route.hop.via, CLV_VIA_KERNEL);

	assert_int_equal(clv_addr_parse("198.18.0.1", addr), 0);
	assert_true(clv_routes_is_own(routes, addr));
	assert_true(clv_routes_is_served(routes, addr));
	assert_int_equal(clv_addr_parse("127.0.0.1", addr), 0);
	assert_true(clv_routes_is_own(routes, addr));
	assert_false(clv_routes_is_served(routes, addr));
	assert_int_equal(clv_addr_parse("198.18.0.2", addr), 0);
	assert_false(clv_routes_is_own(routes, addr));
}

static void what_the_host_takes_itself_is_its_own(void **state)
{
	static const struct {
		const char *addr;
		bool is_host;
	} cases[] = {
		{ "198.18.0.1", true },	      { "127.0.0.1", true },
		{ "127.9.9.9", true },	      { "::1", true },
		{ "2001:db8:0:1::1", true },  { "198.18.0.2", false },
		{ "2001:db8:0:1::2", false }, { "198.18.50.5", true },
		{ "2001:db8:50::5", true },   { "198.18.51.5", false },
		{ "198.18.0.255", true },     { "255.255.255.255", true },
		{ "2001:db8:0:9::1", false },
	};
	uint8_t addr[16];

	(void)state;
	need_routes();
	run("ip route add local 198.18.50.0/24 dev lo");
	run("ip -6 route add local 2001:db8:50::/64 dev lo");
	clv_routes_process(routes);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(clv_addr_parse(cases[i].addr, addr), 0);
		if (clv_routes_is_host(routes, addr) != cases[i].is_host)
			fail_msg("%s", cases[i].addr);
	}
	run("ip route del local 198.18.50.0/24 dev lo");
	run("ip -6 route del local 2001:db8:50::/64 dev lo");
	clv_routes_process(routes);
	assert_int_equal(clv_addr_parse("198.18.50.5", addr), 0);
	assert_false(clv_routes_is_host(routes, addr));
}

static void vlan_devices_use_the_link_below_with_a_tag(void **state)
{
	struct clv_route route;
	uint8_t addr[16];

	(void)state;
	need_routes();
	if (!has_vlan) {
		print_message("this kernel has no VLAN devices\n");
		skip();
	}
	assert_int_equal(clv_addr_parse("198.18.7.1", addr), 0);
	assert_true(clv_routes_is_served(routes, addr));
	assert_int_equal(look("198.18.7.9", &route), 0);
	assert_int_equal(route.hop.via, CLV_VIA_XSK);
	assert_int_equal(route.hop.link, 3);
	assert_int_equal(route.hop.l2.vlan_id[0], 7);
	assert_int_equal(route.hop.l2.vlan_id[1], 0);
	assert_source(&route, "198.18.7.1");
}

static void a_changed_link_address_is_followed(void **state)
{
	static const uint8_t moved[6] = { 2, 0, 0, 0, 0, 9 };
	struct clv_route route;

	(void)state;
	need_routes();
	assert_true(becomes("198.18.0.2", CLV_HOP_READY, &route));
	run("ip neigh replace 198.18.0.2 lladdr 02:00:00:00:00:09 dev a0 nud reachable");
	assert_true(wait_changes(CLV_ROUTES_HOPS, 2000) & CLV_ROUTES_HOPS);
	assert_int_equal(look("198.18.0.2", &route), 0);
	assert_memory_equal(route.hop.l2.dst_mac, moved, 6);
	run("ip neigh replace 198.18.0.2 lladdr 02:00:00:00:00:02 dev a0 nud reachable");
	assert_true(wait_changes(CLV_ROUTES_HOPS, 2000) & CLV_ROUTES_HOPS);
}

/* One that is no gateway is named, and nothing else has to be looked up again. */
static void a_neighbour_that_is_no_gateway_is_named(void **state)
{
	const uint8_t(*moved)[16];
	struct clv_route route;
	uint8_t addr[16];

	(void)state;
	need_routes();
	assert_int_equal(clv_addr_parse("198.18.0.78", addr), 0);
	assert_true(clv_routes_is_new(routes, NULL, addr));
	assert_int_equal(look("198.18.0.78", &route), 0);
	assert_false(clv_routes_is_new(routes, NULL, addr));
	clv_routes_moved(routes, &moved);
	run("ip neigh replace 198.18.0.78 lladdr 02:00:00:00:00:07 dev a0 nud reachable");
	assert_int_equal(wait_changes(CLV_ROUTES_NEIGHBOURS, 2000), CLV_ROUTES_NEIGHBOURS);
	assert_int_equal(clv_routes_moved(routes, &moved), 1);
	assert_memory_equal(moved[0], addr, 16);
	assert_int_equal(clv_routes_moved(routes, &moved), 0);
	/* By way of a gateway, none has to be looked for. */
	assert_int_equal(clv_addr_parse("8.8.4.4", addr), 0);
	assert_false(clv_routes_is_new(routes, NULL, addr));
}

static void a_neighbour_that_is_forgotten_is_resolved_again(void **state)
{
	struct clv_route route;

	(void)state;
	need_routes();
	assert_true(becomes("198.18.0.2", CLV_HOP_READY, &route));
	run("ip neigh flush dev a0");
	wait_changes(CLV_ROUTES_HOPS, 2000);
	assert_true(becomes("198.18.0.2", CLV_HOP_READY, &route));
}

static void routes_addresses_and_links_are_followed(void **state)
{
	const uint8_t(*own)[16];
	struct clv_route route;
	size_t before;

	(void)state;
	need_routes();
	clv_routes_process(routes);
	assert_int_equal(look("2001:db8:0:9::1", &route), CLV_EUNROUTABLE);
	run("ip -6 route del unreachable 2001:db8:0:9::/64");
	assert_true(wait_changes(CLV_ROUTES_HOPS, 2000) & CLV_ROUTES_HOPS);
	assert_int_equal(look("2001:db8:0:9::1", &route), 0);

	before = clv_routes_own(routes, &own);
	run("ip addr add 198.18.55.1/24 dev a0");
	assert_true(wait_changes(CLV_ROUTES_ADDRESSES, 2000) & CLV_ROUTES_ADDRESSES);
	assert_int_equal(clv_routes_own(routes, &own), before + 1);
	run("ip addr del 198.18.55.1/24 dev a0");
	assert_true(wait_changes(CLV_ROUTES_ADDRESSES, 2000) & CLV_ROUTES_ADDRESSES);
	assert_int_equal(clv_routes_own(routes, &own), before);

	run("ip link set a0 mtu 1280");
	assert_true(wait_changes(CLV_ROUTES_LINKS, 2000) & CLV_ROUTES_LINKS);
	assert_int_equal(look("198.18.0.2", &route), 0);
	assert_int_equal(route.hop.mtu, 1280);

	enter(their_ns);
	run("ip link set b0 down");
	enter(our_ns);
	assert_true(wait_changes(CLV_ROUTES_LINKS, 2000) & CLV_ROUTES_LINKS);
	assert_true(look("198.18.0.2", &route) != 0 || route.hop.state == CLV_HOP_UNREACHABLE);
	enter(their_ns);
	run("ip link set b0 up");
	enter(our_ns);
	wait_changes(CLV_ROUTES_LINKS, 2000);
	assert_true(becomes("198.18.0.2", CLV_HOP_READY, &route));
}

/* More notifications than the socket buffer holds: the state is read from the tables instead. */
static void lost_announcements_are_made_up_for(void **state)
{
	struct clv_route route;
	const uint8_t(*own)[16];
	size_t before;
	FILE *batch;
	int i;

	(void)state;
	need_routes();
	clv_routes_process(routes);
	before = clv_routes_own(routes, &own);
	assert_true(becomes("198.18.0.2", CLV_HOP_READY, &route));
	batch = popen("ip -batch -", "w");
	assert_non_null(batch);
	for (i = 0; i < 6000; i++)
		fputs("route add 198.18.77.0/24 dev a0\nroute del 198.18.77.0/24 dev a0\n", batch);
	assert_int_equal(pclose(batch), 0);

	/* Changes while the old notifications are read are lost as well. */
	assert_false(clv_routes_process(routes) & CLV_ROUTES_LINKS);
	run("ip addr add 198.18.66.1/24 dev a0 && ip link set a0 mtu 1400");
	assert_int_equal(wait_changes(CLV_ROUTES_LINKS, 2000),
			 CLV_ROUTES_HOPS | CLV_ROUTES_ADDRESSES | CLV_ROUTES_LINKS |
				 CLV_ROUTES_UPLINKS);
	assert_int_equal(clv_routes_own(routes, &own), before + 1);
	assert_true(becomes("198.18.0.2", CLV_HOP_READY, &route));
	assert_int_equal(route.hop.via, CLV_VIA_XSK);
	assert_int_equal(route.hop.link, 3);
	assert_int_equal(route.hop.mtu, 1400);
	run("ip addr del 198.18.66.1/24 dev a0 && ip link set a0 mtu 1500");
	assert_true(wait_changes(CLV_ROUTES_ADDRESSES, 2000) & CLV_ROUTES_ADDRESSES);
	assert_int_equal(clv_routes_own(routes, &own), before);
}

static void without_af_xdp_everything_is_the_kernels(void **state)
{
	struct clv_route route;

	(void)state;
	need_routes();
	clv_routes_set_link(routes, a0, -1);
	assert_int_equal(look("198.18.0.2", &route), 0);
	assert_int_equal(route.hop.via, CLV_VIA_KERNEL);
	assert_int_equal(route.hop.state, CLV_HOP_READY);
	assert_source(&route, "198.18.0.1");
	clv_routes_set_link(routes, a0, 3);
}

static void interfaces_are_listed_with_their_facts(void **state)
{
	struct clv_nic *nics = NULL;
	int i, n, found = 0;

	(void)state;
	need_routes();
	n = clv_nic_list(&nics);
	for (i = 0; i < n; i++) {
		clv_nic_complete(&nics[i]);
		if (strcmp(nics[i].name, "a0") == 0) {
			assert_int_equal(nics[i].ifindex, a0);
			assert_string_equal(nics[i].driver, "veth");
			assert_int_equal(nics[i].rx_queues, 1);
			assert_int_equal(nics[i].parent, 0);
			assert_string_equal(nics[i].kind, "veth");
			assert_false(nics[i].has_device);
			found++;
		} else if (strcmp(nics[i].name, "a0.7") == 0) {
			assert_int_equal(nics[i].parent, a0);
			assert_int_equal(nics[i].vlan_id, 7);
			assert_int_equal(nics[i].vlan_protocol, 0x8100);
			found++;
		} else if (strcmp(nics[i].name, "lo") == 0) {
			assert_true(nics[i].flags & IFF_LOOPBACK);
			found++;
		}
	}
	assert_int_equal(found, 2 + has_vlan);
	free(nics);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interfaces_are_listed_with_their_facts),
		cmocka_unit_test(neighbours_are_resolved_and_named),
		cmocka_unit_test(a_rule_about_the_source_is_followed),
		cmocka_unit_test(an_unknown_neighbour_is_resolving_then_unreachable),
		cmocka_unit_test(what_has_no_route_says_so),
		cmocka_unit_test(our_own_addresses_are_the_kernels),
		cmocka_unit_test(what_the_host_takes_itself_is_its_own),
		cmocka_unit_test(vlan_devices_use_the_link_below_with_a_tag),
		cmocka_unit_test(a_changed_link_address_is_followed),
		cmocka_unit_test(a_neighbour_that_is_no_gateway_is_named),
		cmocka_unit_test(a_neighbour_that_is_forgotten_is_resolved_again),
		cmocka_unit_test(lost_announcements_are_made_up_for),
		cmocka_unit_test(without_af_xdp_everything_is_the_kernels),
		cmocka_unit_test(routes_addresses_and_links_are_followed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
