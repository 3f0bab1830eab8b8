/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * culvert_state - what the files of the library share.  Private to control/library.
 *
 *   culvert_client.c   opening and closing a client, its step, its statistics
 *   culvert_session.c  sessions: the relay's addresses, trust, reconnecting
 *   culvert_tunnel.c   tunnels whose payloads pass through the API
 *   culvert_forward.c  forwards: local UDP ports that lead to a target
 *   culvert_bound.c    bound tunnels
 *   culvert_listen.c   listening for peers
 *   culvert_peer.c     peers
 *   culvert_signal.c   the signal stream of a session: our record at the relay, look-ups of others
 *   culvert_nodes.c    who we are to peers: an identity and its connections; the socket for all
 *   culvert_direct.c   where this host may be reached, for direct paths
 *   culvert_net.c      at which address relays see the client
 *   culvert_events.c   the event queue, the lifetime of objects, the limit on sends per step
 *   culvert_text.c     parsing, formatting and error messages
 *
 * Calls go only downward: client > session > tunnel, forward, bound, net, listen > peer > nodes, signal >
 * direct > events > identity > text.
 *
 * An object that the application closed is freed once every queued event that refers to it has been
 * skipped; see struct object.
 * Threading: the caller's.
 */
#ifndef CLV_LIBRARY_CULVERT_STATE_H
#define CLV_LIBRARY_CULVERT_STATE_H

#include "control/admission/identity.h"
#include "control/library/culvert.h"
#include "control/peer/bound_tunnel.h"
#include "control/peer/client.h"
#include "control/peer/forward.h"
#include "control/peer/peers.h"
#include "control/peer/reflect.h"
#include "control/peer/ticket.h"
#include "datapath/base/mailbox.h"
#include "datapath/base/pace.h"

#include <sys/queue.h>

enum {
	CULVERT_ADDRESSES_MAX = 8, /* of a relay's name */
	CULVERT_SENDS_MAX = 256,   /* between two steps */
	SIGNAL_LOOKUPS_MAX = 16,   /* of a session, at a time */
};

/* First member of everything an event can be about. */
struct object {
	uint32_t events; /* queued events that refer to it */
	bool is_closed;	 /* by the application, which no longer has a pointer to it */
	/* Frees the object; called once it is closed and no event refers to it. */
	void (*release)(struct object *object);
};

struct culvert_tunnel {
	struct object object;
	struct culvert_session *session;
	LIST_ENTRY(culvert_tunnel) link;
	struct clv_relay_tunnel *tunnel; /* NULL: refused or ended */
	bool is_open;
	void *user;
};

struct culvert_forward {
	struct object object;
	struct culvert_session *session;
	LIST_ENTRY(culvert_forward) link;
	struct clv_forward *forward;
	struct clv_endpoint listen; /* of fd */
	int fd;
	void *user;
};

struct culvert_bound {
	struct object object;
	struct culvert_session *session;
	LIST_ENTRY(culvert_bound) link;
	struct clv_bound_tunnel *tunnel;
	bool is_open, is_joined;
	uint64_t again_ns; /* when to request it again; 0: not scheduled */
	void *user;
};

/* Who we are to peers.  Lives until nobody uses it and its last packets are out. */
struct node {
	LIST_ENTRY(node) link;
	struct culvert *c;
	struct clv_identity id;
	struct clv_peers *peers;
	struct culvert_listen *listen; /* NULL: it only dials */
	enum clv_privacy privacy;      /* of those that asked for it the strictest */
	unsigned users;		       /* listen and peers */
};

/* Where this host may be reached. */
struct direct {
	struct mnl_socket *nl; /* NULL: none */
	struct clv_reflect reflect;
	struct clv_endpoint
		seen[2]; /* the socket for peers, by relays: of IPv4, of IPv6; port 0: not */
	uint8_t nat_class;
	struct clv_direct_local local; /* its privacy is the node's */
	uint64_t look_ns, ask_ns;      /* at the interfaces, the relays: next */
};

