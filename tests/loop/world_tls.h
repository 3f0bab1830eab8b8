/* SPDX-License-Identifier: GPL-3.0-or-later */
/* world_tls - certificates and keys of a world, made once for each program.  Aborts on failure. */
#ifndef LOOP_WORLD_TLS_H
#define LOOP_WORLD_TLS_H

#include "tests/loop/world.h"

/* Fill server_tls, client_tls and identity_tls. */
void world_tls_make(struct world *w);

#endif
