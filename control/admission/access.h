/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * access - decide whether a client may use the relay, from its address and its credentials.
 *
 *   mode token        a bearer token, a name and a password, or what mode certificate accepts
 *   mode certificate  a TLS certificate whose key, or whose CA, is in the users file
 *   mode open         everybody; credentials are ignored
 *
 * In every mode the client's address must match the list of clients, if there is one.
 *
 * Checking a password takes tens of milliseconds and happens elsewhere (see password.h):
 * clv_access_begin hands out a check, clv_access_finish takes its result.  The number of
 * outstanding checks is limited, and one source has at most an eighth of them.  A correct
 * password is remembered for a while, so that further requests with it cost no check.
 *
 * Each source has a rate of failed attempts.  When it is used up, passwords from that source are
 * not checked any more.  Valid tokens and certificates still pass: they cannot be guessed, and
 * others behind the same address must not lock their owners out.
 *
 * An unknown name, a name without a password and an expired user cause the same steps, a hash of
 * the same cost and the same result as a wrong password.
 *
 * Order: 1. clv_access_init  2. clv_access_set_users, whenever the users file was read
 *        3. for each request clv_access_begin; after CLV_ACCESS_CHECK clv_access_finish or _cancel
 * Threading: control.  No clock and no I/O.
 */
#ifndef CLV_ADMISSION_ACCESS_H
#define CLV_ADMISSION_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/admission/authorization.h"
#include "control/admission/bearer.h"
#include "control/admission/guard.h"
#include "control/admission/identity.h"
#include "control/admission/mac.h"
#include "control/admission/password.h"
#include "control/admission/users.h"
#include "datapath/base/client_limits.h"
#include "datapath/base/verdicts.h"

enum clv_access_mode {
	CLV_ACCESS_TOKEN = 0,
	CLV_ACCESS_OPEN,
	CLV_ACCESS_CERTIFICATE,
};

/* What the caller does.  The client must learn nothing else about a decision. */
enum clv_access_result {
	CLV_ACCESS_GRANTED = 0,
	CLV_ACCESS_CHECK,	 /* check the password, then call clv_access_finish */
	CLV_ACCESS_UNAUTHORIZED, /* 407 or 401 with a challenge */
	CLV_ACCESS_FORBIDDEN,	 /* 403: not allowed from this address */
	CLV_ACCESS_FAILURES,	 /* 429: too many failed attempts from this source */
	CLV_ACCESS_BUSY,	 /* 503: too many outstanding checks */
};

/* X(symbol, name, help): the reason of a decision, for counters and the operator's log. */
#define CLV_ACCESS_REASONS(X)                                                                      \
	X(OK, "ok", "granted")                                                                     \
	X(PENDING, "pending", "a password is to be checked")                                       \
	X(MISSING, "missing", "no credentials")                                                    \
	X(SCHEME, "scheme", "credentials of an unknown scheme")                                    \
	X(MALFORMED, "malformed", "malformed credentials")                                         \
	X(FORGED, "forged", "a token that was not signed with the relay's key")                    \
	X(EXPIRED, "expired", "an expired token or user")                                          \
	X(EARLY, "early", "a token from the future: one of the two clocks is wrong")               \
	X(REVOKED, "revoked", "a revoked token")                                                   \
	X(PASSWORD, "password", "an unknown name or a wrong password")                             \
	X(KEY, "key", "a certificate with an unknown key")                                         \
	X(ADDRESS, "address", "an address outside of the list of clients")                         \
	X(FAILURES, "failures", "too many failed attempts from one source")                        \
	X(BUSY, "busy", "too many outstanding password checks")                                    \
	X(MEMORY, "memory", "a password could not be checked")

enum clv_access_reason {
#define X(symbol, name, help) CLV_ACCESS_BECAUSE_##symbol,
	CLV_ACCESS_REASONS(X)
#undef X
		CLV_ACCESS_BECAUSE_MAX
};

enum clv_access_how {
	CLV_ACCESS_BY_NOTHING = 0, /* the relay is open */
	CLV_ACCESS_BY_BEARER,
	CLV_ACCESS_BY_PASSWORD,
	CLV_ACCESS_BY_KEY,
	CLV_ACCESS_BY_CA,
};

/* An authorized client.  Holds no secret. */
struct clv_access_grant {
	char name[CLV_CLIENT_NAME_MAX + 1]; /* "" when the relay is open */
	enum clv_access_how how;
	struct clv_client_limits limits; /* the lower of those of the token and the users file */
	uint64_t expires_sec;		 /* 0: never */

