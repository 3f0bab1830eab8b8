/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The rules of a bound tunnel's contexts, one row for each, as a dialogue:
 *
 *   < hex            a capsule of the peer        > hex     what we must have sent since
 *   + addr:port      we want to open a context    + *       the uncompressed one
 *   - id             we want to close one         @ ms      the time is now
 *   = error          what the last < + - returned, where that is not 0
 *   % error          the next mapping cannot be saved (and the one after that can)
 *   ~ mark           the peer has the first so many capsules of ours
 *   ? id verdict     what becomes of a datagram   # n       contexts open
 *
 * In front of the dialogue: whether we are the relay or the client, and the target of Context ID 0.
 */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "control/masque/contexts.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/varint.h"
#include "tests/unit/hex.h"

#define UNCOMPRESSED_2 "<11020200 >120102 "
#define T4	       "c000022a c350"	   /* 192.0.2.42:50000 */
#define U4	       "cb00710b ea60"	   /* 203.0.113.11:60000 */
#define T4_TEXT	       "192.0.2.42:50000 " /* its text */
#define U4_TEXT	       "203.0.113.11:60000 "

#define AS_RELAY  .role = CLV_CONTEXTS_RELAY
#define AS_CLIENT .role = CLV_CONTEXTS_CLIENT

enum {
	OUT_MAX = 4096,
};

struct rule {
	const char *name;
	enum clv_contexts_role role;
	const char *target; /* NULL: "*" */
	const char *dialogue;
	struct clv_contexts_limits limits; /* zero: ample */
	uint32_t rate;
};

