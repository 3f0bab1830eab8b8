/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/worker/state.h"

#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"

enum {
	COMMANDS_PER_STEP = 1024, /* then packets get their turn */
};

static struct clv_conn *conn_of(struct clv_worker *w, const struct clv_ref *ref)
{
	return worker_conn(w, ref->slot, ref->generation);
}

static struct clv_tunnel *tunnel_of(struct clv_worker *w, const struct clv_ref *ref)
{
	return clv_tunnels_by_ref(&w->tunnels, ref->slot, ref->generation);
}

static void conn_close(struct clv_worker *w, const struct clv_cmd_conn_close *cmd,
		       const char *reason, size_t len)
{
	struct clv_conn *conn = conn_of(w, &cmd->ref);
	char text[64] = "";

	if (!conn)
		return;
	memcpy(text, reason, len < sizeof(text) ? len : sizeof(text) - 1);
	clv_conn_close(conn, cmd->is_app, cmd->code, text, w->now_ns);
	worker_conn_mark_dirty(w, conn);
}

/* A packet that came to control's socket though the connection lives here. */
static void packet(struct clv_worker *w, const struct clv_cmd_packet *cmd, const uint8_t *payload,
		   size_t len)
{
	struct clv_conn *conn = conn_of(w, &cmd->ref);
	struct clv_rx rx = {
		.local = cmd->local,
		.remote = cmd->remote,
		.payload = (uint8_t *)payload, /* ours until the record is released */
		.payload_len = (uint32_t)len,
		.ecn = cmd->ecn,
		.via = CLV_VIA_KERNEL,
	};

	if (!conn) {
		clv_count(&w->counters, CLV_COUNT_DROP_STALE);
		return;
	}
	clv_count(&w->counters, CLV_COUNT_RX_KERNEL);
	clv_count(&w->counters, CLV_COUNT_RX_PEER);
	clv_conn_input(conn, &rx, w->now_ns);
	worker_conn_mark_dirty(w, conn);
}

static void stream(struct clv_worker *w, uint32_t type, const struct clv_cmd_stream *cmd,
		   const uint8_t *data, size_t len)
{
	struct clv_conn *conn = conn_of(w, &cmd->ref);
	int err = 0;

	if (!conn || conn->closing)
		return;
	switch (type) {
	case CLV_CMD_STREAM_OPEN:
		err = clv_streams_open(&conn->streams, conn->qc, cmd->stream_id);
		break;
	case CLV_CMD_STREAM_WRITE:
		err = clv_streams_write(&conn->streams, cmd->stream_id, data, len, cmd->code);
		worker_relieve(w);
		break;
	case CLV_CMD_STREAM_CONSUMED:
		ngtcp2_conn_extend_max_stream_offset(conn->qc, cmd->stream_id, cmd->code);
		ngtcp2_conn_extend_max_offset(conn->qc, cmd->code);
		break;
	case CLV_CMD_STREAM_GRANT:
		ngtcp2_conn_extend_max_streams_bidi(conn->qc, 1);
		conn->streams_granted++;
		break;
	case CLV_CMD_STREAM_RESET:
		clv_streams_drop(&conn->streams, cmd->stream_id);
		ngtcp2_conn_shutdown_stream_write(conn->qc, 0, cmd->stream_id, cmd->code);
		break;
	default:
		ngtcp2_conn_shutdown_stream_read(conn->qc, 0, cmd->stream_id, cmd->code);
	}
	if (err) /* out of memory: the stream cannot go on, and silence would hang the peer */
		clv_conn_close(conn, false, NGTCP2_INTERNAL_ERROR, "out of memory", w->now_ns);
	worker_conn_mark_dirty(w, conn);
}

static void tunnel_refused(struct clv_worker *w, const struct clv_cmd_tunnel_add *cmd, int error)
{
	struct clv_evt_tunnel gone = { .ref = cmd->ref, .error = error };

	worker_event(w, CLV_EVT_TUNNEL_GONE, &gone, sizeof(gone), NULL, 0);
}

static void tunnel_add(struct clv_worker *w, const struct clv_cmd_tunnel_add *cmd)
{
	struct clv_conn *conn = conn_of(w, &cmd->conn);
	struct clv_port *sock = w->p.sock;
	struct clv_tunnel *t;

	if (!conn || conn->closing) {
		tunnel_refused(w, cmd, CLV_ECLOSED);
		return;
	}
	t = clv_tunnels_add(&w->tunnels, cmd, w->p.hop_wait_packets, w->now_ns);
	if (!t) {
		tunnel_refused(w, cmd, CLV_EFULL);
		return;
	}
	worker_tunnel_link(w, conn, t);
	if (cmd->socket_fd >= 0) {
		int err = sock->ops->add_socket(sock, cmd->socket_fd, &cmd->spec.local,
						&t->flow.socket);

		if (err) {
			worker_tunnel_remove(w, t, err);
			return;
		}
		t->own_socket = true;
	}
	worker_early_replay(w, t);
	worker_conn_mark_dirty(w, conn);
}

