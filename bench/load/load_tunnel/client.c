/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/load/load_tunnel/load.h"
#include "control/admission/admit.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/io/xsk.h"
#include "datapath/worker/worker.h"

enum {
	RING = 4096,
	MAILBOX_BYTES = 1 << 23,
	BUFFERS = 16384,
	BUFFERED_BYTES = 1 << 28,
	QUEUE_PACKETS = 1024,
	STREAMS = 16384,
	LINK_MTU = 1500,
	SPIN_NS = 60000, /* sleeps shorter than this are not slept */
};

/* ---- the machine: one way ---- */

static int route(void *host, const uint8_t *local, const uint8_t remote[16], struct clv_route *out)
{
	const struct load *l = host;

	(void)local, (void)remote;
	*out = (struct clv_route){ .hop = l->hop };
	memcpy(out->source, l->o.source.addr, sizeof(out->source));
	return 0;
}

static const struct clv_host_ops host_ops = {
	.route = route,
};

/* ---- life ---- */

/* The map of the program that `far --xsk` put on the interface. */
static int far_xskmap(const char *ifname)
{
	struct bpf_prog_info info = { 0 };
	__u32 ids[16], len = sizeof(info), id = 0;
	int ifindex = (int)if_nametoindex(ifname), fd, map;

	if (!ifindex || bpf_xdp_query_id(ifindex, XDP_FLAGS_DRV_MODE, &id) || !id)
		return -ENODEV;
	fd = bpf_prog_get_fd_by_id(id);
	info.nr_map_ids = sizeof(ids) / sizeof(ids[0]);
	info.map_ids = (uintptr_t)ids;
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		return -ENODEV;
	for (__u32 i = 0; i < info.nr_map_ids; i++) {
		struct bpf_map_info about = { 0 };

		len = sizeof(about);
		map = bpf_map_get_fd_by_id(ids[i]);
		if (map >= 0 && !bpf_obj_get_info_by_fd(map, &about, &len) &&
		    about.type == BPF_MAP_TYPE_XSKMAP)
			return map;
	}
	return -ENODEV;
}

/*
 * Each queue is a link to the port: what a connection sends leaves by its own.  A handshake's packets
 * do not say which way they go; here there is one.
 */
static struct {
	struct clv_port_ops ops;
	struct clv_nexthop hop;
	void (*tx_send)(struct clv_port *port, struct clv_tx *tx, size_t len,
			const struct clv_flow *flow, uint8_t ecn);
	unsigned queues;
} spread;

static void spread_tx_send(struct clv_port *port, struct clv_tx *tx, size_t len,
			   const struct clv_flow *flow, uint8_t ecn)
{
	struct clv_flow ours = *flow;

	ours.hop = spread.hop;
	ours.hop.link = (uint16_t)(ntohs(flow->local.port) % spread.queues);
	spread.tx_send(port, tx, len, &ours, ecn);
}

static int open_xsk(struct load *l)
{
	struct clv_xsk_port_params p = { .counters = &l->control_counters.worker,
					 .ring_size = RING,
					 .numa_node = -1 };
	struct clv_xsk_params add = {
		.ifname = l->o.ifname,
		.mode = CLV_XSK_COPY,
		.xskmap_fd = far_xskmap(l->o.ifname),
	};
	int err;

	if (add.xskmap_fd < 0)
		return add.xskmap_fd;
	err = clv_xsk_open(&p, &l->xsk);
	for (unsigned i = 0; !err && i < l->o.queues; i++) {
		add.queue = add.xskmap_key = i;
		add.link = (uint16_t)i;
		err = clv_xsk_add(l->xsk, &add);
	}
	if (err)
		return err;
	spread.queues = l->o.queues;
	spread.hop = l->hop;
	spread.ops = *l->xsk->ops;
	spread.tx_send = spread.ops.tx_send;
	spread.ops.tx_send = spread_tx_send;
	l->xsk->ops = &spread.ops;
	return 0;
}

static int open_worker(struct load *l, const uint8_t secret[static 32])
{
	struct clv_worker_params wp = {
		.workers = 1,
		.conns_max = l->o.conns + 4096,
		.tunnels_max = l->tunnels_len + 64,
		.buffers = BUFFERS,
		.buffered_max = BUFFERED_BYTES,
		.listener_sockets = 1,
		.early_per_conn = 64,
		.early_total = BUFFERS / 8,
		.early_ns = 300 * CLV_MSEC,
		.hop_wait_packets = 8,
		.sock = &l->app.port,
		.xsk = l->xsk,
		.commands = l->commands,
		.events = l->events,
	};

	clv_admit_reset_secret(secret, wp.reset_secret);
	return clv_worker_open(&wp, &l->worker);
}