/* The rules of draft-ietf-masque-connect-udp-listen-13 and of RFC 9298 section 4. */
static const struct rule rules[] = {
	{ .name = "the client allocates even IDs: the relay takes one",
	  AS_RELAY,
	  .dialogue = UNCOMPRESSED_2 "<11080404" U4 " >120104 #2" },
	{ .name = "the client allocates even IDs: an odd one of it is malformed",
	  AS_RELAY,
	  .dialogue = "<11020100 =EPROTO #0" },
	{ .name = "the relay allocates odd IDs: the client takes one",
	  AS_CLIENT,
	  .dialogue = "+* >11020200 <120102 <11080104" T4 " >120101 #2" },
	{ .name = "the relay allocates odd IDs: an even one of it is malformed",
	  AS_CLIENT,
	  .dialogue = "<11080404" U4 " =EPROTO" },
	{ .name = "each side counts its own IDs up",
	  AS_RELAY,
	  .dialogue = UNCOMPRESSED_2 "+" T4_TEXT ">11080104" T4 " +" U4_TEXT ">11080304" U4 " #3" },
	{ .name = "the client counts from 2",
	  AS_CLIENT,
	  .dialogue = "+" U4_TEXT ">11080204" U4 " +* >11020400 #2" },

	{ .name = "without a target Context ID 0 must not be used: a datagram on it aborts the stream",
	  AS_RELAY,
	  .dialogue = "?0 ABORT" },
	{ .name = "without a target Context ID 0 must not be used, by the relay neither",
	  AS_CLIENT,
	  .dialogue = "?0 ABORT" },
	{ .name = "with a real target Context ID 0 is its payload",
	  AS_RELAY,
	  .target = "192.0.2.42:50000",
	  .dialogue = "?0 ZERO" },
	{ .name = "the target of Context ID 0 gets no second ID",
	  AS_RELAY,
	  .target = "192.0.2.42:50000",
	  .dialogue = "<11080404" T4 " >130104 #0 ?0 ZERO" },
	{ .name = "the target's address with another port may have one",
	  AS_RELAY,
	  .target = "192.0.2.42:50001",
	  .dialogue = "<11080404" T4 " >120104 #1" },
	{ .name = "ASSIGN with Context ID 0 is malformed",
	  AS_RELAY,
	  .dialogue = "<11020000 =EPROTO" },
	{ .name = "ASSIGN with Context ID 0 is malformed with a real target too",
	  AS_RELAY,
	  .target = "192.0.2.42:50000",
	  .dialogue = "<11020000 =EPROTO" },
	{ .name = "CLOSE with Context ID 0 is malformed", AS_RELAY, .dialogue = "<130100 =EPROTO" },
	{ .name = "ACK with Context ID 0 is malformed", AS_RELAY, .dialogue = "<120100 =EPROTO" },

	{ .name = "a repeated ASSIGN for the same Context ID is malformed",
	  AS_RELAY,
	  .dialogue = "<11080404" U4 " >120104 <11080404" T4 " =EPROTO" },
	{ .name = "a closed ID is never reused, after the peer closed it",
	  AS_RELAY,
	  .dialogue = "<11080404" U4 " >120104 <130104 #0 <11080404" U4 " =EPROTO" },
	{ .name = "a closed ID is never reused, after we closed it",
	  AS_RELAY,
	  .dialogue = "<11080404" U4 " >120104 -4 >130104 #0 <11080404" U4 " =EPROTO" },
	{ .name = "a closed ID is never reused, after it was refused",
	  AS_RELAY,
	  .dialogue = "%EDENIED <11080404" U4 " >130104 <11080404" U4 " =EPROTO" },
	{ .name = "a closed ID of ours is never reused",
	  AS_RELAY,
	  .dialogue = UNCOMPRESSED_2 "+" T4_TEXT ">11080104" T4 " -1 >130101 +" T4_TEXT
				     ">11080304" T4 },
	{ .name = "an ID of ours that the peer refused is never reused",
	  AS_CLIENT,
	  .dialogue = "+" T4_TEXT ">11080204" T4 " <130102 #0 +" T4_TEXT ">11080404" T4 },
	{ .name = "IDs may be allocated in any order",
	  AS_RELAY,
	  .dialogue = "<11080804" U4 " >120108 <11080404" T4
		      " >120104 <11020600 >120106 #3 ?2 UNKNOWN" },

	{ .name = "one Context ID per remote: a second ASSIGN of the same peer is malformed",
	  AS_RELAY,
	  .dialogue = "<11080404" U4 " >120104 <11080604" U4 " =EPROTO" },
	{ .name = "one Context ID per remote: the relay's second ASSIGN is malformed too",
	  AS_CLIENT,
	  .dialogue = "<11080104" U4 " >120101 <11080304" U4 " =EPROTO" },
	{ .name = "one Context ID per remote: another port is another remote",
	  AS_RELAY,
	  .dialogue = "<11080404 cb00710b ea60 >120104 <11080604 cb00710b ea61 >120106 #2" },
	{ .name = "one Context ID per remote: we open none for one that has it",
	  AS_RELAY,
	  .dialogue = UNCOMPRESSED_2 "<11080404" U4 " >120104 +" U4_TEXT "=ERANGE #2" },
	{ .name = "a remote whose context was closed may be registered again",
	  AS_RELAY,
	  .dialogue = "<11080404" U4 " >120104 <130104 <11080604" U4 " >120106 #1" },

	{ .name = "crossing: the relay closes its own and takes the client's",
	  AS_RELAY,
	  .dialogue = UNCOMPRESSED_2 "+" T4_TEXT ">11080104" T4 " <11080404" T4
				     " >130101 >120104 #2 "
				     "?1 CLOSED ?4 OPEN" },
	{ .name = "crossing: the relay closes its own although it is acknowledged",
	  AS_RELAY,
	  .dialogue = UNCOMPRESSED_2 "+" T4_TEXT ">11080104" T4 " <120101 <11080404" T4
				     " >130101 >120104 #2" },
	{ .name = "crossing: the client closes the relay's and keeps its own",
	  AS_CLIENT,
	  .dialogue = "+" T4_TEXT ">11080204" T4 " <11080104" T4
		      " >130101 <120102 #1 ?2 OPEN ?1 CLOSED" },
	{ .name = "crossing: capsules about the closed context are late, not wrong",
	  AS_RELAY,
	  .dialogue = UNCOMPRESSED_2 "+" T4_TEXT ">11080104" T4 " <11080404" T4
				     " >130101 >120104 <120101 <130101 #2" },
	{ .name = "crossing: where the client's comes too fast it is refused, and the client closes ours",
	  AS_RELAY,
	  .dialogue = "@5 " UNCOMPRESSED_2 "<11080404" U4 " >120104 +" T4_TEXT ">11080104" T4
		      " <11080604" T4 " >130106 ?1 OPEN ?6 CLOSED <130101 ?1 CLOSED #2",
	  .rate = 2 },
	{ .name = "crossing: the client, whose registration came too fast, is left with neither",
	  AS_CLIENT,
	  .dialogue = "+" T4_TEXT ">11080204" T4 " <11080104" T4
		      " >130101 <130102 #0 ?1 CLOSED ?2 CLOSED" },
	{ .name = "crossing: a relay that is full still takes the client's for its own",
	  AS_RELAY,
	  .dialogue = UNCOMPRESSED_2 "+" T4_TEXT ">11080104" T4 " <11080404" T4
				     " >130101 >120104 #2",
	  .limits.open_max = 2 },

	{ .name = "only the client opens an uncompressed context: the client calls it malformed",
	  AS_CLIENT,
	  .dialogue = "<11020100 =EPROTO" },
	{ .name = "only the client opens an uncompressed context: the relay does not",
	  AS_RELAY,
	  .dialogue = "+* =EDENIED" },
	{ .name = "a second uncompressed context is malformed",
	  AS_RELAY,
	  .dialogue = UNCOMPRESSED_2 "<11020400 =EPROTO" },
	{ .name = "the client opens one uncompressed context at most",
	  AS_CLIENT,
	  .dialogue = "+* >11020200 +* =ERANGE #1" },
	{ .name = "the uncompressed context comes again with a new ID",
	  AS_RELAY,
	  .dialogue = UNCOMPRESSED_2 "<130102 #0 <11020400 >120104 #1" },
	{ .name = "the uncompressed context that was refused may be asked for again",
	  AS_RELAY,
	  .dialogue = "%EFULL <11020200 >130102 <11020400 >120104 #1" },

	{ .name = "without an uncompressed context the relay opens none",
	  AS_RELAY,
	  .dialogue = "+" T4_TEXT "=EDENIED" },
	{ .name = "after the uncompressed context was closed the relay opens none",
	  AS_RELAY,
	  .dialogue = UNCOMPRESSED_2 "<130102 +" T4_TEXT "=EDENIED" },
	{ .name = "closing the uncompressed context leaves the compressed ones",
	  AS_RELAY,
	  .dialogue = UNCOMPRESSED_2 "<11080404" U4 " >120104 +" T4_TEXT ">11080104" T4
				     " <130102 #2 ?4 OPEN ?1 OPEN ?2 CLOSED" },
	{ .name = "the client opens compressed contexts without an uncompressed one",
	  AS_CLIENT,
	  .dialogue = "+" T4_TEXT ">11080204" T4 },

	{ .name = "an ID may be used before it is acknowledged",
	  AS_CLIENT,
	  .dialogue = "+" T4_TEXT ">11080204" T4 " ?2 OPEN" },
	{ .name = "either side may close any ID",
	  AS_RELAY,
	  .dialogue = UNCOMPRESSED_2 "<11080404" U4 " >120104 +" T4_TEXT ">11080104" T4
				     " <120101 -4 >130104 <130101 #1" },
	{ .name = "a CLOSE that crossed with ours is fine",
	  AS_RELAY,
	  .dialogue = "<11080404" U4 " >120104 -4 >130104 <130104 #0" },
	{ .name = "a CLOSE for an ID never used is fine",
	  AS_RELAY,
	  .dialogue = "<130108 <130107 #0" },
	{ .name = "closing what is not open sends nothing", AS_RELAY, .dialogue = "-4 -1 #0" },
	{ .name = "a datagram on a closed ID is discarded, whichever side closed it",
	  AS_RELAY,
	  .dialogue = UNCOMPRESSED_2 "<11080404" U4
				     " >120104 <130104 -2 >130102 ?4 CLOSED ?2 CLOSED" },
	{ .name = "a datagram on a refused ID is discarded",
	  AS_RELAY,
	  .dialogue = "%EDENIED <11080404" U4 " >130104 ?4 CLOSED" },
	{ .name = "a datagram on an ID not used yet is unknown",
	  AS_RELAY,
	  .dialogue = "?2 UNKNOWN ?1 UNKNOWN" },

	{ .name = "beyond the open contexts' ceiling registrations are refused",
	  AS_RELAY,
	  .dialogue = "<11080404" U4 " >120104 <11080604" T4 " >130106 <130104 <11080804" T4
		      " >120108 #1",
	  .limits.open_max = 1 },
	{ .name = "beyond the ceiling the uncompressed context is refused too",
	  AS_RELAY,
	  .dialogue = "<11080404" U4 " >120104 <11020600 >130106 #1",
	  .limits.open_max = 1 },
	{ .name = "beyond the ceiling we open none",
	  AS_CLIENT,
	  .dialogue = "+" T4_TEXT ">11080204" T4 " +" U4_TEXT "=EFULL #1",
	  .limits.open_max = 1 },
	{ .name = "the relay's own contexts leave half of the room to the client",
	  AS_RELAY,
	  .dialogue = UNCOMPRESSED_2 "+" T4_TEXT ">11080104" T4
				     " +192.0.2.43:1 >11080304 c000022b 0001 +" U4_TEXT
				     "=EFULL <11080404" U4 " >120104 #4",
	  .limits.open_max = 4 },
	{ .name = "unsent answers have a bound, and at the bound the stream is aborted",
	  AS_RELAY,
	  .dialogue = "<11020200 >120102 <11080404" U4 " >120104 <11080604" T4 " =EFULL",
	  .limits.unacked_max = 2 },
	{ .name = "refusals are answers too",
	  AS_RELAY,
	  .dialogue = "%EDENIED <11020200 >130102 %EDENIED <11020400 >130104 <11020600 =EFULL",
	  .limits.unacked_max = 2 },
	{ .name = "answers that arrived make room for new ones",
	  AS_RELAY,
	  .dialogue = "<11020200 >120102 <11080404" U4 " >120104 ~1 <11080604" T4
		      " >120106 ~3 <130106 <11080804" T4 " >120108 <130108 <11080a04" T4
		      " >12010a <130108 <11080c04" T4 " =EPROTO",
	  .limits.unacked_max = 2 },
	{ .name = "closing of our own accord is no answer",
	  AS_RELAY,
	  .dialogue = "<11080404" U4 " >120104 <11080604" T4 " >120106 -4 >130104 -6 >130106 #0",
	  .limits.unacked_max = 2 },
	{ .name = "a peer that skips IDs at will is stopped",
	  AS_RELAY,
	  .dialogue = "<11080404" U4 " >120104 <11080804" T4 " >120108 <130104 <130108 <11080604" T4
		      " >120106 <11081004" U4 " >120110 <11081804 c000022a 0001 =EFULL",
	  .limits.id_gaps_max = 2 },
	{ .name = "registrations that come too fast are refused",
	  AS_RELAY,
	  .dialogue = "@5 <11020200 >120102 <11080404" U4 " >120104 <11080604" T4 " >130106 "
		      "@504 <11080804" T4 " >130108 @505 <11080a04" T4 " >12010a #3",
	  .rate = 2 },

	{ .name = "saved first, acknowledged then; refused by CLOSE when policy denies it",
	  AS_RELAY,
	  .dialogue = "%EDENIED <11080404" U4 " >130104 #0" },
	{ .name = "a family without an address of ours is refused",
	  AS_RELAY,
	  .dialogue = "%EUNROUTABLE <11140606 20010db8000000000000000000001234 d431 >130106 #0" },
	{ .name = "ACK of an ID never assigned is malformed",
	  AS_CLIENT,
	  .dialogue = "<120108 =EPROTO" },
	{ .name = "ACK of the sender's own ID is malformed",
	  AS_RELAY,
	  .dialogue = UNCOMPRESSED_2 "+" T4_TEXT ">11080104" T4 " +" U4_TEXT ">11080304" U4
				     " <120102 =EPROTO" },
	{ .name = "ACK of an ID closed meanwhile is late",
	  AS_CLIENT,
	  .dialogue = "+* >11020200 -2 >130102 <120102 #0" },
	{ .name = "IP version 5 is malformed",
	  AS_RELAY,
	  .dialogue = "<11080405 00000000 0050 =EPROTO" },
	{ .name = "a byte too many is malformed", AS_RELAY, .dialogue = "<1103020000 =EPROTO" },
	{ .name = "a byte too many in an ACK is malformed",
	  AS_CLIENT,
	  .dialogue = "+* >11020200 <12020200 =EPROTO" },
	{ .name = "a byte too many in a CLOSE is malformed",
	  AS_RELAY,
	  .dialogue = "<13020200 =EPROTO" },
	{ .name = "a truncated address is malformed",
	  AS_RELAY,
	  .dialogue = "<11050404 cb0071 =EPROTO" },
	{ .name = "an ASSIGN without an IP version is malformed",
	  AS_RELAY,
	  .dialogue = "<110102 =EPROTO" },
	{ .name = "an empty ASSIGN is malformed", AS_RELAY, .dialogue = "<1100 =EPROTO" },
	{ .name = "an empty ACK is malformed", AS_RELAY, .dialogue = "<1200 =EPROTO" },
	{ .name = "an empty CLOSE is malformed", AS_RELAY, .dialogue = "<1300 =EPROTO" },

	{ .name = "IPv4 written as IPv6 is refused, not normalised",
	  AS_RELAY,
	  .dialogue = "<11140406 00000000000000000000ffff c000022a c350 >130104 #0" },
	{ .name = "IPv4 written as IPv6 is not the IPv4 remote",
	  AS_RELAY,
	  .dialogue = "<11080404" T4
		      " >120104 <11140606 00000000000000000000ffff c000022a c350 >130106 #1" },
	{ .name = "port 0 is refused", AS_RELAY, .dialogue = "<11080404 c000022a 0000 >130104 #0" },
	{ .name = "the unspecified address is refused",
	  AS_RELAY,
	  .dialogue = "<11140406 00000000000000000000000000000000 d431 >130104 #0" },
	{ .name = "an IPv6 remote has a context like any other",
	  AS_RELAY,
	  .dialogue = "<11140606 20010db8000000000000000000001234 d431 >120106 #1" },
	{ .name = "Context IDs of two bytes are like others",
	  AS_RELAY,
	  .dialogue = "<1109404004" T4 " >12024040 #1 ?64 OPEN" },
	{ .name = "the largest Context ID is like others",
	  AS_CLIENT,
	  .dialogue = "<110f fffffffffffffffd 04" T4 " >1208fffffffffffffffd #1" },
	{ .name = "the ID of our probes is nobody's",
	  AS_RELAY,
	  .dialogue = "<110f fffffffffffffffe 04" T4 " >1308fffffffffffffffe #0" },
	{ .name = "longer varints than needed are the same Context ID",
	  AS_RELAY,
	  .dialogue = "<110a 80000004 04" T4 " =EPROTO" },
	{ .name = "longer varints than needed are legal",
	  AS_RELAY,
	  .dialogue = "<110b 80000004 04" T4 " >120104 ?4 OPEN" },
};

