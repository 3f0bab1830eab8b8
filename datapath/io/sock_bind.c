/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/io/sock.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/base/addr.h"

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

/* IPv4 options hold for IPv4 packets on a dual-stack IPv6 socket too, so both kinds get them. */
static int set_up(int fd, bool is_v6)
{
	static const struct {
		int level, option, value;
		bool v6_only;
	} options[] = {
		{ IPPROTO_IP, IP_PKTINFO, 1, false },
		{ IPPROTO_IP, IP_RECVTOS, 1, false },
		{ IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, false },
		{ IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, true },
		{ IPPROTO_IPV6, IPV6_RECVTCLASS, 1, true },
		{ IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE, true },
		{ IPPROTO_IPV6, IPV6_DONTFRAG, 1, true }, /* without it PROBE still fragments */
	};
	unsigned i;
	int err;

	/* How many it lost; a kernel without that counts them only for all sockets together. */
	(void)set_int(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (options[i].v6_only && !is_v6)
			continue;
		err = set_int(fd, options[i].level, options[i].option, options[i].value);
		if (err)
			return err;
	}
	return 0;
}

/* Those of a socket that gets datagrams of other endpoints, see clv_sock_open_any. */
static int set_up_any(int fd, bool is_v6)
{
	int err = set_int(fd, IPPROTO_IP, IP_FREEBIND, 1);

	/* Its filter's drops would count as well. */
	(void)set_int(fd, SOL_SOCKET, SO_RXQ_OVFL, 0);
	err = err ? err : set_int(fd, IPPROTO_IP, IP_RECVORIGDSTADDR, 1);
	if (is_v6)
		err = err ? err : set_int(fd, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, 1);
	return err;
}

/* Above the system's limit for those who may, else up to it; a small buffer is no error. */
static void set_buffer(int fd, int force_option, int option, uint32_t bytes)
{
	int value = bytes > INT32_MAX / 2 ? INT32_MAX / 2 : (int)bytes;

	if (value && set_int(fd, SOL_SOCKET, force_option, value))
		(void)set_int(fd, SOL_SOCKET, option, value);
}

/* A socket for local's family; dual-stack for "::".  Returns the descriptor or -errno. */
static int make_socket(const struct clv_endpoint *local, bool *is_v6)
{
	int fd, err;

	*is_v6 = !clv_addr_is_v4(local->addr);
	fd = socket(*is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (*is_v6) {
		err = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, !clv_addr_is_any(local->addr));
		if (err) {
			close(fd);
			return err;
		}
	}
	return fd;
}

static int bind_socket(int fd, const struct clv_endpoint *local, bool is_v6,
		       struct clv_endpoint *got)
{
	struct sockaddr_storage sa;
	socklen_t len = clv_endpoint_to_sockaddr(local, is_v6, &sa);

	if (bind(fd, (struct sockaddr *)&sa, len))
		return -errno;
	if (!got)
		return 0;
	len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len))
		return -errno;
	return clv_endpoint_from_sockaddr((struct sockaddr *)&sa, got);
}

static int bind_udp(const struct clv_sock_bind_params *params, int *out, struct clv_endpoint *got)
{
	bool is_v6;
	int fd, err;

	fd = make_socket(&params->local, &is_v6);
	if (fd < 0)
		return fd;
	err = set_up(fd, is_v6);
	if (!err && params->reuse_port)
		err = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (!err && params->mark)
		err = set_int(fd, SOL_SOCKET, SO_MARK, (int)params->mark);
	if (err)
		goto close_fd;
	set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, params->receive_bytes);
	set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, params->send_bytes);
	err = bind_socket(fd, &params->local, is_v6, got);
	if (err)
		goto close_fd;
	*out = fd;
	return 0;

close_fd:
	close(fd);
	return err;
}

/* filter_fd: a BPF program that drops everything; -1: one that does not count it. */
static int attach_drop(int fd, int filter_fd)
{
	struct sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog program = { .len = 1, .filter = &drop_all };

	if (filter_fd >= 0)
		return set_int(fd, SOL_SOCKET, SO_ATTACH_BPF, filter_fd);
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ? -errno : 0;
}

static int reserve(const struct clv_sock_bind_params *params, int *out, struct clv_endpoint *got)
{
	bool is_v6;
	int fd, err;

	fd = make_socket(&params->local, &is_v6);
	if (fd < 0)
		return fd;
	/* Before bind: nothing can arrive until then. */
	err = attach_drop(fd, params->filter_fd);
	if (err)
		goto close_fd;
	(void)set_int(fd, SOL_SOCKET, SO_RCVBUF, 0); /* the kernel's minimum */
	(void)set_int(fd, SOL_SOCKET, SO_SNDBUF, 0);
	err = bind_socket(fd, &params->local, is_v6, got);
	if (err)
		goto close_fd;
	*out = fd;
	return 0;

close_fd:
	close(fd);
	return err;
}

/* Try as asked; "::" again as all of IPv4 when the host has no IPv6. */
static int with_fallback(int (*bind_it)(const struct clv_sock_bind_params *, int *,
					struct clv_endpoint *),
			 const struct clv_sock_bind_params *params, int *fd,
			 struct clv_endpoint *got)
{
	struct clv_sock_bind_params v4 = *params;
	int err = bind_it(params, fd, got);

	if ((err != -EAFNOSUPPORT && err != -EADDRNOTAVAIL) || !clv_addr_is_any(params->local.addr))
		return err;
	v4.local.addr[10] = v4.local.addr[11] = 0xff;
	return bind_it(&v4, fd, got);
}

int clv_sock_bind_udp(const struct clv_sock_bind_params *params, int *fd, struct clv_endpoint *got)
{
	return with_fallback(bind_udp, params, fd, got);
}

int clv_sock_reserve(const struct clv_endpoint *local, int filter_fd, int *fd,
		     struct clv_endpoint *got)
{
	const struct clv_sock_bind_params params = { .local = *local, .filter_fd = filter_fd };

	return with_fallback(reserve, &params, fd, got);
}

int clv_sock_open_any(uint32_t receive_bytes, int *out, struct clv_endpoint *got)
{
	static const uint8_t loopback4[16] = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 };
	bool is_v6 = true;
	int fd, err;

	/* One for both families, at an address that either has: nobody else can send there. */
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 && errno == EAFNOSUPPORT) {
		is_v6 = false;
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	}
	if (fd < 0)
		return -errno;
	err = is_v6 ? set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) : 0;
	err = err ? err : set_up(fd, is_v6);
	err = err ? err : set_up_any(fd, is_v6);
	if (!err) {
		struct clv_endpoint local = { .port = 0 };

		memcpy(local.addr, loopback4, sizeof(local.addr));
		set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, receive_bytes);
		err = bind_socket(fd, &local, is_v6, got);
	}
	if (err) {
		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}
