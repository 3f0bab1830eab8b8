/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * culvert.h - UDP through a relay (RFC 9298), from within an application.
 *
 *   culvert           a client: sockets, memory, one queue of events
 *   culvert_session   with one relay; comes back by itself when it is lost, if that is wished
 *   culvert_tunnel    to one target; the application hands over payloads and gets them as events
 *   culvert_forward   a local UDP port joined to a target; every local sender gets a tunnel
 *   culvert_bound     a port at the relay, which anybody or some may send to: through the API, or
 *                     joined to a local UDP application
 *
 * The library makes no thread, imposes no loop and sets no signal handler.  The caller's loop is
 *
 *   1. culvert_step
 *   2. culvert_next_event, until it says that there is none
 *   3. poll culvert_fd for reading, for culvert_timeout_msec at most
 *
 * Every function returns at once, but for culvert_session_open with a relay that is a name, which
 * asks the system's resolver.  Nothing calls back: what happens is an event, and any function may be
 * called when it is read.  Functions of one client belong to one thread at a time; clients know
 * nothing of each other.
 *
 * Strings and structs given to a function are copied.  What a function makes belongs to the caller
 * until the function that closes it, and stays valid until then, also after an event said that it
 * ended.  Closing a session closes what was opened on it, closing a client everything.
 *
 * Functions return 0, or a negative number: -errno, or one of enum culvert_error.  Output parameters
 * are then untouched.
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

/* What went wrong, where errno has no word for it. */
enum culvert_error {
	CULVERT_EPROTO = -2001,	     /* the relay broke the protocol */
	CULVERT_ERANGE = -2003,	     /* a value out of range */
	CULVERT_ESYNTAX = -2004,     /* not in the expected form */
	CULVERT_EFULL = -2005,	     /* a ceiling, ours or the relay's, is reached */
	CULVERT_EDENIED = -2007,     /* the relay's policy refuses the target */
	CULVERT_EUNROUTABLE = -2008, /* no route to the relay; the relay has none to the target */
	CULVERT_ENONAME = -2009,     /* the name does not exist */
	CULVERT_ENAMETIME = -2010,   /* the relay's resolver did not answer */
	CULVERT_ETLS = -2011,	     /* the handshake failed otherwise */
	CULVERT_EQUIC = -2012,	     /* the connection broke */
	CULVERT_EHTTP = -2013,	     /* the relay answered with another refusal: see the status */
	CULVERT_EUNTRUSTED = -2014,  /* the relay's certificate is not trusted */
	CULVERT_ECLASSICAL = -2015,  /* the relay has no acceptable post-quantum handshake */
	CULVERT_ECLOSED = -2017,     /* the session is gone, or was never up */
	CULVERT_ETIMEOUT = -2018,    /* no answer in time: of the relay, or (with a status) to it */
};

/* A description in words; lives as long as the program; never NULL. */
const char *culvert_strerror(int error);
/* Of the library, such as "0.1.0". */
const char *culvert_version(void);

/* An address and port, IPv4 or IPv6 by sa.sa_family; 0: none. */
union culvert_address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

enum {
	CULVERT_ADDRESS_TEXT = 64, /* room for any address as text */
	CULVERT_HOST_TEXT = 256,   /* room for any host's name or address */
	CULVERT_PIN_LEN = 32,	   /* bytes of a SHA-256 */
};

/* Read "a.b.c.d:port" or "[IPv6]:port".  Returns 0, CULVERT_ESYNTAX or CULVERT_ERANGE (the port). */
int culvert_address_parse(const char *text, union culvert_address *out);
/* The same backward; "none" without a family.  Returns buf. */
const char *culvert_address_format(const union culvert_address *address,
				   char buf[CULVERT_ADDRESS_TEXT]);

/* What the functions below take as text, for who wants to check or take apart what he was given. */

/*
 * Read "HOST:PORT" or "[IPv6]:PORT" (a relay, a target): host without brackets, port in host order.
 * Looks nothing up.  Returns 0; CULVERT_ESYNTAX, or CULVERT_ERANGE (the port).
 */
int culvert_host_parse(const char *text, char host[CULVERT_HOST_TEXT], uint16_t *port);
/* Read "sha256:HEX", also without what is before the digits.  Returns 0 or CULVERT_ESYNTAX. */
int culvert_pin_parse(const char *text, uint8_t sha256[CULVERT_PIN_LEN]);

/* ---- a client ---- */

