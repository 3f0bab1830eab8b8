/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/xdp/bpf.h"

#include "control/xdp/libbpf.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"

#include "culvert.skel.h"
#include "culvert_tracked.skel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <errno.h>
#include <limits.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_link.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	MTU_PLAIN = 1500, /* with which a frame fits a page, whatever the driver adds */
};

struct clv_bpf {
	struct culvert_bpf *skel;
	bool has_fragments; /* the kernel took the program for frames in several pages */
	struct clv_bpf_gap no_conntrack;
	struct clv_bpf_maps maps;
	struct clv_pins pins;
};

/* The maps that are pinned and opened again: name, and member of struct clv_bpf_maps. */
static const struct pinned {
	const char *name;
	size_t offset;
} pinned[] = {
	{ "listeners", offsetof(struct clv_bpf_maps, listeners) },
	{ "conns", offsetof(struct clv_bpf_maps, conns) },
	{ "contexts", offsetof(struct clv_bpf_maps, contexts) },
	{ "bindings", offsetof(struct clv_bpf_maps, bindings) },
	{ "denied", offsetof(struct clv_bpf_maps, denied) },
	{ "clients", offsetof(struct clv_bpf_maps, clients) },
	{ "rxq_of_flow", offsetof(struct clv_bpf_maps, rxq_of_flow) },
	{ "xsks", offsetof(struct clv_bpf_maps, xsks) },
	{ "links", offsetof(struct clv_bpf_maps, links) },
	{ "counters", offsetof(struct clv_bpf_maps, counters) },
	{ "guard", offsetof(struct clv_bpf_maps, guard) },
	{ "guard_limits", offsetof(struct clv_bpf_maps, guard_limits) },
	{ "faults", offsetof(struct clv_bpf_maps, faults) },
	{ "abi", offsetof(struct clv_bpf_maps, abi) },
};

enum {
	PINNED_LEN = sizeof(pinned) / sizeof(pinned[0]),
};

static int *slot_of(struct clv_bpf_maps *maps, const struct pinned *p)
{
	return (int *)((char *)maps + p->offset);
}

/* ---- pins ---- */

static int pin_maps(struct clv_bpf *bpf, char *error, size_t error_len)
{
	char path[CLV_PINS_PATH_MAX + 32];
	size_t i;
	int err;

	for (i = 0; i < PINNED_LEN; i++) {
		snprintf(path, sizeof(path), "%s/%s", bpf->pins.path, pinned[i].name);
		err = bpf_obj_pin(*slot_of(&bpf->maps, &pinned[i]), path) ? -errno : 0;
		if (err)
			return clv_libbpf_explain(err, path, error, error_len);
	}
	return 0;
}

/* The pins are for culvertctl: a container without bpffs serves with XDP all the same. */
static void pin(struct clv_bpf *bpf, const char *run_dir)
{
	char why[256];
	int err = clv_pins_open(run_dir, &bpf->pins, why, sizeof(why));

	if (!err) {
		err = pin_maps(bpf, why, sizeof(why));
		if (err)
			clv_pins_close(&bpf->pins);
	}
	if (err)
		clv_log(CLV_LOG_WARN, "maps_not_pinned",
			"because=\"%s\" hint=\"culvertctl asks the relay instead of the maps; mount bpffs "
			"at /sys/fs/bpf\"",
			why);
}

/* ---- the XDP program ---- */

/* As the kernel has a hash: buckets, and elements of a head, a key and a value. */
static uint64_t hash_bytes(uint64_t entries, size_t key, size_t value, bool is_preallocated)
{
	enum { BUCKET_BYTES = 16, HEAD_BYTES = 48 };
	uint64_t buckets = 1, element = HEAD_BYTES + ((key + 7) & ~7u) + ((value + 7) & ~7u);

	while (buckets < entries)
		buckets *= 2;
	return buckets * BUCKET_BYTES + (is_preallocated ? entries * element : 0);
}

uint64_t clv_bpf_sizes_bytes(const struct clv_bpf_sizes *sizes)
{
	enum { FLOWS = 65536 }; /* of rxq_of_flow */

	return hash_bytes(sizes->conn_ids, sizeof(struct clv_cid), sizeof(struct clv_ref), true) +
	       hash_bytes(sizes->contexts, sizeof(struct clv_tuple), sizeof(struct clv_context),
			  false) +
	       hash_bytes(sizes->bindings, sizeof(struct clv_endpoint), sizeof(struct clv_binding),
			  true) +
	       hash_bytes(sizes->listeners, sizeof(struct clv_endpoint),
			  sizeof(struct clv_listener), true) +
	       hash_bytes(sizes->guard, sizeof(struct clv_guard_key), sizeof(uint64_t), true) +
	       hash_bytes(CLV_HELD_RATES, sizeof(struct clv_ref), sizeof(uint64_t), true) +
	       hash_bytes(FLOWS, sizeof(struct clv_tuple), sizeof(uint32_t), true);
}

