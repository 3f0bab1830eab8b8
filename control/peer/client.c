/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/client.h"

#include "control/admission/admit.h"
#include "control/peer/send_port.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/mailbox.h"
#include "datapath/base/rand.h"
#include "datapath/io/sock.h"
#include "datapath/worker/worker.h"

#include <errno.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	CONNS_MAX = 8,
	SOCKETS_MAX = 64, /* in addition to those of remotes */
	BUFFERS = 2048,
	BUFFERED_MAX = 64 << 20,
	MAILBOX_BYTES = 1 << 22,
	SOCKET_BYTES = 4 << 20,
	LINK_MTU = 1500,
	REPORTS = 5, /* a session may have no spare connection ID at first */
};

#define CHECK_NS CLV_SEC /* how often the route to the relay is looked up */

struct clv_client {
	struct clv_client_params p;
	struct clv_control *control;
	struct clv_worker *worker;
	struct clv_mailbox *commands, *events;
	struct clv_port *sock;
	struct clv_send_port sender;
	struct clv_counters request_counters;
	struct clv_rand rand;
	uint64_t now_ns;	   /* of the step */
	struct clv_endpoint local; /* of the QUIC socket */
	int quic_fd;
	int *fds; /* from socket_open until the worker has stopped using them */
	uint32_t fds_len, fds_max;
	uint8_t relay[16];	/* address of the session requested last */
	struct clv_route route; /* to it, at the last check */
	uint64_t check_ns;	/* when to check again; 0: there is no session yet */
	unsigned reports_left;	/* how often control is still to be notified */
	struct clv_reflect reflect;
	bool is_reflecting;
};

/* ---- host: kernel routing ---- */

static bool is_bound(int fd, const uint8_t *local, bool is_v6)
{
	struct clv_endpoint ep = { .port = 0 };
	struct sockaddr_storage sa;
	socklen_t len;

	memcpy(ep.addr, local, sizeof(ep.addr));
	len = clv_endpoint_to_sockaddr(&ep, is_v6, &sa);
	return bind(fd, (struct sockaddr *)&sa, len) == 0;
}

/* Look a route up with a connected socket that sends nothing. */
static int route(void *host, const uint8_t *local, const uint8_t remote[16], struct clv_route *out)
{
	bool v4 = clv_addr_is_v4(remote);
	struct clv_endpoint ep = { .port = htons(443) };
	struct sockaddr_storage sa;
	socklen_t len;
	int mtu = LINK_MTU, err = CLV_EUNROUTABLE;
	int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)host;
	if (fd < 0)
		return CLV_EUNROUTABLE;
	if (local && !clv_addr_is_wildcard(local) && !is_bound(fd, local, !v4))
		goto out;
	memcpy(ep.addr, remote, sizeof(ep.addr));
	len = clv_endpoint_to_sockaddr(&ep, !v4, &sa);
	if (connect(fd, (struct sockaddr *)&sa, len))
		goto out;
	len = sizeof(mtu);
	if (getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &mtu, &len))
		mtu = LINK_MTU;
	len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) ||
	    clv_endpoint_from_sockaddr((struct sockaddr *)&sa, &ep))
		goto out;
	*out = (struct clv_route){
		.hop = { .via = CLV_VIA_KERNEL, .mtu = (uint16_t)(mtu > 65535 ? 65535 : mtu) },
	};
	memcpy(out->source, ep.addr, sizeof(out->source));
	err = 0;
out:
	close(fd);
	return err;
}

static const struct clv_host_ops host_ops = {
	.route = route,
};

/* ---- life ---- */

static int open_sockets(struct clv_client *c)
{
	struct clv_sock_params sp = {
		.counters = &c->request_counters.worker, /* until the worker has it */
		.sockets_max = 1 + c->fds_max,
	};
	struct clv_sock_bind_params bp = {
		.receive_bytes = SOCKET_BYTES, /* local: all zero: any address, any port */
		.send_bytes = SOCKET_BYTES,
	};
	uint32_t number;
	int err = clv_sock_open(&sp, &c->sock);

	if (err)
		return err;
	err = clv_sock_bind_udp(&bp, &c->quic_fd, &c->local);
	if (err)
		return err;
	return c->sock->ops->add_socket(c->sock, c->quic_fd, &c->local, &number);
}

