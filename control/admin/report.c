/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admin/report.h"

#include "control/admin/ctl.h"
#include "control/admin/listing.h"
#include "control/admin/memory.h"
#include "control/admin/metrics.h"
#include "control/admin/report_signal.h"
#include "control/admin/report_tunnels.h"
#include "control/admin/report_users.h"
#include "control/admin/text.h"
#include "control/admission/accounts.h"
#include "control/daemon/datapath.h"
#include "control/daemon/firewall.h"
#include "control/daemon/held.h"
#include "control/daemon/listeners.h"
#include "control/daemon/loop.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/crypto/aead.h"
#include "datapath/io/xsk.h"

#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>

/* ---- values ---- */

/* Also what stands for packets lost in messages to control. */
static bool is_drop(enum clv_counter which)
{
	return clv_counter_class(which) == CLV_CLASS_DROP || which == CLV_COUNT_EVENT_NOMEM;
}

/* values: of the first len counters. */
static json_t *from_values(const uint64_t *values, unsigned len, bool drops_only)
{
	json_t *object = json_object();
	unsigned i;

	for (i = 0; i < len; i++) {
		enum clv_counter which = (enum clv_counter)i;

		if (!drops_only || is_drop(which))
			json_object_set_new(object, clv_counter_name(which),
					    json_integer((json_int_t)values[i]));
	}
	return object;
}

static json_t *counters_of_control(const struct clv_daemon *daemon, bool drops_only)
{
	const struct clv_counters *counters = clv_control_counters(daemon->control);
	uint64_t values[CLV_COUNTER_MAX];
	unsigned i;

	for (i = 0; i < CLV_COUNTER_MAX; i++)
		values[i] = clv_count_read(counters, (enum clv_counter)i);
	return from_values(values, CLV_COUNTER_MAX, drops_only);
}

static json_t *counters_of_worker(const struct clv_worker *worker, bool drops_only)
{
	const struct clv_worker_counters *counters = clv_worker_counters(worker);
	uint64_t values[CLV_WORKER_COUNTER_MAX];
	unsigned i;

	for (i = 0; i < CLV_WORKER_COUNTER_MAX; i++)
		values[i] = clv_count_read(counters, (enum clv_counter)i);
	return from_values(values, CLV_WORKER_COUNTER_MAX, drops_only);
}

static json_t *counters_of_all(const struct clv_daemon *daemon, bool drops_only)
{
	uint64_t sums[CLV_COUNTER_MAX];
	unsigned i, w;

	for (i = 0; i < CLV_COUNTER_MAX; i++) {
		enum clv_counter which = (enum clv_counter)i;

		sums[i] = clv_count_read(clv_control_counters(daemon->control), which);
		for (w = 0; w < daemon->workers_len; w++)
			sums[i] += clv_count_read(clv_worker_counters(daemon->workers[w].worker),
						  which);
	}
	return from_values(sums, CLV_COUNTER_MAX, drops_only);
}

/* The XDP program's counters, or null without it. */
static json_t *from_xdp(const struct clv_daemon *daemon, bool drops_only)
{
	json_t *object = daemon->bpf ? clv_listing_xdp(clv_bpf_maps(daemon->bpf), drops_only)
				     : NULL;

	if (!object)
		return json_null();
	json_object_set_new(object, "held_drop_full",
			    json_pack("{s:I,s:I}", "packets",
				      (json_int_t)clv_daemon_held_lost(daemon), "bytes", 0));
	return object;
}

/* ---- status ---- */

static json_t *from_listeners(const struct clv_daemon *daemon)
{
	json_t *array = json_array();
	char hex[65], pin[65];
	size_t i, k;

	for (i = 0; i < daemon->config.listeners_len; i++) {
		const struct clv_config_listener *config = &daemon->config.listeners[i];
		const struct clv_daemon_listener *l = &daemon->listeners[i];

		for (k = 0; k < 32; k++)
			snprintf(hex + 2 * k, 3, "%02x", l->certs.ca_sha256[k]);
		for (k = 0; k < 32; k++)
			snprintf(pin + 2 * k, 3, "%02x", l->identity.pin[k]);
		json_array_append_new(
			array,
			json_pack("{s:o,s:i,s:s,s:s,s:s,s:s,s:s*,s:I}", "name",
				  clv_text_json(config->name), "port", config->port, "profile",
				  clv_profile_name((enum clv_profile)config->profile), "address",
				  config->address, "families", clv_listeners_families(l), "pin",
				  pin, "ca_sha256", *config->cert_file ? NULL : hex, "not_after",
				  (json_int_t)l->identity.not_after));
	}
	return array;
}

