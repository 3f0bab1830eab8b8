/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Contexts of a bound tunnel.  The first byte chooses between two games, the others are its moves:
 *
 *   one manager against a peer that sends any capsules, well formed or not
 *   a relay and a client back to back, over two queues of capsules: neither may ever find the other
 *   malformed, and when the queues are empty both must know the same contexts
 */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "control/masque/contexts.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/varint.h"
#include "tests/fuzz/fuzz.h"

enum {
	IDS = 1024, /* of which the game keeps account; the largest it can name is below */
	QUEUE = 2048,
	MOVES_MAX = 400,
	OPEN_MAX = 8,
	ANSWERS_MAX = 5,
	GAPS_MAX = 6,
	CHECK_EVERY = 64, /* moves: a look at every ID takes longer than many of them */
	PER_SEC = 4,
};

struct capsule {
	uint8_t bytes[CLV_CAPSULE_CONTEXT_MAX];
	size_t len;
};

/* The state of an ID by the mappings and capsules of its side. */
struct id_state {
	bool was_opened, is_open, is_ours, is_uncompressed;
	bool was_refused; /* the peer's, and answered with CLOSE */
	struct clv_endpoint remote;
};

struct side {
	struct clv_contexts *m;
	struct clv_counters counters;
	struct clv_bucket rate; /* PER_SEC, or no limit */
	enum clv_contexts_role role;
	struct id_state ids[IDS];
	uint64_t top; /* IDs above were neither opened nor refused */
	bool has_target;
	struct clv_endpoint target;
	uint64_t now_ns, accepted; /* of the peer's registrations */
	uint32_t open, ours;
	bool has_uncompressed;
	uint64_t must_ack; /* an ID of the peer whose mapping was just saved; else 0 */
	uint64_t assigned; /* the ID of the ASSIGN being handled; else 0 */
	bool refuse;
	uint64_t sent;		      /* capsules */
	uint64_t unread[ANSWERS_MAX]; /* which of them are answers the peer does not have */
	uint32_t unread_len;	      /* counted only without a reader */
	struct capsule *queue;	      /* to the peer; NULL: without a reader */
	size_t queue_first, queue_len;
};

static bool is_parity_of_opener(const struct side *s, uint64_t id, bool is_ours)
{
	bool client_opened = (s->role == CLV_CONTEXTS_CLIENT) == is_ours;

	return (id % 2 == 0) == client_opened;
}

static int on_open(void *user, const struct clv_contexts_entry *e)
{
	struct side *s = user;
	struct id_state *id;

	CHECK(e->id > 0 && e->id < IDS);
	id = &s->ids[e->id];
	CHECK(is_parity_of_opener(s, e->id, e->is_ours));
	CHECK(!id->was_opened && !id->was_refused);
	CHECK(e->is_acked == !e->is_ours);
	CHECK(s->open < OPEN_MAX);
	CHECK(e->is_uncompressed || e->remote.port);
	CHECK(!s->has_target || memcmp(&e->remote, &s->target, sizeof(s->target)) != 0);
	if (e->is_uncompressed)
		CHECK(!s->has_uncompressed && e->is_ours == (s->role == CLV_CONTEXTS_CLIENT));
	else if (e->is_ours && s->role == CLV_CONTEXTS_RELAY)
		CHECK(s->has_uncompressed && s->ours < OPEN_MAX / 2);
	for (uint64_t i = 1; i <= s->top && !e->is_uncompressed; i++)
		CHECK(!s->ids[i].is_open || s->ids[i].is_uncompressed ||
		      memcmp(&s->ids[i].remote, &e->remote, sizeof(e->remote)) != 0);
	if (s->refuse) {
		s->refuse = false;
		return CLV_EDENIED;
	}
	*id = (struct id_state){
		.was_opened = true,
		.is_open = true,
		.is_ours = e->is_ours,
		.is_uncompressed = e->is_uncompressed,
		.remote = e->remote,
	};
	if (s->top < e->id)
		s->top = e->id;
	s->open++;
	s->ours += e->is_ours;
	s->has_uncompressed |= e->is_uncompressed;
	if (!e->is_ours) {
		CHECK(s->assigned == e->id);
		s->must_ack = e->id;
		s->accepted++;
		CHECK(!clv_bucket_has_limit(&s->rate) ||
		      s->accepted <= PER_SEC + PER_SEC * s->now_ns / CLV_SEC);
	}
	return 0;
}

