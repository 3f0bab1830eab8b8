/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * conn - one QUIC connection for its whole life: made in control, run by a worker.
 *
 * Exactly one thread touches a conn at any time.  During the handshake that is control; when the
 * handshake is complete control sends the pointer to a worker (CLV_CMD_CONN_ADOPT), which from then
 * on is its owner.  Callbacks of ngtcp2 go up through `ops`, which the owner sets.
 *
 * Spec: RFC 9000, RFC 9221 (DATAGRAM).
 * Threading: its owner.
 * Order: 1. clv_conn_new  2. clv_conn_set_tls  3. input/output/expire, any number  4. free
 */
#ifndef CLV_QUIC_CONN_H
#define CLV_QUIC_CONN_H

#include <ngtcp2/ngtcp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "datapath/base/counters.h"
#include "datapath/base/pool.h"
#include "datapath/base/rand.h"
#include "datapath/base/timers.h"
#include "datapath/io/port.h"
#include "datapath/quic/cid.h"
#include "datapath/quic/flowq.h"
#include "datapath/quic/heap.h"
#include "datapath/quic/paths.h"
#include "datapath/quic/pmtu.h"
#include "datapath/quic/streams.h"
#include "datapath/quic/tls_ops.h"

struct clv_conn;

enum {
	CLV_CONN_UDP_PAYLOAD_MAX = 1472, /* what a 1500-byte link takes; larger ones gain little */
	/* ngtcp2's names for datagrams in flight: their length, and whether they were probes */
	CLV_CONN_PROBE_ID = 1 << 16,
};

/* Notifications to the owner.  Called from inside input/output/expire: must not free conn. */
struct clv_conn_ops {
	/* Control only.  Returns 0, or negative to fail the handshake (profile not met). */
	int (*handshake_completed)(struct clv_conn *conn);
	/* A new ID of ours, not yet on the wire.  Returns 0, or negative when it cannot be kept. */
	int (*cid_added)(struct clv_conn *conn, const struct clv_cid *cid);
	void (*cid_removed)(struct clv_conn *conn, const struct clv_cid *cid);
	/* data: borrows. */
	void (*datagram)(struct clv_conn *conn, const uint8_t *data, size_t len);
	void (*stream_data)(struct clv_conn *conn, int64_t id, const uint8_t *data, size_t len,
			    bool fin);
	void (*stream_acked)(struct clv_conn *conn, int64_t id, uint64_t bytes);
	void (*stream_reset)(struct clv_conn *conn, int64_t id, uint64_t code);
	void (*stream_stop)(struct clv_conn *conn, int64_t id, uint64_t code);
	void (*stream_closed)(struct clv_conn *conn, int64_t id, uint64_t code);
	/* A stateless reset token of the peer became active, or no longer is.  May be NULL. */
	void (*peer_token)(struct clv_conn *conn, const uint8_t *token, bool in_use);
	/*
	 * Client: the server sent an address token for the next connection; may be NULL.  token:
	 * borrows.
	 */
	void (*new_token)(struct clv_conn *conn, const uint8_t *token, size_t len);
	/* The peer's address changed and the new path is validated. */
	void (*path_changed)(struct clv_conn *conn);
	/* The port that sends packets of flow; NULL: the one given to output sends all. */
	struct clv_port *(*port_of)(struct clv_conn *conn, const struct clv_flow *flow);
	/* The largest UDP payload that fits a DATAGRAM changed. */
	void (*max_payload)(struct clv_conn *conn, size_t payload_len);
};

/* What a conn borrows from its owner; replaced when another owner adopts it. */
struct clv_conn_env {
	const struct clv_conn_ops *ops;
	void *owner;
	struct clv_rand *rand;
	struct clv_worker_counters *counters;
	struct clv_pool *pool;	     /* buffers for what waits; NULL in control: nothing does */
	struct clv_share *share;     /* of the pool: whom they are charged to */
	const uint8_t *reset_secret; /* CLV_CID_SECRET_LEN bytes */
	struct clv_heap *heap;	     /* what QUIC's memory draws on; NULL: no ceiling */
};

