/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fake_relay - a relay's request layer on a host and a session made of tables.
 *
 * The client's end of the pipe is the test's own.
 */
#ifndef CLV_TEST_PROXY_FAKE_RELAY_H
#define CLV_TEST_PROXY_FAKE_RELAY_H

#include "control/admission/accounts.h"
#include "control/core/ports.h"
#include "control/proxy/connect_udp.h"
#include "control/proxy/names.h"
#include "tests/unit/http/h3_pipe.h"

enum {
	FAKE_TUNNELS = 16,
	FAKE_SENT = 65536,
	FAKE_STREAMS = 32,
};

struct fake_tunnel {
	struct clv_request *rq; /* NULL once closed */
	struct clv_session_tunnel params;
	struct clv_tunnel_ports bind;
	unsigned ports; /* held */
};

struct fake_relay {
	struct pipe *pipe;
	struct clv_rand rand;
	struct clv_counters counters;
	struct clv_policy *policy;
	struct clv_steering steering;
	struct clv_requests_config config;
	struct clv_bound_settings settings;
	struct clv_bound_tunnels *bound_tunnels;
	struct clv_accounts accounts;
	struct clv_account *account; /* of the client */
	struct clv_names *names;
	uint64_t now_ns;
	struct clv_requests *requests;

	/* the host */
	bool has_v4, has_v6;
	uint8_t hop_state; /* of every route */
	uint8_t via;
	uint16_t mtu;
	uint8_t own[16];
	int egress_err, resolve_err;
	struct clv_prefix nat64; /* 0 bits: none */
	int publish_err;	 /* of contexts */
	unsigned egress_held;
	bool has_new_neighbours; /* every look-up needs one */
	unsigned routed;	 /* look-ups, of sources for bound tunnels as well */
	char resolving[256];	 /* the name being looked up; "" when none */
	clv_resolved_fn *resolved;
	void *resolved_user;
	unsigned cancelled;

	/* the session */
	struct clv_endpoint peer; /* the client */
	struct clv_tls_facts tls;
	int open_err;
	unsigned opened, closed;
	struct clv_budget budget; /* of one holder; without limit at first */
	struct clv_budget_holder holder;
	struct fake_tunnel tunnels[FAKE_TUNNELS]; /* by the slot of their ref */
	unsigned sent;				  /* datagrams handed to tunnels */
	uint8_t last_sent[FAKE_SENT];
	size_t last_sent_len;
	char sent_text[512]; /* short payloads, one after the other, with ';' */
	/* commands to workers and changes of the kernel's tables for bound tunnels, in order */
	char trace[4096];
};

/* allow: one prefix for the policy, or NULL. */
void fake_relay_init(struct fake_relay *r, struct pipe *pipe, bool quic_datagrams,
		     const char *allow);
void fake_relay_fini(struct fake_relay *r);
/* Answer the pending look-up with addresses separated by spaces, or with err. */
void fake_relay_resolved(struct fake_relay *r, int err, const char *addrs);
/* The same with what the name server answered; NULL: nothing. */
void fake_relay_resolved_rcode(struct fake_relay *r, int err, const char *rcode, const char *addrs);
/* The session reports that a tunnel has ended. */
void fake_relay_gone(struct fake_relay *r, unsigned tunnel, int err);
/* An event of a tunnel's worker about a remote. */
void fake_relay_event(struct fake_relay *r, unsigned tunnel, enum clv_event type, const char *wire,
		      uint64_t context_id);
uint64_t fake_relay_count(const struct fake_relay *r, enum clv_counter which);

#endif