static void on_acked(void *user, const struct clv_contexts_entry *e)
{
	struct side *s = user;

	CHECK(e->is_ours && s->ids[e->id].is_open && s->ids[e->id].is_ours);
}

static void on_close(void *user, const struct clv_contexts_entry *e)
{
	struct side *s = user;

	CHECK(e->id < IDS && s->ids[e->id].is_open);
	s->ids[e->id].is_open = false;
	s->open--;
	s->ours -= e->is_ours;
	if (e->is_uncompressed)
		s->has_uncompressed = false;
}

/* One more answer in flight: there is room for so many. */
static void note_answer(struct side *s)
{
	if (s->queue)
		return;
	CHECK(s->unread_len < ANSWERS_MAX);
	s->unread[s->unread_len++] = s->sent + 1;
}

/* Nothing is acknowledged but what was asked for and saved; nothing refused that was not asked. */
static void check_sent(struct side *s, const uint8_t *capsule, size_t len)
{
	const uint8_t *p = capsule + 2;
	uint64_t id;

	CHECK(len == 2u + capsule[1]);
	CHECK(clv_varint_read(&p, capsule + len, &id) == 0 && id < IDS);
	switch (capsule[0]) {
	case CLV_CAPSULE_COMPRESSION_ACK:
		CHECK(s->must_ack == id && s->ids[id].is_open);
		s->must_ack = 0;
		note_answer(s);
		break;
	case CLV_CAPSULE_COMPRESSION_CLOSE:
		CHECK(!s->ids[id].is_open);
		CHECK(id == s->assigned || s->ids[id].was_opened);
		if (id == s->assigned) {
			CHECK(!s->ids[id].was_opened && !s->ids[id].was_refused);
			s->ids[id].was_refused = true;
			if (s->top < id)
				s->top = id;
			note_answer(s);
		}
		break;
	default:
		CHECK(capsule[0] == CLV_CAPSULE_COMPRESSION_ASSIGN);
		CHECK(s->ids[id].is_open && s->ids[id].is_ours);
	}
}

static int on_send(void *user, const uint8_t *capsule, size_t len, uint64_t *mark)
{
	struct side *s = user;
	struct capsule *c;

	check_sent(s, capsule, len);
	*mark = ++s->sent;
	if (!s->queue)
		return 0;
	CHECK(s->queue_len < QUEUE);
	c = &s->queue[s->queue_len++];
	memcpy(c->bytes, capsule, len);
	c->len = len;
	return 0;
}

static const struct clv_contexts_ops ops = { on_open, on_acked, on_close, on_send };

static void begin(struct side *s, enum clv_contexts_role role, const struct clv_endpoint *target,
		  uint32_t unacked_max)
{
	struct clv_contexts_params p = {
		.role = role,
		.target = target,
		.limits = { OPEN_MAX, unacked_max, GAPS_MAX },
		.rate = &s->rate,
		.ops = &ops,
		.user = s,
		.counters = &s->counters,
		.seed = { 1, 2 },
	};

	s->role = role;
	s->has_target = target != NULL;
	if (target)
		s->target = *target;
	CHECK(clv_contexts_new(&p, &s->m) == 0);
}

/* All zero again for the next input, which costs less than new memory. */
static void end_side(struct side *s)
{
	clv_contexts_free(s->m);
	memset(s->ids, 0, (s->top + 1) * sizeof(s->ids[0]));
	memset(s, 0, offsetof(struct side, ids));
	memset((uint8_t *)s + offsetof(struct side, top), 0,
	       sizeof(*s) - offsetof(struct side, top));
}