static int open_worker(struct clv_client *c, const uint8_t secret[static 32])
{
	struct clv_worker_params wp = {
		.workers = 1,
		.conns_max = CONNS_MAX,
		.tunnels_max = clv_relay_session_places(c->p.tunnels_max),
		.remotes_max = c->p.remotes_max,
		.remotes_per_conn = c->p.remotes_max,
		.remotes_per_tunnel = c->p.remotes_max,
		.buffers = BUFFERS,
		.buffered_max = BUFFERED_MAX,
		.listener_sockets = 1,
		.early_per_conn = 64,
		.early_total = BUFFERS / 8,
		.early_ns = 300 * CLV_MSEC,
		.hop_wait_packets = 8,
		.sock = c->sock,
		.commands = c->commands,
		.events = c->events,
	};

	clv_admit_reset_secret(secret, wp.reset_secret);
	return clv_worker_open(&wp, &c->worker);
}

static void on_new_remote(void *client, const struct clv_evt_remote *evt, const uint8_t *payload,
			  size_t len)
{
	struct clv_client *c = client;

	if (c->p.on_new_remote)
		c->p.on_new_remote(c->p.user, evt, payload, len);
}

static void on_socket_closed(void *client, int fd)
{
	struct clv_client *c = client;
	uint32_t i = 0;

	while (c->fds[i] != fd)
		i++;
	c->fds[i] = c->fds[--c->fds_len];
	close(fd);
}

/* ---- reflection ---- */

static void on_stun(void *client, const struct clv_rx *rx)
{
	struct clv_client *c = client;

	if (!c->is_reflecting ||
	    clv_reflect_take(&c->reflect, &rx->remote, rx->payload, rx->payload_len, c->now_ns))
		clv_count(&c->request_counters, CLV_COUNT_DROP_UNKNOWN);
}

int clv_client_local(struct clv_client *c, const uint8_t remote[static 16],
		     struct clv_endpoint *out)
{
	struct clv_route found;

	if (route(c, NULL, remote, &found))
		return CLV_EUNROUTABLE;
	*out = (struct clv_endpoint){ .port = c->local.port };
	memcpy(out->addr, found.source, sizeof(out->addr));
	return 0;
}

/* Returns 0, or why it cannot be sent. */
static int ask(struct clv_client *c, const struct clv_endpoint *relay,
	       const uint8_t request[static CLV_STUN_HEADER_LEN])
{
	struct clv_flow flow = { .remote = *relay, .socket = CLV_WORKER_LISTENER_SOCKET };
	struct clv_port *port = &c->sender.port;
	struct clv_tx tx;

	if (clv_client_local(c, relay->addr, &flow.local))
		return CLV_EUNROUTABLE;
	if (port->ops->tx_take(port, &tx)) {
		clv_count(&c->request_counters, CLV_COUNT_DROP_NO_FRAME);
		return 0; /* as if it had been lost */
	}
	memcpy(tx.payload, request, CLV_STUN_HEADER_LEN);
	port->ops->tx_send(port, &tx, CLV_STUN_HEADER_LEN, &flow, 0);
	return 0;
}

int clv_client_reflect(struct clv_client *c, const struct clv_endpoint *relays, size_t len,
		       uint64_t now_ns)
{
	int err;

	if (c->is_reflecting)
		return -EBUSY;
	err = clv_reflect_start(&c->reflect, &c->rand, relays, len, now_ns);
	c->is_reflecting = !err;
	return err;
}

static unsigned step_reflection(struct clv_client *c)
{
	uint8_t request[CLV_STUN_HEADER_LEN];
	unsigned work = 0;
	int relay, err;

	if (!c->is_reflecting)
		return 0;
	while ((relay = clv_reflect_next(&c->reflect, c->now_ns, request)) >= 0) {
		err = ask(c, &c->reflect.relays[relay].relay, request);
		if (err)
			clv_reflect_fail(&c->reflect, relay, err);
		work++;
	}
	if (!clv_reflect_is_done(&c->reflect))
		return work;
	c->is_reflecting = false;
	if (c->p.on_reflected)
		c->p.on_reflected(c->p.user, &c->reflect);
	return work + 1;
}

