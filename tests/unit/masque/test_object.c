/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "control/masque/object.h"
#include "control/tls/certgen.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"

#include <errno.h>

enum {
	NOW_SEC = 1780000000,
	BODY_AT = 8,
	TLVS_AT = BODY_AT + 48,
	TAIL_LEN = 2 + CLV_SIGNER_SIGNATURE_LEN,
};

static struct clv_signer *signer, *stranger;

static struct clv_signer *make_signer(void)
{
	struct clv_signer *s = NULL;
	char *pem;

	if (clv_certgen_key(CLV_PROFILE_PQC, &pem))
		return NULL;
	if (clv_signer_new(pem, &s))
		s = NULL;
	clv_certgen_free_key(pem);
	return s;
}

static int setup(void **state)
{
	(void)state;
	signer = make_signer();
	stranger = make_signer();
	return !signer || !stranger;
}

static int teardown(void **state)
{
	(void)state;
	clv_signer_free(signer);
	clv_signer_free(stranger);
	return 0;
}

static struct clv_endpoint endpoint(const char *text)
{
	struct clv_endpoint e;

	assert_int_equal(clv_endpoint_parse(text, &e), 0);
	return e;
}

static struct clv_object a_record(void)
{
	struct clv_object o = {
		.kind = CLV_OBJECT_RECORD,
		.seq = UINT64_C(1000) * NOW_SEC,
		.issued_sec = NOW_SEC,
		.lifetime_sec = CLV_OBJECT_RECORD_SEC,
	};

	o.endpoints[0] = (struct clv_object_endpoint){ CLV_OBJECT_USE_BOUND, CLV_OBJECT_QUIC,
						       endpoint("192.0.2.1:4000") };
	o.endpoints[1] = (struct clv_object_endpoint){ CLV_OBJECT_USE_BOUND, CLV_OBJECT_QUIC,
						       endpoint("[2001:db8::1]:4001") };
	o.endpoints[2] = (struct clv_object_endpoint){ CLV_OBJECT_USE_LISTENER, CLV_OBJECT_QUIC,
						       endpoint("192.0.2.1:443") };
	o.own_len = 2;
	o.endpoints_len = 3;
	o.relays_len = 1;
	memset(o.relays[0].id.bytes, 7, CLV_IDENTITY_LEN);
	o.relays[0].first = 2;
	o.relays[0].len = 1;
	return o;
}

static struct clv_object a_knock(void)
{
	struct clv_object o = {
		.kind = CLV_OBJECT_KNOCK,
		.seq = UINT64_C(1000) * NOW_SEC,
		.issued_sec = NOW_SEC,
		.lifetime_sec = CLV_OBJECT_KNOCK_SEC,
		.has_knock = true,
		.from = { CLV_OBJECT_USE_BOUND, CLV_OBJECT_QUIC, endpoint("192.0.2.9:5000") },
	};

	memset(o.to.bytes, 3, CLV_IDENTITY_LEN);
	memset(o.nonce, 4, CLV_OBJECT_NONCE_LEN);
	return o;
}

static struct clv_object an_advert(void)
{
	static const uint8_t neighbours[16] = { 1, 2, 3 };
	struct clv_object o = a_record();

	o.kind = CLV_OBJECT_ADVERT;
	o.capabilities = CLV_OBJECT_CAN_RELAY | CLV_OBJECT_CAN_BIND;
	strcpy(o.region, "eu-north");
	o.has_load = true;
	o.load_percent = 40;
	o.rate_class = 3;
	o.neighbours = neighbours;
	o.neighbours_len = 2;
	return o;
}

