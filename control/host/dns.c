/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/dns.h"

#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"

#include <ares.h>

#include <arpa/nameser.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	GROUP_QUESTIONS = 64, /* on one channel; then the next one has another source port */
	SERVERS_MAX = 3,      /* of a list, that are asked in turn when one fails */
	TICK_MSEC = 100,      /* how exactly retransmissions are timed */
	TRY_MSEC = 1000,      /* before the first retransmission; then twice as long */
	TRIES = 3,
	UDP_BYTES = 1232, /* advertised by EDNS; more would be fragmented */
};

#define LOOK_NS CLV_SEC /* between two looks whether resolv.conf changed */

struct channel {
	struct clv_dns *dns;
	struct channel *next;
	ares_channel ares;
	struct sock *socks;
	unsigned asked;	    /* questions it ever had */
	unsigned questions; /* of these, without an answer */
	unsigned wanted;    /* of these, not forgotten */
	bool is_inside;	    /* the library runs: it may be neither cancelled nor destroyed */
};

/* A socket of a channel, watched by the loop. */
struct sock {
	uv_poll_t poll;
	struct clv_dns *dns;
	struct channel *channel; /* gone when the handle is closing */
	struct sock *next;
	int fd;
};

struct clv_dns {
	uv_loop_t *loop;
	char *conf_path;    /* NULL: servers are fixed */
	struct stat conf;   /* as the servers were read from it */
	uint64_t looked_ns; /* when it was compared last */
	struct ares_addr_port_node *servers;
	size_t servers_len;
	struct channel *channels;
	struct channel *current[SERVERS_MAX]; /* [i] for new questions to servers i, i + 1, ... */
	uv_timer_t tick;
	unsigned handles; /* of the loop, that are not closed yet */
	uint32_t questions;
};

struct clv_dns_question {
	struct clv_dns *dns;
	struct channel *channel;
	struct clv_dns_question **slot;
	clv_dns_fn *done; /* NULL: forgotten */
	void *user;
	bool is_v6;
	size_t server; /* the first one asked of the list */
	int failure;   /* what an earlier server answered: ARES_*, or 0 */
	char name[];
};

/* ---- memory of the library ---- */

static size_t held_bytes;

static void *counted_alloc(size_t size)
{
	void *p = malloc(size);

	held_bytes += p ? malloc_usable_size(p) : 0;
	return p;
}

static void counted_free(void *p)
{
	held_bytes -= p ? malloc_usable_size(p) : 0;
	free(p);
}

static void *counted_realloc(void *p, size_t size)
{
	size_t before = p ? malloc_usable_size(p) : 0;
	void *q = realloc(p, size);

	if (q)
		held_bytes += malloc_usable_size(q) - before;
	return q;
}

size_t clv_dns_memory(void)
{
	return held_bytes;
}

/* ---- channels ---- */

static void on_sock_closed(uv_handle_t *handle)
{
	struct sock *s = handle->data;

	s->dns->handles--;
	free(s);
}

static void drop_sock(struct sock **at)
{
	struct sock *s = *at;

	*at = s->next;
	uv_close((uv_handle_t *)&s->poll, on_sock_closed);
}

/* Free a channel that no new question will use, and that has none any more. */
static void reap(struct channel *ch)
{
	struct clv_dns *dns = ch->dns;
	struct channel **at = &dns->channels;

	for (size_t i = 0; i < SERVERS_MAX; i++)
		if (dns->current[i] == ch)
			return;
	if (ch->questions || ch->is_inside)
		return;
	while (*at != ch)
		at = &(*at)->next;
	*at = ch->next;
	ares_destroy(ch->ares); /* closes its sockets, by on_sock_state */
	free(ch);
}

/* The library may not be destroyed or cancelled by what it calls. */
static void process(struct channel *ch, int read_fd, int write_fd)
{
	ch->is_inside = true;
	ares_process_fd(ch->ares, read_fd, write_fd);
	ch->is_inside = false;
	reap(ch);
}

static void on_sock(uv_poll_t *poll, int status, int events)
{
	const struct sock *s = poll->data;

	if (status < 0)
		events = UV_READABLE | UV_WRITABLE; /* c-ares finds the error by itself */
	process(s->channel, events & UV_READABLE ? s->fd : ARES_SOCKET_BAD,
		events & UV_WRITABLE ? s->fd : ARES_SOCKET_BAD);
}

