/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fuzz_rounds - an end of a peer connection against any peer.  The first byte chooses which end; then
 * each move is a byte, and what it takes:
 *
 *   0  a capsule: type (1), length (1), value
 *   1  a probe that the peer sealed: from (1), request or response (1), size (1)
 *   2  time: tenths of a second (1)
 *   3  wishes of the owner (1)
 */
#include <arpa/inet.h>
#include <string.h>

#include "control/peer/rounds.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/rand.h"
#include "tests/fuzz/fuzz.h"

enum { STEPS_MAX = 2000 };

struct game {
	struct clv_rounds *rounds;
	struct clv_probe *peer; /* what the peer seals with */
	uint64_t now_ns;
	uint64_t asked; /* the transaction of the last request to the peer */
	uint64_t sent_bytes, came_bytes;
	bool is_dialler;
};

static const uint64_t types[] = { 0x3d7e90,   0x3d7e91,	  0x3d7e92,   0x3d7e93, 0x3d7e94,
				  0x1c766c10, 0x1c766c11, 0x1c766c12, 0x9f81a6, 0x1c766c14 };

static void on_send(void *user, uint32_t base, const struct clv_endpoint *to,
		    const uint8_t *datagram, size_t len)
{
	struct game *g = user;
	struct clv_probe_message m;
	enum clv_scope scope = clv_addr_scope(to->addr);

	CHECK(base == CLV_BASE_SOCKET || base == 1);
	CHECK(len >= CLV_PROBE_MIN && len <= CLV_PROBE_MAX && to->port);
	CHECK(scope != CLV_SCOPE_NONE && scope != CLV_SCOPE_LINK);
	g->sent_bytes += len;
	if (clv_probe_open(g->peer, datagram, len, g->now_ns, &m) == CLV_PROBE_OPENED &&
	    m.type == CLV_PROBE_REQUEST)
		g->asked = m.transaction;
}

static void on_event(void *user, enum clv_pair_event event, const struct clv_pair *pair)
{
	(void)user;
	if (event == CLV_PAIR_IS_PROVEN)
		CHECK(pair->state == CLV_PAIR_PROVEN && pair->answered_ns && pair->heard_ns);
}

static void on_observed(void *user, uint32_t base, const struct clv_endpoint *address)
{
	(void)user;
	(void)base;
	(void)address;
}

static int on_signal(void *user, const struct clv_peer_capsule *capsule)
{
	struct game *g = user;

	if (capsule->type == CLV_PEER_HELLO)
		CHECK(clv_probe_set_peer(g->peer, &capsule->hello) == 0);
	return 0;
}

static const struct clv_rounds_ops ops = {
	.checks = { .send = on_send, .event = on_event, .observed = on_observed },
	.signal = on_signal,
};

static void add(struct clv_candidates *set, const char *text, enum clv_candidate_kind kind)
{
	struct clv_candidate c = { .kind = kind, .prefix_bits = 120 };

	CHECK(clv_endpoint_parse(text, &c.endpoint) == 0);
	c.priority = clv_candidate_priority(kind, c.endpoint.addr, 0);
	CHECK(clv_candidates_add(set, &c) == 0);
}

static void give_local(struct game *g, bool is_other)
{
	struct clv_candidates set = { .count = 0 };

	add(&set, is_other ? "10.1.1.9:7" : "10.1.1.1:7", CLV_CANDIDATE_HOST);
	add(&set, "198.51.100.1:7", CLV_CANDIDATE_REFLEXIVE);
	add(&set, "[2001:db8::1]:7", CLV_CANDIDATE_HOST);
	CHECK(clv_rounds_set_local(g->rounds, &set, true, NULL, g->now_ns) == 0);
}

static void step_until(struct game *g, uint64_t end_ns)
{
	for (int i = 0; i < STEPS_MAX; i++) {
		uint64_t next_ns = clv_rounds_step(g->rounds, g->now_ns);

		CHECK(next_ns > g->now_ns);
		if (next_ns > end_ns)
			break;
		g->now_ns = next_ns;
	}
	g->now_ns = end_ns;
}

static int say(struct game *g, const uint8_t **p, const uint8_t *end)
{
	struct clv_peer_capsule capsule;
	uint64_t type;
	size_t len;

	if (end - *p < 2)
		return -1;
	type = types[(*p)[0] % (sizeof(types) / sizeof(types[0]))];
	len = (*p)[1];
	*p += 2;
	if (len > (size_t)(end - *p))
		len = (size_t)(end - *p);
	*p += len;
	if (!clv_peer_capsule_is_known(type) ||
	    clv_peer_capsule_decode(type, *p - len, len, &capsule))
		return 0;
	/* The fuzzer does not guess keys. */
	if (capsule.type == CLV_PEER_HELLO)
		clv_probe_fill_hello(g->peer, &capsule.hello);
	return clv_rounds_take(g->rounds, &capsule, g->now_ns);
}

