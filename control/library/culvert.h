/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * culvert.h - UDP through a MASQUE relay (RFC 9298), from within an application.
 *
 *   culvert           a client: sockets, memory and one event queue
 *   culvert_session   a session with one relay; optionally reconnects when it is lost
 *   culvert_tunnel    a tunnel to one target; the application sends payloads and receives them as
 *                     events
 *   culvert_forward   a local UDP port that leads to a target; each local sender gets a tunnel
 *   culvert_bound     a bound tunnel: a port at the relay that remotes can send to; the application
 *                     uses it through this API, or joins it to a local UDP application
 *   culvert_listen    where other peers find this one: a bound tunnel that answers them
 *   culvert_peer      another peer, known by its identity: datagrams to it and from it, encrypted end
 *                     to end
 *
 * The library creates no threads, requires no particular event loop and installs no signal
 * handlers.  The application's loop is
 *
 *   1. culvert_step
 *   2. culvert_next_event, until it returns false
 *   3. poll culvert_fd for reading, for at most culvert_timeout_msec
 *
 * No function blocks, except that culvert_session_open resolves the relay's name with the system's
 * resolver.  There are no callbacks: everything that happens is an event, and any function may be
 * called while events are read.  The functions of one client must be called from one thread at a
 * time; clients are independent of each other.
 *
 * Strings and structs passed to a function are copied.  An object belongs to the caller until it is
 * passed to its close function, and stays valid until then, even after an event reported its end.
 * Closing a session closes everything opened on it; closing a client closes everything.
 *
 * Functions return 0 or a negative number: -errno, or one of enum culvert_error.  On an error the
 * output parameters are left unchanged.
 */
#ifndef CULVERT_H
#define CULVERT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

struct culvert;
struct culvert_session;
struct culvert_tunnel;
struct culvert_forward;
struct culvert_bound;
struct culvert_listen;
struct culvert_peer;

/* Errors that errno does not cover. */
enum culvert_error {
	CULVERT_EPROTO = -2001,	       /* the relay broke the protocol */
	CULVERT_ERANGE = -2003,	       /* a value is out of range */
	CULVERT_ESYNTAX = -2004,       /* malformed text */
	CULVERT_EFULL = -2005,	       /* a limit of this client or of the relay is reached */
	CULVERT_EDENIED = -2007,       /* the relay's policy refuses the target */
	CULVERT_EUNROUTABLE = -2008,   /* no route to the relay, or from the relay to the target */
	CULVERT_ENONAME = -2009,       /* the name does not exist */
	CULVERT_ENAMETIME = -2010,     /* the relay's resolver did not answer */
	CULVERT_ETLS = -2011,	       /* the handshake failed for another reason */
	CULVERT_EQUIC = -2012,	       /* the connection failed */
	CULVERT_EHTTP = -2013,	       /* the relay refused for another reason: see the status */
	CULVERT_EUNTRUSTED = -2014,    /* the relay's certificate is not trusted */
	CULVERT_ECLASSICAL = -2015,    /* the relay offers no acceptable post-quantum handshake */
	CULVERT_ECLOSED = -2017,       /* the session is not up */
	CULVERT_ETIMEOUT = -2018,      /* no response in time: from the relay or (status) to it */
	CULVERT_EUNAUTHORIZED = -2019, /* the relay requires valid credentials (401 or 407) */
	CULVERT_ENOPEER = -2020,       /* nobody knows where the peer is */
	CULVERT_EIDENTITY = -2021,     /* who answers does not have the peer's identity */
	CULVERT_EREFUSED = -2022,      /* the peer refuses */
};

/* Describe an error.  Never NULL; a static string. */
const char *culvert_strerror(int error);
/* The version of the library, such as "0.1.0". */
const char *culvert_version(void);

/* An address and port: IPv4 or IPv6 according to sa.sa_family; AF_UNSPEC: none. */
union culvert_address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

enum {
	CULVERT_ADDRESS_TEXT = 64,	 /* buffer size for any address as text */
	CULVERT_HOST_TEXT = 256,	 /* buffer size for any host name or address */
	CULVERT_PIN_LEN = 32,		 /* bytes of a SHA-256 */
	CULVERT_ID_TEXT = 57,		 /* buffer size for the text of an identity */
	CULVERT_PEER_PAYLOAD_MAX = 1200, /* bytes of a datagram to a peer */
};

