/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ctl - the control socket RUN/control.sock: one JSON object per line in, one per line out.
 *
 *   {"cmd":"tunnels","limit":100}   ->   {"tunnels":[...],"total":7}   or   {"error":"..."}
 *
 * Only the daemon's own user may connect (mode 0600).  The program must ignore SIGPIPE.
 *
 * Order: 1. open  2. run the loop  3. close, and run the loop once more
 * Threading: control.
 */
#ifndef CLV_ADMIN_CTL_H
#define CLV_ADMIN_CTL_H

#include <stddef.h>

#include <jansson.h>
#include <uv.h>

enum {
	CLV_CTL_REQUEST_MAX = 4096, /* bytes of a line */
	CLV_CTL_CLIENTS_MAX = 16,
};

#define CLV_CTL_SOCKET "control.sock"

/* A command and its handler. */
struct clv_ctl_command {
	const char *name;
	/* request: borrows.  Returns an object that the caller owns, or NULL when out of memory. */
	json_t *(*answer)(void *user, const json_t *request);
};

/*
 * Make the response to one request, line[0..len) without its newline.  A bad request gets a
 * response with "error".  The response ends with a newline; the caller frees it.  NULL when out of
 * memory.
 */
char *clv_ctl_answer(const struct clv_ctl_command *commands, size_t commands_len, void *user,
		     const char *line, size_t len);

struct clv_ctl;

/*
 * Serve RUN/control.sock.  commands: borrows.  Replaces an existing socket: the caller holds the
 * lock of run_dir.
 * Returns 0 and fills *out, -ENOMEM, -ENAMETOOLONG or another -errno.
 */
int clv_ctl_open(uv_loop_t *loop, const char *run_dir, const struct clv_ctl_command *commands,
		 size_t commands_len, void *user, struct clv_ctl **out);
/*
 * Remove the socket and close all connections.  A later iteration of the loop frees it.  Accepts
 * NULL.
 */
void clv_ctl_close(struct clv_ctl *ctl);

#endif
