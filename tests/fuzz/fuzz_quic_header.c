/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fuzz_quic_header - UDP payloads from anyone, before any key is known. */
#include <ngtcp2/ngtcp2.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/quic/cid.h"
#include "tests/fuzz/fuzz.h"

/* The QUIC library reads the same packets after us: both must see the same IDs. */
static void compare(const uint8_t *data, size_t size, int err, const struct clv_quic_header *h)
{
	ngtcp2_version_cid vc;
	int rv = ngtcp2_pkt_decode_version_cid(&vc, data, size, CLV_CID_LEN);

	if (rv != 0 && rv != NGTCP2_ERR_VERSION_NEGOTIATION)
		return; /* it refuses more than the version-independent rules do */
	CHECK(!err);
	CHECK(vc.dcidlen == h->dcid_len && vc.dcid == h->dcid);
	CHECK(vc.scidlen == h->scid_len && (!h->is_long || vc.scid == h->scid));
	CHECK(vc.version == h->version);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct clv_quic_header h;
	int err = clv_quic_header_decode(data, size, &h);

	CHECK(err == 0 || err == CLV_ETRUNC);
	if (!err) {
		const uint8_t *end = data + size;

		CHECK(h.first == data[0]);
		CHECK(h.dcid > data && h.dcid_len <= (size_t)(end - h.dcid));
		if (h.is_long)
			CHECK(h.scid == h.dcid + h.dcid_len + 1 &&
			      h.scid_len <= (size_t)(end - h.scid));
		else
			CHECK(h.dcid_len == CLV_CID_LEN && !h.scid && !h.scid_len);
	}
	if (size)
		compare(data, size, err, &h);
	return 0;
}