/* Parse "a.b.c.d:port" or "[IPv6]:port".  Returns 0, CULVERT_ESYNTAX or CULVERT_ERANGE (port). */
int culvert_address_parse(const char *text, union culvert_address *out);
/* Format an address; AF_UNSPEC becomes "none".  Returns buf. */
const char *culvert_address_format(const union culvert_address *address,
				   char buf[CULVERT_ADDRESS_TEXT]);

/*
 * Parse "HOST:PORT" or "[IPv6]:PORT", as the functions below accept them for a relay or a target,
 * so that a program can check its own command line or configuration.  host: without brackets; port:
 * host order.  Resolves nothing.  Returns 0, CULVERT_ESYNTAX or CULVERT_ERANGE (port).
 */
int culvert_host_parse(const char *text, char host[CULVERT_HOST_TEXT], uint16_t *port);
/*
 * Parse a relay's link, "culvert://HOST:PORT?pin=sha256:HEX&profile=PROFILE&token=TOKEN", as far as a program may
 * show it: the token is a secret.  has_pin: whether it says how to authenticate the relay.
 * Returns 0, or CULVERT_ESYNTAX or CULVERT_ERANGE.
 */
int culvert_link_parse(const char *link, char host[CULVERT_HOST_TEXT], uint16_t *port,
		       bool *has_pin);
/* Parse "sha256:HEX"; the prefix may be missing.  Returns 0 or CULVERT_ESYNTAX. */
int culvert_pin_parse(const char *text, uint8_t sha256[CULVERT_PIN_LEN]);

/* ---- identities ---- */

/*
 * An identity is an ML-DSA-65 key by which relays know a client; its id, "clv1" and 52 characters, is
 * the SHA-256 of the public key.  The file is PEM and has mode 0600.  It may also hold a private key
 * followed by a certificate chain, leaf first and the CA's certificate last, of any tool.
 *
 * Make an identity in a file that does not exist yet.
 * Returns 0 and fills id, or -EEXIST, another -errno, or CULVERT_ETLS.
 */
int culvert_identity_make(const char *path, char id[CULVERT_ID_TEXT]);
/*
 * Read the id of an identity's file.  Returns 0 and fills id, or CULVERT_ESYNTAX (not an identity),
 * -EPERM (other users may read it) or another -errno.
 */
int culvert_identity_read(const char *path, char id[CULVERT_ID_TEXT]);

/* ---- a client ---- */

/* A member that is 0 selects its default; a NULL pointer selects all defaults. */
struct culvert_options {
	uint32_t tunnels_max;	/* open at a time; default 1024, at most 2^20 */
	uint32_t remotes_max;	/* of all bound tunnels together; default 1024, at most 2^20.  Each
				   forward, and each remote of a joined bound tunnel, needs a socket,
				   of which there can be 1024 */
	uint32_t receive_bytes; /* memory for received datagrams that are queued as events; more are
				   dropped and counted.  Default 4 MiB, 1 MiB to 1 GiB */
	uint32_t answer_timeout_sec; /* longest wait for the relay's response to a request for a tunnel
					or to a permitted remote, then CULVERT_ETIMEOUT; default 15,
					at most 3600 */
	uint32_t spin_usec; /* busy-poll: after there was work, keep stepping for this long before
			       sleeping.  Trades CPU time for the latency of a wake-up where replies
			       follow quickly; suspended while they do not.  At most 10000; 0: never */
};

/* Returns 0 and fills *out, or CULVERT_ERANGE (an option), -ENOMEM or -errno of a socket. */
int culvert_open(const struct culvert_options *options, struct culvert **out);
/* Close all sessions gracefully (their last packets are sent) and free everything. */
void culvert_close(struct culvert *c);

/* The descriptor to poll: readable when a step has work to do.  It never changes. */
int culvert_fd(const struct culvert *c);
/* Process received packets and expired timers. */
void culvert_step(struct culvert *c);
/* Milliseconds until the next step is due, for poll; 0: step now; -1: only when the descriptor is
   readable. */
int culvert_timeout_msec(const struct culvert *c);
/* The same as CLOCK_MONOTONIC in nanoseconds; 0: step now; UINT64_MAX: only when readable. */
uint64_t culvert_deadline_ns(const struct culvert *c);

/* Why the last function failed: one line that names the file or word in question, or "".  Lends
   until the next call of a function of this client. */