static json_t *from_interface(const struct clv_interface *interface)
{
	json_t *fallbacks = json_array();
	int to = interface->mode, mode;

	/* Each fallback led to the mode that was left next, the last one to the current mode. */
	for (mode = CLV_DATAPATH_MODES - 1; mode >= 0; mode--) {
		if (!*interface->why[mode])
			continue;
		json_array_insert_new(
			fallbacks, 0,
			json_pack("{s:s,s:s,s:o}", "from",
				  clv_datapath_mode_name((enum clv_datapath_mode)mode), "to",
				  clv_datapath_mode_name((enum clv_datapath_mode)to), "because",
				  clv_text_json(interface->why[mode])));
		to = mode;
	}
	return json_pack("{s:o,s:i,s:b,s:s,s:s,s:s,s:b,s:b,s:i,s:i,s:i,s:o}", "name",
			 clv_text_json(interface->nic.name), "ifindex", interface->nic.ifindex,
			 "present", interface->nic.ifindex != 0, "driver", interface->nic.driver,
			 "mode", clv_datapath_mode_name(interface->mode), "xdp",
			 interface->mode <= CLV_DATAPATH_COPY	   ? "native"
			 : interface->mode == CLV_DATAPATH_GENERIC ? "generic"
								   : "none",
			 "fragments", interface->has_fragments, "rx_vlan_offload",
			 interface->nic.strips_tags, "queues", (int)interface->queues, "mtu",
			 (int)interface->nic.mtu, "numa_node", interface->nic.numa_node,
			 "fallbacks", fallbacks);
}

static json_t *from_interfaces(const struct clv_daemon *daemon)
{
	json_t *array = json_array();
	size_t i;

	for (i = 0; i < daemon->interfaces_len; i++)
		json_array_append_new(array, from_interface(&daemon->interfaces[i]));
	return array;
}

static json_t *from_privileges(const struct clv_daemon *daemon)
{
	const char *why = daemon->no_sandbox_why;

	return json_pack("{s:o,s:s,s:b,s:s*}", "user", clv_text_json(daemon->privs.user),
			 "capabilities", daemon->privs.capabilities, "sandbox", !*why,
			 "no_sandbox_because", *why ? why : NULL);
}

/* Who may use the relay; "open" says loudly that everybody may. */
static json_t *from_access(const struct clv_daemon *daemon)
{
	static const char *const modes[] = { "token", "open", "certificate" };
	const struct clv_config *config = &daemon->config;
	const struct clv_user *users;
	size_t known = clv_users_all(daemon->credentials.users, &users);
	bool is_open = config->access_mode == CLV_ACCESS_OPEN;

	return json_pack("{s:s,s:b,s:s*,s:i,s:i}", "mode", modes[config->access_mode], "open",
			 is_open, "warning",
			 !is_open ? NULL
			 : config->access_clients.len
				 ? "OPEN RELAY to all listed addresses"
				 : "OPEN RELAY: everybody may send UDP through it",
			 "client_prefixes", (int)config->access_clients.len, "users", (int)known);
}

/* What clients hold of each ceiling, and were refused. */
static json_t *from_ceilings(const struct clv_daemon *daemon)
{
	const struct clv_accounts *a = clv_control_accounts(daemon->control);
	json_t *array = json_array();
	int i;

	for (i = 0; i < CLV_RESOURCE_MAX; i++)
		json_array_append_new(array,
				      json_pack("{s:s,s:I,s:I,s:I,s:I}", "resource",
						clv_accounts_resource_name((enum clv_resource)i),
						"used", (json_int_t)a->ceilings[i].used, "max",
						(json_int_t)a->ceilings[i].max, "refused_ceiling",
						(json_int_t)a->refused_full[i], "refused_share",
						(json_int_t)a->refused_source[i]));
	return array;
}

