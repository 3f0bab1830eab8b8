/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/relay_link.h"
#include "control/library/culvert_state.h"
#include "control/masque/template.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	RETRY_MAX_SEC = 16,
};

/* ---- up and down ---- */

static void on_up(void *user, struct clv_relay_session *rs)
{
	struct culvert_session *s = user;
	struct culvert_event e = { .type = CULVERT_UP, .user = s->user, .session = s };

	s->is_up = true;
	s->retries = 0;
	s->reconnects += s->was_up;
	s->was_up = true;
	s->facts = *clv_relay_session_tls(rs);
	forwards_set_session(s, rs);
	bounds_set_session(s, rs);
	listens_set_session(s, rs);
	signals_set_session(s, rs);
	emit_event(s->c, &e, NULL, 0);
}

static void on_max_payload(void *user, uint32_t len)
{
	struct culvert_session *s = user;
	struct culvert_event e = {
		.type = CULVERT_PAYLOAD_MAX, .user = s->user, .session = s, .payload_max = len
	};

	s->payload_max = len;
	emit_event(s->c, &e, NULL, 0);
}

/* Schedule another attempt, with exponential backoff. */
static uint32_t retry_later(struct culvert_session *s)
{
	uint32_t sec = s->retries < 4 ? 1u << s->retries : RETRY_MAX_SEC;

	s->retries++;
	s->retry_ns = s->c->now_ns + sec * CLV_SEC;
	return sec;
}

/*
 * Whether the relay refused our certificate.  It does so when the handshake is over for us, and it
 * would again: by an alert about certificates (RFC 8446 section 6.2) as the code of the close.
 */
static bool is_identity_refused(const struct culvert_session *s, const struct clv_session_end *end)
{
	enum {
		CRYPTO_ERROR = 0x100,
		BAD_CERTIFICATE = 42,
		UNKNOWN_CA = 48,
		ILLEGAL_PARAMETER = 47
	};

	return s->has_identity && end->is_remote && !end->is_app &&
	       end->code >= CRYPTO_ERROR + BAD_CERTIFICATE &&
	       end->code <= CRYPTO_ERROR + UNKNOWN_CA &&
	       end->code != CRYPTO_ERROR + ILLEGAL_PARAMETER;
}

static void emit_end(struct culvert_session *s, const struct clv_session_end *end)
{
	const char *detail = end->detail ? end->detail : "";
	struct culvert_event e = {
		.type = CULVERT_DOWN,
		.user = s->user,
		.session = s,
		.error = end->error,
		.by_relay = end->is_remote,
		.is_http = end->is_app,
		.code = end->code,
	};

	if (end->is_remote && !end->is_app && end->code == NGTCP2_CONNECTION_REFUSED)
		e.error = CLV_EFULL;
	if (is_identity_refused(s, end)) {
		e.error = CLV_EUNAUTHORIZED;
	} else if (s->was_up && s->reconnect) {
		e.type = CULVERT_LOST;
		e.again_sec = retry_later(s);
	}
	if (e.type == CULVERT_DOWN)
		signals_end(s, e.error ? e.error : CULVERT_ECLOSED);
	emit_event(s->c, &e, detail, strlen(detail) + 1);
}

static void on_down(void *user, const struct clv_session_end *end)
{
	struct culvert_session *s = user;

	s->relay = NULL;
	s->is_up = false;
	s->payload_max = 0; /* the next session may take another path */
	forwards_set_session(s, NULL);
	bounds_set_session(s, NULL);
	listens_set_session(s, NULL);
	signals_set_session(s, NULL);
	if (s->object.is_closed) {
		object_close(&s->object); /* frees it, now that relay is NULL */
		return;
	}
	if (s->c->is_closing)
		return;
	/* one of a name's addresses may be unreachable from here: try the next */
	if (!s->was_up && s->address + 1 < s->addresses_len &&
	    (end->error == CLV_ETIMEOUT || end->error == CLV_EUNROUTABLE)) {
		s->address++;
		s->retry_ns = s->c->now_ns;
		return;
	}
	if (!end->was_established) /* another address may be reachable */
		s->address = (s->address + 1) % s->addresses_len;
	emit_end(s, end);
}

static const struct clv_relay_session_ops relay_ops = { on_up, on_down, on_max_payload };

/* Try the addresses in turn, from the current one.  Returns 0 or the error of the last one. */
static int connect_relay(struct culvert_session *s)
{
	struct clv_client_connect p = {
		.authority = s->authority,
		.server_name = s->server_name,
		.uri_template = s->uri_template,
		.authorization = s->authorization,
		.tls = s->tls,
		.profile = s->profile,
		.no_datagrams = s->capsules,
		.ops = &relay_ops,
		.user = s,
	};
	int err = CLV_EUNROUTABLE;

	for (; s->address < s->addresses_len; s->address++) {
		p.relay = s->addresses[s->address];
		err = clv_client_connect(s->c->client, &p, s->c->now_ns, &s->relay);
		if (err != CLV_EUNROUTABLE)
			return err;
	}
	s->address = 0;
	return err;
}

