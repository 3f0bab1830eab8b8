/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/peers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/peer/peers_state.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

enum {
	HANDSHAKES_PER_SOURCE = 4,
	LONG_HEADER = 0x80,
	LONG_TYPE = 0x30, /* bits of it; 0: Initial */
	DCID_AT = 5,	  /* length of the ID in a long header */
};

#define STUCK_NS   (3 * CLV_SEC) /* a dialler then makes another connection */
#define SILENT_NS  (2 * CLV_SEC) /* a listener then believes that it did */
#define REPLACE_NS (7 * CLV_SEC) /* how long that may take */

/* ---- ends ---- */

static void end_handshake(struct peers_conn *c)
{
	if (c->is_handshake)
		c->ps->handshakes--;
	c->is_handshake = false;
}

static void free_conn(struct peers_conn *c)
{
	end_handshake(c);
	LIST_REMOVE(c, link);
	c->ps->conns_len--;
	while (c->cids_len)
		clv_table_remove(&c->ps->cids, c->cids[--c->cids_len]);
	clv_peerconn_free(c->pc);
	free(c);
}

static void free_peer(struct clv_peer *peer)
{
	if (peer->conn)
		peer->conn->peer = NULL;
	if (peer->next)
		peer->next->peer = NULL;
	LIST_REMOVE(peer, link);
	peer->ps->peers_len--;
	peers_direct_close(peer);
	free(peer);
}

/* Say goodbye on a connection, which then is nobody's. */
static void let_go(struct peers_conn *c, enum clv_peerconn_code code)
{
	if (!c)
		return;
	c->peer = NULL;
	clv_peerconn_close(c->pc, code);
}

static void peer_down(struct clv_peer *peer, const struct clv_peerconn_end *end)
{
	const struct clv_peerconn_end copy = *end;

	peer->ps->p.ops->down(peer->ps->p.user, peer, &copy);
	free_peer(peer);
}

/* ---- what connections report ---- */

static void on_send(void *user, const struct clv_peer_link *link, const uint8_t *packet, size_t len)
{
	struct peers_conn *c = user;

	c->ps->p.ops->send(c->ps->p.user, link, packet, len);
}

static int on_cid_added(void *user, const uint8_t cid[static CLV_PATHSET_CID_LEN])
{
	struct peers_conn *c = user;

	if (c->cids_len == CIDS_PER_CONN || clv_table_find(&c->ps->cids, cid, NULL) ||
	    clv_table_insert(&c->ps->cids, cid, (uintptr_t)c))
		return CLV_EFULL;
	memcpy(c->cids[c->cids_len++], cid, CLV_PATHSET_CID_LEN);
	return 0;
}

static void on_cid_removed(void *user, const uint8_t cid[static CLV_PATHSET_CID_LEN])
{
	struct peers_conn *c = user;

	for (unsigned i = 0; i < c->cids_len; i++) {
		if (memcmp(c->cids[i], cid, CLV_PATHSET_CID_LEN) != 0)
			continue;
		clv_table_remove(&c->ps->cids, cid);
		memcpy(c->cids[i], c->cids[--c->cids_len], CLV_PATHSET_CID_LEN);
		return;
	}
}

/* The peer that makes another connection, as it has lost the one before; NULL: it is another. */
static struct clv_peer *find_again(struct clv_peers *ps, const uint8_t key[static 32],
				   const struct clv_peer_hello *hello)
{
	struct clv_peer *peer;

	LIST_FOREACH(peer, &ps->peers, link)
		if (!peer->is_dialler && peer->is_accepted && !peer->next &&
		    !memcmp(peer->id.bytes, key, sizeof(peer->id.bytes)) &&
		    !memcmp(peer->probe_cid, hello->probe_cid, sizeof(peer->probe_cid)))
			return peer;
	return NULL;
}

