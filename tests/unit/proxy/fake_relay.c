/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/proxy/fake_relay.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/base/nat64.h"

static int route(void *host, const uint8_t *local, const uint8_t remote[16], struct clv_route *out)
{
	struct fake_relay *r = host;
	bool v4 = clv_addr_is_v4(remote);

	r->routed++;
	if (v4 ? !r->has_v4 : !r->has_v6)
		return CLV_EUNROUTABLE;
	*out = (struct clv_route){ .hop = { .mtu = r->mtu, .state = r->hop_state, .via = r->via } };
	assert_int_equal(clv_addr_parse(v4 ? "198.18.0.1" : "2001:db8::a", out->source), 0);
	if (local)
		memcpy(out->source, local, sizeof(out->source));
	return 0;
}

static bool is_new_neighbour(void *host, const uint8_t *local, const uint8_t remote[16])
{
	const struct fake_relay *r = host;

	(void)local, (void)remote;
	return r->has_new_neighbours;
}

static int bind_source(void *host, bool is_v6, struct clv_route *out)
{
	static const uint8_t any_v4[16] = { [10] = 0xff, [11] = 0xff }, any_v6[16];

	return route(host, NULL, is_v6 ? any_v6 : any_v4, out);
}

static void record(struct fake_relay *r, const char *format, ...)
{
	size_t used = strlen(r->trace);
	va_list args;

	va_start(args, format);
	vsnprintf(r->trace + used, sizeof(r->trace) - used, format, args);
	va_end(args);
	assert_true(strlen(r->trace) + 1 < sizeof(r->trace));
}

static int context_publish(void *host, const struct clv_tuple *tuple,
			   const struct clv_context *context)
{
	char remote[CLV_ADDR_TEXT_MAX];
	struct fake_relay *r = host;

	if (r->publish_err)
		return r->publish_err;
	record(r, "+map %s=%u ", clv_endpoint_format(&tuple->remote, remote, sizeof(remote)),
	       (unsigned)context->context_id);
	return 0;
}

static void context_retire(void *host, const struct clv_tuple *tuple)
{
	char remote[CLV_ADDR_TEXT_MAX];

	record(host, "-map %s ", clv_endpoint_format(&tuple->remote, remote, sizeof(remote)));
}

static int binding_publish(void *host, const struct clv_endpoint *local,
			   const struct clv_binding *binding)
{
	record(host, "+port%d%s ", clv_addr_is_v4(local->addr) ? 4 : 6,
	       binding->flags & CLV_BINDING_UNCOMPRESSED ? "*" : "");
	return 0;
}

static void binding_retire(void *host, const struct clv_endpoint *local)
{
	record(host, "-port%d ", clv_addr_is_v4(local->addr) ? 4 : 6);
}

static int egress_take(void *host, const struct clv_route *route,
		       const struct clv_egress_wish *wish, struct clv_egress *out)
{
	struct fake_relay *r = host;

	if (r->egress_err)
		return r->egress_err;
	if (wish->no_new)
		return CLV_EFULL;
	assert_int_equal(route->hop.via, r->via);
	*out = (struct clv_egress){ .fd = -1, .is_new = true };
	memcpy(out->local.addr, route->source, 16);
	out->local.port = htons((uint16_t)(40000 + r->egress_held));
	r->egress_held++;
	return 0;
}

static void *egress_give(void *host, struct clv_egress *egress)
{
	struct fake_relay *r = host;

	(void)egress;
	assert_true(r->egress_held > 0);
	r->egress_held--;
	return r->account;
}

static int resolve(void *host, const char *name, clv_resolved_fn *done, void *user, uint64_t *token)
{
	struct fake_relay *r = host;

	if (r->resolve_err)
		return r->resolve_err;
	snprintf(r->resolving, sizeof(r->resolving), "%s", name);
	r->resolved = done;
	r->resolved_user = user;
	*token = 77;
	return 0;
}