struct culvert_listen {
	struct object object;
	struct culvert_session *session;
	LIST_ENTRY(culvert_listen) link;
	struct node *node;
	uint32_t base; /* of links over its tunnel */
	struct clv_bound_tunnel *tunnel;
	bool is_open;
	uint64_t again_ns; /* when to request it again; 0: not scheduled */
	struct clv_endpoint addresses[CULVERT_LISTEN_ADDRESSES_MAX];
	unsigned addresses_len;
	char ticket[CULVERT_TICKET_TEXT];
	bool is_told;	   /* the application knows that it is open */
	bool is_published; /* the relay tells others where we are */
	void *user;
};

struct culvert_peer {
	struct object object;
	struct culvert *c;
	LIST_ENTRY(culvert_peer) link;
	struct node *node;
	struct culvert_listen *listen; /* of one that dialled */
	struct clv_peer *peer;	       /* NULL: it ended */
	struct clv_identity id;
	bool is_decided, was_up;
	uint64_t since_ns;	       /* opened, or accepted */
	uint64_t decide_ns;	       /* of one that dialled: refuse it then; 0: decided */
	struct culvert_session *asks;  /* whose relay is asked where it is; NULL: not */
	uint64_t up_ns;		       /* when it was reached; 0: not yet */
	struct culvert_peer_info life; /* of it only what is of its whole life */
	void *user;
};

/* record: borrows; NULL on an error. */
typedef void signals_found(void *user, int error, const struct clv_object *record);

struct signals_lookup {
	void *user; /* NULL: free */
	signals_found *found;
	struct clv_identity id;
	bool is_asked;
	uint32_t number;
};

/* The signal stream of a session, once something needs it. */
struct signal {
	bool is_wanted, is_ready;
	struct clv_relay_signal *stream; /* NULL: there is none now */
	struct clv_signer *signer;	 /* of the identity that the session presents; NULL: none */
	unsigned agains;
	uint64_t again_ns; /* when to open it again; 0: not scheduled */
	struct clv_identity relay;
	struct clv_endpoint
		observed; /* where the relay sees the session come from; port 0: not known */
	bool has_record;
	struct clv_object record;
	void (*on_published)(struct culvert_session *s, int error);
	struct signals_lookup lookups[SIGNAL_LOOKUPS_MAX];
};

struct culvert_session {
	struct object object;
	struct culvert *c;
	LIST_ENTRY(culvert_session) link;
	struct clv_relay_session *relay; /* up, or connecting */
	bool is_up, was_up;
	LIST_HEAD(culvert_tunnel_list, culvert_tunnel) tunnels;
	LIST_HEAD(culvert_forward_list, culvert_forward) forwards;
	LIST_HEAD(culvert_bound_list, culvert_bound) bounds;
	LIST_HEAD(culvert_listen_list, culvert_listen) listens;
	struct clv_relay_link shown; /* how others reach and know the relay; without a token */
	struct signal signal;
	struct clv_endpoint addresses[CULVERT_ADDRESSES_MAX];
	unsigned addresses_len, address; /* index of the one in use */
	char authority[CULVERT_HOST_TEXT + 8];
	char server_name[CULVERT_HOST_TEXT];
	char *uri_template;  /* NULL: the default one */
	char *authorization; /* secret; NULL: none */
	struct clv_tls_context *tls;
	enum clv_profile profile;
	bool capsules, reconnect;
	bool has_identity;
	struct clv_identity id; /* with has_identity */
	unsigned retries;
	uint64_t retry_ns; /* when to connect again; 0: not scheduled */
	uint64_t reconnects;
	uint32_t payload_max;
	struct clv_tls_facts facts;
	void *user;
};

