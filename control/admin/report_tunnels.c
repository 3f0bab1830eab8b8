/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admin/report_tunnels.h"

#include "control/admin/listing.h"
#include "datapath/base/addr.h"

/* ---- tunnels ---- */

static const char *hop_state(const struct clv_nexthop *hop)
{
	return hop->state == CLV_HOP_READY	 ? "ready"
	       : hop->state == CLV_HOP_RESOLVING ? "resolving"
						 : "unreachable";
}

/* Null for a bound tunnel without one. */
static json_t *from_target(const struct clv_tunnel_view *v)
{
	return v->target.port ? clv_listing_endpoint(&v->target) : json_null();
}

static json_t *from_ports(const struct clv_tunnel_view *v)
{
	json_t *ports = json_array();

	for (int i = 0; i < 2; i++)
		if (v->ports[i].port)
			json_array_append_new(ports, clv_listing_endpoint(&v->ports[i]));
	return ports;
}

static bool list_tunnel(void *user, const struct clv_tunnel_view *v)
{
	struct clv_listing *l = user;
	uint64_t last_ns = v->stats.last_ns ? v->stats.last_ns : v->since_ns;

	if (!clv_listing_has_room(l))
		return true;
	json_array_append_new(
		l->items,
		json_pack("{s:o,s:o,s:I,s:o,s:o,s:s,s:s,s:i,s:b,s:b,s:o,s:I,s:I,s:I,s:I,s:I,s:I,"
			  "s:I}",
			  "ref", clv_listing_ref(&v->ref), "conn", clv_listing_ref(&v->conn),
			  "stream", (json_int_t)v->stream_id, "local",
			  clv_listing_endpoint(&v->local), "target", from_target(v), "via",
			  v->hop.via == CLV_VIA_XSK ? "xsk" : "kernel", "hop", hop_state(&v->hop),
			  "mtu", v->hop.mtu, "capsules", v->capsules, "bound", v->is_bound, "ports",
			  from_ports(v), "age_sec", clv_listing_seconds_since(v->since_ns),
			  "idle_sec", clv_listing_seconds_since(last_ns), "to_target_packets",
			  (json_int_t)v->stats.to_target_packets, "to_target_bytes",
			  (json_int_t)v->stats.to_target_bytes, "to_peer_packets",
			  (json_int_t)v->stats.to_peer_packets, "to_peer_bytes",
			  (json_int_t)v->stats.to_peer_bytes, "drops", (json_int_t)v->stats.drops));
	return true;
}

json_t *clv_report_tunnels(void *user, const json_t *request)
{
	const struct clv_daemon *daemon = user;
	struct clv_listing l;

	clv_listing_start(&l, daemon, request);
	clv_control_each_tunnel(daemon->control, list_tunnel, &l);
	return clv_listing_end(&l, "tunnels");
}

/* ---- contexts ---- */

static const char *family_of(const struct clv_endpoint *ep)
{
	return clv_addr_is_v4(ep->addr) ? "ipv4" : "ipv6";
}

/* The client opens even Context IDs, the relay odd ones (RFC 9298 section 4). */
static const char *opener_of(uint64_t context_id)
{
	return context_id & 1 ? "relay" : "client";
}

struct figures {
	uint64_t to_remote_packets, to_remote_bytes, to_peer_packets, to_peer_bytes;
};

static void add_figures(json_t *row, const struct figures *f)
{
	const struct {
		const char *key;
		uint64_t value;
	} members[] = {
		{ "to_remote_packets", f->to_remote_packets },
		{ "to_remote_bytes", f->to_remote_bytes },
		{ "to_peer_packets", f->to_peer_packets },
		{ "to_peer_bytes", f->to_peer_bytes },
	};

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		json_object_set_new(row, members[i].key,
				    json_integer((json_int_t)members[i].value));
}

/* Context ID 0: the target in the request.  A bound tunnel counts its packets with all others. */
static void list_target(struct clv_listing *l, const struct clv_tunnel_view *v)
{
	uint64_t last_ns = v->stats.last_ns ? v->stats.last_ns : v->since_ns;
	json_t *row;

	if (!clv_listing_has_room(l))
		return;
	row = json_pack("{s:o,s:s,s:o,s:o,s:i,s:s,s:s,s:b}", "tunnel", clv_listing_ref(&v->ref),
			"family", family_of(&v->target), "remote", clv_listing_endpoint(&v->target),
			"local", clv_listing_endpoint(&v->local), "context_id", 0, "opened_by",
			"request", "state", "open", "hairpin", 0);
	json_array_append_new(l->items, row);
	if (v->is_bound)
		return;
	add_figures(row, &(struct figures){
				 .to_remote_packets = v->stats.to_target_packets,
				 .to_remote_bytes = v->stats.to_target_bytes,
				 .to_peer_packets = v->stats.to_peer_packets,
				 .to_peer_bytes = v->stats.to_peer_bytes,
			 });
	json_object_set_new(row, "idle_sec", json_integer(clv_listing_seconds_since(last_ns)));
}