static void resolve_cancel(void *host, uint64_t token)
{
	struct fake_relay *r = host;

	assert_int_equal(token, 77);
	assert_string_not_equal(r->resolving, "");
	r->resolving[0] = '\0';
	r->cancelled++;
}

static bool nat64(void *host, const uint8_t v4[16], uint8_t v6[16])
{
	const struct fake_relay *r = host;

	if (!r->nat64.prefix_bits)
		return false;
	clv_nat64_embed(&r->nat64, v4, v6);
	return true;
}

static bool is_own_address(void *host, const uint8_t addr[16])
{
	struct fake_relay *r = host;

	return memcmp(r->own, addr, 16) == 0;
}

static const struct clv_host_ops host_ops = {
	.context_publish = context_publish,
	.context_retire = context_retire,
	.binding_publish = binding_publish,
	.binding_retire = binding_retire,
	.route = route,
	.is_new_neighbour = is_new_neighbour,
	.bind_source = bind_source,
	.egress_take = egress_take,
	.egress_give = egress_give,
	.resolve = resolve,
	.resolve_cancel = resolve_cancel,
	.nat64 = nat64,
	.is_own_address = is_own_address,
};

static int tunnel_open(void *session, struct clv_request *rq,
		       const struct clv_session_tunnel *tunnel, struct clv_ref *ref)
{
	struct fake_relay *r = session;

	if (r->open_err)
		return r->open_err;
	assert_true(r->opened < FAKE_TUNNELS);
	r->tunnels[r->opened] = (struct fake_tunnel){ .rq = rq, .params = *tunnel, .ports = 1 };
	if (tunnel->ports) {
		r->tunnels[r->opened].bind = *tunnel->ports;
		r->tunnels[r->opened].ports = tunnel->ports->is_held[0] + tunnel->ports->is_held[1];
		record(r, "+tunnel ");
	}
	*ref = (struct clv_ref){ .slot = r->opened++, .generation = 1 };
	return 0;
}

/* What the session does when the worker has removed a tunnel. */
static void give_egress(struct fake_relay *r, struct fake_tunnel *t)
{
	const struct clv_ports ports = { &host_ops, r, &r->accounts };

	for (int i = 0; i < 2; i++)
		if (t->bind.is_held[i])
			clv_ports_give(&ports, &t->bind.egress[i]);
	if (!t->params.ports)
		clv_ports_give(&ports, &t->params.egress);
}

static void tunnel_close(void *session, struct clv_request *rq, const struct clv_ref *ref)
{
	struct fake_relay *r = session;
	struct fake_tunnel *t = &r->tunnels[ref->slot];

	assert_ptr_equal(t->rq, rq);
	t->rq = NULL;
	r->closed++;
	give_egress(r, t);
	if (t->params.ports)
		record(r, "-tunnel ");
}

static void tunnel_send(void *session, const struct clv_ref *ref, uint64_t context_id,
			const uint8_t *payload, size_t len)
{
	struct fake_relay *r = session;
	size_t used = strlen(r->sent_text);

	if (context_id)
		record(r, "send%u ", (unsigned)context_id);
	assert_non_null(r->tunnels[ref->slot].rq);
	assert_true(len <= sizeof(r->last_sent));
	memcpy(r->last_sent, payload, len);
	r->last_sent_len = len;
	r->sent++;
	if (len < 16)
		snprintf(r->sent_text + used, sizeof(r->sent_text) - used, "%.*s;", (int)len,
			 (const char *)payload);
}

static void record_remote(struct fake_relay *r, const struct clv_remote *remote)
{
	char text[CLV_ADDR_TEXT_MAX];

	record(r, "=%s%s%s ", clv_endpoint_format(&remote->endpoint, text, sizeof(text)),
	       remote->flags & CLV_REMOTE_HAIRPIN ? "!" : "",
	       remote->hop.state == CLV_HOP_UNREACHABLE ? "?" : "");
}