static int capsule_in(struct side *s, enum clv_capsule_type type, const uint8_t *value, size_t len,
		      uint64_t now_ns)
{
	const uint8_t *p = value;
	int err;

	if (type == CLV_CAPSULE_COMPRESSION_ASSIGN &&
	    clv_varint_read(&p, value + len, &s->assigned))
		s->assigned = 0;
	err = clv_contexts_capsule(s->m, type, value, len, now_ns);
	if (!err)
		CHECK(s->must_ack == 0);
	s->assigned = 0;
	return err;
}

/* Runs of IDs that the peer used: what the manager must remember for good. */
static unsigned count_runs(const struct side *s)
{
	unsigned runs = 0;
	bool was_used = false;

	for (uint64_t id = s->role == CLV_CONTEXTS_RELAY ? 2 : 1; id <= s->top; id += 2) {
		bool is_used = s->ids[id].was_opened || s->ids[id].was_refused;

		runs += is_used && !was_used;
		was_used = is_used;
	}
	return runs;
}

static void check_figures(const struct side *s)
{
	CHECK(clv_contexts_count(s->m) == s->open);
	CHECK(s->open <= OPEN_MAX);
	CHECK((clv_contexts_uncompressed(s->m) != NULL) == s->has_uncompressed);
}

static void check_agreement(const struct side *s)
{
	check_figures(s);
	CHECK(count_runs(s) <= GAPS_MAX);
	for (uint64_t id = 1; id < 64 && id <= s->top + 4; id++) {
		const struct id_state *i = &s->ids[id];
		enum clv_contexts_verdict v = clv_contexts_classify(s->m, id);
		const struct clv_contexts_entry *e;

		CHECK((v == CLV_CONTEXTS_OPEN) == i->is_open);
		if ((i->was_opened || i->was_refused) && !i->is_open)
			CHECK(v == CLV_CONTEXTS_CLOSED);
		if (!i->is_open)
			continue;
		e = clv_contexts_by_id(s->m, id);
		CHECK(e != NULL);
		if (!e->is_uncompressed)
			CHECK(clv_contexts_by_remote(s->m, &i->remote) == e);
	}
}

/* A few remotes of both families, so that they meet often. */
static struct clv_endpoint remote_of(uint8_t choice)
{
	struct clv_endpoint ep = { .port = (__be16)(0x0100 << (choice & 1)) };

	if (choice & 2) {
		ep.addr[0] = 0x20;
	} else {
		ep.addr[10] = ep.addr[11] = 0xff;
		ep.addr[12] = 192;
	}
	ep.addr[15] = (choice >> 2) & 3;
	return ep;
}

/* ---- against any peer ---- */

static int say_anything(struct side *s, const uint8_t **p, const uint8_t *end, uint64_t now_ns)
{
	uint8_t value[CLV_CAPSULE_CONTEXT_VALUE_MAX], how = *(*p)++;
	size_t len = how >> 3;
	uint64_t id = 0;

	if (len > sizeof(value))
		len = sizeof(value);
	if (len > (size_t)(end - *p))
		len = (size_t)(end - *p);
	memcpy(value, *p, len);
	*p += len;
	/* Account is kept of the first IDs only. */
	const uint8_t *at = value;

	if (clv_varint_read(&at, value + len, &id) == 0 && id >= IDS)
		return 0;
	return capsule_in(s, (enum clv_capsule_type)(CLV_CAPSULE_COMPRESSION_ASSIGN + how % 3),
			  value, len, now_ns);
}

/* Whether the rules call a well formed registration of the peer malformed. */
static bool is_wrong_assign(const struct side *s, uint64_t id, const struct clv_endpoint *remote)
{
	if (id == 0 || !is_parity_of_opener(s, id, false) || s->ids[id].was_opened ||
	    s->ids[id].was_refused)
		return true;
	if (!remote)
		return s->role == CLV_CONTEXTS_CLIENT || s->has_uncompressed;
	for (uint64_t i = 1; i <= s->top; i++)
		if (s->ids[i].is_open && !s->ids[i].is_ours && !s->ids[i].is_uncompressed &&
		    memcmp(&s->ids[i].remote, remote, sizeof(*remote)) == 0)
			return true;
	return false;
}

