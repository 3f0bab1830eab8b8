/* SPDX-License-Identifier: GPL-3.0-or-later */
/* culvertd: the order of start and stop. */
#include "control/admin/metrics.h"
#include "control/admin/metrics_http.h"
#include "control/admin/report.h"
#include "control/host/sandbox.h"
#include "control/host/folders.h"
#include "control/tls/certgen.h"
#include "control/daemon/daemon.h"
#include "control/daemon/host_ops.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef CLV_VERSION
#define CLV_VERSION "unknown"
#endif

enum {
	EXIT_USAGE = 2,
	FDS_BESIDE_TUNNELS = 1024,
	LOW_PORTS_END = 1024, /* ports below take a capability */
};

static int fail(struct clv_relay *relay, int err, const char *what)
{
	if (err)
		snprintf(relay->error, sizeof(relay->error), "%s: %s", what, clv_strerror(err));
	return err;
}

/* ---- the steps ---- */

static int read_config(struct clv_relay *relay)
{
	int err;

	err = clv_config_load(relay->options.config_file, relay->options.is_config_given,
			      &relay->config, relay->error, sizeof(relay->error));
	if (err)
		return err;
	clv_log_set_level((enum clv_log_level)(relay->options.log_level >= 0
						       ? relay->options.log_level
						       : relay->config.log_level));
	if (relay->config.limits.tunnel_idle_ns < 120 * CLV_SEC)
		clv_log(CLV_LOG_WARN, "tunnel_idle_short",
			"sec=%llu hint=\"RFC 4787 wants 120 or more\"",
			(unsigned long long)(relay->config.limits.tunnel_idle_ns / CLV_SEC));
	return clv_policy_new((const char *const *)relay->config.allow.items,
			      relay->config.allow.len,
			      (const char *const *)relay->config.deny.items, relay->config.deny.len,
			      &relay->policy, relay->error, sizeof(relay->error));
}

/* What a start would trip over: certificates the configuration names. */
static int check_certificates(struct clv_relay *relay)
{
	struct clv_tls_context *tls;
	size_t i;
	int err;

	for (i = 0; i < relay->config.listeners_len; i++) {
		const struct clv_config_listener *l = &relay->config.listeners[i];
		const struct clv_tls_server_params params = {
			.profile = (enum clv_profile)l->profile,
			.cert_file = l->cert_file,
			.key_file = l->key_file,
		};

		if (!*l->cert_file)
			continue;
		err = clv_tls_server_context(&params, &tls, relay->error, sizeof(relay->error));
		if (err)
			return err;
		clv_tls_context_free(tls);
	}
	return 0;
}

static int open_folders(struct clv_relay *relay)
{
	const char *state = relay->options.state_dir, *run = relay->options.run_dir;
	int err;

	err = clv_folders_make(state, 0700);
	if (err)
		return fail(relay, err, state);
	err = clv_folders_make(run, 0755);
	if (err)
		return fail(relay, err, run);
	relay->lock_fd = clv_folders_lock(run, relay->error, sizeof(relay->error));
	if (relay->lock_fd < 0)
		return relay->lock_fd;
	return clv_folders_secret(state, relay->secret, relay->error, sizeof(relay->error));
}

/* A tunnel over kernel sockets takes a descriptor, and so does a held port. */
static void raise_limits(const struct clv_relay *relay)
{
	const rlim_t wanted = (rlim_t)relay->config.limits.tunnels_max * relay->workers_len +
			      2 * (rlim_t)relay->config.bind.tunnels_max + FDS_BESIDE_TUNNELS;
	struct rlimit now, more = { wanted, wanted };

	if (getrlimit(RLIMIT_NOFILE, &now) || now.rlim_cur >= wanted)
		return;
	if (now.rlim_max >= wanted)
		more.rlim_max = now.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		return;
	now.rlim_cur = now.rlim_max;
	setrlimit(RLIMIT_NOFILE, &now);
	clv_log(CLV_LOG_INFO, "few_descriptors",
		"limit=%llu wanted=%llu hint=\"raise the limit of open files\"",
		(unsigned long long)now.rlim_cur, (unsigned long long)wanted);
}

