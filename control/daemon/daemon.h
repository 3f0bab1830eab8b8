/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * daemon - the state of culvertd, in the order in which main.c makes it.
 *
 *   certificates.c  certificate and TLS context of each listener
 *   credentials.c   who may use the relay: key of the tokens, users file, list of clients
 *   keeper.c        a process that still may read the operator's files, after the drop of privileges
 *   interfaces.c    the interfaces to serve, at start and later
 *   datapath.c      the datapath mode of each interface, AF_XDP sockets
 *   listeners.c     kernel sockets of the listeners
 *   held.c          what the kernel leaves of the ports that tunnels have
 *   threads.c       workers and their threads
 *   host_ops.c      BPF maps, routes, ports and names for the control core
 *   loop.c          the event loop: signals, reload, stop
 *   process.c       limits, privileges and sandbox of the process
 *
 * Functions of these modules return 0, or an error number with one line in daemon->error; what they
 * made until then is removed by their own close, which accepts what was never made.
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

#include "control/admission/access.h"
#include "control/core/control.h"
#include "control/daemon/config.h"
#include "control/daemon/options.h"
#include "control/host/egress.h"
#include "control/host/icmp.h"
#include "control/host/nic.h"
#include "control/host/netfilter.h"
#include "control/host/notify.h"
#include "control/host/plan.h"
#include "control/host/privs.h"
#include "control/host/resolve.h"
#include "control/host/routes.h"
#include "control/tls/certgen.h"
#include "control/tls/certs.h"
#include "control/tls/tls.h"
#include "control/xdp/bpf.h"
#include "control/xdp/maps.h"
#include "datapath/base/mailbox.h"
#include "datapath/base/pace.h"
#include "datapath/io/handoff.h"
#include "datapath/worker/worker.h"

struct clv_ctl;
struct clv_held;
struct clv_keeper;
struct clv_metrics_http;

/* Who may use the relay. */
struct clv_credentials {
	struct clv_access access;
	bool is_open;		 /* access can be used */
	struct clv_users *users; /* NULL: no users file */
	bool asks_clients;	 /* for their certificates */
	bool serves_nobody;	 /* it wants certificates, and no user has one */
	uint64_t seed[2];	 /* of the table of users */
};

enum {
	CLV_DAEMON_ERROR_MAX = 512,
	CLV_REASON_MAX = 256,
};

/* How packets of an interface reach the workers, best first: each falls back to a later one. */
enum clv_datapath_mode {
	CLV_DATAPATH_ZEROCOPY = 0,
	CLV_DATAPATH_COPY,
	CLV_DATAPATH_GENERIC,
	CLV_DATAPATH_KERNEL, /* no XDP: kernel sockets */
	CLV_DATAPATH_MODES,
};

/* What is to be done about an interface whose sockets or mode are not what its traffic needs. */
enum clv_interface_remedy {
	CLV_REMEDY_NONE = 0,
	CLV_REMEDY_REOPEN,    /* attach again, and open a socket on each of its receive queues */
	CLV_REMEDY_STEP_DOWN, /* use the next lesser mode */
};

/* One interface to serve. */
struct clv_interface {
	struct clv_nic nic; /* ifindex 0: it is not there */
	enum clv_datapath_mode mode;
	int link_fd;		  /* of BPF; -1: nothing attached */
	bool has_fragments;	  /* the program takes frames of several pages */
	bool awaits_queues;	  /* its number of receive queues is why nothing is attached */
	bool awaits_files;	  /* likewise file descriptors */
	unsigned tries;		  /* to attach it since, */
	uint64_t retry_ns;	  /* and no earlier than then again */
	uint16_t number;	  /* its place in map xsks and in hops; of no other at a time */
	uint32_t queues;	  /* with a socket */
	struct clv_faults faults; /* in the program's map when they were last read */
	uint64_t reopened_ns;	  /* when CLV_REMEDY_REOPEN was last tried for want of a socket */
	char why[CLV_DATAPATH_MODES]
		[CLV_REASON_MAX]; /* reason for leaving this mode; "": it was not left */
};

/* What the clock says of a certificate. */
enum clv_certificate_dates {
	CLV_DATES_GOOD,
	CLV_DATES_SOON, /* less than a tenth of its life is left */
	CLV_DATES_EXPIRED,
	CLV_DATES_NOT_YET,
};

struct clv_daemon_listener {
	struct clv_endpoint local;	/* what the sockets are bound to */
	int socks[1 + CLV_WORKERS_MAX]; /* control's, then the workers' */
	struct clv_steer *steer;
	struct clv_tls_context *tls; /* NULL: no certificate before the clock is set */
	struct clv_certs certs;	     /* own ones' */
	struct clv_tls_identity identity;
	enum clv_certificate_dates dates; /* as logged last, at */
	uint64_t dates_seen_ns;
	uint64_t asked_ns; /* the keeper, to renew it; 0: not yet */
};

