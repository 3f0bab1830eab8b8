/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bound tunnels at the relay's request layer: what is asked, what is answered, and what worker and
 * kernel tables are told, in which order.  The story, word by word:
 *
 *   +tunnel -tunnel       opened at its worker, closed        +port4 +port4* -port4  binding, open for all
 *   +ctx4=ADDR +ctx1~=ADDR +ctx2*   a context: open, ours and not acknowledged, uncompressed
 *   -ctx4   +map ADDR=4 -map ADDR   +remote=ADDR -remote=ADDR   send4
 *   ADDR! is a hairpin, ADDR? has no way now
 */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "fake_relay.h"

#define UDP    "/.well-known/masque/udp/"
#define ANY    UDP "%2A/%2A/"
#define G4     "8.8.8.8:53"
#define G4_HEX "08080808 0035"
#define H4     "9.9.9.9:53"
#define H4_HEX "09090909 0035"
#define G6     "[2606:4700::1]:53"
#define G6_HEX "26064700000000000000000000000001 0035"
#define PRIV   "0a000001 0035" /* 10.0.0.1 */
#define PORTS  "+port4 +port6 "

struct answer {
	unsigned status;
	char bind[16], public_address[128], capsule_protocol[16];
	char body[4096]; /* hex */
	bool ended;
	uint64_t reset_code;
};

struct fixture {
	struct pipe pipe;
	struct clv_rand rand;
	struct clv_h3 *client;
	struct fake_relay relay;
	struct clv_h3_stream *stream;
	struct answer answer;
};

static void copy_field(const struct clv_h3_head *head, const char *name, char *buf, size_t len)
{
	for (size_t i = 0; i < head->len; i++)
		if (strcmp(head->fields[i].name, name) == 0)
			snprintf(buf, len, "%s", head->fields[i].value);
}

static void on_settings(void *user, const struct clv_h3_settings *settings)
{
	(void)user;
	(void)settings;
}

static void on_headers(void *user, struct clv_h3_stream *s, const struct clv_h3_head *head)
{
	struct answer *a = &((struct fixture *)user)->answer;

	(void)s;
	a->status = head->status;
	copy_field(head, "connect-udp-bind", a->bind, sizeof(a->bind));
	copy_field(head, "proxy-public-address", a->public_address, sizeof(a->public_address));
	copy_field(head, "capsule-protocol", a->capsule_protocol, sizeof(a->capsule_protocol));
}

static void on_body(void *user, struct clv_h3_stream *s, const uint8_t *data, size_t len)
{
	struct fixture *f = user;
	char *at = f->answer.body + strlen(f->answer.body);

	if (s != f->stream)
		return;
	for (size_t i = 0; i < len; i++)
		at += sprintf(at, "%02x", data[i]);
}

static void on_end(void *user, struct clv_h3_stream *s)
{
	(void)s;
	((struct fixture *)user)->answer.ended = true;
}

static void on_reset(void *user, struct clv_h3_stream *s, uint64_t code)
{
	struct fixture *f = user;

	if (s == f->stream)
		f->answer.reset_code = code;
}

static void on_closed(void *user, struct clv_h3_stream *s, uint64_t code)
{
	(void)user;
	(void)s;
	(void)code;
}

static const struct clv_h3_event_ops event_ops = {
	.on_settings = on_settings,
	.on_headers = on_headers,
	.on_body = on_body,
	.on_end = on_end,
	.on_reset = on_reset,
	.on_stop = on_reset,
	.on_closed = on_closed,
};

static struct fixture *setup(void)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct clv_h3_params params = {
		.role = CLV_H3_CLIENT,
		.transport_ops = &pipe_ops,
		.transport = &f->pipe.end[PIPE_CLIENT],
		.event_ops = &event_ops,
		.user = f,
		.streams_max = FAKE_STREAMS,
		.rand = &f->rand,
	};

	assert_non_null(f);
	pipe_init(&f->pipe, 11);
	clv_rand_init(&f->rand, 5);
	fake_relay_init(&f->relay, &f->pipe, true, NULL);
	assert_int_equal(clv_h3_new(&params, &f->client), 0);
	f->pipe.end[PIPE_CLIENT].h3 = f->client;
	assert_int_equal(clv_h3_start(f->client), 0);
	pipe_run(&f->pipe);
	return f;
}

static void teardown(struct fixture *f)
{
	fake_relay_fini(&f->relay);
	clv_h3_free(f->client);
	pipe_fini(&f->pipe);
	free(f);
}

