/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A peer and a relay that lies: what is passed on is true, or nothing is. */
#include "tests/unit/check.h"

#include "control/peer/signal_session.h"
#include "control/tls/certgen.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/varint.h"

#include <errno.h>

enum {
	NOW_SEC = 1780000000,
};

static struct {
	struct clv_signer *us, *them, *stranger;
	struct clv_identity our_id, their_id;
	struct clv_rand rand;
	struct clv_signal_session s;
	/* The last capsule that was sent, read. */
	uint8_t sent[CLV_SIGNAL_MAX];
	struct clv_signal last;
	const struct clv_object *to_publish; /* when the relay has said hello; NULL: nothing */
	unsigned sends, found[8], knocked[8], published[8], knocks;
	uint64_t now_ns;
} t;

static int send_capsule(void *user, const uint8_t *capsule, size_t len)
{
	const uint8_t *p = capsule;
	uint64_t type, value_len;

	(void)user;
	memcpy(t.sent, capsule, len);
	p = t.sent;
	assert_int_equal(clv_varint_read(&p, t.sent + len, &type), 0);
	assert_int_equal(clv_varint_read(&p, t.sent + len, &value_len), 0);
	assert_int_equal(p + value_len - t.sent, len);
	assert_int_equal(clv_signal_read(type, p, value_len, &t.last), 0);
	t.sends++;
	return 0;
}

static void on_hello(void *user, const struct clv_identity *relay)
{
	(void)user;
	(void)relay;
	if (t.to_publish)
		assert_int_equal(clv_signal_session_publish(&t.s, t.to_publish), 0);
}

static void on_observed(void *user, const struct clv_endpoint *at, uint64_t sequence)
{
	(void)user;
	(void)at;
	(void)sequence;
}

static void on_published(void *user, enum clv_signal_result result)
{
	(void)user;
	t.published[result]++;
}

static void on_found(void *user, uint32_t number, enum clv_signal_result result,
		     const struct clv_object *record)
{
	(void)user;
	(void)number;
	assert_int_equal(result == CLV_SIGNAL_DONE, record != NULL);
	t.found[result]++;
}

static void on_knocked(void *user, uint32_t number, enum clv_signal_result result,
		       const struct clv_object *record)
{
	(void)user;
	(void)number;
	(void)record;
	t.knocked[result]++;
}

static void on_knock(void *user, const uint8_t request[static CLV_SIGNAL_REQUEST_LEN],
		     const struct clv_object *knock)
{
	(void)user;
	(void)request;
	assert_memory_equal(&knock->id, &t.their_id, sizeof(t.their_id));
	t.knocks++;
}

static void on_going(void *user, uint16_t seconds)
{
	(void)user;
	(void)seconds;
}

static const struct clv_signal_session_ops ops = {
	.send = send_capsule,
	.on_hello = on_hello,
	.on_observed = on_observed,
	.on_published = on_published,
	.on_found = on_found,
	.on_knocked = on_knocked,
	.on_knock = on_knock,
	.on_going = on_going,
};

static struct clv_signer *make_signer(void)
{
	struct clv_signer *s;
	char *pem;

	assert_int_equal(clv_certgen_key(CLV_PROFILE_PQC, &pem), 0);
	assert_int_equal(clv_signer_new(pem, &s), 0);
	clv_certgen_free_key(pem);
	return s;
}

static int setup(void **state)
{
	(void)state;
	t.us = make_signer();
	t.them = make_signer();
	t.stranger = make_signer();
	clv_rand_init(&t.rand, 5);
	return clv_object_identity(clv_signer_key(t.us), &t.our_id) ||
	       clv_object_identity(clv_signer_key(t.them), &t.their_id);
}

static int teardown(void **state)
{
	(void)state;
	clv_signer_free(t.us);
	clv_signer_free(t.them);
	clv_signer_free(t.stranger);
	return 0;
}

static void step(uint64_t sec)
{
	t.now_ns += sec * CLV_SEC;
	clv_signal_session_step(&t.s, t.now_ns, NOW_SEC * UINT64_C(1000) + t.now_ns / CLV_MSEC);
}

/* Hand the session a capsule of the relay's. */
static int from_relay(const struct clv_signal *s)
{
	uint8_t capsule[CLV_SIGNAL_MAX], value[CLV_SIGNAL_VALUE_MAX];
	const uint8_t *p = capsule;
	size_t len = clv_signal_write(s, capsule), head;
	uint64_t type, value_len;

	assert_int_equal(clv_varint_read(&p, capsule + len, &type), 0);
	assert_int_equal(clv_varint_read(&p, capsule + len, &value_len), 0);
	head = len - (size_t)(p - capsule);
	memcpy(value, p, head);
	if (s->object_len)
		memcpy(value + head, s->object, s->object_len);
	return clv_signal_session_value(&t.s, type, value, head + s->object_len);
}

