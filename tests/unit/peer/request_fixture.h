/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * request_fixture - the client's requests before a fake relay (fake_relay.h), or before a
 * script: a server that answers everything with one prepared response.
 */
#ifndef CLV_TEST_PEER_REQUEST_FIXTURE_H
#define CLV_TEST_PEER_REQUEST_FIXTURE_H

#include "control/peer/request.h"
#include "tests/unit/proxy/fake_relay.h"

#define CLIENT_ANSWER_NS UINT64_C(1000) /* longest wait for an answer, if the client is stepped */

enum {
	STREAMS = 8, /* that the relay allows the client */
};

/* What the client reported about one request. */
struct outcome {
	struct clv_client_request *rq;
	unsigned results, closed;
	struct clv_client_result result;
	int closed_err;
	bool close_on_result, close_on_datagram;
	int context_err; /* what on_context returns */
};

struct fixture {
	struct pipe pipe;
	struct clv_rand rand;
	struct clv_counters counters;
	struct clv_client_requests *client;
	struct fake_relay relay; /* the real server; not there when the relay is a script */
	bool has_relay;
	struct clv_http *script;
	unsigned script_status;
	const struct clv_http_field *script_fields;
	size_t script_fields_len;
	struct clv_http_stream *script_stream;
	char got[512]; /* datagrams, "context:payload;" */
	uint8_t big[65536];
	size_t big_len;
};

/* Their user is a struct fixture, that of a request a struct outcome. */
extern const struct clv_client_request_ops client_ops;

struct fixture *client_setup(bool quic_datagrams);
/* status: of the response; 0 for none at all.  fields: borrows. */
struct fixture *client_setup_script(unsigned status, const struct clv_http_field *fields,
				    size_t len);
void client_teardown(struct fixture *f);

/* Ask, and run until nothing moves. */
void client_open_tunnel(struct fixture *f, const char *host, struct outcome *t);
void client_bind_tunnel(struct fixture *f, struct outcome *t);

#endif
