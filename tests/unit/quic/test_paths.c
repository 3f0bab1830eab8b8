/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How the challenge to a new address of a peer is sent: as the packet came, and as far as it says. */
#include "tests/unit/check.h"

#include "datapath/base/addr.h"
#include "datapath/quic/paths.h"

static const uint8_t old_mac[6] = { 2, 0, 0, 0, 0, 1 }, new_mac[6] = { 2, 0, 0, 0, 0, 2 };

static struct clv_endpoint endpoint(const char *text)
{
	struct clv_endpoint ep;

	assert_int_equal(clv_endpoint_parse(text, &ep), 0);
	return ep;
}

/* The flow in use: on link 3, inside VLAN 7 of service VLAN 100. */
static struct clv_flow flow_in_use(void)
{
	struct clv_flow flow = {
		.local = endpoint("198.51.100.1:443"),
		.remote = endpoint("203.0.113.7:4000"),
		.hop = { .via = CLV_VIA_XSK,
			 .link = 3,
			 .mtu = 1500,
			 .l2 = { .vlan_id = { 100, 7 } } },
	};

	memcpy(flow.hop.l2.dst_mac, old_mac, 6);
	return flow;
}

static struct clv_rx from_new_port(uint16_t link, bool lacks_tags)
{
	struct clv_rx rx = {
		.local = endpoint("198.51.100.1:443"),
		.remote = endpoint("203.0.113.7:4001"),
		.via = CLV_VIA_XSK,
		.link = link,
		.lacks_tags = lacks_tags,
	};

	memcpy(rx.l2.dst_mac, new_mac, 6);
	return rx;
}

static const struct clv_flow *record(struct clv_paths *p, const struct clv_rx *rx,
				     const struct clv_flow *like)
{
	*p = (struct clv_paths){ 0 };
	clv_paths_record(p, rx, like);
	assert_int_equal(p->known, 1);
	assert_int_equal(p->flow[0].hop.state, CLV_HOP_READY);
	assert_int_equal(p->flow[0].hop.mtu, 1500);
	return &p->flow[0];
}

static void a_new_path_has_the_tags_it_came_with(void **state)
{
	struct clv_flow like = flow_in_use();
	struct clv_rx rx = from_new_port(3, false);
	const struct clv_flow *flow;
	struct clv_paths p;

	(void)state;
	flow = record(&p, &rx, &like);
	assert_memory_equal(flow->hop.l2.dst_mac, new_mac, 6);
	assert_int_equal(flow->hop.l2.vlan_id[0], 0);
	rx.l2.vlan_id[0] = 9;
	flow = record(&p, &rx, &like);
	assert_int_equal(flow->hop.l2.vlan_id[0], 9);
	assert_int_equal(flow->hop.l2.vlan_id[1], 0);
}

static void where_the_card_takes_tags_off_it_keeps_those_of_the_path_in_use(void **state)
{
	struct clv_flow like = flow_in_use();
	struct clv_rx rx = from_new_port(3, true);
	const struct clv_flow *flow;
	struct clv_paths p;

	(void)state;
	flow = record(&p, &rx, &like);
	assert_memory_equal(flow->hop.l2.dst_mac, new_mac, 6);
	assert_int_equal(flow->hop.link, 3);
	assert_int_equal(flow->hop.l2.vlan_id[0], 100);
	assert_int_equal(flow->hop.l2.vlan_id[1], 7);

	rx.l2.vlan_id[0] = 7; /* the card took the outer one off */
	flow = record(&p, &rx, &like);
	assert_int_equal(flow->hop.l2.vlan_id[0], 100);
	assert_int_equal(flow->hop.l2.vlan_id[1], 7);
}

static void tags_that_cannot_be_a_rest_of_those_are_the_frame_s_own(void **state)
{
	struct clv_flow like = flow_in_use();
	struct clv_rx rx = from_new_port(3, true);
	const struct clv_flow *flow;
	struct clv_paths p;

	(void)state;
	rx.l2.vlan_id[0] = 8;
	flow = record(&p, &rx, &like);
	assert_int_equal(flow->hop.l2.vlan_id[0], 8);
	assert_int_equal(flow->hop.l2.vlan_id[1], 0);
}

static void tags_of_another_link_are_not_taken_over(void **state)
{
	struct clv_flow like = flow_in_use();
	struct clv_rx rx = from_new_port(4, true);
	const struct clv_flow *flow;
	struct clv_paths p;

	(void)state;
	flow = record(&p, &rx, &like);
	assert_int_equal(flow->hop.link, 4);
	assert_int_equal(flow->hop.l2.vlan_id[0], 0);
	assert_int_equal(flow->hop.l2.vlan_id[1], 0);
}

static void a_path_by_the_kernel_needs_no_tags(void **state)
{
	struct clv_flow like = flow_in_use();
	struct clv_rx rx = from_new_port(0, false);
	const struct clv_flow *flow;
	struct clv_paths p;

	(void)state;
	rx.via = CLV_VIA_KERNEL;
	rx.socket = 5;
	flow = record(&p, &rx, &like);
	assert_int_equal(flow->hop.via, CLV_VIA_KERNEL);
	assert_int_equal(flow->socket, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_path_has_the_tags_it_came_with),
		cmocka_unit_test(where_the_card_takes_tags_off_it_keeps_those_of_the_path_in_use),
		cmocka_unit_test(tags_that_cannot_be_a_rest_of_those_are_the_frame_s_own),
		cmocka_unit_test(tags_of_another_link_are_not_taken_over),
		cmocka_unit_test(a_path_by_the_kernel_needs_no_tags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