static void on_sock_state(void *user, ares_socket_t fd, int readable, int writable)
{
	struct channel *ch = user;
	struct sock **at = &ch->socks, *s;
	int events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);

	while (*at && (*at)->fd != fd)
		at = &(*at)->next;
	if (!events) {
		if (*at)
			drop_sock(at);
		return;
	}
	s = *at;
	if (!s) {
		s = calloc(1, sizeof(*s));
		/* Unwatched, its answers are not read: the question times out. */
		if (!s || uv_poll_init_socket(ch->dns->loop, &s->poll, fd)) {
			clv_log(CLV_LOG_ERROR, "dns_socket", "err=\"cannot be watched\"");
			free(s);
			return;
		}
		s->poll.data = s;
		s->dns = ch->dns;
		s->channel = ch;
		s->fd = fd;
		ch->dns->handles++;
		s->next = ch->socks;
		ch->socks = s;
	}
	uv_poll_start(&s->poll, events, on_sock);
}

/* With every option given the library reads no file of its own. */
static int open_ares(struct channel *ch, struct ares_addr_port_node *servers)
{
	struct ares_options options = {
		/* Failures come to us, who know what to do about each. */
		.flags = ARES_FLAG_NOCHECKRESP | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES |
			 ARES_FLAG_EDNS,
		.timeout = TRY_MSEC,
		.tries = TRIES,
		.ndots = 1,
		.lookups = "b", /* DNS, and no hosts file */
		.ednspsz = UDP_BYTES,
		.sock_state_cb = on_sock_state,
		.sock_state_cb_data = ch,
	};
	const int given = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
			  ARES_OPT_SERVERS | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS |
			  ARES_OPT_SORTLIST | ARES_OPT_EDNSPSZ | ARES_OPT_NOROTATE |
			  ARES_OPT_SOCK_STATE_CB;

	if (ares_init_options(&ch->ares, &options, given) != ARES_SUCCESS)
		return -ENOMEM;
	if (ares_set_servers_ports(ch->ares, servers) == ARES_SUCCESS)
		return 0;
	ares_destroy(ch->ares);
	return -ENOMEM;
}

/* The channel for one more question to the servers from the given one on; NULL: no memory. */
static struct channel *take_channel(struct clv_dns *dns, size_t server)
{
	struct channel *ch = dns->current[server];
	struct ares_addr_port_node *from = dns->servers;

	if (ch && ch->asked < GROUP_QUESTIONS)
		return ch;
	dns->current[server] = NULL; /* freed by the tick: a walk over channels may be going on */
	ch = calloc(1, sizeof(*ch));
	if (!ch)
		return NULL;
	ch->dns = dns;
	for (size_t i = 0; i < server && from; i++)
		from = from->next;
	if (open_ares(ch, from)) {
		free(ch);
		return NULL;
	}
	ch->next = dns->channels;
	dns->channels = ch;
	dns->current[server] = ch;
	return ch;
}

/* ---- name servers ---- */

/* Open channels keep the servers they have; new questions do not go there. */
static void leave_channels(struct clv_dns *dns)
{
	for (size_t i = 0; i < SERVERS_MAX; i++) {
		struct channel *ch = dns->current[i];

		dns->current[i] = NULL;
		if (ch)
			reap(ch);
	}
}

static void set_servers(struct clv_dns *dns, struct ares_addr_port_node *servers)
{
	ares_free_data(dns->servers);
	dns->servers = servers;
	dns->servers_len = 0;
	for (; servers; servers = servers->next)
		dns->servers_len++;
	leave_channels(dns);
}

