/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admin/metrics.h"

#include "control/admin/memory.h"
#include "control/admin/report_signal.h"
#include "control/admin/report_users.h"
#include "control/admin/text.h"
#include "control/admission/accounts.h"
#include "control/daemon/datapath.h"
#include "control/daemon/held.h"
#include "datapath/base/clock.h"
#include "datapath/crypto/aead.h"
#include "datapath/io/xsk.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void begin(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP culvert_%s %s\n# TYPE culvert_%s %s\n", name, help, name, type);
}

static void gauge(FILE *out, const char *name, const char *help, uint64_t value)
{
	begin(out, name, "gauge", help);
	fprintf(out, "culvert_%s %" PRIu64 "\n", name, value);
}

/* ---- counters of the threads ---- */

/* One line for each thread that may count it. */
static void write_counter(FILE *out, const struct clv_daemon *daemon, enum clv_counter which,
			  const char *name, const char *reason)
{
	uint16_t i;

	fprintf(out, "culvert_%s_total{%sthread=\"control\"} %" PRIu64 "\n", name, reason,
		clv_count_read(clv_control_counters(daemon->control), which));
	for (i = 0; which < CLV_WORKER_COUNTER_MAX && i < daemon->workers_len; i++)
		fprintf(out, "culvert_%s_total{%sthread=\"worker-%u\"} %" PRIu64 "\n", name, reason,
			i, clv_count_read(clv_worker_counters(daemon->workers[i].worker), which));
}

static void write_counters(FILE *out, const struct clv_daemon *daemon)
{
	char name[80], reason[80];
	unsigned i;

	for (i = 0; i < CLV_COUNTER_MAX; i++) {
		enum clv_counter which = (enum clv_counter)i;

		if (clv_counter_class(which) == CLV_CLASS_DROP)
			continue;
		snprintf(name, sizeof(name), "%s_total", clv_counter_name(which));
		begin(out, name, "counter", clv_counter_help(which));
		write_counter(out, daemon, which, clv_counter_name(which), "");
	}
	begin(out, "drops_total", "counter",
	      "packets and datagrams dropped, by reason (culvertctl drops explains each)");
	for (i = 0; i < CLV_COUNTER_MAX; i++) {
		enum clv_counter which = (enum clv_counter)i;

		if (clv_counter_class(which) != CLV_CLASS_DROP)
			continue;
		snprintf(reason, sizeof(reason), "reason=\"%s\",", clv_counter_reason(which));
		write_counter(out, daemon, which, "drops", reason);
	}
}

/* ---- certificates ---- */

static void write_certificates(FILE *out, const struct clv_daemon *daemon)
{
	char label[CLV_TEXT_LABEL_MAX];
	size_t i;

	begin(out, "certificate_not_after_seconds", "gauge",
	      "when a listener's certificate chain expires, in seconds since 1970");
	for (i = 0; i < daemon->config.listeners_len; i++)
		if (daemon->listeners[i].tls)
			fprintf(out,
				"culvert_certificate_not_after_seconds{listener=\"%s\"} %lld\n",
				clv_text_label(daemon->config.listeners[i].name, label),
				(long long)daemon->listeners[i].identity.not_after);
}

/* ---- XDP ---- */

static void write_xdp_of(FILE *out, const struct clv_count *counts, bool bytes)
{
	const char *name = bytes ? "xdp_bytes_total" : "xdp_frames_total";
	unsigned i;

	begin(out, name, "counter",
	      bytes ? "bytes of the frames that XDP processed, by verdict"
		    : "frames that XDP processed, by verdict (seen: all)");
	for (i = 0; i < CLV_XDP_COUNTERS_END; i++)
		fprintf(out, "culvert_%s{verdict=\"%s\"} %" PRIu64 "\n", name,
			clv_xdp_counter_name((enum clv_xdp_counter)i) + strlen("xdp_"),
			(uint64_t)(bytes ? counts[i].bytes : counts[i].packets));
}