static void proven_to_listener(struct peers_conn *c, const uint8_t key[static 32],
			       const struct clv_peer_hello *hello)
{
	struct clv_peers *ps = c->ps;
	struct clv_peer *peer = find_again(ps, key, hello);

	end_handshake(c);
	if (peer) {
		peer->next = c;
		c->peer = peer;
		clv_peerconn_accept_peer(c->pc, peers_direct_hello(peer));
		return;
	}
	peer = ps->peers_len < ps->p.peers_max ? calloc(1, sizeof(*peer)) : NULL;
	if (!peer) {
		ps->stats.refused++;
		clv_peerconn_close(c->pc, CLV_PEERCONN_BUSY);
		return;
	}
	peer->ps = ps;
	peer->conn = c;
	memcpy(peer->id.bytes, key, sizeof(peer->id.bytes));
	memcpy(peer->probe_cid, hello->probe_cid, sizeof(peer->probe_cid));
	peers_direct_open(peer);
	c->peer = peer;
	LIST_INSERT_HEAD(&ps->peers, peer, link);
	ps->peers_len++;
	ps->p.ops->incoming(ps->p.user, peer);
}

static void on_proven(void *user, const uint8_t key[static 32], const struct clv_peer_hello *hello)
{
	struct peers_conn *c = user;

	if (!c->peer)
		proven_to_listener(c, key, hello);
}

static void on_up(void *user, const struct clv_peer_hello *hello)
{
	struct peers_conn *c = user;
	struct clv_peer *peer = c->peer;

	(void)hello;
	if (!peer)
		return;
	if (peer->next == c) {
		let_go(peer->conn, CLV_PEERCONN_REPLACED);
		peer->conn = c;
		peer->next = NULL;
		c->ps->stats.replaced++;
	}
	peers_direct_up(peer, c, hello);
	if (peer->is_up)
		return;
	peer->is_up = true;
	peer->ps->p.ops->up(peer->ps->p.user, peer);
}

static void on_moved(void *user, const struct clv_peerconn_move *move)
{
	struct peers_conn *c = user;

	if (c->peer && c->peer->conn == c)
		c->ps->p.ops->moved(c->ps->p.user, c->peer, move);
}

static void on_datagram(void *user, uint64_t flow, const uint8_t *data, size_t len)
{
	struct peers_conn *c = user;

	if (c->peer && c->peer->is_up)
		c->ps->p.ops->datagram(c->ps->p.user, c->peer, flow, data, len);
}

static int on_capsule(void *user, const struct clv_peer_capsule *capsule)
{
	struct peers_conn *c = user;

	return c->peer && c->peer->conn == c ? peers_direct_capsule(c->peer, capsule) : 0;
}

static void on_ask(void *user, const struct clv_peer_link *link)
{
	struct peers_conn *c = user;

	if (c->peer && c->peer->conn == c && c->peer->direct)
		clv_direct_ask(c->peer->direct, link, c->ps->now_ns);
}

static void on_down(void *user, const struct clv_peerconn_end *end)
{
	struct peers_conn *c = user;
	struct clv_peer *peer = c->peer;

	if (!peer) {
		c->ps->stats.failed += c->is_handshake;
		return;
	}
	c->peer = NULL;
	if (peer->next == c) {
		peer->next = NULL;
		if (!peer->conn)
			peer_down(peer, &peer->end);
		return;
	}
	peer->conn = NULL;
	peers_direct_stop(peer);
	/* What the peer wants ends it; a silence may be over with the connection that is on its way. */
	if (peer->next &&
	    (!end->is_remote || (end->is_app && end->code == CLV_PEERCONN_REPLACED))) {
		peer->end = *end;
		return;
	}
	let_go(peer->next, CLV_PEERCONN_NO_ERROR);
	peer->next = NULL;
	peer_down(peer, end);
}

#define CONN_OPS                                                                                   \
	.send = on_send, .cid_added = on_cid_added, .cid_removed = on_cid_removed,                 \
	.proven = on_proven, .up = on_up, .moved = on_moved, .datagram = on_datagram,              \
	.capsule = on_capsule, .down = on_down

static const struct clv_peerconn_ops conn_ops = { CONN_OPS };
static const struct clv_peerconn_ops probing_conn_ops = { CONN_OPS, .ask = on_ask };