struct culvert {
	struct object
		object; /* of events that are about no session; the application cannot close it */
	void *net_user;
	struct clv_client *client;
	struct clv_mailbox *events;
	LIST_HEAD(culvert_session_list, culvert_session) sessions;
	LIST_HEAD(node_list, node) nodes;
	LIST_HEAD(culvert_peer_list, culvert_peer) peers;
	struct clv_rand rand;
	int peer_fd; /* the socket from which peers are reached; -1: not open yet */
	struct clv_endpoint peer_local;
	struct direct direct;
	uint32_t last_base;	  /* 0: the socket */
	uint64_t now_ns, next_ns; /* next_ns 0: step again */
	struct clv_pace pace;
	bool is_spinning; /* nothing to do, but busy-polling for a moment before it sleeps */
	uint32_t events_len;
	uint64_t waiting_bytes, receive_bytes; /* of queued datagrams: now, and at most */
	uint64_t received_dropped;
	unsigned sends; /* since the last step */
	uint32_t remotes_max;
	uint64_t answer_ns;
	bool is_lending; /* the application holds the event it read last: its record is still queued */
	bool is_closing;
	char why[512];
};

struct host_port {
	char host[CULVERT_HOST_TEXT]; /* without brackets */
	uint16_t port;		      /* host order */
};

/* ---- culvert_text.c ---- */

