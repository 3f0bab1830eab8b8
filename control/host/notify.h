/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * notify - what systemd is told: ready, stopping, alive (sd_notify(3)'s datagrams).
 *
 * Does nothing where NOTIFY_SOCKET is not set.
 *
 * Threading: control.
 */
#ifndef CLV_HOST_NOTIFY_H
#define CLV_HOST_NOTIFY_H

#include <stdint.h>

struct clv_notify {
	int fd;		      /* -1: nobody listens */
	uint64_t watchdog_ns; /* how often "alive" is due at most; 0: never */
	uint64_t last_ns;
};

/* Reads the environment and removes it from there.  Failures are logged: nobody listens then. */
void clv_notify_open(struct clv_notify *out);
void clv_notify_close(struct clv_notify *notify);

/* state: "READY=1", "STOPPING=1", "RELOADING=1\n..." and what else sd_notify(3) lists. */
void clv_notify(const struct clv_notify *notify, const char *state);

/* Say "alive" when half of the watchdog's time has passed since the last. */
void clv_notify_alive(struct clv_notify *notify, uint64_t now_ns);

#endif