static int plan(struct clv_relay *relay)
{
	int err;

	err = clv_relay_open_steering(relay);
	err = err ? err : clv_relay_choose_links(relay);
	err = err ? err : clv_relay_make_plan(relay);
	if (!err)
		relay->workers_len = relay->plan.workers_len;
	return err;
}

static int open_routes(struct clv_relay *relay)
{
	int err;

	err = clv_routes_open(&relay->routes);
	if (err)
		return fail(relay, err, "rtnetlink");
	err = clv_egress_open(relay->config.egress_port_min, relay->config.egress_port_max,
			      &relay->egress);
	if (err)
		return fail(relay, err, "egress ports");
	err = clv_resolve_open(&relay->loop.loop, relay->config.names_pending_max,
			       relay->config.name_ns, &relay->resolve);
	return fail(relay, err, "resolver");
}

static const char *host_name(void)
{
	static char name[256];

	/* Nothing keeps an operator from a name that no certificate may carry. */
	if (gethostname(name, sizeof(name) - 1) || !clv_certgen_is_dns_name(name))
		return "culvert";
	return name;
}

/* The names a client may know us by, for the certificate. */
static int make_certificate(struct clv_relay *relay, enum clv_profile profile,
			    struct clv_certs *out)
{
	char text[CLV_CERTGEN_NAMES_MAX][CLV_ADDR_TEXT_MAX];
	const char *names[CLV_CERTGEN_NAMES_MAX];
	const uint8_t(*own)[16];
	size_t i, n = 0, own_len;

	if (relay->config.names.len)
		return clv_certs_ensure(profile, relay->options.state_dir,
					(const char *const *)relay->config.names.items,
					relay->config.names.len, out, relay->error,
					sizeof(relay->error));
	names[n++] = host_name();
	own_len = clv_routes_own(relay->routes, &own);
	for (i = 0; i < own_len && n < CLV_CERTGEN_NAMES_MAX; i++, n++)
		names[n] = clv_addr_format(own[i], text[n], sizeof(text[n]));
	return clv_certs_ensure(profile, relay->options.state_dir, names, n, out, relay->error,
				sizeof(relay->error));
}

static void print_fingerprint(enum clv_profile profile, const uint8_t sha256[static 32])
{
	size_t i;

	printf("%sca fingerprint: sha256:", profile == CLV_PROFILE_HYBRID ? "hybrid " : "");
	for (i = 0; i < 32; i++)
		printf("%02x", sha256[i]);
	printf("\n");
	fflush(stdout);
}

static int open_certificates(struct clv_relay *relay)
{
	size_t i;
	int err;

	for (i = 0; i < relay->config.listeners_len; i++) {
		const struct clv_config_listener *config = &relay->config.listeners[i];
		enum clv_profile profile = (enum clv_profile)config->profile;
		struct clv_relay_listener *l = &relay->listeners[i];
		struct clv_tls_server_params params = { .profile = profile };

		if (*config->cert_file) {
			params.cert_file = config->cert_file;
			params.key_file = config->key_file;
			err = clv_certs_fingerprint(config->cert_file, l->certs.ca_sha256);
			if (err)
				return fail(relay, err, config->cert_file);
		} else {
			err = make_certificate(relay, profile, &l->certs);
			if (err)
				return err;
			params.cert_file = l->certs.cert_file;
			params.key_file = l->certs.key_file;
		}
		err = clv_tls_server_context(&params, &l->tls, relay->error, sizeof(relay->error));
		if (err)
			return err;
		print_fingerprint(profile, l->certs.ca_sha256);
	}
	return 0;
}