void sessions_step(struct culvert *c)
{
	struct culvert_session *s, *next;

	for (s = LIST_FIRST(&c->sessions); s; s = next) {
		struct clv_session_end end = { 0 };

		next = LIST_NEXT(s, link);
		forwards_set_now(s, c->now_ns);
		if (s->relay)
			clv_relay_session_step(s->relay, c->now_ns);
		bounds_step(s, c->now_ns);
		listens_step(s, c->now_ns);
		signals_step(s, c->now_ns);
		if (!s->retry_ns || c->now_ns < s->retry_ns)
			continue;
		s->retry_ns = 0;
		end.error = connect_relay(s);
		if (end.error)
			emit_end(s, &end);
	}
}

uint64_t sessions_next_ns(const struct culvert *c)
{
	const struct culvert_session *s;
	uint64_t at_ns = UINT64_MAX;

	LIST_FOREACH(s, &c->sessions, link) {
		uint64_t bounds_ns = bounds_next_ns(s), listens_ns = listens_next_ns(s);

		if (s->retry_ns && s->retry_ns < at_ns)
			at_ns = s->retry_ns;
		if (bounds_ns < at_ns)
			at_ns = bounds_ns;
		if (listens_ns < at_ns)
			at_ns = listens_ns;
		if (signals_next_ns(s) < at_ns)
			at_ns = signals_next_ns(s);
		if (s->relay && clv_relay_session_next_ns(s->relay) < at_ns)
			at_ns = clv_relay_session_next_ns(s->relay);
	}
	return at_ns;
}

/* ---- open ---- */

/* Read the relay's host and port, and of a link its token.  link: filled if it is one. */
static int read_relay(struct culvert_session *s, const char *text, struct host_port *relay,
		      struct clv_relay_link *link)
{
	const char *why;

	if (!text || !clv_relay_link_is(text)) {
		int err = text_parse_host(s->c, "relay", text, relay);

		if (!err && !relay->port)
			err = text_set_why(s->c, CULVERT_ESYNTAX, "relay has no port number: %s",
					   text);
		return err;
	}
	if (clv_relay_link_parse(text, strlen(text), link, &why))
		return text_set_why(s->c, CULVERT_ESYNTAX, "relay: invalid link: %s", why);
	strcpy(relay->host, link->host);
	relay->port = link->port;
	if (*link->token && asprintf(&s->authorization, "Bearer %s", link->token) < 0) {
		s->authorization = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int take_relay(struct culvert_session *s, const char *text, struct clv_relay_link *link)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM }, *found, *a;
	struct host_port relay;
	char port[8];
	int err = read_relay(s, text, &relay, link);

	if (err)
		return err;
	snprintf(port, sizeof(port), "%u", relay.port);
	if (getaddrinfo(relay.host, port, &hints, &found))
		return text_set_why(s->c, CULVERT_ENONAME, "no such relay: %s", relay.host);
	for (a = found; a && s->addresses_len < CULVERT_ADDRESSES_MAX; a = a->ai_next)
		if (!clv_endpoint_from_sockaddr(a->ai_addr, &s->addresses[s->addresses_len]))
			s->addresses_len++;
	freeaddrinfo(found);
	if (!s->addresses_len)
		return text_set_why(s->c, CULVERT_ENONAME, "no such relay: %s", relay.host);
	snprintf(s->authority, sizeof(s->authority), strchr(relay.host, ':') ? "[%s]:%u" : "%s:%u",
		 relay.host, relay.port);
	snprintf(s->server_name, sizeof(s->server_name), "%s", relay.host);
	snprintf(s->shown.host, sizeof(s->shown.host), "%s", relay.host);
	s->shown.port = relay.port;
	return 0;
}