struct world {
	const char *name;
	struct clv_contexts *m;
	struct clv_counters counters;
	struct clv_bucket rate;
	char out[OUT_MAX]; /* capsules sent, hex */
	uint64_t sent;
	uint32_t mapped; /* mappings saved */
	int refuse;	 /* what the next open returns */
	bool opening;	 /* between open and what is sent about it */
};

static int on_open(void *user, const struct clv_contexts_entry *e)
{
	struct world *w = user;
	int err = w->refuse;

	w->refuse = 0;
	w->mapped += !err;
	CHECK_ROW(w->name, e->is_acked == !e->is_ours);
	return err;
}

static void on_acked(void *user, const struct clv_contexts_entry *e)
{
	struct world *w = user;

	CHECK_ROW(w->name, e->is_ours && e->is_acked);
}

static void on_close(void *user, const struct clv_contexts_entry *e)
{
	struct world *w = user;

	CHECK_ROW(w->name, clv_contexts_by_id(w->m, e->id) == e);
	w->mapped--;
}

static int on_send(void *user, const uint8_t *capsule, size_t len, uint64_t *mark)
{
	struct world *w = user;
	size_t used = strlen(w->out);

	CHECK_ROW(w->name, used + 2 * len + 2 < sizeof(w->out));
	for (size_t i = 0; i < len; i++)
		used += (size_t)sprintf(w->out + used, "%02x", capsule[i]);
	strcpy(w->out + used, ">");
	*mark = ++w->sent;
	return 0;
}

