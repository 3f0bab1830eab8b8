/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <string.h>

#include "control/peer/peerconn_state.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/varint.h"

enum {
	PACKETS_PER_FLUSH = 256,
};

/* ---- the end ---- */

void peerconn_end(struct clv_peerconn *c, const struct clv_peerconn_end *end)
{
	if (c->is_ended)
		return;
	c->is_ended = true;
	c->end = *end;
	c->p.ops->down(c->p.user, &c->end);
}

void peerconn_abort(struct clv_peerconn *c, enum clv_peerconn_code code, int error)
{
	struct clv_peerconn_end end = { .error = error, .code = code, .is_app = true };

	if (c->closing)
		return;
	c->closing = PEERCONN_CLOSING;
	c->close_wanted = true;
	peerconn_end(c, &end);
}

static void enter_draining(struct clv_peerconn *c)
{
	const ngtcp2_ccerr *e = ngtcp2_conn_get_ccerr2(c->qc);
	struct clv_peerconn_end end = { .is_remote = true };

	if (e) {
		end.code = e->error_code;
		end.is_app = e->type == NGTCP2_CCERR_TYPE_APPLICATION;
	}
	if (end.code && end.is_app && end.code == CLV_PEERCONN_REFUSED)
		end.error = CLV_EDENIED;
	else if (end.code)
		end.error = CLV_EPROTO;
	c->closing = PEERCONN_DRAINING;
	c->close_until_ns = c->now_ns + 3 * ngtcp2_conn_get_pto2(c->qc);
	peerconn_end(c, &end);
}

void peerconn_fail(struct clv_peerconn *c, int rv)
{
	struct clv_peerconn_end end = { .error = c->end.error };
	ngtcp2_ccerr e;

	if (c->closing)
		return;
	switch (rv) {
	case NGTCP2_ERR_DRAINING:
		enter_draining(c);
		return;
	case NGTCP2_ERR_IDLE_CLOSE:
	case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
		end.error = CLV_ETIMEOUT;
		break;
	case NGTCP2_ERR_CLOSING:
	case NGTCP2_ERR_DROP_CONN:
	case NGTCP2_ERR_RETRY:
		end.error = end.error ? end.error : CLV_EQUIC;
		break;
	default:
		ngtcp2_ccerr_default(&e);
		if (rv == NGTCP2_ERR_CRYPTO)
			ngtcp2_ccerr_set_tls_alert(&e, ngtcp2_conn_get_tls_alert2(c->qc), NULL, 0);
		else
			ngtcp2_ccerr_set_liberr(&e, rv, NULL, 0);
		end.code = e.error_code;
		if (!end.error && rv == NGTCP2_ERR_CRYPTO)
			end.error = clv_tls_peer_failure(c->tls);
		if (!end.error)
			end.error = rv == NGTCP2_ERR_CRYPTO ? CLV_ETLS : CLV_EQUIC;
		c->closing = PEERCONN_CLOSING;
		c->close_wanted = true;
		peerconn_end(c, &end);
		return;
	}
	c->closing = PEERCONN_OVER;
	peerconn_end(c, &end);
}

/* ---- the control stream ---- */

int peerconn_put_capsule(struct clv_peerconn *c, const struct clv_peer_capsule *capsule)
{
	uint8_t buf[CLV_PEER_CAPSULE_MAX];
	int len = clv_peer_capsule_encode(capsule, buf);

	if (len < 0)
		return len;
	if (c->control_end - c->control_acked + (unsigned)len > PEERCONN_CONTROL_BYTES)
		return -EAGAIN;
	for (int i = 0; i < len; i++)
		c->control[c->control_end++ % PEERCONN_CONTROL_BYTES] = buf[i];
	return 0;
}

void peerconn_put_hello(struct clv_peerconn *c)
{
	const struct clv_peer_capsule hello = { .type = CLV_PEER_HELLO, .hello = c->p.hello };

	peerconn_put_capsule(c, &hello); /* the first: there is room */
}

void peerconn_control_acked(struct clv_peerconn *c, uint64_t bytes)
{
	c->control_acked += bytes;
}

