/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where relays see the socket for peers: what is known stays, until a whole round says otherwise. */
#include "control/library/culvert_state.h"
#include "tests/unit/check.h"

#include "control/peer/nat.h"
#include "control/tls/certgen.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"

#include <stdlib.h>
#include <unistd.h>

enum { RELAYS = 3 };

static struct {
	struct culvert *c;
	struct culvert_session session;
	struct node node;
	int fds[RELAYS];
	uint8_t requests[RELAYS][CLV_STUN_HEADER_LEN];
} t;

static int open_socket(uint32_t address, struct clv_endpoint *out)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(clv_endpoint_from_sockaddr((struct sockaddr *)&sa, out), 0);
	return fd;
}

static void open_node(void)
{
	struct clv_peers_params p = {
		.identity_name = "test",
		.peers_max = 1,
		.handshakes_max = 1,
		.rand = &t.c->rand,
	};
	char *key, *cert, error[256];

	assert_int_equal(clv_certgen_key(CLV_PROFILE_PQC, &key), 0);
	assert_int_equal(clv_certgen_self(key, &cert), 0);
	p.cert_pem = cert;
	p.key_pem = key;
	assert_int_equal(clv_peers_open(&p, &t.node.peers, error, sizeof(error)), 0);
	clv_certgen_free_key(key);
	free(cert);
	t.node.c = t.c;
	LIST_INSERT_HEAD(&t.c->nodes, &t.node, link);
}

static int setup(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	t.c = calloc(1, sizeof(*t.c));
	clv_rand_init(&t.c->rand, 3);
	t.c->now_ns = 100 * CLV_SEC;
	t.c->peer_fd = open_socket(INADDR_LOOPBACK, &t.c->peer_local);
	for (unsigned i = 0; i < RELAYS; i++)
		t.fds[i] = open_socket(INADDR_LOOPBACK + i, &t.session.addresses[i]);
	t.session.addresses_len = RELAYS;
	LIST_INSERT_HEAD(&t.c->sessions, &t.session, link);
	open_node();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	clv_peers_close(t.node.peers);
	for (unsigned i = 0; i < RELAYS; i++)
		close(t.fds[i]);
	close(t.c->peer_fd);
	free(t.c);
	return 0;
}

/* Begin a round: each relay is asked. */
static void ask(void)
{
	t.c->now_ns += 30 * CLV_SEC;
	direct_step(t.c);
	for (unsigned i = 0; i < RELAYS; i++)
		assert_int_equal(recv(t.fds[i], t.requests[i], sizeof(t.requests[i]), 0),
				 sizeof(t.requests[i]));
}

/* A relay says that it sees the socket at this port. */
static void answer(unsigned relay, uint16_t port)
{
	struct clv_endpoint seen = { .addr = { [10] = 0xff, 0xff, 198, 51, 100, 5 },
				     .port = htons(port) };
	uint8_t response[CLV_STUN_ANSWER_MAX];
	size_t len = clv_stun_answer(t.requests[relay], sizeof(t.requests[relay]), &seen, response);

	assert_true(len > 0);
	assert_true(direct_take(t.c, &t.session.addresses[relay], response, len));
}

static void a_round_under_way_changes_nothing(void **state)
{
	(void)state;
	ask();
	for (unsigned i = 0; i < RELAYS; i++)
		answer(i, 4000);
	assert_int_equal(t.c->direct.nat_class, CLV_NAT_CLASS_CONE);
	for (unsigned n = 0; n < 3; n++) {
		ask();
		for (unsigned i = 0; i < RELAYS; i++) {
			answer(i, 4000);
			assert_int_equal(t.c->direct.local.nat_class, CLV_NAT_CLASS_CONE);
		}
	}
}

static void whoever_answers_first_the_address_is_the_same(void **state)
{
	(void)state;
	for (unsigned n = 0; n < RELAYS; n++) {
		ask();
		for (unsigned i = 0; i < RELAYS; i++) {
			unsigned relay = (i + n) % RELAYS;

			answer(relay, (uint16_t)(4000 + relay));
			assert_int_equal(ntohs(t.c->direct.seen[0].port), 4000);
		}
		assert_int_equal(t.c->direct.local.nat_class, CLV_NAT_CLASS_SYMMETRIC_PORT);
	}
}

static void a_relay_that_is_dead_only_delays_the_verdict(void **state)
{
	(void)state;
	ask();
	answer(0, 4000);
	assert_int_equal(ntohs(t.c->direct.seen[0].port), 4000); /* at once: it is the first */
	answer(1, 4000);
	for (unsigned i = 0; i < 20; i++) {
		t.c->now_ns += 100 * CLV_MSEC;
		direct_step(t.c);
	}
	assert_int_equal(t.c->direct.local.nat_class, CLV_NAT_CLASS_CONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_round_under_way_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(whoever_answers_first_the_address_is_the_same,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_relay_that_is_dead_only_delays_the_verdict, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