/* values: of connect-udp-bind, one field each; NULL-terminated. */
static void ask_with(struct fixture *f, const char *path, const char *const *values)
{
	struct clv_h3_field fields[12];
	size_t n = 0;
#define FIELD(name_, value_) fields[n++] = (struct clv_h3_field){ name_, value_, strlen(value_) }
	FIELD(":method", "CONNECT");
	FIELD(":protocol", "connect-udp");
	FIELD(":scheme", "https");
	FIELD(":authority", "relay.example");
	FIELD(":path", path);
	FIELD("capsule-protocol", "?1");
	for (; values && *values; values++)
		FIELD("connect-udp-bind", *values);
#undef FIELD
	f->answer = (struct answer){ 0 };
	assert_int_equal(clv_h3_request(f->client, fields, n, &f->stream), 0);
	pipe_run(&f->pipe);
}

static void ask(struct fixture *f, const char *path)
{
	ask_with(f, path, (const char *const[]){ "?1", NULL });
}

static void say(struct fixture *f, const char *hex)
{
	uint8_t wire[256];
	size_t n = 0;
	unsigned byte;

	for (; *hex; hex++) {
		if (*hex == ' ')
			continue;
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		wire[n++] = (uint8_t)byte;
		hex++;
	}
	assert_int_equal(clv_h3_send(f->client, f->stream, wire, n, NULL, 0, false), 0);
	pipe_run(&f->pipe);
}

static void event(struct fixture *f, unsigned tunnel, enum clv_event type, const char *wire,
		  uint64_t id)
{
	fake_relay_event(&f->relay, tunnel, type, wire, id);
	pipe_run(&f->pipe);
}

/* Since the last look: the capsules that came (hex, no blanks) and the story. */
#define EXPECT(f, hex, story_)                                                                     \
	do {                                                                                       \
		assert_string_equal((f)->answer.body, hex);                                        \
		assert_string_equal((f)->relay.story, story_);                                     \
		(f)->answer.body[0] = (f)->relay.story[0] = '\0';                                  \
	} while (0)

static struct fixture *setup_bound(void)
{
	struct fixture *f = setup();

	ask(f, ANY);
	assert_int_equal(f->answer.status, 200);
	EXPECT(f, "", "+tunnel " PORTS);
	return f;
}

static struct fixture *setup_uncompressed(void)
{
	struct fixture *f = setup_bound();

	say(f, "11020200");
	EXPECT(f, "120102", "+ctx2* +port4* +port6* ");
	return f;
}

/* ---- request and answer ---- */

static void test_answer(void **state)
{
	struct fixture *f = setup();

	(void)state;
	ask(f, ANY);
	assert_int_equal(f->answer.status, 200);
	assert_string_equal(f->answer.bind, "?1");
	assert_string_equal(f->answer.capsule_protocol, "?1");
	assert_string_equal(f->answer.public_address,
			    "\"198.18.0.1:40000\", \"[2001:db8::a]:40001\"");
	EXPECT(f, "", "+tunnel " PORTS);
	assert_int_equal(f->relay.egress_held, 2);
	assert_int_equal(f->relay.tunnels[0].params.target.port, 0);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_BOUND_TUNNELS), 1);
	clv_h3_abort(f->client, f->stream, CLV_H3_REQUEST_CANCELLED);
	pipe_run(&f->pipe);
	EXPECT(f, "", "-port4 -port6 -tunnel ");
	assert_int_equal(f->relay.egress_held, 0);
	teardown(f);
}

static const struct {
	const char *name, *path, *values[3];
	unsigned status;
	bool is_bound;
} requests[] = {
	{ "* as it is", UDP "*/*/", { "?1" }, 200, true },
	{ "%2a in lower case", UDP "%2a/%2a/", { "?1" }, 200, true },
	{ "parameters are ignored", ANY, { "?1;q=\"x\"" }, 200, true },
	{ "a real target", UDP "8.8.8.8/53/", { "?1" }, 200, true },
	{ "a real target without the field", UDP "8.8.8.8/53/", { NULL }, 200, false },
	{ "false is not asked for", UDP "8.8.8.8/53/", { "?0" }, 200, false },
	{ "an integer is absent", UDP "8.8.8.8/53/", { "1" }, 200, false },
	{ "a token is absent", UDP "8.8.8.8/53/", { "true" }, 200, false },
	{ "a string is absent", UDP "8.8.8.8/53/", { "\"?1\"" }, 200, false },
	{ "a list is absent", UDP "8.8.8.8/53/", { "?1, ?1" }, 200, false },
	{ "a repeated field is absent", UDP "8.8.8.8/53/", { "?1", "?1" }, 200, false },
	{ "an empty field is absent", UDP "8.8.8.8/53/", { "" }, 200, false },
	{ "* without the field", ANY, { NULL }, 400, false },
	{ "* with the field twice", ANY, { "?1", "?1" }, 400, false },
	{ "only the host is *", UDP "%2A/53/", { "?1" }, 400, false },
	{ "only the port is *", UDP "8.8.8.8/%2A/", { "?1" }, 400, false },
	{ "only the host is *, as it is", UDP "*/53/", { "?1" }, 400, false },
	{ "a denied target", UDP "10.0.0.1/53/", { "?1" }, 502, false },
};

