/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * culvert_state - what the files of the library's public half share; nobody else includes it.
 *
 *   culvert.c          a client: the step, the queue of events
 *   culvert_session.c  a session: the relay's addresses, trust, coming back
 *   culvert_tunnel.c   tunnels of the API, and forwards
 *   culvert_bound.c    bound ports
 *
 * An object that its owner closed lives on, out of reach, until the events that name it were skipped.
 * Threading: the caller's.
 */
#ifndef CLV_LIBRARY_CULVERT_STATE_H
#define CLV_LIBRARY_CULVERT_STATE_H

#include "datapath/base/pace.h"
#include "control/peer/bindpoint.h"
#include "control/peer/client.h"
#include "control/library/culvert.h"
#include "control/peer/forward.h"
#include "datapath/base/mailbox.h"

enum {
	CULVERT_ADDRESSES_MAX = 8, /* of a relay's name */
	CULVERT_SENDS_MAX = 256,   /* between two steps */
};

/* First member of everything an event can be about. */
struct object {
	uint32_t events; /* that name it and were not read */
	bool is_closed;
};

struct culvert_tunnel {
	struct object object;
	struct culvert_session *session;
	struct culvert_tunnel *next, *prev;
	struct clv_relay_tunnel *tunnel; /* NULL: refused or ended */
	bool is_open;
	void *user;
};

struct culvert_forward {
	struct object object;
	struct culvert_session *session;
	struct culvert_forward *next, *prev;
	struct clv_forward *forward;
	struct clv_endpoint listen; /* of fd */
	int fd;
	void *user;
};

struct culvert_bound {
	struct object object;
	struct culvert_session *session;
	struct culvert_bound *next, *prev;
	struct clv_bindpoint *point;
	bool is_open, is_joined;
	uint64_t again_ns; /* when to ask again; 0: not */
	void *user;
};

struct culvert_session {
	struct object object;
	struct culvert *c;
	struct culvert_session *next, *prev;
	struct clv_relay_session *relay; /* up, or being asked for */
	bool is_up, was_up, is_over;
	struct culvert_tunnel *tunnels;
	struct culvert_forward *forwards;
	struct culvert_bound *bounds;
	struct clv_endpoint addresses[CULVERT_ADDRESSES_MAX];
	unsigned addresses_len, address; /* in use */
	char authority[CULVERT_HOST_TEXT + 8];
	char server_name[CULVERT_HOST_TEXT];
	char *uri_template; /* NULL: the default one */
	struct clv_tls_context *tls;
	enum clv_profile profile;
	bool capsules, reconnect;
	unsigned retries;
	uint64_t retry_ns; /* when to ask again; 0: not */
	uint64_t reconnects;
	uint32_t payload_max;
	struct clv_tls_facts facts;
	void *user;
};

struct culvert {
	struct clv_client *client;
	struct clv_mailbox *events;
	struct culvert_session *sessions;
	uint64_t now_ns, next_ns; /* next_ns 0: step again */
	struct clv_pace pace;
	bool is_looking; /* nothing to do, and not to sleep yet */
	uint32_t events_len;
	uint64_t waiting_bytes, receive_bytes; /* datagrams as events: now, and at most */
	uint64_t received_dropped;
	unsigned sends; /* since the last step */
	uint32_t remotes_max;
	uint64_t answer_ns;
	bool is_lending; /* the oldest event was read, and its record not given back */
	bool is_closing;
	char why[512];
};

struct target {
	char host[CULVERT_HOST_TEXT]; /* without brackets */
	uint16_t port;		      /* host order */
};

/* ---- culvert.c ---- */

/* Queue an event; tail (payload or detail) may be NULL.  Its subject is what it names last. */
void api_tell(struct culvert *c, const struct culvert_event *e, const void *tail, size_t len);
/* Say why a function fails.  Returns error. */
int api_fail(struct culvert *c, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Something was asked for: the next step cannot wait. */
void api_hurry(struct culvert *c);
/* What a refusal said beside its status becomes the event's detail. */
void api_tell_refusal(struct culvert *c, struct culvert_event *e,
		      const struct clv_client_result *result);
/* Whether len bytes may be sent now: 0, -EMSGSIZE or -EAGAIN. */
int api_may_send(struct culvert_session *s, size_t len);
void api_address(const struct clv_endpoint *ep, union culvert_address *out);
/* "HOST:PORT", "[v6]:PORT".  Returns 0 or CULVERT_ESYNTAX after saying why; what: of the text. */
int api_parse(struct culvert *c, const char *what, const char *text, struct target *out);

/* ---- culvert_session.c ---- */

/* Before each step: what has to know the time; sessions to ask for again. */
void api_sessions_step(struct culvert *c);
uint64_t api_sessions_next_ns(const struct culvert *c);
/* Free it if nothing speaks of it any more. */
void api_session_release(struct culvert_session *s);

/* ---- culvert_tunnel.c ---- */

void api_tunnel_release(struct culvert_tunnel *t);
void api_forward_release(struct culvert_forward *f);
/* The session is up, or lost: its forwards hear of it. */
void api_forwards_set_session(struct culvert_session *s, struct clv_relay_session *relay);
void api_forwards_set_now(struct culvert_session *s, uint64_t now_ns);
/* Whether a forward of the session listens there, and has taken the datagram. */
bool api_forwards_new_remote(struct culvert_session *s, const struct clv_evt_remote *evt,
			     const uint8_t *payload, size_t len);

/* ---- culvert_bound.c ---- */

void api_bound_release(struct culvert_bound *b);
void api_bounds_set_session(struct culvert_session *s, struct clv_relay_session *relay);
/* Ask again for ports whose time has come. */
void api_bounds_step(struct culvert_session *s, uint64_t now_ns);
uint64_t api_bounds_next_ns(const struct culvert_session *s);
/* As api_forwards_new_remote; for the local ports of remotes. */
bool api_bounds_new_remote(struct culvert_session *s, const struct clv_evt_remote *evt,
			   const uint8_t *payload, size_t len);

#endif
