/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/threads.h"

#include "control/admission/admit.h"
#include "control/host/slice.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/base/timers.h"

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
	SILENT_TICKS_MAX = 5, /* seconds; a healthy thread makes a turn as soon as it is woken */
};

/* ---- workers ---- */

/* Set the NUMA node for memory that is allocated next; -1: the node of its first user. */
static void prefer_node(int node)
{
	if (numa_available() >= 0)
		numa_set_preferred(node);
}

static int open_worker(struct clv_daemon *daemon, struct clv_worker_thread *thread)
{
	const struct clv_config *config = &daemon->config;
	struct clv_worker_params params = {
		.id = thread->id,
		.workers = daemon->workers_len,
		.conns_max = config->limits.conns_max,
		.tunnels_max = config->limits.tunnels_max,
		.remotes_max = config->bind.remotes_max,
		.remotes_per_conn = config->bind.remotes_per_conn,
		.remotes_per_tunnel = config->bind.remotes_per_tunnel,
		.buffers = config->buffers,
		.buffered_max = config->limits.buffered,
		.quic_memory_max = config->limits.quic_memory,
		.early_per_conn = config->early_packets,
		.early_total = config->early_total,
		.early_ns = config->early_ns,
		.listener_sockets = (uint32_t)config->listeners_len,
		.hop_wait_packets = config->hop_wait_packets,
		.icmp_per_sec = config->icmp_per_sec,
		.icmp_source_per_sec = config->icmp_source_per_sec,
		.icmp_mtu_min4 = (uint16_t)config->icmp_mtu_min,
		.verdicts = clv_policy_verdicts(daemon->policy),
		.sock = thread->sock,
		.xsk = thread->xsk,
		.handoff = daemon->handoff,
	};
	int err;

	thread->commands = clv_mailbox_new(CLV_THREADS_MAILBOX_BYTES, thread->wake_fd);
	thread->events = clv_mailbox_new(CLV_THREADS_MAILBOX_BYTES, daemon->wake_fd);
	if (!thread->commands || !thread->events)
		return -ENOMEM;
	params.commands = thread->commands;
	params.events = thread->events;
	clv_admit_reset_secret(daemon->secret, params.reset_secret);
	prefer_node(daemon->plan.workers[thread->id].numa_node);
	err = clv_worker_open(&params, &thread->worker);
	prefer_node(-1);
	if (err)
		return err;
	thread->sock = NULL;
	return 0;
}

int clv_threads_open(struct clv_daemon *daemon)
{
	int err, wake_fds[CLV_WORKERS_MAX];
	char what[32];
	uint16_t i;

	daemon->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (daemon->wake_fd < 0)
		return clv_daemon_fail(daemon, -errno, "eventfd");
	for (i = 0; i < daemon->workers_len; i++) {
		daemon->workers[i].wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (daemon->workers[i].wake_fd < 0)
			return clv_daemon_fail(daemon, -errno, "eventfd");
		wake_fds[i] = daemon->workers[i].wake_fd;
	}
	if (daemon->workers_len > 1) {
		daemon->handoff = clv_handoff_new(daemon->workers_len, CLV_THREADS_HANDOFF_BYTES,
						  wake_fds);
		if (!daemon->handoff)
			return clv_daemon_fail(daemon, -ENOMEM, "hand-off rings");
	}
	for (i = 0; i < daemon->workers_len; i++) {
		daemon->workers[i].id = i;
		daemon->workers[i].cpu = daemon->plan.workers[i].cpu;
		daemon->workers[i].pace = daemon->config.pace;
		daemon->workers[i].slice_ns = daemon->config.slice_ns;
		err = open_worker(daemon, &daemon->workers[i]);
		if (err) {
			snprintf(what, sizeof(what), "worker %u", i);
			return clv_daemon_fail(daemon, err, what);
		}
	}
	return 0;
}

void clv_threads_close(struct clv_daemon *daemon)
{
	uint16_t i;

	for (i = 0; i < daemon->workers_len; i++) {
		struct clv_worker_thread *thread = &daemon->workers[i];

		if (thread->worker)
			clv_worker_close(thread->worker);
		if (thread->sock)
			thread->sock->ops->close(thread->sock);
		if (thread->xsk && !thread->worker)
			thread->xsk->ops->close(thread->xsk);
		clv_mailbox_free(thread->commands);
		clv_mailbox_free(thread->events);
		if (thread->wake_fd > 0)
			close(thread->wake_fd);
		*thread = (struct clv_worker_thread){ .wake_fd = -1 };
	}
	clv_handoff_free(daemon->handoff);
	daemon->handoff = NULL;
	if (daemon->wake_fd > 0)
		close(daemon->wake_fd);
	daemon->wake_fd = -1;
}

/* ---- threads ---- */