/* From a DATAGRAM capsule. */
static void tunnel_send(struct clv_worker *w, struct clv_tunnel *t,
			const struct clv_cmd_tunnel_send *cmd, const uint8_t *payload, size_t len)
{
	clv_count(&w->counters, CLV_COUNT_CAPSULES_IN);
	if (t->is_leaving) {
		worker_drop(w, t, CLV_COUNT_DROP_STALE);
		return;
	}
	/*
	 * Its context will not be registered any more: capsules and registrations share a stream.
	 */
	if (!worker_to_context(w, t, cmd->context_id, payload, len))
		clv_count(&w->counters, CLV_COUNT_DROP_UNKNOWN_CONTEXT);
}

static void tunnel_bind(struct clv_worker *w, struct clv_tunnel *t,
			const struct clv_cmd_tunnel_bind *cmd)
{
	int err = worker_bound_bind(w, t, cmd);

	if (err)
		worker_tunnel_remove(w, t, err);
}

/* Every body begins with the tunnel's ref. */
static void bound_command(struct clv_worker *w, const struct clv_record *r, const uint8_t *body)
{
	struct clv_tunnel *t = tunnel_of(w, (const struct clv_ref *)body);

	if (!t) {
		if (r->type == CLV_CMD_REMOTE_SEND)
			clv_count(&w->counters, CLV_COUNT_DROP_STALE);
		return;
	}
	switch (r->type) {
	case CLV_CMD_TUNNEL_BIND:
		tunnel_bind(w, t, (const void *)body);
		break;
	case CLV_CMD_CONTEXT_OPEN:
		if (worker_bound_open(w, t, (const void *)body))
			worker_early_replay(w, t);
		break;
	case CLV_CMD_CONTEXT_CLOSE:
		worker_bound_close(w, t, ((const struct clv_cmd_context_close *)body)->context_id);
		break;
	case CLV_CMD_REMOTE_ADD:
		worker_bound_remote_add(w, t, &((const struct clv_cmd_remote *)body)->remote);
		break;
	case CLV_CMD_REMOTE_REMOVE:
		worker_bound_remote_remove(w, t, (const struct clv_cmd_remote_remove *)body);
		break;
	default:
		worker_bound_remote_send(w, t, &((const struct clv_cmd_remote_send *)body)->remote,
					 body + sizeof(struct clv_cmd_remote_send),
					 r->len - sizeof(struct clv_cmd_remote_send));
	}
}

static void socket_open(struct clv_worker *w, const struct clv_cmd_socket *cmd)
{
	struct clv_port *sock = w->p.sock;
	uint32_t number;
	int err = sock->ops->add_socket(sock, cmd->socket_fd, &cmd->local, &number);

	if (!err) {
		err = clv_table_insert(&w->open_by_local, &cmd->local, number);
		if (!err)
			err = clv_table_insert(&w->open_by_number, &number, 1);
		if (err)
			sock->ops->remove_socket(sock, number);
	}
	if (err)
		clv_log(CLV_LOG_ERROR, "socket_open", "err=\"%s\"", clv_strerror(err));
}

static void socket_close(struct clv_worker *w, const struct clv_cmd_socket *cmd)
{
	uint64_t found;
	uint32_t number;

	if (clv_table_find(&w->open_by_local, &cmd->local, &found)) {
		number = (uint32_t)found;
		w->p.sock->ops->remove_socket(w->p.sock, number);
		clv_table_remove(&w->open_by_number, &number);
		clv_table_remove(&w->open_by_local, &cmd->local);
	}
	worker_event(w, CLV_EVT_SOCKET_CLOSED, cmd, sizeof(*cmd), NULL, 0);
}

static void policy(struct clv_worker *w, const struct clv_cmd_policy *cmd)
{
	clv_verdicts_unref(w->p.verdicts);
	w->p.verdicts = cmd->verdicts;
}

/* What follows the head in the record. */
#define TAIL(type) (body + sizeof(type)), (r->len - sizeof(type))

static void conn_hop(struct clv_worker *w, const struct clv_cmd_hop *cmd)
{
	struct clv_conn *conn = conn_of(w, &cmd->ref);

	if (!conn)
		return;
	clv_conn_set_hop(conn, &cmd->hop, w->now_ns);
	worker_conn_mark_dirty(w, conn);
}

static void conn_migrate(struct clv_worker *w, const struct clv_cmd_conn_migrate *cmd)
{
	struct clv_conn *conn = conn_of(w, &cmd->ref);

	if (!conn)
		return;
	clv_conn_migrate(conn, &cmd->local, w->now_ns);
	worker_conn_mark_dirty(w, conn);
}

