/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "control/peer/probe.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/rand.h"
#include "datapath/crypto/aead.h"

struct pair {
	struct clv_rand rand;
	struct clv_probe *a, *b; /* each knows the other's key */
	uint64_t now_ns;
};

static void introduce(struct clv_probe *from, struct clv_probe *to)
{
	struct clv_peer_hello hello = { .version = 1 };

	clv_probe_fill_hello(from, &hello);
	assert_int_equal(clv_probe_set_peer(to, &hello), 0);
}

static int begin(void **state)
{
	static struct pair p;

	p.now_ns = CLV_SEC;
	clv_rand_init(&p.rand, 7);
	assert_int_equal(clv_probe_new(&p.rand, p.now_ns, &p.a), 0);
	assert_int_equal(clv_probe_new(&p.rand, p.now_ns, &p.b), 0);
	introduce(p.a, p.b);
	introduce(p.b, p.a);
	*state = &p;
	return 0;
}

static int end(void **state)
{
	struct pair *p = *state;

	clv_probe_free(p->a);
	clv_probe_free(p->b);
	assert_int_equal(clv_aead_live(), 0);
	return 0;
}

static struct clv_probe_message request(uint64_t transaction, uint32_t sent_ms)
{
	return (struct clv_probe_message){ .type = CLV_PROBE_REQUEST,
					   .round = 3,
					   .transaction = transaction,
					   .sent_ms = sent_ms,
					   .local_seq = 1,
					   .remote_seq = 2,
					   .size = CLV_PROBE_MIN };
}

static enum clv_probe_verdict pass(struct pair *p, const struct clv_probe_message *m)
{
	uint8_t datagram[CLV_PROBE_MAX];
	struct clv_probe_message out;

	assert_int_equal(clv_probe_seal(p->a, m, datagram), m->size);
	return clv_probe_open(p->b, datagram, m->size, p->now_ns, &out);
}

static void a_message_arrives_as_it_was_sent(void **state)
{
	static const char *const observed[] = { NULL, "192.0.2.1:4433", "[2001:db8::1]:65535" };
	static const uint16_t sizes[] = { 74, 75, 1199, 1200 };
	struct pair *p = *state;
	uint64_t transaction = UINT64_MAX;

	for (size_t i = 0; i < sizeof(observed) / sizeof(observed[0]); i++) {
		for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
			struct clv_probe_message m = request(transaction--, 0xfffffff0);
			struct clv_probe_message out;
			uint8_t d[CLV_PROBE_MAX];

			m.type = i ? CLV_PROBE_RESPONSE : CLV_PROBE_REQUEST;
			m.size = sizes[k];
			m.has_observed = observed[i] != NULL;
			if (observed[i])
				assert_int_equal(clv_endpoint_parse(observed[i], &m.observed), 0);
			assert_int_equal(clv_probe_seal(p->a, &m, d), m.size);
			assert_int_equal(d[0] & 0xc0, 0x40);
			assert_true(clv_probe_is_ours(p->b, d, m.size));
			assert_false(clv_probe_is_ours(p->a, d, m.size));
			assert_int_equal(clv_probe_open(p->b, d, m.size, p->now_ns, &out),
					 CLV_PROBE_OPENED);
			assert_int_equal(out.type, m.type);
			assert_int_equal(out.round, m.round);
			assert_int_equal(out.transaction, m.transaction);
			assert_int_equal(out.sent_ms, m.sent_ms);
			assert_int_equal(out.local_seq, m.local_seq);
			assert_int_equal(out.remote_seq, m.remote_seq);
			assert_int_equal(out.size, m.size);
			assert_int_equal(out.has_observed, m.has_observed);
			assert_memory_equal(&out.observed, &m.observed, sizeof(m.observed));
		}
	}
}

static void other_sizes_are_neither_sealed_nor_opened(void **state)
{
	struct pair *p = *state;
	struct clv_probe_message m = request(1, 0), out;
	uint8_t d[CLV_PROBE_MAX + 1] = { 0 };

	m.size = CLV_PROBE_MIN - 1;
	assert_int_equal(clv_probe_seal(p->a, &m, d), CLV_ERANGE);
	m.size = CLV_PROBE_MAX + 1;
	assert_int_equal(clv_probe_seal(p->a, &m, d), CLV_ERANGE);
	m.size = CLV_PROBE_MAX;
	assert_int_equal(clv_probe_seal(p->a, &m, d), CLV_PROBE_MAX);
	assert_int_equal(clv_probe_open(p->b, d, CLV_PROBE_MAX + 1, p->now_ns, &out),
			 CLV_PROBE_BAD_SIZE);
	assert_int_equal(clv_probe_open(p->b, d, CLV_PROBE_MIN - 1, p->now_ns, &out),
			 CLV_PROBE_BAD_SIZE);
	assert_int_equal(clv_probe_count(p->b, CLV_PROBE_BAD_SIZE), 2);
	/* Too short to hold a CID: it is somebody else's. */
	for (size_t len = 0; len < 9; len++)
		assert_int_equal(clv_probe_open(p->b, d, len, p->now_ns, &out), CLV_PROBE_FOREIGN);
}

