/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/egress.h"

#include "datapath/base/err.h"
#include "datapath/base/rand.h"
#include "datapath/base/table.h"
#include "datapath/io/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	/* Ports of other programs skipped in one search; after so many the range counts as full. */
	FOREIGN_MAX = 1024,
	/* Shared ports that have the remote already, skipped in one search. */
	SHARED_MAX = 1024,
	TUPLES_FIRST = 1024, /* doubled as needed */
};

struct port {
	int fd;		 /* -1: not ours */
	uint32_t users;	 /* tunnels that have it */
	uint32_t shared; /* 1 + its place in the range's list of shared ones; 0: not there */
	void *owner;
};

/* The port range on one local address. */
struct range {
	uint8_t addr[16];
	uint32_t used;
	struct port *ports;
	uint32_t *shared, shared_len; /* numbers of ports that may be shared */
};

struct clv_egress_pool {
	uint16_t min;
	uint32_t ports; /* in the range */
	uint32_t mark;
	int filter_fd; /* of sockets that reserve; -1: none */
	struct clv_rand rand;
	struct range ranges[CLV_EGRESS_ADDRS_MAX];
	unsigned ranges_len;
	struct clv_table tuples; /* struct clv_tuple of each use of a shared port */
};

int clv_egress_open(uint16_t min, uint16_t max, struct clv_egress_pool **out)
{
	struct clv_egress_pool *pool;
	uint64_t seed[2];

	if (!min || max < min)
		return CLV_ERANGE;
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return -ENOMEM;
	pool->min = min;
	pool->filter_fd = -1;
	pool->ports = (uint32_t)max - min + 1;
	clv_rand_init(&pool->rand, 0);
	clv_rand_bytes(&pool->rand, seed, sizeof(seed));
	if (clv_table_init(&pool->tuples, sizeof(struct clv_tuple), TUPLES_FIRST, seed)) {
		free(pool);
		return -ENOMEM;
	}
	*out = pool;
	return 0;
}

void clv_egress_set_mark(struct clv_egress_pool *pool, uint32_t mark)
{
	pool->mark = mark;
}

void clv_egress_close(struct clv_egress_pool *pool)
{
	uint32_t i;

	if (!pool)
		return;
	while (pool->ranges_len) {
		struct range *r = &pool->ranges[--pool->ranges_len];

		for (i = 0; r->used && i < pool->ports; i++) {
			if (r->ports[i].fd < 0)
				continue;
			close(r->ports[i].fd);
			r->used--;
		}
		free(r->ports);
		free(r->shared);
	}
	clv_table_fini(&pool->tuples);
	free(pool);
}

void clv_egress_set_filter(struct clv_egress_pool *pool, int fd)
{
	pool->filter_fd = fd;
}

static struct range *find_range(struct clv_egress_pool *pool, const uint8_t addr[static 16])
{
	unsigned i;

	for (i = 0; i < pool->ranges_len; i++)
		if (memcmp(pool->ranges[i].addr, addr, sizeof(pool->ranges[i].addr)) == 0)
			return &pool->ranges[i];
	return NULL;
}

/* Make a range for an address, reusing an unused one when all are taken: addresses come and go. */
static struct range *new_range(struct clv_egress_pool *pool, const uint8_t addr[static 16])
{
	struct range *r = NULL;
	unsigned i;

	for (i = 0; i < pool->ranges_len && !r; i++)
		if (!pool->ranges[i].used && pool->ranges_len == CLV_EGRESS_ADDRS_MAX)
			r = &pool->ranges[i];
	if (!r) {
		if (pool->ranges_len == CLV_EGRESS_ADDRS_MAX)
			return NULL;
		r = &pool->ranges[pool->ranges_len];
		*r = (struct range){
			.ports = calloc(pool->ports, sizeof(*r->ports)),
			.shared = calloc(pool->ports, sizeof(*r->shared)),
		};
		if (!r->ports || !r->shared) {
			free(r->ports);
			free(r->shared);
			return NULL;
		}
		for (i = 0; i < pool->ports; i++)
			r->ports[i].fd = -1;
		pool->ranges_len++;
	}
	memcpy(r->addr, addr, sizeof(r->addr));
	return r;
}

static int bind_port(const struct clv_egress_pool *pool, const struct clv_endpoint *local,
		     bool is_reserved, int *fd)
{
	const struct clv_sock_bind_params params = { .local = *local, .mark = pool->mark };

	return is_reserved ? clv_sock_reserve(local, pool->filter_fd, fd, NULL)
			   : clv_sock_bind_udp(&params, fd, NULL);
}

static struct clv_endpoint endpoint_of(const struct clv_egress_pool *pool, const struct range *r,
				       uint32_t i)
{
	struct clv_endpoint local = { .port = htons((uint16_t)(pool->min + i)) };

	memcpy(local.addr, r->addr, sizeof(local.addr));
	return local;
}

/* ---- ports that are shared ---- */

static void list_shared(struct range *r, uint32_t i)
{
	r->shared[r->shared_len++] = i;
	r->ports[i].shared = r->shared_len;
}

