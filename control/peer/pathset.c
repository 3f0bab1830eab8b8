/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/pathset.h"

#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

enum {
	TENTATIVE = CLV_PATHSET_LINKS_MAX, /* link of a packet that may not be the peer's */
	LONG_HEADER = 0x80,
	LONG_TYPE = 0x30,
	LONG_HANDSHAKE = 0x20,
	SILENCES_MAX = 6,
	RACING_MAX = 4, /* links that a listener notes in a handshake */
};

#define RACE_TURN_NS  (300 * CLV_MSEC) /* a listener's, in the handshake, before the next link */
#define V4_NS	      (3 * CLV_MSEC)
#define RELAYED_NS    (20 * CLV_MSEC)
#define BETTER_BY_NS  (5 * CLV_MSEC)
#define BETTER_FOR_NS (2 * CLV_SEC)
#define BARRED_NS     CLV_SEC
#define VALIDATION_NS (3 * CLV_SEC) /* then a path is not going to be validated */

void clv_pathset_init(struct clv_pathset *ps, bool is_dialler, uint64_t now_ns)
{
	memset(ps, 0, sizeof(*ps));
	ps->is_dialler = is_dialler;
	ps->is_racing = true;
	ps->moved_to = -1;
	ps->pending_link = -1;
	ps->now_ns = now_ns;
	ps->heard_ns = now_ns;
	ps->current = ps->last = 1;
	ps->paths[1] = (struct clv_pathset_path){ .number = 1, .link = -1 };
}

/* ---- paths ---- */

static struct clv_pathset_path *path_slot(struct clv_pathset *ps, uint32_t number)
{
	return &ps->paths[number % CLV_PATHSET_PATHS_MAX];
}

static const struct clv_pathset_path *find_path(const struct clv_pathset *ps, uint32_t number)
{
	const struct clv_pathset_path *p = &ps->paths[number % CLV_PATHSET_PATHS_MAX];

	return number && p->number == number ? p : NULL;
}

static int link_of(const struct clv_pathset *ps, uint32_t number)
{
	const struct clv_pathset_path *p = find_path(ps, number);

	return p ? p->link : -1;
}

/* Give a link the next number.  The path in use keeps its place in the table whatever its age. */
static uint32_t new_path(struct clv_pathset *ps, int link)
{
	uint32_t number = ps->last + 1;

	while (number % CLV_PATHSET_PATHS_MAX == ps->current % CLV_PATHSET_PATHS_MAX ||
	       (ps->validating &&
		number % CLV_PATHSET_PATHS_MAX == ps->validating % CLV_PATHSET_PATHS_MAX))
		number++;
	ps->last = number;
	*path_slot(ps, number) = (struct clv_pathset_path){ .number = number, .link = link };
	return number;
}

void clv_pathset_addresses(const struct clv_pathset *ps, uint32_t path, struct sockaddr_in6 *local,
			   struct sockaddr_in6 *remote)
{
	struct sockaddr_in6 *ends[2] = { local, remote };

	for (unsigned i = 0; i < 2; i++) {
		bool is_dialler_side = ps->is_dialler == (i == 0);
		uint32_t number = htonl(path);

		memset(ends[i], 0, sizeof(*ends[i]));
		ends[i]->sin6_family = AF_INET6;
		ends[i]->sin6_port = htons((uint16_t)path);
		ends[i]->sin6_addr.s6_addr[0] = 0xfd;
		ends[i]->sin6_addr.s6_addr[11] = is_dialler_side ? 1 : 2;
		memcpy(ends[i]->sin6_addr.s6_addr + 12, &number, sizeof(number));
	}
}

uint32_t clv_pathset_path_of(const struct sockaddr_in6 *remote)
{
	uint32_t number;

	if (remote->sin6_family != AF_INET6 || remote->sin6_addr.s6_addr[0] != 0xfd)
		return 0;
	memcpy(&number, remote->sin6_addr.s6_addr + 12, sizeof(number));
	return ntohl(number);
}

void clv_pathset_set_current(struct clv_pathset *ps, uint32_t path)
{
	if (ps->current == path || !find_path(ps, path))
		return;
	ps->current = path;
	ps->suspect_ns = 0;
	ps->srtt_ns = 0;
	for (unsigned i = 0; i < CLV_PATHSET_LINKS_MAX; i++)
		ps->links[i].better_ns = 0;
}

