/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/core/steering.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"

/* A machine and its workers that write down what happens to them, in order. */
struct fixture {
	struct clv_steering st;
	char story[512];
	int context_err, binding_err; /* what the tables answer */
};

static void note(struct fixture *f, const char *format, ...)
{
	size_t used = strlen(f->story);
	va_list args;

	va_start(args, format);
	vsnprintf(f->story + used, sizeof(f->story) - used, format, args);
	va_end(args);
	assert_true(strlen(f->story) + 1 < sizeof(f->story));
}

static void expect(struct fixture *f, const char *story)
{
	assert_string_equal(f->story, story);
	f->story[0] = '\0';
}

/* ---- the machine ---- */

static int conn_publish(void *host, const struct clv_cid *cid, const struct clv_ref *ref)
{
	note(host, "+id%u@%u ", cid->id[0], ref->slot);
	return 0;
}

static void conn_retire(void *host, const struct clv_cid *cid)
{
	note(host, "-id%u ", cid->id[0]);
}

static int context_publish(void *host, const struct clv_tuple *tuple,
			   const struct clv_context *context)
{
	struct fixture *f = host;

	note(f, f->context_err ? "!ctx%u:%u " : "+ctx%u:%u ", (unsigned)context->context_id,
	     ntohs(tuple->remote.port));
	return f->context_err;
}

static void context_retire(void *host, const struct clv_tuple *tuple)
{
	note(host, "-ctx:%u ", ntohs(tuple->remote.port));
}

static int binding_publish(void *host, const struct clv_endpoint *local,
			   const struct clv_binding *binding)
{
	struct fixture *f = host;

	note(f, f->binding_err ? "!port%u " : "+port%u%s ", ntohs(local->port),
	     binding->flags & CLV_BINDING_UNCOMPRESSED ? "*" : "");
	return f->binding_err;
}

static void binding_retire(void *host, const struct clv_endpoint *local)
{
	note(host, "-port%u ", ntohs(local->port));
}

static const struct clv_host_ops host_ops = {
	.conn_publish = conn_publish,
	.conn_retire = conn_retire,
	.context_publish = context_publish,
	.context_retire = context_retire,
	.binding_publish = binding_publish,
	.binding_retire = binding_retire,
};

static const struct clv_host_ops without_conns = { .context_publish = context_publish };

static void send_command(void *sender, const struct clv_ref *ref, enum clv_command type,
			 const void *body, size_t len)
{
	static const struct {
		enum clv_command type;
		const char *name;
		size_t len;
	} known[] = {
		{ CLV_CMD_TUNNEL_ADD, "ADD", sizeof(struct clv_cmd_tunnel_add) },
		{ CLV_CMD_TUNNEL_REMOVE, "REMOVE", sizeof(struct clv_cmd_ref) },
		{ CLV_CMD_TUNNEL_BIND, "BIND", sizeof(struct clv_cmd_tunnel_bind) },
		{ CLV_CMD_CONTEXT_OPEN, "OPEN", sizeof(struct clv_cmd_context_open) },
		{ CLV_CMD_CONTEXT_CLOSE, "CLOSE", sizeof(struct clv_cmd_context_close) },
	};

	assert_memory_equal(body, ref, sizeof(*ref)); /* every command begins with it */
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].type != type)
			continue;
		assert_int_equal(len, known[i].len);
		note(sender, "%s ", known[i].name);
		if (type == CLV_CMD_TUNNEL_BIND)
			note(sender, "fd%d ",
			     ((const struct clv_cmd_tunnel_bind *)body)->socket_fd);
		return;
	}
	fail_msg("command %u", type);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->st = (struct clv_steering){ &host_ops, f, send_command, f, NULL };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static const struct clv_ref ref = { .slot = 5, .generation = 2 };

static struct clv_endpoint endpoint(const char *text)
{
	struct clv_endpoint ep;

	assert_int_equal(clv_endpoint_parse(text, &ep), 0);
	return ep;
}

/* ---- connections ---- */

