/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * frame - Ethernet frames from a description, valid by default and wrong where a test wants it.
 *
 *   Ethernet | VLAN tags | IPv4 (and options) or IPv6 (and one extension header) | UDP | payload | padding
 *
 * Threading: pure functions; any thread.
 */
#ifndef CLV_TEST_FRAME_H
#define CLV_TEST_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

enum {
	FRAME_MAX = 2048,
	FRAME_HOP_BY_HOP = 0x100, /* an extension of kind 0, which is also a member not set */
};

/* A zero member takes the value in brackets.  Numbers are host order. */
struct frame_spec {
	const char *src;    /* address text ["203.0.113.7"]; a colon anywhere makes it IPv6 */
	const char *dst;    /* ["198.51.100.1"], of the same family */
	uint16_t sport;	    /* [7000] */
	uint16_t dport;	    /* [443] */
	unsigned vlan_tags; /* [0] 0x8100, the outer one of several 0x88a8 */
	uint16_t ethertype; /* [the family's] */
	uint8_t version;    /* [the family's] of the IP header */
	uint8_t ihl;	    /* [5] words of IPv4 header; more than 5 come as no-operation options */
	uint16_t frag;	    /* [0] IPv4 flags and offset */
	uint8_t proto;	    /* [17] protocol, or the next header where UDP should be */
	uint16_t extension; /* [none] IPv6: kind of one 8-byte extension header before UDP */
	int ip_len_off;	    /* [0] added to the IP length that would be right */
	int udp_len_off;    /* [0] added to the UDP length that would be right */
	bool no_checksum;   /* [false] UDP checksum zero */
	const uint8_t *cid; /* [none] 8 bytes for payload[1..9) */
	uint8_t first;	    /* [0] payload[0] */
	unsigned payload_len; /* [0] bytes; those without a value of their own follow a pattern */
	unsigned padding;     /* [0] bytes after the IP packet */
};

/* Build the frame into out.  Returns its length; frame_spec errors are caught by assert. */
size_t frame_build(const struct frame_spec *spec, uint8_t out[static FRAME_MAX]);

/* Bytes of the frame in front of the UDP payload. */
size_t frame_payload_at(const struct frame_spec *spec);

/* 16 bytes of an address given as text, IPv4 mapped. */
void frame_address(const char *text, uint8_t out[static 16]);

/* An endpoint in the form of the maps.  port: host order. */
struct clv_endpoint frame_endpoint(const char *text, uint16_t port);

/* local: dst, remote: src of the frame that spec describes. */
struct clv_tuple frame_tuple(const struct frame_spec *spec);

#endif
