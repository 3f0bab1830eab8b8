/* SPDX-License-Identifier: GPL-3.0-or-later */
/* watch - the same answer again and again: on a terminal in place, else one after the other. */
#ifndef CLV_CULVERTCTL_WATCH_H
#define CLV_CULVERTCTL_WATCH_H

#include <stdio.h>

/*
 * Call turn every every_sec seconds and show what it wrote to out.  On a terminal until q is
 * pressed, and what turn says when it fails is shown like an answer; elsewhere until it fails.
 * Returns the exit code.
 */
int watch(unsigned every_sec, int (*turn)(void *user, FILE *out), void *user);

#endif
