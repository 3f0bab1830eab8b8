/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * xsk_world - the AF_XDP port with the real XDP program, in a network namespace of its own:
 *
 *   a peer's raw socket on pa -- veth -- ra [port under test] rb -- veth -- pb, another
 *
 * 198.51.100.1 and 2001:db8:1::1 are the relay's, 203.0.113.7 and 2001:db8:7::7 a remote's.  No
 * interface has an address: the frames come from here.
 *
 * Payloads are a pattern that their seed distinguishes; its last two bits are the packet's ECN.
 */
#ifndef CLV_TEST_IO_XSK_WORLD_H
#define CLV_TEST_IO_XSK_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "culvert.skel.h"
#include "datapath/io/xsk.h"

enum {
	RING = 64,
	QUEUES = 2,
	SOCKET_FRAMES = 2 * RING + 2 * CLV_PORT_BATCH,
	FRAMES = 2 * QUEUES * SOCKET_FRAMES, /* of all sockets */
	LINK_A = 1,
	LINK_B = 2,
	WAIT_MS = 2000,
	FRAME_MAX = 9100,
};

#define LOCAL4	  "198.51.100.1:40000"
#define LOCAL6	  "[2001:db8:1::1]:40000"
#define REMOTE4	  "203.0.113.7:7000"
#define REMOTE6	  "[2001:db8:7::7]:7000"
#define UNKNOWN4  "203.0.113.8:7000"
#define LISTENER4 "198.51.100.1:443"

struct xsk_world {
	const char *why_not; /* the reason that all tests are skipped for */
	struct culvert_bpf *program;
	struct clv_worker_counters counters;
	struct clv_port *port;
	int peers[3];	    /* raw sockets, by link */
	uint32_t xdp_flags; /* from the next start on, as the next one */
	uint32_t busy_poll_usec;
	uint16_t expected_link; /* by port_transmit; 0: the link that it sends by */
	bool strips_tags;	/* as told to the port */
	/* before world_make */
	bool has_no_metadata; /* do as on drivers without XDP metadata */
	uint32_t mtu;	      /* of all links; 0: the kernel's */
};

extern struct xsk_world world;

/* Map values of LOCAL4 and LOCAL6, of REMOTE4 to LOCAL4, and of a connection ID. */
extern const struct clv_ref world_tunnel, world_conn;
extern const struct clv_cid world_cid;

/* Of a group of cases, and of each case: a port with both queues of both links. */
int world_make(void **state);
int world_end(void **state);
int world_start(void **state);
int world_stop(void **state);

#define XSK_CASE(f) cmocka_unit_test_setup_teardown(f, world_start, world_stop)

#define NEED_WORLD()                                                                               \
	do {                                                                                       \
		if (world.why_not)                                                                 \
			skip();                                                                    \
	} while (0)

/* end: "p" or "r".  lends, until the next call. */
const char *world_link_name(const char *end, uint16_t link);
/* prog_fd: -1 detaches. */
void world_attach(int prog_fd, uint32_t flags);
/* The socket of a queue. */
struct clv_xsk_params world_socket(uint16_t link, uint32_t queue, enum clv_xsk_mode mode);
/* What clv_xsk_add returns. */
int world_add_socket(uint16_t link, uint32_t queue, enum clv_xsk_mode mode);
void world_open_port(void); /* without a socket */
uint64_t world_counted(enum clv_counter which);

/* As the peer sees it: from remote to local. */
struct clv_flow flow_inbound(const char *remote, const char *local);
/* Returns the length of the frame that starts at *start within buf. */
size_t frame_build(const struct clv_flow *flow, size_t len, unsigned seed, uint8_t *buf,
		   uint8_t **start);

void peer_inject(uint16_t link, const struct clv_flow *flow, size_t len, unsigned seed);
void peer_inject_bytes(uint16_t link, const uint8_t *frame, size_t len);
/* The next frame the peer gets is what port_transmit() asked for, byte for byte. */
void peer_expect(uint16_t link, const char *local, const char *remote, size_t len, unsigned seed);
void peer_expect_silence(uint16_t link);

/* Waits for something to come; the batch must be given back.  Returns 0 when nothing does. */
unsigned port_receive(struct clv_rx *batch, unsigned max);
/* Lets the kernel finish, and returns what is not for us. */
void port_receive_nothing(void);
void port_transmit(uint16_t link, const char *local, const char *remote, size_t len, unsigned seed);

void assert_received(const struct clv_rx *rx, const struct clv_flow *flow, uint16_t link,
		     size_t len, unsigned seed);
/* Every frame is in the pool or with the kernel; waits for what is being sent. */
void assert_all_frames_are_back(uint32_t frames);

#endif