static uint64_t reflection_next_ns(const struct clv_client *c)
{
	if (!c->is_reflecting)
		return UINT64_MAX;
	return clv_reflect_is_done(&c->reflect) ? 0 : clv_reflect_next_ns(&c->reflect);
}

/* ---- life of control ---- */

static int open_control(struct clv_client *c, const uint8_t secret[static 32])
{
	struct clv_control_worker side = { c->commands, c->events, c->worker };
	struct clv_control_params cp = {
		.host_ops = &host_ops,
		.host = c,
		.port = &c->sender.port,
		.workers = &side,
		.workers_len = 1,
		.limits = {
			.conns_max = CONNS_MAX,
			.conns_total = CONNS_MAX,
			.handshakes_max = CONNS_MAX,
			.retry_above = CONNS_MAX,
			.tunnels_max = clv_relay_session_places(c->p.tunnels_max),
			.tunnels_total = clv_relay_session_places(c->p.tunnels_max),
			.tunnels_per_conn = clv_relay_session_places(c->p.tunnels_max),
			.queue = {
				.packets = 512,
				.sojourn_ns = 100 * CLV_MSEC,
				.target_ns = 5 * CLV_MSEC,
				.interval_ns = 100 * CLV_MSEC,
			},
			.conn_idle_ns = 60 * CLV_SEC,
			.handshake_ns = 10 * CLV_SEC,
			.stream_window = 1 << 18,
			.conn_window = 1 << 20,
			.buffered = BUFFERED_MAX,
			.handover_packets = 64,
		},
		.on_new_remote = on_new_remote,
		.on_stun = on_stun,
		.on_socket_closed = on_socket_closed,
		.client = c,
	};

	memcpy(cp.secret, secret, sizeof(cp.secret));
	clv_send_port_init(&c->sender, c->sock);
	return clv_control_open(&cp, &c->control);
}

int clv_client_open(const struct clv_client_params *params, struct clv_client **out)
{
	struct clv_client *c = aligned_alloc(64, (sizeof(*c) + 63) & ~(size_t)63);
	uint8_t secret[32];
	int err;

	if (!c)
		return -ENOMEM;
	memset(c, 0, sizeof(*c));
	c->p = *params;
	c->quic_fd = -1;
	c->fds_max = SOCKETS_MAX + c->p.remotes_max;
	if (c->fds_max > CLV_WORKER_OPEN_SOCKETS_MAX)
		c->fds_max = CLV_WORKER_OPEN_SOCKETS_MAX;
	c->fds = calloc(c->fds_max, sizeof(*c->fds));
	clv_rand_init(&c->rand, 0);
	clv_rand_bytes(&c->rand, secret, sizeof(secret));
	c->commands = clv_mailbox_new(MAILBOX_BYTES, -1);
	c->events = clv_mailbox_new(MAILBOX_BYTES, -1);
	err = c->fds && c->commands && c->events ? open_sockets(c) : -ENOMEM;
	if (!err)
		err = open_worker(c, secret);
	if (!err)
		err = open_control(c, secret);
	if (err) {
		clv_client_close(c);
		return err;
	}
	*out = c;
	return 0;
}

void clv_client_close(struct clv_client *c)
{
	if (!c)
		return;
	clv_control_close(c->control);
	if (c->worker)
		clv_worker_close(c->worker); /* and its port */
	else if (c->sock)
		c->sock->ops->close(c->sock);
	clv_mailbox_free(c->commands);
	clv_mailbox_free(c->events);
	while (c->fds_len)
		close(c->fds[--c->fds_len]);
	free(c->fds);
	if (c->quic_fd >= 0)
		close(c->quic_fd);
	free(c);
}

int clv_client_connect(struct clv_client *c, const struct clv_client_connect *p, uint64_t now_ns,
		       struct clv_relay_session **out)
{
	struct clv_relay_session_params sp = {
		.control = c->control,
		.connect = {
			.local = c->local,
			.remote = p->relay,
			.socket = CLV_WORKER_LISTENER_SOCKET,
			.tls = p->tls,
			.profile = p->profile,
			.server_name = p->server_name,
			.no_datagrams = p->no_datagrams,
			.keepalive_ns = c->p.keepalive_ns,
		},
		.authority = p->authority,
		.uri_template = p->uri_template,
		.authorization = p->authorization,
		.tunnels_max = c->p.tunnels_max,
		.capsule_backlog = 1 << 18,
		.answer_ns = c->p.answer_ns,
		.rand = &c->rand,
		.counters = &c->request_counters,
		.ops = p->ops,
		.user = p->user,
	};