/* What is held of each limit on memory, and was refused. */
static json_t *from_memory(const struct clv_daemon *daemon)
{
	struct clv_memory all[CLV_MEMORY_MAX];
	size_t n = clv_memory_figures(daemon, all);
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, json_pack("{s:s,s:I,s:I,s:I}", "of", all[i].of,
						       "used_bytes", (json_int_t)all[i].used,
						       "max_bytes", (json_int_t)all[i].max,
						       "refused", (json_int_t)all[i].refused));
	return array;
}

/* The host's rules for packets, which do not apply to what XDP carries. */
static json_t *from_netfilter(const struct clv_daemon *daemon)
{
	const struct clv_netfilter *n = &daemon->netfilter;
	json_t *array = json_array();
	size_t i;

	for (i = 0; i < n->len; i++) {
		const struct clv_netfilter_chain *c = &n->chains[i];

		json_array_append_new(array, json_pack("{s:s,s:o,s:o,s:s,s:I,s:s}", "family",
						       c->family, "table", clv_text_json(c->table),
						       "chain", clv_text_json(c->name), "hook",
						       c->hook, "rules", (json_int_t)c->rules,
						       "policy", c->is_drop ? "drop" : "accept"));
	}
	return json_pack("{s:b,s:o,s:I,s:s*}", "bypassed", clv_firewall_is_bypassed(daemon),
			 "chains", array, "chains_total", (json_int_t)n->total, "unknown_because",
			 n->err ? clv_strerror(n->err) : NULL);
}

static json_t *answer_status(void *user, const json_t *request)
{
	const struct clv_daemon *daemon = user;
	struct clv_metrics_load load;

	(void)request;
	clv_metrics_count(daemon, &load);
	return json_pack(
		"{s:s,s:I,s:i,s:s,s:o,s:o,s:o,s:o,s:s,s:o*,s:o*,s:s,s:b,s:o,s:o,s:i,s:i,s:I,s:I,s:I,s:i,s:o,"
		"s:o,s:I,s:o,s:o,s:o,s:o}",
		"version", CLV_VERSION, "uptime_sec", clv_listing_seconds_since(daemon->started_ns),
		"pid", (int)getpid(), "state", daemon->loop.is_stopping ? "stopping" : "serving",
		"state_dir", clv_text_json(daemon->options.state_dir), "run_dir",
		clv_text_json(daemon->options.run_dir), "config",
		clv_text_json(daemon->options.config_file), "privileges", from_privileges(daemon),
		"datapath",
		clv_config_datapath_name((enum clv_config_datapath)daemon->config.datapath),
		"no_xdp_because", *daemon->no_bpf_why ? clv_text_json(daemon->no_bpf_why) : NULL,
		"no_slow_path_because",
		*daemon->no_held_why ? clv_text_json(daemon->no_held_why) : NULL, "aead",
		clv_aead_provider(), "steered", daemon->is_steered, "listeners",
		from_listeners(daemon), "interfaces", from_interfaces(daemon),
		"interfaces_left_out", (int)daemon->interfaces_left_out, "workers",
		daemon->workers_len, "connections", (json_int_t)load.connections, "handshaking",
		(json_int_t)load.handshaking, "tunnels", (json_int_t)load.tunnels, "egress_ports",
		(int)clv_egress_used(daemon->egress), "counters", counters_of_all(daemon, false),
		"xdp", from_xdp(daemon, false), "heap_bytes", (json_int_t)clv_metrics_heap_bytes(),
		"access", from_access(daemon), "ceilings", from_ceilings(daemon), "memory",
		from_memory(daemon), "netfilter", from_netfilter(daemon));
}

static json_t *answer_listeners(void *user, const json_t *request)
{
	(void)request;
	return json_pack("{s:o}", "listeners", from_listeners(user));
}

/* ---- workers ---- */

static const char *name_of_link(const struct clv_daemon *daemon, uint16_t number)
{
	const struct clv_interface *interface = clv_daemon_interface_at(daemon, number);

	return interface ? interface->nic.name : "?";
}

