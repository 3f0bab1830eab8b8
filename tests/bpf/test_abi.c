/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Opening an object only reads it, so this needs no privilege. */
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/abi.h"
#include "culvert.skel.h"
#include "culvert_tracked.skel.h"
#include "steer_reuseport.skel.h"

#define MEMBER(type, name)                                                                         \
#type, #name, offsetof(struct type, name), sizeof(((struct type *)NULL)->name),            \
		sizeof(struct type)

/* clv_meta is in no map, so in no BTF: test_handover compares its bytes instead. */
static const struct member {
	const char *type, *name;
	size_t offset, len, type_len;
} members[] = {
	{ MEMBER(clv_endpoint, addr) },
	{ MEMBER(clv_endpoint, port) },
	{ MEMBER(clv_endpoint, pad) },
	{ MEMBER(clv_tuple, local) },
	{ MEMBER(clv_tuple, remote) },
	{ MEMBER(clv_cid, id) },
	{ MEMBER(clv_ref, slot) },
	{ MEMBER(clv_ref, generation) },
	{ MEMBER(clv_ref, worker) },
	{ MEMBER(clv_ref, pad) },
	{ MEMBER(clv_listener, id) },
	{ MEMBER(clv_listener, flags) },
	{ MEMBER(clv_link, flags) },
	{ MEMBER(clv_guard_limits, stun) },
	{ MEMBER(clv_binding, tunnel) },
	{ MEMBER(clv_binding, flags) },
	{ MEMBER(clv_context, tunnel) },
	{ MEMBER(clv_context, pad) },
	{ MEMBER(clv_context, context_id) },
	{ MEMBER(clv_prefix, prefix_bits) },
	{ MEMBER(clv_prefix, addr) },
	{ MEMBER(clv_guard_key, addr) },
	{ MEMBER(clv_guard_key, prefix_bits) },
	{ MEMBER(clv_guard_key, kind) },
	{ MEMBER(clv_guard_key, pad) },
	{ MEMBER(clv_rate, interval_ns) },
	{ MEMBER(clv_rate, burst_ns) },
	{ MEMBER(clv_guard_limits, host) },
	{ MEMBER(clv_guard_limits, net) },
	{ MEMBER(clv_link, xsk_base) },
	{ MEMBER(clv_count, packets) },
	{ MEMBER(clv_count, bytes) },
	{ MEMBER(clv_faults, no_socket) },
	{ MEMBER(clv_faults, no_meta) },
	{ MEMBER(clv_host_facts, forwards) },
};

static const struct map_layout {
	const char *name;
	enum bpf_map_type type;
	size_t key_len, value_len;
} maps[] = {
	{ "listeners", BPF_MAP_TYPE_HASH, sizeof(struct clv_endpoint),
	  sizeof(struct clv_listener) },
	{ "conns", BPF_MAP_TYPE_HASH, sizeof(struct clv_cid), sizeof(struct clv_ref) },
	{ "contexts", BPF_MAP_TYPE_HASH, sizeof(struct clv_tuple), sizeof(struct clv_context) },
	{ "bindings", BPF_MAP_TYPE_HASH, sizeof(struct clv_endpoint), sizeof(struct clv_binding) },
	{ "clients", BPF_MAP_TYPE_LPM_TRIE, sizeof(struct clv_prefix), sizeof(enum clv_verdict) },
	{ "denied", BPF_MAP_TYPE_LPM_TRIE, sizeof(struct clv_prefix), sizeof(enum clv_verdict) },
	{ "rxq_of_flow", BPF_MAP_TYPE_LRU_HASH, sizeof(struct clv_tuple), sizeof(uint32_t) },
	{ "guard", BPF_MAP_TYPE_LRU_HASH, sizeof(struct clv_guard_key), sizeof(uint64_t) },
	{ "guard_limits", BPF_MAP_TYPE_ARRAY, sizeof(uint32_t), sizeof(struct clv_guard_limits) },
	{ "xsks", BPF_MAP_TYPE_XSKMAP, sizeof(uint32_t), sizeof(uint32_t) },
	{ "links", BPF_MAP_TYPE_HASH, sizeof(uint32_t), sizeof(struct clv_link) },
	{ "counters", BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(uint32_t), sizeof(struct clv_count) },
	{ "faults", BPF_MAP_TYPE_HASH, sizeof(uint32_t), sizeof(struct clv_faults) },
	{ "host", BPF_MAP_TYPE_ARRAY, sizeof(uint32_t), sizeof(struct clv_host_facts) },
	{ "abi", BPF_MAP_TYPE_ARRAY, sizeof(uint32_t), sizeof(uint32_t) },
	/* of the program alone: its size is its own business */
	{ "stun_scratch", BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(uint32_t), 0 },
};
#define N_MAPS (sizeof(maps) / sizeof(maps[0]))