static const struct clv_contexts_ops ops = { on_open, on_acked, on_close, on_send };

static const struct {
	const char *name;
	int number;
} words[] = {
	{ "EPROTO", CLV_EPROTO },
	{ "EDENIED", CLV_EDENIED },
	{ "EUNROUTABLE", CLV_EUNROUTABLE },
	{ "EFULL", CLV_EFULL },
	{ "ERANGE", CLV_ERANGE },
	{ "OPEN", CLV_CONTEXTS_OPEN },
	{ "ZERO", CLV_CONTEXTS_ZERO },
	{ "CLOSED", CLV_CONTEXTS_CLOSED },
	{ "UNKNOWN", CLV_CONTEXTS_UNKNOWN },
	{ "ABORT", CLV_CONTEXTS_ABORT },
};

static int word(const char *name, const char *text)
{
	for (size_t i = 0; i < COUNT(words); i++)
		if (strcmp(words[i].name, text) == 0)
			return words[i].number;
	fail_msg("%s: what is %s?", name, text);
	return 0;
}

static int feed(struct world *w, const char *hex, uint64_t now_ns)
{
	uint8_t wire[64];
	const uint8_t *p = wire;
	uint64_t type, len;
	size_t n = unhex(hex, wire);

	assert_int_equal(clv_varint_read(&p, wire + n, &type), 0);
	assert_int_equal(clv_varint_read(&p, wire + n, &len), 0);
	/* A row may lie about the length only where that is its point; then the parser decides. */
	if (len != (uint64_t)(wire + n - p))
		return CLV_EPROTO;
	return clv_contexts_capsule(w->m, (enum clv_capsule_type)type, p, (size_t)len, now_ns);
}