const char *culvert_why(const struct culvert *c);

struct culvert_stats {
	uint64_t received_dropped;	  /* datagrams that exceeded receive_bytes */
	uint64_t packets_in, packets_out; /* UDP packets from and to relays, except handshakes */
	uint64_t spins, spins_useful;	  /* times it busy-polled, and how often work arrived */
};
void culvert_stats(const struct culvert *c, struct culvert_stats *out);

/* Packets or datagrams dropped inside the client, by reason; losses in the network do not count. */
struct culvert_drop {
	const char *reason;  /* one word, "too_big_peer" */
	const char *meaning; /* a sentence; both are static strings */
	uint64_t count;
};
/* Read the index-th reason with a count above 0.  Returns true and fills *out, or false. */
bool culvert_drop(const struct culvert *c, unsigned index, struct culvert_drop *out);

enum culvert_log { CULVERT_LOG_ERROR, CULVERT_LOG_WARN, CULVERT_LOG_INFO, CULVERT_LOG_DEBUG };
/* Set what the library logs to stderr, for all clients; at first CULVERT_LOG_ERROR. */
void culvert_log_level(enum culvert_log level);

/* ---- the network between a client and its relays ---- */

/* What kind of NAT the client's socket is behind. */
enum culvert_nat {
	CULVERT_NAT_UNKNOWN,	    /* too few relays answered, or all at one address */
	CULVERT_NAT_CONE,	    /* all see one address and port; also without any NAT */
	CULVERT_NAT_SYMMETRIC_PORT, /* one address, but several ports */
	CULVERT_NAT_MULTIPLE,	    /* several addresses */
};
/* "unknown", "cone", "symmetric-port" or "multiple"; a static string. */
const char *culvert_nat_name(enum culvert_nat nat);

struct culvert_net_options {
	const union culvert_address *relays; /* to ask, at most 32; NULL: those of the sessions */
	size_t relays_len;
	void *user;
};

/*
 * Find out at which address relays see the client's socket, by STUN: each is asked three times at
 * most, by the socket that also carries the sessions.  The result is CULVERT_NET_REPORT, within two
 * seconds.  Two relays at different addresses are needed to tell the kind of NAT; one more, so that
 * one may be dead.  options: NULL: the relays of the sessions.
 * Returns 0, -EBUSY (a report is being made), CULVERT_EFULL (too many relays), or CULVERT_ERANGE (there
 * is none, or one has no address or port).
 */
int culvert_net_report(struct culvert *c, const struct culvert_net_options *options);

/* What one relay answered. */
struct culvert_net_answer {
	union culvert_address relay;
	union culvert_address seen; /* AF_UNSPEC: it did not answer */
	int error;		    /* 0; CULVERT_ETIMEOUT, CULVERT_EUNROUTABLE, CULVERT_EPROTO */
	unsigned status;	    /* EPROTO: the number of its STUN error; 0: none */
	uint32_t tries;		    /* packets sent */
	uint32_t rtt_usec;
};

/* What the answers of one address family say. */
struct culvert_net_family {
	enum culvert_nat nat;
	uint32_t asked, answered;    /* relays */
	union culvert_address local; /* the socket's own; AF_UNSPEC: this host has none */
	union culvert_address seen;  /* by the first relay that answered; AF_UNSPEC: none */
	bool has_nat;		     /* seen is another address than local */
	bool keeps_port;	     /* all relays see the port of local */
	int32_t step_min, step_max;  /* SYMMETRIC_PORT: differences of one port to the next */
};

struct culvert_net_report {
	struct culvert_net_family v4, v6;
	uint32_t foreign; /* answers that were not from the relay that was asked: ignored */
};

/* ---- a session with a relay ---- */

enum culvert_profile {
	CULVERT_PQC,	/* ML-KEM-768 and ML-DSA-65 */
	CULVERT_HYBRID, /* X25519MLKEM768 or SecP256r1MLKEM768, any certificate */
};

