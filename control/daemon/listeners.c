/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/listeners.h"

#include "control/daemon/datapath.h"
#include "control/xdp/steer.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/io/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- kernel sockets ---- */

int clv_listeners_probe_steering(struct clv_daemon *daemon)
{
	struct clv_steer *steer;
	int err;

	/* Only a test: it is loaded again when the map that it uses exists. */
	err = clv_steer_open(-1, 1, &steer, daemon->error, sizeof(daemon->error));
	daemon->is_steered = !err;
	if (!err)
		clv_steer_close(steer);
	else if (err == -ENOMEM)
		return err;
	else
		clv_log(CLV_LOG_WARN, "one_worker",
			"because=\"%s\" hint=\"packets cannot be steered to several workers\"",
			daemon->error);
	return 0;
}

/* With SO_REUSEPORT another program of the same user could get part of our packets unnoticed. */
static int probe_port(struct clv_daemon *daemon, const struct clv_sock_bind_params *params)
{
	struct clv_sock_bind_params alone = *params;
	char what[CLV_ADDR_TEXT_MAX + 8], text[CLV_ADDR_TEXT_MAX];
	int err, fd;

	alone.reuse_port = false;
	err = clv_sock_bind_udp(&alone, &fd, NULL);
	if (!err) {
		close(fd);
		return 0;
	}
	if (clv_addr_is_any(params->local.addr))
		snprintf(what, sizeof(what), "UDP port %u", ntohs(params->local.port));
	else
		snprintf(what, sizeof(what), "UDP %s",
			 clv_endpoint_format(&params->local, text, sizeof(text)));
	return clv_daemon_fail(daemon, err, what);
}

static int open_sockets(struct clv_daemon *daemon, struct clv_daemon_listener *l,
			const struct clv_config_listener *config)
{
	struct clv_sock_bind_params params = {
		.local = { .port = htons(config->port) },
		.reuse_port = true,
		.receive_bytes = daemon->config.socket_bytes,
		.send_bytes = daemon->config.socket_bytes,
		.mark = daemon->config.mark,
	};
	uint16_t i;
	int err;

	memcpy(params.local.addr, config->addr, sizeof(config->addr));
	err = probe_port(daemon, &params);
	/* Control's first: the steering programs depend on the order. */
	for (i = 0; i <= daemon->workers_len && !err; i++) {
		err = clv_sock_bind_udp(&params, &l->socks[i], &l->local);
		if (err)
			return clv_daemon_fail(daemon, err, "listener socket");
	}
	return err;
}

static int steer(struct clv_daemon *daemon, struct clv_daemon_listener *l)
{
	uint32_t ids = clv_datapath_map_sizes(daemon).conn_ids;
	int err;

	if (!daemon->is_steered) {
		err = clv_steer_classic(l->socks[0]);
		return err ? clv_daemon_fail(daemon, err, "SO_ATTACH_REUSEPORT_CBPF") : 0;
	}
	err = clv_steer_open(daemon->maps.fds.conns, ids, &l->steer, daemon->error,
			     sizeof(daemon->error));
	if (err)
		return err;
	/* Without XDP the first steering program creates the map that all use. */
	if (daemon->maps.fds.conns < 0)
		daemon->maps.fds.conns = clv_steer_conns_fd(l->steer);
	return clv_steer_attach(l->steer, l->socks, 1 + (size_t)daemon->workers_len, daemon->error,
				sizeof(daemon->error));
}

/* A socket has the same number in every port: that of its listener. */
static int add_to_port(struct clv_daemon *daemon, struct clv_port *port, int fd,
		       const struct clv_endpoint *local, uint32_t expected)
{
	uint32_t number;
	int err = port->ops->add_socket(port, fd, local, &number);

	if (err)
		return clv_daemon_fail(daemon, err, "listener socket");
	return number == expected ? 0
				  : clv_daemon_fail(daemon, -EINVAL, "listener socket's number");
}

