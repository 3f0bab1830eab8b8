/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Any bytes as the certificates of a client, each behind two bytes of its length: they are judged
 * good or there is a reason, and no key is told of those that are not good.
 */
#include <string.h>

#include "control/tls/chain.h"
#include "tests/fuzz/fuzz.h"

static size_t read_certs(const uint8_t *data, size_t size,
			 struct clv_der certs[static CLV_CHAIN_CERTS_MAX])
{
	size_t n = 0;

	while (size >= 2 && n < CLV_CHAIN_CERTS_MAX) {
		size_t len = (size_t)(data[0] << 8 | data[1]);

		data += 2;
		size -= 2;
		if (len > size)
			len = size;
		certs[n].data = malloc(len ? len
					   : 1); /* of its own, so that a reader past it is seen */
		CHECK(certs[n].data);
		memcpy(certs[n].data, data, len);
		certs[n++].len = len;
		data += len;
		size -= len;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct clv_der certs[CLV_CHAIN_CERTS_MAX];
	size_t n = read_certs(data, size, certs);
	bool is_good[2];

	for (int profile = 0; profile < 2; profile++) {
		struct clv_chain_client client = { .key = { 1 } };
		char why[CLV_CHAIN_WHY_MAX] = "";
		enum clv_chain_fault fault = clv_chain_judge_client((enum clv_profile)profile,
								    certs, n, &client, why);

		is_good[profile] = fault == CLV_CHAIN_GOOD;
		CHECK(is_good[profile] || *why);
		CHECK(is_good[profile] || (client.key[0] == 1 && !client.has_ca));
		CHECK(!client.has_ca || (n > 1 && memcmp(client.ca, client.key, 32) != 0));
	}
	CHECK(!is_good[CLV_PROFILE_PQC] || is_good[CLV_PROFILE_HYBRID]);
	for (size_t i = 0; i < n; i++)
		free(certs[i].data);
	return 0;
}