/* What the stream has to send, which may be in two parts.  Returns their number. */
static unsigned control_data(const struct clv_peerconn *c, ngtcp2_vec vec[static 2])
{
	size_t from = c->control_sent % PEERCONN_CONTROL_BYTES;
	size_t len = (size_t)(c->control_end - c->control_sent);
	size_t first = PEERCONN_CONTROL_BYTES - from < len ? PEERCONN_CONTROL_BYTES - from : len;

	vec[0] = (ngtcp2_vec){ (uint8_t *)c->control + from, first };
	vec[1] = (ngtcp2_vec){ (uint8_t *)c->control, len - first };
	return len > first ? 2 : 1;
}

/* ---- packets ---- */

static void send_packet(struct clv_peerconn *c, const ngtcp2_path *path, const uint8_t *packet,
			size_t len)
{
	uint32_t number = clv_pathset_path_of((const void *)path->remote.addr);
	unsigned links[CLV_PATHSET_LINKS_MAX];
	unsigned n = clv_pathset_out(&c->paths, number, links);

	for (unsigned i = 0; i < n; i++) {
		const struct clv_peer_link *link = &c->paths.links[links[i]].link;

		c->info.bytes_out += len;
		c->info.relayed_out += link->is_relayed;
		c->p.ops->send(c->p.user, link, packet, len);
	}
}

static bool has_control(const struct clv_peerconn *c)
{
	return c->stream >= 0 && !c->is_stream_blocked && c->control_sent < c->control_end;
}

static ngtcp2_ssize write_control(struct clv_peerconn *c, ngtcp2_path *path, uint8_t *buf,
				  size_t room)
{
	ngtcp2_ssize taken = -1, n;
	ngtcp2_pkt_info pi;
	ngtcp2_vec vec[2];
	unsigned vecs = control_data(c, vec);

	n = ngtcp2_conn_writev_stream(c->qc, path, &pi, buf, room, &taken,
				      NGTCP2_WRITE_STREAM_FLAG_NONE, c->stream, vec, vecs,
				      c->now_ns);
	if (taken > 0) {
		c->control_sent += (uint64_t)taken;
		c->stalled_ns = 0;
	}
	if (n == NGTCP2_ERR_STREAM_DATA_BLOCKED || n == NGTCP2_ERR_STREAM_SHUT_WR)
		c->is_stream_blocked = true;
	return n;
}

static ngtcp2_ssize write_datagram(struct clv_peerconn *c, ngtcp2_path *path, uint8_t *buf,
				   size_t room)
{
	struct peerconn_datagram *d = &c->waiting[c->waiting_head];
	ngtcp2_vec vec = { d->bytes, d->len };
	ngtcp2_pkt_info pi;
	ngtcp2_ssize n;
	int taken = 0;

	n = ngtcp2_conn_writev_datagram(c->qc, path, &pi, buf, room, &taken,
					NGTCP2_WRITE_DATAGRAM_FLAG_NONE, 0, &vec, 1, c->now_ns);
	if (n == NGTCP2_ERR_INVALID_STATE || n == NGTCP2_ERR_INVALID_ARGUMENT) {
		taken = 1; /* the peer takes none, or none of this size */
		c->info.dropped++;
		n = 0;
	} else if (taken) {
		c->info.datagrams_out++;
	}
	if (taken) {
		c->waiting_head = (c->waiting_head + 1) % PEERCONN_WAITING_MAX;
		c->waiting_len--;
		c->stalled_ns = 0;
	}
	return n;
}

/* Write one packet.  Returns its length; 0: nothing may be sent now; or an error of ngtcp2's. */
static ngtcp2_ssize write_packet(struct clv_peerconn *c, ngtcp2_path *path, uint8_t *buf)
{
	size_t room = c->is_complete ? CLV_PEERCONN_PACKET_MAX : PEERCONN_HANDSHAKE_PACKET;
	ngtcp2_pkt_info pi;
	ngtcp2_ssize n;

	if (has_control(c)) {
		n = write_control(c, path, buf, room);
		if (!c->is_stream_blocked)
			return n;
	}
	if (c->is_complete && c->waiting_len) {
		n = write_datagram(c, path, buf, room);
		if (n)
			return n;
	}
	return ngtcp2_conn_write_pkt(c->qc, path, &pi, buf, room, c->now_ns);
}

