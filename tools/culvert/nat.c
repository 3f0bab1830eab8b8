/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvert/commands.h"
#include "tools/culvert/peer.h"

#include <jansson.h>

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	ADDRESSES_MAX = 32, /* of all relays together, as culvert_net_report takes them */
	NAME_ADDRESSES_MAX = 8,
	NAMES_WAIT_MSEC = 5000,
};

struct nat;

/* A relay of the command line, and its addresses being looked up. */
struct name {
	struct nat *nat;
	const struct endpoint *relay;
	uv_getaddrinfo_t lookup;
	bool is_waiting;
	int error; /* of getaddrinfo, or of its start */
	union culvert_address addresses[NAME_ADDRESSES_MAX];
	size_t addresses_len;
};

struct nat {
	struct peer peer;
	struct name names[OPTIONS_RELAYS_MAX];
	unsigned names_len, waiting;
	uv_timer_t timer;
	bool is_asked;
};

/* ---- the report ---- */

static const char *relay_text(const struct endpoint *relay, char out[CULVERT_HOST_TEXT + 10])
{
	snprintf(out, CULVERT_HOST_TEXT + 10, strchr(relay->host, ':') ? "[%s]:%u" : "%s:%u",
		 relay->host, relay->port);
	return out;
}

static const char *name_error(const struct name *n)
{
	return n->is_waiting ? "the name was not resolved in time" : "the name does not exist";
}

static const char *answer_error(const struct culvert_net_answer *a)
{
	if (a->status)
		return "it refused to answer";
	return a->error ? culvert_strerror(a->error) : NULL;
}

static void print_row(const char *relay, const char *seen, const char *ms, unsigned tries,
		      const char *error)
{
	printf("%-32s %-32s %8s %5u%s%s\n", relay, seen, ms, tries, error ? "  " : "",
	       error ? error : "");
}

static void print_table(const struct nat *g, const struct culvert_event *e)
{
	char relay[CULVERT_HOST_TEXT + 10], seen[CULVERT_ADDRESS_TEXT], ms[32];

	printf("%-32s %-32s %8s %5s\n", "RELAY", "SEEN", "MS", "TRIES");
	for (size_t i = 0; i < e->answers_len; i++) {
		const struct culvert_net_answer *a = &e->answers[i];
		bool is_seen = a->seen.sa.sa_family != AF_UNSPEC;

		snprintf(ms, sizeof(ms), "%.1f", a->rtt_usec / 1e3);
		culvert_address_format(&a->relay, relay);
		culvert_address_format(&a->seen, seen);
		print_row(relay, is_seen ? seen : "-", is_seen ? ms : "-", a->tries,
			  answer_error(a));
	}
	for (unsigned i = 0; i < g->names_len; i++)
		if (g->names[i].is_waiting || g->names[i].error)
			print_row(relay_text(g->names[i].relay, relay), "-", "-", 0,
				  name_error(&g->names[i]));
}

/* What a class means for who wants to reach this host. */
static const char *meaning(const struct culvert_net_family *f)
{
	switch (f->nat) {
	case CULVERT_NAT_CONE:
		if (!f->has_nat)
			return "no NAT";
		return f->keeps_port ? "one mapping for all, the port is kept"
				     : "one mapping for all";
	case CULVERT_NAT_SYMMETRIC_PORT:
		return f->step_min == f->step_max ? "a port for each remote, in equal steps"
						  : "a port for each remote";
	case CULVERT_NAT_MULTIPLE:
		return "an address for each remote";
	default:
		if (!f->answered)
			return "no relay answered";
		return f->has_nat ? "too few relays answered, behind a NAT"
				  : "too few relays answered, no NAT seen";
	}
}

static void print_family(const char *name, const struct culvert_net_family *f, bool is_second)
{
	char seen[CULVERT_ADDRESS_TEXT];

	printf("%s%s %s (%s", is_second ? "; " : "", name, culvert_nat_name(f->nat), meaning(f));
	if (f->answered && f->nat != CULVERT_NAT_MULTIPLE)
		printf("; seen at %s", culvert_address_format(&f->seen, seen));
	putchar(')');
}

static void print_text(const struct nat *g, const struct culvert_event *e)
{
	const struct culvert_net_report *r = e->report;

	print_table(g, e);
	printf("NAT: ");
	if (r->v4.asked)
		print_family("IPv4", &r->v4, false);
	if (r->v6.asked)
		print_family("IPv6", &r->v6, r->v4.asked > 0);
	putchar('\n');
	if (r->foreign)
		printf("%u answers were not from the relay that was asked, and ignored\n",
		       (unsigned)r->foreign);
}

static json_t *address_json(const union culvert_address *address)
{
	char text[CULVERT_ADDRESS_TEXT];

	if (address->sa.sa_family == AF_UNSPEC)
		return json_null();
	return json_string(culvert_address_format(address, text));
}

static json_t *family_json(const struct culvert_net_family *f)
{
	json_t *one;

	if (!f->asked)
		return json_null();
	one = json_pack("{s:s, s:i, s:i, s:o, s:o}", "class", culvert_nat_name(f->nat), "asked",
			(int)f->asked, "answered", (int)f->answered, "local",
			address_json(&f->local), "seen", address_json(&f->seen));
	if (f->answered) {
		json_object_set_new(one, "nat", json_boolean(f->has_nat));
		json_object_set_new(one, "keeps_port", json_boolean(f->keeps_port));
	}
	if (f->nat == CULVERT_NAT_SYMMETRIC_PORT) {
		json_object_set_new(one, "step_min", json_integer(f->step_min));
		json_object_set_new(one, "step_max", json_integer(f->step_max));
	}
	return one;
}