/* servers: as of open; NULL: read conf_path. */
static int read_servers(struct clv_dns *dns, const char *servers)
{
	struct ares_options options = { .resolvconf_path = dns->conf_path };
	struct ares_addr_port_node *list = NULL;
	ares_channel probe;
	int err;

	if (ares_init_options(&probe, &options, servers ? 0 : ARES_OPT_RESOLVCONF))
		return -ENOMEM;
	err = servers && ares_set_servers_ports_csv(probe, servers) ? -EINVAL : 0;
	if (!err && ares_get_servers_ports(probe, &list))
		err = -ENOMEM;
	ares_destroy(probe);
	if (!err)
		set_servers(dns, list);
	return err;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void follow_file(struct clv_dns *dns)
{
	uint64_t now_ns = clv_clock_now_ns();
	struct stat now = { 0 };

	if (!dns->conf_path || now_ns < dns->looked_ns + LOOK_NS)
		return;
	dns->looked_ns = now_ns;
	/* While it is being replaced there is none: the servers stay. */
	if (stat(dns->conf_path, &now) || is_same_file(&now, &dns->conf))
		return;
	if (read_servers(dns, NULL))
		return;
	dns->conf = now;
	clv_log(CLV_LOG_INFO, "name_servers", "file=%s servers=%zu", dns->conf_path,
		dns->servers_len);
}

/* ---- answers ---- */

static bool is_failure(int status)
{
	return status == ARES_ESERVFAIL || status == ARES_EREFUSED || status == ARES_ENOTIMP ||
	       status == ARES_EFORMERR;
}

static const char *rcode_of(int status)
{
	switch (status) {
	case ARES_ENODATA:
		return "NOERROR";
	case ARES_ENOTFOUND:
		return "NXDOMAIN";
	case ARES_ESERVFAIL:
		return "SERVFAIL";
	case ARES_EREFUSED:
		return "REFUSED";
	case ARES_ENOTIMP:
		return "NOTIMP";
	case ARES_EFORMERR:
		return "FORMERR";
	default:
		return NULL;
	}
}

static int error_of(int status)
{
	switch (status) {
	case ARES_ETIMEOUT:
		return CLV_ENAMETIME;
	case ARES_ENOMEM:
		return -ENOMEM;
	case ARES_ECONNREFUSED: /* no server can be reached */
		return -ECONNREFUSED;
	case ARES_EBADNAME:
		return CLV_ENONAME;
	default:
		return rcode_of(status) ? CLV_ENONAME : CLV_ESYNTAX;
	}
}

/* Returns an ARES_* status; fills addrs, n and ttl_sec. */
static int parse(const uint8_t *data, int len, bool is_v6, uint8_t addrs[][16],
		 struct clv_dns_answer *out)
{
	struct ares_addrttl v4[CLV_RESOLVE_MAX];
	struct ares_addr6ttl v6[CLV_RESOLVE_MAX];
	int i, n = CLV_RESOLVE_MAX, ttl = INT32_MAX, status;

	status = is_v6 ? ares_parse_aaaa_reply(data, len, NULL, v6, &n)
		       : ares_parse_a_reply(data, len, NULL, v4, &n);
	if (status != ARES_SUCCESS)
		return status;
	for (i = 0; i < n; i++) {
		int one = is_v6 ? v6[i].ttl : v4[i].ttl;

		memset(addrs[i], 0, 10);
		memset(addrs[i] + 10, 0xff, 2);
		if (is_v6)
			memcpy(addrs[i], &v6[i].ip6addr, 16);
		else
			memcpy(addrs[i] + 12, &v4[i].ipaddr, 4);
		ttl = one < ttl ? one : ttl;
	}
	out->n = (size_t)n;
	out->ttl_sec = ttl < 0 ? 0 : (uint32_t)ttl; /* RFC 2181 section 8 */
	return n > 0 ? ARES_SUCCESS : ARES_ENODATA;
}

static void ask_servers(struct clv_dns_question *q);

static void give_answer(struct clv_dns_question *q, int status, const uint8_t *data, int len)
{
	uint8_t addrs[CLV_RESOLVE_MAX][16];
	struct clv_dns_answer answer = { .addrs = (const uint8_t(*)[16])addrs };

	if (status == ARES_SUCCESS)
		status = parse(data, len, q->is_v6, addrs, &answer);
	if (status != ARES_SUCCESS) {
		answer.err = error_of(status);
		answer.rcode = rcode_of(status);
		answer.n = 0;
	}
	*q->slot = NULL;
	q->done(q->user, q->is_v6, &answer);
	q->dns->questions--;
	free(q);
}

/* From within the library; data: borrows. */
static void on_answer(void *user, int status, int timeouts, unsigned char *data, int len)
{
	struct clv_dns_question *q = user;
	struct channel *ch = q->channel;

	(void)timeouts;
	ch->questions--;
	if (!q->done) {
		q->dns->questions--;
		free(q);
		return;
	}
	ch->wanted--;
	if (is_failure(status) && q->server + 1 < q->dns->servers_len &&
	    q->server + 1 < SERVERS_MAX) {
		q->failure = status;
		q->server++;
		ask_servers(q);
		return;
	}
	/* That others did not answer says less than the answer of one. */
	if (q->failure && status != ARES_SUCCESS && !rcode_of(status))
		status = q->failure;
	give_answer(q, status, data, len);
}

static void ask_servers(struct clv_dns_question *q)
{
	struct channel *ch = take_channel(q->dns, q->server);
	bool was_inside;

	if (!ch) {
		give_answer(q, ARES_ENOMEM, NULL, 0);
		return;
	}
	q->channel = ch;
	ch->asked++;
	ch->questions++;
	ch->wanted++;
	was_inside = ch->is_inside;
	ch->is_inside = true;
	ares_query(ch->ares, q->name, ns_c_in, q->is_v6 ? ns_t_aaaa : ns_t_a, on_answer, q);
	ch->is_inside = was_inside;
}

/* ---- questions ---- */

static void on_tick(uv_timer_t *timer)
{
	struct clv_dns *dns = timer->data;
	struct channel *ch, *next;

	for (ch = dns->channels; ch; ch = next) {
		next = ch->next;
		if (ch->questions)
			process(ch, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
		else
			reap(ch);
	}
	if (!dns->questions)
		uv_timer_stop(timer);
}

int clv_dns_ask(struct clv_dns *dns, const char *name, bool is_v6, clv_dns_fn *done, void *user,
		struct clv_dns_question **slot)
{
	size_t len = strlen(name) + 1;
	struct clv_dns_question *q = calloc(1, sizeof(*q) + len);

	if (!q)
		return -ENOMEM;
	follow_file(dns);
	q->dns = dns;
	q->slot = slot;
	q->done = done;
	q->user = user;
	q->is_v6 = is_v6;
	memcpy(q->name, name, len);
	*slot = q;
	if (!dns->questions++)
		uv_timer_start(&dns->tick, on_tick, TICK_MSEC, TICK_MSEC);
	ask_servers(q);
	return 0;
}

void clv_dns_forget(struct clv_dns_question **slot)
{
	struct clv_dns_question *q = *slot;
	struct channel *ch;

	if (!q)
		return;
	*slot = NULL;
	q->done = NULL;
	ch = q->channel;
	/* The library cancels all questions of a channel or none. */
	if (--ch->wanted || ch->is_inside)
		return;
	ares_cancel(ch->ares);
	reap(ch);
}

uint32_t clv_dns_questions(const struct clv_dns *dns)
{
	return dns->questions;
}

/* ---- life ---- */

int clv_dns_open(uv_loop_t *loop, const char *conf_path, const char *servers, struct clv_dns **out)
{
	struct clv_dns *dns = calloc(1, sizeof(*dns));
	int err = -ENOMEM;

	if (!dns)
		return -ENOMEM;
	if (ares_library_init_mem(ARES_LIB_INIT_ALL, counted_alloc, counted_free, counted_realloc))
		goto free_dns;
	dns->loop = loop;
	if (!servers) {
		dns->conf_path = strdup(conf_path);
		if (!dns->conf_path)
			goto clean_library;
		/* Before it is read: a change in between is one to follow. */
		if (stat(conf_path, &dns->conf))
			dns->conf = (struct stat){ 0 };
	}
	err = read_servers(dns, servers);
	if (err)
		goto free_path;
	uv_timer_init(loop, &dns->tick);
	dns->tick.data = dns;
	dns->handles = 1;
	*out = dns;
	return 0;

free_path:
	free(dns->conf_path);
clean_library:
	ares_library_cleanup();
free_dns:
	free(dns);
	return err;
}

static void on_tick_closed(uv_handle_t *handle)
{
	struct clv_dns *dns = handle->data;

	dns->handles--;
}

void clv_dns_close(struct clv_dns *dns)
{
	struct channel *ch, *next;

	if (!dns || uv_is_closing((uv_handle_t *)&dns->tick))
		return;
	uv_close((uv_handle_t *)&dns->tick, on_tick_closed);
	leave_channels(dns);
	for (ch = dns->channels; ch; ch = next) {
		next = ch->next;
		ares_cancel(ch->ares);
		reap(ch);
	}
}

bool clv_dns_is_idle(const struct clv_dns *dns)
{
	return !dns || !dns->handles;
}

void clv_dns_free(struct clv_dns *dns)
{
	if (!dns)
		return;
	ares_free_data(dns->servers);
	free(dns->conf_path);
	free(dns);
	ares_library_cleanup();
}