static struct culvert_bpf *xdp;
static struct steer_reuseport_bpf *reuseport;

static int open_objects(void **state)
{
	(void)state;
	xdp = culvert_bpf__open();
	reuseport = steer_reuseport_bpf__open();
	return xdp && reuseport ? 0 : -1;
}

static int close_objects(void **state)
{
	(void)state;
	culvert_bpf__destroy(xdp);
	steer_reuseport_bpf__destroy(reuseport);
	return 0;
}

static const struct btf_member *find_member(const struct btf *btf, const struct btf_type *type,
					    const char *name)
{
	for (unsigned i = 0; i < btf_vlen(type); i++) {
		const struct btf_member *m = &btf_members(type)[i];

		if (!strcmp(btf__name_by_offset(btf, m->name_off), name))
			return m;
	}
	return NULL;
}

static void check_member(const struct btf *btf, const struct member *want)
{
	int id = btf__find_by_name_kind(btf, want->type, BTF_KIND_STRUCT);
	const struct btf_type *type = btf__type_by_id(btf, (uint32_t)id);
	const struct btf_member *got;

	if (id < 0)
		fail_msg("struct %s is not in the object", want->type);
	got = find_member(btf, type, want->name);
	if (!got)
		fail_msg("struct %s has no %s in the object", want->type, want->name);
	if (type->size != want->type_len || got->offset != 8 * want->offset ||
	    (size_t)btf__resolve_size(btf, got->type) != want->len)
		fail_msg("struct %s, %s: laid out differently in the object", want->type,
			 want->name);
}

static void structs_are_laid_out_alike_on_both_sides(void **state)
{
	const struct btf *btf = bpf_object__btf(xdp->obj);

	(void)state;
	assert_non_null(btf);
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		check_member(btf, &members[i]);
}

/* So that a member added to abi.h is added to the table above as well. */
static void no_struct_has_members_the_table_does_not_know(void **state)
{
	const struct btf *btf = bpf_object__btf(xdp->obj);

	(void)state;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		int id = btf__find_by_name_kind(btf, members[i].type, BTF_KIND_STRUCT);
		unsigned listed = 0;

		assert_true(id > 0);
		for (size_t j = 0; j < sizeof(members) / sizeof(members[0]); j++)
			listed += !strcmp(members[i].type, members[j].type);
		if (listed != btf_vlen(btf__type_by_id(btf, (uint32_t)id)))
			fail_msg("struct %s: members differ from the table's", members[i].type);
	}
}

static void verdicts_have_the_same_values_on_both_sides(void **state)
{
	const struct btf *btf = bpf_object__btf(xdp->obj);
	int id = btf__find_by_name_kind(btf, "clv_verdict", BTF_KIND_ENUM);
	const struct btf_type *type = btf__type_by_id(btf, (uint32_t)id);

	(void)state;
	assert_true(id > 0);
	assert_int_equal(btf_vlen(type), 2);
	assert_string_equal(btf__name_by_offset(btf, btf_enum(type)[0].name_off),
			    "CLV_VERDICT_ALLOW");
	assert_int_equal(btf_enum(type)[0].val, CLV_VERDICT_ALLOW);
	assert_int_equal(btf_enum(type)[1].val, CLV_VERDICT_DENY);
}

