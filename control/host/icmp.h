/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * icmp - receive ICMP errors about the datagrams of tunnels, and send "too big".
 *
 *   type 1 | code 1 | checksum 2 | 4 bytes, part of them the MTU | the offending packet, truncated
 *
 * Anybody can forge these errors.  They can only reduce a path MTU, never below the minimum of the
 * address family, and only that of the 4-tuple in the quoted packet.
 *
 * Spec: RFC 792 and RFC 1191; RFC 4443 and RFC 8201; RFC 9298 section 5 (too big for the tunnel).
 * Threading: control.
 */
#ifndef CLV_HOST_ICMP_H
#define CLV_HOST_ICMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "datapath/base/counters.h"

enum {
	CLV_ICMP_MTU_MIN4 = 576,  /* RFC 791: every host accepts it; less is not believed */
	CLV_ICMP_MTU_MIN6 = 1280, /* RFC 8200 section 5 */
};

/* An error about a UDP datagram that we sent. */
struct clv_icmp_error {
	struct clv_tuple tuple; /* of the quoted packet; local is our end */
	uint32_t mtu;		/* bytes of an IP packet; 0: the error was not about size */
};

/*
 * Decode message[0..len), which starts at the ICMP header.  Verifies the checksum for IPv4; the
 * kernel has verified that of ICMPv6.
 * Returns 0 and fills *out, or CLV_EPROTO: another message, not about plain UDP, or inconsistent.
 */
int clv_icmp_decode(bool is_v6, const uint8_t *message, size_t len, struct clv_icmp_error *out);

struct clv_icmp;

/*
 * Open raw sockets of the families that the host has.  per_sec: messages processed per second.
 * counters: borrows.  Returns 0 and fills *out, or -ENOMEM or -errno (-EPERM without CAP_NET_RAW).
 */
int clv_icmp_open(uint32_t per_sec, struct clv_counters *counters, struct clv_icmp **out);
void clv_icmp_close(struct clv_icmp *icmp); /* accepts NULL */

/* Returns the descriptor to poll, or -1.  family: 4 or 6. */
int clv_icmp_fd(const struct clv_icmp *icmp, int family);

/* Receive what is waiting and call on_error for each error about UDP.  error: borrows. */
void clv_icmp_receive(struct clv_icmp *icmp, uint64_t now_ns,
		      void (*on_error)(void *user, const struct clv_icmp_error *error), void *user);

/*
 * Report to tuple's remote that its packet was larger than mtu.  quote[0..len): the packet from its
 * IP header on, already truncated.  Counts messages that the kernel refuses to send.
 */
void clv_icmp_send_too_big(struct clv_icmp *icmp, const struct clv_tuple *tuple, uint32_t mtu,
			   const uint8_t *quote, size_t len);

#endif
