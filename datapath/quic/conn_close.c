/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/quic/conn_close.h"

#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/quic/conn.h"
#include "datapath/quic/h3_code.h"

static void enter_draining(struct clv_conn *conn, uint64_t now_ns)
{
	const ngtcp2_ccerr *e = ngtcp2_conn_get_ccerr2(conn->qc);

	if (e) {
		conn->close_code = e->error_code;
		conn->close_is_app = e->type == NGTCP2_CCERR_TYPE_APPLICATION;
	}
	if (conn->close_code != 0 && !(conn->close_is_app && conn->close_code == CLV_H3_NO_ERROR))
		conn->close_error = CLV_EPROTO;
	conn->close_is_remote = true;
	conn->closing = CLV_CONN_DRAINING;
	conn->close_until_ns = now_ns + 3 * ngtcp2_conn_get_pto2(conn->qc);
}

/* An error on our side: close with the code that belongs to ngtcp2's number. */
void conn_fail(struct clv_conn *conn, int rv, uint64_t now_ns)
{
	ngtcp2_ccerr ccerr;

	switch (rv) {
	case NGTCP2_ERR_DRAINING:
		enter_draining(conn, now_ns);
		return;
	case NGTCP2_ERR_CLOSING:
	case NGTCP2_ERR_DROP_CONN:
	case NGTCP2_ERR_RETRY:
		conn->wants_retry = rv == NGTCP2_ERR_RETRY;
		conn->closing = CLV_CONN_DEAD;
		conn->close_error = conn->close_error ? conn->close_error : CLV_EQUIC;
		return;
	case NGTCP2_ERR_IDLE_CLOSE:
		conn->closing = CLV_CONN_DEAD;
		conn->close_error = CLV_ETIMEOUT;
		return;
	case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
		conn->closing = CLV_CONN_DEAD;
		conn->close_error = CLV_ETIMEOUT;
		return;
	default:
		break;
	}
	if (conn->closing)
		return;
	ngtcp2_ccerr_default(&ccerr);
	if (rv == NGTCP2_ERR_CRYPTO)
		ngtcp2_ccerr_set_tls_alert(&ccerr, ngtcp2_conn_get_tls_alert2(conn->qc), NULL, 0);
	else
		ngtcp2_ccerr_set_liberr(&ccerr, rv, NULL, 0);
	conn->close_code = ccerr.error_code;
	conn->close_is_app = false;
	conn->close_error = rv == NGTCP2_ERR_CRYPTO ? CLV_ETLS : CLV_EQUIC;
	conn->closing = CLV_CONN_CLOSING;
	conn->close_wanted = true;
}

void clv_conn_close(struct clv_conn *conn, bool is_app, uint64_t code, const char *reason,
		    uint64_t now_ns)
{
	(void)now_ns;
	if (conn->closing)
		return;
	conn->closing = CLV_CONN_CLOSING;
	conn->close_wanted = true;
	conn->close_is_app = is_app;
	conn->close_code = code;
	strncpy(conn->close_reason, reason ? reason : "", sizeof(conn->close_reason) - 1);
}

/* Write CONNECTION_CLOSE and keep it to be repeated. */
static size_t write_close(struct clv_conn *conn, uint8_t *buf)
{
	const uint8_t *reason = (const uint8_t *)conn->close_reason;
	size_t reason_len = strlen(conn->close_reason);
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	ngtcp2_ccerr ccerr;
	ngtcp2_ssize n;

	ngtcp2_ccerr_default(&ccerr);
	if (conn->close_is_app)
		ngtcp2_ccerr_set_application_error(&ccerr, conn->close_code, reason, reason_len);
	else
		ngtcp2_ccerr_set_transport_error(&ccerr, conn->close_code, reason, reason_len);
	ngtcp2_path_storage_zero(&ps);
	n = ngtcp2_conn_write_connection_close(conn->qc, &ps.path, &pi, buf, conn->pmtu.confirmed,
					       &ccerr, conn->now_ns);
	conn->close_until_ns = conn->now_ns + 3 * ngtcp2_conn_get_pto2(conn->qc);
	if (n <= 0)
		return 0;
	/* One that is padded for the handshake does not fit, and is not repeated. */
	if ((size_t)n <= sizeof(conn->close_packet)) {
		memcpy(conn->close_packet, buf, (size_t)n);
		conn->close_len = (size_t)n;
	}
	return (size_t)n;
}

void conn_send_close(struct clv_conn *conn, struct clv_port *port)
{
	struct clv_tx tx = { .link = conn->flow.hop.link };
	size_t len;

	if (!conn->close_wanted && !conn->close_answer)
		return;
	if (port->ops->tx_take(port, &tx)) {
		conn->close_until_ns = conn->now_ns + CLV_SEC;
		clv_count(conn->env.counters, CLV_COUNT_DROP_NO_FRAME);
		len = 0;
	} else if (conn->close_wanted) {
		len = write_close(conn, tx.payload);
	} else {
		len = conn->close_len;
		memcpy(tx.payload, conn->close_packet, len);
	}
	if (len) {
		port->ops->tx_send(port, &tx, len, &conn->flow, 0);
		clv_count(conn->env.counters, CLV_COUNT_TX_PEER);
	} else if (tx.payload) {
		port->ops->tx_give(port, &tx);
	}
	conn->close_wanted = false;
	conn->close_answer = false;
}