static json_t *from_sockets(const struct clv_daemon *daemon, const struct clv_port *port)
{
	json_t *array = json_array();
	struct clv_xsk_info info;
	unsigned i;

	for (i = 0; port && clv_xsk_info(port, i, &info) == 0; i++)
		json_array_append_new(array,
				      json_pack("{s:o,s:i,s:s,s:I,s:I,s:I,s:I,s:I}", "interface",
						clv_text_json(name_of_link(daemon, info.link)),
						"queue", (int)info.queue, "mode",
						info.mode == CLV_XSK_ZEROCOPY ? "zerocopy" : "copy",
						"rx_dropped", (json_int_t)info.rx_dropped,
						"rx_ring_full", (json_int_t)info.rx_ring_full,
						"rx_fill_empty", (json_int_t)info.rx_fill_empty,
						"rx_invalid", (json_int_t)info.rx_invalid,
						"tx_invalid", (json_int_t)info.tx_invalid));
	return array;
}

static json_t *from_worker(const struct clv_daemon *daemon, uint16_t id)
{
	const struct clv_worker_thread *thread = &daemon->workers[id];
	const struct clv_plan_thread *plan = &daemon->plan.workers[id];

	return json_pack("{s:i,s:i,s:i,s:o,s:o,s:o}", "id", id, "cpu", (int)plan->cpu, "numa_node",
			 plan->numa_node, "why", clv_text_json(plan->why), "sockets",
			 from_sockets(daemon, thread->xsk), "counters",
			 counters_of_worker(thread->worker, false));
}

static json_t *answer_workers(void *user, const json_t *request)
{
	const struct clv_daemon *daemon = user;
	json_t *array = json_array();
	uint16_t i;

	(void)request;
	for (i = 0; i < daemon->workers_len; i++)
		json_array_append_new(array, from_worker(daemon, i));
	return json_pack("{s:o,s:o,s:{s:i,s:s,s:o}}", "why", clv_text_json(daemon->plan.why),
			 "workers", array, "control", "cpu", (int)daemon->plan.control.cpu, "why",
			 daemon->plan.control.why, "counters", counters_of_control(daemon, false));
}

/* ---- connections and tunnels ---- */

static bool list_session(void *user, const struct clv_session_view *v)
{
	struct clv_listing *l = user;

	if (!clv_listing_has_room(l))
		return true;
	json_array_append_new(
		l->items,
		json_pack(
			"{s:o,s:o,s:o,s:s,s:s*,s:s*,s:s*,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,"
			"s:I}",
			"ref", clv_listing_ref(&v->ref), "peer", clv_listing_endpoint(&v->peer),
			"local", clv_listing_endpoint(&v->local), "profile",
			clv_profile_name(v->profile), "group", v->tls.group, "suite", v->tls.suite,
			"signature", v->tls.signature, "handshaking", v->handshaking, "tunnels",
			(json_int_t)v->tunnels, "age_sec", clv_listing_seconds_since(v->since_ns),
			"rtt_us", (json_int_t)(v->stats.rtt_ns / 1000), "cwnd_bytes",
			(json_int_t)v->stats.cwnd_bytes, "max_payload",
			(json_int_t)v->stats.max_payload, "rx_packets",
			(json_int_t)v->stats.rx_packets, "rx_bytes", (json_int_t)v->stats.rx_bytes,
			"tx_packets", (json_int_t)v->stats.tx_packets, "tx_bytes",
			(json_int_t)v->stats.tx_bytes, "lost_packets",
			(json_int_t)v->stats.lost_packets));
	return true;
}

static json_t *answer_conns(void *user, const json_t *request)
{
	const struct clv_daemon *daemon = user;
	struct clv_listing l;

	clv_listing_start(&l, daemon, request);
	clv_control_each_session(daemon->control, list_session, &l);
	return clv_listing_end(&l, "conns");
}