static void conn_command(struct clv_worker *w, const struct clv_record *r, const uint8_t *body)
{
	const void *head = body;
	struct clv_conn *conn;

	switch (r->type) {
	case CLV_CMD_CONN_ADOPT:
		worker_conn_adopt(w, head);
		break;
	case CLV_CMD_CONN_CLOSE:
		conn_close(w, head, (const char *)TAIL(struct clv_cmd_conn_close));
		break;
	case CLV_CMD_PACKET:
		packet(w, head, TAIL(struct clv_cmd_packet));
		break;
	case CLV_CMD_DATAGRAM:
		conn = conn_of(w, head);
		if (conn)
			worker_from_peer(w, conn, TAIL(struct clv_cmd_ref));
		break;
	case CLV_CMD_CONN_HOP:
		conn_hop(w, head);
		break;
	case CLV_CMD_CONN_MIGRATE:
		conn_migrate(w, head);
		break;
	default:
		stream(w, r->type, head, TAIL(struct clv_cmd_stream));
	}
}

/* Every body begins with the tunnel's ref. */
static void tunnel_command(struct clv_worker *w, const struct clv_record *r, const uint8_t *body)
{
	const void *head = body;
	struct clv_tunnel *t = tunnel_of(w, head);

	if (!t) {
		if (r->type == CLV_CMD_TUNNEL_SEND || r->type == CLV_CMD_TUNNEL_UP)
			clv_count(&w->counters, CLV_COUNT_DROP_STALE);
		return;
	}
	switch (r->type) {
	case CLV_CMD_TUNNEL_REMOVE:
		worker_tunnel_leave(w, t, 0);
		break;
	case CLV_CMD_TUNNEL_SEND:
		tunnel_send(w, t, head, TAIL(struct clv_cmd_tunnel_send));
		break;
	case CLV_CMD_TUNNEL_UP:
		worker_to_peer(w, t, TAIL(struct clv_cmd_tunnel_send));
		break;
	case CLV_CMD_TUNNEL_RETARGET:
		worker_tunnel_retarget(w, t, head);
		break;
	case CLV_CMD_TUNNEL_STAY:
		worker_tunnel_stay(w, t);
		break;
	default:
		worker_tunnel_hop(w, t, &((const struct clv_cmd_hop *)head)->hop);
	}
}

#undef TAIL

static void command(struct clv_worker *w, const struct clv_record *r, const uint8_t *body)
{
	const void *head = body;

	switch (r->type) {
	case CLV_CMD_CONN_ADOPT:
	case CLV_CMD_CONN_CLOSE:
	case CLV_CMD_CONN_HOP:
	case CLV_CMD_CONN_MIGRATE:
	case CLV_CMD_PACKET:
	case CLV_CMD_DATAGRAM:
	case CLV_CMD_STREAM_OPEN:
	case CLV_CMD_STREAM_WRITE:
	case CLV_CMD_STREAM_CONSUMED:
	case CLV_CMD_STREAM_GRANT:
	case CLV_CMD_STREAM_RESET:
	case CLV_CMD_STREAM_STOP:
		conn_command(w, r, body);
		break;
	case CLV_CMD_TUNNEL_ADD:
		tunnel_add(w, head);
		break;
	case CLV_CMD_TUNNEL_REMOVE:
	case CLV_CMD_TUNNEL_SEND:
	case CLV_CMD_TUNNEL_UP:
	case CLV_CMD_TUNNEL_HOP:
	case CLV_CMD_TUNNEL_RETARGET:
	case CLV_CMD_TUNNEL_STAY:
		tunnel_command(w, r, body);
		break;
	case CLV_CMD_TUNNEL_BIND:
	case CLV_CMD_CONTEXT_OPEN:
	case CLV_CMD_CONTEXT_CLOSE:
	case CLV_CMD_REMOTE_ADD:
	case CLV_CMD_REMOTE_REMOVE:
	case CLV_CMD_REMOTE_SEND:
		bound_command(w, r, body);
		break;
	case CLV_CMD_ICMP:
		worker_icmp(w, head);
		break;
	case CLV_CMD_POLICY:
		policy(w, head);
		break;
	case CLV_CMD_METER:
		((const struct clv_cmd_meter *)head)->meter->limits =
			((const struct clv_cmd_meter *)head)->limits;
		break;
	case CLV_CMD_SOCKET_OPEN:
		socket_open(w, head);
		break;
	case CLV_CMD_SOCKET_CLOSE:
		socket_close(w, head);
		break;
	case CLV_CMD_STOP:
		w->stopping = true;
		break;
	default:
		break;
	}
}

void worker_commands(struct clv_worker *w)
{
	struct clv_record r;

	for (int i = 0; i < COMMANDS_PER_STEP && clv_mailbox_peek(w->p.commands, &r); i++) {
		command(w, &r, r.body);
		clv_mailbox_release(w->p.commands);
		w->work++;
	}
}
