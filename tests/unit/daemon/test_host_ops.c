/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/daemon/daemon.h"
#include "control/daemon/host_ops.h"
#include "control/host/egress.h"
#include "datapath/base/addr.h"

enum {
	MIN = 47930,
	MAX = 47939,
};

/* Whether what is sent to a port arrives on its socket. */
static bool receives(const struct clv_egress *e)
{
	struct sockaddr_storage sa;
	socklen_t len = clv_endpoint_to_sockaddr(&e->local, false, &sa);
	int from = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char byte;

	assert_int_equal(sendto(from, "x", 1, 0, (struct sockaddr *)&sa, len), 1);
	close(from);
	return recv(e->fd, &byte, 1, MSG_DONTWAIT) == 1;
}

static void test_each_port_is_made_for_its_own_route(void **state)
{
	static const uint8_t via[] = { CLV_VIA_KERNEL, CLV_VIA_XSK, CLV_VIA_XSK, CLV_VIA_KERNEL };
	const struct clv_host_ops *ops = clv_host_ops_of_daemon();
	struct clv_daemon *daemon = calloc(1, sizeof(*daemon));
	const struct clv_egress_wish alone = { 0 };
	struct clv_route routes[4] = { 0 };
	struct clv_egress ports[4];

	(void)state;
	assert_int_equal(clv_egress_open(MIN, MAX, &daemon->egress), 0);
	/* All routes are known before the first port is taken, and share their source. */
	for (int i = 0; i < 4; i++) {
		assert_int_equal(clv_addr_parse("127.0.0.1", routes[i].source), 0);
		routes[i].hop.via = via[i];
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(ops->egress_take(daemon, &routes[i], &alone, &ports[i]), 0);
	for (int i = 0; i < 4; i++) {
		assert_memory_equal(ports[i].local.addr, routes[i].source, 16);
		assert_int_equal(receives(&ports[i]), via[i] == CLV_VIA_KERNEL);
		ops->egress_give(daemon, &ports[i]);
	}
	assert_int_equal(clv_egress_used(daemon->egress), 0);
	clv_egress_close(daemon->egress);
	free(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_port_is_made_for_its_own_route),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