static void test_conns(void **state)
{
	const struct clv_cid cid = { .id = { 7 } };
	struct fixture *f = *state;

	clv_steering_publish_conn(&f->st, &cid, &ref);
	clv_steering_retire_conn(&f->st, &cid);
	expect(f, "+id7@5 -id7 ");
	f->st.host_ops = &without_conns;
	clv_steering_publish_conn(&f->st, &cid, &ref);
	clv_steering_retire_conn(&f->st, &cid);
	expect(f, "");
}

/* ---- tunnels ---- */

static struct clv_cmd_tunnel_add add(uint8_t via)
{
	return (struct clv_cmd_tunnel_add){
		.ref = ref,
		.spec = { .local = endpoint("198.18.0.1:20000"),
			  .remote = endpoint("198.18.1.1:7000"),
			  .hop = { .via = via } },
		.socket_fd = -1,
	};
}

/* Two ports: IPv4 by AF_XDP, IPv6 by the kernel. */
static struct clv_tunnel_ports ports(void)
{
	return (struct clv_tunnel_ports){
		.is_held = { true, true },
		.egress = { { .local = endpoint("198.18.0.1:4444"), .fd = 44 },
			    { .local = endpoint("[2001:db8::1]:6666"), .fd = 66 } },
		.via = { CLV_VIA_XSK, CLV_VIA_KERNEL },
	};
}

static void test_tunnel(void **state)
{
	const struct clv_cmd_tunnel_add cmd = add(CLV_VIA_XSK);
	struct clv_steered target;
	struct fixture *f = *state;

	assert_int_equal(clv_steering_open_tunnel(&f->st, &cmd, NULL, &target), 0);
	expect(f, "ADD +ctx0:7000 ");
	clv_steering_close_tunnel(&f->st, &ref, &target);
	expect(f, "-ctx:7000 REMOVE ");
	/* its worker reports that it is gone: by now the port may be another tunnel's */
	clv_steering_retire_tunnel(&f->st, &target);
	expect(f, "");
}

static void test_tunnel_ended_by_its_worker(void **state)
{
	const struct clv_cmd_tunnel_add cmd = add(CLV_VIA_XSK);
	struct clv_steered target;
	struct fixture *f = *state;

	assert_int_equal(clv_steering_open_tunnel(&f->st, &cmd, NULL, &target), 0);
	expect(f, "ADD +ctx0:7000 ");
	clv_steering_retire_tunnel(&f->st, &target);
	expect(f, "-ctx:7000 ");
}

static void test_kernel_tunnel(void **state)
{
	const struct clv_cmd_tunnel_add cmd = add(CLV_VIA_KERNEL);
	struct clv_steered target;
	struct fixture *f = *state;

	assert_int_equal(clv_steering_open_tunnel(&f->st, &cmd, NULL, &target), 0);
	clv_steering_close_tunnel(&f->st, &ref, &target);
	expect(f, "ADD REMOVE ");
}

static void test_full_tables(void **state)
{
	const struct clv_cmd_tunnel_add cmd = add(CLV_VIA_XSK);
	struct clv_steered target;
	struct fixture *f = *state;

	f->context_err = CLV_EFULL;
	assert_int_equal(clv_steering_open_tunnel(&f->st, &cmd, NULL, &target), CLV_EFULL);
	expect(f, "ADD !ctx0:7000 REMOVE ");
	clv_steering_retire_tunnel(&f->st, &target);
	expect(f, "");
}

static void test_bound_tunnel(void **state)
{
	struct clv_cmd_tunnel_add cmd = add(CLV_VIA_XSK);
	const struct clv_tunnel_ports held = ports();
	struct clv_steered target;
	struct fixture *f = *state;

	cmd.spec.flags = CLV_TUNNEL_BOUND;
	assert_int_equal(clv_steering_open_tunnel(&f->st, &cmd, &held, &target), 0);
	expect(f, "ADD BIND fd-1 BIND fd66 +ctx0:7000 ");
	clv_steering_close_tunnel(&f->st, &ref, &target);
	expect(f, "-ctx:7000 REMOVE ");

	cmd.spec.remote = (struct clv_endpoint){ 0 };
	assert_int_equal(clv_steering_open_tunnel(&f->st, &cmd, &held, &target), 0);
	clv_steering_close_tunnel(&f->st, &ref, &target);
	expect(f, "ADD BIND fd-1 BIND fd66 REMOVE ");
}

