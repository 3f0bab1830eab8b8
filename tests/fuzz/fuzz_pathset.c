/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fuzz_pathset - the paths of a peer connection, whatever comes and is decided.  The first byte chooses
 * which end and who proves links; then each move is a byte, and what it takes:
 *
 *   0  a packet: link (1), first byte (1), connection ID (1), whether it is genuine (1)
 *   1  a link of the owner's: number (1), added, proven, heard, removed or with another address (1)
 *   2  time: tens of milliseconds (1), and whether an answer is awaited (1)
 *   3  a move: link (1), and whether QUIC refuses it (1)
 */
#include <arpa/inet.h>
#include <string.h>

#include "control/peer/pathset.h"
#include "datapath/base/clock.h"
#include "tests/fuzz/fuzz.h"

enum {
	STEPS_MAX = 4000,
	LINKS = 32, /* more than there is room for */
	SHORT_HEADER = 0x40,
};

struct game {
	struct clv_pathset paths;
	uint64_t now_ns;
	uint32_t highest; /* number of a path that QUIC was told of */
};

static struct clv_peer_link link_of(uint8_t number)
{
	struct clv_peer_link l = { .base = number % 4, .is_relayed = number & 1 };

	l.remote.addr[10] = l.remote.addr[11] = 0xff;
	l.remote.addr[15] = (uint8_t)(number % LINKS + 1);
	l.remote.port = htons(1000);
	return l;
}

static bool is_used(const struct game *g, int link)
{
	return link >= 0 && link < CLV_PATHSET_LINKS_MAX && g->paths.links[link].is_used;
}

/* What has to hold after each move. */
static void check(const struct game *g)
{
	unsigned links[CLV_PATHSET_LINKS_MAX];
	unsigned n = clv_pathset_out(&g->paths, g->paths.current, links);
	struct sockaddr_in6 local, remote;

	CHECK(n <= CLV_PATHSET_LINKS_MAX);
	for (unsigned i = 0; i < n; i++)
		CHECK(is_used(g, (int)links[i]));
	clv_pathset_addresses(&g->paths, g->paths.current, &local, &remote);
	CHECK(clv_pathset_path_of(&remote) == g->paths.current);
	CHECK(memcmp(&local, &remote, sizeof(local)) != 0);
}

static void packet(struct game *g, const uint8_t in[static 4])
{
	struct clv_peer_link from = link_of(in[0]);
	uint8_t bytes[1 + CLV_PATHSET_CID_LEN] = { in[1] ? in[1] : SHORT_HEADER, in[2] };
	int link = clv_pathset_find(&g->paths, from.base, &from.remote);
	uint32_t path = clv_pathset_receive(&g->paths, link, &from, bytes, sizeof(bytes));
	bool is_genuine = in[3] & 1, is_new = path > g->highest;

	CHECK(path > 0);
	if (g->paths.is_dialler)
		CHECK(!is_new);
	link = clv_pathset_taken(&g->paths, is_genuine, g->now_ns);
	CHECK(link == -1 || is_used(g, link));
	if (!is_genuine)
		return;
	if (is_new)
		g->highest = path;
	/* QUIC follows a listener's packets, also back */
	if (!g->paths.is_dialler && in[3] & 2)
		clv_pathset_set_current(&g->paths, path);
}

static void owner(struct game *g, const uint8_t in[static 2])
{
	struct clv_peer_link l = link_of(in[0]), other = link_of((uint8_t)(in[0] + 7));
	int link = clv_pathset_add(&g->paths, &l);

	if (link < 0)
		return;
	CHECK(is_used(g, link));
	switch (in[1] % 5) {
	case 1:
		clv_pathset_validated(&g->paths, (unsigned)link, in[1] * CLV_MSEC, g->now_ns);
		break;
	case 2:
		clv_pathset_heard(&g->paths, (unsigned)link, g->now_ns);
		break;
	case 3:
		clv_pathset_remove(&g->paths, (unsigned)link);
		break;
	case 4:
		if (clv_pathset_find(&g->paths, l.base, &other.remote) < 0)
			clv_pathset_rebind(&g->paths, (unsigned)link, &other.remote);
		break;
	default:
		break;
	}
}

static void move(struct game *g, unsigned link, bool is_refused)
{
	uint32_t path;

	if (!g->paths.is_dialler || !clv_pathset_may_move(&g->paths, g->now_ns))
		return;
	path = clv_pathset_prepare_move(&g->paths, link);
	CHECK(path > g->highest); /* R1 */
	g->highest = path;
	if (is_refused)
		return;
	clv_pathset_moved(&g->paths, link, g->now_ns);
	clv_pathset_set_current(&g->paths, path);
	CHECK(g->paths.current == path);
}

static void step(struct game *g, const uint8_t in[static 2])
{
	struct clv_pathset_order order;

	g->now_ns += in[0] * 10 * CLV_MSEC;
	clv_pathset_step(&g->paths, in[1] & 1, 20 * CLV_MSEC, g->now_ns, &order);
	CHECK(clv_pathset_next_ns(&g->paths) > 0);
	if (order.action != CLV_PATHSET_MOVE)
		return;
	CHECK(g->paths.is_dialler && is_used(g, (int)order.link));
	CHECK(clv_pathset_in_use(&g->paths) != &g->paths.links[order.link]);
	move(g, order.link, in[1] & 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *end = data + len;
	struct clv_peer_link first = link_of(1);
	struct game g = { .now_ns = CLV_SEC, .highest = 1 };
	int link;

	if (!len)
		return 0;
	clv_pathset_init(&g.paths, *data & 1, g.now_ns);
	g.paths.can_ask = *data & 2;
	g.paths.needs_proof = *data & 4;
	clv_pathset_add(&g.paths, &first);
	data++;
	for (unsigned i = 0; i < STEPS_MAX && end - data >= 5; i++, data += 5) {
		switch (data[0] % 4) {
		case 0:
			packet(&g, data + 1);
			break;
		case 1:
			owner(&g, data + 1);
			break;
		case 2:
			step(&g, data + 1);
			break;
		default:
			first = link_of(data[1]);
			link = clv_pathset_find(&g.paths, first.base, &first.remote);
			if (link >= 0 && !g.paths.is_racing)
				move(&g, (unsigned)link, data[2] & 1);
			break;
		}
		check(&g);
	}
	return 0;
}