static void test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(requests); i++) {
		struct fixture *f = setup();

		ask_with(f, requests[i].path, requests[i].values);
		CHECK_ROW(requests[i].name, f->answer.status == requests[i].status);
		CHECK_ROW(requests[i].name,
			  strcmp(f->answer.bind, requests[i].is_bound ? "?1" : "") == 0);
		CHECK_ROW(requests[i].name, !*f->answer.public_address == !requests[i].is_bound);
		CHECK_ROW(requests[i].name, f->relay.egress_held == (requests[i].status != 200 ? 0u
								     : requests[i].is_bound    ? 2u
											    : 1u));
		teardown(f);
	}
}

static void test_not_offered(void **state)
{
	struct fixture *f = setup();

	(void)state;
	f->relay.bind.is_offered = false;
	ask(f, ANY);
	assert_int_equal(f->answer.status, 501);
	ask(f, UDP "8.8.8.8/53/");
	assert_int_equal(f->answer.status, 200);
	assert_string_equal(f->answer.bind, "");
	assert_string_equal(f->answer.public_address, "");
	/* then the capsules mean nothing here */
	say(f, "11020000 11020200 130100");
	EXPECT(f, "", "");
	assert_int_equal(f->answer.reset_code, 0);
	teardown(f);
}

static void test_families(void **state)
{
	struct fixture *f = setup();

	(void)state;
	f->relay.has_v6 = false;
	ask(f, ANY);
	assert_string_equal(f->answer.public_address, "\"198.18.0.1:40000\"");
	EXPECT(f, "", "+tunnel +port4 ");
	say(f, "11140206" G6_HEX);
	EXPECT(f, "130102", "");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXT_REFUSED_FAMILY), 1);
	say(f, "11020400");
	EXPECT(f, "120104", "+ctx4* +port4* ");
	event(f, 0, CLV_EVT_REMOTE_NEW, G6, 0);
	EXPECT(f, "", "-remote=" G6 " ");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REMOTE_REFUSED_FAMILY), 1);

	/* a way that comes later makes no port of that family */
	f->relay.has_v6 = true;
	f->relay.via = CLV_VIA_KERNEL;
	say(f, "11140606" G6_HEX);
	EXPECT(f, "130106", "");
	f->relay.via = CLV_VIA_XSK;
	f->relay.has_v4 = false;
	ask(f, ANY);
	assert_string_equal(f->answer.public_address, "\"[2001:db8::a]:40001\"");
	f->relay.has_v6 = false;
	ask(f, ANY);
	assert_int_equal(f->answer.status, 500);
	teardown(f);
}

static void test_public_address(void **state)
{
	static char *texts[] = { "9.9.9.5", "2001:db8:5::5" };
	static char *bad_texts[][2] = { { "9.9.9.5", "9.9.9.6" }, { "x", "9.9.9.6" } };
	struct fixture *f = setup();
	const char *bad = NULL;

	(void)state;
	assert_int_equal(clv_bind_settings_set_public(&f->relay.bind, bad_texts[0], 2, &bad),
			 CLV_ESYNTAX);
	assert_string_equal(bad, "9.9.9.6");
	assert_int_equal(clv_bind_settings_set_public(&f->relay.bind, bad_texts[1], 2, &bad),
			 CLV_ESYNTAX);
	assert_string_equal(bad, "x");
	assert_false(f->relay.bind.has_public[0]);
	assert_int_equal(clv_bind_settings_set_public(&f->relay.bind, texts, 1, NULL), 0);
	ask(f, ANY);
	assert_string_equal(f->answer.public_address, "\"9.9.9.5:40000\", \"[2001:db8::a]:40001\"");
	assert_int_equal(clv_bind_settings_set_public(&f->relay.bind, texts, 2, NULL), 0);
	ask(f, ANY);
	assert_string_equal(f->answer.public_address,
			    "\"9.9.9.5:40002\", \"[2001:db8:5::5]:40003\"");
	EXPECT(f, "", "+tunnel " PORTS "+tunnel " PORTS);
	/* The other tunnel's port as everybody sees it, and as it is; no other port of that address. */
	say(f, "11080204 09090905 9c40");
	EXPECT(f, "120102", "+ctx2=9.9.9.5:40000! ");
	say(f, "11080404 c6120001 9c40");
	EXPECT(f, "120104", "+ctx4=198.18.0.1:40000! ");
	say(f, "11080604 09090905 9c4a");
	EXPECT(f, "130106", "");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXT_REFUSED_POLICY), 1);
	/* it is ours for an ordinary tunnel, too */
	ask_with(f, UDP "9.9.9.5/53/", NULL);
	assert_int_equal(f->answer.status, 502);
	ask_with(f, UDP "9.9.9.6/53/", NULL);
	assert_int_equal(f->answer.status, 200);
	teardown(f);
}

