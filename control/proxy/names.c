/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/names.h"

#include "datapath/base/err.h"

#include <errno.h>
#include <stdlib.h>

struct clv_lookup {
	struct clv_names *names;
	struct clv_lookup *prev, *next;
	struct clv_account *account;
	uint64_t token;
	clv_resolved_fn *done; /* NULL: its request has left */
	void *user;
};

struct clv_names {
	const struct clv_host_ops *host_ops;
	void *host;
	struct clv_accounts *accounts;
	struct clv_lookup *first;
};

int clv_names_new(const struct clv_host_ops *host_ops, void *host, struct clv_accounts *accounts,
		  struct clv_names **out)
{
	struct clv_names *names = calloc(1, sizeof(*names));

	if (!names)
		return -ENOMEM;
	*names = (struct clv_names){ host_ops, host, accounts, NULL };
	*out = names;
	return 0;
}

static void end(struct clv_lookup *l)
{
	struct clv_names *names = l->names;

	if (l->prev)
		l->prev->next = l->next;
	else
		names->first = l->next;
	if (l->next)
		l->next->prev = l->prev;
	clv_accounts_give(names->accounts, l->account, CLV_RESOURCE_NAMES, CLV_ACCOUNTS_WHOLE);
	free(l);
}

void clv_names_free(struct clv_names *names)
{
	if (!names)
		return;
	while (names->first) {
		names->host_ops->resolve_cancel(names->host, names->first->token);
		end(names->first);
	}
	free(names);
}

static void on_resolved(void *user, const struct clv_resolved *result)
{
	const struct clv_lookup l = *(struct clv_lookup *)user;

	end(user);
	if (l.done)
		l.done(l.user, result);
}

int clv_names_resolve(struct clv_names *names, struct clv_account *account, const char *name,
		      clv_resolved_fn *done, void *user, struct clv_lookup **out)
{
	struct clv_lookup *l;
	int err;

	if (clv_accounts_take(names->accounts, account, CLV_RESOURCE_NAMES, CLV_ACCOUNTS_WHOLE))
		return CLV_EFULL;
	l = calloc(1, sizeof(*l));
	if (!l) {
		clv_accounts_give(names->accounts, account, CLV_RESOURCE_NAMES, CLV_ACCOUNTS_WHOLE);
		return -ENOMEM;
	}
	*l = (struct clv_lookup){
		.names = names,
		.next = names->first,
		.account = account,
		.done = done,
		.user = user,
	};
	if (l->next)
		l->next->prev = l;
	names->first = l;
	err = names->host_ops->resolve(names->host, name, on_resolved, l, &l->token);
	if (err)
		end(l);
	else
		*out = l;
	return err;
}

void clv_names_leave(struct clv_lookup *l)
{
	l->done = NULL;
}
