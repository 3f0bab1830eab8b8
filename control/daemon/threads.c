/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The listeners' sockets, the workers, and the threads they run on. */
#include "control/admission/admit.h"
#include "control/daemon/daemon.h"
#include "control/host/slice.h"

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/base/timers.h"
#include "datapath/io/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <numa.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
	MAILBOX_BYTES = 1 << 20,
	HANDOFF_BYTES = 1 << 20,
	SILENT_TICKS_MAX = 5, /* seconds; a woken thread that lives takes a turn at once */
};

static int fail(struct clv_relay *relay, int err, const char *what)
{
	snprintf(relay->error, sizeof(relay->error), "%s: %s", what, clv_strerror(err));
	return err;
}

/* ---- sockets of the listeners ---- */

int clv_relay_open_steering(struct clv_relay *relay)
{
	struct clv_steer *steer;
	int err;

	/* Loaded for good when the map it looks into is there; now only to know whether it may be. */
	err = clv_steer_open(-1, 1, &steer, relay->error, sizeof(relay->error));
	relay->is_steered = !err;
	if (!err)
		clv_steer_close(steer);
	else if (err == -ENOMEM)
		return err;
	else
		clv_log(CLV_LOG_WARN, "one_worker",
			"because=\"%s\" hint=\"packets cannot be steered among more\"",
			relay->error);
	return 0;
}

/* With SO_REUSEPORT another program of the same user would get its share of our packets unnoticed. */
static int probe_port(struct clv_relay *relay, const struct clv_sock_bind_params *params)
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
	return fail(relay, err, what);
}

static int open_sockets(struct clv_relay *relay, struct clv_relay_listener *l, uint16_t port)
{
	const struct clv_sock_bind_params params = {
		.local = { .port = htons(port) },
		.reuse_port = true,
		.receive_bytes = relay->config.socket_bytes,
		.send_bytes = relay->config.socket_bytes,
	};
	uint16_t i;
	int err;

	err = probe_port(relay, &params);
	/* Control's first: the steering programs count on the order of joining. */
	for (i = 0; i <= relay->workers_len && !err; i++) {
		err = clv_sock_bind_udp(&params, &l->socks[i], &l->local);
		if (err)
			return fail(relay, err, "listener socket");
	}
	return err;
}

static int steer(struct clv_relay *relay, struct clv_relay_listener *l)
{
	uint32_t ids = relay->config.limits.conns_max * 8 * relay->workers_len;
	int err;

	if (!relay->is_steered) {
		err = clv_steer_classic(l->socks[0]);
		return err ? fail(relay, err, "SO_ATTACH_REUSEPORT_CBPF") : 0;
	}
	err = clv_steer_open(relay->maps.fds.conns, ids, &l->steer, relay->error,
			     sizeof(relay->error));
	if (err)
		return err;
	/* Without XDP the first steering program brings the map that all use. */
	if (relay->maps.fds.conns < 0)
		relay->maps.fds.conns = clv_steer_conns_fd(l->steer);
	return clv_steer_attach(l->steer, l->socks, 1 + (size_t)relay->workers_len, relay->error,
				sizeof(relay->error));
}

/* Sockets get the same numbers in every port: that of their listener. */
static int add_to_port(struct clv_relay *relay, struct clv_port *port, int fd,
		       const struct clv_endpoint *local, uint32_t expected)
{
	uint32_t number;
	int err = port->ops->add_socket(port, fd, local, &number);

	if (err)
		return fail(relay, err, "listener socket");
	return number == expected ? 0 : fail(relay, -EINVAL, "listener socket's number");
}

static int open_listener(struct clv_relay *relay, size_t index)
{
	const struct clv_config_listener *config = &relay->config.listeners[index];
	struct clv_relay_listener *l = &relay->listeners[index];
	uint16_t i;
	int err;

	err = open_sockets(relay, l, config->port);
	err = err ? err : steer(relay, l);
	err = err ? err : add_to_port(relay, relay->port, l->socks[0], &l->local, (uint32_t)index);
	for (i = 0; i < relay->workers_len && !err; i++)
		err = add_to_port(relay, relay->workers[i].sock, l->socks[1 + i], &l->local,
				  (uint32_t)index);
	if (err)
		return err;
	clv_log(CLV_LOG_INFO, "listening", "listener=%s port=%u profile=%s families=%s",
		config->name, config->port, clv_profile_name((enum clv_profile)config->profile),
		clv_addr_is_any(l->local.addr) ? "both" : "IPv4");
	return 0;
}