/* ---- life ---- */

int clv_peers_open(const struct clv_peers_params *p, struct clv_peers **out, char *error,
		   size_t error_len)
{
	struct clv_tls_peer_params tp = {
		.cert_pem = p->cert_pem,
		.key_pem = p->key_pem,
		.identity_name = p->identity_name,
	};
	struct clv_peers *ps = calloc(1, sizeof(*ps));
	uint64_t seed[2];
	int err;

	if (!ps)
		return -ENOMEM;
	ps->p = *p;
	ps->p.cert_pem = ps->p.key_pem = ps->p.identity_name = NULL; /* secret, and only lent */
	clv_rand_bytes(p->rand, seed, sizeof(seed));
	/* each peer may have a second connection for a while */
	err = clv_table_init(&ps->cids, CLV_PATHSET_CID_LEN,
			     (size_t)(2 * p->peers_max + p->handshakes_max) * CIDS_PER_CONN, seed);
	if (!err)
		err = clv_table_init(&ps->probes, CLV_PROBE_CID_LEN,
				     (size_t)p->peers_max * PROBE_CIDS_PER_PEER, seed);
	if (err) {
		clv_peers_close(ps);
		return err;
	}
	err = clv_tls_peer_context(&tp, &ps->dial_tls, error, error_len);
	tp.is_server = true;
	if (!err)
		err = clv_tls_peer_context(&tp, &ps->listen_tls, error, error_len);
	if (err) {
		clv_peers_close(ps);
		return err;
	}
	*out = ps;
	return 0;
}

void clv_peers_close(struct clv_peers *ps)
{
	if (!ps)
		return;
	while (!LIST_EMPTY(&ps->peers))
		free_peer(LIST_FIRST(&ps->peers));
	while (!LIST_EMPTY(&ps->conns))
		free_conn(LIST_FIRST(&ps->conns));
	clv_table_fini(&ps->cids);
	clv_table_fini(&ps->probes);
	clv_tls_context_free(ps->dial_tls);
	clv_tls_context_free(ps->listen_tls);
	free(ps);
}

void clv_peers_listen(struct clv_peers *ps, bool listens)
{
	ps->listens = listens;
}

/* Put an ID in front of everything that a connection reports. */
static struct peers_conn *new_conn(struct clv_peers *ps, struct clv_peer *peer)
{
	struct peers_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->ps = ps;
	c->peer = peer;
	LIST_INSERT_HEAD(&ps->conns, c, link);
	ps->conns_len++;
	return c;
}

static struct clv_peerconn_params params_of(struct clv_peers *ps, struct peers_conn *c)
{
	struct clv_peerconn_params p = {
		.rand = ps->p.rand,
		.ops = ps->has_local ? &probing_conn_ops : &conn_ops,
		.needs_proof = ps->has_local,
		.user = c,
		.now_ns = ps->now_ns,
	};

	return p;
}

/* Returns 0 and fills *out with a connection that is on its way. */
static int dial(struct clv_peer *peer, uint64_t handshake_ns, struct peers_conn **out)
{
	struct clv_peers *ps = peer->ps;
	struct peers_conn *c = new_conn(ps, peer);
	struct clv_peerconn_params p;
	int err;

	if (!c)
		return -ENOMEM;
	p = params_of(ps, c);
	p.tls = ps->dial_tls;
	p.key = peer->id.bytes;
	p.hello = *peers_direct_hello(peer);
	p.handshake_ns = handshake_ns;
	err = clv_peerconn_dial(&p, peer->links, peer->links_len, &c->pc);
	explicit_bzero(&p, sizeof(p));
	if (err) {
		free_conn(c);
		return err;
	}
	*out = c;
	return 0;
}

int clv_peers_dial(struct clv_peers *ps, const struct clv_identity *id,
		   const struct clv_peer_link *links, size_t links_len, void *user, uint64_t now_ns,
		   struct clv_peer **out)
{
	struct clv_peer *peer;
	int err;