/* Zero in any member, or NULL for all of them, is the default. */
struct culvert_options {
	uint32_t tunnels_max;	/* open at a time; 1024, at most 2^20 */
	uint32_t remotes_max;	/* of all bound ports together; likewise.  Joined ones and forwards
				   have a socket each, of which there are 1024 at most */
	uint32_t receive_bytes; /* datagrams that may wait as events; what comes on top is dropped
				   and counted; 4 MiB, at least 1 MiB, at most 1 GiB */
	uint32_t answer_sec; /* longest wait for a relay that is there to answer a request for a tunnel
				or a port, or the permission of a remote; then CULVERT_ETIMEOUT says
				so; 15, at most 3600 */
	uint32_t look_usec; /* how long to look on after there was something to do, before a sleep
				   is due: spares the time of a wake-up where answers follow soon, for
				   the processor's; given up where they do not; at most 10000; 0: never */
};

/* Returns 0 and fills *out; CULVERT_ERANGE (an option), -ENOMEM, or -errno of the sockets. */
int culvert_open(const struct culvert_options *options, struct culvert **out);
/* Ends the sessions in good order (their last packets are sent) and frees everything. */
void culvert_close(struct culvert *c);

/* For poll: readable when a step has something to do.  The same for life. */
int culvert_fd(const struct culvert *c);
/* Handle what arrived and what is due. */
void culvert_step(struct culvert *c);
/* How long a step can wait: milliseconds for poll; 0: not at all, or not yet (look_usec), -1: until
   the fd is readable. */
int culvert_timeout_msec(const struct culvert *c);
/* The same as a time of CLOCK_MONOTONIC in nanoseconds; 0: at once, UINT64_MAX: until the fd. */
uint64_t culvert_deadline_ns(const struct culvert *c);

/* One line about the last function that failed, with the file or word it failed at; else "".  Lends
   until the next call of a function of this client. */
const char *culvert_why(const struct culvert *c);

struct culvert_stats {
	uint64_t received_dropped;	  /* datagrams beyond receive_bytes */
	uint64_t packets_in, packets_out; /* UDP packets from and to relays, handshakes aside */
	uint64_t looks, looks_found;	  /* times looked on, and those that something came */
};
void culvert_stats(const struct culvert *c, struct culvert_stats *out);

/* Why packets or datagrams were lost inside of the client, which is not to say on their way. */
struct culvert_drop {
	const char *reason;  /* one word, "too_big_peer" */
	const char *meaning; /* in more of them; both live as long as the program */
	uint64_t count;
};
/* The index-th of the reasons there were.  Returns true and fills *out, or false: no more. */
bool culvert_drop(const struct culvert *c, unsigned index, struct culvert_drop *out);

enum culvert_log { CULVERT_LOG_ERROR, CULVERT_LOG_WARN, CULVERT_LOG_INFO, CULVERT_LOG_DEBUG };
/* What the library writes to stderr, for all clients of the process; CULVERT_LOG_ERROR at first. */
void culvert_log_level(enum culvert_log level);

/* ---- a session with a relay ---- */

enum culvert_profile {
	CULVERT_PQC,	/* ML-KEM-768 and ML-DSA-65 */
	CULVERT_HYBRID, /* X25519MLKEM768 or SecP256r1MLKEM768, any certificate */
};

struct culvert_session_options {
	const char *relay; /* "HOST:PORT", "[IPv6]:PORT"; a name is looked up once, its addresses are
			      tried in turn */
	/* Whom to trust, one of the two. */
	const char *ca_file; /* certificate authority, PEM */
	const char *pin;     /* "sha256:HEX", the fingerprint that the relay prints at its start */
	const char *server_name;  /* that the certificate must carry; NULL: the relay's host */
	const char *uri_template; /* NULL: the default one of RFC 9298 at the relay */
	enum culvert_profile profile;
	bool capsules;	/* datagrams in capsules: reliable and in order, slower */
	bool reconnect; /* once it was up, go on asking when it is lost */
	void *user;	/* comes back with each event of the session */
};

/*
 * Ask for a session; CULVERT_UP or CULVERT_DOWN says what came of it.
 * Returns 0 and fills *out, or
 *   CULVERT_ESYNTAX      relay, pin or template are not in their form, or not one of ca_file and pin
 *                        was given; culvert_why says which
 *   CULVERT_ENONAME      the relay's name does not exist
 *   CULVERT_EUNROUTABLE  no way to the relay from here
 *   CULVERT_ETLS, -errno the certificate file: culvert_why names it
 *   CULVERT_EFULL        eight are there already, or end still
 *   -ENOMEM
 */