static void start(struct clv_signer *signer)
{
	const struct clv_signal hello = {
		.type = CLV_SIGNAL_HELLO, .version = 1, .version_min = 1, .role = CLV_SIGNAL_RELAY
	};

	memset(t.found, 0, sizeof(t.found));
	memset(t.knocked, 0, sizeof(t.knocked));
	memset(t.published, 0, sizeof(t.published));
	t.knocks = t.sends = 0;
	clv_signal_session_init(&t.s, &ops, NULL, &t.rand, signer);
	step(1);
	assert_int_equal(clv_signal_session_start(&t.s), 0);
	assert_int_equal(t.last.type, CLV_SIGNAL_HELLO);
	assert_int_equal(from_relay(&hello), 0);
}

static const uint8_t *make(struct clv_signer *signer, enum clv_object_kind kind, uint64_t seq,
			   uint32_t issued_sec, const struct clv_identity *to, size_t *len)
{
	static uint8_t bytes[CLV_OBJECT_MAX];
	struct clv_object o = {
		.kind = (uint8_t)kind,
		.seq = seq,
		.issued_sec = issued_sec,
		.lifetime_sec = 30,
		.has_knock = kind == CLV_OBJECT_KNOCK,
		.from = { CLV_OBJECT_USE_BOUND, CLV_OBJECT_QUIC, { .port = 1 } },
	};

	o.from.at.addr[15] = 1;
	if (to)
		o.to = *to;
	assert_int_equal(clv_object_sign(&o, signer, bytes, len), 0);
	return bytes;
}

/* The answer to the last request. */
static void answer(uint8_t status, const uint8_t *object, size_t len)
{
	struct clv_signal s = {
		.type = CLV_SIGNAL_ANSWER, .status = status, .object = object, .object_len = len
	};

	memcpy(s.request, t.last.request, sizeof(s.request));
	assert_int_equal(from_relay(&s), 0);
}

static void a_record_is_passed_on_when_all_of_it_is_right(void **state)
{
	const uint8_t *object = NULL;
	uint8_t forged[CLV_OBJECT_MAX];
	size_t len = 0;

	(void)state;
	start(t.us);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(clv_signal_session_look_up(&t.s, &t.their_id, NULL), 0);
		switch (i) {
		case 0: /* right */
			object = make(t.them, CLV_OBJECT_RECORD, 10, NOW_SEC, NULL, &len);
			break;
		case 1: /* right, and the same again */
			break;
		case 2: /* an earlier one */
			object = make(t.them, CLV_OBJECT_RECORD, 9, NOW_SEC, NULL, &len);
			break;
		case 3: /* somebody else's */
			object = make(t.stranger, CLV_OBJECT_RECORD, 11, NOW_SEC, NULL, &len);
			break;
		case 4: /* expired */
			object = make(t.them, CLV_OBJECT_RECORD, 11, NOW_SEC - 3600, NULL, &len);
			break;
		case 5: /* no record */
			object = make(t.them, CLV_OBJECT_REMOVAL, 11, NOW_SEC, NULL, &len);
			break;
		case 6: /* forged */
			object = make(t.them, CLV_OBJECT_RECORD, 11, NOW_SEC, NULL, &len);
			memcpy(forged, object, len);
			forged[len - 1] ^= 1;
			object = forged;
			break;
		default: /* nothing */
			len = 0;
		}
		answer(CLV_SIGNAL_OK, object, len);
		assert_int_equal(t.found[CLV_SIGNAL_DONE], i < 2 ? i + 1 : 2);
		assert_int_equal(t.found[CLV_SIGNAL_BAD], i < 2 ? 0 : i - 1);
	}
	assert_int_equal(clv_signal_session_look_up(&t.s, &t.their_id, NULL), 0);
	answer(99, NULL, 0);
	assert_int_equal(t.found[CLV_SIGNAL_DENIED], 1);
	answer(CLV_SIGNAL_OK, NULL, 0); /* twice: to nothing */
	assert_int_equal(t.found[CLV_SIGNAL_DENIED], 1);
}

static void knock(struct clv_signer *by, uint64_t seq, const struct clv_identity *to,
		  const struct clv_identity *stream_to)
{
	struct clv_signal s = { .type = CLV_SIGNAL_KNOCK, .id = *stream_to };

	s.object = make(by, CLV_OBJECT_KNOCK, seq, NOW_SEC, to, &s.object_len);
	assert_int_equal(from_relay(&s), 0);
}