void clv_pathset_set_validating(struct clv_pathset *ps, uint32_t path)
{
	ps->validating = path;
	ps->validating_ns = ps->now_ns;
}

/* ---- links ---- */

static bool is_same(const struct clv_pathset_link *l, uint32_t base,
		    const struct clv_endpoint *remote)
{
	return l->is_used && l->link.base == base && clv_endpoint_equal(&l->link.remote, remote);
}

int clv_pathset_find(const struct clv_pathset *ps, uint32_t base, const struct clv_endpoint *remote)
{
	for (unsigned i = 0; i < CLV_PATHSET_LINKS_MAX; i++)
		if (is_same(&ps->links[i], base, remote))
			return (int)i;
	return -1;
}

static bool is_busy(const struct clv_pathset *ps, unsigned link)
{
	return link_of(ps, ps->current) == (int)link || link_of(ps, ps->validating) == (int)link;
}

/* A place for one more link: a free one, or that of the longest silent.  -1: none. */
static int place_for_link(const struct clv_pathset *ps)
{
	int oldest = -1;

	for (unsigned i = 0; i < CLV_PATHSET_LINKS_MAX; i++) {
		const struct clv_pathset_link *l = &ps->links[i];

		if (!l->is_used)
			return (int)i;
		/* what the dialler was given is not to be displaced by what comes in */
		if (is_busy(ps, i) || (ps->is_dialler && (l->link.is_relayed || l->is_valid)))
			continue;
		if (oldest < 0 || l->heard_ns < ps->links[oldest].heard_ns)
			oldest = (int)i;
	}
	return oldest;
}

int clv_pathset_add(struct clv_pathset *ps, const struct clv_peer_link *link)
{
	int i = clv_pathset_find(ps, link->base, &link->remote);

	if (i >= 0)
		return i;
	i = place_for_link(ps);
	if (i < 0)
		return CLV_EFULL;
	clv_pathset_remove(ps, (unsigned)i);
	ps->links[i] = (struct clv_pathset_link){
		.link = *link,
		.is_used = true,
		.is_valid = link->is_relayed,
	};
	return i;
}

void clv_pathset_remove(struct clv_pathset *ps, unsigned link)
{
	struct clv_pathset_link *l = &ps->links[link];

	if (!l->is_used)
		return;
	for (unsigned i = 0; i < CLV_PATHSET_PATHS_MAX; i++)
		if (ps->paths[i].number && ps->paths[i].link == (int)link)
			ps->paths[i].link = -1;
	for (unsigned i = 0; i < CLV_PATHSET_PATHS_MAX; i++)
		if (ps->ids[i].link == (int)link)
			ps->ids[i].path = 0;
	if (ps->moved_to == (int)link)
		ps->moved_to = -1;
	*l = (struct clv_pathset_link){ .is_used = false };
}

void clv_pathset_validated(struct clv_pathset *ps, unsigned link, uint64_t rtt_ns, uint64_t now_ns)
{
	struct clv_pathset_link *l = &ps->links[link];

	l->is_valid = true;
	l->rtt_ns = rtt_ns;
	l->heard_ns = now_ns;
}

void clv_pathset_heard(struct clv_pathset *ps, unsigned link, uint64_t now_ns)
{
	ps->links[link].heard_ns = now_ns;
}

void clv_pathset_rebind(struct clv_pathset *ps, unsigned link, const struct clv_endpoint *remote)
{
	ps->links[link].link.remote = *remote;
}

const struct clv_pathset_link *clv_pathset_in_use(const struct clv_pathset *ps)
{
	int link = link_of(ps, ps->current);

	return link >= 0 ? &ps->links[link] : NULL;
}

/* ---- received packets ---- */

/* The dialler's: the newest path of the link if QUIC has to do with it now, else the one in use (R2). */
static uint32_t dialler_path(const struct clv_pathset *ps, int link)
{
	uint32_t path = link >= 0 ? ps->links[link].path : 0;

	return path && path == ps->validating ? path : ps->current;
}

/* The listener's: the path that this link and this ID had before, or a new one: 0 (R1). */
static uint32_t listener_path(const struct clv_pathset *ps, int link, const uint8_t *cid)
{
	for (unsigned i = 0; i < CLV_PATHSET_PATHS_MAX; i++) {
		const struct clv_pathset_id *id = &ps->ids[i];

		if (id->path && id->link == link && find_path(ps, id->path) &&
		    !memcmp(id->cid, cid, CLV_PATHSET_CID_LEN))
			return id->path;
	}
	if (link == link_of(ps, ps->current))
		return ps->current;
	if (ps->needs_proof && (link == TENTATIVE || !ps->links[link].is_valid))
		return ps->current; /* read, but followed only when it has been proven */
	return 0;
}