static void test_ceiling_of_tunnels(void **state)
{
	struct fixture *f = setup();

	(void)state;
	f->relay.bind.tunnels_max = 1;
	ask(f, ANY);
	assert_int_equal(f->answer.status, 200);
	ask(f, ANY);
	assert_int_equal(f->answer.status, 503);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_BIND_REFUSED), 1);
	/* with a real target an ordinary tunnel is what the client gets */
	ask(f, UDP "8.8.8.8/53/");
	assert_int_equal(f->answer.status, 200);
	assert_string_equal(f->answer.bind, "");
	assert_int_equal(f->relay.egress_held, 3);
	assert_null(f->relay.tunnels[1].params.bind);
	teardown(f);
}

static void test_without_ports(void **state)
{
	struct fixture *f = setup();

	(void)state;
	f->relay.egress_err = CLV_EFULL;
	ask(f, ANY);
	assert_int_equal(f->answer.status, 503);
	f->relay.egress_err = 0;
	f->relay.open_err = CLV_EFULL;
	ask(f, ANY);
	assert_int_equal(f->answer.status, 503);
	assert_int_equal(f->relay.egress_held, 0);
	EXPECT(f, "", "");
	teardown(f);
}

/* ---- contexts ---- */

static void test_contexts(void **state)
{
	struct fixture *f = setup_bound();

	(void)state;
	/* worker, kernel, peer: in that order; and back in the other */
	say(f, "11080404" G4_HEX);
	EXPECT(f, "120104", "+ctx4=" G4 " +map " G4 "=4 ");
	say(f, "11140606" G6_HEX);
	EXPECT(f, "120106", "+ctx6=" G6 " +map " G6 "=6 ");
	say(f, "130104");
	EXPECT(f, "", "-map " G4 " -ctx4 ");
	say(f, "11020800");
	EXPECT(f, "120108", "+ctx8* +port4* +port6* ");
	say(f, "130108");
	EXPECT(f, "", PORTS "-ctx8 ");
	clv_h3_abort(f->client, f->stream, CLV_H3_REQUEST_CANCELLED);
	pipe_run(&f->pipe);
	EXPECT(f, "", "-port4 -port6 -map " G6 " -tunnel ");
	teardown(f);
}

static void test_kernel_path(void **state)
{
	struct fixture *f = setup();

	(void)state;
	f->relay.via = CLV_VIA_KERNEL;
	ask(f, ANY);
	EXPECT(f, "", "+tunnel ");
	say(f, "11020200 11080404" G4_HEX);
	EXPECT(f, "120102120104", "+ctx2* +ctx4=" G4 " ");
	/* a way by an interface that the port is not on */
	f->relay.via = CLV_VIA_XSK;
	say(f, "11080604" H4_HEX);
	EXPECT(f, "130106", "");
	say(f, "130104");
	EXPECT(f, "", "-ctx4 ");
	teardown(f);
}

static void test_policy(void **state)
{
	struct fixture *f = setup_uncompressed();

	(void)state;
	say(f, "11080404" PRIV);
	EXPECT(f, "130104", "");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXT_REFUSED_POLICY), 1);
	event(f, 0, CLV_EVT_REMOTE_NEW, "10.0.0.1:53", 0);
	EXPECT(f, "", "-remote=10.0.0.1:53 ");
	event(f, 0, CLV_EVT_REMOTE_NEW, "[64:ff9b::a00:1]:53", 0);
	EXPECT(f, "", "-remote=[64:ff9b::a00:1]:53 ");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REMOTE_REFUSED_POLICY), 2);
	teardown(f);
}

static void test_policy_reload(void **state)
{
	static const char *const deny = "8.8.8.0/24";
	struct fixture *f = setup_uncompressed();
	struct clv_policy *policy;
	char error[128];

	(void)state;
	say(f, "11080404" G4_HEX);
	event(f, 0, CLV_EVT_REMOTE_NEW, "8.8.8.9:1", 0);
	event(f, 0, CLV_EVT_REMOTE_NEW, H4, 0);
	f->answer.body[0] = f->relay.story[0] = '\0';
	assert_int_equal(clv_policy_new(NULL, 0, &deny, 1, &policy, error, sizeof(error)), 0);
	f->relay.config.policy = policy;
	clv_requests_policy_changed(f->relay.requests);
	pipe_run(&f->pipe);
	EXPECT(f, "130104", "-remote=8.8.8.9:1 -map " G4 " -ctx4 ");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REMOTES_REVOKED), 2);
	f->relay.config.policy = f->relay.policy;
	clv_policy_free(policy);
	teardown(f);
}

