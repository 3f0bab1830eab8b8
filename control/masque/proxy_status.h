/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * proxy_status - write and read the Proxy-Status field: why a proxy responded as it did.
 *
 *   "culvert"; error=dns_error; rcode="NXDOMAIN"; next-hop="target.example"; details="..."
 *
 * Spec: RFC 9209 sections 2 and 2.3, RFC 9298 sections 3.1 and 7.
 * Threading: pure functions; any thread.
 */
#ifndef CLV_MASQUE_PROXY_STATUS_H
#define CLV_MASQUE_PROXY_STATUS_H

#include <stddef.h>
#include <stdint.h>

/*
 * X(symbol, token, status, error): what a proxy may report, the status recommended with it (0: the
 * proxy chooses), and what our client makes of it.
 */
#define CLV_PROXY_ERRORS(X)                                                                        \
	X(DNS_TIMEOUT, "dns_timeout", 504, CLV_ENAMETIME)                                          \
	X(DNS_ERROR, "dns_error", 502, CLV_ENONAME)                                                \
	X(DESTINATION_NOT_FOUND, "destination_not_found", 500, CLV_EUNROUTABLE)                    \
	X(DESTINATION_UNAVAILABLE, "destination_unavailable", 503, CLV_EUNROUTABLE)                \
	X(DESTINATION_IP_PROHIBITED, "destination_ip_prohibited", 502, CLV_EDENIED)                \
	X(DESTINATION_IP_UNROUTABLE, "destination_ip_unroutable", 502, CLV_EUNROUTABLE)            \
	X(CONNECTION_REFUSED, "connection_refused", 502, CLV_EHTTP)                                \
	X(CONNECTION_TERMINATED, "connection_terminated", 502, CLV_EHTTP)                          \
	X(CONNECTION_TIMEOUT, "connection_timeout", 504, CLV_ETIMEOUT)                             \
	X(CONNECTION_LIMIT_REACHED, "connection_limit_reached", 503, CLV_EFULL)                    \
	X(HTTP_REQUEST_DENIED, "http_request_denied", 403, CLV_EDENIED)                            \
	X(HTTP_REQUEST_ERROR, "http_request_error", 400, CLV_EHTTP)                                \
	X(HTTP_PROTOCOL_ERROR, "http_protocol_error", 502, CLV_EHTTP)                              \
	X(PROXY_INTERNAL_RESPONSE, "proxy_internal_response", 0, CLV_EHTTP)                        \
	X(PROXY_INTERNAL_ERROR, "proxy_internal_error", 500, CLV_EHTTP)                            \
	X(PROXY_CONFIGURATION_ERROR, "proxy_configuration_error", 500, CLV_EHTTP)                  \
	X(PROXY_LOOP_DETECTED, "proxy_loop_detected", 502, CLV_EHTTP)

enum clv_proxy_error {
	CLV_PROXY_OK = 0, /* no error parameter */
#define X(symbol, token, status, error) CLV_PROXY_##symbol,
	CLV_PROXY_ERRORS(X)
#undef X
		CLV_PROXY_UNKNOWN, /* read only: a token not in the list */
};

enum {
	CLV_PROXY_STATUS_MAX = 768,  /* longest value we write, closing zero included */
	CLV_PROXY_DETAILS_MAX = 128, /* as read, closing zero included */
};

/* One member of the field.  As written: strings borrowed, NULL leaves the parameter out. */
struct clv_proxy_status {
	enum clv_proxy_error error;
	const char *next_hop;
	const char *rcode;    /* of DNS_ERROR */
	unsigned status_code; /* of HTTP_REQUEST_ERROR; 0 leaves it out */
	const char *details;
};

/* The token of an error; "" for OK and UNKNOWN.  Lives as long as the program. */
const char *clv_proxy_error_token(enum clv_proxy_error error);
/* The status recommended with it; 200 for OK, 0 where the proxy chooses. */
unsigned clv_proxy_error_status(enum clv_proxy_error error);
/* What our client reports for it: a CLV_E* number; 0 for OK, CLV_EHTTP for UNKNOWN. */
int clv_proxy_error_to_err(enum clv_proxy_error error);

/*
 * Write the field value, zero-terminated.  proxy_name: names us; any text.
 * Returns its length, or CLV_ERANGE when it does not fit.
 */
int clv_proxy_status_write(const char *proxy_name, const struct clv_proxy_status *ps, char *buf,
			   size_t len);

/* What a client reads of the field. */
struct clv_proxy_status_read {
	enum clv_proxy_error error; /* of the proxy nearest to us that reports one, else OK */
	char next_hop[CLV_PROXY_DETAILS_MAX];
	char details[CLV_PROXY_DETAILS_MAX];
	char rcode[32];
};

/* Read a field value.  Returns 0 and fills *out, or CLV_ESYNTAX leaving it untouched. */
int clv_proxy_status_parse(const char *value, size_t len, struct clv_proxy_status_read *out);

#endif
