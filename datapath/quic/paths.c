/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/quic/paths.h"

#include <netinet/in.h>
#include <string.h>

#include "datapath/base/addr.h"

static bool is_end(const ngtcp2_addr *addr, const struct clv_endpoint *ep)
{
	const struct sockaddr_in6 *sa = (const void *)addr->addr;

	return sa->sin6_port == ep->port && !memcmp(&sa->sin6_addr, ep->addr, sizeof(ep->addr));
}

bool clv_path_is(const ngtcp2_path *path, const struct clv_flow *flow)
{
	return is_end(&path->remote, &flow->remote) && is_end(&path->local, &flow->local);
}

static int find(const struct clv_paths *p, const ngtcp2_path *path)
{
	for (int i = 0; i < CLV_PATHS_MAX; i++)
		if (p->known & 1u << i && clv_path_is(path, &p->flow[i]))
			return i;
	return -1;
}

struct clv_flow *clv_paths_find(struct clv_paths *p, const ngtcp2_path *path)
{
	int i = find(p, path);

	return i < 0 ? NULL : &p->flow[i];
}

/* The place of this 4-tuple, or else the oldest one that no challenge is out on. */
static struct clv_flow *place(struct clv_paths *p, const struct clv_endpoint *local,
			      const struct clv_endpoint *remote)
{
	unsigned i;

	for (i = 0; i < CLV_PATHS_MAX; i++)
		if (p->known & 1u << i && clv_endpoint_equal(&p->flow[i].remote, remote) &&
		    clv_endpoint_equal(&p->flow[i].local, local))
			return &p->flow[i];
	i = p->next;
	if (p->asked == i + 1)
		i = (i + 1) % CLV_PATHS_MAX;
	p->next = (uint8_t)((i + 1) % CLV_PATHS_MAX);
	p->known |= (uint8_t)(1u << i);
	return &p->flow[i];
}

void clv_paths_record(struct clv_paths *p, const struct clv_rx *rx, const struct clv_flow *like)
{
	struct clv_flow *flow;

	if (clv_endpoint_equal(&rx->remote, &like->remote) &&
	    clv_endpoint_equal(&rx->local, &like->local))
		return;
	flow = place(p, &rx->local, &rx->remote);
	*flow = (struct clv_flow){
		.local = rx->local,
		.remote = rx->remote,
		.socket = rx->socket,
		.hop = like->hop,
	};
	clv_rx_answer(rx, &flow->hop);
}

void clv_paths_keep(struct clv_paths *p, const struct clv_flow *flow)
{
	*place(p, &flow->local, &flow->remote) = *flow;
}

void clv_paths_challenge(struct clv_paths *p, const ngtcp2_path *path, bool must_answer)
{
	p->asked = path ? (uint8_t)(find(p, path) + 1) : 0;
	p->validating = must_answer ? p->asked : 0;
}

bool clv_paths_is_validating(const struct clv_paths *p, const struct clv_flow *flow)
{
	return p->validating && flow == &p->flow[p->validating - 1];
}
