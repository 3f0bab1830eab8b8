/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/relay_link.h"
#include "control/library/culvert_state.h"
#include "control/masque/template.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAME(name) _Static_assert((int)CULVERT_##name == (int)CLV_##name, #name)
SAME(EPROTO);
SAME(ERANGE);
SAME(ESYNTAX);
SAME(EFULL);
SAME(EDENIED);
SAME(EUNROUTABLE);
SAME(ENONAME);
SAME(ENAMETIME);
SAME(ETLS);
SAME(EQUIC);
SAME(EHTTP);
SAME(EUNTRUSTED);
SAME(ECLASSICAL);
SAME(ECLOSED);
SAME(ETIMEOUT);
SAME(EUNAUTHORIZED);
SAME(ENOPEER);
SAME(EIDENTITY);
SAME(EREFUSED);
_Static_assert(CULVERT_ADDRESS_TEXT == (int)CLV_ADDR_TEXT_MAX, "room for an address");

const char *culvert_strerror(int error)
{
	return clv_strerror(error);
}

const char *culvert_version(void)
{
	return CLV_VERSION;
}

/* ---- addresses ---- */

void text_to_address(const struct clv_endpoint *ep, union culvert_address *out)
{
	struct sockaddr_storage sa;
	socklen_t len = clv_endpoint_to_sockaddr(ep, false, &sa);

	memset(out, 0, sizeof(*out));
	memcpy(out, &sa, len);
}

int culvert_address_parse(const char *text, union culvert_address *out)
{
	struct clv_endpoint ep;
	int err = clv_endpoint_parse(text, &ep);

	if (!err)
		text_to_address(&ep, out);
	return err;
}

const char *culvert_address_format(const union culvert_address *address,
				   char buf[CULVERT_ADDRESS_TEXT])
{
	struct clv_endpoint ep;

	if (clv_endpoint_from_sockaddr(&address->sa, &ep)) {
		strcpy(buf, "none");
		return buf;
	}
	return clv_endpoint_format(&ep, buf, CULVERT_ADDRESS_TEXT);
}

/* ---- hosts and pins ---- */

int culvert_host_parse(const char *text, char host[CULVERT_HOST_TEXT], uint16_t *port)
{
	const char *colon = strrchr(text, ':'), *begin = text, *end = colon;
	unsigned long number;
	char *rest;

	if (!colon)
		return CULVERT_ESYNTAX;
	if (*text == '[') {
		begin = text + 1;
		end = colon - 1;
		if (*end != ']')
			return CULVERT_ESYNTAX;
	} else if (memchr(text, ':', (size_t)(colon - text))) {
		return CULVERT_ESYNTAX; /* an IPv6 address needs brackets */
	}
	if (end <= begin || end - begin >= CULVERT_HOST_TEXT)
		return CULVERT_ESYNTAX;
	number = strtoul(colon + 1, &rest, 10);
	if (colon[1] < '0' || colon[1] > '9' || *rest)
		return CULVERT_ESYNTAX;
	if (number > UINT16_MAX)
		return CULVERT_ERANGE;
	memcpy(host, begin, (size_t)(end - begin));
	host[end - begin] = '\0';
	*port = (uint16_t)number;
	return 0;
}

int culvert_link_parse(const char *link, char host[CULVERT_HOST_TEXT], uint16_t *port,
		       bool *has_pin)
{
	struct clv_relay_link parsed;
	const char *why;
	int err = clv_relay_link_parse(link, strlen(link), &parsed, &why);

	_Static_assert(CULVERT_HOST_TEXT >= sizeof(parsed.host), "room for a host");
	if (err)
		return err;
	strcpy(host, parsed.host);
	*port = parsed.port;
	*has_pin = parsed.has_pin;
	clv_relay_link_wipe(&parsed);
	return 0;
}

int culvert_pin_parse(const char *text, uint8_t sha256[CULVERT_PIN_LEN])
{
	static const char prefix[] = "sha256:";

	if (!strncmp(text, prefix, sizeof(prefix) - 1))
		text += sizeof(prefix) - 1;
	if (strlen(text) != 2 * CULVERT_PIN_LEN ||
	    strspn(text, "0123456789abcdefABCDEF") != 2 * CULVERT_PIN_LEN)
		return CULVERT_ESYNTAX;
	for (int i = 0; i < CULVERT_PIN_LEN; i++)
		sscanf(text + 2 * i, "%2hhx", &sha256[i]);
	return 0;
}

/* ---- reasons ---- */

int text_set_why(struct culvert *c, int error, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(c->why, sizeof(c->why), fmt, args);
	va_end(args);
	return error;
}

void text_clear_why(struct culvert *c)
{
	c->why[0] = '\0';
}

const char *culvert_why(const struct culvert *c)
{
	return c->why;
}

/* ---- options, with the reason when they are malformed ---- */

int text_parse_host(struct culvert *c, const char *what, const char *text, struct host_port *out)
{
	int err = text ? culvert_host_parse(text, out->host, &out->port) : CULVERT_ESYNTAX;

	if (!err)
		return 0;
	return text_set_why(c, CULVERT_ESYNTAX, "%s is not HOST:PORT, IPv6 in brackets: %s", what,
			    text ? text : "nothing given");
}

int text_parse_target(struct culvert *c, const char *text, struct host_port *out)
{
	struct clv_template_uri uri;
	const char *why;
	int err = text_parse_host(c, "target", text, out);

	if (err)
		return err;
	if (!out->port)
		return text_set_why(c, CULVERT_ESYNTAX, "target: port 0: %s", text);
	if (clv_template_expand("https://relay.invalid" CLV_TEMPLATE_DEFAULT_PATH, out->host,
				out->port, &uri, &why))
		return text_set_why(c, CULVERT_ESYNTAX, "target: %s: %s", why, text);
	return 0;
}

/* ---- tickets ---- */

int culvert_ticket_read(const char *text, unsigned index, char id[CULVERT_ID_TEXT],
			char link[CULVERT_TICKET_TEXT])
{
	struct clv_ticket ticket;
	const char *why;

	if (clv_ticket_parse(text, strlen(text), &ticket, &why))
		return CULVERT_ESYNTAX;
	clv_identity_format(&ticket.id, id);
	if (index >= ticket.relays_len)
		return CULVERT_ERANGE;
	return clv_relay_link_format(&ticket.relays[index], false, link, CULVERT_TICKET_TEXT);
}
