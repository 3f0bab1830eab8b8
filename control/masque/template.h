/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * template - the target in a CONNECT-UDP request: read from :path, or written by a URI template.
 *
 *   /.well-known/masque/udp/{target_host}/{target_port}/
 *
 * Spec: RFC 9298 sections 2 and 3, RFC 6570 up to level 3, RFC 3986 section 3.2.2.
 * Threading: pure functions; any thread.
 */
#ifndef CLV_MASQUE_TEMPLATE_H
#define CLV_MASQUE_TEMPLATE_H

#include <stddef.h>
#include <stdint.h>

enum {
	CLV_TARGET_HOST_MAX = 256, /* a name of 255 bytes at most, and the closing zero */
	CLV_TEMPLATE_URI_MAX = 2048,
};

#define CLV_TEMPLATE_DEFAULT_PATH "/.well-known/masque/udp/{target_host}/{target_port}/"

enum clv_target_kind {
	CLV_TARGET_NAME = 1, /* host is a reg-name to be resolved */
	CLV_TARGET_ADDRESS,  /* addr holds the literal */
	CLV_TARGET_ANY,	     /* host and port are "*": a bound tunnel without a target */
};

struct clv_target {
	enum clv_target_kind kind;
	uint16_t port;			/* 1 to 65535; 0 for ANY */
	uint8_t addr[16];		/* ADDRESS only */
	char host[CLV_TARGET_HOST_MAX]; /* decoded text: the name or the literal; "" for ANY */
};

/*
 * Read a :path made by the default template.  path: borrows, not zero-terminated.
 * Returns 0 and fills *out, or, leaving *out untouched:
 *   CLV_ENONAME  not a path of this template
 *   CLV_ESYNTAX  the template's path with a bad host or port; *why names the fault
 *   CLV_EDENIED  an IPv4 address written as IPv6, ::ffff:a.b.c.d; *why names it
 * why: lends, lives as long as the program; may be NULL.
 */
int clv_target_parse(const char *path, size_t path_len, struct clv_target *out, const char **why);

/* The parts of a URI made from a template; every one is zero-terminated. */
struct clv_template_uri {
	char scheme[16];
	char authority[CLV_TARGET_HOST_MAX + 8];
	char path[CLV_TEMPLATE_URI_MAX]; /* with the query */
};

/*
 * Expand an absolute URI template for one target.  host: a name or a literal, without brackets;
 * NULL, with port 0: "*" for both, a bound tunnel without a target.
 * Returns 0 and fills *out, or, leaving *out untouched:
 *   CLV_ESYNTAX  the template breaks a rule of RFC 9298 section 2; *why names it
 *   CLV_ERANGE   port 0, an empty or overlong host, or the result is too long
 * why: as above.
 */
int clv_template_expand(const char *uri_template, const char *host, uint16_t port,
			struct clv_template_uri *out, const char **why);

#endif
