/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/ticket.h"

#include "datapath/base/ascii.h"
#include "datapath/base/err.h"
#include "datapath/base/why.h"

#include <stdio.h>
#include <string.h>

#define BEGIN	"culvert"
#define VERSION "1"
#define PREFIX	BEGIN VERSION ":"
#define PIN	"sha256:"
#define HYBRID	"hybrid"

enum {
	PREFIX_LEN = sizeof(PREFIX) - 1,
	BEGIN_LEN = sizeof(BEGIN) - 1,
	PIN_LEN = sizeof(PIN) - 1,
	HYBRID_LEN = sizeof(HYBRID) - 1,
};

bool clv_ticket_is(const char *text)
{
	return strncmp(text, BEGIN, BEGIN_LEN) == 0 && clv_is_digit(text[BEGIN_LEN]);
}

/* A part of the ticket. */
struct part {
	const char *p;
	size_t len;
};

/* Cut off what precedes the next separator, or everything.  Returns whether there was one. */
static bool cut(struct part *from, char separator, struct part *out)
{
	const char *at = memchr(from->p, separator, from->len);

	*out = (struct part){ from->p, at ? (size_t)(at - from->p) : from->len };
	from->p += out->len + (at ? 1 : 0);
	from->len -= out->len + (at ? 1 : 0);
	return at;
}

static bool is(const struct part *part, const char *text)
{
	return part->len == strlen(text) && memcmp(part->p, text, part->len) == 0;
}

static bool has_port(const struct part *host_port)
{
	const char *colon = memrchr(host_port->p, ':', host_port->len);

	/* That of an IPv6 address stands behind its bracket. */
	return colon && !memchr(colon, ']', host_port->len - (size_t)(colon - host_port->p));
}

/*
 * A relay is checked as a link, which has the same parts; characters that mean more in a link do not
 * get that far.
 */
static int read_host_port(const struct part *host_port, struct clv_relay_link *out,
			  const char **why)
{
	char link[sizeof("culvert://[]:65535") + CLV_RELAY_LINK_HOST_MAX];
	int n;

	if (!has_port(host_port))
		return clv_fail(why, "a relay of the ticket has no port", CLV_ESYNTAX);
	n = snprintf(link, sizeof(link), "culvert://%.*s", (int)host_port->len, host_port->p);
	if (n < 0 || (size_t)n >= sizeof(link))
		return clv_fail(why, "the host of a relay of the ticket is too long", CLV_ERANGE);
	switch (clv_relay_link_parse(link, (size_t)n, out, NULL)) {
	case 0:
		return 0;
	case CLV_ERANGE:
		return clv_fail(why,
				"a relay of the ticket has a host that is too long, or a port that "
				"is not 1 to 65535",
				CLV_ERANGE);
	default:
		return clv_fail(
			why, "a relay of the ticket is not HOST:PORT, an IPv6 address in brackets",
			CLV_ESYNTAX);
	}
}

static int read_pin(const struct part *hex, struct clv_relay_link *relay, const char **why)
{
	char text[2 * CLV_RELAY_LINK_PIN_LEN + 1] = "";

	if (relay->has_pin)
		return clv_fail(why, "a relay of the ticket has two pins", CLV_ESYNTAX);
	if (hex->len == sizeof(text) - 1)
		memcpy(text, hex->p, hex->len);
	if (clv_hex_decode(text, clv_hex_value, relay->pin, sizeof(relay->pin)))
		return clv_fail(why,
				"a pin of the ticket is not \"sha256:\" and 64 hexadecimal digits",
				CLV_ESYNTAX);
	relay->has_pin = true;
	return 0;
}

/* HOST:PORT[,sha256:HEX][,hybrid] */
static int read_relay(struct part value, struct clv_relay_link *out, const char **why)
{
	struct clv_relay_link relay = { 0 };
	struct part part;
	bool has_more = cut(&value, ',', &part);
	int err = read_host_port(&part, &relay, why);

	while (!err && has_more) {
		has_more = cut(&value, ',', &part);
		if (part.len > PIN_LEN && memcmp(part.p, PIN, PIN_LEN) == 0) {
			part.p += PIN_LEN;
			part.len -= PIN_LEN;
			err = read_pin(&part, &relay, why);
		} else if (is(&part, HYBRID) && !relay.has_profile) {
			relay.has_profile = relay.is_hybrid = true;
		} else {
			err = clv_fail(why,
				       "behind a relay of the ticket stands neither a pin nor "
				       "\"hybrid\"",
				       CLV_ESYNTAX);
		}
	}
	if (!err)
		*out = relay;
	return err;
}

