/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/masque/template.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "datapath/base/addr.h"
#include "datapath/base/ascii.h"
#include "datapath/base/err.h"
#include "datapath/base/why.h"

enum {
	NAME_MAX_BYTES = 253, /* RFC 1035 section 2.3.4, without the closing dot */
	LABEL_MAX_BYTES = 63,
};

static const char prefix[] = "/.well-known/masque/udp/";

/* Undo percent-encoding into a zero-terminated buffer.  Returns the length or CLV_ESYNTAX. */
static int percent_decode(const char *in, size_t in_len, char *out, size_t out_len)
{
	size_t n = 0;

	for (size_t i = 0; i < in_len; i++) {
		int c = (unsigned char)in[i];

		if (c == '%') {
			int high = i + 2 < in_len ? clv_hex_value(in[i + 1]) : -1;
			int low = i + 2 < in_len ? clv_hex_value(in[i + 2]) : -1;

			if (high < 0 || low < 0)
				return CLV_ESYNTAX;
			c = high * 16 + low;
			i += 2;
		}
		/* Nothing legal in a host or a port is outside of visible ASCII. */
		if (c <= 0x20 || c >= 0x7f || n + 1 >= out_len)
			return CLV_ESYNTAX;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return (int)n;
}

/*
 * Whether a resolver might read the last label as a number ("127.1", "0x7f000001", "2130706433"):
 * such a host is an IPv4 address in a form RFC 3986 section 3.2.2 does not know.
 */
static bool ends_in_number(const char *host, size_t len)
{
	const char *label;

	if (len > 0 && host[len - 1] == '.')
		len--;
	for (label = host + len; label > host && label[-1] != '.'; label--)
		;
	len = (size_t)(host + len - label);
	if (len >= 2 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X'))
		return strspn(label + 2, "0123456789abcdefABCDEF") >= len - 2;
	return len > 0 && strspn(label, "0123456789") >= len;
}

static bool is_dns_name(const char *host, size_t len)
{
	size_t label = 0;

	if (len > 0 && host[len - 1] == '.')
		len--;
	if (len == 0 || len > NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (host[i] == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else if (clv_is_alnum(host[i]) || host[i] == '-' || host[i] == '_') {
			if (++label > LABEL_MAX_BYTES)
				return false;
		} else {
			return false;
		}
	}
	return label > 0;
}

/* Classify a decoded host.  Fills kind, addr and host of *out. */
static int read_host(const char *host, size_t len, struct clv_target *out, const char **why)
{
	if (len == 0)
		return clv_fail(why, "empty target host", CLV_ESYNTAX);
	if (len >= sizeof(out->host))
		return clv_fail(why, "target host too long", CLV_ESYNTAX);
	memcpy(out->host, host, len + 1);
	if (strchr(host, '%'))
		return clv_fail(why, "zone identifiers are not supported", CLV_ESYNTAX);
	if (strchr(host, ':')) {
		if (clv_addr_parse(host, out->addr) < 0)
			return clv_fail(why, "target host is not an IPv6 address", CLV_ESYNTAX);
		if (clv_addr_is_v4(out->addr))
			return clv_fail(why, "IPv4-mapped IPv6 address", CLV_EDENIED);
		out->kind = CLV_TARGET_ADDRESS;
		return 0;
	}
	if (clv_addr_parse(host, out->addr) == 0) {
		out->kind = CLV_TARGET_ADDRESS;
		return 0;
	}
	if (!is_dns_name(host, len) || ends_in_number(host, len))
		return clv_fail(why, "target host is neither a name nor an address", CLV_ESYNTAX);
	out->kind = CLV_TARGET_NAME;
	return 0;
}

static int read_port(const char *text, size_t len, uint16_t *out, const char **why)
{
	unsigned long port = 0;

	if (len == 0)
		return clv_fail(why, "empty target port", CLV_ESYNTAX);
	for (size_t i = 0; i < len; i++) {
		if (!clv_is_digit(text[i]) || len > 5)
			return clv_fail(why, "target port is not a number from 1 to 65535",
					CLV_ESYNTAX);
		port = port * 10 + (unsigned long)(text[i] - '0');
	}
	if (port < 1 || port > UINT16_MAX)
		return clv_fail(why, "target port is not a number from 1 to 65535", CLV_ESYNTAX);
	*out = (uint16_t)port;
	return 0;
}

/* Both variables still percent-encoded. */
static int read_variables(const char *host, size_t host_len, const char *port, size_t port_len,
			  struct clv_target *out, const char **why)
{
	struct clv_target target = { 0 };
	char host_text[CLV_TARGET_HOST_MAX], port_text[16];
	int host_n, port_n, err;

	/* RFC 9298 section 3: colons of an IPv6 literal are percent-encoded. */
	if (memchr(host, ':', host_len))
		return clv_fail(why, "colon not percent-encoded", CLV_ESYNTAX);
	host_n = percent_decode(host, host_len, host_text, sizeof(host_text));
	port_n = percent_decode(port, port_len, port_text, sizeof(port_text));
	if (host_n < 0)
		return clv_fail(why, "target host has bytes a host cannot have", CLV_ESYNTAX);
	if (port_n < 0)
		return clv_fail(why, "target port is not a number from 1 to 65535", CLV_ESYNTAX);
	if (strcmp(host_text, "*") == 0 && strcmp(port_text, "*") == 0) {
		*out = (struct clv_target){ .kind = CLV_TARGET_ANY };
		return 0;
	}
	err = read_host(host_text, (size_t)host_n, &target, why);
	if (err < 0)
		return err;
	err = read_port(port_text, (size_t)port_n, &target.port, why);
	if (err < 0)
		return err;
	if (target.kind == CLV_TARGET_NAME)
		memset(target.addr, 0, sizeof(target.addr));
	*out = target;
	return 0;
}

int clv_target_parse(const char *path, size_t path_len, struct clv_target *out, const char **why)
{
	const size_t prefix_len = sizeof(prefix) - 1;
	const char *end = path + path_len;
	const char *host, *port, *tail;

	if (path_len < prefix_len || memcmp(path, prefix, prefix_len) != 0)
		return CLV_ENONAME;
	host = path + prefix_len;
	port = memchr(host, '/', (size_t)(end - host));
	if (!port)
		return CLV_ENONAME;
	port++;
	tail = memchr(port, '/', (size_t)(end - port));
	if (!tail || tail + 1 != end)
		return CLV_ENONAME;
	return read_variables(host, (size_t)(port - 1 - host), port, (size_t)(tail - port), out,
			      why);
}

/* ---- the client's side: URI templates ---- */

struct expansion {
	const char *host;
	char port[8];
	char out[CLV_TEMPLATE_URI_MAX];
	size_t len;
	bool full;
	bool has_host, has_port;
};

static void put(struct expansion *x, char c)
{
	if (x->len + 1 >= sizeof(x->out)) {
		x->full = true;
		return;
	}
	x->out[x->len++] = c;
	x->out[x->len] = '\0';
}

static void put_encoded(struct expansion *x, const char *text)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (clv_is_alnum(*text) || strchr("-._~", c)) {
			put(x, *text);
		} else {
			put(x, '%');
			put(x, hex[c >> 4]);
			put(x, hex[c & 15]);
		}
	}
}

static bool name_is(const char *name, size_t len, const char *text)
{
	return strlen(text) == len && memcmp(name, text, len) == 0;
}

static bool is_variable_name(const char *name, size_t len)
{
	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!clv_is_alnum(name[i]) && name[i] != '_' && name[i] != '.')
			return false;
	}
	return true;
}