int culvert_session_open(struct culvert *c, const struct culvert_session_options *options,
			 struct culvert_session **out);
void culvert_session_close(struct culvert_session *s);

struct culvert_session_info {
	bool is_up;
	union culvert_address relay; /* the address in use, or tried last */
	const char *group;	     /* key exchange, "MLKEM768"; lends; NULL before it was up */
	const char *signature;	     /* of the certificate, "ML-DSA-65"; likewise */
	uint32_t payload_max; /* bytes of the largest datagram that fits now; 0: not known yet */
	uint64_t reconnects;
};
void culvert_session_info(const struct culvert_session *s, struct culvert_session_info *out);

/* ---- a tunnel: payloads through the API ---- */

struct culvert_tunnel_options {
	const char *target; /* "HOST:PORT"; a name is looked up by the relay */
	void *user;
};

/*
 * Ask for a tunnel; CULVERT_OPEN or CULVERT_CLOSED says what came of it.  It does not outlive its
 * session: CULVERT_CLOSED comes with its loss, and another must be opened once it is up again.
 * Returns 0 and fills *out, CULVERT_ESYNTAX (target; culvert_why), CULVERT_ECLOSED (the session is
 * not up), CULVERT_EFULL, CULVERT_EPROTO (the relay does not take CONNECT-UDP) or -ENOMEM.
 */
int culvert_tunnel_open(struct culvert_session *s, const struct culvert_tunnel_options *options,
			struct culvert_tunnel **out);
void culvert_tunnel_close(struct culvert_tunnel *t);

/*
 * Send one datagram to the target.  data: copies.  It goes with the next step, and may be lost on its
 * way like any.
 * Returns 0; CULVERT_ECLOSED (not open, or no longer), -EMSGSIZE (more than payload_max), or -EAGAIN
 * (much waits already: step first).
 */
int culvert_tunnel_send(struct culvert_tunnel *t, const void *data, size_t len);

/* ---- a forward: a local UDP port joined to a target ---- */

struct culvert_forward_options {
	const char *listen; /* "ADDRESS:PORT"; port 0: any */
	const char *target; /* as above */
	void *user;
};

/*
 * Listen.  Each local sender gets a tunnel with its first datagram; what it sends meanwhile is kept,
 * within bounds.  A forward outlives its session's losses.  Events: CULVERT_FORWARD_*.
 * Returns 0 and fills *out, CULVERT_ESYNTAX (culvert_why), CULVERT_EFULL, -ENOMEM, or -errno of the
 * socket.
 */
int culvert_forward_open(struct culvert_session *s, const struct culvert_forward_options *options,
			 struct culvert_forward **out);
void culvert_forward_close(struct culvert_forward *f);

struct culvert_forward_info {
	union culvert_address listen;	 /* bound */
	uint64_t opened, refused, ended; /* tunnels */
	uint64_t held, dropped; /* datagrams before a tunnel: kept, and lost beyond the bounds */
};
void culvert_forward_info(const struct culvert_forward *f, struct culvert_forward_info *out);

/* ---- a bound port: CONNECT-UDP-bind ---- */

struct culvert_bound_options {
	bool is_joined; /* to a local application: each remote has a loopback port of its own here */
	const char *app; /* joined: where the application is, "ADDRESS:PORT", loopback; NULL: whoever
			    sends to a remote's port */
	bool is_closed;	 /* only remotes that were permitted get in */
	bool no_compress;	 /* no contexts but for permitted remotes */
	uint32_t remotes_max;	 /* 0: all of the client */
	uint32_t compress_above; /* packets a second that are worth a context; 0: 20 */
	uint32_t idle_sec;	 /* then a remote that was not permitted is let go; 0: 120 */
	void *user;
};

/*
 * Ask the relay for a port; CULVERT_BOUND_OPEN says its public addresses, again after each loss of the
 * session: they may be others.  A bound port outlives those.
 * Returns 0 and fills *out, CULVERT_ESYNTAX (app; culvert_why), CULVERT_ERANGE (remotes_max is more
 * than the client's) or -ENOMEM.
 */
int culvert_bound_open(struct culvert_session *s, const struct culvert_bound_options *options,
		       struct culvert_bound **out);
void culvert_bound_close(struct culvert_bound *b);

