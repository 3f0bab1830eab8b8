/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * udp - what udpecho and udpload share: addresses, options, time, and payloads that can be checked.
 *
 *   16 and more bytes:  sequence (8, wire order) | time sent in ns (8, wire order) | dice
 *   8 to 15 bytes:      sequence (8, wire order) | dice
 *   0 to 7 bytes:       dice, the same for every sequence: such datagrams can only be counted
 *
 * The dice are a stream of bytes that seed and sequence decide.
 */
#ifndef CLV_LAB_UDP_H
#define CLV_LAB_UDP_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <endian.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
	UDP_PAYLOAD_MAX = 65507,
	UDP_SEQUENCE_LEN = 8, /* smallest payload that carries its sequence */
	UDP_STAMPED_LEN = 16, /* smallest payload that carries the time it was sent */
};

static inline void udp_die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(1);
}

static inline uint64_t udp_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The value of an option; exits with a message when it is not a number up to max. */
static inline uint64_t udp_number(const char *name, const char *text, uint64_t max)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (end == text || *end || *text == '-' || errno || value > max) {
		fprintf(stderr, "%s: --%s %s: a number from 0 to %llu\n",
			program_invocation_short_name, name, text, (unsigned long long)max);
		exit(2);
	}
	return value;
}

/* "host:port", "[v6]:port" or "port" (any address) to a socket address, or exit. */
static inline socklen_t udp_resolve(const char *text, int family, struct sockaddr_storage *out)
{
	const struct addrinfo hints = { .ai_family = family,
					.ai_socktype = SOCK_DGRAM,
					.ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	const char *colon = strrchr(text, ':'), *port = colon ? colon + 1 : text;
	struct addrinfo *found;
	char host[256] = "";
	socklen_t len;
	int err;

	if (colon) {
		size_t skip = *text == '[', n = (size_t)(colon - text) - skip;

		n -= skip && n && text[skip + n - 1] == ']';
		snprintf(host, sizeof(host), "%.*s", (int)n, text + skip);
	}
	udp_number("port", port, UINT16_MAX);
	err = getaddrinfo(*host ? host : NULL, port, &hints, &found);
	if (err) {
		fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, text,
			gai_strerror(err));
		exit(1);
	}
	len = found->ai_addrlen;
	memcpy(out, found->ai_addr, len);
	freeaddrinfo(found);
	return len;
}

static inline uint64_t udp_dice(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Write the payload of a sequence, size bytes. */
static inline void udp_payload_write(uint8_t *buf, size_t size, uint64_t seed, uint64_t sequence,
				     uint64_t sent_ns)
{
	uint64_t state = seed, word = htobe64(sequence);
	size_t at = 0;

	if (size >= UDP_SEQUENCE_LEN) {
		memcpy(buf, &word, sizeof(word));
		at = UDP_SEQUENCE_LEN;
		state ^= (sequence + 1) * UINT64_C(0xd6e8feb86659fd93);
	}
	if (size >= UDP_STAMPED_LEN) {
		word = htobe64(sent_ns);
		memcpy(buf + at, &word, sizeof(word));
		at = UDP_STAMPED_LEN;
	}
	for (; at < size; at += sizeof(word)) {
		word = udp_dice(&state);
		memcpy(buf + at, &word, size - at < sizeof(word) ? size - at : sizeof(word));
	}
}

/* The sequence of a payload of at least UDP_SEQUENCE_LEN bytes. */
static inline uint64_t udp_payload_sequence(const uint8_t *buf)
{
	uint64_t word;

	memcpy(&word, buf, sizeof(word));
	return be64toh(word);
}

/* The time in a payload of at least UDP_STAMPED_LEN bytes. */
static inline uint64_t udp_payload_sent_ns(const uint8_t *buf)
{
	return udp_payload_sequence(buf + UDP_SEQUENCE_LEN);
}

#endif