void clv_pathset_renew(struct clv_pathset *ps)
{
	ps->is_renewing = !ps->is_dialler;
}

uint32_t clv_pathset_receive(struct clv_pathset *ps, int link, const struct clv_peer_link *from,
			     const uint8_t *packet, size_t len)
{
	ps->pending_is_new = false;
	ps->pending_renews = false;
	ps->pending_has_cid = false;
	ps->pending_is_long = len && packet[0] & LONG_HEADER;
	ps->pending_is_handshake = ps->pending_is_long && (packet[0] & LONG_TYPE) == LONG_HANDSHAKE;
	ps->pending_path = ps->current;
	if (link < 0 && (ps->is_racing || !ps->is_dialler)) {
		ps->links[TENTATIVE] = (struct clv_pathset_link){
			.link = *from,
			.is_used = true,
			.is_valid = from->is_relayed,
		};
		link = TENTATIVE;
	}
	ps->pending_link = link;
	/* The handshake has one path, whatever links its packets come on. */
	if (ps->is_racing || ps->pending_is_long || len < 1 + CLV_PATHSET_CID_LEN)
		return ps->pending_path;
	if (ps->is_dialler) {
		ps->pending_path = dialler_path(ps, link);
		return ps->pending_path;
	}
	ps->pending_has_cid = true;
	memcpy(ps->pending_cid, packet + 1, CLV_PATHSET_CID_LEN);
	ps->pending_path = listener_path(ps, link, ps->pending_cid);
	ps->pending_renews = ps->is_renewing && link_of(ps, ps->pending_path) == link;
	if (!ps->pending_path || ps->pending_renews) {
		ps->pending_path = new_path(ps, link);
		ps->pending_is_new = true;
	}
	return ps->pending_path;
}

/* Make the tentative link a real one.  Returns its number or -1. */
static int keep_tentative(struct clv_pathset *ps)
{
	struct clv_pathset_link kept = ps->links[TENTATIVE];
	int link;

	ps->links[TENTATIVE].is_used = false;
	/* With proofs required, an unknown sender's packets are read but nothing is kept of it. */
	if (ps->needs_proof && !ps->is_racing)
		return -1;
	link = clv_pathset_add(ps, &kept.link);
	return link < 0 ? -1 : link;
}

static unsigned racing_len(const struct clv_pathset *ps)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CLV_PATHSET_LINKS_MAX; i++)
		n += ps->links[i].is_used && ps->links[i].is_racing;
	return n;
}

/* A packet that was not the peer's, or a copy of one, leaves no trace. */
static void forget_pending(struct clv_pathset *ps, int link)
{
	if (ps->pending_is_new) {
		path_slot(ps, ps->pending_path)->number = 0;
		ps->last = ps->pending_path - 1; /* QUIC has not kept it */
	}
	/* but a copy of the first flight says that its link works, too */
	if (link == TENTATIVE && !ps->is_dialler && ps->is_racing && ps->pending_is_long &&
	    racing_len(ps) < RACING_MAX)
		link = keep_tentative(ps);
	ps->links[TENTATIVE].is_used = false;
	if (!ps->is_dialler && ps->is_racing && ps->pending_is_long && link >= 0 &&
	    link != TENTATIVE)
		ps->links[link].is_racing = true;
}

/* Note that the ID comes in on this link as this path. */
static void keep_id(struct clv_pathset *ps, int link)
{
	struct clv_pathset_id *id;

	if (!ps->pending_has_cid || link_of(ps, ps->pending_path) != link)
		return;
	for (unsigned i = 0; i < CLV_PATHSET_PATHS_MAX; i++) {
		id = &ps->ids[i];
		if (id->path && id->link == link &&
		    !memcmp(id->cid, ps->pending_cid, sizeof(id->cid)))
			return;
	}
	id = &ps->ids[ps->ids_next++ % CLV_PATHSET_PATHS_MAX];
	id->link = link;
	id->path = ps->pending_path;
	memcpy(id->cid, ps->pending_cid, sizeof(id->cid));
}

