/* SPDX-License-Identifier: GPL-3.0-or-later */
/* report - what listen and connect print about peers: a line of text, or with --json an object. */
#ifndef CULVERT_REPORT_H
#define CULVERT_REPORT_H

#include "tools/culvert/peer.h"

#include <jansson.h>

/* Print an event: text, or with --json the object, which is taken. */
void report_print(const struct options *o, json_t *event, const char *text);
/* PEER_UP, PEER_PATH, PEER_DOWN. */
void report_peer(const struct options *o, const struct culvert_event *e);

#endif
