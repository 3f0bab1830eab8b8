/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/core/state.h"

enum {
	EVENTS_PER_STEP = 4096, /* of one worker, before the others get their turn */
};

static struct clv_session *session_of(struct clv_control *c, const struct clv_ref *ref)
{
	struct worker_side *side = &c->workers[ref->worker];
	struct clv_session *s = side->sessions[ref->slot];

	return s && s->ref.generation == ref->generation ? s : NULL;
}

static void path_changed(struct clv_control *c, struct clv_session *s,
			 const struct clv_evt_path *evt)
{
	struct clv_route route;

	s->local = evt->local;
	s->remote = evt->remote;
	clv_hosts_leave(&s->peer);
	clv_hosts_join(&c->peers, &s->peer, s->remote.addr, &s->ref);
	if (!session_route(s, &route))
		session_set_hop(s, &route.hop);
	if (s->app_ops->moved)
		s->app_ops->moved(s->app, s);
}

static enum clv_stream_event_type stream_event_of(uint32_t event)
{
	switch (event) {
	case CLV_EVT_STREAM_DATA:
		return CLV_STREAM_DATA;
	case CLV_EVT_STREAM_ACKED:
		return CLV_STREAM_ACKED;
	case CLV_EVT_STREAM_RESET:
		return CLV_STREAM_RESET;
	case CLV_EVT_STREAM_STOP:
		return CLV_STREAM_STOP;
	case CLV_EVT_STREAM_NO_TUNNEL:
		return CLV_STREAM_NO_TUNNEL;
	default:
		return CLV_STREAM_CLOSED;
	}
}

static void session_event(struct clv_control *c, const struct clv_record *r, const uint8_t *body)
{
	const struct clv_evt_stream *stream = (const void *)body;
	/* Every event of a connection begins with its ref. */
	struct clv_session *s = session_of(c, (const struct clv_ref *)body);

	if (!s)
		return;
	switch (r->type) {
	case CLV_EVT_CID_ADDED:
		session_cid_added(s, &((const struct clv_evt_cid *)body)->cid);
		break;
	case CLV_EVT_CID_REMOVED:
		session_cid_removed(s, &((const struct clv_evt_cid *)body)->cid);
		break;
	case CLV_EVT_NEW_TOKEN:
		clv_tokens_put(&c->known, &s->remote, body + sizeof(struct clv_cmd_ref),
			       r->len - sizeof(struct clv_cmd_ref));
		break;
	case CLV_EVT_PEER_TOKEN:
		session_peer_token(s, (const void *)body);
		break;
	case CLV_EVT_CONN_GONE:
		session_gone(s, (const void *)body);
		break;
	case CLV_EVT_PATH_CHANGED:
		path_changed(c, s, (const void *)body);
		break;
	case CLV_EVT_MAX_PAYLOAD:
		s->payload_max = ((const struct clv_evt_payload *)body)->payload_len;
		if (s->app_ops->max_payload)
			s->app_ops->max_payload(s->app, s, s->payload_max);
		break;
	default:
		session_stream_event(s, stream_event_of(r->type), stream->stream_id, stream->code,
				     body + sizeof(*stream), r->len - sizeof(*stream));
	}
}

static void unclaimed(struct clv_control *c, const struct clv_evt_unclaimed *evt,
		      const uint8_t *payload, size_t len)
{
	struct clv_rx rx = {
		.local = evt->local,
		.remote = evt->remote,
		.payload = (uint8_t *)payload, /* ours until the record is released */
		.payload_len = (uint32_t)len,
		.ecn = evt->ecn,
	};

	packets_receive(c, &rx);
}

static void event(struct clv_control *c, struct worker_side *side, const struct clv_record *r)
{
	const uint8_t *body = r->body;

	switch (r->type) {
	case CLV_EVT_TUNNEL_GONE:
		tunnel_gone(c, (const void *)body);
		break;
	case CLV_EVT_DATAGRAM_UP:
		tunnel_datagram_up(c, (const void *)body, body + sizeof(struct clv_evt_tunnel),
				   r->len - sizeof(struct clv_evt_tunnel));
		break;
	case CLV_EVT_NEW_REMOTE:
		if (c->p.on_new_remote)
			c->p.on_new_remote(c->p.client, (const void *)body,
					   body + sizeof(struct clv_evt_remote),
					   r->len - sizeof(struct clv_evt_remote));
		break;
	case CLV_EVT_REMOTE_NEW:
	case CLV_EVT_REMOTE_BUSY:
	case CLV_EVT_REMOTE_IDLE:
	case CLV_EVT_DELIVERY:
		tunnel_bound_event(c, (enum clv_event)r->type, (const void *)body,
				   body + sizeof(struct clv_evt_bound),
				   r->len - sizeof(struct clv_evt_bound));
		break;
	case CLV_EVT_CONTEXT_ZERO:
		tunnel_bound_event(c, CLV_EVT_CONTEXT_ZERO,
				   &(struct clv_evt_bound){
					   .ref = ((const struct clv_evt_tunnel *)body)->ref },
				   NULL, 0);
		break;
	case CLV_EVT_SOCKET_CLOSED:
		if (c->p.on_socket_closed)
			c->p.on_socket_closed(c->p.client,
					      ((const struct clv_cmd_socket *)body)->socket_fd);
		break;
	case CLV_EVT_TARGET_DEAD:
		tunnel_target_dead(c, (const void *)body);
		break;
	case CLV_EVT_TUNNEL_RETARGETED:
		tunnel_retargeted(c, (const void *)body);
		break;
	case CLV_EVT_TOO_BIG:
		tunnel_too_big(c, (const void *)body, body + sizeof(struct clv_evt_too_big),
			       r->len - sizeof(struct clv_evt_too_big));
		break;
	case CLV_EVT_UNCLAIMED:
		unclaimed(c, (const void *)body, body + sizeof(struct clv_evt_unclaimed),
			  r->len - sizeof(struct clv_evt_unclaimed));
		break;
	case CLV_EVT_STOPPED:
		side->stopped = true;
		break;
	default:
		session_event(c, r, body);
	}
}

void events_drain(struct clv_control *c)
{
	struct clv_record r;

	for (uint16_t i = 0; i < c->p.workers_len; i++) {
		struct worker_side *side = &c->workers[i];

		for (int n = 0; n < EVENTS_PER_STEP && clv_mailbox_peek(side->w.events, &r); n++) {
			event(c, side, &r);
			clv_mailbox_release(side->w.events);
			overload_relieve(c);
			c->work++;
		}
	}
}