static int open_control(struct clv_relay *relay)
{
	struct clv_control_listener listeners[CLV_LISTENERS_MAX];
	struct clv_control_worker workers[CLV_WORKERS_MAX];
	struct clv_control_params params = {
		.host_ops = clv_relay_host_ops(),
		.host = relay,
		.port = relay->port,
		.listeners = listeners,
		.listeners_len = relay->config.listeners_len,
		.workers = workers,
		.workers_len = relay->workers_len,
		.limits = relay->config.limits,
		.policy = relay->policy,
		.proxy_name = *relay->config.proxy_name ? relay->config.proxy_name : host_name(),
	};
	size_t i;

	params.bind = relay->config.bind;
	/* Both lists were checked when the configuration was read. */
	clv_bind_settings_set_public(&params.bind, relay->config.bind_local.items,
				     relay->config.bind_local.len, NULL);
	memcpy(relay->has_bind_local, params.bind.has_public, sizeof(relay->has_bind_local));
	memcpy(relay->bind_local, params.bind.public_addr, sizeof(relay->bind_local));
	clv_bind_settings_set_public(&params.bind, relay->config.bind_public.items,
				     relay->config.bind_public.len, NULL);
	for (i = 0; i < relay->config.listeners_len; i++)
		listeners[i] = (struct clv_control_listener){
			.port = relay->config.listeners[i].port,
			.tls = relay->listeners[i].tls,
			.profile = (enum clv_profile)relay->config.listeners[i].profile,
		};
	for (i = 0; i < relay->workers_len; i++)
		workers[i] = (struct clv_control_worker){
			.commands = relay->workers[i].commands,
			.events = relay->workers[i].events,
			.worker = relay->workers[i].worker,
		};
	memcpy(params.secret, relay->secret, sizeof(params.secret));
	return fail(relay, clv_control_open(&params, &relay->control), "control plane");
}

static char *metrics_text(void *user, size_t *len)
{
	return clv_metrics_text(user, len);
}

static int open_metrics(struct clv_relay *relay)
{
	const char *text = relay->config.metrics_listen;
	struct clv_endpoint listen;
	int err;

	if (!*text)
		return 0;
	err = clv_endpoint_parse(text, &listen);
	err = err ? err
		  : clv_metrics_http_open(&relay->loop.loop, &listen, metrics_text, relay,
					  &relay->metrics);
	if (err)
		snprintf(relay->error, sizeof(relay->error), "metrics: listen = %s: %s", text,
			 clv_strerror(err));
	return err;
}

/* Without it nothing is lost but word of what does not fit. */
static void open_icmp(struct clv_relay *relay)
{
	int err = clv_icmp_open(relay->config.icmp_per_sec,
				clv_control_own_counters(relay->control), &relay->icmp);

	if (err)
		clv_log(CLV_LOG_WARN, "no_icmp",
			"err=\"%s\" hint=\"neither too-big nor unreachable is said or heard\"",
			clv_strerror(err));
}

/* From here on packets come: what they are measured against is there. */
static int open_traffic(struct clv_relay *relay)
{
	const struct clv_guard_limits guard = clv_control_guard_limits(&relay->config.limits);
	size_t i;
	int err;

	for (i = 0; i < relay->links_len; i++)
		if (relay->links[i].rung < CLV_RUNG_KERNEL)
			clv_routes_set_link(relay->routes, relay->links[i].nic.ifindex,
					    relay->links[i].number);
	err = fail(relay, clv_maps_set_policy(&relay->maps, relay->policy), "map denied");
	err = err ? err : fail(relay, clv_maps_set_guard(&relay->maps, &guard), "map guard_limits");
	return err ? err : clv_relay_update_listeners(relay);
}

/* ---- giving up what only the set-up took ---- */

static int own_folders(struct clv_relay *relay)
{
	const struct clv_privs *privs = &relay->privs;
	int err;

	err = clv_privs_own(privs, relay->options.run_dir);
	if (!err && privs->is_change && relay->bpf)
		err = clv_pins_own(clv_bpf_pins(relay->bpf), privs->uid, privs->gid);
	return fail(relay, err, "run folder");
}

static int drop_privileges(struct clv_relay *relay)
{
	bool low_ports = relay->config.egress_port_min < LOW_PORTS_END;
	int err;

	clv_privs_find(relay->config.user, &relay->privs);
	err = own_folders(relay);
	err = err ? err
		  : clv_privs_drop(&relay->privs, low_ports, relay->error, sizeof(relay->error));
	if (err)
		return err;
	if (!relay->config.sandbox)
		snprintf(relay->no_sandbox_why, sizeof(relay->no_sandbox_why), "sandbox = false");
	else
		err = clv_sandbox_close(relay->no_sandbox_why, sizeof(relay->no_sandbox_why));
	if (*relay->no_sandbox_why)
		clv_log(CLV_LOG_WARN, "no_sandbox", "because=\"%s\"", relay->no_sandbox_why);
	if (err && err != -EOPNOTSUPP)
		return fail(relay, err, relay->no_sandbox_why);
	clv_log(CLV_LOG_INFO, "privileges", "user=%s capabilities=\"%s\" sandbox=%s",
		relay->privs.user, relay->privs.capabilities,
		*relay->no_sandbox_why ? "off" : "on");
	return 0;
}

