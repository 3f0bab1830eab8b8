/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * messages - the commands of control to a worker and its events; bodies of mailbox records.
 *
 * A command or event is a head struct below, followed by bytes ("tail") for some types.  ref names
 * a connection or tunnel of that worker by slot and generation, which control assigns.  A message
 * whose ref is stale is dropped by the receiver: it crossed with a close.
 */
#ifndef CLV_TUNNEL_MESSAGES_H
#define CLV_TUNNEL_MESSAGES_H

#include <stdint.h>

#include "bpf/abi.h"
#include "datapath/io/port.h"
#include "datapath/quic/cid.h"
#include "datapath/tunnel/meter.h"

struct clv_conn;
struct clv_verdicts;

enum {
	CLV_STREAM_CHUNK_MAX = 16384, /* most stream bytes in one message */
};

/* ---- control -> worker ---- */
enum clv_command {
	CLV_CMD_CONN_ADOPT = 1, /* struct clv_cmd_conn_adopt: the worker owns conn from here on */
	CLV_CMD_CONN_CLOSE,	/* struct clv_cmd_conn_close, tail: reason phrase */
	CLV_CMD_PACKET,	  /* struct clv_cmd_packet, tail: UDP payload control received for a conn */
	CLV_CMD_DATAGRAM, /* struct clv_cmd_ref, tail: QUIC DATAGRAM that came before hand-over */
	CLV_CMD_STREAM_OPEN, /* struct clv_cmd_stream: open our next stream, which must get this id */
	CLV_CMD_STREAM_WRITE,	 /* struct clv_cmd_stream, tail: bytes; code 1 = FIN after them */
	CLV_CMD_STREAM_CONSUMED, /* struct clv_cmd_stream: code = bytes of window to give back */
	CLV_CMD_STREAM_GRANT,	 /* struct clv_cmd_stream: the peer may open another in its place */
	CLV_CMD_STREAM_RESET,	 /* struct clv_cmd_stream: code = error; our sending half */
	CLV_CMD_STREAM_STOP,	 /* struct clv_cmd_stream: code = error; STOP_SENDING */
	CLV_CMD_TUNNEL_ADD,	 /* struct clv_cmd_tunnel_add */
	CLV_CMD_TUNNEL_REMOVE,	 /* struct clv_cmd_ref: tunnel */
	CLV_CMD_TUNNEL_SEND, /* struct clv_cmd_tunnel_send, tail: UDP payload toward the target */
	CLV_CMD_TUNNEL_UP,   /* struct clv_cmd_tunnel_send, tail: UDP payload toward the peer */
	CLV_CMD_SOCKET_OPEN, /* struct clv_cmd_socket: receive from any source, CLV_EVT_NEW_REMOTE */
	CLV_CMD_TUNNEL_HOP,  /* struct clv_cmd_hop: next hop of a tunnel's target side */
	CLV_CMD_TUNNEL_RETARGET, /* struct clv_cmd_tunnel_add: answers CLV_EVT_TARGET_DEAD */
	CLV_CMD_TUNNEL_STAY,	 /* struct clv_cmd_ref: likewise, there is no other target */
	CLV_CMD_CONN_HOP,	 /* struct clv_cmd_hop: next hop toward a connection's peer */
	CLV_CMD_CONN_MIGRATE,	 /* struct clv_cmd_conn_migrate: client, another address of ours */
	CLV_CMD_TUNNEL_BIND,	 /* struct clv_cmd_tunnel_bind: a port that a bound tunnel holds */
	CLV_CMD_CONTEXT_OPEN,	 /* struct clv_cmd_context_open */
	CLV_CMD_CONTEXT_CLOSE,	 /* struct clv_cmd_context_close: its remote goes with it */
	CLV_CMD_REMOTE_ADD,	 /* struct clv_cmd_remote */
	CLV_CMD_REMOTE_REMOVE,	 /* struct clv_cmd_remote_remove */
	CLV_CMD_REMOTE_SEND,	 /* struct clv_cmd_remote_send, tail: UDP payload toward the peer */
	CLV_CMD_SOCKET_CLOSE,	 /* struct clv_cmd_socket: CLV_EVT_SOCKET_CLOSED gives it back */
	CLV_CMD_ICMP,	/* struct clv_cmd_icmp, to every worker: the tuple finds the tunnel */
	CLV_CMD_POLICY, /* struct clv_cmd_policy, to every worker */
	CLV_CMD_METER,	/* struct clv_cmd_meter: before the first tunnel with it, and for changes */
	CLV_CMD_STOP,	/* no body: close everything, answer CLV_EVT_STOPPED */
};