struct clv_conn_params {
	bool is_server;
	uint32_t version;	/* QUIC version of the first packet */
	ngtcp2_cid client_dcid; /* server: DCID of the first Initial.  client: random, made by us */
	ngtcp2_cid client_scid; /* server: its SCID */
	ngtcp2_cid original_dcid; /* server, after Retry: DCID before it; else datalen 0 */
	const uint8_t *token;	  /* copies; server: the validated one; client: one to send */
	size_t token_len;
	bool token_is_retry; /* server: token came from a Retry */
	struct clv_endpoint local, remote;
	uint16_t mtu;		       /* of the first link; bounds path MTU discovery */
	uint64_t idle_ns;	       /* max_idle_timeout */
	uint64_t handshake_ns;	       /* fail the handshake after this */
	uint64_t streams_max;	       /* request streams the peer may have open at a time */
	uint64_t stream_window;	       /* bytes, each stream */
	uint64_t conn_window;	       /* bytes, all streams */
	struct clv_flowq_limits queue; /* of datagrams that wait for the window */
	bool no_datagrams;	       /* do not offer DATAGRAM frames */
	uint64_t keepalive_ns;	       /* 0: none */
	uint64_t now_ns;
};

struct clv_conn {
	struct clv_conn_env env;
	struct clv_ref ref; /* once adopted; in control: free for its use */
	ngtcp2_conn *qc;
	struct clv_conn_heap heap;
	void *tls; /* the TLS session; owned */
	const struct clv_conn_tls_ops *tls_ops;
	bool is_server;
	/*
	 * Server: the first packet has the middle of a ClientHello, which is kept only for a client
	 * with a validated address: the conn is dead, and the packet is to be answered with Retry.
	 */
	bool wants_retry;
	uint64_t now_ns;	/* of the call in progress: callbacks of ngtcp2 carry no time */
	struct clv_flow flow;	/* the path in use */
	struct clv_paths paths; /* others that packets came from */
	struct clv_streams streams;
	struct clv_flowq flowq; /* datagrams that wait for the window */
	uint64_t pace_ns;	/* while some wait: nothing is sent before */
	int32_t streams_first;	/* bytes that streams may send before datagrams that wait */
	struct clv_pmtu pmtu;
	uint8_t pmtu_remote[16];     /* the address it is for */
	struct clv_timer timer;	     /* the owner's heap holds it */
	uint32_t tunnels;	     /* worker: head of its tunnel list, slot + 1, 0 = none */
	uint64_t streams_granted;    /* bidirectional streams the peer may have opened in all */
	int64_t probe_stream;	     /* a request stream whose ID path probes may use; -1 none */
	uint32_t key_generations;    /* key sets derived after the first */
	uint32_t last_payload;	     /* as last reported by max_payload */
	bool has_expired;	     /* ngtcp2's timer, since the last output */
	uint32_t unanswered;	     /* packets since ngtcp2 was last asked to write */
	uint64_t answer_ns;	     /* latest time to ask it */
	bool is_reading;	     /* inside ngtcp2_conn_read_pkt: nothing may be written */
	uint64_t discarded;	     /* packets QUIC threw away, as far as they are counted */
	bool dirty;		     /* worker: has output to write after this batch */
	struct clv_conn *next_dirty; /* worker: list of this batch */
	uint8_t closing;	     /* enum clv_closing */
	bool close_wanted;	     /* write CONNECTION_CLOSE at the next output */
	bool close_answer;	     /* a packet came while closing: repeat it */
	uint32_t close_seen;	     /* packets that came while closing */
	uint8_t close_packet[256];   /* the CONNECTION_CLOSE to repeat */
	size_t close_len;
	uint64_t close_until_ns; /* end of the closing or draining period */
	int close_error;	 /* CLV_E*, 0 for an orderly close */
	uint64_t close_code;
	bool close_is_app, close_is_remote;
	char close_reason[64];
};

enum clv_closing {
	CLV_CONN_OPEN = 0,
	CLV_CONN_CLOSING = 1,  /* we sent CONNECTION_CLOSE */
	CLV_CONN_DRAINING = 2, /* the peer did, or a stateless reset came */
	CLV_CONN_DEAD = 3,     /* free it */
};