struct culvert_session_options {
	const char *relay; /* "HOST:PORT", "[IPv6]:PORT"; a name is resolved once, and its addresses
			      are tried in turn.  Or a link, "culvert://...", whose pin and token
			      are used */
	/* How to authenticate the relay: exactly one of these, or none with a link that has a pin. */
	const char *ca_file; /* certificate authorities, PEM; may be a system's bundle */
	const char *pin; /* "sha256:HEX", the pin that the relay prints when it starts, or the SHA-256
			    of a CA in the chain it sends: with that, the name counts too */
	const char *server_name; /* what its certificate must be for; NULL: the relay's host */
	const char *identity; /* file of the identity to present to a relay that asks; NULL: none */
	const char *uri_template;     /* NULL: the default template of RFC 9298 at the relay */
	enum culvert_profile profile; /* a link of a hybrid listener says so itself */
	bool capsules;	/* send datagrams in capsules: reliable and in order, but slower */
	bool reconnect; /* when a session that was up is lost, keep trying to restore it */
	void *user;	/* returned with each event of the session */
};

/*
 * Start a session; the result is CULVERT_UP or CULVERT_DOWN.
 * Returns 0 and fills *out, or
 *   CULVERT_ESYNTAX      relay, pin or template is malformed, or not exactly one of ca_file and pin
 *                        is set; culvert_why gives the details
 *   CULVERT_ENONAME      the relay's name does not exist
 *   CULVERT_EUNROUTABLE  this host has no route to the relay
 *   CULVERT_ETLS, -errno the file of certificate or identity cannot be used; culvert_why names it
 *   CULVERT_EFULL        the client has eight sessions, including those that are still closing
 *   -ENOMEM
 */
int culvert_session_open(struct culvert *c, const struct culvert_session_options *options,
			 struct culvert_session **out);
void culvert_session_close(struct culvert_session *s);

struct culvert_session_info {
	bool is_up;
	union culvert_address relay; /* the address in use, or the last one tried */
	const char *group;     /* key exchange, such as "MLKEM768"; lends; NULL before it was up */
	const char *signature; /* of the certificate, such as "ML-DSA-65"; likewise */
	uint32_t payload_max;  /* largest payload that fits a datagram now; 0: not known yet */
	uint64_t reconnects;
	enum culvert_profile profile; /* in use: that of the options or of the link */
};
void culvert_session_info(const struct culvert_session *s, struct culvert_session_info *out);

/* ---- a tunnel: payloads pass through the API ---- */

struct culvert_tunnel_options {
	const char *target; /* "HOST:PORT"; the relay resolves a name */
	void *user;
};

/*
 * Request a tunnel; the result is CULVERT_OPEN or CULVERT_CLOSED.  A tunnel ends with its session
 * (CULVERT_CLOSED); open another one once the session is up again.
 * Returns 0 and fills *out, or CULVERT_ESYNTAX (target; culvert_why), CULVERT_ECLOSED (the session
 * is not up), CULVERT_EFULL, CULVERT_EPROTO (the relay does not support CONNECT-UDP) or -ENOMEM.
 */
int culvert_tunnel_open(struct culvert_session *s, const struct culvert_tunnel_options *options,
			struct culvert_tunnel **out);
void culvert_tunnel_close(struct culvert_tunnel *t);

/*
 * Send one datagram to the target.  data: copies.  It is sent with the next step and, like any
 * datagram, may be lost.
 * Returns 0, or CULVERT_ECLOSED (the tunnel is not open), -EMSGSIZE (len exceeds payload_max) or
 * -EAGAIN (too many datagrams are queued: step first).
 */
int culvert_tunnel_send(struct culvert_tunnel *t, const void *data, size_t len);

/* ---- a forward: a local UDP port that leads to a target ---- */

struct culvert_forward_options {
	const char *listen; /* "ADDRESS:PORT"; port 0: any */
	const char *target; /* as for a tunnel */
	void *user;
};

/*
 * Listen on a local port.  Each local sender gets its own tunnel with its first datagram; datagrams
 * that arrive before the tunnel is open are queued, up to a limit.  There is room for 1024 senders;
 * then the longest silent makes room for a new one.  A forward survives the loss of its session.  Events: CULVERT_FORWARD_*.
 * Returns 0 and fills *out, or CULVERT_ESYNTAX (culvert_why), CULVERT_EFULL, -ENOMEM or -errno of
 * the socket.
 */
int culvert_forward_open(struct culvert_session *s, const struct culvert_forward_options *options,
			 struct culvert_forward **out);
void culvert_forward_close(struct culvert_forward *f);