static void a_knock_is_heard_when_it_is_for_us_and_new(void **state)
{
	(void)state;
	start(t.us);
	knock(t.them, 5, &t.our_id, &t.our_id);
	assert_int_equal(t.knocks, 1);
	knock(t.them, 5, &t.our_id, &t.our_id);
	assert_int_equal(t.knocks, 1);
	assert_int_equal(t.last.status, CLV_SIGNAL_REFUSED);
	knock(t.them, 6, &t.their_id, &t.our_id);
	knock(t.them, 7, &t.our_id, &t.their_id);
	assert_int_equal(t.knocks, 1);
	knock(t.them, 8, &t.our_id, &t.our_id);
	assert_int_equal(t.knocks, 2);
}

static void a_record_is_published_again_before_it_expires(void **state)
{
	struct clv_object record = { .kind = 0 };

	(void)state;
	start(t.us);
	assert_int_equal(clv_signal_session_publish(&t.s, &record), 0);
	assert_int_equal(t.last.type, CLV_SIGNAL_PUBLISH);
	answer(CLV_SIGNAL_OK, NULL, 0);
	assert_int_equal(t.published[CLV_SIGNAL_DONE], 1);
	assert_int_equal(clv_signal_session_next_ns(&t.s),
			 t.now_ns + CLV_OBJECT_RECORD_AGAIN_SEC * CLV_SEC);
	step(CLV_OBJECT_RECORD_AGAIN_SEC);
	assert_int_equal(t.last.type, CLV_SIGNAL_PUBLISH);
	answer(CLV_SIGNAL_BUSY, NULL, 0);
	assert_int_equal(clv_signal_session_next_ns(&t.s),
			 t.now_ns + CLV_SIGNAL_RETRY_SEC * CLV_SEC);
	assert_int_equal(t.published[CLV_SIGNAL_LATER], 1);
}

static void a_record_is_published_once_when_the_relay_says_hello(void **state)
{
	struct clv_object record = { .kind = 0 };

	(void)state;
	t.to_publish = &record;
	start(t.us);
	t.to_publish = NULL;
	assert_int_equal(t.sends, 2); /* with our hello */
	assert_int_equal(t.last.type, CLV_SIGNAL_PUBLISH);
}

static void a_relay_that_says_nothing_is_waited_for_a_while(void **state)
{
	uint32_t number = 0;

	(void)state;
	start(t.us);
	for (unsigned i = 0; i < CLV_SIGNAL_WAITING_MAX; i++)
		assert_int_equal(clv_signal_session_look_up(&t.s, &t.their_id, &number), 0);
	assert_int_equal(number, CLV_SIGNAL_WAITING_MAX);
	assert_int_equal(clv_signal_session_look_up(&t.s, &t.their_id, NULL), CLV_EFULL);
	step(CLV_SIGNAL_ANSWER_SEC);
	assert_int_equal(t.found[CLV_SIGNAL_NO_REPLY], CLV_SIGNAL_WAITING_MAX);
	assert_int_equal(clv_signal_session_look_up(&t.s, &t.their_id, NULL), 0);
}

static void a_relay_that_breaks_the_protocol_is_noticed(void **state)
{
	struct clv_signal s = { .type = CLV_SIGNAL_HELLO, .version = 1, .version_min = 1 };

	(void)state;
	start(t.us);
	assert_int_equal(from_relay(&s), CLV_EPROTO); /* the second */
	clv_signal_session_init(&t.s, &ops, NULL, &t.rand, NULL);
	assert_int_equal(clv_signal_session_look_up(&t.s, &t.their_id, NULL), CLV_ECLOSED);
	assert_int_equal(clv_signal_session_start(&t.s), 0);
	s.version = s.version_min = 2;
	assert_int_equal(from_relay(&s), CLV_EPROTO); /* none that we speak */
	s.type = CLV_SIGNAL_ANSWER;
	assert_int_equal(from_relay(&s), CLV_EPROTO); /* before its hello */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("a record is passed on when all of it is right",
		     a_record_is_passed_on_when_all_of_it_is_right),
		CASE("a knock is heard when it is for us and new",
		     a_knock_is_heard_when_it_is_for_us_and_new),
		CASE("a record is published once when the relay says hello",
		     a_record_is_published_once_when_the_relay_says_hello),
		CASE("a record is published again before it expires",
		     a_record_is_published_again_before_it_expires),
		CASE("a relay that says nothing is waited for a while",
		     a_relay_that_says_nothing_is_waited_for_a_while),
		CASE("a relay that breaks the protocol is noticed",
		     a_relay_that_breaks_the_protocol_is_noticed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