static void write_close(struct clv_peerconn *c)
{
	uint8_t buf[CLV_PEERCONN_PACKET_MAX];
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	ngtcp2_ccerr e;
	ngtcp2_ssize n;

	c->close_wanted = false;
	ngtcp2_ccerr_default(&e);
	if (c->end.is_app)
		ngtcp2_ccerr_set_application_error(&e, c->end.code, NULL, 0);
	else
		ngtcp2_ccerr_set_transport_error(&e, c->end.code, NULL, 0);
	ngtcp2_path_storage_zero(&ps);
	c->close_until_ns = c->now_ns + 3 * ngtcp2_conn_get_pto2(c->qc);
	n = ngtcp2_conn_write_connection_close(c->qc, &ps.path, &pi, buf, sizeof(buf), &e,
					       c->now_ns);
	if (n <= 0) {
		c->closing = PEERCONN_OVER;
		return;
	}
	if ((size_t)n <= sizeof(c->close_packet)) {
		memcpy(c->close_packet, buf, (size_t)n);
		c->close_len = (size_t)n;
	}
	send_packet(c, &ps.path, buf, (size_t)n);
}

/* Repeat the packet that closes (RFC 9000 section 10.2.1). */
static void repeat_close(struct clv_peerconn *c)
{
	unsigned links[CLV_PATHSET_LINKS_MAX];
	unsigned n = clv_pathset_out(&c->paths, c->paths.current, links);

	c->close_answer = false;
	for (unsigned i = 0; i < n && c->close_len; i++)
		c->p.ops->send(c->p.user, &c->paths.links[links[i]].link, c->close_packet,
			       c->close_len);
}

/* What is sent is to be answered: a silence begins now, whatever timers ngtcp2 puts off by each packet. */
static void note_sent(struct clv_peerconn *c)
{
	ngtcp2_conn_info info;

	if (!c->is_complete || c->paths.waiting_ns)
		return;
	ngtcp2_conn_get_conn_info2(c->qc, &info);
	if (info.bytes_in_flight > 0)
		clv_pathset_sent(&c->paths, c->now_ns);
}

/* Nothing may leave now. */
static void note_stall(struct clv_peerconn *c)
{
	if (!has_control(c) && !c->waiting_len)
		c->stalled_ns = 0;
	else if (!c->stalled_ns && c->is_complete)
		c->stalled_ns = c->now_ns;
}

void clv_peerconn_flush(struct clv_peerconn *c, uint64_t now_ns)
{
	uint8_t buf[CLV_PEERCONN_PACKET_MAX];
	ngtcp2_path_storage ps;
	ngtcp2_ssize n;

	c->now_ns = now_ns;
	if (c->close_wanted)
		write_close(c);
	else if (c->close_answer)
		repeat_close(c);
	for (unsigned i = 0; i < PACKETS_PER_FLUSH && !c->closing; i++) {
		ngtcp2_path_storage_zero(&ps);
		n = write_packet(c, &ps.path, buf);
		if (n < 0 && (n == NGTCP2_ERR_STREAM_DATA_BLOCKED))
			continue;
		if (n < 0) {
			peerconn_fail(c, (int)n);
			clv_peerconn_flush(c, now_ns); /* the close, if there is one */
			return;
		}
		if (!n) {
			note_stall(c);
			return;
		}
		send_packet(c, &ps.path, buf, (size_t)n);
		note_sent(c);
	}
}

/* ---- what the application sends ---- */

int clv_peerconn_send(struct clv_peerconn *c, uint64_t flow, const void *data, size_t len)
{
	struct peerconn_datagram *d;
	uint8_t *p;

	if (c->closing || (!c->is_dialler && !c->is_accepted))
		return CLV_ECLOSED;
	if (len > CLV_PEERCONN_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (flow > CLV_VARINT_MAX)
		return CLV_ERANGE;
	if (c->waiting_len == PEERCONN_WAITING_MAX)
		return -EAGAIN;
	d = &c->waiting[(c->waiting_head + c->waiting_len++) % PEERCONN_WAITING_MAX];
	p = d->bytes;
	clv_varint_write(&p, d->bytes + PEERCONN_FLOW_MAX, flow);
	memcpy(p, data, len);
	d->len = (uint16_t)((size_t)(p - d->bytes) + len);
	c->data_ns = c->now_ns;
	return 0;
}

int clv_peerconn_send_capsule(struct clv_peerconn *c, const struct clv_peer_capsule *capsule)
{
	return c->closing || !c->is_up ? CLV_ECLOSED : peerconn_put_capsule(c, capsule);
}
