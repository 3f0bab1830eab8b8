/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Any bytes as a signed object.  What is read, written again without its signature and read once more
 * says the same; nothing is read from beyond the bytes.  Signatures are not checked: those of a search
 * would all be wrong.
 */
#include <string.h>

#include "control/masque/object.h"
#include "datapath/base/err.h"
#include "tests/fuzz/fuzz.h"

static void check_again(const struct clv_object *o)
{
	static uint8_t bytes[CLV_OBJECT_MAX];
	struct clv_object again;
	size_t len;
	int err = clv_object_write(o, bytes, &len);

	CHECK(err == 0);
	bytes[len] = CLV_SIGNER_SIGNATURE_LEN >> 8;
	bytes[len + 1] = CLV_SIGNER_SIGNATURE_LEN & 0xff;
	CHECK(clv_object_read(bytes, len + 2 + CLV_SIGNER_SIGNATURE_LEN, &again) == 0);
	CHECK(again.seq == o->seq && again.kind == o->kind && again.flags == o->flags);
	CHECK(again.own_len == o->own_len && again.endpoints_len == o->endpoints_len);
	CHECK(memcmp(again.endpoints, o->endpoints, sizeof(o->endpoints)) == 0);
	CHECK(again.relays_len == o->relays_len);
	CHECK(memcmp(again.relays, o->relays, sizeof(o->relays)) == 0);
	CHECK(again.capabilities == o->capabilities && strcmp(again.region, o->region) == 0);
	CHECK(again.has_knock == o->has_knock && memcmp(&again.to, &o->to, sizeof(o->to)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + !size); /* so that reading beyond is noticed */
	struct clv_object o;
	int err;

	CHECK(copy);
	memcpy(copy, data, size);
	err = clv_object_read(copy, size, &o);
	CHECK(err == 0 || err == CLV_ETRUNC || err == CLV_ERANGE || err == CLV_EPROTO);
	if (!err) {
		CHECK(o.endpoints_len <= CLV_OBJECT_ENDPOINTS_MAX && o.own_len <= o.endpoints_len);
		CHECK(o.signed_len + 2 + CLV_SIGNER_SIGNATURE_LEN == size);
		clv_object_check_time(&o, o.issued_sec);
		check_again(&o);
	}
	free(copy);
	return 0;
}