static void test_routes(void **state)
{
	struct fixture *f = setup_uncompressed();

	(void)state;
	say(f, "11080404" G4_HEX);
	event(f, 0, CLV_EVT_REMOTE_NEW, H4, 0);
	f->answer.body[0] = f->relay.story[0] = '\0';
	clv_requests_routes_changed(f->relay.requests);
	EXPECT(f, "", "");
	f->relay.has_v4 = false;
	clv_requests_routes_changed(f->relay.requests);
	EXPECT(f, "", "+remote=" G4 "? +remote=" H4 "? ");
	f->relay.has_v4 = true;
	clv_requests_routes_changed(f->relay.requests);
	EXPECT(f, "", "+remote=" G4 " +remote=" H4 " ");
	/* that one was idle meanwhile, and is there again: it must not be there unknown to us */
	event(f, 0, CLV_EVT_REMOTE_IDLE, H4, 0);
	EXPECT(f, "", "-remote=" H4 " ");
	teardown(f);
}

static void test_no_uncompressed(void **state)
{
	struct fixture *f = setup();

	(void)state;
	f->relay.bind.is_uncompressed = false;
	ask(f, ANY);
	EXPECT(f, "", "+tunnel " PORTS);
	say(f, "11020200");
	EXPECT(f, "130102", "");
	say(f, "11080404" G4_HEX);
	EXPECT(f, "120104", "+ctx4=" G4 " +map " G4 "=4 ");
	event(f, 0, CLV_EVT_REMOTE_BUSY, G4, 0);
	EXPECT(f, "", "");
	teardown(f);
}

static void test_uncompressed_remotes(void **state)
{
	struct fixture *f = setup_uncompressed();

	(void)state;
	event(f, 0, CLV_EVT_REMOTE_NEW, G4, 0);
	EXPECT(f, "", "+remote=" G4 " ");
	/* once more: the answer got lost in a crossing */
	event(f, 0, CLV_EVT_REMOTE_NEW, G4, 0);
	EXPECT(f, "", "+remote=" G4 " ");
	/* it gets a context */
	say(f, "11080404" G4_HEX);
	EXPECT(f, "120104", "+ctx4=" G4 " +map " G4 "=4 ");
	event(f, 0, CLV_EVT_REMOTE_NEW, H4, 0);
	EXPECT(f, "", "+remote=" H4 " ");
	event(f, 0, CLV_EVT_REMOTE_IDLE, H4, 0); /* the worker forgot it */
	EXPECT(f, "", "");
	event(f, 0, CLV_EVT_REMOTE_NEW, H4, 0);
	EXPECT(f, "", "+remote=" H4 " ");
	/* with the context that they came by they go; others stay */
	say(f, "130102");
	EXPECT(f, "", PORTS "-ctx2 -remote=" H4 " ");
	event(f, 0, CLV_EVT_REMOTE_NEW, H4, 0); /* crossed with it */
	EXPECT(f, "", "");
	say(f, "130104");
	EXPECT(f, "", "-map " G4 " -ctx4 ");
	teardown(f);
}

static void test_ceiling_of_remotes(void **state)
{
	struct fixture *f = setup_uncompressed();

	(void)state;
	f->relay.bind.remotes_max = 1;
	event(f, 0, CLV_EVT_REMOTE_NEW, G4, 0);
	EXPECT(f, "", "+remote=" G4 " ");
	event(f, 0, CLV_EVT_REMOTE_NEW, H4, 0);
	EXPECT(f, "", "-remote=" H4 " ");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REMOTE_REFUSED_FULL), 1);
	say(f, "11080404" H4_HEX);
	EXPECT(f, "130104", "");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXT_REFUSED_FULL), 1);
	/* one that is there already may have its context */
	say(f, "11080604" G4_HEX);
	EXPECT(f, "120106", "+ctx6=" G4 " +map " G4 "=6 ");
	teardown(f);
}