struct clv_worker_thread {
	uint16_t id;
	int wake_fd; /* eventfd */
	struct clv_mailbox *commands, *events;
	struct clv_port *sock;		   /* until the worker takes ownership */
	struct clv_port *xsk;		   /* NULL: no XDP; the worker's, once there is one */
	struct clv_worker_counters unused; /* for the ports before they have a worker */
	struct clv_worker *worker;
	pthread_t thread;
	bool is_running;
	atomic_bool must_park;	     /* set by control, read by the thread */
	sem_t parked, go;	     /* posted by the thread; posted to let it go on */
	atomic_bool must_quit;	     /* set by control, read by the thread */
	atomic_uint_fast64_t turns;  /* written by the thread: it makes progress */
	uint_fast64_t turns_seen;    /* by control at its last tick */
	struct clv_pace_params pace; /* set before the thread is created */
	uint64_t slice_ns;
	unsigned silent_ticks; /* since turns last changed */
	unsigned cpu;
};

struct clv_loop {
	uv_loop_t loop;
	uv_poll_t port, wake, routes, icmp4, icmp6;
	uv_prepare_t prepare;
	uv_idle_t busy;
	uv_timer_t next, tick, debounce, stop;
	uv_signal_t on_term, on_int, on_hup;
	bool is_open, is_stopping;
	bool has_route_changes;	    /* changed routes or neighbours are not applied yet */
	bool has_interface_changes; /* changed interfaces are not followed yet */
};

struct clv_daemon {
	struct clv_options options;
	struct clv_config config;
	char error[CLV_DAEMON_ERROR_MAX]; /* describes the step that failed */
	uint64_t started_ns;

	int lock_fd; /* -1: not locked */
	uint8_t secret[32];
	struct clv_policy *policy;
	struct clv_credentials credentials;
	struct {
		struct clv_prefix prefix;
		bool is_wanted;	   /* there is IPv6 and no IPv4 */
		bool is_asked;	   /* the answer is not there yet */
		bool is_used;	   /* prefix is known, and the policy knows it */
		uint64_t again_ns; /* when to ask for it next */
	} nat64;

	struct clv_interface interfaces[CLV_LINKS_MAX];
	size_t interfaces_len;
	uint64_t places_left_ns[CLV_LINKS_MAX]; /* when an interface left the place; 0: none did */
	unsigned interfaces_left_out;		/* that would be served, for want of a place */
	struct clv_plan plan;

	struct clv_bpf *bpf; /* NULL: kernel sockets only */
	char no_bpf_why[CLV_REASON_MAX];
	struct clv_netfilter netfilter; /* as it was when clv_firewall_look last looked */
	bool is_netfilter_bypassed;	/* likewise */
	struct clv_maps maps;
	struct clv_routes *routes;
	struct clv_egress_pool *egress;
	struct clv_icmp *icmp; /* NULL: not permitted */
	struct clv_resolve *resolve;

	/* addresses for own certificates: those that strangers can reach, as seen last */
	uint8_t public_own[CLV_CERTGEN_NAMES_MAX][16];
	size_t public_own_len;
	bool has_new_addresses; /* perhaps: public_own is older than a change */

	struct clv_daemon_listener listeners[CLV_LISTENERS_MAX];
	size_t listeners_len;
	struct clv_held *held;	       /* NULL: no BPF */
	int held_fds[CLV_WORKERS_MAX]; /* a socket of each worker */
	size_t held_fds_len;
	uint64_t held_lost;		  /* datagrams, as of the last tick */
	char no_held_why[CLV_REASON_MAX]; /* "": they are read */
	bool host_forwards;		  /* as map `host` has it */
	bool is_steered;       /* by the BPF program; else one worker, by a classic filter */
	struct clv_port *port; /* control's */
	struct clv_worker_counters port_counters;
	int wake_fd; /* control's eventfd */
	struct clv_worker_thread workers[CLV_WORKERS_MAX];
	uint16_t workers_len;
	uint16_t xdp_workers;  /* the first of them, which have a queue of every interface */
	uint16_t next_worker;  /* of those: for the next connection of no known queue */
	bool is_planned_blind; /* when no interface was there whose queues count */
	struct clv_handoff *handoff;

	struct clv_proxy *proxy;
	struct clv_control *control;
	struct clv_loop loop;
	struct clv_keeper *keeper;
	struct clv_ctl *ctl;
	struct clv_metrics_http *metrics;
	struct clv_notify notify;
	struct clv_privs privs;
	char no_sandbox_why[CLV_REASON_MAX]; /* "": the sandbox is closed */

	/* relay_host: where bound tunnels get their ports, as configured; [0] IPv4, [1] IPv6 */
	bool has_bind_local[2];
	uint8_t bind_local[2][16];
};

/* Returns the interface at a place, or NULL; lends. */
const struct clv_interface *clv_daemon_interface_at(const struct clv_daemon *daemon,
						    uint16_t number);

/* Write "what: reason of err" to daemon->error.  Returns err; 0 is no error and writes nothing. */
int clv_daemon_fail(struct clv_daemon *daemon, int err, const char *what);

/* The host's name, or "culvert" if no certificate may carry it.  Lives as long as the program. */
const char *clv_daemon_host_name(void);

#endif
