/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * steering - what the kernel's tables say about connections and tunnels, in step with the workers.
 *
 * XDP steers a packet to a worker by its connection ID (conns), a datagram from a target or remote
 * by its 4-tuple (contexts), and any other datagram to a bound tunnel's port by that port
 * (bindings).  The tables hold only what AF_XDP receives.
 *
 * Order: a worker gets the command that adds something before the tables name it, and the command
 * that removes it after the tables have forgotten it.  Workers read commands before they handle the
 * packets of a batch, so none is steered to what its worker does not know.
 *
 * Threading: control.
 */
#ifndef CLV_CORE_STEERING_H
#define CLV_CORE_STEERING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/core/hosts.h"
#include "control/host/host.h"
#include "datapath/tunnel/messages.h"

struct clv_steering {
	const struct clv_host_ops *host_ops; /* the kernel's tables */
	void *host;
	/* Send a command to the worker of ref.  body: copies. */
	void (*send)(void *sender, const struct clv_ref *ref, enum clv_command type,
		     const void *body, size_t len);
	void *sender;
	struct clv_hosts *hosts; /* who uses which host; NULL: not kept */
};

/* ---- connections ---- */

/* A connection ID of ours, whose worker has the connection.  Without such a table: nothing. */
void clv_steering_publish_conn(const struct clv_steering *st, const struct clv_cid *cid,
			       const struct clv_ref *ref);
void clv_steering_retire_conn(const struct clv_steering *st, const struct clv_cid *cid);

/* ---- tunnels ---- */

/* What the tables hold of a tunnel's target.  All zero: nothing. */
struct clv_steered {
	struct clv_tuple tuple;
	bool has_context;
};

/*
 * Send TUNNEL_ADD and a TUNNEL_BIND for each held port, then publish the target.  ports: of a bound
 * tunnel, else NULL; a client's holds none.
 * Returns 0 and fills *out; or the tables' error, after TUNNEL_REMOVE was sent.
 */
int clv_steering_open_tunnel(const struct clv_steering *st, const struct clv_cmd_tunnel_add *cmd,
			     const struct clv_tunnel_ports *ports, struct clv_steered *out);
/*
 * Send TUNNEL_RETARGET to an open tunnel, and publish the new target beside the old one, which is
 * the caller's to retire.  Returns 0 and fills *target; or the tables' error, and *target is cleared.
 */
int clv_steering_retarget(const struct clv_steering *st, const struct clv_cmd_tunnel_add *cmd,
			  struct clv_steered *target);
/* Take a target out of the tables, of a tunnel that its worker has removed.  target: cleared. */
void clv_steering_retire_tunnel(const struct clv_steering *st, struct clv_steered *target);
/* Take it out of the tables, then send TUNNEL_REMOVE. */
void clv_steering_close_tunnel(const struct clv_steering *st, const struct clv_ref *ref,
			       struct clv_steered *target);

/* ---- bound tunnels ---- */

/* flags: enum clv_binding_flag.  Returns 0 or the tables' error. */
int clv_steering_publish_ports(const struct clv_steering *st, const struct clv_ref *ref,
			       const struct clv_tunnel_ports *ports, uint32_t flags);
void clv_steering_retire_ports(const struct clv_steering *st, const struct clv_tunnel_ports *ports);

/*
 * Send CONTEXT_OPEN, then publish what the peer may be sent by it: the remote of a compressed
 * context, unless it waits for the peer's acknowledgement; the ports, for the uncompressed one.
 * Returns 0; or the tables' error, and the caller closes the context.
 */
int clv_steering_open_context(const struct clv_steering *st, const struct clv_cmd_context_open *cmd,
			      const struct clv_tunnel_ports *ports);
/* Take it out of the tables, then send CONTEXT_CLOSE.  remote: NULL for the uncompressed one. */
void clv_steering_close_context(const struct clv_steering *st, const struct clv_ref *ref,
				uint64_t context_id, const struct clv_remote *remote,
				const struct clv_tunnel_ports *ports);
/* Take a remote out of the tables, whose tunnel ends. */
void clv_steering_retire_context(const struct clv_steering *st, const struct clv_remote *remote,
				 const struct clv_tunnel_ports *ports);

#endif