static void test_full_map(void **state)
{
	struct fixture *f = setup_uncompressed();

	(void)state;
	f->relay.publish_err = CLV_EFULL;
	say(f, "11080404" G4_HEX);
	EXPECT(f, "130104", "+ctx4=" G4 " -ctx4 ");
	/* ours, where it shows only when the peer has accepted */
	event(f, 0, CLV_EVT_REMOTE_NEW, H4, 0);
	event(f, 0, CLV_EVT_REMOTE_BUSY, H4, 0);
	EXPECT(f, "11080104090909090035", "+remote=" H4 " +ctx1~=" H4 " ");
	say(f, "120101");
	EXPECT(f, "130101", "+ctx1=" H4 " -map " H4 " -ctx1 ");
	f->relay.publish_err = 0;
	teardown(f);
}

static void test_busy(void **state)
{
	struct fixture *f = setup_uncompressed();

	(void)state;
	event(f, 0, CLV_EVT_REMOTE_NEW, G4, 0);
	event(f, 0, CLV_EVT_REMOTE_BUSY, G4, 0);
	EXPECT(f, "11080104080808080035", "+remote=" G4 " +ctx1~=" G4 " ");
	event(f, 0, CLV_EVT_REMOTE_BUSY, G4, 0);
	EXPECT(f, "", "");
	say(f, "120101");
	EXPECT(f, "", "+ctx1=" G4 " +map " G4 "=1 ");
	/* crossing: the client's comes in its place */
	say(f, "11080404" G4_HEX);
	EXPECT(f, "130101120104", "-map " G4 " -ctx1 +ctx4=" G4 " +map " G4 "=4 ");
	teardown(f);
}

/* Datagrams come from it, and none goes there: the relay has not been asked about it before. */
static void test_busy_caller(void **state)
{
	struct fixture *f = setup_uncompressed();

	(void)state;
	event(f, 0, CLV_EVT_REMOTE_BUSY, G4, 0);
	EXPECT(f, "11080104080808080035", "+ctx1~=" G4 " ");
	event(f, 0, CLV_EVT_REMOTE_BUSY, "10.0.0.1:53", 0);
	EXPECT(f, "", "");
	teardown(f);
}

static void test_rejected(void **state)
{
	struct fixture *f = setup_uncompressed();

	(void)state;
	for (unsigned id = 1; id <= 5; id += 2) {
		char close[8];

		event(f, 0, CLV_EVT_REMOTE_NEW, G4, 0);
		event(f, 0, CLV_EVT_REMOTE_BUSY, G4, 0);
		assert_string_not_equal(f->answer.body, "");
		snprintf(close, sizeof(close), "1301%02x", id);
		say(f, close);
		f->answer.body[0] = '\0';
	}
	event(f, 0, CLV_EVT_REMOTE_NEW, G4, 0);
	f->relay.story[0] = '\0';
	event(f, 0, CLV_EVT_REMOTE_BUSY, G4, 0);
	EXPECT(f, "", "");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXTS_REJECTED), 3);
	teardown(f);
}

static void test_idle(void **state)
{
	struct fixture *f = setup_bound();

	(void)state;
	say(f, "11080404" G4_HEX);
	EXPECT(f, "120104", "+ctx4=" G4 " +map " G4 "=4 ");
	event(f, 0, CLV_EVT_REMOTE_IDLE, G4, 6); /* of one that was before */
	EXPECT(f, "", "");
	event(f, 0, CLV_EVT_REMOTE_IDLE, G4, 4);
	EXPECT(f, "130104", "-map " G4 " -ctx4 ");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXTS_IDLE), 1);
	teardown(f);
}

static void test_rate(void **state)
{
	struct fixture *f = setup();

	(void)state;
	for (int tunnel = 0; tunnel < 2; tunnel++) {
		ask(f, ANY);
		for (unsigned id = 4; id < 64; id += 2) {
			char hex[32];

			snprintf(hex, sizeof(hex), "1108%02x04080808080035", id);
			say(f, hex);
			snprintf(hex, sizeof(hex), "1301%02x", id);
			say(f, hex);
		}
	}
	/* 60 on two tunnels of one connection, at one moment */
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXTS_OPENED), 40);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXT_REFUSED_RATE), 20);
	f->relay.now_ns += 100000000;
	f->answer.body[0] = f->relay.story[0] = '\0';
	for (unsigned id = 64; id < 128; id += 2) {
		char hex[32];

		snprintf(hex, sizeof(hex), "110940%02x04080808080035", id);
		say(f, hex);
		snprintf(hex, sizeof(hex), "130240%02x", id);
		say(f, hex);
	}
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXTS_OPENED), 44);
	/* a remote without a context is as much work */
	f->relay.now_ns += 50000000;
	say(f, "1103408000");
	f->answer.body[0] = f->relay.story[0] = '\0';
	event(f, 1, CLV_EVT_REMOTE_NEW, G4, 0);
	event(f, 1, CLV_EVT_REMOTE_NEW, H4, 0);
	EXPECT(f, "", "+remote=" G4 " -remote=" H4 " ");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REMOTE_REFUSED_RATE), 1);
	teardown(f);
}

