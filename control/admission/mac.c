/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/mac.h"

#include "datapath/base/err.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hmac.h>

int clv_mac(const uint8_t key[static CLV_MAC_KEY_LEN], const void *data, size_t len,
	    uint8_t out[static CLV_MAC_LEN])
{
	Hmac hmac;
	int err;

	if (len > UINT32_MAX || wc_HmacInit(&hmac, NULL, INVALID_DEVID) != 0)
		return CLV_ETLS;
	err = wc_HmacSetKey(&hmac, WC_SHA256, key, CLV_MAC_KEY_LEN);
	if (!err)
		err = wc_HmacUpdate(&hmac, data, (word32)len);
	if (!err)
		err = wc_HmacFinal(&hmac, out);
	wc_HmacFree(&hmac);
	return err ? CLV_ETLS : 0;
}