int clv_relay_open_listeners(struct clv_relay *relay)
{
	struct clv_sock_params params = {
		.counters = &relay->port_counters,
		.sockets_max = CLV_LISTENERS_MAX,
	};
	size_t k;
	uint16_t i;
	int err;

	for (k = 0; k < CLV_LISTENERS_MAX; k++)
		memset(relay->listeners[k].socks, -1, sizeof(relay->listeners[k].socks));
	err = clv_sock_open(&params, &relay->port);
	for (i = 0; i < relay->workers_len && !err; i++) {
		params.counters = &relay->workers[i].unused;
		params.sockets_max = CLV_LISTENERS_MAX +
				     relay->config.limits.tunnels_max * CLV_TUNNEL_ENDS;
		err = clv_sock_open(&params, &relay->workers[i].sock);
	}
	if (err)
		return fail(relay, err, "socket port");
	for (k = 0; k < relay->config.listeners_len && !err; k++)
		err = open_listener(relay, k);
	return err;
}

void clv_relay_close_listeners(struct clv_relay *relay)
{
	size_t i, k;

	if (relay->port)
		relay->port->ops->close(relay->port);
	relay->port = NULL;
	for (k = 0; k < relay->config.listeners_len; k++) {
		struct clv_relay_listener *l = &relay->listeners[k];

		clv_steer_close(l->steer);
		l->steer = NULL;
		for (i = 0; i < sizeof(l->socks) / sizeof(l->socks[0]); i++) {
			if (l->socks[i] > 0)
				close(l->socks[i]);
			l->socks[i] = -1;
		}
	}
}

/* ---- workers ---- */

/* Where the memory of what is opened next should be; -1: wherever its first user runs. */
static void prefer_node(int node)
{
	if (numa_available() >= 0)
		numa_set_preferred(node);
}

static int open_worker(struct clv_relay *relay, struct clv_relay_worker *rw)
{
	const struct clv_config *config = &relay->config;
	struct clv_worker_params params = {
		.id = rw->id,
		.workers = relay->workers_len,
		.conns_max = config->limits.conns_max,
		.tunnels_max = config->limits.tunnels_max,
		.remotes_max = config->limits.remotes_max,
		.remotes_per_conn = config->limits.remotes_per_conn,
		.remotes_per_tunnel = config->limits.remotes_per_tunnel,
		.buffers = config->buffers,
		.buffered_max = config->limits.buffered,
		.quic_memory_max = config->limits.quic_memory,
		.early_per_conn = config->tunnel_early_packets,
		.early_ns = config->tunnel_early_ns,
		.listener_sockets = (uint32_t)config->listeners_len,
		.hop_wait_packets = config->hop_wait_packets,
		.icmp_per_sec = config->icmp_per_sec,
		.verdicts = clv_policy_verdicts(relay->policy),
		.sock = rw->sock,
		.xsk = rw->xsk,
		.handoff = relay->handoff,
	};
	int err;

	rw->commands = clv_mailbox_new(MAILBOX_BYTES, rw->wake_fd);
	rw->events = clv_mailbox_new(MAILBOX_BYTES, relay->wake_fd);
	if (!rw->commands || !rw->events)
		return -ENOMEM;
	params.commands = rw->commands;
	params.events = rw->events;
	clv_admit_reset_secret(relay->secret, params.reset_secret);
	prefer_node(relay->plan.workers[rw->id].numa_node);
	err = clv_worker_open(&params, &rw->worker);
	prefer_node(-1);
	if (err)
		return err;
	rw->xsk_seen = rw->xsk;
	rw->sock = NULL;
	rw->xsk = NULL;
	return 0;
}

int clv_relay_open_workers(struct clv_relay *relay)
{
	int err, wake_fds[CLV_WORKERS_MAX];
	char what[32];
	uint16_t i;

	relay->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (relay->wake_fd < 0)
		return fail(relay, -errno, "eventfd");
	for (i = 0; i < relay->workers_len; i++) {
		relay->workers[i].wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (relay->workers[i].wake_fd < 0)
			return fail(relay, -errno, "eventfd");
		wake_fds[i] = relay->workers[i].wake_fd;
	}
	if (relay->workers_len > 1) {
		relay->handoff = clv_handoff_new(relay->workers_len, HANDOFF_BYTES, wake_fds);
		if (!relay->handoff)
			return fail(relay, -ENOMEM, "hand-off rings");
	}
	for (i = 0; i < relay->workers_len; i++) {
		relay->workers[i].id = i;
		relay->workers[i].cpu = relay->plan.workers[i].cpu;
		relay->workers[i].pace = relay->config.pace;
		relay->workers[i].slice_ns = relay->config.slice_ns;
		err = open_worker(relay, &relay->workers[i]);
		if (err) {
			snprintf(what, sizeof(what), "worker %u", i);
			return fail(relay, err, what);
		}
	}
	return 0;
}