/* The buckets of the user-space guard; without XDP there are no others. */
static json_t *answer_guard(void *user, const json_t *request)
{
	const struct clv_daemon *daemon = user;
	const struct clv_guard *guard = clv_control_guard(daemon->control);
	uint64_t now_ns = clv_clock_now_ns();
	char text[CLV_GUARD_TEXT_MAX];
	struct clv_listing l;
	size_t i;

	clv_listing_start(&l, daemon, request);
	for (i = 0; guard->entries && i < guard->entries_len; i++) {
		const struct clv_guard_entry *e = &guard->entries[i];

		if (!e->full_ns || !clv_listing_has_room(&l))
			continue;
		json_array_append_new(
			l.items,
			json_pack(
				"{s:s,s:s,s:I}", "source", clv_guard_source(&e->key, text), "kind",
				clv_guard_kind_name((enum clv_guard_kind)e->key.kind), "full_in_ms",
				(json_int_t)(e->full_ns > now_ns ? (e->full_ns - now_ns) / CLV_MSEC
								 : 0)));
	}
	return clv_listing_end(&l, "guard");
}

/* ---- drops and policy ---- */

static json_t *answer_drops(void *user, const json_t *request)
{
	const struct clv_daemon *daemon = user;
	json_t *workers = json_array();
	uint16_t i;

	(void)request;
	for (i = 0; i < daemon->workers_len; i++)
		json_array_append_new(workers, counters_of_worker(daemon->workers[i].worker, true));
	return json_pack("{s:o,s:o,s:o,s:o}", "total", counters_of_all(daemon, true), "workers",
			 workers, "control", counters_of_control(daemon, true), "xdp",
			 from_xdp(daemon, true));
}

static json_t *from_prefix(const struct clv_prefix *prefix)
{
	bool is_v4 = clv_addr_is_v4(prefix->addr) && prefix->prefix_bits >= 96;
	char text[CLV_ADDR_TEXT_MAX];

	if (is_v4)
		clv_addr_format(prefix->addr, text, sizeof(text));
	else
		inet_ntop(AF_INET6, prefix->addr, text, sizeof(text));
	return json_sprintf("%s/%u", text, prefix->prefix_bits - (is_v4 ? 96 : 0));
}

static json_t *answer_policy(void *user, const json_t *request)
{
	const struct clv_daemon *daemon = user;
	const struct clv_policy_rule *rules;
	size_t i, n = clv_policy_rules(daemon->policy, &rules);
	json_t *array = json_array();

	(void)request;
	for (i = 0; i < n; i++)
		json_array_append_new(
			array, json_pack("{s:o,s:s,s:o}", "prefix", from_prefix(&rules[i].prefix),
					 "verdict",
					 rules[i].verdict == CLV_VERDICT_ALLOW ? "allow" : "deny",
					 "why", clv_text_json(rules[i].why)));
	return json_pack("{s:o,s:i}", "rules", array, "total", (int)n);
}

/* ---- users ---- */

static json_t *answer_reload_users(void *user, const json_t *request)
{
	struct clv_daemon *daemon = user;
	int err = clv_loop_reload_users(daemon);

	(void)request;
	return err ? json_pack("{s:o}", "error", clv_text_json(daemon->error))
		   : json_pack("{s:b}", "reloaded", 1);
}

static const struct clv_ctl_command commands[] = {
	{ "status", answer_status },	     { "workers", answer_workers },
	{ "conns", answer_conns },	     { "tunnels", clv_report_tunnels },
	{ "contexts", clv_report_contexts }, { "bindings", clv_report_bindings },
	{ "drops", answer_drops },	     { "policy", answer_policy },
	{ "listeners", answer_listeners },   { "guard", answer_guard },
	{ "users", clv_report_users },	     { "reload-users", answer_reload_users },
	{ "signal", clv_report_signal },     { "records", clv_report_records },
};

int clv_report_open(struct clv_daemon *daemon)
{
	int err = clv_ctl_open(&daemon->loop.loop, daemon->options.run_dir, commands,
			       sizeof(commands) / sizeof(commands[0]), daemon, &daemon->ctl);

	if (err)
		snprintf(daemon->error, sizeof(daemon->error), "%s/%s: %s", daemon->options.run_dir,
			 CLV_CTL_SOCKET, clv_strerror(err));
	return err;
}

void clv_report_close(struct clv_daemon *daemon)
{
	clv_ctl_close(daemon->ctl);
	daemon->ctl = NULL;
}
