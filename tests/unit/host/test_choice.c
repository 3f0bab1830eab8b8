/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which interfaces are served where the operator names none: hosts as people have them. */
#include "tests/unit/check.h"

#include <net/if_arp.h>
#include <string.h>

#include "control/host/choice.h"

enum {
	NICS_MAX = 8,
};

/* Of a host; name "" ends the list.  Indices are 1 and on. */
struct nic_spec {
	const char *name, *kind;
	bool has_device, is_down, is_addressed, is_uplink;
	int parent, master;
};

static const struct host_case {
	const char *name;
	struct nic_spec nics[NICS_MAX];
	const char *taken; /* names, each behind a space */
} cases[] = {
	{ "a server with two cards",
	  { { "eth0", "", .has_device = true, .is_addressed = true, .is_uplink = true },
	    { "eth1", "", .has_device = true },
	    { "eth2", "", .has_device = true, .is_down = true } },
	  " eth0 eth1" },
	{ "a host of containers: their bridge and their veths are not",
	  { { "eth0", "", .has_device = true, .is_addressed = true, .is_uplink = true },
	    { "docker0", "bridge", .is_addressed = true },
	    { "veth1", "veth", .master = 2 },
	    { "cali2", "veth", .is_addressed = true },
	    { "vnet3", .kind = "tun" },
	    { "mac0", "macvlan", .is_addressed = true } },
	  " eth0" },
	{ "a bridge that leads to the Internet, and not its port",
	  { { "eth0", "", .has_device = true, .master = 2 },
	    { "br0", "bridge", .is_addressed = true, .is_uplink = true },
	    { "vnet1", "tun", .master = 2 } },
	  " br0" },
	{ "a bond of two cards, with a VLAN for the way out",
	  { { "eth0", "", .has_device = true, .master = 3 },
	    { "eth1", "", .has_device = true, .master = 3 },
	    { "bond0", .kind = "bond" },
	    { "bond0.7", "vlan", .parent = 3, .is_addressed = true, .is_uplink = true } },
	  " bond0" },
	{ "a team without members is none yet",
	  { { "eth0", "", .has_device = true }, { "team0", "team", .is_addressed = true } },
	  " eth0" },
	{ "a card whose VLAN has the addresses",
	  { { "eth0", "", .has_device = true },
	    { "eth0.7", "vlan", .parent = 1, .is_addressed = true, .is_uplink = true } },
	  " eth0" },
	{ "a container with one network",
	  { { "eth0", "veth", .is_addressed = true, .is_uplink = true } },
	  " eth0" },
	{ "a container with two networks, and containers of its own",
	  { { "eth0", "veth", .is_addressed = true, .is_uplink = true },
	    { "eth1", "veth", .is_addressed = true },
	    { "veth2", .kind = "veth" },
	    { "docker0", "bridge", .is_addressed = true } },
	  " eth0 eth1" },
	{ "a container on a macvlan",
	  { { "eth0", "macvlan", .is_addressed = true, .is_uplink = true } },
	  " eth0" },
	{ "a container with a VLAN on its veth",
	  { { "eth0", .kind = "veth" }, { "eth0.7", "vlan", .parent = 1, .is_addressed = true } },
	  " eth0" },
	{ "before the network is there",
	  { { "eth0", "", .has_device = true, .is_down = true } },
	  "" },
};

static void fill(struct clv_choice *host, struct clv_nic nics[NICS_MAX],
		 const struct nic_spec *spec)
{
	int i;

	memset(nics, 0, NICS_MAX * sizeof(*nics));
	*host = (struct clv_choice){ .nics = nics };
	for (i = 0; i < NICS_MAX && spec[i].name; i++) {
		nics[i] = (struct clv_nic){
			.ifindex = i + 1,
			.arp_type = ARPHRD_ETHER,
			.flags = spec[i].is_down ? 0 : IFF_UP,
			.parent = spec[i].parent,
			.master = spec[i].master,
			.has_device = spec[i].has_device,
		};
		strcpy(nics[i].name, spec[i].name);
		strcpy(nics[i].kind, spec[i].kind);
		if (spec[i].is_addressed)
			host->addressed[host->addressed_len++] = i + 1;
		if (spec[i].is_uplink)
			host->uplinks[host->uplinks_len++] = i + 1;
		host->nics_len++;
	}
}

static void each_host_has_its_interfaces_served(void **state)
{
	struct clv_nic nics[NICS_MAX];
	struct clv_choice host;
	char taken[128];
	size_t c, i;

	(void)state;
	for (c = 0; c < COUNT(cases); c++) {
		fill(&host, nics, cases[c].nics);
		taken[0] = 0;
		for (i = 0; i < host.nics_len; i++)
			if (clv_choice_takes(&host, &nics[i]))
				strcat(strcat(taken, " "), nics[i].name);
		CHECK_ROW(cases[c].name, strcmp(taken, cases[c].taken) == 0);
	}
}

static void what_is_no_ethernet_is_never_served(void **state)
{
	struct clv_nic nic = { .ifindex = 1, .flags = IFF_UP, .arp_type = ARPHRD_ETHER };

	(void)state;
	assert_true(clv_choice_is_candidate(&nic));
	nic.flags = IFF_UP | IFF_LOOPBACK;
	assert_false(clv_choice_is_candidate(&nic));
	nic.flags = IFF_UP;
	nic.arp_type = ARPHRD_NONE;
	assert_false(clv_choice_is_candidate(&nic));
}

static void this_machine_can_be_read(void **state)
{
	struct clv_choice host;

	(void)state;
	assert_int_equal(clv_choice_read(0, &host), 0);
	assert_true(host.nics_len >= 1);
	clv_choice_fini(&host);
	assert_null(host.nics);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_host_has_its_interfaces_served),
		cmocka_unit_test(what_is_no_ethernet_is_never_served),
		cmocka_unit_test(this_machine_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
