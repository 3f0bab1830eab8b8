/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * icmp - errors about the datagrams of tunnels: reading those that come, sending "too big".
 *
 *   type 1 | code 1 | checksum 2 | 4 bytes, of which the MTU | the packet it is about, cut short
 *
 * What comes is anybody's word: it only ever makes a path narrower, never below what the family
 * guarantees, and only for a 4-tuple that the quoted packet names.
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
	CLV_ICMP_MTU_MIN4 = 576,  /* RFC 791: what every host takes; less is not believed */
	CLV_ICMP_MTU_MIN6 = 1280, /* RFC 8200 section 5 */
};

/* An error about a UDP datagram that we sent. */
struct clv_icmp_error {
	struct clv_tuple tuple; /* of the quoted packet, seen from us */
	uint32_t mtu;		/* bytes of an IP packet; 0: it was not about size */
};

/*
 * Read message[0..len), from the ICMP header on.  The IPv4 checksum is checked, that of ICMPv6 the
 * kernel has checked.
 * Returns 0 and fills *out, or CLV_EPROTO: no such error, about no plain UDP, or it contradicts itself.
 */
int clv_icmp_decode(bool is_v6, const uint8_t *message, size_t len, struct clv_icmp_error *out);

struct clv_icmp;

/*
 * Open raw sockets of the families the host has.  per_sec: messages looked at, in a second.
 * counters: borrows.  Returns 0 and fills *out, or -ENOMEM, or -errno (EPERM without the right).
 */
int clv_icmp_open(uint32_t per_sec, struct clv_counters *counters, struct clv_icmp **out);
void clv_icmp_close(struct clv_icmp *icmp); /* accepts NULL */

/* Descriptor to poll, or -1.  family: 4 or 6. */
int clv_icmp_fd(const struct clv_icmp *icmp, int family);

/* Read what came, and say each error that may be ours.  error: borrows. */
void clv_icmp_receive(struct clv_icmp *icmp, uint64_t now_ns,
		      void (*said)(void *user, const struct clv_icmp_error *error), void *user);

/*
 * Tell tuple's remote that its packet was larger than mtu.  quote[0..len): the packet from its IP
 * header on, already cut.  Counts what the kernel does not send.
 */
void clv_icmp_send_too_big(struct clv_icmp *icmp, const struct clv_tuple *tuple, uint32_t mtu,
			   const uint8_t *quote, size_t len);

#endif
