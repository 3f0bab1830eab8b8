/* SPDX-License-Identifier: GPL-3.0-or-later */
/* culvertd: the order of start and stop, and the only place that knows every room. */
#include "control/admin/metrics.h"
#include "control/admin/metrics_http.h"
#include "control/admin/report.h"
#include "control/daemon/certificates.h"
#include "control/daemon/credentials.h"
#include "control/daemon/daemon.h"
#include "control/daemon/estimate.h"
#include "control/daemon/firewall.h"
#include "control/daemon/held.h"
#include "control/daemon/host_ops.h"
#include "control/daemon/interfaces.h"
#include "control/daemon/keeper.h"
#include "control/daemon/listeners.h"
#include "control/daemon/loop.h"
#include "control/daemon/process.h"
#include "control/daemon/threads.h"
#include "control/host/directories.h"
#include "control/tls/tls_memory.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/base/output.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef CLV_VERSION
#define CLV_VERSION "unknown"
#endif

enum {
	ICMP_RECEIVED_PER_SEC = 100, /* where none are sent */
	EXIT_USAGE = 2,
};

/* ---- the steps ---- */

static int read_config(struct clv_daemon *daemon)
{
	int err;

	err = clv_config_load(daemon->options.config_file, daemon->options.is_config_given,
			      &daemon->config, daemon->error, sizeof(daemon->error));
	if (err)
		return err;
	clv_log_set_level((enum clv_log_level)(daemon->options.log_level >= 0
						       ? daemon->options.log_level
						       : daemon->config.log_level));
	if (daemon->config.proxy.tunnel_idle_ns < 120 * CLV_SEC)
		clv_log(CLV_LOG_WARN, "tunnel_idle_short",
			"sec=%llu hint=\"RFC 4787 requires 120 or more\"",
			(unsigned long long)(daemon->config.proxy.tunnel_idle_ns / CLV_SEC));
	return clv_config_policy(&daemon->config, &daemon->policy, daemon->error,
				 sizeof(daemon->error));
}

static int open_directories(struct clv_daemon *daemon)
{
	const char *state = daemon->options.state_dir, *run = daemon->options.run_dir;
	int err;

	err = clv_directories_make(state, 0700);
	if (err)
		return clv_daemon_fail(daemon, err, state);
	err = clv_directories_make(run, 0755);
	if (err)
		return clv_daemon_fail(daemon, err, run);
	daemon->lock_fd = clv_directories_lock(run, daemon->error, sizeof(daemon->error));
	if (daemon->lock_fd < 0)
		return daemon->lock_fd;
	return clv_directories_secret(state, daemon->secret, daemon->error, sizeof(daemon->error));
}

static int plan(struct clv_daemon *daemon)
{
	int err;

	err = clv_listeners_probe_steering(daemon);
	err = err ? err : clv_interfaces_choose(daemon);
	err = err ? err : clv_interfaces_plan(daemon);
	if (!err)
		daemon->workers_len = daemon->plan.workers_len;
	return err;
}

static int open_routes(struct clv_daemon *daemon)
{
	int err;

	err = clv_routes_open(&daemon->routes);
	if (err)
		return clv_daemon_fail(daemon, err, "rtnetlink");
	err = clv_egress_open(daemon->config.egress_port_min, daemon->config.egress_port_max,
			      &daemon->egress);
	if (err)
		return clv_daemon_fail(daemon, err, "egress ports");
	clv_routes_set_mark(daemon->routes, daemon->config.mark);
	clv_egress_set_mark(daemon->egress, daemon->config.mark);
	err = clv_resolve_open(
		&(struct clv_resolve_params){
			.loop = &daemon->loop.loop,
			.pending_max = daemon->config.dns_pending_max,
			.cache_max = daemon->config.dns_cache_max,
			.wait_ns = daemon->config.dns_timeout_ns,
		},
		&daemon->resolve);
	return clv_daemon_fail(daemon, err, "resolver");
}

static int open_proxy(struct clv_daemon *daemon)
{
	const struct clv_config *config = &daemon->config;
	struct clv_proxy_params params = {
		.policy = daemon->policy,
		.access = &daemon->credentials.access,
		.name = *config->proxy_name ? config->proxy_name : clv_daemon_host_name(),
		.limits = config->proxy,
		.bind = config->bind,
		.signal = config->signal,
	};

	params.limits.tunnels_per_conn = config->limits.tunnels_per_conn;
	params.limits.names_pending = config->dns_pending_max;
	params.limits.egress_ports = (uint32_t)config->egress_port_max - config->egress_port_min +
				     1;
	/* Both lists were checked when the configuration was read. */
	clv_bound_settings_set_public(&params.bind, config->bind_local.items,
				      config->bind_local.len, NULL);
	memcpy(daemon->has_bind_local, params.bind.has_public, sizeof(daemon->has_bind_local));
	memcpy(daemon->bind_local, params.bind.public_addr, sizeof(daemon->bind_local));
	clv_bound_settings_set_public(&params.bind, config->bind_public.items,
				      config->bind_public.len, NULL);
	return clv_daemon_fail(daemon, clv_proxy_new(&params, &daemon->proxy), "proxy");
}

