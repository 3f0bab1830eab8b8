/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "control/host/netfilter.h"
#include "datapath/base/err.h"

static char buffer[1024];

struct spec {
	uint8_t family;
	int hook; /* -1: not a base chain */
	uint32_t rules, policy;
};

static const struct nlmsghdr *chain_of(const struct spec *spec)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *head;
	struct nlattr *nest;

	message->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN;
	head = mnl_nlmsg_put_extra_header(message, sizeof(*head));
	*head = (struct nfgenmsg){ .nfgen_family = spec->family };
	mnl_attr_put_strz(message, NFTA_CHAIN_TABLE, "firewall");
	mnl_attr_put_strz(message, NFTA_CHAIN_NAME, "out");
	if (spec->hook >= 0) {
		nest = mnl_attr_nest_start(message, NFTA_CHAIN_HOOK);
		mnl_attr_put_u32(message, NFTA_HOOK_HOOKNUM, htonl((uint32_t)spec->hook));
		mnl_attr_nest_end(message, nest);
		mnl_attr_put_u32(message, NFTA_CHAIN_POLICY, htonl(spec->policy));
	}
	mnl_attr_put_u32(message, NFTA_CHAIN_USE, htonl(spec->rules));
	return message;
}

static void test_a_chain_with_rules_is_read(void **state)
{
	const struct spec spec = { NFPROTO_INET, NF_INET_LOCAL_OUT, 3, NF_ACCEPT };
	struct clv_netfilter_chain chain;

	(void)state;
	assert_int_equal(clv_netfilter_read_chain(chain_of(&spec), &chain), 0);
	assert_string_equal(chain.family, "inet");
	assert_string_equal(chain.hook, "output");
	assert_string_equal(chain.table, "firewall");
	assert_string_equal(chain.name, "out");
	assert_int_equal(chain.rules, 3);
	assert_false(chain.is_drop);
}

static void test_a_policy_counts_without_rules(void **state)
{
	const struct spec spec = { NFPROTO_IPV6, NF_INET_LOCAL_IN, 0, NF_DROP };
	struct clv_netfilter_chain chain;

	(void)state;
	assert_int_equal(clv_netfilter_read_chain(chain_of(&spec), &chain), 0);
	assert_string_equal(chain.hook, "input");
	assert_true(chain.is_drop);
}

static void test_what_cannot_concern_the_relay_is_left_out(void **state)
{
	static const struct spec others[] = {
		{ NFPROTO_INET, -1, 3, NF_ACCEPT },		   /* only jumped to */
		{ NFPROTO_INET, NF_INET_LOCAL_OUT, 0, NF_ACCEPT }, /* empty */
		{ NFPROTO_INET, NF_INET_FORWARD, 3, NF_DROP },
		{ NFPROTO_ARP, 0, 3, NF_DROP },
		{ NFPROTO_BRIDGE, 0, 3, NF_DROP },
		{ NFPROTO_INET, 99, 3, NF_DROP },
		{ NFPROTO_NETDEV, 99, 3, NF_DROP },
	};
	struct clv_netfilter_chain chain;

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(clv_netfilter_read_chain(chain_of(&others[i]), &chain),
				 CLV_ESYNTAX);
}

static void test_another_message_is_refused(void **state)
{
	const struct spec spec = { NFPROTO_INET, NF_INET_LOCAL_OUT, 3, NF_ACCEPT };
	struct clv_netfilter_chain chain;
	struct nlmsghdr *message = (struct nlmsghdr *)buffer;

	(void)state;
	chain_of(&spec);
	message->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE;
	assert_int_equal(clv_netfilter_read_chain(message, &chain), CLV_ESYNTAX);
	chain_of(&spec);
	message->nlmsg_len = NLMSG_HDRLEN;
	assert_int_equal(clv_netfilter_read_chain(message, &chain), CLV_ESYNTAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_chain_with_rules_is_read),
		cmocka_unit_test(test_a_policy_counts_without_rules),
		cmocka_unit_test(test_what_cannot_concern_the_relay_is_left_out),
		cmocka_unit_test(test_another_message_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
