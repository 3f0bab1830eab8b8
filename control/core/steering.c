/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/core/steering.h"

#include "datapath/base/addr.h"

/* ---- connections ---- */

void clv_steering_publish_conn(const struct clv_steering *st, const struct clv_cid *cid,
			       const struct clv_ref *ref)
{
	if (st->host_ops->conn_publish)
		st->host_ops->conn_publish(st->host, cid, ref);
}

void clv_steering_retire_conn(const struct clv_steering *st, const struct clv_cid *cid)
{
	if (st->host_ops->conn_retire)
		st->host_ops->conn_retire(st->host, cid);
}

/* ---- tunnels ---- */

static void send_ports(const struct clv_steering *st, const struct clv_ref *ref,
		       const struct clv_tunnel_ports *ports)
{
	for (int i = 0; i < 2; i++) {
		const struct clv_cmd_tunnel_bind cmd = {
			.ref = *ref,
			.local = ports->egress[i].local,
			.advertised = ports->advertised[i],
			.socket_fd = ports->via[i] == CLV_VIA_KERNEL ? ports->egress[i].fd : -1,
		};

		if (ports->is_held[i])
			st->send(st->sender, ref, CLV_CMD_TUNNEL_BIND, &cmd, sizeof(cmd));
	}
}

static int publish_target(const struct clv_steering *st, const struct clv_cmd_tunnel_add *cmd,
			  struct clv_steered *out)
{
	const struct clv_context context = { .tunnel = cmd->ref };
	struct clv_steered target = { .tuple = { .local = cmd->spec.local,
						 .remote = cmd->spec.remote } };
	int err = st->host_ops->context_publish(st->host, &target.tuple, &context);

	if (err)
		return err;
	target.has_context = true;
	*out = target;
	return 0;
}

int clv_steering_open_tunnel(const struct clv_steering *st, const struct clv_cmd_tunnel_add *cmd,
			     const struct clv_tunnel_ports *ports, struct clv_steered *out)
{
	int err = 0;

	*out = (struct clv_steered){ 0 };
	st->send(st->sender, &cmd->ref, CLV_CMD_TUNNEL_ADD, cmd, sizeof(*cmd));
	if (ports)
		send_ports(st, &cmd->ref, ports);
	if (cmd->spec.hop.via == CLV_VIA_XSK && cmd->spec.remote.port)
		err = publish_target(st, cmd, out);
	if (err)
		clv_steering_close_tunnel(st, &cmd->ref, out);
	return err;
}

void clv_steering_retire_tunnel(const struct clv_steering *st, struct clv_steered *target)
{
	if (target->has_context)
		st->host_ops->context_retire(st->host, &target->tuple);
	*target = (struct clv_steered){ 0 };
}

int clv_steering_retarget(const struct clv_steering *st, const struct clv_cmd_tunnel_add *cmd,
			  struct clv_steered *target)
{
	*target = (struct clv_steered){ 0 };
	st->send(st->sender, &cmd->ref, CLV_CMD_TUNNEL_RETARGET, cmd, sizeof(*cmd));
	return cmd->spec.hop.via == CLV_VIA_XSK ? publish_target(st, cmd, target) : 0;
}

void clv_steering_close_tunnel(const struct clv_steering *st, const struct clv_ref *ref,
			       struct clv_steered *target)
{
	const struct clv_cmd_ref cmd = { .ref = *ref };

	clv_steering_retire_tunnel(st, target);
	st->send(st->sender, ref, CLV_CMD_TUNNEL_REMOVE, &cmd, sizeof(cmd));
}

/* ---- bound tunnels ---- */

static bool is_port_steered(const struct clv_tunnel_ports *ports, int i)
{
	return ports->is_held[i] && ports->via[i] == CLV_VIA_XSK;
}

int clv_steering_publish_ports(const struct clv_steering *st, const struct clv_ref *ref,
			       const struct clv_tunnel_ports *ports, uint32_t flags)
{
	const struct clv_binding binding = { .tunnel = *ref, .flags = flags };
	int err = 0;

	for (int i = 0; i < 2 && !err; i++)
		if (is_port_steered(ports, i))
			err = st->host_ops->binding_publish(st->host, &ports->egress[i].local,
							    &binding);
	return err;
}

void clv_steering_retire_ports(const struct clv_steering *st, const struct clv_tunnel_ports *ports)
{
	for (int i = 0; i < 2; i++)
		if (is_port_steered(ports, i))
			st->host_ops->binding_retire(st->host, &ports->egress[i].local);
}

/* Hairpins do not arrive from the network, and what the kernel receives is not steered. */
static bool is_remote_steered(const struct clv_remote *r, const struct clv_tunnel_ports *ports)
{
	return !(r->flags & CLV_REMOTE_HAIRPIN) &&
	       ports->via[!clv_addr_is_v4(r->endpoint.addr)] == CLV_VIA_XSK;
}

static int publish_remote(const struct clv_steering *st, const struct clv_cmd_context_open *cmd)
{
	const struct clv_tuple tuple = { .local = cmd->remote.local, .remote = cmd->remote.remote };
	const struct clv_context context = { .tunnel = cmd->ref, .context_id = cmd->context_id };

	return st->host_ops->context_publish(st->host, &tuple, &context);
}

int clv_steering_open_context(const struct clv_steering *st, const struct clv_cmd_context_open *cmd,
			      const struct clv_tunnel_ports *ports)
{
	st->send(st->sender, &cmd->ref, CLV_CMD_CONTEXT_OPEN, cmd, sizeof(*cmd));
	if (cmd->flags & CLV_CONTEXT_UNCOMPRESSED)
		return clv_steering_publish_ports(st, &cmd->ref, ports, CLV_BINDING_UNCOMPRESSED);
	if (cmd->flags & CLV_CONTEXT_UNACKED || !is_remote_steered(&cmd->remote, ports))
		return 0;
	return publish_remote(st, cmd);
}

void clv_steering_close_context(const struct clv_steering *st, const struct clv_ref *ref,
				uint64_t context_id, const struct clv_remote *remote,
				const struct clv_tunnel_ports *ports)
{
	const struct clv_cmd_context_close cmd = { .ref = *ref, .context_id = context_id };

	if (remote)
		clv_steering_retire_context(st, remote, ports);
	else
		clv_steering_publish_ports(st, ref, ports, 0);
	st->send(st->sender, ref, CLV_CMD_CONTEXT_CLOSE, &cmd, sizeof(cmd));
}

void clv_steering_retire_context(const struct clv_steering *st, const struct clv_remote *remote,
				 const struct clv_tunnel_ports *ports)
{
	const struct clv_tuple tuple = { .local = remote->local, .remote = remote->remote };

	if (is_remote_steered(remote, ports))
		st->host_ops->context_retire(st->host, &tuple);
}
