/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * client_limits - what one client of a relay may use, as a struct and as text.
 *
 *   mbit=20 packets=5000 tunnels=8 conns=4 ports=2 bytes=10G
 *
 * A limit that the text does not name is unlimited.  0 allows nothing of its kind ("ports=0": no
 * bound tunnels), so a zeroed struct grants nothing.  A number of bytes may end in K, M, G or T
 * (powers of 1000) or in Ki, Mi, Gi or Ti (powers of 1024).
 *
 * Threading: pure functions; any thread.
 */
#ifndef CLV_BASE_CLIENT_LIMITS_H
#define CLV_BASE_CLIENT_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(symbol, word, maximum, help).  Tokens contain the positions: append, never reorder. */
#define CLV_CLIENT_LIMITS(X)                                                                       \
	X(CONNS, "conns", 1u << 24, "connections at a time")                                       \
	X(TUNNELS, "tunnels", 1u << 24, "tunnels at a time")                                       \
	X(PORTS, "ports", 1u << 24, "bound ports at a time")                                       \
	X(PACKETS, "packets", 1000000000, "packets a second, in each direction")                   \
	X(MBIT, "mbit", 1000000, "Mbit/s, in each direction")                                      \
	X(BYTES, "bytes", UINT64_C(1) << 62, "bytes in total, of both directions together")

enum clv_client_limit {
#define X(symbol, word, maximum, help) CLV_LIMIT_##symbol,
	CLV_CLIENT_LIMITS(X)
#undef X
		CLV_LIMIT_MAX
};

#define CLV_UNLIMITED UINT64_MAX

struct clv_client_limits {
	uint64_t of[CLV_LIMIT_MAX]; /* CLV_UNLIMITED, or at most the maximum of the list */
};

enum {
	CLV_CLIENT_LIMITS_TEXT_MAX = 192, /* the longest text and its terminating zero */
};

/* Set every limit to unlimited. */
void clv_client_limits_init(struct clv_client_limits *l);

/* Lower each limit of l to that of other, where that is lower. */
void clv_client_limits_narrow(struct clv_client_limits *l, const struct clv_client_limits *other);

/* Whether every limit is unlimited or at most its maximum. */
bool clv_client_limits_valid(const struct clv_client_limits *l);

/* The word for a limit, such as "mbit". */
const char *clv_client_limits_name(enum clv_client_limit limit);

/*
 * Read one word, "mbit=20" or "mbit=unlimited", into *l.  seen: the limits that
 * the text has named so far, 0 before its first word.  why: a constant text.
 *
 * Returns 0, or, leaving *l untouched:
 *   -ENOENT      the word names no limit; why is not set
 *   CLV_ESYNTAX  not a number, or the limit was named before
 *   CLV_ERANGE   above the maximum
 */
int clv_client_limits_read_word(struct clv_client_limits *l, unsigned *seen, const char *word,
				size_t len, const char **why);

/*
 * Read a whole text of words separated by blanks; without a word, everything is unlimited.
 * Returns 0 and fills *l, or, leaving *l untouched, CLV_ESYNTAX (also for an unknown word) or
 * CLV_ERANGE.
 */
int clv_client_limits_parse(const char *text, size_t len, struct clv_client_limits *l,
			    const char **why);

/* Write the limits that are not unlimited.  Returns buf. */
const char *clv_client_limits_format(const struct clv_client_limits *l,
				     char buf[static CLV_CLIENT_LIMITS_TEXT_MAX]);

#endif
