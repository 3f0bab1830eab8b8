/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * request_fixture - a client of a fake relay (fake_relay.h), and what it sees of the answer to its
 * last request.
 */
#ifndef CLV_TEST_PROXY_REQUEST_FIXTURE_H
#define CLV_TEST_PROXY_REQUEST_FIXTURE_H

#include "control/masque/proxy_status.h"
#include "tests/unit/proxy/fake_relay.h"

#define UDP "/.well-known/masque/udp/"

/* Of the last request; other streams leave no trace here. */
struct answer {
	unsigned status;
	char proxy_status[CLV_PROXY_STATUS_MAX];
	char capsule_protocol[16], allow[32], content_type[64];
	char bind[16], public_address[128];
	char authenticate[128]; /* the challenges, each with "; " behind it */
	uint8_t body[16384];
	size_t body_len;
	bool ended, closed;
	uint64_t reset_code, stop_code;
};

struct fixture {
	struct pipe pipe;
	struct clv_rand rand;
	struct clv_http *client;
	struct fake_relay relay;
	struct clv_http_stream *stream; /* of the last request; NULL when it is closed */
	struct answer answer;
};

/* allow: prefix that policy lets through; NULL for none.  quic_datagrams: the relay has frames. */
struct fixture *request_setup_with(bool quic_datagrams, const char *allow);
struct fixture *request_setup(void);
void request_teardown(struct fixture *f);

#define FIELDS 16

struct fields {
	struct clv_http_field f[FIELDS];
	size_t len;
};

void fields_add(struct fields *fs, const char *name, const char *value);
/* Those of a CONNECT-UDP request. */
struct fields connect_udp(const char *path);

/* Each runs until nothing moves. */
void request_send(struct fixture *f, const struct fields *fs);
void request_ask(struct fixture *f, const char *path); /* connect_udp, sent */
void request_body(struct fixture *f, const void *data, size_t len, bool fin);

#endif
