/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/loop.h"

#include "control/daemon/credentials.h"
#include "control/daemon/firewall.h"
#include "control/daemon/held.h"
#include "control/daemon/interfaces.h"
#include "control/daemon/keeper.h"
#include "control/daemon/listeners.h"
#include "control/daemon/targets.h"
#include "control/daemon/threads.h"
#include "control/daemon/watch.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/base/output.h"
#include "datapath/base/timers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	STEPS_PER_TURN = 64,
	TICK_MSEC = 1000,
	DEBOUNCE_MSEC = 20, /* routing daemons change many routes at once */
	STOP_MSEC = 3000,
};

/* ---- steps of the control core ---- */

static bool may_sleep(struct clv_daemon *daemon)
{
	uint16_t i;

	for (i = 0; i < daemon->workers_len; i++)
		if (!clv_mailbox_may_sleep(daemon->workers[i].events))
			return false;
	return daemon->port->ops->may_sleep(daemon->port);
}

static void on_next(uv_timer_t *timer)
{
	(void)timer; /* on_prepare runs before the loop sleeps again */
}

static void set_next_timer(struct clv_daemon *daemon, uint64_t now_ns)
{
	uint64_t next_ns = clv_control_next_ns(daemon->control), wait_ms = 0;

	if (next_ns == CLV_TIMER_NEVER) {
		uv_timer_stop(&daemon->loop.next);
		return;
	}
	if (next_ns > now_ns)
		wait_ms = (next_ns - now_ns + CLV_MSEC - 1) / CLV_MSEC;
	uv_update_time(&daemon->loop.loop);
	uv_timer_start(&daemon->loop.next, on_next, wait_ms, 0);
}

static void on_busy(uv_idle_t *idle)
{
	(void)idle; /* an active idle handle keeps the loop from sleeping */
}

/* Before the loop sleeps: run the control core until it is idle, and set its next timer. */
static void on_prepare(uv_prepare_t *prepare)
{
	struct clv_daemon *daemon = prepare->data;
	uint64_t now_ns = clv_clock_now_ns();
	unsigned i;

	clv_keeper_follow_clock(daemon, now_ns);
	for (i = 0; i < STEPS_PER_TURN; i++) {
		now_ns = clv_clock_now_ns();
		if (clv_control_step(daemon->control, now_ns))
			continue;
		if (daemon->loop.is_stopping && clv_control_is_stopped(daemon->control)) {
			uv_stop(&daemon->loop.loop);
			break;
		}
		if (!may_sleep(daemon))
			continue;
		uv_idle_stop(&daemon->loop.busy);
		set_next_timer(daemon, now_ns);
		return;
	}
	uv_idle_start(&daemon->loop.busy, on_busy);
}

static void on_port(uv_poll_t *poll, int status, int events)
{
	(void)poll, (void)status,
		(void)events; /* on_prepare reads it before the loop sleeps again */
}

