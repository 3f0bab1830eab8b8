/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvert/commands.h"
#include "tools/culvert/peer.h"

#include <stdio.h>

static void print_ready(const struct peer *p, const struct culvert_forward *f)
{
	char listen[CULVERT_ADDRESS_TEXT], relay[CULVERT_ADDRESS_TEXT];
	struct culvert_forward_info forward;
	struct culvert_session_info session;

	culvert_forward_info(f, &forward);
	culvert_session_info(p->session, &session);
	printf("ready listen=%s relay=%s group=%s certificate=%s\n",
	       culvert_address_format(&forward.listen, listen),
	       culvert_address_format(&session.relay, relay), session.group, session.signature);
	fflush(stdout);
}

static void on_event(struct peer *p, const struct culvert_event *e)
{
	int status;

	switch (e->type) {
	case CULVERT_UP:
		print_ready(p, *(struct culvert_forward **)p->user);
		break;
	case CULVERT_PAYLOAD_MAX:
		printf("max payload %u\n", e->payload_max);
		fflush(stdout);
		break;
	case CULVERT_FORWARD_REFUSED:
		if (peer_is_lost(p, e))
			break;
		status = peer_print_refused(p, e);
		if (status == STATUS_UNAUTHORIZED || status == STATUS_FORBIDDEN)
			peer_stop(p, status);
		break;
	case CULVERT_FORWARD_FULL:
		peer_log(p, CULVERT_LOG_WARN,
			 "forward_full places=%u hint=\"the longest silent sender makes room\"",
			 e->places);
		break;
	case CULVERT_FORWARD_ENDED:
		peer_log_ended(p, e);
		break;
	default:
		break;
	}
}

static int start(struct peer *p)
{
	const struct options *o = p->options;
	const struct culvert_forward_options fo = {
		.listen = o->listen.text,
		.target = o->target.text,
	};
	int err = culvert_forward_open(p->session, &fo, p->user);

	return err ? peer_print_failure(p, "forward", err) : 0;
}

static const struct peer_ops ops = { start, on_event };

/* Report datagrams that were dropped because their tunnel was not open. */
static void report(const struct peer *p, const struct culvert_forward *f)
{
	struct culvert_forward_info info;

	culvert_forward_info(f, &info);
	if (info.dropped)
		peer_log(p, CULVERT_LOG_WARN,
			 "forward_dropped datagrams=%llu hint=\"sent before their tunnel was open, "
			 "or refused\"",
			 (unsigned long long)info.dropped);
}

int forward_run(const struct options *o)
{
	struct culvert_forward *f = NULL;
	struct peer p;
	int status = peer_open(&p, o, &ops, &f);

	if (!status)
		status = peer_run(&p);
	if (f)
		report(&p, f);
	peer_close(&p);
	return status;
}