/* What a well formed capsule of the peer comes to; an ASSIGN may also find something full. */
static void check_result(bool is_wrong, bool may_be_full, int err)
{
	if (is_wrong)
		CHECK(err == CLV_EPROTO);
	else
		CHECK(err == 0 || (may_be_full && err == CLV_EFULL));
}

/* The open ID of ours for a remote; 0: none. */
static uint64_t id_of_ours(const struct side *s, const struct clv_endpoint *remote)
{
	for (uint64_t i = 1; i <= s->top; i++)
		if (s->ids[i].is_open && s->ids[i].is_ours && !s->ids[i].is_uncompressed &&
		    memcmp(&s->ids[i].remote, remote, sizeof(*remote)) == 0)
			return i;
	return 0;
}

static int say_assign(struct side *s, uint64_t id, const struct clv_endpoint *remote,
		      uint64_t now_ns)
{
	uint8_t buf[CLV_CAPSULE_CONTEXT_MAX];
	size_t len = clv_capsule_encode_assign(id, remote, buf);
	bool is_wrong = is_wrong_assign(s, id, remote);
	uint64_t ours = remote ? id_of_ours(s, remote) : 0;
	int err = capsule_in(s, CLV_CAPSULE_COMPRESSION_ASSIGN, buf + 2, len - 2, now_ns);

	check_result(is_wrong, true, err);
	/* of two that cross the relay's goes */
	if (ours && !err && !clv_bucket_has_limit(&s->rate))
		CHECK(s->ids[ours].is_open == (s->role == CLV_CONTEXTS_CLIENT));
	return err;
}

static int say_id(struct side *s, enum clv_capsule_type type, uint64_t id, uint64_t now_ns)
{
	uint8_t buf[CLV_CAPSULE_CONTEXT_MAX];
	size_t len = clv_capsule_encode_context_id(type, id, buf);
	bool is_wrong = id == 0 || (type == CLV_CAPSULE_COMPRESSION_ACK &&
				    !(s->ids[id].was_opened && s->ids[id].is_ours));
	int err = capsule_in(s, type, buf + 2, len - 2, now_ns);

	check_result(is_wrong, false, err);
	return err;
}

static int say_something(struct side *s, uint8_t what, uint8_t arg, uint64_t now_ns)
{
	struct clv_endpoint remote = remote_of(arg);
	uint64_t id = arg >> 1;

	switch (what % 4) {
	case 0:
		return say_assign(s, id, arg & 1 ? NULL : &remote, now_ns);
	case 1:
		return say_assign(s, what >> 2, &remote, now_ns);
	case 2:
		return say_id(s, CLV_CAPSULE_COMPRESSION_ACK, id, now_ns);
	default:
		return say_id(s, CLV_CAPSULE_COMPRESSION_CLOSE, id, now_ns);
	}
}

static int wish(struct side *s, uint8_t what, uint8_t arg)
{
	struct clv_endpoint remote = remote_of(arg);
	uint32_t open = s->open;
	int err;

	if (what & 1)
		return clv_contexts_close(s->m, arg >> 2);
	err = clv_contexts_open(s->m, what & 2 && arg & 1 ? NULL : &remote, NULL);
	CHECK(s->open == open + (err == 0));
	s->refuse = false;
	return 0;
}

/* The peer reads some or all of what we sent. */
static void read_answers(struct side *s, uint8_t unread)
{
	uint64_t mark = unread < s->sent ? s->sent - unread % 8 : s->sent;
	uint32_t n = 0;

	while (n < s->unread_len && s->unread[n] <= mark)
		n++;
	s->unread_len -= n;
	memmove(s->unread, s->unread + n, s->unread_len * sizeof(s->unread[0]));
	clv_contexts_delivered(s->m, mark);
}