static void write_held(FILE *out, const struct clv_daemon *daemon, const struct clv_count *counts)
{
	unsigned i;

	begin(out, "held_port_drops_total", "counter",
	      "datagrams to ports of tunnels that came through the kernel and were dropped, by reason");
	for (i = CLV_XDP_COUNTERS_END; i < CLV_XDP_COUNTER_MAX; i++)
		fprintf(out, "culvert_held_port_drops_total{reason=\"%s\"} %" PRIu64 "\n",
			clv_xdp_counter_name((enum clv_xdp_counter)i) + strlen("held_drop_"),
			(uint64_t)counts[i].packets);
	fprintf(out, "culvert_held_port_drops_total{reason=\"full\"} %" PRIu64 "\n",
		clv_daemon_held_lost(daemon));
}

/* Who asked at which address the relay sees them, of XDP and of control. */
static void write_reflect(FILE *out, const struct clv_daemon *daemon, const struct clv_count *xdp)
{
	static const struct {
		const char *result;
		enum clv_xdp_counter xdp;
		enum clv_counter control;
	} results[] = {
		{ "stun", CLV_XDP_ANSWER_STUN, CLV_COUNT_STUN_ANSWERED },
		{ "limited", CLV_XDP_DROP_STUN_LIMIT, CLV_COUNT_DROP_STUN_LIMIT },
		{ "malformed", CLV_XDP_DROP_STUN_MALFORMED, CLV_COUNT_DROP_STUN_MALFORMED },
	};

	begin(out, "reflect_answers_total", "counter",
	      "answers to STUN Binding requests, and requests that got none");
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
		fprintf(out, "culvert_reflect_answers_total{result=\"%s\"} %" PRIu64 "\n",
			results[i].result,
			(uint64_t)xdp[results[i].xdp].packets +
				clv_count_read(clv_control_counters(daemon->control),
					       results[i].control));
}

static void write_xdp(FILE *out, const struct clv_daemon *daemon)
{
	struct clv_count counts[CLV_XDP_COUNTER_MAX] = { 0 };
	bool has_xdp = daemon->bpf && !clv_maps_counters(clv_bpf_maps(daemon->bpf), counts);

	write_reflect(out, daemon, counts);
	if (!has_xdp)
		return;
	write_xdp_of(out, counts, false);
	write_xdp_of(out, counts, true);
	write_held(out, daemon, counts);
}

/* ---- interfaces ---- */

static void write_modes(FILE *out, const struct clv_daemon *daemon)
{
	char label[CLV_TEXT_LABEL_MAX];
	size_t i;
	int mode;

	begin(out, "interface_mode", "gauge",
	      "1 for the datapath mode of an interface, 0 for the others");
	for (i = 0; i < daemon->interfaces_len; i++)
		for (mode = 0; mode < CLV_DATAPATH_MODES; mode++)
			fprintf(out, "culvert_interface_mode{interface=\"%s\",mode=\"%s\"} %d\n",
				clv_text_label(daemon->interfaces[i].nic.name, label),
				clv_datapath_mode_name((enum clv_datapath_mode)mode),
				daemon->interfaces[i].mode == (enum clv_datapath_mode)mode);
}

static void write_left_out(FILE *out, const struct clv_daemon *daemon)
{
	begin(out, "interfaces_left_out", "gauge",
	      "interfaces that XDP is to serve and that have no place");
	fprintf(out, "culvert_interfaces_left_out %u\n", daemon->interfaces_left_out);
}

/* The kernel's counters of each AF_XDP socket. */
static const struct {
	const char *name, *help;
	size_t offset;
} socket_figures[] = {
	{ "xsk_rx_dropped_total", "frames an AF_XDP socket dropped",
	  offsetof(struct clv_xsk_info, rx_dropped) },
	{ "xsk_rx_ring_full_total", "frames lost because the receive ring was full",
	  offsetof(struct clv_xsk_info, rx_ring_full) },
	{ "xsk_rx_fill_empty_total", "times the fill ring was empty",
	  offsetof(struct clv_xsk_info, rx_fill_empty) },
	{ "xsk_rx_invalid_total", "fill descriptors the kernel refused",
	  offsetof(struct clv_xsk_info, rx_invalid) },
	{ "xsk_tx_invalid_total", "transmit descriptors the kernel refused",
	  offsetof(struct clv_xsk_info, tx_invalid) },
};