static int read_relays(struct part query, struct clv_ticket *ticket, const char **why)
{
	bool has_more = true;

	while (has_more) {
		struct part pair;
		int err;

		has_more = cut(&query, '&', &pair);
		if (pair.len < 2 || memcmp(pair.p, "r=", 2) != 0)
			return clv_fail(why, "the ticket has something other than relays (r=...)",
					CLV_ESYNTAX);
		if (ticket->relays_len == CLV_TICKET_RELAYS_MAX)
			return clv_fail(why, "the ticket has more than four relays", CLV_ERANGE);
		err = read_relay((struct part){ pair.p + 2, pair.len - 2 },
				 &ticket->relays[ticket->relays_len], why);
		if (err)
			return err;
		ticket->relays_len++;
	}
	return 0;
}

int clv_ticket_parse(const char *text, size_t len, struct clv_ticket *out, const char **why)
{
	struct clv_ticket ticket;
	struct part rest = { text, len }, id;
	int err;

	memset(&ticket, 0, sizeof(ticket));
	if (len >= CLV_TICKET_MAX)
		return clv_fail(why, "the ticket is too long", CLV_ERANGE);
	if (len < PREFIX_LEN || memcmp(text, PREFIX, PREFIX_LEN) != 0)
		return clv_fail(why,
				len > BEGIN_LEN && memcmp(text, BEGIN, BEGIN_LEN) == 0 &&
						clv_is_digit(text[BEGIN_LEN])
					? "the ticket is of a later version of Culvert"
					: "a ticket begins with \"culvert1:clv1\"",
				CLV_ESYNTAX);
	for (size_t i = 0; i < len; i++)
		if (!clv_is_alnum(text[i]) && (!text[i] || !strchr(".-_:,?&=[]", text[i])))
			return clv_fail(why, "the ticket has a character that no ticket has",
					CLV_ESYNTAX);
	rest.p += PREFIX_LEN;
	rest.len -= PREFIX_LEN;
	if (!cut(&rest, '?', &id))
		return clv_fail(why, "the ticket names no relay (?r=...): it may be cut short",
				CLV_ESYNTAX);
	if (clv_identity_parse(id.p, id.len, &ticket.id))
		return clv_fail(
			why,
			"the ticket's identity is not \"clv1\" and 52 characters, or one of "
			"them is wrong",
			CLV_ESYNTAX);
	err = read_relays(rest, &ticket, why);
	if (!err)
		*out = ticket;
	return err;
}

/* Where a ticket is written; len also counts what did not fit. */
struct output {
	char *buf;
	size_t len, room;
};

static void put(struct output *o, const char *text)
{
	size_t len = strlen(text);

	if (o->len < o->room)
		snprintf(o->buf + o->len, o->room - o->len, "%s", text);
	o->len += len;
}

static void put_relay(struct output *o, const struct clv_relay_link *relay)
{
	bool is_v6 = strchr(relay->host, ':');
	char text[2 * CLV_RELAY_LINK_PIN_LEN + 1];

	put(o, "r=");
	put(o, is_v6 ? "[" : "");
	put(o, relay->host);
	put(o, is_v6 ? "]:" : ":");
	snprintf(text, sizeof(text), "%u", relay->port);
	put(o, text);
	if (relay->has_pin) {
		put(o, "," PIN);
		for (int i = 0; i < CLV_RELAY_LINK_PIN_LEN; i++)
			snprintf(text + 2 * i, 3, "%02x", relay->pin[i]);
		put(o, text);
	}
	if (relay->is_hybrid)
		put(o, "," HYBRID);
}

int clv_ticket_format(const struct clv_ticket *ticket, char *buf, size_t buf_len)
{
	struct output o = { .buf = buf, .room = buf_len };
	char id[CLV_IDENTITY_TEXT_LEN + 1];
	struct clv_ticket check;

	if (!ticket->relays_len || ticket->relays_len > CLV_TICKET_RELAYS_MAX)
		return CLV_ERANGE;
	put(&o, PREFIX);
	put(&o, clv_identity_format(&ticket->id, id));
	for (unsigned i = 0; i < ticket->relays_len; i++) {
		put(&o, i ? "&" : "?");
		put_relay(&o, &ticket->relays[i]);
	}
	if (o.len >= buf_len)
		return CLV_ERANGE;
	return clv_ticket_parse(buf, o.len, &check, NULL) ? CLV_ESYNTAX : 0;
}