/*
 * Name a remote: it gets in also when the port is closed, has a compressed context whenever the port
 * is open, and joined has its local port from here on (CULVERT_REMOTE).  remote: borrows.
 * Returns 0, CULVERT_ERANGE (no port, or an address that is none), CULVERT_EFULL, -ENOMEM, or -errno
 * of its socket.
 */
int culvert_bound_permit(struct culvert_bound *b, const union culvert_address *remote);

/*
 * Send a remote one datagram; not when joined.  remote: borrows.  data: copies.
 * Returns 0; CULVERT_ECLOSED (not open now), CULVERT_EDENIED (closed, and the remote was not permitted,
 * or the relay has not agreed yet), CULVERT_EUNROUTABLE (the relay gave no port of that family),
 * CULVERT_ERANGE (joined; no port), -EMSGSIZE or -EAGAIN as above.
 */
int culvert_bound_send(struct culvert_bound *b, const union culvert_address *remote,
		       const void *data, size_t len);

struct culvert_bound_info {
	bool is_open;
	uint64_t remotes_full; /* remotes not let in: remotes_max, or no port for them */
	uint64_t dropped;      /* joined: datagrams of the application with nowhere to go */
};
void culvert_bound_info(const struct culvert_bound *b, struct culvert_bound_info *out);

/* ---- events ---- */

enum culvert_event_type {
	/* A session is up; also each time it is up again. */
	CULVERT_UP = 1,
	/* It was lost, and is asked for again in again_sec.  error: why. */
	CULVERT_LOST,
	/* It is over, or never came to be.  error: why; 0: the relay closed it.  Its last event. */
	CULVERT_DOWN,
	/* The largest datagram that fits, to a target or by a context, is now payload_max bytes. */
	CULVERT_PAYLOAD_MAX,
	/* A tunnel is open. */
	CULVERT_OPEN,
	/* A tunnel was refused (was_open false), or ended.  error: why; 0: the relay ended it.  Its
	   last event. */
	CULVERT_CLOSED,
	/* A datagram from the target of a tunnel, or from a remote of a bound port: payload. */
	CULVERT_DATAGRAM,
	/* A local sender's tunnel is open; was refused (the sender may try again later); ended. */
	CULVERT_FORWARD_OPEN,
	CULVERT_FORWARD_REFUSED,
	CULVERT_FORWARD_ENDED,
	/* The relay's port leads here: addresses. */
	CULVERT_BOUND_OPEN,
	/* The relay refused a port; with a status of 2xx it does not know how.  Asked for again with
	   the next session. */
	CULVERT_BOUND_REFUSED,
	/* The port is gone: asked for again in a second, or when its session is up again. */
	CULVERT_BOUND_ENDED,
	/* Joined: a remote has a local port; has it no longer, being idle. */
	CULVERT_REMOTE,
	CULVERT_REMOTE_GONE,
	/* The relay refused a remote that was permitted, or gave no answer (error:
	   CULVERT_ETIMEOUT); remote without a family (AF_UNSPEC): it lets in none that was not, so
	   that the port is as if closed. */
	CULVERT_REMOTE_REFUSED,
};

struct culvert_event {
	enum culvert_event_type type;
	void *user; /* of the object below that the event is about */
	struct culvert_session *session;
	struct culvert_tunnel *tunnel;	 /* else NULL */
	struct culvert_forward *forward; /* else NULL */
	struct culvert_bound *bound;	 /* else NULL */
	int error;
	bool was_open;
	bool by_relay; /* DOWN, LOST: the relay closed the session */
	uint64_t code; /* DOWN, LOST: of the close; QUIC's, or HTTP/3's when is_http */
	bool is_http;
	unsigned status;    /* refusals: HTTP status; 0: none came */
	const char *detail; /* refusals: what the relay said beside; "" if nothing.  Lends */
	uint32_t again_sec;
	uint32_t payload_max;
	const uint8_t *payload; /* lends */
	size_t payload_len;
	union culvert_address remote; /* REMOTE_*, DATAGRAM of a bound port */
	union culvert_address local;  /* REMOTE, REMOTE_GONE: the port that stands for it */
	const union culvert_address *addresses; /* BOUND_OPEN: public, as others reach it; lends */
	size_t addresses_len;
};

/*
 * The oldest event that was not read yet.  What it lends is valid until the next call of
 * culvert_next_event, culvert_step or culvert_close.
 * Returns true and fills *out, or false when there is none.
 */
bool culvert_next_event(struct culvert *c, struct culvert_event *out);

#ifdef __cplusplus
}
#endif

#endif