static void play_alone(const uint8_t *data, size_t size)
{
	static struct side alone;
	struct side *s = &alone;
	const uint8_t *p = data, *end = data + size;
	unsigned moves = 0;
	struct clv_endpoint target = remote_of(0);
	uint64_t now_ns = CLV_SEC;
	int err = 0;

	s->rate = clv_bucket_of(data[0] & 4 ? PER_SEC : 0, PER_SEC);
	begin(s, data[0] & 1 ? CLV_CONTEXTS_RELAY : CLV_CONTEXTS_CLIENT,
	      data[0] & 2 ? &target : NULL, ANSWERS_MAX);
	for (p++; !err && end - p >= 3;) {
		uint8_t move = *p++;

		switch (move % 6) {
		case 0:
			err = say_anything(s, &p, end, now_ns);
			break;
		case 1:
		case 2:
			err = say_something(s, p[0], p[1], now_ns);
			p += 2;
			break;
		case 3:
			err = wish(s, p[0], p[1]);
			p += 2;
			break;
		case 4:
			read_answers(s, *p);
			now_ns += (uint64_t)*p++ * CLV_MSEC;
			s->now_ns = now_ns - CLV_SEC;
			break;
		default:
			s->refuse = true;
		}
		if (!err && ++moves % CHECK_EVERY == 0)
			check_agreement(s);
		else if (!err)
			check_figures(s);
	}
	if (!err)
		check_agreement(s);
	CHECK(clv_contexts_classify(s->m, 0) ==
	      (data[0] & 2 ? CLV_CONTEXTS_ZERO : CLV_CONTEXTS_ABORT));
	end_side(s);
}

/* ---- back to back ---- */

static bool deliver(struct side *from, struct side *to)
{
	const struct capsule *c;

	if (from->queue_first == from->queue_len)
		return false;
	c = &from->queue[from->queue_first++];
	CHECK(capsule_in(to, (enum clv_capsule_type)c->bytes[0], c->bytes + 2, c->len - 2, 0) == 0);
	clv_contexts_delivered(from->m, from->queue_first);
	return true;
}

static void check_same(const struct side *a, const struct side *b)
{
	CHECK(a->open == b->open);
	for (uint64_t id = 1; id <= a->top || id <= b->top; id++) {
		const struct id_state *x = &a->ids[id], *y = &b->ids[id];
		const struct clv_contexts_entry *e;

		CHECK(x->is_open == y->is_open);
		if (!x->is_open)
			continue;
		CHECK(x->is_ours != y->is_ours && x->is_uncompressed == y->is_uncompressed);
		CHECK(memcmp(&x->remote, &y->remote, sizeof(x->remote)) == 0);
		e = clv_contexts_by_id(a->m, id);
		CHECK(e && e->is_acked);
		e = clv_contexts_by_id(b->m, id);
		CHECK(e && e->is_acked);
	}
}

static void play_together(const uint8_t *data, size_t size)
{
	static struct side both[2];
	static struct capsule queues[2][QUEUE];
	unsigned moves = 0;

	for (int i = 0; i < 2; i++) {
		both[i].queue = queues[i];
		begin(&both[i], i ? CLV_CONTEXTS_RELAY : CLV_CONTEXTS_CLIENT, NULL, QUEUE);
	}
	for (const uint8_t *p = data; data + size - p >= 2 && moves < MOVES_MAX; moves++) {
		struct side *s = &both[*p & 1], *other = &both[!(*p & 1)];
		uint8_t move = *p++ >> 1;

		if (move % 4 == 0)
			s->refuse = true;
		else if (move % 4 == 1)
			deliver(s, other);
		else
			CHECK(wish(s, (uint8_t)(move >> 2), *p++) == 0);
		check_figures(s);
		check_figures(other);
		if (moves % CHECK_EVERY == CHECK_EVERY - 1)
			check_agreement(s);
	}
	while (deliver(&both[0], &both[1]) || deliver(&both[1], &both[0]))
		;
	check_same(&both[0], &both[1]);
	for (int i = 0; i < 2; i++) {
		check_agreement(&both[i]);
		end_side(&both[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	if (data[0] & 0x80)
		play_alone(data, size);
	else
		play_together(data + 1, size - 1);
	return 0;
}
