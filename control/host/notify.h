/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * notify - notify systemd of the daemon's state: ready, stopping, alive (sd_notify(3)).
 *
 * Does nothing where NOTIFY_SOCKET is not set.
 *
 * Threading: control.
 */
#ifndef CLV_HOST_NOTIFY_H
#define CLV_HOST_NOTIFY_H

#include <stdint.h>

struct clv_notify {
	int fd;		      /* -1: no service manager */
	uint64_t watchdog_ns; /* longest time without "alive"; 0: no watchdog */
	uint64_t last_ns;
};

/* Read NOTIFY_SOCKET and WATCHDOG_* and remove them from the environment.  Logs failures. */
void clv_notify_open(struct clv_notify *out);
void clv_notify_close(struct clv_notify *notify);

/* Send a state: "READY=1", "STOPPING=1" and others of sd_notify(3). */
void clv_notify(const struct clv_notify *notify, const char *state);

/* Send "alive" if half of the watchdog interval has passed since the last one. */
void clv_notify_alive(struct clv_notify *notify, uint64_t now_ns);

#endif
