/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/xdp/load.h"

#include "datapath/base/err.h"
#include "datapath/base/log.h"

#include "culvert.skel.h"
#include "steer_reuseport.skel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <errno.h>
#include <limits.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct clv_bpf {
	struct culvert_bpf *skel;
	struct clv_bpf_maps maps;
	struct clv_pins pins;
};

struct clv_steer {
	struct steer_reuseport_bpf *skel;
};

/* Name of each map and its place in struct clv_bpf_maps: what is pinned and what is opened again. */
static const struct pinned {
	const char *name;
	size_t offset;
} pinned[] = {
	{ "listeners", offsetof(struct clv_bpf_maps, listeners) },
	{ "conns", offsetof(struct clv_bpf_maps, conns) },
	{ "contexts", offsetof(struct clv_bpf_maps, contexts) },
	{ "bindings", offsetof(struct clv_bpf_maps, bindings) },
	{ "denied", offsetof(struct clv_bpf_maps, denied) },
	{ "rxq_of_flow", offsetof(struct clv_bpf_maps, rxq_of_flow) },
	{ "xsks", offsetof(struct clv_bpf_maps, xsks) },
	{ "links", offsetof(struct clv_bpf_maps, links) },
	{ "counters", offsetof(struct clv_bpf_maps, counters) },
	{ "guard", offsetof(struct clv_bpf_maps, guard) },
	{ "guard_limits", offsetof(struct clv_bpf_maps, guard_limits) },
	{ "abi", offsetof(struct clv_bpf_maps, abi) },
};

enum {
	PINNED_LEN = sizeof(pinned) / sizeof(pinned[0]),
};

static int *slot_of(struct clv_bpf_maps *maps, const struct pinned *p)
{
	return (int *)((char *)maps + p->offset);
}

/* libbpf speaks to people at length; its first complaint names what failed, the rest is for debugging. */
static char libbpf_said[256];

static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[512];

	if (level == LIBBPF_DEBUG && !clv_log_enabled(CLV_LOG_DEBUG))
		return 0;
	vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = 0;
	if (level == LIBBPF_WARN && !*libbpf_said)
		snprintf(libbpf_said, sizeof(libbpf_said), "%.255s", line);
	clv_log(CLV_LOG_DEBUG, "libbpf", "says=\"%s\"", line);
	return 0;
}

static int explain(int err, const char *what, char *error, size_t error_len)
{
	const char *hint = "";

	if (err == -EPERM || err == -EACCES)
		hint = " (needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON)";
	snprintf(error, error_len, "%s: %s%s%s%s", what, clv_strerror(err), hint,
		 *libbpf_said ? "; " : "", libbpf_said);
	libbpf_said[0] = 0;
	return err;
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
			return explain(err, path, error, error_len);
	}
	return 0;
}

/* ---- the XDP program ---- */

static void raise_memlock(void)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit now;

	if (setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0 || getrlimit(RLIMIT_MEMLOCK, &now))
		return;
	/* Without the privilege for more, all that the hard limit gives. */
	now.rlim_cur = now.rlim_max;
	setrlimit(RLIMIT_MEMLOCK, &now);
}

static int set_sizes(struct culvert_bpf *skel, const struct clv_bpf_sizes *sizes)
{
	int err;

	err = bpf_map__set_max_entries(skel->maps.conns, sizes->conn_ids);
	err = err ? err : bpf_map__set_max_entries(skel->maps.contexts, sizes->contexts);
	err = err ? err : bpf_map__set_max_entries(skel->maps.bindings, sizes->bindings);
	err = err ? err : bpf_map__set_max_entries(skel->maps.listeners, sizes->listeners);
	err = err ? err : bpf_map__set_max_entries(skel->maps.denied, sizes->denied);
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
		.rxq_of_flow = bpf_map__fd(skel->maps.rxq_of_flow),
		.xsks = bpf_map__fd(skel->maps.xsks),
		.links = bpf_map__fd(skel->maps.links),
		.counters = bpf_map__fd(skel->maps.counters),
		.guard = bpf_map__fd(skel->maps.guard),
		.guard_limits = bpf_map__fd(skel->maps.guard_limits),
		.abi = bpf_map__fd(skel->maps.abi),
	};
}