static void assert_same(const struct clv_object *a, const struct clv_object *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->seq, b->seq);
	assert_int_equal(a->issued_sec, b->issued_sec);
	assert_int_equal(a->lifetime_sec, b->lifetime_sec);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->own_len, b->own_len);
	assert_int_equal(a->endpoints_len, b->endpoints_len);
	assert_memory_equal(a->endpoints, b->endpoints, sizeof(a->endpoints));
	assert_int_equal(a->relays_len, b->relays_len);
	assert_memory_equal(a->relays, b->relays, sizeof(a->relays));
	assert_int_equal(a->capabilities, b->capabilities);
	assert_string_equal(a->region, b->region);
	assert_int_equal(a->has_load, b->has_load);
	assert_int_equal(a->load_percent, b->load_percent);
	assert_int_equal(a->neighbours_len, b->neighbours_len);
	assert_int_equal(a->has_knock, b->has_knock);
	assert_memory_equal(&a->to, &b->to, sizeof(a->to));
	assert_memory_equal(a->nonce, b->nonce, sizeof(a->nonce));
	assert_memory_equal(&a->from, &b->from, sizeof(a->from));
}

static void each_kind_is_signed_read_and_verified(void **state)
{
	const struct clv_object made[] = { a_record(), a_knock(), an_advert() };

	(void)state;
	for (size_t i = 0; i < COUNT(made); i++) {
		uint8_t bytes[CLV_OBJECT_MAX];
		struct clv_object o;
		size_t len;

		assert_int_equal(clv_object_sign(&made[i], signer, bytes, &len), 0);
		assert_true(len < 5600);
		assert_int_equal(clv_object_read(bytes, len, &o), 0);
		assert_same(&o, &made[i]);
		assert_int_equal(clv_object_verify(&o, NULL), 0);
		assert_int_equal(clv_object_check_time(&o, NOW_SEC), 0);
	}
}

static void every_changed_byte_is_noticed(void **state)
{
	const struct clv_object made = a_record();
	uint8_t bytes[CLV_OBJECT_MAX];
	struct clv_object o;
	size_t len;

	(void)state;
	assert_int_equal(clv_object_sign(&made, signer, bytes, &len), 0);
	for (size_t i = 0; i < len; i += i < TLVS_AT + 8 || i > len - TAIL_LEN - 80 ? 1 : 61) {
		bytes[i] ^= 0x10;
		if (clv_object_read(bytes, len, &o) == 0)
			assert_int_equal(clv_object_verify(&o, NULL),
					 o.key ? CLV_EUNTRUSTED : -ENOKEY);
		bytes[i] ^= 0x10;
	}
	assert_int_equal(clv_object_read(bytes, len, &o), 0);
	assert_int_equal(clv_object_verify(&o, NULL), 0);
}

static void what_is_cut_or_too_long_is_not_read(void **state)
{
	const struct clv_object made = a_record();
	uint8_t bytes[CLV_OBJECT_MAX + 1];
	struct clv_object o;
	size_t len;

	(void)state;
	assert_int_equal(clv_object_sign(&made, signer, bytes, &len), 0);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(clv_object_read(bytes, cut, &o), CLV_ETRUNC);
	assert_int_equal(clv_object_read(bytes, len + 1, &o), CLV_EPROTO);
	assert_int_equal(clv_object_read(bytes, CLV_OBJECT_MAX + 1, &o), CLV_EPROTO);
}

static void nobody_signs_for_the_identity_of_another(void **state)
{
	struct clv_object made = a_record(), o;
	uint8_t bytes[CLV_OBJECT_MAX];
	size_t len, signed_len;

	(void)state;
	/* The victim's identity, and the forger's key and signature. */
	made.key = clv_signer_key(stranger);
	assert_int_equal(clv_object_identity(clv_signer_key(signer), &made.id), 0);
	assert_int_equal(clv_object_write(&made, bytes, &signed_len), 0);
	bytes[signed_len] = CLV_SIGNER_SIGNATURE_LEN >> 8;
	bytes[signed_len + 1] = CLV_SIGNER_SIGNATURE_LEN & 0xff;
	assert_int_equal(clv_signer_sign(stranger, "culvert-object-1", bytes, signed_len,
					 bytes + signed_len + 2),
			 0);
	len = signed_len + TAIL_LEN;
	assert_int_equal(clv_object_read(bytes, len, &o), 0);
	assert_int_equal(clv_object_verify(&o, NULL), CLV_EUNTRUSTED);

	/* The victim's key, and a signature that it made for another purpose. */
	made.key = clv_signer_key(signer);
	assert_int_equal(clv_object_write(&made, bytes, &signed_len), 0);
	assert_int_equal(clv_signer_sign(signer, "", bytes, signed_len, bytes + signed_len + 2), 0);
	assert_int_equal(clv_object_read(bytes, len, &o), 0);
	assert_int_equal(clv_object_verify(&o, NULL), CLV_EUNTRUSTED);
}

