/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/relay_link.h"

#include "datapath/base/addr.h"
#include "datapath/base/ascii.h"
#include "datapath/base/err.h"
#include "datapath/base/why.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SCHEME "culvert:"
#define PIN    "sha256:"

enum {
	SCHEME_LEN = sizeof(SCHEME) - 1,
	PIN_LEN = sizeof(PIN) - 1,
	PIN_TEXT_LEN = PIN_LEN + 2 * CLV_RELAY_LINK_PIN_LEN,
	LABEL_MAX = 63,
	PORT_DIGITS = 5,
};

_Static_assert(sizeof("culvert://[]:65535?pin=&profile=hybrid&token=") + CLV_RELAY_LINK_HOST_MAX +
			       PIN_TEXT_LEN + 3 * CLV_RELAY_LINK_TOKEN_MAX <=
		       CLV_RELAY_LINK_MAX,
	       "every formatted link can be parsed");

/* Whether host is a DNS name or an IPv4 address; the resolver tells them apart. */
static bool is_name(const char *host, size_t len)
{
	size_t label = 0;

	if (len && host[len - 1] == '.')
		len--;
	for (size_t i = 0; i < len; i++) {
		if (host[i] == '.' && label)
			label = 0;
		else if (!clv_is_alnum(host[i]) && host[i] != '-' && host[i] != '_')
			return false;
		else if (++label > LABEL_MAX)
			return false;
	}
	return label > 0;
}

/* Whether a zero-terminated host is valid.  is_v6: it stands in brackets. */
static bool is_host(const char *host, bool is_v6)
{
	uint8_t addr[16];

	return is_v6 ? strchr(host, ':') && clv_addr_parse(host, addr) == 0
		     : is_name(host, strlen(host));
}

/* RFC 6750's b64token. */
static bool is_token(const char *token, size_t len)
{
	size_t i = 0;

	while (i < len && (clv_is_alnum(token[i]) || (token[i] && strchr("-._~+/", token[i]))))
		i++;
	if (!i)
		return false;
	while (i < len && token[i] == '=')
		i++;
	return i == len;
}

/*
 * Undo percent-encoding into out with a closing zero.
 * Returns the length, CLV_ESYNTAX, or CLV_ERANGE when out is too short.
 */