/* One statement: its sign, and its text without blanks; for '?' the verdict apart. */
static int say(struct world *w, char sign, const char *text, const char *rest, uint64_t *now_ns)
{
	struct clv_endpoint remote;
	size_t len = strlen(text);

	switch (sign) {
	case '<':
		return feed(w, text, *now_ns);
	case '+':
		if (strcmp(text, "*") == 0)
			return clv_contexts_open(w->m, NULL, NULL);
		assert_int_equal(clv_endpoint_parse(text, &remote), 0);
		return clv_contexts_open(w->m, &remote, NULL);
	case '-':
		return clv_contexts_close(w->m, strtoull(text, NULL, 10));
	case '>':
		if (strncmp(w->out, text, len) != 0 || w->out[len] != '>')
			fail_msg("%s: sent %s, not %s", w->name, w->out, text);
		memmove(w->out, w->out + len + 1, strlen(w->out + len + 1) + 1);
		return 0;
	case '%':
		w->refuse = word(w->name, text);
		return 0;
	case '~':
		clv_contexts_delivered(w->m, strtoull(text, NULL, 10));
		return 0;
	case '@':
		*now_ns = strtoull(text, NULL, 10) * CLV_MSEC;
		return 0;
	case '#':
		CHECK_ROW(w->name, clv_contexts_count(w->m) == strtoul(text, NULL, 10));
		return 0;
	case '?':
		CHECK_ROW(w->name, (int)clv_contexts_classify(w->m, strtoull(text, NULL, 10)) ==
					   word(w->name, rest));
		return 0;
	default:
		fail_msg("%s: what is %c?", w->name, sign);
		return 0;
	}
}