static void on_wake(uv_poll_t *poll, int status, int events)
{
	const struct clv_daemon *daemon = poll->data;
	uint64_t ticks;

	(void)status, (void)events;
	if (read(daemon->wake_fd, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
		clv_log(CLV_LOG_ERROR, "wake_fd", "err=\"%s\"", clv_strerror(-errno));
}

/* ---- routes ---- */

static void on_debounced(uv_timer_t *timer)
{
	struct clv_daemon *daemon = timer->data;

	const uint8_t(*moved)[16];
	size_t moved_len = clv_routes_moved(daemon->routes, &moved);
	bool are_routes_new = daemon->loop.has_route_changes;

	if (!are_routes_new && !moved_len)
		return;
	daemon->loop.has_route_changes = false;
	uv_timer_start(timer, on_debounced, DEBOUNCE_MSEC, 0);
	if (!are_routes_new) {
		clv_control_neighbours_changed(daemon->control, moved, moved_len);
		return;
	}
	clv_targets_follow_routes(daemon, clv_clock_now_ns());
	clv_control_routes_changed(daemon->control);
}

static void take_changes(struct clv_daemon *daemon, unsigned changes)
{
	if (changes & CLV_ROUTES_ADDRESSES)
		daemon->has_new_addresses = true;
	if (changes & CLV_ROUTES_ADDRESSES && clv_listeners_publish(daemon))
		clv_log(CLV_LOG_ERROR, "listeners_not_updated", "err=\"%s\"", daemon->error);
	if (changes & (CLV_ROUTES_LINKS | CLV_ROUTES_ADDRESSES | CLV_ROUTES_UPLINKS))
		daemon->loop.has_interface_changes =
			true; /* reported piecemeal: handled at the next tick */
	if (!(changes & (CLV_ROUTES_HOPS | CLV_ROUTES_NEIGHBOURS)))
		return;
	/* The first change at once: datagrams wait for a neighbour.  Those that follow, together. */
	if (changes & CLV_ROUTES_HOPS)
		daemon->loop.has_route_changes = true;
	if (!uv_is_active((uv_handle_t *)&daemon->loop.debounce))
		on_debounced(&daemon->loop.debounce);
}

static void on_routes(uv_poll_t *poll, int status, int events)
{
	struct clv_daemon *daemon = poll->data;

	(void)status, (void)events;
	take_changes(daemon, clv_routes_process(daemon->routes));
}

/* ---- ICMP ---- */

static void on_icmp_error(void *user, const struct clv_icmp_error *error)
{
	const struct clv_daemon *daemon = user;

	clv_control_icmp(daemon->control, &error->tuple, error->mtu);
}

static void on_icmp(uv_poll_t *poll, int status, int events)
{
	struct clv_daemon *daemon = poll->data;

	(void)status, (void)events;
	clv_icmp_receive(daemon->icmp, clv_clock_now_ns(), on_icmp_error, daemon);
}

static void start_icmp(struct clv_daemon *daemon, uv_poll_t *poll, int family)
{
	int fd = clv_icmp_fd(daemon->icmp, family);

	if (fd < 0)
		return;
	uv_poll_init(&daemon->loop.loop, poll, fd);
	poll->data = daemon;
	uv_poll_start(poll, UV_READABLE, on_icmp);
}

static void close_icmp(uv_poll_t *poll)
{
	if (poll->data)
		uv_close((uv_handle_t *)poll, NULL);
}

/* ---- once a second ---- */

/* Lines are lost on any thread; control counts them for all. */
static void count_lost_lines(struct clv_daemon *daemon)
{
	struct clv_counters *counters = clv_control_own_counters(daemon->control);

	clv_count_add(counters, CLV_COUNT_LOG_LOST,
		      clv_output_lost() - clv_count_read(counters, CLV_COUNT_LOG_LOST));
}

static void on_tick(uv_timer_t *timer)
{
	struct clv_daemon *daemon = timer->data;
	uint64_t now_ns = clv_clock_now_ns();
	unsigned changes = clv_routes_tick(daemon->routes, now_ns);

	if (daemon->loop.has_interface_changes && !daemon->loop.is_stopping) {
		daemon->loop.has_interface_changes = false;
		if (clv_interfaces_follow(daemon)) {
			changes |= CLV_ROUTES_HOPS;
			clv_firewall_look(daemon);
		}
	}
	if (!daemon->loop.is_stopping && clv_watch_tick(daemon, now_ns))
		changes |= CLV_ROUTES_HOPS;
	take_changes(daemon, changes);
	clv_targets_tick(daemon, now_ns);
	clv_daemon_held_tick(daemon);
	clv_proxy_renew_access(daemon->proxy, false);
	clv_keeper_tick(daemon, now_ns);
	count_lost_lines(daemon);
	if (clv_threads_check(daemon))
		clv_notify_alive(&daemon->notify, now_ns);
}

/* ---- signals ---- */

static void on_stop_late(uv_timer_t *timer)
{
	struct clv_daemon *daemon = timer->data;

	clv_log(CLV_LOG_WARN, "stop_forced", "after_ms=%d", STOP_MSEC);
	uv_stop(&daemon->loop.loop);
}

static void on_stop(uv_signal_t *handle, int signal)
{
	struct clv_daemon *daemon = handle->data;

	if (daemon->loop.is_stopping) {
		uv_stop(&daemon->loop.loop);
		return;
	}
	clv_log(CLV_LOG_INFO, "stopping", "signal=%s", signal == SIGTERM ? "TERM" : "INT");
	daemon->loop.is_stopping = true;
	clv_notify(&daemon->notify, "STOPPING=1");
	uv_timer_start(&daemon->loop.stop, on_stop_late, STOP_MSEC, 0);
	clv_control_stop(daemon->control, clv_clock_now_ns());
}

static void warn_about_ignored_keys(const struct clv_config *now, const struct clv_config *wanted)
{
	const struct clv_config_option *o;
	size_t i, n;

	o = clv_config_options(&n);
	for (i = 0; i < n; i++, o++)
		if (!o->is_reloadable && !clv_config_is_same(o, now, wanted))
			clv_log(CLV_LOG_WARN, "reload_needs_restart", "key=%s%s%s",
				o->section ? o->section : "", o->section ? "." : "", o->name);
}

/* Apply both parts of a configuration or neither.  Returns 0, or an error with daemon->error. */
static int apply(struct clv_daemon *daemon, const struct clv_config *config)
{
	char error[CLV_DAEMON_ERROR_MAX];
	int err = clv_credentials_reload(daemon, config);

	if (err)
		return err;
	err = clv_targets_set_policy(daemon, config);
	if (!err)
		return 0;
	/* Nothing was ended yet for want of access: that comes after both. */
	snprintf(error, sizeof(error), "%s", daemon->error);
	if (clv_credentials_reload(daemon, &daemon->config))
		clv_log(CLV_LOG_ERROR, "access_not_restored", "err=\"%s\"", daemon->error);
	snprintf(daemon->error, sizeof(daemon->error), "%s", error);
	return err;
}

static void on_reload(uv_signal_t *handle, int signal)
{
	struct clv_daemon *daemon = handle->data;
	struct clv_config config;
	struct clv_config_list list;
	char *text;
	int err;

	(void)signal;
	err = clv_keeper_read(daemon, CLV_KEEPER_CONFIG, &text);
	if (!err) {
		err = clv_config_parse(daemon->options.config_file, text, &config, daemon->error,
				       sizeof(daemon->error));
		free(text);
	}
	if (!err) {
		err = apply(daemon, &config);
		if (err)
			clv_config_fini(&config);
	}
	if (err) {
		clv_log(CLV_LOG_ERROR, "reload_refused", "err=\"%s\" hint=\"nothing was changed\"",
			daemon->error);
		return;
	}
	clv_proxy_renew_access(daemon->proxy, true);
	clv_credentials_warn(daemon, &config);
	warn_about_ignored_keys(&daemon->config, &config);
	if (daemon->options.log_level < 0)
		clv_log_set_level((enum clv_log_level)config.log_level);

	/* Keep what was applied; the old values are freed with the rest of the new ones. */
	daemon->config.log_level = config.log_level;
	daemon->config.access_mode = config.access_mode;
	list = daemon->config.access_clients;
	daemon->config.access_clients = config.access_clients;
	config.access_clients = list;
	list = daemon->config.allow;
	daemon->config.allow = config.allow;
	config.allow = list;
	list = daemon->config.deny;
	daemon->config.deny = config.deny;
	config.deny = list;
	list = daemon->config.nat64;
	daemon->config.nat64 = config.nat64;
	config.nat64 = list;
	clv_config_fini(&config);
	clv_keeper_reload(daemon);
	clv_firewall_look(daemon);
	clv_log(CLV_LOG_INFO, "reloaded", "file=%s", daemon->options.config_file);
}

int clv_loop_reload_users(struct clv_daemon *daemon)
{
	int err = clv_credentials_reload(daemon, &daemon->config);

	if (err)
		return err;
	clv_proxy_renew_access(daemon->proxy, true);
	clv_log(CLV_LOG_INFO, "reloaded", "file=%s", daemon->config.access_users);
	return 0;
}

/* ---- open, run, close ---- */

int clv_loop_open(struct clv_daemon *daemon)
{
	struct clv_loop *l = &daemon->loop;
	int err;

	err = uv_loop_init(&l->loop);
	if (err) {
		snprintf(daemon->error, sizeof(daemon->error), "event loop: %s", uv_strerror(err));
		return err;
	}
	l->is_open = true;
	l->loop.data = daemon;
	return 0;
}

static void start_handles(struct clv_daemon *daemon)
{
	struct clv_loop *l = &daemon->loop;

	uv_poll_init(&l->loop, &l->port, daemon->port->ops->poll_fd(daemon->port));
	uv_poll_init(&l->loop, &l->wake, daemon->wake_fd);
	uv_poll_init(&l->loop, &l->routes, clv_routes_fd(daemon->routes));
	uv_prepare_init(&l->loop, &l->prepare);
	uv_idle_init(&l->loop, &l->busy);
	uv_timer_init(&l->loop, &l->next);
	uv_timer_init(&l->loop, &l->tick);
	uv_timer_init(&l->loop, &l->debounce);
	uv_timer_init(&l->loop, &l->stop);
	uv_signal_init(&l->loop, &l->on_term);
	uv_signal_init(&l->loop, &l->on_int);
	uv_signal_init(&l->loop, &l->on_hup);
	l->port.data = l->wake.data = l->routes.data = daemon;
	l->prepare.data = l->tick.data = l->debounce.data = l->stop.data = daemon;
	l->on_term.data = l->on_int.data = l->on_hup.data = daemon;

	uv_poll_start(&l->port, UV_READABLE, on_port);
	uv_poll_start(&l->wake, UV_READABLE, on_wake);
	uv_poll_start(&l->routes, UV_READABLE, on_routes);
	clv_keeper_start(daemon);
	start_icmp(daemon, &l->icmp4, 4);
	start_icmp(daemon, &l->icmp6, 6);
	uv_prepare_start(&l->prepare, on_prepare);
	clv_targets_follow_routes(daemon, clv_clock_now_ns());
	uv_timer_start(&l->tick, on_tick, TICK_MSEC, TICK_MSEC);
	uv_signal_start(&l->on_term, on_stop, SIGTERM);
	uv_signal_start(&l->on_int, on_stop, SIGINT);
	uv_signal_start(&l->on_hup, on_reload, SIGHUP);
}

/* After this no callback can reach the core, which is closed next. */
static void close_handles(struct clv_daemon *daemon)
{
	struct clv_loop *l = &daemon->loop;
	uv_handle_t *const handles[] = {
		(uv_handle_t *)&l->port,    (uv_handle_t *)&l->wake,	 (uv_handle_t *)&l->routes,
		(uv_handle_t *)&l->prepare, (uv_handle_t *)&l->busy,	 (uv_handle_t *)&l->next,
		(uv_handle_t *)&l->tick,    (uv_handle_t *)&l->debounce, (uv_handle_t *)&l->stop,
		(uv_handle_t *)&l->on_term, (uv_handle_t *)&l->on_int,	 (uv_handle_t *)&l->on_hup,
	};
	size_t i;

	for (i = 0; i < sizeof(handles) / sizeof(handles[0]); i++)
		uv_close(handles[i], NULL);
	close_icmp(&l->icmp4);
	close_icmp(&l->icmp6);
	uv_run(&l->loop, UV_RUN_NOWAIT);
}

void clv_loop_run(struct clv_daemon *daemon)
{
	start_handles(daemon);
	clv_output_print(STDOUT_FILENO, "ready\n");
	clv_notify(&daemon->notify, "READY=1");
	uv_run(&daemon->loop.loop, UV_RUN_DEFAULT);
	close_handles(daemon);
}

static void close_handle(uv_handle_t *handle, void *user)
{
	(void)user;
	/* The resolver closes its own handles. */
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

void clv_loop_close(struct clv_daemon *daemon)
{
	if (!daemon->loop.is_open)
		return;
	clv_resolve_close(daemon->resolve);
	uv_walk(&daemon->loop.loop, close_handle, NULL);
	while (uv_run(&daemon->loop.loop, UV_RUN_NOWAIT))
		;
	uv_loop_close(&daemon->loop.loop);
	daemon->loop.is_open = false;
}