static void write_sockets_of(FILE *out, const struct clv_daemon *daemon, size_t figure)
{
	char label[CLV_TEXT_LABEL_MAX];
	struct clv_xsk_info info;
	uint64_t value;
	unsigned k;
	uint16_t i;

	for (i = 0; i < daemon->workers_len; i++) {
		const struct clv_port *port = daemon->workers[i].xsk;

		for (k = 0; port && clv_xsk_info(port, k, &info) == 0; k++) {
			const struct clv_interface *interface = clv_daemon_interface_at(daemon,
											info.link);

			memcpy(&value, (const char *)&info + socket_figures[figure].offset,
			       sizeof(value));
			fprintf(out,
				"culvert_%s{interface=\"%s\",queue=\"%u\",mode=\"%s\"} %" PRIu64
				"\n",
				socket_figures[figure].name,
				interface ? clv_text_label(interface->nic.name, label) : "?",
				info.queue, info.mode == CLV_XSK_ZEROCOPY ? "zerocopy" : "copy",
				value);
		}
	}
}

static void write_sockets(FILE *out, const struct clv_daemon *daemon)
{
	size_t i;

	for (i = 0; i < sizeof(socket_figures) / sizeof(socket_figures[0]); i++) {
		begin(out, socket_figures[i].name, "counter", socket_figures[i].help);
		write_sockets_of(out, daemon, i);
	}
}

/* ---- all metrics ---- */

static bool count_session(void *user, const struct clv_session_view *v)
{
	struct clv_metrics_load *load = user;

	*(v->handshaking ? &load->handshaking : &load->connections) += 1;
	return true;
}

static bool count_tunnel(void *user, const struct clv_tunnel_view *v)
{
	struct clv_metrics_load *load = user;

	(void)v;
	load->tunnels++;
	return true;
}

void clv_metrics_count(const struct clv_daemon *daemon, struct clv_metrics_load *out)
{
	*out = (struct clv_metrics_load){ 0 };
	clv_control_each_session(daemon->control, count_session, out);
	clv_control_each_tunnel(daemon->control, count_tunnel, out);
}

static void write_names(FILE *out, const struct clv_daemon *daemon)
{
	const struct clv_resolve_figures names = clv_resolve_figures(daemon->resolve);

	gauge(out, "names_pending", "requests that wait for a name", names.pending);
	gauge(out, "names_pending_max", "limits.dns-pending", names.pending_max);
	gauge(out, "names_cached", "names whose addresses are kept", names.cached);
	gauge(out, "names_cached_max", "limits.dns-cache", names.cache_max);
	gauge(out, "dns_heap_bytes", "allocated by the DNS library and not freed",
	      names.memory_bytes);
}

/* ---- memory ---- */

static void write_memory_of(FILE *out, const char *name, const struct clv_memory *m, size_t figure)
{
	uint64_t value;

	memcpy(&value, (const char *)m + figure, sizeof(value));
	fprintf(out, "culvert_%s{resource=\"%s\"} %" PRIu64 "\n", name, m->of, value);
}

static void write_memory(FILE *out, const struct clv_daemon *daemon)
{
	static const struct {
		const char *name, *type, *help;
		size_t offset;
	} figures[] = {
		{ "memory_used_bytes", "gauge", "held of a limit on memory",
		  offsetof(struct clv_memory, used) },
		{ "memory_max_bytes", "gauge", "the limit; 0: by number",
		  offsetof(struct clv_memory, max) },
		{ "memory_refused_total", "counter",
		  "connections closed and memory denied because of the limit",
		  offsetof(struct clv_memory, refused) },
	};
	struct clv_memory all[CLV_MEMORY_MAX];
	size_t n = clv_memory_figures(daemon, all);

	for (size_t k = 0; k < sizeof(figures) / sizeof(figures[0]); k++) {
		begin(out, figures[k].name, figures[k].type, figures[k].help);
		for (size_t i = 0; i < n; i++)
			write_memory_of(out, figures[k].name, &all[i], figures[k].offset);
	}
}

