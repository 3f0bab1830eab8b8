/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/reflect.h"
#include "control/core/state.h"
#include "control/tls/tls_memory.h"
#include "datapath/base/addr.h"
#include "datapath/quic/cid.h"

#include <string.h>

enum {
	RESET_LEN_MIN = 21, /* of a stateless reset, RFC 9000 section 10.3 */
};

/* By our connection ID, or by the DCID that a client chose for its first packets. */
static struct clv_session *session_by_packet(struct clv_control *c, const struct clv_quic_header *h)
{
	uint8_t key[INITIAL_KEY_LEN] = { 0 };
	uint64_t s;

	if (h->dcid_len == CLV_CID_LEN && clv_table_find(&c->cids, h->dcid, &s))
		return (struct clv_session *)(uintptr_t)s;
	if (!h->is_long || h->dcid_len >= INITIAL_KEY_LEN)
		return NULL;
	key[0] = (uint8_t)h->dcid_len;
	memcpy(key + 1, h->dcid, h->dcid_len);
	return clv_table_find(&c->initials, key, &s) ? (struct clv_session *)(uintptr_t)s : NULL;
}

/*
 * Client: by the relay's address.  A stateless reset carries no connection ID of ours; the
 * connection recognises it by its token (RFC 9000 section 10.3.1).
 */
static struct clv_session *session_by_relay(struct clv_control *c, const struct clv_rx *rx)
{
	struct clv_session *s = c->p.listeners_len ? NULL : c->sessions;

	while (s && !clv_endpoint_equal(&s->remote, &rx->remote))
		s = s->next;
	return s;
}

/*
 * Relay: by the token of a stateless reset.  The connection checks that the token belongs to the
 * address it came from (RFC 9000 section 10.3.1).
 */
static struct clv_session *session_by_token(struct clv_control *c, const struct clv_rx *rx)
{
	uint64_t s;

	if (rx->payload_len < RESET_LEN_MIN ||
	    !clv_table_find(&c->tokens, rx->payload + rx->payload_len - CLV_CID_TOKEN_LEN, &s))
		return NULL;
	return (struct clv_session *)(uintptr_t)s;
}

static const struct clv_control_listener *listener_of(const struct clv_control *c,
						      const struct clv_rx *rx)
{
	for (size_t i = 0; i < c->p.listeners_len; i++)
		if (c->listeners[i].port == ntohs(rx->local.port) &&
		    (clv_addr_is_any(c->listeners[i].addr) ||
		     memcmp(c->listeners[i].addr, rx->local.addr, 16) == 0))
			return &c->listeners[i];
	return NULL;
}

static void send_answer(struct clv_control *c, const struct clv_rx *rx, const uint8_t *answer,
			size_t len)
{
	struct clv_flow flow = {
		.local = rx->local,
		.remote = rx->remote,
		.socket = rx->socket,
	};
	struct clv_port *port = c->p.port;
	struct clv_tx tx;

	if (port->ops->tx_take(port, &tx)) {
		clv_count(&c->counters, CLV_COUNT_DROP_NO_FRAME);
		return;
	}
	memcpy(tx.payload, answer, len);
	port->ops->tx_send(port, &tx, len, &flow, 0);
}

static void discharge(struct clv_control *c, struct clv_account *payer, enum clv_resource resource)
{
	clv_accounts_give(&c->accounts, payer, resource, CLV_ACCOUNTS_WHOLE);
}

/*
 * Charge a new connection, and that it is half-open, to its source if that has proven its address,
 * else to nobody: a sender of packets with a false source uses up nobody's share.
 */
static enum clv_accounts_verdict charge(struct clv_control *c, struct clv_account *account,
					bool is_proven)
{
	struct clv_account *payer = is_proven ? account : NULL;
	enum clv_accounts_verdict verdict;

	/* It would be refused when its handshake is complete. */
	verdict = clv_accounts_ask(&c->accounts, account, CLV_RESOURCE_CONNS, CLV_ACCOUNTS_WHOLE);
	if (verdict) {
		clv_accounts_refused(&c->accounts, CLV_RESOURCE_CONNS, verdict);
		return verdict;
	}
	verdict = clv_accounts_take(&c->accounts, payer, CLV_RESOURCE_HANDSHAKES,
				    CLV_ACCOUNTS_WHOLE);
	if (verdict)
		return verdict;
	verdict = clv_accounts_take(&c->accounts, payer, CLV_RESOURCE_CONNS, CLV_ACCOUNTS_WHOLE);
	if (verdict)
		discharge(c, payer, CLV_RESOURCE_HANDSHAKES);
	return verdict;
}

/* Charge and make a session.  Returns CLV_COUNTER_MAX, or the counter of what refuses it. */
static enum clv_counter new_session(struct clv_control *c, struct handshake_params *p,
				    struct clv_session **out)
{
	enum clv_accounts_verdict verdict;

