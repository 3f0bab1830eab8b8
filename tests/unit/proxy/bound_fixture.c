/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/proxy/bound_fixture.h"

#include "tests/unit/check.h"
#include "tests/unit/hex.h"

struct fixture *bound_setup(void)
{
	struct fixture *f = request_setup();

	pipe_run(&f->pipe);
	return f;
}

struct fixture *bound_setup_open(void)
{
	struct fixture *f = bound_setup();

	bound_ask(f, ANY);
	assert_int_equal(f->answer.status, 200);
	EXPECT(f, "", "+tunnel " PORTS);
	return f;
}

struct fixture *bound_setup_uncompressed(void)
{
	struct fixture *f = bound_setup_open();

	bound_send(f, "11020200");
	EXPECT(f, "120102", "+ctx2* +port4* +port6* ");
	return f;
}

void bound_ask_with(struct fixture *f, const char *path, const char *const *values)
{
	struct fields fs = connect_udp(path);

	for (; values && *values; values++)
		fields_add(&fs, "connect-udp-bind", *values);
	request_send(f, &fs);
}

void bound_ask(struct fixture *f, const char *path)
{
	bound_ask_with(f, path, (const char *const[]){ "?1", NULL });
}

void bound_send(struct fixture *f, const char *hex)
{
	uint8_t wire[256];
	size_t n = unhex(hex, wire);

	assert_int_equal(clv_http_send(f->stream, wire, n, NULL, 0, false), 0);
	pipe_run(&f->pipe);
}

void bound_event(struct fixture *f, unsigned tunnel, enum clv_event type, const char *wire,
		 uint64_t id)
{
	fake_relay_event(&f->relay, tunnel, type, wire, id);
	pipe_run(&f->pipe);
}

const char *bound_capsules(struct fixture *f)
{
	static char hex[2 * sizeof(f->answer.body) + 1];

	hex[0] = '\0';
	for (size_t i = 0; i < f->answer.body_len; i++)
		sprintf(hex + 2 * i, "%02x", f->answer.body[i]);
	f->answer.body_len = 0;
	return hex;
}

void bound_forget(struct fixture *f)
{
	f->answer.body_len = 0;
	f->relay.trace[0] = '\0';
}