struct culvert_forward_info {
	union culvert_address listen;	 /* the address in use */
	uint64_t opened, refused, ended; /* tunnels */
	uint64_t held, dropped; /* datagrams before the tunnel was open: queued, and dropped */
	uint64_t evicted;	/* tunnels closed to make room for another sender */
};
void culvert_forward_info(const struct culvert_forward *f, struct culvert_forward_info *out);

/* ---- a bound tunnel: CONNECT-UDP-bind ---- */

struct culvert_bound_options {
	bool is_joined;	 /* to a local application: each remote is represented by a loopback port */
	const char *app; /* joined: address of the application, "ADDRESS:PORT", loopback: from others
			    a remote's port takes nothing; NULL: the last sender to the port */
	bool is_closed;	 /* only permitted remotes can send */
	bool no_compress;	 /* compressed contexts for permitted remotes only */
	uint32_t remotes_max;	 /* 0: that of the client */
	uint32_t compress_above; /* packets per second at which a remote gets a compressed context;
				    0: 20 */
	uint32_t idle_sec; /* after this time an idle remote that was not permitted is removed;
				    0: 120 */
	void *user;
};

/*
 * Request a bound tunnel.  CULVERT_BOUND_OPEN reports its public addresses, again each time the
 * session was restored: they may have changed.  A bound tunnel survives the loss of its session.
 * Returns 0 and fills *out, or CULVERT_ESYNTAX (app; culvert_why), CULVERT_ERANGE (remotes_max
 * exceeds the client's) or -ENOMEM.
 */
int culvert_bound_open(struct culvert_session *s, const struct culvert_bound_options *options,
		       struct culvert_bound **out);
void culvert_bound_close(struct culvert_bound *b);

/*
 * Permit a remote: it can send even if the tunnel is closed to others, it has a compressed context
 * whenever the tunnel is open and, if the tunnel is joined, a local port from now on
 * (CULVERT_REMOTE).  remote: borrows.
 * Returns 0, or CULVERT_ERANGE (no port, or not an address), CULVERT_EFULL, -ENOMEM or -errno of
 * its socket.
 */
int culvert_bound_permit(struct culvert_bound *b, const union culvert_address *remote);

/*
 * Send one datagram to a remote; not for a joined tunnel.  remote: borrows.  data: copies.
 * Returns 0, or CULVERT_ECLOSED (the tunnel is not open), CULVERT_EDENIED (the tunnel is closed and
 * the remote is not permitted, or the relay has not confirmed it yet), CULVERT_EUNROUTABLE (the
 * relay provides no port of that address family), CULVERT_ERANGE (joined; no port), or -EMSGSIZE or
 * -EAGAIN as culvert_tunnel_send.
 */
int culvert_bound_send(struct culvert_bound *b, const union culvert_address *remote,
		       const void *data, size_t len);

struct culvert_bound_info {
	bool is_open;
	uint64_t remotes_full; /* remotes rejected: remotes_max is reached, or no port is free */
	uint64_t dropped;      /* joined: datagrams of the application without a destination */
};
void culvert_bound_info(const struct culvert_bound *b, struct culvert_bound_info *out);

/* ---- peers: listen for them, dial them ---- */

/*
 * Two peers have a connection of their own, by QUIC with ML-KEM-768 and an ML-DSA-65 identity of each:
 * the relay that it crosses sees their addresses, sizes and times, but can neither read nor change what
 * they say.  It carries datagrams in flows, which the application numbers.
 */

/*
 * Who learns which addresses of this host.  Paths between peers that need no relay are found by telling
 * the peer addresses, through the connection that only the two can read; relays never learn them.
 */
enum culvert_privacy {
	CULVERT_PRIVACY_DEFAULT = 0, /* REFLEXIVE */
	CULVERT_PRIVACY_RELAY_ONLY, /* no direct paths; of one that dials, the peer still sees where
					its packets reach the relay from */
	CULVERT_PRIVACY_REFLEXIVE,  /* where our packets come from, as every server sees it */
	CULVERT_PRIVACY_OPEN, /* also those of our interfaces: peers of one network meet inside */
};

struct culvert_listen_options {
	struct culvert_session *session; /* with the relay at which peers find this one */
	const char *identity;		 /* file of our identity */
	uint32_t peers_max;		 /* at a time; default 64, at most 4096 */
	enum culvert_privacy privacy;	 /* towards those that are accepted */
	void *user;
};