void clv_relay_close_workers(struct clv_relay *relay)
{
	uint16_t i;

	for (i = 0; i < relay->workers_len; i++) {
		struct clv_relay_worker *rw = &relay->workers[i];

		if (rw->worker)
			clv_worker_close(rw->worker);
		if (rw->sock)
			rw->sock->ops->close(rw->sock);
		if (rw->xsk)
			rw->xsk->ops->close(rw->xsk);
		clv_mailbox_free(rw->commands);
		clv_mailbox_free(rw->events);
		if (rw->wake_fd > 0)
			close(rw->wake_fd);
		*rw = (struct clv_relay_worker){ .wake_fd = -1 };
	}
	clv_handoff_free(relay->handoff);
	relay->handoff = NULL;
	if (relay->wake_fd > 0)
		close(relay->wake_fd);
	relay->wake_fd = -1;
}

/* ---- threads ---- */

/* Sleep until something comes or the next timer is due. */
static void sleep_until_work(struct clv_relay_worker *rw, uint64_t now_ns)
{
	struct pollfd fds[] = {
		{ .fd = rw->wake_fd, .events = POLLIN },
		{ .fd = clv_worker_sock_fd(rw->worker), .events = POLLIN },
		{ .fd = clv_worker_xsk_fd(rw->worker), .events = POLLIN },
	};
	uint64_t ticks, next_ns = clv_worker_next_ns(rw->worker);
	struct timespec wait = { 0 };

	/* A full ring says nothing when it has room again. */
	if (clv_mailbox_backlog(rw->events) && next_ns > now_ns + CLV_MSEC)
		next_ns = now_ns + CLV_MSEC;
	if (next_ns > now_ns) {
		wait.tv_sec = (time_t)((next_ns - now_ns) / CLV_SEC);
		wait.tv_nsec = (long)((next_ns - now_ns) % CLV_SEC);
	}
	ppoll(fds, sizeof(fds) / sizeof(fds[0]), next_ns == CLV_TIMER_NEVER ? NULL : &wait, NULL);
	/* Errors show as readable, too, and would make the loop spin. */
	if (fds[0].revents && read(rw->wake_fd, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
		clv_log(CLV_LOG_ERROR, "wake_fd", "worker=%u err=\"%s\"", rw->id,
			clv_strerror(-errno));
}

static void pause_for(uint64_t ns)
{
	const struct timespec wait = { .tv_nsec = (long)ns };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL);
}

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) && errno == EINTR)
		;
}

static void stand_still(struct clv_relay_worker *rw)
{
	sem_post(&rw->parked);
	wait_for(&rw->go);
}

static void *run_worker(void *arg)
{
	struct clv_relay_worker *rw = arg;
	struct clv_pace pace = { .p = rw->pace };
	uint_fast64_t turns = 0;
	uint64_t now_ns, pause_ns;
	unsigned work;
	char name[32];
	int err;

	snprintf(name, sizeof(name), "clv-worker-%u", rw->id);
	pthread_setname_np(pthread_self(), name);
	prctl(PR_SET_TIMERSLACK, 1000UL); /* else a pause is 50 us longer than it says */
	err = clv_slice_set(rw->slice_ns);
	if (err)
		clv_log(CLV_LOG_WARN, "no_slice", "worker=%u err=\"%s\"", rw->id,
			clv_strerror(err));
	while (!atomic_load_explicit(&rw->must_quit, memory_order_acquire)) {
		if (atomic_load_explicit(&rw->must_park, memory_order_acquire))
			stand_still(rw);
		atomic_store_explicit(&rw->turns, ++turns, memory_order_relaxed);
		now_ns = clv_clock_now_ns();
		work = clv_worker_step(rw->worker, now_ns);
		switch (clv_pace_next(&pace, work, now_ns, &pause_ns)) {
		case CLV_PACE_STEP:
			if (!work) /* looking on: whoever else has something to do here goes first */
				sched_yield();
			break;
		case CLV_PACE_PAUSE:
			pause_for(pause_ns);
			break;
		case CLV_PACE_SLEEP:
			if (clv_worker_may_sleep(rw->worker))
				sleep_until_work(rw, now_ns);
			break;
		}
	}
	return NULL;
}