static void send_command(void *session, const struct clv_ref *ref, enum clv_command type,
			 const void *body, size_t len)
{
	const struct clv_cmd_context_open *open = body;
	const struct clv_cmd_context_close *close = body;
	const struct clv_cmd_remote_remove *remove = body;
	const struct clv_cmd_remote *add = body;
	struct fake_relay *r = session;
	char text[CLV_ADDR_TEXT_MAX];

	(void)len;
	assert_non_null(r->tunnels[ref->slot].rq);
	assert_memory_equal(&open->ref, ref, sizeof(*ref));
	switch (type) {
	case CLV_CMD_CONTEXT_OPEN:
		record(r, "+ctx%u%s", (unsigned)open->context_id,
		       open->flags & CLV_CONTEXT_UNACKED ? "~" : "");
		if (open->flags & CLV_CONTEXT_UNCOMPRESSED)
			record(r, "* ");
		else
			record_remote(r, &open->remote);
		break;
	case CLV_CMD_CONTEXT_CLOSE:
		record(r, "-ctx%u ", (unsigned)close->context_id);
		break;
	case CLV_CMD_REMOTE_ADD:
		record(r, "+remote");
		record_remote(r, &add->remote);
		break;
	case CLV_CMD_REMOTE_REMOVE:
		record(r, "-remote=%s%s ", clv_endpoint_format(&remove->remote, text, sizeof(text)),
		       remove->is_full ? ",full" : "");
		break;
	default:
		fail_msg("command %u", type);
	}
}

static const struct clv_endpoint *peer(void *session)
{
	struct fake_relay *r = session;

	return &r->peer;
}

static struct clv_account *account(void *session)
{
	struct fake_relay *r = session;

	return r->account;
}

static void open_accounts(struct fake_relay *r)
{
	static const uint8_t client[16] = { 0x20, 0x01, 0x0d, 0xb8 };

	assert_int_equal(clv_accounts_init(&r->accounts, 0, (const uint64_t[2]){ 3, 4 }), 0);
	clv_accounts_set_max(&r->accounts, CLV_RESOURCE_BOUND_TUNNELS, r->settings.tunnels_max);
	clv_accounts_set_part_max(&r->accounts, CLV_RESOURCE_REMOTES, r->settings.remotes_max, 1);
	clv_accounts_set_max(&r->accounts, CLV_RESOURCE_NAMES, 8);
	r->account = clv_accounts_open(&r->accounts, client);
	assert_non_null(r->account);
	assert_int_equal(clv_names_new(&host_ops, r, &r->accounts, &r->names), 0);
}

/* Nothing is charged any more. */
static void close_accounts(struct fake_relay *r)
{
	clv_names_free(r->names);
	for (int i = 0; i < CLV_RESOURCE_MAX; i++)
		assert_int_equal(r->accounts.ceilings[i].used, 0);
	clv_accounts_close(&r->accounts, r->account);
	assert_int_equal(r->accounts.by_prefix.count, 0);
	clv_accounts_fini(&r->accounts);
}

static const struct clv_tls_facts *tls(void *session)
{
	struct fake_relay *r = session;

	return &r->tls;
}

static const struct clv_request_ops session_ops = {
	.peer = peer,
	.account = account,
	.tls = tls,
	.tunnel_open = tunnel_open,
	.tunnel_close = tunnel_close,
	.tunnel_send = tunnel_send,
};