static int open_control(struct load *l, const uint8_t secret[static 32])
{
	struct clv_control_worker side = { l->commands, l->events, l->worker };
	struct clv_control_params cp = {
		.host_ops = &host_ops,
		.host = l,
		.port = &l->sender.port,
		.workers = &side,
		.workers_len = 1,
		.limits = {
			.conns_max = l->o.conns + 4096,
			.conns_total = l->o.conns + 4096,
			.handshakes_max = l->o.conns + 4096,
			.retry_above = l->o.conns + 4096,
			.tunnels_max = l->tunnels_len + 64,
			.tunnels_total = l->tunnels_len + 64,
			.tunnels_per_conn = STREAMS,
			.queue = {
				.packets = QUEUE_PACKETS,
				.sojourn_ns = 100 * CLV_MSEC,
			},
			.conn_idle_ns = 120 * CLV_SEC,
			.handshake_ns = 10 * CLV_SEC,
			.stream_window = 1 << 16,
			.conn_window = 1 << 22,
			.buffered = BUFFERED_BYTES,
			.stream_cancels_per_sec = 1000,
			.handover_packets = 64,
		},
	};

	memcpy(cp.secret, secret, sizeof(cp.secret));
	clv_send_port_init(&l->sender, l->xsk);
	return clv_control_open(&cp, &l->control);
}

int load_open(struct load *l, const struct load_options *o)
{
	uint8_t secret[32];
	int err;

	memset(l, 0, sizeof(*l));
	l->o = *o;
	l->tunnels_len = o->conns * o->tunnels;
	l->conns = calloc(o->conns + 1, sizeof(*l->conns));
	l->tunnels = calloc(l->tunnels_len + 1, sizeof(*l->tunnels));
	clv_rand_init(&l->rand, 0);
	clv_rand_bytes(&l->rand, secret, sizeof(secret));
	app_port_init(&l->app, l);
	l->commands = clv_mailbox_new(MAILBOX_BYTES, -1);
	l->events = clv_mailbox_new(MAILBOX_BYTES, -1);
	if (!l->conns || !l->tunnels || !l->commands || !l->events)
		return -ENOMEM;
	l->hop = (struct clv_nexthop){
		.via = CLV_VIA_XSK,
		.state = CLV_HOP_READY,
		.mtu = LINK_MTU,
	};
	memcpy(l->hop.l2.dst_mac, o->relay_mac, 6);
	memcpy(l->hop.l2.src_mac, o->source_mac, 6);
	err = open_xsk(l);
	if (!err)
		err = open_worker(l, secret);
	return err ? err : open_control(l, secret);
}

void load_close(struct load *l)
{
	uint64_t until = clv_clock_now_ns() + CLV_SEC;

	clv_control_stop(l->control, clv_clock_now_ns());
	while (!clv_control_is_stopped(l->control) && clv_clock_now_ns() < until) {
		clv_control_step(l->control, clv_clock_now_ns());
		clv_worker_step(l->worker, clv_clock_now_ns());
	}
	clv_control_close(l->control);
	clv_worker_close(l->worker); /* and the AF_XDP port */
	clv_mailbox_free(l->commands);
	clv_mailbox_free(l->events);
	free(l->tunnels);
	free(l->conns);
}

/* ---- connections ---- */

static void on_up(void *user, struct clv_relay_session *rs)
{
	struct load_conn *c = user;
	struct load *l = c->load;

	c->is_up = true;
	l->conns_up++;
	l->pending_conns--;
	hist_add(&l->handshakes, clv_clock_now_ns() - c->since_ns);
	if (l->is_shaking) {
		l->shaken++;
		clv_relay_session_close(rs);
	}
}

static void on_down(void *user, const struct clv_session_end *end)
{
	struct load_conn *c = user;

	c->session = NULL;
	if (c->is_up)
		c->load->conns_up--;
	else
		c->load->pending_conns--;
	if (end->error || !c->is_up) {
		fprintf(stderr, "load_tunnel: a connection ended: %s, code %#llx%s\n",
			clv_strerror(end->error), (unsigned long long)end->code,
			end->is_remote ? ", said the relay" : "");
		c->load->failures++;
	}
	c->is_up = false;
}

