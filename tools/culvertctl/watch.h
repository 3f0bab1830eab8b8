/* SPDX-License-Identifier: GPL-3.0-or-later */
/* watch - repeats a command: redraws a terminal, elsewhere prints one answer after the other. */
#ifndef CLV_CULVERTCTL_WATCH_H
#define CLV_CULVERTCTL_WATCH_H

#include <stdio.h>

/*
 * Call turn every every_sec seconds and show what it wrote to out.  On a terminal until q is
 * pressed; an error that turn writes is shown like an answer.  Elsewhere until turn fails.
 * Returns the exit code.
 */
int watch(unsigned every_sec, int (*turn)(void *user, FILE *out), void *user);

#endif