static void unlist_shared(struct range *r, uint32_t i)
{
	uint32_t at = r->ports[i].shared, last = r->shared[--r->shared_len];

	r->shared[at - 1] = last;
	r->ports[last].shared = at;
	r->ports[i].shared = 0;
}

/* Note that a tunnel to remote has a port.  Returns 0 or -ENOMEM. */
static int add_tuple(struct clv_egress_pool *pool, const struct clv_tuple *tuple)
{
	if (pool->tuples.count == pool->tuples.limit &&
	    clv_table_grow(&pool->tuples, 2 * pool->tuples.limit))
		return -ENOMEM;
	return clv_table_insert(&pool->tuples, tuple, 1);
}

/* A port that other tunnels have, and none to this remote. */
static int take_shared(struct clv_egress_pool *pool, struct range *r,
		       const struct clv_endpoint *remote, struct clv_egress *out)
{
	struct clv_tuple tuple = { .remote = *remote };
	uint32_t start, k, i;
	int err;

	if (!r->shared_len)
		return CLV_EFULL;
	start = (uint32_t)(clv_rand_u64(&pool->rand) % r->shared_len);
	for (k = 0; k < r->shared_len && k < SHARED_MAX; k++) {
		i = r->shared[(start + k) % r->shared_len];
		tuple.local = endpoint_of(pool, r, i);
		if (clv_table_find(&pool->tuples, &tuple, NULL))
			continue;
		err = add_tuple(pool, &tuple);
		if (err)
			return err;
		r->ports[i].users++;
		*out = (struct clv_egress){
			.local = tuple.local,
			.remote = *remote,
			.fd = r->ports[i].fd,
		};
		return 0;
	}
	return CLV_EFULL;
}

/* ---- ports that nobody has ---- */

/* remote: NULL when the port is not to be shared. */
static int take_new(struct clv_egress_pool *pool, struct range *r, bool is_reserved,
		    const struct clv_endpoint *remote, void *owner, struct clv_egress *out)
{
	struct clv_tuple tuple = { .remote.port = 0 };
	unsigned foreign = 0;
	uint32_t i, k, start;
	int err, fd;

	if (r->used == pool->ports)
		return CLV_EFULL;
	if (remote)
		tuple.remote = *remote;
	start = (uint32_t)(clv_rand_u64(&pool->rand) % pool->ports);
	for (k = 0; k < pool->ports; k++) {
		i = (start + k) % pool->ports;
		if (r->ports[i].fd >= 0)
			continue;
		tuple.local = endpoint_of(pool, r, i);
		err = bind_port(pool, &tuple.local, is_reserved, &fd);
		if (err == -EADDRINUSE && ++foreign < FOREIGN_MAX)
			continue;
		if (err)
			return err == -EADDRINUSE ? CLV_EFULL : err;
		err = remote ? add_tuple(pool, &tuple) : 0;
		if (err) {
			close(fd);
			return err;
		}
		r->ports[i] = (struct port){ .fd = fd, .users = 1, .owner = owner };
		r->used++;
		if (remote)
			list_shared(r, i);
		*out = (struct clv_egress){
			.local = tuple.local,
			.remote = tuple.remote,
			.fd = fd,
			.is_new = true,
		};
		return 0;
	}
	return CLV_EFULL;
}

int clv_egress_take(struct clv_egress_pool *pool, const uint8_t source[static 16], bool is_reserved,
		    const struct clv_egress_wish *wish, struct clv_egress *out)
{
	const struct clv_endpoint *remote = is_reserved ? wish->remote : NULL;
	struct range *r = find_range(pool, source);
	bool new_first;
	int err = CLV_EFULL;

	if (!r)
		r = new_range(pool, source);
	if (!r)
		return CLV_EFULL;
	new_first = !remote || r->shared_len < pool->ports / 2;
	if (new_first && !wish->no_new)
		err = take_new(pool, r, is_reserved, remote, wish->owner, out);
	if (err == CLV_EFULL && remote)
		err = take_shared(pool, r, remote, out);
	if (err == CLV_EFULL && !new_first && !wish->no_new)
		err = take_new(pool, r, is_reserved, remote, wish->owner, out);
	return err;
}

bool clv_egress_give(struct clv_egress_pool *pool, struct clv_egress *egress, void **owner)
{
	const struct clv_tuple tuple = { .local = egress->local, .remote = egress->remote };
	struct range *r = find_range(pool, egress->local.addr);
	uint32_t port = ntohs(egress->local.port), i = port - pool->min;

	if (!r || port < pool->min || i >= pool->ports || r->ports[i].fd < 0 ||
	    r->ports[i].fd != egress->fd)
		return false;
	if (egress->remote.port && !clv_table_remove(&pool->tuples, &tuple))
		return false;
	egress->fd = -1;
	if (--r->ports[i].users)
		return false;
	if (r->ports[i].shared)
		unlist_shared(r, i);
	close(r->ports[i].fd);
	*owner = r->ports[i].owner;
	r->ports[i] = (struct port){ .fd = -1 };
	r->used--;
	return true;
}

uint32_t clv_egress_used(const struct clv_egress_pool *pool)
{
	uint32_t used = 0;
	unsigned i;

	for (i = 0; i < pool->ranges_len; i++)
		used += pool->ranges[i].used;
	return used;
}