struct clv_cmd_ref {
	struct clv_ref ref;
};

struct clv_cmd_conn_adopt {
	struct clv_ref ref;
	struct clv_conn *conn;	/* takes */
	struct clv_nexthop hop; /* toward the peer */
	uint32_t socket;	/* sock port: 0, the worker's listener socket */
};

struct clv_cmd_conn_close {
	struct clv_ref ref;
	uint8_t is_app; /* application (HTTP/3) close, else transport */
	uint64_t code;
};

struct clv_cmd_packet {
	struct clv_ref ref;
	struct clv_endpoint local;
	struct clv_endpoint remote;
	uint8_t ecn;
};

struct clv_cmd_stream {
	struct clv_ref ref;
	int64_t stream_id;
	uint64_t code;
};

enum clv_tunnel_flag {
	CLV_TUNNEL_CAPSULES =
		1u << 0, /* the peer cannot take DATAGRAM frames: use CLV_EVT_DATAGRAM_UP */
	/*
	 * CONNECT-UDP-bind: CLV_CMD_CONTEXT_OPEN and CLV_CMD_REMOTE_ADD add the remotes,
	 * CLV_CMD_TUNNEL_BIND the ports.  Where the request named a real target, it is in local,
	 * remote and hop of the TUNNEL_ADD, and Context ID 0 is for it; else remote is zero, and a
	 * datagram with Context ID 0 is reported as CLV_EVT_CONTEXT_ZERO.  socket_fd is -1 in both
	 * cases.
	 */
	CLV_TUNNEL_BOUND = 1u << 1,
	CLV_TUNNEL_DELIVER = 1u << 2, /* what the peer sends goes to control: CLV_EVT_DELIVERY */
	/* The target has other addresses: CLV_EVT_TARGET_DEAD, as long as nothing came from this one. */
	CLV_TUNNEL_TRIAL = 1u << 3,
};

/* What a tunnel is; carried from the request that asks for it to its worker. */
struct clv_tunnel_spec {
	int64_t stream_id;	    /* of the request, on its connection */
	uint32_t flags;		    /* enum clv_tunnel_flag */
	uint32_t socket;	    /* sock: of CLV_CMD_SOCKET_OPEN, for a tunnel without its own */
	uint64_t idle_ns;	    /* close after this long without a datagram; 0: never */
	struct clv_endpoint local;  /* our end toward the target */
	struct clv_endpoint remote; /* the target; in the client the local application */
	struct clv_nexthop hop;
	uint64_t trial_ns; /* TRIAL: from the first datagram to the target until it counts as silent;
			      0: it never does */
	struct clv_meter *meter; /* of its client at this worker; NULL: not metered */
	/* bound tunnels */
	uint32_t busy_per_sec; /* packets of an uncompressed remote that make CLV_EVT_REMOTE_BUSY;
				     0: never */
	uint32_t remotes_max;  /* that uncompressed datagrams may name; 0: the worker's own limit */
	uint64_t context_idle_ns; /* CLV_EVT_REMOTE_IDLE after this long; 0: never */
};

struct clv_cmd_tunnel_add {
	struct clv_ref ref; /* the tunnel */
	struct clv_ref conn;
	struct clv_tunnel_spec spec;
	int socket_fd; /* sock: lends; bound to spec.local, the tunnel's own.  -1: spec.socket */
};

/*
 * CLV_CMD_TUNNEL_RETARGET has the same body: ref is of an open tunnel that is not bound, of conn only
 * what it is already.  Local, remote, hop, TRIAL and trial_ns of the spec replace the tunnel's, and
 * what the old target did not answer is sent to the new one.  CLV_EVT_TUNNEL_RETARGETED follows, and
 * the old socket is used no longer; with an error, the old target had answered meanwhile, nothing was
 * changed and the new socket is not used.  Or CLV_EVT_TUNNEL_GONE follows.
 */

/* Once for each family the tunnel holds a port of. */
struct clv_cmd_tunnel_bind {
	struct clv_ref ref;
	struct clv_endpoint local;
	struct clv_endpoint advertised; /* its public endpoint: source of what it sends by hairpin */
	int socket_fd;			/* sock: lends, bound to local; -1: AF_XDP receives */
};

enum clv_remote_flag {
	CLV_REMOTE_HAIRPIN = 1u << 0, /* it is the port of another tunnel here, peer_tunnel */
};

