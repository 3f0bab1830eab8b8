/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * peerconn_state - what the files of a peer connection share.  Private to peerconn*.c.
 *
 *   peerconn.c            life, received packets, timers, moves
 *   peerconn_callbacks.c  what ngtcp2 reports
 *   peerconn_output.c     what is sent: packets, the control stream, datagrams that wait
 *
 * Calls go only downward: peerconn > peerconn_callbacks > peerconn_output.
 * Threading: as peerconn.h.
 */
#ifndef CLV_PEER_PEERCONN_STATE_H
#define CLV_PEER_PEERCONN_STATE_H

#include <ngtcp2/ngtcp2.h>

#include "control/peer/peerconn.h"

enum {
	PEERCONN_WAITING_MAX = 128,	/* datagrams to send */
	PEERCONN_HELD_MAX = 32,		/* received before the listener has accepted the peer */
	PEERCONN_CONTROL_BYTES = 16384, /* of the control stream that are not acknowledged */
	PEERCONN_HANDSHAKE_PACKET = 1200,
	PEERCONN_FLOW_MAX = 8, /* bytes of a flow's number */
	PEERCONN_CLOSE_MAX = 256,
};

struct peerconn_datagram {
	uint16_t len;
	uint8_t bytes[PEERCONN_FLOW_MAX + CLV_PEERCONN_PAYLOAD_MAX]; /* with its flow */
};

enum peerconn_closing {
	PEERCONN_OPEN = 0,
	PEERCONN_CLOSING,
	PEERCONN_DRAINING,
	PEERCONN_OVER,
};

struct clv_peerconn {
	struct clv_peerconn_params p;
	uint8_t key[32];    /* of p.key */
	uint8_t proven[32]; /* the peer's, when the handshake is complete */
	ngtcp2_conn *qc;
	void *tls;
	struct clv_pathset paths;
	uint64_t now_ns; /* of the call in progress: callbacks of ngtcp2 carry no time */
	bool is_dialler;
	bool is_complete; /* the handshake */
	bool is_accepted; /* listener: the peer may speak to us */
	bool has_hello;	  /* the peer's came */
	bool is_up;
	struct clv_peer_hello hello; /* the peer's */

	/* the control stream */
	int64_t stream; /* -1: not open */
	bool is_stream_blocked;
	struct clv_peer_capsule_reader reader;
	uint64_t control_end, control_sent, control_acked; /* offsets */
	uint8_t control[PEERCONN_CONTROL_BYTES];

	/* datagrams: rings */
	struct peerconn_datagram *waiting; /* PEERCONN_WAITING_MAX */
	unsigned waiting_head, waiting_len;
	uint64_t stalled_ns; /* since when data has waited and none has left; 0: none waits */
	struct peerconn_datagram *held; /* PEERCONN_HELD_MAX, or NULL */
	unsigned held_len;

	/* where the connection goes */
	struct clv_peer_link used; /* as last reported */
	bool has_used;
	enum clv_path_why move_why;
	uint64_t heard_ns; /* the packet before the one that is being read */
	uint64_t retry_ns; /* a move failed: not before */
	uint64_t data_ns;  /* last datagram of the application, in either direction; 0: none yet */
	uint64_t keepalive_ns;

	/* the end */
	enum peerconn_closing closing;
	bool is_ended; /* ops->down was called, or is not to be */
	bool close_wanted, close_answer;
	struct clv_peerconn_end end;
	uint64_t close_until_ns;
	uint8_t close_packet[PEERCONN_CLOSE_MAX];
	size_t close_len;
	uint32_t close_seen;

	struct clv_peerconn_info info;
};

/* ---- peerconn_output.c ---- */

/* Write a capsule to the control stream.  Returns as clv_peerconn_send_capsule. */
int peerconn_put_capsule(struct clv_peerconn *c, const struct clv_peer_capsule *capsule);
/* Send our HELLO. */
void peerconn_put_hello(struct clv_peerconn *c);
void peerconn_control_acked(struct clv_peerconn *c, uint64_t bytes);
/* End the connection: ops->down, unless it was called. */
void peerconn_end(struct clv_peerconn *c, const struct clv_peerconn_end *end);
/* Start to close with a code of ours because of what the peer did. */
void peerconn_abort(struct clv_peerconn *c, enum clv_peerconn_code code, int error);
/* ngtcp2 returned an error. */
void peerconn_fail(struct clv_peerconn *c, int rv);

/* ---- peerconn_callbacks.c ---- */

void peerconn_callbacks(ngtcp2_callbacks *cb, bool is_server);
/* Pass a datagram with its flow to the application. */
void peerconn_deliver(struct clv_peerconn *c, const uint8_t *data, size_t len);

#endif
