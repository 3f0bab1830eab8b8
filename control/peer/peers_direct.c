/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/peers_state.h"

#include <string.h>

#include "datapath/base/err.h"

/* ---- what direct wants ---- */

static void on_send(void *user, const struct clv_peer_link *link, const uint8_t *packet, size_t len)
{
	struct clv_peer *peer = user;

	peer->ps->p.ops->send(peer->ps->p.user, link, packet, len);
}

static int on_cid_added(void *user, const uint8_t cid[static CLV_PROBE_CID_LEN])
{
	struct clv_peer *peer = user;

	if (clv_table_find(&peer->ps->probes, cid, NULL) ||
	    clv_table_insert(&peer->ps->probes, cid, (uintptr_t)peer))
		return CLV_EFULL;
	return 0;
}

static void on_cid_removed(void *user, const uint8_t cid[static CLV_PROBE_CID_LEN])
{
	clv_table_remove(&((struct clv_peer *)user)->ps->probes, cid);
}

/* ---- one peer ---- */

void peers_direct_open(struct clv_peer *peer)
{
	struct clv_peers *ps = peer->ps;
	const struct clv_direct_params p = {
		.is_dialler = peer->is_dialler,
		.local = &ps->local,
		.rand = ps->p.rand,
		.send = on_send,
		.cid_added = on_cid_added,
		.cid_removed = on_cid_removed,
		.user = peer,
	};

	if (ps->has_local && clv_direct_new(&p, ps->now_ns, &peer->direct) == 0) {
		clv_direct_fill_hello(peer->direct, &peer->hello);
		return;
	}
	peer->hello = (struct clv_peer_hello){
		.version = CLV_PEER_VERSION,
		.version_min = CLV_PEER_VERSION,
	};
	/* nobody is told to probe it: no dialect is offered */
	clv_rand_bytes(ps->p.rand, peer->hello.probe_cid, sizeof(peer->hello.probe_cid));
	clv_rand_bytes(ps->p.rand, peer->hello.probe_key, sizeof(peer->hello.probe_key));
}

void peers_direct_close(struct clv_peer *peer)
{
	clv_direct_free(peer->direct);
	peer->direct = NULL;
	explicit_bzero(&peer->hello, sizeof(peer->hello));
}

const struct clv_peer_hello *peers_direct_hello(struct clv_peer *peer)
{
	if (peer->direct)
		clv_direct_fill_hello(peer->direct, &peer->hello);
	return &peer->hello;
}

void peers_direct_up(struct clv_peer *peer, struct peers_conn *c,
		     const struct clv_peer_hello *hello)
{
	struct clv_peerconn_info info;

	if (!peer->direct)
		return;
	clv_peerconn_info(c->pc, &info);
	clv_direct_set_conn(peer->direct, c->pc);
	clv_direct_up(peer->direct, hello, &info.link, peer->ps->now_ns);
	for (size_t i = 0; i < peer->links_len; i++)
		clv_direct_give(peer->direct, &peer->links[i], peer->ps->now_ns);
}

void peers_direct_stop(struct clv_peer *peer)
{
	clv_direct_stop(peer->direct);
}

int peers_direct_capsule(struct clv_peer *peer, const struct clv_peer_capsule *capsule)
{
	/* By it a listener knows the peer again; keys change now and then. */
	if (capsule->type == CLV_PEER_HELLO)
		memcpy(peer->probe_cid, capsule->hello.probe_cid, sizeof(peer->probe_cid));
	return peer->direct ? clv_direct_capsule(peer->direct, capsule, peer->ps->now_ns) : 0;
}

/* ---- all ---- */

bool peers_direct_receive(struct clv_peers *ps, const struct clv_peer_link *link,
			  const uint8_t *cid, const uint8_t *packet, size_t len)
{
	struct clv_peer *peer;
	uint64_t found;

	if (!clv_table_find(&ps->probes, cid, &found))
		return false;
	peer = (struct clv_peer *)(uintptr_t)found;
	return clv_direct_receive(peer->direct, link, packet, len, ps->now_ns);
}

void peers_direct_step(struct clv_peers *ps)
{
	struct clv_peer *peer;

	LIST_FOREACH(peer, &ps->peers, link)
		if (peer->direct && clv_direct_next_ns(peer->direct) <= ps->now_ns)
			clv_direct_step(peer->direct, ps->now_ns);
}

uint64_t peers_direct_next_ns(const struct clv_peers *ps)
{
	const struct clv_peer *peer;
	uint64_t at_ns = UINT64_MAX;

	LIST_FOREACH(peer, &ps->peers, link)
		if (peer->direct && clv_direct_next_ns(peer->direct) < at_ns)
			at_ns = clv_direct_next_ns(peer->direct);
	return at_ns;
}

void clv_peers_set_local(struct clv_peers *ps, const struct clv_direct_local *local,
			 uint64_t now_ns)
{
	struct clv_peer *peer;

	ps->now_ns = now_ns;
	ps->has_local = true;
	ps->local = *local;
	LIST_FOREACH(peer, &ps->peers, link)
		if (peer->direct)
			clv_direct_set_local(peer->direct, local, now_ns);
}