static void one_without_its_key_is_verified_with_a_known_one(void **state)
{
	struct clv_object made = a_record(), o;
	uint8_t bytes[CLV_OBJECT_MAX];
	size_t signed_len;

	(void)state;
	assert_int_equal(clv_object_identity(clv_signer_key(signer), &made.id), 0);
	assert_int_equal(clv_object_write(&made, bytes, &signed_len), 0);
	bytes[signed_len] = CLV_SIGNER_SIGNATURE_LEN >> 8;
	bytes[signed_len + 1] = CLV_SIGNER_SIGNATURE_LEN & 0xff;
	assert_int_equal(clv_signer_sign(signer, "culvert-object-1", bytes, signed_len,
					 bytes + signed_len + 2),
			 0);
	assert_int_equal(clv_object_read(bytes, signed_len + TAIL_LEN, &o), 0);
	assert_int_equal(clv_object_verify(&o, NULL), -ENOKEY);
	assert_int_equal(clv_object_verify(&o, clv_signer_key(stranger)), CLV_EUNTRUSTED);
	assert_int_equal(clv_object_verify(&o, clv_signer_key(signer)), 0);
}

static void the_time_is_judged_with_a_clock_that_may_be_wrong(void **state)
{
	struct clv_object o = a_record();

	(void)state;
	assert_int_equal(clv_object_check_time(&o, NOW_SEC - CLV_OBJECT_SKEW_SEC), 0);
	assert_int_equal(clv_object_check_time(&o, NOW_SEC - CLV_OBJECT_SKEW_SEC - 1), CLV_ERANGE);
	assert_int_equal(
		clv_object_check_time(&o, NOW_SEC + o.lifetime_sec + CLV_OBJECT_SKEW_SEC - 1), 0);
	assert_int_equal(clv_object_check_time(&o, NOW_SEC + o.lifetime_sec + CLV_OBJECT_SKEW_SEC),
			 CLV_ETIMEOUT);
	o.lifetime_sec = 0;
	assert_int_equal(clv_object_check_time(&o, NOW_SEC), CLV_ERANGE);
	o.lifetime_sec = CLV_OBJECT_LIFETIME_MAX_SEC + 1;
	assert_int_equal(clv_object_check_time(&o, NOW_SEC), CLV_ERANGE);
	o.lifetime_sec = CLV_OBJECT_LIFETIME_MAX_SEC;
	assert_int_equal(clv_object_check_time(&o, NOW_SEC), 0);
}

static void a_replay_is_noticed_whoever_else_came_between(void **state)
{
	struct clv_object_seen seen;
	struct clv_object o = a_record(), other = a_record();

	(void)state;
	memset(&seen, 0, sizeof(seen));
	assert_true(clv_object_is_new(&seen, &o));
	assert_false(clv_object_is_new(&seen, &o));
	for (unsigned i = 1; i < CLV_OBJECT_SEEN; i++) {
		other.id.bytes[0] = (uint8_t)i;
		assert_true(clv_object_is_new(&seen, &other));
	}
	assert_false(clv_object_is_new(&seen, &o));
	o.seq--;
	assert_false(clv_object_is_new(&seen, &o));
	o.seq += 2;
	assert_true(clv_object_is_new(&seen, &o));
}