/*
 * Listen for peers, over a bound tunnel at the relay.  If the session presents the same identity to the
 * relay, and that offers it, the relay tells our addresses to those who ask it for our id, which the
 * ticket has.  CULVERT_LISTENING says when it is open, and that it is done, again each time the session
 * was restored; then its addresses may have changed.  Each peer that dials is reported by
 * CULVERT_INCOMING, with its id, and waits until it is accepted or refused.  One that nobody decides about
 * within 30 s is refused.
 * Returns 0 and fills *out, or CULVERT_ERANGE (peers_max), an error about the identity's file
 * (culvert_why), CULVERT_EFULL (this client listens with that identity already, or too many sockets are
 * open), -ENOMEM or -errno of a socket.
 */
int culvert_listen_open(struct culvert *c, const struct culvert_listen_options *options,
			struct culvert_listen **out);
/* Also ends the peers that dialled. */
void culvert_listen_close(struct culvert_listen *l);

enum {
	CULVERT_LISTEN_ADDRESSES_MAX = 8,
	CULVERT_TICKET_TEXT = 2048, /* buffer size for a ticket */
};

struct culvert_listen_info {
	bool is_open;
	bool is_published; /* the relay tells our addresses to those who ask for our id */
	char id[CULVERT_ID_TEXT];
	/* With which others dial this peer; "" while it has never been open, and if it is known by its
	   certificate authority how to trust the relay: then by its id and addresses. */
	char ticket[CULVERT_TICKET_TEXT];
	union culvert_address addresses[CULVERT_LISTEN_ADDRESSES_MAX]; /* at the relay */
	size_t addresses_len;
	uint64_t refused; /* first packets beyond a limit, and diallers that were too many */
	uint64_t failed;  /* handshakes that came to nothing */
};
void culvert_listen_info(const struct culvert_listen *l, struct culvert_listen_info *out);

/*
 * Decide about a peer of CULVERT_INCOMING.  Accepted, CULVERT_PEER_UP follows; refused, it hears so, and
 * the object is closed.
 */
void culvert_incoming_accept(struct culvert_peer *p);
void culvert_incoming_refuse(struct culvert_peer *p);

/*
 * Read a ticket: the peer's id, and a link to the index-th relay at which it may be found, as
 * culvert_session_open takes it.
 * Returns 0, CULVERT_ESYNTAX, or CULVERT_ERANGE (it has no such relay); then id is filled, too.
 */
int culvert_ticket_read(const char *ticket, unsigned index, char id[CULVERT_ID_TEXT],
			char link[CULVERT_TICKET_TEXT]);

struct culvert_peer_options {
	const char *peer;		 /* its ticket or its id */
	const char *identity;		 /* file of our identity */
	const char *const *addresses;	 /* where it may be reached, "ADDRESS:PORT": at its relay */
	size_t addresses_len;		 /* at most 8 */
	struct culvert_session *session; /* without addresses: with a relay that knows them */
	enum culvert_privacy privacy;	 /* of an identity in several uses the strictest counts */
	void *user;
};

/*
 * Dial a peer.  Without addresses the session's relay is asked for them as soon as it is up; a relay that
 * does not know the peer makes CULVERT_ENOPEER.  All addresses are tried at the same time, going on with
 * the one that answers first.  The result is CULVERT_PEER_UP or CULVERT_PEER_DOWN.  Datagrams may be sent before: they leave when its
 * identity is proven.
 * Returns 0 and fills *out, or CULVERT_ESYNTAX (peer, an address; culvert_why), CULVERT_ENOPEER (no
 * address and no session), an error about the identity's file, CULVERT_EFULL, -ENOMEM or -errno of a
 * socket.
 */
int culvert_peer_open(struct culvert *c, const struct culvert_peer_options *options,
		      struct culvert_peer **out);
void culvert_peer_close(struct culvert_peer *p);

/*
 * Send one datagram in a flow, any number below 2^62.  data: copies.  It leaves with the next step and,
 * like any datagram, may be lost, but not by a change of the path.
 * Returns 0, or CULVERT_ECLOSED (refused, ended or not accepted yet), -EMSGSIZE (above
 * CULVERT_PEER_PAYLOAD_MAX), CULVERT_ERANGE (flow) or -EAGAIN (too many wait: step first; or its
 * addresses are not known yet).
 */
int culvert_peer_send(struct culvert_peer *p, uint64_t flow, const void *data, size_t len);