/* ---- datagrams in capsules ---- */

static void test_capsule_datagrams(void **state)
{
	struct fixture *f = setup_uncompressed();

	(void)state;
	say(f, "11080404" G4_HEX);
	f->answer.body[0] = f->relay.story[0] = '\0';
	say(f, "0003046869 000302 6869"); /* compressed; uncompressed, for the worker to judge */
	EXPECT(f, "", "send4 send2 ");
	say(f, "0003086869");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_UNKNOWN_CONTEXT), 1);
	say(f, "130104 0003046869");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_CLOSED_CONTEXT), 1);
	assert_int_equal(f->answer.reset_code, 0);
	say(f, "0003006869");
	assert_int_equal(f->answer.reset_code, CLV_H3_DATAGRAM_ERROR);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXT_ABORT_ZERO), 1);
	assert_int_equal(f->relay.closed, 1);
	teardown(f);
}

static void test_context_zero_told_by_worker(void **state)
{
	struct fixture *f = setup_bound();

	(void)state;
	event(f, 0, CLV_EVT_CONTEXT_ZERO, NULL, 0);
	assert_int_equal(f->answer.reset_code, CLV_H3_DATAGRAM_ERROR);
	assert_int_equal(f->relay.closed, 1);
	teardown(f);
}

static void test_real_target(void **state)
{
	struct fixture *f = setup();

	(void)state;
	ask(f, UDP "8.8.8.8/53/");
	assert_string_equal(f->answer.bind, "?1");
	assert_string_equal(f->answer.public_address,
			    "\"198.18.0.1:40000\", \"[2001:db8::a]:40001\"");
	EXPECT(f, "", "+tunnel " PORTS);
	say(f, "0003006869");
	assert_string_equal(f->relay.sent_text, "hi;");
	say(f, "11080204" G4_HEX); /* its target's datagrams have an ID: 0 */
	EXPECT(f, "130102", "");
	say(f, "11080404" H4_HEX);
	EXPECT(f, "120104", "+ctx4=" H4 " +map " H4 "=4 ");
	assert_int_equal(f->answer.reset_code, 0);
	teardown(f);
}

static void test_early(void **state)
{
	struct fixture *f = setup();

	(void)state;
	ask(f, UDP "t.example/53/");
	say(f, "11020200 0003026869 11080404" H4_HEX "130104");
	EXPECT(f, "", "");
	fake_relay_resolved(&f->relay, 0, "8.8.8.8");
	pipe_run(&f->pipe);
	assert_int_equal(f->answer.status, 200);
	EXPECT(f, "120102120104",
	       "+tunnel " PORTS "+ctx2* +port4* +port6* send2 +ctx4=" H4 " +map " H4 "=4 -map " H4
	       " -ctx4 ");
	/* what is wrong ends the stream then */
	ask(f, UDP "t.example/53/");
	say(f, "11020100");
	fake_relay_resolved(&f->relay, 0, "8.8.8.8");
	pipe_run(&f->pipe);
	assert_int_equal(f->answer.reset_code, CLV_H3_MESSAGE_ERROR);
	/* registrations are not lost for want of room: the stream is */
	ask(f, UDP "t.example/53/");
	for (int i = 0; i < 1000 && !f->answer.reset_code; i++)
		say(f, "11020200");
	assert_int_equal(f->answer.reset_code, CLV_H3_EXCESSIVE_LOAD);
	teardown(f);
}

static const struct {
	const char *name, *wire;
	uint64_t code;
} wrong[] = {
	{ "ASSIGN of Context ID 0", "11020000", CLV_H3_MESSAGE_ERROR },
	{ "IP version 5", "1108040500000000 0050", CLV_H3_MESSAGE_ERROR },
	{ "a byte too many", "1103020000", CLV_H3_MESSAGE_ERROR },
	{ "a truncated address", "11050404cb0071", CLV_H3_MESSAGE_ERROR },
	{ "CLOSE of Context ID 0", "130100", CLV_H3_MESSAGE_ERROR },
	{ "ACK of what was never assigned", "120108", CLV_H3_MESSAGE_ERROR },
	{ "an odd ID of the client", "11020100", CLV_H3_MESSAGE_ERROR },
	{ "two uncompressed contexts", "11020200 11020400", CLV_H3_MESSAGE_ERROR },
	{ "an ID twice", "11020200 130102 11020200", CLV_H3_MESSAGE_ERROR },
	{ "a remote twice", "11080204" G4_HEX "11080404" G4_HEX, CLV_H3_MESSAGE_ERROR },
	{ "an ASSIGN of 28 bytes", "111c02", CLV_H3_MESSAGE_ERROR },
};

