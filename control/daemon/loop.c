/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The control thread's event loop: packets, workers, routes, signals, reload and stop. */
#include "control/daemon/daemon.h"

#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/base/timers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	STEPS_PER_TURN = 64,
	TICK_MSEC = 1000,
	DEBOUNCE_MSEC = 20, /* routing daemons change many routes at a time */
	STOP_MSEC = 3000,
	RESOLVER_MSEC = 1000, /* longest wait for its threads at the end */
};

/* ---- steps of the control core ---- */

static bool may_sleep(struct clv_relay *relay)
{
	uint16_t i;

	for (i = 0; i < relay->workers_len; i++)
		if (!clv_mailbox_may_sleep(relay->workers[i].events))
			return false;
	return relay->port->ops->may_sleep(relay->port);
}

static void on_next(uv_timer_t *timer)
{
	(void)timer; /* the step is taken before the loop sleeps again */
}

static void set_next_timer(struct clv_relay *relay, uint64_t now_ns)
{
	uint64_t next_ns = clv_control_next_ns(relay->control), wait_ms = 0;

	if (next_ns == CLV_TIMER_NEVER) {
		uv_timer_stop(&relay->loop.next);
		return;
	}
	if (next_ns > now_ns)
		wait_ms = (next_ns - now_ns + CLV_MSEC - 1) / CLV_MSEC;
	uv_update_time(&relay->loop.loop);
	uv_timer_start(&relay->loop.next, on_next, wait_ms, 0);
}

static void on_busy(uv_idle_t *idle)
{
	(void)idle; /* its presence keeps the loop from sleeping */
}

/* Before the loop sleeps: do what there is to do, and arm what will wake us. */
static void on_prepare(uv_prepare_t *prepare)
{
	struct clv_relay *relay = prepare->data;
	uint64_t now_ns = clv_clock_now_ns();
	unsigned i;

	for (i = 0; i < STEPS_PER_TURN; i++) {
		now_ns = clv_clock_now_ns();
		if (clv_control_step(relay->control, now_ns))
			continue;
		if (relay->loop.is_stopping && clv_control_is_stopped(relay->control)) {
			uv_stop(&relay->loop.loop);
			break;
		}
		if (!may_sleep(relay))
			continue;
		uv_idle_stop(&relay->loop.busy);
		set_next_timer(relay, now_ns);
		return;
	}
	uv_idle_start(&relay->loop.busy, on_busy);
}

static void on_port(uv_poll_t *poll, int status, int events)
{
	(void)poll, (void)status, (void)events; /* read by the step, before the loop sleeps again */
}

