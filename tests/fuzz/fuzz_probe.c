/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fuzz_probe - what claims to be a probe.  The first byte chooses:
 *
 *   even: the rest is a datagram behind our probe CID: nothing in it has a valid tag
 *   odd: the rest is the content of a datagram that the peer sealed
 */
#include <string.h>

#include "control/peer/probe.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/rand.h"
#include "datapath/crypto/aead_keys.h"
#include "tests/fuzz/fuzz.h"

enum { HEAD = 1 + CLV_PROBE_CID_LEN, SEALED_AT = HEAD + CLV_AEAD_NONCE_LEN };

static struct clv_rand seeded;
static struct clv_probe *probe;
static struct clv_peer_hello hello;
static struct clv_aead_key *key;

static void begin(void)
{
	clv_rand_init(&seeded, 1);
	CHECK(clv_probe_new(&seeded, CLV_SEC, &probe) == 0);
	clv_probe_fill_hello(probe, &hello);
	CHECK(clv_aead_key_new(hello.probe_key, sizeof(hello.probe_key), &key) == 0);
	CHECK(clv_probe_set_peer(probe, &hello) == 0); /* we are our own peer */
}

static void end(void)
{
	clv_aead_key_free(key);
	clv_probe_free(probe);
}

static size_t frame(const uint8_t *data, size_t size, uint8_t *datagram)
{
	datagram[0] = 0x40;
	memcpy(datagram + 1, hello.probe_cid, sizeof(hello.probe_cid));
	memcpy(datagram + HEAD, data, size);
	return HEAD + size;
}

static void check_opened(const uint8_t *datagram, size_t len, const struct clv_probe_message *m)
{
	struct clv_probe_message again = *m, out;
	uint8_t sealed[CLV_PROBE_MAX];

	CHECK(len >= CLV_PROBE_MIN && len <= CLV_PROBE_MAX && m->size == len);
	CHECK(m->type == CLV_PROBE_REQUEST || m->type == CLV_PROBE_RESPONSE);
	CHECK(clv_probe_open(probe, datagram, len, CLV_SEC, &out) == CLV_PROBE_REPLAYED);
	again.transaction++;
	CHECK(clv_probe_seal(probe, &again, sealed) == (int)len);
	CHECK(clv_probe_open(probe, sealed, len, CLV_SEC, &out) == CLV_PROBE_OPENED);
	CHECK(memcmp(&out, &again, sizeof(out)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t datagram[2 * CLV_PROBE_MAX] = { 0 };
	struct clv_probe_message m;
	enum clv_probe_verdict v;
	size_t len;

	if (size < 1 || size > CLV_PROBE_MAX + 20)
		return 0;
	begin();
	if (data[0] & 1) {
		len = SEALED_AT + size - 1 + CLV_AEAD_TAG_LEN;
		frame(data, 0, datagram);
		CHECK(clv_aead_key_seal(key, datagram + SEALED_AT, data + 1, size - 1,
					datagram + HEAD, datagram, SEALED_AT) == 0);
		v = clv_probe_open(probe, datagram, len, CLV_SEC, &m);
		CHECK((v == CLV_PROBE_BAD_SIZE) == (len < CLV_PROBE_MIN || len > CLV_PROBE_MAX));
		CHECK(v == CLV_PROBE_OPENED || v == CLV_PROBE_BAD_SIZE ||
		      v == CLV_PROBE_BAD_CONTENT);
		if (v == CLV_PROBE_OPENED)
			check_opened(datagram, len, &m);
	} else {
		len = frame(data + 1, size - 1, datagram);
		v = clv_probe_open(probe, datagram, len, CLV_SEC, &m);
		CHECK(v == CLV_PROBE_BAD_TAG || v == CLV_PROBE_BAD_SIZE);
		v = clv_probe_open(probe, data, size, CLV_SEC, &m);
		CHECK(v == CLV_PROBE_FOREIGN);
	}
	end();
	return 0;
}
