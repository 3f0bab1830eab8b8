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
	return err ? text_set_why(c, err, "socket for peers: %s", clv_strerror(err)) : 0;
}

bool nodes_new_remote(struct culvert *c, const struct clv_evt_remote *evt, const uint8_t *payload,
		      size_t len)
{
	const struct clv_peer_link link = { .base = 0, .remote = evt->remote };
	struct node *node;

	if (c->peer_fd < 0 || evt->local.port != c->peer_local.port)
		return false;
	LIST_FOREACH(node, &c->nodes, link)
		if (clv_peers_receive(node->peers, &link, payload, len, c->now_ns))
			return true;
	return true;
}

/* ---- nodes ---- */

static int make_node(struct culvert *c, const struct identity *id, const char *name,
		     uint32_t peers_max, const struct clv_peers_ops *ops, struct node **out)
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
	p.user = node;
	err = clv_peers_open(&p, &node->peers, error, sizeof(error));
	if (err) {
		free(node);
		return text_set_why(c, err, "%s", error);
	}
	LIST_INSERT_HEAD(&c->nodes, node, link);
	*out = node;
	return 0;
}

int node_open(struct culvert *c, const char *identity, uint32_t peers_max,
	      const struct clv_peers_ops *ops, struct node **out)
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
		err = make_node(c, &id, identity, peers_max, ops, &node);
	if (err)
		goto out;
	node->users++;
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
