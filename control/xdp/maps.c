/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/xdp/maps.h"

#include "datapath/base/err.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

void clv_maps_init(struct clv_maps *m, const struct clv_bpf_maps *fds)
{
	*m = (struct clv_maps){ 0 };
	if (fds)
		m->fds = *fds;
	else
		memset(&m->fds, -1, sizeof(m->fds));
}

void clv_maps_fini(struct clv_maps *m)
{
	free(m->listeners);
	free(m->denied);
	free(m->clients);
	*m = (struct clv_maps){ 0 };
}

static int put(int fd, const void *key, const void *value)
{
	if (fd < 0 || bpf_map_update_elem(fd, key, value, BPF_ANY) == 0)
		return 0;
	/* A full hash returns E2BIG, a full trie ENOSPC. */
	return errno == E2BIG || errno == ENOSPC ? CLV_EFULL : -errno;
}

static void drop(int fd, const void *key)
{
	if (fd >= 0)
		bpf_map_delete_elem(fd, key);
}

int clv_maps_conn_publish(struct clv_maps *m, const struct clv_cid *cid, const struct clv_ref *ref)
{
	return put(m->fds.conns, cid, ref);
}

void clv_maps_conn_retire(struct clv_maps *m, const struct clv_cid *cid)
{
	drop(m->fds.conns, cid);
}

int clv_maps_context_publish(struct clv_maps *m, const struct clv_tuple *tuple,
			     const struct clv_context *context)
{
	return put(m->fds.contexts, tuple, context);
}

void clv_maps_context_retire(struct clv_maps *m, const struct clv_tuple *tuple)
{
	drop(m->fds.contexts, tuple);
}

int clv_maps_binding_publish(struct clv_maps *m, const struct clv_endpoint *local,
			     const struct clv_binding *binding)
{
	return put(m->fds.bindings, local, binding);
}

void clv_maps_binding_retire(struct clv_maps *m, const struct clv_endpoint *local)
{
	drop(m->fds.bindings, local);
}

/* Remove the entries of a list that are not in others.  Both are short: addresses times ports. */
static void drop_missing(int fd, const struct clv_endpoint *list, size_t len,
			 const struct clv_endpoint *others, size_t others_len)
{
	size_t i, k;

	for (i = 0; i < len; i++) {
		for (k = 0; k < others_len; k++)
			if (memcmp(&list[i], &others[k], sizeof(list[i])) == 0)
				break;
		if (k == others_len)
			drop(fd, &list[i]);
	}
}

int clv_maps_set_listeners(struct clv_maps *m, const struct clv_maps_listener *list, size_t len)
{
	struct clv_endpoint *wanted = calloc(len + 1, sizeof(*wanted));
	int err = 0;

	if (!wanted)
		return -ENOMEM;
	for (size_t i = 0; i < len && !err; i++) {
		const struct clv_listener listener = { .id = list[i].id, .flags = list[i].flags };

		wanted[i] = list[i].local;
		err = put(m->fds.listeners, &wanted[i], &listener);
		if (err)
			drop_missing(m->fds.listeners, wanted, i, m->listeners, m->listeners_len);
	}
	if (err) {
		free(wanted);
		return err;
	}
	drop_missing(m->fds.listeners, m->listeners, m->listeners_len, wanted, len);
	free(m->listeners);
	m->listeners = wanted;
	m->listeners_len = len;
	return 0;
}

static int compare_rules(const void *a, const void *b)
{
	const struct clv_maps_rule *ra = a, *rb = b;

	return memcmp(&ra->prefix, &rb->prefix, sizeof(ra->prefix));
}

/* Sorted by prefix, each prefix once. */
struct rules {
	const struct clv_maps_rule *list;
	size_t len;
};

/*
 * Walk two lists in parallel: sets *a and *b to the rules of the next prefix, NULL if a list has
 * none.
 * Returns false at the end of both.
 */
static bool next_pair(struct rules *from, struct rules *to, const struct clv_maps_rule **a,
		      const struct clv_maps_rule **b)
{
	int order = 0;

	if (!from->len && !to->len)
		return false;
	if (!from->len || !to->len)
		order = from->len ? -1 : 1;
	else
		order = compare_rules(from->list, to->list);
	*a = order <= 0 ? from->list++ : NULL;
	*b = order >= 0 ? to->list++ : NULL;
	from->len -= *a != NULL;
	to->len -= *b != NULL;
	return true;
}

/*
 * Write rules that are new or changed in `to`.  Returns how many of `to` are in the map; sets *err
 * if not all.
 */
static size_t put_changed(int fd, struct rules from, struct rules to, int *err)
{
	const struct clv_maps_rule *first = to.list, *a, *b;

	*err = 0;
	while (next_pair(&from, &to, &a, &b)) {
		if (b && !(a && a->verdict == b->verdict))
			*err = put(fd, &b->prefix, &b->verdict);
		if (*err)
			return (size_t)(b - first);
	}
	return (size_t)(to.list - first);
}

/* Remove rules that are not in `to`. */
static void drop_gone(int fd, struct rules from, struct rules to)
{
	const struct clv_maps_rule *a, *b;

	while (next_pair(&from, &to, &a, &b))
		if (!b)
			drop(fd, &a->prefix);
}

/* Sort rules and leave out those whose prefix was there before.  Returns how many are left. */
static size_t sort_rules(struct clv_maps_rule *list, size_t n)
{
	size_t kept = 0;

	qsort(list, n, sizeof(*list), compare_rules);
	for (size_t i = 0; i < n; i++)
		if (!kept || compare_rules(&list[kept - 1], &list[i]) != 0)
			list[kept++] = list[i];
	return kept;
}