/* How a peer is reached. */
struct culvert_path {
	bool is_relayed;
	union culvert_address address; /* where our packets go: the peer's, or its port at a relay */
};

enum culvert_path_why {
	CULVERT_PATH_BETTER = 1, /* than the one before */
	CULVERT_PATH_SILENT,	 /* the one before was silent */
	CULVERT_PATH_GONE,	 /* the one before was taken away */
	CULVERT_PATH_PEER,	 /* the peer decided */
	CULVERT_PATH_WHY_MAX
};

/* Where an address of the peer's is known from. */
enum culvert_candidate {
	CULVERT_CANDIDATE_UNKNOWN,
	CULVERT_CANDIDATE_HOST,		  /* of an interface */
	CULVERT_CANDIDATE_REFLEXIVE,	  /* a relay saw it */
	CULVERT_CANDIDATE_MAPPED,	  /* its NAT gave it on request */
	CULVERT_CANDIDATE_PEER_REFLEXIVE, /* we saw it */
	CULVERT_CANDIDATE_MAX
};

/*
 * The search for direct paths, as this end counts it.  It goes in rounds, each of which asks some pairs
 * of an address of ours and one of the peer's, by probes.
 */
struct culvert_search {
	/* Pairs: proven both ways; that answered, those among them; series of probes that nothing
	 * answered; and those that no round asked: of two address families, with an address that nobody
	 * is made to probe, no better than others.  What no round asks, each round counts. */
	uint64_t pairs_won, pairs_answered, pairs_silent;
	uint64_t pairs_filtered_family, pairs_filtered_policy, pairs_redundant;
	/* Pairs that were asked and those of them that were proven, by enum culvert_candidate. */
	uint64_t candidates_tried[CULVERT_CANDIDATE_MAX], candidates_won[CULVERT_CANDIDATE_MAX];
	/* Our probes, and those that came with our ID but not from the peer, or not for the first time. */
	uint64_t probes_sent, probes_answered, probes_bad_tag, probes_replayed;
	/* Rounds after which there was a direct path, or none; and of the peer that came too often. */
	uint64_t rounds_direct, rounds_silent, rounds_refused;
};

struct culvert_peer_info {
	bool is_up, is_dialler;
	char id[CULVERT_ID_TEXT];
	struct culvert_path path; /* in use; AF_UNSPEC: none yet */
	uint64_t rtt_usec;	  /* of it */
	uint64_t since_msec;	  /* how long it has been in use */
	uint64_t moves;		  /* from one path to another */
	uint64_t datagrams_in, datagrams_out;
	uint64_t bytes_in, bytes_out; /* of all packets */
	uint64_t packets_lost;	      /* of ours, as far as QUIC knows */
	/* What follows is of its whole life, also after it ended; 0: did not happen. */
	uint32_t setup_msec;   /* from being opened or accepted until CULVERT_PEER_UP */
	bool setup_is_relayed; /* the path that it was reached by */
	uint32_t direct_msec;  /* from then until its first direct path */
	uint32_t gap_max_msec; /* the longest of CULVERT_PEER_PATH */
	uint32_t observed_msec; /* from being opened until the peer told us our address; a dialler's */
	uint64_t moves_by[CULVERT_PATH_WHY_MAX]; /* by enum culvert_path_why */
	struct culvert_search search;
};
void culvert_peer_info(const struct culvert_peer *p, struct culvert_peer_info *out);

/* ---- events ---- */

