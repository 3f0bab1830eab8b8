/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * raw - a peer that sends any bytes: a regular handshake, then 1-RTT packets made by hand.
 *
 * After raw_connect no QUIC library is between a test and the relay: frames are sent as the bytes
 * given, and the relay's packets are parsed here.
 *
 * Order: 1. raw_open  2. raw_connect  3. anything  4. raw_close
 */
#ifndef LOOP_RAW_H
#define LOOP_RAW_H

#include "datapath/crypto/aead_keys.h"
#include "tests/loop/world.h"

enum {
	RAW_STREAMS_MAX = 64, /* streams whose fate is remembered, by ID / 4 modulo this */
	RAW_STREAM_BYTES = 4096,
	RAW_PACKETS_MAX = 1 << 16, /* packet numbers remembered for acknowledgements */
	RAW_PACKET_MAX = 1400,
	RAW_PN_LEN = 4, /* bytes of a packet number */
	RAW_CIDS_MAX = 64,
};

struct raw_stream { /* the relay's data and frames of one of our bidirectional streams */
	int64_t id;
	uint8_t bytes[RAW_STREAM_BYTES];
	size_t len;
	uint64_t sent; /* bytes of ours: the next offset */
	bool fin, was_reset, was_stopped;
	uint64_t reset_code, stop_code;
};

struct raw_cid { /* issued by the relay */
	uint64_t seq;
	uint8_t id[CLV_CID_LEN];
	uint8_t token[CLV_CID_TOKEN_LEN];
};

struct raw {
	struct world *w;
	struct clv_endpoint endpoint;
	struct wire_end end;
	struct clv_conn *conn; /* the handshake's; NULL after it */
	struct clv_rand rand;
	struct clv_worker_counters counters;
	uint8_t reset_secret[CLV_CID_SECRET_LEN];
	bool handshake_done;
	struct clv_aead_keys tx, rx;
	struct clv_cid scid;
	uint8_t dcid[CLV_CID_LEN];
	uint64_t next_pn, largest_pn;
	uint8_t seen[RAW_PACKETS_MAX];
	bool never_acks;
	uint64_t frame_max; /* max_datagram_frame_size that it offers; 0: the library's */
	bool has_news;	    /* something to acknowledge came */
	uint8_t ecn;	    /* of the packets it sends */
	uint8_t first_bits; /* flipped in the first byte of what is sent, under header protection */

	/* what the relay did */
	bool is_closed, close_is_app;
	uint64_t close_code;
	/* Each DATAGRAM frame's contents, if set. */
	void (*on_datagram)(void *user, const uint8_t *data, size_t len);
	void *user;
	uint64_t packets, bytes, datagrams, challenges, responses, resets, undecodable;
	uint64_t max_streams_bidi, max_data;
	struct raw_cid cids[RAW_CIDS_MAX];
	unsigned cids_len;
	uint8_t control[256]; /* the relay's control stream: its SETTINGS */
	size_t control_len;
	size_t memory_peak; /* bytes of heap, as raw_run saw it */
	/* Not cleared by raw_open but initialised, which takes much less. */
	struct wire_port port;
	struct raw_stream streams[RAW_STREAMS_MAX];
};

/* Bytes of a message being put together. */
struct raw_bytes {
	uint8_t bytes[RAW_PACKET_MAX];
	size_t len;
};

/* Bytes of heap in use by this process. */
size_t raw_memory(void);

/* number: 0..99, decides the address. */
void raw_open(struct raw *r, struct world *w, unsigned number);
/* Complete the handshake and wait until the relay's worker has the connection. */
bool raw_connect(struct raw *r);
/* Begin a handshake, run for a time, and say no more. */
void raw_half_open(struct raw *r, uint64_t duration_ns);
/* Forget the connection without closing it. */
void raw_close(struct raw *r);
/* Run the world; acknowledges the relay's packets unless never_acks. */
void raw_run(struct raw *r, uint64_t duration_ns);

/* ---- sending ---- */

/* One UDP payload as it is. */
void raw_send_bytes(struct raw *r, const uint8_t *bytes, size_t len);
/* One 1-RTT packet of these frames. */
void raw_send(struct raw *r, const uint8_t *frames, size_t len);
/* Seal frames to a 1-RTT packet in out; returns its length. */
size_t raw_seal(struct raw *r, const uint8_t *frames, size_t len, uint8_t out[static 1500]);

void put_varint(struct raw_bytes *b, uint64_t value);
void put_bytes(struct raw_bytes *b, const void *bytes, size_t len);
/* "00 04 ff": hexadecimal bytes, with any blanks between them. */
void put_hex(struct raw_bytes *b, const char *hex);

/* STREAM frames of the next bytes of a stream; at any length. */
void raw_stream(struct raw *r, int64_t id, const void *bytes, size_t len, bool fin);

/* ---- HTTP/3 ---- */

/* Open control and QPACK streams and send SETTINGS with H3_DATAGRAM=1. */
void raw_h3_start(struct raw *r);
/* A HEADERS frame; fields as "name: value" lines, in order, encoded without tables. */
void put_headers(struct raw_bytes *b, const char *const *fields, size_t len);
/* A request of connect-udp with this path, and for a bound tunnel. */
void raw_connect_bind(struct raw *r, int64_t id, const char *path);
/* The value of a field of the response on a stream; false: it is not there. */
bool raw_field(const struct raw *r, int64_t id, const char *name, char *value, size_t len);
/* The bytes of all whole DATA frames on a stream. */
size_t raw_body(const struct raw *r, int64_t id, uint8_t *out, size_t len);
/* Bytes in a DATA frame, in hexadecimal. */
void raw_capsules(struct raw *r, int64_t id, const char *hex);
/* CONNECT-UDP to host:port on a stream. */
void raw_connect_udp(struct raw *r, int64_t id, const char *host, uint16_t port);
/* :status of the response on a stream; 0 none. */
unsigned raw_status(const struct raw *r, int64_t id);
/* The record of a stream; never NULL. */
struct raw_stream *raw_stream_of(struct raw *r, int64_t id);
/* An HTTP Datagram in a DATAGRAM frame. */
void raw_datagram(struct raw *r, int64_t id, uint64_t context_id, const void *payload, size_t len);

/* Connect, start HTTP/3 and open a tunnel to the target on stream 0. */
bool raw_tunnel(struct raw *r);

/* ---- inside of raw: raw.c and raw_read.c ---- */

/* The nonce of a packet number (RFC 9001 section 5.3). */
void raw_nonce(const struct clv_aead_keys *keys, uint64_t pn, uint8_t nonce[static 12]);
/* Decrypt a packet of the relay and record its frames. */
void raw_read(struct raw *r, const struct wire_packet *p);

#endif