/* One variable of an expression; first: whether none was written before it. */
static void put_variable(struct expansion *x, char operator, bool first, const char *name,
			 size_t len, const char *value)
{
	if (operator== '?')
		put(x, first ? '?' : '&');
	else if (operator== '&')
		put(x, '&');
	else if (!first)
		put(x, ',');
	if (operator!= '\0') {
		for (size_t i = 0; i < len; i++)
			put(x, name[i]);
		put(x, '=');
	}
	put_encoded(x, value);
}

/* The text between the braces. */
static int expand_expression(struct expansion *x, const char *text, size_t len, const char **why)
{
	char operator= '\0';
	bool first = true;

	if (len > 0 && (*text == '?' || *text == '&')) {
		operator= * text++;
		len--;
	} else if (len > 0 && strchr("+#./;", *text)) {
		return clv_fail(why, "template uses an operator that RFC 9298 forbids",
				CLV_ESYNTAX);
	}
	for (;;) {
		const char *comma = memchr(text, ',', len);
		size_t name_len = comma ? (size_t)(comma - text) : len;
		const char *value = NULL;

		if (!is_variable_name(text, name_len))
			return clv_fail(why,
					"template has a bad variable name or a level 4 modifier",
					CLV_ESYNTAX);
		if (name_is(text, name_len, "target_host")) {
			value = x->host;
			x->has_host = true;
		} else if (name_is(text, name_len, "target_port")) {
			value = x->port;
			x->has_port = true;
		}
		/* RFC 6570 section 2.3: variables without a value leave nothing behind. */
		if (value) {
			put_variable(x, operator, first, text, name_len, value);
			first = false;
		}
		if (!comma)
			return 0;
		text = comma + 1;
		len -= name_len + 1;
	}
}