/* Sleep until something arrives or the next timer is due. */
static void sleep_until_work(struct clv_worker_thread *thread, uint64_t now_ns)
{
	struct pollfd fds[] = {
		{ .fd = thread->wake_fd, .events = POLLIN },
		{ .fd = clv_worker_sock_fd(thread->worker), .events = POLLIN },
		{ .fd = clv_worker_xsk_fd(thread->worker), .events = POLLIN },
	};
	uint64_t ticks, next_ns = clv_worker_next_ns(thread->worker);
	struct timespec wait = { 0 };

	/* A full ring does not signal when it has room again. */
	if (clv_mailbox_backlog(thread->events) && next_ns > now_ns + CLV_MSEC)
		next_ns = now_ns + CLV_MSEC;
	if (next_ns > now_ns) {
		wait.tv_sec = (time_t)((next_ns - now_ns) / CLV_SEC);
		wait.tv_nsec = (long)((next_ns - now_ns) % CLV_SEC);
	}
	ppoll(fds, sizeof(fds) / sizeof(fds[0]), next_ns == CLV_TIMER_NEVER ? NULL : &wait, NULL);
	/* Errors also count as readable and would make the loop spin: log them. */
	if (fds[0].revents && read(thread->wake_fd, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
		clv_log(CLV_LOG_ERROR, "wake_fd", "worker=%u err=\"%s\"", thread->id,
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

static void park(struct clv_worker_thread *thread)
{
	sem_post(&thread->parked);
	wait_for(&thread->go);
}

static void *run_worker(void *arg)
{
	struct clv_worker_thread *thread = arg;
	struct clv_pace pace = { .p = thread->pace };
	uint_fast64_t turns = 0;
	uint64_t now_ns, pause_ns;
	unsigned work;
	char name[32];
	int err;

	snprintf(name, sizeof(name), "clv-worker-%u", thread->id);
	pthread_setname_np(pthread_self(), name);
	prctl(PR_SET_TIMERSLACK, 1000UL); /* in ns; the default makes pauses 50 us longer */
	err = clv_slice_set(thread->slice_ns);
	if (err)
		clv_log(CLV_LOG_WARN, "no_slice", "worker=%u err=\"%s\"", thread->id,
			clv_strerror(err));
	while (!atomic_load_explicit(&thread->must_quit, memory_order_acquire)) {
		if (atomic_load_explicit(&thread->must_park, memory_order_acquire))
			park(thread);
		atomic_store_explicit(&thread->turns, ++turns, memory_order_relaxed);
		now_ns = clv_clock_now_ns();
		work = clv_worker_step(thread->worker, now_ns);
		switch (clv_pace_next(&pace, work, now_ns, &pause_ns)) {
		case CLV_PACE_STEP:
			if (!work) /* spinning: let other threads of this core go first */
				sched_yield();
			break;
		case CLV_PACE_PAUSE:
			pause_for(pause_ns);
			break;
		case CLV_PACE_SLEEP:
			if (clv_worker_may_sleep(thread->worker))
				sleep_until_work(thread, now_ns);
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

int clv_threads_start(struct clv_daemon *daemon)
{
	sigset_t all, before;
	char name[32];
	uint16_t i;
	int err = 0;

	/* Signals are handled by the control loop. */
	sigfillset(&all);
	sigdelset(&all, SIGSYS); /* except those that the sandbox raises in the thread itself */
	pthread_sigmask(SIG_BLOCK, &all, &before);
	for (i = 0; i < daemon->workers_len && !err; i++) {
		struct clv_worker_thread *thread = &daemon->workers[i];

		snprintf(name, sizeof(name), "clv-worker-%u", i);
		atomic_store(&thread->must_quit, false);
		atomic_store(&thread->must_park, false);
		sem_init(&thread->parked, 0, 0);
		sem_init(&thread->go, 0, 0);
		err = -pthread_create(&thread->thread, NULL, run_worker, thread);
		if (err)
			break;
		thread->is_running = true;
		pin(thread->thread, thread->cpu, name);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return clv_daemon_fail(daemon, err, "worker thread");
	pin(pthread_self(), daemon->plan.control.cpu, "control");
	return 0;
}

static void wake(const struct clv_worker_thread *thread)
{
	const uint64_t one = 1;

	if (write(thread->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		clv_log(CLV_LOG_ERROR, "wake_fd", "worker=%u err=\"%s\"", thread->id,
			clv_strerror(-errno));
}

void clv_threads_park(struct clv_daemon *daemon)
{
	uint16_t i;

	for (i = 0; i < daemon->workers_len; i++) {
		atomic_store_explicit(&daemon->workers[i].must_park, true, memory_order_release);
		wake(&daemon->workers[i]);
	}
	for (i = 0; i < daemon->workers_len; i++) {
		wait_for(&daemon->workers[i].parked);
		atomic_store_explicit(&daemon->workers[i].must_park, false, memory_order_relaxed);
	}
}

void clv_threads_resume(struct clv_daemon *daemon)
{
	uint16_t i;

	for (i = 0; i < daemon->workers_len; i++)
		sem_post(&daemon->workers[i].go);
}

bool clv_threads_check(struct clv_daemon *daemon)
{
	bool is_alive = true;
	uint16_t i;

	for (i = 0; i < daemon->workers_len; i++) {
		struct clv_worker_thread *thread = &daemon->workers[i];
		uint_fast64_t turns = atomic_load_explicit(&thread->turns, memory_order_relaxed);

		if (turns != thread->turns_seen) {
			thread->turns_seen = turns;
			thread->silent_ticks = 0;
			continue;
		}
		wake(thread);
		if (++thread->silent_ticks == SILENT_TICKS_MAX)
			clv_log(CLV_LOG_ERROR, "worker_stuck", "worker=%u cpu=%u", i, thread->cpu);
		is_alive = is_alive && thread->silent_ticks < SILENT_TICKS_MAX;
	}
	return is_alive;
}

void clv_threads_stop(struct clv_daemon *daemon)
{
	uint16_t i;

	for (i = 0; i < daemon->workers_len; i++) {
		struct clv_worker_thread *thread = &daemon->workers[i];

		if (!thread->is_running)
			continue;
		atomic_store_explicit(&thread->must_quit, true, memory_order_release);
		wake(thread);
		pthread_join(thread->thread, NULL);
		thread->is_running = false;
	}
}
