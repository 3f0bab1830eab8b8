/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/remote_list.h"

#include <errno.h>
#include <stdlib.h>

enum {
	ROOM_FIRST = 16, /* doubled as needed; the caller limits their number */
};

int clv_remote_list_init(struct clv_remote_list *r, const uint64_t seed[static 2])
{
	*r = (struct clv_remote_list){ .room = ROOM_FIRST };
	r->slots = calloc(r->room, sizeof(*r->slots));
	if (r->slots &&
	    !clv_table_init(&r->by_endpoint, sizeof(struct clv_endpoint), r->room, seed))
		return 0;
	clv_remote_list_fini(r);
	return -ENOMEM;
}

void clv_remote_list_fini(struct clv_remote_list *r)
{
	for (uint32_t i = 0; i < r->len; i++) {
		clv_hosts_leave(&r->slots[i]->host);
		free(r->slots[i]);
	}
	free(r->slots);
	clv_table_fini(&r->by_endpoint);
	*r = (struct clv_remote_list){ 0 };
}

struct clv_remote_entry *clv_remote_list_find(const struct clv_remote_list *r,
					      const struct clv_endpoint *remote)
{
	uint64_t slot;

	return clv_table_find(&r->by_endpoint, remote, &slot) ? r->slots[slot] : NULL;
}

/* Twice the room.  Nothing is lost when it fails. */
static int grow(struct clv_remote_list *r)
{
	uint32_t room = r->room * 2;
	struct clv_remote_entry **slots = realloc(r->slots, room * sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	r->slots = slots;
	if (clv_table_grow(&r->by_endpoint, room))
		return -ENOMEM;
	r->room = room;
	return 0;
}

struct clv_remote_entry *clv_remote_list_add(struct clv_remote_list *r,
					     const struct clv_remote *remote)
{
	struct clv_remote_entry *e;

	if (r->len == r->room && grow(r))
		return NULL;
	e = malloc(sizeof(*e));
	if (!e)
		return NULL;
	*e = (struct clv_remote_entry){ .remote = *remote };
	clv_table_insert(&r->by_endpoint, &e->remote.endpoint, r->len);
	r->slots[r->len++] = e;
	return e;
}

void clv_remote_list_remove(struct clv_remote_list *r, struct clv_remote_entry *e)
{
	struct clv_remote_entry *last = r->slots[--r->len];
	uint64_t slot = 0;

	clv_table_find(&r->by_endpoint, &e->remote.endpoint, &slot);
	clv_table_remove(&r->by_endpoint, &e->remote.endpoint);
	if (last != e) {
		r->slots[slot] = last;
		clv_table_insert(&r->by_endpoint, &last->remote.endpoint, slot);
	}
	clv_hosts_leave(&e->host);
	free(e);
}
