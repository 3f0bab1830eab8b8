/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bound_fixture - bound tunnels at the relay's request layer: requests, answers, and the trace of what
 * workers and the kernel's tables get, in order:
 *
 *   +tunnel -tunnel       opened at its worker, closed        +port4 +port4* -port4  binding, open for all
 *   +ctx4=ADDR +ctx1~=ADDR +ctx2*   a context: open, ours and not acknowledged, uncompressed
 *   -ctx4   +map ADDR=4 -map ADDR   +remote=ADDR -remote=ADDR   send4
 *   ADDR! is a hairpin, ADDR? is unreachable now
 */
#ifndef CLV_TEST_PROXY_BOUND_FIXTURE_H
#define CLV_TEST_PROXY_BOUND_FIXTURE_H

#include "tests/unit/proxy/request_fixture.h"

#define ANY    UDP "%2A/%2A/"
#define G4     "8.8.8.8:53"
#define G4_HEX "08080808 0035"
#define H4     "9.9.9.9:53"
#define H4_HEX "09090909 0035"
#define G6     "[2606:4700::1]:53"
#define G6_HEX "26064700000000000000000000000001 0035"
#define PORTS  "+port4 +port6 "

/* The client and the relay, which know each other's settings. */
struct fixture *bound_setup(void);
/* And a bound tunnel without a target. */
struct fixture *bound_setup_open(void);
/* And its uncompressed context, 2. */
struct fixture *bound_setup_uncompressed(void);

/* values: of connect-udp-bind, one field each; NULL-terminated. */
void bound_ask_with(struct fixture *f, const char *path, const char *const *values);
void bound_ask(struct fixture *f, const char *path);
/* Send bytes of the body, in hexadecimal with blanks anywhere. */
void bound_send(struct fixture *f, const char *hex);
/* An event of the worker about a remote of a tunnel. */
void bound_event(struct fixture *f, unsigned tunnel, enum clv_event type, const char *wire,
		 uint64_t id);

/* The capsules that came since the last check, in hex without blanks; lends, until the next call. */
const char *bound_capsules(struct fixture *f);
void bound_forget(struct fixture *f); /* capsules and trace */

/* Since the last check: the capsules and the trace. */
#define EXPECT(f, hex, trace_)                                                                     \
	do {                                                                                       \
		assert_string_equal(bound_capsules(f), hex);                                       \
		assert_string_equal((f)->relay.trace, trace_);                                     \
		(f)->relay.trace[0] = '\0';                                                        \
	} while (0)

#endif