static void test_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct fixture *f = setup_bound();

		say(f, wrong[i].wire);
		CHECK_ROW(wrong[i].name, f->answer.reset_code == wrong[i].code);
		CHECK_ROW(wrong[i].name, f->relay.closed == 1);
		CHECK_ROW(wrong[i].name, !f->pipe.end[PIPE_SERVER].closed);
		teardown(f);
	}
}

/* ---- two tunnels of one relay ---- */

static void test_hairpin(void **state)
{
	struct fixture *f = setup();
	struct clv_h3_stream *first;

	(void)state;
	ask(f, ANY);
	first = f->stream;
	ask(f, ANY); /* 198.18.0.1:40002, [2001:db8::a]:40003 */
	EXPECT(f, "", "+tunnel " PORTS "+tunnel " PORTS);
	/* the relay's own address is no target, but for the port of a tunnel */
	say(f, "11080204 c6120001 9c40");
	EXPECT(f, "120102", "+ctx2=198.18.0.1:40000! ");
	say(f, "11080404 c6120001 9c4a");
	EXPECT(f, "130104", "");
	say(f, "11080604 c6120001 9c42"); /* nor is its own */
	EXPECT(f, "130106", "");
	say(f, "11020800");
	EXPECT(f, "120108", "+ctx8* +port4* +port6* ");
	event(f, 1, CLV_EVT_REMOTE_NEW, "[2001:db8::a]:40001", 0);
	EXPECT(f, "", "+remote=[2001:db8::a]:40001! ");
	/* the far tunnel goes: what led there goes too */
	clv_h3_abort(f->client, first, CLV_H3_REQUEST_CANCELLED);
	pipe_run(&f->pipe);
	EXPECT(f, "130102", "-port4 -port6 -remote=[2001:db8::a]:40001 -ctx2 -tunnel ");
	teardown(f);
}

/* Two tunnels of one connection, each the other's remote, when it is lost: nobody is left to tell. */
static void test_hairpin_of_a_lost_connection(void **state)
{
	struct fixture *f = setup();
	struct clv_h3_stream *second;

	(void)state;
	ask(f, ANY);
	say(f, "11020200");
	second = f->stream;
	ask(f, ANY);
	say(f, "11080204 c6120001 9c40");
	assert_string_equal(f->answer.body, "120102");
	f->stream = second;
	say(f, "11080404 c6120001 9c42");
	event(f, 0, CLV_EVT_REMOTE_NEW, "[2001:db8::a]:40003", 0);
	teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("a bound tunnel is answered with its public addresses, and gives them back",
		     test_answer),
		CASE("the field is a Boolean item, and targets are both real or both *",
		     test_requests),
		CASE("where bound tunnels are not offered a real target gets an ordinary one",
		     test_not_offered),
		CASE("a relay with one family lists one and refuses the other", test_families),
		CASE("the operator's public address is told instead of ours", test_public_address),
		CASE("bound tunnels have a ceiling", test_ceiling_of_tunnels),
		CASE("without ports, or a tunnel, nothing is held", test_without_ports),
		CASE("contexts reach worker, kernel and peer in order", test_contexts),
		CASE("over kernel sockets there is nothing to steer", test_kernel_path),
		CASE("policy is asked for every registration and every uncompressed remote",
		     test_policy),
		CASE("a new policy closes what it denies", test_policy_reload),
		CASE("next hops follow the routes", test_routes),
		CASE("the operator may forbid the uncompressed context", test_no_uncompressed),
		CASE("remotes without a context come and go with the uncompressed context",
		     test_uncompressed_remotes),
		CASE("remotes have a ceiling", test_ceiling_of_remotes),
		CASE("a full kernel table is a refusal", test_full_map),
		CASE("a busy remote gets a context of the relay's", test_busy),
		CASE("a remote that calls and is not answered may be busy, too", test_busy_caller),
		CASE("registrations have a rate, over all tunnels of a connection", test_rate),
		CASE("a peer that refuses contexts is not asked for ever", test_rejected),
		CASE("an idle context is closed", test_idle),
		CASE("datagrams in capsules are judged by their Context ID",
		     test_capsule_datagrams),
		CASE("a worker's word on Context ID 0 ends the stream",
		     test_context_zero_told_by_worker),
		CASE("with a real target Context ID 0 keeps its meaning", test_real_target),
		CASE("capsules that overtake the tunnel wait for it", test_early),
		CASE("what is malformed resets the stream and nothing else", test_wrong),
		CASE("ports of two tunnels of one relay meet inside", test_hairpin),
		CASE("a lost connection takes tunnels that meet with it",
		     test_hairpin_of_a_lost_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