/* ---- ceilings ---- */

static void write_ceilings(FILE *out, const struct clv_daemon *daemon)
{
	const struct clv_accounts *a = clv_control_accounts(daemon->control);
	int i;

	begin(out, "ceiling_used", "gauge", "what clients hold of a ceiling");
	for (i = 0; i < CLV_RESOURCE_MAX; i++)
		fprintf(out, "culvert_ceiling_used{resource=\"%s\"} %u\n",
			clv_accounts_resource_name((enum clv_resource)i), a->ceilings[i].used);
	begin(out, "ceiling_max", "gauge", "the ceiling, of the whole relay");
	for (i = 0; i < CLV_RESOURCE_MAX; i++)
		fprintf(out, "culvert_ceiling_max{resource=\"%s\"} %u\n",
			clv_accounts_resource_name((enum clv_resource)i), a->ceilings[i].max);
	begin(out, "ceiling_refused_total", "counter",
	      "what clients were refused: the ceiling is reached, or the source has its share");
	for (i = 0; i < CLV_RESOURCE_MAX; i++) {
		const char *name = clv_accounts_resource_name((enum clv_resource)i);

		fprintf(out,
			"culvert_ceiling_refused_total{resource=\"%s\",because=\"ceiling\"} %" PRIu64
			"\n",
			name, a->refused_full[i]);
		fprintf(out,
			"culvert_ceiling_refused_total{resource=\"%s\",because=\"share\"} %" PRIu64
			"\n",
			name, a->refused_source[i]);
	}
}

static void write_all(FILE *out, const struct clv_daemon *daemon)
{
	struct clv_metrics_load load;

	clv_metrics_count(daemon, &load);
	begin(out, "info", "gauge", "always 1; labels describe the build and configuration");
	fprintf(out, "culvert_info{version=\"%s\",aead=\"%s\",datapath=\"%s\"} 1\n", CLV_VERSION,
		clv_aead_provider(),
		clv_config_datapath_name((enum clv_config_datapath)daemon->config.datapath));
	gauge(out, "uptime_seconds", "since the start of the process",
	      (clv_clock_now_ns() - daemon->started_ns) / CLV_SEC);
	gauge(out, "stopping", "1 while the relay closes its connections",
	      daemon->loop.is_stopping);
	gauge(out, "xdp_loaded", "1 with the XDP program, 0 with kernel sockets only",
	      daemon->bpf != NULL);
	gauge(out, "workers", "packet threads", daemon->workers_len);
	gauge(out, "connections", "established QUIC connections", load.connections);
	gauge(out, "handshaking", "connections whose handshake is not complete", load.handshaking);
	gauge(out, "tunnels", "open tunnels", load.tunnels);
	gauge(out, "egress_ports", "UDP ports open for packets to targets",
	      clv_egress_used(daemon->egress));
	begin(out, "neighbours_evicted_total", "counter",
	      "known neighbours on the link that made room for others");
	fprintf(out, "culvert_neighbours_evicted_total %" PRIu64 "\n",
		clv_routes_evicted(daemon->routes));
	write_names(out, daemon);
	write_memory(out, daemon);
	write_ceilings(out, daemon);
	gauge(out, "heap_bytes", "allocated and not freed", clv_metrics_heap_bytes());
	write_modes(out, daemon);
	write_left_out(out, daemon);
	write_counters(out, daemon);
	clv_report_users_metrics(out, daemon);
	clv_report_signal_metrics(out, daemon);
	write_xdp(out, daemon);
	write_certificates(out, daemon);
	write_sockets(out, daemon);
}

uint64_t clv_metrics_heap_bytes(void)
{
	const struct mallinfo2 now = mallinfo2();

	return (uint64_t)now.uordblks + now.hblkhd;
}

char *clv_metrics_text(const struct clv_daemon *daemon, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);
	bool failed;

	if (!out)
		return NULL;
	write_all(out, daemon);
	failed = ferror(out);
	if (fclose(out) || failed) {
		free(text);
		return NULL;
	}
	return text;
}