	if (ps->peers_len >= ps->p.peers_max)
		return CLV_EFULL;
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return -ENOMEM;
	ps->now_ns = now_ns;
	peer->ps = ps;
	peer->id = *id;
	peer->is_dialler = peer->is_accepted = true;
	peer->user = user;
	peers_direct_open(peer);
	for (size_t i = 0; i < links_len && i < CLV_PATHSET_LINKS_MAX; i++)
		peer->links[peer->links_len++] = links[i];
	err = dial(peer, 0, &peer->conn);
	if (err) {
		peers_direct_close(peer);
		free(peer);
		return err;
	}
	LIST_INSERT_HEAD(&ps->peers, peer, link);
	ps->peers_len++;
	*out = peer;
	return 0;
}

/* ---- packets ---- */

/* The destination connection ID; NULL: it has none of our length. */
static const uint8_t *cid_of(const uint8_t *packet, size_t len)
{
	if (len < 1 + CLV_PATHSET_CID_LEN)
		return NULL;
	if (!(packet[0] & LONG_HEADER))
		return packet + 1;
	if (len < DCID_AT + 1 + CLV_PATHSET_CID_LEN || packet[DCID_AT] != CLV_PATHSET_CID_LEN)
		return NULL;
	return packet + DCID_AT + 1;
}

/* Whether one source address has as many handshakes under way as it may. */
static bool is_source_full(const struct clv_peers *ps, const uint8_t source[static 16])
{
	const struct peers_conn *c;
	unsigned n = 0;

	LIST_FOREACH(c, &ps->conns, link)
		n += c->is_handshake && !memcmp(c->source, source, sizeof(c->source));
	return n >= HANDSHAKES_PER_SOURCE;
}

static struct peers_conn *accept_conn(struct clv_peers *ps, const struct clv_peer_link *link,
				      const uint8_t *packet, size_t len)
{
	struct clv_peerconn_params p;
	struct peers_conn *c;

	/* A stranger who knows our own address is not told that anybody is here. */
	if (!ps->listens || !link->is_relayed || !(packet[0] & LONG_HEADER) ||
	    packet[0] & LONG_TYPE) {
		ps->stats.unknown++;
		return NULL;
	}
	if (ps->handshakes >= ps->p.handshakes_max ||
	    ps->conns_len >= 2 * ps->p.peers_max + ps->p.handshakes_max ||
	    is_source_full(ps, link->remote.addr)) {
		ps->stats.refused++;
		return NULL;
	}
	c = new_conn(ps, NULL);
	if (!c)
		return NULL;
	p = params_of(ps, c);
	p.tls = ps->listen_tls;
	if (clv_peerconn_accept(&p, link, packet, len, &c->pc)) {
		ps->stats.unknown++;
		free_conn(c);
		c = NULL;
	} else {
		c->is_handshake = true;
		memcpy(c->source, link->remote.addr, sizeof(c->source));
		ps->handshakes++;
	}
	return c;
}

/* Send what a connection has to send, and free it if that was the last. */
static void finish(struct peers_conn *c, uint64_t now_ns)
{
	clv_peerconn_flush(c->pc, now_ns);
	if (clv_peerconn_is_over(c->pc))
		free_conn(c);
}

bool clv_peers_receive(struct clv_peers *ps, const struct clv_peer_link *link,
		       const uint8_t *packet, size_t len, uint64_t now_ns)
{
	const uint8_t *cid = cid_of(packet, len);
	struct peers_conn *c = NULL;
	uint64_t found;

	ps->now_ns = now_ns;
	if (!cid) {
		ps->stats.unknown++;
		return false;
	}
	if (clv_table_find(&ps->cids, cid, &found))
		c = (struct peers_conn *)(uintptr_t)found;
	else if (peers_direct_receive(ps, link, cid, packet, len))
		return true;
	else
		c = accept_conn(ps, link, packet, len);
	if (!c)
		return false;
	clv_peerconn_receive(c->pc, link, packet, len, now_ns);
	finish(c, now_ns);
	return true;
}

/* ---- timers ---- */