static int decode(const char *in, size_t in_len, char *out, size_t out_len)
{
	size_t n = 0;

	for (size_t i = 0; i < in_len; i++) {
		int c = (unsigned char)in[i];

		if (c == '%') {
			int high = in_len - i > 2 ? clv_hex_value(in[i + 1]) : -1;
			int low = in_len - i > 2 ? clv_hex_value(in[i + 2]) : -1;

			if (high < 0 || low < 0)
				return CLV_ESYNTAX;
			c = high << 4 | low;
			i += 2;
		}
		if (n + 1 >= out_len)
			return CLV_ERANGE;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return (int)n;
}

static int read_port(const char *text, size_t len, uint16_t *port, const char **why)
{
	unsigned value = 0;

	if (!len)
		return clv_fail(why, "the port of the link is empty", CLV_ESYNTAX);
	for (size_t i = 0; i < len; i++) {
		if (!clv_is_digit(text[i]))
			return clv_fail(why, "the port of the link is not a number", CLV_ESYNTAX);
		if (i < PORT_DIGITS)
			value = value * 10 + (unsigned)(text[i] - '0');
	}
	if (len > PORT_DIGITS || !value || value > UINT16_MAX)
		return clv_fail(why, "the port of the link is not 1 to 65535", CLV_ERANGE);
	*port = (uint16_t)value;
	return 0;
}

/* Read HOST[:PORT]. */
static int read_authority(const char *text, size_t len, struct clv_relay_link *link,
			  const char **why)
{
	const char *host = text, *end = text + len, *host_end;
	bool is_v6 = len && *text == '[';
	int host_len;

	if (memchr(text, '@', len))
		return clv_fail(
			why,
			"the link has a user part: a token belongs into the parameter \"token\"",
			CLV_ESYNTAX);
	if (is_v6) {
		host++;
		host_end = memchr(host, ']', (size_t)(end - host));
		if (!host_end)
			return clv_fail(why, "the IPv6 address of the link has no closing bracket",
					CLV_ESYNTAX);
		text = host_end + 1;
	} else {
		host_end = memchr(host, ':', len);
		if (!host_end)
			host_end = end;
		text = host_end;
	}
	host_len = decode(host, (size_t)(host_end - host), link->host, sizeof(link->host));
	if (host_len == CLV_ERANGE)
		return clv_fail(why, "the host of the link is too long", CLV_ERANGE);
	if (host_len < 0 || memchr(link->host, 0, (size_t)host_len) || !is_host(link->host, is_v6))
		return clv_fail(
			why,
			"the host of the link is neither a name, an IPv4 address nor an IPv6 "
			"address in brackets",
			CLV_ESYNTAX);
	if (text == end)
		return 0;
	if (*text != ':')
		return clv_fail(why, "only a port may follow the bracket of the link", CLV_ESYNTAX);
	return read_port(text + 1, (size_t)(end - text - 1), &link->port, why);
}

static int read_pin(const char *value, size_t len, struct clv_relay_link *link, const char **why)
{
	static const char form[] = "the pin of the link is not \"sha256:\" and 64 hexadecimal "
				   "digits";
	char text[PIN_TEXT_LEN + 1];

	if (link->has_pin)
		return clv_fail(why, "the link has two pins", CLV_ESYNTAX);
	if (decode(value, len, text, sizeof(text)) != PIN_TEXT_LEN ||
	    memcmp(text, PIN, PIN_LEN) != 0 ||
	    clv_hex_decode(text + PIN_LEN, clv_hex_value, link->pin, sizeof(link->pin)))
		return clv_fail(why, form, CLV_ESYNTAX);
	link->has_pin = true;
	return 0;
}

static int read_profile(const char *text, size_t len, struct clv_relay_link *link, const char **why)
{
	char name[sizeof("hybrid")];
	int name_len = decode(text, len, name, sizeof(name));

	if (link->has_profile)
		return clv_fail(why, "the link has two profiles", CLV_ESYNTAX);
	link->has_profile = true;
	link->is_hybrid = name_len > 0 && strcmp(name, "hybrid") == 0;
	if (!link->is_hybrid && (name_len <= 0 || strcmp(name, "pqc") != 0))
		return clv_fail(why, "the profile of the link is neither pqc nor hybrid",
				CLV_ESYNTAX);
	return 0;
}

static int read_token(const char *value, size_t len, struct clv_relay_link *link, const char **why)
{
	int n;

	if (*link->token)
		return clv_fail(why, "the link has two tokens", CLV_ESYNTAX);
	n = decode(value, len, link->token, sizeof(link->token));
	if (n == CLV_ERANGE)
		return clv_fail(why, "the token of the link is too long", CLV_ERANGE);
	if (n < 0 || !is_token(link->token, (size_t)n))
		return clv_fail(why, "the token of the link has an invalid character or is empty",
				CLV_ESYNTAX);
	return 0;
}

/* Read KEY=VALUE pairs between '&'. */
static int read_query(const char *text, size_t len, struct clv_relay_link *link, const char **why)
{
	const char *end = text + len;
	int err = 0;

	while (!err && text < end) {
		const char *and = memchr(text, '&', (size_t)(end - text));
		const char *pair_end = and? and : end;
		const char *equals = memchr(text, '=', (size_t)(pair_end - text));
		const char *value = equals ? equals + 1 : pair_end;
		char key[8];
		int key_len;

		/* A key too long for the buffer is an unknown one. */
		key_len = decode(text, (size_t)((equals ? equals : pair_end) - text), key,
				 sizeof(key));
		if (key_len == CLV_ESYNTAX)
			return clv_fail(why, "the link has a broken percent-encoding", CLV_ESYNTAX);
		if (key_len == 3 && memcmp(key, "pin", 3) == 0)
			err = read_pin(value, (size_t)(pair_end - value), link, why);
		else if (key_len == 7 && memcmp(key, "profile", 7) == 0)
			err = read_profile(value, (size_t)(pair_end - value), link, why);
		else if (key_len == 5 && memcmp(key, "token", 5) == 0)
			err = read_token(value, (size_t)(pair_end - value), link, why);
		text = pair_end + (and? 1 : 0);
	}
	return err;
}

bool clv_relay_link_is(const char *text)
{
	return strncasecmp(text, SCHEME, SCHEME_LEN) == 0;
}

static int read_link(const char *text, size_t len, struct clv_relay_link *link, const char **why)
{
	const char *end = text + len, *at, *authority_end;
	int err;

	if (len < SCHEME_LEN + 2 || strncasecmp(text, SCHEME "//", SCHEME_LEN + 2) != 0)
		return clv_fail(why, "a link begins with \"culvert://\"", CLV_ESYNTAX);
	if (len > CLV_RELAY_LINK_MAX)
		return clv_fail(why, "the link is too long", CLV_ERANGE);
	for (at = text; at < end; at++)
		if (*at <= ' ' || *at > '~')
			return clv_fail(
				why,
				"the link has a blank or a character that is not printable ASCII",
				CLV_ESYNTAX);
	if (memchr(text, '#', len))
		return clv_fail(why, "the link has a fragment (#)", CLV_ESYNTAX);

	text += SCHEME_LEN + 2;
	for (authority_end = text; authority_end < end; authority_end++)
		if (*authority_end == '/' || *authority_end == '?')
			break;
	err = read_authority(text, (size_t)(authority_end - text), link, why);
	if (err)
		return err;
	at = authority_end;
	if (at < end && *at == '/')
		at++;
	if (at < end && *at != '?')
		return clv_fail(why, "the link has a path", CLV_ESYNTAX);
	return at < end ? read_query(at + 1, (size_t)(end - at - 1), link, why) : 0;
}

int clv_relay_link_parse(const char *text, size_t len, struct clv_relay_link *out, const char **why)
{
	struct clv_relay_link link = { .port = CLV_RELAY_LINK_PORT };
	int err = read_link(text, len, &link, why);

	if (!err)
		*out = link;
	clv_relay_link_wipe(&link);
	return err;
}

/* Where a link is written; len also counts what did not fit. */
struct output {
	char *buf;
	size_t len, room;
};

static void put(struct output *o, const char *text)
{
	for (; *text; text++, o->len++)
		if (o->len < o->room)
			o->buf[o->len] = *text;
}

/* Percent-encode all but unreserved characters; many programs take '+' for a blank. */
static void put_encoded(struct output *o, const char *text)
{
	for (; *text; text++) {
		char encoded[4] = { *text };

		if (!clv_is_alnum(*text) && !strchr("-._~", *text))
			snprintf(encoded, sizeof(encoded), "%%%02X", (unsigned char)*text);
		put(o, encoded);
	}
}

int clv_relay_link_format(const struct clv_relay_link *link, bool with_token, char *buf,
			  size_t buf_len)
{
	struct output o = { .buf = buf, .room = buf_len };
	bool is_v6 = strchr(link->host, ':');
	bool has_token = with_token && *link->token;
	char text[2 * CLV_RELAY_LINK_PIN_LEN + 1];

	if (!is_host(link->host, is_v6) || !link->port ||
	    (*link->token && !is_token(link->token, strlen(link->token))))
		return CLV_ESYNTAX;
	put(&o, SCHEME "//");
	put(&o, is_v6 ? "[" : "");
	put(&o, link->host);
	put(&o, is_v6 ? "]:" : ":");
	snprintf(text, sizeof(text), "%u", link->port);
	put(&o, text);
	if (link->has_pin) {
		put(&o, "?pin=" PIN);
		for (int i = 0; i < CLV_RELAY_LINK_PIN_LEN; i++)
			snprintf(text + 2 * i, 3, "%02x", link->pin[i]);
		put(&o, text);
	}
	if (link->has_profile) {
		put(&o, link->has_pin ? "&profile=" : "?profile=");
		put(&o, link->is_hybrid ? "hybrid" : "pqc");
	}
	if (has_token) {
		put(&o, link->has_pin || link->has_profile ? "&token=" : "?token=");
		put_encoded(&o, link->token);
	}
	if (o.len >= buf_len)
		return CLV_ERANGE;
	buf[o.len] = '\0';
	return 0;
}

void clv_relay_link_wipe(struct clv_relay_link *link)
{
	explicit_bzero(link, sizeof(*link));
}
