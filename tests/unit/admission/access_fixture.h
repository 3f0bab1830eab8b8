/* SPDX-License-Identifier: GPL-3.0-or-later */
/* access_fixture - a clv_access with a users file, and clients that present credentials to it. */
#ifndef ACCESS_FIXTURE_H
#define ACCESS_FIXTURE_H

#include "tests/unit/check.h"

#include "control/admission/access.h"

#define SEC   UINT64_C(1000000000)
#define WALL  1700000000
#define ALICE "clv14oymiquy7qobjgx36tejs35zeqt24qpemsnzgtfeswmrw6csxbkq"
#define BOB   "clv1ripdoydsxsqhvqsmufzduijk55gbmdanrwsuuftssxci6wxoh26q"
#define OTHER "clv1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
/* Both of "password". */
#define HASH  "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
#define HASH2 "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"

extern const char access_file[]; /* the users file that the fixture starts with */
extern struct clv_access_params access_params;
extern struct clv_access access_under_test;
extern struct clv_access_outcome access_out;
extern struct clv_access_check access_check;
extern uint64_t access_now_ns, access_wall_sec;
extern uint8_t access_addr[16], access_neighbour[16], access_elsewhere[16];

int access_setup(void **state);
int access_teardown(void **state);

/* Replace the users file. */
void access_load_users(const char *text);
/* Start anew with access_params. */
void access_reopen(void);

/* Present credentials and identities, as texts; NULL: none. */
enum clv_access_result access_begin(const uint8_t *from, const struct clv_authorization *presented,
				    const char *key, const char *ca);
enum clv_access_result access_begin_basic(const uint8_t *from, const char *name,
					  const char *password);
/* The same with the check of the password, all at once. */
enum clv_access_result access_basic(const uint8_t *from, const char *name, const char *password);
enum clv_access_result access_bearer(const uint8_t *from, const char *text);
/* Make a token; lends a static buffer. */
const char *access_token(const char *name, uint64_t issued_sec, uint64_t expires_sec,
			 const char *limits);
/* Whether the limits of access_out's grant have that text. */
bool access_has_limits(const char *text);

/* A case with a fixture of its own. */
#define ACCESS_CASE(sentence, function)                                                            \
	{                                                                                          \
		.name = (sentence), .test_func = (function), .setup_func = access_setup,           \
		.teardown_func = access_teardown                                                   \
	}

#endif