/* Replace the rules of a map by list[0..n), which it takes. */
static int set_rules(int fd, struct clv_maps_rule **current, size_t *current_len,
		     struct clv_maps_rule *list, size_t n)
{
	struct rules now = { *current, *current_len };
	struct rules wanted = { list, sort_rules(list, n) };
	int err, err_back;

	n = wanted.len;
	wanted.len = put_changed(fd, now, wanted, &err);
	if (err) {
		/* Undo: remove new rules, restore changed ones; there is room for that. */
		drop_gone(fd, wanted, now);
		put_changed(fd, wanted, now, &err_back);
		free(list);
		return err;
	}
	drop_gone(fd, now, wanted);
	free(*current);
	*current = list;
	*current_len = n;
	return 0;
}

int clv_maps_set_policy(struct clv_maps *m, const struct clv_policy *policy)
{
	const struct clv_policy_rule *rules;
	size_t i, n = clv_policy_rules(policy, &rules);
	struct clv_maps_rule *list = calloc(n + 1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		list[i].prefix = rules[i].prefix;
		list[i].verdict = rules[i].verdict;
	}
	return set_rules(m->fds.denied, &m->denied, &m->denied_len, list, n);
}

int clv_maps_set_clients(struct clv_maps *m, const struct clv_prefix *prefixes, size_t len)
{
	struct clv_maps_rule *list = calloc(len + 1, sizeof(*list));
	bool has_all = false;

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++) {
		list[i].prefix = prefixes[i];
		list[i].verdict = CLV_VERDICT_ALLOW;
		has_all |= prefixes[i].prefix_bits == 0;
	}
	/* The rule for everybody else. */
	if (!has_all)
		list[len].verdict = len ? CLV_VERDICT_DENY : CLV_VERDICT_ALLOW;
	return set_rules(m->fds.clients, &m->clients, &m->clients_len, list, len + !has_all);
}

int clv_maps_set_guard(struct clv_maps *m, const struct clv_guard_limits *limits)
{
	const uint32_t zero = 0;

	return put(m->fds.guard_limits, &zero, limits);
}

int clv_maps_set_forwards(struct clv_maps *m, bool forwards)
{
	const struct clv_host_facts facts = { .forwards = forwards };
	const uint32_t zero = 0;

	return put(m->fds.host, &zero, &facts);
}

int clv_maps_set_link(struct clv_maps *m, int ifindex, uint32_t xsk_base, uint32_t flags)
{
	const struct clv_link link = { .xsk_base = xsk_base, .flags = flags };
	const uint32_t key = (uint32_t)ifindex;

	return put(m->fds.links, &key, &link);
}

void clv_maps_unset_link(struct clv_maps *m, int ifindex)
{
	const uint32_t key = (uint32_t)ifindex;

	drop(m->fds.links, &key);
	drop(m->fds.faults, &key);
}

void clv_maps_faults(const struct clv_maps *m, int ifindex, struct clv_faults *out)
{
	const uint32_t key = (uint32_t)ifindex;

	if (m->fds.faults < 0 || bpf_map_lookup_elem(m->fds.faults, &key, out))
		*out = (struct clv_faults){ 0 };
}

int clv_maps_queue_of_flow(const struct clv_maps *m, const struct clv_tuple *flow, uint32_t *queue)
{
	uint32_t noted;

	if (m->fds.rxq_of_flow < 0 || bpf_map_lookup_elem(m->fds.rxq_of_flow, flow, &noted))
		return -ENOENT;
	*queue = noted;
	return 0;
}

int clv_maps_counters(const struct clv_bpf_maps *fds, struct clv_count out[CLV_XDP_COUNTER_MAX])
{
	struct clv_count sum[CLV_XDP_COUNTER_MAX] = { 0 }, *copies;
	int cpu, cpus, err = 0;
	uint32_t i;

	if (fds->counters < 0)
		return -ENOENT;
	cpus = libbpf_num_possible_cpus();
	if (cpus < 0)
		return cpus;
	copies = calloc((size_t)cpus, sizeof(*copies));
	if (!copies)
		return -ENOMEM;
	for (i = 0; i < CLV_XDP_COUNTER_MAX; i++) {
		if (bpf_map_lookup_elem(fds->counters, &i, copies)) {
			err = -errno;
			break;
		}
		for (cpu = 0; cpu < cpus; cpu++) {
			sum[i].packets += copies[cpu].packets;
			sum[i].bytes += copies[cpu].bytes;
		}
	}
	free(copies);
	if (!err)
		memcpy(out, sum, sizeof(sum));
	return err;
}

static const struct {
	const char *name, *help;
	enum xdp_action action;
} xdp_counters[] = {
#define X(symbol, action, name, help) [CLV_XDP_##symbol] = { name, help, XDP_##action },
	CLV_XDP_COUNTERS(X) CLV_HELD_VERDICTS(X)
#undef X
};

const char *clv_xdp_counter_name(enum clv_xdp_counter which)
{
	return (unsigned)which < CLV_XDP_COUNTER_MAX ? xdp_counters[which].name : "unknown";
}

const char *clv_xdp_counter_help(enum clv_xdp_counter which)
{
	return (unsigned)which < CLV_XDP_COUNTER_MAX ? xdp_counters[which].help : "";
}

bool clv_xdp_counter_is_drop(enum clv_xdp_counter which)
{
	return (unsigned)which < CLV_XDP_COUNTER_MAX && xdp_counters[which].action == XDP_DROP;
}