static void every_changed_bit_is_noticed(void **state)
{
	struct pair *p = *state;
	struct clv_probe_message m = request(1, 0), out;
	uint8_t d[CLV_PROBE_MAX];

	assert_int_equal(clv_probe_seal(p->a, &m, d), m.size);
	for (size_t bit = 0; bit < m.size * 8u; bit++) {
		enum clv_probe_verdict v;

		d[bit / 8] ^= (uint8_t)(1 << bit % 8);
		v = clv_probe_open(p->b, d, m.size, p->now_ns, &out);
		/* The two highest bits, and those of the CID, say whom it is for. */
		assert_int_equal(v, bit == 6 || bit == 7 || bit / 8 - 1 < 8 ? CLV_PROBE_FOREIGN
									    : CLV_PROBE_BAD_TAG);
		d[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = CLV_PROBE_MIN; len < 200; len++)
		assert_int_equal(clv_probe_open(p->b, d, len, p->now_ns, &out),
				 len == m.size ? CLV_PROBE_OPENED : CLV_PROBE_BAD_TAG);
}

static void what_was_seen_is_not_opened_again(void **state)
{
	struct pair *p = *state;
	uint8_t kept[600][CLV_PROBE_MIN];
	struct clv_probe_message out;

	for (unsigned i = 0; i < 600; i++) {
		struct clv_probe_message m = request(1000 + i, 5000 + i);
		uint8_t d[CLV_PROBE_MAX];

		assert_int_equal(clv_probe_seal(p->a, &m, d), m.size);
		memcpy(kept[i], d, m.size);
		assert_int_equal(clv_probe_open(p->b, d, m.size, p->now_ns, &out),
				 CLV_PROBE_OPENED);
	}
	/* Of the last 256 the transactions are known, of all before when they were sent. */
	for (unsigned i = 0; i < 600; i++)
		assert_int_equal(clv_probe_open(p->b, kept[i], CLV_PROBE_MIN, p->now_ns, &out),
				 i < 600 - 256 ? CLV_PROBE_OLD : CLV_PROBE_REPLAYED);
	assert_int_equal(clv_probe_count(p->b, CLV_PROBE_OPENED), 600);
}

static void late_ones_are_opened_and_old_ones_are_not(void **state)
{
	struct pair *p = *state;
	struct clv_probe_message m = request(1, 3); /* around the wrap of the sender's clock */

	assert_int_equal(pass(p, &m), CLV_PROBE_OPENED);
	m = request(2, (uint32_t)(3 - CLV_PROBE_AGE_MAX_MS));
	assert_int_equal(pass(p, &m), CLV_PROBE_OPENED);
	m = request(3, (uint32_t)(3 - CLV_PROBE_AGE_MAX_MS - 1));
	assert_int_equal(pass(p, &m), CLV_PROBE_OLD);
	m = request(4, 1000000);
	assert_int_equal(pass(p, &m), CLV_PROBE_OPENED);
	m = request(5, 3);
	assert_int_equal(pass(p, &m), CLV_PROBE_OLD);
}

static void a_new_key_takes_over_without_a_gap(void **state)
{
	struct pair *p = *state;
	struct clv_probe_message m = request(1, 0), out;
	uint8_t before[CLV_PROBE_MAX], d[CLV_PROBE_MAX];

	assert_false(clv_probe_is_due(p->b, p->now_ns + 24 * 3600 * CLV_SEC - 1));
	assert_true(clv_probe_is_due(p->b, p->now_ns + 24 * 3600 * CLV_SEC));
	p->now_ns += 24 * 3600 * CLV_SEC;
	assert_int_equal(clv_probe_seal(p->a, &m, before), m.size);
	assert_int_equal(clv_probe_renew(p->b, p->now_ns), 0);
	assert_false(clv_probe_is_due(p->b, p->now_ns));

	/* The peer does not know yet. */
	assert_int_equal(clv_probe_open(p->b, before, m.size, p->now_ns, &out), CLV_PROBE_OPENED);
	assert_int_equal(clv_probe_open(p->b, before, m.size, p->now_ns, &out), CLV_PROBE_REPLAYED);
	introduce(p->b, p->a);
	m.transaction = 2;
	assert_int_equal(clv_probe_seal(p->a, &m, d), m.size);
	assert_memory_not_equal(d + 1, before + 1, CLV_PROBE_CID_LEN);
	assert_int_equal(clv_probe_open(p->b, d, m.size, p->now_ns, &out), CLV_PROBE_OPENED);

	p->now_ns += 60 * CLV_SEC + 1;
	assert_int_equal(clv_probe_open(p->b, before, m.size, p->now_ns, &out), CLV_PROBE_FOREIGN);
}

static void without_the_peers_hello_nothing_is_sealed(void **state)
{
	struct pair *p = *state;
	struct clv_probe_message m = request(1, 0);
	uint8_t d[CLV_PROBE_MAX];
	struct clv_probe *alone;

	assert_int_equal(clv_probe_new(&p->rand, p->now_ns, &alone), 0);
	assert_false(clv_probe_has_peer(alone));
	assert_int_equal(clv_probe_seal(alone, &m, d), CLV_ECLOSED);
	clv_probe_free(alone);
	clv_probe_free(NULL);
}

static void verdicts_have_names(void **state)
{
	(void)state;
	assert_string_equal(clv_probe_verdict_name(CLV_PROBE_BAD_TAG), "bad_tag");
	for (int v = 0; v < CLV_PROBE_VERDICT_MAX; v++)
		assert_non_null(clv_probe_verdict_name((enum clv_probe_verdict)v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_message_arrives_as_it_was_sent, begin, end),
		cmocka_unit_test_setup_teardown(other_sizes_are_neither_sealed_nor_opened, begin,
						end),
		cmocka_unit_test_setup_teardown(every_changed_bit_is_noticed, begin, end),
		cmocka_unit_test_setup_teardown(what_was_seen_is_not_opened_again, begin, end),
		cmocka_unit_test_setup_teardown(late_ones_are_opened_and_old_ones_are_not, begin,
						end),
		cmocka_unit_test_setup_teardown(a_new_key_takes_over_without_a_gap, begin, end),
		cmocka_unit_test_setup_teardown(without_the_peers_hello_nothing_is_sealed, begin,
						end),
		cmocka_unit_test(verdicts_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