/* ---- bound tunnels ---- */

static void test_ports(void **state)
{
	struct clv_tunnel_ports held = ports();
	struct fixture *f = *state;

	assert_int_equal(clv_steering_publish_ports(&f->st, &ref, &held, 0), 0);
	clv_steering_retire_ports(&f->st, &held);
	expect(f, "+port4444 -port4444 ");
	held.is_held[0] = false;
	assert_int_equal(clv_steering_publish_ports(&f->st, &ref, &held, 0), 0);
	clv_steering_retire_ports(&f->st, &held);
	expect(f, "");
}

/* A compressed context of Context ID 3 opens, and closes. */
static void expect_context(struct fixture *f, const char *remote, uint32_t flags,
			   uint32_t remote_flags, const char *opening, const char *closing)
{
	const struct clv_tunnel_ports held = ports();
	const struct clv_cmd_context_open cmd = {
		.ref = ref,
		.context_id = 3,
		.flags = flags,
		.remote = { .endpoint = endpoint(remote),
			    .remote = endpoint(remote),
			    .flags = remote_flags },
	};

	assert_int_equal(clv_steering_open_context(&f->st, &cmd, &held), 0);
	expect(f, opening);
	clv_steering_close_context(&f->st, &ref, 3, &cmd.remote, &held);
	expect(f, closing);
}

static void test_contexts(void **state)
{
	struct fixture *f = *state;

	expect_context(f, "198.18.5.1:9000", 0, 0, "OPEN +ctx3:9000 ", "-ctx:9000 CLOSE ");
	expect_context(f, "198.18.5.1:9000", CLV_CONTEXT_UNACKED, 0, "OPEN ", "-ctx:9000 CLOSE ");
	expect_context(f, "198.18.5.1:9000", 0, CLV_REMOTE_HAIRPIN, "OPEN ", "CLOSE ");
	expect_context(f, "[2001:db8:5::1]:9000", 0, 0, "OPEN ", "CLOSE ");
}

static void test_uncompressed_context(void **state)
{
	const struct clv_cmd_context_open cmd = {
		.ref = ref,
		.context_id = 2,
		.flags = CLV_CONTEXT_UNCOMPRESSED,
	};
	const struct clv_tunnel_ports held = ports();
	struct fixture *f = *state;

	assert_int_equal(clv_steering_open_context(&f->st, &cmd, &held), 0);
	expect(f, "OPEN +port4444* ");
	clv_steering_close_context(&f->st, &ref, 2, NULL, &held);
	expect(f, "+port4444 CLOSE ");
}

static void test_context_without_room(void **state)
{
	const struct clv_cmd_context_open cmd = {
		.ref = ref,
		.context_id = 3,
		.remote = { .endpoint = endpoint("198.18.5.1:9000"),
			    .remote = endpoint("198.18.5.1:9000") },
	};
	const struct clv_tunnel_ports held = ports();
	struct fixture *f = *state;

	f->context_err = CLV_EFULL;
	assert_int_equal(clv_steering_open_context(&f->st, &cmd, &held), CLV_EFULL);
	expect(f, "OPEN !ctx3:9000 ");
}

int main(void)
{
#define CASE(name, fn)                                                                             \
	{                                                                                          \
		name, fn, setup, teardown, NULL                                                    \
	}
	const struct CMUnitTest tests[] = {
		CASE("a connection ID is published only where there is a table", test_conns),
		CASE("a tunnel's worker knows it before and after the tables do", test_tunnel),
		CASE("a tunnel that its worker ended leaves the tables",
		     test_tunnel_ended_by_its_worker),
		CASE("a tunnel over kernel sockets is in no table", test_kernel_tunnel),
		CASE("a tunnel without room in the tables leaves nothing behind", test_full_tables),
		CASE("a bound tunnel's ports go to its worker, its target to the tables",
		     test_bound_tunnel),
		CASE("ports are published where AF_XDP receives", test_ports),
		CASE("a context is published once acknowledged, and never a hairpin's",
		     test_contexts),
		CASE("the uncompressed context marks the ports", test_uncompressed_context),
		CASE("a context without room in the tables is the caller's to close",
		     test_context_without_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