static const struct clv_relay_session_ops session_ops = { on_up, on_down, NULL };

int load_connect(struct load *l, struct load_conn *c)
{
	struct clv_relay_session_params p = {
		.control = l->control,
		.connect = {
			.local = l->o.source,
			.remote = l->o.relay,
			.tls = l->o.tls,
			.profile = l->o.profile,
			.server_name = l->o.server_name,
		},
		.authority = l->o.authority,
		.uri_template = l->o.uri_template,
		.tunnels_max = STREAMS,
		.capsule_backlog = 1 << 18,
		.rand = &l->rand,
		.counters = &l->request_counters,
		.ops = &session_ops,
		.user = c,
	};
	int err;

	c->load = l;
	c->since_ns = clv_clock_now_ns();
	c->asked = 0;
	p.connect.local.port = htons((uint16_t)(LOAD_FIRST_PORT + l->next_port++ % LOAD_PORTS));
	err = clv_relay_session_open(&p, c->since_ns, &c->session);
	if (!err)
		l->pending_conns++;
	return err;
}

/* ---- tunnels ---- */

static void on_tunnel_open(void *user, const struct clv_client_result *result)
{
	struct load_tunnel *t = user;

	(void)result;
	t->is_open = true;
	t->conn->load->tunnels_open++;
	t->conn->load->pending_tunnels--;
}

static void on_tunnel_closed(void *user, int error, const struct clv_client_result *result)
{
	struct load_tunnel *t = user;
	struct load *l = t->conn->load;

	if (t->is_open)
		l->tunnels_open--;
	else
		l->pending_tunnels--;
	if (error) {
		fprintf(stderr, "load_tunnel: a tunnel ended: %s, status %u\n", clv_strerror(error),
			result ? result->status : 0);
		l->failures++;
	}
	t->is_open = false;
	t->tunnel = NULL;
}

static const struct clv_relay_tunnel_ops tunnel_ops = { .on_open = on_tunnel_open,
							.on_closed = on_tunnel_closed };

static int ask(struct load *l, struct load_conn *c)
{
	struct load_tunnel *t = &l->tunnels[(size_t)(c - l->conns) * l->o.tunnels + c->asked];
	struct clv_relay_tunnel_params p = {
		.host = l->o.target_host,
		.port = l->o.target_port,
		.socket = LOAD_APP_SOCKET,
		.ops = &tunnel_ops,
		.user = t,
	};
	int err;

	t->conn = c;
	t->index = (uint32_t)(t - l->tunnels);
	app_local(&p.local);
	app_endpoint(t->index, &p.remote);
	err = clv_relay_tunnel_open(c->session, &p, &t->tunnel);
	if (err)
		return err;
	c->asked++;
	l->pending_tunnels++;
	return 0;
}

void load_ask_tunnels(struct load *l)
{
	for (unsigned i = 0; i < l->o.conns; i++) {
		struct load_conn *c = &l->conns[i];

		while (c->is_up && c->asked < l->o.tunnels && l->pending_tunnels < l->o.window)
			if (ask(l, c))
				return;
	}
}

/* ---- the loop ---- */

static uint64_t min_ns(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void load_turn(struct load *l, uint64_t until_ns)
{
	uint64_t now = clv_clock_now_ns(), next;
	struct pollfd fd = { .fd = clv_worker_xsk_fd(l->worker), .events = POLLIN };
	unsigned work = clv_control_step(l->control, now);
	struct timespec t;

	work += clv_worker_step(l->worker, now);
	if (work || !clv_worker_may_sleep(l->worker) || !clv_mailbox_may_sleep(l->events))
		return;
	next = min_ns(clv_control_next_ns(l->control), clv_worker_next_ns(l->worker));
	next = min_ns(min_ns(next, until_ns), app_port_next_ns(&l->app));
	now = clv_clock_now_ns();
	if (next < now + SPIN_NS)
		return;
	t = (struct timespec){ .tv_sec = (time_t)((next - now) / CLV_SEC),
			       .tv_nsec = (long)((next - now) % CLV_SEC) };
	ppoll(&fd, 1, &t, NULL);
}
