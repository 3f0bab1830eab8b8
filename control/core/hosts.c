/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/core/hosts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/hash.h"

enum {
	HEADS = 1 << 14,
	LOOKS_MAX = 256,
};

int clv_hosts_init(struct clv_hosts *h, const uint64_t seed[static 2])
{
	*h = (struct clv_hosts){ .seed = { seed[0], seed[1] } };
	h->heads = calloc(HEADS, sizeof(struct clv_host_use *));
	return h->heads ? 0 : -ENOMEM;
}

void clv_hosts_fini(struct clv_hosts *h)
{
	free(h->heads);
	*h = (struct clv_hosts){ 0 };
}

static struct clv_host_use **head_of(const struct clv_hosts *h, const uint8_t *addr)
{
	return &h->heads[clv_hash(h->seed, addr, 16) % HEADS];
}

void clv_hosts_join(struct clv_hosts *h, struct clv_host_use *use, const uint8_t addr[static 16],
		    const struct clv_ref *tunnel)
{
	if (!h)
		return;
	*use = (struct clv_host_use){ .at = head_of(h, addr), .tunnel = *tunnel };
	memcpy(use->addr, addr, sizeof(use->addr));
	use->next = *use->at;
	if (use->next)
		use->next->at = &use->next;
	*use->at = use;
}

void clv_hosts_leave(struct clv_host_use *use)
{
	if (!use->at)
		return;
	*use->at = use->next;
	if (use->next)
		use->next->at = use->at;
	*use = (struct clv_host_use){ 0 };
}

void clv_hosts_each(const struct clv_hosts *h, const uint8_t addr[static 16],
		    void (*fn)(void *user, const struct clv_host_use *use), void *user)
{
	for (const struct clv_host_use *use = *head_of(h, addr); use; use = use->next)
		if (!memcmp(use->addr, addr, sizeof(use->addr)))
			fn(user, use);
}

bool clv_hosts_any(const struct clv_hosts *h, const uint8_t addr[static 16],
		   bool (*test)(void *user, const struct clv_host_use *use), void *user)
{
	const struct clv_host_use *use = *head_of(h, addr);

	for (int looks = 0; use; use = use->next) {
		if (++looks > LOOKS_MAX)
			return true;
		if (!memcmp(use->addr, addr, sizeof(use->addr)) && test(user, use))
			return true;
	}
	return false;
}