static int open_control(struct clv_daemon *daemon)
{
	struct clv_control_listener listeners[CLV_LISTENERS_MAX];
	struct clv_control_worker workers[CLV_WORKERS_MAX];
	struct clv_control_params params = {
		.host_ops = clv_host_ops_of_daemon(),
		.host = daemon,
		.port = daemon->port,
		.listeners = listeners,
		.listeners_len = daemon->config.listeners_len,
		.workers = workers,
		.workers_len = daemon->workers_len,
		.limits = daemon->config.limits,
		.accept_ops = &clv_proxy_app_ops,
		.accept_app = daemon->proxy,
	};
	size_t i;

	for (i = 0; i < daemon->config.listeners_len; i++)
		listeners[i] = (struct clv_control_listener){
			.port = daemon->config.listeners[i].port,
			.tls = daemon->listeners[i].tls,
			.profile = (enum clv_profile)daemon->config.listeners[i].profile,
		};
	for (i = 0; i < daemon->config.listeners_len; i++)
		memcpy(listeners[i].addr, daemon->config.listeners[i].addr,
		       sizeof(listeners[i].addr));
	for (i = 0; i < daemon->workers_len; i++)
		workers[i] = (struct clv_control_worker){
			.commands = daemon->workers[i].commands,
			.events = daemon->workers[i].events,
			.worker = daemon->workers[i].worker,
		};
	memcpy(params.secret, daemon->secret, sizeof(params.secret));
	return clv_daemon_fail(daemon, clv_control_open(&params, &daemon->control),
			       "control plane");
}

static char *metrics_text(void *user, size_t *len)
{
	return clv_metrics_text(user, len);
}

static int open_metrics(struct clv_daemon *daemon)
{
	const char *text = daemon->config.metrics_listen;
	struct clv_endpoint listen;
	int err;

	if (!*text)
		return 0;
	err = clv_endpoint_parse(text, &listen);
	err = err ? err
		  : clv_metrics_http_open(&daemon->loop.loop, &listen, metrics_text, daemon,
					  &daemon->metrics);
	if (err)
		snprintf(daemon->error, sizeof(daemon->error), "metrics: listen = %s: %s", text,
			 clv_strerror(err));
	return err;
}

/* Without raw sockets the relay works, but neither sends nor receives ICMP errors. */
static void open_icmp(struct clv_daemon *daemon)
{
	const uint32_t per_sec = daemon->config.icmp_per_sec;
	int err = clv_icmp_open(per_sec ? per_sec : ICMP_RECEIVED_PER_SEC,
				clv_control_own_counters(daemon->control), &daemon->icmp);

	if (err)
		clv_log(CLV_LOG_WARN, "no_icmp",
			"err=\"%s\" hint=\"ICMP errors are neither sent nor received\"",
			clv_strerror(err));
}

/* Packets arrive after this: policy and guard are in the maps before the listeners are. */
static int open_traffic(struct clv_daemon *daemon)
{
	const struct clv_guard_limits guard = clv_control_guard_limits(&daemon->config.limits);
	size_t i;
	int err;

	for (i = 0; i < daemon->interfaces_len; i++)
		if (daemon->interfaces[i].mode < CLV_DATAPATH_KERNEL)
			clv_routes_set_link(daemon->routes, daemon->interfaces[i].nic.ifindex,
					    daemon->interfaces[i].number);
	err = clv_credentials_publish(daemon, &daemon->config);
	err = err ? err
		  : clv_daemon_fail(daemon, clv_maps_set_policy(&daemon->maps, daemon->policy),
				    "map denied");
	err = err ? err
		  : clv_daemon_fail(daemon, clv_maps_set_guard(&daemon->maps, &guard),
				    "map guard_limits");
	return err ? err : clv_listeners_publish(daemon);
}

/* ---- start and stop ---- */