static int set_sizes(struct culvert_bpf *skel, const struct clv_bpf_sizes *sizes)
{
	int err;

	err = bpf_map__set_max_entries(skel->maps.conns, sizes->conn_ids);
	err = err ? err : bpf_map__set_max_entries(skel->maps.contexts, sizes->contexts);
	err = err ? err : bpf_map__set_max_entries(skel->maps.bindings, sizes->bindings);
	err = err ? err : bpf_map__set_max_entries(skel->maps.listeners, sizes->listeners);
	err = err ? err : bpf_map__set_max_entries(skel->maps.denied, sizes->denied);
	err = err ? err : bpf_map__set_max_entries(skel->maps.clients, sizes->clients);
	err = err ? err : bpf_map__set_max_entries(skel->maps.guard, sizes->guard);
	return err;
}

static void read_fds(const struct culvert_bpf *skel, struct clv_bpf_maps *out)
{
	*out = (struct clv_bpf_maps){
		.listeners = bpf_map__fd(skel->maps.listeners),
		.conns = bpf_map__fd(skel->maps.conns),
		.contexts = bpf_map__fd(skel->maps.contexts),
		.bindings = bpf_map__fd(skel->maps.bindings),
		.denied = bpf_map__fd(skel->maps.denied),
		.clients = bpf_map__fd(skel->maps.clients),
		.rxq_of_flow = bpf_map__fd(skel->maps.rxq_of_flow),
		.xsks = bpf_map__fd(skel->maps.xsks),
		.links = bpf_map__fd(skel->maps.links),
		.counters = bpf_map__fd(skel->maps.counters),
		.guard = bpf_map__fd(skel->maps.guard),
		.guard_limits = bpf_map__fd(skel->maps.guard_limits),
		.faults = bpf_map__fd(skel->maps.faults),
		.abi = bpf_map__fd(skel->maps.abi),
		.host = bpf_map__fd(skel->maps.host),
	};
}

/* Both objects have the same programs and maps, so that one skeleton serves.  NULL: see errno. */
static struct culvert_bpf *open_object(bool is_tracked)
{
	struct culvert_bpf *skel;
	int err;

	if (!is_tracked)
		return culvert_bpf__open();
	skel = calloc(1, sizeof(*skel));
	if (!skel || culvert_bpf__create_skeleton(skel)) {
		culvert_bpf__destroy(skel);
		errno = ENOMEM;
		return NULL;
	}
	skel->skeleton->data = (void *)culvert_tracked_bpf__elf_bytes(&skel->skeleton->data_sz);
	err = bpf_object__open_skeleton(skel->skeleton, NULL);
	if (err) {
		culvert_bpf__destroy(skel);
		errno = -err;
		return NULL;
	}
	return skel;
}

/* Returns 0 and fills *out, or as clv_bpf_open. */
static int load(const struct clv_bpf_sizes *sizes, bool is_tracked, bool has_fragments,
		struct culvert_bpf **out, char *error, size_t error_len)
{
	struct culvert_bpf *skel;
	int err;

	clv_libbpf_begin();
	skel = open_object(is_tracked);
	if (!skel)
		return clv_libbpf_explain(-errno, "XDP program", error, error_len);
	err = set_sizes(skel, sizes);
	if (!err && !has_fragments)
		err = bpf_program__set_autoload(skel->progs.clv_ingress_frags, false);
	err = err ? err : clv_libbpf_check_descriptors(skel->skeleton);
	err = err ? err : culvert_bpf__load(skel);
	if (err) {
		clv_libbpf_explain(err, "XDP program", error, error_len);
		culvert_bpf__destroy(skel);
		return err;
	}
	*out = skel;
	return 0;
}

/* Whether it asks: of a function that is not there libbpf makes a call that is never reached. */
static bool asks_conntrack(const struct bpf_program *program)
{
	const struct bpf_insn *insns = bpf_program__insns(program);

	for (size_t i = 0; i < bpf_program__insn_cnt(program); i++)
		if (insns[i].code == (BPF_JMP | BPF_CALL) &&
		    insns[i].src_reg == BPF_PSEUDO_KFUNC_CALL)
			return true;
	return false;
}