/* The renewed path is the one that every ID of its link belongs to from now on. */
static void keep_renewed(struct clv_pathset *ps, int link)
{
	ps->is_renewing = false;
	for (unsigned i = 0; i < CLV_PATHSET_PATHS_MAX; i++)
		if (ps->ids[i].path && ps->ids[i].link == link)
			ps->ids[i].path = ps->pending_path;
}

static void end_race(struct clv_pathset *ps, int link)
{
	ps->is_racing = false;
	path_slot(ps, ps->current)->link = link;
	ps->links[link].path = ps->current;
}

/* A packet of the handshake: which link the handshake goes on over. */
static void race(struct clv_pathset *ps, int link, uint64_t now_ns)
{
	if (ps->is_dialler || ps->pending_is_handshake || !ps->pending_is_long) {
		end_race(ps, link);
		return;
	}
	ps->links[link].is_racing = true;
	if (link_of(ps, ps->current) >= 0)
		return;
	path_slot(ps, ps->current)->link = link;
	ps->links[link].path = ps->current;
	ps->race_ns = now_ns + RACE_TURN_NS;
}

int clv_pathset_taken(struct clv_pathset *ps, bool is_genuine, uint64_t now_ns)
{
	int link = ps->pending_link;

	ps->pending_link = -1;
	if (!is_genuine) {
		forget_pending(ps, link);
		return -1;
	}
	if (link == TENTATIVE) {
		link = keep_tentative(ps);
		if (ps->pending_is_new)
			path_slot(ps, ps->pending_path)->link = link;
	}
	ps->heard_ns = now_ns;
	if (link < 0)
		return -1;
	ps->links[link].heard_ns = now_ns;
	ps->links[link].packet_ns = now_ns;
	ps->links[link].silences = 0;
	if (ps->is_racing)
		race(ps, link, now_ns);
	if (ps->pending_is_new)
		ps->links[link].path = ps->pending_path;
	if (ps->pending_renews)
		keep_renewed(ps, link);
	if (!ps->is_dialler)
		keep_id(ps, link);
	return link;
}

/* ---- sent packets ---- */

unsigned clv_pathset_out(const struct clv_pathset *ps, uint32_t path,
			 unsigned links[static CLV_PATHSET_LINKS_MAX])
{
	unsigned n = 0;
	int link;

	if (ps->is_dialler && ps->is_racing) {
		for (unsigned i = 0; i < CLV_PATHSET_LINKS_MAX; i++)
			if (ps->links[i].is_used)
				links[n++] = i;
		return n;
	}
	link = link_of(ps, path);
	if (link < 0)
		return 0;
	links[0] = (unsigned)link;
	return 1;
}

/* ---- deciding ---- */

static uint64_t score(const struct clv_pathset_link *l, uint64_t rtt_ns)
{
	return rtt_ns + (clv_addr_is_v4(l->link.remote.addr) ? V4_NS : 0) +
	       (l->link.is_relayed ? RELAYED_NS : 0);
}

bool clv_pathset_may_move(const struct clv_pathset *ps, uint64_t now_ns)
{
	return !ps->moved_ns || now_ns - ps->moved_ns >= CLV_PATHSET_GAP_NS ||
	       (ps->moved_to >= 0 && ps->links[ps->moved_to].packet_ns > ps->moved_ns);
}

uint32_t clv_pathset_prepare_move(struct clv_pathset *ps, unsigned link)
{
	return new_path(ps, (int)link);
}

void clv_pathset_moved(struct clv_pathset *ps, unsigned link, uint64_t now_ns)
{
	ps->links[link].path = ps->last;
	ps->moved_to = (int)link;
	ps->moved_ns = now_ns;
}

void clv_pathset_leave(struct clv_pathset *ps, uint64_t now_ns)
{
	int link = link_of(ps, ps->current);

	if (link >= 0)
		ps->links[link].barred_ns = now_ns + BARRED_NS;
}

void clv_pathset_sent(struct clv_pathset *ps, uint64_t now_ns)
{
	if (!ps->is_racing && !ps->waiting_ns)
		ps->waiting_ns = now_ns;
}

uint64_t clv_pathset_silence_ns(const struct clv_pathset *ps, uint64_t now_ns)
{
	uint64_t since = ps->heard_ns > ps->waiting_ns ? ps->heard_ns : ps->waiting_ns;

	return ps->waiting_ns && now_ns > since ? now_ns - since : 0;
}

