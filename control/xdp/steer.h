/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * steer - steer packets among the sockets on a listener's port, by a program on SO_REUSEPORT.
 *
 * Packets of known connection IDs go to their worker's socket, all others to control's.
 *
 * Threading: control.
 */
#ifndef CLV_XDP_STEER_H
#define CLV_XDP_STEER_H

#include <stddef.h>
#include <stdint.h>

struct clv_steer;

/*
 * Load the program for one listener port.  conns_fd: the map of connection IDs; copies; -1: create
 * one with room for conn_ids, see clv_steer_conns_fd.
 * Returns 0 and fills *out, or with one line in error -EPERM (not privileged) or another -errno.
 */
int clv_steer_open(int conns_fd, uint32_t conn_ids, struct clv_steer **out, char *error,
		   size_t error_len);
/*
 * Attach it to a reuseport group, once.  socks: socks[0] is control's, socks[1 + w] worker w's; borrows.
 * Returns 0, or with one line in error -errno.
 */
int clv_steer_attach(struct clv_steer *steer, const int *socks, size_t socks_len, char *error,
		     size_t error_len);
void clv_steer_close(struct clv_steer *steer);
/* Lends its map of connection IDs. */
int clv_steer_conns_fd(const struct clv_steer *steer);

/*
 * Steer with a classic filter, which needs no privilege: long headers to the first socket of the
 * group, all else to the second.  fd: any socket of the group.  Returns 0 or -errno.
 */
int clv_steer_classic(int fd);

#endif