static int take_trust(struct culvert_session *s, const struct culvert_session_options *o,
		      const struct clv_relay_link *link)
{
	bool uses_link = link->has_pin && !o->ca_file && !o->pin;
	uint8_t pin[CULVERT_PIN_LEN];
	struct clv_tls_client_params p = {
		.profile = s->profile,
		.ca_file = o->ca_file,
		.ca_sha256 = uses_link ? link->pin
			     : o->pin  ? pin
				       : NULL,
	};
	struct identity id = { 0 };
	char error[256] = "";
	int err;

	if (!uses_link && !o->ca_file == !o->pin)
		return text_set_why(s->c, CULVERT_ESYNTAX,
				    "exactly one of CA file and pin is required");
	if (o->pin && culvert_pin_parse(o->pin, pin))
		return text_set_why(s->c, CULVERT_ESYNTAX, "pin is not sha256:HEX: %s", o->pin);
	if (o->identity) {
		err = identity_load(s->c, o->identity, &id);
		if (err)
			return err;
		p.identity_name = o->identity;
		p.cert_pem = id.cert_pem;
		p.key_pem = id.text;
		s->has_identity = true;
		s->id = id.id;
		/* One that cannot sign is good for TLS all the same. */
		if (clv_signer_new(id.text, &s->signal.signer))
			s->signal.signer = NULL;
	}
	s->shown.has_pin = p.ca_sha256 != NULL;
	if (p.ca_sha256)
		memcpy(s->shown.pin, p.ca_sha256, sizeof(s->shown.pin));
	s->shown.has_profile = s->shown.is_hybrid = s->profile == CLV_PROFILE_HYBRID;
	err = clv_tls_client_context(&p, &s->tls, error, sizeof(error));
	identity_free(&id);
	return err ? text_set_why(s->c, err, "%s", error) : 0;
}

static int take_names(struct culvert_session *s, const struct culvert_session_options *o)
{
	struct clv_template_uri uri;
	const char *why;

	if (o->server_name) {
		if (strlen(o->server_name) >= sizeof(s->server_name))
			return text_set_why(s->c, CULVERT_ESYNTAX, "the server name is too long");
		strcpy(s->server_name, o->server_name);
	}
	if (!o->uri_template)
		return 0;
	if (clv_template_expand(o->uri_template, "192.0.2.1", 1, &uri, &why))
		return text_set_why(s->c, CULVERT_ESYNTAX, "URI template: %s", why);
	s->uri_template = strdup(o->uri_template);
	return s->uri_template ? 0 : -ENOMEM;
}

static void free_session(struct culvert_session *s)
{
	clv_tls_context_free(s->tls);
	clv_signer_free(s->signal.signer);
	free(s->uri_template);
	if (s->authorization)
		explicit_bzero(s->authorization, strlen(s->authorization));
	free(s->authorization);
	free(s);
}

static void release(struct object *object)
{
	struct culvert_session *s = (struct culvert_session *)object;

	if (!s->relay) /* else on_down frees s */
		free_session(s);
}

int culvert_session_open(struct culvert *c, const struct culvert_session_options *o,
			 struct culvert_session **out)
{
	struct culvert_session *s = calloc(1, sizeof(*s));
	struct clv_relay_link link = { 0 };
	int err;

	if (!s)
		return -ENOMEM;
	text_clear_why(c);
	s->object.release = release;
	s->c = c;
	s->user = o->user;
	s->profile = o->profile == CULVERT_HYBRID ? CLV_PROFILE_HYBRID : CLV_PROFILE_PQC;
	s->capsules = o->capsules;
	s->reconnect = o->reconnect;
	err = take_relay(s, o->relay, &link);
	if (link.is_hybrid)
		s->profile = CLV_PROFILE_HYBRID;
	if (!err)
		err = take_names(s, o);
	if (!err)
		err = take_trust(s, o, &link);
	clv_relay_link_wipe(&link);
	c->now_ns = clv_clock_now_ns();
	if (!err)
		err = connect_relay(s);
	if (err == CLV_EUNROUTABLE)
		text_set_why(c, err, "no route to relay %s", s->authority);
	if (err) {
		free_session(s);
		return err;
	}
	LIST_INSERT_HEAD(&c->sessions, s, link);
	wake_now(c);
	*out = s;
	return 0;
}

/* ---- close ---- */

void culvert_session_close(struct culvert_session *s)
{
	struct clv_relay_session *relay;

	if (!s)
		return;
	while (!LIST_EMPTY(&s->tunnels))
		culvert_tunnel_close(LIST_FIRST(&s->tunnels));
	while (!LIST_EMPTY(&s->forwards))
		culvert_forward_close(LIST_FIRST(&s->forwards));
	while (!LIST_EMPTY(&s->bounds))
		culvert_bound_close(LIST_FIRST(&s->bounds));
	while (!LIST_EMPTY(&s->listens))
		culvert_listen_close(LIST_FIRST(&s->listens));
	signals_end(s, CULVERT_ECLOSED);
	LIST_REMOVE(s, link);
	wake_now(s->c);
	relay = s->relay;
	object_close(&s->object); /* s is freed now, or by on_down */
	if (relay)
		clv_relay_session_close(relay);
}

void culvert_session_info(const struct culvert_session *s, struct culvert_session_info *out)
{
	*out = (struct culvert_session_info){
		.is_up = s->is_up,
		.group = s->facts.group,
		.signature = s->facts.signature,
		.payload_max = s->payload_max,
		.reconnects = s->reconnects,
		.profile = s->profile == CLV_PROFILE_HYBRID ? CULVERT_HYBRID : CULVERT_PQC,
	};
	text_to_address(&s->addresses[s->address], &out->relay);
}
