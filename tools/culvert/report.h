/* SPDX-License-Identifier: GPL-3.0-or-later */
/* report - what listen and connect print about peers: a line of text, or with --json an object. */
#ifndef CULVERT_REPORT_H
#define CULVERT_REPORT_H

#include "tools/culvert/peer.h"

#include <jansson.h>

/* Print an event: text, or with --json the object, which is taken. */
void report_print(const struct options *o, json_t *event, const char *text);
/* Whether standard output is a terminal that shows a status line below what is printed. */
bool report_has_status(const struct options *o);
/* Replace the status line.  NULL: remove it. */
void report_status(const struct options *o, const char *text);
/* "relay" or "direct". */
const char *report_method(const struct culvert_path *path);
/* PEER_UP, PEER_PATH, PEER_DOWN. */
void report_peer(const struct options *o, const struct culvert_event *e);
/* Sum up the life of a peer that was reached; of others print nothing.  It names no address and no id. */
void report_summary(const struct options *o, const struct culvert_peer *peer);

#endif
