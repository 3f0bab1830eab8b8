/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relay - all that culvertd holds, in the order in which main.c makes it.
 *
 *   relay_links.c    interfaces: which, from the start and later
 *   relay_ladder.c   how far up the ladder each of them gets
 *   relay_workers.c  listeners' sockets, workers and their threads
 *   relay_host.c     the tables, routes, ports and names that the control core asks for
 *   relay_loop.c     the event loop: signals, reload, stop
 *   admin/report.c   all of it as JSON
 *   admin/metrics.c  its figures for Prometheus
 *
 * Threading: control, unless a member says otherwise.
 */
#ifndef CLV_DAEMON_DAEMON_H
#define CLV_DAEMON_DAEMON_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "control/host/notify.h"
#include "control/host/privs.h"
#include "control/xdp/load.h"
#include "control/daemon/config.h"
#include "control/core/control.h"
#include "control/tls/certs.h"
#include "control/host/icmp.h"
#include "control/xdp/maps.h"
#include "control/host/egress.h"
#include "control/host/nic.h"
#include "control/daemon/options.h"
#include "datapath/base/pace.h"
#include "control/host/plan.h"
#include "control/host/resolve.h"
#include "control/host/routes.h"
#include "datapath/base/mailbox.h"
#include "datapath/io/handoff.h"
#include "datapath/worker/worker.h"

struct clv_ctl;
struct clv_metrics_http;

enum {
	CLV_RELAY_ERROR_MAX = 512,
	CLV_RELAY_WHY_MAX = 256,
};

/* The rungs of the ladder, best first. */
enum clv_rung {
	CLV_RUNG_ZEROCOPY = 0,
	CLV_RUNG_COPY,
	CLV_RUNG_GENERIC,
	CLV_RUNG_KERNEL, /* no XDP: kernel sockets */
	CLV_RUNG_MAX,
};

/* One interface that was asked to run the XDP program. */
struct clv_relay_link {
	struct clv_nic nic;
	enum clv_rung rung;
	int link_fd;				   /* -1: nothing attached */
	uint16_t number;			   /* as in xsks */
	uint32_t queues;			   /* with a socket */
	char why[CLV_RUNG_MAX][CLV_RELAY_WHY_MAX]; /* why this rung was left; "" if it was not */
};

struct clv_relay_listener {
	struct clv_endpoint local;	/* what the sockets are bound to */
	int socks[1 + CLV_WORKERS_MAX]; /* control's, then the workers' */
	struct clv_steer *steer;
	struct clv_tls_context *tls;
	struct clv_certs certs;
};

struct clv_relay_worker {
	uint16_t id;
	int wake_fd; /* eventfd */
	struct clv_mailbox *commands, *events;
	struct clv_port *sock, *xsk;	 /* until the worker takes them */
	const struct clv_port *xsk_seen; /* for clv_xsk_info, as long as the worker lives */
	struct clv_counters unused;	 /* the ports count here before they have a worker */
	struct clv_worker *worker;
	pthread_t thread;
	bool is_running;
	atomic_bool must_park;	     /* set by control, read by the thread */
	sem_t parked, go;	     /* the thread stands still; it may go on */
	atomic_bool must_quit;	     /* set by control, read by the thread */
	atomic_uint_fast64_t turns;  /* written by the thread: that it lives */
	uint_fast64_t turns_seen;    /* by control, at the last tick */
	struct clv_pace_params pace; /* before the thread is made */
	uint64_t slice_ns;
	unsigned silent_ticks; /* since turns went on */
	unsigned cpu;
};

struct clv_relay_loop {
	uv_loop_t loop;
	uv_poll_t port, wake, routes, icmp4, icmp6;
	uv_prepare_t prepare;
	uv_idle_t busy;
	uv_timer_t next, tick, debounce, stop;
	uv_signal_t on_term, on_int, on_hup;
	bool is_open, is_stopping;
	bool is_changed_again; /* routes or neighbours, since they were last taken in */
	bool has_new_links;    /* interfaces came, went or changed, since they were looked at */
};