/* One remote of a bound tunnel, client and relay alike. */
struct clv_remote {
	struct clv_endpoint endpoint; /* as capsules and uncompressed datagrams name it */
	struct clv_endpoint local;    /* our end of the 4-tuple away from the QUIC side */
	struct clv_endpoint remote;   /* its other end; in the relay the same as endpoint */
	struct clv_nexthop hop;
	struct clv_ref peer_tunnel; /* HAIRPIN */
	uint32_t flags;		    /* enum clv_remote_flag */
	/* local is the end of a CLV_CMD_TUNNEL_BIND, or of a socket of CLV_CMD_SOCKET_OPEN (client) */
};

enum clv_context_flag {
	CLV_CONTEXT_UNCOMPRESSED = 1u << 0, /* remote is unused */
	/*
	 * Ours, and the peer has not acknowledged it: receive datagrams with it, but send none yet.
	 * The same message without this flag follows.
	 */
	CLV_CONTEXT_UNACKED = 1u << 1,
};

/*
 * Adds the remote, or gives an existing one a Context ID and a next hop.  Of an open context it
 * replaces flags, hop and peer_tunnel.
 */
struct clv_cmd_context_open {
	struct clv_ref ref;
	uint64_t context_id;
	uint32_t flags; /* enum clv_context_flag */
	struct clv_remote remote;
};

/* Datagrams that still arrive with it are dropped and counted. */
struct clv_cmd_context_close {
	struct clv_ref ref;
	uint64_t context_id;
};

/*
 * A remote that the uncompressed context may send to; what waited for it is sent.  The answer to
 * CLV_EVT_REMOTE_NEW; also sent when the next hop of an existing remote changes.
 */
struct clv_cmd_remote {
	struct clv_ref ref;
	struct clv_remote remote;
};

/* Forget a remote without a Context ID.  The answer to CLV_EVT_REMOTE_NEW when it is refused. */
struct clv_cmd_remote_remove {
	struct clv_ref ref;
	struct clv_endpoint remote;
	bool is_full; /* control has no room for it: one that never answered makes some */
};

/* With its own Context ID, else with the uncompressed one. */
struct clv_cmd_remote_send {
	struct clv_ref ref;
	struct clv_endpoint remote;
};

struct clv_cmd_socket {
	int socket_fd; /* lends until CLV_EVT_SOCKET_CLOSED or CLV_EVT_STOPPED */
	struct clv_endpoint local;
};

struct clv_cmd_tunnel_send {
	struct clv_ref ref;
	uint64_t context_id;
};

struct clv_cmd_hop {
	struct clv_ref ref;
	struct clv_nexthop hop;
};

/* Control repeats it until the connection uses the address. */
struct clv_cmd_conn_migrate {
	struct clv_ref ref;
	struct clv_endpoint local;
};

struct clv_cmd_icmp {
	struct clv_tuple tuple;
	uint32_t mtu; /* of IP packets toward the remote; 0: unreachable or the like */
};

struct clv_cmd_policy {
	struct clv_verdicts *verdicts; /* takes a reference */
};

struct clv_cmd_meter {
	struct clv_meter *meter; /* lends until the worker has ended */
	struct clv_meter_limits limits;
};

