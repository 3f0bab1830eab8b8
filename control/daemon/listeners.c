/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/listeners.h"

#include "control/xdp/steer.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/io/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
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
	char what[64];
	int err, fd;

	alone.reuse_port = false;
	err = clv_sock_bind_udp(&alone, &fd, NULL);
	if (!err) {
		close(fd);
		return 0;
	}
	snprintf(what, sizeof(what), "UDP port %u", ntohs(params->local.port));
	return clv_daemon_fail(daemon, err, what);
}

static int open_sockets(struct clv_daemon *daemon, struct clv_daemon_listener *l, uint16_t port)
{
	const struct clv_sock_bind_params params = {
		.local = { .port = htons(port) },
		.reuse_port = true,
		.receive_bytes = daemon->config.socket_bytes,
		.send_bytes = daemon->config.socket_bytes,
	};
	uint16_t i;
	int err;

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
	uint32_t ids = daemon->config.limits.conns_max * 8 * daemon->workers_len;
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

	err = open_sockets(daemon, l, config->port);
	err = err ? err : steer(daemon, l);
	err = err ? err
		  : add_to_port(daemon, daemon->port, l->socks[0], &l->local, (uint32_t)index);
	for (i = 0; i < daemon->workers_len && !err; i++)
		err = add_to_port(daemon, daemon->workers[i].sock, l->socks[1 + i], &l->local,
				  (uint32_t)index);
	if (err)
		return err;
	clv_log(CLV_LOG_INFO, "listening", "listener=%s port=%u profile=%s families=%s",
		config->name, config->port, clv_profile_name((enum clv_profile)config->profile),
		clv_addr_is_any(l->local.addr) ? "both" : "IPv4");
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
		params.sockets_max = CLV_LISTENERS_MAX +
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

int clv_listeners_publish(struct clv_daemon *daemon)
{
	uint16_t ports[CLV_LISTENERS_MAX];
	const uint8_t(*own)[16];
	size_t i, n = clv_routes_own(daemon->routes, &own);
	int err;

	for (i = 0; i < daemon->config.listeners_len; i++)
		ports[i] = daemon->config.listeners[i].port;
	err = clv_maps_set_listeners(&daemon->maps, own, n, ports, daemon->config.listeners_len);
	if (err)
		snprintf(daemon->error, sizeof(daemon->error), "map listeners: %s",
			 clv_strerror(err));
	return err;
}