static json_t *answers_json(const struct nat *g, const struct culvert_event *e)
{
	char text[CULVERT_HOST_TEXT + 10];
	json_t *all = json_array();

	for (size_t i = 0; i < e->answers_len; i++) {
		const struct culvert_net_answer *a = &e->answers[i];
		bool is_seen = a->seen.sa.sa_family != AF_UNSPEC;

		json_array_append_new(
			all, json_pack("{s:o, s:o, s:o, s:i, s:s?}", "relay",
				       address_json(&a->relay), "seen", address_json(&a->seen),
				       "ms", is_seen ? json_real(a->rtt_usec / 1e3) : json_null(),
				       "tries", (int)a->tries, "error", answer_error(a)));
	}
	for (unsigned i = 0; i < g->names_len; i++)
		if (g->names[i].is_waiting || g->names[i].error)
			json_array_append_new(all, json_pack("{s:s, s:n, s:n, s:i, s:s}", "relay",
							     relay_text(g->names[i].relay, text),
							     "seen", "ms", "tries", 0, "error",
							     name_error(&g->names[i])));
	return all;
}

static void print_json(const struct nat *g, const struct culvert_event *e)
{
	json_t *all = json_pack("{s:o, s:o, s:o, s:i}", "ipv4", family_json(&e->report->v4), "ipv6",
				family_json(&e->report->v6), "relays", answers_json(g, e),
				"foreign", (int)e->report->foreign);

	json_dumpf(all, stdout, JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(all);
}

/* The worse of two families; one of which nothing is known does not count beside one that is. */
static int status_of_report(const struct culvert_net_report *r)
{
	const enum culvert_nat worse = r->v4.nat > r->v6.nat ? r->v4.nat : r->v6.nat;

	if (worse == CULVERT_NAT_UNKNOWN)
		return STATUS_NAT_UNKNOWN;
	return worse == CULVERT_NAT_CONE ? STATUS_OK : STATUS_NAT_SYMMETRIC;
}

static void on_event(struct peer *p, const struct culvert_event *e)
{
	struct nat *g = p->user;

	if (e->type != CULVERT_NET_REPORT)
		return;
	if (p->options->json)
		print_json(g, e);
	else
		print_text(g, e);
	peer_stop(p, status_of_report(e->report));
}

/* ---- names ---- */

/* Ask what there is, in the order of the command line; once. */
static void ask(struct nat *g)
{
	union culvert_address all[ADDRESSES_MAX];
	struct culvert_net_options o = { .relays = all };
	int err;

	if (g->is_asked)
		return;
	g->is_asked = true;
	for (unsigned i = 0; i < g->names_len; i++)
		for (size_t k = 0; k < g->names[i].addresses_len; k++)
			if (o.relays_len < ADDRESSES_MAX)
				all[o.relays_len++] = g->names[i].addresses[k];
	if (!o.relays_len) {
		for (unsigned i = 0; i < g->names_len; i++)
			fprintf(stderr, "culvert: relay %s: %s\n", g->names[i].relay->host,
				name_error(&g->names[i]));
		peer_stop(&g->peer, STATUS_NO_RELAY_NAME);
		return;
	}
	err = culvert_net_report(g->peer.culvert, &o);
	if (err)
		peer_stop(&g->peer, peer_print_failure(&g->peer, "nat", err));
}

static void on_names_late(uv_timer_t *timer)
{
	ask(timer->data);
}

static void add_address(struct name *n, const struct sockaddr *sa, uint16_t port)
{
	union culvert_address *a = &n->addresses[n->addresses_len];

	if (n->addresses_len == NAME_ADDRESSES_MAX)
		return;
	memset(a, 0, sizeof(*a));
	if (sa->sa_family == AF_INET) {
		memcpy(&a->in, sa, sizeof(a->in));
		a->in.sin_port = htons(port);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&a->in6, sa, sizeof(a->in6));
		a->in6.sin6_port = htons(port);
	} else {
		return;
	}
	n->addresses_len++;
}

static void on_resolved(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
	struct name *n = lookup->data;
	struct nat *g = n->nat;

	n->is_waiting = false;
	n->error = status;
	for (struct addrinfo *a = found; a && !status; a = a->ai_next)
		add_address(n, a->ai_addr, n->relay->port);
	uv_freeaddrinfo(found);
	if (!--g->waiting)
		ask(g);
}

/* All names at a time, by the loop's own threads: none waits for another. */
static int start(struct peer *p)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM };
	struct nat *g = p->user;

	for (unsigned i = 0; i < p->options->relays_len; i++) {
		struct name *n = &g->names[g->names_len++];

		n->nat = g;
		n->relay = &p->options->relays[i];
		n->lookup.data = n;
		n->error = uv_getaddrinfo(&p->loop, &n->lookup, on_resolved, n->relay->host, NULL,
					  &hints);
		n->is_waiting = !n->error;
		g->waiting += n->is_waiting;
	}
	uv_timer_init(&p->loop, &g->timer);
	g->timer.data = g;
	uv_timer_start(&g->timer, on_names_late, g->waiting ? NAMES_WAIT_MSEC : 0, 0);
	return 0;
}

static const struct peer_ops ops = { start, on_event };

int nat_run(const struct options *o)
{
	struct nat *g = calloc(1, sizeof(*g));
	int status;

	if (!g)
		return STATUS_FAILED;
	status = peer_open(&g->peer, o, &ops, g);
	if (!status)
		status = peer_run(&g->peer);
	if (g->waiting) { /* for a resolver that may take a minute */
		fflush(stdout);
		_exit(status);
	}
	peer_close(&g->peer);
	free(g);
	return status;
}
