/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Making, closing and waiting for the AF_XDP port. */
#include "tests/unit/check.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

#include "datapath/base/err.h"
#include "tests/unit/io/xsk_world.h"

static void what_cannot_be_added_says_why(void **state)
{
	const struct clv_xsk_params nowhere = { .ifname = "nowhere", .link = 5, .xskmap_fd = -1 };
	struct clv_xsk_port_params odd = { .ring_size = 100 };
	struct clv_port *none;

	(void)state;
	NEED_WORLD();
	assert_int_equal(clv_xsk_open(&odd, &none), CLV_ERANGE);
	assert_int_equal(world_add_socket(CLV_LINKS_MAX, 0, CLV_XSK_COPY), CLV_ERANGE);
	assert_int_equal(world_add_socket(LINK_A, 0, CLV_XSK_COPY), -EBUSY);
	assert_int_equal(clv_xsk_add(world.port, &nowhere), -ENODEV);
	world.port->ops->close(world.port);
	world_open_port();
	/* veth has none; then the next step of the ladder */
	assert_int_equal(world_add_socket(LINK_A, 0, CLV_XSK_ZEROCOPY), -EOPNOTSUPP);
	assert_all_frames_are_back(0);
	assert_int_equal(world_add_socket(LINK_A, 0, CLV_XSK_AUTO), 0);
	assert_all_frames_are_back(SOCKET_FRAMES);
}

static void a_closed_port_frees_its_queues(void **state)
{
	struct clv_flow flow = flow_inbound(UNKNOWN4, LOCAL4);
	struct clv_rx rx;
	int i;

	NEED_WORLD();
	for (i = 0; i < 5; i++) {
		peer_inject(LINK_A, &flow, 100, 0);
		assert_int_equal(port_receive(&rx, 1), 1);
		world.port->ops->rx_done(world.port);
		port_transmit(LINK_B, LOCAL4, REMOTE4, 100, 0);
		world.port->ops->flush(world.port);
		world_stop(state);
		world_start(state);
	}
}

static void whether_a_queue_was_let_go_can_be_waited_for(void **state)
{
	NEED_WORLD();
	assert_int_equal(clv_xsk_wait_unbound(world_link_name("r", LINK_A), 0), -EBUSY);
	world_stop(state);
	assert_int_equal(clv_xsk_wait_unbound(world_link_name("r", LINK_A), 0), 0);
	assert_int_equal(clv_xsk_wait_unbound("nowhere", 0), -ENODEV);
	world_start(state); /* asking took nothing */
}

/* The socket that receives a flow is the hash's choice. */
static void send_and_receive(uint16_t link, unsigned count)
{
	struct clv_flow flow = flow_inbound(UNKNOWN4, LOCAL4);
	struct clv_rx rx;
	unsigned i;

	for (i = 0; i < count; i++) {
		peer_inject(link, &flow, 100, i);
		assert_int_equal(port_receive(&rx, 1), 1);
		assert_received(&rx, &flow, link, 100, i);
		world.port->ops->rx_done(world.port);
		port_transmit(link, LOCAL4, REMOTE4, 100, i);
		world.port->ops->flush(world.port);
		peer_expect(link, LOCAL4, REMOTE4, 100, i);
	}
}

static void a_link_goes_and_comes_while_another_stays(void **state)
{
	struct clv_xsk_sock *gone[CLV_QUEUES_MAX];
	struct clv_xsk_params params;
	unsigned round, i;

	(void)state;
	NEED_WORLD();
	for (round = 0; round < 3; round++) {
		assert_int_equal(clv_xsk_detach(world.port, LINK_A, gone, CLV_QUEUES_MAX), QUEUES);
		send_and_receive(LINK_B, RING / 2);
		for (i = 0; i < QUEUES; i++)
			clv_xsk_unbind(gone[i]);
		send_and_receive(LINK_B, RING / 2);
		/* By a link that is not there nothing goes, and that is counted. */
		port_transmit(LINK_A, LOCAL4, REMOTE4, 100, 0);
		assert_int_equal(world_counted(CLV_COUNT_DROP_NO_ROUTE), round + 1);
		assert_all_frames_are_back(QUEUES * SOCKET_FRAMES);
		for (i = 0; i < QUEUES; i++) {
			params = world_socket(LINK_A, i, CLV_XSK_COPY);
			assert_int_equal(clv_xsk_bind(world.port, &params, &gone[i]), 0);
		}
		send_and_receive(LINK_B, RING / 2);
		for (i = 0; i < QUEUES; i++)
			assert_int_equal(clv_xsk_attach(world.port, gone[i]), 0);
		send_and_receive(LINK_A, 2 * RING);
		send_and_receive(LINK_B, RING / 2);
	}
	assert_int_equal(world_counted(CLV_COUNT_DROP_LINK_GONE), 0);
	assert_int_equal(clv_xsk_detach(world.port, 3, gone, CLV_QUEUES_MAX), 0);
	assert_all_frames_are_back(FRAMES);
}

static void what_is_in_the_rings_of_a_link_that_goes_is_counted(void **state)
{
	enum { WAITING = 5, QUEUED = 3 };
	struct clv_flow flow = flow_inbound(UNKNOWN4, LOCAL4);
	const struct timespec moment = { .tv_nsec = 20000000 };
	struct clv_xsk_sock *gone[CLV_QUEUES_MAX];
	unsigned i, n;

	(void)state;
	NEED_WORLD();
	for (i = 0; i < WAITING; i++)
		peer_inject(LINK_A, &flow, 100, i);
	nanosleep(&moment, NULL);
	for (i = 0; i < QUEUED; i++)
		port_transmit(LINK_A, LOCAL4, REMOTE4, 100, i);
	n = clv_xsk_detach(world.port, LINK_A, gone, CLV_QUEUES_MAX);
	assert_int_equal(n, QUEUES);
	assert_int_equal(world_counted(CLV_COUNT_DROP_LINK_GONE), WAITING + QUEUED);
	while (n)
		clv_xsk_unbind(gone[--n]);
}

static void it_sleeps_only_when_nothing_waits(void **state)
{
	struct pollfd fd = { .events = POLLIN };
	struct clv_flow flow = flow_inbound(UNKNOWN4, LOCAL4);
	const struct timespec moment = { .tv_nsec = 5000000 };
	struct clv_rx batch[CLV_PORT_BATCH];

	(void)state;
	NEED_WORLD();
	fd.fd = world.port->ops->poll_fd(world.port);
	assert_true(world.port->ops->may_sleep(world.port));
	assert_int_equal(poll(&fd, 1, 0), 0);
	peer_inject(LINK_B, &flow, 100, 0);
	assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
	nanosleep(&moment, NULL);
	assert_false(world.port->ops->may_sleep(world.port));
	assert_int_equal(world.port->ops->rx(world.port, batch, CLV_PORT_BATCH), 1);
	world.port->ops->rx_done(world.port);
	assert_true(world.port->ops->may_sleep(world.port));
	assert_int_equal(poll(&fd, 1, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		XSK_CASE(what_cannot_be_added_says_why),
		XSK_CASE(a_closed_port_frees_its_queues),
		XSK_CASE(a_link_goes_and_comes_while_another_stays),
		XSK_CASE(what_is_in_the_rings_of_a_link_that_goes_is_counted),
		XSK_CASE(whether_a_queue_was_let_go_can_be_waited_for),
		XSK_CASE(it_sleeps_only_when_nothing_waits),
	};

	return cmocka_run_group_tests(tests, world_make, world_end);
}
