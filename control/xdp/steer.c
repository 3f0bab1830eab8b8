/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/xdp/steer.h"

#include "control/xdp/libbpf.h"

#include "steer_reuseport.skel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct clv_steer {
	struct steer_reuseport_bpf *skel; /* until it is attached: the sockets keep the program */
	int conns_fd;
};

int clv_steer_open(int conns_fd, uint32_t conn_ids, struct clv_steer **out, char *error,
		   size_t error_len)
{
	struct clv_steer *steer = calloc(1, sizeof(*steer));
	int err;

	if (!steer)
		return -ENOMEM;
	clv_libbpf_begin();
	clv_libbpf_raise_memlock();
	steer->skel = steer_reuseport_bpf__open();
	if (!steer->skel) {
		err = clv_libbpf_explain(-errno, "steering program", error, error_len);
		goto free_steer;
	}
	err = conns_fd >= 0 ? bpf_map__reuse_fd(steer->skel->maps.conns, conns_fd)
			    : bpf_map__set_max_entries(steer->skel->maps.conns, conn_ids);
	err = err ? err : steer_reuseport_bpf__load(steer->skel);
	if (err) {
		clv_libbpf_explain(err, "steering program", error, error_len);
		goto destroy_skel;
	}
	steer->conns_fd = fcntl(bpf_map__fd(steer->skel->maps.conns), F_DUPFD_CLOEXEC, 0);
	if (steer->conns_fd < 0) {
		err = clv_libbpf_explain(-errno, "map conns", error, error_len);
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

static int attach(struct clv_steer *steer, const int *socks, size_t socks_len, char *error,
		  size_t error_len)
{
	int map_fd = bpf_map__fd(steer->skel->maps.socks);
	int prog_fd = bpf_program__fd(steer->skel->progs.clv_select_socket);
	uint32_t i;

	for (i = 0; i < socks_len; i++) {
		const uint64_t sock = (uint64_t)socks[i];

		if (bpf_map_update_elem(map_fd, &i, &sock, BPF_ANY))
			return clv_libbpf_explain(-errno, "map socks", error, error_len);
	}
	if (setsockopt(socks[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &prog_fd, sizeof(prog_fd)))
		return clv_libbpf_explain(-errno, "SO_ATTACH_REUSEPORT_EBPF", error, error_len);
	return 0;
}

int clv_steer_attach(struct clv_steer *steer, const int *socks, size_t socks_len, char *error,
		     size_t error_len)
{
	int err = attach(steer, socks, socks_len, error, error_len);

	steer_reuseport_bpf__destroy(steer->skel);
	steer->skel = NULL;
	return err;
}

void clv_steer_close(struct clv_steer *steer)
{
	if (!steer)
		return;
	close(steer->conns_fd);
	steer_reuseport_bpf__destroy(steer->skel);
	free(steer);
}

int clv_steer_conns_fd(const struct clv_steer *steer)
{
	return steer->conns_fd;
}

int clv_steer_classic(int fd)
{
	/* The filter sees the UDP payload; a load past its end returns 0, control's socket. */
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