static void probe(struct game *g, const uint8_t *move)
{
	struct clv_probe_message m = {
		.type = move[1] & 1 ? CLV_PROBE_REQUEST : CLV_PROBE_RESPONSE,
		.transaction = move[1] & 1 ? g->now_ns + g->came_bytes : g->asked,
		.sent_ms = (uint32_t)(g->now_ns / CLV_MSEC),
		.size = (uint16_t)(CLV_PROBE_MIN +
				   (move[2] == 255 ? CLV_PROBE_MAX - CLV_PROBE_MIN : move[2])),
	};
	struct clv_endpoint from;
	uint8_t datagram[CLV_PROBE_MAX];
	int len = clv_probe_seal(g->peer, &m, datagram);

	CHECK(clv_endpoint_parse(move[0] & 0x80 ? "[2001:db8::]:9" : "10.1.1.0:9", &from) == 0);
	from.addr[15] = move[0] & 0x7f;
	if (move[1] & 2)
		from.addr[12] = 198;
	CHECK(len > 0 && clv_rounds_is_ours(g->rounds, datagram, (size_t)len));
	g->came_bytes += (uint64_t)len;
	clv_rounds_datagram(g->rounds, move[1] & 4 ? 1 : CLV_BASE_SOCKET, &from, datagram,
			    (size_t)len, g->now_ns);
}

static void wish(struct game *g, uint8_t what)
{
	static const struct clv_endpoint relayed = {
		.addr = { [10] = 0xff, [11] = 0xff, [12] = 203, [14] = 113, [15] = 1 },
		.port = 99,
	};

	switch (what % 5) {
	case 0:
		give_local(g, what & 0x80);
		break;
	case 1:
		clv_rounds_ask(g->rounds, g->now_ns);
		break;
	case 2:
		clv_rounds_check(g->rounds, CLV_BASE_SOCKET, &relayed, g->now_ns);
		break;
	case 3:
		clv_rounds_give(g->rounds, 1, &relayed, g->now_ns);
		break;
	default:
		CHECK(clv_rounds_set_privacy(g->rounds, (enum clv_privacy)((what >> 4) % 3),
					     g->now_ns) == 0);
	}
}

static void play(struct game *g, const uint8_t *p, const uint8_t *end)
{
	while (end - p >= 4) {
		switch (*p++ % 4) {
		case 0:
			if (say(g, &p, end))
				return;
			break;
		case 1:
			probe(g, p);
			p += 3;
			break;
		case 2:
			step_until(g, g->now_ns + *p++ * 100 * CLV_MSEC);
			break;
		default:
			wish(g, *p++);
		}
		step_until(g, g->now_ns);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct game g = { .now_ns = 1000 * CLV_SEC };
	struct clv_rand rand;
	struct clv_rounds_params params = {
		.privacy = CLV_PRIVACY_OPEN,
		.rand = &rand,
		.ops = &ops,
		.user = &g,
	};
	struct clv_peer_hello hello;
	uint64_t start_ns = g.now_ns, sec;

	if (size < 1)
		return 0;
	clv_rand_init(&rand, 1);
	params.is_dialler = data[0] & 1;
	CHECK(clv_probe_new(&rand, g.now_ns, &g.peer) == 0);
	CHECK(clv_rounds_new(&params, g.now_ns, &g.rounds) == 0);
	clv_rounds_hello(g.rounds, &hello);
	CHECK(clv_probe_set_peer(g.peer, &hello) == 0);
	give_local(&g, false);
	CHECK(clv_rounds_start(g.rounds) == 0);
	play(&g, data + 1, data + size);
	step_until(&g, g.now_ns + 10 * CLV_SEC);
	/* As much as came, a burst of rounds and of triggered series, and little more each second. */
	sec = (g.now_ns - start_ns) / CLV_SEC;
	CHECK(g.sent_bytes <= 2 * g.came_bytes + 300 * 7 * CLV_PROBE_MIN +
				      sec * 20 * CLV_PROBE_MIN + 100 * 7 * CLV_PROBE_MAX);
	clv_rounds_free(g.rounds);
	clv_probe_free(g.peer);
	return 0;
}