	/* For clv_access_renew. */
	struct clv_client_limits own_limits; /* those of the token */
	uint64_t own_expires_sec, issued_sec;
	uint64_t proof; /* keyed hash of the key or password hash that was used */
};

/* Arguments of a clv_password_check that is to be made.  Holds secrets. */
struct clv_access_check {
	char encoded[CLV_PASSWORD_TEXT_MAX];
	char password[CLV_PASSWORD_MAX];
	size_t password_len;

	/* For clv_access_finish. */
	char name[CLV_CLIENT_NAME_MAX + 1]; /* "": of no user with a password */
	uint8_t addr[16];
	uint8_t digest[CLV_MAC_LEN];
};

struct clv_access_outcome {
	enum clv_access_reason reason;
	struct clv_access_grant grant; /* when CLV_ACCESS_GRANTED */
};

struct clv_access_params {
	enum clv_access_mode mode;
	struct clv_verdicts *clients; /* takes another reference; NULL: every address */
	uint8_t token_key[CLV_BEARER_KEY_LEN];
	struct clv_guard_limits failures; /* failed attempts of one source */
	size_t sources;			  /* number of sources that are tracked, at least */
	uint32_t checks_max;		  /* outstanding checks; 0: passwords are not accepted */
	uint64_t remember_ns; /* how long a correct password is remembered; 0: not at all */
	uint8_t secret[CLV_MAC_KEY_LEN]; /* random bytes; the same for all instances of a process */
};

/* One outstanding check. */
struct clv_access_slot {
	struct clv_guard_key source;
	bool is_taken;
};

struct clv_access_memory {
	uint8_t digest[CLV_MAC_LEN];
	uint64_t until_ns; /* 0: free */
};

enum {
	CLV_ACCESS_MEMORY = 1024, /* correct passwords that are remembered */
};

struct clv_access {
	struct clv_access_params p;
	const struct clv_users *users; /* borrows */
	struct clv_guard failures;
	struct clv_access_slot *slots; /* p.checks_max */
	struct clv_access_memory *memory;
	uint64_t seed[2];
	uint64_t token_key_proof;
};

/* p: copies.  Returns 0, -ENOMEM, or CLV_ETLS if wolfCrypt fails. */
int clv_access_init(struct clv_access *a, const struct clv_access_params *p);
void clv_access_fini(struct clv_access *a);

/* users: borrows until the next call or clv_access_fini; NULL: no users. */
void clv_access_set_users(struct clv_access *a, const struct clv_users *users);

/* Change mode and list of clients, for instance after a reload.  clients: as in the params. */
void clv_access_set_rules(struct clv_access *a, enum clv_access_mode mode,
			  struct clv_verdicts *clients);

/* Whether the list of clients allows an address; to be asked before a handshake, too. */
bool clv_access_admits(const struct clv_access *a, const uint8_t addr[static 16]);

/* What a client presented.  Borrows everything for the call. */
struct clv_access_request {
	const uint8_t *addr;			       /* 16 bytes */
	const struct clv_authorization *authorization; /* NULL: no such field */
	const struct clv_identity *key; /* of its certificate, proven in TLS; NULL: none */
	const struct clv_identity *ca; /* of the last certificate of its verified chain; NULL: none */
};

/*
 * Decide about a request.  wall_sec: seconds since 1970.  out: always filled.  check: filled if the
 * result is CLV_ACCESS_CHECK; the caller then passes it to clv_access_finish or clv_access_cancel
 * exactly once.
 */
enum clv_access_result clv_access_begin(struct clv_access *a, const struct clv_access_request *r,
					uint64_t now_ns, uint64_t wall_sec,
					struct clv_access_outcome *out,
					struct clv_access_check *check);

/*
 * Decide with checked, the result of clv_password_check; the users may have been replaced
 * meanwhile. Wipes check.  Returns any result but CLV_ACCESS_CHECK.
 */
enum clv_access_result clv_access_finish(struct clv_access *a, struct clv_access_check *check,
					 int checked, uint64_t now_ns, uint64_t wall_sec,
					 struct clv_access_outcome *out);

/* Give up a check, for instance because the client is gone.  Wipes check; counts as a failure. */
void clv_access_cancel(struct clv_access *a, struct clv_access_check *check);

/*
 * Whether a grant is still valid, to be asked at its expires_sec and after the users or the
 * configuration changed.  The grant may be that of an earlier instance with the same secret.
 * Updates its limits and expires_sec.
 */
bool clv_access_renew(const struct clv_access *a, struct clv_access_grant *grant,
		      uint64_t wall_sec);

const char *clv_access_reason_name(enum clv_access_reason reason);

#endif
