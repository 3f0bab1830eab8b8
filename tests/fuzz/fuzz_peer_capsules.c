/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fuzz_peer_capsules - a peer's control stream, at once and in pieces of the first byte's size. */
#include <string.h>

#include "control/peer/peer_capsules.h"
#include "datapath/base/bytes.h"
#include "datapath/base/err.h"
#include "tests/fuzz/fuzz.h"

struct seen {
	unsigned count;
	uint64_t sum; /* of the bytes of all capsules, written anew */
};

/* The four bytes of a type of ours. */
static uint64_t type_of(const uint8_t wire[static 4])
{
	return clv_load_be32(wire) & 0x3fffffff;
}

static int on_capsule(void *user, const struct clv_peer_capsule *capsule)
{
	uint8_t wire[CLV_PEER_CAPSULE_MAX];
	struct clv_peer_capsule again;
	struct seen *s = user;
	int len = clv_peer_capsule_encode(capsule, wire);
	int head = wire[4] < 0x40 ? 5 : 6;

	/* What we write means what came. */
	CHECK(len >= head && len <= CLV_PEER_CAPSULE_MAX);
	CHECK(clv_peer_capsule_is_known(type_of(wire)));
	CHECK(clv_peer_capsule_decode(type_of(wire), wire + head, (size_t)(len - head), &again) ==
	      0);
	CHECK(memcmp(&again, capsule, sizeof(again)) == 0);
	if (capsule->type == CLV_PEER_HELLO) {
		int version = clv_peer_hello_version(&capsule->hello);

		CHECK(version == CLV_PEER_VERSION || version == CLV_ERANGE ||
		      version == CLV_EPROTO);
	}
	for (int i = 0; i < len; i++)
		s->sum = s->sum * 31 + wire[i];
	s->count++;
	return s->count == 100 ? CLV_EFULL : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct clv_peer_capsule_reader whole = { 0 }, pieces = { 0 };
	struct seen a = { 0 }, b = { 0 };
	int err, piece_err = 0;

	if (size < 1)
		return 0;
	err = clv_peer_capsule_feed(&whole, data + 1, size - 1, on_capsule, &a);
	CHECK(err == 0 || err == CLV_EPROTO || err == CLV_EFULL);
	for (size_t at = 1, step = data[0] + 1u; at < size && !piece_err; at += step)
		piece_err = clv_peer_capsule_feed(
			&pieces, data + at, step < size - at ? step : size - at, on_capsule, &b);
	CHECK(err == piece_err && a.count == b.count && a.sum == b.sum);
	if (!err)
		CHECK(clv_peer_capsule_end(&whole) == clv_peer_capsule_end(&pieces));
	return 0;
}
