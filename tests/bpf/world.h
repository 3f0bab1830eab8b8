/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * world - the loaded XDP program, its maps filled as those of a running relay.
 *
 *   198.51.100.1 and 2001:db8:1::1   the relay: QUIC on 443, tunnels' ports 40000.. (see world.c)
 *   203.0.113.7  and 2001:db8:7::7   a remote; has contexts from its port 7000, and 7002 at an open port
 *   10.0.0.0/8, 2001:db8:dead::/48   denied, but 10.1.0.0/16 and 2001:db8:dead:1::/64 allowed
 *
 * Frames run by BPF_PROG_TEST_RUN, as if received on queue 0 of the loopback interface.
 */
#ifndef CLV_TEST_WORLD_H
#define CLV_TEST_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "culvert.skel.h"
#include "tests/bpf/frame.h"

enum {
	PORT_QUIC = 443,
	PORT_OPEN = 40000,    /* bound, uncompressed context open */
	PORT_CLOSED = 40001,  /* bound, only remotes with a context */
	PORT_UNBOUND = 40002, /* nobody's, though a context exists for it */
	PORT_FOREIGN = 50000, /* the host's own */
	WORLD_XSK_BASE = 128,
};

#define RELAY6	"2001:db8:1::1"
#define REMOTE6 "2001:db8:7::7"

extern const uint8_t known_cid[CLV_CID_LEN], unknown_cid[CLV_CID_LEN];
extern const struct clv_ref known_conn, open_tunnel, closed_tunnel;

struct world {
	struct culvert_bpf *skel;
	int xsk_fd;	      /* an AF_XDP socket that only fills its slot of xsks */
	bool has_no_metadata; /* set before world_open: do as on a driver without metadata */
};

/* The result for one frame. */
struct outcome {
	uint32_t action; /* enum xdp_action */
	enum clv_xdp_counter counted;
	unsigned meta_len;
	uint8_t meta[256];
	uint8_t frame[FRAME_MAX + 256];
	size_t frame_len;
};

/* Without the capabilities for this: prints why and skips the running test. */
void need_root(void);

/* Fails the running test when anything goes wrong. */
void world_open(struct world *w);
void world_close(struct world *w);

/* One for a whole group of cases, and its set-up and tear-down; without root nothing is opened. */
extern struct world group_world;
int group_open(void **state);
int group_close(void **state);

/* Add a rule to the list of clients; bits: of the address as written. */
void world_set_client(const struct world *w, const char *text, unsigned bits,
		      enum clv_verdict verdict);

/* Move the calling process into a new network namespace, its loopback interface up. */
void world_isolate(void);

/* Sum over all CPUs. */
struct clv_count world_count(const struct world *w, enum clv_xdp_counter counter);

/*
 * Run one frame of at least 14 bytes, meta_len bytes of metadata in front of it.  Asserts what holds
 * for every frame: SEEN and exactly one other counter grew by one packet and the frame's bytes, and
 * the action is the one that abi.h lists for that counter.
 */
void world_run(const struct world *w, const uint8_t *frame, size_t len, unsigned meta_len,
	       struct outcome *out);

#endif