/* What would help after load ended with err for the object that asks connection tracking. */
static const char *conntrack_hint(int err, bool has_fragments)
{
	uint32_t id;

	if (!has_fragments)
		return "Linux 5.18";
	switch (err) {
	case 0: /* libbpf looks for it in modules only where it may */
		if (bpf_btf_get_next_id(0, &id) && errno == EPERM)
			return "CAP_SYS_ADMIN where nf_conntrack is a module";
		return "Linux 5.18, nf_conntrack built in or loaded before the relay starts";
	case -ESRCH:
	case -ENOENT:
		return "a kernel with BTF of its own (CONFIG_DEBUG_INFO_BTF)";
	case -EPERM:
		return "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON";
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
		return "more memory or descriptors";
	default:
		return "the kernel refused the program: report it with the kernel's version";
	}
}

/* err and why: of the load of the object that asks connection tracking. */
static void note_conntrack(struct clv_bpf *bpf, int err, const char *why)
{
	struct clv_bpf_gap *gap = &bpf->no_conntrack;

	if (!err && asks_conntrack(bpf->skel->progs.clv_ingress))
		return;
	snprintf(gap->because, sizeof(gap->because), "%s",
		 err ? why : "the kernel offers no bpf_xdp_ct_lookup");
	gap->hint = conntrack_hint(err, bpf->has_fragments);
}

/* Returns 0 with the most that this kernel takes, or as clv_bpf_open. */
static int load_most(struct clv_bpf *bpf, const struct clv_bpf_sizes *sizes, char *error,
		     size_t error_len)
{
	char no_conntrack[sizeof(bpf->no_conntrack.because)] = "";
	int err, tracked_err;

	bpf->has_fragments = true;
	tracked_err = load(sizes, true, true, &bpf->skel, no_conntrack, sizeof(no_conntrack));
	err = tracked_err ? load(sizes, false, true, &bpf->skel, error, error_len) : 0;
	if (err == -EINVAL) { /* what a kernel says that does not know such programs */
		char no_fragments[256];

		snprintf(no_fragments, sizeof(no_fragments), "%.255s", error);
		bpf->has_fragments = false;
		err = load(sizes, false, false, &bpf->skel, error, error_len);
		if (!err)
			clv_log(CLV_LOG_INFO, "no_xdp_fragments",
				"because=\"%s\" hint=\"kernel 5.18\"", no_fragments);
	}
	if (!err)
		note_conntrack(bpf, tracked_err, no_conntrack);
	return err;
}

int clv_bpf_open(const char *run_dir, const struct clv_bpf_sizes *sizes, struct clv_bpf **out,
		 char *error, size_t error_len)
{
	const uint32_t zero = 0, version = CLV_ABI_VERSION;
	struct clv_bpf *bpf = calloc(1, sizeof(*bpf));
	int err;

	if (!bpf)
		return -ENOMEM;
	clv_libbpf_raise_memlock();
	err = load_most(bpf, sizes, error, error_len);
	if (err)
		goto free_bpf;
	read_fds(bpf->skel, &bpf->maps);
	if (bpf_map_update_elem(bpf->maps.abi, &zero, &version, BPF_ANY)) {
		err = clv_libbpf_explain(-errno, "map abi", error, error_len);
		goto destroy_skel;
	}
	pin(bpf, run_dir);
	*out = bpf;
	return 0;

destroy_skel:
	culvert_bpf__destroy(bpf->skel);
free_bpf:
	free(bpf);
	return err;
}

void clv_bpf_close(struct clv_bpf *bpf)
{
	if (!bpf)
		return;
	clv_pins_close(&bpf->pins);
	culvert_bpf__destroy(bpf->skel);
	free(bpf);
}

const struct clv_bpf_maps *clv_bpf_maps(const struct clv_bpf *bpf)
{
	return &bpf->maps;
}

const struct clv_pins *clv_bpf_pins(const struct clv_bpf *bpf)
{
	return &bpf->pins;
}

const struct clv_bpf_gap *clv_bpf_no_conntrack(const struct clv_bpf *bpf)
{
	return bpf->no_conntrack.hint ? &bpf->no_conntrack : NULL;
}

/* ---- attaching ---- */