struct clv_relay {
	struct clv_options options;
	struct clv_config config;
	char error[CLV_RELAY_ERROR_MAX]; /* of the step that failed */
	uint64_t started_ns;

	int lock_fd; /* -1 before */
	uint8_t secret[32];
	struct clv_policy *policy;

	struct clv_relay_link links[CLV_LINKS_MAX];
	size_t links_len;
	struct clv_plan plan;

	struct clv_bpf *bpf; /* NULL: kernel sockets only */
	char no_bpf_why[CLV_RELAY_WHY_MAX];
	struct clv_maps maps;
	struct clv_routes *routes;
	struct clv_egress_pool *egress;
	struct clv_icmp *icmp; /* NULL: not allowed */
	struct clv_resolve *resolve;

	struct clv_relay_listener listeners[CLV_LISTENERS_MAX];
	size_t listeners_len;
	bool is_steered;       /* by the BPF program; else by the classic filter, with one worker */
	struct clv_port *port; /* control's */
	struct clv_counters port_counters;
	int wake_fd; /* control's eventfd */
	struct clv_relay_worker workers[CLV_WORKERS_MAX];
	uint16_t workers_len;
	struct clv_handoff *handoff;

	struct clv_control *control;
	struct clv_relay_loop loop;
	struct clv_ctl *ctl;
	struct clv_metrics_http *metrics;
	struct clv_notify notify;
	struct clv_privs privs;
	char no_sandbox_why[CLV_RELAY_WHY_MAX]; /* "": it is closed */

	/* relay_host: where bound tunnels get their ports, as configured; [0] IPv4, [1] IPv6 */
	bool has_bind_local[2];
	uint8_t bind_local[2][16];

	/* relay_host: the way that was asked for last, which a port is taken for next */
	struct clv_route last_route;
};

/*
 * The steps of a start.  Each returns 0, or an error number with one line in relay->error; what it
 * made until then is removed by its own close, which accepts what was never made.
 */

/* Choose the interfaces by the configuration: filled in, nothing attached. */
int clv_relay_choose_links(struct clv_relay *relay);
/* Decide the number of workers and their cores. */
int clv_relay_make_plan(struct clv_relay *relay);
/* Load the XDP program, attach it, and give each worker the sockets of its queues. */
int clv_relay_open_links(struct clv_relay *relay);
/*
 * Interfaces came, went or changed while the relay runs: attach to those that the configuration means,
 * and forget those that are gone.  For either, workers stand still and get new sockets.  Returns
 * whether they did.
 */
bool clv_relay_follow_links(struct clv_relay *relay);
/* Detach.  After the workers are closed: some drivers cannot unbind sockets otherwise. */
void clv_relay_close_links(struct clv_relay *relay);

/* Whether the program that steers among kernel sockets may be loaded: more than one worker needs it. */
int clv_relay_open_steering(struct clv_relay *relay);
int clv_relay_open_listeners(struct clv_relay *relay);
void clv_relay_close_listeners(struct clv_relay *relay);

int clv_relay_open_workers(struct clv_relay *relay);
int clv_relay_start_workers(struct clv_relay *relay);
/* Once a second: whether all threads are alive.  A silent one is woken first. */
bool clv_relay_check_workers(struct clv_relay *relay);
void clv_relay_stop_workers(struct clv_relay *relay); /* threads have ended on return */
/* Let the threads stand still between two steps, and go on. */
void clv_relay_park_workers(struct clv_relay *relay);
void clv_relay_unpark_workers(struct clv_relay *relay);
void clv_relay_close_workers(struct clv_relay *relay);

int clv_relay_open_loop(struct clv_relay *relay);
/* Serve until stopped. */
void clv_relay_run_loop(struct clv_relay *relay);
/* Returns false when a resolver's thread still hangs: leave the rest to the end of the process. */
bool clv_relay_close_loop(struct clv_relay *relay);

/* Bring the listeners map in line with our addresses. */
int clv_relay_update_listeners(struct clv_relay *relay);

const char *clv_rung_name(enum clv_rung rung);

#endif