static const char signs[] = "<>+-=%~?@#";

static void read_text(const char **at, char *text, size_t room, bool joins)
{
	size_t n = 0;

	while (**at == ' ')
		(*at)++;
	for (; **at && !strchr(signs, **at); (*at)++) {
		if (**at == ' ' && !joins)
			break;
		if (**at != ' ' && n + 1 < room)
			text[n++] = **at;
	}
	text[n] = '\0';
}

static void run(const struct rule *r)
{
	struct clv_endpoint target = { 0 };
	struct world w = { .name = r->name, .rate = clv_bucket_of(r->rate, r->rate) };
	struct clv_contexts_params p = {
		.role = r->role,
		.target = r->target ? &target : NULL,
		.limits = r->limits,
		.rate = &w.rate,
		.ops = &ops,
		.user = &w,
		.counters = &w.counters,
		.seed = { 1, 2 },
	};
	const char *at = r->dialogue;
	uint64_t now_ns = 0;
	int result = 0;

	p.limits.open_max = p.limits.open_max ? p.limits.open_max : 100;
	p.limits.unacked_max = p.limits.unacked_max ? p.limits.unacked_max : 100;
	p.limits.id_gaps_max = p.limits.id_gaps_max ? p.limits.id_gaps_max : 100;
	if (r->target)
		assert_int_equal(clv_endpoint_parse(r->target, &target), 0);
	assert_int_equal(clv_contexts_new(&p, &w.m), 0);
	while (*at) {
		char sign = *at++, text[128], rest[32] = "";

		if (sign == ' ')
			continue;
		read_text(&at, text, sizeof(text), sign != '?');
		if (sign == '?')
			read_text(&at, rest, sizeof(rest), true);
		if (sign == '=') {
			if (result != word(r->name, text))
				fail_msg("%s: %d, not %s", r->name, result, text);
			result = 0;
			continue;
		}
		if (result != 0)
			fail_msg("%s: error %d before %c%s", r->name, result, sign, text);
		if (strchr("<+-", sign) && w.out[0])
			fail_msg("%s: %s was sent, too", r->name, w.out);
		result = say(&w, sign, text, rest, &now_ns);
		CHECK_ROW(r->name, w.mapped == clv_contexts_count(w.m));
	}
	if (result != 0 || w.out[0])
		fail_msg("%s: ends with %d and %s", r->name, result, w.out);
	clv_contexts_free(w.m);
}