static void pin(pthread_t thread, unsigned cpu, const char *name)
{
	cpu_set_t *set = CPU_ALLOC(cpu + 1);
	int err = ENOMEM;

	if (set) {
		CPU_ZERO_S(CPU_ALLOC_SIZE(cpu + 1), set);
		CPU_SET_S(cpu, CPU_ALLOC_SIZE(cpu + 1), set);
		err = pthread_setaffinity_np(thread, CPU_ALLOC_SIZE(cpu + 1), set);
		CPU_FREE(set);
	}
	if (err)
		clv_log(CLV_LOG_WARN, "not_pinned", "thread=%s cpu=%u err=\"%s\"", name, cpu,
			clv_strerror(-err));
}

int clv_relay_start_workers(struct clv_relay *relay)
{
	sigset_t all, before;
	char name[32];
	uint16_t i;
	int err = 0;

	/* Signals are the loop's. */
	sigfillset(&all);
	sigdelset(&all, SIGSYS); /* but for what the sandbox says of the thread itself */
	pthread_sigmask(SIG_BLOCK, &all, &before);
	for (i = 0; i < relay->workers_len && !err; i++) {
		struct clv_relay_worker *rw = &relay->workers[i];

		snprintf(name, sizeof(name), "clv-worker-%u", i);
		atomic_store(&rw->must_quit, false);
		atomic_store(&rw->must_park, false);
		sem_init(&rw->parked, 0, 0);
		sem_init(&rw->go, 0, 0);
		err = -pthread_create(&rw->thread, NULL, run_worker, rw);
		if (err)
			break;
		rw->is_running = true;
		pin(rw->thread, rw->cpu, name);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return fail(relay, err, "worker thread");
	pin(pthread_self(), relay->plan.control.cpu, "control");
	return 0;
}

static void wake(const struct clv_relay_worker *rw)
{
	const uint64_t one = 1;

	if (write(rw->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		clv_log(CLV_LOG_ERROR, "wake_fd", "worker=%u err=\"%s\"", rw->id,
			clv_strerror(-errno));
}

void clv_relay_park_workers(struct clv_relay *relay)
{
	uint16_t i;

	for (i = 0; i < relay->workers_len; i++) {
		atomic_store_explicit(&relay->workers[i].must_park, true, memory_order_release);
		wake(&relay->workers[i]);
	}
	for (i = 0; i < relay->workers_len; i++) {
		wait_for(&relay->workers[i].parked);
		atomic_store_explicit(&relay->workers[i].must_park, false, memory_order_relaxed);
	}
}

void clv_relay_unpark_workers(struct clv_relay *relay)
{
	uint16_t i;

	for (i = 0; i < relay->workers_len; i++)
		sem_post(&relay->workers[i].go);
}

bool clv_relay_check_workers(struct clv_relay *relay)
{
	bool is_alive = true;
	uint16_t i;

	for (i = 0; i < relay->workers_len; i++) {
		struct clv_relay_worker *rw = &relay->workers[i];
		uint_fast64_t turns = atomic_load_explicit(&rw->turns, memory_order_relaxed);

		if (turns != rw->turns_seen) {
			rw->turns_seen = turns;
			rw->silent_ticks = 0;
			continue;
		}
		wake(rw);
		if (++rw->silent_ticks == SILENT_TICKS_MAX)
			clv_log(CLV_LOG_ERROR, "worker_stuck", "worker=%u cpu=%u", i, rw->cpu);
		is_alive = is_alive && rw->silent_ticks < SILENT_TICKS_MAX;
	}
	return is_alive;
}

void clv_relay_stop_workers(struct clv_relay *relay)
{
	uint16_t i;

	for (i = 0; i < relay->workers_len; i++) {
		struct clv_relay_worker *rw = &relay->workers[i];

		if (!rw->is_running)
			continue;
		atomic_store_explicit(&rw->must_quit, true, memory_order_release);
		wake(rw);
		pthread_join(rw->thread, NULL);
		rw->is_running = false;
	}
}
