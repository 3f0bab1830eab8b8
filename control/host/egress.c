/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/egress.h"

#include "datapath/base/err.h"
#include "datapath/base/rand.h"
#include "datapath/io/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	/* Ports of other programs skipped in one search; after so many the range counts as full. */
	FOREIGN_MAX = 1024,
};

/* The port range on one local address. */
struct range {
	uint8_t addr[16];
	uint32_t used;
	int *fds; /* one per port, -1: not ours */
};

struct clv_egress_pool {
	uint16_t min;
	uint32_t ports; /* in the range */
	struct clv_rand rand;
	struct range ranges[CLV_EGRESS_ADDRS_MAX];
	unsigned ranges_len;
};

int clv_egress_open(uint16_t min, uint16_t max, struct clv_egress_pool **out)
{
	struct clv_egress_pool *pool;

	if (!min || max < min)
		return CLV_ERANGE;
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return -ENOMEM;
	pool->min = min;
	pool->ports = (uint32_t)max - min + 1;
	clv_rand_init(&pool->rand, 0);
	*out = pool;
	return 0;
}

void clv_egress_close(struct clv_egress_pool *pool)
{
	uint32_t i;

	if (!pool)
		return;
	while (pool->ranges_len) {
		struct range *r = &pool->ranges[--pool->ranges_len];

		for (i = 0; r->used && i < pool->ports; i++) {
			if (r->fds[i] < 0)
				continue;
			close(r->fds[i]);
			r->used--;
		}
		free(r->fds);
	}
	free(pool);
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
		r->fds = malloc(pool->ports * sizeof(*r->fds));
		if (!r->fds)
			return NULL;
		memset(r->fds, -1, pool->ports * sizeof(*r->fds));
		r->used = 0;
		pool->ranges_len++;
	}
	memcpy(r->addr, addr, sizeof(r->addr));
	return r;
}

static int bind_port(const struct clv_endpoint *local, bool is_reserved, int *fd)
{
	const struct clv_sock_bind_params params = { .local = *local };

	return is_reserved ? clv_sock_reserve(local, fd, NULL)
			   : clv_sock_bind_udp(&params, fd, NULL);
}

int clv_egress_take(struct clv_egress_pool *pool, const uint8_t source[static 16], bool is_reserved,
		    struct clv_egress *out)
{
	struct range *r = find_range(pool, source);
	struct clv_endpoint local = { 0 };
	unsigned foreign = 0;
	uint32_t i, k, start;
	int err, fd;

	if (!r)
		r = new_range(pool, source);
	if (!r)
		return CLV_EFULL;
	if (r->used == pool->ports)
		return CLV_EFULL;
	memcpy(local.addr, source, sizeof(local.addr));
	start = (uint32_t)(clv_rand_u64(&pool->rand) % pool->ports);
	for (k = 0; k < pool->ports; k++) {
		i = (start + k) % pool->ports;
		if (r->fds[i] >= 0)
			continue;
		local.port = htons((uint16_t)(pool->min + i));
		err = bind_port(&local, is_reserved, &fd);
		if (err == -EADDRINUSE && ++foreign < FOREIGN_MAX)
			continue;
		if (err)
			return err == -EADDRINUSE ? CLV_EFULL : err;
		r->fds[i] = fd;
		r->used++;
		*out = (struct clv_egress){ .local = local, .fd = fd };
		return 0;
	}
	return CLV_EFULL;
}

void clv_egress_give(struct clv_egress_pool *pool, struct clv_egress *egress)
{
	struct range *r = find_range(pool, egress->local.addr);
	uint32_t port = ntohs(egress->local.port), i = port - pool->min;

	if (!r || port < pool->min || i >= pool->ports || r->fds[i] < 0 || r->fds[i] != egress->fd)
		return;
	close(r->fds[i]);
	r->fds[i] = -1;
	r->used--;
	egress->fd = -1;
}

uint32_t clv_egress_used(const struct clv_egress_pool *pool)
{
	uint32_t used = 0;
	unsigned i;

	for (i = 0; i < pool->ranges_len; i++)
		used += pool->ranges[i].used;
	return used;
}