static void list_uncompressed(struct clv_listing *l, const struct clv_tunnel_view *v)
{
	uint64_t id = v->stats.uncompressed_id;
	json_t *row;

	if (!clv_listing_has_room(l))
		return;
	row = json_pack("{s:o,s:s,s:s,s:I,s:s,s:s,s:b}", "tunnel", clv_listing_ref(&v->ref),
			"family", "any", "remote", "any", "context_id", (json_int_t)id, "opened_by",
			opener_of(id), "state", "open", "hairpin", 0);
	json_array_append_new(l->items, row);
	add_figures(row, &(struct figures){
				 .to_remote_packets = v->stats.uncompressed_to_remote_packets,
				 .to_remote_bytes = v->stats.uncompressed_to_remote_bytes,
				 .to_peer_packets = v->stats.uncompressed_to_peer_packets,
				 .to_peer_bytes = v->stats.uncompressed_to_peer_bytes,
			 });
}

static bool list_tunnels_contexts(void *user, const struct clv_tunnel_view *v)
{
	struct clv_listing *l = user;

	if (!clv_listing_wants(l, &v->ref))
		return true;
	if (v->target.port)
		list_target(l, v);
	if (v->stats.uncompressed_id)
		list_uncompressed(l, v);
	return true;
}

static const char *state_of(const struct clv_remotes_view *v)
{
	if (v->is_pending)
		return "pending";
	if (v->context_id == CLV_DGRAM_CONTEXT_NONE)
		return "uncompressed";
	return v->may_send ? "open" : "unacknowledged";
}

static void list_remote(struct clv_listing *l, const struct clv_remotes_view *v)
{
	bool has_id = v->context_id != CLV_DGRAM_CONTEXT_NONE;
	json_t *row;

	if (!clv_listing_wants(l, &v->tunnel) || !clv_listing_has_room(l))
		return;
	row = json_pack("{s:o,s:s,s:o,s:o,s:s?,s:s,s:b,s:I}", "tunnel", clv_listing_ref(&v->tunnel),
			"family", family_of(&v->remote), "remote", clv_listing_endpoint(&v->remote),
			"context_id",
			has_id ? json_integer((json_int_t)v->context_id) : json_null(), "opened_by",
			has_id ? opener_of(v->context_id) : NULL, "state", state_of(v), "hairpin",
			v->is_hairpin, "idle_sec", clv_listing_seconds_since(v->last_ns));
	json_array_append_new(l->items, row);
	add_figures(row, &(struct figures){
				 .to_remote_packets = v->to_remote_packets,
				 .to_remote_bytes = v->to_remote_bytes,
				 .to_peer_packets = v->to_peer_packets,
				 .to_peer_bytes = v->to_peer_bytes,
			 });
}

json_t *clv_report_contexts(void *user, const json_t *request)
{
	const struct clv_daemon *daemon = user;
	struct clv_listing l;

	clv_listing_start(&l, daemon, request);
	clv_control_each_tunnel(daemon->control, list_tunnels_contexts, &l);
	/* Reads what workers publish, without a request to them that would delay packets. */
	for (uint16_t i = 0; i < daemon->workers_len; i++) {
		const struct clv_worker *w = daemon->workers[i].worker;
		uint32_t slots = clv_worker_remote_slots(w);
		struct clv_remotes_view v;

		for (uint32_t slot = 0; slot < slots; slot++)
			if (clv_worker_remote_view(w, slot, &v))
				list_remote(&l, &v);
	}
	return clv_listing_end(&l, "contexts");
}

/* ---- bindings ---- */

static void list_binding(struct clv_listing *l, const struct clv_tunnel_view *v,
			 const struct clv_endpoint *local)
{
	if (clv_listing_has_room(l))
		json_array_append_new(l->items, json_pack("{s:o,s:o,s:b}", "local",
							  clv_listing_endpoint(local), "tunnel",
							  clv_listing_ref(&v->ref), "uncompressed",
							  v->stats.uncompressed_id != 0));
}

static bool list_bindings(void *user, const struct clv_tunnel_view *v)
{
	struct clv_listing *l = user;

	if (!clv_listing_wants(l, &v->ref))
		return true;
	if (!v->is_bound)
		list_binding(l, v, &v->local);
	for (int i = 0; i < 2; i++)
		if (v->ports[i].port)
			list_binding(l, v, &v->ports[i]);
	return true;
}

/* The bound ports that control knows, for when there are no BPF maps that culvertctl could read. */
json_t *clv_report_bindings(void *user, const json_t *request)
{
	const struct clv_daemon *daemon = user;
	struct clv_listing l;

	clv_listing_start(&l, daemon, request);
	clv_control_each_tunnel(daemon->control, list_bindings, &l);
	return clv_listing_end(&l, "bindings");
}