void fake_relay_init(struct fake_relay *r, struct pipe *pipe, bool quic_datagrams,
		     const char *allow)
{
	struct clv_requests_params params = {
		.config = &r->config,
		.ops = &session_ops,
		.session = r,
		.rand = &r->rand,
		.holder = &r->holder,
	};
	char error[128] = "";

	memset(r, 0, sizeof(*r));
	r->pipe = pipe;
	r->has_v4 = r->has_v6 = true;
	r->mtu = 1500;
	r->budget.max = UINT64_MAX;
	clv_budget_join(&r->budget, &r->holder);
	clv_rand_init(&r->rand, 3);
	assert_int_equal(
		clv_policy_new(&allow, allow ? 1 : 0, NULL, 0, &r->policy, error, sizeof(error)),
		0);
	r->now_ns = 1000000000;
	r->via = CLV_VIA_XSK;
	r->settings = (struct clv_bound_settings){
		.is_offered = true,
		.is_uncompressed = true,
		.tunnels_max = 3,
		.contexts = { .open_max = 8, .unacked_max = 100, .id_gaps_max = 100 },
		.remotes_max = 10,
		.remotes_per_conn = 10,
		.registrations_per_sec = 40,
	};
	assert_int_equal(
		clv_bound_tunnels_new(&r->settings, (const uint64_t[2]){ 1, 2 }, &r->bound_tunnels),
		0);
	open_accounts(r);
	r->steering = (struct clv_steering){ &host_ops, r, send_command, r, NULL };
	r->config = (struct clv_requests_config){
		.host_ops = &host_ops,
		.host = r,
		.steering = &r->steering,
		.policy = r->policy,
		.proxy_name = "culvert",
		.counters = &r->counters,
		.tunnels_per_conn = 4,
		.capsule_backlog = 4096,
		.bound = &r->settings,
		.bound_tunnels = r->bound_tunnels,
		.accounts = &r->accounts,
		.names = r->names,
		.now_ns = &r->now_ns,
	};
	params.http = pipe_make(pipe, PIPE_SERVER, quic_datagrams, FAKE_STREAMS, &r->rand);
	assert_int_equal(clv_requests_new(&params, &r->requests), 0);
	assert_int_equal(clv_h3_start(pipe->end[PIPE_SERVER].h3), 0);
}

void fake_relay_fini(struct fake_relay *r)
{
	clv_requests_free(r->requests);
	assert_int_equal(r->budget.used, 0);
	assert_int_equal(r->opened, r->closed);
	assert_int_equal(r->egress_held, 0);
	close_accounts(r);
	assert_string_equal(r->resolving, "");
	assert_int_equal(clv_bound_tunnels_count(r->bound_tunnels), 0);
	clv_bound_tunnels_free(r->bound_tunnels);
	clv_policy_free(r->policy);
}

void fake_relay_gone(struct fake_relay *r, unsigned tunnel, int err)
{
	clv_connect_udp_tunnel_gone(r->tunnels[tunnel].rq, err);
	r->closed++;
	give_egress(r, &r->tunnels[tunnel]);
}

void fake_relay_event(struct fake_relay *r, unsigned tunnel, enum clv_event type, const char *wire,
		      uint64_t context_id)
{
	struct clv_evt_bound evt = { .ref = { .slot = tunnel, .generation = 1 },
				     .context_id = context_id };

	if (wire)
		assert_int_equal(clv_endpoint_parse(wire, &evt.remote), 0);
	clv_connect_udp_remote_event(r->tunnels[tunnel].rq, type, &evt);
}

void fake_relay_resolved(struct fake_relay *r, int err, const char *addrs)
{
	fake_relay_resolved_rcode(r, err, NULL, addrs);
}

void fake_relay_resolved_rcode(struct fake_relay *r, int err, const char *rcode, const char *addrs)
{
	struct clv_endpoint list[CLV_RESOLVE_MAX] = { 0 };
	char text[512];
	size_t n = 0;

	assert_string_not_equal(r->resolving, "");
	r->resolving[0] = '\0';
	snprintf(text, sizeof(text), "%s", addrs);
	for (char *p = strtok(text, " "); p; p = strtok(NULL, " "))
		assert_int_equal(clv_addr_parse(p, list[n++].addr), 0);
	r->resolved(r->resolved_user,
		    &(struct clv_resolved){ .err = err, .rcode = rcode, .addrs = list, .n = n });
}

uint64_t fake_relay_count(const struct fake_relay *r, enum clv_counter which)
{
	return clv_count_read(&r->counters, which);
}