/* A peer that does not answer: race another handshake, under the same peer. */
static void dial_again(struct clv_peer *peer)
{
	if (!peer->is_dialler || !peer->is_up || !peer->conn || peer->next ||
	    clv_peerconn_silence_ns(peer->conn->pc, peer->ps->now_ns) < STUCK_NS)
		return;
	if (dial(peer, REPLACE_NS, &peer->next))
		peer->next = NULL; /* the connection has its own end */
}

void clv_peers_step(struct clv_peers *ps, uint64_t now_ns)
{
	struct peers_conn *c, *next;
	struct clv_peer *peer;

	ps->now_ns = now_ns;
	LIST_FOREACH(peer, &ps->peers, link)
		dial_again(peer);
	peers_direct_step(ps);
	for (c = LIST_FIRST(&ps->conns); c; c = next) {
		next = LIST_NEXT(c, link);
		if (clv_peerconn_next_ns(c->pc) <= now_ns)
			clv_peerconn_step(c->pc, now_ns);
		finish(c, now_ns);
	}
}

uint64_t clv_peers_next_ns(const struct clv_peers *ps)
{
	uint64_t at_ns = peers_direct_next_ns(ps);
	const struct peers_conn *c;

	LIST_FOREACH(c, &ps->conns, link)
		if (clv_peerconn_next_ns(c->pc) < at_ns)
			at_ns = clv_peerconn_next_ns(c->pc);
	return at_ns;
}

bool clv_peers_are_idle(const struct clv_peers *ps)
{
	return LIST_EMPTY(&ps->conns);
}

const struct clv_peers_stats *clv_peers_stats(const struct clv_peers *ps)
{
	return &ps->stats;
}

/* ---- one peer ---- */

void clv_peer_set_user(struct clv_peer *peer, void *user)
{
	peer->user = user;
}

void *clv_peer_user(const struct clv_peer *peer)
{
	return peer->user;
}

const struct clv_identity *clv_peer_id(const struct clv_peer *peer)
{
	return &peer->id;
}

void clv_peer_accept(struct clv_peer *peer)
{
	peer->is_accepted = true;
	if (peer->conn)
		clv_peerconn_accept_peer(peer->conn->pc, peers_direct_hello(peer));
}

void clv_peer_close(struct clv_peer *peer, enum clv_peerconn_code code)
{
	let_go(peer->conn, code);
	let_go(peer->next, code);
	free_peer(peer);
}

int clv_peer_send(struct clv_peer *peer, uint64_t flow, const void *data, size_t len)
{
	return peer->conn ? clv_peerconn_send(peer->conn->pc, flow, data, len) : -EAGAIN;
}

void clv_peer_info(const struct clv_peer *peer, struct clv_peerconn_info *out)
{
	if (peer->conn)
		clv_peerconn_info(peer->conn->pc, out);
	else
		*out = (struct clv_peerconn_info){ .is_dialler = peer->is_dialler };
}

const struct clv_direct *clv_peer_direct(const struct clv_peer *peer)
{
	return peer->direct;
}

int clv_peer_link_add(struct clv_peer *peer, const struct clv_peer_link *link)
{
	if (peer->is_dialler && peer->links_len < CLV_PATHSET_LINKS_MAX)
		peer->links[peer->links_len++] = *link;
	return peer->conn ? clv_peerconn_link_add(peer->conn->pc, link) : 0;
}

void clv_peer_link_validated(struct clv_peer *peer, const struct clv_peer_link *link,
			     uint64_t rtt_ns, uint64_t now_ns)
{
	if (peer->conn)
		clv_peerconn_link_validated(peer->conn->pc, link, rtt_ns, now_ns);
}

void clv_peer_link_remove(struct clv_peer *peer, const struct clv_peer_link *link)
{
	for (size_t i = 0; i < peer->links_len; i++) {
		if (memcmp(&peer->links[i].remote, &link->remote, sizeof(link->remote)) != 0 ||
		    peer->links[i].base != link->base)
			continue;
		peer->links[i] = peer->links[--peer->links_len];
		break;
	}
	if (peer->conn)
		clv_peerconn_link_remove(peer->conn->pc, link);
}