enum culvert_event_type {
	/* The session is up; also each time it is up again. */
	CULVERT_UP = 1,
	/* The session was lost and is retried after again_sec.  error: the reason. */
	CULVERT_LOST,
	/* The session ended or could not be established.  error: the reason; 0: closed by the relay;
	   CULVERT_EUNAUTHORIZED: the relay refuses the certificate of the identity.  Its last
	   event. */
	CULVERT_DOWN,
	/* The largest payload that fits a datagram, to a target or over a context, is payload_max. */
	CULVERT_PAYLOAD_MAX,
	/* The tunnel is open. */
	CULVERT_OPEN,
	/* The tunnel was refused (was_open is false) or ended.  error: the reason; 0: ended by the
	   relay.  Its last event. */
	CULVERT_CLOSED,
	/* A datagram from the target of a tunnel, from a remote of a bound tunnel, or from a peer in flow:
	   payload. */
	CULVERT_DATAGRAM,
	/* The tunnel of a local sender is open. */
	CULVERT_FORWARD_OPEN,
	/* The tunnel of a local sender was refused; it is requested again for a later datagram. */
	CULVERT_FORWARD_REFUSED,
	/* The tunnel of a local sender ended. */
	CULVERT_FORWARD_ENDED,
	/* The bound tunnel is open: addresses. */
	CULVERT_BOUND_OPEN,
	/* The relay refused the bound tunnel; a status of 2xx means that it does not support them.
	   Requested again with the next session. */
	CULVERT_BOUND_REFUSED,
	/* The bound tunnel ended; requested again after a second, or when its session is up again. */
	CULVERT_BOUND_ENDED,
	/* Joined: a remote has a local port. */
	CULVERT_REMOTE,
	/* Joined: an idle remote lost its local port. */
	CULVERT_REMOTE_GONE,
	/* The relay refused a permitted remote, or did not respond (error: CULVERT_ETIMEOUT).  remote
	   is AF_UNSPEC if the relay refused the uncompressed context: only permitted remotes can send,
	   as if the tunnel were closed. */
	CULVERT_REMOTE_REFUSED,
	/* All places for local senders are taken: from now on the longest silent makes room.  Once. */
	CULVERT_FORWARD_FULL,
	/* Peers can dial: see culvert_listen_info. */
	CULVERT_LISTENING,
	/* The relay refused the bound tunnel, or (was_open) it ended; requested again by itself. */
	CULVERT_LISTEN_FAILED,
	/* A peer dialled: detail is its id. */
	CULVERT_INCOMING,
	/* The peer is reached: by path, msec after it was opened or accepted. */
	CULVERT_PEER_UP,
	/* It is reached by another path now: path, from path_before, for the reason why; nothing came for
	   msec. */
	CULVERT_PEER_PATH,
	/* It cannot be reached (was_open is false) or ended.  error: the reason; 0: the peer closed it.
	   Its last event. */
	CULVERT_PEER_DOWN,
	/* What culvert_net_report found out: report and answers.  Of no session. */
	CULVERT_NET_REPORT,
};

struct culvert_event {
	enum culvert_event_type type;
	void *user;			 /* of the innermost object below */
	struct culvert_session *session; /* NULL with a peer, and with NET_REPORT */
	struct culvert_tunnel *tunnel;	 /* else NULL */
	struct culvert_forward *forward; /* else NULL */
	struct culvert_bound *bound;	 /* else NULL */
	struct culvert_listen *listen;	 /* else NULL */
	struct culvert_peer *peer;	 /* else NULL */
	int error;
	bool was_open;
	bool by_relay; /* DOWN, LOST: the relay closed the session */
	uint64_t code; /* DOWN, LOST: error code of the close; of HTTP/3 if is_http, else of QUIC */
	bool is_http;
	unsigned status;    /* refusals: HTTP status; 0: no response */
	const char *detail; /* refusals: the relay's explanation; DOWN, LOST: what is wrong with its
			       certificate; or "".  Lends */
	uint32_t again_sec;
	uint32_t payload_max;
	const uint8_t *payload; /* lends */
	size_t payload_len;
	union culvert_address remote; /* REMOTE_*, DATAGRAM of a bound tunnel */
	union culvert_address local;  /* REMOTE, REMOTE_GONE: the port that represents it */
	const union culvert_address *addresses; /* BOUND_OPEN: public addresses; lends */
	size_t addresses_len;
	uint32_t places;			  /* FORWARD_FULL: how many senders have a place */
	uint64_t flow;				  /* DATAGRAM of a peer */
	struct culvert_path path, path_before;	  /* PEER_UP, PEER_PATH */
	enum culvert_path_why why;		  /* PEER_PATH */
	uint32_t msec;				  /* PEER_UP, PEER_PATH */
	const struct culvert_net_report *report;  /* NET_REPORT; lends */
	const struct culvert_net_answer *answers; /* NET_REPORT: of each relay; lends */
	size_t answers_len;
};

/*
 * Read the oldest event.  What it lends is valid until the next call of culvert_next_event,
 * culvert_step or culvert_close.
 * Returns true and fills *out, or false when there is none.
 */
bool culvert_next_event(struct culvert *c, struct culvert_event *out);

#ifdef __cplusplus
}
#endif

#endif