/* Expand all of the path and query. */
static int expand_path(struct expansion *x, const char *text, const char **why)
{
	while (*text) {
		const char *close;
		int err;

		if (*text != '{') {
			if (*text < 0x21 || *text > 0x7e || strchr("\"'<>\\^`|}", *text))
				return clv_fail(why, "template has a character a URI cannot have",
						CLV_ESYNTAX);
			if (*text == '#')
				return clv_fail(why, "template has a fragment", CLV_ESYNTAX);
			put(x, *text++);
			continue;
		}
		close = strchr(text, '}');
		if (!close)
			return clv_fail(why, "template has an open brace", CLV_ESYNTAX);
		err = expand_expression(x, text + 1, (size_t)(close - text - 1), why);
		if (err < 0)
			return err;
		text = close + 1;
	}
	if (!x->has_host || !x->has_port)
		return clv_fail(why, "template lacks target_host or target_port", CLV_ESYNTAX);
	return x->full ? clv_fail(why, "expanded template too long", CLV_ERANGE) : 0;
}

static bool is_authority(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!clv_is_alnum(text[i]) && !strchr("-._~:[]", text[i]))
			return false;
	}
	return len > 0;
}

int clv_template_expand(const char *uri_template, const char *host, uint16_t port,
			struct clv_template_uri *out, const char **why)
{
	static const char scheme[] = "https://";
	struct expansion x = { .host = host ? host : "*" };
	struct clv_target target;
	const char *authority, *path;
	size_t authority_len;
	int err;

	if (!host != !port)
		return clv_fail(why, "port 0", CLV_ERANGE);
	if (host && (strlen(host) >= sizeof(target.host) ||
		     read_host(host, strlen(host), &target, why) == CLV_ESYNTAX))
		return clv_fail(why, "host is neither a name nor an address", CLV_ERANGE);
	if (strncasecmp(uri_template, scheme, sizeof(scheme) - 1) != 0)
		return clv_fail(why, "template does not begin with https://", CLV_ESYNTAX);
	authority = uri_template + sizeof(scheme) - 1;
	authority_len = strcspn(authority, "/?#{");
	path = authority + authority_len;
	if (!is_authority(authority, authority_len) || authority_len >= sizeof(out->authority))
		return clv_fail(why, "template has no proper authority", CLV_ESYNTAX);
	if (*path != '/')
		return clv_fail(why, "template's path does not begin with a slash", CLV_ESYNTAX);

	if (host)
		snprintf(x.port, sizeof(x.port), "%u", port);
	else
		strcpy(x.port, "*");
	err = expand_path(&x, path, why);
	if (err < 0)
		return err;
	strcpy(out->scheme, "https");
	memcpy(out->authority, authority, authority_len);
	out->authority[authority_len] = '\0';
	memcpy(out->path, x.out, x.len + 1);
	return 0;
}