	if (route(c, NULL, p->relay.addr, &c->route))
		return CLV_EUNROUTABLE;
	memcpy(sp.connect.local.addr, c->route.source, sizeof(c->route.source));
	memcpy(c->relay, p->relay.addr, sizeof(c->relay));
	c->check_ns = now_ns + CHECK_NS;
	return clv_relay_session_open(&sp, now_ns, out);
}

int clv_client_socket_open(struct clv_client *c, const struct clv_endpoint *local,
			   uint32_t buffer_bytes, struct clv_endpoint *got, int *fd)
{
	struct clv_sock_bind_params bp = {
		.local = *local,
		.receive_bytes = buffer_bytes,
		.send_bytes = buffer_bytes,
	};
	int err;

	if (c->fds_len == c->fds_max)
		return CLV_EFULL;
	err = clv_sock_bind_udp(&bp, fd, got);
	if (err)
		return err;
	c->fds[c->fds_len++] = *fd;
	clv_control_socket_open(c->control, *fd, got);
	return 0;
}

void clv_client_socket_close(struct clv_client *c, int fd, const struct clv_endpoint *local)
{
	clv_control_socket_close(c->control, fd, local);
}

/* ---- the step ---- */

/* Migrate sessions when the host's address or the path MTU has changed. */
static void check_route(struct clv_client *c, uint64_t now_ns)
{
	struct clv_route found;

	if (!c->check_ns || now_ns < c->check_ns)
		return;
	c->check_ns = now_ns + CHECK_NS;
	if (route(c, NULL, c->relay, &found))
		return;
	if (memcmp(found.source, c->route.source, sizeof(found.source)) ||
	    found.hop.mtu != c->route.hop.mtu)
		c->reports_left = REPORTS;
	c->route = found;
	if (!c->reports_left)
		return;
	c->reports_left--;
	clv_control_routes_changed(c->control);
}

unsigned clv_client_step(struct clv_client *c, uint64_t now_ns)
{
	unsigned work;

	c->now_ns = now_ns;
	check_route(c, now_ns);
	work = clv_control_step(c->control, now_ns);
	work += step_reflection(c);
	return work + clv_worker_step(c->worker, now_ns);
}

uint64_t clv_client_next_ns(const struct clv_client *c)
{
	uint64_t a = clv_control_next_ns(c->control), b = clv_worker_next_ns(c->worker);

	if (c->check_ns && c->check_ns < a)
		a = c->check_ns;
	if (reflection_next_ns(c) < a)
		a = reflection_next_ns(c);
	return a < b ? a : b;
}

int clv_client_fd(const struct clv_client *c)
{
	return clv_worker_sock_fd(c->worker);
}

bool clv_client_may_sleep(struct clv_client *c)
{
	return clv_worker_may_sleep(c->worker) && clv_mailbox_may_sleep(c->events);
}

bool clv_client_is_backlogged(const struct clv_client *c)
{
	return clv_mailbox_backlog(c->commands) > 0;
}

void clv_client_stop(struct clv_client *c, uint64_t now_ns)
{
	clv_control_stop(c->control, now_ns);
}

bool clv_client_is_stopped(const struct clv_client *c)
{
	return clv_control_is_stopped(c->control);
}

void clv_client_count_drop(struct clv_client *c, enum clv_counter which)
{
	clv_count(&c->request_counters, which);
}

const struct clv_worker_counters *clv_client_counters(const struct clv_client *c)
{
	return clv_worker_counters(c->worker);
}

uint64_t clv_client_count(const struct clv_client *c, enum clv_counter which)
{
	return clv_count_read(clv_worker_counters(c->worker), which) +
	       clv_count_read(clv_control_counters(c->control), which) +
	       clv_count_read(&c->request_counters, which);
}
