/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * name_server - a DNS server on a loopback port of the test's own event loop.
 */
#ifndef TESTS_UNIT_HOST_NAME_SERVER_H
#define TESTS_UNIT_HOST_NAME_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

enum {
	SERVER_RECORDS_MAX = 64,
	SERVER_NOERROR = 0,
	SERVER_FORMERR = 1,
	SERVER_SERVFAIL = 2,
	SERVER_NXDOMAIN = 3,
	SERVER_REFUSED = 5,
};

/* What is answered for one name and type; a name without any has no such record: NXDOMAIN. */
struct server_record {
	const char *name; /* "*" for all that are not listed */
	int type;	  /* 1 A, 28 AAAA, 0 both */
	int rcode;
	const char *addrs; /* with blanks between */
	uint32_t ttl_sec;
	unsigned delay_ms;
	bool is_silent;
	const char *alias; /* a CNAME in front of the addresses */
	bool is_damaged;   /* the answer ends in the middle of a record */
	unsigned count;	   /* of addresses, instead of addrs: 192.0.2.0, 192.0.2.1, ... */
};

struct server {
	uv_udp_t udp;
	uint16_t port; /* host order */
	const struct server_record *records;
	size_t records_len;
	unsigned questions[2]; /* A, AAAA */
	uint16_t client_ports[1024];
	size_t client_ports_len; /* different ones */
	char last[256];		 /* the name asked for last */
	unsigned waiting;	 /* answers that are delayed */
};

/* Listen on a free port of 127.0.0.1, or on the given one.  records: borrows. */
void server_open(uv_loop_t *loop, struct server *s, uint16_t port,
		 const struct server_record *records, size_t len);
/* Run the loop until it is closed. */
void server_close(struct server *s);

#endif