/* The same for suspicion: a path moved to just now has its own time to answer. */
static uint64_t silence_on_path_ns(const struct clv_pathset *ps, uint64_t now_ns)
{
	uint64_t silence_ns = clv_pathset_silence_ns(ps, now_ns);

	if (ps->moved_ns && now_ns - ps->moved_ns < silence_ns)
		return now_ns - ps->moved_ns;
	return silence_ns;
}

/* The best link to flee to: one heard since the suspicion, else a relayed one.  -1: none. */
static int refuge(const struct clv_pathset *ps)
{
	int best = -1;
	bool best_is_heard = false;

	for (unsigned i = 0; i < CLV_PATHSET_LINKS_MAX; i++) {
		const struct clv_pathset_link *l = &ps->links[i];
		bool is_heard = ps->suspect_ns && l->heard_ns > ps->suspect_ns;

		if (!l->is_used || !l->is_valid || link_of(ps, ps->current) == (int)i ||
		    (!is_heard && !l->link.is_relayed) || (best_is_heard && !is_heard))
			continue;
		if (best >= 0 && best_is_heard == is_heard &&
		    (is_heard ? score(l, l->rtt_ns) >=
					score(&ps->links[best], ps->links[best].rtt_ns)
			      : l->barred_ns >= ps->links[best].barred_ns))
			continue;
		best = (int)i;
		best_is_heard = is_heard;
	}
	return best;
}

static void bar(struct clv_pathset *ps, uint64_t now_ns)
{
	int link = link_of(ps, ps->current);

	if (link < 0)
		return;
	ps->links[link].barred_ns = now_ns + (BARRED_NS << ps->links[link].silences);
	if (ps->links[link].silences < SILENCES_MAX)
		ps->links[link].silences++;
	if (!ps->links[link].link.is_relayed)
		ps->links[link].is_valid = false; /* until it is proven again */
}

/* Returns whether the path in use is suspect, and then says what to do. */
static bool flee(struct clv_pathset *ps, uint64_t now_ns, struct clv_pathset_order *out)
{
	uint64_t limit_ns = CLV_PATHSET_SUSPECT_NS + ps->srtt_ns;
	int link;

	if (silence_on_path_ns(ps, now_ns) < limit_ns) {
		ps->suspect_ns = 0;
		return false;
	}
	if (!ps->suspect_ns) {
		ps->suspect_ns = now_ns;
		if (ps->can_ask) {
			out->action = CLV_PATHSET_ASK;
			return true;
		}
	}
	if (ps->can_ask && now_ns - ps->suspect_ns < CLV_PATHSET_ANSWER_NS)
		return true;
	link = refuge(ps);
	if (!ps->is_dialler || link < 0 || !clv_pathset_may_move(ps, now_ns)) {
		if (ps->can_ask && now_ns - ps->suspect_ns >= 2 * CLV_PATHSET_ANSWER_NS) {
			ps->suspect_ns = now_ns; /* nobody answered: ask again */
			out->action = CLV_PATHSET_ASK;
		}
		return true;
	}
	bar(ps, now_ns);
	*out = (struct clv_pathset_order){
		.action = CLV_PATHSET_MOVE,
		.link = (unsigned)link,
		.is_at_once = true,
		.why = CLV_PATH_SILENT,
	};
	return true;
}

/* Whether l has been better than the one in use for long enough. */
static bool is_better(struct clv_pathset *ps, struct clv_pathset_link *l,
		      const struct clv_pathset_link *now, uint64_t now_ns)
{
	uint64_t rtt_ns = ps->srtt_ns ? ps->srtt_ns : now->rtt_ns;
	uint64_t a = score(l, l->rtt_ns), b = score(now, rtt_ns);

	if (now->link.is_relayed && !l->link.is_relayed)
		return a < b || !rtt_ns; /* what a relay carries costs it: at once */
	if (a + BETTER_BY_NS >= b || a + a / 10 >= b) {
		l->better_ns = 0;
		return false;
	}
	if (!l->better_ns)
		l->better_ns = now_ns;
	return now_ns - l->better_ns >= BETTER_FOR_NS;
}