	if (c->stopping)
		return CLV_COUNT_DROP_CONNS_FULL;
	if (c->p.limits.tls_memory && clv_tls_memory_held() >= c->p.limits.tls_memory)
		return CLV_COUNT_DROP_TLS_MEMORY;
	p->account = clv_accounts_open(&c->accounts, p->remote.addr);
	if (!p->account)
		return CLV_COUNT_DROP_CONNS_FULL;
	verdict = charge(c, p->account, p->is_proven);
	if (!verdict && handshake_new(c, p, out) == 0)
		return CLV_COUNTER_MAX;
	if (!verdict) {
		discharge(c, p->is_proven ? p->account : NULL, CLV_RESOURCE_HANDSHAKES);
		discharge(c, p->is_proven ? p->account : NULL, CLV_RESOURCE_CONNS);
	}
	clv_accounts_close(&c->accounts, p->account);
	return handover_refusal(verdict);
}

/* Make a session for an admitted packet, or change the verdict. */
static void accept_session(struct clv_control *c, const struct clv_control_listener *l,
			   const struct clv_rx *rx, uint8_t answer[static UDP_PAYLOAD_MAX],
			   struct clv_admit_result *a)
{
	struct handshake_params p = {
		.admitted = a,
		.local = rx->local,
		.remote = rx->remote,
		.socket = rx->socket,
		.tls = l->tls,
		.profile = l->profile,
		.app_ops = c->p.accept_ops,
		.app = c->p.accept_app,
		.is_proven = a->token_len > 0,
	};
	struct clv_session *s;
	enum clv_counter full = new_session(c, &p, &s);

	if (full != CLV_COUNTER_MAX) {
		clv_admit_refuse(&c->admit, full, c->now_ns, answer, a);
		return;
	}
	if (handshake_first_packet(s, rx))
		clv_admit_retry(&c->admit, rx, c->now_ns, c->p.host_ops->wall_sec(c->p.host),
				answer, a);
}

/*
 * Whether new clients have to prove their address first: many connections are half-open, or what is
 * left is for sources that hold little.
 */
static bool must_prove(const struct clv_control *c)
{
	return c->handshaking >= c->p.limits.retry_above ||
	       clv_accounts_must_prove(&c->accounts, CLV_RESOURCE_HANDSHAKES) ||
	       clv_accounts_must_prove(&c->accounts, CLV_RESOURCE_CONNS);
}

/* To its conn, or to the worker that has it. */
static void deliver(struct clv_session *s, const struct clv_rx *rx)
{
	struct clv_cmd_packet cmd = {
		.ref = s->ref,
		.local = rx->local,
		.remote = rx->remote,
		.ecn = rx->ecn,
	};

	if (s->state == SESSION_LIVE) {
		workers_send_datagram(s->control, s, CLV_CMD_PACKET, &cmd, sizeof(cmd), rx->payload,
				      rx->payload_len);
		return;
	}
	handshake_packet(s, rx);
}

void packets_receive(struct clv_control *c, struct clv_rx *rx)
{
	const struct clv_control_listener *l;
	uint8_t answer[UDP_PAYLOAD_MAX];
	struct clv_admit_result a;
	struct clv_quic_header h;
	struct clv_session *s;

	if (clv_quic_header_decode(rx->payload, rx->payload_len, &h)) {
		clv_count(&c->counters, CLV_COUNT_DROP_MALFORMED);
		return;
	}
	s = session_by_packet(c, &h);
	if (!s && c->p.on_stun && clv_stun_matches(rx->payload, rx->payload_len)) {
		c->p.on_stun(c->p.client, rx);
		return;
	}
	if (!s)
		s = session_by_relay(c, rx);
	if (!s)
		s = session_by_token(c, rx);
	if (s) {
		deliver(s, rx);
		return;
	}
	if (c->p.accept_ops && c->p.accept_ops->admits &&
	    !c->p.accept_ops->admits(c->p.accept_app, rx->remote.addr)) {
		clv_count(&c->counters, CLV_COUNT_DROP_ADDRESS);
		return;
	}
	l = listener_of(c, rx);
	if (l && c->p.limits.reflect.stun && clv_stun_matches(rx->payload, rx->payload_len)) {
		size_t len = clv_reflect_stun(&c->guard, rx, c->now_ns, &c->counters, answer);

		if (len)
			send_answer(c, rx, answer, len);
		return;
	}
	if (!l || !l->tls) {
		clv_count(&c->counters, CLV_COUNT_DROP_UNKNOWN);
		return;
	}
	clv_admit_classify(&c->admit, rx, must_prove(c), c->now_ns,
			   c->p.host_ops->wall_sec(c->p.host), answer, &a);
	if (a.verdict == CLV_ADMIT_ACCEPT)
		accept_session(c, l, rx, answer, &a);
	if (a.verdict == CLV_ADMIT_RESPOND)
		send_answer(c, rx, answer, a.response_len);
}
