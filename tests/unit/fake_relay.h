/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fake_relay - a relay's request layer on a host and a session made of tables.
 *
 * The client's end of the pipe is the test's own.
 */
#ifndef CLV_TEST_FAKE_RELAY_H
#define CLV_TEST_FAKE_RELAY_H

#include "control/masque/request.h"
#include "h3_pipe.h"

enum {
	FAKE_TUNNELS = 16,
	FAKE_SENT = 65536,
	FAKE_STREAMS = 32,
};

struct fake_tunnel {
	struct clv_request *rq; /* NULL once closed */
	struct clv_request_tunnel params;
};

struct fake_relay {
	struct pipe *pipe;
	struct clv_rand rand;
	struct clv_counters counters;
	struct clv_policy *policy;
	struct clv_requests_config config;
	struct clv_requests *requests;

	/* the host */
	bool has_v4, has_v6;
	uint8_t hop_state; /* of every route */
	uint16_t mtu;
	uint8_t own[16];
	int egress_err, resolve_err;
	unsigned egress_held;
	char resolving[256]; /* the name being looked up; "" when none */
	clv_resolved_fn *resolved;
	void *resolved_user;
	unsigned cancelled;

	/* the session */
	int open_err;
	unsigned opened, closed;
	struct fake_tunnel tunnels[FAKE_TUNNELS]; /* by the slot of their ref */
	unsigned sent;				  /* datagrams handed to tunnels */
	uint8_t last_sent[FAKE_SENT];
	size_t last_sent_len;
	char sent_text[512]; /* short payloads, one after the other, with ';' */
};

/* allow: one prefix for the policy, or NULL. */
void fake_relay_init(struct fake_relay *r, struct pipe *pipe, bool quic_datagrams,
		     const char *allow);
void fake_relay_fini(struct fake_relay *r);
/* Answer the pending look-up with addresses separated by spaces, or with err. */
void fake_relay_resolved(struct fake_relay *r, int err, const char *addrs);
uint64_t fake_relay_count(const struct fake_relay *r, enum clv_counter which);

#endif
