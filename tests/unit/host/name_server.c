/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/host/name_server.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	HEAD = 12,
	TYPE_A = 1,
	TYPE_CNAME = 5,
	TYPE_AAAA = 28,
};

struct reply {
	uv_udp_send_t send;
	uv_timer_t timer;
	struct server *server;
	struct sockaddr_in to;
	uint8_t data[4096];
	size_t len;
};

static void put16(struct reply *r, unsigned value)
{
	r->data[r->len++] = (uint8_t)(value >> 8);
	r->data[r->len++] = (uint8_t)value;
}

/* A record's head; its owner is the name at an offset of the message. */
static void put_head(struct reply *r, unsigned owner, unsigned type, uint32_t ttl, unsigned len)
{
	put16(r, 0xc000 | owner);
	put16(r, type);
	put16(r, 1);
	put16(r, ttl >> 16);
	put16(r, ttl & 0xffff);
	put16(r, len);
}

static void put_name(struct reply *r, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");

		r->data[r->len++] = (uint8_t)n;
		memcpy(r->data + r->len, name, n);
		r->len += n;
		name += n + (name[n] == '.');
	}
	r->data[r->len++] = 0;
}

static unsigned put_addrs(struct reply *r, unsigned owner, unsigned type,
			  const struct server_record *record)
{
	char text[1024] = "", *p = text;
	unsigned n = 0;

	for (unsigned i = 0; i < record->count; i++)
		p += sprintf(p, "192.0.2.%u ", i);
	if (record->addrs)
		snprintf(text, sizeof(text), "%s", record->addrs);
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
		uint8_t addr[16];

		if (inet_pton(type == TYPE_A ? AF_INET : AF_INET6, word, addr) != 1)
			continue;
		put_head(r, owner, type, record->ttl_sec, type == TYPE_A ? 4 : 16);
		memcpy(r->data + r->len, addr, type == TYPE_A ? 4 : 16);
		r->len += type == TYPE_A ? 4 : 16;
		n++;
	}
	return n;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct reply *r = handle->data;

	r->server->waiting--;
	free(r);
}

static void on_sent(uv_udp_send_t *send, int status)
{
	struct reply *r = send->data;

	(void)status;
	uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}

static void on_due(uv_timer_t *timer)
{
	struct reply *r = timer->data;
	uv_buf_t buf = uv_buf_init((char *)r->data, (unsigned)r->len);

	r->send.data = r;
	if (uv_udp_send(&r->send, &r->server->udp, &buf, 1, (struct sockaddr *)&r->to, on_sent))
		on_sent(&r->send, 0);
}

static const struct server_record *find(const struct server *s, const char *name, unsigned type)
{
	for (size_t i = 0; i < s->records_len; i++) {
		const struct server_record *r = &s->records[i];

		if ((r->type == 0 || r->type == (int)type) &&
		    (strcmp(r->name, name) == 0 || strcmp(r->name, "*") == 0))
			return r;
	}
	return NULL;
}

static bool has_name(const struct server *s, const char *name)
{
	return find(s, name, TYPE_A) || find(s, name, TYPE_AAAA);
}

static void note_port(struct server *s, uint16_t port)
{
	for (size_t i = 0; i < s->client_ports_len; i++)
		if (s->client_ports[i] == port)
			return;
	if (s->client_ports_len < sizeof(s->client_ports) / sizeof(s->client_ports[0]))
		s->client_ports[s->client_ports_len++] = port;
}

/* Returns the length of the question after the head. */
static size_t read_question(const uint8_t *data, char *name, unsigned *type)
{
	size_t at = HEAD, n = 0;

	while (data[at]) {
		memcpy(name + n, data + at + 1, data[at]);
		n += data[at];
		name[n++] = '.';
		at += 1 + (size_t)data[at];
	}
	name[n ? n - 1 : 0] = 0;
	*type = (unsigned)data[at + 1] << 8 | data[at + 2];
	return at + 5 - HEAD;
}

static void answer(struct server *s, const uint8_t *data, const struct sockaddr_in *from)
{
	const struct server_record *record;
	unsigned type, answers = 0, owner = HEAD;
	struct reply *r = calloc(1, sizeof(*r));
	size_t question;

	assert_non_null(r);
	question = read_question(data, s->last, &type);
	s->questions[type == TYPE_AAAA]++;
	note_port(s, ntohs(from->sin_port));
	record = find(s, s->last, type);
	if (record && record->is_silent) {
		free(r);
		return;
	}
	r->server = s;
	r->to = *from;
	memcpy(r->data, data, HEAD + question);
	r->len = HEAD + question;
	if (record && record->alias) {
		size_t len = strlen(record->alias) + 2;

		put_head(r, owner, TYPE_CNAME, record->ttl_sec, (unsigned)len);
		owner = (unsigned)r->len;
		put_name(r, record->alias);
		answers++;
	}
	if (record)
		answers += put_addrs(r, owner, type, record);
	if (record && record->is_damaged)
		r->len -= 2;
	r->data[2] = 0x81;
	r->data[3] = (uint8_t)(0x80 | (record		      ? record->rcode
				       : has_name(s, s->last) ? SERVER_NOERROR
							      : SERVER_NXDOMAIN));
	memset(r->data + 4, 0, 8);
	r->data[5] = 1;
	r->data[6] = (uint8_t)(answers >> 8);
	r->data[7] = (uint8_t)answers;
	s->waiting++;
	uv_timer_init(s->udp.loop, &r->timer);
	r->timer.data = r;
	uv_timer_start(&r->timer, on_due, record ? record->delay_ms : 0, 0);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
	static char room[4096];

	(void)handle, (void)size;
	*buf = uv_buf_init(room, sizeof(room));
}

static void on_question(uv_udp_t *udp, ssize_t len, const uv_buf_t *buf,
			const struct sockaddr *from, unsigned flags)
{
	(void)flags;
	if (len > HEAD && from)
		answer(udp->data, (const uint8_t *)buf->base, (const struct sockaddr_in *)from);
}

void server_open(uv_loop_t *loop, struct server *s, uint16_t port,
		 const struct server_record *records, size_t len)
{
	struct sockaddr_in at;
	int size = sizeof(at);

	memset(s, 0, sizeof(*s));
	s->records = records;
	s->records_len = len;
	assert_int_equal(uv_udp_init(loop, &s->udp), 0);
	s->udp.data = s;
	uv_ip4_addr("127.0.0.1", port, &at);
	assert_int_equal(uv_udp_bind(&s->udp, (struct sockaddr *)&at, 0), 0);
	uv_udp_getsockname(&s->udp, (struct sockaddr *)&at, &size);
	s->port = ntohs(at.sin_port);
	assert_int_equal(uv_udp_recv_start(&s->udp, on_alloc, on_question), 0);
}

static void on_closed(uv_handle_t *handle)
{
	handle->data = NULL;
}

void server_close(struct server *s)
{
	while (s->waiting)
		uv_run(s->udp.loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&s->udp, on_closed);
	while (s->udp.data)
		uv_run(s->udp.loop, UV_RUN_ONCE);
}