static void on_wake(uv_poll_t *poll, int status, int events)
{
	const struct clv_relay *relay = poll->data;
	uint64_t ticks;

	(void)status, (void)events;
	if (read(relay->wake_fd, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
		clv_log(CLV_LOG_ERROR, "wake_fd", "err=\"%s\"", clv_strerror(-errno));
}

/* ---- routes ---- */

int clv_relay_update_listeners(struct clv_relay *relay)
{
	uint16_t ports[CLV_LISTENERS_MAX];
	const uint8_t(*own)[16];
	size_t i, n = clv_routes_own(relay->routes, &own);
	int err;

	for (i = 0; i < relay->config.listeners_len; i++)
		ports[i] = relay->config.listeners[i].port;
	err = clv_maps_set_listeners(&relay->maps, own, n, ports, relay->config.listeners_len);
	if (err)
		snprintf(relay->error, sizeof(relay->error), "map listeners: %s",
			 clv_strerror(err));
	return err;
}

static void on_debounced(uv_timer_t *timer)
{
	struct clv_relay *relay = timer->data;

	if (!relay->loop.is_changed_again)
		return;
	relay->loop.is_changed_again = false;
	uv_timer_start(timer, on_debounced, DEBOUNCE_MSEC, 0);
	clv_control_routes_changed(relay->control);
}

static void take_changes(struct clv_relay *relay, unsigned changes)
{
	if (changes & CLV_ROUTES_ADDRESSES && clv_relay_update_listeners(relay))
		clv_log(CLV_LOG_ERROR, "listeners_not_updated", "err=\"%s\"", relay->error);
	if (changes & CLV_ROUTES_LINKS)
		relay->loop.has_new_links = true; /* announced in many pieces: looked at next tick */
	if (!(changes & CLV_ROUTES_HOPS))
		return;
	/* The first at once: datagrams wait for a neighbour.  What follows soon, together. */
	relay->loop.is_changed_again = true;
	if (!uv_is_active((uv_handle_t *)&relay->loop.debounce))
		on_debounced(&relay->loop.debounce);
}

static void on_routes(uv_poll_t *poll, int status, int events)
{
	struct clv_relay *relay = poll->data;

	(void)status, (void)events;
	take_changes(relay, clv_routes_process(relay->routes));
}

/* ---- ICMP ---- */

static void on_error_said(void *user, const struct clv_icmp_error *error)
{
	const struct clv_relay *relay = user;

	clv_control_icmp(relay->control, &error->tuple, error->mtu);
}

static void on_icmp(uv_poll_t *poll, int status, int events)
{
	struct clv_relay *relay = poll->data;

	(void)status, (void)events;
	clv_icmp_receive(relay->icmp, clv_clock_now_ns(), on_error_said, relay);
}

static void start_icmp(struct clv_relay *relay, uv_poll_t *poll, int family)
{
	int fd = clv_icmp_fd(relay->icmp, family);

	if (fd < 0)
		return;
	uv_poll_init(&relay->loop.loop, poll, fd);
	poll->data = relay;
	uv_poll_start(poll, UV_READABLE, on_icmp);
}

static void close_icmp(uv_poll_t *poll)
{
	if (poll->data)
		uv_close((uv_handle_t *)poll, NULL);
}

/* ---- once a second ---- */

static void on_tick(uv_timer_t *timer)
{
	struct clv_relay *relay = timer->data;
	uint64_t now_ns = clv_clock_now_ns();
	unsigned changes = clv_routes_tick(relay->routes, now_ns);

	if (relay->loop.has_new_links && !relay->loop.is_stopping) {
		relay->loop.has_new_links = false;
		if (clv_relay_follow_links(relay))
			changes |= CLV_ROUTES_HOPS;
	}
	take_changes(relay, changes);
	if (clv_relay_check_workers(relay))
		clv_notify_alive(&relay->notify, now_ns);
}

/* ---- signals ---- */

static void on_stop_late(uv_timer_t *timer)
{
	struct clv_relay *relay = timer->data;

	clv_log(CLV_LOG_WARN, "stop_forced", "after_ms=%d", STOP_MSEC);
	uv_stop(&relay->loop.loop);
}

static void on_stop(uv_signal_t *handle, int signal)
{
	struct clv_relay *relay = handle->data;

	if (relay->loop.is_stopping) {
		uv_stop(&relay->loop.loop);
		return;
	}
	clv_log(CLV_LOG_INFO, "stopping", "signal=%s", signal == SIGTERM ? "TERM" : "INT");
	relay->loop.is_stopping = true;
	clv_notify(&relay->notify, "STOPPING=1");
	uv_timer_start(&relay->loop.stop, on_stop_late, STOP_MSEC, 0);
	clv_control_stop(relay->control, clv_clock_now_ns());
}

/* Replace the policy everywhere; the kernel's table first, it only ever sees packets to drop. */
static int replace_policy(struct clv_relay *relay, const struct clv_config *config)
{
	struct clv_policy *policy;
	int err;

	err = clv_policy_new((const char *const *)config->allow.items, config->allow.len,
			     (const char *const *)config->deny.items, config->deny.len, &policy,
			     relay->error, sizeof(relay->error));
	if (err)
		return err;
	err = clv_maps_set_policy(&relay->maps, policy);
	if (err) {
		snprintf(relay->error, sizeof(relay->error), "map denied: %s", clv_strerror(err));
		clv_policy_free(policy);
		return err;
	}
	clv_control_set_policy(relay->control, policy);
	clv_policy_free(relay->policy);
	relay->policy = policy;
	return 0;
}

static void warn_of_ignored_keys(const struct clv_config *now, const struct clv_config *wanted)
{
	const struct clv_config_option *o;
	size_t i, n;

	o = clv_config_options(&n);
	for (i = 0; i < n; i++, o++)
		if (!o->is_reloadable && !clv_config_is_same(o, now, wanted))
			clv_log(CLV_LOG_WARN, "reload_needs_restart", "key=%s%s%s",
				o->section ? o->section : "", o->section ? "." : "", o->name);
}

static void on_reload(uv_signal_t *handle, int signal)
{
	struct clv_relay *relay = handle->data;
	struct clv_config config;
	struct clv_config_list list;
	int err;

	(void)signal;
	err = clv_config_load(relay->options.config_file, relay->options.is_config_given, &config,
			      relay->error, sizeof(relay->error));
	if (!err) {
		err = replace_policy(relay, &config);
		if (err)
			clv_config_fini(&config);
	}
	if (err) {
		clv_log(CLV_LOG_ERROR, "reload_refused", "err=\"%s\" hint=\"nothing was changed\"",
			relay->error);
		return;
	}
	warn_of_ignored_keys(&relay->config, &config);
	if (relay->options.log_level < 0)
		clv_log_set_level((enum clv_log_level)config.log_level);

	/* What was applied is now ours, what was replaced goes with the new one's remains. */
	relay->config.log_level = config.log_level;
	list = relay->config.allow;
	relay->config.allow = config.allow;
	config.allow = list;
	list = relay->config.deny;
	relay->config.deny = config.deny;
	config.deny = list;
	clv_config_fini(&config);
	clv_log(CLV_LOG_INFO, "reloaded", "file=%s", relay->options.config_file);
}

/* ---- life ---- */

int clv_relay_open_loop(struct clv_relay *relay)
{
	struct clv_relay_loop *l = &relay->loop;
	int err;

	err = uv_loop_init(&l->loop);
	if (err) {
		snprintf(relay->error, sizeof(relay->error), "event loop: %s", uv_strerror(err));
		return err;
	}
	l->is_open = true;
	l->loop.data = relay;
	return 0;
}

static void start_handles(struct clv_relay *relay)
{
	struct clv_relay_loop *l = &relay->loop;

	uv_poll_init(&l->loop, &l->port, relay->port->ops->poll_fd(relay->port));
	uv_poll_init(&l->loop, &l->wake, relay->wake_fd);
	uv_poll_init(&l->loop, &l->routes, clv_routes_fd(relay->routes));
	uv_prepare_init(&l->loop, &l->prepare);
	uv_idle_init(&l->loop, &l->busy);
	uv_timer_init(&l->loop, &l->next);
	uv_timer_init(&l->loop, &l->tick);
	uv_timer_init(&l->loop, &l->debounce);
	uv_timer_init(&l->loop, &l->stop);
	uv_signal_init(&l->loop, &l->on_term);
	uv_signal_init(&l->loop, &l->on_int);
	uv_signal_init(&l->loop, &l->on_hup);
	l->port.data = l->wake.data = l->routes.data = relay;
	l->prepare.data = l->tick.data = l->debounce.data = l->stop.data = relay;
	l->on_term.data = l->on_int.data = l->on_hup.data = relay;

	uv_poll_start(&l->port, UV_READABLE, on_port);
	uv_poll_start(&l->wake, UV_READABLE, on_wake);
	uv_poll_start(&l->routes, UV_READABLE, on_routes);
	start_icmp(relay, &l->icmp4, 4);
	start_icmp(relay, &l->icmp6, 6);
	uv_prepare_start(&l->prepare, on_prepare);
	uv_timer_start(&l->tick, on_tick, TICK_MSEC, TICK_MSEC);
	uv_signal_start(&l->on_term, on_stop, SIGTERM);
	uv_signal_start(&l->on_int, on_stop, SIGINT);
	uv_signal_start(&l->on_hup, on_reload, SIGHUP);
}

/* Nothing of the loop may call the core any more when it is closed. */
static void close_handles(struct clv_relay *relay)
{
	struct clv_relay_loop *l = &relay->loop;
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

void clv_relay_run_loop(struct clv_relay *relay)
{
	start_handles(relay);
	printf("ready\n");
	fflush(stdout);
	clv_notify(&relay->notify, "READY=1");
	uv_run(&relay->loop.loop, UV_RUN_DEFAULT);
	close_handles(relay);
}

static void close_handle(uv_handle_t *handle, void *user)
{
	(void)user;
	/* The resolver closes its own, when its threads are back. */
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

bool clv_relay_close_loop(struct clv_relay *relay)
{
	uint64_t until_ns = clv_clock_now_ns() + RESOLVER_MSEC * CLV_MSEC;

	if (!relay->loop.is_open)
		return true;
	clv_resolve_close(relay->resolve);
	while (!clv_resolve_is_idle(relay->resolve) && clv_clock_now_ns() < until_ns) {
		uv_run(&relay->loop.loop, UV_RUN_NOWAIT);
		usleep(1000);
	}
	if (!clv_resolve_is_idle(relay->resolve))
		return false;
	uv_walk(&relay->loop.loop, close_handle, NULL);
	while (uv_run(&relay->loop.loop, UV_RUN_NOWAIT))
		;
	uv_loop_close(&relay->loop.loop);
	relay->loop.is_open = false;
	return true;
}