static void improve(struct clv_pathset *ps, uint64_t now_ns, struct clv_pathset_order *out)
{
	const struct clv_pathset_link *now = clv_pathset_in_use(ps);
	int best = -1;

	if ((ps->validating && now_ns - ps->validating_ns < VALIDATION_NS) ||
	    !clv_pathset_may_move(ps, now_ns))
		return;
	for (unsigned i = 0; i < CLV_PATHSET_LINKS_MAX; i++) {
		struct clv_pathset_link *l = &ps->links[i];

		if (l == now || !l->is_used || !l->is_valid || !l->rtt_ns || now_ns < l->barred_ns)
			continue;
		if (now && !is_better(ps, l, now, now_ns))
			continue;
		if (best < 0 ||
		    score(l, l->rtt_ns) < score(&ps->links[best], ps->links[best].rtt_ns))
			best = (int)i;
	}
	if (best < 0)
		return;
	*out = (struct clv_pathset_order){
		.action = CLV_PATHSET_MOVE,
		.link = (unsigned)best,
		.why = CLV_PATH_BETTER,
	};
}

/* The link in use was taken away: go to any that is left. */
static void leave_gone(struct clv_pathset *ps, uint64_t now_ns, struct clv_pathset_order *out)
{
	int link = refuge(ps);

	for (unsigned i = 0; link < 0 && i < CLV_PATHSET_LINKS_MAX; i++)
		if (ps->links[i].is_used && ps->links[i].is_valid)
			link = (int)i;
	if (link < 0 || !clv_pathset_may_move(ps, now_ns))
		return;
	*out = (struct clv_pathset_order){
		.action = CLV_PATHSET_MOVE,
		.link = (unsigned)link,
		.is_at_once = true,
		.why = CLV_PATH_GONE,
	};
}

/* Listener, in the handshake: when nothing came back, answer over the next link that was heard. */
static void next_in_race(struct clv_pathset *ps, uint64_t now_ns)
{
	int now = link_of(ps, ps->current);

	if (ps->is_dialler || now < 0 || now_ns < ps->race_ns)
		return;
	ps->race_ns = now_ns + RACE_TURN_NS;
	for (int i = 1; i < CLV_PATHSET_LINKS_MAX; i++) {
		int link = (now + i) % CLV_PATHSET_LINKS_MAX;

		if (!ps->links[link].is_used || !ps->links[link].is_racing)
			continue;
		path_slot(ps, ps->current)->link = link;
		ps->links[link].path = ps->current;
		return;
	}
}

void clv_pathset_step(struct clv_pathset *ps, bool is_waiting, uint64_t srtt_ns, uint64_t now_ns,
		      struct clv_pathset_order *out)
{
	out->action = CLV_PATHSET_NOTHING;
	ps->now_ns = now_ns;
	if (ps->is_racing) {
		next_in_race(ps, now_ns);
		return;
	}
	ps->srtt_ns = srtt_ns;
	if (!is_waiting)
		ps->waiting_ns = 0;
	else if (!ps->waiting_ns)
		ps->waiting_ns = now_ns;
	if (flee(ps, now_ns, out) || !ps->is_dialler)
		return;
	if (!clv_pathset_in_use(ps))
		leave_gone(ps, now_ns, out);
	else
		improve(ps, now_ns, out);
}

uint64_t clv_pathset_next_ns(const struct clv_pathset *ps)
{
	uint64_t since = ps->heard_ns > ps->waiting_ns ? ps->heard_ns : ps->waiting_ns;
	uint64_t at_ns = UINT64_MAX;

	if (ps->moved_ns > since)
		since = ps->moved_ns;

	if (ps->is_racing)
		return ps->is_dialler || link_of(ps, ps->current) < 0 ? UINT64_MAX : ps->race_ns;
	if (ps->suspect_ns)
		at_ns = ps->now_ns + CLV_PATHSET_ANSWER_NS / 5;
	else if (ps->waiting_ns)
		at_ns = since + CLV_PATHSET_SUSPECT_NS + ps->srtt_ns;
	for (unsigned i = 0; ps->is_dialler && i < CLV_PATHSET_LINKS_MAX; i++) {
		const struct clv_pathset_link *l = &ps->links[i];
		uint64_t due_ns = UINT64_MAX;

		if (!l->is_used || !l->is_valid)
			continue;
		if (l->barred_ns > ps->now_ns)
			due_ns = l->barred_ns;
		else if (l->better_ns)
			due_ns = l->better_ns + BETTER_FOR_NS;
		if (due_ns > ps->now_ns && due_ns < at_ns)
			at_ns = due_ns;
	}
	return at_ns;
}