static bool has_program(int ifindex)
{
	struct bpf_xdp_query_opts query = { .sz = sizeof(query) };

	if (bpf_xdp_query(ifindex, 0, &query))
		return false;
	return query.prog_id || query.drv_prog_id || query.hw_prog_id || query.skb_prog_id;
}

/* Returns a link or -errno. */
static int attach(const struct clv_bpf *bpf, int ifindex, enum clv_xdp_mode mode,
		  bool has_fragments)
{
	const struct bpf_link_create_opts opts = {
		.sz = sizeof(opts),
		.flags = mode == CLV_XDP_NATIVE ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE,
	};
	const struct bpf_program *program = has_fragments ? bpf->skel->progs.clv_ingress_frags
							  : bpf->skel->progs.clv_ingress;
	int fd = bpf_link_create(bpf_program__fd(program), ifindex, BPF_XDP, &opts);

	return fd < 0 ? -errno : fd;
}

static int explain(int err, enum clv_xdp_mode mode, uint32_t mtu, char *error, size_t error_len)
{
	if (err == -EOPNOTSUPP)
		snprintf(error, error_len, "the driver has no native XDP");
	else
		snprintf(error, error_len, "%s XDP: %s%s",
			 mode == CLV_XDP_NATIVE ? "native" : "generic", clv_strerror(err),
			 mode == CLV_XDP_NATIVE && mtu > MTU_PLAIN
				 ? " (a smaller MTU may be what the driver asks for)"
				 : "");
	return err;
}

int clv_bpf_attach(struct clv_bpf *bpf, int ifindex, enum clv_xdp_mode mode, uint32_t mtu,
		   struct clv_bpf_attachment *out, char *error, size_t error_len)
{
	/* Generic XDP brings every frame in one piece. */
	const bool may_fragment = bpf->has_fragments && mode == CLV_XDP_NATIVE;
	bool has_fragments = may_fragment && mtu > MTU_PLAIN;
	int fd;

	/* The kernel would return EBUSY, EEXIST or EINVAL, each of which has several causes. */
	if (has_program(ifindex)) {
		snprintf(error, error_len, "another XDP program is attached to it");
		return -EBUSY;
	}
	fd = attach(bpf, ifindex, mode, has_fragments);
	if (fd < 0 && may_fragment) {
		int other = attach(bpf, ifindex, mode, !has_fragments);

		if (other >= 0) {
			fd = other;
			has_fragments = !has_fragments;
		}
	}
	if (fd < 0)
		return explain(fd, mode, mtu, error, error_len);
	*out = (struct clv_bpf_attachment){ fd, has_fragments };
	return 0;
}

void clv_bpf_detach(int link_fd)
{
	if (link_fd >= 0)
		close(link_fd);
}

bool clv_bpf_is_attached(int link_fd)
{
	struct bpf_link_info info = { 0 };
	uint32_t len = sizeof(info);

	/* Where it cannot be found out it is taken to be. */
	return bpf_obj_get_info_by_fd(link_fd, &info, &len) || info.xdp.ifindex;
}

/* ---- pinned maps of another process ---- */

int clv_bpf_open_pinned(const char *pin_dir, struct clv_bpf_maps *out)
{
	char path[CLV_PINS_PATH_MAX + 32];
	const uint32_t zero = 0;
	struct clv_bpf_maps maps;
	uint32_t version = 0;
	size_t i;
	int err;

	clv_libbpf_begin();
	memset(&maps, -1, sizeof(maps));
	for (i = 0; i < PINNED_LEN; i++) {
		snprintf(path, sizeof(path), "%s/%s", pin_dir, pinned[i].name);
		*slot_of(&maps, &pinned[i]) = bpf_obj_get(path);
		if (*slot_of(&maps, &pinned[i]) < 0) {
			err = -errno;
			goto close_maps;
		}
	}
	if (bpf_map_lookup_elem(maps.abi, &zero, &version)) {
		err = -errno;
		goto close_maps;
	}
	if (version != CLV_ABI_VERSION) {
		err = CLV_EABI;
		goto close_maps;
	}
	*out = maps;
	return 0;

close_maps:
	clv_bpf_close_pinned(&maps);
	return err;
}

void clv_bpf_close_pinned(struct clv_bpf_maps *maps)
{
	size_t i;

	for (i = 0; i < PINNED_LEN; i++) {
		int *fd = slot_of(maps, &pinned[i]);

		if (*fd >= 0)
			close(*fd);
		*fd = -1;
	}
}
