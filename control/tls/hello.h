/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * hello - find out, as a ClientHello arrives, whether it offers one of our groups.
 *
 *   ClientHello (RFC 8446 section 4.1.2), each length in network byte order:
 *     msg_type 1 = 1 | length 3 | legacy_version 2 | random 32
 *     | session ID 1+n | cipher suites 2+n | compression methods 1+n | extensions 2+n
 *   extension:         type 2 | length 2 | data
 *   supported_groups:  type 10; data: length 2 | group 2 | group 2 | ...
 *
 * The TLS library answers a client that offers none of our groups with a HelloRetryRequest for a
 * group that the client never listed.  It has to be a handshake_failure (RFC 8446 section 4.1.1), so
 * the client's list is read before the library gets it.  Keeps no bytes.
 *
 * Threading: its connection's.
 */
#ifndef CLV_TLS_HELLO_H
#define CLV_TLS_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum clv_hello_result {
	CLV_HELLO_MORE = 0,    /* it is not complete yet */
	CLV_HELLO_OFFERED,     /* it lists one of the groups */
	CLV_HELLO_NOT_OFFERED, /* it has a list without them: handshake_failure */
	CLV_HELLO_NO_LIST,     /* it has no list: missing_extension (RFC 8446 section 9.2) */
	CLV_HELLO_UNREADABLE, /* not a ClientHello, or its lengths disagree: the library's to refuse */
};

struct clv_hello {
	const int *groups; /* ours */
	size_t groups_len;
	uint8_t step;	    /* of hello.c's: what comes next */
	uint8_t number_len; /* bytes of number that are missing */
	uint32_t number;
	uint32_t skip;	       /* bytes to pass over before that */
	uint32_t message_left; /* bytes behind the head */
	uint32_t extensions_left;
	uint32_t list_left;
	bool has_list, is_offered;
	uint8_t result;
};

/* groups: lends, TLS code points, as long as hello is used. */
void clv_hello_init(struct clv_hello *hello, const int *groups, size_t groups_len);

/* Take the next bytes.  Once the result is not CLV_HELLO_MORE, it stays what it is. */
enum clv_hello_result clv_hello_feed(struct clv_hello *hello, const uint8_t *data, size_t len);

#endif