static void test_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rules); i++)
		run(&rules[i]);
}

static void test_ten_thousand(void **state)
{
	struct world w = { .name = "ten thousand" };
	struct clv_contexts_params p = {
		.role = CLV_CONTEXTS_CLIENT,
		.limits = { .open_max = 10000, .unacked_max = 10, .id_gaps_max = 1 },
		.ops = &ops,
		.user = &w,
		.counters = &w.counters,
	};
	struct clv_endpoint remote;
	uint64_t id;

	(void)state;
	assert_int_equal(clv_endpoint_parse("192.0.2.1:0", &remote), 0);
	assert_int_equal(clv_contexts_new(&p, &w.m), 0);
	for (unsigned i = 1; i <= 10000; i++) {
		remote.port = htons((uint16_t)i);
		assert_int_equal(clv_contexts_open(w.m, &remote, &id), 0);
		assert_int_equal(id, 2 * i);
		w.out[0] = '\0';
	}
	remote.port = htons(10001);
	assert_int_equal(clv_contexts_open(w.m, &remote, &id), CLV_EFULL);
	for (unsigned i = 1; i <= 10000; i++) {
		const struct clv_contexts_entry *e;

		remote.port = htons((uint16_t)i);
		e = clv_contexts_by_remote(w.m, &remote);
		assert_non_null(e);
		assert_int_equal(e->id, 2 * i);
		assert_ptr_equal(clv_contexts_by_id(w.m, 2 * i), e);
		assert_int_equal(clv_contexts_close(w.m, e->id), 0);
		w.out[0] = '\0';
	}
	assert_int_equal(clv_contexts_count(w.m), 0);
	assert_int_equal(w.mapped, 0);
	clv_contexts_free(w.m);
}

/* Every end of a registration is in exactly one counter. */
static void test_counters(void **state)
{
	static const struct {
		enum clv_counter counter;
		const char *dialogue;
	} rows[] = {
		{ CLV_COUNT_CONTEXTS_OPENED, "<11020200 >120102" },
		{ CLV_COUNT_CONTEXT_REFUSED_POLICY, "%EDENIED <11020200 >130102" },
		{ CLV_COUNT_CONTEXT_REFUSED_FAMILY, "%EUNROUTABLE <11020200 >130102" },
		{ CLV_COUNT_CONTEXT_REFUSED_FULL, "%EFULL <11020200 >130102" },
		{ CLV_COUNT_CONTEXT_REFUSED_ERROR, "%ERANGE <11020200 >130102" },
		{ CLV_COUNT_CONTEXT_REFUSED_ADDRESS, "<11080404 c000022a 0000 >130104" },
		{ CLV_COUNT_CONTEXT_ABORT_MALFORMED, "<11020100" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct world w = { .name = rows[i].dialogue };
		struct clv_contexts_params p = {
			.role = CLV_CONTEXTS_RELAY,
			.limits = { 10, 10, 10 },
			.ops = &ops,
			.user = &w,
			.counters = &w.counters,
		};
		const char *at = rows[i].dialogue;
		uint64_t now_ns = 0, total = 0;

		assert_int_equal(clv_contexts_new(&p, &w.m), 0);
		while (*at) {
			char sign = *at++, text[128];

			read_text(&at, text, sizeof(text), true);
			say(&w, sign, text, "", &now_ns);
		}
		for (unsigned c = 0; c < CLV_COUNTER_MAX; c++)
			total += clv_count_read(&w.counters, (enum clv_counter)c);
		CHECK_ROW(w.name, clv_count_read(&w.counters, rows[i].counter) == 1);
		CHECK_ROW(w.name, total == 1);
		clv_contexts_free(w.m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("every rule of the draft holds, at the relay and at its client", test_rules),
		CASE("ten thousand contexts are found by ID and by remote", test_ten_thousand),
		CASE("every end of a registration is counted once", test_counters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