/* The TLVs behind the fixed part, as the only ones of a record. */
static int read_with(uint8_t kind, const uint8_t *tlvs, size_t tlvs_len, struct clv_object *out)
{
	static uint8_t bytes[CLV_OBJECT_MAX];
	size_t body_len = 48 + tlvs_len;

	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, "CLVO\1", 5);
	bytes[5] = kind;
	bytes[6] = (uint8_t)(body_len >> 8);
	bytes[7] = (uint8_t)body_len;
	bytes[BODY_AT + 39] = 1; /* a sequence */
	memcpy(bytes + TLVS_AT, tlvs, tlvs_len);
	bytes[BODY_AT + body_len] = CLV_SIGNER_SIGNATURE_LEN >> 8;
	bytes[BODY_AT + body_len + 1] = CLV_SIGNER_SIGNATURE_LEN & 0xff;
	return clv_object_read(bytes, BODY_AT + body_len + TAIL_LEN, out);
}

static void bodies_are_read_or_refused(void **state)
{
	static const struct {
		const char *name;
		int err;
		size_t len;
		uint8_t kind;
		uint8_t tlvs[40];
	} rows[] = {
		{ "nothing", 0, 0, CLV_OBJECT_RECORD, { 0 } },
		{ "a later kind", 0, 0, 77, { 0 } },
		{ "kind 0", CLV_EPROTO, 0, 0, { 0 } },
		{ "an unknown TLV", 0, 5, CLV_OBJECT_RECORD, { 200, 0, 2, 1, 2 } },
		{ "an unknown TLV twice", 0, 6, CLV_OBJECT_RECORD, { 9, 0, 0, 9, 0, 0 } },
		{ "a TLV cut in its head", CLV_EPROTO, 2, CLV_OBJECT_RECORD, { 9, 0 } },
		{ "a TLV beyond the body", CLV_EPROTO, 4, CLV_OBJECT_RECORD, { 9, 0, 2, 1 } },
		{ "an endpoint",
		  0,
		  12,
		  CLV_OBJECT_RECORD,
		  { 2, 0, 9, 1, 1, 4, 1, 2, 192, 0, 2, 1 } },
		{ "an endpoint of a later use",
		  0,
		  12,
		  CLV_OBJECT_RECORD,
		  { 2, 0, 9, 99, 99, 4, 1, 2, 192, 0, 2, 1 } },
		{ "port 0",
		  CLV_EPROTO,
		  12,
		  CLV_OBJECT_RECORD,
		  { 2, 0, 9, 1, 1, 4, 0, 0, 192, 0, 2, 1 } },
		{ "address 0",
		  CLV_EPROTO,
		  12,
		  CLV_OBJECT_RECORD,
		  { 2, 0, 9, 1, 1, 4, 1, 2, 0, 0, 0, 0 } },
		{ "a family that is none",
		  CLV_EPROTO,
		  12,
		  CLV_OBJECT_RECORD,
		  { 2, 0, 9, 1, 1, 5, 1, 2, 192, 0, 2, 1 } },
		{ "IPv4 in IPv6",
		  CLV_EPROTO,
		  24,
		  CLV_OBJECT_RECORD,
		  { 2, 0, 21, 1, 1, 6, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1 } },
		{ "a relay cut short", CLV_EPROTO, 6, CLV_OBJECT_RECORD, { 3, 0, 3, 1, 2, 3 } },
		{ "capabilities", 0, 7, CLV_OBJECT_ADVERT, { 4, 0, 4, 0, 0, 0, 1 } },
		{ "capabilities twice",
		  CLV_EPROTO,
		  14,
		  CLV_OBJECT_ADVERT,
		  { 4, 0, 4, 0, 0, 0, 1, 4, 0, 4, 0, 0, 0, 1 } },
		{ "short capabilities", CLV_EPROTO, 6, CLV_OBJECT_ADVERT, { 4, 0, 3, 0, 0, 1 } },
		{ "a region", 0, 5, CLV_OBJECT_ADVERT, { 5, 0, 2, 'e', 'u' } },
		{ "an empty region", CLV_EPROTO, 3, CLV_OBJECT_ADVERT, { 5, 0, 0 } },
		{ "a region with a zero", CLV_EPROTO, 5, CLV_OBJECT_ADVERT, { 5, 0, 2, 'e', 0 } },
		{ "half a neighbour", CLV_EPROTO, 7, CLV_OBJECT_ADVERT, { 7, 0, 4, 1, 2, 3, 4 } },
		{ "a short key", CLV_EPROTO, 5, CLV_OBJECT_RECORD, { 1, 0, 2, 1, 2 } },
		{ "a knock for nobody", CLV_EPROTO, 0, CLV_OBJECT_KNOCK, { 0 } },
		{ "a short knock", CLV_EPROTO, 5, CLV_OBJECT_KNOCK, { 8, 0, 2, 1, 2 } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct clv_object o;

		CHECK_ROW(rows[i].name,
			  read_with(rows[i].kind, rows[i].tlvs, rows[i].len, &o) == rows[i].err);
	}
}

static void no_more_endpoints_are_read_than_there_is_room_for(void **state)
{
	static const uint8_t one[] = { 2, 0, 9, 1, 1, 4, 1, 2, 192, 0, 2, 1 };
	uint8_t tlvs[sizeof(one) * (CLV_OBJECT_ENDPOINTS_MAX + 1)];
	struct clv_object o;

	(void)state;
	for (size_t i = 0; i <= CLV_OBJECT_ENDPOINTS_MAX; i++)
		memcpy(tlvs + i * sizeof(one), one, sizeof(one));
	assert_int_equal(read_with(CLV_OBJECT_RECORD, tlvs, sizeof(tlvs) - sizeof(one), &o), 0);
	assert_int_equal(o.own_len, CLV_OBJECT_ENDPOINTS_MAX);
	assert_int_equal(read_with(CLV_OBJECT_RECORD, tlvs, sizeof(tlvs), &o), CLV_EPROTO);
}

static void a_later_version_is_told_from_garbage(void **state)
{
	const struct clv_object made = a_record();
	uint8_t bytes[CLV_OBJECT_MAX];
	struct clv_object o;
	size_t len;

	(void)state;
	assert_int_equal(clv_object_sign(&made, signer, bytes, &len), 0);
	bytes[4] = 2;
	assert_int_equal(clv_object_read(bytes, len, &o), CLV_ERANGE);
	bytes[4] = 0;
	assert_int_equal(clv_object_read(bytes, len, &o), CLV_EPROTO);
}

static void what_nobody_could_read_is_not_signed(void **state)
{
	struct clv_object made = a_record();
	uint8_t bytes[CLV_OBJECT_MAX];
	size_t len;

	(void)state;
	made.endpoints[0].at.port = 0;
	assert_int_equal(clv_object_sign(&made, signer, bytes, &len), CLV_EPROTO);
	made = a_record();
	made.relays[0].len = 2;
	assert_int_equal(clv_object_sign(&made, signer, bytes, &len), CLV_EPROTO);
	made = a_record();
	made.kind = CLV_OBJECT_KNOCK;
	assert_int_equal(clv_object_sign(&made, signer, bytes, &len), CLV_EPROTO);
	made = an_advert();
	made.neighbours_len = 500;
	made.neighbours = (const uint8_t[4000]){ 0 };
	assert_int_equal(clv_object_sign(&made, signer, bytes, &len), CLV_ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("each kind is signed, read and verified",
		     each_kind_is_signed_read_and_verified),
		CASE("every changed byte is noticed", every_changed_byte_is_noticed),
		CASE("what is cut or too long is not read", what_is_cut_or_too_long_is_not_read),
		CASE("nobody signs for the identity of another",
		     nobody_signs_for_the_identity_of_another),
		CASE("one without its key is verified with a known one",
		     one_without_its_key_is_verified_with_a_known_one),
		CASE("the time is judged with a clock that may be wrong",
		     the_time_is_judged_with_a_clock_that_may_be_wrong),
		CASE("a replay is noticed, whoever else came between",
		     a_replay_is_noticed_whoever_else_came_between),
		CASE("bodies are read or refused", bodies_are_read_or_refused),
		CASE("no more endpoints are read than there is room for",
		     no_more_endpoints_are_read_than_there_is_room_for),
		CASE("a later version is told from garbage", a_later_version_is_told_from_garbage),
		CASE("what nobody could read is not signed", what_nobody_could_read_is_not_signed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
