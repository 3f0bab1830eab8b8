/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/library/culvert_state.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	SOCKET_BYTES = 4 << 20,
	HANDSHAKES_MAX = 16, /* of those that dial, at a time */
};

/* ---- the socket ---- */

static int open_socket(struct culvert *c)
{
	const struct clv_endpoint any = { .port = 0 };
	int err;

	if (c->peer_fd >= 0)
		return 0;
	err = clv_client_socket_open(c->client, &any, SOCKET_BYTES, &c->peer_local, &c->peer_fd);
	if (err)
		return text_set_why(c, err, "socket for peers: %s", clv_strerror(err));
	direct_open(c);
	return 0;
}

bool nodes_new_remote(struct culvert *c, const struct clv_evt_remote *evt, const uint8_t *payload,
		      size_t len)
{
	const struct clv_peer_link link = { .base = 0, .remote = evt->remote };
	struct node *node;

	if (c->peer_fd < 0 || evt->local.port != c->peer_local.port)
		return false;
	if (direct_take(c, &evt->remote, payload, len))
		return true;
	LIST_FOREACH(node, &c->nodes, link)
		if (clv_peers_receive(node->peers, &link, payload, len, c->now_ns))
			return true;
	return true;
}

/* ---- nodes ---- */

static int make_node(struct culvert *c, const struct identity *id, const char *name,
		     uint32_t peers_max, enum clv_privacy privacy, const struct clv_peers_ops *ops,
		     struct node **out)
{
	struct clv_peers_params p = {
		.cert_pem = id->cert_pem,
		.key_pem = id->text,
		.identity_name = name,
		.peers_max = peers_max,
		.handshakes_max = HANDSHAKES_MAX,
		.rand = &c->rand,
		.ops = ops,
	};
	struct node *node = calloc(1, sizeof(*node));
	char error[256] = "";
	int err;

	if (!node)
		return -ENOMEM;
	node->c = c;
	node->id = id->id;
	node->privacy = privacy;
	p.user = node;
	err = clv_peers_open(&p, &node->peers, error, sizeof(error));
	if (err) {
		free(node);
		return text_set_why(c, err, "%s", error);
	}
	LIST_INSERT_HEAD(&c->nodes, node, link);
	c->direct.look_ns = 0; /* what may not have been looked at for long */
	direct_give(node);
	*out = node;
	return 0;
}

static enum clv_privacy to_privacy(enum culvert_privacy privacy)
{
	switch (privacy) {
	case CULVERT_PRIVACY_RELAY_ONLY:
		return CLV_PRIVACY_RELAY_ONLY;
	case CULVERT_PRIVACY_OPEN:
		return CLV_PRIVACY_OPEN;
	default:
		return CLV_PRIVACY_REFLEXIVE;
	}
}

int node_open(struct culvert *c, const char *identity, uint32_t peers_max,
	      enum culvert_privacy privacy, const struct clv_peers_ops *ops, struct node **out)
{
	struct identity id = { 0 };
	struct node *node;
	int err;

	if (!identity)
		return text_set_why(c, CULVERT_ESYNTAX, "an identity is required");
	err = identity_load(c, identity, &id);
	if (!err)
		err = open_socket(c);
	if (err)
		goto out;
	LIST_FOREACH(node, &c->nodes, link)
		if (!memcmp(&node->id, &id.id, sizeof(id.id)))
			break;
	if (!node)
		err = make_node(c, &id, identity, peers_max, to_privacy(privacy), ops, &node);
	if (err)
		goto out;
	node->users++;
	if (to_privacy(privacy) < node->privacy) {
		node->privacy = to_privacy(privacy);
		direct_give(node);
	}
	*out = node;
out:
	identity_free(&id);
	return err;
}

void node_close(struct node *node)
{
	node->users--; /* a step frees it when its last packets are out */
}

static void free_node(struct node *node)
{
	LIST_REMOVE(node, link);
	clv_peers_close(node->peers);
	free(node);
}

void nodes_step(struct culvert *c)
{
	struct node *node, *next;

	for (node = LIST_FIRST(&c->nodes); node; node = next) {
		next = LIST_NEXT(node, link);
		clv_peers_step(node->peers, c->now_ns);
		if (!node->users && clv_peers_are_idle(node->peers))
			free_node(node);
	}
}

uint64_t nodes_next_ns(const struct culvert *c)
{
	uint64_t at_ns = UINT64_MAX;
	const struct node *node;

	LIST_FOREACH(node, &c->nodes, link)
		if (clv_peers_next_ns(node->peers) < at_ns)
			at_ns = clv_peers_next_ns(node->peers);
	return at_ns;
}

void nodes_fini(struct culvert *c)
{
	nodes_step(c);
	while (!LIST_EMPTY(&c->nodes))
		free_node(LIST_FIRST(&c->nodes));
}