static void the_xdp_object_has_exactly_these_maps(void **state)
{
	const struct bpf_map *map;
	unsigned found = 0;

	(void)state;
	bpf_object__for_each_map(map, xdp->obj) found += !bpf_map__is_internal(map);
	assert_int_equal(found, N_MAPS);

	for (size_t i = 0; i < N_MAPS; i++) {
		map = bpf_object__find_map_by_name(xdp->obj, maps[i].name);
		if (!map || bpf_map__type(map) != maps[i].type ||
		    bpf_map__key_size(map) != maps[i].key_len ||
		    (maps[i].value_len && bpf_map__value_size(map) != maps[i].value_len))
			fail_msg("map %s is missing or of another kind", maps[i].name);
	}
	assert_int_equal(bpf_map__max_entries(xdp->maps.counters), CLV_XDP_COUNTER_MAX);
	assert_int_equal(bpf_map__max_entries(xdp->maps.xsks), CLV_XSKS_MAX);
}

static void both_objects_declare_conns_alike(void **state)
{
	const struct bpf_map *a = xdp->maps.conns, *b = reuseport->maps.conns;

	(void)state;
	assert_int_equal(bpf_map__type(a), bpf_map__type(b));
	assert_int_equal(bpf_map__key_size(a), bpf_map__key_size(b));
	assert_int_equal(bpf_map__value_size(a), bpf_map__value_size(b));
	assert_int_equal(bpf_map__map_flags(a), bpf_map__map_flags(b));
	assert_int_equal(bpf_map__max_entries(reuseport->maps.socks), 1 + CLV_WORKERS_MAX);
}

/* The loader takes either by the skeleton of one. */
static void the_object_that_asks_conntrack_has_the_same_maps_and_programs(void **state)
{
	struct culvert_tracked_bpf *tracked = culvert_tracked_bpf__open();
	struct bpf_program *prog;
	const struct bpf_map *map;
	int maps_left = 0, progs_left = 0;

	(void)state;
	assert_non_null(tracked);
	bpf_object__for_each_map(map, tracked->obj) maps_left++;
	bpf_object__for_each_program(prog, tracked->obj) progs_left++;
	bpf_object__for_each_map(map, xdp->obj) maps_left--;
	bpf_object__for_each_program(prog, xdp->obj)
	{
		assert_non_null(
			bpf_object__find_program_by_name(tracked->obj, bpf_program__name(prog)));
		progs_left--;
	}
	assert_int_equal(maps_left, 0);
	assert_int_equal(progs_left, 0);
	for (size_t i = 0; i < N_MAPS; i++) {
		const struct bpf_map *other = bpf_object__find_map_by_name(tracked->obj,
									   maps[i].name);

		map = bpf_object__find_map_by_name(xdp->obj, maps[i].name);
		assert_non_null(other);
		assert_int_equal(bpf_map__type(other), bpf_map__type(map));
		assert_int_equal(bpf_map__key_size(other), bpf_map__key_size(map));
		assert_int_equal(bpf_map__value_size(other), bpf_map__value_size(map));
		assert_int_equal(bpf_map__map_flags(other), bpf_map__map_flags(map));
	}
	culvert_tracked_bpf__destroy(tracked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(structs_are_laid_out_alike_on_both_sides),
		cmocka_unit_test(no_struct_has_members_the_table_does_not_know),
		cmocka_unit_test(verdicts_have_the_same_values_on_both_sides),
		cmocka_unit_test(the_xdp_object_has_exactly_these_maps),
		cmocka_unit_test(both_objects_declare_conns_alike),
		cmocka_unit_test(the_object_that_asks_conntrack_has_the_same_maps_and_programs),
	};

	return cmocka_run_group_tests(tests, open_objects, close_objects);
}