static int open_listener(struct clv_daemon *daemon, size_t index)
{
	const struct clv_config_listener *config = &daemon->config.listeners[index];
	struct clv_daemon_listener *l = &daemon->listeners[index];
	uint16_t i;
	int err;

	err = open_sockets(daemon, l, config);
	err = err ? err : steer(daemon, l);
	err = err ? err
		  : add_to_port(daemon, daemon->port, l->socks[0], &l->local, (uint32_t)index);
	for (i = 0; i < daemon->workers_len && !err; i++)
		err = add_to_port(daemon, daemon->workers[i].sock, l->socks[1 + i], &l->local,
				  (uint32_t)index);
	if (err)
		return err;
	clv_log(CLV_LOG_INFO, "listening", "listener=%s%s%s port=%u profile=%s families=%s",
		config->name, *config->address ? " address=" : "", config->address, config->port,
		clv_profile_name((enum clv_profile)config->profile), clv_listeners_families(l));
	return 0;
}

int clv_listeners_open(struct clv_daemon *daemon)
{
	struct clv_sock_params params = {
		.counters = &daemon->port_counters,
		.sockets_max = CLV_LISTENERS_MAX,
	};
	size_t k;
	uint16_t i;
	int err;

	for (k = 0; k < CLV_LISTENERS_MAX; k++)
		memset(daemon->listeners[k].socks, -1, sizeof(daemon->listeners[k].socks));
	err = clv_sock_open(&params, &daemon->port);
	for (i = 0; i < daemon->workers_len && !err; i++) {
		params.counters = &daemon->workers[i].unused;
		params.sockets_max = CLV_LISTENERS_MAX + 1 /* held.c */ +
				     daemon->config.limits.tunnels_max * CLV_BOUND_PORTS;
		err = clv_sock_open(&params, &daemon->workers[i].sock);
	}
	if (err)
		return clv_daemon_fail(daemon, err, "socket port");
	for (k = 0; k < daemon->config.listeners_len && !err; k++)
		err = open_listener(daemon, k);
	return err;
}

void clv_listeners_close(struct clv_daemon *daemon)
{
	size_t i, k;

	if (daemon->port)
		daemon->port->ops->close(daemon->port);
	daemon->port = NULL;
	for (k = 0; k < daemon->config.listeners_len; k++) {
		struct clv_daemon_listener *l = &daemon->listeners[k];

		clv_steer_close(l->steer);
		l->steer = NULL;
		for (i = 0; i < sizeof(l->socks) / sizeof(l->socks[0]); i++) {
			if (l->socks[i] > 0)
				close(l->socks[i]);
			l->socks[i] = -1;
		}
	}
}

/* ---- the XDP program's map ---- */

const char *clv_listeners_families(const struct clv_daemon_listener *l)
{
	if (clv_addr_is_any(l->local.addr))
		return "both";
	return clv_addr_is_v4(l->local.addr) ? "ipv4" : "ipv6";
}

static uint32_t flags_of(const struct clv_daemon *daemon, const uint8_t addr[static 16])
{
	return (daemon->config.limits.reflect.stun ? CLV_LISTENER_STUN : 0) |
	       (clv_routes_is_tagged(daemon->routes, addr) ? CLV_LISTENER_TAGGED : 0);
}

/* An address that the host does not have now is left out: the kernel receives nothing for it either. */
int clv_listeners_publish(struct clv_daemon *daemon)
{
	const uint8_t(*own)[16];
	size_t i, k, len = 0, n = clv_routes_own(daemon->routes, &own);
	struct clv_maps_listener *list = calloc(n * daemon->config.listeners_len + 1,
						sizeof(*list));
	int err;

	for (i = 0; list && i < n; i++) {
		for (k = 0; k < daemon->config.listeners_len; k++) {
			const struct clv_config_listener *l = &daemon->config.listeners[k];

			if (*l->address && memcmp(l->addr, own[i], sizeof(l->addr)) != 0)
				continue;
			memcpy(list[len].local.addr, own[i], sizeof(list[len].local.addr));
			list[len].local.port = htons(l->port);
			list[len].flags = flags_of(daemon, own[i]);
			list[len++].id = (uint32_t)k;
		}
	}
	err = list ? clv_maps_set_listeners(&daemon->maps, list, len) : -ENOMEM;
	free(list);
	if (err)
		snprintf(daemon->error, sizeof(daemon->error), "map listeners: %s",
			 clv_strerror(err));
	return err;
}
