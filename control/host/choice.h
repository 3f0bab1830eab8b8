/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * choice - which interfaces a relay serves where the operator names none.
 *
 * Those with a device behind them, and bonds of such; and those by which packets leave for the
 * Internet, whatever they are.  Bridges, taps, macvlans and the ends of containers' veths are others'.
 * Where no interface has a device, as in a container, veths with an address of a network count as one.
 *
 * Members of bridges and bonds are served by their master, VLAN devices by what is below them.
 *
 * Threading: control; read asks the kernel anew.
 */
#ifndef CLV_HOST_CHOICE_H
#define CLV_HOST_CHOICE_H

#include <stdbool.h>
#include <stddef.h>

#include "control/host/nic.h"

enum {
	CLV_CHOICE_ADDRESSES_MAX = 256, /* read; others do not count */
};

/* A host, as far as the choice depends on it. */
struct clv_choice {
	struct clv_nic *nics; /* of clv_nic_list; owned */
	size_t nics_len;
	/* interfaces with an address of a network, not only a host's own; may have duplicates */
	int addressed[CLV_CHOICE_ADDRESSES_MAX];
	size_t addressed_len;
	/* interfaces by which packets from one of the addresses leave for the Internet; likewise */
	int uplinks[2 * CLV_CHOICE_ADDRESSES_MAX + 2];
	size_t uplinks_len;
};

/* mark: of the relay's packets; 0: none.  Returns 0 and fills *out, to be freed with fini, or -errno. */
int clv_choice_read(uint32_t mark, struct clv_choice *out);
void clv_choice_fini(struct clv_choice *choice);

/* Whether an interface can be served by default: up, Ethernet, and not part of another one. */
bool clv_choice_is_candidate(const struct clv_nic *nic);

/* Whether a candidate is served by default. */
bool clv_choice_takes(const struct clv_choice *choice, const struct clv_nic *nic);

#endif