/* Statistics of one connection; written by the worker, read by any thread (relaxed). */
struct clv_conn_stats {
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
	uint64_t rtt_ns;
	uint32_t cwnd_bytes;
	uint32_t max_payload; /* largest UDP payload that fits */
	uint32_t queue_packets;
	uint32_t lost_packets;
};

/*
 * Make a connection object and its ngtcp2 half, without TLS.  env, p: copies; what they point to is
 * borrowed for the conn's life (token: copies).  Our first connection ID is announced by cid_added.
 * Returns 0 and fills *out, -ENOMEM or CLV_EQUIC.
 */
int clv_conn_new(const struct clv_conn_env *env, const struct clv_conn_params *p,
		 struct clv_conn **out);

/* Attach the TLS session bound to this conn.  session: takes.  ops: borrows for the conn's life. */
void clv_conn_set_tls(struct clv_conn *conn, void *session, const struct clv_conn_tls_ops *ops);

/* Free everything.  The timer must be disarmed.  No packet is sent. */
void clv_conn_free(struct clv_conn *conn);

/* Called by the new owner: its ops, pool and counters.  ref and flow are the caller's to set. */
void clv_conn_set_env(struct clv_conn *conn, const struct clv_conn_env *env);

/*
 * Take one received UDP payload.  rx: borrows; its payload may be overwritten.
 * After it, call clv_conn_output (or set dirty and do so at the end of the batch).
 */
void clv_conn_input(struct clv_conn *conn, const struct clv_rx *rx, uint64_t now_ns);

/* QUIC packets taken so far: those that were decrypted, and were no copies. */
uint64_t clv_conn_received(const struct clv_conn *conn);

/*
 * Write what waits: acknowledgements, streams, datagrams.  While datagrams wait, streams go first
 * within a budget, and beyond it get as many bytes as datagrams; and all are paced.
 */
void clv_conn_output(struct clv_conn *conn, struct clv_port *port, uint64_t now_ns);

/* The next hop toward the peer changed.  One that is not ready does not replace one that is. */
void clv_conn_set_hop(struct clv_conn *conn, const struct clv_nexthop *hop, uint64_t now_ns);

/*
 * Client: migrate to another local address, with a connection ID not used before.
 * Returns 0, -EAGAIN (not yet: no handshake confirmed or no ID to spare) or CLV_EQUIC.
 */
int clv_conn_migrate(struct clv_conn *conn, const struct clv_endpoint *local, uint64_t now_ns);

/* The timer fired: loss detection, idle, close.  Then call clv_conn_output. */
void clv_conn_expire(struct clv_conn *conn, uint64_t now_ns);

/* When expire must be called at the latest; CLV_TIMER_NEVER never. */
uint64_t clv_conn_next_ns(const struct clv_conn *conn);

/*
 * Send one DATAGRAM: prefix || payload, at once if the congestion window allows, else in turn with
 * others that wait (flowq.h).  What cannot be sent is dropped and counted.  Both: copies or sent.
 */
void clv_conn_send_datagram(struct clv_conn *conn, struct clv_port *port, const uint8_t *prefix,
			    size_t prefix_len, const uint8_t *payload, size_t payload_len,
			    uint64_t now_ns);

/* Largest prefix + payload a DATAGRAM can carry now, in bytes; 0 when the peer takes none. */
size_t clv_conn_datagram_room(const struct clv_conn *conn);

/* The same as far as only the path limits it, whatever the peer's transport parameters say. */
size_t clv_conn_path_room(const struct clv_conn *conn);

/* Start an orderly close: CONNECTION_CLOSE is written by the next output.  reason: copies. */
void clv_conn_close(struct clv_conn *conn, bool is_app, uint64_t code, const char *reason,
		    uint64_t now_ns);

/* Whether the owner should take it out of its tables and free it. */
static inline bool clv_conn_is_dead(const struct clv_conn *conn)
{
	return conn->closing == CLV_CONN_DEAD;
}

/* Whether the peer offered DATAGRAM frames of a useful size. */
bool clv_conn_has_datagrams(const struct clv_conn *conn);

#endif