int clv_bpf_open(const char *run_dir, const struct clv_bpf_sizes *sizes, struct clv_bpf **out,
		 char *error, size_t error_len)
{
	const uint32_t zero = 0, version = CLV_ABI_VERSION;
	struct clv_bpf *bpf = calloc(1, sizeof(*bpf));
	int err;

	if (!bpf)
		return -ENOMEM;
	libbpf_set_print(print_libbpf);
	libbpf_said[0] = 0;
	raise_memlock();
	bpf->skel = culvert_bpf__open();
	if (!bpf->skel) {
		err = explain(-errno, "XDP program", error, error_len);
		goto free_bpf;
	}
	err = set_sizes(bpf->skel, sizes);
	err = err ? err : culvert_bpf__load(bpf->skel);
	if (err) {
		explain(err, "XDP program", error, error_len);
		goto destroy_skel;
	}
	read_fds(bpf->skel, &bpf->maps);
	if (bpf_map_update_elem(bpf->maps.abi, &zero, &version, BPF_ANY)) {
		err = explain(-errno, "map abi", error, error_len);
		goto destroy_skel;
	}
	err = clv_pins_open(run_dir, &bpf->pins, error, error_len);
	if (err)
		goto destroy_skel;
	err = pin_maps(bpf, error, error_len);
	if (err)
		goto close_pins;
	*out = bpf;
	return 0;

close_pins:
	clv_pins_close(&bpf->pins);
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

/* ---- attaching ---- */

static bool has_program(int ifindex)
{
	struct bpf_xdp_query_opts query = { .sz = sizeof(query) };

	if (bpf_xdp_query(ifindex, 0, &query))
		return false;
	return query.prog_id || query.drv_prog_id || query.hw_prog_id || query.skb_prog_id;
}

int clv_bpf_attach(struct clv_bpf *bpf, int ifindex, enum clv_xdp_mode mode, int *link_fd,
		   char *error, size_t error_len)
{
	const struct bpf_link_create_opts opts = {
		.sz = sizeof(opts),
		.flags = mode == CLV_XDP_NATIVE ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE,
	};
	int err, fd;

	/* The kernel would say EBUSY, EEXIST or EINVAL, each for more than one cause. */
	if (has_program(ifindex)) {
		snprintf(error, error_len, "another XDP program is attached to it");
		return -EBUSY;
	}
	fd = bpf_link_create(bpf_program__fd(bpf->skel->progs.clv_ingress), ifindex, BPF_XDP,
			     &opts);
	if (fd < 0) {
		err = -errno;
		if (err == -EOPNOTSUPP)
			snprintf(error, error_len, "the driver has no native XDP");
		else
			snprintf(error, error_len, "%s XDP: %s",
				 mode == CLV_XDP_NATIVE ? "native" : "generic", clv_strerror(err));
		return err;
	}
	*link_fd = fd;
	return 0;
}

void clv_bpf_detach(int link_fd)
{
	if (link_fd >= 0)
		close(link_fd);
}

/* ---- steering among kernel sockets ---- */

int clv_steer_open(int conns_fd, uint32_t conn_ids, struct clv_steer **out, char *error,
		   size_t error_len)
{
	struct clv_steer *steer = calloc(1, sizeof(*steer));
	int err;

	if (!steer)
		return -ENOMEM;
	libbpf_set_print(print_libbpf);
	libbpf_said[0] = 0;
	raise_memlock();
	steer->skel = steer_reuseport_bpf__open();
	if (!steer->skel) {
		err = explain(-errno, "steering program", error, error_len);
		goto free_steer;
	}
	err = conns_fd >= 0 ? bpf_map__reuse_fd(steer->skel->maps.conns, conns_fd)
			    : bpf_map__set_max_entries(steer->skel->maps.conns, conn_ids);
	err = err ? err : steer_reuseport_bpf__load(steer->skel);
	if (err) {
		explain(err, "steering program", error, error_len);
		goto destroy_skel;
	}
	*out = steer;
	return 0;

destroy_skel:
	steer_reuseport_bpf__destroy(steer->skel);
free_steer:
	free(steer);
	return err;
}

int clv_steer_attach(struct clv_steer *steer, const int *socks, size_t socks_len, char *error,
		     size_t error_len)
{
	int map_fd = bpf_map__fd(steer->skel->maps.socks);
	int prog_fd = bpf_program__fd(steer->skel->progs.clv_select_socket);
	uint32_t i;

	for (i = 0; i < socks_len; i++) {
		const uint64_t sock = (uint64_t)socks[i];

		if (bpf_map_update_elem(map_fd, &i, &sock, BPF_ANY))
			return explain(-errno, "map socks", error, error_len);
	}
	if (setsockopt(socks[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &prog_fd, sizeof(prog_fd)))
		return explain(-errno, "SO_ATTACH_REUSEPORT_EBPF", error, error_len);
	return 0;
}

void clv_steer_close(struct clv_steer *steer)
{
	if (!steer)
		return;
	steer_reuseport_bpf__destroy(steer->skel);
	free(steer);
}

int clv_steer_conns_fd(const struct clv_steer *steer)
{
	return bpf_map__fd(steer->skel->maps.conns);
}

int clv_steer_classic(int fd)
{
	/* The filter sees the UDP payload; a load behind its end makes the result 0: control's. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x80, 0, 1), /* RFC 8999: header form */
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 1),
	};
	const struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)))
		return -errno;
	return 0;
}

/* ---- opening what another process pinned ---- */

int clv_bpf_open_pinned(const char *pin_dir, struct clv_bpf_maps *out)
{
	char path[CLV_PINS_PATH_MAX + 32];
	const uint32_t zero = 0;
	struct clv_bpf_maps maps;
	uint32_t version = 0;
	size_t i;
	int err;

	libbpf_set_print(print_libbpf);
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