/* Record the reason of a failure for culvert_why().  Returns error. */
int text_set_why(struct culvert *c, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void text_clear_why(struct culvert *c);
void text_to_address(const struct clv_endpoint *ep, union culvert_address *out);
/*
 * Parse "HOST:PORT" or "[IPv6]:PORT".  what: names the option in the message.
 * Returns 0, or CULVERT_ESYNTAX after recording the reason.
 */
int text_parse_host(struct culvert *c, const char *what, const char *text, struct host_port *out);
/* The same for a target: its port is not 0 and a URI template can carry it. */
int text_parse_target(struct culvert *c, const char *text, struct host_port *out);

/* ---- culvert_events.c ---- */

/*
 * Queue an event about the innermost object it names, unless that object is closed.
 * tail: the payload or detail that the event lends; copies; may be NULL.
 */
void emit_event(struct culvert *c, const struct culvert_event *e, const void *tail, size_t len);
/* Queue an event about a refusal, with the relay's status and reason.  result: may be NULL. */
void emit_refusal(struct culvert *c, struct culvert_event *e,
		  const struct clv_client_result *result);
/* Give the queue back the record of the event that the application read last. */
void events_give_back(struct culvert *c);
/* Mark an object as closed; free it now, or when the last event that refers to it is skipped. */
void object_close(struct object *object);
/* Make the application's next step due at once. */
void wake_now(struct culvert *c);
/* Whether a datagram of len bytes may be sent now.  Returns 0, -EMSGSIZE or -EAGAIN. */
int may_send(struct culvert_session *s, size_t len);

/* ---- culvert_identity.c ---- */

/* A client's key and certificates, as clv_tls_client_params wants them. */
struct identity {
	struct clv_identity id;
	char *text;	      /* of the file, which has the key; secret */
	char *self;	      /* a certificate made for the key; NULL: the file has one */
	const char *cert_pem; /* one of the two */
};

/* Returns 0 and fills *out, or an error after recording the reason. */
int identity_load(struct culvert *c, const char *path, struct identity *out);
/* Accepts a zeroed one. */
void identity_free(struct identity *id);

/* ---- culvert_nodes.c ---- */

/*
 * The node of an identity, which is made if there is none, and its socket.  Returns 0 and fills *out,
 * which counts the caller as a user, or an error after recording the reason.  ops: of culvert_peer.c.
 */
int node_open(struct culvert *c, const char *identity, uint32_t peers_max,
	      enum culvert_privacy privacy, const struct clv_peers_ops *ops, struct node **out);
void node_close(struct node *node);
/* Step all nodes; free those that are over. */
void nodes_step(struct culvert *c);
uint64_t nodes_next_ns(const struct culvert *c);
/* Returns whether the datagram came to the socket for peers. */
bool nodes_new_remote(struct culvert *c, const struct clv_evt_remote *evt, const uint8_t *payload,
		      size_t len);
/* Send what is left and free all. */
void nodes_fini(struct culvert *c);

/* ---- culvert_direct.c ---- */

/* With the socket for peers; close accepts what was not opened. */
void direct_open(struct culvert *c);
void direct_close(struct culvert *c);
/* Tell a node what is known. */
void direct_give(struct node *node);
/* The addresses of all sessions' relays, at most max.  Returns how many. */
size_t direct_relays(const struct culvert *c, struct clv_endpoint *out, size_t max);
/* A datagram that came to the socket for peers.  Returns whether it was STUN. */
bool direct_take(struct culvert *c, const struct clv_endpoint *from, const uint8_t *payload,
		 size_t len);
void direct_step(struct culvert *c);
uint64_t direct_next_ns(const struct culvert *c);

/* ---- culvert_signal.c ---- */

void signals_set_session(struct culvert_session *s, struct clv_relay_session *relay);
/* The session is not going to be up: answer what was asked. */
void signals_end(struct culvert_session *s, int error);
void signals_step(struct culvert_session *s, uint64_t now_ns);
uint64_t signals_next_ns(const struct culvert_session *s);
/*
 * Publish a record, now and whenever a stream is up, until it is withdrawn.  record: copies.
 * on_published: the relay has it (0), or does not; maybe at once, and again.
 */
void signals_publish(struct culvert_session *s, const struct clv_object *record,
		     void (*on_published)(struct culvert_session *s, int error));
void signals_withdraw(struct culvert_session *s);
/*
 * Ask where a peer is.  found: called once, maybe at once; user: not NULL.  Returns 0 or CULVERT_EFULL.
 */
int signals_look_up(struct culvert_session *s, const struct clv_identity *id, signals_found *found,
		    void *user);
/* Whoever asked is gone. */
void signals_forget(struct culvert_session *s, const void *user);

/* ---- culvert_peer.c ---- */

/* For node_open. */
extern const struct clv_peers_ops peer_ops;
/* Refuse those that nobody decided about. */
void peers_step(struct culvert *c);
uint64_t peers_next_ns(const struct culvert *c);
/* End the peers that dialled one who listens. */
void peers_end_of(struct culvert_listen *l);

/* ---- culvert_listen.c ---- */

void listens_set_session(struct culvert_session *s, struct clv_relay_session *relay);
void listens_step(struct culvert_session *s, uint64_t now_ns);
uint64_t listens_next_ns(const struct culvert_session *s);

/* ---- culvert_session.c ---- */

/* Run the timers of all sessions, and of what they own. */
void sessions_step(struct culvert *c);
/* When the next of these timers is due; UINT64_MAX: none. */
uint64_t sessions_next_ns(const struct culvert *c);

/* ---- culvert_forward.c ---- */

/* Pass a session that came up, or NULL for one that was lost, to its forwards. */
void forwards_set_session(struct culvert_session *s, struct clv_relay_session *relay);
void forwards_set_now(struct culvert_session *s, uint64_t now_ns);
/* Returns whether one of the session's forwards listens at evt->local, and took the datagram. */
bool forwards_new_remote(struct culvert_session *s, const struct clv_evt_remote *evt,
			 const uint8_t *payload, size_t len);

/* ---- culvert_net.c ---- */

/* A round of reflection is over: report it. */
void net_reflected(void *culvert, const struct clv_reflect *round);

/* ---- culvert_bound.c ---- */

void bounds_set_session(struct culvert_session *s, struct clv_relay_session *relay);
/* Run the timers of the session's bound tunnels: request ended ones again, expire registrations. */
void bounds_step(struct culvert_session *s, uint64_t now_ns);
uint64_t bounds_next_ns(const struct culvert_session *s);
/* As forwards_new_remote, for the local ports of remotes. */
bool bounds_new_remote(struct culvert_session *s, const struct clv_evt_remote *evt,
		       const uint8_t *payload, size_t len);

#endif
