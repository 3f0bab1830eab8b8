/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * tls_ops - what a connection needs of the TLS stack, so that the datapath includes nothing of it.
 *
 * conn puts the first four (through a wrapper or as they are) into ngtcp2_callbacks; they have
 * ngtcp2's own signatures and return values: 0, NGTCP2_ERR_CALLBACK_FAILURE, or NGTCP2_ERR_CRYPTO
 * after the TLS alert was given to ngtcp2.  They find their session by
 * ngtcp2_conn_get_tls_native_handle2 and ignore user_data.
 *
 * Spec: RFC 9001 section 4.
 * Threading: the connection's owner, and no two at a time.
 */
#ifndef CLV_QUIC_TLS_OPS_H
#define CLV_QUIC_TLS_OPS_H

#include <ngtcp2/ngtcp2.h>
#include <stddef.h>
#include <stdint.h>

struct clv_conn_tls_ops {
	/* Client: install the Initial keys, write the ClientHello. */
	int (*client_initial)(ngtcp2_conn *qc, void *user_data);
	/* Server: install the Initial keys; dcid: the client's first one. */
	int (*recv_client_initial)(ngtcp2_conn *qc, const ngtcp2_cid *dcid, void *user_data);
	/* Client: the server sent Retry; install the Initial keys of its ID. */
	int (*recv_retry)(ngtcp2_conn *qc, const ngtcp2_pkt_hd *hd, void *user_data);
	/* Feed CRYPTO bytes, in order, and advance the handshake. */
	int (*recv_crypto_data)(ngtcp2_conn *qc, ngtcp2_encryption_level level, uint64_t offset,
				const uint8_t *data, size_t data_len, void *user_data);
	/* Free the session given to clv_conn_set_tls.  session: takes.  May outlive qc. */
	void (*free)(void *session);
};

#endif
