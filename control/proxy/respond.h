/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * respond - final responses: refusals with their reason, and the relay's own page.  Nothing more of
 * the request is read after one of them.
 *
 * Spec: RFC 9209 (Proxy-Status).
 * Threading: control.
 */
#ifndef CLV_PROXY_RESPOND_H
#define CLV_PROXY_RESPOND_H

#include "control/masque/proxy_status.h"
#include "control/proxy/state.h"

/* A response without content. */
void clv_respond(struct clv_requests *rs, struct clv_http_stream *s, unsigned status,
		 const struct clv_http_field *fields, size_t len);

/* A refusal with a Proxy-Status field.  status 0: the one recommended for why->error. */
void clv_respond_refusal(struct clv_requests *rs, struct clv_http_stream *s, unsigned status,
			 const struct clv_proxy_status *why);

/* The page that describes the relay; with_body false: its fields alone, for HEAD. */
void clv_respond_page(struct clv_requests *rs, struct clv_http_stream *s, bool with_body);

#endif
