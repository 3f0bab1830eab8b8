/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/xdp/held.h"

#include "control/xdp/libbpf.h"

#include "held.skel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct clv_held {
	struct held_bpf *skel; /* until it is attached: sockets and link keep what they use */
	bool finds_workers;    /* the kernel has sk_lookup */
	int filter_fd;	       /* of the program that drops; -1: not loaded */
	int link_fd;	       /* of that of sk_lookup; -1: not attached */
};

static int share_maps(struct held_bpf *skel, const struct clv_bpf_maps *maps)
{
	int err;

	err = bpf_map__reuse_fd(skel->maps.contexts, maps->contexts);
	err = err ? err : bpf_map__reuse_fd(skel->maps.bindings, maps->bindings);
	err = err ? err : bpf_map__reuse_fd(skel->maps.denied, maps->denied);
	return err ? err : bpf_map__reuse_fd(skel->maps.counters, maps->counters);
}

/* Returns 0 or -errno. */
static int load(struct clv_held *held, const struct clv_bpf_maps *maps, bool finds_workers)
{
	int err;

	held->skel = held_bpf__open();
	if (!held->skel)
		return -errno;
	held->finds_workers = finds_workers;
	err = share_maps(held->skel, maps);
	err = err ? err
		  : bpf_program__set_autoload(held->skel->progs.clv_find_worker, finds_workers);
	err = err ? err : bpf_map__set_autocreate(held->skel->maps.workers, finds_workers);
	err = err ? err : clv_libbpf_check_descriptors(held->skel->skeleton);
	err = err ? err : held_bpf__load(held->skel);
	if (err) {
		held_bpf__destroy(held->skel);
		held->skel = NULL;
	}
	return err;
}

int clv_held_open(const struct clv_bpf_maps *maps, const struct clv_rate *rate,
		  struct clv_held **out, char *error, size_t error_len)
{
	struct clv_held *held = calloc(1, sizeof(*held));
	const uint32_t zero = 0;
	int err;

	if (!held)
		return -ENOMEM;
	held->filter_fd = held->link_fd = -1;
	clv_libbpf_begin();
	clv_libbpf_raise_memlock();
	/* Linux before 5.9 has no sk_lookup, some lack maps of sockets; the filters do without. */
	err = load(held, maps, true);
	if (err)
		err = load(held, maps, false);
	if (!err &&
	    bpf_map_update_elem(bpf_map__fd(held->skel->maps.held_limit), &zero, rate, BPF_ANY))
		err = -errno;
	if (!err) {
		held->filter_fd = fcntl(bpf_program__fd(held->skel->progs.clv_drop),
					F_DUPFD_CLOEXEC, 0);
		err = held->filter_fd < 0 ? -errno : 0;
	}
	if (err) {
		clv_libbpf_explain(err, "programs of held ports", error, error_len);
		clv_held_close(held);
		return err;
	}
	*out = held;
	return 0;
}

void clv_held_close(struct clv_held *held)
{
	if (!held)
		return;
	if (held->link_fd >= 0)
		close(held->link_fd);
	if (held->filter_fd >= 0)
		close(held->filter_fd);
	held_bpf__destroy(held->skel);
	free(held);
}

int clv_held_filter(const struct clv_held *held)
{
	return held->filter_fd;
}

static int add_sockets(struct clv_held *held, const int *socks, size_t socks_len)
{
	const int limit_fd = bpf_program__fd(held->skel->progs.clv_limit);
	const int map_fd = bpf_map__fd(held->skel->maps.workers);

	for (uint32_t i = 0; i < socks_len; i++) {
		const uint64_t sock = (uint64_t)socks[i];

		if (setsockopt(socks[i], SOL_SOCKET, SO_ATTACH_BPF, &limit_fd, sizeof(limit_fd)) ||
		    bpf_map_update_elem(map_fd, &i, &sock, BPF_ANY))
			return -errno;
	}
	return 0;
}

static int attach(struct clv_held *held, const int *socks, size_t socks_len, char *error,
		  size_t error_len)
{
	int err, netns;

	if (!held->finds_workers) {
		snprintf(error, error_len, "this kernel has no sk_lookup: Linux 5.9");
		return -EOPNOTSUPP;
	}
	err = add_sockets(held, socks, socks_len);
	if (err)
		return clv_libbpf_explain(err, "sockets of workers", error, error_len);
	netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return clv_libbpf_explain(-errno, "/proc/self/ns/net", error, error_len);
	held->link_fd = bpf_link_create(bpf_program__fd(held->skel->progs.clv_find_worker), netns,
					BPF_SK_LOOKUP, NULL);
	err = held->link_fd < 0 ? -errno : 0;
	close(netns);
	return err ? clv_libbpf_explain(err, "sk_lookup program", error, error_len) : 0;
}

int clv_held_attach(struct clv_held *held, const int *socks, size_t socks_len, char *error,
		    size_t error_len)
{
	int err = attach(held, socks, socks_len, error, error_len);

	/* A dozen descriptors, which a container may want. */
	held_bpf__destroy(held->skel);
	held->skel = NULL;
	return err;
}
