/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Synthetic RTM_NEWLINK messages, so that VLAN devices are tested on kernels without them, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <net/if.h>

#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "control/host/nic.h"
#include "datapath/base/err.h"

static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 5 };

static struct nlmsghdr *start(char *buffer)
{
	struct nlmsghdr *m = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *head = mnl_nlmsg_put_extra_header(m, sizeof(*head));

	m->nlmsg_type = RTM_NEWLINK;
	head->ifi_index = 5;
	head->ifi_type = ARPHRD_ETHER;
	head->ifi_flags = IFF_UP;
	mnl_attr_put_strz(m, IFLA_IFNAME, "a0.7");
	mnl_attr_put(m, IFLA_ADDRESS, sizeof(mac), mac);
	mnl_attr_put_u32(m, IFLA_MTU, 1496);
	return m;
}

static void put_vlan(struct nlmsghdr *m, const char *kind)
{
	struct nlattr *info, *data;

	mnl_attr_put_u32(m, IFLA_LINK, 3);
	info = mnl_attr_nest_start(m, IFLA_LINKINFO);
	mnl_attr_put_strz(m, IFLA_INFO_KIND, kind);
	data = mnl_attr_nest_start(m, IFLA_INFO_DATA);
	mnl_attr_put_u16(m, IFLA_VLAN_ID, 7);
	mnl_attr_put_u16(m, IFLA_VLAN_PROTOCOL, htons(0x88a8));
	mnl_attr_nest_end(m, data);
	mnl_attr_nest_end(m, info);
}

static void plain_facts_are_read(void **state)
{
	char buffer[512];
	struct clv_nic nic;
	struct nlmsghdr *m = start(buffer);

	(void)state;
	mnl_attr_put_u32(m, IFLA_MASTER, 9);
	assert_int_equal(clv_nic_from_message(m, &nic), 0);
	assert_int_equal(nic.ifindex, 5);
	assert_string_equal(nic.name, "a0.7");
	assert_memory_equal(nic.mac, mac, 6);
	assert_int_equal(nic.mtu, 1496);
	assert_int_equal(nic.arp_type, ARPHRD_ETHER);
	assert_int_equal(nic.flags, IFF_UP);
	assert_int_equal(nic.master, 9);
	assert_int_equal(nic.parent, 0);
	assert_int_equal(nic.vlan_id, 0);
}

static void vlan_devices_know_what_is_below(void **state)
{
	char buffer[512];
	struct clv_nic nic;
	struct nlmsghdr *m = start(buffer);

	(void)state;
	put_vlan(m, "vlan");
	assert_int_equal(clv_nic_from_message(m, &nic), 0);
	assert_int_equal(nic.parent, 3);
	assert_int_equal(nic.vlan_id, 7);
	assert_int_equal(nic.vlan_protocol, 0x88a8);
}

static void other_kinds_on_a_link_are_no_vlans(void **state)
{
	char buffer[512];
	struct clv_nic nic;
	struct nlmsghdr *m = start(buffer);

	(void)state;
	put_vlan(m, "macvlan");
	assert_int_equal(clv_nic_from_message(m, &nic), 0);
	assert_int_equal(nic.parent, 0);
	assert_int_equal(nic.vlan_id, 0);
}

static void a_link_below_in_another_namespace_does_not_count(void **state)
{
	char buffer[512];
	struct clv_nic nic;
	struct nlmsghdr *m = start(buffer);

	(void)state;
	put_vlan(m, "vlan");
	mnl_attr_put_u32(m, IFLA_LINK_NETNSID, 0);
	assert_int_equal(clv_nic_from_message(m, &nic), 0);
	assert_int_equal(nic.parent, 0);
}

static void short_messages_are_refused(void **state)
{
	char buffer[512];
	struct clv_nic nic;
	struct nlmsghdr *m = start(buffer);

	(void)state;
	m->nlmsg_len = sizeof(*m) + 4;
	assert_int_equal(clv_nic_from_message(m, &nic), CLV_ESYNTAX);
}

static void this_machine_has_a_loopback(void **state)
{
	struct clv_nic *nics = NULL;
	int i, n = clv_nic_list(&nics), loopbacks = 0;

	(void)state;
	assert_true(n >= 1);
	for (i = 0; i < n; i++) {
		loopbacks += (nics[i].flags & IFF_LOOPBACK) != 0;
		clv_nic_complete(&nics[i]);
		assert_true(nics[i].rx_queues >= 1);
		assert_true(i == 0 || nics[i].ifindex > nics[i - 1].ifindex);
	}
	assert_int_equal(loopbacks, 1);
	free(nics);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_facts_are_read),
		cmocka_unit_test(vlan_devices_know_what_is_below),
		cmocka_unit_test(other_kinds_on_a_link_are_no_vlans),
		cmocka_unit_test(a_link_below_in_another_namespace_does_not_count),
		cmocka_unit_test(short_messages_are_refused),
		cmocka_unit_test(this_machine_has_a_loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
