/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Datagrams that are too big for the tunnel, and reports that they are too big for the path to the
 * target: which ICMP errors are sent, and what received ones change.
 */
#include "datapath/worker/state.h"

#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/io/packet.h"

enum {
	ETHERNET_LEN = 14,
	/* The whole error within what every host takes: RFC 1812 section 4.3.2.3, RFC 4443 2.4. */
	QUOTE_MAX4 = 576 - 20 - 8,
	QUOTE_MAX6 = 1280 - 40 - 8,
	MTU_MIN6 = 1280,
};

/* RFC 1191 section 6.3 and RFC 8201 section 4: after so long the path MTU may be larger again. */
#define PATH_MTU_LIFE (600 * CLV_SEC)

/*
 * No error is sent to an address that is not a single host (RFC 1122 section 3.2.2, RFC 4443
 * section 2.4).
 */
static bool is_unicast(const struct clv_endpoint *remote)
{
	const uint8_t *a = remote->addr;

	if (clv_addr_is_v4(a))
		return a[12] != 0 && a[12] < 224;
	return a[0] != 0xff && !clv_addr_is_any(a);
}

/*
 * The error quotes the packet as the remote sent it, except for fields that routers change.
 *
 * The remote keeps the size for all datagrams to our address, those of other clients as well.  So a
 * client must not decide on it: only its path counts, not what its transport parameters allow, and no
 * size below a floor is reported, which RFC 8201 section 4 has for IPv6 anyway.  What is above the
 * room and below the floor, and what only a parameter forbids, is dropped without an error.
 */
static void report_too_big(struct clv_worker *w, const struct clv_tunnel *t,
			   const struct clv_flow *sent, size_t prefix_len, const uint8_t *payload,
			   size_t len)
{
	const struct clv_conn *conn = w->conns[t->conn_slot].conn;
	const size_t room = clv_conn_path_room(conn);
	const bool is_v4 = clv_addr_is_v4(sent->remote.addr);
	const uint32_t least = is_v4 ? w->p.icmp_mtu_min4 : MTU_MIN6;
	struct clv_evt_too_big evt = {
		.ref = { t->slot, t->generation, w->p.id, { 0 } },
		.tuple = { .local = sent->remote, .remote = sent->local },
		.room = room > 2 ? (uint32_t)room - 2 : 0,
		.mtu = (uint32_t)clv_packet_ip_len(sent, room > prefix_len ? room - prefix_len : 0),
	};
	uint8_t *at = w->quote + CLV_PACKET_HEADERS_MAX;
	size_t headers, max = is_v4 ? QUOTE_MAX4 : QUOTE_MAX6;

	if (evt.mtu < least)
		evt.mtu = least;
	if (clv_packet_ip_len(sent, len) <= evt.mtu)
		return;
	if (!clv_rate_take(&w->icmp_source, &worker_source_of(w, conn)->icmp_full_ns, w->now_ns) ||
	    !clv_bucket_take(&w->icmp, w->now_ns)) {
		clv_count(&w->counters, CLV_COUNT_ICMP_LIMITED);
		return;
	}
	memcpy(at, payload, len);
	headers = clv_packet_encode(at, len, sent, 0);
	if (!headers)
		return;
	headers -= ETHERNET_LEN;
	worker_event(w, CLV_EVT_TOO_BIG, &evt, sizeof(evt), at - headers,
		     headers + len < max ? headers + len : max);
}

bool worker_fits(struct clv_worker *w, struct clv_tunnel *t, const struct clv_endpoint *local,
		 const struct clv_endpoint *remote, size_t prefix_len, const uint8_t *payload,
		 size_t len)
{
	const struct clv_conn *conn = w->conns[t->conn_slot].conn;
	const struct clv_flow sent = { .local = *remote, .remote = *local };
	size_t room;

	if (t->flags & CLV_TUNNEL_CAPSULES || conn->closing)
		return true;
	room = clv_conn_datagram_room(conn);
	if (prefix_len + len <= room)
		return true;
	clv_count(&w->counters, CLV_COUNT_DROP_TOO_BIG_PEER);
	clv_tunnel_count_drop(&w->tunnels, t);
	if (w->p.icmp_per_sec && len <= CLV_PACKET_PAYLOAD_MAX && is_unicast(remote))
		report_too_big(w, t, &sent, prefix_len, payload, len);
	return false;
}

/* A remote of a bound tunnel: valid until its route is looked up again, or it idles out. */
static void reduce_remote_mtu(struct clv_remotes_entry *r, uint32_t mtu)
{
	if (!r->is_pending && mtu && (!r->flow.hop.mtu || mtu < r->flow.hop.mtu))
		r->flow.hop.mtu = (uint16_t)mtu;
}

static void reduce_tunnel_mtu(struct clv_worker *w, struct clv_tunnel *t, uint32_t mtu)
{
	if (!mtu || mtu >= worker_target_mtu(w, t))
		return;
	t->path_mtu = (uint16_t)mtu;
	t->path_mtu_until_ns = w->now_ns + PATH_MTU_LIFE;
}

void worker_icmp(struct clv_worker *w, const struct clv_cmd_icmp *cmd)
{
	const struct clv_endpoint *local = &cmd->tuple.local, *remote = &cmd->tuple.remote;
	struct clv_tunnel *t = clv_tunnels_by_tuple(&w->tunnels, local, remote);
	struct clv_remotes_entry *r = clv_remotes_by_tuple(&w->remotes, local, remote);

	if (t)
		reduce_tunnel_mtu(w, t, cmd->mtu);
	else if (r)
		reduce_remote_mtu(r, cmd->mtu);
	else
		return;
	/* An unreachable error may be forged: it ends nothing, but another address may be tried. */
	if (t && !cmd->mtu)
		worker_trial_fail(w, t, true);
	clv_count(&w->counters, cmd->mtu ? CLV_COUNT_ICMP_TOO_BIG : CLV_COUNT_ICMP_UNREACHABLE);
}

uint32_t worker_target_mtu(const struct clv_worker *w, const struct clv_tunnel *t)
{
	uint32_t mtu = t->flow.hop.mtu ? t->flow.hop.mtu : UINT16_MAX;

	return t->path_mtu && t->path_mtu < mtu && w->now_ns < t->path_mtu_until_ns ? t->path_mtu
										    : mtu;
}