/* ---- start and stop ---- */

static int start(struct clv_relay *relay)
{
	int err;

	err = open_folders(relay);
	err = err ? err : clv_relay_open_loop(relay);
	err = err ? err : plan(relay);
	if (!err)
		raise_limits(relay);
	err = err ? err : open_routes(relay);
	err = err ? err : open_certificates(relay);
	err = err ? err : clv_relay_open_links(relay);
	err = err ? err : clv_relay_open_listeners(relay);
	err = err ? err : clv_relay_open_workers(relay);
	err = err ? err : open_control(relay);
	if (!err)
		open_icmp(relay);
	err = err ? err : clv_report_open(relay);
	err = err ? err : open_metrics(relay);
	err = err ? err : open_traffic(relay);
	err = err ? err : drop_privileges(relay); /* threads inherit it */
	err = err ? err : clv_relay_start_workers(relay);
	return err;
}

/* The reverse of start; takes whatever of it was done. */
static void stop(struct clv_relay *relay)
{
	bool is_clean;
	size_t i;

	clv_metrics_http_close(relay->metrics);
	clv_report_close(relay);
	clv_relay_stop_workers(relay);
	if (relay->control)
		clv_control_close(relay->control);
	clv_relay_close_workers(relay);
	clv_relay_close_listeners(relay);
	clv_relay_close_links(relay);
	for (i = 0; i < relay->config.listeners_len; i++)
		clv_tls_context_free(relay->listeners[i].tls);
	is_clean = clv_relay_close_loop(relay);
	clv_icmp_close(relay->icmp);
	clv_egress_close(relay->egress);
	clv_routes_close(relay->routes);
	if (is_clean)
		clv_resolve_free(relay->resolve);
	clv_folders_unlock(relay->options.run_dir, relay->lock_fd);
	clv_policy_free(relay->policy);
	clv_config_fini(&relay->config);
	explicit_bzero(relay->secret, sizeof(relay->secret));
}

static int serve(struct clv_relay *relay)
{
	int err;

	clv_notify_open(&relay->notify);
	err = start(relay);
	if (err)
		fprintf(stderr, "culvertd: %s\n", *relay->error ? relay->error : clv_strerror(err));
	else
		clv_relay_run_loop(relay);
	stop(relay);
	clv_notify_close(&relay->notify);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int print_plan(struct clv_relay *relay)
{
	int err = plan(relay);

	if (err)
		fprintf(stderr, "culvertd: %s\n", relay->error);
	else
		clv_plan_print(&relay->plan, stdout);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int with_config(struct clv_relay *relay)
{
	int err, status;

	err = read_config(relay);
	if (!err && relay->options.mode == CLV_MODE_CHECK)
		err = check_certificates(relay);
	if (err) {
		fprintf(stderr, "culvertd: %s\n", *relay->error ? relay->error : clv_strerror(err));
		status = EXIT_FAILURE;
	} else if (relay->options.mode == CLV_MODE_CHECK) {
		printf("%s: ok\n", relay->options.config_file);
		status = EXIT_SUCCESS;
	} else if (relay->options.mode == CLV_MODE_PLAN) {
		status = print_plan(relay);
	} else {
		return serve(relay);
	}
	clv_policy_free(relay->policy);
	clv_config_fini(&relay->config);
	return status;
}

/* Where one of them is missing, what we open would take its place, and have our log written to it. */
static void open_standard_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char *argv[])
{
	static struct clv_relay relay = { .lock_fd = -1, .wake_fd = -1 };

	open_standard_files();
	signal(SIGPIPE, SIG_IGN);
	/* A name server that does not answer holds a thread: have more of them than libuv's four. */
	setenv("UV_THREADPOOL_SIZE", "16", 0);
	relay.started_ns = clv_clock_now_ns();

	if (clv_options_parse(argc, argv, &relay.options, relay.error, sizeof(relay.error))) {
		fprintf(stderr, "culvertd: %s\nTry --help.\n", relay.error);
		return EXIT_USAGE;
	}
	switch (relay.options.mode) {
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
		return with_config(&relay);
	}
}