/* ---- worker -> control ---- */
enum clv_event {
	CLV_EVT_CID_ADDED = 1, /* struct clv_evt_cid: sent before the peer can know the ID */
	CLV_EVT_CID_REMOVED,   /* struct clv_evt_cid */
	CLV_EVT_CONN_GONE, /* struct clv_evt_conn_gone: its slot and those of its tunnels are free */
	CLV_EVT_PATH_CHANGED,	  /* struct clv_evt_path: control answers with CLV_CMD_CONN_HOP */
	CLV_EVT_STREAM_DATA,	  /* struct clv_evt_stream, tail: bytes; code 1 = FIN after them */
	CLV_EVT_STREAM_ACKED,	  /* struct clv_evt_stream: code = bytes of ours the peer has */
	CLV_EVT_STREAM_RESET,	  /* struct clv_evt_stream: peer's RESET_STREAM, code = error */
	CLV_EVT_STREAM_STOP,	  /* struct clv_evt_stream: peer's STOP_SENDING, code = error */
	CLV_EVT_STREAM_NO_TUNNEL, /* struct clv_evt_stream: datagrams came, but never a tunnel */
	CLV_EVT_STREAM_CLOSED,	  /* struct clv_evt_stream: both halves done, code = error */
	CLV_EVT_TUNNEL_GONE, /* struct clv_evt_tunnel: idle or its connection gone; slot is free */
	CLV_EVT_DATAGRAM_UP, /* struct clv_evt_tunnel, tail: Context ID and payload for a capsule */
	CLV_EVT_NEW_REMOTE, /* struct clv_evt_remote, tail: payload, to a socket open to any source */
	CLV_EVT_NEW_TOKEN,   /* struct clv_cmd_ref: connection, tail: token for the next visit */
	CLV_EVT_MAX_PAYLOAD, /* struct clv_evt_payload: largest UDP payload that fits now */
	/*
	 * Bound tunnels, all struct clv_evt_bound.  NEW: an uncompressed datagram names an address
	 * that is no remote yet.  The worker keeps it, and some that follow, until control answers
	 * with CLV_CMD_REMOTE_ADD or _REMOVE.
	 */
	CLV_EVT_REMOTE_NEW,
	CLV_EVT_REMOTE_BUSY, /* an uncompressed remote is worth a Context ID */
	/*
	 * context_id: its own, to be closed; 0: the remote had none and is removed already.  Also
	 * the answer to an OPEN or ADD for which there was no room.
	 */
	CLV_EVT_REMOTE_IDLE,
	CLV_EVT_DELIVERY,     /* tail: UDP payload from the peer; remote is zero for Context ID 0 */
	CLV_EVT_CONTEXT_ZERO, /* struct clv_evt_tunnel: a datagram by Context ID 0 without a target */
	CLV_EVT_SOCKET_CLOSED, /* struct clv_cmd_socket: no longer used */
	CLV_EVT_UNCLAIMED,  /* struct clv_evt_unclaimed, tail: UDP payload of no known connection */
	CLV_EVT_PEER_TOKEN, /* struct clv_evt_token: with which a stateless reset would end */
	/*
	 * struct clv_evt_target: the target of a tunnel with CLV_TUNNEL_TRIAL does not answer.  What
	 * was sent to it is kept until CLV_CMD_TUNNEL_RETARGET or _STAY.
	 */
	CLV_EVT_TARGET_DEAD,
	CLV_EVT_TUNNEL_RETARGETED, /* struct clv_evt_tunnel; error: it kept its target */
	CLV_EVT_TOO_BIG, /* struct clv_evt_too_big, tail: the received packet, cut short */
	CLV_EVT_STOPPED, /* no body: last message of a worker */
};

struct clv_evt_cid {
	struct clv_ref ref;
	struct clv_cid cid;
};

struct clv_evt_conn_gone {
	struct clv_ref ref;
	int error;	   /* CLV_E*, 0 for an orderly close */
	uint64_t code;	   /* the close's own error code */
	uint8_t is_app;	   /* of code */
	uint8_t is_remote; /* the peer closed */
};

struct clv_evt_path {
	struct clv_ref ref;
	struct clv_endpoint local;
	struct clv_endpoint remote;
};

struct clv_evt_stream {
	struct clv_ref ref;
	int64_t stream_id;
	uint64_t code;
};

struct clv_evt_tunnel {
	struct clv_ref ref;
	int error; /* CLV_ETIMEOUT idle, CLV_ECLOSED connection gone, 0 removed by command */
};

struct clv_evt_target {
	struct clv_ref ref;
	bool is_unreachable; /* an ICMP error or the neighbour look-up says so; else it is silent */
};

struct clv_evt_bound {
	struct clv_ref ref; /* tunnel */
	struct clv_endpoint remote;
	uint64_t context_id;
	uint32_t packets; /* BUSY: in the last second */
};

struct clv_evt_remote {
	uint32_t socket;
	struct clv_endpoint local;
	struct clv_endpoint remote;
};

struct clv_evt_unclaimed {
	struct clv_endpoint local;
	struct clv_endpoint remote;
	uint8_t ecn;
};

struct clv_evt_token {
	struct clv_ref ref; /* connection */
	uint8_t token[CLV_CID_TOKEN_LEN];
	uint8_t in_use; /* else no longer */
};

struct clv_evt_too_big {
	struct clv_ref ref; /* of the tunnel */
	struct clv_tuple tuple;
	uint32_t room; /* of the connection, in the measure of clv_evt_payload */
	uint32_t mtu;  /* largest IP packet from the remote that the tunnel takes */
};

struct clv_evt_payload {
	struct clv_ref ref;   /* connection */
	uint32_t payload_len; /* bytes, Context ID 0 or compressed, stream IDs below 256 */
};

#endif