static int start(struct clv_daemon *daemon)
{
	int err;

	err = clv_process_find_user(daemon);
	err = err ? err : open_directories(daemon);
	err = err ? err : clv_loop_open(daemon);
	err = err ? err : plan(daemon);
	if (!err)
		clv_process_raise_limits(daemon);
	err = err ? err : open_routes(daemon);
	err = err ? err : clv_certificates_open(daemon);
	err = err ? err : clv_keeper_open(daemon);
	err = err ? err : clv_credentials_open(daemon);
	err = err ? err : clv_interfaces_open(daemon);
	err = err ? err : clv_listeners_open(daemon);
	err = err ? err : clv_daemon_held_open(daemon);
	err = err ? err : clv_threads_open(daemon);
	err = err ? err : open_proxy(daemon);
	err = err ? err : open_control(daemon);
	if (!err)
		open_icmp(daemon);
	err = err ? err : clv_report_open(daemon);
	err = err ? err : open_metrics(daemon);
	err = err ? err : open_traffic(daemon);
	if (!err)
		clv_firewall_look(daemon);
	err = err ? err
		  : clv_process_drop_privileges(daemon); /* before threads, which inherit it */
	err = err ? err : clv_threads_start(daemon);
	return err;
}

/* Undo start in reverse order; it may have failed after any step. */
static void stop(struct clv_daemon *daemon)
{
	clv_metrics_http_close(daemon->metrics);
	clv_report_close(daemon);
	clv_threads_stop(daemon);
	if (daemon->control)
		clv_control_close(daemon->control);
	clv_proxy_free(daemon->proxy);
	clv_threads_close(daemon);
	clv_daemon_held_close(daemon);
	clv_listeners_close(daemon);
	clv_interfaces_close(daemon);
	clv_credentials_close(daemon);
	clv_certificates_close(daemon);
	clv_loop_close(daemon);
	clv_keeper_close(daemon);
	clv_icmp_close(daemon->icmp);
	clv_egress_close(daemon->egress);
	clv_routes_close(daemon->routes);
	clv_resolve_free(daemon->resolve);
	clv_directories_unlock(daemon->options.run_dir, daemon->lock_fd);
	clv_policy_free(daemon->policy);
	clv_config_fini(&daemon->config);
	explicit_bzero(daemon->secret, sizeof(daemon->secret));
}

static int serve(struct clv_daemon *daemon)
{
	int err;

	clv_output_open();
	clv_notify_open(&daemon->notify);
	err = start(daemon);
	if (err)
		clv_output_print(STDERR_FILENO, "culvertd: %s\n",
				 *daemon->error ? daemon->error : clv_strerror(err));
	else
		clv_loop_run(daemon);
	stop(daemon);
	clv_notify_close(&daemon->notify);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int print_plan(struct clv_daemon *daemon)
{
	int err = plan(daemon);

	if (err) {
		fprintf(stderr, "culvertd: %s\n", daemon->error);
	} else {
		clv_plan_print(&daemon->plan, stdout);
		clv_estimate_print(daemon, stdout);
	}
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int with_config(struct clv_daemon *daemon)
{
	int err, status;

	err = read_config(daemon);
	if (!err && daemon->options.mode == CLV_MODE_CHECK)
		err = clv_process_find_user(daemon);
	if (!err && daemon->options.mode == CLV_MODE_CHECK)
		err = clv_certificates_check(daemon);
	if (!err && daemon->options.mode == CLV_MODE_CHECK)
		err = clv_credentials_check(daemon);
	if (err) {
		fprintf(stderr, "culvertd: %s\n",
			*daemon->error ? daemon->error : clv_strerror(err));
		status = EXIT_FAILURE;
	} else if (daemon->options.mode == CLV_MODE_CHECK) {
		printf("%s: ok\n", daemon->options.config_file);
		status = EXIT_SUCCESS;
	} else if (daemon->options.mode == CLV_MODE_PLAN) {
		status = print_plan(daemon);
	} else {
		return serve(daemon);
	}
	clv_policy_free(daemon->policy);
	clv_config_fini(&daemon->config);
	return status;
}

int main(int argc, char *argv[])
{
	static struct clv_daemon daemon = { .lock_fd = -1, .wake_fd = -1 };

	clv_tls_memory_count();
	clv_process_open_standard_files();
	signal(SIGPIPE, SIG_IGN);
	daemon.started_ns = clv_clock_now_ns();

	if (clv_options_parse(argc, argv, &daemon.options, daemon.error, sizeof(daemon.error))) {
		fprintf(stderr, "culvertd: %s\nTry --help.\n", daemon.error);
		return EXIT_USAGE;
	}
	switch (daemon.options.mode) {
	case CLV_MODE_HELP:
		fputs(clv_options_help(), stdout);
		return EXIT_SUCCESS;
	case CLV_MODE_VERSION:
		printf("culvertd %s\n", CLV_VERSION);
		return EXIT_SUCCESS;
	case CLV_MODE_PRINT_CONFIG:
		clv_config_print(stdout);
		return EXIT_SUCCESS;
	default:
		return with_config(&daemon);
	}
}
